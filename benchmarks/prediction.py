"""Prediction on rows never trained on: the UCI suites with their published splits, and the census income data."""

from __future__ import annotations

import csv
import json
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from library import certified
from numpy.typing import NDArray
from results import Record, Results
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression
from tables import aligned

from newtron import NetworkClassifier, NetworkRegressor, PerceptronClassifier, PerceptronRegressor
from newtron.parallel import one_blas_thread
from newtron.table import learn_schema, read_table

Array = NDArray[Any]

REGRESSION = ("yacht", "concrete", "wine", "power")
# What least squares reaches on these splits: a harness that gives anything else is wrong.
LEAST_SQUARES = {"yacht": 8.970, "concrete": 10.314, "wine": 0.654, "power": 4.613}
REGRESSORS: dict[str, Callable[[], Any]] = {
    "least squares": LinearRegression,
    "PerceptronRegressor": lambda: PerceptronRegressor(n_jobs=1),
    "fixed network": lambda: NetworkRegressor(hidden=(20,), alpha=0.1, n_starts=3, n_jobs=1),
}
CLASSIFIERS: dict[str, Callable[[], Any]] = {
    "PerceptronClassifier": lambda: PerceptronClassifier(n_jobs=1),
    "fixed network": lambda: NetworkClassifier(hidden=(20,), alpha=1.0, n_starts=3, n_jobs=1),
}
SPLITS, FOLDS = 20, 4
# Errors in percent that adult.names gives for the original split, rows with unknown cells removed.
ADULT_PUBLISHED = {
    "FSS naive Bayes": 14.05,
    "NBTree": 14.10,
    "C4.5-auto": 14.46,
    "IDTM (decision table)": 14.46,
    "HOODG": 14.82,
    "C4.5 rules": 14.94,
    "OC1": 15.04,
    "C4.5": 15.54,
    "Voted ID3 (0.6)": 15.64,
    "CN2": 16.00,
    "Naive Bayes": 16.12,
    "Voted ID3 (0.8)": 16.47,
    "T2": 16.84,
    "1R": 19.54,
    "Nearest neighbour (3)": 20.35,
    "Nearest neighbour (1)": 21.42,
}


def fit(model: Any, X: Array, y: Array) -> Record:
    """Train; the CPU time of it, and how many of the members ended at an optimum or by a rule."""
    with warnings.catch_warnings(), one_blas_thread():
        warnings.simplefilter("ignore", ConvergenceWarning)
        started = time.process_time()
        model.fit(X, y)
        seconds = time.process_time() - started
    statuses = [member.solution.status.name for member in getattr(model, "members_", [])]
    return {"cpu": seconds, "statuses": statuses}


def log_loss(model: Any, X: Array, y: Array) -> float:
    """Mean -log p of the true class, p held above 1e-15; a class never seen in training has p = 0."""
    p = model.predict_proba(X)
    place = np.searchsorted(model.classes_, y).clip(max=len(model.classes_) - 1)
    of_true = np.where(model.classes_[place] == y, p[np.arange(len(y)), place], 0.0)
    return float(-np.mean(np.log(np.maximum(of_true, 1e-15))))


def _ended(records: list[Record]) -> str:
    """'58 of 60': members that converged, of all that were trained."""
    statuses = [status for record in records for status in record["statuses"]]
    return f"{sum(status in ('CONVERGED', 'PRECISION') for status in statuses)} of {len(statuses)}"


def _with_error(values: list[float]) -> str:
    mean = f"{np.mean(values):.3f}"
    return f"{mean} ± {np.std(values, ddof=1) / len(values) ** 0.5:.3f}" if len(values) > 1 else mean


def _reached(done: int, of: int, what: str) -> str:
    return "" if done == of else f" ({done} of {of} {what})"


# --- UCI regression ---


def run_regression(results: Results) -> None:
    for name in REGRESSION:
        X, y, splits = certified.regression_set(name)
        for number, (train, test) in enumerate(splits):
            for who in REGRESSORS:
                rows = X[train], y[train], X[test], y[test]
                results.add(f"{name}/{who}/{number}", partial(_regress, REGRESSORS[who], *rows))


def _regress(make: Callable[[], Any], X: Array, y: Array, X_test: Array, y_test: Array) -> Record:
    model = make()
    record = fit(model, X, y)
    errors = model.predict(X_test) - y_test
    return {"rmse": float(np.sqrt(np.mean(np.square(errors))))} | record


