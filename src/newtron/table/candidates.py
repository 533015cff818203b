"""Find out by which rule the texts of a column are read as numbers, dates or times of day.

A text such as 1,234 or 03/04/2024 fits several rules. Those that fit all texts so far are the candidates; each keeps
the sums of its values, so that the texts are seen once. What was found in parts of a column adds up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.types import Array
from newtron.table.arrow import ArrowArray
from newtron.table.cells import as_days
from newtron.table.choices import DateOrder
from newtron.table.readings import (
    Decimal,
    GroupMark,
    Mask,
    Numerals,
    ParsedDates,
    Reading,
    parse_dates,
    parse_numerals,
    same_texts,
)
from newtron.table.table import show

Order: TypeAlias = Literal["dmy", "mdy"]
# What a text may be: a date as 2024-01-31, a date with day or month first, a time of day, a number with either mark.
Key: TypeAlias = Literal["iso", "dmy", "mdy", "clock", ".", ",", "known"]
_DECIMALS: tuple[Decimal, ...] = (".", ",")
_ORDERS: tuple[Order, ...] = ("dmy", "mdy")
KEYS: dict[str | None, frozenset[Key]] = {
    None: frozenset(("iso", "dmy", "mdy", "clock", ".", ",")),
    "number": frozenset((".", ",", "clock")),
    "date": frozenset(("iso", "dmy", "mdy")),
}
# Sums are also held times this power of two: float64 ends at 2^1024, and a sum of fewer than 2^60 numbers cannot reach
# that after the shrinking.
_SHRINK = 2.0**-60


class _Sum:
    """A compensated sum (Kahan 1965): a million parts add up as one does."""

    def __init__(self) -> None:
        self.total = self.error = 0.0

    def add(self, part: float) -> None:
        part -= self.error
        total = self.total + part
        self.error, self.total = (total - self.total) - part, total

    def __iadd__(self, other: _Sum) -> _Sum:
        self.add(other.total)
        self.add(-other.error)
        return self


class Values:
    """The number, the sum, the smallest and the largest of the values of a column."""

    def __init__(self) -> None:
        self.n = 0
        self.low, self.high = np.inf, -np.inf
        self._sum, self._shrunk = _Sum(), _Sum()

    @property
    def mean(self) -> float:
        mean = self._sum.total / self.n
        return mean if np.isfinite(mean) else self._shrunk.total / self.n / _SHRINK

    def add(self, present: Array) -> tuple[float, float]:
        """Add values without NaN; return the smallest and the largest of them, or (inf, -inf) where there are none."""
        if not len(present):
            return np.inf, -np.inf
        low, high = float(present.min()), float(present.max())
        self.n += len(present)
        self.low, self.high = min(self.low, low), max(self.high, high)
        with np.errstate(over="ignore"):
            part = float(np.sum(present))
        self._sum.add(part)
        self._shrunk.add(part * _SHRINK if np.isfinite(part) else float(np.sum(present * _SHRINK)))
        return low, high

    def __iadd__(self, other: Values) -> Values:
        self.n += other.n
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self._sum += other._sum
        self._shrunk += other._shrunk
        return self


class Found(NamedTuple):
    """How a column is read (reading: None for plain numbers and dates such as 2024-01-31), and its values."""

    kind: Literal["number", "date"]
    reading: Reading | None
    values: Values


class Candidates:
    """The rules that fit all texts of a column so far.

    asked: "number" or "date" where the user says so; then every form is taken, and else what codes and part numbers
    look like too is not. order: of day, month and year, where the user says it. known: the rule of all rows, where
    these are a part of them.

    refused: the cell that ended the last rule, and its row. groups, units: the first cell with each mark between digits
    and each unit. marked: the decimal marks with which numbers have more than digits and a point. numeric, short: the
    first date that has digits alone, and of which the year has two. doubtful: the first that is two dates, by the day
    or the month first.
    """

    def __init__(self, asked: str | None = None, order: DateOrder | None = None, known: Reading | None = None) -> None:
        self.asked, self.known = asked, known
        keys = KEYS[asked]
        if known is not None:
            keys = frozenset(("known",))
        elif order is not None:
            keys = frozenset(("iso", order if order != "ymd" else "dmy"))
        self.order = order
        self.alive: dict[Key, Values] = {key: Values() for key in sorted(keys)}
        self.seen = False
        self.marked: set[Decimal] = set()
        self.refused = (0, "")
        self.groups: dict[str, tuple[int, str]] = {}
        self.units: dict[str, tuple[int, str]] = {}
        self.numeric = self.short = self.doubtful = ""

    def add(self, values: ArrowArray, codes: NDArray[np.int64], row_number: Callable[[int], int]) -> None:
        """Add texts that differ from each other. codes: for each cell the position of its text, len(values) where it is
        missing; row_number: gives, for a position in values, the number of the first row that holds it."""
        if not self.alive or not len(values):
            return
        self.seen = True
        one, nobody = np.zeros(1, dtype=np.int64), Candidates(self.asked, self.order, self.known)
        nobody.alive = {key: Values() for key in self.alive}
        if len(values) > 1:
            # The first text ends nearly all rules of a column of words: the others need not be read.
            nobody._read(values.slice(0, 1), one, row_number)
            for key in self.alive.keys() - nobody.alive.keys():
                self._end(key, 0, values, row_number)
        self._read(values, codes, row_number)

    def _read(self, values: ArrowArray, codes: NDArray[np.int64], row_number: Callable[[int], int]) -> None:
        example = _Examples(values, row_number)
        if self.known is not None:
            self._keep("known", self.known.read(values), codes, example)
            return
        if not self._dates(values, codes, example) and "clock" in self.alive:
            self._keep("clock", Reading("time").read(values), codes, example)
        for decimal in _DECIMALS:
            if decimal in self.alive:
                self._numbers(parse_numerals(values, decimal), decimal, codes, example)

    def _dates(self, values: ArrowArray, codes: NDArray[np.int64], example: _Examples) -> bool:
        """Return whether all texts are dates such as 2024-01-31, which every order reads alike."""
        orders: list[Order] = [order for order in _ORDERS if order in self.alive]
        days = as_days(values) if "iso" in self.alive else 0
        if not isinstance(days, int):
            self._keep("iso", days, codes, example)
            for order in orders:
                self._keep(order, days, codes, example)
            return True
        if "iso" in self.alive:
            self._end("iso", days, values, example.row_number)
        if not orders:
            return False
        parsed = parse_dates(values)
        read = {order: parsed.in_order(order) for order in orders}
        if self.order == "ymd":
            read = {"dmy": parsed.days}
        for order, found in read.items():
            sound = ~np.isnan(found) if self.asked == "date" else ~np.isnan(found) & ~parsed.codes
            self._keep(order, found if sound.all() else int(np.argmin(sound)), codes, example)
        self._note_dates(parsed, read.keys() & self.alive.keys(), example)
        return False

    def _note_dates(self, parsed: ParsedDates, alive: set[Order], example: _Examples) -> None:
        if not alive:
            return
        self.numeric = self.numeric or example.first(parsed.first > 0)
        self.short = self.short or example.first(parsed.short)
        if len(alive) == 2:
            doubtful = (parsed.first > 0) & (parsed.first != parsed.middle) & ~parsed.dots
            self.doubtful = self.doubtful or example.first(doubtful)

    def _numbers(self, found: Numerals, decimal: Decimal, codes: NDArray[np.int64], example: _Examples) -> None:
        sound = found.fits if self.asked == "number" else found.fits & ~found.codes
        self._keep(decimal, found.values if sound.all() else int(np.argmin(sound)), codes, example)
        if decimal not in self.alive:
            return
        if not found.plain.all():
            self.marked.add(decimal)
        for marks, texts in ((self.groups, found.group), (self.units, found.unit)):
            for mark in texts.unique().to_pylist():
                marks.setdefault(mark, example.place(same_texts(texts, mark)))

    def _keep(self, key: Key, values: Array | int, codes: NDArray[np.int64], example: _Examples) -> None:
        """Add the values of a rule that reads all texts, or end it at the text that it does not read."""
        if isinstance(values, int):
            self._end(key, values, example.values, example.row_number)
            return
        cells = np.append(values, np.nan)[codes]
        self.alive[key].add(cells[~np.isnan(cells)])

    def _end(self, key: Key, index: int, values: ArrowArray, row_number: Callable[[int], int]) -> None:
        del self.alive[key]
        self.refused = max(self.refused, (row_number(index), show(values[index].as_py())))

    def __iadd__(self, other: Candidates) -> Candidates:
        """Add what was found in the rows that follow."""
        if not self.seen or not other.seen:
            known = other if other.seen else self
            self.__dict__.update(known.__dict__)
            return self
        for key in list(self.alive):
            if key in other.alive:
                self.alive[key] += other.alive[key]
            else:
                del self.alive[key]
        self.refused = max(self.refused, other.refused)
        self.marked |= other.marked
        for mine, others in ((self.groups, other.groups), (self.units, other.units)):
            for mark, cell in others.items():
                mine.setdefault(mark, cell)
        self.numeric, self.short = self.numeric or other.numeric, self.short or other.short
        self.doubtful = self.doubtful or other.doubtful
        return self

    @property
    def dates(self) -> bool:
        """Whether all texts are dates."""
        return self.seen and bool(self.alive.keys() & {"iso", "dmy", "mdy"})

    @property
    def is_doubtful(self) -> bool:
        """Whether the dates can have the day first and the month first, and the two are not the same."""
        return bool(self.doubtful) and "iso" not in self.alive and {"dmy", "mdy"} <= self.alive.keys()

    @property
    def mixed(self) -> str:
        """What keeps numbers from being one column: two units, or two marks between digits; "" for nothing."""
        if not self.alive.keys() & {".", ","}:
            return ""
        for marks, what in ((self.units, "unit"), (self._group_marks(), "mark between thousands")):
            if len(marks) > 1:
                (_, first), (_, second) = sorted(marks.values())[:2]
                return f"{first} and {second}, which have not the same {what}: write all with one"
        return ""

    def _group_marks(self) -> dict[str, tuple[int, str]]:
        decimal = self._decimal(".")
        return {mark: cell for mark, cell in self.groups.items() if mark not in ("", decimal)}

    def _decimal(self, usual: Decimal) -> Decimal:
        return usual if usual in self.alive or not self.alive.keys() & {".", ","} else "," if usual == "." else "."

    def found(self, decimal: Decimal) -> Found | None:
        """Return how the column is read, or None where its texts are none of numbers, dates and times. decimal: the
        mark that numbers have in this file, which decides where a column fits both."""
        if not self.seen or not self.alive:
            return None
        if self.known is not None:
            kind: Literal["number", "date"] = "date" if self.known.form == "date" else "number"
            return Found(kind, self.known, self.alive["known"])
        if "iso" in self.alive:
            return Found("date", None, self.alive["iso"])
        for order in _ORDERS:
            if order in self.alive and not self.is_doubtful:
                by_position = self.numeric and self.order != "ymd"
                return Found("date", Reading("date", order=order if by_position else "ymd"), self.alive[order])
        if "clock" in self.alive:
            return Found("number", Reading("time"), self.alive["clock"])
        return self._number(decimal)

    def _number(self, usual: Decimal) -> Found | None:
        decimal = self._decimal(usual)
        if decimal not in self.alive or self.mixed or not (decimal in self.marked or self.asked == "number"):
            return None
        if decimal not in self.marked:
            return Found("number", None, self.alive[decimal])
        marks = [mark for mark in self.groups if mark not in ("", decimal)]
        (unit,) = self.units
        group = cast(GroupMark, marks[0] if marks else "")
        return Found("number", Reading("number", decimal, group, unit), self.alive[decimal])


class _Examples(NamedTuple):
    """Texts, and how the first row with one of them is named."""

    values: ArrowArray
    row_number: Callable[[int], int]

    def first(self, which: Mask) -> str:
        """Return the first of the texts for which this is true, with its row; "" where there is none."""
        return self.place(which)[1] if which.any() else ""

    def place(self, which: Mask) -> tuple[int, str]:
        """Return the row of the first of the texts for which this is true, and what it holds."""
        place = int(np.argmax(which))
        row = self.row_number(place)
        return row, f"row {row} holds {show(self.values[place].as_py())}"
