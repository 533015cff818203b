"""What is done to the numbers before a network sees them: standardised columns, bent copies, standardised targets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from newtron.explain.derivation import Step, Table
from newtron.explain.point import Bends, Point

Array = NDArray[np.floating]

_BY_SPREAD = "{given - mean}/{spread}"


def scaling(point: Point) -> list[Step]:
    """From the numbers given to those of training; nothing where they are the same."""
    subject, scales, steps = point.subject, point.subject.scales, []
    p = len(scales.x_center)
    if scales.changes_inputs:
        values = np.column_stack([subject.as_given[0], scales.x_center, scales.x_scale, subject.X[0, :p]])
        lines = tuple((point.names.x(j), subject.inputs[j]) for j in range(p))
        table = Table(("given", "mean", "spread", "x"), lines, values, "standardised")
        sentence = (
            "Training measures every column from its mean, in units of its spread. From here on x is the scaled number."
        )
        steps.append(Step("scaling.x", "x", _BY_SPREAD, sentence, subject.X[0, :p], table=table))
    if scales.bends is not None:
        steps += _bent(point, scales.bends, p)
    if scales.changes_targets:
        values = np.column_stack([subject.targets_given[0], scales.y_center, scales.y_scale, subject.Y[0]])
        lines = tuple((point.names.y(c), point.names.output(c)) for c in range(point.k))
        table = Table(("given", "mean", "spread", "y"), lines, values, "standardised")
        sentence = "The target likewise; the loss below is in these units."
        steps.append(Step("scaling.y", "y", _BY_SPREAD, sentence, subject.Y[0], table=table))
    return steps


def _bent(point: Point, bends: Bends, p: int) -> list[Step]:
    """The bend u, and u standardised: the inputs behind the p scaled columns."""
    subject, q = point.subject, len(bends.columns)
    given, x = subject.as_given[0, bends.columns], subject.X[0, p:]
    u = np.arcsinh((given - bends.center) / bends.scale)
    names = [subject.inputs[p + i] for i in range(q)]
    symbols = [point.names.x(p + i) for i in range(q)]
    lines = tuple((symbol.replace("x", "u", 1), name) for symbol, name in zip(symbols, names, strict=True))
    values = np.column_stack([given, bends.center, bends.scale, u])
    table = Table(("given", "median", "scale", "u"), lines, values, "bent")
    sentence = (
        f"{'One column is' if q == 1 else f'{q:,} columns are'} fed to the network once more, bent: near the median "
        "asinh is a straight line, far from it a logarithm to both sides, so that long tails are drawn in. The scale "
        "is a quarter of the column's interquartile range, or of a tenth of its spread where that is more."
    )
    first = Step("scaling.bend", "u", "asinh({given - median}/{scale})", sentence, u, table=table)
    values = np.column_stack([u, bends.mean, bends.spread, x])
    lines = tuple(zip(symbols, names, strict=True))
    table = Table(("u", "mean", "spread", "x"), lines, values, "standardised", reused=(0,))
    sentence = f"Measured from its mean in units of its spread, each is an input of its own: {p + q:,} inputs in all."
    return [first, Step("scaling.bent", "x", "{u - mean}/{spread}", sentence, x, table=table)]
