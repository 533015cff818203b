"""Penalties chosen from the data, against what others know: closed forms, scikit-learn, refits and differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import multivariate_normal
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import BayesianRidge, LogisticRegression, Ridge

from newtron import (
    NetworkClassifier,
    NetworkRegressor,
    PerceptronClassifier,
    PerceptronRegressor,
    load,
)
from newtron.engine.base.errors import InputError
from newtron.engine.maths.losses import LOSSES, loss_for
from newtron.engine.maths.network import Network
from newtron.engine.objective import TrainingObjective
from newtron.engine.rows import ArrayRows
from newtron.engine.solvers import Newton, minimize
from newtron.inference.penalties.evidence import evidence_at, noise_variance
from newtron.inference.penalties.leave_one_out import leave_one_out, loo_and_slope
from newtron.inference.predictive.stacking import stacking_shares
from newtron.training.scaling import learn_scaling, with_asinh

Array = NDArray[np.floating]

RNG = np.random.default_rng(7)
X = RNG.normal(size=(60, 4)) @ np.diag([1.0, 3.0, 0.5, 2.0])
NUMBERS = X @ [1.0, -0.5, 0.0, 0.2] + 0.8 * RNG.normal(size=60) + 2.0
THREE = np.digitize(X[:, 0] + RNG.normal(size=60), [-0.5, 0.7])
TWO = (X[:, 1] + RNG.normal(size=60) > 0.0).astype(np.int64)


def perceptron(
    task: str, Y: Array, weight: Array | None = None, intercept: bool = True, rows: Array = X
) -> TrainingObjective:
    k = Y.shape[1]
    network = Network((rows.shape[1], k), intercept=intercept)
    return TrainingObjective(network, loss_for(task, None, k), ArrayRows(rows, Y, weight))


def optimum(objective: TrainingObjective, alpha: Array) -> Array:
    return minimize(objective.with_alpha(alpha), np.zeros(objective.n_params), Newton(), tol=1e-13).params


CASES: dict[str, tuple[str, Array]] = {
    "regression": ("regression", NUMBERS[:, None]),
    "two targets": ("regression", np.column_stack([NUMBERS, X[:, 2] ** 2])),
    "two classes": ("classification", TWO[:, None].astype(np.float64)),
    "three classes": ("classification", np.eye(3)[THREE]),
}


# Evidence


def test_the_evidence_of_a_linear_model_is_the_probability_of_its_targets() -> None:
    objective = perceptron("regression", NUMBERS[:, None], intercept=False)
    alpha = np.array([0.7, 2.0, 0.3, 5.0])
    found = evidence_at(objective.with_alpha(alpha), optimum(objective, alpha))
    assert found is not None
    s2 = found.noise
    covariance = s2 * (np.eye(60) + X @ np.diag(1.0 / alpha) @ X.T)
    assert found.value == pytest.approx(multivariate_normal(cov=covariance).logpdf(NUMBERS), rel=1e-12)
    for other in (0.9 * s2, 1.1 * s2):  # and this noise is the one at which it is greatest
        assert multivariate_normal(cov=covariance * other / s2).logpdf(NUMBERS) < found.value


def test_a_parameter_without_a_penalty_has_a_flat_prior() -> None:
    objective = perceptron("regression", NUMBERS[:, None])
    alpha = np.array([0.7, 2.0, 0.3, 5.0, 0.0])
    flat = evidence_at(objective.with_alpha(alpha), optimum(objective, alpha))
    assert flat is not None
    wide = 1e-6
    covariance = np.eye(60) + X @ np.diag(1.0 / alpha[:4]) @ X.T + 1.0 / wide
    exact = multivariate_normal(cov=flat.noise * covariance).logpdf(NUMBERS)
    # The normal prior of precision wide / noise has this height, where the flat one has 1.
    assert flat.value == pytest.approx(exact - 0.5 * np.log(wide / flat.noise / (2.0 * np.pi)), abs=1e-3)


@pytest.mark.parametrize("n", [12, 60])
def test_evidence_agrees_with_bayesian_ridge(n: int) -> None:
    """The same fixed point, where the objective is the same: without an intercept and without hyperpriors."""
    peer = BayesianRidge(
        fit_intercept=False, alpha_1=0.0, alpha_2=0.0, lambda_1=0.0, lambda_2=0.0, max_iter=10_000, tol=1e-14
    ).fit(X[:n], NUMBERS[:n])
    model = PerceptronRegressor(alpha="evidence", fit_intercept=False).fit(X[:n], NUMBERS[:n])
    member = model.members_[0]
    np.testing.assert_allclose(member.alpha, peer.lambda_ / peer.alpha_, rtol=1e-8)
    assert member.noise == pytest.approx(1.0 / peer.alpha_, rel=1e-8)
    np.testing.assert_allclose(model.coef_, peer.coef_, rtol=1e-8)
    assert model.solution_.converged
    assert "evidence" in model.solution_.chosen


@pytest.mark.parametrize("name", CASES)
def test_the_penalty_by_evidence_is_a_fixed_point_of_mackays_update(name: str) -> None:
    task, Y = CASES[name]
    kind: Any = PerceptronRegressor if task == "regression" else PerceptronClassifier
    y = {"two classes": TWO, "three classes": THREE}.get(name, Y)
    model = kind(alpha="evidence", standardize=True).fit(X, y)
    member = model.members_[0]
    scaling = model.scaling_
    objective = perceptron(task, scaling.targets(Y), rows=scaling.inputs(X)).with_alpha(member.alpha)
    found = evidence_at(objective, member.params)
    assert found is not None
    weights = objective.network.is_weight
    size = float(np.sum(np.square(member.params[weights])))
    gamma = float(found.determined[weights].sum())
    assert member.alpha[weights] == pytest.approx(gamma * member.noise / size, rel=1e-7)
    assert (member.alpha[~weights] == 0.0).all()
    assert member.effective_parameters == pytest.approx(found.effective_parameters, rel=1e-7)
    assert model.effective_parameters_ == member.effective_parameters
    if task == "regression":
        values = []
        for factor in (0.5, 1.0, 2.0):
            at = evidence_at(objective.with_alpha(factor * member.alpha), optimum(objective, factor * member.alpha))
            assert at is not None
            values.append(at.value)
        assert values[1] == max(values)


def test_columns_that_explain_nothing_get_no_weight() -> None:
    columns = np.column_stack([X, np.ones(60)])
    noise = np.random.default_rng(0).normal(size=60)
    noise -= columns @ np.linalg.lstsq(columns, noise)[0]
    model = PerceptronRegressor(alpha="evidence").fit(X, noise)
    assert np.abs(model.coef_).max() < 1e-3
    assert model.effective_parameters_ < 1.5


def test_a_perfect_fit_needs_no_penalty() -> None:
    model = PerceptronRegressor(alpha="evidence").fit(X, X @ [1.0, 2.0, 3.0, 4.0])
    np.testing.assert_allclose(model.coef_, [1.0, 2.0, 3.0, 4.0], rtol=1e-6)


def test_separated_classes_get_a_finite_optimum() -> None:
    y = (X[:, 0] > 0.3).astype(int)
    for rule in ("evidence", "loo"):
        model = PerceptronClassifier(alpha=rule).fit(X, y)
        assert model.solution_.converged
        assert model.score(X, y) > 0.95


# Leave-one-out


def test_rows_left_out_of_ridge_are_exact() -> None:
    Y = CASES["two targets"][1]
    objective = perceptron("regression", Y)
    alpha = np.where(objective.network.is_weight, 3.0, 0.0)
    params = optimum(objective, alpha)
    found = evidence_at(objective.with_alpha(alpha), params)
    assert found is not None
    left_out = leave_one_out(objective.with_alpha(alpha), params, found.inverse)
    for i in (0, 17, 59):
        others = np.arange(60) != i
        refit = Ridge(alpha=3.0, tol=1e-14).fit(X[others], Y[others]).predict(X[i : i + 1])[0]
        np.testing.assert_allclose(left_out.loss[i], 0.5 * np.sum(np.square(refit - Y[i])), rtol=1e-9)


@pytest.mark.slow
def test_rows_left_out_of_a_classifier_are_nearly_exact() -> None:
    objective = perceptron("classification", np.eye(3)[THREE])
    alpha = np.where(objective.network.is_weight, 1.0, 0.0)
    params = optimum(objective, alpha)
    found = evidence_at(objective.with_alpha(alpha), params)
    assert found is not None
    left_out = leave_one_out(objective.with_alpha(alpha), params, found.inverse)
    inside = objective.loss.pointwise(np.eye(3)[THREE], objective.network.output(params, X), 0).value
    refits = []
    for i in range(60):
        others = np.arange(60) != i
        peer = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(X[others], THREE[others])
        refits.append(-peer.predict_log_proba(X[i : i + 1])[0, THREE[i]])
    # Of what leaving out changes, one Newton step misses a tenth of its mean and of any row.
    change = np.array(refits) - inside
    assert abs(left_out.value - np.mean(refits)) < 0.1 * np.mean(change)
    assert np.abs(left_out.loss - refits).max() < 0.25 * np.abs(change).max()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_slope_of_the_leave_one_out_loss(name: str, weighted: bool) -> None:
    task, Y = CASES[name]
    weight = np.random.default_rng(1).uniform(0.3, 3.0, size=60) if weighted else None
    objective = perceptron(task, Y, weight)
    groups = np.array([np.arange(objective.n_params) % 2 == g for g in (0, 1)]) * objective.network.is_weight

    def at(u: Array) -> tuple[float, Array]:
        moves = groups * np.exp(u)[:, None]
        alpha = moves.sum(axis=0)
        params = optimum(objective, alpha)
        penalised = objective.with_alpha(alpha)
        found = evidence_at(penalised, params)
        assert found is not None
        value, slope = loo_and_slope(penalised, params, found, moves)
        assert value == pytest.approx(leave_one_out(penalised, params, found.inverse).value, rel=1e-12)
        return value, slope

    u, h = np.array([0.4, -0.6]), 1e-4
    slope = at(u)[1]
    differences = [(at(u + h * e)[0] - at(u - h * e)[0]) / (2.0 * h) for e in np.eye(2)]
    np.testing.assert_allclose(slope, differences, rtol=1e-6, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_penalty_by_leave_one_out_is_lowest(name: str) -> None:
    task, Y = CASES[name]
    kind: Any = PerceptronRegressor if task == "regression" else PerceptronClassifier
    y = {"two classes": TWO, "three classes": THREE}.get(name, Y)
    member = kind(alpha="loo").fit(X, y).members_[0]
    objective = perceptron(task, Y)

    def value(alpha: Array) -> float:
        params = optimum(objective, alpha)
        found = evidence_at(objective.with_alpha(alpha), params)
        assert found is not None
        return leave_one_out(objective.with_alpha(alpha), params, found.inverse).value

    lowest = value(member.alpha)
    assert all(value(factor * member.alpha) > lowest for factor in (0.95, 1.05))
    assert all(value(factor * member.alpha) > lowest - 1e-12 for factor in (1e-3, 1e-2, 0.1, 10.0, 100.0))


def test_leave_one_out_agrees_with_ridge_cross_validation() -> None:
    """On the grid point that scikit-learn's exact leave-one-out prefers."""
    from sklearn.linear_model import RidgeCV

    data = load_diabetes()
    ours = PerceptronRegressor(alpha="loo").fit(data.data, data.target).members_[0].alpha[0]
    grid = ours * np.array([0.9, 0.97, 1.0, 1.03, 1.1])
    assert RidgeCV(alphas=grid).fit(data.data, data.target).alpha_ == grid[2]


