"""What a sample weight means: numbers of rows, precisions, sampling weights; by repeated rows and statsmodels."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm

from newtron import InputError, PerceptronClassifier, PerceptronRegressor, load

Array = np.ndarray[Any, Any]

N = 150
rng = np.random.default_rng(5)
X = rng.normal(size=(N, 2)) * [1.0, 5.0] + [0.0, 20.0]
A = np.column_stack([np.ones(N), X])
Z = 0.8 * X[:, 0] - 0.1 * (X[:, 1] - 20.0)
TARGETS = {
    "linear": Z + (0.5 + np.abs(X[:, 0])) * rng.normal(size=N),
    "logistic": (Z + rng.logistic(size=N) > 0.2).astype(int),
    "poisson": rng.poisson(np.exp(0.5 * Z)),
}
W = rng.uniform(0.3, 4.0, size=N)
GROUPS = rng.integers(0, 25, size=N)


def fitted(task: str, weight: Array | None, kind: str, **settings: Any) -> Any:
    if task == "logistic":
        return PerceptronClassifier(weights=kind, **settings).fit(X, TARGETS[task], weight)
    loss = "poisson" if task == "poisson" else None
    return PerceptronRegressor(weights=kind, loss=loss, **settings).fit(X, TARGETS[task], weight)


@pytest.mark.slow
@pytest.mark.parametrize("task", TARGETS)
@pytest.mark.parametrize("kind", [None, "HC0", "HC1", "HC2", "HC3", "cluster"])
def test_frequency_weights_are_rows_repeated(task: str, kind: str | None) -> None:
    times = rng.integers(0, 4, size=N)
    times[:3] = [0, 1, 2]
    model = fitted(task, times.astype(float), "frequency")
    again = type(model)(**model.get_params()).fit(X.repeat(times, axis=0), TARGETS[task].repeat(times))
    rows: dict[str, Any] = {} if kind is None else {"covariance": kind}
    given, written = dict(rows), dict(rows)
    if kind == "cluster":
        given["groups"], written["groups"] = GROUPS, GROUPS.repeat(times)
    one = model.summary(X, TARGETS[task], sample_weight=times.astype(float), **given)
    other = again.summary(X.repeat(times, axis=0), TARGETS[task].repeat(times), **written)
    np.testing.assert_allclose(one.covariance_matrix, other.covariance_matrix, rtol=1e-7)
    np.testing.assert_allclose([one.log_likelihood, one.bic], [other.log_likelihood, other.bic], rtol=1e-10)
    np.testing.assert_allclose(one.overall[0].statistic, other.overall[0].statistic, rtol=1e-7)
    assert one.class_counts == pytest.approx(other.class_counts)
    assert one.counted == other.n_rows


@pytest.mark.parametrize("scale", [1.0, 7.0])
def test_precision_weights_are_those_of_weighted_least_squares(scale: float) -> None:
    """statsmodels' WLS, whatever the unit of the weights: estimates, classical and robust errors, likelihood, F."""
    y, w = TARGETS["linear"], scale * W
    model = fitted("linear", w, "precision")
    theirs = sm.WLS(y, A, weights=w).fit()
    mine = model.summary()
    np.testing.assert_allclose(mine.covariance_matrix, theirs.cov_params(), rtol=1e-8)
    np.testing.assert_allclose(mine.p_values, theirs.pvalues, rtol=1e-7, atol=1e-300)
    assert mine.log_likelihood == pytest.approx(theirs.llf, rel=1e-12)
    assert mine.aic == pytest.approx(theirs.aic + 2.0, rel=1e-12)  # the variance is counted as a parameter here
    assert mine.residual_sd == pytest.approx(np.sqrt(theirs.scale), rel=1e-12)
    assert mine.r_squared == pytest.approx(theirs.rsquared, rel=1e-10)
    assert mine.adjusted_r_squared == pytest.approx(theirs.rsquared_adj, rel=1e-10)
    assert (mine.overall[0].statistic, mine.overall[0].p_value) == pytest.approx((theirs.fvalue, theirs.f_pvalue))
    assert mine.degrees_of_freedom == theirs.df_resid
    for kind in ("HC0", "HC1", "HC2", "HC3"):
        robust = model.summary(X, y, sample_weight=w, covariance=kind)
        expected = sm.WLS(y, A, weights=w).fit(cov_type=kind, use_t=True)
        np.testing.assert_allclose(robust.covariance_matrix, expected.cov_params(), rtol=1e-7)
        assert robust.overall[0].statistic == pytest.approx(expected.fvalue, rel=1e-7)
        assert robust.overall[0].p_value == pytest.approx(expected.f_pvalue, rel=1e-6)
    clustered = model.summary(X, y, sample_weight=w, groups=GROUPS)
    expected = sm.WLS(y, A, weights=w).fit(cov_type="cluster", cov_kwds={"groups": GROUPS}, use_t=True)
    np.testing.assert_allclose(clustered.covariance_matrix, expected.cov_params(), rtol=1e-7)
    low, high = model.predict_interval(X[:5], 0.9).T
    interval = theirs.get_prediction(A[:5]).conf_int(obs=True, alpha=0.1)
    np.testing.assert_allclose(np.column_stack([low, high]), interval, rtol=1e-8)


