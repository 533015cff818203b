"""Random intercepts: what the raw prediction of a row gains by the groups that it belongs to.

    z = f(x) + b_g(row) + ...,   b_g ~ N(0, τ²),

with one b for each value of a grouping column (the levels of a text, or the values of a number that repeat), drawn from
a distribution whose variance τ² the rows determine (Laird & Ware 1982). So an intercept is shrunk towards 0, the more
the fewer rows its group has. Several columns are crossed: their intercepts add up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.types import Array, Matrix
from newtron.engine.maths.scaling import column_of


@dataclass(frozen=True, eq=False)
class GroupIntercepts:
    """The intercepts of the groups that one column makes, in the units of the raw prediction.

    column: its position among the columns of X. keys: (L,) the numbers in it that are groups, ascending. intercepts:
    (L, k) the predicted b of each. variances: (L, k) of b given the rows. variance: (k,) τ², that of the distribution
    which they are drawn from. share: the part of the variance left by the rest of the model that τ² is, all outputs
    together.
    """

    column: int
    keys: Array
    intercepts: Array
    variances: Array
    variance: Array
    share: float

    def places(self, X: Matrix) -> NDArray[np.intp]:
        """(n,) the position of each row's group, L where it is none of these."""
        return places_among(self.keys.astype(X.dtype), column_of(X, self.column))

    def at(self, places: NDArray[np.intp]) -> Array:
        """(n, k) the intercepts of groups; 0 where there is none."""
        return np.vstack([self.intercepts, np.zeros_like(self.variance)])[places]

    def variances_at(self, places: NDArray[np.intp]) -> Array:
        """(n, k) the variances of these intercepts; τ² where there is none."""
        return np.vstack([self.variances, self.variance])[places]


@dataclass(frozen=True, eq=False)
class RandomIntercepts:
    """The intercepts of all grouping columns, crossed.

    residual: (k,) the variance of targets around the sum of all, in the units of the raw prediction; 1 where the
    variance follows from the mean. in_noise: (k,) the variance of the intercepts that the model's noise holds already,
    because it was learnt from rows that it was left in. learnt: how they were learnt, in words.
    """

    groups: tuple[GroupIntercepts, ...]
    residual: Array
    in_noise: Array
    learnt: str

    def at(self, X: Matrix) -> Array:
        """(n, k) what the raw predictions of the rows X gain."""
        return np.asarray(sum(group.at(group.places(X)) for group in self.groups))

    def variances_at(self, X: Matrix) -> Array:
        """(n, k) the variance that the intercepts of the rows X add to that of the noise."""
        found = sum(group.variances_at(group.places(X)) for group in self.groups)
        return np.maximum(np.asarray(found) - self.in_noise, 0.0)

    def placed(self, columns: tuple[int, ...]) -> RandomIntercepts:
        """The same where the grouping columns have these positions."""
        groups = (replace(group, column=j) for group, j in zip(self.groups, columns, strict=True))
        return replace(self, groups=tuple(groups))


def places_among(keys: Array, values: Array) -> NDArray[np.intp]:
    """(n,) the position of each value among the keys (L,), which ascend; L where it is none."""
    places = np.searchsorted(keys, values)
    near = np.minimum(places, len(keys) - 1)
    return np.where(keys[near] == values, near, len(keys))
