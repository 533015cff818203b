"""The regression suite of Hernandez-Lobato and Adams (2015), on the published splits."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from contenders import PEER_REGRESSORS, REGRESSORS, SLOW_PEER_REGRESSORS, Contender
from halves import DEVELOPMENT_REGRESSION, VALIDATION_REGRESSION
from held_out import ended, regressed
from jobs import Job
from library import certified
from paired import half_width
from results import Record, Results, versions
from tables import aligned

REGRESSION = (*DEVELOPMENT_REGRESSION, *VALIDATION_REGRESSION)
# What least squares reaches on these splits: a harness that gives anything else is wrong.
LEAST_SQUARES = {"yacht": 8.970, "concrete": 10.314, "wine": 0.654, "power": 4.613}
SPLITS = dict.fromkeys(REGRESSION, 20) | {"protein": 5}
# The shares of the splits that are run by the end of each round.
ROUNDS = (0.05, 0.25, 0.5, 1.0)
NETWORK = REGRESSORS[-1].name
OTHERS = [who.name for who in (*PEER_REGRESSORS, *SLOW_PEER_REGRESSORS)]
# A tenth of the rows is tested on.
TEST_BY_TRAIN = 1.0 / 9.0
# Of the libraries that take long.
SLOW_SPLITS = 3


# --- Running ---


def regression_jobs() -> Iterator[Job]:
    return _jobs(REGRESSORS, DEVELOPMENT_REGRESSION)


def regression_validation_jobs() -> Iterator[Job]:
    return _jobs(REGRESSORS, VALIDATION_REGRESSION)


def regression_peers_jobs() -> Iterator[Job]:
    return _jobs(PEER_REGRESSORS, REGRESSION)


def regression_slow_peers_jobs() -> Iterator[Job]:
    """The first splits alone."""
    return _jobs(SLOW_PEER_REGRESSORS, REGRESSION, SLOW_SPLITS)


def _jobs(contenders: Sequence[Contender], names: Sequence[str], most: int = max(SPLITS.values())) -> Iterator[Job]:
    """Every round takes the splits on to a further share of them. Perceptrons may wait."""
    for name in names:
        ends = np.ceil(np.array(ROUNDS) * SPLITS[name])
        for number in range(min(most, SPLITS[name])):
            for who in contenders:
                if who.runs(name, number):
                    compute = partial(_of_split, name, who.name, number)
                    may_wait = who.package == "newtron" and who.name != NETWORK
                    round = int(np.searchsorted(ends, number, side="right"))
                    yield Job(f"{name}/{who.name}/{number}", compute, round, may_wait, who.made_by)


def _of_split(name: str, who: str, number: int) -> Record:
    X, y, splits = certified.regression_set(name)
    train, test = splits[number]
    (contender,) = (each for each in (*REGRESSORS, *PEER_REGRESSORS, *SLOW_PEER_REGRESSORS) if each.name == who)
    return regressed(partial(contender.make, X.shape[1]), X[train], y[train], X[test], y[test])


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
            "of power repeats (634 values in 9,568 rows); the mixed models take it as groups. GPBoost's default of 100 "
            "rounds is too few there; that of 1,000 rounds, chosen on rows held out inside training rows, is the one "
            "row here of settings that are not defaults. The published rows are as their sources give them; their ± "
            "are standard errors in some and standard deviations in others, and not all of them used the same "
            "splits. " + _copies() + " " + _harness(peers) + f" Versions: {', '.join(versions(peers))}.",
            "Test RMSE in the units of the target:",
            _table(results, peers, "rmse", "RMSE"),
            _lowest(results, peers),
            "RMSE of newtron's default divided by that of each library, geometric mean over the splits that both have "
            "run, of which there are so many, and its 95 % interval (Student's t, the variance corrected for splits "
            "that share rows by Nadeau and Bengio 2003); below 1, newtron is better:",
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


def copied(name: str) -> float:
    """The share of test rows that equal a training row, target included: the mean over the splits."""
    X, y, splits = certified.regression_set(name)
    row = np.unique(np.column_stack([X, y]), axis=0, return_inverse=True)[1].ravel()
    return float(np.mean([np.isin(row[test], row[train]).mean() for train, test in splits]))


def _copies() -> str:
    shares = {name: copied(name) for name in REGRESSION}
    words = ", ".join(f"{100 * share:.1f} % ({name})" for name, share in shares.items() if share > 0.0)
    return (
        f"Test rows that equal a training row, target included, which methods that remember rows can repeat: {words}."
    )


def _records(results: Results, peers: Results, who: Contender, name: str) -> dict[int, Record]:
    """By the number of the split."""
    return (results if who in REGRESSORS else peers).numbered(f"{name}/{who.name}")


def _contenders() -> list[tuple[str, Contender]]:
    """The networks first."""
    own = [(f"newtron {who.name}", who) for who in reversed(REGRESSORS)]
    return own + [(who.name, who) for who in (*PEER_REGRESSORS, *SLOW_PEER_REGRESSORS)]


def _table(results: Results, peers: Results, key: str, metric: str | None) -> str:
    """metric: what others published of it."""
    rows = []
    for words, who in _contenders():
        by_set = [[r for r in _records(results, peers, who, name).values() if key in r] for name in REGRESSION]
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
        splits = list(results.numbered(f"{name}/{NETWORK}"))
        by = {words: _records(results, peers, who, name) for words, who in _contenders()}
        means = {
            words: float(np.mean([records[number]["rmse"] for number in splits]))
            for words, records in by.items()
            if splits and set(splits) <= set(records)
        }
        if means:
            found.append(f"{min(means, key=lambda words: means[words])} ({name}, {_counted(splits)})")
    return f"The lowest of those that ran here, on the same splits: {', '.join(found) or 'none yet'}."


def _counted(splits: Sequence[int]) -> str:
    return f"{len(splits)} split{'s' * (len(splits) != 1)}"


def log_ratios(results: Results, peers: Results, who: str, name: str) -> list[float]:
    """Of each split of a set that both have run the logarithm of newtron's RMSE over that of another."""
    ours, its = results.numbered(f"{name}/{NETWORK}"), peers.numbered(f"{name}/{who}")
    return [float(np.log(ours[number]["rmse"] / its[number]["rmse"])) for number in ours if number in its]


