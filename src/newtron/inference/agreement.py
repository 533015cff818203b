"""Is a point, measured anew, the point whose certificate was kept? To within what rounding explains, and no more."""

from __future__ import annotations

import math

import numpy as np

from newtron.inference.endpoint import Curvature, Endpoint
from newtron.inference.gap import penalty_bound
from newtron.inference.spectrum import LANCZOS_STEPS
from newtron.solvers import Solution, Status


def agrees(solution: Solution, kept: Curvature, now: Endpoint, tol: float) -> bool:
    """Both were computed from the same parameters and data, so each is within its rounding of the same exact number:
    they differ by twice that at most. tol: the model's setting.

    A value that is not finite cannot be confirmed.
    """
    finite = np.isfinite([now.value, solution.value, solution.gradient_norm]).all()
    if not (finite and np.isfinite(now.gradient).all() and solution.gradient.shape == now.gradient.shape):
        return False
    apart = 2.0 * now.rounding.gradient
    norm = float(np.max(apart / now.gradient_scale, initial=0.0))
    same_point = (
        abs(now.value - solution.value) <= 2.0 * now.rounding.value
        and bool(np.all(np.abs(now.gradient - solution.gradient) <= apart))
        and abs(now.relative_gradient - solution.gradient_norm) <= norm
    )
    return same_point and _ends_there(solution, now, tol, norm) and _same_curvature(kept, now)


def _ends_there(solution: Solution, now: Endpoint, tol: float, norm: float) -> bool:
    """Is a stated convergence one?"""
    if solution.status is Status.CONVERGED:
        return now.relative_gradient <= tol + norm
    if solution.status is Status.PRECISION:
        # As `solvers.base.at_precision` has it.
        expected = 0.5 * now.curvature.decrement**2
        spent = expected <= max(1e-12, 10.0 * now.epsilon) * abs(now.value) + now.rounding.value
        return bool(now.relative_gradient <= now.epsilon**0.5 + norm or spent)
    return True


def _same_curvature(kept: Curvature, now: Endpoint) -> bool:
    found, spectrum = now.curvature, now.spectrum
    if kept.method == "none" or spectrum is None or kept.method != found.method:
        # Nothing was stated, or it was looked at in another way: only the bound is a claim that can be false.
        return _still_proved(kept, found, 0.0, 0.0)
    if kept.sign != found.sign:
        # A smallest curvature at the edge of its rounding may fall to either side.
        edge = math.isfinite(spectrum.error) and abs(spectrum.scaled_smallest) <= 3.0 * spectrum.error
        if not edge:
            return False
    if spectrum.exact:
        ends = 2.0 * spectrum.error * float(np.square(now.scale).max())
        share = 2.0 * spectrum.error / abs(spectrum.scaled_smallest) if found.sign == 1 else math.inf
        least = min(ends, share * found.smallest) if found.sign == 1 else ends
    else:
        ends = least = 2.0 * LANCZOS_STEPS * spectrum.error  # each step may add its rounding
    if not (_near(kept.smallest, found.smallest, least) and _near(kept.largest, found.largest, ends)):
        return False
    if not spectrum.exact or found.sign != 1:
        return _still_proved(kept, found, 0.0, 0.0)
    off = float(np.linalg.norm(now.rounding.gradient / now.scale)) / math.sqrt(spectrum.scaled_smallest)
    wide = 2.0 * off + min(share, 1.0) * found.decrement
    # Whatever the decrement was, the rounding of the gradient is a part of the bound.
    by_penalty = penalty_bound(np.zeros_like(now.gradient), now.rounding.gradient, now.penalty)
    least_bound = min(0.5 * off**2, math.inf if by_penalty is None else by_penalty)
    return _near(kept.decrement, found.decrement, wide) and _still_proved(kept, found, wide, least_bound)


def _near(a: float, b: float, slack: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or abs(a - b) <= slack


def _still_proved(kept: Curvature, found: Curvature, wide: float, least: float) -> bool:
    """Is the bound that was stated at least the one that is proved now? wide: what rounding may do to its root.
    least: a part of it that is the same in any rounding."""
    if math.isnan(kept.loss_gap_bound):
        return True
    if math.isnan(found.loss_gap_bound):
        return False
    stated, proved = kept.loss_gap_bound * (1.0 + 1e-6), found.loss_gap_bound
    return stated >= least and math.sqrt(stated) >= math.sqrt(proved) - wide
