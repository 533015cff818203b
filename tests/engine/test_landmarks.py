"""Landmarks: the inputs that they make, their derivatives, and where they are learnt from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from newtron.engine.maths.landmarks import LandmarkFeatures
from newtron.engine.maths.scaling import Scaling
from newtron.engine.rows import ArrayRows
from newtron.training.scaling import learn_scaling, with_asinh, with_landmarks, with_pieces

Array = NDArray[Any]
STEP = 1e-6


def rows_of(X: Array, weight: Array | None = None) -> ArrayRows:
    return ArrayRows(X, np.zeros((len(X), 1)), weight)


def made(n: int = 40) -> Array:
    return np.random.default_rng(0).normal(size=(n, 3)) * [1.0, 10.0, 0.1] + [0.0, 5.0, 1.0]


def landmarks_of(X: Array, weight: Array | None = None, most: int = 150, inputs: int = 150) -> LandmarkFeatures:
    rows = rows_of(X, weight)
    found = with_landmarks(learn_scaling(rows, targets=False), rows, most, inputs).landmarks
    assert found is not None
    return found


def test_products_of_the_inputs_are_the_similarities() -> None:
    X = made()
    found = landmarks_of(X)
    fed = found.apply(X) + found.mean
    kernel = np.exp(-np.abs((X[:, None] - X) * found.rate).sum(axis=2))
    np.testing.assert_allclose(fed @ fed.T, kernel, atol=1e-10)
    np.testing.assert_allclose(found.apply(X).mean(axis=0), 0.0, atol=1e-12)
    # The median distance between two of the landmarks is 1, and each column counts in its standard deviations.
    assert np.median(found.distances(found.points)[np.triu_indices(len(X), 1)]) == pytest.approx(1.0)
    np.testing.assert_allclose(np.ptp(found.rate * X.std(axis=0)), 0.0, atol=1e-12)


def test_fewer_inputs_are_the_directions_that_vary_most() -> None:
    X = made()
    whole, part = landmarks_of(X), landmarks_of(X, inputs=7)
    assert part.factor.shape == (40, 7)
    np.testing.assert_allclose(part.apply(X), whole.apply(X)[:, :7], atol=1e-12)
    spread = np.square(whole.apply(X) + whole.mean).sum(axis=0)
    assert (np.diff(spread) <= 1e-9).all()


def test_derivatives_are_those_of_central_differences_at_landmarks_too() -> None:
    X = made()
    rows = rows_of(X)
    scaling = with_pieces(with_asinh(learn_scaling(rows, targets=False), rows), rows, 4)
    whole = with_landmarks(scaling, rows, 20, 11)
    own = whole.taking(11, whole.n_inputs - 11)
    rng = np.random.default_rng(1)
    at = np.vstack([X[:10], rng.normal(size=(20, 3)) + X[:20]])
    for each in (whole, own):
        by_inputs = rng.normal(size=(len(at), each.n_inputs))
        found = each.by_given(at, by_inputs)
        for j in range(3):
            tangent = np.zeros_like(at)
            tangent[:, j] = 1.0
            change = (each.inputs(at + STEP * tangent) - each.inputs(at - STEP * tangent)) / (2.0 * STEP)
            np.testing.assert_allclose(each.inputs_along(at, tangent), change, atol=1e-5, rtol=1e-5)
            np.testing.assert_allclose(found[:, j], (by_inputs * change).sum(axis=1), atol=1e-4, rtol=1e-5)


def test_a_network_takes_landmarks_alone() -> None:
    X = made()
    rows = rows_of(X)
    scaling = with_landmarks(with_asinh(learn_scaling(rows, targets=False), rows), rows, 20, 11)
    own = scaling.taking(11, 6)
    np.testing.assert_array_equal(own.inputs(X), scaling.inputs(X)[:, 6:])
    np.testing.assert_array_equal(scaling.taking(6).inputs(X), scaling.inputs(X)[:, :6])
    assert set(own.made_of.tolist()) == {-1}
    with pytest.raises(ValueError, match="no features begin at input 3"):
        scaling.taking(14, 3)
    with pytest.raises(ValueError, match="no features begin at input 0 and end 17"):
        scaling.taking(17)
    aside = replace(scaling, aside=(1,))
    np.testing.assert_array_equal(aside.inputs(np.insert(X, 1, 7.0, axis=1)), scaling.inputs(X))


def test_landmarks_depend_on_different_rows_and_not_on_their_order_or_units() -> None:
    X = made()
    found = landmarks_of(X, most=15)
    assert found.points.shape == (15, 3)
    assert all((point == X).all(axis=1).any() for point in found.points)
    mixed = np.random.default_rng(2).permutation(X)
    np.testing.assert_array_equal(landmarks_of(mixed, most=15).points, found.points)
    units = np.array([2.0, 0.25, 1024.0])
    moved = landmarks_of(X * units, most=15)
    np.testing.assert_array_equal(moved.points, found.points * units)
    np.testing.assert_allclose(moved.apply(X * units), found.apply(X), atol=1e-10)
    weight = np.random.default_rng(3).integers(0, 4, len(X)).astype(np.float64)
    weighted = landmarks_of(X, weight, most=15)
    repeated = landmarks_of(np.repeat(X, weight.astype(int), axis=0), most=15)
    np.testing.assert_array_equal(weighted.points, repeated.points)
    np.testing.assert_allclose(weighted.apply(X), repeated.apply(X), atol=1e-9)


def test_equal_rows_have_no_landmarks() -> None:
    rows = rows_of(np.ones((5, 2)))
    assert with_landmarks(Scaling.none(2, 1), rows, 150, 150).landmarks is None


def test_two_values_are_as_far_apart_however_rare_one_is() -> None:
    X = made()
    for rare in (1, 20):
        flag = np.where(np.arange(40) < rare, 3.0, 5.0)
        found = landmarks_of(np.column_stack([X, flag, np.ones(40)]))
        # Two standard deviations of a column whose halves have either value.
        assert 2.0 * found.rate[3] == pytest.approx(2.0 * found.rate[0] * X[:, 0].std())
