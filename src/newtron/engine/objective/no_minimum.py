"""Whether a classifier's objective has a minimum at all: separated classes have none without a penalty.

Solvers ask both questions of a `MeanLoss` while they minimise it; the answers are sentences.
"""

from __future__ import annotations

import numpy as np

from newtron.engine.base.linalg import eigh
from newtron.engine.base.types import Array
from newtron.engine.objective.mean_loss import MeanLoss

# A raw prediction |z| beyond this, a probability within 0.7 % of 0 or 1, is reason to ask whether classes are
# separated.
_FAR = 5.0
# Where classes are separated Newton's step moves z by about 1; at a minimum it moves z by as little as the gradient is.
# A step that moves every z by less than this is one at a minimum.
_SHORT_STEP = 0.3
# A Hessian of more parameters than this is not formed for this question alone.
_MATRIX = 2000
# Without a Hessian a raw prediction |z| beyond this is answer enough: its curvature exp(-30) = 1e-13 is lost in
# rounding.
_LOST = 30.0
# Share of the rows whose curvature is computed first.
_SHARE = 0.05


def unbounded_below(objective: MeanLoss, value: float) -> str | None:
    """Why the value proves that there is no minimum, in classification without a penalty on the output layer; else
    None.

    No row's loss is larger than the total. Where the total is below the loss of a row on the boundary, every row is on
    its right side, and then larger weights of the output layer lower the value without limit."""
    rows, loss = objective.rows, objective.loss
    if loss.separated_below == 0.0 or objective.alpha[objective.network.spans[-1]].any():
        return None
    if value * rows.total_weight >= loss.separated_below * min(1.0, rows.min_weight):
        return None
    return (
        "Every row is on its right side of the boundary: the classes are completely separated. Give a penalty "
        "(alpha) for finite coefficients."
    )


def escapes_to_infinity(objective: MeanLoss, params: Array, gradient: Array) -> str | None:
    """Why a point with a small gradient is on its way to infinity under quasi-separation; None where it is a minimum.

    Under quasi-separation the log loss of some rows falls without limit along a direction that moves no other row.
    There the gradient vanishes, but Newton's step stays near one unit of z, while at a minimum it is as small as the
    gradient. The same happens to an intercept without a penalty where a class has no row of positive weight."""
    if _intercept_escapes(objective, params):
        return objective.loss.no_intercept
    unpenalised = np.any(objective.alpha[objective.network.is_weight] == 0.0)
    if not (objective.loss.no_coefficients and objective.is_linear and unpenalised):
        return None
    largest = objective.largest_prediction(params)
    if largest < _FAR:
        return None
    lost = objective.n_params > _MATRIX and largest > _LOST
    if not lost and _newton_step_is_short(objective, params, gradient):
        return None
    return objective.loss.no_coefficients


def _intercept_escapes(objective: MeanLoss, params: Array) -> bool:
    """Have the targets of an output a mean that no finite z reaches, as where a class has no weight or all counts are
    0? Asked of the rows only where an intercept has gone far."""
    k, loss = objective.network.n_outputs, objective.loss
    if not (loss.no_intercept and objective.network.intercept) or objective.alpha[-1] > 0.0:
        return False
    if float(np.abs(loss.visible(params[None, -k:])).max()) < _FAR:
        return False
    mean, (low, high) = objective.target_mean, loss.limits
    return bool((mean <= low).any() or (k == 1 and mean[0] >= high - 1e-15))


def _newton_step_is_short(objective: MeanLoss, params: Array, gradient: Array) -> bool:
    """Is Newton's step as short as it is at a minimum? The curvature of a sample answers first. Its step is too short
    at most by the factor of the sample's share of the weight, when all rows whose z grows were drawn."""
    sample = objective.sampled(_SHARE)
    if sample is not objective:
        share = sample.rows.total_weight / objective.rows.total_weight
        if objective.largest_prediction(_newton_step(sample, params, gradient)) < _SHORT_STEP * share:
            return True
    return objective.largest_prediction(_newton_step(objective, params, gradient)) < _SHORT_STEP


def _newton_step(objective: MeanLoss, params: Array, gradient: Array) -> Array:
    """Newton's step in all directions that have any curvature left: from the Hessian, or, where that would be too
    large, by conjugate gradients."""
    unit = 1.0 / objective.scale
    if objective.n_params <= _MATRIX:
        hessian = objective.evaluate(params, 2).hessian
        values, V = eigh(hessian * unit * unit[:, None])
        along = V.T @ (gradient * unit)
        return np.asarray(unit * (V @ (-along / np.maximum(np.abs(values), 1e-300))))
    step, residual = np.zeros_like(params), gradient * unit
    direction, squared = -residual, float(residual @ residual)
    first = squared
    for _ in range(_MATRIX):
        product = unit * objective.hvp(params, unit * direction)
        curvature = float(direction @ product)
        if not curvature > 0.0 or squared <= 1e-4 * first:
            break
        t = squared / curvature
        step, residual = step + t * direction, residual + t * product
        before, squared = squared, float(residual @ residual)
        direction = -residual + (squared / before) * direction
    return np.asarray(unit * step)
