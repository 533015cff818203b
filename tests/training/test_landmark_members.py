"""Default classifiers have a perceptron that compares rows with landmarks: what is made and computed of it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from newtron import NetworkClassifier, NetworkRegressor, load
from newtron.engine.base.errors import InputError
from newtron.engine.maths.scaling import Scaling
from newtron.engine.rows import ArrayRows
from newtron.inference.posterior import raw_predictions
from newtron.model.columns_changed import ColumnsChanged
from newtron.model.slopes import input_slopes
from newtron.model_file.checks import check_model
from newtron.play.of_model import session_of
from newtron.training import mix
from newtron.training.predictive import posteriors_of
from newtron.training.scaling import with_landmarks

Array = NDArray[Any]
STEP = 1e-6


@cache
def fitted() -> tuple[NetworkClassifier, Array, Array]:
    """A default classifier of islands: one of three classes wherever the cell of a chess board has it, 150 rows."""
    rng = np.random.default_rng(0)
    X = rng.uniform(0.0, 3.0, size=(150, 2)) * [1.0, 100.0]
    cell = np.floor(X / [1.0, 100.0]).astype(int)
    y = np.array([[0, 1, 2], [2, 0, 1], [1, 2, 0]])[cell[:, 0], cell[:, 1]]
    return NetworkClassifier(n_starts=1, random_state=0).fit(X, y), X, y


def test_a_perceptron_on_landmarks_helps_where_classes_are_islands() -> None:
    model, X, _ = fitted()
    scaling = model.scaling_
    assert scaling.landmarks is not None
    (own,) = (member for member in model.members_ if member.first_input)
    assert own.hidden == ()
    assert own.solution.converged
    # Two classes beside the last and 500 parameters of which the information is kept.
    assert own.network.widths == (150, 3)
    assert own.share > 0.2
    assert all((point == X).all(axis=1).any() for point in scaling.landmarks.points)


def test_slopes_are_right() -> None:
    model, X, _ = fitted()
    rows = X[:20] + np.array([0.05, 5.0])
    found = input_slopes(model.model_, rows)
    for j, unit in enumerate((1.0, 100.0)):
        move = STEP * unit * np.eye(2)[j]
        change = (model.predict_proba(rows + move) - model.predict_proba(rows - move)) / (2.0 * STEP)
        np.testing.assert_allclose(found[..., j] * unit, change, atol=2e-5)


def test_shuffled_columns_are_those_predicted() -> None:
    model, X, _ = fitted()
    rng = np.random.default_rng(1)
    orders = np.array([rng.permutation(30) for _ in range(2)])
    changed = ColumnsChanged(model.model_, X[:30])
    for j in range(2):
        rows = np.vstack([X[:30]] * 2)
        rows[:, j] = X[:30, j][orders.ravel()]
        np.testing.assert_allclose(changed.predicted(slice(j, j + 1), orders), model.predict_proba(rows), atol=1e-12)


def test_a_saved_model_predicts_the_same(tmp_path: Path) -> None:
    model, X, _ = fitted()
    model.save(tmp_path / "m.newtron")
    np.testing.assert_array_equal(load(tmp_path / "m.newtron").predict_proba(X), model.predict_proba(X))


def test_what_has_no_landmarks() -> None:
    _, X, y = fitted()
    X, y = X[:40], y[:40]
    for model in (
        NetworkRegressor(n_starts=1, alpha=1.0).fit(X, y),
        NetworkClassifier(n_starts=1, alpha=1.0, standardize=False).fit(X, y),
        NetworkClassifier(hidden=[(), (2,)], n_starts=1, alpha=1.0).fit(X, y),
    ):
        assert model.scaling_.landmarks is None
        assert not any(member.first_input for member in model.members_)


def test_inputs_of_landmarks_fall_as_outputs_rise_and_keep_what_a_perceptron_keeps() -> None:
    for n_inputs in (2, 20, 80, 300):
        found = [mix.inputs_of_landmarks(n_inputs, k) for k in range(1, 300)]
        for k, inputs in enumerate(found, start=1):
            if (n_inputs + 1) * k <= 500:
                assert (inputs + 1) * k <= 500
            assert inputs * k <= 2000
    assert mix.inputs_of_landmarks(20, 1) == 150
    assert mix.inputs_of_landmarks(20, 6) == 82
    assert mix.inputs_of_landmarks(90, 15) == 133
    assert mix.inputs_of_landmarks(5, 2500) == 0


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_units_of_a_column_do_not_matter(scale: float) -> None:
    _, X, y = fitted()
    one, other = (
        NetworkClassifier(n_starts=1, alpha=1.0, random_state=0).fit(X[:60] * unit, y[:60]) for unit in (1.0, scale)
    )
    np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X * scale), atol=1e-6)


def test_posteriors_are_those_of_the_members_own_inputs() -> None:
    model, X, _ = fitted()
    found = model.model_
    posteriors = posteriors_of(found.sharing, found.loss)
    assert not isinstance(posteriors, str)
    assert any(member.first_input for member in found.sharing)
    fed = found.scaling.inputs(X[:20])
    for member, (z, _) in zip(found.sharing, raw_predictions(posteriors, fed), strict=True):
        np.testing.assert_allclose(z, member.output(fed), atol=1e-10)
    known = model.predict_uncertainty(X)
    assert 0.0 < float(known.model_std.mean()) < float(np.sqrt(0.25))


def test_a_model_keeps_no_rows_that_it_does_not_need() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1500, 2))
    X[:, 0] += 100.0 * np.sign(X[:, 0])
    model = NetworkClassifier(n_starts=1, random_state=0).fit(X, X[:, 0] > 0.0)
    assert len(model.members_) == 1  # the perceptron explains the rows left out
    assert model.scaling_.landmarks is None


def test_a_column_that_did_not_vary_moves_no_prediction() -> None:
    _, X, y = fitted()
    X = np.column_stack([X, np.full(len(X), 2020.0)])
    model = NetworkClassifier(n_starts=1, alpha=1.0, random_state=0).fit(X[:60], y[:60])
    later = X[60:] + np.array([0.0, 0.0, 4.0])
    np.testing.assert_allclose(model.predict_proba(later), model.predict_proba(X[60:]), atol=1e-12)


def test_numbers_at_the_ends_of_floating_point() -> None:
    X = np.random.default_rng(0).normal(size=(30, 2))
    X[:, 0] = np.sign(X[:, 0])
    for size, there in ((1.7e308, True), (1.0, True), (1e-310, False)):
        rows = ArrayRows(X * [size, 1.0], np.zeros((30, 1)))
        found = with_landmarks(Scaling.none(2, 1), rows, 150, 150).landmarks
        assert (found is not None) == there
        assert found is None or np.isfinite(found.factor).all()
        assert with_landmarks(Scaling.none(2, 1), rows, 150, 0).landmarks is None


def test_a_training_that_was_ended_among_landmarks_is_not_drawn() -> None:
    _, X, y = fitted()
    model = NetworkClassifier(n_starts=1, random_state=0, callback=lambda progress: progress.member == 1)
    with pytest.warns(ConvergenceWarning):
        model.fit(X[:60], y[:60])
    assert [member.first_input > 0 for member in model.members_] == [True]
    with pytest.raises(InputError, match="network on landmarks alone"):
        session_of(model.model_, None, None)


def test_the_best_may_be_the_one_on_landmarks_and_another_is_shown() -> None:
    _, X, y = fitted()
    model = NetworkClassifier(n_starts=1, alpha=0.01, combine="best", random_state=0).fit(X[:60], y[:60])
    values = [member.solution.value for member in model.members_]
    assert [member.share for member in model.members_] == np.eye(len(values))[np.argmin(values)].tolist()


def test_files_say_where_landmarks_do_not_fit(tmp_path: Path) -> None:
    model, *_ = fitted()
    one = replace(model.model_, settings=replace(model.model_.settings, task="regression", loss="auto"))
    with pytest.raises(InputError):
        check_model(one)
