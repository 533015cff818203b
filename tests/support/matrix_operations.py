"""The operations of the lab notation: how a matrix follows from its factors, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from newtron.engine.base.types import Array
from newtron.engine.maths.activations import ACTIVATIONS
from newtron.engine.maths.losses import sigmoid, softmax

Operation = Callable[[Sequence[Array]], Array]


def _affine(parts: Sequence[Array]) -> Array:
    """A W + b, or A W."""
    z = np.asarray(parts[0] @ parts[1])
    return z + parts[2] if len(parts) > 2 else z


def _apply(name: str) -> Operation:
    def applied(parts: Sequence[Array]) -> Array:
        z = np.array(parts[0])
        ACTIVATIONS[name].apply(z)
        return z

    return applied


def _slope(name: str) -> Operation:
    return lambda parts: ACTIVATIONS[name].slope(np.asarray(parts[0]))


def _softmax_back(parts: Sequence[Array]) -> Array:
    """Ŷ ⊙ (R - the sum of Ŷ ⊙ R over the outputs): each row of R times the slope of the softmax."""
    mean, by_mean = parts
    return np.asarray(mean * (by_mean - np.sum(mean * by_mean, axis=1, keepdims=True)))


OPERATIONS: dict[str, Operation] = {
    "affine": _affine,
    "difference": lambda parts: np.asarray(parts[0] - parts[1]),
    "times": lambda parts: np.asarray(np.prod(np.broadcast_arrays(*parts), axis=0)),
    "gram": lambda parts: np.asarray(parts[0].T @ parts[1] / parts[0].shape[0]),
    "mean": lambda parts: np.asarray(np.mean(parts[0], axis=0)),
    "pull back": lambda parts: np.asarray(parts[0] @ parts[1].T),
    "exponential": lambda parts: np.exp(np.asarray(parts[0])),
    "logistic": lambda parts: sigmoid(np.asarray(parts[0])),
    "logistic slope": lambda parts: np.asarray(parts[0] * (1.0 - parts[0])),
    "softmax": lambda parts: softmax(np.asarray(parts[0])),
    "softmax back": _softmax_back,
    **{name: _apply(name) for name in ACTIVATIONS},
    **{f"slope of {name}": _slope(name) for name in ACTIVATIONS},
}
