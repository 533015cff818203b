"""The comparison of a kept certificate with the same point measured anew: equal up to rounding, or not."""

from __future__ import annotations

import math

import numpy as np

from newtron.engine.solvers import Solution, Status
from newtron.inference.certificate.endpoint import Curvature, Endpoint
from newtron.inference.certificate.gap import penalty_bound
from newtron.inference.certificate.spectrum import EDGE, LANCZOS_STEPS

# A smallest and a largest eigenvalue by Lanczos's method lie within the spectrum to this share of its largest number,
# and a bound that was kept is this share larger than its digits say: far more than the rounding of either.
_SLACK = 1e-6


def agrees(solution: Solution, kept: Curvature, now: Endpoint, tol: float) -> bool:
    """True where what was kept and what is measured now are the same up to rounding.

    Both are computed from the same parameters and data, so each is within its rounding error of the same exact number,
    and they differ by at most twice this error. tol: the model's setting. A value that is not finite is not confirmed.
    """
    if kept.fingerprint not in ("", now.fingerprint):
        return False
    finite = np.isfinite([now.value, solution.value, solution.gradient_norm]).all()
    if not (finite and np.isfinite(now.gradient).all() and solution.gradient.shape == now.gradient.shape):
        return False
    apart = 2.0 * now.rounding.gradient
    norm = float(np.max(apart / now.gradient_scale, initial=0.0))
    # The norm that was kept is the norm of the gradient that was kept. For Firth's likelihood, whose last class is the
    # reference, it may be smaller by a factor of the number of classes.
    own = float(np.max(np.abs(solution.gradient) / now.gradient_scale, initial=0.0))
    close = now.epsilon**0.5
    same_point = own * (1.0 - close) / now.n_outputs <= solution.gradient_norm <= own * (1.0 + close) and (
        abs(now.value - solution.value) <= 2.0 * now.rounding.value
        and bool(np.all(np.abs(now.gradient - solution.gradient) <= apart))
        and abs(now.relative_gradient - solution.gradient_norm) <= norm
    )
    return same_point and _ends_there(solution, now, tol, norm) and _same_curvature(kept, now)


def _ends_there(solution: Solution, now: Endpoint, tol: float, norm: float) -> bool:
    """True unless the solution claims a convergence that the point does not have."""
    if solution.status is Status.CONVERGED:
        return now.relative_gradient <= tol + norm
    if solution.status is Status.PRECISION:
        # This is the criterion of `engine.solvers.loop.at_precision`.
        expected = 0.5 * now.curvature.decrement**2
        spent = expected <= max(1e-12, 10.0 * now.epsilon) * abs(now.value) + now.rounding.value
        return bool(now.relative_gradient <= now.epsilon**0.5 + norm or spent)
    return True


def _same_curvature(kept: Curvature, now: Endpoint) -> bool:
    found, spectrum = now.curvature, now.spectrum
    if kept.method == "none":
        # No curvature was kept; a bound may have been.
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
        units = float(np.square(now.scale).max())
        low, high = spectrum.end_errors
        ends, least = 2.0 * high * units, 2.0 * low * units
        if found.sign == 1:
            least = min(least, 2.0 * low / abs(spectrum.scaled_smallest) * found.smallest)
    else:
        ends = least = 2.0 * LANCZOS_STEPS * spectrum.error  # each step may add its rounding
    if not (_near(kept.smallest, found.smallest, least) and _near(kept.largest, found.largest, ends)):
        return False
    if not spectrum.exact:
        return _still_proved(kept, found, 0.0, 0.0)
    off = float(np.linalg.norm(now.rounding.gradient / now.scale)) / math.sqrt(spectrum.seen)
    share = 2.0 * spectrum.error / spectrum.seen
    wide = 2.0 * off + min(share, 1.0) * float(np.nan_to_num(found.decrement))
    # The rounding of the gradient is a part of the bound, whatever the decrement is. The root of a bound by the penalty
    # can differ by as much in either direction.
    by_penalty = penalty_bound(np.zeros_like(now.gradient), now.rounding.gradient, now.penalty)
    least_bound = min(0.5 * off**2, math.inf if by_penalty is None else by_penalty)
    lower = wide
    proved = penalty_bound(now.gradient, now.rounding.gradient, now.penalty)
    if by_penalty is not None and proved is not None:
        lower = max(wide, math.sqrt(found.loss_gap_bound) - math.sqrt(proved) + 2.0 * math.sqrt(by_penalty))
    fewest, most = spectrum.flat_range
    # Where rounding decides which directions are flat, it also decides which directions the decrement covers.
    same_decrement = fewest < most or _near(kept.decrement, found.decrement, wide)
    return same_decrement and _still_proved(kept, found, lower, least_bound)


def _within(kept: Curvature, now: Endpoint) -> bool:
    """True where values by Lanczos's method lie within the spectrum that is known now. A negative one proves a
    saddle."""
    spectrum = now.spectrum
    if kept.method != "lanczos" or kept.flat_directions or kept.sign not in (-1, None) or math.isfinite(kept.decrement):
        return False
    if spectrum is None or not spectrum.exact:
        return True
    slack = _SLACK * max(abs(spectrum.smallest), abs(spectrum.largest))
    inside = spectrum.smallest - slack <= kept.smallest and kept.largest <= spectrum.largest + slack
    return inside and (kept.sign is None or spectrum.scaled_smallest <= -spectrum.error / EDGE)


def _same_sign(kept: Curvature, now: Endpoint) -> bool:
    found, spectrum = now.curvature, now.spectrum
    if kept.sign == found.sign:
        return True
    if spectrum is None or kept.sign is None or found.sign is None or kept.sign * found.sign:
        return False
    # The sign of a smallest curvature that is about as large as its rounding error may be found as 0 or not.
    if now.concordance is None and spectrum.far_range[0] == 0 < spectrum.far_range[1]:
        return kept.sign in (0, 1) and found.sign in (0, 1)  # rounding decides whether a step is long
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
    """True where the bound that was kept is at least the one that is proved now. wide: by how much rounding can lower
    its root. least: the part of the bound that no rounding changes."""
    if math.isnan(kept.loss_gap_bound):
        return True
    if math.isnan(found.loss_gap_bound):
        return False
    stated, proved = kept.loss_gap_bound * (1.0 + _SLACK), found.loss_gap_bound
    return stated >= least and math.sqrt(stated) >= math.sqrt(proved) - wide
