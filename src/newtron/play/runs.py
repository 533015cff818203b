"""A solver's whole way, step by step, as the page scrubs through it: made by `minimize`, nothing left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from newtron.engine.base.linalg import eigvalsh
from newtron.engine.base.types import Array
from newtron.engine.solvers import Progress, Solution, State, minimize
from newtron.play.problem import Method, Problem

# Eigenvalues of every step up to this many parameters; of more, of the step that is looked at.
EVERY_HESSIAN = 40
# A run that takes longer is stopped, which its sentence says.
SECONDS = 10.0


@dataclass(frozen=True, eq=False)
class Run:
    """params (steps + 1, P) and the solution of `minimize`."""

    params: Array
    solution: Solution


def run(problem: Problem, method: Method, start: Array, stop: Callable[[], bool]) -> Run:
    """Every point from the start to the end. stop: asked after every step."""
    points = [start]
    began = perf_counter()

    def see(progress: Progress) -> bool:
        points.append(progress.state.params.copy())
        return stop() or perf_counter() - began > SECONDS

    solution = minimize(problem.objective, start, method.solver, tol=1e-10, max_iter=method.steps, callback=see)
    return Run(np.array(points[: len(solution.trace)]), solution)


def run_to_json(problem: Problem, found: Run) -> dict[str, Any]:
    """The run with all digits; what is not finite is None."""
    solution = found.solution
    evaluations = [problem.objective.evaluate(params, 1) for params in found.params]
    eigenvalues = None
    if problem.network.n_params <= EVERY_HESSIAN:
        eigenvalues = [finite(eigenvalues_at(problem, params)) for params in found.params]
    return {
        "solver": solution.solver.name,
        "params": finite(found.params),
        "value": finite(np.array([e.value for e in evaluations])),
        "gradient": finite(np.array([e.gradient for e in evaluations])),
        "gradient_norm": finite(np.array([row.gradient_norm for row in solution.trace])),
        "eigenvalues": eigenvalues,
        "status": solution.status.name,
        "converged": solution.converged,
        "sentence": solution.sentence,
    }


def eigenvalues_at(problem: Problem, params: Array) -> Array:
    """Of the Hessian, largest first; nan where it is not finite."""
    hessian = problem.objective.evaluate(params, 2).hessian
    return eigvalsh(hessian)[::-1]


def finite(values: Array) -> Any:
    """Nested lists, None where a number is not finite."""
    values = np.asarray(values, dtype=np.float64)
    if np.isfinite(values).all():
        return values.tolist()
    return np.where(np.isfinite(values), values.astype(object), np.array(None)).tolist()


def one_step(problem: Problem, method: Method, params: Array) -> tuple[State, State]:
    """The solver's state at a point and after one step from there."""
    with np.errstate(all="ignore"):
        before = method.solver.init(problem.objective, params)
        return before, method.solver.step(problem.objective, before)
