"""Training from rows that are not in memory: what the estimators learn from arrays, from passes over the rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import InputError
from newtron.engine.base.linalg import is_sparse
from newtron.engine.base.words import setting
from newtron.engine.maths.losses import Loss, loss_for
from newtron.engine.maths.scaling import Scaling
from newtron.engine.rows.rows import Chunk
from newtron.engine.rows.streamed import StreamedRows
from newtron.training.class_weight import class_weights
from newtron.training.logistic import is_firth
from newtron.training.members import Shape, Task
from newtron.training.scaling import ASINH_ROWS, with_asinh

Array = NDArray[np.floating]

# Bytes that the leave-one-out loss keeps for each row and output, copies among them.
_ROW_LEFT_OUT = 64
# So many rows tell whether a column is far from zero, and so many how far off predictions are.
_LOOKED_AT, _STANDING_FOR_ALL = 1000, 20_000


def prepared(estimator: Any, rows: Any) -> tuple[StreamedRows, Loss]:
    """The rows with the targets and weights that the estimator trains on; sets its classes_ and n_features_in_."""
    if not is_rows(rows):
        raise InputError(
            f"rows={type(rows).__name__} cannot be trained on: give newtron.FileRows or newtron.ClusterRows, or use "
            "fit(X, y)."
        )
    if is_firth(estimator):
        firth, alpha = setting("penalty", repr("firth")), setting("alpha")
        raise InputError(f"{firth} needs all rows in memory: read them into memory, or give a penalty by {alpha}.")
    target = rows.schema.target
    if target.task != estimator._task:
        raise InputError(
            f"{target.why} A {type(estimator).__name__} is for {estimator._task}: choose the other estimator, or give "
            f"the rows task={estimator._task!r}."
        )
    estimator.n_features_in_ = rows.n_features
    estimator.__dict__.pop("feature_names_in_", None)
    estimator._rows_names = rows.schema.feature_names
    estimator._one_column = True
    estimator._targets = (target.name,)
    if target.task == "classification":
        estimator.classes_ = np.array(target.classes)
    seen = weighted(estimator, rows)
    return seen, loss_for(target.task, estimator.loss, seen.n_outputs)


def is_rows(X: Any) -> bool:
    """Are these rows that `fit_rows` takes?"""
    from newtron.table.large.file_rows import TableRows

    return isinstance(X, TableRows)


def weighted(estimator: Any, rows: Any) -> StreamedRows:
    """The rows, each with the weight of its class."""
    from newtron.table.encode import target_columns

    seen: StreamedRows = rows
    if getattr(estimator, "class_weight", None) is None:
        return seen
    classes, counts = estimator.classes_, np.array(rows.class_counts)
    weight = class_weights(estimator.class_weight, classes, counts)
    targets, n_outputs = target_columns(rows.schema.target, weight)
    return seen.with_targets(targets, n_outputs, (float(weight @ counts), float(weight[weight > 0].min())))


def check_memory(alpha: Any, shapes: tuple[Shape, ...], rows: StreamedRows) -> None:
    """A perceptron's leave-one-out loss needs numbers of every row at once, however many parameters it has; that of
    networks is computed for few rows only."""
    needed = _ROW_LEFT_OUT * rows.n_rows * rows.n_outputs
    if alpha == "loo" and () in shapes and needed > rows.source.memory:
        raise InputError(
            f"{setting('alpha', repr('loo'))} keeps some numbers of every row in memory, {needed / 1e6:,.0f} MB here, "
            f"and {setting('memory')} is {rows.source.memory / 1e6:,.0f} MB: give {setting('alpha', repr('evidence'))} "
            f"or a number, or more {setting('memory')}."
        )


def weights_of(rows: StreamedRows) -> Array | None:
    """(n,) the weight of each row; None where all are 1."""
    if rows.total_weight == rows.n_rows:
        return None
    found: list[Array | None] = rows.sum(lambda chunk: [chunk.weight])
    return np.concatenate([weight for weight in found if weight is not None])


def scaled(rows: StreamedRows, scaling: Scaling, regression: bool) -> StreamedRows:
    """The rows in the units of training."""
    if regression and scaling.changes_targets:
        before = rows.transform.targets

        def targets(y: Array) -> tuple[Array, Array | None]:
            Y, weight = before(y)
            return scaling.targets(Y), weight

        rows = rows.with_targets(targets, rows.n_outputs, (rows.total_weight, rows.min_weight))
    if not scaling.changes_inputs and scaling.asinh is None:
        return rows
    return rows.with_inputs(scaling.inputs, scaling.n_inputs)


def with_asinh_of_rows(rows: StreamedRows, scaling: Scaling) -> Scaling:
    """The scaling that `with_asinh` makes from the same rows in memory."""
    seen = looked_at(rows, ASINH_ROWS)
    return with_asinh(scaling, seen.X, seen.weight)


def scaling_of(estimator: Any, rows: StreamedRows, regression: bool) -> Scaling:
    """As `NewtronEstimator._scaling`."""
    from newtron.estimators.base import far_from_zero

    if estimator.standardize:
        mean, spread, y_mean, y_spread = moments(rows, with_y=regression)
        shift = 1.0 if estimator.fit_intercept else 0.0
        return Scaling(shift * mean, spread, shift * y_mean, y_spread)
    plain = Scaling.none(rows.n_features, rows.n_outputs)
    if estimator.takes_means_out() and far_from_zero(looked_at(rows).X):
        return replace(plain, x_center=moments(rows, with_y=False)[0])
    return plain


def looked_at(rows: StreamedRows, most: int = _LOOKED_AT, seed: int = 0) -> Chunk:
    """Some rows, in memory."""
    chunks: list[Chunk] = rows.sample(most, np.random.default_rng(seed)).sum(lambda chunk: [chunk])
    assert not any(is_sparse(chunk.X) for chunk in chunks)
    weight = [chunk.weight for chunk in chunks if chunk.weight is not None]
    return Chunk(
        np.concatenate([chunk.X for chunk in chunks]),
        np.concatenate([chunk.y for chunk in chunks]),
        np.concatenate(weight) if weight else None,
        slice(0, sum(len(chunk.y) for chunk in chunks)),
    )


def in_memory(task: Task) -> Task:
    """The task on rows of its source, already in scaled units: on all of them, or on as many as are looked at, each of
    which then counts for all those that it stands for."""
    assert task.source is not None
    seen = looked_at(task.source, _STANDING_FOR_ALL, task.seed)
    weight, total = seen.weight, task.source.total_weight
    if len(seen.y) < task.source.n_rows:
        counted = np.ones(len(seen.y)) if weight is None else weight
        weight = counted * (total / float(counted.sum()))
    unscaled = Scaling.none(task.source.n_features, task.source.n_outputs)
    return replace(task, X=seen.X, Y=seen.y, weight=weight, scaling=unscaled, source=None, checkpoint=None)


def moments(rows: StreamedRows, with_y: bool) -> tuple[Array, Array, Array, Array]:
    """Weighted means and standard deviations of the columns of X and of Y, in two passes as in `learn_scaling`."""

    def joined(chunk: Chunk) -> tuple[Array, Array]:
        A = np.hstack([chunk.X, chunk.y]) if with_y else chunk.X
        return A, np.ones(len(A)) if chunk.weight is None else chunk.weight

    def first(chunk: Chunk) -> _Ranges:
        A, w = joined(chunk)
        return _Ranges((w / rows.total_weight) @ A, A.min(axis=0), A.max(axis=0))

    ranges = rows.sum(first)
    mean = ranges.mean
    largest = np.maximum(ranges.high - mean, mean - ranges.low)
    constant = largest <= 10.0 * np.finfo(np.float64).eps * np.abs(mean)
    largest[constant] = 1.0

    def second(chunk: Chunk) -> Array:
        A, w = joined(chunk)
        total: Array = w @ np.square((A - mean) / largest)
        return total

    spread = largest * np.sqrt(rows.sum(second) / rows.total_weight)
    spread[constant | (spread == 0.0)] = 1.0
    mean[constant] = ranges.low[constant]
    p = rows.n_features
    if not with_y:
        mean, spread = np.append(mean, np.zeros(rows.n_outputs)), np.append(spread, np.ones(rows.n_outputs))
    return mean[:p], spread[:p], mean[p:], spread[p:]


class _Ranges:
    """Means, smallest and largest numbers of columns, as something that adds."""

    def __init__(self, mean: Array, low: Array, high: Array) -> None:
        self.mean, self.low, self.high = mean, low, high

    def __iadd__(self, other: _Ranges) -> _Ranges:
        self.mean = self.mean + other.mean
        self.low, self.high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        return self
