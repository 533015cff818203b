"""Is a point, measured anew, the point whose certificate was kept? To within what rounding explains, and no more."""

from __future__ import annotations

import math

import numpy as np

from newtron.engine.solvers import Solution, Status
from newtron.inference.certificate.endpoint import Curvature, Endpoint
from newtron.inference.certificate.gap import penalty_bound
from newtron.inference.certificate.spectrum import EDGE, LANCZOS_STEPS


def agrees(solution: Solution, kept: Curvature, now: Endpoint, tol: float) -> bool:
    """Both were computed from the same parameters and data, so each is within its rounding of the same exact number:
    they differ by twice that at most. tol: the model's setting.

    A value that is not finite cannot be confirmed.
    """
    if kept.fingerprint not in ("", now.fingerprint):
        return False
    finite = np.isfinite([now.value, solution.value, solution.gradient_norm]).all()
    if not (finite and np.isfinite(now.gradient).all() and solution.gradient.shape == now.gradient.shape):
        return False
    apart = 2.0 * now.rounding.gradient
    norm = float(np.max(apart / now.gradient_scale, initial=0.0))
    # The norm that is stated is that of the gradient that is stated; of Firth's likelihood, whose last class is the
    # reference, it may be smaller by the number of classes.
    own = float(np.max(np.abs(solution.gradient) / now.gradient_scale, initial=0.0))
    close = now.epsilon**0.5
    same_point = own * (1.0 - close) / now.n_outputs <= solution.gradient_norm <= own * (1.0 + close) and (
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
        # As `engine.solvers.loop.at_precision` has it.
        expected = 0.5 * now.curvature.decrement**2
        spent = expected <= max(1e-12, 10.0 * now.epsilon) * abs(now.value) + now.rounding.value
        return bool(now.relative_gradient <= now.epsilon**0.5 + norm or spent)
    return True


def _same_curvature(kept: Curvature, now: Endpoint) -> bool:
    found, spectrum = now.curvature, now.spectrum
    if kept.method == "none":
        # Nothing was stated of the curvature, only a bound may be.
        stated = (
            kept.sign is not None
            or kept.flat_directions
            or np.isfinite([kept.smallest, kept.largest, kept.decrement]).any()
        )
        return not stated and _still_proved(kept, found, 0.0, 0.0)
    if spectrum is None or kept.method != found.method:
        return _within(kept, now) and _still_proved(kept, found, 0.0, 0.0)
    if not (_same_sign(kept, now) and _same_flat(kept, now)):
        return False
    if spectrum.exact:
        ends = 2.0 * spectrum.error * float(np.square(now.scale).max())
        share = 2.0 * spectrum.error / abs(spectrum.scaled_smallest) if found.sign == 1 else math.inf
        least = min(ends, share * found.smallest) if found.sign == 1 else ends
    else:
        ends = least = 2.0 * LANCZOS_STEPS * spectrum.error  # each step may add its rounding
    if not (_near(kept.smallest, found.smallest, least) and _near(kept.largest, found.largest, ends)):
        return False
    if not spectrum.exact:
        return _still_proved(kept, found, 0.0, 0.0)
    off = float(np.linalg.norm(now.rounding.gradient / now.scale)) / math.sqrt(spectrum.seen)
    share = 2.0 * spectrum.error / spectrum.seen
    wide = 2.0 * off + min(share, 1.0) * float(np.nan_to_num(found.decrement))
    # Whatever the decrement was, the rounding of the gradient is a part of the bound. Of one by the penalty it may move
    # the root by as much on either side.
    by_penalty = penalty_bound(np.zeros_like(now.gradient), now.rounding.gradient, now.penalty)
    least_bound = min(0.5 * off**2, math.inf if by_penalty is None else by_penalty)
    lower = wide
    if by_penalty is not None:
        proved = penalty_bound(now.gradient, now.rounding.gradient, now.penalty)
        assert proved is not None
        lower = max(wide, math.sqrt(found.loss_gap_bound) - math.sqrt(proved) + 2.0 * math.sqrt(by_penalty))
    fewest, most = spectrum.flat_range
    # Where rounding decides which directions are flat, it decides which of them the decrement is of, too.
    same_decrement = fewest < most or _near(kept.decrement, found.decrement, wide)
    return same_decrement and _still_proved(kept, found, lower, least_bound)


def _within(kept: Curvature, now: Endpoint) -> bool:
    """Do values of Lanczos's method lie within the spectrum that is known by now? A negative one proves a saddle."""
    spectrum = now.spectrum
    if kept.method != "lanczos" or kept.flat_directions or kept.sign not in (-1, None) or math.isfinite(kept.decrement):
        return False
    if spectrum is None or not spectrum.exact:
        return True
    slack = 1e-6 * max(abs(spectrum.smallest), abs(spectrum.largest))
    inside = spectrum.smallest - slack <= kept.smallest and kept.largest <= spectrum.largest + slack
    return inside and (kept.sign is None or spectrum.scaled_smallest <= -spectrum.error / EDGE)


def _same_sign(kept: Curvature, now: Endpoint) -> bool:
    found, spectrum = now.curvature, now.spectrum
    if kept.sign == found.sign:
        return True
    if spectrum is None or kept.sign is None or found.sign is None or kept.sign * found.sign:
        return False
    # A smallest curvature at the edge of its rounding may fall to either side: to 0, or to its own.
    if now.concordance is None and spectrum.far_range[0] == 0 < spectrum.far_range[1]:
        return kept.sign in (0, 1) and found.sign in (0, 1)  # a step is long, or is not
    low, error = spectrum.scaled_smallest, spectrum.error
    edge = math.isfinite(error) and error / EDGE <= abs(low) <= EDGE * error
    return bool(edge and (kept.sign or found.sign) == np.sign(low))


def _same_flat(kept: Curvature, now: Endpoint) -> bool:
    found, spectrum = now.curvature, now.spectrum
    if spectrum is None or not spectrum.exact:
        return kept.flat_directions == found.flat_directions
    (fewest, most), (shortest, longest) = spectrum.flat_range, spectrum.far_range
    if now.concordance is not None:
        return fewest <= kept.flat_directions <= most
    return fewest + shortest <= kept.flat_directions <= most + longest


def _near(a: float, b: float, slack: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or abs(a - b) <= slack


def _still_proved(kept: Curvature, found: Curvature, wide: float, least: float) -> bool:
    """Is the bound that was stated at least the one that is proved now? wide: by what rounding may lower its root.
    least: a part of it that is the same in any rounding."""
    if math.isnan(kept.loss_gap_bound):
        return True
    if math.isnan(found.loss_gap_bound):
        return False
    stated, proved = kept.loss_gap_bound * (1.0 + 1e-6), found.loss_gap_bound
    return stated >= least and math.sqrt(stated) >= math.sqrt(proved) - wide
