"""The proven bounds are bounds: held to optima found with 60 digits, at them and far away, for hundreds of problems."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from typing import Any

import mpmath
import numpy as np
import pytest
from mpmath import mpf
from numpy.typing import NDArray

from newtron.engine.maths.losses import LogLoss, Loss, SoftmaxLogLoss, SquaredError
from newtron.engine.maths.network import Network
from newtron.engine.objective import TrainingObjective
from newtron.engine.rows import ArrayRows
from newtron.engine.solvers import Newton, Solution, Status, minimize
from newtron.inference.certificate.endpoint import Endpoint, measure
from newtron.inference.certificate.gap import concordant_gap, curvature_bound, penalty_bound

Array = NDArray[Any]  # of mpf where exactness matters
KINDS: dict[str, tuple[Loss, int]] = {
    "squared": (SquaredError(), 1),
    "logistic": (LogLoss(), 1),
    "two logistics": (LogLoss(), 2),
    "softmax": (SoftmaxLogLoss(), 3),
}
exponential, logarithm = np.frompyfunc(mpmath.exp, 1, 1), np.frompyfunc(mpmath.log, 1, 1)
exact = np.frompyfunc(mpf, 1, 1)


class Exact:
    """The objective of a perceptron, its gradient and Hessian, in mpmath's digits."""

    def __init__(self, objective: TrainingObjective, X: Array, Y: Array, weight: Array) -> None:
        ones = np.ones((len(X), int(objective.network.intercept)))
        self.A, self.Y, self.w = exact(np.hstack([X, ones])), exact(Y), exact(weight)
        self.loss, self.k = objective.loss, Y.shape[1]
        self.alpha, self.total = exact(objective.alpha), self.w.sum()

    def __call__(self, params: Array) -> tuple[mpf, Array, Array]:
        z = self.A @ params.reshape(-1, self.k)
        n, k = z.shape
        if self.loss.quadratic:
            slope = z - self.Y
            value = (self.w * ((z - self.Y) ** 2).sum(axis=1)).sum() / 2
            H = np.broadcast_to(exact(np.eye(k)), (n, k, k))
        elif isinstance(self.loss, LogLoss):
            p = 1 / (1 + exponential(-z))
            value = (self.w * (logarithm(1 + exponential(z)) - self.Y * z).sum(axis=1)).sum()
            slope, H = p - self.Y, (p * (1 - p))[:, :, None] * exact(np.eye(k))
        else:
            e = exponential(z)
            p = e / e.sum(axis=1, keepdims=True)
            value = (self.w * (logarithm(e.sum(axis=1)) - (self.Y * z).sum(axis=1))).sum()
            slope, H = p - self.Y, p[:, :, None] * exact(np.eye(k)) - p[:, :, None] * p[:, None, :]
        gradient = (self.A.T @ (self.w[:, None] * slope)).ravel() + self.alpha * params
        weighted = self.w[:, None, None] * H
        hessian = np.empty((params.size, params.size), dtype=object)
        for c in range(k):
            for d in range(k):
                hessian[c::k, d::k] = self.A.T @ (weighted[:, c, d][:, None] * self.A)
        hessian += np.diag(self.alpha)
        value += (self.alpha * params**2).sum() / 2
        return value / self.total, gradient / self.total, hessian / self.total

    def lowest(self, params: Array) -> mpf:
        """f*, by Newton's method in all digits from a point near it."""
        for _ in range(30):
            value, gradient, hessian = self(params)
            # Softmax has directions in which nothing happens: a curvature there leaves the step out of them.
            ridge = exact(np.eye(params.size)) * mpf("1e-45") if isinstance(self.loss, SoftmaxLogLoss) else 0
            step = mpmath.lu_solve(mpmath.matrix((hessian + ridge).tolist()), mpmath.matrix(gradient.tolist()))
            params = params - np.array(list(step), dtype=object)
            if max(map(abs, gradient)) < mpf("1e-48"):
                return value
        raise AssertionError("no optimum")


def problem(kind: str, seed: int) -> tuple[TrainingObjective, Exact]:
    """Random rows: of any units, some with columns that hardly differ, weighted or not, penalised or not."""
    loss, k = KINDS[kind]
    rng = np.random.default_rng([seed, k, loss.quadratic])
    n, p = int(rng.integers(14, 24)), int(rng.integers(1, 4))
    X = rng.normal(size=(n, p)) + rng.choice([0.0, 3.0])
    if p > 1 and rng.random() < 0.4:
        X[:, 1] = X[:, 0] + 10.0 ** rng.uniform(-5, -1) * X[:, 1]
    X *= 10.0 ** rng.uniform(-4, 4, size=p) if rng.random() < 0.5 else 1.0
    if loss.quadratic:
        Y = rng.normal(size=(n, k)) * 10.0 ** rng.uniform(-3, 3)
    elif loss.min_outputs > 1:
        Y = np.eye(k)[rng.integers(0, k, n)]
    else:
        Y = rng.integers(0, 2, (n, k)).astype(float)
    weight = rng.uniform(0.2, 3.0, n) if rng.random() < 0.5 else np.ones(n)
    alpha = float(rng.choice([0.0, 1e-3, 1.0]))
    network = Network((p, k), intercept=bool(rng.random() < 0.7))
    objective = TrainingObjective(network, loss, ArrayRows(X, Y, weight), alpha)
    return objective, Exact(objective, X, Y, weight)


