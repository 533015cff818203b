"""From a fitted estimator and some rows to what `newtron.explain` explains: scaled, encoded and named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from newtron.errors import InputError
from newtron.estimators.training import best_member
from newtron.explain import NOTATIONS, Answer, Derivation, Scales, Subject, derive
from newtron.linalg import is_sparse
from newtron.settings import check_choice, is_count
from newtron.solvers import Solver

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
    X = np.asarray(_dense(estimator._for_prediction(_as_rows(x))), dtype=np.float64)
    m, scaling, k = X.shape[0], estimator.scaling_, estimator.members_[0].network.n_outputs
    Y = _targets(estimator, y, m, k)
    place = _member(estimator, member)
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
        scales=Scales(scaling.x_center, scaling.x_scale, scaling.y_center, scaling.y_scale),
        inputs=_input_names(estimator) if names is None else names,
        outputs=_output_names(estimator, k),
        solver=chosen.solution.solver if solver is None else solver,
        alpha=float(estimator.alpha),
        answer=_answer(estimator, X[:1], place),
        remarks=_remarks(estimator),
    )
    return derive(subject, notation)


def _as_rows(x: Any) -> Any:
    """One row as a matrix of one row; a pandas row keeps its names."""
    if hasattr(x, "to_frame") and getattr(x, "ndim", 2) == 1:
        return x.to_frame().T.infer_objects()
    if not hasattr(x, "shape"):
        x = np.asarray(x)
    return x.reshape(1, -1) if len(x.shape) == 1 else x


def _dense(X: Any) -> Any:
    return X.toarray() if is_sparse(X) else X


def _targets(estimator: Any, y: Any, m: int, k: int) -> Array:
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
        raise InputError(f"y has {given.size} classes for {m} rows of x: give one class for each row.")
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


def _member(estimator: Any, member: int | None) -> int:
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
    used = sum(member.share > 0.0 for member in estimator.members_)
    return Answer(place + 1, used, estimator.members_[place].share, averaged, _temperature(estimator))


def _temperature(estimator: Any) -> float:
    return float(getattr(estimator, "temperature_", 1.0))


def _input_names(estimator: Any) -> tuple[str, ...]:
    given = getattr(estimator, "feature_names_in_", None)
    return ("",) * estimator.n_features_in_ if given is None else tuple(map(str, given))


def _output_names(estimator: Any, k: int) -> tuple[str, ...]:
    if hasattr(estimator, "classes_"):
        return tuple(str(c).lower() if isinstance(c, bool) else str(c) for c in estimator.classes_.tolist())
    return ("",) if k == 1 else tuple(f"target {c + 1}" for c in range(k))


def _remarks(estimator: Any) -> tuple[str, ...]:
    if getattr(estimator, "class_weight", None) is not None:
        return ("Training weighs rows by their class (class_weight); the rows explained here count 1 each.",)
    return ()
