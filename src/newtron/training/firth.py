"""A classifier trained by Firth's penalised likelihood (Firth 1993), which has an optimum for separated classes too."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from newtron.engine.base.errors import InputError
from newtron.engine.base.threads import one_blas_thread
from newtron.engine.base.words import count
from newtron.engine.rows import Rows
from newtron.engine.solvers import SOLVERS, Newton, Solver, Stochastic
from newtron.inference.certificate.firth_end import measure_firth, of_all_classes
from newtron.inference.coefficients.firth import FirthObjective
from newtron.inference.coefficients.information import MOST_PARAMETERS, information_at
from newtron.training.fitted import Member
from newtron.training.members import objective_of, settle
from newtron.training.task import Task


def firth_member(task: Task, names: tuple[str, ...] | None) -> Member:
    """The perceptron at the optimum of Firth's penalised likelihood, with its parameters laid out as in any other."""
    network = task.network_of(task.kinds[0])
    k = network.n_outputs
    with one_blas_thread():
        objective = firth_objective(task.rows, task.intercept, names)
        solver, chosen = _firth_solver(task.solver, objective)
        start = np.zeros(objective.n_params)
        solution = task.minimum(objective, start, solver, tol=task.tol, max_iter=task.max_iter, callback=task.callback)
    if k > 1:
        # The last class is the reference, whose parameters are zero.
        others = solution.params.reshape(-1, k - 1)
        params = np.column_stack([others, np.zeros(len(others))]).ravel()
        settle(network.split(params)[-1], task.loss, penalised=False)
        solution = replace(solution, params=params, gradient=of_all_classes(solution.gradient, k))
    solution = replace(solution, chosen=chosen)
    plain = objective_of(task, task.kinds[0], task.threads)
    value = plain.evaluate(solution.params, 0).value
    # One pass more is little beside those of the training.
    information = information_at(plain, solution.params, value, any_size=network.n_params <= MOST_PARAMETERS)
    alpha = np.zeros(network.n_params)
    return Member(network, solution, alpha, end=measure_firth(objective, solution, k), information=information)


def firth_objective(rows: Rows, intercept: bool, names: tuple[str, ...] | None = None) -> FirthObjective:
    """Firth's likelihood of the rows, in the units of training; of more than two classes the last is the reference.

    Raises InputError where the columns depend on each other.
    """
    X, Y, weight, _ = rows.whole()
    return FirthObjective(X, Y if Y.shape[1] == 1 else Y[:, :-1], weight, intercept=intercept, names=names)


def _firth_solver(solver: str | Solver, objective: FirthObjective) -> tuple[Solver, str]:
    if isinstance(solver, Stochastic) or solver == Stochastic.name:
        raise InputError(
            'penalty="firth" is no sum over rows: choose another solver than "stochastic", such as "newton".'
        )
    if isinstance(solver, Solver):
        return solver, "given by the user"
    if solver == "auto":
        curvature = "the exact Hessian" if objective.exact else "the Fisher information"
        return (
            Newton(),
            f"Firth's likelihood of {count(objective.n_params, 'parameter')}: Newton steps with {curvature}",
        )
    if solver in SOLVERS:
        return SOLVERS[solver](), "named by the user"
    known = ", ".join(repr(name) for name in ("auto", *SOLVERS) if name != Stochastic.name)
    raise InputError(f"solver={solver!r} is not known: choose one of {known}, or a solver object.")
