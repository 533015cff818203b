"""The matrix that a formula makes of a table, with its derivatives by the columns of the table."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array, ClassLabel
from newtron.table.cells import as_numbers, distinct_cells, match_levels, plain
from newtron.table.formula.curves import Curve
from newtron.table.formula.data import FactorProduct, Formula, TermFactor
from newtron.table.formula.expression import Moving, evaluate, parse_expression
from newtron.table.schema import Encoded
from newtron.table.table import Table, show, suggest


@dataclass(frozen=True, eq=False)
class RowCells:
    """The cells of n rows as a formula reads them. numbers: (n,) of each column that is read as numbers, nan where a
    cell is missing; values: of each that is read as a category its different values and the position (n,) of each
    cell's, which is their number where it is missing. place: how a message names a cell."""

    n_rows: int
    numbers: Mapping[str, Array]
    values: Mapping[str, tuple[tuple[ClassLabel, ...], NDArray[np.int64]]]
    table: Table | None = None

    def place(self, column: str, row: int) -> str:
        return f"row {row + 1}, column {column!r}" if self.table is None else self.table.place(column, row)


def formula_cells(formula: Formula, table: Table) -> RowCells:
    """The cells of a table. Raises InputError where a column is not there or holds what is no number."""
    return read_cells(table, formula.number_columns, formula.category_columns)


def encode_formula(formula: Formula, table: Table) -> Encoded:
    """The matrix of a table; what cannot be computed is filled in, and the cells are counted. Raises InputError where a
    column is not there, or a number is beyond what the formula knows."""
    cells = formula_cells(formula, table)
    unseen, missing = _not_known(formula, cells)
    X, _ = formula_matrix(formula, cells)
    X = np.where(np.isnan(X), formula.means, X)
    return Encoded(X.astype(np.float64, copy=False), unseen, missing)


def formula_width(formula: Formula) -> int:
    """How many columns the matrix has, by one row without cells. Raises InputError where the formula cannot be
    evaluated."""
    numbers = {name: np.full(1, np.nan) for name in formula.number_columns}
    values: dict[str, tuple[tuple[ClassLabel, ...], NDArray[np.int64]]] = {
        name: ((), np.zeros(1, dtype=np.int64)) for name in formula.category_columns
    }
    return int(formula_matrix(formula, RowCells(1, numbers, values))[0].shape[1])


def formula_matrix(formula: Formula, cells: RowCells, along: str | None = None) -> tuple[Array, Array | None]:
    """(n, p) the matrix, nan in rows that cannot be computed, and its derivative by the column `along`."""
    with np.errstate(all="ignore"):
        found = [_columns_of(factor, cells, along) for factor in formula.factors]
        parts = [part for term in formula.terms for p in term.products for part in _products(p, found, cells.n_rows)]
    X = np.column_stack([part.value for part in parts]) if parts else np.empty((cells.n_rows, 0))
    infinite = np.flatnonzero(np.isinf(X).any(axis=1))
    if len(infinite):
        name = formula.feature_names[int(np.flatnonzero(np.isinf(X[infinite[0]]))[0])]
        column = formula.columns[0]
        raise InputError(f"{cells.place(column, int(infinite[0]))}: the formula's {name!r} is infinite there.")
    if along is None:
        return X, None
    zeros = np.zeros(cells.n_rows)
    return X, np.column_stack([zeros if part.slope is None else part.slope for part in parts])


def _columns_of(factor: TermFactor, cells: RowCells, along: str | None) -> _Columns:
    if factor.coding is None:
        found = evaluate(parse_expression(factor.text), cells.numbers, _Kept(factor, cells), along)
        value = found.value.reshape(cells.n_rows, -1) if found.value.ndim else np.full((cells.n_rows, 1), found.value)
        slope = None if found.slope is None else found.slope.reshape(value.shape)
        return _Columns(value, slope, value[:, 1:], None if slope is None else slope[:, 1:])
    values, codes = cells.values[factor.coding.column]
    places = np.array([*match_levels(values, factor.coding.levels), -1], dtype=np.int64)[codes]
    codings = [
        np.where((places < 0)[:, None], np.nan, coding[places])
        for coding in (factor.coding.full, factor.coding.reduced)
    ]
    return _Columns(codings[0], None, codings[1], None)


