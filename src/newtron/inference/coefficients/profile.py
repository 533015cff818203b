"""Profile-likelihood intervals: the values of a coefficient at which the likelihood, maximised over all others, has
fallen by a given amount.

A bound of β_j solves ℓ(β) = ℓ_max - ½ χ²(coverage) with ∂ℓ/∂β_k = 0 for every k but j. Newton's method solves all of
these equations together (Venzon & Moolgavkar 1988, in the form of Heinze & Schemper 2002): with J the curvature of -ℓ
and U the score of ℓ, the step is J^-1 (U + λ e_j), where λ makes the quadratic model of ℓ meet the bound. Such
intervals are asymmetric where the likelihood is, and keep their coverage under Firth's penalty and in small samples,
where estimate ± 1.96 standard errors does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from newtron.engine.base.checks import check_number
from newtron.engine.base.linalg import factorize
from newtron.engine.base.threads import one_blas_thread
from newtron.engine.base.types import Array
from newtron.engine.objective import Evaluation, FirstOrder, Objective, SecondOrder
from newtron.engine.solvers import Newton, minimize

# Newton steps to a bound, and halvings of one step, at most.
_STEPS, _HALVINGS = 100, 30
# A step is at most so many times as long as the distance to the bound of a quadratic likelihood.
_LONGEST = 2.0
# The search ends at a step of this squared length in standard errors: the length of Newton's next step would be about
# the square of this one's.
_SHORT = 1e-18
# How far the log-likelihood may be from the bound, relative to the fall where that is above 1, and by how much another
# maximum over the other coefficients may exceed the one that was found.
_MET, _HIGHER = 1e-8, 1e-7
# Tolerance of the maximum over the other coefficients.
_TOLERANCE = 1e-10
# The bracket of a bound starts at half the distance of a quadratic likelihood and grows by this factor, so many times.
_FIRST, _GROWTH, _OUTWARDS = 0.5, 1.5, 20
# Relative and absolute tolerance of the root within the bracket.
_ROOT = 1e-13


class Profile(NamedTuple):
    """Intervals and tests by the profile likelihood; nan where they were not found.

    intervals: (P, 2). statistics: (P,) twice the fall of the log-likelihood from its maximum to where the parameter is
    0. p_values: (P,) theirs by χ² with one degree of freedom.
    """

    intervals: Array
    statistics: Array
    p_values: Array


def profile_tests(objective: Objective, params: Array, weight: float, which: Sequence[int] | None = None) -> Array:
    """Likelihood-ratio statistics (len(which),) of the hypotheses that each parameter is 0; arguments as in
    `profile_intervals`.

    Under Firth's penalty the penalty of the whole model stays, as in logistf (Heinze & Schemper 2002).
    """
    chosen = range(objective.n_params) if which is None else which
    with one_blas_thread(), np.errstate(all="ignore"):
        likelihood = _log_likelihood(objective, params, weight)
        return np.array([np.nan if likelihood is None else likelihood.statistic(j) for j in chosen])


def profile_intervals(
    objective: Objective,
    params: Array,
    weight: float,
    *,
    coverage: float = 0.95,
    which: Sequence[int] | None = None,
) -> Array:
    """The bounds (len(which), 2) of parameters, the lower ones first.

    objective: minus the log-likelihood (or the penalised one) divided by `weight`, such as a `FirthObjective` with its
    `total_weight`. params: (P,) its optimum. coverage: between 0 and 1. which: numbers of parameters; None means all.
    A bound is nan where it is not found, because the likelihood does not fall so far (separated classes) or is not
    finite there. Raises InputError for a coverage out of range.
    """
    check_number("coverage", coverage, above=0.0, below=1.0)
    from scipy.special import chdtri

    fall = 0.5 * float(chdtri(1.0, 1.0 - coverage))
    chosen = range(objective.n_params) if which is None else which
    with one_blas_thread(), np.errstate(all="ignore"):
        likelihood = _log_likelihood(objective, params, weight)
        if likelihood is None:
            return np.full((len(chosen), 2), np.nan)
        return np.array([[likelihood.bound(j, side, fall) for side in (-1.0, 1.0)] for j in chosen]).reshape(-1, 2)


class _Point(NamedTuple):
    """The log-likelihood at params: its value, its score, its curvature (minus the Hessian, or the expected one where
    that is not definite) and the inverse of that."""

    params: Array
    value: float
    score: Array
    curvature: Array
    inverse: Array


def _point(objective: Objective, params: Array, weight: float) -> _Point | None:
    """None where the log-likelihood is not finite, or neither curvature is positive definite."""
    for gauss_newton in (False, True):
        found = objective.evaluate(params, 2, gauss_newton)
        if not np.isfinite(found.value):
            return None
        factor = factorize(found.hessian)
        if factor is not None:
            inverse = factor.solve(np.eye(len(params))) / weight
            return _Point(params, -weight * found.value, -weight * found.gradient, weight * found.hessian, inverse)
    return None


def _log_likelihood(objective: Objective, optimum: Array, weight: float) -> _LogLikelihood | None:
    maximum = _point(objective, np.asarray(optimum, dtype=np.float64), weight)
    return None if maximum is None else _LogLikelihood(objective, weight, maximum)


class _LogLikelihood:
    """A log-likelihood with its maximum. objective: minus the log-likelihood, divided by weight."""

    def __init__(self, objective: Objective, weight: float, maximum: _Point) -> None:
        self.objective, self.weight, self.maximum = objective, weight, maximum

    def slope_of_ridge(self, j: int) -> Array:
        """(P,) the derivative by parameter j of all parameters at the maximum over the others, near the optimum."""
        inverse = self.maximum.inverse
        return np.asarray(inverse[:, j] / inverse[j, j])

    def statistic(self, j: int) -> float:
        """Twice the fall of the log-likelihood from its maximum to where parameter j is 0."""
        return max(0.0, 2.0 * _ProfileOf(self, j).fall(0.0))

    def bound(self, j: int, side: float, fall: float) -> float:
        """One bound of parameter j, above (side 1) or below (-1) the optimum; nan where it is not found."""
        profile = _ProfileOf(self, j)
        found = self._by_newton(j, side, fall)
        if found is not None:
            profile.starts.append(np.delete(found, j))
            # The likelihood of the others may have several maxima there. This must be the highest that is known.
            if profile.fall(float(found[j])) <= fall + _HIGHER:
                return float(found[j])
        return self._by_bracket(profile, j, side, fall)

    def _by_newton(self, j: int, side: float, fall: float) -> Array | None:
        """All parameters at the bound; None where Newton's method does not find it."""
        here, target = self.maximum, self.maximum.value - fall
        for _ in range(_STEPS):
            left = 2.0 * (here.value - target) + float(here.score @ here.inverse @ here.score)
            pull = side * np.sqrt(max(left, 0.0) / here.inverse[j, j])
            step = here.inverse @ here.score + pull * here.inverse[:, j]
            length = float(step @ here.curvature @ step)
            if length > 2.0 * fall * _LONGEST**2:
                step *= _LONGEST * np.sqrt(2.0 * fall / length)
            for _ in range(_HALVINGS):
                there = _point(self.objective, here.params + step, self.weight)
                if there is not None:
                    break
                step = 0.5 * step
            if there is None:
                return None
            here = there
            if length <= _SHORT:
                return here.params if self._is_bound(here, j, side, target) else None
        return None

    def _is_bound(self, here: _Point, j: int, side: float, target: float) -> bool:
        """True if this is a bound. The equations also have solutions on the other side of the optimum, and solutions
        where the other parameters are at no maximum."""
        met = abs(here.value - target) <= _MET * max(1.0, abs(self.maximum.value - target))
        outside = side * (here.params[j] - self.maximum.params[j]) > 0.0 > side * here.score[j]
        if not (met and outside):
            return False
        hessian = self.objective.evaluate(here.params, 2).hessian
        return len(here.params) == 1 or factorize(np.delete(np.delete(hessian, j, axis=0), j, axis=1)) is not None

    def _by_bracket(self, profile: _ProfileOf, j: int, side: float, fall: float) -> float:
        """The slow way: search outwards from the optimum for the first value at which the likelihood has fallen."""
        from scipy.optimize import brentq

        start = float(self.maximum.params[j])
        unit = side * float(np.sqrt(2.0 * fall * self.maximum.inverse[j, j]))

        def missing(t: float) -> float:
            return profile.fall(start + t * unit) - fall

        near, far = 0.0, _FIRST
        for _ in range(_OUTWARDS):
            there = missing(far)
            if not there < 0.0:
                break
            near, far = far, _GROWTH * far
        if not there >= 0.0:
            return float("nan")
        try:
            root = float(brentq(missing, near, far, xtol=_ROOT, rtol=_ROOT))
        except ValueError:  # nan on the way
            return float("nan")
        return start + root * unit


class _ProfileOf:
    """The profile of parameter j: the others at the highest maximum that is reached from any of the starts."""

    def __init__(self, whole: _LogLikelihood, j: int) -> None:
        self._whole, self._j = whole, j
        self.starts: list[Array] = [np.delete(whole.maximum.params, j)]

    def fall(self, value: float) -> float:
        """The fall of the log-likelihood from its maximum to this value of parameter j; nan where that is not found."""
        whole, j = self._whole, self._j
        if whole.objective.n_params == 1:
            return float(whole.maximum.value + whole.weight * whole.objective.evaluate(np.array([value]), 0).value)
        held = _Held(whole.objective, j, value)
        optimum = whole.maximum.params
        along = np.delete(whole.slope_of_ridge(j), j) * (value - optimum[j]) + np.delete(optimum, j)
        ends = [minimize(held, start, Newton(), tol=_TOLERANCE) for start in (along, *self.starts)]
        best = min((end for end in ends if end.converged), key=lambda end: end.value, default=None)
        if best is None:
            return float("nan")
        self.starts[0] = best.params
        return float(whole.maximum.value + whole.weight * best.value)


class _Held(Objective):
    """An objective as a function of all its parameters but one, which is held fixed."""

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
