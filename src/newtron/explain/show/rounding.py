"""Numbers as they are shown: few digits, but never so few that what is shown contradicts itself.

A result has five digits and what it is computed from six. Where the rounded factors would give another result than
the one beside them, they are shown with more digits: whoever multiplies or adds what is on the page gets what is on
the page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from newtron.engine.maths.activations import ACTIVATIONS, Activation
from newtron.engine.maths.losses import LOSSES, Loss, sigmoid

RESULT_DIGITS, FACTOR_DIGITS, ALL_DIGITS = 5, 6, 17

Compute = Callable[[Sequence[float]], float]


def shown(value: float, digits: int = RESULT_DIGITS) -> str:
    """A number with so many significant digits, without trailing zeros: 0.5, -1.2346, 1.2e-09."""
    text = f"{value:.{digits}g}"
    return "0" if text == "-0" else text


def agreeing(
    parts: Sequence[float], result: float, compute: Compute, digits: int = RESULT_DIGITS
) -> tuple[list[str], str]:
    """The parts with as many digits as make `compute` of what is shown equal to the result as it is shown.

    digits: of the result; it gets more only where even all digits of the parts leave it on the edge between two. Where
    nothing agrees, as in log ŷ for a ŷ that is 1 but for rounding, the parts come with their usual digits.
    """
    for result_digits in range(digits, min(digits + 3, ALL_DIGITS + 1)):
        target = shown(result, result_digits)
        for part_digits in range(max(FACTOR_DIGITS, digits), ALL_DIGITS + 1):
            texts = [shown(part, part_digits) for part in parts]
            if shown(_tried(compute, texts), result_digits) == target:
                return texts, target
    return [shown(part, FACTOR_DIGITS) for part in parts], shown(result, digits)


def agrees(parts: Sequence[str], result: str, compute: Compute) -> bool:
    """Is the result, as it is shown, what the parts give as they are shown?"""
    written = len(result.partition("e")[0].replace("-", "").replace(".", "").lstrip("0"))
    return shown(_tried(compute, parts), max(RESULT_DIGITS, written)) == result


def _tried(compute: Compute, texts: Sequence[str]) -> float:
    with np.errstate(all="ignore"):
        try:
            return compute([float(text) for text in texts])
        except (ZeroDivisionError, OverflowError):
            return float("nan")  # as with 1 - ŷ where ŷ rounds to 1: more digits are needed


def product(parts: Sequence[float]) -> float:
    """All parts multiplied, from left to right."""
    found = 1.0
    for part in parts:
        found *= part
    return found


def update(parts: Sequence[float]) -> float:
    """w - η g."""
    before, rate, gradient = parts
    return before - rate * gradient


def addition(parts: Sequence[float]) -> float:
    """w + s."""
    return float(sum(parts))


def standardised(parts: Sequence[float]) -> float:
    """(given - mean) / spread."""
    given, mean, spread = parts
    return (given - mean) / spread


def asinh(parts: Sequence[float]) -> float:
    """asinh((given - median) / scale)."""
    given, median, scale = parts
    return math.asinh((given - median) / scale)


def pull(parts: Sequence[float]) -> float:
    """α w / m."""
    alpha, w, m = parts
    return alpha * w / m


def tempered(parts: Sequence[float]) -> float:
    """p^(1/T)."""
    p, temperature = parts
    return float(p ** (1.0 / temperature))


def restored(parts: Sequence[float]) -> float:
    """value · spread + mean."""
    value, spread, mean = parts
    return value * spread + mean


def share(parts: Sequence[float]) -> float:
    """The last but one part of the last."""
    return parts[-2] / parts[-1]


def quotient(parts: Sequence[float]) -> float:
    """(f(w + h) - f(w - h)) / 2h; what stands before them has no part in it."""
    above, below, h = parts[-3:]
    return (above - below) / (2.0 * h)


def logistic(parts: Sequence[float]) -> float:
    """σ(z)."""
    return float(sigmoid(np.array(parts[0])))


def logistic_slope(parts: Sequence[float]) -> float:
    """ŷ (1 - ŷ)."""
    return parts[0] * (1.0 - parts[0])


def rest(parts: Sequence[float]) -> float:
    """1 - ŷ."""
    return 1.0 - parts[0]


def newton(parts: Sequence[float]) -> float:
    """w - f′/f″."""
    before, slope, bend = parts
    return before - slope / bend


def _of_loss(loss: Loss) -> Iterator[tuple[str, Compute]]:
    """The loss and ∂L/∂ŷ of one output from y and ŷ."""

    def value(parts: Sequence[float]) -> float:
        y, mean = (np.array([[part]]) for part in parts)
        return float(loss.terms(y, mean)[0, 0])

    def by_mean(parts: Sequence[float]) -> float:
        y, mean = (np.array([[part]]) for part in parts)
        return float(loss.by_mean(y, mean)[0, 0])

    def by_z(parts: Sequence[float]) -> float:
        y, mean = parts
        return mean - y

    yield f"loss of {type(loss).__name__}", value
    yield f"by_mean of {type(loss).__name__}", by_mean
    yield f"by_z of {type(loss).__name__}", by_z


def _of_activation(f: Activation) -> Iterator[tuple[str, Compute]]:
    """The activation from z, and its slope from a."""

    def value(parts: Sequence[float]) -> float:
        z = np.array(parts[:1])
        f.apply(z)
        return float(z[0])

    yield f.name, value
    yield f"slope of {f.name}", lambda parts: float(f.slope(np.array(parts[:1]))[0])


# How the last column of a table follows from the others, or a value from its factors.
RELATIONS: dict[str, Compute] = {
    "product": product,
    "update": update,
    "addition": addition,
    "standardised": standardised,
    "restored": restored,
    "asinh": asinh,
    "pull": pull,
    "tempered": tempered,
    "share": share,
    "quotient": quotient,
    "logistic": logistic,
    "logistic slope": logistic_slope,
    "newton": newton,
    "rest": rest,
    **{name: compute for loss in LOSSES for name, compute in _of_loss(loss)},
    **{name: compute for f in ACTIVATIONS.values() for name, compute in _of_activation(f)},
}

# Relations that only the last few columns before the result have a part in.
ARITY = {"share": 2, "quotient": 3}
