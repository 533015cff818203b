"""Curvature matrices of a linearised network: J'HJ and the part of the Hessian that Gauss-Newton leaves out.

J'HJ of a perceptron: output c depends only on the weights of unit c, so it is one weighted Gram matrix for each pair
of outputs. `gauss_newton` has that of a network with hidden layers.

For s = sum_c u_c z_c the chain rule gives, with z^[l] linear in (W^[l], b^[l]) and in a^[l-1],

    d²s = Σ_l  γ^[l] · (dz^[l])²  +  2 Σ_l  δ^[l+1] · (dW^[l+1]' da^[l]),      l over the hidden layers,

where δ^[l] = ∂s/∂z^[l] and γ^[l] = (δ^[l+1] W^[l+1]') f''(z^[l]).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from newtron.gauss_newton import add_gauss_newton
from newtron.linalg import cross_with_ones, weighted_gram_with_ones

if TYPE_CHECKING:
    from newtron.network import Linearization

Array = NDArray[np.floating]

# Numbers in a piece of Jacobian: about 4 MB, large enough for BLAS and small enough for the cache.
_PIECE = 2**19


def _pieces(n: int, per_row: int) -> Iterator[slice]:
    size = max(64, _PIECE // max(1, per_row))
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def sandwich(at: Linearization, H: Array, out: Array) -> None:
    """Add J'HJ to out (P, P), H (n, k, k)."""
    network = at.network
    if not network.is_linear:
        add_gauss_newton(at, H, out)
        return
    k, ones = network.n_outputs, network.intercept
    last = network.spans[-1]
    below = at.inputs[-1]
    q = below.shape[1] + ones
    corner = out[last, last].reshape(q, k, q, k)
    for c in range(k):
        for d in range(c, k):
            h = H[:, c, d]
            if c != d and not h.any():
                continue  # outputs that do not meet in the loss
            gram = weighted_gram_with_ones(below, h, ones)
            corner[:, c, :, d] += gram
            if c != d:
                corner[:, d, :, c] += gram


def add_second_order(at: Linearization, u: Array, out: Array) -> None:
    """Add sum over rows and outputs of u times the second derivative of z to out (P, P)."""
    network = at.network
    if network.is_linear:
        return
    deltas = at.deltas(u)
    bends = [
        (deltas[number + 1] @ at.weights[number + 1].W.T) * network.f.bend(at.inputs[number + 1])
        for number in range(len(at.slopes))
    ]
    _first_layer(at, deltas, bends[0], out)
    if len(at.slopes) > 1:
        deepest = network.widths[-2] * network.spans[-2].stop
        for rows in _pieces(u.shape[0], deepest):
            _deeper_layers(at, [d[rows] for d in deltas], [b[rows] for b in bends], rows, out)


def _first_layer(at: Linearization, deltas: list[Array], bend: Array, out: Array) -> None:
    """Terms of the first hidden layer: unit j's z depends on its own parameters alone, dz_j = [x, 1]."""
    network, X = at.network, at.inputs[0]
    ones, units = network.intercept, network.widths[1]
    q = X.shape[1] + ones
    first, second = network.spans[0], network.spans[1]
    own = out[first, first].reshape(q, units, q, units)
    above = network.widths[2]
    edge = out[first, second].reshape(q, units, units + ones, above)
    mirror = out[second, first].reshape(units + ones, above, q, units)
    for j in range(units):
        own[:, j, :, j] += weighted_gram_with_ones(X, bend[:, j], ones)
        block = cross_with_ones(X, at.slopes[0][:, j, None] * deltas[1], ones)  # (q, units above)
        edge[:, j, j, :] += block
        mirror[j, :, :, j] += block.T


def _deeper_layers(at: Linearization, deltas: list[Array], bends: list[Array], rows: slice, out: Array) -> None:
    """Terms of the second and later hidden layers, from dz^[l] / d(parameters up to l), carried forward."""
    network = at.network
    Jz = _first_jacobian(at.inputs[0][rows], network.widths[1], network.intercept)
    for number in range(1, len(at.slopes)):
        a = at.inputs[number][rows]
        da = Jz * at.slopes[number - 1][rows][:, :, None]
        if number > 1:
            _cross_terms(at, number, da, deltas[number], out)
        units, stop = network.widths[number + 1], network.spans[number].stop
        reach = da.shape[2]
        Jz = np.zeros((a.shape[0], units, stop), dtype=da.dtype)
        Jz[:, :, :reach] = at.weights[number].W.T @ da
        own = Jz[:, :, reach:].reshape(a.shape[0], units, a.shape[1] + network.intercept, units)
        for m in range(units):
            own[:, m, : a.shape[1], m] = a
            if network.intercept:
                own[:, m, -1, m] = 1.0
        flat = Jz.reshape(-1, stop)
        out[:stop, :stop] += flat.T @ (flat * bends[number].reshape(-1, 1))
    top = len(at.slopes)
    _cross_terms(at, top, Jz * at.slopes[top - 1][rows][:, :, None], deltas[top], out)


def _cross_terms(at: Linearization, number: int, da: Array, delta: Array, out: Array) -> None:
    """2 δ · (dW' da): weights of layer `number` with all parameters below it that move their inputs a."""
    network = at.network
    reach = da.shape[2]
    span = network.spans[number]
    units, above = network.widths[number], network.widths[number + 1]
    edge = out[:reach, span].reshape(reach, units + network.intercept, above)
    mirror = out[span, :reach].reshape(units + network.intercept, above, reach)
    for j in range(units):
        block = da[:, j].T @ delta
        edge[:, j] += block
        mirror[j] += block.T


def _first_jacobian(X: Any, units: int, ones: bool) -> Array:
    """dz^[1] / d(first layer): [x, 1] in the places of each unit's own parameters."""
    n, p = X.shape
    J = np.zeros((n, units, (p + ones) * units), dtype=X.dtype)
    own = J.reshape(n, units, p + ones, units)
    for j in range(units):
        own[:, j, :p, j] = X
        if ones:
            own[:, j, p, j] = 1.0
    return J
