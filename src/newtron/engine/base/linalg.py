"""Dense linear algebra: weighted Gram matrices, factors of curvature, sums with twice the digits of a double.

scipy.linalg is imported inside functions, so that `import newtron` stays as quick as `import numpy`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from newtron.engine.base.types import Array, Matrix


def is_sparse(X: Matrix) -> bool:
    return not isinstance(X, np.ndarray)


def aligned(A: Matrix) -> Matrix:
    """A, or a copy where its numbers lie at addresses that are no multiple of their size, as in what was received over
    a network or cut out of a file: NumPy and BLAS add such numbers in another order, which changes the last digits.
    What is sparse comes as `as_csr` gives it."""
    if is_sparse(A):
        return as_csr(A)
    return A if A.flags.aligned else np.array(A, order="K")


def as_csr(X: Matrix) -> Matrix:
    """The same numbers as a scipy.sparse.csr_matrix of aligned arrays with one sorted entry for each place; X stays as
    it is.

    SciPy sorts and sums entries in place when an operation wants them so, in arrays that several matrices may share.
    Here that is done once, on a copy; where nothing is to be done the arrays of X are used, and are only read.
    Its arrays (csr_array) differ from its matrices in what slices and sums return, so that one kind is computed with.
    """
    from scipy.sparse import csr_matrix

    X = X.tocsr()
    parts = tuple(aligned(part) for part in (X.data, X.indices, X.indptr))
    same = csr_matrix(parts, shape=X.shape, copy=False)
    if not same.has_canonical_format:
        same = same.copy()
        same.sum_duplicates()
    return same


def squared(X: Matrix) -> Matrix:
    """The squares of all cells, as sparse as X, which has one entry for each place."""
    if not is_sparse(X):
        return np.square(X)
    return X.power(2)  # of the cells stored: several times quicker than X.multiply(X), which looks for common ones


def weighted_gram(A: Matrix, h: Array) -> Array:
    """A' diag(h) A. Where h has one sign it is the Gram matrix of sqrt(|h|) A: half the work of a product."""
    if is_sparse(A):
        return np.asarray((A.T @ A.multiply(h[:, None]).tocsr()).toarray())
    low, high = h.min(), h.max()
    if low == high:
        return np.asarray(low * (A.T @ A))
    if low >= 0.0 or high <= 0.0:
        B = np.sqrt(np.abs(h)).astype(A.dtype, copy=False)[:, None] * A
        gram: Array = B.T @ B  # NumPy hands A'A to BLAS syrk
        return gram if low >= 0.0 else -gram
    return np.asarray(A.T @ (h.astype(A.dtype, copy=False)[:, None] * A))


def weighted_gram_with_ones(A: Matrix, h: Array, ones: bool) -> Array:
    """[A, 1]' diag(h) [A, 1], without building [A, 1]; [A] alone where `ones` is False."""
    gram = weighted_gram(A, h)
    if not ones:
        return gram
    q = gram.shape[0]
    h = np.ascontiguousarray(h)  # one repeated number has no strides, and BLAS needs them
    full = np.empty((q + 1, q + 1), dtype=gram.dtype)
    full[:q, :q] = gram
    full[:q, q] = full[q, :q] = A.T @ h
    full[q, q] = h.sum()
    return full


