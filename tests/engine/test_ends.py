"""How a training may end where a careless one would say "converged": each case was once, or nearly, told wrongly."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from support.models import change, change_member
from support.problems import logistic

from newtron import (
    InputError,
    NetworkClassifier,
    NetworkRegressor,
    Newton,
    PerceptronClassifier,
    PerceptronRegressor,
    Stochastic,
    minimize,
)
from newtron.engine.objective import Evaluation, Objective, SecondOrder
from newtron.engine.solvers import Progress, Status
from newtron.study.ends import ending, sentences

Array = NDArray[np.floating]


def quietly(model: Any, X: Any, y: Any, **fit: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y, **fit)


def test_a_coefficient_in_the_last_digits_of_a_column_is_not_dropped() -> None:
    rng = np.random.default_rng(0)
    x = 1.7e15 + rng.integers(0, 100_000, 100_000)  # microseconds since 1970
    y = 1e-4 * (x - 1.7e15) + 0.1 * rng.normal(size=len(x))
    model = PerceptronRegressor().fit(x[:, None], y)
    assert model.coef_[0] == pytest.approx(1e-4, rel=1e-3)
    assert model.score(x[:, None], y) > 0.99


def test_dependent_columns_are_told() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100_000, 2))
    model = PerceptronRegressor().fit(np.column_stack([X, X.sum(axis=1)]), X[:, 0])
    assert "Only 3 of 4 columns" in model.solution_.note
    assert model.score(np.column_stack([X, X.sum(axis=1)]), X[:, 0]) > 1.0 - 1e-12


def _quasi_separated(n: int = 200) -> tuple[Array, NDArray[np.int64]]:
    """Rows with x0 = 1 are all of class 1; the others overlap."""
    rng = np.random.default_rng(1)
    X = np.column_stack([rng.integers(0, 2, n), rng.normal(size=n)])
    y = (X[:, 1] + rng.normal(size=n) > 0).astype(int)
    y[X[:, 0] == 1] = 1
    return X, y


@pytest.mark.slow
@pytest.mark.parametrize("tol", [1e-3, 1e-4, 1e-5, 1e-8, 1e-12])
@pytest.mark.parametrize("solver", ["newton", "newton-cg", "lbfgs", "levenberg-marquardt"])
def test_quasi_separation_is_found_at_any_tolerance(solver: str, tol: float) -> None:
    model = quietly(PerceptronClassifier(solver=solver, tol=tol), *_quasi_separated())
    assert model.solution_.status is Status.UNBOUNDED
    overlapping = PerceptronClassifier(solver=solver, tol=tol).fit(_quasi_separated()[0][:, 1:], _quasi_separated()[1])
    assert overlapping.solution_.converged


def test_quasi_separation_is_found_among_thousands_of_columns() -> None:
    X, y = _quasi_separated(400)
    rare = sparse.random(400, 2100, density=1e-3, format="csr", random_state=2)
    model = quietly(PerceptronClassifier(), sparse.hstack([sparse.csr_matrix(X), rare], format="csr"), y)
    assert not model.solution_.converged


@pytest.mark.parametrize("loss", ["log_loss", "squared_error"])
def test_separated_classes_have_no_optimum_in_a_network_or_under_squared_error(loss: str) -> None:
    X = np.linspace(-1.0, 1.0, 40)[:, None]
    y = (X[:, 0] > 0.1).astype(int)
    for model in (
        NetworkClassifier(hidden=(2,), activation="sigmoid", alpha=0, n_starts=1, loss=loss),
        PerceptronClassifier(loss=loss),
    ):
        assert quietly(model, X, y).solution_.status is Status.UNBOUNDED
    assert PerceptronClassifier(loss=loss, alpha=0.1).fit(X, y).solution_.converged


class Cliff(Objective):
    """x² with a gradient that breaks down below ½: a value alone does not make a point good."""

    n_params = 1

    def _evaluate(self, params: Array, order: int, gauss_newton: bool) -> Evaluation:
        broken = np.full(1, np.inf) if abs(params[0]) < 0.5 else 2.0 * params
        return SecondOrder(float(params[0] ** 2), broken, np.array([[2.0]]))


def test_the_last_finite_point_is_kept() -> None:
    solution = minimize(Cliff(), np.array([3.0]), Newton())
    assert solution.status is Status.DIVERGED
    assert abs(solution.params[0]) >= 0.5
    assert np.isfinite(solution.gradient).all()


class Hilltop(Objective):
    """x² - y² + y⁴ at its saddle: no gradient, and a way down."""

    n_params = 2

    def _evaluate(self, params: Array, order: int, gauss_newton: bool) -> Evaluation:
        x, y = params
        return SecondOrder(
            x * x - y * y + y**4, np.array([2 * x, -2 * y + 4 * y**3]), np.diag([2.0, -2.0 + 12.0 * y * y])
        )


def test_newton_does_not_rest_on_a_saddle() -> None:
    solution = minimize(Hilltop(), np.zeros(2), Newton())
    assert solution.value == pytest.approx(-0.25)
    assert solution.converged


def test_an_interrupt_after_the_last_step_does_not_undo_convergence() -> None:
    steps = minimize(logistic(), np.zeros(5), Newton()).n_iter

    def interrupt(progress: Progress) -> None:
        if progress.row.iteration == steps:
            raise KeyboardInterrupt

    assert minimize(logistic(), np.zeros(5), Newton(), callback=interrupt).status is Status.CONVERGED


def test_an_interrupt_keeps_the_members_that_are_finished() -> None:
    def interrupt(progress: Progress) -> None:
        if progress.member == 1 and progress.row.iteration == 1:
            raise KeyboardInterrupt

    X, y = _quasi_separated()
    model = quietly(NetworkClassifier(hidden=(3,), n_starts=3, n_jobs=1, callback=interrupt), X, y)
    assert [m.solution.converged for m in model.members_] == [True, False]
    assert model.members_[1].solution.status is Status.INTERRUPTED


@pytest.mark.slow
def test_members_that_do_not_predict_are_not_counted() -> None:
    """The command line, the certificate and the warning speak of the same members."""
    rng = np.random.default_rng(3)
    X = rng.uniform(-2.0, 2.0, size=(120, 2))
    y = np.sin(2.0 * X[:, 0]) * X[:, 1] + 0.2 * rng.normal(size=120)
    model = NetworkRegressor(n_starts=1).fit(X, y)
    assert [member.hidden for member in model.members_] == [(), (10,), (8, 8), (3,)]
    for number, share in enumerate((0.0, 0.5, 0.25, 0.25)):
        change_member(model, number, share=share)
    assert ending(model.members_) == "4 members, of which 3 predict: 3 converged"
    assert model.certificate_.sentence == "All 3 members that predict, of 4 trained, converged."
    line, first = model.members_[:2]
    unfinished = replace(line.solution, status=Status.MAX_ITER)
    change_member(model, 0, solution=unfinished)  # nobody asks how it ended
    assert ending(model.members_) == "4 members, of which 3 predict: 3 converged"
    assert sentences(model.members_) == [first.solution.sentence]
    change_member(model, 1, solution=unfinished)
    assert ending(model.members_) == "4 members, of which 3 predict: 1 stopped at the iteration limit and 2 converged"
    assert model.certificate_.sentence.startswith("2 of 3 members that predict, of 4 trained, converged. Of the ")
    with pytest.warns(ConvergenceWarning, match="^1 of 3 members that predict: Not converged"):
        model._warn(2)
    change(model, members=model.model_.members[1:])
    assert ending(model.members_) == "3 members: 1 stopped at the iteration limit and 2 converged"
    assert model.certificate_.sentence.startswith("2 of 3 members converged. Of the others:")
    with pytest.warns(ConvergenceWarning, match="^1 of 3 members: Not converged"):
        model._warn(2)


def test_batches_of_rare_weights() -> None:
    rng = np.random.default_rng(3)
    X, weight = rng.normal(size=(2000, 3)), (rng.random(2000) < 0.02).astype(float)
    y = X[:, 0] + 0.1 * rng.normal(size=2000)
    model = quietly(PerceptronRegressor(solver=Stochastic()), X, y, sample_weight=weight)
    assert model.solution_.status is Status.EARLY_STOPPED
    assert np.isfinite(model.coef_).all()
    with pytest.raises(InputError, match="sample_weight"):
        PerceptronRegressor(solver=Stochastic()).fit(X, X[:, 0], sample_weight=np.eye(2000)[0])


def test_weights_that_cancel_are_told() -> None:
    X, y = _quasi_separated()
    with pytest.raises(InputError, match="together are zero"):
        PerceptronClassifier(class_weight={0: 0, 1: 1}).fit(X, y, sample_weight=(y == 0).astype(float))
