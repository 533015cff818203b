"""Random intercepts of crossed groups around a raw prediction that is given, and the variances they are drawn from.

With f (n,) a raw prediction, Z the indicators of all groups side by side and b ~ N(0, diag(τ²)), the intercepts are the
mode of their posterior: the minimum of

    Σ_i weight_i loss(y_i, f_i + (Z b)_i) / s² + ½ Σ_j b_j² / τ_j²,

with s² the variance of the noise for squared errors, and 1 where the variance follows from the mean. For squared errors
these are the best linear unbiased predictions (Henderson's mixed model equations, (Z'WZ / s² + 1/τ²) b = Z'Wr / s²);
for other losses Newton's method finds them, and the posterior is the Gaussian there (Laplace). The variances are at
MacKay's fixed point (1992), which for squared errors is that of the likelihood of the variances:

    γ_j = L_j - tr(C_j) / τ_j²,    τ_j² = b_j'b_j / γ_j,    s² = Σ_i weight_i e_i² / (Σ_i weight_i - Σ_j γ_j),

with C_j the block of the posterior covariance that belongs to the L_j groups of a column and γ_j how many of its
intercepts the rows determine. Where groups are few the posterior covariance is computed. Where they are many no matrix
is formed: the equations are solved by conjugate gradients, and traces are found from a few random vectors of signs
(Hutchinson 1990), exactly where there is one column. So the cost is proportional to the rows, whatever the number of
groups.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.linalg import Factor, factorize
from newtron.engine.base.threads import cached_property
from newtron.engine.base.types import Array, Matrix
from newtron.engine.maths.losses import Loss

# Rounds of the fixed point, and the change of the logarithms of the variances at which it ends.
_ROUNDS, _AT_REST = 60, 1e-2
# Steps of Newton's method to the mode, and how often one of them is halved at most.
_NEWTON, _HALVINGS = 30, 20
# Steps of conjugate gradients, and the relative residuals where they end, for intercepts and for traces.
_STEPS, _SOLVED, _TRACED = 1000, 1e-10, 1e-3
# Rows x groups² up to which the posterior covariance is computed: a few milliseconds.
_COVARIANCE_WORK = 2e7
# Vectors of signs for the traces of several columns, drawn from this seed.
_PROBES, _SEED = 4, 0
# A variance of less than this share of the noise is none: its groups explain nothing.
_NOTHING = 1e-6
# Changes of a variance count relative to itself, and relative to this share of the noise where it is smaller.
_SMALL = 1e-2
# The noise is divided by at least this share of the rows as degrees of freedom.
_LEAST_FREE = 1e-3
# The share of the objective by which it must fall for another step of Newton's method.
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Crossed:
    """Rows in the groups of one or more columns. places: (n,) of each column, the position of the row's group, counted
    from 0. sizes: how many groups each column has. weight: (n,) of the rows."""

    places: tuple[NDArray[np.intp], ...]
    sizes: tuple[int, ...]
    weight: Array

    @cached_property
    def _indicators(self) -> tuple[Matrix, Matrix]:
        """Z (n, ΣL) and its transpose as sparse matrices."""
        from scipy.sparse import csr_array

        n, m = len(self.weight), len(self.sizes)
        first = np.concatenate([[0], np.cumsum(self.sizes)[:-1]])
        columns = np.column_stack([at + start for at, start in zip(self.places, first, strict=True)])
        Z = csr_array((np.ones(n * m), columns.ravel(), np.arange(n + 1) * m), shape=(n, sum(self.sizes)))
        return Z, Z.T.tocsr()

    @cached_property
    def few(self) -> Array | None:
        """Z (n, ΣL) as an array, where several columns have few groups; else None."""
        n, L = len(self.weight), sum(self.sizes)
        if len(self.sizes) == 1 or n * L**2 > _COVARIANCE_WORK:
            return None
        return np.asarray(self._indicators[0].toarray())

    def of_rows(self, b: Array) -> Array:
        """Z b (n,), the sum of the intercepts (ΣL,) of each row's groups."""
        return np.asarray(self._indicators[0] @ b)

    def of_groups(self, r: Array) -> Array:
        """Z'r (ΣL,), the sums of r (n,) over the rows of each group."""
        return np.asarray(self._indicators[1] @ r)

    def split(self, b: Array) -> list[Array]:
        """The parts of b (ΣL,) that belong to each column."""
        return np.split(b, np.cumsum(self.sizes)[:-1])

    def spread(self, values: Array) -> Array:
        """(ΣL,) a number for each column, repeated for each of its groups."""
        return np.repeat(values, self.sizes)

    def part(self, rows: NDArray[np.intp]) -> Crossed:
        """Some of the rows; all groups stay."""
        return Crossed(tuple(at[rows] for at in self.places), self.sizes, self.weight[rows])

    def columns(self, kept: list[int]) -> Crossed:
        """Some of the columns."""
        return Crossed(tuple(self.places[j] for j in kept), tuple(self.sizes[j] for j in kept), self.weight)


