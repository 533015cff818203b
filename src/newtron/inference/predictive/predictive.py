"""The predictive distribution of a regression, from the members' posteriors and a model of the noise.

A perceptron with squared errors has its textbook distribution: a t of n - P degrees of freedom around f(x), with
s² = noise (1 + h(x)). Around the mean f(x) of networks the target has a mixture of t distributions with several models
of the scale, each learned from what that mean misses of rows that were left out (`noise`):

    constant noise       log s² = log(noise + v(x)) + b0,
    noise by prediction  log s² = log(noise + v(x)) + b0 + b'[f, f², log v],
    noise by inputs      log s² = log(noise + v(x)) + b0 + b'[f, f², log v, x],
    noise by pieces      log s² = log(noise + v(x)) + b0 + b'[f, f², log v, x, pieces of x],

with x the inputs that all networks take, and v(x) the model's variance: the members' mean noise · J A^-1 J' plus the
variance between their predictions. Where rows were left out in several parts, these choose the shares of the mixture:
each part is predicted by scales that were learned from the others (stacking of densities: Smyth & Wolpert 1999). Else
the shares are equal, and there is no scale by pieces. A row that was left out is predicted by models of fewer rows,
whose noise and variance are larger; so b0 is learned relative to what those models say, and not from the residuals
alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.linalg import is_sparse
from newtron.engine.base.types import Array, Matrix
from newtron.engine.maths.losses import Loss
from newtron.engine.maths.scaling import taken_inputs
from newtron.inference.coefficients.information import Information
from newtron.inference.penalties.leave_one_out import predictions_without, rows_to_leave_out
from newtron.inference.posterior import Posterior
from newtron.inference.predictive.mixture import Mixture
from newtron.inference.predictive.noise import ScaleModel, constant_scale, fit_scale, scale_shares

# A scale that depends on the row is learned from at least so many rows, and from at most so many inputs.
_LEAST_ROWS, _MOST_INPUTS = 30, 200
# A standard deviation below this share of the targets' standard deviation is rounding.
_ROUNDING = 1e-8
# Model variances below this share of the noise have the same logarithm.
_LEAST_VARIANCE = 1e-12
# The noise is divided by at least this share of the rows as degrees of freedom.
_LEAST_FREEDOM = 1e-3
# Rows of one block of predictions.
_BLOCK = 8192
# Features of the scale beside the inputs: f, f², log v.
_OWN = 3
# The stretches of the scale that are tried, 1 to 5, and the standard deviation of log stretch under its prior. None is
# below 1: leave-one-out residuals from one curvature tend to be too small, and some rows that happen to fit well are no
# reason to narrow all intervals.
_STRETCHES, _PRIOR_SD = np.exp(np.linspace(0.0, 1.6, 65)), 0.5


@dataclass(frozen=True)
class Uncertainty:
    """The parts of the uncertainty of predictions, each in the predictions' shape and units.

    mean: the prediction. noise_std: the standard deviation of targets around the true mean, which more data do not
    reduce. model_std: that of the mean itself, which more data do reduce. std: that of both together, the square root
    of the sum of squares.
    """

    mean: Array
    noise_std: Array
    model_std: Array

    @property
    def std(self) -> Array:
        return np.hypot(self.noise_std, self.model_std)


@dataclass(frozen=True)
class ModelMoments:
    """The mean and the variance of the model at some rows, and the noise around it, (n, k) each, in scaled units."""

    mean: Array
    variance: Array
    noise: Array


@dataclass(frozen=True)
class NoiseModel:
    """The noise of a regression, as a model keeps it; all in scaled units.

    variance: (M, k) of the noise around each member with a share in the prediction. scales: for each output its models
    of the scale, in the order constant, by prediction, by inputs, by pieces; where there are few rows only the first of
    them, and others have no pieces. shares: for each output those of its models in the mixture. stretch: (k,) a factor
    on all scales, learned from rows that were not trained on; 1 where there were none.
    """

    variance: Array
    scales: tuple[tuple[ScaleModel, ...], ...]
    shares: tuple[Array, ...]
    stretch: Array


@dataclass(frozen=True)
class RegressionPredictive:
    """The predictive distribution of a regression, as a function of the rows; all in scaled units.

    posteriors, share: (M,), those of the members with a share in the prediction. noise: the noise around them.
    """

    posteriors: tuple[Posterior, ...]
    share: Array
    noise: NoiseModel

    def moments(self, X: Matrix) -> ModelMoments:
        """The model's mean and variance at the rows of X (n, p), in scaled units."""
        found = [mean_and_variance(posterior, X) for posterior in self.posteriors]
        means, variances = (np.array([f[place] for f in found]) for place in (0, 1))
        return moments_of_average(self.share, means, self.noise.variance[:, None] * variances, self.noise.variance)

    def mixture(self, X: Matrix, moments: ModelMoments, output: int) -> Mixture:
        """The distribution of one output at the rows of X, whose moments are given, in scaled units."""
        f = moments.mean[:, output]
        base = moments.noise[:, output] + moments.variance[:, output]
        models = self.noise.scales[output]
        own = _features(moments, output)
        squared = np.empty((len(f), len(models)))
        for column, model in enumerate(models):
            features, n_inputs = own[:, : len(model.slopes)], len(model.slopes) - _OWN
            if n_inputs > 0:
                features = np.hstack([features, X[:, :n_inputs].astype(np.float64, copy=False)])
            squared[:, column] = model.squared_scale(features, base)
        scale = self.noise.stretch[output] * np.sqrt(np.maximum(squared, _floor(moments.noise[:, [output]])))
        return Mixture(self.noise.shares[output], f, scale, np.array([model.dof for model in models]))

    def stretched(self, X: Matrix, Y: Array, weight: Array | None) -> Array:
        """(k,) the stretch under which these rows, which were not trained on, are most probable, with a prior around
        1."""
        moments = self.moments(X)
        w = np.ones(len(Y)) if weight is None else weight
        prior = -0.5 * np.square(np.log(_STRETCHES) / _PRIOR_SD)
        found = []
        for output in range(Y.shape[1]):
            plain = self.mixture(X, moments, output)
            log_likelihoods = [w @ replace(plain, scale=s * plain.scale).log_density(Y[:, output]) for s in _STRETCHES]
            found.append(float(_STRETCHES[np.argmax(np.array(log_likelihoods) + prior)]))
        return np.array(found)


