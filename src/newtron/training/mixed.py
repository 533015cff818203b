"""A perceptron with random intercepts: the coefficients, variances and intercepts of its mixed model."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import InputError
from newtron.engine.base.linalg import is_sparse, qr_triangle
from newtron.engine.base.types import Array, Matrix
from newtron.engine.base.words import column_names, count, joined, setting
from newtron.engine.maths.losses import Loss
from newtron.engine.maths.scaling import Scaling, column_of
from newtron.engine.rows import ArrayRows, Chunk, Rows
from newtron.engine.rows.streamed import StreamedRows
from newtron.engine.solvers import Newton, Progress, Solution, State, Status
from newtron.engine.solvers.state import TraceRow
from newtron.inference.certificate.endpoint import Curvature, fingerprint_of
from newtron.inference.coefficients.information import square_triangle
from newtron.inference.mixed.cells import CellSums, LevelCells
from newtron.inference.mixed.fit import MixedFit, MixedLikelihood, fit_laplace, fit_linear
from newtron.inference.mixed.grouping import Grouping
from newtron.inference.mixed.laplace import LaplaceMixed, MixedLoss
from newtron.inference.mixed.linear import LinearMixed
from newtron.inference.mixed.outer import Minimum, NoMinimumError, SearchStep, SearchStoppedError
from newtron.inference.mixed.random_intercepts import GroupIntercepts, RandomIntercepts
from newtron.inference.separation.separation import Separation
from newtron.training.fitted import DataDescription, FittedModel, Member
from newtron.training.intercepts import GroupColumns
from newtron.training.settings import Settings
from newtron.training.task import Task

# A column whose part that no other column explains is shorter than this, relative to its own length, depends on them.
_DEPENDENT = 1e-10
# Numbers of X that may become dense, and of the products of its columns: 2 GB.
_NUMBERS = 250_000_000
# The share of the memory for rows of files that cells may take: with joining and fitting 1.7 million of them the peak
# was 7.5 times what they took.
_CELLS = 1 / 8
# The variance of a logistic variable: that of what decides between classes on the scale of the log odds.
_LOGISTIC = np.pi**2 / 3.0


class MixedParts(NamedTuple):
    """What a mixed model adds to a fitted model; None in both where the training was ended before it was found."""

    member: Member
    intercepts: RandomIntercepts | None = None
    likelihood: MixedLikelihood | None = None


@dataclass(frozen=True)
class MixedRows:
    """The rows with a weight above 0 as a mixed model takes them, in the units of training: those of a squared error
    added up to cells, others one by one.

    X: (n, q) with a column of ones last where there is an intercept. y, weight: (n,). within: (m, q + 1) of [X, y],
    what differs inside the cells. codes: of each grouping column (n,) the position of each row's key; keys: (L,) the
    different numbers of each. n_rows: how many rows there are. counted: n of the formulas. log_weights: the sum of the
    logarithms of weights that are one over a variance, else 0.
    """

    X: Array
    y: Array
    weight: Array
    within: Array
    codes: tuple[NDArray[np.intp], ...]
    keys: tuple[Array, ...]
    n_rows: int
    counted: float
    log_weights: float

    @property
    def sizes(self) -> list[int]:
        return [len(own) for own in self.keys]

    @property
    def grouping(self) -> Grouping:
        return Grouping(self.codes, self.sizes)

    @property
    def columns(self) -> Array:
        """X in the metric of the weights, with as many rows as are needed for that."""
        q = self.X.shape[1]
        return np.vstack([self.X * np.sqrt(self.weight)[:, None], self.within[:, :q]])


def check_mixed(settings: Settings, loss: Loss, rows: Rows) -> None:
    """Raises InputError for settings and rows that no mixed model is made for."""
    asked = setting("intercepts")
    named: list[tuple[bool, str]] = [
        (settings.is_firth, "penalty='firth'"),
        (settings.alpha != 0.0, f"alpha={settings.alpha!r}"),
        (settings.class_weight is not None, "class_weight"),
        (settings.solver != "auto", "solver, since a mixed model has a search of its own"),
        (settings.weights == "sampling", "weights='sampling'"),
        (settings.weights == "precision" and not loss.quadratic, "weights='precision', which is for a squared error"),
        (not (loss.quadratic or loss.likelihood), f"loss={settings.loss!r}"),
        (settings.task == "classification" and loss.name != "log_loss", f"loss={settings.loss!r}"),
    ]
    for wrong, name in named:
        if wrong:
            raise InputError(f"{asked} is not made for {name}: leave one of the two out.")
    p = rows.n_features
    if (p + 2) ** 2 > _NUMBERS:  # with the intercept and the target
        raise InputError(
            f"{asked} keeps a product of each two of the {count(p, 'column')} of X, and these are too large: leave "
            "columns out."
        )
    if rows.n_outputs > 1:
        n = rows.n_outputs
        if settings.task == "classification":
            raise InputError(f"{asked} of a perceptron is made for two classes, and these are {n:,}: take a network.")
        raise InputError(f"{asked} of a perceptron is made for one target, and these are {n:,}: fit a model for each.")
    if isinstance(rows, StreamedRows) and not loss.quadratic:
        raise InputError(
            f"{asked} of classes and of counts needs all rows in memory, since each step of its search reads them: "
            "read them into memory, or leave it out. For a squared error they are read once."
        )
    if settings.weights == "frequency" and not rows.whole_weights:
        raise InputError(
            f"{asked} takes a sample weight for a number of rows, and these are not whole numbers: "
            + (
                f"give {setting('weights', repr('precision'))} where they are one over a variance."
                if loss.quadratic
                else "leave them out, or round them."
            )
        )


def mixed_rows(
    whole: Rows, scaling: Scaling, columns: Sequence[int], settings: Settings, loss: Loss, *, intercept: bool
) -> MixedRows:
    """The rows of a mixed model. whole: with all columns, in the user's units; columns: those of them that group the
    rows; scaling: to the units of training, which knows the columns that are no inputs."""
    make = _cells if loss.quadratic else _single_rows
    return make(whole, scaling, columns, settings.weights == "precision", intercept)


def _cells(whole: Rows, scaling: Scaling, columns: Sequence[int], precise: bool, intercept: bool) -> MixedRows:
    """The rows added up to cells, in one pass."""
    most = int(whole.source.memory * _CELLS) if isinstance(whole, StreamedRows) else None
    if isinstance(whole, ArrayRows) and whole.is_sparse:
        at_once = min(whole.n_rows, whole.chunk_rows * whole.threads)
        _check_dense(at_once, scaling)
        given = whole.whole()
        cells = LevelCells.of(_groups(given.X, columns), _weight(given), np.ones((whole.n_rows, 1)))
        _check_dense(len(cells.weight), scaling)

    def of_chunk(chunk: Chunk) -> CellSums:
        groups = _groups(chunk.X, columns)
        X = _with_ones(scaling.inputs(chunk.X.astype(np.float64, copy=False)), intercept)
        values = np.column_stack([X, scaling.targets(chunk.y.astype(np.float64, copy=False))])
        return CellSums(LevelCells.of(groups, _weight(chunk), values), most)

    found = whole.sum(of_chunk).total
    return MixedRows(
        found.means[:, :-1],
        found.means[:, -1],
        found.weight,
        found.within,
        found.codes,
        found.keys,
        found.rows,
        float(found.rows) if precise else found.total_weight,
        found.logs if precise else 0.0,
    )


def _single_rows(whole: Rows, scaling: Scaling, columns: Sequence[int], precise: bool, intercept: bool) -> MixedRows:
    """The rows one by one, which must be in memory; with an offset they are per exposure."""
    del precise  # which is for a squared error
    if whole.is_sparse:
        _check_dense(whole.n_rows, scaling)
    scaled, cells, own = whole.standardized(scaling).whole(), whole.whole().X, whole.weights()
    weight = _weight(scaled)
    some = weight > 0.0
    inputs = _with_ones(scaled.X, intercept)[some]
    levels = [np.unique(column_of(cells, column)[some], return_inverse=True) for column in columns]
    return MixedRows(
        inputs,
        scaled.y[some, 0].astype(np.float64),
        weight[some],
        np.zeros((0, inputs.shape[1] + 1)),
        tuple(places for _, places in levels),
        tuple(keys for keys, _ in levels),
        len(inputs),
        float(len(inputs)) if own is None else float(own.sum(dtype=np.float64)),
        0.0,
    )


def _check_dense(n_rows: int, scaling: Scaling) -> None:
    """Raises InputError where so many rows of sparse columns are too large to be dense at the same time."""
    p = len(scaling.x_center)
    if n_rows * p > _NUMBERS:
        raise InputError(
            f"{setting('intercepts')} makes the {count(p, 'sparse column')} of X dense, and {n_rows:,} rows of them "
            "are too large: leave columns out."
        )


def _groups(X: Matrix, columns: Sequence[int]) -> Array:
    """(n, G) the grouping columns of X."""
    return np.column_stack([column_of(X, column) for column in columns])


def _with_ones(X: Matrix, intercept: bool) -> Array:
    """X (n, p) as an array of float64, with a column of ones last where there is an intercept."""
    dense = np.asarray(X.toarray() if is_sparse(X) else X, dtype=np.float64)
    return np.column_stack([dense, np.ones(len(dense))]) if intercept else dense


def _weight(chunk: Chunk) -> Array:
    return np.ones(len(chunk.y)) if chunk.weight is None else chunk.weight.astype(np.float64)


def _check_groups(rows: MixedRows, names: Sequence[str], data: DataDescription, loss: Loss) -> None:
    """Raises InputError for a grouping column that no variance can be estimated of."""
    n = rows.counted
    for name, keys, codes in zip(names, rows.keys, rows.codes, strict=True):
        asked = setting("intercepts", repr([name]))
        for column in () if data.schema is None else data.schema.columns:
            if column.name == name and (
                column.missing_seen if column.kind == "number" else float(keys[-1]) >= len(column.levels)
            ):
                raise InputError(
                    f"{asked}: the column has missing cells, and a row must belong to a group: leave these rows out, "
                    "or name their group."
                )
        if len(keys) < 2:
            raise InputError(f"{asked}: the column has one level only, and a variance between levels needs two.")
        if len(keys) >= n and not loss.has_deviance:
            raise InputError(
                f"{asked}: the column has as many levels as there are rows, {len(keys):,}, so that nothing tells its "
                "intercepts from the noise."
            )
        for other, beside in zip(names, rows.codes, strict=True):
            if other < name and len(np.unique(codes * (int(beside.max()) + 1) + beside)) == len(keys) == (
                int(beside.max()) + 1
            ):
                raise InputError(f"{asked}: the column groups the rows as {other!r} does: leave one of them out.")


def _check_columns(rows: MixedRows, names: Sequence[str], *, intercept: bool) -> None:
    """Raises InputError where columns depend on each other."""
    q = rows.X.shape[1]
    order = [q - 1, *range(q - 1)] if intercept else list(range(q))
    X = rows.columns[:, order]
    if rows.n_rows <= q:
        raise InputError(f"{setting('intercepts')} needs more rows than the {count(q, 'coefficient')} of the model.")
    left = np.abs(np.diagonal(square_triangle(qr_triangle(X))))
    lost = [order[j] for j in np.flatnonzero(left <= _DEPENDENT * np.linalg.norm(X, axis=0))]
    if lost:
        told = joined([names[j] if j < len(names) else "the intercept" for j in lost])
        raise InputError(
            f"{setting('intercepts')} needs columns that do not depend on each other: leave out {told}, which the "
            "others and the intercept determine."
        )


Beside: TypeAlias = Callable[[Progress], object]


def beside_perceptron(
    task: Task,
    member: Member,
    settings: Settings,
    data: DataDescription,
    whole: Rows,
    grouping: GroupColumns,
    separation: Separation | None,
) -> MixedParts:
    """The mixed model that has the intercepts of these columns beside a trained perceptron, which it replaces.

    member: the perceptron without intercepts. data: of the columns that are inputs. whole: the rows with all
    columns, of which those of `grouping` group them. Raises InputError where the rows determine no such model.
    """
    columns, names = grouping.columns, grouping.names
    ended = member.solution.status
    if ended in (Status.INTERRUPTED, Status.STOPPED):
        return MixedParts(member)
    if separation is not None and separation.found:
        raise InputError(
            f"The classes are separated by {joined(list(separation.names))}, so that no finite coefficients are best, "
            f"with {setting('intercepts')} as without: leave these columns out."
        )
    intercept, loss = member.network.intercept, task.loss
    scaling = replace(task.scaling, aside=grouping.aside, offset=grouping.offset)
    try:
        rows = mixed_rows(whole, scaling, columns, settings, loss, intercept=intercept)
        _check_groups(rows, names, data, loss)
        _check_columns(rows, column_names(data.names, data.n_features), intercept=intercept)
        watched = _Watched(task, member, rows.counted)
        fit = _fitted(rows, member, settings, loss, watched)
    except NoMinimumError as error:
        endless = [names[g] for g in np.flatnonzero(error.which[np.argsort(rows.grouping.order)])]
        raise InputError(
            f"{setting('intercepts', repr(endless))}: the likelihood grows without end as these intercepts do, because "
            "their groups explain the target without any noise."
        ) from None
    except SearchStoppedError:
        return MixedParts(replace(member, solution=replace(member.solution, status=Status.STOPPED)))
    except KeyboardInterrupt:
        return MixedParts(replace(member, solution=replace(member.solution, status=Status.INTERRUPTED)))
    return _parts(task, member, rows, columns, names, fit, watched)


def _fitted(rows: MixedRows, member: Member, settings: Settings, loss: Loss, watched: _Watched) -> MixedFit:
    if loss.quadratic:
        return fit_linear(
            rows.X,
            rows.y,
            rows.weight,
            rows.codes,
            rows.sizes,
            within=rows.within,
            counted=rows.counted,
            log_weights=rows.log_weights,
            reml=settings.method == "reml",
            watch=watched,
        )
    start = coefficients_of(member)
    found = fit_laplace(
        rows.X, rows.y, rows.weight, rows.codes, rows.sizes, mixed_loss(loss), start=start, watch=watched
    )
    kept = member.information
    if kept is None:
        return found
    # What the model's loss leaves out of the log-likelihood is the same with intercepts and without.
    z = rows.X @ start
    kernel = rows.y * z - (np.exp(z) if loss.has_deviance else np.logaddexp(0.0, z))
    constant = kept.log_likelihood - float(rows.weight @ kernel)
    own = found.likelihood
    own = replace(
        own, log_likelihood=own.log_likelihood + constant, without=own.without + constant, counted=rows.counted
    )
    return replace(found, likelihood=own)


def mixed_loss(loss: Loss) -> MixedLoss:
    """The name that the likelihood has for a loss."""
    return "poisson" if loss.has_deviance else "log_loss"


def coefficients_of(member: Member) -> Array:
    """(q,) the weights of a perceptron with one output, and its intercept last where it has one."""
    layer = member.network.split(member.params)[0]
    return layer.W[:, 0] if layer.b is None else np.append(layer.W[:, 0], layer.b[0])


class _Watched:
    """Tells the callback of each step of the search, and keeps the trace."""

    def __init__(self, task: Task, member: Member, counted: float) -> None:
        self.task, self.member, self.counted = task, member, counted
        self.began, self.trace = time.perf_counter(), list[TraceRow]()

    def __call__(self, step: SearchStep) -> object:
        share = 0.5 / self.counted
        norm = share * float(np.max(np.abs(step.gradient), initial=0.0))
        decrement = float(np.sqrt(2.0 * share * step.expected))
        seconds = time.perf_counter() - self.began
        row = TraceRow(step.steps, share * step.deviance, norm, decrement, step.length, seconds)
        self.trace.append(row)
        if self.task.callback is None:
            return False
        state = State(
            self.member.params, row.value, np.zeros_like(self.member.params), step.steps, decrement, step.length
        )
        return self.task.callback(Progress(state, row))


def _parts(
    task: Task,
    member: Member,
    rows: MixedRows,
    columns: Sequence[int],
    names: Sequence[str],
    fit: MixedFit,
    watched: _Watched,
) -> MixedParts:
    """The model's parts from the fit, in the units of training and, for the likelihood, of the user."""
    loss, scaling = task.loss, task.scaling
    params = fit.coefficients
    residual = fit.residual**2
    apart = residual if loss.quadratic else _link_variance(loss, rows)
    whole = float(np.square(fit.deviations).sum()) + apart
    groups = tuple(
        GroupIntercepts(column, keys, modes[:, None], spread[:, None], np.array([size**2]), float(size**2 / whole))
        for column, keys, modes, spread, size in zip(
            columns, rows.keys, fit.modes, fit.variances, fit.deviations, strict=True
        )
    )
    how = {
        "reml": "restricted maximum likelihood (REML)",
        "ml": "maximum likelihood",
        "laplace": "Laplace's approximation of the likelihood",
    }[fit.likelihood.method]
    intercepts = RandomIntercepts(groups, np.array([residual]), np.zeros(1), f"a mixed model by {how}")
    solution = _solution(rows, names, fit, watched, how)
    kept = member.information
    if kept is not None:
        freedom = rows.counted - len(params)
        products = np.array([[residual * freedom]]) if loss.quadratic else kept.residual_products
        usable = bool(np.isfinite(fit.root).all())
        kept = replace(kept, root=_signed(fit.root), residual_products=products) if usable else None
    mixed = replace(
        member,
        solution=solution,
        noise=residual if loss.quadratic else member.noise,
        end=curvature_of(fit.minimum, params, member.alpha, rows.counted),
        information=kept,
    )
    return MixedParts(mixed, intercepts, _in_users_units(fit.likelihood, scaling, len(params), loss))


