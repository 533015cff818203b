"""Random intercepts beside networks: which columns group rows, and what their groups add to the raw prediction.

They are learnt from what the networks leave over on rows that they were not trained with, where that is known. A column
keeps its intercepts where rows are predicted better with them than without, by intercepts and variances that were
learnt without these rows.

One more grouping has the rows that are equal in every column of X (`SeenRows`). There a row is left out alone, and its
copies predict it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import InputError
from newtron.engine.base.row_hashes import row_hashes
from newtron.engine.base.threads import one_blas_thread
from newtron.engine.base.types import Array
from newtron.engine.base.words import column_names, count, setting
from newtron.engine.maths.losses import Loss
from newtron.engine.maths.scaling import column_of
from newtron.engine.rows import ArrayRows, Chunk, Rows
from newtron.engine.rows.streamed import StreamedRows
from newtron.engine.solvers import Status
from newtron.inference.mixed.random_intercepts import GroupIntercepts, RandomIntercepts
from newtron.inference.mixed.seen_rows import SeenRows, row_keys
from newtron.inference.mixed.variance_components import (
    Components,
    Crossed,
    grouped_more_than_chance,
    intercepts_under,
    loss_of_output,
    variance_components,
)
from newtron.training.fitted import DataDescription, Member
from newtron.training.members import RowsLeftOut
from newtron.training.settings import Settings
from newtron.training.targets import offset_column
from newtron.training.task import Task

# A column of numbers groups rows where it has more than so many different values, and fewer than this share of the
# rows: fewer values a network tells apart by itself, and values that hardly recur are no groups.
_FEW_VALUES, _REPEATED = 5, 0.8
# Rows of files or of a cluster in which values are counted.
_COUNTED_IN = 20_000
# Columns of numbers are looked at where rows x outputs x columns is at most so many, about ten seconds of one core: a
# regression's equations are solved once, those of classes and counts several times.
_MOST_WORK = {"regression": 2_000_000, "classification": 200_000}
# Rows left out in turn, the parts that they are divided into, and the seed of that.
_PARTS, _SEED = 5, 0
# A column is tried where its groups agree by at least so many standard deviations more than by chance, and by more than
# the largest of as many standard normal numbers as there are columns and outputs, about √(2 log of these) (Donoho &
# Johnstone 1994): of many columns some agree by two deviations though their groups say nothing.
_AGREE = 1.0
# Intercepts are kept where they lower the loss of rows left out by at least so many standard errors. Inside the
# training rows of development sets those that gained less did as often harm as good on other rows.
_STANDARD_ERRORS = 2.0
# Rounds over the outputs of a loss that is no sum over them.
_ROUNDS = 3
# The change of the logarithms of the variances at which the search for those of a part of the rows ends.
_ROUGHLY = 0.05
# Equal rows are looked at where at most so many rows x outputs are in memory, two seconds of one core at most, and at
# least this share of the rows has a copy, in so many sets: the standard error of a gain over fewer is itself unknown.
_MOST_ROWS = {"regression": 200_000, "classification": 50_000}
_LEAST_COPIED, _LEAST_SETS = 0.02, 10
# The variance of a logistic variable: that of what decides between classes on the scale of the log odds.
_LOGISTIC = np.pi**2 / 3.0


class GroupColumns(NamedTuple):
    """Columns of X that group rows. columns: those that may have random intercepts; aside: those that are no inputs;
    offset: the column that is one, in a place of its own among all columns; forced: whether the user named the
    columns, so that they keep their intercepts; names: of columns that the user named; whole_rows: whether rows that
    are equal in every column may have intercepts, too."""

    columns: tuple[int, ...] = ()
    aside: tuple[int, ...] = ()
    offset: int | None = None
    forced: bool = False
    names: tuple[str, ...] = ()
    whole_rows: bool = False

    @property
    def offset_of_inputs(self) -> int | None:
        """The position of the offset among the columns that are not aside."""
        return None if self.offset is None else self.offset - sum(j < self.offset for j in self.aside)


class Intercepts(NamedTuple):
    """What was learnt. left_out: (n, k) what the raw prediction of each row that is looked at gains by intercepts that
    were learnt without it."""

    found: RandomIntercepts
    left_out: Array


def group_columns(rows: Rows, data: DataDescription, settings: Settings) -> GroupColumns:
    """The columns that group rows, by the settings. Raises InputError where one that is asked for cannot."""
    factors, start = [], 0
    for column in () if data.schema is None or data.schema.formula is not None else data.schema.columns:
        factors += [start] if column.kind == "factor" else []
        start += len(column.encoded)
    chosen, offset = settings.intercepts, offset_column(settings.offset, data)
    if chosen is None:
        return GroupColumns(aside=tuple(factors), offset=offset)
    if isinstance(chosen, str):
        found = _repeated(rows, {*factors, offset}, data, _MOST_WORK[settings.task])
        copied = settings.family == "network" and _has_copies(rows, data, _MOST_ROWS[settings.task])
        return GroupColumns(tuple(sorted({*factors, *found})), tuple(factors), offset, whole_rows=copied)
    found = [_position(each, data, in_pieces=isinstance(rows, StreamedRows)) for each in chosen]
    if len(set(found)) < len(found):
        raise InputError(f"{setting('intercepts', repr(list(chosen)))} names a column twice.")
    aside = tuple(sorted({*factors, *(found if settings.family == "perceptron" else [])}))
    if len(aside) == rows.n_features and settings.family == "network":
        raise InputError("X has no column but those with random intercepts: a model needs one more to learn from.")
    names = column_names(data.names, data.n_features)
    return GroupColumns(tuple(sorted(found)), aside, offset, True, tuple(names[j] for j in sorted(found)))


def _position(asked: str | int, data: DataDescription, *, in_pieces: bool) -> int:
    """The position of a grouping column in the matrix. in_pieces: whether the rows came with a schema of their own."""
    n, given = data.given
    name, names = asked, column_names(data.names, data.n_features)
    if not isinstance(asked, str):
        if asked >= n:
            raise InputError(f"intercepts={asked} is no position in {count(n, 'column')}, counted from 0.")
        if data.columns is None:
            return asked
        assert given is not None
        name = given[asked]
    if name in names:
        return names.index(name)
    given_name = setting("intercepts", repr(name))
    for column in () if data.schema is None else data.schema.columns:
        if column.name == name:
            how = (
                f"give the rows choices=newtron.table.choices.ColumnChoices(factors=({name!r},))"
                if in_pieces
                else "leave its kind open"
            )
            raise InputError(
                f"{given_name} is a {column.kind} with several columns of numbers, and groups need one: {how}, so that "
                "text becomes a factor."
            )
    for dropped, reason in () if data.schema is None else data.schema.dropped:
        if dropped == name:
            raise InputError(f"{given_name}: this column cannot be used: {reason}.")
    raise InputError(f"{given_name} is no column of X that is used: these are {', '.join(names[:20])}.")


def _repeated(rows: Rows, others: set[int | None], data: DataDescription, most_work: int) -> list[int]:
    """The positions of the columns of numbers whose values repeat, but for others; none where there is more work."""
    if rows.is_sparse or (data.schema is not None and data.schema.formula is not None):
        return []
    X = rows.sample(_COUNTED_IN, np.random.default_rng(_SEED)).whole().X
    found = []
    for j in range(X.shape[1]):
        if j in others:
            continue
        n = len(np.unique(X[:, j]))
        found += [j] if _FEW_VALUES < n < _REPEATED * len(X) else []
    return found if len(X) * rows.n_outputs * len(found) <= most_work else []


def _has_copies(rows: Rows, data: DataDescription, most_rows: int) -> bool:
    """Are enough rows in memory equal to another in every column?"""
    formula = data.schema is not None and data.schema.formula is not None
    if not isinstance(rows, ArrayRows) or rows.is_sparse or formula or rows.n_rows * rows.n_outputs > most_rows:
        return False
    _, copies = np.unique(row_keys(rows.whole().X), return_counts=True)
    return bool((copies > 1).sum() >= _LEAST_SETS and copies[copies > 1].sum() >= _LEAST_COPIED * rows.n_rows)


def beside_networks(
    task: Task, members: Sequence[Member], left_out: RowsLeftOut | None, whole: Rows, grouping: GroupColumns
) -> tuple[Intercepts | None, SeenRows | None]:
    """The random intercepts of columns and of equal rows beside an average of networks, of rows that were left out as
    far as there are such. whole: the rows of the task with all columns. None where nothing keeps any, and where the
    training was ended: whoever ended it waits for no more."""
    ended = any(member.solution.status in (Status.INTERRUPTED, Status.STOPPED) for member in members)
    if not (grouping.columns or grouping.whole_rows) or ended:
        return None, None
    X = replace(task, given=whole).looked_at.whole().X
    scaled = task.looked_at.standardized(task.scaling).whole()
    inputs, known = scaled.X.astype(np.float64, copy=False), np.zeros(scaled.y.shape)
    with one_blas_thread(), np.errstate(all="ignore"):
        for member in members:
            if member.share:
                known += member.share * member.output(inputs)
    raw = known.copy()
    if left_out is not None:
        raw[left_out.rows] = left_out.averaged(members)
    if not (np.isfinite(raw).all() and np.isfinite(known).all()):
        return None, None
    found = learn_intercepts(X, scaled, raw, task.loss, grouping) if grouping.columns else None
    if not grouping.whole_rows:
        return found, None
    if found is not None:
        raw, known = raw + found.left_out, known + found.found.at(X)
    return found, learn_seen_rows(X, scaled, raw, known, task.loss)


def gained_around(task: Task, whole: Rows, grouping: GroupColumns, raw: Array) -> Array | None:
    """What random intercepts around raw predictions (n, k) of the rows that are looked at add to these, each learnt
    without the row; None where no column keeps any."""
    if not np.isfinite(raw).all():
        return None
    scaled = task.looked_at.standardized(task.scaling).whole()
    with one_blas_thread(), np.errstate(all="ignore"):
        found = learn_intercepts(replace(task, given=whole).looked_at.whole().X, scaled, raw, task.loss, grouping)
    return None if found is None else found.left_out


def less_intercepts(task: Task, intercepts: Intercepts) -> Task:
    """The task of what intercepts leave over, for rows that are left out of them; a loss with another link than the
    identity has nothing that could be subtracted."""
    if not task.loss.has_identity_link:
        return task
    X, y, weight, _ = task.looked_at.whole()
    y = (y - intercepts.left_out * task.scaling.y_scale).astype(y.dtype)
    return replace(task, given=ArrayRows(X, y, weight, threads=task.threads))


def learn_intercepts(X: Array, scaled: Chunk, raw: Array, loss: Loss, grouping: GroupColumns) -> Intercepts | None:
    """The random intercepts around raw predictions (n, k); None where no column keeps any. X: (n, p) with all columns;
    scaled: the same rows in the units of training."""
    Y, columns = scaled.y.astype(np.float64), list(grouping.columns)
    w = np.ones(len(Y)) if scaled.weight is None else scaled.weight.astype(np.float64)
    keys, places = {}, {}
    slopes = w[:, None] * loss.pointwise(Y, raw, 1).gradient
    by_chance = max(_AGREE, np.sqrt(2.0 * np.log(len(columns) * Y.shape[1])))
    for j in grouping.columns:
        values = column_of(X, j)
        keys[j] = np.unique(values[w > 0.0])
        places[j] = np.minimum(np.searchsorted(keys[j], values), len(keys[j]) - 1)
        agree = max(grouped_more_than_chance(places[j], len(keys[j]), slope) for slope in slopes.T)
        if agree < by_chance and not grouping.forced:
            columns.remove(j)
    # Copies of a row are in one part: an intercept that has seen one of them knows the others.
    _, copies = np.unique(row_hashes(np.hstack([X.astype(np.float64, copy=False), Y])), return_inverse=True)
    parts = (np.random.default_rng(_SEED).permutation(copies.max() + 1) % _PARTS)[copies]
    if not columns:
        return None
    crossed = Crossed(tuple(places[j] for j in columns), tuple(len(keys[j]) for j in columns), w)
    with one_blas_thread(), np.errstate(all="ignore"):
        found = _components(crossed, loss, Y, raw)
        gained = _left_out(crossed, loss, Y, raw, found, parts)
        if not grouping.forced and _in_errors(_gain(gained, loss, Y, raw, w), w) < _STANDARD_ERRORS:
            return None
    return Intercepts(_as_intercepts(columns, [keys[j] for j in columns], crossed, found, loss, Y), gained)


def _components(crossed: Crossed, loss: Loss, Y: Array, raw: Array) -> list[Components]:
    """The components of each output: one after the other, and again where they depend on each other."""
    k = Y.shape[1]
    gained = np.zeros_like(Y)
    found: list[Components] = []
    for _ in range(1 if k == 1 or loss.quadratic else _ROUNDS):
        found = []
        for c in range(k):
            gained[:, c] = 0.0
            found.append(variance_components(crossed, loss_of_output(loss, Y, raw + gained, c)))
            gained[:, c] = crossed.of_rows(found[c].b)
    return found


def _left_out(
    crossed: Crossed, loss: Loss, Y: Array, raw: Array, found: list[Components], parts: NDArray[np.intp]
) -> Array:
    """(n, k) what each row gains by intercepts that were learnt from the other parts of the rows, their variances
    included: with many outputs these are so many that rows which chose them would promise too much."""
    gained = np.zeros_like(raw)
    whole = np.column_stack([crossed.of_rows(own.b) for own in found])
    for part in range(_PARTS):
        rest, out = np.flatnonzero(parts != part), np.flatnonzero(parts == part)
        others, around = crossed.part(rest), raw[rest] + whole[rest]
        for c in range(Y.shape[1]):
            around[:, c] = raw[rest, c]
            b = variance_components(others, loss_of_output(loss, Y[rest], around, c), at_rest=_ROUGHLY).b
            around[:, c] += others.of_rows(b)
            gained[out, c] = crossed.part(out).of_rows(b)
    return gained


def _gain(gained: Array, loss: Loss, Y: Array, raw: Array, w: Array) -> Array:
    """(n,) by how much what rows left out gain, (n, k), lowers their loss, times their weights."""
    return np.asarray(w * (loss.pointwise(Y, raw, 1).value - loss.pointwise(Y, raw + gained, 1).value))


def _in_errors(lower: Array, w: Array) -> float:
    """How many of its standard errors the sum of what each row or set of rows gains is. w: their weights."""
    spread = float(np.sqrt(np.square(lower - w * lower.sum() / w.sum()).sum()))
    return float(lower.sum()) / spread if spread > 0.0 else 0.0


def _as_intercepts(
    columns: list[int], keys: list[Array], crossed: Crossed, found: list[Components], loss: Loss, Y: Array
) -> RandomIntercepts:
    variance = np.array([own.variance for own in found])  # (k, columns)
    residual = np.array([own.residual for own in found])
    apart = residual if loss.quadratic else _link_variance(loss, Y, crossed.weight)
    shares = (variance / (variance.sum(axis=1) + apart)[:, None]).mean(axis=0)
    b, spread = (
        list(zip(*(crossed.split(part) for part in each), strict=True))
        for each in ([o.b for o in found], [o.variances for o in found])
    )
    groups = tuple(
        GroupIntercepts(
            column, keys[j], np.column_stack(b[j]), np.column_stack(spread[j]), variance[:, j], float(shares[j])
        )
        for j, column in enumerate(columns)
    )
    of_rows = sum(group.variances[at] for group, at in zip(groups, crossed.places, strict=True))
    in_noise = crossed.weight @ np.asarray(of_rows) / crossed.weight.sum()
    learnt = f"random intercepts around what the networks leave over, from {count(len(Y), 'row')}"
    return RandomIntercepts(groups, residual, in_noise, learnt)


def _link_variance(loss: Loss, Y: Array, w: Array) -> Array:
    """(k,) the variance of what is left on the scale of the raw prediction (Nakagawa & Schielzeth 2010)."""
    if loss.has_deviance:
        return np.asarray(np.log1p(w.sum() / (w @ Y)))
    return np.full(Y.shape[1], _LOGISTIC)


# --- rows that are equal in every column ---


def learn_seen_rows(X: Array, scaled: Chunk, raw: Array, known: Array, loss: Loss) -> SeenRows | None:
    """The random intercepts of equal rows around raw predictions (n, k), which were made without any copy of the row as
    far as there are such; None where the copies of a row do not predict it better. X: (n, p) with all columns; scaled:
    the same rows in the units of training; known: (n, k) the raw predictions of the model that has seen all rows.

    Networks know something of the rows that they were trained with: f moves towards their targets. So a row seen before
    gains what its intercept is more than that, and nothing where the networks have gone as far already.
    """
    if not (loss.quadratic or loss.name == "log_loss"):
        return None
    Y, keys = scaled.y.astype(np.float64), row_keys(X)
    w = np.ones(len(Y)) if scaled.weight is None else scaled.weight.astype(np.float64)
    counted = np.flatnonzero(w)
    Y, raw, known, w = Y[counted], raw[counted], known[counted], w[counted] / w[counted].mean()
    different, own, copies = np.unique(keys[counted], return_inverse=True, return_counts=True)
    L, several = len(different), copies > 1
    slopes = w[:, None] * loss.pointwise(Y, raw, 1).gradient
    if sum(grouped_more_than_chance(own, L, slope) for slope in slopes.T) < _AGREE * np.sqrt(Y.shape[1]):
        return None  # copies agree over all outputs no more than by chance
    # Rows without copies say nothing of what copies have in common: the variances are those of the others.
    of_sets, rows = _sums(own, L, w[:, None])[:, 0], np.flatnonzero(several[own])
    sets, n = (np.cumsum(several) - 1)[own[rows]], int(several.sum())
    pair = _disagreeing_pair(loss, Y[rows], raw[rows], w[rows])
    with_pair, around = np.vstack([Y[rows], pair]), np.vstack([raw[rows], np.zeros_like(pair)])
    crossed = Crossed((np.append(sets, [n, n]),), (n + 1,), np.append(w[rows], [1.0, 1.0]))
    with one_blas_thread(), np.errstate(all="ignore"):
        found = _components(crossed, loss, with_pair, around)
        gained = _left_out(crossed, loss, with_pair, around, found, np.append(_apart(sets, n), [-1, -1]))[:-2]
        lower = _sums(sets, n, _gain(gained, loss, Y[rows], raw[rows], w[rows])[:, None])[:, 0]
        if not _in_errors(lower, of_sets[several]) >= _STANDARD_ERRORS:
            return None
        b, spread = _under(Crossed((own,), (L,), w), loss, Y, raw, found)
    moved = _sums(own, L, w[:, None] * (known - raw)) / of_sets[:, None]
    b = b - np.clip(moved, np.minimum(b, 0.0), np.maximum(b, 0.0))
    variance, residual = np.array([o.variance[0] for o in found]), np.array([o.residual for o in found])
    apart = residual if loss.quadratic else np.full(len(residual), _LOGISTIC)
    narrowed = (residual + spread) / (residual + variance) if loss.quadratic else np.ones_like(b)
    share = float((variance / (variance + apart)).mean())
    return SeenRows(different, b, narrowed, n, len(rows), share)


def _under(crossed: Crossed, loss: Loss, Y: Array, raw: Array, found: list[Components]) -> tuple[Array, Array]:
    """The intercepts (L, k) of the groups of one column, and their variances, under the variances that were found."""
    gained, b, variances = np.zeros_like(raw), *np.zeros((2, crossed.sizes[0], len(found)))
    for _ in range(1 if len(found) == 1 or loss.quadratic else _ROUNDS):
        for c, own in enumerate(found):
            if own.variance[0] == 0.0:
                continue
            gained[:, c] = 0.0
            around = loss_of_output(loss, Y, raw + gained, c)
            b[:, c], curvature = intercepts_under(crossed, around, own.variance, own.residual)
            variances[:, c] = 1.0 / (crossed.of_groups(curvature) + 1.0 / own.variance[0])
            gained[:, c] = crossed.of_rows(b[:, c])
    return b, variances


def _sums(own: NDArray[np.intp], sets: int, values: Array) -> Array:
    """(sets, m) the sums over each set of values (n, m)."""
    return np.column_stack([np.bincount(own, column, sets) for column in values.T]).astype(np.float64)


def _disagreeing_pair(loss: Loss, Y: Array, raw: Array, w: Array) -> Array:
    """(2, k) the targets of one more pair of equal rows, whose raw predictions are 0, that know nothing of each other.

    Where all copies agree nothing else would bound the share of the intercepts from 1: as for a proportion of which
    only successes were seen (Laplace's rule of succession), one more pair is taken to differ as two rows of the same
    prediction do that were never seen, by a mean square of (τ² + s²) within the pair; classes differ, at even odds.
    """
    if loss.quadratic:
        half = np.sqrt(0.5 * (w @ np.square(Y - raw)) / w.sum())
        return np.vstack([half, -half])
    if Y.shape[1] == 1:
        return np.array([[0.0], [1.0]])
    return np.eye(Y.shape[1])[np.argsort(-(w @ Y), kind="stable")[:2]]


def _apart(own: NDArray[np.intp], sets: int) -> NDArray[np.intp]:
    """(n,) a part for each row, so that copies are in different parts, as far as there are parts. own: (n,) the set of
    equal rows of each."""
    rng = np.random.default_rng(_SEED)
    order = rng.permutation(len(own))
    order = order[np.argsort(own[order], kind="stable")]
    rank = np.arange(len(own)) - np.searchsorted(own[order], own[order])
    parts = np.empty(len(own), dtype=np.intp)
    parts[order] = (rank + rng.integers(_PARTS, size=sets)[own[order]]) % _PARTS
    return parts
