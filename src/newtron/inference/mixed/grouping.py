"""Sparse algebra of random intercepts: how the rows fall into the levels of one or several grouping columns.

Row i has level c_g(i) of grouping column g. Z is the matrix with a 1 where a row has a level, Λ the diagonal matrix of
the relative standard deviations θ_g, one for each level of column g, and W the diagonal matrix of weights. Everything
that a mixed model asks of Z goes through A = I + Λ Z'WZ Λ (Bates, Mächler, Bolker & Walker 2015, section 3).

The grouping column with the most levels comes first. Its block of A is diagonal, so it is eliminated level by level,
and what remains for the other columns is the Schur complement S, with as many rows as these have levels. Columns that
are nested in each other leave an S that falls apart into small blocks, its connected components, and columns that are
crossed leave one block. So time and memory grow with the rows, and beside them with the cube of the levels of the
largest block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import InputError
from newtron.engine.base.threads import cached_property
from newtron.engine.base.types import Array

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Codes: TypeAlias = NDArray[np.intp]
# A block of S is inverted as a dense matrix. One of so many levels takes half a gigabyte, and some seconds.
MOST_LEVELS = 8000
# Numbers of one block of rows of a product that becomes dense: 32 MB.
_NUMBERS = 4_000_000
# Below this mean of θ² times the information of a level, a difference of traces loses more digits than it keeps.
_SMALL = 1e-2


class Grouping:
    """The levels of the rows by G grouping columns, the one with the most levels first.

    codes: G arrays (n,) of levels from 0. sizes: (G,) the number of levels of each. order: (G,) the positions of these
    columns in the order in which they were given. Raises InputError where the columns without the largest have more
    levels that cross each other than a dense matrix can hold.
    """

    def __init__(self, codes: Sequence[Codes], sizes: Sequence[int]) -> None:
        order = sorted(range(len(codes)), key=lambda g: -sizes[g])
        self.order = tuple(order)
        self.codes = [np.asarray(codes[g], dtype=np.intp) for g in order]
        self.sizes = [int(sizes[g]) for g in order]
        self.n_rows = len(self.codes[0])
        starts = np.concatenate([[0], np.cumsum(self.sizes[1:])]).astype(np.intp)
        # Levels of the other columns are counted on, from column to column.
        self.parts = [slice(int(a), int(b)) for a, b in pairwise(starts)]
        self.others = [codes + start for codes, start in zip(self.codes[1:], starts, strict=False)]
        self.n_others = int(starts[-1])
        self._crossings = [self._crossing(a, self.codes[0], self.sizes[0]) for a in self.others]
        pairs = [(g, h) for g in range(len(self.others)) for h in range(g)]
        self._pairs = [self._crossing(self.others[g], self.others[h], self.n_others) for g, h in pairs]
        self.blocks = self._components()

    @staticmethod
    def _crossing(left: Codes, right: Codes, size: int) -> tuple[Codes, Codes, Codes]:
        """The different pairs of levels, by left and right, and the number of each row's pair."""
        pairs, which = np.unique(left * size + right, return_inverse=True)
        return pairs // size, pairs % size, which

    def crossing(self, weight: Array) -> csr_array:
        """(levels of the other columns, levels of the first): the weight of the rows that have both."""
        from scipy.sparse import csr_array

        cells = [_sums(which, weight, len(i)) for i, _, which in self._crossings]
        rows = [i for i, _, _ in self._crossings]
        columns = [j for _, j, _ in self._crossings]
        place = (np.concatenate([*rows, []]).astype(np.intp), np.concatenate([*columns, []]).astype(np.intp))
        return csr_array((np.concatenate([*cells, []]), place), shape=(self.n_others, self.sizes[0]))

    def among_others(self, weight: Array) -> csr_array:
        """(levels of the other columns, the same): Z'WZ without the first column."""
        from scipy.sparse import csr_array

        every = np.arange(self.n_others, dtype=np.intp)
        rows, columns, cells = [every], [every], [self.sums_of_others(weight)]
        for i, j, which in self._pairs:
            cell = _sums(which, weight, len(i))
            rows += [i, j]
            columns += [j, i]
            cells += [cell, cell]
        place = (np.concatenate(rows), np.concatenate(columns))
        return csr_array((np.concatenate(cells), place), shape=(self.n_others, self.n_others))

    def rows_of_first(self, part: slice) -> Codes:
        """The rows whose levels of the first column are among these."""
        order, codes = self._by_first
        return order[np.searchsorted(codes, part.start) : np.searchsorted(codes, part.stop)]

    @cached_property
    def _by_first(self) -> tuple[Codes, Codes]:
        order = np.argsort(self.codes[0], kind="stable")
        return order, self.codes[0][order]

    def sums_of_first(self, values: Array) -> Array:
        """(L,) or (L, m): the sum of the values of each level's rows, by the first column."""
        return _sums(self.codes[0], values, self.sizes[0])

    def sums_of_others(self, values: Array) -> Array:
        """The same for the levels of the other columns."""
        shape = (self.n_others, *values.shape[1:])
        found = np.zeros(shape)
        for codes, part in zip(self.codes[1:], self.parts, strict=True):
            found[part] = _sums(codes, values, part.stop - part.start)
        return found

    def to_rows(self, first: Array, others: Array) -> Array:
        """(n,) or (n, m): the sum over the grouping columns of a value of each row's level."""
        found: Array = first[self.codes[0]]
        for codes in self.others:
            found = found + others[codes]
        return found

    def _components(self) -> list[Codes]:
        """The levels of the other columns by blocks of S; single levels, which need no matrix, are all in the first."""
        from scipy.sparse.csgraph import connected_components

        if not self.others:
            return []
        ones = np.ones(self.n_rows)
        C = self.crossing(ones)
        _, labels = connected_components(C @ C.T, directed=False)
        order = np.argsort(labels, kind="stable")
        sizes = np.bincount(labels)
        if sizes.max() > MOST_LEVELS:
            raise InputError(
                f"Beside the grouping column with the most levels, others with {sizes.max():,} levels cross each other "
                f"or it, and up to {MOST_LEVELS:,} can be computed with: leave out the one with the second most "
                "levels, or group its levels more coarsely."
            )
        blocks = np.split(order, np.cumsum(sizes)[:-1])
        single = np.concatenate([block for block in blocks if len(block) == 1] or [np.empty(0, dtype=np.intp)])
        return [single, *(block for block in blocks if len(block) > 1)]


