"""Decide what every column of a table means, by the statistics of `newtron.table.gather`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.checks import shown
from newtron.engine.base.errors import InputError
from newtron.engine.base.words import column_setting, columns_setting, count, either, listed, setting, size
from newtron.table.candidates import Found
from newtron.table.cells import flag_words
from newtron.table.choices import ColumnChoices, level_name
from newtron.table.gather import MANY, MANY_GROUPS, ColumnStatistics, Gathered
from newtron.table.readings import Decimal
from newtron.table.schema import Column, Schema, Target
from newtron.table.table import Table, check_finite, show, suggest
from newtron.table.target import decide_target

# Why a column without any value is not used.
ALL_MISSING = "every cell is missing"
# A text column has at most max(20, 5 % of the rows) levels, and never more than 200; its less frequent values are
# pooled. More rows never give fewer levels. These are judgements: a level needs rows to learn from.
_FEW_LEVELS, _LEVEL_SHARE, _MOST_LEVELS = 20, 0.05, 200
# Levels in fewer than this share of the rows are pooled.
_RARE_SHARE = 0.0005
# A matrix of at least so many bytes is told of.
_WIDE = 1e9


@dataclass(frozen=True)
class Dropped:
    """Why a column is not used."""

    reason: str


class Learnt(NamedTuple):
    """The result of one pass over a table. sizes: rows with a target, of each piece; class_counts: rows of each class;
    missing: cells without a value, of each column that has any."""

    schema: Schema
    sizes: NDArray[np.int64]
    class_counts: tuple[int, ...]
    missing: dict[str, int]


def learn_schema(
    table: Table,
    target: str,
    *,
    task: str | None = None,
    ignore: Iterable[str] = (),
    like: Schema | None = None,
    choices: ColumnChoices | None = None,
) -> Schema:
    """Decide what each column is and how it becomes numbers.

    Numbers stay numbers even where they are codes; text of two or more levels is a category; yes/no words
    and bools are yes/no; ISO dates are dates. Text keeps its max(20, 5 % of the rows) most frequent levels, at most
    200, and the others are pooled; so are levels seen fewer than max(2, 0.05 % of the rows) times if there are at least
    two of them. Text with more different values than half the rows, or than 10,000, is dropped; so are constant
    columns, missing ones, and row numbers. Rows without a target are left out. `task` ("regression" or
    "classification") overrides the choice that `Schema.target.why` explains; columns named in `ignore` are not used.
    `like` is the schema of all rows where `table` is a part of them: what is a category there is one here, though the
    part may hold nothing but dates. `choices`: what the user says of columns, which has precedence over all this.

    Raises
    ------
    InputError
        There is no such column, nothing to learn from, or nothing to learn, or a column is not what `choices` say.
    """
    ignored = check_asked(table.path, table.names, target, task, ignore, choices if like is None else None)
    gathered = Gathered(table.names, target, ignored, 1, whole=True, like=like, choices=choices)
    gathered.add(0, table)
    return decide(gathered, table.path, table.names, task, ignored).schema


def learn_features(table: Table, target: Target, choices: ColumnChoices) -> Schema:
    """Decide what `learn_schema` does, for a table whose columns are all features. target: what its rows are to
    predict, which is known apart from it. Raises as `learn_schema` does, and where a cell is infinite."""
    choices.check(table.path, table.names, None)
    check_finite(table)
    gathered = Gathered(table.names, None, (), 1, whole=True, choices=choices)
    gathered.add_features(table)
    return _decided_columns(gathered, table.path, target, [], [])


def learn_pieces(
    path: str,
    names: Iterable[str],
    tables: Iterable[tuple[int, Table]],
    pieces: int,
    target: str,
    *,
    task: str | None = None,
    ignore: Iterable[str] = (),
    choices: ColumnChoices | None = None,
) -> Learnt:
    """Learn what `learn_schema` does from a table that comes in pieces. names: of its columns; tables: its rows in
    order, each table with the number of the piece that it is from; pieces: how many there are.

    Means differ from those of the whole table by rounding alone. A column with more than 10,000 different texts is
    dropped without counting them further; one that `choices` name to group rows may have 1,000,000.
    """
    names = tuple(names)
    ignored = check_asked(path, names, target, task, ignore, choices)
    gathered = Gathered(names, target, ignored, pieces, choices=choices)
    for piece, table in tables:
        check_finite(table)
        gathered.add(piece, table)
    return decide(gathered, path, names, task, ignored)


def check_asked(
    path: str,
    names: Sequence[str],
    target: str,
    task: str | None,
    ignore: Iterable[str],
    choices: ColumnChoices | None = None,
) -> tuple[str, ...]:
    """Return the names in `ignore`, each once. Raises InputError where a column or the task is not known."""
    if task not in (None, "regression", "classification"):
        raise InputError(f"the task {task!r} is not known; use 'regression' or 'classification'.")
    known = set(names)
    if target not in known:
        raise InputError(f"{path}: there is no column {shown(target)}; {suggest(target, names)}.")
    ignored = (ignore,) if isinstance(ignore, str) else tuple(dict.fromkeys(ignore))
    for name in ignored:
        if name not in known:
            apart = [each.strip() for each in name.split(",")]
            cure = f"name them one by one: {columns_setting('ignore', apart)}" if known.issuperset(apart) else ""
            raise InputError(f"{path}: there is no column {name!r} to ignore; {cure or suggest(name, names)}.")
    if choices is not None:
        choices.check(path, names, target, ignored)
    return ignored


def decide(gathered: Gathered, path: str, names: Iterable[str], task: str | None, ignored: Collection[str]) -> Learnt:
    """Decide by what was gathered. path: what messages call the table; names: of all its columns."""
    target, warnings = decided_target(gathered, path, task)
    left_out = [name for name in names if name in ignored and name != target.name]
    schema = _decided_columns(gathered, path, target, warnings, left_out)
    return Learnt(schema, gathered.sizes, class_counts(gathered, target), gathered.missing)


def _decided_columns(
    gathered: Gathered, path: str, target: Target, warnings: list[str], left_out: Sequence[str]
) -> Schema:
    """Return the schema of the columns. warnings: of the target; left_out: columns that are not to be used."""
    columns: list[Column] = []
    dropped: list[tuple[str, str]] = []
    marks: set[int] = set()
    of_target = list(warnings)
    for facts, numbers in zip(gathered.facts, gathered.row_numbers, strict=True):
        counts = numbers.counts and facts.kind is None
        column = Dropped("it only counts the rows") if counts else _column_of(facts, marks, path, gathered.decimal)
        if isinstance(column, Dropped):
            dropped.append((facts.name, column.reason))
            warnings.append(f"the column {facts.name!r} is not used: {column.reason}.")
            continue
        columns.append(column)
        warnings += _remarks(facts, column)
        if column.indicator:
            marks.add(facts.pattern)
    if not columns:
        reasons = "; ".join(f"{name!r}: {reason}" for name, reason in dropped[:5])
        raise InputError(
            f"{path}: no column is left to predict {target.name!r} from ({reasons or 'there is no other'}); "
            "add a column of numbers or categories."
        )
    if gathered.choices.factors == "auto" and all(column.kind == "factor" for column in columns):
        # Groups alone are nothing that a network could learn from.
        return _decided_columns(gathered.without_factors(), path, target, of_target, left_out)
    if gathered.choices.date_parts and not any(column.kind == "date" for column in columns):
        warnings.append(f"{setting('date_parts')} adds nothing: no column that is used holds dates.")
    dropped += [(name, "ignored, as asked") for name in left_out]
    columns = _distinct_names(columns)
    warnings += _memory_warning(gathered, columns)
    return Schema(tuple(columns), target, tuple(dropped), tuple(warnings), gathered.choices.missing)


def _memory_warning(gathered: Gathered, columns: list[Column]) -> list[str]:
    """Return a sentence on the memory that a wide matrix takes, where a table in memory has one."""
    width = sum(len(column.encoded) for column in columns)
    taken = 8.0 * width * gathered.rows
    if not gathered.whole or taken < _WIDE:
        return []
    widest = max(columns, key=lambda column: len(column.encoded))
    return [
        f"the columns become {width:,} columns of numbers, which take {size(taken)} for {count(gathered.rows, 'row')}; "
        f"{widest.name!r} has {len(widest.encoded):,} of them: {setting('levels', '20') or 'fewer levels'} or leaving "
        "it out would save memory."
    ]


def decided_target(gathered: Gathered, path: str, task: str | None) -> tuple[Target, list[str]]:
    """Return the target and warnings. Raises InputError where no row has a target, or it cannot be learnt."""
    if not gathered.sizes.sum():
        raise InputError(
            f"{path}, target {gathered.target.name!r}: every cell is missing; choose another target column."
        )
    return decide_target(path, gathered.target, task, gathered.decimal)


def class_counts(gathered: Gathered, target: Target) -> tuple[int, ...]:
    """Return how many rows each class has."""
    if not target.classes:
        return ()
    distinct = gathered.target.distinct
    counts = dict(zip(distinct.values, distinct.counts, strict=True))
    return tuple(counts[value] for value in target.classes)


def _column_of(facts: ColumnStatistics, marks: set[int], path: str, decimal: Decimal) -> Column | Dropped:
    """Return the column, or why it is not used. marks: the patterns of missing cells that earlier columns mark. path,
    decimal: of the table. Raises InputError where its text is not what the user says, or may be one of two dates."""
    name, present, missing = facts.name, facts.present, facts.missing
    if not present:
        return Dropped(ALL_MISSING)
    # Two equal columns could not be distinguished: rows that an earlier column marks need no second mark.
    indicator = missing > 0 and facts.pattern not in marks
    if not facts.category:
        if facts.form in ("number", "date"):
            return _column_of_values(facts, Found(facts.form, None, facts.values), indicator)
        if facts.form == "text" and (found := _found(facts, path, decimal)):
            return _column_of_values(facts, found, indicator)
        if facts.form not in ("text", "bool"):
            return Dropped(f"its cells are of type {facts.type_name}, which is neither number, text nor date")
    texts, counts = [level_name(value) for value in facts.distinct.values], facts.distinct.counts
    if len(texts) == 1 and not indicator:
        return _constant(facts)
    words = None if facts.category else flag_words(texts)
    if words:
        yes = sum(times for text, times in zip(texts, counts, strict=True) if text.casefold() == words[1])
        encoded = _with_indicator(name, [f"{name}={words[1]}"], indicator)
        return Column(name, "yes/no", encoded, yes / present, (words[1],), words[0], (), (), missing > 0, indicator)
    if facts.distinct.many and name in facts.choices.named_factors:
        return Dropped(f"it has more than {MANY_GROUPS:,} different values, and groups of rows are to be fewer")
    if _is_factor(facts, len(texts)):
        return Column(name, "factor", (name,), levels=tuple(sorted(texts)), missing_seen=missing > 0)
    if not facts.category and (reason := _too_many_levels(present, len(texts), facts.distinct.many)):
        advice = f", and {hint}" if (hint := facts.candidates.mixed or facts.text.hint(name)) else ""
        return Dropped(f"{reason}{advice}: {column_setting(name, 'text')} uses those that recur")
    return _category(facts, dict(zip(texts, counts, strict=True)), indicator)


def _is_factor(facts: ColumnStatistics, k: int) -> bool:
    """Are k different texts the groups of random intercepts?"""
    chosen = facts.choices.factors
    if facts.distinct.many:
        return False  # not all of them are known
    if chosen != "auto":
        return facts.factor or facts.name in chosen
    by_rule = facts.kind == "text" or (facts.kind is None and not _too_many_levels(facts.present, k, False))
    return facts.factor or (by_rule and k > _FEW_LEVELS and not facts.part)


def has_many_levels(column: Column) -> bool:
    """Has a category so many levels, of which each may have few rows, that text like it may be a factor?"""
    return column.kind == "category" and len(column.levels) + len(column.pooled) + 1 > _FEW_LEVELS


def _constant(facts: ColumnStatistics) -> Dropped:
    return Dropped(f"it is {show(facts.constant)} in every row{' that has a value' if facts.missing else ''}")


def _found(facts: ColumnStatistics, path: str, decimal: Decimal) -> Found | None:
    """Return how text is read as numbers or dates, or None where it is none."""
    candidates, name = facts.candidates, facts.name
    where = f"{path}, column {name!r}"
    if candidates.is_doubtful:
        ways = either(*(column_setting(name, "date", order) for order in ("dmy", "mdy")))
        raise InputError(
            f"{where}: {candidates.doubtful}, which is a date with the day first or with the month first, and no cell "
            f"tells which; say it: {ways}, or ignore the column."
        )
    if facts.kind == "number" and candidates.mixed:
        raise InputError(f"{where}: {candidates.mixed}.")
    found = candidates.found(decimal)
    if facts.kind is not None and found is None:
        raise InputError(
            f"{path}, row {candidates.refused[0]}, column {name!r}: {candidates.refused[1]} is written in another way "
            f"than the cells before it, and this column is asked to be a {facts.kind}; write all in one way."
        )
    return found


def _column_of_values(facts: ColumnStatistics, found: Found, indicator: bool) -> Column | Dropped:
    values = found.values
    if values.low == values.high:
        if not indicator:
            return _constant(facts)
        # The value says nothing, but whether it is there does: a box ticked or not.
        return _category(facts, {str(facts.constant): facts.present}, indicator)
    parts = facts.choices.date_parts if found.kind == "date" else ()
    names = [facts.name, *(f"{facts.name}: {wave} of the {part}" for part in parts for wave in ("sine", "cosine"))]
    return Column(
        facts.name,
        found.kind,
        _with_indicator(facts.name, names, indicator),
        values.mean,
        missing_seen=facts.missing > 0,
        indicator=indicator,
        reading=found.reading,
        parts=parts,
    )


def _remarks(facts: ColumnStatistics, column: Column) -> list[str]:
    """Return sentences on the column, as it is used."""
    if column.kind == "number":
        return facts.numbers.remarks()
    name = facts.name
    found: list[str] = []
    if column.kind == "date" and facts.candidates.short:
        return [
            f"the column {name!r} has dates with years of two digits ({facts.candidates.short}); they are read as 1969 "
            "to 2068."
        ]
    if column.kind != "category":
        return found
    used = facts.form == "text" and facts.kind is None and not facts.candidates.dates
    hint = (facts.candidates.mixed or facts.text.hint(name, used=True)) if used else ""
    if hint:
        found.append(f"the column {name!r} is used as categories; if it is meant otherwise: {hint}.")
    k, kept = len(facts.distinct.values), len(column.levels) + 1
    if kept == _most_levels(facts) and column.pooled:
        more = "more than " if facts.distinct.many else ""
        found.append(
            f"the column {name!r} has {more}{count(k, 'different value')}: the {kept:,} most frequent are levels, and "
            f"the others share the level '(other)'; {column_setting(name, 'category')} keeps all that are not rare."
        )
    unused = [level for level in facts.choices.levels.get(name, ()) if level not in facts.distinct.values]
    if unused and not facts.part:
        what = "level" if len(unused) == 1 else "levels"
        found.append(
            f"no row of the column {name!r} has the {what} {listed(list(map(show, unused)))}, left out for that."
        )
    return found


def _too_many_levels(n_valid: int, k: int, many: bool) -> str:
    """Return the reason to drop a text column with k different values in n_valid cells, or "". many: there are more.
    Values that hardly recur are names, from which nothing can be learnt."""
    if many or k > MANY:
        return f"it is text with more than {MANY:,} different values"
    return f"it is text with {k:,} different values in {count(n_valid, 'row')}" if k > max(2, n_valid / 2) else ""


def _most_levels(facts: ColumnStatistics) -> int:
    """Return how many levels a category keeps. Where some values are not counted, one at least is among the others."""
    counted = len(facts.distinct.values) - facts.distinct.many
    if facts.choices.max_levels is not None:
        return min(counted, facts.choices.max_levels)
    if facts.kind == "category":
        return counted
    return min(counted, _MOST_LEVELS, max(_FEW_LEVELS, int(_LEVEL_SHARE * facts.rows)))


def _pooled(by_level: dict[str, int], n: int, reference: str, most: int) -> set[str]:
    """Return the levels that share one column: those that are rare in n rows, if there are two, and the least frequent
    of more than `most`, of which the last in the order of the alphabet go first."""
    rare = {level for level, times in by_level.items() if times < max(2, _RARE_SHARE * n) and level != reference}
    pooled = rare if len(rare) >= 2 else set()
    others = sorted(by_level.keys() - pooled - {reference}, key=lambda level: (-by_level[level], level))
    return pooled | set(others[most - 1 :])


def _category(facts: ColumnStatistics, by_level: dict[str, int], indicator: bool) -> Column:
    """Return the column of a category. by_level: how often each level occurs."""
    name, n, missing, choices = facts.name, facts.rows, facts.missing, facts.choices
    names, reference = _ordered_levels(facts, by_level)
    rare = set() if name in choices.levels else _pooled(by_level, n, reference, _most_levels(facts))
    pooled = tuple(level for level in names if level in rare)
    levels = tuple(level for level in names if level != reference and level not in rare)
    encoded = [f"{name}={level}" for level in levels]
    sizes = [by_level[level] for level in levels]
    if pooled:
        encoded.append(f"{name}=(other)")
        # Among them are those that came after too many others to be counted each.
        sizes.append(facts.present - by_level[reference] - sum(sizes))
    if indicator:
        sizes.append(missing)
    # Where an earlier column's mark stands for the missing cells too, the shares are those of the others.
    n_counted = n if indicator else n - missing
    return Column(
        name,
        "category",
        _with_indicator(name, encoded, indicator),
        levels=levels,
        reference=reference,
        pooled=pooled,
        shares=tuple(size / n_counted for size in sizes),
        missing_seen=missing > 0,
        indicator=indicator,
    )


def _ordered_levels(facts: ColumnStatistics, by_level: dict[str, int]) -> tuple[list[str], str]:
    """Return the levels in order, and the level of reference."""
    name, choices = facts.name, facts.choices
    if name in choices.levels:
        names = [level for level in choices.levels[name] if level in by_level]
        usual = names[0]
    else:
        # Sorted by text; the most frequent is the reference, the first of equals.
        names = sorted(by_level)
        usual = max(names, key=lambda level: by_level[level])
    reference = choices.references.get(name, usual)
    if reference in by_level:
        return names, reference
    if facts.part:
        return names, usual  # the other rows have that level
    raise InputError(
        f"the column {name!r} has no level {reference!r} to be its reference; "
        f"{suggest(reference, names).replace('columns are', 'levels are')}."
    )


def _with_indicator(name: str, encoded: list[str], indicator: bool) -> tuple[str, ...]:
    return (*encoded, f"{name} is missing") if indicator else tuple(encoded)


def _distinct_names(columns: list[Column]) -> list[Column]:
    """Return the columns with encoded names that all differ, even where a column is called 'a=b' and the column 'a' has
    the level 'b'."""
    taken: set[str] = set()
    result = []
    for column in columns:
        encoded = []
        for name in column.encoded:
            unique, number = name, 2
            while unique in taken:
                unique, number = f"{name} ({number})", number + 1
            taken.add(unique)
            encoded.append(unique)
        result.append(replace(column, encoded=tuple(encoded)))
    return result
