"""The door for arrays: plain ones as they are, all else through scikit-learn's validation.

scikit-learn's `validate_data` puts dozens of questions to any input before it hands a plain NumPy array back as it
was: for one row many times the work of the prediction itself. So arrays that need no conversion are told from all
other input in microseconds. Whatever is not plain, or might be wrong, is left
to it, so that every conversion, warning and error stays scikit-learn's own.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from newtron.engine.base.linalg import aligned, as_csr
from newtron.engine.base.types import Matrix

_FLOATS = (np.dtype(np.float64), np.dtype(np.float32))


def is_plain_matrix(X: object) -> bool:
    """Is X an array (n, p) of finite float64 or float32 that validation would return unchanged?"""
    if not (type(X) is np.ndarray and X.ndim == 2 and X.dtype in _FLOATS and X.size > 0):
        return False
    return X.flags.aligned and _surely_finite(X)


def is_plain_target(y: object, n_rows: int) -> bool:
    """Is y an array (n_rows,) of finite numbers that validation would return unchanged?"""
    if not (type(y) is np.ndarray and y.shape == (n_rows,) and y.flags.aligned):
        return False
    return y.dtype.kind in "biu" or (y.dtype in _FLOATS and _surely_finite(y))


def validated(
    estimator: BaseEstimator, sparse: bool, X: Matrix, *y: Matrix, nan: bool = True, **settings: bool
) -> Matrix:
    """X, or X and y, by scikit-learn's `validate_data`: X (n, p) of floats, dense or, where `sparse` says so, as
    `as_csr` gives it. nan: a dense X may have NaN. Nothing that was given is changed."""
    scipy = issparse(X)
    if sparse and scipy and X.ndim == 2 and X.dtype.kind in "biuf":
        X = as_csr(X)
    kinds = "csr" if sparse else False
    finite: bool | str = "allow-nan" if nan and not scipy else True
    found = validate_data(
        estimator, X, *y, accept_sparse=kinds, dtype=list(_FLOATS), ensure_all_finite=finite, **settings
    )
    return tuple(aligned(each) for each in found) if y else aligned(found)


def _surely_finite(a: NDArray[np.generic]) -> bool:
    """True only where all numbers are finite; False also where nothing but a sum overflows."""
    with np.errstate(all="ignore"):
        if a.flags.c_contiguous:
            flat = a.reshape(-1)
            if flat.dtype.kind == "f":
                return math.isfinite(np.dot(flat, flat))  # BLAS reads memory twice as fast as a sum
        return math.isfinite(np.add.reduce(a, axis=None))