@pytest.mark.parametrize("name", CASES)
def test_a_weight_of_two_is_the_row_twice(name: str) -> None:
    task, Y = CASES[name]
    weight = np.random.default_rng(2).integers(1, 4, size=60)
    weighted = perceptron(task, Y, weight.astype(np.float64))
    repeated = perceptron(task, np.repeat(Y, weight, axis=0), rows=np.repeat(X, weight, axis=0))
    alpha = np.where(weighted.network.is_weight, 0.5, 0.0)
    params = optimum(weighted, alpha)
    pairs = []
    for objective in (weighted.with_alpha(alpha), repeated.with_alpha(alpha)):
        found = evidence_at(objective, params)
        assert found is not None
        noise = noise_variance(objective, params, objective.evaluate(params, 0).value)
        pairs.append((found.value, noise, leave_one_out(objective, params, found.inverse).value))
    np.testing.assert_allclose(pairs[0], pairs[1], rtol=1e-10)


@pytest.mark.parametrize(
    "loss", [loss for loss in LOSSES if loss.task == "regression" or loss.convex], ids=lambda loss: type(loss).__name__
)
def test_the_change_of_a_losss_hessian(loss: Any) -> None:
    k = max(loss.min_outputs, 1) + (loss.min_outputs > 1)
    z, dz = RNG.normal(size=(5, k)), RNG.normal(size=(5, k))
    y = np.eye(k)[np.zeros(5, dtype=int)]
    h = 1e-5
    upper, lower = (loss.pointwise(y, z + s * h * dz, 2).hessian for s in (1.0, -1.0))
    np.testing.assert_allclose(loss.hessian_change(z, dz), (upper - lower) / (2.0 * h), atol=1e-8)