def _sums(codes: Codes, values: Array, size: int) -> Array:
    if values.ndim == 1:
        return np.asarray(np.bincount(codes, values, minlength=size), dtype=np.float64)
    return np.column_stack([np.bincount(codes, column, minlength=size) for column in values.T])


@dataclass(frozen=True, eq=False)
class Factored:
    """A = I + Λ Z'WZ Λ with its first block eliminated, for one weight of each row and one θ_g of each column.

    theta: (G,) in the order of `grouping`. first: (L,) the sum of the weights of each level of the first column.
    C: the weights of pairs of levels (others, first). among: Z'WZ of the other columns.
    """

    grouping: Grouping
    theta: Array
    first: Array
    C: csr_array
    among: csr_array

    @classmethod
    def of(cls, grouping: Grouping, theta: Array, weight: Array) -> Factored:
        """With the weights (n,) of the rows."""
        return cls(
            grouping, theta, grouping.sums_of_first(weight), grouping.crossing(weight), grouping.among_others(weight)
        )

    @cached_property
    def pivots(self) -> Array:
        """(L,) the diagonal of A in the first block."""
        return np.asarray(1.0 + self.theta[0] ** 2 * self.first)

    @cached_property
    def scale(self) -> Array:
        """θ of each level of the other columns."""
        return np.repeat(self.theta[1:], self.grouping.sizes[1:])

    @cached_property
    def H(self) -> csr_array:
        """Z'V⁻¹Z of the other columns, where V holds the noise and the first column's intercepts."""
        from scipy.sparse import diags_array

        return (self.among - self.C @ diags_array(self.theta[0] ** 2 / self.pivots) @ self.C.T).tocsr()

    @cached_property
    def _inverted(self) -> tuple[csr_array | Array, float]:
        """S⁻¹, sparse where S has several blocks, and log det S, with S = I + Θ H Θ."""
        from scipy.linalg import cho_factor, cho_solve
        from scipy.sparse import csr_array

        single, *blocks = self.grouping.blocks
        H, scale, n = self.H, self.scale, self.grouping.n_others
        rows, columns, cells, log_det = [single], [single], [], 0.0
        diagonal = 1.0 + np.square(scale[single]) * H.diagonal()[single]
        log_det += float(np.sum(np.log(diagonal)))
        cells.append(1.0 / diagonal)
        for block in blocks:
            dense = (
                H[block][:, block].toarray() if len(blocks) > 1 or len(single) else H.toarray()[np.ix_(block, block)]
            )
            S = dense * np.outer(scale[block], scale[block]) + np.eye(len(block))
            factor = cho_factor(S, lower=True)
            log_det += 2.0 * float(np.sum(np.log(np.diagonal(factor[0]))))
            inverse = cho_solve(factor, np.eye(len(block)))
            if len(block) == n:
                whole = np.empty((n, n))
                whole[np.ix_(block, block)] = inverse
                return whole, log_det
            rows.append(np.repeat(block, len(block)))
            columns.append(np.tile(block, len(block)))
            cells.append(inverse.ravel())
        place = (np.concatenate(rows), np.concatenate(columns))
        return csr_array((np.concatenate(cells), place), shape=(n, n)), log_det

    @property
    def inverse(self) -> csr_array | Array:
        """S⁻¹ (levels of the other columns, the same)."""
        return self._inverted[0]

    @cached_property
    def log_determinant(self) -> float:
        """log det A, which is that of I + Z Λ Λ Z'W too."""
        found = float(np.sum(np.log(self.pivots)))
        return found + self._inverted[1] if self.grouping.n_others else found

    def solve(self, first: Array, others: Array) -> tuple[Array, Array]:
        """A⁻¹ of a right-hand side (levels, m) in its two parts."""
        theta, shape = self.theta[0], (-1, *[1] * (first.ndim - 1))
        pivots, scale = self.pivots.reshape(shape), self.scale.reshape(shape)
        if self.grouping.n_others:
            others = self.inverse @ (others - scale * (self.C @ (theta * first / pivots)))
            first = first - theta * (self.C.T @ (scale * others))
        return first / pivots, others

    def _moved(self) -> Iterator[tuple[slice, csr_array, csr_array | Array]]:
        """Levels of the first column at a time, with their rows of B (L, others), which is the first block's rows of A
        beside it over its pivots, and of B S⁻¹."""
        from scipy.sparse import diags_array

        B = (diags_array(self.theta[0] / self.pivots) @ self.C.T @ diags_array(self.scale)).tocsr()
        step = max(1, _NUMBERS // max(1, self.grouping.n_others))
        for start in range(0, len(self.pivots), step):
            part = slice(start, start + step)
            yield part, B[part], B[part] @ self.inverse

    @cached_property
    def diagonals(self) -> tuple[Array, Array]:
        """The diagonal of A⁻¹ in its two parts."""
        first = 1.0 / self.pivots
        if not self.grouping.n_others:
            return first, np.zeros(0)
        for part, B, moved in self._moved():
            first[part] += _row_sums(B, moved)
        return first, np.asarray(self.inverse.diagonal())

    @cached_property
    def traces(self) -> Array:
        """(G,) the traces of Z_g'V⁻¹Z_g, where V = W⁻¹ + Z Λ Λ Z', the derivatives of log det A by θ_g²."""
        found = [float(np.sum(self.first / self.pivots))]
        if self.grouping.n_others:
            from scipy.sparse import diags_array

            S, T = self.inverse, diags_array(self.scale)
            seen = T @ self.C @ diags_array(1.0 / np.square(self.pivots)) @ self.C.T @ T
            found[0] -= float(_row_sums(seen.tocsr(), S).sum())
            H = self.H.diagonal()
            for part, theta in zip(self.grouping.parts, self.theta[1:], strict=True):
                whole = float(H[part].sum())
                if theta**2 * whole > _SMALL * (part.stop - part.start):
                    left = self.inverse.diagonal()[part].sum()
                    found.append((part.stop - part.start - float(left)) / theta**2)
                else:  # the difference above has no digits for θ near 0
                    columns = (T @ self.H[:, part]).tocsr()
                    found.append(whole - float(_row_sums(columns, S @ columns).sum()))
        return np.array(found)

    def row_leverages(self) -> Array:
        """(n,) z'Λ A⁻¹ Λ z of each row's z, a row of Z: the derivative of log det A by the row's weight."""
        grouping, theta = self.grouping, self.theta
        first, others = self.diagonals
        found: Array = grouping.to_rows(theta[0] ** 2 * first, np.square(self.scale) * others)
        if not grouping.n_others:
            return found
        for part, _, moved in self._moved():
            rows = grouping.rows_of_first(part)
            for g, codes in enumerate(grouping.others):
                beside = _cells(moved, grouping.codes[0][rows] - part.start, codes[rows])
                found[rows] -= 2.0 * theta[0] * theta[1 + g] * beside
        for g, codes in enumerate(grouping.others):
            for h in range(g):
                found += 2.0 * theta[1 + g] * theta[1 + h] * _cells(self.inverse, codes, grouping.others[h])
        return found


def _row_sums(left: csr_array, right: csr_array | Array) -> Array:
    """The sums of the rows of the elementwise product; left is sparse."""
    return np.asarray(left.multiply(right).sum(axis=1)).ravel()


def _cells(matrix: csr_array | Array, rows: Codes, columns: Codes) -> Array:
    if isinstance(matrix, np.ndarray):
        return np.asarray(matrix[rows, columns])
    return np.asarray(matrix[rows, columns]).ravel()
