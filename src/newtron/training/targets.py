"""Targets as users give them and as networks are trained on them: y is encoded here and nowhere else.

Rows of files and of a cluster come encoded by their schema (`newtron.table.target`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array, Labels
from newtron.engine.base.words import count, setting
from newtron.engine.maths.losses import Loss
from newtron.engine.rows import ArrayRows, Chunk, Rows
from newtron.engine.rows.targets import class_targets
from newtron.training.class_weight import class_totals, class_weights
from newtron.training.fitted import DataDescription, FittedModel
from newtron.training.settings import ClassWeight

# Whole numbers in a range of at most this many are counted instead of sorted: two passes over y.
_COUNTED = 65536


def encoded_numbers(y: Labels, data: DataDescription) -> tuple[Array, DataDescription]:
    """Y (n, k) in float64 from the targets (n,) or (n, k) of a regression, and whether they were one column."""
    Y = np.asarray(y, dtype=np.float64)
    return Y.reshape(len(Y), -1), replace(data, one_column=Y.ndim == 1)


def check_targets(rows: Rows, loss: Loss) -> None:
    """Raise InputError where a target is not one that the loss can have, or where it has too many targets."""
    if loss.max_targets is not None and rows.n_outputs > loss.max_targets:
        chosen = setting("loss", repr(loss.name))
        raise InputError(
            f"{chosen} takes {count(loss.max_targets, 'target')}, and y has {rows.n_outputs}: fit a model for each."
        )
    if not loss.wrong_target:
        return

    def wrong(chunk: Chunk) -> list[tuple[int, float]]:
        """Return the number and the target of the first row with a target that is not possible."""
        places = np.argwhere(~loss.is_possible(chunk.y))[:1].tolist()
        return [(chunk.rows.start + row, float(chunk.y[row, output])) for row, output in places]

    for row, target in rows.sum(wrong)[:1]:
        chosen = setting("loss", repr(loss.name))
        raise InputError(f"y is {target:g} in row {row + 1:,}, and {chosen} is for {loss.wrong_target}.")


def offset_column(offset: str | int | None, data: DataDescription) -> int | None:
    """The position of the offset among the columns. Raises InputError where there is no such column."""
    if offset is None:
        return None
    n, given = data.given
    if not isinstance(offset, str) and data.columns is not None and offset < n:
        assert given is not None
        offset = given[offset]  # other columns of a frame take more than one of the matrix, or none
    if isinstance(offset, str):
        if data.names is None:
            raise InputError(
                f"offset={offset!r} names a column, and the columns of X have no names: give its position."
            )
        if offset not in data.names:
            raise InputError(
                f"{setting('offset', repr(offset))} is no column of X: these are {', '.join(data.names[:20])}."
            )
        for column in () if data.schema is None else data.schema.columns:
            if column.encoded[0] == offset and column.missing_seen:
                raise InputError(
                    f"{setting('offset', repr(offset))} has missing cells, and an exposure must be known: leave these "
                    "rows out."
                )
        return data.names.index(offset)
    if offset >= n:
        raise InputError(f"offset={offset} is no position in {count(n, 'column')}, counted from 0.")
    return int(offset)


def names_of_inputs(data: DataDescription, offset: int | None) -> tuple[str, ...] | None:
    """The names of the columns but the offset, where they are known."""
    if data.names is None or offset is None:
        return data.names
    return (*data.names[:offset], *data.names[offset + 1 :])


def with_offset(model: FittedModel, column: int) -> FittedModel:
    """A model of counts for an exposure of 1 as one of counts, for rows that have their offset in this column."""
    relevance = None if model.relevance is None else np.insert(model.relevance, column, 0.0)
    return replace(model, scaling=replace(model.scaling, offset=column), relevance=relevance)


def with_aside(model: FittedModel, columns: tuple[int, ...], data: DataDescription) -> FittedModel:
    """A model of the other columns as one for rows that have these too, which are no inputs. data: of all columns."""
    relevance, offset = model.relevance, model.scaling.offset
    for j in columns:  # in order
        relevance = None if relevance is None else np.insert(relevance, j, 0.0)
        offset = offset + 1 if offset is not None and offset >= j else offset
    return replace(model, data=data, scaling=replace(model.scaling, offset=offset, aside=columns), relevance=relevance)


def encoded_classes(
    y: Labels,
    data: DataDescription,
    weight: Array | None,
    class_weight: ClassWeight,
    dtype: np.dtype[np.generic],
) -> tuple[Array, Array | None, DataDescription]:
    """Y (n, k) from classes y (n,) of any sortable type, the rows' weights times those of their classes, and the
    classes. Raises InputError for one class only."""
    classes, codes = _classes(y)
    if len(classes) < 2:
        only = classes.tolist()[0]
        raise InputError(f"All rows are of one class ({only!r}): a classifier needs two classes or more.")
    weight = with_class_weights(codes, classes, weight, class_weight, dtype)
    return class_targets(codes, len(classes), dtype), weight, replace(data, classes=classes)


def with_class_weights(
    codes: NDArray[np.integer],
    classes: Labels,
    weight: Array | None,
    class_weight: ClassWeight,
    dtype: np.dtype[np.generic],
) -> Array | None:
    """(n,) the weight of each row times that of its class; None where all are 1."""
    factor = class_factors(codes, classes, weight, class_weight, dtype)
    if factor is None:
        return weight
    weight = factor if weight is None else weight * factor
    if not weight.any():
        raise InputError("sample_weight and class_weight together are zero for every row: one row must count.")
    return weight


def class_factors(
    codes: NDArray[np.integer],
    classes: Labels,
    weight: Array | None,
    class_weight: ClassWeight,
    dtype: np.dtype[np.generic],
) -> Array | None:
    """(n,) the weight of each row's class; None without class weights."""
    if class_weight is None:
        return None
    factors = class_weights(class_weight, classes, class_totals(codes, weight, len(classes)))[codes]
    return factors.astype(dtype)  # type: ignore[no-any-return]


