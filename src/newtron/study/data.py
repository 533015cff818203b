"""The data of `newtron fit`: a table in memory, or rows that are read in pieces or lie on a cluster.

Both kinds answer the same questions (`FitData`), so that the flow of the command does not depend on where rows lie.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Labels
from newtron.engine.base.words import count, setting, size
from newtron.study.describe import missing_cells
from newtron.study.options import FitOptions
from newtron.study.progress import PassProgress, Reporter
from newtron.study.sample import Sample, TargetValues
from newtron.study.split import hold_out
from newtron.table import Schema, Table, encode, encode_target, learn_schema
from newtron.table.choices import ColumnChoices
from newtron.table.data_file import DataFile
from newtron.table.equal_rows import equal_groups
from newtron.table.frames import stated_choices
from newtron.table.large.file_rows import LEAST_MEMORY, FileRows, TableRows

# Rows whose targets are read for the simplest guess where all rows do not fit in memory: their mean differs from that
# of all rows by about 1/300 of the spread.
_GUESS_ROWS = 100_000


@dataclass(frozen=True, eq=False)
class Training:
    """Rows that models are trained on: in memory, as the schema encodes them, or read again for every pass."""

    schema: Schema
    rows: Sample | TableRows
    n_rows: int

    @property
    def targets(self) -> TargetValues:
        """The targets of all rows, or of a random sample of rows that are not in memory."""
        return self.rows.y if isinstance(self.rows, Sample) else self.rows.some_targets(_GUESS_ROWS)


@dataclass(frozen=True, eq=False)
class Split:
    """Training rows, the rows that are held out (None: none are), a sample of rows in which columns are examined for
    leakage of the target, and sentences for the user."""

    training: Training
    held_out: Sample | None
    examined: Sample | None
    notes: list[str]


@dataclass(frozen=True, eq=False)
class FitData(ABC):
    """What the flow of `newtron fit` asks of its data.

    name: what messages call it. schema: learnt from all rows. n_rows: all rows; n_known: rows with a target. names: of
    the columns. missing: cells without a value, of each column that has any. notes: sentences for the user.
    """

    name: str
    schema: Schema
    n_rows: int
    n_known: int
    names: tuple[str, ...]
    missing: Mapping[str, int]
    notes: tuple[str, ...]

    @abstractmethod
    def split(self, share: float, seed: int) -> Split:
        """Hold out a random share of the rows; a share of 0 holds out none."""

    @abstractmethod
    def everything(self) -> Training:
        """All rows with a target."""


@dataclass(frozen=True, eq=False)
class TableData(FitData):
    """A table in memory. known: positions of the rows with a target; y: their targets; ignore: columns that the user
    leaves out; choices: what the user says of the others."""

    table: Table
    known: NDArray[np.int64]
    y: TargetValues
    ignore: tuple[str, ...]
    choices: ColumnChoices

    @staticmethod
    def learn(table: Table, options: FitOptions) -> TableData:
        """Learn what the columns mean, and find the rows that have a target."""
        choices = options.choices
        if isinstance(options.data, Table):  # a frame, whose types say more than the cells of a file
            choices = stated_choices(table, choices, {options.target, *options.ignore})
        schema = learn_schema(table, options.target, task=options.task, ignore=options.ignore, choices=choices)
        y, kept = encode_target(schema.target, table)
        known, missing = np.flatnonzero(kept), missing_cells(schema, table)
        notes, ignore = tuple(map(str, table.notes)), tuple(options.ignore)
        return TableData(
            table.path,
            schema,
            table.n_rows,
            len(known),
            table.names,
            missing,
            notes,
            table,
            known,
            y,
            ignore,
            choices,
        )

    def split(self, share: float, seed: int) -> Split:
        target, ignore = self.schema.target, {*self.ignore, *(name for name, _ in self.schema.dropped)}
        classes = self.y.astype(np.int64) if target.task == "classification" else None
        alike, are_copies = equal_groups(self.schema, self.table.take(self.known)) if share else (None, False)
        training, held_out = hold_out(self.n_known, classes, share, seed, alike)
        notes = [_on_copies(alike, self.y)] if alike is not None and are_copies else []
        if not len(held_out):
            rows = self._encoded()
            return Split(Training(self.schema, rows, len(rows)), None, rows, notes)
        # The held-out rows must not influence how columns become numbers. Only which columns are used at all, and which
        # are categories, is decided once from all rows, so that what is compared is what is written.
        known = self.table.take(self.known[training])
        schema = learn_schema(
            known, target.name, task=target.task, ignore=sorted(ignore), like=self.schema, choices=self.choices
        )
        rows = Sample(encode(schema, known).X, self.y[training])
        outside = Sample(encode(schema, self.table.take(self.known[held_out])).X, self.y[held_out])
        return Split(Training(schema, rows, len(rows)), outside, rows, notes)

    def everything(self) -> Training:
        return Training(self.schema, self._encoded(), self.n_known)

    def _encoded(self) -> Sample:
        return Sample(encode(self.schema, self.table.take(self.known)).X, self.y)


def labels_of(schema: Schema, y: TargetValues) -> Labels:
    """Targets as an estimator takes them: numbers, or the classes at these positions."""
    return np.array(schema.target.classes)[y] if schema.target.task == "classification" else y


def _on_copies(alike: NDArray[np.int64], y: TargetValues) -> str:
    sizes = np.bincount(alike)
    n, whole = len(alike), len(np.unique(np.rec.fromarrays([alike, y])))
    n_copies = int((sizes[sizes > 1]).sum())
    exact = "1 is an exact copy" if n - whole == 1 else f"{n - whole:,} are exact copies"
    also = f"; {exact} of another, target included" if whole < n else ""
    return (
        f"{n_copies:,} of {n:,} rows are equal to another in every column that is used{also}. Equal rows are on the "
        "same side of the split, so that no model is judged on rows that it knows. Where they are copies by mistake, "
        "take them out."
    )


@dataclass(frozen=True, eq=False)
class StreamedData(FitData):
    """Rows that are read again for every pass. how: how they are read, as the beginning of a sentence."""

    rows: TableRows
    how: str

    def split(self, share: float, seed: int) -> Split:
        notes = [f"{self.how}, and what the columns mean was learnt from all rows, those held out among them."]
        if not share:
            return Split(self.everything(), None, None, notes)
        training, X, y = self.rows.hold_out(share, seed)
        if training.copies_left_out:
            notes.append(
                f"{count(training.copies_left_out, 'row')} that are equal to held-out rows in every column were left "
                "out of training while models were compared, so that none is judged on rows that it knows. Where rows "
                "are copies by mistake, take them out."
            )
        held_out = Sample(X.astype(np.float64, copy=False), y)
        return Split(Training(self.schema, training, training.n_rows), held_out, held_out, notes)

    def everything(self) -> Training:
        return Training(self.schema, self.rows, self.n_known)


def streamed_data(rows: TableRows, how: str, reporter: Reporter) -> StreamedData:
    """Rows whose columns are learnt, with the progress of each pass told. how: as in `StreamedData`."""
    rows.watch = reporter.passing
    names, missing = rows.column_names, rows.missing
    return StreamedData(rows.name, rows.schema, rows.total_rows, rows.n_rows, names, missing, rows.notes, rows, how)


def check_piece_memory(memory: int) -> None:
    """Raise an InputError where the memory is too small for reading in pieces."""
    if memory < LEAST_MEMORY:
        raise InputError(
            f"{setting('memory', repr(size(memory)))}: reading files in pieces takes more; give at least "
            f"{size(LEAST_MEMORY)}."
        )


def file_data(source: DataFile, options: FitOptions, reporter: Reporter) -> StreamedData:
    """Learn the columns of files that are read in pieces, in one pass."""
    if options.report is not None:
        raise InputError(
            f"{setting('report')}: these files are read in pieces, and a report shows single rows of them; give more "
            f"{setting('memory')}, or leave it out."
        )
    check_piece_memory(options.memory)
    if os.path.isfile(source.path):
        limit = f"{size(options.memory)} ({setting('memory')})"
        how = f"The cells take more than {limit}: they were read in pieces for every pass"
    else:
        how = "The files of a folder or a pattern are read in pieces for every pass, however small they are"
    rows = FileRows(
        source,
        options.target,
        task=options.task,
        ignore=options.ignore,
        choices=options.choices,
        memory=options.memory,
        folder=options.scratch,
        encoding=options.encoding,
        n_jobs=options.threads,
        progress=PassProgress(reporter, "learning the columns", "row"),
        converting=PassProgress(reporter, "converting the text", "byte"),
    )
    return streamed_data(rows, how, reporter)
