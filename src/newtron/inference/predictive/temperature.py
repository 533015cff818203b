"""Probabilities of an average of networks, made as sure as they are right: one temperature.

The average's probabilities p become p^(1/T), normalised (Guo et al. 2017, temperature scaling). T is the one under
which the approximate leave-one-out probabilities of the training rows (`leave_one_out`) are most probable, with the
prior log T ~ N(0, ½²); 1 where that gains next to nothing. The most probable class stays what it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from newtron.engine.maths.losses import Loss, softmax
from newtron.inference.penalties.leave_one_out import predictions_without, rows_to_leave_out
from newtron.inference.posterior import Posterior

Array = NDArray[np.floating]

_TEMPERATURES, _PRIOR_SD = np.exp(np.linspace(-2.0, 2.5, 181)), 0.5
# One more parameter must gain one nat (Akaike 1974): a model that knows no more than how frequent the classes are is a
# little worse than that with a row left out, and is not to be mended.
_GAIN = 1.0
# A row that is left out and thought impossible costs no more than this, whatever the linearisation makes of it.
_LEAST = 1e-12


def every_class(p: Array) -> Array:
    """(n, classes) from the probabilities of a loss: two classes have one output."""
    return np.hstack([1.0 - p, p]) if p.shape[1] == 1 else p


def tempered(p: Array, temperature: float) -> Array:
    """p (n, classes) to the power 1 / temperature, normalised, in its own dtype."""
    if temperature == 1.0:
        return p
    with np.errstate(divide="ignore"):
        return softmax(np.log(p) / p.dtype.type(temperature))


def learn_temperature(
    posteriors: Sequence[Posterior], share: Array, loss: Loss, X: Any, Y: Array, weight: Array | None
) -> float:
    """T from the rows of training, X (n, p) in scaled units, Y (n, k) as the loss takes it, weight (n,) or None."""
    rows = rows_to_leave_out(weight, len(Y), max(posterior.work for posterior in posteriors))
    X, Y = X[rows], Y[rows].astype(np.float64)
    w = np.ones(len(rows)) if weight is None else weight[rows].astype(np.float64)
    without = [predictions_without(posterior, loss, X, Y, None if weight is None else w) for posterior in posteriors]
    p = sum(s * every_class(loss.inverse_link(found.raw)) for s, found in zip(share, without, strict=True))
    of_row = np.log(np.maximum(p, _LEAST))
    own = every_class(Y)
    # Where rows stand for others that were not looked at, they count for them too.
    w *= (len(Y) if weight is None else float(weight.sum())) / float(w.sum()) if len(rows) < len(Y) else 1.0
    prior = -0.5 * np.square(np.log(_TEMPERATURES) / _PRIOR_SD)
    likely = [float(w @ _log_softmax_of(of_row / T, own)) for T in _TEMPERATURES]
    best = int(np.argmax(np.array(likely) + prior))
    gain = likely[best] - float(w @ _log_softmax_of(of_row, own))
    return float(_TEMPERATURES[best]) if gain > _GAIN else 1.0


def _log_softmax_of(z: Array, own: Array) -> Array:
    """(n,) log softmax(z) of each row's own class, one-hot."""
    shifted = z - z.max(axis=1, keepdims=True)
    return np.asarray(np.einsum("ij,ij->i", own, shifted) - np.log(np.exp(shifted).sum(axis=1)))


def class_variance(posteriors: Sequence[Posterior], share: Array, loss: Loss, X: Any, temperature: float) -> Array:
    """(n, classes) variance of the probabilities over the posterior: that of each member, through the slope of the
    link, and that between members; never more than p (1 - p), all that there is. X in scaled units."""
    own, each = [], []
    for posterior in posteriors:
        blocks = list(posterior.seen_from(X))
        z = np.concatenate([at for _, at, _ in blocks]) / temperature
        V = np.concatenate([spread for _, _, spread in blocks]) / temperature**2
        p = loss.inverse_link(z)
        if p.shape[1] == 1:
            moved = np.square(p * (1.0 - p)) * V[:, 0]
            own.append(np.hstack([moved, moved]))
        else:
            S = p[:, :, None] * (np.eye(p.shape[1]) - p[:, None, :])
            own.append(np.einsum("mab,mbc,mac->ma", S, V, S, optimize=True))
        each.append(every_class(p))
    mean = sum(s * p for s, p in zip(share, each, strict=True))
    between = sum(s * np.square(p - mean) for s, p in zip(share, each, strict=True))
    within = sum(s * v for s, v in zip(share, own, strict=True))
    return np.asarray(within + between)
