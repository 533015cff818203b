"""A finite optimum is its own proof that the classes overlap.

Let g_i be the gradient of row i's log loss. A direction d that separates has g_i'd <= 0 for every row, since no row's
loss rises along it, and with r = Σ g_i

    Σ (g_i'd)²  <=  (Σ g_i'd)²  =  (r'd)²  <=  ‖r‖² ‖d‖².

So where the smallest eigenvalue of Σ g_i g_i' is above ‖r‖² there is no such d (all that moves no row left aside); a
sum over some of the rows is smaller than that over all, and proves it just as well. Near a finite optimum r is next to
nothing. Where classes are separated r fades along the way to infinity, but the g_i of the rows that are separated fade
with it, and nothing is proved.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from newtron.linalg import is_sparse
from newtron.objective import TrainingObjective
from newtron.rows import Chunk, Rows

Array = NDArray[np.floating]

# A matrix of more parameters is not formed for this.
_MATRIX = 1000
# Rows per parameter of the sample that is tried first.
_SAMPLE = 20
# Eigenvalues below this share of the largest may belong to directions that move no row, which is looked at; a movement
# of less than the square root is none.
_FLAT = 1e-12


def classes_overlap(objective: TrainingObjective, params: Array, gradient: Array) -> bool:
    """Does the gradient (P,) of an unpenalised perceptron's log loss at params prove that no plane separates the
    classes? False proves nothing."""
    network, rows = objective.network, objective.rows
    k = network.n_outputs
    seen = max(1, k - 1)  # a common shift of all classes moves nothing: the last one's parameters stay at zero
    if network.n_params > _MATRIX:
        return False
    unit = 1.0 / objective.scale
    rounding = 8.0 * objective.epsilon * np.ones_like(params)
    residual = (np.abs(gradient * unit) + rounding).reshape(-1, k)[:, :seen] * rows.total_weight
    length = float(np.sum(np.square(residual)))
    scale = unit.reshape(-1, k)[:, :seen].ravel()
    sample = rows.sample(_SAMPLE * network.n_params, np.random.default_rng(0))
    for some in (sample, rows) if sample is not rows else (rows,):
        squares = _squared_gradients(objective, some, params, seen) * scale * scale[:, None]
        values, V = np.linalg.eigh(squares)
        doubtful = values <= _FLAT * values[-1]
        if doubtful.all():
            continue
        if values[~doubtful][0] > 2.0 * length and _moves_nothing(objective, V[:, doubtful] * scale[:, None], seen):
            return True
    return False


def _squared_gradients(objective: TrainingObjective, rows: Rows, params: Array, seen: int) -> Array:
    """Σ g_i g_i' over the rows, of the parameters of the first outputs."""
    cast = params.astype(rows.dtype, copy=False)

    def of_chunk(chunk: Chunk) -> Array:
        q = objective.n_params // objective.network.n_outputs
        total = np.zeros((q * seen, q * seen))
        for block in objective.blocks(chunk):
            z = objective.network.output(cast, block.X)
            u = objective.loss.pointwise(block.y, z, 1).weighted(block.weight)[1]
            assert u is not None
            inputs = _inputs(objective, block.X)
            per_row = (inputs[:, :, None] * u[:, None, :seen]).reshape(len(u), -1)
            total += per_row.T @ per_row
        return total

    return rows.sum(of_chunk)


def _moves_nothing(objective: TrainingObjective, V: Array, seen: int) -> bool:
    """Does no row that counts move along any of these directions, the columns of V?"""
    if not V.shape[1]:
        return True

    def of_chunk(chunk: Chunk) -> Array:
        counted = slice(None) if chunk.weight is None else np.flatnonzero(chunk.weight > 0.0)
        moved = 0.0
        for block in objective.blocks(chunk._replace(X=chunk.X[counted], y=chunk.y[counted], weight=None)):
            inputs = _inputs(objective, block.X)
            far = np.abs(inputs @ V.reshape(inputs.shape[1], -1)).max(axis=1, initial=0.0)
            moved += float(np.count_nonzero(far > _FLAT**0.5 * np.abs(inputs).max(axis=1, initial=1.0)))
        return np.array(moved)

    return not objective.rows.sum(of_chunk).any()


def _inputs(objective: TrainingObjective, X: Any) -> Array:
    """(n, q) float64: the rows with a one for the intercept."""
    dense = np.asarray(X.toarray() if is_sparse(X) else X, dtype=np.float64)
    return np.column_stack([dense, np.ones(len(dense))]) if objective.network.intercept else dense