# Shares


def test_shares_go_to_who_predicts_the_rows_left_out() -> None:
    rng = np.random.default_rng(0)
    loss, Y, w = loss_for("classification", None, 1), np.ones((5000, 1)), np.ones(5000)
    good = rng.normal(2.0, 0.5, size=(5000, 1))
    assert stacking_shares(loss, Y, np.array([good, good - 3.0]), w)[0] > 0.98
    np.testing.assert_allclose(stacking_shares(loss, Y, np.array([good, good]), w), 0.5)
    np.testing.assert_array_equal(stacking_shares(loss, Y, good[None], w), [1.0])
    # Each is right on some of the rows: both are believed, and few rows move the shares little from equal ones.
    half = np.where(np.arange(5000) % 4 < 3, 3.0, -3.0)[:, None]
    both = np.array([half, -half])
    assert 0.6 < stacking_shares(loss, Y, both, w)[0] < 0.9
    assert 0.5 < stacking_shares(loss, Y[:4], both[:, :4], w[:4])[0] < 0.7


def test_shares_of_means_have_the_least_squared_error() -> None:
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(4000, 1))
    raw = truth + np.array([0.5, 1.0])[:, None, None] * rng.normal(size=(2, 4000, 1))
    # Independent errors: shares are as the inverse variances, 4 to 1.
    shares = stacking_shares(loss_for("regression", None, 1), truth, raw, np.ones(4000))
    assert shares[0] == pytest.approx(0.8, abs=0.02)
    counts = rng.poisson(np.exp(truth)).astype(np.float64)
    shares = stacking_shares(
        loss_for("regression", "poisson", 1), counts, np.array([truth, 0.0 * truth]), np.ones(4000)
    )
    assert shares[0] > 0.95


