"""The margins of a classification: for each row and each class that is not its own, (w_own - w_other)'[x, 1].

A row is on its right side where its margins are positive; for two classes the one margin is ±(w'x + b). Columns are
brought to equal size by powers of two, which round nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from newtron.linalg import is_sparse

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
            X -= self.center
        self.scale = _power_of_two(np.abs(X).max(axis=0, initial=0.0))
        X /= self.scale
        return np.column_stack([X, np.ones(self.n_rows)]) if self.intercept else X

    def _other(self, rows: Index, number: Index) -> Index:
        """The number-th class that is not the row's own."""
        return np.asarray(number + (number >= self.codes[rows]))

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

        rows, number = np.divmod(which, self.others)
        scaled = sparse.coo_matrix(self.inputs[rows])
        at, column, value = scaled.row, scaled.col.astype(np.int64), scaled.data / self.size[rows][scaled.row]
        shape = (len(which), self.n_params)
        if self.outputs == 1:
            side = np.where(self.codes[rows] == 1, 1.0, -1.0)
            return sparse.csr_matrix((value * side[at], (at, column)), shape=shape)
        # Parameters lie column by column of X, and of each column class by class.
        first = column * self.outputs
        ends = np.r_[first + self.codes[rows][at], first + self._other(rows, number)[at]]
        return sparse.csr_matrix((np.r_[value, -value], (np.r_[at, at], ends)), shape=shape)

    def span(self, which: Index) -> Array | None:
        """(P, rank) orthonormal: the parameters that some margins depend on, or None where that takes too long."""
        P = self.n_params
        if float(len(which)) * P * P > _WORK:
            return None
        R: Array = np.zeros((0, P))
        for start in range(0, len(which), _BLOCK):
            block = self.matrix(which[start : start + _BLOCK]).toarray()
            R = np.asarray(np.linalg.qr(np.vstack([R, block]), mode="r"))
        _, values, V = np.linalg.svd(R, full_matrices=False)
        return np.asarray(V[values > _FLAT * values.max(initial=0.0)].T)

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


def _power_of_two(size: Array) -> Array:
    """The power of two next below each number; 1 for zero."""
    _, exponent = np.frexp(np.where(size > 0.0, size, 1.0))
    return np.asarray(np.ldexp(1.0, exponent - 1))
