"""What came out of the main job, for people on a screen or in a notebook, and the same facts as JSON."""

from __future__ import annotations

from newtron.engine.base.version import __version__
from newtron.engine.base.words import capital, command, count, seconds, without_repeats
from newtron.engine.solvers import Status
from newtron.model.certified import certificate_of
from newtron.study.compare import metric_table
from newtron.study.describe import column_pairs, target_pair
from newtron.study.ends import ending, member_facts, sentences
from newtron.study.job import Job
from newtron.study.screen import Sheet
from newtron.study.train import Candidate
from newtron.table.readings import Reading
from newtron.training.fitted import Member


def tell(job: Job, sheet: Sheet, report: str | None = None) -> None:
    """Tell what came out. report: the path of the report that was written, or None."""
    data, compared = job.data, job.comparison
    sheet.heading(f"{data.name}: {count(data.n_rows, 'row')}, {count(len(data.names), 'column')}")
    sheet.pairs([target_pair(data.schema), *column_pairs(data.schema, data.missing)])
    sheet.gap()
    if compared.scores:
        sheet.heading(
            f"Compared on {compared.n_held_out:,} rows that were held out; trained on {compared.n_training:,} "
            f"(seed {job.options.seed})"
        )
        metrics = {name: score.metrics for name, score in compared.scores.items()}
        header, rows, strong = metric_table(job.task, metrics, compared.verdict.kept)
        sheet.table(header, rows, strong)
        sheet.gap()
        for sentence in compared.verdict.why:
            sheet.sentence(sentence)
        sheet.gap()
    sheet.heading("How training ended")
    ends = list(compared.candidates.items()) + ([("on all rows", job.refit)] if job.refit else [])
    said: list[str] = []
    sheet.pairs([pair for name, trained in ends for pair in _end_pairs(trained, name, said)])
    sheet.gap()
    sheet.heading(f"Certificate of the model that is {'kept' if job.in_python else 'written'}")
    for sentence in without_repeats(certificate_of(job.final.model).sentences(), said):
        sheet.sentence(sentence, indent=2)
    sheet.gap()
    notes = without_repeats(job.notes, said)
    if notes:
        sheet.heading("Please note")
        sheet.notes(notes)
        sheet.gap()
    again = " (again, all of them)" if job.refit else ""
    what = f"the {job.final.name} trained on {count(job.n_trained, 'row')}{again}"
    output = job.options.output
    if output is None:
        sheet.line(f"Kept: {what}", "bold")
        sheet.line("Next: study.model.predict(rows), study.report('report.html'), study.save('model.newtron')")
        return
    sheet.line(f"Written: {output}, {what}", "bold")
    if report is not None:
        sheet.line(f"Report:  {report}")
    sheet.line(f"Next:    {command(['newtron', 'predict', output, job.options.data_name])}")


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


def facts_of(job: Job, report: str | None = None) -> dict[str, object]:
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
        "newtron": __version__,
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
                "read_as": _read_as(column.reading),
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


def _read_as(reading: Reading | None) -> dict[str, str] | None:
    """How the text of a column is read: a cell and its value, or None where it is no rule of its own."""
    return None if reading is None else dict(zip(("cell", "value"), reading.example, strict=True))
