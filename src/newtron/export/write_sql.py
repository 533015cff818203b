"""A program as one query: a WITH of a subquery for each depth of the model, and a SELECT of the predictions.

What is written is understood alike by SQLite, DuckDB and PostgreSQL. Each subquery is MATERIALIZED: databases would
else put its formulas wherever its columns are used, and the query would grow with every layer. Numbers are written with
an exponent, which makes them double precision everywhere; exponentials are kept from underflowing, which PostgreSQL
takes for an error.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import numpy as np

from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array
from newtron.engine.base.words import clean, listed, setting
from newtron.export.program import (
    Affine,
    At,
    Cells,
    Constant,
    Each,
    Fold,
    Joined,
    Lookup,
    NumberColumn,
    Program,
    ProgramStep,
    RadialBasis,
    RowVector,
    Term,
    TextColumn,
)
from newtron.export.text import Identifiers, comment_lines, formula
from newtron.table.cells import MISSING

# The largest model that is written as a query, by the weights of its layers and the columns of one subquery
# (PostgreSQL has at most 1,664), and the operands of one sum, which some databases nest.
MOST_WEIGHTS, MOST_COLUMNS, _MOST_OPERANDS = 20_000, 1_600, 100
# exp of less than this is 0 to all digits of what is added to it, and of little less than that no number.
_LEAST_EXPONENT = -700.0
_LEAST_POWER = 300.0
_LINES = ",\n        "
# Days before each month, from January on, of a year that is no leap year.
_BEFORE_MONTH = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)


def sql_query(program: Program, table: str, keep: Sequence[str] | None) -> str:
    """The program as a query. table: its name, such as birds or zoo.birds; keep: columns to be given out beside the
    predictions; None: those that the model reads. Raises InputError for a model that is too large for a query, and for
    names that no database has."""
    if program.size > MOST_WEIGHTS:
        raise InputError(
            f"this model has {program.size:,} weights, and a query holds at most {MOST_WEIGHTS:,}, since databases "
            "are slow to read a longer one, or refuse it; export it as .onnx, .c or .py, or fit a smaller model."
        )
    return _Writer(program, table, keep).query()


# What a subquery carries on, what it computes, and a comment.
_Stage: TypeAlias = tuple[list[str], list[str], str]


class _Writer:
    """depth: of each step, the number of subqueries below it; last: of each of the columns of a subquery, the depth of
    the last one that reads it."""

    def __init__(self, program: Program, table: str, keep: Sequence[str] | None) -> None:
        self.program, self.table = program, table_name(table)
        self.keep = list(_columns(program) if keep is None else keep)
        self.depth: dict[ProgramStep, int] = {}
        for step in program.steps:
            below = max((self.depth[of] for of in step.needs), default=1)
            self.depth[step] = below + isinstance(step.operation, Affine | RadialBasis | Each | Fold | Lookup)
        self.last: dict[str, int] = {}
        deepest = max(self.depth.values()) + 1
        for step in program.steps:
            for of in step.needs:
                self._read(of, self.depth[step])
        for step in program.outputs.steps:
            self._read(step, deepest)

    def _read(self, step: ProgramStep, depth: int) -> None:
        for name in self._elements(step):
            self.last[name] = max(self.last.get(name, 0), depth)

    def _elements(self, step: ProgramStep) -> list[str]:
        """The columns that hold the elements of a step."""
        if isinstance(step.operation, Joined):
            return [name for part in step.operation.parts for name in self._elements(part)]
        return [step.name] if step.width == 1 else [f"{step.name}_{i}" for i in range(1, step.width + 1)]

    # --- the parts of the query ---

    def query(self) -> str:
        kept = [f"k{i}" for i in range(1, len(self.keep) + 1)]
        stages = [*self._reading(kept), *self._computing()]
        parts = list(self._tables())
        for number, (carried, made, note) in enumerate(stages, start=1):
            columns = len(kept) + len(carried) + len(made)
            if columns > MOST_COLUMNS:
                raise InputError(
                    f"this model needs a subquery of {columns:,} columns, and databases have at most {MOST_COLUMNS:,}; "
                    "export it as .onnx, .c or .py."
                )
            before = [] if number == 1 else [*kept, *carried]
            lines = [*([", ".join(before)] if before else []), *made]
            source = self.table if number == 1 else f"newtron_{number - 1}"
            inside = f"    SELECT\n        {_LINES.join(lines)}\n    FROM {source}"
            comment = f"    -- {clean(note)}\n" if note else ""
            parts.append(f"newtron_{number} AS MATERIALIZED (\n{comment}{inside}\n)")
        given = ",\n    ".join(self._given_out(kept))
        return f"{self._head()}\nWITH {', '.join(parts)}\nSELECT\n    {given}\nFROM newtron_{len(stages)};\n"

    def _head(self) -> str:
        about = comment_lines(
            [
                *self.program.about,
                f"How to use it: run it where there is a table {self.table} with these columns, or put the name of "
                "another table in its place, which stands in the first subquery. It gives one row for each row of the "
                "table; their order is the database's own, so keep a column that tells them apart.",
                "Numbers may be stored as numbers or as text; NULL and NA are missing, and so is the empty text.",
                *self._about_dates(),
                "It needs the functions of mathematics (EXP, LN, TANH and the like). DuckDB and PostgreSQL (12 or "
                "later) have them; SQLite (3.35 or later) has them where it is compiled with "
                "SQLITE_ENABLE_MATH_FUNCTIONS, as its command line is.",
            ]
        )
        return "\n".join(f"-- {clean(line)}".rstrip() for line in about)

    def _about_dates(self) -> list[str]:
        if not self.program.dates:
            return []
        text = "text such as 2024-01-31 or 2024-01-31 10:30:00"
        return [f"Dates ({listed(self.program.dates)}) are dates, times or {text}, in UTC."]

    def _reading(self, kept: list[str]) -> Iterator[_Stage]:
        """The cells as they are needed: numbers as double precision, text as text, dates first as text."""
        first = [f"{quoted(name)} AS {alias}" for name, alias in zip(self.keep, kept, strict=True)]
        others: list[str] = []
        dates: list[str] = []
        for step, name, column in self._cells():
            text = f"CAST({quoted(name)} AS VARCHAR)"
            missing: Sequence[str] = MISSING
            value, read = f"CAST({quoted(name)} AS DOUBLE PRECISION)", f"{step}_cell"
            if isinstance(column, TextColumn):
                value, read, missing = f"LOWER({text})" if column.any_case else text, f"{step}_text", column.missing
            elif isinstance(column, NumberColumn) and column.is_date:
                value, read = text, f"{step}_text"
                dates.append(step)
            first.append(f"CASE {text} {_whens((word, 'NULL') for word in missing)} ELSE {value} END AS {read}")
            others += [] if step in dates else [read]
        yield [], first, f"the columns of {self.table}"
        if dates:
            yield others, [part for step in dates for part in _date_parts(step)], "the parts of dates"
            yield others, [f"{_days(step)} AS {step}_cell" for step in dates], "dates as days since 1970-01-01"

    def _cells(self) -> Iterator[tuple[str, str, NumberColumn | TextColumn | RowVector]]:
        """The element that each column of the table is read into, its name, and what it is."""
        for step in self.program.steps:
            if isinstance(step.operation, Cells):
                column = step.operation.column
                if isinstance(column, RowVector):
                    yield from (
                        (f"x_{i}" if column.width > 1 else "x", f"x{i}", column) for i in range(1, column.width + 1)
                    )
                else:
                    yield step.name, column.name, column

    def _computing(self) -> Iterator[_Stage]:
        before: list[str] = []
        for depth in range(1, max(self.depth.values()) + 1):
            steps = [step for step in self.program.steps if self.depth[step] == depth]
            carried = [name for name in before if self.last.get(name, 0) > depth]
            made = [(name, value) for step in steps for name, value in self._values(step)]
            notes = [step.note for step in steps if step.note] if depth > 1 else ["the columns as numbers"]
            yield carried, [f"{value} AS {name}" for name, value in made], "; ".join(dict.fromkeys(notes))
            before = [*carried, *(name for name, _ in made)]

    def _tables(self) -> Iterator[str]:
        """The points of radial basis functions and their weights, a row each."""
        for step in self.program.steps:
            if isinstance(step.operation, RadialBasis):
                points, W = step.operation.points, step.operation.W
                columns = [f"{table.name}_{j}" for table in (points, W) for j in range(1, table.values.shape[1] + 1)]
                numbers = np.hstack([points.values, W.values]).tolist()
                rows = _LINES.join(f"({', '.join(map(_number, row))})" for row in numbers)
                yield f"newtron_{points.name}({', '.join(columns)}) AS MATERIALIZED (\n    VALUES\n        {rows}\n)"

    def _given_out(self, kept: list[str]) -> Iterator[str]:
        outputs = self.program.outputs
        names = Identifiers(self.keep)
        for name, alias in zip(self.keep, kept, strict=True):
            yield f"{alias} AS {quoted(name)}"
        if outputs.classes is not None and outputs.decides is not None:
            labels = [_label(label) for label in outputs.classes.tolist()]
            yield f"{_largest(self._elements(outputs.decides), labels)} AS {quoted(names.unlike('prediction'))}"
            for name, element in zip(outputs.names, self._elements(outputs.predicted), strict=True):
                yield f"{element} AS {quoted(names.unlike(f'p({name})'))}"
            return
        for name, step in (("prediction", outputs.predicted), ("lower", outputs.lower), ("upper", outputs.upper)):
            for i, element in enumerate(self._elements(step) if step is not None else (), start=1):
                own = name if outputs.predicted.width == 1 else f"{name} {i}"
                yield f"{element} AS {quoted(names.unlike(own))}"

    # --- steps ---

    def _values(self, step: ProgramStep) -> Iterator[tuple[str, str]]:
        """The columns of a step and their formulas."""
        names = self._elements(step)
        match step.operation:
            case Cells(column):
                yield from zip(names, _encoded(step.name, column, names), strict=True)
            case Affine(of, W, b):
                inputs = self._elements(of)
                for j, name in enumerate(names):
                    terms = [] if b is None else [_number(b.values[j])]
                    terms += [f"{_number(w)} * {x}" for w, x in zip(W.values[:, j].tolist(), inputs, strict=True)]
                    yield name, _sum(terms)
            case RadialBasis(of, points, rate, W, b):
                rated = enumerate(zip(rate.values.tolist(), self._elements(of), strict=True), start=1)
                d = _sum([f"{_number(r)} * ABS({x} - {points.name}_{j})" for j, (r, x) in rated])
                # exp(-d) in a form that does not underflow and has d once.
                near = f"(2e0 / (1e0 + TANH(5e-1 * ({d}))) - 1e0)"
                for j, name in enumerate(names, start=1):
                    total = f"(SELECT SUM({W.name}_{j} * {near}) FROM newtron_{points.name})"
                    yield name, f"{_number(float(b.values[j - 1]))} + {total}"
            case Each(term):
                for i, name in enumerate(names):
                    yield name, self._term(term, i)
            case Lookup(of, position, keys, values):
                cell = self._elements(of)[position]
                for name, column in zip(names, values.values.T, strict=True):
                    pairs = zip(keys.values.tolist(), column.tolist(), strict=True)
                    cases = " ".join(f"WHEN {_number(key)} THEN {_number(value)}" for key, value in pairs)
                    yield name, f"CASE {cell} {cases} ELSE 0 * {cell} END"
            case Fold("sum", of):
                yield names[0], _sum(self._elements(of))
            case Fold("largest", of):
                yield names[0], _largest(self._elements(of), self._elements(of))
            case Joined():
                pass

    def _term(self, term: Term, i: int) -> str:
        def leaf(of: At | Constant | float) -> str:
            match of:
                case At(step, positions):
                    elements, place = self._elements(step), 0 if of.width == 1 else i
                    return elements[place if positions is None else int(positions[place])]
                case Constant(_, values):
                    return _number(values[0 if values.size == 1 else i])
                case _:
                    return _number(of)

        return formula(term, leaf, _function)


def _columns(program: Program) -> Iterator[str]:
    """The names of the columns that a program reads."""
    for column in program.columns:
        if isinstance(column, RowVector):
            yield from (f"x{i}" for i in range(1, column.width + 1))
        else:
            yield column.name


def _function(name: str, arguments: list[str]) -> str:
    z = arguments[0]
    match name:
        case "exp":
            return f"EXP({_at_least(z)})"
        case "sigmoid":
            small = f"EXP({_at_least(f'-ABS({z})')})"
            return f"(CASE WHEN {z} < 0 THEN {small} ELSE 1 END / (1 + {small}))"
        case "relu":
            return f"CASE WHEN {z} < 0 THEN 0 ELSE {z} END"
        case "softplus":
            return f"(CASE WHEN {z} < 0 THEN 0 ELSE {z} END + LN(1 + EXP({_at_least(f'-ABS({z})')})))"
        case "power":
            # A power below 10^-300 would underflow, and is 0.
            least = _number(10.0 ** max(-_LEAST_POWER, -_LEAST_POWER / float(arguments[1])))
            return f"CASE WHEN {z} < {least} THEN 0 ELSE POWER({z}, {arguments[1]}) END"
        case _:
            return f"{name.upper()}({z})"


def _at_least(exponent: str) -> str:
    return f"CASE WHEN {exponent} < {_LEAST_EXPONENT:g} THEN {_LEAST_EXPONENT:g} ELSE {exponent} END"


def _number(value: object) -> str:
    """A number with all its digits, as double precision."""
    assert isinstance(value, float)
    if math.isnan(value):
        return "NULL"
    text = repr(float(value))
    return text if "e" in text else f"{text}e0"


def _sum(terms: Sequence[str]) -> str:
    """A sum, of groups where it has many terms."""
    if len(terms) <= _MOST_OPERANDS:
        return " + ".join(terms)
    groups = [terms[start : start + _MOST_OPERANDS] for start in range(0, len(terms), _MOST_OPERANDS)]
    return _sum([f"({_sum(group)})" for group in groups])


def _largest(elements: Sequence[str], values: Sequence[str]) -> str:
    """The value that belongs to the largest element, the first of several."""
    cases = []
    for i, (element, value) in enumerate(zip(elements, values, strict=True)):
        later = " AND ".join(f"{element} >= {other}" for other in elements[i + 1 :])
        cases.append(f"WHEN {later or f'{element} IS NOT NULL'} THEN {value}")
    return f"CASE {' '.join(cases)} END"


def _encoded(step: str, column: NumberColumn | TextColumn | RowVector, names: Sequence[str]) -> Iterator[str]:
    """The formulas of the elements of a column."""
    if isinstance(column, RowVector):
        fills = [None] * column.width if column.fill is None else column.fill.values.tolist()
        yield from (_filled(f"{name}_cell", fill) for name, fill in zip(names, fills, strict=True))
    elif isinstance(column, NumberColumn):
        cell = f"{step}_cell"
        yield _filled(cell, column.fill)
        if column.marked:
            yield f"CAST(CASE WHEN {cell} IS NULL THEN 1 ELSE 0 END AS DOUBLE PRECISION)"
    else:
        yield from (_level(f"{step}_text", column, column.patterns[:, j]) for j in range(column.width))


def _filled(cell: str, fill: float | None) -> str:
    return cell if fill is None else f"CASE WHEN {cell} IS NULL THEN {_number(fill)} ELSE {cell} END"


def _level(cell: str, column: TextColumn, values: Array) -> str:
    """The number that belongs to the level of a cell; values: (levels + 2,)."""
    *own, unseen, missing = values.tolist()
    levels = zip(column.spellings, own, strict=True)
    known = [(text, value) for texts, value in levels if value != unseen for text in _as_stored(texts)]
    new = _number(unseen)
    if known:
        new = f"CASE {cell} {_whens((text, _number(value)) for text, value in known)} ELSE {new} END"
    return f"CAST(CASE WHEN {cell} IS NULL THEN {_number(missing)} ELSE {new} END AS DOUBLE PRECISION)"


def _as_stored(texts: Sequence[str]) -> list[str]:
    """The texts, and how whole numbers among them are written where the column is one of floating-point numbers."""
    return [form for text in texts for form in ([text, f"{text}.0"] if re.fullmatch(r"-?\d+", text) else [text])]


def _date_parts(step: str) -> list[str]:
    """Year, month, day and time of day, from a text such as 2024-01-31 or 2024-01-31 10:30:00."""
    text = f"{step}_text"

    def part(start: int, length: int) -> str:
        return f"CAST(SUBSTR({text}, {start}, {length}) AS DOUBLE PRECISION)"

    split = f"WHEN SUBSTR({text}, 20, 1) = '.' THEN {part(18, 9)}"
    second = f"CASE {split} WHEN LENGTH({text}) >= 19 THEN {part(18, 2)} ELSE 0 END"
    clock = f"{part(12, 2)} / 24 + {part(15, 2)} / 1440 + {second} / 86400"
    return [
        f"{part(1, 4)} AS {step}_year",
        f"{part(6, 2)} AS {step}_month",
        f"{part(9, 2)} AS {step}_day",
        f"CASE WHEN LENGTH({text}) >= 16 THEN {clock} ELSE 0 END AS {step}_time",
    ]


def _days(step: str) -> str:
    """Days since 1970-01-01 by the Gregorian calendar."""
    y, m = f"{step}_year", f"{step}_month"
    leap_days = f"FLOOR(({y} - 1969) / 4) - FLOOR(({y} - 1901) / 100) + FLOOR(({y} - 1601) / 400)"
    months = " ".join(f"WHEN {month} THEN {days}" for month, days in enumerate(_BEFORE_MONTH, start=1))
    leap = f"{y} = 4 * FLOOR({y} / 4) AND ({y} <> 100 * FLOOR({y} / 100) OR {y} = 400 * FLOOR({y} / 400))"
    return (
        f"365 * ({y} - 1970) + {leap_days} + CASE {m} {months} END + CASE WHEN {m} > 2 AND {leap} THEN 1 ELSE 0 END "
        f"+ {step}_day - 1 + {step}_time"
    )


def _whens(pairs: Iterable[tuple[str, str]]) -> str:
    """The branches of a CASE by texts. DuckDB makes a join of a long IN, and takes minutes for hundreds of them."""
    return " ".join(f"WHEN {_text(text)} THEN {value}" for text, value in pairs)


def _text(word: str) -> str:
    """A text as a literal."""
    if "\0" in word:
        raise InputError(f"the text {word!r} has a character that no database takes; export the model as .onnx or .py.")
    return "'" + word.replace("'", "''") + "'"


def _label(value: object) -> str:
    """A class as a literal."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    return _number(value) if isinstance(value, float) else str(value) if isinstance(value, int) else _text(str(value))


def quoted(name: str) -> str:
    """A name between quotation marks, as SQL has it."""
    if not name or "\0" in name:
        raise InputError(f"{name!r} is no name for a column or table of a database; rename it and fit again.")
    return '"' + name.replace('"', '""') + '"'


def table_name(name: str) -> str:
    """The name of a table, such as birds or zoo.birds, each part between quotation marks; a part that stands between
    such may have dots."""
    parts = re.findall(r'"(?:[^"]|"")+"|[^."]+', name)
    if not parts or ".".join(parts) != name:
        raise InputError(f"{setting('table', repr(name))} is no name of a table; give one such as birds or zoo.birds.")
    return ".".join(part if part[0] == '"' else quoted(part) for part in parts)