# Networks


def noisy_wave(n: int = 120, seed: int = 3) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    inputs = rng.uniform(-2.0, 2.0, size=(n, 2))
    return inputs, np.sin(2.0 * inputs[:, 0]) + 0.5 * inputs[:, 1] + 0.2 * rng.normal(size=n)


@pytest.mark.slow
def test_a_network_chooses_a_penalty_near_the_best() -> None:
    new, _ = noisy_wave(2000)
    truth = np.sin(2.0 * new[:, 0]) + 0.5 * new[:, 1]

    def error(alpha: Any, seed: int) -> float:
        model = NetworkRegressor(hidden=(8,), alpha=alpha, n_starts=1).fit(*noisy_wave(seed=seed))
        assert all(member.solution.converged for member in model.members_)
        return float(np.sqrt(np.mean(np.square(model.predict(new) - truth))))

    # The error beside the best of fixed penalties, in the mean of three samples. Approximate leave-one-out is hopeful
    # where a network comes close to its rows, and chooses weak penalties.
    ratios: dict[str, list[float]] = {"cv": [], "evidence": [], "loo": []}
    for seed in (3, 4, 5):
        fixed = [error(alpha, seed) for alpha in (1e-3, 1e-2, 0.1, 1.0, 10.0)]
        assert min(fixed) < 0.2 * max(fixed)
        for rule, found in ratios.items():
            found.append(error(rule, seed) / min(fixed))
    assert {rule: float(np.mean(found)) for rule, found in ratios.items()} == {
        "cv": pytest.approx(1.0, abs=0.3),
        "evidence": pytest.approx(1.0, abs=0.3),
        "loo": pytest.approx(1.0, abs=0.4),
    }


