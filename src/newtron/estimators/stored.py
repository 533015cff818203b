"""Model files as estimators: `load` wraps the fitted model of a file in the estimator that made it."""

from __future__ import annotations

import inspect
import os

import numpy as np

from newtron.estimators.base import NewtronEstimator
from newtron.estimators.network import NetworkClassifier, NetworkRegressor
from newtron.estimators.perceptron import PerceptronClassifier, PerceptronRegressor
from newtron.model_file import read_model
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
    estimator.n_features_in_, names = model.data.given
    if model.data.from_frame:
        estimator.feature_names_in_ = np.array(names, dtype=object)
    return estimator


def load(path: str | os.PathLike[str]) -> NewtronEstimator:
    """The estimator that was saved, fitted: it predicts the same numbers to the last bit.

    Everything comes back but `callback`; a `random_state` that is neither a whole number nor None, which comes back as
    None; and how many seconds training took.

    Raises
    ------
    InputError
        The file is not a newtron model, is damaged, or needs a newer newtron; the message says which field.

    Examples
    --------
    >>> import numpy as np
    >>> import newtron
    >>> x, y = np.array([[1.0], [2.0], [3.0]]), np.array([2.0, 4.0, 5.0])
    >>> newtron.PerceptronRegressor().fit(x, y).save("line.newtron")
    >>> newtron.load("line.newtron").predict([[4.0]]).round(6)
    array([6.666667])
    """
    return estimator_of(read_model(path).model)
