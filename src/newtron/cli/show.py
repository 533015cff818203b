"""`newtron show`: what a model is."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

import numpy as np

from newtron.cli.coefficients import coefficient_facts, names, show_coefficients
from newtron.cli.describe import column_pairs, target_pair, warnings_of
from newtron.cli.fit.compare import Report, metric_table, stored_report
from newtron.cli.fit.train import ENDS, ending, member_facts, sentences
from newtron.cli.options import ShowOptions
from newtron.cli.report.relevance import relevance_facts, relevance_table
from newtron.cli.screen import Screen
from newtron.engine.base.codec import to_json
from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Json
from newtron.engine.base.words import count, label, listed, number, strict, unsaid
from newtron.engine.maths.losses import method_of
from newtron.estimators.stored import Bundle, load_bundle
from newtron.inference.separation.separation import Separation
from newtron.model_file import settings_to_json
from newtron.table import Schema


def run_show(options: ShowOptions) -> int:
    """Run `newtron show` and return its exit code."""
    bundle = load_bundle(options.model)
    try:
        report = None if bundle.report is None else stored_report(bundle.report, bundle.estimator._task)
    except InputError as error:
        raise InputError(f"{options.model}: {error}") from None
    if options.json:
        facts = strict(_facts(options.model, bundle, report))
        sys.stdout.write(json.dumps(facts, ensure_ascii=False, allow_nan=False) + "\n")
        return 0
    screen = Screen()
    screen.heading(f"{options.model}: {_kind(bundle.estimator)}")
    screen.pairs(_overview(bundle, report))
    _show_comparison(screen, bundle.estimator._task, report)
    _show_weights(screen, bundle)
    _show_ending(screen, bundle.estimator)
    if bundle.schema is not None:
        screen.gap()
        screen.heading("The columns it reads")
        screen.pairs(column_pairs(bundle.schema))
    notes = list(dict.fromkeys([*(report.notes if report else warnings_of(bundle.schema) if bundle.schema else [])]))
    notes = unsaid(notes, sentences(bundle.estimator.members_))
    if notes:
        screen.gap()
        screen.heading("Please note")
        screen.notes(notes)
    return 0


def _is_perceptron(estimator: Any) -> bool:
    return not hasattr(estimator, "hidden")


def _kind(estimator: Any) -> str:
    task = "regression" if estimator._task == "regression" else "classification"
    if _is_perceptron(estimator):
        return f"a perceptron for {task}{method_of(estimator.loss_)}"
    n, used = len(estimator.members_), _used(estimator)
    if len(used) > 1:
        return f"an average of {len(used)} networks for {task}"
    return f"a network for {task}, the best of {n}" if n > 1 else f"a network for {task}"


def _used(estimator: Any) -> list[Any]:
    """The members that have a part in the prediction."""
    return [member for member in estimator.members_ if member.share]


def _shape(widths: tuple[int, ...]) -> str:
    return "-".join(map(str, widths))


def _overview(bundle: Bundle, report: Report | None) -> list[tuple[str, str]]:
    estimator = bundle.estimator
    pairs = []
    if bundle.schema is not None:
        pairs.append(target_pair(bundle.schema))
    elif hasattr(estimator, "classes_"):
        classes = [label(c) for c in estimator.classes_.tolist()]
        pairs.append(("classes", f"{len(classes)}: {listed(classes)}"))
    shapes = list(dict.fromkeys(_shape(member.network.widths) for member in _used(estimator)))
    n_params = sum(member.network.n_params for member in _used(estimator))
    pairs.append(("shape", f"{listed(shapes)} (inputs to outputs), {count(n_params, 'parameter')}"))
    if report is not None:
        pairs.append(("trained on", _trained_on(report)))
    settings = [f"{name}={value!r}" for name, value in _settings(estimator).items()]
    pairs.append(("settings", ", ".join(settings)))
    pairs.append(("solver", f"{estimator.solution_.solver.name}: {estimator.solution_.chosen}"))
    pairs.append(("saved by", f"newtron {bundle.version}"))
    return pairs


def _trained_on(report: Report) -> str:
    if report.trained_rows == report.rows:
        return f"all {count(report.rows, 'row')} of the file"
    return f"{report.trained_rows:,} of the {count(report.rows, 'row')} of the file"


def _settings(estimator: Any) -> dict[str, Any]:
    """Those that bear on the model."""
    hidden = {"callback", "verbose", "n_jobs"}
    return {name: value for name, value in estimator.get_params().items() if name not in hidden}


def _show_comparison(screen: Screen, task: str, report: Report | None) -> None:
    if report is None or not report.metrics:
        return
    screen.gap()
    screen.heading(f"Compared on {report.held_out_rows:,} held-out rows (seed {report.seed})")
    screen.table(*metric_table(task, report.metrics, report.kept))
    screen.gap()
    for sentence in report.why:
        screen.sentence(sentence)
    if report.refit:
        screen.sentence("After the comparison the model was trained again on all rows.")


def _show_weights(screen: Screen, bundle: Bundle) -> None:
    screen.gap()
    if _is_perceptron(bundle.estimator):
        show_coefficients(screen, bundle)
        return
    screen.heading("Members")
    rows = []
    for position, member in enumerate(bundle.estimator.members_):
        solution = member.solution
        rows.append(
            [
                str(position + 1),
                _shape(member.network.widths),
                f"{member.share:.3g}",
                f"{solution.n_iter:,}",
                number(solution.value),
                f"{solution.gradient_norm:.1e}",
                ENDS[solution.status],
            ]
        )
    screen.table(["member", "shape", "share", "iterations", "objective", "gradient", "end"], rows)
    known = relevance_table(bundle.estimator, names(bundle))
    if known is not None:
        head, shares, after = known
        screen.gap()
        screen.heading("Relevance of the columns")
        screen.table(head, shares)
        for sentence in after:
            screen.sentence(sentence, indent=2)


def _show_ending(screen: Screen, estimator: Any) -> None:
    screen.gap()
    screen.heading("How training ended")
    screen.sentence(ending(estimator.members_), indent=2)
    for sentence in estimator.certificate_.sentences():
        screen.sentence(sentence, indent=2)
    separation = getattr(estimator, "separation_", None)
    if separation is not None and separation.sentence not in estimator.solution_.sentence:
        screen.sentence(separation.finding, indent=2)


def _facts(path: str, bundle: Bundle, report: Report | None) -> dict[str, Any]:
    estimator = bundle.estimator
    schema: Schema | None = bundle.schema
    facts: dict[str, Any] = {
        "path": path,
        "newtron": bundle.version,
        "estimator": type(estimator).__name__,
        "task": estimator._task,
        "settings": _settings_facts(estimator),
        "features": names(bundle),
        "classes": estimator.classes_.tolist() if hasattr(estimator, "classes_") else None,
        "members": [
            {
                "widths": list(member.network.widths),
                "activation": member.network.activation,
                **member_facts(member),
            }
            for member in estimator.members_
        ],
        "certificate": estimator.certificate_.to_json(),
        "separation": _separation_facts(getattr(estimator, "separation_", None)),
        "relevance": relevance_facts(estimator, names(bundle)),
        "coefficients": None,
        "summary": None,
        "report": None if report is None else asdict(report),
        "schema": None if schema is None else to_json(schema),
    }
    return facts | coefficient_facts(bundle) if _is_perceptron(estimator) else facts


def _settings_facts(estimator: Any) -> dict[str, Json]:
    """The settings that the estimator has, but for the callback."""
    found = settings_to_json(estimator.model_.settings)
    return {name: found[name] for name in estimator.get_params(deep=False) if name in found}


def _separation_facts(found: Separation | None) -> dict[str, object] | None:
    if found is None:
        return None
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(found).items()}
