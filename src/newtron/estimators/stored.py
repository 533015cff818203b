"""Model files as estimators: what is saved of an estimator is its fitted model, and what is loaded wraps one."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from newtron.engine.base.errors import InputError
from newtron.estimators.base import NewtronEstimator
from newtron.estimators.network import NetworkClassifier, NetworkRegressor
from newtron.estimators.perceptron import PerceptronClassifier, PerceptronRegressor
from newtron.model_file import read_model, write_model
from newtron.table.schema import Schema
from newtron.training.fitted import FittedModel

ESTIMATORS: dict[str, type[NewtronEstimator]] = {
    kind.__name__: kind for kind in (PerceptronRegressor, PerceptronClassifier, NetworkRegressor, NetworkClassifier)
}


def estimator_of(model: FittedModel) -> NewtronEstimator:
    """The estimator whose fit made this model, fitted."""
    kind = ESTIMATORS[model.settings.estimator]
    settings = vars(model.settings)
    estimator = kind(**{name: settings[name] for name in inspect.signature(kind).parameters if name in settings})
    estimator.model_ = model
    estimator.n_features_in_ = model.data.n_features
    if model.data.from_frame:
        estimator.feature_names_in_ = np.array(model.data.names, dtype=object)
    return estimator


def load(path: str | os.PathLike[str]) -> NewtronEstimator:
    """The estimator that was saved, fitted: it predicts the same numbers to the last bit.

    Everything comes back but `callback`; a `random_state` that is neither a whole number nor None, which comes back as
    None; and how many seconds training took.

    Raises
    ------
    InputError
        The file is not a newtron model, is damaged, or needs a newer newtron; the message says which field.
    """
    return estimator_of(read_model(path).model)


def save(
    estimator: object,
    path: str | os.PathLike[str],
    *,
    schema: Schema | None = None,
    report: Mapping[str, object] | None = None,
) -> None:
    """Write the fitted model of an estimator to a file that `load` opens. schema: the meaning of a file's columns, for
    `newtron predict`. report: facts about the fit, in JSON types. Raises InputError as `write_model` does."""
    name = type(estimator).__name__
    if not isinstance(estimator, NewtronEstimator) or ESTIMATORS.get(name) is not type(estimator):
        raise InputError(f"a {name} cannot be saved as a newtron model; save one of {', '.join(ESTIMATORS)}.")
    model = vars(estimator).get("model_")
    if not isinstance(model, FittedModel):
        raise InputError(f"this {name} has not been trained; call fit before it is saved.")
    if schema is not None:
        model = replace(model, data=replace(model.data, schema=schema))
    write_model(model, path, report=report)
