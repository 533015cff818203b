"""The end of a training under Firth's penalty, and bounds on the rounding errors of what was computed there.

The classes' parameters Θ (q, K) and those against the last class, β = ΘE with E' = [I, -1], are one function: its
gradient in Θ is gE', and its Hessian E H E' is zero along the common shift of all classes.
"""

from __future__ import annotations

import numpy as np

from newtron.engine.base.linalg import eigvalsh
from newtron.engine.base.threads import one_blas_thread
from newtron.engine.base.types import Array
from newtron.engine.solvers import Newton, Solution
from newtron.engine.solvers.state import relative_gradient
from newtron.inference.certificate.endpoint import FREE_WORK, SHARE_OF_TRAINING, Endpoint, fingerprint_of
from newtron.inference.certificate.rounding import FUNCTION_ERROR, SECOND_ORDER, Rounding
from newtron.inference.coefficients.firth import FIRTH_BLOCK, FirthObjective

# The largest relative error of the information that a bound of first order allows for.
_LARGEST_SHARE = 1e-3


def against_last(params: Array, n_outputs: int) -> Array:
    """The parameters of all classes, (q * K,), as those of the other classes against the last. One output stays as it
    is."""
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
    """`endpoint.measure` for Firth's likelihood. solution: with the parameters and the gradient of all classes.

    The objective is not convex in general, so there is no bound on how far it is above its lowest value; the exact
    Hessian shows whether the point is a local minimum. thorough: compute it whatever it takes.
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
            root=None,
            root_rounding=None,
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
    """True where one more exact Hessian is little beside the training."""
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
    """Bounds of first order. The likelihood's own part is as in `rounding_of`. The penalty's part follows from the
    relative error ρ of the information, the same in every direction: the error of its log determinant is at most P ρ,
    and the hat values, which add to P, have the relative error ρ. The derivatives of a row's variance are at most a few
    times the variance, so the penalty's curvature is at most P times a sum of hat values times squared rows (by the
    inequality of Cauchy and Schwarz).
    """
    u, n, W = 0.5 * objective.epsilon, objective.n_rows, objective.total_weight
    q, m, P = objective.n_columns, objective.n_outputs, objective.n_params
    scale = objective.scale.reshape(q, m)[:, 0]
    block = min(n, FIRTH_BLOCK)
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
    # An error of z changes a row's variance by a share of itself. The error of the sums counts against the smallest
    # eigenvalue.
    share = min(moved + (of_sum + 10.0 * P**2 * u) / least, _LARGEST_SHARE) if least > 0.0 else _LARGEST_SHARE
    value = residual * off + summing * mean_loss + FUNCTION_ERROR * u * (1.0 + float(size.sum())) + 0.5 * P * share / W
    of_hats = 0.5 * P * radius * (share + summing + 8.0 * u + moved) / W
    gradient = scale * (off + FUNCTION_ERROR * u + (summing + 4.0 * u) * residual + of_hats)
    curvature_of_penalty = (P + 4.0) * m * objective.leverage_length(params)
    curvature = K * (of_sum + moved + curvature_of_penalty * (2.0 * share + summing + 8.0 * u + moved) / W)
    each = np.repeat(gradient[:, None], K, axis=1)
    each[:, -1] *= max(1, K - 1)  # the last class has the sum of the others
    return Rounding(SECOND_ORDER * value, SECOND_ORDER * each.ravel(), SECOND_ORDER * curvature)
