"""The certificate of a fitted model, and the same again from its data."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeAlias

import numpy as np

from newtron.engine.base.errors import InputError
from newtron.engine.base.threads import one_blas_thread, thread_count
from newtron.engine.base.types import Array, Matrix
from newtron.engine.objective import TrainingObjective
from newtron.engine.rows import Rows
from newtron.engine.solvers import Status
from newtron.inference.certificate.agreement import agrees
from newtron.inference.certificate.certificate import Certificate, certificate_of_members, certify, with_starts
from newtron.inference.certificate.endpoint import Endpoint, measure
from newtron.inference.certificate.firth_end import measure_firth
from newtron.inference.coefficients.firth import FirthObjective
from newtron.model.groups import told_intercepts
from newtron.model.targets import given_rows
from newtron.training.firth import firth_objective
from newtron.training.fitted import FittedModel, Member
from newtron.training.members import shares_of
from newtron.training.mixed import curvature_of, gradient_norm_of, measured_again
from newtron.training.separated import separation_of

# By how much a mixed model's deviance, and its curvature from differences of gradients, may differ when it is computed
# again from rows in another order.
_SAME_DEVIANCE, _SAME_CURVATURE = 1e-9, 1e-3

# Rows in the user's units from X, y and weights as a user gives them. Raises InputError for other than the model's.
RowsOf: TypeAlias = Callable[[Matrix, object, object], Rows]


def certificate_of(model: FittedModel, rows_of: RowsOf | None = None) -> Certificate:
    """The certificate from what was measured at the end of each member's training.

    rows_of: makes the rows of `Certificate.verify`; None takes arrays as they are.
    """
    found: dict[int, Certificate] = {}
    # Objectives compare only between starts of one shape under the same penalties.
    kinds: dict[tuple[tuple[int, ...], bytes], list[int]] = {}
    for number, member in enumerate(model.members):
        kinds.setdefault((member.network.widths, member.alpha.tobytes()), []).append(number)
    for numbers in kinds.values():
        own = [
            certify(m.solution, m.curvature, convex=_is_convex(model, m), separated=model.is_separated)
            for m in (model.members[i] for i in numbers)
        ]
        found |= dict(zip(numbers, with_starts(own), strict=True))
    used = [member.share > 0.0 for member in model.members]
    recompute = partial(_recomputed, model, rows_of or partial(given_rows, model))
    whole = certificate_of_members([found[i] for i in range(len(model.members))], used, recompute)
    return replace(whole, beside=told_intercepts(model))


def _is_convex(model: FittedModel, member: Member) -> bool:
    # Firth's penalty is not convex, nor is the likelihood of a mixed model: a minimum is a local one, as far as is
    # proved.
    plain = not model.settings.is_firth and model.mixed is None
    return member.network.is_linear and model.loss.convex and plain


def _recomputed(
    model: FittedModel, rows_of: RowsOf, X: Matrix, y: object, sample_weight: object
) -> tuple[Certificate, bool, Certificate]:
    """The certificate of the model as it is on these data, whether that is what was kept, and what was kept."""
    own = certificate_of(model)
    try:
        rows = rows_of(X, y, sample_weight)
    except InputError:  # classes that the model does not know: no objective at all
        return own, False, own
    if model.mixed is not None:
        return _mixed_again(model, rows, own)
    same = _is_consistent(model) and _separation_holds(model, rows)
    anew = []
    for member in model.members:
        now = _measured(model, member, rows)
        if now is None:
            return own, False, own
        same &= agrees(member.solution, member.curvature, now, float(model.settings.tol))
        solution = replace(member.solution, value=now.value, gradient_norm=now.relative_gradient)
        anew.append(replace(member, solution=solution, end=now.curvature))
    return certificate_of(replace(model, members=tuple(anew))), same, own


def _mixed_again(model: FittedModel, rows: Rows, own: Certificate) -> tuple[Certificate, bool, Certificate]:
    """The same for a mixed model, whose coefficients, intercepts and likelihood follow from its variances."""
    member, kept = model.members[0], model.mixed
    assert kept is not None
    try:
        with one_blas_thread():
            found = measured_again(model, rows)
    except InputError:  # rows that no mixed model is made of
        return own, False, own
    if found is None:
        return own, False, own
    now = curvature_of(found, member.params, member.alpha, kept.counted)
    value, norm = 0.5 * found.deviance / kept.counted, gradient_norm_of(found, kept.counted)
    solution = replace(member.solution, value=value, gradient_norm=norm)
    again = certificate_of(replace(model, members=(replace(member, solution=solution, end=now),)))
    then = member.curvature
    same = abs(found.deviance - kept.deviance) <= _SAME_DEVIANCE * max(1.0, abs(kept.deviance))
    same &= found.converged == member.solution.converged and now.fingerprint == then.fingerprint
    same &= all(
        math.isclose(a, b, rel_tol=_SAME_CURVATURE) or (math.isnan(a) and math.isnan(b))
        for a, b in ((now.smallest, then.smallest), (now.largest, then.largest))
    )
    return again, bool(same), own


def _measured(model: FittedModel, member: Member, rows: Rows) -> Endpoint | None:
    """A member's end on these data; None where they have no objective, with columns that depend on each other."""
    try:
        objective = objective_on(model, member, rows)
    except InputError:
        return None
    if isinstance(objective, FirthObjective):
        return measure_firth(objective, member.solution, member.network.n_outputs, thorough=True)
    return measure(objective, member.solution, thorough=True)


def objective_on(model: FittedModel, member: Member, rows: Rows) -> TrainingObjective | FirthObjective:
    """What a member was trained to make small, on rows in the user's units. Raises InputError where Firth's
    likelihood has columns that depend on each other."""
    scaled = rows.standardized(model.scaling_of(member)).on_threads(thread_count(model.settings.n_jobs))
    if model.settings.is_firth:
        return firth_objective(scaled, member.network.intercept)
    return TrainingObjective(member.network, model.loss, scaled).with_alpha(member.alpha)


def _separation_holds(model: FittedModel, rows: Rows) -> bool:
    """Are the classes separated, or not, as the model says?"""
    settings, found = model.settings, model.separation
    if model.is_regression or not model.is_perceptron or settings.is_firth or model.loss.name != "log_loss":
        return True
    if settings.alpha != 0.0:
        return found is None
    member = model.members[0]
    if found is None:
        # Nobody asked, because the training was interrupted.
        return member.end is None or member.solution.status is Status.INTERRUPTED
    if found.kind == "undecided":
        return True
    again = separation_of(member, rows, model.scaling)
    same = again.kind == found.kind and (not found.found or again.rows_apart == found.rows_apart)
    return same or again.kind == "undecided"


def _is_consistent(model: FittedModel) -> bool:
    """Do the shares and the penalties still follow from the settings?"""
    members, settings = model.members, model.settings
    shares: Array = np.array([member.share for member in members])
    same = np.array_equal(shares, shares_of(members, settings.combine))
    # Those of a mix follow from predictions for rows left out, or from evidence per row, which nobody keeps.
    same |= settings.is_mix and settings.combine == "average" and abs(float(shares.sum()) - 1.0) < 1e-9
    if not isinstance(settings.alpha, str):
        same &= all(np.array_equal(m.alpha, np.where(m.network.is_weight, settings.alpha, 0.0)) for m in members)
    return bool(same)
