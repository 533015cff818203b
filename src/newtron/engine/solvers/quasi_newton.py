"""What the steps of a run tell of the inverse Hessian: BFGS by pairs of a step and its change of the gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from newtron.engine.base.types import Array
from newtron.engine.objective import Objective

Pairs: TypeAlias = tuple[tuple[Array, Array], ...]


def times_inverse(pairs: Pairs, gradient: Array, initial: Callable[[Array], Array]) -> Array:
    """The approximate inverse Hessian times the gradient, by the two-loop recursion (Nocedal & Wright, alg. 7.4).

    pairs: oldest first. initial: multiplies by the inverse that the pairs correct.
    """
    q = gradient.copy()
    kept = []
    for step, change in reversed(pairs):
        rho = 1.0 / float(step @ change)
        alpha = rho * float(step @ q)
        q -= alpha * change
        kept.append((rho, alpha, step, change))
    q = initial(q)
    for rho, alpha, step, change in reversed(kept):
        q += (alpha - rho * float(change @ q)) * step
    return q


def with_pair(objective: Objective, pairs: Pairs, step: Array, change: Array) -> Pairs:
    """The pairs with one more, if the sign of its curvature is certain in spite of rounding."""
    unit: Array | Sequence[float] = np.ones_like(step) if objective.scale is None else objective.scale
    if step @ change > 1e-14 * float(np.linalg.norm(step * unit) * np.linalg.norm(change / unit)):
        return (*pairs, (step, change))
    return pairs
