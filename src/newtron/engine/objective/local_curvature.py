"""The curvature of an objective at a point, as the steps of Levenberg-Marquardt ask for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from newtron.engine.base.linalg import cholesky_solve, damped_cholesky, newton_decrement
from newtron.engine.base.types import Array
from newtron.engine.maths.row_system import RowFactor, RowSystem


class DampedCurvature(ABC):
    """A factored H + diag(added), by which several vectors are solved."""

    @abstractmethod
    def solve(self, b: Array) -> Array | None:
        """(H + diag(added))^-1 b, (P,); None where it is not finite."""


class LocalCurvature(ABC):
    """A symmetric matrix H of curvature."""

    diagonal: Array

    @abstractmethod
    def damped(self, added: Array) -> DampedCurvature | None:
        """H + diag(added), added (P,); None where it is not numerically positive definite."""

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

    def damped(self, added: Array) -> DampedCurvature | None:
        cholesky = damped_cholesky(self.matrix, added)
        return None if cholesky is None else _DampedMatrix(cholesky)

    def times(self, v: Array) -> Array:
        return np.asarray(self.matrix @ v)

    def decrement(self, gradient: Array) -> float:
        return newton_decrement(self.matrix, gradient)


@dataclass(frozen=True, eq=False)
class _DampedMatrix(DampedCurvature):
    cholesky: Array

    def solve(self, b: Array) -> Array | None:
        return cholesky_solve(self.cholesky, b)


class RowCurvature(LocalCurvature):
    """The Gauss-Newton matrix (B'B + diag(alpha)) / weight by its rows, where they are fewer than the parameters.

    alpha: (P,) the same for all units of an input, and above 0 but for the intercepts of the output.
    """

    def __init__(self, rows: RowSystem, alpha: Array, weight: float) -> None:
        self._rows, self._alpha, self._weight = rows, alpha, weight
        self.diagonal = (rows.diagonal + alpha) / weight

    def damped(self, added: Array) -> DampedCurvature | None:
        factor = self._rows.factored(self._alpha + self._weight * added)
        return None if factor is None else _DampedRows(factor, self._weight)

    def times(self, v: Array) -> Array:
        return (self._rows.times(v) + self._alpha * v) / self._weight

    def decrement(self, gradient: Array) -> float:
        factor = self._rows.factored(self._alpha)
        step = None if factor is None else factor.solve(self._weight * gradient)
        return float("nan") if step is None else float(max(0.0, float(gradient @ step)) ** 0.5)


@dataclass(frozen=True, eq=False)
class _DampedRows(DampedCurvature):
    factor: RowFactor
    weight: float

    def solve(self, b: Array) -> Array | None:
        return self.factor.solve(self.weight * b)
