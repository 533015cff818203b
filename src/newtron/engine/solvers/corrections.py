"""Further steps by a factor of curvature that is at hand.

A damped step forms a matrix of curvature and factors it, and a gradient of a network takes a tenth of that time or
less. So the step is followed by corrections, which solve for the new gradient by the same factor (Shamanskii 1967; for
Levenberg-Marquardt Fan 2012, The modified Levenberg-Marquardt method for nonlinear equations with cubic convergence),
changed by the BFGS pairs of the steps since it was formed. They go on while the value falls about as they expect:
to end them where they gain a tenth of the step before took more matrices, and more time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from newtron.engine.base.types import Array
from newtron.engine.objective import Objective
from newtron.engine.objective.local_curvature import DampedCurvature
from newtron.engine.solvers.ends import UNSURE
from newtron.engine.solvers.quasi_newton import Pairs
from newtron.engine.solvers.state import State

# A correction is taken where the value falls by at least this share of what is expected, or, where rounding hides the
# fall, where the descent that is still expected falls to this share.
_AS_EXPECTED = 0.25


class _Next(NamedTuple):
    """The next correction (P,), and the descent that it expects."""

    step: Array
    expected: float


class Corrected(NamedTuple):
    """The parameters (P,) after a step and its corrections, and how many these are."""

    params: Array
    corrections: int


def corrected(objective: Objective, before: State, step: Array, damped: DampedCurvature, most: int) -> Corrected:
    """Correct a step from `before` at most so many times. damped: the curvature by which the step was solved."""
    params = before.params + step
    found = objective.evaluate(params, 1)
    pairs = Pairs.none(objective.n_params).with_pair(objective, step, found.gradient - before.gradient)
    following = _next(pairs, found.gradient, damped)
    for number in range(most):
        if following is None:
            return Corrected(params, number)
        trial = params + following.step
        value, unsure = objective.evaluate(trial, 0).value, UNSURE * abs(found.value)
        decided = following.expected > unsure
        enough = _AS_EXPECTED * following.expected if decided else -unsure
        if not found.value - value >= enough:
            return Corrected(params, number)
        reached = objective.evaluate(trial, 1)
        pairs = pairs.with_pair(objective, following.step, reached.gradient - found.gradient)
        last, following = following, _next(pairs, reached.gradient, damped)
        if not decided and (following is None or following.expected > _AS_EXPECTED * last.expected):
            return Corrected(params, number)
        params, found = trial, reached
    return Corrected(params, most)


def _next(pairs: Pairs, gradient: Array, damped: DampedCurvature) -> _Next | None:
    """None where there is nothing to gain, or nothing that could be computed."""
    step = -pairs.times_inverse(gradient, lambda q: _solved(damped, q))
    expected = -0.5 * float(step @ gradient)
    return _Next(step, expected) if expected > 0.0 and np.isfinite(expected) else None


def _solved(damped: DampedCurvature, q: Array) -> Array:
    solved = damped.solve(q)
    return np.full_like(q, np.nan) if solved is None else solved
