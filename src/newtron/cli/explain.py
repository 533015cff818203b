"""`newtron explain`: the derivation of the prediction for one row of a file, in the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array, Labels
from newtron.engine.base.words import clean, count
from newtron.model_file import read_model
from newtron.study.screen import Screen, print_json
from newtron.table import Schema, Table, encode, encode_target, read_table
from newtron.table.encode import filled_in
from newtron.training.columns import schema_of
from newtron.training.fitted import FittedModel

if TYPE_CHECKING:
    from newtron.explain import Derivation


def run_explain(
    path: str, data: str, row: int, notation: str, member: int | None, encoding: str, sheet: str | None, json: bool
) -> int:
    """Run `newtron explain` on a model file and return its exit code.

    row, member: counted from 1; member is None for the best network. json: print JSON."""
    model = read_model(path).model
    schema = schema_of(model.data, model.settings)
    table = read_table(data, encoding=encoding, letters=schema.letters, sheet=sheet)
    chosen = _chosen(table, row)
    encoded = encode(schema, chosen)
    for sentence in filled_in(schema, encoded.unseen, encoded.missing):
        print(f"{clean(table.path)}: {clean(sentence)}", file=sys.stderr)
    derivation = _derive(model, encoded.X, _target(model, schema, chosen), notation, member)
    if json:
        print_json(derivation.to_dict())
        return 0
    screen = Screen()
    screen.heading(f"{table.path}, row {row:,} of {count(table.n_rows, 'row')}")
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


def _target(model: FittedModel, schema: Schema, row: Table) -> Labels | None:
    """The observed target of the row, which the loss compares the prediction with; None where it is not known."""
    if schema.target.name not in row:
        return None
    y, kept = encode_target(schema.target, row)
    if not kept[0]:
        return None
    return y if model.data.classes is None else model.data.classes[y]


def _derive(model: FittedModel, X: Array, y: Labels | None, notation: str, member: int | None) -> Derivation:
    from newtron.model.explanation import explained

    try:
        return explained(model, X, y, notation=notation, member=member)
    except InputError as error:
        if member is not None and str(error).startswith("member="):
            raise InputError(
                f"--member {member}: the model has {count(len(model.members), 'network')}; "
                f"give a number from 1 to {len(model.members)}."
            ) from None
        raise


def _print(screen: Screen, derivation: Derivation) -> None:

    for text, style in derivation.styled_lines(screen.width):
        if text:
            screen.line(text, style)
        else:
            screen.gap()
