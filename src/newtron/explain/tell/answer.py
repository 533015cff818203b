"""The answer: ŷ in the units of the target, the most probable class, and the average over the members of the model."""

from __future__ import annotations

import numpy as np

from newtron.explain.point import Answer, Point
from newtron.explain.show.numbers import numeric_step
from newtron.explain.show.rounding import number_text
from newtron.explain.steps import Step, StepFactor, StepTable
from newtron.explain.tell.lecture import spelled


def answer_steps(point: Point) -> list[Step]:
    """The answer of the network that is explained, then that of the whole model."""
    subject, scaling = point.subject, point.subject.scaling
    steps = []
    if scaling.changes_targets:
        back = point.mean[0] * scaling.y_scale + scaling.y_center
        values = np.column_stack([point.mean[0], scaling.y_scale, scaling.y_center, back])
        lines = tuple((point.names.mean(c), point.names.output(c)) for c in range(point.k))
        table = StepTable(("ŷ", "spread", "mean", "prediction"), lines, values, "restored")
        sentence = "Back in the units of the target."
        steps.append(Step("answer.units", "prediction", "ŷ · spread + mean", sentence, back, table=table))
    if subject.loss.task == "classification":
        steps.append(_class(point))
    model = subject.answer
    if model is not None:
        steps += _intercepts(point, model)
    if model is not None and (model.groups or model.members > 1 or model.share < 1.0 or model.temperature != 1.0):
        steps += _averages(point, model)
        steps += _tempered(point, model) if model.temperature != 1.0 else [_own(point, model)]
    return steps


def _class(point: Point) -> Step:
    """The most probable class."""
    outputs, mean = point.subject.outputs, point.mean[0]
    if point.k > 1:
        best = int(np.argmax(mean))
        sentence = f"The most probable class is {outputs[best]}, with probability {number_text(mean[best])}."
        return Step("answer.class", point.names.mean(best), "", sentence, np.asarray(mean[best]))
    p = float(mean[0])
    name = outputs[int(p > 0.5)]
    sentence = (
        f"The probability of {outputs[1]} is {number_text(p)}; that of {outputs[0]} is what is left. More probable: "
        f"{name}."
    )
    factors = (StepFactor("ŷ", np.asarray(p), True),)
    return numeric_step("answer.class", "1 - ŷ", "", sentence, "1 - <0>", factors, "rest", 1.0 - p)


def _intercepts(point: Point, model: Answer) -> list[Step]:
    """What the groups of the row add to the raw prediction of each network."""
    if not model.groups:
        return []
    lines = tuple(
        ("", f"{column} = {group}" if group else f"{column}: not seen in training") for column, group, _ in model.groups
    )
    columns = tuple(f"intercept{f' of {name}' if name else ''}" for name in map(point.names.output, range(point.k)))
    values = np.array([intercept for _, _, intercept in model.groups])
    what = "prediction" if point.subject.loss.has_identity_link else "raw prediction z"
    each = "each network" if model.members > 1 else "the network"
    sentence = f"The groups that the row belongs to have random intercepts, which are added to the {what} of {each}."
    return [Step("answer.intercepts", "b", "", sentence, values.sum(axis=0), table=StepTable(columns, lines, values))]


def _averages(point: Point, model: Answer) -> list[Step]:
    """The mean of each output over the members, weighted by their shares; no step where one member has the whole
    share."""
    if model.members < 2:
        return []
    used = np.flatnonzero(model.shares)
    shares, each = model.shares[used], model.each[used]
    regression = point.subject.loss.task == "regression"
    quantity, steps = "prediction" if regression else "probability", []
    total = shares @ each
    chosen = spelled(total)
    for c in chosen:
        values = np.column_stack([shares, each[:, c], shares * each[:, c]])
        lines = tuple((f"({i + 1})", model.shapes[i] + (", this one" if i + 1 == model.member else "")) for i in used)
        table = StepTable(("share", quantity, f"share · {quantity}"), lines, values, "product", total=True)
        name = point.names.output(c)
        sentence = f"Likewise for {name}."
        if c == chosen[0]:
            whose = f" for {name}" if name else ""
            sentence = f"The model averages what its networks say{whose}, each by its share.{_unused(model)}"
        formula = f"Σ_i share_i · {quantity}_i"
        steps.append(
            Step(f"answer.members.{c + 1}", "average", formula, sentence, np.asarray(values[:, -1].sum()), table=table)
        )
    return steps


def _unused(model: Answer) -> str:
    left = len(model.shares) - model.members
    return f" The other {f'{left:,} have' if left > 1 else 'one has'} a share of 0." if left else ""


def _own(point: Point, model: Answer) -> Step:
    """The model's own answer."""
    whose = "The model's own answer"
    if model.members == 1:
        whose += f" is that of member {np.argmax(model.shares) + 1} alone"
    if point.subject.loss.task == "regression":
        what, sentence = "prediction", f"{whose}, in the units of the target."
    else:
        best = int(np.argmax(model.averaged))
        best_class = f"{point.subject.outputs[best]}, with probability {number_text(model.averaged[best])}"
        what, sentence = "probability", f"{whose}: {best_class}."
    if len(model.averaged) == 1:
        return Step("answer.average", "answer", "", sentence, np.asarray(model.averaged[0]))
    lines = tuple(("", name) for name in point.subject.outputs)
    table = StepTable((what,), lines, model.averaged[:, None])
    return Step("answer.average", "answer", "", sentence, model.averaged, table=table)


def _tempered(point: Point, model: Answer) -> list[Step]:
    """Probabilities to the power 1/T, and these divided by their sum."""
    chosen = model.shares > 0.0
    p = model.shares[chosen] @ model.each[chosen]
    p = np.array([1.0 - p[0], p[0]]) if len(p) == 1 else p
    powers = p ** (1.0 / model.temperature)
    classes = point.subject.outputs
    average = "average" if model.members > 1 else "probability"
    lines = tuple(("", name) for name in classes)
    values = np.column_stack([p, np.full(len(p), model.temperature), powers])
    table = StepTable((average, "T", f"{average}^{{1/T}}"), lines, values, "tempered", reused=(0,))
    less = "less" if model.temperature > 1.0 else "more"
    sentence = (
        f"Each probability to the power 1/T. The temperature T = {number_text(model.temperature)} makes them {less} "
        "sure: it is the one under which rows left out of training were most probable."
    )
    first = Step("answer.powers", "power", f"{average}^{{1/T}}", sentence, powers, table=table)
    best = int(np.argmax(model.averaged))
    values = np.column_stack([powers, np.full(len(p), powers.sum()), model.averaged])
    table = StepTable(("power", "sum", "answer"), lines, values, "share", reused=(0,))
    sentence = (
        "Divided by their sum, they add up to 1 again. The model's own answer: "
        f"{classes[best]}, with probability {number_text(model.averaged[best])}."
    )
    return [first, Step("answer.average", "answer", "{power}/{sum}", sentence, model.averaged, table=table)]
