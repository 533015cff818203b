"""How far targets lie from predictions: scales of Student t errors, learned from leave-one-out residuals.

A residual r has a t distribution of ν degrees of freedom and squared scale

    s² = base · exp(b0 + b'φ),

where base is a variance that is known per row (or 1) and φ are features of the row (or none): ν heavy tails, b a noise
that depends on where the row lies. For fixed ν the negative log likelihood is convex in (b0, b), since with
u = r²/s² its second derivative in log s² is ½ (ν + 1) ν u / (ν + u)², so Newton's method finds the optimum; ν is the
best of a grid, under the prior Gamma(2, 1/10) of Juárez & Steel 2010.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from newtron.engine.objective import Evaluation, FirstOrder, Objective, SecondOrder
from newtron.engine.solvers import Newton, minimize

Array = NDArray[np.floating]

# Above 2, so that there is a standard deviation.
_DOFS = (2.2, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0, 11.0, 15.0, 22.0, 35.0, 60.0, 100.0)
# A row's log variance differs from the average row's by at most so much.
_FARTHEST = 20.0


@dataclass(frozen=True)
class ScaleModel:
    """log s² = log base + b0 + b'φ; φ (n, d) is standardised, and cut off at the range it had in training.

    dof: ν. intercept: b0. slopes: b (d,). center, spread, low, high: of the features, (d,).
    """

    dof: float
    intercept: float
    slopes: Array
    center: Array
    spread: Array
    low: Array
    high: Array

    def squared_scale(self, features: Array, base: Array | float = 1.0) -> Array:
        """s² (n,) from features (n, d)."""
        phi = (np.clip(features, self.low, self.high) - self.center) / self.spread
        found: Array = base * np.exp(self.intercept + np.clip(phi @ self.slopes, -_FARTHEST, _FARTHEST))
        return found


def constant_scale(dof: float) -> ScaleModel:
    """s² = base, with so many degrees of freedom."""
    none = np.empty(0)
    return ScaleModel(dof, 0.0, none, none, none, none, none)


def fit_scale(
    residuals: Array,
    features: Array,
    weight: Array,
    *,
    base: Array | float = 1.0,
    ridge: float = 10.0,
    most_dof: float = np.inf,
) -> ScaleModel:
    """The penalised maximum likelihood of (b0, b, ν).

    residuals (n,), features (n, d), weight (n,) with a positive sum. ridge: penalty ½ ridge ‖b‖² on the slopes of
    standardised features. most_dof: ν is at most this: a scale estimated from few rows has a t's tails itself.
    """
    total = float(weight.sum())
    center = weight @ features / total
    spread = np.sqrt(weight @ np.square(features - center) / total)
    constant = spread <= 1e-10 * np.abs(center)
    spread[constant] = 1.0
    phi = np.column_stack([np.ones(len(residuals)), (features - center) / spread])
    phi[:, 1:][:, constant] = 0.0  # what says nothing gets no slope
    square = np.square(residuals) / base
    square = np.maximum(square, 1e-16 * square.mean() + np.finfo(np.float64).tiny)  # of no residual at all, too
    penalty = np.full(phi.shape[1], ridge)
    penalty[0] = 0.0
    start: Array = np.zeros(phi.shape[1])
    start[0] = np.log(weight @ square / total)
    best: tuple[float, float, Array] | None = None
    for dof in sorted({min(dof, max(most_dof, _DOFS[0])) for dof in _DOFS}, reverse=True):
        objective = _TScale(square, phi, weight, penalty, dof)
        start = minimize(objective, start, Newton(), tol=1e-6, max_iter=50).params
        value = objective.evaluate(start, 0).value - _log_prior(dof) / total
        if best is None or value < best[0]:
            best = value, dof, start
    assert best is not None
    _, dof, b = best
    return ScaleModel(dof, float(b[0]), b[1:], center, spread, features.min(axis=0), features.max(axis=0))


def _log_prior(dof: float) -> float:
    return float(np.log(dof) - 0.1 * dof)


class _TScale(Objective):
    """Mean negative log likelihood of t residuals as a function of (b0, b), plus the penalty: convex."""

    is_convex = True

    def __init__(self, square: Array, phi: Array, weight: Array, penalty: Array, dof: float) -> None:
        from scipy.special import gammaln

        self.n_params = phi.shape[1]
        self._square, self._phi, self._weight, self._penalty, self._dof = square, phi, weight, penalty, dof
        self._total = float(weight.sum())
        self._constant = gammaln(0.5 * dof) - gammaln(0.5 * (dof + 1.0)) + 0.5 * np.log(np.pi * dof)

    def _evaluate(self, params: Array, order: int, gauss_newton: bool) -> Evaluation:
        del gauss_newton
        nu, w = self._dof, self._weight
        log_scale2 = self._phi @ params
        u = self._square * np.exp(-log_scale2)
        value = w @ (0.5 * log_scale2 + 0.5 * (nu + 1.0) * np.log1p(u / nu)) / self._total + self._constant
        value = float(value + 0.5 * self._penalty @ np.square(params) / self._total)
        if order == 0:
            return Evaluation(value)
        slope = w * (0.5 - 0.5 * (nu + 1.0) * u / (nu + u))
        gradient = (self._phi.T @ slope + self._penalty * params) / self._total
        if order == 1:
            return FirstOrder(value, gradient)
        bend = w * 0.5 * (nu + 1.0) * nu * u / np.square(nu + u)
        hessian = (self._phi.T @ (bend[:, None] * self._phi) + np.diag(self._penalty)) / self._total
        return SecondOrder(value, gradient, hessian)
