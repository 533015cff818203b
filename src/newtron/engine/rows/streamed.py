"""Rows that are read again for every sum, from files larger than memory.

A separate thread reads ahead while others compute. Only a few chunks are in memory at a time, however many rows there
are. The borders of the chunks depend on the source alone, so sums have the same bits for any number of threads.
"""

from __future__ import annotations

import operator
import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import NamedTuple, Self, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.linalg import aligned
from newtron.engine.base.threads import ordered_map
from newtron.engine.base.types import Array
from newtron.engine.maths.scaling import Scaling, without_columns, without_offset
from newtron.engine.rows.arrays import ArrayRows
from newtron.engine.rows.rows import Chunk, Rows, stratified_sample

S = TypeVar("S")
T = TypeVar("T")
# y (m,) as it is read -> targets (m, k) as losses take them, and the rows' weights (m,), None where each is 1.
TargetEncoder: TypeAlias = Callable[[Array], tuple[Array, Array | None]]

_AHEAD = 2  # chunks that are read before they are needed


class Cut(NamedTuple):
    """Some consecutive rows as they are read. first: the number of the first of them in the source. X (m, p) is made
    when it is called, by the thread that needs it, so that the reading thread is not delayed."""

    first: int
    X: Callable[[], Array]
    y: Array  # (m,), a number or the position of a class


class Source(ABC):
    """What rows are read from: pieces of storage, each read in one or more cuts.

    sizes: (pieces,) rows of each piece. n_features: columns of X. memory: bytes that reading and
    computing may take. chunk_bytes: of a cut of X, at most.
    """

    sizes: NDArray[np.int64]
    n_features: int
    memory: int
    chunk_bytes: int

    @abstractmethod
    def read(self, pieces: Sequence[int]) -> Iterator[Cut]:
        """Yield these pieces in this order, each in one cut or more."""

    @abstractmethod
    def digest(self) -> str:
        """Return a text that differs between different rows, without reading all of them."""


@dataclass(frozen=True)
class RowTransform:
    """The transformation of rows as they are read into rows as a solver gets them.

    targets: y (m,) -> (Y (m, k), weights (m,) or None). aside: columns of X that are left out. offset: the column of
    the others that is the logarithm of the exposure, as in `Rows.with_offset`. inputs: X (m, p) without these -> (m,
    q), None for the identity. Both functions are sent to other processes where the rows lie there, so they must be
    picklable by cloudpickle.
    """

    targets: TargetEncoder
    inputs: Callable[[Array], Array] | None = None
    offset: int | None = None
    aside: tuple[int, ...] = ()

    def chunk(self, cut: Cut, start: int) -> Chunk:
        """Return the transformed rows of a cut. start: how many rows precede it."""
        return self.rows(aligned(cut.X()), aligned(cut.y), start)

    def rows(self, X: Array, y: Array, start: int = 0) -> Chunk:
        """Return the transformed rows of X and y as they are read."""
        Y, weight = self.targets(y)
        if self.aside:
            X = without_columns(X, self.aside)
        if self.offset is not None:
            X, exposure = without_offset(X, self.offset)
            Y, weight = Y / exposure[:, None], exposure if weight is None else weight * exposure
        return Chunk(self.applied(X), Y, weight, slice(start, start + len(y)))

    def applied(self, X: Array) -> Array:
        """Return the inputs of X."""
        return X if self.inputs is None else self.inputs(X)


