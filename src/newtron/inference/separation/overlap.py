"""The gradient at a finite optimum proves that the classes overlap.

Let g_i be the gradient of row i's log loss. A separating direction d has g_i'd <= 0 for every row, since no row's loss
rises along it. With r = Σ g_i

    Σ (g_i'd)²  <=  (Σ g_i'd)²  =  (r'd)²  <=  ‖r‖² ‖d‖².

So where the smallest eigenvalue of Σ g_i g_i' is above ‖r‖² there is no such d, except directions that change no row's
prediction. A sum over some of the rows is at most that over all, and proves the same. Near a finite optimum r is nearly
zero. Where classes are separated, r tends to zero as the parameters grow, but so do the g_i of the separated rows, and
nothing is proved.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from newtron.engine.base.linalg import eigvalsh, is_sparse, svd
from newtron.engine.base.types import Array, Matrix
from newtron.engine.objective import TrainingObjective
from newtron.engine.objective.least_squares import Triangle
from newtron.engine.rows import Chunk, Rows
from newtron.inference.separation.margins import negligible_change

# The matrix of more parameters than this is not formed (8 MB).
_MATRIX = 1000
# The rows for each parameter in the sample that is tried first.
_SAMPLE = 20
# Eigenvalues of Σ g_i g_i' below this share of the largest are computed again as squares of singular values of the g_i.
_DOUBTFUL = 1e-12
# The smallest eigenvalue must exceed ‖r‖² by this factor. The rounding error of the gradient, in units of epsilon.
_FACTOR, _GRADIENT_ERROR = 2.0, 8.0


def classes_overlap(objective: TrainingObjective, params: Array, gradient: Array) -> bool:
    """True if the gradient (P,) of an unpenalised perceptron's log loss at params proves that no plane separates the
    classes. False proves nothing."""
    network, rows = objective.network, objective.rows
    k = network.n_outputs
    seen = max(1, k - 1)  # a common shift of all classes changes nothing, so those of the last class stay at zero
    if network.n_params > _MATRIX:
        return False
    unit = 1.0 / objective.scale
    rounding = _GRADIENT_ERROR * objective.epsilon * np.ones_like(params)
    residual = (np.abs(gradient * unit) + rounding).reshape(-1, k)[:, :seen] * rows.total_weight
    length = float(np.sum(np.square(residual)))
    scale = unit.reshape(-1, k)[:, :seen].ravel()
    sample = rows.sample(_SAMPLE * network.n_params, np.random.default_rng(0))
    for some in (sample, rows) if sample is not rows else (rows,):
        squares = _squared_gradients(objective, some, params, seen) * scale * scale[:, None]
        values = eigvalsh(squares)
        if values[0] > _DOUBTFUL * values[-1]:
            if values[0] > _FACTOR * length:
                return True
        elif values[-1] > _FACTOR * length and _proved_by_rows(objective, some, params, scale, length):
            return True
    return False


def _proved_by_rows(objective: TrainingObjective, some: Rows, params: Array, scale: Array, length: float) -> bool:
    """The same from singular values, which have twice the digits of squares: for rows that are nearly on a plane, and
    for columns that are, or are nearly, combinations of others. Directions that change no prediction are left out."""
    seen = len(scale) * objective.network.n_outputs // objective.n_params
    R = _triangle(objective, some, params, seen) * scale
    if not np.isfinite(R).all():
        return False
    _, sizes, V = svd(R, full=True)
    sizes = np.append(sizes, np.zeros(len(V) - len(sizes)))
    rounding = negligible_change(len(scale) // seen) * sizes[0]
    moving = sizes > rounding
    if not moving.any() or (sizes[moving][-1] - rounding) ** 2 <= _FACTOR * length:
        return False
    return _changes_no_prediction(objective, V[~moving].T * scale[:, None])


def _squared_gradients(objective: TrainingObjective, rows: Rows, params: Array, seen: int) -> Array:
    """Σ g_i g_i' over the rows, in the parameters of the first outputs."""

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
    objective: TrainingObjective, chunk: Chunk, params: Array, seen: int, dtype: np.dtype[np.floating]
) -> Iterator[Array]:
    """The gradients of single rows, in the parameters of the first outputs, block by block."""
    cast = params.astype(dtype, copy=False)
    for block in objective.blocks(chunk):
        z = objective.network.output(cast, block.X)
        u = objective.loss.pointwise(block.y, z, 1).weighted(block.weight).gradient
        yield (_inputs(objective, block.X)[:, :, None] * u[:, None, :seen]).reshape(len(u), -1)


def _changes_no_prediction(objective: TrainingObjective, V: Array) -> bool:
    """True if the prediction of no row with a positive weight changes, except by rounding, along the columns of V."""
    if not V.shape[1]:
        return True
    size = objective.scale.reshape(-1, objective.network.n_outputs)[:, 0] ** -1.0
    share = negligible_change(len(size))

    def of_chunk(chunk: Chunk) -> Array:
        counted = slice(None) if chunk.weight is None else np.flatnonzero(chunk.weight > 0.0)
        moved = 0.0
        for block in objective.blocks(chunk._replace(X=chunk.X[counted], y=chunk.y[counted], weight=None)):
            inputs = _inputs(objective, block.X)
            far = np.abs(inputs @ V.reshape(inputs.shape[1], -1)).max(axis=1)
            moved += float(np.count_nonzero(far > share * np.abs(inputs * size).max(axis=1)))
        return np.array(moved)

    return not objective.rows.sum(of_chunk).any()


def _inputs(objective: TrainingObjective, X: Matrix) -> Array:
    """(n, q) float64: the rows with a one for the intercept."""
    dense = np.asarray(X.toarray() if is_sparse(X) else X, dtype=np.float64)
    return np.column_stack([dense, np.ones(len(dense))]) if objective.network.intercept else dense
