"""The predictive distribution of a count: Poisson's, averaged over the posterior of its mean.

Given its mean a count has Poisson's distribution, and the logarithm of the mean has a Gaussian posterior. The integral
over this is a sum of Gauss and Hermite's: a mixture of Poisson distributions at every row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.types import Array
from newtron.inference.predictive.mixture import Distribution

# Means of each member's mixture: integrals of polynomials up to degree 47 in the logarithm of the mean are exact.
_NODES = 24
# Doublings of the bracket of a quantile, from the mean on, at most.
_DOUBLINGS = 1000


@dataclass(frozen=True)
class CountMixture(Distribution):
    """C Poisson distributions at each of n rows. share: (C,) adding to 1. means: (n, C)."""

    share: Array
    means: Array

    @property
    def mean(self) -> Array:
        """(n,) the mean."""
        return np.asarray(self.means @ self.share)

    @property
    def variance(self) -> Array:
        """(n,) the variance: the mean, which is Poisson's own, and the variance of the means."""
        return self.mean + self.variance_of_means

    @property
    def variance_of_means(self) -> Array:
        """(n,) the part of the variance that comes from parameters that the data leave open."""
        return np.asarray(np.square(self.means - self.mean[:, None]) @ self.share)

    def log_density(self, y: Array) -> Array:
        """(n,) the logarithm of the probability of y (n,); of a number between two counts by the gamma function."""
        from scipy.special import gammaln, logsumexp, xlogy

        y = y.astype(np.float64)[:, None]
        with np.errstate(all="ignore"):
            each = xlogy(y, self.means) - self.means - gammaln(y + 1.0)
        found = logsumexp(each, axis=1, b=self.share)
        return np.asarray(np.where(y[:, 0] >= 0.0, found, -np.inf))

    def cdf(self, y: Array) -> Array:
        """(n,) the probability of at most y (n,), whole numbers."""
        from scipy.special import pdtr

        return np.asarray(pdtr(y[:, None], self.means) @ self.share)

    def quantile(self, q: float) -> Array:
        """(n,) the smallest count whose cdf is at least q, 0 < q < 1; nan where the means are not finite."""
        usable: NDArray[np.bool_] = np.asarray(np.isfinite(self.means).all(axis=1))
        rows = CountMixture(self.share, np.where(usable[:, None], self.means, 1.0))
        low, high = np.full(len(usable), -1.0), np.ceil(rows.mean) + 1.0
        for _ in range(_DOUBLINGS):
            short = rows.cdf(high) < q
            if not short.any():
                break
            low, high = np.where(short, high, low), np.where(short, 2.0 * high, high)
        while (high - low > np.maximum(1.0, np.spacing(high))).any():
            middle = np.floor(0.5 * (low + high))
            enough = rows.cdf(middle) >= q
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return np.where(usable, high, np.nan)


def count_mixture(raw: Sequence[tuple[Array, Array]], share: Array) -> CountMixture:
    """The distributions at n rows for an exposure of 1. raw: of each member the logarithms of the means (n, 1) and
    their variances (n, 1, 1). share: (M,) of the members."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    weights = weights / weights.sum()
    means = np.stack([np.exp(z + np.sqrt(V[:, 0]) * nodes) for z, V in raw], axis=1)
    return CountMixture(np.outer(share, weights).ravel(), means.reshape(len(means), -1))
