"""`newtron fit`: from a file to a model that is compared, chosen, trained on all rows and written."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from newtron.cli.fit.compare import BASELINE, Report, Score, Verdict, judge, remedy, score_guess, score_model, too_free
from newtron.cli.fit.leaks import exact_sum, telling_columns
from newtron.cli.fit.split import FEWEST, hold_out
from newtron.cli.fit.train import RESCUE_ALPHA, Columns, Trained, check_penalty, remove_checkpoints, train
from newtron.cli.interrupt import Interrupts
from newtron.cli.progress import Reporter, Told
from newtron.engine.base.errors import InputError
from newtron.engine.base.words import capital, count
from newtron.model_file import check_writable, save
from newtron.table import Schema, Table, learn_schema
from newtron.table.data_file import at_hand
from newtron.table.equal_rows import equal_groups


@dataclass
class Job:
    """All that the screen, --json and the report tell. `final` is the model that is written, `schema` its columns;
    `compared`: the columns as the models knew them that were compared."""

    options: argparse.Namespace
    table: Table
    whole: Schema
    schema: Schema
    rows: NDArray[np.int64]
    y: NDArray[Any]
    training: NDArray[np.int64]
    held_out: NDArray[np.int64]
    compared: Schema
    trained: dict[str, Trained] = field(default_factory=dict)
    scores: dict[str, Score] = field(default_factory=dict)
    verdict: Verdict = field(default_factory=lambda: Verdict("perceptron", []))
    refit: Trained | None = None
    notes: list[str] = field(default_factory=list)
    interrupted: bool = False
    in_memory: bool = True
    # What was written beside the model.
    written: list[str] = field(default_factory=list)

    @property
    def task(self) -> str:
        return self.whole.target.task

    @property
    def final(self) -> Trained:
        return self.refit or self.trained[self.verdict.kept]

    def judge(self) -> None:
        """Which of the trained models is kept."""
        found = {name: remedy(trained.estimator, len(self.training)) for name, trained in self.trained.items()}
        self.verdict = judge(self.task, self.scores, found)

    def labels(self, positions: NDArray[np.int64]) -> NDArray[Any]:
        """The target as the estimators get it: numbers, or the classes themselves."""
        values: NDArray[Any] = self.y[positions]
        return np.array(self.whole.target.classes)[values] if self.task == "classification" else values

    def report(self) -> Report:
        trained = len(self.rows) if self.refit else len(self.training)
        return Report(
            rows=self.table.n_rows,
            columns=len(self.table.names),
            trained_rows=trained,
            held_out_rows=len(self.held_out),
            seed=self.options.seed,
            refit=self.refit is not None,
            kept=self.verdict.kept,
            metrics={name: score.metrics for name, score in self.scores.items()},
            gain=self.verdict.gain,
            error=self.verdict.error,
            why=self.verdict.why,
            notes=self.notes,
        )


def run(options: argparse.Namespace) -> int:
    """The whole command; returns the exit code."""
    from newtron.cli.report.page import check_report, report_path

    check_writable(options.output)
    if options.checkpoint is not None:
        check_writable(f"{options.checkpoint}.perceptron")
    report = report_path(options)
    both = os.path.exists(options.output) and os.path.exists(options.data)
    if both and os.path.samefile(options.output, options.data):
        raise InputError(f"{options.output}: this is the data itself; give another name with --output.")
    if report is not None:
        check_report(report, options)
    with Interrupts() as interrupts:
        reporter = Reporter(interrupts, quiet=options.quiet)
        job = _job(options, reporter, interrupts)
        _collect_notes(job)
        # From here to the rename Ctrl-C waits: it takes milliseconds.
        interrupts.writing = True
        save(job.final.estimator, options.output, schema=job.schema, report=job.report().to_json())
        if not job.interrupted:
            remove_checkpoints(options)
        failed = _write_report(job, report, reporter) if report is not None and job.in_memory else ""
    _tell(job, reporter)
    if failed:
        raise InputError(f"The model was written to {options.output}; the report could not be written: {failed}")
    return 130 if job.interrupted else 0


def _write_report(job: Job, path: str, reporter: Reporter) -> str:
    """Why there is no report, or "". The model is written already, and what is told must say so."""
    from newtron.cli.report.page import write_report

    try:
        write_report(job, path, Told(reporter, "the report: shuffling columns", "column", long=True))
    except InputError as error:
        return str(error)
    except MemoryError:
        return f"{path}: there is not enough memory for it; give --no-report."
    job.written.append(path)
    return ""


def _tell(job: Job, reporter: Reporter) -> None:
    """Print what came out. The model is written already, and where this fails that is said."""
    options = job.options
    try:
        _print(job, reporter)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        why = f"The model was written to {options.output}, but the result could not be printed: {error.strerror}"
        raise OSError(error.errno, why) from None


def _print(job: Job, reporter: Reporter) -> None:
    from newtron.cli.fit.screen import print_json, print_screen

    if job.options.json:
        print_json(job)
    elif job.options.quiet:
        for note in [*job.notes, *job.verdict.warnings]:
            reporter.warn(note)
    else:
        print_screen(job)


def _job(options: argparse.Namespace, reporter: Reporter, interrupts: Interrupts) -> Job:
    from newtron.cli.fit import cluster, files

    options.memory = files.memory_of(options.memory)
    if options.cluster is not None:
        return cluster.job_of(options, reporter, interrupts)
    source = at_hand(options.data, options.scratch)
    table = files.table_of(source, options.encoding, options.memory)
    if table is None:
        return files.job_of(options, source, reporter, interrupts)
    job = _prepare(options, table)
    _train_all(job, reporter, interrupts)
    _refit(job, reporter, interrupts)
    return job


def _prepare(options: argparse.Namespace, table: Table) -> Job:
    """Find the rows that have a target, and hold some of them out."""
    whole = learn_schema(table, options.target, task=options.task, ignore=options.ignore)
    check_penalty(options, whole.target.task)
    y, kept = whole.encode_target(table)
    rows = np.flatnonzero(kept)
    classes = y.astype(np.int64) if whole.target.task == "classification" else None
    share = options.holdout if len(rows) >= FEWEST else 0.0
    alike, are_copies = equal_groups(whole, table.take(rows)) if share else (None, False)
    training, held_out = hold_out(len(rows), classes, share, options.seed, alike)
    job = Job(options, table, whole, whole, rows, y, training, held_out, whole)
    if alike is not None and are_copies:
        job.notes.append(_on_copies(alike, y))
    if not len(held_out):
        if share < options.holdout:
            job.notes.append(
                f"Only {count(len(rows), 'row has', 'rows have')} a value of the target, fewer than {FEWEST}: "
                "none were held out, so nothing says how well the model predicts new rows."
            )
        if options.model == "auto":
            job.notes.append(
                "Without held-out rows models cannot be compared: the perceptron is fitted, as the simpler "
                "one; ask for the other with --model network."
            )
        return job
    # The held-out rows must not have a word in how columns become numbers. Only which columns are used at
    # all, and which are categories, is settled once for all rows, so that what is compared is what is written.
    left_out = {*options.ignore, *(name for name, _ in whole.dropped)}
    job.schema = learn_schema(
        table.take(rows[training]), options.target, task=whole.target.task, ignore=sorted(left_out), like=whole
    )
    job.compared = job.schema
    return job


def _on_copies(alike: NDArray[np.int64], y: NDArray[Any]) -> str:
    sizes = np.bincount(alike)
    n, whole = len(alike), len(np.unique(np.rec.fromarrays([alike, y])))
    n_copies = int((sizes[sizes > 1]).sum())
    exact = "1 is an exact copy" if n - whole == 1 else f"{n - whole:,} are exact copies"
    also = f"; {exact} of another, target included" if whole < n else ""
    return (
        f"{n_copies:,} of {n:,} rows are equal to another in every column that is used{also}. Equal rows are on the "
        "same side of the split, so that no model is judged on rows that it knows. Where they are copies by mistake, "
        "take them out."
    )


def _train_all(job: Job, reporter: Reporter, interrupts: Interrupts) -> None:
    """Train what is asked for on the training rows, score it on the held-out ones, and judge."""
    options = job.options
    names = ["perceptron", "network"] if options.model == "auto" else [options.model]
    if not len(job.held_out):
        names = names[:1]
    known = job.schema.encode(job.table.take(job.rows[job.training])).X
    columns = Columns(known, job.schema.feature_names, job.whole.target.name)
    X, y = job.schema.encode(job.table.take(job.rows[job.held_out])).X, job.y[job.held_out]
    note_telling_columns(job, known, job.y[job.training], reporter)
    for name in names:
        if interrupts.asked:
            break
        labels = job.labels(job.training)
        job.trained[name] = train(name, job.task, columns, labels, options, options.alpha, reporter, interrupts, name)
        if len(job.held_out) and note_exact_sum(job, X, y, reporter):
            break
    if len(job.held_out):
        job.scores[BASELINE] = score_guess(job.task, job.y[job.training], y)
        for name, trained in job.trained.items():
            job.scores[name] = score_model(trained.estimator, X, y)
        job.judge()
    else:
        job.verdict = Verdict(names[0], [])


def note_telling_columns(job: Job, X: Any, y: NDArray[Any], reporter: Reporter) -> None:
    """Columns that tell the target alone, in rows X and y."""
    for sentence in telling_columns(job.schema, X, y):
        reporter.say(f"note: {sentence}")
        job.notes.append(sentence)


def note_exact_sum(job: Job, X: Any, y: Any, reporter: Reporter) -> bool:
    """Is the perceptron that was trained exact on the held-out rows X and y, so that there is nothing left to learn?"""
    first = job.trained.get("perceptron")
    if first is None or first.interrupted or len(job.trained) > 1:
        return False
    skips = job.options.model == "auto"
    sentence = exact_sum(first.estimator, job.schema, X, y, len(job.training), skips)
    if sentence:
        reporter.say(f"note: {sentence}")
        # Where one column alone is the target, this says all of it.
        left_out = sentence.rpartition(" leave ")[2]
        job.notes = [*(note for note in job.notes if note.rpartition(" leave ")[2] != left_out), sentence]
    return bool(sentence)


def _refit(job: Job, reporter: Reporter, interrupts: Interrupts) -> None:
    """Train the model that is kept once more, on all rows; an unfinished end does not take the place of
    the first."""
    job.interrupted = interrupts.asked
    if job.options.no_refit or not len(job.held_out) or interrupts.asked:
        return
    name = job.verdict.kept
    alpha = job.options.alpha
    if alpha is None and job.final.estimator.alpha == RESCUE_ALPHA and name == "perceptron":
        alpha = RESCUE_ALPHA  # as it was compared
    X = job.whole.encode(job.table.take(job.rows)).X
    columns = Columns(X, job.whole.feature_names, job.whole.target.name)
    labels = job.labels(np.arange(len(job.rows)))
    again = train(name, job.task, columns, labels, job.options, alpha, reporter, interrupts, f"{name} on all rows")
    job.interrupted = interrupts.asked
    if not again.interrupted:
        job.refit, job.schema = again, job.whole


def _collect_notes(job: Job) -> None:
    """Everything a user should know, once."""
    from newtron.cli.describe import warnings_of

    found = [*map(str, job.table.notes), *warnings_of(job.whole), *job.notes]
    every = [*job.trained.values(), *([job.refit] if job.refit else [])]
    for trained in every:
        found += trained.notes
        for member in trained.estimator.members_:
            solution = member.solution
            if not (solution.converged or solution.status.name in ("EARLY_STOPPED", "INTERRUPTED")):
                found.append(f"The {trained.name}: {solution.sentence}")
    if job.final.name == "perceptron" and not job.verdict.warnings:
        n_rows = len(job.rows) if job.refit else len(job.training)
        found += filter(None, [too_free(job.final.estimator, n_rows)])
    if job.interrupted:
        kept = "the training rows alone" if len(job.held_out) else "all rows"
        found.append(
            f"Training was interrupted: the model that is written is the best so far, trained on {kept}, "
            "and what was still to come was left out."
            + (" The same command goes on from the checkpoint." if job.options.checkpoint else "")
        )
    job.notes = list(dict.fromkeys(capital(note) if ": " not in note[:60] else note for note in found))
