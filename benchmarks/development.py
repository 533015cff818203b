"""Tries settings on rows held out inside the training rows of development sets: for choosing defaults.

    python benchmarks/development.py default "hidden=[(), (10,), (8, 8)]" "combine='mean'" --quick
    python benchmarks/development.py default default@../other-checkout --sets glass flags regression/concrete
    python benchmarks/development.py default my_module:factory "random forest" --suite classification

A setting is `default`, keyword arguments of NetworkClassifier and NetworkRegressor, the name of another library of
contenders.py, or module:factory, a function that makes an untrained model for "classification" or "regression". @ and
the path of another checkout behind it runs it with the sources of that. The settings take turns on every set, each
fit on one thread. Published test rows of the first split are never read: its training rows are divided anew
(halves.py). What was run is kept in build/development, by sources and setting, and not run again.
"""

from __future__ import annotations

import argparse
import fnmatch
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from halves import DEVELOPMENT, DEVELOPMENT_REGRESSION, inner_division
from numpy.typing import NDArray
from tables import ROOT, aligned

Array = NDArray[Any]
Record = dict[str, Any]
Rows = tuple[Array, Array, Array, Array]  # X, y to train on, X, y to test on

# Simulated sets, on which nothing is seen by running them: the function of scikit-learn, rows, standard deviation of
# the noise.
SIMULATED = {
    "friedman1": ("make_friedman1", 200, 1.0),
    "friedman2": ("make_friedman2", 300, 100.0),
    "friedman3": ("make_friedman3", 200, 0.1),
}
NEW_ROWS = 2000
# Ten small sets: few rows, many classes, many columns, steps and codes, and two regressions.
QUICK = (
    "breast-tissue", "ecoli", "flags", "glass", "haberman-survival", "heart-hungarian", "parkinsons", "wine",
    "regression/friedman2", "regression/yacht",
)  # fmt: skip
CLASSIFICATION_COLUMNS = {
    "accuracy": "accuracy %", "log_loss": "log loss", "promised": "promised", "gap": "test - promised", "cpu": "CPU s",
}  # fmt: skip
REGRESSION_COLUMNS = {
    "rmse": "RMSE", "nll": "NLL", "covered": "in 90 % intervals", "promised": "promised", "gap": "test - promised",
    "cpu": "CPU s",
}  # fmt: skip


def every_set() -> list[str]:
    """The names; those of regressions begin with regression/."""
    return [*DEVELOPMENT, *(f"regression/{name}" for name in (*DEVELOPMENT_REGRESSION, "diabetes", *SIMULATED))]


def inner_rows(name: str, number: int, most_rows: int | None = None) -> Rows:
    """The rows of a development set, of which part number is held out; at most so many of them to train on."""
    suite, _, own = name.rpartition("/")
    if own in SIMULATED:
        import sklearn.datasets

        function, n, noise = SIMULATED[own]
        make = getattr(sklearn.datasets, function)
        X, y = make(n + NEW_ROWS, noise=noise, random_state=number)
        return X[:n], y[:n], X[n:], y[n:]
    if own == "sum":  # a perceptron explains everything
        X = np.random.default_rng(number).normal(size=(1000, 6))
        return X[:800], X[:800, 0] + X[:800, 1], X[800:], X[800:, 0] + X[800:, 1]
    if own == "diabetes":
        from sklearn.datasets import load_diabetes

        X, y = load_diabetes(return_X_y=True)
        train = np.arange(len(y))
    else:
        from library import certified

        X, y, splits = certified.regression_set(own) if suite else certified.classification_set(own)
        y = y if suite else np.unique(y, return_inverse=True)[1]
        train = splits[0][0]
    fit, test = inner_division(train, y, number, classes=not suite)
    if most_rows is not None and len(fit) > most_rows:
        fit = np.sort(np.random.default_rng(0).choice(fit, most_rows, replace=False))
    return X[fit], y[fit], X[test], y[test]


# --- One fit, in a process with the sources that it is asked for ---


