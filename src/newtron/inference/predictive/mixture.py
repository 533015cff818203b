"""A predictive distribution: for every row a mixture of Student t distributions, in the units of the target.

The t with infinitely many degrees of freedom is the Gaussian; one component is a plain t or Gaussian. scipy.special
is imported inside functions, so that `import newtron` stays quick.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

# Beyond so many degrees of freedom a t is a Gaussian to 8 digits, and the gamma functions of its density cancel.
GAUSSIAN = 1e8
# Newton's steps to a quantile; bisection halves its bracket where they fail, so that this many always arrive.
_STEPS = 200


@dataclass(frozen=True)
class Mixture:
    """share (C,) adding to 1; location (n,) of all components; scale (n, C) positive; dof (C,) above 0, or inf."""

    share: Array
    location: Array
    scale: Array
    dof: Array

    @property
    def mean(self) -> Array:
        """(n,)"""
        return self.location

    @property
    def variance(self) -> Array:
        """(n,): a t of scale s and ν degrees of freedom has s² ν / (ν - 2), and none below ν = 2: inf."""
        nu = np.clip(self.dof, None, GAUSSIAN)
        widened = np.where(nu > 2.0, nu / np.where(nu > 2.0, nu - 2.0, 1.0), np.inf)
        widened[nu >= GAUSSIAN] = 1.0
        found: Array = np.square(self.scale) @ (self.share * widened)
        return found

    def log_density(self, y: Array) -> Array:
        """(n,) at y (n,): the logarithm of the weighted sum of the densities, without underflow."""
        parts = np.log(self.share) + self._log_densities(y)
        most = parts.max(axis=1, keepdims=True)
        # So far out that every density is zero, or nan: whatever it is, it is the answer.
        shift = np.where(np.isfinite(most), most, 0.0)
        with np.errstate(divide="ignore"):
            found: Array = shift[:, 0] + np.log(np.exp(parts - shift).sum(axis=1))
        return found

    def _log_densities(self, y: Array) -> Array:
        """(n, C)"""
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
        """(n,) probability of a value of at most y (n,)."""
        from scipy.special import ndtr, stdtr

        u = (y - self.location)[:, None] / self.scale
        found = ndtr(u)
        heavy = self.dof < GAUSSIAN
        found[:, heavy] = stdtr(self.dof[heavy], u[:, heavy])
        return np.asarray(found @ self.share)

    def quantile(self, q: float) -> Array:
        """(n,) where the cdf is q, 0 < q < 1; by Newton's method kept inside a bracket.

        All components have one centre, so each has its quantile on the same side of it, and that of the mixture lies
        between the nearest and the farthest. Solved for the distance of the lower tail, whose small probabilities
        keep their digits.
        """
        if q == 0.5:
            return self.location.copy()
        tail = min(q, 1.0 - q)
        centred = Mixture(self.share, np.zeros_like(self.location), self.scale, self.dof)
        distance = centred._lower_quantile(tail)
        return self.location + (distance if q < 0.5 else -distance)

    def _lower_quantile(self, tail: float) -> Array:
        """Where the cdf around 0 is `tail`, below one half: negative."""
        from scipy.special import ndtri, stdtrit

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
    large = size > 1e8
    return np.where(large, 2.0 * np.log(np.where(large, size, 1.0)), np.log1p(np.square(np.where(large, 0.0, u))))
