"""The development and the validation half of the sets of both suites, by a rule fixed before their results were seen.

Defaults are chosen on rows that are divided within training rows of development sets (`inner_division`). The validation
half is for results alone: it is run once for each release candidate.

Classification: the 20 sets that the page of evidence has always shown were seen while earlier defaults were chosen, so
they are development sets. Of the 30 further sets, ordered by the SHA-256 of their names, the first 15 are development
sets and the others validation sets. Regression: the four sets that the page has always shown are development sets,
kin8nm and protein validation sets.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

SEEN = (
    "abalone", "balance-scale", "blood", "breast-cancer-wisc-diag", "car", "contrac", "ecoli", "haberman-survival",
    "heart-cleveland", "iris", "letter", "magic", "pima", "statlog-german-credit", "statlog-vehicle", "tic-tac-toe",
    "vertebral-column-3clases", "waveform", "wine", "yeast",
)  # fmt: skip
FURTHER = (
    "audiology-std", "breast-cancer", "breast-tissue", "cardiotocography-3clases", "conn-bench-vowel-deterding",
    "credit-approval", "cylinder-bands", "dermatology", "energy-y1", "flags", "glass", "heart-hungarian", "hepatitis",
    "ilpd-indian-liver", "ionosphere", "led-display", "libras", "low-res-spect", "lymphography",
    "oocytes_merluccius_nucleus_4d", "optical", "page-blocks", "parkinsons", "primary-tumor", "statlog-image",
    "steel-plates", "teaching", "titanic", "wine-quality-red", "zoo",
)  # fmt: skip
# Of these, results of earlier defaults had been reported by name before the halves were drawn.
REPORTED_BEFORE = (
    "cylinder-bands", "flags", "glass", "ionosphere", "lymphography", "parkinsons", "steel-plates", "teaching",
    "wine-quality-red",
)  # fmt: skip
_DEVELOPMENT_OF_FURTHER = 15


def drawn(names: tuple[str, ...]) -> list[str]:
    """Return the names in the order of their SHA-256."""
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())


DEVELOPMENT = (*SEEN, *drawn(FURTHER)[:_DEVELOPMENT_OF_FURTHER])
VALIDATION = tuple(drawn(FURTHER)[_DEVELOPMENT_OF_FURTHER:])
DEVELOPMENT_REGRESSION = ("yacht", "concrete", "wine", "power")
VALIDATION_REGRESSION = ("kin8nm", "protein")

_PARTS = 4


def inner_division(train: Array, y: Array, number: int, classes: bool) -> tuple[Array, Array]:
    """Divide training rows anew, in four parts of which number (0 to 3) is held out: rows to train on, rows to test on.

    train: the rows of a published split that may be trained on. classes: spread each class evenly over the parts, so
    that a class of one row is always trained on.
    """
    order = train[np.random.default_rng(len(train)).permutation(len(train))]
    part = np.arange(len(order)) % _PARTS
    if classes:
        order = order[np.argsort(y[order], kind="stable")]
        rows_of_class = dict(zip(*np.unique(y[order], return_counts=True), strict=True))
        part[[rows_of_class[own] == 1 for own in y[order]]] = _PARTS
    return np.sort(order[part != number]), np.sort(order[part == number])
