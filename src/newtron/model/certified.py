"""The certificate of an estimator, and the same again from its data."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import InputError
from newtron.engine.base.threads import thread_count
from newtron.engine.objective import TrainingObjective
from newtron.engine.solvers import Status
from newtron.estimators.plain import validated
from newtron.inference.certificate.agreement import agrees
from newtron.inference.certificate.certificate import Certificate, certify, summarise, with_starts
from newtron.inference.certificate.endpoint import Endpoint, measure
from newtron.inference.certificate.firth_end import measure_firth
from newtron.inference.coefficients.firth import FirthObjective
from newtron.training.logistic import firth_objective, is_firth, separation_of
from newtron.training.members import Member, best_member, scaled_rows, shares_of

if TYPE_CHECKING:
    from newtron.estimators.base import NewtronEstimator

Array = NDArray[np.floating]


def certificate_of(estimator: NewtronEstimator) -> Certificate:
    """From what was measured at the end of each member's training."""
    members = estimator.members_
    separation = getattr(estimator, "separation_", None)
    separated = separation is not None and separation.found
    found: dict[int, Certificate] = {}
    # Objectives compare only between starts of one shape under one penalty.
    kinds: dict[Any, list[int]] = {}
    for number, member in enumerate(members):
        kinds.setdefault((member.hidden, float(member.alpha.max(initial=0.0))), []).append(number)
    for numbers in kinds.values():
        own = [
            certify(m.solution, m.curvature, convex=_is_convex(estimator, m), separated=separated)
            for m in (members[i] for i in numbers)
        ]
        found |= dict(zip(numbers, with_starts(own), strict=True))
    used = [member.share > 0.0 for member in members]
    return summarise([found[i] for i in range(len(members))], used, partial(_recomputed, estimator))


def _is_convex(estimator: NewtronEstimator, member: Member) -> bool:
    # Firth's penalty is not convex: a minimum under it is a local one, as far as is proved.
    return member.network.is_linear and estimator.loss_.convex and not is_firth(estimator)


def _recomputed(estimator: Any, X: Any, y: Any, sample_weight: Any) -> tuple[Certificate, bool, Certificate]:
    """The certificate of the model as it is on these data, whether that is what was kept, and what was kept."""
    own = certificate_of(estimator)
    data = training_data(estimator, X, y, sample_weight)
    if data is None:  # classes that the model does not know: no objective at all
        return own, False, own
    same = _is_consistent(estimator) and _separation_holds(estimator, *data)
    anew = []
    for member in estimator.members_:
        now = _measured(estimator, member, *data)
        if now is None:
            return own, False, own
        same &= agrees(member.solution, member.curvature, now, float(estimator.tol))
        solution = replace(member.solution, value=now.value, gradient_norm=now.relative_gradient)
        anew.append(replace(member, solution=solution, end=now.curvature))
    return certificate_of(_with(estimator, anew)), same, own


def _measured(estimator: Any, member: Member, X: Any, Y: Array, weight: Array | None) -> Endpoint | None:
    """A member's end on these data; None where they have no objective, with columns that depend on each other."""
    try:
        objective = objective_of(estimator, member, X, Y, weight)
    except InputError:
        return None
    if isinstance(objective, FirthObjective):
        return measure_firth(objective, member.solution, member.network.n_outputs, thorough=True)
    return measure(objective, member.solution, thorough=True)


def objective_of(
    estimator: Any, member: Member, X: Any, Y: Array, weight: Array | None
) -> TrainingObjective | FirthObjective:
    """What a member was trained to make small, on data as `training_data` gives them. Raises InputError where Firth's
    likelihood has columns that depend on each other."""
    if is_firth(estimator):
        return firth_objective(X, Y, weight, estimator.scaling_, member.network.intercept)
    rows = scaled_rows(X, Y, weight, estimator.scaling_, thread_count(estimator.n_jobs))
    return TrainingObjective(member.network, estimator.loss_, rows).with_alpha(member.alpha)


def _separation_holds(estimator: Any, X: Any, Y: Array, weight: Array | None) -> bool:
    """Are the classes separated, or not, as the model says?"""
    if not hasattr(estimator, "separation_") or is_firth(estimator) or estimator.loss_.name != "log_loss":
        return True
    kept, member = estimator.separation_, estimator.members_[0]
    if estimator.alpha != 0.0:
        return kept is None
    if kept is None:
        # Nobody asked, because the training was interrupted, or an older newtron trained it.
        return member.end is None or member.solution.status is Status.INTERRUPTED
    if kept.kind == "undecided":
        return True
    again = separation_of(member, X, Y, weight, estimator.scaling_)
    same = again.kind == kept.kind and (not kept.found or again.rows_apart == kept.rows_apart)
    return same or again.kind == "undecided"


def _with(estimator: Any, members: list[Member]) -> Any:
    """The same estimator with other members; a copy as shallow as can be."""
    again = copy.copy(estimator)
    again.members_ = members
    return again


def training_data(estimator: Any, X: Any, y: Any, sample_weight: Any) -> tuple[Any, Array, Array | None] | None:
    """X, Y and weights as `fit` makes them, with the scaling and classes that the model has."""
    regression = estimator._task == "regression"
    kwargs = {"multi_output": True, "y_numeric": True} if regression else {}
    X, y = validated(estimator, X, y, reset=False, **kwargs)
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
    if not isinstance(estimator.alpha, str):
        same &= all(np.array_equal(m.alpha, np.where(m.network.is_weight, estimator.alpha, 0.0)) for m in members)
    same &= estimator.solution_ is members[best_member(members)].solution
    if hasattr(estimator, "coef_"):
        again = _with(estimator, members)
        again._fitted()
        same &= np.array_equal(again.coef_, estimator.coef_) and np.array_equal(again.intercept_, estimator.intercept_)
    return bool(same)
