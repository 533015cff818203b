"""`newtron fit`: from data to a model that is compared, chosen, trained on all rows and written."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from newtron.cli.fit.compare import (
    BASELINE,
    Score,
    Verdict,
    judge,
    overfitting_warning,
    remedy,
    score_guess,
    score_model,
)
from newtron.cli.fit.data import FitData, Split, TableData, file_data
from newtron.cli.fit.job import Comparison, Job
from newtron.cli.fit.leaks import exact_sum, revealing_columns
from newtron.cli.fit.split import FEWEST
from newtron.cli.fit.train import RESCUE_ALPHA, Candidate, Trainer, check_firth, check_offset, remove_checkpoints
from newtron.cli.interrupt import Interrupts
from newtron.cli.options import FitOptions
from newtron.cli.progress import PassProgress, Reporter
from newtron.engine.base.codec import to_json
from newtron.engine.base.errors import InputError
from newtron.engine.base.words import capital, count
from newtron.model_file import check_writable, write_model
from newtron.table.data_file import data_file_of
from newtron.table.in_memory import table_in_memory


def run_fit(options: FitOptions) -> int:
    """Run `newtron fit` and return its exit code."""
    report = _checked_places(options)
    if options.cluster is not None and options.checkpoint is None:
        # Machines of a cluster may fail, so the state of training is always kept.
        options = replace(options, checkpoint=f"{options.output}.checkpoint")
    with Interrupts() as interrupts:
        trainer = Trainer(options, Reporter(interrupts, quiet=options.quiet), interrupts)
        with _opened(trainer) as data:
            job = _fitted(data, trainer)
        # From here to the rename Ctrl-C waits: it takes milliseconds.
        interrupts.writing = True
        write_model(job.final.model, options.output, report=to_json(job.report))
        if not job.interrupted:
            remove_checkpoints(options)
        written, failed = _write_report(job, report, trainer.reporter)
    _tell(job, written, trainer.reporter)
    if failed:
        raise InputError(f"The model was written to {options.output}; the report could not be written: {failed}")
    return 130 if job.interrupted else 0


def _checked_places(options: FitOptions) -> str | None:
    """Check, before long work, that all files can be written. Returns the path of the report, or None."""
    from newtron.cli.report.page import check_report, report_path

    check_writable(options.output)
    if options.checkpoint is not None:
        check_writable(f"{options.checkpoint}.perceptron")
    both = os.path.exists(options.output) and os.path.exists(options.data)
    if both and os.path.samefile(options.output, options.data):
        raise InputError(f"{options.output}: this is the data itself; give another name with --output.")
    report = report_path(options)
    if report is not None:
        check_report(report, options)
    return report


@contextmanager
def _opened(trainer: Trainer) -> Iterator[FitData]:
    """The data, with what its columns mean."""
    options = trainer.options
    if options.cluster is not None:
        from newtron.cli.fit.cluster import cluster_data

        with cluster_data(options, trainer.reporter) as data:
            yield data
        return
    source = data_file_of(options.data, options.scratch)
    table = table_in_memory(source, options.encoding, options.memory)
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
    job = Job(trainer.options, data, comparison, refit, [], trainer.interrupts.asked)
    return replace(job, notes=_collected_notes(job))


def _compared(data: FitData, trainer: Trainer) -> Comparison:
    """Train what is asked for on the training rows, score it on the held-out rows, and judge."""
    options = trainer.options
    split = data.split(options.holdout if data.n_known >= FEWEST else 0.0, options.seed)
    notes = [*split.notes, *_on_holding_out(data, split, options)]
    if split.examined is not None:
        for sentence in revealing_columns(split.training.schema, split.examined):
            trainer.reporter.say(f"note: {sentence}")
            notes.append(sentence)
    names = ["perceptron", "network"] if options.model == "auto" else [options.model]
    candidates: dict[str, Candidate] = {}
    for name in names if split.held_out is not None else names[:1]:
        if trainer.interrupts.asked:
            break
        candidates[name] = trainer.train(name, split.training, options.alpha, name)
        sentence = _exact_sum(split, candidates, options)
        if sentence:
            trainer.reporter.say(f"note: {sentence}")
            # Where one column alone is the target, this says all of it.
            left_out = sentence.rpartition(" leave ")[2]
            notes = [*(note for note in notes if note.rpartition(" leave ")[2] != left_out), sentence]
            break
    scores, verdict = _judged(split, candidates)
    training = split.training
    return Comparison(training.schema, training.n_rows, split.held_out, candidates, scores, verdict, notes)


def _on_holding_out(data: FitData, split: Split, options: FitOptions) -> list[str]:
    """What a user should know where no rows are held out, or no report is written."""
    notes = []
    if split.held_out is None and options.holdout:
        notes.append(
            f"Only {count(data.n_known, 'row has', 'rows have')} a value of the target, fewer than {FEWEST}: "
            "none were held out, so nothing says how well the model predicts new rows."
        )
    if split.held_out is None and options.model == "auto":
        notes.append(
            "Without held-out rows models cannot be compared: the perceptron is fitted, as the simpler "
            "one; ask for the other with --model network."
        )
    if not isinstance(data, TableData) and not options.no_report:
        notes.append("No report was written: what it shows of single rows needs them in memory.")
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


def _collected_notes(job: Job) -> list[str]:
    """Everything a user should know, once."""
    from newtron.cli.describe import warnings_of

    compared = job.comparison
    found = [*job.data.notes, *warnings_of(job.data.schema), *compared.notes]
    for trained in [*compared.candidates.values(), *([job.refit] if job.refit else [])]:
        found += trained.notes
        for member in trained.model.members:
            solution = member.solution
            if not (solution.converged or solution.status.name in ("EARLY_STOPPED", "INTERRUPTED")):
                found.append(f"The {trained.name}: {solution.sentence}")
    if job.final.name == "perceptron" and not compared.verdict.warnings:
        found += filter(None, [overfitting_warning(job.final.model, job.n_trained)])
    if job.interrupted:
        kept = "the training rows alone" if compared.held_out is not None else "all rows"
        found.append(
            f"Training was interrupted: the model that is written is the best so far, trained on {kept}, "
            "and what was still to come was left out."
            + (" The same command goes on from the checkpoint." if job.options.checkpoint else "")
        )
    return list(dict.fromkeys(capital(note) if ": " not in note[:60] else note for note in found))


def _write_report(job: Job, path: str | None, reporter: Reporter) -> tuple[str | None, str]:
    """The path of the report that was written, or None; and why it could not be written, or "". The model is written
    already, and what is told must say so."""
    from newtron.cli.report.page import write_report

    if path is None or not isinstance(job.data, TableData):
        return None, ""
    try:
        progress = PassProgress(reporter, "the report: shuffling columns", "column", long=True)
        write_report(job, job.data, path, progress)
    except InputError as error:
        return None, str(error)
    except MemoryError:
        return None, f"{path}: there is not enough memory for it; give --no-report."
    return path, ""


def _tell(job: Job, report: str | None, reporter: Reporter) -> None:
    """Print what came out. The model is written already, and where printing fails the message says so."""
    from newtron.cli.fit.screen import facts_of, print_screen
    from newtron.cli.screen import print_json

    options = job.options
    try:
        if options.json:
            print_json(facts_of(job, report))
        elif options.quiet:
            for note in [*job.notes, *job.comparison.verdict.warnings]:
                reporter.warn(note)
        else:
            print_screen(job, report)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        why = f"The model was written to {options.output}, but the result could not be printed: {error.strerror}"
        raise OSError(error.errno, why) from None
