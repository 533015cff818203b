"""The parts of a predictive distribution, each against what is known of it: dense algebra, refits, SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats
from support.present import present

from newtron.engine.maths.curvature import jacobian
from newtron.engine.maths.losses import loss_for
from newtron.engine.maths.network import Network
from newtron.engine.objective import TrainingObjective
from newtron.engine.rows import ArrayRows
from newtron.engine.solvers import Newton, minimize
from newtron.inference import posterior as laplace
from newtron.inference.coefficients.information import information_at
from newtron.inference.penalties.evidence import evidence_at
from newtron.inference.penalties.leave_one_out import (
    LeftOut,
    leave_one_out,
    leave_out,
    loo_and_slope,
    predictions_without,
    rows_to_leave_out,
)
from newtron.inference.posterior import (
    MOST_OF_A_LAYER,
    Posterior,
    posterior_at,
    posterior_of_perceptron,
    raw_predictions,
)
from newtron.inference.predictive.mixture import Mixture
from newtron.inference.predictive.noise import _TScale, fit_scale, scale_shares
from newtron.inference.predictive.temperature import class_variance, every_class, learn_temperature, tempered

Array = Any
rng = np.random.default_rng(11)


def problem(task: str, k: int, hidden: tuple[int, ...], weighted: bool, alpha: float = 0.3) -> Any:
    """Objective, data and params near its optimum."""
    n = 40
    X = rng.normal(size=(n, 3))
    if task == "regression":
        Y = X @ rng.normal(size=(3, k)) + rng.normal(size=(n, k))
    elif k == 1:
        Y = (X[:, :1] + rng.normal(size=(n, 1)) > 0).astype(float)
    else:
        Y = np.eye(k)[rng.integers(0, k, n)]
    weight = rng.integers(1, 4, n).astype(float) if weighted else None
    loss = loss_for(task, None, k)
    network = Network((3, *hidden, k))
    objective = TrainingObjective(network, loss, ArrayRows(X, Y, weight), alpha)
    params = minimize(objective, network.start(rng, np.zeros(k)), Newton(), tol=1e-10, max_iter=300).params
    return objective, X, Y, weight, params


PROBLEMS = [
    ("regression", 1, (), False),
    ("regression", 2, (), True),
    ("regression", 1, (4,), True),
    ("regression", 2, (3, 2), False),
    ("classification", 1, (3,), True),
    ("classification", 3, (), True),
    ("classification", 3, (3,), False),
]


def dense(objective: Any, X: Array, Y: Array, weight: Array | None, params: Array) -> tuple[Array, Array, Array, Array]:
    """A and, per row, J (n, k, P), the loss's gradient and Hessian, in plain products."""
    at = objective.network.linearize(params, X)
    J = jacobian(at).transpose(2, 1, 0)
    of_row = objective.loss.pointwise(Y, at.output, 2, gauss_newton=True)
    w = np.ones(len(X)) if weight is None else weight
    A = np.diag(objective.alpha) + np.einsum("n,nap,nab,nbq->pq", w, J, of_row.hessian, J)
    return A, J, of_row.gradient, of_row.hessian


# --- laplace ---


