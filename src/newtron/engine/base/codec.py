"""One codec for all that is stored: values of typed dataclasses as JSON and arrays of numbers, and back.

The type hints of the fields determine how each value is written and read. Classes are taken from the hints and never
from a file, and nothing that is read is executed. Every bit returns. The JSON of each type is:

    int, bool, str, None, Literal   as JSON has them
    float                           a number, or the text "nan", "inf", "-inf"; {"float64": 1.5} for NumPy's scalars
    Enum                            the name of its member
    tuple, list                     a list; a tuple or list of dataclasses whose fields are numbers is one matrix
    dict                            an object, or a list of pairs where keys are not text
    union                           the JSON of the first type that fits; float is tried last
    array                           {"array": type, "shape": [...]}; floating-point numbers are stored beside the JSON,
                                    all others in it as "values"
    dataclass                       an object of all fields, except those with the metadata {"derived": True}
    base class of `Kinds`           {name: object of the fields}; the name alone for a class without fields

Conditions that a hint cannot express, such as a positive scale, are checked by the dataclass in `__post_init__`, whose
InputError becomes that of the field, or by the caller.
"""

from __future__ import annotations

import enum
import types
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Literal, TypeAlias, TypeVar, Union, cast, get_args, get_origin

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.forms import (
    PLAIN,
    ArrayForm,
    ChoiceForm,
    FloatForm,
    Form,
    Hint,
    KindForm,
    ListForm,
    Numbers,
    ObjectForm,
    PairsForm,
    PlainForm,
    RecordForm,
    RowsForm,
    UnionForm,
    Vector,
    stored_fields,
)
from newtron.engine.base.strict_json import wrong
from newtron.engine.base.types import Json

T = TypeVar("T")
# For a base class the subclasses that its fields may hold, by their names in a file. An empty mapping marks a class
# that is never stored, which a union may name beside others.
Kinds: TypeAlias = Mapping[Hint, Mapping[str, type]]


class FlatNumbers:
    """Stores the numbers of all arrays in one vector, in the order in which they are written and read."""

    def __init__(self, vector: Vector | None = None) -> None:
        self._parts: list[Vector] = []
        self._vector, self._at = np.empty(0) if vector is None else vector, 0

    def put(self, where: str, numbers: Vector) -> None:
        del where
        self._parts.append(numbers)

    def get(self, where: str, size: int) -> Vector:
        if self._at + size > len(self._vector):
            raise wrong(where, "an array that the file holds", f"{size} numbers")
        self._at += size
        return self._vector[self._at - size : self._at].copy()

    @property
    def vector(self) -> Vector:
        """All numbers that were put."""
        return np.concatenate([np.empty(0), *self._parts])

    @property
    def all_read(self) -> bool:
        return self._at == len(self._vector)


class NoNumbers:
    """The store for values without arrays of floating-point numbers."""

    def put(self, where: str, numbers: Vector) -> None:
        raise TypeError(f"{where} is an array, which JSON alone does not hold")

    def get(self, where: str, size: int) -> Vector:
        raise wrong(where, "without arrays", f"{size} numbers")


class Codec:
    """Writes and reads values by their type hints. kinds: the subclasses that fields of a base class may hold."""

    def __init__(self, kinds: Kinds | None = None) -> None:
        self._kinds = {} if kinds is None else kinds
        self._forms: dict[Hint, Form] = {}

    def write(self, value: object, hint: Hint, numbers: Numbers, where: str = "") -> Json:
        """The JSON of a value; the numbers of its arrays go to `numbers`. where: the place of the value in messages.

        Raises InputError where a value is not of the type of its hint, or is of a subclass that `kinds` does not name.
        """
        return self.form(hint).write(value, where, numbers)

    def read(self, value: object, hint: type[T], numbers: Numbers, where: str = "") -> T:
        """The value that was written. Raises InputError, which names the field, if one is not as it must be."""
        return cast(T, self.form(hint).read(value, where, numbers))

    def form(self, hint: Hint) -> Form:
        known = self._forms.get(hint)
        if known is None:
            known = self._forms[hint] = self._made(hint)
        return known

    def _made(self, hint: Hint) -> Form:
        origin, inner = get_origin(hint), get_args(hint)
        if hint in PLAIN:
            return PlainForm(*PLAIN[hint])
        if hint is float:
            return FloatForm()
        if origin in (Union, types.UnionType):
            return UnionForm([self.form(option) for option in _in_order(inner) if self._kinds.get(option) != {}])
        if origin is Literal:
            return ChoiceForm({option: option for option in inner})
        if origin in (tuple, list):
            any_length = origin is list or inner[-1] is Ellipsis
            forms = [self.form(one) for one in inner if one is not Ellipsis]
            items = ListForm(tuple if origin is tuple else list, forms, any_length)
            return RowsForm(items, inner[0]) if any_length and _is_row(inner[0]) else items
        if origin in (dict, Mapping):
            value = self.form(inner[1])
            return ObjectForm(value) if inner[0] is str else PairsForm(self.form(inner[0]), value)
        if origin in (np.ndarray, NDArray):  # NDArray is an alias of its own since NumPy 2.5
            return ArrayForm(_scalar(inner[-1]))
        if isinstance(hint, type):
            if hint in self._kinds:
                return KindForm(hint, {name: RecordForm(kind, self.form) for name, kind in self._kinds[hint].items()})
            if issubclass(hint, enum.Enum):
                return ChoiceForm({name: member for name, member in hint.__members__.items()})
            if is_dataclass(hint):
                return RecordForm(hint, self.form)
        raise TypeError(f"no value of type {hint} can be stored")


_WITHOUT_KINDS = Codec()


def to_json(value: object) -> dict[str, Json]:
    """The JSON of a dataclass without arrays."""
    return cast("dict[str, Json]", _WITHOUT_KINDS.write(value, type(value), NoNumbers()))


def from_json(value: object, hint: type[T], where: str) -> T:
    """The dataclass that `to_json` wrote. Raises InputError, which names the field, if one is not as it must be."""
    return _WITHOUT_KINDS.read(value, hint, NoNumbers(), where)


def _is_row(kind: Hint) -> bool:
    """Is this a dataclass whose fields are all numbers?"""
    found = stored_fields(kind)
    return bool(found) and all(one in (int, float) for one in found.values())


def _in_order(options: tuple[Hint, ...]) -> list[Hint]:
    """The types of a union in the order in which they are tried: int after bool, and float last, because True is also a
    whole number, a whole number is also a number, and the text "nan" may be either."""
    return sorted(options, key=lambda option: (option is int) + 2 * (option is float))


def _scalar(hint: Hint) -> type[np.generic]:
    """The class of the elements, from the last argument of an array's hint."""
    hint = get_args(hint)[0] if get_origin(hint) is np.dtype else hint
    return hint if isinstance(hint, type) and issubclass(hint, np.generic) else np.generic
