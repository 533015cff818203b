"""From rows to trained members: the shapes, the starts, the threads, and what became of each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import count
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.threads import run_all
from newtron.engine.base.types import Array
from newtron.engine.maths.losses import Loss
from newtron.engine.maths.network import Layer, Network
from newtron.engine.objective import TrainingObjective
from newtron.engine.solvers import (
    LevenbergMarquardt,
    Progress,
    Solution,
    Solver,
    Status,
    Stochastic,
    solver_named,
)
from newtron.engine.solvers.state import relative_gradient
from newtron.inference.certificate.endpoint import measure
from newtron.inference.coefficients.information import information_at
from newtron.inference.penalties.by_column import common_penalty
from newtron.inference.penalties.evidence import noise_variance
from newtron.inference.penalties.penalty_path import (
    RULES,
    EndedError,
    PenalisedFit,
    determined_in_words,
    network_penalties,
    penalised_fit,
    penalty_by_rule,
)
from newtron.inference.posterior import posterior_at
from newtron.inference.predictive.promise import LeftOutParts
from newtron.inference.predictive.stacking import stacking_shares
from newtron.training.batches import STEPS_BESIDE, batch_solver, ended, penalty_in_batches, worth_training
from newtron.training.cross_fit import CrossPredictions, cross_fit, left_out_of
from newtron.training.fitted import Member, best_member
from newtron.training.task import Kind, Task

# What choosing by curvature may cost: parameters of a network and of a perceptron, and rows x outputs x parameters² of
# one matrix.
_MATRIX, _MATRIX_PERCEPTRON, _CURVATURE_WORK = 1000, 5000, 7e9
# By how many steps of the path of penalties the members of a kind are weaker than the best penalty, start by start:
# members that differ make a better average, and the rows left out say how much of each.
_SPREAD = (0, 2, -1)
# Tolerance and iterations of a stage on the way to the chosen penalty, by solver: steps of L-BFGS are shorter and its
# decrement proves little, and one iteration in batches is an epoch. A relative gradient of 1e-2 leaves less than a
# thousandth of the loss to gain; on nine sets penalties and losses were those of 1e-4, at two thirds of the time. Fewer
# steps leave trainings without some rows so far from their optima that too weak penalties look good.
_STAGE: dict[type[Solver], tuple[float, int]] = {LevenbergMarquardt: (1e-2, 8), Stochastic: (1e-4, 5)}
_STAGE_OTHERS = (1e-4, 30)
# Where the loss of a perceptron of the columns on the rows left out is below this, networks have nothing to add: one
# hundred-thousandth of the targets' standard deviation; a thousandth of a nat a row for other losses.
_EXPLAINED = {"squared error": 0.5e-10, "other": 1e-3}
# The penalty where so few rows are different that none can be left out.
_WITHOUT_FOLDS = 1.0
TOO_FEW_ROWS = "too few rows differ to leave any out"


class Trained(NamedTuple):
    """A member, and what models of its kind say of the rows that are looked at when they are trained without them; None
    where the penalty was not chosen by these."""

    member: Member
    left_out: CrossPredictions | None = None


class Choice(NamedTuple):
    """The penalties (P,) of a member, how they were chosen in words, and the rows that were left out for it.

    explained: whether a perceptron explains these, so that no network is worth its time. start: where the training
    without some of the rows ended, from which it is not far; None: it begins at random. trained: the training under
    these penalties that was one of those tried; loss: of the rows that it held out; nan where it is not one in batches.
    """

    alpha: Array
    sentence: str = ""
    left_out: CrossPredictions | None = None
    explained: bool = False
    start: Array | None = None
    trained: Solution | None = None
    loss: float = float("nan")
    gained: Array | None = None


class _Told(Protocol):
    """Called after each step of a solver; a true answer ends the run."""

    def __call__(self, objective: TrainingObjective, progress: Progress) -> object: ...


def train_members(task: Task) -> list[Trained]:
    """Choose the penalty of every kind, and train it from every start, side by side; in the order of kinds, then
    starts.

    Ctrl-C ends all of them at their next step and keeps what they have; members not yet begun are left out.
    """
    jobs = task.jobs
    stop = threading.Event()

    def told(number: int) -> _Told:
        def after_step(objective: TrainingObjective, progress: Progress) -> object:
            if stop.is_set():
                raise KeyboardInterrupt
            if task.callback is None:
                return False
            penalty = common_penalty(objective.network, objective.alpha)
            return task.callback(replace(progress, member=number, members=len(jobs), penalty=penalty))

        return after_step

    choices: dict[Kind, list[Choice]] = {}
    for kind in task.kinds:
        try:
            beside = min((of_kind[0].loss for of_kind in choices.values()), default=np.inf)
            choices[kind] = _choices(task, kind, told(jobs.index((kind, 0))), stop.set, beside)
        except _EndedError as ended:
            return [*_trained_so_far(task, choices, ended.member.solution.status), Trained(ended.member)][:1]
        if task.spread and choices[kind][0].explained:
            return [_train(task, jobs.index((kind, 0)), choices[kind][0], task.threads, told(jobs.index((kind, 0))))]
    choices = {kind: _gaining(task, kind, of_kind) for kind, of_kind in choices.items()}
    worth = dict(zip(choices, worth_training([of_kind[0].loss for of_kind in choices.values()]), strict=True))

    def train(job: tuple[int, tuple[Kind, int]]) -> list[Trained]:
        number, (kind, start) = job
        if stop.is_set() or not worth[kind]:
            return []
        try:
            trained = _train(task, number, choices[kind][start], max(1, task.threads // side_by_side), told(number))
        except BaseException:
            stop.set()  # an error in one, a callback's say, is no reason to finish the others first
            raise
        if trained.member.solution.status is Status.INTERRUPTED:
            stop.set()
        return [trained]

    # Of a file there is one reader at a time: members side by side would each need memory of their own.
    side_by_side = 1 if task.given.rereads else min(task.threads, len(jobs))
    found = run_all(train, list(enumerate(jobs)), side_by_side, stop.set)
    return [trained for of_job in found for trained in of_job]


def _trained_so_far(task: Task, choices: dict[Kind, list[Choice]], status: Status) -> list[Trained]:
    """The member of the least held-out loss among those that the search for penalties has trained; none where it has
    trained no member. status: how the search was ended."""
    trained = [(of_kind[0], kind) for kind, of_kind in choices.items() if of_kind[0].trained is not None]
    if not trained:
        return []
    choice, kind = min(trained, key=lambda each: each[0].loss)
    assert choice.trained is not None
    stopped = choice._replace(trained=replace(choice.trained, status=status))
    return [_train(task, task.jobs.index((kind, 0)), stopped, task.threads, lambda *_: False)]


def _train(task: Task, number: int, choice: Choice, threads: int, told: _Told) -> Trained:
    """The member of a start, under the penalties of its kind."""
    kind, start = task.jobs[number]
    objective = objective_of(task, kind, threads).with_alpha(choice.alpha)
    solver, chosen = _solver(task, kind, objective, start)
    solution = choice.trained
    if solution is None:
        solution = task.minimum(
            objective,
            _start(task, objective, start) if choice.start is None else choice.start,
            solver,
            tol=task.tol,
            max_iter=task.max_iter,
            callback=partial(told, objective),
            member=number,
        )
    if not choice.sentence:
        return Trained(member_of(task, kind, objective, replace(solution, chosen=chosen)))
    fit, described = None, f"{chosen}; {choice.sentence}"
    if kind in task.in_batches:
        raw = task.held_out_of(kind).raw(objective.network, solution.params)
        member = member_of(task, kind, objective, replace(solution, chosen=described))
        return Trained(member, CrossPredictions(raw, gained=choice.gained))
    if can_choose(objective, solver):
        fit = penalised_fit(objective, choice.alpha, solution)
        described += determined_in_words(fit)
    left_out = choice.left_out if choice.left_out is None else choice.left_out._replace(gained=choice.gained)
    return Trained(member_of(task, kind, objective, replace(solution, chosen=described), fit), left_out)


def _start(task: Task, objective: TrainingObjective, start: int) -> Array:
    # Targets are passed over for their mean only where the loss starts there.
    network = objective.network
    mean = objective.target_mean if task.loss.starts_at_mean else np.zeros(network.n_outputs)
    return network.start(np.random.default_rng([task.seed, start, *network.widths[1:-1]]), task.loss.start(mean))


def _solver(task: Task, kind: Kind, objective: TrainingObjective, start: int) -> tuple[Solver, str]:
    """The solver of a member, and why."""
    n, P = task.given.n_rows, objective.n_params
    if kind in task.in_batches:
        return batch_solver(task.effort, n, task.loss, task.seed + start), (
            f"a network with {P:,} parameters and {n:,} rows: so large that it is trained on batches, and stopped by "
            "rows that are held out; the solver 'lbfgs' goes to the optimum"
        )
    if task.in_batches and kind.shape:
        return LevenbergMarquardt(stop_after=STEPS_BESIDE), (
            f"a network with {P:,} parameters, {STEPS_BESIDE} steps of which are enough beside those trained on batches"
        )
    solver, chosen = solver_named(task.solver, objective)
    if isinstance(solver, Stochastic):
        solver = replace(solver, seed=solver.seed + task.seed + start)
    return solver, chosen


# The penalty of a kind of member


class _EndedError(Exception):
    """A callback or Ctrl-C ended the search for a penalty; the member is what there was until then."""

    def __init__(self, member: Member) -> None:
        super().__init__()
        self.member = member


def _choices(task: Task, kind: Kind, told: _Told, stop: Callable[[], None], beside: float) -> list[Choice]:
    """The penalties of the members of a kind, start by start. stop: called at Ctrl-C."""
    objective = objective_of(task, kind, task.threads)
    if not isinstance(task.alpha, str):
        return [Choice(objective.alpha)] * task.n_starts
    solver, _ = _solver(task, kind, objective, 0)
    try:
        if kind in task.in_batches:
            return _by_rows_held_out(task, kind, objective, solver, told, beside)
        if task.alpha != "cv" and can_choose(objective, solver):
            return [_by_curvature(task, task.alpha, kind, objective, solver, told)] * task.n_starts
        return _by_rows_left_out(task, kind, objective, solver, told, stop)
    except EndedError as ended:
        at = objective.with_alpha(ended.alpha)
        found = at.evaluate(ended.solution.params, 1)
        solution = replace(
            ended.solution,
            value=found.value,
            gradient=found.gradient,
            gradient_norm=relative_gradient(at, found.gradient),
            note="It was ended while its penalty was looked for.",
        )
        raise _EndedError(member_of(task, kind, at, solution)) from None


def _on_the_way(task: Task, solver: Solver) -> tuple[float, int]:
    """Tolerance and steps of a training on the way to the chosen penalty. A limit on steps is one of the training that
    follows: so it can be raised when that is resumed."""
    tol, most = _STAGE.get(type(solver), _STAGE_OTHERS)
    return max(task.tol, tol), most


def _by_curvature(
    task: Task, rule: str, kind: Kind, objective: TrainingObjective, solver: Solver, told: _Told
) -> Choice:
    """By the evidence or the approximate leave-one-out loss, from trainings with all rows."""
    stages = count()

    def fit(alpha: Array, params: Array, on_the_way: bool) -> Solution:
        tol, most = _on_the_way(task, solver) if on_the_way else (task.tol, task.max_iter)
        at, kept = objective.with_alpha(alpha), task.kept_for(kind, 0)
        return task.minimum(
            at, params, solver, tol=tol, max_iter=most, callback=partial(told, at), member=kept, stage=next(stages)
        )

    alpha = penalty_by_rule(rule, objective, _start(task, objective, 0), fit)
    return Choice(alpha, f"a penalty of {common_penalty(objective.network, alpha):.3g} by {RULES[rule]}")


def _by_rows_left_out(
    task: Task, kind: Kind, objective: TrainingObjective, solver: Solver, told: _Told, stop: Callable[[], None]
) -> list[Choice]:
    """By the loss of rows that are really left out."""
    if not task.division.usable:
        alpha = network_penalties(objective.network, _WITHOUT_FOLDS)
        return [Choice(alpha, f"a penalty of {_WITHOUT_FOLDS:g}, since {TOO_FEW_ROWS}")] * task.n_starts
    tol, most = _on_the_way(task, solver)
    # Batches are for many rows, where one part says enough.
    division = task.division.first_only if isinstance(solver, Stochastic) else task.division
    stages = [count() for _ in range(division.parts)]

    def fit(at: TrainingObjective, params: Array, part: int) -> Solution:
        kept = task.kept_for(kind, part)
        return task.minimum(
            at,
            params,
            solver,
            tol=tol,
            max_iter=most,
            callback=partial(told, at),
            member=kept,
            stage=next(stages[part]),
        )

    network, rows = objective.network, task.looked_at.standardized(task.scaling_of(kind))
    found = cross_fit(
        network,
        task.loss,
        rows,
        division,
        partial(_start, task, objective),
        fit,
        columns=_columns_penalised_apart(task, network),
        threads=1 if task.given.rereads else task.threads,
        stop=stop,
    )
    enough = _EXPLAINED["squared error" if task.loss.quadratic else "other"]
    explained = objective.is_linear and not kind.first and found.best.loss < enough
    known: dict[float, CrossPredictions] = {}
    choices = []
    # Weaker penalties than the best spoil the members of a regression, whose intervals they make too narrow.
    spread = task.spread and task.loss.task == "classification"
    for start in range(task.n_starts):
        stage = found.near(_SPREAD[start % len(_SPREAD)]) if spread else found.best
        if stage.strength not in known:
            known[stage.strength] = left_out_of(network, task.loss, rows, division, stage)
        alpha = stage.penalties(network)
        # Trainings without different parts began at different starts.
        near = stage.begins[start] if start < len(stage.begins) and not network.is_linear else None
        loss = found.best.loss if task.in_batches else float("nan")
        choices.append(Choice(alpha, found.sentence(stage), known[stage.strength], explained, near, loss=loss))
    return choices


def _columns_penalised_apart(task: Task, network: Network) -> NDArray[np.intp] | None:
    """(inputs,) the number of the column that each input is made of, where columns may differ in their penalty. None
    for perceptrons and for classes, which gain nothing by it."""
    apart = task.loss.task == "regression" and not network.is_linear and len(np.unique(task.columns)) > 1
    return task.columns[task.scaling.made_of[: network.widths[0]]] if apart else None


def _by_rows_held_out(
    task: Task, kind: Kind, objective: TrainingObjective, solver: Solver, told: _Told, beside: float
) -> list[Choice]:
    """By the loss of the rows that trainings in batches hold out. beside: the least such loss of another kind."""
    network, stages, held_out = objective.network, count(), task.held_out_of(kind)
    start = _start(task, objective, 0)

    def fit(strength: float) -> Solution:
        at = objective.with_alpha(network_penalties(network, strength))
        told_at, kept = partial(told, at), task.kept_for(kind, 0)
        return task.minimum(
            at, start, solver, tol=task.tol, max_iter=task.max_iter, callback=told_at, member=kept, stage=next(stages)
        )

    best, _ = penalty_in_batches(objective, held_out, fit, task.effort.penalties, beside)
    alpha = network_penalties(network, best.strength)
    if ended(best.solution):
        raise EndedError(alpha, best.solution)
    sentence = f"a penalty of {best.strength:.3g} by the loss of {len(task.held_out):,} rows held out"
    others = [Choice(alpha, sentence)] * (task.n_starts - 1)
    return [Choice(alpha, sentence, trained=best.solution, loss=best.loss), *others]


def _gaining(task: Task, kind: Kind, choices: list[Choice]) -> list[Choice]:
    """The choices of a kind with what random intercepts add to its predictions of rows left out.

    So kinds are compared with their intercepts: a network that knows the values of a column by heart leaves little to
    these. On inner parts of power networks that take pieces of columns have an error of 2.89 with intercepts and 3.27
    without, others 2.74 and 3.8.
    """
    of_kind = choices[0]
    params = of_kind.start if of_kind.trained is None else of_kind.trained.params
    if task.gained is None or params is None:
        return choices
    network, rows = task.network_of(kind), task.looked_at.standardized(task.scaling_of(kind))
    X, Y, weight, _ = rows.whole()
    raw = network.output(params, X.astype(np.float64, copy=False))
    gained = task.gained(raw)
    if gained is None:
        return choices
    out = task.division.of(0)
    lost = task.loss.pointwise(Y[out].astype(np.float64), raw[out] + gained[out], 0).value
    loss = float(np.average(lost, weights=None if weight is None else weight[out]))
    return [each._replace(loss=loss, gained=gained) for each in choices]


def can_choose(objective: TrainingObjective, solver: Solver) -> bool:
    """Is the matrix of curvature that both rules need cheap enough?"""
    P, rows = objective.n_params, objective.rows
    if objective.is_linear:
        return P <= _MATRIX_PERCEPTRON
    return affords_choice(P, rows.n_rows, rows.n_outputs) and not isinstance(solver, Stochastic)


def affords_choice(n_params: int, n_rows: int, n_outputs: int) -> bool:
    """Can a network of this size have its penalty chosen from the data?"""
    return n_params <= _MATRIX and n_rows * n_outputs * n_params**2 <= _CURVATURE_WORK


def member_of(
    task: Task, kind: Kind, objective: TrainingObjective, solution: Solution, fit: PenalisedFit | None = None
) -> Member:
    """A trained member, with what is measured at its end and kept of its rows. fit: with the
    criteria that chose its penalty."""
    network = objective.network
    before = solution.params.copy()
    settle(network.split(solution.params)[-1], task.loss, penalised=bool(objective.alpha.any()))
    objective.reuse_hessian(before, solution.params)
    end = measure(objective, solution)
    if solution.converged and end.on_plateau:
        solution = replace(solution, status=Status.PLATEAU)
    ended = solution.status in (Status.INTERRUPTED, Status.STOPPED)
    information = information_at(objective, solution.params, solution.value, interrupted=ended)
    posterior = None if network.is_linear else posterior_at(objective, solution.params)
    evidence = None if fit is None else fit.evidence
    if fit is None:
        effective = None if posterior is None else posterior.effective
        noise = noise_variance(objective, solution.params, solution.value, effective)
    else:
        noise = fit.noise
    return Member(
        network,
        solution,
        objective.alpha,
        noise,
        first_input=kind.first,
        log_evidence=float("nan") if evidence is None else float(evidence.value),
        effective_parameters=float("nan") if evidence is None else float(evidence.effective_parameters),
        end=end,
        information=information,
        posterior_factor=None if posterior is None else posterior.factor,
    )


def kind_of_member(member: Member) -> Kind:
    """The kind that a member is of."""
    return Kind(member.hidden, member.network.widths[0], member.first_input)


def objective_of(task: Task, kind: Kind, threads: int) -> TrainingObjective:
    """Return the objective of a member: the mean loss over the scaled rows plus the penalty, if one is chosen."""
    alpha = 0.0 if isinstance(task.alpha, np.ndarray | str) else task.alpha
    found = TrainingObjective(task.network_of(kind), task.loss, task.rows_of(kind).on_threads(threads), alpha)
    found.whole_rows = task.whole_rows
    if kind in task.in_batches:
        found = found.holding_out(task.held_out)
    return found.with_alpha(task.alpha) if isinstance(task.alpha, np.ndarray) else found


def settle(output: Layer, loss: Loss, penalised: bool) -> None:
    """Fix what the loss cannot see, in place: softmax is the same when all classes shift together, so the shift
    that rounding left is taken out. Penalised weights have none at their optimum, and keep what they have."""
    if output.b is not None:
        output.b[:] = loss.visible(output.b[None, :])[0]
    if not penalised:
        output.W[:] = loss.visible(output.W)


def with_shares(trained: list[Trained], task: Task) -> tuple[Member, ...]:
    """Shares of the members in the prediction: equal ("average"), all to one ("best"), or those under which the average
    predicts the rows left out best ("stacking"), which are equal where no rows were left out."""
    members = [each.member for each in trained]
    shares = shares_of(members, task.combine)
    left_out = rows_left_out(task, trained) if task.combine == "stacking" else None
    if left_out is not None:
        kind = left_out.kind
        of_kind = stacking_shares(task.loss, left_out.Y, left_out.raw + left_out.gained, left_out.weight)
        shares = of_kind[kind] / np.bincount(kind)[kind]
    return tuple(replace(member, share=float(share)) for member, share in zip(members, shares, strict=True))


class RowsLeftOut(NamedTuple):
    """Rows that were left out: targets (n, k) and weights (n,) in units of training, and raw predictions (M, n, k) by
    models without them, one for each kind of member and each penalty.

    kind: which of these each member is. rows: their numbers among the rows that are looked at. gained: (M, n, k) what
    intercepts of a kind's own add to its predictions, 0 where there are none. variance, noise: (M, n, k) as in
    `CrossPredictions`, None where a kind does not know them. parts: what the trainings without each part say of all of
    these rows; None where there is but one part, or a member has left the rows out itself.
    """

    Y: Array
    raw: Array
    weight: Array
    kind: NDArray[np.intp]
    rows: NDArray[np.intp]
    gained: Array | float = 0.0
    variance: Array | None = None
    noise: Array | None = None
    parts: LeftOutParts | None = None

    def averaged(self, members: Sequence[Member]) -> Array:
        """(n, k) the raw predictions by the members' shares."""
        shares = np.bincount(self.kind, [member.share for member in members])
        return np.asarray(np.tensordot(shares, self.raw, axes=1))


