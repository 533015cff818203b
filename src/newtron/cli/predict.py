"""`newtron predict`: the predictions of a model for the rows of a file, as CSV with one line per row in their order."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from newtron.cli.options import PredictOptions
from newtron.engine.base.checks import shown
from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array
from newtron.engine.base.words import clean, count, listed, without_controls
from newtron.model.predicting import intervals, predicted
from newtron.model_file import check_writable, read_model, write_whole
from newtron.study.coefficients import class_labels
from newtron.study.sample import Sample
from newtron.study.scores import METRICS, kind_of, metric_text, score_model
from newtron.table import Schema, Table, encode, encode_target
from newtron.table.cells import plain
from newtron.table.choices import split_names
from newtron.table.data_file import DataFile, data_file_of
from newtron.table.encode import check_columns, filled_in, rows_without_values
from newtron.table.in_memory import table_in_memory
from newtron.table.learn import ALL_MISSING
from newtron.table.table import SPELLED, suggest
from newtron.training.columns import schema_of
from newtron.training.fitted import FittedModel

# Rows of text that are made at a time, and numbers of rows that a message names.
_BLOCK, _ROWS_SHOWN = 10_000, 10


def run_predict(options: PredictOptions) -> int:
    """Run `newtron predict` and return its exit code."""
    if options.output is not None:
        check_writable(options.output, devices=True)
        for other in (options.model, options.data, *options.more):
            if os.path.isfile(options.output) and os.path.exists(other) and os.path.samefile(options.output, other):
                raise InputError(f"{options.output}: this is {other} itself; give another name with --output.")
    model = read_model(options.model).model
    schema = schema_of(model.data, model.settings)
    if options.interval is not None and schema.target.task != "regression":
        raise InputError(
            f"{options.model}: this model predicts classes, and --interval is for numbers; leave it out: the columns "
            "p(...) say how sure each prediction is."
        )
    source = data_file_of((options.data, *options.more), options.scratch)
    keep = partial(_kept, options, source.name)
    table = table_in_memory(source, options.encoding, options.memory, keep, schema.letters, options.sheet)
    if table is None:
        return _in_pieces(options, source, model, schema)
    kept = keep(table.names)
    empty = rows_without_values(schema, table)
    known = table.take(np.flatnonzero(~empty)) if empty.any() else table
    encoded = encode(schema, known)
    messages = [
        *filled_in(schema, encoded.unseen, encoded.missing),
        *_not_used(schema, table),
        *_left_empty(table, np.flatnonzero(empty)),
    ]
    for sentence in [*table.notes, *(f"{source.name}: {sentence}" for sentence in messages)]:
        print(clean(sentence), file=sys.stderr)
    classes = _written_classes(options, model)
    header, columns = _predictions(model, encoded.X, options.interval, classes)
    names, before = _header(options, kept, header), [_beside(options, table, name) for name in kept]

    def write(file: BinaryIO) -> None:
        _write_csv(file, names, before + _with_empty(columns, empty), table.n_rows)

    _write(options, write)
    _say_score(model, schema, known, encoded.X)
    return 0


def _in_pieces(options: PredictOptions, source: DataFile, model: FittedModel, schema: Schema) -> int:
    """Predict files larger than memory: each piece is written before the next is read."""
    from newtron.table.large.file_rows import batch_rows, opened

    check, keep = partial(check_columns, schema, source.name), partial(_kept, options, source.name)
    files = opened(
        source, options.memory, options.scratch, options.encoding, check=check, keep=keep, letters=schema.letters
    )
    there = [name for name in files.schema.names if not name.startswith(SPELLED)]
    check(there)
    kept = keep(there)
    for note in files.notes:
        print(clean(note), file=sys.stderr)
    spelled = [SPELLED + name if SPELLED + name in files.schema.names else name for name in kept]
    names = list(dict.fromkeys([*schema.reads(there), *spelled]))
    classes = _written_classes(options, model)
    most = batch_rows(min(2**24, options.memory // 64), len(schema.feature_names))

    def write(file: BinaryIO) -> None:
        first, left = True, 0
        for _, table in files.tables(range(len(files.pieces)), names, most):
            empty = rows_without_values(schema, table)
            known = table.take(np.flatnonzero(~empty)) if empty.any() else table
            header, columns = _predictions(model, encode(schema, known, order="F").X, options.interval, classes)
            columns = [_beside(options, table, name) for name in kept] + _with_empty(columns, empty)
            _write_csv(file, _header(options, kept, header) if first else [], columns, table.n_rows)
            first, left = False, left + int(empty.sum())
        if left:
            print(f"{clean(source.name)}: {_nothing(left)}", file=sys.stderr)

    _write(options, write)
    files.release()
    return 0


def _kept(options: PredictOptions, path: str, names: Sequence[str]) -> tuple[str, ...]:
    """The columns of these names that are written beside the predictions."""
    found: list[str] = []
    for asked in options.keep:
        if asked == "all" and asked not in names:
            found += names
            continue
        for name in [asked] if asked in names else split_names([asked]):
            if name not in names:
                raise InputError(f"{path}: there is no column {shown(name)} to keep; {suggest(name, names)}.")
            found.append(name)
    return tuple(dict.fromkeys(found))


def _header(options: PredictOptions, kept: Sequence[str], predicted: list[str]) -> list[str]:
    """The names of all columns that are written. Raises InputError where two would have the same."""
    taken = next((name for name in kept if name in predicted), None)
    if taken is not None:
        raise InputError(
            f"{options.data}: the column {shown(taken)} cannot be kept, since one of the predictions has this name; "
            "keep others, or rename it."
        )
    return [*(_safe(options, name) for name in kept), *predicted]


def _beside(options: PredictOptions, table: Table, name: str) -> list[str]:
    """The cells of a column that is kept, as they were spelled."""
    cells = table.texts(name)
    plain = not options.safe_for_spreadsheets and not _on_terminal(options)
    return cells if plain else [_safe(options, cell) for cell in cells]


def _safe(options: PredictOptions, cell: str) -> str:
    """A text of the file as it can be written where it goes: a spreadsheet or a terminal may obey what it holds."""
    cell = clean(cell) if _on_terminal(options) else cell
    return f"'{cell}" if options.safe_for_spreadsheets and _is_formula(cell) else cell


def _on_terminal(options: PredictOptions) -> bool:
    return options.output is None and sys.stdout.isatty()


def _write(options: PredictOptions, write: Callable[[BinaryIO], None]) -> None:
    """Write to the file that was asked for, which is whole or not there, or to standard output."""
    if options.output is not None:
        write_whole(options.output, write, devices=True)
        return
    sys.stdout.flush()
    write(sys.stdout.buffer)
    sys.stdout.buffer.flush()


def _not_used(schema: Schema, table: Table) -> list[str]:
    """A line for each column that was empty in training and has values here."""
    found = []
    for name in (name for name, reason in schema.dropped if reason == ALL_MISSING and name in table):
        n = table.n_rows - plain(table.column(name)).null_count
        if n:
            cells = f"{count(n, 'cell')} here {'has' if n == 1 else 'have'} a value"
            found.append(f"column {name!r}: it was empty in training and is not used, though {cells}.")
    return found


def _left_empty(table: Table, rows: NDArray[np.int64]) -> list[str]:
    """A sentence on the rows for which nothing is predicted."""
    if not len(rows):
        return []
    numbers = [f"{table.row_number(int(row)):,}" for row in rows[:_ROWS_SHOWN]]
    more = f" and {len(rows) - _ROWS_SHOWN:,} more" if len(rows) > _ROWS_SHOWN else ""
    return [f"{_nothing(len(rows))} {'Row' if len(rows) == 1 else 'Rows'} {', '.join(numbers)}{more}."]


def _nothing(n: int) -> str:
    rows, lines = ("row has", "its line is") if n == 1 else ("rows have", "their lines are")
    return f"{n:,} {rows} no value in any column that the model reads: nothing is predicted and {lines} left empty."


def _with_empty(columns: list[list[str]], empty: NDArray[np.bool_]) -> list[list[str]]:
    """The columns of the output, with an empty cell in each row for which nothing is predicted."""
    if not empty.any():
        return columns
    place = np.where(empty, -1, np.cumsum(~empty) - 1).tolist()
    return [["" if at < 0 else column[at] for at in place] for column in columns]


class _Classes(NamedTuple):
    """The classes as they are written in cells and in the names of the columns."""

    cells: list[str]
    names: list[str]


def _written_classes(options: PredictOptions, model: FittedModel) -> _Classes:
    """The classes as they are written; what a user must know about them goes to standard error."""
    known = class_labels(model) or []
    formulas = [name for name in known if _is_formula(name)]
    if formulas and not options.safe_for_spreadsheets:
        begins, them = ("class {} begins", "it") if len(formulas) == 1 else ("classes {} begin", "them")
        print(
            f"newtron: the {begins.format(listed([repr(name) for name in formulas], 3))} as a formula does, and a "
            f"spreadsheet that opens these predictions would compute {them}; --safe-for-spreadsheets writes an "
            f"apostrophe in front of {them}.",
            file=sys.stderr,
        )
    written = clean if _on_terminal(options) else without_controls
    obeyed = [name for name in known if without_controls(name) != name]
    if obeyed:
        print(
            f"newtron: control characters in the names of {count(len(obeyed), 'class', 'classes')}, such as "
            f"{clean(obeyed[0])}, are written as escapes.",
            file=sys.stderr,
        )
    safe = options.safe_for_spreadsheets
    cells = [f"'{written(name)}" if safe and name in formulas else written(name) for name in known]
    return _Classes(cells, [written(name) for name in known])


def _is_formula(name: str) -> bool:
    """Whether a spreadsheet would take this cell for a formula. Plain numbers are no formulas."""
    if not name.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r")):
        return False
    try:
        float(name)
    except ValueError:
        return True
    return False


def _predictions(
    model: FittedModel, X: Array, interval: float | None, classes: _Classes
) -> tuple[list[str], list[list[str]]]:
    """The names and the cells of the columns. Numbers have all their digits: reading them gives the same number."""
    with np.errstate(all="ignore"):
        columns = predicted(model, X)
        if model.is_regression:
            names, k = ["prediction"], columns.shape[1]
            if k > 1:
                names = [f"prediction {i}" for i in range(1, k + 1)]
            if interval is not None:
                ends = intervals(model, X, interval)
                names += [name.replace("prediction", end) for end in ("lower", "upper") for name in names]
                columns = np.hstack([columns, ends[:, :, 0], ends[:, :, 1]])
            return names, [[repr(value) for value in column] for column in columns.T.tolist()]
    probabilities = columns
    best = [classes.cells[position] for position in probabilities.argmax(axis=1)]
    header = ["prediction", *(f"p({name})" for name in classes.names)]
    return header, [best, *([repr(value) for value in column] for column in probabilities.T.tolist())]


def _write_csv(file: BinaryIO, header: list[str], columns: list[list[str]], n_rows: int) -> None:
    """Write rows as UTF-8 with \\n on every system, because the file may be read on another one."""
    for start in range(0, max(n_rows, 1), _BLOCK):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if start == 0 and header:
            writer.writerow(header)
        writer.writerows(zip(*(column[start : start + _BLOCK] for column in columns), strict=True))
        file.write(text.getvalue().encode("utf-8"))


def _say_score(model: FittedModel, schema: Schema, table: Table, X: Array) -> None:
    """Print how good the predictions are, where the file has the target."""
    target = schema.target
    if target.name not in table:
        return
    try:
        y, kept = encode_target(schema.target, table)
    except InputError as error:
        print(f"{clean(str(error))} The predictions are not scored.", file=sys.stderr)
        return
    if not len(y):
        return
    metrics = score_model(model, Sample(X[kept], y)).metrics
    parts = [f"{title} {metric_text(key, metrics[key])}" for key, title in METRICS[kind_of(model)]]
    rows = f"{count(len(y), 'row')} with {clean(target.name)!r}"
    caution = "on rows that a model was trained on it looks better than it is"
    seen = model.seen_rows
    if seen is not None and (known := int((seen.places(X[kept]) < len(seen.keys)).sum())):
        caution = f"{known:,} of them equal rows of training, which the model remembers: new ones it predicts worse"
    print(f"{clean(table.path)}: {', '.join(parts)} on {rows} ({caution}).", file=sys.stderr)