def _solution(rows: MixedRows, names: Sequence[str], fit: MixedFit, watched: _Watched, how: str) -> Solution:
    """How the search ended."""
    zero = [name for name, theta in zip(names, fit.likelihood.theta, strict=True) if theta == 0.0]
    note = ""
    if zero:
        note = (
            f"The variance of the intercepts of {joined(zero)} is 0, at the end of its range: the rows show no "
            "differences between the groups beyond those of the noise."
        )
    minimum, params = fit.minimum, fit.coefficients
    return Solution(
        params,
        0.5 * minimum.deviance / rows.counted,
        np.zeros_like(params),
        gradient_norm_of(minimum, rows.counted),
        Status.CONVERGED if minimum.converged else Status.STALLED,
        minimum.steps,
        tuple(watched.trace),
        {"gradient": minimum.evaluations},
        Newton(),
        time.perf_counter() - watched.began,
        note,
        f"a mixed model by {how}: Newton steps in the logarithms of the standard deviations of the intercepts"
        + ("" if fit.likelihood.method != "laplace" else " and in the coefficients"),
    )


def curvature_of(minimum: Minimum, params: Array, alpha: Array, counted: float) -> Curvature:
    """What the second derivatives by the standard deviations, and by other parameters, say of the end of a search."""
    share = 0.5 / counted
    values = share * np.linalg.eigvalsh(minimum.hessian) if len(minimum.hessian) else np.zeros(0)
    smallest, largest = (float(values[0]), float(values[-1])) if len(values) else (float("nan"), float("nan"))
    return Curvature(
        method="exact" if len(values) else "none",
        sign=1 if np.all(values > 0.0) else -1,
        smallest=smallest,
        largest=largest,
        decrement=float(np.sqrt(2.0 * share * minimum.expected)),
        no_bound_reason="the likelihood of a mixed model is not convex",
        fingerprint=fingerprint_of(params, alpha),
    )


