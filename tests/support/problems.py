"""Problems that several tests share: objectives with known optima, and random data for every kind of loss.

A new loss, activation or solver is tested by being listed in its own table; a new problem by being listed here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from support.certified import NONLINEAR, Nonlinear

from newtron.engine.maths.losses import LOSSES, Loss
from newtron.engine.maths.network import Network
from newtron.engine.objective import Evaluation, FirstOrder, Objective, SecondOrder, TrainingObjective
from newtron.engine.rows import ArrayRows, Chunk

Array = NDArray[np.floating]


class FormulaObjective(Objective):
    """½ sum of squared residuals of one of NIST's formulas."""

    def __init__(self, model: Nonlinear, n_params: int) -> None:
        super().__init__()
        self.model, self.n_params = model, n_params

    def _evaluate(self, params: Array, order: int, gauss_newton: bool) -> Evaluation:
        r = self.model.f(params, self.model.x) - self.model.y
        value = 0.5 * float(r @ r)
        if order == 0:
            return Evaluation(value)
        J = self.model.jacobian(params, self.model.x)
        if order == 1:
            return FirstOrder(value, J.T @ r)
        hessian = J.T @ J
        if not gauss_newton:
            hessian = hessian + self.model.hess(params, self.model.x, r)
        return SecondOrder(value, J.T @ r, hessian)


def nist(name: str, n_params: int) -> FormulaObjective:
    return FormulaObjective(NONLINEAR[name], n_params)


class Rosenbrock(Objective):
    """(1 - x)² + 100 (y - x²)²: a bent valley; minimum 0 at (1, 1). Its Gauss-Newton part is that of two residuals."""

    n_params = 2

    def _evaluate(self, params: Array, order: int, gauss_newton: bool) -> Evaluation:
        x, y = params
        r = np.array([1.0 - x, 10.0 * (y - x * x)])
        J = np.array([[-1.0, 0.0], [-20.0 * x, 10.0]])
        H = 2.0 * J.T @ J
        if not gauss_newton:
            H = H + 2.0 * r[1] * np.array([[-20.0, 0.0], [0.0, 0.0]])
        return SecondOrder(float(r @ r), 2.0 * J.T @ r, H)


class Saddle(Objective):
    """x² - y² + y⁴/2: a saddle at 0, minima at (0, ±1) with value -½."""

    n_params = 2

    def _evaluate(self, params: Array, order: int, gauss_newton: bool) -> Evaluation:
        x, y = params
        H = np.diag([2.0, (0.0 if gauss_newton else -2.0) + 6.0 * y * y])
        return SecondOrder(x * x - y * y + 0.5 * y**4, np.array([2.0 * x, -2.0 * y + 2.0 * y**3]), H)


def targets(loss: Loss, n: int, k: int, rng: np.random.Generator) -> Array:
    """Targets in the loss's range; shares of several classes add to 1, and none is a whole 0 or 1."""
    if loss.name == "poisson":
        return np.round(2.0 * np.square(rng.normal(size=(n, k))))
    if loss.task == "regression":
        return rng.normal(size=(n, k))
    y = rng.uniform(0.05, 0.95, size=(n, k))
    return y / y.sum(axis=1, keepdims=True) if loss.min_outputs > 1 else y


@dataclass(frozen=True)
class Case:
    """One loss x activation x depth x outputs x storage of X."""

    loss: Loss
    activation: str
    hidden: tuple[int, ...]
    k: int
    sparse: bool = False
    intercept: bool = True

    def __str__(self) -> str:
        kind = "sparse" if self.sparse else "dense"
        return f"{type(self.loss).__name__}-{self.activation}-{self.hidden}-{self.k}-{kind}-{self.intercept}"

    def objective(self, block_rows: int | None = None) -> tuple[TrainingObjective, Array]:
        """The training objective on random weighted data, and a random point."""
        rng = np.random.default_rng(7)
        n, p = 40, 4
        X = rng.normal(size=(n, p))
        if self.sparse:
            X[rng.random(X.shape) < 0.6] = 0.0
        rows = ArrayRows(
            sparse.csr_matrix(X) if self.sparse else X, targets(self.loss, n, self.k, rng), rng.uniform(0.5, 2.0, n)
        )
        network = Network((p, *self.hidden, self.k), self.activation, self.intercept)
        objective = TrainingObjective(network, self.loss, rows, alpha=0.3, block_rows=block_rows)
        return objective, rng.normal(scale=0.7, size=network.n_params)


def cases(activations: tuple[str, ...]) -> list[Case]:
    """Every loss x activation x depth 0, 1, 2, 3 x outputs 1, 3, with and without intercepts; sparse perceptrons."""
    found = []
    for loss in LOSSES:
        for k in (1, 3):
            if k < loss.min_outputs:
                continue
            for intercept in (True, False):
                found.append(Case(loss, "identity", (), k, intercept=intercept))
                found.append(Case(loss, "identity", (), k, sparse=True, intercept=intercept))
                for activation in activations:
                    for hidden in ((3,), (4, 3), (3, 2, 3)):
                        found.append(Case(loss, activation, hidden, k, intercept=intercept))
    return found


@dataclass(frozen=True)
class Smooth:
    """An objective with a start and the value at its optimum, None where there are many."""

    objective: Objective
    start: Array
    optimum: float | None


def logistic(alpha: float = 0.0) -> TrainingObjective:
    """A logistic perceptron on 300 rows with noise: one finite optimum."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(300, 4)) * [1.0, 10.0, 0.1, 3.0] + [0.0, 5.0, 0.0, 1.0]
    z = X @ [1.0, -0.1, 5.0, 0.2] - 0.3
    y = (rng.random(300) < 1.0 / (1.0 + np.exp(-z))).astype(float)[:, None]
    return TrainingObjective(Network((4, 1)), LOSSES[1], ArrayRows(X, y), alpha)


def tanh_network(alpha: float = 0.5) -> tuple[TrainingObjective, Array]:
    """A 2-4-1 tanh regression network on 120 rows, and a start."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(120, 2))
    y = (np.sin(X[:, 0]) + 0.5 * X[:, 1] ** 2 + 0.1 * rng.normal(size=120))[:, None]
    network = Network((2, 4, 1), "tanh")
    objective = TrainingObjective(network, LOSSES[0], ArrayRows(X, y), alpha)
    return objective, network.start(np.random.default_rng(1), np.zeros(1))


def batch_gradient(objective: TrainingObjective, params: Array, batch: Chunk) -> Array:
    """The gradient of the mean loss over a batch plus the penalty, divided by the weight of a batch of average
    weight."""
    found = objective.of_chunk(params.astype(objective.rows.dtype, copy=False), batch, 1)
    assert isinstance(found, FirstOrder)
    weight = objective.rows.total_weight * batch.y.shape[0] / objective.rows.n_rows
    return np.asarray(found.gradient / weight + objective.alpha * params / objective.rows.total_weight)
