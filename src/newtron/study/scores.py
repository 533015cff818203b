"""How well models predict rows that they were not trained on: the metrics of each, and by how much two differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.types import Array
from newtron.engine.base.words import label, number, percent
from newtron.engine.maths.metrics import (
    ClassMetrics,
    class_metrics,
    classification_metrics,
    count_metrics,
    log_losses,
    poisson_deviances,
    regression_metrics,
    squared_errors,
    weighted_mean,
)
from newtron.model.predicting import predicted
from newtron.study.sample import Sample, TargetValues
from newtron.training.fitted import FittedModel

BASELINE = "baseline"
# The metrics of each kind of target in the order of their weight: a key and a title. A comparison decides by the first,
# or by its square.
METRICS = {
    "regression": (("rmse", "RMSE"), ("mae", "MAE"), ("r2", "R²")),
    "counts": (("deviance", "deviance"), ("d2", "D²"), ("rmse", "RMSE"), ("mae", "MAE"), ("r2", "R²")),
    "classification": (
        ("log_loss", "log loss"),
        ("error_rate", "error rate"),
        ("accuracy", "accuracy"),
        ("auc", "AUC"),
        ("balanced_accuracy", "balanced accuracy"),
        ("brier", "Brier"),
    ),
}
_SHARES = ("error_rate", "accuracy", "balanced_accuracy")
QUANTITY = {"regression": "squared error", "counts": "deviance", "classification": "log loss"}
GUESS = {"regression": "mean alone", "counts": "mean alone", "classification": "class shares alone"}
# The coverage of intervals of a difference.
_COVERAGE = 0.95


def kind_of(model: FittedModel) -> str:
    """The kind of a model's target: a key of `METRICS`."""
    return "counts" if model.settings.loss == "poisson" else model.settings.task


def score_model(model: FittedModel, rows: Sample) -> Score:
    """The score of a model's predictions for these rows."""
    classes = () if model.data.classes is None else tuple(model.data.classes.tolist())
    with np.errstate(all="ignore"):
        return Scoring(kind_of(model), classes).score(predicted(model, rows.X), rows)


@dataclass(frozen=True)
class ClassLine:
    """How well one class is found: rows counts its rows, or adds their weights; precision is nan where no row was
    taken for this class, recall and auc where there is none of it."""

    name: str
    rows: float
    precision: float
    recall: float
    f1: float
    auc: float


@dataclass(frozen=True)
class Score:
    """Metrics of a model and, for comparing two models, the loss of each row (n,), its weight (n,) or None where all
    count alike, and the number (n,) of the part that it is in: its group where rows of a group are alike, or its fold
    in a cross-validation. repeats: a weight of 2 is the row twice. by_class: one line for each class."""

    metrics: dict[str, float]
    losses: Array
    weight: Array | None = None
    repeats: bool = False
    group: NDArray[np.int64] | None = None
    fold: NDArray[np.int64] | None = None
    by_class: tuple[ClassLine, ...] = ()

    @property
    def mean(self) -> float:
        """The mean loss; infinite where any prediction is not a number."""
        return weighted_mean(self.losses, self.weight)


class Difference(NamedTuple):
    """By how much the mean loss of a row is lower with the second of two models, the standard error of that, and the
    ends of its 95 % interval, which only a cross-validation has."""

    gain: float
    error: float
    interval: tuple[float, float] | None = None


def difference(first: Score, second: Score) -> Difference:
    """How the two models compare, row by row.

    The standard error is that of a mean of independent rows, or of independent groups of rows, with the weights of the
    rows. In a cross-validation of K folds the training rows of the folds overlap: the variance of the K differences is
    multiplied by 1/K + 1/(K - 1) instead of 1/K (Nadeau & Bengio, "Inference for the generalization error", Machine
    Learning 52, 2003, section 3; for folds Bouckaert & Frank, PAKDD 2004), and the interval is that of Student's t with
    K - 1 degrees of freedom.
    """
    d = first.losses - second.losses
    with np.errstate(all="ignore"):
        if second.fold is None:
            return Difference(*mean_and_error(d, second.weight, second.repeats, second.group))
        w = np.ones(len(d)) if second.weight is None else second.weight
        return _of_folds(float(w @ d / w.sum()), np.bincount(second.fold, w * d) / np.bincount(second.fold, w))


def mean_and_error(
    values: Array, weight: Array | None = None, repeats: bool = False, group: NDArray[np.int64] | None = None
) -> tuple[float, float]:
    """The mean of values (n,), and its standard error. weight, repeats, group: as in `Score`."""
    if weight is None and group is None:
        return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
    w = np.ones(len(values)) if weight is None else weight
    mean, total = float(w @ values / w.sum()), float(w.sum())
    if repeats and group is None:
        return mean, float(np.sqrt(w @ np.square(values - mean) / (total - 1.0) / total))
    sums = w * (values - mean) if group is None else np.bincount(group, w * (values - mean))
    n = len(values) if group is None else len(np.unique(group))
    return mean, float(np.sqrt(sums @ sums * n / (n - 1.0)) / total)


