"""Predictions of a fitted model: means, probabilities, distributions, and how sure each is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import InputError
from newtron.engine.base.linalg import is_sparse
from newtron.engine.base.threads import one_blas_thread
from newtron.engine.base.types import Array, Matrix
from newtron.engine.maths.scaling import without_offset
from newtron.inference.coefficients.information import MOST_PARAMETERS
from newtron.inference.posterior import Posterior, raw_predictions
from newtron.inference.predictive.counts import CountMixture, count_mixture
from newtron.inference.predictive.mixture import Distribution, Mixture
from newtron.inference.predictive.predictive import NoiseModel, RegressionPredictive, Uncertainty
from newtron.inference.predictive.temperature import class_variance, every_class, tempered
from newtron.training.fitted import FittedModel
from newtron.training.predictive import posteriors_of, predictive_of_perceptron

# Rows of a block, and numbers of one that becomes dense.
_ROWS, _NUMBERS = 8192, 2**24
# A product of fewer multiplications than this no BLAS shares among threads (OpenBLAS from 9,216 on), so none need be
# held back: asking it to takes as long as the prediction of one row.
_ALONE = 8192


def predicted(model: FittedModel, X: Matrix) -> Array:
    """(n, k) predicted means of a regression, in the units of the targets, or (n, classes) probabilities."""
    if not model.is_regression:
        return probabilities(model, X)
    means, offset = averaged(model, X, model.means), model.scaling.offset
    if offset is None:
        return means
    return np.asarray(means * without_offset(X, offset)[1][:, None]).astype(X.dtype, copy=False)


def averaged(model: FittedModel, X: Matrix, finish: Callable[[Array], Array]) -> Array:
    """The average of finish(raw prediction) over the members by their shares, (n, k), in X's dtype."""
    if X.shape[0] * model.most_parameters < _ALONE:
        return _averaged_block(model, X, finish)
    with one_blas_thread():
        return np.concatenate([_averaged_block(model, X[rows], finish) for rows in _blocks(model, X)])


def _averaged_block(model: FittedModel, X: Matrix, finish: Callable[[Array], Array]) -> Array:
    block = model.scaling.inputs(X)
    gained = model.gained(X).astype(X.dtype) if model.has_intercepts else None
    total: Array | float = 0.0
    for member in model.members:
        if member.share:
            z = member.output(block)
            total = total + member.share * finish(z if gained is None else z + gained)
    return np.asarray(total).astype(X.dtype, copy=False)


