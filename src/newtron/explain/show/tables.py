"""The lines of a long table that are shown, and their numbers as text: the same for terminal, notebook and LaTeX."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from newtron.engine.base.types import Array
from newtron.explain.show.rounding import (
    ALL_DIGITS,
    ARITY,
    FACTOR_DIGITS,
    RELATIONS,
    RESULT_DIGITS,
    consistent_numbers,
    number_text,
)
from newtron.explain.steps import StepTable

# At most this many lines of a table, and lines and columns of a matrix, are shown: as many as fit on a screen.
MOST_LINES, MOST_ENTRIES = 12, 6
MATRIX_DIGITS = 6
# A sum of at most this share of the sizes of its terms is zero but for rounding (the epsilon of float64 is 2e-16).
_ROUNDING_SHARE = 1e-12


@dataclass(frozen=True)
class ShownTable:
    """Cells as text. more: a sentence on the lines that are left out, or "". rest: the sum of those lines, for a table
    with a total. total: the sum of all lines, as text."""

    lines: tuple[tuple[str, str], ...]
    cells: tuple[tuple[str, ...], ...]
    more: str = ""
    rest: str = ""
    total: str = ""


def shown_table(table: StepTable, total: float | None) -> ShownTable:
    """The lines with the largest results, in their order, with as few digits as keep the equations of the table
    true."""
    results = table.values[:, -1]
    ranked = table.values[:, table.rank]
    chosen = _largest(ranked)
    left = np.setdiff1d(np.arange(len(results)), chosen)
    rest = float(results[left].sum()) if len(left) else None
    digits, total_text = RESULT_DIGITS, ""
    if table.total and total is not None:
        digits, total_text = _digits_of_sum([*results[chosen], *([] if rest is None else [rest])], total)
    cells = tuple(_cells(table, table.values[i], digits) for i in chosen)
    more = ""
    if len(left):
        more = f"… and {len(left):,} more"
        if table.total:
            more += ", which add up to"
        else:
            largest = number_text(float(np.abs(ranked[left]).max()), 3)
            more += f", none with ⟦{table.columns[table.rank]}⟧ above {largest} in size"
    rest_text = number_text(rest, digits) if rest is not None and table.total else ""
    return ShownTable(tuple(table.lines[i] for i in chosen), cells, more, rest_text, total_text)


def _largest(results: Array) -> list[int]:
    if len(results) <= MOST_LINES:
        return list(range(len(results)))
    order = np.argsort(-np.abs(results), kind="stable")[: MOST_LINES - 2]
    return sorted(order.tolist())


def _digits_of_sum(terms: list[float], total: float) -> tuple[int, str]:
    """The number of digits with which the shown terms add up to the shown total."""
    if abs(total) <= _ROUNDING_SHARE * float(np.sum(np.abs(terms))):
        return RESULT_DIGITS + 1, "0 but for rounding" if total else "0"
    target = number_text(total)
    for digits in range(RESULT_DIGITS, ALL_DIGITS + 1):
        if number_text(sum(float(number_text(term, digits)) for term in terms)) == target:
            return digits, target
    return RESULT_DIGITS + 1, f"{target} but for rounding"


def _cells(table: StepTable, values: Array, digits: int) -> tuple[str, ...]:
    *parts, result = values.tolist()
    if table.relation:
        own = len(parts) - ARITY.get(table.relation, len(parts))
        texts, last = consistent_numbers(parts[own:], result, RELATIONS[table.relation], digits)
        return (*(number_text(part, FACTOR_DIGITS) for part in parts[:own]), *texts, last)
    return tuple(number_text(value, digits) for value in values.tolist())


def matrix(values: Array, most: int = MOST_ENTRIES) -> list[list[str]]:
    """A matrix, or a vector as one line, as text. Lines, and columns above `most`, that are left out are marked by
    "…"."""
    array = np.atleast_2d(values)
    rows, columns = array.shape
    found = [
        [number_text(value, MATRIX_DIGITS) for value in line[:most].tolist()] + (["…"] if columns > most else [])
        for line in array[:MOST_ENTRIES]
    ]
    if rows > MOST_ENTRIES:
        found.append(["…"] * len(found[0]))
    return found


def shape_text(shape: tuple[int, ...]) -> str:
    """The shape as text: "3 × 2" for a matrix, "2" for a vector, "1" for a number."""
    return " × ".join(f"{n:,}" for n in shape) or "1"


def halves(cell: str) -> tuple[str, str]:
    """The text of a number, split at its decimal point; a sentence is not split."""
    if " " in cell:
        return "", cell
    for place, character in enumerate(cell):
        if character in ".e":
            return cell[:place], cell[place:]
    return cell, ""


def padded(cells: list[str]) -> list[str]:
    """Cells that align at their decimal points when they are set to the right in digits of equal width: missing
    decimals are filled with spaces as wide as a digit (U+2007) and as a point (U+2008)."""
    behind = [halves(cell)[1] for cell in cells]
    wide = max((len(text) for text in behind if " " not in text), default=0)
    point = "\u2008" if wide else ""
    return [
        cell if " " in text or cell == "…" else cell + ("" if text else point) + "\u2007" * (wide - (len(text) or 1))
        for cell, text in zip(cells, behind, strict=True)
    ]
