"""Summaries of perceptrons: every covariance against its formula written out, and against what others found."""

from __future__ import annotations

import copy
import json
import pickle
import re
import warnings
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from scipy import stats
from sklearn.exceptions import ConvergenceWarning
from support import certified
from support.certified import LINEAR, lre, needs_shared
from support.present import of_type

import newtron.inference.certificate.endpoint as endpoint
import newtron.inference.coefficients.information as information
from newtron import InputError, PerceptronClassifier, PerceptronRegressor, load
from newtron.model.predicting import lacking

Array = np.ndarray[Any, Any]

ROOT = Path(__file__).resolve().parents[2]
N, P = 120, 3
rng = np.random.default_rng(11)
X = rng.normal(size=(N, P)) * [1.0, 20.0, 0.3] + [0.0, 100.0, -2.0]
SCORE = (X - X.mean(axis=0)) / X.std(axis=0) @ [1.0, -0.7, 0.4]
TARGETS = {
    "regression": SCORE + (0.3 + 0.3 * np.abs(SCORE)) * rng.normal(size=N),
    "two targets": np.column_stack([SCORE, -SCORE]) + rng.normal(size=(N, 2)),
    "two classes": np.where(SCORE + rng.logistic(size=N) > 0.3, "yes", "no"),
    "three classes": np.array(["a", "b", "c"])[np.clip(np.round(SCORE + rng.normal(size=N)), -1, 1).astype(int)],
}
WEIGHTS = rng.integers(0, 4, size=N).astype(float)
GROUPS = rng.integers(0, 15, size=N)
ROWS = ("HC0", "HC1", "HC2", "HC3", "cluster")


def fitted(task: str, **settings: Any) -> Any:
    weight = settings.pop("sample_weight", None)
    estimator = PerceptronRegressor if task in ("regression", "two targets") else PerceptronClassifier
    return estimator(**settings).fit(X, TARGETS[task], weight)


# --- the formulas, dense and one row at a time ---


class Textbook:
    """All covariances in the user's units with [1, x], from rows written out as often as they weigh."""

    def __init__(self, task: str, model: Any, weight: Array | None) -> None:
        times = np.ones(N, dtype=int) if weight is None else weight.astype(int)
        self.groups = GROUPS.repeat(times)
        A = np.column_stack([np.ones(N), X])[:, 0 if model.fit_intercept else 1 :].repeat(times, axis=0)
        y = TARGETS[task].repeat(times, axis=0)
        n, q = A.shape
        theta = np.atleast_2d(model.coef_).T
        if model.fit_intercept:
            theta = np.vstack([np.atleast_1d(model.intercept_), theta])
        penalty = np.full(P, model.alpha)
        if model.standardize:
            x = X.repeat(times, axis=0)
            penalty *= np.mean((x - x.mean(axis=0)) ** 2, axis=0)
        D = np.diag([0.0] * model.fit_intercept + penalty.tolist())
        if task in ("regression", "two targets"):
            r = y.reshape(n, -1) - A @ theta
            k = r.shape[1]
            H = [np.eye(k)] * n
            S = np.kron(np.eye(k), D)
        else:
            z = A @ theta
            p = np.exp(z) / (1 + np.exp(z)) if z.shape[1] == 1 else np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
            one_hot = (y[:, None] == model.classes_[None, :]).astype(float)
            p = p if z.shape[1] == 1 else p[:, 1:]
            r = one_hot[:, 1:] - p
            k = r.shape[1]
            H = [np.diag(row) - np.outer(row, row) for row in p]
            S = np.kron(np.eye(k) - 1.0 / (k + 1) if k > 1 else np.eye(1), D)
        self.J = [np.kron(np.eye(k), a) for a in A]
        self.H, self.r, self.n = H, r, n
        self.info = sum(J.T @ h @ J for J, h in zip(self.J, H, strict=True))
        self.inverse = np.linalg.inv(self.info + S)
        self.effective = float(np.trace(self.inverse @ self.info))
        self.sigma = np.eye(1)
        if task in ("regression", "two targets"):
            self.effective /= k
            self.sigma = r.T @ r / (n - self.effective)
        self.spread = np.kron(self.sigma, np.ones((q, q))) if self.sigma.shape[0] > 1 else self.sigma
        self.regression = task in ("regression", "two targets")
        self.k = k

    def covariance(self, kind: str) -> Array:
        if kind in ("classical", "posterior"):
            return np.asarray(self.spread * self._across(self.inverse))
        if kind == "sandwich":
            return np.asarray(self.spread * self._across(self.inverse @ self.info @ self.inverse))
        scores = np.array([J.T @ r for J, r in zip(self.J, self._residuals(kind), strict=True)])
        n, factor = self.n, 1.0
        if kind == "HC1":
            factor = n / (n - self.effective)
        if kind == "cluster":
            names = np.unique(self.groups)
            scores = np.array([scores[self.groups == name].sum(axis=0) for name in names])
            factor = len(names) / (len(names) - 1) * (n - 1) / (n - self.effective)
        return np.asarray(factor * self.inverse @ scores.T @ scores @ self.inverse)

    def _across(self, matrix: Array) -> Array:
        """Of a regression with several targets every block is that of one target."""
        if not self.regression:
            return matrix
        q = matrix.shape[0] // self.k
        return np.tile(matrix[:q, :q], (self.k, self.k))

    def _residuals(self, kind: str) -> list[Array]:
        if kind not in ("HC2", "HC3"):
            return list(self.r)
        found = []
        for J, h, r in zip(self.J, self.H, self.r, strict=True):
            values, V = np.linalg.eigh(h)
            root = V * np.sqrt(values) @ V.T
            leverage, Q = np.linalg.eigh(root @ J @ self.inverse @ J.T @ root)
            power = -0.5 if kind == "HC2" else -1.0
            found.append(root @ (Q * (1.0 - leverage) ** power @ Q.T) @ np.linalg.inv(root) @ r)
        return found


