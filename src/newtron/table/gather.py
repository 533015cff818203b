"""Gather from the cells of a table what `newtron.table.learn` decides the meaning of its columns by.

A table is one piece in memory, or comes in pieces from files or from the workers of a cluster. Of each column a few
facts are gathered: counts, sums, the different values as long as they are few. The facts of parts of a table add up, so
that several processes can gather at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from copy import copy
from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array, ClassLabel
from newtron.engine.base.words import listed, setting
from newtron.table.arrow import ArrowArray, ArrowColumn
from newtron.table.candidates import Candidates, Values
from newtron.table.cells import (
    are_plain_numbers,
    as_days,
    as_digits,
    as_numbers,
    coded_cells,
    copy_numbers,
    distinct_cells,
    is_bool,
    is_date,
    is_number,
    is_text,
    is_whole,
    plain,
    value_of,
)
from newtron.table.choices import ColumnChoices, level_name
from newtron.table.looks import NumberLooks, TextLooks, named_like_identifier
from newtron.table.readings import Decimal, Reading
from newtron.table.schema import Column, Schema
from newtron.table.table import Table, show

# So many different values of a column are counted where a table comes in pieces, so that memory stays bounded. It is
# far above the number of levels and classes that are used.
MANY = 10_000
# So many of a column that is named to group rows, whose levels are all kept: about 250 MB with the words themselves.
MANY_GROUPS = 1_000_000
# What the cells of a column are stored as; None as long as no cell was seen that says it.
Form: TypeAlias = Literal["number", "date", "text", "bool", "other"] | None


def _form_of(cells: ArrowArray) -> Form:
    import pyarrow as pa

    if is_number(cells):
        return "number"
    if is_date(cells):
        return "date"
    if is_text(cells):
        return "text"
    if is_bool(cells):
        return "bool"
    return None if pa.types.is_null(cells.type) else "other"


class Distinct:
    """The different values of a column in the order in which they come, how often each occurs (counts), and in which
    row each is first (rows; empty where that is not asked for). most: how many values are kept; if there are more,
    `many` is True, and those that came first are kept and counted further. None: all are kept."""

    def __init__(self, most: int | None) -> None:
        self.most = most
        self.values: list[ClassLabel] = []
        self.counts: list[int] = []
        self.rows: list[int] = []
        self.many = False
        self._places: dict[ClassLabel, int] = {}  # of the values, once there is more than one table of them

    def add(self, values: list[ClassLabel], counts: list[int], rows: list[int]) -> None:
        """Add values that differ from each other; rows: of the first cell with each, or nothing."""
        if not self.values and (self.most is None or len(values) <= self.most):
            self.values, self.counts, self.rows = list(values), list(counts), list(rows)
            return
        if len(self._places) < len(self.values):
            self._places = {value: place for place, value in enumerate(self.values)}
        for number, (value, times) in enumerate(zip(values, counts, strict=True)):
            place = self._places.setdefault(value, len(self.values))
            if place < len(self.values):
                self.counts[place] += times
                continue
            if place == self.most:
                del self._places[value]
                self.many = True
                continue
            self.values.append(value)
            self.counts.append(times)
            self.rows += rows[number : number + 1]

    def __iadd__(self, other: Distinct) -> Distinct:
        self.add(other.values, other.counts, other.rows)
        self.many |= other.many
        return self


class ColumnStatistics:
    """The statistics of the cells of a feature column.

    choices: what the user says of columns. whole: the first table that is added is all there is, so all different
    values are kept. like: the column in all rows, of which these are a part. category: the values are levels, whatever
    they are; factor: those of a factor. values: of numbers, or of dates in days; constant: the first cell with a value.
    candidates: the rules by which all texts so far are read. pattern: a number that tells in which rows cells are
    missing.
    """

    def __init__(self, name: str, choices: ColumnChoices, whole: bool = False, like: Column | None = None) -> None:
        self.name, self.whole, self.choices, self.part = name, whole, choices, like is not None
        self.kind = choices.kind(name)
        self.category = self.kind in ("category", "text") or (like is not None and like.kind in ("category", "factor"))
        self.factor = like is not None and like.kind == "factor"
        self.form: Form = None
        self.type_name = ""
        self.rows = self.missing = self.pattern = 0
        self.constant: object = None
        self.distinct = Distinct(None if whole else MANY_GROUPS if name in choices.named_factors else MANY)
        self.values = Values()
        asked = None if self.category else self.kind
        self.candidates = Candidates(asked, choices.orders.get(name), like.reading if like else None)
        self.text, self.numbers = TextLooks(), NumberLooks(name)

    @property
    def present(self) -> int:
        """Return how many cells have a value."""
        return self.rows - self.missing

    def add(self, table: Table, place: bytes) -> None:
        """Add the rows of a table. place: tells these rows from all others."""
        column = table.cells(self.name)
        if are_plain_numbers(column) and self.kind in (None, "number") and not self.category:
            self._add_plain_numbers(table, column, place)
            return
        cells = plain(table.column(self.name))
        if self.kind == "date" and is_whole(cells):
            cells = as_digits(cells)
        self.form, self.type_name = _form_of(cells), str(cells.type)
        if self.constant is None and cells.null_count < len(cells):
            self.constant = value_of(cells.drop_null()[0])
        absent = cells.is_null().to_numpy(zero_copy_only=False) if cells.null_count else None
        self._add_missing(table, absent, place)
        if self.category:
            self._add_levels(table, cells)
        elif self.form == "text":
            self._add_texts(table, cells)
        elif self.kind == "date" and self.form not in ("date", None):
            raise self._not_as_asked(table.row_number(0), show(self.constant), table.path)
        elif self.form == "number":
            self._add_numbers(_known(as_numbers(cells)), cells.null_count, is_whole(cells))
        elif self.form == "date" and self.kind != "number":
            self.values.add(_present(_known(as_days(cells))))
        elif self.form == "bool":
            self._add_distinct(*coded_cells(cells))
        elif self.kind == "number" and self.form is not None:
            raise self._not_as_asked(table.row_number(0), show(self.constant), table.path)

    def _add_levels(self, table: Table, cells: ArrowArray) -> None:
        """Add the levels of a category, whatever their type. Raises InputError where one is not among those that were
        asked for."""
        values, codes = distinct_cells(cells)
        names = [value if isinstance(value, str) else level_name(value) for value in values]
        known = self.choices.levels.get(self.name)
        unknown = [code for code, name in enumerate(names) if known is not None and name not in known]
        if unknown and known is not None:
            index = int(np.argmax(codes == unknown[0]))
            raise InputError(
                f"{table.place(self.name, index)}: {show(names[unknown[0]])} is none of the levels of this column, "
                f"{listed(list(map(show, known)))}; add it to them, or correct the cell."
            )
        counts = np.bincount(codes, minlength=len(values) + 1)[:-1]
        self.distinct.add(list(names), counts.tolist(), [])

    def _add_plain_numbers(self, table: Table, column: ArrowColumn, place: bytes) -> None:
        values = np.empty(len(column))
        copy_numbers(column, values)
        absent = np.isnan(values)
        missing = int(np.count_nonzero(absent))
        self.form = "number"
        if self.constant is None and missing < len(values):
            self.constant = value_of(column[int(np.argmin(absent))])
        self._add_missing(table, absent if missing else None, place)
        self._add_numbers(values, missing, is_whole(column))

    def _add_missing(self, table: Table, absent: NDArray[np.bool_] | None, place: bytes) -> None:
        self.rows += table.n_rows
        if absent is not None:
            if self.choices.missing == "error":
                raise missing_refused(table, self.name, absent)
            self.missing += int(np.count_nonzero(absent))
            # Sums of hashes distinguish sets of places, in whatever order they are added (Bellare & Micciancio 1997).
            self._add_pattern(int.from_bytes(hashlib.sha256(place + np.packbits(absent).tobytes()).digest(), "big"))

    def _add_pattern(self, hashed: int) -> None:
        self.pattern = (self.pattern + hashed) % 2**256

    def _add_numbers(self, values: Array, missing: int, whole: bool) -> None:
        """values: NaN where missing; whole: they are stored as whole numbers."""
        present = _present(values) if missing else values
        self.numbers.add(present, self.values.add(present), missing, whole)

    def _add_texts(self, table: Table, cells: ArrowArray) -> None:
        """Add text. Each different value is examined once, however often it occurs. Raises InputError where it is not
        what the user says."""
        values, codes = coded_cells(cells)

        def row_number(k: int) -> int:
            # A dictionary has its values in the order in which they come.
            return table.row_number(int(np.argmax(codes == k)))

        self.candidates.add(values, codes, row_number)
        if self.kind is not None and not self.candidates.alive:
            raise self._not_as_asked(*self.candidates.refused, table.path)
        if self.whole and self.candidates.found("."):
            return
        self.text.add(values, self._add_distinct(values, codes), row_number)

    def _add_distinct(self, values: ArrowArray, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Add the different values; return how often each occurs."""
        counts = np.bincount(codes, minlength=len(values) + 1)[:-1]
        self.distinct.add(values.to_pylist(), counts.tolist(), [])
        return counts

    def _not_as_asked(self, row: int, cell: str, path: str) -> InputError:
        was = "a number" if self.kind == "number" else "a date such as 2024-01-31"
        return InputError(
            f"{path}, row {row}, column {self.name!r}: {cell} is not {was}, as this column is asked to be; correct the "
            "cell or leave it empty, or leave the choice out."
        )

    def __iadd__(self, other: ColumnStatistics) -> ColumnStatistics:
        """Add the statistics of the rows that follow."""
        if self.form is None:
            self.form, self.type_name = other.form, other.type_name
        self.rows += other.rows
        self.missing += other.missing
        self._add_pattern(other.pattern)
        self.constant = other.constant if self.constant is None else self.constant
        self.distinct += other.distinct
        self.values += other.values
        self.candidates += other.candidates
        self.text += other.text
        self.numbers += other.numbers
        return self


