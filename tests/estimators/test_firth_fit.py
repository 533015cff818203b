"""Firth's penalty, separation, certificates and summaries together: what a user sees of one fit fits together."""

from __future__ import annotations

import copy
import json
import pickle
import re
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from sklearn.exceptions import ConvergenceWarning
from support.certified import logistic_set, lre, needs_shared
from support.models import change
from support.present import of_type

from newtron import InputError, PerceptronClassifier, load
from newtron.cli import main
from newtron.engine.solvers import GradientDescent, Status
from newtron.inference.certificate.endpoint import Endpoint
from newtron.inference.coefficients import firth
from newtron.inference.coefficients.firth import FirthObjective

Array = np.ndarray[Any, Any]

N = 90
rng = np.random.default_rng(4)
X = rng.normal(size=(N, 3)) * [1.0, 30.0, 0.1] + [0.0, 5.0, 1.0]
SCORE = (X - X.mean(axis=0)) / X.std(axis=0) @ [1.0, -1.0, 0.5]
TWO = np.where(SCORE + rng.logistic(size=N) > 0.0, "yes", "no")
THREE = np.digitize(SCORE + rng.logistic(size=N), [-1.0, 1.0])
APART = SCORE > 0.0
WEIGHTS = rng.integers(0, 3, N).astype(float)


def fit(y: Array, weight: Array | None = None, x: Any = X, **settings: Any) -> PerceptronClassifier:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return PerceptronClassifier(**{"penalty": "firth", **settings}).fit(x, y, weight)


def differences(objective: FirthObjective, params: Array, h: Array) -> Array:
    """The Hessian by central differences of the gradient, with the step h (P,)."""
    rows = [
        (objective.evaluate(params + step, 1).gradient - objective.evaluate(params - step, 1).gradient) / (2.0 * size)
        for step, size in zip(np.diag(h), h, strict=True)
    ]
    return np.asarray(0.5 * (np.array(rows) + np.array(rows).T))


# --- the certificate ---


@pytest.mark.slow
@pytest.mark.parametrize("weight", [None, WEIGHTS], ids=["", "weights"])
@pytest.mark.parametrize("y", [TWO, THREE, APART], ids=["two", "three", "apart"])
@pytest.mark.parametrize("standardize", [False, True])
def test_the_certificate_is_that_of_the_penalised_likelihood(
    y: Array, weight: Array | None, standardize: bool, tmp_path: Path
) -> None:
    fitted = fit(y, weight, standardize=standardize)
    found = fitted.certificate_
    assert (found.converged, found.nature, found.method, found.convex) == (True, "minimum", "exact", False)
    assert found.loss_gap_bound is None
    assert "a local minimum. That no lower one exists elsewhere is not proved." in str(found)
    assert "convex and" not in str(found)
    order = rng.permutation(N)
    fitted.save(tmp_path / "m.newtron")
    for model in (fitted, load(tmp_path / "m.newtron"), pickle.loads(pickle.dumps(fitted))):
        assert model.certificate_ == found
        assert model.certificate_.verify(X, y, weight)
        assert model.certificate_.verify(X[order], y[order], None if weight is None else weight[order])
    assert not found.verify(X[:, [1, 0, 2]], y, weight)
    assert not found.verify(X, y[::-1], weight)
    assert not found.verify(X, y, np.full(N, 1.0) if weight is not None else WEIGHTS)
    assert not found.verify(np.ones_like(X), y, weight)  # no Firth likelihood at all
    moved = copy.deepcopy(fitted)
    moved.members_[0].solution.params[0] *= 1.0 + 1e-9
    assert not moved.certificate_.verify(X, y, weight)
    plain = copy.deepcopy(fitted)
    change(plain, settings=replace(fitted.model_.settings, penalty="l2"))
    assert not plain.certificate_.verify(X, y, weight)


