"""Accumulated local effects: how the mean prediction changes along one column, by the rows that lie there.

Along a number the exact derivatives of the prediction are averaged over the rows of each piece of the column, between
quantiles, and accumulated: ∫ E[∂ŷ/∂x | x = z] dz, less its mean. No row is moved to where there are none, as partial
dependence does with columns that depend on each other. Along a category the rows of two neighbouring levels are moved
from one to the other (Apley & Zhu 2020, Journal of the Royal Statistical Society B 82:1059).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from newtron.engine.base.checks import check_count, check_number
from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array
from newtron.inference.effects.quantity import Quantity, joined_quantities
from newtron.model.effects.cells import NO_CHANGES, Variable, VariedRows, variable_named
from newtron.model.effects.errors import ErrorSource
from newtron.model.effects.response import Response
from newtron.training.fitted import FittedModel


@dataclass(frozen=True, eq=False)
class AccumulatedEffects:
    """The accumulated local effects of one column at K + 1 points, of k outputs.

    points: (K + 1,) numbers, or the positions of the levels; levels: their names, () for numbers. values: (K + 1, k),
    with mean 0 over the rows. standard_errors: (K + 1, k), nan where there are none. intervals: (K + 1, k, 2).
    density: (n,) the numbers of the rows, for marks at the axis; empty for a category.
    """

    column: str
    points: Array
    levels: tuple[str, ...]
    values: Array
    standard_errors: Array
    intervals: Array
    density: Array


def accumulated_of(
    model: FittedModel, rows: VariedRows, errors: ErrorSource, column: str, *, pieces: int = 20, coverage: float = 0.95
) -> AccumulatedEffects:
    """The accumulated local effects of a column. pieces: at most so many between quantiles of a number. Raises
    InputError where the column is not there, or is the same in all rows."""
    variable, response = variable_named(rows, column), Response(model)
    check_count("pieces", pieces, least=1)
    if variable.kind == "number":
        points, found, counts, density = _along_numbers(response, rows, variable, pieces)
        levels: tuple[str, ...] = ()
        middle = 0.5 * (np.eye(len(points))[1:] + np.eye(len(points))[:-1])  # of each piece
        mean = counts @ middle / counts.sum()
    else:
        levels, found, counts = _along_levels(response, rows, variable)
        points, density = np.arange(len(levels), dtype=np.float64), np.empty(0)
        mean = counts / counts.sum()
    sums = np.tril(np.ones((len(points), len(points) - 1)), -1)
    centred = sums - mean @ sums
    curve = found.combined(np.kron(centred, np.eye(response.k)), len(points))
    shape = (len(points), response.k)
    spread = np.full(shape, np.nan) if errors.delta is None else errors.delta.standard_errors(curve).reshape(shape)
    values, reach = curve.value.reshape(shape), _reach(errors, coverage)
    ends = np.stack([values - reach * spread, values + reach * spread], axis=2)
    return AccumulatedEffects(column, points, levels, values, spread, ends, density)


def _along_numbers(
    response: Response, rows: VariedRows, variable: Variable, pieces: int
) -> tuple[Array, Quantity, Array, Array]:
    """The ends of the pieces, the change over each, how many rows each has, and the numbers."""
    x, kept = rows.values(variable.name, slice(0, rows.n_rows), NO_CHANGES), ~rows.missing(variable.name)
    ends = np.unique(np.quantile(x[kept], np.linspace(0.0, 1.0, pieces + 1), method="inverted_cdf"))  # numbers of rows
    if len(ends) < 2:
        raise InputError(f"the column {variable.name!r} is the same in all rows: there is no effect to accumulate.")
    own = np.clip(np.searchsorted(ends, x, side="left") - 1, 0, len(ends) - 2)
    weights = (own == np.arange(len(ends) - 1)[:, None]) & kept
    counts = weights.sum(axis=1).astype(np.float64)
    slopes = response.slopes(rows, weights / counts[:, None], NO_CHANGES, variable.name)
    return ends, slopes.times(np.repeat(np.diff(ends), response.k)), counts, x[kept]


def _along_levels(response: Response, rows: VariedRows, variable: Variable) -> tuple[tuple[str, ...], Quantity, Array]:
    """The levels that there are, the change from each to the next, and how many rows each has."""
    numbers = rows.level_numbers(variable.name)
    there = [number for number in range(len(variable.levels)) if (numbers == number).any()]
    if len(there) < 2:
        raise InputError(f"the column {variable.name!r} is the same in all rows: there is no effect to accumulate.")
    steps = []
    for low, high in pairwise(there):
        weights = ((numbers == low) | (numbers == high)).astype(np.float64)[None]
        weights /= weights.sum()
        moved = [response.means(rows, weights, {variable.name: variable.levels[level]}) for level in (low, high)]
        steps.append(moved[1] - moved[0])
    counts = np.array([float((numbers == number).sum()) for number in there])
    return tuple(str(variable.levels[number]) for number in there), joined_quantities(steps), counts


def _reach(errors: ErrorSource, coverage: float) -> float:
    """How many standard errors an interval reaches to each side."""
    from scipy.special import ndtri, stdtrit

    tail, df = 0.5 * (1.0 - check_number("coverage", coverage, above=0.0, below=1.0)), errors.degrees_of_freedom
    return float(-(ndtri(tail) if np.isinf(df) else stdtrit(df, tail) if df > 0.0 else np.nan))
