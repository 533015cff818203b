"""CSV and its relatives -> a Table: rows and columns found, then each column typed as a whole.

Two readers give the same cells. Arrow's is fast. Python's csv module reads what Arrow's does not (blanks
around quotation marks or in runs), and where a file is at fault it says in which row.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import InputError
from newtron.engine.base.words import count
from newtron.table.arrow import ArrowColumn, ArrowTable
from newtron.table.cells import parse_comma_numbers
from newtron.table.spelling import (
    SpelledColumn,
    as_spelled,
    spelling_notes,
    with_marked_codes,
    without_marks,
)
from newtron.table.table import SPELLED, Keep, Table, check_finite, check_names, show
from newtron.table.text.dialect import Dialect, detect_dialect
from newtron.table.text.encoding import to_utf8
from newtron.table.text.kinds import CellKind, decimal_mark

# A cell with more characters is refused: it is nearly always a quotation mark that never closes. Python's csv module
# has a similar limit, 131,072.
LONGEST_CELL = 100_000
# Bytes that Arrow's reader parses at a time.
_BLOCK = 1 << 22


def read_delimited(
    path: str, raw: bytes, encoding: str, keep: Keep | None = None, letters: Collection[str] = ()
) -> Table:
    """Read a text file whose first row names the columns. keep, letters: as in `read_table`."""
    import pyarrow as pa

    text = to_utf8(path, raw, encoding)
    text, header_row, separator = skip_preamble(text)
    if not text.strip():
        raise InputError(f"{path}: the file is empty; give a table with a header row and data rows.")
    dialect = detect_dialect(text, separator)
    text = with_marked_codes(text, dialect)
    cells, blank = _read_fast(text, dialect) or _read_carefully(path, text, dialect, header_row)
    header = [without_marks(column[0].as_py()).strip() for column in cells.columns]
    names, notes = name_columns(path, header)
    kept = () if keep is None else keep(names)
    cells = cells.rename_columns(names)
    _check_cell_lengths(path, cells, header_row)
    body, rows = cells.slice(1), None
    if blank.any():
        notes.append(f"{path}: {count(int(blank.sum()), 'blank line')} left out.")
        filled = np.flatnonzero(~blank[1:])
        body, rows = body.take(pa.array(filled)), filled + header_row + 1
    if not body.num_rows:
        raise InputError(f"{path}: there is a header but no data rows; add rows below the header.")
    kinds = [CellKind(name in letters, dialect.separator != ",") for name in names]
    columns, decimal = _type_columns(path, body, kinds, notes)
    columns += [as_spelled(body.column(name)) for name in kept]
    data = pa.table(columns, names=[*names, *(SPELLED + name for name in kept)])
    table = Table(path, data, header_row + 1, tuple(notes), rows, decimal)
    check_finite(table)
    return table


def skip_preamble(text: bytes) -> tuple[bytes, int, str | None]:
    """Skip blank lines before the header, and the line 'sep=;' by which Excel names the separator. Returns the text
    from the header on, the number of the header's line, and the separator if it was named."""
    header_row = 1
    separator = None
    while match := re.match(rb"[ ]*(?:\r\n|\r|\n)|sep=([,;\t| ])(?:\r\n|\r|\n)", text):
        if match[1]:
            separator = match[1].decode()
        text = text[match.end() :]
        header_row += 1
    return text, header_row, separator


