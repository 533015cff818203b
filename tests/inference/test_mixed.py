"""Mixed models: against R's lme4, dense likelihoods and differences."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from newtron import InputError
from newtron.inference.mixed import grouping as grouping_module
from newtron.inference.mixed.cells import CellSums, LevelCells
from newtron.inference.mixed.fit import MixedFit, fit_laplace, fit_linear
from newtron.inference.mixed.grouping import Factored, Grouping
from newtron.inference.mixed.laplace import LaplaceMixed, MixedLoss
from newtron.inference.mixed.linear import LinearMixed

Array = NDArray[np.floating]
FOLDER, EXAMPLES = Path(__file__).parents[1] / "data" / "mixed", Path(__file__).parents[2] / "examples"


def table(name: str) -> dict[str, NDArray[np.str_]]:
    with open((EXAMPLES if name == "sleepstudy" else FOLDER) / f"{name}.csv", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    return {column: np.array(cells) for column, cells in zip(head, zip(*rows, strict=True), strict=True)}


def known(name: str, method: str) -> dict[tuple[str, str], float]:
    """What lme4 estimates, by quantity and name."""
    found = table("lme4")
    return {
        (str(quantity), str(of)): float(value)
        for set_name, by, quantity, of, value in zip(*found.values(), strict=True)
        if (set_name, by) == (name, method)
    }


@dataclass
class Problem:
    """X with names of its columns, y, weights and the grouping columns of a data set."""

    X: Array
    names: list[str]
    y: Array
    weight: Array
    groups: dict[str, NDArray[np.str_]]

    @property
    def codes(self) -> list[NDArray[np.intp]]:
        return [np.unique(column, return_inverse=True)[1] for column in self.groups.values()]

    @property
    def sizes(self) -> list[int]:
        return [len(np.unique(column)) for column in self.groups.values()]


def linear_problem(name: str) -> Problem:
    file, target, inputs, groups = {
        "dyestuff": ("dyestuff", "Yield", [], ["Batch"]),
        "dyestuff2": ("dyestuff2", "Yield", [], ["Batch"]),
        "penicillin": ("penicillin", "diameter", [], ["plate", "sample"]),
        "pastes": ("pastes", "strength", [], ["batch", "sample"]),
        "sleepstudy": ("sleepstudy", "Reaction", ["Days"], ["Subject"]),
        "sleepstudy weighted": ("sleepstudy", "Reaction", ["Days"], ["Subject"]),
    }[name]
    cells = table(file)
    n = len(cells[target])
    X = np.column_stack([np.ones(n), *(cells[column].astype(float) for column in inputs)])
    weight = 1.0 + np.arange(n) % 3 if "weighted" in name else np.ones(n)
    return Problem(X, ["(Intercept)", *inputs], cells[target].astype(float), weight, {g: cells[g] for g in groups})


def general_problem(name: str) -> tuple[Problem, MixedLoss, Array]:
    cells = table(name)
    if name == "cbpp":
        n = len(cells["herd"])
        X = np.column_stack([np.ones(n), *(cells["period"] == period for period in "234")]).astype(float)
        sick = cells["incidence"].astype(float)
        X, y = np.vstack([X, X]), np.repeat([1.0, 0.0], n)
        weight = np.concatenate([sick, cells["size"].astype(float) - sick])
        herd, some = np.tile(cells["herd"], 2), weight > 0.0
        names = ["(Intercept)", "period2", "period3", "period4"]
        problem, loss = Problem(X[some], names, y[some], weight[some], {"herd": herd[some]}), "log_loss"
    elif name == "contraception":
        decades, urban, children = (cells[column].astype(float) for column in ("decades", "urban", "children"))
        X = np.column_stack([np.ones(len(decades)), decades, decades**2, urban, children])
        names = ["(Intercept)", "decades", "I(decades^2)", "urban", "children"]
        use = cells["use"].astype(float)
        problem, loss = Problem(X, names, use, np.ones(len(X)), {"district": cells["district"]}), "log_loss"
    else:
        height = (cells["HEIGHT"].astype(float) - 462.0) / 100.0
        X = np.column_stack([np.ones(len(height)), cells["YEAR"] == "96", cells["YEAR"] == "97", height])
        groups = {"BROOD": cells["BROOD"], "LOCATION": cells["LOCATION"]}
        names = ["(Intercept)", "YEAR96", "YEAR97", "height"]
        problem, loss = Problem(X, names, cells["TICKS"].astype(float), np.ones(len(X)), groups), "poisson"
    return problem, "poisson" if loss == "poisson" else "log_loss", without_intercepts(problem, loss)


def without_intercepts(problem: Problem, loss: str) -> Array:
    beta = np.zeros(problem.X.shape[1])
    for _ in range(30):
        z = problem.X @ beta
        mean = np.exp(z) if loss == "poisson" else 1.0 / (1.0 + np.exp(-z))
        variance = problem.weight * (mean if loss == "poisson" else mean * (1.0 - mean))
        gradient = problem.X.T @ (problem.weight * (problem.y - mean))
        beta = beta + np.linalg.solve(problem.X.T @ (problem.X * variance[:, None]), gradient)
    return beta


def check(problem: Problem, found: MixedFit, expected: dict[tuple[str, str], float], digits: float) -> None:
    errors = np.sqrt(np.diagonal(found.covariance))
    for name, estimate, error in zip(problem.names, found.coefficients, errors, strict=True):
        assert estimate == pytest.approx(expected["estimate", name], rel=1e-6)
        assert error == pytest.approx(expected["error", name], rel=digits)
    for (name, column), deviation, modes, variances in zip(
        problem.groups.items(), found.deviations, found.modes, found.variances, strict=True
    ):
        assert deviation == pytest.approx(expected["sd", name], rel=1e-6)
        level, mode = next((of, v) for (quantity, of), v in expected.items() if quantity == f"mode of {name}")
        place = np.unique(column).tolist().index(level)
        assert modes[place] == pytest.approx(mode, rel=1e-6)
        assert np.sqrt(variances[place]) == pytest.approx(expected[f"mode error of {name}", level], rel=1e-6)


# --- against lme4 ---


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("name", ["dyestuff", "dyestuff2", "penicillin", "pastes", "sleepstudy", "sleepstudy weighted"])
def test_linear_models_are_those_of_lme4(name: str, method: str) -> None:
    problem, expected = linear_problem(name), known(name, method)
    X, y, weight, n = problem.X, problem.y, problem.weight, len(problem.y)
    logs = float(np.log(weight).sum())
    found = fit_linear(X, y, weight, problem.codes, problem.sizes, counted=n, log_weights=logs, reml=method == "reml")
    assert found.minimum.converged
    check(problem, found, expected, 1e-6)
    assert found.residual == pytest.approx(expected["sd", "Residual"], rel=1e-6)
    assert found.log_likelihood == pytest.approx(expected["log_likelihood", ""], abs=1e-9)
    assert found.likelihood.aic == pytest.approx(expected["aic", ""])


@pytest.mark.parametrize("name", ["cbpp", "contraception", "grouseticks"])
def test_classes_and_counts_are_those_of_glmer(name: str) -> None:
    problem, loss, start = general_problem(name)
    found = fit_laplace(problem.X, problem.y, problem.weight, problem.codes, problem.sizes, loss, start=start)
    assert found.minimum.converged
    # glmer makes its Hessian of differences of the deviance, which leaves it four digits or five.
    check(problem, found, known(name, "ml"), 5e-5)
    constants = {"cbpp": None, "contraception": 0.0, "grouseticks": -_log_factorials(problem.y)}[name]
    if constants is not None:
        expected = known(name, "ml")["log_likelihood", ""]
        assert found.log_likelihood + constants == pytest.approx(expected, abs=1e-7)


def _log_factorials(y: Array) -> float:
    from math import lgamma

    return sum(lgamma(value + 1.0) for value in y)


def test_published_digits() -> None:
    """Bates et al. 2015 and the manual of lme4 have Dyestuff's 42.00, 49.51, 1527.5 and 19.38."""
    problem = linear_problem("dyestuff")
    n = len(problem.y)
    found = fit_linear(problem.X, problem.y, problem.weight, problem.codes, problem.sizes, counted=n)
    told = [found.deviations[0], found.residual, found.coefficients[0], found.covariance[0, 0] ** 0.5]
    assert [f"{value:.2f}" for value in told] == ["42.00", "49.51", "1527.50", "19.38"]
    assert -2.0 * found.log_likelihood == pytest.approx(319.6543, abs=5e-5)