def known_targets(y: object, data: DataDescription, n: int, loss: Loss, n_outputs: int) -> Array:
    """Y (n, k) in the user's units, 0 and 1 for classes, of targets that are given to a fitted model.

    Raises InputError where y has not a target for each of the n rows, a number that is not finite, or a class that the
    model does not know.
    """
    given = np.asarray(y)
    if data.classes is not None:
        return class_targets(known_codes(given, data.classes, n), len(data.classes))
    try:
        Y: Array = given.astype(np.float64).reshape(n, n_outputs)
    except (TypeError, ValueError):
        what = "a number" if n_outputs == 1 else f"{n_outputs} numbers"
        rows = "the one row" if n == 1 else f"each of the {n:,} rows"
        raise InputError(f"y has shape {np.shape(given)}: give {what} for {rows} of X.") from None
    if not np.isfinite(Y).all():
        raise InputError("y has a number that is missing or infinite: give the target of every row of X.")
    if loss.wrong_target:
        check_targets(ArrayRows(np.empty((n, 0)), Y, None), loss)
    return Y


def known_codes(y: Labels, classes: Labels, n: int) -> NDArray[np.int64]:
    """(n,) the position of each row's class among the classes of a model."""
    if y.size != n:
        raise InputError(
            f"y has {count(y.size, 'class', 'classes')} for {count(n, 'row')} of X: give one for each row."
        )
    positions = {label: code for code, label in enumerate(classes.tolist())}
    try:
        return np.array([positions[label] for label in y.ravel().tolist()], dtype=np.int64)
    except KeyError as unknown:
        known = ", ".join(map(repr, classes.tolist()[:10])) + (", ..." if len(classes) > 10 else "")
        raise InputError(
            f"y={unknown.args[0]!r} is none of the classes that the model knows: give one of {known}."
        ) from None


def _classes(y: Labels) -> tuple[Labels, NDArray[np.integer]]:
    """The classes in order, and the number of each row's own: np.unique, but in two passes where y is whole numbers."""
    if np.issubdtype(y.dtype, np.integer) and y.size:
        whole = y.astype(np.int64, copy=False)
        low, high = int(y.min()), int(y.max())
        if high - low < _COUNTED and abs(low) < 2**62:
            at = whole - low if low else whole
            found = np.bincount(at) > 0
            return (np.flatnonzero(found) + low).astype(y.dtype), (np.cumsum(found) - 1)[at]
    return np.unique(y, return_inverse=True)
