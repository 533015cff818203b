"""Profile-likelihood intervals: where the likelihood, maximised over all other coefficients, has fallen too far.

A bound of β_j solves ℓ(β) = ℓ_max - ½ χ²(coverage) with ∂ℓ/∂β_k = 0 for every k but j. Newton's method solves both at
once (Venzon & Moolgavkar 1988, in the form of Heinze & Schemper 2002): with J the curvature of -ℓ and U its score the
step is J^-1 (U + λ e_j), where λ makes the quadratic model of ℓ meet the bound. Under Firth's penalty, or in small
samples, such intervals are lopsided where the likelihood is, and hold their coverage where estimate ± 1.96 standard
errors does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.checks import check_number
from newtron.engine.base.linalg import factorize
from newtron.engine.base.threads import one_blas_thread
from newtron.engine.objective import Evaluation, FirstOrder, Objective, SecondOrder
from newtron.engine.solvers import Newton, minimize

Array = NDArray[np.floating]

_STEPS, _HALVINGS = 100, 30
# A step may be this many times as long as the way to the bound of a quadratic likelihood.
_LONGEST = 2.0
# Squared length of a step, in standard errors, that ends the search: Newton's next would be its square.
_SHORT = 1e-18
_OUTWARDS = 20


class Profile(NamedTuple):
    """intervals (P, 2); statistics (P,), twice the fall of the log-likelihood to where the parameter is 0, and their
    p_values by χ² with one degree of freedom. nan where not found."""

    intervals: Array
    statistics: Array
    p_values: Array


def profile_tests(objective: Objective, params: Array, weight: float, which: Sequence[int] | None = None) -> Array:
    """Likelihood-ratio statistics (len(which),) of each parameter being 0, arguments as in `profile_intervals`.

    Under Firth's penalty that of the whole model stays in, as in logistf (Heinze & Schemper 2002).
    """
    chosen = range(objective.n_params) if which is None else which
    with one_blas_thread(), np.errstate(all="ignore"):
        top = _LogLikelihood(objective, weight, np.asarray(params, dtype=np.float64))
        return np.array([top.statistic(j) for j in chosen])


def profile_intervals(
    objective: Objective,
    params: Array,
    weight: float,
    *,
    coverage: float = 0.95,
    which: Sequence[int] | None = None,
) -> Array:
    """Bounds (len(which), 2) of the parameters, the lower ones first.

    objective: minus the log-likelihood (or the penalised one) divided by `weight`, such as a `FirthObjective` with its
    `total_weight`. params (P,): its optimum. coverage: between 0 and 1. which: numbers of parameters; None is all.
    A bound that is not found, because the likelihood never falls so far (separated classes) or its arithmetic ends
    before, is nan. Raises InputError for a coverage out of range.
    """
    check_number("coverage", coverage, above=0.0, below=1.0)
    from scipy.special import chdtri

    fall = 0.5 * float(chdtri(1.0, 1.0 - coverage))
    chosen = range(objective.n_params) if which is None else which
    with one_blas_thread(), np.errstate(all="ignore"):
        top = _LogLikelihood(objective, weight, np.asarray(params, dtype=np.float64))
        return np.array([[top.bound(j, side, fall) for side in (-1.0, 1.0)] for j in chosen]).reshape(-1, 2)


class _Point(NamedTuple):
    """Log-likelihood, its score and minus its Hessian (or the expected one where that is not definite)."""

    value: float
    score: Array
    inverse: Array  # of the curvature
    curvature: Array


class _LogLikelihood:
    def __init__(self, objective: Objective, weight: float, optimum: Array) -> None:
        self.objective, self.weight, self.optimum = objective, weight, optimum
        self._at_optimum = self._at(optimum)
        self.top = float("nan") if self._at_optimum is None else self._at_optimum.value

    def ridge(self, j: int) -> Array:
        """How all parameters move with parameter j, near the optimum."""
        assert self._at_optimum is not None
        inverse = self._at_optimum.inverse
        return np.asarray(inverse[:, j] / inverse[j, j])

    def _at(self, params: Array) -> _Point | None:
        for gauss_newton in (False, True):
            found = self.objective.evaluate(params, 2, gauss_newton)
            if not np.isfinite(found.value):
                return None
            factor = factorize(found.hessian)
            if factor is not None:
                inverse = factor.solve(np.eye(len(params))) / self.weight
                n = self.weight
                return _Point(-n * found.value, -n * found.gradient, inverse, n * found.hessian)
        return None

    def statistic(self, j: int) -> float:
        """Twice the fall of the log-likelihood from its maximum to where parameter j is 0."""
        if self._at_optimum is None:
            return float("nan")
        return max(0.0, 2.0 * _Branches(self, j).fall(0.0))

    def bound(self, j: int, side: float, fall: float) -> float:
        """One bound of parameter j; nan where there is none to be found."""
        if self._at_optimum is None:
            return float("nan")
        held = _Branches(self, j)
        found = self._by_newton(j, side, fall)
        if found is not None:
            held.starts.append(np.delete(found, j))
            # The likelihood of the others may have several maxima there: is this the highest that is known?
            if held.fall(float(found[j])) <= fall + 1e-7:
                return float(found[j])
        return self._by_bracket(held, j, side, fall)

    def _by_newton(self, j: int, side: float, fall: float) -> Array | None:
        """All parameters at the bound; None where Newton's method does not find it."""
        here: _Point | None = self._at_optimum
        assert here is not None
        params, target = self.optimum.copy(), here.value - fall
        for _ in range(_STEPS):
            left = 2.0 * (here.value - target) + float(here.score @ here.inverse @ here.score)
            pull = side * np.sqrt(max(left, 0.0) / here.inverse[j, j])
            step = here.inverse @ here.score + pull * here.inverse[:, j]
            length = float(step @ here.curvature @ step)
            if length > 2.0 * fall * _LONGEST**2:
                step *= _LONGEST * np.sqrt(2.0 * fall / length)
            for _ in range(_HALVINGS):
                there = self._at(params + step)
                if there is not None:
                    break
                step = 0.5 * step
            if there is None:
                return None
            params, here = params + step, there
            if length <= _SHORT:
                return params if self._is_bound(here, params, j, side, target) else None
        return None

    def _is_bound(self, here: _Point, params: Array, j: int, side: float, target: float) -> bool:
        """The equations have other solutions too: on the other side, or where the others are at no maximum."""
        met = abs(here.value - target) <= 1e-8 * max(1.0, abs(self.top - target))
        outside = side * (params[j] - self.optimum[j]) > 0.0 > side * here.score[j]
        hessian = self.objective.evaluate(params, 2).hessian
        if not (met and outside):
            return False
        return len(params) == 1 or factorize(np.delete(np.delete(hessian, j, axis=0), j, axis=1)) is not None

    def _by_bracket(self, held: _Branches, j: int, side: float, fall: float) -> float:
        """The slow way, which looks outwards from the optimum: the first value at which the likelihood has fallen."""
        from scipy.optimize import brentq

        assert self._at_optimum is not None
        unit = side * float(np.sqrt(2.0 * fall * self._at_optimum.inverse[j, j]))

        def missing(t: float) -> float:
            return held.fall(float(self.optimum[j]) + t * unit) - fall

        near, far = 0.0, 0.5
        for _ in range(_OUTWARDS):
            there = missing(far)
            if not there < 0.0:
                break
            near, far = far, 1.5 * far
        if not there >= 0.0:
            return float("nan")
        try:
            root = float(brentq(missing, near, far, xtol=1e-13, rtol=1e-13))
        except ValueError:  # nan on the way
            return float("nan")
        return float(self.optimum[j]) + root * unit


