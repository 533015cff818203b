"""The summary of a fitted perceptron, a value, and how it prints: as text of at most 120 columns, and as HTML."""

from __future__ import annotations

import math
import textwrap
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from newtron.engine.base.types import Array
from newtron.engine.base.words import clean, count, in_html
from newtron.inference.coefficients.covariance import CoefficientCovariance

IntervalKind: TypeAlias = Literal["confidence", "credible", "penalised"]

# Columns that a name may take in the table, so that its numbers stay on a screen, and columns of a line of prose.
_WIDEST_NAME, _WIDTH = 40, 100
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
        is not estimable, and the p-values also under a penalty on the weights.
    intervals : (M, 2)
        The lower and the upper end of each interval.
    interval_kind : "confidence", "credible" or "penalised"
        "confidence" intervals hold the true coefficient in the share `coverage` of samples. Under a penalty no interval
        does: "credible" intervals (covariance "posterior") are Bayesian, with the penalty as the prior, and "penalised"
        intervals (the other formulas) say how the penalised estimate varies about its own mean.
    covariance : str
        The name of the covariance formula: "classical", "posterior", "sandwich", "fisher", "HC0" to "HC3", "cluster".
    covariance_matrix : (M, M)
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
        too; statsmodels and Stata do not.) n is the total weight of the rows. All are nan with class weights, and with
        sample weights that are not whole numbers, because the likelihood then depends on what the weights mean.
    penalised_log_likelihood : float or None
        Under Firth's penalty log L + ½ log det I, which the fit maximised; I is the Fisher information in the units of
        the data. log L, AIC and BIC do not include the penalty.
    effective_parameters : float
        The number of parameters that the rows determine; under a penalty tr((I + S)^-1 I).
    n_rows : int
    total_weight : float
        The sum of the sample weights; n_rows where there are none.
    deviance : float or None
        Of counts, twice the log-likelihood of a model whose means are the counts themselves less that of the fit; None
        for other targets.
    residual_sd, r_squared : float, or (k,) for several targets; None for classes and counts
        sqrt(RSS / (n - p)), and 1 - RSS / sum of squares about the mean (about 0 without an intercept).
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
    deviance: float | None
    residual_sd: float | Array | None
    r_squared: float | Array | None
    aliases: tuple[str, ...]
    trouble: str
    notes: tuple[str, ...]
    title: str
    formula: str
    terms: tuple[str, ...]
    outputs: tuple[str, ...]

    def __repr__(self) -> str:
        return _as_text(self)

    def _repr_html_(self) -> str:
        return _as_html(self)


def summary_header(summary: Summary) -> list[str]:
    """The titles of the columns."""
    tests = [summary.statistic, "p"] if np.isfinite(summary.p_values).any() else []
    percent = _percent(summary)
    return ["", "estimate", "std. error", *tests, f"{percent}{_KINDS[summary.interval_kind]} from", "to"]


def summary_rows(summary: Summary) -> Iterator[tuple[str | None, list[list[str]]]]:
    """The table in cells: for each output its heading (None where there is only one output) and a row for each term."""
    tested = np.isfinite(summary.p_values).any()
    n = len(summary.terms)
    for number, output in enumerate(summary.outputs):
        cells = []
        for j, term in enumerate(summary.terms):
            i = number * n + j
            error = float(summary.standard_errors[i])
            row = [clean(term), _amount(summary.estimates[i])]
            if math.isnan(error):
                row += ["not estimable", *(["-", "-"] if tested else []), "-", "-"]
            else:
                tests = [_statistic(summary.statistics[i]), _probability(summary.p_values[i])] if tested else []
                row += [_amount(error), *tests, *map(_amount, summary.intervals[i])]
            cells.append(row)
        yield (clean(output) if len(summary.outputs) > 1 else None), cells


def summary_facts(summary: Summary) -> list[str]:
    """The lines above the table: the size and the quality of the fit, and the formula of the standard errors."""
    n = count(summary.n_rows, "row")
    if abs(summary.total_weight - summary.n_rows) > 1e-9 * summary.n_rows:
        n += f" of total weight {summary.total_weight:.6g}"
    effective = summary.effective_parameters
    if abs(effective - round(effective)) < 1e-6:
        parameters = count(round(effective), "parameter")
    else:
        parameters = f"{effective:.4g} effective parameters"
    likelihood = f"log-likelihood {summary.log_likelihood:z.6g}, AIC {summary.aic:z.6g}, BIC {summary.bic:z.6g}"
    lines = [f"{n}, {parameters}{'' if math.isnan(summary.log_likelihood) else f'; {likelihood}'}"]
    if summary.deviance is not None:
        left = max(0.0, summary.total_weight - effective)
        freedom = "" if math.isnan(summary.log_likelihood) else f" on {_degrees(left)} of freedom"
        lines.append(f"deviance {summary.deviance:z.6g}{freedom}")
    if summary.penalised_log_likelihood is not None and not math.isnan(summary.penalised_log_likelihood):
        lines.append(f"penalised log-likelihood (Firth) {summary.penalised_log_likelihood:z.6g}")
    if summary.residual_sd is not None and summary.r_squared is not None:
        sd, r2 = np.atleast_1d(summary.residual_sd), np.atleast_1d(summary.r_squared)
        explained = ", ".join("not defined" if np.isnan(v) else f"{v:z.5f}" for v in r2)
        lines.append(
            f"residual standard deviation {', '.join(map(_amount, sd))}; R² {explained}; "
            f"t with {_degrees(summary.degrees_of_freedom)} of freedom"
        )
    if np.isfinite(summary.standard_errors).any():
        lines.append(f"standard errors {summary.formula}")
        if summary.interval_kind in _NO_CONFIDENCE:
            lines.append(_NO_CONFIDENCE[summary.interval_kind].format(_percent(summary)))
    if summary.interval_method == "profile":
        penalised = "" if summary.penalised_log_likelihood is None else "penalised "
        lines.append(f"intervals by the profile {penalised}likelihood, tests by its ratio")
    return lines


