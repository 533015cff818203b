"""`play`: a fitted model and rows as the page takes them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array
from newtron.engine.base.words import column_names
from newtron.engine.solvers import GradientDescent, LevenbergMarquardt, Newton
from newtron.model.explanation import as_rows, dense, member_at, output_names, remarks, targets_of
from newtron.play.datasets import MOST_CLASSES, MOST_INPUTS, MOST_ROWS, Data
from newtron.play.notebook import widget
from newtron.play.problem import MOST_LAYERS, MOST_UNITS, SOLVERS
from newtron.play.session import ROWS, Session
from newtron.training.members import Member

_DESCENT = {"solver": GradientDescent.name, "rate": 0.5, "momentum": 0.0, "steps": 40}


def play(estimator: Any, X: Any, y: Any) -> Any:
    """The widget."""
    check_is_fitted(estimator)
    if (X is None) != (y is None):
        raise InputError("play needs both X and y, or neither: the loss is measured against the targets of the rows.")
    return widget(session_of(estimator, X, y))


def session_of(estimator: Any, X: Any, y: Any) -> Session:
    """The page's session: it begins with the model's settings, and with these rows where they are given."""
    session, member = Session(), estimator.members_[member_at(estimator, None)]
    setup: dict[str, Any] = {"model": _model(estimator, member), "methods": [_descent(member), _own(member)]}
    if X is None:
        session.begin(setup | {"data": {"source": _example(estimator, member)}})
        session.say(
            "A fit keeps no rows, so this is an example with the model's settings: model.play(X, y) shows the model on "
            "rows of yours."
        )
        return session
    rows, all_inputs = _rows(estimator, member, X, y)
    shown = member.network.widths[1:-1] == tuple(setup["model"]["hidden"])
    same = all_inputs and shown and estimator.scaling_.asinh is None
    params = np.asarray(member.params, dtype=np.float64).tolist() if same else None
    session.begin(setup | {"data": {"source": ROWS}}, rows, params)
    session.say(" ".join(_notes(estimator, member, same)))
    return session


def _model(estimator: Any, member: Member) -> dict[str, Any]:
    """The settings of the best member, as far as the page can draw them."""
    network, scaling = member.network, estimator.scaling_
    return {
        "hidden": [min(width, MOST_UNITS) for width in network.widths[1:-1]][:MOST_LAYERS],
        "activation": "tanh" if network.is_linear else network.activation,
        "loss": None if estimator._task == "regression" else estimator.loss_.name,
        "intercept": network.intercept,
        "scale": bool(scaling.changes_inputs or np.any(scaling.y_center) or np.any(scaling.y_scale != 1.0)),
        "alpha": float(member.alpha.max(initial=0.0)),
        "hidden_intercepts": bool(member.alpha[~network.is_weight].any()),
    }


def _descent(member: Member) -> dict[str, Any]:
    solver = member.solution.solver
    if not isinstance(solver, GradientDescent):
        return _DESCENT
    return _DESCENT | {"rate": solver.learning_rate, "momentum": solver.momentum}


def _own(member: Member) -> dict[str, Any]:
    """The solver that trained the member, or Newton's method where that is no other than gradient descent."""
    name = member.solution.solver.name
    if name not in SOLVERS or name == GradientDescent.name:
        name = Newton.name
    extra = {"damped": True} if name == Newton.name else {"damping": None} if name == LevenbergMarquardt.name else {}
    return {"solver": name, "steps": 40, **extra}


def _example(estimator: Any, member: Member) -> str:
    deep = not member.network.is_linear
    if estimator._task == "regression":
        return "wave" if deep else "line"
    if len(estimator.classes_) > 2:
        return "three"
    return "ring" if deep else "clouds"


def _rows(estimator: Any, member: Member, X: Any, y: Any) -> tuple[Data, bool]:
    """The rows, and whether all inputs of the model are among those that are drawn."""
    X = np.asarray(dense(estimator._for_prediction(as_rows(X))), dtype=np.float64)
    n, k = X.shape[0], member.network.n_outputs
    Y = targets_of(estimator, y, n, k)
    regression = estimator._task == "regression"
    if regression and k > 1:
        raise InputError(f"The page shows one target and this model has {k}: fit and play a model of one of them.")
    if not regression and len(estimator.classes_) > MOST_CLASSES:
        raise InputError(
            f"The page draws up to {MOST_CLASSES} classes and this model has {len(estimator.classes_)}: play one of "
            "fewer."
        )
    notes, numbers, scaling = [], np.arange(n), estimator.scaling_
    if n > MOST_ROWS:
        notes.append(f"A random sample of {MOST_ROWS:,} of {n:,} rows is shown and trained on.")
        numbers = np.sort(np.random.default_rng(0).choice(n, MOST_ROWS, replace=False))
    inputs = np.arange(X.shape[1])
    if len(inputs) > MOST_INPUTS:
        notes.append(f"Of {len(inputs)} inputs the {MOST_INPUTS} with the largest weights are used.")
        inputs = np.sort(np.argsort(-_weights(estimator, member, X), kind="stable")[:MOST_INPUTS])
    names = column_names(estimator._names(), X.shape[1])
    data = Data(
        X[np.ix_(numbers, inputs)],
        Y[numbers],
        tuple(names[j] for j in inputs),
        "y",
        () if regression else output_names(estimator, k),
        tuple(numbers.tolist()),
        tuple(notes),
        replace(scaling, x_center=scaling.x_center[inputs], x_scale=scaling.x_scale[inputs], asinh=None),
    )
    return data, len(inputs) == X.shape[1]


def _weights(estimator: Any, member: Member, X: Array) -> Array:
    """Of each input: the sizes of its weights in the first layer, times the spread of what the network is fed."""
    fed = np.asarray(estimator.scaling_.inputs(X))
    first = np.abs(member.network.split(member.params)[0].W).sum(axis=1) * fed.std(axis=0)
    p, asinh = X.shape[1], estimator.scaling_.asinh
    found = np.array(first[:p])
    if asinh is not None:
        found[asinh.columns] += first[p:]
    return found


def _notes(estimator: Any, member: Member, same: bool) -> list[str]:
    found = []
    used = sum(1 for one in estimator.members_ if one.share)
    if used > 1:
        found.append(f"The model averages {used} networks; this is the best of them.")
    if not same:
        found.append("The page's network is simpler than the model's, and is trained here anew.")
    if getattr(estimator, "class_weight", None) is not None or remarks(estimator):
        found.append("The page counts every row 1 and adds the penalty α alone.")
    return found
