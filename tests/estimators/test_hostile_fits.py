"""Fits as an unfriendly analyst makes them: right numbers or one clear sentence, never a silent nan and no warning."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from newtron import InputError, NetworkClassifier, NetworkRegressor, PerceptronClassifier, PerceptronRegressor
from newtron.engine.base.linalg import eigh, eigvalsh, singular_values, svd
from newtron.engine.solvers import Status

RNG = np.random.default_rng(0)
N = 60
X = RNG.normal(size=(N, 3))
NUMBERS = X @ [1.0, -2.0, 0.5] + 0.5 * RNG.normal(size=N)
TWO = (X[:, 0] + RNG.logistic(size=N) > 0).astype(int)
THREE = np.digitize(X[:, 1] + RNG.logistic(size=N), [-1.0, 1.0])
GROUPS = RNG.integers(0, 8, N)
WEIGHT = RNG.integers(0, 4, N).astype(float)
ROBUST = ("HC0", "HC1", "HC2", "HC3", "cluster")


def errors(model: Any, A: Any, y: Any, kind: str, weight: Any = None, groups: Any = GROUPS) -> Any:
    """Standard errors of the slopes."""
    found = model.summary(A, y, sample_weight=weight, covariance=kind, groups=groups if kind == "cluster" else None)
    return found.standard_errors.reshape(-1, A.shape[1] + 1)[:, 1:]


@pytest.mark.parametrize(
    ("model", "y", "kinds"),
    [
        (PerceptronRegressor(), NUMBERS, ("classical", *ROBUST)),
        (PerceptronClassifier(), TWO, ("classical", *ROBUST)),
        (PerceptronClassifier(), THREE, ("classical", *ROBUST)),
        (PerceptronClassifier(penalty="firth"), TWO, ("fisher",)),
    ],
    ids=["squares", "two classes", "three classes", "firth"],
)
@pytest.mark.parametrize(
    ("offset", "scale"), [(0.0, 1e-12), (0.0, 1e12), (1e8, 1.0), (1e4, 1e-3)], ids=["tiny", "huge", "far", "far, small"]
)
def test_units_and_offsets_change_no_slope(model: Any, y: Any, kinds: Any, offset: float, scale: float) -> None:
    plain = model.fit(X, y)
    expected = [plain.coef_.copy(), *(errors(plain, X, y, kind) for kind in kinds)]
    A = X * scale + offset
    moved = model.fit(A, y)
    found = [moved.coef_, *(errors(moved, A, y, kind) for kind in kinds)]
    lost = 1e-15 * offset / scale  # what rounding takes from X itself
    for ours, before in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours * scale, before, rtol=1e-6 + 100.0 * lost, atol=1e-9 + 10.0 * lost)
    assert moved.certificate_.converged
    assert moved.certificate_.verify(A, y)


@pytest.mark.parametrize("y", [TWO, THREE], ids=["two", "three"])
def test_a_weight_is_so_many_rows(y: Any) -> None:
    times = WEIGHT.astype(int)
    long, labels, groups = (np.repeat(a, times, axis=0) for a in (X, y, GROUPS))
    weighted, repeated = (
        PerceptronClassifier().fit(X, y, sample_weight=WEIGHT),
        PerceptronClassifier().fit(long, labels),
    )
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-8)
    for kind in ("classical", *ROBUST):
        ours, theirs = errors(weighted, X, y, kind, WEIGHT), errors(repeated, long, labels, kind, groups=groups)
        np.testing.assert_allclose(ours, theirs, rtol=1e-7)
    if y is TWO:
        of_rows = repeated.profile_intervals(long, labels)
        np.testing.assert_allclose(weighted.profile_intervals(X, y, WEIGHT), of_rows, rtol=1e-7)


def test_a_column_that_is_zero_where_rows_weigh_is_named() -> None:
    """It is no number too small to be squared."""
    A = np.column_stack([X, np.arange(N) < 5])
    weight = (np.arange(N) >= 5).astype(float)
    for model, y in ((PerceptronRegressor(), NUMBERS), (PerceptronClassifier(), TWO)):
        found = model.fit(A, y, sample_weight=weight).summary()
        assert found.aliases == ("x4 = 0",)
        expected = model.fit(X[5:], y[5:]).summary()
        np.testing.assert_allclose(found.standard_errors[:4], expected.standard_errors, rtol=1e-7)
        assert np.isnan(found.standard_errors[4])
    A[:, 3] = 1e-300 * RNG.normal(size=N)
    with pytest.raises(InputError, match=r"Column 3 of X .* beyond the range"):
        PerceptronRegressor().fit(A, NUMBERS, sample_weight=weight)


@pytest.mark.slow
def test_profiles_of_what_dependent_columns_leave_estimable() -> None:
    expected = PerceptronClassifier().fit(X, TWO, sample_weight=WEIGHT).profile_intervals(X, TWO, WEIGHT)
    nothing = [np.nan, np.nan]
    a, b, c, intercept = expected
    total, constant, zero = X[:, 0] + X[:, 1], np.full(N, 3.0), np.zeros(N)
    for extra, rows in (
        (total, [nothing, nothing, c, nothing, intercept]),
        (constant, [a, b, c, nothing, nothing]),
        (zero, [a, b, c, nothing, intercept]),
        (total + 2.0, [nothing, nothing, c, nothing, nothing]),
    ):
        A = np.column_stack([X, extra])
        model = PerceptronClassifier().fit(A, TWO, sample_weight=WEIGHT)
        np.testing.assert_allclose(model.profile_intervals(A, TWO, WEIGHT), rows, rtol=1e-6)
        summary = model.summary(A, TWO, sample_weight=WEIGHT, intervals="profile")
        np.testing.assert_allclose(np.roll(summary.intervals, -1, axis=0), rows, rtol=1e-6)
    plain = PerceptronClassifier(fit_intercept=False)
    alone = plain.fit(X, TWO).profile_intervals(X, TWO)
    A = np.column_stack([2.0 * X[:, 0], X])
    found = plain.fit(A, TWO).profile_intervals(A, TWO)
    np.testing.assert_allclose(found, [nothing, nothing, alone[1], alone[2]], rtol=1e-6)


def test_a_perfect_fit_has_no_tests() -> None:
    """R says so, too: "essentially perfect fit: summary may be unreliable"."""
    rough = NUMBERS
    for y in (X @ [1.0, 2.0, 3.0] + 4.0, 1e8 + X @ [1.0, 2.0, 3.0], np.full(N, 5.0)):
        found = PerceptronRegressor().fit(X, y).summary(X, y, covariance="HC3")
        assert np.isnan(found.statistics).all()
        assert np.isnan(found.p_values).all()
        assert "perfect but for rounding" in found.notes[0]
        assert "nan" not in str(found)
    assert "R² not defined" in str(found)  # of a constant
    both = PerceptronRegressor().fit(X, np.column_stack([X[:, 0], rough])).summary()
    alone = PerceptronRegressor().fit(X, rough).summary()
    assert np.isnan(both.p_values[:4]).all()
    np.testing.assert_allclose(both.p_values[4:], alone.p_values, rtol=1e-9)
    nearly = PerceptronRegressor().fit(X, X[:, 0] + 1e-9 * rough).summary()
    np.testing.assert_allclose(nearly.statistics[1:], nearly.estimates[1:] / nearly.standard_errors[1:])
    assert nearly.notes == ()


def test_errors_that_are_not_there_have_their_sentence() -> None:
    light = np.full(N, 0.1)  # six rows' weight for eight parameters
    model = PerceptronClassifier().fit(X, THREE, sample_weight=light)
    assert np.isfinite(model.summary().standard_errors).all()
    for kind in ("HC1", "cluster"):
        found = model.summary(
            X, THREE, sample_weight=light, covariance=kind, groups=GROUPS if kind == "cluster" else None
        )
        assert np.isnan(found.standard_errors).all()
        assert "not more rows, each counted by its weight, than parameters" in found.notes[0]
    few = PerceptronRegressor().fit(X[:4], NUMBERS[:4]).summary()
    assert "There are not more rows than parameters" in few.notes[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda: PerceptronClassifier(),
        lambda: PerceptronClassifier(alpha=1.0),
        lambda: PerceptronClassifier(alpha=1.0, solver="lbfgs"),
        lambda: PerceptronClassifier(alpha="loo"),
        lambda: PerceptronClassifier(alpha="evidence"),
        lambda: NetworkClassifier(hidden=(3,), n_starts=1),
        lambda: NetworkClassifier(n_starts=1),
    ],
    ids=["none", "fixed", "lbfgs", "loo", "evidence", "network", "mix"],
)
@pytest.mark.parametrize("case", ["first", "second", "middle"])
def test_a_class_without_weight_is_no_optimum(make: Any, case: str) -> None:
    """Its intercept falls for ever, whatever the penalty on the weights."""
    y, weight = {"first": (TWO, TWO == 1), "second": (TWO, TWO == 0), "middle": (THREE, THREE != 1)}[case]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = make().fit(X, y, sample_weight=weight.astype(float))
    assert model.solution_.status is Status.UNBOUNDED
    assert not model.certificate_.converged
    assert "leave its rows out" in model.solution_.sentence or "separat" in model.solution_.sentence
    p = model.predict_proba(X)
    assert np.isfinite(p).all()
    assert p[:, {"first": 0, "second": 1, "middle": 1}[case]].max() < 0.05
    # A class that is merely rare has its optimum.
    rare = np.where(weight, 1.0, 1e-3)
    assert make().fit(X, y, sample_weight=rare).solution_.converged


def test_one_class_is_named_as_it_was_given() -> None:
    for label, text in ((np.int64(3), "3"), ("no", "'no'"), (True, "True")):
        with pytest.raises(InputError, match=rf"All rows are of one class \({text}\): "):
            PerceptronClassifier().fit(X, np.full(N, label))


@pytest.mark.slow
@pytest.mark.parametrize(
    "make", [lambda: NetworkRegressor(n_starts=1), lambda: NetworkRegressor(hidden=(3,), alpha=0.1)]
)
@pytest.mark.parametrize(
    "case", ["two rows", "fewer rows than columns", "constant", "perfect", "far", "tiny", "float32"]
)
def test_networks_of_odd_data(make: Any, case: str) -> None:
    A, y = {
        "two rows": (X[:2], NUMBERS[:2]),
        "fewer rows than columns": (RNG.normal(size=(8, 12)), NUMBERS[:8]),
        "constant": (np.column_stack([X, np.ones(N)]), np.full(N, 5.0)),
        "perfect": (X, X[:, 0] + 1.0),
        "far": (X + 1e8, NUMBERS + 1e8),
        "tiny": (1e-12 * X, 1e-12 * NUMBERS),
        "float32": (X.astype(np.float32), NUMBERS.astype(np.float32)),
    }[case]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = make().fit(A, y)
        mean, std = model.predict(A, return_std=True)
        found = [mean, std, model.predict_interval(A), model.log_density(A, y), model.relevance_]
    assert not any(np.isnan(a).any() for a in found)
    assert (found[2][:, 0] <= mean).all()
    assert (mean <= found[2][:, 1]).all()
    assert "nan" not in str(model.certificate_)
    if model.certificate_.converged:
        assert model.certificate_.verify(A, y)


@pytest.mark.parametrize("of", [eigvalsh, singular_values, lambda A: eigh(A)[0], lambda A: svd(A)[1]])
@pytest.mark.parametrize("size", [1, 2, 5, 30, 60])
def test_eigenvalues_of_any_numbers(of: Any, size: int) -> None:
    """LAPACK and NumPy's versions differ in what they do with them: some raise, some hand back nan."""
    G = RNG.normal(size=(size, 2 * size))
    G = G @ G.T
    G /= np.abs(G).max()
    plain = of(G)
    for unit in (2.0**-1000, 2.0**1000):
        np.testing.assert_allclose(of(G * unit), plain * unit, rtol=1e-12)
    np.testing.assert_allclose(of(G * 2.0**-1060) / 2.0**-1060, plain, atol=1e-3)  # denormal: few digits
    for bad in (np.nan, np.inf, -np.inf):
        lost = G.copy()
        lost[0, -1] = lost[-1, 0] = bad
        assert np.isnan(of(lost)).all()
        several = of(np.stack([G, lost])) if of in (eigvalsh, singular_values) else np.stack([plain, of(lost)])
        np.testing.assert_allclose(several[0], plain, rtol=1e-12)
        assert np.isnan(several[1]).all()
    assert np.array_equal(of(np.zeros((size, size))), np.zeros(size))


@pytest.mark.parametrize("scale", [1e-150, 1e150])
@pytest.mark.parametrize("Model", [PerceptronClassifier, PerceptronRegressor])
def test_training_on_batches_of_numbers_near_the_ends_of_the_range(Model: Any, scale: float) -> None:
    y = TWO if Model is PerceptronClassifier else NUMBERS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for units in (np.full(3, scale), np.array([scale, 1.0 / scale, 1.0])):
            model = Model(solver="stochastic", max_iter=20).fit(X * units, y)
            assert not model.certificate_.converged
            assert np.isfinite(model.predict(X * units)).all()


@pytest.mark.parametrize("solver", ["auto", "levenberg-marquardt", "lbfgs"])
@pytest.mark.parametrize(("dtype", "size"), [(np.float64, 1e-200), (np.float64, 1e-155), (np.float32, 1e-25)])
def test_targets_whose_squares_vanish_are_verified(dtype: Any, size: float, solver: str) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        A = rng.normal(size=(20, 2)).astype(dtype)
        y = (size * rng.normal(size=20)).astype(dtype)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = PerceptronRegressor(solver=solver).fit(A, y)
        assert model.certificate_.verify(A, y)
