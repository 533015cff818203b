"""The mini-batch solver: its gradients, K-FAC's curvature, its ends, and that it can be stopped and gone on with."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray
from support.present import of_type
from support.problems import batch_gradient

from newtron import InputError, NetworkRegressor, Stochastic, minimize
from newtron.engine.maths.activations import ACTIVATIONS
from newtron.engine.maths.losses import LOSSES, loss_for
from newtron.engine.maths.network import Network
from newtron.engine.objective import TrainingObjective
from newtron.engine.rows import ArrayRows, Chunk
from newtron.engine.solvers import Progress, Status, kfac
from newtron.engine.solvers.batch_pass import BatchPass
from newtron.engine.solvers.kfac import KFAC, EigenDecomposition, input_decomposition
from newtron.engine.solvers.stochastic import StochasticState

Array = NDArray[Any]
SHAPES = [(5,), (5, 4), (5, 4, 3)]


def problem(
    hidden: tuple[int, ...] = (6,),
    *,
    n: int = 50,
    loss: Any = LOSSES[0],
    k: int = 1,
    activation: str = "tanh",
    intercept: bool = True,
    weighted: bool = False,
    alpha: float = 0.0,
    dtype: Any = np.float64,
    sparse: bool = False,
) -> tuple[TrainingObjective, Array]:
    rng = np.random.default_rng(n + k)
    X = rng.normal(size=(n, 5)) * (rng.random((n, 5)) < 0.7)
    if loss.name == "poisson":
        y = rng.poisson(1.5, size=(n, k)).astype(float)
    elif loss.task == "regression":
        y = rng.normal(size=(n, k))
    elif loss.min_outputs > 1:
        y = np.eye(k)[rng.integers(k, size=n)]
    else:
        y = (rng.random((n, k)) < 0.5).astype(float)
    weight = rng.random(n).astype(dtype) if weighted else None
    network = Network((5, *hidden, k), activation, intercept)
    X = sp.csr_matrix(X.astype(dtype)) if sparse else X.astype(dtype)
    objective = TrainingObjective(network, loss, ArrayRows(X, y.astype(dtype), weight), alpha)
    return objective, network.start(rng, np.zeros(k)) + 0.3 * rng.normal(size=network.n_params)


def friedman(n: int, noise: float = 0.3) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    X = rng.random((n, 5))
    y = 10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 20 * (X[:, 2] - 0.5) ** 2 + 10 * X[:, 3] + 5 * X[:, 4]
    y = (y - y.mean()) / y.std() + noise * rng.normal(size=n)
    return (X - 0.5) * np.sqrt(12.0), y[:, None]


# --- the pass over one batch ---


@pytest.mark.slow
@pytest.mark.parametrize("hidden", [(), (6,), (6, 4)])
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("intercept", [True, False], ids=["intercept", "none"])
def test_the_batch_gradient_is_the_objectives(hidden: Any, loss: Any, weighted: bool, intercept: bool) -> None:
    for k in {max(1, loss.min_outputs), 3}:
        for activation in ACTIVATIONS if hidden else ("tanh",):
            for sparse in (False, True):
                objective, params = problem(
                    hidden, loss=loss, k=k, activation=activation, intercept=intercept, weighted=weighted,
                    alpha=0.7, sparse=sparse,
                )  # fmt: skip
                batch_pass = BatchPass(objective)
                # Batches of two sizes by turns: the buffers of the one must not be seen in the other.
                for batch in objective.rows.batches(7, np.random.default_rng(0)):
                    expected = batch_gradient(objective, params, batch)
                    np.testing.assert_allclose(batch_pass.gradient(params, batch), expected, rtol=1e-11, atol=1e-13)


def test_the_batch_gradient_keeps_float32() -> None:
    objective, params = problem((6, 4), dtype=np.float32, alpha=0.7)
    (batch,) = objective.rows.batches(50, np.random.default_rng(0))
    found = BatchPass(objective).gradient(params.astype(np.float32), batch)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, batch_gradient(objective, params, batch), rtol=1e-4, atol=1e-6)


# --- the curvature ---


def factors_of(objective: TrainingObjective, params: Array) -> list[tuple[Array, Array]]:
    """A and G of each layer from one batch of all rows."""
    (batch,) = objective.rows.batches(objective.rows.n_rows, np.random.default_rng(0))
    batch_pass = BatchPass(objective)
    batch_pass.gradient(params, batch)
    inputs = input_decomposition(objective, np.random.default_rng(0))
    assert inputs.vectors is not None
    curvature = KFAC(batch_pass, inputs, (), 0, 1.0)
    curvature.estimate(params, batch)
    A = [(inputs.vectors * inputs.values) @ inputs.vectors.T, *curvature.factors]
    return list(zip(A, A[len(A) // 2 :], strict=False))


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_the_factors_are_exact_for_one_row(loss: Any, weighted: bool) -> None:
    for intercept in (True, False):
        objective, params = problem(
            (6, 4), n=1, loss=loss, k=max(3, loss.min_outputs), weighted=weighted, intercept=intercept
        )
        exact = objective.evaluate(params, 2, gauss_newton=True).hessian
        assert exact is not None
        for span, (A, G) in zip(objective.network.spans, factors_of(objective, params), strict=True):
            np.testing.assert_allclose(np.kron(A, G), exact[span, span], rtol=1e-9, atol=1e-12)


def test_the_factors_are_exact_for_a_linear_model() -> None:
    objective, params = problem((), n=300, k=2, weighted=True)
    exact = objective.evaluate(params, 2).hessian
    ((A, G),) = factors_of(objective, params)
    # The rows of a batch have all weights, the curvature of squared error none of its own.
    np.testing.assert_allclose(np.kron(A, G), exact, rtol=1e-9, atol=1e-12)


def test_the_output_factor_is_the_mean_curvature() -> None:
    objective, params = problem((6,), loss=LOSSES[2], k=3, n=200)
    (batch,) = objective.rows.batches(200, np.random.default_rng(0))
    z = objective.network.output(params, batch.X)
    hessian = LOSSES[2].pointwise(batch.y, z, 2).hessian
    np.testing.assert_allclose(factors_of(objective, params)[-1][1], hessian.mean(axis=0), atol=1e-12)


def test_the_first_estimates_count_alike() -> None:
    objective, params = problem((6, 4), n=30, k=2)
    (batch,) = objective.rows.batches(30, np.random.default_rng(0))
    inputs = input_decomposition(objective, np.random.default_rng(0))
    singles, batch_pass = [], BatchPass(objective)
    both = KFAC(batch_pass, inputs, (), 0, 1.0)
    for at in (params, -0.5 * params):
        batch_pass.gradient(at, batch)
        single = KFAC(batch_pass, inputs, (), 0, 1.0)
        single.estimate(at, batch)
        singles.append(single.factors)
        both.estimate(at, batch)
    for one, other, mean in zip(*singles, both.factors, strict=True):
        np.testing.assert_allclose(mean, 0.5 * (one + other), rtol=1e-12)


def test_damped_inverses_full_of_low_rank_and_diagonal() -> None:
    rng = np.random.default_rng(0)
    V = rng.normal(size=(9, 2))
    for rank, damping in ((9, 0.1), (3, 1e-3)):
        B = rng.normal(size=(9, rank))
        expected = np.linalg.solve(B @ B.T + damping * np.eye(9), V)
        inverse = EigenDecomposition.of(B @ B.T).damped_inverse(damping)
        assert (inverse.vectors is None) == (rank == 9)
        np.testing.assert_allclose(inverse.times(V), expected, rtol=1e-8)
    d = rng.random(9)
    np.testing.assert_allclose(EigenDecomposition.of(d).damped_inverse(0.5).times(V), V / (d + 0.5)[:, None])


def test_a_step_solves_the_damped_curvature_and_is_bounded() -> None:
    objective, params = problem((), n=300, k=2)
    (batch,) = objective.rows.batches(300, np.random.default_rng(0))
    batch_pass = BatchPass(objective)
    gradient = batch_pass.gradient(params, batch).copy()
    inputs = input_decomposition(objective, np.random.default_rng(0))
    curvature = KFAC(batch_pass, inputs, (), 0, unit=1.0)
    curvature.estimate(params, batch)
    ((A, G),) = factors_of(objective, params)
    mean = np.trace(A) / len(A)
    damping = np.sqrt(kfac._DAMPING * mean)
    share = np.sqrt(mean / (np.trace(G) / 2))
    dense = np.kron(A + damping * share * np.eye(6), G + damping / share * np.eye(2))
    expected = np.linalg.solve(dense, gradient)
    np.testing.assert_allclose(curvature.step(gradient, 1e-3), 1e-3 * expected, rtol=1e-9)
    long = curvature.step(gradient, 1e3)
    np.testing.assert_allclose(long / np.linalg.norm(long), expected / np.linalg.norm(expected), rtol=1e-9)
    quadratic = float(long @ dense @ long)
    assert quadratic == pytest.approx(kfac._MOST_CHANGE, rel=1e-9)


def test_the_units_of_targets_and_inputs_do_not_matter() -> None:
    X, y = friedman(3000)
    network = Network((5, 8, 1), "tanh", intercept=False)
    start = network.start(np.random.default_rng(0), np.zeros(1))
    solver = Stochastic(seed=3)
    plain = minimize(TrainingObjective(network, LOSSES[0], ArrayRows(X, y)), start, solver, max_iter=4)
    scaled = start.copy()
    first, last = network.split(scaled)
    first.W[:] /= 1000.0
    last.W[:] *= 0.01
    objective = TrainingObjective(network, LOSSES[0], ArrayRows(1000.0 * X, 0.01 * y))
    found = minimize(objective, scaled, solver, max_iter=4)
    assert plain.value < 0.6 * TrainingObjective(network, LOSSES[0], ArrayRows(X, y)).evaluate(start, 0).value
    assert found.value == pytest.approx(1e-4 * plain.value, rel=1e-6)


# --- learning ---


def test_kfac_learns_in_fewer_epochs_than_adam() -> None:
    X, y = friedman(20_000)
    network = Network((5, 20, 1))
    objective = TrainingObjective(network, LOSSES[0], ArrayRows(X, y))
    for seed in range(3):
        start = network.start(np.random.default_rng(seed), np.zeros(1))
        ours = minimize(objective, start, Stochastic(seed=seed), max_iter=6)
        adam = minimize(objective, start, Stochastic(method="adam", seed=seed), max_iter=6)
        assert ours.value - 0.045 < 0.7 * (adam.value - 0.045)  # the noise alone is 0.045


@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_factors_too_wide_to_invert_are_diagonal(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kfac, "_WIDEST", 4)
    X, y = friedman(2000)
    network = Network((5, 8, 1))
    objective = TrainingObjective(network, LOSSES[0], ArrayRows(sp.csr_matrix(X) if form == "sparse" else X, y))
    state = Stochastic().init(objective, network.start(np.random.default_rng(0), np.zeros(1)))
    assert state.inputs is not None
    assert state.inputs.vectors is None
    np.testing.assert_allclose(state.inputs.values, [*np.square(X).mean(axis=0), 1.0])
    found = minimize(objective, state.params, Stochastic(), max_iter=8)
    assert found.value < 0.2 * state.value


def test_weights_are_repeated_rows() -> None:
    """Weights of 2 for all rows change nothing, whatever is learnt."""
    X, y = friedman(2000)
    network = Network((5, 8, 1))
    start = network.start(np.random.default_rng(0), np.zeros(1))
    plain, double = (
        minimize(TrainingObjective(network, LOSSES[0], ArrayRows(X, y, weight)), start, Stochastic(), max_iter=3)
        for weight in (None, np.full(2000, 2.0))
    )
    np.testing.assert_allclose(plain.params, double.params, rtol=1e-8, atol=1e-10)


# --- states and ends ---


@pytest.mark.parametrize("method", ["kfac", "adam", "momentum"])
def test_a_state_is_not_changed_and_goes_on_to_the_same_bits(method: Any) -> None:
    X, y = friedman(1000)
    network = Network((5, 6, 1))
    objective = TrainingObjective(network, LOSSES[0], ArrayRows(X, y, threads=2))
    solver = Stochastic(method=method, seed=4, batch_size=20)
    start = network.start(np.random.default_rng(0), np.zeros(1))
    state: Any = solver.init(objective, start)
    for _ in range(3):
        state = solver.step(objective, state)
    kept = replace(state)
    arrays = {name: np.copy(value) for name, value in vars(state).items() if isinstance(value, np.ndarray)}
    factors = [factor.copy() for factor in state.factors]
    first: Any = solver.step(objective, state)
    for name, value in arrays.items():
        np.testing.assert_array_equal(getattr(state, name), value, err_msg=name)
    for before, after in zip(factors, state.factors, strict=True):
        np.testing.assert_array_equal(before, after)
    # The same from the state alone, on objectives made anew, with another number of threads.
    again = TrainingObjective(network, LOSSES[0], ArrayRows(X, y, threads=1))
    resumed: Any = solver.step(again, kept)
    whole = minimize(again, start, solver, max_iter=4)
    np.testing.assert_array_equal(first.params, resumed.params)
    np.testing.assert_array_equal(first.iterate, resumed.iterate)
    np.testing.assert_array_equal(first.params, whole.params)


def test_a_stall_goes_back_to_the_best_at_a_lower_rate_and_the_last_ends() -> None:
    objective, start = problem(n=60)  # nothing but noise
    states: list[StochasticState] = []

    def note(progress: Progress) -> None:
        states.append(of_type(StochasticState, progress.state))

    found = minimize(objective, start, Stochastic(patience=2, max_stalls=3), callback=note)
    assert found.status is Status.EARLY_STOPPED
    assert not found.converged
    assert [s.stalls for s in states[-2:]] == [2, 2]
    assert states[-1].rate == pytest.approx(0.3 * 0.3**2)
    for before, after in pairwise(states):
        assert after.best <= before.best
        if after.stalls > before.stalls:
            np.testing.assert_array_equal(after.iterate, after.params)
            assert not after.moment.any()
    np.testing.assert_array_equal(found.params, states[-1].params)


@pytest.mark.parametrize("limit", [2, None])
def test_what_is_handed_back_is_the_objective_over_all_rows(limit: int | None) -> None:
    objective, start = problem(n=400, alpha=2.0)
    found = minimize(objective, start, Stochastic(), max_iter=limit)
    exact = objective.evaluate(found.params, 1)
    assert found.value == exact.value
    np.testing.assert_array_equal(found.gradient, exact.gradient)
    assert found.status is (Status.EARLY_STOPPED if limit is None else Status.MAX_ITER)


def test_few_held_out_rows_do_not_pretend_an_end() -> None:
    """The held-out row is fitted without error by any weights; the others are not."""
    X = np.zeros((12, 2))
    y = np.zeros((12, 1))
    _, held_out = ArrayRows(np.arange(12.0)[:, None], y).split(0.1, 20_000, np.random.default_rng(0))
    rest = np.setdiff1d(np.arange(12), held_out.sum(lambda chunk: chunk.X[:, 0]).astype(int))
    rng = np.random.default_rng(1)
    X[rest], y[rest] = rng.normal(size=(11, 2)), rng.normal(size=(11, 1))
    network = Network((2, 1), intercept=False)
    found = minimize(TrainingObjective(network, LOSSES[0], ArrayRows(X, y)), np.zeros(2), Stochastic())
    assert found.status is Status.EARLY_STOPPED


def test_an_exact_fit_converges_by_the_gradient_of_all_rows() -> None:
    X, _ = friedman(500)
    network = Network((5, 1))
    objective = TrainingObjective(network, LOSSES[0], ArrayRows(X, X @ np.arange(1.0, 6.0)[:, None]))
    found = minimize(objective, np.zeros(6), Stochastic(), tol=1e-8)
    assert found.status is Status.CONVERGED
    np.testing.assert_allclose(found.params[:5], np.arange(1.0, 6.0), rtol=1e-6)


# --- rows ---


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_a_split_keeps_the_training_rows_where_they_are(sparse: bool) -> None:
    X, y = np.arange(200.0)[:, None] * [1.0, 2.0], np.arange(200.0)[:, None]
    weight = np.arange(200.0)
    rows = ArrayRows(sp.csr_matrix(X) if sparse else X, y, weight)
    kept, held_out = rows.split(0.1, 20_000, np.random.default_rng(0))
    assert isinstance(kept, ArrayRows)
    assert np.shares_memory(kept._X.data if sparse else kept._X, rows._X.data if sparse else rows._X)
    assert (kept.n_rows, held_out.n_rows) == (180, 20)
    assert kept.total_weight + held_out.total_weight == weight.sum()

    def numbers(chunk: Chunk) -> list[float]:
        np.testing.assert_array_equal(np.asarray(chunk.X @ np.eye(2)), chunk.y * [1.0, 2.0])
        np.testing.assert_array_equal(chunk.weight, chunk.y[:, 0])
        return list(chunk.y[:, 0])

    once = sorted(kept.sum(numbers) + held_out.sum(numbers))
    drawn = [number for batch in kept.batches(7, np.random.default_rng(1)) for number in numbers(batch)]
    assert once == list(range(200))
    assert sorted(drawn) == kept.sum(numbers)
    assert drawn != sorted(drawn)
    part = kept.sample(50, np.random.default_rng(2))
    assert set(part.sum(numbers)) < set(drawn)


def test_methods_are_named() -> None:
    with pytest.raises(InputError, match="kfac"):
        Stochastic(method="sgd")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="patience"):
        Stochastic(patience=0)


def test_a_number_of_epochs_is_a_schedule_that_ends() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 3))
    y = np.sin(X[:, 0]) + X[:, 1] ** 2
    solver = Stochastic(epochs=4, seed=1)
    solution = NetworkRegressor(hidden=(8,), n_starts=1, alpha=0.01, solver=solver).fit(X, y).solution_
    assert solution.status is Status.EARLY_STOPPED
    assert solution.n_iter == 4
    assert "given number of passes" in solution.note
    assert solution.trace[-1].value < 0.5 * solution.trace[1].value


def test_rows_held_out_are_those_that_were_named_and_are_in_single_precision() -> None:
    rng = np.random.default_rng(0)
    rows = ArrayRows(rng.normal(size=(50, 2)), rng.normal(size=(50, 1)))
    objective = TrainingObjective(Network((2, 3, 1)), loss_for("regression", None, 1), rows, 1.0)
    numbers = np.array([3, 11, 40])
    kept, held_out = objective.holding_out(numbers).split(0.1, 10, 0)
    assert held_out.rows.dtype == kept.rows.dtype == np.float32
    np.testing.assert_array_equal(held_out.rows.whole().X, rows.whole().X[numbers].astype(np.float32))
    np.testing.assert_array_equal(kept.rows.whole().y, np.delete(rows.whole().y, numbers, axis=0).astype(np.float32))
    assert float(kept.alpha.max()) == pytest.approx(47 / 50)
