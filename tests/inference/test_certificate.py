"""Certificates: what they say of each kind of end, and that they are false for another model or other data."""

from __future__ import annotations

import copy
import json
import pickle
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.datasets import load_iris
from support.models import change, change_member, load_bundle
from support.present import present
from support.problems import tanh_network

from newtron import (
    LBFGS,
    GradientDescent,
    NetworkClassifier,
    NetworkRegressor,
    PerceptronClassifier,
    PerceptronRegressor,
    load,
)
from newtron.engine.maths.losses import SigmoidSquaredError, SquaredError
from newtron.engine.maths.network import Network
from newtron.engine.objective import TrainingObjective
from newtron.engine.rows import ArrayRows
from newtron.engine.solvers import Status, minimize
from newtron.inference.certificate.certificate import Certificate
from newtron.inference.certificate.endpoint import measure
from newtron.inference.certificate.spectrum import exact_spectrum, lanczos, visible_basis

RNG = np.random.default_rng(11)
X = RNG.normal(size=(80, 3))
NUMBERS = X @ [1.0, -2.0, 0.5] + 3.0 + 0.3 * RNG.normal(size=80)
BENT = np.sin(2.0 * X[:, 0]) + X[:, 1] ** 2 + 0.1 * RNG.normal(size=80)
TWO = np.array(["no", "yes"])[(X[:, 0] + RNG.normal(size=80) > 0).astype(int)]
THREE = np.clip(np.round(X[:, 1] + RNG.normal(size=80)), -1, 1).astype(int)
WEIGHT = RNG.uniform(0.5, 2.0, 80)

SHAPES: dict[str, Any] = {"hidden": [(), (3,), (2, 2)], "alpha": 0.1, "n_starts": 2, "activation": "tanh"}

CASES: dict[str, tuple[Callable[[], Any], Any]] = {
    "least squares": (lambda: PerceptronRegressor(), NUMBERS),
    "ridge": (lambda: PerceptronRegressor(alpha=2.0, standardize=True), NUMBERS),
    "two targets": (lambda: PerceptronRegressor(alpha=1.0), np.column_stack([NUMBERS, BENT])),
    "logistic": (lambda: PerceptronClassifier(), TWO),
    "softmax": (lambda: PerceptronClassifier(), THREE),
    "penalised softmax": (lambda: PerceptronClassifier(alpha=1.0, class_weight="balanced"), THREE),
    "no intercept": (lambda: PerceptronClassifier(alpha=1.0, fit_intercept=False), THREE),
    "by lbfgs": (lambda: PerceptronClassifier(alpha=1.0, solver="lbfgs"), TWO),
    "by newton-cg": (lambda: PerceptronClassifier(alpha=1.0, solver="newton-cg"), TWO),
    "squared error": (lambda: PerceptronClassifier(alpha=1.0, loss="squared_error"), TWO),
    "network": (lambda: NetworkRegressor(hidden=(4,), alpha=0.1, n_starts=3), BENT),
    "chosen penalty": (lambda: NetworkRegressor(hidden=(4,)), BENT),
    "mix": (lambda: NetworkClassifier(n_starts=1), TWO),
    "network of classes": (lambda: NetworkClassifier(hidden=(3,), alpha=0.3), THREE),
    "two shapes": (lambda: NetworkRegressor(**SHAPES), BENT),
    "best of three": (
        lambda: NetworkRegressor(hidden=(3,), alpha=0.1, n_starts=3, combine="best", solver=LBFGS()),
        BENT,
    ),
    "relu": (lambda: NetworkRegressor(hidden=(4,), alpha=0.1, activation="relu", max_iter=200), BENT),
    "stopped by rule": (lambda: NetworkClassifier(hidden=(2,), n_starts=1, solver="stochastic"), TWO),
    "early": (lambda: NetworkRegressor(hidden=(4,), alpha=0.1, n_starts=3, max_iter=2), BENT),
    "gradient descent": (lambda: PerceptronRegressor(solver=GradientDescent(learning_rate=0.1), tol=1e-3), NUMBERS),
}


