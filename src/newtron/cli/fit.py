"""`newtron fit`: the main job on a file; the model and the report are written, and what came out is told."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

from newtron.cli.imports import restore_pandas
from newtron.cli.options import FitCommand
from newtron.engine.base.errors import InputError
from newtron.engine.base.whole_files import same_file
from newtron.model_file import check_writable
from newtron.study.data import TableData
from newtron.study.interrupt import Interrupts
from newtron.study.job import Job
from newtron.study.progress import PassProgress, Reporter
from newtron.study.run import run_job
from newtron.study.screen import Screen, print_json
from newtron.study.study import save_job
from newtron.study.told import facts_of, tell
from newtron.study.train import Trainer

_NO_REPORT = "No report was written: what it shows of single rows needs them in memory."


def run_fit(options: FitCommand) -> int:
    """Run `newtron fit` and return its exit code."""
    report = _checked_places(options)
    if options.cluster is not None and options.checkpoint is None:
        # Machines of a cluster may fail, so the state of training is always kept.
        options = replace(options, checkpoint=f"{options.output}.checkpoint")
    with Interrupts(own_process=True) as interrupts:
        trainer = Trainer(options, Reporter(interrupts, quiet=options.quiet), interrupts)
        if "~" in options.target:
            restore_pandas()
        job = run_job(trainer)
        # From here to the rename Ctrl-C waits: it takes milliseconds.
        interrupts.writing = True
        save_job(job, options.output)
        written, failed = _write_report(job, report, trainer.reporter)
    _tell(job, options, written, trainer.reporter)
    if failed:
        raise InputError(f"The model was written to {options.output}; the report could not be written: {failed}")
    return 130 if job.interrupted else 0


def _checked_places(options: FitCommand) -> str | None:
    """Check, before long work, that all files can be written. Returns the path of the report, or None."""
    check_writable(options.output)
    if options.checkpoint is not None:
        check_writable(f"{options.checkpoint}.perceptron")
    for path in options.files:
        if same_file(options.output, path):
            raise InputError(f"{options.output}: this is the data itself; give another name with --output.")
    report = _report_path(options)
    if report is not None:
        _check_report(report, options)
    return report


def _report_path(options: FitCommand) -> str | None:
    """The path of the report: the one that was asked for, or beside the model under its name; None for no report."""
    if options.no_report:
        return None
    if options.report is not None:
        return str(options.report)
    folder, name = os.path.split(options.output)
    stem = "report" if name == "model.newtron" else os.path.splitext(name)[0]
    return os.path.join(folder, f"{stem}.html")


def _check_report(path: str, options: FitCommand) -> None:
    """Check, before long work, that the report can be written and replaces no file but a report."""
    from newtron.study.report.page import is_report

    check_writable(path)
    for other in (options.output, *options.files):
        if os.path.realpath(path) == os.path.realpath(other) or same_file(path, other):
            raise InputError(f"{path}: this is {other} itself; give the report another name with --report.")
    if options.report is None and os.path.exists(path) and not is_report(path):
        raise InputError(
            f"{path}: this file is no report of newtron and is not replaced; name another with --report, or give "
            "--no-report."
        )


def _write_report(job: Job, path: str | None, reporter: Reporter) -> tuple[str | None, str]:
    """The path of the report that was written, or None; and why it could not be written, or "". The model is written
    already, and what is told must say so."""
    from newtron.study.report.page import write_report

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


def _tell(job: Job, options: FitCommand, report: str | None, reporter: Reporter) -> None:
    """Print what came out. The model is written already, and where printing fails the message says so."""
    if not isinstance(job.data, TableData) and not options.no_report:
        job = replace(job, notes=[*job.notes, _NO_REPORT])
    try:
        if options.json:
            print_json(facts_of(job, report))
        elif options.quiet:
            for note in [*job.notes, *job.comparison.verdict.warnings]:
                reporter.warn(note)
        else:
            tell(job, Screen(), report)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        why = f"The model was written to {options.output}, but the result could not be printed: {error.strerror}"
        raise OSError(error.errno, why) from None