def test_its_curvature_is_that_of_differences() -> None:
    fitted = fit(TWO)
    objective = FirthObjective(X, (TWO == "yes")[:, None])
    params = np.append(fitted.coef_[0], fitted.intercept_)
    values = np.linalg.eigvalsh(differences(objective, params, 1e-5 / objective.scale))
    found = fitted.certificate_
    assert found.smallest_eigenvalue == pytest.approx(values[0], rel=1e-5)
    assert found.largest_eigenvalue == pytest.approx(values[-1], rel=1e-5)
    early = fit(TWO, max_iter=1)
    at = np.append(early.coef_[0], early.intercept_)
    gradient = objective.evaluate(at, 1).gradient
    H = differences(objective, at, 1e-5 / objective.scale)
    expected = float(np.sqrt(gradient @ np.linalg.solve(H, gradient)))
    assert early.certificate_.nature == "not stationary"
    assert early.certificate_.newton_decrement == pytest.approx(expected, rel=1e-5)


def test_the_common_shift_of_all_classes_is_no_flat_direction() -> None:
    """Of three classes against the last the Hessian has no shift; of all of them it has, and that is left out."""
    fitted = fit(THREE)
    objective = FirthObjective(X, np.eye(3)[THREE][:, :2])
    of_class = np.vstack([fitted.coef_.T, fitted.intercept_])
    H = differences(objective, (of_class[:, :2] - of_class[:, 2:]).ravel(), np.repeat(1e-5 / objective.scale[::2], 2))
    E = np.vstack([np.eye(2), -np.ones(2)])
    whole = np.kron(np.eye(4), E) @ H @ np.kron(np.eye(4), E).T
    values = np.linalg.eigvalsh(whole)
    assert fitted.certificate_.flat_directions == 0
    assert fitted.certificate_.smallest_eigenvalue == pytest.approx(values[4], rel=1e-4)
    assert fitted.certificate_.largest_eigenvalue == pytest.approx(values[-1], rel=1e-4)


def test_without_the_exact_hessian_no_minimum_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firth, "_WORK", 0.0)
    fitted = fit(TWO)
    found = fitted.certificate_
    assert (found.converged, found.nature, found.method) == (True, "not proved", "none")
    assert "the gradient is zero to the tolerance, but the curvature was not measured" in str(found)
    assert found.recomputed(X, TWO).nature == "minimum"
    assert found.verify(X, TWO)


def test_fits_that_did_not_converge_are_certified_as_such() -> None:
    for settings, status in (
        ({"max_iter": 1}, Status.MAX_ITER),
        ({"callback": lambda progress: progress.state.iteration >= 2}, Status.STOPPED),
        ({"solver": GradientDescent(learning_rate=1e-3), "max_iter": 5}, Status.MAX_ITER),
    ):
        fitted = fit(TWO, standardize=True, **settings)
        assert fitted.solution_.status is status
        assert fitted.certificate_.nature == "not stationary"
        assert fitted.certificate_.verify(X, TWO)
        assert "not those of an optimum" in " ".join(str(fitted.summary()).split())


@pytest.mark.parametrize("seed", range(4))
def test_a_softmax_without_intercept_is_verified(seed: int) -> None:
    """Its bounds are those of the coefficients as they are kept, their common shift taken out."""
    draw = np.random.default_rng(seed)
    Z = draw.normal(size=(150, 3))
    y = np.digitize(Z @ [1.0, -1.0, 0.5] + draw.logistic(size=150), [-1.0, 1.0])
    for penalty in ("l2", "firth"):
        fitted = fit(y, x=Z, fit_intercept=False, penalty=penalty)
        assert fitted.certificate_.verify(Z, y)
        kept, again = of_type(Endpoint, fitted.members_[0].end), fitted.certificate_.recomputed(Z, y)
        assert again.loss_gap_bound == pytest.approx(kept.curvature.loss_gap_bound, rel=1e-3, nan_ok=True) or (
            penalty == "firth"
        )


# --- the summary ---

