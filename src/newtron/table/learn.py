"""Look at the training table once and decide what every column means."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import InputError
from newtron.engine.base.words import count
from newtron.table.cells import (
    as_days,
    as_flags,
    as_numbers,
    distinct_cells,
    flag_words,
    is_date,
    is_number,
    is_text,
    is_whole,
    plain,
    value_of,
)
from newtron.table.looks import NumberLooks, TextLooks, named_like_identifier
from newtron.table.schema import Column, Schema, Target
from newtron.table.table import Table, show, suggest
from newtron.table.target import learn_target

if TYPE_CHECKING:
    import pyarrow as pa

MOST_LEVELS = 100
# Why a column without any value is not used.
NEVER_THERE = "every cell is missing"
_FEW_LEVELS = 20
_LEVEL_SHARE = 0.05
_RARE_SHARE = 0.0005


@dataclass(frozen=True)
class Dropped:
    """Why a column is not used."""

    reason: str


def learn_schema(
    table: Table,
    target: str,
    *,
    task: str | None = None,
    ignore: Iterable[str] = (),
    like: Schema | None = None,
) -> Schema:
    """Decide what each column is and how it becomes numbers.

    Numbers stay numbers even where they are codes; text of two or more levels is a category; yes/no words
    and bools are yes/no; ISO dates are dates. A text column with more levels than max(20, 5 % of the rows),
    or 100, or half the rows, is dropped; so are constant columns, missing ones, and row numbers. Levels
    seen fewer than max(2, 0.05 % of the rows) times are pooled if there are at least two of them. Rows
    without a target are left out. `task` ("regression" or "classification") overrides the choice that
    `Schema.target.why` explains; columns named in `ignore` are not used. `like` is the schema of all rows where
    `table` is a part of them: what is a category there is one here, though the part may hold nothing but dates.

    Raises
    ------
    InputError
        There is no such column, nothing to learn from, or nothing to learn.
    """
    ignored = {ignore: None} if isinstance(ignore, str) else dict.fromkeys(ignore)
    for name in ignored:
        if name not in table:
            raise InputError(f"{table.path}: there is no column {name!r} to ignore; {suggest(name, table.names)}.")
    learnt, kept, warnings = learn_target(table, target, task)
    row_numbers = {name for name in table.names if _is_row_number(name, table)}
    categories = {column.name for column in like.columns if column.kind == "category"} if like else set()
    rows = table if kept.all() else table.take(np.flatnonzero(kept))
    found: list[Column | tuple[str, str]] = []
    remarks: dict[str, list[str]] = {}
    marks: set[bytes] = set()
    for name in table.names:
        if name == target or name in ignored:
            continue
        if name in row_numbers:
            column: Column | Dropped = Dropped("it only counts the rows")
        else:
            column = _learn_column(rows, name, marks, name in categories, remarks)
        if isinstance(column, Dropped):
            found.append((name, column.reason))
            continue
        found.append(column)
        if column.indicator:
            marks.add(_missing_pattern(plain(rows.column(name))))
    return schema_of(table.path, table.names, learnt, found, ignored, warnings, remarks)


def schema_of(
    path: str,
    names: tuple[str, ...],
    target: Target,
    found: list[Column | tuple[str, str]],
    ignored: Collection[str],
    warnings: list[str],
    remarks: Mapping[str, list[str]],
) -> Schema:
    """The schema from what each column was found to be: a column, or its name and why it is not used. remarks:
    sentences on columns that are used."""
    columns = [column for column in found if isinstance(column, Column)]
    dropped = [pair for pair in found if not isinstance(pair, Column)]
    for each in found:
        if not isinstance(each, Column):
            warnings.append(f"the column {each[0]!r} is not used: {each[1]}.")
        else:
            warnings += remarks.get(each.name, [])
    if not columns:
        reasons = "; ".join(f"{name!r}: {reason}" for name, reason in dropped[:5])
        raise InputError(
            f"{path}: no column is left to predict {target.name!r} from ({reasons or 'there is no other'}); "
            "add a column of numbers or categories."
        )
    dropped += [(name, "ignored, as asked") for name in names if name in ignored and name != target.name]
    return Schema(tuple(_distinct_names(columns)), target, tuple(dropped), tuple(warnings))


def _learn_column(
    table: Table, name: str, marks: set[bytes], category: bool, remarks: dict[str, list[str]]
) -> Column | Dropped:
    """The column, or why not. `marks` are the patterns of missing cells that earlier columns mark; `category`: text is
    one, whatever it says; `remarks`: what is to be said of columns, to which this one's is added."""
    cells = plain(table.column(name))
    if cells.null_count == len(cells):
        return Dropped(NEVER_THERE)
    # Two equal columns could not be told apart: rows that an earlier column marks need no second mark.
    indicator = cells.null_count > 0 and _missing_pattern(cells) not in marks
    if is_number(cells):
        return _learn_cells(name, "number", cells, as_numbers(cells), indicator, remarks)
    if is_date(cells) or (is_text(cells) and not category and not isinstance(as_days(cells), int)):
        return _learn_cells(name, "date", cells, as_days(cells), indicator, remarks)
    if not is_text(cells) and str(cells.type) != "bool":
        return Dropped(f"its cells are of type {cells.type}, which is neither number, text nor date")
    values, codes = distinct_cells(cells)
    counts = np.bincount(codes, minlength=len(values) + 1)
    missing = bool(counts[-1])
    texts = [str(value).lower() if isinstance(value, bool) else value for value in values]
    if len(texts) == 1 and not indicator:
        return Dropped(f"it is {show(values[0])} in every row{' that has a value' if missing else ''}")
    words = None if category else flag_words(texts)
    if words:
        flags, _ = as_flags(cells)
        encoded = with_indicator(name, [f"{name}={words[1]}"], indicator)
        mean = float(np.nanmean(flags))
        return Column(name, "yes/no", encoded, mean, (words[1],), words[0], (), (), missing, indicator)
    looks = TextLooks()
    if is_text(cells):
        looks.add(cells, table.row_number)
    if reason := too_many_levels(len(cells), len(cells) - cells.null_count, len(texts)):
        return Dropped(reason + advice_on_levels(looks, len(cells) - cells.null_count, len(texts)))
    remarks[name] = remarks_on_category(name, looks)
    return learn_category(name, texts, counts, indicator)


