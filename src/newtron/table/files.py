"""Table files that are read piece by piece: Parquet and Arrow, one file, a folder of them, or a pattern of names."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from newtron.errors import InputError
from newtron.table.encoding import markup
from newtron.table.table import Table, check_names

if TYPE_CHECKING:
    import pyarrow as pa

# Row groups smaller than this are read together, so that each step of Python is worth its while.
_LEAST_ROWS = 16_384
# A row group that takes more than this share of the memory is read through buffers of this size, column by column.
_LARGE, _BUFFER = 8, 2**20
_DAMAGED = "damaged or cut short; write it again"


class Group(NamedTuple):
    """What a file can be asked for: a row group of Parquet, a record batch of Arrow."""

    number: int
    first: int  # its first row in the file
    rows: int
    bytes: int


class Piece(NamedTuple):
    """Groups of one file that are read together."""

    file: int
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class _File:
    path: str
    stamp: tuple[int, int]  # size and time of the last change: what is read later must be what was looked at first
    groups: tuple[Group, ...]


class TableFiles:
    """Files with the same columns, as pieces.

    path: a file, a folder (all its .parquet, .arrow and .feather files, in the order of their names) or a pattern
    such as data/part-*.parquet. memory: bytes that reading may take. original: the text file that this one is a
    copy of, and how many lines precede its first row: what messages name.

    Raises InputError where there is nothing to read, a file is damaged, or its columns are not those of the others.
    """

    def __init__(self, path: str | os.PathLike[str], memory: int, original: tuple[str, int] | None = None) -> None:
        self.path = os.fspath(path)
        self._original = original
        self._memory = memory
        paths = _paths(self.path)
        self._parquet = _is_parquet(paths[0])
        self.files: list[_File] = []
        self.schema: Any = None
        for each in paths:
            file, schema = self._looked_at(each)
            if self.schema is None:
                check_names(each, schema.names)
                self.schema = schema
            else:
                _check_same(paths[0], self.schema, each, schema)
            self.files.append(file)
        self.pieces = [piece for number, file in enumerate(self.files) for piece in _pieces(number, file.groups)]
        self.n_rows = sum(group.rows for file in self.files for group in file.groups)
        if not self.n_rows or not self.schema.names:
            raise InputError(f"{self.path}: there are no rows; give a table with rows.")

    @property
    def name(self) -> str:
        """What messages call them."""
        return self._original[0] if self._original else self.path

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return sum(file.stamp[0] for file in self.files)

    @property
    def cells_size(self) -> int:
        """Bytes of all cells, uncompressed."""
        return sum(group.bytes for file in self.files for group in file.groups)

    @property
    def identity(self) -> list[list[Any]]:
        """What tells these files from others, wherever they lie."""
        return [[os.path.basename(f.path), f.stamp[0], [[g.rows, g.bytes] for g in f.groups]] for f in self.files]

    def tables(self, pieces: Sequence[int], columns: Sequence[str], batch_rows: int) -> Iterator[tuple[int, Table]]:
        """The rows of some pieces in this order, as tables of at most so many rows with the number of their piece."""
        number, opened = -1, None
        try:
            for piece in pieces:
                file, groups = self.pieces[piece]
                path = self.files[file].path
                if file != number:
                    if opened is not None:
                        opened.close()
                    number, opened = file, self._opened(self.files[file])
                name, before = self._original or (path, 0)
                first = before + groups[0].first
                with _damage_told(path):
                    for batch in self._batches(opened, groups, list(columns), batch_rows):
                        yield piece, Table(name, batch, first_row=first + 1)
                        first += batch.num_rows
        finally:
            if opened is not None:
                opened.close()

    def _looked_at(self, path: str) -> tuple[_File, Any]:
        with _damage_told(path):
            status = os.stat(path)
            stamp = status.st_size, status.st_mtime_ns
            if not status.st_size:
                raise InputError(f"{path}: the file is empty; write it again or leave it out.")
            if _is_parquet(path) != self._parquet:
                raise InputError(f"{path}: this file is of another kind than the first; give files of one kind.")
            return (self._parquet_file if self._parquet else self._arrow_file)(path, stamp)

    def _parquet_file(self, path: str, stamp: tuple[int, int]) -> tuple[_File, Any]:
        import pyarrow.parquet as pq

        with pq.ParquetFile(path, pre_buffer=False) as file:
            groups, first = [], 0
            for number in range(file.metadata.num_row_groups):
                found = file.metadata.row_group(number)
                if found.num_rows:
                    groups.append(Group(number, first, found.num_rows, found.total_byte_size))
                first += found.num_rows
            return _File(path, stamp, tuple(groups)), file.schema_arrow

    def _arrow_file(self, path: str, stamp: tuple[int, int]) -> tuple[_File, Any]:
        import pyarrow as pa

        with pa.OSFile(path) as held:
            file = pa.ipc.open_file(held)
            groups, first = [], 0
            for number in range(file.num_record_batches):
                batch = file.get_batch(number)
                if batch.num_rows:
                    groups.append(Group(number, first, batch.num_rows, batch.nbytes))
                first += batch.num_rows
            return _File(path, stamp, tuple(groups)), file.schema

    def _opened(self, file: _File) -> Any:
        """The file, if it is still the one that was looked at."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        with _damage_told(file.path):
            status = os.stat(file.path)
            if (status.st_size, status.st_mtime_ns) != file.stamp:
                raise InputError(f"{file.path}: the file has changed while it was read; begin again.")
            if not self._parquet:
                return pa.OSFile(file.path)
            large = max((group.bytes for group in file.groups), default=0) > self._memory // _LARGE
            # By default pyarrow holds all of a file that is read to its end (arrow#39808).
            return pq.ParquetFile(file.path, pre_buffer=False, buffer_size=_BUFFER if large else 0)

    def _batches(self, opened: Any, groups: Sequence[Group], columns: list[str], most: int) -> Iterator[pa.Table]:
        import pyarrow as pa

        if self._parquet:
            numbers = [group.number for group in groups]
            for batch in opened.iter_batches(batch_size=most, row_groups=numbers, columns=columns):
                yield pa.Table.from_batches([batch])
            return
        places = {name: place for place, name in enumerate(self.schema.names)}
        wanted = [places[name] for name in columns]
        opened.seek(0)
        file = pa.ipc.open_file(opened, options=pa.ipc.IpcReadOptions(included_fields=wanted))
        for group in groups:
            batch = file.get_batch(group.number)
            for start in range(0, batch.num_rows, most):
                yield pa.Table.from_batches([batch.slice(start, most)])


