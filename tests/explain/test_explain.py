"""Explanations: what is shown is what the engine computes, and what is shown is true as it is shown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from support.derivations import (
    check_exactly,
    check_numbers_as_shown,
    check_table_as_shown,
    every_step,
    table_of,
    value_of,
)
from support.subjects import subject

from newtron.engine.maths.activations import ACTIVATIONS
from newtron.engine.maths.losses import LOSSES, LogLoss, Loss, SigmoidSquaredError, SoftmaxLogLoss, SquaredError
from newtron.engine.objective import TrainingObjective
from newtron.engine.rows import ArrayRows
from newtron.engine.solvers import (
    LBFGS,
    GradientDescent,
    LevenbergMarquardt,
    Newton,
    NewtonCG,
    Solver,
    Stochastic,
    minimize,
)
from newtron.explain import Subject, derive
from newtron.explain.show.rounding import consistent_numbers, number_text, product
from newtron.explain.show.symbols import to_text

Array = NDArray[np.floating]
HIDDEN = [(), (3,), (2, 3)]
SMOOTH = sorted(set(ACTIVATIONS) - {"relu"})


def cases() -> Iterator[object]:
    for loss in LOSSES:
        for hidden in HIDDEN:
            for activation in ACTIVATIONS if hidden else ("tanh",):
                for m in (1, 4):
                    name = f"{type(loss).__name__}-{hidden}-{activation}-{m}"
                    yield pytest.param(loss, hidden, activation, m, id=name)


@pytest.mark.slow
@pytest.mark.parametrize(("loss", "hidden", "activation", "m"), list(cases()))
def test_every_number_follows_from_its_factors_and_the_gradient_is_the_engines(
    loss: Loss, hidden: tuple[int, ...], activation: str, m: int
) -> None:
    given = subject(loss, hidden, activation=activation, m=m, alpha=0.3)
    derivation = derive(given)
    for step in every_step(derivation):
        check_exactly(step)
        if step.table is not None:
            check_table_as_shown(step.table, step)
        if step.numbers:
            check_numbers_as_shown(to_text(step.numbers))
    assert derivation["backward.mean"].value is not None  # the factors themselves, not their product alone
    objective = TrainingObjective(given.network, loss, ArrayRows(given.X[:1], given.Y[:1]))
    first = objective.evaluate(given.params, 1)
    chains = [derivation[f"backward.{layer}"].table for layer in range(1, len(hidden) + 2)]
    found = np.concatenate([np.prod(table.values[:, :-1], axis=1) for table in chains if table is not None])
    np.testing.assert_allclose(found, first.gradient, rtol=1e-12, atol=1e-14)
    assert float(np.asarray(derivation["loss.value"].value)) == pytest.approx(first.value, rel=1e-13)
    everything = TrainingObjective(given.network, loss, ArrayRows(given.X, given.Y)).evaluate(given.params, 1)
    np.testing.assert_allclose(derivation.gradient, everything.gradient, rtol=1e-12, atol=1e-15)
    lab = [
        np.concatenate([value_of(derivation, f"lab.dw.{layer}").ravel(), value_of(derivation, f"lab.db.{layer}")])
        for layer in range(1, len(hidden) + 2)
    ]
    np.testing.assert_allclose(np.concatenate(lab), everything.gradient, rtol=1e-12, atol=1e-15)


@pytest.mark.slow
@pytest.mark.parametrize("m", [1, 3])
@pytest.mark.parametrize("activation", SMOOTH)
@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_gradient_is_the_slope_of_the_loss_that_is_shown(
    loss: Loss, hidden: tuple[int, ...], activation: str, m: int
) -> None:
    given = subject(loss, hidden, activation=activation, m=m)
    derivation = derive(given)
    h = 1e-5

    def loss_at(params: Array) -> float:
        moved = Subject(**{**vars(given), "params": params})
        return derive_loss(moved)

    slopes = [
        (loss_at(given.params + h * e) - loss_at(given.params - h * e)) / (2 * h) for e in np.eye(len(given.params))
    ]
    np.testing.assert_allclose(derivation.gradient, slopes, rtol=1e-6, atol=1e-8)


def derive_loss(given: Subject) -> float:
    z = given.network.output(given.params, given.X)
    mean = given.loss.inverse_link(z)
    return float(given.loss.terms(given.Y, mean).sum(axis=1).mean())


@pytest.mark.slow
@pytest.mark.parametrize("hidden", [(), (2,)])
@pytest.mark.parametrize("loss", [SquaredError(), LogLoss()], ids=lambda loss: type(loss).__name__)
def test_sympy_agrees(loss: Loss, hidden: tuple[int, ...]) -> None:
    sympy = pytest.importorskip("sympy")
    given = subject(loss, hidden, p=2)
    derivation = derive(given)
    names = [sympy.Symbol(f"w{i}") for i in range(given.network.n_params)]
    x = given.X[0].tolist()
    if hidden:
        w = np.array(names[:6], dtype=object).reshape(3, 2)
        a = [sympy.tanh(sum(w[j, k] * x[j] for j in range(2)) + w[2, k]) for k in range(2)]
        z = names[6] * a[0] + names[7] * a[1] + names[8]
    else:
        z = names[0] * x[0] + names[1] * x[1] + names[2]
    y = float(given.Y[0, 0])
    if isinstance(loss, SquaredError):
        value = (y - z) ** 2 / 2
    else:
        p = 1 / (1 + sympy.exp(-z))
        value = -y * sympy.log(p) - (1 - y) * sympy.log(1 - p)
    gradient = [sympy.diff(value, name) for name in names]
    hessian = [sympy.diff(slope, name) for slope in gradient for name in names]
    found = np.array(sympy.lambdify(names, [*gradient, *hessian], "math", cse=True)(*given.params.tolist()))
    P = len(names)
    np.testing.assert_allclose(derivation.gradient, found[:P], rtol=1e-12)
    np.testing.assert_allclose(value_of(derivation, "newton.hessian").ravel(), found[P:], rtol=1e-11, atol=1e-14)


SOLVERS = [
    GradientDescent(learning_rate=0.2),
    GradientDescent(learning_rate=0.05, momentum=0.5),
    GradientDescent(),
    Newton(),
    Newton(radius=0.1),
    LevenbergMarquardt(),
    LevenbergMarquardt(damping=3.0),  # makes short steps, which corrections follow
    LevenbergMarquardt(corrections=0),
    NewtonCG(),
    LBFGS(),
]


@pytest.mark.parametrize("solver", SOLVERS, ids=repr)
@pytest.mark.parametrize("hidden", [(), (3,)])
@pytest.mark.parametrize("loss", [SquaredError(), LogLoss(), SoftmaxLogLoss()], ids=lambda loss: type(loss).__name__)
def test_the_step_is_the_solvers(loss: Loss, hidden: tuple[int, ...], solver: Solver) -> None:
    given = subject(loss, hidden, m=30, solver=solver, alpha=0.4)
    derivation = derive(given)
    objective = TrainingObjective(given.network, loss, ArrayRows(given.X, given.Y), 0.4)
    once = minimize(objective, given.params, solver, max_iter=1)
    assert once.n_iter == 1
    fixed = isinstance(solver, GradientDescent) and solver.learning_rate is not None and not solver.momentum
    key = "update.step" if fixed else "newton.step" if isinstance(solver, Newton) else "solver.step"
    table = derivation[key].table
    assert table is not None
    np.testing.assert_allclose(table.values[:, -1], once.params, rtol=1e-13)
    value = derivation[key.replace("step", "value")].value
    assert float(np.asarray(value)) == pytest.approx(once.value, rel=1e-12)
    if isinstance(solver, LevenbergMarquardt):
        state = solver.init(objective, given.params)
        damping = float(re.search(r"μ = (\S+) ", derivation[key].sentence)[1])  # type: ignore[index]
        assert state.curvature is not None
        assert state.metric is not None
        curvature = np.column_stack([state.curvature.times(unit) for unit in np.eye(len(state.params))])
        step = np.linalg.solve(curvature + np.diag(damping * state.metric), -state.gradient)
        np.testing.assert_allclose(step, table.values[:, 1], rtol=1e-4)
        corrects = solver.step(objective, state).corrections > 0  # type: ignore[attr-defined]
        assert not corrects or (hidden and solver.corrections)
        assert table.columns == (("w", "s", "c", "new w") if corrects else ("w", "s", "new w"))
        assert ("correction" in derivation[key].sentence) == corrects


@pytest.mark.parametrize("hidden", [(), (3,)])
@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_newton_shows_the_hessian_its_eigenvalues_and_a_step_that_solves(loss: Loss, hidden: tuple[int, ...]) -> None:
    given = subject(loss, hidden, m=40, alpha=0.7)
    derivation = derive(given)
    objective = TrainingObjective(given.network, loss, ArrayRows(given.X, given.Y), 0.7)
    H, g = np.asarray(derivation["newton.hessian"].value), np.asarray(derivation["newton.gradient"].value)
    slopes = [
        (objective.evaluate(given.params + e, 1).gradient - objective.evaluate(given.params - e, 1).gradient) / 2e-5
        for e in 1e-5 * np.eye(len(g))
    ]
    np.testing.assert_allclose(H, slopes, rtol=1e-5, atol=1e-7)
    found = np.sort(np.asarray(derivation["newton.eigenvalues"].value))
    np.testing.assert_allclose(found, np.linalg.eigvalsh(H), atol=1e-15)
    words = derivation["newton.eigenvalues"].sentence
    assert ("negative" in words) == bool(np.linalg.eigvalsh(H)[0] < -1e-12 * np.abs(H).max())
    if derivation["newton.step"].formula in ("-H^{-1} g", "-H^{+} g"):
        table = table_of(derivation, "newton.step")
        np.testing.assert_allclose(H @ table.values[:, 1], -g, rtol=1e-6, atol=1e-9)
    else:
        # Indefinite, or too far: then the step is shortened, and the value falls.
        assert derivation["newton.value"].sentence.startswith("The value falls.")
        assert "μ S" in derivation["newton.step"].formula
    if not hidden and loss.quadratic:
        assert "one step" in derivation["newton.value"].sentence
        assert np.abs(objective.evaluate(table_of(derivation, "newton.step").values[:, -1], 1).gradient).max() < 1e-12


@pytest.mark.parametrize("y", [0.0, 1.0])
@pytest.mark.parametrize("z", [-300.0, -40.0, -36.5, -20.0, 9.0, 20.0, 36.5, 40.0])
@pytest.mark.parametrize("loss", [LogLoss(), SigmoidSquaredError()], ids=lambda loss: type(loss).__name__)
def test_sure_predictions_keep_their_factors(loss: Loss, z: float, y: float) -> None:
    given = subject(loss)
    derivation = derive(Subject(**{**vars(given), "params": np.array([0.0, 0.0, 0.0, z]), "Y": np.array([[y]])}))
    for step in every_step(derivation):
        if step.key.startswith(("forward", "loss", "backward")):
            check_exactly(step, 1e-5 if step.key == "loss.value" else 1e-11)  # log ŷ near 1 has lost digits
            if step.table is not None:
                check_table_as_shown(step.table, step)
            if step.numbers:
                check_numbers_as_shown(to_text(step.numbers))
    infinite = isinstance(loss, LogLoss) and y == 0.0 and z > 37.0
    assert ("backward.mean" in [step.key for step in every_step(derivation)]) == (not infinite)


@pytest.mark.parametrize("z", [5.0, 20.0, 36.5, 40.0, 300.0, 800.0])
@pytest.mark.parametrize("true", [0, 1])
def test_a_sure_softmax_keeps_its_factors_while_floating_point_does(z: float, true: int) -> None:
    given = subject(SoftmaxLogLoss())
    params = np.zeros(given.network.n_params)
    params[-3] = z
    derivation = derive(Subject(**{**vars(given), "params": params, "Y": np.eye(3)[[true]]}))
    for step in every_step(derivation):
        if step.key.startswith(("forward", "loss", "backward")):
            check_exactly(step, 1e-5)
            if step.table is not None:
                check_table_as_shown(step.table, step)
    assert float(np.asarray(derivation["loss.value"].value)) == pytest.approx(
        np.log(2.0 + np.exp(z)) - z * (not true) if z < 700 else z * true, rel=1e-9, abs=1e-12
    )
    kept = "backward.mean" in [step.key for step in every_step(derivation)]
    assert kept == (not (true and z > 700.0))


@pytest.mark.filterwarnings("error")
def test_numbers_beyond_the_range_end_in_a_sentence() -> None:
    given = subject(SquaredError(), m=2)
    derivation = derive(Subject(**{**vars(given), "Y": np.full((2, 1), 1e200)}))
    assert "beyond the range" in derivation.to_text()
    assert [section.key for section in derivation.shown_sections][-1] == "update"
    json.dumps(derivation.to_dict(), allow_nan=False)


def test_a_probability_of_zero_shows_the_product_alone() -> None:
    given = subject(LogLoss())
    far = Subject(**{**vars(given), "params": np.array([0.0, 0.0, 0.0, -800.0]), "Y": np.array([[1.0]])})
    derivation = derive(far)
    assert "infinite" in derivation["backward.z"].sentence
    np.testing.assert_allclose(derivation.gradient[-1], -1.0)
    table = table_of(derivation, "backward.1")
    assert np.isfinite(table.values).all()
    json.dumps(derivation.to_dict(), allow_nan=False)
    for line in derivation.to_text().splitlines():
        assert "nan" not in line


@pytest.mark.parametrize(
    "loss", [SquaredError(), LogLoss(), SigmoidSquaredError()], ids=lambda loss: type(loss).__name__
)
def test_without_intercepts_there_are_none(loss: Loss) -> None:
    text = derive(subject(loss, (2,), intercept=False)).to_text()
    assert "b^[" not in text
    assert "intercept  " not in text
    assert "    b " in derive(subject(loss)).to_text()


def test_large_inputs_are_shortened_and_say_so() -> None:
    derivation = derive(subject(LogLoss(), (20,), p=785))
    table = derivation["forward.1.1"].table if any(s.key == "forward.1.1" for s in every_step(derivation)) else None
    text = derivation.to_text(100)
    assert "… and 776 more, which add up to" in text
    assert "15,741 parameters" in text
    assert len(text.splitlines()) < 250
    assert table is None or len(table.lines) == 786
    whole = derivation["backward.1"].table
    assert whole is not None
    assert len(whole.lines) == 786 * 20


def test_stochastic_training_shows_gradient_descent() -> None:
    derivation = derive(subject(LogLoss(), (2,), solver=Stochastic()))
    assert "update" in [section.key for section in derivation.shown_sections]
    assert "solver" not in [section.key for section in derivation.shown_sections]


def test_scaling_comes_first_and_the_answer_is_in_the_users_units() -> None:
    given = subject(SquaredError(), (2,))
    derivation = derive(given)
    assert derivation.shown_sections[0].key == "scaling"
    table = table_of(derivation, "scaling.x")
    np.testing.assert_allclose(table.values[:, 0], given.as_given[0])
    z = given.network.output(given.params, given.X)[0, 0]
    expected = z * given.scaling.y_scale[0] + given.scaling.y_center[0]
    np.testing.assert_allclose(value_of(derivation, "answer.units"), [expected])


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("notation", ["lecture", "lab"])
def test_lines_fit_the_terminal(width: int, notation: str) -> None:
    for given in (subject(SquaredError()), subject(LogLoss(), (2,), m=3), subject(SoftmaxLogLoss(), (3, 2))):
        text = derive(given, notation).to_text(width)
        assert max(map(len, text.splitlines())) <= width
        assert not re.search(r"[{}⟦⟧]", text)


def test_rounding_adds_digits_until_what_is_shown_is_true() -> None:
    texts, result = consistent_numbers([1.0000005, 1.0000005], 1.000001, product)
    assert (texts, result) == (["1", "1"], "1")
    texts, result = consistent_numbers([0.3333333333, 2.99997], 0.999989999, product)
    assert number_text(float(texts[0]) * float(texts[1])) == result
    assert number_text(-0.0) == "0"
    assert number_text(1234567.0) == "1.2346e+06"


def test_notations_differ_and_others_are_refused() -> None:
    derivation = derive(subject(LogLoss(), (2,)))
    lab = derivation.in_notation("lab")
    assert "dZ^[2]" in lab.to_text()
    assert "dZ^[2]" not in derivation.to_text()
    assert "bridge" in lab.to_text()
    with pytest.raises(ValueError, match="notation='other'"):
        derivation.in_notation("other")
    with pytest.raises(KeyError):
        derivation["no.such"]
