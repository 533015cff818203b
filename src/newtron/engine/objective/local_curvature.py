"""The curvature of an objective at a point, as the steps of Levenberg-Marquardt ask for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from newtron.engine.base.linalg import damped_step, newton_decrement
from newtron.engine.base.types import Array
from newtron.engine.maths.row_system import RowSystem


class LocalCurvature(ABC):
    """A symmetric matrix H of curvature."""

    diagonal: Array

    @abstractmethod
    def damped_step(self, added: Array, gradient: Array) -> Array | None:
        """-(H + diag(added))^-1 g; None where the sum is not numerically positive definite."""

    @abstractmethod
    def times(self, v: Array) -> Array:
        """H v, for v (P,)."""

    @abstractmethod
    def decrement(self, gradient: Array) -> float:
        """sqrt(g'H^-1 g); nan where H is indefinite, inf where the gradient has a part without any curvature."""


@dataclass(frozen=True)
class MatrixCurvature(LocalCurvature):
    """The matrix itself (P, P)."""

    matrix: Array

    @property
    def diagonal(self) -> Array:  # type: ignore[override]
        return np.diagonal(self.matrix)

    def damped_step(self, added: Array, gradient: Array) -> Array | None:
        return damped_step(self.matrix, added, gradient)

    def times(self, v: Array) -> Array:
        return np.asarray(self.matrix @ v)

    def decrement(self, gradient: Array) -> float:
        return newton_decrement(self.matrix, gradient)


class RowCurvature(LocalCurvature):
    """The Gauss-Newton matrix (B'B + diag(alpha)) / weight by its rows, where they are fewer than the parameters.

    alpha: (P,) the same for all units of an input, and above 0 but for the intercepts of the output.
    """

    def __init__(self, rows: RowSystem, alpha: Array, weight: float) -> None:
        self._rows, self._alpha, self._weight = rows, alpha, weight
        self.diagonal = (rows.diagonal + alpha) / weight

    def damped_step(self, added: Array, gradient: Array) -> Array | None:
        return self._rows.solve(self._alpha + self._weight * added, -self._weight * gradient)

    def times(self, v: Array) -> Array:
        return (self._rows.times(v) + self._alpha * v) / self._weight

    def decrement(self, gradient: Array) -> float:
        step = self._rows.solve(self._alpha, self._weight * gradient)
        return float("nan") if step is None else float(max(0.0, float(gradient @ step)) ** 0.5)
