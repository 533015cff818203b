"""One penalty for all weights of a network, from a short path of penalties, each run towards its optimum.

A network has many optima, and where a weaker penalty ends depends on where it starts. The path goes from a strong
penalty, under which few units do anything, to weaker ones, each from the optimum of the one before, for as long as the
data's judgement improves: the evidence, or the leave-one-out loss. Then the best is run to its optimum. Evidence
prefers penalties that are too strong for one member among several: an average wants some that are free to differ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.words import count
from newtron.engine.objective import TrainingObjective
from newtron.engine.solvers import Solution, Status
from newtron.inference.penalties.evidence import Evidence, evidence_at, evidence_penalty, noise_variance
from newtron.inference.penalties.rows_left_out import LeftOut, leave_one_out, loo_penalty

Array = NDArray[np.floating]
# (alpha (P,), params, whether on the way) -> the optimum, or on the way a point near it.
Fit = Callable[[Array, Array, bool], Solution]

RULES = ("evidence", "loo")

# Penalties in units of one row's loss in standardised targets: the first, the ratio of neighbours, and the limits.
_FIRST, _RATIO = 10.0**0.5, 10.0**0.5
_LIMITS = {"regression": (0.9e-3, 1.1e3), "classification": (0.9e-2, 1.1e3)}
# So many stages on is the weaker penalty, a tenth of the chosen one.
_WEAKER = 2
# The path ends when this many penalties in a row were judged worse than the best.
_WORSE = 2


class EndedError(Exception):
    """A callback or Ctrl-C ended the search; the point it stopped at is the answer."""

    def __init__(self, alpha: Array, solution: Solution) -> None:
        super().__init__()
        self.alpha, self.solution = alpha, solution


@dataclass(frozen=True)
class Fitted:
    """An optimum and what the data say of it. alpha: (P,). evidence, left_out: None where A has no factor."""

    solution: Solution
    alpha: Array
    noise: float
    evidence: Evidence | None
    left_out: LeftOut | None

    def judged(self, rule: str) -> float:
        """Larger is better; -inf where it cannot be told."""
        if rule == "evidence":
            value = -np.inf if self.evidence is None else self.evidence.value
        else:
            value = -np.inf if self.left_out is None else -self.left_out.value
        return value if np.isfinite(value) else -np.inf


def fitted(objective: TrainingObjective, alpha: Array, solution: Solution, *, rows: bool) -> Fitted:
    """What the data say of an optimum for alpha; rows: also the predictions for rows left out."""
    at = objective.with_alpha(alpha)
    known = evidence_at(at, solution.params)
    left_out = None if known is None or not rows else leave_one_out(at, solution.params, known.inverse)
    noise = noise_variance(at, solution.params, solution.value, None if known is None else known.effective_parameters)
    return Fitted(solution, alpha, noise, known, left_out)


def by_rule(
    rule: str, objective: TrainingObjective, start: Array, fit: Fit, *, weaker: bool, rows: bool, cold: bool = False
) -> list[Fitted]:
    """Optima with the penalty that `rule` ("evidence" or "loo") chooses: one of a perceptron, by the stationary point
    itself; of a network the best of the path, and with `weaker` also one a tenth as strong, or the weakest where the
    path ends before. rows: with the predictions for rows left out. cold: penalties ten apart, each from `start`, in the
    place of the path.

    Raises EndedError where a fit was stopped from outside.
    """

    def until_stopped(alpha: Array, params: Array, on_the_way: bool) -> Solution:
        solution = fit(alpha, params, on_the_way)
        if solution.status in (Status.STOPPED, Status.INTERRUPTED):
            raise EndedError(alpha, solution)
        return solution

    if objective.is_linear:
        search = evidence_penalty if rule == "evidence" else loo_penalty
        alpha = search(objective, lambda a, params: until_stopped(a, params, False), start)
        return [fitted(objective, alpha, until_stopped(alpha, start, False), rows=rows)]
    found = _path(rule, objective, start, until_stopped, cold)
    best = max(range(len(found)), key=lambda number: found[number].judged(rule))
    wanted = [found[best]]
    if weaker and best + 1 < len(found):
        wanted.append(found[min(best + (1 if cold else _WEAKER), len(found) - 1)])
    ends = []
    for stage in wanted:
        solution = until_stopped(stage.alpha, stage.solution.params, False)
        ends.append(fitted(objective, stage.alpha, solution, rows=rows))
    return ends


def penalties(objective: TrainingObjective, strength: float) -> Array:
    """(P,) the strength for all parameters of a network but the intercepts of its output."""
    alpha = np.full(objective.n_params, strength)
    if objective.network.intercept:
        alpha[-objective.network.n_outputs :] = 0.0
    return alpha


def _path(rule: str, objective: TrainingObjective, start: Array, fit: Fit, cold: bool) -> list[Fitted]:
    """Stages from strong to weak penalties; stronger ones than the first where that was the best."""
    least, most = _LIMITS[objective.loss.task]
    apart, patience = (_RATIO**2, 1) if cold else (_RATIO, _WORSE)

    def follow(strength: float, ratio: float, params: Array, best: float) -> list[Fitted]:
        stages: list[Fitted] = []
        worse = 0
        while least < strength < most and worse < patience:
            alpha = penalties(objective, strength)
            solution = fit(alpha, params, True)
            stages.append(fitted(objective, alpha, solution, rows=rule == "loo"))
            value = stages[-1].judged(rule)
            empty = _is_empty(stages[-1], objective)
            if not empty:
                worse = 0 if value > best else worse + 1
            # Without weights the gradient of a network vanishes: weaker penalties would never leave this point.
            params = start if cold or empty else solution.params
            best = max(best, value)
            strength /= ratio
        return stages

    stages = follow(_FIRST, apart, start, -np.inf)
    first = stages[0]
    if first.judged(rule) < max(stage.judged(rule) for stage in stages):
        return stages
    if _is_empty(first, objective):
        return stages
    began = start if cold else first.solution.params
    stronger = follow(_FIRST * apart, 1.0 / apart, began, first.judged(rule))
    return [*reversed(stronger), *stages]


def _is_empty(stage: Fitted, objective: TrainingObjective) -> bool:
    """Do the data determine no weight at all?"""
    known = stage.evidence
    return known is not None and float(known.determined[objective.network.is_weight].sum()) < 1.0


def described(rule: str, end: Fitted) -> str:
    """How the penalty was chosen, in words for `Solution.chosen`."""
    strength = float(end.alpha.max(initial=0.0))
    by = "the evidence" if rule == "evidence" else "the approximate leave-one-out loss"
    words = f"alpha={strength:.3g} by {by}"
    if end.evidence is not None:
        determined = f"{end.evidence.effective_parameters:.1f} of {count(end.alpha.size, 'parameter')}"
        words += f", under which the data determine {determined}"
    return words


def with_words(rule: str, end: Fitted, chosen: str) -> Fitted:
    """The same with the choice of solver and penalty in its solution."""
    return replace(end, solution=replace(end.solution, chosen=f"{chosen}; {described(rule, end)}"))
