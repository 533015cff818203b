"""Which rows are held out: by chance from a seed, and of every class its share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from newtron.errors import InputError
from newtron.words import count

# Of fewer rows nothing is held out: four rows judge no model, and the model needs them.
FEWEST = 20
_FEWEST_TRAINING = 10

Positions = NDArray[np.int64]


def hold_out(n: int, classes: NDArray[np.int64] | None, share: float, seed: int) -> tuple[Positions, Positions]:
    """Positions of the training rows and of the held-out rows, both in order. A class always keeps a row to
    be learnt from."""
    everything = np.arange(n)
    if share == 0.0:
        return everything, everything[:0]
    rng = np.random.default_rng(seed)
    groups = [everything] if classes is None else [np.flatnonzero(classes == c) for c in np.unique(classes)]
    n_out = round(share * n)
    parts = _shares([len(group) for group in groups], share, n_out)
    chosen = [rng.permutation(group)[:part] for group, part in zip(groups, parts, strict=True)]
    held_out = np.sort(np.concatenate(chosen))
    if len(held_out) < 2 or n - len(held_out) < _FEWEST_TRAINING:
        raise InputError(
            f"--holdout {share:g} of {count(n, 'row')} holds out {len(held_out):,} and leaves "
            f"{n - len(held_out):,} to learn from; choose a share that gives at least 2 and "
            f"{_FEWEST_TRAINING}, or 0 to compare nothing."
        )
    return np.setdiff1d(everything, held_out), held_out


def _shares(sizes: list[int], share: float, total: int) -> list[int]:
    """How many of each class: its share rounded down, then one more for the largest remainders."""
    exact = [share * size for size in sizes]
    parts = [min(int(e), size - 1) for e, size in zip(exact, sizes, strict=True)]
    by_remainder = sorted(range(len(sizes)), key=lambda i: (int(exact[i]) - exact[i], i))
    for i in by_remainder:
        if sum(parts) < total and parts[i] < sizes[i] - 1:
            parts[i] += 1
    return parts
