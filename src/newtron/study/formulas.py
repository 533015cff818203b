"""A target that is a formula: the table of the terms' columns, on which the job is done as on any table."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from newtron.engine.base.errors import InputError
from newtron.engine.base.words import count, setting
from newtron.study.options import FitOptions
from newtron.study.rows_to_test import table_to_test
from newtron.study.train import Trainer
from newtron.table.arrow import ArrowColumn
from newtron.table.data_file import data_file_of
from newtron.table.formula.learn import LearntFormula, learn_formula
from newtron.table.formula.matrix import encode_formula
from newtron.table.in_memory import table_in_memory
from newtron.table.table import Table


def with_formula(trainer: Trainer) -> Trainer:
    """The same job, where the target is a formula "y ~ terms" on the columns that it makes. Raises InputError where
    the formula cannot be used."""
    options = trainer.options
    if "~" not in options.target:
        return trainer
    if options.cluster is not None:
        raise InputError(
            f"{setting('cluster', repr(options.cluster))}: a formula needs the rows in memory; leave it out."
        )
    table = options.data
    if isinstance(table, str):
        source = data_file_of((table, *options.more), options.scratch)
        found = table_in_memory(source, options.encoding, options.memory, sheet=options.sheet)
        if found is None:
            raise InputError(f"{source.name}: a formula needs the rows in memory; give more memory or fewer columns.")
        table = found
    if options.target in table:
        return trainer
    try:
        learnt = learn_formula(options.target, table)
    except ImportError as error:
        raise InputError(str(error)) from None
    if not learnt.formula.intercept:
        raise InputError(f"the formula {options.target!r} has no intercept, which this job always has: leave out 0 +.")
    if len(learnt.targets) > 1:
        raise InputError(f"the formula {options.target!r} has several targets: this job takes one.")
    # A column that orders the rows is a feature by the formula alone.
    of_order = [name for name in (options.holdout_by,) if name is not None and name not in learnt.formula.feature_names]
    made = replace(
        options,
        data=_table_of(learnt, table, options),
        test=None if options.test is None else _test_of(learnt, options),
        target=learnt.targets[0],
        ignore=(*options.ignore, *of_order),
    )
    return replace(trainer, options=made, formula=learnt.formula)


def _row_columns(options: FitOptions, table: Table, columns: Collection[str]) -> dict[str, ArrowColumn]:
    """The cells of the columns that say something of the rows, where they are none of these columns. Raises InputError
    where one is not there."""
    names = (options.weights, options.group, options.holdout_by)
    return {name: table.cells(name) for name in names if name is not None and name not in columns}


def _test_of(learnt: LearntFormula, options: FitOptions) -> Table:
    """The columns of the matrix and the target of a test file."""
    import pyarrow as pa

    table, (target,) = table_to_test(options), learnt.targets
    if target not in table:
        raise InputError(
            f"{table.path}: there is no column {target!r}, the target of the formula {learnt.formula.text!r}; a test "
            "needs it as a column."
        )
    found = encode_formula(learnt.formula, table)
    columns = {
        name: pa.array(np.ascontiguousarray(found.X[:, j])) for j, name in enumerate(learnt.formula.feature_names)
    }
    columns[target] = table.cells(target)
    notes = [
        f"column {name!r}: {count(n, 'cell')} {what}, filled in with the mean of the terms."
        for counted, what in ((found.unseen, "with a value never seen in training"), (found.missing, "missing"))
        for name, n in counted.items()
    ]
    data = pa.table(columns | _row_columns(options, table, columns))
    return replace(table, data=data, notes=(*table.notes, *notes))


def _table_of(learnt: LearntFormula, table: Table, options: FitOptions) -> Table:
    """The columns of the matrix and the target, in the rows that have all cells."""
    import pyarrow as pa

    names, (target,) = learnt.formula.feature_names, learnt.targets
    if target in names:
        raise InputError(
            f"the formula {learnt.formula.text!r} has its target {target!r} among the terms: leave it out."
        )
    columns = {name: pa.array(np.ascontiguousarray(learnt.X[:, j])) for j, name in enumerate(names)}
    columns[target] = pa.array(learnt.y)
    left, notes = int(np.count_nonzero(~learnt.kept)), list(table.notes)
    if left:
        rows = count(left, "row is left out: it has", "rows are left out: they have")
        notes.append(f"{table.path}: {rows} a missing cell in a column of the formula.")
    if target not in table:
        notes.append(f"The target is {target}: predictions are in its units.")
    if any(factor.curves for factor in learnt.formula.factors):
        notes.append("Knots, means and scales of the formula are those of all rows, held-out ones among them.")
    kept = table.take(np.flatnonzero(learnt.kept))
    data = pa.table(columns | _row_columns(options, kept, columns))
    return replace(kept, data=data, notes=tuple(notes))