SETTINGS = [
    pytest.param(task, {"alpha": alpha, "standardize": scaled, "fit_intercept": intercept}, weight, id="-".join(name))
    for (task, alpha, scaled, intercept, weight) in product(
        TARGETS, (0.0, 3.0), (False, True), (True, False), (None, WEIGHTS)
    )
    for name in [
        [
            task,
            "penalty" if alpha else "plain",
            *(["scaled"] if scaled else []),
            *([] if intercept else ["no intercept"]),
            *(["weights"] if weight is not None else []),
        ]
    ]
    if intercept or not scaled  # without an intercept the inputs are scaled about 0, which the next test has
]


@pytest.mark.slow
@pytest.mark.parametrize(("task", "settings", "weight"), SETTINGS)
def test_every_covariance_is_that_of_the_textbook(task: str, settings: dict[str, Any], weight: Array | None) -> None:
    model = fitted(task, **settings, sample_weight=weight)
    book = Textbook(task, model, weight)
    for kind in ("posterior", "sandwich") if settings["alpha"] else ("classical",):
        found = model.summary(covariance=kind)
        np.testing.assert_allclose(found.covariance_matrix, book.covariance(kind), rtol=1e-7, atol=1e-13)
        again = model.summary(X, TARGETS[task], covariance=kind, sample_weight=weight)
        np.testing.assert_array_equal(again.covariance_matrix, found.covariance_matrix)
    for kind in ROWS:
        groups = GROUPS if kind == "cluster" else None
        found = model.summary(X, TARGETS[task], covariance=kind, groups=groups, sample_weight=weight)
        np.testing.assert_allclose(found.covariance_matrix, book.covariance(kind), rtol=1e-7, atol=1e-13)
        assert found.covariance == kind
    assert found.effective_parameters == pytest.approx(book.effective * (book.k if book.regression else 1), rel=1e-9)
    np.testing.assert_array_equal(found.standard_errors, np.sqrt(np.diagonal(found.covariance_matrix)))
    np.testing.assert_array_equal(found.statistics, found.estimates / found.standard_errors)
    assert np.isnan(found.p_values).all() == bool(settings["alpha"])


@pytest.mark.parametrize("task", ["regression", "three classes"])
def test_units_do_not_matter(task: str) -> None:
    """Scaled inside, far from zero and in other units, the same coefficients have the same errors."""
    plain = fitted(task).summary()
    for settings in ({"standardize": True}, {"standardize": True, "solver": "lbfgs"}, {"solver": "newton-cg"}):
        np.testing.assert_allclose(fitted(task, **settings).summary().standard_errors, plain.standard_errors, rtol=1e-8)
    no_intercept = fitted(task, fit_intercept=False).summary()
    scaled = fitted(task, fit_intercept=False, standardize=True).summary()
    np.testing.assert_allclose(scaled.standard_errors, no_intercept.standard_errors, rtol=1e-8)
    moved = type(fitted(task))().fit(X * 1000.0 + 1e6, TARGETS[task]).summary()
    slopes = [i for i, name in enumerate(plain.names) if "intercept" not in name]
    np.testing.assert_allclose(1e3 * moved.standard_errors[slopes], plain.standard_errors[slopes], rtol=1e-7)


