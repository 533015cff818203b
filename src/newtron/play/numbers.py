"""Arrays as JSON: lists of numbers, None where one is not finite."""

from __future__ import annotations

import math

from newtron.engine.base.types import Array
from newtron.explain.steps import finite_or_none
from newtron.play.messages import Number


def json_number(value: float) -> Number:
    number = float(value)
    return number if math.isfinite(number) else None


def json_vector(values: Array) -> list[Number]:
    found: list[Number] = finite_or_none(values).tolist()
    return found


def json_matrix(values: Array) -> list[list[Number]]:
    found: list[list[Number]] = finite_or_none(values).tolist()
    return found