# --- rows that are added up to cells ---


def cells_of(problem: Problem, sizes: Sequence[int], most: int | None = None) -> LevelCells:
    """Those of the rows, which come in pieces of these sizes, with rows of weight 0 among them."""
    n = len(problem.y)
    groups = np.column_stack([*problem.codes]) * 0.5
    values = np.column_stack([problem.X, problem.y])
    idle = np.full((n, values.shape[1]), 1e9)
    total: CellSums | None = None
    for start, stop in pairwise(np.cumsum([0, *sizes]).tolist()):
        rows = slice(start, stop)
        weight = np.concatenate([problem.weight[rows], np.zeros(stop - start)])
        part = LevelCells.of(np.tile(groups[rows], (2, 1)), weight, np.vstack([values[rows], idle[rows]]))
        added = CellSums(part, most)
        if total is None:
            total = added
        else:
            total += added
    assert total is not None
    return total.total


def fitted_to_cells(cells: LevelCells, **settings: Any) -> MixedFit:
    sizes = [len(own) for own in cells.keys]
    X, y = cells.means[:, :-1], cells.means[:, -1]
    return fit_linear(X, y, cells.weight, cells.codes, sizes, within=cells.within, **settings)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("name", ["nested", "penicillin", "pastes", "sleepstudy weighted"])
