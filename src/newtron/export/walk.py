"""From a fitted model to the program that predicts as it does: schema, units, networks, link, average, temperature.

The arithmetic is that of `newtron.model.predicting`, step by step, so that the program's answers differ from newtron's
by rounding alone. One product of matrices is computed here, that of the factor of landmarks and the weights behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.checks import check_number
from newtron.engine.base.errors import InputError
from newtron.engine.base.row_hashes import row_factors
from newtron.engine.base.types import Array
from newtron.engine.base.words import column_names, count, label, setting, target_names
from newtron.engine.maths import chain_rules
from newtron.engine.maths.landmarks import LandmarkFeatures
from newtron.engine.maths.network import Layer
from newtron.engine.maths.scaling import AsinhFeatures, PieceFeatures, Scaling
from newtron.export.about import paragraphs
from newtron.export.program import (
    FUNCTIONS,
    Affine,
    Apply,
    Arithmetic,
    At,
    Cells,
    Constant,
    Each,
    Fold,
    FunctionName,
    Joined,
    Lookup,
    NumberColumn,
    Operation,
    Outputs,
    Program,
    ProgramStep,
    RadialBasis,
    Remembered,
    RowVector,
    Source,
    Term,
    TextColumn,
    Words,
)
from newtron.inference.predictive.mixture import GAUSSIAN
from newtron.inference.predictive.predictive import RegressionPredictive
from newtron.model.predicting import known, predictive_of
from newtron.table.cells import FLAG_WORDS
from newtron.table.encode import encode
from newtron.table.schema import Column, Schema
from newtron.table.table import Table
from newtron.training.fitted import FittedModel, Member


def program_of(model: FittedModel, coverage: float | None = None) -> Program:
    """The program of a fitted model. coverage: the probability of an interval whose ends it gives beside the mean.

    Raises InputError for a model with an activation or a link that is none of newtron's own, and where an interval is
    asked for that has no formula.
    """
    columns = columns_of(model)
    walk = _Walk(model)
    cells = [walk.cells(number, column) for number, column in enumerate(columns, start=1)]
    x = cells[0] if isinstance(columns[0], RowVector) else walk.joined("x", cells)
    outputs = walk.regression(x, coverage) if model.is_regression else walk.classification(x, coverage)
    held = [len(step.operation.points.values) for step in walk.steps if isinstance(step.operation, RadialBasis)]
    return Program(
        columns=columns,
        steps=tuple(walk.steps),
        outputs=outputs,
        about=paragraphs(model, columns, outputs, max(held, default=0)),
    )


def columns_of(model: FittedModel) -> tuple[Source, ...]:
    """What the model reads of a row: the columns of its schema, columns of numbers, or a vector."""
    data, schema = model.data, model.data.schema
    if schema is None:
        means = None if model.settings.choices().missing == "error" else data.column_means
        if data.names is None:
            return (RowVector(data.n_features, None if means is None else Constant("x_mean", means)),)
        fills = [None] * data.n_features if means is None else means.tolist()
        return tuple(NumberColumn(name, fill=fill) for name, fill in zip(data.names, fills, strict=True))
    if schema.formula is not None:
        raise InputError(
            "A model with a formula cannot be exported: its terms are computed by newtron. Make the columns first, and "
            "fit them without a formula."
        )
    return tuple(_source(column, schema) for column in schema.columns)


def _source(column: Column, schema: Schema) -> Source:
    refused = schema.missing == "error"
    if column.parts:
        raise InputError(
            f"A model with parts of dates ({column.name!r}) cannot be exported: fit it without date parts, or make "
            "columns of them first."
        )
    if column.kind in ("number", "date"):
        return NumberColumn(column.name, column.kind == "date", None if refused else column.mean, column.indicator)
    spellings: list[tuple[str, ...]]
    reference = () if column.reference is None else (column.reference,)
    if column.kind == "yes/no":
        levels = (*reference, *column.levels)
        no, yes = zip(*FLAG_WORDS, ("0", "1"), strict=True)
        spellings = [no, yes]
    else:
        levels = (*reference, *column.levels, *column.pooled)
        spellings = [(level,) for level in levels]
    unseen = "unseen"
    while unseen in levels:
        unseen += "?"
    patterns = _encoded(column, schema, [*levels, unseen, None])
    if refused:
        patterns[-1] = np.nan
    return TextColumn(column.name, levels, tuple(spellings), patterns, any_case=column.kind == "yes/no")


def _encoded(column: Column, schema: Schema, cells: list[str | None]) -> Array:
    """The numbers of some cells of a column, by newtron's own encoder: (cells, width)."""
    import pyarrow as pa

    alone = Schema((column,), schema.target)
    return encode(alone, Table("", pa.table({column.name: pa.array(cells, pa.string())}))).X


