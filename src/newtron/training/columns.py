"""Columns of X as training takes them: frames are learnt and encoded, and numbers keep what stands in for missing ones.

The schema of a frame is the one that files have, so that a model of either predicts the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.linalg import is_sparse
from newtron.engine.base.types import Array, Matrix
from newtron.engine.base.words import column_names
from newtron.table.encode import encode
from newtron.table.formula.data import Formula
from newtron.table.frames import stated_choices
from newtron.table.learn import learn_features
from newtron.table.schema import Column, Schema, Target
from newtron.table.table import Table
from newtron.training.fitted import DataDescription
from newtron.training.settings import Settings, TaskName

# The means of columns of numbers are taken over at most so many rows, evenly spaced: they differ from those of all rows
# by about 1/300 of the spread, and a fit takes no longer for them.
_MEAN_ROWS = 100_000
# Numbers are also summed times this power of two, where their sum is beyond floating point.
_SHRINK = 2.0**-60
# What a target without a name is called.
_UNNAMED = "y"


def target_of(data: DataDescription, task: TaskName) -> Target:
    """What a model predicts, as a column of a table: by the name of the target, y where it has none. Several targets
    are no column."""
    name = ", ".join(data.targets) if data.targets else _UNNAMED if data.one_column else "several targets"
    if data.classes is None:
        return Target(name, task, (), f"{name!r} holds numbers: regression.")
    labels = tuple(data.classes.tolist())
    return Target(name, task, labels, f"{name!r} has {len(labels):,} classes: classification.")


def encoded_columns(table: Table, data: DataDescription, settings: Settings) -> tuple[Array, DataDescription]:
    """X (n, p) of a table whose columns are all features, and what is known of it: its schema among that.

    Raises InputError where a cell is infinite, no column can be used, or one is not what the settings say.
    """
    choices = replace(settings.choices(), factors=_factors(settings, table.names))
    schema = learn_features(table, target_of(data, settings.task), stated_choices(table, choices))
    X = encode(schema, table).X
    names = schema.feature_names
    return X, replace(data, n_features=len(names), names=names, columns=table.names, schema=schema)


def _factors(settings: Settings, names: Sequence[str]) -> tuple[str, ...] | Literal["auto"]:
    """The columns whose text groups rows, by their names."""
    chosen = settings.intercepts
    if chosen is None:
        return ()
    if isinstance(chosen, str):
        return "auto"
    return tuple(
        each if isinstance(each, str) else names[each] for each in chosen if isinstance(each, str) or each < len(names)
    )


def columns_of_table(schema: Schema | None, names: Sequence[str] | None, n_features: int) -> NDArray[np.intp]:
    """(n_features,) the number of the column of a table that each column of a matrix is made of; one of its own where
    X was numbers. names: of the matrix's columns, some of those that the schema makes."""
    if schema is None or names is None:
        return np.arange(n_features)
    made = {name: number for number, column in enumerate(schema.columns) for name in column.encoded}
    return np.array([made[name] for name in names], dtype=np.intp)


def column_means(X: Matrix) -> Array:
    """(p,) the means of columns of finite numbers, over some rows where there are many."""
    some = X if is_sparse(X) else X[:: -(-X.shape[0] // _MEAN_ROWS)]
    share = np.full(some.shape[0], 1.0 / some.shape[0])
    with np.errstate(over="ignore", invalid="ignore"):
        found = np.asarray(share @ some, dtype=np.float64)
        if not np.isfinite(found).all():
            found = np.asarray((share * _SHRINK) @ some.astype(np.float64), dtype=np.float64) / _SHRINK
    return found


def schema_of(data: DataDescription, settings: Settings) -> Schema:
    """How the columns of a table become those of the model: the schema that was learnt, or one of numbers that are
    taken as they are."""
    if data.schema is not None:
        return data.schema
    return plain_schema(data, target_of(data, settings.task), settings.choices().missing)


def plain_schema(
    data: DataDescription,
    target: Target,
    missing: Literal["indicator", "error"] = "indicator",
    formula: Formula | None = None,
) -> Schema:
    """The schema of columns of numbers, which a formula may have made."""
    means = np.zeros(data.n_features) if data.column_means is None else data.column_means
    names = column_names(data.names, data.n_features)
    columns = (Column(name, "number", (name,), float(mean)) for name, mean in zip(names, means, strict=True))
    return Schema(tuple(columns), target, missing=missing, formula=formula)
