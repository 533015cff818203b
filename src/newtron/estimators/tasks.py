"""Regression and classification, as mixins: targets in, predictions out. The same for perceptrons and networks."""

from __future__ import annotations

import os
from typing import ClassVar, Literal, Self, overload

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, column_or_1d

from newtron.engine.base.checks import check_number
from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array, Labels, Matrix
from newtron.engine.rows import ArrayRows
from newtron.estimators.effects import EstimatorWithEffects
from newtron.inference.predictive.predictive import Uncertainty
from newtron.model.predicting import (
    class_uncertainty,
    distributions,
    intervals,
    most_probable,
    per_output,
    predicted,
    probabilities,
)
from newtron.table import Table
from newtron.training.settings import TaskName
from newtron.training.targets import encoded_classes, encoded_numbers, known_codes


class Regression(RegressorMixin, EstimatorWithEffects):  # type: ignore[misc]
    """Targets are numbers, one column or several."""

    _task: ClassVar[TaskName] = "regression"

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self._sparse
        tags.input_tags.allow_nan = True
        tags.target_tags.multi_output = True
        return tags

    def fit(
        self, X: Matrix, y: Matrix, sample_weight: object = None, *, checkpoint: str | os.PathLike[str] | None = None
    ) -> Self:
        """Train on X (n, p), a frame or numbers, and targets y without missing values.

        Parameters
        ----------
        X : frame, (n, p) array or sparse matrix
            A frame of pandas, polars, pyarrow or another library that narwhals knows, whose columns are learnt as
            `newtron fit` learns those of a file (`schema_`); a frame of plain numbers, an array or a sparse matrix is
            taken as it is. A missing cell is the mean, with a column that marks it.
        y : (n,) or (n, k)
            One target or several.
        sample_weight : (n,), optional
            Not negative. What a weight means is the setting `weights` of perceptrons; by default 2 is the row twice.
        checkpoint : path, optional
            A file that keeps where training stands; where it exists, training goes on from there, to the same bits as
            if it had never stopped.

        Returns
        -------
        self

        Raises
        ------
        InputError
            Settings or data that cannot be used. It is a ValueError.

        Warns
        -----
        ConvergenceWarning
            The end is not an optimum: one sentence says why.
        SchemaWarning
            A column of a frame is used otherwise than it stands there.

        Examples
        --------
        >>> import numpy as np
        >>> from newtron import PerceptronRegressor
        >>> x, y = np.array([[1.0], [2.0], [3.0], [4.0]]), np.array([2.0, 4.0, 5.0, 7.0])
        >>> model = PerceptronRegressor().fit(x, y)
        >>> model.coef_.round(6)
        array([1.6])
        """
        named = y
        rows, y = self._validated(X, y, multi_output=True, y_numeric=True)
        weight = self._weights(rows, sample_weight)
        settings = self._settings()
        Y, data = encoded_numbers(y, self._described(named))
        X, data = self._as_numbers(rows, data, settings)
        self._train(ArrayRows(X, Y, weight), data, settings, checkpoint)
        self._warn(3)
        return self

    @overload
    def predict(self, X: Matrix) -> Array: ...
    @overload
    def predict(self, X: Matrix, return_std: Literal[False]) -> Array: ...
    @overload
    def predict(self, X: Matrix, return_std: Literal[True]) -> tuple[Array, Array]: ...
    def predict(self, X: Matrix, return_std: bool = False) -> Array | tuple[Array, Array]:
        """The predicted mean of each row, in the units of the targets.

        Parameters
        ----------
        X : frame, (n, p) array or sparse matrix
            Rows as in `fit`. Columns of a frame are found by name.
        return_std : bool, default False
            Also the standard deviation of the targets around the mean: of the distribution whose quantiles
            `predict_interval` gives.

        Returns
        -------
        (n,), or (n, k) for several targets; with return_std a pair of such

        Examples
        --------
        >>> import numpy as np
        >>> from newtron import PerceptronRegressor
        >>> x, y = np.array([[1.0], [2.0], [3.0], [4.0]]), np.array([2.0, 4.0, 5.0, 7.0])
        >>> model = PerceptronRegressor().fit(x, y)
        >>> model.predict([[5.0]]).round(6)
        array([8.5])
        """
        X = self._for_prediction(X)
        mean = predicted(self.model_, X)
        if return_std:
            _, total, _ = distributions(self.model_, X)
            return self._shaped(mean), self._shaped(np.sqrt(total)).astype(X.dtype, copy=False)
        return self._shaped(mean)

    def _shaped(self, values: Array) -> Array:
        return values[:, 0] if self.model_.data.one_column else values

    def predict_interval(self, X: Matrix, coverage: float = 0.9) -> Array:
        """Lower and upper end of an interval that holds the target with probability `coverage`, equal tails.

        The ends are quantiles of the predictive distribution (docs/mathematics.md, Intervals); for counts whole
        numbers, of Poisson's distribution averaged over the posterior of its mean, which is too narrow where counts
        vary more than Poisson's distribution says.

        Parameters
        ----------
        X : frame, (n, p) array or sparse matrix
            Rows as in `fit`. Columns of a frame are found by name.
        coverage : float, default 0.9

        Returns
        -------
        (n, 2), or (n, k, 2) for several targets, each on its own

        Raises
        ------
        InputError
            The fit has no intervals; the message gives the reason.

        Examples
        --------
        >>> import numpy as np
        >>> from newtron import PerceptronRegressor
        >>> x, y = np.array([[1.0], [2.0], [3.0], [4.0]]), np.array([2.0, 4.0, 5.0, 7.0])
        >>> model = PerceptronRegressor().fit(x, y)
        >>> model.predict_interval([[5.0]], coverage=0.9).round(2)
        array([[7.04, 9.96]])
        """
        coverage = check_number("coverage", coverage, above=0.0, below=1.0)
        return self._shaped(intervals(self.model_, self._for_prediction(X), coverage))

    def log_density(self, X: Matrix, y: Matrix) -> Array:
        """Logarithm of the predictive density at the targets, in the user's units.

        Its negative mean is the negative log-likelihood (NLL) of published tables. Several targets are taken as
        independent given x, and their logarithms added.

        Parameters
        ----------
        X : frame, (n, p) array or sparse matrix
            Rows as in `fit`. Columns of a frame are found by name.
        y : (n,) or (n, k)

        Returns
        -------
        (n,)

        Examples
        --------
        >>> import numpy as np
        >>> from newtron import PerceptronRegressor
        >>> x, y = np.array([[1.0], [2.0], [3.0], [4.0]]), np.array([2.0, 4.0, 5.0, 7.0])
        >>> model = PerceptronRegressor().fit(x, y)
        >>> model.log_density([[5.0]], [8.5]).shape
        (1,)
        """
        X = self._for_prediction(X)
        Y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        mixtures, _, _ = distributions(self.model_, X)
        if Y.reshape(len(Y), -1).shape != (X.shape[0], len(mixtures)):
            expected = (X.shape[0],) if self.model_.data.one_column else (X.shape[0], len(mixtures))
            raise InputError(f"y has the shape {Y.shape}, and for these rows of X it must be {expected}.")
        Y = Y.reshape(X.shape[0], -1)
        return np.asarray(per_output(mixtures, lambda mixture, c: mixture.log_density(Y[:, c])).sum(axis=1))

    def predict_uncertainty(self, X: Matrix) -> Uncertainty:
        """What more data of the same kind could not remove of the standard deviation of each row, and what it could.

        Their squares add up to that of the standard deviation of `predict`.

        Parameters
        ----------
        X : frame, (n, p) array or sparse matrix
            Rows as in `fit`. Columns of a frame are found by name.

        Returns
        -------
        Uncertainty
            mean, noise_std and model_std, each shaped as predictions.

        Examples
        --------
        >>> import numpy as np
        >>> from newtron import PerceptronRegressor
        >>> x, y = np.array([[1.0], [2.0], [3.0], [4.0]]), np.array([2.0, 4.0, 5.0, 7.0])
        >>> model = PerceptronRegressor().fit(x, y)
        >>> parts = model.predict_uncertainty([[2.5], [25.0]])
        >>> bool(parts.model_std[1] > parts.model_std[0])  # far from the rows of the fit
        True
        """
        X = self._for_prediction(X)
        _, total, model = distributions(self.model_, X)
        parts = (predicted(self.model_, X), np.sqrt(total - model), np.sqrt(model))
        return Uncertainty(*map(self._shaped, parts))


