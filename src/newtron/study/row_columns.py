"""Columns that say something of the rows and are no features: their weights, the groups they belong to, their order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array
from newtron.engine.base.words import column_setting, columns_setting, count, either, setting
from newtron.study.options import FitOptions
from newtron.table import Table
from newtron.table.arrow import ArrowArray
from newtron.table.candidates import Candidates
from newtron.table.cells import as_days, as_numbers, coded_cells, is_date, is_text, plain

# What a weight says of its row.
_MEANING = {
    "frequency": "each row counts as so many rows",
    "precision": "the inverse of the variance of each row's target, but for a constant",
    "sampling": "the inverse of the chance with which each row came into the sample, but for a constant",
}


class RowColumns(NamedTuple):
    """What the columns say of some rows: weight (n,) or None; group (n,), the number of each row's group, or None.
    pairs: labels and texts that tell it to the user."""

    weight: Array | None
    group: NDArray[np.int64] | None
    pairs: tuple[tuple[str, str], ...] = ()


def set_aside(options: FitOptions) -> dict[str, str]:
    """The columns that are no features, because they say something of the rows, and what they say. Raises InputError
    for the target."""
    found = {}
    for name, of, what in (
        (options.weights, "weights", "it weighs the rows"),
        (options.group, "group", "it groups the rows"),
    ):
        if name == options.target:
            raise InputError(f"{columns_setting(of, [name])}: this is the target; name another column.")
        if name is not None:
            found[name] = f"{what} ({setting(of)})"
    return found


def row_columns(table: Table, options: FitOptions) -> RowColumns:
    """Read the weights and groups of all rows of a table. Raises InputError where a weight is none."""
    weight, group, pairs = None, None, []
    if options.weights is not None:
        weight = _weights(table, options.weights)
        meaning = _MEANING[options.weights_kind or "frequency"]
        pairs.append(("weights", f"{options.weights} ({options.weights_kind or 'frequency'}): {meaning}"))
    if options.group is not None:
        group, alone = _groups(table, options.group)
        lonely = f"; {count(alone, 'row')} without one, each a group of its own" if alone else ""
        n = int(group.max(initial=-1)) + 1 - alone
        pairs.append(("groups", f"{options.group}: {count(n, 'group')}{lonely}"))
    return RowColumns(weight, group, tuple(pairs))


def row_order(table: Table, options: FitOptions) -> Array:
    """(n,) the numbers, or the dates in days, of the column that orders the rows; nan where a cell is missing. Raises
    InputError where a cell is neither, or the dates can be read in two ways."""
    name = options.holdout_by or ""
    given, cells = columns_setting("holdout_by", [name]), plain(table.column(name))
    values = as_days(cells) if is_date(cells) else as_numbers(cells)
    if not isinstance(values, int):
        return values
    rules = _rules(table, cells, Candidates(order=options.choices.orders.get(name)))
    if rules.is_doubtful:
        ways = either(*(column_setting(name, "date", order) for order in ("dmy", "mdy")))
        raise InputError(
            f"{table.place(name)}: {rules.doubtful}, which is a date with the day first or with the month first, and "
            f"{given} needs to know which; say it: {ways}."
        )
    return _values(table, name, cells, rules, f"is neither a number nor a date, and {given} needs an order")


def _rules(table: Table, cells: ArrowArray, rules: Candidates) -> Candidates:
    """The rules that read all texts of a column."""
    values, codes = coded_cells(cells)
    if is_text(values):
        rules.add(values, codes, lambda place: table.row_number(int(np.argmax(codes == place))))
    return rules


def _values(table: Table, name: str, cells: ArrowArray, rules: Candidates, wrong: str) -> Array:
    """The numbers or days by the rule that was found. wrong: what to say of a cell that no rule reads."""
    found = rules.found(table.decimal)
    if found is not None:
        read = as_days if found.kind == "date" else as_numbers
        values = read(cells) if found.reading is None else found.reading.read(cells)
        if not isinstance(values, int):
            return values
    row, cell = rules.refused
    where = f"{table.path}, row {row:,}, column {name!r}: {cell}" if row else f"{table.place(name)}: a cell"
    raise InputError(f"{where} {wrong}; correct the cell, or name another column.")


def group_names(table: Table, name: str) -> set[object]:
    """The different values of a column that groups the rows."""
    return set(coded_cells(plain(table.column(name)))[0].to_pylist())


def _weights(table: Table, name: str) -> Array:
    cells = plain(table.column(name))
    plainly = as_numbers(cells)
    if isinstance(plainly, int):
        values = _values(table, name, cells, _rules(table, cells, Candidates("number")), "is no weight")
    else:
        values = plainly
    for wrong, what in ((np.isnan(values), "there is no weight here"), (values < 0.0, "a weight below zero is none")):
        if wrong.any():
            raise InputError(
                f"{table.place_of_rows(name, np.flatnonzero(wrong))}: {what}; give each row a number, 0 or more."
            )
    if not values.any():
        raise InputError(f"{table.path}, column {name!r}: every weight is 0, so no row counts; give weights above 0.")
    return values


def _groups(table: Table, name: str) -> tuple[NDArray[np.int64], int]:
    """(n,) the number of each row's group, where a row without a value is a group of its own, and how many are that."""
    values, codes = coded_cells(plain(table.column(name)))
    alone = np.flatnonzero(codes == len(values))
    codes = codes.copy()
    codes[alone] = len(values) + np.arange(len(alone))
    return codes, len(alone)
