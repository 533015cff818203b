"""A schema in plain JSON types and back. Reading is strict: a model file may come from anywhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

from newtron.engine.base.errors import InputError
from newtron.table.schema import ClassLabel, Column, Schema, Target

VERSION = 1
_KINDS = ("number", "date", "yes/no", "category")
_TASKS = ("regression", "classification")

T = TypeVar("T")


def schema_to_json(schema: Schema) -> dict[str, Any]:
    return {
        "version": VERSION,
        "columns": [
            {
                "name": column.name,
                "kind": column.kind,
                "encoded": list(column.encoded),
                "mean": column.mean,
                "levels": list(column.levels),
                "reference": column.reference,
                "pooled": list(column.pooled),
                "shares": list(column.shares),
                "missing_seen": column.missing_seen,
                "indicator": column.indicator,
            }
            for column in schema.columns
        ],
        "target": {
            "name": schema.target.name,
            "task": schema.target.task,
            "classes": list(schema.target.classes),
            "why": schema.target.why,
        },
        "dropped": [list(pair) for pair in schema.dropped],
        "warnings": list(schema.warnings),
    }


def schema_from_json(value: Any) -> Schema:
    _fields(value, "schema", ("version",), exactly=False)
    version = _whole(value["version"], "schema.version")
    if version > VERSION:
        raise InputError(
            f"schema.version is {version}, and this newtron reads versions up to {VERSION}; update newtron."
        )
    if version < 1:
        raise _wrong("schema.version", "a whole number from 1", value["version"])
    _fields(value, "schema", ("version", "columns", "target", "dropped", "warnings"))
    columns = _items(value["columns"], "schema.columns", _column)
    if not columns:
        raise InputError("schema.columns is empty; the file is damaged: write it again.")
    _no_doubles(tuple(column.name for column in columns), "schema.columns")
    _no_doubles(tuple(name for column in columns for name in column.encoded), "schema.columns encoded names")
    return Schema(
        columns=columns,
        target=_target(value["target"], "schema.target"),
        dropped=_items(value["dropped"], "schema.dropped", _pair),
        warnings=_texts(value["warnings"], "schema.warnings"),
    )


def _column(value: Any, where: str) -> Column:
    _fields(value, where, tuple(field.name for field in fields(Column)))
    column = Column(
        name=_text(value["name"], f"{where}.name"),
        kind=_one_of(value["kind"], f"{where}.kind", _KINDS),
        encoded=_texts(value["encoded"], f"{where}.encoded"),
        mean=None if value["mean"] is None else _number(value["mean"], f"{where}.mean"),
        levels=_texts(value["levels"], f"{where}.levels"),
        reference=None if value["reference"] is None else _text(value["reference"], f"{where}.reference"),
        pooled=_texts(value["pooled"], f"{where}.pooled"),
        shares=_items(value["shares"], f"{where}.shares", _number),
        missing_seen=_flag(value["missing_seen"], f"{where}.missing_seen"),
        indicator=_flag(value["indicator"], f"{where}.indicator"),
    )
    _check_column(column, where)
    return column


def _check_column(column: Column, where: str) -> None:
    """The fields of a column must fit each other, or encoding would go wrong later."""
    category = column.kind == "category"
    named = column.kind in ("category", "yes/no")
    width = int(column.indicator) + (len(column.levels) + bool(column.pooled) if category else 1)
    n_levels = {"number": 0, "date": 0, "yes/no": 1}.get(column.kind, len(column.levels))
    checks = (
        ("encoded", len(column.encoded) == width and width > 0),
        ("indicator", column.missing_seen or not column.indicator),
        ("mean", (column.mean is None) == category),
        ("levels", len(column.levels) == n_levels),
        ("reference", (column.reference is not None) == named),
        ("pooled", category or not column.pooled),
        ("shares", len(column.shares) == (width if category else 0)),
    )
    for field, fits in checks:
        if not fits:
            raise InputError(
                f"{where}.{field} does not fit the kind {column.kind!r}; the file is damaged: write it again."
            )
    if named:
        _no_doubles((*column.levels, *column.pooled, str(column.reference)), f"{where}.levels")


def _target(value: Any, where: str) -> Target:
    _fields(value, where, ("name", "task", "classes", "why"))
    task = _one_of(value["task"], f"{where}.task", _TASKS)
    classes = _items(value["classes"], f"{where}.classes", _label)
    text = {isinstance(label, str) for label in classes}
    if len(text) > 1 or (len(classes) < 2 if task == "classification" else len(classes) > 0):
        raise InputError(f"{where}.classes does not fit {task}; the file is damaged: write it again.")
    _no_doubles(classes, f"{where}.classes")
    name = _text(value["name"], f"{where}.name")
    return Target(name=name, task=task, classes=classes, why=_text(value["why"], f"{where}.why"))


def _wrong(where: str, expected: str, value: Any) -> InputError:
    found = repr(value)
    found = found if len(found) <= 60 else found[:60] + "..."
    return InputError(f"{where} must be {expected}, but it is {found}; the file is damaged: write it again.")


def _fields(value: Any, where: str, names: tuple[str, ...], exactly: bool = True) -> None:
    if not isinstance(value, dict):
        raise _wrong(where, "an object", value)
    for name in names:
        if name not in value:
            raise InputError(f"{where}.{name} is missing; the file is damaged: write it again.")
    for name in value:
        if exactly and name not in names:
            raise InputError(f"{where}.{name} is not a known field; the file is damaged: write it again.")


def _items(value: Any, where: str, item: Callable[[Any, str], T]) -> tuple[T, ...]:
    if not isinstance(value, list):
        raise _wrong(where, "a list", value)
    return tuple(item(element, f"{where}[{position}]") for position, element in enumerate(value))


def _texts(value: Any, where: str) -> tuple[str, ...]:
    return _items(value, where, _text)


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise _wrong(where, "text", value)
    return value


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise _wrong(where, "true or false", value)
    return value


def _whole(value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(where, "a whole number", value)
    return value


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(where, "a finite number", value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _wrong(where, "a finite number", value)
    return number


def _label(value: Any, where: str) -> ClassLabel:
    if isinstance(value, float) and not math.isfinite(value):
        raise _wrong(where, "a finite number", value)
    if not isinstance(value, str | bool | int | float):
        raise _wrong(where, "text, a number, or true or false", value)
    return value


def _pair(value: Any, where: str) -> tuple[str, str]:
    texts = _texts(value, where)
    if len(texts) != 2:
        raise _wrong(where, "a name and a reason", value)
    return texts[0], texts[1]


def _one_of(value: Any, where: str, allowed: tuple[str, ...]) -> Any:
    if not isinstance(value, str) or value not in allowed:
        raise _wrong(where, "one of " + ", ".join(allowed), value)
    return value


def _no_doubles(values: tuple[Any, ...], where: str) -> None:
    if len(set(values)) != len(values):
        raise InputError(f"{where} has an entry twice; the file is damaged: write it again.")
