"""K-FAC: the curvature of a layer as a Kronecker product of two small matrices, which is cheap to invert.

The Gauss-Newton matrix of one layer is the mean over rows of (a a') ⊗ (J'HJ): a is what the layer is fed (with the 1
of the intercept), J'HJ the curvature of the loss in what enters the layer's units. K-FAC takes the two means apart,
A ⊗ G, so that a gradient V (inputs + 1, units) becomes the step A^-1 V G^-1. It is exact for one row, and for a
perceptron whose loss has the same curvature at every row.

Sources: Martens & Grosse 2015 (the factors and how damping is shared between them), Botev, Ritter & Barber 2017 (G from
H itself, without sampled targets), Ba, Grosse & Martens 2017 (the bound on a step).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from newtron.engine.base.linalg import eigh, weighted_gram_with_ones
from newtron.engine.base.types import Array
from newtron.engine.maths.network import Network
from newtron.engine.objective import TrainingObjective
from newtron.engine.rows import Chunk
from newtron.engine.solvers.batch_pass import BatchPass

# Damping, in units of the curvature of a layer whose inputs and targets have size 1. Tuned on MNIST and on regressions
# of known noise.
_DAMPING = 0.1
# Change of the loss by one step at most, by the quadratic model, in the same units and from the same tuning.
_MOST_CHANGE = 0.02
# Share of the former factors that a new estimate keeps, at most (their running average).
_MEMORY = 0.95
# Only the diagonal of a factor wider than this is kept: the eigenvectors of such a matrix take seconds.
_WIDEST = 2000
# In directions whose curvature is less than this share of the damping only the damping is used.
_NEGLIGIBLE = 0.1
# Numbers of X in the rows from which the first layer's A is estimated, and the fewest rows.
_SAMPLE_NUMBERS, _SAMPLE_ROWS = 2**22, 256


class EigenDecomposition(NamedTuple):
    """A positive semidefinite matrix by its eigenvalues (descending) and eigenvectors; without these it is diagonal."""

    values: Array
    vectors: Array | None

    @classmethod
    def of(cls, matrix: Array) -> EigenDecomposition:
        if matrix.ndim == 1:
            return cls(matrix, None)
        values, vectors = eigh(matrix)
        return cls(np.maximum(values[::-1], 0.0), np.ascontiguousarray(vectors[:, ::-1]))

    def astype(self, dtype: np.dtype[np.floating]) -> EigenDecomposition:
        vectors = None if self.vectors is None else self.vectors.astype(dtype, copy=False)
        return EigenDecomposition(self.values.astype(dtype, copy=False), vectors)

    @property
    def mean(self) -> float:
        return float(self.values.mean())

    def damped_inverse(self, damping: float) -> DampedInverse:
        """(matrix + damping I)^-1. Where the damping exceeds most eigenvalues, only the other directions are
        corrected."""
        inverse = 1.0 / (self.values + self.values.dtype.type(damping))
        if self.vectors is None:
            return DampedInverse(inverse, None, 0.0)
        rank = int(np.count_nonzero(self.values > _NEGLIGIBLE * damping))
        if 2 * rank >= len(inverse):
            return DampedInverse((self.vectors * inverse) @ self.vectors.T, None, 0.0)
        vectors = np.ascontiguousarray(self.vectors[:, :rank])
        return DampedInverse(inverse[:rank] - inverse.dtype.type(1.0 / damping), vectors, 1.0 / damping)


class DampedInverse(NamedTuple):
    """A symmetric matrix: full (m, m), or diagonal (m,), or `rest` I + vectors diag(values) vectors'."""

    values: Array
    vectors: Array | None
    rest: float

    def times(self, V: Array) -> Array:
        if self.vectors is not None:
            product: Array = self.vectors @ (self.values[:, None] * (self.vectors.T @ V))
            product += V.dtype.type(self.rest) * V
            return product
        return np.asarray(self.values @ V if self.values.ndim == 2 else self.values[:, None] * V)


