"""The regression suite of Hernandez-Lobato and Adams (2015), on the published splits."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import partial

import numpy as np
from contenders import PEER_REGRESSORS, REGRESSORS, SLOW_PEER_REGRESSORS, Contender
from halves import DEVELOPMENT_REGRESSION, VALIDATION_REGRESSION
from held_out import ended, regressed
from library import certified
from results import Record, Results, versions
from tables import aligned

REGRESSION = (*DEVELOPMENT_REGRESSION, *VALIDATION_REGRESSION)
# What least squares reaches on these splits: a harness that gives anything else is wrong.
LEAST_SQUARES = {"yacht": 8.970, "concrete": 10.314, "wine": 0.654, "power": 4.613}
SPLITS = dict.fromkeys(REGRESSION, 20) | {"protein": 5}
# Of the libraries that take long.
SLOW_SPLITS = 3


# --- Running ---


def run_regression(results: Results) -> None:
    _run(results, REGRESSORS, DEVELOPMENT_REGRESSION)


def run_regression_validation(results: Results) -> None:
    _run(results, REGRESSORS, VALIDATION_REGRESSION)


def run_regression_peers(results: Results) -> None:
    _run(results, PEER_REGRESSORS, REGRESSION)


def run_regression_slow_peers(results: Results) -> None:
    """The first splits alone, and one library after the other."""
    for who in SLOW_PEER_REGRESSORS:
        _run(results, (who,), REGRESSION, SLOW_SPLITS)


def _run(
    results: Results, contenders: Sequence[Contender], names: Sequence[str], most: int = max(SPLITS.values())
) -> None:
    """The first split of every set before the second of any, so that a run that ends early has seen all sets."""
    for number in range(most):
        for name in names:
            if number < SPLITS[name]:
                X, y, splits = certified.regression_set(name)
                train, test = splits[number]
                for who in contenders:
                    if who.runs(name, number):
                        rows = X[train], y[train], X[test], y[test]
                        compute = partial(regressed, partial(who.make, X.shape[1]), *rows)
                        results.add(f"{name}/{who.name}/{number}", compute, made_by=who.made_by)


# --- The section of the page ---


def regression_section(results: Results, peers: Results) -> str:
    return "\n\n".join(
        [
            "## UCI regression, published splits",
            "The splits of Hernandez-Lobato and Adams: newtron's estimators with their defaults, nothing tuned "
            "for a set, and other libraries at theirs, run by the same script on the same rows (MLPRegressor and "
            "the Gaussian process on standardised inputs and targets; the process with a length for each column "
            "and noise, learned from the marginal likelihood). Mean ± standard error over the splits (20, of protein "
            "5), or over the first so many where a cell says so. Development sets: "
            f"{', '.join(DEVELOPMENT_REGRESSION)}; validation sets: {', '.join(VALIDATION_REGRESSION)}. The column V "
            "of power repeats (634 values in 9,568 rows); the mixed models take it as groups. The published rows are "
            "as their sources give them; their ± "
            "are standard errors in some and standard deviations in others, and not all of them used the same "
            "splits."
            " " + _harness(peers) + f" Versions: {', '.join(versions(peers))}.",
            "Test RMSE in the units of the target:",
            _table(results, peers, "rmse", "RMSE"),
            _lowest(results, peers),
            "RMSE of newtron's default divided by that of each library, geometric mean over the splits that both have "
            "run, of which there are so many; below 1, newtron is better:",
            _ratios(results, peers),
            "Negative log-likelihood of the test rows, for what predicts a distribution:",
            _table(results, peers, "nll", "NLL"),
            "newtron's default beside the best published value; as good is what rounds to the published digits:",
            _verdicts(results),
            "Share of the test rows inside the 90 % intervals:",
            _coverage(results, peers),
            "The score of these intervals (Gneiting and Raftery 2007): their mean width, plus 20 times how far a test "
            "row lies outside; the lower, the better:",
            _table(results, peers, "interval_score", None),
            "CPU seconds per fit on one thread, median over the splits, and members that converged to an optimum:",
            _cost(results, peers),
        ]
    )


def _records(results: Results, peers: Results, who: Contender, name: str) -> list[Record]:
    return (results if who in REGRESSORS else peers).under(f"{name}/{who.name}")


def _contenders() -> list[tuple[str, Contender]]:
    """The networks first."""
    own = [(f"newtron {who.name}", who) for who in reversed(REGRESSORS)]
    return own + [(who.name, who) for who in (*PEER_REGRESSORS, *SLOW_PEER_REGRESSORS)]


def _table(results: Results, peers: Results, key: str, metric: str | None) -> str:
    """metric: what others published of it."""
    rows = []
    for words, who in _contenders():
        by_set = [[r for r in _records(results, peers, who, name) if key in r] for name in REGRESSION]
        if any(by_set):
            cells = [_cell(records, key, SPLITS[name]) for records, name in zip(by_set, REGRESSION, strict=True)]
            rows.append([words, *cells, "here"])
    for (method, source), of_set in _published(metric).items() if metric else ():
        cells = [f"{of_set[name][0]} ± {of_set[name][1]}" if name in of_set else "" for name in REGRESSION]
        rows.append([method, *cells, source])
    return aligned(["method", *REGRESSION, "source"], rows)


def _cell(records: list[Record], key: str, splits: int) -> str:
    if not records:
        return "-"
    reached = "" if len(records) == splits else f" ({len(records)})"
    return _with_error([r[key] for r in records]) + reached


def _with_error(values: list[float]) -> str:
    digits = 4 if abs(np.mean(values)) < 0.1 else 3
    mean = f"{np.mean(values):.{digits}f}"
    return f"{mean} ± {np.std(values, ddof=1) / len(values) ** 0.5:.{digits}f}" if len(values) > 1 else mean


def _lowest(results: Results, peers: Results) -> str:
    """Who had the lowest RMSE on the splits that newtron's networks ran, of all that ran these."""
    found = []
    for name in REGRESSION:
        by = {words: _records(results, peers, who, name) for words, who in _contenders()}
        most = len(_records(results, peers, REGRESSORS[-1], name))
        # The records of a set come in the order of its splits.
        ran = {words: records[:most] for words, records in by.items() if most and len(records) >= most}
        if ran:
            means = {words: float(np.mean([r["rmse"] for r in records])) for words, records in ran.items()}
            found.append(f"{min(means, key=lambda words: means[words])} ({name}, {most} splits)")
    return f"The lowest of those that ran here, on the same splits: {', '.join(found) or 'none yet'}."


