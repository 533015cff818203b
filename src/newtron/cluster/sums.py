"""Sums over rows that the workers of a cluster hold: each worker sums its rows, and only the sums are sent.

A function is sent to each worker, which applies it to its rows; the results are added. Sums of parts are merged in a
fixed binary tree over the numbers of the parts. So they have the same bits whichever worker summed which parts, with
any number of threads, and after any worker was lost. Only the engine (`newtron.cluster.dask`) knows what a cluster is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial, reduce
from typing import NoReturn, Self, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from newtron.cluster.untyped import Parts, Total
from newtron.engine.base.errors import InputError
from newtron.engine.base.linalg import aligned
from newtron.engine.rows.rows import Chunk, RowSizes
from newtron.engine.rows.streamed import (
    Cut,
    ReadAhead,
    RowTransform,
    Source,
    StreamedRows,
    TargetEncoder,
    numbered_cuts,
    selected,
)

Array = NDArray[np.floating]
S = TypeVar("S")

# The attributes of rows that a function can use on a worker.
_SIZES = ("n_rows", "n_features", "n_outputs", "total_weight", "min_weight", "dtype")


class ClusterLostError(InputError):
    """The workers or the scheduler are gone, so that the computation cannot go on. why: the reason, as far as it is
    known; then: what to do."""

    def __init__(
        self, why: str, then: str = "start workers and begin again, with a checkpoint to go on where training stood"
    ) -> None:
        super().__init__(f"{why}; {then}.")
        self.why = why


# --- what workers hold and do ---


class Part(ABC):
    """Some consecutive rows as a worker has them. first: the number of the first of them among all rows."""

    first: int

    @abstractmethod
    def cuts(self) -> Iterator[Cut]:
        """Yield all of them, in order."""


@dataclass(frozen=True)
class ReadPart(Part):
    """Pieces of a source, read again for every pass."""

    source: Source
    pieces: tuple[int, ...]
    first: int

    def cuts(self) -> Iterator[Cut]:
        with ReadAhead(self.source.read(self.pieces)) as cuts:
            yield from cuts


class HeldPart(Part):
    """Rows in the worker's memory."""

    def __init__(self, cuts: Iterable[Cut], first: int) -> None:
        self.first = first
        self._cuts = [(cut.first, cut.X(), cut.y) for cut in cuts]

    def __setstate__(self, state: dict[str, Total]) -> None:
        """Receive the rows from another worker. Arrays are copied where they lie at an address that is no multiple of
        the size of their numbers, because sums at such addresses have other bits."""
        self.first = state["first"]
        self._cuts = [(first, aligned(X), aligned(y)) for first, X, y in state["_cuts"]]

    def cuts(self) -> Iterator[Cut]:
        for first, X, y in self._cuts:
            yield Cut(first, partial(_itself, X), y)

    def __sizeof__(self) -> int:
        """Return the size in bytes, by which Dask decides where parts are stored."""
        return sum(X.nbytes + y.nbytes for _, X, y in self._cuts) + object.__sizeof__(self)


def _itself(X: Array) -> Array:
    return X


