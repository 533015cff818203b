"""Intervals of means and of probabilities, and the distribution of a count: against statsmodels and integrals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import integrate, stats

from newtron import InputError, NetworkRegressor, PerceptronClassifier, PerceptronRegressor

Array = np.ndarray[Any, Any]

N = 120
rng = np.random.default_rng(21)
X = rng.normal(size=(N, 2)) * [1.0, 4.0] + [0.0, 30.0]
Z = 0.7 * X[:, 0] - 0.1 * (X[:, 1] - 30.0)
EXPOSURE = rng.uniform(0.5, 5.0, size=N)
A = sm.add_constant(X)
NEW = X[:7] + 0.3


@pytest.mark.parametrize("settings", [{}, {"standardize": True}])
@pytest.mark.parametrize("weight", [None, rng.uniform(0.5, 2.0, size=N)])
def test_intervals_of_a_mean_are_those_of_statsmodels(settings: dict[str, Any], weight: Array | None) -> None:
    y = Z + (0.5 + np.abs(Z)) * rng.normal(size=N)
    model = PerceptronRegressor(weights="precision", **settings).fit(X, y, weight)
    ols = sm.WLS(y, A, weights=1.0 if weight is None else weight)
    new = sm.add_constant(NEW)
    expected = ols.fit().get_prediction(new).conf_int(alpha=0.1)
    np.testing.assert_allclose(model.predict_mean_interval(NEW), expected, rtol=1e-9)
    robust = model.summary(X, y, sample_weight=weight, covariance="HC3")
    expected = ols.fit(cov_type="HC3", use_t=True).get_prediction(new).conf_int(alpha=0.05)
    np.testing.assert_allclose(model.predict_mean_interval(NEW, 0.95, summary=robust), expected, rtol=1e-8)
    by_summary = model.predict_mean_interval(NEW, summary=model.summary())
    np.testing.assert_allclose(model.predict_mean_interval(NEW), by_summary, rtol=1e-8)


def test_several_targets_have_the_intervals_of_each() -> None:
    Y = np.column_stack([Z, -Z]) + rng.normal(size=(N, 2))
    found = PerceptronRegressor().fit(X, Y).predict_mean_interval(NEW)
    assert found.shape == (7, 2, 2)
    for target in range(2):
        alone = PerceptronRegressor().fit(X, Y[:, target]).predict_mean_interval(NEW)
        np.testing.assert_allclose(found[:, target], alone, rtol=1e-9)


@pytest.mark.parametrize("offset", [None, 0])
def test_intervals_of_the_mean_of_a_count(offset: int | None) -> None:
    exposure = np.ones(N) if offset is None else EXPOSURE
    y = rng.poisson(exposure * np.exp(Z))
    given = X if offset is None else np.column_stack([np.log(exposure), X])
    model = PerceptronRegressor(loss="poisson", offset=offset).fit(given, y)
    glm = sm.GLM(y, A, family=sm.families.Poisson(), offset=np.log(exposure)).fit(tol=1e-13)
    expected = glm.get_prediction(A[:7], offset=np.log(exposure)[:7]).conf_int(alpha=0.1)
    np.testing.assert_allclose(model.predict_mean_interval(given[:7]), expected, rtol=1e-7)


@pytest.mark.parametrize("baseline", ["a", "b"])
def test_intervals_of_the_probability_of_two_classes(baseline: str) -> None:
    codes = (Z + rng.logistic(size=N) > 0.2).astype(int)
    y = np.array(["a", "b"])[codes]
    model = PerceptronClassifier().fit(X, y)
    glm = sm.GLM(codes, A, family=sm.families.Binomial())
    expected = glm.fit(tol=1e-13).get_prediction(sm.add_constant(NEW)).conf_int(alpha=0.1)
    found = model.predict_proba_interval(NEW)
    np.testing.assert_allclose(found[:, 1], expected, rtol=1e-7)
    np.testing.assert_allclose(found[:, 0], 1.0 - expected[:, ::-1], rtol=1e-7)
    robust = model.summary(X, y, covariance="HC0", baseline=baseline)
    expected = glm.fit(tol=1e-13, cov_type="HC0").get_prediction(sm.add_constant(NEW)).conf_int(alpha=0.05)
    np.testing.assert_allclose(model.predict_proba_interval(NEW, 0.95, summary=robust)[:, 1], expected, rtol=1e-6)


def test_intervals_of_the_probabilities_of_three_classes_by_the_delta_method() -> None:
    y = np.clip(np.round(Z + rng.normal(size=N)), -1, 1).astype(int)
    model = PerceptronClassifier().fit(X, y)
    summary = model.summary(baseline=0)
    row = np.append(1.0, NEW[0])

    def log_odds(coefficients: Array) -> Array:
        z = np.zeros(3)
        z[[0, 2]] = coefficients.reshape(2, 3) @ row
        p = np.exp(z) / np.exp(z).sum()
        return np.asarray(np.log(p / (1.0 - p)))

    middle, step = log_odds(summary.estimates), 1e-6
    slope = np.array([(log_odds(summary.estimates + step * e) - middle) / step for e in np.eye(6)]).T
    sd = np.sqrt(np.diagonal(slope @ summary.covariance_matrix @ slope.T))
    ends = middle[:, None] + stats.norm.ppf(0.95) * np.outer(sd, [-1.0, 1.0])
    expected = 1.0 / (1.0 + np.exp(-ends))
    np.testing.assert_allclose(model.predict_proba_interval(NEW)[0], expected, rtol=1e-4)
    np.testing.assert_allclose(model.predict_proba_interval(NEW, summary=summary)[0], expected, rtol=1e-4)
    assert (model.predict_proba_interval(NEW)[..., 0] < model.predict_proba(NEW)).all()


def test_what_has_no_interval_of_a_mean_says_so() -> None:
    y = Z + rng.normal(size=N)
    sampled = PerceptronRegressor(weights="sampling").fit(X, y, EXPOSURE)
    found = sampled.predict_mean_interval(NEW, summary=sampled.summary(X, y, sample_weight=EXPOSURE))
    np.testing.assert_allclose(sampled.predict_mean_interval(NEW), found, rtol=1e-9)
    with pytest.raises(InputError, match="of another model"):
        sampled.predict_mean_interval(NEW, summary=PerceptronRegressor().fit(X[:, :1], y).summary())
    with pytest.raises(InputError, match="coverage"):
        sampled.predict_mean_interval(NEW, 1.5)


# --- counts ---


def counts(**settings: Any) -> tuple[PerceptronRegressor, Array]:
    y = rng.poisson(EXPOSURE * np.exp(Z))
    given = np.column_stack([X, np.log(EXPOSURE)])
    return PerceptronRegressor(loss="poisson", offset=2, **settings).fit(given, y), given


def test_the_distribution_of_a_count_is_the_integral_over_its_mean() -> None:
    """Poisson's probability times the Gaussian density of the logarithm of the mean, by adaptive quadrature."""
    model, given = counts()
    summary = model.summary()
    new = given[:4] + np.array([2.0, 10.0, 0.0])  # far away, where the mean is uncertain
    A_new = np.column_stack([np.ones(4), new[:, :2]])
    z = A_new @ summary.estimates + new[:, 2]
    sd = np.sqrt(np.einsum("ni,ij,nj->n", A_new, summary.covariance_matrix, A_new))

    def expectation(of: Any, i: int) -> float:
        return float(
            integrate.quad(lambda t: of(np.exp(z[i] + sd[i] * t)) * stats.norm.pdf(t), -9, 9, epsabs=0, epsrel=1e-11)[0]
        )

    y = np.array([0.0, 1.0, 3.0, 8.0])
    expected = [np.log(expectation(lambda mean, i=i: stats.poisson.pmf(y[i], mean), i)) for i in range(4)]
    np.testing.assert_allclose(model.log_density(new, y), expected, rtol=1e-7)
    low, high = model.predict_interval(new, 0.8).T
    for i in range(4):
        for end, q in ((low[i], 0.1), (high[i], 0.9)):
            assert end == round(end)
            assert expectation(lambda mean, end=end: stats.poisson.cdf(end, mean), i) >= q - 1e-9
            assert expectation(lambda mean, end=end: stats.poisson.cdf(end - 1, mean), i) < q + 1e-9
    own = np.exp(2 * z + sd**2) * np.expm1(sd**2)
    _, std = model.predict(new, return_std=True)
    np.testing.assert_allclose(std, np.sqrt(np.exp(z + 0.5 * sd**2) + own), rtol=1e-8)
    parts = model.predict_uncertainty(new)
    np.testing.assert_allclose(parts.model_std, np.sqrt(own), rtol=1e-8)
    assert model.log_density(new[:1], np.array([-1.0]))[0] == -np.inf


