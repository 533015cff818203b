"""Default classifiers have a perceptron that compares rows with landmarks: what is made and computed of it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from newtron import NetworkClassifier, NetworkRegressor, load
from newtron.model.columns_changed import ColumnsChanged
from newtron.model.slopes import input_slopes
from newtron.training import mix

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