def test_another_baseline_shows_the_same_model() -> None:
    model = fitted("three classes")
    first, second = model.summary(), model.summary(baseline="b")
    assert first.outputs == ("b", "c")
    assert second.outputs == ("a", "c")
    np.testing.assert_allclose(second.estimates[:4], -first.estimates[:4], rtol=1e-12)
    np.testing.assert_allclose(second.standard_errors[:4], first.standard_errors[:4], rtol=1e-12)
    apart = first.covariance_matrix
    expected = apart[:4, :4] + apart[4:, 4:] - apart[:4, 4:] - apart[4:, :4]
    np.testing.assert_allclose(second.covariance_matrix[4:, 4:], expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(second.estimates[4:], first.estimates[4:] - first.estimates[:4], rtol=1e-9)
    two = fitted("two classes")
    np.testing.assert_array_equal(two.summary(baseline="yes").estimates, -two.summary().estimates)
    assert "log odds of no against yes" in str(two.summary(baseline="yes"))


def test_class_weights_multiply_the_loss() -> None:
    """The bread has the weight once, the meat twice; and rows may weigh besides."""
    y = TARGETS["two classes"]
    times = WEIGHTS.astype(int)
    model = PerceptronClassifier(class_weight={"yes": 2.5, "no": 1.0}).fit(X, y, WEIGHTS)
    A = np.column_stack([np.ones(N), X]).repeat(times, axis=0)
    c = np.where(y == "yes", 2.5, 1.0).repeat(times)
    p = model.predict_proba(X)[:, 1].repeat(times)
    inverse = np.linalg.inv(A.T @ ((c * p * (1 - p))[:, None] * A))
    scores = A * (c * ((y == "yes").repeat(times) - p))[:, None]
    leverage = c * p * (1 - p) * np.einsum("ij,jk,ik->i", A, inverse, A)
    for kind, adjust in (("HC0", np.ones_like(p)), ("HC3", 1.0 / (1.0 - leverage))):
        found = model.summary(X, y, covariance=kind, sample_weight=WEIGHTS)
        adjusted = scores * adjust[:, None]
        np.testing.assert_allclose(found.covariance_matrix, inverse @ adjusted.T @ adjusted @ inverse, rtol=1e-8)
        assert not found.notes
    assert "class_weight" in model.summary().notes[0]
    assert np.isnan([model.summary().log_likelihood, model.summary().aic, model.summary().bic]).all()


def test_weights_that_do_not_count_rows_are_told(tmp_path: Path) -> None:
    """One over a variance, of mean 1: classical errors are those of weighted least squares; one group for each row has
    its HC1, where HC1 itself takes a weight for a number of rows; and no likelihood is claimed."""
    y = TARGETS["regression"]
    w = np.random.default_rng(3).uniform(0.5, 3.0, N)
    w /= w.mean()
    model = PerceptronRegressor().fit(X, y, sample_weight=w)
    A = np.column_stack([np.ones(N), X])
    inverse = np.linalg.inv(A.T @ (w[:, None] * A))
    e = y - model.predict(X)
    scores = A * (w * e)[:, None]
    expected = {
        "classical": inverse * (w @ np.square(e)) / (N - 4),
        "cluster": N / (N - 4) * inverse @ scores.T @ scores @ inverse,
    }
    model.save(tmp_path / "m.newtron")
    for kind, matrix in expected.items():
        groups = np.arange(N) if kind == "cluster" else None
        found = model.summary(X, y, sample_weight=w, groups=groups)
        np.testing.assert_allclose(found.covariance_matrix, matrix, rtol=1e-9)
        assert any("not whole numbers" in note and "weights='precision'" in note for note in found.notes)
        assert "log-likelihood -" not in str(found)
    for text in (model.summary(), load(tmp_path / "m.newtron").summary()):
        assert np.isnan([text.log_likelihood, text.aic, text.bic]).all()
    classes = PerceptronClassifier().fit(X, TARGETS["two classes"], sample_weight=w).summary()
    assert np.isnan(classes.log_likelihood)
    assert any("not whole numbers" in note for note in classes.notes)
    whole = PerceptronRegressor().fit(X, y, sample_weight=WEIGHTS).summary()
    assert np.isfinite([whole.log_likelihood, whole.aic, whole.bic]).all()
    assert whole.notes == ()


@pytest.mark.parametrize("coverage", [0.5, 0.95, 0.999])
def test_tests_and_intervals(coverage: float) -> None:
    for task, law in (("regression", stats.t(N - 4)), ("two classes", stats.norm)):
        found = fitted(task).summary(coverage=coverage)
        np.testing.assert_allclose(found.p_values, 2 * law.sf(np.abs(found.statistics)), rtol=1e-9)
        reach = law.ppf(0.5 + 0.5 * coverage) * found.standard_errors
        np.testing.assert_allclose(found.intervals[:, 0], found.estimates - reach, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found.intervals[:, 1], found.estimates + reach, rtol=1e-9, atol=1e-12)
    clustered = fitted("regression").summary(X, TARGETS["regression"], groups=GROUPS)
    assert (clustered.covariance, clustered.degrees_of_freedom) == ("cluster", 14.0)
    assert clustered.notes == ()
    few = fitted("regression").summary(X, TARGETS["regression"], groups=GROUPS > 7)
    assert "2 groups" in few.notes[0]


def test_likelihood_and_criteria() -> None:
    y = TARGETS["regression"]
    model = fitted("regression")
    found = model.summary()
    r = y - model.predict(X)
    expected = stats.norm.logpdf(r, scale=np.sqrt(r @ r / N)).sum()
    assert found.log_likelihood == pytest.approx(expected, rel=1e-12)
    assert (found.aic, found.bic) == pytest.approx((2 * 5 - 2 * expected, np.log(N) * 5 - 2 * expected), rel=1e-12)
    assert found.residual_sd == pytest.approx(np.sqrt(r @ r / (N - 4)), rel=1e-12)
    assert found.r_squared == pytest.approx(model.score(X, y), rel=1e-12)
    many = fitted("two targets").summary()
    alone = [PerceptronRegressor().fit(X, column).summary() for column in TARGETS["two targets"].T]
    assert many.log_likelihood == pytest.approx(sum(one.log_likelihood for one in alone), rel=1e-12)
    np.testing.assert_allclose(many.residual_sd, [of_type(float, one.residual_sd) for one in alone], rtol=1e-12)
    np.testing.assert_allclose(many.r_squared, [of_type(float, one.r_squared) for one in alone], rtol=1e-12)
    for task in ("two classes", "three classes"):
        model = fitted(task, alpha=1.0)
        found = model.summary()
        of_own = model.predict_proba(X)[np.arange(N), np.searchsorted(model.classes_, TARGETS[task])]
        assert found.log_likelihood == pytest.approx(np.log(of_own).sum(), rel=1e-12)
        assert found.aic == pytest.approx(2 * found.effective_parameters - 2 * found.log_likelihood)


# --- what others found ---


@pytest.mark.parametrize("name", LINEAR)
def test_nists_certified_standard_deviations(name: str) -> None:
    A, y, _, intercept = certified.linear_set(name)
    exact = certified._certified("linear")[name]["exact_rational_recomputation_40d"]
    found = PerceptronRegressor(fit_intercept=intercept).fit(A, y).summary()
    least = 7.0 if name == "Filip" else 9.0
    assert lre(found.standard_errors, exact["se"]) >= least
    assert lre([found.residual_sd], [exact["residual_sd"]]) >= least
    assert lre([found.r_squared], [exact["r2"]]) >= 9.0
    assert found.aliases == ()


@needs_shared
@pytest.mark.parametrize("name", ["spector", "stata_lbw_glm", "ucla_binary"])
@pytest.mark.parametrize("solver", ["auto", "lbfgs", "newton-cg"])
def test_standard_errors_of_logistic_regressions_to_nine_digits(name: str, solver: str) -> None:
    A, y, _, reference = certified.logistic_set(name)
    found = PerceptronClassifier(solver=solver).fit(A, y).summary()
    assert lre(np.roll(found.standard_errors, -1), reference["se"]) >= 9.0
    assert lre([found.log_likelihood], [reference["loglik"]]) >= 12.0
    n, k = reference["n"], reference["p"]
    assert found.aic == pytest.approx(2 * k - 2 * float(reference["loglik"]), rel=1e-12)
    assert found.bic == pytest.approx(np.log(n) * k - 2 * float(reference["loglik"]), rel=1e-12)


@needs_shared
def test_published_logistic_regressions() -> None:
    """Stata's and R's printed digits; for lbw theirs are of the penultimate iteration."""
    published = json.loads((certified.SHARED / "logistic" / "published.json").read_text(encoding="utf-8"))
    for name, key, rtol in (("spector", "spector", 1e-6), ("stata_lbw_glm", "lbw", 2e-5)):
        A, y, names, _ = certified.logistic_set(name)
        found = PerceptronClassifier().fit(pd.DataFrame(A, columns=names), y).summary()
        expected = dict(zip(published[key]["names"], published[key]["se"], strict=True))
        ours = dict(zip(found.names, found.standard_errors.tolist(), strict=True))
        for column in names:
            assert ours[column] == pytest.approx(expected[column], rel=rtol)
        assert found.log_likelihood == pytest.approx(published[key]["loglik"], rel=1e-7)


def examples(model: str) -> tuple[Any, Any, Any, Any]:
    """Estimator, X, y and groups of a reference: what tests/data/statsmodels/reference.py gave statsmodels."""
    if model == "ols":
        data = pd.read_csv(ROOT / "examples" / "concrete.csv")
        return PerceptronRegressor(), data.drop(columns="strength_mpa"), data["strength_mpa"], data["age_days"]
    data = pd.read_csv(ROOT / "examples" / "penguins.csv").dropna().reset_index(drop=True)
    groups = data["island"] + data["species"] + data["year"].astype(str)
    inputs = data[["bill_length_mm", "bill_depth_mm", "body_mass_g"]]
    return PerceptronClassifier(), inputs, data["sex" if model == "logit" else "island"], groups


@pytest.mark.parametrize("model", ["ols", "logit", "mnlogit"])
def test_statsmodels_says_the_same(model: str) -> None:
    reference = json.loads((ROOT / "tests/data/statsmodels/reference.json").read_text(encoding="utf-8"))[model]
    estimator, inputs, y, groups = examples(model)
    estimator.fit(inputs, y)
    for kind, expected in reference.items():
        if kind == "HC1" and model != "ols":
            assert expected == reference["HC0"]  # of a likelihood its HC1 lacks the factor n/(n - p)
            continue
        found = estimator.summary(inputs, y, covariance=kind, groups=groups if kind == "cluster" else None)
        np.testing.assert_allclose(found.estimates, expected["estimates"], rtol=1e-7)
        np.testing.assert_allclose(found.standard_errors, expected["standard_errors"], rtol=1e-7)
        np.testing.assert_allclose(found.p_values, expected["p_values"], rtol=1e-5, atol=1e-300)
        assert found.log_likelihood == pytest.approx(expected["log_likelihood"], rel=1e-10)
        # statsmodels does not count the residual variance of a regression.
        counted = 1.0 if model == "ols" else 0.0
        assert found.aic - 2.0 * counted == pytest.approx(expected["aic"], rel=1e-10)
        assert found.bic - np.log(found.n_rows) * counted == pytest.approx(expected["bic"], rel=1e-10)


@pytest.mark.parametrize(
    ("model", "name", "kinds"),
    [
        ("ols", "concrete", ("classical", "HC0", "HC1", "HC2", "HC3", "cluster")),
        ("logit", "penguins", ("classical", "HC0", "HC3", "cluster")),
    ],
)
def test_r_says_the_same(model: str, name: str, kinds: tuple[str, ...]) -> None:
    """vcov of lm and glm, and the package sandwich: tests/data/r/reference.R."""
    of_r = json.loads((ROOT / "tests/data/r/reference.json").read_text(encoding="utf-8"))
    estimator, inputs, y, groups = examples(model)
    estimator.fit(inputs, y)
    for kind in kinds:
        found = estimator.summary(inputs, y, covariance=kind, groups=groups if kind == "cluster" else None)
        np.testing.assert_allclose(found.standard_errors, np.ravel(of_r[f"{name}_{kind}"]), rtol=1e-9)


@pytest.mark.slow
def test_robust_intervals_cover_where_classical_ones_do_not() -> None:
    """Noise that grows with x: 95 % intervals for the slope over 400 draws."""
    draw = np.random.default_rng(3)
    hits = {"classical": 0, "HC3": 0}
    for _ in range(400):
        x = draw.normal(size=(80, 1))
        y = x[:, 0] + x[:, 0] ** 2 * draw.normal(size=80)
        model = PerceptronRegressor().fit(x, y)
        for kind in hits:
            low, high = model.summary(x, y, covariance=kind).intervals[1]
            hits[kind] += low <= 1.0 <= high
    assert hits["classical"] < 0.80 * 400
    assert 0.90 * 400 < hits["HC3"] <= 0.98 * 400


# --- columns that say the same ---


@pytest.mark.parametrize(
    ("task", "settings"),
    [
        ("regression", {}),
        ("regression", {"standardize": True}),
        ("regression", {"solver": "lbfgs"}),
        ("two classes", {"standardize": True}),
        ("three classes", {}),
        ("three classes", {"solver": "lbfgs"}),
    ],
)
def test_aliased_columns_are_named_with_what_they_repeat(task: str, settings: dict[str, Any]) -> None:
    columns = {"a": X[:, 0], "b": X[:, 1], "free": X[:, 2]}
    data = pd.DataFrame({**columns, "sum": X[:, 0] - 2.0 * X[:, 1] + 5.0, "constant": 7.0, "zero": 0.0})
    model = type(fitted(task))(**settings).fit(data, TARGETS[task])
    found = model.summary()
    assert found.aliases == ("sum = a - 2 b + 5", "constant = 7", "zero = 0")
    known = [not np.isnan(error) for error in found.standard_errors]
    assert known == [name.endswith("free") for name in found.names]
    alone = fitted(task).summary()
    np.testing.assert_allclose(found.standard_errors[known], alone.standard_errors[3::4], rtol=1e-7)
    assert found.effective_parameters == pytest.approx(alone.effective_parameters)
    shown = str(found)
    assert shown.count("not estimable") == found.names.__len__() - sum(known) + 1
    assert "sum = a - 2 b + 5" in shown
    with_rows = model.summary(data, TARGETS[task], covariance="HC1")
    other = fitted(task).summary(X, TARGETS[task], covariance="HC1")
    np.testing.assert_allclose(with_rows.standard_errors[known], other.standard_errors[3::4], rtol=1e-7)


def test_a_penalty_leaves_nothing_aliased() -> None:
    data = np.column_stack([X, X[:, 0] + X[:, 1]])
    found = PerceptronRegressor(alpha=0.1).fit(data, TARGETS["regression"]).summary()
    assert found.aliases == ()
    assert np.isfinite(found.standard_errors).all()


def test_a_column_that_is_nearly_a_combination_is_none_beside_one_that_is() -> None:
    near = X[:, 0] + 1e-6 * np.random.default_rng(2).normal(size=N)
    data = np.column_stack([X[:, 0], near, X[:, 1], X[:, 0] + X[:, 1]])
    found = PerceptronRegressor().fit(data, TARGETS["regression"]).summary()
    assert found.aliases == ("x4 = x1 + x3",)
    assert [i for i, error in enumerate(found.standard_errors) if not np.isnan(error)] == [0, 2]


@pytest.mark.parametrize("task", ["two classes", "three classes"])
def test_nearly_dependent_columns_keep_their_digits(task: str) -> None:
    """A Hessian would lose them: its condition is the square of the columns'. The same model in other columns has it
    well conditioned: b1 x1 + b2 (x1 + d u) = (b1 + b2) x1 + (d b2) u."""
    draw = np.random.default_rng(8)
    x, u = np.round(draw.normal(size=(2, N)) * 2.0**10) / 2.0**10
    d = 2.0**-20
    near = fitted(task).fit(np.column_stack([x, x + d * u]), TARGETS[task]).summary()
    apart = fitted(task).fit(np.column_stack([x, u]), TARGETS[task]).summary()
    np.testing.assert_allclose(d * near.standard_errors[2::3], apart.standard_errors[2::3], rtol=1e-8)


def test_columns_that_are_nearly_combinations_are_told() -> None:
    noise = 1e-11 * np.random.default_rng(2).normal(size=N)
    y = TARGETS["regression"]
    found = PerceptronRegressor().fit(np.column_stack([X[:, 0], X[:, 2], X[:, 0] + X[:, 2] + noise]), y).summary()
    assert found.aliases == ()
    assert re.search(r"condition [1-9]e\+11.*about 4 digits", found.notes[0])
    assert PerceptronRegressor().fit(X, y).summary().notes == ()


# --- fits that are no optimum, and rows that are too few ---


def test_separated_classes_have_no_standard_errors() -> None:
    x = np.arange(10.0)[:, None]
    with pytest.warns(ConvergenceWarning):
        model = PerceptronClassifier().fit(x, x[:, 0] > 4)
    found = model.summary()
    assert found.trouble.startswith("Not converged")
    assert "no standard errors" in found.trouble
    assert np.isnan(found.standard_errors).all()
    assert np.isnan(found.p_values).all()
    text = str(found)
    assert text.index("! Not converged") < text.index("estimate")


def test_a_fit_that_was_cut_short_says_so() -> None:
    with pytest.warns(ConvergenceWarning):
        model = fitted("two classes", solver="gradient-descent", max_iter=3)
    assert "not those of an optimum" in model.summary().trouble
    assert "not those of an optimum" in model.summary()._repr_html_()
    assert fitted("two classes").summary().trouble == ""


@pytest.mark.parametrize("n", [3, 4])
def test_as_many_parameters_as_rows(n: int) -> None:
    found = PerceptronRegressor().fit(X[:n], TARGETS["regression"][:n]).summary()
    assert np.isnan(found.standard_errors).all()
    assert np.isnan(of_type(float, found.residual_sd))
    assert any("not more rows than parameters" in note for note in found.notes)
    assert "nan" not in str(found).replace("not", "")


@pytest.mark.parametrize("intercept", [True, False])
def test_columns_of_zeros_alone(intercept: bool) -> None:
    y = np.arange(9.0)
    model = PerceptronRegressor(fit_intercept=intercept).fit(np.zeros((9, 2)), y)
    for found in (model.summary(), model.summary(np.zeros((9, 2)), y, covariance="HC3")):
        assert found.aliases == ("x1 = 0", "x2 = 0")
        assert np.isnan(found.standard_errors[-2:]).all()
        assert found.effective_parameters == float(intercept)
    assert model.summary().residual_sd == pytest.approx(np.sqrt(60 / 8 if intercept else 204 / 9))


def test_a_row_of_leverage_one() -> None:
    A = np.column_stack([X[:, 0], np.arange(N) == 5]).astype(float)
    y = TARGETS["regression"]
    found = PerceptronRegressor().fit(A, y).summary(A, y, covariance="HC3")
    assert np.isfinite(found.standard_errors).all()
    assert "leverage 1" in found.notes[0]


# --- how it reads ---


def test_the_table_is_aligned_and_legible() -> None:
    data = pd.DataFrame(X * [1e-9, 1e12, 1.0], columns=["tiny", "x" * 90 + "=end", "名前"])
    for task in ("regression", "three classes"):
        model = type(fitted(task))(standardize=True).fit(data, TARGETS[task])
        text = str(model.summary())
        assert max(map(len, text.splitlines())) <= 120
        assert "...xxx" in text
        assert "=end" in text
        table = text[text.index("---") :].splitlines()[1:]
        full = [line for line in table if line.count("  ") > 3]
        assert len({len(line) + line.count("名前") * 2 for line in full}) == 1
    assert "e+" in text
    assert "e-" in text


@pytest.mark.parametrize(
    ("alpha", "covariance", "kind", "head"),
    [
        (0.0, None, "confidence", "95 % from"),
        (5.0, None, "credible", "95 % credible from"),
        (5.0, "sandwich", "penalised", "95 % penalised from"),
        (5.0, "HC3", "penalised", "95 % penalised from"),
    ],
)
@pytest.mark.parametrize("model", [PerceptronRegressor, PerceptronClassifier])
def test_under_a_penalty_the_table_says_what_its_intervals_are_not(
    model: Any, alpha: float, covariance: str | None, kind: str, head: str
) -> None:
    rng = np.random.default_rng(5)
    X = rng.normal(size=(80, 3))
    z = X @ [1.0, -1.0, 0.5] + rng.logistic(size=80)
    y = z > 0.0 if model is PerceptronClassifier else z
    summary = model(alpha=alpha, standardize=True).fit(X, y).summary(X, y, covariance=covariance)
    assert summary.interval_kind == kind
    for text in (str(summary), summary._repr_html_()):
        assert head in text
        assert ("no confidence intervals" in " ".join(text.split())) == (kind != "confidence")
    assert ("credible" in str(summary)) == (kind == "credible")


def test_the_title_names_the_method_and_the_target(tmp_path: Any) -> None:
    frame = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0], "price": [1.0, 2.0, 2.5, 4.5], "kind": ["x", "y", "x", "y"]})
    line = PerceptronRegressor().fit(frame[["a"]], frame["price"])
    assert str(line.summary()).startswith("Perceptron for regression of price (linear regression, squared error)\n")
    line.save(tmp_path / "line.newtron")
    assert str(load(tmp_path / "line.newtron").summary()) == str(line.summary())
    plain = PerceptronRegressor().fit(frame[["a"]].to_numpy(), frame["price"].to_numpy())
    assert str(plain.summary()).startswith("Perceptron for regression (linear regression, squared error)\n")
    several = PerceptronRegressor().fit(frame[["a"]], frame[["price", "a"]])
    assert several.summary().outputs == ("price", "a")
    classes = PerceptronClassifier(alpha=1.0).fit(frame[["a"]], frame["kind"])
    assert (
        classes.summary().title
        == "Perceptron for classification of kind (logistic regression): log odds of y against x"
    )


