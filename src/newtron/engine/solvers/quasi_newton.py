"""What the steps of a run tell of the inverse Hessian: BFGS by pairs of a step and its change of the gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from newtron.engine.base.types import Array
from newtron.engine.objective import Objective

# Pairs that there is room for at first.
_LEAST_ROOM = 8


class _Room:
    """Room for rows, of which the first are used; only the rest is ever written to."""

    def __init__(self, rows: int, n_params: int) -> None:
        self.steps, self.changes, self.used = np.empty((rows, n_params)), np.empty((rows, n_params)), 0


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of a step and its change of the gradient, oldest first.

    steps, changes: (m, P). products: (m, m) of each step with the change of its own pair and of each later one; 0 below
    the diagonal. room: where steps and changes are rows, which end at its row `end`; None where they are not.
    """

    steps: Array
    changes: Array
    products: Array
    room: _Room | None = field(default=None, metadata={"derived": True})
    end: int = field(default=0, metadata={"derived": True})

    @classmethod
    def none(cls, n_params: int) -> Self:
        return cls(np.empty((0, n_params)), np.empty((0, n_params)), np.empty((0, 0)))

    def __len__(self) -> int:
        return len(self.steps)

    def times_inverse(self, gradient: Array, initial: Callable[[Array], Array]) -> Array:
        """The approximate inverse Hessian times the gradient.

        This is the two-loop recursion (Nocedal & Wright, alg. 7.4), whose loops are the solutions of two triangular
        systems, so that four products with matrices take the place of four passes over the pairs (compact form: Byrd,
        Nocedal & Schnabel 1994). initial: multiplies by the inverse that the pairs correct.
        """
        from scipy.linalg.lapack import dtrtrs

        if not len(self):
            return initial(gradient)
        triangle = self.products.T  # in LAPACK's column order
        along = dtrtrs(triangle, self.steps @ gradient, lower=True, trans=True)[0].reshape(-1)
        found = initial(gradient - along @ self.changes)
        left = np.diagonal(self.products) * along - self.changes @ found
        found += dtrtrs(triangle, left, lower=True)[0].reshape(-1) @ self.steps
        return found

    def with_pair(self, objective: Objective, step: Array, change: Array, most: int | None = None) -> Self:
        """The last pairs, at most so many, with one more, if the sign of its curvature is certain in spite of
        rounding."""
        unit: Array | Sequence[float] = np.ones_like(step) if objective.scale is None else objective.scale
        moved, changed = step * unit, change / unit
        if not step @ change > 1e-14 * float(moved @ moved) ** 0.5 * float(changed @ changed) ** 0.5:
            return self
        first = 0 if most is None else max(0, len(self) + 1 - most)
        room = self._room_after(first, most)
        room.steps[room.used], room.changes[room.used] = step, change
        room.used += 1
        m = len(self) - first + 1
        rows = slice(room.used - m, room.used)
        products = np.zeros((m, m))
        products[:-1, :-1] = self.products[first:, first:]
        products[:, -1] = room.steps[rows] @ change
        return type(self)(room.steps[rows], room.changes[rows], products, room, room.used)

    def _room_after(self, first: int, most: int | None) -> _Room:
        """The room of these pairs, where the row behind them is free; else another one, with the pairs from the first
        on and space for a quarter more."""
        if self.room is not None and self.end == self.room.used < len(self.room.steps):
            return self.room
        kept = len(self) - first
        rows = max(_LEAST_ROOM, 2 * (kept + 1))
        room = _Room(rows if most is None else min(rows, most + most // 4 + 1), self.steps.shape[1])
        room.steps[:kept], room.changes[:kept], room.used = self.steps[first:], self.changes[first:], kept
        return room
