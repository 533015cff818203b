"""The signs of margins in exact arithmetic, which prove that classes are separated, or that they overlap.

A direction separates the classes when no row's margin along it is negative and some are positive. Most margins are so
far from zero that a bound on the rounding error (Higham 2002, section 3.1) decides their sign. The others are sums of
products of doubles: each product is the sum of two doubles (Dekker 1971), and `math.fsum` rounds the whole sum once, so
that its sign is the sign of the exact sum (Shewchuk 1997).

Along the direction of a quasi-complete separation some margins are exactly zero, and this direction need not consist of
doubles. It is then computed in rational numbers, by elimination on the rows of those margins.

That classes overlap is proved by weights of at least 1 with which the margins add up to nearly zero: see
`overlap_proved`.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.linalg import is_sparse, two_product, two_sum
from newtron.engine.base.threads import interruptible
from newtron.engine.base.types import Array
from newtron.inference.separation.margins import Margins, negligible_change

Index = NDArray[np.integer]
Signs = NDArray[np.int8]

_EPS = float(np.finfo(np.float64).eps)
# A product of doubles below this is not exactly the sum of two doubles.
_UNDERFLOW = 1e-280
# Parameters below this share of the largest are taken for zero, so that products with them do not underflow.
_TINY = 1e-100
# Margins up to these sizes, relative to their rows, are tried as the margins that are exactly zero.
_NEAR_ZERO = (1e-8, 1e-13)
# Multiplications of rational numbers that one elimination may take: about ten seconds of one core.
_ELIMINATION = 2e6
# Rows whose exact margins are computed at once.
_BLOCK = 4096
# Tolerance and iterations of the linear program that finds weights, and a further number of terms in the bound on the
# rounding of their sum.
_PROGRAM_TOLERANCE, _ITERATIONS, _MORE_TERMS = 1e-10, 200_000, 16


class ProvedDirection(NamedTuple):
    """params: (P,) a direction in scaled columns, rounded to doubles. signs: the exact sign of each margin along it, 0
    or 1."""

    params: Array
    signs: Signs


def prove_direction(margins: Margins, params: Array) -> ProvedDirection | None:
    """This direction, or one next to it along which some margins are exactly zero, if no margin along it is negative
    and some are positive; None where this is not proved."""
    size = float(np.abs(params).max(initial=0.0))
    if not (np.isfinite(size) and size > 0.0):
        return None
    params = params / size
    params = np.where(np.abs(params) < _TINY, 0.0, params)
    found = signs(margins, params)
    if found.min() >= 0 and found.max() > 0:
        return ProvedDirection(params, found)
    at = np.abs(margins.along(params).ravel())
    for near in _NEAR_ZERO:
        exact = _with_zeros(margins, params, np.flatnonzero(at <= near))
        if exact is not None:
            return exact
    return None


def signs(margins: Margins, params: Array) -> Signs:
    """(n_margins,) the exact sign of each margin along a direction of doubles (P,). A margin whose products underflow,
    so that its sign is not known, counts as negative."""
    at = margins.along(params)
    found = np.sign(at).astype(np.int8)
    found[np.abs(at) <= _rounding(margins, params)] = -1
    found = found.ravel()
    doubtful = np.flatnonzero(np.abs(at) <= _rounding(margins, params))
    for start in range(0, len(doubtful), _BLOCK):
        which = doubtful[start : start + _BLOCK]
        found[which] = _exact_signs(margins, params, which)
    return found


def _rounding(margins: Margins, params: Array) -> Array:
    """(n, 1) a bound on the rounding error of `Margins.along`, including that of the centred columns and of params."""
    largest = np.abs(params.reshape(-1, margins.outputs)).max(axis=1)
    sums = np.asarray(abs(margins.inputs) @ largest).ravel() / margins.size
    return np.asarray(8.0 * (margins.n_columns + 4) * _EPS * sums)[:, None]


def _exact_signs(margins: Margins, params: Array, which: Index) -> Signs:
    """(len(which),) the exact signs of some margins."""
    W = params.reshape(-1, margins.outputs)
    moved = W - W[:, :1] if margins.outputs > 1 else W
    used = np.flatnonzero(moved.any(axis=1))
    rows, own, other = margins.ends(which)
    if margins.outputs == 1:
        change = W[used, 0] * np.where(own == 1, 1.0, -1.0)[:, None]
        factors = [change]
    else:
        factors = list(two_sum(W[used][:, own].T, -W[used][:, other].T))
    terms = [
        piece
        for x in _inputs(margins, rows, used)
        for factor in factors
        if x.any() and factor.any()
        for piece in two_product(x, factor)
    ]
    if not terms:
        return np.zeros(len(which), dtype=np.int8)
    every = np.hstack(terms)
    found = np.sign([math.fsum(row) for row in every.tolist()]).astype(np.int8)
    products = np.abs(np.hstack(terms[::2]))
    return np.asarray(np.where(((products > 0.0) & (products < _UNDERFLOW)).any(axis=1), -1, found), dtype=np.int8)


def _inputs(margins: Margins, rows: Index, used: Index) -> list[Array]:
    """Some columns of some rows, scaled, as an exact sum of dense arrays (m, columns used)."""
    high = margins.inputs[rows][:, used]
    dense = np.asarray(high.toarray() if is_sparse(high) else high)
    if margins.low is None:
        return [dense]
    low = np.zeros_like(dense)
    centred = used < margins.n_features
    low[:, centred] = margins.low[rows][:, used[centred]]
    return [dense, low]


def _with_zeros(margins: Margins, params: Array, zeros: Index) -> ProvedDirection | None:
    """The direction next to params along which some margins, `zeros`, are exactly zero, if all others are then
    positive."""
    if not len(zeros) or len(zeros) == margins.n_margins:
        return None
    used = np.flatnonzero(params)
    basis = _eliminated(margins, zeros, used)
    if basis is None:
        return None
    exact = {int(column): Fraction(float(params[column])) for column in used}
    free = [column for column in exact if column not in basis]
    for pivot, row in basis.items():
        exact[pivot] = -sum((row[column] * exact[column] for column in free if column in row), Fraction(0))
    rounded = np.zeros_like(params)
    rounded[list(exact)] = [float(value) for value in exact.values()]
    at = margins.along(rounded)
    found = np.where(at > _rounding(margins, rounded), 1, -1).astype(np.int8).ravel()
    found[zeros] = 0
    # The signs that rounding leaves open are few. They are decided along the rational direction.
    unclear = np.flatnonzero(found < 0)
    if float(len(unclear)) * len(used) > _ELIMINATION:
        return None
    for margin in unclear:
        row = _rational_row(margins, int(margin), used)
        value = sum((factor * exact[column] for column, factor in row.items()), Fraction(0))
        if value < 0:
            return None
        found[margin] = value > 0
    return ProvedDirection(rounded, found) if found.max() > 0 else None


def _eliminated(margins: Margins, which: Index, used: Index) -> dict[int, dict[int, Fraction]] | None:
    """The reduced row echelon form of some margins, in the parameters used: for each pivot parameter its row, without
    the pivot's 1. None where this takes too long or leaves no parameter free."""
    basis: dict[int, dict[int, Fraction]] = {}
    seen: set[tuple[tuple[int, Fraction], ...]] = set()
    for done, margin in enumerate(which):
        if float(done - len(seen)) * len(used) > _ELIMINATION or float(len(seen)) * len(used) ** 2 > _ELIMINATION:
            return None
        row = _rational_row(margins, int(margin), used)
        key = tuple(row.items())
        if key in seen:
            continue
        seen.add(key)
        for pivot, known in basis.items():
            factor = row.pop(pivot, None)
            if factor is not None:
                _subtract(row, factor, known)
        if not row:
            continue
        pivot = max(row, key=lambda column: abs(row[column]))
        size = row.pop(pivot)
        row = {column: value / size for column, value in row.items()}
        for known in basis.values():
            factor = known.pop(pivot, None)
            if factor is not None:
                _subtract(known, factor, row)
        basis[pivot] = row
        if len(basis) == len(used):
            return None
    return basis


