"""Trainers of a small network: each is made for X, y and the number of hidden units, and then trains from given
parameters while a `Watch` sees its losses."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speed.family import NEWTRON
from speed.levels import Layers, Watch
from speed.timing import clock

Array = NDArray[Any]
Trainer = Callable[[Layers, Watch], None]

RATE = 0.01  # of both Adams


class _EnoughError(Exception):
    """Raised inside a trainer that offers no other way to stop it."""


def _newtron(X: Array, y: Array, hidden: int) -> Trainer:
    from newtron import minimize
    from newtron.engine.base.threads import thread_count
    from newtron.engine.maths.losses import SquaredError
    from newtron.engine.maths.network import Network
    from newtron.engine.objective import TrainingObjective
    from newtron.engine.rows import ArrayRows
    from newtron.engine.solvers.auto import solver_named

    network = Network((X.shape[1], hidden, 1), "tanh", True)

    def train(layers: Layers, watch: Watch) -> None:
        objective = TrainingObjective(network, SquaredError(), ArrayRows(X, y[:, None], threads=thread_count()), 0.0)
        solver, _ = solver_named("auto", objective)
        params = np.concatenate([part.ravel() for layer in layers for part in layer])
        minimize(objective, params, solver, callback=lambda progress: watch.sees(progress.state.value))

    return train


def _torch_model(hidden: int, layers: Layers) -> Any:
    import torch
    from torch import nn

    first, second = layers
    model = nn.Sequential(nn.Linear(len(first[0]), hidden), nn.Tanh(), nn.Linear(hidden, 1)).double()
    with torch.no_grad():
        for layer, (W, b) in zip((model[0], model[2]), (first, second), strict=True):
            layer.weight.copy_(torch.from_numpy(W.T))
            layer.bias.copy_(torch.from_numpy(b))
    return model


def _torch_lm(X: Array, y: Array, hidden: int) -> Trainer:
    import logging

    import torch
    from torch_levenberg_marquardt.training import LevenbergMarquardtModule

    logging.getLogger("torch_levenberg_marquardt").setLevel(logging.CRITICAL)
    inputs, targets = torch.from_numpy(X), torch.from_numpy(y[:, None])

    def train(layers: Layers, watch: Watch) -> None:
        module = LevenbergMarquardtModule(_torch_model(hidden, layers), solve_method="cholesky")
        while True:
            _, loss, stopped, _ = module.training_step(inputs, targets)
            if watch.sees(0.5 * float(loss)) or stopped:
                return

    return train


def _torch_adam(X: Array, y: Array, hidden: int) -> Trainer:
    import torch

    inputs, targets = torch.from_numpy(X), torch.from_numpy(y[:, None])

    def train(layers: Layers, watch: Watch) -> None:
        model = _torch_model(hidden, layers)
        adam = torch.optim.Adam(model.parameters(), lr=RATE)
        while True:
            adam.zero_grad()
            loss = 0.5 * torch.mean(torch.square(model(inputs) - targets))
            loss.backward()
            adam.step()
            if watch.sees(loss.item()):
                return

    return train


def _torch_lbfgs(X: Array, y: Array, hidden: int) -> Trainer:
    import torch

    inputs, targets = torch.from_numpy(X), torch.from_numpy(y[:, None])

    def train(layers: Layers, watch: Watch) -> None:
        model = _torch_model(hidden, layers)
        lbfgs = torch.optim.LBFGS(
            model.parameters(),
            max_iter=10**6,
            max_eval=10**7,
            history_size=100,
            line_search_fn="strong_wolfe",
            tolerance_grad=0.0,
            tolerance_change=0.0,
        )

        def closure() -> Any:
            lbfgs.zero_grad()
            loss = 0.5 * torch.mean(torch.square(model(inputs) - targets))
            loss.backward()
            if watch.sees(loss.item()):
                raise _EnoughError
            return loss

        try:
            lbfgs.step(closure)
        except _EnoughError:
            return

    return train


def _mlp(X: Array, y: Array, hidden: int, solver: str) -> Trainer:
    from sklearn.neural_network import MLPRegressor

    class Watched(MLPRegressor):  # type: ignore[misc]
        """MLPRegressor whose losses are seen while it trains: it has no callback."""

        watch: Watch

        def _loss_grad_lbfgs(self, *arguments: Any, **named: Any) -> Any:
            found = super()._loss_grad_lbfgs(*arguments, **named)
            self._look(found[0])
            return found

        def _update_no_improvement_count(self, *arguments: Any, **named: Any) -> Any:
            self._look(self.loss_curve_[-1])
            return super()._update_no_improvement_count(*arguments, **named)

        def _look(self, loss: float) -> None:
            if self.watch.sees(float(loss)):
                raise _EnoughError

    def train(layers: Layers, watch: Watch) -> None:
        model = Watched(hidden_layer_sizes=(hidden,), activation="tanh", solver=solver, alpha=0.0, random_state=0)
        model.set_params(max_fun=10**7, tol=0.0, n_iter_no_change=10**6, learning_rate_init=RATE, warm_start=True)
        # A first short fit makes what a warm start continues from; then the parameters are ours.
        model.watch = Watch(0.0, float("inf"))
        model.set_params(max_iter=1).fit(X, y)
        model.coefs_, model.intercepts_ = ([layer[part].copy() for layer in layers] for part in (0, 1))
        model.n_iter_, model.t_, model.loss_curve_, model.best_loss_ = 0, 0, [], np.inf
        watch.restart()
        model.watch = watch
        try:
            model.set_params(max_iter=10**6).fit(X, y)
        except _EnoughError:
            return

    return train


class _Optimistix:
    """Levenberg-Marquardt in JAX, a compiled step at a time. compiling: seconds that compiling took."""

    def __init__(self, X: Array, y: Array, hidden: int) -> None:
        import equinox
        import jax
        import jax.numpy as jnp
        import optimistix

        jax.config.update("jax_enable_x64", True)
        self._inputs, self._targets = jnp.asarray(X), jnp.asarray(y)
        solver = optimistix.LevenbergMarquardt(rtol=1e-15, atol=1e-15)

        def residuals(layers: Any, data: Any) -> Any:
            (W1, b1), (W2, b2) = layers
            return ((jnp.tanh(data[0] @ W1 + b1) @ W2 + b2)[:, 0] - data[1]), None

        tags: frozenset[object] = frozenset()
        options = {"jac": "bwd" if len(y) < (X.shape[1] + 2) * hidden + 1 else "fwd"}  # the cheaper of the two
        self._data = (self._inputs, self._targets)
        self._init = equinox.filter_jit(
            lambda layers: solver.init(
                residuals,
                layers,
                self._data,
                options,
                jax.ShapeDtypeStruct(self._targets.shape, self._targets.dtype),
                None,
                tags,
            )
        )

        def step(layers: Any, state: Any) -> Any:
            layers, state, _ = solver.step(residuals, layers, self._data, options, state, tags)
            return layers, state, 0.5 * jnp.mean(jnp.square(residuals(layers, self._data)[0]))

        self._step = equinox.filter_jit(step)
        self.compiling = 0.0

    def __call__(self, layers: Layers, watch: Watch) -> None:
        import jax

        before = clock()
        at: Any = jax.device_put(layers)
        state = self._init(at)
        while True:
            at, state, loss = self._step(at, state)
            stop = watch.sees(float(loss))
            self.compiling = self.compiling or clock() - before
            if stop or not np.isfinite(float(loss)):
                return


R_SCRIPT = """
options(digits = 15)
library(nnet)
given <- commandArgs(TRUE)
x <- as.matrix(read.csv(paste0(given[1], "/x.csv"), header = FALSE))
y <- as.matrix(read.csv(paste0(given[1], "/y.csv"), header = FALSE))
weights <- scan(paste0(given[1], "/weights.csv"), quiet = TRUE)
began <- proc.time()[["elapsed"]]
fit <- nnet(x, y, size = as.integer(given[2]), Wts = weights, linout = TRUE, maxit = 1e7, MaxNWts = 1e5,
            abstol = as.numeric(given[3]), reltol = 0, trace = TRUE)
