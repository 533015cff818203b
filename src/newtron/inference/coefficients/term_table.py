"""A table with a test for each term of a model: terms left out one by one, or an analysis of variance or deviance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from newtron.engine.base.errors import InputError
from newtron.engine.base.result_table import ResultTable
from newtron.engine.base.words import amount, degrees_in_words, probability, statistic_in_words
from newtron.inference.coefficients.hypotheses import CoefficientTest

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TermRow:
    """One row of a `TermTable`.

    name: of the term, or of a model. degrees_of_freedom: of its coefficients; 0 for a model. squares: the sum of
    squares of the term, or its deviance where the loss is no squared error; nan for a model. residual: the residual sum
    of squares or the deviance of the model that the row is about, aic: its AIC. test: None for a model.
    """

    name: str
    degrees_of_freedom: float
    squares: float
    residual: float
    aic: float
    test: CoefficientTest | None = None


@dataclass(frozen=True)
class TermTable:
    """Tests of the terms of a model. It prints as a table, and a notebook shows it as one.

    Attributes
    ----------
    rows : tuple of TermRow
    title : str
    quadratic : bool
        Is it about sums of squares, with F tests? Else about deviances, with likelihood-ratio tests.
    residual_degrees_of_freedom : float
        Those of the whole model.
    notes : tuple of str

    Examples
    --------
    >>> import pandas as pd
    >>> from newtron import PerceptronClassifier
    >>> penguins = pd.read_csv("examples/penguins.csv").dropna()
    >>> X, y = penguins[["species", "bill_depth_mm", "body_mass_g"]], penguins["sex"]
    >>> model = PerceptronClassifier().fit(X, y)
    >>> [row.name for row in model.drop1(X, y).rows]
    ['(whole model)', 'species', 'bill_depth_mm', 'body_mass_g']
    """

    rows: tuple[TermRow, ...]
    title: str
    quadratic: bool
    residual_degrees_of_freedom: float
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return self._table().text()

    def _repr_html_(self) -> str:
        return self._table().html()

    def __getitem__(self, name: str) -> CoefficientTest:
        """The test of a term. Raises KeyError where there is none of this name."""
        found = {row.name: row.test for row in self.rows if row.test is not None}
        return found[name]

    def to_latex(self) -> str:
        """The table as a tabular environment for LaTeX with the package booktabs; names are escaped."""
        return self._table().latex()

    def to_frame(self) -> pd.DataFrame:
        """The table as a pandas frame.

        Returns
        -------
        pandas.DataFrame
            A row for each term, by name: df, sum_of_squares and rss (or deviance), aic, statistic, p_value.

        Raises
        ------
        InputError
            pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise InputError(
                "to_frame makes a pandas frame, and pandas is not installed: pip install pandas."
            ) from None
        tests = [row.test for row in self.rows]
        columns = {"df": [row.degrees_of_freedom for row in self.rows]}
        if self.quadratic:
            columns["sum_of_squares"] = [row.squares for row in self.rows]
        columns["rss" if self.quadratic else "deviance"] = [row.residual for row in self.rows]
        columns["aic"] = [row.aic for row in self.rows]
        columns["statistic"] = [math.nan if test is None else test.statistic for test in tests]
        columns["p_value"] = [math.nan if test is None else test.p_value for test in tests]
        return pd.DataFrame(columns, index=pd.Index([row.name for row in self.rows], name="term"))

    def _table(self) -> ResultTable:
        squares = ["sum of squares", "RSS"] if self.quadratic else ["deviance"]
        head = ["", "df", *squares, "AIC", "F" if self.quadratic else "χ²", "p"]
        facts = (
            [f"F tests with {degrees_in_words(self.residual_degrees_of_freedom)} residual df"] if self.quadratic else []
        )
        return ResultTable(self.title, facts, head, [("", [self._cells(row) for row in self.rows])], notes=self.notes)

    def _cells(self, row: TermRow) -> list[str]:
        squares = ["" if np.isnan(row.squares) else _squares(row.squares)] if self.quadratic else []
        left = [*squares, _squares(row.residual), "-" if math.isnan(row.aic) else f"{row.aic:.2f}"]
        if row.test is None:
            return [row.name, "", *left, "", ""]
        test = row.test
        return [
            row.name,
            degrees_in_words(row.degrees_of_freedom),
            *left,
            statistic_in_words(test.statistic),
            probability(test.p_value),
        ]


def _squares(value: float) -> str:
    """A sum of squares: five digits, and none after the point where it is large."""
    return f"{value:z.0f}" if 1e5 <= abs(value) < 1e12 else amount(value)
