"""Runs of a solver as JSON and plain numbers, and back: every bit returns.

A state is a dataclass of numbers, arrays and tuples of them. Its class is known from the solver and never read from a
file; each value must be of the type that the class declares. Numbers of all arrays lie in one flat vector in the order
in which the JSON mentions them, with their shape, type and memory order. What a state marks as `DERIVED` is left out.
"""

from __future__ import annotations

import math
import types
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.codec import (
    DAMAGED,
    a_count,
    a_flag,
    a_list,
    a_text,
    an_object,
    float_from_json,
    float_to_json,
    one_of,
    wrong,
)
from newtron.engine.base.errors import InputError
from newtron.engine.solvers import Run, State, Status, TraceRow

Vector = NDArray[np.float64]

_TRACE = tuple(TraceRow.__dataclass_fields__)
_RUN = ("state", "trace", "counts", "seconds", "asked", "reason", "status")
_DTYPES = ("float64", "float32")  # both are float64 without loss


class Numbers:
    """The flat vector while it is written, or while it is read from its beginning."""

    def __init__(self, vector: Vector | None = None) -> None:
        self._parts: list[Vector] = []
        self._vector, self._at = vector, 0

    def vector(self) -> Vector:
        return np.concatenate([np.empty(0), *self._parts])

    def add(self, array: Any) -> dict[str, Any]:
        """An array or NumPy scalar: its numbers go to the vector, what is returned describes it."""
        array = np.asarray(array)
        if array.dtype.name not in _DTYPES:
            raise TypeError(f"an array of type {array.dtype} in a state")
        order = "F" if array.ndim > 1 and array.flags.f_contiguous and not array.flags.c_contiguous else "C"
        self._parts.append(array.ravel(order).astype(np.float64))
        return {"array": [list(array.shape), array.dtype.name, order]}

    def take(self, value: Any, where: str) -> Any:
        """The array, or scalar, that `add` described."""
        shape, dtype, order = _three(an_object(value, where, ("array",))["array"], where)
        shape = tuple(a_list(shape, where, a_count))
        size = math.prod(shape)
        assert self._vector is not None
        if len(shape) > 2 or self._at + size > len(self._vector):
            raise wrong(where, "an array that the file holds", list(shape))
        flat = self._vector[self._at : self._at + size].astype(one_of(dtype, where, _DTYPES))
        self._at += size
        return flat.reshape(shape, order=one_of(order, where, ("C", "F")))[()]  # type: ignore[call-overload]

    @property
    def spent(self) -> bool:
        return self._vector is not None and self._at == len(self._vector)


def _three(value: Any, where: str) -> tuple[Any, Any, Any]:
    if not isinstance(value, list) or len(value) != 3:
        raise wrong(where, "a shape, a type and an order", value)
    return value[0], value[1], value[2]


def run_to_json(run: Run, numbers: Numbers) -> dict[str, Any]:
    rows = np.array([[getattr(row, name) for name in _TRACE] for row in run.trace[: run.rows]], dtype=np.float64)
    return {
        "state": {name: _to_json(getattr(run.state, name), numbers) for name in _kept(type(run.state))},
        "trace": numbers.add(rows),
        "counts": dict(run.counts),
        "seconds": float(run.seconds),
        "asked": run.asked,
        "reason": run.reason,
        "status": None if run.status is None else run.status.name,
    }


def run_from_json(value: Any, where: str, kind: type[State], n_params: int, numbers: Numbers) -> Run:
    """The run of a solver whose states are of this kind, with so many parameters."""
    given = an_object(value, where, _RUN)
    state = _state(given["state"], f"{where}.state", kind, n_params, numbers)
    rows = numbers.take(given["trace"], f"{where}.trace")
    if rows.ndim != 2 or rows.shape != (state.iteration + 1, len(_TRACE)):
        raise wrong(f"{where}.trace", "one row for each iteration", list(rows.shape))
    if not np.array_equal(rows[:, 0], np.arange(len(rows))):
        raise InputError(f"{where}.trace does not count its iterations; {DAMAGED}.")
    if not isinstance(given["counts"], dict):
        raise wrong(f"{where}.counts", "an object", given["counts"])
    status = given["status"]
    if status is None:
        _check_goes_on(state, rows, where)
    return Run(
        state=state,
        trace=[TraceRow(int(row[0]), *row[1:]) for row in rows.tolist()],
        rows=len(rows),
        counts={name: a_count(count, f"{where}.counts.{name}") for name, count in given["counts"].items()},
        seconds=float_from_json(given["seconds"], f"{where}.seconds"),
        asked=a_flag(given["asked"], f"{where}.asked"),
        reason=a_text(given["reason"], f"{where}.reason"),
        status=None if status is None else Status[one_of(status, f"{where}.status", tuple(Status.__members__))],
    )


