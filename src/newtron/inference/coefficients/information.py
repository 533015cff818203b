"""The information in the rows about a perceptron's parameters, as a triangle R with R'R = sum of J'HJ.

It is what a fit keeps of its rows, so that standard errors need no second look at them. A triangle from QR has twice
the digits of the matrix; where the Hessian at the optimum is at hand and well conditioned, its Cholesky factor is as
good and costs nothing.

Rows in whitened form (`objective.whitened`) make every likelihood here a weighted least-squares problem.

The parameters of a softmax are known up to a common shift of all classes only. What is identified, and kept, is each
class against the first: K - 1 outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.linalg import factorize, qr_triangle
from newtron.engine.base.threads import one_blas_thread
from newtron.engine.maths.losses import Loss
from newtron.engine.objective import TrainingObjective, whitened
from newtron.engine.objective.least_squares import Triangle
from newtron.engine.objective.whitened import Whitened, WhitenedBlock, centred_root
from newtron.engine.rows import Chunk

Array = NDArray[np.floating]

# A fit keeps a triangle of at most this many parameters (1 MB). Without a Hessian of its own it passes over its rows
# once more; where its user has ended it, only if that takes so many multiplications (some ten milliseconds) at most.
MOST_PARAMETERS, _WORK = 500, 1e8
# A Cholesky factor has lost the condition times the rounding of its matrix. The rounding to this power is little, 4e-10
# for float64 and 7e-5 for float32; and this much is too much.
_LITTLE, _USABLE = 0.6, 1e-3
# The squares of numbers up to this are finite, and their sums.
LARGEST = 1e150
# A penalty that outweighs the rows by this much leaves too few digits of what they say.
_OUTWEIGHED = 1e3


@dataclass(frozen=True)
class Information:
    """In the units that training worked in. Parameters are output by output, each as its weights and then the
    intercept: q for each output.

    root: (m, m) upper triangle R. m = q for regression, where all targets share it; m = (K - 1) q for K classes, the
    first of which is the one that the others are seen against.
    penalty: (k, q) of each output's parameters. weight: total weight of the rows. n_rows: their number.
    whole_weights: whether every weight is a whole number, so that it may be a number of rows.
    log_likelihood: at the fit, of a classification; nan for a regression.
    residual_products: (k, k) weighted sums of products of residuals, and target_squares (k,) of squares of the targets
    about their means (about 0 without an intercept), of a regression; empty for a classification.
    """

    root: Array
    penalty: Array
    weight: float
    n_rows: int
    whole_weights: bool
    log_likelihood: float
    residual_products: Array
    target_squares: Array


def penalty_root(penalty: Array, loss: Loss) -> Array:
    """A matrix whose product with itself, root'root, is the penalty's Hessian in the parameters of `Information.root`.

    A softmax's penalty is on all K classes, and their common shift is free: minimised over it, ½ Σ_c a_c w_c² is a
    quadratic form in the K - 1 differences with diag(a) - aa'/Σa.
    """
    if loss.task == "regression" or penalty.shape[0] == 1:
        return np.asarray(np.diag(np.sqrt(penalty[0])))
    K, q = penalty.shape
    total = penalty.sum(axis=0)
    share = penalty / np.where(total > 0.0, total, 1.0)
    per_parameter = centred_root(np.sqrt(penalty.T), share.T)[:, :, 1:]  # (q, K, K - 1)
    root = np.zeros((q, K, K - 1, q))
    root[np.arange(q), :, :, np.arange(q)] = per_parameter
    return root.reshape(q * K, (K - 1) * q)


def blocks(objective: TrainingObjective, params: Array, chunk: Chunk) -> Iterator[WhitenedBlock]:
    """A chunk's rows in whitened form at params, in the parameters of `Information.root`."""
    for block in whitened.whitened_blocks(objective, params, chunk):
        S = block.white.S
        yield block if S.shape[2] == 1 else block._replace(white=Whitened(S[:, :, 1:], block.white.e))


