"""Every solver x problem, and what each solver promises beyond that."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.problems import Rosenbrock, Saddle, Smooth, batch_gradient, logistic, tanh_network

from newtron import LBFGS, GradientDescent, InputError, LevenbergMarquardt, Newton, NewtonCG, Stochastic, minimize
from newtron.engine.base.linalg import damped_cholesky, newton_decrement
from newtron.engine.maths.losses import LOSSES, SigmoidSquaredError
from newtron.engine.maths.network import Network
from newtron.engine.objective import Evaluation, Objective, SecondOrder, TrainingObjective, local_curvature
from newtron.engine.rows import ArrayRows
from newtron.engine.solvers import SOLVERS, Progress, Solver, Status, solver_named
from newtron.engine.solvers.levenberg_marquardt import LevenbergMarquardtState

Array = NDArray[np.floating]

DETERMINISTIC: dict[str, Solver] = {name: kind() for name, kind in SOLVERS.items() if name != "stochastic"}


def _problems() -> dict[str, Smooth]:
    network, start = tanh_network()
    penalised = logistic(alpha=1.0)
    return {
        "rosenbrock": Smooth(Rosenbrock(), np.array([-1.2, 1.0]), 0.0),
        "logistic": Smooth(penalised, np.zeros(5), minimize(penalised, np.zeros(5), Newton()).value),
        "network": Smooth(network, start, None),
    }


PROBLEMS = _problems()


@pytest.mark.slow
@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_every_solver_reaches_the_optimum(name: str, problem: str) -> None:
    case = PROBLEMS[problem]
    # Gradient descent crawls where columns differ in scale: a looser end, and honest if it is not reached.
    slow = name == "gradient-descent"
    solution = minimize(case.objective, case.start, DETERMINISTIC[name], tol=1e-5 if slow else 1e-9, max_iter=20_000)
    assert solution.converged or slow
    if case.optimum is None:
        # A network has many minima; each end must be one of them.
        hessian = case.objective.evaluate(solution.params, 2).hessian
        assert np.linalg.eigvalsh(hessian)[0] > (-1e-3 if slow else -1e-9)
    else:
        assert solution.value <= case.optimum + (1e-3 if slow else 1e-8)
    values = [row.value for row in solution.trace]
    assert values[-1] == solution.value
    assert all(b <= a + 1e-8 * abs(a) for a, b in pairwise(values)), "a step went uphill"
    assert sum(solution.counts.values()) > solution.n_iter


@pytest.mark.parametrize("name", ["newton", "newton-cg", "lbfgs", "levenberg-marquardt"])
def test_second_order_solvers_agree_on_a_perceptron(name: str) -> None:
    reference = minimize(logistic(), np.zeros(5), Newton())
    found = minimize(logistic(), np.zeros(5), DETERMINISTIC[name])
    np.testing.assert_allclose(found.params, reference.params, rtol=1e-9)


# --- gradient descent as in the textbook ---


def _by_hand(x: Array, y: Array, rate: float, steps: int) -> tuple[float, float]:
    """A line by gradient descent, written with nothing but the two partial derivatives."""
    w = b = 0.0
    for _ in range(steps):
        dw = np.mean([-(yi - (w * xi + b)) * xi for xi, yi in zip(x, y, strict=True)])
        db = np.mean([-(yi - (w * xi + b)) for xi, yi in zip(x, y, strict=True)])
        w, b = w - rate * dw, b - rate * db
    return float(w), float(b)


def test_fixed_rate_gradient_descent_is_the_textbooks() -> None:
    x, y = np.array([1.0, 2.0, 3.0, 5.0]), np.array([2.0, 3.0, 5.0, 9.0])
    objective = TrainingObjective(Network((1, 1)), LOSSES[0], ArrayRows(x[:, None], y[:, None]))
    solution = minimize(objective, np.zeros(2), GradientDescent(learning_rate=0.05), max_iter=7)
    assert solution.params == pytest.approx(_by_hand(x, y, 0.05, 7), rel=1e-14)
    assert solution.status is Status.MAX_ITER
    assert not solution.converged


def test_sigmoid_perceptron_steps_by_the_cancelled_partial() -> None:
    """dL/dw = -x (y - ŷ): one step from zero, where every ŷ is ½."""
    x, y = np.array([1.0, -2.0, 4.0]), np.array([1.0, 0.0, 1.0])
    objective = TrainingObjective(Network((1, 1)), LOSSES[1], ArrayRows(x[:, None], y[:, None]))
    solution = minimize(objective, np.zeros(2), GradientDescent(learning_rate=0.3), max_iter=1)
    assert solution.params == pytest.approx([0.3 * np.mean(x * (y - 0.5)), 0.3 * np.mean(y - 0.5)], rel=1e-15)


def test_momentum_adds_its_share_of_the_last_move() -> None:
    objective = PROBLEMS["rosenbrock"].objective
    first = minimize(objective, np.zeros(2), GradientDescent(1e-3, momentum=0.5), max_iter=1).params
    second = minimize(objective, np.zeros(2), GradientDescent(1e-3, momentum=0.5), max_iter=2).params
    gradient = objective.evaluate(first, 1).gradient
    np.testing.assert_allclose(second, first + 0.5 * (first - 0.0) - 1e-3 * gradient, rtol=1e-14)


def test_a_rate_too_large_is_told_and_the_last_finite_point_kept() -> None:
    solution = minimize(Rosenbrock(), np.array([-1.2, 1.0]), GradientDescent(learning_rate=1.0))
    assert solution.status is Status.DIVERGED
    assert np.isfinite(solution.params).all()
    assert "learning_rate below 1" in solution.sentence


# --- Newton ---


def test_newton_takes_one_step_for_a_quadratic() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(3000, 8)), rng.normal(size=(3000, 1))
    objective = TrainingObjective(Network((8, 1)), LOSSES[0], ArrayRows(X, y), alpha=0.7)
    solution = minimize(objective, np.zeros(9), Newton())
    assert solution.n_iter <= 2  # the second only polishes rounding
    after_one = minimize(objective, np.zeros(9), Newton(), max_iter=1).params
    np.testing.assert_allclose(after_one, solution.params, rtol=1e-12)


def test_newton_leaves_a_saddle_where_plain_newton_stays() -> None:
    start = np.array([0.5, 0.0])
    damped = minimize(Saddle(), start, Newton())
    assert damped.value == pytest.approx(-0.5, abs=1e-12)
    plain = minimize(Saddle(), start, Newton(damped=False))
    np.testing.assert_allclose(plain.params, 0.0, atol=1e-12)


class Bowl(Objective):
    """sqrt(1 + x²): plain Newton diverges from |x| > 1, as x -> -x³."""

    n_params = 1

    def _evaluate(self, params: Array, order: int, gauss_newton: bool) -> Evaluation:
        root = np.sqrt(1.0 + params[0] ** 2)
        return SecondOrder(float(root), params / root, np.array([[root**-3]]))


def test_newton_converges_where_plain_newton_diverges() -> None:
    plain = minimize(Bowl(), np.array([1.5]), Newton(damped=False))
    assert not plain.converged
    damped = minimize(Bowl(), np.array([1.5]), Newton())
    assert damped.converged
    assert abs(damped.params[0]) < 1e-8


def test_newton_on_log_loss_from_a_poor_start_does_not_overflow() -> None:
    objective = logistic(alpha=0.1)
    poor = np.array([30.0, -20.0, 40.0, 10.0, 5.0])
    best = minimize(objective, np.zeros(5), Newton())
    found = minimize(objective, poor, Newton())
    assert found.converged
    np.testing.assert_allclose(found.params, best.params, rtol=1e-8)


def test_the_curvature_of_a_sample_spares_newton_cg_most_products() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6000, 60)) @ (rng.normal(size=(60, 60)) * np.geomspace(1.0, 1e-3, 60))
    X /= X.std(axis=0)
    y = (X[:, :1] + rng.logistic(size=(6000, 1)) > 0.0).astype(float)
    ends = []
    for solver in (NewtonCG(), NewtonCG(sample=0.05)):
        objective = TrainingObjective(Network((60, 1)), LOSSES[1], ArrayRows(X, y), 1.0)
        ends.append(minimize(objective, np.zeros(61), solver))
    plain, preconditioned = ends
    assert plain.converged
    assert preconditioned.converged
    assert preconditioned.counts["hessian_product"] < 0.2 * plain.counts["hessian_product"]
    np.testing.assert_allclose(preconditioned.params, plain.params, rtol=1e-7, atol=1e-9)


def test_levenberg_marquardt_keeps_gauss_newton_while_the_value_falls() -> None:
    """A fit without residuals needs no exact Hessian, however slowly the gradient halves."""
    x = np.linspace(-1.0, 1.0, 200)[:, None]
    network = Network((1, 20, 1))
    objective = TrainingObjective(network, LOSSES[0], ArrayRows(x, np.sinc(10.0 * x / np.pi)))
    start = network.start(np.random.default_rng(0), np.zeros(1))
    enough = 1e-6 * objective.evaluate(start, 0).value

    def steps(exact_after: int | None) -> int:
        solver = LevenbergMarquardt(exact_after=exact_after)
        return minimize(objective, start, solver, callback=lambda progress: progress.row.value < enough).n_iter

    assert steps(10) == steps(None)
    assert steps(10) < 200


def test_levenberg_marquardts_decrement_is_a_lower_bound_and_exact_at_the_end() -> None:
    objective, start = tanh_network()
    seen: list[tuple[float, float]] = []

    def compare(progress: Progress) -> None:
        found = objective.evaluate(progress.state.params, 2, gauss_newton=True)
        seen.append((progress.row.decrement, newton_decrement(found.hessian, found.gradient)))

    end = minimize(objective, start, LevenbergMarquardt(exact_after=None), callback=compare)
    assert all(shown <= true * (1.0 + 1e-9) for shown, true in seen)
    assert any(shown < 0.999 * true for shown, true in seen)
    assert end.trace[-1].decrement == pytest.approx(seen[-1][1], rel=1e-9)


def test_levenberg_marquardt_factors_nothing_for_the_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """A factor for each trial, and one for each point where the decrement itself decides about the end."""
    counts: Counter[str] = Counter()

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Array) -> Any:
            counts[real.__name__] += 1
            return real(*given)

        return call

    for real in (damped_cholesky, newton_decrement):
        monkeypatch.setattr(local_curvature, real.__name__, counted(real))
    objective, start = tanh_network()
    found = minimize(objective, start, LevenbergMarquardt(exact_after=None, corrections=0), tol=1e-9)
    assert found.converged
    assert found.counts["value"] <= counts["damped_cholesky"] <= found.counts["value"] + 1
    assert 1 <= counts["newton_decrement"] <= 3


def test_corrections_by_the_same_factor_save_matrices() -> None:
    objective, start = tanh_network()
    plain, corrected = (
        minimize(objective, start, LevenbergMarquardt(corrections=corrections), tol=1e-9) for corrections in (0, 20)
    )
    assert plain.converged
    assert corrected.converged
    assert corrected.counts["hessian"] < 0.7 * plain.counts["hessian"]


def test_corrections_go_on_from_the_damped_step_while_the_value_falls() -> None:
    objective, start = tanh_network()
    solver = LevenbergMarquardt()
    end = minimize(objective, start, solver, tol=1e-9)
    state = solver.init(objective, start)
    taken = 0
    for _ in range(end.n_iter):
        before, after = state, solver.step(objective, state)
        assert isinstance(after, LevenbergMarquardtState)
        damped = objective.evaluate(before.params + after.damped_step, 0).value
        if after.corrections:
            assert after.value <= damped * (1.0 + 1e-8)  # rounding of the value is no fall
            taken += after.corrections
        else:
            assert after.value == pytest.approx(damped, rel=1e-12)
        state = after
    assert taken >= 5


# --- ends that are no convergence ---


def test_levenberg_marquardt_stops_by_rule_and_says_so() -> None:
    objective, start = tanh_network()
    stopped = minimize(objective, start, LevenbergMarquardt(stop_after=4), tol=1e-8)
    assert (stopped.status, stopped.n_iter, stopped.converged) == (Status.EARLY_STOPPED, 4, False)
    assert stopped.sentence.startswith("Stopped by rule; this is not an optimum")
    assert stopped.sentence.endswith("It was to take 4 steps.")
    whole = minimize(objective, start, LevenbergMarquardt(), tol=1e-8)
    np.testing.assert_array_equal([row.value for row in whole.trace[:5]], [row.value for row in stopped.trace])
    arrived = minimize(objective, start, LevenbergMarquardt(stop_after=5000), tol=1e-8)
    assert arrived.converged
    assert minimize(objective, start, LevenbergMarquardt(stop_after=4), tol=1e-8, max_iter=3).status is Status.MAX_ITER


def test_a_column_of_zeros_does_not_hold_a_network_up() -> None:
    """Standardising makes a constant column zeros: its weight moves nothing and has no scale of its own. Taken for one
    of a tiny scale, its penalty made the mean curvature, and so the damping, 10¹² times too large."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.standard_normal((60, 2)), np.zeros(60)])
    Y = (X[:, :1] * X[:, 1:2] > 0.0).astype(float)
    network = Network((3, 4, 1), "tanh", True)
    objective = TrainingObjective(network, LOSSES[1], ArrayRows(X, Y), 0.1)
    first = objective.scale[:12].reshape(3, 4)
    assert (first[2] == 1.0).all()
    assert (np.abs(first[:2] - 1.0) < 0.3).all()
    start = network.start(np.random.default_rng(0), np.zeros(1))
    found = minimize(objective, start, LevenbergMarquardt(), tol=1e-8)
    assert found.converged
    assert found.n_iter < 100
    assert np.abs(network.split(found.params)[0].W[2]).max() < 1e-6
    assert objective.evaluate(start, 0).value > 2.0 * found.trace[10].value  # ten steps lead far


