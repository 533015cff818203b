"""The damped Gauss-Newton step of a network with more parameters than rows, through one equation for each row.

With J'HJ = B'B, B having a row for each row of data and output, and a diagonal penalty Λ, the Woodbury identity gives

    (B'B + Λ)^-1 b  =  Λ^-1 (b - B'(I + B Λ^-1 B')^-1 B Λ^-1 b).

The matrix B is never formed. Its entry for a weight from input q to unit u is a_q δ_u (`maths.curvature`), so where a
layer's penalty is the same for all units of an input, the layer adds to B Λ^-1 B' the elementwise product of two Gram
matrices, that of its inputs and that of its δ. The intercepts of the output, which have no penalty of their own, are
eliminated afterwards (a bordered system), so that their part of Λ may be 0.
"""

from __future__ import annotations

import numpy as np

from newtron.engine.base.types import Array
from newtron.engine.maths.curvature import seeded
from newtron.engine.maths.network import Linearization

# Directions of the output's intercepts in which the curvature is below this share of the largest, such as a common
# shift of all classes, are left at rest.
_FLAT = 1e-13


class RowSystem:
    """B at one point: the inputs (q, n) of each layer, and its δ (k, units, n) with H = R R' taken in."""

    def __init__(self, at: Linearization, inputs: list[Array], deltas: list[Array]) -> None:
        self._network, self._inputs, self._deltas = at.network, inputs, deltas
        self._border = at.network.n_outputs if at.network.intercept else 0

    @property
    def diagonal(self) -> Array:
        """(P,) of B'B."""
        squares = [np.square(a) @ np.square(d).sum(axis=0).T for a, d in zip(self._inputs, self._deltas, strict=True)]
        return np.concatenate([part.ravel() for part in squares])

    def times(self, v: Array) -> Array:
        """B'B v, (P,)."""
        return self.backward(self.forward(v))

    def factored(self, penalty: Array) -> RowFactor | None:
        """B'B + diag(penalty) as a factor; None where rounding leaves none.

        penalty: (P,) positive, but for the intercepts of the output 0 or more; the same for all units of an input.
        """
        from scipy.linalg.lapack import dpotrf, dpotrs

        k, border = self._network.n_outputs, self._border
        cholesky, info = dpotrf(self._gram(penalty).T, lower=False, clean=False, overwrite_a=True)
        if info != 0:
            return None
        edge = self._deltas[-1].transpose(0, 2, 1).reshape(-1, k)[:, :border]
        of_edge, _ = dpotrs(cholesky, edge, lower=False)
        left = edge.T @ of_edge
        if not (np.isfinite(of_edge).all() and np.isfinite(left).all()):
            return None
        if border:
            left[np.diag_indices(border)] += penalty[len(penalty) - border :]
        return RowFactor(self, penalty, cholesky, edge, of_edge, np.linalg.pinv(left, rcond=_FLAT))

    def _gram(self, penalty: Array) -> Array:
        """I + B Λ^-1 B' (k n, k n), without the intercepts of the output."""
        k, _, n = self._deltas[-1].shape
        total = np.eye(k * n)
        blocks = total.reshape(k, n, k, n)
        for number, (span, a, delta) in enumerate(
            zip(self._network.spans, self._inputs, self._deltas, strict=True), start=1
        ):
            of_unit = penalty[span].reshape(a.shape[0], -1)
            if (of_unit != of_unit[:, :1]).any():
                raise ValueError("The penalty must be the same for all units of an input.")
            kept = a.shape[0] - (self._border > 0 and number == len(self._inputs))
            scaled = a[:kept] / np.sqrt(of_unit[:kept, :1])
            turned = delta.transpose(1, 0, 2).reshape(delta.shape[1], -1)
            product = (turned.T @ turned).reshape(k, n, k, n)
            product *= (scaled.T @ scaled)[:, None, :]
            blocks += product
        return total

    def forward(self, x: Array) -> Array:
        """B x, (k n,)."""
        parts = zip(self._network.spans, self._inputs, self._deltas, strict=True)
        found = [(d * (x[span].reshape(len(a), -1).T @ a)).sum(axis=1) for span, a, d in parts]
        return np.asarray(sum(found)).reshape(-1)

    def backward(self, y: Array) -> Array:
        """B'y, (P,)."""
        of_output = y.reshape(self._deltas[-1].shape[0], 1, -1)
        parts = [a @ (d * of_output).sum(axis=0).T for a, d in zip(self._inputs, self._deltas, strict=True)]
        return np.concatenate([part.ravel() for part in parts])


class RowFactor:
    """B'B + diag(penalty) by the Cholesky factor of I + B Λ^-1 B', bordered by the intercepts of the output.

    edge: (k n, intercepts) their part of B, of_edge: solved for, inverse: the pseudoinverse of what is left for them.
    """

    def __init__(
        self, rows: RowSystem, penalty: Array, cholesky: Array, edge: Array, of_edge: Array, inverse: Array
    ) -> None:
        self._rows, self._penalty, self._cholesky = rows, penalty, cholesky
        self._edge, self._of_edge, self._inverse = edge, of_edge, inverse

    def solve(self, b: Array) -> Array | None:
        """(B'B + diag(penalty))^-1 b, (P,); None where it is not finite."""
        from scipy.linalg.lapack import dpotrs

        own, penalty = slice(0, len(b) - self._edge.shape[1]), self._penalty
        by_penalty = b / np.where(penalty > 0.0, penalty, 1.0)
        by_penalty[own.stop :] = 0.0
        y = dpotrs(self._cholesky, self._rows.forward(by_penalty), lower=False)[0].reshape(-1)
        if not np.isfinite(y).all():
            return None
        x = np.empty_like(b)
        if own.stop < len(b):
            x[own.stop :] = self._inverse @ (b[own.stop :] - self._edge.T @ y)
            y = y + self._of_edge @ x[own.stop :]
        x[own] = (b[own] - self._rows.backward(y)[own]) / penalty[own]
        return x if np.isfinite(x).all() else None


def row_system(at: Linearization, H: Array) -> RowSystem | None:
    """The system for H (n, k, k), the Hessian of each row's loss; None where H is indefinite in some row."""
    found = seeded(at, H)
    return None if found is None else RowSystem(at, *found)
