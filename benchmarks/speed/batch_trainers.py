"""Trainers on batches: each is made for the data and then trains from given parameters, an epoch at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speed.family import NEWTRON
from speed.gradient_pass import Layers
from speed.recipes import EpochWatch, Recipe
from speed.timing import timed

Array = NDArray[Any]
Trainer = Callable[[Layers, int, EpochWatch], None]  # (start, seed of the batches, watch)


def _newtron(X: Array, Y: Array, recipe: Recipe) -> Trainer:
    from newtron import Stochastic, minimize
    from newtron.engine.base.threads import thread_count
    from newtron.engine.maths.losses import loss_for
    from newtron.engine.maths.network import Network
    from newtron.engine.objective import TrainingObjective
    from newtron.engine.rows import ArrayRows

    loss = loss_for("regression" if Y.shape[1] == 1 else "classification", None, Y.shape[1])

    def train(layers: Layers, seed: int, watch: EpochWatch) -> None:
        network = Network((X.shape[1], layers[0][0].shape[1], Y.shape[1]), recipe.activation, True)
        objective = TrainingObjective(network, loss, ArrayRows(X, Y, threads=thread_count()), 0.0)
        params = np.concatenate([part.ravel() for layer in layers for part in layer]).astype(np.float64)

        def look(progress: Any) -> bool:
            found = network.split(progress.state.params.astype(np.float32))
            return watch.sees([(layer.W, layer.b) for layer in found if layer.b is not None])

        minimize(objective, params, Stochastic(seed=seed), callback=look)

    return train


def _torch(X: Array, Y: Array, recipe: Recipe) -> Trainer:
    import torch
    from torch import nn

    inputs = torch.from_numpy(X)
    several = Y.shape[1] > 1
    targets = torch.from_numpy(Y.argmax(axis=1) if several else Y)
    units = nn.ReLU if recipe.activation == "relu" else nn.Tanh
    criterion = nn.CrossEntropyLoss() if several else nn.MSELoss()

    def train(layers: Layers, seed: int, watch: EpochWatch) -> None:
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(X.shape[1], layers[0][0].shape[1]), units())
        model.append(nn.Linear(layers[1][0].shape[0], Y.shape[1]))
        with torch.no_grad():
            for layer, (W, b) in zip((model[0], model[2]), layers, strict=True):
                layer.weight.copy_(torch.from_numpy(W.T))
                layer.bias.copy_(torch.from_numpy(b))
        adam = torch.optim.Adam(model.parameters(), lr=recipe.rate)
        steps = recipe.epochs * -(-len(X) // recipe.batch)
        schedule = torch.optim.lr_scheduler.LinearLR(adam, 1.0, 1e-3, steps)
        watch.restart()
        for _ in range(recipe.epochs):
            for chosen in torch.randperm(len(X)).split(recipe.batch):
                adam.zero_grad()
                criterion(model(inputs[chosen]), targets[chosen]).backward()
                adam.step()
                schedule.step()
            weights = [(layer.weight.detach().numpy().T, layer.bias.detach().numpy()) for layer in (model[0], model[2])]
            if watch.sees(weights):
                return

    return train


def _sklearn(X: Array, Y: Array, recipe: Recipe) -> Trainer:
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    several = Y.shape[1] > 1
    labels = Y.argmax(axis=1) if several else Y[:, 0]
    kind = MLPClassifier if several else MLPRegressor
    first = {"classes": np.unique(labels)} if several else {}

    def train(layers: Layers, seed: int, watch: EpochWatch) -> None:
        model = kind(hidden_layer_sizes=layers[0][0].shape[1:], alpha=0.0, random_state=seed)
        model.set_params(activation=recipe.activation, learning_rate_init=recipe.rate, batch_size=recipe.batch)
        while True:
            model.partial_fit(X, labels, **first)
            if watch.sees(list(zip(model.coefs_, model.intercepts_, strict=True))):
                return

    return train


class _Jax:
    """An epoch is one compiled program: the permutation, and a scan over its batches."""

    def __init__(self, X: Array, Y: Array, recipe: Recipe) -> None:
        import jax
        import jax.numpy as jnp
        import optax

        inputs, targets = jax.device_put((X, Y))
        several, n = Y.shape[1] > 1, len(X)
        batch = min(recipe.batch, n)
        self._epochs = recipe.epochs
        self._adam = optax.adam(optax.linear_schedule(recipe.rate, 1e-3 * recipe.rate, recipe.epochs * (n // batch)))
        f = jax.nn.relu if recipe.activation == "relu" else jnp.tanh

        def loss(layers: Any, x: Any, y: Any) -> Any:
            (W1, b1), (W2, b2) = layers
            z = f(x @ W1 + b1) @ W2 + b2
            if several:
                return optax.softmax_cross_entropy(z, y).mean()
            return jnp.mean(jnp.square(z - y))

        def step(held: Any, chosen: Any) -> Any:
            layers, state = held
            slope = jax.grad(loss)(layers, inputs[chosen], targets[chosen])
            change, state = self._adam.update(slope, state, layers)
            return (optax.apply_updates(layers, change), state), None

        def epoch(layers: Any, state: Any, key: Any) -> Any:
            order = jax.random.permutation(key, n)[: n // batch * batch].reshape(-1, batch)
            return jax.lax.scan(step, (layers, state), order)[0]

        self._epoch, self._key = jax.jit(epoch), jax.random.key
        self._put, self._ready = jax.device_put, jax.block_until_ready
        self.compiling = 0.0
        self._compiled: Any = None

    def __call__(self, layers: Layers, seed: int, watch: EpochWatch) -> None:
        at = self._put(layers)
        state = self._adam.init(at)
        if self._compiled is None:
            self.compiling, self._compiled = timed(lambda: self._epoch.lower(at, state, self._key(0)).compile())
        watch.restart()
        for epoch in range(self._epochs):
            at, state = self._ready(self._compiled(at, state, self._key(1000 * seed + epoch)))
            if watch.sees([(np.asarray(W), np.asarray(b)) for W, b in at]):
                return


TRAINERS: dict[str, Callable[[Array, Array, Recipe], Trainer]] = {
    NEWTRON: _newtron,
    "PyTorch Adam": _torch,
    "scikit-learn Adam": _sklearn,
    "JAX, optax Adam": _Jax,
}
