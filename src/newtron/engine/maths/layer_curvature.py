"""The curvature of a network layer by layer, each a Kronecker product of two small matrices (K-FAC).

The block of a layer in the Gauss-Newton matrix is the mean over rows of (a a') ⊗ (J'HJ): a is what the layer is fed,
with the 1 of the intercept, and J'HJ the curvature of the loss in what enters its units. The mean of the product is
replaced by the product of the means, A ⊗ G, and what ties layers together is left out. In the eigenvectors of A and G
the sum A ⊗ G + λI is diagonal, so that a gradient V (inputs + 1, units) is solved for by four small products.

Sources: Martens & Grosse 2015; Botev, Ritter & Barber 2017 (G from H itself).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from newtron.engine.base.linalg import eigh, squared, weighted_gram_with_ones
from newtron.engine.base.types import Array, Matrix
from newtron.engine.maths.curvature import paired_deltas
from newtron.engine.maths.network import Linearization, Network

# Of a layer with more inputs or units than this only the diagonal is kept: the eigenvectors of a matrix of this size
# take half a second, about as long as 100 gradients of such a network.
_WIDEST = 1000
# Added to the curvature of a layer, as a share of its mean: from 1e-4 to 1e-2 L-BFGS takes the same number of steps
# within a tenth (networks of 283 to 671 parameters on iris, glass, credit-approval, flags and steel-plates).
_DAMPING = 1e-3


class LayerSpectrum(NamedTuple):
    """A positive semidefinite matrix by its eigenvalues (m,) and eigenvectors (m, m); without these it is diagonal."""

    values: Array
    vectors: Array | None

    @classmethod
    def of(cls, matrix: Array) -> LayerSpectrum:
        if matrix.ndim == 1:
            return cls(matrix, None)
        values, vectors = eigh(matrix)
        return cls(np.maximum(values, 0.0), vectors)


@dataclass
class LayerMoments:
    """Sums over rows. inputs: of a a' for each layer, without the first where that is known; units: of J'HJ. Each
    (m, m), or the diagonal (m,) of a wide layer."""

    inputs: list[Array]
    units: list[Array]

    def __iadd__(self, other: Self) -> Self:
        for total, part in zip(self.inputs + self.units, other.inputs + other.units, strict=True):
            total += part
        return self


def layer_moments(at: Linearization, H: Array, weight: Array | None, first: bool) -> LayerMoments:
    """The sums over some rows. H: (n, k, k) the Hessians of the rows' losses with their weights; weight: (n,) of the
    rows, None for 1. first: whether those of the inputs are wanted."""
    weight = np.ones(len(H), dtype=H.dtype) if weight is None else weight
    fed = at.inputs if first else at.inputs[1:]
    inputs: list[Array] = [_second_moment(a, weight, at.network.intercept).astype(np.float64) for a in fed]
    units: list[Array] = [_of_units(*pair).astype(np.float64) for pair in zip(*paired_deltas(at, H), strict=True)]
    return LayerMoments(inputs, units)


def _second_moment(a: Matrix, weight: Array, ones: bool) -> Array:
    """[a, 1]' diag(weight) [a, 1], or its diagonal."""
    if a.shape[1] + ones <= _WIDEST:
        return weighted_gram_with_ones(a, weight, ones)
    squares = np.asarray(squared(a).T @ weight)
    return np.append(squares, weight.sum()) if ones else squares


def _of_units(left: Array, right: Array) -> Array:
    """The sum over rows and outputs of the products of left and right (k, units, n), or its diagonal."""
    if left.shape[1] > _WIDEST:
        return np.asarray(np.einsum("kun,kun->u", left, right))
    return np.asarray(np.matmul(left, right.transpose(0, 2, 1)).sum(axis=0))


class LayerFactor:
    """A ⊗ G + λI of each layer, by eigenvectors."""

    def __init__(
        self, network: Network, inputs: list[LayerSpectrum], units: list[LayerSpectrum], penalties: list[float]
    ) -> None:
        self._layers = []
        for span, A, G, penalty in zip(network.spans, inputs, units, penalties, strict=True):
            curvature = np.outer(A.values, G.values)
            curvature += penalty + _DAMPING * float(curvature.mean())
            curvature[curvature == 0.0] = 1.0  # a layer that the loss does not see
            self._layers.append((span, A.vectors, G.vectors, 1.0 / curvature))

    def solve(self, b: Array) -> Array:
        """The inverse times b (P,)."""
        solved = np.empty_like(b)
        for span, of_inputs, of_units, inverse in self._layers:
            V = b[span].reshape(inverse.shape)
            if of_inputs is not None:
                V = of_inputs.T @ V
            V = (V if of_units is None else V @ of_units) * inverse
            if of_inputs is not None:
                V = of_inputs @ V
            solved[span] = (V if of_units is None else V @ of_units.T).ravel()
        return solved
