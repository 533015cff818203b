"""The penalty of training: its strength, the parameters it applies to, and its part of each derivative."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.types import Array
from newtron.explain.point import Point
from newtron.explain.steps import Step, StepTable


def penalty_text(point: Point) -> str:
    """The penalty in words: "α = 0.3 on the weights and hidden intercepts, none on the output's intercepts; chosen by
    ..."."""
    by_column = _by_column(point)
    groups = [(name, point.alpha[of]) for name, of in _groups(point, by_column)]
    if all(np.ptp(alpha) == 0.0 for _, alpha in groups):
        found: dict[float, list[str]] = {}
        for name, alpha in groups:
            found.setdefault(float(alpha[0]), []).append(name)
        words = [f"α = {alpha:.6g} on the {_listed(names)}" for alpha, names in found.items() if alpha]
        free = found.get(0.0, [])
        if by_column is not None:
            words.append(f"{by_column.min():.6g} to {by_column.max():.6g} on the weights from the inputs, by column")
    else:
        low, high = point.alpha.min(), point.alpha.max()
        words, free = [f"α from {low:.6g} to {high:.6g}, another for each parameter"], []
    text = ", ".join([*words, *([f"none on the {_listed(free)}"] if free else [])])
    return f"{text}; {point.subject.why_alpha}" if point.subject.why_alpha else text


def _listed(names: list[str]) -> str:
    return ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1]


def _by_column(point: Point) -> Array | None:
    """(inputs,) the penalties of the weights from the inputs, where these differ by the input alone; else None."""
    found = point.network.split(point.alpha)[0].W
    alike = point.depth > 1 and (found == found[:, :1]).all() and np.ptp(found) > 0.0
    return found[:, 0] if alike else None


def _groups(point: Point, by_column: Array | None) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Names of the kinds of parameters that the network has, and a mask of each; without the weights from the inputs
    where these have penalties by column."""
    weight = point.network.is_weight.copy()
    intercept = ~weight
    last = np.zeros(len(weight), dtype=bool)
    last[point.network.spans[-1]] = True
    plural = "s" if point.k > 1 else ""
    output = f"intercept{plural}" if point.depth == 1 else f"output's intercept{plural}"
    if by_column is not None:
        weight[: by_column.size * point.network.widths[1]] = False
    weights = "weights" if by_column is None else "other weights"
    for name, of in ((weights, weight), ("hidden intercepts", intercept & ~last), (output, intercept & last)):
        if of.any():
            yield name, of


def pull_step(point: Point) -> Step:
    """α w / m, the derivative of the penalty, for every parameter that has one."""
    under = np.flatnonzero(point.alpha)
    alpha, w = point.alpha[under], point.params[under]
    values = np.column_stack([alpha, w, np.full(len(under), float(point.m)), alpha * w / point.m])
    lines = tuple(point.names.parameters[j] for j in under)
    table = StepTable(("α", "w", "m", "pull"), lines, values, "pull")
    sentence = (
        f"The penalty pulls parameters towards 0: {penalty_text(point)}. The pull is as if these {point.m:,} rows were "
        "all of the training data."
    )
    return Step("mean.penalty", "pull", "{α w}/{m}", sentence, values[:, -1], table=table)