def test_complete_separation_is_proved_by_the_loss() -> None:
    x = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    objective = TrainingObjective(Network((1, 1)), LOSSES[1], ArrayRows(x, (x > 0).astype(float)))
    for solver in DETERMINISTIC.values():
        solution = minimize(objective, np.zeros(2), solver)
        assert solution.status is Status.UNBOUNDED, solver.name
        assert "separated" in solution.sentence
        assert "alpha" in solution.sentence


def test_a_start_that_is_not_finite_is_told() -> None:
    for solver in DETERMINISTIC.values():
        assert minimize(Rosenbrock(), np.array([np.inf, 1.0]), solver).status is Status.NOT_FINITE


@pytest.mark.parametrize("name", SOLVERS)
def test_an_interrupt_keeps_the_best_so_far(name: str) -> None:
    objective, start = tanh_network()

    def interrupt(progress: Progress) -> None:
        if progress.row.iteration == 2:
            raise KeyboardInterrupt

    solution = minimize(objective, start, SOLVERS[name](), callback=interrupt)
    assert solution.status is Status.INTERRUPTED
    assert solution.n_iter == 2
    assert solution.value == objective.evaluate(solution.params, 0).value
    assert solution.value < objective.evaluate(start, 0).value


@pytest.mark.parametrize("name", SOLVERS)
def test_max_iter_and_callback_stop_and_are_not_convergence(name: str) -> None:
    objective, start = tanh_network()
    limited = minimize(objective, start, SOLVERS[name](), max_iter=3)
    assert (limited.status, limited.n_iter) == (Status.MAX_ITER, 3)
    stopped = minimize(objective, start, SOLVERS[name](), callback=lambda progress: progress.row.iteration >= 2)
    assert (stopped.status, stopped.n_iter) == (Status.STOPPED, 2)
    assert not limited.converged
    assert not stopped.converged


