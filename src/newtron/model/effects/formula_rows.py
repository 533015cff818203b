"""Rows of a table as a formula reads them, whose cells are changed before they become numbers.

A column may stand in several terms of a formula; its effect is that of all of them together, by the chain rule through
the formula's own functions.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.checks import shown
from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array, ClassLabel
from newtron.engine.base.words import listed
from newtron.model.effects.cells import Cell, Changes, Shift, Variable, as_number, median_of, variable_named
from newtron.table.cells import match_levels
from newtron.table.formula.data import Formula
from newtron.table.formula.matrix import RowCells, formula_cells, formula_matrix
from newtron.table.schema import Schema
from newtron.table.table import Table


class FormulaRows:
    """Starts from the schema of a model with a formula and a table; its rows are `VariedRows`."""

    def __init__(self, schema: Schema, formula: Formula, table: Table) -> None:
        self._formula, self._cells = formula, formula_cells(formula, table)
        self._places = [formula.feature_names.index(name) for name in schema.feature_names]
        levels = {f.coding.column: f.coding.levels for f in formula.factors if f.coding is not None}
        numbers = formula.number_columns
        self._variables = tuple(
            Variable(name, "number") if name in numbers else Variable(name, "category", levels[name])
            for name in formula.columns
        )
        X, _ = formula_matrix(formula, self._cells)
        self._holes: NDArray[np.bool_] = np.asarray(np.isnan(X).any(axis=1))

    @property
    def n_rows(self) -> int:
        return self._cells.n_rows

    @property
    def variables(self) -> tuple[Variable, ...]:
        return self._variables

    def part(self, rows: slice) -> FormulaRows:
        found = object.__new__(FormulaRows)
        vars(found).update(vars(self), _cells=self._changed(rows, {}), _holes=self._holes[rows])
        return found

    def block(self, rows: slice, changes: Changes) -> Array:
        X, _ = formula_matrix(self._formula, self._changed(rows, changes))
        return np.where(np.isnan(X), self._formula.means, X)[:, self._places]

    def tangent(self, name: str, rows: slice, changes: Changes) -> Array:
        _, slopes = formula_matrix(self._formula, self._changed(rows, changes), along=name)
        assert slopes is not None
        return np.nan_to_num(slopes[:, self._places], nan=0.0)

    def values(self, name: str, rows: slice, changes: Changes) -> Array:
        return self._changed(rows, changes).numbers[name]

    def missing(self, name: str) -> NDArray[np.bool_]:
        del name  # a row with any missing cell was none of the fit
        return self._holes

    def level_numbers(self, name: str) -> NDArray[np.intp]:
        values, codes = self._cells.values[name]
        return np.array([*match_levels(values, variable_named(self, name).levels), -1])[codes]

    def typical(self, weight: Array, statistic: Literal["mean", "median"]) -> Changes:
        found: dict[str, Cell] = {}
        own = weight * ~self._holes
        for variable in self._variables:
            if variable.kind == "category":
                places = self.level_numbers(variable.name)
                known = places >= 0
                counts = np.bincount(places[known], own[known], len(variable.levels))
                found[variable.name] = variable.levels[int(np.argmax(counts))]
                continue
            x, w = self._cells.numbers[variable.name][own > 0.0], own[own > 0.0]
            found[variable.name] = float(w @ x / w.sum()) if statistic == "mean" else median_of(x, w)
        return found

    def _changed(self, rows: slice, changes: Changes) -> RowCells:
        """The cells of some rows with these changes."""
        cells, n = self._cells, rows.stop - rows.start
        numbers = {name: x[rows] for name, x in cells.numbers.items()}
        values = {name: (labels, codes[rows]) for name, (labels, codes) in cells.values.items()}
        for name, cell in changes.items():
            variable = variable_named(self, name)
            if name in numbers:
                moved = numbers[name] + cell.by if isinstance(cell, Shift) else np.full(n, as_number(name, cell, False))
                numbers[name] = moved
            if name in values and not isinstance(cell, Shift):
                values[name] = ((self._level(variable, cell),), np.zeros(n, dtype=np.int64))
            elif name in values:
                labels, codes = np.unique(numbers[name], return_inverse=True)
                values[name] = (tuple(labels.tolist()), codes.astype(np.int64))
        return RowCells(n, numbers, values, None)

    def _level(self, variable: Variable, cell: ClassLabel) -> ClassLabel:
        if variable.levels and match_levels([cell], variable.levels)[0] < 0:
            levels = listed(list(map(str, variable.levels)))
            raise InputError(f"the column {variable.name!r} has no level {shown(cell)}: its levels are {levels}.")
        return cell
