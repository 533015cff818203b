"""The values of an objective on a grid over two parameters, for pictures."""

from __future__ import annotations

import numpy as np

from newtron.engine.base.types import Array
from newtron.engine.objective.objective import Objective


def values_on_grid(objective: Objective, params: Array, pair: tuple[int, int], first: Array, second: Array) -> Array:
    """The values (len(second), len(first)) over the two parameters `pair`, while the others are held at `params`."""
    moved = params.copy()
    values = np.empty((len(second), len(first)))
    for row, b in enumerate(second):
        for column, a in enumerate(first):
            moved[list(pair)] = a, b
            values[row, column] = objective.evaluate(moved, 0).value
    return values
