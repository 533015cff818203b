"""The schema of a table that is larger than memory, learnt in one pass: as `learn_schema` would from the whole table.

Of each column a few facts are gathered, batch by batch: counts, sums, the different values as long as they are few.
What was gathered from parts of the table adds up, so that several can look at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import InputError
from newtron.table.cells import (
    as_days,
    as_flags,
    as_numbers,
    flag_words,
    is_date,
    is_number,
    is_text,
    is_whole,
    plain,
    value_of,
)
from newtron.table.learn import (
    NEVER_THERE,
    Dropped,
    advice_on_levels,
    learn_category,
    learn_values,
    remarks_on_category,
    schema_of,
    too_many_levels,
    with_indicator,
)
from newtron.table.looks import NumberLooks, TextLooks, named_like_identifier
from newtron.table.schema import Column, Kind, Schema, Target
from newtron.table.table import Table, check_finite, show, suggest
from newtron.table.target import check_target_kind, decide_target

if TYPE_CHECKING:
    import pyarrow as pa

# Different values that are counted; more are many, whatever their number.
_MANY = 10_000
# Sums are of values times this power of two, so that none overflows.
_SHRINK = 2.0**-60


class Learnt(NamedTuple):
    """What one pass finds: the schema, for each piece its rows with a target, of each class its rows, and of each
    column its missing cells."""

    schema: Schema
    sizes: NDArray[np.int64]
    class_counts: tuple[int, ...]
    missing: dict[str, int]


class _Values:
    """Different values of a column and how often each occurs, and in which row it was first."""

    def __init__(self) -> None:
        self.counts: dict[Any, int] = {}
        self.rows: dict[Any, int] = {}
        self.many = False

    def add(self, cells: pa.Array, first_row: int) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        if self.many or pa.types.is_null(cells.type):
            return
        for value, times in zip(*pc.value_counts(cells.drop_null()).flatten(), strict=True):
            key = value_of(value)
            if key not in self.counts:
                if len(self.counts) == _MANY:
                    self.many = True
                    return
                self.rows[key] = first_row + int(pc.index(cells, value).as_py())
            self.counts[key] = self.counts.get(key, 0) + times.as_py()

    def __iadd__(self, other: _Values) -> _Values:
        self.many |= other.many
        for key, times in other.counts.items():
            if key not in self.counts:
                if len(self.counts) == _MANY:
                    self.many = True
                    return self
                self.rows[key] = other.rows[key]
            self.counts[key] = self.counts.get(key, 0) + times
        return self


class _Facts:
    """What is known of a feature column so far."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.type: Any = None
        self.rows = self.missing = 0
        self.low, self.high, self.total, self.error = np.inf, -np.inf, 0.0, 0.0
        self.constant: Any = None
        self.dates = True  # every cell of a text column is one
        self.values = _Values()
        self.pattern = 0
        self.text, self.numbers = TextLooks(), NumberLooks(name)

    def add(self, table: Table, place: bytes) -> None:
        """place: tells this table's rows from all others."""
        cells = plain(table.column(self.name))
        self.type = cells.type
        self.rows += len(cells)
        self.missing += cells.null_count
        if cells.null_count:
            bits = np.packbits(cells.is_null().to_numpy(zero_copy_only=False)).tobytes()
            # Sums of hashes tell sets of places apart, whoever adds them in whatever order (Bellare & Micciancio 1997).
            self._add_pattern(int.from_bytes(hashlib.sha256(place + bits).digest(), "big"))
        if self.constant is None and cells.null_count < len(cells):
            self.constant = value_of(cells.drop_null()[0])
        if is_number(cells):
            self._add_numbers(as_numbers(cells), cells)
        elif is_date(cells):
            self._add_numbers(as_days(cells))
        elif is_text(cells) or str(cells.type) == "bool":
            self.values.add(cells, 0)
            if is_text(cells):
                self._add_text(table, cells)

    def _add_pattern(self, hashed: int) -> None:
        self.pattern = (self.pattern + hashed) % 2**256

    def __iadd__(self, other: _Facts) -> _Facts:
        self.type = other.type if self.type is None else self.type
        self.rows += other.rows
        self.missing += other.missing
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self._add_total(other.total)
        self._add_total(-other.error)
        self.constant = other.constant if self.constant is None else self.constant
        self.dates &= other.dates
        self.values += other.values
        self._add_pattern(other.pattern)
        self.text += other.text
        self.numbers += other.numbers
        return self

    def _add_text(self, table: Table, cells: pa.Array) -> None:
        days = as_days(cells) if self.dates else 0
        self.dates = not isinstance(days, int)
        self._add_numbers(days)
        self.text.add(cells, table.row_number)

    def _add_numbers(self, values: NDArray[np.float64] | int, numbers: pa.Array | None = None) -> None:
        """numbers: the cells, where these are numbers and not dates."""
        if isinstance(values, int):
            return
        present = values[~np.isnan(values)] if self.missing else values
        if numbers is not None:
            self.numbers.add(present, len(values) - len(present), is_whole(numbers))
        if len(present):
            self.low, self.high = min(self.low, float(present.min())), max(self.high, float(present.max()))
            self._add_total(float(np.sum(present * _SHRINK)))

    def _add_total(self, part: float) -> None:
        """Compensated (Kahan 1965): a million batches add up as one does."""
        part -= self.error
        total = self.total + part
        self.error, self.total = (total - self.total) - part, total

    def learnt(self, marks: set[int]) -> Column | Dropped:
        """As `learn._learn_column`."""
        name, present = self.name, self.rows - self.missing
        if not present:
            return Dropped(NEVER_THERE)
        indicator = self.missing > 0 and self.pattern not in marks
        kind: Kind | None = self._kind()
        if kind == "number" or kind == "date":
            mean = self.total / present / _SHRINK
            return learn_values(
                name, kind, (self.low, self.high, mean), self.constant, present, self.missing, indicator
            )
        if kind is None:
            return Dropped(f"its cells are of type {self.type}, which is neither number, text nor date")
        if self.values.many:
            return Dropped(
                f"it is text with more than {_MANY:,} different values{advice_on_levels(self.text, present, _MANY)}"
            )
        texts = [str(value).lower() if isinstance(value, bool) else value for value in self.values.counts]
        counts = np.array([*self.values.counts.values(), self.missing])
        if len(texts) == 1 and not indicator:
            return Dropped(f"it is {show(self.constant)} in every row{' that has a value' if self.missing else ''}")
        words = flag_words(texts)
        if words:
            import pyarrow as pa

            flags, _ = as_flags(pa.array(texts))
            mean = float(flags @ counts[:-1]) / present
            encoded = with_indicator(name, [f"{name}={words[1]}"], indicator)
            return Column(name, "yes/no", encoded, mean, (words[1],), words[0], (), (), self.missing > 0, indicator)
        if reason := too_many_levels(self.rows, present, len(texts)):
            return Dropped(reason + advice_on_levels(self.text, present, len(texts)))
        return learn_category(name, texts, counts, indicator)

    def _kind(self) -> Kind | None:
        import pyarrow as pa

        empty = pa.array([], self.type)
        if is_number(empty):
            return "number"
        if is_date(empty) or (is_text(empty) and self.dates):
            return "date"
        return "category" if is_text(empty) or str(self.type) == "bool" else None

    def remarks(self, column: Column) -> list[str]:
        """Sentences on the column, as it is used."""
        if column.kind == "number":
            return self.numbers.remarks()
        return remarks_on_category(self.name, self.text) if column.kind == "category" else []