def _of_folds(gain: float, means: Array) -> Difference:
    from scipy.special import stdtrit

    means, k = means[np.isfinite(means)], len(means)
    error = float(np.sqrt((1.0 / k + 1.0 / (k - 1.0)) * means.var(ddof=1)))
    half = float(stdtrit(k - 1, 0.5 + 0.5 * _COVERAGE)) * error
    return Difference(gain, error, (gain - half, gain + half))


@dataclass(frozen=True, eq=False)
class Scoring:
    """How predictions are scored: the kind of the target, a key of `METRICS`; the classes; the weight that training
    gave to each class (K,), or None; and whether a weight of 2 is the row twice."""

    kind: str
    classes: tuple[object, ...] = ()
    class_weight: Array | None = None
    repeats: bool = False

    def score(self, found: Array, rows: Sample, fold: NDArray[np.int64] | None = None) -> Score:
        """found: predicted numbers (n, 1), or probabilities (n, classes). fold: (n,) the number of each row's fold. Of
        several folds an AUC is the mean of theirs: scores of two models have no common order."""
        y, weight, lines = rows.y, rows.weight, tuple[ClassLine, ...]()
        with np.errstate(all="ignore"):
            if self.kind == "classification":
                metrics = classification_metrics(y, found, weight, self.class_weight)
                each = class_metrics(y, found, weight)
                if fold is not None:
                    areas = _areas_of_folds(found, rows, fold)
                    metrics["auc"] = _mean(areas[1:2] if len(areas) == 2 else areas)
                    each = replace(each, auc=areas)
                lines, weight = self._lines(each), self._with_classes(y, weight)
            else:
                of = count_metrics if self.kind == "counts" else regression_metrics
                metrics = of(y, found.ravel(), weight)
        return Score(metrics, self.losses(found, y), weight, self.repeats, rows.group, fold, lines)

    def losses(self, found: Array, y: TargetValues) -> Array:
        """(n,) the loss of each row, by which models are compared."""
        if self.kind == "classification":
            return log_losses(y, found)
        return (poisson_deviances if self.kind == "counts" else squared_errors)(y, found.ravel())

    def guess(self, training: Sample, rows: Sample) -> Array:
        """The best prediction without any column: the mean, (n, 1), for counts times the exposure, or the share of each
        class, (n, classes)."""
        weight, y = training.weight, training.y
        if self.kind == "classification":
            shares = np.bincount(y, self._with_classes(y, weight), minlength=len(self.classes))
            return np.tile(shares / shares.sum(), (len(rows.y), 1))
        with np.errstate(all="ignore"):
            if training.exposure is None or rows.exposure is None:
                return np.full((len(rows.y), 1), np.average(y, weights=weight))
            w = np.ones(len(y)) if weight is None else weight
            return np.asarray(rows.exposure * (w @ y) / (w @ training.exposure))[:, None]

    def _with_classes(self, y: TargetValues, weight: Array | None) -> Array | None:
        if self.class_weight is None:
            return weight
        own = self.class_weight[y]
        return own if weight is None else own * weight

    def _lines(self, each: ClassMetrics) -> tuple[ClassLine, ...]:
        columns = zip(each.weight, each.precision, each.recall, each.f1, each.auc, strict=True)
        return tuple(
            ClassLine(label(name), *map(float, line)) for name, line in zip(self.classes, columns, strict=True)
        )


def _areas_of_folds(found: Array, rows: Sample, fold: NDArray[np.int64]) -> Array:
    """(classes,) the mean of the areas below the ROC curves of the folds that have rows of the class and of others."""
    parts = []
    for place in range(int(fold.max()) + 1):
        own = fold == place
        parts.append(class_metrics(rows.y[own], found[own], None if rows.weight is None else rows.weight[own]).auc)
    return np.array([_mean(of_class) for of_class in np.array(parts).T])


def _mean(values: Array) -> float:
    """The mean of the values that are there, or nan."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def metric_table(
    kind: str, metrics: dict[str, dict[str, float]], kept: str
) -> tuple[list[str], list[list[str]], int | None]:
    """The header and the rows of the table of metrics, and the number of the row of the model that is kept."""
    shown = {name: (GUESS[kind] if name == BASELINE else name) for name in metrics}
    rows = [
        [shown[name], *(metric_text(key, values[key]) for key, _ in METRICS[kind])] for name, values in metrics.items()
    ]
    return ["", *(title for _, title in METRICS[kind])], rows, list(metrics).index(kept) if kept in metrics else None


def metric_text(key: str, value: float) -> str:
    """A metric as it is shown; a dash where it has no value."""
    return percent(value) if key in _SHARES else number(value)


def class_table(lines: Sequence[ClassLine], most: int, weighted: bool = False) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of the table of classes, of many the `most` with most rows. weighted: not the rows of a
    class are counted, but their weights are added."""
    shown = sorted(sorted(lines, key=lambda line: -line.rows)[:most], key=lines.index)
    header = ["class", "weight" if weighted else "rows", "precision", "recall", "F1", "AUC"]
    rows = [
        [line.name, f"{line.rows:,.6g}", *map(percent, (line.precision, line.recall, line.f1)), number(line.auc)]
        for line in shown
    ]
    if len(lines) > most:
        rows.append([f"and {len(lines) - most:,} more", *[""] * 5])
    return header, rows
