"""Training on batches: time to a test error on MNIST, and to a small excess error on a million synthetic rows."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speed.data import SHARED
from speed.family import FLOOR, NEWTRON, Contender, Family, Measurement, Problem, Record, Round, Size
from speed.gradient_pass import Layers, matrix_products
from speed.recipes import EpochWatch, Recipe
from speed.timing import mean_seconds

Array = NDArray[Any]

MNIST = SHARED / "mnist"
LIMITS = {"mnist": 0.02, "friedman": 0.01}
NOISE = 1.0
LONGEST = 60.0
WARM = 2000

WORDS = """\
float32, no penalty; another random start each round, the same for all but scikit-learn, which draws its own. **MNIST**
(pixels / 255), 784-300-10, ReLU, softmax: seconds until at most 2 % of the 10,000 test images are wrong. **Friedman's
function**, 1,000,000 x 10 with noise, 10-32-1, tanh, squared error: seconds until the error against the function
itself, on 20,000 fresh rows, is at most 1 % of the noise's variance. Both are looked at after each epoch with the clock
stopped; *reached* is the lowest. newtron runs `Stochastic()` as it comes, holding out rows of its own. The peers run
Adam from rate 0.001 in batches of 128 (MNIST) and 0.003 in batches of 256; in PyTorch and JAX the rate falls in a line
to nothing over 12 and 10 epochs, for which scikit-learn has no setting. JAX compiles a whole epoch. The **floor** is
one pass's matrix products by BLAS, times the epochs of whoever needed the fewest.
"""


# MNIST: Adam's default rate. Friedman: at a constant rate of 0.001 to 0.01 Adam stays above the limit; with a rate
# that falls to nothing it gets there.
RECIPES = {"mnist": Recipe("relu", 128, 1e-3, 12), "friedman": Recipe("tanh", 256, 3e-3, 10)}


class Benchmarks(Family):
    name, title = "mini-batch", "Training on batches"
    stops_itself = True

    def problems(self, size: Size) -> list[Problem]:
        return [
            self._problem("mnist", "MNIST, 784-300-10", (784, 300, 10), size.rows(60_000)),
            self._problem("friedman", "Friedman, 10-32-1", (10, 32, 1), size.rows(1_000_000)),
        ]

    def small(self) -> list[Problem]:
        return [self._problem("friedman", "Friedman, 10-32-1", (10, 32, 1), 50_000, 0.1)]

    def _problem(self, data: str, words: str, widths: tuple[int, ...], n: int, limit: float = 0.0) -> Problem:
        settings = {"data": data, "widths": list(widths), "n": n}
        return Problem(f"{data}-{n}", f"{words}, {n:,} rows", settings, limit or LIMITS[data])

    def contenders(self, problem: Problem) -> list[Contender]:
        absent = ""
        if problem.settings["data"] == "mnist" and not MNIST.is_dir():
            absent = "../shared/data/mnist beside the repository is absent"
        return [
            Contender(NEWTRON, (), absent),
            Contender("PyTorch Adam", ("torch",), absent),
            Contender("scikit-learn Adam", (), absent),
            Contender("JAX, optax Adam", ("jax", "optax"), absent),
            Contender(FLOOR, (), absent),
        ]

    def limit(self, size: Size, ours: list[Measurement] | None) -> float:
        return min(LONGEST, size.patience)

    def prepare(self, problem: Problem, contender: str, size: Size) -> Round:
        from speed import batch_trainers

        mnist, recipe = problem.settings["data"] == "mnist", RECIPES[problem.settings["data"]]
        X, Y, score = (digits if mnist else friedman)(problem.settings["n"], recipe.activation)
        widths = tuple(problem.settings["widths"])
        if contender == FLOOR:
            work = matrix_products(X, start(widths, 0))
            return lambda number, limit: {"seconds": mean_seconds(work)}
        make = batch_trainers.TRAINERS[contender]
        make(X[:WARM], Y[:WARM], recipe)(start(widths, 0), 0, EpochWatch(score, 0.0, 0.0))  # late imports
        train = make(X, Y, recipe)

        def round(number: int, limit: float) -> Measurement:
            watch = EpochWatch(score, problem.limit or 0.0, limit)
            train(start(widths, number), number, watch)
            return watch.measurement() | {"compiling": getattr(train, "compiling", 0.0)}

        return round

    def section(self, records: dict[str, Record]) -> str:
        from speed.report import best_claims, middle, race_table, seconds, verdict

        found = deepcopy(list(records.values()))
        for record in found:
            epochs = [
                middle(seconds(record, name, "epochs"))
                for name in record["contenders"]
                if name != FLOOR and len(seconds(record, name))
            ]
            for one in record["contenders"][FLOOR]["rounds"].values():
                one["seconds"] *= min(epochs, default=float("nan"))
        compiled = [_only(record, "JAX, optax Adam") for record in found]
        others = [_only(record, "PyTorch Adam", "scikit-learn Adam") for record in found]
        return "\n\n".join(
            [
                WORDS,
                race_table(found, "reached"),
                verdict("3 times faster than PyTorch and scikit-learn", best_claims(others, 3.0)),
                verdict("level with compiled JAX (compiling not included)", best_claims(compiled, 1.0)),
            ]
        )


def _only(record: Record, *names: str) -> Record:
    kept = {name: found for name, found in record["contenders"].items() if name in (NEWTRON, *names)}
    return record | {"contenders": kept}


def start(widths: tuple[int, ...], seed: int) -> Layers:
    """He et al. 2015."""
    rng = np.random.default_rng([100 + seed, 7])
    first = rng.standard_normal(widths[:2]) * np.sqrt(2.0 / widths[0])
    second = rng.standard_normal(widths[1:]) * np.sqrt(1.0 / widths[1])
    return [(W.astype(np.float32), np.zeros(W.shape[1], np.float32)) for W in (first, second)]


def output(X: Array, layers: Layers, activation: str) -> Array:
    (W1, b1), (W2, b2) = layers
    z = X @ W1 + b1
    return np.asarray((np.maximum(z, 0.0) if activation == "relu" else np.tanh(z)) @ W2 + b2)


def digits(n: int, activation: str) -> tuple[Array, Array, Any]:
    """Training images and labels as (n, 10), and the share of test images that layers get wrong."""

    def part(name: str) -> tuple[Array, Array]:
        with np.load(MNIST / f"mnist_{name}.npz", allow_pickle=False) as stored:
            images, labels = stored["images"], stored["labels"].astype(np.intp)
        return (images.reshape(len(images), -1) / np.float32(255.0)).astype(np.float32), labels

    X, labels = part("train")
    tests, wanted = part("test")

    def wrong(layers: Layers) -> float:
        return float(np.mean(output(tests, layers, activation).argmax(axis=1) != wanted))

    return X[:n], np.eye(10, dtype=np.float32)[labels[:n]], wrong


def friedman(n: int, activation: str) -> tuple[Array, Array, Any]:
    """Friedman 1991, inputs and target standardised; and the excess error of layers, in variances of the noise."""
    rng = np.random.default_rng(0)

    def function(U: Array) -> Array:
        return np.asarray(
            10 * np.sin(np.pi * U[:, 0] * U[:, 1]) + 20 * (U[:, 2] - 0.5) ** 2 + 10 * U[:, 3] + 5 * U[:, 4]
        )

    def inputs(U: Array) -> Array:
        return np.asarray((U - 0.5) * np.sqrt(12.0), dtype=np.float32)

    U = rng.uniform(size=(n, 10))
    y = function(U) + NOISE * rng.standard_normal(n)
    center, spread = float(y.mean()), float(y.std())
    fresh = rng.uniform(size=(20_000, 10))
    tests, truth = inputs(fresh), function(fresh)

    def excess(layers: Layers) -> float:
        return float(np.mean(np.square(output(tests, layers, activation)[:, 0] * spread + center - truth))) / NOISE**2

    return inputs(U), ((y - center) / spread).astype(np.float32)[:, None], excess