def fitted(model: Any, y: Any, X: Any = X, **kwargs: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(X, y, **kwargs)


class Models(dict[str, Any]):
    """The models of `CASES`, each fitted when it is first asked for."""

    def __missing__(self, name: str) -> Any:
        make, y = CASES[name]
        self[name] = fitted(make(), y)
        return self[name]


@pytest.fixture(scope="module")
def models() -> Models:
    return Models()


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_certificate_says_what_the_training_said(name: str, models: Models) -> None:
    model = models[name]
    found = model.certificate_
    used = [member.solution for member in model.members_ if member.share]
    assert found.converged == all(solution.converged for solution in used)
    assert found.n_iter == max(member.solution.n_iter for member in model.members_)
    assert found.evaluations == sum(sum(member.solution.counts.values()) for member in model.members_)
    assert (found.nature == "not stationary") == (not found.converged)
    assert (found.loss_gap_bound is None) == bool(found.no_bound_reason)
    assert found.loss_gap_bound is None or found.convex
    assert len(found.members) == (len(model.members_) if len(model.members_) > 1 else 0)
    assert json.loads(json.dumps(found.to_json(), allow_nan=False)) == found.to_json()
    text = str(found)
    assert text.startswith(found.sentence)
    assert "nan" not in text.lower()
    assert "None" not in text


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("way", ["as fitted", "loaded", "pickled"])
def test_it_is_verified_from_model_and_data(name: str, way: str, models: Models, tmp_path: Path) -> None:
    model, y = models[name], CASES[name][1]
    if way == "loaded":
        model.save(tmp_path / "m")
        model = load(tmp_path / "m")
    elif way == "pickled":
        model = pickle.loads(pickle.dumps(model))
    assert model.certificate_ == models[name].certificate_
    assert model.certificate_.verify(X, y)
    order = np.random.default_rng(0).permutation(len(X))
    assert model.certificate_.verify(X[order], y[order])
    assert not model.certificate_.verify(X, np.roll(y, 1, axis=0))
    assert not model.certificate_.verify(X, y, WEIGHT)
    other = X.copy()
    other[5, 1] += 1e-6
    assert not model.certificate_.verify(other, y)


def move_param(model: Any) -> None:
    model.members_[0].params[0] *= 1.0 + 1e-8


def change_alpha(model: Any) -> None:
    if isinstance(model.alpha, str):  # chosen from the data: the members' own
        change_member(model, 0, alpha=model.members_[0].alpha * (1.0 + 1e-6))
    else:
        change(model, settings=replace(model.model_.settings, alpha=model.alpha * (1.0 + 1e-6)))


def shift(model: Any) -> None:
    model.scaling_.x_center[0] += 1e-6


def claim_convergence(model: Any) -> None:
    change_member(model, 0, solution=replace(model.members_[0].solution, status=Status.CONVERGED))


def claim_precision(model: Any) -> None:
    claim_convergence(model)
    change_member(model, 0, solution=replace(model.members_[0].solution, status=Status.PRECISION))


def change_share(model: Any) -> None:
    change_member(model, 0, share=0.5)


def state(**fields: Any) -> Callable[[Any], None]:
    def apply(model: Any) -> None:
        change_member(model, 0, end=replace(model.members_[0].curvature, **fields))

    return apply


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "tamper"),
    [
        ("least squares", move_param),
        ("logistic", move_param),
        ("softmax", move_param),
        ("network", move_param),
        ("stopped by rule", move_param),
        ("ridge", change_alpha),
        ("network", change_alpha),
        ("chosen penalty", change_alpha),
        ("ridge", shift),
        ("early", claim_convergence),
        ("early", claim_precision),
        ("network", change_share),
        ("logistic", state(loss_gap_bound=0.0)),
        ("logistic", state(smallest=1.0)),
        ("logistic", state(largest=1e-3)),
        ("logistic", state(decrement=1e-3)),
        ("network", state(sign=0)),
        ("network", state(loss_gap_bound=1.0, no_bound_reason="")),
    ],
)
def test_a_tampered_model_is_found_out(name: str, tamper: Callable[[Any], None], models: Models) -> None:
    model = copy.deepcopy(models[name])
    assert model.certificate_.verify(X, CASES[name][1])
    tamper(model)
    assert not model.certificate_.verify(X, CASES[name][1])


def test_a_certificate_that_was_changed_is_not_the_models_own(models: Models) -> None:
    found = models["logistic"].certificate_
    assert not replace(found, loss_gap_bound=1e-30).verify(X, TWO)
    with pytest.raises(ValueError, match="the model's own"):
        models["network"].certificate_.members[0].verify(X, BENT)