def keep(
    objective: TrainingObjective, params: Array, value: float, *, asked: bool = False, ended: bool = False
) -> Information | None:
    """What a fit that ended at params, with the objective's value there, keeps. None where that has no meaning (a loss
    that is no likelihood, numbers that are not finite) or, unless it was asked for, where it would be large. ended: by
    somebody who does not wait for another long pass."""
    network, loss, rows = objective.network, objective.loss, objective.rows
    if not network.is_linear or loss.name not in ("squared_error", "log_loss") or not loss.convex:
        return None
    if not asked and network.n_params > MOST_PARAMETERS:
        return None
    k = network.n_outputs
    penalty = objective.alpha.reshape(-1, k).T
    with one_blas_thread(), np.errstate(all="ignore"):
        P, n = objective.n_params, objective.rows.n_rows
        root = _root(objective, params, allowed=not ended or n * P**2 <= _WORK)
        if root is None or not (_usable(root) and np.isfinite(params).all() and np.isfinite(value)):
            return None
        weights = (rows.total_weight, rows.n_rows, rows.whole_weights)
        loss_sum = value * rows.total_weight - 0.5 * float(objective.alpha @ np.square(params))
        if loss.task == "classification":
            return Information(root, penalty, *weights, -loss_sum, np.empty((0, 0)), np.empty(0))
        mean, variance = objective.target_moments
        about = variance if network.intercept else variance + np.square(mean)
        products = np.array([[max(0.0, 2.0 * loss_sum)]]) if k == 1 else _residual_products(objective, params)
        return Information(root, penalty, *weights, float("nan"), products, about * rows.total_weight)


def _usable(root: Array) -> bool:
    return bool(np.max(np.abs(root), initial=0.0) <= LARGEST)  # False for nan


def _root(objective: TrainingObjective, params: Array, allowed: bool) -> Array | None:
    if objective.triangle is not None:
        return square(objective.triangle)
    hessian = objective.known_hessian(params)
    if hessian is None and allowed:
        hessian = objective.evaluate(params, 2).hessian
    if hessian is None:
        return None
    total, alpha = hessian * objective.rows.total_weight, objective.alpha
    outweighed = bool(np.any(alpha > _OUTWEIGHED * (np.diagonal(total) - alpha)))
    total[np.diag_indices_from(total)] -= alpha
    information = _identified(objective, total)
    factor = factorize(information)
    lost = np.inf if factor is None or outweighed else factor.condition * objective.epsilon
    if lost > objective.epsilon**_LITTLE and (allowed or lost > _USABLE):
        return _by_rows(objective, params) if allowed else None
    return None if factor is None else np.triu(factor.cholesky) * factor.scale


def _identified(objective: TrainingObjective, H: Array) -> Array:
    """The Hessian (P, P), its parameters input by input, as one of the parameters of `Information.root`."""
    k = objective.network.n_outputs
    by_output = H.reshape(-1, k, H.shape[0] // k, k)
    if objective.loss.task == "regression":
        return np.ascontiguousarray(by_output[:, 0, :, 0])
    first = 0 if k == 1 else 1
    kept = by_output.transpose(1, 0, 3, 2)[first:, :, first:]
    m = kept.shape[0] * kept.shape[1]
    return np.ascontiguousarray(kept.reshape(m, m))


def _by_rows(objective: TrainingObjective, params: Array) -> Array:
    """R by QR over all rows."""

    def of_chunk(chunk: Chunk) -> Triangle:
        found: Triangle | None = None
        for block in blocks(objective, params, chunk):
            B = block.B * np.sqrt(block.weight)[:, None, None]
            part = Triangle(qr_triangle(B.reshape(-1, B.shape[2])))
            if found is None:
                found = part
            else:
                found += part
        assert found is not None
        return found

    return square(objective.rows.sum(of_chunk).R)


def square(R: Array) -> Array:
    """A triangle of fewer rows than columns, filled up with zeros."""
    short = R.shape[1] - R.shape[0]
    return np.vstack([R, np.zeros((short, R.shape[1]))]) if short > 0 else R


def _residual_products(objective: TrainingObjective, params: Array) -> Array:
    def of_chunk(chunk: Chunk) -> Array:
        total: Array = np.zeros((objective.rows.n_outputs,) * 2)
        for block in blocks(objective, params, chunk):
            total += block.white.e.T @ (block.weight[:, None] * block.white.e)
        return total

    return objective.rows.sum(of_chunk)
