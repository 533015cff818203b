"""The last look at a model that was read: each part of it is what it must be, but do they make a model together?"""

from __future__ import annotations

from typing import Any

import numpy as np

from newtron.engine.base.errors import InputError
from newtron.engine.base.strict_json import DAMAGED
from newtron.model.predicting import predicted

# What shares may add up to, but for the rounding of those that wrote them.
_ROUNDING = 1e-6


def check_shares(shares: list[float]) -> None:
    """Do the members make up the whole model, and no more?"""
    total = sum(shares)
    if abs(total - 1.0) > _ROUNDING:
        raise InputError(f"the shares of the members add up to {total:.6g}, and not to 1; {DAMAGED}.")


def check_predictions(estimator: Any) -> None:
    """Are predictions finite at the means of the columns, and a standard deviation to both sides of them?"""
    scaling = estimator.scaling_
    rows = scaling.x_center + np.array([[0.0], [1.0], [-1.0]]) * scaling.x_scale
    with np.errstate(all="ignore"):
        at = predicted(estimator.model_, rows)
    # The coefficients of a perceptron, in the user's units, are what is shown of it.
    own = [getattr(estimator, name) for name in ("coef_", "intercept_") if hasattr(estimator, name)]
    if not all(np.isfinite(numbers).all() for numbers in (at, *own)):
        raise InputError(f"the model predicts no finite numbers at the means of its columns; {DAMAGED}.")
