"""Times newtron beside scikit-learn at equal tolerance, and writes docs/benchmarks.md.

Every contender of a problem is run in turn, again and again (A B C A B C ...), and the ratios are taken within each
round, so that other work on the machine touches all of them alike. What each one reached is computed here, in
float64, from its coefficients: a peer that stops short of the tolerance is shown as stopping short.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neural_network import MLPRegressor
from tables import ROOT, aligned, certified, facts, paragraph, significant
from threadpoolctl import threadpool_limits

from newtron import NetworkRegressor, PerceptronClassifier, PerceptronRegressor

Array = NDArray[Any]

TOLERANCE = 1e-8  # gradient of the mean loss, largest component: what all logistic solvers are asked for
REACHED = 1.5 * TOLERANCE  # sums in another order differ
LEAST_SQUARES_GAP = {"float64": 1e-12, "float32": 1e-6}  # of the objective, relative to the best
ALPHA = 0.1  # the small penalty of the classifiers, 1/C; and the network's
HIDDEN, BATCH = 20, 200
MOST_ROUNDS = 25


@dataclass(frozen=True)
class Size:
    """How much is run: rows relative to the full problems, seconds per problem, starts, epochs, and threads."""

    share: float
    budget: float
    rounds: int
    starts: int
    epochs: int
    threads: int | None

    def rows(self, n: int) -> int:
        return max(1000, int(n * self.share))


@dataclass
class Runs:
    """What one contender took in each round, and what it reached in the last."""

    name: str
    seconds: list[float]
    reached: float = float("nan")

    def ratio_to(self, peer: Runs) -> Array:
        return np.array(self.seconds) / np.array(peer.seconds)


def race(
    contenders: dict[str, Any], X: Array, y: Array, reached: Callable[[Any, Array, Array], float], size: Size
) -> list[Runs]:
    """Fit the contenders in turn, at least `rounds` times and until the budget is spent; newtron is the first."""
    runs = [Runs(name, []) for name in contenders]
    for model in contenders.values():
        model.fit(X[:500], y[:500])  # late imports are not part of the first round
    started = time.perf_counter()
    while len(runs[0].seconds) < size.rounds or (
        time.perf_counter() - started < size.budget and len(runs[0].seconds) < MOST_ROUNDS
    ):
        for run, model in zip(runs, contenders.values(), strict=True):
            before = time.perf_counter()
            model.fit(X, y)
            run.seconds.append(time.perf_counter() - before)
    for run, model in zip(runs, contenders.values(), strict=True):
        run.reached = reached(model, X, y)
    return runs


def rows_of(problem: str, runs: list[Runs], limit: float) -> list[list[str]]:
    """A table row for each peer of the first contender."""
    ours = runs[0]
    rows = []
    for peer in runs[1:]:
        ratio = ours.ratio_to(peer)
        there = "yes" if peer.reached <= limit else "no"
        there = there if ours.reached <= limit else f"{there} (newtron: no)"
        times = [significant(1e3 * float(np.median(run.seconds)), 3) for run in (ours, peer)]
        spread = f"{significant(ratio.min())} - {significant(ratio.max())}"
        reached = [f"{run.reached:.0e}" for run in (ours, peer)]
        middle = f"**{significant(float(np.median(ratio)))}**"
        rows.append([problem, peer.name, *times, middle, spread, str(len(ratio)), *reached, there])
        print(*rows[-1], sep="  ", flush=True)
    return rows


def header(reached: str) -> list[str]:
    return [
        "problem",
        "peer",
        "newtron ms",
        "peer ms",
        "ratio",
        "least - most",
        "rounds",
        f"newtron {reached}",
        f"peer {reached}",
        "peer gets there",
    ]


# --- perceptrons ---


def columns(n: int, p: int, correlation: float, seed: int = 0) -> Array:
    """Normal columns of unit variance; each two of them correlated as given."""
    rng = np.random.default_rng(seed)
    own = rng.standard_normal((n, p))
    return np.sqrt(1.0 - correlation) * own + np.sqrt(correlation) * rng.standard_normal((n, 1))


def least_squares(size: Size) -> list[list[str]]:
    rows = []
    for n, p, dtype in ((1000, 10, "float64"), (200_000, 50, "float64"), (200_000, 50, "float32")):
        n = size.rows(n)
        rng = np.random.default_rng(1)
        X = columns(n, p, 0.0).astype(dtype)
        y = (X @ rng.standard_normal(p) + rng.standard_normal(n)).astype(dtype)
        for alpha in (0.0, 1.0):
            peer: Any = LinearRegression() if alpha == 0.0 else Ridge(alpha=alpha, solver="cholesky")
            best = _ridge_value(X, y, alpha, PerceptronRegressor(alpha=alpha).fit(X.astype(float), y.astype(float)))

            def gap(model: Any, X: Array, y: Array, alpha: float = alpha, best: float = best) -> float:
                return max(0.0, _ridge_value(X, y, alpha, model) / best - 1.0)

            name = "LinearRegression" if alpha == 0.0 else "Ridge, cholesky"
            contenders = {"newtron": PerceptronRegressor(alpha=alpha, n_jobs=size.threads), name: peer}
            runs = race(contenders, X, y, gap, size)
            problem = f"{n:,} x {p} {dtype}, alpha={alpha:g}"
            rows += rows_of(problem, runs, LEAST_SQUARES_GAP[dtype])
    return rows


def _ridge_value(X: Array, y: Array, alpha: float, model: Any) -> float:
    w = model.coef_.astype(np.float64)
    r = y.astype(np.float64) - X.astype(np.float64) @ w - float(model.intercept_)
    return float(0.5 * np.mean(r * r) + alpha / (2 * len(y)) * (w @ w))


def logistic(size: Size) -> list[list[str]]:
    rows = []
    problems = (
        ("2 classes", 1000, 10, 2, 0.0),
        ("2 classes", 100_000, 50, 2, 0.0),
        ("2 classes, correlated 0.99", 100_000, 50, 2, 0.99),
        ("5 classes", 20_000, 20, 5, 0.0),
    )
    for words, n, p, K, correlation in problems:
        n = size.rows(n)
        rng = np.random.default_rng(2)
        X = columns(n, p, correlation)
        scores = X @ rng.standard_normal((p, K)) * (2.0 / p**0.5)
        y = (scores + rng.gumbel(size=(n, K))).argmax(axis=1)

        contenders: dict[str, Any] = {"newtron": PerceptronClassifier(alpha=ALPHA, tol=TOLERANCE, n_jobs=size.threads)}
        for solver in ("lbfgs", "newton-cholesky", "newton-cg"):
            contenders[solver] = LogisticRegression(C=1.0 / ALPHA, solver=solver, tol=TOLERANCE, max_iter=100_000)
        rows += rows_of(f"{words}, {n:,} x {p}", race(contenders, X, y, _log_loss_gradient, size), REACHED)
    return rows


def _log_loss_gradient(model: Any, X: Array, y: Array) -> float:
    """Largest component of the gradient of mean(log loss) + alpha/(2n) ‖w‖², for two classes or more."""
    n, Y = len(X), np.eye(len(model.classes_))[y]
    W, b = model.coef_.T, model.intercept_
    if W.shape[1] == 1:
        z = np.hstack([np.zeros((n, 1)), X @ W + b])
        error = (softmax(z, axis=1) - Y)[:, 1:]
    else:
        error = softmax(X @ W + b, axis=1) - Y
    slope = (X.T @ error + ALPHA * W) / n
    return float(max(np.abs(slope).max(), np.abs(error.mean(axis=0)).max()))


# --- the network ---


def network(size: Size) -> str:
    """Every contender from several starts, each to its own end; then what a network near the best costs."""
    X, y = concrete()
    n = len(y)
    shape = {"hidden_layer_sizes": (HIDDEN,), "activation": "tanh"}

    def peer(seed: int, solver: str, **settings: Any) -> Any:
        return MLPRegressor(**(shape | {"solver": solver, "random_state": seed} | settings)).fit(X, y)

    # A batch counts the whole penalty against its own rows: with alpha * batch / n the objective is the same.
    adam = {"alpha": ALPHA * BATCH / n, "batch_size": BATCH, "tol": 0.0, "n_iter_no_change": 10**6}
    adam["max_iter"] = size.epochs
    lbfgs = {"alpha": ALPHA, "tol": 1e-12, "max_iter": 100_000, "max_fun": 10**7}
    contenders: dict[str, Callable[[int], Any]] = {
        "newtron": lambda seed: NetworkRegressor(
            hidden=(HIDDEN,), alpha=ALPHA, n_starts=1, standardize=False, random_state=seed, n_jobs=size.threads
        ).fit(X, y),
        "MLPRegressor lbfgs": lambda seed: peer(seed, "lbfgs", **lbfgs),
        "MLPRegressor adam": lambda seed: peer(seed, "adam", **adam),
        "MLPRegressor adam, rate 0.01": lambda seed: peer(seed, "adam", learning_rate_init=0.01, **adam),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    values: dict[str, list[float]] = {name: [] for name in contenders}
    for fit in contenders.values():
        fit(size.starts)  # for the caches and late imports; this start is not counted
    for seed in range(size.starts):
        for name, fit in contenders.items():
            before = time.perf_counter()
            model = fit(seed)
            seconds[name].append(time.perf_counter() - before)
            values[name].append(_network_value(X, y, model))
    best = min(min(v) for v in values.values())
    rows = []
    for name in contenders:
        v, s = np.array(values[name]), np.array(seconds[name])
        cells = [f"{v.min():.6f}", f"{np.median(v):.6f}", f"{v.max():.6f}", significant(float(np.median(s)))]
        for within in (0.1, 0.05, 0.01):
            hits = int(np.sum(v <= best * (1.0 + within)))
            cells.append(f"{significant(s.sum() / hits)} s ({hits} of {len(v)})" if hits else "not reached")
        ratio = np.array(seconds["newtron"]) / s
        spread = f"{significant(float(np.median(ratio)))} ({significant(ratio.min())} - {significant(ratio.max())})"
        cells.append("" if name == "newtron" else spread)
        rows.append([name, *cells])
        print(*rows[-1], sep="  ", flush=True)
    titles = ["trainer", "objective, best", "median", "worst", "s per start"]
    titles += [f"within {within} %" for within in (10, 5, 1)] + ["ratio per start (least - most)"]
    words = paragraph(
        f"A network of {HIDDEN} tanh units on concrete ({n:,} rows, 8 columns; X and y standardised), "
        f"alpha={ALPHA:g}, {size.starts} starts each, every one run to its own end: newtron to a gradient of 1e-8, "
        f"L-BFGS with tol=1e-12 and no limit, Adam for {size.epochs:,} epochs in batches of {BATCH} (with the penalty "
        'scaled to the batch, so that all minimise the same function). "Within 10 %" is the expected time to a '
        "network whose objective is at most so much above the best that any of them found: all time spent, over the "
        "starts that got there."
    )
    return words + "\n\n" + aligned(titles, rows)


def concrete() -> tuple[Array, Array]:
    """Concrete strength, standardised."""
    if certified.SHARED.is_dir():
        X, y, _ = certified.regression_set("concrete")
    else:
        table = np.loadtxt(ROOT / "examples" / "concrete.csv", delimiter=",", skiprows=1)
        X, y = table[:, :-1], table[:, -1]
    return (X - X.mean(axis=0)) / X.std(axis=0), (y - y.mean()) / y.std()


def _network_value(X: Array, y: Array, model: Any) -> float:
    """½ mean squared error + alpha/(2n) ‖weights‖²: newtron's objective and MLPRegressor's."""
    if isinstance(model, NetworkRegressor):
        member = model.members_[0]
        weights = [layer.W for layer in member.network.split(member.params)]
    else:
        weights = model.coefs_
    penalty = ALPHA / (2 * len(y)) * sum(float(np.sum(np.square(W))) for W in weights)
    return float(0.5 * np.mean(np.square(model.predict(X) - y)) + penalty)


# --- starting up ---


def startup(size: Size) -> str:
    """Medians of whole processes, in turn."""
    programs = {
        "python -c pass": ["-c", "pass"],
        "import numpy": ["-c", "import numpy"],
        "import newtron": ["-c", "import newtron"],
        "from newtron import PerceptronRegressor": ["-c", "from newtron import PerceptronRegressor"],
        "from sklearn.linear_model import LinearRegression": [
            "-c",
            "from sklearn.linear_model import LinearRegression",
        ],
        "newtron --help": ["-m", "newtron", "--help"],
        "newtron show --help": ["-m", "newtron", "show", "--help"],
    }
    environment = {"PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/bin:/bin"}
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(size.rounds):
        for name, arguments in programs.items():
            before = time.perf_counter()
            subprocess.run([sys.executable, *arguments], capture_output=True, check=True, env=environment)
            seconds[name].append(time.perf_counter() - before)
    rows = []
    bare, numpy = (np.array(seconds[name]) for name in ("python -c pass", "import numpy"))
    for name, taken in seconds.items():
        s = np.array(taken)
        extra = [f"{1e3 * np.median(s - base):+.0f}" for base in (bare, numpy)]
        rows.append([f"`{name}`", f"{1e3 * np.median(s):.0f}", f"{1e3 * s.min():.0f} - {1e3 * s.max():.0f}", *extra])
        print(*rows[-1], sep="  ", flush=True)
    titles = ["process", "ms, median", "least - most", "beyond bare Python, ms", "beyond import numpy, ms"]
    return aligned(titles, rows)


# --- the page ---

PAGE = """\
# Benchmarks

