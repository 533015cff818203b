"""Comparison of models with each other and with the simplest guess, on rows that none of them was trained on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.codec import from_json
from newtron.engine.base.strict_json import wrong
from newtron.engine.base.types import Array
from newtron.engine.base.words import count, number, percent, plus_minus, setting
from newtron.model.predicting import predicted
from newtron.study.sample import Sample, TargetValues
from newtron.training.fitted import FittedModel

BASELINE = "baseline"
METRICS = {
    "regression": (("rmse", "RMSE"), ("mae", "MAE"), ("r2", "R²")),
    "classification": (("log_loss", "log loss"), ("error_rate", "error rate"), ("accuracy", "accuracy")),
}
_QUANTITY = {"regression": "squared error", "classification": "log loss"}
GUESS = {"regression": "mean alone", "classification": "class shares alone"}

# A predicted probability of zero for the observed class would make an infinite loss: it counts as this, a few roundings
# of float64, as in scikit-learn's log loss.
_LEAST = 1e-15


@dataclass(frozen=True)
class Score:
    """Metrics of a model and, for comparing two models, the loss of each row (n,)."""

    metrics: dict[str, float]
    losses: Array

    @property
    def mean(self) -> float:
        """The mean loss; infinite where any prediction is not a number."""
        value = float(np.mean(self.losses))
        return value if np.isfinite(value) else float("inf")


def score_numbers(y: Array, predicted: Array) -> Score:
    """The score of a regression: the loss of a row is its squared error."""
    with np.errstate(all="ignore"):
        errors = y - predicted
        squares = np.square(errors)
        spread = float(np.mean(np.square(y - y.mean())))
        r2 = 1.0 - float(squares.mean()) / spread if spread > 0.0 else float("nan")
        return Score({"rmse": float(np.sqrt(squares.mean())), "mae": float(np.abs(errors).mean()), "r2": r2}, squares)


def score_classes(codes: NDArray[np.int64], probabilities: Array) -> Score:
    """The score of a classification: the loss of a row is -log of the probability of its class."""
    own = probabilities[np.arange(len(codes)), codes]
    losses = -np.log(np.maximum(own, _LEAST))
    wrong = float(np.mean(probabilities.argmax(axis=1) != codes))
    return Score({"log_loss": float(losses.mean()), "error_rate": wrong, "accuracy": 1.0 - wrong}, losses)


def score_model(model: FittedModel, rows: Sample) -> Score:
    """The score of a model's predictions for these rows."""
    with np.errstate(all="ignore"):
        return score_predicted(model.settings.task, predicted(model, rows.X), rows.y)


def score_predicted(task: str, found: Array, y: TargetValues) -> Score:
    """found: predicted numbers (n, 1), or probabilities (n, classes)."""
    with np.errstate(all="ignore"):
        return score_numbers(y, found.ravel()) if task == "regression" else score_classes(y, found)


def score_guess(task: str, y_train: TargetValues, y: TargetValues) -> Score:
    """The score of the best guess without any column: the mean, or the share of each class."""
    if task == "regression":
        with np.errstate(all="ignore"):
            mean = y_train.mean()
        return score_numbers(y, np.full(len(y), mean))
    shares = np.bincount(y_train) / len(y_train)
    return score_classes(y, np.tile(shares, (len(y), 1)))


@dataclass(frozen=True)
class Verdict:
    """Which model is kept and why. gain: by how much the network's mean loss per row is lower; error: the standard
    error of gain; both are None where there was nothing to compare. warnings: the sentences of `why` that a user must
    not miss. worse: the models that predict no better than the simplest guess."""

    kept: str
    why: list[str]
    gain: float | None = None
    error: float | None = None
    warnings: list[str] = field(default_factory=list)
    worse: list[str] = field(default_factory=list)


def judge(task: str, scores: dict[str, Score], remedies: dict[str, str] | None = None) -> Verdict:
    """Decide which model is kept. The network is kept only if it is better by more than one standard error of the
    difference, because a difference that a few rows could reverse does not justify the larger model. remedies: by
    model, what a user may do where it predicts no better than the guess."""
    names = [name for name in scores if name != BASELINE]
    if not np.isfinite(scores[BASELINE].mean):
        return Verdict(names[0], [_BEYOND], warnings=[_BEYOND])
    kept, why, gain, error = _better(task, scores) if len(names) > 1 else (names[0], [], None, None)
    worse, warnings, praise = [], [], []
    for name in names:
        better, sentence = _against_guess(task, scores, name)
        if better is False:
            worse.append(name)
        if better is False or (better is None and name == kept):
            warnings.append(f"{sentence} {(remedies or {}).get(name) or _NO_REMEDY}")
        elif len(names) == 1:
            praise.append(sentence)
    return Verdict(kept, [*why, *praise, *warnings], gain, error, warnings, worse)


_BEYOND = (
    "Nothing was compared: squared errors of this target are beyond the range of numbers; divide the target by a "
    "constant."
)
_NO_REMEDY = "The columns may say little about the target, or the rows are too few."


