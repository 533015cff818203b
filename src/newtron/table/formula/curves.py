"""Functions of one number that are polynomials between breaks: splines, orthogonal polynomials, centred numbers.

What a transformation learns from the rows of a fit (knots, means, norms) is turned into the polynomials themselves,
once, so that one function evaluates all of them, with exact derivatives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.types import Array

# What a curve is beyond its bounds: its own polynomials go on; it stays as at the bound; 0; missing; it repeats; or
# such a number is refused.
Beyond: TypeAlias = Literal["extend", "clip", "zero", "na", "cycle", "raise"]
BEYOND: tuple[Beyond, ...] = get_args(Beyond)


@dataclass(frozen=True, eq=False)
class Curve:
    """m functions of one number.

    breaks: (K,) where the pieces begin, ascending; below the first the first piece goes on. coefficients: (order K, m)
    of the powers of x less its break, the highest power of all pieces first. low, high: the bounds; beyond: what it is
    outside of them. single: whether it is one column of numbers, as x is, and not several.
    """

    breaks: Array
    coefficients: Array
    low: float
    high: float
    beyond: Beyond = "extend"
    single: bool = False

    @property
    def width(self) -> int:
        """m."""
        return int(self.coefficients.shape[1])

    def outside(self, x: Array) -> NDArray[np.bool_]:
        """(n,) which of the numbers are beyond the bounds; nan is not."""
        return np.asarray((x < self.low) | (x > self.high))

    def at(self, x: Array) -> tuple[Array, Array]:
        """The values and the derivatives at x (n,), (n, m) each."""
        away, span = self.outside(x), self.high - self.low
        t = x
        if self.beyond == "clip":
            t = np.clip(x, self.low, self.high)
        elif self.beyond == "cycle":
            t = np.where(away, self.low + np.mod(x - self.low, span), x)
        piece = np.clip(np.searchsorted(self.breaks, t, side="right") - 1, 0, len(self.breaks) - 1)
        t = (t - self.breaks[piece])[:, None]
        powers = self.coefficients.reshape(-1, len(self.breaks), self.width)
        value, slope = powers[0][piece], np.zeros((len(x), self.width))
        for coefficient in powers[1:]:
            value, slope = value * t + coefficient[piece], slope * t + value
        value = np.where(np.isnan(x)[:, None], np.nan, value)
        if self.beyond in ("clip", "zero"):
            slope[away] = 0.0
        if self.beyond == "zero":
            value[away] = 0.0
        elif self.beyond == "na":
            value[away] = np.nan
        return value, slope


# What a curve is made from: what formulaic's transformation learnt, and the settings that it was called with.
State: TypeAlias = Mapping[str, object]


def basis_spline(state: State, settings: State) -> Curve:
    """B-splines (de Boor 1978) with these knots, as R's and patsy's `bs`."""
    from scipy.interpolate import BSpline

    knots, degree = np.array(state["knots"], dtype=np.float64), int(_number(settings.get("degree", 3)))
    first = 0 if settings.get("include_intercept", False) else 1
    spline = BSpline(knots, np.eye(len(knots) - degree - 1), degree)
    breaks = np.unique(knots)[:-1]
    powers = [spline(breaks, nu=power)[:, first:] / math.factorial(power) for power in range(degree, -1, -1)]
    bounds = _number(state["lower_bound"]), _number(state["upper_bound"])
    return Curve(breaks, np.concatenate(powers), *bounds, _beyond(settings, "raise"))


def cubic_spline(state: State, settings: State) -> Curve:
    """Natural or cyclic cubic regression splines by their values at the knots (Wood 2017, section 5.3), as mgcv's and
    patsy's `cr` and `cc`. A natural one is a straight line beyond its last knots."""
    from scipy.interpolate import CubicSpline

    knots = np.array(state["knots"], dtype=np.float64)
    if state["cyclic"]:
        eye = np.eye(len(knots) - 1)
        coefficients = CubicSpline(knots, np.vstack([eye, eye[:1]]), bc_type="periodic").c
        breaks, beyond = knots[:-1], "cycle"
    else:
        spline = CubicSpline(knots, np.eye(len(knots)), bc_type="natural")
        lines = [np.array([0.0 * spline(x), 0.0 * spline(x), spline(x, 1), spline(x)]) for x in knots[[0, -1]]]
        # The first line is written from a break below the knots.
        lines[0][3] -= lines[0][2]
        coefficients = np.concatenate([lines[0][:, None], spline.c, lines[1][:, None]], axis=1)
        breaks, beyond = np.concatenate([[knots[0] - 1.0], knots]), "extend"
    constraints = state["constraints"]
    if constraints is not None:
        q, _ = np.linalg.qr(np.transpose(np.atleast_2d(np.asarray(constraints, dtype=np.float64))), mode="complete")
        coefficients = coefficients @ q[:, len(np.atleast_2d(np.asarray(constraints))) :]
    asked = _beyond(settings, "extend")
    kind: Beyond = "cycle" if beyond == "cycle" and asked == "extend" else asked
    flat = np.asarray(coefficients).reshape(-1, coefficients.shape[2])
    return Curve(breaks, flat, float(knots[0]), float(knots[-1]), kind)


