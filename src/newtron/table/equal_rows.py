"""Rows that are equal in every column that a model reads: a model judged on copies of rows that it was trained on is
judged by its memory.

Rows are compared by their hashes, in one pass. Where columns have few values, equal rows are
expected and no copies: independent rows fall together as often as the columns' values do by chance.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.row_hashes import HASHED_AT_ONCE, row_hashes
from newtron.table.encode import encode
from newtron.table.schema import Schema
from newtron.table.table import Table

Array = NDArray[np.floating]

# With at least this number of different rows, groups of equal rows can be held out together whatever they are. With
# fewer, rows count as copies only if they are equal at least this many times as often as they would be by chance.
_MANY, _TIMES = 100, 10.0


def equal_groups(schema: Schema, table: Table) -> tuple[NDArray[np.int64] | None, bool]:
    """Return (n,) the number of the group of equal rows that each row is in, and whether there are more equal rows than
    by chance, so that they are copies. The numbers are None where no rows are equal, or where the columns have so few
    values that rows are equal by chance."""
    n, step = table.n_rows, max(1, HASHED_AT_ONCE // len(schema.feature_names))
    blocks = (np.arange(start, min(start + step, n)) for start in range(0, n, step))
    hashes = np.concatenate([row_hashes(encode(schema, table.take(block)).X) for block in blocks])
    _, first, groups, sizes = np.unique(hashes, return_index=True, return_inverse=True, return_counts=True)
    if len(sizes) == n:
        return None, False
    spans = np.cumsum([len(column.encoded) for column in schema.columns])[:-1]
    some = slice(0, max(_MANY, step))  # in the order of their hashes, which is as good as a random order
    columns = np.split(encode(schema, table.take(first[some])).X, spans, axis=1)
    found = _are_copies(columns, sizes, sizes[some])
    return (None if not found and len(sizes) < _MANY else np.asarray(groups, dtype=np.int64)), found


def are_copies(X: Array) -> bool:
    """Return whether rows of X (n, p), a sample, are copies of others."""
    _, first, sizes = np.unique(row_hashes(X), return_index=True, return_counts=True)
    return len(sizes) < len(X) and _are_copies(list(X[first].T[:, :, None]), sizes, sizes)


def _are_copies(columns: Sequence[Array], sizes: NDArray[np.intp], some: NDArray[np.intp]) -> bool:
    """Return whether rows are equal more often than they would be by chance. sizes: how often each of the different
    rows occurs. columns, some: the columns of a part of the different rows, and how often each of these occurs."""
    n = float(sizes.sum())
    by_chance = 0.5 * n * (n - 1.0)
    for column in columns:
        _, value = np.unique(row_hashes(column), return_inverse=True)
        by_chance *= float(np.square(np.bincount(value, weights=some) / some.sum()).sum())
    return float((sizes * (sizes - 1.0)).sum()) / 2.0 > _TIMES * by_chance
