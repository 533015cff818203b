"""Read a table file of any kind: CSV and similar text, Parquet, Arrow."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator

from newtron.engine.base.errors import InputError
from newtron.engine.base.words import setting
from newtron.table.arrow import ArrowBatch, ArrowFile, ArrowSchema
from newtron.table.data_file import (
    DataFile,
    TooLargeError,
    data_file_of,
    memory_limit,
    reader_errors,
    text_limit,
    unchanged,
)
from newtron.table.table import Keep, Table, check_finite, check_names
from newtron.table.text.delimited import read_delimited
from newtron.table.workbook import is_workbook, read_workbook

# Other kinds of files, known by their first bytes, and what to do instead.
_FOREIGN = (
    (b"PK\x03\x04", "a ZIP archive or a damaged Excel workbook; unpack the archive, or save the sheet as CSV"),
    (b"FEA1", "a Feather file of version 1; write it again as Feather version 2 or Parquet"),
    (b"SQLite format 3", "a SQLite database; export the table as CSV"),
    (b"\x89HDF", "an HDF5 file; export the table as CSV or Parquet"),
    (b"\x93NUMPY", "a NumPy array without column names; save it as CSV with a header"),
    (b"%PDF", "a PDF document; copy the table into a CSV file"),
)
_BATCH = 65_536  # rows of a Parquet file that are read at a time


def read_table(
    path: str | os.PathLike[str] | DataFile,
    *,
    encoding: str = "utf-8",
    limit: float | None = None,
    keep: Keep | None = None,
    letters: Collection[str] = (),
    sheet: str | None = None,
) -> Table:
    """Read a CSV, Parquet or Arrow file or a sheet of a workbook; the first row of a CSV or a sheet names the columns.

    The content decides which kind it is. In text files the separator (comma, semicolon, tab, vertical bar,
    blanks), the quotation mark and decimal commas are found out; cells that are empty or hold a usual
    marker such as NA, nan, null or ? are missing. A blank line is no row; separators with nothing between
    them are one. In a file of one column a blank line is an empty cell, as spreadsheets write it, but for
    those at the end of the file. Text is kept letter by letter. Parquet and Arrow files keep their types,
    and only nulls and NaN are missing there. `encoding` is for text files only. `limit`: bytes that the
    content may have once it is unpacked; None: as many as the machine's memory allows for. `keep` says of
    which columns of a text file the spelling is kept, for `Table.texts`. `letters` names columns of a text
    file that stay text though their cells are numbers. `sheet`: of a workbook of Excel or OpenDocument; None: the
    first that is not empty.

    Raises
    ------
    InputError
        The file cannot be read as a table; the message names the row and column and what to do.
        TooLargeError, which is one, where the content has more bytes than `limit`.
    """
    source = data_file_of(path)
    with reader_errors(source.name):
        with source.open() as file:
            start = file.read(16)
        if is_workbook(source, start):
            return read_workbook(source, sheet, memory_limit() if limit is None else limit)
        if sheet is not None:
            raise InputError(f"{source.name}: this is no workbook, which has sheets; leave {setting('sheet')} out.")
        for magic, what in _FOREIGN:
            if start.startswith(magic):
                raise InputError(f"{source.name}: this is {what}.")
        if start.startswith((b"PAR1", b"ARROW1", b"\xff\xff\xff\xff")):
            return _read_arrow(source, start, memory_limit() if limit is None else limit)
        content = source.read(text_limit(source, memory_limit()) if limit is None else limit)
    return read_delimited(source.name, content, encoding, keep, letters)


def _read_arrow(source: DataFile, start: bytes, limit: float) -> Table:
    import pyarrow as pa

    kind = "Parquet" if start.startswith(b"PAR1") else "Arrow"
    batches: list[ArrowBatch] = []
    with reader_errors(source.name, f"{kind} file"), source.open_arrow() as file, unchanged(source):
        schema, found = _parquet(file) if kind == "Parquet" else _ipc(file, start.startswith(b"ARROW1"))
        check_names(source.name, schema.names)
        taken = 0
        for batch in found:
            # What its buffers say of each other must be true before anything follows them.
            batch.validate(full=True)
            batches.append(batch)
            taken += batch.get_total_buffer_size()
            if taken > limit:
                raise TooLargeError(source.name, limit)
        data = pa.Table.from_batches(batches, schema)
    if not data.num_columns or not data.num_rows:
        raise InputError(f"{source.name}: the {kind} file holds no rows; give a table with rows.")
    table = Table(source.name, data, first_row=1)
    check_finite(table)
    return table


def _parquet(file: ArrowFile) -> tuple[ArrowSchema, Iterator[ArrowBatch]]:
    import pyarrow.parquet as pq

    table = pq.ParquetFile(file)
    return table.schema_arrow, table.iter_batches(_BATCH)


def _ipc(file: ArrowFile, seekable: bool) -> tuple[ArrowSchema, Iterator[ArrowBatch]]:
    import pyarrow as pa

    if not seekable:
        stream = pa.ipc.open_stream(file)
        return stream.schema, iter(stream)
    table = pa.ipc.open_file(file)
    return table.schema, map(table.get_batch, range(table.num_record_batches))
