"""Estimators that are trained by a formula: its rows, and the model that keeps it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Labels, Matrix
from newtron.engine.base.words import count
from newtron.estimators.given import warn_of
from newtron.model.effects.cells import EncodedRows, VariedRows
from newtron.model.effects.formula_rows import FormulaRows
from newtron.table.formula.learn import LearntFormula, learn_formula
from newtron.table.frames import is_frame, table_of
from newtron.training.columns import plain_schema, target_of
from newtron.training.fitted import FittedModel


def learn_rows(
    formula: object, data: object, sample_weight: object, fit_intercept: bool
) -> tuple[LearntFormula, Labels | None]:
    """The rows of a fit by a formula, and their weights. Raises InputError where they cannot be used."""
    if not isinstance(formula, str):
        raise InputError(f"formula must be text such as 'y ~ a + b', and it is of the type {type(formula).__name__}.")
    if not is_frame(data):
        raise InputError(f"data must be a data frame, whose columns have names, and it is {type(data).__name__}.")
    table = table_of(data, "data")
    learnt = learn_formula(formula, table)
    if learnt.formula.intercept != fit_intercept:
        has, do = ("has an", "write 0 + in it") if learnt.formula.intercept else ("has no", "set fit_intercept=False")
        raise InputError(f"the formula {formula!r} {has} intercept, and fit_intercept={fit_intercept}: {do}.")
    left = int(np.count_nonzero(~learnt.kept))
    if left:
        rows = count(left, "row is left out: it has", "rows are left out: they have")
        warn_of([f"{rows} a missing cell in a column of the formula."], "data")
    if sample_weight is None:
        return learnt, None
    weight = np.asarray(sample_weight)
    if weight.shape != learnt.kept.shape:
        raise InputError(f"sample_weight must have one weight for each of the {len(learnt.kept):,} rows of data.")
    return learnt, weight[learnt.kept]


def formula_kept(model: FittedModel, learnt: LearntFormula) -> FittedModel:
    """The model with the formula that made its columns."""
    data = replace(model.data, targets=learnt.targets, column_means=learnt.formula.means)
    schema = plain_schema(data, target_of(data, model.settings.task), formula=learnt.formula)
    return replace(model, data=replace(data, schema=schema, column_means=None))


def varied_rows(model: FittedModel, given: Matrix, X: Matrix, dummy: bool) -> VariedRows:
    """Rows whose cells can be changed, from what was given and its matrix X."""
    schema = model.data.schema
    if schema is None or schema.formula is None:
        return EncodedRows(model, X, dummy=dummy)
    if not is_frame(given):
        raise InputError("This model has a formula: give a data frame with its columns.")
    return FormulaRows(schema, schema.formula, table_of(given))