def freedom(posteriors: Sequence[Posterior], weight: Array | None, n_rows: int, n_outputs: int) -> float:
    """The degrees of freedom of the noise: rows, counted by their weights, less the effective parameters of an
    output."""
    total = float(n_rows if weight is None else weight.sum(dtype=np.float64))
    return total - max(posterior.effective for posterior in posteriors) / n_outputs


def perceptron_predictive(posterior: Posterior, kept: Information) -> RegressionPredictive:
    """The t of n - P degrees of freedom, exact for least squares; under a penalty P is the effective parameters."""
    k = posterior.network.n_outputs
    left = kept.counted - posterior.effective / k
    noise = np.maximum(np.diagonal(kept.residual_products) / left, _floor(kept.target_squares / kept.weight))
    model = NoiseModel(noise[None], ((constant_scale(left),),) * k, (np.ones(1),) * k, np.ones(k))
    return RegressionPredictive((posterior,), np.ones(1), model)


def _floor(variance: Array | float) -> Array:
    """The least variance of noise that is not rounding, for targets of this variance."""
    return np.asarray(np.square(_ROUNDING) * variance + np.finfo(np.float64).tiny)


def network_predictive(
    posteriors: Sequence[Posterior],
    share: Array,
    loss: Loss,
    X: Matrix,
    Y: Array,
    weight: Array | None,
    left_out: ModelMoments | None = None,
    part: NDArray[np.intp] | None = None,
) -> RegressionPredictive:
    """The noise model learned from the rows of training: X (n, n_inputs), Y (n, k) in scaled units, weight (n,) or
    None.

    left_out: the moments of each row by models that were trained without it, nan for a row that was left out of none;
    None: one step from the optimum says what is left without each row. part: (n,) the number of the part with which
    each row was left out; None where these are no parts by which scales could be judged.
    """
    weight = np.ones(len(Y)) if weight is None else weight.astype(np.float64)
    noise = np.array([noise_around(posterior, X, Y, weight) for posterior in posteriors])
    most_dof = freedom(posteriors, weight, *Y.shape)
    if left_out is None:
        rows = rows_to_leave_out(weight, len(Y), max(posterior.work for posterior in posteriors))
        without = [predictions_without(posterior, loss, X[rows], Y[rows], weight[rows]) for posterior in posteriors]
        variances = np.array(
            [around * np.einsum("ncc->nc", w.spread) for around, w in zip(noise, without, strict=True)]
        )
        moments = moments_of_average(share, np.array([found.raw for found in without]), variances, noise)
    else:
        rows = np.flatnonzero((weight > 0.0) & np.isfinite(left_out.mean).all(axis=1))
        moments = ModelMoments(left_out.mean[rows], left_out.variance[rows], left_out.noise[rows])
    shared = min(posterior.network.widths[0] for posterior in posteriors)
    widths = [shared] if part is None or X.shape[1] == shared else [shared, X.shape[1]]
    inputs = [
        X[rows, :width].astype(np.float64, copy=False) for width in widths if not is_sparse(X) and width <= _MOST_INPUTS
    ]
    Y, weight, part = Y[rows].astype(np.float64), weight[rows], None if part is None else part[rows]
    scales = [_scales(inputs, Y[:, c], moments, c, weight, most_dof, part) for c in range(Y.shape[1])]
    models, shares = zip(*scales, strict=True)
    model = NoiseModel(noise, models, shares, np.ones(Y.shape[1]))
    return RegressionPredictive(tuple(posteriors), share, model)


