"""A pass over blocks of rows: how they are cut, what they leave behind, what one output saves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from newtron import LevenbergMarquardt, minimize
from newtron.engine.maths.activations import ACTIVATIONS
from newtron.engine.maths.losses import loss_for
from newtron.engine.maths.network import Network, short_buffer
from newtron.engine.objective import TrainingObjective
from newtron.engine.rows import ArrayRows

RNG = np.random.default_rng(0)


def objective(widths: tuple[int, ...], n: int, dtype: Any = np.float64, **settings: Any) -> TrainingObjective:
    X, y = RNG.normal(size=(n, widths[0])).astype(dtype), RNG.normal(size=(n, widths[-1])).astype(dtype)
    return TrainingObjective(Network(widths), loss_for("regression", None, widths[-1]), ArrayRows(X, y), **settings)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "widths", [(3, 1), (8, 16, 1), (784, 300, 10), (20, 3000, 1), (30_000, 1), (5, 100), (8, 2000, 2000, 3)]
)
def test_a_block_is_neither_large_nor_a_crumb(widths: tuple[int, ...], dtype: Any) -> None:
    """At most 2 MB for the values of all units, 8 MB for a copy of X or for the outputs' Hessians; or 128 rows."""
    rows = objective(widths, 1, dtype).block_rows
    size = np.dtype(dtype).itemsize
    assert 128 <= rows <= 8192
    if rows > 128:
        assert rows * sum(widths[1:]) * size <= 2**21
        assert rows * (widths[0] + widths[-1] ** 2) * size <= 2**23
    if widths in [(3, 1), (8, 16, 1)]:
        assert rows == 8192
    if widths == (784, 300, 10):
        assert rows >= 512