def points(objective: TrainingObjective, seed: int) -> tuple[Solution, list[Array]]:
    """The optimum as it was found, places on the way there, and places near it."""
    rng = np.random.default_rng(seed)
    solution = minimize(objective, np.zeros(objective.n_params), Newton())
    way = [minimize(objective, np.zeros(objective.n_params), Newton(), max_iter=i).params for i in (1, 3)]
    size = np.abs(solution.params) + 1e-300
    near = [solution.params + size * 10.0**e * rng.normal(size=len(size)) for e in (-1.0, -3.0, -6.0, -10.0)]
    return solution, [solution.params, np.zeros(objective.n_params), *way, *near]


def at(objective: TrainingObjective, solution: Solution, params: Array) -> Endpoint:
    return measure(objective, replace(solution, params=params), thorough=True)


@cache
def study(kind: str) -> list[tuple[float, mpf, Endpoint]]:
    """(bound, truth, where) of every point of every problem that has an optimum."""
    found = []
    with mpmath.workdps(60):
        for seed in range(50):
            objective, truth = problem(kind, seed)
            solution, places = points(objective, seed)
            if not solution.converged:
                continue
            lowest = truth.lowest(exact(solution.params))
            for params in places:
                end = at(objective, solution, params)
                found.append((end.curvature.loss_gap_bound, truth(exact(params))[0] - lowest, end))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_no_objective_is_further_above_its_minimum_than_proved(kind: str) -> None:
    checked = [(bound, gap) for bound, gap, _ in study(kind) if np.isfinite(bound)]
    assert len(checked) > 200
    assert [(bound, float(gap)) for bound, gap in checked if gap > mpf(bound)] == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_bound_is_close_where_the_gradient_is_more_than_rounding(kind: str) -> None:
    """Where Newton's step is short for the loss, the bound is within 30 % of the truth."""
    ratios = []
    for bound, gap, end in study(kind):
        s = end.spectrum
        assert s is not None
        assert end.concordance is not None
        if s.sign != 1 or s.scaled_smallest <= 1e3 * s.error:
            continue
        rounding = float(np.linalg.norm(end.rounding.gradient / end.scale)) / s.scaled_smallest**0.5
        reach = s.decrement * end.radius * end.concordance / s.scaled_smallest**0.5
        if s.decrement > 100.0 * rounding and reach < 0.5:
            ratios.append(bound / float(gap))
    assert len(ratios) > 100
    assert max(ratios) < 1.3


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_at_an_optimum_the_bound_is_at_the_level_of_rounding(kind: str) -> None:
    shares = [
        bound / abs(end.value)
        for bound, _, end in study(kind)
        if end.relative_gradient < 1e-12 and end.spectrum is not None and end.spectrum.scaled_smallest > 1e-6
    ]
    assert len(shares) > 20
    assert max(shares) < 1e-18


@pytest.mark.slow
def test_every_gradient_is_within_its_rounding() -> None:
    with mpmath.workdps(60):
        for kind in KINDS:
            for seed in range(15):
                objective, truth = problem(kind, seed)
                solution, places = points(objective, seed)
                for params in places[:4]:
                    end = at(objective, solution, params)
                    value, gradient, hessian = truth(exact(params))
                    assert abs(value - mpf(end.value)) <= mpf(end.rounding.value)
                    assert np.all(np.abs(gradient - exact(end.gradient)) <= exact(end.rounding.gradient))
                    assert end.hessian is not None
                    unit = exact(1.0 / end.scale)
                    off = ((hessian - exact(end.hessian)) * unit * unit[:, None]).astype(float)
                    assert np.linalg.norm(off, 2) <= end.rounding.curvature


FUNCTIONS = {
    "tanh": np.frompyfunc(mpmath.tanh, 1, 1),
    "sigmoid": np.frompyfunc(lambda z: 1 / (1 + mpmath.exp(-z)), 1, 1),
    "softplus": np.frompyfunc(lambda z: mpmath.log1p(mpmath.exp(z)), 1, 1),
}


