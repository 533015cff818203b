"""Checks of a model that was read from a file, beyond the types of its fields.

A file may come from anyone. The codec has read each field with its type; here the fields are compared with each other:
shapes that belong together, scales that are positive, shares that add up to 1, and at the end predictions that are
finite. Each error names the field. No array is created from a size before that size is known to be the size of an array
which the file holds.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from newtron.engine.base.errors import InputError
from newtron.engine.base.strict_json import DAMAGED, wrong
from newtron.engine.base.types import Array
from newtron.engine.maths.losses import Loss, loss_for
from newtron.engine.maths.network import Network
from newtron.engine.maths.scaling import Scaling
from newtron.engine.solvers import Solution
from newtron.inference.certificate.endpoint import Curvature
from newtron.inference.coefficients.information import LARGEST, Information
from newtron.inference.mixed.fit import MixedLikelihood
from newtron.inference.mixed.random_intercepts import RandomIntercepts
from newtron.inference.mixed.seen_rows import SeenRows
from newtron.inference.posterior import PosteriorFactor, posterior_span
from newtron.inference.predictive.noise import ScaleModel
from newtron.inference.predictive.predictive import NoiseModel
from newtron.inference.separation.separation import Separation
from newtron.model.predicting import predicted
from newtron.table.formula.data import Coding, Formula
from newtron.table.formula.matrix import formula_width
from newtron.training.fitted import DataDescription, FittedModel, Member
from newtron.training.predictive import posteriors_of

# A prediction by more members than this would take minutes.
MOST_MEMBERS = 10_000
# Rounding by which the sum of shares or of relevances may differ from 1.
_ROUNDING = 1e-6
# The most characters of a sentence or fingerprint in a file; those that newtron writes have a few hundred at most.
_LONGEST = 1000


def check_model(model: FittedModel) -> None:
    """Raise InputError for the first field that does not fit the others."""
    if not 1 <= len(model.members) <= MOST_MEMBERS:
        raise wrong("members", f"a list of at most {MOST_MEMBERS:,}, and not empty", len(model.members))
    n_outputs = _check_shapes(model)
    _check_data(model.data, model.settings.task, n_outputs)
    try:
        model.settings.checked().shapes()
        loss = loss_for(model.settings.task, model.settings.loss, n_outputs)
    except InputError as error:
        raise InputError(f"settings: {error} The model file is damaged.") from None
    _check_offset(model)
    _check_scaling(model.scaling, model.data.n_features - len(model.scaling.no_inputs), n_outputs)
    if model.random_intercepts is not None:
        _check_intercepts(model.random_intercepts, model.data.n_features, n_outputs)
    if model.seen_rows is not None:
        _check_seen_rows(model.seen_rows, n_outputs)
    if model.mixed is not None:
        _check_mixed(model.mixed, model)
    if model.data.column_means is not None:
        _numbers(model.data.column_means, "data.column_means", model.data.n_features)
    for number, member in enumerate(model.members):
        _check_member(member, f"members[{number}]", loss)
    total = sum(member.share for member in model.members)
    if abs(total - 1.0) > _ROUNDING:
        raise InputError(f"the shares of the members add up to {total:.6g}, and not to 1; {DAMAGED}.")
    if model.separation is not None:
        if model.is_regression or not model.is_perceptron:
            raise wrong("separation", "null for any other than a perceptron for classes", model.separation.kind)
        inputs = model.data.n_features - len(model.scaling.no_inputs)
        _check_separation(model.separation, inputs, n_outputs)
    if not 0.0 < model.temperature < math.inf:
        raise wrong("temperature", "a number above 0", model.temperature)
    if math.isinf(model.left_out_loss):
        raise wrong("left_out_loss", "a finite number or nan", model.left_out_loss)
    _check_noise(model)
    _check_relevance(model)
    _check_predictions(model)


def _check_shapes(model: FittedModel) -> int:
    """Check that each network has the inputs and outputs of the model and as many parameters as are stored. Returns the
    number of outputs."""
    scaling, networks = model.scaling, [member.network for member in model.members]
    n_outputs = scaling.y_center.size
    taken = [scaling.x_center.size]
    for name, features in (("asinh", scaling.asinh), ("pieces", scaling.pieces)):
        if features is None:
            continue
        if features.columns.ndim != 1:
            raise wrong(f"scaling.{name}.columns", "a list", list(features.columns.shape))
        taken.append(taken[-1] + features.columns.size)
    parts = {(0, n_inputs) for n_inputs in (taken[:1] if model.is_perceptron else taken)}
    if scaling.landmarks is not None:
        if model.is_perceptron or model.is_regression:
            raise wrong("scaling.landmarks", "null for any other than networks for classes", "an object")
        parts.add((taken[-1], scaling.landmarks.mean.size))
    for number, (network, member) in enumerate(zip(networks, model.members, strict=True)):
        where, widths = f"members[{number}].network.widths", network.widths
        # Where every column has random intercepts, a perceptron has none but its own.
        least = 0 if model.random_intercepts is not None and model.is_perceptron and network.intercept else 1
        fits = len(widths) > 1 and min(widths) >= least and (member.first_input, widths[0]) in parts
        if not fits or widths[-1] != n_outputs:
            inputs = " or ".join(str(n_inputs) for _, n_inputs in sorted(parts))
            raise wrong(where, f"widths from {inputs} inputs to {n_outputs} outputs", widths)
        if model.is_perceptron and len(widths) > 2:
            raise wrong(where, "without hidden layers in a perceptron", widths)
        # Python's whole numbers do not overflow.
        n_params = sum((inputs + network.intercept) * units for inputs, units in pairwise(widths))
        if member.solution.params.shape != (n_params,):
            raise wrong(where, f"a network of {member.solution.params.size} parameters, as are stored", widths)
    if model.is_perceptron and len(networks) > 1:
        raise wrong("members", "one member for a perceptron", len(networks))
    return n_outputs


def _check_data(data: DataDescription, task: str, n_outputs: int) -> None:
    names, classes, schema = data.names, data.classes, data.schema
    if len(data.targets) not in (0, n_outputs if task == "regression" else 1):
        raise wrong("data.targets", "a name for each target", data.targets)
    if names is not None and len(names) != data.n_features:
        raise wrong("data.names", f"{data.n_features} names", names)
    if data.from_frame and data.given[1] is None:
        raise wrong("data.from_frame", "false where no names are known", True)
    if data.columns is not None and (schema is None or len(set(data.columns)) < len(data.columns)):
        raise wrong("data.columns", "null without a schema, and else names of which none is there twice", data.columns)
    if task == "regression":
        if classes is not None:
            raise wrong("data.classes", "null for a regression", classes.tolist())
        if data.one_column and n_outputs != 1:
            raise wrong("data.one_column", "false for several outputs", True)
        labels: list[object] = []
    else:
        labels = [] if classes is None else classes.tolist()
        ordered = classes is not None and classes.ndim == 1 and all(a < b for a, b in pairwise(classes.tolist()))
        if len(labels) < 2 or not ordered:
            raise InputError(f"data.classes must be two or more, in order and none twice; {DAMAGED}.")
        if n_outputs != (1 if len(labels) == 2 else len(labels)):
            raise wrong("data.classes", f"classes for {n_outputs} outputs", labels)
    if schema is not None:
        target = schema.target
        if (len(schema.feature_names), target.task, list(target.classes)) != (data.n_features, task, labels):
            raise InputError(f"data.schema does not fit the model's features and classes; {DAMAGED}.")
        if schema.formula is not None:
            _check_formula(schema.formula)
        if data.columns is not None and not {column.name for column in schema.columns} <= set(data.columns):
            raise InputError(f"data.schema has columns that data.columns does not name; {DAMAGED}.")


def _check_formula(formula: Formula) -> None:
    """A formula must be one that can be evaluated: a row of its columns is tried, and nothing of it is executed."""
    where = "data.schema.formula"
    for f, factor in enumerate(formula.factors):
        for c, curve in enumerate(factor.curves):
            own = f"{where}.factors[{f}].curves[{c}]"
            breaks = _numbers(curve.breaks, f"{own}.breaks", curve.breaks.size)
            rows = curve.coefficients.shape[0] if curve.coefficients.ndim == 2 else 0
            if not breaks.size or not rows or rows % breaks.size or not curve.width or (np.diff(breaks) <= 0.0).any():
                raise wrong(own, "polynomials between breaks in ascending order", list(curve.coefficients.shape))
            _numbers(curve.coefficients, f"{own}.coefficients", rows, curve.width)
            if not curve.low <= curve.high:
                raise wrong(own, "a low bound that is not above the high one", [curve.low, curve.high])
        if factor.coding is not None:
            _check_coding(factor.coding, f"{where}.factors[{f}].coding")
    names, count = formula.feature_names, len(formula.factors)
    for term in formula.terms:
        for own_product in term.products:
            known = all(0 <= j < count for j in own_product.factors)
            if not known or len(own_product.reduced) != len(own_product.factors) or not own_product.factors:
                raise wrong(f"{where}.terms", f"products of {count} factors", own_product.factors)
    _numbers(formula.means, f"{where}.means", len(names))
    try:
        columns = formula_width(formula)
    except InputError as error:
        raise InputError(f"{where} cannot be evaluated: {error}") from None
    if columns != len(names) or len(set(names)) < len(names):
        raise wrong(f"{where}.terms", f"names for {columns} columns, none of them twice", names)


def _check_coding(coding: Coding, where: str) -> None:
    n = len(coding.levels)
    if not n or len(set(coding.levels)) < n or coding.full.ndim != 2 or coding.reduced.ndim != 2:
        raise wrong(where, "levels of which none is there twice, with their codings", coding.levels)
    for name, array in (("full", coding.full), ("reduced", coding.reduced)):
        _numbers(array, f"{where}.{name}", n, array.shape[1])


def _numbers(array: Array, where: str, *shape: int, above: float = -math.inf, least: float = -math.inf) -> Array:
    """The array. Raises InputError unless it has this shape and its numbers are finite, above `above`, and at least
    `least`."""
    if array.shape != shape:
        raise wrong(where, f"{' x '.join(map(str, shape))} numbers", list(array.shape))
    if not np.isfinite(array).all():
        raise InputError(f"{where} holds numbers that are not finite; {DAMAGED}.")
    for bound, right in ((f"above {above:g}", array > above), (f"{least:g} or more", array >= least)):
        if not right.all():
            raise InputError(f"{where} holds numbers that are not {bound}; {DAMAGED}.")
    return array


def _check_offset(model: FittedModel) -> None:
    """Check that the offset is a column, and there is one where the settings say it."""
    offset = model.scaling.offset
    if (offset is None) != (model.settings.offset is None):
        raise wrong("scaling.offset", "a column where the settings have an offset, and else null", offset)
    if offset is not None and not 0 <= offset < model.data.n_features:
        raise wrong("scaling.offset", f"one of {model.data.n_features} columns", offset)
    aside = model.scaling.aside
    in_order = all(a < b for a, b in pairwise(aside)) and offset not in aside
    if not in_order or any(not 0 <= column < model.data.n_features for column in aside):
        raise wrong("scaling.aside", f"positions of {model.data.n_features} columns, in order", list(aside))


def _check_mixed(found: MixedLikelihood, model: FittedModel) -> None:
    own = model.random_intercepts
    if not model.is_perceptron or own is None or model.n_outputs > 1:
        raise wrong("mixed", "null but for a perceptron with random intercepts", "an object")
    if (found.method == "laplace") == model.loss.quadratic:
        raise wrong("mixed.method", "reml or ml for a squared error, and else laplace", found.method)
    n = len(own.groups)
    _numbers(found.without, "mixed.without", n)
    theta = _numbers(found.theta, "mixed.theta", n, least=0.0)
    inside = np.isnan(found.boundary)
    if found.boundary.shape != (n,) or not np.array_equal(inside, theta > 0.0):
        raise wrong("mixed.boundary", "nan where theta is above 0, and else a number", found.boundary.tolist())
    for name, number in (("log_likelihood", found.log_likelihood), ("deviance", found.deviance)):
        if not math.isfinite(number):
            raise wrong(f"mixed.{name}", "a finite number", number)
    if not 0.0 < found.counted < math.inf or found.parameters < 1:
        raise wrong("mixed.counted", "a number above 0, with one parameter or more", found.counted)


def _check_intercepts(found: RandomIntercepts, n_features: int, n_outputs: int) -> None:
    where, columns = "random_intercepts", [group.column for group in found.groups]
    if not columns or len(set(columns)) < len(columns) or any(not 0 <= column < n_features for column in columns):
        raise wrong(f"{where}.groups", f"one or more of {n_features} columns, none twice", columns)
    for number, group in enumerate(found.groups):
        own, count = f"{where}.groups[{number}]", group.keys.size
        keys = _numbers(group.keys, f"{own}.keys", count)
        if not count or (np.diff(keys) <= 0.0).any():
            raise wrong(f"{own}.keys", "numbers in ascending order, one or more", count)
        _numbers(group.intercepts, f"{own}.intercepts", count, n_outputs)
        _numbers(group.variances, f"{own}.variances", count, n_outputs, least=0.0)
        _numbers(group.variance, f"{own}.variance", n_outputs, least=0.0)
        if not 0.0 <= group.share <= 1.0:
            raise wrong(f"{own}.share", "a number from 0 to 1", group.share)
    _numbers(found.residual, f"{where}.residual", n_outputs, least=0.0)
    _numbers(found.in_noise, f"{where}.in_noise", n_outputs, least=0.0)
    if len(found.learnt) > _LONGEST:
        raise wrong(f"{where}.learnt", "a sentence", found.learnt)


def _check_seen_rows(found: SeenRows, n_outputs: int) -> None:
    where, count = "seen_rows", found.keys.size
    keys = _numbers(found.keys, f"{where}.keys", count, least=0.0)
    if not count or (np.diff(keys) <= 0.0).any():
        raise wrong(f"{where}.keys", "numbers in ascending order, one or more", count)
    _numbers(found.intercepts, f"{where}.intercepts", count, n_outputs)
    if (_numbers(found.narrowed, f"{where}.narrowed", count, n_outputs, above=0.0) > 1.0).any():
        raise wrong(f"{where}.narrowed", "numbers of at most 1", float(found.narrowed.max()))
    if not 1 <= found.sets <= count or found.copies < 2 * found.sets:
        raise wrong(f"{where}.sets", f"at most {count:,}, of two copies or more each", found.sets)
    if not 0.0 <= found.share <= 1.0:
        raise wrong(f"{where}.share", "a number from 0 to 1", found.share)


def _check_scaling(scaling: Scaling, n_features: int, n_outputs: int) -> None:
    _numbers(scaling.x_center, "scaling.x_center", n_features)
    _numbers(scaling.x_scale, "scaling.x_scale", n_features, above=0.0)
    _numbers(scaling.y_center, "scaling.y_center", n_outputs)
    _numbers(scaling.y_scale, "scaling.y_scale", n_outputs, above=0.0)
    asinh, pieces = scaling.asinh, scaling.pieces
    if asinh is not None:
        columns, where = asinh.columns.tolist(), "scaling.asinh"
        in_order = all(a < b for a, b in pairwise(columns))
        if not columns or not in_order or not 0 <= columns[0] <= columns[-1] < n_features:
            raise wrong(f"{where}.columns", "columns in order, none twice", columns)
        _numbers(asinh.center, f"{where}.center", len(columns))
        _numbers(asinh.scale, f"{where}.scale", len(columns), above=0.0)
        _numbers(asinh.mean, f"{where}.mean", len(columns))
        _numbers(asinh.spread, f"{where}.spread", len(columns), above=0.0)
    if pieces is not None:
        columns, where = pieces.columns.tolist(), "scaling.pieces"
        in_order = all(a <= b for a, b in pairwise(columns))
        if not columns or not in_order or not 0 <= columns[0] <= columns[-1] < n_features:
            raise wrong(f"{where}.columns", "columns in order", columns)
        _numbers(pieces.low, f"{where}.low", len(columns))
        _numbers(pieces.high, f"{where}.high", len(columns))
        if not (pieces.high > pieces.low).all():
            raise wrong(f"{where}.high", "knots above those of low", pieces.high.tolist())
    landmarks, where = scaling.landmarks, "scaling.landmarks"
    if landmarks is not None:
        if landmarks.factor.ndim != 2 or not landmarks.factor.size:
            raise wrong(f"{where}.factor", "a matrix", list(landmarks.factor.shape))
        m, r = landmarks.factor.shape
        _numbers(landmarks.factor, f"{where}.factor", m, r)
        _numbers(landmarks.points, f"{where}.points", m, n_features)
        _numbers(landmarks.rate, f"{where}.rate", n_features, least=0.0)
        _numbers(landmarks.mean, f"{where}.mean", r)
    if not scaling.with_columns:
        raise wrong("scaling.with_columns", "true", False)


def _check_member(member: Member, where: str, loss: Loss) -> None:
    network, solution = member.network, member.solution
    _numbers(member.alpha, f"{where}.alpha", solution.params.size, least=0.0)
    for name, number in (("share", member.share), ("noise", member.noise)):
        if not 0.0 <= number < math.inf:
            raise wrong(f"{where}.{name}", "a finite number, 0 or more", number)
    _check_solution(solution, f"{where}.solution")
    if isinstance(member.end, Curvature):
        _check_curvature(member.end, f"{where}.end")
    if member.information is not None:
        _check_information(member.information, f"{where}.information", network, loss)
    if member.posterior_factor is not None:
        _check_factor(member.posterior_factor, f"{where}.posterior_factor", network)


def _check_solution(solution: Solution, where: str) -> None:
    _numbers(solution.params, f"{where}.params", solution.params.size)
    if solution.gradient.shape != solution.params.shape:
        raise wrong(f"{where}.gradient", f"{solution.params.size} numbers", list(solution.gradient.shape))
    if not solution.trace:
        raise wrong(f"{where}.trace", "rows, one or more", 0)
    counts = {"n_iter": solution.n_iter, **{f"counts.{kind}": count for kind, count in solution.counts.items()}}
    for name, count in counts.items():
        if count < 0:
            raise wrong(f"{where}.{name}", "a whole number, 0 or more", count)


def _check_curvature(end: Curvature, where: str) -> None:
    for name, number in (("decrement", end.decrement), ("loss_gap_bound", end.loss_gap_bound)):
        if not (math.isnan(number) or 0.0 <= number < math.inf):
            raise wrong(f"{where}.{name}", "0 or more, or nan", number)
    if len(end.no_bound_reason) > _LONGEST or bool(end.no_bound_reason) != math.isnan(end.loss_gap_bound):
        raise wrong(
            f"{where}.no_bound_reason", "a sentence where there is no bound, and else empty", end.no_bound_reason
        )
    if end.flat_directions < 0:
        raise wrong(f"{where}.flat_directions", "a whole number, 0 or more", end.flat_directions)
    if len(end.fingerprint) > _LONGEST:
        raise wrong(f"{where}.fingerprint", "a fingerprint", end.fingerprint)


def _check_information(kept: Information, where: str, network: Network, loss: Loss) -> None:
    if not network.is_linear:
        raise wrong(where, "null for a network with hidden layers", "an object")
    if kept.n_rows < 1:
        raise wrong(f"{where}.n_rows", "a whole number, 1 or more", kept.n_rows)
    for name, number in (("weight", kept.weight), ("counted", kept.counted)):
        if not 0.0 < number < math.inf:
            raise wrong(f"{where}.{name}", "a finite number above 0", number)
    if not math.isfinite(kept.log_weights):
        raise wrong(f"{where}.log_weights", "a finite number", kept.log_weights)
    if math.isinf(kept.null_log_likelihood):
        raise wrong(f"{where}.null_log_likelihood", "a finite number, or nan", kept.null_log_likelihood)
    k, q = network.n_outputs, network.widths[0] + network.intercept
    shared = loss.quadratic  # by all outputs
    m = q if shared else max(1, k - 1) * q
    root = _numbers(kept.root, f"{where}.root", m, m)
    if np.abs(root).max(initial=0.0) > LARGEST:
        raise InputError(f"{where}.root holds numbers too large to be squared; {DAMAGED}.")
    if np.tril(root, -1).any():
        raise InputError(f"{where}.root holds numbers below the diagonal of a triangle; {DAMAGED}.")
    _numbers(kept.penalty, f"{where}.penalty", k, q, least=0.0)
    products = _numbers(kept.residual_products, f"{where}.residual_products", *((k, k) if shared else (0, 0)))
    _numbers(np.diagonal(products), f"{where}.residual_products", len(products), least=0.0)
    _numbers(kept.target_squares, f"{where}.target_squares", k if shared else 0, least=0.0)
    _numbers(kept.target_means, f"{where}.target_means", k)
    size = m * k if shared else m
    if kept.score_products.size:
        _numbers(kept.score_products, f"{where}.score_products", size, size)


def _check_factor(factor: PosteriorFactor, where: str, network: Network) -> None:
    of = posterior_span(network)
    m = 0 if of is None or network.is_linear else of.stop - of.start
    if not m:
        raise wrong(where, "null for this network", "an object")
    if not abs(factor.effective) <= m:
        raise wrong(f"{where}.effective", f"a number of parameters up to {m}", factor.effective)
    triangle = _numbers(factor.triangle, f"{where}.triangle", m * (m + 1) // 2)
    if not triangle[np.cumsum([0, *range(m, 1, -1)])].all():
        raise InputError(f"{where}.triangle is no factor of a curvature: its diagonal has zeros; {DAMAGED}.")


def _check_separation(found: Separation, n_features: int, n_outputs: int) -> None:
    if found.direction is not None:
        _numbers(found.direction, "separation.direction", n_outputs, n_features)
    if found.intercept is not None:
        _numbers(found.intercept, "separation.intercept", n_outputs)
    columns = found.columns
    fits = (
        (found.direction is not None) == (found.intercept is not None) == found.found
        and found.rows >= 1
        and (0 < found.rows_apart <= found.rows if found.found else found.rows_apart == 0 and not columns)
        and len(columns) == len(found.names)
        and list(columns) == sorted(set(columns))
        and all(0 <= column < n_features for column in columns)
        and math.isfinite(found.smallest_margin)
    )
    if not fits:
        raise InputError(f"separation does not fit the model or itself; {DAMAGED}.")


def _check_noise(model: FittedModel) -> None:
    noise = model.noise_model
    if (noise is not None) != (model.is_regression and not model.is_perceptron):
        raise wrong("noise_model", "a model of the noise for a regression by networks, and else null", noise)
    if not isinstance(noise, NoiseModel):
        return
    if isinstance(posteriors_of(model.sharing, model.loss), str):
        raise wrong("noise_model", "text where not every member has a posterior", "an object")
    k, n_inputs = model.n_outputs, min(member.network.widths[0] for member in model.sharing)
    _numbers(noise.variance, "noise_model.variance", len(model.sharing), k, above=0.0)
    _numbers(noise.stretch, "noise_model.stretch", k, above=0.0)
    # The numbers of slopes: of the constant model, and of those by the prediction, by the inputs, and by their pieces.
    slopes = [0, 3, 3 + n_inputs, 3 + model.scaling.n_inputs]
    if len(noise.scales) != k:
        raise wrong("noise_model.scales", f"models of the noise of {k} outputs", len(noise.scales))
    for output, scales in enumerate(noise.scales):
        if not 1 <= len(scales) <= len(slopes):
            raise wrong(f"noise_model.scales[{output}]", "one to four models", len(scales))
        for number, scale in enumerate(scales):
            _check_scale(scale, f"noise_model.scales[{output}][{number}]", slopes[number])
    if len(noise.shares) != k:
        raise wrong("noise_model.shares", f"shares of the models of {k} outputs", len(noise.shares))
    for output, shares in enumerate(noise.shares):
        _numbers(shares, f"noise_model.shares[{output}]", len(noise.scales[output]), above=0.0)
        if abs(shares.sum() - 1.0) > _ROUNDING:
            raise wrong(f"noise_model.shares[{output}]", "shares that add up to 1", shares.tolist())


def _check_scale(scale: ScaleModel, where: str, slopes: int) -> None:
    if not 0.0 < scale.dof < math.inf:
        raise wrong(f"{where}.dof", "a number above 0", scale.dof)
    if not math.isfinite(scale.intercept):
        raise wrong(f"{where}.intercept", "a finite number", scale.intercept)
    _numbers(scale.spread, f"{where}.spread", slopes, above=0.0)
    for name, array in (("slopes", scale.slopes), ("center", scale.center), ("low", scale.low), ("high", scale.high)):
        _numbers(array, f"{where}.{name}", slopes)


def _check_relevance(model: FittedModel) -> None:
    shares = model.relevance
    if shares is None:
        return
    if model.is_perceptron:
        raise wrong("relevance", "null for a perceptron", shares.tolist())
    if shares.shape == (model.data.n_features,) and np.isnan(shares).all():
        return  # it is not known, because no row has a finite derivative
    _numbers(shares, "relevance", model.data.n_features, least=0.0)
    if shares.sum() > 1.0 + _ROUNDING:
        raise wrong("relevance", "shares that add up to 1", shares.tolist())


def _check_predictions(model: FittedModel) -> None:
    """Check that predictions are finite at the means of the columns and one standard deviation above and below them."""
    scaling = model.scaling
    rows = scaling.over_columns(scaling.x_center + np.array([[0.0], [1.0], [-1.0]]) * scaling.x_scale)
    with np.errstate(all="ignore"):
        means = predicted(model, rows)
        # A perceptron is shown by its coefficients, in the user's units.
        own = model.coefficients if model.is_perceptron else ()
    if not all(np.isfinite(numbers).all() for numbers in (means, *own)):
        raise InputError(f"the model predicts no finite numbers at the means of its columns; {DAMAGED}.")
