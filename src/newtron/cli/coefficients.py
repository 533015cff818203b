"""The coefficients of a perceptron on the screen of `show` and in its JSON: its summary, where the fit kept one."""

from __future__ import annotations

from typing import Any

import numpy as np

from newtron.cli.screen import Screen
from newtron.engine.base.errors import InputError
from newtron.engine.base.words import column_names, label, number, target_names
from newtron.estimators.stored import Bundle
from newtron.inference.coefficients.summary import Summary, summary_facts, summary_header, summary_rows
from newtron.model.summary import summary_of

_TERMS_SHOWN = 200
_IN_JSON = (
    "names",
    "estimates",
    "standard_errors",
    "statistics",
    "p_values",
    "intervals",
    "interval_kind",
    "covariance",
    "coverage",
    "interval_method",
    "log_likelihood",
    "aic",
    "bic",
    "penalised_log_likelihood",
    "effective_parameters",
    "n_rows",
    "total_weight",
    "residual_sd",
    "r_squared",
    "aliases",
    "trouble",
    "notes",
)


def names(bundle: Bundle) -> list[str]:
    """What the inputs are called: in the file, or where the model was fitted."""
    return (
        list(bundle.schema.feature_names)
        if bundle.schema is not None
        else list(column_names(bundle.estimator.model_.data.names, bundle.estimator.n_features_in_))
    )


def show_coefficients(screen: Screen, bundle: Bundle) -> None:
    """The table of `coefficient_table`, with its sentences."""
    screen.heading("Coefficients, in the units of the data")
    before, head, table, after = coefficient_table(bundle)
    for line in before:
        screen.sentence(line, indent=2)
    screen.table(head, table[:_TERMS_SHOWN])
    if len(table) > _TERMS_SHOWN:
        screen.sentence(f"and {len(table) - _TERMS_SHOWN:,} more, which --json lists", indent=2)
    for sentence in after:
        screen.sentence(sentence, indent=2)


def coefficient_table(bundle: Bundle) -> tuple[list[str], list[str], list[list[str]], list[str]]:
    """Sentences, header, rows, and sentences that say how to read them: the summary's table, or the estimates alone
    where the file holds nothing to make standard errors of."""
    summary = _summary(bundle)
    if summary is None:
        return [], *_estimates(bundle), _meaning(bundle, None)
    # How training ended is told elsewhere; here stands what follows from it.
    trouble = summary.trouble.removeprefix(bundle.estimator.solution_.sentence).strip()
    before = [*([trouble] if trouble else []), *summary_facts(summary)]
    head: list[str] = ["name", *summary_header(summary)[1:]]
    table: list[list[str]] = []
    for output, cells in summary_rows(summary):
        indent = "" if output is None else "  "
        table += [] if output is None else [[output] + [""] * (len(head) - 1)]
        table += [[indent + name, *rest] for name, *rest in cells]
    return before, head, table, _meaning(bundle, summary)


def coefficient_facts(bundle: Bundle) -> dict[str, Any]:
    """For JSON: the coefficients as `coef_` has them, and the summary or null."""
    estimator = bundle.estimator
    W = np.atleast_2d(estimator.coef_)
    summary = _summary(bundle)
    return {
        "coefficients": {
            "outputs": _outputs(estimator, len(W)),
            "intercept": np.atleast_1d(estimator.intercept_).tolist(),
            "estimates": {name: w for name, w in zip(names(bundle), W.T.tolist(), strict=True)},
        },
        "summary": None if summary is None else {name: _plain(getattr(summary, name)) for name in _IN_JSON},
    }


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value


def _summary(bundle: Bundle) -> Summary | None:
    try:
        target = None if bundle.schema is None else bundle.schema.target.name
        return summary_of(
            bundle.estimator.model_, names=names(bundle), classes=_classes(bundle.estimator), target=target
        )
    except InputError:
        return None


def _classes(estimator: Any) -> list[str] | None:
    return [label(c) for c in estimator.classes_.tolist()] if hasattr(estimator, "classes_") else None


def _outputs(estimator: Any, n_outputs: int) -> list[str]:
    """What each column of coefficients is of."""
    if n_outputs == 1:
        return ["estimate"]
    return _classes(estimator) or list(target_names(estimator.model_.data.targets, n_outputs))


def _estimates(bundle: Bundle) -> tuple[list[str], list[list[str]]]:
    estimator = bundle.estimator
    W = np.atleast_2d(estimator.coef_)
    head = ["name", *_outputs(estimator, len(W))]
    table = [["intercept", *map(number, np.atleast_1d(estimator.intercept_).tolist())]]
    table += [[name, *map(number, w)] for name, w in zip(names(bundle), W.T.tolist(), strict=True)]
    return head, table


def _meaning(bundle: Bundle, summary: Summary | None) -> list[str]:
    """How to read the coefficients."""
    found = []
    classes = _classes(bundle.estimator)
    if classes is not None:
        if len(classes) == 2:
            found.append(f"The coefficients add to the log odds of {classes[1]} against {classes[0]}.")
        elif summary is not None:
            found.append(f"The coefficients add to the log odds of each class against {classes[0]}.")
        else:
            found.append(
                "The coefficients add to the raw prediction of each class, and softmax turns these into probabilities."
            )
    for column in bundle.schema.columns if bundle.schema is not None else ():
        if column.kind == "category" and column.reference is not None:
            found.append(f"The levels of {column.name} are compared with {column.reference}.")
        elif column.kind == "date":
            found.append(f"The column {column.name} counts days.")
    return [*found, *([*summary.aliases, *summary.notes] if summary is not None else [])]
