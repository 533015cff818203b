"""The network: layers z^[l] = W^[l]' a^[l-1] + b^[l], a^[l] = f(z^[l]), and every derivative of its output.

A perceptron is a network with no hidden layer; there is no second code path. All parameters are one flat
vector: for each layer W^[l] (inputs x units, row by row), then b^[l].

`Linearization` is the network seen from one point: the values of the forward pass and what follows from them by
the chain rule. Sources: Rumelhart, Hinton & Williams 1986 (backpropagation), Pearlmutter 1994 (Hessian-vector
products), Schraudolph 2002 (Gauss-Newton products); the exact Hessian is derived in docs/mathematics.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from newtron.engine.base.linalg import is_sparse
from newtron.engine.base.threads import cached_property
from newtron.engine.base.types import Array, Matrix
from newtron.engine.maths.activations import Activation, activation_named

# Length of NumPy's buffer of ufuncs during a pass, in numbers; any length well below the rows of a block is as quick.
_BUFFER = 256


class Layer(NamedTuple):
    """Weights W (inputs, units) and intercepts b (units,) of one layer; b is None without intercepts."""

    W: Array
    b: Array | None


class LayerValues(NamedTuple):
    """One layer at one point: z, a = f(z), slope = f'(z), each (n, units)."""

    z: Array
    a: Array
    slope: Array


# Numbers in the products of inputs that are kept: 16 MB.
_KEPT = 2**21


class FirstInputs:
    """What the first layer is fed, where that is kept from step to step. turned: (q, n), the ones of the intercept
    last."""

    def __init__(self, X: Matrix, ones: bool) -> None:
        self.turned: Array = turned(X, ones)

    @cached_property
    def products(self) -> Array | None:
        """(q (q + 1) / 2, n): all products of two inputs, of each two once; None where they would take much memory."""
        q, n = self.turned.shape
        if q * (q + 1) // 2 * n > _KEPT:
            return None
        first, second = np.triu_indices(q)
        return np.asarray(self.turned[first] * self.turned[second])


def turned(X: Matrix, ones: bool) -> Array:
    """What a layer is fed, (n, q), as (q, n) with the ones of the intercept last."""
    a = X.toarray() if is_sparse(X) else X
    found = np.empty((a.shape[1] + ones, a.shape[0]), dtype=a.dtype)
    found[: a.shape[1]] = a.T
    found[a.shape[1] :] = 1.0
    return found


@dataclass(frozen=True)
class Network:
    """The shape of a network. widths: inputs, units of each hidden layer, outputs. The output layer is linear; the link
    is part of the loss."""

    widths: tuple[int, ...]
    activation: str = "tanh"
    intercept: bool = True

    def __post_init__(self) -> None:
        activation_named(self.activation)

    @property
    def f(self) -> Activation:
        return activation_named(self.activation)

    @property
    def n_outputs(self) -> int:
        return self.widths[-1]

    @property
    def is_linear(self) -> bool:
        """True for a perceptron: the raw prediction is linear in the parameters."""
        return len(self.widths) == 2

    @cached_property
    def spans(self) -> tuple[slice, ...]:
        """Where each layer's parameters lie in the flat vector."""
        ends = np.cumsum([0] + [(i + self.intercept) * o for i, o in self._shapes()])
        return tuple(slice(int(a), int(b)) for a, b in pairwise(ends))

    def _shapes(self) -> Iterator[tuple[int, int]]:
        return pairwise(self.widths)

    @cached_property
    def _placed(self) -> tuple[tuple[slice, int, int], ...]:
        """The span, the inputs and the units of each layer."""
        return tuple((span, *shape) for span, shape in zip(self.spans, self._shapes(), strict=True))

    @property
    def n_params(self) -> int:
        return int(self.spans[-1].stop)

    def split(self, params: Array) -> tuple[Layer, ...]:
        """The flat vector as (W, b) of each layer, as views and not copies."""
        layers = []
        for span, inputs, units in self._placed:
            block = params[span].reshape(inputs + self.intercept, units)
            layers.append(Layer(block[:inputs], block[inputs] if self.intercept else None))
        return tuple(layers)

    @cached_property
    def is_weight(self) -> NDArray[np.bool_]:
        """(P,) True for weights, False for intercepts: the penalty leaves intercepts alone."""
        mask = np.ones(self.n_params, dtype=bool)
        if self.intercept:
            for span, units in zip(self.spans, self.widths[1:], strict=True):
                mask[span.stop - units : span.stop] = False
        return mask

    def start(self, rng: np.random.Generator, output: Array) -> Array:
        """Random parameters: weights N(0, gain² / inputs), hidden intercepts U(-1, 1), output intercepts given.

        A perceptron starts at zero weights: its objective has one basin, and a learner can follow from there.
        """
        params = np.zeros(self.n_params)
        layers = self.split(params)
        for number, layer in enumerate(layers, start=1):
            last = number == len(layers)
            if not self.is_linear:
                gain = 1.0 if last else self.f.gain
                layer.W[:] = rng.normal(0.0, gain / np.sqrt(max(1, layer.W.shape[0])), layer.W.shape)
            if layer.b is not None:
                layer.b[:] = output if last else rng.uniform(-1.0, 1.0, layer.b.shape)
        return params

    def output(self, params: Array, X: Matrix) -> Array:
        """The raw prediction z (n, k), by a forward pass that keeps nothing else."""
        a, layers = X, self.split(params)
        for layer in layers[:-1]:
            a = _affine(a, layer)
            self.f.apply(a)
        return _affine(a, layers[-1])

    def linearize(self, params: Array, X: Matrix, first: FirstInputs | None = None) -> Linearization:
        """The network at `params` for the rows X, with the forward pass kept for the derivatives. first: of X, where
        that is kept."""
        layers = self.split(params)
        inputs: list[Matrix] = [X]
        fed: list[Array] = []
        for layer in layers[:-1]:
            # Each unit's values, and a last row of ones, as curvature matrices want the inputs of a layer.
            below = np.empty((layer.W.shape[1] + self.intercept, X.shape[0]), dtype=X.dtype)
            below[layer.W.shape[1] :] = 1.0
            a = _affine(inputs[-1], layer, below[: layer.W.shape[1]].T)
            self.f.apply(a)
            inputs.append(a)
            fed.append(below)
        return Linearization(self, layers, tuple(inputs), _affine(inputs[-1], layers[-1]), tuple(fed), first)