def _subtract(row: dict[int, Fraction], factor: Fraction, other: dict[int, Fraction]) -> None:
    """Subtract, in place, a multiple of another row; zeros are dropped."""
    for column, value in other.items():
        left = row.get(column, Fraction(0)) - factor * value
        if left:
            row[column] = left
        else:
            row.pop(column, None)


def _rational_row(margins: Margins, margin: int, used: Index) -> dict[int, Fraction]:
    """A margin as a linear function of the parameters used, times the size of its row."""
    rows, own, other = margins.ends(np.array([margin]))
    columns = np.unique(used // margins.outputs)
    parts = _inputs(margins, rows, columns)
    kept = set(used.tolist())
    row: dict[int, Fraction] = {}
    for at, column in enumerate(columns.tolist()):
        value = sum((Fraction(float(part[0, at])) for part in parts), Fraction(0))
        if not value:
            continue
        if margins.outputs == 1:
            row[column] = value if own[0] == 1 else -value
            continue
        first = column * margins.outputs
        for place, signed in ((first + int(own[0]), value), (first + int(other[0]), -value)):
            if place in kept:
                row[place] = signed
    return row


def overlap_proved(margins: Margins, which: Index) -> bool:
    """True if some of the margins prove that no direction raises one of them and lowers none.

    Let a_i be these margins as linear functions, λ_i >= 1 weights, and r = Σ λ_i a_i. Along a separating direction d
    every a_i'd >= 0, so

        Σ (a_i'd)²  <=  Σ (λ_i a_i'd)²  <=  (Σ λ_i a_i'd)²  =  (r'd)²  <=  ‖r‖² ‖d‖²,

    and where ‖r‖ is below the smallest singular value of the matrix of the a_i there is no such d, except directions
    that change no margin. A linear program finds the weights (r = 0 is Stiemke's alternative); r is computed with a
    bound on its rounding error.
    """
    from scipy.optimize import linprog

    spectrum = margins.spectrum(which)
    if spectrum is None:
        return False
    values, V = spectrum
    if not values.any():
        return True
    A = margins.matrix(which)
    share = negligible_change(margins.n_columns)
    moving = values > share * values[0]
    if not margins.is_unchanged_along(V[:, ~moving]):
        return False
    values, V = values[moving], V[:, moving]
    solve = partial(
        linprog,
        np.ones(len(which)),
        A_eq=A.T,
        b_eq=np.zeros(margins.n_params),
        bounds=(1.0, None),
        method="highs",
        options={"primal_feasibility_tolerance": _PROGRAM_TOLERANCE, "maxiter": _ITERATIONS},
    )
    answer = interruptible(solve)
    if answer.status != 0:
        return False
    weight = np.maximum(np.asarray(answer.x), 1.0)
    # One more step towards r = 0, which goes below the program's tolerance.
    weight = weight - A @ (V @ ((V.T @ (A.T @ weight)) / np.square(values)))
    weight = np.maximum(weight, 1.0)
    rounding = (len(which) + _MORE_TERMS) * _EPS * np.asarray(abs(A).T @ weight)
    length = float(np.linalg.norm(np.abs(A.T @ weight) + rounding))
    return length < float(values[-1]) - share * float(values[0])
