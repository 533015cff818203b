"""Settings, state and result of a solver.

A `Solver` is frozen settings with one `step`; a `State` is replaced, never changed; a `Solution` says why it
stopped. Anybody may stand between two steps, and stepping by hand gives the same bits.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeAlias, TypeVar

import numpy as np

from newtron.engine.base.types import Array
from newtron.engine.base.words import either, setting
from newtron.engine.objective import FirstOrder, Objective, Offer

# The state of the solver itself. Each solver has a class of its own for its states; a signature could say so only by a
# type parameter of every `Solver`.
OwnState: TypeAlias = Any


class Status(enum.Enum):
    """Why a solver stopped. The value of a member says why; its `sentence` also says what can be done. Only two members
    are convergence.

    Examples
    --------
    >>> from newtron.engine import Status
    >>> print(Status.STOPPED.value)
    Not converged: stopped by the callback.
    """

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

    def __reduce__(self) -> tuple[type[Status], tuple[str]]:
        # Enum has __reduce_ex__ alone, which pickle asks for; skops asks for this one.
        return Status, (self.value,)

    @property
    def converged(self) -> bool:
        return self in (Status.CONVERGED, Status.PRECISION)

    @property
    def final(self) -> bool:
        """Is the run complete, so that it cannot be continued from where it stopped?"""
        return self not in (Status.MAX_ITER, Status.STOPPED, Status.INTERRUPTED)


# Metadata of a field of a state: `Solver.restored` computes it again, to the bit, from the rest of the state and the
# objective, so that checkpoints leave it out.
DERIVED = {"derived": True}


def unset() -> Array:
    """What stands in an array field of a state before the solver sets it."""
    return np.empty(0)


@dataclass(frozen=True)
class State:
    """The state of a solver between two steps. Subclasses add what their method remembers, and mark as `DERIVED` what
    can be computed again from the rest.

    Attributes
    ----------
    params : (P,)
    value, gradient : float, (P,)
        Those of the objective at params.
    iteration : int
    decrement : float
        sqrt(g'H⁻¹g) at params from the solver's own curvature, nan where it has none, inf where its curvature has no
        minimum; half its square is the descent that the quadratic model still expects. Of Levenberg-Marquardt it is a
        lower bound, which counts the damping as curvature, while the run cannot end yet.
    step_size : float
        The length of the last step: the largest change of a parameter, in the objective's scale.
    status : Status or None
        Set where the solver itself must stop.
    note : str

    Examples
    --------
    >>> import numpy as np
    >>> from newtron import Newton, PerceptronRegressor
    >>> x, y = np.array([[1.0], [2.0], [3.0]]), np.array([2.0, 4.0, 5.0])
    >>> seen = []
    >>> model = PerceptronRegressor(solver=Newton(), callback=lambda progress: seen.append(progress.state)).fit(x, y)
    >>> seen[0].params.round(6)
    array([1.5     , 0.666667])
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
    """One iteration of a trace: what a progress display shows.

    Attributes
    ----------
    iteration : int
    value : float
        The objective.
    gradient_norm : float
        The largest component of the gradient, relative to the objective's gradient scale.
    decrement : float
        As in `State`.
    step_size : float
        As in `State`.
    seconds : float
        Since the start.

    Examples
    --------
    >>> import numpy as np
    >>> from newtron import Newton, PerceptronRegressor
    >>> x, y = np.array([[1.0], [2.0], [3.0]]), np.array([2.0, 4.0, 5.0])
    >>> for row in PerceptronRegressor(solver=Newton()).fit(x, y).solution_.trace:
    ...     print(row.iteration, round(row.value, 4))
    0 7.5
    1 0.0278
    """

    iteration: int
    value: float
    gradient_norm: float
    decrement: float
    step_size: float
    seconds: float


@dataclass(frozen=True)
class Solution:
    """What a solver found.

    Attributes
    ----------
    params : (P,)
    value : float
        The objective at params.
    gradient : (P,)
    gradient_norm : float
        The largest component of the gradient, relative to the objective's gradient scale: what `tol` is compared with.
    status : Status
    n_iter : int
    trace : tuple of TraceRow
        One row per iteration, the start first.
    counts : dict
        How often the objective was evaluated, by kind.
    solver : Solver
        The settings used.
    seconds : float
    note : str
        What else is to be told.
    chosen : str
        Why the settings were chosen.

    Examples
    --------
    >>> import numpy as np
    >>> from newtron import Newton, PerceptronRegressor
    >>> x, y = np.array([[1.0], [2.0], [3.0]]), np.array([2.0, 4.0, 5.0])
    >>> solution = PerceptronRegressor(solver=Newton()).fit(x, y).solution_
    >>> solution.converged, solution.n_iter
    (True, 1)
    >>> print(solution.sentence)
    Converged: the gradient is below the tolerance.
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


def after_step(objective: Objective, state: S, step: Array, found: FirstOrder) -> S:
    """The state after a step (P,), with what was evaluated there."""
    return replace(
        state,
        params=state.params + step,
        value=found.value,
        gradient=found.gradient,
        iteration=state.iteration + 1,
        step_size=step_length(objective, step),
    )


class Solver(ABC):
    """Frozen settings of a method, and one step of it.

    Examples
    --------
    >>> from newtron import Newton
    >>> Newton(damped=False)
    Newton(radius=None, damped=False)
    """

    name: ClassVar[str]
    state_type: ClassVar[type[State]] = State
    default_max_iter: ClassVar[int] = 1000
    # What the solver asks of an objective beside value and gradient.
    needs: ClassVar[tuple[Offer, ...]] = ()
    # Is the decrement of its states that of the objective's own curvature? An approximation that overestimates the
    # curvature makes any gradient look small, so its decrement does not show an end.
    exact_decrement: ClassVar[bool] = False

    @abstractmethod
    def init(self, objective: Objective, params: Array) -> State:
        """The state before the first step."""

    @abstractmethod
    def step(self, objective: Objective, state: OwnState) -> State:
        """One accepted step, or the same point with a status that says why there is none."""

    def restored(self, objective: Objective, state: OwnState) -> State:
        """A state whose `DERIVED` fields are missing, with these computed again to the same bits."""
        del objective
        return state  # type: ignore[no-any-return]

    def decrement(self, objective: Objective, state: OwnState) -> float:
        """The decrement at a state, where `State.decrement` may be a lower bound of it."""
        del objective
        return float(state.decrement)

    def finish(self, objective: Objective, state: OwnState) -> State:
        """The last state as it is returned; a solver whose states estimate value and gradient computes them here."""
        del objective
        return state  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Progress:
    """What a callback receives after each iteration.

    Attributes
    ----------
    state : State
    row : TraceRow
        The last row of the trace.
    member, members : int
        Which of how many members that are trained side by side this is.
    penalty : float
        The strength of the penalty that the member is trained with now (the greatest of several); a search for the
        penalty trains a member several times, each time from iteration 1.

    Examples
    --------
    >>> import numpy as np
    >>> from newtron import Newton, PerceptronRegressor
    >>> x, y = np.array([[1.0], [2.0], [3.0]]), np.array([2.0, 4.0, 5.0])
    >>> def tell(progress):
    ...     print(progress.row.iteration, progress.state.params.round(3))
    >>> model = PerceptronRegressor(solver=Newton(), callback=tell).fit(x, y)
    1 [1.5   0.667]
    """

    state: State
    row: TraceRow = field(repr=False)
    member: int = 0
    members: int = 1
    penalty: float = 0.0


Callback = Callable[[Progress], object]


@dataclass(frozen=True)
class Run:
    """A run of `minimize` between two steps, from which the same solver continues as if it had never stopped.

    trace: its first `rows` rows belong to this run; the list may grow. counts: evaluations until here. asked, reason:
    as in `StoppingRule`. status: set where the run is complete.
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
    return float((np.abs(gradient) / objective.gradient_scale).max(initial=0.0))


def scaled_step(objective: Objective, step: Array) -> Array:
    """A step in units of the objective's scale (1 where there is none)."""
    scale = objective.scale
    return step if scale is None else step * scale


def step_length(objective: Objective, step: Array) -> float:
    """Largest change that a step makes to the model, by its scale (1 where there is none)."""
    return float(np.abs(scaled_step(objective, step)).max(initial=0.0))
