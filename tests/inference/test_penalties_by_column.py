"""Penalties by column: their rule, and what a network with them makes of columns that say nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_friedman1

from newtron import NetworkRegressor
from newtron.engine.base.types import Array
from newtron.engine.maths.network import Network
from newtron.inference.penalties.by_column import SWITCHED_OFF, column_factors, common_penalty, factors_of_inputs
from newtron.study.report.relevance import penalty_facts, relevance_table

RNG = np.random.default_rng(3)
NETWORK = Network((5, 3, 2))
COLUMNS = np.array([0, 1, 2, 0, 1])
PARAMS = RNG.normal(size=NETWORK.n_params)
# Five of these ten columns say nothing of the targets.
X, Y = make_friedman1(100, noise=0.5, random_state=0)
MEANING = 5


def test_factors_are_the_fixed_point_of_the_mean_squares() -> None:
    factors = column_factors(NETWORK, PARAMS, COLUMNS)
    W = NETWORK.split(PARAMS)[0].W
    for column in range(3):
        inputs = np.flatnonzero(column == COLUMNS)
        ratio = np.mean(W[inputs] ** 2) / np.mean(W**2)
        np.testing.assert_allclose(NETWORK.split(factors)[0].W[inputs], 1.05 / (ratio + 0.05), rtol=1e-12)
    assert (factors[NETWORK.spans[0].stop :] == 1.0).all()
    np.testing.assert_array_equal(NETWORK.split(factors)[0].b, 1.0)
    np.testing.assert_allclose(factors_of_inputs(NETWORK, 3.0 * factors), NETWORK.split(factors)[0].W[:, 0])
    assert common_penalty(NETWORK, 3.0 * factors) == 3.0


def test_factors_follow_the_columns_and_not_their_order() -> None:
    order = np.array([3, 0, 4, 1, 2])
    moved = PARAMS.copy()
    NETWORK.split(moved)[0].W[:] = NETWORK.split(PARAMS)[0].W[order]
    found = column_factors(NETWORK, moved, COLUMNS[order])
    expected = factors_of_inputs(NETWORK, column_factors(NETWORK, PARAMS, COLUMNS))[order]
    np.testing.assert_allclose(factors_of_inputs(NETWORK, found), expected, rtol=1e-12)


def test_without_weights_or_with_equal_ones_all_have_the_common_penalty() -> None:
    assert (column_factors(NETWORK, np.zeros(NETWORK.n_params), COLUMNS) == 1.0).all()
    np.testing.assert_allclose(column_factors(NETWORK, np.ones(NETWORK.n_params), COLUMNS), 1.0)


@pytest.fixture(scope="module")
def fitted() -> NetworkRegressor:
    return NetworkRegressor(hidden=(4,), n_starts=1).fit(X, Y)


def factors_of(model: NetworkRegressor) -> Array:
    member = model.model_.members[0]
    return factors_of_inputs(member.network, member.alpha)


def test_columns_without_meaning_get_the_strongest_penalties(fitted: NetworkRegressor) -> None:
    factors = factors_of(fitted)
    assert factors[MEANING:].min() > 3.0 * factors[:MEANING].max()
    new, targets = make_friedman1(1000, noise=0.5, random_state=1)
    with_common = [NetworkRegressor(hidden=(4,), n_starts=1, alpha=alpha).fit(X, Y) for alpha in (0.3, 1.0, 3.0, 10.0)]
    errors = [np.mean(np.square(model.predict(new) - targets)) for model in (fitted, *with_common)]
    assert errors[0] < 0.8 * min(errors[1:])
    assert fitted.certificate_.verify(X, Y)


def test_neither_units_nor_threads_change_them(fitted: NetworkRegressor) -> None:
    units = 2.0 ** np.arange(-5, 5)
    moved = NetworkRegressor(hidden=(4,), n_starts=1, n_jobs=2).fit(X * units, 8.0 * Y)
    np.testing.assert_array_equal(factors_of(moved), factors_of(fitted))


def test_what_is_said_of_them(fitted: NetworkRegressor) -> None:
    model, names = fitted.model_, [f"x{j}" for j in range(10)]
    low, high = factors_of(fitted).min(), factors_of(fitted).max()
    assert f"from {low:.2g} to {high:.2g} times as strong on the weights of single columns" in fitted.solution_.chosen
    table = relevance_table(model, names)
    assert table is not None
    header, rows, after = table
    assert header == ["column", "relevance", "penalty"]
    assert {row[0]: row[2] for row in rows} == {
        name: f"x {factor:.2g}" for name, factor in zip(names, factors_of(fitted), strict=True)
    }
    kept = int((factors_of(fitted) < SWITCHED_OFF).sum())
    assert f"{kept} of 10 columns get less than 10 times the penalty" in after[1]
    assert penalty_facts(model, names) == pytest.approx(dict(zip(names, factors_of(fitted), strict=True)))
    text = " ".join(str(fitted.explain(X[:2], Y[:2])).split())
    assert "on the other weights and hidden intercepts" in text
    assert "on the weights from the inputs, by column" in text


def test_the_levels_of_a_category_share_a_penalty() -> None:
    level = RNG.integers(0, 3, size=len(Y))
    frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(10)])
    frame.insert(2, "town", np.array(["p", "q", "r"])[level])
    model = NetworkRegressor(hidden=(4,), n_starts=1, intercepts=None).fit(frame, Y + 4.0 * (level == 1))
    names = model.model_.data.names
    assert names is not None
    factors = dict(zip(names, factors_of(model), strict=True))
    towns = {factor for name, factor in factors.items() if name.startswith("town=")}
    assert len(names) == 12
    assert len(towns) == 1
    assert towns != {1.0}
    assert penalty_facts(model.model_, list(names)) == pytest.approx(factors)