def regression_section(results: Results) -> str:
    table = []
    for who in REGRESSORS:
        rmse = [_rmse_cell(results.under(f"{name}/{who}")) for name in REGRESSION]
        table.append([f"newtron {who}" if who != "least squares" else who, *rmse, "here"])
    published = _published_rmse()
    for (method, source), by_set in published.items():
        cells = [f"{by_set[name][0]} ± {by_set[name][1]}" if name in by_set else "" for name in REGRESSION]
        table.append([method, *cells, source])
    cost = []
    for name in REGRESSION:
        for who in list(REGRESSORS)[1:]:
            records = results.under(f"{name}/{who}")
            if records:
                seconds = [r["cpu"] for r in records]
                spread = f"{min(seconds):.2g} - {max(seconds):.2g}"
                cost.append([name, who, str(len(records)), f"{np.median(seconds):.2g}", spread, _ended(records)])
    return "\n\n".join(
        [
            "## UCI regression, published splits",
            "Test RMSE in the units of the target: mean ± standard error over the 20 splits of Hernandez-Lobato and "
            "Adams, with the default perceptron and with a network of fixed settings, `NetworkRegressor(hidden=(20,), "
            "alpha=0.1, n_starts=3)`: not the default, which chooses shapes and penalties from the data, takes several "
            "times as long and is not in this table yet. The published rows are as their sources give them; their ± "
            "are standard errors in some and standard deviations in others, and not all of them used the same splits. "
            + _harness(results),
            aligned(["method", *REGRESSION, "source"], table),
            "CPU seconds per fit on one thread, and members that converged to an optimum:",
            aligned(["set", "estimator", "fits", "median CPU s", "least - most", "converged"], cost, 2),
        ]
    )


def _rmse_cell(records: list[Record]) -> str:
    if not records:
        return "not run yet"
    return _with_error([r["rmse"] for r in records]) + _reached(len(records), SPLITS, "splits")


def _harness(results: Results) -> str:
    """What least squares must give, and whether it does."""
    wrong = []
    for name, right in LEAST_SQUARES.items():
        records = results.under(f"{name}/least squares")
        if len(records) == SPLITS and abs(np.mean([r["rmse"] for r in records]) - right) > 6e-4:
            wrong.append(name)
    values = ", ".join(f"{value:.3f} ({name})" for name, value in LEAST_SQUARES.items())
    verdict = f"it does not on {', '.join(wrong)}: **the harness is wrong**" if wrong else "it does where all are run"
    return f"Least squares must give {values}, or the harness is wrong: {verdict}."


def _published_rmse() -> dict[tuple[str, str], dict[str, tuple[str, str]]]:
    found: dict[tuple[str, str], dict[str, tuple[str, str]]] = {}
    file = certified.SHARED / "uci_regression" / "published_rmse_nll.csv"
    with file.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if row["metric"] == "RMSE":
                found.setdefault((row["method"], row["source"]), {})[row["dataset"]] = (row["mean"], row["pm"])
    return found


# --- UCI classification ---


def _classification_sets() -> list[str]:
    """The names, small sets first."""
    index = json.loads((certified.SHARED / "uci121" / "index.json").read_text(encoding="utf-8"))
    return sorted(_published_accuracy(), key=lambda name: index[name]["n"] * index[name]["classes"])


def _published_accuracy() -> dict[str, dict[str, float]]:
    file = certified.SHARED / "uci121" / "published_accuracy_same_folds.json"
    return dict(json.loads(file.read_text(encoding="utf-8")))


def run_classification(results: Results) -> None:
    for name in _classification_sets():
        X, y, folds = certified.classification_set(name)
        for number, (train, test) in enumerate(folds):
            for who in CLASSIFIERS:
                rows = X[train], y[train], X[test], y[test]
                results.add(f"{name}/{who}/{number}", partial(_classify, CLASSIFIERS[who], *rows))


def _classify(make: Callable[[], Any], X: Array, y: Array, X_test: Array, y_test: Array) -> Record:
    model = make()
    record = fit(model, X, y)
    accuracy = float(np.mean(model.predict(X_test) == y_test))
    return {"accuracy": accuracy, "log_loss": log_loss(model, X_test, y_test)} | record


