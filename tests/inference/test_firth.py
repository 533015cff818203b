"""Firth's likelihood: against reference digits, closed forms and differences; and profile-likelihood intervals."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse
from support.certified import logistic_set, lre, needs_shared

from newtron import InputError, Newton, PerceptronClassifier, load, minimize
from newtron.engine.maths.losses import loss_for
from newtron.engine.maths.network import Network
from newtron.engine.objective import TrainingObjective
from newtron.engine.rows import ArrayRows
from newtron.inference.coefficients import firth
from newtron.inference.coefficients.firth import FirthObjective
from newtron.inference.coefficients.profile import profile_intervals

Array = NDArray[np.floating]


def sample(m: int, n: int = 40, weighted: bool = True) -> FirthObjective:
    """m + 1 classes, three columns of unlike sizes."""
    rng = np.random.default_rng(m)
    X = rng.normal(size=(n, 3)) * [1.0, 10.0, 0.1]
    Y = np.eye(m + 1)[rng.integers(0, m + 1, n)][:, :m]
    return FirthObjective(X, Y, rng.uniform(0.5, 2.0, n) if weighted else None)


# --- derivatives ---


@pytest.mark.parametrize("m", [1, 2, 3])
def test_gradient_and_hessian_agree_with_differences(m: int) -> None:
    objective = sample(m)
    params = np.random.default_rng(9).normal(size=objective.n_params) / objective.scale
    found = objective.evaluate(params, 2)
    steps = 1e-5 * np.diag(1.0 / objective.scale)

    def slope(f: Any, step: Array) -> Any:
        return (8.0 * (f(params + step) - f(params - step)) - f(params + 2 * step) + f(params - 2 * step)) / 12.0

    gradient = np.array([slope(lambda b: objective.evaluate(b, 0).value, step) for step in steps]) / 1e-5
    hessian = np.array([slope(lambda b: objective.evaluate(b, 1).gradient, step) for step in steps]) / 1e-5
    np.testing.assert_allclose(found.gradient / objective.scale, gradient, atol=1e-10)
    scaled = found.hessian / objective.scale / objective.scale[:, None]
    np.testing.assert_allclose(scaled, hessian / objective.scale, atol=1e-10)
    assert found.value == objective.evaluate(params, 0).value


def test_the_score_of_two_classes_is_that_of_heinze_and_schemper() -> None:
    """Σ (y - p + h (½ - p)) x, with h the diagonal of W^½ X (X'WX)^-1 X' W^½."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 2)), rng.integers(0, 2, 30).astype(float)
    b = rng.normal(size=3)
    A = np.column_stack([X, np.ones(30)])
    p = 1.0 / (1.0 + np.exp(-A @ b))
    root = np.sqrt(p * (1.0 - p))[:, None] * A
    h = np.diag(root @ np.linalg.solve(root.T @ root, root.T))
    gradient = FirthObjective(X, y[:, None]).evaluate(b, 1).gradient
    np.testing.assert_allclose(-30.0 * gradient, A.T @ (y - p + h * (0.5 - p)), rtol=1e-10)


@pytest.mark.parametrize("m", [1, 2])
def test_without_the_exact_hessian_the_optimum_is_the_same(m: int, monkeypatch: pytest.MonkeyPatch) -> None:
    objective = sample(m)
    exact = minimize(objective, np.zeros(objective.n_params), Newton())
    monkeypatch.setattr(firth, "_WORK", 0.0)
    assert not objective.exact
    by_information = minimize(objective, np.zeros(objective.n_params), Newton())
    assert exact.converged
    assert by_information.converged
    assert by_information.n_iter > exact.n_iter
    np.testing.assert_allclose(by_information.params, exact.params, rtol=1e-8)


# --- answers that are known ---


@needs_shared
@pytest.mark.parametrize("solver", ["auto", "newton", "newton-cg", "lbfgs", "levenberg-marquardt"])
def test_endometrial_has_the_digits_of_the_reference(solver: str) -> None:
    X, y, names, reference = logistic_set("endometrial")
    fitted = PerceptronClassifier(penalty="firth", solver=solver).fit(X, y)
    assert fitted.solution_.converged
    assert fitted.separation_ is None
    found = np.append(fitted.coef_[0], fitted.intercept_)
    assert lre(found, reference["coef"]) >= 8.0
    objective = FirthObjective(X, y[:, None], names=tuple(names))
    errors = np.sqrt(np.diag(np.linalg.inv(objective.information(found))))
    assert lre(errors, reference["se"]) >= 8.0
    plain, penalised = objective.log_likelihood(found)
    assert plain == pytest.approx(float(reference["loglik_unpenalised"]), rel=1e-10)
    assert penalised == pytest.approx(float(reference["penalised_loglik"]), rel=1e-12)
    assert -79.0 * fitted.solution_.value == pytest.approx(penalised, rel=1e-12)


@needs_shared
def test_the_summary_has_the_standard_errors_of_the_reference() -> None:
    X, y, _, reference = logistic_set("endometrial")
    fitted = PerceptronClassifier(penalty="firth").fit(X, y)
    summary = fitted.summary()
    found = dict(zip(summary.names, summary.standard_errors, strict=True))
    errors = dict(zip(["x1", "x2", "x3", "intercept"], map(float, reference["se"]), strict=True))
    assert set(found) == set(errors)
    assert lre([found[name] for name in errors], list(errors.values())) >= 8.0
    assert summary.log_likelihood == pytest.approx(float(reference["loglik_unpenalised"]), rel=1e-10)
    assert "convex" not in str(fitted.certificate_)
    assert fitted.certificate_.verify(X, y)


@needs_shared
def test_the_units_of_the_columns_do_not_matter() -> None:
    X, y, _, reference = logistic_set("endometrial")
    scale, shift = np.array([1e6, 1e-6, 1.0]), np.array([0.0, 1e3, 1e5])
    for standardize in (False, True):
        fitted = PerceptronClassifier(penalty="firth", standardize=standardize).fit(X * scale + shift, y)
        assert lre(fitted.coef_[0] * scale, reference["coef"][:-1]) >= 8.0


def test_a_two_by_two_table_gets_half_a_row_in_each_cell() -> None:
    """Jeffreys' prior in a saturated model (Firth 1993, section 4.2)."""
    cells = np.array([[7, 0], [3, 9]])  # rows of x = 0 and 1, by class; an empty cell separates
    x = np.repeat([0.0, 0.0, 1.0, 1.0], cells.ravel())[:, None]
    y = np.repeat([0, 1, 0, 1], cells.ravel())
    fitted = PerceptronClassifier(penalty="firth").fit(x, y)
    odds = np.log((cells[:, 1] + 0.5) / (cells[:, 0] + 0.5))
    np.testing.assert_allclose([fitted.intercept_[0], fitted.coef_[0, 0]], [odds[0], odds[1] - odds[0]], rtol=1e-12)
    # A weight of 2 is the row twice.
    kept, counts = np.unique(np.column_stack([x, y]), axis=0, return_counts=True)
    weighted = PerceptronClassifier(penalty="firth").fit(kept[:, :1], kept[:, 1], sample_weight=counts)
    np.testing.assert_allclose(weighted.coef_, fitted.coef_, rtol=1e-12)


def test_classes_alone_get_half_a_row_each() -> None:
    """Of K classes without columns: p = (n_k + ½) / (n + K/2), which is Jeffreys' prior for their shares."""
    counts = np.array([5, 0, 11])
    Y = np.eye(3)[np.repeat([0, 1, 2], counts)][:, :2]
    objective = FirthObjective(np.zeros((16, 0)), Y)
    params = minimize(objective, np.zeros(2), Newton()).params
    shares = (counts + 0.5) / 17.5
    np.testing.assert_allclose(params, np.log(shares[:2] / shares[2]), rtol=1e-12)


def test_no_class_is_special_and_separated_ones_have_finite_coefficients() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    y = np.digitize(X[:, 0], [-0.5, 0.5])
    fitted = PerceptronClassifier(penalty="firth").fit(X, y)
    turned = PerceptronClassifier(penalty="firth").fit(X, (y + 1) % 3)
    assert fitted.solution_.converged
    np.testing.assert_allclose(turned.coef_, fitted.coef_[[2, 0, 1]], rtol=1e-8)
    np.testing.assert_allclose(fitted.coef_.sum(axis=0), 0.0, atol=1e-12)
    assert fitted.predict_proba(X).shape == (60, 3)
    crossed = PerceptronClassifier(penalty="firth").fit(sparse.csr_matrix(X), y)
    np.testing.assert_allclose(crossed.coef_, fitted.coef_, rtol=1e-8)


# --- profile-likelihood intervals ---

# tests/data/r/reference.R writes it: what R 4.2.2 says, by version.
OF_R = json.loads((Path(__file__).parents[1] / "data" / "r" / "reference.json").read_text(encoding="utf-8"))


@needs_shared
def test_intervals_of_endometrial() -> None:
    X, y, _, _ = logistic_set("endometrial")
    fitted = PerceptronClassifier(penalty="firth").fit(X, y)
    found = np.append(fitted.coef_[0], fitted.intercept_)
    np.testing.assert_allclose(found, np.ravel(OF_R["endometrial_firth"]), rtol=1e-9)
    np.testing.assert_allclose(fitted.profile_intervals(X, y), OF_R["endometrial_firth_profile"], rtol=1e-9)
    narrow, wide = (fitted.profile_intervals(X, y, coverage=c) for c in (0.8, 0.99))
    assert (narrow[:, 0] > wide[:, 0]).all()
    assert (narrow[:, 1] < wide[:, 1]).all()


@needs_shared
def test_intervals_without_a_penalty() -> None:
    X, y, _, _ = logistic_set("ucla_binary")
    fitted = PerceptronClassifier().fit(X, y)
    found = fitted.profile_intervals(X, y)
    np.testing.assert_allclose(found, OF_R["admission_profile"], rtol=1e-9)
    np.testing.assert_allclose(found, OF_R["admission_confint"], rtol=1e-4)  # MASS interpolates the profile
    # Columns far from zero have the same coefficients; nothing can be said of a row of zeros there.
    moved = PerceptronClassifier().fit(X + 1e4, y)
    np.testing.assert_allclose(moved.profile_intervals(X + 1e4, y)[:-1], found[:-1], rtol=1e-6)


@pytest.mark.parametrize("m", [1, 2])
def test_a_bound_is_where_the_profile_has_fallen(m: int) -> None:
    """The others are maximised anew with the parameter held at the bound, by another method."""
    from scipy.optimize import minimize as peer

    objective = sample(m, weighted=False)
    optimum = minimize(objective, np.zeros(objective.n_params), Newton())
    found = profile_intervals(objective, optimum.params, 40.0, coverage=0.9, which=[0, objective.n_params - 1])
    for j, bounds in zip((0, objective.n_params - 1), found, strict=True):
        assert bounds[0] < optimum.params[j] < bounds[1]
        for bound in bounds:

            def held(rest: Array, j: int = j, bound: float = bound) -> tuple[float, Array]:
                at = objective.evaluate(np.insert(rest, j, bound), 1)
                return at.value, np.delete(at.gradient, j)

            rest = peer(held, np.delete(optimum.params, j), jac=True, method="BFGS", options={"gtol": 1e-9})
            assert 2.0 * 40.0 * (rest.fun - optimum.value) == pytest.approx(2.705543454, rel=1e-6)


def test_a_likelihood_that_never_falls_has_no_bound() -> None:
    X, y = np.array([[-1.0], [0.0], [0.0], [1.0], [2.0]]), np.array([0.0, 0.0, 1.0, 1.0, 1.0])
    rows = ArrayRows(X, y[:, None])
    objective = TrainingObjective(Network((1, 1), "identity"), loss_for("classification", "log_loss", 1), rows)
    below, above = profile_intervals(objective, np.array([12.0, 0.0]), 5.0, which=[0])[0]
    assert 0.0 < below < 12.0
    assert np.isnan(above)


# --- settings, files ---


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"penalty": "l1"}, "penalty='l1' is not known"),
        ({"penalty": None}, "penalty=None is not known"),
        ({"penalty": "firth", "alpha": 1.0}, "set alpha=0"),
        ({"penalty": "firth", "loss": "squared_error"}, "set loss=None"),
        ({"penalty": "firth", "solver": "stochastic"}, "another solver"),
        ({"penalty": "firth", "solver": "adam"}, "solver='adam' is not known"),
    ],
)
def test_settings_that_do_not_go_together(settings: dict[str, Any], words: str) -> None:
    X = np.random.default_rng(0).normal(size=(20, 2))
    with pytest.raises(InputError, match=words):
        PerceptronClassifier(**settings).fit(X, np.arange(20) % 2)


