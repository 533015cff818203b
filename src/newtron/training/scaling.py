"""How the columns lie, learnt from the rows of a training: means and standard deviations, asinh features, and knots.

Rows in memory, of files and of a cluster go the same way: two sums over all rows, and a look at some of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.linalg import is_sparse
from newtron.engine.base.types import Array, Matrix
from newtron.engine.maths.landmarks import LandmarkFeatures
from newtron.engine.maths.scaling import AsinhFeatures, PieceFeatures, Scaling
from newtron.engine.rows import Chunk, Rows

# A column most of whose values are equal has an interquartile range of zero: the scale of its asinh feature is at
# least this share of its standard deviation, divided by 4.
_LEAST_RANGE = 0.1
# Features are learnt from at most this many rows, drawn at random.
_FEATURE_ROWS = 50_000
# Directions of the similarities among landmarks are left out where their eigenvalue is below this share of the largest.
_SINGULAR = 1e-8
# A column is far from zero when its mean is this many times its standard deviation: then its last digits alone differ
# from those of an intercept. So many rows are looked at.
_FAR, _FAR_ROWS = 100.0, 1000


def learn_scaling(rows: Rows, *, targets: bool, center: bool = True) -> Scaling:
    """Weighted means and standard deviations of the columns; a constant column keeps scale 1.

    targets: whether those of a regression are scaled too. center: only a model with intercepts can absorb the means.
    Sparse columns are scaled, not centred, so that they stay sparse.
    """
    mean, spread = _moments(rows, with_targets=targets)
    p, k = rows.n_features, rows.n_outputs
    if not center:
        mean = np.zeros_like(mean)
    elif rows.is_sparse:
        mean[:p] = 0.0
    if not targets:
        mean, spread = np.append(mean, np.zeros(k)), np.append(spread, np.ones(k))
    return Scaling(mean[:p], spread[:p], mean[p:], spread[p:])


def learn_centering(rows: Rows) -> Scaling:
    """The scaling that only subtracts the means of the columns."""
    return replace(Scaling.none(rows.n_features, rows.n_outputs), x_center=_moments(rows, with_targets=False)[0])


def with_asinh(scaling: Scaling, rows: Rows) -> Scaling:
    """The same scaling with an asinh feature for every column that has more than two values."""
    some = rows.sample(_FEATURE_ROWS, np.random.default_rng(0)).whole()
    features = learn_asinh(some.X, some.weight, scaling.x_scale)
    return replace(scaling, asinh=features) if features.columns.size else scaling


def with_pieces(scaling: Scaling, rows: Rows, most: int) -> Scaling:
    """The same scaling with at most so many pieces for every column that has more than two values."""
    some = rows.sample(_FEATURE_ROWS, np.random.default_rng(0)).whole()
    features = _learn_pieces(some.X, some.weight, most)
    return replace(scaling, pieces=features) if features.columns.size else scaling


def with_landmarks(scaling: Scaling, rows: Rows, most: int, inputs: int) -> Scaling:
    """The same scaling with at most so many landmarks and inputs made of them; without any where fewer than two rows
    differ."""
    some = rows.sample(_FEATURE_ROWS, np.random.default_rng(0)).whole()
    features = _learn_landmarks(some.X, some.weight, scaling.x_scale, most, inputs)
    return scaling if features is None else replace(scaling, landmarks=features)


def columns_with_pieces(rows: Rows) -> int:
    """How many columns have more than two values, as far as the rows show that pieces are learnt from."""
    X = rows.sample(_FEATURE_ROWS, np.random.default_rng(0)).whole().X
    return 0 if is_sparse(X) else sum(_has_three(X[:, j]) for j in range(X.shape[1]))


def far_from_zero(rows: Rows) -> bool:
    """Has a column a mean that is many times its standard deviation? Sparse columns never have."""
    if rows.is_sparse:
        return False
    if rows.n_rows > _FAR_ROWS:
        rows = rows.sample(_FAR_ROWS, np.random.default_rng(0))
    looked = rows.whole().X.astype(np.float64, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        # Products with a row of ones are several times quicker than mean and std, and exactly 0 for a constant column.
        share = np.full(len(looked), 1.0 / len(looked))
        beyond = looked - looked[0]
        mean = share @ beyond
        spread = np.sqrt(share @ np.square(beyond - mean))
        return bool(np.any((np.abs(looked[0] + mean) > _FAR * spread) & (spread > 0.0)))


def learn_asinh(X: Array, weight: Array | None, spread: Array) -> AsinhFeatures:
    """Asinh features of the columns with more than two different values. spread: (p,) the columns' standard
    deviations."""
    kept = X if weight is None else X[weight > 0.0]
    columns = np.array([j for j in range(X.shape[1]) if _has_three(kept[:, j])], dtype=np.intp)
    chosen = X[:, columns].astype(np.float64)
    low, center, high = (_quantile(chosen, weight, q) for q in (0.25, 0.5, 0.75))
    scale = np.maximum(high - low, _LEAST_RANGE * spread[columns]) / 4.0
    if not columns.size:
        return AsinhFeatures(columns, center, scale, center, center)
    w = np.ones(len(X)) if weight is None else weight.astype(np.float64)
    return AsinhFeatures(columns, center, scale, *_mean_and_spread(np.arcsinh((chosen - center) / scale), w))


def _learn_pieces(X: Array, weight: Array | None, most: int) -> PieceFeatures:
    """At most so many pieces of each column with more than two different values.

    The knots are all values where these are few enough, and else the quantiles at equal steps from the smallest value
    to the largest, each once. A value that many rows share counts as the rows of one piece, so that pieces are left for
    the others.
    """
    w = np.ones(len(X)) if weight is None else weight.astype(np.float64)
    kept = X[w > 0.0].astype(np.float64)
    w = w[w > 0.0]
    columns: list[int] = []
    knots: list[Array] = []
    for j in range(X.shape[1]):
        values, of_value = np.unique(kept[:, j], return_inverse=True)
        if len(values) > most + 1:
            below = np.cumsum(np.minimum(np.bincount(of_value, w), w.sum() / most))
            steps = np.arange(1, most) / most * below[-1]
            inner = values[np.searchsorted(below, steps * (1.0 - 1e-12))]
            values = np.unique(np.concatenate([values[:1], inner, values[-1:]]))
        if len(values) > 2:
            columns += [j] * (len(values) - 1)
            knots.append(values)
    low = np.concatenate([own[:-1] for own in knots]) if knots else np.empty(0)
    high = np.concatenate([own[1:] for own in knots]) if knots else np.empty(0)
    return PieceFeatures(np.array(columns, dtype=np.intp), low, high)


def _learn_landmarks(X: Array, weight: Array | None, spread: Array, most: int, inputs: int) -> LandmarkFeatures | None:
    """At most so many landmarks, drawn from the different rows of X, and inputs made of them; no target is read. None
    where all rows are equal or distances overflow.

    The distance between two values of a column counts in its standard deviations; where a column has two values alone,
    in half their difference, so that a level that few rows have is as far from the others as one that half of them
    have. The unit of the sum over the columns is the median of the distances between landmarks. spread: (p,) the
    columns' standard deviations.
    """
    w = np.ones(len(X)) if weight is None else weight.astype(np.float64)
    kept = X[w > 0.0].astype(np.float64)
    different = np.unique(kept, axis=0)
    if len(different) < 2 or inputs < 1:
        return None
    drawn = np.random.default_rng([0, len(different)]).permutation(len(different))[:most]
    points = different[np.sort(drawn)]
    with np.errstate(all="ignore"):
        half = 0.5 * different.max(axis=0) - 0.5 * different.min(axis=0)
        two = np.array([not _has_three(different[:, j]) for j in range(X.shape[1])])
        # What does not vary says nothing of the distance of new rows where it does.
        rate = np.where(half > 0.0, 1.0 / np.where(two, half, spread), 0.0)
        among = LandmarkFeatures(points, rate, np.eye(len(points)), np.zeros(len(points))).distances(points)
        rate = rate / float(np.median(among[np.triu_indices(len(points), 1)]))
    if not np.isfinite(rate).all():
        return None
    near = LandmarkFeatures(points, rate, np.eye(len(points)), np.zeros(len(points)))
    values, vectors = np.linalg.eigh(near.similarities(points))
    large = np.flatnonzero(values > _SINGULAR * values[-1])[::-1][:inputs]
    signs = np.sign(vectors[np.abs(vectors[:, large]).argmax(axis=0), large])
    factor = vectors[:, large] * (signs / np.sqrt(values[large]))
    mean = (w[w > 0.0] / w.sum()) @ replace(near, factor=factor, mean=np.zeros(len(large))).apply(kept)
    return replace(near, factor=factor, mean=mean)


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


# --- moments, in two passes so that no digits cancel, of deviations relative to the largest, so that no square
# overflows or vanishes ---


@dataclass
class _Ranges:
    """The weighted sum of each column, divided by the weight of all rows, its smallest and its largest number."""

    mean: Array
    low: Array
    high: Array

    @classmethod
    def of(cls, A: Matrix, share: Array) -> Self:
        """The part of some rows A (n, q), which may be sparse. share: (n,) their weights by the weight of all."""
        if not is_sparse(A):
            return cls(share @ A, A.min(axis=0), A.max(axis=0))
        entries = np.diff(A.tocsc().indptr)
        low, high = (np.zeros(A.shape[1]) for _ in range(2))
        # Zero is a number of a column that has not an entry in every row.
        low[entries == A.shape[0]], high[entries == A.shape[0]] = np.inf, -np.inf
        np.minimum.at(low, A.indices, A.data)
        np.maximum.at(high, A.indices, A.data)
        mean = np.bincount(A.indices, np.repeat(share, np.diff(A.indptr)) * A.data, A.shape[1])
        return cls(mean.astype(np.float64, copy=False), low, high)

    def __iadd__(self, other: Self) -> Self:
        self.mean = self.mean + other.mean
        self.low, self.high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        return self

    def largest(self, epsilon: Array | float) -> tuple[Array, NDArray[np.bool_]]:
        """The largest deviation from the mean of each column, 1 for a constant one, and which are constant: rounding of
        the mean leaves those deviations of about epsilon times their size."""
        found = np.maximum(self.high - self.mean, self.mean - self.low)
        constant = found <= 10.0 * epsilon * np.abs(self.mean)
        return np.where(constant, 1.0, found), constant


def _squares(A: Matrix, weight: Array, mean: Array, largest: Array) -> Array:
    """The weighted sum of ((A - mean) / largest)² of each column."""
    if not is_sparse(A):
        return np.asarray(weight @ np.square((A - mean) / largest))
    of_entry = np.repeat(weight, np.diff(A.indptr))
    p = A.shape[1]
    own = np.bincount(A.indices, of_entry * np.square((A.data - mean[A.indices]) / largest[A.indices]), p)
    # The weight of the rows without an entry, whose deviation is the mean; exactly none where every row has one.
    full = np.bincount(A.indices, minlength=p) == A.shape[0]
    elsewhere = np.where(full, 0.0, np.maximum(weight.sum() - np.bincount(A.indices, of_entry, p), 0.0))
    return np.asarray(own + elsewhere * np.square(mean / largest))


def _spread(ranges: _Ranges, squares: Array, total: float, epsilon: Array | float) -> tuple[Array, Array]:
    """Mean and standard deviation of each column. The mean of equal numbers may be off by rounding; the number itself
    makes the scaled column exactly zero."""
    largest, constant = ranges.largest(epsilon)
    spread = largest * np.sqrt(squares / total)
    return np.where(constant, ranges.low, ranges.mean), np.where(constant | (spread == 0.0), 1.0, spread)


def _mean_and_spread(A: Array, weight: Array) -> tuple[Array, Array]:
    """Weighted mean and standard deviation of the columns of an array in memory."""
    total = float(weight.sum())
    ranges = _Ranges.of(A, weight / total)
    epsilon = float(np.finfo(A.dtype).eps)
    return _spread(ranges, _squares(A, weight, ranges.mean, ranges.largest(epsilon)[0]), total, epsilon)


def _moments(rows: Rows, with_targets: bool) -> tuple[Array, Array]:
    """(p,) or, with the targets behind the inputs, (p + k,) weighted means and standard deviations."""
    total = rows.total_weight

    def numbers(chunk: Chunk) -> tuple[list[Matrix], Array]:
        weight = np.ones(len(chunk.y)) if chunk.weight is None else chunk.weight.astype(np.float64, copy=False)
        X = chunk.X.astype(np.float64, copy=False)
        return [X, chunk.y.astype(np.float64, copy=False)] if with_targets else [X], weight

    def first(chunk: Chunk) -> _Ranges:
        parts, weight = numbers(chunk)
        found = [_Ranges.of(A, weight / total) for A in parts]
        return _Ranges(*(np.concatenate([getattr(f, name) for f in found]) for name in ("mean", "low", "high")))

    ranges = rows.sum(first)
    # Targets are in float64 until they are scaled, whatever the inputs are.
    epsilon = np.full(len(ranges.mean), np.finfo(np.float64).eps)
    epsilon[: rows.n_features] = np.finfo(rows.dtype).eps
    largest, _ = ranges.largest(epsilon)
    edges = [0, rows.n_features, len(largest)]

    def second(chunk: Chunk) -> Array:
        parts, weight = numbers(chunk)
        spans = [slice(a, b) for a, b in pairwise(edges)]
        found = [_squares(A, weight, ranges.mean[s], largest[s]) for A, s in zip(parts, spans, strict=False)]
        return np.concatenate(found)

    return _spread(ranges, rows.sum(second), total, epsilon)
