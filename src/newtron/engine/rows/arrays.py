"""Rows in memory: NumPy arrays and scipy.sparse matrices, summed by threads over chunks."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import replace
from functools import reduce
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import InputError
from newtron.engine.base.linalg import aligned, is_sparse
from newtron.engine.base.threads import ordered_map
from newtron.engine.base.types import Array, Matrix
from newtron.engine.maths.scaling import Scaling, without_columns, without_offset
from newtron.engine.rows.rows import Chunk, Rows, stratified_sample

S = TypeVar("S")

# A chunk is the piece one thread works on. At least this many rows, so that the Python around it costs nothing;
# at most as many that a standardised copy of it stays small; and else enough pieces for many cores to share.
_MIN_CHUNK, _MAX_CHUNK, _CHUNKS = 4096, 65536, 32
# Below this many bytes the standardised X is kept; above, each chunk is standardised whenever it is read.
_KEEP_STANDARDIZED = 64 * 2**20
# Bytes of an array that are hashed at a time.
_HASHED = 2**24


class _CSRSlices:
    """Slices of rows of a CSR matrix as views. SciPy's own slicing copies the rows at every pass."""

    def __init__(self, X: Matrix) -> None:
        self._X = X
        self._known: dict[tuple[int, int], Matrix] = {}

    def __call__(self, rows: slice) -> Matrix:
        key = (rows.start, rows.stop)
        if key not in self._known:
            X = self._X
            start, stop = X.indptr[rows.start], X.indptr[rows.stop]
            arrays = (X.data[start:stop], X.indices[start:stop], X.indptr[rows.start : rows.stop + 1] - start)
            self._known[key] = type(X)(arrays, shape=(rows.stop - rows.start, X.shape[1]), copy=False)
        return self._known[key]


