"""Rows in memory: the sums over them, however they are cut, shared among threads, weighted or standardised."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from support.arrays import moved
from threadpoolctl import ThreadpoolController, threadpool_limits

from newtron import NetworkRegressor, Newton, PerceptronClassifier, PerceptronRegressor, minimize
from newtron.engine.base.threads import one_blas_thread, ordered_map, thread_count
from newtron.engine.maths.losses import loss_for
from newtron.engine.maths.network import Network
from newtron.engine.objective import TrainingObjective
from newtron.engine.rows import ArrayRows, Chunk, arrays
from newtron.engine.solvers import Solution

N, P = 20_500, 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, P)) * [1.0, 100.0, 0.01] + [5.0, -1e3, 0.0]
Y = np.column_stack([np.tanh(X[:, 0] - 5.0) + 0.1 * RNG.normal(size=N), X[:, 1] / 100.0])
LABEL = (Y[:, :1] + RNG.normal(size=(N, 1)) > 0.0).astype(float)
W = RNG.uniform(0.0, 3.0, N)
CENTER, SCALE = X.mean(0), X.std(0)
weights = pytest.mark.parametrize("weight", [None, W], ids=["plain", "weighted"])


def everything(chunk: Chunk) -> Any:
    """Sums of all that a chunk holds, each row counted with its weight."""
    w = np.ones(len(chunk.y)) if chunk.weight is None else chunk.weight
    return np.concatenate([[w.sum()], chunk.X.T @ w, (chunk.X.T @ (w[:, None] * chunk.y)).ravel()])


def objective(
    hidden: tuple[int, ...] = (), *, threads: int = 1, weight: Any = None, **kwargs: Any
) -> TrainingObjective:
    """Regression on two targets for a network, logistic for a perceptron."""
    y, task = (Y, "regression") if hidden else (LABEL, "classification")
    rows = ArrayRows(X, y, weight, center=CENTER, scale=SCALE, threads=threads)
    return TrainingObjective(Network((P, *hidden, y.shape[1])), loss_for(task, None, y.shape[1]), rows, 0.3)


def at_random(problem: TrainingObjective) -> Any:
    return np.random.default_rng(1).normal(size=problem.n_params)


# --- sums ---


@weights
@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix, sp.csr_array])
def test_a_sum_is_the_plain_computation(weight: Any, form: Any) -> None:
    rows = ArrayRows(form(X), Y, weight, threads=2)
    np.testing.assert_allclose(rows.sum(everything), everything(Chunk(X, Y, weight, slice(0, N))), rtol=1e-12)
    seen: list[slice] = []

    def counted(chunk: Chunk) -> int:
        seen.append(chunk.rows)
        return len(chunk.y)

    assert rows.sum(counted) == N
    cuts = sorted(seen, key=lambda cut: cut.start)
    assert len(cuts) > 3
    assert [cut.start for cut in cuts] == [0, *(cut.stop for cut in cuts[:-1])]
    assert rows.total_weight == pytest.approx(N if weight is None else W.sum())


@pytest.mark.parametrize("hidden", [(), (4,)], ids=["perceptron", "network"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_addresses_do_not_change_a_bit(dtype: Any, order: Any, hidden: tuple[int, ...]) -> None:
    rng = np.random.default_rng(2)
    inputs = np.asarray(rng.normal(size=(2003, 8)), dtype=dtype, order=order)
    y, weight = rng.normal(size=(2003, 2)).astype(dtype), rng.random(2003).astype(dtype)
    network = Network((8, *hidden, 2))
    params = rng.normal(size=network.n_params)
    loss = loss_for("regression", None, 2)

    def bits(at: Any) -> bytes:
        rows = ArrayRows(at(inputs), at(y), at(weight))
        found = TrainingObjective(network, loss, rows).evaluate(params, 2)
        return bytes(np.float64(found.value).tobytes() + found.gradient.tobytes() + found.hessian.tobytes())

    expected = bits(lambda A: A)
    assert [offset for offset in range(64) if bits(partial(moved, offset=offset)) != expected] == []


@pytest.mark.slow
@pytest.mark.parametrize("model", [PerceptronRegressor(standardize=True), NetworkRegressor(hidden=(3,), max_iter=3)])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_fits_and_predictions_do_not_depend_on_addresses(model: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    inputs, y, weight = rng.normal(size=(303, 8)) + 300.0, rng.normal(size=303), rng.random(303)
    (tmp_path / "mapped").write_bytes(b"five." + inputs.tobytes())

    def bits(X: Any, at: Any) -> bytes:
        fitted = model.fit(X, at(y), at(weight))
        return bytes(fitted.members_[0].params.tobytes() + fitted.predict(X).tobytes())

    expected = bits(inputs, np.array)
    assert bits(np.memmap(tmp_path / "mapped", np.float64, "r", 5, inputs.shape), np.array) == expected
    assert bits(np.column_stack([np.ones(303), inputs])[:, 1:], np.array) == expected
    offsets = (1, 4, 8, 12, 57)
    assert [n for n in offsets if bits(moved(inputs, n), partial(moved, offset=n)) != expected] == []


def test_sparse_rows_do_not_depend_on_addresses() -> None:
    inputs = sp.random(500, 6, 0.3, format="csr", random_state=0)
    y = np.random.default_rng(0).normal(size=500)
    expected = PerceptronRegressor().fit(inputs, y).coef_
    parts = (moved(inputs.data, 3), moved(inputs.indices, 2), moved(inputs.indptr, 1))
    found = PerceptronRegressor().fit(sp.csr_matrix(parts, shape=inputs.shape), y).coef_
    assert found.tobytes() == expected.tobytes()


@weights
@pytest.mark.parametrize("hidden", [(), (4,), (3, 2)])
def test_threads_do_not_change_a_bit(weight: Any, hidden: tuple[int, ...]) -> None:
    one = objective(hidden, weight=weight)
    params, v = at_random(one), np.ones(one.n_params)
    found = one.evaluate(params, 2)
    for threads in (2, 4):
        other = objective(hidden, weight=weight, threads=threads)
        again = other.evaluate(params, 2)
        assert again.value == found.value
        assert np.array_equal(again.gradient, found.gradient)
        assert np.array_equal(again.hessian, found.hessian)
        assert np.array_equal(other.hvp(params, v), one.hvp(params, v))
        assert other.along(params, v)(0.25)[:2] == one.along(params, v)(0.25)[:2]


@pytest.mark.slow
@weights
@pytest.mark.parametrize("hidden", [(), (3,)])
def test_blocks_change_only_rounding(weight: Any, hidden: tuple[int, ...]) -> None:
    small = slice(0, 2500)
    y = (Y if hidden else LABEL)[small]
    task = "regression" if hidden else "classification"
    network = Network((P, *hidden, y.shape[1]))
    params = np.random.default_rng(1).normal(size=network.n_params)
    Z = (X[small] - CENTER) / SCALE
    rows = ArrayRows(Z, y, None if weight is None else W[small])

    def cut(block_rows: int | None) -> TrainingObjective:
        return TrainingObjective(network, loss_for(task, None, y.shape[1]), rows, 0.3, block_rows=block_rows)

    whole = cut(None).evaluate(params, 2)
    best = minimize(cut(None), np.zeros(network.n_params), Newton()).params if not hidden else None
    for size in (1, 7, 128, 8192):
        found = cut(size).evaluate(params, 2)
        assert found.value == pytest.approx(whole.value, rel=1e-12)
        for mine, its in ((found.gradient, whole.gradient), (found.hessian, whole.hessian)):
            assert mine is not None
            assert its is not None
            np.testing.assert_allclose(mine, its, rtol=1e-12, atol=1e-12 * np.abs(its).max())
        if best is not None and size > 1:
            np.testing.assert_allclose(minimize(cut(size), 0 * best, Newton()).params, best, rtol=1e-10)


@weights
def test_the_objective_is_the_mean_loss_plus_the_penalty(weight: Any) -> None:
    w = np.ones(N) if weight is None else weight
    problem = objective(weight=weight, threads=2)
    params = at_random(problem)
    Z = np.column_stack([(X - CENTER) / SCALE, np.ones(N)])
    z = Z @ params
    alpha = np.array([0.3] * P + [0.0])
    p = 1.0 / (1.0 + np.exp(-z))
    found = problem.evaluate(params, 2)
    value = (w @ (np.logaddexp(0.0, z) - LABEL[:, 0] * z) + 0.5 * alpha @ params**2) / w.sum()
    assert found.value == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(found.gradient, (Z.T @ (w * (p - LABEL[:, 0])) + alpha * params) / w.sum(), rtol=1e-10)
    exact = (Z.T @ ((w * p * (1.0 - p))[:, None] * Z) + np.diag(alpha)) / w.sum()
    np.testing.assert_allclose(found.hessian, exact, rtol=1e-10, atol=1e-13)


# --- standardising ---


@weights
@pytest.mark.parametrize("threads", [1, 3])
def test_standardising_each_chunk_is_standardising_beforehand(
    monkeypatch: pytest.MonkeyPatch, weight: Any, threads: int
) -> None:
    kept = objective((4,), weight=weight)
    monkeypatch.setattr(arrays, "_KEEP_STANDARDIZED", 0)
    piecewise = objective((4,), weight=weight, threads=threads)
    before = X.copy()
    params = at_random(kept)
    for order in (0, 1, 2):
        assert piecewise.evaluate(params, order).value == kept.evaluate(params, order).value
    assert np.array_equal(piecewise.evaluate(params, 1).gradient, kept.evaluate(params, 1).gradient)
    beforehand = ArrayRows((X - CENTER) / SCALE, Y, weight)
    np.testing.assert_allclose(piecewise.rows.sum(everything), beforehand.sum(everything), rtol=1e-9, atol=1e-6)
    for one, other in zip(drawn(kept.rows), drawn(piecewise.rows), strict=True):
        assert np.array_equal(one, other)
    assert np.array_equal(X, before)  # the user's array is never written to


def test_sparse_rows_are_scaled_and_stay_sparse() -> None:
    rows = ArrayRows(sp.csr_matrix(X), Y, None, scale=SCALE)
    assert rows.sum(lambda chunk: int(sp.issparse(chunk.X))) > 3
    np.testing.assert_allclose(rows.sum(everything), everything(Chunk(X / SCALE, Y, None, slice(0, N))), rtol=1e-12)


# --- drawing ---


def drawn(rows: Any) -> Iterator[Any]:
    """Everything random that rows can hand out, as arrays [X, y, weight]."""
    rng = np.random.default_rng(5)
    parts = [*rows.split(0.1, 20_000, rng), rows.sample(300, rng)]
    chunks = [chunk for part in parts for chunk in whole(part)] + list(rows.batches(1000, rng))
    for chunk in chunks:
        w = np.ones(len(chunk.y)) if chunk.weight is None else chunk.weight
        yield np.column_stack([chunk.X, chunk.y, w])


def whole(rows: Any) -> list[Chunk]:
    chunks: list[Chunk] = []

    def kept(chunk: Chunk) -> int:
        chunks.append(chunk)
        return 0

    rows.sum(kept)
    return sorted(chunks, key=lambda chunk: chunk.rows.start)


@pytest.fixture
def numbered() -> ArrayRows:
    """Rows whose number stands in X, y and weight alike."""
    number = np.arange(1.0, N + 1)
    return ArrayRows(number[:, None], np.column_stack([number, -number]), number)


def numbers(chunks: list[Chunk]) -> Any:
    """The rows' numbers, after a look that X, y and weight belong together."""
    for chunk in chunks:
        assert chunk.weight is not None
        assert np.array_equal(chunk.X[:, 0], chunk.weight)
        assert np.array_equal(chunk.y, np.column_stack([chunk.weight, -chunk.weight]))
    return np.concatenate([chunk.X[:, 0] for chunk in chunks])


