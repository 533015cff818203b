"""A text file larger than memory, converted once to an Arrow file that can be read over and over.

The text is parsed in one stream, all cells as text, while it is found out which columns hold nothing but numbers; then
those are turned into numbers. Both steps see a few MB at a time.
"""

from __future__ import annotations

import csv
import errno
import gzip
import io
import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, Literal, NamedTuple, TypeAlias

import numpy as np

from newtron.engine.base.errors import InputError
from newtron.engine.base.scratch import Folder
from newtron.table.arrow import ArrowBatch, ArrowWriter
from newtron.table.data_file import DataFile, reader_errors, unchanged, unpacked
from newtron.table.large.files import Origin
from newtron.table.spelling import SpelledColumn, as_spelled, spelling_notes, with_marked_codes
from newtron.table.table import SPELLED, Keep
from newtron.table.text.delimited import empty_lines, name_columns, ragged, skip_preamble, unreadable
from newtron.table.text.dialect import Dialect, detect_dialect
from newtron.table.text.encoding import to_utf8
from newtron.table.text.kinds import CellKind, decimal_mark

# Bytes at the beginning by which the dialect is judged, and bytes that are parsed at a time.
_SAMPLE, _BLOCK = 1 << 22, 1 << 22
# What Arrow says of a row with too many or too few cells.
_RAGGED = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+)")
Final: TypeAlias = Literal["whole", "point", "comma", "text"]
_TEXT: Final = "text"


class Converted(NamedTuple):
    """The Arrow file, the folder that is removed with it, the files that its rows are from, sentences for the user, and
    the decimal mark of the texts."""

    path: str
    folder: Folder
    origins: tuple[Origin, ...]
    notes: tuple[str, ...]
    decimal: Literal[".", ","]


class _Head(NamedTuple):
    names: list[str]
    lines: int
    dialect: Dialect
    notes: list[str]


def convert(
    name: str,
    sources: Sequence[DataFile],
    folder: str | None = None,
    encoding: str = "utf-8",
    progress: Callable[[int, int], object] | None = None,
    check: Callable[[list[str]], object] | None = None,
    keep: Keep | None = None,
    letters: Collection[str] = (),
) -> Converted:
    """Convert a CSV file or its relatives, or several with the same columns, whose rows follow each other.

    name: what messages call all files. folder: where the Arrow file is written for as long as `Converted.folder` lives;
    None is the system's for temporary files. progress: called with the bytes read and the number of all. check: called
    with the columns' names before anything is converted. keep, letters: as in `read_table`. Where a source is a copy
    itself, that is removed.

    Raises InputError where a text cannot be read as a table, naming the row, where its columns are not those of the
    first, and where the folder is full.
    """
    heads = [_opened_head(source, encoding) for source in sources]
    first = heads[0]
    for source, head in zip(sources, heads, strict=True):
        _check_same(sources[0].name, first.names, source.name, head.names)
    if check is not None:
        check(first.names)
    kept = () if keep is None else keep(first.names)
    try:
        held = Folder(folder)
    except OSError as error:
        raise InputError(f"{folder}: nothing can be written here ({error.strerror}); choose another folder.") from None
    kinds = [CellKind(name in letters, first.dialect.separator != ",") for name in first.names]
    names = [*first.names, *(SPELLED + name for name in kept)]
    try:
        text, table = os.path.join(held.name, "text.arrow"), os.path.join(held.name, "table.arrow")
        with reader_errors(name), _conversion_errors(name, held.name, first.dialect):
            origins = _all_as_text(sources, heads, kinds, names, text, held.name, progress)
            decimal = decimal_mark(kinds)
            final = [_final(kind, decimal) for kind in kinds]
            _as_numbers(text, table, names, final + len(kept) * [_TEXT])
            os.unlink(text)
    except BaseException:
        held.cleanup()
        raise
    spelt = [
        SpelledColumn(column, kind.spelling, one != "text", one == "whole")
        for column, kind, one in zip(first.names, kinds, final, strict=True)
    ]
    notes = dict.fromkeys([*(note for head in heads for note in head.notes), *spelling_notes(name, spelt)])
    return Converted(table, held, tuple(origins), tuple(notes), decimal)


