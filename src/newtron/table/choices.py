"""What a user says of columns: their kind, the order and number of their levels, and what becomes of missing cells."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias, cast, get_args

from newtron.engine.base.checks import check_count, shown
from newtron.engine.base.errors import InputError
from newtron.engine.base.words import joined, setting
from newtron.table.schema import PERIODS, DatePart
from newtron.table.table import suggest

ColumnKind: TypeAlias = Literal["number", "category", "date", "text"]
# The order of day, month and year in dates whose parts are numbers.
DateOrder: TypeAlias = Literal["dmy", "mdy", "ymd"]
Missing: TypeAlias = Literal["indicator", "error"]

COLUMN_KINDS: tuple[ColumnKind, ...] = get_args(ColumnKind)
DATE_ORDERS: tuple[DateOrder, ...] = get_args(DateOrder)


@dataclass(frozen=True)
class ColumnChoices:
    """What is chosen of columns instead of being decided by their cells. All of it is optional.

    Parameters
    ----------
    kinds : mapping from the name of a column to "number", "category", "date" or "text"
        A number or a date is refused where a cell is none. A category has a level for each value, which may be a
        number; rare ones are joined. Text keeps its frequent levels, however seldom they recur, and joins the others.
    levels : mapping from the name of a column to its levels in order
        Such a column is a category. The first level is the reference, with which the others are compared. Cells with
        another value are refused; levels in no row of training are left out.
    references : mapping from the name of a category to its level of reference
        By default it is the most frequent level.
    orders : mapping from the name of a column of dates to "dmy", "mdy" or "ymd"
        Which of day, month and year comes first, where the cells do not tell. Such a column is one of dates.
    max_levels : int, 2 or more
        The number of levels that a category or text keeps at most; the others are joined. By default text has
        max(20, 5 % of the rows) of them, and at most 200; chosen categories have as many as are not rare.
    date_parts : tuple of "year", "week" and "day"
        Parts of dates that recur: every column of dates also has a sine and a cosine of each.
    factors : tuple of names of columns, or "auto"
        Text in these columns says what group a row is of, for random intercepts: one column of the matrix with the
        numbers of all its levels, and none that joins rare ones. Numbers in them stay numbers. "auto" takes text with
        more than 20 levels whose kind is not chosen.
    missing : "indicator" or "error"
        "indicator" fills in a missing cell with the mean and marks it in a column of its own; "error" refuses it, in
        training and in prediction.

    Raises
    ------
    InputError
        A kind, an order, a level or a number is none of these.

    Examples
    --------
    >>> from newtron.table.choices import ColumnChoices
    >>> ColumnChoices(kinds={"zip": "category"}, levels={"size": ("S", "M", "L")}).kind("size")
    'category'
    """

    kinds: Mapping[str, ColumnKind] = field(default_factory=dict)
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    references: Mapping[str, str] = field(default_factory=dict)
    orders: Mapping[str, DateOrder] = field(default_factory=dict)
    max_levels: int | None = None
    missing: Missing = "indicator"
    date_parts: tuple[DatePart, ...] = ()
    factors: tuple[str, ...] | Literal["auto"] = ()

    def __post_init__(self) -> None:
        for name, kind in self.kinds.items():
            if kind not in COLUMN_KINDS:
                raise InputError(f"the column {name!r} cannot be {shown(kind)}; it is one of {_either(COLUMN_KINDS)}.")
        for name, order in self.orders.items():
            if order not in DATE_ORDERS:
                raise InputError(
                    f"the dates of the column {name!r} cannot be {shown(order)}; give {_either(DATE_ORDERS)}."
                )
        for name, levels in self.levels.items():
            if not levels or len(set(levels)) < len(levels):
                raise InputError(f"the levels of the column {name!r} must be one or more, and none may be there twice.")
        implied = [("category", self.levels), ("category", self.references), ("date", self.orders)]
        for what, names in implied:
            for name in names:
                said = self.kind(name)
                if said != what and not (what == "category" and said == "text"):
                    raise InputError(f"the column {name!r} is said to be a {said} and a {what}; say one of them.")
        for name, level in self.references.items():
            if level not in self.levels.get(name, (level,)):
                raise InputError(
                    f"the reference {level!r} of the column {name!r} is none of its levels, "
                    f"{joined(self.levels[name])}."
                )
        if self.max_levels is not None:
            check_count("levels", self.max_levels, least=2)
        for part in self.date_parts:
            if part not in PERIODS:
                raise InputError(
                    f"{setting('date_parts', shown(part))}: a date has the parts {_either(PERIODS)}; give one or "
                    "several of them."
                )
        if self.missing not in get_args(Missing):
            raise InputError(f"{setting('missing', shown(self.missing))}: give {_either(get_args(Missing))}.")

    def kind(self, name: str) -> ColumnKind | None:
        """Return the kind that is chosen for a column, or None where its cells decide."""
        if name in self.kinds:
            return self.kinds[name]
        if name in self.levels or name in self.references:
            return "category"
        return "date" if name in self.orders else None

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of which something is said, in order."""
        return tuple(dict.fromkeys((*self.kinds, *self.levels, *self.references, *self.orders)))

    @property
    def named_factors(self) -> tuple[str, ...]:
        """The columns that are named to group rows."""
        return () if self.factors == "auto" else self.factors

    @property
    def letters(self) -> frozenset[str]:
        """The columns of a text file whose cells stay text: levels, so that 02139 is not the number 2139, and dates."""
        return frozenset(name for name in self.names if self.kind(name) != "number")

    def check(self, path: str, names: Sequence[str], target: str | None, ignored: Iterable[str] = ()) -> None:
        """Raise an InputError where there is no such column in `names`, or it is the target or left out."""
        known, left_out = set(names), set(ignored)
        for name in self.names:
            if name not in known:
                raise InputError(f"{path}: there is no column {shown(name)}; {suggest(name, names)}.")
            if name == target:
                raise InputError(
                    f"{path}: the column {name!r} is the target, and {setting('task') or 'the task'} says what that is."
                )
            if name in left_out:
                raise InputError(f"{path}: the column {name!r} is ignored, so that it cannot be used as asked.")
        for name in self.named_factors:
            if name not in known:
                asked = setting("intercepts", shown(name))
                raise InputError(f"{path}: {asked}: there is no column {shown(name)}; {suggest(name, names)}.")
            if name == target or name in left_out:
                what = "the target" if name == target else "ignored"
                raise InputError(f"{path}: the column {name!r} is {what}, and so has no random intercepts.")


