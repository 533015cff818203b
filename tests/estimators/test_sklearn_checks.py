"""scikit-learn's own checks of an estimator: every one of them, with no exception."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from newtron import NetworkClassifier, NetworkRegressor, PerceptronClassifier, PerceptronRegressor

# The checks' toy classes are separated, which an unpenalised perceptron rightly reports as no convergence.
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.slow
@parametrize_with_checks(  # type: ignore[untyped-decorator]  # scikit-learn has no types
    [
        PerceptronRegressor(),
        PerceptronClassifier(),
        PerceptronClassifier(alpha=1.0, solver="lbfgs"),
        PerceptronRegressor(alpha=0.5, standardize=True, solver="newton-cg"),
        NetworkRegressor(n_starts=1),  # the default in half the time
        # Of the classifiers one has the default shapes and one the default penalty, which is chosen by many fits. The
        # first is compared to seven digits, which is closer than the ends of the default tolerance are.
        NetworkClassifier(alpha=0.1, n_starts=1, tol=1e-12),
        NetworkClassifier(hidden=(2,), activation="sigmoid", n_starts=1),
    ]
)
def test_scikit_learn_check(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)
