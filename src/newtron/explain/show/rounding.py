"""Numbers as text: with few digits, but never so few that the numbers that are shown contradict each other.

A result has five digits and its factors have six. Where the rounded factors would give another result than the one that
is shown, they get more digits: a reader who multiplies or adds the numbers on the page gets the result on the page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from newtron.engine.maths.activations import ACTIVATIONS, Activation
from newtron.engine.maths.losses import LOSSES, Loss, sigmoid
from newtron.explain.steps import LAB

# Significant digits of results and of their factors, as a reader can check by hand; 17 identify every float64.
RESULT_DIGITS, FACTOR_DIGITS, ALL_DIGITS = 5, 6, 17

Compute = Callable[[Sequence[float]], float]


def number_text(value: float, digits: int = RESULT_DIGITS) -> str:
    """A number with this many significant digits, without trailing zeros: 0.5, -1.2346, 1.2e-09."""
    text = f"{value:.{digits}g}"
    return "0" if text == "-0" else text


def consistent_numbers(
    parts: Sequence[float], result: float, compute: Compute, digits: int = RESULT_DIGITS
) -> tuple[list[str], str]:
    """The parts with as many digits as are needed so that `compute` of the shown parts equals the shown result.

    digits: those of the result. It gets up to two more where even all digits of the parts leave it between two
    roundings. Where no number of digits suffices, as in log ŷ for a ŷ that is 1 but for rounding, the parts have their
    usual digits.
    """
    for result_digits in range(digits, min(digits + 3, ALL_DIGITS + 1)):
        target = number_text(result, result_digits)
        for part_digits in range(max(FACTOR_DIGITS, digits), ALL_DIGITS + 1):
            texts = [number_text(part, part_digits) for part in parts]
            if number_text(_tried(compute, texts), result_digits) == target:
                return texts, target
    return [number_text(part, FACTOR_DIGITS) for part in parts], number_text(result, digits)


def are_consistent(parts: Sequence[str], result: str, compute: Compute) -> bool:
    """Whether the shown result is what the shown parts give."""
    written = len(result.partition("e")[0].replace("-", "").replace(".", "").lstrip("0"))
    return number_text(_tried(compute, parts), max(RESULT_DIGITS, written)) == result


def _tried(compute: Compute, texts: Sequence[str]) -> float:
    with np.errstate(all="ignore"):
        try:
            return compute([float(text) for text in texts])
        except (ZeroDivisionError, OverflowError):
            return float("nan")  # for example 1 / (1 - ŷ) where ŷ rounds to 1: more digits are needed


def product(parts: Sequence[float]) -> float:
    """All parts multiplied, from left to right."""
    return math.prod(parts, start=1.0)


def rounding_note(notation: str) -> str:
    """How the numbers that are shown are rounded, in a sentence."""
    if notation == LAB:
        return "Matrices are shown with 6 digits; to_dict() has all of them."
    return (
        "Numbers are rounded: results to 5 digits, what they are made of to 6, or more where the rounded numbers "
        "would give another result."
    )


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
    "addition": lambda parts: float(sum(parts)),
    "rest": lambda parts: 1.0 - parts[0],
    "update": lambda parts: parts[0] - parts[1] * parts[2],  # w, η, g: w - η g
    "newton": lambda parts: parts[0] - parts[1] / parts[2],  # w, f′, f″: w - f′/f″
    "standardised": lambda parts: (parts[0] - parts[1]) / parts[2],  # given, mean, spread
    "restored": lambda parts: parts[0] * parts[1] + parts[2],  # value, spread, mean
    "asinh": lambda parts: math.asinh((parts[0] - parts[1]) / parts[2]),  # given, median, scale
    "piece": lambda parts: min(1.0, max(0.0, (parts[0] - parts[1]) / (parts[2] - parts[1]))),  # given, from, to
    "distance": lambda parts: parts[2] * abs(parts[0] - parts[1]),  # given, landmark, rate
    "similarity": lambda parts: math.exp(-parts[0]),  # distance
    "difference": lambda parts: parts[0] - parts[1],
    "pull": lambda parts: parts[0] * parts[1] / parts[2],  # α, w, m: α w / m
    "tempered": lambda parts: float(parts[0] ** (1.0 / parts[1])),  # p, T: p^(1/T)
    "share": lambda parts: parts[-2] / parts[-1],
    "quotient": lambda parts: (parts[-3] - parts[-2]) / (2.0 * parts[-1]),  # f(w + h), f(w - h), h
    "logistic": lambda parts: float(sigmoid(np.array(parts[0]))),
    "exponential": lambda parts: math.exp(parts[0]),
    "logistic slope": lambda parts: parts[0] * (1.0 - parts[0]),  # ŷ: ŷ (1 - ŷ)
    **{name: compute for loss in LOSSES for name, compute in _of_loss(loss)},
    **{name: compute for f in ACTIVATIONS.values() for name, compute in _of_activation(f)},
}

# The number of columns before the result that enter a relation, where these are not all of them.
ARITY = {"share": 2, "quotient": 3}
