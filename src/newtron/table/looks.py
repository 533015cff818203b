"""Find columns that look like something that they are not used as, and say what to do.

Such are text that is almost numbers or dates, and numbers that are perhaps codes, dates or marks of missing cells. No
cell is changed. What was found in parts of a column adds up, in the order of the rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.types import Array
from newtron.engine.base.words import column_setting, count
from newtron.table.arrow import ArrowArray
from newtron.table.readings import WRITTEN
from newtron.table.table import show

# A text column is almost one of numbers, or of dates, if at least this share of its values are. A judgement.
_MOST = 0.9
_MONTH = r"(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?"

# A cell has the first form that it matches. The patterns are read by RE2, the engine of Arrow.
_FORMS = {
    "code": r"^0\d+$",
    "plain": r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$",
    "date": rf"^(\d{{1,2}}[/.-]\d{{1,2}}[/.-]\d{{4}}|\d{{1,2}}/\d{{1,2}}/\d{{2}}|\d{{4}}[/.-]\d{{1,2}}[/.-]\d{{1,2}}"
    rf"|\d{{1,2}}[ -]{_MONTH}[ ,-]+\d{{2,4}}|{_MONTH} +\d{{1,2}}(st|nd|rd|th)?,? +\d{{4}})([ T,].*)?$",
    "short date": r"^\d{1,2}[.-]\d{1,2}[.-]\d{2}$",
    "limit": r"^([<>≤≥~]|<=|>=)\s*[\d.,]+$",
    "number": WRITTEN,
}


class TextLooks:
    """How many cells of a text column have which form (counts), and the first of each (first)."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.first: dict[str, str] = {}

    def add(self, values: ArrowArray, counts: NDArray[np.int64], row_number: Callable[[int], int]) -> None:
        """Add texts that differ. counts: how often each occurs; row_number: gives, for the position of a text in
        values, the number of the first row that holds it."""
        import pyarrow.compute as pc

        # Every form has a digit: one look at each text spares most of them the others.
        may = pc.match_substring_regex(values, r"\d").to_numpy(zero_copy_only=False)
        left, other = np.flatnonzero(may), np.flatnonzero(~may)
        for form, pattern in _FORMS.items():
            if not len(left):
                break
            fits = pc.match_substring_regex(values.take(left), pattern).to_numpy(zero_copy_only=False)
            self._count(form, left[fits], values, counts, row_number)
            left = left[~fits]
        self._count("other", np.union1d(left, other), values, counts, row_number)

    def _count(
        self,
        form: str,
        which: NDArray[np.int64],
        values: ArrowArray,
        counts: NDArray[np.int64],
        row_number: Callable[[int], int],
    ) -> None:
        if not len(which):
            return
        self.counts[form] = self.counts.get(form, 0) + int(counts[which].sum())
        if form not in self.first:
            k = int(which[0])
            self.first[form] = f"row {row_number(k)} holds {show(values[k].as_py())}"

    def __iadd__(self, other: TextLooks) -> TextLooks:
        for form, times in other.counts.items():
            self.counts[form] = self.counts.get(form, 0) + times
            self.first.setdefault(form, other.first[form])
        return self

    def hint(self, name: str, used: bool = False) -> str:
        """Return what prevents the column of this name from being one of numbers or dates, and what to do, if only
        little prevents it; else "". used: the column is used as categories. Then short forms with dots and dashes, such
        as 1-2-20, do not count as dates, since part numbers look like that."""
        n = sum(self.counts.values())
        numbers = sum(self.counts.get(form, 0) for form in ("plain", "number", "limit"))
        dates = self.counts.get("date", 0) + (0 if used else self.counts.get("short date", 0))
        if dates >= _MOST * n:
            return self._hint_of_dates(name)
        if "code" in self.counts or numbers < _MOST * n:
            return ""
        if "limit" in self.counts:
            more = self.counts["limit"] - 1
            also = f", as {_do_so(more)} more of its {count(n, 'cell')}" if more else ""
            cure = "write a number in its place, the limit say, or leave the cell empty"
            return f"{self.first['limit']}, a limit and not a number{also}: {cure}"
        return self._hint_of_numbers(name, n, n - numbers)

    def _hint_of_numbers(self, name: str, n: int, n_other: int) -> str:
        if not n_other:
            if self.counts.get("plain") == n:
                how = column_setting(name, "number")
                return f"all its {n:,} cells are numbers that are stored as text: {how} reads them as numbers"
            return "its numbers are not all written in one way: write them alike"
        first = next(self.first[form] for form in ("other", "date", "short date") if form in self.first)
        also = f", as the other {n - 1:,} are"
        if n_other > 1:
            also = f", nor {'is' if n_other == 2 else 'are'} {n_other - 1:,} more of its {count(n, 'cell')}"
        return f"{first}, which is not a number{also}: correct it or leave it empty"

    def _hint_of_dates(self, name: str) -> str:
        if "other" in self.first:
            return f"{self.first['other']}, which is not a date: correct it or leave it empty"
        if "short date" in self.first:
            return f"{self.first['short date']}, perhaps a date: {column_setting(name, 'date')} if it is"
        return "not all of its dates exist or are written in one way: correct them or leave them empty"


