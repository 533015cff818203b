"""The shared benchmark sets through the default estimators: every fit ends well, or says why it cannot."""

from __future__ import annotations

import json
import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from support.certified import SHARED, classification_set, needs_shared, regression_set
from support.present import present

from newtron import NetworkClassifier, NetworkRegressor, PerceptronClassifier, PerceptronRegressor
from newtron.engine.solvers import Status, Stochastic

pytestmark = needs_shared

REGRESSION = ["concrete", "power", "wine", "yacht"]
CLASSIFICATION = [
    "abalone",
    "balance-scale",
    "blood",
    "breast-cancer-wisc-diag",
    "car",
    "contrac",
    "ecoli",
    "haberman-survival",
    "heart-cleveland",
    "iris",
    "letter",
    "magic",
    "pima",
    "statlog-german-credit",
    "statlog-vehicle",
    "tic-tac-toe",
    "vertebral-column-3clases",
    "waveform",
    "wine",
    "yeast",
]
LARGE = {"letter"}  # too many rows for a linear program here
# Its nominal columns are coded with a slight perturbation: its optimum is finite, but at weights of some 10^4.
ODD = "tic-tac-toe"


def first_fold(name: str, kind: str) -> tuple[Any, Any, Any, Any]:
    X, y, splits = regression_set(name) if kind == "regression" else classification_set(name)
    train, test = splits[0]
    return X[train], y[train], X[test], y[test]


def assert_ended_well(fitted: Any) -> None:
    """Every member converged, or was stopped by the rule that `chosen` announces."""
    assert sum(member.share for member in fitted.members_) == pytest.approx(1.0)
    for member in fitted.members_:
        found = member.solution
        assert np.isfinite(found.value)
        assert found.value <= found.trace[0].value
        if isinstance(found.solver, Stochastic):
            assert found.status is Status.EARLY_STOPPED
            assert "trained on batches, and stopped by rows that are held out" in found.chosen
            assert found.sentence.startswith("Stopped by rule")
        elif getattr(found.solver, "stop_after", None) is not None:
            assert found.status is Status.EARLY_STOPPED
            assert "steps of which are enough beside those trained on batches" in found.chosen
            assert found.sentence.startswith("Stopped by rule")
        else:
            assert found.converged
            assert "stop" not in found.chosen


def test_every_set_is_here() -> None:
    listed = json.loads((SHARED / "uci121" / "index.json").read_text(encoding="utf-8"))
    assert set(CLASSIFICATION) <= set(listed)
    assert set(REGRESSION) <= {path.stem for path in (SHARED / "uci_regression").glob("*.npz")}


@cache
def default_network(name: str) -> NetworkRegressor:
    X, y, _, _ = first_fold(name, "regression")
    return NetworkRegressor(effort="fast" if len(X) > 3000 else "default").fit(X, y)


@pytest.mark.slow
@pytest.mark.xdist_group("default networks")
@pytest.mark.parametrize("name", REGRESSION)
def test_regression(name: str) -> None:
    X, y, X_test, y_test = first_fold(name, "regression")
    linear, network = PerceptronRegressor().fit(X, y), default_network(name)
    for fitted in (linear, network):
        assert_ended_well(fitted)
        assert np.mean((fitted.predict(X_test) - y_test) ** 2) < np.mean((y.mean() - y_test) ** 2)
    assert network.score(X_test, y_test) > linear.score(X_test, y_test)
    A = np.column_stack([X - X.mean(0), np.ones(len(X))])
    exact = np.linalg.lstsq(A, y, rcond=None)[0][:-1]
    np.testing.assert_allclose(linear.coef_, exact, rtol=1e-7, atol=1e-9 * np.abs(exact).max())