@dataclass(frozen=True)
class Factor:
    """Cholesky factor of an equilibrated positive definite matrix: H = S C' C S with diagonal S = scale.

    Equilibration (ones on the diagonal before factoring) takes the units of the columns out of the condition.
    """

    cholesky: Array  # C above the diagonal, anything below it
    scale: Array
    of: Array  # H, whose diagonal may lack what was added to it

    def solve(self, b: Array) -> Array:
        """H^-1 b, b of shape (P,) or (P, m)."""
        from scipy.linalg.lapack import dpotrs

        scale = self.scale if b.ndim == 1 else self.scale[:, None]
        solved: Array = dpotrs(self.cholesky, b / scale, lower=False, overwrite_b=True)[0]
        solved /= scale
        return solved

    @property
    def log_determinant(self) -> float:
        """log det H."""
        return 2.0 * float(np.sum(np.log(np.abs(np.diagonal(self.cholesky)))) + np.sum(np.log(self.scale)))

    def inverse(self) -> Array:
        """H^-1, (P, P): LAPACK potri, a third of the work of solving for the identity; inf where it overflows."""
        from scipy.linalg.lapack import dpotri

        inverse, _ = dpotri(self.cholesky, lower=False)
        with np.errstate(over="ignore"):
            inverse /= self.scale
            inverse /= self.scale[:, None]
        return np.asarray(np.triu(inverse) + np.triu(inverse, 1).T)

    @property
    def condition(self) -> float:
        """1-norm condition number of the equilibrated matrix, estimated (LAPACK pocon); at most a factor low."""
        from scipy.linalg.lapack import dpocon

        columns = (1.0 / self.scale) @ np.abs(self.of) - np.abs(np.diagonal(self.of)) / self.scale
        norm = 1.0 + float((columns / self.scale).max(initial=0.0))
        reciprocal, _ = dpocon(self.cholesky, norm)
        return float(np.inf) if reciprocal == 0.0 else float(1.0 / reciprocal)


def factorize(H: Array, add: Array | None = None) -> Factor | None:
    """Factor of H (+ diag(add)), or None where it is not numerically positive definite. Reads one triangle."""
    from scipy.linalg.lapack import dpotrf

    diagonal = np.diagonal(H) if add is None else np.diagonal(H) + add
    if not diagonal.min(initial=np.inf) > 0.0:
        return None
    scale = np.sqrt(diagonal)
    unit = 1.0 / scale
    scaled = np.multiply(H, unit, order="C")
    scaled *= unit[:, None]
    scaled.ravel()[:: H.shape[0] + 1] = 1.0  # what was added to the diagonal counts
    # LAPACK works in column order: the transpose of a symmetric matrix is itself, without a copy.
    cholesky, info = dpotrf(scaled.T, lower=False, clean=False, overwrite_a=True)
    # A number that is not finite leaves its mark on a diagonal.
    return Factor(cholesky, scale, H) if info == 0 and np.isfinite(np.diagonal(cholesky)).all() else None


def damped_cholesky(H: Array, added: Array) -> Array | None:
    """The Cholesky factor of H + diag(added), or None where the sum is not numerically positive definite. Reads one
    triangle.

    Without equilibration, which would change no more than rounding: the errors of Cholesky's method do not depend on
    the units of the columns (Higham 2002, theorem 10.5)."""
    from scipy.linalg.lapack import dpotrf

    damped = H.copy(order="C")
    damped.ravel()[:: H.shape[0] + 1] += added
    cholesky, info = dpotrf(damped.T, lower=False, clean=False, overwrite_a=True)
    return cholesky if info == 0 else None


def cholesky_solve(cholesky: Array, b: Array) -> Array | None:
    """H^-1 b (P,) by the factor of `damped_cholesky`; None where it is not finite."""
    from scipy.linalg.lapack import dpotrs

    solved: Array = dpotrs(cholesky, b, lower=False)[0]
    return solved.reshape(-1) if np.isfinite(solved).all() else None


# A matrix with a larger condition number is treated as singular: its factor amplifies rounding along directions in
# which the objective does not change (aliased columns, the common shift of all classes). 1e13 leaves 3 of 16 digits.
_SINGULAR = 1e13


def newton_decrement(H: Array, gradient: Array) -> float:
    """sqrt(g'H^-1 g); nan where H is indefinite, inf where the gradient has a part without any curvature.

    A singular H gets a ridge of 1e-10 of its diagonal, in each parameter's own units. Directions in which the objective
    does not change (the common shift of all classes, the intercept of a unit that the penalty switched off) have no
    gradient and so do not contribute."""
    factor = factorize(H)
    if factor is None or factor.condition > _SINGULAR:
        flat = np.diagonal(H) == 0.0
        if gradient[flat].any():
            return float("inf")
        factor = factorize(H, 1e-10 * np.diagonal(H) + flat)
    if factor is None:
        return float("nan")
    return float(max(0.0, float(gradient @ factor.solve(gradient))) ** 0.5)