@dataclass(frozen=True, eq=False)
class Components:
    """One output's intercepts b (ΣL,) with their variances (ΣL,), the variance τ² of each column's distribution
    (columns,), and the variance s² of the noise."""

    b: Array
    variances: Array
    variance: Array
    residual: float


class RowLoss(NamedTuple):
    """The loss of each row as a function of what its raw prediction gains (n,). at: its value, its gradient and its
    second derivative there, (n,) each. scaled: whether s² divides it, as it does the squared error."""

    at: Callable[[Array], tuple[Array, Array, Array]]
    scaled: bool


def loss_of_output(loss: Loss, Y: Array, raw: Array, output: int) -> RowLoss:
    """The loss of rows Y (n, k) around their raw predictions (n, k), as a function of what one output gains."""

    def at(gained: Array) -> tuple[Array, Array, Array]:
        z = raw.copy()
        z[:, output] += gained
        found = loss.pointwise(Y, z, 2, gauss_newton=True)
        return found.value, found.gradient[:, output], found.hessian[:, output, output]

    return RowLoss(at, loss.quadratic)


@dataclass(frozen=True, eq=False)
class _Curvature:
    """Z'HZ + diag(prior), that of the posterior of the intercepts. rows: (n,) H; prior: (ΣL,) 1/τ²."""

    crossed: Crossed
    rows: Array
    prior: Array

    @cached_property
    def diagonal(self) -> Array:
        return self.crossed.of_groups(self.rows) + self.prior

    @cached_property
    def _root(self) -> Array | None:
        """B (n, ΣL) with B'B = Z'HZ, where several columns have few groups; else None."""
        Z = self.crossed.few
        return None if Z is None else np.sqrt(self.rows)[:, None] * Z

    @cached_property
    def _factor(self) -> Factor | None:
        """That of B'B + D, D the prior; where groups are more than rows, that of I + B D⁻¹B'."""
        assert self._root is not None
        n, L = self._root.shape
        if n < L:
            scaled = self._root / np.sqrt(self.prior)
            return factorize(scaled @ scaled.T, np.ones(n))
        return factorize(self._root.T @ self._root, self.prior)

    @cached_property
    def variances(self) -> Array | None:
        """The diagonal (ΣL,) of the inverse, where several columns have few groups; else None."""
        B, apart = self._root, 1.0 / self.prior
        if B is None:
            return None
        if self._factor is None:
            return np.full_like(apart, np.nan)
        if len(B) < len(apart):
            return np.asarray(apart - np.square(apart) * (B * self._factor.solve(B)).sum(axis=0))
        return self._factor.inverse().diagonal()

    def _solve_exactly(self, B: Array, right: Array) -> Array:
        """By elimination; through the rows (Woodbury's identity) where groups are more than these."""
        if self._factor is None:
            return np.full_like(right, np.nan)
        if len(B) < len(right):
            apart = right / self.prior
            return np.asarray(apart - (B.T @ self._factor.solve(B @ apart)) / self.prior)
        return self._factor.solve(right)

    def solve(self, right: Array, start: Array | None = None, tolerance: float = _SOLVED) -> Array:
        """Solve by elimination or by conjugate gradients, which take one step where there is one column."""
        if self._root is not None:
            return self._solve_exactly(self._root, right)
        x = right / self.diagonal if start is None else start
        r = right - self.product(x)
        enough = tolerance * float(np.sqrt(right @ (right / self.diagonal)))
        p = z = r / self.diagonal
        rz = float(r @ z)
        for _ in range(_STEPS):
            if np.sqrt(rz) <= enough:
                break
            q = self.product(p)
            a = rz / float(p @ q)
            x, r = x + a * p, r - a * q
            z = r / self.diagonal
            before, rz = rz, float(r @ z)
            p = z + rz / before * p
        return np.asarray(x)

    def product(self, x: Array) -> Array:
        return self.crossed.of_groups(self.rows * self.crossed.of_rows(x)) + self.prior * x


def intercepts_under(
    crossed: Crossed,
    loss: RowLoss,
    variance: Array,
    residual: float,
    start: Array | None = None,
    steps: int = _NEWTON,
    solved: float = _SOLVED,
) -> tuple[Array, Array]:
    """The intercepts b (ΣL,) under variances τ² (columns,), all above 0, and s²; and the second derivative (n,) of each
    row's loss, with its weight and by s², there. start: where Newton's method begins. steps: the most that it takes;
    solved: the relative residual of each."""
    prior, w = 1.0 / crossed.spread(variance), crossed.weight / residual
    b = np.zeros(len(prior)) if start is None else start
    values, gradient, curvature = loss.at(crossed.of_rows(b))
    reached = float(w @ values + 0.5 * prior @ np.square(b))
    for _ in range(1 if loss.scaled else steps):
        own = _Curvature(crossed, w * curvature, prior)
        step = own.solve(-crossed.of_groups(w * gradient) - prior * b, tolerance=solved)
        for _ in range(_HALVINGS):
            values, gradient, curvature = loss.at(crossed.of_rows(b + step))
            found = float(w @ values + 0.5 * prior @ np.square(b + step))
            if found <= reached + _ROUNDING * abs(reached):
                break
            step = 0.5 * step
        b = b + step
        gained, reached = reached - found, found
        if gained <= _ROUNDING * abs(reached):
            break
    return b, w * curvature


