"""Activations of the hidden units: each is a function with its slope and its bend (first and second derivative).

Slope and bend are functions of the value a = f(z), not of z, so that the forward pass may overwrite z in place and
backpropagation needs only the values that it has.

To add one: write its entry in `ACTIVATIONS`; the tests find it there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from newtron.engine.base.checks import check_choice
from newtron.engine.base.types import Array
from newtron.engine.maths.chain_rules import SIGMOID_DERIVED


@dataclass(frozen=True)
class Activation:
    """One activation a = f(z).

    apply: overwrites an array z with f(z), in place.
    slope: f'(z) from the value a.
    bend: f''(z) from the value a.
    gain: standard deviation of the starting weights, times the square root of the fan-in.
    derived: how the slope's formula comes about, line by line, for explanations.
    """

    name: str
    formula: str
    slope_formula: str
    apply: Callable[[Array], None]
    slope: Callable[[Array], Array]
    bend: Callable[[Array], Array]
    gain: float = 1.0
    derived: tuple[str, ...] = ()


def _tanh(z: Array) -> None:
    np.tanh(z, out=z)


def _tanh_slope(a: Array) -> Array:
    slope = np.multiply(a, a)
    return np.subtract(1.0, slope, out=slope)


def _sigmoid(z: Array) -> None:
    # sigma(z) = (1 + tanh(z/2)) / 2: tanh has a vectorised kernel and cannot overflow.
    z *= 0.5
    np.tanh(z, out=z)
    z += 1.0
    z *= 0.5


def _sigmoid_slope(a: Array) -> Array:
    slope = np.subtract(1.0, a)
    slope *= a
    return slope


def _relu(z: Array) -> None:
    np.maximum(z, 0.0, out=z)


def _softplus(z: Array) -> None:
    # log(1 + exp(z)) = max(z, 0) + log(1 + exp(-|z|)), which cannot overflow.
    rest = np.abs(z)
    np.negative(rest, out=rest)
    np.exp(rest, out=rest)
    np.log1p(rest, out=rest)
    np.maximum(z, 0.0, out=z)
    z += rest


def _softplus_slope(a: Array) -> Array:
    # sigma(z) = 1 - exp(-a), since exp(a) = 1 + exp(z).
    slope = np.negative(a)
    np.expm1(slope, out=slope)
    return np.negative(slope, out=slope)


def _softplus_bend(a: Array) -> Array:
    slope = _softplus_slope(a)
    slope *= 1.0 - slope
    return slope


def _identity(z: Array) -> None:
    del z  # the value is z itself


ACTIVATIONS: dict[str, Activation] = {
    entry.name: entry
    for entry in (
        Activation(
            "tanh",
            "tanh(z)",
            "1 - a²",
            _tanh,
            _tanh_slope,
            lambda a: -2.0 * a * _tanh_slope(a),
            derived=(
                "tanh(z) = {e^{z} - e^{-z}}/{e^{z} + e^{-z}}",
                "tanh′(z) = {(e^{z} + e^{-z})^{2} - (e^{z} - e^{-z})^{2}}/{(e^{z} + e^{-z})^{2}} = 1 - a²",
            ),
        ),
        Activation(
            "sigmoid",
            "1 / (1 + exp(-z))",
            "a (1 - a)",
            _sigmoid,
            _sigmoid_slope,
            lambda a: _sigmoid_slope(a) * (1.0 - 2.0 * a),
            gain=4.0,  # its slope at 0 is 1/4
            derived=SIGMOID_DERIVED,
        ),
        Activation(
            "relu",
            "max(z, 0)",
            "1 where z > 0, else 0",
            _relu,
            lambda a: (a > 0.0).astype(a.dtype),
            np.zeros_like,
            gain=float(np.sqrt(2.0)),
        ),
        Activation(
            "softplus",
            "log(1 + exp(z))",
            "1 - exp(-a)",
            _softplus,
            _softplus_slope,
            _softplus_bend,
            gain=float(np.sqrt(2.0)),
            derived=("f′(z) = {e^{z}}/{1 + e^{z}} = 1 - {1}/{1 + e^{z}} = 1 - e^{-a}",),
        ),
        Activation("identity", "z", "1", _identity, np.ones_like, np.zeros_like),
    )
}


def activation_named(name: str) -> Activation:
    """The activation of that name; an InputError that lists the names otherwise."""
    known = ACTIVATIONS.get(name) if isinstance(name, str) else None  # quicker than to check it, at every pass
    return ACTIVATIONS[check_choice("activation", name, ACTIVATIONS)] if known is None else known
