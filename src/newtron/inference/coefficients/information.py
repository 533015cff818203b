"""The information in the rows about a perceptron's parameters, as a triangle R with R'R = sum of J'HJ.

A fit keeps it of its rows, so that standard errors need no second pass over them. A triangle from QR has twice the
digits of the matrix R'R. Where the fit has the Hessian at its optimum and this is well conditioned, its Cholesky factor
is as accurate and costs no pass.

Rows in whitened form (`objective.whitened`) make every likelihood here a weighted least-squares problem.

A softmax determines its parameters only up to a common shift of all classes. So each class is kept against the first:
K - 1 outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.linalg import factorize, qr_triangle
from newtron.engine.base.threads import one_blas_thread
from newtron.engine.maths.losses import Loss, centred_root
from newtron.engine.maths.scaling import without_offset
from newtron.engine.objective import TrainingObjective, whitened
from newtron.engine.objective.least_squares import Triangle
from newtron.engine.objective.whitened import Whitened, WhitenedBlock
from newtron.engine.rows import Chunk, Rows

Array = NDArray[np.floating]
# What a weight of a row means: a number of rows, one over the variance of its target, or the number of individuals of
# a population that it stands for.
WeightsKind: TypeAlias = Literal["frequency", "precision", "sampling"]
WEIGHTS_KINDS: tuple[WeightsKind, ...] = ("frequency", "precision", "sampling")

# A fit keeps the triangle of at most so many parameters (1 MB). A fit without a Hessian of its own passes over its rows
# once more. After a training that was interrupted it does so only if that takes at most so many multiplications (some
# ten milliseconds).
MOST_PARAMETERS, _WORK = 500, 1e8
# The relative error of a Cholesky factor is the condition number of its matrix times the rounding error of a number,
# epsilon. Up to epsilon to this power, 4e-10 for float64 and 7e-5 for float32, it is small; beyond the second number
# the factor is of no use.
_SMALL_ERROR_POWER, _LARGEST_ERROR = 0.6, 1e-3
# Numbers up to this have finite squares and finite sums of squares.
LARGEST = 1e150
# Where the penalty is so many times larger than the information, subtracting it leaves too few digits.
_OUTWEIGHED = 1e3


@dataclass(frozen=True)
class Information:
    """The information in the rows, in the units of training. Parameters are ordered by output; each output has its
    weights and then its intercept, q parameters.

    root: (m, m) upper triangle R. m = q for regression, where all targets share it; m = (K - 1) q for K classes, each
    compared with the first. penalty: (k, q) of each output's parameters. weight: the total weight of the rows.
    n_rows: their number. whole_weights: whether every weight is a whole number, so that it may be a number of rows.
    log_likelihood: that of the fit; nan for a squared error. saturated: that of a model whose means are the targets
    themselves. residual_products: (k, k) weighted sums
    of products of residuals, and target_squares: (k,) weighted sums of squares of the targets about their means (about
    0 without an intercept), for a squared error; empty for other losses. counted: how many rows the formulas count:
    the total weight where a weight is a number of rows, else the number of rows with a weight above 0. log_weights:
    the sum of the logarithms of the weights above 0, where a weight is one over a variance; else 0. target_means: (k,)
    weighted means of the targets as they are trained on. null_log_likelihood: that of the intercept alone (of z = 0
    without one); nan for a squared error. score_products: (M, M) the sum of the products of the rows' scores, each with
    its weight, where weights are sampling weights; else (0, 0).
    """

    root: Array
    penalty: Array
    weight: float
    n_rows: int
    whole_weights: bool
    log_likelihood: float
    residual_products: Array
    target_squares: Array
    saturated: float = 0.0
    counted: float = float("nan")
    log_weights: float = 0.0
    target_means: Array = field(default_factory=lambda: np.empty(0))
    null_log_likelihood: float = float("nan")
    score_products: Array = field(default_factory=lambda: np.empty((0, 0)))


def penalty_root(penalty: Array, loss: Loss) -> Array:
    """A matrix with root'root = the penalty's Hessian in the parameters of `Information.root`.

    A softmax's penalty is on all K classes, whose common shift is free. Minimised over this shift, ½ Σ_c a_c w_c² is a
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


def identified_blocks(objective: TrainingObjective, params: Array, chunk: Chunk) -> Iterator[WhitenedBlock]:
    """A chunk's rows in whitened form at params, in the parameters of `Information.root`."""
    for block in whitened.whitened_blocks(objective, params, chunk):
        S = block.white.S
        yield block if S.shape[2] == 1 else block._replace(white=Whitened(S[:, :, 1:], block.white.e))


