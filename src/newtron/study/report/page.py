"""The report that `newtron fit` writes: one HTML file that loads nothing and runs nothing.

It shows the data, the comparison of the models, predictions against observations, coefficients, how training ended, and
the calculus of one row. All text from the data is escaped, and the policy of the page forbids loading anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from newtron.engine.base.types import Array
from newtron.engine.base.version import __version__
from newtron.engine.base.words import capital, clean, command, count, in_html, label, number, percent, setting
from newtron.inference.penalties.by_column import common_penalty
from newtron.model.certified import certificate_of
from newtron.model_file import write_whole
from newtron.study.coefficients import coefficient_table
from newtron.study.data import TableData, labels_of
from newtron.study.describe import column_pairs, landmarks_in_words, target_pair
from newtron.study.ends import ENDS
from newtron.study.html import html_notes, html_pairs, html_paragraphs, html_table
from newtron.study.job import Candidate, Job
from newtron.study.report.drawing import draw_network
from newtron.study.report.permutation import importance_table, importances
from newtron.study.report.plots import Series, plot
from newtron.study.report.prediction_plots import interval_ends, numbers, reliability, roc
from newtron.study.report.relevance import relevance_table
from newtron.study.report.style import STYLE
from newtron.study.sample import TargetValues
from newtron.study.scores import class_table, metric_table
from newtron.study.settings import settings_in_words
from newtron.table import Schema, encode
from newtron.training.fitted import FittedModel, Member

_MARK = '<meta name="generator" content="newtron'
# Rows of the table of coefficients, and classes of a confusion matrix, that a reader can still take in.
_TERMS, _CLASSES = 60, 12
# Held-out rows from which on columns are ranked; fewer say nothing about which columns matter.
_FEWEST_RANKED = 10


def is_report(path: str) -> bool:
    """Return whether this file is a report that newtron wrote."""
    with open(path, "rb") as file:
        return _MARK.encode() in file.read(2000)


def write_report(job: Job, data: TableData, path: str, progress: Callable[[int, int], None] | None = None) -> None:
    """Write the report, whole or not at all. progress: called with the columns shuffled and the number of all."""
    with np.errstate(all="ignore"):  # messages name numbers at the edge of the range where they matter
        page = _page(job, data, progress).encode("utf-8", "backslashreplace")
    write_whole(path, lambda file: file.write(page))


def _page(job: Job, data: TableData, progress: Callable[[int, int], None] | None) -> str:
    title = f"Prediction of {clean(data.schema.target.name)} from {clean(data.name)}"
    rankings = _rankings(job, progress)
    sections = [
        _section("The data", _data(job)),
        _section("Comparison of the models", _comparison(job)),
        _section("Predictions on held-out rows", _predictions(job)),
        _section("Which columns matter", rankings),
        _section("Coefficients" if job.final.name == "perceptron" else "The network", _model(job, bool(rankings))),
        _section("How training ended", _ends(job)),
        _section("How to repeat this fit", _again(job)),
        _section("The calculus of one row", _derivation(job, data)),
    ]
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'{_MARK} {__version__}"><meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{in_html(title)}</title><style>{STYLE}</style></head><body><main>"
        f"<h1>{in_html(title)}</h1>{_lead(job)}{''.join(sections)}</main></body></html>\n"
    )


def _section(title: str, body: str) -> str:
    return f"<h2>{in_html(title)}</h2>{body}" if body else ""


def _lead(job: Job) -> str:
    rows, verdict = count(job.data.n_known, "row"), job.comparison.verdict
    found = [f"The {job.final.name} is kept, {'trained again on all' if job.refit else 'trained on'} {rows}."]
    if verdict.why:
        found = [*verdict.why[:1], *([f"It was trained again on all {rows}."] if job.refit else [])]
    return html_paragraphs(found)


def _data(job: Job) -> str:
    data = job.data
    size = f"{count(data.n_rows, 'row')}, {count(len(data.names), 'column')}"
    what = "file" if isinstance(job.options.data, str) else "data"
    pairs = [(what, f"{data.name}: {size}"), target_pair(data.schema), *column_pairs(data.schema, data.missing)]
    return html_pairs(pairs) + (f"<p>Please note:</p>{html_notes(job.notes)}" if job.notes else "")


def _comparison(job: Job) -> str:
    compared = job.comparison
    if not compared.scores:
        return "<p>No rows were held out, so nothing says how well the model predicts new rows.</p>"
    report = job.report
    found = html_paragraphs([f"The models were compared {report.how}."])
    found += html_table(*metric_table(compared.kind, report.metrics, report.kept))
    if report.by_class:
        found += html_paragraphs([f"The {report.kept}, class by class:"])
        found += html_table(*class_table(report.by_class, len(report.by_class), report.weighted))
    found += html_paragraphs(compared.verdict.why[1:])
    if report.tested:
        found += html_paragraphs([f"Tested {report.tested_on}, which no choice was made by:"])
        found += html_table(*metric_table(compared.kind, report.tested, report.kept))
    return found


# --- predictions beside what came ---


def _predictions(job: Job) -> str:
    """Predictions of the model that was compared, which was not trained on these rows; of each fold its own."""
    compared = job.comparison
    if compared.held_out is None or compared.said is None:
        return ""
    said, y = compared.said, compared.y
    with np.errstate(all="ignore"):
        if job.task == "regression":
            ends = interval_ends(compared.kept.model, compared.held_out.X) if len(compared.held_out) == len(y) else None
            return numbers(said.ravel(), np.asarray(y, dtype=np.float64), ends)
        folds = len(compared.held_out) < len(y)
        counted = "The matrix and the curves count rows and not their weights." if job.options.weights else ""
        return _classes(job.data.schema, said, y, folds) + html_paragraphs(filter(None, [counted]))


_TWO_RANKINGS = (
    "The two rankings below answer two questions and may differ. The first says how much worse predictions of held-out "
    "rows become without a column. The second says how far the network's prediction moves when a column changes, "
    "whether predictions become better or worse by that."
)


def _rankings(job: Job, progress: Callable[[int, int], None] | None) -> str:
    """Columns by what predictions lose without them, and of a network also by how far predictions move with them."""
    importance, relevance = _importance(job, progress), _relevance(job)
    if importance:
        importance = f"<h3>What predictions lose without a column</h3>{importance}"
    if relevance:
        relevance = f"<h3>How far predictions move with a column (relevance)</h3>{relevance}"
    return (html_paragraphs([_TWO_RANKINGS]) if importance and relevance else "") + importance + relevance


def _importance(job: Job, progress: Callable[[int, int], None] | None) -> str:
    compared = job.comparison
    if compared.held_out is None or len(compared.held_out) < _FEWEST_RANKED:
        return ""
    found = importances(compared.kept.model, compared.schema, compared.held_out, progress)
    return importance_table(found, compared.kind)


def _classes(schema: Schema, p: Array, codes: TargetValues, folds: bool) -> str:
    """The confusion matrix and the curves. folds: the probabilities are those of the models of several folds."""
    names = [label(c) for c in schema.target.classes]
    found = ""
    if len(names) <= _CLASSES:
        table = np.zeros((len(names), len(names)), dtype=int)
        np.add.at(table, (codes, p.argmax(axis=1)), 1)
        rows = [[name, *map(str, line)] for name, line in zip(names, table.tolist(), strict=True)]
        meaning = "Confusion matrix: a row for each observed class, a column for each predicted class."
        found = html_paragraphs([meaning]) + html_table(["", *names], rows)
    hit, sure = (codes == 1, p[:, 1]) if len(names) == 2 else (p.argmax(axis=1) == codes, p.max(axis=1))
    what = f"probability of {names[1]}" if len(names) == 2 else "probability of the most probable class"
    figures = [reliability(sure, hit, what)]
    if len(names) == 2 and 0 < int(hit.sum()) < len(hit):
        figures.append(roc(sure, hit, "ROC curve of all folds together" if folds else "ROC curve"))
    return found + f'<div class="figures">{"".join(figures)}</div>'


# --- the model ---

_UNITS = (
    "Each coefficient is the change of the prediction (of the log odds, for classes) when its column grows by one "
    "unit. The units differ, so the largest coefficient does not show the most important column"
)


def _model(job: Job, ranked: bool) -> str:
    model = job.final.model
    if model.is_perceptron:
        before, header, rows, after = coefficient_table(model)
        more = [f"… and {len(rows) - _TERMS:,} more, which 'newtron show --json' lists."] if len(rows) > _TERMS else []
        units = f'{_UNITS}: see "Which columns matter" for that.' if ranked else f"{_UNITS}."
        first = html_paragraphs([units, *(f"{capital(fact.removesuffix('.'))}." for fact in before)])
        return first + html_table(header, rows[:_TERMS]) + html_paragraphs([*more, *after])
    rows = [
        [
            str(place),
            model.shape_of(member),
            percent(member.share),
            number(common_penalty(member.network, member.alpha)),
            number(member.effective_parameters) if np.isfinite(member.effective_parameters) else "",
            f"{member.solution.n_iter:,}",
            number(member.solution.value),
            ENDS[member.solution.status],
        ]
        for place, member in enumerate(model.members, start=1)
    ]
    header = ["network", "shape", "share", "penalty", "effective parameters", "iterations", "objective", "end"]
    if not any(row[4] for row in rows):
        header, rows = header[:4] + header[5:], [row[:4] + row[5:] for row in rows]
    return html_paragraphs(_averaged(model)) + html_table(header, rows) + _drawing(job)


def _relevance(job: Job) -> str:
    known = relevance_table(job.final.model, list(job.schema.feature_names))
    if known is None:
        return ""
    header, rows, after = known
    return html_table(header, rows) + html_paragraphs(after)


def _averaged(model: FittedModel) -> list[str]:
    """Sentences on what is averaged, and on the inputs of each network."""
    members, scaling = model.members, model.scaling
    one = len(members) == 1
    found = [
        f"{'The model is one network' if one else 'The prediction is the mean of these networks, weighted by share'}. "
        f"The activation of hidden units is {model.settings.activation}. A shape gives the numbers of units from "
        "inputs to outputs."
    ]
    if not one and any(not member.hidden for member in members):
        found[0] += " A network without hidden units is a perceptron."
    if not all(member.share for member in members):
        found[0] += " A network with a share of 0 takes no part in the prediction."
    p = len(scaling.x_center)
    if scaling.asinh is not None:
        n = len(scaling.asinh.columns)
        found.append(
            f"The inputs are the {count(p, 'column')} as numbers, and {'all' if n == p else f'{n:,}'} of them once "
            "more as asinh features around the median, which shorten long tails."
        )
    if scaling.pieces is not None:
        n, of = len(scaling.pieces.columns), len(np.unique(scaling.pieces.columns))
        found.append(
            f"Networks with {replace(scaling, landmarks=None).n_inputs:,} inputs also take {n:,} pieces of the ranges "
            f"of {count(of, 'column')}: each is the share of the piece that lies below the number, so that they follow "
            "steps and bends."
        )
    found += landmarks_in_words(model)
    if isinstance(model.settings.alpha, str):
        found.append(
            "Where it could be, the penalty of each network was chosen from the data "
            f"({setting('alpha', repr(model.settings.alpha))})."
        )
    return found


def _drawing(job: Job) -> str:
    from newtron.model.explanation import fed_names

    model = job.final.model
    members, place = model.members, model.best
    best = members[place]
    target = job.data.schema.target
    classes = [label(c) for c in target.classes]
    outputs = [target.name] if job.task == "regression" else classes[1:] if len(classes) == 2 else classes
    names = [clean(name) for name in fed_names(model.scaling_of(best), job.schema.feature_names)]
    rivals = [member for member in members if member.first_input == best.first_input]
    alone = sum(member.share == best.share for member in rivals) == 1
    why = (
        "the greatest share"
        if alone
        else "the greatest evidence among those of the greatest share"
        if best.log_evidence > -np.inf
        else "the lowest objective among those of the greatest share"
    )
    of = " of those that take the columns" if len(rivals) < len(members) else ""
    title = f"Network {place + 1}, which has {why}{of}" if len(members) > 1 else "The network"
    rank = _relevance_of_inputs(model, best)
    return draw_network(best.network.split(best.params), names, [clean(name) for name in outputs], title, rank)


def _relevance_of_inputs(model: FittedModel, member: Member) -> Array | None:
    """The relevance of each input of the network; a feature has that of its column. None: not known, or inputs are made
    of all columns."""
    shares, scaling = model.relevance, model.scaling_of(member)
    if shares is None or not np.isfinite(shares).all() or scaling.landmarks is not None:
        return None
    shares = np.delete(shares, scaling.no_inputs)
    return np.asarray(shares[scaling.made_of])


def _ends(job: Job) -> str:
    words = certificate_of(job.final.model).sentences()
    return html_paragraphs(words) + f'<div class="figures">{_traces(job.final)}</div>'


def _traces(trained: Candidate) -> str:
    """The objective above the lowest value reached, and the gradient, by iteration; a line for each member."""
    above, slope = [], []
    for member in trained.model.members:
        trace = member.solution.trace
        steps = np.array([row.iteration for row in trace], dtype=np.float64)
        values = np.array([row.value for row in trace])
        above.append(Series(steps, values - values.min(), "line"))
        slope.append(Series(steps, np.array([row.gradient_norm for row in trace]), "line", 1))
    axes = {"log_y": True, "whole_x": True}
    figures = plot("Objective above the lowest that was reached", "iteration", "difference", above, **axes)
    return figures + plot("Gradient, relative to its scale", "iteration", "largest component", slope, **axes)


def _derivation(job: Job, data: TableData) -> str:
    from newtron.explain.show.html import STYLE
    from newtron.model.explanation import explained

    row = data.table.take(data.known[:1])
    schema = job.schema
    with np.errstate(all="ignore"):
        derivation = explained(
            job.final.model, encode(schema, row).X, labels_of(schema, data.y[:1]), names=schema.feature_names
        )
    place = int(data.known[0]) + 1
    other = str(place + 1 if place < data.n_rows else place)
    again = "study.model.explain(X, y)"
    if job.options.output is not None:
        again = command(["newtron", "explain", job.options.output, data.name, "--row", other])
    first = f"<p>This is row {place:,} of the data. Another row: <code>{in_html(again)}</code></p>"
    # Closed but for the first: a network's derivation is many times as long as the rest of the report.
    first_open, *others = derivation.to_html(style=False).split("<details open>")
    steps = first_open + "".join(f"<details{' open' if n == 0 else ''}>{part}" for n, part in enumerate(others))
    return f"{first}<style>{STYLE}</style>{steps}"


def _again(job: Job) -> str:
    options, model = job.options, job.final.model
    pairs = [("settings of the estimator", settings_in_words(model.settings)), ("newtron", __version__)]
    how = "This was called in Python"
    if options.output is not None:
        how, pairs = "This command was typed", [("model file", options.output), *pairs]
    return f"<p>{how}; the seed is {options.seed}.</p><p><code>{in_html(options.typed)}</code></p>{html_pairs(pairs)}"
