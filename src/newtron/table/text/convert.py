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
from newtron.table.arrow import ArrowBatch
from newtron.table.data_file import DataFile, reader_errors, unchanged, unpacked
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
    """The Arrow file, the folder that is removed with it, how many lines of the text precede its first row, sentences
    for the user, and the decimal mark of the text."""

    path: str
    folder: Folder
    lines: int
    notes: tuple[str, ...]
    decimal: Literal[".", ","]


class _Head(NamedTuple):
    names: list[str]
    lines: int
    dialect: Dialect
    notes: list[str]


def convert(
    source: DataFile,
    folder: str | None = None,
    encoding: str = "utf-8",
    progress: Callable[[int, int], object] | None = None,
    check: Callable[[list[str]], object] | None = None,
    keep: Keep | None = None,
    letters: Collection[str] = (),
) -> Converted:
    """Convert a CSV file or its relatives. folder: where the Arrow file is written for as long as `Converted.folder`
    lives; None is the system's for temporary files. progress: called with the bytes read and the number of all. check:
    called with the columns' names before anything is converted. keep, letters: as in `read_table`. Where the source is
    a copy itself, that is removed.

    Raises InputError where the text cannot be read as a table, naming the row, and where the folder is full.
    """
    name = source.name
    with reader_errors(name), source.open() as file:
        head = _head(name, unpacked(file).read(_SAMPLE), encoding)
    if check is not None:
        check(head.names)
    kept = () if keep is None else keep(head.names)
    try:
        held = Folder(folder)
    except OSError as error:
        raise InputError(f"{folder}: nothing can be written here ({error.strerror}); choose another folder.") from None
    try:
        with (
            reader_errors(name),
            source.open() as file,
            unchanged(source),
            _conversion_errors(name, held.name, head.dialect),
        ):
            text, table = os.path.join(held.name, "text.arrow"), os.path.join(held.name, "table.arrow")
            kinds = [CellKind(name in letters, head.dialect.separator != ",") for name in head.names]
            _as_text(name, file, head, kinds, kept, text, progress)
            decimal = decimal_mark(kinds)
            final = [_final(kind, decimal) for kind in kinds]
            if source.folder is not None:
                source.folder.cleanup()
            names = [*head.names, *(SPELLED + name for name in kept)]
            _as_numbers(text, table, names, final + len(kept) * [_TEXT])
            os.unlink(text)
    except BaseException:
        held.cleanup()
        raise
    spelt = [
        SpelledColumn(name, kind.spelling, one != "text", one == "whole")
        for name, kind, one in zip(head.names, kinds, final, strict=True)
    ]
    return Converted(table, held, head.lines, (*head.notes, *spelling_notes(name, spelt)), decimal)


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
    kept: Sequence[str],
    to: str,
    progress: Callable[[int, int], object] | None,
) -> None:
    """Write all cells as text, those of the kept columns also as they are spelled. kinds: of the columns, to which the
    cells are added."""
    import pyarrow as pa

    schema = pa.schema([(name, pa.string()) for name in [*head.names, *(SPELLED + name for name in kept)]])
    total = os.fstat(file.fileno()).st_size
    with pa.ipc.new_file(to, schema) as out:
        text = _MarkedText(file, head.dialect)
        rows = 0
        for batch in _batches(text, head):
            columns = [pa.chunked_array([column]) for column in batch.columns]
            cells = [kind.add(column)[0] for kind, column in zip(kinds, columns, strict=True)]
            cells += [as_spelled(columns[head.names.index(name)]) for name in kept]
            out.write_table(pa.table(cells, schema=schema))
            rows += batch.num_rows
            if progress is not None:
                progress(min(text.done, total - 1), total)
    if text.marks % 2:
        raise InputError(
            f"{path}: the number of quotation marks {head.dialect.quote} is odd, so one of them never closes; close "
            "it, or remove those that quote nothing."
        )
    if not rows:
        raise InputError(f"{path}: there is a header but no data rows; add rows below the header.")
    if progress is not None:
        progress(total, total)


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
