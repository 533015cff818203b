"""Newton's method with the exact Hessian.

Where the Hessian is positive definite and the step lies inside the trust region it is the plain Newton step:
one step solves a least-squares perceptron. Elsewhere the trust-region problem is solved exactly from an
eigendecomposition (Moré & Sorensen 1983; Nocedal & Wright, ch. 4), so negative curvature is followed downhill
and a step that fails only shrinks the region.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from newtron.engine.base.checks import check_flag, check_number
from newtron.engine.base.linalg import eigh, factorize, newton_step
from newtron.engine.base.types import Array
from newtron.engine.objective import Evaluation, Objective, Offer, SecondOrder
from newtron.engine.objective.newton_system import NewtonSystem
from newtron.engine.solvers.by_rows import NEAR, local_model
from newtron.engine.solvers.ends import (
    at_parameter_rounding,
    at_precision,
    below_rounding,
    check_start,
    decrement_of,
    is_nearer,
    next_radius,
    sufficient_decrease,
)
from newtron.engine.solvers.state import DERIVED, Solver, State, Status, step_length, unset

# A radius from here on counts as no limit: its square would overflow.
_NO_LIMIT = 1e150
# Trial steps from one point at most; each failure divides the radius by 4 or more, so 60 reach any step that counts.
_TRIES = 60
# An entry of the metric is never below this share of the largest one.
_LEAST_SHARE = 1e-8
# The least share where the metric fades.
_LEAST_FADING_SHARE = 1e-4
# Share of an entry that is kept from point to point at least, where the metric fades. With it, the least share above
# and the first radius below Newton's method solves 91 of the 103 starts of Moré, Garbow & Hillstrom within 300 steps
# (tests/engine/test_true_ends.py), and without fading 85.
_FADING = 0.9
# First radius where the metric fades, as a share of the length of Newton's step with independent parameters.
_FIRST_SHARE = 0.1
# A least-squares fit that leaves less than this share of the value at the start is perfect within rounding.
_PERFECT = 1e-20


@dataclass(frozen=True)
class NewtonState(State):
    """hessian: at params. plain: the plain Newton step from there, None where the Hessian is indefinite. radius: of the
    trust region, in the norm of `_metric`. metric: (P,) where it depends on former points, else None. sure: the last
    step was taken at its first try, so the next trial is evaluated with its Hessian at once. columns, system: the local
    model of `by_rows`, for a perceptron whose Hessian has lost digits."""

    hessian: Array = field(default_factory=unset, metadata=DERIVED)
    plain: Array | None = field(default=None, metadata=DERIVED)
    system: NewtonSystem | None = field(default=None, metadata=DERIVED)
    columns: str = ""
    radius: float = float("inf")
    metric: Array | None = None
    sure: bool = True


@dataclass(frozen=True)
class Newton(Solver):
    """Exact Newton steps in a trust region.

    Parameters
    ----------
    radius : float or None
        The first trust region, inf for none. None: no trust region for a perceptron, whose Hessian is positive
        semidefinite under a convex loss; 1 for a network; for an objective without a scale a tenth of the length of
        Newton's step with independent parameters, or the whole length where it is convex.
    damped : bool
        False takes every plain step -H⁻¹g unchanged, for demonstration: it may diverge or end at a saddle.

    Notes
    -----
    Method: Moré & Sorensen 1983.

    Examples
    --------
    >>> import numpy as np
    >>> from newtron import Newton, PerceptronRegressor
    >>> x, y = np.array([[1.0], [2.0], [3.0]]), np.array([2.0, 4.0, 5.0])
    >>> PerceptronRegressor(solver=Newton()).fit(x, y).n_iter_  # a parabola: one step
    1
    """

    radius: float | None = None
    damped: bool = True

    name: ClassVar[str] = "newton"
    state_type: ClassVar[type[State]] = NewtonState
    default_max_iter: ClassVar[int] = 500
    needs: ClassVar[tuple[Offer, ...]] = ("hessian",)
    exact_decrement: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.radius not in (None, np.inf):
            check_number("radius", self.radius, above=0.0)
        check_flag("damped", self.damped)

    def init(self, objective: Objective, params: Array) -> NewtonState:
        if objective.extended_precision:
            objective.extended_precision = False
        found = objective.evaluate(params, 2)
        check_start(objective, found)
        radius = self.radius
        if radius is None:
            radius = np.inf if objective.is_linear else 1.0
            if objective.scale is None:
                # The length that Newton's step would have if the parameters were independent.
                length = float(np.linalg.norm(found.gradient / _metric(objective, found.hessian)))
                radius = max(1.0, length) if objective.is_convex else _FIRST_SHARE * length
        metric = _metric(objective, found.hessian) if _fades(objective) else None
        return _seen(objective, NewtonState(params, found.value, found.gradient, radius=radius, metric=metric), found)

    def restored(self, objective: Objective, state: NewtonState) -> NewtonState:
        if objective.extended_precision != (state.columns == NEAR):
            objective.extended_precision = state.columns == NEAR
        found = objective.evaluate(state.params, 2)
        if objective.is_quadratic and state.iteration:
            factor = factorize(found.hessian)
            objective.solve_quadratic(factor.condition if factor else np.inf)  # for the triangle that it keeps
        return _seen(objective, state, replace(found, value=state.value, gradient=state.gradient))

    def step(self, objective: Objective, state: NewtonState) -> NewtonState:
        if state.iteration == 0 and objective.is_quadratic:
            factor = factorize(state.hessian)
            exact = objective.solve_quadratic(factor.condition if factor else np.inf)
            if exact is not None:
                at_optimum = _with_hessian(objective, state, exact.params)
                # The residuals were carried to 32 digits, so the gradient that is seen here is rounding.
                at_end = self._accept(objective, state, exact.params, at_optimum)
                at_end = replace(at_end, decrement=(2.0 * exact.lost) ** 0.5, note=exact.note)
                return at_parameter_rounding(at_end, perfect=_PERFECT * abs(state.value))
        elif objective.is_quadratic and state.decrement <= 10.0 * objective.epsilon * abs(state.value) ** 0.5:
            return at_precision(objective, state, exact=True)  # after the one step only rounding is left
        if not self.damped:
            return self._undamped(objective, state)
        metric = _metric(objective, state.hessian) if state.metric is None else state.metric
        plain, system = state.plain, state.system
        region = _Region(state, metric)
        radius = state.radius
        for attempt in range(_TRIES):
            direct = plain is not None and np.linalg.norm(plain * metric) <= radius
            step = plain if direct and plain is not None else region.step(radius)
            if system is None:
                predicted = -float(state.gradient @ step + 0.5 * step @ (state.hessian @ step))
            else:
                predicted = system.decrease(step)
            if not predicted > 0.0:
                return _ended(objective, state)
            trial = state.params + step
            last = system is not None and predicted <= system.rounding(trial)
            # A first trial is nearly always taken, so its derivatives are computed with its value.
            at_once = (attempt == 0 and state.sure) or objective.is_quadratic
            found: Evaluation = _with_hessian(objective, state, trial) if at_once else objective.evaluate(trial, 0)
            worth = sufficient_decrease(objective, state, predicted, found.value)
            if worth is not False:
                if not isinstance(found, SecondOrder):
                    found = _with_hessian(objective, state, trial)
                moved = self._accept(objective, state, trial, found, predicted, radius, metric, sure=attempt == 0)
                if worth or is_nearer(objective, moved, state):
                    return at_parameter_rounding(moved) if last else moved
                if below_rounding(objective, state, predicted):
                    return _ended(objective, state)
            if last:
                return at_parameter_rounding(state)
            length = float(np.linalg.norm(step * metric))
            radius = 0.25 * length
        return _ended(objective, state)

    def _accept(
        self,
        objective: Objective,
        state: NewtonState,
        params: Array,
        found: SecondOrder,
        predicted: float = 0.0,
        radius: float = np.inf,
        metric: Array | float = 1.0,
        sure: bool = True,
    ) -> NewtonState:
        ratio = (state.value - found.value) / predicted if predicted > 0.0 else 1.0
        step = params - state.params
        length = float(np.linalg.norm(step * metric))
        moved = replace(
            state,
            params=params,
            iteration=state.iteration + 1,
            step_size=step_length(objective, step),
            radius=next_radius(radius, length, ratio),
            metric=_metric(objective, found.hessian, state.metric) if _fades(objective) else state.metric,
            sure=sure,
        )
        return _seen(objective, moved, found)

    def _undamped(self, objective: Objective, state: NewtonState) -> NewtonState:
        try:
            step = -np.linalg.solve(state.hessian, state.gradient)
        except np.linalg.LinAlgError:
            return replace(state, status=Status.STALLED, note="The Hessian is singular.")
        params = state.params + step
        found = objective.evaluate(params, 2)
        if not np.isfinite(found.value):
            return replace(state, status=Status.DIVERGED)
        return self._accept(objective, state, params, found)


def _ended(objective: Objective, state: NewtonState) -> NewtonState:
    """The end where no step lowers the value."""
    return at_precision(objective, state, exact=True) if state.system is None else at_parameter_rounding(state)


def _seen(objective: Objective, state: NewtonState, found: SecondOrder) -> NewtonState:
    """The state with what was evaluated there, and the plain step that follows from it."""
    plain, condition = newton_step(objective.determined(found.hessian), found.gradient)
    system = None
    if not objective.is_quadratic:
        found, columns, system = local_model(objective, state.params, found, condition, state.columns)
        state = replace(state, columns=columns)
    decrement = decrement_of(plain, found.gradient)
    if system is not None:
        plain, decrement = system.step(), system.decrement
    return replace(
        state,
        value=found.value,
        gradient=found.gradient,
        hessian=found.hessian,
        plain=plain,
        system=system,
        decrement=decrement,
    )


def _with_hessian(objective: Objective, state: NewtonState, params: Array) -> SecondOrder:
    """Value, gradient and Hessian at params; a quadratic objective has the Hessian of `state` everywhere."""
    if not objective.is_quadratic:
        return objective.evaluate(params, 2)
    found = objective.evaluate(params, 1)
    return SecondOrder(found.value, found.gradient, state.hessian)


def _fades(objective: Objective) -> bool:
    """Does the metric depend on former points? A function without a scale that is not convex may have its minimum far
    from the start, beyond points where a parameter has no curvature."""
    return objective.scale is None and not objective.is_convex


def _metric(objective: Objective, hessian: Array, before: Array | None = None) -> Array:
    """(P,) Lengths are measured as ‖metric * step‖, so that the trust region does not depend on units.

    before: the metric at the point before, where it `_fades`: a parameter that has just lost its curvature cannot move
    far at once."""
    if objective.scale is not None and not objective.is_linear:
        return objective.scale
    diagonal = np.sqrt(np.abs(np.diagonal(hessian)))
    largest = float(diagonal.max(initial=0.0)) or 1.0
    if not _fades(objective):
        return np.maximum(diagonal, _LEAST_SHARE * largest)
    diagonal = np.maximum(diagonal, _LEAST_FADING_SHARE * largest)
    return diagonal if before is None else np.maximum(diagonal, _FADING * before)


class _Region:
    """The trust-region problem min g's + ½ s'Hs, ‖metric s‖ <= radius, for any radius from one eigendecomposition."""

    def __init__(self, state: NewtonState, metric: Array) -> None:
        self._state, self._metric = state, metric
        self._eigen: tuple[Array, Array, Array] | None = None

    def _decomposed(self) -> tuple[Array, Array, Array]:
        if self._eigen is None:
            if self._state.system is not None:
                self._eigen = self._state.system.eigen(self._metric)
                return self._eigen
            scaled = self._state.hessian / self._metric / self._metric[:, None]
            values, V = eigh(scaled)
            self._eigen = values, V, V.T @ (self._state.gradient / self._metric)
        return self._eigen

    def step(self, radius: float) -> Array:
        values, V, g = self._decomposed()
        largest = float(np.abs(values).max(initial=0.0)) or 1.0
        tiny = len(values) * np.finfo(np.float64).eps * largest
        if values[0] > -tiny:
            # Positive semidefinite: the minimiser itself, shortest where directions are flat.
            flat = values <= tiny
            s = np.where(flat, 0.0, -g / np.where(flat, 1.0, values))
            if np.linalg.norm(s) <= radius and np.abs(g[flat]).max(initial=0.0) <= 1e-12 * np.abs(g).max():
                return np.asarray((V @ s) / self._metric)
        if not 0.0 < radius < _NO_LIMIT:
            radius = max(1.0, float(np.linalg.norm(self._state.params * self._metric)))
        shift = self._shift(values, g, radius, max(0.0, -values[0]), tiny)
        s = -g / (values + shift)
        length = float(np.linalg.norm(s))
        if length < radius and values[0] < -tiny:
            # The hard case (Moré & Sorensen): the gradient has no part along the most negative direction, as at a
            # saddle. The step goes along this direction to the edge.
            s[0] += np.copysign(np.sqrt(radius * radius - length * length), s[0])
        return np.asarray((V @ s) / self._metric)

    @staticmethod
    def _shift(values: Array, g: Array, radius: float, lowest: float, tiny: float) -> float:
        """λ >= -(smallest eigenvalue) with ‖(H + λ)^-1 g‖ = radius within 0.1 %, by Newton's method on 1/‖s‖ in a
        bracket."""
        low = lowest + max(tiny, 1e-14)
        high = max(low * 2.0, lowest + float(np.linalg.norm(g)) / radius + tiny)
        shift = low
        for _ in range(100):
            s = g / (values + shift)
            length = float(np.linalg.norm(s))
            if length < radius:
                high = shift
                if shift == low or length > (1.0 - 1e-3) * radius:
                    break
            elif length <= (1.0 + 1e-3) * radius:
                break
            else:
                low = shift
            slope = float(np.sum(np.square(s) / (values + shift)))
            shift += (length / radius - 1.0) * length * length / slope if slope > 0.0 else high
            if not low < shift < high:
                shift = 0.5 * (low + high)
        return shift
