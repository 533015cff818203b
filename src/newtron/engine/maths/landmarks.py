"""Landmarks: rows of the training that a row is compared with, as inputs of a perceptron."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.threads import cached_property
from newtron.engine.base.types import Array

# Rows whose distances to all landmarks are computed at a time, in numbers: 8 MB.
_NUMBERS = 1_000_000


@dataclass(frozen=True, eq=False)
class LandmarkFeatures:
    """Inputs that say how near a row is to each of m landmarks c_1, ..., c_m.

    The similarity of a row x to a landmark is exp(-Σ_j rate_j |x_j - c_j|), from 1 at the landmark down to 0 far away:
    a radial basis function (Broomhead & Lowe 1988, "Multivariable functional interpolation and adaptive networks") with
    the kernel of Laplace. The r inputs are these similarities times the matrix `factor`, less `mean`. Its columns are
    the eigenvectors of the similarities among the landmarks that have the largest eigenvalues, over the roots of these:
    then a penalty on the squared weights is one on the norm of the function that they make (Williams & Seeger 2001,
    "Using the Nyström method to speed up kernel machines").

    points: (m, p) the landmarks, in the units of the user. rate: (p,) 0 or more. factor: (m, r). mean: (r,).
    """

    points: Array
    rate: Array
    factor: Array
    mean: Array

    @cached_property
    def columns(self) -> NDArray[np.intp]:
        """(r,) -1: each input is made of all columns."""
        return np.full(len(self.mean), -1, dtype=np.intp)

    def distances(self, X: Array, columns: Sequence[int] | None = None) -> Array:
        """(n, m) the distance Σ_j rate_j |x_j - c_j| of each row of X (n, p) to each landmark, along some of the
        columns; None: along all."""
        from scipy.spatial.distance import cdist

        of = slice(None) if columns is None else list(columns)
        rate = self.rate[of]
        return np.asarray(cdist(X[:, of].astype(np.float64) * rate, self.points[:, of] * rate, "cityblock"))

    def similarities(self, X: Array) -> Array:
        """(n, m) the similarity of each row of X (n, p) to each landmark."""
        return np.asarray(np.exp(-self.distances(X)))

    def at_distances(self, distances: Array) -> Array:
        """(n, r) the features of rows at these distances from the landmarks."""
        return np.asarray(np.exp(-distances) @ self.factor - self.mean)

    def apply(self, X: Array) -> Array:
        """The features (n, r) of X (n, p), in float64."""
        found = np.empty((len(X), len(self.mean)))
        step = max(1, _NUMBERS // len(self.points))
        for start in range(0, len(X), step):
            part = slice(start, start + step)
            found[part] = self.at_distances(self.distances(X[part]))
        return found

    def back(self, X: Array, by_features: Array) -> Array:
        """(n, p) the derivatives of something with respect to X (n, p), from those with respect to the features (n, r).

        Where a column of a row is equal to a landmark's, the derivative is the mean of those on both sides, which
        central differences lead to.
        """
        found = np.empty((len(X), len(self.rate)))
        step = max(1, _NUMBERS // len(self.points))
        for start in range(0, len(X), step):
            part = slice(start, start + step)
            by_distance = -self.similarities(X[part]) * (by_features[part] @ self.factor.T)
            for j, rate in enumerate(self.rate):
                found[part, j] = rate * np.einsum("nm,nm->n", by_distance, self._side(X[part], j))
        return found

    def along(self, X: Array, tangent: Array) -> Array:
        """(n, r) the derivatives of the features as X (n, p) moves along a tangent (n, p)."""
        moved = np.zeros((len(X), len(self.points)))
        for j in range(X.shape[1]):
            moved += self._side(X, j) * (self.rate[j] * tangent[:, j, None])
        return np.asarray((-self.similarities(X) * moved) @ self.factor)

    def _side(self, X: Array, column: int) -> Array:
        """(n, m) on which side of each landmark a row is: 1, 0 or -1."""
        return np.sign(X[:, column, None].astype(np.float64) - self.points[:, column])

    def names(self, columns: tuple[str, ...]) -> tuple[str, ...]:
        """(r,) names of the features."""
        return tuple(f"nearness component {number + 1}" for number in range(len(self.mean)))
