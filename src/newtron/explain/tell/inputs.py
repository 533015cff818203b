"""How the answer moves with the columns: backpropagation that starts from ŷ instead of the loss, for the first row."""

from __future__ import annotations

import numpy as np

from newtron.engine.base.types import Array
from newtron.explain.point import Answer, Point
from newtron.explain.steps import Step, StepTable
from newtron.explain.tell.landmarks import slopes_through_landmarks
from newtron.explain.tell.lecture import spelled


def input_steps(point: Point) -> list[Step]:
    """The derivatives of ŷ with respect to the columns, then those of the whole model's answer. Of several classes the
    most probable one is followed, of several targets each."""
    classes = point.subject.loss.task == "classification"
    followed = [int(np.argmax(point.mean[0]))] if classes else spelled(point.mean[0])
    steps = [step for output in followed for step in _of_output(point, output)]
    answer = point.subject.answer
    if answer is not None and (answer.members > 1 or answer.share < 1.0 or answer.temperature != 1.0):
        steps.append(_of_answer(point, answer))
    return steps


def _of_output(point: Point, output: int) -> list[Step]:
    """From ŷ of one output down to the columns."""
    names, key = point.names, f"inputs.{output + 1}"
    mean, by_z = names.mean(output), point.mean_by_z[:1, output]
    at = point.network.linearize(point.params, point.subject.X[:1])
    deltas = [np.asarray(delta[0]) for delta in at.deltas(by_z)]
    steps = [] if point.identity else [_link(point, output, key)]
    for layer in range(point.depth - 1, 0, -1):
        slope, a, z = point.layers[layer - 1].slope[0], names.a(layer, "k"), names.z(layer, "k")
        lines = tuple((names.z(layer, k), "") for k in range(len(slope)))
        values = np.column_stack([at.weights[layer].W @ deltas[layer], slope, deltas[layer - 1]])
        formula = f"∂{mean}/∂{a} · ∂{a}/∂{z}"
        table = StepTable((f"∂{mean}/∂{a}", f"∂{a}/∂{z}", f"∂{mean}/∂{z}"), lines, values, "product")
        sentence = (
            "One layer down, as the loss would be followed: what is known above times the weights between is the first "
            "factor, the slope of the activation the second."
        )
        steps.append(Step(f"{key}.z.{layer}", f"∂{mean}/∂{z}", formula, sentence, deltas[layer - 1], table=table))
    by_x = np.asarray(at.weights[0].W @ deltas[0])
    return [*steps, _by_inputs(point, output, by_x, deltas[0]), *_in_units(point, output, by_x)]


def _link(point: Point, output: int, key: str) -> Step:
    """∂ŷ/∂z of the last layer."""
    names, mean = point.names, point.names.mean(output)
    values = point.mean_by_z[0, output]
    lines = tuple((names.z(point.depth, c), names.output(c)) for c in range(point.k))
    z = names.z(point.depth, "d")
    formula, sentence = point.loss.chain_rule.mean_by_z, "How the prediction changes with the sum before it."
    if point.k > 1:
        formula, sentence = "", f"How the probability of {names.output(output)} changes with every raw prediction."
    table = StepTable((f"∂{mean}/∂{z}",), lines, values[:, None])
    return Step(f"{key}.link", f"∂{mean}/∂{z}", formula, sentence, values, table=table)


def _by_inputs(point: Point, output: int, by_x: Array, by_z: Array) -> Step:
    """∂ŷ/∂x of every input of the network."""
    names, mean = point.names, point.names.mean(output)
    x, z, w = names.x("j"), names.z(1, "k"), names.w(1, "j", "k")
    lines = tuple((names.x(j), point.subject.inputs[j]) for j in range(len(by_x)))
    columns: tuple[str, ...] = (f"∂{mean}/∂{x}",)
    values, relation, formula = by_x[:, None], "", f"Σ_k ∂{mean}/∂{z} · {w}"
    if len(by_z) == 1:
        formula = w if point.identity and point.depth == 1 else f"∂{mean}/∂{z} · {w}"
        if formula != w:
            columns, relation = (f"∂{mean}/∂{z}", w, *columns), "product"
            values = np.column_stack([np.full(len(by_x), by_z[0]), point.at.weights[0].W[:, 0], by_x])
    table = StepTable(columns, lines, values, relation)
    sentence = "Every input counts through its weights."
    return Step(f"inputs.{output + 1}.x", f"∂{mean}/∂{x}", formula, sentence, by_x, table=table)


def _in_units(point: Point, output: int, by_x: Array) -> list[Step]:
    """The same in the units of the data; no step where these are the units of training."""
    subject, scaling, key = point.subject, point.subject.scaling, f"inputs.{output + 1}"
    p, spread = len(scaling.x_center), scaling.y_scale[output]
    if scaling.landmarks is not None:
        return slopes_through_landmarks(point, scaling.landmarks, output, by_x)
    if not (scaling.changes_inputs or scaling.changes_targets or scaling.features):
        return []
    lines = tuple((point.names.x(j), subject.columns[j]) for j in range(p))
    direct = by_x[:p] * spread / scaling.x_scale
    columns, values = ["∂ŷ/∂x", "spread", "slope"], [by_x[:p], scaling.x_scale, direct]
    formula, relation = "{(∂ŷ/∂x)}/{spread}", "share"
    if scaling.changes_targets:
        columns.insert(1, "spread of y")
        values.insert(1, np.full(p, spread))
        formula, relation = "{∂ŷ/∂x · spread of y}/{spread}", "pull"
    table = StepTable(tuple(columns), lines, np.column_stack(values), relation, reused=(0,))
    sentence = (
        "In the units of the data: what one unit more of a column adds to the prediction, as long as the slope stays "
        "what it is here. It is a slope for a column of 0 and 1 too, and not the difference between these two."
    )
    steps = [Step(f"{key}.slope", "slope", formula, sentence, direct, table=table)]
    if scaling.features:
        whole = scaling.by_given(subject.as_given[:1], by_x[None])[0] * spread
        table = StepTable(
            ("slope", "through features", "together"),
            lines,
            np.column_stack([direct, whole - direct, whole]),
            "addition",
        )
        sentence = (
            "Columns with features count through these too: their weights, times their slopes by the column. That of a "
            "piece is one over its length where the number lies inside it, half of that at a knot, and else 0."
            if scaling.pieces is not None
            else "Columns with an asinh feature count through it too: its weights, times the slope of asinh."
        )
        steps.append(Step(f"{key}.together", "together", "slope + through features", sentence, whole, table=table))
    return steps


def _of_answer(point: Point, answer: Answer) -> Step:
    """The derivatives of what the whole model answers: of the second class where there are two, of the most probable
    one where there are more."""
    subject = point.subject
    best = 1 if len(answer.averaged) == 2 and point.k == 1 else int(np.argmax(answer.averaged))
    what = "prediction"
    if subject.loss.task == "classification":
        what = f"probability of {subject.outputs[best]}"
    averaged = "averaged over its networks by their shares" if answer.members > 1 else "of its networks"
    sentence = f"The slopes of the model's own answer, the {what}, {averaged}, in the units of the data."
    slopes = answer.slopes[best]
    symbol = point.names.x if subject.scaling.with_columns else point.names.given
    lines = tuple((symbol(j), subject.columns[j]) for j in range(len(slopes)))
    return Step("inputs.answer", "slope", "", sentence, slopes, table=StepTable(("slope",), lines, slopes[:, None]))
