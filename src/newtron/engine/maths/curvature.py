"""Curvature matrices of a linearised network: the Gauss-Newton matrix J'HJ, J = dz/dparams, and what it leaves out of
the Hessian.

A row's derivative of output c with respect to the parameters of layer l is the outer product of what the layer is
fed, a = [a^[l-1], 1], and of δ_c = ∂z_c/∂z^[l]. With H = R R' the seeds R' in place of the identity make J'HJ a plain
Gram matrix. So its block of layers l and l' is

    Σ_rows (a ⊗ δ)(a' ⊗ δ')'    =    Σ_rows (a a') ⊗ (δ δ'),

on the left a product of J with itself (BLAS syrk), on the right a product of two tables: all products of two inputs
times all products of two units. For l < l' the inputs a' may as well be a factor of the second table. Both tables are
small and, for l = l', symmetric: half the work of the left side where a layer has many inputs, one gemm however many
outputs there are, but no gain where inputs are few and filling the tables takes longer than multiplying them. The
widths alone decide, so that the bits never depend on anything else.
In a perceptron output c depends only on the weights of unit c, so J'HJ is one weighted Gram matrix for each pair of
outputs.

For s = sum_c u_c z_c the chain rule gives, with z^[l] linear in (W^[l], b^[l]) and in a^[l-1],

    d²s = Σ_l  γ^[l] · (dz^[l])²  +  2 Σ_l  δ^[l+1] · (dW^[l+1]' da^[l]),      l over the hidden layers,

where δ^[l] = ∂s/∂z^[l] and γ^[l] = (δ^[l+1] W^[l+1]') f''(z^[l]).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Hashable, Iterator
from functools import lru_cache
from itertools import pairwise, zip_longest
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from newtron.engine.base.linalg import weighted_gram_with_ones
from newtron.engine.base.types import Array
from newtron.engine.maths.network import Linearization, Network, turned

# Numbers in a piece of the Jacobian or of the tables: 4 MB of float64, large enough for BLAS and small enough for the
# cache of a core.
_PIECE = 2**19
# Rows of a piece of the Gauss-Newton matrix, at least, and of a piece of the second-order part.
_LEAST_ROWS, _LEAST_ROWS_OF_SECOND_ORDER = 256, 64
# Measured: an elementwise product of two numbers takes about as long as this many operations inside BLAS.
_PRODUCT = 30
# With at most this many parameters the time goes into calls, of which the Jacobian needs fewer than the tables.
_FEW = 100
# Side of a square tile of a matrix that is transposed tile by tile: 32 KB of float64, the first-level cache of a core.
_TILE = 64
_ABOVE = ~np.tri(_TILE, dtype=bool)


class _Buffers(threading.local):
    """Each thread's own arrays, kept from call to call: the system would page in new memory for every piece, which
    takes about as long as filling it."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, Array] = {}

    def array(self, name: Hashable, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        """An uninitialised array, valid until the same name is asked for again."""
        size = math.prod(shape)
        kept = self._kept.get(name)
        if kept is None or kept.size < size or kept.dtype != dtype:
            kept = self._kept[name] = np.empty(size, dtype)
        return kept[:size].reshape(shape)


_buffers = _Buffers()


class _Layers(NamedTuple):
    """Some rows as seen by each layer; rows are the last axis, so that they are contiguous.

    fed: the inputs. left, right: δ (k, units, m), where J'HJ is the sum over k of
    (a ⊗ left)(a ⊗ right)'; they are the same object where H is positive semidefinite.
    """

    fed: _Fed
    left: list[Array]
    right: list[Array]


class LayerBlock(NamedTuple):
    """The block of J'HJ of layers low <= high. inputs, units: how many entries its two tables have. by_tables: are the
    tables quicker than a product with the Jacobian? attached: do the inputs of the later layer go with the units, so
    that the first table is the inputs of the earlier one?"""

    low: int
    high: int
    inputs: int
    units: int
    by_tables: bool
    attached: bool = False


def add_gauss_newton(at: Linearization, H: Array, out: Array) -> None:
    """Add the Gauss-Newton matrix J'HJ to out (P, P), float64 and C-contiguous, for H (n, k, k)."""
    assert out.flags.c_contiguous
    network = at.network
    if network.is_linear:
        _add_gram_matrices(at, H, out)
        return
    blocks = _plan(network, _FEW, _PRODUCT)
    kept = blocks[0].by_tables and _kept_products(at) is not None
    tables = [b.units + b.inputs * (not b.attached and (not kept or b.high > 0)) for b in blocks if b.by_tables]
    per_row = max(tables, default=network.n_outputs * network.n_params)
    n = H.shape[0]
    count = -(-n // max(_LEAST_ROWS, _PIECE // per_row))
    cuts = [n * i // count for i in range(count + 1)]
    pieces = (_layers(at, H, slice(*cut)) for cut in pairwise(cuts))
    if tables:
        _by_blocks(network, blocks, pieces, out)
    else:
        _by_jacobian(network, pieces, out)


def _add_gram_matrices(at: Linearization, H: Array, out: Array) -> None:
    """Add J'HJ of a perceptron."""
    network = at.network
    k, ones = network.n_outputs, network.intercept
    last = network.spans[-1]
    below = at.inputs[-1]
    q = below.shape[1] + ones
    corner = out[last, last].reshape(q, k, q, k)
    for c in range(k):
        for d in range(c, k):
            h = H[:, c, d]
            if c != d and not h.any():
                continue  # the loss has no mixed derivative of these outputs
            gram = weighted_gram_with_ones(below, h, ones)
            corner[:, c, :, d] += gram
            if c != d:
                corner[:, d, :, c] += gram


@lru_cache(maxsize=64)
def _plan(network: Network, few: int, product: int) -> list[LayerBlock]:
    """All blocks, and by counting operations which way is quicker for each. few, product: `_FEW` and `_PRODUCT`."""
    k = network.n_outputs
    sides = [(below + network.intercept, units) for below, units in pairwise(network.widths)]
    blocks: list[LayerBlock] = []
    own: list[bool] = []  # is the block of a layer with itself a product of tables?
    for low, (q, u) in enumerate(sides):
        inputs, units = q * (q + 1) // 2, u * (u + 1) // 2
        tables = 2 * inputs * units + product * (inputs + (2 * k - 1) * units)
        own.append(network.n_params > few and tables < k * q * u * (q * u + product))
        blocks.append(LayerBlock(low, low, inputs, units, own[-1]))
    for low, (q, u) in enumerate(sides):
        for high, (r, v) in enumerate(sides[low + 1 :], start=low + 1):
            # The inputs of the later layer go with those of the earlier one, or with the units.
            attached = r * u * v < q * r
            filled = (2 * k - 1) * u * v + (r * u * v if attached else q * r)
            # The Jacobian is filled anyway where the block of a layer with itself is a product with it.
            jacobian = k * (q * u * own[low] + r * v * own[high])
            tables, direct = 2 * q * r * u * v + product * filled, 2 * k * q * u * r * v + product * jacobian
            inputs, units = (q, r * u * v) if attached else (q * r, u * v)
            blocks.append(LayerBlock(low, high, inputs, units, network.n_params > few and tables < direct, attached))
    return blocks


def _layers(at: Linearization, H: Array, rows: slice) -> _Layers:
    """The layers' inputs, and δ by backpropagation of the seeds, for some rows."""
    fed = _Fed(at, rows)
    h = np.ascontiguousarray(H[rows].transpose(1, 2, 0))
    root = _root(h)
    if root is not None:
        left = _deltas(at, root.transpose(1, 0, 2), rows)
        return _Layers(fed, left, left)
    return _Layers(fed, _deltas(at, _identity(h.shape[0], h.shape[2], h.dtype), rows), _deltas(at, h, rows))


def seeded(at: Linearization, H: Array) -> tuple[list[Array], list[Array]] | None:
    """What each layer is fed, (q, n), and its δ (k, units, n) from the seeds R', so that J'HJ is the sum over rows and
    k of (a ⊗ δ)(a ⊗ δ)'; None where H (n, k, k) is indefinite in some row."""
    found = _layers(at, H, slice(0, H.shape[0]))
    return (found.fed.inputs, found.left) if found.left is found.right else None


def paired_deltas(at: Linearization, H: Array) -> tuple[list[Array], list[Array]]:
    """δ of each layer (k, units, n) from the identity and from H (n, k, k), so that J'HJ at the units of a layer is the
    sum over k of the products of the two. It needs no root of H."""
    n, k = at.output.shape
    every, h = slice(0, n), np.ascontiguousarray(H.transpose(1, 2, 0))
    return _deltas(at, _identity(k, n, h.dtype), every), _deltas(at, h, every)


def _turned_inputs(at: Linearization, rows: slice) -> list[Array]:
    """What each layer is fed, (q, m), the ones of the intercept last."""
    kept = ((None,) if at.first is None else (at.first.turned,)) + at.turned
    found = []
    for below, known in zip_longest(at.inputs, kept):
        found.append(turned(below[rows], at.network.intercept) if known is None else known[:, rows])
    return found


class _Fed:
    """What each layer is fed in some rows, `inputs` (q, m), and tables of their products."""

    def __init__(self, at: Linearization, rows: slice) -> None:
        self.inputs = _turned_inputs(at, rows)
        self._at, self._rows = at, rows
        self._known: dict[tuple[int, int], Array] = {}

    def products(self, low: int, high: int) -> Array:
        """All products of an input of layer low with one of layer high; of each two once, where the layer is one."""
        kept = _kept_products(self._at) if high == 0 else None
        if kept is not None:
            return kept[:, self._rows]
        if (low, high) not in self._known:
            one, other = self.inputs[low][None], self.inputs[high][None]
            self._known[low, high] = _products(one, other, low == high, ("inputs", low, high))
        return self._known[low, high]


def _kept_products(at: Linearization) -> Array | None:
    return None if at.first is None else at.first.products


def _identity(k: int, m: int, dtype: DTypeLike) -> Array:
    """(k, k, m): the identity for each of m rows."""
    seeds = np.zeros((k, k, m), dtype=dtype)
    seeds[range(k), range(k)] = 1.0
    return seeds


def _deltas(at: Linearization, seeds: Array, rows: slice, top: int | None = None) -> list[Array]:
    """δ^[l] (k, units, m) of every layer, from those of the output layer, or of layer `top`: seeds (k, units, m)."""
    found = [seeds]
    top = len(at.slopes) if top is None else top
    for layer, slope in zip(reversed(at.weights[1 : top + 1]), reversed(at.slopes[:top]), strict=True):
        above = found[-1]
        # NumPy does not use BLAS for an outer product, and its own loop for it is many times slower.
        delta = layer.W * above if above.shape[1] == 1 else layer.W @ above
        delta *= slope[rows].T
        found.append(delta)
    found.reverse()
    return found


def jacobian(at: Linearization) -> Array:
    """J = dz/dparams of every row: (P, k, m), rows last. For a block of rows: it is as large as rows x parameters."""
    n, k = at.output.shape
    every = slice(0, n)
    inputs, delta = _turned_inputs(at, every), _deltas(at, _identity(k, n, at.output.dtype), every)
    J = np.empty((at.network.n_params, k, n), dtype=at.output.dtype)
    for span, a, d in zip(at.network.spans, inputs, delta, strict=True):
        _outer(a, d, J[span])
    return J


def jacobian_along(at: Linearization, tangent: Array) -> tuple[Array, Array]:
    """How z and `jacobian` change as the inputs of each row move along `tangent` (n, inputs): dz (n, k), dJ (P, k, n).

    These are mixed derivatives, by the inputs and the parameters: the forward pass is differentiated along the tangent,
    and then backpropagation is.
    """
    n, k = at.output.shape
    every = slice(0, n)
    inputs, deltas = _turned_inputs(at, every), _deltas(at, _identity(k, n, at.output.dtype), every)
    moves, dz = [np.ascontiguousarray(tangent.T)], []  # of each layer's inputs, (units, n), and of its z
    for number, layer in enumerate(at.weights):
        dz.append(layer.W.T @ moves[-1])
        if number < len(at.slopes):
            moves.append(at.slopes[number].T * dz[-1])
    change = np.zeros_like(deltas[-1])
    dJ = np.zeros((at.network.n_params, k, n), dtype=at.output.dtype)
    piece = np.empty_like(dJ)
    for number in range(len(at.weights) - 1, -1, -1):
        if number < len(at.slopes):
            W, a = at.weights[number + 1].W, at.inputs[number + 1]
            change = (W @ change) * at.slopes[number].T
            change += (W @ deltas[number + 1]) * (at.network.f.bend(a).T * dz[number])
        span, move = at.network.spans[number], np.zeros_like(inputs[number])
        move[: len(moves[number])] = moves[number]
        dJ[span] = _outer(move, deltas[number], piece[span])
        dJ[span] += _outer(inputs[number], change, piece[span])
    return dz[-1].T, dJ


def _root(h: Array) -> Array | None:
    """R (k, k, m), lower triangular, with H = R R', for h (k, k, m); None where H is indefinite in some row.

    This is a Cholesky factorisation of all rows side by side. A softmax has a singular H: a pivot that is zero within
    rounding leaves a column of zeros, and the product shows whether that was right.
    """
    k = h.shape[0]
    if k == 1:
        return np.sqrt(h) if h.min(initial=0.0) >= 0.0 else None
    rounding = 8 * k * np.finfo(h.dtype).eps * np.maximum(np.einsum("ccm->m", h), 0.0)
    R = np.zeros_like(h)
    for c in range(k):
        column = h[c:, c] - np.einsum("dcm,cm->dm", R[c:, :c], R[c, :c])
        kept = column[0] > rounding
        inverse = kept / np.sqrt(np.where(kept, column[0], 1.0))
        R[c:, c] = column * inverse
    # Where probabilities are nearly 0 and 1, cancellation leaves the same absolute rounding as in other rows.
    error = np.abs(np.einsum("cem,dem->cdm", R, R) - h).max()
    return R if error <= 2.0 * rounding.max() else None


def _by_jacobian(network: Network, pieces: Iterator[_Layers], out: Array) -> None:
    """J'HJ as one product."""
    for piece in pieces:
        left = _jacobian(network, piece.fed.inputs, piece.left, "left")
        if piece.left is not piece.right:
            out += left @ _jacobian(network, piece.fed.inputs, piece.right, "right").T
        elif left.dtype != out.dtype:
            out += left @ left.T
        else:
            from scipy.linalg.blas import dsyrk

            # In BLAS's column order both are transposed, so dsyrk adds to the lower triangle of out in place.
            dsyrk(1.0, left.T, beta=1.0, c=out.T, trans=1, lower=0, overwrite_c=1)
    _mirror(out)


def _jacobian(network: Network, inputs: list[Array], deltas: list[Array], name: str) -> Array:
    """J as (P, k m), with one column for each output and row."""
    k, _, m = deltas[-1].shape
    J = _buffers.array(name, (network.n_params, k, m), deltas[-1].dtype)
    for span, a, delta in zip(network.spans, inputs, deltas, strict=True):
        _outer(a, delta, J[span])
    return J.reshape(network.n_params, k * m)


def _outer(a: Array, delta: Array, out: Array) -> Array:
    """a ⊗ δ of every row: (q, m) and (k, units, m) to (q units, k, m)."""
    shape = (a.shape[0], delta.shape[1], delta.shape[0], a.shape[1])
    np.multiply(a[:, None, None, :], delta.transpose(1, 0, 2), out=out.reshape(shape))
    return out


def _mirror(out: Array) -> None:
    """Copy the lower triangle to the upper one, in tiles that stay in the cache."""
    for i in range(0, out.shape[0], _TILE):
        corner = out[i : i + _TILE, i : i + _TILE]
        np.copyto(corner, corner.T.copy(), where=_ABOVE[: corner.shape[0], : corner.shape[0]])
        out[:i, i : i + _TILE] = out[i : i + _TILE, :i].T


def _by_blocks(network: Network, blocks: list[LayerBlock], pieces: Iterator[_Layers], out: Array) -> None:
    """J'HJ block by block; the tables are unfolded after all rows have been added."""
    sums = [np.zeros((b.inputs, b.units)) if b.by_tables else None for b in blocks]
    direct = {layer for b in blocks if not b.by_tables for layer in (b.low, b.high)}
    for fed, left, right in pieces:
        inputs = fed.inputs
        J = {layer: _flat_outer(inputs[layer], left[layer], ("left", layer)) for layer in direct}
        HJ = J
        if left is not right:
            HJ = {layer: _flat_outer(inputs[layer], right[layer], ("right", layer)) for layer in direct}
        for block, total in zip(blocks, sums, strict=True):
            low, high, same = block.low, block.high, block.low == block.high
            if total is not None:
                units = _products(left[low], right[high], same, "units")
                if block.attached:
                    units = _products(inputs[high][None], units[None], False, "attached")
                total += (inputs[low] if block.attached else fed.products(low, high)) @ units.T
                continue
            part = J[low] @ HJ[high].T
            out[network.spans[low], network.spans[high]] += part
            if not same:
                out[network.spans[high], network.spans[low]] += part.T
    for block, total in zip(blocks, sums, strict=True):
        if total is not None:
            _unfold(network, block, total, out)


def _flat_outer(a: Array, delta: Array, name: Hashable) -> Array:
    k, units, m = delta.shape
    return _outer(a, delta, _buffers.array(name, (a.shape[0] * units, k, m), delta.dtype)).reshape(-1, k * m)


def _products(A: Array, B: Array, symmetric: bool, name: Hashable) -> Array:
    """Sum over k of all products of an entry of A (k, a, m) with one of B (k, b, m): (a b, m); for a symmetric
    sum only the products with an entry that is not before it."""
    k, a, m = A.shape
    b = B.shape[1]
    table = _buffers.array(name, (a * (a + 1) // 2 if symmetric else a * b, m), A.dtype)
    start = 0
    for i in range(a):
        first = i if symmetric else 0
        part = table[start : start + b - first]
        if k == 1:
            np.multiply(B[0, first:], A[0, i], out=part)
        else:
            np.einsum("cm,cbm->bm", A[:, i], B[:, first:], out=part)
        start += b - first
    return table


def _unfold(network: Network, block: LayerBlock, total: Array, out: Array) -> None:
    """Add a block's sums over products, (inputs, units), to where their parameters are, and to the mirror image."""
    ones, widths = network.intercept, network.widths
    low, high = network.spans[block.low], network.spans[block.high]
    q, u, r, v = widths[block.low] + ones, widths[block.low + 1], widths[block.high] + ones, widths[block.high + 1]
    if block.low == block.high:
        out[low, low] += total.ravel().take(_of_pairs(q, u))
        return
    part = total.reshape(q, r, u, v).transpose(0, 2, 1, 3)
    out[low, high].reshape(q, u, r, v)[...] += part
    out[high, low].reshape(r, v, q, u)[...] += part.transpose(2, 3, 0, 1)


@lru_cache(maxsize=256)
def _of_pair(n: int) -> NDArray[np.intp]:
    """(n, n): the position of the product of two entries in a symmetric table. It is cached, and so read-only."""
    where = np.empty((n, n), dtype=np.intp)
    upper = np.triu_indices(n)
    where[upper] = where.T[upper] = np.arange(upper[0].size)
    where.flags.writeable = False
    return where


@lru_cache(maxsize=8)
def _of_pairs(q: int, u: int) -> NDArray[np.intp]:
    """(q u, q u): the position of each two parameters of a layer in the flattened sums over products of two of its q
    inputs and of two of its u units. It is cached, and so read-only."""
    inputs, units = _of_pair(q), _of_pair(u)
    where = inputs[:, None, :, None] * (u * (u + 1) // 2) + units[:, None, :]
    where = where.reshape(q * u, q * u)
    where.flags.writeable = False
    return where


# --- what Gauss-Newton leaves out ---


def _pieces(n: int, per_row: int) -> Iterator[slice]:
    size = max(_LEAST_ROWS_OF_SECOND_ORDER, _PIECE // max(1, per_row))
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def add_second_order(at: Linearization, u: Array, out: Array) -> None:
    """Add sum over rows and outputs of u times the second derivative of z to out (P, P).

    With B_j = ∂z_j^[l]/∂z^[low] of unit j of hidden layer l, dz_j has a ⊗ B_j in the place of layer low, so both
    terms are products of a table of inputs with a table of units.
    """
    network = at.network
    if network.is_linear:
        return
    all_deltas = at.deltas(u)
    for number in range(len(at.slopes)):
        delta = all_deltas[number + 1]
        bend = (delta @ at.weights[number + 1].W.T) * network.f.bend(at.inputs[number + 1])
        sums: dict[LayerBlock, Array] = {}
        for rows in _pieces(u.shape[0], _widest(network, number, _kept_products(at) is not None)):
            fed = _Fed(at, rows)
            seeds = _identity(bend.shape[1], rows.stop - rows.start, bend.dtype) if number else None
            below = [] if seeds is None else _deltas(at, seeds, rows, number)
            _add_bends(fed, below, np.ascontiguousarray(bend[rows].T), number, sums)
            moved = np.ascontiguousarray(at.slopes[number][rows].T)
            _add_crossings(fed.inputs, below, moved[:, None] * delta[rows].T, number, sums)
        for block, total in sums.items():
            _unfold_second_order(network, block, total, number, out)


def _widest(network: Network, number: int, kept: bool) -> int:
    """How many numbers a row takes in the largest tables of a hidden layer. kept: are those of the first inputs?"""
    units, above = network.widths[number + 1 : number + 3]
    lower = max(network.widths[1 : number + 1], default=1)
    inputs = max(network.widths[kept : number + 1], default=0) + 1
    return units * max(above, lower) * (lower if number else 1) + inputs**2


def _add_bends(fed: _Fed, below: list[Array], bend: Array, number: int, sums: dict[LayerBlock, Array]) -> None:
    """γ · (dz)² of a hidden layer: blocks of all layers up to it. B of the layer itself is the identity."""
    for low in range(number):
        curved = below[low] * bend[:, None, :]
        for high in range(low, number):
            same = low == high
            _add_tables(sums, low, high, fed.products(low, high), _products(curved, below[high], same, "units"))
        _add_tables(sums, low, number, fed.products(low, number), curved.swapaxes(0, 1))
    _add_tables(sums, number, number, fed.products(number, number), bend)


def _add_crossings(
    inputs: list[Array], below: list[Array], crossed: Array, number: int, sums: dict[LayerBlock, Array]
) -> None:
    """δ · (dW' da): weights of the next layer with all parameters that move their inputs a. crossed: f' times δ,
    (units, units above, m)."""
    _add_tables(sums, number, number + 1, inputs[number], crossed)
    for low in range(number):
        reached = below[low].swapaxes(0, 1)
        _add_tables(sums, low, number + 1, inputs[low], reached[:, :, None, :] * crossed)


def _add_tables(sums: dict[LayerBlock, Array], low: int, high: int, inputs: Array, units: Array) -> None:
    part = inputs @ units.reshape(-1, units.shape[-1]).T
    block = LayerBlock(low, high, part.shape[0], part.shape[1], by_tables=True)
    sums[block] = sums[block] + part if block in sums else part.astype(np.float64, copy=False)


def _unfold_second_order(network: Network, block: LayerBlock, total: Array, number: int, out: Array) -> None:
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
        own[:, every, :, every] += total[_of_pair(q)].transpose(2, 0, 1)
    else:
        _unfold(network, block, total, out)
