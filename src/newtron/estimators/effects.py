"""What every estimator is asked about the effects of columns on its predictions."""

from __future__ import annotations

from collections.abc import Sequence

from newtron.engine.base.types import Matrix
from newtron.estimators.base import NewtronEstimator
from newtron.estimators.of_formula import varied_rows
from newtron.inference.coefficients.summary import Summary
from newtron.inference.effects.effects import Effects
from newtron.model.effects.cells import VariedRows
from newtron.model.effects.effects import Contrast, contrasts_of, effects_of
from newtron.model.effects.errors import ErrorSource, errors_of
from newtron.model.effects.scenarios import Averaging, grouping
from newtron.model.rows_again import rows_of_arrays
from newtron.training.fitted import FittedModel


class EstimatorWithEffects(NewtronEstimator):
    """The base of the estimators, with the effects of columns."""

    def effects(
        self,
        X: Matrix,
        y: object = None,
        *,
        columns: str | Sequence[str] | None = None,
        at: object = "overall",
        by: object = None,
        method: str = "dydx",
        per: str = "unit",
        dummy: bool = True,
        covariance: str | Summary | None = None,
        groups: object = None,
        sample_weight: object = None,
        coverage: float = 0.95,
    ) -> Effects:
        """Average marginal effects: how the predicted mean or probability changes with each column, with errors.

        A number has the slope dy/dx, the exact derivative. A category, and yes/no, has the change of the prediction
        when the cells of its column become another level, from the reference. Errors are those of the delta method,
        from the covariance of a perceptron's coefficients or the posterior of networks (docs/effects.md).

        Parameters
        ----------
        X : (n, p)
            The rows that effects are averaged over.
        y : (n,), optional
            The targets, where X and y are the rows of the fit and the formula of the covariance needs them.
        columns : str or list of str, optional
            The columns of interest; None is all.
        at : "overall", "mean", "median", "rows" or dict, default "overall"
            "overall": the average of the effects at all rows. "mean", "median": at one row of means or medians, with
            the most frequent level of each category. "rows": at each row. A dict such as ``{"age": [20, 40]}`` gives
            all rows these values first: an average for each combination.
        by : str or (n,), optional
            A column of X, or labels of the rows: averages within each group.
        method : "dydx", "eyex", "dyex" or "eydx", default "dydx"
            e: the relative change of the prediction (ey), or for a relative change of the column (ex).
        per : "unit" or "sd", default "unit"
            "sd": the slope times the standard deviation of the column in X.
        dummy : bool, default True
            A column of numbers that are 0 and 1 alone is a category of two levels; False takes its slope.
        covariance, groups : optional
            For perceptrons, as in `summary`; or a Summary whose covariance is taken.
        sample_weight : (n,), optional
            The weights of the rows in averages, and of the fit where y is given.
        coverage : float, default 0.95

        Raises
        ------
        InputError
            A column, level or formula is not known, or a formula lacks its rows.
        """
        model, errors, averaging, rows = self._asked(X, y, at, by, dummy, covariance, groups, sample_weight)
        return effects_of(model, rows, errors, averaging, columns=columns, method=method, per=per, coverage=coverage)

    def contrasts(
        self,
        X: Matrix,
        column: str,
        y: object = None,
        *,
        values: Sequence[object] | None = None,
        against: object = "reference",
        kind: str = "difference",
        step: float = 1.0,
        at: object = "overall",
        by: object = None,
        covariance: str | Summary | None = None,
        groups: object = None,
        sample_weight: object = None,
        coverage: float = 0.95,
    ) -> Effects:
        """Differences or ratios of the mean prediction between values of one column, with delta-method errors.

        For each value the cells of the column are changed in all rows, and the predictions are averaged (adjusted
        predictions, the g-formula); these averages are compared.

        Parameters
        ----------
        X, y, at, by, covariance, groups, sample_weight, coverage
            As in `effects`.
        column : str
            The column whose cells are changed.
        values : sequence, optional
            What is compared: levels of a category (None: all, the reference first), or numbers such as ``[20, 40]``;
            None for numbers compares each cell plus `step` with the cell as it is.
        against : "reference", "pairwise", "sequential" or one of the values, default "reference"
            The first value, every pair, each with the one before it, or the one that is given.
        kind : "difference", "ratio" or "odds ratio", default "difference"
            Ratios have intervals and tests by their logarithm. "odds ratio": of the odds of average probabilities.
        step : float, default 1.0

        Raises
        ------
        InputError
            Something is not known, or a ratio has a mean that is not positive.

        Examples
        --------
        >>> import numpy as np
        >>> from newtron import PerceptronRegressor
        >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([1.0, 3.0, 5.0, 8.0])
        >>> PerceptronRegressor().fit(X, y).contrasts(X, "x1", values=[0, 2]).estimates.round(6).tolist()
        [4.6]
        """
        model, errors, averaging, rows = self._asked(X, y, at, by, True, covariance, groups, sample_weight)
        contrast = Contrast(values=values, against=against, kind=kind, step=step)
        return contrasts_of(model, rows, errors, averaging, column, contrast, coverage=coverage)

    def _asked(
        self,
        X: Matrix,
        y: object,
        at: object,
        by: object,
        dummy: bool,
        covariance: str | Summary | None,
        groups: object,
        sample_weight: object,
    ) -> tuple[FittedModel, ErrorSource, Averaging, VariedRows]:
        """The model, its errors, and the rows with how to average over them."""
        model, named = self._fitted_model(), X
        X = self._for_prediction(X)
        weight = self._weights(X, sample_weight)
        given = None if y is None else rows_of_arrays(model, X, y, weight)
        errors = errors_of(model, given, covariance, groups)
        return model, errors, Averaging(at, grouping(by, named), weight), varied_rows(model, named, X, dummy)