def polynomial(state: State, settings: State) -> Curve:
    """The powers of x, or polynomials that are orthonormal over the rows of the fit, by their three-term recurrence
    (Forsythe 1957), as R's `poly`."""
    degree = int(_number(settings.get("degree", 1)))
    if settings.get("raw", False):
        rows, start = [np.eye(degree + 1)[:, k] for k in range(1, degree + 1)], 0.0
    else:
        alpha, norms = _numbers(state["alpha"]), _numbers(state["norms2"])
        start = alpha[0]
        found = [np.eye(degree + 1)[0]]  # by the powers of x - start, the lowest first
        for k in range(1, degree + 1):
            moved = np.roll(found[-1], 1) + (start - alpha[k - 1]) * found[-1]
            moved -= norms[k - 1] / norms[k - 2] * found[-2] if k > 1 else 0.0
            found.append(moved)
        rows = [row / math.sqrt(norms[k]) for k, row in enumerate(found)][1:]
    coefficients = np.array(rows).T[::-1]
    return Curve(np.array([start]), np.ascontiguousarray(coefficients), -math.inf, math.inf)


def scaled(state: State, settings: State) -> Curve:
    """(x - center) / scale."""
    del settings
    center = 0.0 if state.get("center") is None else _number(state["center"])
    scale = 1.0 if state.get("scale") is None else _number(state["scale"])
    coefficients = np.array([[1.0 / scale], [0.0]])
    return Curve(np.array([center]), coefficients, -math.inf, math.inf, single=True)


# The transformations that learn from the rows, the positions of their settings, and what makes a curve of them.
CURVES = {
    "bs": (basis_spline, ("df", "knots", "degree", "include_intercept", "lower_bound", "upper_bound", "extrapolation")),
    "cr": (cubic_spline, ("df", "knots", "lower_bound", "upper_bound", "constraints", "extrapolation")),
    "cs": (cubic_spline, ("df", "knots", "lower_bound", "upper_bound", "constraints", "extrapolation")),
    "cc": (cubic_spline, ("df", "knots", "lower_bound", "upper_bound", "constraints", "extrapolation")),
    "poly": (polynomial, ("degree", "raw")),
    "center": (scaled, ()),
    "scale": (scaled, ("center", "scale", "ddof")),
    "standardize": (scaled, ("center", "rescale", "ddof")),
}


def _beyond(settings: State, default: Beyond) -> Beyond:
    asked = str(settings.get("extrapolation", default))
    for name in BEYOND:
        if name == asked and name != "cycle":
            return name
    raise ValueError(f"extrapolation={asked!r} must be one of {', '.join(BEYOND[:4])} and raise")


def _number(value: object) -> float:
    return float(np.asarray(value, dtype=np.float64))


def _numbers(by_position: object) -> Sequence[float]:
    assert isinstance(by_position, dict)
    return [float(by_position[k]) for k in sorted(by_position)]
