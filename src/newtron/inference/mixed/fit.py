"""A fitted mixed model, a value: what its likelihood says of coefficients, variances and each level's intercept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from newtron.engine.base.types import Array
from newtron.inference.mixed.grouping import Codes, Grouping
from newtron.inference.mixed.laplace import LaplaceMixed, MixedLoss
from newtron.inference.mixed.linear import LinearMixed
from newtron.inference.mixed.outer import Minimum

MixedMethod: TypeAlias = Literal["reml", "ml", "laplace"]


@dataclass(frozen=True, eq=False)
class MixedFit:
    """The estimates of a mixed model with G grouping columns and q coefficients, in the units of the rows it was given.

    coefficients: (q,). covariance: (q, q). deviations: (G,) the standard deviation of the intercepts of each grouping
    column. residual: the standard deviation of the noise of a row of weight 1; nan where the variance follows from the
    mean. modes, variances: for each grouping column (L,) the conditional mode (BLUP) of each level's intercept, and its
    conditional variance for the estimated coefficients and variances. log_likelihood: the restricted one for "reml".
    without: (G,) the log-likelihood of the same model without each grouping column. counted: the number of rows in the
    formulas. parameters: coefficients and variances. minimum: where the search ended; its theta are relative to the
    residual standard deviation, where there is one, and in an order of its own.
    """

    method: MixedMethod
    coefficients: Array
    covariance: Array
    deviations: Array
    residual: float
    modes: tuple[Array, ...]
    variances: tuple[Array, ...]
    log_likelihood: float
    without: Array
    counted: float
    parameters: int
    minimum: Minimum


def fit_linear(
    X: Array,
    y: Array,
    weight: Array,
    codes: Sequence[Codes],
    sizes: Sequence[int],
    *,
    counted: float,
    log_weights: float = 0.0,
    reml: bool = True,
) -> MixedFit:
    """The linear mixed model of rows with positive weights, whose coefficients are those of the columns X (n, q)."""

    def model_of(columns: Sequence[int]) -> LinearMixed:
        grouping = Grouping([codes[g] for g in columns], [sizes[g] for g in columns])
        return LinearMixed(X, y, weight, grouping, counted=counted, log_weights=log_weights, reml=reml)

    every = range(len(codes))
    model = model_of(every)
    found = model.search()
    deviances = []
    for g in every:
        rest = [h for h in every if h != g]
        zero = model_of(rest).search().deviance if rest else model.slope(np.zeros(1), np.zeros(0)).deviance
        deviances.append(zero)
    profile = model.at(found.theta)
    sigma = np.sqrt(profile.squares / model.freedom)
    inverse = np.linalg.inv(model.R)
    half = inverse @ np.linalg.inv(np.linalg.cholesky(profile.gram[: model.q, : model.q])).T
    left = [profile.seen[0], *(profile.seen[1][part] for part in model.grouping.parts)]
    contrast = np.append(-profile.gamma, 1.0)
    first, others = profile.factored.diagonals
    diagonals = [first, *(others[part] for part in model.grouping.parts)]
    modes = [theta**2 * (seen @ contrast) for theta, seen in zip(found.theta, left, strict=True)]
    variances = [sigma**2 * theta**2 * each for theta, each in zip(found.theta, diagonals, strict=True)]
    back = np.argsort(model.grouping.order)
    return MixedFit(
        "reml" if reml else "ml",
        model.ordinary + inverse @ profile.gamma,
        sigma**2 * half @ half.T,
        (sigma * found.theta)[back],
        float(sigma),
        tuple(modes[g] for g in back),
        tuple(variances[g] for g in back),
        -0.5 * found.deviance,
        -0.5 * np.array(deviances),
        counted,
        model.q + len(codes) + 1,
        found,
    )


def fit_laplace(
    X: Array, y: Array, weight: Array, codes: Sequence[Codes], sizes: Sequence[int], loss: MixedLoss, *, start: Array
) -> MixedFit:
    """The mixed model of classes or counts, whose coefficients are those of the columns X (n, q).

    weight: (n,) numbers of rows. start: (q,) the coefficients of the model without intercepts. The log-likelihood is
    that of classes; of counts it is without what does not depend on the model.
    """

    def model_of(columns: Sequence[int]) -> LaplaceMixed:
        grouping = Grouping([codes[g] for g in columns], [sizes[g] for g in columns])
        return LaplaceMixed(X, y, weight, grouping, loss)

    every = range(len(codes))
    model = model_of(every)
    found = model.search(start)
    deviances = []
    for g in every:
        rest = [h for h in every if h != g]
        zero = model_of(rest).search(start).deviance if rest else model.slope(np.zeros(1), model.R @ start).deviance
        deviances.append(zero)
    point = model.mode(found.theta, found.others)
    free = int((found.theta > 0.0).sum())
    inverse = np.linalg.inv(model.R)
    covariance = inverse @ np.linalg.inv(0.5 * found.hessian)[free:, free:] @ inverse.T
    grouping = model.grouping
    first, others = point.factored.diagonals
    diagonals = [first, *(others[part] for part in grouping.parts)]
    spherical = [point.first, *(point.others[part] for part in grouping.parts)]
    modes = [theta * u for theta, u in zip(found.theta, spherical, strict=True)]
    variances = [theta**2 * each for theta, each in zip(found.theta, diagonals, strict=True)]
    back = np.argsort(grouping.order)
    return MixedFit(
        "laplace",
        inverse @ found.others,
        covariance,
        found.theta[back],
        float("nan"),
        tuple(modes[g] for g in back),
        tuple(variances[g] for g in back),
        -0.5 * found.deviance,
        -0.5 * np.array(deviances),
        float(weight.sum()),
        X.shape[1] + len(codes),
        found,
    )