class _RowNumbers:
    """Does a column only count the rows?"""

    def __init__(self, name: str) -> None:
        self.name, self._counts, self._first, self._seen = name, named_like_identifier(name), 0, 0

    @property
    def counts(self) -> bool:
        return self._counts and self._first in (0, 1)

    def add(self, table: Table) -> None:
        import pyarrow as pa

        cells = table.data.column(self.name)
        if not self._counts or not pa.types.is_integer(cells.type) or cells.null_count:
            self._counts = False
            return
        numbers = cells.to_numpy()
        if not len(numbers):
            return
        if not self._seen:
            self._first = int(numbers[0])
        start = self._first + self._seen
        self._counts = bool(np.array_equal(numbers, np.arange(start, start + len(numbers))))
        self._seen += len(numbers)

    def __iadd__(self, other: _RowNumbers) -> _RowNumbers:
        if not self._seen:
            self._first = other._first
        follows = not other._seen or other._first == self._first + self._seen
        self._counts = self._counts and other._counts and follows
        self._seen += other._seen
        return self


class Gathered:
    """What is known of the columns from the tables seen so far. pieces: that there are; tables are told apart by the
    number of the piece they are from and their place in it."""

    def __init__(self, names: Iterable[str], target: str, ignore: Iterable[str], pieces: int) -> None:
        left_out = {target, *ignore}
        features = [name for name in names if name not in left_out]
        self.facts = [_Facts(name) for name in features]
        self.row_numbers = [_RowNumbers(name) for name in features]
        self.target, self.of_target, self.target_type = target, _Values(), None
        self.without, self.sizes, self.rows = 0, np.zeros(pieces, dtype=np.int64), 0

    def add(self, piece: int, table: Table) -> None:
        check_finite(table)
        cells = plain(table.column(self.target))
        self.target_type = cells.type
        self.rows += len(cells)
        self.without += cells.null_count
        place = f"{piece} {self.sizes[piece]} ".encode()
        self.sizes[piece] += len(cells) - cells.null_count
        self.of_target.add(cells, table.first_row)
        for numbers in self.row_numbers:
            numbers.add(table)
        if cells.null_count:
            table = table.take(np.flatnonzero(cells.is_valid().to_numpy(zero_copy_only=False)))
        if table.n_rows:
            for facts in self.facts:
                facts.add(table, place)

    def __iadd__(self, other: Gathered) -> Gathered:
        """With what was gathered from the rows that follow."""
        for facts, others in zip(self.facts, other.facts, strict=True):
            facts += others
        for numbers, its in zip(self.row_numbers, other.row_numbers, strict=True):
            numbers += its
        self.of_target += other.of_target
        self.target_type = other.target_type if self.target_type is None else self.target_type
        self.without += other.without
        self.rows += other.rows
        self.sizes += other.sizes
        return self

    def learnt(self, path: str, names: Iterable[str], task: str | None, ignore: Iterable[str]) -> Learnt:
        """What `learn_schema` would say of the whole table. names: of all columns there."""
        target, warnings = self.decided(path, task)
        found: list[Column | tuple[str, str]] = []
        remarks: dict[str, list[str]] = {}
        marks: set[int] = set()
        for facts, numbers in zip(self.facts, self.row_numbers, strict=True):
            column = Dropped("it only counts the rows") if numbers.counts else facts.learnt(marks)
            if isinstance(column, Dropped):
                found.append((facts.name, column.reason))
                continue
            found.append(column)
            remarks[column.name] = facts.remarks(column)
            if column.indicator:
                marks.add(facts.pattern)
        schema = schema_of(path, tuple(names), target, found, set(ignore), warnings, remarks)
        return Learnt(schema, self.sizes, self.class_counts(target), self.missing)

    def decided(self, path: str, task: str | None) -> tuple[Target, list[str]]:
        """The target and warnings."""
        if not self.sizes.sum():
            raise InputError(f"{path}, target {self.target!r}: every cell is missing; choose another target column.")
        return _target(path, self.target, task, self.target_type, self.of_target, self.without)

    def class_counts(self, target: Target) -> tuple[int, ...]:
        return tuple(self.of_target.counts[value] for value in target.classes)

    @property
    def missing(self) -> dict[str, int]:
        return {facts.name: facts.missing for facts in self.facts if facts.missing}


