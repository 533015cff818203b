"""What was measured of a member's end, in JSON and back: from this its certificate is made again."""

from __future__ import annotations

import math
from typing import Any

from newtron.engine.base.strict_json import a_count, a_text, an_object, float_from_json, float_to_json, one_of, wrong
from newtron.inference.certificate.endpoint import METHODS, Curvature

_FIELDS = (
    "method",
    "sign",
    "smallest",
    "largest",
    "decrement",
    "loss_gap_bound",
    "no_bound_reason",
    "flat_directions",
    "fingerprint",
)
_LONGEST = 1000


def curvature_to_json(curvature: Curvature) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in _FIELDS:
        value = getattr(curvature, name)
        found[name] = value if value is None or isinstance(value, int | str) else float_to_json(value)
    return found


def curvature_from_json(value: Any, where: str) -> Curvature | None:
    """None where nothing was kept, as in the files of the first versions."""
    if value is None:
        return None
    value = {"fingerprint": "", **value} if isinstance(value, dict) else value  # earlier files know no fingerprint
    an_object(value, where, _FIELDS)
    sign = value["sign"]
    if sign is not None and (isinstance(sign, bool) or not isinstance(sign, int) or sign not in (-1, 0, 1)):
        raise wrong(f"{where}.sign", "-1, 0, 1 or null", sign)
    numbers = {
        name: float_from_json(value[name], f"{where}.{name}")
        for name in ("smallest", "largest", "decrement", "loss_gap_bound")
    }
    for name in ("decrement", "loss_gap_bound"):
        if not (math.isnan(numbers[name]) or 0.0 <= numbers[name] < math.inf):
            raise wrong(f"{where}.{name}", "0 or more, or nan", value[name])
    reason = a_text(value["no_bound_reason"], f"{where}.no_bound_reason")
    if len(reason) > _LONGEST or bool(reason) != math.isnan(numbers["loss_gap_bound"]):
        raise wrong(f"{where}.no_bound_reason", "a sentence where there is no bound, and else empty", reason)
    method = one_of(value["method"], f"{where}.method", METHODS)
    flat = a_count(value["flat_directions"], f"{where}.flat_directions")
    of = a_text(value["fingerprint"], f"{where}.fingerprint")
    if len(of) > _LONGEST:
        raise wrong(f"{where}.fingerprint", "a fingerprint", of)
    return Curvature(method=method, sign=sign, no_bound_reason=reason, flat_directions=flat, fingerprint=of, **numbers)  # type: ignore[arg-type]
