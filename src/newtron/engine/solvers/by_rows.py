"""The quadratic model by the rows themselves, where a perceptron's Hessian has lost what tells columns apart."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from newtron.engine.base.linalg import factorize
from newtron.engine.base.types import Array
from newtron.engine.objective import Objective, SecondOrder
from newtron.engine.objective.newton_system import NewtonSystem

# What is known of the columns: some nearly depend on each other, so that the objective is careful and steps come from a
# `NewtonSystem`; or some exactly do and no others nearly, for which the Hessian is enough. "": nothing yet.
NEAR, DEPENDENT = "near", "dependent"


class LocalModel(NamedTuple):
    """What was evaluated at a point, anew where the objective has become careful. system: the quadratic model there,
    None where the Hessian is as good."""

    found: SecondOrder
    columns: str
    system: NewtonSystem | None


def local_model(objective: Objective, params: Array, found: SecondOrder, condition: float, columns: str) -> LocalModel:
    """condition: of the Hessian in `found`, in equilibrated columns. columns: what was known so far."""
    if columns == DEPENDENT:
        return LocalModel(found, columns, None)
    system = objective.newton_system(params, found.hessian, condition)
    if system is None or columns:
        return LocalModel(found, columns, system)
    if not system.has_near_dependence:
        return LocalModel(found, DEPENDENT, None)
    objective.extended_precision = True
    found = objective.evaluate(params, 2)
    return LocalModel(found, NEAR, objective.newton_system(params, found.hessian, condition))


# Rounding the parameters may raise the value of a converged end by this share of it. A sample whose columns are told
# apart by its Hessian (this share of the rows, and no fewer than make one) spares the look at all rows.
LITTLE, _SAMPLE = 2e-7, 0.05


def hidden_descent(objective: Objective, params: Array) -> float:
    """By how much the value of a perceptron may still fall where no gradient or Hessian shows it, since columns nearly
    depend on each other: 0 where they are told apart."""
    sample = objective.sampled(_SAMPLE)
    found, system = 0.0, None
    for some in (sample, objective) if sample is not objective else (objective,):
        hessian = some.evaluate(params, 2).hessian
        factor = factorize(hessian)
        system = some.newton_system(params, hessian, np.inf if factor is None else factor.condition)
        if system is None or not system.has_near_dependence:
            return 0.0
        found = 0.5 * system.decrement**2
    return found
