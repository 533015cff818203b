"""Data frames as tables: those of pandas, polars, pyarrow and every other library that narwhals knows.

Nothing that is given is changed, and columns of numbers are not copied where their library stores them as Arrow does.
An index is no column. Categories stay Arrow dictionaries, whose order and flag `ordered` are those of the frame.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import InputError
from newtron.table.arrow import ArrowColumn, ArrowTable
from newtron.table.cells import flag_words
from newtron.table.choices import ColumnChoices, ColumnKind, with_levels
from newtron.table.table import Table, check_names, show

if TYPE_CHECKING:
    import pandas as pd

# What pandas calls the categories that Arrow can hold as they are; all others become text, intervals among them.
_PLAIN_CATEGORIES = ("string", "integer", "boolean", "floating", "empty")
# What pandas calls columns of objects that are of one type.
_OF_ONE_TYPE = ("mixed-integer-float",)


def is_frame(X: object) -> bool:
    """Return whether X is a table with named columns: a frame of pandas, polars or another library that narwhals knows,
    in memory or lazy, or a table or batch of pyarrow."""
    if isinstance(X, (np.ndarray, np.generic, list, tuple, str, int, float)) or X is None:
        return False
    import narwhals as nw

    native = nw.to_native(X, pass_through=True)
    if nw.dependencies.is_pandas_like_dataframe(native) or nw.dependencies.is_pyarrow_table(native):
        return True  # narwhals itself fails where two columns have the same name
    known = nw.from_native(X, pass_through=True)
    return isinstance(known, (nw.DataFrame, nw.LazyFrame)) or _is_batch(X)


def table_of(frame: object, name: str = "X") -> Table:
    """Return a frame as a table. name: what messages call it. Rows count from 1, whatever the index says.

    A column of any type of text, numbers, yes/no, dates, times, durations or categories is taken as it is; so are
    missing cells. Names that are no text become text. A lazy frame is computed.

    Raises
    ------
    InputError
        There is no row or no column; names have several levels or are there twice; the cells of a column are of several
        types, or of one that no table can hold.
    """
    data = _arrow_of(frame, name)
    check_names(name, data.column_names)
    if not data.num_columns or not data.num_rows:
        raise InputError(f"{name}: the frame has no {'rows' if data.num_columns else 'columns'}; give one with both.")
    return Table(name, data, first_row=1)


def table_of_array(X: NDArray[np.generic], names: Sequence[str], name: str = "X") -> Table:
    """Return an array (n, p) of numbers, texts or objects as a table. names: of its columns. Raises InputError where
    the cells of a column are of several types."""
    import pyarrow as pa

    columns = []
    for column, label in zip(X.T, names, strict=True):
        with _named_errors(f"{name}, column {label!r}", X.dtype):
            columns.append(pa.array(column, from_pandas=X.dtype.kind == "O"))
    return Table(name, pa.table(columns, names=list(names)), first_row=1)


def is_numeric(frame: object) -> bool:
    """Return whether all columns of a frame are numbers or yes/no, in types that hold no missing cell but NaN."""
    import narwhals as nw
    import pyarrow as pa

    frame = nw.to_native(frame, pass_through=True)
    if nw.dependencies.is_pandas_dataframe(frame):
        kinds = [dtype.kind if isinstance(dtype, np.dtype) else "" for dtype in frame.dtypes]
        if kinds and all(kind and kind in "biuf" for kind in kinds):
            return True
    elif not (nw.dependencies.is_polars_dataframe(frame) or isinstance(frame, pa.Table)):
        return False
    table = table_of(frame)
    types = pa.types
    return all(
        not column.null_count
        and (types.is_integer(column.type) or types.is_floating(column.type) or types.is_boolean(column.type))
        for column in table.data.columns
    )


def stated_choices(table: Table, choices: ColumnChoices, left_out: Collection[str] = ()) -> ColumnChoices:
    """Return the choices with what the types of a frame's columns say: categories are levels, whatever they look like,
    and those in order keep it, the first as the reference. What is chosen already has precedence. left_out: columns
    that are no features."""
    import pyarrow as pa

    levels: dict[str, list[object]] = {}
    kinds: dict[str, ColumnKind] = {}
    for name, column in zip(table.names, table.data.columns, strict=True):
        if name in left_out or not pa.types.is_dictionary(column.type) or choices.kind(name) is not None:
            continue
        used = _used_levels(table, name)
        if used and column.type.ordered:
            levels[name] = used
        elif not flag_words([str(level) for level in used]):
            kinds[name] = "text"
    chosen = with_levels(choices, levels)
    return replace(chosen, kinds={**chosen.kinds, **kinds})


def _used_levels(table: Table, name: str) -> list[object]:
    """Return the levels of a column of categories that are in some row, in their order."""
    import pyarrow as pa
    import pyarrow.compute as pc

    unified = table.data.select([name]).unify_dictionaries().column(0)
    cells = unified.chunk(0) if unified.num_chunks == 1 else pa.concat_arrays(unified.chunks)
    used = np.sort(pc.unique(cells.indices.drop_null()).to_numpy(zero_copy_only=False))
    found: list[object] = cells.dictionary.take(pa.array(used)).drop_null().to_pylist()
    return found


@contextmanager
def _named_errors(place: str, dtype: object) -> Iterator[None]:
    """Turn what pyarrow and pandas raise for cells that Arrow cannot hold into a sentence. place: how a message names
    the column."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        why = " ".join(str(error).split()).rstrip(".")
        raise InputError(
            f"{place}: its cells of type {dtype} cannot be read ({why}); convert them with astype."
        ) from None


