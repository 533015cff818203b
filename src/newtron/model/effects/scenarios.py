"""Over which rows effects are averaged, and with which cells: all rows, groups, means, or values that are given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Literal

import numpy as np

from newtron.engine.base.checks import shown
from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array, Labels, Matrix
from newtron.model.effects.cells import NO_CHANGES, Cell, Changes, VariedRows, variable_named

# Where effects are taken, beside values of columns.
PLACES = ("overall", "mean", "median", "rows")
_MOST_SCENARIOS = 1000


@dataclass(frozen=True, eq=False)
class Averaging:
    """How effects are averaged. at: one of `PLACES`, or for columns the values that all rows get; every combination is
    one scenario. by: the name of a grouping and the group (n,) of each row. weight: (n,) of the rows, or None."""

    at: object = "overall"
    by: tuple[str, Labels] | None = None
    weight: Array | None = None

    def scenarios(self, rows: VariedRows) -> list[Scenario]:
        """Raises InputError for columns and values that are not known."""
        weight = np.ones(rows.n_rows) if self.weight is None else np.asarray(self.weight, dtype=np.float64)
        if isinstance(self.at, Mapping):
            groups = list(self._groups(weight))
            weights, labels = np.array([w for _, w in groups]), tuple(label for label, _ in groups)
            return [Scenario(rows, weights, changes, labels, changes) for changes in _combinations(rows, self.at)]
        if self.at not in PLACES:
            places = ", ".join(map(repr, PLACES))
            raise InputError(
                f"at={shown(self.at)} must be one of {places}, or values of columns, such as at={{'age': [20, 40]}}."
            )
        if self.at == "rows":
            if self.by is not None:
                raise InputError('at="rows" has an effect for each row: leave out by.')
            return [Scenario(rows, None, NO_CHANGES, tuple({"row": i} for i in range(rows.n_rows)))]
        if self.at == "overall":
            groups = list(self._groups(weight))
            return [Scenario(rows, np.array([w for _, w in groups]), NO_CHANGES, tuple(label for label, _ in groups))]
        statistic: Literal["mean", "median"] = "mean" if self.at == "mean" else "median"
        one = rows.part(slice(0, 1))
        return [
            Scenario(one, np.ones((1, 1)), rows.typical(w, statistic), (label,)) for label, w in self._groups(weight)
        ]

    def _groups(self, weight: Array) -> Iterator[tuple[dict[str, object], Array]]:
        """What each group is called, and its weights (n,)."""
        if self.by is None:
            yield {}, weight
            return
        name, labels = self.by
        if labels.shape != weight.shape:
            raise InputError(f"by must name a group for each of the {len(weight):,} rows; its shape is {labels.shape}.")
        try:
            values = np.unique(labels)
        except TypeError:
            values = None
        if values is None or (values.dtype.kind == "f" and np.isnan(values).any()):
            raise InputError("by must be labels of one type, none of them missing.")
        for value in values.tolist():
            yield {name: value}, weight * (labels == value)


def grouping(by: object, X: Matrix) -> tuple[str, Labels] | None:
    """The name of a grouping and the label (n,) of each row: by is a column of the frame X, or labels."""
    if by is None:
        return None
    if isinstance(by, str):
        columns = getattr(X, "columns", None)
        if columns is None or by not in list(columns):
            raise InputError(f"by={by!r} is no column of X: give a column of a data frame, or the label of each row.")
        return by, np.asarray(X[by])
    name = getattr(by, "name", None)
    return (name if isinstance(name, str) and name else "group"), np.asarray(by)


@dataclass(frozen=True, eq=False)
class Scenario:
    """Rows with changed cells, and the averages over them. weights: (G, n), or None for each row on its own. labels:
    the conditions of each of the G averages; given: those that all have."""

    rows: VariedRows
    weights: Array | None
    changes: Changes
    labels: tuple[Mapping[str, object], ...]
    given: Mapping[str, object] = field(default_factory=dict)

    def conditions(self) -> list[dict[str, object]]:
        """What each of the G averages is of."""
        return [{**label, **self.given} for label in self.labels]

    def weights_of(self, name: str, changed: bool) -> Array | None:
        """The weights of averages over a column, adding to 1; a row whose cell is missing has none, unless the cell is
        changed."""
        if self.weights is None:
            return None
        kept = self.weights if changed or name in self.changes else self.weights * ~self.rows.missing(name)
        with np.errstate(invalid="ignore"):
            return np.asarray(kept / kept.sum(axis=1, keepdims=True))


def _combinations(rows: VariedRows, at: Mapping[object, object]) -> list[dict[str, Cell]]:
    names, values = [], []
    for name, given in at.items():
        names.append(variable_named(rows, name).name)
        several = isinstance(given, Iterable) and not isinstance(given, str)
        values.append([_plain(value) for value in given] if several else [_plain(given)])  # type: ignore[attr-defined]
    if not all(values) or not names:
        raise InputError("at must name one column or more, each with one value or more.")
    if np.prod([len(each) for each in values]) > _MOST_SCENARIOS:
        raise InputError(f"at has more than {_MOST_SCENARIOS:,} combinations of values: give fewer.")
    return [dict(zip(names, combination, strict=True)) for combination in product(*values)]


def _plain(value: object) -> Cell:
    """A value as a cell; NumPy's scalars become Python's."""
    plain = value.item() if isinstance(value, np.generic) else value
    return plain if isinstance(plain, str | bool | int | float) else str(plain)