def classification_section(results: Results) -> str:
    published = _published_accuracy()
    methods = list(next(iter(published.values())))
    accuracy, other, done = [], [], []
    for name in sorted(published):
        records = {who: results.under(f"{name}/{who}") for who in CLASSIFIERS}
        folds = min(map(len, records.values()))
        if not folds:
            continue
        ours = [float(np.mean([r["accuracy"] for r in records[who][:folds]])) for who in CLASSIFIERS]
        theirs = [published[name][method] for method in methods]
        if folds == FOLDS:
            done.append(ours + theirs)
        best = max(ours + theirs)
        shown = [f"**{100 * a:.1f}**" if a > best - 5e-4 else f"{100 * a:.1f}" for a in ours + theirs]
        accuracy.append([name + _reached(folds, FOLDS, "folds"), *shown])
        cells = []
        for who in CLASSIFIERS:
            r = records[who]
            cells += [
                f"{np.mean([x['log_loss'] for x in r]):.3f}",
                f"{np.median([x['cpu'] for x in r]):.2g}",
                _ended(r),
            ]
        other.append([name, *cells])
    if done:
        table = np.array(done)
        accuracy.append([f"mean of {len(done)} whole sets", *(f"{100 * a:.1f}" for a in table.mean(axis=0))])
        ranks = np.mean([[1 + np.sum(row > a) + (np.sum(row == a) - 1) / 2 for a in row] for row in table], axis=0)
        accuracy.append(["mean rank", *(f"{rank:.2f}" for rank in ranks)])
    missing = [name for name in sorted(published) if not results.under(f"{name}/fixed network")]
    note = f" Not run yet: {', '.join(missing)}." if missing else ""
    each = [f"{who[:10]} {what}" for who in ("Perceptron", "Network") for what in ("log loss", "CPU s", "converged")]
    return "\n\n".join(
        [
            "## UCI classification, published folds",
            "Accuracy in percent: mean over the four folds of Fernandez-Delgado et al. of the default perceptron and "
            "of a network of fixed settings, `NetworkClassifier(hidden=(20,), alpha=1, n_starts=3)` (not the default, "
            "which chooses shapes and penalties from the data and is not in this table yet; log losses are those of "
            "its probabilities before they get a temperature), "
            "beside five methods on the same folds (the published least squares, RLS_linear, has no intercept). The "
            f"best of each set is bold.{note}",
            aligned(["set", *CLASSIFIERS, *methods], accuracy),
            "Log loss on the test rows (p held above 1e-15), CPU seconds per fit on one thread (median), and members "
            "that converged to an optimum. A perceptron without a penalty does not converge where classes are "
            "separated, and says so; training in batches, which large networks get, ends by a rule.",
            aligned(["set", *each], other),
        ]
    )


# --- census income (adult) ---


def run_adult(results: Results) -> None:
    folder = certified.SHARED / "adult"
    tables = [read_table(folder / f"adult_{part}.csv") for part in ("train", "test")]
    known = [
        t.take(np.flatnonzero([all(c is not None for c in row.values()) for row in t.data.to_pylist()])) for t in tables
    ]
    for rows, (train, test) in (("all", tables), ("known", known)):
        schema = learn_schema(train, "income")
        (y, kept), (y_test, kept_test) = schema.encode_target(train), schema.encode_target(test)
        X, X_test = schema.encode(train).X[kept], schema.encode(test).X[kept_test]
        for who in CLASSIFIERS:
            data = X, y, X_test, y_test
            results.add(f"{rows}/{who}", partial(_adult, CLASSIFIERS[who], *data))


def _adult(make: Callable[[], Any], X: Array, y: Array, X_test: Array, y_test: Array) -> Record:
    record = _classify(make, X, y, X_test, y_test)
    error = 100.0 * (1.0 - record["accuracy"])
    return {"train": len(y), "test": len(y_test), "columns": X.shape[1], "error": error} | record


def adult_section(results: Results) -> str:
    table = []
    for rows, words in (("known", "unknowns removed"), ("all", "all rows")):
        for who in CLASSIFIERS:
            if f"{rows}/{who}" in results:
                r = results[f"{rows}/{who}"]
                counts = [f"{r['train']:,}", f"{r['test']:,}", str(r["columns"])]
                measured = [f"{r['error']:.2f}", f"{r['log_loss']:.4f}", f"{r['cpu']:.2g}"]
                table.append([f"newtron {who}", words, *counts, *measured])
    table += [[who, "unknowns removed", "", "", "", f"{error:.2f}", "", ""] for who, error in ADULT_PUBLISHED.items()]
    header = ["method", "rows", "trained", "tested", "columns", "test error %", "log loss", "CPU s"]
    return "\n\n".join(
        [
            "## Census income (adult)",
            "Test error on the original split. The file goes through `newtron.table` as it is, categories and missing "
            "cells included, and then into the default perceptron and the fixed network; the other rows are the "
            "errors in adult.names, for which rows with unknown cells were removed.",
            aligned(header, table, 2),
        ]
    )
