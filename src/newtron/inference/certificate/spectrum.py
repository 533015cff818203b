"""The smallest and the largest curvature at a point, and the Newton decrement: from the Hessian where it was formed,
and by Lanczos's method where only its products are known.

Lanczos's method (1950; Parlett 1998, *The Symmetric Eigenvalue Problem*, ch. 13) finds values between the smallest and
the largest eigenvalue, and close to both. A negative value proves a saddle. Positive values prove nothing about the
eigenvalues that were not found.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.linalg import eigh, eigvalsh, factorize, largest_eigenvalue, singular_values, svd
from newtron.engine.base.types import Array, Matrix
from newtron.inference.certificate.rounding import RootRounding

# The error of LAPACK's symmetric eigenvalues in units of P epsilon times the norm: a modest multiple (LAPACK Users'
# Guide, section 4.7).
_LAPACK = 10.0
_EPS = float(np.finfo(np.float64).eps)
# Products with the Hessian that Lanczos's method takes.
LANCZOS_STEPS = 40
# Lanczos's method ends where what is left of a vector is below this share of the largest diagonal element.
_INVARIANT = 1e-12
# A curvature within this factor of its rounding error may be found above it or not when it is computed again.
EDGE = 3.0
# A Newton step of this length in scaled parameters is long; a step of 1 changes z by about 1.
LONG_STEP = 0.1


# The sign of a curvature; 0 where rounding hides it.
Sign: TypeAlias = Literal[-1, 0, 1]


@dataclass(frozen=True)
class Spectrum:
    """The curvature in the directions on which the loss depends.

    smallest, largest: eigenvalues of the Hessian, in the parameters as they are. sign: the sign of the smallest, 0
    where it is within rounding, None where it is not known. decrement: sqrt(g'H^-1 g) over the directions whose
    curvature is beyond rounding; nan where a curvature is negative. scaled_smallest: the smallest eigenvalue of the
    Hessian in scaled parameters; where the Hessian was formed, this less `error`, a bound on its rounding error, is a
    proved lower bound. exact: whether the Hessian was formed. flat: the number of directions whose curvature is within
    rounding. far: the number of directions with a curvature beyond rounding in which Newton's step is long
    (`LONG_STEP`). flat_range, far_range: the least and the largest value that `flat` and `far` can have under another
    rounding. seen: the smallest curvature beyond rounding, in scaled parameters. end_errors: bounds on the errors of
    the smallest and the largest eigenvalue in scaled parameters, where the Hessian was formed.
    """

    smallest: float
    largest: float
    sign: Sign | None
    decrement: float
    scaled_smallest: float
    error: float
    exact: bool
    flat: int = 0
    far: int = 0
    flat_range: tuple[int, int] = (0, 0)
    far_range: tuple[int, int] = (0, 0)
    seen: float = float("nan")
    end_errors: tuple[float, float] = (float("nan"), float("nan"))


def visible_basis(n_params: int, n_outputs: int, unseen: NDArray[np.bool_]) -> Matrix | None:
    """(P, P - r) an orthonormal basis, sparse, of all directions but the shifts on which the loss does not depend; None
    where it depends on all directions.

    unseen: (q,) for each input of the output layer, whether a common shift of the weights of all classes changes
    nothing. The output layer's parameters come last.
    """
    if not unseen.any():
        return None
    from scipy.sparse import block_diag, identity

    k = n_outputs
    first = n_params - len(unseen) * k
    # Helmert's contrasts: orthonormal, and orthogonal to the vector of ones.
    contrasts = np.zeros((k, k - 1))
    for c in range(1, k):
        contrasts[:c, c - 1], contrasts[c, c - 1] = 1.0, -float(c)
    contrasts /= np.linalg.norm(contrasts, axis=0)
    hidden = [identity(first)] if first else []
    return block_diag([*hidden, *(contrasts if each else identity(k) for each in unseen)], format="csr")


def exact_spectrum(hessian: Array, gradient: Array, scale: Array, basis: Matrix | None, rounding: float) -> Spectrum:
    """The spectrum from the Hessian (P, P). rounding: a bound on its error, in scaled parameters
    (`Rounding.curvature`)."""
    unit = 1.0 / scale
    scaled, along = hessian * unit * unit[:, None], gradient * unit
    back = unit
    if basis is not None:
        scaled, along = basis.T @ scaled @ basis, basis.T @ along
        hessian, back = basis.T @ hessian @ basis, _scale_of_inputs(basis, unit)
    if not np.isfinite(scaled).all():
        return _unknown()
    scaled = 0.5 * (scaled + scaled.T)
    values = eigvalsh(scaled)
    error = rounding + _LAPACK * len(values) * _EPS * float(np.abs(values[[0, -1]]).max())
    factor = factorize(scaled) if values[0] > error else None
    step = None if factor is None else factor.solve(along)
    if factor is None or step is None or np.linalg.norm(step) > LONG_STEP / EDGE:
        values, V = eigh(scaled)
        ends = eigvalsh(hessian)
        return _spectrum(values, V, error, (error, error), along, back, (float(ends[0]), float(ends[-1])))
    # No curvature is within rounding, and Newton's step is short in all directions: no eigenvectors are needed, which
    # take two thirds of the time.
    low = float(values[0])
    return Spectrum(
        smallest=_smallest_of_inverse(factor.inverse(), back),
        largest=largest_eigenvalue(hessian),
        sign=1,
        decrement=math.sqrt(max(float(along @ step), 0.0)),
        scaled_smallest=low,
        error=error,
        exact=True,
        flat_range=(0, int(np.sum(values <= EDGE * error))),
        seen=low,
        end_errors=(error, error),
    )


def spectrum_of_root(
    root: Array, gradient: Array, scale: Array, basis: Matrix | None, rounding: RootRounding
) -> Spectrum:
    """The spectrum from R (P, P) with R'R = the Hessian, whose singular values have twice the digits of the
    eigenvalues of R'R."""
    unit = 1.0 / scale
    scaled, along, back = root * unit, gradient * unit, unit
    if basis is not None:
        scaled, along = scaled @ basis, basis.T @ along
        root, back = root @ basis, _scale_of_inputs(basis, unit)
    if not np.isfinite(scaled).all():
        return _unknown()
    _, sizes, Vt = svd(scaled)
    low, high = float(sizes[-1]), float(sizes[0])
    error = rounding.relative * float(np.linalg.norm(scaled)) + rounding.absolute + _LAPACK * len(sizes) * _EPS * high
    # The exact Hessian is at least share (1 - error / low)² times the computed one.
    hidden = error**2 if low <= error else low**2 - rounding.share * (low - error) ** 2
    # Two computations differ by at most twice these.
    low_error, high_error = (
        0.5 * ((size + 2.0 * error) ** 2 - size**2) + (1.0 - rounding.share) * size**2 for size in (low, high)
    )
    ends = singular_values(root)
    ends_squared = (float(ends[-1]) ** 2, float(ends[0]) ** 2)
    return _spectrum(np.square(sizes[::-1]), Vt[::-1].T, hidden, (low_error, high_error), along, back, ends_squared)


def _smallest_of_inverse(inverse: Array, back: Array) -> float:
    """The smallest eigenvalue of a Hessian, from its inverse in scaled parameters. back: see `_spectrum`.

    The inverse is taken to the parameters as they are, since its largest eigenvalue keeps its digits in any units."""
    return 1.0 / largest_eigenvalue(inverse * back * back[:, None])


def _scale_of_inputs(basis: Matrix, unit: Array) -> Array:
    """The scale of each direction of the basis, since all classes of an input have the same scale."""
    return np.asarray(basis.power(2).T @ unit)


def _spectrum(
    values: Array,
    V: Array,
    error: float,
    end_errors: tuple[float, float],
    along: Array,
    back: Array,
    ends: tuple[float, float],
) -> Spectrum:
    """values: ascending, with the vectors V: of the Hessian in scaled parameters, where `along` is the gradient and
    `back` leads to the parameters as they are. ends: the eigenvalues in these."""
    low = float(values[0])
    sign: Sign = 0 if abs(low) <= error else 1 if low > 0.0 else -1
    decrement, far, far_range = float("nan"), 0, (0, 0)
    if sign >= 0:
        kept = values > error
        steps = np.abs(V.T @ along)[kept] / values[kept]
        shortest, far, longest = (int(np.sum(steps > LONG_STEP * share)) for share in (EDGE, 1.0, 1.0 / EDGE))
        far_range = shortest, longest
        decrement = float(np.linalg.norm((V.T @ along)[kept] / np.sqrt(values[kept])))
    smallest, largest = ends
    if sign > 0:
        smallest = _smallest_of_inverse((V / values) @ V.T, back)
    seen = float(np.min(values[values > error], initial=np.inf))
    fewest, flat, most = (int(np.sum(np.abs(values) <= share * error)) for share in (1.0 / EDGE, 1.0, EDGE))
    ranges = (fewest, most), far_range
    return Spectrum(smallest, largest, sign, decrement, low, error, True, flat, far, *ranges, seen, end_errors)


def _unknown() -> Spectrum:
    nan = float("nan")
    return Spectrum(nan, nan, None, nan, nan, nan, False)


def lanczos(product: Callable[[Array], Array], start: Array, rounding: float, steps: int) -> Spectrum:
    """The spectrum from products with the Hessian. start: (P,) any vector with a component in every direction.
    rounding: the relative error of a product."""
    nan = float("nan")
    v = start / np.linalg.norm(start)
    kept, diagonal, beside = [v], [], []
    for _ in range(min(steps, len(v))):
        w = np.asarray(product(v), dtype=np.float64)
        diagonal.append(float(v @ w))
        Q = np.array(kept)
        for _twice in range(2):  # one pass alone would lose the orthogonality
            w = w - Q.T @ (Q @ w)
        size = float(np.linalg.norm(w))
        if not size > _INVARIANT * max(map(abs, diagonal)):
            break
        v = w / size
        kept.append(v)
        beside.append(size)
    m = len(diagonal)
    T = np.diag(diagonal) + np.diag(beside[: m - 1], 1) + np.diag(beside[: m - 1], -1)
    if not np.isfinite(T).all():
        return _unknown()
    values = eigvalsh(T)
    low, high = float(values[0]), float(values[-1])
    error = rounding * max(abs(low), abs(high))
    return Spectrum(low, high, -1 if low < -error else None, nan, nan, error, False)
