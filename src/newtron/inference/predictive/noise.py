"""The scale of Student t errors as a function of the row, learned from leave-one-out residuals.

A residual r has a t distribution of ν degrees of freedom and squared scale

    s² = base · exp(b0 + b'φ),

where base is a variance that is known for each row (or 1) and φ are features of the row (or none). A small ν means
heavy tails, and b makes the noise depend on the row. For fixed ν the negative log likelihood is convex in (b0, b): with
u = r²/s² its second derivative in log s² is ½ (ν + 1) ν u / (ν + u)². So Newton's method finds its optimum. ν is the
best of a grid, under the prior Gamma(2, 1/10) of Juárez & Steel 2010.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.types import Array
from newtron.engine.objective import Evaluation, FirstOrder, Objective, SecondOrder
from newtron.engine.solvers import Newton, minimize
from newtron.inference.predictive.mixture import Mixture
from newtron.inference.predictive.stacking import shares_of_densities

# The degrees of freedom that are tried. All are above 2, so that there is a standard deviation.
_DOFS = (2.2, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 8.0, 11.0, 15.0, 22.0, 35.0, 60.0, 100.0)
# The log variance of a row differs from that of the average row by at most so much.
_LARGEST_DIFFERENCE = 20.0
# A feature whose standard deviation is at most this share of its mean is constant.
_CONSTANT = 1e-10
# Squared residuals below this share of their mean are raised to it, so that they have a logarithm.
_LEAST_SQUARE = 1e-16
# The rate of the prior Gamma(2, 1/10) of ν.
_PRIOR_RATE = 0.1
# Tolerance and iterations of Newton's method for each ν.
_TOLERANCE, _ITERATIONS = 1e-6, 50


@dataclass(frozen=True)
class ScaleModel:
    """log s² = log base + b0 + b'φ; φ (n, d) is standardised, and cut off at the range it had in training.

    dof: ν. intercept: b0. slopes: (d,) b. center, spread: (d,) mean and standard deviation of the features in training.
    low, high: (d,) the range of the features in training.
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
        found: Array = base * np.exp(
            self.intercept + np.clip(phi @ self.slopes, -_LARGEST_DIFFERENCE, _LARGEST_DIFFERENCE)
        )
        return found


def constant_scale(dof: float) -> ScaleModel:
    """The model s² = base, with this many degrees of freedom."""
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
    dofs: Sequence[float] = _DOFS,
) -> ScaleModel:
    """The model of penalised maximum likelihood in (b0, b, ν).

    residuals (n,), features (n, d), weight (n,) with a positive sum. ridge: the penalty is ½ ridge ‖b‖² on
    the slopes of standardised features. most_dof: an upper limit of ν, since a scale that is estimated from few rows
    makes the tails of a t by itself. dofs: the ν that are tried.
    """
    total = float(weight.sum())
    center = weight @ features / total
    spread = np.sqrt(weight @ np.square(features - center) / total)
    constant = spread <= _CONSTANT * np.abs(center)
    spread[constant] = 1.0
    phi = np.column_stack([np.ones(len(residuals)), (features - center) / spread])
    phi[:, 1:][:, constant] = 0.0  # a constant feature gets no slope
    square = np.square(residuals) / base
    square = np.maximum(square, _LEAST_SQUARE * square.mean() + np.finfo(np.float64).tiny)
    penalty = np.full(phi.shape[1], ridge)
    penalty[0] = 0.0
    start: Array = np.zeros(phi.shape[1])
    start[0] = np.log(weight @ square / total)
    fits: list[tuple[float, float, Array]] = []
    for dof in sorted({min(dof, max(most_dof, _DOFS[0])) for dof in dofs}, reverse=True):
        objective = _TScale(square, phi, weight, penalty, dof)
        start = minimize(objective, start, Newton(), tol=_TOLERANCE, max_iter=_ITERATIONS).params
        value = objective.evaluate(start, 0).value - _log_prior(dof) / total
        fits.append((value, dof, start))
    _, dof, b = min(fits, key=lambda fit: fit[0])
    return ScaleModel(dof, float(b[0]), b[1:], center, spread, features.min(axis=0), features.max(axis=0))


def scale_shares(
    models: Sequence[ScaleModel],
    residuals: Array,
    features: Sequence[Array],
    weight: Array,
    part: NDArray[np.intp],
    *,
    base: Array,
    least: Array,
) -> Array:
    """(M,) shares of models in a mixture: those under which rows of each part are most probable by models that were
    fitted to the other parts, with the same degrees of freedom; equal ones where all rows are of one part.

    features: (n, d) of each model. part: (n,) the number of the part of each row, from 0. least: (n,) the floor of s².
    Others as in `fit_scale`.
    """
    if np.unique(part).size < 2:
        return np.full(len(models), 1.0 / len(models))
    log_densities = np.empty((len(models), len(residuals)))
    for number in np.unique(part):
        out, rest = part == number, part != number
        centre = np.zeros(int(out.sum()))
        for of_model, model, phi in zip(log_densities, models, features, strict=True):
            found = fit_scale(residuals[rest], phi[rest], weight[rest], base=base[rest], dofs=(model.dof,))
            scale = np.sqrt(np.maximum(found.squared_scale(phi[out], base[out]), least[out]))[:, None]
            of_model[out] = Mixture(np.ones(1), centre, scale, np.array([model.dof])).log_density(residuals[out])
    return shares_of_densities(np.exp(log_densities - log_densities.max(axis=0)), weight)


def _log_prior(dof: float) -> float:
    return float(np.log(dof) - _PRIOR_RATE * dof)


class _TScale(Objective):
    """The mean negative log likelihood of t residuals as a function of (b0, b), plus the penalty: convex."""

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
        curvature = w * 0.5 * (nu + 1.0) * nu * u / np.square(nu + u)
        hessian = (self._phi.T @ (curvature[:, None] * self._phi) + np.diag(self._penalty)) / self._total
        return SecondOrder(value, gradient, hessian)