def advice_on_levels(looks: TextLooks, n_valid: int, k: int) -> str:
    """What to do about too many different values, k in n_valid cells, as the end of a sentence. Values that hardly
    recur are names, which nothing can be learnt from."""
    if hint := looks.hint():
        return f", and {hint}"
    return ": to use it, join rare values into one" if k <= n_valid / 2 else ""


def remarks_on_category(name: str, looks: TextLooks) -> list[str]:
    hint = looks.hint(used=True)
    return [f"the column {name!r} is used as categories; if it is meant otherwise: {hint}."] if hint else []


def _missing_pattern(cells: pa.Array) -> bytes:
    """Which cells are missing, one bit a row."""
    return np.packbits(cells.is_null().to_numpy(zero_copy_only=False)).tobytes()


def with_indicator(name: str, encoded: list[str], indicator: bool) -> tuple[str, ...]:
    return (*encoded, f"{name} is missing") if indicator else tuple(encoded)


def _learn_cells(
    name: str,
    kind: Literal["number", "date"],
    cells: pa.Array,
    values: NDArray[np.float64] | int,
    indicator: bool,
    remarks: dict[str, list[str]],
) -> Column | Dropped:
    assert not isinstance(values, int), "the cells were found to be of this kind"
    present = values[~np.isnan(values)]
    if kind == "number":
        looks = NumberLooks(name)
        looks.add(present, len(values) - len(present), is_whole(cells))
        remarks[name] = looks.remarks()
    with np.errstate(over="ignore"):
        mean = float(np.mean(present))
    if not np.isfinite(mean):
        mean = float(np.sum(present / len(present)))
    summary = float(present.min()), float(present.max()), mean
    constant = value_of(cells.drop_null()[0])
    return learn_values(name, kind, summary, constant, len(present), len(values) - len(present), indicator)


