"""The steps before the forward pass: standardised columns, their features and standardised targets."""

from __future__ import annotations

import numpy as np

from newtron.engine.base.words import count
from newtron.engine.maths.scaling import AsinhFeatures, PieceFeatures
from newtron.explain.point import Point
from newtron.explain.steps import Step, StepTable
from newtron.explain.tell.landmarks import landmark_inputs

_BY_SPREAD = "{given - mean}/{spread}"


def scaling_steps(point: Point) -> list[Step]:
    """From the numbers given to those of training; nothing where they are the same."""
    subject, scaling, steps = point.subject, point.subject.scaling, []
    p = len(scaling.x_center)
    if scaling.changes_inputs and scaling.with_columns:
        values = np.column_stack([subject.as_given[0], scaling.x_center, scaling.x_scale, subject.X[0, :p]])
        lines = tuple((point.names.x(j), subject.inputs[j]) for j in range(p))
        table = StepTable(("given", "mean", "spread", "x"), lines, values, "standardised")
        sentence = (
            "Training measures every column from its mean, in units of its spread. From here on x is the scaled number."
        )
        steps.append(Step("scaling.x", "x", _BY_SPREAD, sentence, subject.X[0, :p], table=table))
    if scaling.asinh is not None:
        steps += _asinh(point, scaling.asinh, p)
    if scaling.pieces is not None:
        steps.append(_pieces(point, scaling.pieces))
    if scaling.landmarks is not None:
        steps += landmark_inputs(point, scaling.landmarks)
    if scaling.changes_targets and point.known:
        values = np.column_stack([subject.targets_given[0], scaling.y_center, scaling.y_scale, subject.Y[0]])
        lines = tuple((point.names.y(c), point.names.output(c)) for c in range(point.k))
        table = StepTable(("given", "mean", "spread", "y"), lines, values, "standardised")
        sentence = "The target likewise; the loss below is in these units."
        steps.append(Step("scaling.y", "y", _BY_SPREAD, sentence, subject.Y[0], table=table))
    return steps


def _asinh(point: Point, features: AsinhFeatures, p: int) -> list[Step]:
    """u = asinh(...), and u standardised: the inputs after the p scaled columns."""
    subject, q = point.subject, len(features.columns)
    given, x = subject.as_given[0, features.columns], subject.X[0, p : p + q]
    u = np.arcsinh((given - features.center) / features.scale)
    names = [subject.inputs[p + i] for i in range(q)]
    symbols = [point.names.x(p + i) for i in range(q)]
    lines = tuple((symbol.replace("x", "u", 1), name) for symbol, name in zip(symbols, names, strict=True))
    values = np.column_stack([given, features.center, features.scale, u])
    table = StepTable(("given", "median", "scale", "u"), lines, values, "asinh")
    sentence = (
        f"{'One column is an input' if q == 1 else f'{q:,} columns are inputs'} of the network once more, as asinh "
        "features: near the median asinh is a straight line, far from it a logarithm on both sides, so that long tails "
        "become shorter. The scale is a quarter of the column's interquartile range, or of a tenth of its spread where "
        "that is more."
    )
    first = Step("scaling.asinh", "u", "asinh({given - median}/{scale})", sentence, u, table=table)
    values = np.column_stack([u, features.mean, features.spread, x])
    lines = tuple(zip(symbols, names, strict=True))
    table = StepTable(("u", "mean", "spread", "x"), lines, values, "standardised", reused=(0,))
    sentence = f"Measured from its mean in units of its spread, each is an input of its own: {p + q:,} inputs in all."
    return [first, Step("scaling.asinh.x", "x", "{u - mean}/{spread}", sentence, x, table=table)]


def _pieces(point: Point, features: PieceFeatures) -> Step:
    """The shares of the pieces that lie below the number: the last inputs."""
    subject, q = point.subject, len(features.columns)
    first = subject.X.shape[1] - q
    given, x = subject.as_given[0, features.columns], subject.X[0, first:]
    lines = tuple((point.names.x(first + i), subject.inputs[first + i]) for i in range(q))
    values = np.column_stack([given, features.low, features.high, x])
    table = StepTable(("given", "from", "to", "x"), lines, values, "piece")
    sentence = (
        f"The ranges of {count(len(np.unique(features.columns)), 'column')} are cut at knots into pieces, and the "
        "share of each piece that lies below the number is an input: 0 before the piece, 1 behind it. Their weights "
        f"make any line that bends at the knots: {first + q:,} inputs in all."
    )
    return Step("scaling.pieces", "x", "min(1, max(0, {given - from}/{to - from}))", sentence, x, table=table)
