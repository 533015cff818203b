"""A line search that ends at a point with enough descent and a flatter slope (the strong Wolfe conditions).

Near an optimum differences of values are below their rounding while slopes are not: there the approximate Wolfe
condition of Hager & Zhang 2005 decides by slopes alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from newtron.engine.base.types import Array
from newtron.engine.objective import FirstOrder, LinePoint, Objective

# Constants of the Wolfe conditions, as in Nocedal & Wright, ch. 3: sufficient descent, and the slope that may be left.
_DESCENT, _FLATTER = 1e-4, 0.9
# Trials on one line at most.
_TRIES = 40


def wolfe(
    on_line: Callable[[float], LinePoint], value: float, slope: float, t: float, noise: float
) -> tuple[float, LinePoint] | None:
    """A step length t and the function there, from the value and the (negative) slope at 0; None if there is no
    descent.

    t: the first trial. noise: rounding of a value, absolute.
    """
    low, low_point = 0.0, LinePoint(value, slope)
    high, high_point = np.inf, low_point
    for _ in range(_TRIES):
        point = on_line(t)
        descends = point.value <= value + _DESCENT * t * slope or (
            point.value <= value + noise and point.slope <= (2.0 * _DESCENT - 1.0) * slope
        )
        if not (np.isfinite(point.value) and np.isfinite(point.slope) and descends):
            high, high_point = t, point
        elif abs(point.slope) <= -_FLATTER * slope:
            return t, point
        elif point.slope < 0.0:
            low, low_point = t, point
        else:
            high, high_point = t, point
        if np.isinf(high):
            t *= 2.0 if t < 1.0 or low_point.slope >= slope else 4.0
            continue
        if high - low <= 1e-12 * high:
            break
        t = low + (high - low) * _fraction(low_point, high_point, high - low)
    return (low, low_point) if low > 0.0 else None


def seen_at(objective: Objective, params: Array, point: LinePoint) -> FirstOrder:
    """What a search found at params, with the gradient that it may not have needed."""
    return objective.evaluate(params, 1) if point.gradient is None else FirstOrder(point.value, point.gradient)


def _fraction(low: LinePoint, high: LinePoint, width: float) -> float:
    """Where between the two to try next, as a share of the width, at least 0.1 away from the ends."""
    guess = 0.5
    if np.isfinite(high.value) and np.isfinite(high.slope):
        if high.slope > 0.0:
            guess = low.slope / (low.slope - high.slope)  # zero of the slope between them
        else:
            bend = high.value - low.value - low.slope * width
            guess = -low.slope * width / (2.0 * bend) if bend > 0.0 else 0.5
    return float(np.clip(guess, 0.1, 0.9))