@pytest.mark.parametrize(("fraction", "most", "held"), [(0.1, 20_000, 2050), (0.5, 100, 100), (1e-9, 10, 1)])
def test_split_is_disjoint_and_complete(numbered: ArrayRows, fraction: float, most: int, held: int) -> None:
    kept, out = (numbers(whole(part)) for part in numbered.split(fraction, most, np.random.default_rng(0)))
    assert len(out) == held
    assert np.array_equal(np.sort(np.concatenate([kept, out])), np.arange(1.0, N + 1))
    assert not np.array_equal(out, np.arange(1.0, held + 1))
    again = numbered.split(fraction, most, np.random.default_rng(0))[1]
    other = numbered.split(fraction, most, np.random.default_rng(1))[1]
    assert np.array_equal(numbers(whole(again)), out)
    assert not np.array_equal(numbers(whole(other)), out)


def test_a_sample_is_drawn_without_replacement_and_in_order(numbered: ArrayRows) -> None:
    sample = numbered.sample(700, np.random.default_rng(2))
    found = numbers(whole(sample))
    assert len(found) == 700
    assert (np.diff(found) > 0).all()
    assert sample.total_weight == found.sum()
    assert found.mean() == pytest.approx(N / 2, rel=0.1)
    assert numbered.sample(N, np.random.default_rng(2)) is numbered


