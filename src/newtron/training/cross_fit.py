"""Cross-fitting: each row is predicted by a model that was trained without it, and so tells what new rows would.

The rows are divided into a few parts. For each part a model is trained on the others, along a path of penalties from
strong to weak ones, and predicts the rows of the part. The penalty whose predictions have the least loss is the one of
this kind of model (Stone 1974; Geisser 1975; cross-fitting: Chernozhukov et al. 2018). No approximation is made, so the
loss is right also where a network nearly passes through its rows.

The weights of columns that say little can then get stronger penalties, in rounds. In each, the training without a part
learns these penalties from its own weights (`inference.penalties.by_column`), so the rows left out judge them as they
judge the strength.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.linalg import is_sparse
from newtron.engine.base.threads import run_all
from newtron.engine.base.types import Array, Matrix
from newtron.engine.maths.losses import Loss
from newtron.engine.maths.network import Network
from newtron.engine.maths.scaling import column_of
from newtron.engine.objective import TrainingObjective
from newtron.engine.rows import ArrayRows
from newtron.engine.solvers import Solution, Status
from newtron.inference.penalties.by_column import column_factors
from newtron.inference.penalties.penalty_path import EndedError, network_penalties
from newtron.inference.posterior import posterior_at
from newtron.inference.predictive.predictive import mean_and_variance, noise_around

# Rows are divided into so many parts. Where there are more rows than the second number, a single one of the parts is
# left out: one training on so many rows says enough.
PARTS, MOST_IN_PARTS = 5, 5000
# So many different inputs of a regression: each part then has ten or more that no other part has.
_MANY_INPUTS = 50
# Rows with equal targets are put in order by at most so many of their inputs.
_ORDERED_BY = 100
# Penalties in units of one row's loss in standardised targets: the first, the ratio of neighbours on the path, and the
# limits of the path, a little outside the powers of ten so that rounding leaves the last of these on the path.
_FIRST, _RATIO, _LEAST, _MOST = 10.0**0.5, 10.0**0.5, 0.9e-3, 1.1e4
# Where targets have next to no noise, a regression needs next to no penalty: on 1,000 rows of a smooth function whose
# noise is 1e-5 of its deviation the error is .003 under the penalty 1e-3. So does its perceptron, if that is right.
# That a few rows of classes are separated says less: of 30 rows, 2 of one class, weaker penalties promised .0007 nat,
# and new rows lost 2.8.
_LEAST_REGRESSION, _LEAST_PERCEPTRON = 0.9e-6, 0.9e-9
# The path ends when so many penalties in a row were worse than the best.
_PATIENCE = 2
# Penalties by column are learnt anew at most so often, and as long as the rows left out gain by it.
_ROUNDS = 4
# Where the raw predictions of the rows left out differ by less than this, in standardised targets or log odds, the
# network has lost its weights. It would never leave this point, and begins at its start again.
_FLAT = 1e-3

# (objective of the rows of the other parts, params, number of the part) -> a point near its optimum, searched from
# params.
FitOnPart = Callable[[TrainingObjective, Array, int], Solution]


@dataclass(frozen=True)
class Division:
    """Rows in parts, each of which is left out of one training.

    part: (n,) the number of the part of each row; -1 for a row that is left out of no training: one of weight 0, and
    with a single part all rows but those that are held out. parts: how many there are.
    """

    part: NDArray[np.intp]
    parts: int

    @property
    def first_only(self) -> Division:
        """The same rows, of which the first part alone is left out."""
        return Division(np.where(self.part == 0, 0, -1), min(self.parts, 1))

    @property
    def left_out(self) -> NDArray[np.bool_]:
        """(n,) whether there is a training without the row."""
        return self.part >= 0

    @property
    def usable(self) -> bool:
        """Is there a row to predict, and another one to train on?"""
        return self.parts > 1 or len(np.unique(self.part)) > 1

    def without(self, rows: ArrayRows, part: int) -> ArrayRows:
        """The rows of all other parts."""
        return rows.part(np.flatnonzero(self.part != part), copied=True)

    def of(self, part: int) -> NDArray[np.intp]:
        """The numbers of the rows of a part."""
        return np.flatnonzero(self.part == part)


def divided(rows: ArrayRows, classes: bool, seed: int, parts: int = PARTS) -> Division:
    """Divide the rows so that each part has its share of each class, or of small and large targets.

    Copies of a row are in one part: what a model has seen is not left out. Rows are copies where their inputs and
    targets are equal, unless rows with the same inputs have different targets: inputs of few values repeat among new
    rows too. In a regression of many different inputs rows with the same inputs are copies whatever their targets:
    inputs that were measured several times do not repeat among new rows. A class that has a single row keeps it in
    every training, so that none is without the class. The parts depend on the seed, and neither on the order of the
    rows nor on the units of the columns. A row of weight 2 is the row twice. classes: whether the targets are
    classes. parts: how many there are, at most.
    """
    X, Y, weight, _ = rows.whole()
    counted = np.arange(rows.n_rows) if weight is None else np.flatnonzero(weight)
    group = _copies(X[counted], Y[counted], by_inputs=not classes)
    by_content = _by_content(X[counted], Y[counted])
    place = np.unique(group[by_content], return_index=True)[1]
    first = by_content[place]  # of each group
    rng = np.random.default_rng([seed, len(first)])
    order = np.argsort(place)[rng.permutation(len(first))]
    # Targets in order of their values, and at random where they are equal: then each part gets its share of all.
    of_group = Y[counted[first]]
    for column in range(of_group.shape[1]):
        order = order[np.argsort(of_group[order, column], kind="stable")]
    dealt = np.tile(np.arange(parts), (-(-len(first) // parts), 1))
    if classes:
        _, number, times = np.unique(of_group, axis=0, return_inverse=True, return_counts=True)
        only = times[number.reshape(-1)] == 1
    else:
        dealt, only = rng.permuted(dealt, axis=1), np.zeros(len(first), dtype=np.bool_)
    of_groups = np.empty(len(first), dtype=np.intp)
    of_groups[order] = dealt.ravel()[: len(first)]
    of_groups[only] = -1
    known, numbers = np.unique(
        of_groups[of_groups >= 0], return_inverse=True
    )  # where rows are few, some parts have none
    of_groups[of_groups >= 0] = numbers
    part = np.full(rows.n_rows, -1, dtype=np.intp)
    part[counted] = of_groups[group]
    return Division(part, len(known))


def _by_content(X: Matrix, Y: Array) -> NDArray[np.intp]:
    """(n,) the numbers of the rows in the order of their targets, and of their first inputs where targets are equal."""
    order, rank = np.arange(len(Y)), np.zeros(len(Y), dtype=np.intp)
    inputs = (column_of(X, j) for j in range(min(X.shape[1], _ORDERED_BY)))
    for column in (*Y.T, *inputs):
        order = np.lexsort((column, rank))
        other = (np.diff(rank[order]) > 0) | (np.diff(column[order]) > 0)
        rank[order] = np.concatenate([[0], np.cumsum(other)])
        if other.all():
            break
    return order


def _copies(X: Matrix, Y: Array, by_inputs: bool) -> NDArray[np.intp]:
    """(n,) numbers of the groups of copies, in the order of their first rows. by_inputs: whether many different inputs
    make copies by themselves."""
    inputs, by_all = _equal_rows(X), _equal_rows(X, Y)
    if by_inputs and len(np.unique(inputs)) >= _MANY_INPUTS:
        return inputs
    # Rows whose inputs also occur with other targets are each a group of their own.
    both = np.unique(np.column_stack([inputs, by_all]), axis=0)[:, 0]
    targets_of = np.bincount(both, minlength=inputs.max(initial=0) + 1)
    alone = targets_of[inputs] > 1
    return _in_order(np.where(alone, len(by_all) + np.arange(len(by_all)), by_all))


def _equal_rows(*parts: Matrix) -> NDArray[np.intp]:
    """(n,) the same number for rows that are equal in all parts."""
    n = parts[0].shape[0]
    texts = [b""] * n
    for part in parts:
        if is_sparse(part):
            part = part.tocsr().sorted_indices()
            cuts = list(zip(part.indptr[:-1], part.indptr[1:], strict=True))
            rows = [part.indices[a:b].tobytes() + (part.data[a:b] + 0.0).tobytes() for a, b in cuts]
        else:
            rows = [row.tobytes() for row in np.ascontiguousarray(part) + 0.0]  # -0.0 is 0.0
        texts = [before + row for before, row in zip(texts, rows, strict=True)]
    known: dict[bytes, int] = {}
    return np.array([known.setdefault(text, len(known)) for text in texts], dtype=np.intp)


def _in_order(numbers: NDArray[np.intp]) -> NDArray[np.intp]:
    """The same groups, numbered in the order of their first rows."""
    _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.intp)
    rank[np.argsort(first)] = np.arange(len(first))
    return np.asarray(rank[inverse])


@dataclass(frozen=True, eq=False)
class Stage:
    """A penalty of the path: its strength, the mean loss of the rows left out, and their raw predictions (n, k), nan
    for rows that were left out of no training. ends: where the training without each part ended; begins: where another
    training begins, which is the start again where the end has no weights. factors: by how many times the common
    penalty each parameter (P,) was penalised in the training without each part; () where all have the common one."""

    strength: float
    loss: float
    raw: Array
    ends: tuple[Array, ...] = ()
    begins: tuple[Array, ...] = ()
    factors: tuple[Array, ...] = ()

    def penalties_without(self, part: int, network: Network) -> Array:
        """(P,) the penalties of the training without a part."""
        common = network_penalties(network, self.strength)
        return common * self.factors[part] if self.factors else common

    def penalties(self, network: Network) -> Array:
        """(P,) the penalties of a training with all rows: the geometric mean of those without each part."""
        common = network_penalties(network, self.strength)
        return common * np.exp(np.mean(np.log(self.factors), axis=0)) if self.factors else common


@dataclass(frozen=True)
class CrossFitted:
    """What rows left out say of a kind of member. stages: of the path, from strong to weak penalties; best: the one
    whose rows left out have the least loss. parts: into how many the rows were divided."""

    stages: tuple[Stage, ...]
    best: Stage
    parts: int

    def near(self, steps: int) -> Stage:
        """The stage so many steps of the path weaker than the best, or stronger where steps is below 0; the last one
        where the path ends before."""
        place = self.stages.index(self.best) + steps
        return self.stages[min(max(place, 0), len(self.stages) - 1)]

    def sentence(self, stage: Stage) -> str:
        """How the penalty of a stage was chosen, for `Solution.chosen`."""
        how = f"left out in {self.parts} folds" if self.parts > 1 else "held out"
        best = f"a penalty of {stage.strength:.3g}{_by_column(stage)} by the loss of rows {how}"
        return best if stage is self.best else f"{best}, which is least for {self.best.strength:.3g}"


def _by_column(stage: Stage) -> str:
    """What the sentence says of penalties by column."""
    if not stage.factors:
        return ""
    factors = np.exp(np.mean(np.log(stage.factors), axis=0))
    return f", from {factors.min():.2g} to {factors.max():.2g} times as strong on the weights of single columns,"


def cross_fit(
    network: Network,
    loss: Loss,
    rows: ArrayRows,
    division: Division,
    start: Callable[[int], Array],
    fit: FitOnPart,
    *,
    columns: NDArray[np.intp] | None = None,
    threads: int = 1,
    stop: Callable[[], None] = lambda: None,
) -> CrossFitted:
    """Train the network without each part in turn, along a path of penalties, and predict the rows left out.

    rows: in the units of training, all inputs of the network. start: the parameters from which the training without a
    part begins, by its number. fit: trains; its objective has the penalty. The path goes on for as long as the loss
    falls; where the first penalty was the best, stronger ones are tried. columns: (inputs,) the number of the column
    that each input is made of, where the weights of each may get a penalty of their own; None: the same penalty for
    all. threads: how many trainings go side by side.
    stop: called at Ctrl-C, and must end every fit soon. Raises EndedError where a fit was stopped from outside.
    """
    X, Y, weight, _ = rows.whole()
    left = division.left_out
    counted = np.ones(rows.n_rows) if weight is None else weight.astype(np.float64)
    bare = [TrainingObjective(network, loss, division.without(rows, part), 0.0) for part in range(division.parts)]
    outs = [division.of(part) for part in range(division.parts)]

    def stage(strength: float, points: Sequence[Array], factors: tuple[Array, ...] = ()) -> Stage:
        under = Stage(strength, np.inf, np.empty(0), factors=factors)

        def of_part(part: int) -> tuple[Array, Array, Array]:
            alpha = under.penalties_without(part, network)
            solution = fit(bare[part].with_alpha(alpha), points[part], part)
            if solution.status in (Status.STOPPED, Status.INTERRUPTED):
                raise EndedError(alpha, solution)
            with np.errstate(all="ignore"):
                z = network.linearize(solution.params, X[outs[part]]).output
            flat = not network.is_linear and float(np.ptp(z, axis=0).max(initial=0.0)) < _FLAT
            return solution.params, start(part) if flat else solution.params, z

        found = run_all(of_part, list(range(division.parts)), threads, stop)
        raw = np.full((rows.n_rows, network.n_outputs), np.nan)
        for out, (_, _, z) in zip(outs, found, strict=True):
            raw[out] = z
        with np.errstate(all="ignore"):
            of_row = loss.pointwise(Y[left].astype(np.float64), raw[left], 0).value
            mean = float(counted[left] @ of_row / counted[left].sum())
        ends, begins = (tuple(each[place] for each in found) for place in (0, 1))
        return Stage(strength, mean if np.isfinite(mean) else np.inf, raw, ends, begins, factors)

    of_regressions = _LEAST_PERCEPTRON if network.is_linear else _LEAST_REGRESSION
    least = of_regressions if loss.quadratic else _LEAST
    stages, best = _search(stage, [start(part) for part in range(division.parts)], least)
    if columns is None:
        return CrossFitted(stages, best, division.parts)
    found = _in_rounds(stage, best, partial(column_factors, network, columns=columns))
    return CrossFitted(tuple(found if each is best else each for each in stages), found, division.parts)


def _search(
    stage: Callable[[float, Sequence[Array]], Stage], points: Sequence[Array], least: float
) -> tuple[tuple[Stage, ...], Stage]:
    """The stages from strong to weak penalties, the weakest above `least`, and the best."""

    def follow(strength: float, ratio: float, points: Sequence[Array], best: float) -> list[Stage]:
        stages: list[Stage] = []
        worse = 0
        while least < strength < _MOST and worse < _PATIENCE:
            found = stage(strength, stages[-1].begins if stages else points)
            stages.append(found)
            worse = 0 if found.loss < best else worse + 1
            best = min(best, found.loss)
            strength /= ratio
        return stages

    stages = follow(_FIRST, _RATIO, points, np.inf)
    if all(later.loss >= stages[0].loss for later in stages[1:]):
        stronger = follow(_FIRST * _RATIO, 1.0 / _RATIO, stages[0].begins, stages[0].loss)
        stages = [*reversed(stronger), *stages]
    return tuple(stages), min(stages, key=lambda found: found.loss)


def _in_rounds(
    stage: Callable[[float, Sequence[Array], tuple[Array, ...]], Stage], best: Stage, learnt: Callable[[Array], Array]
) -> Stage:
    """The last stage by which the rows left out gain, from the best of the path on, where the training without each
    part goes on under the factors learnt from its own weights."""
    for _ in range(_ROUNDS):
        further = stage(best.strength, best.begins, tuple(learnt(params) for params in best.ends))
        if further.loss >= best.loss:
            break
        best = further
    return best


class CrossPredictions(NamedTuple):
    """Rows as models predict them that were trained without them, (n, k) each and nan for rows that were left out of no
    training, in units of training.

    raw: the raw predictions. variance: that of the mean, over the posterior of the model without the row, and noise:
    that of the targets around it; for a squared error, and None where it is not known. gained: what random intercepts
    of this kind's own add to the raw predictions; None where kinds are compared without. of_parts: (parts, n, k) what
    the training without each part says of all rows; None where the member itself has left the rows out.
    """

    raw: Array
    variance: Array | None = None
    noise: Array | None = None
    gained: Array | None = None
    of_parts: Array | None = None


def left_out_of(network: Network, loss: Loss, rows: ArrayRows, division: Division, stage: Stage) -> CrossPredictions:
    """What the models of a stage say of the rows that were left out. rows, division: as in `cross_fit`."""
    X, Y, weight, _ = rows.whole()
    of_parts = np.stack([network.output(params, X) for params in stage.ends])
    if not loss.quadratic:
        return CrossPredictions(stage.raw, of_parts=of_parts)
    weight = np.ones(len(Y)) if weight is None else weight.astype(np.float64)
    variance, noise = np.full(stage.raw.shape, np.nan), np.full(stage.raw.shape, np.nan)
    for part, params in enumerate(stage.ends):
        alpha = stage.penalties_without(part, network)
        objective = TrainingObjective(network, loss, division.without(rows, part), 0.0).with_alpha(alpha)
        posterior = posterior_at(objective, params)
        if posterior is None:
            return CrossPredictions(stage.raw, of_parts=of_parts)
        out, rest = division.of(part), np.flatnonzero(division.part != part)
        around = noise_around(posterior, X[rest], Y[rest], weight[rest])
        noise[out], variance[out] = around, around * mean_and_variance(posterior, X[out])[1]
    return CrossPredictions(stage.raw, variance, noise, of_parts=of_parts)
