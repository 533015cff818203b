"""`newtron explain`: the derivation of the prediction for one row of a file, in the terminal."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from newtron.cli.options import ExplainOptions
from newtron.cli.predict import filled_in, needed_schema
from newtron.cli.screen import Screen
from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array, Labels
from newtron.engine.base.words import clean, count, strict
from newtron.model_file import read_model
from newtron.table import Schema, Table, encode, encode_target, read_table
from newtron.training.fitted import FittedModel

if TYPE_CHECKING:
    from newtron.explain import Derivation


def run_explain(options: ExplainOptions) -> int:
    """Run `newtron explain` and return its exit code."""
    model = read_model(options.model).model
    schema = needed_schema(model, options.model)
    table = read_table(options.data, encoding=options.encoding)
    row = _chosen(table, options.row)
    encoded = encode(schema, row)
    for sentence in filled_in(schema, encoded.unseen, encoded.missing):
        print(f"{clean(table.path)}: {clean(sentence)}", file=sys.stderr)
    derivation = _derive(model, schema, encoded.X, _target(model, schema, row), options)
    if options.json:
        sys.stdout.write(json.dumps(strict(derivation.to_dict()), ensure_ascii=False, allow_nan=False) + "\n")
        return 0
    screen = Screen()
    screen.heading(f"{table.path}, row {options.row:,} of {count(table.n_rows, 'row')}")
    _print(screen, derivation)
    return 0


def _chosen(table: Table, number: int) -> Table:
    """The row as a table of one row; rows of data count from 1."""
    if table.n_rows == 0:
        raise InputError(f"{table.path}: there are no rows of data to explain.")
    if number > table.n_rows:
        has = count(table.n_rows, "row")
        raise InputError(f"--row {number}: {table.path} has {has} of data; give a number from 1 to {table.n_rows:,}.")
    return table.take([number - 1])


def _target(model: FittedModel, schema: Schema, row: Table) -> Labels:
    """The observed target of the row, which the loss compares the prediction with."""
    y, kept = encode_target(schema.target, row)
    if not kept[0]:
        place = row.place(schema.target.name, 0)
        raise InputError(f"{place}: the cell is empty, and without it there is no loss; choose another row.")
    return y if model.data.classes is None else model.data.classes[y]


def _derive(model: FittedModel, schema: Schema, X: Array, y: Labels, options: ExplainOptions) -> Derivation:
    from newtron.model.explanation import explained

    try:
        return explained(model, X, y, notation=options.notation, member=options.member, names=schema.feature_names)
    except InputError as error:
        if options.member is not None and str(error).startswith("member="):
            raise InputError(
                f"--member {options.member}: the model has {count(len(model.members), 'network')}; "
                f"give a number from 1 to {len(model.members)}."
            ) from None
        raise


def _print(screen: Screen, derivation: Derivation) -> None:

    for text, style in derivation.styled_lines(screen.width):
        if text:
            screen.line(text, style)
        else:
            screen.gap()