@pytest.mark.slow
def test_rows_left_out_choose_a_penalty_that_predicts_nearly_best() -> None:
    inputs, y = noisy_wave()
    new, targets = noisy_wave(2000)

    def error(alpha: Any) -> float:
        model = NetworkRegressor(hidden=(8,), alpha=alpha, n_starts=1).fit(inputs, y)
        return float(np.sqrt(np.mean(np.square(model.predict(new) - targets))))

    fixed = [error(alpha) for alpha in (1e-3, 1e-2, 0.1, 1.0, 10.0)]
    assert error("cv") < 1.1 * min(fixed) < 0.5 * max(fixed)


@pytest.mark.slow
def test_a_networks_members_know_their_penalty() -> None:
    inputs, _ = noisy_wave()
    y = np.sin(2.0 * inputs[:, 0]) * inputs[:, 1] + 0.2 * np.random.default_rng(4).normal(size=len(inputs))
    model = NetworkClassifier(n_starts=2).fit(inputs, y > 0.0)
    strong, weak = (member for member in model.members_ if member.network.widths == (12, 10, 1))
    assert strong.alpha[0] == pytest.approx(10.0 * weak.alpha[0])
    assert strong.alpha[-1] == 0.0  # the output's intercept
    assert "by the loss of rows left out in 5 folds" in strong.solution.chosen
    assert f"which is least for {strong.alpha[0]:.3g}" in weak.solution.chosen
    assert 3.0 < strong.effective_parameters < weak.effective_parameters < strong.network.n_params
    assert np.isfinite(strong.log_evidence)
    # In scaled units; the noise is 0.2 in those of the data.
    (member,) = (regression := NetworkRegressor(hidden=(10,), n_starts=1).fit(inputs, y)).members_
    assert 0.15 < np.sqrt(member.noise) * regression.scaling_.y_scale[0] < 0.25
    line = model.members_[0]
    assert line.hidden == ()
    assert line.share < 0.1
    assert model.solution_ is not line.solution


def test_starts_of_given_shapes_have_one_penalty() -> None:
    inputs, y = noisy_wave(60)
    members = NetworkRegressor(hidden=(3,), n_starts=2).fit(inputs, y).members_
    assert members[0].alpha[0] == members[1].alpha[0]
    assert not np.array_equal(members[0].params, members[1].params)
    assert [member.share for member in members] == [0.5, 0.5]


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.1, 1.0])
def test_a_line_is_left_to_the_perceptron(noise: float) -> None:
    squares = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        inputs, new, slope = rng.normal(size=(100, 5)), rng.normal(size=(1000, 5)), rng.normal(size=5)
        y = inputs @ slope + noise * rng.normal(size=100)
        model = NetworkRegressor(n_starts=1).fit(inputs, y)
        # Under the strong penalties of much noise the networks are lines as well, and shares say little.
        assert noise == 1.0 or model.members_[0].share > 0.75
        squares.append(np.mean(np.square(model.predict(new) - new @ slope)))
    # Twice what least squares on the right columns has in the mean of samples.
    assert np.sqrt(np.mean(squares)) < 2.0 * noise * np.sqrt(6 / 100)