@pytest.mark.parametrize("name", SOLVERS)
def test_one_step_after_another_is_the_run(name: str) -> None:
    """Anybody may stand between two steps: stepping by hand gives the same bits as the loop."""
    objective, start = tanh_network()
    solver = SOLVERS[name]()
    state: Any = solver.init(objective, start.copy())
    for _ in range(4):
        before = state
        state = solver.step(objective, state)
        assert before is not state
    assert np.array_equal(state.params, minimize(objective, start, solver, max_iter=4).params)


def test_float32_ends_at_its_own_precision() -> None:
    rng = np.random.default_rng(8)
    X = rng.normal(size=(5000, 6)).astype(np.float32)
    y = (X[:, :1] + rng.normal(size=(5000, 1)) > 0).astype(np.float32)
    for name in ("newton", "lbfgs", "newton-cg"):
        objective = TrainingObjective(Network((6, 1)), LOSSES[1], ArrayRows(X, y))
        solution = minimize(objective, np.zeros(7), DETERMINISTIC[name])
        assert solution.converged, (name, solution.sentence)
        assert solution.n_iter < 40
        assert solution.gradient_norm < 1e-6


# --- the stochastic solver ---


@pytest.mark.slow
def test_stochastic_restores_the_best_and_is_not_called_an_optimum() -> None:
    objective, start = tanh_network()
    for solver in (Stochastic(), Stochastic(method="adam", learning_rate=0.03), Stochastic(method="momentum")):
        first, again = (minimize(objective, start, solver) for _ in range(2))
        assert first.status is Status.EARLY_STOPPED
        assert not first.converged
        np.testing.assert_array_equal(first.params, again.params)
        _, held_out = objective.split(0.1, 20_000, solver.seed)
        assert held_out.evaluate(first.params, 0).value < held_out.evaluate(start, 0).value
        other = minimize(objective, start, replace(solver, seed=1))
        assert not np.array_equal(first.params, other.params)


