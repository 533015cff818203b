"""The flow of the main job: from data to a model that is compared, chosen and trained on all rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from newtron.engine.base.words import capital, count, setting
from newtron.study.compare import (
    BASELINE,
    Score,
    Verdict,
    judge,
    overfitting_warning,
    remedy,
    score_guess,
    score_model,
)
from newtron.study.data import FitData, Split, TableData, file_data
from newtron.study.describe import warnings_of
from newtron.study.job import Comparison, Job
from newtron.study.leaks import exact_sum, revealing_columns
from newtron.study.options import FitOptions
from newtron.study.split import FEWEST
from newtron.study.train import RESCUE_ALPHA, Candidate, Trainer, check_firth, check_offset
from newtron.table.data_file import data_file_of
from newtron.table.in_memory import table_in_memory


def run_job(trainer: Trainer) -> Job:
    """Open the data, train, compare, and train the better model again on all rows."""
    options = trainer.options
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

        with cluster_data(options, trainer.reporter) as data:
            yield data
        return
    if not isinstance(options.data, str):
        yield TableData.learn(options.data, options)
        return
    source = data_file_of(options.data, options.scratch)
    table = table_in_memory(source, options.encoding, options.memory, letters=options.choices.letters)
    if table is None:
        yield file_data(source, options, trainer.reporter)
    else:
        yield TableData.learn(table, options)


def _fitted(data: FitData, trainer: Trainer) -> Job:
    """Train, compare, and train the better model again on all rows."""
    check_firth(trainer.options, data.schema.target.task)
    check_offset(trainer.options, data.schema)
    comparison = _compared(data, trainer)
    refit = _refit(data, comparison, trainer)
    job = Job(trainer.options, data, comparison, refit, trainer.interrupts.asked)
    models = [*comparison.candidates.values(), *([refit] if refit else [])]
    told = [*comparison.cautions, *(note for model in models for note in _on_training(model)), *_on_job(job)]
    kept = [note for model in models if model.name == job.final.name for note in _on_training(model)]
    notes = _once([*data.notes, *warnings_of(data.schema), *comparison.notes, *told])
    return replace(job, notes=notes, cautions=_once([*comparison.cautions, *kept, *_on_job(job)]))


def _compared(data: FitData, trainer: Trainer) -> Comparison:
    """Train what is asked for on the training rows, score it on the held-out rows, and judge."""
    options = trainer.options
    split = data.split(options.holdout if data.n_known >= FEWEST else 0.0, options.seed)
    notes, cautions = [*split.notes, *_on_holding_out(data, split, options)], []
    if split.examined is not None:
        for sentence in revealing_columns(split.training.schema, split.examined):
            trainer.reporter.note(sentence)
            cautions.append(sentence)
    names = ["perceptron", "network"] if options.model == "auto" else [options.model]
    candidates: dict[str, Candidate] = {}
    for name in names if split.held_out is not None else names[:1]:
        if trainer.interrupts.asked:
            break
        candidates[name] = trainer.train(name, split.training, options.alpha, name)
        sentence = _exact_sum(split, candidates, options)
        if sentence:
            trainer.reporter.note(sentence)
            # Where one column alone is the target, this says all of it.
            left_out = sentence.rpartition(" leave ")[2]
            cautions = [*(each for each in cautions if each.rpartition(" leave ")[2] != left_out), sentence]
            break
    scores, verdict = _judged(split, candidates)
    training = split.training
    held_out = split.held_out
    return Comparison(training.schema, training.n_rows, held_out, candidates, scores, verdict, notes, cautions)


def _on_holding_out(data: FitData, split: Split, options: FitOptions) -> list[str]:
    """What a user should know where no rows are held out."""
    notes = []
    if split.held_out is None and options.holdout:
        notes.append(
            f"Only {count(data.n_known, 'row has', 'rows have')} a value of the target, fewer than {FEWEST}: "
            "none were held out, so nothing says how well the model predicts new rows."
        )
    if split.held_out is None and options.model == "auto":
        notes.append(
            "Without held-out rows models cannot be compared: the perceptron is fitted, as the simpler "
            f"one; ask for the other with {setting('model', repr('network'))}."
        )
    return notes


def _exact_sum(split: Split, candidates: dict[str, Candidate], options: FitOptions) -> str:
    """A sentence where the perceptron that was just trained predicts the held-out rows exactly, so that there is
    nothing left to learn; else ""."""
    first = candidates.get("perceptron")
    if split.held_out is None or first is None or first.interrupted or len(candidates) > 1:
        return ""
    training, skips = split.training, options.model == "auto"
    return exact_sum(first.model, training.schema, split.held_out, training.n_rows, skips)


def _judged(split: Split, candidates: dict[str, Candidate]) -> tuple[dict[str, Score], Verdict]:
    """The scores on the held-out rows, and which model is kept."""
    if split.held_out is None:
        return {}, Verdict(next(iter(candidates)), [])
    training, held_out = split.training, split.held_out
    task = training.schema.target.task
    scores = {BASELINE: score_guess(task, training.targets, held_out.y)}
    for name, trained in candidates.items():
        scores[name] = score_model(trained.model, held_out)
    remedies = {name: remedy(trained.model, training.n_rows) for name, trained in candidates.items()}
    return scores, judge(task, scores, remedies)


def _refit(data: FitData, comparison: Comparison, trainer: Trainer) -> Candidate | None:
    """The model that is kept, trained once more on all rows; None where it is not, or where that was interrupted."""
    options = trainer.options
    if options.no_refit or comparison.held_out is None or trainer.interrupts.asked:
        return None
    name, alpha = comparison.verdict.kept, options.alpha
    if alpha is None and comparison.kept.model.settings.alpha == RESCUE_ALPHA and name == "perceptron":
        alpha = RESCUE_ALPHA  # as it was compared
    again = trainer.train(name, data.everything(), alpha, f"{name} on all rows")
    return None if again.interrupted else again


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
        kept = "the training rows alone" if compared.held_out is not None else "all rows"
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
