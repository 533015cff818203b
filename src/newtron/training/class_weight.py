"""The weight that a row has by its class: `class_weight` as scikit-learn means it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array, Labels
from newtron.training.settings import ClassWeight


def class_weights(setting: ClassWeight, classes: Labels, totals: Array) -> Array:
    """(K,) the weight of each class. totals: (K,) what the rows of each class weigh together without it.

    "balanced" gives all classes the same total: the sum of the totals / (K · the class's own), as LogisticRegression
    of scikit-learn does. In a dict a class that is not named has the weight 1. Raises InputError for weights that
    cannot be used.
    """
    labels = classes.tolist()
    if isinstance(setting, str):
        if setting != "balanced":
            raise InputError(f"class_weight={setting!r} is not known: give 'balanced', a dict of weights, or None.")
        if not totals.all():
            empty = labels[int(np.argmin(totals))]
            raise InputError(
                f"class_weight='balanced' has no weight for the class {empty!r}, because none of its rows counts "
                "(their sample_weight is 0): leave these rows out, or give class_weight a weight for each class."
            )
        return np.asarray(totals.sum() / (len(classes) * totals))
    if not isinstance(setting, dict):
        raise InputError(f"class_weight={setting!r} must be a dict of weights by class, 'balanced' or None.")
    unknown = [label for label in setting if label not in labels]
    unnamed = [label for label in labels if label not in setting]
    if unknown and unnamed:
        raise InputError(
            f"class_weight names the class {unknown[0]!r}, which y has not, and gives the class "
            f"{unnamed[0]!r} no weight: name the classes as they are in y."
        )
    try:
        found = np.array([float(setting.get(label, 1.0)) for label in labels])
    except (TypeError, ValueError):
        found = np.array([np.nan])
    if not (np.isfinite(found).all() and (found >= 0.0).all() and found.any()):
        raise InputError(f"class_weight={setting!r} must give finite weights, 0 or more, and not 0 to all classes.")
    return found


def class_totals(codes: NDArray[np.integer], weight: Array | None, n_classes: int) -> Array:
    """(K,) what the rows of each class weigh; codes: (n,) the number of each row's class."""
    return np.bincount(codes, weights=weight, minlength=n_classes).astype(np.float64)