class Sums:
    """Sums over parts, as nodes of a binary tree over the numbers of `n` parts; node (level, index) is the sum of the
    parts from index * 2**level on, 2**level of them or as many as there are."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.nodes: dict[tuple[int, int], Total] = {}

    def put(self, level: int, index: int, value: Total) -> None:
        """Add a node, and merge it with its sibling as long as that is there. value may be changed."""
        while 1 << level < self.n:
            sibling = index ^ 1
            if sibling << level < self.n:  # else there is none, and the node is its parent as it is
                if (level, sibling) not in self.nodes:
                    break
                other = self.nodes.pop((level, sibling))
                value = added(value, other) if sibling > index else added(other, value)
            level, index = level + 1, index // 2
        self.nodes[level, index] = value

    @property
    def total(self) -> Total:
        """Return the sum of all parts."""
        (total,) = self.nodes.values()
        return total


def added(left: Total, right: Total) -> Total:
    """Return left + right, which may be written over left. None counts as zero."""
    if left is None or right is None:
        return right if left is None else left
    left += right
    return left


def merged(sums: Sequence[Sums]) -> Sums:
    """Merge the sums of several parts of a tree. What is given is not changed, because a cluster may need it again."""
    total = Sums(sums[0].n)
    for each in sums:
        for (level, index), value in each.nodes.items():
            total.put(level, index, deepcopy(value))
    return total


# What a worker computes from a part and from what is given to all workers.
Work: TypeAlias = Callable[[Part, Total], Total]


def summed(work: Work, shared: object, numbered: Iterable[tuple[int, Part]], n: int) -> Sums:
    """Return the sums of work over some of n parts, which come with their numbers."""
    sums = Sums(n)
    with np.errstate(all="ignore"):
        for number, part in numbered:
            sums.put(0, number, work(part, shared))
    return sums


def _evaluated(
    evaluate: Callable[[Chunk], Total], transform: RowTransform, part: Part, excluded: NDArray[np.int64]
) -> Total:
    start = part.first - int(np.searchsorted(excluded, part.first))
    seen = (evaluate(transform.chunk(*cut)) for cut in numbered_cuts(part.cuts(), excluded, start))
    return reduce(added, seen, None)


def _selected(part: Part, numbers: NDArray[np.int64]) -> list[tuple[Array, Array]]:
    return selected(part.cuts(), numbers)


# --- where they are asked from ---


class Engine(ABC):
    """What sums functions over parts of rows, wherever these are."""

    @abstractmethod
    def broadcast(self, value: object) -> object:
        """Send a value to all workers. Returns what stands for it in `total`, as `shared`."""

    @abstractmethod
    def total(self, work: Work, parts: Parts, shared: object = None) -> Total:
        """Return the sum of work(part, shared) over all parts, merged in the tree of their numbers. parts: as the
        engine placed them. shared: a small value, or one that was broadcast.

        Raises ClusterLostError where nobody is left to do it, and whatever InputError work raises."""


class FarSource(Source):
    """The sizes of rows that workers hold. content: returns what distinguishes them from other rows."""

    def __init__(
        self, sizes: NDArray[np.int64], n_features: int, memory: int, chunk_bytes: int, content: Callable[[], str]
    ) -> None:
        self.sizes, self.n_features, self.memory, self.chunk_bytes = sizes, n_features, memory, chunk_bytes
        self._content = content

    def read(self, pieces: Sequence[int]) -> Iterator[Cut]:
        raise NotImplementedError("these rows are read by the workers of a cluster")

    def digest(self) -> str:
        return self._content()


class DistributedRows(StreamedRows):
    """Rows that workers hold and an engine sums. parts: as the engine placed them, one for each piece of the source."""

    in_process = False
    place = "on a cluster"

    engine: Engine
    parts: Parts

    def __init__(self, engine: Engine, parts: Parts, source: FarSource, targets: TargetEncoder, n_outputs: int) -> None:
        super().__init__(source, targets, n_outputs, threads=1)
        self.engine, self.parts = engine, parts
        self._left_out: object = self._excluded

    def sum(self, evaluate: Callable[[Chunk], S]) -> S:
        total: S = self.engine.total(partial(_evaluated, evaluate, self.transform), self.parts, self._left_out)
        return total

    def without(self, numbers: NDArray[np.int64], weights: tuple[float, float] | None = None) -> Self:
        rest = super().without(numbers, weights)
        rest._left_out = self.engine.broadcast(rest._excluded)
        return rest

    def gathered(self, numbers: NDArray[np.int64]) -> tuple[Array, Array]:
        found = self.engine.total(_selected, self.parts, self.engine.broadcast(numbers))
        return np.ascontiguousarray(np.concatenate([X for X, _ in found])), np.concatenate([y for _, y in found])

    def batches(self, size: int, rng: np.random.Generator) -> NoReturn:
        raise InputError("rows on a cluster give sums and no batches: choose another solver than 'stochastic'.")

    def on_threads(self, threads: int) -> Self:
        return self

    def __reduce__(self) -> tuple[Callable[..., RowSizes], tuple[dict[str, object]]]:
        """Send only the sizes together with a function that uses these rows: it needs nothing else of them."""
        return _remote_rows, ({name: getattr(self, name) for name in _SIZES},)

    def __copy__(self) -> Self:
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        return other


class _RemoteRows(RowSizes):
    """The sizes of rows that are in another process."""

    in_process = False


def _remote_rows(known: dict[str, object]) -> RowSizes:
    rows = _RemoteRows()
    vars(rows).update(known)
    return rows
