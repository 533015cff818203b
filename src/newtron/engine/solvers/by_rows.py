"""The quadratic model by QR of the rows, where columns of a perceptron are so alike that its Hessian cannot tell them
apart.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from newtron.engine.base.linalg import factorize
from newtron.engine.base.types import Array
from newtron.engine.objective import Objective, SecondOrder
from newtron.engine.objective.newton_system import NewtonSystem

# What is known of the columns. NEAR: some nearly depend on each other, so that the objective is evaluated in extended
# precision and steps come from a `NewtonSystem`. DEPENDENT: some exactly depend on each other and no others nearly, for
# which the Hessian is enough. "": nothing is known yet.
NEAR, DEPENDENT = "near", "dependent"


class LocalModel(NamedTuple):
    """The quadratic model at a point.

    found: what was evaluated there, again where the objective has since changed to extended precision. columns: what is
    known of the columns. system: the model by the rows; None where the Hessian is as good."""

    found: SecondOrder
    columns: str
    system: NewtonSystem | None


def local_model(objective: Objective, params: Array, found: SecondOrder, condition: float, columns: str) -> LocalModel:
    """The model at params. condition: of the Hessian in `found`, in equilibrated columns. columns: what was known so
    far."""
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


# A point is still called converged where rounding its parameters raises the value by at most this share of it.
LITTLE = 2e-7
# Share of the rows that are asked first: where the Hessian of this sample tells the columns apart, that of all rows
# does.
_SAMPLE = 0.05


def hidden_descent(objective: Objective, params: Array) -> float:
    """How far the value of a perceptron may still fall though neither gradient nor Hessian shows it, since columns
    nearly depend on each other; 0 where the Hessian tells them apart."""
    if objective.keeps_digits:
        return 0.0
    sample = objective.sampled(_SAMPLE)
    found, system = 0.0, None
    for some in (sample, objective) if sample is not objective else (objective,):
        hessian = some.evaluate(params, 2).hessian
        factor = factorize(some.determined(hessian))
        system = some.newton_system(params, hessian, np.inf if factor is None else factor.condition)
        if system is None or not system.has_near_dependence:
            return 0.0
        found = 0.5 * system.decrement**2
    return found
