"""The column to predict: is it a number (regression) or a class (classification)?"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import InputError
from newtron.engine.base.words import count, joined, setting
from newtron.table.cells import (
    as_days,
    distinct_cells,
    flag_words,
    is_date,
    is_number,
    is_text,
    plain,
)
from newtron.table.looks import TextLooks
from newtron.table.schema import ClassLabel, Target, Task
from newtron.table.table import Table, show

if TYPE_CHECKING:
    import pyarrow as pa

MOST_CLASSES = 100
_MOST_CODES = 10
_ROWS_PER_CODE = 20
_FEW_NUMBERS, _ROWS_PER_NUMBER = 20, 5


def learn_target(table: Table, name: str, task: str | None) -> tuple[Target, NDArray[np.bool_], list[str]]:
    """The target, which rows have one, and warnings."""
    if task not in (None, "regression", "classification"):
        raise InputError(f"the task {task!r} is not known; use 'regression' or 'classification'.")
    cells = plain(table.column(name))
    kept = _has_value(cells)
    if not kept.any():
        raise InputError(f"{table.path}, target {name!r}: every cell is missing; choose another target column.")
    check_target_kind(table, name, cells)
    values, codes = distinct_cells(cells)
    counts = np.bincount(codes, minlength=len(values) + 1)[: len(values)]
    learnt, warnings = decide_target(table, name, task, cells, values, counts.tolist(), len(kept) - int(kept.sum()))
    return learnt, kept, warnings


def check_target_kind(table: Table, name: str, cells: pa.Array) -> None:
    """Numbers, text and yes/no can be predicted."""
    if not (is_text(cells) or is_number(cells) or _is_bool(cells)) or _holds_dates(cells):
        kind = "dates" if _holds_dates(cells) else f"values of type {cells.type}"
        raise InputError(
            f"{table.path}, target {name!r}: it holds {kind}, which cannot be predicted; turn them into numbers or "
            "classes first."
        )


def decide_target(
    table: Table, name: str, task: str | None, cells: pa.Array, values: list[Any], counts: Sequence[int], without: int
) -> tuple[Target, list[str]]:
    """The target and warnings, from its cells (or one of each), its different values and how often each occurs;
    `without`: rows that have none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    # A spelling such as 1.0 is the whole number 1: classes print as such.
    labels = [int(v) if isinstance(v, float) and v.is_integer() and abs(v) < 2**53 else v for v in values]
    n = int(sum(counts))
    chosen, why = _choose_task(name, cells, labels, n, task)
    warnings = []
    hint = ""
    if is_text(cells):
        looks, texts = TextLooks(), pa.array(values, cells.type)
        looks.add_values(texts, counts, lambda k: table.row_number(pc.index(cells, texts[k]).as_py()))
        hint = looks.hint(used=True)
    if without:
        warnings.append(f"{count(without, 'row')} without a value of the target {name!r} left out.")
    if task is None and is_number(cells):
        warnings += _warn_of_other_task(name, chosen, labels, n)
    if chosen == "regression":
        _check_regression(table, name, cells, labels, hint)
        return Target(name, "regression", (), why), warnings
    classes = _check_classes(table, name, cells, labels, n, hint)
    if hint:
        warnings.append(f"the target {name!r} is text and taken for classes, but {hint}.")
    warnings += _warn_of_twins(name, classes)
    rare = [show(v) for v, times in zip(labels, counts, strict=True) if times == 1]
    if rare:
        noun, verb = ("class", "is") if len(rare) == 1 else ("classes", "are each")
        warnings.append(f"the {noun} {joined(rare[:5])} of {name!r} {verb} in one row only: too few to learn from.")
    return Target(name, "classification", classes, why), warnings


def _has_value(cells: pa.Array) -> NDArray[np.bool_]:
    valid: NDArray[np.bool_] = cells.is_valid().to_numpy(zero_copy_only=False)
    return valid


def _is_bool(cells: pa.Array) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_boolean(cells.type))


