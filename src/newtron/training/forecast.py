"""How long a training will take, told before it is spent: a short timing of one pass, times the passes planned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.threads import one_blas_thread
from newtron.engine.base.words import count, setting
from newtron.engine.objective import TrainingObjective
from newtron.engine.solvers import minimize
from newtron.training.batches import HELD_OUT, batch_solver, epochs_of
from newtron.training.effort import EFFORTS
from newtron.training.members import affords_choice
from newtron.training.task import Kind, Task

# Rows that a pass is timed on, at most.
_TIMED_ROWS = 4000
# Passes of a training to an optimum, and of the search for its penalty without one part of the rows: with a matrix of
# curvature each, and with a gradient each where there are too many parameters for a matrix.
_WITH_MATRIX, _WITH_GRADIENT = (60, 50), (500, 300)
# The share of the planned epochs after which rows that are held out have stopped a training in batches, about.
_EPOCHS_TAKEN = 0.8
# A forecast of fewer seconds than this is not told.
_WORTH_TELLING = 2.0


@dataclass(frozen=True)
class Forecast:
    """What a training of networks will take, before it has begun.

    seconds, members: of this training, and of one with effort="fast". fast: whether this is one. How many steps an
    optimum will need is not known beforehand, so that it may as well be half or twice as long.
    """

    seconds: float
    members: int
    fast: bool
    seconds_fast: float
    members_fast: int

    @property
    def sentence(self) -> str:
        """What is told before the training; "" where it will be short."""
        if self.seconds < _WORTH_TELLING:
            return ""
        told = f"about {_rounded(self.seconds)} for {count(self.members, 'network')}"
        if self.fast:
            return told
        effort = setting("effort", repr("fast"))
        return f"{told}; {effort} trains {self.members_fast:,} in about {_rounded(self.seconds_fast)}"


def _rounded(seconds: float) -> str:
    """One digit, since a forecast has no more: '3 s', '40 s', '2 min'."""
    if seconds >= 90.0:
        return f"{float(f'{seconds / 60.0:.1g}'):,.0f} min"
    return f"{max(1.0, float(f'{seconds:.1g}')):.0f} s"


def forecast_of(task: Task, fast: bool) -> Forecast:
    """The forecast for a task, from the time of one pass with a network of each kind. fast: whether its effort is."""
    less = EFFORTS["fast"]
    quick = replace(task, effort=less, n_starts=less.members if task.in_batches else less.starts)
    with one_blas_thread(), np.errstate(all="ignore"):
        once = {kind: _seconds_of_a_pass(task, kind) for kind in task.kinds}
    seconds, members = [], []
    for each in (task, quick):
        passes = sum(once[kind] * _passes(each, kind) for kind in each.kinds)
        seconds.append(passes / (1 if task.given.rereads else max(1, min(task.threads, len(each.jobs)))))
        members.append(sum(bool(kind.shape) for kind, _ in each.jobs))
    return Forecast(seconds[0], members[0], fast, seconds[1], members[1])


def _passes(task: Task, kind: Kind) -> float:
    """The passes over all rows that the members of a kind take together."""
    if not kind.shape:
        return 0.0  # what a perceptron takes beside networks does not count
    if kind in task.in_batches:
        trainings = task.effort.penalties - 1 + task.starts_of(kind)
        return trainings * epochs_of(task.effort, task.given.n_rows, task.loss) * _EPOCHS_TAKEN
    to_optimum, in_search = _WITH_MATRIX if _has_matrix(task, kind) else _WITH_GRADIENT
    return to_optimum * task.starts_of(kind) + in_search * (task.division.parts if isinstance(task.alpha, str) else 0)


def _has_matrix(task: Task, kind: Kind) -> bool:
    network = task.network_of(kind)
    return affords_choice(network.n_params, task.given.n_rows, network.n_outputs)


def _seconds_of_a_pass(task: Task, kind: Kind) -> float:
    """The seconds of one pass over all rows, measured on some of them."""
    if not kind.shape:
        return 0.0
    network = task.network_of(kind)
    rows = task.rows_of(kind).sample(_TIMED_ROWS, np.random.default_rng(0))
    objective = TrainingObjective(network, task.loss, rows, 1.0)
    params = network.start(np.random.default_rng(0), np.zeros(network.n_outputs))
    if kind in task.in_batches:
        solver = batch_solver(task.effort, task.given.n_rows, task.loss, 0)
        held_out: NDArray[np.intp] = np.arange(0, rows.n_rows, HELD_OUT)
        trace = minimize(objective.holding_out(held_out), params, solver, max_iter=2).trace
        taken = trace[-1].seconds - trace[-2].seconds if len(trace) > 1 else 0.0
    else:
        order = 2 if _has_matrix(task, kind) else 1
        objective.evaluate(params, order, gauss_newton=True)
        started = perf_counter()
        objective.evaluate(1.01 * params, order, gauss_newton=True)  # what is known of the last point costs no time
        taken = perf_counter() - started
    return taken * task.given.n_rows / rows.n_rows
