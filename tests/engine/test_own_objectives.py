"""Objectives of one's own: what each kind must give, what a solver needs of it, and what a mistake is told."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.problems import Rosenbrock

from newtron.engine import (
    LBFGS,
    Evaluation,
    FirstOrder,
    Function,
    GradientDescent,
    InputError,
    LevenbergMarquardt,
    Newton,
    NewtonCG,
    Objective,
    Residuals,
    SecondOrder,
    Status,
    Stochastic,
    minimize,
)

Array = NDArray[np.floating]
START = np.array([-1.2, 1.0])


class Valley(Residuals):
    """Rosenbrock's function by its residuals 1 - x and 10 (y - x²), halved."""

    n_params = 2

    def residuals(self, params: Array) -> Array:
        x, y = params
        return np.array([1.0 - x, 10.0 * (y - x * x)])

    def jacobian(self, params: Array) -> Array:
        return np.array([[-1.0, 0.0], [-20.0 * params[0], 10.0]])


class ExactValley(Valley):
    def second_order(self, params: Array, residuals: Array) -> Array:
        return np.array([[-20.0 * residuals[1], 0.0], [0.0, 0.0]])


class Bowl(Function):
    """Σ sqrt(1 + (x_j - j)²): smooth, convex, with its minimum n at 0, 1, 2."""

    n_params = 3

    def value(self, params: Array) -> float:
        return float(np.sum(np.sqrt(1.0 + np.square(params - np.arange(3)))))

    def gradient(self, params: Array) -> Array:
        moved = params - np.arange(3)
        return np.asarray(moved / np.sqrt(1.0 + np.square(moved)))


class ExactBowl(Bowl):
    def hessian(self, params: Array) -> Array:
        return np.diag((1.0 + np.square(params - np.arange(3))) ** -1.5)


class BowlByProducts(Bowl):
    def _hvp(self, params: Array, v: Array) -> Array:
        return ExactBowl().hessian(params) @ v


@pytest.mark.slow
@pytest.mark.parametrize(
    "solver", [Newton(), NewtonCG(), LevenbergMarquardt(), LBFGS(), GradientDescent()], ids=lambda s: str(s.name)
)
@pytest.mark.parametrize("objective", [ExactValley(), ExactBowl()], ids=lambda o: type(o).__name__)
def test_every_solver_minimises_an_objective_that_gives_all(objective: Objective, solver: Any) -> None:
    start = START if objective.n_params == 2 else np.array([4.0, -3.0, 2.5])
    solution = minimize(objective, start, solver, max_iter=50_000, tol=1e-8)
    assert solution.converged, solution.sentence
    expected = np.ones(2) if objective.n_params == 2 else np.arange(3)
    np.testing.assert_allclose(solution.params, expected, atol=1e-6)


def test_residuals_are_the_objective_that_they_stand_for() -> None:
    """Half of Rosenbrock's function, to the last digits, its Gauss-Newton part and its exact Hessian."""
    whole, halves = Rosenbrock(), ExactValley()
    for gauss_newton in (False, True):
        expected, found = (o.evaluate(START, 2, gauss_newton) for o in (whole, halves))
        assert 2.0 * found.value == pytest.approx(expected.value, rel=1e-15)
        np.testing.assert_allclose(2.0 * found.gradient, expected.gradient, rtol=1e-15)
        np.testing.assert_allclose(2.0 * found.hessian, expected.hessian, rtol=1e-15)


def test_levenberg_marquardt_needs_only_residuals_and_jacobian() -> None:
    """With a residual that stays, where the exact Hessian would be asked for if there were one."""

    class Stuck(Valley):
        def residuals(self, params: Array) -> Array:
            return np.append(super().residuals(params), np.exp(0.5 * params.sum()))

        def jacobian(self, params: Array) -> Array:
            return np.vstack([super().jacobian(params), np.full(2, 0.5 * np.exp(0.5 * params.sum()))])

    solution = minimize(Stuck(), START, LevenbergMarquardt(exact_after=1))
    assert solution.converged, solution.sentence
    assert np.abs(solution.gradient).max() < 1e-6 * solution.value


def test_a_function_without_a_hessian_is_minimised_and_its_end_judged() -> None:
    class Convex(Bowl):
        is_convex = True

    for objective in (Bowl(), Convex()):
        solution = minimize(objective, np.array([4.0, -3.0, 2.5]), LBFGS())
        assert solution.converged, solution.sentence
        assert "hessian" not in solution.counts


