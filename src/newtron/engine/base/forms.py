"""The forms of stored values, one for each kind of type. A form writes a value as JSON and reads it again.

The docstring of `codec`, which chooses the form for a type hint, shows the JSON of each.
"""

from __future__ import annotations

import math
import types
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Literal, Protocol, TypeAlias, cast, get_type_hints

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.checks import shown
from newtron.engine.base.errors import InputError
from newtron.engine.base.strict_json import (
    DAMAGED,
    SHOWN,
    an_object,
    float_from_json,
    float_to_json,
    place_of,
    wrong,
)
from newtron.engine.base.threads import cached_property
from newtron.engine.base.types import Array, Json

# A type hint: a class, a union, a tuple of some type, a literal, ...
Hint: TypeAlias = object
Vector: TypeAlias = NDArray[np.float64]

# NumPy's floating-point types that are stored as float64, which represents all of their numbers exactly.
FLOATING: dict[str, type[np.floating]] = {"float64": np.float64, "float32": np.float32}
# The types of arrays whose elements are stored in the JSON, with the Python type of an element. Arrays of text are of
# fixed width ("text") or hold Python's strings ("object").
_INLINE: dict[str, type] = {
    "bool": bool,
    **{f"{sign}int{bits}": int for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "float16": float,
    "text": str,
    "object": str,
}
# The most characters of an array of text of fixed width, where each element takes as many as the longest (64 MB).
_MOST_TEXT = 1 << 24
# Whole numbers have at most 64 bits, with or without a sign.
_LEAST_WHOLE, _MOST_WHOLE = -(2**63), 2**64 - 1
# The largest whole number up to which all are exact in float64.
_EXACT_WHOLE = 2**53
# The two types that a list in the JSON may become.
_Listed: TypeAlias = "type[tuple[object, ...]] | type[list[object]]"


class Numbers(Protocol):
    """A store for the numbers of arrays. Each vector has the place of its field as its name."""

    def put(self, where: str, numbers: Vector) -> None:
        """Store a vector."""

    def get(self, where: str, size: int) -> Vector:
        """A vector of this size, in new memory. Raises InputError where there is none, before memory is taken."""


def stored_fields(kind: Hint) -> dict[str, Hint]:
    """The stored fields of a dataclass with their type hints; empty for any other type."""
    if not isinstance(kind, type) or not is_dataclass(kind):
        return {}
    hints = get_type_hints(kind)
    return {one.name: hints[one.name] for one in fields(kind) if not one.metadata.get("derived")}


class Form(ABC):
    """Writes and reads the values of one type. words: a description of such a value for messages."""

    words: str

    @abstractmethod
    def write(self, value: object, where: str, numbers: Numbers) -> Json:
        """The JSON of a value; its arrays go to `numbers`. Raises InputError if the value is not of this type."""

    @abstractmethod
    def read(self, json: object, where: str, numbers: Numbers) -> object:
        """The value of this JSON. Raises InputError, which names the place, if it is not as it must be."""

    def refusal(self, value: object, where: str) -> InputError:
        """The error for a value that cannot be written because it is not of this type."""
        return InputError(f"{where}={shown(value)} cannot be stored in a file: it must be {self.words}.")


class PlainForm(Form):
    """A value that JSON has itself. kind: its type in Python; kinds: the types that are converted to it."""

    def __init__(self, words: str, kind: type, kinds: tuple[type, ...]) -> None:
        self.words, self._kind, self._kinds = words, kind, kinds

    def write(self, value: object, where: str, numbers: Numbers) -> Json:
        if not isinstance(value, self._kinds):
            raise self.refusal(value, where)
        return cast(Json, self._kind(value)) if value is not None else None  # True becomes 1 in a field of numbers

    def read(self, json: object, where: str, numbers: Numbers) -> object:
        if type(json) is not self._kind or (isinstance(json, int) and not _LEAST_WHOLE <= json <= _MOST_WHOLE):
            raise wrong(where, self.words, json)
        return json


PLAIN: dict[Hint, tuple[str, type, tuple[type, ...]]] = {
    int: ("a whole number", int, (int, np.integer)),
    bool: ("true or false", bool, (bool, np.bool_)),
    str: ("text", str, (str,)),
    types.NoneType: ("null", types.NoneType, (types.NoneType,)),
}


class FloatForm(Form):
    """A number of Python's float or of NumPy's floating-point types."""

    words = "a number"

    def write(self, value: object, where: str, numbers: Numbers) -> Json:
        # The result of arithmetic with a float32 array depends on whether a scalar is Python's or NumPy's.
        if isinstance(value, np.floating) and value.dtype.name in FLOATING:
            return {value.dtype.name: float_to_json(float(value))}
        if not isinstance(value, float | int | np.integer) or isinstance(value, bool):
            raise self.refusal(value, where)
        return float_to_json(float(value))

    def read(self, json: object, where: str, numbers: Numbers) -> object:
        name, inner = next(iter(json.items())) if isinstance(json, dict) and len(json) == 1 else ("", json)
        number = float_from_json(inner, where)
        if name and name not in FLOATING:
            raise wrong(where, self.words, json)
        with np.errstate(over="ignore"):
            return FLOATING[name](number) if name else number


class ChoiceForm(Form):
    """One of several given values. values: each with the text or whole number that represents it in the JSON."""

    def __init__(self, values: Mapping[str | int, object]) -> None:
        self._values = list(values.items())
        self.words = "one of " + ", ".join(map(str, values))

    def write(self, value: object, where: str, numbers: Numbers) -> Json:
        for name, one in self._values:
            if type(one) is type(value) and one == value:
                return name
        raise self.refusal(value, where)

    def read(self, json: object, where: str, numbers: Numbers) -> object:
        for name, one in self._values:
            if type(name) is type(json) and name == json:
                return one
        raise wrong(where, self.words, json)


class ListForm(Form):
    """A tuple or list. forms: one for each element, or a single one for all elements if it may have any length."""

    def __init__(self, kind: _Listed, forms: list[Form], any_length: bool) -> None:
        self.kind, self._forms, self._any_length = kind, forms, any_length
        self.words = "a list" if any_length else f"a list of {len(forms)}"

    def _parts(self, value: object, kind: _Listed) -> list[tuple[Form, object]] | None:
        """Each element with its form; None where the value has another type or length."""
        if not isinstance(value, kind):
            return None
        if self._any_length:
            return [(self._forms[0], one) for one in value]
        return list(zip(self._forms, value, strict=True)) if len(value) == len(self._forms) else None

    def write(self, value: object, where: str, numbers: Numbers) -> Json:
        parts = self._parts(value, self.kind)
        if parts is None:
            raise self.refusal(value, where)
        return [form.write(one, f"{where}[{number}]", numbers) for number, (form, one) in enumerate(parts)]

    def read(self, json: object, where: str, numbers: Numbers) -> object:
        parts = self._parts(json, list)
        if parts is None:
            raise wrong(where, self.words, json)
        return self.kind(form.read(one, f"{where}[{number}]", numbers) for number, (form, one) in enumerate(parts))


class RowsForm(Form):
    """A list or tuple of dataclasses whose fields are all numbers, as a matrix: one row for each, one column for each
    field."""

    def __init__(self, items: ListForm, kind: type) -> None:
        self._items, self._kind, self._array = items, kind, ArrayForm(np.float64)
        self._fields = stored_fields(kind)
        self.words = f"rows of {len(self._fields)} numbers"

    def write(self, value: object, where: str, numbers: Numbers) -> Json:
        if not isinstance(value, self._items.kind):
            raise self.refusal(value, where)
        rows = [[getattr(row, name) for name in self._fields] for row in value]
        matrix = np.array(rows, dtype=np.float64).reshape(len(rows), len(self._fields))
        return self._array.write(matrix, where, numbers)

    def read(self, json: object, where: str, numbers: Numbers) -> object:
        matrix = self._array.read(json, where, numbers)
        if matrix.ndim != 2 or matrix.shape[1] != len(self._fields):
            raise wrong(where, self.words, list(matrix.shape))
        whole = [hint is int for hint in self._fields.values()]
        counts = matrix[:, whole]
        if not (np.abs(counts) <= _EXACT_WHOLE).all() or (counts != np.trunc(counts)).any():
            raise InputError(f"{where} has counts that are not whole numbers; {DAMAGED}.")
        exact: list[Callable[[float], float]] = [int if one else float for one in whole]
        return self._items.kind(
            self._kind(*(kind(number) for kind, number in zip(exact, row, strict=True))) for row in matrix.tolist()
        )


class ObjectForm(Form):
    """A dict whose keys are text, as an object."""

    words = "an object"

    def __init__(self, value: Form) -> None:
        self._value = value

    def write(self, value: object, where: str, numbers: Numbers) -> Json:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise self.refusal(value, where)
        return {key: self._value.write(one, place_of(where, key[:SHOWN]), numbers) for key, one in value.items()}

    def read(self, json: object, where: str, numbers: Numbers) -> object:
        if not isinstance(json, dict):
            raise wrong(where, self.words, json)
        return {key: self._value.read(one, place_of(where, key[:SHOWN]), numbers) for key, one in json.items()}


class PairsForm(Form):
    """A dict with keys of other types, as a list of pairs."""

    words = "a list of pairs"

    def __init__(self, key: Form, value: Form) -> None:
        self._pairs = ListForm(tuple, [ListForm(tuple, [key, value], False)], True)

    def write(self, value: object, where: str, numbers: Numbers) -> Json:
        if not isinstance(value, Mapping):
            raise self.refusal(value, where)
        return self._pairs.write(tuple(value.items()), where, numbers)

    def read(self, json: object, where: str, numbers: Numbers) -> object:
        pairs = cast("tuple[tuple[object, object], ...]", self._pairs.read(json, where, numbers))
        found = dict(pairs)
        if len(found) != len(pairs):
            raise InputError(f"{where} gives a key twice; {DAMAGED}.")
        return found


class ArrayForm(Form):
    """A NumPy array whose elements are instances of `scalar`."""

    words = "an array"

    def __init__(self, scalar: type[np.generic]) -> None:
        self._scalar = scalar

    def write(self, value: object, where: str, numbers: Numbers) -> Json:
        if not (isinstance(value, np.ndarray) and issubclass(value.dtype.type, self._scalar)):
            raise self.refusal(value, where)
        name = {"U": "text", "O": "object"}.get(value.dtype.kind, value.dtype.name)
        described: dict[str, Json] = {"array": name, "shape": list(value.shape)}
        if name in FLOATING:
            fortran = value.ndim > 1 and value.flags.f_contiguous and not value.flags.c_contiguous
            numbers.put(where, value.ravel("F" if fortran else "C").astype(np.float64))
            return {**described, "order": "F"} if fortran else described
        elements = value.ravel().tolist()
        if any(type(element) is not _INLINE.get(name) for element in elements):
            raise self.refusal(value, where)
        return {**described, "values": elements}

    def read(self, json: object, where: str, numbers: Numbers) -> Array:
        name = json.get("array") if isinstance(json, dict) else None
        if not isinstance(json, dict) or not isinstance(name, str) or name not in (*FLOATING, *_INLINE):
            raise wrong(where, self.words, json)
        rest = ("order",) * ("order" in json) if name in FLOATING else ("values",)
        given = an_object(json, where, ("array", "shape", *rest))
        if not issubclass(_dtype(name).type, self._scalar):
            raise wrong(f"{where}.array", "a type of array that this field has", name)
        shape = given["shape"]
        if not isinstance(shape, list) or len(shape) > 2 or any(type(n) is not int or n < 0 for n in shape):
            raise wrong(f"{where}.shape", "a list of at most two sizes", shape)
        if name in _INLINE:
            flat, order = _inline(given["values"], name, f"{where}.values"), "C"
        else:
            order = str(_ORDERS.read(given.get("order", "C"), f"{where}.order", numbers))
            with np.errstate(over="ignore"):
                flat = numbers.get(where, math.prod(shape)).astype(FLOATING[name], copy=False)
        try:
            return cast(Array, flat.reshape(shape, order=cast("Literal['C', 'F']", order)))
        except ValueError:  # the shape has another number of elements, or sizes that NumPy cannot represent
            raise wrong(f"{where}.shape", f"that of {flat.size} elements", shape) from None


_ORDERS = ChoiceForm({"C": "C", "F": "F"})


def _dtype(name: str) -> np.dtype[np.generic]:
    return np.dtype({"text": str}.get(name, name))


def _inline(values: object, name: str, where: str) -> NDArray[np.generic]:
    """The elements of an array that is stored in the JSON."""
    if not isinstance(values, list) or any(type(element) is not _INLINE[name] for element in values):
        raise wrong(where, f"a list of elements of type {name}", values)
    if name == "text" and len(values) * max(map(len, values), default=0) > _MOST_TEXT:
        raise InputError(f"{where} holds a text that is too long for a list of so many; {DAMAGED}.")
    try:
        found: NDArray[np.generic] = np.array(values, dtype=_dtype(name))
    except (OverflowError, ValueError):
        found = np.empty(0)
    if found.tolist() != values:
        raise wrong(where, f"a list of elements of type {name}", values)
    return found


class RecordForm(Form):
    """A dataclass, as an object of its stored fields."""

    def __init__(self, kind: type, form: Callable[[Hint], Form]) -> None:
        self.kind, self._form = kind, form
        self.words = f"a {kind.__name__}"

    @cached_property
    def fields(self) -> dict[str, Form]:
        return {name: self._form(hint) for name, hint in stored_fields(self.kind).items()}

    def write(self, value: object, where: str, numbers: Numbers) -> Json:
        if type(value) is not self.kind:
            raise self.refusal(value, where)
        return {
            name: form.write(getattr(value, name), place_of(where, name), numbers) for name, form in self.fields.items()
        }

    def read(self, json: object, where: str, numbers: Numbers) -> object:
        given = an_object(json, where, tuple(self.fields))
        values = {name: form.read(given[name], place_of(where, name), numbers) for name, form in self.fields.items()}
        try:
            found: object = self.kind(**values)
        except InputError as error:
            raise InputError(f"{where}: {error} The model file is damaged.") from None
        return found


class KindForm(Form):
    """An instance of one of the named subclasses of a base class."""

    def __init__(self, base: type, kinds: dict[str, RecordForm]) -> None:
        self._kinds = kinds
        self._base = base.__name__
        self.words = f"one of {', '.join(kinds)}"

    def write(self, value: object, where: str, numbers: Numbers) -> Json:
        for name, form in self._kinds.items():
            if type(value) is form.kind:
                inner = form.write(value, place_of(where, name), numbers)
                return {name: inner} if form.fields else name
        raise InputError(
            f"{where}: a file names those of the kind {self._base} that newtron has ({', '.join(self._kinds)}), and "
            f"{type(value).__name__} is none of them; fit with one of these to save the model."
        )

    def read(self, json: object, where: str, numbers: Numbers) -> object:
        name, inner = next(iter(json.items())) if isinstance(json, dict) and len(json) == 1 else (json, {})
        if not isinstance(name, str) or name not in self._kinds:
            raise wrong(where, self.words, json)
        return self._kinds[name].read(inner, place_of(where, name), numbers)


class UnionForm(Form):
    """A value of one of several types. A tag marks what JSON cannot distinguish: {"tuple": [...]} where lists are
    possible too, and {"float": "nan"} where texts are."""

    def __init__(self, options: list[Form]) -> None:
        if sum(isinstance(option, RecordForm) for option in options) > 1:
            raise TypeError("a file cannot tell the dataclasses of a union apart")
        self._may_be_null = any(isinstance(option, PlainForm) and option.words == "null" for option in options)
        self._options = [option for option in options if not isinstance(option, PlainForm) or option.words != "null"]
        self.words = " or ".join(dict.fromkeys(option.words for option in options))
        lists = [option for option in options if isinstance(option, ListForm)]
        tuples: list[Form] = [option for option in lists if option.kind is tuple]
        self._tuples = tuples if len(tuples) < len(lists) else []
        self._untagged = [option for option in self._options if option not in self._tuples]
        self._has_text = any(isinstance(option, PlainForm) and option.words == "text" for option in options)

    def write(self, value: object, where: str, numbers: Numbers) -> Json:
        if value is None and self._may_be_null:
            return None
        if len(self._options) == 1:
            return self._options[0].write(value, where, numbers)
        errors = []
        for option in self._options:
            try:
                option.write(value, where, _Nowhere())
            except InputError as error:
                errors.append(error)
                continue
            written = option.write(value, where, numbers)
            if option in self._tuples:
                return {"tuple": written}
            text = isinstance(written, str) and isinstance(option, FloatForm) and self._has_text
            return {"float": written} if text else written
        raise _deepest(errors, where) or self.refusal(value, where)

    def read(self, json: object, where: str, numbers: Numbers) -> object:
        if json is None and self._may_be_null:
            return None
        options = self._untagged
        if isinstance(json, dict) and len(json) == 1:
            if self._tuples and "tuple" in json:
                options, json = self._tuples, json["tuple"]
            elif self._has_text and "float" in json:
                options, json = [FloatForm()], json["float"]
        if len(options) == 1:
            return options[0].read(json, where, numbers)
        errors = []
        for option in options:
            try:
                return option.read(json, where, numbers)
            except InputError as error:
                errors.append(error)
        raise _deepest(errors, where) or wrong(where, self.words, json)


class _Nowhere:
    """A store that keeps nothing, for finding out whether a value can be written."""

    def put(self, where: str, numbers: Vector) -> None:
        pass

    def get(self, where: str, size: int) -> Vector:
        raise NotImplementedError


def _deepest(errors: list[InputError], where: str) -> InputError | None:
    """The first error that is not about the type of the value at this place, but about a part of it."""
    return next((error for error in errors if not str(error).startswith((f"{where} must be ", f"{where}="))), None)
