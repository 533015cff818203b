"""What a fitted model leaves over: targets less predictions, and means of them over groups of rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from newtron.engine.base.checks import check_choice, shown
from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array, Matrix
from newtron.engine.base.words import listed
from newtron.model.effects.effects import predicted_names
from newtron.model.predicting import distributions, predicted
from newtron.training.fitted import FittedModel

KINDS_OF_RESIDUALS = ("residual", "standardized")
# Groups of rows, and the fewest rows of one.
_GROUPS, _FEWEST = 20, 5


@dataclass(frozen=True, eq=False)
class RowResiduals:
    """The predictions and the residuals (n,) of rows. expected: (n,) the standard deviation that the model has for each
    residual; nan where it has none. output: the target or the class, "" where there is one alone."""

    predictions: Array
    values: Array
    expected: Array
    output: str


def residuals_of(
    model: FittedModel, X: Matrix, y: object, *, kind: str = "residual", output: object = None
) -> RowResiduals:
    """The residuals of rows X (n, p) that are valid for the model, with targets or classes y.

    kind: "residual" is the target less the prediction; of classes the target is 1 in the class and 0 else.
    "standardized" is divided by the standard deviation that the model has for the row: that of the predictive
    distribution, the root of the mean for counts, and of p(1 - p) for classes. output: the position of a target, or a
    class; None: the first, and the second of two classes. Rows seen before are predicted as if they were not: what the
    model remembers of a row is no reason for a small residual. Raises InputError for what is not known.
    """
    check_choice("kind", kind, KINDS_OF_RESIDUALS)
    model = replace(model, seen_rows=None)
    means, given = predicted(model, X), np.asarray(y)
    if model.is_regression:
        targets = given.astype(np.float64).reshape(len(means), -1)
        place = 0 if output is None else output
        if not isinstance(place, int) or not 0 <= place < means.shape[1]:
            raise InputError(f"output={shown(output)} must be the position of a target, from 0.")
        target, name = targets[:, place], predicted_names(model)[place] if model.n_outputs > 1 else ""
    else:
        classes = model.data.known_classes.tolist()
        chosen = classes[len(classes) == 2] if output is None else output
        if chosen not in classes:
            known = listed([str(label) for label in classes])
            raise InputError(f"output={shown(output)} is no class of the model: choose one of {known}.")
        place, target, name = classes.index(chosen), (given == chosen).astype(np.float64), str(chosen)
    mean = means[:, place].astype(np.float64)
    expected = _expected(model, X, mean, place, wanted=kind == "standardized")
    values = target - mean
    if kind == "standardized":
        with np.errstate(all="ignore"):
            values, expected = values / expected, np.ones(len(mean))
    return RowResiduals(mean, values, expected, name)


def _expected(model: FittedModel, X: Matrix, mean: Array, place: int, *, wanted: bool) -> Array:
    if not model.is_regression:
        return np.sqrt(mean * (1.0 - mean))
    if not model.loss.quadratic:
        return np.sqrt(mean)
    return np.sqrt(distributions(model, X)[1][:, place]) if wanted else np.full(len(mean), np.nan)


def means_of_groups(x: Array, residuals: RowResiduals) -> tuple[Array, Array]:
    """(G, 2) the means of x (n,) and of the residuals in groups of equal size along x, and (G,) two standard errors of
    such a mean, if the model is right (binned residuals; Gelman & Hill 2007, section 5.6)."""
    order = np.argsort(x, kind="stable")
    groups = np.array_split(order, max(1, min(_GROUPS, len(x) // _FEWEST)))
    values = residuals.values
    means = np.array([[x[group].mean(), values[group].mean()] for group in groups])
    spread = np.where(np.isnan(residuals.expected), values.std(), residuals.expected)
    bounds = [2.0 * float(np.sqrt(np.square(spread[group]).sum())) / len(group) for group in groups]
    return means, np.array(bounds)
