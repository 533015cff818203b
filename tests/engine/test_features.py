"""Features of columns: their values, their slopes at knots and between, and how knots are learnt."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from newtron.engine.maths.scaling import PieceFeatures, Scaling, taken_inputs
from newtron.engine.rows import ArrayRows
from newtron.training.scaling import learn_scaling, with_asinh, with_pieces

STEP = 1e-6


def rows_of(X: np.ndarray, weight: np.ndarray | None = None) -> ArrayRows:
    return ArrayRows(X, np.zeros((len(X), 1)), weight)


def made(n: int = 60, seed: int = 0) -> tuple[np.ndarray, Scaling]:
    """A column of numbers, one of four values, one of two: three columns with features of each kind."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.normal(size=n), rng.integers(0, 4, n) ** 2.0, rng.integers(0, 2, n)])
    rows = rows_of(X)
    return X, with_pieces(with_asinh(learn_scaling(rows, targets=True), rows), rows, 4)


def test_pieces_are_the_shares_of_a_range_below_a_number() -> None:
    pieces = PieceFeatures(np.array([0, 0, 1]), np.array([0.0, 2.0, -1.0]), np.array([2.0, 6.0, 1.0]))
    X = np.array([[-1.0, 0.0], [0.0, -5.0], [1.0, 1.0], [2.0, 9.0], [5.0, np.nan], [7.0, 0.5]])
    expected = [[0, 0, 0.5], [0, 0, 0], [0.5, 0, 1], [1, 0, 1], [1, 0.75, np.nan], [1, 1, 0.75]]
    np.testing.assert_array_equal(pieces.apply(X), expected)
    # At a knot, the mean of the slopes on both sides.
    slopes = [[0, 0, 0.5], [0.25, 0, 0], [0.5, 0, 0.25], [0.25, 0.125, 0], [0, 0.25, np.nan], [0, 0, 0.5]]
    np.testing.assert_array_equal(pieces.slopes(X), slopes)
    assert pieces.names(("a", "b")) == ("a from 0 to 2", "a from 2 to 6", "b from -1 to 1")


def test_weights_of_pieces_draw_any_line_with_bends_at_the_knots() -> None:
    knots, heights = np.array([-2.0, 0.0, 0.5, 3.0]), np.array([1.0, -1.0, 4.0, 4.5])
    pieces = PieceFeatures(np.zeros(3, dtype=np.intp), knots[:-1], knots[1:])
    x = np.linspace(-2.0, 3.0, 41)
    found = heights[0] + pieces.apply(x[:, None]) @ np.diff(heights)
    np.testing.assert_allclose(found, np.interp(x, knots, heights), atol=1e-14)


def test_knots_are_the_values_where_these_are_few_and_else_quantiles() -> None:
    X = np.column_stack([np.arange(100.0), np.repeat([1.0, 2.0, 5.0, 9.0], 25), np.repeat([0.0, 1.0], 50)])
    rows = rows_of(X)
    pieces = with_pieces(learn_scaling(rows, targets=True), rows, 4).pieces
    assert pieces is not None
    np.testing.assert_array_equal(pieces.columns, [0] * 4 + [1] * 3)  # two values are a straight line already
    np.testing.assert_array_equal(pieces.low, [0, 24, 49, 74, 1, 2, 5])
    np.testing.assert_array_equal(pieces.high, [24, 49, 74, 99, 2, 5, 9])
    # 90 equal values count as 25, the rows of one piece: quantiles at 8.75, 17.5 and 26.25 of 35.
    X = np.concatenate([np.zeros(90), np.arange(1.0, 11.0)])[:, None]
    pieces = with_pieces(Scaling.none(1, 1), rows_of(X), 4).pieces
    assert pieces is not None
    np.testing.assert_array_equal(np.append(pieces.low, pieces.high[-1]), [0, 2, 10])


def test_a_weight_of_two_is_the_row_twice_for_the_knots() -> None:
    rng = np.random.default_rng(1)
    X = np.round(rng.normal(size=(50, 2)), 1)
    weight = rng.integers(0, 4, 50).astype(float)
    weighted = with_pieces(Scaling.none(2, 1), rows_of(X, weight), 5).pieces
    repeated = with_pieces(Scaling.none(2, 1), rows_of(np.repeat(X, weight.astype(int), axis=0)), 5).pieces
    assert weighted is not None
    assert repeated is not None
    for name, array in vars(weighted).items():
        np.testing.assert_array_equal(array, vars(repeated)[name], err_msg=name)


def test_a_column_of_one_or_two_values_has_no_pieces() -> None:
    rows = rows_of(np.column_stack([np.ones(9), np.arange(9) % 2.0]))
    assert with_pieces(Scaling.none(2, 1), rows, 8).features == ()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_inputs_are_columns_then_asinh_then_pieces(dtype: type) -> None:
    X, scaling = made()
    fed = scaling.inputs(X.astype(dtype))
    assert fed.dtype == dtype
    assert scaling.asinh is not None
    assert scaling.pieces is not None
    parts = [(X - scaling.x_center) / scaling.x_scale, scaling.asinh.apply(X), scaling.pieces.apply(X)]
    np.testing.assert_allclose(fed, np.hstack(parts), rtol=0.0, atol=50.0 * float(np.finfo(dtype).eps))
    np.testing.assert_array_equal(scaling.made_of, [0, 1, 2, 0, 1, 0, 0, 0, 0, 1, 1, 1])


def test_a_scaling_takes_the_first_inputs_alone() -> None:
    X, scaling = made()
    for n_inputs, kept in ((3, 0), (5, 1), (12, 2)):
        own = scaling.taking(n_inputs)
        assert (own.n_inputs, len(own.features)) == (n_inputs, kept)
        np.testing.assert_array_equal(own.inputs(X), taken_inputs(scaling.inputs(X), n_inputs))
    with pytest.raises(ValueError, match="no features begin at input 0 and end 7 inputs later"):
        scaling.taking(7)


def test_slopes_are_those_of_central_differences_at_knots_and_between() -> None:
    X, scaling = made()
    assert scaling.pieces is not None
    knots = np.unique(scaling.pieces.low[scaling.pieces.columns == 0])
    X = np.vstack([X, np.column_stack([knots, np.ones(len(knots)), np.zeros(len(knots))])])
    by_inputs = np.random.default_rng(2).normal(size=(len(X), scaling.n_inputs))
    found = scaling.by_given(X, by_inputs)
    for j in range(3):
        tangent = np.zeros_like(X)
        tangent[:, j] = 1.0
        change = (scaling.inputs(X + STEP * tangent) - scaling.inputs(X - STEP * tangent)) / (2.0 * STEP)
        np.testing.assert_allclose(scaling.inputs_along(X, tangent), change, atol=1e-7)
        np.testing.assert_allclose(found[:, j], (by_inputs * change).sum(axis=1), atol=1e-7)


def test_an_offset_is_left_out_of_features_too() -> None:
    X, scaling = made()
    own = replace(scaling, offset=1)
    np.testing.assert_array_equal(own.inputs(np.insert(X, 1, 0.5, axis=1)), scaling.inputs(X))
