"""Read a sheet of a workbook: Excel (.xlsx, .xlsm, .xlsb, .xls) and OpenDocument (.ods), by python-calamine."""

from __future__ import annotations

import datetime
import importlib.util
import io
import pickle
import subprocess
import sys
import zipfile

import numpy as np

from newtron.engine.base.errors import InputError
from newtron.engine.base.words import count, setting
from newtron.table.arrow import ArrowArray
from newtron.table.cells import clean_text, parse_numbers
from newtron.table.data_file import DataFile, TooLargeError, memory_limit
from newtron.table.table import Table, check_finite, show, suggest
from newtron.table.text.delimited import name_columns

# The machine's memory as a multiple of what a table may take.
_WHOLE = 6
ZIP, OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
# A file of these names within an archive makes it a workbook.
_PARTS = ("xl/workbook.xml", "xl/workbook.bin", "content.xml")
# What a sheet holds where a formula has failed.
_ERRORS = ("#DIV/0!", "#N/A", "#NAME?", "#NULL!", "#NUM!", "#REF!", "#VALUE!")


def is_workbook(source: DataFile, start: bytes) -> bool:
    """Return whether a file with these first bytes is a workbook, and no other archive."""
    if start.startswith(OLE):
        return True
    if not start.startswith(ZIP):
        return False
    try:
        with source.open() as file, zipfile.ZipFile(file) as archive:
            return bool(set(_PARTS) & set(archive.namelist()))
    except (zipfile.BadZipFile, OSError, ValueError):
        return False


def read_workbook(source: DataFile, sheet: str | None, limit: float) -> Table:
    """Read the first sheet of a workbook that is not empty, or the one of this name. Its first row that is not empty
    names the columns.

    A column of numbers, dates, times or yes/no is one; whole numbers are whole. A column in which there is text is
    text, unless all its cells are numbers. Empty cells, errors of formulas and the words for missing cells in text
    files are missing.

    Raises
    ------
    InputError
        The extra is not installed, the workbook is damaged or has a password, there is no such sheet, or it has no
        rows. TooLargeError where the content has more bytes than `limit`.
    """
    rows, name = _rows(source, sheet, limit)
    first = next((k for k, row in enumerate(rows) if any(cell != "" for cell in row)), len(rows))
    where = f"{source.name}, sheet {name!r}"
    if first == len(rows):
        raise InputError(f"{where}: the sheet is empty; {setting('sheet') or 'another sheet'} names another.")
    header, body = rows[first], rows[first + 1 :]
    filled = [k for k, row in enumerate(body) if any(cell != "" for cell in row)]
    if not filled:
        raise InputError(f"{where}: there is a header but no data rows; add rows below the header.")
    body = body[: filled[-1] + 1]  # formatted cells below the table are no rows
    columns = [k for k, cell in enumerate(header) if cell != "" or any(row[k] != "" for row in body)]
    names, notes = name_columns(where, [str(header[k]).strip() for k in columns])
    import pyarrow as pa

    numbers = None
    if len(filled) < len(body):
        notes.append(f"{where}: {count(len(body) - len(filled), 'blank row')} left out.")
        body, numbers = [body[k] for k in filled], np.array(filled, dtype=np.int64) + first + 2
    data = pa.table([_column([row[k] for row in body]) for k in columns], names=names)
    table = Table(source.name, data, first + 2, tuple(notes), numbers)
    check_finite(table)
    return table


# Reads a workbook in a process of its own, because a damaged one can end the process that reads it. It writes what it
# found: the cells of a sheet and its name, or the names of the sheets, or that there is a password.
_READER = """
import io, pickle, sys
import python_calamine as calamine
limit, sheet, content = pickle.load(sys.stdin.buffer)
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
except (ImportError, ValueError, OSError):
    pass
try:
    book = calamine.CalamineWorkbook.from_filelike(io.BytesIO(content))
    names, found = list(book.sheet_names), None
    for name in names if sheet is None else [name for name in names if name == sheet]:
        rows = book.get_sheet_by_name(name).to_python(skip_empty_area=False)
        if rows or sheet is not None:
            found = rows, name
            break
    pickle.dump((found, names), sys.stdout.buffer)
except calamine.PasswordError:
    pickle.dump((None, None), sys.stdout.buffer)
"""


def _rows(source: DataFile, sheet: str | None, limit: float) -> tuple[list[list[object]], str]:
    """Return the cells of a sheet, row by row, and its name."""
    if importlib.util.find_spec("python_calamine") is None:
        raise InputError(
            f"{source.name}: this is a workbook, and reading it needs the extra excel: pip install 'newtron[excel]'; "
            "or save the sheet as CSV."
        )
    with source.open() as file:
        content = file.read()
    if _size(content) > limit:
        raise TooLargeError(source.name, limit)
    # All that the machine has, of which `memory_limit` is a share.
    asked = pickle.dumps((int(_WHOLE * memory_limit()), sheet, content))
    done = subprocess.run([sys.executable, "-c", _READER], input=asked, capture_output=True, check=False)
    if done.returncode:
        raise InputError(f"{source.name}: the workbook is damaged or cut short; save it again.")
    found: tuple[list[list[object]], str] | None
    names: list[str] | None
    found, names = pickle.loads(done.stdout)
    if names is None:
        raise InputError(f"{source.name}: the workbook has a password; save it without one, or as CSV.")
    if found is None and sheet is not None:
        what = suggest(sheet, names).replace("columns are", "sheets are")
        raise InputError(f"{source.name}: there is no sheet {sheet!r}; {what}.")
    return ([], names[0] if names else "") if found is None else found


def _size(content: bytes) -> int:
    """Return how many bytes the workbook has once it is unpacked."""
    if content.startswith(OLE):
        return len(content)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return sum(part.file_size for part in archive.infolist())
    except (zipfile.BadZipFile, ValueError):
        return len(content)


def _column(cells: list[object]) -> ArrowArray:
    """Return the cells of a column by their types."""
    import pyarrow as pa

    known = [cell for cell in cells if cell != "" and not _is_missing(cell)]
    values = [None if cell == "" or _is_missing(cell) else cell for cell in cells]
    kinds = {type(cell) for cell in known}
    if not kinds:
        return pa.array([None] * len(cells), pa.string())
    if kinds <= {int, float}:
        numbers = pa.array([None if value is None else float(str(value)) for value in values], pa.float64())
        whole = all(float(str(cell)).is_integer() and abs(float(str(cell))) < 2**53 for cell in known)
        return numbers.cast(pa.int64()) if whole else numbers
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    if kinds <= {datetime.date, datetime.datetime}:
        return pa.array([None if v is None else _moment(v) for v in values], pa.timestamp("us"))
    if kinds == {datetime.time}:
        return pa.array(values, pa.time64("us"))
    if kinds == {datetime.timedelta}:
        return pa.array(values, pa.duration("us"))
    texts = clean_text(pa.chunked_array([pa.array([None if v is None else _text(v) for v in values], pa.string())]))
    mixed = kinds != {str}
    parsed = parse_numbers(texts) if mixed else None
    return texts.combine_chunks() if parsed is None else parsed.combine_chunks()


def _is_missing(cell: object) -> bool:
    return isinstance(cell, str) and (cell.strip() in _ERRORS or not cell.strip())


def _moment(value: object) -> object:
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return datetime.datetime.combine(value, datetime.time())
    return value


def _text(value: object) -> str:
    """Return a cell as the text that a file of text would have."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value if isinstance(value, str) else show(value)
