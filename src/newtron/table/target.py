"""Decide whether the column to predict is a number (regression) or a class (classification)."""

from __future__ import annotations

import unicodedata

import numpy as np

from newtron.engine.base.errors import InputError
from newtron.engine.base.types import ClassLabel
from newtron.engine.base.words import count, joined, setting
from newtron.table.cells import flag_words
from newtron.table.gather import MANY, Form, TargetStatistics
from newtron.table.looks import TextLooks
from newtron.table.readings import Decimal
from newtron.table.schema import Target, Task
from newtron.table.table import show

# The rules that follow are judgements of what people mean by such columns, not measurements. A target with more classes
# is refused.
MOST_CLASSES = 100
# Whole numbers are taken for classes where they are codes: from 0 or 1 upwards without a gap, at most 10 different
# ones, each in at least 20 rows on average.
_MOST_CODES, _ROWS_PER_CODE = 10, 20
# The other choice is also mentioned for up to 20 different whole numbers, each in at least 5 rows on average.
_FEW_NUMBERS, _ROWS_PER_NUMBER = 20, 5


def decide_target(path: str, facts: TargetStatistics, task: str | None, decimal: Decimal) -> tuple[Target, list[str]]:
    """Return the target, by the statistics of its cells, and warnings. decimal: the mark that numbers have in the file.
    Texts that are numbers are turned into them.

    Raises InputError where no cell has a value, the values cannot be predicted, or there is nothing to learn."""
    import pyarrow as pa

    reading = facts.read(decimal)
    name, form, counts = facts.name, facts.form, facts.distinct.counts
    where = f"{path}, target {name!r}"
    # The different texts stand for all cells.
    texts = pa.array(facts.distinct.values, pa.large_string()) if form == "text" else pa.array([])
    dates = form == "date" or (form == "text" and facts.candidates.dates)
    if dates or form not in ("text", "number", "bool"):
        kind = "dates" if dates else f"values of type {facts.type_name}"
        raise InputError(
            f"{where}: it holds {kind}, which cannot be predicted; turn them into numbers or classes first."
        )
    # A spelling such as 1.0 is the whole number 1: classes print as such.
    labels = [
        int(v) if isinstance(v, float) and v.is_integer() and abs(v) < 2**53 else v for v in facts.distinct.values
    ]
    chosen, why = _choose_task(name, form, labels, sum(counts), task)
    if facts.distinct.many:
        why = why.replace(f"{MANY:,} different", f"more than {MANY:,} different")
    warnings = []
    hint = ""
    if form == "text":
        looks, rows = TextLooks(), facts.distinct.rows
        looks.add(texts, np.array(counts), rows.__getitem__)
        hint = looks.hint(name, used=True)
    if facts.without:
        warnings.append(f"{count(facts.without, 'row')} without a value of the target {name!r} left out.")
    if task is None and form == "number":
        warnings += _warn_of_other_task(name, chosen, labels, sum(counts))
    if chosen == "regression":
        _check_regression(where, form, labels, hint)
        return Target(name, "regression", (), why, reading), warnings
    classes = _check_classes(where, form, labels, sum(counts), hint)
    if hint:
        warnings.append(f"the target {name!r} is text and taken for classes, but {hint}.")
    warnings += _warn_of_similar_classes(name, classes)
    rare = [show(v) for v, times in zip(labels, counts, strict=True) if times == 1]
    if rare:
        noun, verb = ("class", "is") if len(rare) == 1 else ("classes", "are each")
        warnings.append(f"the {noun} {joined(rare[:5])} of {name!r} {verb} in one row only: too few to learn from.")
    return Target(name, "classification", classes, why, reading), warnings


def _choose_task(name: str, form: Form, values: list[ClassLabel], n: int, task: str | None) -> tuple[Task, str]:
    """Return the task and the sentence that says why."""
    k = len(values)
    if task == "classification":
        return "classification", f"{name!r} has {count(k, 'class', 'classes')}: classification, as asked."
    if task == "regression":
        return "regression", f"{name!r} has {count(k, 'different number')}: regression, as asked."
    if form != "number":
        kind = "yes/no" if form == "bool" or flag_words([str(v) for v in values]) else "text"
        return "classification", f"{name!r} is {kind} with {count(k, 'different value')}: classification."
    whole = _whole_numbers(values)
    if not whole:
        return "regression", f"{name!r} has {count(k, 'different number')}, not all whole: regression."
    low, high = min(whole), max(whole)
    if k <= 2:
        return "classification", f"{name!r} has only {count(k, 'different number')}: classification."
    if k <= _MOST_CODES and low in (0, 1) and high - low == k - 1 and n >= _ROWS_PER_CODE * k:
        return "classification", f"{name!r} has only the whole numbers {low} to {high}: classification."
    return "regression", f"{name!r} has {count(k, 'different number')}: regression."


def _whole_numbers(values: list[ClassLabel]) -> list[int]:
    """Return the values if all of them are whole numbers, else none."""
    found: list[int] = []
    for value in values:
        if not isinstance(value, int):
            return []
        found.append(value)
    return found


def _warn_of_other_task(name: str, task: Task, values: list[ClassLabel], n: int) -> list[str]:
    """Return a sentence on which task was chosen where a few whole numbers, each in several rows, may be amounts or
    classes."""
    k = len(values)
    whole = _whole_numbers(values) if 2 < k <= min(_FEW_NUMBERS, n // _ROWS_PER_NUMBER) else []
    if not whole:
        return []
    holds = f"the target {name!r} holds {k} different whole numbers, {min(whole)} to {max(whole)}"
    if task == "classification":
        other = setting("task", repr("regression"))
        return [f"{holds}, which are taken for classes; {other} predicts the number instead."]
    other = setting("task", repr("classification"))
    return [f"{holds}, and is predicted as a number; {other} predicts which of them it is."]


def _check_regression(where: str, form: Form, values: list[ClassLabel], hint: str) -> None:
    if form == "text":
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


def _check_classes(where: str, form: Form, values: list[ClassLabel], n: int, hint: str) -> tuple[ClassLabel, ...]:
    k = len(values)
    if k < 2:
        raise InputError(
            f"{where}: the only class is {show(values[0])}, so there is nothing to learn; "
            "choose another target or add rows of another class."
        )
    if k > MOST_CLASSES or (k > 2 and k > n / 2):
        if hint:
            raise InputError(f"{where}: {hint}.")
        advice = "choose another target, or join classes" if form == "text" else "use regression to predict the number"
        raise InputError(f"{where}: {k:,} classes in {count(n, 'row')} are too many to learn; {advice}.")
    return (*sorted(v for v in values if isinstance(v, str)), *sorted(v for v in values if not isinstance(v, str)))


def _warn_of_similar_classes(name: str, classes: tuple[ClassLabel, ...]) -> list[str]:
    """Return a sentence on each pair of labels that look alike: labels are kept letter by letter, which is perhaps not
    what was meant."""
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
