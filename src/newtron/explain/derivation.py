"""A derivation as data: sections of steps, each with its symbols, factors, numbers and one sentence.

Nothing here computes or draws. `build` fills these classes; text, html and latex read them, and so does whoever asks
for `to_dict()`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.checks import check_choice

Array = NDArray[np.floating]

LECTURE, LAB = NOTATIONS = ("lecture", "lab")


@dataclass(frozen=True, eq=False)
class Factor:
    """A number or matrix that a value is made of. reused: an earlier step has computed it already."""

    symbol: str
    value: Array
    reused: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {
            "symbol": self.symbol,
            "value": _plain(self.value),
            "shape": list(np.shape(self.value)),
            "reused": self.reused,
        }


@dataclass(frozen=True, eq=False)
class Table:
    """Numbers that come about in the same way, one line each.

    columns: symbols; the last is the result where there is a relation. lines: symbol of each line, and a name from
    the data (never markup) or "". values: (lines, columns), nan for an empty cell. relation: how the last column
    follows from the others, a key of `rounding.RELATIONS`, or "". total: the last column adds up to the step's value.
    reused: positions of columns that an earlier step has computed. rank: of many lines, those with the largest
    numbers in this column are shown.
    """

    columns: tuple[str, ...]
    lines: tuple[tuple[str, str], ...]
    values: Array
    relation: str = ""
    total: bool = False
    reused: tuple[int, ...] = ()
    rank: int = -1

    def to_dict(self) -> dict[str, Any]:
        return {
            "columns": list(self.columns),
            "lines": [{"symbol": symbol, "name": name} for symbol, name in self.lines],
            "values": _plain(self.values),
            "relation": self.relation,
            "total": self.total,
            "reused": list(self.reused),
        }


@dataclass(frozen=True, eq=False)
class Step:
    """One step.

    key: a name that stays, such as "backward.2". symbol: what is found. formula: what it equals, in the notation of
    `symbols`, as all formulas here. sentence: in words; formulas in it stand between ⟦ and ⟧. value: the number or
    matrix found, or None for a step in symbols alone. factors with operation: value is the product (or what the
    operation of that name, a key of `rounding.RELATIONS` or `matrices.OPERATIONS`, makes) of the factors. numbers: the
    formula with the numbers in it and the result, rounded so that it is true as it stands. table: many values at once.
    lines: a derivation in symbols, line by line. notation: that it is told in, or "" for both.
    """

    key: str
    symbol: str
    formula: str = ""
    sentence: str = ""
    value: Array | None = None
    factors: tuple[Factor, ...] = ()
    operation: str = ""
    numbers: str = ""
    table: Table | None = None
    lines: tuple[str, ...] = ()
    notation: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the value; () for a number."""
        return () if self.value is None else np.shape(self.value)

    @property
    def number(self) -> float | None:
        """The value, where it is one number."""
        return float(self.value) if self.value is not None and not self.shape else None

    def to_dict(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "symbol": self.symbol,
            "formula": self.formula,
            "sentence": self.sentence,
            "value": None if self.value is None else _plain(self.value),
            "shape": list(self.shape),
            "factors": [factor.to_dict() for factor in self.factors],
            "operation": self.operation,
            "numbers": self.numbers,
            "table": None if self.table is None else self.table.to_dict(),
            "lines": list(self.lines),
            "notation": self.notation,
        }


@dataclass(frozen=True, eq=False)
class Section:
    """Steps under one heading."""

    key: str
    title: str
    steps: tuple[Step, ...]
    sentence: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "title": self.title,
            "sentence": self.sentence,
            "steps": [step.to_dict() for step in self.steps],
        }


@dataclass(frozen=True, eq=False)
class Derivation:
    """How a model comes to its answer for some rows, how wrong that is, and where every derivative comes from.

    Prints as text; a notebook shows it as HTML. `sections` hold the steps of both notations, `steps` those of the
    chosen one: "lecture" (ŷ, one number at a time) or "lab" (matrices over the rows: A, Z, W^[l],
    dW^[l]); `in_notation` changes it. `gradient` is the engine's, of the mean loss of the rows,
    (P,); `loss` is that loss.
    """

    title: str
    summary: tuple[str, ...]
    sections: tuple[Section, ...]
    notation: str
    loss: float
    gradient: Array

    def in_notation(self, notation: str) -> Derivation:
        """The same derivation told in "lecture" or "lab" notation; an InputError for any other."""
        return replace(self, notation=check_choice("notation", notation, NOTATIONS))

    @property
    def told(self) -> tuple[Section, ...]:
        """The sections with the steps of the chosen notation; empty ones left out."""
        chosen = []
        for section in self.sections:
            steps = tuple(step for step in section.steps if step.notation in ("", self.notation))
            if steps:
                chosen.append(replace(section, steps=steps))
        return tuple(chosen)

    @property
    def steps(self) -> tuple[Step, ...]:
        return tuple(step for section in self.told for step in section.steps)

    @property
    def rounding(self) -> str:
        """How the numbers that are shown are rounded, in a sentence."""
        if self.notation == LAB:
            return "Matrices are shown with 6 digits; to_dict() has all of them."
        return (
            "Numbers are rounded: results to 5 digits, what they are made of to 6, or more where the rounded numbers "
            "would give another result."
        )

    def __getitem__(self, key: str) -> Step:
        """The step of that key, in either notation."""
        for section in self.sections:
            for step in section.steps:
                if step.key == key:
                    return step
        raise KeyError(key)

    def to_dict(self) -> dict[str, Any]:
        """Everything, with all digits, in JSON types; a number that is not finite is None."""
        return {
            "title": self.title,
            "summary": list(self.summary),
            "notation": self.notation,
            "loss": _plain(np.asarray(self.loss)),
            "gradient": _plain(self.gradient),
            "sections": [section.to_dict() for section in self.sections],
        }

    def to_text(self, width: int = 100) -> str:
        """Plain text of lines no longer than `width` where the numbers allow."""
        from newtron.explain.show.text import render

        return "\n".join(text for text, _ in render(self, width))

    def to_latex(self) -> str:
        """LaTeX with amsmath, to be pasted into a document."""
        from newtron.explain.show.latex import render

        return render(self)

    def to_html(self) -> str:
        """One HTML element with its own style, nothing loaded from anywhere, all text escaped."""
        from newtron.explain.show.html import render

        return render(self)

    def __str__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        return self.to_html()

    def _repr_latex_(self) -> str:
        return self.to_latex()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(f"{type(self).__name__}(...)" if cycle else str(self))


def _plain(value: Array) -> Any:
    """Nested lists of floats, None where a number is not finite."""
    array = np.asarray(value, dtype=np.float64)
    if np.isfinite(array).all():
        return array.tolist()
    found = array.astype(object)
    found[~np.isfinite(array)] = None
    return found.tolist()
