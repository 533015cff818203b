"""Rows seen before: what the raw prediction of a row gains where it equals a training row in every column of X.

    z = f(x) + b_row,   b_row ~ N(0, τ²),

with one random intercept for each different row of training (`random_intercepts` says what these are). Networks that
were trained without any copy of a row leave r = b_row + e over, and copies have b_row in common and not e. So the share
c = τ² / (τ² + s²), with s² the variance of e, is the correlation of what is left over of two copies.

A row that was never seen has no intercept, and the variance τ² + s². One that equals n training rows has the variance
s² + 1 / (n / s² + 1 / τ²), which is smaller by the factor 1 - c nc / (1 + (n - 1) c).

Rows are equal where all numbers are, to the seven digits of single precision. They are compared by hashes, so that no
model file holds the rows that it was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.row_hashes import row_hashes
from newtron.engine.base.types import Array, Matrix
from newtron.inference.mixed.random_intercepts import places_among

# Bits of a hash that a float64 has no place for.
_BEYOND = np.uint64(11)


@dataclass(frozen=True, eq=False)
class SeenRows:
    """The intercepts of the different rows of training, in the units of the raw prediction.

    keys: (L,) of these rows, as `row_keys` makes them, ascending. intercepts: (L, k) what their raw predictions gain.
    narrowed: (L, k) the factor on the variance of a target, beside that of a row that was never seen. sets, copies:
    how many of the rows are equal to others, and how many rows of training these are together. share: τ² / (τ² + s²),
    the mean over the outputs.
    """

    keys: Array
    intercepts: Array
    narrowed: Array
    sets: int
    copies: int
    share: float

    def places(self, X: Matrix) -> NDArray[np.intp]:
        """(n,) the position of the row that each row of X equals, L where it equals none."""
        return places_among(self.keys, row_keys(X))

    def at(self, X: Matrix) -> Array:
        """(n, k) what the raw predictions of the rows X gain."""
        return np.vstack([self.intercepts, np.zeros(self.intercepts.shape[1])])[self.places(X)]

    def narrowed_at(self, X: Matrix) -> Array:
        """(n, k) the factors on the variances of targets of the rows X."""
        return np.vstack([self.narrowed, np.ones(self.narrowed.shape[1])])[self.places(X)]


def row_keys(X: Matrix) -> Array:
    """(n,) a whole number for each row of X (n, p) that float64 has exactly: the first 53 bits of its hash. Two
    different rows have the same with a probability of 2^-53. Numbers are rounded to single precision, so that rows of
    either precision are the same."""
    with np.errstate(over="ignore"):
        return (row_hashes(X.astype(np.float32)) >> _BEYOND).astype(np.float64)