def made(setting: str, task: str, columns: int) -> Any:
    """The untrained model of a setting."""
    import contenders

    import newtron

    suites = {
        "classification": contenders.PEER_CLASSIFIERS + contenders.SLOW_PEER_CLASSIFIERS,
        "regression": contenders.PEER_REGRESSORS + contenders.SLOW_PEER_REGRESSORS,
    }
    for who in suites[task]:
        if setting == who.name:
            return who.make(columns)
    if ":" in setting and "=" not in setting.split(":")[0]:
        module, _, factory = setting.partition(":")
        return getattr(importlib.import_module(module), factory)(task)
    arguments = {} if setting == "default" else eval(f"dict({setting})")
    kind = newtron.NetworkClassifier if task == "classification" else newtron.NetworkRegressor
    return kind(**{"n_jobs": 1, **arguments})


def measured(setting: str, name: str, number: int, most_rows: int | None) -> Record:
    from held_out import classified, regressed

    rows = inner_rows(name, number, most_rows)
    task, measure = ("regression", regressed) if "/" in name else ("classification", classified)
    try:
        return measure(lambda: made(setting, task, rows[0].shape[1]), *rows)
    except Exception as error:  # one setting that fails on one set is no reason to end all others
        traceback.print_exc()
        return {"failed": f"{type(error).__name__}: {error}"}


def work(sources: str) -> int:
    """Answer each line of standard input, the arguments of `measured` as JSON, with its record."""
    answers, sys.stdout = sys.stdout, sys.stderr
    sys.path[:0] = [str(Path(sources) / "src"), os.getcwd()]
    import newtron

    assert Path(newtron.__file__).is_relative_to(Path(sources).resolve()), newtron.__file__
    for line in sys.stdin:
        answers.write(json.dumps(measured(*json.loads(line))) + "\n")
        answers.flush()
    return 0


class Worker:
    """A process that fits with the sources of one checkout."""

    def __init__(self, checkout: Path) -> None:
        command = [sys.executable, str(Path(__file__).resolve()), "--worker", str(checkout)]
        alone = {name: "1" for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | alone
        )

    def measured(self, *arguments: Any) -> Record:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(arguments) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        if not answer:
            raise SystemExit(f"The process that fits ended with {process.wait()}.")
        return dict(json.loads(answer))


# --- Several settings in turns, and what is kept ---


@cache
def fingerprint(checkout: Path, setting: str) -> str:
    """Of the library's sources, of the module of a factory, and of the harness."""
    files = [*sorted((checkout / "src" / "newtron").rglob("*.py"))]
    files += [ROOT / "benchmarks" / name for name in ("development.py", "halves.py", "held_out.py", "contenders.py")]
    if ":" in setting and "=" not in setting.split(":")[0]:
        found = importlib.util.find_spec(setting.partition(":")[0])
        files += [Path(found.origin)] if found is not None and found.origin is not None else []
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def run(
    settings: Sequence[str], names: Sequence[str], divisions: int, most_rows: int | None, kept: Path
) -> list[Record]:
    """A record of each set, setting and division."""
    workers: dict[Path, Worker] = {}
    records = []
    for name in names:
        for number in range(divisions):
            for setting in settings:
                own, _, at = setting.partition("@")
                checkout = Path(at).resolve() if at else ROOT
                key = json.dumps([fingerprint(checkout, own), own, name, number, most_rows])
                file = kept / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"
                if not file.exists():
                    worker = workers.setdefault(checkout, workers.get(checkout) or Worker(checkout))
                    record = worker.measured(own, name, number, most_rows)
                    kept.mkdir(parents=True, exist_ok=True)
                    file.write_text(json.dumps(record), encoding="utf-8")
                record = json.loads(file.read_text(encoding="utf-8"))
                records.append(record | {"name": name, "setting": setting})
                print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return records


def tables(records: list[Record], settings: Sequence[str]) -> str:
    """Of each suite a table with the means over the divisions, and one with the means over the sets."""
    blocks = [f"({letter(number)}) {setting}" for number, setting in enumerate(settings)]
    for columns, regression in ((CLASSIFICATION_COLUMNS, False), (REGRESSION_COLUMNS, True)):
        of_suite = [record for record in records if ("/" in record["name"]) == regression]
        names = list(dict.fromkeys(record["name"] for record in of_suite))
        if not names:
            continue
        loss = "nll" if regression else "log_loss"
        by = {
            name: [
                _mean([r for r in of_suite if (r["name"], r["setting"]) == (name, setting)], loss)
                for setting in settings
            ]
            for name in names
        }
        rows = []
        for name in names:
            for number, found in enumerate(by[name]):
                rows.append([name, letter(number), *(_cell(found, column) for column in columns)])
        blocks.append(aligned(["set", "", *columns.values()], rows, 2))
        whole = [name for name in names if not any("failed" in found for found in by[name])]
        if whole:
            blocks.append(f"Means over {len(whole)} sets, and beside the first setting:")
            blocks.append(_means([by[name] for name in whole], loss, columns))
        blocks += [
            f"{name} ({letter(number)}) failed: {found['failed']}"
            for name in names
            for number, found in enumerate(by[name])
            if "failed" in found
        ]
    return "\n\n".join(blocks)


