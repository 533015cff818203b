"""What is called converged is an end: judged from outside the solvers, by derivatives in each parameter's own units."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import least_squares
from support.certified import NONLINEAR, starts
from support.more_garbow_hillstrom import PROBLEMS, Problem
from support.problems import FormulaObjective, Saddle, nist

from newtron import (
    LBFGS,
    LevenbergMarquardt,
    Newton,
    NewtonCG,
    PerceptronClassifier,
    PerceptronRegressor,
    minimize,
)
from newtron.engine.objective import Evaluation, Objective, SecondOrder
from newtron.engine.solvers import Solution, Solver, Status
from newtron.engine.solvers.ends import sufficient_decrease
from newtron.engine.solvers.state import State

Array = NDArray[np.floating]

SOLVERS: dict[str, tuple[Solver, int]] = {
    "levenberg-marquardt": (LevenbergMarquardt(), 1500),
    "newton": (Newton(), 300),
    "lbfgs": (LBFGS(), 2000),
    "newton-cg": (NewtonCG(), 1000),
}
# Of the 103 starts below; SciPy's least_squares solves 90 of them at its best (`method="lm"`), and its minimize 90
# (`trust-exact`), each with up to 5,000 evaluations.
SOLVED = {"levenberg-marquardt": 90, "newton": 90, "lbfgs": 92, "newton-cg": 90}


def far_starts() -> list[tuple[Problem, Array]]:
    """Once, ten times and a hundred times the standard start."""
    found = [(problem, k * np.array(problem.start)) for problem in PROBLEMS for k in (1.0, 10.0, 100.0)]
    return [(problem, x) for i, (problem, x) in enumerate(found) if x.any() or i % 3 == 0]


def in_own_units(r: Array, J: Array) -> float:
    """The largest part of the gradient, relative to the lengths of its column of J and of the residuals; a column
    beyond which the residuals are rounding has none."""
    with np.errstate(all="ignore"):
        share = np.abs(J.T @ r) / (np.linalg.norm(J, axis=0) * np.linalg.norm(r))
    return float(np.nanmax(share, initial=0.0))


def distance(problem: Problem, x: Array) -> float:
    """Length of the Newton step from x, relative to each parameter."""
    r = problem.at(x, second=True)
    assert r.h is not None
    H = r.d.T @ r.d + np.tensordot(r.v, r.h, axes=1)
    unit = np.sqrt(np.abs(np.diagonal(H)))
    unit[unit == 0.0] = 1.0
    step = np.linalg.lstsq(H / unit / unit[:, None], (r.d.T @ r.v) / unit, rcond=1e-14)[0] / unit
    return float(np.max(np.abs(step) / np.maximum(np.abs(x), 1e-300)))


def is_end(problem: Problem, solution: Solution) -> bool:
    """Is the gradient as small as the docstring promises, or small in the parameters' own units, or as near to where
    it vanishes as the digits of the parameters allow?"""
    r = problem.at(solution.params)
    if np.abs(r.d.T @ r.v).max() <= 1e-12 or in_own_units(r.v, r.d) <= 1e-6:
        return True
    return distance(problem, solution.params) <= 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("name", SOLVERS)
def test_no_problem_of_more_garbow_and_hillstrom_is_falsely_called_solved(name: str) -> None:
    solver, most = SOLVERS[name]
    solved, wrong, missed = 0, [], []
    for problem, start in far_starts():
        solution = minimize(problem.objective(), start, solver, max_iter=most)
        at_minimum = np.isfinite(solution.value) and problem.solved(solution.value)
        solved += at_minimum
        if solution.status is Status.CONVERGED:
            assert solution.gradient_norm <= 1e-12
        if solution.converged and not is_end(problem, solution):
            wrong.append((problem.name, start[0], solution.sentence))
        if at_minimum and solution.status is Status.STALLED and in_own_units(*_of(problem, solution)) <= 1e-9:
            missed.append((problem.name, start[0], solution.sentence))
    assert not wrong
    assert not missed, "a right end was called wrong"
    assert solved >= SOLVED[name]


def _of(problem: Problem, solution: Solution) -> tuple[Array, Array]:
    r = problem.at(solution.params)
    return r.v, r.d


@pytest.mark.slow
def test_as_many_are_solved_as_by_scipy() -> None:
    with np.errstate(all="ignore"):
        theirs = sum(problem.solved(_by_scipy(problem, start)) for problem, start in far_starts())
    assert SOLVED["levenberg-marquardt"] >= theirs
    assert SOLVED["lbfgs"] >= theirs
    assert SOLVED["newton"] >= theirs
    assert SOLVED["newton-cg"] >= theirs


def _by_scipy(problem: Problem, start: Array) -> float:
    tight: dict[str, Any] = {"ftol": 1e-15, "xtol": 1e-15, "gtol": 1e-15, "max_nfev": 1000}
    try:
        found = least_squares(
            lambda x: problem.at(x).v, start, jac=lambda x: problem.at(x).d, method="lm", x_scale=1.0, **tight
        )
    except ValueError:  # not finite at the start
        return float("nan")
    return float(found.cost)


def test_the_problems_have_their_derivatives() -> None:
    rng = np.random.default_rng(0)
    for problem in PROBLEMS:
        x = np.array(problem.start)
        x += 0.01 * rng.normal(size=x.size) * np.maximum(1.0, np.abs(x))
        r, h = problem.at(x, second=True), 1e-6 * np.maximum(np.abs(x), 0.01)
        assert r.h is not None
        sides = [(problem.at(x + d), problem.at(x - d), 2.0 * d.max()) for d in np.diag(h)]
        J = np.stack([(up.v - down.v) / width for up, down, width in sides], axis=1)
        H = np.stack([(up.d - down.d) / width for up, down, width in sides], axis=2)
        np.testing.assert_allclose(r.d, J, rtol=1e-5, atol=2e-5 * np.abs(r.d).max())
        np.testing.assert_allclose(r.h, H, rtol=1e-5, atol=1e-6 * np.abs(r.h).max() + 1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("name", SOLVERS)
def test_no_set_of_nists_is_falsely_called_solved(name: str) -> None:
    for kind in NONLINEAR:
        for start in starts(kind):
            objective: FormulaObjective = nist(kind, start.size)
            solution = minimize(objective, start, SOLVERS[name][0], max_iter=300)
            if not solution.converged:
                continue
            r = objective.model.f(solution.params, objective.model.x) - objective.model.y
            J = objective.model.jacobian(solution.params, objective.model.x)
            assert solution.gradient_norm <= 1e-12 or in_own_units(r, J) <= 1e-6, (kind, solution.sentence)


class Far(Objective):
    """exp(x) - x times 1e33, from where it is huge: every unit of value and gradient is far from 1."""

    n_params = 1

    def _evaluate(self, params: Array, order: int, gauss_newton: bool) -> Evaluation:
        e = 1e33 * np.exp(params)
        return SecondOrder(float(e[0] - 1e33 * params[0]), e - 1e33, np.diag(e))


def test_newton_moves_at_any_size_of_the_value() -> None:
    solution = minimize(Far(), np.array([40.0]), Newton())
    assert solution.converged
    assert abs(solution.params[0]) < 1e-12


class Kink(Objective):
    """|x| + (x - y)²: at its kink no gradient is small, and no step lowers it."""

    n_params = 2

    def _evaluate(self, params: Array, order: int, gauss_newton: bool) -> Evaluation:
        x, y = params
        g = np.array([np.sign(x) + 2.0 * (x - y), -2.0 * (x - y)])
        return SecondOrder(float(abs(x) + (x - y) ** 2), g, np.array([[2.0, -2.0], [-2.0, 2.0]]))


def test_lbfgs_gives_up_where_nothing_moves_any_more() -> None:
    solution = minimize(Kink(), np.array([1.0, 3.0]), LBFGS())
    assert not solution.converged
    assert sum(solution.counts.values()) < 5000


def test_a_saddle_that_plain_newton_runs_into_is_not_called_an_end() -> None:
    solution = minimize(Saddle(), np.array([0.5, 0.0]), Newton(damped=False))
    assert not solution.converged
    assert abs(solution.params).max() == 0.0


def test_a_minimum_without_curvature_is_an_end() -> None:
    (problem,) = (p for p in PROBLEMS if p.name == "Powell singular")
    assert minimize(problem.objective(), np.array(problem.start), Newton()).status is Status.CONVERGED


# --- columns of any scale and far from zero ---


def rows(n: int, seed: int = 0) -> tuple[Array, Array, NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    z = X @ [1.0, -0.5, 0.25, 0.0]
    return X, z + rng.normal(size=n), (z + rng.logistic(size=n) > 0.0).astype(np.int64)


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["auto", "newton", "lbfgs", "newton-cg", "levenberg-marquardt"])
@pytest.mark.parametrize("n", [60, 30_000])
def test_no_scale_of_columns_moves_the_end(solver: str, n: int) -> None:
    X, y, c = rows(n)
    for of, t in ((PerceptronClassifier, c), (PerceptronRegressor, y)):
        lowest = of(solver="newton").fit(X, t).certificate_.value
        for scales in ([1e15, 1.0, 1e-7, 30.0], [1e20] * 4, [1e-20] * 4, [1e-12, 1e12, 1e6, 1e-20]):
            model = of(solver=solver).fit(X * scales, t)
            assert model.solution_.converged, (scales, model.solution_.sentence)
            assert model.certificate_.value <= lowest * (1.0 + 1e-9), scales
            assert model.certificate_.verify(X * scales, t), scales


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["auto", "newton", "lbfgs", "newton-cg", "levenberg-marquardt"])
@pytest.mark.parametrize("offset", [1e3, 1e6, 1e8, 1e9])
def test_no_offset_of_columns_moves_the_end(solver: str, offset: float) -> None:
    X, y, c = rows(2000)
    far = X + offset
    near = far - offset  # the same numbers, exactly
    for of, t in ((PerceptronClassifier, c), (PerceptronRegressor, y)):
        lowest = of(solver="newton").fit(near, t).certificate_.value
        model = of(solver=solver).fit(far, t)
        assert model.solution_.converged, model.solution_.sentence
        assert model.certificate_.value <= lowest * (1.0 + 1e-9)
        assert model.certificate_.verify(far, t)


def test_time_stamps_in_nanoseconds() -> None:
    """A year of them beside ordinary columns, with so many rows that L-BFGS is chosen."""
    rng = np.random.default_rng(0)
    t, a = rng.uniform(0.0, 1.0, 60_000), rng.normal(size=(60_000, 9))
    c = (3.0 * t - 1.5 + a[:, 0] + rng.logistic(size=len(t)) > 0.0).astype(int)
    X = np.column_stack([1.7e18 + t * 3.15e16, a])
    model = PerceptronClassifier().fit(X, c)
    assert model.solution_.solver.name == "lbfgs"
    reference = PerceptronClassifier(solver="newton").fit(np.column_stack([t, a]), c)
    assert model.solution_.converged
    np.testing.assert_allclose(model.predict_proba(X), reference.predict_proba(np.column_stack([t, a])), atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_the_common_shift_of_classes_is_no_descent_without_end(seed: int) -> None:
    """A penalty beside which one column is tiny: rounding alone is left of the gradient along the shift of all
    intercepts, which no row sees."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(60, 2))
    c = np.argmax(np.outer(X[:, 0], [0.0, 1.0, -1.0]) + rng.gumbel(size=(60, 3)), axis=1)
    model = PerceptronClassifier(alpha=1e27, solver="newton").fit(X * [1e13, 1e-12], c)
    assert model.solution_.converged, model.solution_.sentence


