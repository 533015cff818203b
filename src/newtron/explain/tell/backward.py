"""Backpropagation in the lecture notation, for the first row: every partial derivative is a product of factors.

All parameters share the factors near the loss: each step names the factors that an earlier step has computed. This
reuse is the idea of backpropagation (Rumelhart, Hinton & Williams 1986).
"""

from __future__ import annotations

import numpy as np

from newtron.engine.base.types import Array
from newtron.explain.point import Point
from newtron.explain.show.numbers import at_target, filled, numeric_step, product_equation
from newtron.explain.steps import Step, StepFactor, StepTable
from newtron.explain.tell.lecture import spelled


def lecture_backward(point: Point) -> list[Step]:
    """The steps from the loss down to the first layer."""
    steps = _head(point)
    steps.append(_chains(point, point.depth))
    for layer in range(point.depth - 1, 0, -1):
        steps += _units(point, layer)
        steps.append(_chains(point, layer))
    return steps


# --- from the loss to the last z ---


def _head(point: Point) -> list[Step]:
    if point.k == 1:
        return _one_output(point)
    return _several_outputs(point)


def _one_output(point: Point) -> list[Step]:
    rule = point.loss.chain_rule
    y, mean, by_mean = point.subject.Y[0, 0], point.mean[0, 0], point.by_mean[0, 0]
    factors = (StepFactor("y", y), StepFactor("ŷ", mean, reused=True))
    z = point.names.z(point.depth, 0)
    if not point.factors_finite:
        return [_cancelled(point, z)]
    relation = f"by_mean of {type(point.loss).__name__}"
    own = at_target(rule, float(y), "")[1]
    sentence = "How the loss changes with the prediction."
    formula, *further = [line[2:] for line in rule.product] if point.identity else [rule.by_mean]
    more = tuple(f"= {line}" for line in further)
    template = filled(own, "<0>", "<1>")
    first = numeric_step("backward.mean", "∂L/∂ŷ", formula, sentence, template, factors, relation, by_mean, more)
    if point.identity:
        return [first]
    slope = point.mean_by_z[0, 0, 0]
    link, template = rule.one_output, filled(rule.mean_by_z, "", "<0>")
    formula, relation, lines = rule.mean_by_z, link.slope_relation, rule.link_derived
    second = numeric_step(
        "backward.link", f"∂ŷ/∂{z}", formula, link.slope_words, template, factors[1:], relation, slope, lines
    )
    factors = (StepFactor("∂L/∂ŷ", by_mean, True), StepFactor(f"∂ŷ/∂{z}", slope, True))
    third = Step(
        "backward.z",
        f"∂L/∂{z}",
        f"∂L/∂ŷ · ∂ŷ/∂{z}",
        _cancels(point),
        point.by_z[0, 0],
        factors,
        "product",
        product_equation([by_mean, slope], point.by_z[0, 0]),
        lines=rule.product,
    )
    return [first, second, third]


def _cancels(point: Point) -> str:
    rule = point.loss.chain_rule
    if rule.is_plain_error:
        return rule.one_output.cancels
    return "The slope stays beside the error."


def _cancelled(point: Point, z: str) -> Step:
    """The product alone, where its factors overflow. Training computes the product."""
    return Step(
        "backward.z",
        f"∂L/∂{z}",
        point.loss.chain_rule.by_z,
        "The model gives what happened a probability that is 0 in floating point, so ∂L/∂ŷ is infinite and ∂ŷ/∂z is 0: "
        "their product, which is what training computes, is neither.",
        point.by_z[0] if point.k > 1 else point.by_z[0, 0],
    )


def _several_outputs(point: Point) -> list[Step]:
    names, rule, k = point.names, point.loss.chain_rule, point.k
    z = names.z(point.depth, "c")
    if not point.factors_finite:
        return [_cancelled(point, z)]
    y, mean = point.subject.Y[0], point.mean[0]
    lines = tuple((names.mean(c), names.output(c)) for c in range(k))
    by_mean = rule.by_mean if "_c" in rule.by_mean else "-(y_c - ŷ_c)"
    table = StepTable(
        (names.y("c"), names.mean("c"), "∂L/∂ŷ_c"),
        lines,
        np.column_stack([y, mean, point.by_mean[0]]),
        f"by_mean of {type(point.loss).__name__}",
        reused=(1,),
    )
    sentence = "How the loss changes with each prediction."
    steps = [Step("backward.mean", "∂L/∂ŷ_c", by_mean, sentence, point.by_mean[0], table=table)]
    if point.identity:
        return steps
    sentence = "Every probability depends on every raw prediction, since they share one sum."
    steps.append(
        Step("backward.link", f"∂ŷ_d/∂{z}", rule.mean_by_z, sentence, point.mean_by_z[0], lines=rule.link_derived)
    )
    for c in spelled(point.by_z[0]):
        values = np.column_stack(
            [point.by_mean[0], point.mean_by_z[0, :, c], point.by_mean[0] * point.mean_by_z[0, :, c]]
        )
        z_c = names.z(point.depth, c)
        table = StepTable(("∂L/∂ŷ_d", f"∂ŷ_d/∂{z_c}", "product"), lines, values, "product", total=True, reused=(0, 1))
        steps.append(
            Step(f"backward.z.{c + 1}", f"∂L/∂{z_c}", f"Σ_d ∂L/∂ŷ_d · ∂ŷ_d/∂{z_c}", "", point.by_z[0, c], table=table)
        )
    return [*steps, _all_by_z(point)]


