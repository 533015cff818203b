"""Columns that depend on each other, exactly or nearly."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from newtron import PerceptronRegressor

# --- the shortest of many solutions ---


def wide(n: int = 10, p: int = 20) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random((n, p)), rng.random(n), rng.random((5, p))


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_the_shortest_solution_depends_on_no_unit_no_common_weight_and_no_repetition(form, standardize, intercept):
    X, y, new = wide()

    def predictions(units, rows=1, weight=None):
        model = PerceptronRegressor(fit_intercept=intercept, standardize=standardize)
        model.fit(form(np.vstack([X * units] * rows)), np.tile(y, rows), sample_weight=weight)
        assert "independent" in model.solution_.note
        return model.predict(form(new * units))

    plain = predictions(np.ones(20))
    for factor in (3.0, 4.0, 1000.0, 1e-9):
        units = np.where(np.arange(20) % 2 == 0, factor, 1.0)
        np.testing.assert_allclose(predictions(units), plain, rtol=1e-12)
    for weight in (2.0, 123.0, 1e-3):
        np.testing.assert_allclose(predictions(np.ones(20), weight=np.full(10, weight)), plain, rtol=1e-12)
    for rows in (2, 3):
        np.testing.assert_allclose(predictions(np.ones(20), rows), plain, rtol=1e-12)


def test_the_shortest_solution_is_shortest_in_columns_of_exactly_equal_norm():
    X, y, _ = wide()
    norm = np.linalg.norm(X, axis=0)
    shortest = np.linalg.lstsq(X / norm, y, rcond=None)[0] / norm
    np.testing.assert_allclose(PerceptronRegressor(fit_intercept=False).fit(X, y).coef_, shortest, rtol=1e-11)