@pytest.mark.parametrize("n", [1, 99, 100, 101, 250, 1000])
def test_blocks_are_equal_pieces_of_the_chunk(n: int) -> None:
    problem = objective((3, 1), n, block_rows=100)
    chunk = problem.rows._chunk(slice(0, n))  # type: ignore[attr-defined]
    blocks = list(problem.blocks(chunk))
    np.testing.assert_array_equal(np.concatenate([block.X for block in blocks]), chunk.X)
    np.testing.assert_array_equal(np.concatenate([block.y for block in blocks]), chunk.y)
    sizes = [block.y.shape[0] for block in blocks]
    assert max(sizes) <= 100
    assert len(sizes) == -(-n // 100)
    assert max(sizes) - min(sizes) < len(sizes)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("hidden", [(5,), (5, 4)])
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("intercept", [True, False])
def test_the_gradient_is_made_of_the_deltas(
    activation: str, hidden: tuple[int, ...], outputs: int, intercept: bool
) -> None:
    """J'u is, layer by layer, what backpropagation gives times what the layer is fed, summed over rows."""
    network = Network((3, *hidden, outputs), activation, intercept)
    X, u = RNG.normal(size=(50, 3)), RNG.normal(size=(50, outputs))
    at = network.linearize(RNG.normal(size=network.n_params), X)
    before = [a.copy() for a in (*at.inputs, *at.slopes, at.output)]
    for layer, below, delta in zip(network.split(at.vjp(u)), at.inputs, at.deltas(u), strict=True):
        np.testing.assert_allclose(layer.W, np.einsum("ni,nj->ij", below, delta), rtol=1e-12, atol=1e-13)
        if layer.b is not None:
            np.testing.assert_allclose(layer.b, delta.sum(axis=0), rtol=1e-12, atol=1e-13)
    for a, kept in zip((*at.inputs, *at.slopes, at.output), before, strict=True):
        np.testing.assert_array_equal(a, kept)


@pytest.mark.parametrize("widths", [(3, 5, 1), (3, 4, 4, 2)])
@pytest.mark.parametrize("n", [60, 8300])
def test_what_is_known_of_a_point_gives_the_same_bits(widths: tuple[int, ...], n: int) -> None:
    """Few rows keep the forward pass, and networks the Gauss-Newton sums, also under other penalties."""
    known = objective(widths, n, alpha=0.1)
    params = known.network.start(RNG, np.zeros(widths[-1]))
    asked = [(0, False), (2, True), (2, False), (1, False), (2, True), (2, False)]
    for strength in (0.1, 2.0):
        at = known.with_alpha(np.full(known.n_params, strength))
        for place in (params, params + 0.1, params):
            there = place.copy()
            for order, gauss_newton in asked:
                fresh = TrainingObjective(known.network, known.loss, known.rows, at.alpha)
                seen, anew = (each.evaluate(there, order, gauss_newton) for each in (at, fresh))
                for name, part in vars(anew).items():
                    np.testing.assert_array_equal(getattr(seen, name), part)
                    if isinstance(part, np.ndarray):
                        getattr(seen, name)[:] = np.nan  # it is the caller's own
            there[:] = 0.0


def test_a_step_takes_one_forward_pass_a_trial_and_one_curvature(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = []
    linearize = Network.linearize
    monkeypatch.setattr(Network, "linearize", lambda *given: passes.append(1) or linearize(*given))  # type: ignore[func-returns-value]
    monkeypatch.setattr(Network, "output", None)
    problem = objective((3, 4, 1), 50, alpha=0.1)
    solver = LevenbergMarquardt(exact_after=None, corrections=0)
    found = minimize(problem, problem.network.start(RNG, np.zeros(1)), solver, tol=1e-8)
    assert found.converged
    assert len(passes) == 1 + found.counts["value"]


def test_two_linearizations_share_nothing() -> None:
    network = Network((3, 5, 4, 2))
    X, u = RNG.normal(size=(200, 3)), RNG.normal(size=(200, 2))
    first = network.linearize(RNG.normal(size=network.n_params), X)
    gradient, deltas = first.vjp(u), first.deltas(u)
    kept = [a.copy() for a in (gradient, *deltas, *first.inputs, *first.slopes, first.output)]
    second = network.linearize(RNG.normal(size=network.n_params), X)
    second.vjp(u)
    objective((3, 5, 4, 2), 200).evaluate(np.ones(network.n_params), 1)
    for a, before in zip((gradient, *deltas, *first.inputs, *first.slopes, first.output), kept, strict=True):
        np.testing.assert_array_equal(a, before)
    for mine, its in zip((*first.inputs[1:], first.output), (*second.inputs[1:], second.output), strict=True):
        assert not np.shares_memory(mine, its)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_pass_stays_in_the_precision_of_its_rows(dtype: Any) -> None:
    network = Network((3, 5, 1))
    X, u = RNG.normal(size=(20, 3)).astype(dtype), RNG.normal(size=(20, 1)).astype(dtype)
    at = network.linearize(RNG.normal(size=network.n_params).astype(dtype), X)
    for a in (at.output, *at.inputs, *at.slopes, *at.deltas(u), at.vjp(u)):
        assert a.dtype == dtype


def test_values_lie_unit_by_unit() -> None:
    """The rows of one unit are neighbours in memory: what the speed of a pass rests on."""
    at = Network((3, 5, 4, 2)).linearize(RNG.normal(size=Network((3, 5, 4, 2)).n_params), RNG.normal(size=(20, 3)))
    for a in (*at.inputs[1:], at.output, *at.slopes, *at.deltas(np.ones((20, 2)))[:-1]):
        assert a.T.flags.c_contiguous


def test_numpys_buffer_is_given_back() -> None:
    before = np.getbufsize()
    problem = objective((3, 5, 1), 50)
    for order in (0, 1, 2):
        problem.evaluate(np.ones(problem.n_params), order)
        assert np.getbufsize() == before
    with short_buffer():
        assert np.getbufsize() < before
        with short_buffer(False):
            assert np.getbufsize() < before
    with pytest.raises(ZeroDivisionError), short_buffer():
        raise ZeroDivisionError
    assert np.getbufsize() == before