def _not_known(formula: Formula, cells: RowCells) -> tuple[dict[str, int], dict[str, int]]:
    """How many cells of each column hold a level that is not known, and how many are missing."""
    unseen: dict[str, int] = {}
    missing = {name: int(np.isnan(cells.numbers[name]).sum()) for name in formula.number_columns}
    for factor in formula.factors:
        if factor.coding is not None:
            values, codes = cells.values[factor.coding.column]
            known = np.array([*match_levels(values, factor.coding.levels), 0]) >= 0
            unseen[factor.coding.column] = int((~known[codes]).sum())
            missing[factor.coding.column] = int((codes == len(values)).sum())
    return {k: n for k, n in unseen.items() if n}, {k: n for k, n in missing.items() if n}


@dataclass(frozen=True, eq=False)
class _Columns:
    """The columns of a factor (n, m), with their derivatives, without and beside an intercept."""

    full: Array
    slope: Array | None
    reduced: Array
    reduced_slope: Array | None

    def each(self, reduced: bool) -> list[Moving]:
        value, slope = (self.reduced, self.reduced_slope) if reduced else (self.full, self.slope)
        return [Moving(value[:, j], None if slope is None else slope[:, j]) for j in range(value.shape[1])]


class _Kept:
    """The curves of a factor, in the order of the walk."""

    def __init__(self, factor: TermFactor, cells: RowCells) -> None:
        self._left, self._cells, self._text = iter(factor.curves), cells, factor.text

    def __call__(self, call: ast.Call, name: str, x: Array) -> Curve:
        curve = next(self._left, None)
        if curve is None:
            raise InputError(f"the formula's {self._text!r} has more curves than are kept.")
        if curve.beyond == "raise":
            check_bounds(curve, x, self._text, self._cells)
        return curve


def check_bounds(curve: Curve, x: Array, text: str, cells: RowCells) -> None:
    """Raise an InputError where a number is beyond the bounds of a curve that has none there."""
    outside = np.flatnonzero(curve.outside(x))
    if len(outside):
        row = int(outside[0])
        column = parse_expression(text).columns()[0]
        raise InputError(
            f"{cells.place(column, row)}: {x[row]:.6g} is beyond the bounds {curve.low:.6g} and {curve.high:.6g} of "
            f'the formula\'s {text!r}: write extrapolation="extend" or "clip" in it, or leave the row out.'
        )


def _products(own: FactorProduct, factors: list[_Columns], n: int) -> Iterator[Moving]:
    """The columns of a part of a term: the first factor's change fastest, as in R and patsy."""
    several = [factors[j].each(reduced) for j, reduced in zip(own.factors, own.reduced, strict=True)]
    for backwards in product(*reversed(several)):
        value: Array = np.full(n, own.scale)
        slope: Array | None = None
        for factor in reversed(backwards):
            changed = None if factor.slope is None else value * factor.slope
            slope = changed if slope is None else slope * factor.value + (0.0 if changed is None else changed)
            value = value * factor.value
        yield Moving(value, slope)


def read_cells(table: Table, numbers: tuple[str, ...], categories: tuple[str, ...]) -> RowCells:
    """The cells of these columns. Raises InputError where one is not there, or holds what is no number."""
    for name in (*numbers, *categories):
        if name not in table.names:
            raise InputError(
                f"{table.path}: the column {name!r}, which the formula needs, is missing; {suggest(name, table.names)}."
            )
    values = {}
    for name in categories:
        found, codes = distinct_cells(plain(table.column(name)))
        values[name] = (tuple(found), codes)
    return RowCells(table.n_rows, {name: _numbers(table, name) for name in numbers}, values, table)


def _numbers(table: Table, name: str) -> Array:
    cells = plain(table.column(name))
    found = as_numbers(cells)
    if isinstance(found, int):
        raise InputError(
            f"{table.place(name, found)}: {show(cells[found].as_py())} is not a number, as the formula takes this "
            "column; correct the cell, leave it empty, or write C() around the name for a category."
        )
    return found
