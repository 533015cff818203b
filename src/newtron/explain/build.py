"""From a subject to its derivation: this module chooses the sections and writes the title and the summary."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from newtron.engine.base.words import count
from newtron.engine.maths.losses import method_of
from newtron.explain.derivation import Derivation
from newtron.explain.point import Answer, Point, Subject
from newtron.explain.steps import LECTURE, Section, Step
from newtron.explain.tell.answer import answer_steps
from newtron.explain.tell.backward import lecture_backward
from newtron.explain.tell.inputs import input_steps
from newtron.explain.tell.lab import lab_backward, lab_forward
from newtron.explain.tell.landmarks import landmark_sums
from newtron.explain.tell.lecture import lecture_forward, loss_steps
from newtron.explain.tell.newton import newton_steps
from newtron.explain.tell.penalty import penalty_text
from newtron.explain.tell.rows import check_steps, mean_steps
from newtron.explain.tell.scaling import scaling_steps
from newtron.explain.tell.update import LARGEST_HESSIAN, descent_steps, solver_steps


def derive(subject: Subject, notation: str = LECTURE) -> Derivation:
    """The whole derivation for the rows of a subject. Of several rows, the first is followed number by number; the loss
    and the gradient are means over all rows, and nan where the targets are not known."""
    point = Point(subject)
    rows = "one row" if point.m == 1 else f"the first of {point.m:,} rows"
    forward = [*_lecture(lecture_forward(point)), *landmark_sums(point), *lab_forward(point)]
    sections = (
        Section("scaling", "Scaling", tuple(scaling_steps(point))),
        Section("forward", f"Forward: the prediction for {rows}", tuple(forward)),
        Section("answer", "The answer", tuple(answer_steps(point))),
        *(_of_loss(point) if point.known else _without_loss(point)),
    )
    loss = float(point.row.value.mean()) if point.known else float("nan")
    kind = "perceptron" if point.depth == 1 else "network"
    task = "Regression" if subject.loss.task == "regression" else "Classification"
    method = method_of(subject.loss) if point.depth == 1 else ""
    if subject.scaling.landmarks is not None:
        kind, method = f"{kind} on landmarks", ""
    of = f" for {subject.target}" if subject.target else ""
    title = f"{task} with a {kind}{method}{of}: the calculus of {'one row' if point.m == 1 else f'{point.m:,} rows'}"
    found = Derivation(title, tuple(_summary(point)), sections, LECTURE, loss, point.gradient)
    return found.in_notation(notation)


def _of_loss(point: Point) -> tuple[Section, ...]:
    """The sections on the loss, its derivatives, and the steps that lower it."""
    backward = [*_lecture(lecture_backward(point)), *lab_backward(point)]
    return (
        Section("loss", "Loss: how wrong it is", tuple(loss_steps(point))),
        Section("backward", "Backward: every derivative by the chain rule", tuple(backward)),
        Section("mean", f"All {point.m:,} rows", tuple(mean_steps(point))),
        Section("check", "Check: the derivatives by differences", tuple(check_steps(point))),
        *_steps(point),
    )


def _without_loss(point: Point) -> tuple[Section, ...]:
    """The section that takes the place of those on the loss where the targets are not known."""
    return (Section("inputs", "Columns: how the answer changes with each", tuple(input_steps(point))),)


def _lecture(steps: list[Step]) -> list[Step]:
    """The same steps, marked as belonging to the lecture notation alone."""
    return [replace(step, notation=LECTURE) for step in steps]


def _steps(point: Point) -> tuple[Section, ...]:
    """The sections on the steps of the solvers."""
    with np.errstate(all="ignore"):
        if point.network.n_params <= LARGEST_HESSIAN:
            at = point.objective.evaluate(point.params, 2)
            parts = [np.asarray(at.value), at.gradient, at.hessian]
        else:
            found = point.objective.evaluate(point.params, 1)
            parts = [np.asarray(found.value), found.gradient]
    if not all(np.isfinite(part).all() for part in parts):
        sentence = "The loss or a derivative is beyond the range of floating point: there is no step from here."
        return (Section("update", "Update", (Step("update.none", "w", "", sentence),)),)
    return (
        Section("update", "Update: gradient descent", tuple(descent_steps(point))),
        Section("newton", "Newton's method", tuple(newton_steps(point))),
        Section("solver", f"This model's solver: {point.subject.solver.name}", tuple(solver_steps(point))),
    )


def _summary(point: Point) -> list[str]:
    """The sentences below the title."""
    subject, network = point.subject, point.network
    shape = "-".join(map(str, network.widths))
    units = f", hidden units {network.activation}" if point.depth > 1 else ""
    found = [
        f"Inputs to outputs {shape}{units}: {count(network.n_params, 'parameter')}. Loss ⟦{subject.loss.formula}⟧."
    ]
    if subject.answer is not None and len(subject.answer.shares) > 1:
        found.append(_membership(subject.answer))
    if np.any(point.alpha):
        found.append(f"The penalty of training: {penalty_text(point)}.")
        if point.m == 1 and point.known:
            found.append(
                "The loss of the row is explained without it: training adds ⟦α w / n⟧ to the mean gradient of each "
                "parameter w, where n is the number of training rows."
            )
    if not point.known:
        found.append(
            "The target is not known, so there is no loss, and no derivative of it: the answer is derived, and how it "
            "changes with each column."
        )
    found += subject.remarks
    return found


def _membership(answer: Answer) -> str:
    """A sentence that says which of the networks is explained, and with which share it enters the prediction."""
    total = len(answer.shares)
    if answer.members == total:
        average = f"The prediction averages {total} networks"
    elif answer.members > 1:
        others = "other one has" if total - answer.members == 1 else "others have"
        average = f"The prediction averages {answer.members} of the {total} networks, and the {others} a share of 0"
    else:
        average = f"Of {total} networks member {np.argmax(answer.shares) + 1} alone makes the prediction"
    counts = f"with a share of {answer.share:.3g}" if answer.share else "which has no share in it"
    return f"{average}; this is member {answer.member}, {counts}."