def network_value(objective: TrainingObjective, X: Array, Y: Array, params: Array) -> mpf:
    """The objective of a network with one hidden layer, in mpmath's digits."""
    first, last = objective.network.split(params)
    z = FUNCTIONS[objective.network.activation](exact(X) @ first.W + first.b) @ last.W + last.b
    rows = (z - exact(Y)) ** 2 / 2 if objective.loss.quadratic else logarithm(1 + exponential(z)) - exact(Y) * z
    return (rows.sum() + (exact(objective.alpha) * params**2).sum() / 2) / len(X)


@pytest.mark.slow
@pytest.mark.parametrize("activation", FUNCTIONS)
@pytest.mark.parametrize("loss", [SquaredError(), LogLoss()], ids=lambda loss: loss.name)
def test_the_rounding_of_a_network_is_not_underrated(activation: str, loss: Loss) -> None:
    with mpmath.workdps(60):
        for seed in range(3):
            rng = np.random.default_rng(seed)
            X, size = rng.normal(size=(9, 2)) * 10.0 ** rng.uniform(-2, 2, 2), 10.0 ** rng.uniform(-1, 1)
            Y = rng.normal(size=(9, 1)) * size if loss.quadratic else rng.integers(0, 2, (9, 1)).astype(float)
            network = Network((2, 2, 1), activation)
            objective = TrainingObjective(network, loss, ArrayRows(X, Y), alpha=0.1)
            params = rng.normal(size=network.n_params)
            solution = minimize(objective, params, Newton(), max_iter=2)
            end = measure(objective, solution, thorough=True)

            value = partial(network_value, objective, X, Y)
            w, h = exact(solution.params), mpf("1e-15")
            steps = exact(np.eye(w.size)) * h
            # Central differences: their error of about 1e-30 is nothing beside that of doubles.
            gradient = np.array([(value(w + d) - value(w - d)) / (2 * h) for d in steps])
            assert abs(value(w) - mpf(end.value)) <= mpf(end.rounding.value)
            assert np.all(np.abs(gradient - exact(end.gradient)) <= exact(end.rounding.gradient))
            pairs = [
                [value(w + d + e) - value(w + d - e) - value(w - d + e) + value(w - d - e) for e in steps]
                for d in steps
            ]
            hessian = np.array(pairs, dtype=object) / (4 * h * h)
            unit = exact(1.0 / end.scale)
            assert end.hessian is not None
            off = ((hessian - exact(end.hessian)) * unit * unit[:, None]).astype(float)
            assert np.linalg.norm(off, 2) <= end.rounding.curvature


def test_the_bound_in_closed_form_is_the_maximum_it_stands_for() -> None:
    for a in (1e-6, 1e-3, 0.02, 0.5, 0.9, 0.999):
        for kappa in (1e-3, 1.0, 1e4):
            nu = a / kappa
            with mpmath.workdps(40):
                r = -mpmath.log(1 - mpf(nu) * kappa) / kappa
                most = nu * r - (mpmath.exp(-kappa * r) + kappa * r - 1) / mpf(kappa) ** 2
            found = concordant_gap(nu, kappa)
            assert found is not None
            assert most <= found <= most * (1.0 + 1e-6)
    assert concordant_gap(1.0, 1.0) is None
    assert concordant_gap(2.0, 1.0) is None


def test_no_bound_follows_from_a_curvature_within_rounding_or_a_parameter_without_penalty() -> None:
    assert curvature_bound(1e-3, 1e-9, 1e-9, 0.0, 1.0, 0.0) is None
    assert curvature_bound(float("nan"), 1.0, 0.0, 0.0, 1.0, 0.0) is None
    assert curvature_bound(1e-3, 1.0, 0.0, 0.0, 1.0, 0.0) == pytest.approx(0.5e-6)
    assert penalty_bound(np.array([1.0, 2.0]), np.zeros(2), np.array([0.5, 0.0])) is None
    assert penalty_bound(np.array([1.0, 2.0]), np.zeros(2), np.array([0.5, 1.0])) == pytest.approx(3.0)


@pytest.mark.slow
def test_separated_classes_never_get_a_bound() -> None:
    rng = np.random.default_rng(5)
    for _ in range(60):
        X = rng.normal(size=(20, 2))
        y = (X @ rng.normal(size=2) > 0.0).astype(float)[:, None]
        objective = TrainingObjective(Network((2, 1)), LogLoss(), ArrayRows(X, y), 0.0)
        for steps in (1, 2, 4, 8, 30):
            solution = minimize(objective, np.zeros(3), Newton(), max_iter=steps)
            assert solution.status is not Status.CONVERGED
            assert np.isnan(measure(objective, solution).curvature.loss_gap_bound)
