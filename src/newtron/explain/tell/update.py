"""The use of the gradient: the step of gradient descent, and that of the model's own solver.

Every step is made by the solver itself, on the objective of the rows that are explained: the numbers shown are read
from its states.
"""

from __future__ import annotations

import numpy as np

from newtron.engine.base.types import Array
from newtron.engine.base.words import count
from newtron.engine.solvers import GradientDescent, LevenbergMarquardt, Newton, Solver, State, Stochastic
from newtron.engine.solvers.levenberg_marquardt import LevenbergMarquardtState
from newtron.explain.point import Point
from newtron.explain.show.numbers import numeric_step
from newtron.explain.steps import Step, StepFactor, StepTable

# The learning rate of the example where the solver has none. It is divided by 10 until the value falls, at most down to
# the second number: columns in large units need small rates.
EXAMPLE_RATE, SMALLEST_RATE = 0.1, 1e-18
# The Hessian of at most this many parameters is decomposed and shown: that takes up to 0.2 seconds.
LARGEST_HESSIAN = 500


def states_around_step(point: Point, solver: Solver) -> tuple[State, State]:
    """The solver's state at the parameters and after one step; twice the same state where the solver takes no step."""
    with np.errstate(all="ignore"):
        before = solver.init(point.objective, point.params)
        return before, solver.step(point.objective, before)


# --- gradient descent ---


def descent_steps(point: Point) -> list[Step]:
    """params - rate · gradient."""
    own = point.subject.solver
    given = own.learning_rate if isinstance(own, GradientDescent) else None
    rate = EXAMPLE_RATE if given is None else given
    before, after = states_around_step(point, GradientDescent(learning_rate=rate))
    while given is None and not after.value <= before.value and rate > SMALLEST_RATE:
        rate /= 10.0
        before, after = states_around_step(point, GradientDescent(learning_rate=rate))
    whose = "the solver's own learning rate"
    if given is None:
        whose = (
            "as an example" if rate == EXAMPLE_RATE else "the largest of 0.1, 0.01, … with which the value falls here"
        )
    sentence = f"Downhill: against the gradient, with η = {rate:g}, {whose}."
    if after.iteration == before.iteration:
        sentence += f" The solver refuses this step: {after.status.value if after.status else ''} {after.note}".rstrip()
    name = "J" if point.m > 1 else "L"
    values = np.column_stack([before.params, np.full_like(before.params, rate), before.gradient, after.params])
    relation = "update" if after.iteration > before.iteration else ""
    table = StepTable(("w", "η", f"∂{name}/∂w", "new w"), point.names.parameters, values, relation, reused=(2,), rank=2)
    steps = [Step("update.step", "new w", f"w - η ∂{name}/∂w", sentence, after.params, table=table)]
    steps.append(change_of_value("update.value", name, before, after))
    return steps


def change_of_value(key: str, name: str, before: State, after: State) -> Step:
    """The objective before and after a step."""
    change = after.value - before.value
    sentence = (
        "The value falls."
        if change < 0.0
        else "The value does not move."
        if change == 0.0
        else "The value rises: the step is too long."
    )
    factors = (StepFactor(name, np.asarray(before.value)), StepFactor("change", np.asarray(change)))
    formula = f"{name} + change"
    return numeric_step(key, f"new {name}", formula, sentence, "<0> + <1>", factors, "addition", after.value)


# --- the model's own solver ---


def solver_steps(point: Point) -> list[Step]:
    """The step that the model's solver takes from here, unless it is one of the two that are shown in any case."""
    solver = point.subject.solver
    fixed = isinstance(solver, GradientDescent) and solver.learning_rate is not None and not solver.momentum
    if fixed or isinstance(solver, Newton | Stochastic):
        return []
    if isinstance(solver, LevenbergMarquardt) and point.network.n_params > LARGEST_HESSIAN:
        return []
    before, after = states_around_step(point, solver)
    step: Array = after.params - before.params
    name = "J" if point.m > 1 else "L"
    if after.iteration == before.iteration:
        why = after.status.value if after.status else ""
        return [Step("solver.step", "s", "0", f"{solver.name} takes no step from here. {why}", step)]
    columns: tuple[str, ...] = ("w", "s", "new w")
    values: Array = np.column_stack([before.params, step, after.params])
    corrections = 0
    if isinstance(after, LevenbergMarquardtState) and after.corrections:
        corrections, rest, step = after.corrections, step - after.damped_step, after.damped_step
        columns = ("w", "s", "c", "new w")
        values = np.column_stack([before.params, step, rest, after.params])
    table = StepTable(columns, point.names.parameters, values, "addition", rank=1)
    formula, sentence = _words(solver, before, step)
    if corrections:
        sentence += (
            f" It is followed by {count(corrections, 'correction')}, c in all: the same matrix is solved for the new "
            "gradients, which takes far less time than a new matrix."
        )
    steps = [Step("solver.step", "s", formula, sentence, step, table=table)]
    steps.append(change_of_value("solver.value", name, before, after))
    return steps


def _words(solver: Solver, before: State, step: Array) -> tuple[str, str]:
    if isinstance(before, LevenbergMarquardtState):
        damping = _damping(before, step)
        return (
            "-(D^{T} L″ D + μ S)^{-1} g",
            "Levenberg-Marquardt: curvature from first derivatives alone (D = ∂z/∂w of the network, L″ = ∂²L/∂z² of "
            f"the loss), and a damping μ = {damping:.6g} on the scale S of the parameters. A large μ makes the step "
            "short and turns it towards the gradient; it falls while the model of the value predicts well.",
        )
    if isinstance(solver, GradientDescent):
        squared = float(before.gradient @ before.gradient)
        rate = -float(step @ before.gradient) / squared if squared else 0.0
        return "-η g", f"Gradient descent with a line search: it found η = {rate:.6g} (Wolfe conditions)."
    if solver.name == "lbfgs":
        return "-B g", "L-BFGS: B stands for the inverse Hessian, built from the gradients of the steps before."
    return "≈ -H^{-1} g", "Newton-CG: the step by conjugate gradients on products with the Hessian, without the matrix."


def _damping(before: LevenbergMarquardtState, step: Array) -> float:
    """μ from (C + μ D) s = -g, the system that the step solves: the solver may have raised μ while it searched for a
    step."""
    curvature, metric = before.curvature, before.metric
    scaled = metric * step
    return -float(scaled @ (before.gradient + curvature.times(step))) / float(scaled @ scaled)
