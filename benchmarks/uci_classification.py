"""The classification suite of Fernandez-Delgado et al. (2014), on the published folds, in a development and a
validation half."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from contenders import CLASSIFIERS, PEER_CLASSIFIERS, SLOW_PEER_CLASSIFIERS, Contender
from halves import DEVELOPMENT, FURTHER, REPORTED_BEFORE, SEEN, VALIDATION
from held_out import calibration_error, classified, ended
from library import certified
from results import Record, Results
from tables import aligned

FOLDS = 4
NETWORK = CLASSIFIERS[-1].name
Size = tuple[int, int, int]


# --- Running ---


def set_sizes() -> dict[str, tuple[int, int, int]]:
    """Rows, columns and classes of every set, small sets first."""
    index = json.loads((certified.SHARED / "uci121" / "index.json").read_text(encoding="utf-8"))
    sizes = {name: (of["n"] + of["n_test"], of["d"], of["classes"]) for name, of in index.items()}
    known = sorted((name for name in (*SEEN, *FURTHER) if name in sizes), key=lambda name: np.prod(sizes[name]))
    return {name: sizes[name] for name in known}


def run_classification(results: Results) -> None:
    _run(results, CLASSIFIERS, DEVELOPMENT)


def run_classification_validation(results: Results) -> None:
    _run(results, CLASSIFIERS, VALIDATION)


def run_classification_peers(results: Results) -> None:
    _run(results, PEER_CLASSIFIERS, (*DEVELOPMENT, *VALIDATION))


def run_classification_slow_peers(results: Results) -> None:
    """The first fold alone, and one library after the other."""
    for who in SLOW_PEER_CLASSIFIERS:
        _run(results, (who,), (*DEVELOPMENT, *VALIDATION), folds=1)


def _run(results: Results, contenders: Sequence[Contender], names: Sequence[str], folds: int = FOLDS) -> None:
    """The first fold of every set before the second of any, so that a run that ends early has seen all sets."""
    for number in range(folds):
        for name in (each for each in set_sizes() if each in names):
            X, y, splits = certified.classification_set(name)
            if number < len(splits):
                train, test = splits[number]
                y = np.unique(y, return_inverse=True)[1]
                for who in contenders:
                    if who.runs(name, number):
                        rows = X[train], y[train], X[test], y[test]
                        compute = partial(classified, partial(who.make, X.shape[1]), *rows)
                        results.add(f"{name}/{who.name}/{number}", compute, made_by=who.made_by)


# --- The section of the page ---

# Of each set and contender the records by fold.
_Found = dict[str, dict[str, dict[int, Record]]]


def classification_section(results: Results, peers: Results) -> str:
    found = _found(results, peers)
    ours, others = [who.name for who in reversed(CLASSIFIERS)], [who.name for who in PEER_CLASSIFIERS]
    slow = [who.name for who in SLOW_PEER_CLASSIFIERS]
    return "\n\n".join(
        [
            "## UCI classification, published folds",
            "The folds of Fernandez-Delgado et al. (the fixed test part, where a set has one): newtron's estimators "
            "with their defaults, nothing tuned for a set, and other libraries at theirs, run by the same script on "
            "the same rows (logistic regression and MLPClassifier on standardised inputs). Log loss is that of the "
            "test rows, with probabilities held above 1e-6; the calibration error is the expected one of the most "
            "probable class, ten bins over the test rows of all folds; CPU seconds are those of one fit, on one "
            "thread. A set of the validation half with a dagger (†) is one of those that results of earlier defaults "
            "had been reported of by name before the halves were drawn." + _missing(found, ours + others),
            "Means over the sets, of each on the folds that all of the table have run; ranks in brackets (1 is the "
            "best of a set). Both halves side by side:",
            _summary(found, ours + others),
            f"newtron's {NETWORK} beside each library, on the folds that both have run: means over the sets, "
            "and in how many sets newtron has the lower log loss. CatBoost, RealMLP and TabM take long, so that only "
            "the first fold is run, and of small sets first:",
            _pairs(found, others + slow),
            "Accuracy in percent beside five methods published for the same folds (the published least squares, "
            "RLS_linear, has no intercept), mean over the folds; the best of a set is bold, and only sets of which "
            "newtron has run all folds are shown:",
            _beside_published(found, ours),
            "Accuracy in percent beside the libraries, on the folds that all of the row have run:",
            _grid(found, ours + others, "accuracy"),
            "Log loss:",
            _grid(found, ours + others, "log_loss"),
            "CPU seconds per fit, median over the folds, and how many members of newtron's converged to an optimum. "
            "A perceptron without a penalty does not converge where classes are separated, and says so; training in "
            "batches, which large networks get, ends by a rule:",
            _cost(found, ours, others + slow),
        ]
    )


def _found(results: Results, peers: Results) -> _Found:
    """Development sets first, in both halves by name."""
    found: _Found = {}
    for name in (*sorted(DEVELOPMENT), *sorted(VALIDATION)):
        of_set = {who.name: _by_fold(results, name, who) for who in CLASSIFIERS}
        of_set |= {who.name: _by_fold(peers, name, who) for who in (*PEER_CLASSIFIERS, *SLOW_PEER_CLASSIFIERS)}
        if any(of_set.values()):
            found[name] = of_set
    return found


def _by_fold(results: Results, name: str, who: Contender) -> dict[int, Record]:
    keys = ((number, f"{name}/{who.name}/{number}") for number in range(FOLDS))
    return {number: results[key] for number, key in keys if key in results}


def _missing(found: _Found, names: Sequence[str]) -> str:
    absent = [name for name in (*DEVELOPMENT, *VALIDATION) if not _common(found.get(name, {}), names)]
    return f" Not run by all: {', '.join(sorted(absent))}." if absent else ""


def _common(of_set: dict[str, dict[int, Record]], names: Sequence[str]) -> list[int]:
    """The folds that all of these have run."""
    return sorted(set.intersection(*(set(of_set.get(name, {})) for name in names)))


def _measured(of_set: dict[str, dict[int, Record]], who: str, folds: Sequence[int], measure: str) -> float:
    records = [of_set[who][number] for number in folds]
    if measure == "calibration":
        return calibration_error(records)
    if measure == "cpu":
        return float(np.median([record["cpu"] for record in records]))
    return float(np.mean([record[measure] for record in records]))


def _ranks(table: Any) -> Any:
    """Mean rank of each column of (sets, methods) whose smallest numbers are the best; ties share theirs."""
    return np.mean([[1 + np.sum(row < v) + (np.sum(row == v) - 1) / 2 for v in row] for row in table], axis=0)


def _summary(found: _Found, names: list[str]) -> str:
    """A row for each method; of each half its accuracy, log loss, calibration error and CPU seconds."""
    header, columns = ["method"], [[_named(who) for who in names]]
    halves = {
        "development": DEVELOPMENT,
        "validation": VALIDATION,
        "validation without †": [name for name in VALIDATION if name not in REPORTED_BEFORE],
    }
    for half, of_half in halves.items():
        common = {name: _common(found[name], names) for name in of_half if name in found}
        sets = [name for name, folds in common.items() if folds]
        if not sets:
            continue
        by = {
            measure: np.array([[_measured(found[name], who, common[name], measure) for who in names] for name in sets])
            for measure in ("accuracy", "log_loss", "calibration", "cpu")
        }
        counted = f"{half}, {len(sets)} sets, {sum(map(len, common.values()))} folds"
        header += [f"{counted}: accuracy %", "log loss"]
        columns.append(_with_ranks(100.0 * by["accuracy"], _ranks(-by["accuracy"]), 2))
        columns.append(_with_ranks(by["log_loss"], _ranks(by["log_loss"]), 4))
        if half in ("development", "validation"):
            header += ["calibration error", "CPU s (median set)"]
            columns.append([f"{value:.4f}" for value in by["calibration"].mean(axis=0)])
            columns.append([f"{value:.2g}" for value in np.median(by["cpu"], axis=0)])
    return aligned(header, list(zip(*columns, strict=True))) if len(columns) > 1 else "None yet."


def _with_ranks(table: Any, ranks: Any, digits: int) -> list[str]:
    return [f"{value:.{digits}f} ({rank:.2f})" for value, rank in zip(table.mean(axis=0), ranks, strict=True)]


def _named(who: str) -> str:
    return f"newtron {who}" if who in {ours.name for ours in CLASSIFIERS} else who


def _pairs(found: _Found, others: Sequence[str]) -> str:
    rows = []
    for half, of_half in (("development", DEVELOPMENT), ("validation", VALIDATION)):
        for who in others:
            common = {name: _common(found[name], (NETWORK, who)) for name in of_half if name in found}
            sets = [name for name, folds in common.items() if folds]
            if not sets:
                continue

            def of(name: str, measure: str, sets: list[str] = sets, common: dict[str, list[int]] = common) -> Any:
                return np.array([_measured(found[each], name, common[each], measure) for each in sets])

            cells = [half, who, str(len(sets)), str(sum(map(len, common.values())))]
            cells += [f"{100.0 * of(name, 'accuracy').mean():.2f}" for name in (NETWORK, who)]
            cells += [f"{of(name, 'log_loss').mean():.4f}" for name in (NETWORK, who)]
            cells.append(str(int(np.sum(of(NETWORK, "log_loss") < of(who, "log_loss")))))
            rows.append([*cells, *(f"{np.median(of(name, 'cpu')):.2g}" for name in (NETWORK, who))])
    header = ["half", "library", "sets", "folds", "accuracy %: newtron", "it", "log loss: newtron", "it"]
    return aligned([*header, "newtron lower in", "CPU s: newtron", "it"], rows, 2) if rows else "None yet."


def _beside_published(found: _Found, ours: list[str]) -> str:
    file = certified.SHARED / "uci121" / "published_accuracy_same_folds.json"
    published = json.loads(file.read_text(encoding="utf-8"))
    methods = list(next(iter(published.values())))
    rows = []
    for half, of_half in (("development", DEVELOPMENT), ("validation", VALIDATION)):
        values = []
        for name in sorted(of_half):
            folds = _common(found.get(name, {}), ours)
            if name in published and len(folds) == len(_folds(name)):
                own = [_measured(found[name], who, folds, "accuracy") for who in ours]
                values.append(own + [published[name].get(method, np.nan) for method in methods])
                rows.append([_marked(name), *_bold(values[-1], np.nanmax(values[-1]), lambda a: f"{100 * a:.1f}")])
        if values:
            table: Any = np.array(values)
            means = [f"{100 * a:.2f}" for a in table.mean(axis=0)]
            rows.append([f"**{half}**, mean of {len(values)} sets", *means])
            rows.append([f"**{half}**, mean rank", *(f"{rank:.2f}" for rank in _ranks(-table))])
    return aligned(["set", *ours, *methods], rows) if rows else "None yet."


def _folds(name: str) -> range:
    """The numbers of the published folds of a set."""
    index = json.loads((certified.SHARED / "uci121" / "index.json").read_text(encoding="utf-8"))
    return range(FOLDS if index[name]["protocol"] == "4fold" else 1)


def _marked(name: str) -> str:
    return f"{name} †" if name in REPORTED_BEFORE and name in VALIDATION else name


def _bold(values: Sequence[float], best: float, words: Callable[[float], str]) -> list[str]:
    return [f"**{words(v)}**" if words(v) == words(best) else words(v) for v in values]


def _grid(found: _Found, names: list[str], measure: str) -> str:
    """A table of sets and methods; the best of a set is bold."""
    accuracy = measure == "accuracy"
    rows = []
    for name in found:
        if folds := _common(found[name], names):
            values = [_measured(found[name], who, folds, measure) for who in names]
            best = max(values) if accuracy else min(values)
            cells = _bold(values, best, (lambda v: f"{100 * v:.1f}") if accuracy else (lambda v: f"{v:.3f}"))
            half = "validation" if name in VALIDATION else "development"
            rows.append([_marked(name), half, str(len(folds)), *cells])
    return aligned(["set", "half", "folds", *names], rows, 2) if rows else "None yet."


def _cost(found: _Found, ours: list[str], others: list[str]) -> str:
    rows = []
    sizes = set_sizes()
    for name, of_set in found.items():
        cells = [
            f"{_measured(of_set, who, list(of_set[who]), 'cpu'):.2g}" if of_set[who] else "-" for who in ours + others
        ]
        ends = [ended(list(of_set[who].values())) if of_set[who] else "-" for who in ours]
        rows.append([_marked(name), *(f"{number:,}" for number in sizes[name]), *cells, *ends])
    header = ["set", "rows", "columns", "classes", *ours, *others, *(f"{who[:10]} converged" for who in ours)]
    return aligned(header, rows)
