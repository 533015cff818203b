"""Rows of a perceptron as a weighted least-squares problem, and Newton's step from its QR decomposition.

With H = S'S of a row's loss the row's part of the Hessian, J'HJ, is B'B, B = SJ, and its gradient is -B'e with the
Pearson residuals e. So Newton's step is the least-squares solution of B s = e over all rows (iteratively reweighted
least squares; McCullagh & Nelder 1989, ch. 2). Forming B'B squares the condition of B: columns that differ by 1e-8 of
themselves are the same to it. R from QR of the rows, chunk by chunk, keeps what the rows say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.linalg import exact_product, factorize, svd
from newtron.engine.base.threads import cached_property
from newtron.engine.maths.losses import Loss, softmax
from newtron.engine.objective.least_squares import Triangle, design, upper
from newtron.engine.rows import Chunk

if TYPE_CHECKING:
    from newtron.engine.objective.training import TrainingObjective

Array = NDArray[np.floating]

# Numbers of B in a block of rows.
_BLOCK_NUMBERS = 2**19
# The Hessian in equilibrated columns has lost this power of its rounding, 1e-11 for float64, where its condition is
# the inverse of it.
_LOST = 0.7
# A penalty of at most this share of the rows' curvature holds the common shift of all classes too loosely to be solved
# for beside them.
_SLIGHT = 1e-8
_DIGIT = float(np.finfo(np.float64).eps)


class Whitened(NamedTuple):
    """Rows as a least-squares problem: S (n, s, c) with H = S'S, and e (n, s), or (n, k) for a regression."""

    S: Array
    e: Array


def whiten(loss: Loss, y: Array, z: Array) -> Whitened:
    """y, z (n, k) in float64. c = 1 for a regression, whose outputs share S, and for two classes, else k."""
    if loss.task == "regression":
        return Whitened(np.ones((y.shape[0], 1, 1)), y - z)
    if y.shape[1] == 1:
        # p(1 - p) and (y - p)/sqrt(p(1 - p)) without the cancellation in 1 - p.
        t = np.exp(-np.abs(z))
        sign = 2.0 * y - 1.0
        return Whitened((np.sqrt(t) / (1.0 + t))[:, :, None], sign * np.exp(-0.5 * sign * z))
    # diag(p) - pp' = S'S with S = diag(sqrt p)(I - 1p').
    p = np.maximum(softmax(z), 1e-300)
    half = np.sqrt(p)
    return Whitened(centred_root(half, p), (y - p) / half)


def centred_root(half: Array, p: Array) -> Array:
    """diag(half)(I - 1p'), (..., k, k)."""
    return np.asarray(half[..., :, None] * (np.eye(p.shape[-1]) - p[..., None, :]))


class Block(NamedTuple):
    """Some rows: A = [X, 1] (n, q), their whitened form, their weights (n,), and which rows of all they are."""

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


