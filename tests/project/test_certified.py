"""The reference data are what they claim: every derivative, answer and likelihood is recomputed here."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from support import certified
from support.certified import LINEAR, LOGISTIC, NONLINEAR, Array, Nonlinear, exact_least_squares, lre, needs_shared

SETS = [pytest.param(model, id=name) for name, model in NONLINEAR.items()]


def differences(f: Callable[[Array], Array], b: Array) -> Array:
    """The derivative of f by each parameter, from fourth-order central differences: (..., p)."""
    columns = []
    for j, size in enumerate(np.abs(b)):
        h = np.zeros_like(b)
        h[j] = 2e-5 * size
        columns.append((8 * (f(b + h) - f(b - h)) - (f(b + 2 * h) - f(b - 2 * h))) / (12 * h[j]))
    return np.stack(columns, axis=-1)


def points(name: str) -> list[Array]:
    """Where derivatives are compared: the certified parameters and the near start."""
    return [certified.certified(name)[0], certified.starts(name)[1]]


@pytest.mark.parametrize("model", SETS)
def test_the_jacobian_agrees_with_differences_of_the_model(model: Nonlinear) -> None:
    for b in points(model.name):
        J = model.jacobian(b, model.x)
        error = np.abs(J - differences(lambda b: model.f(b, model.x), b))
        assert np.all(error <= 1e-7 * np.abs(J).max(axis=0))


@pytest.mark.parametrize("model", SETS)
def test_the_second_derivatives_agree_with_differences_of_the_jacobian(model: Nonlinear) -> None:
    u = np.random.default_rng(0).normal(size=model.x.size)
    for b in points(model.name):
        H = model.hess(b, model.x, u)
        np.testing.assert_array_equal(H, H.T)
        error = np.abs(H - differences(lambda b: u @ model.jacobian(b, model.x), b))
        # In units of the slopes: the change of u'J as b_j grows by its own size.
        slopes = np.abs(u) @ np.abs(model.jacobian(b, model.x))
        assert np.all(error * np.abs(b) <= 1e-7 * slopes[:, None])


@pytest.mark.parametrize("model", SETS)
def test_the_certified_parameters_give_the_certified_sum_of_squares(model: Nonlinear) -> None:
    b, rss = certified.certified(model.name)
    residual = model.f(b, model.x) - model.y
    assert residual @ residual == pytest.approx(rss, rel=1e-9)


@pytest.mark.parametrize("model", SETS)
def test_newton_stays_at_the_certified_parameters(model: Nonlinear) -> None:
    b, _ = certified.certified(model.name)
    residual = model.f(b, model.x) - model.y
    J = model.jacobian(b, model.x)
    # NIST prints 11 digits: the last may move. A gradient in units of its own curvature has no scale.
    unit = 1 / np.linalg.norm(J, axis=0)
    hessian = unit[:, None] * (J.T @ J + model.hess(b, model.x, residual)) * unit
    assert np.linalg.eigvalsh(hessian).min() > 0
    step = unit * np.linalg.solve(hessian, unit * (J.T @ residual))
    assert np.all(np.abs(step) <= 1e-10 * np.abs(b))


@pytest.mark.parametrize("model", SETS)
def test_the_jacobian_gives_the_certified_standard_deviations(model: Nonlinear) -> None:
    b, rss = certified.certified(model.name)
    J = model.jacobian(b, model.x)
    unit = 1 / np.linalg.norm(J, axis=0)
    inverse = np.linalg.inv(np.linalg.qr(J * unit).R)
    errors = unit * np.linalg.norm(inverse, axis=1) * np.sqrt(rss / (model.x.size - b.size))
    np.testing.assert_allclose(errors, certified.certified_errors(model.name), rtol=1e-8)


def test_the_starts_are_the_far_one_and_the_near_one() -> None:
    far, near = certified.starts("Misra1a")
    np.testing.assert_array_equal(far, [500, 0.0001])
    np.testing.assert_array_equal(near, [250, 0.0005])


def test_a_model_that_overflows_answers_without_a_warning() -> None:
    model = NONLINEAR["BoxBOD"]
    assert not np.isfinite(model.f(np.array([1.0, -1e4]), model.x)).all()


@pytest.mark.parametrize("name", LINEAR)
def test_the_exact_coefficients_solve_the_linear_set(name: str) -> None:
    X, y, exact, intercept = certified.linear_set(name)
    x = [Fraction(repr(float(value))) for value in X[:, 0]]  # the decimals of the file
    rows = [[value**power for power in range(1, X.shape[1] + 1)] for value in x]
    solved = exact_least_squares(rows, [Fraction(repr(float(value))) for value in y], intercept)
    for value, digits in zip(solved, exact, strict=True):
        assert abs(value - Fraction(digits)) <= abs(value) * Fraction(1, 10**39)


def test_rounding_the_powers_of_filip_costs_half_of_the_digits() -> None:
    X, y, exact, intercept = certified.linear_set("Filip")
    solved = exact_least_squares(X, y, intercept)
    assert lre(solved, exact) == pytest.approx(7.61, abs=0.01)
    assert lre(solved, solved) == 15


def test_digits_are_counted_against_all_forty() -> None:
    third = "0.3333333333333333333333333333333333333333"
    assert lre([1 / 3], [third], digits_cap=20) == pytest.approx(16.26, abs=0.01)
    assert lre([1 / 3], [third]) == 15
    assert lre([1.0, 1.001], ["1", "1"]) == pytest.approx(3)
    assert lre([1e-4], ["0"]) == pytest.approx(4)
    assert lre([2.0], [2.0], digits_cap=11) == 11
    assert lre([5.0], ["1"]) == 0
    assert lre([float("nan")], ["1"]) == 0
    with pytest.raises(ValueError, match="zip"):
        lre([1.0], ["1", "2"])


@needs_shared
@pytest.mark.parametrize("name", LOGISTIC)
def test_the_reference_coefficients_give_the_reference_likelihood(name: str) -> None:
    X, y, names, reference = certified.logistic_set(name)
    assert X.shape == (len(y), len(names))
    assert set(y) == {0, 1}
    assert reference["names"] == [*names, "const"]
    assert reference.get("n", len(y)) == len(y)
    A = np.column_stack([X, np.ones(len(y))])
    z = A @ np.array([float(value) for value in reference["coef"]])
    loglik = -np.logaddexp(0, np.where(y == 1, -z, z)).sum()
    variance = 1 / (2 + np.exp(z) + np.exp(-z))
    information = A.T @ (variance[:, None] * A)
    if reference["method"] == "ml":
        assert loglik == pytest.approx(float(reference["loglik"]), rel=1e-12)
        errors = np.sqrt(np.diag(np.linalg.inv(information)))
        np.testing.assert_allclose(errors, [float(value) for value in reference["se"]], rtol=1e-9)
    else:
        assert loglik == pytest.approx(float(reference["loglik_unpenalised"]), rel=1e-12)
        penalised = loglik + np.linalg.slogdet(information).logabsdet / 2
        assert penalised == pytest.approx(float(reference["penalised_loglik"]), rel=1e-12)


@needs_shared
def test_the_benchmark_sets_come_with_their_splits() -> None:
    X, targets, splits = certified.regression_set("yacht")
    assert (X.shape, targets.shape, len(splits)) == ((308, 6), (308,), 20)
    flowers, classes, folds = certified.classification_set("iris")
    assert (flowers.shape, classes.shape, len(folds)) == ((150, 4), (150,), 4)
    for n, parts in ((len(X), splits), (len(flowers), folds)):
        for train, test in parts:
            np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(n))
