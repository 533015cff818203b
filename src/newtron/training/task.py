"""What the training of members is told: the rows, their units, the kinds of members, and how each run is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.threads import cached_property
from newtron.engine.base.types import Array
from newtron.engine.maths.losses import Loss
from newtron.engine.maths.network import Network
from newtron.engine.maths.scaling import Scaling
from newtron.engine.objective import Objective
from newtron.engine.rows import ArrayRows, Rows
from newtron.engine.solvers import Progress, Run, Solution, Solver, State, minimize
from newtron.training.batches import HeldOut, held_out_parts
from newtron.training.cross_fit import MOST_IN_PARTS, PARTS, Division, divided
from newtron.training.effort import EFFORTS, Effort
from newtron.training.settings import Shape

# So many rows of files or of a cluster stand for all where rows are looked at one by one.
_STANDING_FOR_ALL = 20_000


class Kind(NamedTuple):
    """A kind of member: the widths of its hidden layers, and which inputs it takes: so many from number `first` on."""

    shape: Shape
    n_inputs: int
    first: int = 0


class Keeper(Protocol):
    """Where the runs of solvers are kept while they go on, so that a training that was stopped can be resumed."""

    def seed(self, drawn: int) -> int:
        """The seed of the training that is resumed, or the one that was drawn."""

    def run(self, member: int, stage: int, kind: type[State], n_params: int) -> Run | None:
        """The run that was kept of this stage of a member; None where there is none."""

    def keep(self, member: int, stage: int, run: Run) -> None:
        """Keep a run."""

    def close(self) -> None:
        """Keep all runs once more, at the end."""


@dataclass(frozen=True)
class Task:
    """All that the training of members needs to know.

    given: the rows in the user's units; scaling: the units of training. columns: (p,) the number of the table's column
    that each column of these rows is made of: the levels of a category have one. alpha: a number for every weight, (P,)
    penalties, or the rule that chooses them for each kind. spread: whether the starts of a kind have different
    penalties where the rows left out choose these. combine: how members become one prediction. in_batches: the kinds
    that are trained in batches, and stopped by a part of the rows that all of them hold out. effort: how much is spent.
    whole_rows: whether a row is left out with all of its weight where one training says what is left without it.
    gained: what random intercepts around raw predictions (n, k) of the rows that are looked at add to these, learnt
    without the row; None where they have none.
    """

    given: Rows
    scaling: Scaling
    columns: NDArray[np.intp]
    loss: Loss
    kinds: tuple[Kind, ...]
    n_starts: int
    activation: str
    intercept: bool
    alpha: float | str | Array
    solver: str | Solver
    tol: float
    max_iter: int | None
    seed: int
    threads: int
    callback: Callable[[Progress], object] | None
    keeper: Keeper | None = None
    spread: bool = False
    combine: str = "average"
    in_batches: tuple[Kind, ...] = ()
    effort: Effort = EFFORTS["default"]
    whole_rows: bool = False
    gained: Callable[[Array], Array | None] | None = None

    @cached_property
    def looked_at(self) -> ArrayRows:
        """The rows in the user's units: all that are in memory; else as many as are looked at, each of which then
        counts for all those that it stands for."""
        if isinstance(self.given, ArrayRows):
            return self.given
        X, Y, weight, _ = self.given.sample(_STANDING_FOR_ALL, np.random.default_rng(self.seed)).whole()
        if len(Y) < self.given.n_rows:
            counted = np.ones(len(Y)) if weight is None else weight
            weight = counted * (self.given.total_weight / float(counted.sum()))
        return ArrayRows(X, Y, weight, threads=self.threads)

    @cached_property
    def division(self) -> Division:
        """The parts of the rows that are looked at, each of which is left out."""
        classes = self.loss.task == "classification"
        if self.in_batches:
            return divided(self.looked_at, classes, self.seed, held_out_parts(self.looked_at.n_rows)).first_only
        found = divided(self.looked_at, classes, self.seed)
        return found if self.looked_at.n_rows <= MOST_IN_PARTS else found.first_only

    @cached_property
    def held_out(self) -> NDArray[np.intp]:
        """The numbers, among all rows, of those that trainings in batches hold out."""
        found = self.division.of(0)
        if isinstance(self.given, ArrayRows):
            return found
        return np.asarray(self.given.drawn(_STANDING_FOR_ALL, np.random.default_rng(self.seed))[found])

    def network_of(self, kind: Kind) -> Network:
        """The network of the members of a kind."""
        return Network((kind.n_inputs, *kind.shape, self.given.n_outputs), self.activation, self.intercept)

    def scaling_of(self, kind: Kind) -> Scaling:
        """The units of training, with the inputs of a kind alone."""
        return self.scaling.taking(kind.n_inputs, kind.first)

    def held_out_of(self, kind: Kind) -> HeldOut:
        """The same rows as a network of the kind takes them."""
        looked = self.looked_at.standardized(self.scaling_of(kind))
        X, Y, weight, _ = looked.part(self.division.of(0), copied=True).whole()
        return HeldOut(X, Y, weight, self.division.of(0), looked.n_rows)

    @property
    def jobs(self) -> list[tuple[Kind, int]]:
        """Kind and start of each member. A perceptron, shape (), has one basin: further starts find the same."""
        return [(kind, start) for kind in self.kinds for start in range(self.starts_of(kind))]

    def starts_of(self, kind: Kind) -> int:
        """How many members of a kind there are: of one beside kinds in batches no more than where rows are few."""
        if not kind.shape:
            return 1
        beside = self.in_batches and kind not in self.in_batches
        return min(self.n_starts, self.effort.starts) if beside else self.n_starts

    @cached_property
    def rows(self) -> Rows:
        """The rows in the units of training, with all inputs."""
        return self.given.standardized(self.scaling)

    @cached_property
    def _rows_by_inputs(self) -> dict[tuple[int, int], Rows]:
        known = {(self.scaling.n_inputs, 0): self.rows}
        for kind in self.kinds:
            if (kind.n_inputs, kind.first) not in known:
                known[kind.n_inputs, kind.first] = self.given.standardized(self.scaling_of(kind))
        return known

    def rows_of(self, kind: Kind) -> Rows:
        """The rows as a network of the kind takes them."""
        return self._rows_by_inputs[kind.n_inputs, kind.first]

    @property
    def kept_runs(self) -> int:
        """How many numbers a keeper has for runs: of each member, and of each part of the rows for each kind."""
        return len(self.jobs) + PARTS * len(self.kinds)

    def kept_for(self, kind: Kind, part: int) -> int:
        """The number under which the runs are kept that look for the penalty of a kind."""
        return len(self.jobs) + PARTS * self.kinds.index(kind) + part

    def minimum(
        self,
        objective: Objective,
        params: Array,
        solver: Solver,
        *,
        tol: float,
        max_iter: int | None,
        callback: Callable[[Progress], object] | None,
        member: int = 0,
        stage: int = 0,
    ) -> Solution:
        """One stage of a member's training: it resumes the run that the keeper has of it, and keeps its own."""
        resume = keep = None
        if self.keeper is not None:
            resume = self.keeper.run(member, stage, solver.state_type, objective.n_params)
            keep = partial(self.keeper.keep, member, stage)
        return minimize(
            objective, params, solver, tol=tol, max_iter=max_iter, callback=callback, resume=resume, keep=keep
        )
