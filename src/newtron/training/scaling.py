"""Standardisation of inputs and regression targets, and back to the user's units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.linalg import is_sparse
from newtron.engine.base.threads import cached_property
from newtron.engine.rows import drawn

Array = NDArray[np.floating]

# A column most of whose values are equal has an interquartile range of zero: at least this share of its spread counts.
_LEAST_RANGE = 0.1
# So many rows tell how a column lies.
LOOKED_AT = 50_000
_BLOCK = 16384  # rows at a time, so that no second X is ever in memory


@dataclass(frozen=True)
class Bends:
    """Further inputs: some columns once more, bent so that a long tail is drawn in and what lies close together is
    spread out: x -> (asinh((x - center) / scale) - mean) / spread.

    columns: (q,) which ones; center: their medians, scale: a quarter of their interquartile ranges; mean, spread: of
    what comes out. All (q,). asinh is linear near 0 and logarithmic far away, to both sides.
    """

    columns: NDArray[np.intp]
    center: Array
    scale: Array
    mean: Array
    spread: Array

    @classmethod
    def learn(cls, X: Array, weight: Array | None, spread: Array) -> Bends:
        """Of the columns with more than two different values. spread: (p,) the columns' standard deviations."""
        kept = X if weight is None else X[weight > 0.0]
        columns = np.array([j for j in range(X.shape[1]) if _has_three(kept[:, j])], dtype=np.intp)
        chosen = X[:, columns].astype(np.float64)
        low, center, high = (_quantile(chosen, weight, q) for q in (0.25, 0.5, 0.75))
        scale = np.maximum(high - low, _LEAST_RANGE * spread[columns]) / 4.0
        mean, spread = _moments(np.arcsinh((chosen - center) / scale), weight) if columns.size else (center, center)
        return cls(columns, center, scale, mean, spread)

    def apply(self, X: Array) -> Array:
        """(n, q) of X (n, p), in float64."""
        bent = np.arcsinh((X[:, self.columns].astype(np.float64) - self.center) / self.scale)
        return np.asarray((bent - self.mean) / self.spread)


def _has_three(column: Array) -> bool:
    other = column[column != column[0]]
    return bool(other.size) and bool(np.any(other != other[0]))


def _quantile(X: Array, weight: Array | None, share: float) -> Array:
    """Of each column the smallest value with at least this share of the weight at or below it, so that a weight of 2 is
    the row twice."""
    order = np.argsort(X, axis=0, kind="stable")
    w = np.ones(X.shape[0]) if weight is None else weight.astype(np.float64)
    below = np.cumsum(w[order], axis=0)
    place = np.argmax(below >= share * below[-1] * (1.0 - 1e-12), axis=0)
    return np.asarray(np.take_along_axis(X, np.take_along_axis(order, place[None], axis=0), axis=0)[0])


@dataclass(frozen=True)
class Scaling:
    """x -> (x - x_center) / x_scale, y -> (y - y_center) / y_scale; arrays of float64, (p,) and (k,).

    bends: further inputs behind the p scaled ones, or None.
    """

    x_center: Array
    x_scale: Array
    y_center: Array
    y_scale: Array
    bends: Bends | None = None

    @classmethod
    def none(cls, n_features: int, n_outputs: int) -> Scaling:
        """The scaling that changes nothing."""
        return cls(np.zeros(n_features), np.ones(n_features), np.zeros(n_outputs), np.ones(n_outputs))

    @classmethod
    def learn(cls, X: Any, Y: Array | None, weight: Array | None, n_outputs: int, center: bool = True) -> Scaling:
        """Weighted means and standard deviations of the columns; a constant column keeps scale 1.

        Y: regression targets, or None to leave targets alone. center: only a model with intercepts can take the
        means back. A sparse X is scaled, not centred, so that it stays sparse.
        """
        if is_sparse(X):
            mean, spread = np.zeros(X.shape[1]), _sparse_spread(X, weight)
        else:
            mean, spread = _moments(X, weight)
        y_mean, y_spread = (np.zeros(n_outputs), np.ones(n_outputs)) if Y is None else _moments(Y, weight)
        shift = 1.0 if center else 0.0
        return cls(shift * mean, spread, shift * y_mean, y_spread)

    @classmethod
    def centered(cls, X: Array, weight: Array | None, n_outputs: int) -> Scaling:
        """Only the means of the columns taken out."""
        mean, _ = _moments(X, weight)
        return cls(mean, np.ones(X.shape[1]), np.zeros(n_outputs), np.ones(n_outputs))

    def bent(self, X: Array, weight: Array | None) -> Scaling:
        """The same with a bent copy of every column that has more than two values, as learnt from the rows that are
        looked at."""
        if X.shape[0] > LOOKED_AT:
            some = drawn(X.shape[0], LOOKED_AT, np.random.default_rng(0))
            X, weight = X.take(some, axis=0), None if weight is None else weight[some]
        bends = Bends.learn(X, weight, self.x_scale)
        return replace(self, bends=bends) if bends.columns.size else self

    @property
    def n_inputs(self) -> int:
        """How many numbers a network is fed for each row."""
        return len(self.x_center) + (0 if self.bends is None else len(self.bends.columns))

    @cached_property
    def changes_inputs(self) -> bool:
        return bool(np.any(self.x_center) or np.any(self.x_scale != 1.0))

    def inputs(self, X: Any) -> Any:
        """X in scaled units, in its own dtype; (n, p + q) with bends."""
        if self.bends is not None:
            plain = replace(self, bends=None).inputs(X)
            return np.hstack([plain, self.bends.apply(X).astype(X.dtype)])
        if not self.changes_inputs:
            return X
        if is_sparse(X) and not np.any(self.x_center):
            return X.multiply(1.0 / self.x_scale).tocsr()
        if is_sparse(X):  # without their means few numbers are zero
            X = X.toarray()
        scaled = X - self.x_center.astype(X.dtype)
        scaled /= self.x_scale.astype(X.dtype)
        return scaled

    def targets(self, Y: Array) -> Array:
        """Y in scaled units; Y itself where they are the user's own."""
        if not np.any(self.y_center) and np.all(self.y_scale == 1.0):
            return Y
        scaled: Array = ((Y - self.y_center) / self.y_scale).astype(Y.dtype, copy=False)
        return scaled

    def outputs(self, Z: Array) -> Array:
        """Predictions back in the user's units."""
        back: Array = (Z * self.y_scale.astype(Z.dtype) + self.y_center.astype(Z.dtype)).astype(Z.dtype)
        return back