def missing_refused(table: Table, name: str, absent: NDArray[np.bool_]) -> InputError:
    """Return the error for missing cells that the user does not want filled in. absent: which they are."""
    rows = np.flatnonzero(absent)
    return InputError(
        f"{table.place_of_rows(name, rows)}: {'this cell is' if len(rows) == 1 else 'these cells are'} empty, and "
        f"{setting('missing', repr('error'))} refuses missing cells; fill them in, or leave the setting out, so that "
        "they are filled in with the mean and marked."
    )


def _present(values: Array) -> Array:
    return values[~np.isnan(values)]


def _known(values: Array | int) -> Array:
    assert not isinstance(values, int), "the cells were found to be of this kind"
    return values


class _RowNumbers:
    """What tells whether a column only counts the rows: it is named like a row number, or has no name, and is exactly
    0, 1, 2, ... or 1, 2, 3, ..."""

    def __init__(self, name: str) -> None:
        self.name, self._counts, self._first, self._seen = name, named_like_identifier(name), 0, 0

    @property
    def counts(self) -> bool:
        return self._counts and self._first in (0, 1)

    def add(self, table: Table) -> None:
        if not self._counts:
            return
        cells = table.cells(self.name)
        if not is_whole(cells) or cells.null_count:
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


class TargetStatistics:
    """The statistics of the target. without: rows that have none."""

    def __init__(self, name: str, whole: bool) -> None:
        self.name = name
        self.form: Form = None
        self.type_name = ""
        self.distinct = Distinct(None if whole else MANY)
        self.candidates = Candidates()
        self.without = 0

    def add(self, table: Table, cells: ArrowArray) -> None:
        """Add the target's cells of all rows of a table, which must be plain."""
        self.form, self.type_name = _form_of(cells), str(cells.type)
        self.without += cells.null_count
        if self.form in ("number", "text", "bool"):
            values, codes = coded_cells(cells)
            counts = np.bincount(codes, minlength=len(values) + 1)[:-1]
            places = _first_places(codes, len(values)) if self.form == "text" else np.zeros(0, dtype=np.int64)
            if self.form == "text":
                self.candidates.add(values, codes, lambda k: table.row_number(int(places[k])))
            self.distinct.add(values.to_pylist(), counts.tolist(), table.row_numbers(places).tolist())

    def __iadd__(self, other: TargetStatistics) -> TargetStatistics:
        if self.form is None:
            self.form, self.type_name = other.form, other.type_name
        self.distinct += other.distinct
        self.candidates += other.candidates
        self.without += other.without
        return self

    def read(self, decimal: Decimal) -> Reading | None:
        """Turn texts that are numbers into these numbers. Returns the rule by which they are read, or None where the
        target is left as it is."""
        import pyarrow as pa

        found = self.candidates.found(decimal) if self.form == "text" else None
        if found is None or found.reading is None or found.kind == "date":
            return None
        values = _known(found.reading.read(pa.array(self.distinct.values, pa.large_string())))
        numbers = Distinct(self.distinct.most)
        for value, times in zip(values.tolist(), self.distinct.counts, strict=True):
            numbers.add([value], [times], [])
        numbers.many |= self.distinct.many
        self.form, self.distinct = "number", numbers
        return found.reading


