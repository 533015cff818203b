"""The classification suite of Fernandez-Delgado et al. (2014), on the published folds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from contenders import CLASSIFIERS, PEER_CLASSIFIERS, Contender
from held_out import calibration_error, classified, ended
from library import certified
from results import Record, Results
from tables import aligned

FOLDS = 4
# Measures whose best is the smallest.
_MEASURES = {"log_loss": "log loss", "calibration": "calibration error"}


def classification_sets() -> list[str]:
    """The names, small sets first."""
    index = json.loads((certified.SHARED / "uci121" / "index.json").read_text(encoding="utf-8"))
    return sorted(_published(), key=lambda name: index[name]["n"] * index[name]["classes"])


def _published() -> dict[str, dict[str, float]]:
    file = certified.SHARED / "uci121" / "published_accuracy_same_folds.json"
    return dict(json.loads(file.read_text(encoding="utf-8")))


def run_classification(results: Results) -> None:
    _run(results, CLASSIFIERS)


def run_classification_peers(results: Results) -> None:
    _run(results, PEER_CLASSIFIERS)


def _run(results: Results, contenders: Sequence[Contender]) -> None:
    for name in classification_sets():
        X, y, folds = certified.classification_set(name)
        y = np.unique(y, return_inverse=True)[1]
        for number, (train, test) in enumerate(folds):
            for who in contenders:
                if who.made_by != "":
                    rows = X[train], y[train], X[test], y[test]
                    compute = partial(classified, partial(who.make, X.shape[1]), *rows)
                    results.add(f"{name}/{who.name}/{number}", compute, made_by=who.made_by)


def classification_section(results: Results, peers: Results) -> str:
    found = _found(results, peers)
    ours, others = [who.name for who in reversed(CLASSIFIERS)], [who.name for who in PEER_CLASSIFIERS]
    # A set counts in the means when newtron's networks are through with it; a peer is compared where it is, too.
    whole = [name for name in sorted(found) if _folds(found[name], ours) == FOLDS]
    shared = [name for name in whole if _folds(found[name], ours + others) == FOLDS]
    missing = [name for name in sorted(_published()) if name not in whole]
    note = f" Not all folds run yet: {', '.join(missing)}." if missing else ""
    return "\n\n".join(
        [
            "## UCI classification, published folds",
            "Twenty sets, the four folds of Fernandez-Delgado et al.: newtron's estimators with their defaults, "
            "nothing tuned for a set, and other libraries at theirs, run by the same script on the same rows "
            "(logistic regression and MLPClassifier on standardised inputs). Log loss is that of the test rows, "
            "with probabilities held above 1e-6; the calibration error is the expected one of the most probable "
            "class, ten bins over the test rows of all folds; CPU seconds are those of one fit, on one thread." + note,
            f"Means over the {len(shared)} sets that all have run, ranks in brackets (1 is the best of a set):",
            _summary(found, shared, ours + others),
            "Accuracy in percent beside five methods published for the same folds (the published least squares, "
            "RLS_linear, has no intercept), mean over the folds; the best of a set is bold:",
            _beside_published(found, whole, ours),
            "Accuracy in percent beside the libraries:",
            _grid(found, ours + others, "accuracy"),
            "Log loss:",
            _grid(found, ours + others, "log_loss"),
            "CPU seconds per fit, median over the folds, and how many members of newtron's converged to an optimum. "
            "A perceptron without a penalty does not converge where classes are separated, and says so; training in "
            "batches, which large networks get, ends by a rule:",
            _cost(found, ours, others),
        ]
    )


_Found = dict[str, dict[str, list[Record]]]


def _found(results: Results, peers: Results) -> _Found:
    """Records of each set and contender."""
    found: _Found = {}
    for name in classification_sets():
        of_set = {who.name: results.under(f"{name}/{who.name}") for who in CLASSIFIERS}
        of_set |= {who.name: peers.under(f"{name}/{who.name}") for who in PEER_CLASSIFIERS}
        if any(of_set.values()):
            found[name] = of_set
    return found


def _folds(of_set: dict[str, list[Record]], names: Sequence[str]) -> int:
    return min(len(of_set[name]) for name in names)


def _measured(records: list[Record], measure: str) -> float:
    if measure == "calibration":
        return calibration_error(records)
    if measure == "cpu":
        return float(np.median([record["cpu"] for record in records]))
    return float(np.mean([record[measure] for record in records]))


def _ranks(table: Any) -> Any:
    """Mean rank of each column of (sets, methods) whose smallest numbers are the best; ties share theirs."""
    return np.mean([[1 + np.sum(row < v) + (np.sum(row == v) - 1) / 2 for v in row] for row in table], axis=0)


def _summary(found: _Found, sets: list[str], names: list[str]) -> str:
    if not sets:
        return "None yet."
    columns = {}
    for measure in ("accuracy", "log_loss", "calibration", "cpu"):
        table = np.array([[_measured(found[name][who], measure) for who in names] for name in sets])
        sign = -1.0 if measure == "accuracy" else 1.0
        columns[measure] = (table.mean(axis=0), _ranks(sign * table), np.median(table, axis=0))
    rows = []
    for number, who in enumerate(names):
        accuracy, loss, error = (columns[m] for m in ("accuracy", "log_loss", "calibration"))
        rows.append(
            [
                _named(who),
                f"{100 * accuracy[0][number]:.2f} ({accuracy[1][number]:.2f})",
                f"{loss[0][number]:.4f} ({loss[1][number]:.2f})",
                f"{error[0][number]:.4f} ({error[1][number]:.2f})",
                f"{columns['cpu'][2][number]:.2g}",
            ]
        )
    return aligned(["method", "accuracy %", "log loss", "calibration error", "CPU s (median set)"], rows)


def _named(who: str) -> str:
    return f"newtron {who}" if who in {ours.name for ours in CLASSIFIERS} else who


def _beside_published(found: _Found, whole: list[str], ours: list[str]) -> str:
    published = _published()
    methods = list(next(iter(published.values())))
    rows, values = [], []
    for name in whole:
        own = [_measured(found[name][who], "accuracy") for who in ours]
        values.append(own + [published[name][method] for method in methods])
        rows.append([name, *_bold(values[-1], max(values[-1]), lambda a: f"{100 * a:.1f}")])
    if values:
        table = np.array(values)
        rows.append([f"mean of {len(values)} sets", *(f"{100 * a:.2f}" for a in table.mean(axis=0))])
        rows.append(["mean rank", *(f"{rank:.2f}" for rank in _ranks(-table))])
    return aligned(["set", *ours, *methods], rows)


def _bold(values: Sequence[float], best: float, words: Any) -> list[str]:
    return [f"**{words(v)}**" if words(v) == words(best) else words(v) for v in values]


def _grid(found: _Found, names: list[str], measure: str) -> str:
    """A table of sets and methods; the best of a set is bold where all have run."""
    accuracy = measure == "accuracy"
    words = (lambda v: f"{100 * v:.1f}") if accuracy else (lambda v: f"{v:.3f}")
    rows = []
    for name in sorted(found):
        known = [_measured(r, measure) if (r := found[name][who]) else None for who in names]
        values = [v for v in known if v is not None]
        best = max(values) if accuracy else min(values)
        cells = ["-" if v is None else _bold([v], best, words)[0] for v in known]
        partial_runs = {who: len(found[name][who]) for who in names if 0 < len(found[name][who]) < FOLDS}
        rows.append([name, *(c + (" *" if who in partial_runs else "") for who, c in zip(names, cells, strict=True))])
    starred = any(cell.endswith(" *") for row in rows for cell in row[1:])
    table = aligned(["set", *names], rows)
    return table + ("\n\n\\* not all folds" if starred else "")


def _cost(found: _Found, ours: list[str], others: list[str]) -> str:
    rows = []
    for name in sorted(found):
        of_set = found[name]
        cells = [f"{_measured(of_set[who], 'cpu'):.2g}" if of_set[who] else "-" for who in ours + others]
        rows.append([name, *cells, *(ended(of_set[who]) for who in ours)])
    return aligned(["set", *ours, *others, *(f"{who[:10]} converged" for who in ours)], rows)
