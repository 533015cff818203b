"""The certificate of an estimator, and the same again from its data."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import validate_data

from newtron.errors import InputError
from newtron.estimators.training import Member, best_member, scaled_rows, shares_of
from newtron.inference.agreement import agrees
from newtron.inference.certificate import Certificate, certify, summarise, with_starts
from newtron.inference.endpoint import measure
from newtron.inference.firth import FirthObjective
from newtron.objective import TrainingObjective
from newtron.parallel import one_blas_thread, thread_count
from newtron.solvers import Solution, Status
from newtron.solvers.base import relative_gradient

if TYPE_CHECKING:
    from newtron.estimators.base import NewtronEstimator

Array = NDArray[np.floating]


def certificate_of(estimator: NewtronEstimator) -> Certificate:
    """From what was measured at the end of each member's training."""
    members = estimator.members_

    found: dict[int, Certificate] = {}
    # Objectives compare only between starts of one shape under one penalty.
    kinds = [(member.hidden, float(member.alpha.max(initial=0.0))) for member in members]
    for kind in dict.fromkeys(kinds):
        numbers = [i for i, other in enumerate(kinds) if other == kind]
        own = [certify(m.solution, m.curvature, convex=_is_convex(estimator, m)) for m in (members[i] for i in numbers)]
        found |= dict(zip(numbers, with_starts(own), strict=True))
    used = [member.share > 0.0 for member in members]
    return summarise([found[i] for i in range(len(members))], used, partial(_recomputed, estimator))


def _is_convex(estimator: NewtronEstimator, member: Member) -> bool:
    # Firth's penalty, the log determinant of the information, is not known to be convex.
    return member.network.is_linear and estimator.loss_.convex and not _is_firth(estimator)


def _is_firth(estimator: Any) -> bool:
    return getattr(estimator, "penalty", "l2") == "firth"


def _recomputed(estimator: Any, X: Any, y: Any, sample_weight: Any) -> tuple[Certificate, bool, Certificate]:
    """The certificate of the model as it is on these data, whether that is what was kept, and what was kept."""
    if _is_firth(estimator):
        raise InputError(
            'verify does not know Firth\'s likelihood (penalty="firth"): profile_intervals, with the rows of the fit, '
            "checks that its coefficients are an optimum for them."
        )
    own = certificate_of(estimator)
    data = _training_data(estimator, X, y, sample_weight)
    if data is None:  # classes that the model does not know: no objective at all
        return own, False, own
    X, Y, weight = data
    rows = scaled_rows(X, Y, weight, estimator.scaling_, thread_count(estimator.n_jobs))
    same = _is_consistent(estimator)
    anew = []
    for member in estimator.members_:
        if _is_firth(estimator):
            solution, agreed = _firth_again(estimator, member, X, Y, weight)
            same &= agreed
            anew.append(replace(member, solution=solution))
            continue
        objective = TrainingObjective(member.network, estimator.loss_, rows).with_alpha(member.alpha)
        now = measure(objective, member.solution, thorough=True)
        same &= agrees(member.solution, member.curvature, now, float(estimator.tol))
        solution = replace(member.solution, value=now.value, gradient_norm=now.relative_gradient)
        anew.append(replace(member, solution=solution, end=now.curvature))
    return certificate_of(_with(estimator, anew)), same, own


def _firth_again(estimator: Any, member: Member, X: Any, Y: Array, weight: Array | None) -> tuple[Solution, bool]:
    """Value and gradient of Firth's likelihood at the member's parameters, and whether they are what was kept."""
    k, kept = member.network.n_outputs, member.solution
    W = member.params.reshape(-1, k)
    params = W.ravel() if k == 1 else (W[:, :-1] - W[:, -1:]).ravel()  # the last class is the reference
    stated = kept.gradient if k == 1 else kept.gradient.reshape(-1, k)[:, :-1].ravel()
    try:
        objective = FirthObjective(
            estimator.scaling_.inputs(X), Y if k == 1 else Y[:, :-1], weight, intercept=estimator.fit_intercept
        )
    except InputError:  # of other data, whose columns depend on each other
        return kept, False
    with one_blas_thread():
        found = objective.evaluate(params, 1)
        unit = 1.0 / objective.scale
        condition = float(np.linalg.cond(objective.information(params) * unit * unit[:, None]))
    assert found.gradient is not None
    norm = relative_gradient(objective, found.gradient)
    # Sums over the rows lose their number times the roundoff, and the inverse of the information its condition.
    slack = 4.0 * (len(Y) + len(params)) * float(np.finfo(np.float64).eps) * condition
    same = abs(found.value - kept.value) <= slack * (1.0 + abs(found.value))
    same &= relative_gradient(objective, found.gradient - stated) <= slack
    same &= kept.status is not Status.CONVERGED or norm <= float(estimator.tol) + slack
    return replace(kept, value=found.value, gradient_norm=norm), bool(same)


def _with(estimator: Any, members: list[Member]) -> Any:
    """The same estimator with other members; a copy as shallow as can be."""
    again = copy.copy(estimator)
    again.members_ = members
    return again


def _training_data(estimator: Any, X: Any, y: Any, sample_weight: Any) -> tuple[Any, Array, Array | None] | None:
    """X, Y and weights as `fit` makes them, with the scaling and classes that the model has."""
    regression = estimator._task == "regression"
    kwargs = {"multi_output": True, "y_numeric": True} if regression else {}
    sparse = "csr" if estimator._sparse else False
    X, y = validate_data(estimator, X, y, accept_sparse=sparse, dtype=[np.float64, np.float32], reset=False, **kwargs)
    weight = estimator._weights(X, sample_weight)
    if regression:
        Y = np.asarray(y, dtype=np.float64).reshape(len(y), -1)
        if Y.shape[1] != estimator.members_[0].network.n_outputs:
            return None
        return X, estimator.scaling_.targets(Y).astype(X.dtype, copy=False), weight
    known, codes = np.unique(np.asarray(y), return_inverse=True)
    if not np.array_equal(known, estimator.classes_):
        return None
    Y, weight = estimator._coded(codes, y, weight, X.dtype)
    return X, Y, weight


def _is_mixed(estimator: Any) -> bool:
    return isinstance(getattr(estimator, "hidden", ()), str) and estimator.combine == "average"


def _is_consistent(estimator: Any) -> bool:
    """Do the attributes that follow from the members still follow from them?"""
    members = estimator.members_
    kept = [member.share for member in members]
    shares = shares_of(members, getattr(estimator, "combine", "average"))
    # Those of a mix follow from predictions for rows left out, or from evidence per row, which nobody keeps.
    same = kept == shares.tolist() or (_is_mixed(estimator) and abs(sum(kept) - 1.0) < 1e-9)
    same &= estimator.solution_ is members[best_member(members)].solution
    if hasattr(estimator, "coef_"):
        again = _with(estimator, members)
        again._fitted()
        same &= np.array_equal(again.coef_, estimator.coef_) and np.array_equal(again.intercept_, estimator.intercept_)
    return bool(same)
