"""Linear least squares to full precision, also for columns so nearly dependent that the normal equations fail.

Normal equations square the condition. Here R comes from QR, chunk by chunk (Demmel et al. 2012, TSQR), and the
solution is refined with residuals carried to about 32 digits (the corrected seminormal equations, Björck 1987):
each round shrinks the error by the condition times 1e-16, so that what is right at the end is right to the last
digits of a double. Where the columns are dependent to working precision, the solution is the shortest one in columns of
equal norm.
"""

from __future__ import annotations

import operator
from functools import reduce
from typing import NamedTuple

import numpy as np

from newtron.engine.base.linalg import is_sparse, pair_sum, qr_triangle, svd, two_product, two_sum
from newtron.engine.base.types import Array
from newtron.engine.rows import Chunk, Rows

# Rounds of refinement at most; two or three are enough unless the condition is near 1e16.
_ROUNDS = 20
# A correction smaller than this share of the solution cannot change its last digit.
_NEGLIGIBLE = 1e-20
# Numbers of X in one block of a round. A double-double product keeps some ten arrays of this size (2.6 MB of float64 in
# all), which must stay in the cache of one core.
_BLOCK_NUMBERS = 2**15


class LeastSquares(NamedTuple):
    """The solution of a least-squares problem.

    B: (q, k). rank: numerical rank of the weighted [X, 1] with the ridge below it. root: the triangle R (q, q) of the
    weighted [X, 1] alone: R'R = [X, 1]'W[X, 1], with twice the digits that this product would have. lost: by how much
    rounding B to doubles raised what is minimised.
    """

    B: Array
    rank: int
    root: Array
    lost: float


class _Pair:
    """A double-double array, the contribution of a chunk to the gradient; two of them can be added."""

    def __init__(self, high: Array, low: Array) -> None:
        self.high, self.low = high, low

    def __iadd__(self, other: _Pair) -> _Pair:
        high, error = two_sum(self.high, other.high)
        self.high, self.low = two_sum(high, error + self.low + other.low)
        return self


class Triangle:
    """R of a QR decomposition; adding two of them gives the R of both sets of rows together."""

    def __init__(self, R: Array) -> None:
        self.R = R

    def __iadd__(self, other: Triangle) -> Triangle:
        self.R = qr_triangle(np.vstack([self.R, other.R]))
        return self


def solve_least_squares(rows: Rows, intercept: bool, ridge: Array) -> LeastSquares:
    """Minimise sum_i w_i ½‖y_i - [x_i, 1]'B‖² + ½ sum_j ridge_j ‖B_j‖² to the last digits.

    ridge: (q,) for the q = p (+ 1) rows of B.
    """
    scale = _column_scale(rows, intercept)
    q, k = scale.size, rows.n_outputs

    def triangle(chunk: Chunk) -> Triangle:
        A = np.hstack([design(chunk, intercept) * scale, chunk.y])
        if chunk.weight is not None:
            A *= np.sqrt(chunk.weight.astype(np.float64))[:, None]
        return Triangle(qr_triangle(A))

    # The columns of y go along: beside R they become Q'y.
    merged = rows.sum(triangle)
    root = merged.R[:q, :q] / scale
    if ridge.any():
        merged += Triangle(np.hstack([np.diag(np.sqrt(ridge) * scale), np.zeros((q, k))]))
    inverse = _Inverse(merged.R[:q, :q])
    high: Array = scale[:, None] * inverse.times(merged.R[:q, q:])
    low: Array = np.zeros_like(high)
    last = np.inf
    for _ in range(_ROUNDS):
        # Sizes are measured in the scaled columns, so that the units of the columns do not matter.
        norm = float(np.abs(high / scale[:, None]).max(initial=0.0))
        gradient = _gradient(rows, intercept, ridge, high, low)
        step = scale[:, None] * inverse.times(inverse.transposed_times(scale[:, None] * gradient))
        size = float(np.abs(step / scale[:, None]).max(initial=0.0))
        if not np.isfinite(size):
            high[:] = np.nan  # overflow: no solution, and none must be taken for one
            break
        if size >= 0.5 * last:
            break
        high, error = two_sum(high, step)
        high, low = two_sum(high, low + error)
        # Each round shrinks the error by the same factor: what the next one would add is known before it is made.
        if size * (size / min(last, norm or 1.0)) <= _NEGLIGIBLE * norm:
            break
        last = size
    lost = 0.5 * float(np.sum(np.square((merged.R[:q, :q] / scale) @ low)))
    return LeastSquares(high, inverse.rank, root, lost)