def test_no_network_follows_a_perceptron_that_explains_everything() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(80, 4))
    model = NetworkRegressor().fit(inputs, inputs[:, 0] + inputs[:, 1])
    assert [member.hidden for member in model.members_] == [()]
    assert model.score(inputs, inputs[:, 0] + inputs[:, 1]) == pytest.approx(1.0, abs=1e-10)


def test_the_best_member_is_the_one_of_the_greatest_evidence() -> None:
    inputs, y = noisy_wave(60)
    for kind, targets in ((NetworkRegressor, y), (NetworkClassifier, y > 0.0)):
        model = kind(hidden=[(2,), (5,)], n_starts=1, combine="best").fit(inputs, targets)
        best = int(np.argmax([member.log_evidence for member in model.members_]))
        assert [member.share for member in model.members_] == [float(m == best) for m in range(2)]
        assert model.solution_ is model.members_[best].solution


@pytest.mark.slow
def test_the_measured_mix_of_a_classifier_has_a_perceptron_that_is_believed_where_it_is_right() -> None:
    data = load_breast_cancer()
    model = NetworkClassifier().fit(data.data[:300, :10], data.target[:300])
    assert [member.hidden for member in model.members_] == [(), (), (10,), (10,)]
    assert sum(member.share for member in model.members_) == pytest.approx(1.0)
    assert model.score(data.data[300:, :10], data.target[300:]) > 0.93
    rng = np.random.default_rng(0)
    cross = rng.normal(size=(400, 2))
    y = cross[:, 0] * cross[:, 1] > 0.0
    model = NetworkClassifier().fit(cross, y)
    assert sum(member.share for member in model.members_ if member.hidden == ()) < 0.25
    assert model.score(cross, y) > 0.95


def test_what_is_too_large_for_a_matrix_is_judged_by_rows_left_out() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(300, 120))
    y = inputs[:, 0] + 0.1 * rng.normal(size=300)
    model = NetworkRegressor(hidden=(12,), alpha="evidence", n_starts=1, max_iter=20, tol=0.1).fit(inputs, y)
    assert "by the loss of rows left out" in model.solution_.chosen
    assert np.isnan(model.effective_parameters_)


@pytest.mark.parametrize("alpha", ["evident", -1.0, None, float("nan"), True])
def test_a_wrong_alpha_is_named(alpha: Any) -> None:
    for kind in (PerceptronRegressor, NetworkRegressor):
        with pytest.raises(InputError, match="alpha"):
            kind(alpha=alpha).fit(X, NUMBERS)


def test_leave_one_out_wants_a_loss_it_knows() -> None:
    with pytest.raises(InputError, match="alpha='loo'"):
        PerceptronClassifier(alpha="loo", loss="squared_error").fit(X, TWO)


def test_a_callback_ends_the_search_too() -> None:
    inputs, y = noisy_wave()
    with pytest.warns(match="callback"):
        model = NetworkRegressor(hidden=(5,), n_starts=1, callback=lambda p: p.row.iteration == 3).fit(inputs, y)
    assert [member.solution.status.name for member in model.members_] == ["STOPPED"]
    assert model.members_[0].alpha[0] > 0.0


# Asinh features


