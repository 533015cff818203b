"""The margins of a classification: for each row and each other class than its own, (w_own - w_other)'[x, 1].

A row is classified correctly where its margins are positive; for two classes the one margin is ±(w'x + b). Columns are
scaled to about equal size by powers of two, which causes no rounding.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.linalg import is_sparse, qr_triangle, svd, two_product, two_sum
from newtron.engine.base.types import Array, Matrix

Index = NDArray[np.integer]

# The rows that a factorization takes at a time, and the multiplications that it may take, about a second of one core.
_BLOCK, _WORK = 8192, 3e10
# Orthogonal coordinates may take this share of these multiplications: they are computed in double-double arithmetic.
_DOUBLE_DOUBLE = 0.01
# Singular values below this share of the largest belong to directions that change nothing.
_FLAT = 1e-10
# The rounding error of a sum of products is at most so many times its size times epsilon.
_ROUNDING = 8.0


class Margins:
    """Margins of the rows with a positive weight, as functions of parameters (P,) in units of the scaled columns.

    X: (n, p) dense or CSR. codes: (n,) the class of each row. weight: (n,) or None. For two classes the parameters are
    those of one output; for K > 2 classes those of K outputs, (q, K) row by row, where q counts the intercept. Margin j
    is that of row j // others against its (j % others)-th other class.
    """

    def __init__(
        self, X: Matrix, codes: Index, n_classes: int, weight: Array | None = None, intercept: bool = True
    ) -> None:
        if weight is not None and not np.all(weight > 0.0):
            counted = np.flatnonzero(weight > 0.0)
            X, codes = X[counted], codes[counted]
        self.codes, self.intercept = codes, intercept
        self.n_rows, self.n_features = int(X.shape[0]), int(X.shape[1])
        self.outputs = 1 if n_classes == 2 else n_classes
        self.others = n_classes - 1
        self.center: Array = np.zeros(self.n_features)
        self.scale: Array = np.ones(self.n_features)
        # (n, p) the rounding errors of centring, in scaled columns; None where there are none.
        self.low: Array | None = None
        self.inputs = self._scaled(X)
        self.n_columns = self.n_features + intercept
        self.n_params = self.n_columns * self.outputs
        largest = abs(self.inputs).max(axis=1)
        self.size: Array = np.ravel(largest.toarray() if is_sparse(X) else largest)
        self.size[self.size == 0.0] = 1.0

    @property
    def n_margins(self) -> int:
        """The number of margins, n_rows times others."""
        return self.n_rows * self.others

    @property
    def cells(self) -> float:
        """The numbers in the whole matrix of margins that need not be zero."""
        return float(self.n_margins) * self.n_columns * min(2, self.outputs)

    def _scaled(self, X: Matrix) -> Matrix:
        """The scaled columns with a column of ones for the intercept; sets center, scale and low."""
        if is_sparse(X):
            from scipy import sparse

            X = sparse.csr_matrix(X, dtype=np.float64)
            self.scale = _power_of_two(np.ravel(abs(X).max(axis=0).toarray()))
            scaled = X.multiply(1.0 / self.scale).tocsr()
            ones = sparse.csr_matrix(np.ones((self.n_rows, 1)))
            return sparse.hstack([scaled, ones], format="csr") if self.intercept else scaled
        X = np.array(X, dtype=np.float64)
        if self.intercept:
            # The center is a value of the column, so that whole numbers stay whole.
            middle = np.abs(X - X.mean(axis=0)).argmin(axis=0)
            self.center = X[middle, np.arange(X.shape[1])]
            X, low = two_sum(X, -self.center)
            self.low = low if low.any() else None
        self.scale = _power_of_two(np.abs(X).max(axis=0, initial=0.0))
        X /= self.scale
        if self.low is not None:
            self.low /= self.scale
        return np.column_stack([X, np.ones(self.n_rows)]) if self.intercept else X

    def _other(self, rows: Index, number: Index) -> Index:
        """The number-th of the classes other than the row's own."""
        return np.asarray(number + (number >= self.codes[rows]))

    def ends(self, which: Index) -> tuple[Index, Index, Index]:
        """The row, its own class and the other class of some margins."""
        rows, number = np.divmod(which, self.others)
        return rows, self.codes[rows], self._other(rows, number)

    def along(self, params: Array) -> Array:
        """(n, others) every margin along a direction, relative to the size of its row."""
        z = np.asarray(self.inputs @ params.reshape(-1, self.outputs))
        z /= self.size[:, None]
        if self.outputs == 1:
            return z * np.where(self.codes == 1, 1.0, -1.0)[:, None]
        every = np.arange(self.n_rows)
        other = self._other(every[:, None], np.arange(self.others))
        return np.asarray(z[every, self.codes][:, None] - np.take_along_axis(z, other, axis=1))

    def matrix(self, which: Index) -> Matrix:
        """(m, P) CSR: some margins, relative to the sizes of their rows, as linear functions of the parameters."""
        from scipy import sparse

        rows, own, other = self.ends(which)
        scaled = sparse.coo_matrix(self.inputs[rows])
        at, column, value = scaled.row, scaled.col.astype(np.int64), scaled.data / self.size[rows][scaled.row]
        shape = (len(which), self.n_params)
        if self.outputs == 1:
            side = np.where(own == 1, 1.0, -1.0)
            return sparse.csr_matrix((value * side[at], (at, column)), shape=shape)
        # Parameters are ordered by column of X, and those of a column by class.
        first = column * self.outputs
        ends = np.r_[first + own[at], first + other[at]]
        return sparse.csr_matrix((np.r_[value, -value], (np.r_[at, at], ends)), shape=shape)

    def span(self, which: Index) -> Array | None:
        """(P, rank) an orthonormal basis of the parameters on which some margins depend; None where that takes too
        long."""
        spectrum = self.spectrum(which)
        if spectrum is None:
            return None
        values, V = spectrum
        return V[:, values > _FLAT * values.max(initial=0.0)]

    def spectrum(self, which: Index) -> tuple[Array, Array] | None:
        """The singular values, largest first, and the right singular vectors (the columns of V, (P, P) or (P, m)) of
        the matrix of some margins; None where that takes too long."""
        P = self.n_params
        if float(len(which)) * P * P > _WORK:
            return None
        R: Array = np.zeros((0, P))
        for start in range(0, len(which), _BLOCK):
            block = self.matrix(which[start : start + _BLOCK]).toarray()
            R = np.asarray(np.linalg.qr(np.vstack([R, block]), mode="r"))
        _, values, V = svd(R)
        return np.asarray(values), np.asarray(V.T)

    def is_unchanged_along(self, V: Array, outputs: int | None = None) -> bool:
        """True if no margin changes, except by rounding, along the columns of V (q * outputs, m), which are directions
        of the parameters. With one output they are directions of the columns of X."""
        outputs = self.outputs if outputs is None else outputs
        if not V.shape[1]:
            return True
        of_columns = V.reshape(self.n_columns, -1)
        center = np.append(np.abs(self.center) / self.scale, np.zeros(self.n_columns - self.n_features))
        moved = np.asarray(self.inputs @ of_columns).reshape(self.n_rows, outputs, -1)
        far = np.abs(moved[:, 0]) if outputs == 1 else 0.5 * np.ptp(moved, axis=1)
        size = np.asarray(abs(self.inputs).max(axis=1).toarray() if is_sparse(self.inputs) else self.size)
        most = (size.reshape(-1, 1) + center.max()) * np.linalg.norm(V, axis=0)
        return bool((far <= negligible_change(self.n_columns) * most).all())

    def orthogonal(self) -> tuple[Array, Array] | None:
        """Z (n, q') and T (q, q') with Z = [X, 1] T in scaled columns. The columns of Z are nearly orthogonal and of
        equal length; those that are only rounding are left out. None where X is sparse or where it takes too long.

        Z is computed in double-double arithmetic, so that a small difference of large columns keeps its digits.
        """
        q = self.n_columns
        if is_sparse(self.inputs) or float(self.n_rows) * q * q > _DOUBLE_DOUBLE * _WORK:
            return None
        _, values, V = svd(qr_triangle(self.inputs))
        kept = values > q * np.finfo(np.float64).eps * values.max(initial=0.0)
        if not self.is_unchanged_along(V[~kept].T, 1):
            return None
        T = np.asarray(V[kept].T / values[kept] * np.sqrt(self.n_rows))
        high: Array = np.zeros((self.n_rows, T.shape[1]))
        low: Array = np.zeros_like(high)
        for j in range(q):
            product, error = two_product(self.inputs[:, j, None], T[j])
            if self.low is not None and j < self.n_features:
                error += self.low[:, j, None] * T[j]
            high, lost = two_sum(high, product)
            low += lost + error
        return np.asarray(high + low), T

    def to_user(self, params: Array) -> tuple[Array, Array]:
        """Parameters as coefficients (outputs, p) and intercepts (outputs,) of X as it was given."""
        W = params.reshape(-1, self.outputs)
        coef = W[: self.n_features] / self.scale[:, None]
        if not self.intercept:
            return np.ascontiguousarray(coef.T), np.zeros(self.outputs)
        b = W[-1] - self.center @ coef
        rounding = _ROUNDING * np.finfo(np.float64).eps * (np.abs(W[-1]) + np.abs(self.center) @ np.abs(coef))
        b[np.abs(b) <= rounding] = 0.0
        return np.ascontiguousarray(coef.T), np.asarray(b)

    def from_user(self, coef: Array, intercept: Array) -> Array:
        """Coefficients (outputs, p) and intercepts (outputs,) of X as it was given, as parameters."""
        W = coef.T * self.scale[:, None]
        if self.intercept:
            W = np.vstack([W, intercept + self.center @ coef.T])
        return np.asarray(W, dtype=np.float64).ravel()


def negligible_change(n_columns: int) -> float:
    """The change of a row's prediction along a unit direction, relative to the row's largest value, that rounding of
    the row, of the direction and of the sum can cause where the exact change is 0."""
    return 4.0 * float(np.sqrt(n_columns)) * float(np.finfo(np.float64).eps)


def _power_of_two(size: Array) -> Array:
    """The power of two next below each number; 1 for zero."""
    _, exponent = np.frexp(np.where(size > 0.0, size, 1.0))
    return np.asarray(np.ldexp(1.0, exponent - 1))