class _Walk:
    """The steps that a model has so far."""

    def __init__(self, model: FittedModel) -> None:
        self.model = model
        self.steps: list[ProgramStep] = []
        self.y_scale = Constant("y_scale", model.scaling.y_scale)
        self.y_center = Constant("y_center", model.scaling.y_center)

    def step(self, name: str, width: int, operation: Operation, note: str = "") -> ProgramStep:
        self.steps.append(ProgramStep(name, width, operation, note))
        return self.steps[-1]

    def cells(self, number: int, column: Source) -> ProgramStep:
        if isinstance(column, RowVector):
            return self.step("x", column.width, Cells(column), "the row")
        return self.step(f"c{number}", column.width, Cells(column), column.name)

    def joined(self, name: str, parts: list[ProgramStep], note: str = "") -> ProgramStep:
        return self.step(name, sum(part.width for part in parts), Joined(tuple(parts)), note)

    def each(self, name: str, width: int, term: Term, note: str = "") -> ProgramStep:
        return self.step(name, width, Each(term), note)

    # --- the two tasks ---

    def regression(self, x: ProgramStep, coverage: float | None) -> Outputs:
        model, k = self.model, self.model.n_outputs
        inputs = self.inputs(x)
        y = self.average(x, inputs)
        if model.scaling.offset is not None:
            place = np.array([model.scaling.offset])
            exposure = self.each("exposure", 1, Apply("exp", At(x, place)), "exp of the offset")
            y = self.each("y_exposed", k, Arithmetic("*", At(y), At(exposure)), "the mean for this exposure")
        names = target_names(model.data.targets, k)
        if coverage is None:
            return Outputs(names, y)
        margin = self.margin(inputs, coverage)
        lower = self.each("lower", k, Arithmetic("-", At(y), At(margin)), "the lower end of the interval")
        upper = self.each("upper", k, Arithmetic("+", At(y), At(margin)), "the upper end of the interval")
        return Outputs(names, y, lower, upper, coverage)

    def classification(self, x: ProgramStep, coverage: float | None) -> Outputs:
        if coverage is not None:
            raise InputError(
                f"{setting('interval', str(coverage))}: this model predicts classes, and an interval is for numbers; "
                "leave it out."
            )
        model = self.model
        classes, k = model.data.known_classes, len(model.data.known_classes)
        p = self.average(x, self.inputs(x))
        if p.width == 1:
            first = self.each("p_first", 1, Arithmetic("-", 1.0, At(p)), "the probability of the first class")
            p = self.joined("p_both", [first, p])
        decides = p
        if model.temperature != 1.0:
            power = self.each("p_power", k, Arithmetic("^", At(p), 1.0 / model.temperature), "p^(1/temperature)")
            p = self.normalised("p_tempered", power, "the calibrated probabilities")
        names = tuple(map(label, classes.tolist()))
        return Outputs(names, p, classes=classes, decides=decides)

    # --- from columns to inputs of the networks ---

    def inputs(self, x: ProgramStep) -> ProgramStep:
        """The columns in scaled units, and their features."""
        scaling, at = self.model.scaling, _positions(self.model.scaling)
        plain: Term = At(x, at)
        p = len(scaling.x_center)
        if scaling.changes_inputs:
            shifted = Arithmetic("-", plain, Constant("x_center", scaling.x_center))
            plain = Arithmetic("/", shifted, Constant("x_scale", scaling.x_scale))
        as_given = at is None and not scaling.changes_inputs
        scaled = x if as_given else self.each("x_scaled", p, plain, "the columns in the units of training")
        parts = [scaled]
        if scaling.asinh is not None:
            parts.append(self.asinh(x, at, scaling.asinh))
        if scaling.pieces is not None:
            parts.append(self.pieces(x, at, scaling.pieces))
        return scaled if len(parts) == 1 else self.joined("inputs", parts, "the inputs of the networks")

    def asinh(self, x: ProgramStep, at: NDArray[np.intp] | None, features: AsinhFeatures) -> ProgramStep:
        raw = At(x, features.columns if at is None else at[features.columns])
        inside = Arithmetic("-", raw, Constant("asinh_center", features.center))
        u = Apply("asinh", Arithmetic("/", inside, Constant("asinh_scale", features.scale)))
        shifted = Arithmetic("-", u, Constant("asinh_mean", features.mean))
        drawn = Arithmetic("/", shifted, Constant("asinh_spread", features.spread))
        return self.each("x_asinh", len(features.columns), drawn, "long tails drawn in")

    def pieces(self, x: ProgramStep, at: NDArray[np.intp] | None, features: PieceFeatures) -> ProgramStep:
        """max(0, 1 - max(0, 1 - u)) is u between 0 and 1, and 0 or 1 beyond."""
        raw = At(x, features.columns if at is None else at[features.columns])
        inside = Arithmetic("-", raw, Constant("piece_low", features.low))
        u = Arithmetic("/", inside, Constant("piece_length", features.high - features.low))
        above = Apply("relu", Arithmetic("-", 1.0, Apply("relu", Arithmetic("-", 1.0, u))))
        return self.each("x_pieces", len(features.columns), above, "the share of each piece that lies below")

    # --- networks ---

    def gained(self, x: ProgramStep) -> ProgramStep | None:
        """What every raw prediction gains by the random intercepts of the row's groups, and by those of equal rows in
        training; None where nothing is."""
        own, seen, k = self.model.random_intercepts, self.model.seen_rows, self.model.n_outputs
        found, names = [], column_names(self.model.data.names, self.model.data.n_features)
        for number, group in enumerate(() if own is None else own.groups, start=1):
            keys = Constant(f"group{number}_keys", group.keys)
            values = Constant(f"group{number}_intercepts", group.intercepts)
            note = f"the intercepts of the groups that {names[group.column]} makes"
            found.append(self.step(f"b{number}_of_group", k, Lookup(x, group.column, keys, values), note))
        if seen is not None:
            factors = Words("row_factors", row_factors(x.width))
            words = Words("row_keys", seen.keys.astype(np.uint64))
            remembered = Remembered(x, factors, words, Constant("row_intercepts", seen.intercepts))
            found.append(self.step("b_of_row", k, remembered, "what is known of a row that equals one of training"))
        if len(found) < 2:
            return found[0] if found else None
        terms: list[Term] = [At(step) for step in found]
        total = reduce(lambda left, right: Arithmetic("+", left, right), terms)
        return self.each("b_of_groups", k, total, "the sum of the intercepts")

    def average(self, x: ProgramStep, inputs: ProgramStep) -> ProgramStep:
        """The mean of the members' answers by their shares."""
        gained, sharing = self.gained(x), self.model.sharing
        alone = len(sharing) == 1
        terms: list[Term] = []
        for number, member in enumerate(sharing, start=1):
            prefix = "" if alone else f"m{number}_"
            z = self.network(prefix, member, x, inputs)
            if gained is not None:
                z = self.each(f"{prefix}z_grouped", z.width, Arithmetic("+", At(z), At(gained)), "z + b")
            answer = self.link(prefix, z)
            terms.append(At(answer) if member.share == 1.0 else Arithmetic("*", member.share, At(answer)))
            if alone and member.share == 1.0:
                return answer
        total = reduce(lambda left, right: Arithmetic("+", left, right), terms)
        return self.each("average", answer.width, total, "the members' answers by their shares")

    def network(self, prefix: str, member: Member, x: ProgramStep, inputs: ProgramStep) -> ProgramStep:
        """The raw prediction z of a member."""
        network, n = member.network, member.network.widths[0]
        landmarks, a = self.model.scaling_of(member).landmarks, inputs
        if landmarks is None and n != inputs.width:
            a = self.each(f"{prefix}x", n, At(inputs, np.arange(n)), "the first inputs")
        layers = network.split(member.params.astype(np.float64))
        for number, layer in enumerate(layers, start=1):
            if number == 1 and landmarks is not None:
                z = self.near(prefix, x, layer, landmarks)
            else:
                b = None if layer.b is None else Constant(f"{prefix}b{number}", layer.b)
                W = Constant(f"{prefix}W{number}", layer.W)
                z = self.step(f"{prefix}z{number}", layer.W.shape[1], Affine(a, W, b), f"layer {number}: z = a W + b")
            a = z
            if number < len(layers) and network.activation != "identity":
                term = Apply(_function(network.activation), At(z))
                a = self.each(f"{prefix}a{number}", z.width, term, f"a = {network.activation}(z)")
        return a

    def near(self, prefix: str, x: ProgramStep, layer: Layer, landmarks: LandmarkFeatures) -> ProgramStep:
        """A first layer a W + b with the features a = s F - mean of landmarks, as s (F W) + (b - mean W), so that the
        factor F need not be written."""
        at, rows = _positions(self.model.scaling), count(len(landmarks.points), "row")
        given = x if at is None else self.each(f"{prefix}x", len(at), At(x, at), "the columns that are inputs")
        b = -landmarks.mean @ layer.W
        operation = RadialBasis(
            given,
            points=Constant(f"{prefix}landmarks", landmarks.points),
            rate=Constant(f"{prefix}rate", landmarks.rate),
            W=Constant(f"{prefix}W1", landmarks.factor @ layer.W),
            b=Constant(f"{prefix}b1", b if layer.b is None else layer.b + b),
        )
        note = f"layer 1: z = s W + b, with s how near the row is to each of {rows} of training"
        return self.step(f"{prefix}z1", layer.W.shape[1], operation, note)

    def link(self, prefix: str, z: ProgramStep) -> ProgramStep:
        """The mean, or the probabilities, that z stands for."""
        loss, scaling, k = self.model.loss, self.model.scaling, z.width
        if loss.has_identity_link:
            if not scaling.changes_targets:
                return z
            in_units = Arithmetic("+", Arithmetic("*", At(z), self.y_scale), self.y_center)
            return self.each(f"{prefix}y", k, in_units, "in the units of the target")
        links: dict[str, Callable[[], ProgramStep]] = {
            chain_rules.POISSON.link: lambda: self.each(f"{prefix}y", k, Apply("exp", At(z)), "e^z"),
            chain_rules.LOG_LOSS.link: lambda: self.each(f"{prefix}p", k, Apply("sigmoid", At(z)), "1 / (1 + e^-z)"),
            chain_rules.SOFTMAX_LOG_LOSS.link: lambda: self.softmax(prefix, z),
        }
        if loss.chain_rule.link not in links:
            raise InputError(
                f"{setting('loss', repr(loss.name))} has a link that cannot be exported; save the model as a file."
            )
        return links[loss.chain_rule.link]()

    def softmax(self, prefix: str, z: ProgramStep) -> ProgramStep:
        largest = self.step(f"{prefix}largest", 1, Fold("largest", z), "so that no power overflows")
        powers = self.each(f"{prefix}powers", z.width, Apply("exp", Arithmetic("-", At(z), At(largest))))
        return self.normalised(f"{prefix}p", powers, "softmax(z)")

    def normalised(self, name: str, powers: ProgramStep, note: str) -> ProgramStep:
        total = self.step(f"{name}_total", 1, Fold("sum", powers))
        return self.each(name, powers.width, Arithmetic("/", At(powers), At(total)), note)

    # --- intervals ---

    def margin(self, inputs: ProgramStep, coverage: float) -> ProgramStep:
        """Half the width of the interval of a perceptron: t · s · sqrt(1 + h(x)), the textbook's, where
        h(x) = x'(X'X)⁻¹x is the squared length of x V with V = U⁻¹ and U'U = X'X."""
        from scipy.linalg import solve_triangular
        from scipy.special import ndtri, stdtrit

        coverage = check_number("interval", coverage, above=0.0, below=1.0)
        model, k = self.model, self.model.n_outputs
        if not (model.is_perceptron and model.loss.quadratic) or model.random_intercepts is not None:
            raise InputError(
                f"{setting('interval', str(coverage))}: only the intervals of a perceptron with squared errors have a "
                "formula, and none with random intercepts; leave it out, or predict them with newtron."
            )
        predictive = known(predictive_of(model), "predictive distribution")
        U, tail = _triangle(predictive, k), 0.5 * (1.0 - coverage)
        V = solve_triangular(U, np.eye(len(U)))
        noise = predictive.noise
        dof = noise.scales[0][0].dof
        quantile = -float(stdtrit(dof, tail) if dof < GAUSSIAN else ndtri(tail))
        p = inputs.width
        b = Constant("margin_b", V[p]) if len(V) > p else None
        root = self.step("margin_z", len(V), Affine(inputs, Constant("margin_W", V[:p]), b), "z'z = x'(X'X)^-1 x")
        squares = self.each("margin_squares", len(V), Arithmetic("*", At(root), At(root)))
        leverage = self.step("leverage", 1, Fold("sum", squares), "h(x): how far the row is from those of training")
        width = quantile * noise.stretch * np.sqrt(noise.variance[0]) * model.scaling.y_scale
        spread = Apply("sqrt", Arithmetic("+", 1.0, At(leverage)))
        note = "t s sqrt(1 + h(x)), half the width of the interval"
        return self.each("margin", k, Arithmetic("*", Constant("margin_width", width), spread), note)


def _triangle(predictive: RegressionPredictive, k: int) -> Array:
    """U of one target: all have the same, input by input."""
    return predictive.posteriors[0].factor.matrix[::k, ::k]


def _positions(scaling: Scaling) -> NDArray[np.intp] | None:
    """Where the inputs are among the columns; None: all are."""
    taken = scaling.no_inputs
    return np.delete(np.arange(len(scaling.x_center) + len(taken)), taken) if taken else None


def _function(activation: str) -> FunctionName:
    for name in FUNCTIONS:
        if name == activation:
            return name
    raise InputError(f"{setting('activation', repr(activation))} cannot be exported; save the model as a file.")
