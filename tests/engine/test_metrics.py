"""Metrics have the values of scikit-learn's, with weights and without."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import sklearn.metrics as sk
from numpy.typing import NDArray

from newtron.engine.maths.metrics import (
    area_under_roc,
    brier_score,
    class_metrics,
    classification_metrics,
    count_metrics,
    poisson_deviances,
    regression_metrics,
)

Array = NDArray[np.floating]
N = 300
WEIGHTED = pytest.mark.parametrize("weighted", [False, True])


def weights(weighted: bool) -> Array | None:
    return np.random.default_rng(1).integers(0, 4, N) * 0.75 if weighted else None


def classes(k: int) -> tuple[NDArray[np.int64], Array]:
    rng = np.random.default_rng(k)
    codes = rng.choice(k, N, p=np.arange(1, k + 1) / np.arange(1, k + 1).sum())
    z = rng.normal(size=(N, k)).round(1)  # with equal scores
    z[np.arange(N), codes] += 1.0
    p = np.exp(z)
    return codes, p / p.sum(axis=1, keepdims=True)


@WEIGHTED
def test_metrics_of_numbers(weighted: bool) -> None:
    rng, w = np.random.default_rng(0), weights(weighted)
    y = rng.normal(size=N)
    predicted = y + rng.normal(size=N)
    found = regression_metrics(y, predicted, w)
    assert found["rmse"] == pytest.approx(sk.root_mean_squared_error(y, predicted, sample_weight=w), rel=1e-12)
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(y, predicted, sample_weight=w), rel=1e-12)
    assert found["r2"] == pytest.approx(sk.r2_score(y, predicted, sample_weight=w), rel=1e-12)


@WEIGHTED
def test_metrics_of_counts(weighted: bool) -> None:
    rng, w = np.random.default_rng(0), weights(weighted)
    mean = np.exp(rng.normal(size=N))
    y = rng.poisson(mean).astype(np.float64)
    assert (y == 0.0).any()
    found = count_metrics(y, mean, w)
    assert found["deviance"] == pytest.approx(sk.mean_poisson_deviance(y, mean, sample_weight=w), rel=1e-12)
    assert found["d2"] == pytest.approx(sk.d2_tweedie_score(y, mean, sample_weight=w, power=1), rel=1e-12)
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(y, mean, sample_weight=w), rel=1e-12)
    assert poisson_deviances(np.array([0.0, 2.0]), np.array([1.5, 2.0])).tolist() == [3.0, 0.0]


@WEIGHTED
@pytest.mark.parametrize("k", [2, 3, 5])
def test_metrics_of_classes(k: int, weighted: bool) -> None:
    codes, p = classes(k)
    w = weights(weighted)
    found, each, labels = classification_metrics(codes, p, w), class_metrics(codes, p, w), np.arange(k)
    best = p.argmax(axis=1)
    assert found["log_loss"] == pytest.approx(sk.log_loss(codes, p, sample_weight=w), rel=1e-12)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(codes, best, sample_weight=w), rel=1e-12)
    assert found["error_rate"] == pytest.approx(1.0 - found["accuracy"], rel=1e-12)
    recall = sk.balanced_accuracy_score(codes, best, sample_weight=w)
    assert found["balanced_accuracy"] == pytest.approx(recall, rel=1e-12)
    score = p[:, 1] if k == 2 else p
    auc = sk.roc_auc_score(codes, score, multi_class="ovr", average="macro", sample_weight=w)
    assert found["auc"] == pytest.approx(auc, rel=1e-12)
    expected = sk.precision_recall_fscore_support(codes, best, labels=labels, sample_weight=w)
    for ours, theirs in zip((each.precision, each.recall, each.f1), expected[:3], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    happened = codes[:, None] == labels
    squares = np.square(p - happened).sum(axis=1)
    brier = np.average(squares, weights=w)  # scikit-learn before 1.7 knows two classes only
    assert found["brier"] == pytest.approx(brier / 2.0 if k == 2 else brier, rel=1e-12)
    if k == 2:
        assert found["brier"] == pytest.approx(sk.brier_score_loss(codes, p[:, 1], sample_weight=w), rel=1e-12)


def test_weights_of_classes_count_in_probabilities_alone() -> None:
    codes, p = classes(3)
    factors, w = np.array([3.0, 1.0, 0.25]), weights(True)
    assert w is not None
    plain, found = classification_metrics(codes, p, w), classification_metrics(codes, p, w, factors)
    both = w * factors[codes]
    assert found["log_loss"] == pytest.approx(sk.log_loss(codes, p, sample_weight=both), rel=1e-12)
    assert found["brier"] == pytest.approx(brier_score(codes, p, both), rel=1e-12)
    assert found["log_loss"] != pytest.approx(plain["log_loss"], rel=1e-3)
    assert {key: found[key] for key in ("accuracy", "auc")} == {key: plain[key] for key in ("accuracy", "auc")}


def test_what_has_no_value_is_nan() -> None:
    codes = np.array([0, 0, 1, 1])
    p = np.array([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0], [0.7, 0.3, 0.0], [0.6, 0.3, 0.1]])
    each, found = class_metrics(codes, p), classification_metrics(codes, p)
    np.testing.assert_array_equal(each.precision, [0.5, np.nan, np.nan])
    np.testing.assert_array_equal(each.recall, [1.0, 0.0, np.nan])
    np.testing.assert_array_equal(each.f1, [2.0 / 3.0, 0.0, np.nan])
    np.testing.assert_array_equal(each.auc, [1.0, 1.0, np.nan])
    assert found["balanced_accuracy"] == 0.5  # of the classes that are there
    assert found["auc"] == 1.0
    assert np.isnan(area_under_roc(np.array([0.1, 0.2]), np.array([True, True])))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(regression_metrics(np.ones(3), np.zeros(3))["r2"])
        assert classification_metrics(codes, np.array([[0.0, 1.0]] * 2 + [[1.0, 0.0]] * 2))["log_loss"] < 35.0
