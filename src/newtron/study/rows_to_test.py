"""The rows of a test file, which models are compared on or scored on in the end."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from newtron.engine.base.errors import InputError
from newtron.engine.base.words import count, setting
from newtron.study.data import FitData, TableData, exposure
from newtron.study.options import FitOptions
from newtron.study.row_columns import RowColumns, group_names, row_columns
from newtron.study.sample import Sample, TargetValues
from newtron.table import Schema, Table, encode, encode_target
from newtron.table.data_file import data_file_of
from newtron.table.encode import check_columns, filled_in
from newtron.table.in_memory import table_in_memory


@dataclass(frozen=True, eq=False)
class RowsToTest:
    """The rows of a test file that have a target. y: their targets; notes: sentences for the user."""

    table: Table
    y: TargetValues
    columns: RowColumns
    offset: str | None
    notes: tuple[str, ...]

    @staticmethod
    def read(options: FitOptions, data: FitData) -> RowsToTest:
        """Read and check the test file, before long work. Raises InputError where a column is missing, a cell is not
        what its column is in the data, a class is unknown, or the rows do not fit in memory."""
        table = table_to_test(options, data.schema.letters)
        schema, name = data.schema, table.path
        check_columns(schema, name, table.names)
        table.cells(schema.target.name)  # the error lists near names
        y, kept = encode_target(schema.target, table)
        if len(y) < 2:
            raise InputError(
                f"{name}: {count(len(y), 'row has', 'rows have')} a value of the target {schema.target.name!r}, and "
                "a test needs at least 2."
            )
        known = table.take(np.flatnonzero(kept))
        encoded = encode(schema, known)
        notes = [*map(str, table.notes), *filled_in(schema, encoded.unseen, encoded.missing)]
        if len(y) < table.n_rows:
            notes.append(f"{count(table.n_rows - len(y), 'row')} without a value of the target left out.")
        equal = data.known_here(encoded.X)
        if equal:
            notes.append(
                f"{equal:,} of its {count(len(y), 'row')} {'is' if equal == 1 else 'are'} equal to a row of "
                f"{data.name} in every column that is used: models know such rows, and their scores look better for it."
            )
        columns = row_columns(known, options)
        if options.group is not None and isinstance(data, TableData):
            notes += _shared_groups(known, options.group, data)
        told = (note if note.startswith(name) else f"{name}: {note}" for note in notes)
        return RowsToTest(known, y, columns, options.offset, tuple(told))

    @property
    def name(self) -> str:
        return self.table.path

    def sample(self, schema: Schema) -> Sample:
        """The rows as a schema encodes them."""
        X = encode(schema, self.table).X
        return Sample(X, self.y, self.columns.weight, self.columns.group, exposure(schema, self.offset, X))


def table_to_test(options: FitOptions, letters: Collection[str] = ()) -> Table:
    """The table of a test file. letters: columns that a schema reads as text. Raises InputError where it is the data
    itself, or does not fit in memory."""
    test = options.test
    if not isinstance(test, str):
        if test is None:
            raise TypeError("there is no test file")
        return test
    data = options.data
    if isinstance(data, str) and os.path.exists(test) and os.path.exists(data) and os.path.samefile(test, data):
        raise InputError(f"{setting('test', repr(test))}: this is the data itself; name a file with other rows.")
    table = table_in_memory(data_file_of(test, options.scratch), options.encoding, options.memory, letters=letters)
    if table is None:
        raise InputError(
            f"{setting('test', repr(test))}: rows that are tested on must fit in memory; give one file, and more "
            f"{setting('memory')} if its cells take more."
        )
    return table


def _shared_groups(table: Table, name: str, data: TableData) -> list[str]:
    """A sentence where groups of the test file are in the data too."""
    shared = group_names(data.table, name) & group_names(table, name)
    if not shared:
        return []
    return [
        f"{count(len(shared), 'group')} by {name!r} {'is' if len(shared) == 1 else 'are'} in {data.name} too: models "
        "know rows that are like these, and their scores look better for it."
    ]
