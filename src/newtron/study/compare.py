"""Comparison of models with each other and with the simplest guess, on rows that none of them was trained on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from newtron.engine.base.codec import from_json
from newtron.engine.base.strict_json import wrong
from newtron.engine.base.words import count, percent, plus_minus, setting
from newtron.study.scores import BASELINE, GUESS, METRICS, QUANTITY, ClassLine, Difference, Score, difference, kind_of
from newtron.training.fitted import FittedModel


@dataclass(frozen=True)
class Verdict:
    """Which model is kept and why. gain: by how much the network's mean loss per row is lower; error: the standard
    error of gain; interval: the ends of its 95 % interval, in a cross-validation; None where there was nothing to
    compare. warnings: the sentences of `why` that a user must not miss. worse: the models that predict no better than
    the simplest guess."""

    kept: str
    why: list[str]
    gain: float | None = None
    error: float | None = None
    interval: tuple[float, float] | None = None
    warnings: list[str] = field(default_factory=list)
    worse: list[str] = field(default_factory=list)


def judge(kind: str, scores: dict[str, Score], remedies: dict[str, str] | None = None) -> Verdict:
    """Decide which model is kept. The network is kept only if it is better by more than one standard error of the
    difference, because a difference that a few rows could reverse does not justify the larger model. kind: of the
    target, a key of `METRICS`. remedies: by model, what a user may do where it predicts no better than the guess."""
    names = [name for name in scores if name != BASELINE]
    if not np.isfinite(scores[BASELINE].mean):
        return Verdict(names[0], [_BEYOND], warnings=[_BEYOND])
    kept, why, gain = _better(kind, scores) if len(names) > 1 else (names[0], [], None)
    worse, warnings, praise = [], [], []
    for name in names:
        better, sentence = _against_guess(kind, scores, name)
        if better is False:
            worse.append(name)
        if better is False or (better is None and name == kept):
            warnings.append(f"{sentence} {(remedies or {}).get(name) or _NO_REMEDY}")
        elif len(names) == 1:
            praise.append(sentence)
    said = [*why, *praise, *warnings]
    if gain is None:
        return Verdict(kept, said, warnings=warnings, worse=worse)
    return Verdict(kept, said, gain.gain, gain.error, gain.interval, warnings, worse)


_BEYOND = (
    "Nothing was compared: squared errors of this target are beyond the range of numbers; divide the target by a "
    "constant."
)
_NO_REMEDY = "The columns may say little about the target, or the rows are too few."


def _better(kind: str, scores: dict[str, Score]) -> tuple[str, list[str], Difference | None]:
    """Which of the two models is kept, why, and by how much the network is better."""
    perceptron, network = scores["perceptron"], scores["network"]
    finite = np.isfinite([perceptron.mean, network.mean])
    if not finite.all():
        kept = "network" if finite[1] else "perceptron"
        other = "perceptron" if kept == "network" else "network"
        return kept, [f"The {kept} is kept: the {other} predicts values that are not numbers."], None
    found = difference(perceptron, network)
    gain, error = found.gain, found.error
    by = _in_words(found)
    kept = "network" if gain > error else "perceptron"
    if abs(gain) > error:
        other = "perceptron" if kept == "network" else "network"
        than = f"than the {other}'s, on rows that neither was trained on"
        why = [f"The {kept} is kept: its {QUANTITY[kind]} is lower by {by} {than}."]
    else:
        why = [f"No clear difference in {QUANTITY[kind]}, {by}, so the perceptron is kept as the simpler model."]
    if kind == "classification":
        wrong = [percent(score.metrics["error_rate"]) for score in (perceptron, network)]
        why.append(
            "Log loss decides because it judges the probabilities and not only the most probable class, which is wrong "
            f"in {wrong[0]} of the rows (perceptron) and {wrong[1]} (network)."
        )
    return kept, why, found


def _in_words(found: Difference) -> str:
    """The size of a difference, with what is known of its error."""
    by = f"{plus_minus(abs(found.gain), found.error)} per row (difference ± standard error"
    if found.interval is None:
        return f"{by})"
    ends = found.interval if found.gain > 0.0 else (-found.interval[1], -found.interval[0])
    low, high = (plus_minus(end, found.error).partition(" ± ")[0] for end in ends)
    return f"{by}; 95 % interval from {low} to {high})"


def _against_guess(kind: str, scores: dict[str, Score], name: str) -> tuple[bool | None, str]:
    """Whether the model is better than the guess (None: better, but not clearly), and a sentence that says so."""
    quantity, guess = QUANTITY[kind], GUESS[kind]
    if not np.isfinite(scores[name].mean):
        return False, f"The {name} predicts values that are not numbers, or too large for its {quantity} to be one."
    found = difference(scores[BASELINE], scores[name])
    gain, error, by = found.gain, found.error, f"{_in_words(found)}."
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
    """What `newtron fit` found out, as it is stored with the model. Nothing in it depends on the machine.

    how: what the models are compared on, as the end of a heading, or "". weighted: whether rows have weights. by_class:
    one line for each class, of the model that is kept. tested: the metrics on the rows of a test file after a
    cross-validation, and tested_on: the end of their heading.
    """

    rows: int
    columns: int
    trained_rows: int
    held_out_rows: int
    seed: int
    refit: bool
    kept: str
    how: str = ""
    weighted: bool = False
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    by_class: list[ClassLine] = field(default_factory=list)
    tested_on: str = ""
    tested: dict[str, dict[str, float]] = field(default_factory=dict)
    gain: float | None = None
    error: float | None = None
    interval: tuple[float, float] | None = None
    why: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def stored_report(value: object, model: FittedModel) -> Report:
    """The report of a model file; an InputError names the field that is not as it must be."""
    report = from_json(value, Report, "report")
    keys = [key for key, _ in METRICS[kind_of(model)]]
    for place, found in (("report.metrics", report.metrics), ("report.tested", report.tested)):
        for name, metrics in found.items():
            if name not in (BASELINE, "perceptron", "network") or list(metrics) != keys:
                raise wrong(place, f"{', '.join(keys)} of each model", found)
    return report
