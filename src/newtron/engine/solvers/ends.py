"""When a step is worth taking, and whether the point where a solver stopped is a minimum."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from newtron.engine.base.errors import InputError
from newtron.engine.base.linalg import newton_decrement
from newtron.engine.base.types import Array
from newtron.engine.objective import Objective, SecondOrder
from newtron.engine.solvers.by_rows import LITTLE, hidden_descent
from newtron.engine.solvers.state import S, Solver, State, Status, relative_gradient


def check_start(objective: Objective, found: SecondOrder) -> None:
    """Raise an InputError where a curvature is not finite though value and gradient are. Where there are rows it may be
    so: QR of them may still find a step."""
    if objective.scale is not None or np.isfinite(found.hessian).all():
        return
    if np.isfinite(found.value) and np.isfinite(found.gradient).all():
        raise InputError(
            f"The Hessian of {type(objective).__name__} is not finite at the starting point, though its value and "
            "gradient are: compare it with differences of the gradient, or start elsewhere."
        )


class StoppingRule:
    """Decides after each step whether it was the last.

    asked: has `Objective.escapes_to_infinity` been asked? reason: why the objective has no minimum, once that is known.
    note: what else there is to say of the end.
    """

    def __init__(
        self,
        objective: Objective,
        solver: Solver,
        tol: float,
        first_value: float,
        asked: bool = False,
        reason: str = "",
    ) -> None:
        self._objective, self._solver, self._tol = objective, solver, tol
        self._exact_decrement = solver.exact_decrement
        # Of a squared decrement that is negligible: the share of the value, and what is left of the first value.
        least = max(tol**3, (8.0 * float(np.finfo(np.float64).eps)) ** 2)
        self._share, self._least = tol**2, least * abs(first_value)
        self.asked, self.reason, self.note = asked, reason, ""

    def with_decrement(self, state: S, gradient_norm: float, gained: float | None = None) -> S:
        """The state with its decrement in the place of a lower bound, where that leaves open whether the run ends.
        gained: as in `status_of`."""
        enough = self._enough(state)
        little = state.decrement * state.decrement <= enough or (gained is not None and gained <= enough)
        if (gradient_norm <= self._tol and little) or self._expects_rounding(state):
            return replace(state, decrement=self._solver.decrement(self._objective, state))
        return state

    def status_of(self, state: State, gradient_norm: float, gained: float | None = None) -> Status | None:
        """The status of the run at a state, None where it goes on. gained: by how much the last step lowered the value;
        None where there was no step."""
        if not (np.isfinite(state.value) and np.isfinite(state.gradient).all()):
            return Status.NOT_FINITE if state.iteration == 0 else Status.DIVERGED
        ended = self._ended(state, gradient_norm, gained)
        if ended is None:
            self.reason = self._objective.unbounded_below(state.value) or ""
        small = gradient_norm <= self._tol or (ended is not None and ended.converged)
        at_end = ended is not None and ended.converged
        if small and not self.reason and (at_end or not self.asked):
            # A small gradient may also lie on a way to infinity. The objective is asked when the gradient is first
            # small, since later the curvature is lost in rounding, and before a point is called converged.
            self.asked = True
            self.reason = self._objective.escapes_to_infinity(state.params, state.gradient) or ""
        return Status.UNBOUNDED if self.reason else ended

    def _ended(self, state: State, gradient_norm: float, gained: float | None) -> Status | None:
        small = gradient_norm <= self._tol
        if small and self._nothing_to_gain(state, gained) and not self._curves_down(state):
            if not _is_hidden(self._objective, state, self._exact_decrement):
                return Status.CONVERGED
            self.note = _HIDDEN_DESCENT
            return Status.STALLED
        return Status.PRECISION if self._expects_rounding(state) else state.status

    def _expects_rounding(self, state: State) -> bool:
        """Does the curvature expect no descent beyond rounding, for an objective without a scale? The units of its
        gradient are unknown, and the tolerance may lie below its rounding."""
        if self._objective.scale is not None or not self._exact_decrement or state.status is not None:
            return False
        expected = 0.5 * state.decrement * state.decrement / state.params.size
        return expected <= min(self._tol**2, self._objective.epsilon) * abs(state.value)

    def _enough(self, state: State) -> float:
        """The squared decrement up to which a descent is negligible. It must be small beside the value that is left,
        or, where the fit is perfect, beside what there was to begin with, as far as rounding lets it be seen."""
        # The gradient is that of the worst parameter, the decrement adds up over all of them.
        return max(self._share * abs(state.value), self._least) * state.params.size

    def _nothing_to_gain(self, state: State, gained: float | None) -> bool:
        """Is the descent negligible that the curvature still expects at a point with a small gradient?"""
        enough = self._enough(state)
        gave_up = state.status is Status.STALLED
        if np.isnan(state.decrement) or (gave_up and (self._objective.scale is None or not self._exact_decrement)):
            return True
        if np.isinf(state.decrement) and not gave_up:
            # No minimum by the curvature there, which vanishes at some minima: a step that gains nothing tells.
            return gained is not None and gained <= enough
        return gave_up if np.isinf(state.decrement) else state.decrement * state.decrement <= enough

    def _curves_down(self, state: State) -> bool:
        """Is the point a saddle, at which a solver with the exact curvature stopped?"""
        if not (self._exact_decrement and np.isinf(state.decrement) and "hessian" in self._objective.offers):
            return False
        hessian = self._objective.evaluate(state.params, 2).hessian
        unit = np.sqrt(np.abs(np.diagonal(hessian)))
        unit[unit == 0.0] = 1.0
        values = np.linalg.eigvalsh(hessian / unit / unit[:, None])
        return bool(values[0] < -1e-8 * np.abs(values).max())


def decrement_of(step: Array | None, gradient: Array) -> float:
    """sqrt(g'H^-1 g) from the Newton step; inf where there is no such step, since the point is no minimum."""
    return float("inf") if step is None else max(0.0, -float(gradient @ step)) ** 0.5


# A decrease of the value by less than this share of it is not judged by values: where residuals nearly cancel, the
# value has fewer correct digits than its size suggests.
UNSURE = 1e-9


def sufficient_decrease(objective: Objective, state: State, predicted: float, trial_value: float) -> bool | None:
    """Does a trial step lower the objective sufficiently? None where rounding leaves that undecided.

    predicted: the decrease that the solver's model expects (positive). A decrease of at least 1e-4 of it is sufficient
    (Armijo 1966). Where even the expected decrease is below the rounding of the value, only gradients can decide,
    unless the value falls by more than its rounding.
    """
    if not np.isfinite(trial_value):
        return False
    unsure = max(UNSURE, 10.0 * objective.epsilon) * max(abs(state.value), abs(trial_value))
    gained = state.value - trial_value
    if gained >= 1e-4 * predicted and (gained > unsure or not below_rounding(objective, state, predicted)):
        return True
    return None if predicted <= unsure and trial_value <= state.value + unsure else False


def below_rounding(objective: Objective, state: State, predicted: float) -> bool:
    """Is an expected decrease below the rounding of the value?"""
    return predicted <= 10.0 * objective.epsilon * abs(state.value)


def next_radius(radius: float, length: float, ratio: float) -> float:
    """The radius of the next trust region, after a step of this length that lowered the value by `ratio` of what the
    model expected (Nocedal & Wright, alg. 4.1)."""
    if ratio < 0.25:
        return 0.25 * length
    return 2.0 * radius if ratio > 0.75 and length > 0.9 * radius else radius


def is_nearer(objective: Objective, moved: State, before: State, metric: Array | None = None) -> bool:
    """Is a point nearer to the optimum, where values can no longer decide? The decrement decides, which does not depend
    on units, or else the gradient. metric: (P,) the curvature of each parameter, in whose units the gradient is
    compared where the decrement is not one of the exact curvature."""
    if metric is not None:
        return bool(np.sum(np.square(moved.gradient) / metric) < np.sum(np.square(before.gradient) / metric))
    if np.isfinite(moved.decrement) and np.isfinite(before.decrement):
        return moved.decrement < before.decrement
    return relative_gradient(objective, moved.gradient) < relative_gradient(objective, before.gradient)


def at_parameter_rounding(state: S, perfect: float = 0.0) -> S:
    """The state with the status of a point beside which no doubles are nearer to the optimum: columns depend on each
    other so closely that rounding their coefficients costs as much as there is left to gain. perfect: an expected
    descent of at most this is negligible too."""
    if 0.5 * state.decrement * state.decrement <= max(LITTLE * abs(state.value), perfect):
        return replace(state, status=Status.PRECISION)
    note = "Columns depend on each other so closely that rounding their coefficients hides the lowest value."
    return replace(state, status=Status.STALLED, note=f"{note} {state.note}".strip())


_HIDDEN_DESCENT = (
    "Columns nearly depend on each other, and their gradient and curvature no longer tell them apart: "
    "the solver 'newton' does; or combine the columns, or give a penalty."
)
# Parameters up to which a Hessian is formed to judge an end: it takes 8 MB, and 0.1 s to factor.
_MATRIX = 1000
# An expected descent of at most this share of the value (2e-14) is lost in the rounding of a few operations.
_HIDDEN = 100.0 * float(np.finfo(np.float64).eps)


def at_precision(objective: Objective, state: S, *, exact: bool = False) -> S:
    """The state with the status of a point at which rounding hides any descent: PRECISION, which is converged, where
    the gradient is as small as the arithmetic can make it, and else STALLED.

    exact: is the state's decrement that of the objective's own curvature (`Solver.exact_decrement`)?
    """
    if _is_hidden(objective, state, exact):
        return replace(state, status=Status.STALLED, note=_HIDDEN_DESCENT)
    return replace(state, status=Status.PRECISION if _is_at_precision(objective, state, exact) else Status.STALLED)


def _is_at_precision(objective: Objective, state: State, exact: bool) -> bool:
    """Is the gradient, or the descent that the curvature still expects, as small as rounding?"""
    if not state.gradient.any():
        return True
    if objective.scale is None:
        decrement = _decrement_at(objective, state, exact)
        expected = 0.5 * decrement * decrement
        return bool(expected <= _HIDDEN * abs(state.value)) or _gradient_is_rounding(objective, state)
    small = relative_gradient(objective, state.gradient) <= objective.epsilon**0.5
    # Along columns that nearly depend on each other little gradient is left while a convex value may still fall.
    if small and (exact or not objective.is_convex or objective.n_params > _MATRIX):
        return True
    decrement = _decrement_at(objective, state, exact)
    expected = 0.5 * decrement * decrement
    return bool(expected <= max(1e-12, 10.0 * objective.epsilon) * abs(state.value))


def _is_hidden(objective: Objective, state: State, exact: bool) -> bool:
    """May the value still fall by more than rounding, though neither the gradient nor the Hessian shows it?"""
    if exact or not objective.is_convex or objective.n_params > _MATRIX or "hessian" not in objective.offers:
        return False
    return hidden_descent(objective, state.params) > max(LITTLE, 10.0 * objective.epsilon) * abs(state.value)


def _decrement_at(objective: Objective, state: State, exact: bool) -> float:
    """The decrement by the objective's own curvature; nan where that is indefinite, not offered or a large matrix.

    exact: the state has it, unless rounding in the gradient of a convex objective looks like an unlimited descent along
    a direction without curvature (the common shift of all classes)."""
    if exact and (np.isfinite(state.decrement) or not objective.is_convex):
        return state.decrement
    if objective.n_params > _MATRIX or "hessian" not in objective.offers:
        return float("nan")
    return newton_decrement(objective.evaluate(state.params, 2).hessian, state.gradient)


# Points beside an end at which the gradient is evaluated, each parameter moved by its last digit.
_BESIDE = 3
# A gradient of at most this many times the largest difference between these points is rounding.
_FLOOR = 10.0


def _gradient_is_rounding(objective: Objective, state: State) -> bool:
    """Is the gradient of an objective without a scale no larger than its change when the parameters change in their
    last digits? Then no doubles are nearer to a point where it vanishes."""
    digit = np.spacing(np.abs(state.params))
    noise = np.zeros_like(state.gradient)
    rng = np.random.default_rng(0)
    for _ in range(_BESIDE):
        beside = objective.evaluate(state.params + rng.choice([-1.0, 1.0], digit.size) * digit, 1).gradient
        noise = np.maximum(noise, np.abs(beside - state.gradient))
    return bool(np.all(np.abs(state.gradient) <= _FLOOR * noise))
