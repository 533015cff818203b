"""Rows of files that are larger than memory, which are read again for every sum."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import Self

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.checks import check_number
from newtron.engine.base.codec import to_json
from newtron.engine.base.errors import InputError
from newtron.engine.base.row_hashes import row_hashes
from newtron.engine.base.threads import thread_count
from newtron.engine.rows import Chunk
from newtron.engine.rows.streamed import Cut, Source, StreamedRows
from newtron.table.choices import ColumnChoices
from newtron.table.data_file import DataFile, data_file_of
from newtron.table.encode import encode, encode_target, target_columns
from newtron.table.equal_rows import are_copies
from newtron.table.large.files import TableFiles, text_files
from newtron.table.learn import Learnt, check_asked, learn_pieces
from newtron.table.schema import Schema, TargetValues
from newtron.table.table import Keep, Table
from newtron.table.text.convert import convert

Array = NDArray[np.floating]

# Bytes that reading and summing take by default, and at least.
MEMORY, LEAST_MEMORY = 1e9, 32e6
# A chunk takes at most one part in 64 of the memory, and at most 16 MiB.
CHUNKS, CHUNK_BYTES = 64, 2**24
# It has at most the first number of rows, and at least the second, so that calls of Python for a chunk cost little.
_MOST_ROWS, _FEWEST_ROWS = 65_536, 256

# What is called to show progress: with how many rows, or bytes, are done and how many there are.
Progress = Callable[[int, int], object]


class FileSource(Source):
    """The rows of files, encoded by a schema. Rows without a target are left out. sizes: rows with one, of each piece.
    memory: as in `FileRows`."""

    def __init__(self, files: TableFiles, schema: Schema, sizes: NDArray[np.int64], memory: int) -> None:
        self.files, self.schema, self.sizes, self.memory = files, schema, sizes, memory
        self.n_features = len(schema.feature_names)
        self.chunk_bytes = min(CHUNK_BYTES, memory // CHUNKS)
        self._columns = [column.name for column in schema.columns]
        self._starts = np.concatenate([[0], np.cumsum(sizes)])

    def read(self, pieces: Sequence[int]) -> Iterator[Cut]:
        most = batch_rows(self.chunk_bytes, self.n_features + 1)
        last, done = -1, 0
        for piece, table in self.files.tables(pieces, [*self._columns, self.schema.target.name], most):
            done, last = 0 if piece != last else done, piece
            cut = cut_of(self.schema, table, int(self._starts[piece]) + done)
            if len(cut.y):
                yield cut
            done += len(cut.y)

    def digest(self) -> str:
        what = [self.files.identity, to_json(self.schema), self.sizes.tolist()]
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def opened(
    path: str | os.PathLike[str] | DataFile,
    memory: int,
    folder: str | None = None,
    encoding: str = "utf-8",
    converting: Progress | None = None,
    check: Callable[[list[str]], object] | None = None,
    keep: Keep | None = None,
    letters: Collection[str] = (),
) -> TableFiles:
    """Open files to be read in pieces. A text file is converted first, and what comes through a pipe is copied.

    check: called with the columns' names before a text is converted, which takes long. keep, letters: as in
    `read_table`."""
    source = data_file_of(path, folder)
    texts = text_files(source)
    if texts:
        made = convert(source.name, texts, folder, encoding, converting, check, keep, letters)
        return TableFiles(made.path, memory, source.name, made.origins, (made.folder,), made.notes, made.decimal)
    if source.parts:
        raise InputError(f"{source.name}: several files that are no text are given as a folder or a pattern of names.")
    held = () if source.folder is None else (source.folder,)
    return TableFiles(source.path, memory, source.name if held else None, held=held)


class TableRows(StreamedRows):
    """Rows of a table that is not in memory, with the meaning of its columns.

    schema: the meaning of the columns. class_counts: rows of each class. missing: cells without a value, of each column
    that has any. name: what messages call the table. column_names: of the table. total_rows: with those that have no
    target.
    """

    schema: Schema
    class_counts: tuple[int, ...]
    missing: dict[str, int]
    name: str
    column_names: tuple[str, ...]
    total_rows: int
    # Sentences on how the files were read.
    notes: tuple[str, ...] = ()
    # How many rows are left out because they are equal to held-out ones.
    copies_left_out = 0

    def hold_out(self, share: float, seed: int) -> tuple[Self, Array, TargetValues]:
        """Hold out a random share of the rows, as many as memory holds. Returns the other rows, and X (m, p) and y (m,)
        of those that are held out; y are numbers or positions in the classes. Where rows have copies, those of held-out
        rows are in neither part, and `copies_left_out` of the other rows is their number."""
        most = self.source.memory // (32 * (self.n_features + 1))
        chosen = self.chosen(
            min(most, self.n_rows - 1, max(2, round(share * self.n_rows))), np.random.default_rng(seed)
        )
        X, y = self.gathered(chosen)
        rest, gone = self.without(chosen), [y]
        if are_copies(X):
            numbers, codes = rest._equal_to(X)
            if 0 < len(numbers) < rest.n_rows - 1:
                rest, gone = rest.without(numbers), [y, codes]
                rest.copies_left_out = len(numbers)
        if self.schema.target.task == "classification":
            y = y.astype(np.int64)
            held = np.bincount(np.concatenate(gone).astype(np.int64), minlength=len(self.class_counts))
            rest.class_counts = tuple(int(n) for n in np.array(self.class_counts) - held)
        return rest, X, y

    def _equal_to(self, X: Array) -> tuple[NDArray[np.int64], Array]:
        """Return the numbers in the source and the targets of the rows that are equal to one of X."""
        found: list[tuple[NDArray[np.int64], Array]] = self.sum(partial(_rows_in, np.unique(row_hashes(X))))
        return self.numbers_in_source(np.concatenate([n for n, _ in found])), np.concatenate([y for _, y in found])

    def hashes_among(self, hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Return those of these hashes, in ascending order, that rows have, as `row_hashes` makes them."""
        found: list[NDArray[np.uint64]] = self.sum(partial(_hashes_in, hashes))
        return np.unique(np.concatenate(found)) if found else hashes[:0]

    def some_targets(self, n: int) -> TargetValues:
        """Return the targets of n rows at random, or of all if there are fewer: numbers, or positions in the
        classes."""
        _, y = self.gathered(self.chosen(min(n, self.n_rows), np.random.default_rng(0)))
        return y.astype(np.int64) if self.schema.target.task == "classification" else y