def learn_values(
    name: str,
    kind: Literal["number", "date"],
    summary: tuple[float, float, float],
    constant: Any,
    present: int,
    missing: int,
    indicator: bool,
) -> Column | Dropped:
    """A column of numbers or dates. summary: smallest, largest and mean; constant: one of its cells; present, missing:
    how many cells have a value and how many have none."""
    low, high, mean = summary
    if low == high:
        if not indicator:
            return Dropped(f"it is {show(constant)} in every row{' that has a value' if missing else ''}")
        # The value says nothing, but whether it is there does: a box ticked or not.
        return learn_category(name, [str(constant)], np.array([present, missing]), indicator)
    encoded = with_indicator(name, [name], indicator)
    return Column(name, kind, encoded, mean, missing_seen=missing > 0, indicator=indicator)


def too_many_levels(n: int, n_valid: int, k: int) -> str:
    """The reason to drop a text column with so many levels, or nothing."""
    if k <= 2 or (k <= min(MOST_LEVELS, max(_FEW_LEVELS, _LEVEL_SHARE * n)) and k <= n_valid / 2):
        return ""
    return f"it is text with {k:,} different values in {count(n_valid, 'row')}"


def learn_category(name: str, texts: list[str], counts: NDArray[np.int64], indicator: bool) -> Column:
    """`counts` are those of `texts` and, last, of the missing cells."""
    n = int(counts.sum())
    by_level = dict(zip(texts, counts[:-1].tolist(), strict=True))
    # Sorted by text; the most frequent is the reference, the first of equals.
    names = sorted(by_level)
    reference = max(names, key=lambda level: by_level[level])
    rare = [level for level in names if by_level[level] < max(2, _RARE_SHARE * n) and level != reference]
    pooled = tuple(rare) if len(rare) >= 2 else ()
    levels = tuple(level for level in names if level != reference and level not in pooled)
    encoded = [f"{name}={level}" for level in levels]
    sizes = [by_level[level] for level in levels]
    if pooled:
        encoded.append(f"{name}=(other)")
        sizes.append(sum(by_level[level] for level in pooled))
    if indicator:
        sizes.append(int(counts[-1]))
    # Where an earlier column's mark stands for the missing cells too, the shares are those of the others.
    n_counted = n if indicator else n - int(counts[-1])
    return Column(
        name,
        "category",
        with_indicator(name, encoded, indicator),
        levels=levels,
        reference=reference,
        pooled=pooled,
        shares=tuple(size / n_counted for size in sizes),
        missing_seen=bool(counts[-1]),
        indicator=indicator,
    )


def _whole_numbers(table: Table, name: str) -> NDArray[np.int64] | None:
    import pyarrow as pa

    cells = table.data.column(name)
    if not pa.types.is_integer(cells.type) or cells.null_count:
        return None
    numbers: NDArray[np.int64] = cells.to_numpy().astype(np.int64)
    return numbers


def _is_row_number(name: str, table: Table) -> bool:
    """Named like a row number, or without a name, and exactly 0, 1, 2, ... or 1, 2, 3, ..."""
    if not named_like_identifier(name):
        return False
    numbers = _whole_numbers(table, name)
    if numbers is None or numbers[0] not in (0, 1):
        return False
    return bool(np.array_equal(numbers, np.arange(numbers[0], numbers[0] + len(numbers))))


def _distinct_names(columns: list[Column]) -> list[Column]:
    """Encoded names that differ, even where a column is called 'a=b' and another 'a' has the level 'b'."""
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
