"""All steps of a solver, made by `minimize`, as the page shows them one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from newtron.engine.base.linalg import eigvalsh
from newtron.engine.base.types import Array
from newtron.engine.solvers import Progress, Solution, minimize
from newtron.play.messages import Frame, RunFacts
from newtron.play.numbers import json_matrix, json_vector
from newtron.play.problem import Method, Problem

# Up to this many parameters the page gets the eigenvalues of the Hessian at every step: a decomposition then takes
# 0.1 milliseconds.
EVERY_HESSIAN = 40
# Seconds after which a run is stopped, so that the page answers; the sentence of its status says so.
SECONDS = 10.0


@dataclass(frozen=True, eq=False)
class MethodRun:
    """params (steps + 1, P) and the solution of `minimize`."""

    params: Array
    solution: Solution


def run_method(problem: Problem, method: Method, start: Array, stop: Callable[[], bool]) -> MethodRun:
    """Every point from the start to the end. stop: a function that is called after every step and ends the run by
    True."""
    points = [start]
    began = perf_counter()

    def see(progress: Progress) -> bool:
        points.append(progress.state.params.copy())
        return stop() or perf_counter() - began > SECONDS

    solution = minimize(problem.objective, start, method.solver, tol=1e-10, max_iter=method.steps, callback=see)
    return MethodRun(np.array(points[: len(solution.trace)]), solution)


def run_facts(problem: Problem, found: MethodRun, frames: list[Frame]) -> RunFacts:
    """The run with all digits; a number that is not finite is None. frames: the prediction at every step."""
    solution, eigenvalues = found.solution, None
    evaluations = [problem.objective.evaluate(params, 1) for params in found.params]
    if problem.network.n_params <= EVERY_HESSIAN:
        hessians = (problem.objective.evaluate(params, 2).hessian for params in found.params)
        eigenvalues = [json_vector(eigvalsh(hessian)[::-1]) for hessian in hessians]
    return {
        "solver": solution.solver.name,
        "params": json_matrix(found.params),
        "value": json_vector(np.array([e.value for e in evaluations])),
        "gradient": json_matrix(np.array([e.gradient for e in evaluations])),
        "gradient_norm": json_vector(np.array([row.gradient_norm for row in solution.trace])),
        "eigenvalues": eigenvalues,
        "status": solution.status.name,
        "converged": solution.converged,
        "sentence": solution.sentence,
        "frames": frames,
    }