def _moments(X: Array, weight: Array | None) -> tuple[Array, Array]:
    """Weighted mean and standard deviation of each column, in two passes so that no digits cancel, and of deviations
    relative to the largest, so that no square overflows or vanishes."""
    n = X.shape[0]
    total = float(n) if weight is None else float(weight.sum(dtype=np.float64))
    mean, largest, square = np.zeros(X.shape[1]), np.zeros(X.shape[1]), np.zeros(X.shape[1])
    for block, w in _blocks(X, weight):
        mean += (w / total) @ block
    for block, _ in _blocks(X, weight):
        np.maximum(largest, np.abs(block - mean).max(axis=0), out=largest)
    # Rounding of the mean leaves a constant column deviations of about epsilon times its size.
    constant = largest <= 10.0 * np.finfo(X.dtype).eps * np.abs(mean)
    largest[constant] = 1.0
    for block, w in _blocks(X, weight):
        square += w @ np.square((block - mean) / largest)
    spread = largest * np.sqrt(square / total)
    spread[constant | (spread == 0.0)] = 1.0
    # The mean of equal numbers may be off by rounding; the number itself makes the column exactly zero.
    mean[constant] = X[0, constant]
    return mean, spread


def _blocks(X: Array, weight: Array | None) -> Iterator[tuple[Array, Array]]:
    """Rows in float64 with their weights, some at a time."""
    for start in range(0, X.shape[0], _BLOCK):
        block = X[start : start + _BLOCK].astype(np.float64, copy=False)
        yield block, np.ones(block.shape[0]) if weight is None else weight[start : start + _BLOCK]


def _sparse_spread(X: Any, weight: Array | None) -> Array:
    """What `_moments` finds of the same matrix written out, from the entries of one that has one for each place."""
    n, p = X.shape
    w = np.ones(n) if weight is None else weight.astype(np.float64)
    total = float(w.sum())
    of_entry = np.repeat(w, np.diff(X.indptr))
    entries = np.bincount(X.indices, minlength=p)
    # The weight of the rows without an entry, whose deviation is the mean; exactly none where every row has one.
    elsewhere = np.where(entries < n, np.maximum(total - np.bincount(X.indices, of_entry, p), 0.0), 0.0)
    mean = np.bincount(X.indices, of_entry / total * X.data, p)
    deviation = X.data - mean[X.indices]
    largest = np.where(entries < n, np.abs(mean), 0.0)
    np.maximum.at(largest, X.indices, np.abs(deviation))
    constant = largest <= 10.0 * np.finfo(X.dtype).eps * np.abs(mean)
    largest[constant] = 1.0
    square = np.bincount(X.indices, of_entry * np.square(deviation / largest[X.indices]), p)
    spread = largest * np.sqrt((square + elsewhere * np.square(mean / largest)) / total)
    spread[constant | (spread == 0.0)] = 1.0
    return np.asarray(spread, dtype=np.float64)
