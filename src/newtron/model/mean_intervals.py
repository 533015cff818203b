"""Intervals of what a perceptron predicts: of the mean of a target, and of the probability of a class.

They say how well the rows determine the mean, not how far a target is from it. Those of counts and of probabilities
are made for the raw prediction and then transformed, so that they stay above 0, and between 0 and 1; of more than two
classes by the log odds of each class against all others (delta method).
"""

from __future__ import annotations

import numpy as np

from newtron.engine.base.errors import InputError
from newtron.engine.base.linalg import is_sparse
from newtron.engine.base.threads import one_blas_thread
from newtron.engine.base.types import Array, Matrix
from newtron.engine.maths.losses import sigmoid, softmax
from newtron.engine.maths.scaling import without_columns, without_offset
from newtron.inference.coefficients.covariance import residual_covariance
from newtron.inference.coefficients.summary import Summary
from newtron.model.predicting import averaged, known
from newtron.model.summary import summary_of
from newtron.training.fitted import FittedModel
from newtron.training.predictive import posteriors_of

# Rows of one block.
_ROWS = 8192


def mean_intervals(model: FittedModel, X: Matrix, coverage: float, summary: Summary | None) -> Array:
    """(n, k, 2) the ends of an interval of each mean, or of the probability of each class (n, classes, 2). summary: of
    the same model, for its covariance; None for what the fit kept."""
    if summary is None and model.settings.weights == "sampling":
        summary = summary_of(model)
    blocks = (X[start : start + _ROWS] for start in range(0, X.shape[0], _ROWS))
    with one_blas_thread(), np.errstate(all="ignore"):
        found = [_of_block(model, block, coverage, summary) for block in blocks]
    return np.concatenate(found) if found else np.empty((0, model.n_outputs, 2))


def _of_block(model: FittedModel, X: Matrix, coverage: float, summary: Summary | None) -> Array:
    z = averaged(model, X, lambda raw: raw).astype(np.float64)
    if summary is None:
        V, df = _of_the_fit(model, X)
    else:
        V, df = _of_summary(model, X, summary), summary.degrees_of_freedom
    if model.random_intercepts is not None:  # the mean is that of the row's groups
        unit = model.scaling.y_scale if model.loss.quadratic else 1.0
        spread = model.random_intercepts.variances_at(X) * np.square(unit)
        V, df = V + spread[:, :, None] * np.eye(spread.shape[1]), float("inf")
    reach = _reach(df, coverage)
    if model.is_regression:
        z = z * model.scaling.y_scale + model.scaling.y_center if model.loss.has_identity_link else z
        ends = _ends(z, np.sqrt(np.einsum("nkk->nk", V)), reach)
        if model.loss.has_identity_link:
            return ends
        offset = model.scaling.offset
        exposure = np.ones(len(z)) if offset is None else without_offset(X, offset)[1]
        return np.asarray(model.loss.inverse_link(ends) * exposure[:, None, None])
    if z.shape[1] == 1:
        ends = sigmoid(_ends(z, np.sqrt(V[:, 0]), reach))[:, 0]
        return np.stack([1.0 - ends[:, ::-1], ends], axis=1)
    p = softmax(z)
    # The derivative of log(p_c / (1 - p_c)) by z_j is (δ_cj - p_j) / (1 - p_c).
    others = 1.0 - p
    slope = (np.eye(z.shape[1]) - p[:, None, :]) / others[:, :, None]
    sd = np.sqrt(np.einsum("nci,nij,ncj->nc", slope, V, slope))
    return sigmoid(_ends(np.log(p / others), sd, reach))


def _ends(middle: Array, sd: Array, reach: float) -> Array:
    return np.stack([middle - reach * sd, middle + reach * sd], axis=2)


def _reach(df: float, coverage: float) -> float:
    from scipy.special import ndtri, stdtrit

    tail = 0.5 * (1.0 - coverage)
    if np.isinf(df):
        return -float(ndtri(tail))
    return -float(stdtrit(df, tail)) if df > 0.0 else float("nan")


def _of_the_fit(model: FittedModel, X: Matrix) -> tuple[Array, float]:
    """(n, k, k) the covariance of the raw predictions, of a squared error in the user's units, and the degrees of
    freedom."""
    (posterior,) = known(posteriors_of(model.sharing, model.loss), "uncertainty of its parameters")
    block = model.scaling.inputs(X)
    V = np.concatenate([V for _, _, V in posterior.predict(block)])
    if not model.loss.quadratic:
        return V, float("inf")
    kept = model.members[0].information
    assert kept is not None  # a posterior is made from it
    effective = posterior.effective / model.n_outputs
    spread = np.atleast_2d(residual_covariance(kept, effective)) * np.outer(*[model.scaling.y_scale] * 2)
    return V * spread, kept.counted - effective


def _of_summary(model: FittedModel, X: Matrix, summary: Summary) -> Array:
    """(n, k, k) the covariance of the raw predictions by a summary's covariance of the coefficients."""
    A, k, q = _with_intercept(model, X), len(summary.outputs), len(summary.terms)
    if A.shape[1] != q or (model.is_regression and k != model.n_outputs):
        raise InputError("The summary is of another model: give that of this one.")
    covariance = summary.combinations
    V: Array = np.einsum("ni,aibj,nj->nab", A, covariance.solution.reshape(k, q, k, q), A)
    for output in range(k):
        place = np.zeros((len(A), k * q))
        place[:, output * q : (output + 1) * q] = A
        V[covariance.unknown(place), output] = np.nan
    if model.is_regression or model.n_outputs == 1:
        return V
    # Classes against the baseline, which is the one that the summary does not name.
    named = [str(label) for label in model.data.known_classes.tolist()]
    places = [named.index(output) for output in summary.outputs]
    whole = np.zeros((len(A), len(named), len(named)))
    whole[np.ix_(range(len(A)), places, places)] = V
    return whole


def _with_intercept(model: FittedModel, X: Matrix) -> Array:
    X = without_columns(X, model.scaling.no_inputs) if model.scaling.no_inputs else X
    dense = np.asarray(X.toarray() if is_sparse(X) else X, dtype=np.float64)
    return np.column_stack([np.ones(len(dense)), dense]) if model.members[0].network.intercept else dense
