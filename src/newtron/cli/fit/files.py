"""`newtron fit` on files larger than memory: the same comparison, on rows that are read again for every pass."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from newtron.cli.fit.compare import BASELINE, Verdict, score_guess, score_model
from newtron.cli.fit.run import Job, note_exact_sum, note_telling_columns
from newtron.cli.fit.split import FEWEST
from newtron.cli.fit.train import RESCUE_ALPHA, Columns, check_penalty, train
from newtron.cli.interrupt import Interrupts
from newtron.cli.progress import Reporter, Told
from newtron.engine.base.errors import InputError
from newtron.engine.base.words import count, size
from newtron.table.data_file import DataFile, TooLargeError, most_text
from newtron.table.large.file_rows import LEAST_MEMORY, FileRows, TableRows
from newtron.table.large.files import TableFiles, is_streamable, is_text_file
from newtron.table.read import read_table
from newtron.table.table import Table

if TYPE_CHECKING:
    import pyarrow as pa

# Rows whose targets tell what can be said without any column.
_GUESSED_FROM = 100_000


def table_of(source: DataFile, encoding: str, memory: int) -> Table | None:
    """The table in memory; None where it must be read in pieces: a folder, a pattern of names, or a file whose cells
    take more than the memory. Some files say how much they hold only when they are unpacked."""
    text = is_text_file(source)
    in_pieces = text or is_streamable(source)
    limit = most_text(source, memory) if text else memory
    if in_pieces and _is_large(source, limit):
        return None
    try:
        return read_table(source, encoding=encoding, limit=limit)
    except TooLargeError:
        if in_pieces:
            return None
        raise InputError(
            f"{source.name}: its content takes more than the memory, and only UTF-8 text, Parquet and Arrow files are "
            "read in pieces; give more --memory, or convert it."
        ) from None


def _is_large(source: DataFile, limit: float) -> bool:
    if not os.path.isfile(source.path):
        return True
    if not is_streamable(source):
        return os.path.getsize(source.path) > limit
    try:
        return TableFiles(source.path, int(limit)).cells_size > limit
    except InputError:
        return False  # reading it says what is wrong


@dataclass(frozen=True, eq=False)
class FileTable(Table):
    """What the screen asks a table, of files: how many rows, and how many cells of each column are missing."""

    total: int = 0
    missing: dict[str, int] = field(default_factory=dict)

    @property
    def n_rows(self) -> int:
        return self.total

    def column(self, name: str) -> pa.Array:
        import pyarrow as pa

        return pa.nulls(self.missing.get(name, 0))


def job_of(options: argparse.Namespace, source: DataFile, reporter: Reporter, interrupts: Interrupts) -> Job:
    """Learn the columns in one pass, hold rows out, train, compare, and train the better model on all rows."""
    if options.report is not None:
        raise InputError(
            "--report: these files are read in pieces, and a report shows single rows of them; give more --memory, or "
            "leave it out."
        )
    if os.path.isfile(source.path):
        how = f"The cells take more than {size(options.memory)} (--memory): they were read in pieces for every pass"
    else:
        how = "The files of a folder or a pattern are read in pieces for every pass, however small they are"
    return job_on(_file_rows(options, source, reporter), how, options, reporter, interrupts)


def check_memory(options: argparse.Namespace) -> None:
    """Reading in pieces needs some memory for the pieces."""
    if options.memory < LEAST_MEMORY:
        raise InputError(
            f"--memory {size(options.memory)}: reading files in pieces takes more; give at least {size(LEAST_MEMORY)}."
        )


def _file_rows(options: argparse.Namespace, source: DataFile, reporter: Reporter) -> FileRows:
    check_memory(options)
    return FileRows(
        source,
        options.target,
        task=options.task,
        ignore=options.ignore,
        memory=options.memory,
        folder=options.scratch,
        encoding=options.encoding,
        n_jobs=options.threads,
        progress=Told(reporter, "learning the columns", "row"),
        converting=Told(reporter, "converting the text", "byte"),
    )


def job_on(rows: TableRows, how: str, options: argparse.Namespace, reporter: Reporter, interrupts: Interrupts) -> Job:
    """As `job_of`, on rows whose columns are learnt. how: they are read, as the beginning of a sentence."""
    import pyarrow as pa

    schema, task = rows.schema, rows.schema.target.task
    check_penalty(options, task)
    rows.watch = reporter.passing
    share = options.holdout if rows.n_rows >= FEWEST else 0.0
    training, X, y = rows.hold_out(share, options.seed) if share else (rows, None, None)
    n_out = 0 if y is None else len(y)
    empty: Any = pa.table({name: pa.nulls(0) for name in rows.column_names})
    table = FileTable(rows.name, empty, notes=rows.notes, total=rows.total_rows, missing=rows.missing)
    numbers: Any = (range(rows.n_rows), range(training.n_rows), range(n_out))
    job = Job(options, table, schema, schema, numbers[0], np.empty(0), numbers[1], numbers[2], schema, in_memory=False)
    job.notes.append(f"{how}, and what the columns mean was learnt from all rows, those held out among them.")
    if training.copies_left_out:
        job.notes.append(
            f"{count(training.copies_left_out, 'row')} that are equal to held-out rows in every column were left out "
            "of training while models were compared, so that none is judged on rows that it knows. Where rows are "
            "copies by mistake, take them out."
        )
    if not options.no_report:
        job.notes.append("No report was written: what it shows of single rows needs them in memory.")
    columns = Columns(training, schema.feature_names, schema.target.name)
    names = ["perceptron", "network"] if options.model == "auto" and n_out else [options.model]
    if X is not None and y is not None:
        note_telling_columns(job, X, y, reporter)
    for name in ["perceptron"] if names == ["auto"] else names:
        if not interrupts.asked:
            job.trained[name] = train(name, task, columns, None, options, options.alpha, reporter, interrupts, name)
            if X is not None and note_exact_sum(job, X, y, reporter):
                break
    if X is not None and y is not None:
        job.scores[BASELINE] = score_guess(task, training.some_targets(_GUESSED_FROM), y)
        for name, trained in job.trained.items():
            job.scores[name] = score_model(trained.estimator, X.astype(np.float64, copy=False), y)
        job.judge()
    else:
        job.verdict = Verdict(next(iter(job.trained)), [])
    job.interrupted = interrupts.asked
    if y is not None and not options.no_refit and not interrupts.asked:
        _refit(job, rows, reporter, interrupts)
    return job


def _refit(job: Job, rows: TableRows, reporter: Reporter, interrupts: Interrupts) -> None:
    name, alpha = job.verdict.kept, job.options.alpha
    if alpha is None and job.final.estimator.alpha == RESCUE_ALPHA and name == "perceptron":
        alpha = RESCUE_ALPHA
    columns = Columns(rows, rows.schema.feature_names, rows.schema.target.name)
    again = train(name, job.task, columns, None, job.options, alpha, reporter, interrupts, f"{name} on all rows")
    job.interrupted = interrupts.asked
    if not again.interrupted:
        job.refit = again


def memory_of(text: str) -> int:
    """'1GB', '500 MB' or bytes, as a number of bytes."""
    units = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12, "b": 1}
    word = text.strip().lower()
    unit = next((unit for unit in units if word.endswith(unit)), "")
    try:
        found = int(float(word.removesuffix(unit)) * units.get(unit, 1))
    except (ValueError, OverflowError):
        raise InputError(f"--memory {text}: this is no size; give one such as 500MB or 4GB.") from None
    return found
