"""The derivatives of a model's predictions with respect to the columns, exactly, by the chain rule."""

from __future__ import annotations

import numpy as np

from newtron.engine.base.types import Array
from newtron.engine.maths.scaling import without_columns, without_offset
from newtron.inference.predictive.temperature import every_class, tempered
from newtron.model.predicting import averaged, predicted
from newtron.training.fitted import FittedModel


def input_slopes(model: FittedModel, X: Array) -> Array:
    """(n, k, p) the derivative of each predicted mean, or of the probability of each class, with respect to each column
    of X (n, p), in the user's units; with several networks, of their average.

    The column of an offset, the logarithm of the exposure, moves the mean in proportion: its derivative is the mean.
    That of a column which only says what group a row is of is 0, and the jumps between the groups of others have none.
    """
    X = np.asarray(X, dtype=np.float64)
    scaling = model.scaling
    slopes = sum(member.share * _of_member(model, place, X) for place, member in enumerate(model.members))
    slopes = scaling.over_columns(np.asarray(slopes))
    if model.is_regression:
        slopes = slopes * scaling.y_scale[:, None]
        if scaling.offset is not None:
            slopes = slopes * without_offset(X, scaling.offset)[1][:, None, None]
            slopes[:, :, scaling.offset] = predicted(model, X)
        return np.asarray(slopes)
    if model.n_outputs == 1:
        slopes = np.concatenate([-slopes, slopes], axis=1)
    return np.asarray(slopes) if model.temperature == 1.0 else _tempered(model, X, np.asarray(slopes))


def _of_member(model: FittedModel, place: int, X: Array) -> Array:
    """(n, k, p) the derivatives of the means of one network, or of its probabilities, by the columns that are
    inputs."""
    member = model.members[place]
    scaling = model.scaling_of(member)
    at = member.linearized(scaling.inputs(X))
    by_z = model.loss.mean_by_z(at.output + model.gained(X))
    given = without_columns(X, scaling.no_inputs)
    return np.stack([scaling.by_given(given, at.input_vjp(by_z[:, output])) for output in range(by_z.shape[1])], axis=1)


def _tempered(model: FittedModel, X: Array, slopes: Array) -> Array:
    """The derivatives of q_c = p_c^(1/T) / Σ_d p_d^(1/T) from those of p: dq_c = q_c (dp_c / p_c - Σ_d q_d dp_d / p_d)
    / T."""
    plain = every_class(averaged(model, X, model.loss.inverse_link))
    q = tempered(plain, model.temperature)[:, :, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(plain[:, :, None] > 0.0, slopes / plain[:, :, None], 0.0)
    return np.asarray(q * (relative - np.sum(q * relative, axis=1, keepdims=True)) / model.temperature)
