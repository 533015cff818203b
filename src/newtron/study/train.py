"""Train one model, with a penalty where its coefficients would grow without limit."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter

import numpy as np

from newtron.engine.base.errors import ColumnError, InputError
from newtron.engine.base.types import Array
from newtron.engine.base.words import columns_setting, seconds, setting
from newtron.engine.solvers import Status
from newtron.estimators import (
    NetworkClassifier,
    NetworkRegressor,
    PerceptronClassifier,
    PerceptronRegressor,
)
from newtron.model.predicting import lacking
from newtron.study.data import Training, labels_of
from newtron.study.ends import ending
from newtron.study.interrupt import Interrupts
from newtron.study.job import Candidate
from newtron.study.options import FitOptions
from newtron.study.progress import Reporter
from newtron.study.sample import Sample
from newtron.table import Schema
from newtron.table.formula.data import Formula
from newtron.training.fitted import FittedModel
from newtron.training.forecast import Forecast

# Strength of the penalty that makes separated classes a problem with an answer: that of scikit-learn's
# default.
RESCUE_ALPHA = 1.0

Estimator = PerceptronRegressor | PerceptronClassifier | NetworkRegressor | NetworkClassifier


_KINDS: dict[tuple[str, str], type[Estimator]] = {
    ("perceptron", "regression"): PerceptronRegressor,
    ("perceptron", "classification"): PerceptronClassifier,
    ("network", "regression"): NetworkRegressor,
    ("network", "classification"): NetworkClassifier,
}


@dataclass(frozen=True)
class Trainer:
    """Trains models with the options that were typed, shows the progress and stops at Ctrl-C. formula: what makes the
    columns of the table from those of the data."""

    options: FitOptions
    reporter: Reporter
    interrupts: Interrupts
    formula: Formula | None = None

    def train(
        self, name: str, rows: Training, alpha: float | str | None, stage: str, *, small: bool = False
    ) -> Candidate:
        """Fit the perceptron or the network with this penalty (None: the usual). stage: what the progress calls this
        fit, and its checkpoint. small: this is one of many small fits, which are neither told nor kept one by one.

        A perceptron whose coefficients grow without limit is fitted once more with a penalty, unless one was given.
        """
        started = perf_counter()
        notes: list[str] = []
        self.interrupts.keeping = True
        checkpoint = None if small else _checkpoint(self.options, stage)
        if checkpoint is not None and os.path.exists(checkpoint):
            self.reporter.say(f"{stage}: going on from where {checkpoint} stands")
        with self.reporter.stage(stage):
            model, warned = self._fit(name, rows, alpha, checkpoint, None if small else partial(self._foretell, stage))
            unbounded = model.solution.status is Status.UNBOUNDED
            if name == "perceptron" and unbounded and alpha is None and not self.interrupts.asked:
                notes.append(_on_rescue(model))
                checkpoint = None if small else _checkpoint(self.options, f"{stage} with penalty")
                model, warned = self._fit(name, rows, RESCUE_ALPHA, checkpoint)
        missing = [] if self.interrupts.asked else [f"The {name}: {sentence}" for sentence in lacking(model)]
        trained = Candidate(name, model, perf_counter() - started, notes + warned + missing)
        if not small:
            self.reporter.say(f"{stage}: {ending(model.members)}, {seconds(trained.seconds)}")
        return trained

    def _foretell(self, stage: str, forecast: Forecast) -> None:
        if forecast.sentence:
            self.reporter.say(f"{stage}: {forecast.sentence}")

    def _fit(
        self,
        name: str,
        rows: Training,
        alpha: float | str | None,
        checkpoint: str | None,
        foretell: Callable[[Forecast], None] | None = None,
    ) -> tuple[FittedModel, list[str]]:
        """The fitted model with the meaning of its columns, and the warnings as sentences, but those of convergence,
        which `ending` tells better."""
        made = self._make(name, rows.schema.target.task, alpha)
        made.call_columns(rows.schema.feature_names, rows.schema.target.name, rows.schema)
        made.foretell_to(foretell)
        with warnings.catch_warnings(record=True) as caught, np.errstate(all="ignore"):
            warnings.simplefilter("always")
            try:
                if isinstance(rows.rows, Sample):
                    weight = self._weight(name, rows.rows)
                    made.fit(rows.rows.X, labels_of(rows.schema, rows.rows.y), weight, checkpoint=checkpoint)
                else:
                    made.fit_rows(rows.rows, checkpoint=checkpoint)
            except ColumnError as error:
                raise InputError(f"{self.options.data_name}: {error}") from None
        messages = [str(w.message) for w in caught if w.category.__name__ != "ConvergenceWarning"]
        model = made.model_
        # The number of threads is no property of the model.
        settings, known = replace(model.settings, n_jobs=None), replace(model.data, schema=self._schema(rows.schema))
        model = replace(model, settings=settings, data=known)
        return model, list(dict.fromkeys(text for text in messages if "encountered in" not in text))

    def _schema(self, schema: Schema) -> Schema:
        """The schema that a model keeps, with the formula that makes its columns."""
        return schema if self.formula is None else replace(schema, formula=self.formula)

    def _weight(self, name: str, rows: Sample) -> Array | None:
        """The weights as an estimator takes them. A network takes them for numbers of rows: those that are known but
        for a constant have the mean 1 there."""
        weight, kind = rows.weight, self.options.weights_kind
        if weight is None or name == "perceptron" or kind in (None, "frequency") or not weight.any():
            return weight
        return np.asarray(weight / weight[weight > 0.0].mean())

    def _make(self, name: str, task: str, alpha: float | str | None) -> Estimator:
        options = self.options
        settings: dict[str, object] = {
            "n_jobs": options.threads,
            "max_iter": options.max_iter,
            "random_state": options.seed,
            "callback": self.reporter.step,
        }
        if name == "perceptron":
            # A penalty must weigh all columns alike, whatever their units.
            settings |= {"alpha": alpha or 0.0, "standardize": bool(alpha)}
            if task == "classification":
                settings["penalty"] = options.penalty
            if options.weights_kind is not None:
                settings["weights"] = options.weights_kind
        else:
            settings |= {"activation": options.activation, "n_starts": options.starts, "hidden": options.hidden}
            settings["effort"] = options.effort
            if alpha is not None:
                settings["alpha"] = alpha
        if name == "network" or isinstance(options.grouping, tuple):
            settings["intercepts"] = options.grouping
        if task == "regression":
            settings |= {"loss": options.loss, "offset": options.offset}
        elif options.class_weight is not None:
            settings["class_weight"] = options.class_weight
        made = _KINDS[name, task]()
        made.set_params(**settings)
        return made


def _on_rescue(model: FittedModel) -> str:
    found = model.separation
    growing = "Without a penalty the perceptron's coefficients go on growing."
    known = found.finding if found is not None and found.found else growing
    other = "" if model.is_regression else f" The other choice is {setting('penalty', repr('firth'))}."
    return (
        f"{known} The perceptron was fitted with a penalty, {setting('alpha', f'{RESCUE_ALPHA:g}')}, which keeps its "
        f"coefficients finite.{other}"
    )


def check_offset(options: FitOptions, schema: Schema) -> None:
    """The offset is a column of numbers without missing cells: what stands in for one would be an exposure."""
    if options.loss is not None and schema.target.task == "classification":
        task = setting("task", repr("regression"))
        raise InputError(f"{setting('loss')} is for a target that is a number: leave it out, or give {task}.")
    if options.offset is None:
        return
    if options.loss != "poisson":
        loss = setting("loss", repr("poisson"))
        raise InputError(f"{setting('offset')} is the logarithm of the exposure of counts: give {loss} with it.")
    given = columns_setting("offset", [options.offset])
    column = next((column for column in schema.columns if column.name == options.offset), None)
    if column is None:
        raise InputError(f"{given}: this is no column that a model can use.")
    if column.kind != "number" or column.missing_seen:
        what = "has missing cells" if column.kind == "number" else f"is read as {column.kind} and not as a number"
        raise InputError(f"{given}: this column {what}; every row needs its exposure.")


def check_firth(options: FitOptions, task: str) -> None:
    """Firth's penalty is for perceptrons and classes, and is a penalty of its own."""
    if options.penalty != "firth":
        return
    firth, alpha = setting("penalty", repr("firth")), setting("alpha")
    if task != "classification":
        raise InputError(f"{firth} is for classes, and the target is a number: leave it out, or use {alpha}.")
    if options.model == "network":
        perceptron = setting("model", repr("perceptron"))
        raise InputError(f"{firth} is the perceptron's: choose {perceptron} with it, or leave it out.")
    if options.alpha:
        raise InputError(f"{firth} is a penalty of its own: leave out {alpha}, or {setting('penalty')}.")


