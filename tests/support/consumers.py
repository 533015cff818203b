"""Exported files in what they are for: Python without newtron, a C compiler, SQLite, DuckDB and ONNX Runtime.

Each function takes a model and rows (a dict of columns; None is a missing cell), and gives the numbers that its
consumer computes, by name: "prediction" (n, k), "lower", "upper", or "probabilities" (n, classes) and "label" (n,).
"""

from __future__ import annotations

import ctypes
import re
import runpy
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from newtron.export import export_model
from newtron.export.program import NumberColumn, Program, RowVector, TextColumn
from newtron.export.walk import program_of
from newtron.training.fitted import FittedModel

Cells: TypeAlias = dict[str, list[Any]]
Found: TypeAlias = dict[str, Any]
# The function of an exported C file from a text to a level; None for a column of numbers.
Level: TypeAlias = Callable[[bytes | None], int] | None

_PLACE = "place of the row"
WARNINGS = ("-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror")


def is_missing(cell: object) -> bool:
    return cell is None or cell != cell


def as_days(cell: object) -> object:
    """A date as days since 1970-01-01; anything else as it is."""
    if isinstance(cell, str):
        cell = datetime.fromisoformat(cell)
    if isinstance(cell, date):
        cell = np.datetime64(cell, "us")
    return float(cell.astype(np.int64)) / 86400e6 if isinstance(cell, np.datetime64) else cell


def written(model: FittedModel, path: Path, **settings: Any) -> Path:
    export_model(model, path, **settings)
    return path


def rows_of(columns: Cells) -> int:
    return len(next(iter(columns.values())))


@contextmanager
def without_newtron() -> Iterator[None]:
    """As on a machine where newtron is not installed: importing it fails."""
    known = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "newtron"}
    for name in known:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.modules.update(known)


def in_python(model: FittedModel, columns: Cells, folder: Path, interval: float | None = None) -> Found:
    path = written(model, folder / "model.py", interval=interval)
    with without_newtron():
        module = runpy.run_path(str(path))
        table: Any = columns
        if isinstance(program_of(model).columns[0], RowVector):
            table = np.array(list(columns.values()), dtype=np.float64).T
        if not model.is_regression:
            return {"probabilities": module["predict_proba"](table), "label": module["predict"](table)}
        found = {"prediction": module["predict"](table)}
        if interval is not None:
            found["lower"], found["upper"] = module["predict_interval"](table)
    return {name: values.reshape(rows_of(columns), -1) for name, values in found.items()}


