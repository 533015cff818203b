"""Plots of predictions against observations: numbers with their intervals, probabilities with observed shares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array
from newtron.engine.base.words import count, percent
from newtron.model.predicting import intervals
from newtron.study.report.plots import Series, plot
from newtron.training.fitted import FittedModel

# Points that are drawn; how many of the smallest and of the largest values are always among them; groups of
# probabilities in a reliability plot.
_POINTS, _EXTREME, _BINS = 1000, 20, 10


def interval_ends(model: FittedModel, X: Array) -> Array | None:
    """(n, 2) ends of 90 % intervals, or None where the fit has none."""
    try:
        ends = intervals(model, X, 0.9)[:, 0]
    except InputError:
        return None
    return ends if np.isfinite(ends).all() else None


def numbers(predicted: Array, y: Array, ends: Array | None) -> str:
    """Observed and residual against predicted (n,). ends: (n, 2) of 90 % intervals, or None."""
    shown = _drawn(predicted, y)
    p, observed = predicted[shown], y[shown]
    even = np.array([min(p.min(), observed.min()), max(p.max(), observed.max())])
    series, title, said = [Series(p, observed), Series(even, even, "rule", 2)], "Observed against predicted", ""
    if ends is not None:
        series.insert(0, Series(np.repeat(p, 2), ends[shown].ravel(), "bars", 2))
        inside = int(np.sum((ends[:, 0] <= y) & (y <= ends[:, 1])))
        title += ", with 90 % intervals"
        share = f"{inside:,} of {count(len(y), 'row')} ({percent(inside / len(y))})"
        said = f"<p>The 90 % intervals contain the target in {share}.</p>"
    figures = [
        plot(title, "predicted", "observed", series),
        plot(
            "Residuals against predicted",
            "predicted",
            "observed - predicted",
            [Series(p, observed - p), Series(np.array([p.min(), p.max()]), np.zeros(2), "rule", 2)],
        ),
    ]
    more = ""
    if len(shown) < len(y):
        more = (
            f"<p>{len(shown):,} of {count(len(y), 'row')} are drawn: the rows with the most extreme values, "
            "predictions and residuals, and other rows that were chosen at random.</p>"
        )
    return f'<div class="figures">{"".join(figures)}</div>{said}{more}'


def _drawn(predicted: Array, y: Array) -> NDArray[np.int64]:
    """The rows that are drawn: of many, the extreme ones, which a sample would miss, and a sample of the others."""
    if len(y) <= _POINTS:
        return np.arange(len(y))
    ends = [np.argsort(values, kind="stable") for values in (predicted, y, y - predicted)]
    extreme = np.unique(np.concatenate([part for order in ends for part in (order[:_EXTREME], order[-_EXTREME:])]))
    others = np.setdiff1d(np.arange(len(y)), extreme)
    chosen = np.random.default_rng(0).choice(others, _POINTS - len(extreme), replace=False)
    return np.sort(np.concatenate([extreme, chosen]))


def reliability(sure: Array, hit: NDArray[np.bool_], what: str) -> str:
    """Groups of equal size by probability: the predicted probability and the observed share of each group."""
    groups = np.array_split(np.argsort(sure, kind="stable"), min(_BINS, max(1, len(sure) // 10)))
    x = np.array([sure[group].mean() for group in groups])
    y = np.array([hit[group].mean() for group in groups])
    even = np.array([0.0, 1.0])
    return plot(
        "Reliability", what, "observed share", [Series(even, even, "rule", 2), Series(x, y, "line"), Series(x, y)]
    )


def roc(score: Array, hit: NDArray[np.bool_], title: str = "ROC curve") -> str:
    """The ROC curve, and the area below it. score: (n,) larger for the positive class; hit: (n,) is it that class?"""
    order = np.argsort(-score, kind="stable")
    last = np.append(np.diff(score[order]) != 0.0, True)  # rows of one score are passed together
    true = np.append(0.0, np.cumsum(hit[order])[last] / hit.sum())
    false = np.append(0.0, np.cumsum(~hit[order])[last] / (~hit).sum())
    area = float(np.sum(np.diff(false) * (true[1:] + true[:-1]) / 2.0))
    even = np.array([0.0, 1.0])
    return plot(
        f"{title}, area {area:.3f}",
        "false positive rate",
        "true positive rate",
        [Series(even, even, "rule", 2), Series(false, true, "line")],
    )
