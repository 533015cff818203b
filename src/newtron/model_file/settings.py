"""The settings of estimators and solvers in JSON and back, with their types: a tuple stays a tuple."""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Callable
from dataclasses import fields as dataclass_fields
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import InputError
from newtron.engine.base.strict_json import (
    DAMAGED,
    a_list,
    a_text,
    an_object,
    float_from_json,
    float_to_json,
    one_of,
    wrong,
)
from newtron.engine.solvers import SOLVERS, Solver
from newtron.estimators import (
    NetworkClassifier,
    NetworkRegressor,
    PerceptronClassifier,
    PerceptronRegressor,
)

ESTIMATORS: dict[str, type[Any]] = {
    kind.__name__: kind for kind in (PerceptronRegressor, PerceptronClassifier, NetworkRegressor, NetworkClassifier)
}

# Functions cannot be stored, and a generator of random numbers has moved on since it was given.
_NOT_STORED = ("callback",)


def settings_to_json(estimator: Any) -> dict[str, Any]:
    found = {}
    for name, value in estimator.get_params(deep=False).items():
        if name in _NOT_STORED:
            continue
        if name == "random_state" and not isinstance(value, int | np.integer):
            value = None
        found[name] = value_to_json(value, name)
    return found


def value_to_json(value: Any, where: str) -> Any:
    """Plain values as they are; what JSON has no word for as an object with one field that names its type."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": float_to_json(value)}
    if isinstance(value, tuple):
        return {"tuple": [value_to_json(item, where) for item in value]}
    if isinstance(value, list):
        return [value_to_json(item, where) for item in value]
    if isinstance(value, dict):
        return {"dict": [[value_to_json(k, where), value_to_json(v, where)] for k, v in value.items()]}
    if isinstance(value, Solver):
        return solver_to_json(value, where)
    raise InputError(
        f"the setting {where}={value!r} cannot be stored in a model file; use plain numbers, text, tuples, "
        "lists and dicts."
    )


def value_from_json(value: Any, where: str) -> Any:
    if value is None or isinstance(value, bool | str | int | float):
        if isinstance(value, float) and not math.isfinite(value):
            raise wrong(where, "a finite number", value)
        if isinstance(value, int) and abs(value) >= 2**64:
            raise wrong(where, "a whole number of at most 64 bits", value)
        return value
    if isinstance(value, list):
        return a_list(value, where, value_from_json)
    for kind in ("float", "tuple", "dict"):
        if set(value) == {kind}:
            inner = value[kind]
            if kind == "float":
                return float_from_json(inner, where)
            items = a_list(inner, where, value_from_json)
            return tuple(items) if kind == "tuple" else _pairs(items, where)
    return solver_from_json(value, where)


def _pairs(items: list[Any], where: str) -> dict[Any, Any]:
    for item in items:
        if not isinstance(item, list) or len(item) != 2 or isinstance(item[0], list | dict):
            raise wrong(where, "pairs of a key and a value", item)
    try:
        return dict(items)
    except TypeError:
        raise wrong(where, "pairs of a key and a value", items) from None


def solver_to_json(solver: Solver, where: str) -> dict[str, Any]:
    name = getattr(solver, "name", None)
    if SOLVERS.get(str(name)) is not type(solver):
        known = ", ".join(SOLVERS)
        raise InputError(
            f"{where}: a model file names solvers that newtron has ({known}), and {type(solver).__name__} "
            "is none of them; fit with one of these to save the model."
        )
    settings = {
        field.name: value_to_json(getattr(solver, field.name), f"{where}.{field.name}")
        for field in dataclass_fields(solver)  # type: ignore[arg-type]
    }
    return {"solver": name, "settings": settings}


# Settings that solvers got after files were written, as it was without them.
_LATER: dict[str, dict[str, Any]] = {"newton-cg": {"sample": 0.0}, "levenberg-marquardt": {"stop_after": None}}


def solver_from_json(value: Any, where: str) -> Solver:
    an_object(value, where, ("solver", "settings"))
    kind = SOLVERS[one_of(value["solver"], f"{where}.solver", tuple(SOLVERS))]
    names = tuple(field.name for field in dataclass_fields(kind))  # type: ignore[arg-type]
    stored = value["settings"]
    if isinstance(stored, dict):
        stored = {**_LATER.get(kind.name, {}), **stored}
    given = an_object(stored, f"{where}.settings", names)
    hints = _hints(kind)
    settings = {}
    for name in names:
        settings[name] = value_from_json(given[name], f"{where}.settings.{name}")
        if not _fits(settings[name], hints[name]):
            raise wrong(f"{where}.settings.{name}", f"of the type that {kind.__name__} takes", given[name])
    try:
        return kind(**settings)
    except InputError as error:
        raise InputError(f"{where}.settings: {error} The model file is damaged.") from None


_hints = lru_cache(maxsize=32)(get_type_hints)


def _fits(value: Any, hint: Any) -> bool:
    """Is a value of the type that a field of a solver declares?"""
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, option) for option in get_args(hint))
    if origin is Literal:
        return value in get_args(hint)
    if hint is type(None):
        return value is None
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, hint) and (hint is bool or not isinstance(value, bool))


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _whole_or_none(value: Any) -> bool:
    return value is None or _whole(value)


def _text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _flag(value: Any) -> bool:
    return value in (True, False)


def _shapes(value: Any) -> bool:
    return _whole(value) or isinstance(value, tuple | list | str)


# What each setting may be, in words and as a test.
_KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "alpha": ("a number or text", lambda value: _number(value) or isinstance(value, str)),
    "penalty": ("text", lambda value: isinstance(value, str)),
    "solver": ("a name or a solver", lambda value: isinstance(value, str | Solver)),
    "loss": ("text or null", _text_or_none),
    "class_weight": ("text, weights by class or null", lambda v: _text_or_none(v) or isinstance(v, dict)),
    "standardize": ("true or false", _flag),
    "fit_intercept": ("true or false", _flag),
    "tol": ("a number", _number),
    "max_iter": ("a whole number or null", _whole_or_none),
    "random_state": ("a whole number or null", _whole_or_none),
    "n_jobs": ("a whole number or null", _whole_or_none),
    "verbose": ("a number", lambda value: isinstance(value, int | float)),
    "hidden": ("widths of layers", _shapes),
    "activation": ("text", lambda value: isinstance(value, str)),
    "n_starts": ("a whole number", _whole),
    "combine": ("text", lambda value: isinstance(value, str)),
}


def estimator_from_json(name: Any, settings: Any) -> Any:
    """An estimator with these settings, not fitted."""
    kind = ESTIMATORS[one_of(name, "estimator", tuple(ESTIMATORS))]
    names = tuple(known for known in inspect.signature(kind).parameters if known not in _NOT_STORED)
    an_object(settings, "settings", names)
    values = {}
    for known in names:
        values[known] = value_from_json(settings[known], f"settings.{known}")
        words, test = _KINDS.get(known, ("", lambda _: True))
        if not test(values[known]):
            raise wrong(f"settings.{known}", words, settings[known])
    return kind(**values)


def classes_to_json(classes: Any) -> dict[str, Any]:
    """Classes with their type, which predictions have too."""
    values = np.asarray(classes)
    if values.dtype.kind == "U" or (values.dtype == object and all(isinstance(v, str) for v in values)):
        kind = "text" if values.dtype.kind == "U" else "object"
    elif values.dtype.name in _NUMERIC:
        kind = values.dtype.name
    else:
        raise InputError(
            f"classes of type {values.dtype} cannot be stored in a model file; fit with classes that are "
            "text, whole numbers, numbers or booleans."
        )
    return {"type": kind, "values": values.tolist()}


_NUMERIC = tuple(
    np.dtype(code).name for code in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
)


def classes_from_json(value: Any) -> NDArray[Any]:
    an_object(value, "classes", ("type", "values"))
    kind = one_of(value["type"], "classes.type", ("text", "object", *_NUMERIC))
    if kind in ("text", "object"):
        labels = a_list(value["values"], "classes.values", a_text)
        found: NDArray[Any] = np.array(labels, dtype=object if kind == "object" else str)
    else:
        labels = a_list(value["values"], "classes.values", value_from_json)
        python = {"b": bool, "i": int, "u": int, "f": float}[np.dtype(kind).kind]
        if any(type(label) is not python for label in labels):
            raise wrong("classes.values", f"of type {kind}", value["values"])
        try:
            found = np.array(labels, dtype=kind)
        except (OverflowError, ValueError):
            raise wrong("classes.values", f"of type {kind}", value["values"]) from None
    if len(labels) < 2 or found.tolist() != labels or any(a >= b for a, b in pairwise(labels)):
        raise InputError(f"classes.values must be two or more, in order and none twice; {DAMAGED}.")
    return found
