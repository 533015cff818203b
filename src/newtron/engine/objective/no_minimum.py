"""Whether a classifier's objective has a minimum at all: separated classes have none without a penalty.

Both questions are asked of a `MeanLoss` while it is being minimised; the answers are sentences.
"""

from __future__ import annotations

import numpy as np

from newtron.engine.base.linalg import eigh
from newtron.engine.base.types import Array
from newtron.engine.objective.mean_loss import MeanLoss

# A raw prediction beyond this (a probability within 0.7 % of 0 or 1) is reason to ask whether classes are separated;
# where they are, Newton's step moves z by about 1, and at a minimum by as little as the gradient is.
_FAR, _STEP_IN_FLIGHT = 5.0, 0.3
# A Hessian of more parameters than this is not formed only to ask that; and without it a z beyond the second number,
# whose curvature is lost in rounding, is answer enough.
_MATRIX, _LOST = 2000, 30.0
# Share of the rows whose curvature is asked first.
_SHARE = 0.05


def unbounded_below(objective: MeanLoss, value: float) -> str | None:
    """Classification without a penalty on the output layer: a total loss this small puts every row on its right
    side, since each row's own loss is no larger, and then a larger output layer lowers it for ever."""
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
    """Quasi-separation: the log loss of some rows falls for ever along a direction that moves no other row.
    There the gradient fades, but Newton's step stays near one unit of z, where at a minimum it is as small
    as the gradient.

    The same happens to an intercept without a penalty where a class has no row that weighs."""
    if _lacks_a_class(objective, params):
        return "A class has no row that weighs, so its intercept falls for ever: leave its rows out."
    unpenalised = np.any(objective.alpha[objective.network.is_weight] == 0.0)
    if objective.loss.name != "log_loss" or not objective.is_linear or not unpenalised:
        return None
    largest_prediction = objective.largest_prediction(params)
    if largest_prediction < _FAR:
        return None
    lost = objective.n_params > _MATRIX and largest_prediction > _LOST
    if not lost and _rests(objective, params, gradient):
        return None
    return (
        "Some coefficients go on growing while the fit hardly changes, as where rows are perfectly separated. Give "
        "a penalty (alpha) for finite coefficients."
    )


def _lacks_a_class(objective: MeanLoss, params: Array) -> bool:
    """Does a class have no weight, while its probability may fall to 0? Asked of the rows only where an intercept has
    gone far."""
    k = objective.network.n_outputs
    if objective.loss.task == "regression" or not objective.network.intercept or objective.alpha[-1] > 0.0:
        return False
    b = params[-k:]
    if float(np.abs(b - (b.mean() if k > 1 else 0.0)).max()) < _FAR:
        return False
    mean = objective.target_moments[0]
    return bool((mean <= 0.0).any() or (k == 1 and mean[0] >= 1.0 - 1e-15))


def _rests(objective: MeanLoss, params: Array, gradient: Array) -> bool:
    """Is Newton's step short, as it is at a minimum? The curvature of a sample answers first: its step is too short
    by the sample's share of the weight at most, which is when all the rows that flee were drawn."""
    sample = objective.sampled(_SHARE)
    if sample is not objective:
        share = sample.rows.total_weight / objective.rows.total_weight
        if objective.largest_prediction(_newton_like(sample, params, gradient)) < _STEP_IN_FLIGHT * share:
            return True
    return objective.largest_prediction(_newton_like(objective, params, gradient)) < _STEP_IN_FLIGHT


def _newton_like(objective: MeanLoss, params: Array, gradient: Array) -> Array:
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