@pytest.mark.slow
@pytest.mark.xdist_group("default networks")
def test_intervals_of_default_networks_cover_what_they_say() -> None:
    """90 % intervals hold 87-93 % of the test rows of three sets together."""
    held = []
    for name in ("yacht", "concrete", "wine"):
        _, _, X_test, y_test = first_fold(name, "regression")
        low, high = default_network(name).predict_interval(X_test).T
        held.append((low <= y_test) & (y_test <= high))
    assert 0.87 <= np.mean(np.concatenate(held)) <= 0.93


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSIFICATION)
def test_networks_end_without_a_warning(name: str) -> None:
    X, y, X_test, y_test = first_fold(name, "classification")
    effort = "fast" if len(X) > 3000 else "default"
    fitted = NetworkClassifier(effort=effort).fit(X, y)  # a warning would be an error
    assert_ended_well(fitted)
    share = np.array([np.mean(y == c) for c in fitted.classes_])
    p = fitted.predict_proba(X_test)
    right = np.searchsorted(fitted.classes_, y_test)
    assert np.log(p[np.arange(len(p)), right]).mean() > np.log(share[right]).mean()
    accuracy, majority = fitted.score(X_test, y_test), np.mean(y_test == fitted.classes_[share.argmax()])
    # Blood donors and survivors are three quarters one class, and little tells the others apart.
    assert accuracy > majority if name not in ("blood", "haberman-survival") else accuracy > majority - 0.03


# --- separation, by a linear program ---


def is_separated(X: Any, y: Any) -> bool:
    """Is there a direction that lowers some row's log loss for ever and raises no row's (Konis 2007)?

    Over bounded W: the largest sum of (w_own - w_other)'x, each of them at least zero; it is positive only where
    classes are completely or quasi-completely separated.
    """
    from scipy import sparse
    from scipy.optimize import linprog

    Z = np.column_stack([(X - X.mean(0)) / np.where(X.std(0) > 0.0, X.std(0), 1.0), np.ones(len(X))])
    classes, code = np.unique(y, return_inverse=True)
    K, q = len(classes), Z.shape[1]
    blocks = []
    for c in range(K):
        rows = Z[code == c]
        for other in set(range(K)) - {c}:
            parts: list[Any] = [sparse.csr_matrix(rows.shape)] * K
            parts[c], parts[other] = sparse.csr_matrix(rows), sparse.csr_matrix(-rows)
            blocks.append(sparse.hstack(parts))
    G = sparse.vstack(blocks).tocsr()
    answer = linprog(
        -np.asarray(G.sum(axis=0)).ravel(),
        A_ub=-G,
        b_ub=np.zeros(G.shape[0]),
        bounds=[(-1, 1)] * (K * q),
        method="highs",
    )
    assert answer.status == 0, answer.message
    return bool(-answer.fun > 1e-6 * len(X))


@pytest.mark.slow
def test_the_linear_program_knows_separation() -> None:
    line = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    assert is_separated(line, [0, 0, 1, 1])
    assert is_separated(np.array([[-1.0], [0.0], [0.0], [1.0]]), [0, 0, 1, 1])  # quasi: they meet in one point
    assert not is_separated(line, [0, 1, 0, 1])
    assert is_separated(np.vstack([line, [[9.0]]]), [0, 1, 0, 1, 2])  # one class of three
    assert not is_separated(line[:2].repeat(2, axis=0), [0, 1, 0, 1])


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSIFICATION)
def test_perceptrons_warn_of_separated_classes_alone(name: str) -> None:
    X, y, X_test, y_test = first_fold(name, "classification")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        fitted = PerceptronClassifier().fit(X, y)
    unbounded = fitted.solution_.status is Status.UNBOUNDED
    assert present(fitted.separation_).kind in (("complete", "quasi-complete") if unbounded else ("none",))
    assert [w.category for w in told] == [ConvergenceWarning] * unbounded
    if unbounded:
        assert "separated" in str(told[0].message)
        assert "alpha" in str(told[0].message)
    else:
        assert_ended_well(fitted)
    assert np.isfinite(fitted.coef_).all()
    assert fitted.score(X_test, y_test) > np.mean(y_test == np.bincount(y).argmax()) - 0.03
    if name == ODD:
        assert np.abs(fitted.coef_ * X.std(0)).max() > 1e3
    if name not in LARGE:
        assert unbounded == is_separated(X, y)
