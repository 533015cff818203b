"""Predictions for rows that were left out, from one factorisation at the optimum, and penalties chosen by them.

Leaving row i out of an optimum takes its gradient and curvature away, and one Newton step from there moves its own raw
prediction (`row_removal`), with A = Σ_i weight_i J'HJ + diag(alpha).

For least squares the step is exact: the residual r becomes r / (1 - h) (Allen 1974; Golub, Heath & Wahba 1979). For
other losses it is one step of the many that leaving out would take (Pregibon 1981; Rad & Maleki 2020). A row of
weight 2 is the row twice: one of them is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import InputError
from newtron.engine.base.words import setting
from newtron.engine.maths.gauss_newton import jacobian
from newtron.engine.maths.network import Linearization
from newtron.engine.objective import TrainingObjective
from newtron.engine.rows import Chunk
from newtron.engine.solvers import Solution
from newtron.inference.penalties.evidence import Evidence, evidence_at, mean_curvature
from newtron.inference.penalties.row_removal import Removal, without_row

Array = NDArray[np.floating]

# Numbers in a block's Jacobian.
_BLOCK = 2**21
# The penalty is looked for between these multiples of the mean curvature of the weights, first at points this many
# (natural) logarithms apart.
_LEAST, _MOST, _APART = 1e-8, 1e3, 2.5
# Steps of the search between two of them, and the change at which it ends.
_LINE_STEPS, _LINE_STILL = 60, 1e-9
# Rows that the prior of the shares is worth, for each member, and the most steps to their optimum.
_PRIOR_ROWS, _EM_STEPS = 30.0, 2000


@dataclass
class LeftOut:
    """raw: (n, k) raw prediction of each row by the model without it. loss: (n,). Pieces add up row by row."""

    raw: Array
    loss: Array
    weight: Array

    def __iadd__(self, other: LeftOut) -> LeftOut:
        self.raw = np.concatenate([self.raw, other.raw])
        self.loss = np.concatenate([self.loss, other.loss])
        self.weight = np.concatenate([self.weight, other.weight])
        return self

    @property
    def value(self) -> float:
        """Mean loss of the rows left out; inf where one is not finite."""
        mean = float(self.weight @ self.loss / self.weight.sum())
        return mean if np.isfinite(mean) else float("inf")


@dataclass
class _Row:
    """One block of rows at an optimum. SJ = A^-1 J (P, k, n), V (n, k, k), g (n, k) and H (n, k, k) of what is left
    out, step = z̃ - z."""

    at: Linearization
    SJ: Array
    V: Array
    g: Array
    H: Array
    without: Removal
    step: Array


def _row(objective: TrainingObjective, params: Array, inverse: Array, block: Chunk) -> _Row:
    at = objective.network.linearize(params, block.X)
    row = objective.loss.pointwise(block.y, at.output, 2, gauss_newton=True)
    J = jacobian(at)
    P, k, n = J.shape
    SJ = (inverse @ J.reshape(P, k * n)).reshape(P, k, n)
    V = np.einsum("pcn,pdn->ncd", J, SJ)
    once = np.ones(n) if block.weight is None else np.minimum(block.weight, 1.0)
    g, H = row.gradient * once[:, None], row.hessian * once[:, None, None]
    without = without_row(V, H)
    return _Row(at, SJ, V, g, H, without, (without.spread @ g[:, :, None])[:, :, 0])


def _blocks(objective: TrainingObjective, chunk: Chunk) -> list[Chunk]:
    size = max(1, _BLOCK // (objective.n_params * objective.network.n_outputs))
    cuts = [slice(i, min(i + size, chunk.y.shape[0])) for i in range(0, chunk.y.shape[0], size)]
    return [Chunk(chunk.X[cut], chunk.y[cut], None if chunk.weight is None else chunk.weight[cut], cut) for cut in cuts]


def leave_one_out(objective: TrainingObjective, params: Array, inverse: Array) -> LeftOut:
    """Of all rows, in their order. params: an optimum; inverse: (P, P) A^-1, as in `Evidence`.

    A row whose leverage is 1 has no model without it; its loss is then inf.
    """

    def of_block(block: Chunk) -> LeftOut:
        row = _row(objective, params, inverse, block)
        raw = row.at.output + row.step
        loss = np.where(row.without.alone, np.inf, objective.loss.pointwise(block.y, raw, 0).value)
        return LeftOut(raw, loss, np.ones(len(loss)) if block.weight is None else block.weight)

    def of_chunk(chunk: Chunk) -> LeftOut:
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
                at.sandwich(dH if block.weight is None else dH * block.weight[:, None, None], out)
        return total

    dA = objective.rows.sum(curvature_change)
    for of_move, move in zip(dA, moves, strict=True):
        of_move[np.diag_indices(objective.n_params)] += move

    def of_chunk(chunk: Chunk) -> Array:
        total = np.zeros(1 + len(moves))
        for block in _blocks(objective, chunk):
            row = _row(objective, params, inverse, block)
            out = loss.pointwise(block.y, row.at.output + row.step, 1).weighted(block.weight)
            once = 1.0 if block.weight is None else np.minimum(block.weight, 1.0)[:, None, None]
            total[0] += np.inf if row.without.alone.any() else out.total
            for g, (change, move) in enumerate(zip(dA, dparams, strict=True), start=1):
                dz = row.at.jvp(move)
                dH = _hessian_change(loss.hessian_change(row.at.output, dz)) * once
                turned = np.tensordot(change, row.SJ, axes=1)
                dV = -np.einsum("pcn,pdn->ncd", row.SJ, turned)
                dg = (row.H @ dz[:, :, None])[:, :, 0]
                right = dV @ row.g[:, :, None] + row.V @ dg[:, :, None]
                right += (dV @ row.H + row.V @ dH) @ row.step[:, :, None]
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


def loo_penalty(objective: TrainingObjective, fit: Callable[[Array, Array], Solution], start: Array) -> Array:
    """The penalty on all weights of a perceptron, (P,), that minimises the approximate leave-one-out loss.

    The loss may have several minima: points along log alpha are tried first, and from the best the exact derivative
    leads to a minimum. fit: (alpha (P,), params) -> the optimum for alpha, searched from params.
    """
    weights = objective.network.is_weight
    mean = mean_curvature(objective, start)
    params = start

    def at(u: float) -> tuple[float, float]:
        nonlocal params
        alpha = np.where(weights, np.exp(u), 0.0)
        params = fit(alpha, params).params
        penalised = objective.with_alpha(alpha)
        known = evidence_at(penalised, params)
        if known is None:
            return np.inf, 0.0
        value, slope = loo_and_slope(penalised, params, known, alpha[None])
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

    By halving, or by the secant of the slopes (Illinois: Dowell & Jarratt 1971) once they have opposite signs.
    """
    weight, last = 1.0, np.inf
    for _ in range(_LINE_STEPS):
        slope = outer[2] * weight
        crossed = np.isfinite(outer[1]) and slope * inner[2] < 0.0
        share = inner[2] / (inner[2] - slope) if crossed else 0.5
        u = inner[0] + share * (outer[0] - inner[0])
        point = (u, *at(u))
        if point[2] == 0.0 or abs(u - last) <= _LINE_STILL * max(1.0, abs(u)):
            return u
        last = u
        if point[2] * inner[2] > 0.0 and point[1] <= inner[1] + 1e-12 * abs(inner[1]):
            inner, weight = point, 0.5 * weight
        else:
            outer, weight = point, 1.0
            inner = (inner[0], inner[1], 0.5 * inner[2]) if crossed else inner
    return inner[0]


def stacking_shares(losses: Array, weight: Array | None = None) -> Array:
    """(M,) shares, adding to 1, of M members whose log losses of the rows left out are `losses` (M, n).

    They maximise Σ_i weight_i log Σ_m share_m p_mi (stacking: Wolpert 1992, Smyth & Wolpert 1999) beside a prior worth
    `_PRIOR_ROWS` rows a member that draws them together; found by expectation maximisation, which only rises.
    """
    M, n = losses.shape
    weights = np.ones(n) if weight is None else weight
    with np.errstate(all="ignore"):
        p = np.exp(-(losses - losses.min(axis=0)))
    p[~np.isfinite(p)] = 0.0
    kept = p.sum(axis=0) > 0.0
    p, weights = p[:, kept], weights[kept]
    shares = np.full(M, 1.0 / M)
    for _ in range(_EM_STEPS):
        of_member = shares[:, None] * p
        of_member /= of_member.sum(axis=0)
        new = of_member @ weights + _PRIOR_ROWS
        new /= new.sum()
        still = np.abs(new - shares).max() < 1e-12
        shares = new
        if still:
            break
    return np.asarray(shares)
