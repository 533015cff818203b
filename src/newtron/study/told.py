"""What came out of the main job, for people on a screen or in a notebook, and the same facts as JSON."""

from __future__ import annotations

from dataclasses import asdict

from newtron.engine.base.version import __version__
from newtron.engine.base.words import capital, command, count, seconds, without_repeats
from newtron.engine.solvers import Status
from newtron.model.certified import certificate_of
from newtron.study.compare import Report
from newtron.study.describe import column_pairs, landmarks_in_words, target_pair
from newtron.study.ends import ending, member_facts, sentences
from newtron.study.job import Candidate, Job
from newtron.study.scores import class_table, metric_table
from newtron.study.screen import Sheet
from newtron.table.readings import Reading
from newtron.training.fitted import Member

# Classes that the table of precision and recall lists.
_CLASSES = 12


def tell(job: Job, sheet: Sheet, report: str | None = None) -> None:
    """Tell what came out. report: the path of the report that was written, or None."""
    data, compared = job.data, job.comparison
    sheet.heading(f"{data.name}: {count(data.n_rows, 'row')}, {count(len(data.names), 'column')}")
    sheet.pairs([target_pair(data.schema), *column_pairs(data.schema, data.missing), *data.pairs])
    sheet.gap()
    if compared.scores:
        tell_comparison(job.report, compared.kind, sheet)
        sheet.gap()
    sheet.heading("How training ended")
    said: list[str] = []
    pairs = [pair for name, ends in compared.ends.items() for pair in _ends_pairs(ends, name, said)]
    sheet.pairs([*pairs, *([] if job.refit is None else _end_pairs(job.refit, "on all rows", said))])
    sheet.gap()
    sheet.heading(f"Certificate of the model that is {'kept' if job.in_python else 'written'}")
    for sentence in without_repeats(certificate_of(job.final.model).sentences(), said):
        sheet.sentence(sentence, indent=2)
    sheet.gap()
    notes = without_repeats([*job.notes, *landmarks_in_words(job.final.model)], said)
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


def tell_comparison(report: Report, kind: str, sheet: Sheet) -> None:
    """Tell how the models compare. kind: of the target, a key of `METRICS`."""
    sheet.heading(f"Compared {report.how}")
    sheet.table(*metric_table(kind, report.metrics, report.kept))
    if report.by_class:
        sheet.gap()
        sheet.line(f"The {report.kept}, class by class:", indent=2)
        sheet.table(*class_table(report.by_class, _CLASSES, report.weighted))
    sheet.gap()
    for sentence in report.why:
        sheet.sentence(sentence)
    if report.tested:
        sheet.gap()
        sheet.heading(f"Tested {report.tested_on}, which no choice was made by")
        sheet.table(*metric_table(kind, report.tested, report.kept))


def _ends_pairs(ends: list[Candidate], name: str, said: list[str]) -> list[tuple[str, str]]:
    """How the trainings of one model ended: of the only one in full, of those of several folds how many ended so."""
    if len(ends) == 1:
        return _end_pairs(ends[0], name, said)
    others = [t for t in ends if not all(member.solution.converged for member in t.model.members)]
    n = f"{len(ends) - len(others):,} of" if others else "each of"
    rest = f"; of another: {ending(others[0].model.members)}" if others else ""
    spent = seconds(sum(trained.seconds for trained in ends))
    return [(name, f"Converged in {n} {len(ends):,} trainings, {spent} together{rest}.")]


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
            "on": compared.how,
            "training_rows": compared.n_training,
            "held_out_rows": compared.n_held_out,
            "seed": job.options.seed,
            "metrics": {name: score.metrics for name, score in compared.scores.items()},
            "classes": {name: [asdict(line) for line in score.by_class] for name, score in compared.scores.items()},
            "folds": compared.by_fold,
            "gain": verdict.gain,
            "standard_error": verdict.error,
            "interval": verdict.interval,
        }
    tested = {"on": job.tested_on, "metrics": {name: score.metrics for name, score in job.tested.items()}}
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
        "test": tested if job.tested else None,
        "models": {name: _model_facts(trained) for name, trained in compared.candidates.items()},
        "verdict": {"kept": verdict.kept, "why": verdict.why, "no_better_than_the_guess": verdict.worse},
        "refit": None if job.refit is None else _model_facts(job.refit),
        "output": job.options.output,
        "report": report,
        "interrupted": job.interrupted,
    }


def _model_facts(trained: Candidate) -> dict[str, object]:
    landmarks = trained.model.scaling.landmarks
    return {
        "estimator": trained.model.settings.estimator,
        "alpha": trained.model.settings.alpha,
        "ending": ending(trained.model.members),
        "seconds": trained.seconds,
        "members": [_end_facts(member) for member in trained.model.members],
        "landmarks": 0 if landmarks is None else len(landmarks.points),
        "certificate": certificate_of(trained.model).to_json(),
    }


def _end_facts(member: Member) -> dict[str, object]:
    return {"hidden": list(member.hidden), **member_facts(member), "seconds": member.solution.seconds}


def _read_as(reading: Reading | None) -> dict[str, str] | None:
    """How the text of a column is read: a cell and its value, or None where it is no rule of its own."""
    return None if reading is None else dict(zip(("cell", "value"), reading.example, strict=True))