def test_products_are_enough_for_newton_cg() -> None:
    assert minimize(BowlByProducts(), np.array([4.0, -3.0, 2.5]), NewtonCG()).converged


def test_a_frozen_dataclass_is_an_objective() -> None:
    @dataclass(frozen=True)
    class Line(Residuals):
        x: tuple[float, ...]
        y: tuple[float, ...]
        n_params = 2

        def residuals(self, params: Array) -> Array:
            return np.asarray(params[0] + params[1] * np.array(self.x) - self.y)

        def jacobian(self, params: Array) -> Array:
            return np.column_stack([np.ones(len(self.x)), self.x])

    for solver in (LevenbergMarquardt(), LBFGS()):
        solution = minimize(Line((0.0, 1.0, 2.0), (1.0, 3.0, 5.0)), np.zeros(2), solver)
        np.testing.assert_allclose(solution.params, [1.0, 2.0], atol=1e-6)


def test_where_a_function_has_no_value_a_solver_does_not_go() -> None:
    class Logarithm(Function):
        """x - log x, whose gradient and Hessian must not be asked for below 0."""

        n_params = 1

        def value(self, params: Array) -> float:
            return float(params[0] - np.log(params[0]))

        def gradient(self, params: Array) -> Array:
            assert params[0] > 0.0
            return np.asarray(1.0 - 1.0 / params)

        def hessian(self, params: Array) -> Array:
            assert params[0] > 0.0
            return np.diag(1.0 / np.square(params))

    for solver in (Newton(), LBFGS(), LevenbergMarquardt(damping=1e-9)):
        solution = minimize(Logarithm(), np.array([3.5]), solver)
        assert solution.converged
        assert solution.params[0] == pytest.approx(1.0, abs=1e-6)
    assert minimize(Logarithm(), np.array([-1.0]), Newton()).status is Status.NOT_FINITE


# --- mistakes: each is one sentence that says what to do ---


class Wrong(ExactBowl):
    """With one part replaced."""

    def __init__(self, **parts: Any) -> None:
        self.parts = parts

    def value(self, params: Array) -> Any:
        return self.parts.get("value", super().value(params))

    def gradient(self, params: Array) -> Any:
        return self.parts.get("gradient", super().gradient(params))

    def hessian(self, params: Array) -> Any:
        return self.parts.get("hessian", super().hessian(params))


