"""A predictive distribution: for every row a mixture of Student t distributions, in the units of the target.

The t with infinitely many degrees of freedom is the Gaussian; one component is a plain t or Gaussian. scipy.special
is imported inside functions, so that `import newtron` stays quick.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from newtron.engine.base.types import Array

# A t of more degrees of freedom than this is a Gaussian to 8 digits, and the gamma functions of its density cancel.
GAUSSIAN = 1e8
# Steps of Newton's method to a quantile. A step that fails is a bisection instead, so that so many always suffice.
_STEPS = 200
# Beyond this log(1 + u²) is 2 log u to 16 digits.
_LARGE = 1e8


class Distribution(ABC):
    """A distribution at each of n rows."""

    @property
    @abstractmethod
    def variance(self) -> Array:
        """(n,) the variance."""

    @abstractmethod
    def log_density(self, y: Array) -> Array:
        """(n,) the logarithm of the density, or of the probability, at y (n,)."""

    @abstractmethod
    def quantile(self, q: float) -> Array:
        """(n,) the smallest value where the cdf is q or more, 0 < q < 1."""


@dataclass(frozen=True)
class Mixture(Distribution):
    """C components at each of n rows.

    share: (C,) adding to 1. location: (n,) the centre of all components of a row. scale: (n, C) positive. dof: (C,)
    degrees of freedom, above 0 or inf.
    """

    share: Array
    location: Array
    scale: Array
    dof: Array

    @property
    def mean(self) -> Array:
        """(n,) the mean, which is the centre."""
        return self.location

    @property
    def variance(self) -> Array:
        """(n,) the variance: for a t of scale s it is s² ν / (ν - 2), and inf up to ν = 2."""
        nu = np.clip(self.dof, None, GAUSSIAN)
        widened = np.where(nu > 2.0, nu / np.where(nu > 2.0, nu - 2.0, 1.0), np.inf)
        widened[nu >= GAUSSIAN] = 1.0
        found: Array = np.square(self.scale) @ (self.share * widened)
        return found

    def log_density(self, y: Array) -> Array:
        """(n,) the logarithm of the density at y (n,), without underflow."""
        parts = np.log(self.share) + self._log_densities(y)
        most = parts.max(axis=1, keepdims=True)
        # Where every density underflows to 0, or is nan, that is the answer.
        shift = np.where(np.isfinite(most), most, 0.0)
        with np.errstate(divide="ignore"):
            found: Array = shift[:, 0] + np.log(np.exp(parts - shift).sum(axis=1))
        return found

    def _log_densities(self, y: Array) -> Array:
        """(n, C) the log density of each component."""
        from scipy.special import gammaln

        u = (y - self.location)[:, None] / self.scale
        with np.errstate(over="ignore"):
            found = -0.5 * np.square(u) - 0.5 * np.log(2.0 * np.pi) - np.log(self.scale)
        for c in np.flatnonzero(self.dof < GAUSSIAN):
            nu = self.dof[c]
            constant = gammaln(0.5 * (nu + 1.0)) - gammaln(0.5 * nu) - 0.5 * np.log(np.pi * nu)
            found[:, c] = constant - 0.5 * (nu + 1.0) * _log_of_one_plus_square(u[:, c] / np.sqrt(nu))
            found[:, c] -= np.log(self.scale[:, c])
        return np.asarray(found)

    def cdf(self, y: Array) -> Array:
        """(n,) the probability of a value of at most y (n,)."""
        from scipy.special import ndtr, stdtr

        u = (y - self.location)[:, None] / self.scale
        found = ndtr(u)
        heavy = self.dof < GAUSSIAN
        found[:, heavy] = stdtr(self.dof[heavy], u[:, heavy])
        return np.asarray(found @ self.share)

    def quantile(self, q: float) -> Array:
        """(n,) the value where the cdf is q, 0 < q < 1, by Newton's method inside a bracket.

        All components have the same centre, so their quantiles lie on the same side of it, and that of the mixture lies
        between the nearest and the farthest of them. The equation is solved for the distance of the lower tail, where
        small probabilities keep their digits.
        """
        if q == 0.5:
            return self.location.copy()
        tail = min(q, 1.0 - q)
        centred = Mixture(self.share, np.zeros_like(self.location), self.scale, self.dof)
        distance = centred._lower_quantile(tail)
        return self.location + (distance if q < 0.5 else -distance)

    def _lower_quantile(self, tail: float) -> Array:
        """The negative value where the cdf around 0 is `tail`, which is below one half."""
        from scipy.special import ndtri, stdtrit

        known = np.isfinite(self.scale).all(axis=1)
        if not known.all():  # nothing is known where a component has no finite scale
            found = np.full(len(self.location), -np.inf)
            finite = Mixture(self.share, self.location[known], self.scale[known], self.dof)
            found[known] = finite._lower_quantile(tail)
            return found
        each = self.scale * np.where(self.dof < GAUSSIAN, stdtrit(np.minimum(self.dof, GAUSSIAN), tail), ndtri(tail))
        low, high = each.min(axis=1), each.max(axis=1)
        y = each @ self.share
        for _ in range(_STEPS):
            excess = self.cdf(y) - tail
            low, high = np.where(excess < 0.0, y, low), np.where(excess > 0.0, y, high)
            with np.errstate(all="ignore"):
                newton = y - excess / np.exp(self.log_density(y))
            inside = (newton > low) & (newton < high)
            moved = np.where(excess == 0.0, y, np.where(inside, newton, 0.5 * (low + high)))
            done = np.abs(moved - y) <= 4.0 * np.finfo(np.float64).eps * np.abs(y)
            y = moved
            if done.all():
                break
        return np.asarray(y)


def _log_of_one_plus_square(u: Array) -> Array:
    """log(1 + u²), also where u² is beyond the range of floating point."""
    size = np.abs(u)
    large = size > _LARGE
    return np.where(large, 2.0 * np.log(np.where(large, size, 1.0)), np.log1p(np.square(np.where(large, 0.0, u))))