def _all_as_text(
    sources: Sequence[DataFile],
    heads: Sequence[_Head],
    kinds: Sequence[CellKind],
    names: list[str],
    to: str,
    folder: str,
    progress: Callable[[int, int], object] | None,
) -> list[Origin]:
    """Write the cells of all files as text. names: of the columns of the copy. Returns which rows are from where."""
    import pyarrow as pa

    schema = pa.schema([(name, pa.string()) for name in names])
    total = sum(os.path.getsize(source.path) for source in sources)
    origins, rows, done = [], 0, 0
    with pa.ipc.new_file(to, schema) as out:
        for source, head in zip(sources, heads, strict=True):
            origins.append(Origin(rows, source.name, head.lines))

            def tell(read: int, before: int = done) -> None:
                if progress is not None:
                    progress(min(before + read, total - 1), total)

            with (
                reader_errors(source.name),
                source.open() as file,
                unchanged(source),
                _conversion_errors(source.name, folder, head.dialect),
            ):
                rows += _as_text(source.name, file, head, kinds, names, out, tell)
            done += os.path.getsize(source.path)
            if source.folder is not None:
                source.folder.cleanup()
    if progress is not None:
        progress(total, total)
    return origins


def _opened_head(source: DataFile, encoding: str) -> _Head:
    with reader_errors(source.name), source.open() as file:
        return _head(source.name, unpacked(file).read(_SAMPLE), encoding)


def _check_same(first: str, expected: list[str], path: str, found: list[str]) -> None:
    """Raise an InputError where a file does not have the columns of the first, in whatever order."""
    for name in expected:
        if name not in found:
            raise InputError(f"{path}: the column {name!r} of {first} is missing here; write all files alike.")
    for name in found:
        if name not in expected:
            raise InputError(f"{path}: there is a column {name!r} that {first} has not; write all files alike.")


def _head(path: str, raw: bytes, encoding: str) -> _Head:
    raw = raw[: raw.rfind(b"\n") + 1] or raw
    if encoding.lower().replace("_", "-") not in ("utf-8", "utf8", "utf-8-sig"):
        raise InputError(f"{path}: a text file larger than memory is read in UTF-8 only; convert it, with iconv say.")
    text, header_row, separator = skip_preamble(to_utf8(path, raw, encoding))
    if not text.strip():
        raise InputError(f"{path}: the file is empty; give a table with a header row and data rows.")
    dialect = detect_dialect(text, separator)
    lines = io.TextIOWrapper(io.BytesIO(text), "utf-8", newline="")
    reader = csv.reader(lines, delimiter=dialect.separator, quotechar=dialect.quote, skipinitialspace=True)
    try:
        names, notes = name_columns(path, [cell.strip() for cell in next(reader)])
    except csv.Error as error:
        raise unreadable(path, header_row, str(error), dialect) from None
    return _Head(names, header_row - 1 + reader.line_num, dialect, notes)


def _as_text(
    path: str,
    file: BinaryIO,
    head: _Head,
    kinds: Sequence[CellKind],
    names: list[str],
    out: ArrowWriter,
    tell: Callable[[int], object],
) -> int:
    """Write all cells of a file as text, and those that are kept as they are spelled. kinds: of the columns, to which
    the cells are added; names, out: of the columns of the copy, and its writer; tell: called with the bytes read.
    Returns the rows."""
    import pyarrow as pa

    text, rows = _MarkedText(file, head.dialect), 0
    kept = [name.removeprefix(SPELLED) for name in names[len(kinds) :]]
    for batch in _batches(text, head):
        columns = {name: pa.chunked_array([column]) for name, column in zip(head.names, batch.columns, strict=True)}
        cells = [kind.add(columns[name])[0] for kind, name in zip(kinds, names, strict=False)]
        cells += [as_spelled(columns[name]) for name in kept]
        out.write_table(pa.table(cells, names=names))
        rows += batch.num_rows
        tell(text.done)
    if text.marks % 2:
        raise InputError(
            f"{path}: the number of quotation marks {head.dialect.quote} is odd, so one of them never closes; close "
            "it, or remove those that quote nothing."
        )
    if not rows:
        raise InputError(f"{path}: there is a header but no data rows; add rows below the header.")
    return rows


def _final(kind: CellKind, decimal: Literal[".", ","]) -> Final:
    """Return what a column becomes, as in `delimited`."""
    if kind.kind == "whole":
        return "whole"
    if decimal == ",":
        return "comma" if kind.kind == "comma" else "text"
    return "point" if kind.kind == "point" else "text"