def _hashes_in(hashes: NDArray[np.uint64], chunk: Chunk) -> list[NDArray[np.uint64]]:
    """Return those of the hashes that rows of a chunk have."""
    return [np.intersect1d(hashes, row_hashes(chunk.X))]


def _rows_in(hashes: NDArray[np.uint64], chunk: Chunk) -> list[tuple[NDArray[np.int64], Array]]:
    """Return the numbers of the rows of a chunk with these hashes, and their targets, which are positions where they
    are classes."""
    own = row_hashes(chunk.X)
    places = np.searchsorted(hashes, own).clip(max=len(hashes) - 1)
    which = np.flatnonzero(hashes[places] == own)
    y = chunk.y[which]
    return [(chunk.rows.start + which, y[:, 0] if y.shape[1] == 1 else y.argmax(axis=1))]


class FileRows(TableRows):
    """Rows of Parquet or Arrow files, read again for every pass over them; a text file is converted first.

    The meaning of the columns, `schema`, is learnt in one pass when this is made. It is the same as if the whole table
    was in memory. Rows without a target are left out. The files must not change until training has ended.

    Parameters
    ----------
    path : path
        A file, a folder of files, or a pattern such as ``data/part-*.parquet``.
    target : str
        The column to predict.
    task : "regression", "classification" or None
        None: the target decides.
    ignore : iterable of str
        Columns not to use.
    choices : ColumnChoices or None
        What columns are, where their cells are not to decide.
    memory : float, default 1e9
        Bytes that reading and summing may take; what the program and its libraries take comes on top.
    folder : str or None
        Where the copy of a text file lies for as long as these rows are used; None is the system's for temporary files.
    encoding : str, default "utf-8"
        The encoding of a text file.
    n_jobs : int or None
        Threads; None is the environment variable NEWTRON_NUM_THREADS or all cores.
    progress : callable or None
        Called with the rows that the first pass has seen and the number of all.
    converting : callable or None
        Called with the bytes of a text file that are converted and the number of all.

    Attributes
    ----------
    schema : Schema
    class_counts : (K,) or None
        The rows of each class.
    missing : dict
        The missing cells of each column.
    n_rows, n_features : int
    files
        The files that are read.

    Raises
    ------
    InputError
        There is nothing to read, a file is damaged or changes, its columns differ from those of the others, or nothing
        can be learnt from them.

    Examples
    --------
    >>> from newtron import FileRows, PerceptronClassifier
    >>> rows = FileRows("examples/penguins.csv", target="species")
    >>> rows.n_rows, rows.schema.feature_names[:2]
    (344, ('island=Dream', 'island=Torgersen'))
    >>> model = PerceptronClassifier(alpha=1.0, standardize=True).fit_rows(rows)
    >>> model.classes_.tolist()
    ['Adelie', 'Chinstrap', 'Gentoo']
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | DataFile,
        target: str,
        *,
        task: str | None = None,
        ignore: Iterable[str] = (),
        choices: ColumnChoices | None = None,
        memory: float = MEMORY,
        folder: str | None = None,
        encoding: str = "utf-8",
        n_jobs: int | None = None,
        progress: Progress | None = None,
        converting: Progress | None = None,
    ) -> None:
        memory = int(check_number("memory", memory, least=LEAST_MEMORY))
        ignore = [ignore] if isinstance(ignore, str) else list(ignore)
        name = path.name if isinstance(path, DataFile) else os.fspath(path)
        check = partial(check_asked, name, target=target, task=task, ignore=ignore, choices=choices)
        letters = () if choices is None else choices.letters
        self.files = opened(path, memory, folder, encoding, converting, check, letters=letters)
        try:
            learnt = _learn(self.files, target, task, ignore, choices, memory, progress)
        except BaseException:
            self.files.release()
            raise
        self.schema, self.class_counts, self.missing = learnt.schema, learnt.class_counts, learnt.missing
        self.name, self.total_rows = self.files.name, self.files.n_rows
        self.column_names = tuple(self.files.schema.names)
        self.notes = self.files.notes
        targets, n_outputs = target_columns(self.schema.target)
        source = FileSource(self.files, self.schema, learnt.sizes, memory)
        super().__init__(source, targets, n_outputs, threads=thread_count(n_jobs))


def cut_of(schema: Schema, table: Table, first: int) -> Cut:
    """Return the rows of a table that have a target. first: the number of the first of them in the source. Their X is
    encoded when it is called, and lies column by column in memory."""
    y, kept = encode_target(schema.target, table)
    if len(y) < table.n_rows:
        table = table.take(np.flatnonzero(kept))
    return Cut(first, partial(_features, schema, table), y.astype(np.float64, copy=False))


def _features(schema: Schema, table: Table) -> Array:
    return encode(schema, table, order="F").X


def batch_rows(chunk_bytes: int, columns: int) -> int:
    """Return how many rows of this number of columns a chunk of this number of bytes has."""
    return int(np.clip(chunk_bytes // (8 * columns), _FEWEST_ROWS, _MOST_ROWS))


def _learn(
    files: TableFiles,
    target: str,
    task: str | None,
    ignore: list[str],
    choices: ColumnChoices | None,
    memory: int,
    progress: Progress | None,
) -> Learnt:
    names, left_out = files.schema.names, set(ignore) - {target}
    read = [name for name in names if name not in left_out]
    most = batch_rows(min(CHUNK_BYTES, memory // CHUNKS), len(read))

    def reported() -> Iterator[tuple[int, Table]]:
        done = 0
        for piece, table in files.tables(range(len(files.pieces)), read, most):
            yield piece, table
            done += table.n_rows
            if progress is not None:
                progress(done, files.n_rows)

    if target not in names:
        read = names  # the error lists near names
    return learn_pieces(
        files.name, names, reported(), len(files.pieces), target, task=task, ignore=ignore, choices=choices
    )
