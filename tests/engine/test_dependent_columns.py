"""Columns that depend on each other, exactly or nearly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning

from newtron import PerceptronClassifier, PerceptronRegressor
from newtron.engine import TrainingObjective
from newtron.engine.base.linalg import factorize, newton_step
from newtron.engine.maths.losses import loss_for
from newtron.engine.maths.network import Network
from newtron.engine.rows import ArrayRows
from newtron.engine.solvers import Status

Form = Callable[[np.ndarray], Any]

# --- the shortest of many solutions ---


def wide(n: int = 10, p: int = 20) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random((n, p)), rng.random(n), rng.random((5, p))


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_the_shortest_solution_depends_on_no_unit_no_common_weight_and_no_repetition(
    form: Form, standardize: bool, intercept: bool
) -> None:
    X, y, new = wide()

    def predictions(units: np.ndarray, rows: int = 1, weight: np.ndarray | None = None) -> np.ndarray:
        model = PerceptronRegressor(fit_intercept=intercept, standardize=standardize)
        model.fit(form(np.vstack([X * units] * rows)), np.tile(y, rows), sample_weight=weight)
        assert "independent" in model.solution_.note
        return model.predict(form(new * units))

    plain = predictions(np.ones(20))
    for factor in (3.0, 4.0, 1000.0, 1e-9):
        units = np.where(np.arange(20) % 2 == 0, factor, 1.0)
        np.testing.assert_allclose(predictions(units), plain, rtol=1e-12)
    for weight in (2.0, 123.0, 1e-3):
        np.testing.assert_allclose(predictions(np.ones(20), weight=np.full(10, weight)), plain, rtol=1e-12)
    for rows in (2, 3):
        np.testing.assert_allclose(predictions(np.ones(20), rows), plain, rtol=1e-12)


def test_the_shortest_solution_is_shortest_in_columns_of_exactly_equal_norm() -> None:
    X, y, _ = wide()
    norm = np.linalg.norm(X, axis=0)
    shortest = np.linalg.lstsq(X / norm, y, rcond=None)[0] / norm
    np.testing.assert_allclose(PerceptronRegressor(fit_intercept=False).fit(X, y).coef_, shortest, rtol=1e-11)


# --- columns that nearly agree ---


def near(gap: float, n: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X whose last column differs from its first by a share `gap` of a normal number; the same in columns that are far
    apart, without rounding (the difference of two numbers so close is exact); and noise."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 2))
    X = np.column_stack([X, X[:, 0] + gap * rng.normal(size=n)])
    apart = np.column_stack([X[:, :2], (X[:, 2] - X[:, 0]) / gap])
    return X, apart, rng.logistic(size=n)


def labels(apart: np.ndarray, noise: np.ndarray, classes: int) -> np.ndarray:
    score = apart[:, 0] + 1.5 * apart[:, 2] + noise
    cuts = np.quantile(score, np.arange(1, classes) / classes)
    return np.asarray(np.searchsorted(cuts, score))


GAPS = [1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12]


@pytest.mark.slow
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("solver", ["newton", "levenberg-marquardt"])
@pytest.mark.parametrize("gap", GAPS)
def test_a_classifier_tells_columns_that_nearly_agree_apart(
    gap: float, solver: str, classes: int, weighted: bool
) -> None:
    X, apart, noise = near(gap)
    y = labels(apart, noise, classes)
    weight = np.random.default_rng(1).integers(0, 4, len(y)).astype(float) if weighted else None
    expected = PerceptronClassifier(solver=solver).fit(apart, y, sample_weight=weight)
    model = PerceptronClassifier(solver=solver).fit(X, y, sample_weight=weight)
    assert model.solution_.converged
    assert model.n_iter_ < 25
    lost = 1e-16 / gap  # by rounding coefficients of about 1 / gap
    assert abs(model.solution_.value / expected.solution_.value - 1.0) < 1e-13 + 10.0 * lost**2
    error = np.abs(model.predict_proba(X) - expected.predict_proba(apart)).max()
    assert error < 1e-12 + 20.0 * lost
    assert model.certificate_.verify(X, y, sample_weight=weight)
    found, right = model.summary(), expected.summary()
    assert found.aliases == ()
    own = found.standard_errors.reshape(classes - 1, 4)[:, 3] * gap
    np.testing.assert_allclose(own, right.standard_errors.reshape(classes - 1, 4)[:, 3], rtol=1e-9 + 10.0 * lost)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classifier", "regressor"])
@pytest.mark.parametrize("gap", [1e-3, *GAPS[:-1]])
def test_a_certificate_tells_columns_that_nearly_agree_apart(gap: float, kind: str) -> None:
    """The smallest curvature against that in columns that are apart, whose coefficients are a linear map of these."""
    X, apart, noise = near(gap)
    y = labels(apart, noise, 2) if kind == "classifier" else apart[:, 0] + 1.5 * apart[:, 2] + noise
    model = (PerceptronClassifier() if kind == "classifier" else PerceptronRegressor()).fit(X, y)
    found = model.certificate_
    assert (found.nature, found.flat_directions, found.method) == ("minimum", 0, "exact")
    A = np.column_stack([apart, np.ones(len(y))])
    p = model.predict_proba(X)[:, 1] if kind == "classifier" else None
    H = A.T @ ((p * (1.0 - p) if p is not None else np.ones(len(y)))[:, None] * A) / len(y)
    turn = np.eye(4)
    turn[0, 2], turn[2, 2] = -1.0 / gap, 1.0 / gap
    expected = 1.0 / np.linalg.eigvalsh(turn @ np.linalg.inv(H) @ turn.T)[-1]
    assert found.smallest_eigenvalue == pytest.approx(expected, rel=1e-6 + 1e-15 / gap)
    assert found.loss_gap_bound is None or found.loss_gap_bound < found.value
    assert found.verify(X, y)
    assert found.verify(X[::-1], y[::-1])
    assert not found.verify(X, np.roll(y, 1))


def test_a_certificate_of_columns_that_rounding_makes_the_same_is_flat() -> None:
    X, apart, noise = near(1e-14)
    y = labels(apart, noise, 2)
    found = PerceptronClassifier().fit(X, y).certificate_
    assert (found.nature, found.loss_gap_bound) == ("flat", None)
    assert found.verify(X, y)


@pytest.mark.parametrize("solver", ["newton", "levenberg-marquardt"])
@pytest.mark.parametrize("gap", GAPS)
def test_least_squares_tells_columns_that_nearly_agree_apart(gap: float, solver: str) -> None:
    X, apart, noise = near(gap)
    y = np.column_stack([apart[:, 0] + 1.5 * apart[:, 2] + noise, noise])
    expected = PerceptronRegressor().fit(apart, y)
    model = PerceptronRegressor(solver=solver).fit(X, y)
    lost = 1e-16 / gap
    assert model.solution_.converged
    assert abs(model.solution_.value / expected.solution_.value - 1.0) < 1e-13 + lost  # as it is evaluated
    assert np.abs(model.predict(X) - expected.predict(apart)).max() < 1e-12 + 20.0 * lost
    found, right = model.summary(), expected.summary()
    assert found.aliases == ()
    own = found.standard_errors.reshape(2, 4)[:, 3] * gap
    np.testing.assert_allclose(own, right.standard_errors.reshape(2, 4)[:, 3], rtol=1e-9 + 10.0 * lost)


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("gap", [1e-7, 1e-9])
def test_a_penalty_that_weighs_as_much_as_the_difference_of_columns(form: Form, gap: float) -> None:
    X, apart, noise = near(gap)
    y = labels(apart, noise, 2)
    alpha = 10.0 * gap**2
    model = PerceptronClassifier(alpha=alpha, solver="newton").fit(form(X), y)
    # The coefficients of X from those of the columns that are apart: w0 = b0 - b2 / gap, w2 = b2 / gap.
    turn = np.eye(4)
    turn[0, 2], turn[2, 2] = -1.0 / gap, 1.0 / gap
    penalty = turn.T @ np.diag([alpha, alpha, alpha, 0.0]) @ turn
    A, b = np.column_stack([apart, np.ones(len(y))]), np.zeros(4)
    for _ in range(30):
        p = 1.0 / (1.0 + np.exp(-A @ b))
        b -= np.linalg.solve(A.T @ (A * (p * (1.0 - p))[:, None]) + penalty, A.T @ (p - y) + penalty @ b)
    assert model.solution_.converged
    np.testing.assert_allclose(model.predict_proba(form(X))[:, 1], 1.0 / (1.0 + np.exp(-A @ b)), atol=1e-14 / gap)


def test_single_precision_keeps_what_its_numbers_tell() -> None:
    X, _, noise = near(1e-4)
    X = X.astype(np.float32)
    exact = X.astype(np.float64)
    apart = np.column_stack([exact[:, :2], (exact[:, 2] - exact[:, 0]) / 1e-4])
    y = labels(apart, noise, 2)
    model, expected = (PerceptronClassifier(solver="newton").fit(A, y) for A in (X, apart))
    assert model.solution_.converged
    np.testing.assert_allclose(model.predict_proba(exact), expected.predict_proba(apart), atol=1e-3)


def test_coefficients_whose_rounding_hides_the_optimum_are_not_called_converged() -> None:
    """Doubles near 5e13 are .008 apart, which moves predictions."""
    X, apart, noise = near(5e-14)
    y = apart[:, 0] + 2.0 * apart[:, 2] + 0.1 * noise
    with pytest.warns(ConvergenceWarning, match="rounding their coefficients hides"):
        model = PerceptronRegressor(solver="newton").fit(X, y)
    assert not model.certificate_.converged


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["newton-cg", "lbfgs"])
@pytest.mark.parametrize("gap", GAPS)
def test_what_cannot_tell_columns_apart_is_not_called_converged(gap: float, solver: str) -> None:
    X, apart, noise = near(gap, 60)
    for Model, y in (
        (PerceptronClassifier, labels(apart, noise, 2)),
        (PerceptronRegressor, apart[:, 0] + 2.0 * apart[:, 2] + 0.3 * noise),
    ):
        lowest = Model(solver="newton").fit(X, y).solution_.value
        end = Model(solver=solver, max_iter=100).fit(X, y).solution_
        assert end.value < lowest * (1.0 + 1e-6) or not end.converged
        if end.status is Status.STALLED and end.value > lowest * (1.0 + 1e-6):
            assert "the solver 'newton' does" in end.sentence


def test_exactly_dependent_columns_need_no_look_at_the_rows() -> None:
    X, apart, noise = near(1.0)
    y = labels(apart, noise, 2)
    more = np.column_stack([X, X[:, 0] + X[:, 1]])
    plain, model = (PerceptronClassifier(solver="newton").fit(A, y) for A in (X, more))
    assert model.solution_.converged
    np.testing.assert_allclose(model.decision_function(more), plain.decision_function(X), rtol=1e-9)
    assert len(model.summary().aliases) == 1


def test_a_penalty_bounds_the_condition() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    X = np.column_stack([X, X[:, 0] + 1e-9 * X[:, 1], 10.0 + X[:, 2]])
    Y = np.eye(3)[rng.integers(3, size=60)]
    found = []
    for penalty in (1.0, 1e-2, 0.0):
        objective = TrainingObjective(Network((5, 3)), loss_for("classification", None, 3), ArrayRows(X, Y), penalty)
        hessian = objective.evaluate(1e-4 * rng.normal(size=18), 2).hessian
        factor = factorize(objective.determined(hessian))
        found.append((objective.keeps_digits, factor is not None and factor.condition < 1e11))
    assert found == [(True, True), (True, True), (False, False)]


def test_newton_does_not_shift_all_classes() -> None:
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(60, 3)), np.eye(3)[rng.integers(3, size=60)]
    objective = TrainingObjective(Network((3, 3)), loss_for("classification", None, 3), ArrayRows(X, Y), 0.1)
    at = objective.evaluate(rng.normal(size=12), 2)
    step, condition = newton_step(objective.determined(at.hessian), at.gradient)
    assert step is not None
    assert condition < 1e6
    np.testing.assert_allclose(at.hessian @ step, -at.gradient, atol=1e-14)
    assert abs(step[-3:].sum()) < 1e-13
