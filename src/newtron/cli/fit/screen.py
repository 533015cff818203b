"""The last screen of `newtron fit`, and the same facts as JSON."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import newtron
from newtron.cli.describe import column_pairs, missing_cells, target_pair
from newtron.cli.fit.compare import metric_table
from newtron.cli.fit.train import Trained, ending, ends_facts, sentences
from newtron.cli.screen import Screen
from newtron.engine.base.words import capital, command, count, seconds, strict, unsaid
from newtron.engine.solvers import Status

if TYPE_CHECKING:
    from newtron.cli.fit.run import Job


def print_screen(job: Job) -> None:
    screen = Screen()
    table = job.table
    screen.heading(f"{table.path}: {count(table.n_rows, 'row')}, {count(len(table.names), 'column')}")
    pairs = [target_pair(job.whole), *column_pairs(job.whole, missing_cells(job.whole, table))]
    screen.pairs(pairs)
    screen.gap()
    if job.scores:
        screen.heading(
            f"Compared on {len(job.held_out):,} rows that were held out; trained on {len(job.training):,} "
            f"(seed {job.options.seed})"
        )
        metrics = {name: score.metrics for name, score in job.scores.items()}
        header, rows, strong = metric_table(job.task, metrics, job.verdict.kept)
        screen.table(header, rows, strong)
        screen.gap()
        for sentence in job.verdict.why:
            screen.sentence(sentence)
        screen.gap()
    screen.heading("How training ended")
    ends = list(job.trained.items()) + ([("on all rows", job.refit)] if job.refit else [])
    said: list[str] = []
    screen.pairs([pair for name, trained in ends for pair in _end_pairs(trained, name, said)])
    screen.gap()
    screen.heading("Certificate of the model that is written")
    for sentence in unsaid(job.final.estimator.certificate_.sentences(), said):
        screen.sentence(sentence, indent=2)
    screen.gap()
    notes = unsaid(job.notes, said)
    if notes:
        screen.heading("Please note")
        screen.notes(notes)
        screen.gap()
    trained_on = len(job.rows) if job.refit or not len(job.held_out) else len(job.training)
    again = " (again, all of them)" if job.refit else ""
    screen.line(
        f"Written: {job.options.output}, the {job.final.name} trained on {count(trained_on, 'row')}{again}",
        "bold",
    )
    for path in job.written:
        screen.line(f"Report:  {path}")
    screen.line(f"Next:    {command(['newtron', 'predict', job.options.output, job.options.data])}")


def _end_pairs(trained: Trained, name: str, said: list[str]) -> list[tuple[str, str]]:
    """said: sentences of the ends before; those of this one are added."""
    # Plain convergence needs no second sentence.
    ends = [sentence for sentence in sentences(trained.estimator) if sentence != Status.CONVERGED.value]
    found = unsaid(ends, said)
    said += found
    summary = f"{capital(ending(trained.estimator))}, {seconds(trained.seconds)}."
    return [(name, f"{summary} {' '.join(found)}" if len(found) == 1 else summary)] + [
        (name, sentence) for sentence in found if len(found) > 1
    ]


def print_json(job: Job) -> None:
    sys.stdout.write(json.dumps(strict(_facts(job)), ensure_ascii=False, allow_nan=False) + "\n")


def _facts(job: Job) -> dict[str, Any]:
    target, missing = job.whole.target, missing_cells(job.whole, job.table)
    comparison = None
    if job.scores:
        comparison = {
            "training_rows": len(job.training),
            "held_out_rows": len(job.held_out),
            "seed": job.options.seed,
            "metrics": {name: score.metrics for name, score in job.scores.items()},
            "gain": job.verdict.gain,
            "standard_error": job.verdict.error,
        }
    return {
        "newtron": newtron.__version__,
        "data": {
            "path": job.table.path,
            "rows": job.table.n_rows,
            "columns": len(job.table.names),
            "rows_with_target": len(job.rows),
        },
        "target": {
            "name": target.name,
            "task": target.task,
            "classes": list(target.classes),
            "why": target.why,
        },
        "columns": [
            {
                "name": column.name,
                "kind": column.kind,
                "encoded": list(column.encoded),
                "missing": missing.get(column.name, 0),
            }
            for column in job.whole.columns
        ],
        "dropped": [{"name": name, "reason": reason} for name, reason in job.whole.dropped],
        "warnings": [*job.notes, *job.verdict.warnings],
        "comparison": comparison,
        "models": {name: _model_facts(trained) for name, trained in job.trained.items()},
        "verdict": {"kept": job.verdict.kept, "why": job.verdict.why, "no_better_than_the_guess": job.verdict.worse},
        "refit": None if job.refit is None else _model_facts(job.refit),
        "output": job.options.output,
        "report": job.written[0] if job.written else None,
        "interrupted": job.interrupted,
    }


def _model_facts(trained: Trained) -> dict[str, Any]:
    return {
        "estimator": type(trained.estimator).__name__,
        "alpha": trained.estimator.alpha,
        "ending": ending(trained.estimator),
        "seconds": trained.seconds,
        "members": ends_facts(trained),
        "certificate": trained.estimator.certificate_.to_json(),
    }
