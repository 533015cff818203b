"""From a subject to its derivation: which sections there are, and the words around them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from newtron.explain import lab, lecture
from newtron.explain.backward import backward
from newtron.explain.derivation import LECTURE, Derivation, Factor, Section, Step, Table
from newtron.explain.newton import newton
from newtron.explain.numbers import equation
from newtron.explain.point import Point, Subject
from newtron.explain.rounding import shown
from newtron.explain.rows import check, mean
from newtron.explain.update import LARGEST_HESSIAN, gradient_descent, own_solver

Array = NDArray[np.floating]


def derive(subject: Subject, notation: str = LECTURE) -> Derivation:
    """The whole derivation for the rows of a subject. Of several rows the first is followed number by number, and
    the loss and gradient are means over all."""
    point = Point(subject)
    rows = "one row" if point.m == 1 else f"the first of {point.m:,} rows"
    sections = (
        Section("scaling", "Scaling", tuple(_scaling(point))),
        Section("forward", f"Forward: the prediction for {rows}", (*lecture.forward(point), *lab.forward(point))),
        Section("answer", "The answer", tuple(_answer(point))),
        Section("loss", "Loss: how wrong it is", tuple(lecture.loss(point))),
        Section("backward", "Backward: every derivative by the chain rule", (*backward(point), *lab.backward(point))),
        Section("mean", f"All {point.m:,} rows", tuple(mean(point))),
        Section("check", "Check: the derivatives by differences", tuple(check(point))),
        *_steps(point),
    )
    loss = float(point.row.value.mean())
    kind = "perceptron" if point.depth == 1 else "network"
    task = "Regression" if subject.loss.task == "regression" else "Classification"
    title = f"{task} with a {kind}: the calculus of {'one row' if point.m == 1 else f'{point.m:,} rows'}"
    found = Derivation(title, tuple(_summary(point)), sections, LECTURE, loss, point.gradient)
    return found.in_notation(notation)


def _steps(point: Point) -> tuple[Section, ...]:
    """What is done with the derivatives."""
    with np.errstate(all="ignore"):
        found = point.objective.evaluate(point.params, 2 if point.network.n_params <= LARGEST_HESSIAN else 1)
    parts = [found.value, found.gradient, found.hessian]
    if not all(np.isfinite(part).all() for part in parts if part is not None):
        sentence = "The loss or a derivative is beyond the range of floating point: there is no step from here."
        return (Section("update", "Update", (Step("update.none", "w", "", sentence),)),)
    return (
        Section("update", "Update: gradient descent", tuple(gradient_descent(point))),
        Section("newton", "Newton's method", tuple(newton(point))),
        Section("solver", f"This model's solver: {point.subject.solver.name}", tuple(own_solver(point))),
    )


def _summary(point: Point) -> list[str]:
    subject, network = point.subject, point.network
    shape = "-".join(map(str, network.widths))
    units = f", hidden units {network.activation}" if point.depth > 1 else ""
    found = [f"Inputs to outputs {shape}{units}: {network.n_params:,} parameters. Loss ⟦{subject.loss.formula}⟧."]
    answer = subject.answer
    if answer is not None and answer.members > 1:
        found.append(
            f"The model averages {answer.members} networks; this is member {answer.member}, with a share of "
            f"{answer.share:.3g} in the prediction."
        )
    if subject.alpha and point.m == 1:
        found.append(
            f"The loss of the row is explained without the penalty: training adds α w / n to the mean gradient of each "
            f"weight, with α = {subject.alpha:g} and n the number of training rows."
        )
    found += subject.remarks
    return found


def _scaling(point: Point) -> list[Step]:
    subject, scales, steps = point.subject, point.subject.scales, []
    if scales.changes_inputs:
        values = np.column_stack([subject.as_given[0], scales.x_center, scales.x_scale, subject.X[0]])
        lines = tuple((point.names.x(j), name) for j, name in enumerate(subject.inputs))
        table = Table(("given", "mean", "spread", "x"), lines, values, "standardised")
        sentence = (
            "Training measures every column from its mean, in units of its spread. From here on x is the scaled number."
        )
        steps.append(Step("scaling.x", "x", "{given - mean}/{spread}", sentence, subject.X[0], table=table))
    if scales.changes_targets:
        values = np.column_stack([subject.targets_given[0], scales.y_center, scales.y_scale, subject.Y[0]])
        lines = tuple((point.names.y(c), point.names.output(c)) for c in range(point.k))
        table = Table(("given", "mean", "spread", "y"), lines, values, "standardised")
        steps.append(
            Step(
                "scaling.y",
                "y",
                "{given - mean}/{spread}",
                "The target likewise; the loss below is in these units.",
                subject.Y[0],
                table=table,
            )
        )
    return steps


def _answer(point: Point) -> list[Step]:
    """ŷ in the user's units, the class, and the average over members."""
    subject, scales = point.subject, point.subject.scales
    answer = subject.answer
    averaged = answer is not None and (answer.members > 1 or answer.temperature != 1.0)
    steps = []
    if scales.changes_targets:
        back = point.mean[0] * scales.y_scale + scales.y_center
        values = np.column_stack([point.mean[0], scales.y_scale, scales.y_center, back])
        lines = tuple((point.names.mean(c), point.names.output(c)) for c in range(point.k))
        table = Table(("ŷ", "spread", "mean", "prediction"), lines, values, "restored")
        sentence = "Back in the units of the target."
        steps.append(Step("answer.units", "prediction", "ŷ · spread + mean", sentence, back, table=table))
    if subject.loss.task == "classification":
        steps.append(_class(point))
    if averaged:
        assert answer is not None
        numbers = ", ".join(shown(value) for value in answer.averaged)
        what = f"the average over its {answer.members} networks" if answer.members > 1 else "this one"
        if answer.temperature != 1.0:
            what += f" to the power 1 / {shown(answer.temperature)} (its temperature), normalised"
        sentence = f"The model's own answer is {what}: {numbers}."
        steps.append(Step("answer.average", "average", "", sentence, answer.averaged))
    return steps


def _class(point: Point) -> Step:
    outputs, mean = point.subject.outputs, point.mean[0]
    if point.k > 1:
        best = int(np.argmax(mean))
        sentence = f"The most probable class is {outputs[best]}, with probability {shown(mean[best])}."
        return Step("answer.class", point.names.mean(best), "", sentence, np.asarray(mean[best]))
    p = float(mean[0])
    numbers = equation("1 - <0>", [p], 1.0 - p, "rest")
    name = outputs[int(p > 0.5)]
    sentence = (
        f"The probability of {outputs[1]} is {shown(p)}; that of {outputs[0]} is what is left. More probable: {name}."
    )
    factors = (Factor("ŷ", np.asarray(p), True),)
    return Step("answer.class", "1 - ŷ", "", sentence, np.asarray(1.0 - p), factors, "rest", numbers)
