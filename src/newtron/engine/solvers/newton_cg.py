"""Newton-CG: Newton's direction by conjugate gradients, from products with the exact Hessian, which is never formed.

Preconditioned by the scales of the parameters, or by the curvature of a sample of the rows (sub-sampled Hessians: Byrd,
Chin, Neveitt & Nocedal 2011), with which few products are enough however the columns depend on each other.

Truncated inside a trust region (Steihaug 1983): a direction of negative curvature is followed to the edge. The
forcing term sqrt(gradient) makes the end superlinear (Nocedal & Wright, alg. 7.2).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import numpy as np

from newtron.engine.base.checks import check_count, check_number
from newtron.engine.base.errors import InputError
from newtron.engine.base.linalg import factorize
from newtron.engine.base.types import Array
from newtron.engine.objective import Objective, Offer
from newtron.engine.solvers.ends import at_precision, below_rounding, next_radius, sufficient_decrease
from newtron.engine.solvers.state import Solver, State, after_step, relative_gradient, scaled_step

# Trial steps from one point at most; each failure divides the radius by 4 or more.
_TRIES = 40
# First radius where there is no scale, as a share of the length of the starting point. With it 91 of the 103 starts of
# Moré, Garbow & Hillstrom are solved within 1,000 steps (tests/engine/test_true_ends.py), and 89 from a radius of 1.
_FIRST_SHARE = 0.1


@dataclass(frozen=True)
class NewtonCGState(State):
    """radius: of the trust region, in scaled parameters."""

    radius: float = float("inf")


class _Direction(NamedTuple):
    step: Array
    residual: Array  # gradient + H step
    inside: bool  # the region did not cut it


@dataclass(frozen=True)
class NewtonCG(Solver):
    """Newton steps by conjugate gradients in a trust region.

    Parameters
    ----------
    max_inner : int or None
        The limit on Hessian products per step; None: twice the parameters, at most 1,000.
    sample : float
        The share of the rows whose curvature preconditions the products (at least 20 rows per parameter); 0
        preconditions by the scales of the parameters alone.

    Notes
    -----
    Method: Steihaug 1983.

    Examples
    --------
    >>> import numpy as np
    >>> from newtron import NewtonCG, PerceptronRegressor
    >>> x, y = np.array([[1.0], [2.0], [3.0]]), np.array([2.0, 4.0, 5.0])
    >>> PerceptronRegressor(solver=NewtonCG()).fit(x, y).coef_.round(6)
    array([1.5])
    """

    max_inner: int | None = None
    sample: float = 0.0

    name: ClassVar[str] = "newton-cg"
    state_type: ClassVar[type[State]] = NewtonCGState
    default_max_iter: ClassVar[int] = 1000
    needs: ClassVar[tuple[Offer, ...]] = ("products",)

    def __post_init__(self) -> None:
        if self.max_inner is not None:
            check_count("max_inner", self.max_inner)
        if check_number("sample", self.sample, least=0.0) > 1.0:
            raise InputError(f"sample={self.sample!r} must be a share of the rows: at most 1.")

    def init(self, objective: Objective, params: Array) -> NewtonCGState:
        found = objective.evaluate(params, 1)
        radius = np.inf if objective.is_linear else 1.0
        if objective.scale is None:
            radius = max(radius, _FIRST_SHARE * float(np.linalg.norm(params)))
        return NewtonCGState(params, found.value, found.gradient, radius=radius)

    def step(self, objective: Objective, state: NewtonCGState) -> State:
        radius = state.radius
        precondition = self._preconditioner(objective, state)
        for _ in range(_TRIES):
            found = self._direction(objective, state, radius, precondition)
            step = found.step
            predicted = -0.5 * float(step @ (state.gradient + found.residual))
            if not predicted > 0.0:
                return at_precision(objective, state)
            trial = objective.evaluate(state.params + step, 1)
            worth = sufficient_decrease(objective, state, predicted, trial.value)
            length = _length(objective, step)
            if worth is not False:
                nearer = relative_gradient(objective, trial.gradient) < relative_gradient(objective, state.gradient)
                if not (worth or nearer):
                    if below_rounding(objective, state, predicted):
                        return at_precision(objective, state)
                    radius = 0.25 * length
                    continue
                ratio = (state.value - trial.value) / predicted if worth else 1.0
                return replace(
                    after_step(objective, state, step, trial),
                    # The decrement at the point just left, which follows from the products there; here it is smaller.
                    decrement=max(0.0, -float(state.gradient @ step)) ** 0.5 if found.inside else np.nan,
                    radius=next_radius(radius, length, ratio),
                )
            radius = 0.25 * length
        return at_precision(objective, state)

    def _preconditioner(self, objective: Objective, state: NewtonCGState) -> Callable[[Array], Array]:
        """An approximate inverse of the Hessian."""
        sample = objective.sampled(self.sample) if self.sample else objective
        if sample is not objective:
            curvature = sample.evaluate(state.params, 2, gauss_newton=True).hessian
            diagonal = np.diagonal(curvature)
            # A sample of few rows sees directions without curvature where there is some.
            few = 0.1 / max(1.0, sample.rows_per_parameter)
            squared = np.square(objective.scale) if objective.scale is not None else np.ones(objective.n_params)
            least = 1e-8 * squared * (diagonal / squared).max(initial=0.0)
            factor = factorize(curvature, np.maximum(few * diagonal, least))
            if factor is not None:
                return factor.solve
        inverse = np.ones(objective.n_params) if objective.scale is None else 1.0 / np.square(objective.scale)
        return lambda residual: inverse * residual

    def _direction(
        self, objective: Objective, state: NewtonCGState, radius: float, precondition: Callable[[Array], Array]
    ) -> _Direction:
        inverse = np.ones(objective.n_params) if objective.scale is None else 1.0 / np.square(objective.scale)
        limit = self.max_inner or min(2 * objective.n_params + 10, 1000)
        enough = min(0.5, relative_gradient(objective, state.gradient) ** 0.5)
        step = np.zeros_like(state.params)
        residual = state.gradient.copy()
        z = precondition(residual)
        rz = float(residual @ z)
        if rz == 0.0:
            return _Direction(step, residual, True)
        target = enough * enough * rz
        direction = -z
        for _ in range(limit):
            product = objective.hvp(state.params, direction)
            curvature = float(direction @ product)
            tiny = objective.epsilon * float(direction @ (direction / inverse)) * 1e-3
            t = rz / curvature if curvature > tiny else np.inf
            if np.isinf(t) and np.isinf(radius):
                # No curvature and no trust region: one scaled unit along the direction, or the step found so far.
                if not step.any():
                    step = direction / max(1.0, _length(objective, direction))
                    residual = residual + product / max(1.0, _length(objective, direction))
                return _Direction(step, residual, False)
            if np.isinf(t) or _length(objective, step + t * direction) >= radius:
                t = _to_edge(step, direction, inverse, radius)
                return _Direction(step + t * direction, residual + t * product, False)
            step = step + t * direction
            residual = residual + t * product
            z = precondition(residual)
            previous, rz = rz, float(residual @ z)
            if rz <= target:
                break
            direction = -z + (rz / previous) * direction
        return _Direction(step, residual, True)


def _length(objective: Objective, step: Array) -> float:
    return float(np.linalg.norm(scaled_step(objective, step)))


def _to_edge(step: Array, direction: Array, inverse: Array, radius: float) -> float:
    """The positive t with ‖step + t direction‖ = radius in the scaled norm."""
    a = float(direction @ (direction / inverse))
    b = float(step @ (direction / inverse))
    c = float(step @ (step / inverse)) - radius * radius
    return float((-b + np.sqrt(max(0.0, b * b - a * c))) / a)
