"""Scalings and asinh features learnt from rows in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from newtron.engine.base.linalg import is_sparse
from newtron.engine.base.types import Array, Matrix
from newtron.engine.maths.scaling import AsinhFeatures, Scaling
from newtron.engine.rows import drawn

# A column most of whose values are equal has an interquartile range of zero: the scale of its asinh feature is at
# least this share of its standard deviation, divided by 4.
_LEAST_RANGE = 0.1
# Asinh features are learnt from at most this many rows, drawn at random.
ASINH_ROWS = 50_000
_BLOCK = 16384  # rows at a time, so that no second X is ever in memory


def learn_scaling(X: Matrix, Y: Array | None, weight: Array | None, n_outputs: int, center: bool = True) -> Scaling:
    """Weighted means and standard deviations of the columns; a constant column keeps scale 1.

    Y: regression targets, or None to leave targets alone. center: only a model with intercepts can absorb the
    means. A sparse X is scaled, not centred, so that it stays sparse.
    """
    if is_sparse(X):
        mean, spread = np.zeros(X.shape[1]), _sparse_spread(X, weight)
    else:
        mean, spread = _moments(X, weight)
    y_mean, y_spread = (np.zeros(n_outputs), np.ones(n_outputs)) if Y is None else _moments(Y, weight)
    shift = 1.0 if center else 0.0
    return Scaling(shift * mean, spread, shift * y_mean, y_spread)


def learn_centering(X: Array, weight: Array | None, n_outputs: int) -> Scaling:
    """The scaling that only subtracts the means of the columns."""
    mean, _ = _moments(X, weight)
    return Scaling(mean, np.ones(X.shape[1]), np.zeros(n_outputs), np.ones(n_outputs))


def with_asinh(scaling: Scaling, X: Array, weight: Array | None) -> Scaling:
    """The same scaling with an asinh feature for every column that has more than two values, learnt from at most
    `ASINH_ROWS` rows."""
    if X.shape[0] > ASINH_ROWS:
        some = drawn(X.shape[0], ASINH_ROWS, np.random.default_rng(0))
        X, weight = X.take(some, axis=0), None if weight is None else weight[some]
    features = learn_asinh(X, weight, scaling.x_scale)
    return replace(scaling, asinh=features) if features.columns.size else scaling


def learn_asinh(X: Array, weight: Array | None, spread: Array) -> AsinhFeatures:
    """Asinh features of the columns with more than two different values. spread: (p,) the columns' standard
    deviations."""
    kept = X if weight is None else X[weight > 0.0]
    columns = np.array([j for j in range(X.shape[1]) if _has_three(kept[:, j])], dtype=np.intp)
    chosen = X[:, columns].astype(np.float64)
    low, center, high = (_quantile(chosen, weight, q) for q in (0.25, 0.5, 0.75))
    scale = np.maximum(high - low, _LEAST_RANGE * spread[columns]) / 4.0
    mean, spread = _moments(np.arcsinh((chosen - center) / scale), weight) if columns.size else (center, center)
    return AsinhFeatures(columns, center, scale, mean, spread)


def _has_three(column: Array) -> bool:
    """Whether a column has more than two different values."""
    other = column[column != column[0]]
    return bool(other.size) and bool(np.any(other != other[0]))


def _quantile(X: Array, weight: Array | None, share: float) -> Array:
    """The smallest value of each column with at least this share of the weight at or below it, so that a weight of 2
    counts as the row twice."""
    order = np.argsort(X, axis=0, kind="stable")
    w = np.ones(X.shape[0]) if weight is None else weight.astype(np.float64)
    below = np.cumsum(w[order], axis=0)
    place = np.argmax(below >= share * below[-1] * (1.0 - 1e-12), axis=0)
    return np.asarray(np.take_along_axis(X, np.take_along_axis(order, place[None], axis=0), axis=0)[0])


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


def _sparse_spread(X: Matrix, weight: Array | None) -> Array:
    """The standard deviations that `_moments` finds for the same matrix as a dense array. X: no entry twice."""
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
