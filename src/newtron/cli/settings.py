"""The settings of a model as the estimator of its kind has them."""

from __future__ import annotations

from newtron.estimators.stored import estimator_of
from newtron.training.fitted import FittedModel

# Settings of the work, which are no property of the model.
_OF_THE_WORK = ("callback", "verbose", "n_jobs")


def setting_names(model: FittedModel) -> list[str]:
    """The names of all settings but the callback, which no model keeps."""
    return [name for name in estimator_of(model).get_params(deep=False) if name != "callback"]


def settings_in_words(model: FittedModel) -> str:
    """The settings that bear on the model, as Python writes them."""
    given = vars(model.settings)
    return ", ".join(f"{name}={given[name]!r}" for name in setting_names(model) if name not in _OF_THE_WORK)
