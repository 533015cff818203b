"""Rows that are given to a fitted model: in its classes and with its class weights, as training had them."""

from __future__ import annotations

import numpy as np

from newtron.engine.base.types import Array, Matrix
from newtron.engine.rows import ArrayRows
from newtron.training.fitted import FittedModel
from newtron.training.targets import class_factors, known_codes, known_targets


def given_rows(model: FittedModel, X: Matrix, y: object, weight: Array | None) -> ArrayRows:
    """Rows in the user's units, X (n, p) and weights (n,) valid for the model, as training had them.

    Raises InputError where y has not a target for each row, or one that the model does not know.
    """
    Y = known_targets(y, model.data, X.shape[0], model.loss, model.n_outputs)
    factor = class_factor_of(model, X, y, weight)
    if factor is not None:
        weight = factor if weight is None else weight * factor
    return ArrayRows(X, Y if model.is_regression else Y.astype(X.dtype), weight)


def class_factor_of(model: FittedModel, X: Matrix, y: object, weight: Array | None) -> Array | None:
    """(n,) the weight of each row's class; None without class weights."""
    classes = model.data.classes
    if classes is None or model.settings.class_weight is None:
        return None
    codes = known_codes(np.asarray(y), classes, X.shape[0])
    return class_factors(codes, classes, weight, model.settings.class_weight, X.dtype)