def check_asked(path: str, names: Iterable[str], target: str, task: str | None, ignore: Iterable[str]) -> None:
    """Is what is asked for there?"""
    if task not in (None, "regression", "classification"):
        raise InputError(f"the task {task!r} is not known; use 'regression' or 'classification'.")
    names, ignored = tuple(names), list(ignore)
    known = set(names)
    for name in (target, *ignored):
        if name not in known:
            what = "to ignore; " if name != target else ""
            raise InputError(
                f"{path}: there is no column {name!r}{' ' + what if what else '; '}{suggest(name, names)}."
            )


def learn_stream(
    path: str,
    names: Iterable[str],
    tables: Iterator[tuple[int, Table]],
    pieces: int,
    target: str,
    *,
    task: str | None = None,
    ignore: Iterable[str] = (),
) -> Learnt:
    """The schema of tables that come one after the other; tables: with the number of the piece that each is from.

    The same rules as `learn_schema`, with means that differ by rounding alone. Raises InputError as it does.
    """
    names, ignored = tuple(names), list(ignore)
    check_asked(path, names, target, task, ignored)
    gathered = Gathered(names, target, ignored, pieces)
    for piece, table in tables:
        gathered.add(piece, table)
    return gathered.learnt(path, names, task, ignored)


def _target(
    path: str, name: str, task: str | None, kind: Any, values: _Values, without: int
) -> tuple[Target, list[str]]:
    """The target, decided on a table of its different values, each with the row where it was first."""
    import pyarrow as pa

    distinct = pa.array(list(values.counts), kind)
    rows = np.array(list(values.rows.values()), dtype=np.int64)
    table = Table(path, pa.table({name: distinct}), rows=rows)
    check_target_kind(table, name, distinct)
    counts = list(values.counts.values())
    target, warnings = decide_target(table, name, task, distinct, list(values.counts), counts, without)
    if values.many:
        target = replace(target, why=target.why.replace(f"{_MANY:,} different", f"more than {_MANY:,} different"))
    return target, warnings