def _ratios(results: Results, peers: Results) -> str:
    rows = []
    for words, who in _contenders()[len(REGRESSORS) :]:
        cells = []
        for name in REGRESSION:
            pairs = list(
                zip(results.under(f"{name}/{REGRESSORS[-1].name}"), _records(results, peers, who, name), strict=False)
            )
            ratio = np.exp(np.mean([np.log(own["rmse"] / its["rmse"]) for own, its in pairs])) if pairs else 1.0
            cells.append(f"{ratio:.3f} ({len(pairs)})" if pairs else "-")
        if set(cells) != {"-"}:
            rows.append([words, *cells])
    return aligned(["library", *REGRESSION], rows)


def _verdicts(results: Results) -> str:
    rows = []
    for name in REGRESSION:
        records = results.under(f"{name}/{REGRESSORS[-1].name}")
        for metric, key in (("RMSE", "rmse"), ("NLL", "nll")):
            if not records:
                continue
            values = sorted(
                (float(by[name][0]), method) for (method, _), by in _published(metric).items() if name in by
            )
            bar, method = values[0]
            mean = float(np.mean([r[key] for r in records]))
            verdict = "better" if mean < bar else "as good" if round(mean, 2) <= bar else "worse"
            rows.append([name, metric, f"{mean:.3f}", f"{bar:.2f}", method, verdict])
    return aligned(["set", "measure", "newtron", "published", "by", "newtron is"], rows, 2)


def _coverage(results: Results, peers: Results) -> str:
    rows = []
    for words, who in _contenders():
        by_set = [[r for r in _records(results, peers, who, name) if "covered" in r] for name in REGRESSION]
        if any(by_set):
            cells = [f"{100 * np.mean([r['covered'] for r in rs]):.1f} %" if rs else "-" for rs in by_set]
            means = [np.mean([r["covered"] for r in rs]) for rs in by_set if rs]
            rows.append([words, *cells, f"{100 * np.mean(means):.1f} %"])
    return aligned(["method", *REGRESSION, "mean"], rows)


def _cost(results: Results, peers: Results) -> str:
    rows = []
    for words, who in _contenders():
        by_set = [_records(results, peers, who, name) for name in REGRESSION]
        cells = [f"{np.median([r['cpu'] for r in rs]):.2g}" if rs else "-" for rs in by_set]
        if not any(by_set):
            continue
        own = [record for rs in by_set for record in rs] if who in REGRESSORS else []
        rows.append([words, *cells, ended(own) if own else ""])
    return aligned(["method", *REGRESSION, "converged"], rows)


def _harness(peers: Results) -> str:
    """What least squares must give, and whether it does."""
    wrong = []
    for name, right in LEAST_SQUARES.items():
        records = peers.under(f"{name}/least squares")
        if len(records) == SPLITS[name] and abs(np.mean([r["rmse"] for r in records]) - right) > 6e-4:
            wrong.append(name)
    values = ", ".join(f"{value:.3f} ({name})" for name, value in LEAST_SQUARES.items())
    verdict = f"it does not on {', '.join(wrong)}: **the harness is wrong**" if wrong else "it does where all are run"
    return f"Least squares must give {values}, or the harness is wrong: {verdict}."


def _published(metric: str) -> dict[tuple[str, str], dict[str, tuple[str, str]]]:
    found: dict[tuple[str, str], dict[str, tuple[str, str]]] = {}
    file = certified.SHARED / "uci_regression" / "published_rmse_nll.csv"
    with file.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if row["metric"] == metric:
                found.setdefault((row["method"], row["source"]), {})[row["dataset"]] = (row["mean"], row["pm"])
    return found
