"""The damped step through one equation for each row is the step of the matrix of all parameters."""

from __future__ import annotations

import numpy as np
import pytest

from newtron import LevenbergMarquardt, minimize
from newtron.engine.base.types import Array
from newtron.engine.maths.losses import loss_for
from newtron.engine.maths.network import Network
from newtron.engine.objective import TrainingObjective
from newtron.engine.objective.local_curvature import LocalCurvature, MatrixCurvature, RowCurvature
from newtron.engine.rows import ArrayRows
from newtron.inference.penalties.penalty_path import network_penalties


def problem(widths: tuple[int, ...], intercept: bool, n: int = 20, strength: float = 0.1) -> TrainingObjective:
    rng = np.random.default_rng(3)
    k = widths[-1]
    X, weight = rng.normal(size=(n, widths[0])) * np.linspace(0.5, 2.0, widths[0]), rng.integers(0, 3, n).astype(float)
    if k > 1:
        rows, loss = ArrayRows(X, np.eye(k)[rng.integers(0, k, n)], weight), loss_for("classification", None, k)
    else:
        rows, loss = ArrayRows(X, rng.normal(size=(n, 1)), weight), loss_for("regression", None, 1)
    network = Network(widths, "tanh", intercept)
    return TrainingObjective(network, loss, rows, network_penalties(network, strength))


def solved(curvature: LocalCurvature, added: Array, b: Array) -> Array | None:
    damped = curvature.damped(added)
    return None if damped is None else damped.solve(b)


@pytest.mark.parametrize("widths", [(9, 4, 1), (6, 5, 4, 1), (12, 6, 3)])
@pytest.mark.parametrize("intercept", [True, False])
def test_the_rows_and_the_matrix_have_the_same_steps(widths: tuple[int, ...], intercept: bool) -> None:
    objective = problem(widths, intercept)
    params = objective.network.start(np.random.default_rng(0), np.zeros(widths[-1]))
    found, by_rows = objective.gauss_newton(params)
    whole = objective.evaluate(params, 2, gauss_newton=True)
    assert isinstance(by_rows, RowCurvature)
    assert found.value == whole.value
    np.testing.assert_array_equal(found.gradient, whole.gradient)
    matrix = MatrixCurvature(whole.hessian)
    np.testing.assert_allclose(by_rows.diagonal, matrix.diagonal, rtol=1e-12)
    assert by_rows.decrement(found.gradient) == pytest.approx(matrix.decrement(found.gradient), rel=1e-7)
    v = np.linspace(-1.0, 2.0, objective.n_params)
    np.testing.assert_allclose(by_rows.times(v), matrix.times(v), rtol=1e-10, atol=1e-12)
    metric = np.square(objective.scale) * 0.3
    for damping in (10.0, 1e-2, 1e-6, 1e-12):
        ours, theirs = (solved(each, damping * metric, found.gradient) for each in (by_rows, matrix))
        assert ours is not None
        assert theirs is not None
        # A common shift of all classes changes nothing, and may differ.
        np.testing.assert_allclose(whole.hessian @ ours, whole.hessian @ theirs, rtol=1e-6, atol=1e-12)
        if widths[-1] == 1:
            np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-12)


def test_a_network_with_more_parameters_than_rows_ends_at_an_optimum() -> None:
    objective = problem((9, 4, 1), True)
    start = objective.network.start(np.random.default_rng(0), np.zeros(1))
    end = minimize(objective, start, LevenbergMarquardt(), tol=1e-10)
    assert end.converged
    assert end.trace[-1].decrement < 1e-9
    exact = TrainingObjective(objective.network, objective.loss, objective.rows, objective.alpha)
    assert np.abs(exact.evaluate(end.params, 1).gradient).max() < 1e-9
    assert np.linalg.eigvalsh(exact.evaluate(end.params, 2).hessian)[0] > 0.0


def test_numbers_beyond_the_range_have_no_step() -> None:
    objective = problem((9, 4, 1), True)
    added = np.ones(objective.n_params)
    params = objective.network.start(np.random.default_rng(0), np.zeros(1))
    with np.errstate(all="ignore"):  # as `minimize` has it
        by_rows = objective.gauss_newton(params)[1]
        for gradient in (1e308 * added, np.nan * added):
            assert solved(by_rows, added, gradient) is None
        step = solved(objective.gauss_newton(1e300 * params)[1], added, params)
    assert step is None or np.isfinite(step).all()


@pytest.mark.parametrize(
    ("strength", "n"), [(0.0, 20), (0.1, 200)], ids=["without a penalty", "with more rows than parameters"]
)
def test_the_matrix_is_formed_where_the_rows_would_not_do(strength: float, n: int) -> None:
    objective = problem((9, 4, 1), True, n, strength)
    params = objective.network.start(np.random.default_rng(0), np.zeros(1))
    assert isinstance(objective.gauss_newton(params)[1], MatrixCurvature)


def test_penalties_that_differ_between_units_are_solved_by_the_matrix() -> None:
    objective = problem((9, 4, 1), True)
    alpha = objective.alpha.copy()
    alpha[0] *= 2.0
    params = objective.network.start(np.random.default_rng(0), np.zeros(1))
    assert isinstance(objective.with_alpha(alpha).gauss_newton(params)[1], MatrixCurvature)
