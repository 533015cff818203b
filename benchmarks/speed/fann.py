"""The FANN library, where it is installed (Debian: libfann2), called through its C interface."""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# Of fann_activationfunc_enum, fann_train_enum and fann_errorfunc_enum.
LINEAR, TANH, TRAIN_BATCH, PLAIN_ERROR = 0, 5, 1, 0
NUMBERS = {"float32": ("floatfann", ctypes.c_float), "float64": ("doublefann", ctypes.c_double)}


@cache
def library(dtype: str) -> Any:
    """The library whose numbers are of that kind, or None."""
    name, number = NUMBERS[dtype]
    found = ctypes.util.find_library(name)
    for file in filter(None, (found, f"lib{name}.so.2")):
        try:
            fann = ctypes.CDLL(file)
        except OSError:
            continue
        for maker in (fann.fann_create_standard_array, fann.fann_create_train_from_callback):
            maker.restype = ctypes.c_void_p
        fann.fann_get_MSE.restype = ctypes.c_float
        fann.fann_train_epoch.restype = ctypes.c_float
        fann.fann_run.restype = ctypes.POINTER(number)
        return fann
    return None


def epoch(X: Array, Y: Array, weights: list[tuple[Array, Array]], rate: float = 0.0) -> Callable[[], float]:
    """One epoch of batch training: a forward and a backward pass over all rows, and a step of size `rate`.

    Gives the mean square of the errors that it met on the way, in single precision.
    """
    dtype = str(X.dtype)
    fann, number = library(dtype), NUMBERS[dtype][1]
    widths = [X.shape[1], *(W.shape[1] for W, _ in weights)]
    network = ctypes.c_void_p(fann.fann_create_standard_array(len(widths), (ctypes.c_uint * len(widths))(*widths)))
    fann.fann_set_activation_function_hidden(network, TANH)
    fann.fann_set_activation_function_output(network, LINEAR)
    fann.fann_set_activation_steepness_hidden(network, number(1.0))
    fann.fann_set_activation_steepness_output(network, number(1.0))
    fann.fann_set_train_error_function(network, PLAIN_ERROR)
    fann.fann_set_training_algorithm(network, TRAIN_BATCH)
    fann.fann_set_learning_rate(network, ctypes.c_float(rate))
    # Per unit of the next layer: the weights from all units below, then from the bias.
    values = np.concatenate([np.vstack([W, b]).T.ravel() for W, b in weights]).astype(dtype)
    assert fann.fann_get_total_connections(network) == len(values)
    _set_weights(fann, network, values)
    inputs, targets = np.ascontiguousarray(X), np.ascontiguousarray(Y)
    pointer = ctypes.POINTER(number)

    def copy(row: int, n_inputs: int, n_targets: int, to_inputs: Any, to_targets: Any) -> None:
        ctypes.memmove(to_inputs, inputs[row].ctypes.data, inputs[row].nbytes)
        ctypes.memmove(to_targets, targets[row].ctypes.data, targets[row].nbytes)

    unsigned = ctypes.c_uint
    callback = ctypes.CFUNCTYPE(None, unsigned, unsigned, unsigned, pointer, pointer)(copy)
    made = fann.fann_create_train_from_callback(len(X), X.shape[1], Y.shape[1], callback)
    data = ctypes.c_void_p(made)

    def work() -> float:
        return float(fann.fann_train_epoch(network, data))

    return work


def _set_weights(fann: Any, network: Any, values: Array) -> None:
    number = NUMBERS[str(values.dtype)][1]

    class Connection(ctypes.Structure):
        _fields_ = (("source", ctypes.c_uint), ("target", ctypes.c_uint), ("weight", number))

    connections = (Connection * len(values))()
    fann.fann_get_connection_array(network, connections)
    for connection, value in zip(connections, values, strict=True):
        connection.weight = value
    fann.fann_set_weight_array(network, connections, len(values))
