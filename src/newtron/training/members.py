"""From rows to trained members: the shapes, the starts, the threads, and what became of each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import NamedTuple, Protocol

import numpy as np

from newtron.engine.base.threads import cached_property, run_all
from newtron.engine.base.types import Array
from newtron.engine.maths.losses import Loss
from newtron.engine.maths.network import Layer, Network
from newtron.engine.maths.scaling import Scaling
from newtron.engine.objective import Objective, TrainingObjective
from newtron.engine.rows import Rows
from newtron.engine.solvers import (
    LevenbergMarquardt,
    Progress,
    Run,
    Solution,
    Solver,
    State,
    Status,
    Stochastic,
    minimize,
    solver_named,
)
from newtron.inference.certificate.endpoint import measure
from newtron.inference.coefficients.information import information_at
from newtron.inference.penalties.evidence import noise_variance
from newtron.inference.penalties.leave_one_out import stacking_shares
from newtron.inference.penalties.penalty_path import (
    EndedError,
    PenalisedFit,
    fits_by_rule,
    penalised_fit,
    with_description,
)
from newtron.inference.posterior import posterior_at
from newtron.training.fitted import Member, best_member
from newtron.training.settings import Shape

# Alpha where a network is too large for choosing it from the data: for the squared error of standardised targets, and
# for losses whose variance follows from the mean.
FALLBACK_ALPHA = {"squared error": 0.1, "other": 1.0}
# What choosing may cost: parameters of a network and of a perceptron, and rows x outputs x parameters² of one matrix.
_MATRIX, _MATRIX_PERCEPTRON, _CURVATURE_WORK = 1000, 5000, 7e9
# Iterations and tolerance of a stage on the way to the chosen penalty.
_STAGE, _ON_THE_WAY = 10, 1e-4
# By how much more evidence for each row, in nats, a perceptron gets the prediction rather than networks, and the width
# of the transition.
_AHEAD, _WIDTH = 0.05, 0.01


class Trained(NamedTuple):
    """A member, and the loss of each row by the model without it, (n,), where penalties were chosen."""

    member: Member
    left_out: Array | None = None


class Kind(NamedTuple):
    """A kind of member: the widths of its hidden layers, and how many inputs it takes, which are the first of all."""

    shape: Shape
    n_inputs: int


class Fit(Protocol):
    """Minimises an objective from some parameters; on the way to the chosen penalty, roughly."""

    def __call__(self, objective: TrainingObjective, params: Array, on_the_way: bool) -> Solution: ...


class Keeper(Protocol):
    """Where the runs of solvers are kept while they go on, so that a training that was stopped can be resumed."""

    def seed(self, drawn: int) -> int:
        """The seed of the training that is resumed, or the one that was drawn."""

    def run(self, member: int, stage: int, kind: type[State], n_params: int) -> Run | None:
        """The run that was kept of this stage of a member; None where there is none."""

    def keep(self, member: int, stage: int, run: Run) -> None:
        """Keep a run."""

    def close(self) -> None:
        """Keep all runs once more, at the end."""


@dataclass(frozen=True)
class Task:
    """All that the training of members needs to know.

    given: the rows in the user's units; scaling: the units of training. alpha: a number for every weight, (P,)
    penalties, or the rule that chooses them. weaker: whether each start gives a second member with a tenth of the
    chosen penalty. stack: whether the loss of each row by the model without it is wanted. steps: of a network under
    each penalty that is tried, from its start, and as many more under the best; None: along a path of penalties and
    then to the optimum. whole_rows: whether a row is left out with all of its weight.
    """

    given: Rows
    scaling: Scaling
    loss: Loss
    kinds: tuple[Kind, ...]
    n_starts: int
    activation: str
    intercept: bool
    alpha: float | str | Array
    weaker: bool
    stack: bool
    solver: str | Solver
    tol: float
    max_iter: int | None
    seed: int
    threads: int
    callback: Callable[[Progress], object] | None
    keeper: Keeper | None = None
    steps: int | None = None
    whole_rows: bool = False

    @property
    def jobs(self) -> list[tuple[Kind, int]]:
        """Kind and start of each member. A perceptron, shape (), has one basin: further starts find the same."""
        return [(kind, start) for kind in self.kinds for start in range(self.n_starts if kind.shape else 1)]

    @cached_property
    def rows(self) -> Rows:
        """The rows in the units of training, with all inputs."""
        return self.given.standardized(self.scaling)

    @cached_property
    def _rows_by_inputs(self) -> dict[int, Rows]:
        known = {self.scaling.n_inputs: self.rows}
        for n_inputs in {kind.n_inputs for kind in self.kinds} - set(known):
            known[n_inputs] = self.given.standardized(self.scaling.taking(n_inputs))
        return known

    def rows_of(self, network: Network) -> Rows:
        """The rows as a network of one of the kinds takes them."""
        return self._rows_by_inputs[network.widths[0]]

    def minimum(
        self,
        objective: Objective,
        params: Array,
        solver: Solver,
        *,
        tol: float,
        max_iter: int | None,
        callback: Callable[[Progress], object] | None,
        member: int = 0,
        stage: int = 0,
    ) -> Solution:
        """One stage of a member's training: it resumes the run that the keeper has of it, and keeps its own."""
        resume = keep = None
        if self.keeper is not None:
            resume = self.keeper.run(member, stage, solver.state_type, objective.n_params)
            keep = partial(self.keeper.keep, member, stage)
        return minimize(
            objective, params, solver, tol=tol, max_iter=max_iter, callback=callback, resume=resume, keep=keep
        )


