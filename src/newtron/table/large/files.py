"""Table files that are read piece by piece: Parquet and Arrow, one file, a folder of them, or a pattern of names."""

from __future__ import annotations

import bisect
import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from newtron.engine.base.errors import InputError
from newtron.engine.base.scratch import Folder
from newtron.table.arrow import ArrowFile, ArrowSchema, ArrowTable
from newtron.table.data_file import DataFile, has_changed, reader_errors
from newtron.table.stamp import Stamp
from newtron.table.table import Table, check_names
from newtron.table.text.encoding import markup

# How the names of files end: of those with types, of texts, and of what is added to texts that are packed.
_TYPED, _TEXTS, _PACKED = (".parquet", ".arrow", ".feather"), (".csv", ".tsv", ".txt"), (".gz", ".bz2", ".xz", ".zst")
# Row groups with fewer rows are read together, so that the calls of Python for each piece cost little.
_LEAST_ROWS = 16_384
# A row group that takes more than one part in 8 of the memory is read through buffers of 1 MiB for each column.
_LARGE, _BUFFER = 8, 2**20


class Group(NamedTuple):
    """The rows that a file gives at a time: a row group of Parquet or a record batch of Arrow."""

    number: int
    first: int  # its first row in the file
    rows: int
    bytes: int


class Origin(NamedTuple):
    """A file that rows of a copy are from: the first of them in the copy, what messages call the file, and how many
    lines of it precede its first row."""

    first: int
    name: str
    lines: int


class Piece(NamedTuple):
    """Groups of one file that are read together."""

    file: int
    groups: tuple[Group, ...]


@dataclass(frozen=True)
class _File:
    path: str
    stamp: Stamp  # made when the file was first read; later it must still fit
    groups: tuple[Group, ...]