def test_one_of_a_thing_is_singular() -> None:
    summary = PerceptronRegressor().fit([[0.0], [1.0], [2.0]], [0.0, 1.0, 3.0]).summary()
    assert "t with 1 df" in str(summary)
    constant = PerceptronRegressor(fit_intercept=False).fit([[1.0]], [2.0]).summary()
    assert "1 row, 1 parameter;" in str(constant)


def test_names_are_escaped() -> None:
    data = pd.DataFrame(X, columns=["<script>", "a&b", "bell\x07\n"])
    y = np.where(TARGETS["two classes"] == "yes", "<b>", "\x1b[1m")
    found = PerceptronClassifier().fit(data, y).summary()
    page = found._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "a&amp;b" in page
    assert "<b>&" not in page
    assert not set("\x07\x1b") & set(str(found) + page)


def test_the_summary_prints_what_it_holds() -> None:
    found = fitted("regression").summary()
    assert found.names == ("intercept", "x1", "x2", "x3")
    assert repr(found) == str(found)
    line = next(line for line in str(found).splitlines() if line.startswith("x2")).split()
    assert float(line[1]) == pytest.approx(found.estimates[2], rel=1e-4)
    assert float(line[2]) == pytest.approx(found.standard_errors[2], rel=1e-4)
    assert float(line[3]) == pytest.approx(found.statistics[2], rel=1e-3)
    assert [float(v) for v in line[5:]] == pytest.approx(found.intervals[2].tolist(), rel=1e-4)
    assert "120 rows, 4 parameters" in str(found)
    assert "classical" in str(found)
    weighted = fitted("regression", sample_weight=WEIGHTS).summary()
    assert f"120 rows of total weight {WEIGHTS.sum():.6g}" in str(weighted)
    assert "effective parameters" in str(fitted("regression", alpha=1.0).summary())


