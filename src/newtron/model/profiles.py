"""Profile-likelihood intervals and tests of the coefficients of a fitted perceptron for two classes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from newtron.engine.base.errors import InputError
from newtron.engine.base.linalg import is_sparse, qr_triangle
from newtron.engine.base.types import Array, Matrix
from newtron.engine.maths.losses import loss_for
from newtron.engine.maths.network import Network
from newtron.engine.objective import TrainingObjective
from newtron.engine.rows import ArrayRows
from newtron.engine.solvers import Newton, minimize
from newtron.engine.solvers.state import relative_gradient
from newtron.inference.coefficients.covariance import NEGLIGIBLE_WEIGHT, independent
from newtron.inference.coefficients.firth import FirthObjective
from newtron.inference.coefficients.information import square_triangle
from newtron.inference.coefficients.profile import Profile, profile_intervals, profile_tests
from newtron.training.fitted import FittedModel

# A gradient beyond this, relative to a typical row's, is not that of the rows that a model was fitted on.
_ELSEWHERE = 1e-4


def profile_of(
    model: FittedModel, X: Matrix, y: Array, weight: Array | None, coverage: float, *, tests: bool
) -> Profile:
    """The profile of a fitted model on the rows of its fit; y: (n,) 0 and 1. Raises InputError for other models, and
    for other rows than those of the fit."""
    check_profile(model)
    W, b = model.coefficients
    fitted = (W[:, 0], b if model.settings.fit_intercept else np.zeros(0))
    return coefficient_profile(X, y, weight, fitted, model.settings.penalty, coverage, tests=tests)


def coefficient_profile(
    X: Matrix,
    y: Array,
    weight: Array | None,
    fitted: tuple[Array, Array],
    penalty: str,
    coverage: float,
    *,
    tests: bool = False,
) -> Profile:
    """Profile-likelihood intervals, and where asked for tests, of the coefficients of two classes, then of the
    intercept where there is one.

    X, y (0 and 1) and weight: those of the fit. fitted: coefficients (p,) and intercept (1,), or (0,) without one.
    """
    w, b = fitted
    has_intercept = bool(len(b))
    # A profile is an optimum for each of its points, with the full Hessian: it is asked of few columns.
    X = np.asarray(X.toarray() if is_sparse(X) else X, dtype=np.float64)
    # The means of the columns are taken out: the coefficients are the same, and their curvature is better told apart.
    center = X.mean(axis=0) if has_intercept else np.zeros(len(w))
    centered = X - center

    def of(X: Array, b: Array, which: list[int] | None) -> Profile:
        objective, total = _likelihood(X, y, weight, has_intercept, penalty)
        return _profiled(objective, total, np.append(w, b), coverage, which, tests)

    fewer = None if penalty == "firth" else _independent_part(centered, center, weight, fitted)
    if fewer is not None:
        part = coefficient_profile(X[:, fewer.columns], y, weight, fewer.fitted, penalty, coverage, tests=tests)
        places = [*fewer.columns, *([len(w)] if has_intercept else [])]
        size, known = len(w) + has_intercept, fewer.estimable
        found = Profile(np.full((size, 2), np.nan), np.full(size, np.nan), np.full(size, np.nan))
        for whole, of_part in zip(found, part, strict=True):
            whole[places] = np.where(known[places].reshape(-1, *[1] * (of_part.ndim - 1)), of_part, np.nan)
        return found
    if not (has_intercept and center.any()):
        return of(centered, b, None)
    found = of(centered, b + center @ w, list(range(len(w))))
    try:
        last = of(X, b, [len(w)])
    except InputError:  # columns so far from zero that nothing can be said of a row of zeros
        last = Profile(np.full((1, 2), np.nan), np.full(1, np.nan), np.full(1, np.nan))
    return Profile(*(np.concatenate(pair) for pair in zip(found, last, strict=True)))


class _Part(NamedTuple):
    """Columns that do not depend on each other, the coefficients and intercept of the same fit by these alone, and
    which of all coefficients, the intercept last, can be traded for no other (p,) or (p + 1,)."""

    columns: list[int]
    fitted: tuple[Array, Array]
    estimable: NDArray[np.bool_]


def _independent_part(
    centered: Array, center: Array, weight: Array | None, fitted: tuple[Array, Array]
) -> _Part | None:
    """Return what is left without the columns that follow from others; None where no column does.

    The likelihood depends on the columns by their span alone, so the profiles of what stays estimable are the same.
    """
    w, b = fitted
    p, intercept = len(w), bool(len(b))
    A = np.column_stack([centered, np.ones(len(centered))]) if intercept else centered
    R = square_triangle(qr_triangle(A if weight is None else A * np.sqrt(weight)[:, None]))
    norm = np.linalg.norm(R, axis=0)
    norm[norm == 0.0] = 1.0
    kept, dependent = independent(R / norm, p + intercept, intercept)
    if not dependent or (intercept and p in dependent):
        return None
    W = np.zeros((p + intercept, len(dependent)))  # each dependent column as a combination of the others
    for d, (column, factors) in enumerate(dependent.items()):
        for c, factor in factors.items():
            W[c, d] = factor * norm[column] / norm[c] if abs(factor) > NEGLIGIBLE_WEIGHT else 0.0
    gone = list(dependent)
    columns = [c for c in kept if c < p]
    less = (w + W[:p] @ w[gone])[columns]
    estimable = np.asarray((W == 0.0).all(axis=1))
    estimable[gone] = False
    if not intercept:
        return _Part(columns, (less, b), estimable)
    pieces = np.vstack([center[gone], W[p], -center[:, None] * W[:p]])
    estimable[p] = bool((np.abs(pieces.sum(axis=0)) <= 1e-9 * np.abs(pieces).sum(axis=0)).all())
    return _Part(columns, (less, b + center @ w + W[p] @ w[gone] - center[columns] @ less), estimable)


def _likelihood(
    X: Array, y: Array, weight: Array | None, intercept: bool, penalty: str
) -> tuple[FirthObjective | TrainingObjective, float]:
    """Return the objective that is profiled, divided by the total weight, and that weight."""
    Y = np.asarray(y, dtype=np.float64)[:, None]
    if penalty == "firth":
        firth = FirthObjective(X, Y, weight, intercept=intercept)
        return firth, firth.total_weight
    rows = ArrayRows(X, Y, None if weight is None else weight.astype(np.float64))
    network = Network((X.shape[1], 1), "identity", intercept)
    return TrainingObjective(network, loss_for("classification", "log_loss", 1), rows), rows.total_weight


def _profiled(
    objective: FirthObjective | TrainingObjective,
    total: float,
    params: Array,
    coverage: float,
    which: list[int] | None,
    tests: bool,
) -> Profile:
    gradient = objective.evaluate(params, 1).gradient
    if not relative_gradient(objective, gradient) <= _ELSEWHERE:
        raise InputError("X, y and sample_weight are not those of the fit: its coefficients are no optimum for them.")
    optimum = minimize(objective, params, Newton()).params
    intervals = profile_intervals(objective, optimum, total, coverage=coverage, which=which)
    statistics = profile_tests(objective, optimum, total, which) if tests else np.full(len(intervals), np.nan)
    return Profile(intervals, statistics, np.asarray(chdtrc(1.0, statistics)))


def check_profile(model: FittedModel) -> None:
    """Raises InputError where there is no likelihood to be profiled."""
    if len(model.data.known_classes) > 2:
        raise InputError("Profile intervals are those of two classes, and this model has more.")
    if model.random_intercepts is not None:
        raise InputError("Profile intervals are not made for models with random intercepts: take intervals='wald'.")
    if not model.solution.converged and not model.is_separated:
        raise InputError("Profile intervals start at the optimum, and this fit did not converge.")
    if model.loss.name != "log_loss" or model.settings.alpha != 0.0:
        raise InputError("Profile intervals need the log loss without alpha: its penalty is no part of the likelihood.")
    if model.settings.weights == "sampling":
        raise InputError("Sampling weights make no likelihood: there is nothing to profile.")
    if model.settings.class_weight is not None:
        raise InputError("Profile intervals do not know class_weight: fit with sample_weight instead.")
    if model.is_separated:
        raise InputError('The classes are separated, and the likelihood has no maximum: fit with penalty="firth".')
