"""Losses of one row, as functions of the raw prediction z, with their first and second derivatives.

A loss never sees X: the network makes z from X, and the chain rule joins the two in `objective`.
All arrays have one shape: y, z and gradient (n, k), hessian (n, k, k), value (n,).

To add one: write its formulas as a class and its line in `LOSSES`; the tests find it there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar, Literal, Self, overload

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array
from newtron.engine.maths import chain_rules


@dataclass
class RowLosses:
    """The loss of each row, value (n,)."""

    value: Array

    @property
    def total(self) -> float:
        """The sum over the rows, in float64."""
        return float(self.value.sum(dtype=np.float64))

    def weighted(self, weight: Array | None) -> Self:
        """All of it times the rows' weights (n,); None means 1 for every row."""
        if weight is None:
            return self
        return type(self)(*(part * weight.reshape(-1, *(1,) * (part.ndim - 1)) for part in vars(self).values()))


@dataclass
class RowGradients(RowLosses):
    """Also the gradient of each row's loss with respect to z, (n, k)."""

    gradient: Array


@dataclass
class RowHessians(RowGradients):
    """Also the Hessian of each row's loss with respect to z, (n, k, k)."""

    hessian: Array


_OF_ORDER: tuple[type[RowLosses], ...] = (RowLosses, RowGradients, RowHessians)


def sigmoid(z: Array) -> Array:
    """1 / (1 + exp(-z)), exact to the last digits on both tails."""
    t = np.exp(-np.abs(z))
    return np.asarray(np.where(z >= 0, 1.0, t) / (1.0 + t))


