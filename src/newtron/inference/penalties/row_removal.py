"""What leaving one row out does to the prediction for that row: the formula that every leave-one-out here uses.

At an optimum with curvature A, let J be the row's Jacobian, V = J A^-1 J', and g and H the gradient and the Hessian of
its loss at its raw prediction z. Without the row the curvature is A - J'HJ; by the Sherman-Morrison-Woodbury formula
one Newton step from the optimum leads to

    V without the row = (I - V H)^-1 V = V̄,    z without the row = z + V̄ g,    (I - V H)^-1 = I + V̄ H.

The eigenvalues of V H are the row's leverages, between 0 and 1 (Hoaglin & Welsch 1978; one for each output). Where
one is 1 the row alone determines some direction of its prediction, and there is no model without it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.linalg import eigh

Array = NDArray[np.floating]

# A leverage nearer to 1 is 1: what is left of 1 - h has lost its digits to rounding.
_ALONE = 1e-10
# Leverages that add up to less than this leave I - V H far from singular.
_SAFE = 0.99


class Removal(NamedTuple):
    """spread: (n, k, k) V without the row; where a leverage is 1, finite and huge. alone: (n,) whether one is."""

    spread: Array
    alone: NDArray[np.bool_]


def without_row(V: Array, H: Array) -> Removal:
    """V (n, k, k) of each row, and H (n, k, k) of what of it is left out, positive semidefinite."""
    if V.shape[1] == 1:
        left = 1.0 - V * H
        return Removal(V / np.maximum(left, _ALONE), left[:, 0, 0] <= _ALONE)
    sums = np.einsum("ncd,ndc->n", V, H)
    safe = sums <= _SAFE
    spread, alone = np.empty_like(V), np.zeros(len(V), dtype=np.bool_)
    spread[safe] = np.linalg.solve(np.eye(V.shape[1]) - V[safe] @ H[safe], V[safe])
    if not safe.all():
        spread[~safe], alone[~safe] = _by_leverages(V[~safe], H[~safe])
    return Removal(spread, alone)


def _by_leverages(V: Array, H: Array) -> Removal:
    """The same by the eigenvalues: V̄ = V + VR (I - R'VR)^-1 R'V with H = RR', symmetric whatever the leverages are."""
    finite = np.asarray(np.isfinite(V + H).all(axis=(1, 2)))
    V, H = (np.where(finite[:, None, None], M, 0.0) for M in (V, H))
    values, Q = eigh(H)
    R = Q * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    VR = V @ R
    leverages, Q = eigh(R.transpose(0, 2, 1) @ VR)
    left = 1.0 - leverages
    turned = VR @ Q
    spread = V + (turned / np.maximum(left, _ALONE)[:, None, :]) @ turned.transpose(0, 2, 1)
    spread[~finite] = np.nan
    return Removal(spread, np.any(left <= _ALONE, axis=1))
