"""Bounds on the rounding errors of a value, a gradient and a Hessian, from the sizes of the columns alone.

This is a forward error analysis of first order (Higham 2002, *Accuracy and Stability of Numerical Algorithms*, ch. 3).
It follows the root mean squares over the rows through the network, in place of the rows: by Minkowski's and the
Cauchy-Schwarz inequality a sum over rows of products is at most the product of the root mean squares, so no pass over
the data is needed. The error of every sum is taken at its worst: the number of its terms times the unit roundoff.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from newtron.engine.base.types import Array
from newtron.engine.maths.network import Layer
from newtron.engine.objective import TrainingObjective, whitened
from newtron.engine.rows import Chunk

# The error of exp, log and tanh in units of the roundoff: twice the four units in the last place of NumPy's own tests.
FUNCTION_ERROR = 8.0
# The factor by which a bound of first order is raised, since the terms of second order are smaller than those of first.
SECOND_ORDER = 2.0
# The constant of the bound on the error of a QR decomposition, which theory leaves open as a small number.
_HOUSEHOLDER = 4.0
# The activations whose values stay between -1 and 1.
_BOUNDED = ("tanh", "sigmoid")


@dataclass(frozen=True)
class Rounding:
    """Bounds on the rounding errors of an objective.

    value: absolute. gradient: (P,), absolute. curvature: the spectral norm of the Hessian's error, in parameters scaled
    by `Objective.scale`; for a network with hidden layers a generous estimate and no bound.
    """

    value: float
    gradient: Array
    curvature: float


@dataclass(frozen=True)
class RootRounding:
    """Bounds on the rounding errors of R with R'R = the Hessian of a perceptron's convex objective.

    The error of R, in parameters scaled by `Objective.scale`, has a spectral norm of at most `relative` times the
    Frobenius norm of R, plus `absolute`. The errors of z make the exact Hessian at least `share` times the one that R
    would be the root of without rounding.
    """

    relative: float
    absolute: float
    share: float


@dataclass(frozen=True)
class _Sizes:
    """Root mean squares over the rows of the inputs of a layer, and of their rounding errors, (units,) each."""

    size: Array
    error: Array


def rounding_of(
    objective: TrainingObjective, params: Array, value: float, radius: float, longest: int, hessian: Array | None
) -> Rounding:
    """The bounds at a point. radius: the largest norm of a row, its columns scaled, with the 1 of the intercept.
    longest: the rows of the longest block that is summed at once."""
    u = 0.5 * objective.epsilon
    layers = objective.network.split(params)
    summing = _summing(objective, longest)
    inputs, z = _forward(objective, layers, u)
    k = len(z.size)
    penalty = 0.5 * float(objective.alpha @ np.square(params)) / objective.rows.total_weight
    # Squares below the smallest normal number lose digits.
    mean_loss = max(float(np.finfo(objective.rows.dtype).tiny), value - penalty)
    at = _loss_sizes(objective, params, mean_loss, z)
    residual, of_z = at.residual, float(np.linalg.norm(z.error))
    wrong = at.curvature * of_z + u * (residual if objective.loss.quadratic else FUNCTION_ERROR * at.curvature)
    gradient = _backward(objective, layers, inputs, (residual, wrong), summing, u)
    gradient += 2.0 * np.finfo(np.float64).eps * objective.alpha * np.abs(params) / objective.rows.total_weight
    of_value = residual * of_z + summing * mean_loss + u * at.value + 4.0 * u * penalty
    scaled = float(np.linalg.norm(objective.scale * params))
    if objective.is_linear:
        # The scaled columns have mean square 1, so the trace of their Gram matrix is their number. The error of the
        # loss's own Hessian is at most that of z.
        q = objective.n_params // k
        moved = 0.0 if objective.is_quadratic else (q + 3.0) * u * radius * scaled + FUNCTION_ERROR * u
        added = float(np.max(objective.alpha / np.square(objective.scale), initial=0.0)) / objective.rows.total_weight
        curvature = at.curvature * k * q * (summing + 4.0 * u + moved) + 4.0 * float(np.finfo(np.float64).eps) * added
    else:
        depth = sum(objective.network.widths) + 10.0 * len(layers)
        size = 0.0 if hessian is None else _scaled_norm(hessian, objective.scale)
        # The errors of first and second derivatives of the activations are at most a few times those of the units' z
        # and of the prediction.
        moved = sum(float(at.error.max(initial=0.0)) for at in (*inputs[1:], z))
        curvature = 4.0 * (summing + depth * u + 2.0 * moved) * size
    return Rounding(SECOND_ORDER * of_value, SECOND_ORDER * gradient, SECOND_ORDER * curvature)


class _LossSizes(NamedTuple):
    """What the loss itself does to rounding errors.

    residual: the root mean square of its gradient over all outputs. curvature: a bound on its second and third
    derivatives. value: the mean error of its value, in unit roundoffs.
    """

    residual: float
    curvature: float
    value: float


def _loss_sizes(objective: TrainingObjective, params: Array, mean_loss: float, z: _Sizes) -> _LossSizes:
    """Without a pass over the rows where the curvature of the loss is bounded."""
    k, loss = len(z.size), objective.loss
    root = float(np.sqrt(2.0 * mean_loss))
    if loss.quadratic:
        return _LossSizes(root, 1.0, (k + 2.0) * mean_loss)
    if loss.bounded_curvature:
        # Pinsker's inequality for the log losses: ½‖p - y‖² <= loss.
        return _LossSizes(min(k**0.5, root), 1.0, FUNCTION_ERROR * (1.0 + float(z.size.sum())))

    def of_chunk(chunk: Chunk) -> _Sums:
        total = _Sums(0.0, 0.0, 0.0)
        for block in objective.blocks(chunk):
            raw = objective.network.output(params.astype(objective.rows.dtype, copy=False), block.X)
            row = loss.pointwise(block.y, raw, 2)
            weight = np.ones(len(raw)) if block.weight is None else block.weight.astype(np.float64)
            squares = np.square(row.gradient.astype(np.float64)).sum(axis=1)
            size = loss.magnitude(block.y.astype(np.float64), raw.astype(np.float64)).sum(axis=1)
            total += _Sums(float(weight @ squares), float(weight @ size), float(row.hessian.max()))
        return total

    found, weight = objective.rows.sum(of_chunk), objective.rows.total_weight
    return _LossSizes(float(np.sqrt(found.squares / weight)), found.largest, FUNCTION_ERROR * found.size / weight)


@dataclass
class _Sums:
    """Weighted sums over rows, and the largest second derivative of the loss."""

    squares: float
    size: float
    largest: float

    def __iadd__(self, other: _Sums) -> _Sums:
        self.squares += other.squares
        self.size += other.size
        self.largest = max(self.largest, other.largest)
        return self


def root_rounding(objective: TrainingObjective, params: Array, radius: float, longest: int) -> RootRounding:
    """Bounds for R of `whitened.newton_system`, in float64: the backward error of Householder's QR decomposition is at
    most a small multiple of m n units of roundoff for each column of an (m, n) matrix (Higham 2002, theorem 19.4)."""
    u, P, k = 0.5 * objective.epsilon, objective.n_params, objective.network.n_outputs
    q, n = P // k, objective.rows.n_rows
    # Blocks of rows, each with k rows of R's least-squares problem, are added by decompositions of 2P rows.
    rows = min(n, whitened.rows_of_block(objective))
    merges = n / rows + n / max(1, longest) + 2.0
    relative = u * (_HOUSEHOLDER * P * (k * rows + 2.0 * P * merges) + FUNCTION_ERROR + 4.0)
    if objective.is_quadratic:
        return RootRounding(relative, 0.0, 1.0)
    off = (q + 3.0) * u * radius * float(np.linalg.norm(objective.scale * params))
    # Where z moves by s, the Hessian changes by a factor of exp(-c s) at least (see `gap`).
    share = float(np.exp(-(objective.loss.self_concordance or 0.0) * np.sqrt(k) * off))
    # In the root of a softmax's Hessian, diag(√p)(I - 1p'), digits cancel; its entries are at most 1.
    absolute = FUNCTION_ERROR * u * k * float(np.sqrt(q)) if objective.loss.bounded_curvature else 0.0
    return RootRounding(relative, absolute, share)


def _scaled_norm(hessian: Array, scale: Array) -> float:
    unit = 1.0 / scale
    return float(np.linalg.norm(hessian * unit * unit[:, None]))


def _summing(objective: TrainingObjective, longest: int) -> float:
    """The relative error of a sum over rows: within a block in the rows' dtype, over blocks in float64."""
    u = 0.5 * objective.epsilon
    blocks = 2.0 * objective.rows.n_rows / max(1, longest) + 4.0
    return longest * u / (1.0 - longest * u) + blocks * float(np.finfo(np.float64).eps)


