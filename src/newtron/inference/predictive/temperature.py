"""The calibration of the probabilities of an average of networks by one temperature.

The average's probabilities p become p^(1/T), normalised (Guo et al. 2017, temperature scaling). T is the one under
which the training rows are most probable by the probabilities of models that were trained without them, or by
approximate leave-one-out probabilities (`leave_one_out`) where there are no such models, with the prior
log T ~ N(0, ½²). It is 1 where another T gains next to nothing. The order of the classes' probabilities stays.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from newtron.engine.base.types import Array, Matrix
from newtron.engine.maths.losses import Loss, softmax
from newtron.inference.penalties.leave_one_out import predictions_without, rows_to_leave_out
from newtron.inference.posterior import Posterior

# The temperatures that are tried, from 0.14 to 12, and the standard deviation of log T under its prior.
_TEMPERATURES, _PRIOR_SD = np.exp(np.linspace(-2.0, 2.5, 181)), 0.5
# The gain in log likelihood, in nats, that one more parameter must bring (Akaike 1974). A model that knows only the
# frequencies of the classes is slightly worse on rows left out, and this is no reason to change its probabilities.
_GAIN = 1.0
# A lower limit on the probability of a row left out, so that no single row, for which the linearisation may be poor,
# decides on the temperature.
_LEAST = 1e-12


def every_class(p: Array) -> Array:
    """(n, classes) from the probabilities of a loss, which has one output for two classes."""
    return np.hstack([1.0 - p, p]) if p.shape[1] == 1 else p


def tempered(p: Array, temperature: float) -> Array:
    """p (n, classes) to the power 1 / temperature, normalised, in its own dtype."""
    if temperature == 1.0:
        return p
    with np.errstate(divide="ignore"):
        return softmax(np.log(p) / p.dtype.type(temperature))


def learn_temperature(
    posteriors: Sequence[Posterior], share: Array, loss: Loss, X: Matrix, Y: Array, weight: Array | None
) -> float:
    """T from the rows of training: X (n, p) in scaled units, Y (n, k) as the loss takes it, weight (n,) or None."""
    rows = rows_to_leave_out(weight, len(Y), max(posterior.work for posterior in posteriors))
    X, Y = X[rows], Y[rows].astype(np.float64)
    w = np.ones(len(rows)) if weight is None else weight[rows].astype(np.float64)
    without = [predictions_without(posterior, loss, X, Y, None if weight is None else w) for posterior in posteriors]
    p = sum(s * every_class(loss.inverse_link(found.raw)) for s, found in zip(share, without, strict=True))
    # Where only some rows are left out, each stands for several.
    w *= (len(Y) if weight is None else float(weight.sum())) / float(w.sum()) if len(rows) < len(Y) else 1.0
    return temperature_of(p, every_class(Y), w)


def temperature_of(p: Array, own: Array, weight: Array) -> float:
    """T from probabilities p (n, classes) of rows that were left out; own: (n, classes) one-hot; weight: (n,)."""
    of_row = np.log(np.maximum(p, _LEAST))
    prior = -0.5 * np.square(np.log(_TEMPERATURES) / _PRIOR_SD)
    log_likelihoods = [float(weight @ _log_softmax_of(of_row / T, own)) for T in _TEMPERATURES]
    best = int(np.argmax(np.array(log_likelihoods) + prior))
    gain = log_likelihoods[best] - float(weight @ _log_softmax_of(of_row, own))
    return float(_TEMPERATURES[best]) if gain > _GAIN else 1.0


def mean_loss(p: Array, own: Array, weight: Array, temperature: float) -> float:
    """The mean log loss of probabilities p (n, classes) at a temperature; own: (n, classes) one-hot; weight: (n,)."""
    of_row = np.log(np.maximum(p, _LEAST)) / temperature
    return -float(weight @ _log_softmax_of(of_row, own)) / float(weight.sum())


def _log_softmax_of(z: Array, own: Array) -> Array:
    """(n,) log softmax(z) of each row's own class. own: (n, classes) one-hot."""
    shifted = z - z.max(axis=1, keepdims=True)
    return np.asarray(np.einsum("ij,ij->i", own, shifted) - np.log(np.exp(shifted).sum(axis=1)))


def class_variance(raw: Sequence[tuple[Array, Array]], share: Array, loss: Loss, temperature: float) -> Array:
    """(n, classes) the variance of the probabilities over the posterior: that within each member, through the slope of
    the link, plus that between members. raw: of each member the raw predictions (n, k) and their covariances (n, k,
    k)."""
    own, each = [], []
    for at, spread in raw:
        z, V = at / temperature, spread / temperature**2
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
