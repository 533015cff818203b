"""Classes as the targets of a network: one encoding for arrays, files and clusters."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike, NDArray

from newtron.engine.base.types import Array


def class_outputs(n_classes: int) -> int:
    """How many raw predictions tell so many classes apart: one for two classes, else one for each."""
    return 1 if n_classes == 2 else n_classes


def class_targets(codes: NDArray[np.integer], n_classes: int, dtype: DTypeLike = np.float64) -> Array:
    """Y (n, 1), 0 or 1, for two classes, and else (n, n_classes) with a 1 in the column of each row's class.

    codes: (n,) positions in the classes.
    """
    if n_classes == 2:
        return codes.astype(dtype)[:, None]
    Y = np.zeros((len(codes), n_classes), dtype=dtype, order="F")
    Y[np.arange(len(codes)), codes] = 1.0
    return Y