# --- where it comes from ---


@pytest.mark.parametrize("task", TARGETS)
def test_what_fit_kept_survives_saving_and_pickling(task: str, tmp_path: Path) -> None:
    model = fitted(task, alpha=1.0, standardize=True)
    model.save(tmp_path / "m.newtron")
    for other in (load(tmp_path / "m.newtron"), pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        for kind in ("posterior", "sandwich"):
            mine, its = model.summary(covariance=kind), other.summary(covariance=kind)
            np.testing.assert_array_equal(its.covariance_matrix, mine.covariance_matrix)
            assert str(its) == str(mine)


@pytest.mark.parametrize("task", TARGETS)
def test_a_large_fit_keeps_nothing_and_asks_for_the_rows(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = fitted(task).summary()
    monkeypatch.setattr(information, "MOST_PARAMETERS", 2)
    model = fitted(task)
    with pytest.raises(InputError, match=r"kept nothing .* call summary\(X, y\)"):
        model.summary()
    found = model.summary(X, TARGETS[task])
    np.testing.assert_allclose(found.covariance_matrix, kept.covariance_matrix, rtol=1e-9, atol=1e-14)
    assert found.aic == pytest.approx(kept.aic, rel=1e-12)


def test_what_a_large_fit_has_not_is_said() -> None:
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(520, 500))
    model = PerceptronClassifier(alpha=10.0).fit(wide, wide[:, 0] > 0.0)
    (sentence,) = lacking(model.model_)
    assert sentence.startswith("Standard errors of 501 parameters are not kept")
    assert "summary(X, y)" in sentence
    assert lacking(PerceptronClassifier(alpha=10.0).fit(wide[:, :9], wide[:, 0] > 0.0).model_) == []


@pytest.mark.parametrize("task", TARGETS)
def test_a_fit_without_a_hessian_of_its_own_takes_a_pass_for_its_triangle(
    task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = fitted(task).summary()
    monkeypatch.setattr(information, "_WORK", 0.0)  # as of very many rows
    monkeypatch.setattr(endpoint, "FREE_WORK", 0.0)
    monkeypatch.setattr(endpoint, "SHARE_OF_TRAINING", 0.0)
    with pytest.warns(ConvergenceWarning, match="stopped by the callback"):
        stopped = fitted(task, solver="lbfgs", callback=lambda _: True)
    assert stopped.members_[0].information is None or "classes" not in task
    found = fitted(task, solver="lbfgs").summary()
    np.testing.assert_allclose(found.standard_errors, expected.standard_errors, rtol=1e-6)


def test_sparse_and_single_precision() -> None:
    dense = X * (np.abs(X) > 0.5)
    y = TARGETS["three classes"]
    plain, sparse = PerceptronClassifier().fit(dense, y), PerceptronClassifier().fit(scipy.sparse.csr_matrix(dense), y)
    np.testing.assert_allclose(sparse.summary().standard_errors, plain.summary().standard_errors, rtol=1e-7)
    np.testing.assert_allclose(
        sparse.summary(scipy.sparse.csr_matrix(dense), y, covariance="HC2").standard_errors,
        plain.summary(dense, y, covariance="HC2").standard_errors,
        rtol=1e-7,
    )
    single = PerceptronClassifier().fit(X.astype(np.float32), y)
    double = PerceptronClassifier().fit(X.astype(np.float32).astype(np.float64), y)
    np.testing.assert_allclose(single.summary().standard_errors, double.summary().standard_errors, rtol=1e-4)
    robust = single.summary(X.astype(np.float32), y, covariance="HC1")
    assert np.isfinite(robust.standard_errors).all()


def test_the_rows_are_summed_to_the_same_bits_by_any_number_of_threads() -> None:
    draw = np.random.default_rng(5)
    big = draw.normal(size=(20_000, 3))
    y = draw.integers(0, 3, size=20_000)
    groups = draw.integers(0, 40, size=20_000)
    found = [
        PerceptronClassifier(n_jobs=jobs).fit(big, y).summary(big, y, groups=groups).covariance_matrix
        for jobs in (1, 3)
    ]
    np.testing.assert_array_equal(found[0], found[1])


def test_perfect_fits_and_constant_targets() -> None:
    exact = PerceptronRegressor().fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0]).summary()
    assert exact.standard_errors.tolist() == [0.0, 0.0]
    assert exact.log_likelihood == np.inf
    assert np.isnan(of_type(float, PerceptronRegressor().fit(X, np.full(N, 2.0)).summary().r_squared))
    assert "inf" in str(exact)


