"""Rows of files and of a cluster as training takes them: described, and with the weights of their classes."""

from __future__ import annotations

import numpy as np

from newtron.engine.base.errors import InputError
from newtron.engine.rows.streamed import StreamedRows
from newtron.table.encode import target_columns
from newtron.table.large.file_rows import TableRows
from newtron.training.class_weight import class_weights
from newtron.training.fitted import DataDescription
from newtron.training.settings import Settings


def describe_rows(rows: TableRows, settings: Settings) -> DataDescription:
    """Return what the schema says about the rows. Raises InputError where their target is for the other task."""
    target = rows.schema.target
    if target.task != settings.task:
        raise InputError(
            f"{target.why} A {settings.estimator} is for {settings.task}: choose the other estimator, or give the rows "
            f"task={settings.task!r}."
        )
    return DataDescription(
        rows.n_features,
        names=tuple(rows.schema.feature_names),
        targets=(target.name,),
        classes=np.array(target.classes) if target.task == "classification" else None,
        schema=rows.schema,
    )


def with_class_weight(rows: TableRows, settings: Settings) -> StreamedRows:
    """The rows, each with the weight of its class."""
    if settings.class_weight is None or settings.task == "regression":
        return rows
    counts = np.array(rows.class_counts, dtype=np.float64)
    weight = class_weights(settings.class_weight, np.array(rows.schema.target.classes), counts)
    targets, n_outputs = target_columns(rows.schema.target, weight)
    return rows.with_targets(targets, n_outputs, (float(weight @ counts), float(weight[weight > 0].min())))
