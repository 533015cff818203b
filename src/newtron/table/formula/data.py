"""A formula as plain data: which factors there are, how terms are products of them, and what stands in for what
cannot be computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from newtron.engine.base.types import Array
from newtron.table.formula.curves import Curve
from newtron.table.formula.expression import parse_expression

Level: TypeAlias = str | bool | int | float


@dataclass(frozen=True, eq=False)
class Coding:
    """How a category of L levels becomes numbers. column: where the cells are; full: (L, m) beside which there is no
    intercept; reduced: (L, m') beside one."""

    column: str
    levels: tuple[Level, ...]
    full: Array
    reduced: Array


@dataclass(frozen=True, eq=False)
class TermFactor:
    """A factor of terms. text: the expression. curves: those in it, in the order of a walk from the inside. coding: of
    a category; None for numbers, in one column or several."""

    text: str
    curves: tuple[Curve, ...] = ()
    coding: Coding | None = None


@dataclass(frozen=True)
class FactorProduct:
    """A part of a term: the products of all columns of these factors, times a number. factors: positions among those of
    the formula; reduced: which of them are coded beside an intercept."""

    factors: tuple[int, ...]
    reduced: tuple[bool, ...]
    scale: float = 1.0


@dataclass(frozen=True)
class FormulaTerm:
    """A term: its name, the products that it is made of, and the names of their columns."""

    name: str
    products: tuple[FactorProduct, ...]
    columns: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Formula:
    """A formula with what it learnt from the rows of a fit.

    text: as it was written. intercept: whether the model has one. factors, terms: in order, without the intercept.
    means: (p,) of the columns of the matrix, which stand in for what cannot be computed, because a cell is missing or
    a level is not known.

    Examples
    --------
    >>> import pandas as pd
    >>> from newtron import PerceptronRegressor
    >>> cars = pd.DataFrame({"speed": [4, 7, 8, 9, 10], "dist": [2, 4, 16, 10, 18]})
    >>> model = PerceptronRegressor().fit_formula("dist ~ speed + I(speed**2)", cars)
    >>> model.schema_.formula.text
    'dist ~ speed + I(speed**2)'
    """

    text: str
    intercept: bool
    factors: tuple[TermFactor, ...]
    terms: tuple[FormulaTerm, ...]
    means: Array

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the columns of the matrix."""
        return tuple(name for term in self.terms for name in term.columns)

    @property
    def number_columns(self) -> tuple[str, ...]:
        """The columns of a table that are read as numbers."""
        found = (parse_expression(f.text).columns() for f in self.factors if f.coding is None)
        return tuple(dict.fromkeys(name for names in found for name in names))

    @property
    def category_columns(self) -> tuple[str, ...]:
        """The columns of a table that are read as categories."""
        return tuple(dict.fromkeys(f.coding.column for f in self.factors if f.coding is not None))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a table that are read."""
        return tuple(dict.fromkeys([*self.number_columns, *self.category_columns]))
