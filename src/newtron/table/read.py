"""Open a table file whatever its kind: CSV and its relatives, Parquet, Arrow."""

from __future__ import annotations

import gzip
import os
import zlib
from typing import TYPE_CHECKING

from newtron.errors import InputError
from newtron.table.delimited import read_delimited
from newtron.table.table import Table, check_finite, check_names

if TYPE_CHECKING:
    import pyarrow as pa

_KINDS = "CSV, Parquet or Arrow file"

# Files that people try, by their first bytes, and what to do instead.
_FOREIGN = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook; save the sheet as CSV, or unpack the archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook; save the sheet as CSV"),
    (b"FEA1", "a Feather file of version 1; write it again as Feather version 2 or Parquet"),
    (b"SQLite format 3", "a SQLite database; export the table as CSV"),
    (b"\x89HDF", "an HDF5 file; export the table as CSV or Parquet"),
    (b"\x93NUMPY", "a NumPy array without column names; save it as CSV with a header"),
    (b"%PDF", "a PDF document; copy the table into a CSV file"),
)


def read_table(path: str | os.PathLike[str], *, encoding: str = "utf-8") -> Table:
    """Read a CSV, Parquet or Arrow file; the first row of a CSV names the columns.

    The kind is told by the content. In text files the separator (comma, semicolon, tab, vertical bar,
    blanks), the quotation mark and decimal commas are found out; cells that are empty or hold a usual
    marker such as NA, nan, null or ? are missing. A blank line is no row; separators with nothing between them are one.
    In a file of one column a blank line is an empty cell, as spreadsheets write it, but for those at the end of the
    file. Text is kept letter by letter. Parquet and Arrow files
    keep their types, and only nulls and NaN are missing there. `encoding` is for text files only.

    Raises
    ------
    InputError
        The file cannot be read as a table; the message names the row and column and what to do.
    """
    name = os.fspath(path)
    # Opened once: what a pipe has handed out it does not hand out again.
    try:
        with open(name, "rb") as file:
            start = file.read(16)
            if start.startswith(b"PAR1"):
                return _read_arrow(name, "Parquet")
            if start.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
                return _read_arrow(name, "Arrow")
            for magic, what in _FOREIGN:
                if start.startswith(magic):
                    raise InputError(f"{name}: this is {what}.")
            content = start + file.read()
    except OSError as error:
        raise _cannot_open(name, error) from None
    except InputError:
        raise
    except ValueError:
        raise InputError(f"{name!r}: this is not a file name; give the path of a {_KINDS}.") from None
    return read_delimited(name, _unpacked(name, content), encoding)


def _cannot_open(path: str, error: OSError) -> InputError:
    if isinstance(error, FileNotFoundError):
        return InputError(f"{path}: there is no such file; check the name and the folder.")
    if isinstance(error, IsADirectoryError) or os.path.isdir(path):
        return InputError(f"{path}: this is a folder; give the path of a {_KINDS} in it.")
    if isinstance(error, PermissionError):
        return InputError(f"{path}: there is no permission to read this file; change its access rights.")
    return InputError(f"{path}: the file cannot be read ({error.strerror}); check the path.")


def _unpacked(path: str, content: bytes) -> bytes:
    if not content.startswith(b"\x1f\x8b"):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise InputError(f"{path}: the gzip data is damaged or cut short; write the file again.") from None


def _read_arrow(path: str, kind: str) -> Table:
    import pyarrow as pa

    try:
        data = _open_parquet(path) if kind == "Parquet" else _open_ipc(path)
    except (pa.ArrowException, OSError, ValueError):
        raise InputError(f"{path}: the {kind} file is damaged or cut short; write it again.") from None
    check_names(path, data.column_names)
    if not data.num_columns or not data.num_rows:
        raise InputError(f"{path}: the {kind} file holds no rows; give a table with rows.")
    table = Table(path, data, first_row=1)
    check_finite(table)
    return table


def _open_parquet(path: str) -> pa.Table:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return file.read()


def _open_ipc(path: str) -> pa.Table:
    import pyarrow as pa

    with pa.memory_map(path) as file:
        try:
            return pa.ipc.open_file(file).read_all()
        except pa.ArrowInvalid:
            file.seek(0)
            return pa.ipc.open_stream(file).read_all()
