"""The interface between the mathematics and the place where rows are stored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import ClassVar, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.types import Array, Matrix
from newtron.engine.maths.scaling import Scaling


class Chunk(NamedTuple):
    """A piece of storage: some consecutive rows."""

    X: Matrix  # (n, p), dense or CSR
    y: Array  # (n, k)
    weight: Array | None  # (n,); None means 1 for every row
    rows: slice  # which rows of the whole


# What a sum comes to: anything with `+=`, a float, an array or an evaluation.
S = TypeVar("S")


def stratified_sample(n_rows: int, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the numbers of n rows, in order: one at random from each of n equal intervals (a stratified sample). It is
    as good as a simple random sample, better where rows are sorted, and needs no permutation of all rows."""
    edges = np.linspace(0, n_rows, n + 1).astype(np.int64)
    return rng.integers(edges[:-1], edges[1:])


class RowSizes:
    """All that a function may ask of rows that are in another process."""

    n_rows: int
    n_features: int
    n_outputs: int
    total_weight: float
    min_weight: float  # smallest positive weight
    dtype: np.dtype[np.floating]
    # Whether every weight is a whole number, so that it may be a number of rows.
    whole_weights: bool = True
    # Whether the chunks of X are sparse matrices.
    is_sparse: bool = False
    # Whether `sum` evaluates in this process, so that a function may keep something of each row.
    in_process: ClassVar[bool] = True
    # Whether every sum reads the rows again, from a disk or on other machines. Fewer sums are then worth arithmetic.
    rereads: ClassVar[bool] = False


class Rows(RowSizes, ABC):
    """Rows of X (n, p), y (n, k) and weights, wherever they are stored.

    The order of the chunks and their cuts depend on the data alone, never on threads, so a sum is the same to
    the bit however many workers share it.
    """

    @abstractmethod
    def sum(self, evaluate: Callable[[Chunk], S]) -> S:
        """Add evaluate(chunk) over all chunks, in the order of the chunks.

        Where rows are not `in_process` it may be called in any process and twice for one chunk: it must only return.
        """

    @abstractmethod
    def split(self, fraction: float, most: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
        """Two disjoint random parts: the rest, and about `fraction` of the rows (at most `most`)."""

    def parted(self, held_out: NDArray[np.intp]) -> tuple[Rows, Rows]:
        """Two parts: the rest, and the rows that are given by their numbers, in order. Training in batches needs it."""
        raise NotImplementedError

    @abstractmethod
    def sample(self, n: int, rng: np.random.Generator) -> Rows:
        """n rows drawn without replacement, kept in their order."""

    def drawn(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """The numbers, among these rows, of those that `sample` gives for the same arguments."""
        raise NotImplementedError

    def few(self, most: int, most_bytes: int) -> Chunk | None:
        """All rows as one chunk, where they are dense, in memory, at most `most` and one chunk of every sum, and their
        inputs take at most so many bytes; else None."""
        del most, most_bytes
        return None

    def whole(self) -> Chunk:
        """All rows as one chunk, in memory."""
        raise NotImplementedError

    def in_single(self) -> Rows:
        """The same rows in single precision, where they are in memory: it takes half of that, and batches half the
        time."""
        return self

    def standardized(self, scaling: Scaling) -> Rows:
        """The same rows in scaled units. Raises InputError where the targets are too large for their dtype."""
        raise NotImplementedError

    def without_columns(self, columns: tuple[int, ...]) -> Rows:
        """The same rows without some columns of X."""
        raise NotImplementedError

    def with_offset(self, column: int) -> Rows:
        """The same rows without a column of X, the logarithm of their exposure: targets for an exposure of 1, and
        weights times the exposure. A loss with a log link is the same but for what does not depend on the model."""
        raise NotImplementedError

    def on_threads(self, threads: int) -> Self:
        """The same rows, whose sums this number of threads share."""
        raise NotImplementedError

    def weights(self) -> Array | None:
        """(n,) the weight of each row; None where all are 1."""
        raise NotImplementedError

    def digest(self) -> str:
        """A text that differs between different rows."""
        raise NotImplementedError

    @abstractmethod
    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Chunk]:
        """One epoch: every row once, in random order, in batches of about `size`."""
