"""Proved upper bounds on how far a convex objective is above its minimum; they include rounding errors.

A quadratic objective is its own second-order expansion, so f - f* = ½ g'H^-1 g. For the log losses the curvature
changes along a line by no more than a factor exp(s) while z moves by s (self-concordance; Bach 2010, "Self-concordant
analysis for logistic regression", Electronic Journal of Statistics 4, lemma 1), which bounds f from below everywhere
by what is known at one point. docs/mathematics.md derives both bounds.
"""

from __future__ import annotations

import math

import numpy as np

from newtron.engine.base.types import Array

# A factor on each result, which covers the rounding of the few operations here.
_UP = 1.0 + 1e-9
# Below this a = κν the closed form of the bound would cancel, and its series takes its place.
_SMALL = 1e-3


def curvature_bound(
    decrement: float, smallest: float, error: float, gradient_error: float, radius: float, concordance: float
) -> float | None:
    """The bound from the Hessian at the point, in scaled parameters; None where no bound follows.

    decrement: sqrt(g'H^-1 g), as computed. smallest: the smallest eigenvalue, which must be above `error`, the norm of
    the Hessian's rounding error. gradient_error: the norm of the gradient's. radius: the largest norm of a row.
    concordance: the constant of self-concordance of the loss, 0 for a quadratic one.
    """
    if not (smallest > error and math.isfinite(decrement)):
        return None
    # H - error I >= (1 - error / smallest) H, so the exact decrement is at most nu.
    share = 1.0 - error / smallest
    nu = (decrement + gradient_error / math.sqrt(smallest)) / math.sqrt(share) * _UP
    if concordance == 0.0:
        return 0.5 * nu**2 * _UP
    # A step of length 1 in the norm of H changes z by at most kappa.
    kappa = concordance * radius / math.sqrt(smallest * share) * _UP
    return concordant_gap(nu, kappa)


def concordant_gap(nu: float, kappa: float) -> float | None:
    """max over r of ν r - (exp(-κr) + κr - 1)/κ² = (a + (1 - a) log(1 - a))/κ² with a = κν; None unless a < 1."""
    a = kappa * nu
    if not a < 1.0:
        return None
    if a < _SMALL:
        # The series is ½ν²(1 + a/3 + a²/6 + ...); a²/4 bounds what follows a/3.
        return 0.5 * nu**2 * (1.0 + a / 3.0 + a**2 / 4.0) * _UP
    return (a + (1.0 - a) * math.log1p(-a)) / kappa**2 * _UP


def penalty_bound(gradient: Array, gradient_error: Array, penalty: Array) -> float | None:
    """½ Σ_j g_j²/m_j with the penalty's curvature m_j of each parameter, because the rest of the objective is convex.
    None where a parameter has no penalty. gradient, gradient_error, penalty: (P,)."""
    if not (penalty > 0.0).all():
        return None
    with np.errstate(over="ignore"):
        return 0.5 * float(np.sum(np.square(np.abs(gradient) + gradient_error) / penalty)) * _UP