@pytest.mark.parametrize(
    ("part", "given", "told"),
    [
        ("gradient", np.zeros(2), r"gradient of Wrong has shape \(2,\); return an array of shape \(3,\), .*n_params"),
        ("gradient", np.zeros((3, 1)), r"gradient of Wrong has shape \(3, 1\); return an array of shape \(3,\)"),
        ("gradient", 0.0, r"gradient of Wrong has shape \(\); return"),
        ("gradient", "steep", r"Wrong\.gradient returned 'steep'; return an array of numbers"),
        ("gradient", None, r"gradient of Wrong has shape \(\); return"),
        ("hessian", np.zeros((3, 2)), r"Hessian of Wrong has shape \(3, 2\); return an array of shape \(3, 3\)"),
        ("hessian", np.zeros(3), r"Hessian of Wrong has shape \(3,\); return an array of shape \(3, 3\)"),
        ("hessian", np.full((3, 3), np.nan), r"Hessian of Wrong is not finite at the starting point.*differences"),
        ("value", np.zeros(3), r"Wrong\.value returned array.*; return one number"),
        ("value", "low", r"Wrong\.value returned 'low'; return one number"),
    ],
)
@pytest.mark.parametrize("solver", [Newton(), LevenbergMarquardt()], ids=lambda s: str(s.name))
def test_a_wrong_part_is_told(solver: Any, part: str, given: Any, told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        minimize(Wrong(**{part: given}), np.zeros(3), solver)
    assert str(caught.value).count(". ") == 0


@pytest.mark.parametrize(
    ("part", "given", "told"),
    [
        ("residuals", np.zeros((2, 1)), r"Wrong\.residuals returned shape \(2, 1\); return an array of shape \(m,\)"),
        (
            "jacobian",
            np.zeros((2, 2)).T[:1],
            r"Jacobian of Wrong has shape \(1, 2\); return an array of shape \(2, 2\)",
        ),
        ("jacobian", "J", r"Wrong\.jacobian returned 'J'; return an array of numbers"),
        (
            "second_order",
            np.zeros((3, 3)),
            r"second_order of Wrong has shape \(3, 3\); return an array of shape \(2, 2\)",
        ),
    ],
)
def test_a_wrong_part_of_residuals_is_told(part: str, given: Any, told: str) -> None:
    wrong = type("Wrong", (ExactValley,), {part: lambda *_: given})
    with pytest.raises(InputError, match=told):
        minimize(wrong(), START, Newton())


@pytest.mark.parametrize(
    ("objective", "solver", "told"),
    [
        (Bowl(), Newton(), r"Newton needs the exact Hessian, which Bowl does not have: write `hessian`.*or LBFGS\(\)"),
        (Valley(), Newton(), r"Newton needs the exact Hessian, which Valley .*`second_order`.*LevenbergMarquardt\(\)"),
        (Bowl(), LevenbergMarquardt(), r"LevenbergMarquardt needs the matrix of curvature, which Bowl"),
        (Bowl(), NewtonCG(), r"NewtonCG needs the products of the Hessian with a vector, which Bowl"),
        (ExactBowl(), Stochastic(), r"Stochastic needs the batches of rows, which ExactBowl .*choose .*Newton\(\)"),
        (ExactBowl(), "newton", r"solver='newton' is no solver: give an object, such as Newton\(\)"),
        (ExactBowl(), "lbfgs", r"solver='lbfgs' is no solver: give an object, such as LBFGS\(\)"),
        (ExactBowl(), "simplex", r"solver='simplex' is no solver: give an object, such as Newton\(\)"),
        (ExactBowl(), LBFGS, r"solver=<class .*> is no solver: give an object, such as LBFGS\(\)"),
        (ExactBowl(), None, r"solver=None is no solver"),
        (np.sum, Newton(), r"objective=<function sum.* is no objective: derive a class from newtron\.engine\.Function"),
        (type("Nameless", (ExactBowl,), {"n_params": 0})(), Newton(), r"Nameless\.n_params=0 must be the number"),
    ],
)
def test_a_solver_that_does_not_fit_is_told(objective: Any, solver: Any, told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        minimize(objective, np.zeros(3), solver)
    assert str(caught.value).count(". ") == 0


@pytest.mark.parametrize(
    ("params", "told"),
    [
        (np.zeros(2), r"params has shape \(2,\), and ExactBowl has 3 parameters: give an array of shape \(3,\)"),
        (np.zeros((3, 1)), r"params has shape \(3, 1\)"),
        (0.0, r"params has shape \(\)"),
        ("start", r"params='start' is no array of numbers: give the starting point as one"),
        ([1.0, "a", 2.0], r"params=\[1\.0, 'a', 2\.0\] is no array of numbers"),
        ([[1.0], [1.0, 2.0], []], r"params=.* is no array of numbers"),
    ],
)
def test_a_wrong_start_is_told(params: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        minimize(ExactBowl(), params, Newton())
    assert minimize(ExactBowl(), [0, 0, 0], Newton()).converged


def test_an_evaluation_of_too_low_an_order_is_told() -> None:
    class Low(Objective):
        n_params = 1

        def _evaluate(self, params: Array, order: int, gauss_newton: bool) -> Evaluation:
            return FirstOrder(float(params @ params), 2.0 * params) if order else Evaluation(float(params @ params))

    with pytest.raises(InputError, match=r"Low\._evaluate must return a SecondOrder for order 2, not a FirstOrder"):
        minimize(Low(), np.ones(1), Newton())
    assert minimize(Low(), np.ones(1), GradientDescent()).converged


def test_evaluations_of_one_order_add_up() -> None:
    total = SecondOrder(1.0, np.ones(2), np.eye(2))
    total += SecondOrder(2.0, np.ones(2), np.eye(2))
    assert total.value == 3.0
    np.testing.assert_array_equal(total.gradient, [2.0, 2.0])
    np.testing.assert_array_equal(total.hessian, 2.0 * np.eye(2))


def test_the_engine_is_imported_without_scikit_learn() -> None:
    program = "import sys, newtron.engine as e; [getattr(e, n) for n in e.__all__]; print('sklearn' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
