"""Regression and classification, as mixins: targets in, predictions out. The same for perceptrons and networks."""

from __future__ import annotations

import os
from typing import Any, Literal, Self, overload

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, column_or_1d

from newtron.engine.base.checks import check_number
from newtron.engine.base.errors import InputError
from newtron.engine.maths.losses import loss_for
from newtron.estimators.base import NewtronEstimator
from newtron.inference.predictive.mixture import Mixture
from newtron.inference.predictive.predictive import RegressionPredictive, Uncertainty
from newtron.inference.predictive.temperature import every_class, tempered
from newtron.training.class_weight import class_weights, totals
from newtron.training.members import Task
from newtron.training.relevance import relevance_of
from newtron.training.uncertainty import (
    distributions,
    known,
    learn_class_temperature,
    learn_predictive,
    per_output,
    predictive_of_perceptron,
    variance_of_classes,
)

Array = NDArray[np.floating]


def _names_of(y: Any) -> tuple[str, ...]:
    """What the targets are called, where a series or a frame says it."""
    columns = getattr(y, "columns", None)
    names: list[Any] = [getattr(y, "name", None)] if columns is None else list(columns)
    return tuple(names) if all(isinstance(name, str) and name for name in names) else ()


class Regression(RegressorMixin, NewtronEstimator):  # type: ignore[misc]
    """Targets are numbers, one column or several."""

    loss: str | None
    predictive_: RegressionPredictive | str

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self._sparse
        tags.target_tags.multi_output = True
        return tags

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, checkpoint: str | os.PathLike[str] | None = None
    ) -> Self:
        """Train on X (n, p) and y (n,) or (n, k), numbers without missing values.

        sample_weight: (n,) not negative; a weight of 2 is the row twice. checkpoint: a file that keeps where training
        stands; where it exists, training goes on from there, to the same bits as if it had never stopped. Returns self.
        Raises InputError (a ValueError) for settings that cannot be used; warns with ConvergenceWarning, in one
        sentence, when the end is not an optimum.
        """
        self._targets = _names_of(y)
        X, y = self._validated(X, y, multi_output=True, y_numeric=True)
        weight = self._weights(X, sample_weight)
        Y = np.asarray(y, dtype=np.float64)
        self._one_column = Y.ndim == 1
        Y = Y.reshape(len(Y), -1)
        self._train(X, Y, weight, loss_for("regression", self.loss, Y.shape[1]), checkpoint)
        self._fitted()
        return self

    def _learn(self, task: Task) -> None:
        if hasattr(self, "n_starts"):
            self.predictive_ = learn_predictive(task, self.members_)
            self.relevance_ = relevance_of(task, self.members_)

    @overload
    def predict(self, X: Any) -> Array: ...
    @overload
    def predict(self, X: Any, return_std: Literal[False]) -> Array: ...
    @overload
    def predict(self, X: Any, return_std: Literal[True]) -> tuple[Array, Array]: ...
    def predict(self, X: Any, return_std: bool = False) -> Array | tuple[Array, Array]:
        """Predicted mean, in the units of the targets: (n,), or (n, k) for several targets.

        return_std: also the standard deviation of the targets around it, of the same shape: of the distribution whose
        quantiles `predict_interval` gives.
        """
        X = self._for_prediction(X)
        mean = self._averaged(X, self.scaling_.outputs)
        if return_std:
            return self._shaped(mean), self._shaped(np.sqrt(self._distributions(X)[1])).astype(X.dtype, copy=False)
        return mean[:, 0] if self._one_column else mean

    def _distributions(self, X: Any) -> tuple[list[Mixture], Array, Array]:
        """Of rows already validated: each output's distribution, its variance and the model's part of that (n, k)."""
        found = (
            self.predictive_ if hasattr(self, "n_starts") else predictive_of_perceptron(self.members_[0], self.loss_)
        )
        mixtures, model = distributions(known(found, "predictive distribution"), self.scaling_, X)
        total = per_output(mixtures, lambda mixture, _: mixture.variance)
        return mixtures, total, np.minimum(model, total)

    def _shaped(self, values: Array) -> Array:
        return values[:, 0] if self._one_column else values

    def predict_interval(self, X: Any, coverage: float = 0.9) -> Array:
        """Lower and upper end of an interval that holds the target with probability `coverage`, equal tails.

        (n, 2), or (n, k, 2) for several targets, each on its own. The ends are quantiles of the predictive
        distribution (docs/mathematics.md, Intervals). Raises InputError for a fit that has none, with the reason.
        """
        tail = 0.5 * (1.0 - check_number("coverage", coverage, above=0.0, below=1.0))
        mixtures, _, _ = self._distributions(self._for_prediction(X))
        ends = per_output(mixtures, lambda mixture, _: np.column_stack([mixture.quantile(q) for q in (tail, 1 - tail)]))
        return self._shaped(ends)

    def log_density(self, X: Any, y: Any) -> Array:
        """(n,) logarithm of the predictive density at the targets y (n,) or (n, k), in the user's units.

        Its negative mean is the negative log-likelihood (NLL) of published tables. Several targets are taken as
        independent given x, and their logarithms added.
        """
        X = self._for_prediction(X)
        Y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        mixtures, _, _ = self._distributions(X)
        if Y.reshape(len(Y), -1).shape != (X.shape[0], len(mixtures)):
            expected = (X.shape[0],) if self._one_column else (X.shape[0], len(mixtures))
            raise InputError(f"y has the shape {Y.shape}, and for these rows of X it must be {expected}.")
        Y = Y.reshape(X.shape[0], -1)
        return np.asarray(per_output(mixtures, lambda mixture, c: mixture.log_density(Y[:, c])).sum(axis=1))

    def predict_uncertainty(self, X: Any) -> Uncertainty:
        """Mean, noise_std and model_std of each row, shaped as predictions: what more data of the same kind could not
        remove, and what it could. Their squares add up to that of the standard deviation of `predict`."""
        X = self._for_prediction(X)
        _, total, model = self._distributions(X)
        parts = (self._averaged(X, self.scaling_.outputs), np.sqrt(total - model), np.sqrt(model))
        return Uncertainty(*map(self._shaped, parts))


