"""From a fitted estimator and some rows to what `newtron.explain` explains: scaled, encoded and named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.checks import check_choice, is_count
from newtron.engine.base.errors import InputError
from newtron.engine.base.linalg import is_sparse
from newtron.engine.base.words import column_names, count, joined, target_names
from newtron.engine.maths.scaling import Scaling
from newtron.engine.solvers import Solver
from newtron.explain import NOTATIONS, Answer, Derivation, Subject, derive
from newtron.training.logistic import is_firth
from newtron.training.members import Member, best_member

if TYPE_CHECKING:
    from newtron.estimators.base import NewtronEstimator

Array = NDArray[np.floating]


def explain(
    estimator: NewtronEstimator,
    x: Any,
    y: Any,
    *,
    notation: str = "lecture",
    member: int | None = None,
    solver: Solver | None = None,
    names: tuple[str, ...] | None = None,
) -> Derivation:
    """The derivation for the rows x (p,) or (m, p) with targets y. names: of the columns; x₁, x₂ by default."""
    check_choice("notation", notation, NOTATIONS)
    X = np.asarray(dense(estimator._for_prediction(as_rows(x))), dtype=np.float64)
    m, scaling, k = X.shape[0], estimator.scaling_, estimator.members_[0].network.n_outputs
    Y = targets_of(estimator, y, m, k)
    place = member_at(estimator, member)
    chosen = estimator.members_[place]
    if solver is not None and not isinstance(solver, Solver):
        raise InputError(f"solver={solver!r} must be a solver object such as Newton(), or None for the model's own.")
    regression = estimator._task == "regression"
    subject = Subject(
        network=chosen.network,
        loss=estimator.loss_,
        params=np.asarray(chosen.params, dtype=np.float64),
        X=np.asarray(scaling.inputs(X), dtype=np.float64),
        Y=scaling.targets(Y) if regression else Y,
        as_given=X,
        targets_given=Y,
        scaling=scaling,
        inputs=fed_names(scaling, input_names(estimator) if names is None else names),
        outputs=output_names(estimator, k),
        solver=chosen.solution.solver if solver is None else solver,
        alpha=np.asarray(chosen.alpha, dtype=np.float64),
        why_alpha=_why_alpha(estimator, chosen),
        answer=_answer(estimator, X[:1], place),
        remarks=remarks(estimator),
        target=joined(known) if (known := getattr(estimator, "_targets", ())) else "",
    )
    return derive(subject, notation)


def as_rows(x: Any) -> Any:
    """One row as a matrix of one row; a pandas row keeps its names."""
    if hasattr(x, "to_frame") and getattr(x, "ndim", 2) == 1:
        return x.to_frame().T.infer_objects()
    if not hasattr(x, "shape"):
        x = np.asarray(x)
    return x.reshape(1, -1) if len(x.shape) == 1 else x


def dense(X: Any) -> Any:
    return X.toarray() if is_sparse(X) else X


def targets_of(estimator: Any, y: Any, m: int, k: int) -> Array:
    """(m, k) numbers in the user's units, or 0 and 1 for classes."""
    given = np.asarray(y)
    if given.ndim == 0:
        given = given[None]
    if estimator._task == "regression":
        try:
            Y: Array = given.astype(np.float64).reshape(m, k)
        except (TypeError, ValueError):
            what = "a number" if k == 1 else f"{k} numbers"
            rows = "one row" if m == 1 else f"each of {m} rows"
            raise InputError(f"y has shape {np.shape(y)}: give {what} for {rows} of x.") from None
        if not np.isfinite(Y).all():
            raise InputError("y has a number that is missing or infinite: give the target of every row of x.")
        return Y
    if given.size != m:
        raise InputError(
            f"y has {count(given.size, 'class', 'classes')} for {count(m, 'row')} of x: give one class for each row."
        )
    classes = estimator.classes_.tolist()
    Y = np.zeros((m, k))
    for i, value in enumerate(given.ravel().tolist()):
        if value not in classes:
            known = ", ".join(map(repr, classes[:10])) + (", ..." if len(classes) > 10 else "")
            raise InputError(f"y={value!r} is none of the classes that the model knows: give one of {known}.")
        code = classes.index(value)
        if k == 1:
            Y[i, 0] = code
        else:
            Y[i, code] = 1.0
    return Y


def member_at(estimator: Any, member: int | None) -> int:
    """Position of the member that is explained: the best, or the one asked for, counted from 1."""
    members = estimator.members_
    if member is None:
        used = [number for number, one in enumerate(members) if one.share]
        return used[best_member([members[number] for number in used])]
    if not is_count(member) or member > len(members):
        raise InputError(f"member={member!r} must be a whole number from 1 to {len(members)}, or None for the best.")
    return int(member) - 1


def _answer(estimator: Any, X: Array, place: int) -> Answer:
    if estimator._task == "regression":
        averaged = np.atleast_1d(np.asarray(estimator._averaged(X, estimator.scaling_.outputs))[0])
    else:
        averaged = np.asarray(estimator._probabilities(X))[0]
    members, inputs = estimator.members_, estimator.scaling_.inputs(X)
    raw = [member.network.output(member.params, inputs) for member in members]
    finish = estimator.scaling_.outputs if estimator._task == "regression" else estimator.loss_.inverse_link
    return Answer(
        member=place + 1,
        shares=np.array([member.share for member in members]),
        shapes=tuple(tuple(member.network.widths) for member in members),
        each=np.concatenate([finish(z) for z in raw]),
        averaged=averaged,
        temperature=float(getattr(estimator, "temperature_", 1.0)),
    )


def fed_names(scaling: Scaling, names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of all inputs of a network: the p columns ("" where they have none), then the asinh features."""
    if scaling.asinh is None:
        return names
    called = column_names(names, len(names))
    return (*names, *(f"asinh({called[j]})" for j in scaling.asinh.columns.tolist()))


def _why_alpha(estimator: Any, member: Member) -> str:
    """How the penalty came about."""
    rule = estimator.alpha
    if not isinstance(rule, str):
        return ""
    if not np.isfinite(member.effective_parameters):
        return f"a fixed one, since the network is too large for alpha={rule!r}"
    by = "the evidence" if rule == "evidence" else "the leave-one-out loss"
    return f"chosen from the data by {by} (alpha={rule!r})"


def input_names(estimator: Any) -> tuple[str, ...]:
    """Empty where the columns have none: a derivation then has its symbols for them."""
    given: tuple[str, ...] | None = estimator._names()
    return ("",) * estimator.n_features_in_ if given is None else given


def output_names(estimator: Any, k: int) -> tuple[str, ...]:
    if hasattr(estimator, "classes_"):
        return tuple(str(c).lower() if isinstance(c, bool) else str(c) for c in estimator.classes_.tolist())
    return ("",) if k == 1 else target_names(getattr(estimator, "_targets", ()), k)


def remarks(estimator: Any) -> tuple[str, ...]:
    found = []
    if getattr(estimator, "class_weight", None) is not None:
        found.append("Training weighs rows by their class (class_weight); the rows explained here count 1 each.")
    if is_firth(estimator):
        found.append(
            "Training maximises Firth's likelihood, which adds half the logarithm of the determinant of all training "
            "rows' information; that is no part of the loss of a row and is left out here."
        )
    return tuple(found)
