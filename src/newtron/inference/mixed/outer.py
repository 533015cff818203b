"""The minimum of a deviance over relative standard deviations θ ≥ 0, and other parameters beside them, by Newton steps.

A deviance is minus twice a log-likelihood, so a difference of 1 matters little and one of 1e-8 not at all. Its gradient
is exact, and its Hessian is made of differences of exact gradients. θ above 0 moves by its logarithm. A θ whose
intercepts are negligible is tried at 0, where the derivative by θ² says whether the deviance falls from there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.types import Array

# Converged where the descent of the deviance that a Newton step still expects is at most this: every parameter is then
# within 1e-7 of its own standard error.
_AT_REST = 1e-14
# A smaller descent than this is hidden by the rounding of a deviance of some thousands: the gradient judges the step.
_HIDDEN = 1e-9
_MOST_STEPS = 100
# A step changes no log θ by more than this.
_LONGEST = 2.0
# The step of a difference of exact gradients: about the cube root of the rounding error of a number.
_DIFFERENCE = 1e-5
# Where θ² times the information of the best known level is below this, it is asked whether θ = 0 is better.
_NEGLIGIBLE = 1e-3
# Curvature is taken for new differences of gradients where a step left more than this share of the expected descent.
_STALE = 0.01


class Slope(NamedTuple):
    """The deviance at a point, and its exact derivatives: by each θ² (G,), and by each other parameter (q,)."""

    deviance: float
    by_variance: Array
    by_others: Array


@dataclass(frozen=True, eq=False)
class Minimum:
    """Where the deviance is least, and how that is known.

    theta: (G,), others: (q,). gradient (m,) and hessian (m, m): by log θ of each θ above 0 and then by the other
    parameters. boundary: (G,) the derivative by θ² where θ is 0, which is at least 0 at a minimum; nan elsewhere.
    expected: the descent that a Newton step from here expects.
    """

    theta: Array
    others: Array
    deviance: float
    gradient: Array
    hessian: Array
    boundary: Array
    expected: float
    steps: int
    evaluations: int

    @property
    def converged(self) -> bool:
        """Is this a minimum, as far as rounding lets it be seen?"""
        inside = self.expected <= _HIDDEN and bool(np.all(np.linalg.eigvalsh(self.hessian) > 0.0))
        return inside and not bool(np.any(self.boundary < 0.0))


@dataclass(frozen=True, eq=False)
class SearchStep:
    """Where a search stands after a step: as in `Minimum`. length: the largest change of a log θ or of another
    parameter by the step."""

    steps: int
    theta: Array
    others: Array
    deviance: float
    gradient: Array
    expected: float
    length: float


# Called after each step; a true answer ends the search.
Watch: TypeAlias = Callable[[SearchStep], object]


class SearchStoppedError(Exception):
    """The search was ended from outside."""


class NoMinimumError(Exception):
    """The deviance falls without end. which: (G,) whether it does so as a θ grows."""

    def __init__(self, which: NDArray[np.bool_]) -> None:
        super().__init__("the deviance falls without end")
        self.which = which


class DevianceSearch:
    """The search for the minimum of a deviance.

    slope: the deviance and its derivatives at theta (G,) and others (q,). reach: (G,) the largest information of a
    level of each grouping column: θ² · reach says how much its intercepts matter. unit: (q,) a change of each other
    parameter that matters little. largest: of a θ beyond this there is no more to be known.
    """

    def __init__(
        self,
        slope: Callable[[Array, Array], Slope],
        reach: Array,
        unit: Array,
        largest: float,
        watch: Watch | None = None,
    ) -> None:
        self._largest = largest
        self._deviance, self._reach, self._unit, self._watch = slope, reach, unit, watch
        self.evaluations = 0

    def minimum(self, theta: Array, others: Array) -> Minimum:
        """The minimum that is reached from this start. Raises SearchStoppedError where `watch` ends it, and
        NoMinimumError where there is none."""
        here, hessian, last = self._slope(theta, others), None, np.inf
        fresh, length = False, 0.0
        for steps in range(_MOST_STEPS + 1):
            free = theta > 0.0
            gradient = self._gradient(here, theta)
            if hessian is None:
                hessian, fresh = self._hessian(theta, others), True
            step, expected = _newton_step(gradient, hessian, int(free.sum()))
            if not fresh and (expected > _STALE * last or expected <= _AT_REST):
                hessian, fresh = self._hessian(theta, others), True
                step, expected = _newton_step(gradient, hessian, int(free.sum()))
            released = ~free & (here.by_variance < 0.0)
            if expected <= _AT_REST and released.any() and steps < _MOST_STEPS:
                theta = np.where(released, np.sqrt(_NEGLIGIBLE / self._reach), theta)
                here, hessian, last = self._slope(theta, others), None, np.inf
                continue
            told = SearchStep(steps, theta, others, here.deviance, gradient, expected, length)
            if self._watch is not None and steps > 0 and self._watch(told):
                raise SearchStoppedError
            moved = None if expected <= _AT_REST or steps == _MOST_STEPS else self._descent(here, theta, others, step)
            if moved is None:
                if not fresh:
                    hessian = self._hessian(theta, others)
                boundary = np.where(free, np.nan, here.by_variance)
                return Minimum(
                    theta, others, here.deviance, gradient, hessian, boundary, expected, steps, self.evaluations
                )
            theta, others, here = moved
            if theta.max() > self._largest:
                raise NoMinimumError(theta > self._largest)
            length = float(np.max(np.abs(step)))
            last, fresh = expected, False
            zero = self._zeroed(here, theta, others)
            if zero is not None:
                theta, here = zero
                hessian, last = None, np.inf
        raise AssertionError("the last step returns")

    def _slope(self, theta: Array, others: Array) -> Slope:
        self.evaluations += 1
        return self._deviance(theta, others)

    def measured(self, theta: Array, others: Array) -> Minimum:
        """What the deviance and its derivatives say of a point."""
        here, hessian = self._slope(theta, others), self._hessian(theta, others)
        gradient = self._gradient(here, theta)
        _, expected = _newton_step(gradient, hessian, int((theta > 0.0).sum()))
        boundary = np.where(theta > 0.0, np.nan, here.by_variance)
        return Minimum(theta, others, here.deviance, gradient, hessian, boundary, expected, 0, self.evaluations)

    def _gradient(self, slope: Slope, theta: Array) -> Array:
        """By log θ of each θ above 0, and by the other parameters."""
        free = theta > 0.0
        return np.concatenate([2.0 * np.square(theta[free]) * slope.by_variance[free], slope.by_others])

    def _moved(self, theta: Array, others: Array, step: Array) -> tuple[Array, Array]:
        free = theta > 0.0
        found = theta.copy()
        found[free] *= np.exp(step[: free.sum()])
        return found, others + step[free.sum() :]

    def _hessian(self, theta: Array, others: Array) -> Array:
        sizes = np.concatenate([np.full(int((theta > 0.0).sum()), _DIFFERENCE), _DIFFERENCE * self._unit])
        columns = []
        for j, size in enumerate(sizes):
            ends = []
            for sign in (1.0, -1.0):
                step = np.zeros(len(sizes))
                step[j] = sign * size
                at, beside = self._moved(theta, others, step)
                ends.append(self._gradient(self._slope(at, beside), at))
            columns.append((ends[0] - ends[1]) / (2.0 * size))
        if not columns:
            return np.zeros((0, 0))
        found = np.column_stack(columns)
        return np.asarray(0.5 * (found + found.T))

    def _descent(self, here: Slope, theta: Array, others: Array, step: Array) -> tuple[Array, Array, Slope] | None:
        """The first point along the step, halved as often as needed, with a lower deviance; where rounding hides the
        descent, with a lower gradient. None where there is none."""
        gradient = self._gradient(here, theta)
        expected = -float(gradient @ step)
        for halved in range(40):
            share = 0.5**halved
            at, beside = self._moved(theta, others, share * step)
            found = self._slope(at, beside)
            if expected > _HIDDEN * max(1.0, abs(here.deviance) * 1e-4):
                lower = found.deviance <= here.deviance - 1e-4 * share * expected
            else:
                lower = abs(float(self._gradient(found, at) @ step)) < abs(expected)
            if lower:
                return at, beside, found
        return None

    def _zeroed(self, here: Slope, theta: Array, others: Array) -> tuple[Array, Slope] | None:
        """The point with negligible θ at 0, where the deviance is no higher there."""
        small = (theta > 0.0) & (np.square(theta) * self._reach < _NEGLIGIBLE) & (here.by_variance > 0.0)
        if not small.any():
            return None
        at = np.where(small, 0.0, theta)
        found = self._slope(at, others)
        return (at, found) if found.deviance <= here.deviance else None


def _newton_step(gradient: Array, hessian: Array, n_logs: int) -> tuple[Array, float]:
    """The Newton step, with the curvature of each direction made positive, and the descent that it expects."""
    if not len(gradient):
        return gradient, 0.0
    size = np.sqrt(np.maximum(np.abs(np.diagonal(hessian)), 1e-300))
    values, vectors = np.linalg.eigh(hessian / np.outer(size, size))
    along = vectors.T @ (gradient / size)
    bent = np.maximum(np.abs(values), 1e-8 * np.abs(values).max())
    step = -(vectors @ (along / bent)) / size
    expected = 0.5 * float(along @ (along / bent))
    longest = float(np.max(np.abs(step[:n_logs]), initial=0.0))
    return step * min(1.0, _LONGEST / longest) if longest > 0.0 else step, expected