class TableFiles:
    """Files with the same columns, as pieces.

    path: a file, a folder (its .parquet, .arrow and .feather files, in the order of their names) or a pattern
    such as data/part-*.parquet. memory: bytes that reading may take. name: where the file is a copy, what messages call
    it instead of the path; origins: the files that its rows are from, in order. held: the folders of copies, removed
    with these files or by `release`. notes: sentences for the user. decimal: as in `Table`.

    Raises InputError where there is nothing to read, a file is damaged, or its columns are not those of the others.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        memory: int,
        name: str | None = None,
        origins: Sequence[Origin] = (),
        held: Sequence[Folder] = (),
        notes: Sequence[str] = (),
        decimal: Literal[".", ","] = ".",
    ) -> None:
        self.path = os.fspath(path)
        self._name, self._origins = name, tuple(origins)
        self._memory = memory
        self._held = tuple(held)
        self.notes = tuple(notes)
        self.decimal = decimal
        paths = _paths(self.path)
        self._parquet = _is_parquet(paths[0], self._called(paths[0]))
        first, self.schema = self._examined(paths[0])
        self.files = [first]
        for each in paths[1:]:
            file, schema = self._examined(each)
            _check_same(paths[0], self.schema, each, schema)
            self.files.append(file)
        self.pieces = [piece for number, file in enumerate(self.files) for piece in _pieces(number, file.groups)]
        self.n_rows = sum(group.rows for file in self.files for group in file.groups)
        if not self.n_rows or not self.schema.names:
            raise InputError(f"{self.path}: there are no rows; give a table with rows.")

    @property
    def name(self) -> str:
        """Return what messages call the files."""
        return self.path if self._name is None else self._name

    @property
    def size(self) -> int:
        """Return how many bytes the files have."""
        return sum(file.stamp.size for file in self.files)

    @property
    def cells_size(self) -> int:
        """Return how many bytes all cells take, uncompressed."""
        return sum(group.bytes for file in self.files for group in file.groups)

    @property
    def identity(self) -> list[list[object]]:
        """Return what distinguishes these files from others, whatever folder they are in."""
        return [
            [os.path.basename(f.path), f.stamp.size, f.stamp.sample, [[g.rows, g.bytes] for g in f.groups]]
            for f in self.files
        ]

    def release(self) -> None:
        """Remove the copies."""
        for folder in self._held:
            folder.cleanup()

    def tables(self, pieces: Sequence[int], columns: Sequence[str], batch_rows: int) -> Iterator[tuple[int, Table]]:
        """Yield the rows of some pieces in this order, as tables of at most `batch_rows` rows, each with the number of
        its piece."""
        number, opened = -1, None
        try:
            for piece in pieces:
                file, groups = self.pieces[piece]
                if file != number:
                    if opened is not None:
                        self._check_unchanged(self.files[number])
                        opened.close()
                    number, opened = file, self._opened(self.files[file])
                path = self.files[file].path
                first = groups[0].first
                with reader_errors(self._called(path)):
                    for batch in self._batches(opened, groups, list(columns), batch_rows):
                        name, before = self._origin(path, first)
                        yield piece, Table(name, batch, first_row=before + 1, decimal=self.decimal)
                        first += batch.num_rows
            if opened is not None:
                self._check_unchanged(self.files[number])
        finally:
            if opened is not None:
                opened.close()

    def _called(self, path: str) -> str:
        return path if self._name is None else self._name

    def _origin(self, path: str, first: int) -> tuple[str, int]:
        """Return what messages call the file that a row is from, and how many rows or lines precede it there. path,
        first: its file, and its place in that."""
        if not self._origins:
            return self._called(path), first
        origin = self._origins[bisect.bisect_right(self._origins, first, key=lambda origin: origin.first) - 1]
        return origin.name, origin.lines + first - origin.first

    def _examined(self, path: str) -> tuple[_File, ArrowSchema]:
        name = self._called(path)
        with reader_errors(name):
            stamp = Stamp.of(path)
            if not stamp.size:
                raise InputError(f"{name}: the file is empty; write it again or leave it out.")
            if _is_parquet(path, name) != self._parquet:
                raise InputError(f"{name}: this file is of another kind than the first; give files of one kind.")
            groups, schema = (_parquet_groups if self._parquet else _arrow_groups)(path)
            check_names(name, schema.names)
            return _File(path, stamp, groups), schema

    def _check_unchanged(self, file: _File) -> None:
        with reader_errors(self._called(file.path)):
            if not file.stamp.fits(file.path):
                raise has_changed(self._called(file.path))

    def _opened(self, file: _File) -> ArrowFile:
        """Open a file. Raises InputError where it has changed since it was first read."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._check_unchanged(file)
        with reader_errors(self._called(file.path)):
            if not self._parquet:
                return pa.OSFile(file.path)
            large = max((group.bytes for group in file.groups), default=0) > self._memory // _LARGE
            # By default pyarrow holds all of a file that is read to its end (arrow#39808).
            return pq.ParquetFile(file.path, pre_buffer=False, buffer_size=_BUFFER if large else 0)

    def _batches(
        self, opened: ArrowFile, groups: Sequence[Group], columns: list[str], most: int
    ) -> Iterator[ArrowTable]:
        import pyarrow as pa

        if self._parquet:
            numbers = [group.number for group in groups]
            for batch in opened.iter_batches(batch_size=most, row_groups=numbers, columns=columns):
                batch.validate(full=True)
                yield pa.Table.from_batches([batch])
            return
        places = {name: place for place, name in enumerate(self.schema.names)}
        wanted = [places[name] for name in columns]
        opened.seek(0)
        file = pa.ipc.open_file(opened, options=pa.ipc.IpcReadOptions(included_fields=wanted))
        for group in groups:
            batch = file.get_batch(group.number)
            # What its buffers say of each other must be true before anything follows them.
            batch.validate(full=True)
            for start in range(0, batch.num_rows, most):
                yield pa.Table.from_batches([batch.slice(start, most)])


def _pieces(file: int, groups: Sequence[Group]) -> Iterator[Piece]:
    """Yield the groups of a file as pieces; small neighbours are together in one."""
    held: list[Group] = []
    for group in groups:
        held.append(group)
        if sum(g.rows for g in held) >= _LEAST_ROWS:
            yield Piece(file, tuple(held))
            held = []
    if held:
        yield Piece(file, tuple(held))


