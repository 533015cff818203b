"""Rows and settings in, a fitted model out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import ColumnError, InputError
from newtron.engine.base.threads import one_blas_thread, thread_count
from newtron.engine.base.words import setting
from newtron.engine.maths.losses import Loss, loss_for
from newtron.engine.maths.scaling import Scaling
from newtron.engine.rows import Rows
from newtron.engine.rows.streamed import StreamedRows
from newtron.engine.solvers import GradientDescent, Progress
from newtron.inference.coefficients.covariance import score_products
from newtron.inference.coefficients.information import of_given_rows
from newtron.inference.predictive.predictive import NoiseModel
from newtron.inference.separation.separation import Separation
from newtron.training.columns import columns_of_table
from newtron.training.firth import firth_member
from newtron.training.fitted import DataDescription, FittedModel, Member
from newtron.training.forecast import Forecast, forecast_of
from newtron.training.intercepts import (
    GroupColumns,
    Intercepts,
    beside_networks,
    gained_around,
    group_columns,
    less_intercepts,
)
from newtron.training.members import RowsLeftOut, Trained, objective_of, rows_left_out, train_members, with_shares
from newtron.training.mix import Plan, planned
from newtron.training.mixed import beside_perceptron, check_mixed
from newtron.training.predictive import learn_class_temperature, learn_noise
from newtron.training.relevance import relevance_of
from newtron.training.resuming import OpenKeeper, kept
from newtron.training.scaling import far_from_zero, learn_centering, learn_scaling
from newtron.training.separated import judged
from newtron.training.settings import Settings
from newtron.training.targets import check_targets, names_of_inputs, with_aside, with_offset
from newtron.training.task import Kind, Task

# Exposures, and weights times exposures, are between this number and one over it, so that no product overflows.
_LEAST_EXPOSURE = 1e-100
# Bytes that the leave-one-out loss keeps for each row and output, copies among them.
_ROW_LEFT_OUT = 64


def train(
    rows: Rows,
    data: DataDescription,
    settings: Settings,
    *,
    seed: int,
    callback: Callable[[Progress], object] | None = None,
    open_keeper: OpenKeeper | None = None,
    foretell: Callable[[Forecast], object] | None = None,
) -> FittedModel:
    """The model that these rows determine under settings that have been checked.

    rows: in the user's units, in memory, of files or of a cluster; targets (n, k) as numbers, 0 and 1 for classes;
    weights with those of the classes. seed: of the starts. callback: called after each iteration; a true answer stops.
    open_keeper: makes the keeper of a checkpoint. foretell: is told, before networks are trained, how long that will
    take. Raises InputError where a setting does not go with the rows.
    """
    check_targets(rows, loss_for(settings.task, settings.loss, rows.n_outputs))
    grouping = group_columns(rows, data, settings)
    if not grouping.aside:
        return _trained(rows, data, settings, (rows, grouping), seed, callback, open_keeper, foretell)
    inputs, known = rows.without_columns(grouping.aside), data.without(grouping.aside)
    return with_aside(
        _trained(inputs, known, settings, (rows, grouping), seed, callback, open_keeper, foretell), grouping.aside, data
    )


def _trained(
    rows: Rows,
    data: DataDescription,
    settings: Settings,
    grouped: tuple[Rows, GroupColumns],
    seed: int,
    callback: Callable[[Progress], object] | None,
    open_keeper: OpenKeeper | None,
    foretell: Callable[[Forecast], object] | None,
) -> FittedModel:
    """The model of rows without the columns that are no inputs. grouped: the rows with these, and which they are."""
    loss = loss_for(settings.task, settings.loss, rows.n_outputs)
    mixed = settings.family == "perceptron" and bool(grouped[1].columns)
    _check_settings(settings, loss, rows, mixed)
    given, offset = rows, grouped[1].offset_of_inputs
    if offset is not None:
        rows = _per_exposure(rows, offset)
    with one_blas_thread():
        scaling = _scaling(rows, settings, loss)
    plan = planned(settings, scaling, rows)
    if isinstance(rows, StreamedRows):
        _check_memory(settings, plan.kinds, rows)
    whole_rows = offset is not None or settings.weights != "frequency"
    names = names_of_inputs(data, offset)
    columns = columns_of_table(data.schema, names, rows.n_features)
    task = _task(rows, plan, columns, loss, settings, seed, callback, whole_rows)
    if plan.in_batches and grouped[1].columns and settings.task == "regression":
        task = replace(task, gained=partial(gained_around, task, *grouped))
    if foretell is not None and settings.family == "network":
        foretell(forecast_of(task, settings.effort == "fast"))
    try:
        # What is judged between the steps of solvers must not depend on who else is computing just then.
        with one_blas_thread(), kept(task, settings, open_keeper) as task:
            trained, separation = _members(task, settings, names)
            members = with_shares(trained, task)
            members = tuple(_of_given_rows(member, given, task, settings, offset) for member in members)
            if mixed:
                parts = beside_perceptron(task, members[0], settings, data, *grouped, separation)
                members = (parts.member,)
    except ColumnError as error:
        raise error if names is None else error.named(names) from None
    # Further trainings there are of other rows, and are not kept.
    task, left_out = replace(task, keeper=None), rows_left_out(task, trained)
    intercepts = seen_rows = None
    if settings.family == "network":
        intercepts, seen_rows = beside_networks(task, members, left_out, *grouped)
    model = _with_predictions(task, settings, data, members, separation, intercepts, left_out)
    model = replace(model, seen_rows=seen_rows)
    if mixed:
        model = replace(model, random_intercepts=parts.intercepts, mixed=parts.likelihood)
    return model if offset is None else with_offset(model, offset)


def _task(
    rows: Rows,
    plan: Plan,
    columns: NDArray[np.intp],
    loss: Loss,
    settings: Settings,
    seed: int,
    callback: Callable[[Progress], object] | None,
    whole_rows: bool,
) -> Task:
    return Task(
        given=rows,
        scaling=plan.scaling,
        columns=columns,
        loss=loss,
        kinds=plan.kinds,
        n_starts=plan.n_starts,
        activation=settings.activation,
        intercept=settings.fit_intercept,
        alpha=settings.alpha if isinstance(settings.alpha, str) else float(settings.alpha),
        solver=settings.solver,
        tol=float(settings.tol),
        max_iter=settings.max_iter,
        seed=seed,
        threads=thread_count(settings.n_jobs),
        callback=callback,
        spread=settings.is_mix and plan.combine == "stacking",
        combine=plan.combine,
        in_batches=plan.in_batches,
        effort=plan.effort,
        whole_rows=whole_rows,
    )


def _check_settings(settings: Settings, loss: Loss, rows: Rows, mixed: bool) -> None:
    """Raises InputError where these rows are not those that a setting needs."""
    if mixed:
        check_mixed(settings, loss, rows)
    if settings.is_firth and isinstance(rows, StreamedRows):
        firth, alpha = setting("penalty", repr("firth")), setting("alpha")
        raise InputError(f"{firth} needs all rows in memory: read them into memory, or give a penalty by {alpha}.")


def _per_exposure(rows: Rows, offset: int) -> Rows:
    """The rows as counts for an exposure of 1. Raises InputError where an exposure is beyond floating point."""
    if rows.n_features < 2:
        raise InputError("X has no column but the offset: a model needs one more column to learn from.")
    found = rows.with_offset(offset)
    if not (found.min_weight > _LEAST_EXPOSURE and found.total_weight < 1.0 / _LEAST_EXPOSURE):
        raise InputError(
            "The offset is the logarithm of the exposure, and exp of this column is beyond the range of numbers: give "
            "the logarithm and not the exposure itself."
        )
    return found


def _members(task: Task, settings: Settings, names: tuple[str, ...] | None) -> tuple[list[Trained], Separation | None]:
    if settings.is_firth:
        return [Trained(firth_member(task, names))], None
    trained = train_members(task)
    if settings.family == "network" or settings.task == "regression" or task.alpha != 0.0:
        return trained, None
    member, separation = judged(task, trained[0].member, names)
    return [Trained(member)], separation


def _of_given_rows(member: Member, rows: Rows, task: Task, settings: Settings, offset: int | None) -> Member:
    if member.information is None:
        return member
    intercept = member.network.intercept
    kept = of_given_rows(member.information, rows, task.loss, settings.weights, offset=offset, intercept=intercept)
    if settings.weights == "sampling":
        objective = objective_of(task, task.kinds[0], task.threads)
        kept = replace(kept, score_products=score_products(objective, member.params, kept))
    return member if kept is member.information else replace(member, information=kept)


def _with_predictions(
    task: Task,
    settings: Settings,
    data: DataDescription,
    members: tuple[Member, ...],
    separation: Separation | None,
    intercepts: Intercepts | None,
    left_out: RowsLeftOut | None,
) -> FittedModel:
    """The model, with what networks learn from the rows after their training. left_out: rows to learn it from."""
    temperature, relevance, left_out_loss = 1.0, None, float("nan")
    noise: NoiseModel | str | None = None
    if settings.family == "network":
        if settings.task == "regression":
            own = task if intercepts is None else less_intercepts(task, intercepts)
            noise, left_out_loss = learn_noise(own, members, left_out)
        else:
            gained = None if intercepts is None else intercepts.left_out
            temperature, left_out_loss = learn_class_temperature(task, members, left_out, gained)
        relevance = relevance_of(task, members)
    found, scaling = None if intercepts is None else intercepts.found, task.scaling
    if not any(member.first_input for member in members):
        scaling = replace(scaling, landmarks=None)  # a model keeps no rows of the training that it does not need
    return FittedModel(
        settings, data, scaling, members, separation, temperature, noise, relevance, found, left_out_loss
    )


def _scaling(rows: Rows, settings: Settings, loss: Loss) -> Scaling:
    if settings.standardize:
        return learn_scaling(rows, targets=loss.has_identity_link, center=settings.fit_intercept)
    # Columns far from zero (times in seconds, say) differ from the intercept only in their last digits, and no
    # curvature can tell them apart: the means are taken out, which loses no digit there, and given back. Gradient
    # descent must stay what the textbook says.
    by_hand = settings.solver == "gradient-descent" or isinstance(settings.solver, GradientDescent)
    if settings.fit_intercept and not by_hand and far_from_zero(rows):
        return learn_centering(rows)
    return Scaling.none(rows.n_features, rows.n_outputs)


def _check_memory(settings: Settings, kinds: tuple[Kind, ...], rows: StreamedRows) -> None:
    """A perceptron's leave-one-out loss needs numbers of every row at once, however many parameters it has; that of
    networks is computed for few rows only."""
    needed = _ROW_LEFT_OUT * rows.n_rows * rows.n_outputs
    if settings.alpha == "loo" and any(not kind.shape for kind in kinds) and needed > rows.source.memory:
        raise InputError(
            f"{setting('alpha', repr('loo'))} keeps some numbers of every row in memory, {needed / 1e6:,.0f} MB here, "
            f"and {setting('memory')} is {rows.source.memory / 1e6:,.0f} MB: give {setting('alpha', repr('evidence'))} "
            f"or a number, or more {setting('memory')}."
        )