def _all_by_z(point: Point) -> Step:
    names, rule = point.names, point.loss.chain_rule
    z = names.z(point.depth, "c")
    lines = tuple((names.z(point.depth, c), names.output(c)) for c in range(point.k))
    relation, values = "", point.by_z[0][:, None]
    columns: tuple[str, ...] = (f"∂L/∂{z}",)
    sentence = "For every class."
    if rule.is_plain_error:
        relation, columns = f"by_z of {type(point.loss).__name__}", ("y_c", "ŷ_c", f"∂L/∂{z}")
        values = np.column_stack([point.subject.Y[0], point.mean[0], point.by_z[0]])
        sentence = "The slope of the softmax cancels: what is left is the plain error of each class."
    table = StepTable(columns, lines, values, relation)
    return Step(
        "backward.z", f"∂L/∂{z}", f"Σ_d ∂L/∂ŷ_d · ∂ŷ_d/∂{z}", sentence, point.by_z[0], table=table, lines=rule.product
    )


# --- one layer down ---


def _units(point: Point, layer: int) -> list[Step]:
    """The steps from ∂L/∂z of the layer above to ∂L/∂z of a hidden layer's units."""
    names, above = point.names, layer + 1
    a, z = names.a(layer, "k"), names.z(layer, "k")
    slope, by_z = point.layers[layer - 1].slope[0], point.deltas[layer - 1][0]
    W, deltas = point.at.weights[above - 1].W, point.deltas[above - 1][0]
    steps = [_slope(point, layer)]
    if W.shape[1] > 1:
        chosen = spelled(by_z)
        steps += [_branches(point, layer, k, first=k == chosen[0]) for k in chosen]
        columns: tuple[str, ...] = (f"∂L/∂{a}", f"∂{a}/∂{z}", f"∂L/∂{z}")
        numbers = np.column_stack([point.by_value(layer), slope, by_z])
        reused: tuple[int, ...] = (0, 1)
    else:
        columns = (f"∂L/∂{names.z(above, 0)}", f"∂{names.z(above, 0)}/∂{a}", f"∂{a}/∂{z}", f"∂L/∂{z}")
        numbers = np.column_stack([np.full(len(slope), deltas[0]), W[:, 0], slope, by_z])
        reused = (0, 2)
    lines = tuple((names.z(layer, k), "") for k in range(len(slope)))
    table = StepTable(columns, lines, numbers, "product", reused=reused)
    sentence = "One layer down: what was known above, times the weight between, times the slope of the activation."
    formula = " · ".join(columns[:-1])
    steps.append(Step(f"backward.{layer}.z", f"∂L/∂{z}", formula, sentence, by_z, table=table))
    return steps


def _slope(point: Point, layer: int) -> Step:
    """∂a/∂z of a hidden layer's units, computed from a."""
    names, f, values = point.names, point.network.f, point.layers[layer - 1]
    a, z = names.a(layer, "k"), names.z(layer, "k")
    lines = tuple((names.a(layer, k), "") for k in range(values.a.shape[1]))
    numbers = np.column_stack([values.a[0], values.slope[0]])
    return Step(
        f"backward.{layer}.slope",
        f"∂{a}/∂{z}",
        f.slope_formula.replace("a", a),
        f"The slope of {f.name}, written with its value: the forward pass has it already.",
        values.slope[0],
        table=StepTable((a, f"∂{a}/∂{z}"), lines, numbers, f"slope of {f.name}", reused=(0,)),
        lines=f.derived if layer + 1 == point.depth else (),
    )


