"""A derivation as lines of text for a terminal, each with its style."""

from __future__ import annotations

import textwrap

import numpy as np

from newtron.engine.base.types import Array
from newtron.engine.base.words import clean
from newtron.explain.show.rounding import number_text, rounding_note
from newtron.explain.show.symbols import in_sentence, to_text
from newtron.explain.show.tables import MOST_ENTRIES, halves, matrix, shape_text, shown_table
from newtron.explain.steps import LAB, Section, Step, StepTable

# Styles in the names that rich uses.
TITLE, SECTION, SENTENCE, FORMULA, NUMBERS, HEADER, PLAIN = "bold", "bold cyan", "", "bold", "green", "cyan", ""

# A line of text and its style.
StyledLine = tuple[str, str]

# In characters: the indent of equations and tables, and the longest name that is not cut.
_INDENT = 4
_NAME_WIDTH = 24


def text_lines(
    title: str, summary: tuple[str, ...], sections: tuple[Section, ...], notation: str, width: int = 100
) -> list[StyledLine]:
    """The lines, each with its style. Control characters in names from the data are escaped."""
    width = max(40, width)
    lines: list[StyledLine] = [(title, TITLE)]
    for sentence in (*summary, rounding_note(notation)):
        lines += _wrapped(in_sentence(sentence, to_text, clean), width, 0, SENTENCE)
    for section in sections:
        lines += [("", PLAIN), (f"── {section.title} ".ljust(width, "─"), SECTION)]
        for number, step in enumerate(section.steps):
            if number:
                lines.append(("", PLAIN))
            lines += _step(step, width)
    return [(text.rstrip(), style) for text, style in lines]


def _wrapped(text: str, width: int, indent: int, style: str, hanging: int = 0) -> list[StyledLine]:
    space = " " * indent
    found = textwrap.wrap(
        text, width, initial_indent=space, subsequent_indent=space + " " * hanging, break_on_hyphens=False
    )
    return [(line, style) for line in found]


def _step(step: Step, width: int) -> list[StyledLine]:
    lines = _wrapped(in_sentence(step.sentence, to_text, clean), width, 2, SENTENCE)
    lines += _equations(step, width)
    if step.table is not None:
        lines += _table(step.table, step, width)
    elif step.shape:
        lines += _matrices(step, width)
    return lines


def _equations(step: Step, width: int) -> list[StyledLine]:
    """The formula, its derivation and the numbers, their equals signs below each other."""
    symbol = to_text(step.symbol)
    sign = "" if step.formula.startswith("≈") else "= "
    formula: list[StyledLine] = []
    if step.formula:
        formula = _wrapped(f"{symbol} {sign}{to_text(step.formula)}", width, _INDENT, FORMULA, len(symbol) + 3)
    derived: list[StyledLine] = []
    for line in step.lines:
        indent = _INDENT + len(symbol) + 1 if line.startswith("=") else _INDENT
        derived += _wrapped(to_text(line), width, indent, PLAIN, 2)
    found = formula + derived if step.goes_on else derived + formula
    numbers = to_text(step.numbers)
    if not numbers and step.number is not None and step.table is None:
        numbers = number_text(step.number)
    if numbers:
        indent = _INDENT + (len(symbol) + 1 if step.formula else 0)
        found += _wrapped(f"{'' if step.formula else f'{symbol} '}= {numbers}", width, indent, NUMBERS, 2)
    return found


