"""The end of a training under Firth's penalty, and how far rounding can have moved what was computed there.

The classes' parameters Θ (q, K) and those against the last class, β = ΘE with E' = [I, -1], are one function: its
gradient in Θ is gE', and its Hessian E H E' is zero along the common shift of all classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.linalg import eigvalsh
from newtron.engine.base.threads import one_blas_thread
from newtron.engine.solvers import Newton, Solution
from newtron.engine.solvers.state import relative_gradient
from newtron.inference.certificate.endpoint import FREE_WORK, SHARE_OF_TRAINING, Endpoint, fingerprint_of
from newtron.inference.certificate.rounding import FUNCTION_ERROR, SECOND_ORDER, Rounding
from newtron.inference.coefficients.firth import FirthObjective

Array = NDArray[np.floating]

# Rows that FirthObjective adds at once.
_BLOCK = 4096
# Beyond this relative error of the information a bound of first order is none, and nothing is forgiven for it.
_TOO_FAR = 1e-3


def against_last(params: Array, n_outputs: int) -> Array:
    """Parameters (q * K,) of all classes as those of the others against the last; of one output they are the same."""
    if n_outputs == 1:
        return params
    of_class = params.reshape(-1, n_outputs)
    return np.asarray(of_class[:, :-1] - of_class[:, -1:]).ravel()


def of_all_classes(gradient: Array, n_outputs: int) -> Array:
    """The gradient (q * K,) with respect to all classes' parameters, from that against the last."""
    if n_outputs == 1:
        return gradient
    g = gradient.reshape(-1, n_outputs - 1)
    return np.column_stack([g, -g.sum(axis=1)]).ravel()


def measure_firth(objective: FirthObjective, solution: Solution, n_outputs: int, *, thorough: bool = False) -> Endpoint:
    """What `endpoint.measure` reads, of Firth's likelihood. solution: with the parameters and gradient of all classes.

    The objective is not convex in general, so there is no bound on how far it is above its lowest value; the exact
    Hessian tells whether the point is a local minimum. thorough: compute it whatever it takes.
    """
    K, q = n_outputs, objective.n_columns
    with one_blas_thread(), np.errstate(all="ignore"):
        params = against_last(solution.params, K)
        value, gradient, norm = solution.value, solution.gradient, solution.gradient_norm
        if thorough:
            found = objective.evaluate(params, 1)
            value, norm = found.value, relative_gradient(objective, found.gradient)
            gradient = of_all_classes(found.gradient, K)
        hessian = None
        if objective.exact_hessian_allowed if thorough else _affordable(objective, solution):
            hessian = _of_all_classes(objective.exact_hessian(params), q, K)
        radius = objective.radius()
        scale = np.repeat(objective.scale.reshape(q, -1)[:, 0], K)
        return Endpoint(
            value=value,
            gradient=gradient,
            relative_gradient=norm,
            hessian=hessian,
            products=None,
            rounding=_rounding(objective, params, radius, K),
            scale=scale,
            gradient_scale=scale,
            penalty=np.zeros(q * K),
            unseen=np.full(q, K > 1),
            n_outputs=K,
            radius=radius,
            concordance=None,
            kinked=False,
            epsilon=objective.epsilon,
            fingerprint=fingerprint_of(solution.params, np.zeros(len(solution.params))),
        )


def _affordable(objective: FirthObjective, solution: Solution) -> bool:
    """Is one more exact Hessian little beside the training?"""
    if not objective.exact:
        return False
    if isinstance(solution.solver, Newton):
        return True
    counts = solution.counts
    one_gradient = objective.n_rows * float(objective.n_params) ** 2
    spent = (counts.get("value", 0) + counts.get("gradient", 0)) * one_gradient
    spent += (counts.get("hessian", 0) + counts.get("hessian_product", 0)) * objective.work
    return objective.work <= max(FREE_WORK, SHARE_OF_TRAINING * spent)


def _of_all_classes(hessian: Array, q: int, K: int) -> Array:
    if K == 1:
        return hessian
    E = np.vstack([np.eye(K - 1), -np.ones(K - 1)])
    full = np.einsum("ca,iajb,db->icjd", E, hessian.reshape(q, K - 1, q, K - 1), E)
    return np.ascontiguousarray(full.reshape(q * K, q * K))


def _rounding(objective: FirthObjective, params: Array, radius: float, K: int) -> Rounding:
    """Bounds of first order. The likelihood's own part is as in `rounding_of`. For the penalty: the information as
    computed is within a share ρ of itself, in every direction, so its log determinant is off by P ρ at most and the
    hat values, which add to P, by the same share. No derivative of a row's variance is larger than a few times the
    variance, so the penalty's curvature is a sum of hat values times squared rows (and, by Cauchy and Schwarz, P times
    that).
    """
    u, n, W = 0.5 * objective.epsilon, objective.n_rows, objective.total_weight
    q, m, P = objective.n_columns, objective.n_outputs, objective.n_params
    scale = objective.scale.reshape(q, m)[:, 0]
    block = min(n, _BLOCK)
    summing = block * u + (2.0 * n / block + 4.0) * 2.0 * u
    size = scale @ np.abs(params.reshape(q, m))
    off = (q + 3.0) * u * float(np.linalg.norm(size))
    information = objective.information(params)
    mean_loss = max(0.0, -objective.log_likelihood(params)[0] / W)
    residual = min(float(np.sqrt(m + 1.0)), float(np.sqrt(2.0 * mean_loss)))
    moved = (q + 3.0) * u * radius * float(np.linalg.norm(objective.scale * params)) + FUNCTION_ERROR * u
    of_sum = P * (summing + 4.0 * u)
    unit = 1.0 / objective.scale
    least = float(eigvalsh(information * unit * unit[:, None] / W)[0])
    # What moves z changes a row's variance by a share of itself; what is lost in sums is lost of all directions.
    share = min(moved + (of_sum + 10.0 * P**2 * u) / least, _TOO_FAR) if least > 0.0 else _TOO_FAR
    value = residual * off + summing * mean_loss + FUNCTION_ERROR * u * (1.0 + float(size.sum())) + 0.5 * P * share / W
    of_hats = 0.5 * P * radius * (share + summing + 8.0 * u + moved) / W
    gradient = scale * (off + FUNCTION_ERROR * u + (summing + 4.0 * u) * residual + of_hats)
    bends = (P + 4.0) * m * objective.leverage_length(params)
    curvature = K * (of_sum + moved + bends * (2.0 * share + summing + 8.0 * u + moved) / W)
    each = np.repeat(gradient[:, None], K, axis=1)
    each[:, -1] *= max(1, K - 1)  # of the last class it is a sum
    return Rounding(SECOND_ORDER * value, SECOND_ORDER * each.ravel(), SECOND_ORDER * curvature)