def _read_fast(text: bytes, dialect: Dialect) -> tuple[ArrowTable, NDArray[np.bool_]] | None:
    """Read with Arrow. Returns every cell as text, with the header as the first row, and which rows are blank lines; or
    None where only `_read_carefully` reads the text rightly."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import csv as arrow_csv

    separator, quote = dialect.separator.encode(), dialect.quote.encode()
    if separator == b" ":
        irregular = any(blanks in text for blanks in (b"  ", b"\n ", b" \n", b" \r", b"\r ")) or text[:1] == b" "
    else:
        irregular = separator + b" " + quote in text or text.startswith(b" " + quote)
    quotes = text.count(quote)
    if irregular or quotes % 2 or text.endswith(b" "):
        return None  # an odd number of marks: perhaps a quotation that never ends, which Arrow reads silently
    try:
        width = len(next(csv.reader(_lines(text, dialect), delimiter=dialect.separator, quotechar=dialect.quote)))
        cells = arrow_csv.read_csv(
            pa.BufferReader(text),
            # One block needs one thread; a process that ends right after others were started can abort in Arrow 21 and
            # older ones (https://github.com/apache/arrow/issues/34314).
            read_options=arrow_csv.ReadOptions(
                autogenerate_column_names=True, block_size=_BLOCK, use_threads=len(text) > _BLOCK
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=dialect.separator,
                quote_char=dialect.quote,
                newlines_in_values=quotes > 0,
                ignore_empty_lines=False,
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types={f"f{position}": pa.string() for position in range(width)},
                check_utf8=False,
                **empty_lines(width),
            ),
        )
    except (pa.ArrowInvalid, csv.Error):
        return None  # the careful reader finds out which row is at fault
    if width > 1:
        blank = _blank_lines(text, quotes, cells)
        return None if blank is None else (cells, blank)
    empty = cells.column(0).is_null().to_numpy()
    return cells.set_column(0, "f0", pc.fill_null(cells.column(0), "")), _at_the_end(empty)


def _blank_lines(text: bytes, quotes: int, cells: ArrowTable) -> NDArray[np.bool_] | None:
    """Return which rows are blank lines. Arrow reads a line of separators with nothing between them in the same way,
    but that is a row. Returns None where only `_read_carefully` can tell."""
    import pyarrow.compute as pc

    empty = np.ones(cells.num_rows, dtype=bool)
    for column in cells.columns:
        empty &= pc.equal(column, "").to_numpy()
        if not empty.any():
            return empty
    if not any(pair in text for pair in (b"\n\n", b"\n\r\n", b"\r\r")):
        return np.zeros(cells.num_rows, dtype=bool)
    letters = np.frombuffer(text, dtype=np.uint8)
    ends = np.flatnonzero(letters == (10 if b"\n" in text else 13))
    starts = np.concatenate([[0], ends + 1])
    begins = letters[starts[starts < len(text)]]
    # In quotation marks a line need not be a row.
    return None if quotes or len(begins) != cells.num_rows else (begins == 10) | (begins == 13)


def empty_lines(width: int) -> dict[str, list[str] | bool]:
    """Return the options by which Arrow reads an empty line of a file with one column as null, and an empty cell in
    quotation marks as text."""
    return {
        "null_values": [""],
        "strings_can_be_null": width == 1,
        "quoted_strings_can_be_null": False,
    }


def _at_the_end(empty: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which rows of a file with one column are no rows. Between other rows an empty line is an empty cell, as
    Excel writes it; at the end of the file it is none."""
    filled = np.flatnonzero(~empty)
    blank = np.ones(len(empty), dtype=bool)
    blank[: filled[-1] + 1] = False
    return blank


def _lines(text: bytes, dialect: Dialect) -> Iterator[str]:
    for line in io.TextIOWrapper(io.BytesIO(text), "utf-8", newline=""):
        # With blanks as separator, those at the end of a line separate nothing.
        yield line.rstrip(" \r\n") + "\n" if dialect.separator == " " else line


def _read_carefully(path: str, text: bytes, dialect: Dialect, header_row: int) -> tuple[ArrowTable, NDArray[np.bool_]]:
    """Read with Python's csv module, which says in which row the text is at fault. Returns what `_read_fast` does."""
    import pyarrow as pa

    reader = csv.reader(
        _lines(text, dialect),
        delimiter=dialect.separator,
        quotechar=dialect.quote,
        skipinitialspace=True,
        strict=True,
    )
    rows: list[list[str]] = []
    blank: list[bool] = []
    try:
        for row in reader:
            width = len(rows[0]) if rows else len(row)
            blank.append(not "".join(row).strip() and len(row) != width)
            if blank[-1]:
                row = [""] * width
            if len(row) != width:
                raise ragged(path, header_row + len(rows), len(row), width, dialect)
            rows.append(row)
    except csv.Error as error:
        raise unreadable(path, header_row + len(rows), str(error), dialect) from None
    columns = [pa.chunked_array([pa.array(cells, pa.string())]) for cells in zip(*rows, strict=True)]
    cells = pa.table(columns, names=[f"f{position}" for position in range(len(columns))])
    return cells, np.array(blank) if len(columns) > 1 else _at_the_end(np.array(blank))


def ragged(path: str, row: int, found: int, expected: int, dialect: Dialect) -> InputError:
    names = {",": "comma", ";": "semicolon", "\t": "tab", "|": "vertical bar", " ": "blank"}
    cure = (
        f"put {dialect.quote} around a cell that contains a {names[dialect.separator]}, or name every column"
        + (", and delete lines above the names" if expected == 1 else "")
        if found > expected
        else "fill the row up (an empty cell still has its separator), or delete it"
    )
    header = f"the header has {expected}" if expected > 1 else "the header has 1 column"
    return InputError(f"{path}, row {row}: there {_cells(found)} here but {header}; {cure}.")