def blocks(objective: TrainingObjective, params: Array, chunk: Chunk) -> Iterator[Block]:
    """A chunk's rows in whitened form at params, as many at a time as fit the cache of a core."""
    network = objective.network
    k = network.n_outputs
    size = max(16, _BLOCK_NUMBERS // (network.n_params * k))
    n = chunk.y.shape[0]
    coefficients = params.reshape(-1, k)
    times = exact_product if objective.careful else np.matmul
    for start in range(0, n, size):
        cut = slice(start, min(start + size, n))
        weight = np.ones(cut.stop - start) if chunk.weight is None else chunk.weight[cut].astype(np.float64)
        A = design(Chunk(chunk.X[cut], chunk.y[cut], None, cut), network.intercept)
        white = whiten(objective.loss, chunk.y[cut].astype(np.float64), times(A, coefficients))
        first = chunk.rows.start
        yield Block(A, white, weight, slice(first + cut.start, first + cut.stop))


@dataclass(frozen=True)
class System:
    """Newton's step s at a point as R s = c: R'R is `weight` times the Hessian and R'c is -`weight` times the gradient,
    neither of which is formed.

    R: (P, P) upper triangular. c: (P,). epsilon: of the rows.
    """

    R: Array
    c: Array
    weight: float
    epsilon: float

    @cached_property
    def _norm(self) -> Array:
        norm = np.linalg.norm(self.R, axis=0)
        norm[norm == 0.0] = 1.0
        return np.asarray(norm)

    @cached_property
    def _decomposed(self) -> tuple[Array, Array, Array]:
        """In columns of equal norm."""
        return svd(self.R / self._norm)

    @property
    def _rank(self) -> int:
        """That of `least_squares`."""
        s = self._decomposed[1]
        return int(np.sum(s > s[0] * 10 * len(s) * _DIGIT))

    @property
    def near(self) -> bool:
        """Are there columns that nearly depend on each other, so that R sees what the Hessian has lost? Columns that
        exactly depend on each other are none: both see them."""
        s = self._decomposed[1]
        return bool(s[self._rank - 1] < s[0] * float(self.epsilon) ** (0.5 * _LOST))

    def step(self) -> Array:
        """The step, shortest in columns of equal norm where some depend on others."""
        U, s, Vt = self._decomposed
        r = self._rank
        return np.asarray((Vt[:r].T @ ((U[:, :r].T @ self.c) / s[:r])) / self._norm)

    @property
    def decrement(self) -> float:
        """sqrt(g'H^-1 g)."""
        return float(np.linalg.norm(self._decomposed[0][:, : self._rank].T @ self.c) / np.sqrt(self.weight))

    def decrease(self, step: Array) -> float:
        """By how much the quadratic model falls along a step."""
        moved = self.R @ step
        return (float(self.c @ moved) - 0.5 * float(moved @ moved)) / self.weight

    def rounding(self, params: Array) -> float:
        """By how much rounding the parameters at the optimum to doubles raises the value."""
        digit: Array = _DIGIT * np.abs(params)
        return 0.5 * float(np.sum(np.square(self._norm * digit))) / self.weight

    def eigen(self, metric: Array) -> tuple[Array, Array, Array]:
        """Eigenvalues, ascending, and eigenvectors of the Hessian in parameters times metric, and the gradient along
        these: with the digits that R has."""
        U, s, Vt = svd(self.R / metric)
        return (
            np.square(s[::-1]) / self.weight,
            np.ascontiguousarray(Vt[::-1].T),
            -(s * (U.T @ self.c))[::-1] / self.weight,
        )

    def damped(self, added: Array) -> System:
        """The same with added (P,) on the diagonal of the Hessian."""
        rest = np.diag(np.sqrt(self.weight * added))
        return self._replaced(np.vstack([np.column_stack([self.R, self.c]), np.column_stack([rest, 0.0 * self.c])]))

    def _replaced(self, rows: Array) -> System:
        R = upper(rows)
        P = len(self.c)
        return System(R[:P, :P], R[:P, P], self.weight, self.epsilon)


def has_lost(condition: float, epsilon: float) -> bool:
    """Has a Hessian of this condition, in equilibrated columns, lost digits that the rows may have? epsilon: of the
    rows, in which it was summed."""
    return not condition < epsilon**-_LOST


def newton_system(objective: TrainingObjective, params: Array) -> System | None:
    """By QR over all rows, for a likelihood; None where numbers are not finite."""
    k, P = objective.network.n_outputs, objective.n_params

    def of_chunk(chunk: Chunk) -> Triangle:
        total: Triangle | None = None
        for block in blocks(objective, params, chunk):
            S = block.white.S
            if S.shape[2] < k:  # a regression's outputs, side by side
                S = np.broadcast_to(np.eye(k), (len(S), k, k))
            root = np.sqrt(block.weight)[:, None, None, None]
            B = (root * S[:, :, None, :] * block.A[:, None, :, None]).reshape(-1, P)
            part = Triangle(upper(np.column_stack([B, (root[:, :, 0, 0] * block.white.e).ravel()])))
            if total is None:
                total = part
            else:
                total += part
        assert total is not None
        return total

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
    return System(merged.R[:P, :P], merged.R[:P, P], objective.rows.total_weight, objective.epsilon)


def _unseen(objective: TrainingObjective, curvature: Array) -> NDArray[np.bool_]:
    """(q,) of which inputs a common shift of all classes changes nothing, or nothing beside the rounding of what the
    rows say: no row sees it, and a penalty keeps it where it starts, at 0. curvature: (q,) of the rows."""
    penalty = objective.alpha.reshape(-1, objective.network.n_outputs).max(axis=1)
    return np.asarray((penalty <= _SLIGHT * curvature) & (objective.loss.min_outputs > 1))


def condition_seen(objective: TrainingObjective, hessian: Array, condition: float) -> float:
    """Condition of the Hessian in equilibrated columns, in the directions that rows see; `condition` is that of all."""
    k = objective.network.n_outputs
    of_rows = np.diagonal(hessian) * objective.rows.total_weight - objective.alpha
    unseen = np.flatnonzero(_unseen(objective, np.maximum(of_rows.reshape(-1, k).mean(axis=1), 0.0)))
    if not unseen.size:
        return condition
    at = unseen[:, None] * k + np.arange(k)
    fixed = hessian.copy()
    fixed[at[:, :, None], at[:, None, :]] += (np.diagonal(hessian)[at].mean(axis=1) / k)[:, None, None]
    factor = factorize(fixed)
    return float("inf") if factor is None else factor.condition


def _shifts(norm: Array, k: int) -> Array:
    """Rows (q, P) that keep the common shift of all k classes at rest, where no row sees it: the sum over the classes,
    in the size of what the rows say of that input, norm (q,)."""
    q = len(norm)
    rows = np.zeros((q, q, k))
    rows[range(q), range(q)] = norm[:, None]
    return rows.reshape(q, q * k)
