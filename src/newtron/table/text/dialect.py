"""Which separator and which quotation mark a text file uses, judged from its first rows."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass

from newtron.table.cells import MISSING

SEPARATORS = (",", ";", "\t", "|", " ")  # the earlier wins where all else is equal
# Bytes of the text that are judged by, and more of them where the first hold no two whole rows; at most this number of
# rows.
_SAMPLE_SIZES = (1 << 16, 1 << 22)
_SAMPLE_ROWS = 200
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Dialect:
    separator: str
    quote: str


@dataclass(frozen=True)
class _Trial:
    """The sample as it reads with one separator and one quotation mark."""

    dialect: Dialect
    rows: list[list[str]]

    @property
    def width(self) -> int:
        return len(self.rows[0]) if self.rows else 0

    @property
    def agreement(self) -> float:
        """The share of rows that are as wide as the header."""
        body = self.rows[1:]
        return sum(len(row) == self.width for row in body) / len(body) if body else 1.0

    @property
    def numbers(self) -> float:
        """The share of cells that are numbers or missing: 'a;b' cut at the wrong place gives few."""
        cells = [cell.strip() for row in self.rows[1:] for cell in row]
        good = sum(cell in MISSING or _NUMBER.fullmatch(cell) is not None for cell in cells)
        return good / len(cells) if cells else 0.0

    @property
    def plausible(self) -> bool:
        # Blanks stand inside names and texts too: they separate only if most rows agree.
        return self.width > 1 and (self.dialect.separator != " " or self.agreement >= 0.5)


def detect_dialect(text: bytes, separator: str | None = None) -> Dialect:
    """Return the dialect in which most rows are as wide as the header, with a comma where there is one column only.
    separator: where it is known."""
    for size in _SAMPLE_SIZES:
        whole = len(text) <= size
        sample = text[:size].decode("utf-8", errors="ignore")
        trials = [_try_quotes(sample, candidate, whole) for candidate in ([separator] if separator else SEPARATORS)]
        if whole or any(len(trial.rows) > 1 for trial in trials):
            break
    plausible = [trial for trial in trials if trial.plausible]
    if not plausible:
        return trials[0].dialect
    # max keeps the first of equals, and the separators stand in order of preference.
    best = max(plausible, key=lambda trial: (round(trial.agreement, 2), trial.numbers))
    return best.dialect


def _try_quotes(sample: str, separator: str, whole: bool) -> _Trial:
    double = _parse(sample, Dialect(separator, '"'), whole)
    if "'" not in sample:
        return double
    single = _parse(sample, Dialect(separator, "'"), whole)
    if single.agreement != double.agreement:
        return max(single, double, key=lambda trial: trial.agreement)
    if '"' in sample:
        return double
    cells = [cell for row in double.rows for cell in row]
    closed = [cell for cell in cells if len(cell) > 1 and cell[0] == cell[-1] == "'"]
    opened = [cell for cell in cells if cell.startswith("'")]
    return single if closed and len(closed) == len(opened) else double


def _parse(sample: str, dialect: Dialect, whole: bool) -> _Trial:
    rows: list[list[str]] = []
    reader = csv.reader(
        io.StringIO(sample, newline=""),
        delimiter=dialect.separator,
        quotechar=dialect.quote,
        skipinitialspace=True,
    )
    try:
        for row in reader:
            if dialect.separator == " " and row and row[-1] == "":
                row = row[:-1]  # blanks at the end of a line
            if row:
                rows.append(row)
            if len(rows) > _SAMPLE_ROWS:
                break
        else:
            if not whole and len(rows) > 1:
                rows.pop()  # the sample ends in the middle of this row
    except csv.Error:
        pass  # a cell too long for the csv module: judge by the rows before it
    return _Trial(dialect, rows)