# R's, written by tests/data/r/reference.R, the intercept last; here it comes first.
OF_R = json.loads((Path(__file__).parents[1] / "data" / "r" / "reference.json").read_text(encoding="utf-8"))
P_VALUES = np.roll(np.ravel(OF_R["endometrial_firth_p_values"]), 1)
PROFILE = np.roll(OF_R["endometrial_firth_profile"], 1, axis=0)


@needs_shared
@pytest.mark.parametrize("settings", [{}, {"standardize": True}, {"solver": "lbfgs"}], ids=str)
def test_endometrial_has_the_errors_of_the_reference(settings: dict[str, Any], tmp_path: Path) -> None:
    A, y, _, reference = logistic_set("endometrial")
    fitted = fit(y, x=A, **settings)
    found = fitted.summary()
    order = [1, 2, 3, 0]  # the intercept comes first
    assert found.covariance == "fisher"
    assert lre(found.estimates[order], reference["coef"]) >= 8.0
    assert lre(found.standard_errors[order], reference["se"]) >= 8.0
    plain = float(reference["loglik_unpenalised"])
    assert found.log_likelihood == pytest.approx(plain, rel=1e-10)
    assert found.penalised_log_likelihood == pytest.approx(float(reference["penalised_loglik"]), rel=1e-12)
    assert found.aic == pytest.approx(-2.0 * plain + 2.0 * 4, rel=1e-10)
    assert found.bic == pytest.approx(-2.0 * plain + np.log(79.0) * 4, rel=1e-10)
    assert (found.effective_parameters, found.interval_method, found.statistic) == (4.0, "wald", "z")
    assert "penalised log-likelihood (Firth) -24.0373" in str(found)
    assert 'intervals="profile"' in found.notes[-1]
    fitted.save(tmp_path / "m.newtron")
    assert str(load(tmp_path / "m.newtron").summary()) == str(found)
    assert str(fitted.summary(A, y)) == str(found)


@needs_shared
def test_endometrial_has_the_profile_of_others() -> None:
    A, y, _, _ = logistic_set("endometrial")
    fitted = fit(y, x=A)
    found = fitted.summary(A, y, intervals="profile")
    np.testing.assert_allclose(found.intervals, PROFILE, rtol=1e-9)
    np.testing.assert_allclose(found.p_values, P_VALUES, rtol=1e-9)
    assert (found.interval_method, found.statistic) == ("profile", "χ²")
    np.testing.assert_array_equal(found.standard_errors, fitted.summary().standard_errors)
    assert "intervals by the profile penalised likelihood, tests by its ratio" in str(found)
    turned = fitted.summary(A, y, intervals="profile", baseline=1.0)
    np.testing.assert_array_equal(turned.intervals, -found.intervals[:, ::-1])
    np.testing.assert_array_equal(turned.p_values, found.p_values)
    # The interval of one coverage ends where the test of that level does.
    narrow = fitted.summary(A, y, intervals="profile", coverage=1.0 - P_VALUES[1])
    assert narrow.intervals[1, 0] == pytest.approx(0.0, abs=1e-7)


@pytest.mark.parametrize("weight", [None, WEIGHTS], ids=["", "weights"])
def test_without_a_penalty_the_tests_are_those_of_leaving_a_column_out(weight: Array | None) -> None:
    fitted = fit(TWO, weight, penalty="l2", standardize=True)
    found = fitted.summary(X, TWO, sample_weight=weight, intervals="profile")
    for j in range(3):
        less = fit(TWO, weight, np.delete(X, j, axis=1), penalty="l2").summary().log_likelihood
        assert found.statistics[j + 1] == pytest.approx(2.0 * (found.log_likelihood - less), rel=1e-8)
    bounds = fitted.profile_intervals(X, TWO, weight)
    np.testing.assert_array_equal(found.intervals, bounds[[3, 0, 1, 2]])
    assert found.penalised_log_likelihood is None
    assert "intervals by the profile likelihood" in str(found)


