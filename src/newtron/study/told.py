"""The last screen of `newtron fit`, and the same facts as JSON."""

from __future__ import annotations

import newtron
from newtron.engine.base.words import capital, command, count, seconds, without_repeats
from newtron.engine.solvers import Status
from newtron.model.certified import certificate_of
from newtron.study.compare import metric_table
from newtron.study.describe import column_pairs, target_pair
from newtron.study.ends import ending, member_facts, sentences
from newtron.study.job import Job
from newtron.study.screen import Screen
from newtron.study.train import Candidate
from newtron.training.fitted import Member


def print_screen(job: Job, report: str | None) -> None:
    """Print what came out. report: the path of the report that was written, or None."""
    screen = Screen()
    data, compared = job.data, job.comparison
    screen.heading(f"{data.name}: {count(data.n_rows, 'row')}, {count(len(data.names), 'column')}")
    screen.pairs([target_pair(data.schema), *column_pairs(data.schema, data.missing)])
    screen.gap()
    if compared.scores:
        screen.heading(
            f"Compared on {compared.n_held_out:,} rows that were held out; trained on {compared.n_training:,} "
            f"(seed {job.options.seed})"
        )
        metrics = {name: score.metrics for name, score in compared.scores.items()}
        header, rows, strong = metric_table(job.task, metrics, compared.verdict.kept)
        screen.table(header, rows, strong)
        screen.gap()
        for sentence in compared.verdict.why:
            screen.sentence(sentence)
        screen.gap()
    screen.heading("How training ended")
    ends = list(compared.candidates.items()) + ([("on all rows", job.refit)] if job.refit else [])
    said: list[str] = []
    screen.pairs([pair for name, trained in ends for pair in _end_pairs(trained, name, said)])
    screen.gap()
    screen.heading("Certificate of the model that is written")
    for sentence in without_repeats(certificate_of(job.final.model).sentences(), said):
        screen.sentence(sentence, indent=2)
    screen.gap()
    notes = without_repeats(job.notes, said)
    if notes:
        screen.heading("Please note")
        screen.notes(notes)
        screen.gap()
    again = " (again, all of them)" if job.refit else ""
    screen.line(
        f"Written: {job.options.output}, the {job.final.name} trained on {count(job.n_trained, 'row')}{again}",
        "bold",
    )
    if report is not None:
        screen.line(f"Report:  {report}")
    screen.line(f"Next:    {command(['newtron', 'predict', job.options.output, job.options.data])}")


def _end_pairs(trained: Candidate, name: str, said: list[str]) -> list[tuple[str, str]]:
    """said: sentences of the ends before; those of this one are added."""
    # Plain convergence needs no second sentence.
    ends = [sentence for sentence in sentences(trained.model.members) if sentence != Status.CONVERGED.value]
    found = without_repeats(ends, said)
    said += found
    summary = f"{capital(ending(trained.model.members))}, {seconds(trained.seconds)}."
    return [(name, f"{summary} {' '.join(found)}" if len(found) == 1 else summary)] + [
        (name, sentence) for sentence in found if len(found) > 1
    ]


def facts_of(job: Job, report: str | None) -> dict[str, object]:
    """The same facts for JSON."""
    data, compared = job.data, job.comparison
    target, verdict = data.schema.target, compared.verdict
    comparison: dict[str, object] | None = None
    if compared.scores:
        comparison = {
            "training_rows": compared.n_training,
            "held_out_rows": compared.n_held_out,
            "seed": job.options.seed,
            "metrics": {name: score.metrics for name, score in compared.scores.items()},
            "gain": verdict.gain,
            "standard_error": verdict.error,
        }
    return {
        "newtron": newtron.__version__,
        "data": {
            "path": data.name,
            "rows": data.n_rows,
            "columns": len(data.names),
            "rows_with_target": data.n_known,
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
                "missing": data.missing.get(column.name, 0),
            }
            for column in data.schema.columns
        ],
        "dropped": [{"name": name, "reason": reason} for name, reason in data.schema.dropped],
        "warnings": [*job.notes, *verdict.warnings],
        "comparison": comparison,
        "models": {name: _model_facts(trained) for name, trained in compared.candidates.items()},
        "verdict": {"kept": verdict.kept, "why": verdict.why, "no_better_than_the_guess": verdict.worse},
        "refit": None if job.refit is None else _model_facts(job.refit),
        "output": job.options.output,
        "report": report,
        "interrupted": job.interrupted,
    }


def _model_facts(trained: Candidate) -> dict[str, object]:
    return {
        "estimator": trained.model.settings.estimator,
        "alpha": trained.model.settings.alpha,
        "ending": ending(trained.model.members),
        "seconds": trained.seconds,
        "members": [_end_facts(member) for member in trained.model.members],
        "certificate": certificate_of(trained.model).to_json(),
    }


def _end_facts(member: Member) -> dict[str, object]:
    return {"hidden": list(member.hidden), **member_facts(member), "seconds": member.solution.seconds}
