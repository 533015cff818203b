"""Trainers on batches: each is made for the data and then trains from given parameters, an epoch at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speed.family import NEWTRON
from speed.gradient_pass import Layers
from speed.mini_batch import EpochWatch
from speed.timing import timed

Array = NDArray[Any]
Trainer = Callable[[Layers, int, EpochWatch], None]  # (start, seed of the batches, watch)


def _newtron(X: Array, Y: Array, batch: int, rate: float) -> Trainer:
    from newtron import Stochastic, minimize
    from newtron.losses import loss_for
    from newtron.network import Network
    from newtron.objective import TrainingObjective
    from newtron.parallel import thread_count
    from newtron.rows import ArrayRows

    loss = loss_for("regression" if Y.shape[1] == 1 else "classification", None, Y.shape[1])

    def train(layers: Layers, seed: int, watch: EpochWatch) -> None:
        network = Network((X.shape[1], layers[0][0].shape[1], Y.shape[1]), "relu", True)
        objective = TrainingObjective(network, loss, ArrayRows(X, Y, threads=thread_count()), 0.0)
        params = np.concatenate([part.ravel() for layer in layers for part in layer]).astype(np.float64)

        def look(progress: Any) -> bool:
            found = network.split(progress.state.params.astype(np.float32))
            return watch.sees([(layer.W, layer.b) for layer in found])

        minimize(objective, params, Stochastic(seed=seed), callback=look)

    return train


def _torch(X: Array, Y: Array, batch: int, rate: float) -> Trainer:
    import torch
    from torch import nn

    inputs = torch.from_numpy(X)
    several = Y.shape[1] > 1
    targets = torch.from_numpy(Y.argmax(axis=1) if several else Y)
    criterion = nn.CrossEntropyLoss() if several else nn.MSELoss()

    def train(layers: Layers, seed: int, watch: EpochWatch) -> None:
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(X.shape[1], layers[0][0].shape[1]), nn.ReLU())
        model.append(nn.Linear(layers[1][0].shape[0], Y.shape[1]))
        with torch.no_grad():
            for layer, (W, b) in zip((model[0], model[2]), layers, strict=True):
                layer.weight.copy_(torch.from_numpy(W.T))
                layer.bias.copy_(torch.from_numpy(b))
        adam = torch.optim.Adam(model.parameters(), lr=rate)
        watch.restart()
        while True:
            for chosen in torch.randperm(len(X)).split(batch):
                adam.zero_grad()
                criterion(model(inputs[chosen]), targets[chosen]).backward()
                adam.step()
            weights = [(layer.weight.detach().numpy().T, layer.bias.detach().numpy()) for layer in (model[0], model[2])]
            if watch.sees(weights):
                return

    return train


def _sklearn(X: Array, Y: Array, batch: int, rate: float) -> Trainer:
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    several = Y.shape[1] > 1
    labels = Y.argmax(axis=1) if several else Y[:, 0]
    kind = MLPClassifier if several else MLPRegressor
    first = {"classes": np.unique(labels)} if several else {}

    def train(layers: Layers, seed: int, watch: EpochWatch) -> None:
        model = kind(hidden_layer_sizes=layers[0][0].shape[1:], alpha=0.0, random_state=seed)
        model.set_params(learning_rate_init=rate, batch_size="auto" if several else batch)
        while True:
            model.partial_fit(X, labels, **first)
            if watch.sees(list(zip(model.coefs_, model.intercepts_, strict=True))):
                return

    return train


class _Jax:
    """An epoch is one compiled program: the permutation, and a scan over its batches."""

    def __init__(self, X: Array, Y: Array, batch: int, rate: float) -> None:
        import jax
        import jax.numpy as jnp
        import optax

        inputs, targets = jax.device_put((X, Y))
        self._adam = optax.adam(rate)
        several, n = Y.shape[1] > 1, len(X)
        batch = min(batch, n)

        def loss(layers: Any, x: Any, y: Any) -> Any:
            (W1, b1), (W2, b2) = layers
            z = jax.nn.relu(x @ W1 + b1) @ W2 + b2
            if several:
                return optax.softmax_cross_entropy(z, y).mean()
            return jnp.mean(jnp.square(z - y))

        def step(held: Any, chosen: Any) -> Any:
            layers, state = held
            slope = jax.grad(loss)(layers, inputs[chosen], targets[chosen])
            change, state = self._adam.update(slope, state, layers)
            return (optax.apply_updates(layers, change), state), None

        @jax.jit
        def epoch(layers: Any, state: Any, key: Any) -> Any:
            order = jax.random.permutation(key, n)[: n // batch * batch].reshape(-1, batch)
            return jax.lax.scan(step, (layers, state), order)[0]

        self._epoch, self._key = epoch, jax.random.key
        self._put, self._ready = jax.device_put, jax.block_until_ready
        self.compiling = 0.0
        self._compiled: Any = None

    def __call__(self, layers: Layers, seed: int, watch: EpochWatch) -> None:
        at = self._put(layers)
        state = self._adam.init(at)
        if self._compiled is None:
            self.compiling, self._compiled = timed(lambda: self._epoch.lower(at, state, self._key(0)).compile())
        watch.restart()
        epoch = 0
        while True:
            at, state = self._ready(self._compiled(at, state, self._key(1000 * seed + epoch)))
            epoch += 1
            if watch.sees([(np.asarray(W), np.asarray(b)) for W, b in at]):
                return


TRAINERS: dict[str, Callable[[Array, Array, int, float], Trainer]] = {
    NEWTRON: _newtron,
    "PyTorch Adam": _torch,
    "scikit-learn Adam": _sklearn,
    "JAX, optax Adam": _Jax,
}