def test_many_rows_leave_poissons_own_distribution() -> None:
    x = rng.normal(size=(8_000, 1))
    y = rng.poisson(np.exp(0.5 + 0.5 * x[:, 0]))
    model = PerceptronRegressor(loss="poisson").fit(x, y)
    mean = model.predict(x[:200])
    np.testing.assert_allclose(model.log_density(x[:200], y[:200]), stats.poisson.logpmf(y[:200], mean), atol=2e-2)
    low, high = model.predict_interval(x, 0.9).T
    covered = np.mean((low <= y) & (y <= high))
    assert 0.9 <= covered < 0.98  # whole numbers hold a little more than they have to
    large = PerceptronRegressor(loss="poisson").fit(x, np.round(1e12 * np.exp(x[:, 0])))
    assert (np.diff(large.predict_interval(x[:5]), axis=1) > 0).all()


def test_networks_of_counts_have_intervals_too() -> None:
    model = NetworkRegressor(loss="poisson", hidden=(3,), n_starts=2).fit(X, rng.poisson(np.exp(Z)))
    low, high = model.predict_interval(NEW).T
    assert (low <= model.predict(NEW)).all()
    assert (model.predict(NEW) <= high).all()
    assert np.isfinite(model.log_density(NEW, np.ones(7))).all()
