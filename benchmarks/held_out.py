"""What is measured of a model on rows that it was not trained on, and how long its training took."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from results import Record
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

Array = NDArray[Any]

# Probabilities of 0, which forests give, are taken for this; else one row would decide the mean log loss.
LEAST_PROBABILITY = 1e-6
_BINS = 10
COVERAGE = 0.9
_NORMAL_95 = 1.6448536269514722  # the quantile of the normal distribution that leaves 5 % above


def fitted(make: Callable[[], Any], X: Array, y: Array) -> tuple[Any, Record]:
    """The model; the CPU time of its training, how its members ended, and the mean loss that it promised for new rows,
    from rows that it left out, where it knows one."""
    model = make()
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        started = time.process_time()
        model.fit(X, y)
        seconds = time.process_time() - started
    statuses = [member.solution.status.name for member in getattr(model, "members_", [])]
    record: Record = {"cpu": seconds, "statuses": statuses}
    promised = vars(getattr(model, "model_", object)).get("left_out_loss")
    if promised is not None and np.isfinite(promised):
        record["promised"] = float(promised)
    return model, record


def regressed(make: Callable[[], Any], X: Array, y: Array, X_test: Array, y_test: Array) -> Record:
    """RMSE; where the model gives a distribution, its negative log density; where it gives 90 % intervals, their
    coverage and their score."""
    model, record = fitted(make, X, y)
    errors = model.predict(X_test) - y_test
    record["rmse"] = float(np.sqrt(np.mean(np.square(errors))))
    if hasattr(model, "predict_interval"):
        ends = tuple(model.predict_interval(X_test, COVERAGE).T)
        record["nll"] = -float(np.mean(model.log_density(X_test, y_test)))
    elif hasattr(model, "predict_normal"):
        mean, std = model.predict_normal(X_test)
        z = (y_test - mean) / std
        ends = (mean - _NORMAL_95 * std, mean + _NORMAL_95 * std)
        record["nll"] = float(np.mean(0.5 * np.square(z) + np.log(std) + 0.5 * np.log(2.0 * np.pi)))
    elif hasattr(model, "predict_ends"):
        ends = model.predict_ends(X_test)
    else:
        return record
    low, high = ends
    outside = np.maximum(low - y_test, 0.0) + np.maximum(y_test - high, 0.0)
    record["covered"] = float(np.mean(outside == 0.0))
    record["interval_score"] = float(np.mean(high - low + 2.0 / (1.0 - COVERAGE) * outside))
    return record


def classified(make: Callable[[], Any], X: Array, y: Array, X_test: Array, y_test: Array) -> Record:
    """Accuracy, log loss, and for the calibration error the sums of each bin of the greatest probability: rows,
    probability, rows that were right."""
    # Some libraries want the classes that they are trained on to be numbered without a gap.
    present, codes = np.unique(y, return_inverse=True)
    model, record = fitted(make, X, codes)
    p, classes = model.predict_proba(X_test), present[np.asarray(model.classes_).astype(np.intp)]
    place = np.searchsorted(classes, y_test).clip(max=len(classes) - 1)
    # A class never seen in training has p = 0.
    of_true = np.where(classes[place] == y_test, p[np.arange(len(y_test)), place], 0.0)
    right = classes[p.argmax(axis=1)] == y_test
    greatest = p.max(axis=1).astype(np.float64)
    bins = np.minimum((greatest * _BINS).astype(int), _BINS - 1)
    sums = [np.bincount(bins, weights, _BINS) for weights in (None, greatest, right.astype(np.float64))]
    return record | {
        "accuracy": float(right.mean()),
        "log_loss": -float(np.mean(np.log(np.maximum(of_true, LEAST_PROBABILITY)))),
        "bins": [s.tolist() for s in sums],
    }


def calibration_error(records: list[Record]) -> float:
    """Expected calibration error over the test rows of all records, ten bins of equal width (Guo et al. 2017)."""
    rows, probability, right = np.sum([record["bins"] for record in records], axis=0)
    return float(np.abs(probability - right).sum() / rows.sum())


def ended(records: list[Record]) -> str:
    """'58 of 60': members that converged, of all that were trained."""
    statuses = [status for record in records for status in record["statuses"]]
    return f"{sum(status in ('CONVERGED', 'PRECISION') for status in statuses)} of {len(statuses)}"
