"""The coefficients of a perceptron on the screen of `show` and in its JSON: its summary, where the fit kept one."""

from __future__ import annotations

from dataclasses import asdict, is_dataclass

import numpy as np

from newtron.engine.base.errors import InputError
from newtron.engine.base.words import column_names, joined, label, number, target_names
from newtron.inference.coefficients.summary import (
    Summary,
    component_lines,
    summary_facts,
    summary_header,
    summary_rows,
)
from newtron.model.summary import summary_of
from newtron.study.screen import Screen
from newtron.training.fitted import FittedModel

_TERMS_SHOWN = 200  # rows of the table on the screen
# Fields of a summary that its JSON leaves out, because they are large or serve the printed table alone.
_NOT_IN_JSON = {
    "covariance_matrix",
    "combinations",
    "statistic",
    "degrees_of_freedom",
    "title",
    "formula",
    "terms",
    "outputs",
}


def names(model: FittedModel) -> list[str]:
    """Names of the inputs: of the columns of a file, or those that the fit was given."""
    return list(column_names(model.data.names, model.data.n_features))


def _inputs(model: FittedModel) -> tuple[str, ...]:
    """Names of the columns that have a coefficient."""
    return model.scaling.of_inputs(tuple(names(model)))


def show_coefficients(screen: Screen, model: FittedModel) -> None:
    """The table of `coefficient_table`, with its sentences."""
    screen.heading("Coefficients, in the units of the data")
    before, head, table, after = coefficient_table(model)
    for line in before:
        screen.sentence(line, indent=2)
    screen.table(head, table[:_TERMS_SHOWN])
    if len(table) > _TERMS_SHOWN:
        screen.sentence(f"and {len(table) - _TERMS_SHOWN:,} more, which --json lists", indent=2)
    for sentence in after:
        screen.sentence(sentence, indent=2)


def coefficient_table(model: FittedModel) -> tuple[list[str], list[str], list[list[str]], list[str]]:
    """Sentences, header, rows, and sentences that say how to read them: the summary's table, or the estimates alone
    where the file holds nothing to make standard errors of."""
    summary = _summary(model)
    if summary is None:
        return [], *_estimates(model), _meaning(model, None)
    # How training ended stands elsewhere on the screen; here stands only what follows from it.
    trouble = summary.trouble.removeprefix(model.solution.sentence).strip()
    before = [*([trouble] if trouble else []), *summary_facts(summary)]
    head: list[str] = ["name", *summary_header(summary)[1:]]
    table: list[list[str]] = []
    for output, cells in summary_rows(summary):
        indent = "" if output is None else "  "
        table += [] if output is None else [[output] + [""] * (len(head) - 1)]
        table += [[indent + name, *rest] for name, *rest in cells]
    return before, head, table, _meaning(model, summary)


def coefficient_facts(model: FittedModel) -> dict[str, object]:
    """For JSON: the coefficients as `coef_` has them, and the summary or null."""
    W, b = model.coefficients
    summary = _summary(model)
    return {
        "coefficients": {
            "outputs": _outputs(model),
            "intercept": b.tolist(),
            "estimates": dict(zip(_inputs(model), W.tolist(), strict=True)),
        },
        "summary": None
        if summary is None
        else {name: _plain(value) for name, value in vars(summary).items() if name not in _NOT_IN_JSON},
    }


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return value.tolist() if isinstance(value, np.ndarray) else value


def _summary(model: FittedModel) -> Summary | None:
    try:
        return summary_of(model, names=names(model), classes=class_labels(model))
    except InputError:
        return None


def class_labels(model: FittedModel) -> list[str] | None:
    """The classes as files write them; None for a regression."""
    return None if model.data.classes is None else [label(c) for c in model.data.classes.tolist()]


def _outputs(model: FittedModel) -> list[str]:
    """The names of the columns of coefficients."""
    if model.n_outputs == 1:
        return ["estimate"]
    return class_labels(model) or list(target_names(model.data.targets, model.n_outputs))


def _estimates(model: FittedModel) -> tuple[list[str], list[list[str]]]:
    W, b = model.coefficients
    table = [["intercept", *map(number, b.tolist())]]
    table += [[name, *map(number, w)] for name, w in zip(_inputs(model), W.tolist(), strict=True)]
    return ["name", *_outputs(model)], table


def _meaning(model: FittedModel, summary: Summary | None) -> list[str]:
    """Sentences on how to read the coefficients."""
    found = []
    classes, schema = class_labels(model), model.data.schema
    if classes is not None:
        if len(classes) == 2:
            found.append(f"The coefficients add to the log odds of {classes[1]} against {classes[0]}.")
        elif summary is not None:
            found.append(f"The coefficients add to the log odds of each class against {classes[0]}.")
        else:
            found.append(
                "The coefficients add to the raw prediction of each class, and softmax turns these into probabilities."
            )
    if classes is None and not model.loss.has_identity_link:
        found.append("The coefficients add to the logarithm of the mean: exp of one is the factor for one unit more.")
    for column in schema.columns if schema is not None else ():
        if column.kind == "category" and column.reference is not None and summary is None:
            found.append(f"The levels of {column.name} are compared with {column.reference}.")
        elif column.kind == "date":
            waves = f", and has a sine and a cosine of the {joined(column.parts)}" if column.parts else ""
            found.append(f"The column {column.name} counts days{waves}.")
    return found if summary is None else [*found, *summary.aliases, *component_lines(summary), *summary.notes]
