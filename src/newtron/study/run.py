"""The flow of the main job: from data to a model that is compared, chosen and trained on all rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from newtron.engine.base.words import capital, count
from newtron.study.compare import overfitting_warning
from newtron.study.comparing import compare, tested
from newtron.study.data import FitData, TableData, file_data
from newtron.study.describe import warnings_of
from newtron.study.job import Candidate, Comparison, Job
from newtron.study.rows_to_test import RowsToTest
from newtron.study.train import (
    RESCUE_ALPHA,
    Trainer,
    check_class_weight,
    check_firth,
    check_in_memory,
    check_offset,
    check_options,
)
from newtron.table.data_file import data_file_of
from newtron.table.in_memory import table_in_memory


def run_job(trainer: Trainer) -> Job:
    """Open the data, train, compare, and train the better model again on all rows."""
    options = trainer.options
    check_options(options)
    if options.loss is not None and options.task is None:
        # A loss is for numbers, however few different ones there are.
        trainer = replace(trainer, options=replace(options, task="regression"))
    if "~" in options.target:
        from newtron.study.formulas import with_formula

        trainer = with_formula(trainer)
    with _opened(trainer) as data:
        return _fitted(data, trainer)


@contextmanager
def _opened(trainer: Trainer) -> Iterator[FitData]:
    """The data, with what its columns mean."""
    options = trainer.options
    if options.cluster is not None:
        from newtron.study.cluster import cluster_data

        check_in_memory(options, options.data_name)
        with cluster_data(options, trainer.reporter) as data:
            yield data
        return
    if not isinstance(options.data, str):
        yield TableData.learn(options.data, options)
        return
    source = data_file_of((options.data, *options.more), options.scratch)
    letters, sheet = options.choices.letters, options.sheet
    table = table_in_memory(source, options.encoding, options.memory, letters=letters, sheet=sheet)
    if table is None:
        check_in_memory(options, source.name)
        yield file_data(source, options, trainer.reporter)
    else:
        yield TableData.learn(table, options)


def _fitted(data: FitData, trainer: Trainer) -> Job:
    """Train, compare, and train the better model again on all rows."""
    options, task = trainer.options, data.schema.target.task
    check_firth(options, task)
    check_offset(options, data.schema)
    check_class_weight(options, task)
    test = None if options.test is None else RowsToTest.read(options, data)
    comparison = compare(data, trainer, test)
    refit = _refit(data, comparison, trainer)
    job = Job(options, data, comparison, refit, trainer.interrupts.asked)
    if test is not None and options.cv is not None:
        on = f"on the {count(len(test.y), 'row')} of {test.name}"
        job = replace(job, tested=tested(data, job.final, test, options), tested_on=on)
    models = [*comparison.candidates.values(), *([refit] if refit else [])]
    told = [*comparison.cautions, *(note for model in models for note in _on_training(model)), *_on_job(job)]
    kept = [note for model in models if model.name == job.final.name for note in _on_training(model)]
    on_test = [] if test is None else list(test.notes)
    notes = _once([*data.notes, *warnings_of(data.schema), *on_test, *_on_rows(job), *comparison.notes, *told])
    return replace(job, notes=notes, cautions=_once([*comparison.cautions, *kept, *_on_job(job)]))


def _refit(data: FitData, comparison: Comparison, trainer: Trainer) -> Candidate | None:
    """The model that is kept, trained once more on all rows; None where it is not, or where that was interrupted."""
    options = trainer.options
    if options.no_refit or comparison.held_out is None or trainer.interrupts.asked:
        return None
    if comparison.n_training == data.n_known:
        return None  # a test file was held out, and the model was trained on all rows
    name, alpha = comparison.verdict.kept, options.alpha
    if alpha is None and comparison.kept.model.settings.alpha == RESCUE_ALPHA and name == "perceptron":
        alpha = RESCUE_ALPHA  # as it was compared
    again = trainer.train(name, data.everything(name), alpha, f"{name} on all rows")
    return None if again.interrupted else again


def _on_rows(job: Job) -> list[str]:
    """What a user should know of weights and groups."""
    options, found = job.options, []
    if options.group is not None and job.final.model.is_perceptron:
        found.append(
            f"Rows with the same {options.group!r} may be alike, and the standard errors of coefficients take rows as "
            "independent: in Python, model.summary(X, y, groups=...) gives clustered ones."
        )
    if options.weights_kind not in (None, "frequency") and not job.final.model.is_perceptron:
        found.append(
            f"A network takes weights for numbers of rows: here {options.weights_kind} weights were divided by their "
            "mean."
        )
    if options.class_weight is not None:
        found.append(
            "Each class weighs the same in training: the probabilities are those of rows of which each class is "
            "equally frequent, and so are log loss and Brier score. The other metrics count rows as they are."
        )
    return found


def _on_training(trained: Candidate) -> list[str]:
    """What a user should know of how a model was trained."""
    found = list(trained.notes)
    for member in trained.model.members:
        solution = member.solution
        if not (solution.converged or solution.status.name in ("EARLY_STOPPED", "INTERRUPTED")):
            found.append(f"The {trained.name}: {solution.sentence}")
    return found


def _on_job(job: Job) -> list[str]:
    """What a user should know of the model that is kept: that it may predict badly, or is not the whole work."""
    compared, found = job.comparison, list[str]()
    if job.final.name == "perceptron" and not compared.verdict.warnings:
        found += filter(None, [overfitting_warning(job.final.model, job.n_trained)])
    if job.interrupted:
        kept = "all rows" if job.n_trained == job.data.n_known else "the training rows alone"
        again = "call" if job.in_python else "command"
        found.append(
            f"Training was interrupted: the model that is {'kept' if job.in_python else 'written'} is the best so far, "
            f"trained on {kept}, and what was still to come was left out."
            + (f" The same {again} goes on from the checkpoint." if job.options.checkpoint else "")
        )
    return found


def _once(notes: list[str]) -> list[str]:
    """Each sentence once, with a capital letter where it does not begin with the name of a place."""
    return list(dict.fromkeys(capital(note) if ": " not in note[:60] else note for note in notes))