def _percent(summary: Summary) -> str:
    return f"{100.0 * summary.coverage:.6g} %"


def _degrees(value: float) -> str:
    return count(round(value), "degree") if value == round(value) else f"{value:.6g} degrees"


def _as_text(summary: Summary) -> str:
    """The title, the trouble, the facts, the table, the aliases and the notes."""
    lines = textwrap.wrap(clean(summary.title), _WIDTH, subsequent_indent="  ")
    lines += textwrap.wrap(clean(summary.trouble), _WIDTH, initial_indent="! ", subsequent_indent="  ")
    lines += [part for fact in summary_facts(summary) for part in textwrap.wrap(fact, _WIDTH, subsequent_indent="  ")]
    tables = list(summary_rows(summary))
    head = summary_header(summary)
    indent = "  " if tables[0][0] is not None else ""
    body = [[indent + _short(row[0]), *row[1:]] for _, table in tables for row in table]
    widths = [max(_width(row[i]) for row in [head, *body]) for i in range(len(head))]
    lines += ["", _line(head, widths), "-" * (sum(widths) + 2 * (len(widths) - 1))]
    for heading, table in tables:
        if heading is not None:
            lines.append(heading)
        lines += [_line([indent + _short(row[0]), *row[1:]], widths) for row in table]
    if summary.aliases:
        lines += ["", "dependent columns:"]
        for alias in summary.aliases:
            lines += textwrap.wrap(clean(alias), _WIDTH, initial_indent="  ", subsequent_indent="    ")
    if summary.notes:
        lines.append("")
    for note in summary.notes:
        lines += textwrap.wrap(clean(note), _WIDTH)
    return "\n".join(lines)


def _line(cells: list[str], widths: list[int]) -> str:
    first = cells[0] + " " * (widths[0] - _width(cells[0]))
    return "  ".join([first, *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))]).rstrip()


def _as_html(summary: Summary) -> str:
    """The same as HTML for a notebook, with every name escaped."""

    def cells(tag: str, values: list[str], style: str = ' style="text-align:right"') -> str:
        name, *rest = (in_html(value) for value in values)
        return f'<tr><th style="text-align:left">{name}</th>' + "".join(f"<{tag}{style}>{v}</{tag}>" for v in rest)

    head = summary_header(summary)
    parts = [f"<p><b>{in_html(summary.title)}</b></p>"]
    if summary.trouble:
        parts.append(f"<p><b>{in_html(summary.trouble)}</b></p>")
    parts += ["<p>", "<br>".join(in_html(fact) for fact in summary_facts(summary)), "</p>", "<table><thead>"]
    parts += [cells("th", head), "</tr></thead><tbody>"]
    for heading, table in summary_rows(summary):
        if heading is not None:
            parts.append(f'<tr><th colspan="{len(head)}" style="text-align:left">{in_html(heading)}</th></tr>')
        parts += [cells("td", row) + "</tr>" for row in table]
    parts.append("</tbody></table>")
    if summary.aliases:
        items = "".join(f"<li>{in_html(alias)}</li>" for alias in summary.aliases)
        parts.append(f"<p>dependent columns:</p><ul>{items}</ul>")
    parts += [f"<p>{in_html(note)}</p>" for note in summary.notes]
    return "".join(parts)


def _amount(value: float) -> str:
    """A number with five significant digits; trailing zeros stay, so that a column is easy to compare."""
    if math.isnan(value):
        return "-"
    return f"{value:z#.5g}".rstrip(".")


def _statistic(value: float) -> str:
    return f"{value:z.3f}" if abs(value) < 1e5 else f"{value:.3e}"


def _probability(p: float) -> str:
    if math.isnan(p):
        return "-"
    if p < 1e-300:
        return "<1e-300"
    return f"{p:.4f}" if p >= 1e-4 else f"{p:.1e}"


def _short(name: str) -> str:
    """A long name without its middle: the columns of one category have names that differ at the end."""
    if _width(name) <= _WIDEST_NAME:
        return name
    kept, end = name, name[-(_WIDEST_NAME // 2) :]
    while _width(end) > _WIDEST_NAME // 2:
        end = end[1:]
    while _width(kept) + _width(end) > _WIDEST_NAME - 3:
        kept = kept[:-1]
    return f"{kept}...{end}"


def _width(text: str) -> int:
    """The columns that a text takes on a screen: East Asian wide letters take two, marks on a letter none."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else not unicodedata.combining(c) for c in text)