def test_dependent_columns_are_named() -> None:
    import pandas as pd

    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(30, 2)), columns=["a", "b"])
    X["same"], X["one"] = X["a"] - 2.0 * X["b"], 7.0
    with pytest.raises(InputError, match="leave out the columns same, one, which follow from the others"):
        PerceptronClassifier(penalty="firth").fit(X, np.arange(30) % 2)
    fitted = PerceptronClassifier(penalty="firth", fit_intercept=False).fit(X[["a", "b", "one"]], np.arange(30) % 2)
    assert fitted.solution_.converged


def test_intervals_are_refused_where_there_are_none() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 2)), rng.integers(0, 2, 40)
    fitted = PerceptronClassifier(penalty="firth").fit(X, y)
    assert fitted.profile_intervals(X, y).shape == (3, 2)
    with pytest.raises(InputError, match="not those of the fit"):
        fitted.profile_intervals(X, 1 - y)
    with pytest.raises(InputError, match="none of the classes"):
        fitted.profile_intervals(X, y + 5)
    with pytest.raises(InputError, match="coverage"):
        fitted.profile_intervals(X, y, coverage=1.0)
    for other, labels in (
        (PerceptronClassifier(alpha=1.0), y),
        (PerceptronClassifier(class_weight="balanced"), y),
        (PerceptronClassifier(), np.arange(40) % 3),
    ):
        with pytest.raises(InputError, match="Profile intervals"):
            other.fit(X, labels).profile_intervals(X, labels)
    with pytest.warns(match="separated"):
        apart = PerceptronClassifier().fit(X, X[:, 0] > 0)
    with pytest.raises(InputError, match='penalty="firth"'):
        apart.profile_intervals(X, X[:, 0] > 0)


def test_it_survives_a_model_file_and_a_pickle(tmp_path: Any) -> None:
    X, y = np.random.default_rng(0).normal(size=(40, 2)), np.arange(40) % 3
    fitted = PerceptronClassifier(penalty="firth").fit(X, y)
    fitted.save(tmp_path / "m.newtron")
    for back in (load(tmp_path / "m.newtron"), pickle.loads(pickle.dumps(fitted))):
        assert back.penalty == "firth"
        assert back.separation_ is None
        np.testing.assert_array_equal(back.predict_proba(X), fitted.predict_proba(X))
