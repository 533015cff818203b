"""How well a fitted perceptron describes its rows: likelihood, criteria, R², and the test of all its columns."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.types import Array
from newtron.engine.maths.losses import Loss
from newtron.inference.coefficients.covariance import CoefficientCovariance
from newtron.inference.coefficients.hypotheses import CoefficientTest, chi_square_test, f_test, wald
from newtron.inference.coefficients.information import Information

_ALL_COLUMNS = "all coefficients = 0"


@dataclass(frozen=True)
class Likelihood:
    """The log-likelihood of a fit with its criteria; all nan where the weights leave none defined.

    null: the log-likelihood of the intercept alone. parameters: how many the criteria count.
    """

    value: float
    null: float
    parameters: float
    counted: float

    @property
    def log_likelihood(self) -> float:
        """The log-likelihood of the fit."""
        return self.value

    @property
    def pseudo_r_squared(self) -> float:
        """McFadden's R²."""
        return 1.0 - self.value / self.null

    @property
    def aic(self) -> float:
        """Akaike's criterion."""
        return 2.0 * self.parameters - 2.0 * self.value

    @property
    def bic(self) -> float:
        """Schwarz's criterion."""
        return float(np.log(self.counted)) * self.parameters - 2.0 * self.value


def likelihood_of(information: Information, loss: Loss, y_scale: Array, effective: float, known: bool) -> Likelihood:
    """The likelihood of a fit. effective: parameters of one target, or of all classes. known: whether the weights of
    the rows leave a likelihood defined. A regression's has the variance RSS/n of each target, one more parameter."""
    n, k = information.counted, len(y_scale)
    if not known:
        return Likelihood(math.nan, math.nan, effective, n)
    if not loss.quadratic:
        return Likelihood(information.log_likelihood, information.null_log_likelihood, effective, n)

    def gaussian(squares: Array) -> float:
        with np.errstate(divide="ignore"):
            variance = squares * np.square(y_scale) / n
            each = -0.5 * n * (np.log(2.0 * np.pi * variance) + 1.0) + 0.5 * information.log_weights
        return float(np.sum(each))

    residual, total = np.diagonal(information.residual_products), information.target_squares
    return Likelihood(gaussian(residual), gaussian(total), k * (effective + 1.0), n)


def deviance_of(information: Information, loss: Loss) -> float | None:
    """Twice the log-likelihood of the saturated model less that of the fit; None where the saturated one has 0."""
    return 2.0 * (information.saturated - information.log_likelihood) if loss.has_deviance else None


def r_squared_of(information: Information) -> Array:
    """(k,) 1 - RSS / sum of squares about the mean, about 0 without an intercept; nan for a constant target."""
    with np.errstate(all="ignore"):
        found = 1.0 - np.diagonal(information.residual_products) / information.target_squares
    found[information.target_squares == 0.0] = np.nan
    return np.asarray(found)


def adjusted(r_squared: Array | None, counted: float, effective: float, intercept: bool) -> Array | None:
    """R² by estimates of variances in place of sums of squares (Theil 1961); None without R²."""
    if r_squared is None:
        return None
    left = counted - effective
    if not left > 0.0:
        return np.full_like(r_squared, np.nan)
    return np.asarray(1.0 - (1.0 - r_squared) * (counted - intercept) / left)


# A residual variance below this share of the mean square of the predictions is rounding. R's summary.lm takes 1e-30;
# the sums over many rows here round more.
_PERFECT = 1e-28


def is_rounding(variance: Array, mean_square: Array) -> NDArray[np.bool_]:
    """(k,) whether the residual variance of a target is no more than rounding beside the mean square of its
    predictions: the criterion of R's summary.lm."""
    return np.asarray(variance <= _PERFECT * mean_square)


def overall_tests(
    information: Information, loss: Loss, likelihood: Likelihood, effective: float, intercepts: int
) -> tuple[CoefficientTest, ...]:
    """The tests of all columns at once, by what the fit keeps: F for each target of a regression, else the likelihood
    ratio. There is none without columns, or without a likelihood. intercepts: how many parameters are intercepts."""
    columns = effective - intercepts
    if not columns > 0.5:
        return ()
    if not loss.quadratic:
        if math.isnan(likelihood.value):
            return ()
        ratio = max(0.0, 2.0 * (likelihood.value - likelihood.null))
        return (chi_square_test(_ALL_COLUMNS, "likelihood ratio", ratio, columns),)
    left = information.counted - effective
    residual, total = np.diagonal(information.residual_products), information.target_squares
    with np.errstate(all="ignore"):
        statistics = (np.maximum(total - residual, 0.0) / columns) / (residual / left)
    return tuple(f_test(_ALL_COLUMNS, "F", float(value), columns, left) for value in statistics)


def overall_wald(
    estimates: Array, covariance: CoefficientCovariance, groups: list[list[int]], residual: float
) -> tuple[CoefficientTest, ...]:
    """The same tests by a covariance that is not the classical one; groups: the positions that each of them tests."""
    found = (wald(_ALL_COLUMNS, estimates[g], covariance.part(g), residual) for g in groups if g)
    return tuple(test for test in found if not math.isnan(test.statistic))