took <- proc.time()[["elapsed"]] - began
cat("took", took, "value", fit$value, "\\n")
"""


def _nnet(X: Array, y: Array, hidden: int) -> Trainer:
    """R's nnet stops at a given sum of squares (abstol), so every level has a run of its own."""

    def train(layers: Layers, watch: Watch) -> None:
        (W1, b1), (W2, b2) = layers
        # tanh(z) = 2 σ(2z) - 1; per unit nnet has the bias first.
        to_hidden = np.vstack([2.0 * b1, 2.0 * W1]).T
        to_output = np.vstack([b2 - W2.sum(axis=0), 2.0 * W2]).T
        with tempfile.TemporaryDirectory() as folder:
            for name, values in (("x", X), ("y", y), ("weights", np.concatenate([to_hidden, to_output], axis=None))):
                np.savetxt(Path(folder) / f"{name}.csv", values, delimiter=",", fmt="%.17g")
            (Path(folder) / "fit.R").write_text(R_SCRIPT, encoding="utf-8")
            for level in watch.lacking:
                if not _one_level(Path(folder), hidden, level, len(y), watch):
                    return

    return train


def _one_level(folder: Path, hidden: int, level: str, n: int, watch: Watch) -> bool:
    """Did it get there? Sums of squares are 2n times the loss."""
    wanted = float(level) * watch.first if np.isfinite(watch.first) else 1e9
    command = ["Rscript", str(folder / "fit.R"), str(folder), str(hidden), repr(2.0 * n * wanted)]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=watch.limit + 5.0).stdout
    except subprocess.TimeoutExpired as error:
        told = (error.stdout or b"").decode()
    first = re.search(r"^initial +value (\S+)", told, re.MULTILINE)
    if first is not None and np.isfinite(watch.first) and abs(float(first[1]) / (2 * n * watch.first) - 1.0) > 1e-5:
        raise ValueError("nnet starts from another function")
    for value in re.findall(r"^iter *\d+ value (\S+)", told, re.MULTILINE):
        watch.lowest = min(watch.lowest, float(value) / (2.0 * n))
    ended = re.search(r"^took (\S+) value (\S+)", told, re.MULTILINE)
    if ended is None:
        watch.spent = watch.limit
        return False
    watch.sees(float(ended[2]) / (2.0 * n), at=float(ended[1]))
    return level not in watch.lacking


TRAINERS: dict[str, Callable[[Array, Array, int], Trainer]] = {
    NEWTRON: _newtron,
    "torch-levenberg-marquardt": _torch_lm,
    "PyTorch LBFGS": _torch_lbfgs,
    "PyTorch Adam": _torch_adam,
    "MLPRegressor lbfgs": lambda X, y, hidden: _mlp(X, y, hidden, "lbfgs"),
    "MLPRegressor adam": lambda X, y, hidden: _mlp(X, y, hidden, "adam"),
    "optimistix LM": _Optimistix,
    "R nnet": _nnet,
}
