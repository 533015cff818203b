"""How sure the estimators are: exact where statistics knows the answer, covered where only simulation does."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import scipy.stats
from sklearn.base import clone
from support.certified import linear_set
from support.models import change
from support.present import of_type, present

from newtron import (
    InputError,
    NetworkClassifier,
    NetworkRegressor,
    PerceptronClassifier,
    PerceptronRegressor,
    load,
)
from newtron.inference.predictive.predictive import RegressionPredictive, network_predictive

rng = np.random.default_rng(3)
X = rng.normal(size=(60, 3)) * [1.0, 10.0, 0.1] + [0.0, 5.0, 1.0]
Y = X @ [1.0, -0.2, 5.0] + rng.normal(size=60)
C = np.digitize(Y + rng.normal(size=60), [3.0, 6.0])
NEW = np.vstack([X[:5] + 0.3, 3.0 * X[:3]])

# Speed and stopping distance of cars (Ezekiel 1930; the data set `cars` of R).
CARS = np.fromstring(
    "4 2 4 10 7 4 7 22 8 16 9 10 10 18 10 26 10 34 11 17 11 28 12 14 12 20 12 24 12 28 13 26 13 34 13 34 13 46 14 26 "
    "14 36 14 60 14 80 15 20 15 26 15 54 16 32 16 40 17 32 17 40 17 50 18 42 18 56 18 76 18 84 19 36 19 46 19 68 20 "
    "32 20 48 20 52 20 56 20 64 22 66 23 54 24 70 24 92 24 93 24 120 25 85",
    sep=" ",
).reshape(-1, 2)


def network(**settings: Any) -> NetworkRegressor:
    return NetworkRegressor(**{"hidden": (4,), "alpha": 0.1, "n_starts": 2, **settings})


# --- perceptrons: the textbook ---


def test_r_predicts_these_intervals() -> None:
    """predict(lm(dist ~ speed, cars), ..., interval = "prediction") and "confidence": tests/data/r/reference.R."""
    of_r = json.loads((Path(__file__).parents[1] / "data" / "r" / "reference.json").read_text(encoding="utf-8"))
    model = PerceptronRegressor().fit(CARS[:, :1], CARS[:, 1])
    speed = [[12.0], [19.0], [24.0]]
    mean, low, high = np.transpose(of_r["cars_prediction"])
    np.testing.assert_allclose(model.predict(speed), mean, rtol=1e-13)
    found = model.predict_interval(speed, coverage=0.95)
    np.testing.assert_allclose(found, np.column_stack([low, high]), rtol=1e-11)
    _, low, high = np.transpose(of_r["cars_confidence"])
    of_mean = model.predict_uncertainty(speed).model_std * scipy.stats.t(48).ppf(0.975)
    np.testing.assert_allclose([mean - of_mean, mean + of_mean], [low, high], rtol=1e-11)


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
def test_least_squares_has_its_t(standardize: bool, sparse: bool) -> None:
    kind = scipy.sparse.csr_matrix if sparse else np.asarray
    model = PerceptronRegressor(standardize=standardize).fit(kind(X), Y)
    A, B = (np.column_stack([Z, np.ones(len(Z))]) for Z in (X, NEW))
    b = np.linalg.lstsq(A, Y, rcond=None)[0]
    variance = np.sum(np.square(Y - A @ b)) / 56
    h = np.einsum("ij,jk,ik->i", B, np.linalg.inv(A.T @ A), B)
    t = scipy.stats.t(56, B @ b, np.sqrt(variance * (1.0 + h)))
    mean, std = model.predict(kind(NEW), return_std=True)
    np.testing.assert_allclose(mean, t.mean(), rtol=1e-9)
    np.testing.assert_allclose(std, t.std(), rtol=1e-9)
    np.testing.assert_allclose(model.predict_interval(kind(NEW), 0.8), np.transpose(t.interval(0.8)), rtol=1e-9)
    np.testing.assert_allclose(model.log_density(kind(NEW), B @ b + 2.0), t.logpdf(B @ b + 2.0), rtol=1e-9)
    parts = model.predict_uncertainty(kind(NEW))
    np.testing.assert_allclose(parts.model_std, np.sqrt(variance * h), rtol=1e-9)
    np.testing.assert_allclose(np.hypot(parts.noise_std, parts.model_std), std, rtol=1e-12)
    np.testing.assert_array_equal(parts.std, np.hypot(parts.noise_std, parts.model_std))


@pytest.mark.parametrize("solver", ["auto", "newton-cg", "lbfgs", "gradient-descent"])
def test_every_solver_leaves_the_same_distribution(solver: str) -> None:
    """Also those that need no curvature of their own."""
    expected = PerceptronRegressor(standardize=True).fit(X, Y).predict(NEW, return_std=True)[1]
    found = PerceptronRegressor(solver=solver, standardize=True, max_iter=3000, tol=1e-9).fit(X, Y)
    np.testing.assert_allclose(found.predict(NEW, return_std=True)[1], expected, rtol=1e-6)


def test_leverages_of_filip_have_digits() -> None:
    """Powers of x to the tenth: the Gram matrix has lost all digits, R of the columns has not."""
    powers, y, _, _ = linear_set("Filip")
    model = PerceptronRegressor().fit(powers, y)
    rows = [[Fraction(1), *map(Fraction, row)] for row in powers.tolist()]
    gram = [[sum((r[i] * r[j] for r in rows), Fraction(0)) for j in range(11)] for i in range(11)]
    chosen = (0, 40, 81)
    augmented = [[*line, *(rows[c][i] for c in chosen)] for i, line in enumerate(gram)]
    for i in range(11):
        pivot = [value / augmented[i][i] for value in augmented[i]]
        augmented = [
            pivot if j == i else [a - line[i] * b for a, b in zip(line, pivot, strict=True)]
            for j, line in enumerate(augmented)
        ]
    exact = [float(sum(rows[c][i] * augmented[i][11 + k] for i in range(11))) for k, c in enumerate(chosen)]
    parts = model.predict_uncertainty(powers[list(chosen)])
    variance = np.sum(np.square(y - model.predict(powers))) / (82 - 11)
    np.testing.assert_allclose(np.square(parts.model_std) / variance, exact, rtol=1e-4)


@pytest.mark.parametrize("model", [PerceptronRegressor(), PerceptronRegressor(alpha=2.0), PerceptronClassifier()])
def test_a_weight_is_a_repeated_row(model: Any) -> None:
    y = Y if model._task == "regression" else C
    weight = rng.integers(0, 4, 60)
    weighted = clone(model).fit(X, y, sample_weight=weight.astype(float)).predict_uncertainty(NEW)
    repeated = clone(model).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight)).predict_uncertainty(NEW)
    np.testing.assert_allclose(weighted.std, repeated.std, rtol=1e-6)
    np.testing.assert_allclose(weighted.model_std, repeated.model_std, rtol=1e-5)


def test_the_delta_method_of_logistic_regression() -> None:
    two = (C > 0).astype(int)
    model = PerceptronClassifier().fit(X, two)
    A, B = (np.column_stack([Z, np.ones(len(Z))]) for Z in (X, NEW))
    p = model.predict_proba(X)[:, 1]
    covariance = np.linalg.inv(A.T @ (A * (p * (1.0 - p))[:, None]))
    q = model.predict_proba(NEW)[:, 1]
    expected = q * (1.0 - q) * np.sqrt(np.einsum("ij,jk,ik->i", B, covariance, B))
    parts = model.predict_uncertainty(NEW)
    np.testing.assert_allclose(parts.model_std[:, 1], np.minimum(expected, np.sqrt(q * (1 - q))), rtol=1e-6)
    np.testing.assert_allclose(np.square(parts.std[:, 0]), q * (1.0 - q), rtol=1e-9)
    assert model.temperature_ == 1.0


# --- networks ---


def noise_free(Z: Any) -> Any:
    return np.sin(2.0 * Z[:, 0]) + 0.5 * Z[:, 1]


NOISES: dict[str, Any] = {
    "constant": lambda Z, draw: 0.3 * draw.normal(size=len(Z)),
    "depends on x": lambda Z, draw: 0.3 * np.exp(0.8 * Z[:, 0]) * draw.normal(size=len(Z)),
    "heavy tails": lambda Z, draw: 0.2 * draw.standard_t(3.0, size=len(Z)),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", NOISES)
def test_simulated_rows_are_covered(kind: str) -> None:
    """90 % intervals hold 87-93 % of new rows, averaged over draws, and the log density is near the truth's: the best
    constant Gaussian of the noise that depends on x loses 0.41."""
    covered, lost = [], []
    for seed in range(4):
        draw = np.random.default_rng([17, seed])
        Z, new = draw.uniform(-1.5, 1.5, (300, 2)), draw.uniform(-1.5, 1.5, (2000, 2))
        model = network(alpha=0.03).fit(Z, noise_free(Z) + NOISES[kind](Z, draw))
        y = noise_free(new) + NOISES[kind](new, draw)
        interval = model.predict_interval(new)
        covered.append(np.mean((interval[:, 0] <= y) & (y <= interval[:, 1])))
        truth = {
            "constant": scipy.stats.norm(noise_free(new), 0.3),
            "depends on x": scipy.stats.norm(noise_free(new), 0.3 * np.exp(0.8 * new[:, 0])),
            "heavy tails": scipy.stats.t(3.0, noise_free(new), 0.2),
        }[kind]
        lost.append(np.mean(truth.logpdf(y) - model.log_density(new, y)))
    assert 0.87 <= np.mean(covered) <= 0.93
    assert 0.0 < np.mean(lost) < (0.2 if kind == "depends on x" else 0.12)


def test_intervals_widen_where_training_never_was() -> None:
    Z = rng.uniform(-1.0, 1.0, (200, 2))
    model = network(alpha=0.1).fit(Z, noise_free(Z) + 0.1 * rng.normal(size=200))
    ray = np.array([[1.0, -1.0]]) * np.array([[0.5], [2.0], [4.0], [8.0], [16.0], [100.0]])
    width = np.diff(model.predict_interval(ray), axis=1)[:, 0]
    assert (np.diff(width) > 0.0).all()
    assert width[1] > 1.5 * width[0]
    assert (np.diff(model.predict_uncertainty(ray).model_std) > 0.0).all()
    # Each way to tell the noise by itself, too: none is carried on beyond what was seen.
    scaled, predictive = model.scaling_.inputs(ray), of_type(RegressionPredictive, model.predictive_)
    scales = predictive.mixture(scaled, predictive.moments(scaled), 0).scale
    assert scales.shape == (6, 3)
    assert (np.diff(scales[2:], axis=0) > 0.0).all()


def test_the_variance_of_an_average_is_within_and_between() -> None:
    model = network(combine="average").fit(X, Y)
    Z, predictive = model.scaling_.inputs(NEW), of_type(RegressionPredictive, model.predictive_)
    each = [member.network.output(member.params, Z)[:, 0] for member in model.members_]
    within = [
        noise[0] * next(present(member.posterior).predict(Z))[2][:, 0, 0]
        for noise, member in zip(predictive.noise.variance, model.members_, strict=True)
    ]
    assert np.ptp(each, axis=0).max() > 0.1
    np.testing.assert_allclose(predictive.moments(Z).variance[:, 0], np.mean(within, axis=0) + np.var(each, axis=0))
    free = 60.0 - present(model.members_[1].posterior).effective
    residuals = (
        model.scaling_.targets(Y)
        - model.members_[1].network.output(model.members_[1].params, model.scaling_.inputs(X))[:, 0]
    )
    assert predictive.noise.variance[1, 0] == pytest.approx(np.sum(np.square(residuals)) / free, rel=1e-10)


def test_a_stretch_widens_everything() -> None:
    model = network().fit(X, Y)
    width = np.diff(model.predict_interval(NEW), axis=1)
    std = model.predict(NEW, return_std=True)[1]
    parts = model.predict_uncertainty(NEW)
    noise = of_type(RegressionPredictive, model.predictive_).noise
    noise = replace(noise, stretch=2.0 * noise.stretch)
    change(model, noise_model=noise)
    np.testing.assert_allclose(np.diff(model.predict_interval(NEW), axis=1), 2.0 * width, rtol=1e-9)
    np.testing.assert_allclose(model.predict(NEW, return_std=True)[1], 2.0 * std, rtol=1e-12)
    np.testing.assert_allclose(model.predict_uncertainty(NEW).model_std, 2.0 * parts.model_std, rtol=1e-12)
    np.testing.assert_allclose(model.predict_uncertainty(NEW).noise_std, 2.0 * parts.noise_std, rtol=1e-12)


def test_the_stretch_is_what_held_out_rows_say() -> None:
    """Rows that scatter three times as far as those that the noise was learned from."""
    Z, new = rng.uniform(-1.5, 1.5, (400, 2)), rng.uniform(-1.5, 1.5, (1000, 2))
    model = network(alpha=1.0).fit(Z, noise_free(Z) + 0.3 * rng.normal(size=400))
    y = model.scaling_.targets((model.predict(new) + 0.9 * rng.normal(size=1000))[:, None])
    predictive = of_type(RegressionPredictive, model.predictive_)
    found = replace(predictive, noise=replace(predictive.noise, stretch=np.ones(1))).stretched(
        model.scaling_.inputs(new), y, None
    )
    assert found[0] == pytest.approx(3.0, rel=0.2)
    # Rows that happen to lie close are no reason to promise more.
    close = model.scaling_.targets((model.predict(new) + 0.1 * rng.normal(size=1000))[:, None])
    assert predictive.stretched(model.scaling_.inputs(new), close, None)[0] == 1.0


def test_a_weight_is_a_repeated_row_of_networks() -> None:
    """The same members, their noise from weighted and from repeated rows."""
    weight = rng.integers(0, 4, 60)
    model = network().fit(X, Y, sample_weight=weight.astype(float))
    Z, T = model.scaling_.inputs(X), model.scaling_.targets(Y[:, None])
    posteriors = [present(member.posterior) for member in model.members_]
    share = np.full(2, 0.5)
    weighted = network_predictive(posteriors, share, model.loss_, Z, T, weight.astype(float))
    repeated = network_predictive(
        posteriors, share, model.loss_, np.repeat(Z, weight, axis=0), np.repeat(T, weight, axis=0), None
    )
    np.testing.assert_allclose(weighted.noise.variance, repeated.noise.variance, rtol=1e-10)
    new = model.scaling_.inputs(NEW)
    a, b = (found.mixture(new, found.moments(new), 0) for found in (weighted, repeated))
    np.testing.assert_allclose(a.scale, b.scale, rtol=1e-5)
    np.testing.assert_array_equal(a.dof, b.dof)


def test_the_ends_are_quantiles_of_the_density() -> None:
    """The log density, summed between the ends of an interval, is its coverage."""
    model = network().fit(X, Y)
    for coverage in (0.5, 0.9, 0.99):
        low, high = model.predict_interval(NEW[:1], coverage)[0]
        grid = np.linspace(low, high, 20_001)
        density = np.exp(model.log_density(np.repeat(NEW[:1], grid.size, axis=0), grid))
        assert np.trapezoid(density, grid) == pytest.approx(coverage, abs=1e-6)


@pytest.mark.parametrize("model", [PerceptronRegressor(alpha=1.0, standardize=True), network()])
def test_everything_is_in_the_users_units(model: Any) -> None:
    one = clone(model).fit(X, Y)
    other = clone(model).fit(X * [2.0, 0.5, 100.0] - 7.0, 1000.0 * Y + 5.0)
    moved = NEW * [2.0, 0.5, 100.0] - 7.0
    np.testing.assert_allclose(other.predict_interval(moved), 1000.0 * one.predict_interval(NEW) + 5.0, rtol=1e-4)
    y = one.predict(NEW) + 1.0
    np.testing.assert_allclose(
        other.log_density(moved, 1000.0 * y + 5.0), one.log_density(NEW, y) - np.log(1000.0), rtol=1e-4
    )
    np.testing.assert_allclose(
        other.predict_uncertainty(moved).model_std, 1000.0 * one.predict_uncertainty(NEW).model_std, rtol=1e-3
    )


@pytest.mark.parametrize("model", [PerceptronRegressor(), network()])
def test_several_targets(model: Any) -> None:
    both = np.column_stack([Y, 100.0 * X[:, 1] + rng.normal(size=60)])
    fitted = clone(model).fit(X, both)
    mean, std = fitted.predict(NEW, return_std=True)
    interval = fitted.predict_interval(NEW)
    assert (mean.shape, std.shape, interval.shape) == ((8, 2), (8, 2), (8, 2, 2))
    assert (interval[:, :, 0] < mean).all()
    assert (mean < interval[:, :, 1]).all()
    assert fitted.log_density(NEW, mean).shape == (8,)
    if not hasattr(model, "hidden"):
        alone = [clone(model).fit(X, both[:, [c]]) for c in range(2)]
        np.testing.assert_allclose(std, np.hstack([m.predict(NEW, return_std=True)[1] for m in alone]), rtol=1e-9)
        total = sum(m.log_density(NEW, mean[:, [c]]) for c, m in enumerate(alone))
        np.testing.assert_allclose(fitted.log_density(NEW, mean), total, rtol=1e-9)


@pytest.mark.slow
def test_the_same_bits_for_any_threads_and_again() -> None:
    found = [network(n_jobs=jobs).fit(X, Y).predict_interval(NEW) for jobs in (1, 2, 1)]
    assert found[0].tobytes() == found[1].tobytes() == found[2].tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("model", [PerceptronRegressor(), network(), network(combine="best"), network(hidden=())])
def test_it_is_stored(model: Any, tmp_path: Path) -> None:
    fitted = clone(model).fit(X, Y)
    fitted.save(tmp_path / "m")
    for copy in (load(tmp_path / "m"), pickle.loads(pickle.dumps(fitted))):
        assert copy.predict_interval(NEW).tobytes() == fitted.predict_interval(NEW).tobytes()
        assert copy.log_density(NEW, NEW[:, 0]).tobytes() == fitted.log_density(NEW, NEW[:, 0]).tobytes()
    assert fitted.predict(NEW).tobytes() == fitted.predict(NEW, return_std=True)[0].tobytes()


# --- probabilities ---


def test_the_temperature_helps_and_changes_no_class(tmp_path: Path) -> None:
    """Weakly penalised networks on few noisy rows are too sure."""
    draw = np.random.default_rng(8)
    Z, new = draw.normal(size=(120, 4)), draw.normal(size=(2000, 4))
    labels, truth = ((A[:, 0] + draw.normal(size=len(A)) > 0.3).astype(int) for A in (Z, new))
    model = NetworkClassifier(hidden=(6,), alpha=0.3, n_starts=2).fit(Z, labels)
    assert model.temperature_ > 1.3
    right = model.log_density(new, truth).mean()
    plain = clone(model).fit(Z, labels)
    change(plain, temperature=1.0)
    assert right > plain.log_density(new, truth).mean() + 0.1
    np.testing.assert_array_equal(model.predict(new), plain.predict(new))
    np.testing.assert_array_equal(model.predict(new), model.predict_proba(new).argmax(axis=1))
    np.testing.assert_allclose(model.predict_proba(new).sum(axis=1), 1.0, rtol=1e-14)
    model.save(tmp_path / "m")
    assert load(tmp_path / "m").predict_proba(new).tobytes() == model.predict_proba(new).tobytes()
    parts = model.predict_uncertainty(new)
    np.testing.assert_array_equal(parts.mean, model.predict_proba(new))
    assert load(tmp_path / "m").predict_uncertainty(new).model_std.tobytes() == parts.model_std.tobytes()


@pytest.mark.parametrize("model", [PerceptronClassifier(alpha=1.0), NetworkClassifier(hidden=(3,), n_starts=2)])
def test_the_log_density_of_a_class(model: Any) -> None:
    names = np.array(["low", "middle", "top"])[C]
    fitted = clone(model).fit(X, names)
    chosen = np.array(["top", "low", "middle", "top", "low", "low", "middle", "top"])
    columns = [list(fitted.classes_).index(name) for name in chosen]
    expected = np.log(fitted.predict_proba(NEW)[np.arange(8), columns])
    np.testing.assert_array_equal(fitted.log_density(NEW, chosen), expected)
    with pytest.raises(InputError, match="y='best' is none of the classes"):
        fitted.log_density(NEW[:1], ["best"])
    with pytest.raises(InputError, match="2 classes, and X has 8 rows"):
        fitted.log_density(NEW, chosen[:2])
    parts = fitted.predict_uncertainty(NEW)
    assert parts.mean.shape == parts.noise_std.shape == parts.model_std.shape == (8, 3)
    np.testing.assert_allclose(np.square(parts.std), parts.mean * (1.0 - parts.mean), rtol=1e-12)
    far = fitted.predict_uncertainty(100.0 * NEW)
    assert (far.model_std <= np.sqrt(far.mean * (1.0 - far.mean)) + 1e-15).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [PerceptronRegressor(), PerceptronClassifier(alpha=1.0), network(), NetworkClassifier(hidden=(3,), n_starts=1)],
)
def test_frames_and_float32(model: Any) -> None:
    """Column names are checked once, and answers have the type of X."""
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    y = Y if model._task == "regression" else C
    fitted = clone(model).fit(frame, y)
    found = fitted.predict_uncertainty(pd.DataFrame(NEW, columns=["a", "b", "c"]))
    plain = clone(model).fit(X, y)
    np.testing.assert_allclose(found.std, plain.predict_uncertainty(NEW).std, rtol=1e-5)
    np.testing.assert_allclose(fitted.log_density(frame, y), plain.log_density(X, y), rtol=1e-5)
    small = clone(model).fit(X.astype(np.float32), y.astype(np.float32) if model._task == "regression" else y)
    assert small.predict_uncertainty(NEW.astype(np.float32)).mean.dtype == np.float32
    np.testing.assert_allclose(small.predict_uncertainty(NEW).std, found.std, rtol=2e-2, atol=1e-3)
    if model._task == "regression":
        mean, std = small.predict(NEW.astype(np.float32), return_std=True)
        assert mean.dtype == std.dtype == np.float32


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_network_of_more_than_a_thousand_parameters_covers(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    inputs = rng.normal(size=(5000, 40))
    y = np.sin(2.0 * inputs[:, 0]) + inputs[:, 1] * inputs[:, 2] + 0.5 * rng.normal(size=5000)
    # New rows have an error of .65 with this penalty, and of .91 with a tenth of it, which fits the noise.
    model = NetworkRegressor(hidden=(50,), n_starts=1, alpha=10.0, solver="lbfgs", max_iter=40)
    model.fit(inputs[:2000], y[:2000])
    assert model.members_[0].network.n_params > 1000
    model.save(tmp_path / "m")
    for each in (model, load(tmp_path / "m")):
        ends = each.predict_interval(inputs[2000:], 0.9)
        assert 0.87 < np.mean((ends[:, 0] < y[2000:]) & (y[2000:] < ends[:, 1])) < 0.96


# --- where there is none, and bad input ---

ABSENT = [
    (network(hidden=(2000,), solver="lbfgs", max_iter=3), X, Y, "2,001 parameters, and the factor .* at most 1,200"),
    (PerceptronRegressor(), X[:4], Y[:4], "no more rows than parameters"),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("model", "rows", "target", "sentence"), ABSENT, ids=lambda v: type(v).__name__)
def test_a_fit_without_a_distribution_says_why(
    model: Any, rows: Any, target: Any, sentence: str, tmp_path: Path
) -> None:
    fitted = clone(model).fit(rows, target)
    assert np.isfinite(fitted.predict(NEW)).all()
    fitted.save(tmp_path / "m")
    for found in (fitted, load(tmp_path / "m")):
        asked: list[Callable[[Any], object]] = [
            lambda m: m.predict(NEW, return_std=True),
            lambda m: m.predict_interval(NEW),
            lambda m: m.log_density(NEW, NEW[:, 0]),
            lambda m: m.predict_uncertainty(NEW),
        ]
        for ask in asked:
            with pytest.raises(InputError, match=sentence):
                ask(found)


def test_weights_that_add_up_to_little_are_named() -> None:
    model = PerceptronRegressor().fit(X, Y, sample_weight=np.full(60, 0.01))
    with pytest.raises(InputError, match="each counted by its sample_weight"):
        model.predict_interval(NEW)


@pytest.mark.parametrize("coverage", [0.0, 1.0, -1, 90, None, "0.9", np.nan, True])
def test_a_bad_coverage_is_named(coverage: Any) -> None:
    with pytest.raises(InputError, match="coverage="):
        PerceptronRegressor().fit(X, Y).predict_interval(NEW, coverage)


def test_a_bad_target_is_named() -> None:
    model = PerceptronRegressor().fit(X, Y)
    with pytest.raises(InputError, match=r"y has the shape \(3,\), and .* must be \(8,\)"):
        model.log_density(NEW, [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="NaN"):
        model.log_density(NEW, [np.nan] * 8)


@pytest.mark.parametrize("model", [PerceptronRegressor(), network()])
@pytest.mark.parametrize("value", [0.0, 1e6])
def test_constant_targets_are_certain(model: Any, value: float) -> None:
    fitted = clone(model).fit(X, np.full(60, value))
    interval = fitted.predict_interval(NEW)
    assert np.isfinite(interval).all()
    assert (interval[:, 1] - interval[:, 0] < 1e-3 * max(1.0, value)).all()


def test_ctrl_c_waits_for_no_more_training(monkeypatch: pytest.MonkeyPatch) -> None:
    from newtron.training import predictive

    def never(*_: Any) -> Any:
        raise AssertionError("trained once more")

    monkeypatch.setattr(predictive, "train_members", never)
    with pytest.warns(match="stopped by the callback"):
        fitted = network(callback=lambda progress: progress.row.iteration >= 3).fit(X, Y)
    assert np.isfinite(fitted.predict_interval(NEW)).all()
    with pytest.raises(AssertionError, match="once more"):
        network().fit(X, Y)
