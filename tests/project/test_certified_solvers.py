"""The solvers against NIST's certified values and exact logistic regressions."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from support.certified import (
    LINEAR,
    NONLINEAR,
    certified,
    exact_least_squares,
    linear_set,
    logistic_set,
    lre,
    needs_shared,
    starts,
)
from support.problems import nist

from newtron import LevenbergMarquardt, PerceptronClassifier, PerceptronRegressor, minimize
from newtron.engine.solvers import Status

# Digits that every coefficient must have. The powers of Filip's x, rounded to doubles, leave 7.6 digits of the
# certified solution to any solver, and those of Wampler2 13.2.
DIGITS = {"Norris": 13.0, "NoInt1": 13.0, "Wampler1": 13.0, "Wampler2": 13.0, "Wampler3": 12.0, "Filip": 7.0}


@pytest.mark.parametrize("name", LINEAR)
def test_least_squares_has_nists_digits(name: str) -> None:
    X, y, exact, intercept = linear_set(name)
    model = PerceptronRegressor(fit_intercept=intercept).fit(X, y)
    found = [model.intercept_, *model.coef_] if intercept else list(model.coef_)
    assert lre(found, exact) >= DIGITS[name]
    # Against the exact solution of the very doubles that were given, nothing but the last digits may be lost.
    assert lre(found, exact_least_squares(X, y, intercept)) >= 14.0
    assert model.solution_.converged


@pytest.mark.slow
def test_levenberg_marquardt_solves_all_of_nists_nonlinear_sets() -> None:
    digits = {}
    for name in NONLINEAR:
        for number, start in enumerate(starts(name), start=1):
            solution = minimize(nist(name, start.size), start, LevenbergMarquardt())
            digits[name, number] = lre(solution.params, certified(name)[0], 11)
            assert solution.converged, (name, number, solution.sentence)
    assert len(digits) == 26
    assert min(digits.values()) > 4.0
    assert np.mean(list(digits.values())) > 9.4


@pytest.mark.slow
@needs_shared
@pytest.mark.parametrize("name", ["spector", "stata_lbw_glm", "ucla_binary"])
def test_logistic_regressions_are_exact(name: str) -> None:
    X, y, _, reference = logistic_set(name)
    found = {}
    for solver in ("newton", "newton-cg", "lbfgs", "levenberg-marquardt", "auto"):
        model = PerceptronClassifier(solver=solver).fit(X, y)
        found[solver] = np.append(model.coef_[0], model.intercept_)
        assert model.solution_.converged
        assert lre(found[solver], reference["coef"]) >= 10.0, solver
        np.testing.assert_allclose(found[solver], found["newton"], rtol=1e-10)


@pytest.mark.slow
@needs_shared
@pytest.mark.parametrize("solver", ["newton", "newton-cg", "lbfgs", "levenberg-marquardt"])
def test_quasi_separation_is_reported_and_not_called_converged(solver: str) -> None:
    X, y, _, _ = logistic_set("endometrial")
    with pytest.warns(ConvergenceWarning, match="alpha"):
        model = PerceptronClassifier(solver=solver).fit(X, y)
    assert model.solution_.status is Status.UNBOUNDED
    assert not model.solution_.converged
    # The other coefficients are at their finite optimum all the same (published: brglm2).
    np.testing.assert_allclose(model.coef_[0][1:], [-0.04218, -2.90261], atol=1e-5)
