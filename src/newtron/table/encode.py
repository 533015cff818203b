"""Encode a table by its schema: the matrix of features, written in place column by column, and the targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array, ClassLabel
from newtron.engine.base.words import count
from newtron.engine.rows.streamed import TargetEncoder
from newtron.engine.rows.targets import class_outputs, class_targets
from newtron.table.arrow import ArrowArray, ArrowColumn
from newtron.table.cells import (
    are_plain_numbers,
    as_days,
    as_digits,
    as_flags,
    as_numbers,
    copy_numbers,
    distinct_cells,
    is_text,
    is_whole,
    match_levels,
    plain,
)
from newtron.table.formula.matrix import encode_formula
from newtron.table.gather import missing_refused
from newtron.table.readings import Reading
from newtron.table.schema import PERIODS, Column, DatePart, Encoded, Schema, Target, TargetValues
from newtron.table.table import Table, check_finite_column, show, suggest

_BLOCK_ROWS = 8192  # rows of a category that are written at a time, so that they stay in the cache
_CLASSES_SHOWN = 10  # classes that a message lists


def check_columns(schema: Schema, path: str, names: Sequence[str]) -> None:
    """Raise an InputError where a column is missing that the schema reads."""
    known = set(names)
    for name in schema.reads(names):
        if name not in known:
            raise InputError(f"{path}: the column {name!r}, which the model needs, is missing; {suggest(name, names)}.")


def encode(schema: Schema, table: Table, *, order: Literal["C", "F"] = "C") -> Encoded:
    """Encode the features of a table, which are found by name; other columns are ignored. order: of X in memory.

    A category that training never saw becomes `(other)` where there is that level, and else the average training row of
    its column; so does a missing cell where training had none.

    Raises
    ------
    InputError
        A column is missing, or a cell is infinite or not of the kind that its column was in training, or it is empty
        though the schema refuses missing cells.
    """
    check_columns(schema, table.path, table.names)
    formula = schema.formula_for(table.names)
    if formula is not None:
        made = encode_formula(formula, table)
        places = [formula.feature_names.index(name) for name in schema.feature_names]
        return replace(made, X=np.asarray(made.X[:, places], order=order))
    X = np.empty((table.n_rows, len(schema.feature_names)), order=order)
    unseen: dict[str, int] = {}
    missing: dict[str, int] = {}
    start = 0
    with np.errstate(all="ignore"):
        for column in schema.columns:
            stop = start + len(column.encoded)
            fill = {"category": _fill_category, "factor": _fill_factor}.get(column.kind, _fill_number)
            n_unseen, n_missing = fill(column, table, X[:, start:stop])
            if n_unseen:
                unseen[column.name] = n_unseen
            if n_missing and schema.missing == "error":
                absent = plain(table.column(column.name)).is_null().to_numpy(zero_copy_only=False)
                raise missing_refused(table, column.name, absent)
            if n_missing and not column.missing_seen:
                missing[column.name] = n_missing
            start = stop
    return Encoded(X, unseen, missing)


def filled_in(schema: Schema, unseen: dict[str, int], missing: dict[str, int]) -> list[str]:
    """Return a sentence for each column in which cells were replaced: values that training never saw, and missing
    ones."""
    instead = {column.name: "'(other)'" for column in schema.columns if column.pooled}
    instead |= {column.name: "none of its groups" for column in schema.columns if column.kind == "factor"}
    found = []
    for name, n in unseen.items():
        as_what = instead.get(name, "the average row")
        found.append(f"column {name!r}: {count(n, 'cell')} with a value never seen in training, taken as {as_what}.")
    for name, n in missing.items():
        how = f"taken as {instead[name]}" if instead.get(name, "'").startswith("n") else "filled in with the average"
        found.append(f"column {name!r}: {count(n, 'missing cell')}, though training had none; {how}.")
    return found


def rows_without_values(schema: Schema, table: Table) -> NDArray[np.bool_]:
    """Return a mask of the rows that have no value in any column of the schema, if no row of training was like that:
    nothing can be predicted for them. Raises InputError where a column is not there."""
    check_columns(schema, table.path, table.names)
    found = np.ones(table.n_rows, dtype=bool)
    if all(column.missing_seen for column in schema.columns):
        return ~found
    for name in schema.reads(table.names):
        if not found.any():  # as a rule after the first column
            break
        found &= plain(table.column(name)).is_null().to_numpy(zero_copy_only=False)
    return found


def _fill_number(column: Column, table: Table, out: Array) -> tuple[int, int]:
    """Write a number, date or yes/no; return how many cells were unseen and how many missing."""
    chunks = table.cells(column.name)
    if column.kind == "number" and are_plain_numbers(chunks):
        return 0, _fill_plain_numbers(column, table, chunks, out)
    cells = plain(_finite(column, table))
    unseen = 0
    if column.kind == "yes/no":
        values, unknown = as_flags(cells)
        unseen = int(np.count_nonzero(unknown))
    else:
        found = _values(column, cells)
        if isinstance(found, int):
            raise _wrong_kind(column, table, cells, found)
        values = np.asarray(found, dtype=np.float64)
    absent = np.isnan(values)
    n_absent = int(np.count_nonzero(absent))
    out[:, 0] = values
    out[:, 1 : 1 + 2 * len(column.parts)] = np.nan_to_num(date_parts(values, column.parts))
    if n_absent:
        out[absent, 0] = column.mean
    if column.indicator:
        out[:, -1] = absent
        if unseen:
            out[unknown, -1] = 0.0  # there is a cell; only its word is unknown
    return unseen, n_absent - unseen


def date_parts(days: Array, parts: Sequence[DatePart]) -> Array:
    """Return (n, 2 parts): of each part of the dates (n,), in days, the sine and the cosine; both are nan where a date
    is missing, for which the centre of the circle, 0, can stand in."""
    angles = np.outer(days, [2.0 * np.pi / PERIODS[part] for part in parts])
    return np.stack([np.sin(angles), np.cos(angles)], axis=2).reshape(len(days), -1)


def _values(column: Column, cells: ArrowArray) -> Array | int:
    """Return numbers, or dates in days, NaN where missing; or the index of the first cell that is none."""
    if column.kind == "date" and column.reading and is_whole(cells):
        cells = as_digits(cells)
    if column.reading and is_text(cells):
        return column.reading.read(cells)
    return as_days(cells) if column.kind == "date" else as_numbers(cells)


def _fill_plain_numbers(column: Column, table: Table, cells: ArrowColumn, out: Array) -> int:
    """Write numbers of a type that NumPy knows, without a copy of the column; return how many cells are missing."""
    copy_numbers(cells, out[:, 0])
    out[:, 1:] = 0.0
    if np.isfinite(out[:, 0].sum()):
        return 0  # a missing or infinite cell would have spoilt the sum
    if np.isinf(out[:, 0]).any():
        check_finite_column(table, column.name)
    absent = np.isnan(out[:, 0])
    out[absent, 0] = column.mean
    out[absent, 1:] = 1.0
    return int(np.count_nonzero(absent))


def _finite(column: Column, table: Table) -> ArrowArray:
    """Return the cells of a column. Raises InputError where one is infinite."""
    import pyarrow as pa

    cells = table.column(column.name)
    if pa.types.is_floating(cells.type):
        check_finite_column(table, column.name)
    return cells


def _wrong_kind(column: Column, table: Table, cells: ArrowArray, index: int) -> InputError:
    was = "a date" if column.kind == "date" else "a number"
    if column.reading:
        was += f" such as {column.reading.example[0]!r}"
    elif column.kind == "date":
        was += " such as 2024-01-31"
    return InputError(
        f"{table.place(column.name, index)}: {show(cells[index].as_py())} is not {was}, "
        "as this column was in training; correct the cell or leave it empty."
    )


def _fill_category(column: Column, table: Table, out: Array) -> tuple[int, int]:
    """Write a category's 0/1 columns; return how many cells were unseen and how many missing."""
    values, codes = distinct_cells(plain(_finite(column, table)))
    patterns, known = _patterns(column, values)
    for start in range(0, len(codes), _BLOCK_ROWS):
        block = codes[start : start + _BLOCK_ROWS]
        out[start : start + _BLOCK_ROWS] = patterns[block]
    counts = np.bincount(codes, minlength=len(values) + 1)
    return int(counts[:-1][~known].sum()), int(counts[-1])


