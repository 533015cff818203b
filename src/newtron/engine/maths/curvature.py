"""Curvature matrices of a linearised network: J'HJ and the part of the Hessian that Gauss-Newton leaves out.

J'HJ of a perceptron: output c depends only on the weights of unit c, so it is one weighted Gram matrix for each pair
of outputs. `gauss_newton` has that of a network with hidden layers.

For s = sum_c u_c z_c the chain rule gives, with z^[l] linear in (W^[l], b^[l]) and in a^[l-1],

    d²s = Σ_l  γ^[l] · (dz^[l])²  +  2 Σ_l  δ^[l+1] · (dW^[l+1]' da^[l]),      l over the hidden layers,

where δ^[l] = ∂s/∂z^[l] and γ^[l] = (δ^[l+1] W^[l+1]') f''(z^[l]).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.linalg import weighted_gram_with_ones
from newtron.engine.maths.gauss_newton import (
    Block,
    add_gauss_newton,
    deltas,
    identity,
    of_pair,
    products,
    turned_inputs,
    unfold,
)

if TYPE_CHECKING:
    from newtron.engine.maths.network import Linearization, Network

Array = NDArray[np.floating]

# Numbers in a piece of the tables: about 4 MB, large enough for BLAS and small enough for the cache.
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
    """Add sum over rows and outputs of u times the second derivative of z to out (P, P).

    With B_j = ∂z_j^[l]/∂z^[low] of unit j of hidden layer l, dz_j has a ⊗ B_j in the place of layer low, so both
    terms are products of a table of inputs with a table of units, as in `gauss_newton`.
    """
    network = at.network
    if network.is_linear:
        return
    all_deltas = at.deltas(u)
    for number in range(len(at.slopes)):
        delta = all_deltas[number + 1]
        bend = (delta @ at.weights[number + 1].W.T) * network.f.bend(at.inputs[number + 1])
        sums: dict[Block, Array] = {}
        for rows in _pieces(u.shape[0], _widest(network, number)):
            inputs = turned_inputs(at, rows)
            seeds = identity(bend.shape[1], inputs[0].shape[1], bend.dtype) if number else None
            below = [] if seeds is None else deltas(at, seeds, rows, number)
            _add_bends(inputs, below, np.ascontiguousarray(bend[rows].T), number, sums)
            moved = np.ascontiguousarray(at.slopes[number][rows].T)
            _add_crossings(inputs, below, moved[:, None] * delta[rows].T, number, sums)
        for block, total in sums.items():
            _unfold(network, block, total, number, out)


def _widest(network: Network, number: int) -> int:
    """Numbers a row takes in the largest tables of a hidden layer."""
    units, above = network.widths[number + 1 : number + 3]
    lower = max(network.widths[1 : number + 1], default=1)
    inputs = max(network.widths[: number + 1]) + 1
    return units * max(above, lower) * (lower if number else 1) + inputs**2


def _add_bends(inputs: list[Array], below: list[Array], bend: Array, number: int, sums: dict[Block, Array]) -> None:
    """γ · (dz)² of a hidden layer: blocks of all layers up to it. B of the layer itself is the identity."""
    for low in range(number):
        bent = below[low] * bend[:, None, :]
        for high in range(low, number):
            same = low == high
            _add_tables(sums, low, high, (inputs[low], inputs[high]), products(bent, below[high], same, "units"))
        _add_tables(sums, low, number, (inputs[low], inputs[number]), bent.swapaxes(0, 1))
    _add_tables(sums, number, number, (inputs[number], inputs[number]), bend)


def _add_crossings(
    inputs: list[Array], below: list[Array], crossed: Array, number: int, sums: dict[Block, Array]
) -> None:
    """δ · (dW' da): weights of the next layer with all parameters that move their inputs a. crossed: f' times δ,
    (units, units above, m)."""
    _add_tables(sums, number, number + 1, (inputs[number],), crossed)
    for low in range(number):
        reached = below[low].swapaxes(0, 1)
        _add_tables(sums, low, number + 1, (inputs[low],), reached[:, :, None, :] * crossed)


def _add_tables(sums: dict[Block, Array], low: int, high: int, inputs: tuple[Array, ...], units: Array) -> None:
    a = inputs[0]
    if len(inputs) == 2:
        a = products(a[None], inputs[1][None], low == high, "inputs")
    flat = units.reshape(-1, units.shape[-1])
    part = a @ flat.T
    block = Block(low, high, part.shape[0], part.shape[1], by_tables=True)
    sums[block] = sums[block] + part if block in sums else part.astype(np.float64, copy=False)


def _unfold(network: Network, block: Block, total: Array, number: int, out: Array) -> None:
    """Add a block's sums to where their parameters are, and to the mirror image."""
    low, high = network.spans[block.low], network.spans[block.high]
    q, units = network.widths[block.low] + network.intercept, network.widths[number + 1]
    u = network.widths[block.low + 1]
    every = np.arange(units)
    if block.high == number + 1:
        above = network.widths[number + 2]
        edge = out[low, high].reshape(q, u, -1, above)
        mirror = out[high, low].reshape(-1, above, q, u)
        if block.low == number:
            part = total.reshape(q, units, above)
            edge[:, every, every] += part
            mirror[every, :, :, every] += part.transpose(1, 2, 0)
        else:
            whole = total.reshape(q, u, units, above)
            edge[:, :, :units] += whole
            mirror[:units] += whole.transpose(2, 3, 0, 1)
    elif block.low == number:
        own = out[low, low].reshape(q, u, q, u)
        own[:, every, :, every] += total[of_pair(q)].transpose(2, 0, 1)
    else:
        unfold(network, block, total, out)
