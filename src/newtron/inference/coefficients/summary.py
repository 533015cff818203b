"""The summary of a fitted perceptron, a value, and how it is shown: as text, HTML, LaTeX and a data frame."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from newtron.engine.base.errors import InputError
from newtron.engine.base.result_table import INDENT, ResultTable
from newtron.engine.base.types import Array
from newtron.engine.base.words import (
    amount,
    clean,
    count,
    degrees_in_words,
    listed,
    number,
    probability,
    statistic_in_words,
)
from newtron.inference.coefficients.covariance import CoefficientCovariance
from newtron.inference.coefficients.hypotheses import CoefficientTest, wald
from newtron.inference.coefficients.information import WeightsKind
from newtron.inference.coefficients.terms import Term, terms_named
from newtron.inference.mixed.components import MixedFacts, VarianceComponent

if TYPE_CHECKING:
    import pandas as pd

IntervalKind: TypeAlias = Literal["confidence", "credible", "penalised"]

# The word above intervals that are no confidence intervals of a true coefficient, and what they are instead.
_KINDS: dict[IntervalKind, str] = {"confidence": "", "credible": " credible", "penalised": " penalised"}
_NO_CONFIDENCE: dict[IntervalKind, str] = {
    "credible": "{} credible intervals: with the penalty as a Gaussian prior, each holds its coefficient with this "
    "probability after the data; they are no confidence intervals, and may hold the true coefficient in far fewer "
    "samples",
    "penalised": "{} intervals of the penalised estimate: how it varies from sample to sample about its own mean, "
    "which the penalty pulls towards zero; they are no confidence intervals of the true coefficient",
}


@dataclass(frozen=True, eq=False)
class Summary:
    """The estimates of a perceptron and their errors, in the units of the data.

    It prints as a table, and a notebook shows it as one. The M rows are ordered by output (each target, or each class
    against the baseline); the rows of an output are its intercept and then its inputs.

    Attributes
    ----------
    names : tuple of str
        The names of the rows: the input, preceded by "output: " where there are several outputs.
    estimates, standard_errors, statistics, p_values : (M,)
        A statistic is estimate / standard error, or that of the likelihood-ratio test. All are nan where a coefficient
        is not estimable, and the p-values also under a penalty on the weights. With `exponentiate=True` estimates and
        intervals are exp of the coefficients and of the ends of their intervals; standard errors, statistics and
        p-values remain those of the coefficients.
    intervals : (M, 2)
        The lower and the upper end of each interval.
    interval_kind : "confidence", "credible" or "penalised"
        "confidence" intervals hold the true coefficient in the share `coverage` of samples. Under a penalty no interval
        does: "credible" intervals (covariance "posterior") are Bayesian, with the penalty as the prior, and "penalised"
        intervals (the other formulas) say how the penalised estimate varies about its own mean.
    covariance : str
        The name of the covariance formula: "classical", "posterior", "sandwich", "fisher", "HC0" to "HC3", "cluster".
    covariance_matrix : (M, M)
        The covariance of the coefficients, also where `estimates` are ratios.
    combinations : CoefficientCovariance
        The covariance of combinations of the coefficients: `combinations.of(L)` (E, E) for L (E, M), also where
        columns depend on each other and a coefficient alone is not estimable.
    coverage : float
        The probability that an interval holds its coefficient, between 0 and 1.
    interval_method : "wald" or "profile"
        "wald" intervals come from the standard errors, "profile" intervals from the profile of the likelihood.
    statistic : "t", "z" or "χ²"
    degrees_of_freedom : float
        Those of t; inf for z.
    log_likelihood, aic, bic : float
        AIC = -2 log L + 2k and BIC = -2 log L + k log n. k is effective_parameters and, for each target of a
        regression, 1 for the residual variance, whose maximum-likelihood estimate RSS/n is in log L. (R counts this 1
        too; statsmodels and Stata do not.) n is `counted`. All are nan with class weights, with sampling weights, and
        with frequency weights that are not whole numbers, because there is no likelihood then.
    penalised_log_likelihood : float or None
        Under Firth's penalty log L + ½ log det I, which the fit maximised; I is the Fisher information in the units of
        the data. log L, AIC and BIC do not include the penalty.
    effective_parameters : float
        The number of parameters that the rows determine; under a penalty tr((I + S)^-1 I).
    n_rows : int
    total_weight : float
        The sum of the sample weights; n_rows where there are none, and with sampling weights, whose mean is made 1.
    counted : float
        How many rows the formulas count: the total of frequency weights, and else the rows with a weight above 0.
    weights : "frequency", "precision" or "sampling"
        What a weight means.
    deviance : float or None
        Of counts, twice the log-likelihood of a model whose means are the counts themselves less that of the fit; None
        for other targets.
    residual_sd, r_squared : float, or (k,) for several targets; None for classes and counts
        sqrt(RSS / (n - p)), and 1 - RSS / sum of squares about the mean (about 0 without an intercept).
    adjusted_r_squared : float, or (k,) for several targets, or None
        R² with variances in place of sums of squares; None also under a penalty.
    r_squared_centred : bool
        Are the sums of squares of R² about the mean? Else about 0, and R² must not be compared with a centred one.
    pseudo_r_squared : float or None
        McFadden's for classes and counts, 1 - log L / log L of the intercept alone; None for other regressions.
    overall : tuple of CoefficientTest
        The test that all coefficients but the intercepts are 0, for each target: F, the likelihood ratio, or Wald's
        where standard errors are robust. Empty under a penalty, and where there is no test.
    class_counts : dict
        The rows of each class; empty where weights do not count rows.
    standardized : (M,) or None
        With `standardized=True`: the coefficients for one standard deviation of the input, in standard deviations of
        the target for a squared error; nan for intercepts.
    ratio : str
        What the estimates are with `exponentiate=True`: "odds ratio" or "rate ratio"; else "".
    groups : tuple of Term
        The rows of an output that belong to one column of the data: the levels of a category, with the reference that
        they are compared with.
    offset : str
        The column that is the logarithm of the exposure, whose coefficient is 1; "" where there is none.
    aliases : tuple of str
        The columns that are combinations of others, each as "column = combination".
    trouble : str
        The reason why the fit is no optimum, else empty. It stands above the table.
    notes : tuple of str
        What else a reader must know. The notes stand below the table.
    title, formula : str
        The headline of the table, and one line on the covariance formula.
    terms, outputs : tuple of str
        The intercept and the inputs, and the outputs, from which `names` are made.
    mixed : MixedFacts or None
        The likelihood of a model with random intercepts, with its variances (`variance_components`).

    Examples
    --------
    >>> import pandas as pd
    >>> from newtron import PerceptronClassifier
    >>> penguins = pd.read_csv("examples/penguins.csv").dropna()
    >>> X, y = penguins[["species", "bill_depth_mm", "body_mass_g"]], penguins["sex"]
    >>> model = PerceptronClassifier().fit(X, y)
    >>> summary = model.summary()
    >>> summary.names[1:3], summary.estimates[1:3].round(3)
    (('species=Chinstrap', 'species=Gentoo'), array([-0.271, -2.895]))
    """

    names: tuple[str, ...]
    estimates: Array
    standard_errors: Array
    statistics: Array
    p_values: Array
    intervals: Array
    interval_kind: IntervalKind
    covariance: str
    covariance_matrix: Array
    combinations: CoefficientCovariance
    coverage: float
    interval_method: str
    statistic: str
    degrees_of_freedom: float
    log_likelihood: float
    aic: float
    bic: float
    penalised_log_likelihood: float | None
    effective_parameters: float
    n_rows: int
    total_weight: float
    counted: float
    weights: WeightsKind
    deviance: float | None
    residual_sd: float | Array | None
    r_squared: float | Array | None
    adjusted_r_squared: float | Array | None
    r_squared_centred: bool
    pseudo_r_squared: float | None
    overall: tuple[CoefficientTest, ...]
    class_counts: dict[str, float]
    standardized: Array | None
    ratio: str
    groups: tuple[Term, ...]
    offset: str
    aliases: tuple[str, ...]
    trouble: str
    notes: tuple[str, ...]
    title: str
    formula: str
    terms: tuple[str, ...]
    outputs: tuple[str, ...]
    mixed: MixedFacts | None = None

    @property
    def variance_components(self) -> tuple[VarianceComponent, ...]:
        """The variances of random intercepts, one for each grouping column; none without `intercepts`."""
        return () if self.mixed is None else self.mixed.components

    def __repr__(self) -> str:
        return _table(self).text()

    def _repr_html_(self) -> str:
        return _table(self).html()

    def wald_test(self, terms: str | list[str]) -> CoefficientTest:
        """The Wald test that all coefficients of these terms are 0, by the covariance of this summary.

        Parameters
        ----------
        terms : str or list of str
            Names of columns of the data, or of single rows of the table. A category is tested as a whole, and so are
            all outputs of a term.

        Returns
        -------
        CoefficientTest
            F with the residual degrees of freedom for a regression, else χ².

        Raises
        ------
        InputError
            A name is not known; under a penalty, where there are no tests.

        Examples
        --------
        >>> import pandas as pd
        >>> from newtron import PerceptronRegressor
        >>> X = pd.DataFrame({"a": [0.0, 1, 2, 3, 4, 5], "b": [1.0, 0, 2, 1, 0, 2]})
        >>> PerceptronRegressor().fit(X, [1.0, 2, 2, 5, 3, 6]).summary().wald_test(["a", "b"]).degrees_of_freedom
        2.0
        """
        if self.interval_kind != "confidence":
            raise InputError("There are no tests under a penalty on the weights: fit with alpha=0.")
        named = terms_named(terms, self.groups, self.terms)
        q = len(self.terms)
        columns = sorted({column for term in named for column in term.columns})
        places = [output * q + column for output in range(len(self.outputs)) for column in columns]
        estimates = np.log(self.estimates[places]) if self.ratio else self.estimates[places]
        hypothesis = " = ".join([*(term.name for term in named), "0"])
        # A fit that is perfect but for rounding has errors and no statistics.
        perfect = bool((np.isnan(self.statistics) & np.isfinite(self.standard_errors))[places].any())
        freedom = 0.0 if perfect else self.degrees_of_freedom
        return wald(hypothesis, estimates, self.combinations.part(places), freedom)

    def to_frame(self) -> pd.DataFrame:
        """The table as a pandas frame with a row for each name.

        Returns
        -------
        pandas.DataFrame
            Columns estimate, standard_error, statistic, p_value, lower, upper, and where asked for standardized. With
            `exponentiate=True` the estimate and the ends are ratios, and there is no standard_error.

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
        columns = {"estimate": self.estimates}
        columns |= {} if self.ratio else {"standard_error": self.standard_errors}
        columns |= {"statistic": self.statistics, "p_value": self.p_values}
        columns |= {"lower": self.intervals[:, 0], "upper": self.intervals[:, 1]}
        columns |= {} if self.standardized is None else {"standardized": self.standardized}
        return pd.DataFrame(columns, index=pd.Index(self.names, name="name"))

    def to_latex(self) -> str:
        """The table as a tabular environment for LaTeX with the package booktabs; names are escaped."""
        return _table(self).latex()


