"""Gradient descent: a fixed learning rate as in the textbooks, with momentum if wished, or a line search."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from newtron.engine.base.checks import check_number
from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array
from newtron.engine.objective import Objective
from newtron.engine.solvers.ends import at_precision
from newtron.engine.solvers.line_search import seen_at, wolfe
from newtron.engine.solvers.state import Solver, State, Status, after_step, unset


@dataclass(frozen=True)
class GradientDescentState(State):
    """velocity: (P,) the last step, for momentum. next_step: first trial step length of the next line search."""

    velocity: Array = field(default_factory=unset)
    next_step: float = 0.0


@dataclass(frozen=True)
class GradientDescent(Solver):
    """params <- params - learning_rate * gradient, of the mean loss.

    Parameters
    ----------
    learning_rate : float or None
        A fixed rate; None searches along the gradient for a step that satisfies the Wolfe conditions, first trying the
        step of Barzilai & Borwein 1988.
    momentum : float
        The share of the last step that is added to the next (Polyak 1964); only with a fixed rate.

    Examples
    --------
    >>> import numpy as np
    >>> from newtron import GradientDescent, PerceptronRegressor
    >>> x, y = np.array([[1.0], [2.0], [3.0]]), np.array([2.0, 4.0, 5.0])
    >>> model = PerceptronRegressor(solver=GradientDescent(learning_rate=0.1), tol=1e-8).fit(x, y)
    >>> model.coef_.round(6), round(model.intercept_, 6)
    (array([1.5]), 0.666667)
    """

    learning_rate: float | None = None
    momentum: float = 0.0

    name: ClassVar[str] = "gradient-descent"
    state_type: ClassVar[type[State]] = GradientDescentState
    default_max_iter: ClassVar[int] = 10_000

    def __post_init__(self) -> None:
        if self.learning_rate is not None:
            check_number("learning_rate", self.learning_rate, above=0.0)
        check_number("momentum", self.momentum, least=0.0, below=1.0)
        if self.momentum and self.learning_rate is None:
            raise InputError("momentum needs a fixed learning_rate: give one, or leave momentum at 0.")

    def init(self, objective: Objective, params: Array) -> GradientDescentState:
        found = objective.evaluate(params, 1)
        return GradientDescentState(params, found.value, found.gradient, velocity=np.zeros_like(params))

    def step(self, objective: Objective, state: GradientDescentState) -> State:
        if self.learning_rate is None:
            return self._searched(objective, state)
        velocity = self.momentum * state.velocity - self.learning_rate * state.gradient
        found = objective.evaluate(state.params + velocity, 1)
        if not (np.isfinite(found.value) and np.isfinite(found.gradient).all()):
            note = f"A learning_rate below {self.learning_rate:g} may help."
            return replace(state, status=Status.DIVERGED, note=note)
        return replace(after_step(objective, state, velocity, found), velocity=velocity)

    def _searched(self, objective: Objective, state: GradientDescentState) -> State:
        direction = -state.gradient
        squared = float(state.gradient @ state.gradient)
        first = state.next_step or 1.0 / max(1e-300, float(np.sqrt(squared)))
        noise = 10.0 * objective.epsilon * abs(state.value)
        found = wolfe(objective.along(state.params, direction), state.value, -squared, first, noise)
        if found is None:
            return at_precision(objective, state)
        t, point = found
        following = after_step(objective, state, t * direction, seen_at(objective, state.params + t * direction, point))
        change = following.gradient - state.gradient
        # Barzilai-Borwein: the step length that the curvature along the last step asks for.
        bend = t * float(direction @ change)
        return replace(following, next_step=t * t * squared / bend if bend > 0.0 else 2.0 * t)