def check_options(options: FitOptions) -> None:
    """Raise an InputError where two options do not go together, before any work."""

    def refuse(first: str, second: str, why: str) -> None:
        raise InputError(f"{first} and {second} do not go together: {why}.")

    cv = setting("cv", str(options.cv)) if options.cv is not None else ""
    test, share, by = setting("test"), setting("holdout"), setting("holdout_by")
    if cv and options.holdout is not None:
        refuse(cv, share, "folds are held out, each in turn; leave one of the two out")
    if cv and options.holdout_by is not None:
        refuse(cv, by, "folds are random; leave one of the two out")
    if cv and options.no_refit:
        refuse(cv, setting("no_refit", "True"), "the models of the folds are trained on a part of the rows each")
    if options.test is not None and options.holdout is not None:
        refuse(test, share, "the rows of the file take the place of held-out ones; leave one of the two out")
    if options.test is not None and options.holdout_by is not None:
        refuse(test, by, "the rows of the file take the place of held-out ones; leave one of the two out")
    if options.group is not None and options.holdout_by is not None:
        refuse(setting("group"), by, "rows are held out by groups or by an order; leave one of the two out")
    if options.holdout_by is not None and options.holdout == 0.0:
        refuse(by, setting("holdout", "0"), "no row is held out")
    if options.weights_kind is not None and options.weights is None:
        raise InputError(
            f"{setting('weights_kind', repr(options.weights_kind))} says what weights are; name their column with "
            f"{setting('weights')}."
        )


