"""The only loop of all solvers: it asks a solver for steps until the stopping rule or a limit ends the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter

import numpy as np
from numpy.typing import ArrayLike

from newtron.engine.base.checks import check_count, check_number, is_count, shown
from newtron.engine.base.errors import InputError
from newtron.engine.base.threads import one_blas_thread
from newtron.engine.base.types import Array
from newtron.engine.base.words import count, either
from newtron.engine.objective import Objective, Offer
from newtron.engine.solvers.auto import SOLVERS
from newtron.engine.solvers.ends import StoppingRule
from newtron.engine.solvers.newton import Newton
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
    params: ArrayLike,
    solver: Solver,
    *,
    tol: float = 1e-12,
    max_iter: int | None = None,
    callback: Callback | None = None,
    resume: Run | None = None,
    keep: Callable[[Run], object] | None = None,
) -> Solution:
    """Run a solver from params until it converges or must stop.

    Ctrl-C ends the run between or within steps and returns the best point so far with status INTERRUPTED.

    Parameters
    ----------
    objective : Objective
        A `Function` or `Residuals` of one's own, or another objective.
    params : (P,)
    solver : Solver
    tol : float, default 1e-12
        Convergence is a relative gradient (`Objective.gradient_scale`) of at most tol.
    max_iter : int or None
        The limit on steps; None is the solver's own.
    callback : callable or None
        Called with a `Progress` after each step; a true answer stops.
    keep : callable or None
        Called with a `Run` after each step, before the callback, and at the end.
    resume : Run or None
        Such a run of the same objective and solver, from which this one goes on, to the same bits; params is ignored.

    Returns
    -------
    Solution

    Raises
    ------
    InputError
        The starting point, the arrays of the objective or the solver are not what is needed.

    Examples
    --------
    >>> from newtron import LBFGS, minimize
    >>> from newtron.engine import Function
    >>> class Parabola(Function):
    ...     n_params = 1
    ...     value = lambda self, params: float((params[0] - 1.0) ** 2)
    ...     gradient = lambda self, params: 2.0 * (params - 1.0)
    >>> minimize(Parabola(), [0.0], LBFGS()).params.round(6)
    array([1.])
    """
    check_number("tol", tol, above=0.0)
    _check_solver(objective, solver)
    start = _start(objective, params) if resume is None else resume.state.params
    limit = solver.default_max_iter if max_iter is None else check_count("max_iter", max_iter)
    # Overflow far from the optimum needs no warning: the value is inf, and the step is not taken.
    with one_blas_thread(), np.errstate(all="ignore"):
        return _Loop(objective, solver, tol, start, resume).solution(limit, callback, keep)


class _Loop:
    """A run that is under way: begun at params, or resumed where another one was kept."""

    def __init__(self, objective: Objective, solver: Solver, tol: float, params: Array, resume: Run | None) -> None:
        self._objective, self._solver = objective, solver
        self._started = perf_counter()
        self.counts_before = objective.counts.copy()
        self.status: Status | None
        if resume is None:
            state = solver.init(objective, params)
            norm = relative_gradient(objective, state.gradient)
            self.rule = StoppingRule(objective, solver, tol, state.value)
            self.state = self.rule.with_decrement(state, norm)
            self.trace = [self._row(norm)]
            self.status = self.rule.status_of(self.state, norm)
            return
        self._started -= resume.seconds
        self.state = solver.restored(objective, resume.state)
        self.trace = resume.trace[: resume.rows]
        self.rule = StoppingRule(objective, solver, tol, self.trace[0].value, resume.asked, resume.reason)
        self.status = resume.status
        # Evaluations that restoring took do not count.
        objective.counts.clear()
        objective.counts.update(self.counts_before)
        objective.counts.update(resume.counts)

    def solution(self, limit: int, callback: Callback | None, keep: Callable[[Run], object] | None) -> Solution:
        """Take steps to the end, at most to the limit."""
        status = self.status
        try:
            while status is None:
                if self.state.iteration >= limit:
                    status = Status.MAX_ITER
                    break
                moved = self.step()
                status = self.status
                if keep is not None:
                    keep(self.run())
                if callback is not None and moved and callback(Progress(self.state, self.trace[-1])):
                    status = status or Status.STOPPED
        except KeyboardInterrupt:
            status = status or Status.INTERRUPTED
        if keep is not None and status.final:
            keep(self.run())
        state = self._solver.finish(self._objective, self.state)
        return Solution(
            params=state.params.copy(),  # the caller may change it without changing what was kept
            value=state.value,
            gradient=state.gradient,
            gradient_norm=relative_gradient(self._objective, state.gradient),
            status=status,
            n_iter=state.iteration,
            trace=tuple(self.trace),
            counts=dict(self._objective.counts - self.counts_before),
            solver=self._solver,
            seconds=self.seconds,
            note=self.rule.reason or state.note,
        )

    @property
    def seconds(self) -> float:
        return perf_counter() - self._started

    def step(self) -> bool:
        """Take one step and decide whether it was the last. Returns whether the solver moved."""
        before, state = self.state, self._solver.step(self._objective, self.state)
        moved = state.iteration > before.iteration
        gained, norm = None, self.trace[-1].gradient_norm
        if moved:
            gained, norm = before.value - state.value, relative_gradient(self._objective, state.gradient)
            state = self.rule.with_decrement(state, norm, gained)
        self.state = state
        if moved:
            self.trace.append(self._row(norm))
        elif state.status is not None:
            # A solver that ends where it is may have found a decrement of which the row has a lower bound.
            self.trace[-1] = replace(self.trace[-1], decrement=state.decrement)
        self.status = self.rule.status_of(self.state, norm, gained)
        if self.rule.note:
            self.state = replace(self.state, note=self.rule.note)
        if self.status is Status.DIVERGED and moved:
            self.state = before
            self.trace.pop()
            return False
        return moved

    def run(self) -> Run:
        counts = dict(self._objective.counts - self.counts_before)
        done, rule = len(self.trace), self.rule
        return Run(self.state, self.trace, done, counts, self.seconds, rule.asked, rule.reason, self.status)

    def _row(self, norm: float) -> TraceRow:
        state = self.state
        return TraceRow(state.iteration, state.value, norm, state.decrement, state.step_size, self.seconds)


# What a solver needs, and what an objective without it would have to have.
_LACKING: dict[Offer, tuple[str, str]] = {
    "hessian": ("exact Hessian", "write `hessian` of a Function or `second_order` of Residuals"),
    "curvature": ("matrix of curvature", "write its method `hessian`"),
    "products": ("products of the Hessian with a vector", "write its method `hessian`"),
    "batches": ("batches of rows", "take the objective of an estimator, on rows in memory or in files"),
}


def _check_solver(objective: Objective, solver: Solver) -> None:
    """Raise an InputError where one of the two is not what it must be, or they do not fit each other."""
    if not isinstance(objective, Objective):
        raise InputError(
            f"objective={shown(objective)} is no objective: derive a class from newtron.engine.Function or Residuals, "
            "and give an object of it."
        )
    if not isinstance(solver, Solver):
        called = SOLVERS.get(solver) if isinstance(solver, str) else solver
        known = called if called in SOLVERS.values() else Newton
        raise InputError(f"solver={shown(solver)} is no solver: give an object, such as {known.__name__}().")
    if not is_count(objective.n_params):
        name = type(objective).__name__
        raise InputError(f"{name}.n_params={shown(objective.n_params)} must be the number of parameters: set it.")
    needs = [need for need in solver.needs if need not in objective.offers]
    if needs:
        what, how = _LACKING[needs[0]]
        others = [f"{kind.__name__}()" for kind in SOLVERS.values() if objective.offers.issuperset(kind.needs)]
        raise InputError(
            f"{type(solver).__name__} needs the {what}, which {type(objective).__name__} does not have: {how}, or "
            f"choose {either(*others)}."
        )


def _start(objective: Objective, params: object) -> Array:
    """The starting point as an array (P,) of its own."""
    try:
        start = np.array(params, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"params={shown(params)} is no array of numbers: give the starting point as one.") from None
    if start.shape != (objective.n_params,):
        parameters = count(objective.n_params, "parameter")
        raise InputError(
            f"params has shape {start.shape}, and {type(objective).__name__} has {parameters}: give an array of shape "
            f"({objective.n_params},)."
        )
    return start
