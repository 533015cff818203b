"""What is known of a classifier's separation, in JSON and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import InputError
from newtron.engine.base.strict_json import DAMAGED, a_count, a_list, a_number, a_text, an_object, one_of, wrong
from newtron.inference.separation.separation import KINDS, Separation

_FIELDS = (
    "kind",
    "rows",
    "rows_apart",
    "columns",
    "names",
    "direction",
    "intercept",
    "smallest_margin",
    "proof",
)


def separation_to_json(found: Separation | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "kind": found.kind,
        "rows": found.rows,
        "rows_apart": found.rows_apart,
        "columns": list(found.columns),
        "names": list(found.names),
        "direction": None if found.direction is None else found.direction.tolist(),
        "intercept": None if found.intercept is None else found.intercept.tolist(),
        "smallest_margin": found.smallest_margin,
        "proof": found.proof,
    }


def separation_from_json(value: Any, n_features: int, n_outputs: int) -> Separation | None:
    """Checked in itself: a direction where classes are separated and nowhere else, columns that there are."""
    if value is None:
        return None
    an_object(value, "separation", _FIELDS)
    kind = one_of(value["kind"], "separation.kind", KINDS)
    rows = a_count(value["rows"], "separation.rows", 1)
    apart = a_count(value["rows_apart"], "separation.rows_apart")
    columns = a_list(value["columns"], "separation.columns", a_count)
    names = a_list(value["names"], "separation.names", a_text)
    found = Separation(
        kind,  # type: ignore[arg-type]
        rows,
        apart,
        tuple(columns),
        tuple(names),
        _numbers(value["direction"], "separation.direction", (n_outputs, n_features)),
        _numbers(value["intercept"], "separation.intercept", (n_outputs,)),
        a_number(value["smallest_margin"], "separation.smallest_margin"),
        a_text(value["proof"], "separation.proof"),
    )
    fits = (
        (found.direction is not None) == (found.intercept is not None) == found.found
        and (0 < apart <= rows if found.found else apart == 0 and not columns)
        and len(columns) == len(names)
        and columns == sorted(set(columns))
        and all(column < n_features for column in columns)
    )
    if not fits:
        raise InputError(f"separation does not fit the model or itself; {DAMAGED}.")
    return found


def _numbers(value: Any, where: str, shape: tuple[int, ...]) -> NDArray[np.float64] | None:
    """An array of this shape from nested lists, or None."""
    if value is None:
        return None

    def read(item: Any, place: str, depth: int) -> Any:
        if depth == len(shape):
            return a_number(item, place)
        found = a_list(item, place, lambda inner, spot: read(inner, spot, depth + 1))
        if len(found) != shape[depth]:
            raise wrong(place, f"{shape[depth]} of them", item)
        return found

    return np.array(read(value, where, 0), dtype=np.float64).reshape(shape)