def _better(task: str, scores: dict[str, Score]) -> tuple[str, list[str], float | None, float | None]:
    """Which of the two models is kept, why, and by how much the network is better, with the error of that."""
    perceptron, network = scores["perceptron"], scores["network"]
    finite = np.isfinite([perceptron.mean, network.mean])
    if not finite.all():
        kept = "network" if finite[1] else "perceptron"
        other = "perceptron" if kept == "network" else "network"
        return kept, [f"The {kept} is kept: the {other} predicts values that are not numbers."], None, None
    gain, error = _paired(perceptron.losses, network.losses)
    by = f"{plus_minus(abs(gain), error)} per row (difference ± standard error)"
    kept = "network" if gain > error else "perceptron"
    if abs(gain) > error:
        other = "perceptron" if kept == "network" else "network"
        than = f"than the {other}'s, on rows that neither was trained on"
        why = [f"The {kept} is kept: its {_QUANTITY[task]} is lower by {by} {than}."]
    else:
        why = [f"No clear difference in {_QUANTITY[task]}, {by}, so the perceptron is kept as the simpler model."]
    if task == "classification":
        wrong = [percent(score.metrics["error_rate"]) for score in (perceptron, network)]
        why.append(
            "Log loss decides because it judges the probabilities and not only the most probable class, which is wrong "
            f"in {wrong[0]} of the rows (perceptron) and {wrong[1]} (network)."
        )
    return kept, why, gain, error


def _paired(first: Array, second: Array) -> tuple[float, float]:
    differences = first - second
    return float(differences.mean()), float(differences.std(ddof=1) / np.sqrt(len(differences)))


def _against_guess(task: str, scores: dict[str, Score], name: str) -> tuple[bool | None, str]:
    """Whether the model is better than the guess (None: better, but not clearly), and a sentence that says so."""
    quantity, guess = _QUANTITY[task], GUESS[task]
    if not np.isfinite(scores[name].mean):
        return False, f"The {name} predicts values that are not numbers, or too large for its {quantity} to be one."
    gain, error = _paired(scores[BASELINE].losses, scores[name].losses)
    by = f"{plus_minus(abs(gain), error)} per row (difference ± standard error)."
    if gain > error:
        return True, f"The {name} predicts better than the {guess}: its {quantity} is lower by {by}"
    how = "predicts worse" if -gain > error else "does not clearly predict better"
    lower = "lower" if gain > 0.0 else "higher"
    return None if gain > 0.0 else False, f"The {name} {how} than the {guess}: its {quantity} is {lower} by {by}"


# A penalty is advised where there are fewer rows for each coefficient than this, the usual rule of thumb.
_ROWS_EACH = 10


def _evidence() -> str:
    return setting("alpha", repr("evidence"))


def _is_free(model: FittedModel) -> bool:
    """Is this a perceptron without any penalty?"""
    return model.is_perceptron and model.settings.alpha == 0.0 and not model.settings.is_firth


def overfitting_warning(model: FittedModel, n_rows: int) -> str:
    """A sentence where a perceptron without a penalty has enough columns to fit every row exactly, else ""."""
    p = model.data.n_features
    if not _is_free(model) or p < n_rows:
        return ""
    return (
        f"The perceptron has {count(p, 'column')}, no fewer than its {count(n_rows, 'row')}, and no penalty: it can "
        f"follow any target of these rows, and what it predicts for others may be far off. {_evidence()} "
        "chooses a penalty from the data."
    )


def remedy(model: FittedModel, n_rows: int) -> str:
    """What a user may do where this model predicts no better than the guess; "" where nothing is known to help."""
    if _is_free(model):
        p = model.coefficients[0].size
        if n_rows >= _ROWS_EACH * p:
            return ""
        return (
            f"It was fitted without a penalty, with {count(p, 'coefficient')} from {count(n_rows, 'row')}: "
            f"{_evidence()} chooses a penalty from the data."
        )
    if model.settings.alpha == "evidence" or model.is_perceptron:
        return ""
    simpler = setting("model", repr("perceptron"))
    return f"{_evidence()} chooses the network's penalty by another rule, and {simpler} fits no network."


@dataclass(frozen=True)
class Report:
    """What `newtron fit` found out, as it is stored with the model. Nothing in it depends on the machine."""

    rows: int
    columns: int
    trained_rows: int
    held_out_rows: int
    seed: int
    refit: bool
    kept: str
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    gain: float | None = None
    error: float | None = None
    why: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def stored_report(value: object, task: str) -> Report:
    """The report of a model file; an InputError names the field that is not as it must be."""
    report = from_json(value, Report, "report")
    keys = [key for key, _ in METRICS[task]]
    for name, metrics in report.metrics.items():
        if name not in (BASELINE, "perceptron", "network") or list(metrics) != keys:
            raise wrong("report.metrics", f"{', '.join(keys)} of each model", report.metrics)
    return report


def metric_table(
    task: str, metrics: dict[str, dict[str, float]], kept: str
) -> tuple[list[str], list[list[str]], int | None]:
    """The header and the rows of the table of metrics, and the number of the row of the model that is kept."""
    shown = {name: (GUESS[task] if name == BASELINE else name) for name in metrics}
    header = ["", *(title for _, title in METRICS[task])]
    rows = []
    for name, values in metrics.items():
        cells = [
            percent(values[key]) if key in ("error_rate", "accuracy") else number(values[key])
            for key, _ in METRICS[task]
        ]
        rows.append([shown[name], *cells])
    return header, rows, list(metrics).index(kept) if kept in metrics else None