class Classification(ClassifierMixin, EstimatorWithEffects):  # type: ignore[misc]
    """Targets are classes. Two classes take one output (σ), more take one each (softmax)."""

    _task: ClassVar[TaskName] = "classification"

    @property
    def classes_(self) -> Labels:
        """The classes, in order."""
        return self._fitted_model().data.known_classes

    @property
    def temperature_(self) -> float:
        """The members' mean probabilities are taken to the power 1/temperature_: above 1 they were too sure."""
        return self._fitted_model().temperature

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self._sparse
        tags.input_tags.allow_nan = True
        return tags

    def fit(
        self, X: Matrix, y: Matrix, sample_weight: object = None, *, checkpoint: str | os.PathLike[str] | None = None
    ) -> Self:
        """Train on X (n, p), a frame or numbers, and classes y.

        Parameters
        ----------
        X : frame, (n, p) array or sparse matrix
            As in `PerceptronRegressor.fit`.
        y : (n,)
            Two or more classes of any sortable type.
        sample_weight : (n,), optional
            Not negative. What a weight means is the setting `weights` of perceptrons; by default 2 is the row twice.
        checkpoint : path, optional
            A file that keeps where training stands; where it exists, training goes on from there, to the same bits as
            if it had never stopped.

        Returns
        -------
        self

        Raises
        ------
        InputError
            Settings or data that cannot be used. It is a ValueError.

        Warns
        -----
        ConvergenceWarning
            The end is not an optimum, separated classes among the reasons: one sentence says why.
        SchemaWarning
            A column of a frame is used otherwise than it stands there.

        Examples
        --------
        >>> from newtron import PerceptronClassifier
        >>> x, y = [[1.0], [2.0], [3.0], [4.0]], ["no", "yes", "no", "yes"]
        >>> model = PerceptronClassifier().fit(x, y)
        >>> model.classes_.tolist()
        ['no', 'yes']
        """
        named = y
        rows, y = self._validated(X, y)
        if y.dtype.kind not in "biu":
            check_classification_targets(y)
        weight = self._weights(rows, sample_weight)
        settings = self._settings()
        dtype = np.dtype(np.float64) if isinstance(rows, Table) else rows.dtype
        Y, weight, data = encoded_classes(y, self._described(named), weight, settings.class_weight, dtype)
        if y.dtype.kind in "biu" and len(y) < 2 * len(data.known_classes):
            check_classification_targets(y)  # whole numbers are classes; it only warns when they are many
        X, data = self._as_numbers(rows, data, settings)
        self._train(ArrayRows(X, Y, weight), data, settings, checkpoint)
        self._warn(3)
        return self

    def predict_proba(self, X: Matrix) -> Array:
        """The probability of each class; of networks, the members' average to the power 1 / `temperature_`, normalised.

        Parameters
        ----------
        X : frame, (n, p) array or sparse matrix
            Rows as in `fit`. Columns of a frame are found by name.

        Returns
        -------
        (n, K)
            In the order of `classes_`; rows add to 1.

        Examples
        --------
        >>> from newtron import PerceptronClassifier
        >>> x, y = [[1.0], [2.0], [3.0], [4.0]], ["no", "yes", "no", "yes"]
        >>> model = PerceptronClassifier().fit(x, y)
        >>> model.predict_proba([[2.5]]).round(3)
        array([[0.5, 0.5]])
        """
        X = self._for_prediction(X)
        return probabilities(self.model_, X)

    def log_density(self, X: Matrix, y: Matrix) -> Array:
        """Logarithm of the probability of the classes y: what the log loss averages, with its sign turned.

        Parameters
        ----------
        X : frame, (n, p) array or sparse matrix
            Rows as in `fit`. Columns of a frame are found by name.
        y : (n,)

        Returns
        -------
        (n,)

        Examples
        --------
        >>> from newtron import PerceptronClassifier
        >>> x, y = [[1.0], [2.0], [3.0], [4.0]], ["no", "yes", "no", "yes"]
        >>> model = PerceptronClassifier().fit(x, y)
        >>> model.log_density([[2.5]], ["yes"]).round(3)
        array([-0.693])
        """
        y = column_or_1d(y)
        probability = self.predict_proba(X)
        if len(y) != len(probability):
            raise InputError(f"y has {len(y)} classes, and X has {len(probability)} rows.")
        codes = known_codes(y, self.classes_, len(y))
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(probability[np.arange(len(y)), codes]))

    def predict_uncertainty(self, X: Matrix) -> Uncertainty:
        """Mean, noise_std and model_std of the probability of each class.

        mean is `predict_proba`. That a row is of a class has the variance p(1 - p): model_std² is the part of it that
        comes from parameters that the data leave open, noise_std² the rest.

        Parameters
        ----------
        X : frame, (n, p) array or sparse matrix
            Rows as in `fit`. Columns of a frame are found by name.

        Returns
        -------
        Uncertainty
            mean, noise_std and model_std, each (n, K).

        Raises
        ------
        InputError
            The fit kept no curvature; the message gives the reason.

        Examples
        --------
        >>> from newtron import PerceptronClassifier
        >>> x, y = [[1.0], [2.0], [3.0], [4.0]], ["no", "yes", "no", "yes"]
        >>> model = PerceptronClassifier().fit(x, y)
        >>> model.predict_uncertainty([[2.5]]).mean.round(3)
        array([[0.5, 0.5]])
        """
        X = self._for_prediction(X)
        return class_uncertainty(self.model_, X)

    def predict_log_proba(self, X: Matrix) -> Array:
        """Logarithm of `predict_proba`; -inf where a probability has underflowed.

        Parameters
        ----------
        X : frame, (n, p) array or sparse matrix
            Rows as in `fit`. Columns of a frame are found by name.

        Returns
        -------
        (n, K)

        Examples
        --------
        >>> from newtron import PerceptronClassifier
        >>> x, y = [[1.0], [2.0], [3.0], [4.0]], ["no", "yes", "no", "yes"]
        >>> model = PerceptronClassifier().fit(x, y)
        >>> model.predict_log_proba([[2.5]]).round(3)
        array([[-0.693, -0.693]])
        """
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.predict_proba(X)))

    def predict(self, X: Matrix) -> Labels:
        """The most probable class of each row.

        Parameters
        ----------
        X : frame, (n, p) array or sparse matrix
            Rows as in `fit`. Columns of a frame are found by name.

        Returns
        -------
        (n,)

        Examples
        --------
        >>> from newtron import PerceptronClassifier
        >>> x, y = [[1.0], [2.0], [3.0], [4.0]], ["no", "yes", "no", "yes"]
        >>> model = PerceptronClassifier().fit(x, y)
        >>> model.predict([[4.0]]).tolist()
        ['yes']
        """
        X = self._for_prediction(X)
        return np.asarray(self.model_.data.known_classes[most_probable(self.model_, X)])
