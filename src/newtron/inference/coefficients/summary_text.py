"""A summary as text of at most 120 columns and as HTML."""

from __future__ import annotations

import math
import textwrap
import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from newtron.engine.base.words import clean, count, in_html

if TYPE_CHECKING:
    from newtron.inference.coefficients.summary import Summary

_WIDEST_NAME, _WIDTH = 40, 100
# What stands above intervals that are none of a true coefficient, and what they are instead.
_KINDS = {"confidence": "", "credible": " credible", "penalised": " penalised"}
_NO_CONFIDENCE = {
    "credible": "{} credible intervals: with the penalty as a Gaussian prior, each holds its coefficient with this "
    "probability after the data; they are no confidence intervals, and may hold the true coefficient in far fewer "
    "samples",
    "penalised": "{} intervals of the penalised estimate: how it varies from sample to sample about its own mean, "
    "which the penalty pulls towards zero; they are no confidence intervals of the true coefficient",
}


def header(summary: Summary) -> list[str]:
    """Titles of the columns."""
    tests = [summary.statistic, "p"] if np.isfinite(summary.p_values).any() else []
    percent = _percent(summary)
    return ["", "estimate", "std. error", *tests, f"{percent}{_KINDS[summary.interval_kind]} from", "to"]


def rows(summary: Summary) -> Iterator[tuple[str | None, list[list[str]]]]:
    """The table in cells: for each output its heading (None where there is one output) and a row for each term."""
    tested = np.isfinite(summary.p_values).any()
    n = len(summary.terms)
    for number, output in enumerate(summary.outputs):
        cells = []
        for j, term in enumerate(summary.terms):
            i = number * n + j
            error = float(summary.standard_errors[i])
            row = [clean(term), amount(summary.estimates[i])]
            if math.isnan(error):
                row += ["not estimable", *(["-", "-"] if tested else []), "-", "-"]
            else:
                tests = [_statistic(summary.statistics[i]), probability(summary.p_values[i])] if tested else []
                row += [amount(error), *tests, *map(amount, summary.intervals[i])]
            cells.append(row)
        yield (clean(output) if len(summary.outputs) > 1 else None), cells


def facts(summary: Summary) -> list[str]:
    """What stands above the table: the size and quality of the fit, and the formula."""
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
    if summary.penalised_log_likelihood is not None and not math.isnan(summary.penalised_log_likelihood):
        lines.append(f"penalised log-likelihood (Firth) {summary.penalised_log_likelihood:z.6g}")
    if summary.residual_sd is not None and summary.r_squared is not None:
        sd, r2 = np.atleast_1d(summary.residual_sd), np.atleast_1d(summary.r_squared)
        explained = ", ".join("not defined" if np.isnan(v) else f"{v:z.5f}" for v in r2)
        lines.append(
            f"residual standard deviation {', '.join(map(amount, sd))}; R² {explained}; "
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


def as_text(summary: Summary) -> str:
    """Title, trouble, facts, table, aliases, notes."""
    lines = textwrap.wrap(clean(summary.title), _WIDTH, subsequent_indent="  ")
    lines += textwrap.wrap(clean(summary.trouble), _WIDTH, initial_indent="! ", subsequent_indent="  ")
    lines += [part for fact in facts(summary) for part in textwrap.wrap(fact, _WIDTH, subsequent_indent="  ")]
    tables = list(rows(summary))
    head = header(summary)
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


def as_html(summary: Summary) -> str:
    """The same as a table for a notebook; every name escaped."""

    def cells(tag: str, values: list[str], style: str = ' style="text-align:right"') -> str:
        name, *rest = (in_html(value) for value in values)
        return f'<tr><th style="text-align:left">{name}</th>' + "".join(f"<{tag}{style}>{v}</{tag}>" for v in rest)

    head = header(summary)
    parts = [f"<p><b>{in_html(summary.title)}</b></p>"]
    if summary.trouble:
        parts.append(f"<p><b>{in_html(summary.trouble)}</b></p>")
    parts += ["<p>", "<br>".join(in_html(fact) for fact in facts(summary)), "</p>", "<table><thead>"]
    parts += [cells("th", head), "</tr></thead><tbody>"]
    for heading, table in rows(summary):
        if heading is not None:
            parts.append(f'<tr><th colspan="{len(head)}" style="text-align:left">{in_html(heading)}</th></tr>')
        parts += [cells("td", row) + "</tr>" for row in table]
    parts.append("</tbody></table>")
    if summary.aliases:
        items = "".join(f"<li>{in_html(alias)}</li>" for alias in summary.aliases)
        parts.append(f"<p>dependent columns:</p><ul>{items}</ul>")
    parts += [f"<p>{in_html(note)}</p>" for note in summary.notes]
    return "".join(parts)


def amount(value: float) -> str:
    """Five significant digits, trailing zeros among them, so that a column reads evenly."""
    if math.isnan(value):
        return "-"
    return f"{value:z#.5g}".rstrip(".")


def _statistic(value: float) -> str:
    return f"{value:z.3f}" if abs(value) < 1e5 else f"{value:.3e}"


def probability(p: float) -> str:
    if math.isnan(p):
        return "-"
    if p < 1e-300:
        return "<1e-300"
    return f"{p:.4f}" if p >= 1e-4 else f"{p:.1e}"


def _short(name: str) -> str:
    """A long name without its middle: columns of one category differ at the end."""
    if _width(name) <= _WIDEST_NAME:
        return name
    kept, end = name, name[-(_WIDEST_NAME // 2) :]
    while _width(end) > _WIDEST_NAME // 2:
        end = end[1:]
    while _width(kept) + _width(end) > _WIDEST_NAME - 3:
        kept = kept[:-1]
    return f"{kept}...{end}"


def _width(text: str) -> int:
    """Columns that a text takes: East Asian wide letters two, marks on a letter none."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else not unicodedata.combining(c) for c in text)