class Classification(ClassifierMixin, NewtronEstimator):  # type: ignore[misc]
    """Targets are classes. Two classes take one output (σ), more take one each (softmax)."""

    loss: str | None
    class_weight: Any
    classes_: NDArray[Any]
    temperature_: float

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self._sparse
        return tags

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, checkpoint: str | os.PathLike[str] | None = None
    ) -> Self:
        """Train on X (n, p) and classes y (n,), two or more of any sortable type.

        sample_weight: (n,) not negative; a weight of 2 is the row twice. checkpoint: a file that keeps where training
        stands; where it exists, training goes on from there, to the same bits as if it had never stopped. Returns self.
        Raises InputError (a ValueError) for settings that cannot be used; warns with ConvergenceWarning, in one
        sentence, when the end is not an optimum, separated classes among the reasons.
        """
        self._targets = _names_of(y)
        X, y = self._validated(X, y)
        Y, weight = self._encoded(y, X.dtype, self._weights(X, sample_weight))
        self._train(X, Y, weight, loss_for("classification", self.loss, Y.shape[1]), checkpoint)
        self._fitted()
        return self

    def _encoded(self, y: NDArray[Any], dtype: Any, weight: Array | None) -> tuple[Array, Array | None]:
        """Classes as numbers Y (n, 1) for two and (n, K) for more, and the rows' weights with those of the classes."""
        whole = y.dtype.kind in "biu"
        if not whole:
            check_classification_targets(y)
        self.classes_, codes = _classes(y)
        K = len(self.classes_)
        if whole and len(y) < 2 * K:
            check_classification_targets(y)  # whole numbers are classes; it only warns when they are many
        if K < 2:
            only = self.classes_.tolist()[0]
            raise InputError(f"All rows are of one class ({only!r}): a classifier needs two classes or more.")
        return self._coded(codes, y, weight, dtype)

    def _coded(self, codes: Any, y: Any, weight: Array | None, dtype: Any) -> tuple[Array, Array | None]:
        """Targets (n, k) from the numbers of the classes, and the weights with those of the classes."""
        K = len(self.classes_)
        if self.class_weight is not None:
            per_class = class_weights(self.class_weight, self.classes_, totals(codes, weight, K))
            per_row = per_class[codes].astype(dtype)
            weight = per_row if weight is None else weight * per_row
            if not weight.any():
                raise InputError("sample_weight and class_weight together are zero for every row: one row must count.")
        if K == 2:
            Y = np.asarray(y == self.classes_[1]).astype(dtype)[:, None]
        else:
            Y = np.zeros((len(codes), K), dtype=dtype, order="F")
            Y[np.arange(len(codes)), codes] = 1.0
        return Y, weight

    def _learn(self, task: Task) -> None:
        self.temperature_ = 1.0
        if hasattr(self, "n_starts"):
            self.temperature_ = learn_class_temperature(task, self.members_)
            self.relevance_ = relevance_of(task, self.members_)

    def predict_proba(self, X: Any) -> Array:
        """Probability of each class, in the order of `classes_`: (n, classes), rows adding to 1.

        Of networks, the average of the members' to the power 1 / `temperature_`, normalised.
        """
        return self._probabilities(self._for_prediction(X))

    def _probabilities(self, X: Any) -> Array:
        """Of rows already validated."""
        return tempered(every_class(self._averaged(X, self.loss_.inverse_link)), self.temperature_)

    def log_density(self, X: Any, y: Any) -> Array:
        """(n,) logarithm of the probability of the classes y (n,): what the log loss averages, with its sign turned."""
        y = column_or_1d(y)
        probability = self.predict_proba(X)
        if len(y) != len(probability):
            raise InputError(f"y has {len(y)} classes, and X has {len(probability)} rows.")
        known_as = {label: column for column, label in enumerate(self.classes_.tolist())}
        unknown = [label for label in y.tolist() if label not in known_as]
        if unknown:
            raise InputError(f"y has the class {unknown[0]!r}, which training never saw, and so no probability.")
        columns = [known_as[label] for label in y.tolist()]
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(probability[np.arange(len(y)), columns]))

    def predict_uncertainty(self, X: Any) -> Uncertainty:
        """Mean, noise_std and model_std of the probability of each class, (n, classes) each.

        mean is `predict_proba`. That a row is of a class has the variance p(1 - p): model_std² is the part of it that
        comes from parameters that the data leave open, noise_std² the rest. Raises InputError for a fit that kept no
        curvature, with the reason.
        """
        X = self._for_prediction(X)
        p = self._probabilities(X)
        total = p * (1.0 - p)
        model = np.minimum(variance_of_classes(self, X).astype(p.dtype), total)
        return Uncertainty(p, np.sqrt(total - model), np.sqrt(model))

    def predict_log_proba(self, X: Any) -> Array:
        """Logarithm of `predict_proba`; -inf where a probability has underflowed."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.predict_proba(X)))

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable class of each row: (n,)."""
        # A temperature changes none of these.
        most = every_class(self._averaged(self._for_prediction(X), self.loss_.inverse_link)).argmax(axis=1)
        return np.asarray(self.classes_[most])


# Whole numbers closer together than this are counted instead of sorted.
_COUNTED = 65536


def _classes(y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.integer]]:
    """The classes in order, and the number of each row's own: np.unique, but in two passes where y is whole numbers."""
    if y.dtype.kind in "iu" and y.size:
        low, high = int(y.min()), int(y.max())
        if high - low < _COUNTED and abs(low) < 2**62:
            at = y.astype(np.int64, copy=False)
            if low:
                at = at - low
            found = np.bincount(at) > 0
            return (np.flatnonzero(found) + low).astype(y.dtype), (np.cumsum(found) - 1)[at]
    return np.unique(y, return_inverse=True)