@pytest.mark.parametrize("size", [1000, 64, 10 * N])
def test_an_epoch_has_every_row_once(numbered: ArrayRows, size: int) -> None:
    batches = list(numbered.batches(size, np.random.default_rng(3)))
    sizes = [len(batch.y) for batch in batches]
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= min(N, 0.6 * size)
    found = numbers(batches)
    assert np.array_equal(np.sort(found), np.arange(1.0, N + 1))
    again = numbers(list(numbered.batches(size, np.random.default_rng(3))))
    assert np.array_equal(again, found)
    assert not np.array_equal(numbers(list(numbered.batches(size, np.random.default_rng(4)))), found)


# --- memory and threads ---


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("hidden", [(20,), (8, 8)])
def test_nothing_of_rows_times_parameters_is_allocated(hidden: tuple[int, ...], threads: int) -> None:
    n = 200_000
    big = np.random.default_rng(0).normal(size=(n, 10))
    network = Network((10, *hidden, 1))
    rows = ArrayRows(big, big[:, :1].copy(), threads=threads)
    problem = TrainingObjective(network, loss_for("regression", None, 1), rows, 0.1)
    params = np.random.default_rng(1).normal(size=network.n_params)
    tracemalloc.start()
    try:
        with one_blas_thread():  # as in a fit
            assert np.isfinite(problem.evaluate(params, 2).value)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 60e6
    assert n * network.n_params * 8 > 200e6


