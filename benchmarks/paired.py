"""Intervals of mean differences between two libraries on the same sets or the same splits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

Numbers = Sequence[float] | NDArray[Any]


def half_width(differences: Numbers, shared: float = 0.0) -> float:
    """Half of the 95 % interval of the mean (Student's t); nan of fewer than two differences.

    shared: for differences over splits of the same rows, rows tested on by rows trained on, by which their variance is
    corrected (Nadeau and Bengio 2003): such differences are not independent of each other.
    """
    n = len(differences)
    if n < 2:
        return float("nan")
    return float(t.ppf(0.975, n - 1) * np.std(differences, ddof=1) * np.sqrt(1.0 / n + shared))


def signed(differences: Numbers, digits: int) -> str:
    """'-0.0312 ± 0.0207': the mean difference and half of its 95 % interval."""
    half = half_width(differences)
    words = f"{np.mean(differences):+.{digits}f}"
    return f"{words} ± {half:.{digits}f}" if np.isfinite(half) else words