# --- what is refused ---

REFUSED = [
    ({"covariance": "HC9"}, "covariance='HC9'"),
    ({"covariance": "HC3"}, "made from the rows"),
    ({"covariance": "posterior"}, "this has none"),
    ({"covariance": "cluster"}, "belong together"),
    ({"groups": GROUPS, "covariance": "HC0"}, "belong together"),
    ({"groups": GROUPS}, "made from the rows"),
    ({"coverage": 1.0}, "coverage"),
    ({"coverage": 0}, "coverage"),
    ({"baseline": "maybe"}, "'no', 'yes'"),
    ({"y": TARGETS["two classes"]}, "without X"),
    ({"X": X}, "without y"),
    ({"X": X[1:], "y": TARGETS["two classes"][1:]}, "119 instead of 120"),
    ({"X": X, "y": TARGETS["two classes"], "sample_weight": WEIGHTS}, "total weight"),
    ({"X": X, "y": TARGETS["two classes"][::-1]}, "the gradient"),
    ({"X": X[:, ::-1], "y": TARGETS["two classes"]}, "the gradient"),
    ({"X": X, "y": np.full(N, "other")}, "none of the classes that the model knows"),
    ({"X": X, "y": TARGETS["two classes"], "groups": GROUPS[1:]}, "119"),
    ({"X": X, "y": TARGETS["two classes"], "groups": np.zeros(N)}, "one group only"),
    ({"X": X, "y": TARGETS["two classes"], "groups": np.where(GROUPS, 1.0, np.nan)}, "missing"),
    ({"X": X, "y": TARGETS["two classes"], "groups": [None, *GROUPS[1:]]}, "one type"),
]


@pytest.mark.parametrize(("arguments", "said"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_what_cannot_be_answered_is_refused_in_one_sentence(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        fitted("two classes").summary(**arguments)
    assert "\n" not in str(caught.value)


def test_the_classical_formula_is_refused_under_a_penalty() -> None:
    with pytest.raises(InputError, match=r"'posterior'.*'sandwich'"):
        fitted("regression", alpha=1.0).summary(covariance="classical")
    assert fitted("regression", alpha=1.0).summary().covariance == "posterior"


def test_a_loss_that_is_no_likelihood_has_no_summary() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = fitted("two classes", loss="squared_error")
    with pytest.raises(InputError, match="no likelihood"):
        model.summary(X, TARGETS["two classes"])
