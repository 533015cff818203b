"""How often intervals hold what they are of, in simulations: python benchmarks/interval_coverage.py [--networks, --few]

Prints the share of samples in which the 95 % intervals of a penalised logistic perceptron hold the true coefficient
(docs/coefficients.md), in about a minute. --networks: the share of new rows that the 90 % intervals of networks with
more than 1,000 parameters hold (docs/intervals.md), in about two minutes. --few: the share that the 90 % intervals of
default networks hold where rows are few or repeated (docs/evidence.md), in a few minutes.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator
from functools import partial

import numpy as np
from jobs import Job
from numpy.typing import NDArray
from results import Record, Results
from sklearn.datasets import make_friedman1, make_friedman2, make_friedman3
from sklearn.exceptions import ConvergenceWarning
from tables import aligned

from newtron import NetworkRegressor, PerceptronClassifier

Array = NDArray[np.float64]

SAMPLES, ROWS, COLUMNS, TRUE = 400, 80, 3, 1.0
FORMULAS = ("posterior", "sandwich", "HC3")
# Rows of training, columns.
SHAPES = ((20_000, 20), (20_000, 30), (5000, 60))
NEW_ROWS = 10_000
# Functions with the standard deviation of their noise, rows of training, and how often each row stands there.
FUNCTIONS = {
    "friedman1": (make_friedman1, 1.0),
    "friedman2": (make_friedman2, 100.0),
    "friedman3": (make_friedman3, 0.1),
}
FEW = ((150, 1), (300, 1), (75, 20))
SEEDS = 4
NEW_ROWS_OF_FEW = 4000


def penalised(alpha: float | str) -> dict[str, float]:
    """Of each formula the share of samples whose interval holds the first coefficient, which is 1; the others are 0."""
    held = dict.fromkeys(FORMULAS, 0)
    for sample in range(SAMPLES):
        rng = np.random.default_rng(sample)
        X = rng.normal(size=(ROWS, COLUMNS))
        y = TRUE * X[:, 0] + rng.logistic(size=ROWS) > 0.0
        model = PerceptronClassifier(alpha=alpha).fit(X, y)
        for formula in FORMULAS:
            summary = model.summary(X, y, covariance=formula)
            low, high = summary.intervals[1]
            held[formula] += bool(low <= TRUE <= high)
    return {formula: count / SAMPLES for formula, count in held.items()}


def friedman(rng: np.random.Generator, n: int, p: int) -> tuple[Array, Array]:
    """Friedman's function of the first five of p columns, with noise of standard deviation 1."""
    X = rng.uniform(size=(n, p))
    y = 10.0 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 20.0 * (X[:, 2] - 0.5) ** 2 + 10.0 * X[:, 3] + 5.0 * X[:, 4]
    return X, y + rng.normal(size=n)


def networks(n: int, p: int) -> tuple[int, float]:
    """Parameters of the largest member of the default network, and the share of new rows that its intervals hold."""
    X, y = friedman(np.random.default_rng(0), n + NEW_ROWS, p)
    model = NetworkRegressor().fit(X[:n], y[:n])
    ends = model.predict_interval(X[n:], coverage=0.9)
    held = np.mean((ends[:, 0] <= y[n:]) & (y[n:] <= ends[:, 1]))
    return max(member.network.n_params for member in model.members_), float(held)


def of_few_rows(function: str, n: int, copies: int, seed: int) -> Record:
    """The share of new rows in the 90 % intervals of a default network, and its RMSE.

    Each of the n rows of training stands there copies times, every time with noise of its own.
    """
    make, noise = FUNCTIONS[function]
    rng = np.random.default_rng(seed)
    X, y = make(n, noise=0.0, random_state=seed)
    X, y = np.repeat(X, copies, axis=0), np.repeat(y, copies)
    X_new, y_new = make(NEW_ROWS_OF_FEW, noise=noise, random_state=seed + 1000)
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = NetworkRegressor(n_jobs=1).fit(X, y + noise * rng.normal(size=len(y)))
    cpu = time.process_time() - started
    low, high = model.predict_interval(X_new, coverage=0.9).T
    rmse = float(np.sqrt(np.mean(np.square(model.predict(X_new) - y_new))))
    return {"covered": float(np.mean((low <= y_new) & (y_new <= high))), "rmse": rmse, "cpu": cpu}


def few_rows_jobs() -> Iterator[Job]:
    """A round for each seed."""
    for seed in range(SEEDS):
        for function in FUNCTIONS:
            for n, copies in FEW:
                yield Job(f"{function}/{n} x {copies}/{seed}", partial(of_few_rows, function, n, copies, seed), seed)


def few_rows_section(results: Results) -> str:
    rows = []
    for function in FUNCTIONS:
        for n, copies in FEW:
            if records := results.under(f"{function}/{n} x {copies}"):
                covered = [100.0 * record["covered"] for record in records]
                words = f"{n}" if copies == 1 else f"{n}, each {copies} times"
                means = [f"{np.mean([record[key] for record in records]):.3g}" for key in ("rmse", "cpu")]
                rows.append(
                    [function, words, f"{FUNCTIONS[function][1]:g}", *(f"{share:.1f}" for share in covered)]
                    + ["-"] * (SEEDS - len(covered))
                    + [f"{np.mean(covered):.1f}", *means]
                )
    header = ["function", "rows", "noise", *(f"seed {seed}" for seed in range(SEEDS)), "mean %", "RMSE", "CPU s"]
    return "\n\n".join(
        [
            "## Intervals where rows are few or repeated",
            "Share of 4,000 new rows in percent that the 90 % intervals of `NetworkRegressor()` hold, trained on few "
            "rows of Friedman's three functions (scikit-learn's `make_friedman1` to `3`). Repeated rows have noise of "
            "their own each time. A new row of the function has an error of the size of the noise at least.",
            aligned(header, rows, 2),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", action="store_true", help="networks with more than 1,000 parameters")
    parser.add_argument("--few", action="store_true", help="few rows, and repeated ones")
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    if options.networks:
        for n, p in SHAPES:
            parameters, held = networks(n, p)
            print(
                f"{n:,} rows x {p} columns, up to {parameters:,} parameters: {100 * held:.1f} % of new rows", flush=True
            )
        return
    if options.few:
        results = Results("few-rows")
        for job in few_rows_jobs():
            results.add(job.key, job.compute)
        print(few_rows_section(results))
        return
    for alpha in (5.0, "evidence"):
        found = ", ".join(f"{formula} {100 * share:.0f} %" for formula, share in penalised(alpha).items())
        print(f"alpha={alpha!r}, {SAMPLES} samples of {ROWS} rows: {found}", flush=True)


if __name__ == "__main__":
    main()