def letter(number: int) -> str:
    return chr(ord("a") + number)


def _mean(records: list[Record], loss: str) -> Record:
    """The means over the divisions; the gap is the loss of test rows less the one that the fit promised."""
    if failed := [record for record in records if "failed" in record]:
        return failed[0]
    measures = [key for key in (*REGRESSION_COLUMNS, *CLASSIFICATION_COLUMNS) if all(key in r for r in records)]
    found: Record = {key: float(np.mean([record[key] for record in records])) for key in measures}
    if "promised" in found:
        found["gap"] = found[loss] - found["promised"]
    return found


def _cell(found: Record, column: str) -> str:
    if column not in found:
        return "-"
    value = found[column]
    if column in ("accuracy", "covered"):
        return f"{100 * value:.1f}"
    return f"{value:.2g}" if column == "cpu" else f"{value:.4g}" if column == "rmse" else f"{value:.3f}"


def _means(by_set: list[list[Record]], loss: str, columns: dict[str, str]) -> str:
    rows = []
    for number in range(len(by_set[0])):
        mine, first = [found[number] for found in by_set], [found[0] for found in by_set]
        cells = []
        for column in columns:
            known = [found[column] for found in mine if column in found]
            complete = len(known) == len(mine)
            if column == "rmse":
                logs = [np.log(a["rmse"] / b["rmse"]) for a, b in zip(mine, first, strict=True)]
                cells.append(f"x {np.exp(np.mean(logs)):.3f}")
            elif column == "gap" and known:
                cells.append(f"{np.mean(known):.3f}, worst {max(known):.3f}")
            elif column == "covered" and known:
                cells.append(f"{100 * np.mean(known):.1f}, {100 * min(known):.1f} to {100 * max(known):.1f}")
            elif column == "cpu":
                cells.append(f"{np.median(known):.2g}, worst {max(known):.2g}, sum {sum(known):.3g}")
            else:
                cells.append(_cell({column: float(np.mean(known))} if complete else {}, column))
        differences = np.array([a[loss] - b[loss] for a, b in zip(mine, first, strict=True) if loss in a and loss in b])
        error = np.std(differences, ddof=1) / np.sqrt(len(differences)) if len(differences) > 1 else np.nan
        cells.append(
            f"{differences.mean():+.4f} ± {error:.4f}, {np.sum(differences < 0)} lower" if len(differences) else "-"
        )
        rows.append([letter(number), *cells])
    header = ["", *columns.values(), "loss - loss of (a)"]
    return aligned(header, rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", nargs="*", default=["default"])
    parser.add_argument("--sets", nargs="+", help="names or patterns: iris, 'regression/*'")
    parser.add_argument("--quick", action="store_true", help=f"ten small sets: {', '.join(QUICK)}")
    parser.add_argument("--suite", choices=["classification", "regression"], help="this suite alone")
    parser.add_argument("--divisions", type=int, default=1, choices=[1, 2, 3, 4], help="parts held out in turn, of 4")
    parser.add_argument("--most-rows", type=int, help="train on at most so many rows of a set")
    parser.add_argument("--kept", type=Path, default=ROOT / "build" / "development", help="where records are kept")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return work(options.worker)
    patterns = options.sets or (QUICK if options.quick else ["*"])
    names = [name for name in every_set() if any(fnmatch.fnmatchcase(name, each) for each in patterns)]
    if options.suite:
        names = [name for name in names if ("/" in name) == (options.suite == "regression")]
    if not names:
        parser.error(f"no development set is named {' '.join(patterns)}: {', '.join(every_set())}")
    sys.path.insert(1, os.getcwd())  # for the modules of factories
    records = run(options.settings, names, options.divisions, options.most_rows, options.kept)
    print(tables(records, options.settings))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
