"""A perceptron on landmarks: its inputs, and how its answer moves with the columns through them."""

from __future__ import annotations

import numpy as np

from newtron.engine.base.types import Array
from newtron.engine.base.words import count
from newtron.engine.maths.landmarks import LandmarkFeatures
from newtron.explain.point import Point
from newtron.explain.steps import LECTURE, Step, StepTable


def landmark_inputs(point: Point, features: LandmarkFeatures) -> list[Step]:
    """The distance to the nearest landmark, the similarity to each, and the inputs, which are made of all of these."""
    subject, given, m = point.subject, point.subject.as_given[0], len(features.points)
    d = features.distances(subject.as_given[:1])[0]
    s, i = np.exp(-d), int(np.argmin(d))
    landmark = features.points[i]
    values = np.column_stack([given, landmark, features.rate, features.rate * np.abs(given - landmark)])
    lines = tuple((point.names.given(j), name) for j, name in enumerate(subject.columns))
    table = StepTable(("given", "landmark", "rate", "distance"), lines, values, "distance", total=True)
    sentence = (
        f"The network compares the row with {count(m, 'landmark')}, rows of the training. The nearest is landmark "
        f"{i + 1}. A column adds the difference of the two numbers, times its rate: this counts in the column's spread "
        "(half the difference of its values, where it has two alone), and so that the median distance between "
        "landmarks is 1."
    )
    formula = f"Σ_j rate_j |{point.names.given('j')} - landmark_j|"
    total = np.asarray(values[:, -1].sum())
    steps = [Step("scaling.distance", f"d_{{{i + 1}}}", formula, sentence, total, table=table)]
    table = StepTable(("distance", "s"), _similarities(m), np.column_stack([d, s]), "similarity")
    sentence = "The similarity to each landmark: 1 where all numbers are equal, and nearly 0 far away."
    steps.append(Step("scaling.similarity", "s_i", "exp(-d_i)", sentence, s, table=table))
    n = int(np.argmax(np.abs(subject.X[0])))
    f, x, name = features.factor[:, n], point.names.x(n), subject.inputs[n]
    values = np.column_stack([s, f, s * f])
    table = StepTable(("s", "F", "s F"), _similarities(m), values, "product", total=True, reused=(0,))
    sentence = (
        "Landmarks that are neighbours say nearly the same, so the inputs are the principal components of the "
        "similarities: all of them times a column of the matrix F, an eigenvector of the similarities among the "
        "landmarks over the root of its eigenvalue. A penalty on the squared weights of these is one on the function "
        f"that they make, which keeps it smooth. Here is {name}, the largest:"
    )
    total = np.asarray(values[:, -1].sum())
    steps.append(Step("scaling.mixed", x.replace("x", "u", 1), "Σ_l s_l F_l", sentence, total, table=table))
    lines = tuple((point.names.x(j), called) for j, called in enumerate(subject.inputs))
    values = np.column_stack([s @ features.factor, features.mean, subject.X[0]])
    table = StepTable(("u", "mean", "x"), lines, values, "difference")
    sentence = f"Likewise for all, less the mean over the rows of the training: {count(len(subject.inputs), 'input')}."
    return [*steps, Step("scaling.landmarks", "x", "u - mean", sentence, subject.X[0], table=table)]


def landmark_sums(point: Point) -> list[Step]:
    """The sum of the output, landmark by landmark: its similarity times what it says. Of several outputs the largest
    one is followed; nothing where there are no landmarks, or hidden units between."""
    features = point.subject.scaling.landmarks
    if features is None or point.depth > 1:
        return []
    (W, b), output = point.at.weights[0], int(np.argmax(point.at.output[0]))
    w, m = W[:, output], len(features.points)
    s, said = features.similarities(point.subject.as_given[:1])[0], features.factor @ w
    far = (0.0 if b is None else b[output]) - features.mean @ w
    values = np.column_stack([np.append(s, 1.0), np.append(said, far), np.append(s * said, far)])
    lines = (*_similarities(m), ("", "far from all landmarks"))
    table = StepTable(("s", "v", "s v"), lines, values, "product", total=True, reused=(0,))
    z, name = point.names.z(1, output), point.names.output(output) if point.k > 1 else ""
    sentence = (
        f"The same sum{f', for {name},' if name else ''} landmark by landmark: each adds its similarity times what it "
        "says, ⟦v_l = Σ_j F_{l,j} w_j⟧. The rest is that of a row far from all landmarks, where similarities are 0."
    )
    total = np.asarray(values[:, -1].sum())
    return [Step("forward.landmarks", z, "Σ_l s_l v_l + rest", sentence, total, table=table, notation=LECTURE)]