def test_a_certificate_travels_with_its_model(models: Models) -> None:
    for name in ("logistic", "network"):
        again = pickle.loads(pickle.dumps(models[name].certificate_))
        assert again == models[name].certificate_
        assert repr(again) == str(again)
        assert again.verify(X, CASES[name][1])


def test_weights_frames_sparse_rows_and_float32() -> None:
    model = fitted(PerceptronClassifier(alpha=0.5), TWO, sample_weight=WEIGHT)
    assert model.certificate_.verify(X, TWO, WEIGHT)
    assert model.certificate_.verify(X, TWO, sample_weight=WEIGHT)
    assert not model.certificate_.verify(X, TWO)
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    labels = pd.Series(TWO).astype("category")
    model = fitted(NetworkClassifier(hidden=(2,), n_starts=1), labels, frame)
    assert model.certificate_.verify(frame, labels)
    assert not model.certificate_.verify(frame, labels.cat.rename_categories({"no": "yes", "yes": "no"}))
    assert not model.certificate_.verify(frame, labels.cat.rename_categories({"no": "nein"}))
    rng = np.random.default_rng(0)
    thin = sparse.csr_array(rng.random((200, 5)) * (rng.random((200, 5)) < 0.3))
    y = thin @ np.ones(5) + np.random.default_rng(1).normal(size=200)
    model = fitted(PerceptronRegressor(alpha=1.0), y, thin)
    assert model.certificate_.verify(thin, y)
    assert model.certificate_.nature == "minimum"
    single = X.astype(np.float32)
    model = fitted(PerceptronClassifier(alpha=1.0), TWO, single)
    assert model.certificate_.verify(single, TWO)
    assert model.certificate_.loss_gap_bound is not None


@pytest.mark.parametrize("seed", [3, 6, 8, 11])
def test_rounding_of_a_bound_by_the_penalty_is_no_other_model(seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(80, 2))
    c = np.argmax(np.outer(inputs[:, 0], [0.0, 1.0, -1.0]) + rng.gumbel(size=(80, 3)), axis=1)
    inputs *= [3e9, 1e-5]
    model = PerceptronClassifier(alpha=1e-6, solver="newton", fit_intercept=False).fit(inputs, c)
    assert model.solution_.converged
    assert model.certificate_.verify(inputs, c)
    assert not model.certificate_.verify(inputs, (c + (np.arange(80) == 7)) % 3)


def test_curvature_near_its_rounding_and_a_bound_are_verified() -> None:
    rng = np.random.default_rng(9)
    inputs = rng.normal(size=(25, 2))
    c = np.argmax(np.outer(inputs[:, 0], [0.0, 1.0, -1.0]) + rng.gumbel(size=(25, 3)), axis=1)
    c[:3] = 0, 1, 2
    weight = 10.0 ** rng.uniform(-4.0, 4.0, size=25)
    inputs *= [1e-9, 1e-10]
    model = PerceptronClassifier(alpha=1e-6, solver="levenberg-marquardt").fit(inputs, c, sample_weight=weight)
    assert model.certificate_.converged
    assert model.certificate_.verify(inputs, c, weight)
    assert not model.certificate_.verify(inputs, c, weight * np.where(np.arange(25) == np.argmax(weight), 1.1, 1.0))