def choices_of(
    *,
    number: Iterable[str] = (),
    category: Iterable[str] = (),
    date: Iterable[str] = (),
    text: Iterable[str] = (),
    reference: Iterable[str] | Mapping[str, str] = (),
    levels: int | None = None,
    missing: str = "indicator",
    date_parts: Iterable[str] = (),
    factors: tuple[str, ...] | Literal["auto"] = (),
) -> ColumnChoices:
    """Return the choices that are typed on the command line or given to `newtron.fit`.

    Each of number, category, date and text names columns, in one text ("A,B", with quotation marks around a name that
    has a comma) or in several; a date may be "COLUMN=dmy". reference: "COLUMN=LEVEL", or a mapping. Raises InputError
    where a column is said to be two things, or a text is not of this form.
    """
    kinds: dict[str, ColumnKind] = {}
    orders: dict[str, DateOrder] = {}
    for kind, texts in (("number", number), ("category", category), ("date", date), ("text", text)):
        for name in split_names(texts):
            if kind == "date" and name.rpartition("=")[2] in DATE_ORDERS and "=" in name:
                name, _, order = name.rpartition("=")
                orders[name] = cast(DateOrder, order)
            if kinds.setdefault(name, cast(ColumnKind, kind)) != kind:
                raise InputError(f"the column {name!r} is said to be a {kinds[name]} and a {kind}; say one of them.")
    references = dict(reference) if isinstance(reference, Mapping) else dict(map(_reference, _texts(reference)))
    return ColumnChoices(
        kinds=kinds,
        references=references,
        orders=orders,
        max_levels=levels,
        missing=cast(Missing, missing),
        date_parts=cast(tuple[DatePart, ...], tuple(dict.fromkeys(split_names(date_parts)))),
        factors=factors,
    )


def column_choices(columns: Mapping[str, object] | None, missing: str = "indicator") -> ColumnChoices:
    """Return the choices of an estimator's parameter `columns`: each value is a kind, the order of dates ("dmy", "mdy",
    "ymd"), or a list of levels in order, of which the first is the reference. Raises InputError where a value is none
    of these."""
    kinds: dict[str, ColumnKind] = {}
    levels: dict[str, tuple[str, ...]] = {}
    orders: dict[str, DateOrder] = {}
    for name, value in (columns or {}).items():
        if isinstance(value, str) and value in DATE_ORDERS:
            orders[name] = value
        elif isinstance(value, str):
            kinds[name] = cast(ColumnKind, value)
        elif isinstance(value, Iterable):
            levels[name] = tuple(map(level_name, value))
        else:
            raise InputError(
                f"columns={{{name!r}: {shown(value)}}}: give {_either(COLUMN_KINDS)}, or a list of levels in order."
            )
    return ColumnChoices(kinds=kinds, levels=levels, orders=orders, missing=cast(Missing, missing))


def with_levels(choices: ColumnChoices, levels: Mapping[str, Sequence[object]]) -> ColumnChoices:
    """Return the choices with the levels of ordered categories that a frame has, where nothing else is said of them."""
    known = {name: tuple(map(level_name, values)) for name, values in levels.items() if choices.kind(name) is None}
    return replace(choices, levels={**choices.levels, **known})


def level_name(value: object) -> str:
    """Return a value as the level of a category: true and false, whole numbers without a point, texts as they are."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value)


def split_names(texts: Iterable[str]) -> list[str]:
    """Return names that are separated by commas. A name with a comma stands in quotation marks."""
    return [name for row in csv.reader(_texts(texts), skipinitialspace=True) for name in row if name]


def _texts(texts: Iterable[str]) -> list[str]:
    return [texts] if isinstance(texts, str) else list(texts)


def _reference(text: str) -> tuple[str, str]:
    name, equals, level = text.partition("=")
    if not (name and equals and level):
        raise InputError(f"{setting('reference', text) or text}: give the column and its level, as in region=north.")
    return name, level


def _either(names: Iterable[str]) -> str:
    *first, last = map(repr, names)
    return f"{', '.join(first)} or {last}"
