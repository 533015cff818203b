"""What a row weighs by its class: `class_weight` as scikit-learn means it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_class_weight

from newtron.engine.base.errors import InputError

Array = NDArray[np.floating]


def class_weights(setting: Any, classes: NDArray[Any], totals: NDArray[Any]) -> Array:
    """(K,) the weight of each class. totals: (K,) what the rows of each class weigh together without it.

    "balanced" gives all classes the same total: the sum of the totals / (K · the class's own), as LogisticRegression
    of scikit-learn does. Raises InputError for weights that cannot be used.
    """
    if isinstance(setting, str) and setting == "balanced":
        if not totals.all():
            empty = classes.tolist()[int(np.argmin(totals))]
            raise InputError(
                f"class_weight='balanced' has no weight for the class {empty!r}, because none of its rows counts "
                "(their sample_weight is 0): leave these rows out, or give class_weight a weight for each class."
            )
        return np.asarray(totals.sum() / (len(classes) * totals))
    found: Array = compute_class_weight(setting, classes=classes, y=classes)
    if not (np.isfinite(found).all() and (found >= 0.0).all() and found.any()):
        raise InputError(f"class_weight={setting!r} must give finite weights, 0 or more, and not 0 to all classes.")
    return found


def totals(codes: NDArray[np.integer], weight: Array | None, n_classes: int) -> NDArray[Any]:
    """(K,) what the rows of each class weigh; codes: (n,) the number of each row's class."""
    return np.bincount(codes, weights=weight, minlength=n_classes)
