"""What only perceptrons have: coefficients that are estimated, tested and compared."""

from __future__ import annotations

from typing import ClassVar, TypedDict, Unpack

from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Matrix
from newtron.estimators.base import NewtronEstimator
from newtron.inference.coefficients.hypotheses import CoefficientTest
from newtron.inference.coefficients.summary import Summary
from newtron.inference.coefficients.term_table import TermTable
from newtron.model.nested import analysis, compared, dropped_terms, scored
from newtron.model.rows_again import GivenRows, rows_of_arrays, rows_of_table
from newtron.model.summary import summary_of
from newtron.table.large.file_rows import TableRows
from newtron.training.settings import Family


class SummarySettings(TypedDict, total=False):
    """How a summary is made."""

    covariance: str | None
    groups: object
    coverage: float
    baseline: object
    intervals: str
    exponentiate: bool
    standardized: bool


class Perceptron(NewtronEstimator):
    """Base of the perceptrons: the summary of their coefficients, and tests of hypotheses about them."""

    _family: ClassVar[Family] = "perceptron"

    def _summary(self, X: Matrix, y: object, sample_weight: object, **settings: Unpack[SummarySettings]) -> Summary:
        return summary_of(self._fitted_model(), self._rows_again(X, y, sample_weight), **settings)

    def _rows_again(self, X: Matrix, y: object, sample_weight: object) -> GivenRows | None:
        """The rows of the fit, given again; None where they are not given."""
        model = self._fitted_model()
        if X is None:
            if y is not None or sample_weight is not None:
                raise InputError("y or sample_weight without X: give X and y, the rows the model was trained on.")
            return None
        if isinstance(X, TableRows):
            return rows_of_table(model, X, y, sample_weight)
        X = self._for_prediction(X)
        return rows_of_arrays(model, X, y, self._weights(X, sample_weight))

    def wald_test(
        self,
        terms: str | list[str],
        X: Matrix = None,
        y: object = None,
        *,
        covariance: str | None = None,
        groups: object = None,
        sample_weight: object = None,
    ) -> CoefficientTest:
        """The Wald test that all coefficients of some columns are 0, such as those of all levels of a category.

        Parameters
        ----------
        terms : str or list of str
            The columns of the data, or single columns of the matrix.
        X, y, covariance, groups, sample_weight
            As in `summary`: what the standard errors are made from.

        Returns
        -------
        CoefficientTest
            F for a regression, else χ².

        Raises
        ------
        InputError
            A name is not known; a formula lacks its rows; under a penalty.

        Examples
        --------
        >>> import pandas as pd
        >>> from newtron import PerceptronRegressor
        >>> X = pd.DataFrame({"a": [0.0, 1, 2, 3, 4, 5], "b": [1.0, 0, 2, 1, 0, 2]})
        >>> model = PerceptronRegressor().fit(X, [1.0, 2, 2, 5, 3, 6])
        >>> model.wald_test("b")
        Wald test of b = 0: F 0.255 on 1 and 3 df, p = 0.6482
        """
        return self._summary(X, y, sample_weight, covariance=covariance, groups=groups).wald_test(terms)

    def drop1(self, X: Matrix = None, y: object = None, *, sample_weight: object = None) -> TermTable:
        """Each column of the data left out alone: is it needed, and what is the AIC without it?

        A category is left out as a whole; a column that an interaction contains is kept. F tests for a squared error,
        likelihood-ratio tests for other losses, as `drop1` in R. AIC is that of `summary` (R's AIC, which differs from
        that of its drop1 for `lm` by a constant).

        Parameters
        ----------
        X, y, sample_weight : the rows of the fit
            The smaller models are fitted to them. A squared error needs none: all follows from what the fit kept.

        Returns
        -------
        TermTable

        Raises
        ------
        InputError
            The rows are missing or others; the fit has a penalty, no optimum, several targets or no likelihood.

        Examples
        --------
        >>> import pandas as pd
        >>> from newtron import PerceptronRegressor
        >>> X = pd.DataFrame({"a": [0.0, 1, 2, 3, 4, 5], "b": [1.0, 0, 2, 1, 0, 2]})
        >>> PerceptronRegressor().fit(X, [1.0, 2, 2, 5, 3, 6]).drop1()["b"]
        F test of b = 0: F 0.255 on 1 and 3 df, p = 0.6482
        """
        return dropped_terms(self._fitted_model(), self._rows_again(X, y, sample_weight))

    def anova(self, X: Matrix = None, y: object = None, *, type: str = "II", sample_weight: object = None) -> TermTable:
        """The analysis of variance (squared error) or of deviance (classes, counts), term by term.

        Parameters
        ----------
        X, y, sample_weight : the rows of the fit
            As in `drop1`.
        type : "I" or "II"
            "I": the terms are added in their order (R's `anova`). "II": each is added last, but before interactions
            that contain it (`Anova` of R's car; `typ=2` of statsmodels).

        Returns
        -------
        TermTable

        Raises
        ------
        InputError
            As in `drop1`.

        Examples
        --------
        >>> import pandas as pd
        >>> from newtron import PerceptronRegressor
        >>> X = pd.DataFrame({"a": [0.0, 1, 2, 3, 4, 5], "b": [1.0, 0, 2, 1, 0, 2]})
        >>> y = [1.0, 2, 2, 5, 3, 6]
        >>> model = PerceptronRegressor().fit(X, y)
        >>> print(model.anova(type="I"))
        Analysis of variance, terms added in their order (type I): linear regression
        F tests with 3 residual df
        <BLANKLINE>
                           df  sum of squares     RSS    AIC      F       p
        -------------------------------------------------------------------
        (intercept alone)                      18.833  27.89
        a                   1          13.729  5.1048  22.06  8.754  0.0596
        b                   1         0.40022  4.7045  23.57  0.255  0.6482
        """
        return analysis(self._fitted_model(), self._rows_again(X, y, sample_weight), type)

    def nested_test(self, smaller: object) -> CoefficientTest:
        """The test of a smaller fitted model in this one: does this one describe the same rows better than by chance?

        Parameters
        ----------
        smaller : a fitted perceptron
            With some of the columns of this one, fitted to the same rows and targets.

        Returns
        -------
        CoefficientTest
            F for a squared error, else the likelihood-ratio test.

        Raises
        ------
        InputError
            The models have other rows, targets or losses, or are not nested; as in `drop1`.

        Examples
        --------
        >>> import pandas as pd
        >>> from newtron import PerceptronRegressor
        >>> X = pd.DataFrame({"a": [0.0, 1, 2, 3, 4, 5], "b": [1.0, 0, 2, 1, 0, 2]})
        >>> y = [1.0, 2, 2, 5, 3, 6]
        >>> model = PerceptronRegressor().fit(X, y)
        >>> model.nested_test(PerceptronRegressor().fit(X[["a"]], y))
        F test of b = 0: F 0.255 on 1 and 3 df, p = 0.6482
        """
        if not isinstance(smaller, Perceptron):
            raise InputError("nested_test compares this model with another fitted perceptron: give that.")
        return compared(self._fitted_model(), smaller._fitted_model())

    def score_test(
        self, X: Matrix, y: object, *, terms: object = None, extra: Matrix = None, sample_weight: object = None
    ) -> CoefficientTest:
        """Rao's score test: of columns of the model, at the fit without them, or of columns that it does not have.

        Parameters
        ----------
        X, y, sample_weight : the rows of the fit
        terms : str or list of str
            Columns of the model.
        extra : (n,) or (n, r)
            Further columns, whose effect is tested without a fit that has them.

        Returns
        -------
        CoefficientTest
            χ². For a squared error the variance is RSS/n of the smaller model (Lagrange multiplier test).

        Raises
        ------
        InputError
            Neither or both of terms and extra are given; as in `drop1`.

        Examples
        --------
        >>> import pandas as pd
        >>> from newtron import PerceptronRegressor
        >>> X = pd.DataFrame({"a": [0.0, 1, 2, 3, 4, 5], "b": [1.0, 0, 2, 1, 0, 2]})
        >>> y = [1.0, 2, 2, 5, 3, 6]
        >>> model = PerceptronRegressor().fit(X, y)
        >>> model.score_test(X, y, terms="b")
        Score test of b = 0: χ² 0.470 on 1 df, p = 0.4928
        """
        given = self._rows_again(X, y, sample_weight)
        if given is None:
            raise InputError("The score test is made from the rows: give the X and y that the model was trained on.")
        return scored(self._fitted_model(), given, terms, extra)