class NewtonStep(NamedTuple):
    """step (P,), or None; condition: of H in equilibrated columns, inf where it has no factor."""

    step: Array | None
    condition: float


def newton_step(H: Array, gradient: Array) -> NewtonStep:
    """-H^-1 g; for a singular positive semidefinite H the shortest such step (in equilibrated units), which does not
    move along directions in which the objective does not change; None where H is indefinite or the step has no end."""
    factor = factorize(H)
    condition = float("inf") if factor is None else factor.condition
    if factor is not None and condition < _SINGULAR:
        return NewtonStep(-factor.solve(gradient), condition)
    return NewtonStep(_step_of_singular(H, gradient), condition)


def _step_of_singular(H: Array, gradient: Array) -> Array | None:
    scale = np.sqrt(np.maximum(np.diagonal(H), 0.0))
    scale[scale == 0.0] = 1.0
    values, V = eigh(H / scale / scale[:, None])
    if not values[0] >= -1e-10 * values[-1]:
        return None
    kept = values > values[-1] / _SINGULAR
    along = V.T @ (gradient / scale)
    # A flat direction along which the gradient falls has no minimum: there is no such step.
    if np.linalg.norm(along[~kept]) > 1e-3 * np.linalg.norm(along):
        return None
    return np.asarray(-(V[:, kept] @ (along[kept] / values[kept])) / scale)


def qr_triangle(A: Array) -> Array:
    """The upper triangular R (min(m, n), n) of A = QR, A (m, n)."""
    R: Array = np.linalg.qr(A, mode="r")  # type: ignore[assignment]  # NumPy's stubs know only the other modes
    return R


# --- eigenvalues and singular values of matrices that may not be finite ---
#
# For inf and nan NumPy raises LinAlgError or returns nan, depending on its version and on the size of the matrix, and
# numbers near the ends of the range overflow inside LAPACK. So a matrix is first divided by a power of two near its
# largest number, which changes no digit, and one that is not finite has nan for all its values and vectors.


def eigh(H: Array) -> tuple[Array, Array]:
    """Eigenvalues (..., P), ascending, and eigenvectors (..., P, P) of symmetric matrices (..., P, P)."""
    ordinary, unit = _normalized(H)
    values, V = np.linalg.eigh(ordinary)
    return values * unit, np.where(np.isnan(unit)[..., None], np.nan, V)


def eigvalsh(H: Array) -> Array:
    """Eigenvalues (..., P), ascending, of symmetric matrices (..., P, P)."""
    ordinary, unit = _normalized(H)
    return np.asarray(np.linalg.eigvalsh(ordinary) * unit)


# Up to so many rows and columns all eigenvalues take no longer than the largest one by Lanczos's method.
_FEW = 100
# Lanczos's method may be restarted once for so many rows, each time with 20 products: as long as all eigenvalues take.
_RESTARTED = 30


