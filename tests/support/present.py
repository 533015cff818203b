"""What a test knows to be there although its type allows it to be absent."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def present(value: T | None) -> T:
    """The value itself; the test fails where it is None."""
    assert value is not None
    return value


def of_type(kind: type[T], value: object) -> T:
    """The value itself; the test fails where it is of another type."""
    assert isinstance(value, kind)
    return value
