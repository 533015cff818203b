"""Settings, state and result of a solver, and the only loop there is.

A `Solver` is frozen settings with one `step`; a `State` is replaced, never changed; a `Solution` says why it
stopped. Anybody may stand between two steps, and stepping by hand gives the same bits.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.checks import check_count, check_number
from newtron.engine.base.linalg import newton_decrement
from newtron.engine.base.threads import one_blas_thread
from newtron.engine.base.words import either, setting
from newtron.engine.objective import Objective
from newtron.engine.solvers.by_rows import LITTLE, hidden_descent

Array = NDArray[np.floating]


class Status(enum.Enum):
    """Why a solver stopped. Each member's value says it, its sentence what can be done, too; only two of them are
    convergence."""

    CONVERGED = "Converged: the gradient is below the tolerance."
    PRECISION = "Converged to the precision of the arithmetic: rounding hides any further descent."
    MAX_ITER = "Not converged: the limit on iterations was reached."
    STALLED = "Not converged: no step lowers the objective any more, but its gradient or curvature is not a minimum's."
    PLATEAU = (
        "Not converged: the training ended on a plateau, where the gradient vanishes only because all curvature does."
    )
    UNBOUNDED = "Not converged: the objective has no minimum, it falls for ever as the coefficients grow."
    DIVERGED = "Not converged: the next step made the objective infinite; the last finite point is kept."
    NOT_FINITE = "Not converged: the objective is not finite at the starting point."
    EARLY_STOPPED = "Stopped by rule; this is not an optimum of the objective."
    STOPPED = "Not converged: stopped by the callback."
    INTERRUPTED = "Not converged: interrupted; the best point so far is kept."

    @property
    def sentence(self) -> str:
        solver = setting("solver") and "choose another solver"
        if self is Status.MAX_ITER:
            return f"{self.value[:-1]}; {either('raise ' + setting('max_iter'), solver)}."
        if self is Status.PLATEAU:
            standardize, penalty = setting("standardize"), f"give a penalty ({setting('alpha')})"
            return f"{self.value[:-1]}; {either(standardize and 'standardize the columns', penalty, solver)}."
        return str(self.value)

    @property
    def converged(self) -> bool:
        return self in (Status.CONVERGED, Status.PRECISION)

    @property
    def final(self) -> bool:
        """Nothing is left to be done: a run that ended so does not go on from where it stopped."""
        return self not in (Status.MAX_ITER, Status.STOPPED, Status.INTERRUPTED)


# Of a state's field: `Solver.restored` makes it again, to the bit, from the rest of the state and the objective.
DERIVED = {"derived": True}


def unset() -> Array:
    """What stands in an array field of a state before the solver sets it."""
    return np.empty(0)


@dataclass(frozen=True)
class State:
    """Where a solver stands. Subclasses add what their method remembers; what can be made again from the rest they mark
    as `DERIVED`, so that a checkpoint is small.

    value, gradient: of the objective at params. decrement: sqrt(g'H^-1 g) there from the solver's own curvature,
    nan where it has none, inf where its curvature has no minimum; half its square is the descent that the quadratic
    model still expects.
    step_size: length of the last step (largest change of a parameter, in the objective's scale).
    status: set where the solver itself must stop.
    """

    params: Array
    value: float
    gradient: Array
    iteration: int = 0
    decrement: float = float("nan")
    step_size: float = 0.0
    status: Status | None = None
    note: str = ""


@dataclass(frozen=True)
class TraceRow:
    """One iteration of a trace: what a progress display shows."""

    iteration: int
    value: float
    gradient_norm: float
    decrement: float
    step_size: float
    seconds: float


@dataclass(frozen=True)
class Solution:
    """What a solver found.

    params: (P,). value: the objective there. gradient_norm: its largest component, relative to the objective's
    gradient scale: what `tol` is compared with. trace: one row per iteration, the start first. counts: how
    often the objective was evaluated, by kind. solver: the settings used. chosen: why they were chosen.
    """

    params: Array
    value: float
    gradient: Array
    gradient_norm: float
    status: Status
    n_iter: int
    trace: tuple[TraceRow, ...]
    counts: dict[str, int]
    solver: Solver
    seconds: float
    note: str = ""
    chosen: str = ""

    @property
    def converged(self) -> bool:
        return self.status.converged

    @property
    def sentence(self) -> str:
        """Why it stopped, in words."""
        return f"{self.status.sentence} {self.note}".strip()


S = TypeVar("S", bound=State)


class Solver(ABC):
    """Frozen settings of a method, and one step of it."""

    name: ClassVar[str]
    state_type: ClassVar[type[State]] = State
    default_max_iter: ClassVar[int] = 1000
    # Is the decrement of its states that of the objective's own curvature? That of an approximation is no measure of an
    # end: where it takes the curvature for greater than it is, any gradient looks small.
    exact_decrement: ClassVar[bool] = False

    @abstractmethod
    def init(self, objective: Objective, params: Array) -> State:
        """The state before the first step."""

    @abstractmethod
    def step(self, objective: Objective, state: Any) -> State:
        """One accepted step, or the same point with a status that says why there is none."""

    def restored(self, objective: Objective, state: Any) -> State:
        """A state that lacks its `DERIVED` fields, with them: the same bits as before they were left out."""
        del objective
        return state  # type: ignore[no-any-return]

    def finish(self, objective: Objective, state: Any) -> State:
        """The last state as it is handed back: for a solver whose states estimate the value and gradient."""
        del objective
        return state  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Progress:
    """What a callback is given after each iteration: the state, the last row of the trace, of several members trained
    side by side which one this is, and the strength of the penalty that it is trained with just now (of several, the
    greatest): a search for the penalty trains a member several times, each from iteration 1."""

    state: State
    row: TraceRow = field(repr=False)
    member: int = 0
    members: int = 1
    penalty: float = 0.0


Callback = Callable[[Progress], Any]


@dataclass(frozen=True)
class Run:
    """A run of `minimize` between two steps: with it, the same solver goes on as if it had never stopped.

    trace: its first `rows` rows belong to this run; the list may grow. counts: evaluations until here. asked, reason:
    what the judge of the end has asked and been told. status: set where nothing is left to be done.
    """

    state: State
    trace: list[TraceRow]
    rows: int
    counts: Mapping[str, int]
    seconds: float
    asked: bool = False
    reason: str = ""
    status: Status | None = None


def relative_gradient(objective: Objective, gradient: Array) -> float:
    """Largest component of the gradient, each relative to the objective's own scale."""
    return float(np.max(np.abs(gradient) / objective.gradient_scale, initial=0.0))


def scaled_step(objective: Objective, step: Array) -> Array:
    """A step in units of the objective's scale (1 where there is none)."""
    scale = objective.scale
    return step if scale is None else step * scale


def step_length(objective: Objective, step: Array) -> float:
    """Largest change that a step makes to the model, by its scale (1 where there is none)."""
    return float(np.max(np.abs(scaled_step(objective, step)), initial=0.0))


def minimize(
    objective: Objective,
    params: Array,
    solver: Solver,
    *,
    tol: float = 1e-12,
    max_iter: int | None = None,
    callback: Callback | None = None,
    resume: Run | None = None,
    keep: Callable[[Run], Any] | None = None,
) -> Solution:
    """Run a solver from params until it converges or must stop.

    tol: convergence is a relative gradient (`Objective.gradient_scale`) of at most tol.
    max_iter: limit on steps; None is the solver's own.
    callback: called with a `Progress` after each step; a true answer stops.
    keep: called with a `Run` after each step, before the callback, and at the end. resume: such a run of the same
    objective and solver, from which this one goes on, to the same bits as if it had never stopped; params is then not
    looked at.

    Ctrl-C ends the run between or within steps and returns the best point so far with status INTERRUPTED.
    """
    limit = _limit(solver, tol, max_iter)
    # Overflow far from the optimum is no accident but an answer: the value is inf and the step is not taken.
    with one_blas_thread(), np.errstate(all="ignore"):
        course = _Loop(objective, solver, tol, params, resume)
        status = course.status
        try:
            while status is None:
                if course.state.iteration >= limit:
                    status = Status.MAX_ITER
                    break
                moved = course.step()
                status = course.status
                if keep is not None:
                    keep(course.run())
                if callback is not None and moved and callback(Progress(course.state, course.trace[-1])):
                    status = status or Status.STOPPED
        except KeyboardInterrupt:
            status = status or Status.INTERRUPTED
        if keep is not None and status.final:
            keep(course.run())
        state = solver.finish(objective, course.state)
    return Solution(
        params=state.params.copy(),  # whoever gets it may change it: what was kept stays
        value=state.value,
        gradient=state.gradient,
        gradient_norm=relative_gradient(objective, state.gradient),
        status=status,
        n_iter=state.iteration,
        trace=tuple(course.trace),
        counts=dict(objective.counts - course.counts_before),
        solver=solver,
        seconds=course.seconds,
        note=course.judge.reason or state.note,
    )


class _Loop:
    """A run on its way: begun at params, or taken up where another was kept."""

    def __init__(self, objective: Objective, solver: Solver, tol: float, params: Array, resume: Run | None) -> None:
        self._objective, self._solver = objective, solver
        self._started = perf_counter()
        self.counts_before = objective.counts.copy()
        self.status: Status | None
        if resume is None:
            self.state = solver.init(objective, np.array(params, dtype=np.float64))
            self.trace = [self._row()]
            self.judge = _StoppingRule(objective, tol, self.state.value, solver.exact_decrement)
            self.status = self.judge.verdict(self.state, self.trace[-1].gradient_norm)
            return
        self._started -= resume.seconds
        self.state = solver.restored(objective, resume.state)
        self.trace = resume.trace[: resume.rows]
        self.judge = _StoppingRule(
            objective, tol, self.trace[0].value, solver.exact_decrement, resume.asked, resume.reason
        )
        self.status = resume.status
        # What restoring took is no part of the run.
        objective.counts.clear()
        objective.counts.update(self.counts_before)
        objective.counts.update(resume.counts)

    @property
    def seconds(self) -> float:
        return perf_counter() - self._started

    def step(self) -> bool:
        """One step and the verdict on it; was there one?"""
        before, self.state = self.state, self._solver.step(self._objective, self.state)
        moved = self.state.iteration > before.iteration
        if moved:
            self.trace.append(self._row())
        gained = before.value - self.state.value if moved else None
        self.status = self.judge.verdict(self.state, self.trace[-1].gradient_norm, gained)
        if self.judge.note:
            self.state = replace(self.state, note=self.judge.note)
        if self.status is Status.DIVERGED and moved:
            self.state = before
            self.trace.pop()
            return False
        return moved

    def run(self) -> Run:
        counts = dict(self._objective.counts - self.counts_before)
        done, judge = len(self.trace), self.judge
        return Run(self.state, self.trace, done, counts, self.seconds, judge.asked, judge.reason, self.status)

    def _row(self) -> TraceRow:
        state = self.state
        norm = relative_gradient(self._objective, state.gradient)
        return TraceRow(state.iteration, state.value, norm, state.decrement, state.step_size, self.seconds)


def _limit(solver: Solver, tol: float, max_iter: int | None) -> int:
    check_number("tol", tol, above=0.0)
    return solver.default_max_iter if max_iter is None else check_count("max_iter", max_iter)


class _StoppingRule:
    """Says after each step whether it was the last. reason: why the objective has no minimum, once that is known. note:
    what else there is to say of the end."""

    def __init__(
        self,
        objective: Objective,
        tol: float,
        first_value: float,
        exact_decrement: bool,
        asked: bool = False,
        reason: str = "",
    ) -> None:
        self._objective, self._tol, self._first_value = objective, tol, first_value
        self._exact_decrement = exact_decrement
        self.asked, self.reason, self.note = asked, reason, ""

    def verdict(self, state: State, gradient_norm: float, gained: float | None = None) -> Status | None:
        """gained: by how much the last step lowered the value; None where there was none."""
        if not (np.isfinite(state.value) and np.isfinite(state.gradient).all()):
            return Status.NOT_FINITE if state.iteration == 0 else Status.DIVERGED
        ended = self._ended(state, gradient_norm, gained)
        if ended is None:
            self.reason = self._objective.unbounded_below(state.value) or ""
        small = gradient_norm <= self._tol or (ended is not None and ended.converged)
        at_end = ended is not None and ended.converged
        if small and not self.reason and (at_end or not self.asked):
            # A small gradient may also be a place on the way to infinity. Asked where it first is small, since later
            # the curvature there is rounding, and before anything is called converged.
            self.asked = True
            self.reason = self._objective.escapes_to_infinity(state.params, state.gradient) or ""
        return Status.UNBOUNDED if self.reason else ended

    def _ended(self, state: State, gradient_norm: float, gained: float | None) -> Status | None:
        small = gradient_norm <= self._tol
        if small and self._rests(state, gained) and not self._curves_down(state):
            if not _is_hidden(self._objective, state, self._exact_decrement):
                return Status.CONVERGED
            self.note = _HIDDEN_DESCENT
            return Status.STALLED
        if self._objective.scale is None and self._exact_decrement and state.status is None:
            # The gradient's units are unknown, and the tolerance may lie below its rounding.
            expected = 0.5 * state.decrement * state.decrement / state.params.size
            if expected <= min(self._tol**2, self._objective.epsilon) * abs(state.value):
                return Status.PRECISION
        return state.status

    def _rests(self, state: State, gained: float | None) -> bool:
        """Is there, where the gradient is small, nothing left to be gained?"""
        # The decrement is free of all units. It must be small beside the value that is left, or, where the fit is
        # perfect, beside what there was to begin with, as far as rounding lets it be seen.
        tol = self._tol
        least = max(tol**3, (8.0 * float(np.finfo(np.float64).eps)) ** 2)
        enough = max(tol**2 * abs(state.value), least * abs(self._first_value))
        # The gradient is that of the worst parameter, the decrement adds up over all of them.
        enough *= state.params.size
        gave_up = state.status is Status.STALLED
        if np.isnan(state.decrement) or (gave_up and (self._objective.scale is None or not self._exact_decrement)):
            return True
        if np.isinf(state.decrement) and not gave_up:
            # No minimum by the curvature there, which vanishes at some minima: a step that gains nothing tells.
            return gained is not None and gained <= enough
        return gave_up if np.isinf(state.decrement) else state.decrement * state.decrement <= enough

    def _curves_down(self, state: State) -> bool:
        """Is a point that a solver with the exact curvature cannot leave a saddle, as the plain Newton step finds?"""
        if not (self._exact_decrement and np.isinf(state.decrement)):
            return False
        hessian = self._objective.evaluate(state.params, 2).hessian
        unit = np.sqrt(np.abs(np.diagonal(hessian)))
        unit[unit == 0.0] = 1.0
        values = np.linalg.eigvalsh(hessian / unit / unit[:, None])
        return bool(values[0] < -1e-8 * np.abs(values).max())


def decrement_of(step: Array | None, gradient: Array) -> float:
    """sqrt(g'H^-1 g) from the Newton step; inf where there is none: such a point is no minimum."""
    return float("inf") if step is None else max(0.0, -float(gradient @ step)) ** 0.5


# A decrease of the value by less than this share is not judged by values: residuals that nearly cancel leave fewer
# digits in it than its size suggests.
_UNSURE = 1e-9


def sufficient_decrease(objective: Objective, state: State, predicted: float, trial_value: float) -> bool | None:
    """Does a trial step lower the objective as it should? None where rounding leaves that undecided.

    predicted: the decrease that the solver's model expects (positive). Accepts a decrease of at least 1e-4 of
    it (Armijo). Where even the expected decrease drowns in the rounding of the value, only gradients can tell, unless
    the value falls by more than rounding could make of it.
    """
    if not np.isfinite(trial_value):
        return False
    unsure = max(_UNSURE, 10.0 * objective.epsilon) * max(abs(state.value), abs(trial_value))
    gained = state.value - trial_value
    if gained >= 1e-4 * predicted and (gained > unsure or not below_rounding(objective, state, predicted)):
        return True
    return None if predicted <= unsure and trial_value <= state.value + unsure else False


def below_rounding(objective: Objective, state: State, predicted: float) -> bool:
    """Is an expected decrease below the rounding of the value?"""
    return predicted <= 10.0 * objective.epsilon * abs(state.value)


def is_nearer(objective: Objective, moved: State, before: State, metric: Array | None = None) -> bool:
    """Is a point nearer to the optimum, where values no longer tell? By the decrement, which no change of units
    touches, or else by the gradient. metric: (P,) the curvature of each parameter, in whose units the gradient is
    compared where the decrement is not one of the exact curvature."""
    if metric is not None:
        return bool(np.sum(np.square(moved.gradient) / metric) < np.sum(np.square(before.gradient) / metric))
    if np.isfinite(moved.decrement) and np.isfinite(before.decrement):
        return moved.decrement < before.decrement
    return relative_gradient(objective, moved.gradient) < relative_gradient(objective, before.gradient)


def at_parameter_rounding(state: S, perfect: float = 0.0) -> S:
    """The end where no doubles are nearer to the optimum: columns depend on each other so closely that rounding their
    coefficients costs what is left to be gained. perfect: so little of the value is nothing, either."""
    if 0.5 * state.decrement * state.decrement <= max(LITTLE * abs(state.value), perfect):
        return replace(state, status=Status.PRECISION)
    note = "Columns depend on each other so closely that rounding their coefficients hides the lowest value."
    return replace(state, status=Status.STALLED, note=f"{note} {state.note}".strip())


_HIDDEN_DESCENT = (
    "Columns nearly depend on each other, and their gradient and curvature no longer tell them apart: "
    "solver='newton' does; or combine the columns, or give a penalty (alpha)."
)
# Hessians of so many parameters are formed to judge an end. A descent of this share of the value is lost among the
# rounding of a few operations.
_MATRIX, _HIDDEN = 1000, 100.0 * float(np.finfo(np.float64).eps)


def at_precision(objective: Objective, state: S, *, exact: bool = False) -> S:
    """The end that rounding sets: converged if the gradient is as small as the arithmetic can make it.

    exact: the state's decrement is that of the objective's own curvature (`Solver.exact_decrement`).
    """
    if _is_hidden(objective, state, exact):
        return replace(state, status=Status.STALLED, note=_HIDDEN_DESCENT)
    return replace(state, status=Status.PRECISION if _is_spent(objective, state, exact) else Status.STALLED)


def _is_spent(objective: Objective, state: State, exact: bool) -> bool:
    if not state.gradient.any():
        return True
    if objective.scale is None:
        decrement = _decrement_at(objective, state, exact)
        expected = 0.5 * decrement * decrement
        return bool(expected <= _HIDDEN * abs(state.value)) or _at_the_floor(objective, state)
    small = relative_gradient(objective, state.gradient) <= objective.epsilon**0.5
    # Along columns that nearly depend on each other little gradient is left while a convex value may still fall.
    if small and (exact or not objective.is_convex or objective.n_params > _MATRIX):
        return True
    decrement = _decrement_at(objective, state, exact)
    expected = 0.5 * decrement * decrement
    return bool(expected <= max(1e-12, 10.0 * objective.epsilon) * abs(state.value))


def _is_hidden(objective: Objective, state: State, exact: bool) -> bool:
    """May the value still fall, though neither the gradient nor the Hessian shows it?"""
    if exact or not objective.is_convex or objective.n_params > _MATRIX:
        return False
    return hidden_descent(objective, state.params) > max(LITTLE, 10.0 * objective.epsilon) * abs(state.value)


def _decrement_at(objective: Objective, state: State, exact: bool) -> float:
    """That of the objective's own curvature; nan where this is indefinite or would be a large matrix.

    exact: the state has it, unless rounding in the gradient of a convex objective looks like a descent without end
    along a direction of no curvature (the common shift of all classes)."""
    if exact and (np.isfinite(state.decrement) or not objective.is_convex):
        return state.decrement
    hessian = objective.evaluate(state.params, 2).hessian if objective.n_params <= _MATRIX else None
    return float("nan") if hessian is None else newton_decrement(hessian, state.gradient)


# Points beside an end whose gradients are looked at there, and how many times their difference is no more than that.
_BESIDE, _FLOOR = 3, 10.0


def _at_the_floor(objective: Objective, state: State) -> bool:
    """Is the gradient of an objective without a scale no greater than what a change of the parameters in their last
    digits makes of it? Then no doubles are nearer to a point where it vanishes."""
    digit = np.spacing(np.abs(state.params))
    noise = np.zeros_like(state.gradient)
    rng = np.random.default_rng(0)
    for _ in range(_BESIDE):
        beside = objective.evaluate(state.params + rng.choice([-1.0, 1.0], digit.size) * digit, 1).gradient
        noise = np.maximum(noise, np.abs(beside - state.gradient))
    return bool(np.all(np.abs(state.gradient) <= _FLOOR * noise))
