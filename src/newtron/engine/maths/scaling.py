"""The units that training uses: standardised inputs and targets, asinh features, and the way back to the user's units.

`newtron.training.scaling` learns these values from rows; everything that reads a fitted model applies them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.linalg import is_sparse
from newtron.engine.base.threads import cached_property
from newtron.engine.base.types import Array, Matrix


@dataclass(frozen=True, eq=False)
class AsinhFeatures:
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


@dataclass(frozen=True, eq=False)
class Scaling:
    """x -> (x - x_center) / x_scale, y -> (y - y_center) / y_scale; arrays of float64, (p,) and (k,).

    asinh: additional inputs after the p scaled ones, or None. offset: the position of one more column among those of
    X, the logarithm of each row's exposure, which is no input: means are for an exposure of 1. None: there is none.
    """

    x_center: Array
    x_scale: Array
    y_center: Array
    y_scale: Array
    asinh: AsinhFeatures | None = None
    offset: int | None = None

    @classmethod
    def none(cls, n_features: int, n_outputs: int) -> Scaling:
        """The scaling that changes nothing."""
        return cls(np.zeros(n_features), np.ones(n_features), np.zeros(n_outputs), np.ones(n_outputs))

    @property
    def n_inputs(self) -> int:
        """How many numbers a network receives for each row."""
        return len(self.x_center) + (0 if self.asinh is None else len(self.asinh.columns))

    @cached_property
    def changes_inputs(self) -> bool:
        """Whether any of the p columns is shifted or divided; asinh features do not count."""
        return bool(np.any(self.x_center) or np.any(self.x_scale != 1.0))

    @cached_property
    def changes_targets(self) -> bool:
        return bool(np.any(self.y_center) or np.any(self.y_scale != 1.0))

    def of_inputs(self, columns: tuple[str, ...]) -> tuple[str, ...]:
        """Take from something for each column of X what belongs to the p inputs."""
        if self.offset is None:
            return columns
        return (*columns[: self.offset], *columns[self.offset + 1 :])

    def inputs(self, X: Matrix) -> Matrix:
        """X in scaled units, in its own dtype; (n, p + q) with asinh features."""
        if self.offset is not None:
            return replace(self, offset=None).inputs(without_offset(X, self.offset)[0])
        if self.asinh is not None:
            plain = replace(self, asinh=None).inputs(X)
            return np.hstack([plain, self.asinh.apply(X).astype(X.dtype)])
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
        with respect to the inputs (n, p + q), by the chain rule. There must be no offset."""
        p = len(self.x_center)
        found = by_inputs[:, :p] / self.x_scale
        if self.asinh is not None:  # each column has one at most
            found[:, self.asinh.columns] += by_inputs[:, p:] * self.asinh.slopes(X)
        return np.asarray(found)

    def inputs_along(self, X: Array, tangent: Array) -> Array:
        """The derivative of `inputs` as X (n, p) moves along a tangent (n, p), which has 0 for an offset."""
        if self.offset is not None:
            X, tangent = (without_offset(each, self.offset)[0] for each in (X, tangent))
        scaled = tangent / self.x_scale
        if self.asinh is None:
            return np.asarray(scaled)
        return np.hstack([scaled, tangent[:, self.asinh.columns] * self.asinh.slopes(X)])

    def targets(self, Y: Array) -> Array:
        """Y in scaled units; Y itself where the units stay the user's."""
        if not self.changes_targets:
            return Y
        return np.asarray(((Y - self.y_center) / self.y_scale).astype(Y.dtype, copy=False))

    def outputs(self, Z: Array) -> Array:
        """Predictions in the user's units."""
        return np.asarray((Z * self.y_scale.astype(Z.dtype) + self.y_center.astype(Z.dtype)).astype(Z.dtype))


def without_offset(X: Matrix, column: int) -> tuple[Matrix, Array]:
    """X (n, p) without a column, (n, p - 1), and the exposure (n,) of which that column is the logarithm."""
    kept = [j for j in range(X.shape[1]) if j != column]
    # An exposure beyond floating point is infinite, which training refuses.
    with np.errstate(over="ignore"):
        if is_sparse(X):
            offset = np.asarray(X[:, [column]].toarray())[:, 0]
            return X[:, kept].tocsr(), np.exp(offset.astype(np.float64))
        return X[:, kept], np.exp(X[:, column].astype(np.float64))