def _forward(objective: TrainingObjective, layers: tuple[Layer, ...], u: float) -> tuple[list[_Sizes], _Sizes]:
    """The sizes of the inputs of each layer, and of the raw prediction."""
    network = objective.network
    p = network.widths[0]
    at = _Sizes(network.split(objective.scale)[0].W[:, 0], np.zeros(p))
    zero = np.zeros((1, p))
    found = []
    for number, layer in enumerate(layers):
        found.append(at)
        W = np.abs(layer.W)
        size = at.size @ W + (0.0 if layer.b is None else np.abs(layer.b))
        error = (W.shape[0] + 3.0) * u * size + at.error @ W
        at = _Sizes(size, error)
        if number < len(layers) - 1:
            zero = np.zeros((1, 1))
            network.f.apply(zero)
            a = abs(float(zero[0, 0])) + size  # no activation is steeper than 1
            a = np.minimum(a, 1.0) if network.activation in _BOUNDED else a
            at = _Sizes(a, error + FUNCTION_ERROR * u * a)
    return found, at


def _backward(
    objective: TrainingObjective,
    layers: tuple[Layer, ...],
    inputs: list[_Sizes],
    output: tuple[float, float],
    summing: float,
    u: float,
) -> Array:
    """(P,) the error of the gradient, by backpropagation of sizes and errors. output: the root mean squares of the
    loss's gradient in any one output, and of its error."""
    rows, network = objective.rows, objective.network
    found = np.zeros(network.n_params)
    # The value of a single row is at most so many root mean squares.
    largest = (rows.total_weight / rows.min_weight) ** 0.5
    k = network.n_outputs
    delta, error = np.full(k, output[0]), np.full(k, output[1])
    for number in range(len(layers) - 1, -1, -1):
        below, out = inputs[number], network.split(found)[number]
        own = error + (summing + 4.0 * u) * delta
        out.W[:] = np.outer(below.size, own) + np.outer(below.error, delta)
        if out.b is not None:
            out.b[:] = own
        if number:
            W = np.abs(layers[number].W)
            steep = largest * below.error + FUNCTION_ERROR * u  # the error of the slope is at most that of z
            back = delta @ W.T
            error = error @ W.T + (W.shape[1] + 3.0) * u * back + back * steep
            delta = back
    return found
