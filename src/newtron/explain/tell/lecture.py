"""The lecture notation for the first row, one number at a time: the forward pass and the loss."""

from __future__ import annotations

import numpy as np

from newtron.engine.base.types import Array
from newtron.explain.point import Point
from newtron.explain.show.numbers import at_target, equation, filled, numeric_step
from newtron.explain.steps import Step, StepFactor, StepTable

# Up to the first number of units or classes, the sum of each is a step; of more, the steps are those of as many as the
# second number, the most influential ones. More would hide the principle.
_ALL, _SOME = 4, 2

_FROM_Z = "Here ŷ is 0 or 1 but for rounding: training computes the loss from z, where no digit is lost."


def spelled(size: Array) -> list[int]:
    """Positions of the units that get a step of their own, in order: all where there are few, else those of the largest
    size."""
    if len(size) <= _ALL:
        return list(range(len(size)))
    return sorted(np.argsort(-np.abs(size), kind="stable")[:_SOME].tolist())


# --- forward ---


def lecture_forward(point: Point) -> list[Step]:
    """z of every layer as a weighted sum of its inputs, a = f(z), and ŷ from the last z."""
    steps: list[Step] = []
    for layer in range(1, point.depth + 1):
        last = layer == point.depth
        influence = point.layers[layer - 1].z[0] if last else _influence(point, layer)
        units = spelled(influence)
        steps += [_sum_of_unit(point, layer, k, first=k == units[0]) for k in units]
        if not last:
            steps.append(_activation(point, layer))
        elif len(units) < point.k:
            steps.append(_column(point, f"forward.{layer}.all", point.names.z(layer, "c"), point.layers[-1].z[0]))
    if not point.identity:
        steps.append(_link(point))
    return steps


def _influence(point: Point, layer: int) -> Array:
    """The size of the effect of each hidden unit on the layer above."""
    above = point.at.weights[layer].W
    return np.asarray(point.layers[layer - 1].a[0] * np.linalg.norm(above, axis=1))


def _sum_of_unit(point: Point, layer: int, k: int, first: bool) -> Step:
    names, (W, b) = point.names, point.at.weights[layer - 1]
    below = point.below(layer)
    letter = point.names.letters(layer)[0]
    lines = [(names.w(layer, j, k), point.subject.inputs[j] if layer == 1 else "") for j in range(len(below))]
    rows = [[w, x, w * x] for x, w in zip(below, W[:, k], strict=True)]
    x, w = names.below(layer, letter), names.w(layer, letter, k)
    formula = f"Σ_{letter} {w} {x}" if len(below) > 1 else f"{w} {x}"
    if b is not None:
        lines.append((names.b(layer, k), "intercept"))
        rows.append([b[k], 1.0, b[k]])
        formula += f" + {names.b(layer, k)}"
    symbol = names.z(layer, k)
    z = point.layers[layer - 1].z[0, k]
    where = "The output" if layer == point.depth else f"Unit {k + 1} of layer {layer}"
    of = f" for {name}" if layer == point.depth and point.k > 1 and (name := names.output(k)) else ""
    sentence = f"{where}{of} adds up its inputs, each times its weight{', and its intercept' if b is not None else ''}."
    if not first:
        sentence = ""
    table = StepTable((w, x, f"{w} {x}"), tuple(lines), np.array(rows), relation="product", total=True)
    return Step(f"forward.{layer}.{k + 1}", symbol, formula, sentence, np.asarray(z), table=table)


def _activation(point: Point, layer: int) -> Step:
    names, f = point.names, point.network.f
    values = point.layers[layer - 1]
    letter = names.letters(layer)[1]
    z, a = names.z(layer, letter), names.a(layer, letter)
    lines = tuple((names.a(layer, k), "") for k in range(values.a.shape[1]))
    table = StepTable((z, a), lines, np.column_stack([values.z[0], values.a[0]]), relation=f.name)
    return Step(
        f"forward.{layer}.a",
        a,
        f"f({z}), f(z) = {f.formula}",
        f"The activation {f.name} makes each unit nonlinear; without it, all layers would be equivalent to one.",
        values.a[0],
        table=table,
    )


def _column(point: Point, key: str, symbol: str, values: Array) -> Step:
    names = point.names
    lines = tuple((names.z(point.depth, c), names.output(c)) for c in range(point.k))
    return Step(key, symbol, "", "All outputs:", values, table=StepTable((symbol,), lines, values[:, None]))


def _link(point: Point) -> Step:
    names, rule = point.names, point.loss.chain_rule
    z, mean = point.at.output[0], point.mean[0]
    last = names.z(point.depth, "c")
    formula = rule.link.split(" = ", 1)[1].replace("z_c", "@").replace("z_d", names.z(point.depth, "d"))
    formula = formula.replace("z", "@").replace("@", last) if point.k == 1 else formula.replace("@", last)
    if point.k == 1:
        sentence = rule.one_output.words
        if names.output(0):
            sentence += f", that of {names.output(0)}"
        template, factors, relation = rule.one_output.numbers, (StepFactor(last, z[0], True),), rule.one_output.relation
        return numeric_step(
            "forward.mean", names.mean(0), formula, f"{sentence}.", template, factors, relation, mean[0]
        )
    raised = np.exp(z - z.max())
    lines = tuple((names.mean(c), names.output(c)) for c in range(point.k))
    table = StepTable(
        (last, f"e^{{{last} - M}}", "Σ_d", names.mean("c")),
        lines,
        np.column_stack([z, raised, np.full(point.k, raised.sum()), mean]),
        relation="share",
    )
    sentence = (
        "Softmax turns the raw predictions into probabilities that add to 1. M is the largest of them: taken away from "
        "all it changes no probability, and nothing overflows."
    )
    return Step("forward.mean", names.mean("c"), formula, sentence, mean, table=table)


# --- loss ---


def loss_steps(point: Point) -> list[Step]:
    """The loss of the row, and the reason for its formula."""
    names, y, mean = point.names, point.subject.Y[0], point.mean[0]
    why, formula = point.loss.chain_rule.why, point.loss.formula
    value, relation = np.asarray(point.row.value[0]), f"loss of {type(point.loss).__name__}"
    outputs = point.subject.outputs
    if point.loss.task == "classification" and point.k == 1:
        why = f"{why} y is 1 for {outputs[1]} and 0 for {outputs[0]}."
    if point.k == 1:
        own = at_target(point.loss.chain_rule, float(y[0]), formula)[0]
        numbers = equation(filled(own, "<0>", "<1>"), [y[0], mean[0]], float(value), relation)
        if not numbers:
            return [Step("loss.value", "L", formula, f"{why} {_FROM_Z}", value)]
        factors = (StepFactor("y", y[0]), StepFactor("ŷ", mean[0], reused=True))
        return [Step("loss.value", "L", formula, why, value, factors, relation, numbers)]
    if point.identity:
        formula = "½ Σ_c (y_c - ŷ_c)²"
    lines = tuple((names.mean(c), names.output(c)) for c in range(point.k))
    terms = point.loss.terms(y[None], mean[None])[0]
    if not abs(terms.sum() - value) <= 1e-6 * abs(value):
        return [Step("loss.value", "L", formula, f"{why} {_FROM_Z}", value)]
    values = np.column_stack([y, mean, terms])
    table = StepTable((names.y("c"), names.mean("c"), "L_c"), lines, values, relation, total=True, reused=(1,))
    return [Step("loss.value", "L", formula, why, value, table=table)]