class StreamedRows(Rows):
    """Rows of a source.

    threads: that compute at the same time. weights: their sum and the smallest positive one; None where each is 1.
    excluded: the numbers of rows that are left out, in order.
    """

    rereads = True
    place = "in files"  # for sentences
    dtype = np.dtype(np.float64)
    # Called during a sum with the rows that were summed and the number of all.
    watch: Callable[[int, int], object] | None = None

    def __init__(
        self,
        source: Source,
        targets: TargetEncoder,
        n_outputs: int,
        *,
        threads: int = 1,
        weights: tuple[float, float] | None = None,
        excluded: NDArray[np.int64] | None = None,
    ) -> None:
        self.source, self.threads = source, threads
        self.transform = RowTransform(targets)
        self._excluded = np.empty(0, dtype=np.int64) if excluded is None else excluded
        self.n_rows = int(source.sizes.sum()) - len(self._excluded)
        self.n_features, self.n_outputs = source.n_features, n_outputs
        self.total_weight, self.min_weight = weights or (float(self.n_rows), 1.0)
        # Numbers of the first row of each piece in the whole.
        self._starts = np.concatenate([[0], np.cumsum(source.sizes)])

    def sum(self, evaluate: Callable[[Chunk], S]) -> S:
        # A chunk takes memory three times: for its cells, its numbers and, while a thread works on it, the inputs.
        in_flight = max(1, self.source.memory // (8 * self.source.chunk_bytes))

        def on_thread(placed: tuple[Cut, int]) -> S:
            with np.errstate(all="ignore"):
                return evaluate(self.transform.chunk(*placed))

        with ReadAhead(self._placed(range(len(self.source.sizes)))) as cuts:
            return reduce(operator.iadd, ordered_map(on_thread, self._watched(cuts), min(self.threads, in_flight)))

    def _watched(self, cuts: Iterator[tuple[Cut, int]]) -> Iterator[tuple[Cut, int]]:
        for cut, start in cuts:
            yield cut, start
            if self.watch is not None:
                self.watch(start + len(cut.y), self.n_rows)

    def _placed(self, pieces: Sequence[int]) -> Iterator[tuple[Cut, int]]:
        return numbered_cuts(self.source.read(pieces), self._excluded, 0)

    # --- parts ---

    def split(self, fraction: float, most: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
        held_out = min(most, self.n_rows - 1, max(1, round(fraction * self.n_rows)))
        return self.parted(stratified_sample(self.n_rows, held_out, rng))

    def parted(self, held_out: NDArray[np.intp]) -> tuple[Rows, Rows]:
        chosen = self.numbers_in_source(held_out)
        held = self._in_memory(chosen)
        weights = None
        if self.total_weight != self.n_rows:
            weights = self.total_weight - held.total_weight, self.min_weight
        return self.without(chosen, weights), held

    def without(self, numbers: NDArray[np.int64], weights: tuple[float, float] | None = None) -> Self:
        """Return these rows without those that have these numbers in the source."""
        rest = copy(self)
        rest._excluded = np.union1d(self._excluded, numbers)
        rest.n_rows = int(self.source.sizes.sum()) - len(rest._excluded)
        rest.total_weight, rest.min_weight = weights or (float(rest.n_rows), 1.0)
        return rest

    def sample(self, n: int, rng: np.random.Generator) -> Rows:
        """Return n rows, or as many as may be in memory."""
        return self if n >= self.n_rows else self._in_memory(self.numbers_in_source(self.drawn(n, rng)))

    def drawn(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        if n >= self.n_rows:
            return np.arange(self.n_rows)
        n = max(1, min(n, self.source.memory // (32 * (self.n_features + self.n_outputs))))
        return stratified_sample(self.n_rows, n, rng)

    def chosen(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the numbers in the source of n rows at random, in order."""
        return self.numbers_in_source(stratified_sample(self.n_rows, n, rng))

    def numbers_in_source(self, found: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the numbers in the source of rows that are given by their numbers among these."""
        before = self._excluded - np.arange(len(self._excluded))  # how many rows that stay precede each excluded one
        return found + np.searchsorted(before, found, side="right")

    def gathered(self, numbers: NDArray[np.int64]) -> tuple[Array, Array]:
        """Return X and y, as they are read, of the rows with these numbers in the source."""
        pieces = np.unique(np.searchsorted(self._starts, numbers, side="right") - 1).tolist()
        with ReadAhead(self.source.read(pieces)) as cuts:
            parts = selected(cuts, numbers)
        X, y = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
        return np.ascontiguousarray(X), y

    def _in_memory(self, numbers: NDArray[np.int64]) -> ArrayRows:
        found = self.transform.rows(*self.gathered(numbers))
        return ArrayRows(found.X, found.y, found.weight, threads=self.threads)

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Chunk]:
        """Read pieces of storage in random order, and mix the rows of as many pieces as memory holds."""
        order = rng.permutation(len(self.source.sizes)).tolist()
        room = max(size, self.source.memory // (32 * (self.n_features + self.n_outputs)))
        with ReadAhead(self._placed(order)) as cuts:
            for window in _windows((self.transform.chunk(*placed) for placed in cuts), room):
                shuffled = rng.permutation(window.y.shape[0])
                for which in np.array_split(shuffled, max(1, round(len(shuffled) / size))):
                    weight = None if window.weight is None else window.weight[which]
                    yield Chunk(window.X.take(which, axis=0), window.y[which], weight, slice(0, 0))

    # --- the same rows, transformed in another way ---

    def with_targets(self, targets: TargetEncoder, n_outputs: int, weights: tuple[float, float] | None = None) -> Self:
        """Return these rows with other targets and weights. weights: their sum and the smallest positive one; None
        where each is 1."""
        found = copy(self)
        found.transform, found.n_outputs = replace(self.transform, targets=targets), n_outputs
        found.total_weight, found.min_weight = weights or (float(self.n_rows), 1.0)
        return found

    def with_inputs(self, inputs: Callable[[Array], Array], n_inputs: int) -> Self:
        """Return these rows with inputs(X), of n_inputs columns, in the place of X."""
        found = copy(self)
        found.transform, found.n_features = replace(self.transform, inputs=inputs), n_inputs
        return found

    def without_columns(self, columns: tuple[int, ...]) -> Self:
        found = copy(self)
        found.n_features = self.n_features - len(columns)
        found.transform = replace(self.transform, aside=columns)
        return found

    def with_offset(self, column: int) -> Self:
        found = copy(self)
        found.n_features = self.n_features - 1
        found.transform = replace(self.transform, offset=column)
        sums = found.sum(_weights)
        found.total_weight, found.min_weight = sum(total for total, _ in sums), min(least for _, least in sums)
        return found

    def standardized(self, scaling: Scaling) -> Self:
        rows = self
        if scaling.aside:
            rows, scaling = rows.without_columns(scaling.aside), scaling.without_aside
        if scaling.offset is not None:
            rows, scaling = rows.with_offset(scaling.offset), replace(scaling, offset=None)
        if scaling.changes_targets:
            targets = partial(_scaled_targets, self.transform.targets, scaling)
            rows = rows.with_targets(targets, rows.n_outputs, (rows.total_weight, rows.min_weight))
        if scaling.changes_inputs or scaling.features:
            rows = rows.with_inputs(scaling.inputs, scaling.n_inputs)
        return rows

    def whole(self) -> Chunk:
        chunks: list[Chunk] = self.sum(lambda chunk: [chunk])
        return _joined(chunks)

    def weights(self) -> Array | None:
        if self.total_weight == self.n_rows:
            return None
        found: list[Array | None] = self.sum(lambda chunk: [chunk.weight])
        return np.concatenate([weight for weight in found if weight is not None])

    def digest(self) -> str:
        return self.source.digest()

    def on_threads(self, threads: int) -> Self:
        found = copy(self)
        found.threads = threads
        return found


def _weights(chunk: Chunk) -> list[tuple[float, float]]:
    """The sum of the weights of rows with an offset, and the smallest positive one."""
    assert chunk.weight is not None
    return [(float(chunk.weight.sum()), float(chunk.weight[chunk.weight > 0.0].min(initial=np.inf)))]


def _scaled_targets(encode: TargetEncoder, scaling: Scaling, y: Array) -> tuple[Array, Array | None]:
    Y, weight = encode(y)
    return scaling.targets(Y), weight


def numbered_cuts(cuts: Iterable[Cut], excluded: NDArray[np.int64], start: int) -> Iterator[tuple[Cut, int]]:
    """Yield cuts without the excluded rows, each with the number of rows that precede it. start: that of the first."""
    for cut in cuts:
        low, high = np.searchsorted(excluded, (cut.first, cut.first + len(cut.y)))
        if high - low == len(cut.y):
            continue
        if high > low:
            kept = np.ones(len(cut.y), dtype=bool)
            kept[excluded[low:high] - cut.first] = False
            cut = Cut(cut.first, partial(_some_rows, cut.X, kept), cut.y[kept])
        yield cut, start
        start += len(cut.y)


def selected(cuts: Iterable[Cut], numbers: NDArray[np.int64]) -> list[tuple[Array, Array]]:
    """Return X and y of the rows that have these numbers in the source."""
    found = []
    for cut in cuts:
        low, high = np.searchsorted(numbers, (cut.first, cut.first + len(cut.y)))
        if high > low:
            which = numbers[low:high] - cut.first
            found.append((cut.X()[which], cut.y[which]))
    return found


def _some_rows(X: Callable[[], Array], kept: NDArray[np.bool_]) -> Array:
    return X()[kept]


def _windows(chunks: Iterator[Chunk], room: int) -> Iterator[Chunk]:
    """Yield chunks that are joined to about `room` rows."""
    held: list[Chunk] = []
    for chunk in chunks:
        if held and sum(len(c.y) for c in held) + len(chunk.y) > room:
            yield _joined(held)
            held = []
        held.append(chunk)
    if held:
        yield _joined(held)


def _joined(chunks: list[Chunk]) -> Chunk:
    weight = None if chunks[0].weight is None else np.concatenate([c.weight for c in chunks if c.weight is not None])
    X = np.empty((sum(len(c.y) for c in chunks), chunks[0].X.shape[1]))  # row by row, for batches take rows
    start = 0
    for chunk in chunks:
        X[start : start + len(chunk.y)] = chunk.X
        start += len(chunk.y)
    return Chunk(X, np.concatenate([c.y for c in chunks]), weight, slice(0, len(X)))


class ReadAhead(Iterator[T]):
    """An iterator whose items are produced by a separate thread, a few before they are needed."""

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self._ready: queue.Queue[tuple[T] | BaseException | None] = queue.Queue(_AHEAD)
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._draw, name="newtron-reader", daemon=True)

    def __enter__(self) -> ReadAhead[T]:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()
        while self._thread.is_alive():
            try:  # the thread may be waiting for room in the queue, and must wake up to see that it is to end
                self._ready.get(timeout=0.01)
            except queue.Empty:
                continue
        self._thread.join()

    def _draw(self) -> None:
        try:
            with np.errstate(all="ignore"):
                for item in self._items:
                    self._ready.put((item,))
                    if self._left.is_set():
                        return
            self._ready.put(None)
        except BaseException as error:
            self._ready.put(error)
        finally:
            if isinstance(self._items, Generator):
                self._items.close()  # files that it holds open

    def __next__(self) -> T:
        item = self._ready.get()
        if isinstance(item, tuple):
            return item[0]
        self._ready.put(None)  # so that the next call ends too
        if item is not None:
            raise item
        raise StopIteration