def test_a_precision_of_zero_is_no_row() -> None:
    w = W.copy()
    w[:10] = 0.0
    found = fitted("linear", w, "precision").summary()
    without = sm.WLS(TARGETS["linear"][10:], A[10:], weights=W[10:]).fit()
    np.testing.assert_allclose(found.standard_errors, without.bse, rtol=1e-8)
    assert found.log_likelihood == pytest.approx(without.llf)


@pytest.mark.parametrize(("task", "family"), [("logistic", sm.families.Binomial()), ("poisson", sm.families.Poisson())])
def test_precision_weights_of_other_likelihoods(task: str, family: Any) -> None:
    """statsmodels' GLM with var_weights; its robust errors square the weights as these do."""
    model = fitted(task, W, "precision")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = sm.GLM(TARGETS[task], A, family=family, var_weights=W).fit(tol=1e-12)
        robust = sm.GLM(TARGETS[task], A, family=family, var_weights=W).fit(tol=1e-12, cov_type="HC0")
    mine = model.summary()
    np.testing.assert_allclose(mine.covariance_matrix, theirs.cov_params(), rtol=1e-6)
    assert mine.log_likelihood == pytest.approx(theirs.llf, rel=1e-10)
    null = sm.GLM(TARGETS[task], A[:, :1], family=family, var_weights=W).fit(tol=1e-12).llf
    assert mine.pseudo_r_squared == pytest.approx(1.0 - theirs.llf / null, rel=1e-8)
    white = model.summary(X, TARGETS[task], sample_weight=W, covariance="HC0")
    np.testing.assert_allclose(white.covariance_matrix, robust.cov_params(), rtol=1e-6)


@pytest.mark.parametrize("task", TARGETS)
def test_sampling_weights_have_the_linearised_variance(task: str, tmp_path: Path) -> None:
    """The estimate of R's survey::svyglm without strata is n/(n - 1) times the sandwich of the weighted scores (Binder
    1983; Lumley 2010, Complex Surveys, 5.2), and Stata's pweights have n/(n - p). Their unit means nothing."""
    y = TARGETS[task]
    for unit in (1.0, 1e4):
        model = fitted(task, unit * W, "sampling")
        found = model.summary(X, y, sample_weight=unit * W)
        theta = np.append(model.intercept_, model.coef_)
        z = A @ theta
        mean, curvature = {
            "linear": (z, np.ones(N)),
            "logistic": (1 / (1 + np.exp(-z)), 1 / (2 + np.exp(z) + np.exp(-z))),
            "poisson": (np.exp(z), np.exp(z)),
        }[task]
        bread = np.linalg.inv(A.T @ ((W * curvature)[:, None] * A))
        scores = A * (W * (y - mean))[:, None]
        sandwich = bread @ scores.T @ scores @ bread
        assert found.covariance == "HC1"
        np.testing.assert_allclose(found.covariance_matrix, N / (N - 3) * sandwich, rtol=1e-7)
        white = model.summary(X, y, sample_weight=unit * W, covariance="HC0")
        np.testing.assert_allclose(white.covariance_matrix, sandwich, rtol=1e-7)
        assert np.isnan([found.log_likelihood, found.aic, found.bic]).all()
        assert found.overall[0].kind == "Wald"
        assert "sampling weights" in str(found)
        model.save(tmp_path / "m.newtron")
        for kept in (model.summary(), load(tmp_path / "m.newtron").summary()):
            np.testing.assert_allclose(kept.covariance_matrix, found.covariance_matrix, rtol=1e-9)
        assert found.notes == ()
    if task == "linear":
        share = W / W.sum()
        expected = np.sqrt(share @ np.square(y - z) * N / (N - 3))
        assert found.residual_sd == pytest.approx(expected, rel=1e-9)


def test_what_weights_do_not_go_with_is_refused() -> None:
    sampled = fitted("logistic", W, "sampling")
    with pytest.raises(InputError, match="covariance='HC3' is made from the rows"):
        sampled.summary(covariance="HC3")
    with pytest.raises(InputError, match="Sampling weights make no likelihood"):
        sampled.summary(X, TARGETS["logistic"], sample_weight=W, intervals="profile")
    with pytest.raises(InputError, match="'classical' is wrong for sampling weights"):
        sampled.summary(X, TARGETS["logistic"], sample_weight=W, covariance="classical")
    with pytest.raises(InputError, match="weights='analytic' is not known: choose one of 'frequency', 'precision'"):
        fitted("linear", W, "analytic")
    with pytest.raises(InputError, match="a weight for a number of rows"):
        fitted("logistic", W, "precision", penalty="firth")
    assert any("weights='precision'" in note for note in fitted("linear", W, "frequency").summary().notes)