@pytest.mark.parametrize("shape", ["dense", "sparse", "float32", "no intercept", "standardized"])
def test_three_classes_have_the_errors_of_the_information(shape: str) -> None:
    x = {"sparse": scipy.sparse.csr_matrix(X), "float32": X.astype(np.float32)}.get(shape, X)
    fitted = fit(THREE, x=x, fit_intercept=shape != "no intercept", standardize=shape == "standardized")
    objective = FirthObjective(X, np.eye(3)[THREE][:, 1:], intercept=shape != "no intercept")
    of_class = np.vstack([fitted.coef_.T, *([fitted.intercept_] if fitted.fit_intercept else [])])
    params = (of_class[:, 1:] - of_class[:, :1]).ravel()
    errors = np.sqrt(np.diag(np.linalg.inv(objective.information(params)))).reshape(-1, 2).T
    if fitted.fit_intercept:
        errors = errors[:, [3, 0, 1, 2]]
    found = fitted.summary()
    digits = 1e-5 if shape == "float32" else 1e-8
    np.testing.assert_allclose(found.standard_errors, errors.ravel(), rtol=digits)
    plain, penalised = objective.log_likelihood(params)
    assert found.log_likelihood == pytest.approx(plain, rel=digits)
    assert found.penalised_log_likelihood == pytest.approx(penalised, rel=digits)
    assert "profile" not in found.notes[-1]  # not for three classes
    again = fitted.summary(x, THREE)
    np.testing.assert_array_equal(again.standard_errors, found.standard_errors)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"covariance": "classical"}, "one covariance, 'fisher'"),
        ({"covariance": "HC3"}, "one covariance, 'fisher'"),
        ({"groups": THREE}, "one covariance, 'fisher'"),
        ({"covariance": "none"}, "covariance='none' is not known"),
        ({"intervals": "exact"}, "intervals='exact' is not known"),
        ({"intervals": "profile"}, "made from the rows"),
        ({"X": X, "y": np.where(TWO == "yes", "no", "yes")}, "not the rows the model was trained on"),
        ({"X": X, "y": TWO, "intervals": "profile", "groups": THREE}, "leave out covariance and groups"),
        ({"X": X, "y": TWO, "intervals": "profile", "covariance": "HC0"}, "leave out covariance and groups"),
    ],
)
def test_what_does_not_go_with_firth_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        fit(TWO).summary(**arguments)


def test_what_does_not_go_with_profiles_is_refused() -> None:
    for fitted, y, words in (
        (fit(THREE), THREE, "those of two classes"),
        (fit(TWO, penalty="l2", alpha=1.0), TWO, "without alpha"),
        (fit(TWO, class_weight="balanced"), TWO, "class_weight"),
        (fit(TWO, max_iter=1), TWO, "did not converge"),
        (fit(APART, penalty="l2"), APART, 'penalty="firth"'),
    ):
        with pytest.raises(InputError, match=re.escape(words)):
            fitted.summary(X, y, intervals="profile")
    with pytest.raises(InputError, match="is for penalty='firth'"):
        fit(TWO, penalty="l2").summary(covariance="fisher")


def test_class_weights_are_told() -> None:
    notes = fit(TWO, class_weight="balanced").summary().notes
    assert any("class_weight changes what is fitted" in note and "HC0" not in note for note in notes)


# --- separation ---


@pytest.mark.parametrize(
    "settings",
    [{}, {"max_iter": 1}, {"callback": lambda progress: progress.state.iteration >= 2}],
    ids=["to the end", "one iteration", "callback"],
)
def test_separated_classes_have_no_errors_however_the_fit_stopped(settings: dict[str, Any], tmp_path: Path) -> None:
    fitted = fit(APART, penalty="l2", **settings)
    fitted.save(tmp_path / "m.newtron")
    for model in (fitted, load(tmp_path / "m.newtron")):
        assert model.separation_ is not None
        assert model.separation_.kind == "complete"
        found = model.summary()
        assert np.isnan(found.standard_errors).all()
        assert found.trouble.endswith("Without finite estimates there are no standard errors.")
        certificate = str(model.certificate_)
        assert "it has no minimum" in certificate
        assert "would still fall" not in certificate
        assert not model.certificate_.converged
        assert model.certificate_.verify(X, APART)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("standardize", [False, True])
