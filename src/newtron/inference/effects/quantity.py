"""Quantities that follow from a model's predictions, with their derivatives by its parameters: the delta method.

A quantity q(θ) of estimates θ with covariance C has, to first order, the variance g'Cg with g = dq/dθ (the delta
method; Casella & Berger 2002, section 5.5.4; Greene 2018, section 4.6). `Quantity` carries g along: differences and
logarithms of quantities follow the chain rule. For an average of networks every network has its own θ and its own q.
The posterior is a mixture over them, with the variance Σ_m share_m (g_m'C_m g_m + (q_m - q̄)²).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.types import Array
from newtron.inference.coefficients.covariance import CoefficientCovariance
from newtron.inference.posterior import Posterior, posterior_span

# Quantities whose covariances are computed at a time, where only their variances are wanted.
_BLOCK = 256


class ParameterCovariance(Protocol):
    """The covariance of one member's parameters, as it is needed here."""

    def of(self, gradients: Array, outputs: NDArray[np.intp]) -> Array:
        """(E, E) the covariance of quantities with these gradients (E, P), each of one output, by its number."""


@dataclass(frozen=True, eq=False)
class OfCoefficients:
    """The covariance of a perceptron's coefficients. order: (M,) where the coefficients of its summary lie in the
    network's parameters; classes are compared with the first, which has none."""

    covariance: CoefficientCovariance
    order: NDArray[np.intp]

    def of(self, gradients: Array, outputs: NDArray[np.intp]) -> Array:
        del outputs  # it is a part of the covariance
        return self.covariance.of(gradients[:, self.order])


@dataclass(frozen=True, eq=False)
class OfPosterior:
    """The covariance noise · (U'U)^-1 of a network's parameters. noise: (k,) the variance of each target around the
    network, in units of training; 1 where the variance follows from the mean."""

    posterior: Posterior
    noise: Array

    def of(self, gradients: Array, outputs: NDArray[np.intp]) -> Array:
        from scipy.linalg.lapack import dtrtrs

        covered = gradients[:, posterior_span(self.posterior.network)] * np.sqrt(self.noise[outputs])[:, None]
        # LAPACK works in column order, where U' is what U is here.
        V = dtrtrs(self.posterior.factor.matrix.T, np.asfortranarray(covered.T), lower=1)[0]
        return np.asarray(V.T @ V)


@dataclass(frozen=True, eq=False)
class Quantity:
    """E quantities.

    value: (E,) by the whole model. outputs: (E,) the number of the target or class of each. own: (M, E) the value by
    each member alone. gradients: for each member (E, P_m), the derivatives of its own.
    """

    value: Array
    outputs: NDArray[np.intp]
    own: Array
    gradients: tuple[Array, ...]

    def __sub__(self, other: Quantity) -> Quantity:
        gradients = tuple(a - b for a, b in zip(self.gradients, other.gradients, strict=True))
        return Quantity(self.value - other.value, self.outputs, self.own - other.own, gradients)

    def times(self, factor: Array) -> Quantity:
        """The quantities times numbers (E,) that are known."""
        gradients = tuple(factor[:, None] * g for g in self.gradients)
        return Quantity(factor * self.value, self.outputs, factor * self.own, gradients)

    def log(self) -> Quantity:
        """The logarithms of positive quantities."""
        with np.errstate(all="ignore"):
            gradients = tuple(g / q[:, None] for g, q in zip(self.gradients, self.own, strict=True))
            return Quantity(np.log(self.value), self.outputs, np.log(self.own), gradients)

    def log_odds(self) -> Quantity:
        """The logarithms of the odds of probabilities."""
        with np.errstate(all="ignore"):
            slopes = 1.0 / (self.own * (1.0 - self.own))
            gradients = tuple(g * s[:, None] for g, s in zip(self.gradients, slopes, strict=True))
            return Quantity(_logit(self.value), self.outputs, _logit(self.own), gradients)

    def combined(self, L: Array, groups: int) -> Quantity:
        """Linear combinations L (F, E) of the quantities, in this many groups of all outputs."""
        outputs = np.tile(np.arange(len(L) // groups), groups)
        return Quantity(L @ self.value, outputs, self.own @ L.T, tuple(L @ g for g in self.gradients))

    def take(self, which: slice | NDArray[np.intp]) -> Quantity:
        """Some of the quantities, in this order."""
        gradients = tuple(g[which] for g in self.gradients)
        return Quantity(self.value[which], self.outputs[which], self.own[:, which], gradients)


def joined_quantities(parts: Sequence[Quantity]) -> Quantity:
    """The quantities of all parts, one part after the other."""
    members = range(len(parts[0].gradients))
    return Quantity(
        np.concatenate([part.value for part in parts]),
        np.concatenate([part.outputs for part in parts]),
        np.concatenate([part.own for part in parts], axis=1),
        tuple(np.concatenate([part.gradients[m] for part in parts]) for m in members),
    )


def _logit(p: Array) -> Array:
    return np.asarray(np.log(p) - np.log1p(-p))


@dataclass(frozen=True, eq=False)
class DeltaMethod:
    """Variances of quantities. covariances: of each member's parameters; share: (M,) of the members."""

    covariances: tuple[ParameterCovariance, ...]
    share: Array

    def covariance(self, q: Quantity) -> Array:
        """(E, E)."""
        apart = q.own - self.share @ q.own
        total = np.zeros((len(q.value),) * 2)
        for m, share in enumerate(self.share):
            total += share * (self.covariances[m].of(q.gradients[m], q.outputs) + np.outer(apart[m], apart[m]))
        return total

    def standard_errors(self, q: Quantity) -> Array:
        """(E,)."""
        parts = [np.diagonal(self.covariance(part)) for part in _blocks(q)]
        with np.errstate(invalid="ignore"):
            return np.asarray(np.sqrt(np.concatenate(parts)))


def _blocks(q: Quantity) -> Iterator[Quantity]:
    for start in range(0, max(1, len(q.value)), _BLOCK):
        yield q.take(slice(start, start + _BLOCK))