def _affine(a: Matrix, layer: Layer, out: Array | None = None) -> Array:
    """a W + b, stored unit by unit. out: (n, units) an array for it."""
    if is_sparse(a):
        z: Array = np.asarray(a @ layer.W)
        if out is not None:
            out[:] = z
            z = out
    else:
        z = np.matmul(a, layer.W, out=_by_unit(a.shape[0], layer.W.shape[1], a.dtype) if out is None else out)
    if layer.b is not None:
        z += layer.b
    return z


def _pull_back(delta: Array, W: Array) -> Array:
    """delta W', stored unit by unit."""
    out = _by_unit(delta.shape[0], W.shape[0], delta.dtype)
    if W.shape[1] == 1:
        # An outer product: NumPy does not use BLAS for such a matmul, and its own loop for it is many times slower.
        return np.multiply(delta, W.T, out=out)
    return np.matmul(delta, W.T, out=out)


@contextmanager
def short_buffer(wanted: bool = True) -> Iterator[None]:
    """Run a forward and backward pass with a short buffer of ufuncs, which is faster.

    Where a ufunc repeats an operand along rows shorter than NumPy's buffer (8192 numbers), NumPy first copies it into
    that buffer; with a buffer shorter than the rows of a block it adds intercepts in half the time or less. What
    broadcasts along few units, as Jacobians do, is slower with it: not for curvature.
    """
    if not wanted:
        yield
        return
    before = np.setbufsize(_BUFFER)
    try:
        yield
    finally:
        np.setbufsize(before)


def _by_unit(n: int, units: int, dtype: DTypeLike) -> Array:
    """An empty (n, units) array in which the rows of one unit are neighbours (its transpose is contiguous).

    Layers have few units and blocks many rows: what is done to one unit, or to one row of all units, is then one long
    loop instead of many short ones, and the sums over classes in a softmax are sums of long vectors.
    """
    return np.empty((units, n), dtype=dtype).T


