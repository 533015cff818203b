"""The only loop there is: it asks a solver for steps until the stopping rule or a limit ends the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter

import numpy as np

from newtron.engine.base.checks import check_count, check_number
from newtron.engine.base.threads import one_blas_thread
from newtron.engine.base.types import Array
from newtron.engine.objective import Objective
from newtron.engine.solvers.ends import StoppingRule
from newtron.engine.solvers.state import (
    Callback,
    Progress,
    Run,
    Solution,
    Solver,
    Status,
    TraceRow,
    relative_gradient,
)


def minimize(
    objective: Objective,
    params: Array,
    solver: Solver,
    *,
    tol: float = 1e-12,
    max_iter: int | None = None,
    callback: Callback | None = None,
    resume: Run | None = None,
    keep: Callable[[Run], object] | None = None,
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
            self.judge = StoppingRule(objective, tol, self.state.value, solver.exact_decrement)
            self.status = self.judge.verdict(self.state, self.trace[-1].gradient_norm)
            return
        self._started -= resume.seconds
        self.state = solver.restored(objective, resume.state)
        self.trace = resume.trace[: resume.rows]
        self.judge = StoppingRule(
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
