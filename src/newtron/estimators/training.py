"""From arrays to trained members: the shapes, the starts, the threads, and what became of each."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from newtron.estimators.scaling import Scaling
from newtron.inference.endpoint import Curvature, Endpoint, measure
from newtron.inference.information import Information, keep
from newtron.inference.laplace import Posterior, posterior_at
from newtron.losses import Loss
from newtron.network import Layer, Network
from newtron.objective import TrainingObjective
from newtron.parallel import run_all
from newtron.rows import ArrayRows
from newtron.solvers import Progress, Solution, Solver, Status, Stochastic, minimize, solver_named

Array = NDArray[np.floating]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Member:
    """One trained network of an average: its shape, its solution, and its share in the prediction.

    end: where it ended, for its certificate; None where it was not measured. information: what a perceptron keeps of
    its rows, for its summary; None where that would be large or has no meaning. posterior: how far the rows of a
    network determine its parameters, for its intervals; None where that would be large.
    """

    network: Network
    solution: Solution
    share: float = 1.0
    end: Endpoint | Curvature | None = field(default=None, repr=False, compare=False)
    information: Information | None = None
    posterior: Posterior | None = field(default=None, repr=False, compare=False)

    @property
    def hidden(self) -> Shape:
        """Units of each hidden layer."""
        return self.network.widths[1:-1]

    @property
    def params(self) -> Array:
        return self.solution.params

    @property
    def curvature(self) -> Curvature:
        """What second derivatives say of its end."""
        return self.end.curvature if isinstance(self.end, Endpoint) else self.end or Curvature()


@dataclass(frozen=True)
class Task:
    """All that training needs to know, in scaled units. Y (n, k), weight (n,) or None."""

    X: Any
    Y: Array
    weight: Array | None
    scaling: Scaling
    loss: Loss
    shapes: tuple[Shape, ...]
    n_starts: int
    activation: str
    intercept: bool
    alpha: float
    solver: str | Solver
    tol: float
    max_iter: int | None
    seed: int
    threads: int
    callback: Callable[[Progress], Any] | None


def train_members(task: Task) -> list[Member]:
    """Train every shape from every start, side by side; in the order of shapes, then starts.

    Ctrl-C ends all of them at their next step and keeps what they have; members not yet begun are left out.
    """
    # A perceptron, shape (), has one basin: further starts would find the same.
    jobs = [(shape, start) for shape in task.shapes for start in range(task.n_starts if shape else 1)]
    side_by_side = min(task.threads, len(jobs))
    stop = threading.Event()

    def train(job: tuple[int, tuple[Shape, int]]) -> Member | None:
        number, (shape, start) = job
        if stop.is_set():
            return None

        def after_step(progress: Progress) -> Any:
            if stop.is_set():
                raise KeyboardInterrupt
            if task.callback is None:
                return False
            return task.callback(replace(progress, member=number, members=len(jobs)))

        try:
            member = _train(task, shape, start, max(1, task.threads // side_by_side), after_step)
        except BaseException:
            stop.set()  # an error in one, a callback's say, is no reason to finish the others first
            raise
        if member.solution.status is Status.INTERRUPTED:
            stop.set()
        return member

    found = run_all(train, list(enumerate(jobs)), side_by_side, stop.set)
    return [member for member in found if member is not None]


def _train(task: Task, shape: Shape, start: int, threads: int, callback: Callable[[Progress], Any]) -> Member:
    network = Network((task.X.shape[1], *shape, task.Y.shape[1]), task.activation, task.intercept)
    objective = objective_of(task, network, threads)
    solver, chosen = solver_named(task.solver, objective)
    if isinstance(solver, Stochastic):
        solver = replace(solver, seed=solver.seed + task.seed + start)
    params = network.start(np.random.default_rng([task.seed, start, *shape]), np.zeros(network.n_outputs))
    solution = minimize(objective, params, solver, tol=task.tol, max_iter=task.max_iter, callback=callback)
    return member_of(task, objective, replace(solution, chosen=chosen))


def member_of(task: Task, objective: TrainingObjective, solution: Solution) -> Member:
    """A trained member, with what is measured at its end and kept of its rows."""
    network = objective.network
    end = measure(objective, solution)
    information = keep(objective, solution.params, solution.value)
    settle(network.split(solution.params)[-1], task.loss, penalised=task.alpha > 0.0)
    posterior = None if network.is_linear else posterior_at(objective, solution.params)
    return Member(network, solution, end=end, information=information, posterior=posterior)


def objective_of(task: Task, network: Network, threads: int) -> TrainingObjective:
    """What a member minimises: the mean loss over the scaled rows, plus the penalty."""
    rows = scaled_rows(task.X, task.Y, task.weight, task.scaling, threads)
    return TrainingObjective(network, task.loss, rows, task.alpha)


def scaled_rows(X: Any, Y: Array, weight: Array | None, scaling: Scaling, threads: int) -> ArrayRows:
    """The rows as they are trained on. Y in scaled units already."""
    changes = scaling.changes_inputs
    return ArrayRows(
        X,
        Y,
        weight,
        center=scaling.x_center if changes and np.any(scaling.x_center) else None,
        scale=scaling.x_scale if changes else None,
        threads=threads,
    )


def settle(output: Layer, loss: Loss, penalised: bool) -> None:
    """Fix what the loss cannot see, in place: softmax is the same when all classes shift together, so the shift
    that rounding left is taken out. Penalised weights have none at their optimum, and keep what they have."""
    if output.b is not None:
        output.b[:] = loss.visible(output.b[None, :])[0]
    if not penalised:
        output.W[:] = loss.visible(output.W)


def with_shares(members: list[Member], combine: str) -> list[Member]:
    """Shares of the members in the prediction: equal ("average"), or all to the lowest objective ("best")."""
    best = best_member(members)
    equal = 1.0 / len(members)
    return [
        replace(member, share=float(number == best) if combine == "best" else equal)
        for number, member in enumerate(members)
    ]


def best_member(members: list[Member]) -> int:
    """The member with the lowest objective; a value that is not finite is never the best."""
    values = [m.solution.value if np.isfinite(m.solution.value) else np.inf for m in members]
    return int(np.argmin(values))