def _pieces(file: int, groups: Sequence[Group]) -> Iterator[Piece]:
    """Groups of a file, small neighbours together."""
    held: list[Group] = []
    for group in groups:
        held.append(group)
        if sum(g.rows for g in held) >= _LEAST_ROWS:
            yield Piece(file, tuple(held))
            held = []
    if held:
        yield Piece(file, tuple(held))


def _paths(path: str) -> list[str]:
    if os.path.isdir(path):
        found = sorted(
            os.path.join(path, n) for n in os.listdir(path) if n.endswith((".parquet", ".arrow", ".feather"))
        )
        what = "the folder holds no .parquet, .arrow or .feather file"
    elif os.path.exists(path) or not glob.has_magic(path):
        return [path]
    else:
        found, what = sorted(glob.glob(path)), "no file has a name of this pattern"
    if not found:
        raise InputError(f"{path}: {what}; check the path.")
    return found


def is_text_file(path: str) -> bool:
    """Does the file begin with something that is text, and so perhaps a table?"""
    try:
        with open(path, "rb") as file:
            start = file.read(4096)
    except (OSError, ValueError):
        return False
    known = start.startswith((b"PAR1", b"ARROW1", b"PK", b"\x1f\x8b"))
    return (
        bool(start)
        and not known
        and b"\0" not in start
        and not start.lstrip().startswith(b"%PDF")
        and not markup(start)
    )


def is_streamable(path: str) -> bool:
    """Can this be read piece by piece as it is: a folder, a pattern, a Parquet file or an Arrow file?"""
    if os.path.isdir(path) or (glob.has_magic(path) and not os.path.exists(path)):
        try:
            return bool(_paths(path))
        except InputError:
            return False
    try:
        with open(path, "rb") as file:
            return file.read(6).startswith((b"PAR1", b"ARROW1"))
    except (OSError, ValueError):
        return False


def _is_parquet(path: str) -> bool:
    with _damage_told(path), open(path, "rb") as file:
        start = file.read(6)
        if start and not start.startswith((b"PAR1", b"ARROW1")):
            raise InputError(f"{path}: this is neither a Parquet nor an Arrow file; give one of these.")
        return start.startswith(b"PAR1") or path.endswith(".parquet")


def _check_same(first: str, expected: Any, path: str, found: Any) -> None:
    """Every file must have the columns of the first, by name and type."""
    known, here_too = (
        dict(zip(expected.names, expected.types, strict=True)),
        dict(zip(found.names, found.types, strict=True)),
    )
    for name, there in known.items():
        if name not in here_too:
            raise InputError(f"{path}: the column {name!r} of {first} is missing here; write all files alike.")
        here = here_too[name]
        if here != there:
            raise InputError(
                f"{path}: the column {name!r} is of type {here} here and of type {there} in {first}; write all files "
                "alike."
            )
    for name in here_too:
        if name not in known:
            raise InputError(f"{path}: there is a column {name!r} that {first} has not; write all files alike.")


@contextmanager
def _damage_told(path: str) -> Iterator[None]:
    """Whatever reading runs into, as one sentence."""
    import pyarrow as pa

    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file, or no longer; check the name and begin again.") from None
    except PermissionError:
        raise InputError(f"{path}: there is no permission to read this file; change its access rights.") from None
    except (InputError, MemoryError):  # Arrow's own MemoryError is an ArrowException too
        raise
    except (pa.ArrowException, OSError, ValueError):
        raise InputError(f"{path}: the file is {_DAMAGED}.") from None
