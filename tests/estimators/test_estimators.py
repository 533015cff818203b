"""The four estimators as users use them: the right answers, however they are asked for."""

from __future__ import annotations

import pickle
import re
import warnings
from typing import Any

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from newtron import (
    LBFGS,
    GradientDescent,
    LevenbergMarquardt,
    NetworkClassifier,
    NetworkRegressor,
    Newton,
    NewtonCG,
    PerceptronClassifier,
    PerceptronRegressor,
    Stochastic,
)
from newtron.engine.maths.activations import ACTIVATIONS
from newtron.engine.solvers import SOLVERS, Status

EXACT = [name for name in SOLVERS if name != "stochastic"]
OBJECTS = [GradientDescent(), Newton(), LevenbergMarquardt(), NewtonCG(), LBFGS()]
SMALL: dict[str, Any] = {"hidden": (4,), "n_starts": 2}
FOUR = [PerceptronRegressor(), PerceptronClassifier(), NetworkRegressor(**SMALL), NetworkClassifier(**SMALL)]
NETWORKS = FOUR[2:]
four = pytest.mark.parametrize("model", FOUR, ids=lambda model: type(model).__name__)
both_networks = pytest.mark.parametrize("model", NETWORKS, ids=lambda model: type(model).__name__)


def data(n: int = 120, p: int = 4, seed: int = 0) -> tuple[Any, Any, Any, Any]:
    """X, a numeric target, two classes and three classes that no plane separates."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) + rng.normal(size=p)
    y = X @ rng.normal(size=p) + np.sin(2.0 * X[:, 0]) + 0.3 * rng.normal(size=n)
    noisy = y - np.median(y) + 1.5 * rng.normal(size=n)
    return X, y, (noisy > 0.0).astype(int), np.digitize(noisy, [-1.0, 1.0])


X, Y, C2, C3 = data()


def target(model: Any) -> Any:
    return C3 if hasattr(model, "class_weight") else Y


def answers(model: Any, at: Any = X) -> Any:
    return model.predict_proba(at) if hasattr(model, "predict_proba") else model.predict(at)


def same_bits(a: Any, b: Any) -> bool:
    return bool(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())


# --- the optimum that scikit-learn finds ---


def logistic(alpha: float, intercept: bool = True) -> LogisticRegression:
    C = 1.0 / alpha if alpha else np.inf
    return LogisticRegression(C=C, fit_intercept=intercept, solver="newton-cholesky", tol=1e-13, max_iter=500)


@pytest.mark.parametrize("alpha", [0.0, 0.7, 50.0])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("targets", [1, 3])
def test_regression_is_ridge(alpha: float, intercept: bool, targets: int) -> None:
    y = Y if targets == 1 else np.column_stack([Y, -2.0 * Y + X[:, 1] ** 2, np.cos(X[:, 0])])
    w = np.random.default_rng(1).uniform(0.1, 3.0, len(X))
    theirs = (
        Ridge(alpha, fit_intercept=intercept, solver="cholesky") if alpha else LinearRegression(fit_intercept=intercept)
    )
    for weight in (None, w):
        ours = PerceptronRegressor(alpha=alpha, fit_intercept=intercept).fit(X, y, sample_weight=weight)
        theirs.fit(X, y, sample_weight=weight)
        np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-10, atol=1e-11)
        assert ours.coef_.shape == theirs.coef_.shape
        assert ours.solution_.converged


# scikit-learn 1.8 warns of what it makes of C=inf.
@pytest.mark.filterwarnings("ignore:Setting penalty=None:UserWarning")
@pytest.mark.parametrize("alpha", [0.0, 0.7, 50.0])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("classes", [C2, C3], ids=["two", "three"])
def test_classification_is_logistic_regression(alpha: float, intercept: bool, classes: Any) -> None:
    ours = PerceptronClassifier(alpha=alpha, fit_intercept=intercept).fit(X, classes)
    theirs = logistic(alpha, intercept).fit(X, classes)
    np.testing.assert_allclose(
        ours.coef_ - ours.coef_.mean(0) * (len(ours.coef_) > 1), theirs.coef_, rtol=1e-7, atol=1e-8
    )
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(ours.decision_function(X).shape, theirs.decision_function(X).shape)
    assert ours.solution_.converged
    # At an optimum the gradient is zero: worked out here, without newtron.
    onehot = classes[:, None] if len(ours.coef_) == 1 else np.eye(3)[classes]
    p = ours.predict_proba(X)[:, -onehot.shape[1] :]
    assert np.abs((p - onehot).T @ X + alpha * ours.coef_).max() < 1e-9 * len(X)


@pytest.mark.parametrize("model", [PerceptronRegressor(alpha=5.0), PerceptronClassifier(alpha=5.0)], ids=["r", "c"])
def test_standardize_penalises_scaled_weights(model: Any) -> None:
    y = Y if model._task == "regression" else C2
    odd = X * [1.0, 1e3, 1e-4, 10.0] + [0.0, 50.0, 3.0, -7.0]
    ours = clone(model).set_params(standardize=True).fit(odd, y)
    scaler = StandardScaler().fit(odd)
    size = Y.std() if model._task == "regression" else 1.0
    theirs = (Ridge(5.0) if model._task == "regression" else logistic(5.0)).fit(scaler.transform(odd), y / size)
    np.testing.assert_allclose(ours.coef_ * scaler.scale_, theirs.coef_ * size, rtol=1e-8)
    free = clone(model).set_params(standardize=True, alpha=0.0).fit(odd, y)
    np.testing.assert_allclose(free.coef_, clone(model).set_params(alpha=0.0).fit(odd, y).coef_, rtol=1e-8)


@pytest.mark.parametrize("model", [PerceptronRegressor(), PerceptronClassifier()], ids=["r", "c"])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix], ids=["dense", "sparse"])
def test_no_intercept_means_none_when_standardised_too(model: Any, form: Any) -> None:
    y = Y if model._task == "regression" else C2
    plain = clone(model).set_params(fit_intercept=False).fit(X, y)
    ours = clone(model).set_params(fit_intercept=False, standardize=True).fit(form(X), y)
    assert np.all(ours.intercept_ == 0.0)
    np.testing.assert_allclose(ours.coef_, plain.coef_, rtol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("solver", [*EXACT, *OBJECTS], ids=lambda s: s if isinstance(s, str) else type(s).__name__)
@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix, sp.csc_array, sp.coo_matrix])
def test_every_solver_reaches_the_same_optimum(solver: Any, form: Any) -> None:
    for cls, y, alpha in (
        (PerceptronRegressor, Y, 0.0),
        (PerceptronClassifier, C2, 0.0),
        (PerceptronClassifier, C3, 0.5),
    ):
        best = cls(alpha=alpha).fit(X, y)
        ours = cls(alpha=alpha, solver=solver).fit(form(X), y)
        assert ours.solution_.converged
        assert ours.solution_.chosen == ("named by the user" if isinstance(solver, str) else "given by the user")
        np.testing.assert_allclose(ours.coef_, best.coef_, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(ours.intercept_, best.intercept_, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(answers(ours, form(X)), answers(best), rtol=1e-6, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize(
    "solver",
    ["stochastic", Stochastic(method="adam"), Stochastic(method="momentum")],
    ids=["kfac", "adam", "momentum"],
)
def test_stochastic_stops_by_rule_and_warns_of_nothing(solver: Any) -> None:
    for cls, y in ((PerceptronRegressor, Y), (PerceptronClassifier, C2), (PerceptronClassifier, C3)):
        dense, sparse = (cls(solver=solver, standardize=True).fit(form(X), y) for form in (np.asarray, sp.csr_array))
        assert dense.solution_.status is Status.EARLY_STOPPED
        assert not dense.solution_.converged
        best = cls(standardize=True).fit(X, y)
        assert best.solution_.value < dense.solution_.value < best.solution_.value + 0.2
        assert sparse.score(sp.csr_array(X), y) > best.score(X, y) - 0.2


@four
def test_auto_says_why_it_chose(model: Any) -> None:
    fitted = clone(model).fit(X, target(model))
    assert re.search(r"\d+ parameters", fitted.solution_.chosen)
    assert all(member.solution.chosen for member in fitted.members_)


# --- weights ---


@pytest.mark.slow
@four
def test_a_weight_is_a_repeated_row(model: Any) -> None:
    w = np.random.default_rng(3).integers(0, 4, len(X))
    y = target(model)
    settings: dict[str, Any] = {
        "alpha": 0.5,
        "tol": 1e-10,
    }  # so that both end at one point, however rounding leads there
    if model in NETWORKS:  # copies that agree are remembered, and a weight is no copy
        settings["intercepts"] = None
    weighted = clone(model).set_params(**settings).fit(X, y, sample_weight=w)
    repeated = clone(model).set_params(**settings).fit(np.repeat(X, w, axis=0), np.repeat(y, w))
    np.testing.assert_allclose(answers(weighted), answers(repeated), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(weighted.solution_.value, repeated.solution_.value, rtol=1e-9)
    assert np.abs(answers(weighted) - answers(clone(model).set_params(alpha=0.5).fit(X, y))).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("model", [PerceptronClassifier(alpha=0.5), NETWORKS[1]], ids=["perceptron", "network"])
@pytest.mark.parametrize("setting", ["balanced", {0: 3.0, 2: 0.25}], ids=str)
def test_class_weight_is_sample_weight(model: Any, setting: Any) -> None:
    w = np.random.default_rng(4).uniform(0.5, 2.0, len(X))
    for weight in (None, w):
        ones = np.ones(len(X)) if weight is None else weight
        totals = np.array([ones[c == C3].sum() for c in range(3)])
        per_class = totals.sum() / (3.0 * totals) if setting == "balanced" else np.array([3.0, 1.0, 0.25])
        ours = clone(model).set_params(class_weight=setting).fit(X, C3, sample_weight=weight)
        plain = clone(model).fit(X, C3, sample_weight=ones * per_class[C3])
        np.testing.assert_allclose(answers(ours), answers(plain), rtol=1e-6, atol=1e-7)


# --- scikit-learn's world ---


@pytest.mark.slow
@four
@pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])
def test_frames_keep_their_names(model: Any, library: Any) -> None:
    names = ["a", "b", "c", "d"]
    frame = library.DataFrame({name: X[:, i] for i, name in enumerate(names)})
    y = library.Series(target(model))
    fitted = clone(model).fit(frame, y)
    assert list(fitted.feature_names_in_) == names
    plain = clone(model).fit(X, target(model))
    np.testing.assert_allclose(answers(fitted, frame), answers(plain), rtol=1e-6, atol=1e-7)
    renamed = frame.rename(columns={"a": "z"}) if library is pd else frame.rename({"a": "z"})
    for wrong in (frame[names[::-1]], frame[names[:3]], renamed):
        with pytest.raises(ValueError, match="feature names should match"):
            fitted.predict(wrong)


@four
def test_float32_stays_float32(model: Any) -> None:
    narrow, wide = X.astype(np.float32), X.astype(np.float32).astype(np.float64)
    tight = clone(model).set_params(hidden=(2,), n_starts=1) if "hidden" in model.get_params() else clone(model)
    ours, exact = clone(tight).fit(narrow, target(model)), clone(tight).fit(wide, target(model))
    assert answers(ours, narrow).dtype == np.float32
    assert answers(exact, wide).dtype == np.float64
    np.testing.assert_allclose(answers(ours, narrow), answers(exact, wide), rtol=2e-3, atol=2e-3)


@pytest.mark.slow
@four
def test_pickle_and_clone(model: Any) -> None:
    fitted = clone(model).set_params(solver=LBFGS(memory=7), alpha=0.1).fit(X, target(model))
    again = pickle.loads(pickle.dumps(fitted))
    assert same_bits(answers(again), answers(fitted))
    assert again.solution_.sentence == fitted.solution_.sentence
    assert same_bits(answers(clone(fitted).fit(X, target(model))), answers(fitted))
    assert not hasattr(fitted, "set_output")


@pytest.mark.slow
@four
def test_pipeline_search_and_cross_validation(model: Any) -> None:
    y = C2 if hasattr(model, "class_weight") else Y
    model = clone(model).set_params(standardize=False)
    Z = StandardScaler().fit_transform(X)
    pipeline = make_pipeline(StandardScaler(), model)
    assert same_bits(answers(pipeline.fit(X, y)), answers(clone(model).fit(Z, y), Z))
    search = GridSearchCV(model, {"alpha": [0.1, 1e4], "solver": ["auto", LBFGS()]}, cv=3).fit(X, y)
    assert search.best_params_["alpha"] == 0.1
    with joblib.parallel_config("threading", n_jobs=3):  # several fits at once, each with its own threads
        side_by_side = cross_val_score(clone(model).set_params(alpha=0.1), X, y, cv=5)
    assert same_bits(side_by_side, cross_val_score(clone(model).set_params(alpha=0.1), X, y, cv=5))


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [2, 4])
@pytest.mark.parametrize("rows", [120, 20_500])
@four
def test_threads_do_not_change_a_bit(model: Any, rows: int, n_jobs: int) -> None:
    big, y, _, classes = data(rows, 3, seed=7)
    t = classes if hasattr(model, "class_weight") else y
    model = clone(model).set_params(max_iter=8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        one, several = (clone(model).set_params(n_jobs=n).fit(big, t) for n in (1, n_jobs))
    for a, b in zip(one.members_, several.members_, strict=True):
        assert same_bits(a.params, b.params)
        assert [row.value for row in a.solution.trace] == [row.value for row in b.solution.trace]
    assert same_bits(answers(one, big), answers(several, big))


# --- networks ---


@pytest.mark.slow
@both_networks
def test_answers_are_in_the_users_units(model: Any) -> None:
    y = target(model)
    plain = clone(model).fit(X, y)
    moved = clone(model).fit(X * 1024.0 - 3.0, y)
    np.testing.assert_allclose(answers(moved, X * 1024.0 - 3.0), answers(plain), rtol=1e-5, atol=1e-6)
    if model._task == "regression":
        shifted = clone(model).fit(X, 1000.0 * y + 5e6)
        np.testing.assert_allclose(shifted.predict(X), 1000.0 * plain.predict(X) + 5e6, rtol=0, atol=1e-3)
        several = clone(model).fit(X, np.column_stack([y, 1e4 * np.cos(X[:, 1])]))
        assert several.predict(X).shape == (len(X), 2)
        assert several.score(X, np.column_stack([y, 1e4 * np.cos(X[:, 1])])) > 0.8


@pytest.mark.slow
@both_networks
def test_members_and_their_average(model: Any) -> None:
    y = target(model)
    fitted = clone(model).set_params(hidden=[(3,), (4, 3)], n_starts=2, alpha=0.5).fit(X, y)
    assert [member.hidden for member in fitted.members_] == [(3,), (3,), (4, 3), (4, 3)]
    assert [member.share for member in fitted.members_] == [0.25] * 4
    Z = (X - fitted.scaling_.x_center) / fitted.scaling_.x_scale
    each = []
    for member in fitted.members_:
        z = member.network.output(member.params, Z)
        if model._task == "classification":
            each.append(np.exp(z) / np.exp(z).sum(axis=1, keepdims=True))
        else:
            each.append((z * fitted.scaling_.y_scale + fitted.scaling_.y_center)[:, 0])

    def made(mean: Any, of: Any) -> Any:
        if model._task == "regression":
            return mean
        powers = mean ** (1.0 / of.temperature_)
        return powers / powers.sum(axis=1, keepdims=True)

    np.testing.assert_allclose(answers(fitted), made(np.mean(each, axis=0), fitted), rtol=1e-12, atol=1e-13)
    best = clone(fitted).set_params(combine="best").fit(X, y)
    values = [member.solution.value for member in best.members_]
    assert best.solution_.value == min(values)
    np.testing.assert_allclose(answers(best), made(each[int(np.argmin(values))], best), rtol=1e-12, atol=1e-13)
    assert same_bits(answers(clone(fitted).fit(X, y)), answers(fitted))
    other = clone(fitted).set_params(random_state=1).fit(X, y)
    starts = {member.solution.trace[0].value for member in (*fitted.members_, *other.members_)}
    assert len(starts) == 8  # every member of every seed has a start of its own


def test_the_textbook_network_learns_xor() -> None:
    rng = np.random.default_rng(0)
    points = np.tile([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], (20, 1)) + 0.1 * rng.normal(size=(80, 2))
    xor = (points[:, 0] > 0.5) ^ (points[:, 1] > 0.5)
    textbook = NetworkClassifier(hidden=(2,), activation="sigmoid", alpha=0, n_starts=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        scores = [textbook.set_params(random_state=seed).fit(points, xor).score(points, xor) for seed in range(5)]
    assert max(scores) == 1.0
    assert LogisticRegression().fit(points, xor).score(points, xor) < 0.8


@pytest.mark.slow
@both_networks
@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_every_activation(model: Any, activation: str) -> None:
    y = target(model)
    with warnings.catch_warnings():
        if activation == "relu":  # has corners, where no gradient needs to be small
            warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = clone(model).set_params(activation=activation, alpha=0.3).fit(X, y)
    linear = (PerceptronRegressor if model._task == "regression" else PerceptronClassifier)(standardize=True).fit(X, y)
    assert fitted.score(X, y) > linear.score(X, y) - 0.1
    if activation == "identity" and model._task == "regression":
        free = clone(model).set_params(activation=activation, alpha=0.0).fit(X, y)
        np.testing.assert_allclose(free.predict(X), np.asarray(linear.predict(X), float), rtol=1e-6, atol=1e-6)


# --- what the user is told ---


def test_verbose_prints_a_line_per_iteration(capsys: pytest.CaptureFixture[str]) -> None:
    fitted = PerceptronClassifier(verbose=1).fit(X, C2)
    assert len(re.findall(r"^iteration +\d+  objective", capsys.readouterr().out, re.MULTILINE)) == fitted.n_iter_
    NetworkRegressor(**SMALL, verbose=1).fit(X, Y)
    assert {"member 1/2", "member 2/2"} <= set(re.findall(r"member \d/\d", capsys.readouterr().out))


@four
def test_the_warning_says_why_and_points_at_the_call(model: Any) -> None:
    solver = "lbfgs" if isinstance(model, PerceptronRegressor) else "auto"
    poor = clone(model).set_params(max_iter=1, solver=solver, n_jobs=1)
    with pytest.warns(ConvergenceWarning, match="raise max_iter") as told:
        poor.fit(X, target(model))
    assert poor.solution_.status is Status.MAX_ITER
    assert told[0].filename == __file__


@four
@pytest.mark.parametrize("n_jobs", [1, 3])
def test_a_callback_may_stop_it(model: Any, n_jobs: int) -> None:
    model = clone(model).set_params(
        solver="lbfgs", n_jobs=n_jobs, callback=lambda progress: progress.row.iteration >= 2
    )
    if "n_starts" not in model.get_params():
        model.set_params(solver=LBFGS(sample_below=0))
    with pytest.warns(ConvergenceWarning, match="stopped by the callback"):
        model.fit(X, target(model))
    assert {(m.solution.status, m.solution.n_iter) for m in model.members_} == {(Status.STOPPED, 2)}
    assert not model.solution_.converged


@both_networks
@pytest.mark.parametrize("n_jobs", [1, 2, 4])
def test_ctrl_c_keeps_the_best_so_far(model: Any, n_jobs: int) -> None:
    def ctrl_c(progress: Any) -> None:
        if progress.row.iteration == 3:
            raise KeyboardInterrupt

    model = clone(model).set_params(n_starts=5, callback=ctrl_c, n_jobs=n_jobs)
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        model.fit(X, target(model))
    assert {m.solution.status for m in model.members_} == {Status.INTERRUPTED}
    assert 1 <= len(model.members_) <= n_jobs
    assert sum(m.share for m in model.members_) == pytest.approx(1.0)
    assert all(m.solution.value < m.solution.trace[0].value for m in model.members_)
    assert np.isfinite(answers(model)).all()


def test_an_error_in_a_callback_ends_all_members() -> None:
    seen = []

    def broken(progress: Any) -> None:
        if progress.member == 0:
            raise RuntimeError("mine")
        seen.append(progress.member)

    with pytest.raises(RuntimeError, match="mine"):
        NetworkRegressor(hidden=(4,), n_starts=8, n_jobs=2, callback=broken).fit(X, Y)
    assert len(set(seen)) <= 2  # members not yet begun stay so, as after Ctrl-C
