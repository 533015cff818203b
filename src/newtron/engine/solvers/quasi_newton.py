"""What the steps of a run tell of the inverse Hessian: BFGS by pairs of a step and its change of the gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from newtron.engine.base.types import Array
from newtron.engine.objective import Objective


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of a step and its change of the gradient, oldest first.

    steps, changes: (m, P). products: (m, m) of each step with the change of its own pair and of each later one; 0 below
    the diagonal.
    """

    steps: Array
    changes: Array
    products: Array

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
        steps, changes = _with_row(self.steps[first:], step), _with_row(self.changes[first:], change)
        products = np.zeros((len(steps), len(steps)))
        products[:-1, :-1] = self.products[first:, first:]
        products[:, -1] = steps @ change
        return type(self)(steps, changes, products)


def _with_row(rows: Array, last: Array) -> Array:
    """(m + 1, P): the rows (m, P) and one more."""
    found = np.empty((len(rows) + 1, len(last)))
    found[:-1], found[-1] = rows, last
    return found
