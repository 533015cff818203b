"""Default networks with pieces of columns: who takes them, and what is told and computed of them."""

from __future__ import annotations

import runpy
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from newtron import NetworkClassifier, NetworkRegressor, load
from newtron.engine.maths.network import Network
from newtron.model.columns_changed import ColumnsChanged
from newtron.model.predicting import predicted
from newtron.model.slopes import input_slopes
from newtron.training import mix
from newtron.training.task import Kind

Array = NDArray[Any]
STEP = 1e-6


@cache
def fitted() -> tuple[NetworkRegressor, Array, Array]:
    """A default regression of a bend and of steps, with n = 120 rows of three columns."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=120), rng.integers(0, 5, 120), rng.integers(0, 2, 120)])
    y = np.abs(X[:, 0]) + np.array([0.0, 2.0, 2.0, -1.0, 0.0])[X[:, 1].astype(int)] + 0.2 * rng.normal(size=120)
    return NetworkRegressor(n_starts=1).fit(X, y), X, y


def test_one_kind_of_member_takes_pieces_and_helps() -> None:
    model, X, y = fitted()
    scaling = model.scaling_
    assert scaling.pieces is not None
    np.testing.assert_array_equal(np.bincount(scaling.pieces.columns), [8, 4])  # five values, and two in the third
    widths = [member.network.widths[0] for member in model.members_]
    assert set(widths) == {5, 17}
    with_pieces = [member for member in model.members_ if member.network.widths[0] == 17]
    assert 0.1 < sum(member.share for member in with_pieces) < 1.0
    assert all(member.network.n_params <= 0.6 * len(X) for member in with_pieces)
    assert model.score(X, y) > 0.95


def test_slopes_are_right_at_knots_and_between() -> None:
    model, X, _ = fitted()
    assert model.scaling_.pieces is not None
    knots = model.scaling_.pieces.low[:8]
    rows = np.vstack([X[:40], np.column_stack([knots, np.arange(8.0) % 4.0, np.zeros(8)])])
    found = input_slopes(model.model_, rows)[:, 0]
    for j in range(3):
        move = STEP * np.eye(3)[j]
        change = (model.predict(rows + move) - model.predict(rows - move)) / (2.0 * STEP)
        np.testing.assert_allclose(found[:, j], change, atol=1e-6)


def test_columns_that_change_change_their_pieces() -> None:
    model, X, _ = fitted()
    order = np.random.default_rng(1).permutation(len(X))
    shuffled = X.copy()
    shuffled[:, 1] = X[order, 1]
    found = ColumnsChanged(model.model_, X).predicted(slice(1, 2), order[None])
    np.testing.assert_allclose(found, predicted(model.model_, shuffled), rtol=1e-12)


def test_a_file_and_an_export_predict_the_same(tmp_path: Path) -> None:
    model, X, y = fitted()
    model.save(tmp_path / "model.newtron")
    again = load(tmp_path / "model.newtron")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    np.testing.assert_array_equal(again.predict_interval(X), model.predict_interval(X))
    assert model.certificate_.verify(X, y)
    model.export(tmp_path / "model.py")
    found = runpy.run_path(str(tmp_path / "model.py"))["predict"](np.vstack([X, [1e300, 7.0, 1.0]]))
    expected = model.predict(np.vstack([X, [1e300, 7.0, 1.0]]))
    np.testing.assert_allclose(np.ravel(found), expected, rtol=1e-12)


def test_the_derivation_shows_pieces_in_the_users_numbers() -> None:
    model, X, y = fitted()
    place = next(i for i, member in enumerate(model.members_) if member.network.widths[0] == 17)
    told = str(model.explain(X[:1], y[:1], member=place + 1))
    assert "x = min(1, max(0, (given - from) / (to - from)))" in told
    assert "x2 from 1 to 2" in told
    plain = str(model.explain(X[:1], y[:1], member=1))
    assert "from 1 to 2" not in plain


def test_rows_left_out_promise_what_new_rows_get() -> None:
    model, _, _ = fitted()
    rng = np.random.default_rng(7)
    X = np.column_stack([rng.normal(size=4000), rng.integers(0, 5, 4000), rng.integers(0, 2, 4000)])
    y = np.abs(X[:, 0]) + np.array([0.0, 2.0, 2.0, -1.0, 0.0])[X[:, 1].astype(int)] + 0.2 * rng.normal(size=4000)
    ends = model.predict_interval(X, coverage=0.9)
    assert 0.85 < np.mean((ends[:, 0] <= y) & (y <= ends[:, 1])) < 0.97
    assert model.model_.left_out_loss == pytest.approx(-model.log_density(X, y).mean(), abs=0.25)


def test_networks_with_pieces_shrink_as_a_problem_grows() -> None:
    """More columns, more outputs or fewer rows never lead to more units of a network or more parameters."""

    def sizes(task: str, n: int, columns: int, k: int) -> tuple[int, int]:
        of_task = mix.kinds_of_regression if task == "regression" else mix.kinds_of_classes
        kinds = of_task(n, 2 * columns, (10 if task == "regression" else 6) * columns, k)
        with_pieces = [kind for kind in kinds if kind.n_inputs > 2 * columns]
        parameters = [Network((kind.n_inputs, *kind.shape, k)).n_params for kind in kinds if kind.shape]
        assert max(parameters, default=0) <= 2000
        return sum(sum(kind.shape) for kind in with_pieces), max(map(len, (kind.shape for kind in kinds)))

    for task in ("regression", "classification"):
        for n, columns, k in product((20, 100, 300, 1000, 3000), (1, 3, 15, 50, 200), (1, 2, 5, 20)):
            own = sizes(task, n, columns, k)
            for harder in ((n, columns + 10, k), (n, columns, k + 1), (n // 2, columns, k)):
                assert all(a <= b for a, b in zip(sizes(task, *harder), own, strict=True)), (task, n, columns, k)


def test_classes_get_a_network_on_pieces_where_it_has_half_of_the_units() -> None:
    assert mix.kinds_of_classes(200, 18, 51, 6) == (Kind((), 18), Kind((10,), 51))
    assert mix.kinds_of_classes(200, 18, 18, 6) == (Kind((), 18), Kind((10,), 18))  # no column has pieces
    assert mix.kinds_of_classes(200, 200, 1200, 2) == (Kind((), 200), Kind((9,), 200))
    rng = np.random.default_rng(2)
    X = np.column_stack([rng.normal(size=120), rng.integers(0, 4, 120)])
    classes = NetworkClassifier(n_starts=1).fit(X, np.abs(X[:, 0]) + (X[:, 1] == 2) > 1.0)
    assert [member.network.widths for member in classes.members_] == [(4, 1), (120, 1), (11, 10, 1)]
    assert classes.members_[0].share < 0.2  # it cannot say that both tails are alike


def test_rows_that_are_not_standardised_have_no_pieces() -> None:
    _, X, y = fitted()
    assert NetworkRegressor(n_starts=1, standardize=False, alpha=1.0).fit(X, y).scaling_.features == ()