def text_files(source: DataFile) -> list[DataFile]:
    """Return the text files of a folder, of a pattern or of a list of files; or the file itself where it is text. There
    are none where they are of another kind. Raises InputError where there are none at all."""
    if source.parts:
        files = list(source.parts)
    elif source.content is None and is_several(source.path):
        files = [DataFile(path, path) for path in _paths(source.path)]
    else:
        files = [source]
    return files if is_text_file(files[0]) else []


def is_several(path: str) -> bool:
    """Return whether a path is a folder or a pattern of names."""
    return os.path.isdir(path) or (glob.has_magic(path) and not os.path.exists(path))


def _paths(path: str) -> list[str]:
    if os.path.isdir(path):
        listed = sorted(os.path.join(path, name) for name in os.listdir(path))
        typed = [name for name in listed if name.endswith(_TYPED)]
        texts = [name for name in listed if name.removesuffix(_ending(name)).endswith(_TEXTS)]
        if typed and texts:
            raise InputError(
                f"{path}: the folder holds files of text ({os.path.basename(texts[0])}) and others "
                f"({os.path.basename(typed[0])}); give a pattern of names such as {os.path.join(path, '*.csv')}."
            )
        found, what = typed or texts, "the folder holds no .csv, .tsv, .txt, .parquet, .arrow or .feather file"
    elif os.path.exists(path) or not glob.has_magic(path):
        return [path]
    else:
        found, what = sorted(glob.glob(path)), "no file has a name of this pattern"
    if not found:
        raise InputError(f"{path}: {what}; check the path.")
    return found


def _ending(name: str) -> str:
    return next((ending for ending in _PACKED if name.endswith(ending)), "")


def is_text_file(source: DataFile) -> bool:
    """Return whether the file begins with text, which is perhaps a table. A packed file is unpacked for this."""
    start = source.start(4096)
    known = start.startswith((b"PAR1", b"ARROW1", b"PK")) or start.lstrip().startswith(b"%PDF")
    return bool(start) and not known and b"\0" not in start and not markup(start)


def is_streamable(source: DataFile) -> bool:
    """Return whether this can be read in pieces as it is: a folder, a pattern, a Parquet file or an Arrow file."""
    path = source.path
    if source.parts:
        return True
    if is_several(path):
        try:
            return bool(_paths(path))
        except InputError:
            return False
    try:
        with source.open() as file:
            return file.read(6).startswith((b"PAR1", b"ARROW1"))
    except (OSError, ValueError):
        return False


def _is_parquet(path: str, name: str) -> bool:
    with reader_errors(name), open(path, "rb") as file:
        start = file.read(6)
        if start and not start.startswith((b"PAR1", b"ARROW1")):
            raise InputError(f"{name}: this is neither a Parquet nor an Arrow file; give one of these.")
        return start.startswith(b"PAR1") or path.endswith(".parquet")


def _parquet_groups(path: str) -> tuple[tuple[Group, ...], ArrowSchema]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, pre_buffer=False) as file:
        groups, first = [], 0
        for number in range(file.metadata.num_row_groups):
            found = file.metadata.row_group(number)
            if found.num_rows:
                groups.append(Group(number, first, found.num_rows, found.total_byte_size))
            first += found.num_rows
        return tuple(groups), file.schema_arrow


def _arrow_groups(path: str) -> tuple[tuple[Group, ...], ArrowSchema]:
    import pyarrow as pa

    with pa.OSFile(path) as held:
        file = pa.ipc.open_file(held)
        groups, first = [], 0
        for number in range(file.num_record_batches):
            batch = file.get_batch(number)
            if batch.num_rows:
                # Of whole buffers: what the cells take depends on what they say, which nobody has checked yet.
                groups.append(Group(number, first, batch.num_rows, batch.get_total_buffer_size()))
            first += batch.num_rows
        return tuple(groups), file.schema


def _check_same(first: str, expected: ArrowSchema, path: str, found: ArrowSchema) -> None:
    """Raise an InputError where a file does not have the columns of the first, by name and type."""
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
