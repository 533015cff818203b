"""The variance components of a mixed model as its summary shows them."""

from __future__ import annotations

from dataclasses import dataclass

from newtron.engine.base.words import amount, clean, count, probability
from newtron.inference.mixed.fit import MixedMethod

# With so few groups the errors of variances are biased in simulations (Maas & Hox 2005, Sufficient sample sizes for
# multilevel modeling, Methodology 1), and tests that take the variances as known are rough.
FEW_LEVELS = 50
_METHODS: dict[MixedMethod, str] = {
    "reml": "restricted maximum likelihood (REML)",
    "ml": "maximum likelihood",
    "laplace": "maximum likelihood by Laplace's approximation",
}


@dataclass(frozen=True)
class VarianceComponent:
    """The variance of the random intercepts of one grouping column.

    Attributes
    ----------
    name : str
        The grouping column.
    levels : int
        The number of its groups.
    variance, standard_deviation : float
        In the units of the target, its square included; for classes and counts those of the log odds and the log mean.
    intraclass_correlation : float
        The variance over the sum of all: the correlation of two rows of one group. For classes and counts on the scale
        of the log odds (whose noise has the variance π²/3) and of the log mean (log(1 + 1/mean)).
    likelihood_ratio, p_value : float
        Twice the log-likelihood less that of the same model without these intercepts, and the p-value of the hypothesis
        that the variance is 0: half of that by χ² with 1 degree of freedom.

    Examples
    --------
    >>> import pandas as pd
    >>> from newtron import PerceptronRegressor
    >>> rows = pd.DataFrame({"town": list("aaabbbccc"), "x": [1, 2, 3, 1, 2, 3, 1, 2, 3]})
    >>> model = PerceptronRegressor(intercepts=["town"]).fit(rows, [1.0, 2.1, 2.9, 5.2, 6.0, 7.1, 3.0, 3.9, 5.1])
    >>> (component,) = model.summary().variance_components
    >>> component.name, component.levels, round(component.standard_deviation, 3)
    ('town', 3, 2.055)
    """

    name: str
    levels: int
    variance: float
    standard_deviation: float
    intraclass_correlation: float
    likelihood_ratio: float
    p_value: float

    def in_words(self) -> str:
        """The line of a summary."""
        found = (
            f"{clean(self.name)}: standard deviation {amount(self.standard_deviation)}, variance "
            f"{amount(self.variance)}, of {count(self.levels, 'group')}; intraclass correlation "
            f"{self.intraclass_correlation:z.4f}; "
        )
        if self.variance == 0.0:
            return found + "the likelihood is greatest without these intercepts"
        return found + (
            f"likelihood ratio against none: χ² {amount(self.likelihood_ratio)}, p {_compared(self.p_value)}"
        )


def _compared(p: float) -> str:
    told = probability(p)
    return told if told.startswith("<") else f"= {told}"


@dataclass(frozen=True)
class MixedFacts:
    """What a summary says of the likelihood of a mixed model. residual: the standard deviation of the noise in the
    user's units, None where the variance follows from the mean."""

    method: MixedMethod
    log_likelihood: float
    aic: float
    bic: float
    parameters: int
    residual: float | None
    components: tuple[VarianceComponent, ...]

    def lines(self, coefficients: int) -> list[str]:
        """The lines on the likelihood and on the noise, after the number of rows."""
        variances = count(self.parameters - coefficients, "variance")
        restricted = "restricted " if self.method == "reml" else ""
        criterion = f" (REML criterion {-2.0 * self.log_likelihood:z.7g})" if restricted else ""
        value = f"{restricted}log-likelihood {self.log_likelihood:z.6g}{criterion}"
        found = [
            f"{count(coefficients, 'coefficient')} and {variances} by {_METHODS[self.method]}",
            f"{value}, AIC {self.aic:z.6g}, BIC {self.bic:z.6g}",
        ]
        if self.residual is not None:
            found.append(f"residual standard deviation {amount(self.residual)}, variance {amount(self.residual**2)}")
        return found

    def notes(self) -> list[str]:
        """What a reader must know of standard errors and tests."""
        found = []
        if self.method != "laplace":
            found.append("Standard errors and z tests take the variances of the intercepts as known.")
        fewest = min(component.levels for component in self.components)
        if fewest <= FEW_LEVELS:
            found.append(f"With {count(fewest, 'group')} only, variances are unsure and p-values rather too small.")
        if any(component.variance > 0.0 for component in self.components):
            found.append(
                "The p-value of a variance is half of that by χ² with 1 degree of freedom, because 0 is the end of its "
                "range."
            )
        if self.method == "reml":
            found.append(
                "The restricted likelihood depends on which columns there are: compare models with other columns by "
                'method="ml".'
            )
        return found