def design(chunk: Chunk, intercept: bool) -> Array:
    """[X, 1] in float64."""
    X = chunk.X.toarray() if is_sparse(chunk.X) else chunk.X
    X = X.astype(np.float64, copy=False)
    return np.column_stack([X, np.ones(X.shape[0])]) if intercept else X


def _column_scale(rows: Rows, intercept: bool) -> Array:
    """One over each column's norm, rounded to a power of two, so that scaling rounds nothing."""

    def squares(chunk: Chunk) -> Array:
        A = design(chunk, intercept)
        weight = np.ones(A.shape[0]) if chunk.weight is None else chunk.weight
        largest: Array = weight @ np.square(A)
        return largest

    norm = np.sqrt(rows.sum(squares))
    norm[norm == 0.0] = 1.0
    return np.asarray(np.exp2(-np.round(np.log2(norm))))


class _Inverse:
    """The inverse of R, and its numerical rank. Where R is singular, R^-1 b is the solution that is shortest in columns
    of exactly equal norm: norms to the nearest power of two would make it depend on the units of the columns, on the
    weight that all rows share and on how often they are repeated."""

    def __init__(self, R: Array) -> None:
        norm = np.linalg.norm(R, axis=0)
        norm[norm == 0.0] = 1.0
        U, s, Vt = svd(R / norm)
        self.rank = int(np.sum(s > s[0] * 10 * R.shape[1] * np.finfo(np.float64).eps))
        self._R = R if self.rank == R.shape[1] else None
        self._U, self._s, self._V = U[:, : self.rank], s[: self.rank, None], Vt[: self.rank].T / norm[:, None]

    def times(self, b: Array) -> Array:
        return self._by_triangle(b, False) if self._R is not None else np.asarray(self._V @ ((self._U.T @ b) / self._s))

    def transposed_times(self, b: Array) -> Array:
        return self._by_triangle(b, True) if self._R is not None else np.asarray(self._U @ ((self._V.T @ b) / self._s))

    def _by_triangle(self, b: Array, transposed: bool) -> Array:
        from scipy.linalg.lapack import dtrtrs

        solved: Array = dtrtrs(self._R, b, trans=transposed)[0]
        return solved


def _gradient(rows: Rows, intercept: bool, ridge: Array, high: Array, low: Array) -> Array:
    """sum_i w_i x_i (y_i - x_i'B) - ridge * B with B = high + low, rounded once at the end: (q, k)."""
    block_rows = max(1, _BLOCK_NUMBERS // high.shape[0])

    def part(chunk: Chunk) -> _Pair:
        cuts = (slice(start, start + block_rows) for start in range(0, chunk.y.shape[0], block_rows))
        return reduce(operator.iadd, (_block_gradient(chunk, cut, intercept, high, low) for cut in cuts))

    total = rows.sum(part)
    product, error = two_product(ridge[:, None], high)
    total += _Pair(-product, -(error + ridge[:, None] * low))
    return total.high + total.low


def _block_gradient(chunk: Chunk, cut: slice, intercept: bool, high: Array, low: Array) -> _Pair:
    """What some rows add to A'W(y - AB)."""
    weight = None if chunk.weight is None else chunk.weight[cut].astype(np.float64)
    # Column by column, as sums over columns and over rows both go through its memory in order.
    A = np.asfortranarray(design(Chunk(chunk.X[cut], chunk.y[cut], weight, cut), intercept))
    y = chunk.y[cut].astype(np.float64)
    columns = [_residual_products(A, y[:, c], weight, high[:, c], low[:, c]) for c in range(high.shape[1])]
    return _Pair(np.stack([c[0] for c in columns], axis=1), np.stack([c[1] for c in columns], axis=1))


def _residual_products(A: Array, y: Array, weight: Array | None, high: Array, low: Array) -> tuple[Array, Array]:
    """A'W(y - A(high + low)) for one output, as a pair."""
    product, error = two_product(A, high)
    fitted, lost = pair_sum(product.T, error.T + (A * low).T)
    r, error = two_sum(y, -fitted)
    r, r_low = two_sum(r, error - lost)
    if weight is not None:
        r, error = two_product(r, weight)
        r_low = error + r_low * weight
    product, error = two_product(A, r[:, None])
    return pair_sum(product, error + A * r_low[:, None])
