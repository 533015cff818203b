"""The units that training uses: standardised inputs and targets, features of columns, and the way back to the user's
units.

`newtron.training.scaling` learns these values from rows; everything that reads a fitted model applies them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.linalg import is_sparse
from newtron.engine.base.threads import cached_property
from newtron.engine.base.types import Array, Matrix
from newtron.engine.maths.landmarks import LandmarkFeatures


class Features(Protocol):
    """Inputs that are functions of the columns, beside the columns themselves."""

    @property
    def columns(self) -> NDArray[np.intp]:
        """(q,) the position, among the p columns, of the column that each of them is made of; -1 for all columns."""

    def apply(self, X: Array) -> Array:
        """The features (n, q) of X (n, p), in float64."""

    def back(self, X: Array, by_features: Array) -> Array:
        """(n, p) the derivatives of something with respect to X (n, p), from those with respect to the features (n, q),
        by the chain rule."""

    def along(self, X: Array, tangent: Array) -> Array:
        """(n, q) the derivatives of the features as X (n, p) moves along a tangent (n, p)."""

    def names(self, columns: tuple[str, ...]) -> tuple[str, ...]:
        """(q,) names of the features, from those of all p columns."""


class FeaturesOfColumns(ABC):
    """Features each of which is a function of one column."""

    columns: NDArray[np.intp]

    @abstractmethod
    def slopes(self, X: Array) -> Array:
        """The derivatives (n, q) of the features with respect to their columns of X (n, p)."""

    def back(self, X: Array, by_features: Array) -> Array:
        """As in `Features`."""
        found = np.zeros((len(X), X.shape[1]))
        np.add.at(found.T, self.columns, (by_features * self.slopes(X)).T)
        return found

    def along(self, X: Array, tangent: Array) -> Array:
        """As in `Features`."""
        return np.asarray(tangent[:, self.columns] * self.slopes(X))


@dataclass(frozen=True, eq=False)
class AsinhFeatures(FeaturesOfColumns):
    """Additional inputs: x -> (asinh((x - center) / scale) - mean) / spread for some of the columns.

    asinh is linear near 0 and logarithmic far away on both sides, so a long tail is shortened and values that lie close
    together are spread out. columns: (q,) positions of the columns; center: their medians; scale: a quarter of their
    interquartile ranges; mean, spread: of the asinh. All (q,).
    """

    columns: NDArray[np.intp]
    center: Array
    scale: Array
    mean: Array
    spread: Array

    def apply(self, X: Array) -> Array:
        """The features (n, q) of X (n, p), in float64."""
        u = np.arcsinh((X[:, self.columns].astype(np.float64) - self.center) / self.scale)
        return np.asarray((u - self.mean) / self.spread)

    def slopes(self, X: Array) -> Array:
        """The derivatives (n, q) of the features with respect to their columns of X (n, p)."""
        u = (X[:, self.columns].astype(np.float64) - self.center) / self.scale
        return np.asarray(1.0 / (np.hypot(1.0, u) * self.scale * self.spread))

    def names(self, columns: tuple[str, ...]) -> tuple[str, ...]:
        """(q,) names of the features, from those of all p columns."""
        return tuple(f"asinh of {columns[j]}" for j in self.columns.tolist())


@dataclass(frozen=True, eq=False)
class PieceFeatures(FeaturesOfColumns):
    """Additional inputs: x -> the share of a piece of a column's range that lies below x, from 0 to 1.

    A column with the knots k_0 < ... < k_B has the B pieces from k_b-1 to k_b, and clip((x - k_b-1) / (k_b - k_b-1), 0,
    1) for each. A weighted sum of them is any function that is straight between the knots (the piecewise-linear
    encoding of Gorishniy, Rubachev & Babenko 2022, "On embeddings for numerical features in tabular deep learning").
    columns: (q,) positions of the columns, those of a column side by side in ascending order. low, high: (q,) the knots
    below and above each piece.
    """

    columns: NDArray[np.intp]
    low: Array
    high: Array

    def apply(self, X: Array) -> Array:
        """The features (n, q) of X (n, p), in float64."""
        return np.asarray(np.clip(self._share(X), 0.0, 1.0))

    def slopes(self, X: Array) -> Array:
        """The derivatives (n, q) of the features with respect to their columns of X (n, p); at a knot the mean of those
        on its two sides, which central differences lead to."""
        u = self._share(X)
        inside = 0.5 * (np.sign(u) - np.sign(u - 1.0))
        return np.asarray(np.where(np.isnan(u), np.nan, inside) / (self.high - self.low))

    def _share(self, X: Array) -> Array:
        return np.asarray((X[:, self.columns].astype(np.float64) - self.low) / (self.high - self.low))

    def names(self, columns: tuple[str, ...]) -> tuple[str, ...]:
        """(q,) names of the features, from those of all p columns."""
        ends = zip(self.columns.tolist(), self.low.tolist(), self.high.tolist(), strict=True)
        return tuple(f"{columns[j]} from {low:.4g} to {high:.4g}" for j, low, high in ends)


@dataclass(frozen=True, eq=False)
class Scaling:
    """x -> (x - x_center) / x_scale, y -> (y - y_center) / y_scale; arrays of float64, (p,) and (k,).

    asinh, pieces, landmarks: features, which are additional inputs after the p scaled ones, in this order; None: there
    are none. A network takes a part of all these inputs, as `taking` says. with_columns: whether the scaled columns
    themselves are inputs. offset: the position of one more column among
    those of X, the logarithm of each row's exposure, which is no input: means are for an exposure of 1. None: there is
    none. aside: positions, in order, of columns of X that are no inputs either, because they say what group a row is
    of.
    """

    x_center: Array
    x_scale: Array
    y_center: Array
    y_scale: Array
    asinh: AsinhFeatures | None = None
    pieces: PieceFeatures | None = None
    landmarks: LandmarkFeatures | None = None
    with_columns: bool = True
    offset: int | None = None
    aside: tuple[int, ...] = ()

    @classmethod
    def none(cls, n_features: int, n_outputs: int) -> Scaling:
        """The scaling that changes nothing."""
        return cls(np.zeros(n_features), np.ones(n_features), np.zeros(n_outputs), np.ones(n_outputs))

    @property
    def features(self) -> tuple[Features, ...]:
        """What is fed beside the columns, in the order of the inputs."""
        return tuple(features for features in (self.asinh, self.pieces, self.landmarks) if features is not None)

    @property
    def n_inputs(self) -> int:
        """How many numbers there are for each row."""
        return len(self.made_of)

    @cached_property
    def made_of(self) -> NDArray[np.intp]:
        """(n_inputs,) the column, of p, that each input is made of; -1 for one that is made of all columns."""
        plain: NDArray[np.intp] = np.arange(len(self.x_center) if self.with_columns else 0)
        return np.concatenate([plain, *(features.columns for features in self.features)])

    @property
    def plain(self) -> Scaling:
        """The scaling of the columns, without features."""
        return replace(self, asinh=None, pieces=None, landmarks=None, with_columns=True)

    def taking(self, n_inputs: int, first: int = 0) -> Scaling:
        """The scaling of a network that takes so many of the inputs, from number `first` on: the first inputs, with the
        features that are among them, or the nearness to landmarks alone. Raises ValueError for a part that cuts
        features apart."""
        kept = [self.plain, replace(self.plain, asinh=self.asinh), replace(self, landmarks=None)]
        if first:
            kept = [replace(self.plain, landmarks=self.landmarks, with_columns=False)]
        for found in kept:
            if found.n_inputs == n_inputs and first in (0, self.n_inputs - n_inputs):
                return found
        raise ValueError(f"no features begin at input {first} and end {n_inputs} inputs later")

    @cached_property
    def changes_inputs(self) -> bool:
        """Whether any of the p columns is shifted or divided; features do not count."""
        return bool(np.any(self.x_center) or np.any(self.x_scale != 1.0))

    @cached_property
    def changes_targets(self) -> bool:
        return bool(np.any(self.y_center) or np.any(self.y_scale != 1.0))

    @property
    def no_inputs(self) -> tuple[int, ...]:
        """The positions of the columns of X that are no inputs, in order."""
        return self.aside if self.offset is None else tuple(sorted((*self.aside, self.offset)))

    @cached_property
    def without_aside(self) -> Scaling:
        """The same for rows without the columns `aside`."""
        if not self.aside:
            return self
        offset = None if self.offset is None else self.offset - sum(j < self.offset for j in self.aside)
        return replace(self, aside=(), offset=offset)

    def of_inputs(self, columns: tuple[str, ...]) -> tuple[str, ...]:
        """Take from something for each column of X what belongs to the p inputs."""
        taken = self.no_inputs
        return tuple(column for j, column in enumerate(columns) if j not in taken) if taken else columns

    def of_inputs_in(self, X: Matrix) -> Matrix:
        """X without the columns that are no inputs."""
        return without_columns(X, self.no_inputs) if self.no_inputs else X

    def over_columns(self, found: Array, fill: float = 0.0) -> Array:
        """(..., columns of X) from something (..., p) of the inputs, with `fill` for the columns that are no inputs."""
        for j in self.no_inputs:
            found = np.insert(found, j, fill, axis=-1)
        return found

    def inputs(self, X: Matrix) -> Matrix:
        """X in scaled units, in its own dtype, and the features after it: (n, n_inputs)."""
        if self.aside:
            return self.without_aside.inputs(without_columns(X, self.aside))
        if self.offset is not None:
            return replace(self, offset=None).inputs(without_offset(X, self.offset)[0])
        if self.features:
            plain = [self.plain.inputs(X)] if self.with_columns else []
            return np.hstack([*plain, *(features.apply(X).astype(X.dtype) for features in self.features)])
        if not self.changes_inputs:
            return X
        if is_sparse(X) and not np.any(self.x_center):
            return X.multiply(1.0 / self.x_scale).tocsr()
        if is_sparse(X):  # without their means few numbers are zero
            X = X.toarray()
        scaled = X - self.x_center.astype(X.dtype)
        scaled /= self.x_scale.astype(X.dtype)
        return scaled

    def by_given(self, X: Array, by_inputs: Array) -> Array:
        """(n, p) the derivatives of something with respect to the columns of X (n, p), in the user's units, from those
        with respect to the inputs (n, n_inputs), by the chain rule. All columns must be inputs."""
        place = len(self.x_center) if self.with_columns else 0
        found = by_inputs[:, :place] / self.x_scale if place else np.zeros(X.shape)
        for features in self.features:
            found = found + features.back(X, by_inputs[:, place : place + len(features.columns)])
            place += len(features.columns)
        return np.asarray(found)

    def inputs_along(self, X: Array, tangent: Array) -> Array:
        """The derivative of `inputs` as X (n, p) moves along a tangent (n, p), which has 0 for what is no input."""
        if self.aside:
            X, tangent = (without_columns(each, self.aside) for each in (X, tangent))
            return self.without_aside.inputs_along(X, tangent)
        if self.offset is not None:
            X, tangent = (without_offset(each, self.offset)[0] for each in (X, tangent))
        plain = [tangent / self.x_scale] if self.with_columns else []
        return np.hstack([*plain, *(features.along(X, tangent) for features in self.features)])

    def targets(self, Y: Array) -> Array:
        """Y in scaled units; Y itself where the units stay the user's."""
        if not self.changes_targets:
            return Y
        return np.asarray(((Y - self.y_center) / self.y_scale).astype(Y.dtype, copy=False))

    def outputs(self, Z: Array) -> Array:
        """Predictions in the user's units."""
        return np.asarray((Z * self.y_scale.astype(Z.dtype) + self.y_center.astype(Z.dtype)).astype(Z.dtype))


def without_columns(X: Matrix, columns: tuple[int, ...]) -> Matrix:
    """X (n, p) without some of its columns."""
    kept = [j for j in range(X.shape[1]) if j not in columns]
    return X[:, kept].tocsr() if is_sparse(X) else X[:, kept]


def without_offset(X: Matrix, column: int) -> tuple[Matrix, Array]:
    """X (n, p) without a column, (n, p - 1), and the exposure (n,) of which that column is the logarithm."""
    # An exposure beyond floating point is infinite, which training refuses.
    with np.errstate(over="ignore"):
        return without_columns(X, (column,)), np.exp(column_of(X, column))


def column_of(X: Matrix, column: int) -> Array:
    """One column (n,) of X, in float64."""
    found = np.asarray(X[:, [column]].toarray())[:, 0] if is_sparse(X) else X[:, column]
    return found.astype(np.float64)


def taken_inputs(X: Matrix, n_inputs: int, first: int = 0) -> Matrix:
    """The inputs that a network takes, of all that there are, from number `first` on, as a view."""
    return X if X.shape[1] == n_inputs else X[:, first : first + n_inputs]
