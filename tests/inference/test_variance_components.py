"""Random intercepts and their variances, against dense algebra, the likelihood itself and statsmodels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.optimize
import statsmodels.api as sm

from newtron.engine.maths.losses import Loss, loss_for
from newtron.inference.mixed.random_intercepts import GroupIntercepts, RandomIntercepts
from newtron.inference.mixed.variance_components import Crossed, intercepts_under, loss_of_output, variance_components

Array = Any
SQUARES, LOG_LOSS = loss_for("regression", None, 1), loss_for("classification", None, 1)


def indicators(crossed: Crossed) -> Array:
    return np.hstack([np.eye(size)[at] for at, size in zip(crossed.places, crossed.sizes, strict=True)])


def example(n: int, sizes: tuple[int, ...], sds: tuple[float, ...], seed: int) -> tuple[Crossed, Array]:
    """Rows in random groups, with whole numbers as weights, and the sum of the intercepts of each."""
    rng = np.random.default_rng(seed)
    places = tuple(rng.integers(0, size, n) for size in sizes)
    crossed = Crossed(places, sizes, rng.integers(1, 4, n).astype(float))
    return crossed, crossed.of_rows(np.concatenate([rng.normal(0.0, sd, L) for sd, L in zip(sds, sizes, strict=True)]))


@pytest.mark.parametrize(
    ("sizes", "variance"), [((30,), [0.7]), ((25, 14, 8), [0.9, 0.2, 1.4]), ((150, 90), [0.7, 0.3])]
)
def test_intercepts_are_those_of_the_mixed_model_equations(sizes: tuple[int, ...], variance: list[float]) -> None:
    crossed, gained = example(200, sizes, (1.0,) * len(sizes), seed=1)
    f = np.sin(np.arange(200.0))[:, None]
    y = f + gained[:, None] + np.random.default_rng(2).normal(size=(200, 1))
    b, _ = intercepts_under(crossed, loss_of_output(SQUARES, y, f, 0), np.array(variance), 0.6)
    Z, W = indicators(crossed), np.diag(crossed.weight)
    equations = Z.T @ W @ Z / 0.6 + np.diag(1.0 / crossed.spread(np.array(variance)))
    np.testing.assert_allclose(b, np.linalg.solve(equations, Z.T @ W @ (y - f)[:, 0] / 0.6), rtol=1e-8, atol=1e-10)


def test_intercepts_of_classes_are_the_mode_of_their_posterior() -> None:
    crossed, gained = example(300, (20, 9), (1.0, 0.5), seed=3)
    rng = np.random.default_rng(4)
    f = rng.normal(size=(300, 1))
    y = (rng.random(300) < 1.0 / (1.0 + np.exp(-f[:, 0] - gained))).astype(float)[:, None]
    variance = np.array([0.8, 0.3])
    b, _ = intercepts_under(crossed, loss_of_output(LOG_LOSS, y, f, 0), variance, 1.0)
    Z, prior = indicators(crossed), 1.0 / crossed.spread(variance)

    def negative_log_posterior(b: Array) -> float:
        z = f[:, 0] + Z @ b
        return float(crossed.weight @ (np.logaddexp(0.0, z) - y[:, 0] * z) + 0.5 * prior @ np.square(b))

    least = scipy.optimize.minimize(negative_log_posterior, np.zeros(29), options={"gtol": 1e-8})
    np.testing.assert_allclose(b, least.x, atol=1e-5)


def negative_log_likelihood(crossed: Crossed, r: Array, variance: Array, residual: float) -> float:
    Z = indicators(crossed)
    V = Z @ np.diag(crossed.spread(variance)) @ Z.T + residual * np.diag(1.0 / crossed.weight)
    return float(0.5 * np.linalg.slogdet(V)[1] + 0.5 * r @ np.linalg.solve(V, r))


def test_variances_of_one_column_are_those_of_maximum_likelihood_and_of_statsmodels() -> None:
    rng = np.random.default_rng(5)
    groups = np.repeat(np.arange(24), 7)  # balanced, so that the mean of all is the estimate of the fixed intercept
    y = rng.normal(0.0, 1.1, 24)[groups] + rng.normal(0.0, 0.6, len(groups))
    r = y - y.mean()
    crossed = Crossed((groups,), (24,), np.ones(len(y)))
    found = variance_components(crossed, loss_of_output(SQUARES, r[:, None], np.zeros((len(y), 1)), 0), at_rest=1e-12)
    means = r.reshape(24, 7).mean(axis=1)
    within = np.square(r - means[groups]).sum() / (24 * 6)
    between = (np.square(means).mean() * 7 - within) / 7  # Searle, Casella & McCulloch 1992, section 3.7
    np.testing.assert_allclose([found.variance[0], found.residual], [between, within], rtol=1e-8)
    np.testing.assert_allclose(found.b, means * between / (between + within / 7), rtol=1e-8)
    np.testing.assert_allclose(found.variances, 1.0 / (7 / within + 1.0 / between), rtol=1e-8)
    known = sm.MixedLM(y, np.ones_like(y), groups=groups).fit(reml=False)
    np.testing.assert_allclose([found.variance[0], found.residual], [known.cov_re[0, 0], known.scale], rtol=1e-4)
    effects = np.array([known.random_effects[group].iloc[0] for group in range(24)])
    np.testing.assert_allclose(found.b, effects, rtol=1e-4)
    # With weights and unequal groups, against the likelihood itself.
    crossed, gained = example(150, (20,), (0.8,), seed=6)
    r = gained + rng.normal(size=150) / np.sqrt(crossed.weight)
    found = variance_components(crossed, loss_of_output(SQUARES, r[:, None], np.zeros((150, 1)), 0), at_rest=1e-12)
    total = crossed.weight.sum()

    def of_logs(logs: Array) -> float:
        """The likelihood of rows as often as their weights say."""
        Z = np.repeat(indicators(crossed), crossed.weight.astype(int), axis=0)
        V = np.exp(logs[0]) * Z @ Z.T + np.exp(logs[1]) * np.eye(int(total))
        many = np.repeat(r, crossed.weight.astype(int))
        return float(0.5 * np.linalg.slogdet(V)[1] + 0.5 * many @ np.linalg.solve(V, many))

    least = scipy.optimize.minimize(of_logs, np.zeros(2), options={"gtol": 1e-4})
    np.testing.assert_allclose(np.log([found.variance[0], found.residual]), least.x, atol=1e-3)


def test_variances_of_crossed_columns_are_near_those_of_maximum_likelihood() -> None:
    crossed, gained = example(250, (40, 15, 30), (1.0, 0.5, 0.0), seed=7)
    crossed = Crossed(crossed.places, crossed.sizes, np.ones(250))
    r = gained + np.random.default_rng(8).normal(0.0, 0.7, 250)
    found = variance_components(crossed, loss_of_output(SQUARES, r[:, None], np.zeros((250, 1)), 0))
    floor = np.maximum(found.variance, 1e-9)
    reached = negative_log_likelihood(crossed, r, floor, found.residual)

    def of_logs(logs: Array) -> float:
        return negative_log_likelihood(crossed, r, np.exp(logs[:3]), float(np.exp(logs[3])))

    least = scipy.optimize.minimize(of_logs, np.log([*np.maximum(floor, 1e-3), found.residual]), method="Nelder-Mead")
    assert reached < least.fun + 0.05  # the traces are estimates


@pytest.mark.parametrize("sizes", [(20, 9), (60, 40)])
def test_variances_of_intercepts_are_those_of_dense_algebra(sizes: tuple[int, int]) -> None:
    crossed, gained = example(80, sizes, (1.0, 1.0), seed=10)
    r = gained + np.random.default_rng(11).normal(0.0, 0.4, 80)
    found = variance_components(crossed, loss_of_output(SQUARES, r[:, None], np.zeros((80, 1)), 0))
    Z = indicators(crossed)
    precision = Z.T @ (crossed.weight[:, None] * Z) / found.residual + np.diag(1.0 / crossed.spread(found.variance))
    np.testing.assert_allclose(found.variances, np.linalg.inv(precision).diagonal(), rtol=1e-8)


@pytest.mark.parametrize("loss", [SQUARES, LOG_LOSS])
def test_groups_that_explain_nothing_have_no_variance(loss: Loss) -> None:
    rng = np.random.default_rng(9)
    groups, f = rng.integers(0, 30, 3000), np.zeros((3000, 1))
    y = rng.normal(size=(3000, 1)) if loss is SQUARES else (rng.random((3000, 1)) < 0.5).astype(float)
    found = variance_components(Crossed((groups,), (30,), np.ones(3000)), loss_of_output(loss, y, f, 0))
    assert found.variance[0] < 0.01
    assert np.abs(found.b).max() < 0.1


def test_a_value_that_was_not_seen_gains_nothing_and_is_less_sure() -> None:
    group = GroupIntercepts(
        1, np.array([2.0, 5.0]), np.array([[1.0], [-3.0]]), np.array([[0.1], [0.2]]), np.ones(1), 0.5
    )
    found = RandomIntercepts((group,), np.ones(1), np.array([0.15]), "")
    X = np.array([[0.0, 5.0], [0.0, 2.0], [5.0, 4.0], [2.0, 7.0], [2.0, -1.0]])
    np.testing.assert_allclose(found.at(X)[:, 0], [-3.0, 1.0, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(found.variances_at(X)[:, 0], [0.05, 0.0, 0.85, 0.85, 0.85])