def _arrow_of(frame: object, name: str) -> ArrowTable:
    import narwhals as nw
    import pyarrow as pa

    frame = nw.to_native(frame, pass_through=True)
    if nw.dependencies.is_pandas_dataframe(frame):
        return _arrow_of_pandas(frame, name)
    if isinstance(frame, pa.RecordBatch):
        return pa.Table.from_batches([frame])
    if isinstance(frame, pa.Table):
        return frame
    known = nw.from_native(frame)  # type: ignore[call-overload]  # it refuses what is no frame
    if isinstance(known, nw.LazyFrame):
        known = known.collect()
    if known.implementation.is_pandas_like():
        return _arrow_of_pandas(known.to_pandas(), name)
    ordered = [name for name, dtype in known.schema.items() if isinstance(dtype, nw.Enum)]
    return _with_order(known.to_arrow(), ordered)


def _with_order(data: ArrowTable, names: Iterable[str]) -> ArrowTable:
    """Return a table whose categories of these names are in order, which not every version of a library says."""
    import pyarrow as pa

    for name in names:
        at = data.column_names.index(name)
        column = data.column(at)
        if not column.type.ordered:
            chunks = [
                pa.DictionaryArray.from_arrays(chunk.indices, chunk.dictionary, ordered=True) for chunk in column.chunks
            ]
            data = data.set_column(at, name, pa.chunked_array(chunks))
    return data


def _is_batch(X: object) -> bool:
    """Return whether X is a batch of pyarrow, which takes long to import: who has one has imported it."""
    if "pyarrow" not in sys.modules:
        return False
    import pyarrow as pa

    return isinstance(X, pa.RecordBatch)


def _arrow_of_pandas(frame: pd.DataFrame, name: str) -> ArrowTable:
    import pyarrow as pa

    if frame.columns.nlevels > 1:
        raise InputError(
            f"{name}: the names of its columns have {frame.columns.nlevels} levels; give each column one name: "
            "frame.columns = ['_'.join(map(str, names)) for names in frame.columns]."
        )
    names = _names_of_pandas(frame.columns, name)
    columns = [
        _pandas_column(column, f"{name}, column {label!r}")
        for label, (_, column) in zip(names, frame.items(), strict=True)
    ]
    return pa.table(columns, names=names) if columns else pa.table({})


def _names_of_pandas(names: Iterable[Hashable], table: str) -> list[str]:
    """Return the names as text. Raises InputError where two of them are the same as text alone."""
    found: dict[str, Hashable] = {}
    for name in names:
        other = found.setdefault(str(name), name)
        if type(other) is not type(name):
            raise InputError(
                f"{table}: the columns {other!r} and {name!r} have the same name as text; rename one of them."
            )
    return [str(name) for name in names]


def _pandas_column(column: pd.Series, place: str) -> ArrowColumn:
    """Return a column as Arrow's. place: how a message names it."""
    import pandas as pd
    import pyarrow as pa

    dtype = column.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        # NaN stays: whoever reads the cells takes it for a missing one.
        values = column.to_numpy()
        return pa.array(values if dtype.isnative else values.astype(dtype.newbyteorder("=")))
    if isinstance(dtype, pd.SparseDtype):
        return _pandas_column(pd.Series(np.asarray(column)), place)
    if isinstance(dtype, pd.PeriodDtype):
        column = column.dt.to_timestamp()
    elif isinstance(dtype, pd.IntervalDtype):
        column = column.astype("category")
    elif isinstance(dtype, np.dtype) and dtype.kind == "O":
        _check_one_type(column, place)
    with _named_errors(place, dtype):
        if isinstance(column.dtype, pd.CategoricalDtype):
            kind = pd.api.types.infer_dtype(column.cat.categories)
            if kind not in _PLAIN_CATEGORIES:
                column = column.cat.rename_categories(list(map(str, column.cat.categories)))
        return pa.array(column, from_pandas=True)


def _check_one_type(column: pd.Series, place: str) -> None:
    """Raise InputError where a column of objects holds values of several types, with one of each."""
    import pandas as pd

    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind in _OF_ONE_TYPE or not kind.startswith("mixed"):
        return
    missing = column.isna().to_numpy()
    first: tuple[int, object] | None = None
    for row, value in enumerate(column.array):
        if missing[row]:
            continue
        if first is None:
            first = row, value
        elif type(value) is not type(first[1]):
            raise InputError(
                f"{place}: row {first[0] + 1:,} holds {show(first[1])} ({type(first[1]).__name__}) and row {row + 1:,} "
                f"{show(value)} ({type(value).__name__}); convert the column to one type, to text say with astype(str)."
            )