def _first_places(codes: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Return (n,) the first position of each of the codes 0, ..., n - 1, all of which occur."""
    first = np.zeros(n + 1, dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]  # where an index occurs twice, the last assignment counts
    return first[:n]


class Gathered:
    """The statistics of all columns, from the tables that were added so far.

    names: of all columns; target: None where it is no column; ignore: columns that are not examined. pieces: how many
    there are; a table is identified by the number of its piece and its place in that. whole: the first table that is
    added is all there is. like: the schema of all rows, of which these are a part. choices: what the user says of
    columns.

    sizes: (pieces,) rows with a target. rows: how many were seen, with those that have none. decimal: the mark that
    numbers have in the files.
    """

    def __init__(
        self,
        names: Iterable[str],
        target: str | None,
        ignore: Collection[str],
        pieces: int,
        *,
        whole: bool = False,
        like: Schema | None = None,
        choices: ColumnChoices | None = None,
    ) -> None:
        left_out = {target, *ignore}
        features = [name for name in names if name not in left_out]
        self.choices, self.whole = choices or ColumnChoices(), whole
        known = {column.name: column for column in like.columns} if like else {}
        self.facts = [ColumnStatistics(name, self.choices, whole, known.get(name)) for name in features]
        self.row_numbers = [_RowNumbers(name) for name in features]
        self.target = TargetStatistics(target or "", whole)
        self.sizes, self.rows = np.zeros(pieces, dtype=np.int64), 0
        self.decimal: Decimal = "."

    def without_factors(self) -> Gathered:
        """The same where no column is to be a factor by rule."""
        found = copy(self)
        found.choices = replace(self.choices, factors=())
        found.facts = [copy(facts) for facts in self.facts]
        for facts in found.facts:
            facts.choices = found.choices
        return found

    def add(self, piece: int, table: Table) -> None:
        cells = plain(table.column(self.target.name))
        self.decimal = table.decimal
        self.rows += len(cells)
        place = f"{piece} {self.sizes[piece]} ".encode()
        self.sizes[piece] += len(cells) - cells.null_count
        self.target.add(table, cells)
        for numbers in self.row_numbers:
            numbers.add(table)
        if cells.null_count:
            table = table.take(np.flatnonzero(cells.is_valid().to_numpy(zero_copy_only=False)))
        if table.n_rows:
            self._add_features(table, place)

    def add_features(self, table: Table) -> None:
        """Add a table without a target, which is all there is."""
        self.rows = self.sizes[0] = table.n_rows
        for numbers in self.row_numbers:
            numbers.add(table)
        self._add_features(table, b"")

    def _add_features(self, table: Table, place: bytes) -> None:
        for facts in self.facts:
            facts.add(table, place)

    def __iadd__(self, other: Gathered) -> Gathered:
        """Add what was gathered from the rows that follow."""
        for facts, others in zip(self.facts, other.facts, strict=True):
            facts += others
        for numbers, its in zip(self.row_numbers, other.row_numbers, strict=True):
            numbers += its
        self.target += other.target
        self.decimal = "," if "," in (self.decimal, other.decimal) else "."
        self.rows += other.rows
        self.sizes += other.sizes
        return self

    @property
    def missing(self) -> dict[str, int]:
        """Return the number of cells without a value, of each feature column that has any."""
        return {facts.name: facts.missing for facts in self.facts if facts.missing}