def _batches(text: _MarkedText, head: _Head) -> Iterator[ArrowBatch]:
    """Yield the rows, some at a time, with all cells as text."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    single = len(head.names) == 1
    reader = arrow_csv.open_csv(
        pa.PythonFile(text, mode="r"),
        read_options=arrow_csv.ReadOptions(
            column_names=head.names, skip_rows=head.lines, block_size=_BLOCK, use_threads=False
        ),
        parse_options=arrow_csv.ParseOptions(
            delimiter=head.dialect.separator,
            quote_char=head.dialect.quote,
            newlines_in_values=True,
            ignore_empty_lines=not single,
        ),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(head.names, pa.string()), **empty_lines(len(head.names))
        ),
    )
    return _without_end(reader) if single else reader


def _without_end(reader: Iterator[ArrowBatch]) -> Iterator[ArrowBatch]:
    """Yield batches of one column without the blank lines at the end of the file, which are no rows."""
    import pyarrow as pa

    blank = 0
    for batch in reader:
        filled = np.flatnonzero(batch.column(0).is_valid())
        last = int(filled[-1]) + 1 if len(filled) else 0
        if last and blank:
            yield pa.record_batch([pa.nulls(blank, pa.string())], schema=batch.schema)
            blank = 0
        if last:
            yield batch.slice(0, last)
        blank += batch.num_rows - last


class _MarkedText:
    """A reader of the text of a file, unpacked. It counts quotation marks, because one that never closes makes one cell
    of all that follows without an error, and it marks the codes between them. done: bytes of the file that are read."""

    closed = False

    def __init__(self, file: BinaryIO, dialect: Dialect) -> None:
        self._file, self._text, self._dialect = file, unpacked(file), dialect
        self._held = b""
        self.marks = self.done = 0

    def read(self, size: int = -1) -> bytes:
        """Return whole lines, where they are shorter than size."""
        found = self._text.read(size - len(self._held) if size > 0 else size)
        self.done = self._file.tell()
        self.marks += found.count(self._dialect.quote.encode())
        text = self._held + found
        end = text.rfind(b"\n") + 1 if found else 0
        self._held = text[end:] if end else b""
        return with_marked_codes(text[:end] if end else text, self._dialect)

    def close(self) -> None:
        """Do nothing: the code that opened the file closes it."""


def _as_numbers(text: str, to: str, names: list[str], kinds: Sequence[Final]) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    types = {"whole": pa.int64(), "point": pa.float64(), "comma": pa.float64(), "text": pa.string()}
    schema = pa.schema([(name, types[kind]) for name, kind in zip(names, kinds, strict=True)])
    with pa.OSFile(text) as file, pa.ipc.new_file(to, schema) as out:
        reader = pa.ipc.open_file(file)
        for number in range(reader.num_record_batches):
            columns = []
            for cells, kind in zip(reader.get_batch(number).columns, kinds, strict=True):
                cells = pc.replace_substring(cells, ",", ".") if kind == "comma" else cells
                columns.append(cells.cast(types[kind]))
            out.write_table(pa.table(columns, schema=schema))


@contextmanager
def _conversion_errors(path: str, folder: str, dialect: Dialect) -> Iterator[None]:
    """Turn every error of reading or writing into one sentence."""
    import pyarrow as pa

    try:
        yield
    except (InputError, MemoryError, gzip.BadGzipFile):
        raise
    except pa.ArrowInvalid as error:
        found = _RAGGED.search(str(error))
        if found:
            raise ragged(path, int(found[1]), int(found[3]), int(found[2]), dialect) from None
        reason = "a quotation mark perhaps never closes"
        if "UTF8" in str(error):
            reason = "a cell is not UTF-8"
        elif "straddling" in str(error):
            reason = f"a row is longer than {_BLOCK / 1e6:.0f} MB, or {reason}"
        raise InputError(f"{path}: the text cannot be read as a table ({reason}); correct it.") from None
    except OSError as error:
        if error.errno is None:
            raise  # the packed data is damaged
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        where = os.path.dirname(folder) or folder
        why = "the disk is full" if full else f"the file cannot be converted ({error.strerror or error})"
        raise InputError(f"{path}: {why}; free space in {where} or choose another folder.") from None
