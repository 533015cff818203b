"""Rows of a perceptron as a weighted least-squares problem, and Newton's step from its QR decomposition.

With H = S'S of a row's loss the row's part of the Hessian, J'HJ, is B'B, B = SJ, and its gradient is -B'e with the
Pearson residuals e. So Newton's step is the least-squares solution of B s = e over all rows (iteratively reweighted
least squares; McCullagh & Nelder 1989, ch. 2). Forming B'B squares the condition of B: columns that differ by 1e-8 of
themselves are the same to it. R from QR of the rows, chunk by chunk, keeps the digits of the rows.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from functools import reduce
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.linalg import exact_product, factorize, qr_triangle
from newtron.engine.base.types import Array
from newtron.engine.objective.least_squares import Triangle, design
from newtron.engine.objective.mean_loss import MeanLoss
from newtron.engine.objective.newton_system import NewtonSystem
from newtron.engine.rows import Chunk

# Numbers of B in a block of rows: 4 MB of float64, which BLAS works on in the cache of a core.
_BLOCK_NUMBERS = 2**19
# A penalty of at most this share of the rows' curvature determines the common shift of all classes so weakly that the
# shift is kept at rest instead of being solved for.
_SLIGHT = 1e-8


class Whitened(NamedTuple):
    """Rows as a least-squares problem, by `Loss.whitened`: S (n, s, c) with H = S'S, and e (n, s), or (n, k) where the
    outputs share S."""

    S: Array
    e: Array


class WhitenedBlock(NamedTuple):
    """Some rows. A: [X, 1] (n, q). white: their least-squares form. weight: (n,). rows: their place among all rows."""

    A: Array
    white: Whitened
    weight: Array
    rows: slice

    @property
    def B(self) -> Array:
        """(n, s, c q): the rows of the least-squares problem, their parameters output by output."""
        S, A = self.white.S, self.A
        n, s, c = S.shape
        if c == 1:
            return S * A[:, None, :]
        return (S[:, :, :, None] * A[:, None, None, :]).reshape(n, s, c * A.shape[1])


def rows_of_block(objective: MeanLoss) -> int:
    """The rows that `whitened_blocks` takes at a time."""
    return max(16, _BLOCK_NUMBERS // (objective.n_params * objective.network.n_outputs))


def whitened_blocks(objective: MeanLoss, params: Array, chunk: Chunk) -> Iterator[WhitenedBlock]:
    """The rows of a chunk in whitened form at params, as many at a time as fit into the cache of a core."""
    network = objective.network
    k = network.n_outputs
    size = rows_of_block(objective)
    n = chunk.y.shape[0]
    coefficients = params.reshape(-1, k)
    times = exact_product if objective.extended_precision else np.matmul
    for start in range(0, n, size):
        cut = slice(start, min(start + size, n))
        weight = np.ones(cut.stop - start) if chunk.weight is None else chunk.weight[cut].astype(np.float64)
        A = design(Chunk(chunk.X[cut], chunk.y[cut], None, cut), network.intercept)
        white = Whitened(*objective.loss.whitened(chunk.y[cut].astype(np.float64), times(A, coefficients)))
        first = chunk.rows.start
        yield WhitenedBlock(A, white, weight, slice(first + cut.start, first + cut.stop))


def newton_system(objective: MeanLoss, params: Array) -> NewtonSystem | None:
    """The Newton system at params by QR over all rows; None where numbers are not finite."""
    k, P = objective.network.n_outputs, objective.n_params

    def triangle(block: WhitenedBlock) -> Triangle:
        S = block.white.S
        if S.shape[2] < k:  # a regression's outputs, side by side
            S = np.broadcast_to(np.eye(k), (len(S), k, k))
        root = np.sqrt(block.weight)[:, None, None, None]
        B = (root * S[:, :, None, :] * block.A[:, None, :, None]).reshape(-1, P)
        return Triangle(qr_triangle(np.column_stack([B, (root[:, :, 0, 0] * block.white.e).ravel()])))

    def of_chunk(chunk: Chunk) -> Triangle:
        return reduce(operator.iadd, map(triangle, whitened_blocks(objective, params, chunk)))

    with np.errstate(all="ignore"):
        merged = objective.rows.sum(of_chunk)
        if not np.isfinite(merged.R).all():
            return None
        size = np.sqrt(objective.alpha)
        norm = np.linalg.norm(merged.R[:, :-1], axis=0).reshape(-1, k).mean(axis=1)
        rest = [
            np.column_stack([np.diag(size), -size * params])[size > 0.0],
            np.column_stack([_shifts(norm, k), np.zeros(P // k)])[_unseen(objective, np.square(norm))],
            np.zeros((max(0, P - len(merged.R)), P + 1)),
        ]
        if any(map(len, rest)):
            merged += Triangle(np.vstack(rest))
    if not np.isfinite(merged.R).all():
        return None
    return NewtonSystem(merged.R[:P, :P], merged.R[:P, P], objective.rows.total_weight, objective.epsilon)


def _unseen(objective: MeanLoss, curvature: Array) -> NDArray[np.bool_]:
    """(q,) True for inputs whose coefficients can be shifted together in all classes without any change beyond
    rounding: no row depends on the shift, and a penalty keeps it at its start, 0. curvature: (q,) of the rows."""
    penalty = objective.alpha.reshape(-1, objective.network.n_outputs).max(axis=1)
    return np.asarray((penalty <= _SLIGHT * curvature) & (objective.loss.min_outputs > 1))


def with_shifts_held(objective: MeanLoss, hessian: Array) -> Array:
    """The Hessian with curvature along common shifts of all classes, which no row sees; the same array where a
    penalty holds them all, or the loss has none."""
    k = objective.network.n_outputs
    of_rows = np.diagonal(hessian) * objective.rows.total_weight - objective.alpha
    unseen = np.flatnonzero(_unseen(objective, np.maximum(of_rows.reshape(-1, k).mean(axis=1), 0.0)))
    if not unseen.size:
        return hessian
    at = unseen[:, None] * k + np.arange(k)
    held = hessian.copy()
    held[at[:, :, None], at[:, None, :]] += (np.diagonal(hessian)[at].mean(axis=1) / k)[:, None, None]
    return held


def condition_seen(objective: MeanLoss, hessian: Array, condition: float) -> float:
    """Condition of the Hessian in equilibrated columns, without common shifts of all classes; `condition` is with
    them."""
    held = with_shifts_held(objective, hessian)
    if held is hessian:
        return condition
    factor = factorize(held)
    return float("inf") if factor is None else factor.condition


def _shifts(norm: Array, k: int) -> Array:
    """Rows (q, P) that keep the common shift of all k classes at 0: the sum over the classes, multiplied by the norm
    (q,) of that input's columns in R."""
    q = len(norm)
    rows = np.zeros((q, q, k))
    rows[range(q), range(q)] = norm[:, None]
    return rows.reshape(q, q * k)
