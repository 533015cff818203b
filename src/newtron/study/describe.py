"""A schema in words, for the screens of `newtron fit` and `newtron show`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from newtron.engine.base.words import capital, clean, count, joined, label, listed, setting
from newtron.table.schema import Column, Schema
from newtron.table.table import Table
from newtron.training.fitted import FittedModel

_KINDS = (
    ("number", "numbers"),
    ("yes/no", "yes/no"),
    ("category", "categories"),
    ("factor", "groups"),
    ("date", "dates"),
)
_DROPPED_SHOWN = 10  # reasons for leaving columns out that are listed


def missing_cells(schema: Schema, table: Table) -> dict[str, int]:
    """The number of missing cells by column, without the columns that have none."""
    from newtron.table.cells import plain

    found = {column.name: plain(table.column(column.name)).null_count for column in schema.columns}
    return {name: n for name, n in found.items() if n}


def target_pair(schema: Schema) -> tuple[str, str]:
    target = schema.target
    if target.task == "regression":
        return "target", f"{clean(target.name)}: a number (regression)"
    classes = f"{count(len(target.classes), 'class', 'classes')}, {listed([label(c) for c in target.classes])}"
    return "target", f"{clean(target.name)}: {classes} (classification)"


def column_pairs(schema: Schema, missing: Mapping[str, int] | None = None) -> list[tuple[str, str]]:
    """Columns by kind, what is filled in, and what is not used and why. `missing` counts missing cells,
    where the table is at hand."""
    pairs = []
    if schema.formula is not None:
        return [("formula", schema.formula.text), ("reads", listed(schema.formula.columns))]
    for kind, title in _KINDS:
        columns = [column for column in schema.columns if column.kind == kind]
        if columns:
            pairs.append((title, listed([_named(column) for column in columns])))
    pairs += _read_pairs(schema)
    if missing is None:
        filled = [column.name for column in schema.columns if column.missing_seen]
        if filled:
            pairs.append(("missing cells", f"marked or filled in with the mean: {listed(filled)}"))
    elif missing:
        pairs.append(("missing cells", listed([f"{name} {n:,}" for name, n in missing.items()])))
        kinds = {column.kind for column in schema.columns if column.name in missing}
        if kinds - {"category", "factor"}:
            pairs.append(("", "A missing number is filled in with the mean, and a column of its own marks where."))
        if kinds & {"category", "factor"}:
            pairs.append(("", "A missing category is a level of its own."))
    reasons: dict[str, list[str]] = {}
    # Reasons that a user can do something about come first; what to do stands after a colon.
    for name, reason in sorted(schema.dropped, key=lambda pair: ": " not in pair[1]):
        reasons.setdefault(reason, []).append(name)
    for reason, names in list(reasons.items())[:_DROPPED_SHOWN]:
        pairs.append(("not used", f"{'each of ' if len(names) > 1 else ''}{listed(names)}: {reason}"))
    if more := sum(len(names) for names in list(reasons.values())[_DROPPED_SHOWN:]):
        pairs.append(("not used", f"and {count(more, 'more column')}"))
    return pairs


def group_pairs(factors: Sequence[Column]) -> list[tuple[str, str]]:
    """What becomes of text with many levels where a network is compared with a perceptron."""
    if not factors:
        return []
    named = listed([_named(column) for column in factors])
    return [("groups", f"{named}: for the network, a random intercept for each level in place of columns")]


def landmarks_in_words(model: FittedModel) -> list[str]:
    """What a network on landmarks takes, and what a model file holds of the rows of training because of it; nothing
    where there is no such network."""
    landmarks = model.scaling.landmarks
    if landmarks is None:
        return []
    return [
        f"The network on landmarks is told how near a row is to {count(len(landmarks.points), 'row')} of the training, "
        "the landmarks. The model file holds their columns, without targets: pass such a file on as you would these "
        f"rows. Where shapes are given ({setting('hidden')}), no such network is trained."
    ]


def _read_pairs(schema: Schema) -> list[tuple[str, str]]:
    """A line for each column of which the text is read by a rule."""
    readings = [(column.name, column.reading) for column in schema.columns if column.reading]
    readings += [(schema.target.name, schema.target.reading)] if schema.target.reading else []
    lines = [f"{clean(name)}: {cell!r} is {value}" for name, reading in readings for cell, value in [reading.example]]
    return [("read as" if k == 0 else "", line) for k, line in enumerate(lines)]


def _named(column: Column) -> str:
    if column.kind == "factor":
        return f"{column.name} ({count(len(column.levels), 'level')})"
    if column.kind == "category":
        n_levels = len(column.levels) + len(column.pooled) + 1
        rest = f", {len(column.pooled):,} of them joined" if column.pooled else ""
        return f"{column.name} ({count(n_levels, 'level')}{rest})"
    if column.parts:
        return f"{column.name} (and where in the {joined(column.parts)} it is)"
    if column.kind == "yes/no":
        return f"{column.name} ({column.reference}, {column.levels[0]})"
    return column.name


def warnings_of(schema: Schema) -> list[str]:
    """The warnings of a schema that `column_pairs` does not contain already."""
    said = {f"the column {name!r} is not used: {reason}." for name, reason in schema.dropped}
    return [capital(warning) for warning in schema.warnings if warning not in said]
