"""The fit of a mixed model: what its likelihood says of coefficients, variances and each level's intercept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from newtron.engine.base.types import Array
from newtron.inference.mixed.grouping import Codes, Grouping
from newtron.inference.mixed.laplace import LaplaceMixed, MixedLoss
from newtron.inference.mixed.linear import LinearMixed
from newtron.inference.mixed.outer import Minimum, Watch

MixedMethod: TypeAlias = Literal["reml", "ml", "laplace"]


@dataclass(frozen=True, eq=False)
class MixedLikelihood:
    """What a model keeps of the likelihood of its mixed model, with G grouping columns.

    method: "reml", "ml" or "laplace". log_likelihood: the restricted one for "reml". without: (G,) that of the same
    model without the intercepts of each grouping column. counted: the number of rows in its formulas. parameters:
    coefficients and variances. theta: (G,) the standard deviations of the intercepts, relative to that of the noise
    where there is one. deviance: minus twice the log-likelihood in the units of training. boundary: (G,) its derivative
    by θ² where θ is 0, nan elsewhere.
    """

    method: MixedMethod
    log_likelihood: float
    without: Array
    counted: float
    parameters: int
    theta: Array
    deviance: float
    boundary: Array

    @property
    def aic(self) -> float:
        """Akaike's criterion."""
        return 2.0 * self.parameters - 2.0 * self.log_likelihood

    @property
    def bic(self) -> float:
        """Schwarz's criterion."""
        return float(np.log(self.counted)) * self.parameters - 2.0 * self.log_likelihood

    @property
    def ratios(self) -> Array:
        """(G,) the likelihood-ratio statistics of each variance, 0 where it is 0."""
        return np.asarray(np.maximum(2.0 * (self.log_likelihood - self.without), 0.0))

    @property
    def p_values(self) -> Array:
        """(G,) of the hypotheses that a variance is 0. It is at the end of its range then, and the ratio is 0 in half
        of all samples, so this is half of that by χ² with 1 degree of freedom (Self & Liang 1987; Stram & Lee 1994)."""
        from scipy.special import gammaincc

        found: Array = np.where(self.ratios > 0.0, 0.5 * gammaincc(0.5, 0.5 * self.ratios), 1.0)
        return found


@dataclass(frozen=True, eq=False)
class MixedFit:
    """The estimates of a mixed model with G grouping columns and q coefficients, in the units of the rows it was given.

    coefficients: (q,). covariance: (q, q). root: (q, q) R with R'R the inverse of the covariance over the residual
    variance. deviations: (G,) the standard deviation of the intercepts of each grouping column. residual: that of the
    noise of a row of weight 1; 1 where the variance follows from the mean. modes, variances: for each grouping column
    (L,) the conditional mode (BLUP) of each level's intercept, and its conditional variance given the coefficients and
    variances. likelihood, minimum: where the search ended; the minimum has θ in an order of its own.
    """

    coefficients: Array
    covariance: Array
    root: Array
    deviations: Array
    residual: float
    modes: tuple[Array, ...]
    variances: tuple[Array, ...]
    likelihood: MixedLikelihood
    minimum: Minimum

    @property
    def log_likelihood(self) -> float:
        return self.likelihood.log_likelihood


def fit_linear(
    X: Array,
    y: Array,
    weight: Array,
    codes: Sequence[Codes],
    sizes: Sequence[int],
    *,
    within: Array | None = None,
    counted: float,
    log_weights: float = 0.0,
    reml: bool = True,
    watch: Watch | None = None,
) -> MixedFit:
    """The linear mixed model of rows with positive weights, or of cells of them with the rows `within` beside them,
    whose coefficients are those of the columns X (n, q)."""

    def model_of(columns: Sequence[int]) -> LinearMixed:
        grouping = Grouping([codes[g] for g in columns], [sizes[g] for g in columns])
        return LinearMixed(X, y, weight, grouping, within=within, counted=counted, log_weights=log_weights, reml=reml)

    every = range(len(codes))
    model = model_of(every)
    found = model.search(watch)
    deviances = []
    for g in every:
        rest = [h for h in every if h != g]
        zero = model_of(rest).search().deviance if rest else model.slope(np.zeros(1), np.zeros(0)).deviance
        deviances.append(zero)
    profile, q = model.at(found.theta), model.q
    sigma = float(np.sqrt(profile.squares / model.freedom))
    root = np.linalg.cholesky(profile.gram[:q, :q]).T @ model.R
    inverse = np.linalg.inv(root)
    modes, variances = model.intercepts(found.theta)
    back = np.argsort(model.grouping.order)
    likelihood = MixedLikelihood(
        "reml" if reml else "ml",
        -0.5 * found.deviance,
        -0.5 * np.array(deviances),
        counted,
        q + len(codes) + 1,
        found.theta[back],
        found.deviance,
        found.boundary[back],
    )
    return MixedFit(
        model.coefficients(found.theta),
        sigma**2 * inverse @ inverse.T,
        root,
        sigma * found.theta[back],
        sigma,
        tuple(modes[g] for g in back),
        tuple(variances[g] for g in back),
        likelihood,
        found,
    )


def fit_laplace(
    X: Array,
    y: Array,
    weight: Array,
    codes: Sequence[Codes],
    sizes: Sequence[int],
    loss: MixedLoss,
    *,
    start: Array,
    watch: Watch | None = None,
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
    found = model.search(start, watch)
    deviances = []
    for g in every:
        rest = [h for h in every if h != g]
        zero = model_of(rest).search(start).deviance if rest else model.slope(np.zeros(1), model.R @ start).deviance
        deviances.append(zero)
    root = _root_of_inverse(0.5 * found.hessian, int((found.theta > 0.0).sum())) @ model.R
    inverse = np.linalg.inv(root)
    modes, variances = model.intercepts(found.theta, found.others)
    back = np.argsort(model.grouping.order)
    likelihood = MixedLikelihood(
        "laplace",
        -0.5 * found.deviance,
        -0.5 * np.array(deviances),
        float(weight.sum()),
        X.shape[1] + len(codes),
        found.theta[back],
        found.deviance,
        found.boundary[back],
    )
    return MixedFit(
        model.coefficients(found.others),
        inverse @ inverse.T,
        root,
        found.theta[back],
        1.0,
        tuple(modes[g] for g in back),
        tuple(variances[g] for g in back),
        likelihood,
        found,
    )


def _root_of_inverse(information: Array, first: int) -> Array:
    """A triangle R with R'R the inverse of the part of the information's inverse that follows the first parameters;
    nan where the information is not positive definite."""
    q = len(information) - first
    try:
        # With the parameters before it eliminated, the rest of the triangle is that of the Schur complement.
        return np.asarray(np.linalg.cholesky(information).T[first:, first:])
    except np.linalg.LinAlgError:
        return np.full((q, q), np.nan)