# Numbers that are often written where there is no value: 9, 99, ..., 9999999 and their negatives.
_MARKS = np.array([sign * (10**digits - 1) for digits in range(1, 8) for sign in (-1, 1)], dtype=np.float64)
# Whole numbers between these two may be dates such as 20240131.
_EARLIEST, _LATEST = 18000101, 22001231
_IDENTIFIER = re.compile(
    r"id|index|idx|rows?|row[ _.]?(names?|id|number)|obs|observation|no\.?|nr\.?|#|number|case|record|order|serial"
    r"|pid|uid|uuid|guid|column \d+|unnamed: \d+|__index_level_0__"
)


def _do_so(n: int) -> str:
    return f"{'does' if n == 1 else 'do'} {n:,}"


def named_like_identifier(name: str) -> bool:
    """Return whether a column is called 'id', 'rownames', 'customer_id', 'PassengerId' or the like, or has no name."""
    word = name.strip()
    return (
        _IDENTIFIER.fullmatch(word.casefold()) is not None or re.search(r"[ _.-](?i:id)$|[a-z]I[Dd]$", word) is not None
    )


class NumberLooks:
    """What tells whether some numbers of a column are marks of missing cells, or all of them identifiers or dates."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.named = named_like_identifier(name)
        self.whole = self.dates = self.distinct = True
        self.n, self.missing = 0, 0
        self.low, self.high = np.inf, -np.inf  # of the numbers that are no marks
        self.least = np.inf
        self.marks: dict[float, int] = {}

    def add(self, present: Array, low_and_high: tuple[float, float], missing: int, whole: bool) -> None:
        """Add numbers without NaN. low_and_high: the smallest and the largest of them; missing: how many cells have no
        value; whole: they are stored as whole numbers."""
        self.missing += missing
        self.whole &= whole
        if not len(present):
            return
        low, high = low_and_high
        self.n += len(present)
        self.least = min(self.least, low)
        self._add_whole(present, low, high)
        if low in _MARKS or high in _MARKS:
            is_mark = np.isin(present, _MARKS)
            for value, times in zip(*np.unique(present[is_mark], return_counts=True), strict=True):
                self.marks[float(value)] = self.marks.get(float(value), 0) + int(times)
            present = present[~is_mark]
            low, high = float(present.min(initial=np.inf)), float(present.max(initial=-np.inf))
        self.low, self.high = min(self.low, low), max(self.high, high)

    def _add_whole(self, present: Array, low: float, high: float) -> None:
        self.dates &= self.whole and low >= _EARLIEST and high <= _LATEST
        if self.dates:
            month, day = present // 100 % 100, present % 100
            self.dates = bool(((month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)).all())
        if self.named and self.whole and self.distinct:
            self.distinct = len(np.unique(present)) == len(present)

    def __iadd__(self, other: NumberLooks) -> NumberLooks:
        self.whole &= other.whole
        self.dates &= other.dates
        self.distinct &= other.distinct
        self.n += other.n
        self.missing += other.missing
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.least = min(self.least, other.least)
        for value, times in other.marks.items():
            self.marks[value] = self.marks.get(value, 0) + times
        return self

    def remarks(self) -> list[str]:
        """Return sentences on the column, which is used as numbers."""
        column, found = f"the column {self.name!r}", []
        if self.whole and self.n and self.least >= 1e15:
            found.append(
                f"{column} holds numbers of 16 digits or more and looks like an identifier but is used as a number; "
                "ignore it if so."
            )
        elif self._is_identifier():
            found.append(f"{column} looks like an identifier but is used as a number; ignore it if so.")
        if self.dates and self.n:
            example = f"{self.least:.0f}"
            found.append(
                f"{column} holds whole numbers such as {example} that look like dates but is used as a number; "
                f"{column_setting(self.name, 'date')} reads them as dates, {example[:4]}-{example[4:6]}-{example[6:]}."
            )
        for value, times in sorted(self.marks.items()):
            if self._stands_out(value, times):
                found.append(
                    f"{column} holds {value:.0f} in {count(times, 'row')}, far from its other values ({self.low:g} to "
                    f"{self.high:g}), and it is used as a number; where it means that there is no value, leave the "
                    "cell empty."
                )
        return found

    def _is_identifier(self) -> bool:
        """Return whether each cell is a different whole number. Of pieces it is known whether the numbers of each piece
        differ, and whether the range of all has room for as many."""
        spread = max([self.high, *self.marks]) - min([self.low, *self.marks]) + 1.0
        return self.named and self.whole and self.distinct and not self.missing and spread >= self.n > 1

    def _stands_out(self, value: float, times: int) -> bool:
        """Return whether a mark is further from the other numbers than these are from each other."""
        width = self.high - self.low
        gap = self.low - value if value < self.low else value - self.high
        return 0.0 < width < gap and (times > 1 or value < -9.0) and (times > 2 or abs(value) > 9.0)
