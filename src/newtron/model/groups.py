"""The random intercepts of a fitted model in words and as a table: by the names of columns and of their levels."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array, Matrix
from newtron.engine.base.words import column_names, count, label, percent, target_names
from newtron.inference.mixed.random_intercepts import GroupIntercepts
from newtron.training.fitted import FittedModel

if TYPE_CHECKING:
    import pandas as pd


class OwnGroup(NamedTuple):
    """The group of a row: the name of the column, that of the group, and what the raw prediction gains by it, (k,); the
    name is "" for a value that training never saw."""

    column: str
    group: str
    intercept: Array


def groups_of_row(model: FittedModel, X: Matrix) -> tuple[OwnGroup, ...]:
    """The groups of the one row X (1, p)."""
    found = []
    for group in () if model.random_intercepts is None else model.random_intercepts.groups:
        place = group.places(X)
        names = (*names_of_groups(model, group), "")
        found.append(OwnGroup(column_called(model, group), names[int(place[0])], group.at(place)[0]))
    seen = model.seen_rows
    if seen is not None:
        known = int(seen.places(X)[0]) < len(seen.keys)
        found.append(OwnGroup("the whole row", "a row of training" if known else "", seen.at(X)[0]))
    return tuple(found)


def column_called(model: FittedModel, group: GroupIntercepts) -> str:
    """The name of a grouping column."""
    return column_names(model.data.names, model.data.n_features)[group.column]


def names_of_groups(model: FittedModel, group: GroupIntercepts) -> tuple[str, ...]:
    """The levels of a factor, or the numbers that are groups."""
    name, schema = column_called(model, group), model.data.schema
    for column in () if schema is None else schema.columns:
        if column.kind == "factor" and column.name == name:
            levels = (*column.levels, "(missing)")
            return tuple(levels[int(key)] for key in group.keys.tolist())
    return tuple(label(int(key) if key.is_integer() else key) for key in group.keys.tolist())


def frame_of_intercepts(model: FittedModel) -> pd.DataFrame:
    """A row for each group: column, group, and what its intercept is, with its standard deviation given the rest of the
    model, in the units of the target for a squared error and else of the log odds or log mean. Of several outputs
    there is a row for each. There must be some. Raises InputError where pandas is not installed."""
    own = model.random_intercepts
    if own is None:
        raise TypeError("this model has no random intercepts")
    try:
        import pandas as pd
    except ImportError:
        raise InputError(
            "The intercepts come as a pandas frame, and pandas is not there: pip install pandas."
        ) from None
    unit = model.scaling.y_scale if model.loss.quadratic else np.ones(model.n_outputs)
    classes, k = model.data.classes, model.n_outputs
    outputs = target_names(model.data.targets, k) if classes is None else tuple(map(str, classes.tolist()))[-k:]
    frames = [
        pd.DataFrame(
            {
                "column": column_called(model, group),
                "group": names_of_groups(model, group),
                **({"output": name} if len(outputs) > 1 else {}),
                "intercept": group.intercepts[:, c] * unit[c],
                "standard_deviation": np.sqrt(group.variances[:, c]) * unit[c],
            }
        )
        for group in own.groups
        for c, name in enumerate(outputs)
    ]
    return pd.concat(frames, ignore_index=True)


def told_intercepts(model: FittedModel) -> tuple[str, ...]:
    """A sentence for each grouping column, and for rows seen before: how much they explain, and that this is of these
    groups and rows alone."""
    own = model.random_intercepts
    groups = () if own is None else own.groups
    left = "the coefficients leave" if model.is_perceptron else "the network leaves"
    told = []
    for group in groups:
        what = "levels" if _is_factor(model, group) else "values"
        told.append(
            f"{column_called(model, group)}: {count(len(group.keys), what[:-1])} with a random intercept each explain "
            f"{percent(group.share)} of what {left}. This does not carry over to {what} not seen in training."
        )
    if model.seen_rows is not None:
        seen = model.seen_rows
        told.append(
            f"Rows seen before: {count(seen.sets, 'set')} of equal rows ({seen.copies:,} training rows) explain "
            f"{percent(seen.share)} of what the network leaves, so a row that equals one of training in every column "
            "is predicted from that one as well. This does not carry over to rows not seen in training, and scores on "
            "training rows say nothing of new ones."
        )
    unused = set(model.scaling.aside) - {group.column for group in groups}
    names = column_names(model.data.names, model.data.n_features)
    return (
        *told,
        *(f"{names[j]}: the model does not use it, because its groups tell nothing." for j in sorted(unused)),
    )


def _is_factor(model: FittedModel, group: GroupIntercepts) -> bool:
    schema, name = model.data.schema, column_called(model, group)
    return schema is not None and any(column.kind == "factor" and column.name == name for column in schema.columns)
