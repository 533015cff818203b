"""The rows of a fit, given again: checked to be those, and what a fit keeps of them where it kept nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from newtron.engine.base.errors import InputError
from newtron.engine.base.threads import thread_count
from newtron.engine.base.types import Array, Matrix
from newtron.engine.maths.scaling import without_offset
from newtron.engine.objective import TrainingObjective
from newtron.engine.objective.whitened import WhitenedBlock
from newtron.engine.rows import Rows
from newtron.inference.certificate.firth_end import against_last, of_all_classes
from newtron.inference.coefficients.covariance import weight_of_block
from newtron.inference.coefficients.information import Information, information_at, of_given_rows
from newtron.model.targets import class_factor_of, given_rows
from newtron.table.large.file_rows import TableRows
from newtron.training.firth import firth_objective
from newtron.training.fitted import FittedModel
from newtron.training.table_rows import with_class_weight

# Rows whose gradient differs from the fit's by more than this share of a typical row's are not those of the fit.
_ANOTHER_GRADIENT = 1e-5


@dataclass(frozen=True)
class GivenRows:
    """The rows of a fit, given again, in the user's units. class_factor: the part of each row's weight that is no
    number of rows, such as the weight of its class or its exposure, or None."""

    rows: Rows
    class_factor: Callable[[WhitenedBlock], Array] | None = None


class Refound:
    """The objective of a fit over its rows, given again. Raises InputError for other rows."""

    def __init__(self, model: FittedModel, given: GivenRows) -> None:
        member = model.members[0]
        self.given, self.class_factor = given.rows, given.class_factor
        scaled = given.rows.standardized(model.scaling).on_threads(thread_count(model.settings.n_jobs))
        self.objective = TrainingObjective(member.network, model.loss, scaled).with_alpha(member.alpha)
        self._check(model)

    def _check(self, model: FittedModel) -> None:
        """Are these the rows of the fit? Their number, weight and, where it ended at rest, the gradient say it."""
        member, rows = model.members[0], self.given
        known = member.information
        other = "These are not the rows the model was trained on"
        if known is not None and known.n_rows != rows.n_rows:
            raise InputError(f"{other}: {rows.n_rows:,} instead of {known.n_rows:,}.")
        if known is not None and abs(known.weight - rows.total_weight) > 1e-6 * known.weight:
            raise InputError(
                f"{other}: their total weight is {rows.total_weight:g} instead of {known.weight:g}; give summary the "
                "sample_weight that fit had."
            )
        gradient = self._gradient(model)
        apart = np.abs(gradient - member.solution.gradient) / self.objective.gradient_scale
        if member.solution.converged and not float(apart.max(initial=0.0)) <= _ANOTHER_GRADIENT:
            raise InputError(
                f"{other}: the gradient over them is not that of the fit; give summary the X, y and sample_weight that "
                "fit had, in the same order of columns."
            )

    def _gradient(self, model: FittedModel) -> Array:
        member = model.members[0]
        if not model.settings.is_firth:
            gradient = self.objective.evaluate(member.params, 1).gradient
            return gradient
        network = member.network
        firth = firth_objective(self.objective.rows, network.intercept)
        gradient = firth.evaluate(against_last(member.params, network.n_outputs), 1).gradient
        return of_all_classes(gradient, network.n_outputs)


def rows_of_arrays(model: FittedModel, X: Matrix, y: object, weight: Array | None) -> GivenRows:
    """The rows of a fit from X (n, p) and weights (n,) that are valid for the model."""
    if y is None:
        raise InputError("summary got X without y: give both, the rows the model was trained on.")
    factor = class_factor_of(model, X, y, weight)
    if model.scaling.offset is not None:
        factor = without_offset(X, model.scaling.offset)[1]
    of_block: Callable[[WhitenedBlock], Array] | None = None if factor is None else partial(_of_block, factor)
    if model.settings.weights != "frequency":
        of_block = weight_of_block
    return GivenRows(given_rows(model, X, y, weight), of_block)


def rows_of_table(model: FittedModel, rows: TableRows, y: object, sample_weight: object) -> GivenRows:
    """The rows of a fit from files or a cluster, with the targets that they hold, beside which nothing is given."""
    if y is not None or sample_weight is not None:
        raise InputError("The rows have a target of their own: leave out y and sample_weight.")
    target, classes = rows.schema.target, model.data.classes
    alike = (rows.n_features, target.task, list(target.classes))
    if alike != (model.data.n_features, model.settings.task, [] if classes is None else classes.tolist()):
        raise InputError("These are not the rows the model was trained on: they have other columns, or another target.")
    # Rows of files have no other weights.
    settings = model.settings
    not_counted = settings.class_weight is not None or settings.weights != "frequency"
    weighted = not_counted or model.scaling.offset is not None
    return GivenRows(with_class_weight(rows, model.settings), weight_of_block if weighted else None)


def _of_block(factor: Array, block: WhitenedBlock) -> Array:
    return factor[block.rows]


def information_of(model: FittedModel, rows: Refound | None) -> Information:
    member = model.members[0]
    if member.information is not None:
        return member.information
    if not model.loss.likelihood:
        raise InputError(
            "loss='squared_error' of a classifier is no likelihood, so its coefficients have no summary: fit with the "
            "log loss (loss=None)."
        )
    if rows is None:
        raise InputError(
            f"This fit of {member.network.n_params:,} parameters kept nothing to make standard errors of: call "
            "summary(X, y), or summary(rows) of files, with the rows it was trained on."
        )
    value = rows.objective.evaluate(member.params, 0).value
    found = information_at(rows.objective, member.params, value, any_size=True)
    if found is None:
        raise InputError("The curvature at these coefficients is not finite: there are no standard errors.")
    intercept, offset = member.network.intercept, model.scaling.offset
    return of_given_rows(found, rows.given, model.loss, model.settings.weights, offset=offset, intercept=intercept)