def _check_goes_on(state: State, rows: NDArray[Any], where: str) -> None:
    """Can a run be taken up from here? What ended may have ended where nothing is finite. A solver says "unknown" and
    "without limit" by plain numbers; its arrays are where it stands."""
    if not (math.isfinite(state.value) and np.isfinite(rows[:, 1:3]).all()):
        raise InputError(f"{where} goes on from values that are not finite; {DAMAGED}.")
    for name in _kept(type(state)):
        if not all(np.isfinite(array).all() for array in _arrays(getattr(state, name))):
            raise InputError(f"{where}.state.{name} holds numbers that are not finite; {DAMAGED}.")


def _kept(kind: type[State]) -> Iterator[str]:
    return (field.name for field in fields(kind) if not field.metadata.get("derived"))


def _state(value: Any, where: str, kind: type[State], n_params: int, numbers: Numbers) -> State:
    names = tuple(_kept(kind))
    given = an_object(value, where, names)
    hints = get_type_hints(kind)
    values = {}
    for name in names:
        at = f"{where}.{name}"
        values[name] = _from_json(given[name], at, numbers)
        if not _fits(values[name], hints[name]):
            raise wrong(at, "of the type that this solver keeps", given[name])
        if any(array.shape != (n_params,) for array in _vectors(values[name])):
            raise wrong(at, f"of {n_params} numbers", given[name])
    return kind(**values)


def _vectors(value: Any) -> Iterator[NDArray[Any]]:
    """The arrays of one dimension in a value: each has a number for every parameter; those of matrices have not."""
    if isinstance(value, np.ndarray) and value.ndim == 1:
        yield value
    elif isinstance(value, tuple) and not any(isinstance(item, np.ndarray) for item in value):
        for item in value:
            yield from (array for array in item if isinstance(array, np.ndarray))


def _arrays(value: Any) -> Iterator[Any]:
    """All arrays in a value."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _arrays(item)


def _to_json(value: Any, numbers: Numbers) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Status):
        return {"status": value.name}
    if isinstance(value, np.ndarray | np.floating):  # before float: arithmetic tells a NumPy float64 from Python's
        return numbers.add(value)
    if isinstance(value, float):
        return {"float": float_to_json(value)}
    if isinstance(value, tuple):
        return [_to_json(item, numbers) for item in value]
    raise TypeError(f"a {type(value).__name__} in a state")


def _from_json(value: Any, where: str, numbers: Numbers) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return a_count(value, where)
    if isinstance(value, list):
        return tuple(a_list(value, where, lambda item, at: _from_json(item, at, numbers)))
    if isinstance(value, dict) and set(value) == {"float"}:
        return float_from_json(value["float"], where)
    if isinstance(value, dict) and set(value) == {"status"}:
        return Status[one_of(value["status"], where, tuple(Status.__members__))]
    return numbers.take(value, where)


def _fits(value: Any, hint: Any) -> bool:
    """Is a value of the type that a field of a state declares?"""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, option) for option in inner)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if inner[-1] is Ellipsis:
            return all(_fits(item, inner[0]) for item in value)
        return len(value) == len(inner) and all(_fits(item, kind) for item, kind in zip(value, inner, strict=True))
    if hint is type(None):
        return value is None
    if origin is np.ndarray or origin is NDArray:  # an alias of its own since NumPy 2.5
        return isinstance(value, np.ndarray)
    if hint is float:
        return isinstance(value, float | np.floating)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)
