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

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.linalg import eigvalsh, is_sparse, svd
from newtron.engine.objective import TrainingObjective
from newtron.engine.objective.least_squares import Triangle
from newtron.engine.rows import Chunk, Rows
from newtron.inference.separation.margins import still

Array = NDArray[np.floating]

# A matrix of more parameters is not formed for this.
_MATRIX = 1000
# Rows per parameter of the sample that is tried first.
_SAMPLE = 20
# Eigenvalues below this share of the largest are told better by the rows themselves than by their squares.
_DOUBTFUL = 1e-12


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
        values = eigvalsh(squares)
        if values[0] > _DOUBTFUL * values[-1]:
            if values[0] > 2.0 * length:
                return True
        elif values[-1] > 2.0 * length and _proved_by_rows(objective, some, params, scale, length):
            return True
    return False


def _proved_by_rows(objective: TrainingObjective, some: Rows, params: Array, scale: Array, length: float) -> bool:
    """The same from singular values, which have twice the digits of squares: for rows that are nearly on a plane, and
    for columns that follow, or nearly follow, from others. Directions that move no row are left aside."""
    seen = len(scale) * objective.network.n_outputs // objective.n_params
    R = _triangle(objective, some, params, seen) * scale
    if not np.isfinite(R).all():
        return False
    _, sizes, V = svd(R, full=True)
    sizes = np.append(sizes, np.zeros(len(V) - len(sizes)))
    rounding = still(len(scale) // seen) * sizes[0]
    moving = sizes > rounding
    if not moving.any() or (sizes[moving][-1] - rounding) ** 2 <= 2.0 * length:
        return False
    return _moves_nothing(objective, V[~moving].T * scale[:, None])


def _squared_gradients(objective: TrainingObjective, rows: Rows, params: Array, seen: int) -> Array:
    """Σ g_i g_i' over the rows, of the parameters of the first outputs."""

    def of_chunk(chunk: Chunk) -> Array:
        size = objective.n_params // objective.network.n_outputs * seen
        total = np.zeros((size, size))
        for per_row in _gradients(objective, chunk, params, seen, rows.dtype):
            total += per_row.T @ per_row
        return total

    return rows.sum(of_chunk)


def _triangle(objective: TrainingObjective, rows: Rows, params: Array, seen: int) -> Array:
    """R with R'R = Σ g_i g_i' over the rows, by QR factorizations that never form the squares."""

    def of_chunk(chunk: Chunk) -> Triangle:
        size = objective.n_params // objective.network.n_outputs * seen
        total = Triangle(np.zeros((0, size)))
        for per_row in _gradients(objective, chunk, params, seen, rows.dtype):
            total += Triangle(per_row)
        return total

    return rows.sum(of_chunk).R


def _gradients(
    objective: TrainingObjective, chunk: Chunk, params: Array, seen: int, dtype: np.dtype[Any]
) -> Iterator[Array]:
    """The rows' own gradients, of the parameters of the first outputs, a block of rows at a time."""
    cast = params.astype(dtype, copy=False)
    for block in objective.blocks(chunk):
        z = objective.network.output(cast, block.X)
        u = objective.loss.pointwise(block.y, z, 1).weighted(block.weight).gradient
        yield (_inputs(objective, block.X)[:, :, None] * u[:, None, :seen]).reshape(len(u), -1)


def _moves_nothing(objective: TrainingObjective, V: Array) -> bool:
    """Does no row that counts move along any of these directions, the columns of V, but by rounding?"""
    if not V.shape[1]:
        return True
    size = objective.scale.reshape(-1, objective.network.n_outputs)[:, 0] ** -1.0
    share = still(len(size))

    def of_chunk(chunk: Chunk) -> Array:
        counted = slice(None) if chunk.weight is None else np.flatnonzero(chunk.weight > 0.0)
        moved = 0.0
        for block in objective.blocks(chunk._replace(X=chunk.X[counted], y=chunk.y[counted], weight=None)):
            inputs = _inputs(objective, block.X)
            far = np.abs(inputs @ V.reshape(inputs.shape[1], -1)).max(axis=1)
            moved += float(np.count_nonzero(far > share * np.abs(inputs * size).max(axis=1)))
        return np.array(moved)

    return not objective.rows.sum(of_chunk).any()


def _inputs(objective: TrainingObjective, X: Any) -> Array:
    """(n, q) float64: the rows with a one for the intercept."""
    dense = np.asarray(X.toarray() if is_sparse(X) else X, dtype=np.float64)
    return np.column_stack([dense, np.ones(len(dense))]) if objective.network.intercept else dense
