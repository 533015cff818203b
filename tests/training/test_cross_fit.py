"""Rows that are really left out: how they are divided, and what models say that were trained without them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from newtron.engine.maths.losses import loss_for
from newtron.engine.maths.network import Network
from newtron.engine.objective import TrainingObjective
from newtron.engine.rows import ArrayRows
from newtron.engine.solvers import Newton, Solution, minimize
from newtron.inference.penalties.penalty_path import network_penalties
from newtron.training.cross_fit import PARTS, Stage, cross_fit, divided, left_out_of

Array = NDArray[Any]

RNG = np.random.default_rng(5)
X = RNG.normal(size=(103, 3))
CLASSES = np.eye(3)[np.r_[np.zeros(60), np.ones(32), np.full(11, 2)].astype(int)]
NUMBERS = X @ [[1.0], [0.5], [0.0]] + RNG.normal(size=(103, 1))


def parts_of(X: Any, Y: Array, weight: Array | None = None, classes: bool = True) -> Array:
    return divided(ArrayRows(X, Y, weight), classes, 0).part


def test_each_part_has_its_share_of_rows_and_classes() -> None:
    part = parts_of(X, CLASSES)
    for of_class in CLASSES.T:
        sizes = np.bincount(part[of_class == 1.0], minlength=PARTS)
        assert sizes.max() - sizes.min() <= 1
    part = parts_of(X, NUMBERS, classes=False)
    means = np.array([NUMBERS[part == number].mean() for number in range(PARTS)])
    assert np.ptp(means) < 0.3 * NUMBERS.std()  # random parts differ by about one standard deviation over sqrt(20)


def test_parts_do_not_depend_on_units_or_on_how_rows_are_repeated() -> None:
    part = parts_of(X, CLASSES)
    np.testing.assert_array_equal(parts_of(X * [1e3, -2.0, 1e-5] + 7.0, CLASSES), part)
    np.testing.assert_array_equal(parts_of(sparse.csr_matrix(X), CLASSES), part)
    times = RNG.integers(0, 4, size=len(X))
    weighted = parts_of(X, CLASSES, times.astype(np.float64))
    repeated = parts_of(np.repeat(X, times, axis=0), np.repeat(CLASSES, times, axis=0))
    assert set(weighted[times == 0]) == {-1}
    np.testing.assert_array_equal(repeated, np.repeat(weighted, times))


def test_only_copies_stay_together() -> None:
    """Inputs that occur with several targets are no copies: new rows will have the same inputs."""
    few = RNG.integers(0, 2, size=(200, 2)).astype(np.float64)
    noisy = np.eye(2)[RNG.integers(0, 2, size=200)]
    part = parts_of(few, noisy)
    alike = (few == few[0]).all(axis=1) & (noisy == noisy[0]).all(axis=1)
    assert set(part[alike]) == set(range(PARTS))
    copies = parts_of(np.tile(X, (4, 1)), np.tile(NUMBERS, (4, 1)), classes=False).reshape(4, len(X))
    assert (copies == copies[0]).all()


def test_places_that_were_measured_several_times_stay_together_in_a_regression() -> None:
    noisy = np.tile(NUMBERS, (3, 1)) + RNG.normal(size=(3 * len(X), 1))
    copies = parts_of(np.tile(X, (3, 1)), noisy, classes=False).reshape(3, len(X))
    assert (copies == copies[0]).all()
    few = RNG.integers(0, 2, size=(200, 2)).astype(np.float64)  # new rows have the same inputs again
    part = parts_of(few, RNG.normal(size=(200, 1)), classes=False)
    assert set(part[(few == few[0]).all(axis=1)]) == set(range(PARTS))


def test_a_class_of_one_row_is_in_every_training() -> None:
    Y = np.eye(4)[np.r_[np.arange(100) % 2, 2, 3, 3]]
    part = parts_of(X, Y)
    assert part[100] == -1
    assert part[101] != part[102]


@pytest.mark.parametrize("weighted", [False, True])
def test_the_loss_of_rows_left_out_is_that_of_trainings_without_them(weighted: bool) -> None:
    network, loss = Network((3, 1)), loss_for("regression", None, 1)
    weight = RNG.integers(0, 3, size=len(X)).astype(np.float64) if weighted else None
    rows = ArrayRows(X, NUMBERS, weight)
    division = divided(rows, False, 0)

    def fit(objective: TrainingObjective, params: Array, part: int) -> Solution:
        return minimize(objective, params, Newton(), tol=1e-12)

    found = cross_fit(network, loss, rows, division, lambda part: np.zeros(4), fit, threads=2)
    w = np.ones(len(X)) if weight is None else weight
    for stage in found.stages:
        raw = np.full((len(X), 1), np.nan)
        for part in range(PARTS):
            kept, out = (division.part != part) & (w > 0.0), division.part == part
            A = np.column_stack([X, np.ones(len(X))])
            G = (A[kept].T * w[kept]) @ A[kept] + np.diag(network_penalties(network, stage.strength))
            raw[out] = A[out] @ np.linalg.solve(G, (A[kept].T * w[kept]) @ NUMBERS[kept])
        np.testing.assert_allclose(stage.raw, raw, rtol=1e-8)
        seen = w > 0.0
        mean = 0.5 * np.average(np.square(raw - NUMBERS)[seen, 0], weights=w[seen])
        assert stage.loss == pytest.approx(mean, rel=1e-8)
    assert found.best.loss == min(stage.loss for stage in found.stages)
    assert "left out in 5 folds" in found.sentence(found.best)


def test_stronger_penalties_are_tried_where_the_first_is_the_best() -> None:
    noise = np.random.default_rng(0).normal(size=(103, 1))
    rows = ArrayRows(X, noise)

    def fit(objective: TrainingObjective, params: Array, part: int) -> Solution:
        return minimize(objective, params, Newton())

    network, loss = Network((3, 1)), loss_for("regression", None, 1)
    found = cross_fit(network, loss, rows, divided(rows, False, 0), lambda part: np.zeros(4), fit)
    strengths = [stage.strength for stage in found.stages]
    assert strengths == sorted(strengths, reverse=True)
    assert found.best.strength > 10.0


@pytest.mark.parametrize("weighted", [False, True])
def test_models_without_a_row_know_their_noise_and_variance(weighted: bool) -> None:
    """Ridge regression without each part, by dense algebra: s² = r'r / (n - γ), and s² x'A⁻¹x."""
    network, loss = Network((3, 1)), loss_for("regression", None, 1)
    weight = RNG.integers(0, 3, size=len(X)).astype(np.float64) if weighted else None
    rows = ArrayRows(X, NUMBERS, weight)
    division = divided(rows, False, 0)
    w, penalty = np.ones(len(X)) if weight is None else weight, np.diag(network_penalties(network, 2.0))
    A, ends = np.column_stack([X, np.ones(len(X))]), []
    variance, noise = np.full((2, len(X), 1), np.nan)
    for part in range(PARTS):
        kept, out = division.part != part, division.part == part
        G = (A[kept].T * w[kept]) @ A[kept]
        inverse = np.linalg.inv(G + penalty)
        ends.append(inverse @ (A[kept].T * w[kept]) @ NUMBERS[kept, 0])
        squares = w[kept] @ np.square(NUMBERS[kept, 0] - A[kept] @ ends[-1])
        noise[out] = squares / (w[kept].sum() - np.trace(inverse @ G))
        variance[out, 0] = noise[out, 0] * np.einsum("ij,jk,ik->i", A[out], inverse, A[out])
    raw = np.array([A[i] @ ends[part] if part >= 0 else np.nan for i, part in enumerate(division.part)])[:, None]
    found = left_out_of(network, loss, rows, division, Stage(2.0, 0.0, raw, tuple(ends)))
    assert found.variance is not None
    assert found.noise is not None
    np.testing.assert_allclose(found.noise, noise, rtol=1e-9)
    np.testing.assert_allclose(found.variance, variance, rtol=1e-9)
