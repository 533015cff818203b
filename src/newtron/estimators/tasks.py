"""Regression and classification, as mixins: targets in, predictions out. The same for perceptrons and networks."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from newtron.errors import InputError
from newtron.estimators.base import NewtronEstimator
from newtron.losses import loss_for

Array = NDArray[np.floating]


class Regression(RegressorMixin, NewtronEstimator):  # type: ignore[misc]
    """Targets are numbers, one column or several."""

    loss: str | None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self._sparse
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on X (n, p) and y (n,) or (n, k), numbers without missing values.

        sample_weight: (n,) not negative; a weight of 2 is the row twice. Returns self.
        Raises InputError (a ValueError) for settings that cannot be used; warns with ConvergenceWarning, in one
        sentence, when the end is not an optimum.
        """
        X, y = self._validated(X, y, multi_output=True, y_numeric=True)
        weight = self._weights(X, sample_weight)
        Y = np.asarray(y, dtype=np.float64)
        self._one_column = Y.ndim == 1
        Y = Y.reshape(len(Y), -1)
        self._train(X, Y, weight, loss_for("regression", self.loss, Y.shape[1]))
        self._fitted()
        return self

    def _fitted(self) -> None:
        """Whatever a subclass derives from the members."""

    def predict(self, X: Any) -> Array:
        """Predicted mean, in the units of the targets: (n,), or (n, k) for several targets."""
        X = self._for_prediction(X)
        mean = self._averaged(X, self.scaling_.outputs)
        return mean[:, 0] if self._one_column else mean


class Classification(ClassifierMixin, NewtronEstimator):  # type: ignore[misc]
    """Targets are classes. Two classes take one output (σ), more take one each (softmax)."""

    loss: str | None
    class_weight: Any
    classes_: NDArray[Any]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self._sparse
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on X (n, p) and classes y (n,), two or more of any sortable type.

        sample_weight: (n,) not negative; a weight of 2 is the row twice. Returns self.
        Raises InputError (a ValueError) for settings that cannot be used; warns with ConvergenceWarning, in one
        sentence, when the end is not an optimum, separated classes among the reasons.
        """
        X, y = self._validated(X, y)
        Y, weight = self._encoded(y, X.dtype, self._weights(X, sample_weight))
        self._train(X, Y, weight, loss_for("classification", self.loss, Y.shape[1]))
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
            raise InputError(
                f"All rows are of one class ({self.classes_[0]!r}): a classifier needs two classes or more."
            )
        return self._coded(codes, y, weight, dtype)

    def _coded(self, codes: Any, y: Any, weight: Array | None, dtype: Any) -> tuple[Array, Array | None]:
        """Targets (n, k) from the numbers of the classes, and the weights with those of the classes."""
        K = len(self.classes_)
        if self.class_weight is not None:
            per_class = compute_class_weight(self.class_weight, classes=self.classes_, y=y, sample_weight=weight)
            if not (np.isfinite(per_class).all() and (per_class >= 0.0).all() and per_class.any()):
                raise InputError(
                    f"class_weight={self.class_weight!r} must give finite weights, 0 or more, and not 0 to all classes."
                )
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

    def _fitted(self) -> None:
        """Whatever a subclass derives from the members."""

    def predict_proba(self, X: Any) -> Array:
        """Probability of each class, in the order of `classes_`: (n, classes), rows adding to 1."""
        X = self._for_prediction(X)
        p = self._averaged(X, self.loss_.inverse_link)
        return np.hstack([1.0 - p, p]) if p.shape[1] == 1 else p

    def predict_log_proba(self, X: Any) -> Array:
        """Logarithm of `predict_proba`; -inf where a probability has underflowed."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.predict_proba(X)))

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable class of each row: (n,)."""
        most = self.predict_proba(X).argmax(axis=1)
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