def train_members(task: Task) -> list[Trained]:
    """Train every kind from every start, side by side; in the order of kinds, then starts.

    Ctrl-C ends all of them at their next step and keeps what they have; members not yet begun are left out.
    """
    jobs = task.jobs
    # Of a file there is one reader at a time: members side by side would each need memory of their own.
    side_by_side = 1 if task.given.rereads else min(task.threads, len(jobs))
    stop = threading.Event()

    def train(job: tuple[int, tuple[Kind, int]]) -> list[Trained]:
        number = job[0]
        if stop.is_set():
            return []

        def after_step(objective: TrainingObjective, progress: Progress) -> object:
            if stop.is_set():
                raise KeyboardInterrupt
            if task.callback is None:
                return False
            penalty = float(objective.alpha.max(initial=0.0))
            return task.callback(replace(progress, member=number, members=len(jobs), penalty=penalty))

        try:
            trained = _train(task, number, max(1, task.threads // side_by_side), after_step)
        except BaseException:
            stop.set()  # an error in one, a callback's say, is no reason to finish the others first
            raise
        if any(each.member.solution.status is Status.INTERRUPTED for each in trained):
            stop.set()
        return trained

    found = run_all(train, list(enumerate(jobs)), side_by_side, stop.set)
    return [trained for of_job in found for trained in of_job]


def _train(
    task: Task, number: int, threads: int, callback: Callable[[TrainingObjective, Progress], object]
) -> list[Trained]:
    kind, start = task.jobs[number]
    network = Network((kind.n_inputs, *kind.shape, task.given.n_outputs), task.activation, task.intercept)
    objective = objective_of(task, network, threads)
    stopped = task.steps is not None and not network.is_linear
    solver, chosen = stopped_by_rule(task.steps, objective) if stopped else solver_named(task.solver, objective)
    if isinstance(solver, Stochastic):
        solver = replace(solver, seed=solver.seed + task.seed + start)
    # Targets are passed over for their mean only where the loss starts there.
    mean = objective.target_mean if task.loss.starts_at_mean else np.zeros(network.n_outputs)
    params = network.start(np.random.default_rng([task.seed, start, *kind.shape]), task.loss.start(mean))
    stages = count()

    def fit(objective: TrainingObjective, params: Array, on_the_way: bool) -> Solution:
        tol, most = (max(task.tol, _ON_THE_WAY), task.steps or _STAGE) if on_the_way else (task.tol, task.max_iter)
        told = partial(callback, objective)
        return task.minimum(
            objective, params, solver, tol=tol, max_iter=most, callback=told, member=number, stage=next(stages)
        )

    if isinstance(task.alpha, str):
        if stopped or can_choose(objective, solver):
            return _chosen(task, objective, params, fit, chosen)
        fallback = FALLBACK_ALPHA["squared error" if task.loss.quadratic else "other"]
        objective = TrainingObjective(network, task.loss, objective.rows, fallback)
        chosen += f"; too large for a penalty by the rule {task.alpha!r}, so the penalty is {fallback:g}"
    solution = fit(objective, params, False)
    return [Trained(member_of(task, objective, replace(solution, chosen=chosen)))]


def _chosen(task: Task, objective: TrainingObjective, params: Array, fit: Fit, chosen: str) -> list[Trained]:
    """Members with penalties from the data."""
    rule = str(task.alpha)
    try:
        ends = fits_by_rule(
            rule,
            objective,
            params,
            lambda alpha, start, on_the_way: fit(objective.with_alpha(alpha), start, on_the_way),
            weaker=task.weaker,
            rows=task.stack,
            cold=task.steps is not None,
        )
    except EndedError as ended:
        ends = [penalised_fit(objective, ended.alpha, ended.solution, rows=task.stack)]
    found = []
    for end in (with_description(rule, end, chosen) for end in ends):
        left_out = None if end.left_out is None else end.left_out.loss
        found.append(Trained(member_of(task, objective.with_alpha(end.alpha), end.solution, end), left_out))
    return found


def can_choose(objective: TrainingObjective, solver: Solver) -> bool:
    """Is the matrix of curvature that both rules need cheap enough?"""
    P, rows = objective.n_params, objective.rows
    if objective.is_linear:
        return P <= _MATRIX_PERCEPTRON
    return affords_choice(P, rows.n_rows, rows.n_outputs) and not isinstance(solver, Stochastic)


def stopped_by_rule(steps: int | None, objective: TrainingObjective) -> tuple[Solver, str]:
    """The solver of a mix whose networks are not taken to an optimum, and why."""
    return LevenbergMarquardt(stop_after=steps), (
        f"a network with {objective.n_params:,} parameters and {objective.rows.n_rows:,} rows: the way to an optimum "
        f"is long and predictions gain little from it, so it takes {steps} steps and {steps} more once its penalty is "
        "chosen; "
        "the solver 'levenberg-marquardt' goes to the optimum"
    )


def affords_choice(n_params: int, n_rows: int, n_outputs: int) -> bool:
    """Can a network of this size have its penalty chosen from the data?"""
    return n_params <= _MATRIX and n_rows * n_outputs * n_params**2 <= _CURVATURE_WORK


def member_of(task: Task, objective: TrainingObjective, solution: Solution, fit: PenalisedFit | None = None) -> Member:
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
        log_evidence=float("nan") if evidence is None else float(evidence.value),
        effective_parameters=float("nan") if evidence is None else float(evidence.effective_parameters),
        end=end,
        information=information,
        posterior_factor=None if posterior is None else posterior.factor,
    )


def objective_of(task: Task, network: Network, threads: int) -> TrainingObjective:
    """Return the objective of a member: the mean loss over the scaled rows plus the penalty, if one is chosen."""
    alpha = 0.0 if isinstance(task.alpha, np.ndarray | str) else task.alpha
    found = TrainingObjective(network, task.loss, task.rows_of(network).on_threads(threads), alpha)
    found.whole_rows = task.whole_rows
    return found.with_alpha(task.alpha) if isinstance(task.alpha, np.ndarray) else found


def settle(output: Layer, loss: Loss, penalised: bool) -> None:
    """Fix what the loss cannot see, in place: softmax is the same when all classes shift together, so the shift
    that rounding left is taken out. Penalised weights have none at their optimum, and keep what they have."""
    if output.b is not None:
        output.b[:] = loss.visible(output.b[None, :])[0]
    if not penalised:
        output.W[:] = loss.visible(output.W)


def with_shares(trained: list[Trained], combine: str, rows: Rows) -> tuple[Member, ...]:
    """Shares of the members in the prediction: equal ("average"), all to one ("best"), those under which the rows left
    out were most probable ("stacking"), or by evidence between perceptron and networks ("evidence"); the last two are
    equal where what they need was not computed."""
    members = [each.member for each in trained]
    shares = shares_of(members, combine)
    losses = [each.left_out for each in trained if each.left_out is not None]
    if combine == "stacking" and len(losses) == len(members):
        shares = stacking_shares(np.array(losses), rows.weights())
    elif combine == "evidence":
        shares = _by_evidence(members, rows.total_weight)
    return tuple(replace(member, share=float(share)) for member, share in zip(members, shares, strict=True))


def shares_of(members: Sequence[Member], combine: str) -> Array:
    """Shares that follow from the members alone: all to the best, or equal ones."""
    n = len(members)
    return np.eye(n)[best_member(members)] if combine == "best" else np.full(n, 1.0 / n)


def _by_evidence(members: Sequence[Member], rows: float) -> Array:
    """Equal shares of the networks, beside a perceptron's by how its evidence compares with their best.

    Networks predict better than their evidence says, so that of a perceptron must be greater by `_AHEAD` nat a row.
    """
    evidence = np.array([member.log_evidence for member in members])
    linear = np.array([not member.hidden for member in members])
    if linear.all() or not linear.any() or not np.isfinite(evidence).all():
        return np.full(len(members), 1.0 / len(members))
    ahead = (float(evidence[linear].max()) - float(evidence[~linear].max())) / rows
    share = float(1.0 / (1.0 + np.exp(np.clip((_AHEAD - ahead) / _WIDTH, -50.0, 50.0))))
    if not 0.01 < share < 0.99:
        share = float(np.round(share))  # a share of next to nothing would only cost time when predicting
    shares: Array = np.where(linear, share / linear.sum(), (1.0 - share) / (~linear).sum())
    return shares