@dataclass(frozen=True)
class Linearization:
    """A network at one point (params, X).

    inputs: what each layer is fed: X, a^[1], a^[2], ...
    output: the raw prediction z (n, k).
    turned: the inputs of each layer but the first as (q, n), the ones of the intercept last. first: those of the first,
    where they are kept.
    """

    network: Network
    weights: tuple[Layer, ...]
    inputs: tuple[Matrix, ...]
    output: Array
    turned: tuple[Array, ...] = ()
    first: FirstInputs | None = None

    @cached_property
    def slopes(self) -> tuple[Array, ...]:
        """f'(z^[l]) of each hidden layer."""
        return tuple(self.network.f.slope(a) for a in self.inputs[1:])

    @property
    def layers(self) -> tuple[LayerValues, ...]:
        """z, a and slope of every layer, for display; the activation of the output layer is the identity."""
        found = []
        for layer, below, a, slope in zip(
            self.weights[:-1], self.inputs[:-1], self.inputs[1:], self.slopes, strict=True
        ):
            found.append(LayerValues(_affine(below, layer), a, slope))
        found.append(LayerValues(self.output, self.output, np.ones_like(self.output)))
        return tuple(found)

    def deltas(self, u: Array) -> list[Array]:
        """Backpropagation: the derivative of sum(u * z) with respect to each layer's z^[l], each (n, units).

        delta^[L] = u and delta^[l] = (delta^[l+1] W^[l+1]') * f'(z^[l]).
        """
        found = [u]
        for layer, slope in zip(reversed(self.weights[1:]), reversed(self.slopes), strict=True):
            delta = _pull_back(found[-1], layer.W)
            delta *= slope
            found.append(delta)
        found.reverse()
        return found

    def vjp(self, u: Array) -> Array:
        """J'u, the derivative of sum(u * z) with respect to all parameters: (n, k) -> (P,)."""
        gradient = np.empty(self.network.n_params, dtype=u.dtype)
        layers = self.network.split(gradient)
        ones = np.ones(u.shape[0], dtype=u.dtype)
        # With one output and one hidden layer, delta^[1] = (u f') diag(w), where w are the output's weights: they
        # scale the sums over rows just as well as every row, and one pass over the layer is saved.
        late = u.shape[1] == 1 and len(layers) == 2
        deltas = [self.slopes[0] * u, u] if late else self.deltas(u)
        for layer, below, delta in zip(layers, self.inputs, deltas, strict=True):
            # This way neither X nor a delta is transposed in memory, which is quickest in BLAS.
            layer.W[:] = (delta.T @ below).T
            if layer.b is not None:
                np.dot(ones, delta, out=layer.b)
        if late:
            for part in layers[0]:
                if part is not None:
                    part *= self.weights[1].W[:, 0]
        return gradient

    def input_vjp(self, u: Array) -> Array:
        """The derivative of sum(u * z) with respect to the inputs: (n, k) -> (n, inputs)."""
        return _pull_back(self.deltas(u)[0], self.weights[0].W)

    def _tangents(self, v: Array) -> tuple[list[Array], tuple[Layer, ...]]:
        """dz^[l] of every layer when the parameters move along v, and v as layers."""
        moves = self.network.split(v)
        tangents: list[Array] = []
        for number, (layer, move, below) in enumerate(zip(self.weights, moves, self.inputs, strict=True)):
            dz = _affine(below, move)
            if number:
                dz += (tangents[-1] * self.slopes[number - 1]) @ layer.W
            tangents.append(dz)
        return tangents, moves

    def jvp(self, v: Array) -> Array:
        """J v, the change of z when the parameters move along v: (P,) -> (n, k)."""
        return self._tangents(v)[0][-1]

    def hvp(self, u: Array, v: Array) -> Array:
        """sum over rows and outputs of u times the second derivative of z, times v: (P,).

        Zero for a perceptron. Backpropagation differentiated along v (Pearlmutter 1994).
        """
        result = np.zeros(self.network.n_params, dtype=u.dtype)
        if self.network.is_linear:
            return result
        tangents, moves = self._tangents(v)
        deltas = self.deltas(u)
        rows = self.network.split(result)
        ddelta = np.zeros_like(u)
        for number in range(len(rows) - 1, -1, -1):
            if number < len(rows) - 1:
                above, move = self.weights[number + 1], moves[number + 1]
                a = self.inputs[number + 1]
                ddelta = (ddelta @ above.W.T + deltas[number + 1] @ move.W.T) * self.slopes[number]
                ddelta += (deltas[number + 1] @ above.W.T) * (self.network.f.bend(a) * tangents[number])
            gradient = self.inputs[number].T @ ddelta
            if number:
                gradient += (self.slopes[number - 1] * tangents[number - 1]).T @ deltas[number]
            rows[number].W[:] = gradient
            if rows[number].b is not None:
                rows[number].b[:] = ddelta.sum(axis=0)  # type: ignore[index]
        return result