def _signed(root: Array) -> Array:
    """A triangle with positive diagonal, of the same product."""
    return np.asarray(np.triu(root) * np.where(np.diagonal(root) < 0.0, -1.0, 1.0)[:, None])


def _link_variance(loss: Loss, rows: MixedRows) -> float:
    """The variance of what is left on the scale of the raw prediction (Nakagawa & Schielzeth 2010)."""
    if loss.has_deviance:
        return float(np.log1p(rows.weight.sum() / (rows.weight @ rows.y)))
    return float(_LOGISTIC)


def _in_users_units(own: MixedLikelihood, scaling: Scaling, q: int, loss: Loss) -> MixedLikelihood:
    """The likelihood of targets in the user's units; a restricted one also depends on the units of the columns."""
    if not loss.quadratic:
        return own
    restricted = own.method == "reml"
    shift = (own.counted - (q if restricted else 0)) * float(np.log(scaling.y_scale[0]))
    shift += float(np.log(scaling.x_scale).sum()) if restricted else 0.0
    return replace(own, log_likelihood=own.log_likelihood - shift, without=own.without - shift)


def gradient_norm_of(minimum: Minimum, counted: float) -> float:
    """The largest derivative of the deviance by the logarithm of a standard deviation, or by another parameter, in
    units of the objective, which is half the deviance of one row."""
    return 0.5 * float(np.max(np.abs(minimum.gradient), initial=0.0)) / counted