def information_at(
    objective: TrainingObjective, params: Array, value: float, *, any_size: bool = False, interrupted: bool = False
) -> Information | None:
    """The information at params, the end of a fit, where the objective has this value.

    None where it has no meaning (the loss is no likelihood, numbers are not finite) and, without any_size, where it
    would be large. interrupted: the user has ended the training, and shall not wait for another long pass."""
    network, loss, rows = objective.network, objective.loss, objective.rows
    if not (network.is_linear and loss.likelihood):
        return None
    if not any_size and network.n_params > MOST_PARAMETERS:
        return None
    k = network.n_outputs
    penalty = objective.alpha.reshape(-1, k).T
    with one_blas_thread(), np.errstate(all="ignore"):
        P, n = objective.n_params, objective.rows.n_rows
        root = _root(objective, params, allowed=not interrupted or n * P**2 <= _WORK)
        if root is None or not (_usable(root) and np.isfinite(params).all() and np.isfinite(value)):
            return None
        weights = (rows.total_weight, rows.n_rows, rows.whole_weights)
        loss_sum = value * rows.total_weight - 0.5 * float(objective.alpha @ np.square(params))
        mean = objective.target_mean
        if not loss.quadratic:
            null = -rows.total_weight * float(loss.terms(mean[None], _null_mean(loss, mean, network.intercept)).sum())
            return Information(
                root,
                penalty,
                *weights,
                -loss_sum,
                np.empty((0, 0)),
                np.empty(0),
                counted=rows.total_weight,
                target_means=mean,
                null_log_likelihood=null,
            )
        mean, variance = objective.target_moments
        about = variance if network.intercept else variance + np.square(mean)
        products = np.array([[max(0.0, 2.0 * loss_sum)]]) if k == 1 else _residual_products(objective, params)
        return Information(
            root,
            penalty,
            *weights,
            float("nan"),
            products,
            about * rows.total_weight,
            counted=rows.total_weight,
            target_means=mean,
        )


def _null_mean(loss: Loss, mean: Array, intercept: bool) -> Array:
    """(1, k) the predicted mean of a model without inputs."""
    return mean[None] if intercept else loss.inverse_link(np.zeros((1, len(mean))))


def of_given_rows(
    found: Information, rows: Rows, loss: Loss, weights: WeightsKind, *, offset: int | None, intercept: bool
) -> Information:
    """The same information with what only the rows as they were given say: their weight, how many the formulas count,
    and the part of the log-likelihood that does not depend on the model. rows: with the targets and weights of the
    user. offset: the column that is the logarithm of the exposure."""
    if not loss.has_deviance and weights == "frequency":
        return found
    null_mean = _null_mean(loss, found.target_means, intercept)

    def of_chunk(chunk: Chunk) -> Array:
        y = chunk.y.astype(np.float64)
        w = np.ones(len(y)) if chunk.weight is None else chunk.weight.astype(np.float64)
        above, saturated, null = w > 0.0, 0.0, 0.0
        if loss.has_deviance:
            exposure = np.ones(len(y)) if offset is None else without_offset(chunk.X, offset)[1]
            saturated = float(w @ loss.saturated(y).sum(axis=1))
            at_null = loss.terms(y / exposure[:, None], np.broadcast_to(null_mean, y.shape))
            null = float(w * exposure @ at_null.sum(axis=1))
        return np.array([above.sum(), np.log(w[above]).sum(), saturated, null])

    above, logs, saturated, null = rows.sum(of_chunk).tolist()
    return replace(
        found,
        weight=rows.total_weight,
        whole_weights=rows.whole_weights,
        log_likelihood=found.log_likelihood + saturated,
        saturated=saturated,
        counted=rows.total_weight if weights == "frequency" else above,
        log_weights=logs if weights == "precision" else 0.0,
        null_log_likelihood=saturated - null if loss.has_deviance else found.null_log_likelihood,
    )


def _usable(root: Array) -> bool:
    return bool(np.max(np.abs(root), initial=0.0) <= LARGEST)  # False for nan


def _root(objective: TrainingObjective, params: Array, allowed: bool) -> Array | None:
    if objective.triangle is not None:
        return square_triangle(objective.triangle)
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
    if lost > objective.epsilon**_SMALL_ERROR_POWER and (allowed or lost > _LARGEST_ERROR):
        return _by_rows(objective, params) if allowed else None
    return None if factor is None else np.triu(factor.cholesky) * factor.scale


def _identified(objective: TrainingObjective, H: Array) -> Array:
    """The Hessian (P, P), whose parameters are ordered by input, in the parameters of `Information.root`."""
    k = objective.network.n_outputs
    by_output = H.reshape(-1, k, H.shape[0] // k, k)
    if objective.loss.task == "regression":
        return np.ascontiguousarray(by_output[:, 0, :, 0])
    first = 0 if k == 1 else 1
    kept = by_output.transpose(1, 0, 3, 2)[first:, :, first:]
    m = kept.shape[0] * kept.shape[1]
    return np.ascontiguousarray(kept.reshape(m, m))


def _by_rows(objective: TrainingObjective, params: Array) -> Array:
    """R from QR decompositions over all rows."""

    def of_block(block: WhitenedBlock) -> Triangle:
        B = block.B * np.sqrt(block.weight)[:, None, None]
        return Triangle(qr_triangle(B.reshape(-1, B.shape[2])))

    def of_chunk(chunk: Chunk) -> Triangle:
        found, *rest = (of_block(block) for block in identified_blocks(objective, params, chunk))
        for part in rest:
            found += part
        return found

    return square_triangle(objective.rows.sum(of_chunk).R)


def square_triangle(R: Array) -> Array:
    """A triangle of fewer rows than columns, with rows of zeros added until it is square."""
    short = R.shape[1] - R.shape[0]
    return np.vstack([R, np.zeros((short, R.shape[1]))]) if short > 0 else R


def _residual_products(objective: TrainingObjective, params: Array) -> Array:
    def of_chunk(chunk: Chunk) -> Array:
        total: Array = np.zeros((objective.rows.n_outputs,) * 2)
        for block in identified_blocks(objective, params, chunk):
            total += block.white.e.T @ (block.weight[:, None] * block.white.e)
        return total

    return objective.rows.sum(of_chunk)
