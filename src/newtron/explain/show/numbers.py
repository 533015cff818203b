"""Equations with numbers, rounded so that they hold as they are shown."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from newtron.engine.maths.chain_rules import ChainRule
from newtron.explain.show.rounding import RELATIONS, are_consistent, consistent_numbers, product
from newtron.explain.steps import Step, StepFactor


def enclosed(text: str) -> str:
    """The text of a number, in parentheses where it is negative."""
    return f"({text})" if text.startswith("-") else text


def equation(template: str, parts: Sequence[float], result: float, relation: str) -> str:
    """The template with the parts in the places of <0>, <1>, ..., and the result: "½ (3 - 2.5)² = 0.125".

    A negative part gets parentheses, unless a bracket opens before it. Where the equation holds with no number of
    digits, because the result was computed in a way that loses fewer of them, the text is "".
    """
    texts, found = consistent_numbers(parts, result, RELATIONS[relation])
    if not are_consistent(texts, found, RELATIONS[relation]):
        return ""

    def place(match: re.Match[str]) -> str:
        text, before, after = texts[int(match[1])], template[: match.start()], template[match.end() :]
        bare = before in ("", "{") or (before.endswith("(") and not before.endswith("log("))
        if after[:1] in ("²", "^"):
            return f"({text})" if "e" in text else enclosed(text)
        return text if bare else enclosed(text)

    return f"{re.sub('<([0-9]+)>', place, template)} = {found}"


def numeric_step(
    key: str,
    symbol: str,
    formula: str,
    sentence: str,
    template: str,
    factors: tuple[StepFactor, ...],
    relation: str,
    value: float,
    lines: tuple[str, ...] = (),
) -> Step:
    """A step whose value follows from numbers, with the equation that `template` gives of them."""
    numbers = equation(template, [float(factor.value) for factor in factors], value, relation)
    return Step(key, symbol, formula, sentence, np.asarray(value), factors, relation, numbers, lines=lines)


def product_equation(parts: Sequence[float], result: float) -> str:
    """The text of a product, such as "(-0.27) × 2 = -0.54"."""
    texts, found = consistent_numbers(parts, result, product)
    return f"{' × '.join(map(enclosed, texts))} = {found}"


def at_target(rule: ChainRule, y: float, value: str) -> tuple[str, str]:
    """The formulas of the loss and of ∂L/∂ŷ, without the term that is zero where y is 0 or 1."""
    short = {0.0: rule.at_zero, 1.0: rule.at_one}.get(y)
    return (value, rule.by_mean) if short is None else short


def filled(formula: str, y: str, mean: str) -> str:
    """A formula of y and ŷ as a template, with these names replaced."""
    return re.sub("[yŷ]", lambda match: y if match[0] == "y" else mean, formula)
