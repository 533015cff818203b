"""Shortcuts for a perceptron: z is linear in the parameters, so its change along a line and J need not be computed
anew."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from newtron.engine.base.types import Array
from newtron.engine.objective.mean_loss import MeanLoss
from newtron.engine.objective.objective import LinePoint
from newtron.engine.rows import Chunk


def line(objective: MeanLoss, params: Array, direction: Array) -> Callable[[float], LinePoint]:
    """t -> value and slope at params + t * direction. z and its change are kept, so each t costs only the losses."""
    rows = objective.rows
    z = np.empty((rows.n_rows, rows.n_outputs), dtype=rows.dtype)
    dz = np.empty_like(z)
    cast, move = params.astype(rows.dtype), direction.astype(rows.dtype)

    def keep(chunk: Chunk) -> float:
        for block in objective.blocks(chunk):
            z[chunk.rows][block.rows] = objective.network.output(cast, block.X)
            dz[chunk.rows][block.rows] = objective.network.output(move, block.X)
        return 0.0

    objective.counts["gradient"] += 1
    rows.sum(keep)
    # The penalty on the line is a parabola.
    pairs = ((params, params), (params, direction), (direction, direction))
    still, mixed, moving = (0.5 * float(a @ (objective.alpha * b)) for a, b in pairs)

    def on_line(t: float) -> LinePoint:
        def of_chunk(chunk: Chunk) -> Array:
            there = z[chunk.rows] + rows.dtype.type(t) * dz[chunk.rows]
            row = objective.loss.pointwise(chunk.y, there, 1).weighted(chunk.weight)
            return np.array([row.total, float(np.vdot(row.gradient, dz[chunk.rows]))])

        with np.errstate(all="ignore"):
            value, slope = rows.sum(of_chunk)
        value += still + t * (2.0 * mixed + t * moving)
        slope += 2.0 * (mixed + t * moving)
        return LinePoint(float(value) / rows.total_weight, float(slope) / rows.total_weight)

    return on_line


def hessian_product(objective: MeanLoss, params: Array, v: Array) -> Array:
    """The Hessian at params times v, for one output or squared errors."""
    rows = objective.rows
    direction = v.astype(rows.dtype)
    known = None if objective.is_quadratic else _row_curvature(objective, params)

    def of_chunk(chunk: Chunk) -> Array:
        total = np.zeros(objective.n_params)
        for block in objective.blocks(chunk):
            at = objective.network.linearize(direction, block.X)  # its output is J v
            u = at.output
            if known is not None:
                u = u * known[chunk.rows][block.rows]
            elif block.weight is not None:
                u = u * block.weight[:, None]
            total += at.vjp(u)
        return total

    return np.asarray((rows.sum(of_chunk) + objective.alpha * v) / rows.total_weight)


def _row_curvature(objective: MeanLoss, params: Array) -> Array:
    """(n, 1) weighted second derivatives of the loss at params, kept for the products with other vectors there."""
    if objective.row_curvature is not None and np.array_equal(objective.row_curvature[0], params):
        return objective.row_curvature[1]
    rows = objective.rows
    curvature = np.empty((rows.n_rows, 1), dtype=rows.dtype)
    cast = params.astype(rows.dtype)

    def keep(chunk: Chunk) -> float:
        for block in objective.blocks(chunk):
            z = objective.network.output(cast, block.X)
            row = objective.loss.pointwise(block.y, z, 2).weighted(block.weight)
            curvature[chunk.rows][block.rows] = row.hessian[:, :, 0]
        return 0.0

    rows.sum(keep)
    objective.row_curvature = (params.copy(), curvature)
    return curvature
