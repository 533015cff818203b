"""MacKay's evidence: how probable the data are under a penalty, how many parameters they determine, and their noise.

With a prior exp(-½ a_j params_j²) on each parameter and targets of variance s² (1 for classification), an optimum of
the objective with alpha = a s² is the mode of the posterior, and A = Σ_i weight_i J'HJ + diag(alpha) its precision
times s². The evidence is the probability of the targets with the parameters integrated out. Laplace's approximation of
it is the height of the mode times its volume. A parameter without a penalty has a flat prior.

Sources: MacKay 1992, "Bayesian interpolation" and "A practical Bayesian framework for backpropagation networks";
Foresee & Hagan 1997 (the Gauss-Newton matrix in the place of the Hessian).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from newtron.engine.base.linalg import factorize
from newtron.engine.base.types import Array
from newtron.engine.objective import TrainingObjective
from newtron.engine.solvers import Solution

# The curvature matrix of more parameters than this is not formed for the noise alone (8 MB).
_MATRIX = 1000
# With more rows for each parameter than this, all parameters of a perceptron count as determined by the data.
_MANY_ROWS = 1000
# The penalty is looked for between these multiples of the mean curvature of the weights, and the search starts at the
# third.
_LEAST, _MOST, _START = 1e-12, 1e4, 1e-3
# The search ends where log alpha changes by less than the first number (relative to its size where that is above 1). A
# step in log alpha is at most the second number long, and there are at most so many updates.
_TOLERANCE, _LONGEST_STEP, _UPDATES = 1e-10, 3.0, 200


@dataclass(frozen=True)
class Evidence:
    """Laplace's approximation at an optimum.

    value: the log evidence, in nats. noise: the variance of the targets at which the evidence is greatest, 1 for
    classification. determined: (P,) between 0 and 1, how far the data, and not the prior, determine each parameter.
    inverse: (P, P) A^-1.
    """

    value: float
    noise: float
    determined: Array
    inverse: Array

    @property
    def effective_parameters(self) -> float:
        """gamma, the number of parameters that the data determine."""
        return float(self.determined.sum())


def evidence_at(objective: TrainingObjective, params: Array) -> Evidence | None:
    """The evidence of the objective's penalties at its optimum; None where A is not positive definite there, or so
    nearly singular that its inverse overflows."""
    found = objective.evaluate(params, 2, gauss_newton=True)
    alpha, weight = objective.alpha, objective.rows.total_weight
    bare = alpha == 0.0
    k = objective.network.n_outputs
    if objective.loss.min_outputs > 1 and objective.network.intercept and bare[-1]:
        # A common shift of all classes' intercepts changes no probability of a softmax. A curvature of 1 per row along
        # this direction adds the same constant to the evidence of every penalty, and changes no prediction.
        found.hessian[-k:, -k:] += 1.0 / k
    factor = factorize(found.hessian)
    if factor is None:
        return None
    inverse = factor.inverse() / weight
    if not np.isfinite(inverse).all():
        return None
    determined = determined_parameters(alpha, np.diagonal(inverse))
    energy = found.value * weight
    log_det = factor.log_determinant + objective.n_params * np.log(weight)
    flat = int(bare.sum())
    value = 0.5 * (float(np.sum(np.log(alpha[~bare]))) - log_det + flat * np.log(2.0 * np.pi))
    if not objective.loss.quadratic:
        return Evidence(value - energy, 1.0, determined, inverse)
    # The evidence depends on the noise only through the following terms, so its best value is known: 2 energy / seen.
    seen = max(1.0, weight * objective.rows.n_outputs - flat)
    noise = max(2.0 * energy / seen, np.finfo(np.float64).tiny)
    value -= 0.5 * seen * (1.0 + np.log(noise)) + 0.5 * weight * objective.rows.n_outputs * np.log(2.0 * np.pi)
    return Evidence(value, noise, determined, inverse)


def determined_parameters(prior: Array, variance: Array) -> Array:
    """(P,) how far the data, and not the prior, determine each parameter: 1 - prior * variance, between 0 and 1. The
    sum is MacKay's gamma, P - trace(diag(prior) A^-1). variance: (P,) the diagonal of A^-1, in the prior's units."""
    return np.clip(1.0 - prior * variance, 0.0, 1.0)


def noise_variance(objective: TrainingObjective, params: Array, value: float, effective: float | None = None) -> float:
    """The variance of regression targets around the network, in the objective's target units; 1 for
    a loss whose variance follows from the mean.

    It is the sum of squared residuals over the degrees of freedom: rows (times targets) less effective parameters
    (MacKay 1992). value: the objective at params, an optimum. effective: the number of parameters that the data
    determine, where it is known already. It counts as 0 for a network too large for a curvature matrix.
    """
    if not objective.loss.quadratic:
        return 1.0
    weight = objective.rows.total_weight
    squares = 2.0 * value * weight - float(objective.alpha @ np.square(params))
    seen = weight * objective.rows.n_outputs
    spent = 0.0
    many = seen > _MANY_ROWS * objective.n_params  # the parameters then hardly change the variance
    if objective.is_linear and (many or not objective.alpha.any()):
        spent = float(objective.n_params)
    elif effective is not None:
        spent = effective
    elif objective.n_params <= _MATRIX:
        found = evidence_at(objective, params)
        spent = float(objective.n_params) if found is None else found.effective_parameters
    free = seen - spent if spent < seen else 1.0  # more parameters than rows: no degree of freedom is left
    return max(0.0, squares / free) if np.isfinite(squares) else 1.0


def evidence_penalty(objective: TrainingObjective, fit: Callable[[Array, Array], Solution], start: Array) -> Array:
    """The penalty on all weights of a perceptron, (P,), at which the evidence is stationary.

    MacKay's update alpha = gamma noise / ‖W‖², made at the optimum of each alpha (gamma: that of the weights), has it
    as a fixed point in log alpha. Secant steps find this in a few updates, where plain updates would take hundreds. The
    penalty ends at the lower limit where the data need none, and at the upper one where weights explain nothing.

    fit: (alpha (P,), params) -> the optimum for alpha, searched from params.
    """
    weights = objective.network.is_weight
    params = start
    mean = mean_curvature(objective, params)
    low, high = float(np.log(_LEAST * mean)), float(np.log(_MOST * mean))

    def update(u: float) -> float:
        nonlocal params
        at = objective.with_alpha(np.where(weights, np.exp(u), 0.0))
        solution = fit(at.alpha, params)
        params = solution.params
        found = evidence_at(at, params)
        size = float(np.sum(np.square(params[weights])))
        if found is None:
            return high
        gamma = float(found.determined[weights].sum())
        noise = noise_variance(at, params, solution.value, found.effective_parameters)
        if not gamma * noise > 0.0:
            return low if noise == 0.0 else high
        return float(np.log(gamma * noise / size)) if size > 0.0 else high

    u = float(np.clip(np.log(_START * mean), low, high))
    before: tuple[float, float] | None = None
    for _ in range(_UPDATES):
        change = float(np.clip(update(u), low, high)) - u
        if abs(change) <= _TOLERANCE * max(1.0, abs(u)):
            break
        step = change
        if before is not None and change != before[1]:
            secant = -change * (u - before[0]) / (change - before[1])
            # A secant step in the opposite direction would lead away from the fixed point.
            step = secant if secant * change > 0.0 else change
        before = u, change
        u = float(np.clip(u + np.clip(step, -_LONGEST_STEP, _LONGEST_STEP), low, high))
    return np.where(weights, np.exp(u), 0.0)


def mean_curvature(objective: TrainingObjective, params: Array) -> float:
    """The mean curvature of the weights, summed over rows, without any penalty."""
    bare = objective.with_alpha(np.zeros(objective.n_params))
    found = bare.evaluate(params, 2, gauss_newton=True)
    weights = objective.network.is_weight
    mean = float(np.mean(np.diagonal(found.hessian)[weights])) * objective.rows.total_weight if weights.any() else 1.0
    return mean if mean > 0.0 else 1.0
