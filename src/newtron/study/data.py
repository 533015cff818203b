"""The data of `newtron fit`: a table in memory, or rows that are read in pieces or lie on a cluster.

Both kinds answer the same questions (`FitData`), so that the flow of the command does not depend on where rows lie.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import InputError
from newtron.engine.base.row_hashes import row_hashes
from newtron.engine.base.types import Array, Labels
from newtron.engine.base.words import columns_setting, count, setting, size
from newtron.study.describe import group_pairs, missing_cells
from newtron.study.options import FitOptions
from newtron.study.progress import PassProgress, Reporter
from newtron.study.row_columns import row_columns, row_order, set_aside
from newtron.study.sample import Sample, TargetValues
from newtron.study.split import FEWEST, folds, hold_out, hold_out_groups, hold_out_last
from newtron.table import Schema, Table, encode, encode_target, learn_schema
from newtron.table.choices import ColumnChoices
from newtron.table.data_file import DataFile
from newtron.table.equal_rows import equal_groups
from newtron.table.frames import stated_choices
from newtron.table.large.file_rows import LEAST_MEMORY, FileRows, TableRows
from newtron.table.learn import has_many_levels
from newtron.table.table import show

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
    def known(self) -> Sample:
        """All rows, or of rows that are not in memory the targets of a random sample, without X."""
        if isinstance(self.rows, Sample):
            return self.rows
        y = self.rows.some_targets(_GUESS_ROWS)
        return Sample(np.empty((len(y), 0)), y)


@dataclass(frozen=True, eq=False)
class Split:
    """Training rows, the rows that are held out (None: none are), a sample of rows in which columns are examined for
    leakage of the target, and sentences for the user.

    grouped: both as a network sees them, where text with many levels says what group a row is of; None where it sees
    the same columns as a perceptron. how: what the models are compared on, as the end of a heading: "on 69 rows that
    were held out". fold, of: its number, from 1, among the folds of a cross-validation, and how many there are; 0 where
    this is the only split.
    """

    training: Training
    held_out: Sample | None
    examined: Sample | None
    notes: list[str]
    how: str = ""
    fold: int = 0
    of: int = 0
    grouped: tuple[Training, Sample | None] | None = None

    def seen_by(self, name: str) -> tuple[Training, Sample | None]:
        """The training rows and those that are held out with the columns of this model."""
        return self.grouped if name == "network" and self.grouped is not None else (self.training, self.held_out)


@dataclass(frozen=True, eq=False)
class FitData(ABC):
    """What the flow of `newtron fit` asks of its data.

    name: what messages call it. schema: learnt from all rows, for perceptrons and where a network is alone. n_rows: all
    rows; n_known: rows with a target. names: of the columns. missing: cells without a value, of each column that has
    any. notes: sentences for the user. pairs: labels and texts on columns that are no features.
    """

    name: str
    schema: Schema
    n_rows: int
    n_known: int
    names: tuple[str, ...]
    missing: Mapping[str, int]
    notes: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]

    @abstractmethod
    def splits(self, options: FitOptions) -> Iterator[Split]:
        """The training rows and those that are held out, as often as the options ask for: once, or for each fold."""

    @abstractmethod
    def everything(self, name: str = "") -> Training:
        """All rows with a target, with the columns of this model."""

    def schema_of(self, name: str) -> Schema:
        """What the columns mean to this model."""
        return self.schema

    @abstractmethod
    def known_here(self, X: Array) -> int:
        """How many rows of X (n, p), as the schema encodes them, are equal to a row of this data."""


@dataclass(frozen=True, eq=False)
class TableData(FitData):
    """A table in memory. known: positions of the rows with a target; y: their targets; ignore: columns that are no
    features; choices: what the user says of the others; weight, group: as in `Sample`, of the rows with a target;
    offset: the column that is the logarithm of the exposure, or None; grouped: the schema of a network that is compared
    with a perceptron, where text with many levels is a factor; None where no column is one."""

    table: Table
    known: NDArray[np.int64]
    y: TargetValues
    ignore: tuple[str, ...]
    choices: ColumnChoices
    weight: Array | None
    group: NDArray[np.int64] | None
    offset: str | None
    grouped: Schema | None = None

    @staticmethod
    def learn(table: Table, options: FitOptions) -> TableData:
        """Learn what the columns mean, and find the rows that have a target."""
        aside = set_aside(options)
        for name in aside:
            table.cells(name)  # the error lists near names
        ignore, choices = tuple(dict.fromkeys((*options.ignore, *aside))), options.choices
        if isinstance(options.data, Table):  # a frame, whose types say more than the cells of a file
            choices = stated_choices(table, choices, {options.target, *ignore})
        schema = learn_schema(table, options.target, task=options.task, ignore=ignore, choices=choices)
        dropped = tuple((name, aside.get(name, reason)) for name, reason in schema.dropped)
        grouped = _grouped(schema, table, options, ignore, choices)
        factors = [column for column in grouped.columns if column.kind == "factor"] if grouped is not None else []
        y, kept = encode_target(schema.target, table)
        known = np.flatnonzero(kept)
        weight, group, pairs = row_columns(table.take(known), options)
        return TableData(
            table.path,
            replace(schema, dropped=dropped),
            table.n_rows,
            len(known),
            table.names,
            missing_cells(schema, table),
            tuple(map(str, table.notes)),
            (*pairs, *group_pairs(factors)),
            table,
            known,
            y,
            ignore,
            choices,
            weight,
            group,
            options.offset,
            None if grouped is None else replace(grouped, dropped=dropped),
        )

    def splits(self, options: FitOptions) -> Iterator[Split]:
        share = options.holdout_share
        few = self.n_known < FEWEST and options.holdout_by is None
        if options.cv is not None or (few and share and options.model != "network"):
            yield from self._folds(options)
        elif few or not share:
            yield self._undivided()
        else:
            yield self._held_out(options, share)

    def _undivided(self) -> Split:
        rows = self.everything()
        return Split(rows, None, rows.known, [])

    @property
    def _classes(self) -> NDArray[np.int64] | None:
        return self.y.astype(np.int64) if self.schema.target.task == "classification" else None

    def _held_out(self, options: FitOptions, share: float) -> Split:
        """Hold out a share of the rows once: the last in an order, whole groups, or random ones."""
        n, notes, seed = self.n_known, list[str](), f"(seed {options.seed})"
        if options.holdout_by is not None:
            return self._last(options, options.holdout_by, share)
        if self.group is not None:
            training, held_out = hold_out_groups(self.group, self._classes, share, options.seed)
            groups = [count(len(np.unique(self.group[rows])), "group") for rows in (held_out, training)]
            self._check_weight(held_out, "held out")
            how = f"rows of {groups[0]} by {options.group!r} that were held out; trained on {len(training):,} of"
            return self._divided(training, held_out, notes, f"on {len(held_out):,} {how} {groups[1]} {seed}")
        alike, are_copies = equal_groups(self.schema, self.table.take(self.known))
        training, held_out = hold_out(n, self._classes, share, options.seed, alike)
        if alike is not None and are_copies:
            notes.append(_on_copies(alike, self.y))
        self._check_weight(held_out, "held out")
        how = f"on {len(held_out):,} rows that were held out; trained on {len(training):,} {seed}"
        return self._divided(training, held_out, notes, how)

    def _last(self, options: FitOptions, name: str, share: float) -> Split:
        """Hold out the rows with the largest values of a column."""
        table, notes = self.table.take(self.known), list[str]()
        order = row_order(table, options)
        training, held_out = hold_out_last(order, share)
        lost = np.setdiff1d(self.y[held_out], self.y[training])
        if self._classes is not None and len(lost):
            raise InputError(
                f"{columns_setting('holdout_by', [name])}: the class {show(self.schema.target.classes[lost[0]])} is "
                "in no row before those that are held out, so that no model can know it; hold out fewer "
                f"({setting('holdout')}), or leave it out."
            )
        absent = int(np.isnan(order).sum())
        if absent:
            notes.append(
                f"{count(absent, 'row has', 'rows have')} no value in {name!r}, which orders the rows: "
                f"{'it is a training row' if absent == 1 else 'they are training rows'}."
            )
        first = held_out[np.argmin(order[held_out])]
        start = table.take([first]).texts(name)[0]
        how = f"on the last {len(held_out):,} rows by {name!r}, from {start} on; trained on {len(training):,} before"
        self._check_weight(held_out, "held out")
        return self._divided(training, held_out, notes, how)

    def _folds(self, options: FitOptions) -> Iterator[Split]:
        """Hold out each fold of a cross-validation in turn; without a number of folds, each row or group alone."""
        groups, notes = self.group, list[str]()
        if groups is None and options.cv is not None:
            groups, are_copies = equal_groups(self.schema, self.table.take(self.known))
            if groups is not None and are_copies:
                notes.append(_on_copies(groups, self.y))
        k = options.cv or (self.n_known if groups is None else len(np.unique(groups)))
        fold = folds(self.n_known, self._classes, k, options.seed, groups)
        found, fold = np.unique(fold, return_inverse=True)
        alone = int(np.sum(found[fold] < 0))
        fold -= int(found[0] < 0)
        n = int(fold.max()) + 1
        if (options.cv is not None and n < options.cv) or n < 2:
            if options.cv is None:
                yield self._undivided()
                return
            raise InputError(
                f"{setting('cv', str(options.cv))}: {self.name} has rows for {count(n, 'fold')} only, since "
                f"{'rows of a group are' if self.group is not None else 'equal rows are'} in one fold and every class "
                "must be trained on; give fewer folds."
            )
        if alone:
            notes.append(
                f"{count(alone, 'row is', 'rows are')} always trained on, since without "
                f"{'it' if alone == 1 else 'them'} no row of a class would be left."
            )
        judged = f"{self.n_known - alone:,} rows"
        if options.cv is not None:
            whole = "" if self.group is None else f", by {options.group!r}"
            how = f"by {n}-fold cross-validation of {judged}{whole} (seed {options.seed})"
        elif self.group is None:
            how = f"by leave-one-out: each of {judged} by models trained on the others"
        else:
            how = f"by leave-one-group-out: each of {count(n, 'group')} by models trained on the others"
        if options.cv is not None:  # each fold has scores of its own
            for number in range(n):
                self._check_weight(np.flatnonzero(fold == number), "held out")
        for number in range(n):
            training, held_out = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
            yield replace(self._divided(training, held_out, notes, how), fold=number + 1, of=n)

    def _divided(self, training: NDArray[np.int64], held_out: NDArray[np.int64], notes: list[str], how: str) -> Split:
        """The split into the rows with a target at these positions.

        The held-out rows must not influence how columns become numbers. Only which columns are used at all, and which
        are categories, is decided once from all rows, so that what is compared is what is written."""
        self._check_weight(training, "trained on")
        table = self.table.take(self.known[training])

        def seen(schema: Schema) -> tuple[Training, Sample]:
            target, ignore = schema.target, {*self.ignore, *(name for name, _ in schema.dropped)}
            learnt = learn_schema(
                table, target.name, task=target.task, ignore=sorted(ignore), like=schema, choices=self.choices
            )
            return Training(learnt, self._sample(learnt, training), len(training)), self._sample(learnt, held_out)

        rows, others = seen(self.schema)
        grouped = None if self.grouped is None else seen(self.grouped)
        return Split(rows, others, rows.known, notes, how, grouped=grouped)

    def _check_weight(self, rows: NDArray[np.int64], what: str) -> None:
        """Raise InputError where no row at these positions counts."""
        if self.weight is not None and not self.weight[rows].any():
            raise InputError(
                f"{self.name}: the {count(len(rows), 'row')} that would be {what} all have the weight 0, so that none "
                "counts; leave such rows out, or divide the rows in another way."
            )

    def everything(self, name: str = "") -> Training:
        schema = self.schema_of(name)
        return Training(schema, self._sample(schema, np.arange(self.n_known)), self.n_known)

    def schema_of(self, name: str) -> Schema:
        return self.grouped if name == "network" and self.grouped is not None else self.schema

    def _sample(self, schema: Schema, rows: NDArray[np.int64]) -> Sample:
        """Rows with a target at these positions, as a schema encodes them."""
        X = encode(schema, self.table.take(self.known[rows])).X
        whole = Sample(X, self.y[rows], exposure=exposure(schema, self.offset, X))
        weight = None if self.weight is None else self.weight[rows]
        return replace(whole, weight=weight, group=None if self.group is None else self.group[rows])

    def known_here(self, X: Array) -> int:
        return int(np.isin(row_hashes(X), row_hashes(self.everything().known.X)).sum())


def _grouped(
    schema: Schema, table: Table, options: FitOptions, ignore: tuple[str, ...], choices: ColumnChoices
) -> Schema | None:
    """The schema of a network that is compared with a perceptron, where text with many levels is a factor; None where
    there is no such text."""
    if not options.groups_for_network or not any(has_many_levels(column) for column in schema.columns):
        return None
    by_rule = replace(choices, factors="auto")
    found = learn_schema(table, options.target, task=options.task, ignore=ignore, choices=by_rule)
    return found if any(column.kind == "factor" for column in found.columns) else None


def exposure(schema: Schema, offset: str | None, X: Array) -> Array | None:
    """(n,) the exposure of counts, whose logarithm is a column of X (n, p); None without an offset."""
    if offset is None:
        return None
    with np.errstate(over="ignore"):
        return np.asarray(np.exp(X[:, schema.feature_names.index(offset)]))


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

    def splits(self, options: FitOptions) -> Iterator[Split]:
        notes = [f"{self.how}, and what the columns mean was learnt from all rows, those held out among them."]
        share = options.holdout_share if self.n_known >= FEWEST else 0.0
        if not share:
            yield Split(self.everything(), None, None, notes)
            return
        training, X, y = self.rows.hold_out(share, options.seed)
        if training.copies_left_out:
            notes.append(
                f"{count(training.copies_left_out, 'row')} that are equal to held-out rows in every column were left "
                "out of training while models were compared, so that none is judged on rows that it knows. Where rows "
                "are copies by mistake, take them out."
            )
        held_out = Sample(X.astype(np.float64, copy=False), y)
        how = f"on {len(y):,} rows that were held out; trained on {training.n_rows:,} (seed {options.seed})"
        yield Split(Training(self.schema, training, training.n_rows), held_out, held_out, notes, how)

    def everything(self, name: str = "") -> Training:
        return Training(self.schema, self.rows, self.n_known)

    def known_here(self, X: Array) -> int:
        return int(np.isin(row_hashes(X), self.rows.hashes_among(np.unique(row_hashes(X)))).sum())


def streamed_data(rows: TableRows, how: str, reporter: Reporter) -> StreamedData:
    """Rows whose columns are learnt, with the progress of each pass told. how: as in `StreamedData`."""
    rows.watch = reporter.passing
    names, missing = rows.column_names, rows.missing
    return StreamedData(rows.name, rows.schema, rows.total_rows, rows.n_rows, names, missing, rows.notes, (), rows, how)


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
