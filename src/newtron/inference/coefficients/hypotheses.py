"""Tests of hypotheses about several coefficients at once, and the tables that they make.

The Wald test compares the estimates with their covariance, the likelihood-ratio test two fits, and Rao's score test
asks the smaller fit alone. For least squares the ratio has an exact form, the F test. Sources: Wald 1943; Wilks 1938;
Rao 1948; Buse 1982, *The Likelihood Ratio, Wald, and Lagrange Multiplier Tests: An Expository Note*.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from newtron.engine.base.linalg import eigh
from newtron.engine.base.types import Array
from newtron.engine.base.words import capital, clean, degrees_in_words, probability, statistic_in_words
from newtron.inference.coefficients.covariance import CoefficientCovariance

TestKind: TypeAlias = Literal["Wald", "likelihood ratio", "score", "F"]

# A direction of a covariance matrix with unit diagonal whose variance is below this is rounding.
_NO_VARIANCE = 1e-12


@dataclass(frozen=True)
class CoefficientTest:
    """A test of a hypothesis about several coefficients. It prints as one line.

    Attributes
    ----------
    hypothesis : str
        What is tested, such as "island = 0".
    kind : "Wald", "likelihood ratio", "score" or "F"
    distribution : "F" or "χ²"
        The law of the statistic where the hypothesis is true.
    statistic, p_value : float
        Both are nan where there is nothing to test with.
    degrees_of_freedom : float
        How many restrictions the hypothesis puts on the coefficients that the rows determine.
    residual_degrees_of_freedom : float
        Those of the denominator of F; inf for χ².

    Examples
    --------
    >>> import pandas as pd
    >>> from newtron import PerceptronClassifier
    >>> penguins = pd.read_csv("examples/penguins.csv").dropna()
    >>> X, y = penguins[["species", "bill_depth_mm", "body_mass_g"]], penguins["sex"]
    >>> model = PerceptronClassifier().fit(X, y)
    >>> print(model.wald_test("species"))
    Wald test of species = 0: χ² 3.236 on 2 df, p = 0.1983
    """

    hypothesis: str
    kind: TestKind
    distribution: Literal["F", "χ²"]
    statistic: float
    p_value: float
    degrees_of_freedom: float
    residual_degrees_of_freedom: float = math.inf

    def __repr__(self) -> str:
        return f"{capital(self.kind)} test of {clean(self.hypothesis)}: {self.in_words}"

    @property
    def in_words(self) -> str:
        """The statistic, its degrees of freedom and p, without the hypothesis."""
        freedom = degrees_in_words(self.degrees_of_freedom)
        if self.distribution == "F":
            freedom += f" and {degrees_in_words(self.residual_degrees_of_freedom)}"
        p = probability(self.p_value)
        return f"{self.distribution} {statistic_in_words(self.statistic)} on {freedom} df, p {_relation(p)}"


def _relation(p: str) -> str:
    return p.replace("<", "< ") if p.startswith("<") else f"= {p}"


def chi_square_test(hypothesis: str, kind: TestKind, statistic: float, freedom: float) -> CoefficientTest:
    """A test of a statistic that has a χ² distribution where the hypothesis is true."""
    from scipy.special import chdtrc

    if not freedom > 0.0:
        return CoefficientTest(hypothesis, kind, "χ²", math.nan, math.nan, 0.0)
    return CoefficientTest(hypothesis, kind, "χ²", statistic, float(chdtrc(freedom, statistic)), freedom)


def f_test(hypothesis: str, kind: TestKind, statistic: float, freedom: float, residual: float) -> CoefficientTest:
    """A test of a statistic that has an F distribution where the hypothesis is true."""
    from scipy.special import fdtrc

    if not (freedom > 0.0 and residual > 0.0):
        return CoefficientTest(hypothesis, kind, "F", math.nan, math.nan, max(freedom, 0.0), max(residual, 0.0))
    return CoefficientTest(
        hypothesis, kind, "F", statistic, float(fdtrc(freedom, residual, statistic)), freedom, residual
    )


def wald(hypothesis: str, estimates: Array, covariance: CoefficientCovariance, residual: float) -> CoefficientTest:
    """The Wald test that all estimates (m,) are 0: F with `residual` degrees of freedom in the denominator, χ² where
    that is inf. Where columns depend on each other it tests those combinations of the estimates that the rows
    determine, and of a covariance of lower rank as many as its rank."""
    L = covariance.estimable
    estimates, matrix = L.T @ estimates, L.T @ covariance.solution @ L
    sd = np.sqrt(np.diagonal(matrix))
    if not (np.isfinite(matrix).all() and (sd > 0.0).all()):
        rank, statistic = float(len(sd)), math.nan
    else:
        values, V = eigh(matrix / np.outer(sd, sd))
        kept = values > _NO_VARIANCE * len(sd)
        rank = float(kept.sum())
        statistic = float(np.sum(np.square(V[:, kept].T @ (estimates / sd)) / values[kept]))
    if math.isinf(residual):
        return chi_square_test(hypothesis, "Wald", statistic, rank)
    return f_test(hypothesis, "Wald", statistic / max(rank, 1.0), rank, residual)
