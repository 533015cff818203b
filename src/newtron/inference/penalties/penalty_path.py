"""The penalty on all weights that the data choose: from a short path of penalties, each trained towards its optimum.

A network has many optima, and the optimum that a training reaches under a weaker penalty depends on its start. The path
goes from a strong penalty, under which few units do anything, to weaker ones. Each training starts at the optimum of
the one before. The path goes on for as long as the criterion improves: the evidence, or the leave-one-out loss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from newtron.engine.base.types import Array
from newtron.engine.base.words import count
from newtron.engine.maths.network import Network
from newtron.engine.objective import TrainingObjective
from newtron.engine.solvers import Solution, Status
from newtron.inference.penalties.evidence import Evidence, evidence_at, evidence_penalty, noise_variance
from newtron.inference.penalties.leave_one_out import leave_one_out, loo_penalty

# (alpha (P,), params, on_the_way) -> the optimum for alpha, searched from params; on the way a point near it.
Fit = Callable[[Array, Array, bool], Solution]

# The rules that choose a penalty, and by what. The last one is `training.cross_fit`.
RULES = {
    "evidence": "the evidence",
    "loo": "the approximate leave-one-out loss",
    "cv": "the loss of rows left out",
}

# Penalties in units of one row's loss in standardised targets: the first, the ratio of neighbours on the path, and the
# limits of the path, a little outside the powers of ten so that rounding leaves the last of these on the path.
_FIRST, _RATIO = 10.0**0.5, 10.0**0.5
_LEAST, _LEAST_SQUARES, _MOST = 0.9e-2, 0.9e-3, 1.1e3
# The path ends when so many penalties in a row were worse than the best.
_PATIENCE = 2


class EndedError(Exception):
    """A callback or Ctrl-C ended the search for a penalty; the point where it stopped is the result."""

    def __init__(self, alpha: Array, solution: Solution) -> None:
        super().__init__()
        self.alpha, self.solution = alpha, solution


@dataclass(frozen=True)
class PenalisedFit:
    """An optimum under the penalties alpha (P,), and the criteria by which penalties are compared.

    noise: variance of the targets around the prediction, 1 for classification. evidence, left_out: None where the
    curvature has no Cholesky factor, and left_out, the leave-one-out loss, where it was not asked for.
    """

    solution: Solution
    alpha: Array
    noise: float
    evidence: Evidence | None
    left_out: float | None

    def score(self, rule: str) -> float:
        """The criterion of a rule, larger for the better fit; -inf where it is not known."""
        if rule == "evidence":
            value = -np.inf if self.evidence is None else self.evidence.value
        else:
            value = -np.inf if self.left_out is None else -self.left_out
        return value if np.isfinite(value) else -np.inf


def penalised_fit(
    objective: TrainingObjective, alpha: Array, solution: Solution, *, rows: bool = False
) -> PenalisedFit:
    """An optimum for alpha with its criteria. rows: also the leave-one-out loss."""
    at = objective.with_alpha(alpha)
    evidence = evidence_at(at, solution.params)
    left_out = None if evidence is None or not rows else leave_one_out(at, solution.params, evidence.inverse).value
    effective = None if evidence is None else evidence.effective_parameters
    noise = noise_variance(at, solution.params, solution.value, effective)
    return PenalisedFit(solution, alpha, noise, evidence, left_out)


def penalty_by_rule(rule: str, objective: TrainingObjective, start: Array, fit: Fit) -> Array:
    """The penalties (P,) that `rule` ("evidence" or "loo") chooses.

    For a perceptron they are the stationary point of the criterion, for a network the best of the path from `start`.

    Raises EndedError where a fit was stopped from outside.
    """

    def until_stopped(alpha: Array, params: Array, on_the_way: bool) -> Solution:
        solution = fit(alpha, params, on_the_way)
        if solution.status in (Status.STOPPED, Status.INTERRUPTED):
            raise EndedError(alpha, solution)
        return solution

    if objective.is_linear:
        search = evidence_penalty if rule == "evidence" else loo_penalty
        return search(objective, lambda a, params: until_stopped(a, params, False), start)
    return max(_path(rule, objective, start, until_stopped), key=lambda stage: stage.score(rule)).alpha


def network_penalties(network: Network, strength: float) -> Array:
    """(P,) the same penalty on all parameters of a network except the intercepts of its output."""
    alpha = np.full(network.n_params, strength)
    if network.intercept:
        alpha[-network.n_outputs :] = 0.0
    return alpha


def _path(rule: str, objective: TrainingObjective, start: Array, fit: Fit) -> list[PenalisedFit]:
    """Stages from strong to weak penalties. Where the first was the best, stronger ones are tried before it."""
    least = _LEAST_SQUARES if objective.loss.quadratic else _LEAST

    def follow(strength: float, ratio: float, params: Array, best: float) -> list[PenalisedFit]:
        stages: list[PenalisedFit] = []
        worse = 0
        while least < strength < _MOST and worse < _PATIENCE:
            alpha = network_penalties(objective.network, strength)
            solution = fit(alpha, params, True)
            stages.append(penalised_fit(objective, alpha, solution, rows=rule == "loo"))
            value = stages[-1].score(rule)
            empty = _is_empty(stages[-1], objective)
            if not empty:
                worse = 0 if value > best else worse + 1
            # Without weights the gradient of a network vanishes: weaker penalties would never leave this point.
            params = start if empty else solution.params
            best = max(best, value)
            strength /= ratio
        return stages

    stages = follow(_FIRST, _RATIO, start, -np.inf)
    first = stages[0]
    if first.score(rule) < max(stage.score(rule) for stage in stages) or _is_empty(first, objective):
        return stages
    stronger = follow(_FIRST * _RATIO, 1.0 / _RATIO, first.solution.params, first.score(rule))
    return [*reversed(stronger), *stages]


def _is_empty(stage: PenalisedFit, objective: TrainingObjective) -> bool:
    """True where the data determine no weight at all."""
    evidence = stage.evidence
    return evidence is not None and float(evidence.determined[objective.network.is_weight].sum()) < 1.0


def determined_in_words(fit: PenalisedFit) -> str:
    """How many parameters the data determine, for `Solution.chosen`; "" where that is not known."""
    if fit.evidence is None:
        return ""
    determined = f"{fit.evidence.effective_parameters:.1f} of {count(fit.alpha.size, 'parameter')}"
    return f", under which the data determine {determined}"