def rows_left_out(task: Task, trained: Sequence[Trained]) -> RowsLeftOut | None:
    """The rows that every kind of member has left out; None where there are none.

    Members of a kind with the same penalty say the same of a row, or only some of them were trained without it: their
    mean is taken.
    """
    keys = [(kind_of_member(each.member), each.member.alpha.tobytes()) for each in trained]
    by_kind: dict[tuple[Kind, bytes], list[CrossPredictions]] = {}
    for key, each in zip(keys, trained, strict=True):
        if each.left_out is None:
            return None
        by_kind.setdefault(key, []).append(each.left_out)
    raw = np.stack([_mean_of_known([each.raw for each in found]) for found in by_kind.values()])
    variances = [[each.variance for each in found if each.variance is not None] for found in by_kind.values()]
    noises = [[each.noise for each in found if each.noise is not None] for found in by_kind.values()]
    kept = np.flatnonzero(np.isfinite(raw).all(axis=(0, 2)))
    if not kept.size:
        return None
    variance = np.stack([_mean_of_known(found)[kept] for found in variances]) if all(variances) else None
    noise = np.stack([_mean_of_known(found)[kept] for found in noises]) if all(noises) else None
    _, Y, weight, _ = task.looked_at.standardized(task.scaling).whole()
    known = list(by_kind)
    kind = np.array([known.index(key) for key in keys])
    weight = np.ones(len(Y)) if weight is None else weight.astype(np.float64)
    first = [found[0].gained for found in by_kind.values()]
    gained = np.stack([np.zeros_like(raw[0][kept]) if each is None else each[kept] for each in first])
    Y, raw, weight, parts = Y[kept].astype(np.float64), raw[:, kept], weight[kept], None
    of_parts = [found[0].of_parts for found in by_kind.values() if found[0].of_parts is not None]
    if task.division.parts > 1 and [len(each) for each in of_parts] == [task.division.parts] * len(raw):
        parts = LeftOutParts(Y, weight, task.division.part[kept], raw, np.stack(of_parts)[:, :, kept])
    return RowsLeftOut(Y, raw, weight, kind, kept, gained, variance, noise, parts)


def _mean_of_known(found: list[Array]) -> Array:
    """The mean of arrays (n, k) over those that are not nan; nan where all are."""
    if all(each is found[0] for each in found):
        return found[0]
    known = [~np.isnan(each) for each in found]
    total = sum(np.where(there, each, 0.0) for there, each in zip(known, found, strict=True))
    with np.errstate(invalid="ignore"):
        return np.asarray(total / np.sum(known, axis=0))


def shares_of(members: Sequence[Member], combine: str) -> Array:
    """Shares that follow from the members alone: all to the best, or equal ones."""
    n = len(members)
    return np.eye(n)[best_member(members)] if combine == "best" else np.full(n, 1.0 / n)
