"""How good predictions are: the metrics of regressions, of counts and of classifications, with weights for the rows.

The definitions are those of scikit-learn's `sklearn.metrics`, which the tests compare them with. A metric that has no
value, such as the precision of a class that was never predicted, is nan.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.types import Array

# A predicted probability of zero for the observed class would make an infinite loss: it counts as this, a few roundings
# of float64, as in scikit-learn's log loss.
_LEAST = 1e-15


def weighted_mean(values: Array, weight: Array | None = None) -> float:
    """The mean of values (n,), each with its weight (n,); infinite where a value is not a number."""
    with np.errstate(all="ignore"):
        mean = float(np.mean(values)) if weight is None else float(weight @ values / weight.sum())
    return mean if np.isfinite(mean) else float("inf")


def squared_errors(y: Array, predicted: Array) -> Array:
    """(n,) the squared error of each row."""
    with np.errstate(all="ignore"):
        return np.asarray(np.square(y - predicted))


def poisson_deviances(y: Array, mean: Array) -> Array:
    """(n,) 2 (y log(y / mean) - y + mean): twice the log-likelihood that a row lacks of the best (McCullagh & Nelder,
    Generalized Linear Models, 1989, section 2.3)."""
    with np.errstate(all="ignore"):
        logs = np.where(y > 0.0, y * np.log(np.where(y > 0.0, y, 1.0) / mean), 0.0)
        return np.asarray(2.0 * (logs - (y - mean)))


def log_losses(codes: NDArray[np.int64], probabilities: Array) -> Array:
    """(n,) -log of the probability of each row's own class. probabilities: (n, classes)."""
    with np.errstate(all="ignore"):
        return np.asarray(-np.log(np.maximum(probabilities[np.arange(len(codes)), codes], _LEAST)))


def regression_metrics(y: Array, predicted: Array, weight: Array | None = None) -> dict[str, float]:
    """rmse, mae and r2 of predictions (n,)."""
    with np.errstate(all="ignore"):
        squares = np.average(np.square(y - predicted), weights=weight)
        spread = np.average(np.square(y - np.average(y, weights=weight)), weights=weight)
        mae = np.average(np.abs(y - predicted), weights=weight)
        r2 = 1.0 - float(squares) / float(spread) if spread > 0.0 else float("nan")
        return {"rmse": float(np.sqrt(squares)), "mae": float(mae), "r2": r2}


def count_metrics(y: Array, mean: Array, weight: Array | None = None) -> dict[str, float]:
    """The mean deviance of a Poisson model and d2, the share of the deviance around the mean that it explains, before
    the metrics of a regression."""
    deviance = weighted_mean(poisson_deviances(y, mean), weight)
    around = weighted_mean(poisson_deviances(y, np.full(len(y), np.average(y, weights=weight))), weight)
    d2 = 1.0 - deviance / around if 0.0 < around < np.inf else float("nan")
    return {"deviance": deviance, "d2": d2, **regression_metrics(y, mean, weight)}


@dataclass(frozen=True, eq=False)
class ClassMetrics:
    """Precision, recall, F1 and the area below the ROC curve of each class against all others, (classes,) each; weight:
    the sum of the rows' weights of each class, which is their number without weights."""

    weight: Array
    precision: Array
    recall: Array
    f1: Array
    auc: Array


def class_metrics(codes: NDArray[np.int64], probabilities: Array, weight: Array | None = None) -> ClassMetrics:
    """The metrics of each class, where the most probable class (n,) is predicted. codes: (n,) the classes' positions;
    probabilities: (n, classes)."""
    k = probabilities.shape[1]
    w = np.ones(len(codes)) if weight is None else weight
    found = probabilities.argmax(axis=1)
    own = np.bincount(codes, w, minlength=k)
    predicted = np.bincount(found, w, minlength=k)
    hit = np.bincount(codes[found == codes], w[found == codes], minlength=k)
    with np.errstate(all="ignore"):
        precision, recall, f1 = hit / predicted, hit / own, 2.0 * hit / (own + predicted)
    auc = np.array([area_under_roc(probabilities[:, c], codes == c, w) for c in range(k)])
    return ClassMetrics(np.asarray(own, dtype=np.float64), precision, recall, f1, auc)


def area_under_roc(score: Array, positive: NDArray[np.bool_], weight: Array | None = None) -> float:
    """The area below the ROC curve: the probability that a positive row has a larger score than a negative one, where
    equal scores count half (Hanley & McNeil, Radiology 143, 1982). nan where one of the two kinds of rows is not
    there."""
    w = np.ones(len(score)) if weight is None else weight
    values, place = np.unique(score, return_inverse=True)
    up = np.bincount(place, np.where(positive, w, 0.0), minlength=len(values))
    down = np.bincount(place, np.where(positive, 0.0, w), minlength=len(values))
    both = float(up.sum()) * float(down.sum())
    if not both > 0.0:
        return float("nan")
    return float(up @ (np.cumsum(down) - 0.5 * down)) / both


def brier_score(codes: NDArray[np.int64], probabilities: Array, weight: Array | None = None) -> float:
    """The mean squared error of the probabilities, of the second class where there are two, and else added over the
    classes (Brier, Monthly Weather Review 78, 1950)."""
    k = probabilities.shape[1]
    if k == 2:
        return weighted_mean(np.square(probabilities[:, 1] - codes), weight)
    happened = codes[:, None] == np.arange(k)
    return weighted_mean(np.square(probabilities - happened).sum(axis=1), weight)


def classification_metrics(
    codes: NDArray[np.int64], probabilities: Array, weight: Array | None = None, class_weight: Array | None = None
) -> dict[str, float]:
    """log_loss, error_rate, accuracy, auc, balanced_accuracy (the mean recall of the classes that are there) and brier.
    With more than two classes auc is that of each class against the others, averaged over those that are there.

    class_weight: (classes,) weights that log_loss and brier count in addition, as the training did: a model of weighted
    classes states other probabilities. The other metrics do not."""
    both = weight
    if class_weight is not None:
        both = class_weight[codes] if weight is None else class_weight[codes] * weight
    wrong = weighted_mean(np.asarray(probabilities.argmax(axis=1) != codes, dtype=np.float64), weight)
    each = class_metrics(codes, probabilities, weight)
    known = each.auc[1:2] if probabilities.shape[1] == 2 else each.auc[~np.isnan(each.auc)]
    return {
        "log_loss": weighted_mean(log_losses(codes, probabilities), both),
        "error_rate": wrong,
        "accuracy": 1.0 - wrong,
        "auc": float(known.mean()) if len(known) else float("nan"),
        "balanced_accuracy": float(each.recall[each.weight > 0.0].mean()),
        "brier": brier_score(codes, probabilities, both),
    }
