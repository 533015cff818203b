"""The choice of the held-out rows: random from a seed and the same share of every class, whole groups, the last rows in
an order, or folds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array
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
    codes = _codes(classes, n)
    strata = [np.flatnonzero(codes == c) for c in range(int(codes.max()) + 1)]
    parts = _shares([len(stratum) for stratum in strata], share, round(share * n))
    orders = [rng.permutation(stratum) for stratum in strata]
    if alike is None:
        held_out = np.sort(np.concatenate([order[:part] for order, part in zip(orders, parts, strict=True)]))
    else:
        held_out = _whole_groups(orders, parts, codes, alike)
    return _parts(n, held_out, share)


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


def hold_out_groups(
    groups: NDArray[np.int64], classes: NDArray[np.int64] | None, share: float, seed: int
) -> tuple[Positions, Positions]:
    """What `hold_out` returns, where whole groups are held out: in random order, as long as this brings the number of
    rows nearer to the share and leaves a row of each class. groups: (n,) the number of each row's group."""
    n, wanted, codes = len(groups), share * len(groups), _codes(classes, len(groups))
    groups = np.unique(groups, return_inverse=True)[1]
    by_group = np.split(np.argsort(groups, kind="stable"), np.cumsum(np.bincount(groups))[:-1])
    left, found, held = np.bincount(codes), [np.empty(0, dtype=np.int64)], 0
    for group in np.random.default_rng(seed).permutation(len(by_group)).tolist():
        rows = by_group[group]
        counts = np.bincount(codes[rows], minlength=len(left))
        if abs(held + len(rows) - wanted) < abs(held - wanted) and (left > counts).all():
            found, held, left = [*found, rows], held + len(rows), left - counts
    return _parts(n, np.sort(np.concatenate(found)), share, ", since each group is held out whole or not at all")


def hold_out_last(values: Array, share: float) -> tuple[Positions, Positions]:
    """What `hold_out` returns, where the rows with the largest values (n,) are held out. Rows of one value stay on the
    same side, and those without a value (nan) are training rows."""
    known = np.sort(values[~np.isnan(values)])
    wanted = round(share * len(values))
    # The first value that is held out: that at the share, or the next larger one, whichever is nearer to the share.
    at = max(len(known) - wanted, 0)
    cuts = [int(np.searchsorted(known, known[at], side)) for side in ("left", "right")] if at < len(known) else []
    cut = min((c for c in cuts if 0 < c < len(known)), key=lambda c: abs(c - at), default=len(known))
    held_out = np.flatnonzero(values >= known[cut]) if cut < len(known) else np.empty(0, dtype=np.int64)
    return _parts(
        len(values), held_out, share, ", since rows of one value stay together, and rows without one are trained on"
    )


def folds(
    n: int, classes: NDArray[np.int64] | None, k: int, seed: int, groups: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """(n,) the fold from 0 to k - 1 that each row is held out in; -1 for a row that is always a training row, since no
    other row, or no other group, has its class.

    Folds are random, and as equal as they can be, in all rows and in the rows of each class. Rows of a group are in one
    fold: groups of several rows are given to folds one by one, the largest first, each to the fold that has least of
    the classes in it, and single rows fill up what is left.
    """
    rng = np.random.default_rng(seed)
    codes = _codes(classes, n)
    groups = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    total, held = np.bincount(codes), np.zeros((k, int(codes.max()) + 1), dtype=np.int64)
    fold, sizes = np.full(n, -1), np.bincount(groups)
    order = rng.permutation(np.flatnonzero(sizes[groups] == 1))
    for rows, counts in _several(groups, sizes, codes, rng):
        if (counts < total).all():
            load = (held / total) @ (counts / total)
            at = np.lexsort((held.sum(axis=1), load))[0]
            fold[rows], held[at] = at, held[at] + counts
    for c in np.flatnonzero(total > 1).tolist():
        rows = order[codes[order] == c]
        fold[rows] = _filled(held[:, c], held.sum(axis=1), len(rows))
        held[:, c] += np.bincount(fold[rows], minlength=k)
    return fold


def _several(
    groups: NDArray[np.int64], sizes: NDArray[np.int64], codes: NDArray[np.int64], rng: np.random.Generator
) -> Iterator[tuple[Positions, NDArray[np.int64]]]:
    """The rows of each group of several, and how many of each class these are; the largest group first, and of equal
    ones a random one."""
    by_group, starts = np.argsort(groups, kind="stable"), np.cumsum(sizes) - sizes
    several = rng.permutation(np.flatnonzero(sizes > 1))
    for group in several[np.argsort(-sizes[several], kind="stable")].tolist():
        rows = by_group[starts[group] : starts[group] + sizes[group]]
        yield rows, np.bincount(codes[rows], minlength=int(codes.max()) + 1)


def _filled(held: NDArray[np.int64], rows: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """The folds of n more rows of a class, so that the folds have as equal numbers of it as they can. held, rows: (k,)
    what each fold has of it, and of all classes, by which the first of equals is chosen."""
    most = int(np.ceil((n + held.sum()) / len(held))) - int(held.min()) + 1
    levels = held[:, None] + np.arange(most)
    first = np.argsort(np.argsort(rows, kind="stable"))[:, None]
    order = np.lexsort((np.broadcast_to(first, levels.shape).ravel(), levels.ravel()))[:n]
    return np.asarray(order // most)


def _codes(classes: NDArray[np.int64] | None, n: int) -> NDArray[np.int64]:
    """(n,) the classes as numbers from 0 without a gap; all the same where there are none."""
    return np.zeros(n, dtype=np.int64) if classes is None else np.unique(classes, return_inverse=True)[1]


def _parts(n: int, held_out: Positions, share: float, reason: str = "") -> tuple[Positions, Positions]:
    """The training rows and the held-out rows. Raises InputError where either are too few. reason: why the share may
    not be met."""
    if len(held_out) < 2 or n - len(held_out) < _FEWEST_TRAINING:
        raise InputError(
            f"{setting('holdout', f'{share:g}')} of {count(n, 'row')} holds out {len(held_out):,} and leaves "
            f"{n - len(held_out):,} to learn from{reason}; choose a share that gives at least 2 and "
            f"{_FEWEST_TRAINING}, or 0 to compare nothing."
        )
    return np.setdiff1d(np.arange(n), held_out), held_out