def test_what_rounding_may_have_gained_is_judged_by_gradients() -> None:
    objective = Saddle()
    at = State(np.zeros(2), 1.0, np.zeros(2))
    assert sufficient_decrease(objective, at, predicted=1e-3, trial_value=1.0 - 1e-3)
    assert sufficient_decrease(objective, at, predicted=1e-20, trial_value=1.0 - 1e-3)
    assert sufficient_decrease(objective, at, predicted=1e-12, trial_value=1.0 - 1e-12)
    assert sufficient_decrease(objective, at, predicted=1e-20, trial_value=1.0 - 1e-12) is None


@pytest.mark.parametrize("solver", ["auto", "newton", "levenberg-marquardt"])
@pytest.mark.parametrize("seed", range(4))
def test_a_slight_penalty_on_the_common_shift_of_classes_amplifies_no_rounding(solver: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(80, 3))
    c = np.argmax(np.outer(X[:, 0], [0.0, 1.0, -1.0]) + rng.gumbel(size=(80, 3)), axis=1)
    units = np.array([1e13, 1e8, 1e7])
    model = PerceptronClassifier(solver=solver, alpha=1.0).fit(X * units, c)
    assert model.solution_.converged, model.solution_.sentence
    assert model.solution_.n_iter < 30
    assert model.certificate_.value == pytest.approx(PerceptronClassifier().fit(X, c).certificate_.value, rel=1e-11)
