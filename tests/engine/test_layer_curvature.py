"""The curvature of layers against the Gauss-Newton matrix, and what it is worth to L-BFGS."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from newtron.engine import LBFGS, TrainingObjective, minimize
from newtron.engine.base.types import Array
from newtron.engine.maths import layer_curvature
from newtron.engine.maths.losses import loss_for
from newtron.engine.maths.network import Network
from newtron.engine.rows import ArrayRows

_NETWORK = Network((4, 3, 2, 3))


def _objective(n: int, weight: Array | None = None, block_rows: int | None = None) -> TrainingObjective:
    rng = np.random.default_rng(n)
    X, Y = rng.normal(size=(n, 4)), np.eye(3)[rng.integers(3, size=n)]
    loss = loss_for("classification", None, 3)
    alpha = np.full(_NETWORK.n_params, 0.1)
    return TrainingObjective(_NETWORK, loss, ArrayRows(X, Y, weight), alpha, block_rows=block_rows)


def _params() -> Array:
    return _NETWORK.start(np.random.default_rng(0), np.zeros(3))


@pytest.mark.parametrize("widest", [10, 1])
def test_it_is_exact_for_one_row(widest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_curvature, "_WIDEST", widest)
    objective, b = _objective(1), np.random.default_rng(1).normal(size=_NETWORK.n_params)
    factor = objective.layer_curvature(_params())
    assert factor is not None
    found = factor.solve(b)
    hessian = objective.evaluate(_params(), 2, gauss_newton=True).hessian - 0.1 * np.eye(_NETWORK.n_params)
    for span in _NETWORK.spans:
        block = hessian[span, span]
        if widest == 1:
            block = np.diag(np.diagonal(block))
        added = 0.1 + layer_curvature._DAMPING * float(np.diagonal(block).mean())
        expected = np.linalg.solve(block + added * np.eye(len(block)), b[span])
        np.testing.assert_allclose(found[span], expected, rtol=1e-9)


def test_rows_add_up() -> None:
    weight = np.repeat([1.0, 2.0, 3.0], 100)
    rows = _objective(300, weight)
    X, Y, _, _ = rows.rows.whole()
    times = np.repeat(np.arange(300), weight.astype(int))
    b, params = np.random.default_rng(1).normal(size=_NETWORK.n_params), _params()

    def solved(rows: ArrayRows, block_rows: int | None = None) -> Array:
        objective = TrainingObjective(_NETWORK, loss_for("classification", None, 3), rows, 1.0, block_rows=block_rows)
        factor = objective.layer_curvature(params)
        assert factor is not None
        return factor.solve(b)

    expected = solved(ArrayRows(X[times], Y[times]))
    np.testing.assert_allclose(solved(ArrayRows(X, Y, weight)), expected, rtol=1e-9)
    np.testing.assert_allclose(solved(ArrayRows(X, Y, weight), 128), expected, rtol=1e-9)
    np.testing.assert_allclose(solved(ArrayRows(csr_matrix(X), Y, weight)), expected, rtol=1e-9)


def test_lbfgs_needs_fewer_steps_by_it() -> None:
    """Columns that depend closely on each other and are not centred: 123 steps where plain L-BFGS takes 230."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))[:, [0, 0, 1, 1, 2, 2]] + 0.05 * rng.normal(size=(200, 6))
    X += 3.0
    Y = np.eye(3)[(X[:, 0] + np.square(X[:, 2] - 3.0) > 4.0).astype(int) + (X[:, 4] > 3.5)]
    network = Network((6, 5, 3))
    objective = TrainingObjective(network, loss_for("classification", None, 3), ArrayRows(X, Y), 1.0)
    start = network.start(rng, np.zeros(3))
    plain, found = (minimize(objective, start, LBFGS(sample_below=below), tol=1e-7) for below in (0, 1000))
    assert plain.converged
    assert found.converged
    assert found.n_iter < 0.65 * plain.n_iter
    assert found.value <= plain.value * 1.01
