"""Whether an unpenalised classifier has an optimum: what becomes of its end where classes are separated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from newtron.engine.base.threads import one_blas_thread
from newtron.engine.base.types import Array
from newtron.engine.maths.scaling import Scaling
from newtron.engine.objective import TrainingObjective
from newtron.engine.rows import ArrayRows, Rows
from newtron.engine.rows.streamed import StreamedRows
from newtron.engine.solvers import Solution, Status
from newtron.inference.separation.overlap import classes_overlap
from newtron.inference.separation.separation import Separation, find_separation
from newtron.training.fitted import Member
from newtron.training.members import member_of, objective_of
from newtron.training.task import Task

_BY_GRADIENT = "the gradient at the end of the training proves it"
# Ends that somebody else decided: they stay what they are, whatever the classes.
_FROM_OUTSIDE = (Status.STOPPED, Status.INTERRUPTED, Status.EARLY_STOPPED)
# Rows times columns times other classes that linear programs are asked about: seconds, and minutes at worst.
_LARGEST = 2e7


def judged(task: Task, member: Member, names: tuple[str, ...] | None) -> tuple[Member, Separation | None]:
    """An unpenalised classifier's member with the end that its classes allow, and what is known of their separation.

    The solver judges by numbers alone. Where the classes are proved to be separated no end is convergence; where they
    are proved to overlap and the solver thought otherwise, it goes on from where it stopped.
    """
    solution = member.solution
    log_loss = task.loss.name == "log_loss"
    if not log_loss and solution.status is not Status.UNBOUNDED:
        return member, None
    with one_blas_thread(), np.errstate(all="ignore"):
        objective = objective_of(task, task.kinds[0], task.threads)
        usable = log_loss and bool(np.isfinite(solution.gradient).all())
        if usable and classes_overlap(objective, solution.params, solution.gradient):
            return _ended(task, objective, member, Separation("none", objective.rows.n_rows, proof=_BY_GRADIENT))
        if solution.status is Status.INTERRUPTED:
            return member, None
        try:
            found = separation_of(member, task.given, task.scaling, names)
            small = _fits_a_program(task.given)
            if found.kind == "undecided" and small and solution.status is Status.UNBOUNDED:
                # Rows that overlap by very little have an optimum far away, and its gradient proves it.
                further = _resumed(task, objective, solution)
                if classes_overlap(objective, further.params, further.gradient):
                    return member_of(task, task.kinds[0], objective, further), replace(
                        found, kind="none", proof=_BY_GRADIENT
                    )
        except KeyboardInterrupt:
            proof = "the search for a plane between them was interrupted"
            found = Separation("undecided", objective.rows.n_rows, proof=proof)
            return replace(member, solution=replace(solution, status=Status.INTERRUPTED, note="")), found
        return _ended(task, objective, member, found)


def _fits_a_program(rows: Rows) -> bool:
    """Are the rows in memory, and few enough for linear programs?"""
    others = max(1, rows.n_outputs - 1)
    return isinstance(rows, ArrayRows) and float(rows.n_rows) * rows.n_features * others <= _LARGEST


def separation_of(member: Member, rows: Rows, scaling: Scaling, names: tuple[str, ...] | None = None) -> Separation:
    """Decide whether the classes of rows, in the user's units, are separated; the search starts at a perceptron."""
    if isinstance(rows, StreamedRows):
        proof = f"a linear program needs the rows in memory, and these are {rows.place}"
        return Separation("undecided", rows.n_rows, proof=proof)
    if not _fits_a_program(rows):
        return Separation("undecided", rows.n_rows, proof="the data are too many for a linear program")
    X, Y, weight, _ = rows.whole()
    others = max(1, rows.n_outputs - 1)
    layer = member.network.split(member.params)[0]
    W = layer.W / scaling.x_scale[:, None]
    b = (np.zeros(W.shape[1]) if layer.b is None else layer.b) - scaling.x_center @ W
    codes = Y.argmax(axis=1) if others > 1 else Y[:, 0].astype(np.int64)
    intercept = member.network.intercept
    return find_separation(X, codes, others + 1, weight, intercept=intercept, names=names, start=(W.T, b))


def _ended(task: Task, objective: TrainingObjective, member: Member, found: Separation) -> tuple[Member, Separation]:
    solution = member.solution
    if found.found:
        if solution.status in _FROM_OUTSIDE:
            return replace(member, solution=replace(solution, note=found.sentence)), found
        return replace(member, solution=replace(solution, status=Status.UNBOUNDED, note=found.sentence)), found
    if found.kind == "none" and solution.status is Status.UNBOUNDED and task.loss.name == "log_loss":
        return member_of(task, task.kinds[0], objective, _resumed(task, objective, solution)), found
    if found.kind == "undecided" and solution.status is Status.UNBOUNDED:
        # The solver judged by the size of its steps; what that is worth is said with it.
        return replace(member, solution=replace(solution, note=f"{solution.note} {found.finding}")), found
    return member, found


class _WithMinimum(TrainingObjective):
    """An objective that is known to have a minimum: a long way there is no reason to give up."""

    def unbounded_below(self, value: float) -> None:
        del value

    def escapes_to_infinity(self, params: Array, gradient: Array) -> None:
        del params, gradient


def _resumed(task: Task, objective: TrainingObjective, before: Solution) -> Solution:
    """The training from where it was given up, as one solution."""
    bounded = _WithMinimum(objective.network, objective.loss, objective.rows)
    after = task.minimum(
        bounded,
        before.params,
        before.solver,
        tol=task.tol,
        max_iter=task.max_iter,
        callback=task.callback,
        stage=1,
    )
    counts = {kind: before.counts.get(kind, 0) + after.counts.get(kind, 0) for kind in {*before.counts, *after.counts}}
    later = (
        replace(row, iteration=row.iteration + before.n_iter, seconds=row.seconds + before.seconds)
        for row in after.trace[1:]
    )
    return replace(
        after,
        n_iter=before.n_iter + after.n_iter,
        trace=(*before.trace, *later),
        counts=dict(sorted(counts.items())),
        seconds=before.seconds + after.seconds,
        chosen=before.chosen,
    )