def test_cells_determine_the_fit_as_their_rows_do(name: str, reml: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = nested() if name == "nested" else linear_problem(name)
    n, logs = len(problem.y), float(np.log(problem.weight).sum())
    expected = fit_linear(
        problem.X, problem.y, problem.weight, problem.codes, problem.sizes, counted=n, log_weights=logs, reml=reml
    )
    if reml:  # numbers of levels whose product could overflow
        monkeypatch.setattr("newtron.inference.mixed.cells._LARGEST", 10)
    cells = cells_of(problem, [5, 0, 20, 1, n - 26])
    assert cells.rows == n
    assert cells.logs == pytest.approx(logs, rel=1e-12)
    assert len(cells.weight) == len(np.unique(np.column_stack(problem.codes), axis=0))
    found = fitted_to_cells(cells, counted=n, log_weights=logs, reml=reml)
    np.testing.assert_allclose(found.coefficients, expected.coefficients, rtol=1e-10)
    np.testing.assert_allclose(found.covariance, expected.covariance, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.deviations, expected.deviations, rtol=1e-9, atol=1e-12)
    assert found.residual == pytest.approx(expected.residual, rel=1e-10)
    assert found.log_likelihood == pytest.approx(expected.log_likelihood, rel=1e-12)
    np.testing.assert_allclose(found.likelihood.without, expected.likelihood.without, rtol=1e-12)
    for one, other in zip((*found.modes, *found.variances), (*expected.modes, *expected.variances), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-10)


def test_cells_keep_the_digits_of_a_small_noise() -> None:
    """Squares of the rows themselves have 1e13 times that of the noise."""
    rng = np.random.default_rng(5)
    level = np.repeat(np.arange(50), 8)
    y = 1e4 * rng.normal(size=50)[level] + 1e-2 * rng.normal(size=400) + 1e5
    order = rng.permutation(400)
    groups = {"level": level[order].astype(str)}
    cells = cells_of(Problem(np.ones((400, 1)), ["(Intercept)"], y[order], np.ones(400), groups), [40] * 10)
    within = float(np.square(y.reshape(50, 8) - y.reshape(50, 8).mean(axis=1)[:, None]).sum()) / (400 - 50)
    found = fitted_to_cells(cells, counted=400)
    assert found.residual**2 == pytest.approx(within, rel=1e-6)


def test_more_cells_than_memory_may_hold_are_refused() -> None:
    problem = nested()
    assert len(cells_of(problem, [60, 60], 10_000).weight) > 40
    with pytest.raises(
        InputError, match=r"at least \d+ different combinations of the levels .* takes more than 2kB: give more"
    ):
        cells_of(problem, [60, 60], 2_000)


# --- against dense matrices ---


def nested(n: int = 120) -> Problem:
    """Pupils in classes in schools in towns, with a column crossed with them, and weights."""
    rng = np.random.default_rng(4)
    leaf = rng.integers(0, 24, n)
    day = rng.integers(0, 3, n)
    X = np.column_stack([np.ones(n), rng.normal(size=n), leaf % 2])
    y = rng.normal(size=n) + rng.normal(size=24)[leaf] + rng.normal(size=8)[leaf // 3]
    names = {"class": leaf, "school": leaf // 3, "town": leaf // 6, "day": day}
    groups = {name: np.array([f"{code:02d}" for code in codes]) for name, codes in names.items()}
    return Problem(X, ["(Intercept)", "x", "odd"], y, rng.uniform(0.5, 2.0, n), groups)


COLUMNS: list[list[int]] = [[0], [0, 1], [1, 0, 2], [0, 3], [3, 2, 1, 0]]


def dense(problem: Problem, columns: Sequence[int]) -> list[Array]:
    return [np.eye(problem.sizes[g])[problem.codes[g]] for g in columns]


def grouping_of(problem: Problem, columns: Sequence[int]) -> Grouping:
    return Grouping([problem.codes[g] for g in columns], [problem.sizes[g] for g in columns])


@pytest.mark.parametrize("columns", COLUMNS, ids=str)
def test_the_sparse_algebra_is_that_of_dense_matrices(columns: list[int]) -> None:
    problem, rng = nested(), np.random.default_rng(1)
    grouping = grouping_of(problem, columns)
    Z = dense(problem, [columns[g] for g in grouping.order])
    theta = rng.uniform(0.3, 2.0, len(columns))
    theta[-1] = 0.0 if len(columns) == 3 else theta[-1]
    factored = Factored.of(grouping, theta, problem.weight)
    ZL = np.hstack([z * t for z, t in zip(Z, theta, strict=True)])
    A = np.eye(ZL.shape[1]) + ZL.T @ (problem.weight[:, None] * ZL)
    inverse, L = np.linalg.inv(A), grouping.sizes[0]
    assert factored.log_determinant == pytest.approx(np.linalg.slogdet(A)[1], rel=1e-12)
    b = rng.normal(size=(len(A), 2))
    np.testing.assert_allclose(np.vstack(factored.solve(b[:L], b[L:])), inverse @ b, atol=1e-12)
    np.testing.assert_allclose(np.concatenate(factored.diagonals), np.diagonal(inverse), atol=1e-12)
    np.testing.assert_allclose(factored.row_leverages(), ((ZL @ inverse) * ZL).sum(axis=1), atol=1e-12)
    V = np.diag(1.0 / problem.weight) + ZL @ ZL.T
    np.testing.assert_allclose(factored.traces, [np.trace(z.T @ np.linalg.solve(V, z)) for z in Z], rtol=1e-11)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("columns", COLUMNS, ids=str)
def test_the_deviance_and_its_gradient_are_those_of_dense_matrices(columns: list[int], reml: bool) -> None:
    problem, rng = nested(), np.random.default_rng(2)
    X, y, n, logs = problem.X, problem.y, len(problem.y), float(np.log(problem.weight).sum())
    grouping = grouping_of(problem, columns)
    model = LinearMixed(X, y, problem.weight, grouping, counted=n, log_weights=logs, reml=reml)
    Z = dense(problem, [columns[g] for g in grouping.order])

    def deviance(variances: Array) -> float:
        V = np.diag(1.0 / problem.weight) + sum(v * z @ z.T for v, z in zip(variances, Z, strict=True))
        inner = X.T @ np.linalg.solve(V, X)
        left = y - X @ np.linalg.solve(inner, X.T @ np.linalg.solve(V, y))
        freedom = n - X.shape[1] if reml else n
        squares = float(left @ np.linalg.solve(V, left))
        of_fixed = np.linalg.slogdet(inner)[1] if reml else 0.0
        return float(np.linalg.slogdet(V)[1] + of_fixed + freedom * (1.0 + np.log(2.0 * np.pi * squares / freedom)))

    theta = rng.uniform(0.3, 2.0, len(columns))
    found = model.slope(theta, np.zeros(0))
    assert found.deviance == pytest.approx(deviance(theta**2), rel=1e-12)
    np.testing.assert_allclose(found.by_variance, differences(deviance, theta**2), rtol=1e-6, atol=1e-6)
    theta[-1] = 0.0
    at_zero = model.slope(theta, np.zeros(0)).by_variance
    np.testing.assert_allclose(at_zero, differences(deviance, theta**2), rtol=1e-6, atol=1e-6)


def differences(f: Callable[[Array], float], at: Array, step: float = 1e-4) -> Array:
    steps = step * np.eye(len(at))
    return np.array([(8.0 * (f(at + s) - f(at - s)) - f(at + 2 * s) + f(at - 2 * s)) / (12.0 * step) for s in steps])


@pytest.mark.parametrize("loss", ["log_loss", "poisson"])
@pytest.mark.parametrize("columns", [[0], [0, 3], [1, 0, 2]], ids=str)
def test_the_gradient_of_laplaces_deviance_is_exact(columns: list[int], loss: MixedLoss) -> None:
    problem, rng = nested(), np.random.default_rng(3)
    y = rng.poisson(2.0, len(problem.y)).astype(float) if loss == "poisson" else (problem.y > 0.0).astype(float)
    model = LaplaceMixed(problem.X, y, problem.weight, grouping_of(problem, columns), loss)
    theta, gamma = rng.uniform(0.4, 1.0, len(columns)), rng.normal(size=3)
    found, G = model.slope(theta, gamma), len(columns)

    def deviance(at: Array) -> float:
        return model.slope(np.sqrt(at[:G]), at[G:]).deviance

    expected = differences(deviance, np.concatenate([theta**2, gamma]), 1e-3)
    np.testing.assert_allclose(np.concatenate([found.by_variance, found.by_others]), expected, rtol=1e-6, atol=1e-7)


def test_laplaces_deviance_is_that_of_a_general_minimiser() -> None:
    from scipy.optimize import minimize

    problem = nested(60)
    y = (problem.y > 0.0).astype(float)
    model = LaplaceMixed(problem.X, y, problem.weight, grouping_of(problem, [1, 3]), "log_loss")
    theta, gamma = np.array([0.8, 0.5]), np.array([0.3, 1.0, -0.5])
    Z = np.hstack([z * t for z, t in zip(dense(problem, [1, 3]), theta, strict=True)])
    fixed = model.Q @ gamma

    def penalised(u: Array) -> tuple[float, Array]:
        z = fixed + Z @ u
        losses = problem.weight @ (np.logaddexp(0.0, z) - y * z)
        return float(losses + 0.5 * u @ u), Z.T @ (problem.weight * (1.0 / (1.0 + np.exp(-z)) - y)) + u

    u = minimize(penalised, np.zeros(Z.shape[1]), jac=True, method="BFGS", options={"gtol": 1e-9}).x
    p = 1.0 / (1.0 + np.exp(-(fixed + Z @ u)))
    A = np.eye(len(u)) + Z.T @ ((problem.weight * p * (1.0 - p))[:, None] * Z)
    expected = 2.0 * penalised(u)[0] + np.linalg.slogdet(A)[1]
    assert model.slope(theta, gamma).deviance == pytest.approx(expected, rel=1e-10)


# --- ends ---


def test_a_variance_of_zero_is_found_and_its_slope_is_kept() -> None:
    problem = linear_problem("dyestuff2")
    n = len(problem.y)
    found = fit_linear(problem.X, problem.y, problem.weight, problem.codes, problem.sizes, counted=n)
    assert found.deviations.tolist() == [0.0]
    assert found.minimum.boundary[0] > 0.0
    assert found.minimum.converged
    assert found.log_likelihood == found.likelihood.without[0]


def test_one_of_several_variances_is_zero() -> None:
    """Intercepts of levels that were drawn at random beside a column without any effect."""
    rng = np.random.default_rng(0)
    level, idle = rng.integers(0, 20, 400), rng.integers(0, 30, 400)
    y = rng.normal(size=20)[level] + rng.normal(size=400)
    found = fit_linear(np.ones((400, 1)), y, np.ones(400), [level, idle], [20, 30], counted=400)
    assert found.minimum.converged
    assert found.deviations[0] > 0.5
    assert (found.deviations[1] == 0.0) == (found.minimum.boundary[0] >= 0.0)
    assert found.log_likelihood >= found.likelihood.without.max() - 1e-9


def test_intercepts_that_differ_by_far_more_than_the_noise_keep_their_digits() -> None:
    """For balanced groups the estimates are mean squares: σ² within, and (between - within) / m."""
    rng = np.random.default_rng(5)
    level = np.repeat(np.arange(50), 8)
    y = 1e4 * rng.normal(size=50)[level] + 1e-2 * rng.normal(size=400) + 1e5
    found = fit_linear(np.ones((400, 1)), y, np.ones(400), [level], [50], counted=400)
    means = y.reshape(50, 8).mean(axis=1)
    within = float(np.square(y.reshape(50, 8) - means[:, None]).sum()) / (400 - 50)
    between = 8.0 * float(means.var(ddof=1))
    assert found.residual**2 == pytest.approx(within, rel=1e-6)
    assert found.deviations[0] ** 2 == pytest.approx((between - within) / 8.0, rel=1e-6)


def test_more_levels_that_cross_than_a_dense_matrix_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouping_module, "MOST_LEVELS", 5)
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="leave out the one with the second most levels"):
        Grouping([rng.integers(0, 9, 100), rng.integers(0, 6, 100)], [9, 6])