def test_asinh_features_shorten_long_tails() -> None:
    rng = np.random.default_rng(0)
    inputs = np.column_stack([np.exp(2.0 * rng.normal(size=500)), rng.integers(0, 2, size=500), rng.normal(size=500)])

    def rows(X: np.ndarray, weight: np.ndarray | None = None) -> ArrayRows:
        return ArrayRows(X, np.zeros((len(X), 1)), weight)

    plain = learn_scaling(rows(inputs), targets=False)
    scaling = with_asinh(plain, rows(inputs))
    assert scaling.asinh is not None
    assert scaling.asinh.columns.tolist() == [0, 2]  # two values need no asinh
    found = scaling.inputs(inputs)
    assert found.shape == (500, 5)
    np.testing.assert_array_equal(found[:, :3], plain.inputs(inputs))
    np.testing.assert_allclose(found.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(found.std(axis=0), 1.0, rtol=1e-12)
    assert np.abs(found[:, 3]).max() < 0.5 * np.abs(found[:, 0]).max()
    weight = rng.integers(0, 3, size=500)
    weighted = with_asinh(plain, rows(inputs, weight.astype(np.float64))).asinh
    repeated = with_asinh(plain, rows(np.repeat(inputs, weight, axis=0))).asinh
    assert weighted is not None
    assert repeated is not None
    for part in ("columns", "center", "scale", "mean", "spread"):
        np.testing.assert_allclose(getattr(weighted, part), getattr(repeated, part), rtol=1e-12)


@pytest.mark.slow
def test_a_model_with_asinh_features_is_the_same_when_read_again(tmp_path: Any) -> None:
    inputs, y = noisy_wave(60)
    model = NetworkRegressor(n_starts=1).fit(inputs, y)
    assert model.scaling_.asinh is not None
    model.save(tmp_path / "m.newtron")
    again = load(tmp_path / "m.newtron")
    np.testing.assert_array_equal(again.predict(inputs), model.predict(inputs))
    assert again.effective_parameters_ == model.effective_parameters_
    for mine, its in zip(model.members_, again.members_, strict=True):
        assert (mine.noise, mine.log_evidence) == (its.noise, its.log_evidence)
        np.testing.assert_array_equal(mine.alpha, its.alpha)


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["precision", "sampling"])
def test_a_row_that_is_no_number_of_rows_is_left_out_whole(weights: str) -> None:
    """alpha="loo" is where the weighted squares of the errors of real fits without each row are least."""
    r = np.random.default_rng(14)
    X = r.normal(size=(25, 6))
    y, w = 0.7 * X @ r.normal(size=6) + 3.0 * r.normal(size=25), r.uniform(0.2, 6.0, size=25)
    w /= w.mean()

    def loss(alpha: float) -> float:
        total = 0.0
        for i in range(25):
            rest = np.arange(25) != i
            model = PerceptronRegressor(alpha=alpha, weights="precision").fit(X[rest], y[rest], w[rest])
            total += w[i] * float(y[i] - model.predict(X[i : i + 1])[0]) ** 2
        return total

    alpha = PerceptronRegressor(alpha="loo", weights=weights).fit(X, y, w).members_[0].alpha[0]
    chosen = loss(alpha)
    assert 1e-3 < alpha < 1e3
    assert chosen < loss(1.05 * alpha)
    assert chosen < loss(alpha / 1.05)


@pytest.mark.slow
def test_a_count_is_left_out_with_its_exposure() -> None:
    r = np.random.default_rng(15)
    X, exposure = r.normal(size=(40, 5)), r.uniform(0.3, 20.0, size=40)
    y = r.poisson(exposure * np.exp(0.3 * X[:, 0] - 1.0))
    given = np.column_stack([X, np.log(exposure)])

    def loss(alpha: float) -> float:
        total = 0.0
        for i in range(40):
            rest = np.arange(40) != i
            model = PerceptronRegressor(loss="poisson", offset=5, alpha=alpha).fit(given[rest], y[rest])
            mean = float(model.predict(given[i : i + 1])[0])
            total += mean - y[i] * np.log(mean)
        return total

    alpha = PerceptronRegressor(loss="poisson", offset=5, alpha="loo").fit(given, y).members_[0].alpha[0]
    chosen = loss(alpha)  # the rule takes one Newton step for each row, which is nearly a new fit
    assert chosen < min(loss(1.6 * alpha), loss(alpha / 1.6))
    # Equal exposures change nothing but the intercept.
    equal = np.column_stack([X, np.full(40, np.log(7.0))])
    one = PerceptronRegressor(loss="poisson", offset=5, alpha="loo").fit(equal, y)
    plain = PerceptronRegressor(loss="poisson", alpha="loo").fit(X, y)
    np.testing.assert_allclose(one.coef_[:5], plain.coef_, rtol=1e-6)
