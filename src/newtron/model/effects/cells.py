"""Rows whose cells are changed before they become numbers: what would be predicted if this cell were another.

An effect is asked of a column of the user's data, not of a column of the matrix: a category that becomes another level
changes all of its 0/1 columns together. `VariedRows` is all that effects know of the rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.checks import shown
from newtron.engine.base.errors import InputError
from newtron.engine.base.linalg import is_sparse
from newtron.engine.base.types import Array, ClassLabel, Matrix
from newtron.engine.base.words import column_names, listed
from newtron.table.encode import date_parts, level_pattern
from newtron.table.schema import PERIODS, Column, DatePart
from newtron.training.fitted import FittedModel


@dataclass(frozen=True)
class Shift:
    """A number is moved by so much from where it is."""

    by: float


Cell: TypeAlias = ClassLabel | Shift
# Which column gets which cell, in all rows.
Changes: TypeAlias = Mapping[str, Cell]
NO_CHANGES: Changes = MappingProxyType({})


@dataclass(frozen=True)
class Variable:
    """A column as effects see it: a number, which has a slope, or a category, whose levels are compared.

    levels: of a category, the reference first. is_offset: whether it is the logarithm of an exposure, which has no
    coefficient. is_aside: whether it says no more than what group a row is of.
    """

    name: str
    kind: Literal["number", "category"]
    levels: tuple[ClassLabel, ...] = ()
    is_offset: bool = False
    is_aside: bool = False


class VariedRows(Protocol):
    """Rows of a table, which become rows of the matrix X after changes of their cells."""

    @property
    def n_rows(self) -> int: ...

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The columns whose cells can be changed."""

    def part(self, rows: slice) -> VariedRows:
        """Some of the rows."""

    def block(self, rows: slice, changes: Changes) -> Array:
        """(m, p) of these rows with these changes, in float64."""

    def tangent(self, name: str, rows: slice, changes: Changes) -> Array:
        """(m, p) the derivative of the block by a column of numbers."""

    def values(self, name: str, rows: slice, changes: Changes) -> Array:
        """(m,) the numbers in a column of numbers."""

    def missing(self, name: str) -> NDArray[np.bool_]:
        """(n,) where a column's cell is missing, as far as it is known."""

    def level_numbers(self, name: str) -> NDArray[np.intp]:
        """(n,) the position of each cell's level among those of a category; -1 where it is none of them."""

    def typical(self, weight: Array, statistic: Literal["mean", "median"]) -> Changes:
        """A cell for each column: the mean or median of numbers, and the most frequent level of a category. weight:
        (n,) of the rows."""


def variable_named(rows: VariedRows, name: object) -> Variable:
    """The column of this name. Raises InputError where there is none."""
    for variable in rows.variables:
        if variable.name == name:
            return variable
    raise InputError(
        f"the model has no column {shown(name)}: its columns are "
        f"{listed([variable.name for variable in rows.variables])}."
    )


