"""The point that the page shows, as a Python program with the same engine and the same derivatives."""

from __future__ import annotations

import numpy as np

from newtron.engine.base.types import Array
from newtron.engine.solvers import Solver
from newtron.play.problem import Problem

# At most this many rows are written out: more would fill pages with numbers.
MOST_ROWS = 200

_TEXT = """import numpy as np

from newtron.engine.maths.losses import loss_for
from newtron.engine.maths.network import Network
from newtron.engine.objective import TrainingObjective
from newtron.engine.rows import ArrayRows
from newtron.engine.solvers import {solver_name}, minimize

# The rows as training sees them{scaled}.
X = np.array({X})
y = np.array({y})
params = np.array({params})

network = Network({widths}, activation={activation!r}, intercept={intercept})
loss = loss_for({task!r}, {loss!r}, n_outputs={k})
objective = TrainingObjective(network, loss, ArrayRows(X, y), alpha={alpha})

at = objective.evaluate(params, order=2)
print("loss", at.value)
print("gradient", at.gradient)
print("eigenvalues of the Hessian", np.linalg.eigvalsh(at.hessian)[::-1])
solution = minimize(objective, params, {solver})
print(solution.sentence, solution.params)
"""


def program(problem: Problem, params: Array, row: int | None, solver: Solver) -> str:
    """A program that prints the loss, gradient and eigenvalues at a point, for one row or for all, and continues
    training from it. row: None for all rows; of these the first `MOST_ROWS` are written out, and a comment says so."""
    n = len(problem.X)
    which = slice(0, MOST_ROWS) if row is None else slice(row, row + 1)
    cut = f"; the first {MOST_ROWS} of {n:,}" if row is None and n > MOST_ROWS else ""
    # The mean over all rows has the penalty of training; one row alone is explained without.
    alpha = problem.alpha if row is None else 0.0
    return _TEXT.format(
        scaled=(": standardised" if problem.scaled else "") + cut,
        X=_array(problem.X[which]),
        y=_array(problem.Y[which]),
        params=_array(params),
        widths=problem.network.widths,
        activation=problem.network.activation,
        intercept=problem.network.intercept,
        task=problem.loss.task,
        loss=problem.loss.name,
        k=problem.network.n_outputs,
        alpha=repr(alpha) if np.ndim(alpha) == 0 else f"np.array({_array(np.asarray(alpha))})",
        solver_name=type(solver).__name__,
        solver=repr(solver),
    )


def _array(values: Array) -> str:
    return repr(values.tolist())