def largest_eigenvalue(H: Array) -> float:
    """The largest eigenvalue of a symmetric matrix (P, P). That of a large matrix is found by Lanczos's method from a
    fixed vector, to rounding, in a third to a fifth of the time of all eigenvalues. Where others are so close to it
    that it would take longer, as under a penalty that is most of the curvature, all are computed."""
    ordinary, unit = _normalized(H)
    if len(H) <= _FEW or np.isnan(unit).any():
        return float(eigvalsh(H)[-1])
    from scipy.sparse.linalg import ArpackNoConvergence, eigsh

    start = np.random.default_rng(0).normal(size=len(H))
    try:
        found = eigsh(ordinary, 1, which="LA", v0=start, tol=0, maxiter=len(H) // _RESTARTED + 1)[0]
    except ArpackNoConvergence:
        return float(eigvalsh(H)[-1])
    return float(found[0] * unit[0])


def svd(A: Array, full: bool = False) -> tuple[Array, Array, Array]:
    """U (m, r), s (r,), descending, and V' (r, n) with A = U diag(s) V', r = min(m, n). full: all of U and V."""
    ordinary, unit = _normalized(A)
    U, s, Vt = np.linalg.svd(ordinary, full_matrices=full)
    lost = np.isnan(unit)[..., None]
    return np.where(lost, np.nan, U), s * unit, np.where(lost, np.nan, Vt)


def singular_values(A: Array) -> Array:
    """(r,), descending."""
    ordinary, unit = _normalized(A)
    return np.asarray(np.linalg.svd(ordinary, compute_uv=False) * unit)


def _normalized(A: Array) -> tuple[Array, Array]:
    """Each matrix (..., m, n) divided by a power of two, and that power (..., 1). A matrix that is not finite becomes
    zeros, and its power is nan."""
    size = np.abs(A).max(axis=(-2, -1), initial=0.0)[..., None]
    known = np.isfinite(size)
    exponent = np.frexp(np.where(known, size, 0.0))[1] - 1
    with np.errstate(under="ignore"):
        ordinary = np.ldexp(A if known.all() else np.where(known[..., None], A, 0.0), -exponent[..., None])
    return ordinary, np.where(known, np.ldexp(np.ones_like(size), exponent), np.nan)


# --- sums and products carried to about 32 digits (double-double; Dekker 1971, Ogita, Rump & Oishi 2005) ---

# Veltkamp's constant, which splits a double of 53 bits into two halves of at most 26 bits.
_SPLIT = float(2**27 + 1)


def two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """s + e = a + b exactly, s the rounded sum."""
    s = a + b
    bb = s - a
    return s, (a - (s - bb)) + (b - bb)


def two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """p + e = a b exactly (barring overflow), p the rounded product."""
    p = a * b
    t = _SPLIT * a
    a_high = t - (t - a)
    a_low = a - a_high
    t = _SPLIT * b
    b_high = t - (t - b)
    b_low = b - b_high
    return p, ((a_high * b_high - p) + a_high * b_low + a_low * b_high) + a_low * b_low


def pair_sum(high: Array, low: Array) -> tuple[Array, Array]:
    """Sum over the first axis of high + low, as a pair, in few passes.

    Adding a power of two larger than the whole sum and taking it away again cuts all numbers of a sum at the same
    digit, and what is above the cut adds up without any rounding (Rump, Ogita & Oishi 2008, ExtractVector). Cut
    twice, what is left is below the last digit of the pair.
    """
    room = int(high.shape[0]).bit_length() + 1
    cut = np.ldexp(1.0, np.frexp(np.abs(high).max(axis=0))[1] + room)
    sums = []
    for _ in range(2):
        above = (high + cut) - cut
        sums.append(above.sum(axis=0))
        high = high - above
        cut = np.ldexp(cut, room - 53)  # what is left is at most half a unit of the last digit of the cut
    total, error = two_sum(sums[0], sums[1])
    return two_sum(total, error + (high + low).sum(axis=0))


# Numbers of A in one block of an exact product. It keeps some ten arrays of this size (2.6 MB of float64 in all), which
# must stay in the cache of one core.
_EXACT_NUMBERS = 2**15


def exact_product(A: Matrix, B: Array, b: Array | None = None) -> Array:
    """A B + b, (n, q) times (q, k) and (k,), each entry as if computed with about 32 digits and rounded once."""
    found = np.zeros((A.shape[0], B.shape[1])) if b is None else np.tile(b, (A.shape[0], 1))
    size = max(1, _EXACT_NUMBERS // max(1, A.shape[1]))
    for start in range(0, A.shape[0] if A.shape[1] else 0, size):
        rows = A[start : start + size]
        turned = np.ascontiguousarray((rows.toarray() if is_sparse(rows) else rows).T, dtype=np.float64)
        for c in range(B.shape[1]):
            high, low = two_product(turned, B[:, c, None])
            if b is not None:
                high = np.vstack([high, np.full(high.shape[1], b[c])])
                low = np.vstack([low, np.zeros(low.shape[1])])
            high, low = pair_sum(high, low)
            found[start : start + size, c] = high + low
    return found