@pytest.mark.parametrize("hidden", [(), (4,), (3, 2)])
def test_the_jacobian_is_that_of_differences(hidden: tuple[int, ...]) -> None:
    network = Network((3, *hidden, 2))
    X, params = rng.normal(size=(5, 3)), rng.normal(size=network.n_params)
    J = jacobian(network.linearize(params, X))
    for j, step in enumerate(np.eye(network.n_params) * 1e-6):
        difference = (network.output(params + step, X) - network.output(params - step, X)) / 2e-6
        np.testing.assert_allclose(J[j].T, difference, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize(("task", "k", "hidden", "weighted"), PROBLEMS)
def test_the_posterior_is_the_inverse_curvature(task: str, k: int, hidden: Any, weighted: bool) -> None:
    objective, X, Y, weight, params = problem(task, k, hidden, weighted)
    posterior = present(posterior_at(objective, params))
    A, J, _, _ = dense(objective, X, Y, weight, params)
    seen = objective.loss.visible(np.eye(k))
    if seen[0, 0] == 1.0:  # elsewhere the common shift of all classes is free, and A has no inverse
        np.testing.assert_allclose(posterior.factor.matrix.T @ posterior.factor.matrix, A, rtol=1e-10, atol=1e-10)
    inverse = np.linalg.pinv(A, rcond=1e-12)
    expected = np.einsum("nap,pq,nbq->nab", J, inverse, J)
    for rows, z, V in posterior.predict(X):
        np.testing.assert_allclose(seen @ V @ seen, seen @ expected[rows] @ seen, rtol=1e-8, atol=1e-10)
        assert V.max() < 1e3
        np.testing.assert_array_equal(z, objective.network.output(params, X[rows]))
    effective = np.trace(inverse @ (A - np.diag(objective.alpha))) + (seen[0, 0] != 1.0)
    assert posterior.effective == pytest.approx(effective, rel=1e-9)


@pytest.mark.parametrize(("task", "k", "hidden", "weighted"), [case for case in PROBLEMS if not case[2]])
@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_what_a_perceptron_keeps_gives_the_same(task: str, k: int, hidden: Any, weighted: bool, alpha: float) -> None:
    objective, X, _, _, params = problem(task, k, hidden, weighted, alpha)
    kept = present(information_at(objective, params, objective.evaluate(params, 0).value))
    found, expected = (
        present(posterior_of_perceptron(objective.network, params, kept, objective.loss)),
        present(posterior_at(objective, params)),
    )
    seen = objective.loss.visible(np.eye(k))
    V, W = (seen @ next(posterior.predict(X))[2] @ seen for posterior in (found, expected))
    np.testing.assert_allclose(V, W, rtol=1e-8, atol=1e-12)
    if task == "regression":
        assert found.effective == pytest.approx(expected.effective, rel=1e-9)


def test_columns_that_say_the_same_leave_the_rest_alone() -> None:
    X = rng.normal(size=(30, 2))
    Y = X @ [[1.0], [2.0]] + rng.normal(size=(30, 1))
    loss = loss_for("regression", None, 1)
    plain = TrainingObjective(Network((2, 1)), loss, ArrayRows(X, Y))
    twice = np.hstack([X, X[:, :1]])
    aliased = TrainingObjective(Network((3, 1)), loss, ArrayRows(twice, Y))
    expected = next(present(posterior_at(plain, np.zeros(3))).predict(X))[2]
    apart = twice + np.array([0.0, 0.0, 1.0])  # told apart where training never was: nothing is known there
    zeros = np.zeros(4)
    kept = present(information_at(aliased, zeros, aliased.evaluate(zeros, 0).value))
    for found in map(
        present, (posterior_at(aliased, zeros), posterior_of_perceptron(aliased.network, zeros, kept, loss))
    ):
        np.testing.assert_allclose(next(found.predict(twice))[2], expected, rtol=1e-6)
        assert next(found.predict(apart))[2].min() > 1e6
        assert found.effective == pytest.approx(3.0, abs=1e-3)


def test_too_many_parameters_have_no_factor() -> None:
    network = Network((1, MOST_OF_A_LAYER, 1))
    rows = ArrayRows(np.ones((3, 1)), np.ones((3, 1)))
    objective = TrainingObjective(network, loss_for("regression", None, 1), rows, 1.0)
    assert posterior_at(objective, np.zeros(network.n_params)) is None


@pytest.mark.parametrize(
    ("task", "k"), [("regression", 1), ("regression", 2), ("classification", 1), ("classification", 3)]
)
@pytest.mark.parametrize("weighted", [False, True])
def test_a_large_network_has_the_posterior_of_its_output_layer(
    task: str, k: int, weighted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The perceptron on the units of its last hidden layer."""
    objective, X, _, _, params = problem(task, k, (4, 3), weighted, 0.3)
    network = objective.network
    monkeypatch.setattr(laplace, "MOST_PARAMETERS", 10)
    found = posterior_at(objective, params)
    assert found is not None
    assert found.is_partial
    span = network.spans[-1]
    units = network.linearize(params, X).inputs[-1]
    rows = ArrayRows(units, objective.rows._y, objective.rows._weight)
    plain = TrainingObjective(Network((3, k)), objective.loss, rows, objective.alpha[span])
    expected = posterior_at(plain, params[span])
    assert expected is not None
    assert found.factor.triangle.size == (4 * k) * (4 * k + 1) // 2
    np.testing.assert_allclose(found.factor.triangle, expected.factor.triangle, rtol=1e-9, atol=1e-12)
    assert found.effective == pytest.approx(expected.effective, rel=1e-9)
    for mine, its in zip(found.predict(X), expected.predict(units), strict=True):
        np.testing.assert_allclose(mine[1], its[1], rtol=1e-12)
        np.testing.assert_allclose(mine[2], its[2], rtol=1e-8, atol=1e-14)


# --- leave one out ---


@pytest.mark.parametrize(("alpha", "weighted"), [(0.0, False), (2.0, False), (0.5, True)])
def test_least_squares_is_left_out_exactly(alpha: float, weighted: bool) -> None:
    """Allen's PRESS: every row refitted without it, or without one of its copies."""
    objective, X, Y, weight, params = problem("regression", 2, (), weighted, alpha)
    found = predictions_without(present(posterior_at(objective, params)), objective.loss, X, Y, weight)
    for i in range(len(X)):
        w = np.ones(len(X)) if weight is None else weight.copy()
        w[i] -= 1.0
        without = TrainingObjective(objective.network, objective.loss, ArrayRows(X, Y, w), alpha)
        refit = minimize(without, np.zeros_like(params), Newton()).params
        np.testing.assert_allclose(found.raw[i], objective.network.output(refit, X[i : i + 1])[0], rtol=1e-9)
        alone = next(present(posterior_at(without, refit)).predict(X[i : i + 1]))[2][0]
        np.testing.assert_allclose(found.spread[i], alone, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize(("task", "k", "hidden", "weighted"), PROBLEMS)
def test_leaving_out_is_one_newton_step(task: str, k: int, hidden: Any, weighted: bool) -> None:
    objective, X, Y, weight, params = problem(task, k, hidden, weighted)
    found = predictions_without(present(posterior_at(objective, params)), objective.loss, X, Y, weight)
    A, J, gradient, hessian = dense(objective, X, Y, weight, params)
    for i in range(0, len(X), 7):
        less = A - J[i].T @ hessian[i] @ J[i]
        inverse = np.linalg.pinv(less, rcond=1e-12)
        step = inverse @ J[i].T @ gradient[i]  # at an optimum, the others' gradient is minus this row's
        expected = objective.network.output(params, X[i : i + 1])[0] + J[i] @ step
        seen = objective.loss.visible(np.eye(k))
        np.testing.assert_allclose(seen @ found.raw[i], seen @ expected, rtol=1e-7, atol=1e-8)
        spread = J[i] @ inverse @ J[i].T
        np.testing.assert_allclose(seen @ found.spread[i] @ seen, seen @ spread @ seen, rtol=1e-7, atol=1e-8)


def test_left_out_log_loss_is_near_the_refit() -> None:
    objective, X, Y, _, params = problem("classification", 3, (), False, alpha=1.0)
    found = objective.loss.inverse_link(
        predictions_without(present(posterior_at(objective, params)), objective.loss, X, Y).raw
    )
    fitted = objective.loss.inverse_link(objective.network.output(params, X))
    refits = np.empty_like(found)
    for i in range(len(X)):
        rest = np.delete(np.arange(len(X)), i)
        without = TrainingObjective(objective.network, objective.loss, ArrayRows(X[rest], Y[rest]), 1.0)
        refits[i] = objective.loss.inverse_link(
            objective.network.output(minimize(without, params, Newton()).params, X[i : i + 1])
        )
    assert np.abs(found - refits).max() < 0.02
    assert np.abs(fitted - refits).max() > 0.05


def without(V: Array, H: Array) -> LeftOut:
    """Rows left out whose loss has the Hessian H and no gradient."""
    none = np.zeros(V.shape[:2])
    return leave_out(none, V, none, H)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_leaving_a_row_out_takes_its_curvature_away(k: int) -> None:
    """Against A - J'HJ inverted; leverages near 1 are there, too."""
    J, root = rng.normal(size=(50, k, 6)), rng.normal(size=(50, k, k))
    H = root @ root.transpose(0, 2, 1)
    others = np.diag(10.0 ** rng.uniform(-4.0, 2.0, size=6))
    V = np.array([j @ np.linalg.solve(others + j.T @ h @ j, j.T) for j, h in zip(J, H, strict=True)])
    found = without(V, H)
    expected = J @ np.linalg.inv(others) @ J.transpose(0, 2, 1)
    scale = np.abs(expected).max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(found.spread / scale, expected / scale, atol=1e-8)
    assert (np.einsum("nab,nba->n", V, H) > 0.99 * k).any()
    assert not found.alone.any()


@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_row_of_leverage_one_stands_alone(k: int) -> None:
    """I - V H is exactly singular, all of it or in one direction, where a plain solver raises or divides by zero."""
    one = np.diag([1.0] + [0.25] * (k - 1))
    V, H = np.array([np.eye(k), one, 0.5 * np.eye(k), np.zeros((k, k))]), np.tile(np.eye(k), (4, 1, 1))
    with np.errstate(all="raise"):
        found = without(V, H)
    assert found.alone.tolist() == [True, True, False, False]
    assert found.spread[0, 0, 0] == found.spread[1, 0, 0] == pytest.approx(1e10)
    np.testing.assert_allclose(found.spread[1, 1:, 1:], np.eye(k - 1) / 3.0)  # what others know stays known
    np.testing.assert_allclose(found.spread[2:], [np.eye(k), np.zeros((k, k))], atol=1e-15)


@pytest.mark.parametrize("k", [1, 2])
def test_both_leave_one_outs_meet_a_row_that_alone_has_a_column(k: int) -> None:
    X, Y = rng.normal(size=(12, 3)), rng.normal(size=(12, k))
    X[:, 2] = np.arange(12) == 5  # only row 5 says anything of the third column
    objective = TrainingObjective(Network((3, k)), loss_for("regression", None, k), ArrayRows(X, Y), 0.0)
    params = minimize(objective, np.zeros(objective.n_params), Newton()).params
    known = evidence_at(objective, params)
    assert known is not None
    by_objective = leave_one_out(objective, params, known.inverse)
    by_posterior = predictions_without(present(posterior_at(objective, params)), objective.loss, X, Y)
    others = np.arange(12) != 5
    losses = objective.loss.pointwise(Y, by_posterior.raw, 0).value
    np.testing.assert_allclose(by_objective.loss[others], losses[others], rtol=1e-9)
    assert np.isfinite(by_posterior.raw).all()
    assert by_posterior.spread[5, 0, 0] > 1e8
    assert by_objective.loss[5] == np.inf == by_objective.value
    assert np.isfinite(by_objective.loss[others]).all()
    slope = loo_and_slope(objective, params, known, np.ones((1, objective.n_params)))
    assert slope[0] == np.inf


@pytest.mark.parametrize(("task", "k", "hidden", "weighted"), PROBLEMS)
def test_evidence_and_posterior_count_the_same_parameters(task: str, k: int, hidden: Any, weighted: bool) -> None:
    objective, _, _, _, params = problem(task, k, hidden, weighted)
    known = evidence_at(objective, params)
    assert known is not None
    assert known.effective_parameters == pytest.approx(present(posterior_at(objective, params)).effective, rel=1e-9)


def test_rows_that_do_not_weigh_are_not_left_out() -> None:
    np.testing.assert_array_equal(rows_to_leave_out(np.array([0.0, 2.0, 0.0, 1.0]), 4, 1.0), [1, 3])
    many = rows_to_leave_out(None, 50_000, 1.0)
    assert len(many) == len(set(many.tolist())) == 20_000
    assert len(rows_to_leave_out(None, 50_000, 1e9)) == 500


# --- mixture ---

MIXTURE = Mixture(
    share=np.array([0.2, 0.5, 0.3]),
    location=np.array([0.0, -3.0, 1e3]),
    scale=np.array([[1.0, 0.1, 5.0], [1e-3, 2.0, 40.0], [1.0, 1.0, 1.0]]),
    dof=np.array([np.inf, 2.2, 7.0]),
)


def of_scipy(row: int) -> list[Any]:
    frozen = [
        scipy.stats.norm(MIXTURE.location[row], scale)
        if np.isinf(nu)
        else scipy.stats.t(nu, MIXTURE.location[row], scale)
        for nu, scale in zip(MIXTURE.dof, MIXTURE.scale[row], strict=True)
    ]
    return frozen


def test_the_mixture_agrees_with_scipy() -> None:
    for offset in (-300.0, -2.0, 0.0, 0.01, 50.0):
        y = MIXTURE.location + offset
        for row in range(3):
            parts = of_scipy(row)
            density = sum(s * part.pdf(y[row]) for s, part in zip(MIXTURE.share, parts, strict=True))
            cdf = sum(s * part.cdf(y[row]) for s, part in zip(MIXTURE.share, parts, strict=True))
            assert MIXTURE.log_density(y)[row] == pytest.approx(np.log(density), rel=1e-12)
            assert MIXTURE.cdf(y)[row] == pytest.approx(cdf, rel=1e-11)
    variance = [sum(s * p.var() for s, p in zip(MIXTURE.share, of_scipy(row), strict=True)) for row in range(3)]
    np.testing.assert_allclose(MIXTURE.variance, variance, rtol=1e-12)


def test_the_density_integrates_to_one() -> None:
    """By the trapezoidal rule in u, y = center + sinh(u) / 1000, which reaches the narrowest peak and the far tails."""
    u = np.linspace(-60.0, 60.0, 24_001)
    for row in range(3):
        y = MIXTURE.location[row] + 1e-3 * np.sinh(u)
        one = Mixture(MIXTURE.share, np.full(u.size, MIXTURE.location[row]), MIXTURE.scale[[row] * u.size], MIXTURE.dof)
        total = np.sum(np.exp(one.log_density(y)) * 1e-3 * np.cosh(u)) * (u[1] - u[0])
        assert total == pytest.approx(1.0, abs=1e-9)


def test_the_density_of_a_far_row_is_no_underflow() -> None:
    gaussian = Mixture(np.ones(1), np.zeros(2), np.ones((2, 1)), np.array([np.inf]))
    unknown = Mixture(np.ones(1), np.zeros(2), np.array([[1.0], [np.inf]]), np.array([np.inf]))
    np.testing.assert_array_equal(unknown.quantile(0.95), [gaussian.quantile(0.95)[0], np.inf])
    np.testing.assert_allclose(gaussian.log_density(np.array([100.0, 1e6])), [-5000.9189385332, -5.0000000000092e11])
    heavy = Mixture(np.ones(1), np.zeros(1), np.ones((1, 1)), np.array([3.0]))
    assert heavy.log_density(np.array([1e200]))[0] == pytest.approx(-4 * np.log(1e200) + np.log(6 * 3**0.5 / np.pi))


@pytest.mark.parametrize("q", [1e-9, 0.01, 0.05, 0.4999, 0.5, 0.7, 0.95, 0.999])
def test_quantiles_are_where_the_cdf_says(q: float) -> None:
    found = MIXTURE.quantile(q)
    rel = 1e-9 if q < 0.5 else 1e-11
    np.testing.assert_allclose(MIXTURE.cdf(found)[:2], q, rtol=rel)
    if q > 1e-6:  # below, 1 - q has lost the digits of q
        np.testing.assert_allclose(found + MIXTURE.quantile(1.0 - q), 2.0 * MIXTURE.location, rtol=1e-9, atol=1e-9)


# --- noise ---


def test_the_derivatives_of_the_scale() -> None:
    n = 30
    phi = np.column_stack([np.ones(n), rng.normal(size=(n, 2))])
    objective = _TScale(np.square(rng.normal(size=n)), phi, rng.uniform(0.5, 2.0, n), np.array([0.0, 3.0, 3.0]), 4.0)
    b = rng.normal(size=3)
    at = objective.evaluate(b, 2)
    for j, step in enumerate(np.eye(3) * 1e-6):
        up, down = objective.evaluate(b + step, 1), objective.evaluate(b - step, 1)
        assert at.gradient[j] == pytest.approx((up.value - down.value) / 2e-6, abs=1e-7)
        np.testing.assert_allclose(at.hessian[j], (up.gradient - down.gradient) / 2e-6, atol=1e-7)


def test_the_value_of_the_scale_is_a_t_likelihood() -> None:
    r = rng.normal(size=5)
    objective = _TScale(np.square(r), np.ones((5, 1)), np.ones(5), np.zeros(1), 4.0)
    expected = -scipy.stats.t(4.0, scale=np.exp(0.35)).logpdf(r).mean()
    assert objective.evaluate(np.array([0.7]), 0).value == pytest.approx(expected, rel=1e-12)


def test_the_noise_is_found_again() -> None:
    n = 20_000
    features = rng.normal(size=(n, 2)) * [1.0, 50.0] + [0.0, 1000.0]
    truth = np.exp(0.5 * (1.0 + 0.8 * features[:, 0]))
    r = truth * rng.standard_t(4.0, size=n)
    found = fit_scale(r, features, np.ones(n))
    assert 3.0 <= found.dof <= 5.0
    ratio = np.log(found.squared_scale(features) / np.square(truth))
    assert np.abs(ratio).max() < 0.3
    assert fit_scale(r, features, np.ones(n), most_dof=3.3).dof <= 3.3
    gaussian = fit_scale(rng.normal(size=n), features, np.ones(n), base=np.full(n, 4.0))
    assert gaussian.dof >= 35.0
    assert gaussian.squared_scale(features, 4.0).mean() == pytest.approx(1.0, rel=0.1)


def test_features_end_where_training_did() -> None:
    features = rng.normal(size=(200, 1))
    found = fit_scale(rng.normal(size=200) * np.exp(features[:, 0]), features, np.ones(200), ridge=1.0)
    inside, outside = found.squared_scale(np.array([[features.max()], [1e9]]))
    assert inside == outside
    constant = fit_scale(rng.normal(size=200), np.full((200, 1), 7.0), np.ones(200))
    assert constant.slopes[0] == 0.0


def test_the_scale_that_predicts_other_rows_gets_the_share() -> None:
    """Noise that depends on one feature: the model with it wins over the constant one, and over one whose forty
    features say nothing."""
    rng = np.random.default_rng(3)
    n = 300
    z, chance = rng.normal(size=(n, 1)), rng.normal(size=(n, 40))
    r = np.exp(z[:, 0]) * rng.normal(size=n)
    features, base, weight, part = [np.empty((n, 0)), z, chance], np.ones(n), np.ones(n), np.arange(n) % 5
    models = [fit_scale(r, phi, weight, ridge=1e-3) for phi in features]
    least = np.zeros(n)
    shares = scale_shares(models, r, features, weight, part, base=base, least=least)
    assert shares.sum() == pytest.approx(1.0, rel=1e-12)
    assert shares[1] > 0.95
    # A row of weight 2 is the row twice, and the order of the rows is none of it.
    twice = np.repeat(np.arange(n), 1 + np.arange(n) % 2)
    models = [fit_scale(r, phi, 1.0 + np.arange(n) % 2) for phi in features[:2]]
    weighted = scale_shares(models, r, features[:2], 1.0 + np.arange(n) % 2, part, base=base, least=least)
    order = rng.permutation(twice)
    repeated = scale_shares(
        models,
        r[order],
        [phi[order] for phi in features[:2]],
        np.ones(len(order)),
        part[order],
        base=base[order],
        least=least[order],
    )
    np.testing.assert_allclose(weighted, repeated, rtol=1e-5)
    # Models whose scales are all below the floor are the same, and a single part leaves nothing to learn a scale from.
    models = models[:1] * 2
    same = scale_shares(models, r, features[:2], weight, part, base=base, least=np.full(n, 1e6))
    np.testing.assert_allclose(same, 0.5, rtol=1e-6)
    assert (
        scale_shares(models, r, features[:2], weight, np.ones_like(part), base=base, least=least).tolist() == [0.5] * 2
    )


# --- temperature ---


def test_tempered_probabilities() -> None:
    p = np.array([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0]])
    np.testing.assert_allclose(tempered(p, 2.0)[0], np.sqrt(p[0]) / np.sqrt(p[0]).sum())
    np.testing.assert_array_equal(tempered(p, 2.0)[1], p[1])
    assert tempered(p, 1.0) is p
    assert tempered(p.astype(np.float32), 0.5).dtype == np.float32
    np.testing.assert_array_equal(every_class(np.array([[0.25]])), [[0.75, 0.25]])


@pytest.mark.slow
@pytest.mark.parametrize("stretch", [0.5, 3.0])
def test_a_temperature_mends_what_is_too_sure(stretch: float) -> None:
    """A perceptron whose parameters are known but for their length: the temperature is that length."""
    n, network = 20_000, Network((2, 1))
    X, truth = rng.normal(size=(n, 2)), np.array([1.5, -1.0, 0.3])
    loss = loss_for("classification", None, 1)
    Y = (rng.uniform(size=(n, 1)) < loss.inverse_link(network.output(truth, X))).astype(float)
    posterior = posterior_at(TrainingObjective(network, loss, ArrayRows(X, Y)), stretch * truth)
    assert isinstance(posterior, Posterior)
    found = learn_temperature((posterior,), np.ones(1), loss, X, Y, None)
    assert found == pytest.approx(stretch, rel=0.1)


def test_base_rates_are_left_alone() -> None:
    """With a row left out, the frequency of its class is a little lower: that is no reason for a temperature."""
    network, loss = Network((1, 1)), loss_for("classification", None, 1)
    X, Y = np.zeros((60, 1)), (np.arange(60) < 34).astype(float)[:, None]
    params = np.array([0.0, np.log(34 / 26)])
    posterior = posterior_at(TrainingObjective(network, loss, ArrayRows(X, Y)), params)
    assert isinstance(posterior, Posterior)
    assert learn_temperature((posterior,), np.ones(1), loss, X, Y, None) == 1.0


@pytest.mark.parametrize("k", [1, 3])
def test_the_variance_of_probabilities_is_that_of_draws(k: int) -> None:
    """Where it is small: the delta method, against draws from the posterior; and between members."""
    n, network, loss = 4000, Network((2, k)), loss_for("classification", None, k)
    X = rng.normal(size=(n, 2))
    params = rng.normal(size=network.n_params)
    p = every_class(loss.inverse_link(network.output(params, X)))
    Y = np.eye(max(2, k))[[rng.choice(len(row), p=row) for row in p]]
    objective = TrainingObjective(network, loss, ArrayRows(X, Y[:, 1:] if k == 1 else Y), 1.0)
    posterior = posterior_at(objective, params)
    assert isinstance(posterior, Posterior)
    draws = params + np.linalg.solve(posterior.factor.matrix, rng.normal(size=(network.n_params, 4000))).T
    of_draws = np.array([every_class(loss.inverse_link(0.5 * network.output(draw, X[:5]))) for draw in draws])
    found = class_variance(raw_predictions((posterior,), X[:5]), np.ones(1), loss, 2.0)
    np.testing.assert_allclose(found, of_draws.var(axis=0), rtol=0.15)
    other = Posterior(network, params + 1.0, posterior.factor)
    both = class_variance(raw_predictions((posterior, other), X[:5]), np.array([0.25, 0.75]), loss, 2.0)
    a, b = (every_class(loss.inverse_link(0.5 * network.output(at.params, X[:5]))) for at in (posterior, other))
    rest = 0.25 * found + 0.75 * class_variance(raw_predictions((other,), X[:5]), np.ones(1), loss, 2.0)
    np.testing.assert_allclose(both, rest + 0.25 * 0.75 * np.square(a - b), rtol=1e-12)