def summary_header(summary: Summary) -> list[str]:
    """The titles of the columns."""
    tests = [summary.statistic, "p"] if np.isfinite(summary.p_values).any() else []
    percent = _percent(summary)
    estimate = [summary.ratio] if summary.ratio else ["estimate", "std. error"]
    standardized = [] if summary.standardized is None else ["standardised"]
    return ["", *estimate, *tests, f"{percent}{_KINDS[summary.interval_kind]} from", "to", *standardized]


def summary_rows(summary: Summary) -> Iterator[tuple[str | None, list[list[str]]]]:
    """The table in cells: for each output its heading (None where there is only one output) and a row for each term. A
    category of several columns has a row with its name and reference, and indented rows for its levels."""
    width = len(summary_header(summary))
    n = len(summary.terms)
    for position, output in enumerate(summary.outputs):
        cells = []
        for group in summary.groups:
            several = group.reference is not None and len(group.columns) > 1
            reference = "" if group.reference is None else f" (reference {group.reference})"
            if several:
                cells.append([clean(group.name + reference), *[""] * (width - 1)])
            for column, label in zip(group.columns, group.labels, strict=True):
                name = INDENT + label if several else f"{group.name}: {label}{reference}" if reference else label
                cells.append([clean(name), *_numbers(summary, position * n + column)])
        yield (clean(output) if len(summary.outputs) > 1 else None), cells