def test_dependent_columns_and_sure_predictions_are_no_separation(seed: int, standardize: bool) -> None:
    draw = np.random.default_rng(seed)
    A = draw.normal(size=(400, 2))
    Z = np.column_stack([A, A @ [1.0, 2.0], np.full(400, 3.0)])
    scores = 4.0 * A @ draw.normal(size=(2, 3))
    y = (scores + draw.gumbel(size=scores.shape)).argmax(axis=1)
    fitted = fit(y, x=Z, penalty="l2", standardize=standardize)
    assert np.abs(fitted.decision_function(Z)).max() > 5.0
    assert fitted.solution_.converged
    assert fitted.separation_ is not None
    assert fitted.separation_.kind == "none"
    certificate = fitted.certificate_
    assert (certificate.nature, certificate.flat_directions) == ("flat", 4)
    assert certificate.verify(Z, y)
    assert len(fitted.summary().aliases) == 2


# --- the command line ---


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "2000")  # no sentence is wrapped
    lines = "".join(f"{i % 2},{(7 * i) % 12},{max(i % 2, int(i % 5 == 0))}\n" for i in range(60))
    Path("apart.csv").write_text("a,b,y\n" + lines, encoding="utf-8")
    return Path("apart.csv")


def screens(capsys: pytest.CaptureFixture[str], *options: str) -> list[str]:
    """What `fit` and `show` print."""
    found = []
    for command in (["fit", "apart.csv", "--target", "y", *options], ["show", "model.newtron"]):
        assert main(command) == 0
        found.append(capsys.readouterr().out)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--model", "perceptron"),
        ("--model", "perceptron", "--alpha", "0"),
        ("--model", "perceptron", "--max-iter", "1", "--alpha", "0"),
        ("--model", "perceptron", "--max-iter", "1", "--alpha", "1"),
        ("--model", "network", "--max-iter", "1", "--hidden", "3"),
        ("--penalty", "firth"),
        ("--model", "perceptron", "--penalty", "firth", "--max-iter", "1"),
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("table")
def test_no_sentence_stands_twice_on_a_screen(capsys: pytest.CaptureFixture[str], options: tuple[str, ...]) -> None:
    for screen in screens(capsys, *options):
        sentences = [s for line in screen.splitlines() for s in re.split(r"(?<=[.])\s+|:\s", line.strip())]
        # Two trainings (on the training rows, then on all) may end alike and within the same hundredth of a second.
        sentences = [s for s in sentences if len(s) > 25 and s.endswith(".") and not re.search(r"\d s\.$", s)]
        assert len(sentences) > 1
        assert {s: n for s, n in Counter(sentences).items() if n > 1} == {}


@pytest.mark.usefixtures("table")
def test_firth_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    fitting, showing = screens(capsys, "--model", "perceptron", "--penalty", "firth")
    assert "a local minimum" in fitting
    assert "penalty='firth'" in showing
    assert "penalised log-likelihood (Firth)" in showing
    assert "standard errors fisher: inverse Fisher information" in showing
    assert main(["show", "model.newtron", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["summary"]["covariance"] == "fisher"
    assert facts["summary"]["interval_method"] == "wald"
    assert facts["summary"]["penalised_log_likelihood"] > facts["summary"]["log_likelihood"]
    assert facts["certificate"]["convex"] is False


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--model", "network"), "choose --model perceptron with it"),
        (("--alpha", "2"), "leave out --alpha"),
        (("--target", "b"), "is for classes"),
    ],
)
@pytest.mark.usefixtures("table")
def test_firth_is_refused_where_it_has_no_meaning(
    capsys: pytest.CaptureFixture[str], options: tuple[str, ...], words: str
) -> None:
    assert main(["fit", "apart.csv", "--target", "y", "--penalty", "firth", *options]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
