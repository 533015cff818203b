"""The page of a fitted model: its settings and its rows in the form that the page takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array
from newtron.engine.base.words import column_names
from newtron.engine.maths.scaling import without_columns
from newtron.engine.solvers import GradientDescent, LevenbergMarquardt, Newton
from newtron.inference.penalties.by_column import common_penalty, factors_of_inputs
from newtron.model.explanation import output_names, remarks
from newtron.play.datasets import MOST_CLASSES, MOST_INPUTS, MOST_ROWS, Data
from newtron.play.messages import MethodChoice, ModelChoice
from newtron.play.notebook import widget
from newtron.play.problem import MOST_LAYERS, MOST_UNITS, SOLVERS
from newtron.play.session import ROWS, Session
from newtron.training.fitted import FittedModel, Member, best_member
from newtron.training.targets import known_targets

_DESCENT: MethodChoice = {"solver": GradientDescent.name, "rate": 0.5, "momentum": 0.0, "steps": 40}


def play(model: FittedModel, X: Array | None, y: object) -> object:
    """The widget. X: rows (n, p) that are valid for the model, or None. Raises InputError for a loss that the page does
    not have."""
    if model.is_regression and not model.loss.quadratic:
        raise InputError(f"The page shows squared errors and log losses, and not loss={model.loss.name!r}.")
    return widget(session_of(model, X, y))


def session_of(model: FittedModel, X: Array | None, y: object) -> Session:
    """The page's session: it begins with the model's settings, and with these rows where they are given."""
    aside = model.scaling.aside
    if aside:
        names = None if model.data.names is None else model.scaling.of_inputs(model.data.names)
        X = None if X is None else without_columns(X, aside)
        data = replace(model.data, n_features=model.data.n_features - len(aside), names=names)
        model = replace(model, scaling=model.scaling.without_aside, data=data)
    session, member = Session(), _shown(model)
    choice, methods = _model(model, member), [_descent(member), _own(member)]
    if X is None:
        session.begin({"data": {"source": _example(model, member)}, "model": choice, "methods": methods})
        session.say(
            "A fit keeps no rows with their targets, so this is an example with the model's settings: model.play(X, y) "
            "shows the model on rows of yours."
        )
        return session
    rows, all_inputs = _rows(model, member, X, y)
    shown = member.network.widths[1:-1] == tuple(choice["hidden"])
    same = all_inputs and shown and not model.scaling_of(member).features
    params = np.asarray(member.params, dtype=np.float64).tolist() if same else None
    if same and not member.network.is_linear:
        choice["column_penalties"] = factors_of_inputs(member.network, member.alpha).tolist()
    session.begin({"data": {"source": ROWS}, "model": choice, "methods": methods}, rows, params)
    session.say(" ".join(_notes(model, same)))
    return session


def _shown(model: FittedModel) -> Member:
    """The best of the members that take columns, which the page draws; of those with a share, if there are any."""
    drawn = [member for member in model.members if not member.first_input]
    if not drawn:
        raise InputError(
            "The training was ended when it had a network on landmarks alone, which the page does not draw: fit again."
        )
    return drawn[best_member(drawn)]


def _model(model: FittedModel, member: Member) -> ModelChoice:
    """The settings of the best member, as far as the page can draw them."""
    network, scaling = member.network, model.scaling
    return {
        "hidden": [min(width, MOST_UNITS) for width in network.widths[1:-1]][:MOST_LAYERS],
        "activation": "tanh" if network.is_linear else network.activation,
        "loss": None if model.is_regression else model.loss.name,
        "intercept": network.intercept,
        "scale": scaling.changes_inputs or scaling.changes_targets,
        "alpha": common_penalty(network, member.alpha),
        "hidden_intercepts": bool(member.alpha[~network.is_weight].any()),
    }


def _descent(member: Member) -> MethodChoice:
    solver = member.solution.solver
    if not isinstance(solver, GradientDescent):
        return _DESCENT
    return {**_DESCENT, "rate": solver.learning_rate, "momentum": solver.momentum}


def _own(member: Member) -> MethodChoice:
    """The method of the solver that trained the member; Newton's method where that was gradient descent or a solver
    that the page does not have."""
    name = member.solution.solver.name
    if name not in SOLVERS or name == GradientDescent.name:
        name = Newton.name
    if name == Newton.name:
        return {"solver": name, "steps": 40, "damped": True}
    if name == LevenbergMarquardt.name:
        return {"solver": name, "steps": 40, "damping": None}
    return {"solver": name, "steps": 40}


def _example(model: FittedModel, member: Member) -> str:
    deep = not member.network.is_linear
    if model.is_regression:
        return "wave" if deep else "line"
    if len(model.data.known_classes) > 2:
        return "three"
    return "ring" if deep else "clouds"


def _rows(model: FittedModel, member: Member, X: Array, y: object) -> tuple[Data, bool]:
    """The rows, and whether all inputs of the model are among those that are drawn."""
    n, k = X.shape[0], member.network.n_outputs
    Y = known_targets(y, model.data, n, model.loss, k)
    if model.is_regression and k > 1:
        raise InputError(f"The page shows one target and this model has {k}: fit and play a model of one of them.")
    classes = model.data.classes
    if classes is not None and len(classes) > MOST_CLASSES:
        raise InputError(
            f"The page draws up to {MOST_CLASSES} classes and this model has {len(classes)}: play one of fewer."
        )
    notes, numbers, scales = [], np.arange(n), model.scaling
    if n > MOST_ROWS:
        notes.append(f"A random sample of {MOST_ROWS:,} of {n:,} rows is shown and trained on.")
        numbers = np.sort(np.random.default_rng(0).choice(n, MOST_ROWS, replace=False))
    inputs = np.arange(X.shape[1])
    if len(inputs) > MOST_INPUTS:
        notes.append(f"Of {len(inputs)} inputs the {MOST_INPUTS} with the largest weights are used.")
        inputs = np.sort(np.argsort(-_weights(model, member, X), kind="stable")[:MOST_INPUTS])
    names = column_names(model.data.names, X.shape[1])
    data = Data(
        X[np.ix_(numbers, inputs)],
        Y[numbers],
        tuple(names[j] for j in inputs),
        "y",
        () if model.is_regression else output_names(model),
        tuple(numbers.tolist()),
        tuple(notes),
        replace(scales.plain, x_center=scales.x_center[inputs], x_scale=scales.x_scale[inputs]),
    )
    return data, len(inputs) == X.shape[1]


def _weights(model: FittedModel, member: Member, X: Array) -> Array:
    """The importance of each input: the sizes of its weights in the first layer, times the spread of the network's
    input."""
    scaling = model.scaling_of(member)
    fed = np.asarray(scaling.inputs(X))
    first = np.abs(member.network.split(member.params)[0].W).sum(axis=1) * fed.std(axis=0)
    return np.bincount(scaling.made_of, first, X.shape[1]).astype(np.float64)


def _notes(model: FittedModel, same: bool) -> list[str]:
    found = []
    if len(model.sharing) > 1:
        landmarks = model.scaling.landmarks is not None
        of = "those that take the columns themselves" if landmarks else "them"
        found.append(f"The model averages {len(model.sharing)} networks; this is the best of {of}.")
    if not same:
        found.append("The page's network is simpler than the model's, and is trained here anew.")
    if model.has_intercepts:
        found.append("The page has no random intercepts: it shows and trains the network alone.")
    if remarks(model):
        found.append("The page counts every row 1 and adds the penalty α alone.")
    return found