How long newtron takes beside scikit-learn for the same objective and the same tolerance. Written by one script:

```console
$ scripts/bench                                  # this page, in about two minutes
$ scripts/bench --quick --output before.md       # smaller problems, to compare two commits
$ scripts/bench --threads 0                      # as many threads as each library takes by itself
```

**ratio** = newtron's time / the peer's time: below 1, newtron is faster. The contenders run in turn, again and again;
the ratio is taken within each round, its median is shown with the least and the most. Milliseconds are medians and
belong to one machine; ratios travel better. What each reached is computed from its coefficients, in float64, by the
script. A peer that does not get there was given the same tolerance and stopped before it.

{facts}
- {threads}

## Least squares

`PerceptronRegressor` beside `LinearRegression` (alpha=0) and `Ridge(solver="cholesky")` (alpha=1). The gap is the
objective above the best known, relative; there means within 1e-12 of it (float32: 1e-6).

{least_squares}

## Logistic regression

`PerceptronClassifier` beside the three smooth solvers of `LogisticRegression`, penalty alpha = 1/C = {alpha:g}, all
with tol={tolerance:g}. The gradient is that of the mean loss, its largest component; there means {tolerance:g}.

{logistic}

## A network

{network}

## Starting up

{startup}
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller problems, in under 40 seconds")
    parser.add_argument("--threads", type=int, default=1, help="for newtron and BLAS; 0: each library's own default")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "benchmarks.md", help="where the page goes")
    options = parser.parse_args()
    if options.quick:
        size = Size(share=0.2, budget=1.0, rounds=3, starts=2, epochs=200, threads=options.threads or None)
    else:
        size = Size(share=1.0, budget=3.0, rounds=5, starts=5, epochs=600, threads=options.threads or None)
    about = facts()  # before any limit on threads
    held = nullcontext() if size.threads is None else threadpool_limits(size.threads)
    words = "Threads in this run: each library's own default."
    if size.threads is not None:
        words = (
            f"Threads in this run: newtron and BLAS are held to {size.threads}, so that no other work on the machine,\n"
            "  which makes threads wait for each other, decides the ratio."
        )
    with warnings.catch_warnings(), held:
        warnings.simplefilter("ignore")  # who does not converge is seen from what it reached
        page = PAGE.format(
            facts=about,
            threads=words,
            least_squares=aligned(header("gap"), least_squares(size), 2),
            logistic=aligned(header("gradient"), logistic(size), 2),
            network=network(size),
            startup=startup(size),
            alpha=ALPHA,
            tolerance=TOLERANCE,
        )
    options.output.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