def _numbers(summary: Summary, i: int) -> list[str]:
    """The cells of one coefficient."""
    tested = bool(np.isfinite(summary.p_values).any())
    error = float(summary.standard_errors[i])
    row = [amount(summary.estimates[i])]
    if math.isnan(error):
        row += [*([] if summary.ratio else ["not estimable"]), *(["-", "-"] if tested else []), "-", "-"]
    else:
        tests = [statistic_in_words(summary.statistics[i]), probability(summary.p_values[i])] if tested else []
        row += [*([] if summary.ratio else [amount(error)]), *tests, *map(amount, summary.intervals[i])]
    return row if summary.standardized is None else [*row, amount(summary.standardized[i])]


def summary_facts(summary: Summary) -> list[str]:
    """The lines above the table: the size and the quality of the fit, and the formula of the standard errors."""
    n = count(summary.n_rows, "row")
    if summary.weights != "frequency":
        n += f" ({summary.weights} weights)"
    elif abs(summary.total_weight - summary.n_rows) > 1e-9 * summary.n_rows:
        n += f" of total weight {summary.total_weight:.6g}"
    effective = summary.effective_parameters
    if abs(effective - round(effective)) < 1e-6:
        parameters = count(round(effective), "parameter")
    else:
        parameters = f"{effective:.4g} effective parameters"
    if summary.mixed is not None:
        return [n, *summary.mixed.lines(len(summary.terms)), *_lines_on_errors(summary)]
    likelihood = f"log-likelihood {summary.log_likelihood:z.6g}, AIC {summary.aic:z.6g}, BIC {summary.bic:z.6g}"
    lines = [f"{n}, {parameters}{'' if math.isnan(summary.log_likelihood) else f'; {likelihood}'}"]
    if summary.class_counts:
        lines.append(
            f"rows of each class: {listed([f'{name} {number(n)}' for name, n in summary.class_counts.items()])}"
        )
    if summary.deviance is not None:
        left = max(0.0, summary.counted - effective)
        freedom = "" if math.isnan(summary.log_likelihood) else f" on {_degrees(left)} of freedom"
        lines.append(f"deviance {summary.deviance:z.6g}{freedom}")
    if summary.penalised_log_likelihood is not None and not math.isnan(summary.penalised_log_likelihood):
        lines.append(f"penalised log-likelihood (Firth) {summary.penalised_log_likelihood:z.6g}")
    if summary.residual_sd is not None and summary.r_squared is not None:
        sd, r2 = np.atleast_1d(summary.residual_sd), np.atleast_1d(summary.r_squared)
        explained = "R²" if summary.r_squared_centred else "uncentred R²"
        explained += f" {_shares(r2)}"
        if summary.adjusted_r_squared is not None:
            explained += f", adjusted {_shares(np.atleast_1d(summary.adjusted_r_squared))}"
        lines.append(
            f"residual standard deviation {', '.join(map(amount, sd))}; {explained}; "
            f"t with {degrees_in_words(summary.degrees_of_freedom)} df"
        )
    lines += _fit_lines(summary)
    return lines + _lines_on_errors(summary)


