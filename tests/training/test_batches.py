"""Many rows: large networks trained in batches, the rows that they hold out, and how much is spent."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import make_friedman1

from newtron import FileRows, NetworkClassifier, NetworkRegressor
from newtron.engine import Progress, Status
from newtron.engine.base.types import Array
from newtron.engine.maths.losses import loss_for
from newtron.engine.maths.network import Network
from newtron.training.batches import (
    epochs_of,
    large_shape,
    penalty_in_batches,
    pieces_of_a_column,
    shape_beside,
    worth_training,
)
from newtron.training.effort import EFFORTS
from newtron.training.forecast import Forecast

ROWS = (3_001, 10_000, 45_000, 500_000)
INPUTS = (1, 10, 100, 3_000)
OUTPUTS = (1, 3, 26)


def test_the_width_follows_the_rows_and_never_rises_with_inputs_or_outputs() -> None:
    width = np.array([[[large_shape(n, p, k)[0] for k in OUTPUTS] for p in INPUTS] for n in ROWS])
    assert (np.diff(width, axis=0) >= 0).all()
    assert (np.diff(width, axis=1) <= 0).all()
    assert (np.diff(width, axis=2) <= 0).all()
    assert width[0, 0, 0] < width[1, 0, 0] < width[2, 0, 0]
    parameters = [Network((p, *large_shape(n, p, k), k)).n_params for n in ROWS for p in INPUTS for k in OUTPUTS]
    assert max(parameters) <= 100_000


def test_pieces_become_fewer_with_columns_and_rows() -> None:
    for rows in ROWS:
        found = [pieces_of_a_column(rows, columns) for columns in (1, 4, 9, 16, 40, 60)]
        assert all(later <= former for former, later in pairwise(found))
    assert pieces_of_a_column(10_000, 4) == 48
    assert pieces_of_a_column(10_000, 0) == pieces_of_a_column(10_000_000, 9) == 0


def test_more_effort_is_never_less_of_anything() -> None:
    fast, default, best = (EFFORTS[name] for name in ("fast", "default", "best"))
    for less, more in ((fast, default), (default, best)):
        assert less.members < more.members
        assert less.starts < more.starts
        assert less.penalties < more.penalties
        for loss in (loss_for("regression", None, 1), loss_for("classification", None, 1)):
            assert all(epochs_of(less, rows, loss) <= epochs_of(more, rows, loss) for rows in ROWS)
            assert epochs_of(less, 10_000, loss) < epochs_of(more, 10_000, loss)


def test_kinds_that_are_clearly_worse_take_no_part() -> None:
    assert worth_training([float("nan"), 1.0, 1.09, 1.2]) == [True, True, True, False]
    assert worth_training([-1.0, -0.95, -0.5]) == [True, True, False]


def test_the_network_beside_shrinks_with_inputs_and_is_left_out_where_steps_are_long() -> None:
    found = [shape_beside(4_000, p, 1) for p in (1, 20, 40, 100)]
    assert found == [(10, 10), (10, 10), (7, 7), ()]
    assert shape_beside(4_000, 10, 3) == (10, 10)
    assert shape_beside(100_000, 10, 1) == ()


def test_no_further_penalty_is_tried_for_a_kind_that_is_clearly_worse() -> None:
    """The loss is (log10 of the penalty + 2)² + 1: it is least for .01."""

    def tried(beside: float) -> tuple[float, int]:
        fake: Any = SimpleNamespace(network=None, loss=None)
        fit: Any = lambda strength: SimpleNamespace(params=strength, status=Status.EARLY_STOPPED)  # noqa: E731
        fake.loss_of = lambda network, loss, strength: float((np.log10(strength) + 2.0) ** 2 + 1.0)
        held_out: Any = SimpleNamespace(loss=fake.loss_of)
        best, number = penalty_in_batches(fake, held_out, fit, 5, beside)
        return round(best.strength, 9), number

    assert tried(np.inf) == (0.01, 4)
    assert tried(4.5) == (0.01, 4)  # 5 is within a quarter of it
    assert tried(3.0) == (1.0, 1)


def friedman(rows: int, seed: int = 0) -> tuple[Array, Array]:
    X, y = make_friedman1(rows, n_features=6, noise=1.0, random_state=seed)
    return X, y


FORETOLD: list[Forecast] = []
TAKEN: list[float] = []


@pytest.fixture(scope="module")
def fast() -> NetworkRegressor:
    model = NetworkRegressor(effort="fast", n_jobs=1)
    model.foretell_to(FORETOLD.append)
    started = perf_counter()
    model.fit(*friedman(3_500))
    TAKEN.append(perf_counter() - started)
    return model


def test_the_time_that_is_foretold_has_the_order_of_that_taken(fast: NetworkRegressor) -> None:
    del fast
    (forecast,), (taken,) = FORETOLD, TAKEN
    assert taken / 10.0 < forecast.seconds < 10.0 * taken
    assert forecast.members == forecast.members_fast == 7


def test_a_forecast_is_told_where_it_is_worth_it() -> None:
    assert Forecast(1.9, 5, False, 0.5, 3).sentence == ""
    told = Forecast(43.0, 10, False, 5.2, 6).sentence
    assert told == "about 40 s for 10 networks; effort='fast' trains 6 in about 5 s"
    assert Forecast(140.0, 6, True, 140.0, 6).sentence == "about 2 min for 6 networks"


def test_small_networks_have_a_forecast_too() -> None:
    X, y = friedman(300)
    told: list[Forecast] = []
    model = NetworkRegressor(n_jobs=1, max_iter=1)
    model.foretell_to(told.append)
    with pytest.warns(UserWarning, match="the limit on iterations"):
        model.fit(X, y)
    assert 0.0 < told[0].seconds_fast < told[0].seconds < 600.0


def test_many_rows_are_learnt_in_batches_to_near_the_noise(fast: NetworkRegressor) -> None:
    X, y = friedman(4_000, seed=1)
    assert np.sqrt(np.mean(np.square(fast.predict(X) - y))) < 1.1  # the noise is 1, a perceptron has 2.6
    large = [member for member in fast.members_ if member.network.n_params > 400]
    assert len(large) in (3, 6)
    assert all(member.solution.status is Status.EARLY_STOPPED for member in large)
    assert "rows held out" in fast.solution_.chosen
    low, high = fast.predict_interval(X, coverage=0.9).T
    assert 0.87 < np.mean((low <= y) & (y <= high)) < 0.93


def test_threads_change_no_bit(fast: NetworkRegressor) -> None:
    X, y = friedman(3_500)
    assert np.array_equal(NetworkRegressor(effort="fast", n_jobs=2).fit(X, y).predict(X), fast.predict(X))


def test_a_training_in_batches_resumes_to_the_same_bits(fast: NetworkRegressor, tmp_path: Path) -> None:
    X, y = friedman(3_500)
    path, seen = tmp_path / "training.checkpoint", 0

    def interrupt(progress: Progress) -> bool:
        nonlocal seen
        seen += 1
        if seen == 24:
            raise KeyboardInterrupt
        return False

    with pytest.warns(UserWarning, match="interrupted"):
        stopped = NetworkRegressor(effort="fast", callback=interrupt).fit(X, y, checkpoint=path)
    assert np.isfinite(stopped.predict(X)).all()
    resumed = NetworkRegressor(effort="fast").fit(X, y, checkpoint=path)
    assert np.array_equal(resumed.predict(X), fast.predict(X))


def test_rows_of_a_file_are_learnt_in_batches_too(tmp_path: Path) -> None:
    X, y = friedman(3_500)
    path = tmp_path / "rows.csv"
    names = ",".join([*(f"x{j}" for j in range(6)), "y"])
    np.savetxt(path, np.column_stack([X, y]), delimiter=",", header=names, comments="")
    model = NetworkRegressor(effort="fast").fit_rows(FileRows(path, target="y"))
    new, target = friedman(2_000, seed=1)
    assert np.sqrt(np.mean(np.square(model.predict(new) - target))) < 1.2


def test_many_classes_and_a_category_of_many_levels() -> None:
    rng = np.random.default_rng(0)
    level = rng.integers(0, 60, 4_000)
    effect = rng.normal(0.0, 2.0, 60)
    x = rng.normal(size=(4_000, 2))
    score = effect[level] + x[:, 0] * x[:, 1] + 0.3 * rng.logistic(size=4_000)
    label = np.digitize(score, [-1.0, 1.0])
    X = np.column_stack([x, np.eye(60)[level]])
    model = NetworkClassifier(effort="fast").fit(X[:3_200], label[:3_200])
    assert model.score(X[3_200:], label[3_200:]) > 0.75
    assert any(len(member.hidden) == 2 and member.share > 0 for member in model.members_)


def test_a_target_with_next_to_no_noise_is_followed() -> None:
    rng = np.random.default_rng(2)
    X = rng.uniform(-1.0, 1.0, (4_100, 3))
    y = np.sin(2.0 * X[:, 0]) + X[:, 1] * X[:, 2]
    noisy = y + 1e-3 * rng.normal(size=len(y))
    model = NetworkRegressor(effort="fast").fit(X[:3_100], noisy[:3_100])
    assert np.sqrt(np.mean(np.square(model.predict(X[3_100:]) - y[3_100:]))) < 1e-3
    low, high = model.predict_interval(X[3_100:], coverage=0.9).T
    assert 0.87 < np.mean((low <= noisy[3_100:]) & (noisy[3_100:] <= high)) < 0.93


def test_kinds_are_compared_with_their_random_intercepts() -> None:
    """Values of one column that recur have effects of their own: networks that take the column in pieces learn the
    values by heart and leave less to the intercepts, and new rows are predicted worse."""
    rng = np.random.default_rng(3)
    value = rng.integers(0, 250, 4_500)
    X = np.column_stack([value / 250.0, rng.uniform(-1.0, 1.0, (4_500, 2))])
    y = 0.5 * rng.normal(size=250)[value] + np.sin(2.0 * X[:, 1]) * X[:, 2] + 0.2 * rng.normal(size=4_500)
    model = NetworkRegressor(effort="fast").fit(X[:3_500], y[:3_500])
    assert {member.network.widths[0] for member in model.members_ if member.share > 0.01} == {3}
    assert np.sqrt(np.mean(np.square(model.predict(X[3_500:]) - y[3_500:]))) < 0.23  # the noise is .2