def in_c(
    model: FittedModel, columns: Cells, folder: Path, interval: float | None = None, real: str = "double"
) -> Found:
    path = written(model, folder / "model.c", interval=interval)
    library = folder / f"model-{real}.so"
    command = ["gcc", *WARNINGS, f"-DMODEL_REAL={real}", "-shared", "-fPIC", str(path), "-o", str(library), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = ctypes.CDLL(str(library))
    program, source = program_of(model, interval), path.read_text(encoding="utf-8")
    number = ctypes.c_double if real == "double" else ctypes.c_float
    row_type, levels = _row_type(program, source, loaded, number)
    k = program.outputs.predicted.width
    fields: list[tuple[str, Any]] = [("label", ctypes.c_int), ("probabilities", number * k)]
    if model.is_regression:
        fields = [("prediction", number * k)]
        fields += [("lower", number * k), ("upper", number * k)] if interval is not None else []
    result_type = type("Result", (ctypes.Structure,), {"_fields_": fields})
    loaded.model_predict.restype, loaded.model_predict.argtypes = result_type, [ctypes.POINTER(row_type)]
    answers: dict[str, list[Any]] = {name: [] for name, _ in fields}
    for cells in zip(*columns.values(), strict=True):
        answer = loaded.model_predict(ctypes.byref(_row(row_type, levels, cells)))
        for name in answers:
            value = getattr(answer, name)
            answers[name].append(value if name == "label" else list(value))
    found: Found = {name: np.array(values) for name, values in answers.items()}
    if program.outputs.classes is not None:
        classes = [*program.outputs.classes.tolist(), None]  # the label of a row with NAN is -1
        found["label"] = np.array([classes[label] for label in found["label"]], dtype=object)
    return found


def _row_type(
    program: Program, source: str, loaded: ctypes.CDLL, number: Any
) -> tuple[Any, list[Callable[[bytes | None], int] | None]]:
    """The struct of a row, and the function from text to level of each column that has levels."""
    vector = program.columns[0]
    if isinstance(vector, RowVector):
        return type("Row", (ctypes.Structure,), {"_fields_": [("x", number * vector.width)]}), []
    names = iter(re.findall(r"^enum \w+ (model_\w+_of)\(const char \*text\);$", source, re.M))
    levels: list[Level] = []
    for column in program.columns:
        levels.append(getattr(loaded, next(names)) if isinstance(column, TextColumn) else None)
        if levels[-1] is not None:
            levels[-1].argtypes = [ctypes.c_char_p]  # type: ignore[attr-defined]
    kinds = [(f"f{i}", number if level is None else ctypes.c_int) for i, level in enumerate(levels)]
    return type("Row", (ctypes.Structure,), {"_fields_": kinds}), levels


def _row(row_type: Any, levels: Sequence[Level], cells: Sequence[Any]) -> Any:
    row = row_type()
    if not levels:
        row.x[:] = [float("nan") if is_missing(cell) else cell for cell in cells]
        return row
    for (name, _), level, cell in zip(row_type._fields_, levels, cells, strict=True):
        if level is not None:
            setattr(row, name, level(None if is_missing(cell) else _text(cell).encode("utf-8")))
        else:
            setattr(row, name, float("nan") if is_missing(cell) else float(as_days(cell)))  # type: ignore[arg-type]
    return row


def _text(cell: object) -> str:
    if isinstance(cell, bool):
        return str(cell).lower()
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def in_onnx(model: FittedModel, columns: Cells, folder: Path, interval: float | None = None) -> Found:
    import onnxruntime

    path = written(model, folder / "model.onnx", interval=interval)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    program = program_of(model)
    feed: dict[str, Any] = {}
    for column in program.columns:
        if isinstance(column, RowVector):
            feed["X"] = np.array(list(columns.values()), dtype=np.float64).T
        elif isinstance(column, NumberColumn):
            values = [np.nan if is_missing(cell) else as_days(cell) for cell in columns[column.name]]
            feed[column.name] = np.array(values, dtype=np.float64)[:, None]
        else:
            texts = ["" if is_missing(cell) else _text(cell) for cell in columns[column.name]]
            feed[column.name] = np.array(texts, dtype=object)[:, None]
    # By their order: where a column has the name of an output, that gets another.
    names = ("prediction", "lower", "upper") if model.is_regression else ("label", "probabilities")
    return dict(zip(names, session.run(None, feed), strict=False))


def in_sqlite(model: FittedModel, columns: Cells, folder: Path, interval: float | None = None) -> Found:
    path = written(model, folder / "model.sql", table="zoo", interval=interval)
    with sqlite3.connect(":memory:") as connection:
        names = ", ".join(map(_quoted, columns))
        connection.execute(f"CREATE TABLE zoo ({names})")
        marks = ", ".join("?" * len(columns))
        stored = [[_stored(cell) for cell in cells] for cells in zip(*columns.values(), strict=True)]
        connection.executemany(f"INSERT INTO zoo VALUES ({marks})", stored)
        rows = connection.execute(path.read_text(encoding="utf-8")).fetchall()
    connection.close()
    return _of_query(model, rows, len(columns))


def in_duckdb(model: FittedModel, columns: Cells, folder: Path, interval: float | None = None) -> Found:
    import duckdb

    # DuckDB gives the rows in an order of its own, so a column is kept that tells it.
    columns = {_PLACE: list(range(rows_of(columns))), **columns}
    path = written(model, folder / "model.sql", table="zoo", interval=interval, keep=[_PLACE])
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        kinds = ", ".join(f"{_quoted(name)} {_kind(cells)}" for name, cells in columns.items())
        connection.execute(f"CREATE TABLE zoo ({kinds})")
        marks = ", ".join("?" * len(columns))
        connection.executemany(
            f"INSERT INTO zoo VALUES ({marks})", list(map(list, zip(*columns.values(), strict=True)))
        )
        rows = connection.execute(path.read_text(encoding="utf-8")).fetchall()
    return _of_query(model, sorted(rows), 1)


def _kind(cells: Sequence[object]) -> str:
    """The type of a column of DuckDB that holds these cells."""
    first = next((cell for cell in cells if not is_missing(cell)), 0.0)
    kinds = {bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE", datetime: "TIMESTAMP", date: "DATE"}
    return kinds.get(type(first), "VARCHAR")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _stored(cell: object) -> object:
    """A cell as SQLite has it, which knows no dates."""
    if is_missing(cell):
        return None
    return cell.isoformat(" ") if isinstance(cell, datetime) else cell.isoformat() if isinstance(cell, date) else cell


def _of_query(model: FittedModel, rows: list[Any], kept: int) -> Found:
    answers = [row[kept:] for row in rows]
    if not model.is_regression:
        return {
            "label": np.array([row[0] for row in answers], dtype=object),
            "probabilities": np.array([row[1:] for row in answers], dtype=np.float64),
        }
    values, k = np.array(answers, dtype=np.float64), model.n_outputs
    names = ("prediction", "lower", "upper")[: values.shape[1] // k]
    return {name: values[:, i * k : (i + 1) * k] for i, name in enumerate(names)}


CONSUMERS: dict[str, Callable[..., Found]] = {
    "python": in_python,
    "c": in_c,
    "onnx": in_onnx,
    "sqlite": in_sqlite,
    "duckdb": in_duckdb,
}