def test_batches_have_the_objectives_gradient_on_average() -> None:
    objective, start = tanh_network()
    batches = list(objective.rows.batches(30, np.random.default_rng(0)))
    assert sum(batch.y.shape[0] for batch in batches) == objective.rows.n_rows
    mean = np.mean([batch_gradient(objective, start, batch) for batch in batches], axis=0)
    np.testing.assert_allclose(mean, objective.evaluate(start, 1).gradient, rtol=1e-12, atol=1e-15)


def test_stochastic_needs_rows() -> None:
    with pytest.raises(InputError, match="rows"):
        minimize(Rosenbrock(), np.zeros(2), Stochastic())


# --- settings ---


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: GradientDescent(learning_rate=0.0), "learning_rate"),
        (lambda: GradientDescent(learning_rate=math.nan), "learning_rate"),
        (lambda: GradientDescent(momentum=0.5), "learning_rate"),
        (lambda: GradientDescent(0.1, momentum=1.0), "momentum"),
        (lambda: Stochastic(method="sgd"), "method"),  # type: ignore[arg-type]  # what is refused here
        (lambda: Stochastic(batch_size=0), "batch_size"),
        (lambda: Stochastic(validation=1.0), "validation"),
        (lambda: minimize(Rosenbrock(), np.zeros(2), Newton(), tol=0.0), "tol"),
        (lambda: minimize(Rosenbrock(), np.zeros(2), Newton(), max_iter=0), "max_iter"),
        (lambda: solver_named("sgd", logistic()), "solver"),
    ],
)
def test_a_bad_setting_is_named(make: Any, word: str) -> None:
    with pytest.raises(InputError, match=word):
        make()