class EncodedRows:
    """Rows of the matrix, of a model with a schema or of one that was trained on numbers.

    Without a schema each column of X is a number; one that holds 0 and 1 alone is a category with these levels, unless
    `dummy` is False.
    """

    def __init__(self, model: FittedModel, X: Matrix, *, dummy: bool = True) -> None:
        self._X = X
        schema, offset, aside = model.data.schema, model.scaling.offset, model.scaling.aside
        self._columns: dict[str, Column] = {}
        self._places: dict[str, slice] = {}
        found: list[Variable] = []
        if schema is None:
            for j, name in enumerate(column_names(model.data.names, model.data.n_features)):
                self._places[name] = slice(j, j + 1)
                levels = (0, 1) if dummy and j != offset and _holds_both(X[:, [j]]) else ()
                kind: Literal["number", "category"] = "category" if levels else "number"
                found.append(Variable(name, kind, levels, j == offset, j in aside))
        else:
            start = 0
            for column in schema.columns:
                self._columns[column.name] = column
                self._places[column.name] = slice(start, start + len(column.encoded))
                found.append(replace(_of_schema(column, start == offset), is_aside=start in aside))
                start += len(column.encoded)
        self._variables = tuple(found)

    @property
    def n_rows(self) -> int:
        return int(self._X.shape[0])

    @property
    def variables(self) -> tuple[Variable, ...]:
        return self._variables

    def part(self, rows: slice) -> EncodedRows:
        found = object.__new__(EncodedRows)
        vars(found).update(vars(self), _X=self._X[rows])
        return found

    def block(self, rows: slice, changes: Changes) -> Array:
        X = self._X[rows]
        X = np.array(X.toarray() if is_sparse(X) else X, dtype=np.float64)
        for name, cell in changes.items():
            place = self._places[variable_named(self, name).name]
            if isinstance(cell, Shift):
                X[:, place.start] += cell.by
                X[:, self._waves(name)] = date_parts(X[:, place.start], self._parts(name))
            else:
                X[:, place] = self._pattern(name, cell)
        return X

    def _pattern(self, name: str, cell: ClassLabel) -> Array:
        column = self._columns.get(name)
        if column is not None and column.kind in ("category", "factor", "yes/no"):
            found = level_pattern(column, cell)
            if found is None:
                levels = [*([] if column.reference is None else [column.reference]), *column.levels, *column.pooled]
                raise InputError(f"the column {name!r} has no level {shown(cell)}: its levels are {listed(levels)}.")
            return found
        found = np.zeros(self._places[name].stop - self._places[name].start)
        found[0] = as_number(name, cell, column is not None and column.kind == "date")
        parts = self._parts(name)
        found[1 : 1 + 2 * len(parts)] = date_parts(found[:1], parts)[0]
        return found

    def _parts(self, name: str) -> tuple[DatePart, ...]:
        column = self._columns.get(name)
        return () if column is None else column.parts

    def _waves(self, name: str) -> slice:
        """The columns of the sines and cosines of a column of dates."""
        first = self._places[name].start + 1
        return slice(first, first + 2 * len(self._parts(name)))

    def tangent(self, name: str, rows: slice, changes: Changes) -> Array:
        along = np.zeros(self._X.shape[1])
        along[self._places[name].start] = 1.0
        found = np.broadcast_to(along, (rows.stop - rows.start, len(along)))
        parts = self._parts(name)
        if not parts:
            return found
        # The sine of ωd changes by ω times the cosine, and the cosine by -ω times the sine.
        waves, speed = self.block(rows, changes)[:, self._waves(name)], [2.0 * np.pi / PERIODS[part] for part in parts]
        moved = np.stack([waves[:, 1::2] * speed, -waves[:, ::2] * speed], axis=2).reshape(len(waves), -1)
        found = found.copy()
        found[:, self._waves(name)] = moved
        return found

    def values(self, name: str, rows: slice, changes: Changes) -> Array:
        return self.block(rows, changes)[:, self._places[name].start]

    def missing(self, name: str) -> NDArray[np.bool_]:
        column = self._columns.get(name)
        if column is None or not column.indicator:
            return np.zeros(self.n_rows, dtype=bool)
        return np.asarray(self._X[:, self._places[name].stop - 1] == 1.0)

    def level_numbers(self, name: str) -> NDArray[np.intp]:
        place, levels = self._places[name], variable_named(self, name).levels
        X = self._X[:, place]
        X = np.asarray(X.toarray() if is_sparse(X) else X, dtype=np.float64)
        found = np.full(self.n_rows, -1)
        for number, level in enumerate(levels):
            found[(self._pattern(name, level) == X).all(axis=1)] = number
        return found

    def typical(self, weight: Array, statistic: Literal["mean", "median"]) -> Changes:
        found: dict[str, Cell] = {}
        for variable in self._variables:
            place, own = self._places[variable.name], weight * ~self.missing(variable.name)
            X = self._X[:, place]
            X = np.asarray(X.toarray() if is_sparse(X) else X, dtype=np.float64)
            if variable.kind == "category" and variable.is_aside:
                counts = own @ (self.level_numbers(variable.name)[:, None] == np.arange(len(variable.levels)))
                found[variable.name] = variable.levels[int(np.argmax(counts))]
            elif variable.kind == "category" and self._columns:
                counts = own @ X[:, : len(variable.levels) - 1]
                found[variable.name] = variable.levels[int(np.argmax([own.sum() - counts.sum(), *counts]))]
            elif statistic == "mean":
                found[variable.name] = float(own @ X[:, 0] / own.sum())
            else:
                found[variable.name] = median_of(X[:, 0], own)
        return found


def _of_schema(column: Column, is_offset: bool) -> Variable:
    if column.kind in ("number", "date"):
        return Variable(column.name, "number", is_offset=is_offset)
    if column.kind == "factor":
        return Variable(column.name, "category", column.levels)
    pooled = column.pooled[:1]  # all of them have one column
    return Variable(column.name, "category", (str(column.reference), *column.levels, *pooled))


def _holds_both(column: Matrix) -> bool:
    """Does the column hold 0 and 1, and nothing else?"""
    values = np.unique(column.toarray() if is_sparse(column) else column)
    return bool(np.array_equal(values, [0.0, 1.0]))


def as_number(name: str, cell: ClassLabel, date: bool) -> float:
    """A cell of a column of numbers, or of dates, as a number. Raises InputError where it is none."""
    try:
        if date and not isinstance(cell, int | float):
            return float(np.datetime64(cell, "D").astype(np.int64))
        value = float(cell)
    except (TypeError, ValueError, OverflowError):
        value = float("nan")
    if not np.isfinite(value):
        raise InputError(f"the column {name!r} holds {'dates' if date else 'numbers'}, and {shown(cell)} is none.")
    return value


def median_of(values: Array, weight: Array) -> float:
    """The weighted median: the middle of the two values in the middle where the weights are equal."""
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weight[order])
    low, high = (np.searchsorted(total, 0.5 * total[-1], side) for side in ("left", "right"))
    ends = values[order][np.minimum([low, high], len(values) - 1)]
    return float(ends.mean())