def check_in_memory(options: FitOptions, name: str) -> None:
    """Raise an InputError where an option needs rows in memory, and they are not."""
    for asked, given in (
        (options.cv, "cv"),
        (options.holdout_by, "holdout_by"),
        (options.group, "group"),
        (options.weights, "weights"),
    ):
        if asked is not None:
            raise InputError(
                f"{setting(given)}: {name} is read in pieces or on a cluster, and this needs all rows in memory; give "
                f"more {setting('memory')}, or leave it out. {setting('test')} takes a file of rows to compare on."
            )


def check_class_weight(options: FitOptions, task: str) -> None:
    """Weights of classes need classes."""
    if options.class_weight is not None and task != "classification":
        raise InputError(
            f"{setting('class_weight', repr(options.class_weight))} is for classes, and the target is a number; leave "
            f"it out, or give {setting('task', repr('classification'))}."
        )


def stage_name(name: str, fold: int = 0, of: int = 0) -> str:
    """What the training of a model is called, with its fold in a cross-validation of so many folds."""
    return f"{name} fold {fold} of {of}" if of else name


def _checkpoint(options: FitOptions, stage: str) -> str | None:
    """The file that keeps the state of this fit; each fit has one of its own."""
    return None if options.checkpoint is None else f"{options.checkpoint}.{stage.replace(' ', '-')}"


def remove_checkpoints(options: FitOptions) -> None:
    """Remove the checkpoints of all fits, which nobody needs once the model is written."""
    of = options.cv or 0
    for name in ("perceptron", "network"):
        for stage in (name, f"{name} on all rows", *(stage_name(name, fold, of) for fold in range(1, of + 1))):
            for path in (_checkpoint(options, stage), _checkpoint(options, f"{stage} with penalty")):
                if path is not None:
                    with suppress(OSError):
                        os.unlink(path)
