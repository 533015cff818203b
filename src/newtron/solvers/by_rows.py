"""The quadratic model by the rows themselves, where a perceptron's Hessian has lost what tells columns apart."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from newtron.objective import Evaluation, Objective
from newtron.objective.whitened import System
from newtron.solvers.base import State, Status

Array = NDArray[np.floating]

# The rounding of the parameters may raise the value of a converged end by this share of it.
_LITTLE = 2e-7

# What is known of the columns: some nearly depend on each other, so that the objective is careful and steps come from a
# `System`; or some exactly do and no others nearly, for which the Hessian is enough. "": nothing yet.
NEAR, DEPENDENT = "near", "dependent"


class View(NamedTuple):
    """What was evaluated at a point, anew where the objective has become careful. system: the quadratic model there,
    None where the Hessian is as good."""

    found: Evaluation
    columns: str
    system: System | None


def view(objective: Objective, params: Array, found: Evaluation, condition: float, columns: str) -> View:
    """condition: of the Hessian in `found`, in equilibrated columns. columns: what was known so far."""
    if columns == DEPENDENT:
        return View(found, columns, None)
    assert found.hessian is not None
    system = objective.newton_system(params, found.hessian, condition)
    if system is None or columns:
        return View(found, columns, system)
    if not system.near:
        return View(found, DEPENDENT, None)
    objective.careful = True
    found = objective.evaluate(params, 2)
    assert found.hessian is not None
    return View(found, NEAR, objective.newton_system(params, found.hessian, condition))


S = TypeVar("S", bound=State)


def at_rounding(state: S, perfect: float = 0.0) -> S:
    """The end where no doubles are nearer to the optimum: columns depend on each other so closely that rounding their
    coefficients costs what is left to be gained. perfect: so little of the value is nothing, either."""
    if 0.5 * state.decrement**2 <= max(_LITTLE * abs(state.value), perfect):
        return replace(state, status=Status.PRECISION)
    note = "Columns depend on each other so closely that rounding their coefficients hides the lowest value."
    return replace(state, status=Status.STALLED, note=f"{note} {state.note}".strip())
