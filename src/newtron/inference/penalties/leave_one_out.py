"""What a model says about a row when trained without it, from the one model trained with all rows.

One Newton step away from the optimum with all rows (`row_removal`), from the curvature that is factored once. For
squared error the residual becomes r / (1 - h) with the leverage h: exact for a perceptron (Allen 1974, PRESS),
linearised for a network. For the log loss it is the approximate leave-one-out of Rad & Maleki 2020.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from newtron.engine.maths.losses import Loss
from newtron.inference.penalties.row_removal import without_row
from newtron.inference.posterior import Posterior

Array = NDArray[np.floating]

# Rows that are left out at most and, where they are dear, at least; and operations of all members' largest.
_MOST_ROWS, _LEAST_ROWS, _WORK = 20_000, 500, 2e10


class LeftOut(NamedTuple):
    """Per row, of the model trained without it: raw prediction (n, k), and J A^-1 J' (n, k, k)."""

    raw: Array
    spread: Array


def some_rows(weight: Array | None, n_rows: int, work: float) -> NDArray[np.intp]:
    """Which rows to leave out: those that weigh, or of many a random part, as many as take about a second; noise and
    temperature are known from some thousands. work: operations a row."""
    rows = np.arange(n_rows) if weight is None else np.flatnonzero(weight)
    most = int(min(_MOST_ROWS, max(_LEAST_ROWS, _WORK / work)))
    return rows if len(rows) <= most else np.sort(np.random.default_rng(0).choice(rows, most, replace=False))


def left_out(posterior: Posterior, loss: Loss, X: Any, Y: Array, weight: Array | None = None) -> LeftOut:
    """Leave each row of X (n, p), Y (n, k) out in turn; all rows must have been trained on.

    weight: (n,) of training. A row that counts several times loses one of its copies; one that counts less than once
    is left out whole. The Hessian is its Gauss-Newton part, as in A.
    """
    n, k = Y.shape
    raw, spread = np.empty((n, k)), np.empty((n, k, k))
    removed = np.ones(n) if weight is None else np.minimum(weight.astype(np.float64), 1.0)
    for rows, z, V in posterior.seen_from(X):
        of_row = loss.pointwise(Y[rows].astype(np.float64), z, 2, gauss_newton=True)
        # A row that alone determines some direction is left with next to no knowledge of itself: a huge spread.
        spread[rows] = without_row(V, removed[rows, None, None] * of_row.hessian).spread
        raw[rows] = z + removed[rows, None] * np.einsum("mcd,md->mc", spread[rows], of_row.gradient)
    return LeftOut(raw, spread)
