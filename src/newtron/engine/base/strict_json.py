"""Strict reading of JSON. A model file may come from anyone, so everything is checked; errors name the field."""

from __future__ import annotations

import json
import math
import re

import numpy as np

from newtron.engine.base.checks import shown
from newtron.engine.base.errors import InputError

# The most characters of a field's name in a message.
SHOWN = 60
# The deepest nesting of objects and lists, and the most of them: each takes some hundred bytes of memory.
_DEEPEST, _MOST_CONTAINERS = 40, 1 << 20
_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"')
_NO_BRACKETS = bytes(letter for letter in range(256) if letter not in b"[]{}")
DAMAGED = "the model file is damaged: save the model again"
FLOATS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def parse_json(raw: bytes) -> object:
    """The value of JSON in UTF-8. Raises InputError for the literals NaN and Infinity, for a field that is given twice,
    and for more nesting than a manifest has."""
    if _too_much(raw) and _too_much(_TEXT.sub(b"", raw)):
        raise InputError(
            f"manifest.json has more than {_MOST_CONTAINERS:,} lists and objects, or more than {_DEEPEST} in one "
            f"another, and that of a model has not; {DAMAGED}."
        )
    try:
        value: object = json.loads(raw.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_no_doubles)
        if rb"\u" in raw:
            # Half of a surrogate pair is valid JSON, but it cannot be printed.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except InputError:
        raise
    except (ValueError, RecursionError):
        raise InputError(f"manifest.json is not JSON in UTF-8; {DAMAGED}.") from None
    return value


def _too_much(raw: bytes) -> bool:
    """Has a text more brackets, or deeper ones, than a manifest? Brackets within quotes are counted, too."""
    brackets = np.frombuffer(raw.translate(None, _NO_BRACKETS), dtype=np.uint8)
    opens = (brackets == ord("[")) | (brackets == ord("{"))
    depth = np.cumsum(np.where(opens, 1, -1), dtype=np.int64).max(initial=0)
    return bool(np.count_nonzero(opens) > _MOST_CONTAINERS or depth > _DEEPEST)


def _no_constant(name: str) -> object:
    raise InputError(f"manifest.json holds {name}, which is not JSON; {DAMAGED}.")


def _no_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InputError(f"manifest.json gives a field twice; {DAMAGED}.")
    return found


def wrong(where: str, expected: str, value: object) -> InputError:
    """The error for a field that is not as expected."""
    return InputError(f"{where} must be {expected}, but it is {shown(value)}; {DAMAGED}.")


def place_of(where: str, name: str) -> str:
    """The place of a field of the object at the place `where`; "" is the whole document."""
    return f"{where}.{name}" if where else name


def an_object(value: object, where: str, names: tuple[str, ...]) -> dict[str, object]:
    """The value, if it is an object with exactly these fields."""
    if not isinstance(value, dict):
        raise wrong(where or "the manifest", "an object", value)
    for name in names:
        if name not in value:
            raise InputError(f"{place_of(where, name)} is missing; {DAMAGED}.")
    for name in value:
        if name not in names:
            raise InputError(f"{place_of(where, name[:SHOWN])} is not a known field; {DAMAGED}.")
    return value


def a_number(value: object, where: str) -> float:
    """The value as a float, if it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong(where, "a finite number", value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise wrong(where, "a finite number", value)
    return number


def float_to_json(value: float) -> float | str:
    """The number, or a text for nan and the infinities, which JSON does not have."""
    value = float(value)
    return value if math.isfinite(value) else str(value)


def float_from_json(value: object, where: str) -> float:
    return FLOATS[value] if isinstance(value, str) and value in FLOATS else a_number(value, where)
