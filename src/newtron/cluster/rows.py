"""Rows on a Dask cluster: Parquet files, `dask.dataframe` and `dask.array`, learnt and summed by its workers."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from newtron.cluster.dask import DaskEngine, Placed
from newtron.cluster.sums import DistributedRows, FarSource, HeldPart, Part, ReadPart
from newtron.cluster.untyped import DaskObject
from newtron.engine.base.checks import check_number
from newtron.engine.base.errors import InputError
from newtron.engine.base.words import column_names
from newtron.engine.rows.streamed import Cut
from newtron.table.arrow import ArrowSchema, ArrowTable, ArrowType
from newtron.table.choices import ColumnChoices
from newtron.table.data_file import DataFile
from newtron.table.encode import target_columns
from newtron.table.gather import Gathered
from newtron.table.large.file_rows import (
    CHUNK_BYTES,
    CHUNKS,
    LEAST_MEMORY,
    MEMORY,
    FileSource,
    TableRows,
    batch_rows,
    cut_of,
)
from newtron.table.large.files import TableFiles, is_text_file
from newtron.table.learn import Learnt, check_asked, class_counts, decide, decided_target
from newtron.table.schema import Column, Schema
from newtron.table.table import Table, check_finite

T = TypeVar("T")

# Files are divided into at most about this number of parts, so that the scheduler is not the bottleneck.
_MOST_PARTS = 4096
# Kinds of NumPy's types that are taken from a dask.array. "O" are texts that NumPy keeps as objects.
NUMBERS, TEXTS = "fiub", "UTO"
# Seconds to wait for a worker when all are gone.
PATIENCE = 30.0


class ClusterRows(DistributedRows, TableRows):
    """Rows on the workers of a Dask cluster, for `fit_rows`. The workers sum; the solver runs in this process.

    The meaning of the columns is learnt in one pass on the cluster. The columns of an array are numbers as they are.
    Files that fit in less than half of the workers' memory are kept there; larger ones are read again for every pass.
    What is kept is made by tasks: if a worker dies, others make it again and the fit ends at the same bits.

    Parameters
    ----------
    client : distributed.Client
    data : path, dask.dataframe or dask.array
        A path as in `FileRows` (a Parquet or Arrow file, a folder, a pattern) that is the same on all machines; or a
        ``dask.dataframe``; or a ``dask.array`` X (n, p).
    target : str or dask.array
        The name of the column to predict, or y (n,).
    task, ignore, choices
        As in `FileRows`.
    memory : float, default 1e9
        Bytes that a pass over files may take for each thread of a worker, and what may be gathered here.
    patience : float, default 30
        Seconds to wait for a worker when all are gone.

    Attributes
    ----------
    schema : Schema
    class_counts : (K,) or None
        The rows of each class.
    missing : dict
        The missing cells of each column.
    n_rows, n_features : int

    Raises
    ------
    InputError
        The extra dask is missing, the workers run another newtron, the data cannot be read or nothing can be learnt
        from them; and ClusterLostError, which is one, where all workers are gone for too long.

    Examples
    --------
    >>> import dask.array as da
    >>> from distributed import Client
    >>> from newtron import ClusterRows, PerceptronRegressor
    >>> x = da.arange(100.0, chunks=50)
    >>> with Client(processes=False, n_workers=1, dashboard_address=None) as client:
    ...     model = PerceptronRegressor().fit_rows(ClusterRows(client, x[:, None], 2.0 * x + 1.0))
    >>> model.coef_.round(6)
    array([2.])
    """

    def __init__(
        self,
        client: DaskObject,
        data: DaskObject,
        target: DaskObject,
        *,
        task: str | None = None,
        ignore: Iterable[str] = (),
        choices: ColumnChoices | None = None,
        memory: float = MEMORY,
        patience: float = PATIENCE,
    ) -> None:
        memory = int(check_number("memory", memory, least=LEAST_MEMORY))
        patience = check_number("patience", patience, above=0.0)
        ignore = [ignore] if isinstance(ignore, str) else list(ignore)
        self._cluster = engine = DaskEngine(client, patience)
        asked = _Asked(target, task, ignore, choices or ColumnChoices())
        if isinstance(data, (str, os.PathLike)):
            laid = _files(engine, os.fspath(data), asked, memory)
        else:
            laid = _collection(engine, data, asked, memory)
        learnt = laid.learnt
        self.schema, self.class_counts, self.missing = learnt.schema, learnt.class_counts, learnt.missing
        self.name, self.total_rows, self.column_names = laid.name, laid.total_rows, laid.names
        targets, n_outputs = target_columns(self.schema.target)
        source = FarSource(
            laid.sizes, len(self.schema.feature_names), memory, _chunk_bytes(memory), laid.content or self._content
        )
        super().__init__(engine, laid.parts, source, targets, n_outputs)

    def workers(self) -> dict[str, int]:
        """Return the threads of each worker, by its address."""
        return self._cluster.workers()

    def _content(self) -> str:
        """Return a digest of all rows."""
        found: list[bytes] = self.engine.total(_digests, self.parts)
        return hashlib.sha256(b"".join(found)).hexdigest()


class _Asked(NamedTuple):
    """What is to be learnt: the arguments of `ClusterRows`."""

    target: DaskObject
    task: str | None
    ignore: list[str]
    choices: ColumnChoices

    def check(self, name: str, names: tuple[str, ...]) -> None:
        check_asked(name, names, self.target, self.task, self.ignore, self.choices)


class _PlacedRows(NamedTuple):
    """Rows that were placed on a cluster. sizes: rows of each part. content: returns what distinguishes the rows from
    others, if that is known."""

    name: str
    names: tuple[str, ...]
    total_rows: int
    learnt: Learnt
    parts: Placed
    sizes: NDArray[np.int64]
    content: Callable[[], str] | None


def _chunk_bytes(memory: int) -> int:
    return min(CHUNK_BYTES, memory // CHUNKS)


# --- files ---


@dataclass(frozen=True)
class _Files(Part):
    """Some pieces of files before they can be encoded. most: rows of a table."""

    files: TableFiles
    pieces: tuple[int, ...]
    columns: tuple[str, ...]
    most: int
    first: int = 0

    def cuts(self) -> Iterator[Cut]:
        raise NotImplementedError("what the columns mean is not known yet")

    def tables(self) -> Iterator[tuple[int, Table]]:
        return self.files.tables(self.pieces, self.columns, self.most)


def _files(engine: DaskEngine, path: str, asked: _Asked, memory: int) -> _PlacedRows:
    path = os.path.abspath(path)  # a worker may run in another folder
    if is_text_file(DataFile(path, path)):
        raise InputError(f"{path}: a text file cannot be read in parts by a cluster; write it as Parquet.")
    files = TableFiles(path, memory)
    names = tuple(files.schema.names)
    asked.check(path, names)
    read = tuple(name for name in names if name not in asked.ignore or name == asked.target)
    runs = _runs(np.array([sum(group.rows for group in piece.groups) for piece in files.pieces]))
    rows = np.array([sum(g.rows for p in run for g in files.pieces[p].groups) for run in runs])
    known, most = engine.broadcast(files), batch_rows(_chunk_bytes(memory), len(read))
    looked = engine.place(_Files, [(known, run, read, most) for run in runs], rows)
    learn = partial(_gather, names, asked, len(files.pieces))
    learnt = decide(engine.total(learn, looked), path, names, asked.task, asked.ignore)
    source = FileSource(files, learnt.schema, learnt.sizes, memory)
    held = engine.holds(8.0 * learnt.sizes.sum() * (source.n_features + 1))
    sizes = np.array([learnt.sizes[list(run)].sum() for run in runs])
    first = (np.cumsum(sizes) - sizes).tolist()
    shared = engine.broadcast(source)
    parts = engine.place(_read_part, [(shared, run, at, held) for run, at in zip(runs, first, strict=True)], sizes)
    return _PlacedRows(path, names, files.n_rows, learnt, parts, sizes, source.digest)


def _runs(rows: NDArray[np.int64]) -> list[tuple[int, ...]]:
    """Return the parts: pieces that follow each other. The division depends on the pieces alone."""
    share = np.cumsum(rows) - rows
    part = share // max(1, -(-int(rows.sum()) // _MOST_PARTS))
    edges = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(rows)]
    return [tuple(range(a, b)) for a, b in pairwise(edges)]


def _read_part(source: FileSource, pieces: tuple[int, ...], first: int, held: bool) -> Part:
    part = ReadPart(source, pieces, first)
    return HeldPart(part.cuts(), first) if held else part


def _gather(names: tuple[str, ...], asked: _Asked, pieces: int, part: _Files | _Block, _: object) -> Gathered:
    gathered = Gathered(names, asked.target, asked.ignore, pieces, choices=asked.choices)
    for piece, table in part.tables():
        check_finite(table)
        gathered.add(piece, table)
    return gathered


def _digests(part: Part, _: object) -> list[bytes]:
    total = hashlib.sha256()
    for cut in part.cuts():
        total.update(np.ascontiguousarray(cut.X()).data)
        total.update(np.ascontiguousarray(cut.y).data)
    return [total.digest()]


# --- what is in Dask already ---


class _Block(NamedTuple):
    """A partition of a collection. cells: a data frame, or X and y; most: rows of a table."""

    number: int
    cells: DaskObject
    schema: ArrowSchema
    most: int

    def tables(self) -> Iterator[tuple[int, Table]]:
        import pyarrow as pa

        name = f"partition {self.number}"
        try:
            if isinstance(self.cells, tuple):
                table = _table_of_arrays(name, self.cells[0], self.cells[1], self.schema)
            else:
                table = pa.Table.from_pandas(self.cells, schema=self.schema, preserve_index=False)
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise InputError(
                f"{name}: its cells are not what the collection says of its columns ({_words_of(error)}); convert them "
                "to one type with astype first."
            ) from None
        for start in range(0, table.num_rows, self.most):
            yield self.number, Table(name, table.slice(start, self.most), first_row=start + 1)


def _words_of(error: Exception) -> str:
    return " ".join(str(part) for part in error.args).rstrip(".")


def _table_of_arrays(name: str, X: DaskObject, y: DaskObject, schema: ArrowSchema) -> ArrowTable:
    import pyarrow as pa

    for array in (X, y):
        if not isinstance(array, np.ndarray):
            raise InputError(f"{name}: its blocks are of {type(array).__name__}: give dense NumPy arrays.")
    if len(X) != len(y):
        raise InputError(f"{name}: X has {len(X):,} rows and y has {len(y):,}: give arrays of the same rows.")
    y = y.ravel()
    columns = [*np.asfortranarray(X).T, y if y.dtype.kind in NUMBERS else y.astype(object)]
    return pa.table([pa.array(column, kind) for column, kind in zip(columns, schema.types, strict=True)], schema=schema)


def _collection(engine: DaskEngine, data: DaskObject, asked: _Asked, memory: int) -> _PlacedRows:
    from dask import delayed

    is_array = hasattr(data, "chunks") and hasattr(data, "to_delayed")
    lazy, schema, target = (_array_blocks if is_array else partial(_frame_partitions, engine))(data, asked.target)
    asked = asked._replace(target=target)
    name = "the dask.array" if is_array else "the dask.dataframe"
    names = tuple(schema.names)
    asked.check(name, names)
    if is_array and asked.ignore:
        raise InputError("ignore names columns, and an array has none: give an array without them.")
    if is_array and asked.choices != ColumnChoices():
        raise InputError("choices name columns, and an array has none but numbers: give a dask.dataframe.")
    most = batch_rows(_chunk_bytes(memory), len(names))
    block = delayed(_Block, pure=False)
    blocks = [block(number, each, schema, most) for number, each in enumerate(lazy)]
    gathered = engine.total_of(partial(_gather, names, asked, len(blocks)), blocks)
    if is_array:
        learnt = _learnt_of_array(gathered, name, asked.task)
    else:
        learnt = decide(gathered, name, names, asked.task, asked.ignore)
    sizes, encoded = learnt.sizes, delayed(_encoded, pure=False)
    first = (np.cumsum(sizes) - sizes).tolist()
    parts = engine.placed_by_dask(
        [encoded(each, learnt.schema, at) for each, at in zip(blocks, first, strict=True)], sizes
    )
    return _PlacedRows(name, names, gathered.rows, learnt, parts, sizes, None)


def _frame_partitions(
    engine: DaskEngine, data: DaskObject, target: DaskObject
) -> tuple[list[DaskObject], ArrowSchema, DaskObject]:
    import pyarrow as pa

    if not (hasattr(data, "to_delayed") and hasattr(data, "_meta_nonempty") and hasattr(data, "columns")):
        raise InputError(
            f"data={type(data).__name__} is nothing that a cluster can read: give a path, a dask.dataframe or a "
            "dask.array."
        )
    if not all(isinstance(name, str) for name in data.columns):
        raise InputError("the dask.dataframe has columns whose names are no text: rename them.")
    schema = pa.Schema.from_pandas(data._meta_nonempty, preserve_index=False).remove_metadata()
    # Only the names of categories are used, and each partition may have other categories.
    known = {field.name: getattr(field.type, "value_type", field.type) for field in schema}
    unknown = [name for name in known if _has_unknown_categories(data[name])]
    if unknown:
        from dask import delayed

        looked = delayed(_categories, pure=False)
        found = engine.total_of(_itself, [looked(part) for part in data[unknown].to_delayed()])
        for name in unknown:
            kinds = {kinds[name] for kinds in found} - {pa.null()}
            if len(kinds) > 1:
                types = " and ".join(sorted(map(str, kinds)))
                raise InputError(
                    f"the dask.dataframe: the categories of {name} are of several types, {types}; convert them to one "
                    "with astype first."
                )
            known[name] = kinds.pop() if kinds else pa.null()
    return data.to_delayed(), pa.schema(known.items()), target


def _has_unknown_categories(column: DaskObject) -> bool:
    return str(column.dtype) == "category" and not (column.cat.known and len(column._meta.cat.categories))


def _categories(frame: DaskObject) -> list[dict[str, ArrowType]]:
    """Return the type of the categories of each column, in one partition."""
    import pyarrow as pa

    return [{name: pa.array(frame[name].cat.categories).type for name in frame.columns}]


def _itself(found: T, _: object) -> T:
    return found


def _array_blocks(X: DaskObject, y: DaskObject) -> tuple[list[DaskObject], ArrowSchema, str]:
    import pyarrow as pa
    from dask import delayed

    if X.ndim != 2 or not hasattr(y, "to_delayed") or getattr(y, "ndim", 0) != 1:
        raise InputError("a dask.array X must be (n, p), and its target a dask.array y (n,).")
    if X.dtype.kind not in NUMBERS:
        raise InputError(f"the dask.array X is of {X.dtype}: give numbers.")
    if y.dtype.kind not in NUMBERS + TEXTS:
        raise InputError(f"the dask.array y is of {y.dtype}: give numbers, or texts as classes.")
    X = X.rechunk({1: -1}) if len(X.chunks[1]) > 1 else X
    known = not np.isnan(np.array(X.chunks[0] + y.chunks[0], dtype=float)).any()
    if known and X.shape[0] != y.shape[0]:
        raise InputError(f"X has {X.shape[0]:,} rows and y has {y.shape[0]:,}: give arrays of the same rows.")
    if known:
        y = y.rechunk((X.chunks[0],))
    elif X.numblocks[0] != y.numblocks[0]:
        raise InputError("X and y have another number of blocks each, of unknown sizes: compute_chunk_sizes() first.")
    names = column_names(None, X.shape[1])
    kind = pa.from_numpy_dtype(y.dtype) if y.dtype.kind in NUMBERS else pa.large_string()
    fields = [*((name, pa.from_numpy_dtype(X.dtype)) for name in names), ("y", kind)]
    pair = delayed(_pair, pure=False)
    blocks = [pair(a, b) for a, b in zip(X.to_delayed().ravel(), y.to_delayed().ravel(), strict=True)]
    return blocks, pa.schema(fields), "y"


def _pair(X: object, y: object) -> tuple[object, object]:
    return X, y


def _learnt_of_array(gathered: Gathered, name: str, task: str | None) -> Learnt:
    """Return the schema of an array: its columns are numbers as they are. Raises InputError where one is missing."""
    for column, missing in {**gathered.missing, "y": gathered.target.without}.items():
        if missing:
            raise InputError(f"{name}: {column} has {missing:,} cells that are not a number; fill them in first.")
    target, warnings = decided_target(gathered, name, task)
    columns = tuple(Column(facts.name, "number", (facts.name,), mean=0.0) for facts in gathered.facts)
    schema = Schema(columns, target, warnings=tuple(warnings))
    return Learnt(schema, gathered.sizes, class_counts(gathered, target), {})


def _encoded(block: _Block, schema: Schema, first: int) -> Part:
    return HeldPart(_cuts(block, schema, first), first)


def _cuts(block: _Block, schema: Schema, first: int) -> Iterator[Cut]:
    for _, table in block.tables():
        cut = cut_of(schema, table, first)
        if len(cut.y):
            yield cut
        first += len(cut.y)