def _branches(point: Point, layer: int, k: int, first: bool) -> Step:
    """∂L/∂a of one hidden unit: a sum over the units of the layer above."""
    names, above = point.names, layer + 1
    w, deltas = point.at.weights[above - 1].W[k], point.deltas[above - 1][0]
    letter = names.letters(above)[1]
    upper, a = f"∂L/∂{names.z(above, letter)}", names.a(layer, k)
    between = f"∂{names.z(above, letter)}/∂{a}"
    outputs = above == point.depth
    lines = tuple((names.z(above, c), names.output(c) if outputs else "") for c in range(len(w)))
    table = StepTable(
        (upper, between, "product"), lines, np.column_stack([deltas, w, deltas * w]), "product", total=True, reused=(0,)
    )
    sentence = (
        f"Each unit reaches the loss through every unit above it; the changes add up. ⟦{between}⟧ is the weight "
        f"⟦{names.w(above, k, letter)}⟧."
    )
    return Step(
        f"backward.{layer}.a.{k + 1}",
        f"∂L/∂{a}",
        f"Σ_{letter} {upper} · {between}",
        sentence if first else "",
        np.asarray(point.by_value(layer)[k]),
        table=table,
    )


# --- the parameters of one layer ---


def _chains(point: Point, layer: int) -> Step:
    """The partial derivatives of all parameters of a layer, each the product of its factors."""
    names = point.names
    (W, b), below, delta = point.at.weights[layer - 1], point.below(layer), point.deltas[layer - 1][0]
    j, k = names.letters(layer)
    inputs, units = W.shape
    fed = np.concatenate([np.repeat(below, units), np.ones(0 if b is None else units)])
    unit = np.tile(np.arange(units), inputs + (b is not None))
    gradient = np.concatenate([np.outer(below, delta).ravel(), delta if b is not None else delta[:0]])
    head, columns = _shared(point, layer)
    columns += (f"∂{names.z(layer, k)}/∂{names.w(layer, j, k)}", f"∂L/∂{names.w(layer, j, k)}")
    values = np.column_stack([*(factor[unit] for factor in head), fed, gradient])
    lines = names.parameters[point.network.spans[layer - 1]]
    table = StepTable(columns, lines, values, "product", reused=tuple(range(len(head))))
    return Step(
        f"backward.{layer}",
        columns[-1],
        " · ".join(columns[:-1]),
        _reuse(point, layer),
        gradient,
        table=table,
        lines=_conclusion(point) if point.depth == 1 else (),
    )


def _shared(point: Point, layer: int) -> tuple[list[Array], tuple[str, ...]]:
    """The factors from the loss down to z of each unit of a layer, each (units,), and their symbols. They start at the
    loss where only one path leads there, else at ∂L/∂a, which is a sum over the paths."""
    names, last = point.names, layer == point.depth
    z = names.z(layer, names.letters(layer)[1])
    if last and point.k > 1:
        return [point.deltas[-1][0]], (f"∂L/∂{z}",)
    columns: tuple[str, ...]
    if point.k == 1 and layer >= point.depth - 1:
        top = names.z(point.depth, 0)
        if point.identity:
            head, columns = [point.by_mean[0, 0]], ("∂L/∂ŷ",)
        elif point.factors_finite:
            head, columns = [point.by_mean[0, 0], point.mean_by_z[0, 0, 0]], ("∂L/∂ŷ", f"∂ŷ/∂{top}")
        else:
            head, columns = [point.by_z[0, 0]], (f"∂L/∂{top}",)
        width = point.layers[layer - 1].z.shape[1]
        factors = [np.full(width, factor) for factor in head]
        if last:
            return factors, columns
        a = names.a(layer, "k")
        weights, slope = point.at.weights[-1].W[:, 0], point.layers[layer - 1].slope[0]
        return [*factors, weights, slope], (*columns, f"∂{top}/∂{a}", f"∂{a}/∂{z}")
    a = names.a(layer, "k")
    return [point.by_value(layer), point.layers[layer - 1].slope[0]], (f"∂L/∂{a}", f"∂{a}/∂{z}")


def _reuse(point: Point, layer: int) -> str:
    names = point.names
    j, k = names.letters(layer)
    new = f"∂{names.z(layer, k)}/∂{names.w(layer, j, k)}"
    own = (
        f"Only the last factor is each parameter's own: ⟦{new}⟧ is its input ⟦{names.below(layer, j)}⟧, and 1 for an "
        "intercept."
    )
    if layer == point.depth:
        return own
    return f"{own} All others were there already from the steps above: backpropagation is this reuse."


def _conclusion(point: Point) -> tuple[str, ...]:
    """The whole chain of a perceptron, in symbols."""
    names = point.names
    by_z, x = point.loss.chain_rule.by_z, names.x("j")
    plain = by_z.startswith("-(") and by_z.endswith(")") and by_z.count("(") == 1
    return (f"= -{x} {by_z[1:]}" if plain else f"= {x} · ({by_z})",)
