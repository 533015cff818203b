"""The terms of a perceptron: the columns of the data, each with the columns of the matrix that it became."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from newtron.engine.base.words import column_names
from newtron.inference.coefficients.terms import Term, plain_terms
from newtron.table.formula.data import Formula, TermFactor
from newtron.table.schema import Column, Schema
from newtron.training.fitted import FittedModel


def coefficient_names(model: FittedModel, names: Sequence[str] | None = None) -> tuple[str, ...]:
    """The names of the inputs, which have a coefficient each. names: of the columns of the matrix, where not as in the
    model."""
    data = model.data
    return model.scaling.of_inputs(tuple(column_names(data.names, data.n_features) if names is None else names))


def terms_of(model: FittedModel, names: Sequence[str] | None = None) -> tuple[Term, ...]:
    """The terms in the order of the inputs; columns that are no inputs are none of them."""
    inputs = coefficient_names(model, names)
    schema = model.data.schema
    if schema is None:
        return plain_terms(inputs)
    if schema.formula is not None:
        return _terms_of_formula(schema.formula, inputs)
    return _terms_of_schema(schema, model.scaling.no_inputs, inputs)


def _terms_of_schema(schema: Schema, no_inputs: tuple[int, ...], names: Sequence[str]) -> tuple[Term, ...]:
    terms: list[Term] = []
    start = place = 0  # among the columns of the matrix, and among the inputs
    for column in schema.columns:
        width = len(column.encoded)
        own = [j for j in range(start, start + width) if j not in no_inputs]
        if own:
            places = range(place, place + len(own))
            labels = _labels(column) or tuple(names[j] for j in places)
            terms.append(Term(column.name, tuple(places), labels, column.reference, (column.name,)))
        start, place = start + width, place + len(own)
    return tuple(terms)


def _terms_of_formula(formula: Formula, names: Sequence[str]) -> tuple[Term, ...]:
    """The terms of a formula with the columns that the model has of each."""
    terms = []
    for term in formula.terms:
        columns = tuple(names.index(name) for name in term.columns if name in names)
        factors = [formula.factors[j] for j in dict.fromkeys(j for own in term.products for j in own.factors)]
        if columns:
            labels, reference = tuple(names[j] for j in columns), _reference(factors)
            if reference is not None:
                labels = tuple(label.partition("[")[2].removeprefix("T.").removesuffix("]") for label in labels)
            terms.append(Term(term.name, columns, labels, reference, tuple(factor.text for factor in factors)))
    return tuple(terms)


def _reference(factors: Sequence[TermFactor]) -> str | None:
    """The level of a single category with which the others are compared, where its coding has one."""
    coding = factors[0].coding
    if len(factors) > 1 or coding is None:
        return None
    none = [level for level, row in zip(coding.levels, coding.reduced, strict=True) if not row.any()]
    plain = np.array_equal(np.sort(coding.reduced.sum(axis=1)), [0.0, *[1.0] * (len(coding.levels) - 1)])
    return str(none[0]) if len(none) == 1 and plain else None


def _labels(column: Column) -> tuple[str, ...]:
    """What the columns of a category are called below its name; () where it is none."""
    if column.reference is None:
        return ()
    other = ("(other)",) if column.pooled else ()
    missing = ("(missing)",) if column.indicator else ()
    return (*column.levels, *other, *missing)
