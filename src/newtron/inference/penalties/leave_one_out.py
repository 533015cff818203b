"""Leave-one-out: what a model says of a row when it is trained without that row, from one training with all rows.

At an optimum let A = Σ_i weight_i J'HJ + diag(alpha) be the curvature of the summed objective, J the Jacobian of one
row's raw prediction z, V = J A^-1 J', and g and H the gradient and the Hessian of the row's loss at z. Without the row
the curvature is A - J'HJ, and by the Sherman-Morrison-Woodbury formula one Newton step from the optimum leads to

    V̄ = V without the row = (I - V H)^-1 V,    z without the row = z + V̄ g,    (I - V H)^-1 = I + V̄ H.

For least squares with a perceptron this step is exact: the residual r becomes r / (1 - h) with the leverage h (Allen
1974, PRESS; Golub, Heath & Wahba 1979). For a network it is exact for the network linearised at the optimum, and for
other losses it is one step of the many that a new training would take (Pregibon 1981; Rad & Maleki 2020).

The eigenvalues of V H are the row's leverages, between 0 and 1, one for each output (Hoaglin & Welsch 1978). Where one
of them is 1, the row alone determines some direction of its prediction, and there is no model without the row.

A row of weight 2 is the row twice, and one of the two is left out. A row of weight below 1 is left out whole, and so is
every row whose weight is no number of rows: an exposure, a precision or a sampling weight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import InputError
from newtron.engine.base.linalg import eigh
from newtron.engine.base.types import Array, Matrix
from newtron.engine.base.words import setting
from newtron.engine.maths.curvature import add_gauss_newton, jacobian
from newtron.engine.maths.losses import Loss
from newtron.engine.maths.network import Linearization
from newtron.engine.objective import TrainingObjective
from newtron.engine.rows import Chunk
from newtron.engine.solvers import Solution
from newtron.inference.penalties.evidence import Evidence, evidence_at, mean_curvature
from newtron.inference.posterior import Posterior

# A leverage whose distance from 1 is below this is taken for 1: in float64, rounding has taken the digits of 1 - h.
_ALONE = 1e-10
# Leverages of a row that add up to less than this leave I - V H far enough from singular for a plain solver.
_SAFE = 0.99
# Noise and temperature are known well enough from some thousands of rows. At most so many rows are left out; at least
# so many where the work for one row is large; in between as many as take this number of multiplications, about a second
# of one core.
_MOST_ROWS, _LEAST_ROWS, _WORK = 20_000, 500, 2e10
# Numbers in the Jacobian of one block of rows: 16 MB.
_BLOCK = 2**21
# The penalty is looked for between these multiples of the mean curvature of the weights. The first points that are
# tried are so far apart, in natural logarithms: a factor of 12.
_LEAST, _MOST, _APART = 1e-8, 1e3, 2.5
# The search between two of these points takes at most so many steps, and ends where log alpha changes by less than this
# share of itself.
_LINE_STEPS, _LINE_TOLERANCE = 60, 1e-9


class LeftOut(NamedTuple):
    """Rows as the models that are trained without them predict them.

    raw: (n, k) the raw prediction, and step: (n, k) by how much it differs from that of the model with all rows.
    spread: (n, k, k) J A^-1 J' without the row; finite and huge where a leverage is 1. alone: (n,) whether one is 1.
    """

    raw: Array
    step: Array
    spread: Array
    alone: NDArray[np.bool_]


def leave_out(z: Array, V: Array, gradient: Array, hessian: Array) -> LeftOut:
    """Leave each row out in turn. z: (n, k) raw predictions with all rows. V: (n, k, k) J A^-1 J'. gradient: (n, k) and
    hessian: (n, k, k), positive semidefinite: what the rows that are left out added to the sums."""
    spread, alone = _spread_without(V, hessian)
    step = (spread @ gradient[:, :, None])[:, :, 0]
    return LeftOut(z + step, step, spread, alone)


def _spread_without(V: Array, H: Array) -> tuple[Array, NDArray[np.bool_]]:
    """V̄ (n, k, k), and (n,) whether a leverage of the row is 1."""
    if V.shape[1] == 1:
        left = 1.0 - V * H
        return V / np.maximum(left, _ALONE), left[:, 0, 0] <= _ALONE
    sums = np.einsum("ncd,ndc->n", V, H)
    safe = sums <= _SAFE
    spread, alone = np.empty_like(V), np.zeros(len(V), dtype=np.bool_)
    spread[safe] = np.linalg.solve(np.eye(V.shape[1]) - V[safe] @ H[safe], V[safe])
    if not safe.all():
        spread[~safe], alone[~safe] = _spread_by_leverages(V[~safe], H[~safe])
    return spread, alone


def _spread_by_leverages(V: Array, H: Array) -> tuple[Array, NDArray[np.bool_]]:
    """The same by eigenvalues: V̄ = V + VR (I - R'VR)^-1 R'V with H = RR', symmetric whatever the leverages are."""
    finite = np.asarray(np.isfinite(V + H).all(axis=(1, 2)))
    V, H = (np.where(finite[:, None, None], M, 0.0) for M in (V, H))
    values, Q = eigh(H)
    R = Q * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    VR = V @ R
    leverages, Q = eigh(R.transpose(0, 2, 1) @ VR)
    left = 1.0 - leverages
    turned = VR @ Q
    spread = V + (turned / np.maximum(left, _ALONE)[:, None, :]) @ turned.transpose(0, 2, 1)
    spread[~finite] = np.nan
    return spread, np.any(left <= _ALONE, axis=1)


# Rows in memory, seen from a member's posterior


def rows_to_leave_out(weight: Array | None, n_rows: int, work: float) -> NDArray[np.intp]:
    """The rows whose weight is not zero, or a random part of them where there are many. weight: (n,) or None.
    work: multiplications for one row, which limits how many are chosen."""
    rows = np.arange(n_rows) if weight is None else np.flatnonzero(weight)
    most = int(min(_MOST_ROWS, max(_LEAST_ROWS, _WORK / work)))
    return rows if len(rows) <= most else np.sort(np.random.default_rng(0).choice(rows, most, replace=False))


def predictions_without(posterior: Posterior, loss: Loss, X: Matrix, Y: Array, weight: Array | None = None) -> LeftOut:
    """Leave each row of X (n, p), Y (n, k) out in turn; all rows must have been trained on. weight: (n,) of the
    training. The Hessian is its Gauss-Newton part, as in the posterior's A."""
    n, k = Y.shape
    found = LeftOut(np.empty((n, k)), np.empty((n, k)), np.empty((n, k, k)), np.empty(n, dtype=np.bool_))
    for rows, z, V in posterior.predict(X):
        once = _counted_once(None if weight is None else weight[rows].astype(np.float64), len(z))
        of_row = loss.pointwise(Y[rows].astype(np.float64), z, 2, gauss_newton=True)
        part = leave_out(z, V, once[:, None] * of_row.gradient, once[:, None, None] * of_row.hessian)
        for whole, piece in zip(found, part, strict=True):
            whole[rows] = piece
    return found


def _counted_once(weight: Array | None, n: int, whole_rows: bool = False) -> Array:
    """(n,) how much of each row is left out: one of its copies, or the whole of a row that counts less than once, and
    with whole_rows of every row."""
    if weight is None:
        return np.ones(n)
    return weight if whole_rows else np.minimum(weight, 1.0)


# All rows of an objective, block by block


@dataclass
class LeaveOneOutLosses:
    """The loss (n,) of each row by the model without it, and the weight (n,) of the row. Pieces add up row by row."""

    loss: Array
    weight: Array

    def __iadd__(self, other: LeaveOneOutLosses) -> LeaveOneOutLosses:
        self.loss = np.concatenate([self.loss, other.loss])
        self.weight = np.concatenate([self.weight, other.weight])
        return self

    @property
    def value(self) -> float:
        """The mean loss; inf where the loss of a row is not finite."""
        mean = float(self.weight @ self.loss / self.weight.sum())
        return mean if np.isfinite(mean) else float("inf")


@dataclass
class _Block:
    """One block of rows at an optimum. SJ: A^-1 J (P, k, n). V: (n, k, k). g: (n, k) and H: (n, k, k), what is left
    out of the sums."""

    at: Linearization
    SJ: Array
    V: Array
    g: Array
    H: Array
    without: LeftOut


def _block_at(objective: TrainingObjective, params: Array, inverse: Array, block: Chunk) -> _Block:
    at = objective.network.linearize(params, block.X)
    row = objective.loss.pointwise(block.y, at.output, 2, gauss_newton=True)
    J = jacobian(at)
    P, k, n = J.shape
    SJ = (inverse @ J.reshape(P, k * n)).reshape(P, k, n)
    V = np.einsum("pcn,pdn->ncd", J, SJ)
    once = _counted_once(block.weight, n, objective.whole_rows)
    g, H = row.gradient * once[:, None], row.hessian * once[:, None, None]
    return _Block(at, SJ, V, g, H, leave_out(at.output, V, g, H))


def _blocks(objective: TrainingObjective, chunk: Chunk) -> list[Chunk]:
    size = max(1, _BLOCK // (objective.n_params * objective.network.n_outputs))
    cuts = [slice(i, min(i + size, chunk.y.shape[0])) for i in range(0, chunk.y.shape[0], size)]
    return [Chunk(chunk.X[cut], chunk.y[cut], None if chunk.weight is None else chunk.weight[cut], cut) for cut in cuts]


def leave_one_out(objective: TrainingObjective, params: Array, inverse: Array) -> LeaveOneOutLosses:
    """The losses of all rows, in their order. params: an optimum. inverse: (P, P) A^-1, as in `Evidence`.

    A row whose leverage is 1 has no model without it; its loss is inf.
    """

    def of_block(block: Chunk) -> LeaveOneOutLosses:
        row = _block_at(objective, params, inverse, block)
        loss = np.where(row.without.alone, np.inf, objective.loss.pointwise(block.y, row.without.raw, 0).value)
        return LeaveOneOutLosses(loss, np.ones(len(loss)) if block.weight is None else block.weight)

    def of_chunk(chunk: Chunk) -> LeaveOneOutLosses:
        first, *rest = (of_block(block) for block in _blocks(objective, chunk))
        for piece in rest:
            first += piece
        return first

    with np.errstate(all="ignore"):
        return objective.rows.sum(of_chunk)


def loo_and_slope(objective: TrainingObjective, params: Array, evidence: Evidence, moves: Array) -> tuple[float, Array]:
    """Mean leave-one-out loss of a perceptron at its optimum, and its derivatives (G,) when alpha moves along each of
    moves (G, P).

    The optimum moves by dparams = -A^-1 (dalpha ∘ params) (implicit function theorem), and with it z, g, H and A.
    """
    inverse = evidence.inverse
    dparams = -(moves * params) @ inverse
    network, loss = objective.network, objective.loss

    def curvature_change(chunk: Chunk) -> Array:
        total = np.zeros((len(moves), objective.n_params, objective.n_params))
        for block in objective.blocks(chunk):
            at = network.linearize(params, block.X)
            for out, move in zip(total, dparams, strict=True):
                dH = _hessian_change(loss.hessian_change(at.output, at.jvp(move)))
                add_gauss_newton(at, dH if block.weight is None else dH * block.weight[:, None, None], out)
        return total

    dA = objective.rows.sum(curvature_change)
    for of_move, move in zip(dA, moves, strict=True):
        of_move[np.diag_indices(objective.n_params)] += move

    def of_chunk(chunk: Chunk) -> Array:
        total = np.zeros(1 + len(moves))
        for block in _blocks(objective, chunk):
            row = _block_at(objective, params, inverse, block)
            out = loss.pointwise(block.y, row.without.raw, 1).weighted(block.weight)
            once = _counted_once(block.weight, len(block.y), objective.whole_rows)[:, None, None]
            total[0] += np.inf if row.without.alone.any() else out.total
            for g, (change, move) in enumerate(zip(dA, dparams, strict=True), start=1):
                dz = row.at.jvp(move)
                dH = _hessian_change(loss.hessian_change(row.at.output, dz)) * once
                turned = np.tensordot(change, row.SJ, axes=1)
                dV = -np.einsum("pcn,pdn->ncd", row.SJ, turned)
                dg = (row.H @ dz[:, :, None])[:, :, 0]
                right = dV @ row.g[:, :, None] + row.V @ dg[:, :, None]
                right += (dV @ row.H + row.V @ dH) @ row.without.step[:, :, None]
                moved = dz + (right + row.without.spread @ (row.H @ right))[:, :, 0]
                total[g] += float(np.vdot(out.gradient, moved))
        return total

    with np.errstate(all="ignore"):
        total = objective.rows.sum(of_chunk) / objective.rows.total_weight
    return float(total[0]), total[1:]


def _hessian_change(change: Array | None) -> Array:
    if change is None:
        raise InputError(
            f"{setting('alpha', repr('loo'))} is not offered for this loss: take its own loss, or give alpha a number."
        )
    return change


# The penalty that leave-one-out chooses


def loo_penalty(objective: TrainingObjective, fit: Callable[[Array, Array], Solution], start: Array) -> Array:
    """The penalty on all weights of a perceptron, (P,), that minimises the approximate leave-one-out loss.

    The loss may have several minima: points along log alpha are tried first, and from the best of them the exact
    derivative leads to a minimum. fit: (alpha (P,), params) -> the optimum for alpha, searched from params.
    """
    weights = objective.network.is_weight
    mean = mean_curvature(objective, start)
    params = start

    def at(u: float) -> tuple[float, float]:
        nonlocal params
        alpha = np.where(weights, np.exp(u), 0.0)
        params = fit(alpha, params).params
        penalised = objective.with_alpha(alpha)
        found = evidence_at(penalised, params)
        if found is None:
            return np.inf, 0.0
        value, slope = loo_and_slope(penalised, params, found, alpha[None])
        return (value, float(slope[0])) if np.isfinite(value) else (np.inf, 0.0)

    low, high = float(np.log(_LEAST * mean)), float(np.log(_MOST * mean))
    points = [float(u) for u in np.arange(high, low, -_APART)]
    found = [at(u) for u in points]
    best = int(np.argmin([value for value, _ in found]))
    falls = found[best][1] < 0.0  # towards stronger penalties
    other = best - 1 if falls else best + 1
    u = points[best]
    if 0 <= other < len(points) and found[best][1] != 0.0:
        u = _lowest_between(at, (u, *found[best]), (points[other], *found[other]))
    return np.where(weights, np.exp(u), 0.0)


# A point on a line: where, value, slope.
_Point = tuple[float, float, float]


def _lowest_between(at: Callable[[float], tuple[float, float]], inner: _Point, outer: _Point) -> float:
    """A minimum between two points, where the slope at `inner` leads towards `outer` and the value there is no lower.

    It is found by halving, or by the secant of the slopes (Illinois: Dowell & Jarratt 1971) once these have opposite
    signs.
    """
    weight, last = 1.0, np.inf
    for _ in range(_LINE_STEPS):
        slope = outer[2] * weight
        crossed = np.isfinite(outer[1]) and slope * inner[2] < 0.0
        share = inner[2] / (inner[2] - slope) if crossed else 0.5
        u = inner[0] + share * (outer[0] - inner[0])
        point = (u, *at(u))
        if point[2] == 0.0 or abs(u - last) <= _LINE_TOLERANCE * max(1.0, abs(u)):
            return u
        last = u
        if point[2] * inner[2] > 0.0 and point[1] <= inner[1] + 1e-12 * abs(inner[1]):
            inner, weight = point, 0.5 * weight
        else:
            outer, weight = point, 1.0
            inner = (inner[0], inner[1], 0.5 * inner[2]) if crossed else inner
    return inner[0]
