"""Shares of an average of models, from what each predicts of rows that it was not trained on (stacking: Wolpert 1992;
Breiman 1996; for densities Smyth & Wolpert 1999)."""

from __future__ import annotations

import numpy as np

from newtron.engine.base.types import Array
from newtron.engine.maths.losses import Loss
from newtron.engine.objective import Function
from newtron.engine.solvers import LBFGS, minimize
from newtron.inference.predictive.temperature import every_class

# The prior of the shares is worth so many rows for each model, and draws the shares together. On 19 development sets 1,
# 3, 10 and 30 differ by .003 in log loss; the fewer, the less a model of no use gets.
_PRIOR_ROWS = 1.0
# A probability of what a row has below this counts as this.
_LEAST = 1e-12
_TOLERANCE = 1e-8


def stacking_shares(loss: Loss, Y: Array, raw: Array, weight: Array) -> Array:
    """(M,) shares, adding to 1, of M models.

    Y: (n, k) as the loss takes it; raw: (M, n, k) raw predictions of rows that the models were not trained on; weight:
    (n,). The shares s maximise the log likelihood of the average under a prior Π s_m^c: of the classes; of counts; or
    of normal targets, whose variance is the one that fits best.
    """
    M = len(raw)
    if M == 1:
        return np.ones(1)
    means = np.stack([loss.inverse_link(z) for z in raw])
    if loss.task == "classification":
        return shares_of_densities(
            np.stack([np.einsum("ij,ij->i", every_class(Y), every_class(p)) for p in means]), weight
        )
    found = minimize(_OfMeans(loss, Y, means, weight), np.zeros(M), LBFGS(), tol=_TOLERANCE)
    return _softmax(found.params)


def shares_of_densities(own: Array, weight: Array) -> Array:
    """(M,) the shares, adding to 1, under which the average of M densities is largest at rows that none of them has
    learned from, with the prior of `stacking_shares`. own: (M, n), each row's in any unit of its own; weight: (n,)."""
    return _softmax(minimize(_OfDensities(own, weight), np.zeros(len(own)), LBFGS(), tol=_TOLERANCE).params)


def _softmax(u: Array) -> Array:
    e = np.exp(u - u.max())
    return np.asarray(e / e.sum())


class _Shares(Function):
    """The negative log posterior of shares as a function of their logarithms, which may have any sum."""

    def __init__(self, M: int) -> None:
        super().__init__()
        self.n_params = M

    def by_share(self, share: Array) -> tuple[float, Array]:
        """The negative log likelihood and its derivatives (M,) with respect to the shares."""
        raise NotImplementedError

    def value(self, params: Array) -> float:
        share = _softmax(params)
        return self.by_share(share)[0] - _PRIOR_ROWS * float(np.log(share).sum())

    def gradient(self, params: Array) -> Array:
        share = _softmax(params)
        slopes = self.by_share(share)[1]
        return np.asarray(share * (slopes - share @ slopes) - _PRIOR_ROWS * (1.0 - len(share) * share))


class _OfDensities(_Shares):
    """own: (M, n) the density, or the probability, of what each row has."""

    def __init__(self, own: Array, weight: Array) -> None:
        super().__init__(len(own))
        self._own, self._weight = np.maximum(own, _LEAST), weight

    def by_share(self, share: Array) -> tuple[float, Array]:
        p = share @ self._own
        return -float(self._weight @ np.log(p)), -(self._own @ (self._weight / p))


class _OfMeans(_Shares):
    """means: (M, n, k) of the targets Y (n, k)."""

    def __init__(self, loss: Loss, Y: Array, means: Array, weight: Array) -> None:
        super().__init__(len(means))
        self._quadratic, self._Y, self._means, self._weight = loss.quadratic, Y, means, weight[:, None]

    def by_share(self, share: Array) -> tuple[float, Array]:
        mean = np.tensordot(share, self._means, axes=1)
        if not self._quadratic:
            by_mean = self._weight * (1.0 - self._Y / mean)
            return float(np.sum(self._weight * (mean - self._Y * np.log(mean)))), self._slopes(by_mean)
        left = mean - self._Y
        squares = max(float(np.sum(self._weight * np.square(left))), np.finfo(np.float64).tiny)
        half = 0.5 * float(self._weight.sum()) * self._Y.shape[1]
        return half * float(np.log(squares)), self._slopes(2.0 * half / squares * self._weight * left)

    def _slopes(self, by_mean: Array) -> Array:
        return np.asarray(np.tensordot(self._means, by_mean, axes=2))
