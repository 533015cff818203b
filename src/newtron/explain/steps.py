"""The steps of a derivation as data: each with its symbols, factors, numbers and one sentence.

Nothing here computes or draws. The modules of `tell` make these values, the renderers of `show` read them, and
`to_dict()` gives them to whoever wants the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from newtron.engine.base.types import Array, Json, Labels

LECTURE, LAB = NOTATIONS = ("lecture", "lab")


@dataclass(frozen=True, eq=False)
class Described:
    """A derivation or a part of one."""

    def to_dict(self) -> dict[str, Json]:
        """All fields in JSON types, with the shape of a value: every number with all digits, None where it is not
        finite."""
        found: dict[str, Json] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            found[field.name] = _in_json(value)
            if field.name == "value":
                found["shape"] = list(np.shape(value))
        return found


@dataclass(frozen=True, eq=False)
class StepFactor(Described):
    """A number or matrix that a value is made of. reused: an earlier step has computed it already."""

    symbol: str
    value: Array
    reused: bool = False


@dataclass(frozen=True, eq=False)
class StepTable(Described):
    """Numbers that are computed in the same way, one line for each.

    columns: symbols; the last column is the result where there is a relation. lines: the symbol of each line, and a
    name from the data (never markup) or "". values: (lines, columns), nan for an empty cell. relation: how the last
    column follows from the others, a key of `newtron.explain.show.rounding.RELATIONS`, or "". total: whether the last
    column adds up to the step's value. reused: positions of columns that an earlier step has computed. rank: of a long
    table those lines are shown that have the largest numbers in this column.
    """

    columns: tuple[str, ...]
    lines: tuple[tuple[str, str], ...]
    values: Array
    relation: str = ""
    total: bool = False
    reused: tuple[int, ...] = ()
    rank: int = -1

    def to_dict(self) -> dict[str, Json]:
        return {**super().to_dict(), "lines": [{"symbol": symbol, "name": name} for symbol, name in self.lines]}


@dataclass(frozen=True, eq=False)
class Step(Described):
    """One step of a derivation.

    key: a stable name, such as "backward.2". symbol: the quantity that is found. formula: what it equals, in the
    notation of `newtron.explain.show.symbols`, as all formulas here. sentence: the step in words; formulas in it stand
    between ⟦ and ⟧. value: the number or matrix found, or None for a step in symbols alone. factors, operation: value
    follows from the factors by the operation of that name; for numbers it is a key of
    `newtron.explain.show.rounding.RELATIONS`. numbers: the formula with its numbers and its result, rounded so that the
    equation holds as it is shown. table: many values at once. lines: a derivation in symbols, line by line. notation:
    the one that the step belongs to, or "" for both.
    """

    key: str
    symbol: str
    formula: str = ""
    sentence: str = ""
    value: Array | None = None
    factors: tuple[StepFactor, ...] = ()
    operation: str = ""
    numbers: str = ""
    table: StepTable | None = None
    lines: tuple[str, ...] = ()
    notation: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the value; () for a number."""
        return () if self.value is None else np.shape(self.value)

    @property
    def number(self) -> float | None:
        """The value where it is one number, else None."""
        return float(self.value) if self.value is not None and not self.shape else None

    @property
    def goes_on(self) -> bool:
        """Whether the lines continue the formula and come after it; else they lead to it and come before."""
        return bool(self.lines) and self.lines[0].startswith("=")


@dataclass(frozen=True, eq=False)
class Section(Described):
    """Steps under one heading."""

    key: str
    title: str
    steps: tuple[Step, ...]
    sentence: str = ""


def _in_json(value: object) -> Json:
    """A field of a `Described` value: text, a flag, numbers, another such value, or a tuple of these."""
    if isinstance(value, Described):
        return value.to_dict()
    if isinstance(value, tuple):
        return [_in_json(part) for part in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    found: Json = finite_or_none(np.asarray(value)).tolist()
    return found


def finite_or_none(value: Array) -> Labels:
    """The numbers in float64, or as objects with None where one is not finite."""
    array = np.asarray(value, dtype=np.float64)
    if np.isfinite(array).all():
        return array
    found = array.astype(object)
    found[~np.isfinite(array)] = None
    return found
