"""What users give to estimators: frames as tables, arrays as they are, and targets that must be there.

Rows to learn from become a matrix, or a table whose columns are still to be learnt; rows to predict become the matrix
that the model was trained on, found by the names of the columns.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from types import FrameType, NoneType

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_consistent_length, validate_data

from newtron.engine.base.errors import InputError, SchemaWarning
from newtron.engine.base.linalg import is_sparse
from newtron.engine.base.types import Array, Labels, Matrix
from newtron.engine.base.words import capital, column_names, count
from newtron.estimators.plain import validated
from newtron.table import Schema, Table, encode
from newtron.table.encode import filled_in, rows_without_values
from newtron.table.frames import is_frame, is_numeric, table_of, table_of_array
from newtron.table.table import show
from newtron.training.columns import schema_of
from newtron.training.fitted import FittedModel

# Sentences of a warning, which may speak of hundreds of columns.
_SENTENCES = 10


def rows_to_fit(
    estimator: BaseEstimator, sparse: bool, X: Matrix, y: Matrix, **kwargs: bool
) -> tuple[Matrix | Table, Labels]:
    """X as a matrix (n, p) of numbers, or as a table where its columns must be learnt, and y (n,) or (n, k).

    A frame of plain numbers is a matrix; one with any other column, or with a missing cell, is a table, and so is an
    array with NaN. Where the setting `columns` says what columns are, all X is a table. Sets `n_features_in_` and
    `feature_names_in_`. Raises InputError where y has a missing target, or one that is not a number where numbers are
    asked for.
    """
    _check_target(y, kwargs.get("y_numeric", False))
    frame, chosen = is_frame(X), estimator.columns is not None
    if frame and (chosen or not is_numeric(X)):
        table = table_of(X)
        check_consistent_length(table.data, y)
        y = validate_data(estimator, "no_validation", y, **kwargs)
        estimator.n_features_in_ = len(table.names)
        estimator.feature_names_in_ = np.array(table.names, dtype=object)
        return table, np.asarray(y)
    found, y = validated(estimator, sparse, X, y, **kwargs)
    if is_sparse(found) or not (chosen or np.isnan(found).any()):
        return found, y
    if frame:
        return table_of(X), y
    return table_of_array(found, column_names(None, found.shape[1])), y


def rows_to_predict(estimator: BaseEstimator, sparse: bool, model: FittedModel, X: Matrix) -> Matrix:
    """X (n, p) as the model was trained on it.

    Columns of a frame are found by name where the model knows a schema; an array has the columns that `fit` had, in
    their order. Warns with SchemaWarning of cells that had to be filled in. Raises InputError where a column is not
    there, or a cell is not of the kind that its column was in training.
    """
    data = model.data
    if data.schema is None:
        found = validated(estimator, sparse, X, reset=False)
        if is_sparse(found) or not np.isnan(found).any():
            return found
        names = column_names(data.names, data.n_features)
        return encoded_rows(schema_of(data, model.settings), table_of_array(found, names))
    if is_frame(X):
        return encoded_rows(data.schema, table_of(X))
    if data.columns is None:  # rows of files were encoded before the fit, and so are arrays
        return validated(estimator, sparse, X, reset=False, nan=False)
    cells = X if issparse(X) or isinstance(X, np.ndarray) else np.asarray(X, dtype=object)
    if cells.ndim != 2:
        raise InputError(
            f"X is of the type {type(X).__name__}, and rows to predict are a frame, or an array with a row for each: "
            "one row of a frame is X.iloc[[0]], a dict of cells pandas.DataFrame([cells])."
        )
    if cells.dtype.kind in "fiub":
        cells = validated(estimator, False, X, reset=False)
    else:
        validate_data(estimator, cells, reset=False, skip_check_array=True)
    return encoded_rows(data.schema, table_of_array(cells, data.columns))


def encoded_rows(schema: Schema, table: Table) -> Array:
    """The rows of a table as numbers, with a warning of what was filled in."""
    encoded = encode(schema, table)
    told = filled_in(schema, encoded.unseen, encoded.missing)
    empty = int(np.count_nonzero(rows_without_values(schema, table)))
    if empty:
        told.append(
            f"{count(empty, 'row')} without a value in any column that the model reads "
            f"{'is' if empty == 1 else 'are'} predicted as the average row."
        )
    warn_of(told, table.path)
    return encoded.X


def warn_of(sentences: Sequence[str], where: str) -> None:
    """Warn once of what is used otherwise than it stands in a table."""
    if not sentences:
        return
    rest = [f"There are {count(len(sentences) - _SENTENCES, 'more note')} of this kind."]
    told = [*map(capital, sentences[:_SENTENCES]), *(rest if len(sentences) > _SENTENCES else [])]
    warnings.warn(f"{where}: {' '.join(told)}", SchemaWarning, stacklevel=_outside())


def _outside() -> int:
    """The level of the first caller outside of this package, as `warnings.warn` counts from whoever calls this."""
    frame: FrameType | None = sys._getframe(1)
    level = 1
    while frame is not None and str(frame.f_globals.get("__name__", "")).startswith("newtron."):
        frame, level = frame.f_back, level + 1
    return max(1, level)


def _check_target(y: object, numeric: bool) -> None:
    """Raise InputError that names the first row whose target is missing, or is text where numbers are asked for."""
    values = np.asarray(y)
    if values.ndim not in (1, 2) or values.dtype.kind in "biu":
        return
    absent = _missing(values)
    if absent.any():
        row, more = int(np.argwhere(absent)[0][0]), int(np.count_nonzero(absent)) - 1
        also = f" and in {count(more, 'other place')}" if more else ""
        raise InputError(
            f"y is missing in row {row + 1:,}{also}: every row to learn from needs its target; leave out those that "
            "have none."
        )
    if numeric and values.dtype.kind in "mM":
        raise InputError(
            "y holds dates or durations, and a regression needs numbers: convert it, to days since a date say."
        )
    if not numeric or values.dtype.kind not in "OUS":
        return
    for row, value in enumerate(values.ravel()):
        if isinstance(value, str | bytes) and not _is_number(value):
            raise InputError(
                f"y is {show(str(value))} in row {row // (values.size // len(values)) + 1:,}, and a regression needs "
                "numbers: convert it, or use a classifier for classes."
            )


def _missing(values: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Which cells are NaN, None or the missing value of pandas."""
    if values.dtype.kind in "fc":
        return np.asarray(np.isnan(values))
    if values.dtype.kind in "mM":
        return np.asarray(np.isnat(values))
    if values.dtype.kind != "O":
        return np.zeros(values.shape, dtype=bool)
    cells: list[object] = values.ravel().tolist()
    kinds = set(map(type, cells))
    nothing = {kind for kind in kinds if kind is NoneType or kind.__name__ in ("NAType", "NaTType")}
    floats = {kind for kind in kinds if issubclass(kind, float)}
    if not nothing and not floats:
        return np.zeros(values.shape, dtype=bool)
    found = [type(each) in nothing or (type(each) in floats and each != each) for each in cells]
    return np.array(found, dtype=bool).reshape(values.shape)


def _is_number(value: str | bytes) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True
