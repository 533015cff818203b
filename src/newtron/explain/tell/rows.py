"""Several rows: the loss of each and the mean, the gradient as the mean over the rows, the penalty."""

from __future__ import annotations

import numpy as np

from newtron.explain.point import Point
from newtron.explain.steps import LECTURE, Step, StepTable
from newtron.explain.tell.penalty import pull_step


def mean_steps(point: Point) -> list[Step]:
    """The mean loss J and its gradient; no step for one row."""
    if point.m == 1:
        return []
    return [_values(point), *_one_parameter(point), *_gradient(point)]


def _values(point: Point) -> Step:
    m = point.m
    lines = tuple((f"({i + 1})", "") for i in range(m))
    if point.k == 1:
        columns: tuple[str, ...] = ("y^{(i)}", "ŷ^{(i)}", "L^{(i)}")
        values = np.column_stack([point.subject.Y[:, 0], point.mean[:, 0], point.row.value])
        relation = f"loss of {type(point.loss).__name__}"
    else:
        columns, values, relation = ("L^{(i)}",), point.row.value[:, None], ""
    table = StepTable(columns, lines, values, relation, total=True)
    total = np.asarray(point.row.value.sum())
    sentence = (
        f"The loss of every row (i), and their sum over the {m:,} rows. J, the mean, is this sum divided by m = {m:,}."
    )
    return Step("mean.loss", "m J", "Σ_i L^{(i)}", sentence, total, table=table)


def _one_parameter(point: Point) -> list[Step]:
    """The derivative of the first weight of the last layer's first unit, as a sum over the rows."""
    names, last = point.names, point.depth
    below = np.asarray(point.at.inputs[-1], dtype=np.float64)
    if not below.shape[1]:
        return []
    delta = point.deltas[-1][:, 0]
    j = int(np.argmax(np.abs(delta @ below)))
    w, z, x = names.w(last, j, 0), names.z(last, 0), names.below(last, j)
    x_i = (x[:-1] + ",(i)}" if x.endswith("}") and "^{" in x else x + "^{(i)}").replace("],(i)", "](i)")
    values = np.column_stack([delta, below[:, j], delta * below[:, j]])
    lines = tuple((f"({i + 1})", "") for i in range(point.m))
    table = StepTable((f"∂L/∂{z}", x_i, f"∂L/∂{w}"), lines, values, "product", total=True)
    sentence = (
        "The mean's derivative is the mean of the rows' derivatives: for one weight, row by row; m times the mean is"
    )
    total = np.asarray((delta * below[:, j]).sum())
    return [
        Step(
            "mean.partial",
            f"m ∂J/∂{w}",
            f"Σ_i ∂L^{{(i)}}/∂{w}",
            f"{sentence} the sum.",
            total,
            table=table,
            notation=LECTURE,
        )
    ]


def _gradient(point: Point) -> list[Step]:
    lines = point.names.parameters
    found = point.objective.evaluate(point.params, 1)
    if not point.alpha.any():
        table = StepTable(("∂J/∂w",), lines, point.gradient[:, None])
        sentence = "The mean over the rows, for every parameter."
        return [Step("mean.gradient", "∂J/∂w", "{1}/{m} Σ_i ∂L^{(i)}/∂w", sentence, point.gradient, table=table)]
    pulled = point.alpha * point.params / point.m
    values = np.column_stack([point.gradient, pulled, found.gradient])
    table = StepTable(("mean of ∂L/∂w", "pull", "∂J/∂w"), lines, values, "addition", reused=(1,))
    sentence = (
        "The mean over the rows, and the penalty's pull. Where training has converged on just these rows, the sum is 0."
    )
    formula = "{1}/{m} Σ_i ∂L^{(i)}/∂w + {α w}/{m}"
    return [pull_step(point), Step("mean.gradient", "∂J/∂w", formula, sentence, found.gradient, table=table)]


def check_steps(point: Point) -> list[Step]:
    """Central differences of the loss beside the largest partial derivatives."""
    gradient, params = point.gradient, point.params
    chosen = np.argsort(-np.abs(gradient), kind="stable")[:3]
    name = "J" if point.m > 1 else "L"
    rows, lines = [], []
    for j in sorted(chosen.tolist()):
        h = 10.0 ** (np.ceil(np.log10(max(1.0, abs(params[j])))) - 5.0)
        above, below = (_mean_loss(point, j, move) for move in (h, -h))
        rows.append([gradient[j], above, below, h, (above - below) / (2.0 * h)])
        lines.append(point.names.parameters[j])
    table = StepTable(
        (f"∂{name}/∂w", f"{name}(w + h)", f"{name}(w - h)", "h", "difference"),
        tuple(lines),
        np.array(rows),
        "quotient",
        reused=(0,),
    )
    sentence = (
        f"Without any derivative: the loss a little to the right and to the left of three parameters. The quotient "
        f"agrees with ⟦∂{name}/∂w⟧ but for rounding, unless a kink of relu lies between."
    )
    formula = f"{{{name}(w + h) - {name}(w - h)}}/{{2 h}}"
    return [Step("check.difference", f"∂{name}/∂w", f"≈ {formula}", sentence, np.array(rows)[:, -1], table=table)]


def _mean_loss(point: Point, j: int, move: float) -> float:
    params = np.array(point.params)
    params[j] += move
    z = point.network.output(params, point.subject.X)
    return float(point.loss.pointwise(point.subject.Y, z, 0).value.mean())
