"""One pass over the rows for loss and gradient beside PyTorch, JAX and FANN, and beside its matrix products."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speed.family import FLOOR, NEWTRON, Contender, Family, Measurement, Problem, Record, Round, Size
from speed.timing import mean_seconds, timed

Array = NDArray[Any]
Layers = list[tuple[Array, Array]]  # W (inputs, units) and b (units,) of each layer

WIDTHS = ((8, 16, 1), (50, 64, 1), (784, 300, 10))
ROWS = 100_000
LIMIT = {"float64": 1e-10, "float32": 1e-3}  # difference of the gradients, relative to the largest component
CHECKED = 1000  # rows on which the gradient is compared with one written out here
SINGLE = 1e-5  # FANN tells its error, not its gradient, and that in single precision: it may differ by so much
BLOCKS = (1024, 2048, 4096, 8192)

WORDS = """\
Mean loss and its gradient over all rows, tanh units; squared error for one output, softmax and log loss for ten. All
start from the same parameters, and the gradients agree on 1,000 rows (**difference** to one in float64, written out in
the script, relative to its largest component). PyTorch runs eagerly, JAX is compiled (not timed), FANN trains one epoch
in batch mode with a learning rate of zero (squared error in every case) and is checked by the error that it tells.
mlpack's Python package has no networks of this kind. The **floor** is the five matrix products in blocks of rows, the
best of four block sizes, and `numpy.tanh` on the hidden units.
"""


class Benchmarks(Family):
    name, title = "pass", "One pass for loss and gradient"

    def problems(self, size: Size) -> list[Problem]:
        return [self._problem(size.rows(ROWS), widths, dtype) for widths in WIDTHS for dtype in ("float64", "float32")]

    def small(self) -> list[Problem]:
        return [self._problem(20_000, (50, 64, 1), dtype) for dtype in ("float64", "float32")] + [
            self._problem(50_000, (8, 16, 1), "float64"),
            self._problem(5_000, (784, 300, 10), "float32"),
        ]

    def _problem(self, n: int, widths: tuple[int, ...], dtype: str) -> Problem:
        shape = "-".join(map(str, widths))
        settings = {"n": n, "widths": list(widths), "dtype": dtype}
        return Problem(f"{n}-{shape}-{dtype}", f"{shape}, {n:,} rows, {dtype}", settings, LIMIT[dtype])

    def contenders(self, problem: Problem) -> list[Contender]:
        return [
            Contender(NEWTRON),
            Contender("PyTorch", ("torch",)),
            Contender("JAX, compiled", ("jax",)),
            Contender("FANN", ("libfann",)),
            Contender(FLOOR),
        ]

    def prepare(self, problem: Problem, contender: str, size: Size) -> Round:
        widths, dtype = tuple(problem.settings["widths"]), problem.settings["dtype"]
        X, Y = rows(problem.settings["n"], widths)
        X, Y, weights = X.astype(dtype), Y.astype(dtype), start(widths, dtype)
        if contender == FLOOR:
            work = matrix_products(X, weights)
            return lambda number, limit: {"seconds": mean_seconds(work)}
        make = {NEWTRON: newtron, "PyTorch": pytorch, "JAX, compiled": jax, "FANN": fann}[contender]
        few = make(X[:CHECKED], Y[:CHECKED], weights)
        if contender == "FANN":
            wanted: Any = mean_square(X[:CHECKED], Y[:CHECKED], weights)
            difference = max(0.0, abs(few() / wanted - 1.0) - SINGLE)
        else:
            wanted = written_out(X[:CHECKED], Y[:CHECKED], weights)
            difference = float(np.abs(few() - wanted).max() / np.abs(wanted).max())
        work = make(X, Y, weights)

        def round(number: int, limit: float) -> Measurement:
            return {"seconds": mean_seconds(work), "reached": difference}

        if contender != "FANN":  # which takes seconds, and compiles nothing
            work()
        return round

    def section(self, records: dict[str, Record]) -> str:
        from speed.report import best_claims, floor_claims, race_table, verdict

        found = list(records.values())
        larger = [record for record in found if record["settings"]["widths"][0] > 8]
        return "\n\n".join(
            [
                WORDS,
                race_table(found, "difference"),
                verdict("fastest of all (1 or more times as fast as the best peer)", best_claims(found, 1.0)),
                verdict("2 times the floor at most on the two larger", floor_claims(larger, 2.0)),
            ]
        )


def rows(n: int, widths: tuple[int, ...]) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, widths[0]))
    if widths[-1] == 1:
        return X, rng.standard_normal((n, 1))
    return X, np.eye(widths[-1])[rng.integers(0, widths[-1], n)]


def start(widths: tuple[int, ...], dtype: str) -> Layers:
    """W and b of both layers."""
    rng = np.random.default_rng(1)
    return [
        ((rng.standard_normal((i, o)) / np.sqrt(i)).astype(dtype), (0.1 * rng.standard_normal(o)).astype(dtype))
        for i, o in pairwise(widths)
    ]


def flat(layers: Layers) -> Array:
    """As newtron orders parameters: of each layer W row by row, then b."""
    return np.concatenate([part.ravel() for layer in layers for part in layer]).astype(np.float64)


def written_out(X: Array, Y: Array, weights: Layers) -> Array:
    """The gradient of the mean loss by the chain rule, in float64."""
    from scipy.special import softmax

    X, Y = X.astype(np.float64), Y.astype(np.float64)
    (W1, b1), (W2, b2) = ((W.astype(np.float64), b.astype(np.float64)) for W, b in weights)
    a = np.tanh(X @ W1 + b1)
    z = a @ W2 + b2
    error = ((z if Y.shape[1] == 1 else softmax(z, axis=1)) - Y) / len(X)
    below = (error @ W2.T) * (1.0 - a * a)
    return flat([(X.T @ below, below.sum(axis=0)), (a.T @ error, error.sum(axis=0))])


def mean_square(X: Array, Y: Array, weights: Layers) -> float:
    (W1, b1), (W2, b2) = weights
    return float(np.mean(np.square(np.tanh(X @ W1 + b1) @ W2 + b2 - Y)))


def newtron(X: Array, Y: Array, weights: Layers) -> Any:
    from newtron.engine.base.threads import one_blas_thread, thread_count
    from newtron.engine.maths.losses import loss_for
    from newtron.engine.maths.network import Network
    from newtron.engine.objective import TrainingObjective
    from newtron.engine.rows import ArrayRows

    task = "regression" if Y.shape[1] == 1 else "classification"
    network = Network((X.shape[1], weights[0][0].shape[1], Y.shape[1]), "tanh", True)
    loss = loss_for(task, None, Y.shape[1])
    objective = TrainingObjective(network, loss, ArrayRows(X, Y, threads=thread_count()), 0.0)
    params = flat(weights)

    def work() -> Array:
        with one_blas_thread():
            gradient = objective.evaluate(params, 1).gradient
        return gradient

    return work


def pytorch(X: Array, Y: Array, weights: Layers) -> Any:
    import torch
    from torch.nn.functional import cross_entropy

    inputs, targets = torch.from_numpy(X), torch.from_numpy(Y)
    (W1, b1), (W2, b2) = (
        (torch.tensor(W, requires_grad=True), torch.tensor(b, requires_grad=True)) for W, b in weights
    )

    def work() -> Array:
        z = torch.addmm(b2, torch.tanh(torch.addmm(b1, inputs, W1)), W2)
        loss = 0.5 * torch.mean(torch.square(z - targets)) if Y.shape[1] == 1 else cross_entropy(z, targets)
        found = torch.autograd.grad(loss, (W1, b1, W2, b2))
        return flat([(found[0].numpy(), found[1].numpy()), (found[2].numpy(), found[3].numpy())])

    return work


def jax(X: Array, Y: Array, weights: Layers) -> Any:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)

    def gradient(layers: Any, inputs: Any, targets: Any) -> Any:
        def loss(layers: Any) -> Any:
            (W1, b1), (W2, b2) = layers
            z = jnp.tanh(inputs @ W1 + b1) @ W2 + b2
            if Y.shape[1] == 1:
                return 0.5 * jnp.mean(jnp.square(z - targets))
            return -jnp.mean(jnp.sum(targets * jax.nn.log_softmax(z), axis=1))

        return jax.value_and_grad(loss)(layers)

    compiled = jax.jit(gradient)
    layers, inputs, targets = jax.device_put((weights, X, Y))
    return lambda: flat(jax.block_until_ready(compiled(layers, inputs, targets))[1])


def fann(X: Array, Y: Array, weights: Layers) -> Any:
    from speed.fann import epoch

    return epoch(X, Y, weights)


def matrix_products(X: Array, weights: Layers) -> Any:
    """X W1, tanh, A W2; then D W2', X'D and A'D; in blocks of the fastest size."""
    (W1, _), (W2, _) = weights

    def in_blocks(block: int) -> Any:
        hidden, out = np.empty((block, W1.shape[1]), X.dtype), np.empty((block, W2.shape[1]), X.dtype)
        below = np.empty_like(hidden)
        first, second = np.empty_like(W1), np.empty_like(W2)

        def work() -> None:
            for at in range(0, len(X), block):
                inputs = X[at : at + block]
                a, z, d = (buffer[: len(inputs)] for buffer in (hidden, out, below))
                np.matmul(inputs, W1, out=a)
                np.tanh(a, out=a)
                np.matmul(a, W2, out=z)
                np.matmul(z, W2.T, out=d)
                np.matmul(inputs.T, d, out=first)
                np.matmul(a.T, z, out=second)

        return work

    return min((in_blocks(block) for block in BLOCKS), key=lambda work: min(timed(work)[0] for _ in range(3)))
