"""Effects and contrasts of a fitted model: what the prediction does as one column changes and the others stay.

A number has a slope dy/dx, the exact derivative; a category has the discrete change of the prediction as its cell
becomes another level. Averages are over the rows, over groups, or at values (Williams 2012, Stata Journal 12:308; Arel-
Bundock, Greifer & Heiss 2024, Journal of Statistical Software 111:9).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from newtron.engine.base.checks import check_choice, check_number, shown
from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array
from newtron.engine.base.words import count, joined, target_names
from newtron.inference.effects.effects import Effects
from newtron.inference.effects.quantity import Quantity, joined_quantities
from newtron.model.effects.cells import Cell, Shift, Variable, VariedRows, variable_named
from newtron.model.effects.errors import ErrorSource
from newtron.model.effects.response import Response
from newtron.model.effects.scenarios import Averaging, Scenario
from newtron.training.fitted import FittedModel

METHODS = ("dydx", "eyex", "dyex", "eydx")
KINDS = ("difference", "ratio", "odds ratio")
AGAINST = ("reference", "pairwise", "sequential")
# A table of effects has its covariance up to so many.
_MOST_COVARIANCES = 2000
# Numbers of derivatives that are kept at a time (1 GB).
_MOST_NUMBERS = 2**27
_METHOD_WORDS = {
    "dydx": "dy/dx",
    "eyex": "elasticity, d(log y)/d(log x)",
    "dyex": "dy/d(log x)",
    "eydx": "d(log y)/dx",
}
_SIGNS = {"difference": "-", "ratio": "/", "odds ratio": "/"}


@dataclass(frozen=True, eq=False)
class _Piece:
    """Quantities of one contrast of one column: G averages of k outputs each."""

    column: str
    contrast: str
    quantity: Quantity
    conditions: list[dict[str, object]]


def effects_of(
    model: FittedModel,
    rows: VariedRows,
    errors: ErrorSource,
    averaging: Averaging,
    *,
    columns: str | Sequence[str] | None = None,
    method: str = "dydx",
    per: str = "unit",
    coverage: float = 0.95,
) -> Effects:
    """The slope of every column of numbers, and the discrete changes of every category from its reference."""
    check_choice("method", method, METHODS)
    check_choice("per", per, ("unit", "sd"))
    chosen = _chosen(rows, columns, method)
    response, pieces = Response(model), []
    scenarios = averaging.scenarios(rows)
    _check_size(response, chosen, scenarios)
    scales = {v.name: _sd(rows, v.name, averaging.weight) for v in chosen if per == "sd" and v.kind == "number"}
    for scenario in scenarios:
        for variable in chosen:
            if variable.kind == "number":
                weights = scenario.weights_of(variable.name, changed=False)
                found = response.slopes(scenario.rows, weights, scenario.changes, variable.name, method)
                if weights is None:
                    found = found.times(np.where(_repeated(scenario, variable.name, response.k), np.nan, 1.0))
                if per == "sd":
                    found = found.times(np.full(len(found.value), scales[variable.name]))
                pieces.append(_Piece(variable.name, "dy/dx", found, scenario.conditions()))
            else:
                pairs = [(level, variable.levels[0]) for level in variable.levels[1:]]
                pieces += _compared(response, scenario, variable, pairs, "difference")
    units = " for one standard deviation of x" if per == "sd" else ""
    numbers = any(variable.kind == "number" for variable in chosen)
    categories = any(variable.kind == "category" for variable in chosen)
    of = [f"numbers: {_METHOD_WORDS[method]}{units}"] if numbers else []
    of += ["categories: change from the reference"] if categories else []
    title = f"{_title(averaging, 'marginal effects')} on {subject_of(model)}"
    return _table(model, errors, pieces, title, _facts(rows, of), rows.n_rows, "difference", coverage)


@dataclass(frozen=True)
class Contrast:
    """What is compared with what, and how: the settings of `contrasts_of`, checked when it is called."""

    values: Sequence[object] | None = None
    against: object = "reference"
    kind: str = "difference"
    step: float = 1.0


def contrasts_of(
    model: FittedModel,
    rows: VariedRows,
    errors: ErrorSource,
    averaging: Averaging,
    column: str,
    contrast: Contrast,
    *,
    coverage: float = 0.95,
) -> Effects:
    """Differences or ratios of the mean prediction between values of one column."""
    kind = check_choice("kind", contrast.kind, KINDS)
    if kind == "odds ratio" and model.is_regression:
        raise InputError("kind='odds ratio' is for probabilities: choose 'difference' or 'ratio' for a regression.")
    variable = _with_effects(variable_named(rows, column))
    response, pieces = Response(model), []
    pairs = _pairs(variable, contrast)
    scenarios = averaging.scenarios(rows)
    _check_size(response, [variable], scenarios, len(pairs))
    for scenario in scenarios:
        pieces += _compared(response, scenario, variable, pairs, kind)
    words = {"difference": "Differences", "ratio": "Ratios", "odds ratio": "Odds ratios"}[kind]
    title = f"{words} of {subject_of(model)} by {column}"
    return _table(model, errors, pieces, title, _facts(rows, []), rows.n_rows, kind, coverage)


def _chosen(rows: VariedRows, columns: str | Sequence[str] | None, method: str) -> list[Variable]:
    if columns is None:
        found = [
            v for v in rows.variables if not (v.is_offset or v.is_aside) and (method == "dydx" or v.kind == "number")
        ]
        if not found:
            raise InputError(f"method={method!r} is for columns of numbers, and there are none: take method='dydx'.")
        return found
    names = [columns] if isinstance(columns, str) else list(columns)
    found = [_with_effects(variable_named(rows, name)) for name in names]
    for variable in found:
        if variable.kind == "category" and method != "dydx":
            raise InputError(f"method={method!r} is for numbers, and {variable.name!r} is a category: leave it out.")
    if not found:
        raise InputError("columns names no column: give one or more, or leave it out for all.")
    return found


def _with_effects(variable: Variable) -> Variable:
    """The variable. Raises InputError for one that has random intercepts alone."""
    if variable.is_aside:
        raise InputError(
            f"{variable.name!r} has random intercepts, which are no parameters and have no effect to be tested: "
            "`random_intercepts_` lists them."
        )
    return variable


def _check_size(
    response: Response, chosen: Sequence[Variable], scenarios: Sequence[Scenario], pairs: int | None = None
) -> None:
    """Raise an InputError where the derivatives would not fit in memory."""
    parameters = sum(part.network.n_params for part in response.parts) * response.k
    of_columns = sum(max(1, len(v.levels) - 1) for v in chosen) if pairs is None else pairs
    averages = sum(scenario.rows.n_rows if scenario.weights is None else len(scenario.labels) for scenario in scenarios)
    if parameters * of_columns * averages > _MOST_NUMBERS:
        raise InputError(
            f"{count(averages * of_columns, 'effect')} of {parameters:,} parameters do not fit in memory: give fewer "
            "rows or columns, or fewer values."
        )


def _repeated(scenario: Scenario, name: str, k: int) -> Array:
    return np.repeat(scenario.rows.missing(name), k)


def _sd(rows: VariedRows, name: str, weight: Array | None) -> float:
    """The standard deviation of a column of numbers over the rows that have one, with n - 1."""
    x, kept = rows.values(name, slice(0, rows.n_rows), {}), ~rows.missing(name)
    w = kept.astype(np.float64) if weight is None else weight * kept
    mean = w @ x / w.sum()
    return float(np.sqrt(w @ np.square(x - mean) / (w.sum() - 1.0))) if w.sum() > 1.0 else float("nan")


def _pairs(variable: Variable, contrast: Contrast) -> list[tuple[Cell, Cell]]:
    """What is compared with what."""
    values, against, step = contrast.values, contrast.against, check_number("step", contrast.step)
    if variable.kind == "number" and values is None:
        if against != "reference":
            raise InputError(
                f"{variable.name!r} is a number: give the values that are compared, such as values=[20, 40]."
            )
        return [(Shift(step), Shift(0.0))]
    known: list[Cell] = list(variable.levels) if values is None else [_cell(value) for value in values]
    if len(known) < 2:
        raise InputError(f"values={shown(values)} must hold two values or more to compare.")
    if against == "pairwise":
        return [(b, a) for i, a in enumerate(known) for b in known[i + 1 :]]
    if against == "sequential":
        return [(b, a) for a, b in pairwise(known)]
    base = known[0] if against == "reference" else _cell(against)
    if base not in known:
        ways = ", ".join(map(repr, AGAINST))
        raise InputError(f"against={shown(against)} must be one of {ways}, or one of the values {shown(known)}.")
    return [(level, base) for level in known if level != base]


def _cell(value: object) -> Cell:
    plain = value.item() if isinstance(value, np.generic) else value
    return plain if isinstance(plain, str | bool | int | float) else str(plain)


def _compared(
    response: Response, scenario: Scenario, variable: Variable, pairs: Sequence[tuple[Cell, Cell]], kind: str
) -> list[_Piece]:
    means: dict[Cell, Quantity] = {}
    shifted = isinstance(pairs[0][0], Shift)
    weights = scenario.weights_of(variable.name, changed=not shifted)
    for cell in dict.fromkeys(cell for pair in pairs for cell in pair):
        found = response.means(scenario.rows, weights, {**scenario.changes, variable.name: cell})
        if kind != "difference" and not (found.value > 0.0).all():
            raise InputError(f"kind={kind!r} needs means above 0, and the model predicts others: take 'difference'.")
        means[cell] = found if kind == "difference" else found.log() if kind == "ratio" else found.log_odds()
    conditions, sign = scenario.conditions(), _SIGNS[kind]
    return [
        _Piece(variable.name, _contrast(high, low, sign), means[high] - means[low], conditions) for high, low in pairs
    ]


def _contrast(high: Cell, low: Cell, sign: str) -> str:
    if isinstance(high, Shift):
        return f"{high.by:+g}"
    return f"{high} {sign} {low}"


def _table(
    model: FittedModel,
    errors: ErrorSource,
    pieces: Sequence[_Piece],
    title: str,
    facts: tuple[str, ...],
    n_rows: int,
    kind: str,
    coverage: float,
) -> Effects:
    names = predicted_names(model)
    quantity, k = joined_quantities([piece.quantity for piece in pieces]), len(names)
    # Outputs first, then conditions, then columns.
    places = [
        (c, g, number, start + g * k + c)
        for number, (piece, start) in enumerate(zip(pieces, _starts(pieces), strict=True))
        for g in range(len(piece.conditions))
        for c in range(k)
    ]
    conditions = [piece.conditions[g] for _, g, number, _ in places for piece in [pieces[number]]]
    ranks = {key: rank for rank, key in enumerate(dict.fromkeys(tuple(each.items()) for each in conditions))}
    order = sorted(range(len(places)), key=lambda i: (places[i][0], ranks[tuple(conditions[i].items())], places[i][2]))
    at = np.array([places[i][3] for i in order])
    quantity = quantity.take(at)
    covariance = None if errors.delta is None or len(at) > _MOST_COVARIANCES else errors.delta.covariance(quantity)
    estimates, spread, statistics, p_values, intervals = _tested(quantity, covariance, errors, kind, coverage)
    kept = [conditions[i] for i in order]
    if errors.delta is not None:
        facts = (*facts, f"standard errors by the delta method from {errors.formula}")
    return Effects(
        columns=tuple(pieces[places[i][2]].column for i in order),
        contrasts=tuple(pieces[places[i][2]].contrast for i in order),
        outputs=tuple(names[places[i][0]] for i in order),
        target="" if model.is_regression else joined(model.data.targets or [""]),
        conditions={name: tuple(each[name] for each in kept) for name in kept[0]},
        estimates=estimates,
        standard_errors=spread,
        statistics=statistics,
        p_values=p_values,
        intervals=intervals,
        interval_kind=errors.interval_kind,
        coverage=coverage,
        covariance=errors.kind,
        covariance_matrix=covariance,
        statistic="z" if np.isinf(errors.degrees_of_freedom) else "t",
        degrees_of_freedom=errors.degrees_of_freedom,
        n_rows=n_rows,
        title=title,
        facts=facts,
        trouble=errors.trouble,
        notes=errors.notes,
    )


def _starts(pieces: Sequence[_Piece]) -> list[int]:
    sizes = [len(piece.quantity.value) for piece in pieces]
    return [int(start) for start in np.cumsum([0, *sizes[:-1]])]


def _tested(
    quantity: Quantity, covariance: Array | None, errors: ErrorSource, kind: str, coverage: float
) -> tuple[Array, Array, Array, Array, Array]:
    """Estimates, errors, statistics, p-values and intervals, of ratios by their logarithms."""
    from scipy.special import ndtr, ndtri, stdtr, stdtrit

    value, df = quantity.value, errors.degrees_of_freedom
    tail = 0.5 * (1.0 - check_number("coverage", coverage, above=0.0, below=1.0))
    with np.errstate(all="ignore"):
        if covariance is not None:
            spread = np.sqrt(np.diagonal(covariance))
        else:
            spread = np.full_like(value, np.nan) if errors.delta is None else errors.delta.standard_errors(quantity)
        statistics = value / spread
        reach = -(ndtri(tail) if np.isinf(df) else stdtrit(df, tail) if df > 0.0 else np.nan)
        p_values = 2.0 * (ndtr(-np.abs(statistics)) if np.isinf(df) else stdtr(df, -np.abs(statistics)))
        intervals = np.column_stack([value - reach * spread, value + reach * spread])
        if not errors.tested or not df > 0.0:
            p_values = np.full_like(value, np.nan)
        if kind != "difference":
            value, intervals = np.exp(value), np.exp(intervals)
            spread = value * spread
    return value, spread, statistics, np.asarray(p_values), intervals


def predicted_names(model: FittedModel) -> tuple[str, ...]:
    """The targets, or the classes whose probabilities change: of two classes the second alone."""
    data = model.data
    if data.classes is None:
        return target_names(data.targets, model.n_outputs)
    classes = [str(label) for label in data.classes.tolist()]
    return tuple(classes[1:]) if model.n_outputs == 1 else tuple(classes)


def subject_of(model: FittedModel) -> str:
    """What the effects are on, in words."""
    target = joined(model.data.targets) if model.data.targets else ""
    if model.is_regression:
        return f"the mean of {target}" if target else "the prediction"
    if model.n_outputs == 1:
        label = predicted_names(model)[0]
        return f"the probability of {f'{target} = ' if target else ''}{label}"
    return f"the probability of each class{f' of {target}' if target else ''}"


def _title(averaging: Averaging, what: str) -> str:
    words = {"mean": f"{what.capitalize()} at the means", "median": f"{what.capitalize()} at the medians"}
    words |= {"rows": f"{what.capitalize()} at each row"}
    return words.get(str(averaging.at), f"Average {what}")


def _facts(rows: VariedRows, more: Sequence[str]) -> tuple[str, ...]:
    return ("; ".join([count(rows.n_rows, "row"), *more]),)