@pytest.mark.slow
def test_readmes_first_command_proves_a_minimum_that_is_verified(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from newtron.cli import main
    from newtron.table import encode, encode_target, read_table

    path = Path(__file__).parents[2] / "examples" / "penguins.csv"
    output = str(tmp_path / "m.newtron")
    assert main(["fit", str(path), "--target", "species", "--output", output, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    bundle, table = load_bundle(output), read_table(str(path))
    assert bundle.schema is not None
    codes, kept = encode_target(bundle.schema.target, table)
    rows = np.flatnonzero(kept)
    encoded, y = encode(bundle.schema, table.take(rows)).X, np.array(bundle.schema.target.classes)[codes[rows]]
    assert bundle.estimator.certificate_.verify(encoded, y)
    assert not bundle.estimator.certificate_.verify(encoded[1:], y[1:])
    found = bundle.estimator.certificate_
    assert (found.nature, found.method) == ("minimum", "exact")
    assert told["refit"]["certificate"] == found.to_json()
    assert main(["show", output]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert all(sentence in shown for sentence in found.sentences())
    assert main(["show", output, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["certificate"] == found.to_json()


# --- what it says ---


def test_convex_minima_are_told_with_a_bound(models: Models) -> None:
    for name in ("least squares", "ridge", "two targets", "logistic", "softmax", "penalised softmax", "no intercept"):
        found = models[name].certificate_
        assert (found.nature, found.method) == ("minimum", "exact")
        assert found.loss_gap_bound < 1e-15 * found.value
        assert found.smallest_eigenvalue > 0.0
        assert "is proved to be at most" in str(found)


def test_eigenvalues_are_those_of_the_hessian(models: Models) -> None:
    A = np.hstack([X, np.ones((80, 1))])
    found = models["least squares"].certificate_
    values = np.linalg.eigvalsh(A.T @ A / 80)
    assert (found.smallest_eigenvalue, found.largest_eigenvalue) == pytest.approx((values[0], values[-1]), rel=1e-12)
    p = models["softmax"].predict_proba(X)
    H = np.einsum("nc,cd,ni,nj->icjd", p, np.eye(3), A, A) - np.einsum("nc,nd,ni,nj->icjd", p, p, A, A)
    values = np.linalg.eigvalsh(H.reshape(12, 12) / 80)
    found = models["softmax"].certificate_
    # Four shifts of all classes change nothing: their zeros are not among the curvatures.
    assert np.abs(values[:4]).max() < 1e-14
    assert (found.smallest_eigenvalue, found.largest_eigenvalue) == pytest.approx((values[4], values[-1]), rel=1e-10)


def test_the_smallest_eigenvalue_keeps_its_digits_in_bad_units() -> None:
    units = np.array([1e-5, 1.0, 1e6])
    found = fitted(PerceptronRegressor(), NUMBERS, X * units).certificate_
    B = np.linalg.inv(np.diag([*units, 1.0]))
    A = np.hstack([X, np.ones((80, 1))])
    expected = 1.0 / np.linalg.eigvalsh(B @ np.linalg.inv(A.T @ A / 80) @ B)[-1]
    assert found.smallest_eigenvalue == pytest.approx(expected, rel=1e-10)
    assert found.nature == "minimum"


def test_dependent_columns_are_flat_and_without_a_bound() -> None:
    found = fitted(PerceptronRegressor(), NUMBERS, np.hstack([X, X[:, :1] + X[:, 1:2]])).certificate_
    assert found.converged
    assert found.nature == "flat"
    assert found.loss_gap_bound is None
    assert "other coefficients may fit as well" in str(found)
    assert "columns that depend on each other" in found.no_bound_reason


def test_a_penalty_on_all_parameters_proves_a_bound_without_a_matrix() -> None:
    rng = np.random.default_rng(2)
    wide = rng.normal(size=(60, 2500))
    y = (wide[:, 0] > 0.0).astype(int)
    found = fitted(PerceptronClassifier(alpha=1.0, fit_intercept=False), y, wide).certificate_
    assert found.method == "none"
    assert found.loss_gap_bound < 1e-12
    assert found.newton_decrement is None
    assert "was not measured" in fitted(PerceptronClassifier(alpha=1.0), y, wide).certificate_.no_bound_reason


@pytest.mark.parametrize("y", [TWO, THREE], ids=["two classes", "three"])
def test_firths_likelihood_is_verified_and_not_called_convex(y: Any, tmp_path: Path) -> None:
    model = fitted(PerceptronClassifier(penalty="firth"), y)
    model.save(tmp_path / "m")
    for one in (model, load(tmp_path / "m")):
        found = one.certificate_
        assert found.converged
        assert (found.convex, found.nature, found.loss_gap_bound) == (False, "minimum", None)
        assert found.verify(X, y)
        assert not found.verify(X, np.roll(y, 1))
        assert not found.verify(X * (1.0 + 1e-6), y)
        assert not found.verify(X, y, WEIGHT)
        assert not found.verify(X[:, [0, 0, 2]], y)
    model.members_[0].params[0] += 1e-7
    assert not model.certificate_.verify(X, y)


@pytest.mark.slow
def test_a_stop_on_the_way_says_how_far_it_is(models: Models) -> None:
    early = fitted(NetworkRegressor(hidden=(4,), alpha=0.1, n_starts=1, max_iter=12), BENT).certificate_
    best = fitted(NetworkRegressor(hidden=(4,), alpha=0.1, n_starts=1), BENT).certificate_
    assert not early.converged
    told = f"would still fall by about {0.5 * early.newton_decrement**2:.1e}"
    assert told in str(early)
    assert 0.5 * early.newton_decrement**2 == pytest.approx(early.value - best.value, rel=0.3)
    assert "curves downwards" in str(
        fitted(NetworkRegressor(hidden=(4,), alpha=0.1, n_starts=1, max_iter=1), BENT).certificate_
    )
    perceptron = fitted(PerceptronClassifier(alpha=1e-3, max_iter=1), TWO).certificate_
    assert "would still fall by about" in str(perceptron)
    kept_alone = models["best of three"].certificate_
    assert (kept_alone.used, len(kept_alone.members)) == (1, 3)
    assert kept_alone.sentence.startswith("The best of 3 members: ")
    assert "\nIt ended where" in str(kept_alone)


def test_separated_classes_are_no_optimum() -> None:
    iris, species = load_iris(return_X_y=True)
    found = fitted(PerceptronClassifier(), species, iris).certificate_
    assert not found.converged
    assert (found.nature, found.loss_gap_bound) == ("not stationary", None)
    assert "it has no minimum" in str(found)
    assert "separated" in found.sentence


def test_a_point_on_the_way_has_a_bound_where_it_can_be_proved() -> None:
    found = fitted(PerceptronClassifier(alpha=20.0, max_iter=1), TWO).certificate_
    best = fitted(PerceptronClassifier(alpha=20.0), TWO).certificate_
    assert not found.converged
    assert found.loss_gap_bound is not None
    assert found.value - best.value <= found.loss_gap_bound <= 2.0 * (found.value - best.value)


def test_networks_are_local_minima_and_nothing_more(models: Models) -> None:
    found = models["network"].certificate_
    assert (found.nature, found.loss_gap_bound, found.convex) == ("minimum", None, False)
    assert "a local minimum. That no lower one exists elsewhere is not proved" in str(found)
    assert found.starts == 3
    assert f"{found.starts_at_best} of 3 starts reached the lowest objective found" in str(found)
    assert found.starts_at_best == sum(m.value < found.value * (1 + 1e-8) for m in found.members)


@pytest.mark.slow
def test_starts_are_counted_within_a_shape(models: Models) -> None:
    found = models["two shapes"].certificate_
    assert [member.starts for member in found.members] == [1, 2, 2, 2, 2]
    assert found.members[0].convex
    assert not found.convex
    alike = fitted(NetworkRegressor(hidden=(1,), n_starts=4), NUMBERS).certificate_
    assert (alike.starts_at_best, alike.starts) == (4, 4)


def test_a_unit_switched_off_is_a_flat_direction() -> None:
    # Straight data and a strong penalty: no unit is worth its weights, and its intercept then moves nothing.
    found = fitted(NetworkRegressor(hidden=(2,), alpha=1e3, n_starts=1), NUMBERS).certificate_
    assert found.nature == "flat"
    assert found.flat_directions == 2
    assert "a minimum is not proved" in str(found)


@pytest.mark.parametrize("learning_rate", [1e6, 1e9])
def test_a_plateau_is_no_convergence(learning_rate: float, tmp_path: Path) -> None:
    """Steps too long throw all rows far out on the sigmoid's tails, where the squared error has neither slope nor
    curvature: a third more than its minimum."""
    model = PerceptronClassifier(loss="squared_error", solver=GradientDescent(learning_rate=learning_rate))
    with pytest.warns(match="ended on a plateau"):
        model.fit(X, TWO)
    found = model.certificate_
    assert (model.solution_.status, found.nature, found.converged) == (Status.PLATEAU, "plateau", False)
    assert found.value > 1.3 * fitted(PerceptronClassifier(loss="squared_error"), TWO).certificate_.value
    assert "On a plateau neither gradient nor curvature shows where a minimum is" in str(found)
    assert "minimum. That no lower one exists" not in str(found)
    assert found.verify(X, TWO)
    model.save(tmp_path / "m.newtron")
    assert str(load(tmp_path / "m.newtron").certificate_) == str(found)


@pytest.mark.parametrize("far", [12.0, 20.0, 30.0, 34.0, 40.0, 400.0])
def test_saturated_rows_prove_no_minimum(far: float) -> None:
    """Every row on the same tail: the gradient is exp(-far), and so is the curvature, of either sign."""
    for Y in (np.ones((80, 1)), (TWO == "yes").astype(float)[:, None]):
        objective = TrainingObjective(Network((3, 1)), SigmoidSquaredError(), ArrayRows(X, Y), 0.0)
        params = np.array([0.0, 0.0, 0.0, -far])
        solution = minimize(objective, params, LBFGS(), tol=1.0, max_iter=1)
        end = measure(objective, replace(solution, params=params), thorough=True)
        assert end.on_plateau
        assert end.curvature.sign != 1
    near = minimize(objective, np.zeros(4), LBFGS())
    end = measure(objective, near, thorough=True)
    assert not end.on_plateau
    assert end.curvature.sign == 1
    # With a tenth of its curvature for a gradient, the same point is near no minimum.
    weak = replace(end, gradient=np.diagonal(present(end.hessian)) / objective.scale)
    assert (weak.curvature.sign, weak.curvature.flat_directions > 0) == (0, True)
    # Units that are dead for every row leave a network without slope or curvature, too.
    dead = TrainingObjective(Network((3, 2, 1), "relu", False), SquaredError(), ArrayRows(np.abs(X), Y), 0.0)
    params = -np.ones(dead.n_params)
    solution = minimize(dead, params, LBFGS())
    assert solution.n_iter == 0
    assert measure(dead, solution, thorough=True).on_plateau


def test_kinks_take_the_claim_away() -> None:
    grid = np.arange(-3.0, 4.0)[:, None]
    found = NetworkRegressor(hidden=(1,), activation="relu", n_starts=1, standardize=False, max_iter=1)
    objective_rows = fitted(found, np.abs(grid[:, 0]), grid)
    member = objective_rows.members_[0]
    objective = TrainingObjective(member.network, SquaredError(), ArrayRows(grid, np.abs(grid)), 0.1)
    on_kink = np.array([1.0, -2.0, 0.5, 0.1])  # max(x - 2, 0): its kink is at the row x = 2
    beside = np.array([1.0, -2.5, 0.5, 0.1])
    at_kink = measure(objective, replace(member.solution, params=on_kink), thorough=True)
    assert at_kink.curvature.sign is None
    assert measure(objective, replace(member.solution, params=beside), thorough=True).curvature.sign is not None


def test_a_saddle_is_called_one() -> None:
    objective, _ = tanh_network()
    # All weights zero: every unit is the same, and the gradient of the hidden layer vanishes.
    solution = minimize(objective, np.zeros(objective.n_params), GradientDescent(), tol=1e-8, max_iter=5000)
    end = measure(objective, solution, thorough=True)
    assert solution.converged
    assert end.curvature.sign == -1
    by_products = lanczos(lambda v: objective.hvp(solution.params, v), np.ones(objective.n_params), 1e-10, 10)
    assert by_products.sign == -1
    values = np.linalg.eigvalsh(objective.evaluate(solution.params, 2).hessian)
    assert end.curvature.smallest == pytest.approx(values[0])


def test_lanczos_stays_within_the_spectrum_and_proves_no_minimum() -> None:
    rng = np.random.default_rng(0)
    Q, _ = np.linalg.qr(rng.normal(size=(300, 300)))
    values = np.geomspace(1e-6, 1e3, 300)
    H = (Q * values) @ Q.T
    found = lanczos(lambda v: H @ v, rng.normal(size=300), 1e-12, 40)
    assert found.sign is None
    assert 1e-6 <= found.smallest < 1.0
    assert found.largest == pytest.approx(1e3, rel=1e-6)
    assert found.largest <= 1e3 * (1.0 + 1e-12)


def test_the_sign_is_not_told_within_rounding() -> None:
    for low, rounding, sign in ((1e-3, 1e-6, 1), (1e-7, 1e-6, 0), (-1e-7, 1e-6, 0), (-1e-3, 1e-6, -1)):
        found = exact_spectrum(np.diag([low, 1.0, 2.0]), np.array([0.0, 1.0, 1.0]), np.ones(3), None, rounding)
        assert found.sign == sign
        if sign >= 0:
            assert found.decrement == pytest.approx(1.5**0.5)


def test_eigenvectors_change_nothing_where_they_are_not_needed() -> None:
    """Where Newton's step is short no eigenvectors are computed; the numbers are those of eigenvectors."""
    rng = np.random.default_rng(2)
    root = rng.normal(size=(300, 150)) * np.geomspace(1e-2, 1.0, 150)
    scale = np.exp(rng.normal(size=150))
    H, along = root.T @ root / 300 * scale * scale[:, None], rng.normal(size=150) * scale
    near, far = (exact_spectrum(H, size * along, scale, None, 1e-14) for size in (1e-9, 1.0))
    assert (near.sign, near.flat, near.far) == (1, 0, 0)
    assert far.far > 0
    assert near.decrement == pytest.approx(1e-9 * far.decrement, rel=1e-9)
    assert (near.smallest, near.largest) == pytest.approx((far.smallest, far.largest), rel=1e-9)
    assert near.largest == pytest.approx(np.linalg.eigvalsh(H)[-1], rel=1e-12)
    assert near.smallest == pytest.approx(1.0 / np.linalg.eigvalsh(np.linalg.inv(H))[-1], rel=1e-9)


def test_shifts_of_all_classes_are_left_out() -> None:
    basis = visible_basis(2 + 9, 3, np.array([True, False, True]))
    assert basis is not None
    assert basis.shape == (11, 9)
    assert np.allclose((basis.T @ basis).toarray(), np.eye(9), atol=1e-15)
    shift = np.zeros(11)
    shift[2:5] = 1.0
    assert np.abs(basis.T @ shift).max() < 1e-15
    assert visible_basis(5, 2, np.array([False])) is None


def test_large_fits_leave_it_to_be_measured_later() -> None:
    rng = np.random.default_rng(4)
    wide = rng.normal(size=(300, 800))
    y = (rng.random(300) < 1.0 / (1.0 + np.exp(-wide[:, 0]))).astype(int)
    model = fitted(PerceptronClassifier(solver=LBFGS(), alpha=10.0), y, wide)
    kept = model.certificate_
    assert kept.method == "none"
    assert kept.converged
    assert kept.nature == "minimum"
    whole = kept.recomputed(wide, y)
    assert whole.method == "exact"
    assert whole.loss_gap_bound is not None
    assert kept.verify(wide, y)


@pytest.mark.slow
def test_a_large_network_is_looked_at_by_products(tmp_path: Path) -> None:
    model = fitted(NetworkRegressor(hidden=(150,), n_starts=1, alpha=1.0), BENT)
    found = model.certificate_
    assert (found.method, found.nature) == ("lanczos", "not proved")
    assert found.verify(X, BENT)
    assert not found.verify(X, BENT + 1e-5)
    exact = found.recomputed(X, BENT)
    assert exact.method == "exact"
    # What products see lies within what there is.
    slack = 1e-9 * exact.largest_eigenvalue
    assert exact.smallest_eigenvalue <= found.smallest_eigenvalue + slack
    assert found.largest_eigenvalue == pytest.approx(exact.largest_eigenvalue, rel=1e-6)
    model.save(tmp_path / "m")
    assert load(tmp_path / "m").certificate_ == found


def test_the_same_fit_has_the_same_certificate_on_any_number_of_threads() -> None:
    rng = np.random.default_rng(1)
    many = rng.normal(size=(9000, 3))
    y = (many[:, 0] + rng.normal(size=9000) > 0.0).astype(int)
    one, three = (fitted(PerceptronClassifier(alpha=1.0, n_jobs=jobs), y, many).certificate_ for jobs in (1, 3))
    assert one == three
    assert one.loss_gap_bound is not None


def test_not_fitted_is_told() -> None:
    from sklearn.exceptions import NotFittedError

    assert not hasattr(PerceptronRegressor(), "certificate_")
    with pytest.raises(NotFittedError):
        PerceptronRegressor().certificate_  # noqa: B018


def test_the_matrix_does_not_travel(models: Models) -> None:
    model = fitted(PerceptronClassifier(alpha=1.0), THREE)
    again = pickle.loads(pickle.dumps(model))
    assert model.members_[0].end.hessian is not None
    assert again.members_[0].end.hessian is None
    assert again.certificate_ == model.certificate_
    assert isinstance(again.certificate_, Certificate)
