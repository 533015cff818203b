"""`newtron show`: what a model is."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from newtron.engine.base.codec import to_json
from newtron.engine.base.errors import InputError
from newtron.engine.base.words import count, listed, number, without_repeats
from newtron.engine.maths.losses import method_of
from newtron.inference.separation.separation import Separation
from newtron.model.certified import certificate_of
from newtron.model_file import StoredModel, read_model, settings_to_json
from newtron.study.coefficients import class_labels, coefficient_facts, names, show_coefficients
from newtron.study.compare import Report, stored_report
from newtron.study.describe import column_pairs, landmarks_in_words, target_pair, warnings_of
from newtron.study.ends import ENDS, ending, member_facts, sentences
from newtron.study.report.relevance import penalty_facts, relevance_facts, relevance_table
from newtron.study.scores import kind_of
from newtron.study.screen import Screen, print_json
from newtron.study.settings import setting_names, settings_in_words
from newtron.study.told import tell_comparison
from newtron.training.fitted import FittedModel


def run_show(path: str, json: bool) -> int:
    """Run `newtron show` on a model file and return its exit code. json: print JSON."""
    stored = read_model(path)
    model, schema = stored.model, stored.model.data.schema
    try:
        report = None if stored.report is None else stored_report(stored.report, model)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    if json:
        print_json(_facts(path, stored, report))
        return 0
    screen = Screen()
    screen.heading(f"{path}: {_kind(model)}")
    screen.pairs(_overview(stored, report))
    _show_comparison(screen, kind_of(model), report)
    _show_weights(screen, model)
    _show_ending(screen, model)
    if schema is not None:
        screen.gap()
        screen.heading("The columns it reads")
        screen.pairs(column_pairs(schema))
    notes = list(dict.fromkeys(report.notes if report else warnings_of(schema) if schema else []))
    notes = without_repeats(notes, sentences(model.members))
    if notes:
        screen.gap()
        screen.heading("Please note")
        screen.notes(notes)
    return 0


def _kind(model: FittedModel) -> str:
    task = model.settings.task
    if model.is_perceptron:
        return f"a perceptron for {task}{method_of(model.loss)}"
    n, used = len(model.members), model.sharing
    if len(used) > 1:
        return f"an average of {len(used)} networks for {task}"
    return f"a network for {task}, the best of {n}" if n > 1 else f"a network for {task}"


def _overview(stored: StoredModel, report: Report | None) -> list[tuple[str, str]]:
    model, classes = stored.model, class_labels(stored.model)
    pairs = []
    if model.data.schema is not None:
        pairs.append(target_pair(model.data.schema))
    elif classes is not None:
        pairs.append(("classes", f"{len(classes)}: {listed(classes)}"))
    shapes = list(dict.fromkeys(model.shape_of(member) for member in model.sharing))
    n_params = sum(member.network.n_params for member in model.sharing)
    pairs.append(("shape", f"{listed(shapes)} (inputs to outputs), {count(n_params, 'parameter')}"))
    if report is not None:
        pairs.append(("trained on", _trained_on(report)))
    pairs.append(("settings", settings_in_words(model.settings)))
    pairs.append(("solver", f"{model.solution.solver.name}: {model.solution.chosen}"))
    pairs.append(("saved by", f"newtron {stored.version}"))
    return pairs


def _trained_on(report: Report) -> str:
    if report.trained_rows == report.rows:
        return f"all {count(report.rows, 'row')} of the file"
    return f"{report.trained_rows:,} of the {count(report.rows, 'row')} of the file"


def _show_comparison(screen: Screen, kind: str, report: Report | None) -> None:
    if report is None or not report.metrics:
        return
    screen.gap()
    tell_comparison(report, kind, screen)
    if report.refit:
        screen.sentence("After the comparison the model was trained again on all rows.")


def _show_weights(screen: Screen, model: FittedModel) -> None:
    screen.gap()
    if model.is_perceptron:
        show_coefficients(screen, model)
        return
    screen.heading("Members")
    rows = []
    for position, member in enumerate(model.members):
        solution = member.solution
        rows.append(
            [
                str(position + 1),
                model.shape_of(member),
                f"{member.share:.3g}",
                f"{solution.n_iter:,}",
                number(solution.value),
                f"{solution.gradient_norm:.1e}",
                ENDS[solution.status],
            ]
        )
    screen.table(["member", "shape", "share", "iterations", "objective", "gradient", "end"], rows)
    for sentence in landmarks_in_words(model):
        screen.sentence(sentence, indent=2)
    known = relevance_table(model, names(model))
    if known is not None:
        head, shares, after = known
        screen.gap()
        screen.heading("Relevance of the columns")
        screen.table(head, shares)
        for sentence in after:
            screen.sentence(sentence, indent=2)


def _show_ending(screen: Screen, model: FittedModel) -> None:
    screen.gap()
    screen.heading("How training ended")
    screen.sentence(ending(model.members), indent=2)
    for sentence in certificate_of(model).sentences():
        screen.sentence(sentence, indent=2)
    separation = model.separation
    if separation is not None and separation.sentence not in model.solution.sentence:
        screen.sentence(separation.finding, indent=2)


def _facts(path: str, stored: StoredModel, report: Report | None) -> dict[str, object]:
    model = stored.model
    schema, classes, settings = model.data.schema, model.data.classes, settings_to_json(model.settings)
    landmarks = model.scaling.landmarks
    facts: dict[str, object] = {
        "path": path,
        "newtron": stored.version,
        "estimator": model.settings.estimator,
        "task": model.settings.task,
        "settings": {name: settings[name] for name in setting_names(model.settings)},
        "features": names(model),
        "classes": None if classes is None else classes.tolist(),
        "members": [
            {
                "widths": list(member.network.widths),
                "inputs": "columns" if model.scaling_of(member).with_columns else "landmarks",
                "activation": member.network.activation,
                **member_facts(member),
            }
            for member in model.members
        ],
        "landmarks": None if landmarks is None else landmarks.points.tolist(),
        "certificate": certificate_of(model).to_json(),
        "separation": _separation_facts(model.separation),
        "relevance": relevance_facts(model, names(model)),
        "column_penalties": penalty_facts(model, names(model)),
        "coefficients": None,
        "summary": None,
        "report": None if report is None else asdict(report),
        "schema": None if schema is None else to_json(schema),
    }
    return facts | coefficient_facts(model) if model.is_perceptron else facts


def _separation_facts(found: Separation | None) -> dict[str, object] | None:
    if found is None:
        return None
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(found).items()}
