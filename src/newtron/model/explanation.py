"""From a fitted model and some rows to what `newtron.explain` explains: scaled, encoded and named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from newtron.engine.base.checks import check_choice, is_count
from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array
from newtron.engine.base.words import column_names, joined, setting, target_names
from newtron.engine.maths.scaling import Scaling, without_columns, without_offset
from newtron.engine.solvers import Solver
from newtron.explain import NOTATIONS, Answer, Derivation, Subject, derive
from newtron.explain.show.rounding import number_text
from newtron.inference.penalties.penalty_path import RULES
from newtron.model.groups import groups_of_row
from newtron.model.predicting import predicted
from newtron.model.slopes import input_slopes
from newtron.training.fitted import FittedModel, Member
from newtron.training.members import TOO_FEW_ROWS
from newtron.training.targets import known_targets

_LESS_INTERCEPTS = (
    "The random intercepts are known here: the targets are less those of their rows, and the answer has that of the "
    "first row again."
)
_WITHOUT_INTERCEPTS = (
    "The raw prediction, the loss and its derivatives are here those without random intercepts; the answer has them."
)
_EXPOSURE = (
    "Counts and means are those for an exposure of 1 here: both are divided by the exposure, which is {} for the first "
    "row. Training weighs each row by its exposure; the rows explained here count 1 each."
)


def explained(
    model: FittedModel,
    X: Array,
    y: object = None,
    *,
    notation: str = "lecture",
    member: int | None = None,
    solver: Solver | None = None,
    names: tuple[str, ...] | None = None,
) -> Derivation:
    """The derivation for the rows X (m, p) with targets y. names: of the columns; x₁, x₂ by default. Where y is None,
    the answer and its derivatives with respect to the columns are derived, and there is no loss."""
    check_choice("notation", notation, NOTATIONS)
    X = np.asarray(X, dtype=np.float64)
    k = model.n_outputs
    unknown = np.full((X.shape[0], k), np.nan)
    Y = unknown if y is None else known_targets(y, model.data, X.shape[0], model.loss, k)
    called = model.scaling.of_inputs(input_names(model) if names is None else names)
    place = member_at(model, member)
    chosen, answer, said = model.members[place], _answer(model, X[:1], place), remarks(model)
    if model.has_intercepts and model.loss.has_identity_link:
        Y, said = Y - model.gained(X) * model.scaling.y_scale, (*said, _LESS_INTERCEPTS)
    elif model.has_intercepts:
        said = (*said, _WITHOUT_INTERCEPTS)
    scaling = model.scaling_of(chosen)
    if scaling.aside:
        X, scaling = without_columns(X, scaling.aside), scaling.without_aside
    if scaling.offset is not None:
        X, exposure = without_offset(X, scaling.offset)
        Y, scaling = Y / exposure[:, None], replace(scaling, offset=None)
        said = (*said, _EXPOSURE.format(number_text(float(exposure[0]))))
    if solver is not None and not isinstance(solver, Solver):
        raise InputError(f"solver={solver!r} must be a solver object such as Newton(), or None for the model's own.")
    subject = Subject(
        network=chosen.network,
        loss=model.loss,
        params=np.asarray(chosen.params, dtype=np.float64),
        X=np.asarray(scaling.inputs(X), dtype=np.float64),
        Y=scaling.targets(Y) if model.is_regression else Y,
        as_given=X,
        targets_given=Y,
        scaling=scaling,
        columns=called,
        inputs=fed_names(scaling, called),
        outputs=output_names(model),
        solver=chosen.solution.solver if solver is None else solver,
        alpha=np.asarray(chosen.alpha, dtype=np.float64),
        why_alpha=_why_alpha(model, chosen),
        answer=answer,
        remarks=said,
        target=joined(model.data.targets) if model.data.targets else "",
    )
    return derive(subject, notation)


def member_at(model: FittedModel, member: int | None) -> int:
    """Position of the member that is explained: the one that stands for all, or the one asked for, counted from 1."""
    if member is None:
        return model.best
    if not is_count(member) or member > len(model.members):
        raise InputError(
            f"member={member!r} must be a whole number from 1 to {len(model.members)}, or None for the best."
        )
    return int(member) - 1


def _answer(model: FittedModel, X: Array, place: int) -> Answer:
    """The answer of the whole model for the one row X (1, p); for an exposure of 1 where there is an offset."""
    inputs, gained, scaling = model.scaling.inputs(X), model.gained(X), model.scaling
    raw = [member.output(inputs) + gained for member in model.members]
    exposure = 1.0 if scaling.offset is None else float(without_offset(X, scaling.offset)[1][0])
    columns = [j for j in range(X.shape[1]) if j not in scaling.no_inputs]
    units = scaling.y_scale if model.loss.has_identity_link else np.ones(model.n_outputs)
    return Answer(
        member=place + 1,
        shares=np.array([member.share for member in model.members]),
        shapes=tuple(model.shape_of(member) for member in model.members),
        each=np.concatenate([model.means(z) for z in raw]),
        averaged=predicted(model, X)[0] / exposure,
        slopes=input_slopes(model, X)[0][:, columns] / exposure,
        temperature=model.temperature,
        groups=tuple((own.column, own.group, own.intercept * units) for own in groups_of_row(model, X)),
    )


def fed_names(scaling: Scaling, names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of all that a network is fed: the p columns ("" where they have none), if it is fed these, and then the
    features."""
    names = scaling.of_inputs(names)
    called = column_names(names, len(names)) if scaling.features else names
    return (
        *(names if scaling.with_columns else ()),
        *(name for features in scaling.features for name in features.names(called)),
    )


def _why_alpha(model: FittedModel, member: Member) -> str:
    """How the penalty came about."""
    rule = model.settings.alpha
    if not isinstance(rule, str):
        return ""
    if TOO_FEW_ROWS in member.solution.chosen:
        return f"a fixed one, since {TOO_FEW_ROWS}"
    if rule != "cv" and not np.isfinite(member.effective_parameters):
        too_large = f"since the network is too large for {setting('alpha', repr(rule))}"
        return f"chosen from the data by {RULES['cv']}, {too_large}"
    return f"chosen from the data by {RULES[rule]} ({setting('alpha', repr(rule))})"


def input_names(model: FittedModel) -> tuple[str, ...]:
    """Empty texts where the columns have no names: a derivation then has its symbols for them."""
    return ("",) * model.data.n_features if model.data.names is None else model.data.names


def output_names(model: FittedModel) -> tuple[str, ...]:
    """The classes, or the names of the targets where there are several."""
    if model.data.classes is not None:
        return tuple(str(c).lower() if isinstance(c, bool) else str(c) for c in model.data.classes.tolist())
    return ("",) if model.n_outputs == 1 else target_names(model.data.targets, model.n_outputs)


def remarks(model: FittedModel) -> tuple[str, ...]:
    """Return sentences on what the training counts beside the loss of the rows that are explained."""
    found = []
    if model.settings.class_weight is not None:
        found.append("Training weighs rows by their class (class_weight); the rows explained here count 1 each.")
    if model.settings.is_firth:
        found.append(
            "Training maximises Firth's likelihood, which adds half the logarithm of the determinant of all training "
            "rows' information; that is no part of the loss of a row and is left out here."
        )
    return tuple(found)