def _ratios(results: Results, peers: Results) -> str:
    rows = []
    for words, who in _contenders()[len(REGRESSORS) :]:
        cells = [ratio_words(log_ratios(results, peers, who.name, name)) for name in REGRESSION]
        if set(cells) != {"-"}:
            rows.append([words, *cells])
    return aligned(["library", *REGRESSION], rows)


def ratio_words(logs: Sequence[float]) -> str:
    """'0.97, 0.93 to 1.01 (20)': the geometric mean, its 95 % interval, and of how many splits it is."""
    if not logs:
        return "-"
    mean, half = float(np.mean(logs)), half_width(logs, shared=TEST_BY_TRAIN)
    interval = f", {np.exp(mean - half):.2f} to {np.exp(mean + half):.2f}" if np.isfinite(half) else ""
    return f"{np.exp(mean):.3f}{interval} ({len(logs)})"


def _verdicts(results: Results) -> str:
    rows = []
    for name in REGRESSION:
        records = list(results.numbered(f"{name}/{NETWORK}").values())
        for metric, key in (("RMSE", "rmse"), ("NLL", "nll")):
            if not records:
                continue
            values = sorted(
                (float(by[name][0]), method) for (method, _), by in _published(metric).items() if name in by
            )
            bar, method = values[0]
            mean = float(np.mean([r[key] for r in records]))
            verdict = "better" if mean < bar else "as good" if round(mean, 2) <= bar else "worse"
            rows.append([name, metric, f"{mean:.3f} ({len(records)})", f"{bar:.2f}", method, verdict])
    return aligned(["set", "measure", "newtron (splits)", "published", "by", "newtron is"], rows, 2)


def _coverage(results: Results, peers: Results) -> str:
    rows = []
    for words, who in _contenders():
        by_set = [[r for r in _records(results, peers, who, name).values() if "covered" in r] for name in REGRESSION]
        if any(by_set):
            cells = [f"{100 * np.mean([r['covered'] for r in rs]):.1f} %" if rs else "-" for rs in by_set]
            means = [np.mean([r["covered"] for r in rs]) for rs in by_set if rs]
            rows.append([words, *cells, f"{100 * np.mean(means):.1f} %"])
    return aligned(["method", *REGRESSION, "mean"], rows)


def _cost(results: Results, peers: Results) -> str:
    rows = []
    for words, who in _contenders():
        by_set = [list(_records(results, peers, who, name).values()) for name in REGRESSION]
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
