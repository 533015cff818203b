"""The schema: what every column means. It is learnt once from the training table and never changes after that."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import InputError
from newtron.engine.base.result_table import ResultTable
from newtron.engine.base.types import ClassLabel
from newtron.engine.base.words import clean, count, listed, number
from newtron.table.formula.data import Formula
from newtron.table.readings import Reading

Kind = Literal["number", "date", "yes/no", "category", "factor"]
Task = Literal["regression", "classification"]
# Targets as solvers take them: numbers, or positions in the classes.
TargetValues: TypeAlias = NDArray[np.floating | np.int64]
# Parts of a date that recur, and after how many days: a year of the calendar on average, a week, a day.
DatePart: TypeAlias = Literal["year", "week", "day"]
PERIODS: dict[DatePart, float] = {"year": 365.2425, "week": 7.0, "day": 1.0}
# Levels that are listed where a schema is shown.
_LEVELS_SHOWN = 20


@dataclass(frozen=True)
class Column:
    """How one column of the file becomes columns of the matrix.

    A number is one column of the matrix; a date is the days since 1970-01-01; yes/no is 1 for yes and 0 for
    no; `reading` says how text becomes a number or a date where it is written in another way than 12.5 or
    2024-01-31. A date may have `parts`, each a sine and a cosine of it after its days: of the "year", the
    "week" or the "day", so that the end of one lies beside the beginning of the next. A category is one 0/1
    column for each level but the most frequent, the `reference`, with which the others are compared. A factor
    is one column with the number of each cell's level, counted from 0, and -1 for a level that training never
    saw: it says what group a row is of, for random intercepts. If
    training had missing cells (`missing_seen`), a last column `... is missing` marks them (`indicator`),
    unless an earlier column was missing in exactly the same rows: its mark serves both, because two equal
    columns could not be distinguished. Missing cells of a factor are one more level, behind the others.

    `encoded` names the columns of the matrix. `mean` stands in for missing cells (number, date, yes/no).
    `levels` are the levels with a column of their own; for yes/no, the word for yes. `pooled` are rare
    levels that share the column `...=(other)`, which follows the levels. `shares` are the training means
    of a category's columns: what a cell gets about which nothing is known.

    Examples
    --------
    >>> import pandas as pd
    >>> from newtron import PerceptronClassifier
    >>> penguins = pd.read_csv("examples/penguins.csv").dropna()
    >>> X, y = penguins[["species", "bill_depth_mm", "body_mass_g"]], penguins["sex"]
    >>> model = PerceptronClassifier().fit(X, y)
    >>> species = model.schema_.columns[0]
    >>> species.kind, species.reference, species.levels
    ('category', 'Adelie', ('Chinstrap', 'Gentoo'))
    """

    name: str
    kind: Kind
    encoded: tuple[str, ...]
    mean: float | None = None
    levels: tuple[str, ...] = ()
    reference: str | None = None
    pooled: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    missing_seen: bool = False
    indicator: bool = False
    reading: Reading | None = None
    parts: tuple[DatePart, ...] = ()

    def __post_init__(self) -> None:
        """The fields of a column must fit each other, or encoding would go wrong later."""
        category, factor = self.kind == "category", self.kind == "factor"
        named = self.kind in ("category", "yes/no")
        width = int(self.indicator) + (len(self.levels) + bool(self.pooled) if category else 1)
        width += 2 * len(self.parts)
        n_levels = {"number": 0, "date": 0, "yes/no": 1}.get(self.kind, len(self.levels))
        reads = "" if self.reading is None else "date" if self.reading.form == "date" else "number"
        words = (*self.levels, *self.pooled, *([] if self.reference is None else [self.reference]))
        checks = (
            ("encoded", len(self.encoded) == width and width > 0),
            ("indicator", (self.missing_seen and not factor) or not self.indicator),
            ("mean", (self.mean is None) == (category or factor) and (self.mean is None or math.isfinite(self.mean))),
            ("levels", len(self.levels) == n_levels and len(set(words)) == len(words)),
            ("reference", (self.reference is not None) == named),
            ("pooled", category or not self.pooled),
            ("parts", (self.kind == "date" or not self.parts) and len(set(self.parts)) == len(self.parts)),
            ("reading", reads in ("", self.kind)),
            ("shares", len(self.shares) == (width if category else 0) and all(map(math.isfinite, self.shares))),
        )
        for field, right in checks:
            if not right:
                raise InputError(f"{field} of the column {self.name!r} does not fit the kind {self.kind!r}.")


@dataclass(frozen=True)
class Target:
    """The column to predict. `classes` keep their type: whole numbers stay whole numbers, text stays text.

    `why` is the sentence that says how the task was chosen. `reading` says how text becomes a number.

    Examples
    --------
    >>> import pandas as pd
    >>> from newtron import PerceptronClassifier
    >>> penguins = pd.read_csv("examples/penguins.csv").dropna()
    >>> X, y = penguins[["species", "bill_depth_mm", "body_mass_g"]], penguins["sex"]
    >>> model = PerceptronClassifier().fit(X, y)
    >>> model.schema_.target.name, model.schema_.target.classes
    ('sex', ('female', 'male'))
    """

    name: str
    task: Task
    classes: tuple[ClassLabel, ...]
    why: str
    reading: Reading | None = None

    def __post_init__(self) -> None:
        finite = all(math.isfinite(label) for label in self.classes if isinstance(label, float))
        of_one_type = len({isinstance(label, str) for label in self.classes}) <= 1
        enough = len(self.classes) >= 2 if self.task == "classification" else not self.classes
        if not (finite and of_one_type and enough and len(set(self.classes)) == len(self.classes)):
            raise InputError(f"classes of the target {self.name!r} do not fit {self.task}.")


@dataclass(frozen=True)
class Encoded:
    """A table as numbers: `X` of shape (rows, features), and what in it had to be filled in.

    `unseen` counts, by column, cells whose category training never saw; `missing` counts missing cells in
    columns that had none in training. Columns without such cells are not listed.
    """

    X: NDArray[np.float64]
    unseen: dict[str, int]
    missing: dict[str, int]


@dataclass(frozen=True)
class Schema:
    """The features, the target, and what was left out and why. It prints as a table, and shows as one in a notebook.

    Attributes
    ----------
    columns : tuple of Column
    target : Target
    dropped : tuple of (str, str)
        Each column that was left out, with the reason.
    warnings : tuple of str
        Sentences on what should be looked at.
    missing : "indicator" or "error"
        Whether a missing cell is filled in and marked, or refused.
    formula : FormulaTerms or None
        What makes the columns, all numbers, from those of a table; None where they are those of the table.

    Examples
    --------
    >>> import pandas as pd
    >>> from newtron import PerceptronClassifier
    >>> penguins = pd.read_csv("examples/penguins.csv").dropna()
    >>> X, y = penguins[["species", "bill_depth_mm", "body_mass_g"]], penguins["sex"]
    >>> model = PerceptronClassifier().fit(X, y)
    >>> model.schema_.feature_names
    ('species=Chinstrap', 'species=Gentoo', 'bill_depth_mm', 'body_mass_g')
    """

    columns: tuple[Column, ...]
    target: Target
    dropped: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    missing: Literal["indicator", "error"] = "indicator"
    formula: Formula | None = None

    def __post_init__(self) -> None:
        if self.formula is not None and not self._is_of_formula(self.formula):
            raise InputError("the columns of a schema with a formula must be numbers, which the formula makes.")
        for what, names in (("columns", [column.name for column in self.columns]), ("features", self.feature_names)):
            if not names or len(set(names)) != len(names):
                raise InputError(f"the {what} of a schema must be one or more, and none may be there twice.")

    def _is_of_formula(self, formula: Formula) -> bool:
        plain = all((c.kind, c.encoded, c.missing_seen) == ("number", (c.name,), False) for c in self.columns)
        return plain and {column.name for column in self.columns} <= set(formula.feature_names)

    @property
    def letters(self) -> frozenset[str]:
        """The columns of a text file whose cells are read by a rule of the schema, and not as the file shows them: what
        has a reading, and categories with codes such as 02139."""
        columns = [c.name for c in self.columns if c.reading or _has_codes(c)]
        return frozenset([*columns, *([self.target.name] if self.target.reading else [])])

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the columns of the matrix, in order."""
        return tuple(name for column in self.columns for name in column.encoded)

    def formula_for(self, names: Iterable[str]) -> Formula | None:
        """The formula that makes the columns of this schema from a table with columns of these names; None where there
        is none, and where the table has the columns already."""
        if self.formula is None or {column.name for column in self.columns} <= set(names):
            return None
        return self.formula

    def reads(self, names: Iterable[str]) -> tuple[str, ...]:
        """The columns that are read of a table with columns of these names."""
        formula = self.formula_for(names)
        return tuple(column.name for column in self.columns) if formula is None else formula.columns

    def __str__(self) -> str:
        return self._shown().text()

    def _repr_html_(self) -> str:
        return self._shown().html()

    def _shown(self) -> ResultTable:
        kinds = {"factor": "factor, for random intercepts", "date": "date, in days"}
        rows = [
            (
                column.name,
                kinds.get(column.kind, column.kind) + _read_as(column),
                str(len(column.encoded)),
                _missing_cells(column),
            )
            for column in self.columns
        ]
        levels = [f"{column.name}: {_levels(column)}" for column in self.columns if column.reference is not None]
        factors = [
            f"{column.name}: {listed(column.levels, _LEVELS_SHOWN)}"
            for column in self.columns
            if column.kind == "factor"
        ]
        dropped = [f"{name}: {reason}" for name, reason in self.dropped]
        lists = (("levels, the reference first:", levels), ("levels of factors:", factors), ("not used:", dropped))
        refused = ["Missing cells are refused."] if self.missing == "error" else []
        width = count(len(self.feature_names), "column")
        return ResultTable(
            f"{count(len(self.columns), 'column')} become {width} of numbers",
            [f"target: {clean(self.target.why)}"] if self.target.why else [],
            ("column", "kind", "columns of numbers", "missing cells become"),
            [("", rows)],
            lists=[(title, items) for title, items in lists if items],
            notes=refused,
        )


def _missing_cells(column: Column) -> str:
    """Return what becomes of missing cells, where training had any."""
    if not column.missing_seen:
        return ""
    if column.kind == "factor":
        return "a level"
    marked = ", marked" if column.indicator else ""
    return (f"mean {number(column.mean)}{marked}") if column.mean is not None else "a level" if marked else "mean"


def _levels(column: Column) -> str:
    others = listed(column.levels, _LEVELS_SHOWN)
    pooled = f", (other) for {listed(column.pooled, _LEVELS_SHOWN)}" if column.pooled else ""
    return ", ".join(part for part in (clean(str(column.reference)), others) if part) + pooled


def _has_codes(column: Column) -> bool:
    """Return whether a level is one that numbers would lose, such as 02139."""
    levels = (*column.levels, *column.pooled, column.reference or "")
    return any(level.startswith("0") and level[1:].isdecimal() for level in levels)


def _read_as(column: Column) -> str:
    return f", {column.reading.example[0]!r} is {column.reading.example[1]}" if column.reading else ""