def _scales(
    inputs: Sequence[Array],
    y: Array,
    moments: ModelMoments,
    output: int,
    weight: Array,
    most_dof: float,
    part: NDArray[np.intp] | None,
) -> tuple[tuple[ScaleModel, ...], Array]:
    """The models of the scale, and their shares. inputs: those of each model that learns from inputs."""
    own = _features(moments, output)
    features: list[Array] = [np.empty((len(y), 0))]
    if weight.sum() >= _LEAST_ROWS:
        features += [own, *(np.hstack([own, x]) for x in inputs)]
    base, residuals = moments.noise[:, output] + moments.variance[:, output], y - moments.mean[:, output]
    models = tuple(fit_scale(residuals, each, weight, base=base, most_dof=most_dof) for each in features)
    if part is None:
        return models, np.full(len(models), 1.0 / len(models))
    least = _floor(moments.noise[:, output])
    return models, scale_shares(models, residuals, features, weight, part, base=base, least=least)


def _features(moments: ModelMoments, output: int) -> Array:
    """[f, f², log v]. v is in units of the noise, and bounded below to have a logarithm."""
    f, v = moments.mean[:, output], moments.variance[:, output] / moments.noise[:, output]
    return np.column_stack([f, np.square(f), np.log(np.maximum(v, _LEAST_VARIANCE))])


def noise_around(posterior: Posterior, X: Matrix, Y: Array, weight: Array) -> Array:
    """(k,) the variance of the noise: weighted squares of the residuals over degrees of freedom (MacKay 1992)."""
    total = np.zeros(Y.shape[1])
    for start in range(0, len(Y), _BLOCK):
        rows = slice(start, start + _BLOCK)
        block = taken_inputs(X[rows], posterior.network.widths[0], posterior.first).astype(np.float64, copy=False)
        total += weight[rows] @ np.square(Y[rows] - posterior.network.output(posterior.params, block))
    free = freedom((posterior,), weight, *Y.shape)
    mean = weight @ Y / weight.sum()
    about = weight @ np.square(Y - mean) / weight.sum()
    return np.asarray(np.maximum(total / max(free, _LEAST_FREEDOM * weight.sum()), _floor(about)))


def mean_and_variance(posterior: Posterior, X: Matrix) -> tuple[Array, Array]:
    """z and the diagonals of J A^-1 J', (n, k) each: the mean, and its variance in units of the noise."""
    n, k = X.shape[0], posterior.network.n_outputs
    z, variance = np.empty((n, k)), np.empty((n, k))
    for rows, at, V in posterior.predict(X):
        z[rows], variance[rows] = at, np.einsum("mcc->mc", V)
    return z, variance


def moments_of_average(share: Array, means: Array, variances: Array, noise: Array) -> ModelMoments:
    """The mean over members, and their mean variance plus the variance between their means.

    share: (M,). means, variances: (M, n, k) of the members. noise: (M, k) or (M, n, k) around them.
    """
    mean = np.tensordot(share, means, axes=1)
    between = np.tensordot(share, np.square(means - mean), axes=1)
    around = np.broadcast_to(np.tensordot(share, noise, axes=1), mean.shape)
    return ModelMoments(mean, np.tensordot(share, variances, axes=1) + between, around)