def _holds_dates(cells: pa.Array) -> bool:
    return is_date(cells) or (is_text(cells) and not isinstance(as_days(cells), int))


def _choose_task(name: str, cells: pa.Array, values: list[Any], n: int, task: str | None) -> tuple[Task, str]:
    """The task and the sentence that says why."""
    k = len(values)
    if task == "classification":
        return "classification", f"{name!r} has {count(k, 'class', 'classes')}: classification, as asked."
    if task == "regression":
        return "regression", f"{name!r} has {count(k, 'different number')}: regression, as asked."
    if not is_number(cells):
        kind = "yes/no" if _is_bool(cells) or flag_words([str(v) for v in values]) else "text"
        return "classification", f"{name!r} is {kind} with {count(k, 'different value')}: classification."
    whole = all(isinstance(value, int) for value in values)
    if not whole:
        return "regression", f"{name!r} has {count(k, 'different number')}, not all whole: regression."
    low, high = min(values), max(values)
    if k <= 2:
        return "classification", f"{name!r} has only {count(k, 'different number')}: classification."
    if k <= _MOST_CODES and low in (0, 1) and high - low == k - 1 and n >= _ROWS_PER_CODE * k:
        return "classification", f"{name!r} has only the whole numbers {low} to {high}: classification."
    return "regression", f"{name!r} has {count(k, 'different number')}: regression."


def _warn_of_other_task(name: str, task: Task, values: list[Any], n: int) -> list[str]:
    """Few whole numbers, each in several rows, may be amounts or classes: which was taken is said."""
    k = len(values)
    if not 2 < k <= min(_FEW_NUMBERS, n // _ROWS_PER_NUMBER) or not all(isinstance(value, int) for value in values):
        return []
    holds = f"the target {name!r} holds {k} different whole numbers, {min(values)} to {max(values)}"
    if task == "classification":
        other = setting("task", repr("regression"))
        return [f"{holds}, which are taken for classes; {other} predicts the number instead."]
    other = setting("task", repr("classification"))
    return [f"{holds}, and is predicted as a number; {other} predicts which of them it is."]


def _check_regression(table: Table, name: str, cells: pa.Array, values: list[Any], hint: str) -> None:
    where = f"{table.path}, target {name!r}"
    if is_text(cells):
        if hint:
            raise InputError(f"{where}: {hint}.")
        raise InputError(
            f"{where}: it is text, such as {show(values[0])}, and regression needs numbers; "
            "ask for classification or choose another target."
        )
    if len(values) < 2:
        raise InputError(
            f"{where}: it is {show(values[0])} in every row, so there is nothing to learn; "
            "choose another target or add rows that differ."
        )


def _check_classes(
    table: Table, name: str, cells: pa.Array, values: list[Any], n: int, hint: str
) -> tuple[ClassLabel, ...]:
    where = f"{table.path}, target {name!r}"
    k = len(values)
    if k < 2:
        raise InputError(
            f"{where}: the only class is {show(values[0])}, so there is nothing to learn; "
            "choose another target or add rows of another class."
        )
    if k > MOST_CLASSES or (k > 2 and k > n / 2):
        if hint:
            raise InputError(f"{where}: {hint}.")
        advice = "choose another target, or join classes" if is_text(cells) else "use regression to predict the number"
        raise InputError(f"{where}: {k:,} classes in {count(n, 'row')} are too many to learn; {advice}.")
    return tuple(sorted(values))


def _warn_of_twins(name: str, classes: tuple[ClassLabel, ...]) -> list[str]:
    """Labels are kept letter by letter; where two look alike, that is perhaps not what was meant."""
    looks: dict[str, str] = {}
    warnings = []
    for label in classes:
        if not isinstance(label, str):
            continue
        look = " ".join(unicodedata.normalize("NFKC", label).casefold().split())
        if look in looks:
            warnings.append(
                f"the classes {looks[look]!r} and {label!r} of {name!r} look alike but differ in their "
                f"letters ({looks[look]!a} and {label!a}); they are kept apart."
            )
        looks.setdefault(look, label)
    return warnings