def slopes_through_landmarks(point: Point, features: LandmarkFeatures, output: int, by_x: Array) -> list[Step]:
    """From the inputs to the similarities, and from these to the columns: for the column that counts most landmark by
    landmark, then for all."""
    subject, names, key = point.subject, point.names, f"inputs.{output + 1}"
    mean, x, spread = names.mean(output), names.x("l"), subject.scaling.y_scale[output]
    given, s = subject.as_given[:1], features.similarities(subject.as_given[:1])[0]
    i, by_s = int(np.argmax(s)), features.factor @ by_x
    values = np.column_stack([features.factor[i], by_x, features.factor[i] * by_x])
    lines = tuple((names.x(n), name) for n, name in enumerate(subject.inputs))
    table = StepTable(("F", f"∂{mean}/∂{x}", "product"), lines, values, "product", total=True, reused=(1,))
    sentence = f"The similarity to a landmark is in every input. That to the nearest, landmark {i + 1}, counts so much:"
    formula, total = f"Σ_l F_{{{i + 1},l}} ∂{mean}/∂{x}", np.asarray(values[:, -1].sum())
    steps = [Step(f"{key}.similarity", f"∂{mean}/∂s_{{{i + 1}}}", formula, sentence, total, table=table)]
    slopes = features.back(given, by_x[None])[0]
    j = int(np.argmax(np.abs(slopes) * subject.scaling.x_scale))
    side, rate = np.sign(features.points[:, j] - given[0, j]), np.full(len(s), features.rate[j])
    values = np.column_stack([by_s, side, rate, s, by_s * side * rate * s])
    columns: tuple[str, ...] = (f"∂{mean}/∂s", "side", "rate", "s", "product")
    table = StepTable(columns, _similarities(len(s)), values, "product", total=True, reused=(3,))
    column, called = names.given(j), f", {subject.columns[j]}" if subject.columns[j] else ""
    sentence = (
        "From the similarities to a column by the chain rule; here to the one that counts most in its "
        f"spread{called}. The derivative ⟦∂s_l/∂{column}⟧ is side · rate · s: side is 1 where the landmark's number is "
        "greater, so that the row comes nearer as its own grows, -1 where it is less, and 0 where both are equal, as "
        "the mean of the two slopes at this kink."
    )
    formula, total = f"Σ_l ∂{mean}/∂s_l · ∂s_l/∂{column}", np.asarray(values[:, -1].sum())
    steps.append(Step(f"{key}.column", f"∂{mean}/∂{column}", formula, sentence, total, table=table))
    columns, relation, whole = ("∂ŷ/∂given", "spread of y", "slope"), "product", slopes * spread
    values = np.column_stack([slopes, np.full(len(slopes), spread), whole])
    if not subject.scaling.changes_targets:
        columns, relation, values = columns[-1:], "", values[:, -1:]
    lines = tuple((names.given(n), name) for n, name in enumerate(subject.columns))
    sentence = (
        "Likewise for every column, in the units of the data: what one unit more of it adds to the prediction, as long "
        "as the slope stays what it is here."
    )
    table = StepTable(columns, lines, values, relation)
    return [*steps, Step(f"{key}.slope", "slope", "", sentence, whole, table=table)]


def _similarities(m: int) -> tuple[tuple[str, str], ...]:
    """The symbol of the similarity to each landmark, and its name."""
    return tuple((f"s_{{{n}}}", f"landmark {n}") for n in range(1, m + 1))
