"""The data of the problems, the same in every process: seeds are fixed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from tables import ROOT

Array = NDArray[Any]

SHARED = ROOT.parent / "shared" / "data"


def columns(n: int, p: int, kind: str = "normal", seed: int = 0) -> Array:
    """(n, p) float64. normal: independent. condition C: the columns of a random rotation of independent ones whose
    spreads fall from 1 to 1/C, so that scaling the columns does not mend it. correlated: each two by 0.99.
    heavy: Student's t of 1.5 to 3 degrees of freedom."""
    rng = np.random.default_rng(seed)
    if kind == "heavy":
        freedom = np.linspace(1.5, 3.0, p)
        return np.stack([rng.standard_t(df, n) for df in freedom], axis=1)
    X = rng.standard_normal((n, p))
    if kind == "correlated":
        X *= 0.1
        X += np.sqrt(0.99) * rng.standard_normal((n, 1))
    elif kind.startswith("condition"):
        rotation, _ = np.linalg.qr(rng.standard_normal((p, p)))
        X = (X * np.geomspace(1.0, 1.0 / float(kind.split()[1]), p)) @ rotation
    return X


def sparse_columns(n: int, p: int, per_row: tuple[int, int] = (20, 50), seed: int = 0) -> Any:
    """CSR (n, p): in each row so many cells, at columns drawn evenly, each of size about 1."""
    from scipy import sparse

    rng = np.random.default_rng(seed)
    counts = rng.integers(per_row[0], per_row[1] + 1, n)
    at = rng.integers(0, p, counts.sum())
    ends = np.concatenate([[0], np.cumsum(counts)])
    found = sparse.csr_matrix((rng.uniform(0.5, 1.5, len(at)), at, ends), shape=(n, p))
    found.sum_duplicates()
    return found


def classes(X: Any, n_classes: int, strength: float = 2.0, seed: int = 1) -> Array:
    """(n,) classes drawn from a softmax model whose raw predictions differ by about `strength`."""
    rng = np.random.default_rng(seed)
    scores = np.asarray(X @ rng.standard_normal((X.shape[1], n_classes)))
    # By the middle half of the rows: heavy tails have no standard deviation to divide by.
    low, high = np.quantile(scores[:, 0], [0.25, 0.75])
    scores *= strength * 1.35 / (high - low)
    return np.asarray((scores + rng.gumbel(size=scores.shape)).argmax(axis=1))


def response(X: Array, seed: int = 1) -> Array:
    """(n,) linear in X, with as much noise as signal, of spread 1."""
    rng = np.random.default_rng(seed)
    n, p = X.shape
    return np.asarray((X @ rng.standard_normal(p) / np.sqrt(p) + rng.standard_normal(n)) / np.sqrt(2.0))
