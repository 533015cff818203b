"""Hashes of rows of numbers, by which equal rows are found in one pass."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.linalg import is_sparse
from newtron.engine.base.types import Matrix

HASHED_AT_ONCE = 2**22  # numbers that are hashed or encoded at a time, 32 MB of float64


def row_factors(p: int) -> NDArray[np.uint64]:
    """(p,) the odd factors of the hash, one for each number of a row.

    The stream of a bit generator is the same in every version of NumPy (NEP 19), as hashes in model files must be."""
    return np.random.PCG64(0).random_raw(p) | np.uint64(1)


def row_hashes(X: Matrix) -> NDArray[np.uint64]:
    """Return (n,) the hashes of the rows of X (n, p). Equal rows have equal hashes; two other rows do with a
    probability of 2^-64."""
    n, p = X.shape
    found = np.zeros(n, dtype=np.uint64)
    factors = row_factors(p)
    step = max(1, HASHED_AT_ONCE // max(1, p))
    for start in range(0, n, step):
        # Adding 0 makes -0 the same as 0. Shifts bring the leading digits down, products of 2^64 carry them up again
        # (Steele, Lea & Flood 2014, the finaliser of SplitMix).
        block = X[start : start + step].toarray() if is_sparse(X) else X[start : start + step]
        bits = (np.ascontiguousarray(block, dtype=np.float64) + 0.0).view(np.uint64)
        bits ^= bits >> np.uint64(30)
        bits *= np.uint64(0xBF58476D1CE4E5B9)
        bits ^= bits >> np.uint64(27)
        bits *= factors
        bits ^= bits >> np.uint64(31)
        found[start : start + step] = bits.sum(axis=1, dtype=np.uint64)
    return found