class _Branches:
    """The profile of parameter j: the others at the highest maximum that is reached from any of the starts."""

    def __init__(self, whole: _LogLikelihood, j: int) -> None:
        self._whole, self._j = whole, j
        self.starts: list[Array] = [np.delete(whole.optimum, j)]

    def fall(self, value: float) -> float:
        """How far below its maximum the log-likelihood stays at this value of parameter j; nan if that is not found."""
        whole, j = self._whole, self._j
        if whole.objective.n_params == 1:
            return float(whole.top + whole.weight * whole.objective.evaluate(np.array([value]), 0).value)
        held = _Held(whole.objective, j, value)
        along = np.delete(whole.ridge(j), j) * (value - whole.optimum[j]) + np.delete(whole.optimum, j)
        ends = [minimize(held, start, Newton(), tol=1e-10) for start in (along, *self.starts)]
        best = min((end for end in ends if end.converged), key=lambda end: end.value, default=None)
        if best is None:
            return float("nan")
        self.starts[0] = best.params
        return float(whole.top + whole.weight * best.value)


class _Held(Objective):
    """An objective as a function of all its parameters but one, which is held."""

    def __init__(self, objective: Objective, j: int, value: float) -> None:
        self._whole, self._j, self._value = objective, j, value
        self.n_params = objective.n_params - 1
        self.is_linear, self.rows_per_parameter = objective.is_linear, objective.rows_per_parameter

    @property
    def scale(self) -> Array | None:
        return None if self._whole.scale is None else np.delete(self._whole.scale, self._j)

    @property
    def gradient_scale(self) -> Array:
        return np.delete(self._whole.gradient_scale, self._j)

    def _evaluate(self, params: Array, order: int, gauss_newton: bool) -> Evaluation:
        found = self._whole.evaluate(np.insert(params, self._j, self._value), order, gauss_newton)
        if isinstance(found, FirstOrder):
            found.gradient = np.delete(found.gradient, self._j)
        if isinstance(found, SecondOrder):
            found.hessian = np.delete(np.delete(found.hessian, self._j, axis=0), self._j, axis=1)
        return found