def _table(table: StepTable, step: Step, width: int) -> list[StyledLine]:
    found = shown_table(table, step.number)
    below = [text for text in (found.rest, found.total) if text]
    columns = [
        _aligned(_header(name), [row[i] for row in found.cells] + (below if i == len(table.columns) - 1 else []))
        for i, name in enumerate(table.columns)
    ]
    symbols = [to_text(symbol) for symbol, _ in found.lines]
    wide = max(map(len, symbols), default=0)
    indent, gap = _INDENT, 2
    taken = wide + sum(len(column[0]) for column in columns)
    longest = min(_NAME_WIDTH, max(len(name) for _, name in found.lines))
    if indent + taken + 2 + longest + gap * len(columns) > width:
        indent, gap = 2, 1
    names = _names([name for _, name in found.lines], width - indent - taken - 2 - gap * len(columns))
    labels = [
        f"{symbol:<{wide}}  {name}" if any(names) else f"{symbol:<{wide}}"
        for symbol, name in zip(symbols, names, strict=True)
    ]
    if found.rest:
        labels.append(in_sentence(found.more, to_text, str))
    if found.total:
        labels.append("sum")
    first = max(map(len, labels), default=0)
    first = min(first, max(map(len, labels[: len(symbols)]), default=first)) if found.rest else first
    space, between = " " * indent, " " * gap
    lines: list[StyledLine] = [
        (space + " " * first + "".join(between + column[i] for column in columns), HEADER)
        for i in range(2)
        if any(column[i].strip() for column in columns)
    ]
    for number, label in enumerate(labels[: len(symbols)]):
        lines.append((space + f"{label:<{first}}" + "".join(between + column[number + 2] for column in columns), PLAIN))
    room = sum(len(column[0]) + gap for column in columns[:-1])
    for number, label in enumerate(labels[len(symbols) :], start=len(symbols)):
        style = NUMBERS if label == "sum" else PLAIN
        label = f"{to_text(step.symbol)} = sum" if label == "sum" else label
        lines.append((space + f"{label:<{first + room}}" + between + columns[-1][number + 2], style))
    if found.more and not found.rest:
        lines += _wrapped(in_sentence(found.more, to_text, str), width, indent, PLAIN)
    return lines


def _header(symbol: str) -> list[str]:
    """Two lines: a long partial derivative is broken at its fraction bar."""
    text = to_text(symbol)
    above, bar, below = text.partition("/")
    return [above, bar + below] if bar and text.startswith("∂") and len(text) > 8 else ["", text]


def _aligned(header: list[str], cells: list[str]) -> list[str]:
    """A column below its header, with decimal points below each other."""
    split = [halves(cell) for cell in cells]
    before = max((len(left) for left, _ in split), default=0)
    after = max((len(right) for _, right in split), default=0)
    texts = [f"{left:>{before}}{right:<{after}}" for left, right in split]
    wide = max([before + after, *map(len, header)])
    return [f"{text:>{wide}}" for text in (*header, *texts)]


def _names(names: list[str], room: int) -> list[str]:
    most = max(4, min(_NAME_WIDTH, room))
    return [name if len(name) <= most else name[: most - 1] + "…" for name in map(clean, names)]


def _matrices(step: Step, width: int) -> list[StyledLine]:
    assert step.value is not None
    lines: list[StyledLine] = []
    if step.notation == LAB:
        parts = [f"{to_text(factor.symbol)} {shape_text(np.shape(factor.value))}" for factor in step.factors]
        shapes = f"shapes: {', '.join(parts)} → {to_text(step.symbol)} {shape_text(step.shape)}"
        lines += _wrapped(shapes, width, _INDENT, PLAIN, 2)
        for factor in step.factors:
            if not factor.reused:
                lines += _matrix(to_text(factor.symbol), factor.value, PLAIN, width)
    return lines + _matrix(to_text(step.symbol), step.value, NUMBERS, width)


def _matrix(symbol: str, values: Array, style: str, width: int) -> list[StyledLine]:
    room = width - _INDENT - len(symbol) - len(" = [ ") - len(" ]")
    for most in range(MOST_ENTRIES, 0, -1):
        rows = matrix(values, most)
        columns = [_aligned([], [row[i] for row in rows]) for i in range(len(rows[0]))]
        if sum(len(column[0]) + 2 for column in columns) - 2 <= room:
            break
    found = []
    for number in range(len(rows)):
        start = f"{symbol} = " if number == 0 else " " * (len(symbol) + 3)
        found.append((" " * _INDENT + start + "[ " + "  ".join(column[number] for column in columns) + " ]", style))
    return found
