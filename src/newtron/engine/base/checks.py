"""Checks of settings: each raises an InputError of one sentence that names the setting and what it may be."""

from __future__ import annotations

import math
import numbers
import reprlib
from collections.abc import Iterable
from typing import TypeGuard

from newtron.engine.base.errors import InputError
from newtron.engine.base.words import setting

# Characters of a value that a message shows at most.
_SHOWN = 60
# It writes no more of a long list or text than is shown.
_REPR = reprlib.Repr()
_REPR.maxlevel, _REPR.maxlist, _REPR.maxtuple, _REPR.maxdict = 4, 30, 30, 15
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 2 * _SHOWN


def shown(value: object) -> str:
    """A value as a message shows it: its repr in one line, cut where it is long. Python refuses to write whole numbers
    of more than some thousand digits."""
    try:
        text = " ".join(line.strip() for line in _REPR.repr(value).splitlines())
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _given(name: str, value: object) -> str:
    """A setting and its value, as they were given."""
    return setting(name, shown(value)) or f"{name}={shown(value)}"


def _is_finite(value: object) -> TypeGuard[float]:
    """Is it a real number that a float can hold?"""
    try:
        return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number or a fraction beyond the largest float
        return False


def check_number(
    name: str, value: object, *, above: float = -math.inf, least: float = -math.inf, below: float = math.inf
) -> float:
    """The value as a float, if it is a finite real number > above, >= least and < below."""
    if not (_is_finite(value) and value > above and value >= least and value < below):
        limits = [
            f"{word} {limit:g}"
            for word, limit in (("above", above), ("at least", least), ("below", below))
            if math.isfinite(limit)
        ]
        raise InputError(f"{_given(name, value)} must be a finite number{' ' if limits else ''}{' and '.join(limits)}.")
    return float(value)


def check_penalty(value: object, rules: Iterable[str]) -> float | str:
    """The value of `alpha`, if it is a number, 0 or more, or the name of a rule that chooses it."""
    if isinstance(value, str):
        if value in tuple(rules):
            return value
        known = " or ".join(map(repr, rules))
        raise InputError(f"{_given('alpha', value)} must be a number, 0 or more, or {known}.")
    return check_number("alpha", value, least=0.0)


def check_count(name: str, value: object, least: int = 1) -> int:
    """The value as an int, if it is a whole number, at least `least`."""
    if not is_count(value, least):
        raise InputError(f"{_given(name, value)} must be a whole number, {least} or more.")
    return int(value)


def is_count(value: object, least: int = 1) -> TypeGuard[int]:
    """Is it a whole number, at least `least`?"""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= least


def check_flag(name: str, value: object) -> bool:
    """The value as a bool, if it is True or False of Python or NumPy."""
    if type(value).__name__ not in ("bool", "bool_"):
        raise InputError(f"{_given(name, value)} must be True or False.")
    return bool(value)


def check_choice(name: str, value: object, choices: Iterable[str]) -> str:
    """The value, if it is one of these names."""
    known = tuple(choices)
    if not (isinstance(value, str) and value in known):
        raise InputError(f"{_given(name, value)} is not known: choose one of {', '.join(map(repr, known))}.")
    return value
