"""How often intervals hold what they are of, in simulations: python benchmarks/interval_coverage.py [--networks]

Prints the share of samples in which the 95 % intervals of a penalised logistic perceptron hold the true coefficient
(docs/coefficients.md), in about a minute. --networks: the share of new rows that the 90 % intervals of networks with
more than 1,000 parameters hold (docs/intervals.md), in about two minutes.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from newtron import NetworkRegressor, PerceptronClassifier

Array = NDArray[np.float64]

SAMPLES, ROWS, COLUMNS, TRUE = 400, 80, 3, 1.0
FORMULAS = ("posterior", "sandwich", "HC3")
# Rows of training, columns.
SHAPES = ((20_000, 20), (20_000, 30), (5000, 60))
NEW_ROWS = 10_000


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", action="store_true", help="networks with more than 1,000 parameters")
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    if options.networks:
        for n, p in SHAPES:
            parameters, held = networks(n, p)
            print(
                f"{n:,} rows x {p} columns, up to {parameters:,} parameters: {100 * held:.1f} % of new rows", flush=True
            )
        return
    for alpha in (5.0, "evidence"):
        found = ", ".join(f"{formula} {100 * share:.0f} %" for formula, share in penalised(alpha).items())
        print(f"alpha={alpha!r}, {SAMPLES} samples of {ROWS} rows: {found}", flush=True)


if __name__ == "__main__":
    main()