class ArrayRows(Rows):
    """X (n, p) dense or CSR, y (n, k), weight (n,) or None. For an objective all are of one floating dtype.

    center, scale: (p,) or None; every chunk hands out (X - center) / scale. A center leaves no zeros in a CSR matrix,
    so that its chunks are dense then, one at a time.
    threads: how many threads share a sum; the result is the same to the bit for any number.
    chosen: which rows these are, in their order, without a copy of them; None is all.
    """

    def __init__(
        self,
        X: Matrix,
        y: Array,
        weight: Array | None = None,
        *,
        center: Array | None = None,
        scale: Array | None = None,
        threads: int = 1,
        chosen: NDArray[np.integer] | None = None,
    ) -> None:
        X, y, weight = aligned(X), aligned(y), None if weight is None else aligned(weight)
        self.n_rows, self.n_features = X.shape if chosen is None else (len(chosen), X.shape[1])
        self.n_outputs = y.shape[1]
        self.dtype = X.dtype
        self.threads = threads
        # Output by output, as the raw predictions are that it meets.
        self._y, self._weight = np.asfortranarray(y), weight
        self._X, self._center, self._scale, self._chosen = X, center, scale, chosen
        self.is_sparse = is_sparse(X)
        if is_sparse(X):
            size = X.data.nbytes if center is None else X.shape[0] * X.shape[1] * X.dtype.itemsize
        else:
            size = X.nbytes
        if scale is not None and size <= _KEEP_STANDARDIZED:
            self._X, self._center, self._scale = self._standardized(X), None, None
        if weight is None:
            self.total_weight, self.min_weight = float(self.n_rows), 1.0
        else:
            weight = weight if chosen is None else weight[chosen]
            self.total_weight = float(weight.sum(dtype=np.float64))
            self.min_weight = float(weight[weight > 0].min(initial=np.inf))
            self.whole_weights = bool(np.array_equal(weight, np.rint(weight)))
        self.chunk_rows = int(np.clip(-(-self.n_rows // _CHUNKS), _MIN_CHUNK, _MAX_CHUNK))
        self._rows_of_X: Callable[[slice], Matrix] = _CSRSlices(self._X) if is_sparse(self._X) else self._X.__getitem__

    def _standardized(self, X: Matrix) -> Matrix:
        if self._center is None and self._scale is None:
            return X
        if is_sparse(X):
            if self._center is None and self._scale is not None:
                return X.multiply(1.0 / self._scale).tocsr()
            X = X.toarray()
        out = X - self._center.astype(X.dtype) if self._center is not None else X.copy()
        if self._scale is not None:
            out /= self._scale.astype(X.dtype)
        return out

    def _chunk(self, rows: slice) -> Chunk:
        return self._take(rows if self._chosen is None else self._chosen[rows], rows)

    def _take(self, which: slice | NDArray[np.integer], rows: slice) -> Chunk:
        """Return some rows. Where they are given by their numbers, `take` is several times faster than indexing."""
        weight = None if self._weight is None else self._weight[which]
        if isinstance(which, slice):
            X = self._rows_of_X(which)
        else:
            X = self._X[which] if is_sparse(self._X) else self._X.take(which, axis=0)
        return Chunk(self._standardized(X), self._y[which], weight, rows)

    def sum(self, evaluate: Callable[[Chunk], S]) -> S:
        cuts = [slice(i, min(i + self.chunk_rows, self.n_rows)) for i in range(0, self.n_rows, self.chunk_rows)]
        threads = min(self.threads, len(cuts))

        def on_thread(rows: slice) -> S:
            # NumPy keeps its error state per thread. Overflow is an answer here: the sum is inf or nan.
            with np.errstate(all="ignore"):
                return evaluate(self._chunk(rows))

        return reduce(operator.iadd, ordered_map(on_thread, cuts, threads))

    def few(self, most: int, most_bytes: int) -> Chunk | None:
        size = self.n_rows * self.n_features * self.dtype.itemsize
        small = self.n_rows <= min(most, self.chunk_rows) and size <= most_bytes
        return self.whole() if small and not is_sparse(self._X) else None

    def whole(self) -> Chunk:
        return self._chunk(slice(0, self.n_rows))

    def weights(self) -> Array | None:
        return self._weight if self._weight is None or self._chosen is None else self._weight[self._chosen]

    def without_columns(self, columns: tuple[int, ...]) -> ArrayRows:
        X = without_columns(self._X, columns)
        return ArrayRows(X, self._y, self._weight, threads=self.threads, chosen=self._chosen)

    def with_offset(self, column: int) -> ArrayRows:
        X, exposure = without_offset(self._X, column)
        with np.errstate(all="ignore"):
            weight = exposure if self._weight is None else self._weight * exposure
            y = self._y / exposure[:, None]
        return ArrayRows(X, y, weight.astype(self.dtype), threads=self.threads, chosen=self._chosen)

    def standardized(self, scaling: Scaling) -> ArrayRows:
        if scaling.aside:
            return self.without_columns(scaling.aside).standardized(scaling.without_aside)
        if scaling.offset is not None:
            return self.with_offset(scaling.offset).standardized(replace(scaling, offset=None))
        # In the dtype of y until scaled: float32 would round a small spread on a large offset away.
        with np.errstate(over="ignore"):
            y = scaling.targets(self._y).astype(self.dtype, copy=False)
        if y is self._y and not scaling.changes_inputs and not scaling.features:
            return self
        if y is not self._y and not np.isfinite(y).all():
            raise InputError(
                f"y has numbers too large for {self.dtype}: divide it by a constant, or give X as float64."
            )
        if scaling.features:
            X, center, scale = scaling.inputs(self._X), None, None
        else:
            X, center, scale = self._X, None, None
            if scaling.changes_inputs:
                center, scale = scaling.x_center if np.any(scaling.x_center) else None, scaling.x_scale
        return ArrayRows(X, y, self._weight, center=center, scale=scale, threads=self.threads, chosen=self._chosen)

    def on_threads(self, threads: int) -> Self:
        found = copy(self)
        found.threads = threads
        return found

    def digest(self) -> str:
        """Return the SHA-256 of all numbers, with the shapes and types of the arrays."""
        total = hashlib.sha256()
        arrays: tuple[Matrix, ...] = (self._X, self._y, self._weight, self._center, self._scale, self._chosen)
        for array in arrays:
            if array is None:
                total.update(b"none")
                continue
            total.update(f"{array.shape} {array.dtype}".encode())
            for part in (array.data, array.indices, array.indptr) if is_sparse(array) else (array,):
                for hashed in ordered_map(_hash, _pieces(part), self.threads):
                    total.update(hashed)
        return total.hexdigest()

    def in_single(self) -> ArrayRows:
        X, y, weight, _ = self.whole()
        weight = None if weight is None else weight.astype(np.float32)
        return ArrayRows(X.astype(np.float32), y.astype(np.float32), weight, threads=self.threads)

    def part(self, which: NDArray[np.integer], *, copied: bool) -> ArrayRows:
        """Some of these rows, by their numbers; a copy is quicker to read over and over, where it is small."""
        which = which if self._chosen is None else self._chosen[which]
        X, y, weight, chosen = self._X, self._y, self._weight, which
        if copied:
            X = X[which] if is_sparse(X) else X.take(which, axis=0)
            y, weight = y[which], None if weight is None else weight[which]
            chosen = None
        return ArrayRows(X, y, weight, center=self._center, scale=self._scale, threads=self.threads, chosen=chosen)

    def split(self, fraction: float, most: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
        held_out = min(most, self.n_rows - 1, max(1, round(fraction * self.n_rows)))
        return self.parted(np.sort(rng.permutation(self.n_rows)[:held_out]))

    def parted(self, held_out: NDArray[np.intp]) -> tuple[ArrayRows, ArrayRows]:
        kept = np.ones(self.n_rows, dtype=bool)
        kept[held_out] = False
        return self.part(np.flatnonzero(kept), copied=False), self.part(held_out, copied=True)

    def sample(self, n: int, rng: np.random.Generator) -> ArrayRows:
        if n >= self.n_rows:
            return self
        return self.part(self.drawn(n, rng), copied=True)

    def drawn(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        return np.arange(self.n_rows) if n >= self.n_rows else stratified_sample(self.n_rows, n, rng)

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Chunk]:
        order = rng.permutation(self.n_rows) if self._chosen is None else rng.permutation(self._chosen)
        # Equal batches, so that none is a crumb with a noisy gradient.
        for which in np.array_split(order, max(1, round(self.n_rows / size))):
            yield self._take(which, slice(0, 0))


def _hash(piece: NDArray[np.generic]) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(piece).data).digest()


def _pieces(array: NDArray[np.generic]) -> Iterator[NDArray[np.generic]]:
    size = max(1, _HASHED // max(1, array[:1].nbytes))
    for start in range(0, len(array), size):
        yield array[start : start + size]