def _sized(n: int, p: int, hidden: tuple[int, ...], loss: int) -> TrainingObjective:
    X = np.broadcast_to(np.zeros(p), (n, p))
    y = np.broadcast_to(np.zeros(1), (n, 1))
    return TrainingObjective(Network((p, *hidden, 1)), LOSSES[loss], ArrayRows(X, y))


@pytest.mark.parametrize(
    ("objective", "kind"),
    [
        (_sized(1000, 5, (), 0), Newton),
        (_sized(1000, 6000, (), 0), NewtonCG),
        (_sized(1000, 5, (), 1), Newton),
        (_sized(1000, 2000, (), 1), LBFGS),
        (_sized(1000, 5, (20,), 0), LevenbergMarquardt),
        (_sized(1000, 60, (30,), 0), LBFGS),
        (_sized(1000, 5, (20,), 1), LBFGS),
        (_sized(500, 5, (5,), 1), LevenbergMarquardt),
        (_sized(100_000, 5, (10,), 1), LevenbergMarquardt),
        (_sized(100_000, 60, (30,), 0), Stochastic),
    ],
)
def test_auto_chooses_by_size_and_says_why(objective: TrainingObjective, kind: type[Solver]) -> None:
    solver, why = solver_named("auto", objective)
    assert isinstance(solver, kind)
    assert f"{objective.n_params:,} parameters" in why
    assert solver_named(kind(), objective)[1] == "given by the user"


def test_squared_error_through_the_sigmoid_has_more_than_one_end() -> None:
    """It is not convex, and says so: from a start that is sure and wrong it ends elsewhere than from zero."""
    assert not SigmoidSquaredError.convex
    x = np.array([[-3.0], [-1.0], [1.0], [2.0], [30.0]])
    y = np.array([[0.0], [0.0], [1.0], [1.0], [0.0]])
    objective = TrainingObjective(Network((1, 1)), SigmoidSquaredError(), ArrayRows(x, y), alpha=1e-3)
    from_zero = minimize(objective, np.zeros(2), Newton())
    from_afar = minimize(objective, np.array([-4.0, 4.0]), Newton())
    assert from_zero.converged
    assert from_afar.converged
    assert abs(from_afar.value - from_zero.value) > 0.005