def _cells(number: int) -> str:
    return f"{'is' if number == 1 else 'are'} {count(number, 'cell')}"


def unreadable(path: str, row: int, reason: str, dialect: Dialect) -> InputError:
    where = f"{path}, row {row}"
    if "field larger" in reason:
        return InputError(f"{where}: a cell is longer than {LONGEST_CELL:,} characters; shorten or delete it.")
    if "unexpected end" in reason:
        return InputError(f"{where}: a quotation mark {dialect.quote} opens here and never closes; close it.")
    return InputError(
        f"{where}: a quotation mark {dialect.quote} stands inside a quoted cell; write it twice or remove it."
    )


def name_columns(path: str, header: list[str]) -> tuple[list[str], list[str]]:
    """Return names for all columns, and notes on the names that had to be given."""
    named = [name for name in header if name]
    notes = []
    if named and all(_is_number(name) for name in named):
        shown = ", ".join(show(name) for name in named[:3])
        if not _counts_up(named):
            raise InputError(
                f"{path}, row 1: the first row names the columns, but here it holds only numbers ({shown}); "
                "add a row of column names at the top."
            )
        notes.append(f"{path}: the column names are numbers ({shown}, ...); the first row was taken as names.")
    names, taken = list(header), set(header)
    for position, name in enumerate(header, start=1):
        if name:
            continue
        given = f"column {position}"
        while given in taken:
            given += "'"
        taken.add(given)
        names[position - 1] = given
        notes.append(f"{path}: the column without a name is called {given!r}.")
    check_names(path, names)
    return names, notes


def _is_number(name: str) -> bool:
    return re.fullmatch(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?", name, re.ASCII) is not None


def _counts_up(names: list[str]) -> bool:
    """Return whether the names are 0, 1, 2, ... or the like, as an array without names is often written. A row of data
    is seldom so."""
    if len(names) < 3 or not all(name.isdecimal() for name in names):
        return False
    first = int(names[0])
    return [int(name) for name in names] == list(range(first, first + len(names)))


def _check_cell_lengths(path: str, cells: ArrowTable, header_row: int) -> None:
    import pyarrow.compute as pc

    for name, column in zip(cells.column_names, cells.columns, strict=True):
        if pc.max(pc.binary_length(column)).as_py() <= LONGEST_CELL:
            continue
        lengths = pc.utf8_length(column).to_numpy()
        longest = int(np.argmax(lengths > LONGEST_CELL))
        if lengths[longest] > LONGEST_CELL:
            raise InputError(
                f"{path}, row {header_row + longest}, column {show(name)}: the cell has {lengths[longest]:,} "
                f"characters, and {LONGEST_CELL:,} is the most; shorten it, or close an open quotation mark."
            )


def _type_columns(
    path: str, body: ArrowTable, kinds: Sequence[CellKind], notes: list[str]
) -> tuple[list[ArrowColumn], Literal[".", ","]]:
    """Turn columns of which every cell is a number into numbers; the others stay text. Returns the columns and the
    decimal mark of the file.

    A comma inside a number is a decimal comma if the file does not separate by commas and writes no number with a
    decimal point. Then 1.234 is one with a mark of thousands: such a column stays text, which the schema reads.
    """
    import pyarrow as pa

    columns: list[ArrowColumn] = []
    texts: dict[int, ArrowColumn] = {}  # of numbers that may turn out to be written with commas
    for position, kind in enumerate(kinds):
        cells, numbers = kind.add(body.column(position))
        columns.append(cells if numbers is None else numbers)
        if kind.commas:
            texts[position] = cells
    decimal = decimal_mark(kinds)
    for position, kind in enumerate(kinds):
        if decimal == "," and kind.kind == "comma":
            columns[position] = parse_comma_numbers(texts[position])
        elif decimal == "," and kind.kind == "point":
            columns[position] = texts[position]
    notes += spelling_notes(
        path,
        [
            SpelledColumn(name, kind.spelling, not pa.types.is_string(cells.type), pa.types.is_integer(cells.type))
            for name, kind, cells in zip(body.column_names, kinds, columns, strict=True)
        ],
    )
    return columns, decimal
