"""The choice of the held-out rows: random from a seed, and the same share of every class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import InputError
from newtron.engine.base.words import count, setting

# From fewer rows none is held out: four rows say nothing about a model, and training needs them.
FEWEST = 20
# Training rows that a split must leave.
_FEWEST_TRAINING = 10

Positions = NDArray[np.int64]


def hold_out(
    n: int, classes: NDArray[np.int64] | None, share: float, seed: int, alike: NDArray[np.int64] | None = None
) -> tuple[Positions, Positions]:
    """Positions of the training rows and of the held-out rows, both in order. At least one row of each class is a
    training row. alike: (n,) the number of each row's group; rows of a group stay on the same side."""
    everything = np.arange(n)
    if share == 0.0:
        return everything, everything[:0]
    rng = np.random.default_rng(seed)
    codes = np.zeros(n, dtype=np.int64) if classes is None else np.unique(classes, return_inverse=True)[1]
    strata = [np.flatnonzero(codes == c) for c in range(int(codes.max()) + 1)]
    parts = _shares([len(stratum) for stratum in strata], share, round(share * n))
    orders = [rng.permutation(stratum) for stratum in strata]
    if alike is None:
        held_out = np.sort(np.concatenate([order[:part] for order, part in zip(orders, parts, strict=True)]))
    else:
        held_out = _whole_groups(orders, parts, codes, alike)
    if len(held_out) < 2 or n - len(held_out) < _FEWEST_TRAINING:
        raise InputError(
            f"{setting('holdout', f'{share:g}')} of {count(n, 'row')} holds out {len(held_out):,} and leaves "
            f"{n - len(held_out):,} to learn from; choose a share that gives at least 2 and "
            f"{_FEWEST_TRAINING}, or 0 to compare nothing."
        )
    return np.setdiff1d(everything, held_out), held_out


def _whole_groups(
    orders: list[Positions], parts: list[int], codes: NDArray[np.int64], alike: NDArray[np.int64]
) -> Positions:
    """Rows in these orders, each with its whole group, as long as no class exceeds its part; at least two rows if there
    are groups that leave a row of each class."""
    by_group = np.argsort(alike, kind="stable")
    members = np.split(by_group, np.cumsum(np.bincount(alike))[:-1])
    left, visited = np.array(parts), np.zeros(len(members), dtype=bool)
    found: list[Positions] = []
    refused: list[Positions] = []
    for stratum, order in enumerate(orders):
        for row in order.tolist():
            if left[stratum] <= 0:
                break
            if visited[alike[row]]:
                continue
            visited[alike[row]] = True
            rows = members[alike[row]]
            counts = np.bincount(codes[rows], minlength=len(left))
            if (counts <= left).all():
                left -= counts
                found.append(rows)
            else:
                refused.append(rows)
    sizes = np.bincount(codes)
    for rows in refused:
        if sum(map(len, found)) >= 2:
            break
        if (np.bincount(codes[np.concatenate([*found, rows])], minlength=len(sizes)) < sizes).all():
            found.append(rows)
    return np.sort(np.concatenate(found)) if found else np.empty(0, dtype=np.int64)


def _shares(sizes: list[int], share: float, total: int) -> list[int]:
    """How many rows of each class: its share rounded down, then one more for the largest remainders."""
    exact = [share * size for size in sizes]
    parts = [min(int(e), size - 1) for e, size in zip(exact, sizes, strict=True)]
    by_remainder = sorted(range(len(sizes)), key=lambda i: (int(exact[i]) - exact[i], i))
    for i in by_remainder:
        if sum(parts) < total and parts[i] < sizes[i] - 1:
            parts[i] += 1
    return parts