def softmax(z: Array) -> Array:
    """exp(z_c) / sum over c of exp(z_c), over the last axis."""
    p: Array = np.exp(z - z.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    return p


def _diagonal(d: Array) -> Array:
    """(n, k) -> (n, k, k) with d on the diagonals."""
    n, k = d.shape
    if k == 1:
        return d[:, :, None]
    full = np.zeros((n, k, k), dtype=d.dtype)
    full[:, np.arange(k), np.arange(k)] = d
    return full


def centred_root(half: Array, p: Array) -> Array:
    """diag(half)(I - 1p'), (..., k, k)."""
    return np.asarray(half[..., :, None] * (np.eye(p.shape[-1]) - p[..., None, :]))


def _softmax_slope(p: Array) -> Array:
    """diag(p) - pp', (n, k, k)."""
    return np.asarray(_diagonal(p) - p[:, :, None] * p[:, None, :])


def _times_log(y: Array, p: Array) -> Array:
    """y log p, 0 where y is."""
    with np.errstate(divide="ignore"):
        return y * np.log(p, out=np.zeros_like(p), where=y != 0.0)


def _over(y: Array, p: Array) -> Array:
    """y / p, 0 where y is."""
    with np.errstate(divide="ignore", over="ignore"):
        return np.divide(y, p, out=np.zeros_like(p), where=y != 0.0)


class Loss(ABC):
    """A loss and its link. Instances hold no state."""

    name: ClassVar[str]
    formula: ClassVar[str]
    # What a perceptron with this loss is called elsewhere; "" where it has no other name.
    method: ClassVar[str] = ""
    # What a summary says of it beside the method.
    words: ClassVar[str] = ""
    convex: ClassVar[bool] = True
    # Is it ½ ‖y - z‖²? Then the variance of the targets is unknown and is estimated, and all outputs have one Hessian.
    quadratic: ClassVar[bool] = False
    # Is the loss a negative log-likelihood, less what depends on y alone? Then it has an information matrix.
    likelihood: ClassVar[bool] = False
    # Is it half a deviance? Then `saturated` is not 0, as it is for classes.
    has_deviance: ClassVar[bool] = False
    task: ClassVar[str]
    chain_rule: ClassVar[chain_rules.ChainRule]
    min_outputs: ClassVar[int] = 1
    # Does a training start at `start` of the targets' mean? Else at 0, and no pass over the targets is needed.
    starts_at_mean: ClassVar[bool] = False
    # Are its second and third derivatives by z at most 1, wherever z is?
    bounded_curvature: ClassVar[bool] = True
    # How many targets it takes; None for any number.
    max_targets: ClassVar[int | None] = None
    # Means that no finite z reaches: where all targets have such a mean, an intercept has no finite optimum.
    limits: ClassVar[tuple[float, float]] = (0.0, 1.0)
    # The sentences for data where no finite parameters are best: of the intercept, and of other coefficients. "" where
    # that does not happen, or is not looked for.
    no_intercept: ClassVar[str] = ""
    no_coefficients: ClassVar[str] = ""
    # What the targets must be, for the sentence of one that is not possible; "" where every number is possible.
    wrong_target: ClassVar[str] = ""
    # The sentence why a regression with this loss has no predictive distribution; "" where it has one.
    no_distribution: ClassVar[str] = ""
    # A classifying loss below this proves that the row's own class is the most probable one; 0: no such proof.
    separated_below: ClassVar[float] = 0.0
    # c such that along any line |loss'''| <= c ‖dz‖ loss'' (self-concordance; Bach 2010): how fast the curvature can
    # change. None where there is no such c.
    self_concordance: ClassVar[float | None] = None

    @property
    def has_identity_link(self) -> bool:
        """Is ŷ = z? Then targets may be scaled."""
        return self.chain_rule.mean_by_z == "1"

    @overload
    def pointwise(self, y: Array, z: Array, order: Literal[1], gauss_newton: bool = False) -> RowGradients: ...

    @overload
    def pointwise(self, y: Array, z: Array, order: Literal[2], gauss_newton: bool = False) -> RowHessians: ...

    @overload
    def pointwise(self, y: Array, z: Array, order: int, gauss_newton: bool = False) -> RowLosses: ...

    def pointwise(self, y: Array, z: Array, order: int, gauss_newton: bool = False) -> RowLosses:
        """Value, and with order 1 and 2 the gradient and Hessian with respect to z.

        gauss_newton: the positive semidefinite part of the Hessian; the same thing for a convex loss.
        """
        return _OF_ORDER[order](*islice(self._derivatives(y, z, gauss_newton), order + 1))

    @abstractmethod
    def _derivatives(self, y: Array, z: Array, gauss_newton: bool) -> Iterator[Array]:
        """Yield the value (n,), the gradient (n, k) and the Hessian (n, k, k), as far as they are asked for."""

    def hessian_change(self, z: Array, dz: Array) -> Array | None:
        """The derivative of the Hessian with respect to z along dz, (n, k, k); None for a loss that does not have it:
        where the gradient is the plain error, the Hessian is the slope of the link."""
        return self.mean_by_z_change(z, dz) if self.chain_rule.is_plain_error else None

    def whitened(self, y: Array, z: Array) -> tuple[Array, Array]:
        """S (n, s, c) with S'S the Hessian and e with -S'e the gradient, of a convex loss; y, z (n, k) in float64.

        c = 1 where the outputs share S, or there is only one; else c = k. e: (n, s), or (n, k) where they share S. Here
        for a Hessian that is diagonal and nowhere 0.
        """
        row = self.pointwise(y, z, 2)
        half = np.sqrt(np.einsum("ijj->ij", row.hessian))
        return _diagonal(half), -row.gradient / half

    def magnitude(self, y: Array, z: Array) -> Array:
        """(n, k) sizes of the terms that add up to the value, of a loss without bounded curvature: the rounding error
        of the value is some unit roundoffs of it."""
        raise NotImplementedError

    def start(self, mean: Array) -> Array:
        """(k,) the intercepts of the output at which a training starts, from the mean of the targets (k,)."""
        return np.zeros(len(mean))

    def is_possible(self, y: Array) -> NDArray[np.bool_]:
        """(n, k) whether each finite number can be a target. It is asked where `wrong_target` is a sentence."""
        return np.ones(y.shape, dtype=np.bool_)

    def saturated(self, y: Array) -> Array:
        """(n, k) the log-likelihood of a target whose mean is the target itself: that of a row is this less its
        loss."""
        return np.zeros_like(y)

    @abstractmethod
    def inverse_link(self, z: Array) -> Array:
        """The mean (regression) or the probabilities (classification) that z stands for, (n, k)."""

    def by_mean(self, y: Array, mean: Array) -> Array:
        """∂L/∂ŷ (n, k) from ŷ, the first factor of the gradient; training uses the product of both factors alone. It is
        infinite where ŷ is 0 for the class that was observed. Here that of a squared error, as in `terms`."""
        return mean - y

    def mean_by_z(self, z: Array) -> Array:
        """∂ŷ_d/∂z_c, (n, k, k): the second factor. Symmetric for every link here."""
        return _diagonal(np.ones_like(z))

    def mean_by_z_change(self, z: Array, dz: Array) -> Array:
        """The derivative of `mean_by_z` along dz (n, k), (n, k, k)."""
        del dz
        return _diagonal(np.zeros_like(z))

    def terms(self, y: Array, mean: Array) -> Array:
        """What each output adds to the value, (n, k), computed from ŷ; training computes the value from z, which cannot
        overflow."""
        return np.asarray(0.5 * np.square(y - mean))

    def visible(self, z: Array) -> Array:
        """The part of z on which the loss depends: a common shift of all classes, for example, changes no
        probability."""
        return z


_FALLING_INTERCEPT = "A class has no row that weighs, so its intercept falls for ever: leave its rows out."
_SEPARATED = (
    "Some coefficients go on growing while the fit hardly changes, as where rows are perfectly separated. Give a "
    "penalty (alpha) for finite coefficients."
)


class _Sigmoid(Loss):
    """ŷ = σ(z), for each output on its own."""

    task = "classification"
    no_intercept = _FALLING_INTERCEPT

    def inverse_link(self, z: Array) -> Array:
        return sigmoid(z)

    def mean_by_z(self, z: Array) -> Array:
        p = sigmoid(z)
        return _diagonal(p * (1.0 - p))

    def mean_by_z_change(self, z: Array, dz: Array) -> Array:
        p = sigmoid(z)
        return _diagonal(p * (1.0 - p) * (1.0 - 2.0 * p) * dz)


class _Softmax(Loss):
    """ŷ = softmax(z). A common shift of z changes nothing."""

    task = "classification"
    no_intercept = _FALLING_INTERCEPT
    min_outputs = 2

    def visible(self, z: Array) -> Array:
        return np.asarray(z - z.mean(axis=1, keepdims=True))

    def inverse_link(self, z: Array) -> Array:
        return softmax(z)

    def mean_by_z(self, z: Array) -> Array:
        return _softmax_slope(softmax(z))

    def mean_by_z_change(self, z: Array, dz: Array) -> Array:
        p = softmax(z)
        dp = p * (dz - np.einsum("ij,ij->i", p, dz)[:, None])
        mixed = dp[:, :, None] * p[:, None, :]
        return np.asarray(_diagonal(dp) - mixed - mixed.transpose(0, 2, 1))


class SquaredError(Loss):
    """½ ‖y - z‖². The ½ cancels the 2 of the square, so that the derivative is z - y."""

    name = "squared_error"
    formula = "½ (y - ŷ)²"
    method = "linear regression"
    words = "squared error"
    quadratic = True
    likelihood = True
    self_concordance = 0.0
    task = "regression"
    chain_rule = chain_rules.SQUARED_ERROR

    def _derivatives(self, y: Array, z: Array, gauss_newton: bool) -> Iterator[Array]:
        r = z - y
        yield 0.5 * np.einsum("ij,ij->i", r, r)
        yield r
        n, k = r.shape
        yield np.broadcast_to(np.eye(k, dtype=r.dtype), (n, k, k))

    def whitened(self, y: Array, z: Array) -> tuple[Array, Array]:
        return np.ones((y.shape[0], 1, 1)), y - z

    def inverse_link(self, z: Array) -> Array:
        return z


class PoissonLoss(Loss):
    """Half the unit deviance of a count y with the mean ŷ = e^z: ŷ - y + y log(y / ŷ), which is 0 where ŷ = y.

    It is the negative log-likelihood ŷ - y log ŷ + log y! less that of ŷ = y, so it never depends on the unit of an
    exposure. Several outputs: their sum.
    """

    name = "poisson"
    formula = "ŷ - y + y log(y / ŷ)"
    method = "Poisson regression"
    words = "log link"
    likelihood = True
    self_concordance = 1.0
    task = "regression"
    chain_rule = chain_rules.POISSON
    has_deviance = True
    starts_at_mean = True
    bounded_curvature = False
    max_targets = 1
    limits = (0.0, np.inf)
    no_intercept = "All counts are 0, so the intercept falls for ever: there is nothing to learn a rate from."
    no_coefficients = (
        "Some coefficients go on growing while the fit hardly changes, as where the rows that a column tells apart all "
        "have the count 0. Give a penalty (alpha) for finite coefficients."
    )
    wrong_target = "counts, 0 or more"
    no_distribution = (
        'with loss="poisson" the distribution of a count follows from its mean, and no noise of its own is learned: '
        "predict_interval has its quantiles."
    )

    def _derivatives(self, y: Array, z: Array, gauss_newton: bool) -> Iterator[Array]:
        mean = np.exp(z)
        counted = y > 0.0
        # y (e^r - 1 - r) with r = z - log y: no digits cancel where the mean is near the count.
        r = z - np.log(y, out=np.zeros_like(y), where=counted)
        yield np.where(counted, y * (np.expm1(r) - r), mean).sum(axis=1)
        yield mean - y
        yield _diagonal(mean)

    def magnitude(self, y: Array, z: Array) -> Array:
        size = np.abs(np.log(y, out=np.zeros_like(y), where=y > 0.0))
        return np.asarray((np.exp(z) + y) * (1.0 + np.abs(z) + size))

    def start(self, mean: Array) -> Array:
        return np.log(mean, out=np.zeros(len(mean)), where=mean > 0.0)

    def is_possible(self, y: Array) -> NDArray[np.bool_]:
        return y >= 0.0

    def saturated(self, y: Array) -> Array:
        from scipy.special import gammaln, xlogy

        return np.asarray(xlogy(y, y) - y - gammaln(y + 1.0))

    def inverse_link(self, z: Array) -> Array:
        return np.exp(z)

    def by_mean(self, y: Array, mean: Array) -> Array:
        return 1.0 - _over(y, mean)

    def mean_by_z(self, z: Array) -> Array:
        return _diagonal(np.exp(z))

    def mean_by_z_change(self, z: Array, dz: Array) -> Array:
        return _diagonal(np.exp(z) * dz)

    def terms(self, y: Array, mean: Array) -> Array:
        return mean - y + _times_log(y, y) - _times_log(y, mean)


class LogLoss(_Sigmoid):
    """-y log p - (1 - y) log(1 - p) with p = σ(z); y is 0 or 1 (several outputs: their sum)."""

    name = "log_loss"
    formula = "-y log ŷ - (1 - y) log(1 - ŷ)"
    method = "logistic regression"
    likelihood = True
    self_concordance = 1.0
    no_coefficients = _SEPARATED
    chain_rule = chain_rules.LOG_LOSS
    separated_below = float(np.log(2.0))

    def _derivatives(self, y: Array, z: Array, gauss_newton: bool) -> Iterator[Array]:
        # log(1 + exp(z)) - y z, with the exponential never above 1.
        t = np.exp(-np.abs(z))
        yield (np.maximum(z, 0.0) + np.log1p(t) - y * z).sum(axis=1)
        p = np.where(z >= 0, 1.0, t) / (1.0 + t)
        yield p - y
        yield _diagonal(t / np.square(1.0 + t))

    def whitened(self, y: Array, z: Array) -> tuple[Array, Array]:
        # sqrt(p(1 - p)) and (y - p)/sqrt(p(1 - p)) of one output without the cancellation in 1 - p.
        t = np.exp(-np.abs(z))
        sign = 2.0 * y - 1.0
        return (np.sqrt(t) / (1.0 + t))[:, :, None], sign * np.exp(-0.5 * sign * z)

    def by_mean(self, y: Array, mean: Array) -> Array:
        return _over(1.0 - y, 1.0 - mean) - _over(y, mean)

    def terms(self, y: Array, mean: Array) -> Array:
        return -_times_log(y, mean) - _times_log(1.0 - y, 1.0 - mean)


class SoftmaxLogLoss(_Softmax):
    """-Σ_c y_c log p_c with p = softmax(z); y is one-hot."""

    name = "log_loss"
    formula = "-Σ_c y_c log ŷ_c"
    method = "logistic regression"
    likelihood = True
    no_coefficients = _SEPARATED
    self_concordance = float(np.sqrt(2.0))
    chain_rule = chain_rules.SOFTMAX_LOG_LOSS
    separated_below = float(np.log(2.0))

    def _derivatives(self, y: Array, z: Array, gauss_newton: bool) -> Iterator[Array]:
        shifted = z - z.max(axis=1, keepdims=True)
        p = np.exp(shifted)
        total = p.sum(axis=1, keepdims=True)
        yield np.log(total[:, 0]) - np.einsum("ij,ij->i", y, shifted)
        p /= total
        yield p - y
        hessian = _diagonal(p)
        hessian -= p[:, :, None] * p[:, None, :]
        yield hessian

    def whitened(self, y: Array, z: Array) -> tuple[Array, Array]:
        # diag(p) - pp' = S'S with S = diag(sqrt p)(I - 1p').
        p = np.maximum(softmax(z), 1e-300)
        half = np.sqrt(p)
        return centred_root(half, p), (y - p) / half

    def by_mean(self, y: Array, mean: Array) -> Array:
        return -_over(y, mean)

    def terms(self, y: Array, mean: Array) -> Array:
        return -_times_log(y, mean)


class SigmoidSquaredError(_Sigmoid):
    """½ (y - σ(z))². It is not convex: a row with a wrong prediction near 0 or 1 has almost no slope."""

    name = "squared_error"
    formula = "½ (y - ŷ)²"
    convex = False
    chain_rule = chain_rules.SIGMOID_SQUARED_ERROR
    separated_below = 0.125

    def _derivatives(self, y: Array, z: Array, gauss_newton: bool) -> Iterator[Array]:
        p = sigmoid(z)
        r = p - y
        yield 0.5 * np.einsum("ij,ij->i", r, r)
        slope = p * (1.0 - p)
        gradient = r * slope
        yield gradient
        hessian = np.square(slope)
        if not gauss_newton:
            hessian += gradient * (1.0 - 2.0 * p)
        yield _diagonal(hessian)


class SoftmaxSquaredError(_Softmax):
    """½ ‖y - softmax(z)‖² (half the Brier score); y is one-hot. It is not convex."""

    name = "squared_error"
    formula = "½ Σ_c (y_c - ŷ_c)²"
    convex = False
    chain_rule = chain_rules.SOFTMAX_SQUARED_ERROR
    separated_below = 0.125

    def _derivatives(self, y: Array, z: Array, gauss_newton: bool) -> Iterator[Array]:
        p = softmax(z)
        r = p - y
        yield 0.5 * np.einsum("ij,ij->i", r, r)
        # With S = diag(p) - pp' the derivative of the softmax, the gradient is S r.
        gradient = p * (r - np.einsum("ij,ij->i", p, r)[:, None])
        yield gradient
        slope = _softmax_slope(p)
        hessian = slope @ slope
        if not gauss_newton:
            q = gradient
            hessian += _diagonal(q) - q[:, :, None] * p[:, None, :] - p[:, :, None] * q[:, None, :]
        yield hessian


LOSSES: tuple[Loss, ...] = (
    SquaredError(),
    LogLoss(),
    SoftmaxLogLoss(),
    SigmoidSquaredError(),
    SoftmaxSquaredError(),
    PoissonLoss(),
)

DEFAULT_LOSS = {"regression": "squared_error", "classification": "log_loss"}


def method_of(loss: Loss) -> str:
    """What a perceptron with this loss is called elsewhere, in brackets; "" where it has no other name."""
    return f" ({loss.method})" if loss.method else ""


def loss_for(task: str, name: str | None, n_outputs: int) -> Loss:
    """The loss of a task ("regression", "classification") by name (None: the task's own) and outputs."""
    name = DEFAULT_LOSS[task] if name is None else name
    fitting = [loss for loss in LOSSES if loss.task == task and loss.name == name]
    if not fitting:
        known = dict.fromkeys(loss.name for loss in LOSSES if loss.task == task)
        raise InputError(
            f"loss={name!r} is not known for {task}: choose one of {', '.join(map(repr, known))}, or None."
        )
    # Two or more classes with one output each want the loss that is made for several outputs.
    return max((loss for loss in fitting if loss.min_outputs <= n_outputs), key=lambda loss: loss.min_outputs)
