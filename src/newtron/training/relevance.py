"""How much each column moves the prediction of a fitted network: `relevance_`.

The mean square over the rows of training of the prediction's derivative by the column, times the column's variance, as
a share of the sum over the columns: what a move by one standard deviation does, near the rows that there are. It is the
PaD method (partial derivatives; Dimopoulos, Bourret & Lek 1995), which did best in the comparison of Gevrey, Dimopoulos
& Lek 2003 ("Review and comparison of methods to study the contribution of variables in artificial neural network
models"), with the columns' units taken out as in derivative-based global sensitivity (Sobol' & Kucherenko 2009).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from newtron.engine.base.threads import one_blas_thread
from newtron.engine.base.types import Array
from newtron.training.fitted import Member
from newtron.training.task import Task

# A mean over so many rows, drawn from more, is known to a few percent; of many outputs and inputs, fewer are looked at.
_MOST_ROWS, _LEAST_ROWS, _MOST_NUMBERS = 5000, 500, 2e6
_BLOCK = 500
# Of what the targets are, in squares: a column that moves the prediction by less moves it by rounding.
_NOTHING = 1e-20


def relevance_of(task: Task, members: Sequence[Member]) -> Array:
    """(p,) shares that add to 1; all 0 where no column moves the prediction.

    For several targets and for classes, the squares add over the standardised targets and the probabilities.
    """
    with one_blas_thread(), np.errstate(all="ignore"):
        most = _MOST_NUMBERS / (task.given.n_outputs * task.scaling.n_inputs)
        some = int(min(_MOST_ROWS, max(_LEAST_ROWS, most)))
        looked = task.given.sample(some, np.random.default_rng(0)).whole()
        X, y = looked.X.astype(np.float64, copy=False), task.scaling.targets(looked.y.astype(np.float64, copy=False))
        weight = np.ones(len(X)) if looked.weight is None else looked.weight.astype(np.float64)
        p = len(task.scaling.x_center)
        scaled = task.scaling.taking(p).inputs(X)
        mean = weight @ scaled / weight.sum()
        variance = weight @ np.square(scaled - mean) / weight.sum()
        squares = np.zeros(p)
        sharing = [member for member in members if member.share]
        for start in range(0, len(X), _BLOCK):
            block = slice(start, start + _BLOCK)
            squares += weight[block] @ _squared_slopes(task, sharing, X[block])
        found = variance * squares
        total = found.sum()
        nothing = _NOTHING * float(weight @ np.square(y).sum(axis=1))
    moves = np.isfinite(total) and 0.0 < nothing < total
    return np.asarray(found / total) if moves else np.zeros(p)


def _squared_slopes(task: Task, members: Sequence[Member], X: Array) -> Array:
    """(n, p) sum over the outputs of the squared derivatives of the members' mean by each scaled column."""
    slopes = np.zeros(())
    for member in members:
        scaling = task.scaling.taking(member.network.widths[0], member.first_input)
        at = member.linearized(scaling.inputs(X))
        by_z = task.loss.mean_by_z(at.output)
        own = [scaling.by_given(X, at.input_vjp(by_z[:, output])) for output in range(by_z.shape[1])]
        slopes = slopes + member.share * np.stack(own)
    return np.asarray(np.square(slopes * task.scaling.x_scale).sum(axis=0))