def input_decomposition(objective: TrainingObjective, rng: np.random.Generator) -> EigenDecomposition:
    """The first layer's A from a sample of the rows; it stays the same during the training."""
    network, rows = objective.network, objective.rows
    width = network.widths[0] + network.intercept
    if width > _WIDEST:
        columns = objective.scale[network.spans[0]].reshape(width, -1)[:, 0]
        return EigenDecomposition(np.square(columns).astype(rows.dtype), None)
    sample = rows.sample(max(_SAMPLE_ROWS, _SAMPLE_NUMBERS // width), rng)

    def moment(chunk: Chunk) -> Array:
        weight = np.ones(chunk.y.shape[0], dtype=rows.dtype) if chunk.weight is None else chunk.weight
        return weighted_gram_with_ones(chunk.X, weight, network.intercept)

    return EigenDecomposition.of((sample.sum(moment) / sample.total_weight).astype(rows.dtype))


def second_moment(a: Array, weight: Array | None) -> Array:
    """Mean of a a' over the columns of a (m, n): (m, m), or its diagonal (m,) where m is above `_WIDEST`."""
    total = a.shape[1] if weight is None else float(weight.sum())
    if a.shape[0] > _WIDEST:
        return np.asarray(np.square(a) @ (np.ones(a.shape[1], a.dtype) if weight is None else weight) / total)
    root = a if weight is None else a * np.sqrt(weight)
    return np.asarray(root @ root.T) / a.dtype.type(total)


def factor_shapes(network: Network) -> list[tuple[int, ...]]:
    """Shapes of the factors that `KFAC` keeps for a network."""
    widths = [width + network.intercept for width in network.widths[1:-1]] + list(network.widths[1:])
    return [(width,) if width > _WIDEST else (width, width) for width in widths]


class KFAC:
    """Steps of one epoch. factors: A of each layer but the first, then G of each layer. estimates: how many estimates
    are averaged in them. The two are all that is kept from epoch to epoch.

    unit: the size of a row's gradient before training (`Objective.gradient_scale`), so that the units of the targets
    do not matter.
    """

    def __init__(
        self, batch_pass: BatchPass, inputs: EigenDecomposition, factors: tuple[Array, ...], estimates: int, unit: float
    ) -> None:
        self.factors, self.estimates = factors, estimates
        self._pass, self._inputs, self._squared_unit = batch_pass, inputs, unit**2
        self._inverses: list[tuple[DampedInverse, DampedInverse]] = []
        self._step = np.empty(batch_pass.network.n_params, dtype=batch_pass.dtype)

    def estimate(self, params: Array, batch: Chunk) -> None:
        """Renew the factors and their inverses from the batch whose gradient was computed last."""
        weight = batch.weight if batch.weight is None or batch.weight.any() else None
        fresh = [second_moment(a, weight) for a in self._pass.inputs[1:]]
        for S in self._pass.curvature_columns(params, batch):
            fresh.append(second_moment(S, None) * S.dtype.type(S.shape[1]))
        former = self.factors or tuple(np.zeros_like(new) for new in fresh)
        if all(np.isfinite(new).all() for new in fresh):
            keep = fresh[0].dtype.type(min(1.0 - 1.0 / (1 + self.estimates), _MEMORY))
            former = tuple(keep * old + (1 - keep) * new for old, new in zip(former, fresh, strict=True))
            self.estimates += 1
        self.factors = former
        spectra = [self._inputs, *(EigenDecomposition.of(factor) for factor in self.factors)]
        layers = len(spectra) // 2
        self._inverses = [self._damped(*pair) for pair in zip(range(layers), spectra, spectra[layers:], strict=False)]

    def _damped(self, layer: int, A: EigenDecomposition, G: EigenDecomposition) -> tuple[DampedInverse, DampedInverse]:
        # The units of X enter the first layer's A; those of y enter every G but the last.
        damping = _DAMPING * (A.mean if layer == 0 else 1.0)
        if layer + 2 < len(self._pass.network.widths):
            damping *= self._squared_unit
        damping += self._pass.mean_penalty(layer)
        share = np.sqrt(max(A.mean, 1e-30) / max(G.mean, 1e-30))
        return A.damped_inverse(np.sqrt(damping) * share), G.damped_inverse(np.sqrt(damping) / share)

    def step(self, gradient: Array, rate: float) -> Array:
        """rate times the preconditioned gradient, shortened to change the loss by no more than its bound; in a buffer
        that the next call overwrites."""
        matrices = self._pass.matrices
        for (A, G), V, step in zip(self._inverses, matrices(gradient), matrices(self._step), strict=True):
            step[:] = A.times(G.times(V.T).T)
        change = rate**2 * float(gradient @ self._step)
        most = _MOST_CHANGE * self._squared_unit
        self._step *= self._step.dtype.type(rate * (np.sqrt(most / change) if change > most else 1.0))
        return self._step
