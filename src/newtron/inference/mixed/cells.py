"""Cells of a linear mixed model: what its rows come to, so that the rows need not be in memory.

Rows with the same level in every grouping column are a cell. With r_i = [x_i, y_i] and m_c the weighted mean of the
rows of cell c,

    Σ_i w_i (r_i - u_i)(r_i - u_i)' = Σ_c w_c (m_c - u_c)(m_c - u_c)' + R'R,    R'R = Σ_c Σ_i in c w_i (r_i - m_c)(...)'

for every u that is the same in all rows of a cell. So the likelihood depends on the rows by the weights and means of
the cells and by the triangle R alone. R comes from QR decompositions of the deviations themselves, which keeps the
digits that a difference of sums of squares would lose (Chan, Golub & LeVeque 1983; Demmel et al. 2012). Cells of parts
of the rows are joined as the rows are: a mean that moves leaves a deviation, which goes into R.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Self

import numpy as np

from newtron.engine.base.errors import InputError
from newtron.engine.base.linalg import qr_triangle
from newtron.engine.base.types import Array
from newtron.engine.base.words import setting, size
from newtron.inference.mixed.grouping import Codes

# Products of numbers of levels up to this are numbers of cells without being counted on the way: no int64 overflows.
_LARGEST = 2**40
# Up to so many possible numbers for each row, those that occur are found by counting, and else by sorting.
_COUNTED = 8
# Rows of a block of a QR decomposition: with few columns they stay in the cache of a core.
_BLOCK = 4096


@dataclass(frozen=True, eq=False)
class LevelCells:
    """Different cells of G grouping columns.

    keys: of each column (L,) the numbers of its levels, in ascending order. codes: of each column (C,) the position of
    each cell's level among these. weight: (C,) above 0. means: (C, m) weighted. within: (m or fewer, m) the triangle R.
    rows: how many rows they are of. logs: the sum of the logarithms of the weights of these.
    """

    keys: tuple[Array, ...]
    codes: tuple[Codes, ...]
    weight: Array
    means: Array
    within: Array
    rows: int
    logs: float

    @classmethod
    def of(cls, groups: Array, weight: Array, values: Array) -> LevelCells:
        """Those of rows with values (n, m) and weights (n,), of which those above 0 count. groups: (n, G) the numbers
        of their levels."""
        some = weight > 0.0
        if not some.all():
            groups, weight, values = groups[some], weight[some], values[some]
        levels = [np.unique(column, return_inverse=True) for column in groups.T]
        keys, codes = tuple(own for own, _ in levels), tuple(places for _, places in levels)
        none = np.zeros((0, values.shape[1]))
        return _distinct(cls(keys, codes, weight, values, none, len(weight), float(np.log(weight).sum())))

    @property
    def total_weight(self) -> float:
        return float(self.weight.sum())

    @property
    def bytes(self) -> int:
        """What they take in memory."""
        return sum(array.nbytes for array in (*self.keys, *self.codes, self.weight, self.means))


def _distinct(cells: LevelCells) -> LevelCells:
    """Join those of the same levels."""
    place, n = _places(*_numbers(cells.codes, [len(own) for own in cells.keys]))
    first = np.empty(n, dtype=np.intp)
    first[place[::-1]] = np.arange(len(place) - 1, -1, -1)  # where a place occurs twice, the last assignment counts
    weight: Array = np.bincount(place, cells.weight, n).astype(np.float64)
    sums = [np.bincount(place, cells.weight * column, n) for column in cells.means.T]
    means = np.column_stack(sums) / weight[:, None]
    moved = np.flatnonzero(np.bincount(place, minlength=n)[place] > 1)
    away = np.sqrt(cells.weight[moved])[:, None] * (cells.means[moved] - means[place[moved]])
    blocks = [away[start : start + _BLOCK] for start in range(0, len(away), _BLOCK)]
    within = reduce(lambda R, block: qr_triangle(np.vstack([R, block])), blocks, cells.within)
    codes = tuple(own[first] for own in cells.codes)
    return replace(cells, codes=codes, weight=weight, means=means, within=within)


def _numbers(codes: Sequence[Codes], sizes: Sequence[int]) -> tuple[Codes, int]:
    """(n,) a number for each combination of levels, in their lexicographic order, and one above the largest."""
    found, count = np.zeros(len(codes[0]), dtype=np.intp), 1
    for own, levels in zip(codes, sizes, strict=True):
        if count * levels > _LARGEST:
            found, count = _places(found, count)
        found, count = found * levels + own, count * levels
    return found, count


def _places(numbers: Codes, count: int) -> tuple[Codes, int]:
    """(n,) the place of each number below `count` among the different ones in order, and how many these are."""
    if count >= _COUNTED * len(numbers):
        different, places = np.unique(numbers, return_inverse=True)
        return places, len(different)
    there = np.zeros(count, dtype=np.intp)
    there[numbers] = 1
    before = np.cumsum(there)
    return before[numbers] - 1, int(before[-1])


def _joined(parts: Sequence[LevelCells]) -> LevelCells:
    """The cells of all parts."""
    keys, codes = [], []
    for levels in zip(*(part.keys for part in parts), strict=True):
        keys.append(reduce(np.union1d, levels))
    for g, own in enumerate(keys):
        codes.append(np.concatenate([np.searchsorted(own, part.keys[g])[part.codes[g]] for part in parts]))
    return _distinct(
        LevelCells(
            tuple(keys),
            tuple(codes),
            np.concatenate([part.weight for part in parts]),
            np.concatenate([part.means for part in parts]),
            qr_triangle(np.vstack([part.within for part in parts])),
            sum(part.rows for part in parts),
            sum(part.logs for part in parts),
        )
    )


class CellSums:
    """Cells of rows that come in pieces, added up by `+=`.

    Of what was added some parts are kept side by side, each at least twice as large as the next, so that adding takes
    time in proportion to what is added, but for a logarithm. most: bytes that they may take together; None is any
    number.
    """

    def __init__(self, cells: LevelCells, most: int | None = None) -> None:
        self.parts, self.most = [cells], most

    def __iadd__(self, other: Self) -> Self:
        for part in other.parts:
            self.parts.append(part)
            while len(self.parts) > 1 and len(self.parts[-2].weight) < 2 * len(self.parts[-1].weight):
                self.parts[-2:] = [_joined(self.parts[-2:])]
        if self.most is not None and sum(part.bytes for part in self.parts) > self.most:
            raise InputError(
                f"{setting('intercepts')}: the rows have at least {len(self.parts[0].weight):,} different combinations "
                "of the levels of the grouping columns so far, and what is kept of these takes more than "
                f"{size(self.most)}: give more {setting('memory')}, or leave out a grouping column."
            )
        return self

    @property
    def total(self) -> LevelCells:
        """The cells of all that was added."""
        return _joined(self.parts)