def _blocks(model: FittedModel, X: Matrix) -> Iterator[slice]:
    n = _ROWS
    if is_sparse(X) and model.scaling.x_center.any():  # each block becomes dense
        n = max(1, min(n, _NUMBERS // X.shape[1]))
    for start in range(0, X.shape[0], n):
        yield slice(start, start + n)


def probabilities(model: FittedModel, X: Matrix) -> Array:
    """(n, classes), rows adding to 1."""
    return tempered(every_class(averaged(model, X, model.loss.inverse_link)), model.temperature)


def most_probable(model: FittedModel, X: Matrix) -> NDArray[np.intp]:
    """(n,) the position of the most probable class, which no temperature changes."""
    return np.asarray(every_class(averaged(model, X, model.loss.inverse_link)).argmax(axis=1))


def class_uncertainty(model: FittedModel, X: Matrix) -> Uncertainty:
    """That a row is of a class has the variance p(1 - p): the model's part of it comes from parameters that the data
    leave open, the noise's is the rest. Raises InputError for a fit that kept no curvature, with the reason."""
    p = probabilities(model, X)
    total = p * (1.0 - p)
    posteriors = known(posteriors_of(model.sharing, model.loss), "uncertainty of its parameters")
    share = np.array([member.share for member in model.sharing])
    blocks = (X[start : start + _ROWS] for start in range(0, X.shape[0], _ROWS))
    with one_blas_thread(), np.errstate(all="ignore"):
        variance = np.concatenate(
            [
                class_variance(_raw_of(model, posteriors, block), share, model.loss, model.temperature)
                for block in blocks
            ]
        )
    own = np.minimum(variance.astype(p.dtype), total)
    return Uncertainty(p, np.sqrt(total - own), np.sqrt(own))


def _raw_of(model: FittedModel, posteriors: Sequence[Posterior], X: Matrix) -> list[tuple[Array, Array]]:
    """The raw predictions (n, k) of each member over its posterior, with their covariances (n, k, k): those of the
    random intercepts are in them."""
    found = raw_predictions(posteriors, model.scaling.inputs(X))
    if not model.has_intercepts:
        return found
    gained, own = model.gained(X), model.random_intercepts
    V = 0.0 if own is None else own.variances_at(X)[:, :, None] * np.eye(gained.shape[1])
    return [(z + gained, spread + V) for z, spread in found]


def predictive_of(model: FittedModel) -> RegressionPredictive | str:
    """The predictive distribution of a regression, or the sentence why there is none."""
    if model.is_perceptron:
        return predictive_of_perceptron(model.members[0], model.loss)
    if not isinstance(model.noise_model, NoiseModel):
        return model.noise_model or "it is no regression."
    posteriors = posteriors_of(model.sharing, model.loss)
    if isinstance(posteriors, str):
        return posteriors
    return RegressionPredictive(posteriors, np.array([member.share for member in model.sharing]), model.noise_model)


def distributions(model: FittedModel, X: Matrix) -> tuple[Sequence[Distribution], Array, Array]:
    """The distribution of each output of a regression over the rows X (n, p), in the user's units, with its variance
    and the model's part of that, (n, k) each. Raises InputError for a fit that has none, with the reason."""
    if model.loss.has_deviance:
        counts = _counts(model, X)
        return [counts], counts.variance[:, None], counts.variance_of_means[:, None]
    predictive = known(predictive_of(model), "predictive distribution")
    scaling, pieces = model.scaling, []
    with one_blas_thread(), np.errstate(all="ignore"):
        for start in range(0, X.shape[0], _ROWS):
            rows = X[start : start + _ROWS]
            block = scaling.inputs(rows)
            moments = predictive.moments(block)
            mixtures = [predictive.mixture(block, moments, c) for c in range(len(predictive.noise.scales))]
            pieces.append((_with_intercepts(model, rows, mixtures), moments.variance))
    whole = []
    for output, (center, scale) in enumerate(zip(scaling.y_center, scaling.y_scale, strict=True)):
        parts = [mixtures[output] for mixtures, _ in pieces]
        location = np.concatenate([part.location for part in parts]) * scale + center
        whole.append(replace(parts[0], location=location, scale=np.concatenate([part.scale for part in parts]) * scale))
    total = per_output(whole, lambda mixture, _: mixture.variance)
    own = np.concatenate([v for _, v in pieces]) * np.square(predictive.noise.stretch * scaling.y_scale)
    return whole, total, np.minimum(own, total)


def _with_intercepts(model: FittedModel, X: Matrix, mixtures: list[Mixture]) -> list[Mixture]:
    """The distributions of each output, in scaled units, moved by the intercepts of the rows, as much wider as those of
    their groups are unsure, and narrower where a row was seen before."""
    if not model.has_intercepts:
        return mixtures
    own, seen, gained = model.random_intercepts, model.seen_rows, model.gained(X)
    wider = np.zeros_like(gained) if own is None else own.variances_at(X)
    narrowed = np.ones_like(gained) if seen is None else seen.narrowed_at(X)
    found = []
    for mixture, b, more, factor in zip(mixtures, gained.T, wider.T, narrowed.T, strict=True):
        squared = (np.square(mixture.scale) + more[:, None]) * factor[:, None]
        found.append(replace(mixture, location=mixture.location + b, scale=np.sqrt(squared)))
    return found


def _counts(model: FittedModel, X: Matrix) -> CountMixture:
    """The distribution of a count at the rows X (n, p), for their exposures."""
    posteriors = known(posteriors_of(model.sharing, model.loss), "predictive distribution")
    share = np.array([member.share for member in model.sharing])
    with one_blas_thread(), np.errstate(all="ignore"):
        found = count_mixture(_raw_of(model, posteriors, X), share)
        if model.scaling.offset is None:
            return found
        return replace(found, means=found.means * without_offset(X, model.scaling.offset)[1][:, None])


def intervals(model: FittedModel, X: Matrix, coverage: float) -> Array:
    """(n, k, 2) the ends of an interval of each target with this probability, equal tails. Raises InputError for a fit
    that has no predictive distribution, with the reason."""
    tail = 0.5 * (1.0 - coverage)
    mixtures, _, _ = distributions(model, X)
    return per_output(mixtures, lambda mixture, _: np.column_stack([mixture.quantile(q) for q in (tail, 1 - tail)]))


def per_output(mixtures: Sequence[Distribution], of: Callable[[Distribution, int], Array]) -> Array:
    """(n, k) or (n, k, ...): something of each output's distribution."""
    return np.stack([of(mixture, output) for output, mixture in enumerate(mixtures)], axis=1)


T = TypeVar("T")


def known(found: T | str, what: str) -> T:
    """What was learned, or an InputError with the sentence why there is none."""
    if isinstance(found, str):
        raise InputError(f"This fit has no {what}: {found}")
    return found


def lacking(model: FittedModel) -> list[str]:
    """What this fit has not, because it is large or ended where nothing can be said, in sentences that say how to get
    it."""
    members = model.sharing
    if all(member.network.is_linear for member in model.members) and len(members) == 1:
        member = members[0]
        if member.information is not None or member.network.n_params <= MOST_PARAMETERS:
            return []
        return [
            f"Standard errors of {member.network.n_params:,} parameters are not kept with the model (up to "
            f"{MOST_PARAMETERS:,} are): in Python, summary(X, y) makes them from the rows."
        ]
    if model.is_regression and not model.loss.has_deviance:
        found = predictive_of(model)
        return [f"This fit has no intervals: {found}"] if isinstance(found, str) else []
    posteriors = posteriors_of(members, model.loss)
    if not isinstance(posteriors, str):
        return []
    if model.is_regression:
        return [f"This fit has no intervals: {posteriors}"]
    return [f"This fit does not tell how sure its probabilities are: {posteriors}"]