def _lines_on_errors(summary: Summary) -> list[str]:
    """The lines on the formula of the standard errors, on intervals and on what is shown in place of coefficients."""
    lines = []
    if np.isfinite(summary.standard_errors).any():
        lines.append(f"standard errors {summary.formula}")
        if summary.interval_kind in _NO_CONFIDENCE:
            lines.append(_NO_CONFIDENCE[summary.interval_kind].format(_percent(summary)))
    if summary.interval_method == "profile":
        penalised = "" if summary.penalised_log_likelihood is None else "penalised "
        lines.append(f"intervals by the profile {penalised}likelihood, tests by its ratio")
    if summary.ratio:
        lines.append(f"each {summary.ratio} is exp of a coefficient, and so are the ends of its interval")
    if summary.offset:
        lines.append(f"offset {clean(summary.offset)}: the logarithm of the exposure, with the coefficient 1")
    return lines


def _fit_lines(summary: Summary) -> list[str]:
    """The lines on the fit as a whole: the test of all columns at once, and McFadden's R²."""
    lines = []
    for output, test in zip(summary.outputs, summary.overall, strict=False):
        if math.isnan(test.p_value):
            continue
        target = f" ({clean(output)})" if len(summary.overall) > 1 else ""
        name = "" if test.kind == "F" else f" ({test.kind})"
        lines.append(f"all columns together{target}: {test.in_words}{name}")
    if summary.pseudo_r_squared is not None and not math.isnan(summary.pseudo_r_squared):
        lines.append(f"McFadden's R² {summary.pseudo_r_squared:z.5f}")
    return lines


def _shares(values: Array) -> str:
    return ", ".join("not defined" if np.isnan(v) else f"{v:z.5f}" for v in values)


def _percent(summary: Summary) -> str:
    return f"{100.0 * summary.coverage:.6g} %"


def _degrees(value: float) -> str:
    return count(round(value), "degree") if value == round(value) else f"{value:.6g} degrees"


def _table(summary: Summary) -> ResultTable:
    """The title, the trouble, the facts, the table, the aliases and the notes."""
    return ResultTable(
        summary.title,
        summary_facts(summary),
        summary_header(summary),
        [(heading or "", rows) for heading, rows in summary_rows(summary)],
        summary.trouble,
        lists=[
            *([("dependent columns:", summary.aliases)] if summary.aliases else []),
            *([("random intercepts:", component_lines(summary))] if summary.mixed is not None else []),
        ],
        notes=summary.notes,
    )


def component_lines(summary: Summary) -> list[str]:
    """A line for each grouping column."""
    return [component.in_words() for component in summary.variance_components]