def _fill_factor(column: Column, table: Table, out: Array) -> tuple[int, int]:
    """Write the numbers of a factor's levels; return how many cells were unseen and how many missing."""
    values, codes = distinct_cells(plain(_finite(column, table)))
    found = _level_numbers(column, values)
    out[:, 0] = found[codes]
    counts = np.bincount(codes, minlength=len(values) + 1)
    return int(counts[:-1][found[:-1] < 0].sum()), int(counts[-1])


def _level_numbers(column: Column, values: Sequence[ClassLabel]) -> NDArray[np.int64]:
    """The number of each different cell's level of a factor, the last one for a missing cell; -1 where training saw no
    such cell."""
    missing = len(column.levels) if column.missing_seen else -1
    return np.array([*match_levels(values, column.levels), missing], dtype=np.int64)


def _patterns(column: Column, values: Sequence[ClassLabel]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the row of 0s and 1s for each different cell, the last one for a missing cell, and a mask of the cells
    that training saw."""
    assert column.reference is not None
    levels = (*column.levels, *column.pooled, column.reference)
    n_levels = len(column.levels)
    found = np.array(match_levels(values, levels), dtype=np.int64)
    known = found >= 0
    patterns = np.zeros((len(values) + 1, len(column.encoded)))
    own = np.flatnonzero(known & (found < n_levels))
    patterns[own, found[own]] = 1.0
    pooled = (found >= n_levels) & (found < len(levels) - 1)
    if column.pooled:
        patterns[np.flatnonzero(pooled | ~known), n_levels] = 1.0
    else:
        patterns[np.flatnonzero(~known)] = column.shares
    if column.indicator:
        patterns[-1, -1] = 1.0
    else:
        patterns[-1] = column.shares
    return patterns, known


def level_pattern(column: Column, level: ClassLabel) -> NDArray[np.float64] | None:
    """The row (width,) of a column's numbers for a cell that holds this level; None for one that training never saw."""
    if column.kind == "yes/no":
        import pyarrow as pa

        values, _ = as_flags(pa.array([level]))
        return None if np.isnan(values[0]) else np.array([values[0], *[0.0] * column.indicator])
    if column.kind == "factor":
        place = float(_level_numbers(column, [level])[0])
        return None if place < 0.0 else np.array([place])
    patterns, known = _patterns(column, [level])
    return patterns[0] if known[0] else None


def encode_target(target: Target, table: Table) -> tuple[TargetValues, NDArray[np.bool_]]:
    """`(y, kept)`: the target of the rows that have one, and the mask over all rows that says which.

    `y` has one value for each True in `kept`: numbers for regression, positions in `target.classes` for classification.
    Raises InputError where a cell is not a number, or a class that the model does not know.
    """
    known = _plain_target(target, table.cells(target.name))
    if known is not None:
        return known, np.ones(len(known), dtype=bool)
    cells = plain(table.column(target.name))
    if target.reading and is_text(cells):
        cells = _read_target(target, target.reading, table, cells)
    if target.task == "regression":
        values = as_numbers(cells)
        if isinstance(values, int):
            raise InputError(
                f"{table.place(target.name, values)}: {show(cells[values].as_py())} is not a number, "
                "as the target was in training; correct the cell or leave it empty."
            )
        kept = ~np.isnan(values)
        return values[kept], kept
    distinct, codes = distinct_cells(cells)
    found = np.array([*match_levels(distinct, target.classes), -1], dtype=np.int64)
    kept = codes < len(distinct)
    unknown = np.flatnonzero((found[codes] < 0) & kept)
    if len(unknown):
        index = int(unknown[0])
        names = ", ".join(show(label) for label in target.classes[:_CLASSES_SHOWN])
        more = ", ..." if len(target.classes) > _CLASSES_SHOWN else ""
        raise InputError(
            f"{table.place(target.name, index)}: the model does not know the class "
            f"{show(distinct[codes[index]])}; its classes are {names}{more}: correct the cell or empty it."
        )
    return found[codes[kept]], kept


def _read_target(target: Target, reading: Reading, table: Table, cells: ArrowArray) -> ArrowArray:
    """Return text as the numbers that it was in training."""
    import pyarrow as pa

    values = reading.read(cells)
    if isinstance(values, int):
        raise InputError(
            f"{table.place(target.name, values)}: {show(cells[values].as_py())} is not a number such as "
            f"{reading.example[0]!r}, as the target was in training; correct the cell or leave it empty."
        )
    return pa.array(values, from_pandas=True)


def _plain_target(target: Target, cells: ArrowColumn) -> TargetValues | None:
    """Return what `encode_target` does for a column of numbers none of which is missing, or None for other cells."""
    if cells.null_count or not are_plain_numbers(cells):
        return None
    values = cells.to_numpy()
    if target.task == "regression":
        return None if np.isnan(values).any() else values.astype(np.float64)
    if not (is_whole(cells) and all(isinstance(label, int) for label in target.classes)):
        return None
    classes = np.array(target.classes)
    codes = np.searchsorted(classes, values)
    return codes if np.array_equal(classes.take(codes, mode="clip"), values) else None


def target_columns(target: Target, class_weight: Array | None = None) -> tuple[TargetEncoder, int]:
    """How y (m,) of `encode_target` becomes targets (m, k) of a loss, and k: numbers as they are, two classes as 0 and
    1, more classes with a column of 0 and 1 for each. class_weight: the weight of each class, in order."""
    k = len(target.classes)

    def targets(y: Array) -> tuple[Array, Array | None]:
        if not k:
            return y[:, None], None
        codes = y.astype(np.int64)
        return class_targets(codes, k), None if class_weight is None else class_weight[codes]

    return targets, class_outputs(k) if k else 1