def measured_again(model: FittedModel, whole: Rows) -> Minimum | None:
    """What the deviance and its derivatives say of a mixed model's end on these rows, with all columns; None where they
    have other groups, or the coefficients and intercepts do not follow from the variances as they do at an end. Raises
    InputError where no mixed model can be made of them."""
    check_mixed(model.settings, model.loss, whole)
    own, likelihood, member = model.random_intercepts, model.mixed, model.members[0]
    if own is None or likelihood is None:
        return None
    columns = [group.column for group in own.groups]
    rows = mixed_rows(whole, model.scaling, columns, model.settings, model.loss, intercept=member.network.intercept)
    alike = rows.n_rows > rows.X.shape[1] and all(
        np.array_equal(keys, group.keys) for keys, group in zip(rows.keys, own.groups, strict=True)
    )
    if not alike:
        return None
    grouping = rows.grouping
    order = list(grouping.order)
    theta = likelihood.theta[order]
    if model.loss.quadratic:
        reml = likelihood.method == "reml"
        linear = LinearMixed(
            rows.X,
            rows.y,
            rows.weight,
            grouping,
            within=rows.within,
            counted=rows.counted,
            log_weights=rows.log_weights,
            reml=reml,
        )
        found = linear.searching().measured(theta, np.zeros(0))
        beta, modes = linear.coefficients(theta), linear.intercepts(theta)[0]
    else:
        general = LaplaceMixed(rows.X, rows.y, rows.weight, grouping, mixed_loss(model.loss))
        beta = coefficients_of(member)
        gamma = general.R @ beta
        found = general.searching(gamma).measured(theta, gamma)
        modes = general.intercepts(theta, gamma)[0]
    kept = [own.groups[g].intercepts[:, 0] for g in order]
    size = max([float(np.sqrt(own.residual[0])), *(float(np.max(np.abs(each))) for each in modes)])
    close = np.allclose(beta, member.params, rtol=1e-7, atol=1e-9 * size)
    close &= all(np.allclose(a, b, rtol=1e-7, atol=1e-9 * size) for a, b in zip(modes, kept, strict=True))
    return found if close else None
