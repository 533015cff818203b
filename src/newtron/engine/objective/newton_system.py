"""Newton's step at a point in square-root form: R s = c in place of (R'R) s = R'c.

Forming R'R squares the condition of R. Columns that differ by 1e-8 of themselves are the same to R'R in float64, and
not to R.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from newtron.engine.base.linalg import qr_triangle, svd
from newtron.engine.base.threads import cached_property
from newtron.engine.base.types import Array

# A Hessian in equilibrated columns whose condition is above epsilon^-0.7 (1e11 for float64) has so few digits left
# along its weakest direction that the rows are asked instead.
_LOST = 0.7
_DIGIT = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class NewtonSystem:
    """The Newton step s at a point by R s = c: R'R is `weight` times the Hessian and R'c is -`weight` times the
    gradient, neither of which is formed.

    R: (P, P) upper triangular. c: (P,). weight: total weight of the rows. epsilon: relative rounding of the rows'
    dtype.
    """

    R: Array
    c: Array
    weight: float
    epsilon: float

    @cached_property
    def _norm(self) -> Array:
        norm = np.linalg.norm(self.R, axis=0)
        norm[norm == 0.0] = 1.0
        return np.asarray(norm)

    @cached_property
    def _decomposed(self) -> tuple[Array, Array, Array]:
        """The singular value decomposition of R with columns of equal norm."""
        return svd(self.R / self._norm)

    @property
    def _rank(self) -> int:
        """The numerical rank, by the same threshold as in `least_squares`."""
        s = self._decomposed[1]
        return int(np.sum(s > s[0] * 10 * len(s) * _DIGIT))

    @property
    def has_near_dependence(self) -> bool:
        """Do columns nearly depend on each other, so that R has digits that the Hessian has lost? Columns that depend
        on each other exactly do not count, since the Hessian shows them too."""
        s = self._decomposed[1]
        return bool(s[self._rank - 1] < s[0] * float(self.epsilon) ** (0.5 * _LOST))

    def step(self) -> Array:
        """The step (P,): the shortest one, in columns of equal norm, where some columns depend on others."""
        U, s, Vt = self._decomposed
        r = self._rank
        return np.asarray((Vt[:r].T @ ((U[:, :r].T @ self.c) / s[:r])) / self._norm)

    @property
    def decrement(self) -> float:
        """sqrt(g'H^-1 g)."""
        return float(np.linalg.norm(self._decomposed[0][:, : self._rank].T @ self.c) / np.sqrt(self.weight))

    def decrease(self, step: Array) -> float:
        """The decrease of the quadratic model along a step."""
        moved = self.R @ step
        return (float(self.c @ moved) - 0.5 * float(moved @ moved)) / self.weight

    def rounding(self, params: Array) -> float:
        """The increase of the value when the parameters at the optimum are rounded to doubles."""
        digit: Array = _DIGIT * np.abs(params)
        return 0.5 * float(np.sum(np.square(self._norm * digit))) / self.weight

    def eigen(self, metric: Array) -> tuple[Array, Array, Array]:
        """Eigenvalues (ascending) and eigenvectors of the Hessian in parameters times `metric`, and the gradient in the
        basis of the eigenvectors, with the digits that R has."""
        U, s, Vt = svd(self.R / metric)
        return (
            np.square(s[::-1]) / self.weight,
            np.ascontiguousarray(Vt[::-1].T),
            -(s * (U.T @ self.c))[::-1] / self.weight,
        )

    def damped(self, added: Array) -> NewtonSystem:
        """The system of the Hessian with `added` (P,) on its diagonal."""
        rest = np.diag(np.sqrt(self.weight * added))
        R = qr_triangle(np.vstack([np.column_stack([self.R, self.c]), np.column_stack([rest, 0.0 * self.c])]))
        P = len(self.c)
        return NewtonSystem(R[:P, :P], R[:P, P], self.weight, self.epsilon)


def lost_digits(condition: float, epsilon: float) -> bool:
    """Has a Hessian of this condition (in equilibrated columns) lost digits that the rows may have? epsilon: relative
    rounding of the rows' dtype, in which it was summed."""
    return not condition < epsilon**-_LOST
