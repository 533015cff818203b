"""What a perceptron keeps of its rows for its summary, as JSON and arrays, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from newtron.engine.base.errors import InputError
from newtron.engine.base.strict_json import (
    DAMAGED,
    a_count,
    a_flag,
    a_number,
    an_object,
    float_from_json,
    float_to_json,
    wrong,
)
from newtron.engine.maths.network import Network
from newtron.inference.coefficients.information import LARGEST, Information
from newtron.model_file.archive import Vector

_FIELDS = ("n_rows", "weight", "whole_weights", "log_likelihood")


def _name(number: int, part: str) -> str:
    return f"members/{number}/{part}.npy"


def information_names(member: Any, number: int) -> tuple[str, ...]:
    """The arrays that a member's entry in the manifest asks for."""
    kept = isinstance(member, dict) and member.get("information") is not None
    return (_name(number, "root"), _name(number, "moments")) if kept else ()


def information_to_json(kept: Information | None, number: int, arrays: dict[str, Vector]) -> dict[str, Any] | None:
    """The entry of the manifest; puts the triangle, row by row, and the moments among the arrays."""
    if kept is None:
        return None
    arrays[_name(number, "root")] = kept.root[np.triu_indices(kept.root.shape[0])].astype(np.float64)
    moments = (kept.penalty, kept.residual_products, kept.target_squares)
    arrays[_name(number, "moments")] = np.concatenate([part.ravel() for part in moments]).astype(np.float64)
    return {
        "n_rows": int(kept.n_rows),
        "weight": float(kept.weight),
        "whole_weights": bool(kept.whole_weights),
        "log_likelihood": float_to_json(kept.log_likelihood),
    }


def information_from_json(
    value: Any, number: int, network: Network, task: str, read: Callable[[str, int], Vector], capacity: int
) -> Information | None:
    if value is None:
        return None
    where = f"members[{number}].information"
    if isinstance(value, dict) and "whole_weights" not in value:
        value = {**value, "whole_weights": True}  # as files before this field took it
    an_object(value, where, _FIELDS)
    if not network.is_linear:
        raise wrong(where, "null for a network with hidden layers", value)
    n_rows = a_count(value["n_rows"], f"{where}.n_rows", 1)
    weight = a_number(value["weight"], f"{where}.weight")
    if not weight > 0.0:
        raise wrong(f"{where}.weight", "above 0", weight)
    k, q = network.n_outputs, network.widths[0] + network.intercept
    regression = task == "regression"
    m = q if regression else max(1, k - 1) * q
    if m * (m + 1) // 2 > capacity:
        raise wrong(where, "a triangle of as many numbers as are stored", m)
    name = _name(number, "root")
    triangle = _finite(read, name, m * (m + 1) // 2)
    if np.abs(triangle).max(initial=0.0) > LARGEST:
        raise InputError(f"{name} holds numbers too large to be squared; {DAMAGED}.")
    root = np.zeros((m, m))
    root[np.triu_indices(m)] = triangle
    ends = np.cumsum([k * q, k * k * regression, k * regression])
    name = _name(number, "moments")
    penalty, products, squares = np.split(_finite(read, name, int(ends[-1])), ends[:2])
    products = products.reshape((k, k) if regression else (0, 0))
    if min(part.min(initial=0.0) for part in (penalty, np.diagonal(products), squares)) < 0.0:
        raise InputError(f"{name} holds squares that are negative; {DAMAGED}.")
    likelihood = float_from_json(value["log_likelihood"], f"{where}.log_likelihood")
    whole = a_flag(value["whole_weights"], f"{where}.whole_weights")
    return Information(root, penalty.reshape(k, q), weight, n_rows, whole, likelihood, products, squares)


def _finite(read: Callable[[str, int], Vector], name: str, length: int) -> Vector:
    found = read(name, length)
    if not np.isfinite(found).all():
        raise InputError(f"{name} holds numbers that are not finite; {DAMAGED}.")
    return found
