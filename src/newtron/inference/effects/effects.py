"""The table of effects: a value with estimates, errors and intervals, which prints and becomes a data frame."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from newtron.engine.base.result_table import ResultTable
from newtron.engine.base.types import Array
from newtron.engine.base.words import amount, probability, statistic_in_words
from newtron.inference.coefficients.summary import IntervalKind

if TYPE_CHECKING:
    import pandas as pd

# Rows of a table that are shown; to_frame has all.
_MOST_SHOWN = 60
_INTERVALS: dict[IntervalKind, str] = {"confidence": "", "credible": " credible", "penalised": " penalised"}


@dataclass(frozen=True, eq=False)
class Effects:
    """Effects of columns on a prediction, with standard errors by the delta method. It prints as a table.

    Attributes
    ----------
    columns : tuple of str
        The column of the data whose effect each of the E rows is.
    contrasts : tuple of str
        What is compared: "dy/dx" for a slope, else the two levels, as in "Dream - Biscoe" or "Dream / Biscoe".
    outputs : tuple of str
        The target, or the class whose probability it is.
    target : str
        The name of the target whose classes the outputs are; "" for a regression, and where it is not known.
    conditions : dict
        For each name in `by` and `at` the values (E,) at which the effect is taken; the number of the row for effects
        at each row.
    estimates, standard_errors, statistics, p_values : (E,)
        In units of the target or of probability. A statistic is the estimate over its error; that of a ratio is the
        logarithm over the logarithm's error. Errors are nan where an effect is not estimable, and p-values are nan
        under a penalty and for networks, whose errors are those of a posterior.
    intervals : (E, 2)
        The lower and the upper end; those of a ratio are made on its logarithm.
    interval_kind : "confidence", "credible" or "penalised"
        As in `Summary`.
    coverage : float
        The probability that an interval holds its effect.
    covariance : str
        The name of the formula of the parameters' covariance, "posterior" for networks.
    covariance_matrix : (E, E) or None
        The covariance of the estimates, of the logarithms for ratios; None beyond 2,000 effects.
    statistic : "t" or "z"
    degrees_of_freedom : float
        Those of t; inf for z.
    n_rows : int
        The rows that effects are averaged over.
    title, facts, trouble, notes
        What stands above and below the table.

    Examples
    --------
    >>> import pandas as pd
    >>> from newtron import PerceptronClassifier
    >>> penguins = pd.read_csv("examples/penguins.csv").dropna()
    >>> X, y = penguins[["species", "bill_depth_mm", "body_mass_g"]], penguins["sex"]
    >>> model = PerceptronClassifier().fit(X, y)
    >>> effects = model.effects(X)
    >>> effects.contrasts[1:3], effects.estimates[1:3].round(3)
    (('Gentoo - Adelie', 'dy/dx'), array([-0.211,  0.125]))
    """

    columns: tuple[str, ...]
    contrasts: tuple[str, ...]
    outputs: tuple[str, ...]
    target: str
    conditions: Mapping[str, tuple[object, ...]]
    estimates: Array
    standard_errors: Array
    statistics: Array
    p_values: Array
    intervals: Array
    interval_kind: IntervalKind
    coverage: float
    covariance: str
    covariance_matrix: Array | None
    statistic: str
    degrees_of_freedom: float
    n_rows: int
    title: str
    facts: tuple[str, ...]
    trouble: str
    notes: tuple[str, ...]

    def to_frame(self) -> pd.DataFrame:
        """The table as a pandas data frame, one row for each effect. Raises ImportError without pandas.

        Its columns are column, contrast, output, one for each condition, estimate, standard_error, statistic, p_value,
        lower and upper.
        """
        try:
            import pandas as pd
        except ImportError:
            raise ImportError("to_frame needs pandas: pip install pandas.") from None
        return pd.DataFrame(
            {
                "column": list(self.columns),
                "contrast": list(self.contrasts),
                "output": list(self.outputs),
                **{name: list(values) for name, values in self.conditions.items()},
                "estimate": self.estimates,
                "standard_error": self.standard_errors,
                "statistic": self.statistics,
                "p_value": self.p_values,
                "lower": self.intervals[:, 0],
                "upper": self.intervals[:, 1],
            }
        )

    def to_latex(self) -> str:
        """The rows that are shown as a tabular environment for LaTeX with the package booktabs."""
        return self._table().latex()

    def __len__(self) -> int:
        return len(self.estimates)

    def __repr__(self) -> str:
        return self._table().text()

    def _repr_html_(self) -> str:
        return self._table().html()

    def _table(self) -> ResultTable:
        tested = bool(np.isfinite(self.p_values).any())
        known = bool(np.isfinite(self.standard_errors).any())
        count = min(len(self), _MOST_SHOWN)
        sections = [
            (heading, [self._row(i, tested, known) for i in which])
            for heading, which in groupby(range(count), self.group)
        ]
        percent = f"{100.0 * self.coverage:.6g} %{_INTERVALS[self.interval_kind]} from"
        head = ["", "estimate"]
        if known:
            head += ["std. error", *([self.statistic, "p"] if tested else []), percent, "to"]
        left = len(self) - count
        more = f"... and {left:,} more: to_frame() has all." if left else ""
        return ResultTable(self.title, self.facts, head, sections, self.trouble, more, notes=self.notes)

    def group(self, i: int, but: str | None = None) -> str:
        """The output and the conditions of an effect, in words, but for one condition; "" where all have the same."""
        name = f"{self.target} = {self.outputs[i]}" if self.target else self.outputs[i]
        output = [name] if len(set(self.outputs)) > 1 else []
        return ", ".join([*output, *(f"{name} = {v[i]}" for name, v in self.conditions.items() if name != but)])

    def _row(self, i: int, tested: bool, known: bool) -> list[str]:
        plain = self.contrasts[i] == "dy/dx"
        row = [self.columns[i] if plain else f"{self.columns[i]}: {self.contrasts[i]}", amount(self.estimates[i])]
        if not known:
            return row
        if math.isnan(self.standard_errors[i]):
            return [*row, "not estimable", *(["-", "-"] if tested else []), "-", "-"]
        tests = [statistic_in_words(self.statistics[i]), probability(self.p_values[i])] if tested else []
        return [*row, amount(self.standard_errors[i]), *tests, *map(amount, self.intervals[i])]
