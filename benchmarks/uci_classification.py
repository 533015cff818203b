"""The classification suite of Fernandez-Delgado et al. (2014), on the published folds, in a development and a
validation half."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from contenders import CLASSIFIERS, PEER_CLASSIFIERS, SLOW_PEER_CLASSIFIERS, Contender
from halves import DEVELOPMENT, FURTHER, REPORTED_BEFORE, SEEN, VALIDATION
from held_out import calibration_error, classified, ended
from jobs import Job
from library import certified
from paired import signed
from results import Record, Results
from tables import aligned

FOLDS = 4
PERCEPTRON, NETWORK = (who.name for who in CLASSIFIERS)
Size = tuple[int, int, int]


# --- Running ---


def set_sizes() -> dict[str, tuple[int, int, int]]:
    """Rows, columns and classes of every set, small sets first."""
    index = json.loads((certified.SHARED / "uci121" / "index.json").read_text(encoding="utf-8"))
    sizes = {name: (of["n"] + of["n_test"], of["d"], of["classes"]) for name, of in index.items()}
    known = sorted((name for name in (*SEEN, *FURTHER) if name in sizes), key=lambda name: np.prod(sizes[name]))
    return {name: sizes[name] for name in known}


def classification_jobs() -> Iterator[Job]:
    return _jobs(CLASSIFIERS, DEVELOPMENT)


def classification_validation_jobs() -> Iterator[Job]:
    return _jobs(CLASSIFIERS, VALIDATION)


def classification_peers_jobs() -> Iterator[Job]:
    return _jobs(PEER_CLASSIFIERS, (*DEVELOPMENT, *VALIDATION))


def classification_slow_peers_jobs() -> Iterator[Job]:
    """The first fold alone."""
    return _jobs(SLOW_PEER_CLASSIFIERS, (*DEVELOPMENT, *VALIDATION), folds=1)


def _jobs(contenders: Sequence[Contender], names: Sequence[str], folds: int = FOLDS) -> Iterator[Job]:
    """Small sets first. A round is a fold. Perceptrons may wait: where classes are separated they take long."""
    for name in (each for each in set_sizes() if each in names):
        for number in range(min(folds, len(_folds(name)))):
            for who in contenders:
                if who.runs(name, number):
                    compute = partial(_of_fold, name, who.name, number)
                    may_wait = who.package == "newtron" and who.name != NETWORK
                    yield Job(f"{name}/{who.name}/{number}", compute, number, may_wait, who.made_by)


def _of_fold(name: str, who: str, number: int) -> Record:
    X, y, splits = certified.classification_set(name)
    train, test = splits[number]
    y = np.unique(y, return_inverse=True)[1]
    (contender,) = (each for each in (*CLASSIFIERS, *PEER_CLASSIFIERS, *SLOW_PEER_CLASSIFIERS) if each.name == who)
    return classified(partial(contender.make, X.shape[1]), X[train], y[train], X[test], y[test])


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
            f"newtron's {NETWORK} beside each library, on the folds that both have run: means over the sets, in how "
            "many sets newtron has the lower log loss, and the mean difference with half of its 95 % interval "
            "(Student's t of the differences by set, folds of a set averaged first). An interval that holds 0 says "
            "that so many sets and folds do not tell the two apart. CatBoost, RealMLP and TabM take long, so that "
            "only the first fold is run, and of small sets first:",
            _pairs_table(_pairs(found, others + slow)),
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
        of_set = {who.name: results.numbered(f"{name}/{who.name}") for who in CLASSIFIERS}
        of_set |= {
            who.name: peers.numbered(f"{name}/{who.name}") for who in (*PEER_CLASSIFIERS, *SLOW_PEER_CLASSIFIERS)
        }
        if any(of_set.values()):
            found[name] = of_set
    return found


def _missing(found: _Found, names: Sequence[str]) -> str:
    absent = [name for name in (*DEVELOPMENT, *VALIDATION) if not _common(found.get(name, {}), names)]
    return f" Not run by all: {', '.join(sorted(absent))}." if absent else ""


def _common(of_set: dict[str, dict[int, Record]], names: Sequence[str]) -> list[int]:
    """The folds that all of these have run; perceptrons, which may wait, may lack some."""
    return sorted(set.intersection(*(set(of_set.get(name, {})) for name in names if name != PERCEPTRON)))


def _has(of_set: dict[str, dict[int, Record]], who: str, folds: Sequence[int]) -> bool:
    return set(folds) <= set(of_set.get(who, {}))


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
        shown = [who for who in names if all(_has(found[name], who, common[name]) for name in sets)]
        by = {
            measure: np.array([[_measured(found[name], who, common[name], measure) for who in shown] for name in sets])
            for measure in ("accuracy", "log_loss", "calibration", "cpu")
        }
        counted = f"{half}, {len(sets)} sets, {sum(map(len, common.values()))} folds"
        header += [f"{counted}: accuracy %", "log loss"]
        cells = [
            _with_ranks(100.0 * by["accuracy"], _ranks(-by["accuracy"]), 2),
            _with_ranks(by["log_loss"], _ranks(by["log_loss"]), 4),
        ]
        if half in ("development", "validation"):
            header += ["calibration error", "CPU s (median set)"]
            cells.append([f"{value:.4f}" for value in by["calibration"].mean(axis=0)])
            cells.append([f"{value:.2g}" for value in np.median(by["cpu"], axis=0)])
        columns += [[dict(zip(shown, column, strict=True)).get(who, "-") for who in names] for column in cells]
    return aligned(header, list(zip(*columns, strict=True))) if len(columns) > 1 else "None yet."


def _with_ranks(table: Any, ranks: Any, digits: int) -> list[str]:
    return [f"{value:.{digits}f} ({rank:.2f})" for value, rank in zip(table.mean(axis=0), ranks, strict=True)]


def _named(who: str) -> str:
    return f"newtron {who}" if who in {ours.name for ours in CLASSIFIERS} else who


@dataclass(frozen=True)
class Pair:
    """newtron's networks beside a library, on the folds that both have run: of each measure two numbers for each set,
    the means over its folds."""

    half: str
    library: str
    folds: int
    sets: tuple[str, ...]
    by_measure: dict[str, tuple[Any, Any]]

    def differences(self, measure: str) -> Any:
        ours, its = self.by_measure[measure]
        return ours - its


def pairs(results: Results, peers: Results) -> list[Pair]:
    return _pairs(_found(results, peers), [who.name for who in (*PEER_CLASSIFIERS, *SLOW_PEER_CLASSIFIERS)])


def _pairs(found: _Found, others: Sequence[str]) -> list[Pair]:
    made = []
    for half, of_half in (("development", DEVELOPMENT), ("validation", VALIDATION)):
        for who in others:
            common = {name: _common(found[name], (NETWORK, who)) for name in of_half if name in found}
            common = {name: folds for name, folds in common.items() if folds}

            def of(name: str, measure: str, common: dict[str, list[int]] = common) -> Any:
                return np.array([_measured(found[each], name, folds, measure) for each, folds in common.items()])

            by_measure = {
                measure: (of(NETWORK, measure), of(who, measure)) for measure in ("accuracy", "log_loss", "cpu")
            }
            if common:
                made.append(Pair(half, who, sum(map(len, common.values())), tuple(common), by_measure))
    return made


def _pairs_table(found: list[Pair]) -> str:
    rows = []
    for pair in found:
        cells = [pair.half, pair.library, str(len(pair.sets)), str(pair.folds)]
        cells += [f"{100.0 * values.mean():.2f}" for values in pair.by_measure["accuracy"]]
        cells.append(signed(100.0 * pair.differences("accuracy"), 2))
        cells += [f"{values.mean():.4f}" for values in pair.by_measure["log_loss"]]
        cells.append(signed(pair.differences("log_loss"), 4))
        cells.append(str(int(np.sum(pair.differences("log_loss") < 0.0))))
        rows.append([*cells, *(f"{np.median(values):.2g}" for values in pair.by_measure["cpu"])])
    header = ["half", "library", "sets", "folds", "accuracy %: newtron", "it", "newtron - it"]
    header += ["log loss: newtron", "it", "newtron - it", "newtron lower in", "CPU s: newtron", "it"]
    return aligned(header, rows, 2) if rows else "None yet."


def _beside_published(found: _Found, ours: list[str]) -> str:
    file = certified.SHARED / "uci121" / "published_accuracy_same_folds.json"
    published = json.loads(file.read_text(encoding="utf-8"))
    methods = list(next(iter(published.values())))
    rows = []
    for half, of_half in (("development", DEVELOPMENT), ("validation", VALIDATION)):
        values = []
        for name in sorted(of_half):
            if name in published and all(_has(found.get(name, {}), who, _folds(name)) for who in ours):
                folds = _folds(name)
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
    shown = ["-" if np.isnan(v) else words(v) for v in values]
    return [f"**{cell}**" if cell == words(best) else cell for cell in shown]


def _grid(found: _Found, names: list[str], measure: str) -> str:
    """A table of sets and methods; the best of a set is bold."""
    accuracy = measure == "accuracy"
    rows = []
    for name in found:
        if folds := _common(found[name], names):
            values = [
                _measured(found[name], who, folds, measure) if _has(found[name], who, folds) else np.nan
                for who in names
            ]
            best = np.nanmax(values) if accuracy else np.nanmin(values)
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