def blas_threads() -> list[int]:
    return [library["num_threads"] for library in ThreadpoolController().select(user_api="blas").info()]


def test_a_fit_on_any_thread_runs_with_one_blas_thread() -> None:
    seen: list[list[int]] = []

    def fit() -> None:
        model = PerceptronClassifier(alpha=1.0, callback=lambda progress: seen.append(blas_threads()))
        model.fit(X[:200], LABEL[:200, 0])

    with threadpool_limits(2, user_api="blas"):
        outside = blas_threads()
        assert max(outside) == 2
        other = threading.Thread(target=fit)
        other.start()
        other.join()
        fit()
        assert blas_threads() == outside
    assert len(seen) > 3
    assert {count for counts in seen for count in counts} == {1}


def test_one_blas_thread_nests_and_is_undone_after_an_error() -> None:
    before = blas_threads()

    def fails() -> None:
        with one_blas_thread(), one_blas_thread():
            assert set(blas_threads()) == {1}
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert blas_threads() == before


def test_an_error_in_a_chunk_reaches_the_caller_and_the_pool_lives_on() -> None:
    rows = ArrayRows(X, Y, threads=2)

    def fails(chunk: Chunk) -> float:
        if chunk.rows.start:
            raise RuntimeError("second chunk")
        return 0.0

    with pytest.raises(RuntimeError, match="second chunk"):
        rows.sum(fails)
    assert rows.sum(lambda chunk: len(chunk.y)) == N


def test_ordered_map_keeps_the_order_and_does_not_run_ahead() -> None:
    begun: list[int] = []

    def items() -> Iterator[int]:
        for i in range(100):
            begun.append(i)
            yield i

    results = ordered_map(lambda i: i * i, items(), 3)
    assert [next(results) for _ in range(2)] == [0, 1]
    assert len(begun) <= 10
    assert list(results) == [i * i for i in range(2, 100)]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_can_fit() -> None:
    code = (
        "import os, numpy as np; from newtron import PerceptronRegressor as R; "
        "X = np.random.default_rng(0).normal(size=(20000, 3)); "
        "fit = lambda: R(n_jobs=2, solver='lbfgs').fit(X, X[:, 0]).coef_; "
        "a = fit(); pid = os.fork(); pid or os._exit(0 if np.array_equal(fit(), a) else 3); "
        "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_all_cores_by_number() -> None:
    cores = thread_count(-1)
    assert cores >= 1
    assert thread_count(-2) == max(1, cores - 1)
    assert thread_count(7) == 7


def test_a_solution_of_rows_is_a_solution() -> None:
    found = minimize(objective(threads=2), np.zeros(P + 1), Newton())
    assert isinstance(found, Solution)
    assert found.converged
