"""The settings of a model as the estimator of its kind has them."""

from __future__ import annotations

from dataclasses import fields

from newtron.training.settings import Settings

# Settings that only some estimators have.
_OF_NETWORKS = {"activation", "combine", "effort", "hidden", "n_starts"}
_OF_PERCEPTRONS = {"weights"}
_OF_CLASSIFIERS = {"class_weight"}
_OF_REGRESSORS = {"offset"}
_OF_PERCEPTRON_CLASSIFIERS = {"penalty"}
_OF_PERCEPTRON_REGRESSORS = {"method"}
# Settings of the work, which do not bear on the model, and those of columns, of which the schema says what they are.
_UNSAID = {"n_jobs", "verbose", "columns", "missing"}
# Settings of random intercepts, which say nothing where there are none.
_OF_INTERCEPTS = {"intercepts", "method"}


def setting_names(settings: Settings) -> list[str]:
    """The names of the settings that the estimator has, in the order of the alphabet, without the callback."""
    absent = {"family", "task"}
    if settings.family != "network":
        absent |= _OF_NETWORKS
    if settings.family != "perceptron":
        absent |= _OF_PERCEPTRONS
    if settings.task != "classification":
        absent |= _OF_CLASSIFIERS
    else:
        absent |= _OF_REGRESSORS
    if settings.estimator != "PerceptronClassifier":
        absent |= _OF_PERCEPTRON_CLASSIFIERS
    if settings.estimator != "PerceptronRegressor":
        absent |= _OF_PERCEPTRON_REGRESSORS
    return sorted({field.name for field in fields(settings)} - absent)


def settings_in_words(settings: Settings) -> str:
    """The settings that bear on the model, as Python writes them."""
    unsaid = _UNSAID if settings.intercepts is not None else _UNSAID | _OF_INTERCEPTS
    return ", ".join(f"{name}={getattr(settings, name)!r}" for name in setting_names(settings) if name not in unsaid)
