"""Firth's penalised likelihood for the logistic perceptron: finite coefficients under separation, and less bias.

The penalised likelihood is ℓ*(β) = ℓ(β) + ½ log det I(β), where I = Σ w_i (diag(p_i) - p_i p_i') ⊗ x_i x_i' is the
Fisher information. The penalty is Jeffreys' prior (Firth 1993; Heinze & Schemper 2002; for more than two classes Bull,
Mak & Greenwood 2002). Two classes are the case of one output, whose score is Σ (w_i (y_i - p_i) + h_i (½ - p_i)) x_i
with the hat values h_i.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, overload

import numpy as np

from newtron.engine.base.errors import InputError
from newtron.engine.base.linalg import Factor, factorize, is_sparse
from newtron.engine.base.types import Array, Matrix
from newtron.engine.base.words import column_names, setting
from newtron.engine.objective import Evaluation, FirstOrder, Objective, SecondOrder

# Rows that are added up at a time.
FIRTH_BLOCK = 4096
# Numbers that one block of the third derivatives may hold: 32 MB.
_THIRDS = 4_000_000
# An exact Hessian takes at most so many multiplications, about a second of one core, and has at most so many
# parameters. Beyond, the Fisher information takes its place as curvature.
_WORK, _MATRIX = 2e10, 200
# A pivot of the equilibrated Gram matrix below this belongs to a column that depends on others.
_DEPENDENT = 1e-10
# By how much the largest norm of a row is rounded up, far more than its rounding error.
_ROUND_UP = 1.001


class FirthObjective(Objective):
    """-ℓ*(β) / Σw as a function of β (q * m,): for each of the q columns of [X, 1] the m coefficients of all classes
    but a reference class, whose coefficients are zero. The optimum does not depend on which class is the reference.

    X: (n, p) dense or CSR. Y: (n, m) ones and zeros, for the classes other than the reference. weight: (n,) or None; a
    weight of 2 means the row twice. intercept: whether a column of ones stands last. names: of the columns of X.
    Raises InputError where columns depend on each other, since det I is then 0.
    """

    is_linear = True

    def __init__(
        self,
        X: Matrix,
        Y: Array,
        weight: Array | None = None,
        *,
        intercept: bool = True,
        names: tuple[str, ...] | None = None,
    ) -> None:
        self._X, self._intercept = X, intercept
        self._Y = np.asarray(Y, dtype=np.float64)
        self._weight = np.ones(len(Y)) if weight is None else np.asarray(weight, dtype=np.float64)
        self.total_weight = float(self._weight.sum())
        self.n_outputs = self._Y.shape[1]
        self.n_columns = X.shape[1] + intercept
        self.n_params = self.n_columns * self.n_outputs
        self.n_rows = len(self._weight)
        self.rows_per_parameter = len(Y) * self.n_outputs / self.n_params
        gram = sum((B.T @ (w[:, None] * B) for B, _, w in self._blocks()), np.zeros((self.n_columns, self.n_columns)))
        self._check_independent(gram, names)
        self._scale = np.repeat(np.sqrt(np.diagonal(gram) / self.total_weight), self.n_outputs)

    @property
    def scale(self) -> Array:
        return self._scale

    @property
    def gradient_scale(self) -> Array:
        return self._scale

    def _blocks(self, rows: int = FIRTH_BLOCK) -> Iterator[tuple[Array, Array, Array]]:
        """[X, 1] (n, q), Y and the weights, block by block."""
        for start in range(0, len(self._weight), rows):
            cut = slice(start, start + rows)
            X = self._X[cut]
            X = np.asarray(X.toarray() if is_sparse(X) else X, dtype=np.float64)
            inputs = np.column_stack([X, np.ones(len(X))]) if self._intercept else X
            yield inputs, self._Y[cut], self._weight[cut]

    def _check_independent(self, gram: Array, names: tuple[str, ...] | None) -> None:
        shown = column_names(names, self.n_columns - self._intercept)
        dependent = _dependent(gram, first=self._intercept)
        if dependent:
            told = ", ".join(shown[j] for j in dependent)
            plural = len(dependent) > 1
            raise InputError(
                f"{setting('penalty', repr('firth'))} needs columns that do not depend on each other: leave out the "
                f"column{'s' if plural else ''} {told}, which follow{'' if plural else 's'} from the others"
                f"{' and the intercept' if self._intercept else ''}."
            )

    def information(self, params: Array) -> Array:
        """I(β), (P, P): the Fisher information of all rows, not divided by their weight."""
        total = np.zeros((self.n_params, self.n_params))
        for inputs, _, weight in self._blocks():
            total += self._sandwich(inputs, weight[:, None, None] * _variance(self._p(inputs, params)))
        return total

    def log_likelihood(self, params: Array) -> tuple[float, float]:
        """ℓ(β) and ℓ*(β), summed over the rows."""
        plain = 0.0
        for inputs, Y, weight in self._blocks():
            plain += float(weight @ _log_p(inputs @ params.reshape(self.n_columns, -1), Y))
        return plain, plain + 0.5 * float(np.linalg.slogdet(self.information(params))[1])

    def _p(self, inputs: Array, params: Array) -> Array:
        """(n, m) probabilities of the classes other than the reference."""
        z = inputs @ params.reshape(self.n_columns, -1)
        top = np.maximum(z.max(axis=1), 0.0)[:, None]
        e = np.exp(z - top)
        return np.asarray(e / (e.sum(axis=1, keepdims=True) + np.exp(-top)))

    def _sandwich(self, inputs: Array, H: Array) -> Array:
        """(P, P) Σ H_i ⊗ x_i x_i' for H (n, m, m), with the parameters ordered by column."""
        q, m = self.n_columns, self.n_outputs
        total = np.empty((q, m, q, m))
        for a in range(m):
            for b in range(a, m):
                total[:, a, :, b] = inputs.T @ (H[:, a, b, None] * inputs)
                total[:, b, :, a] = total[:, a, :, b]
        return total.reshape(q * m, q * m)

    @property
    def exact(self) -> bool:
        """True where the Hessian is the exact one; else the information takes its place."""
        return self.work <= _WORK and self.exact_hessian_allowed

    @property
    def work(self) -> float:
        """The multiplications of one exact Hessian."""
        return float(self.n_rows) * float(self.n_params) ** 3 + 2.0 * float(self.n_params) ** 4

    @property
    def exact_hessian_allowed(self) -> bool:
        """True where an exact Hessian fits in memory, however long it takes."""
        return self.n_params <= _MATRIX

    def exact_hessian(self, params: Array) -> Array:
        """The exact Hessian (P, P), whatever it costs; nan where the information is singular."""
        self.counts["hessian"] += 1
        return self._at(params, 2, exact=True).hessian

    def leverage_length(self, params: Array) -> float:
        """Σ w_i h_i |x_i|² in scaled columns, with the hat values h_i = tr(V_i S_i), which add to P."""
        factor = factorize(self.information(params))
        if factor is None:
            return float("nan")
        inverse = factor.solve(np.eye(self.n_params))
        unit = 1.0 / np.square(self._scale.reshape(self.n_columns, -1)[:, 0])
        total = 0.0
        for inputs, _, weight in self._blocks():
            h = np.einsum("iab,iab->i", _variance(self._p(inputs, params)), self._hat(inputs, inverse))
            total += float((weight * h) @ (np.square(inputs) @ unit))
        return total

    def radius(self) -> float:
        """The largest norm of a row of [X, 1] whose weight is positive, with columns scaled to mean square 1."""
        unit = 1.0 / np.square(self._scale.reshape(self.n_columns, -1)[:, 0])
        lengths = (float(np.max(np.square(A[w > 0.0]) @ unit, initial=0.0)) for A, _, w in self._blocks())
        return _ROUND_UP * float(np.sqrt(max(lengths)))

    def _evaluate(self, params: Array, order: int, gauss_newton: bool) -> Evaluation:
        return self._at(params, order, exact=self.exact and not gauss_newton)

    @overload
    def _at(self, params: Array, order: Literal[2], *, exact: bool) -> SecondOrder: ...

    @overload
    def _at(self, params: Array, order: int, *, exact: bool) -> Evaluation: ...

    def _at(self, params: Array, order: int, *, exact: bool) -> Evaluation:
        n = self.total_weight
        information = self.information(params)
        factor = factorize(information)
        plain = 0.0
        gradient = np.zeros(self.n_params)
        if factor is None:
            return SecondOrder(np.inf, gradient * np.nan, information * np.nan)
        inverse = factor.solve(np.eye(self.n_params)) if order > 0 else information
        curvature = np.zeros_like(information)
        with_curvature = order > 1 and exact
        for inputs, Y, weight in self._blocks():
            plain += float(weight @ _log_p(inputs @ params.reshape(self.n_columns, -1), Y))
            if order == 0:
                continue
            p = self._p(inputs, params)
            S = self._hat(inputs, inverse)
            slope = _variance_slope(p, S)
            gradient += (inputs.T @ (weight[:, None] * (Y - p + 0.5 * slope))).ravel()
            if with_curvature:
                curvature += self._sandwich(inputs, weight[:, None, None] * _variance_curvature(p, S))
        value = -(plain + 0.5 * factor.log_determinant) / n
        if order == 0:
            return Evaluation(value)
        if order == 1:
            return FirstOrder(value, -gradient / n)
        hessian = information / n
        if with_curvature:
            hessian += (0.5 * self._squared_information_slope(params, factor) - 0.5 * curvature) / n
        return SecondOrder(value, -gradient / n, hessian)

    def _hat(self, inputs: Array, inverse: Array) -> Array:
        """(n, m, m): x_i' (I^-1)_ab x_i for each pair of outputs."""
        q, m = self.n_columns, self.n_outputs
        S = np.empty((len(inputs), m, m))
        blocks = inverse.reshape(q, m, q, m)
        for a in range(m):
            for b in range(a, m):
                S[:, a, b] = S[:, b, a] = np.einsum("ij,ij->i", inputs @ blocks[:, a, :, b], inputs)
        return S

    def _squared_information_slope(self, params: Array, factor: Factor) -> Array:
        """tr(I^-1 ∂_r I I^-1 ∂_s I) for each pair of parameters: the Gram matrix of the derivatives of I, in the
        coordinates in which I is the identity."""
        q, m, P = self.n_columns, self.n_outputs, self.n_params
        # Σ w_i x_ij x_ik x_il ∂V_i,ab/∂z_c for all j, k, l, a, b, c, by one matrix product for each block of rows.
        thirds = np.zeros((q * q, q * m**3))
        for inputs, _, weight in self._blocks(rows=max(16, _THIRDS // (q * m**3 + q * q))):
            third = (_third(self._p(inputs, params)) * weight[:, None, None, None]).reshape(len(inputs), 1, -1)
            pairs = (inputs[:, :, None] * inputs[:, None, :]).reshape(len(inputs), -1)
            thirds += pairs.T @ (inputs[:, :, None] * third).reshape(len(inputs), -1)
        # The derivative of I by parameter (j, c), at the parameters (k, a) and (l, b).
        derivatives = thirds.reshape(q, q, q, m, m, m).transpose(2, 5, 0, 3, 1, 4).reshape(P, P, P)
        half = np.linalg.inv(np.triu(factor.cholesky).T) / factor.scale
        flat = (half @ derivatives @ half.T).reshape(P, -1)
        return np.asarray(flat @ flat.T)


def _log_p(z: Array, Y: Array) -> Array:
    """(n,) the logarithm of the probability of each row's own class; z of the reference class is 0."""
    top = np.maximum(z.max(axis=1), 0.0)
    return np.asarray((Y * z).sum(axis=1) - top - np.log(np.exp(-top) + np.exp(z - top[:, None]).sum(axis=1)))


def _variance(p: Array) -> Array:
    """(n, m, m): V = diag(p) - pp', what one row of weight 1 adds to the information."""
    V = -p[:, :, None] * p[:, None, :]
    every = np.arange(p.shape[1])
    V[:, every, every] += p
    return V


def _variance_slope(p: Array, S: Array) -> Array:
    """(n, m): the gradient of tr(V S) with respect to z, V (diag(S) - 2 S p)."""
    d = np.diagonal(S, axis1=1, axis2=2) - 2.0 * np.einsum("iab,ib->ia", S, p)
    return np.asarray(p * d - p * np.einsum("ia,ia->i", p, d)[:, None])


def _variance_curvature(p: Array, S: Array) -> Array:
    """(n, m, m): the Hessian of tr(V S) with respect to z."""
    V = _variance(p)
    d = np.diagonal(S, axis1=1, axis2=2) - 2.0 * np.einsum("iab,ib->ia", S, p)
    mean = np.einsum("ia,ia->i", p, d)
    Vd = p * (d - mean[:, None])
    curvature = d[:, :, None] * V - mean[:, None, None] * V - p[:, :, None] * Vd[:, None, :]
    return np.asarray(curvature - 2.0 * V @ S @ V)


def _third(p: Array) -> Array:
    """(n, m, m, m): ∂V_ab/∂z_c = V_ab δ_ac - p_a V_bc - p_b V_ac, with V_ab δ_ac where a is b the whole of it."""
    m = p.shape[1]
    V = _variance(p)
    # V_ab = p_a δ_ab - p_a p_b and ∂p_a/∂z_c = V_ac.
    third = -V[:, :, :, None] * p[:, None, None, :] - V[:, :, None, :] * p[:, None, :, None]
    every = np.arange(m)
    third[:, :, every, every] += V
    return third


def _dependent(gram: Array, first: bool) -> list[int]:
    """The columns that depend on those before them, by a Cholesky factorization of the equilibrated Gram matrix. With
    `first` the last column, of ones, comes before all others."""
    q = len(gram)
    order = [q - 1, *range(q - 1)] if first else list(range(q))
    size = np.sqrt(np.diagonal(gram))
    unit = np.where(size > 0.0, size, 1.0)
    left = (gram / unit / unit[:, None])[np.ix_(order, order)]
    found = []
    for j in range(q):
        pivot = left[j, j]
        if not pivot > _DEPENDENT:
            found.append(order[j])
            continue
        left[j + 1 :, j + 1 :] -= np.outer(left[j + 1 :, j], left[j, j + 1 :]) / pivot
    return found