def grouped_more_than_chance(places: NDArray[np.intp], size: int, slopes: Array) -> float:
    """By how many standard deviations rows of the same group have slopes (n,) of their losses that agree, beyond what
    chance makes of slopes that are independent: the score test of a variance of 0 (Lin 1997)."""
    sums, squares = np.bincount(places, slopes, size), np.bincount(places, np.square(slopes), size)
    fourth = np.bincount(places, slopes**4, size)
    spread = float(np.sqrt(2.0 * np.maximum(np.square(squares) - fourth, 0.0).sum()))
    return float((np.square(sums) - squares).sum()) / spread if spread > 0.0 else 0.0


def _traces(own: _Curvature, signs: list[Array], solved: list[Array]) -> Array:
    """(columns,) the trace of each column's block of the inverse A⁻¹ of a curvature, from vectors of signs s and A⁻¹s.

    The diagonal D alone has a known trace, and the next term of A⁻¹ = D⁻¹ - D⁻¹(A - D)D⁻¹ + ... has the trace 0: what
    s'(...)s makes of both is put right, which takes most of the noise away.
    """
    crossed, inverse = own.crossed, 1.0 / own.diagonal
    found = np.array([part.sum() for part in crossed.split(inverse)])
    for s, x in zip(signs, solved, strict=True):
        rest = x - 2.0 * inverse * s + inverse * own.product(inverse * s)
        found += [part.sum() / len(signs) for part in crossed.split(s * rest)]
    return found


def variance_components(crossed: Crossed, loss: RowLoss, *, at_rest: float = _AT_REST) -> Components:
    """The variances at their fixed point, and the intercepts under them; a column whose groups explain nothing has the
    variance 0."""
    total, sizes = float(crossed.weight.sum()), np.array(crossed.sizes)
    rng = np.random.default_rng(_SEED)
    signs = [rng.choice([-1.0, 1.0], sizes.sum()) for _ in range(1 if len(sizes) == 1 else _PROBES)]
    solved: list[Array] = [0.0 * s for s in signs]
    _, gradient, curvature = loss.at(np.zeros(len(crossed.weight)))
    scale = (
        float(crossed.weight @ np.square(gradient)) / total
        if loss.scaled
        else total / float(crossed.weight @ curvature)
    )
    residual, least, b = scale if loss.scaled else 1.0, _NOTHING * scale, None
    variance: Array = np.full(len(sizes), 0.1 * scale)
    for _ in range(_ROUNDS):
        b, rows = intercepts_under(crossed, loss, variance, residual, b, 1, min(_TRACED, at_rest))
        own = _Curvature(crossed, rows, 1.0 / crossed.spread(variance))
        if own.variances is None:
            solved = [own.solve(s, start, min(_TRACED, at_rest)) for s, start in zip(signs, solved, strict=True)]
            traces = _traces(own, signs, solved)
        else:
            traces = np.array([part.sum() for part in crossed.split(own.variances)])
        determined = np.clip(sizes - traces / variance, _NOTHING, sizes)
        squares = np.array([part @ part for part in crossed.split(b)])
        before, variance = np.append(variance, residual), np.maximum(squares / determined, least)
        if loss.scaled:
            error = loss.at(crossed.of_rows(b))[1]
            residual = float(crossed.weight @ np.square(error)) / max(total - determined.sum(), _LEAST_FREE * total)
        moved = np.abs(np.append(variance, residual) - before)
        if (moved <= at_rest * np.maximum(np.append(variance, residual), _SMALL * scale)).all():
            break
    b, rows = intercepts_under(crossed, loss, variance, residual, b)
    own = _Curvature(crossed, rows, 1.0 / crossed.spread(variance))
    if own.variances is None:
        diagonal = 1.0 / own.diagonal
        # Other columns make the variances larger than the diagonal of the curvature says, by the same factor in a
        # column.
        larger = np.ones(1) if len(sizes) == 1 else traces / [part.sum() for part in crossed.split(diagonal)]
        diagonal *= crossed.spread(np.maximum(larger, 1.0))
    else:
        diagonal = own.variances
    kept = variance > least
    of_kept = crossed.spread(np.where(kept, 1.0, 0.0))
    return Components(of_kept * b, of_kept * diagonal, np.where(kept, variance, 0.0), residual)
