"""Newton's method: f′ and f″ in one variable, gradient and Hessian in several, and the step of the solver."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from newtron.engine.base.linalg import eigh, eigvalsh
from newtron.engine.base.types import Array
from newtron.engine.solvers import Newton
from newtron.engine.solvers.newton import NewtonState
from newtron.explain.point import Point
from newtron.explain.show.numbers import numeric_step
from newtron.explain.steps import Step, StepFactor, StepTable
from newtron.explain.tell.update import LARGEST_HESSIAN, change_of_value, states_around_step

# An eigenvalue of at most this share of the largest is zero but for rounding (the epsilon of float64 is 2e-16).
_FLAT = 1e-12


def newton_steps(point: Point) -> list[Step]:
    """f′ and f″ along one parameter, then g, H, eigenvalues and the step of the solver."""
    P = point.network.n_params
    if P > LARGEST_HESSIAN:
        sentence = (
            f"The Hessian of {P:,} parameters has {P * P:,} entries: too many to look at. newtron's Newton-CG and "
            "L-BFGS do without the matrix."
        )
        return [Step("newton.size", "H", "", sentence)]
    own = point.subject.solver
    solver = own if isinstance(own, Newton) else Newton()
    before, after = states_around_step(point, solver)
    assert isinstance(before, NewtonState)
    assert isinstance(after, NewtonState)
    name = "J" if point.m > 1 else "L"
    steps = [*_one_variable(point, before, name), *_matrices(point, before, name)]
    values, _ = eigh(before.hessian)
    steps.append(_eigenvalues(values))
    steps += _step(point, before, after, name, solver.damped)
    return steps


def _one_variable(point: Point, state: NewtonState, name: str) -> list[Step]:
    """Along the parameter with the largest slope, the others held."""
    j = int(np.argmax(np.abs(state.gradient)))
    slope, curvature, w = state.gradient[j], state.hessian[j, j], state.params[j]
    symbol, column = point.names.parameters[j]
    called = f" ({column})" if column else ""
    first = Step(
        "newton.slope",
        f"f′({symbol})",
        f"∂{name}/∂{symbol}",
        f"In one variable first: the parameter with the steepest slope{called}, all others held. f is the value as a "
        "function of it alone.",
        np.asarray(slope),
    )
    second = Step(
        "newton.curvature",
        f"f″({symbol})",
        f"{{∂²{name}}}/{{∂({symbol})²}}",
        "How fast the slope changes.",
        np.asarray(curvature),
    )
    if not curvature > 0.0:
        third = Step(
            "newton.jump",
            f"new {symbol}",
            "",
            "There is no jump: where f″ is not positive, the parabola through this point has no lowest point.",
        )
        return [first, second, third]
    factors = (
        StepFactor(symbol, np.asarray(w)),
        StepFactor("f′", np.asarray(slope), True),
        StepFactor("f″", np.asarray(curvature), True),
    )
    third = numeric_step(
        "newton.jump",
        f"new {symbol}",
        f"{symbol} - {{f′}}/{{f″}}",
        "Newton's method puts a parabola with this value, slope and curvature in the place of f and jumps to its "
        "lowest point. Gradient descent knows the slope alone and needs a rate.",
        "<0> - {<1>}/{<2>}",
        factors,
        "newton",
        w - slope / curvature,
    )
    return [first, second, third]


def _matrices(point: Point, state: NewtonState, name: str) -> list[Step]:
    g = StepTable((f"∂{name}/∂w",), point.names.parameters, state.gradient[:, None])
    extra = " The penalty adds each parameter's α/m to the diagonal." if np.any(point.objective.alpha) else ""
    linear = point.network.is_linear
    made = (
        "z is linear in the parameters, so every entry is a product of two inputs times the loss's second derivative."
        if linear
        else "Two parts: ⟦D^{T} L″ D⟧ with D = ∂z/∂w, the first derivatives of the network, and L″ = ∂²L/∂z² "
        "(Gauss-Newton); and ∂L/∂z times the network's second derivatives."
    )
    return [
        Step(
            "newton.gradient", "g", f"∇{name}", "In several variables the slopes are a vector.", state.gradient, table=g
        ),
        Step(
            "newton.hessian",
            "H",
            f"∇²{name}",
            f"The second derivatives are a symmetric matrix. {made}{extra}",
            state.hessian,
        ),
    ]


def _eigenvalues(values: Array) -> Step:
    largest = float(np.abs(values).max(initial=0.0))
    flat = int(np.sum(np.abs(values) <= _FLAT * largest))
    negative = int(np.sum(values < -_FLAT * largest))
    n = len(values)
    if negative:
        sentence = (
            f"{negative} of {n} are negative: along their eigenvectors the value curves downwards. This is no place "
            "for a plain Newton step, which would climb there; a trust region follows them downhill instead."
        )
    elif flat:
        sentence = (
            f"{flat} of {n} are zero but for rounding: along their eigenvectors there is no curvature, as always where "
            "there are fewer independent rows than parameters. H has no inverse: of the many steps that reach the "
            "bottom of the parabola a short one is taken."
        )
    else:
        ratio = float(values[-1] / values[0])
        sentence = (
            f"All {n} are positive: a bowl, with one lowest point. The largest is {ratio:.4g} times the smallest: "
            "the condition number, in proportion to which gradient descent needs steps, and Newton's method does not."
        )
    lines = tuple((f"λ_{{{i + 1}}}", "") for i in range(n))
    descending = values[::-1]
    table = StepTable(("λ",), lines, descending[:, None])
    sentence = f"The eigenvalues of H are its curvatures along the eigenvectors. {sentence}"
    return Step("newton.eigenvalues", "H v", "λ v", sentence, descending, table=table)


def _step(point: Point, before: NewtonState, after: NewtonState, name: str, damped: bool) -> list[Step]:
    step = after.params - before.params
    if after.iteration == before.iteration:
        why = after.status.value if after.status else ""
        return [Step("newton.step", "s", "0", f"The solver takes no step from here. {why} {after.note}".rstrip(), step)]
    values = np.column_stack([before.params, step, after.params])
    table = StepTable(("w", "s", "new w"), point.names.parameters, values, "addition", rank=1)
    left = before.hessian @ step + before.gradient
    plain = float(np.abs(left).max()) <= 1e-6 * max(float(np.abs(before.gradient).max()), 1e-300)
    if plain:
        sentence = "It solves H s = -g: the lowest point of the parabola in all variables at once."
        formula = "-H^{-1} g" if _regular(before.hessian) else "-H^{+} g"
    else:
        formula = "-(H + μ S)^{-1} g"
        sentence = (
            "The plain step -H⁻¹g is not taken here: H has directions without curvature or the step would leave the "
            "region in which the parabola can be trusted. A damping μ on the scales S makes the sum positive definite "
            "and the step as long as the region, along the most negative curvature at a saddle."
        )
    steps = [Step("newton.step", "s", formula, sentence, step, table=table)]
    fall = change_of_value("newton.value", name, before, after)
    return [*steps, replace(fall, sentence=f"{fall.sentence} {_after(point, after, damped)}")]


def _regular(H: Array) -> bool:
    values = np.abs(eigvalsh(H))
    return bool(values.min(initial=1.0) > _FLAT * values.max(initial=0.0))


def _after(point: Point, after: NewtonState, damped: bool) -> str:
    left = float(np.abs(after.gradient).max(initial=0.0))
    if point.objective.is_quadratic:
        return (
            "Least squares is a parabola itself, so its lowest point is found in one step: the largest partial "
            f"derivative that is left is {left:.1e}."
        )
    if not damped:
        return "This solver takes every plain step as it is: it may climb or overshoot, which damping would mend."
    return (
        f"The value is no parabola, so steps are repeated; the largest partial derivative is now {left:.4g}. A step "
        "that would not lower the value is shortened: that is the damping, without which Newton's method may overshoot "
        "or run to a saddle."
    )
