"""The margins of a classification: for each row and each class that is not its own, (w_own - w_other)'[x, 1].

A row is on its right side where its margins are positive; for two classes the one margin is ±(w'x + b). Columns are
brought to equal size by powers of two, which round nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.linalg import is_sparse, qr_triangle, svd, two_product, two_sum

Array = NDArray[np.floating]
Index = NDArray[np.integer]

# Rows at a time in a factorization, and the most multiplications it may take.
_BLOCK, _WORK = 8192, 3e10
# Singular values smaller than this share of the largest belong to directions that move nothing.
_FLAT = 1e-10


class Margins:
    """Margins of the rows with a positive weight, as functions of parameters (P,) in units of the scaled columns.

    X (n, p) dense or CSR, codes (n,) of the own class, weight (n,) or None. For two classes the parameters are those of
    one output; for K > 2 those of K outputs, (q, K) row by row, where q counts the intercept. Margin j is that of
    row j // others against its (j % others)-th other class.
    """

    def __init__(self, X: Any, codes: Index, n_classes: int, weight: Any = None, intercept: bool = True) -> None:
        if weight is not None and not np.all(weight > 0.0):
            counted = np.flatnonzero(weight > 0.0)
            X, codes = X[counted], codes[counted]
        self.codes, self.intercept = codes, intercept
        self.n_rows, self.n_features = int(X.shape[0]), int(X.shape[1])
        self.outputs = 1 if n_classes == 2 else n_classes
        self.others = n_classes - 1
        self.center: Array = np.zeros(self.n_features)
        self.scale: Array = np.ones(self.n_features)
        # What centring rounds away, (n, p) in scaled columns; None where it rounds nothing away.
        self.low: Array | None = None
        self.inputs = self._scaled(X)
        self.n_columns = self.n_features + intercept
        self.n_params = self.n_columns * self.outputs
        largest = abs(self.inputs).max(axis=1)
        self.size: Array = np.ravel(largest.toarray() if is_sparse(X) else largest)
        self.size[self.size == 0.0] = 1.0

    @property
    def n_margins(self) -> int:
        return self.n_rows * self.others

    @property
    def cells(self) -> float:
        """Numbers in the whole matrix of margins that need not be zero."""
        return float(self.n_margins) * self.n_columns * min(2, self.outputs)

    def _scaled(self, X: Any) -> Any:
        if is_sparse(X):
            from scipy import sparse

            X = sparse.csr_matrix(X, dtype=np.float64)
            self.scale = _power_of_two(np.ravel(abs(X).max(axis=0).toarray()))
            scaled = X.multiply(1.0 / self.scale).tocsr()
            ones = sparse.csr_matrix(np.ones((self.n_rows, 1)))
            return sparse.hstack([scaled, ones], format="csr") if self.intercept else scaled
        X = np.array(X, dtype=np.float64)
        if self.intercept:
            # About a value that the column has, so that whole numbers stay whole.
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
        """The number-th class that is not the row's own."""
        return np.asarray(number + (number >= self.codes[rows]))

    def ends(self, which: Index) -> tuple[Index, Index, Index]:
        """Of some margins the row, its own class and the other one."""
        rows, number = np.divmod(which, self.others)
        return rows, self.codes[rows], self._other(rows, number)

    def of(self, params: Array) -> Array:
        """(n, others) every margin, relative to the size of its row."""
        z = np.asarray(self.inputs @ params.reshape(-1, self.outputs))
        z /= self.size[:, None]
        if self.outputs == 1:
            return z * np.where(self.codes == 1, 1.0, -1.0)[:, None]
        every = np.arange(self.n_rows)
        other = self._other(every[:, None], np.arange(self.others))
        return np.asarray(z[every, self.codes][:, None] - np.take_along_axis(z, other, axis=1))

    def matrix(self, which: Index) -> Any:
        """(m, P) CSR: some margins, relative to the sizes of their rows, as the linear functions that they are."""
        from scipy import sparse

        rows, own, other = self.ends(which)
        scaled = sparse.coo_matrix(self.inputs[rows])
        at, column, value = scaled.row, scaled.col.astype(np.int64), scaled.data / self.size[rows][scaled.row]
        shape = (len(which), self.n_params)
        if self.outputs == 1:
            side = np.where(own == 1, 1.0, -1.0)
            return sparse.csr_matrix((value * side[at], (at, column)), shape=shape)
        # Parameters lie column by column of X, and of each column class by class.
        first = column * self.outputs
        ends = np.r_[first + own[at], first + other[at]]
        return sparse.csr_matrix((np.r_[value, -value], (np.r_[at, at], ends)), shape=shape)

    def span(self, which: Index) -> Array | None:
        """(P, rank) orthonormal: the parameters that some margins depend on, or None where that takes too long."""
        spectrum = self.spectrum(which)
        if spectrum is None:
            return None
        values, V = spectrum
        return V[:, values > _FLAT * values.max(initial=0.0)]

    def spectrum(self, which: Index) -> tuple[Array, Array] | None:
        """Singular values, largest first, and right singular vectors (the columns of V, (P, P) or (P, m)) of the matrix
        of some margins; None where that takes too long."""
        P = self.n_params
        if float(len(which)) * P * P > _WORK:
            return None
        R: Array = np.zeros((0, P))
        for start in range(0, len(which), _BLOCK):
            block = self.matrix(which[start : start + _BLOCK]).toarray()
            R = np.asarray(np.linalg.qr(np.vstack([R, block]), mode="r"))
        _, values, V = svd(R)
        return np.asarray(values), np.asarray(V.T)

    def stays(self, V: Array, outputs: int | None = None) -> bool:
        """Does no row that counts have a margin that moves, but by rounding, along any of these directions of the
        parameters, the columns of V (q * outputs, m)? With one output V is taken for directions of the columns."""
        outputs = self.outputs if outputs is None else outputs
        if not V.shape[1]:
            return True
        of_columns = V.reshape(self.n_columns, -1)
        center = np.append(np.abs(self.center) / self.scale, np.zeros(self.n_columns - self.n_features))
        moved = np.asarray(self.inputs @ of_columns).reshape(self.n_rows, outputs, -1)
        far = np.abs(moved[:, 0]) if outputs == 1 else 0.5 * np.ptp(moved, axis=1)
        size = np.asarray(abs(self.inputs).max(axis=1).toarray() if is_sparse(self.inputs) else self.size)
        most = (size.reshape(-1, 1) + center.max()) * np.linalg.norm(V, axis=0)
        return bool((far <= still(self.n_columns) * most).all())

    def orthogonal(self) -> tuple[Array, Array] | None:
        """Z (n, q') and T (q, q') with Z = [X, 1] T in scaled columns, whose columns are nearly orthogonal and of equal
        length, without those that move no row but by rounding; None where X is sparse or that takes too long.

        Z is computed in double-double arithmetic, so that a small difference of large columns keeps its digits.
        """
        q = self.n_columns
        if is_sparse(self.inputs) or float(self.n_rows) * q * q > _WORK / 100.0:
            return None
        _, values, V = svd(qr_triangle(self.inputs))
        kept = values > q * np.finfo(np.float64).eps * values.max(initial=0.0)
        if not self.stays(V[~kept].T, 1):
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
        rounding = 8.0 * np.finfo(np.float64).eps * (np.abs(W[-1]) + np.abs(self.center) @ np.abs(coef))
        b[np.abs(b) <= rounding] = 0.0
        return np.ascontiguousarray(coef.T), np.asarray(b)

    def from_user(self, coef: Array, intercept: Array) -> Array:
        """Coefficients (outputs, p) and intercepts (outputs,) of X as it was given, as parameters."""
        W = coef.T * self.scale[:, None]
        if self.intercept:
            W = np.vstack([W, intercept + self.center @ coef.T])
        return np.asarray(W, dtype=np.float64).ravel()


def still(n_columns: int) -> float:
    """How far a row may move along a unit direction, relative to its largest value, and yet be said not to move: what
    the rounding of the row's own values, of the direction and of the sum can make of nothing."""
    return 4.0 * float(np.sqrt(n_columns)) * float(np.finfo(np.float64).eps)


def _power_of_two(size: Array) -> Array:
    """The power of two next below each number; 1 for zero."""
    _, exponent = np.frexp(np.where(size > 0.0, size, 1.0))
    return np.asarray(np.ldexp(1.0, exponent - 1))
