"""The rules by which the text of a column is read as numbers, dates or times of day. A schema stores them.

A rule is found once, from the cells of training, and reads every later cell alike, whatever other cells come with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array
from newtron.table.arrow import ArrowArray
from newtron.table.cells import as_days

GroupMark: TypeAlias = Literal["", ",", ".", "'", " "]
Decimal: TypeAlias = Literal[".", ","]
Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True)
class Reading:
    """The rule by which the texts of a column are read.

    form: what they are. A "number" is written with a decimal mark, perhaps a mark between groups of three digits (""
    is none, " " any blank, "'" any apostrophe) and a unit before or after it (a currency, %, kg); it is what is
    written, 12 of 12 %, and negative in round brackets. A "date" becomes days since 1970-01-01, with the time of day as
    a fraction. order: which of day, month and year comes first where all are numbers; "ymd" stands for columns without
    such cells. A year of four digits first, and a month in letters, are read in every order; years of two digits are
    1969 to 2068; without a zone the time is one of UTC. A "time" of day becomes hours since midnight.
    """

    form: Literal["number", "date", "time"]
    decimal: Decimal = "."
    group: GroupMark = ""
    unit: str = ""
    order: Literal["", "dmy", "mdy", "ymd"] = ""

    def __post_init__(self) -> None:
        plain = (self.decimal, self.group, self.unit) == (".", "", "")
        if (self.form == "date") != bool(self.order) or not (self.form == "number" or plain):
            raise InputError(f"the marks and the order of a reading do not fit its form {self.form!r}.")

    def read(self, cells: ArrowArray) -> Array | int:
        """Return the numbers, days or hours, NaN where a cell is missing; or the index of the first cell that is not
        read by this rule. A number need not have the mark between groups."""
        missing = _mask(cells.is_null())
        if self.form == "number":
            found = parse_numerals(cells, self.decimal)
            fits = found.fits & same_texts(found.unit, self.unit)
            fits &= same_texts(found.group, "") | same_texts(found.group, self.group)
            return _values_or_first(found.values, fits | missing)
        values = parse_dates(cells).in_order(self.order) if self.order else parse_hours(cells)
        return _values_or_first(values, ~np.isnan(values) | missing)

    @property
    def example(self) -> tuple[str, str]:
        """A cell, and what it is read as."""
        if self.form == "time":
            return "14:30", "14.5 hours"
        if self.order:
            return {"dmy": "31/01/2024", "mdy": "01/31/2024"}.get(self.order, "31 Jan 2024"), "2024-01-31"
        text = f"1{self.group}234{self.decimal}5" if self.group else f"12{self.decimal}5"
        if self.unit:
            text = f"{self.unit}{text}" if self.unit in "$€£¥₹" else f"{text} {self.unit}"
        return text, "1234.5" if self.group else "12.5"


# --- numbers ---

_BLANK = "\\x{20}\\x{a0}\\x{2009}\\x{202f}"
_CURRENCY = (
    r"(?:US|C|A|R|NZ|HK|S)?\$|[€£¥₹₽₩₺₪฿₫₦₱]|USD|EUR|GBP|CHF|JPY|CNY|INR|CAD|AUD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|BRL|MXN|ZAR"
    r"|KRW|TRY|Rs\.?|kr\.?|zł|Fr\."
)
# Units that may follow a number without a blank; after a blank any word may.
_UNITS = (
    r"kg|g|mg|µg|lbs?|oz|km|m|cm|mm|µm|nm|mi|ft|in|yd|ml|l|dl|cl|gal|h|hrs?|mins?|secs?|s|ms|days?|weeks?|months?|years?"
    r"|yrs?|kw|kwh|hp|hz|khz|mhz|ghz|kb|mb|gb|tb|°c|°f|°|mph|km/h|m/s|m²|m³|pts?|px|k|bn|x|cc|bhp|rpm"
)


def _number(body: str) -> str:
    return (
        rf"^(?P<opened>\(?)\s*(?P<sign>[+\-−]?)\s*(?P<before>{_CURRENCY})?\s*(?P<second>[+\-−]?)"
        rf"(?P<body>{body})(?P<power>[eE][+\-]?\d+)?"
        rf"(?P<after>\s*(?:%|‰|(?:{_CURRENCY})(?:\s?/\s?[\pL²³]+)?|(?i:{_UNITS}))|\s+[\pLµ°²³/.]+)?\s*(?P<closed>\)?)$"
    )


# The whole part of a number: digits alone, or groups of three (in India of two before the last), with each mark.
_WHOLE = {
    mark: rf"\d+|[1-9]\d{{0,2}}(?:[{mark}]\d{{2,3}})*[{mark}]\d{{3}}|[1-9]\d{{0,2}}(?:['’]\d{{3}})+"
    rf"|[1-9]\d{{0,2}}(?:[{_BLANK}]\d{{3}})+"
    for mark in ",."
}
_BODY = {
    ".": rf"^(?:{_WHOLE[',']})?(?:\.\d*)?$",
    ",": rf"^(?:{_WHOLE['.']})?(?:,\d*)?$",
}
# Any digits and marks, which `_BODY` examines; and numbers that are written with one of the two decimal marks.
_NUMBER = _number(rf"[.,]?\d(?:[\d.,'’{_BLANK}]*\d)?\.?")
WRITTEN = _number(rf"(?:{_WHOLE[',']})(?:\.\d*)?|(?:{_WHOLE['.']})(?:,\d*)?|[.,]\d+")


class Numerals(NamedTuple):
    """Cells as numbers. values: NaN where a cell is missing or no number. fits: the cell is a number. group: its mark
    between groups of digits. unit: of the number. plain: it has digits and a decimal point alone. certain: it shows
    which mark is the decimal one. codes: it begins with a 0 that no number needs."""

    values: Array
    missing: Mask
    fits: Mask
    group: ArrowArray
    unit: ArrowArray
    plain: Mask
    certain: Mask
    codes: Mask


def parse_numerals(cells: ArrowArray, decimal: Decimal) -> Numerals:
    """Read texts as numbers with this decimal mark and any mark between groups of digits."""
    import pyarrow as pa
    import pyarrow.compute as pc

    parts = pc.extract_regex(cells.cast(pa.large_string()), _NUMBER)
    body, opened = pc.struct_field(parts, "body"), pc.struct_field(parts, "opened")
    signs = _join(pc.struct_field(parts, "sign"), pc.struct_field(parts, "second"))
    power = pc.struct_field(parts, "power")
    sound = pc.and_(pc.match_substring_regex(body, _BODY[decimal]), pc.less_equal(pc.utf8_length(signs), 1))
    bracketed = pc.equal(opened, "(")
    sound = pc.and_(sound, pc.equal(bracketed, pc.equal(pc.struct_field(parts, "closed"), ")")))
    sound = pc.and_(sound, pc.or_(pc.invert(bracketed), pc.equal(signs, "")))
    fits = _mask(sound)
    digits = pc.replace_substring_regex(body, rf"['’{_BLANK}{',' if decimal == '.' else '.'}]", "")
    digits = digits if decimal == "." else pc.replace_substring(digits, ",", ".")
    digits = pc.if_else(pa.array(fits), _join(digits, power), pa.scalar(None, digits.type))
    values: Array = np.array(digits.cast(pa.float64()).to_numpy(zero_copy_only=False))
    fits &= np.isfinite(values)
    values[_mask(pc.or_(bracketed, pc.match_substring_regex(signs, "[-−]")))] *= -1.0
    marks = pc.replace_substring_regex(body, rf"[\d{'.' if decimal == '.' else ','}]", "")
    marks = pc.replace_substring_regex(pc.replace_substring(marks, "’", "'"), f"[{_BLANK}]", " ")
    group = pc.fill_null(pc.utf8_slice_codeunits(marks, 0, 1), "")
    unit = _units(parts)
    fraction = pc.match_substring(body, decimal)
    ambiguous = pc.match_substring_regex(body, rf"^[1-9]\d{{0,2}}[{decimal}]\d{{3}}$")
    other = "," if decimal == "." else "."
    grouped = pc.match_substring(body, other)
    repeated = pc.match_substring_regex(body, rf"[{other}].*[{other}]")
    certain = _mask(pc.or_(pc.and_(fraction, pc.invert(ambiguous)), pc.and_(grouped, pc.or_(fraction, repeated))))
    plain = (
        same_texts(group, "")
        & same_texts(unit, "")
        & ~_mask(bracketed)
        & (_mask(pc.invert(fraction)) | (decimal == "."))
    )
    codes = _mask(pc.match_substring_regex(body, r"^0\d"))
    return Numerals(values, _mask(cells.is_null()), fits, group, unit, fits & plain, fits & certain, codes)


def same_texts(texts: ArrowArray, text: str) -> Mask:
    """Return which of the texts are this one."""
    import pyarrow.compute as pc

    return _mask(pc.equal(texts, text))


def _units(parts: ArrowArray) -> ArrowArray:
    """Return the unit of each number. Upper and lower case, and a plural s, make no difference."""
    import pyarrow.compute as pc

    before = pc.struct_field(parts, "before")
    after = pc.replace_substring_regex(pc.utf8_lower(pc.struct_field(parts, "after")), r"\s", "")
    after = pc.replace_substring_regex(after, r"^(\pL{2,})s$", r"\1")
    same = pc.equal(pc.utf8_lower(before), after)
    joined = pc.if_else(same, after, _join(pc.utf8_lower(before), after))
    return pc.fill_null(joined, "")


# --- dates and times of day ---

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = r"(?i:(?P<month>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*)\.?"
_CLOCK = (
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}(?:\.\d+)?))?\s*(?P<half>[AaPp]\.?[Mm]\.?)?"
    r"\s*(?P<zone>Z|UTC|GMT|[+\-]\d{2}:?\d{2})?"
)
_REST = rf"(?:[ T,]+{_CLOCK})?$"
_WEEKDAY = r"^(?:(?i:mon|tue|wed|thu|fri|sat|sun)[a-z]*[,.]?\s+)?"
# The forms of a date; the names of the groups say what each part is.
_DATE_FORMS = (
    rf"^(?P<first>\d{{1,4}})(?P<mark>[/.\-])(?P<middle>\d{{1,2}})(?P<again>[/.\-])(?P<last>\d{{1,4}}){_REST}",
    rf"{_WEEKDAY}(?P<day>\d{{1,2}})(?:st|nd|rd|th)?[ .\-/]*{_MONTH}[ ,.\-/]*(?P<year>\d{{4}}|\d{{2}}){_REST}",
    rf"{_WEEKDAY}{_MONTH}[ .\-]*(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?:,| )[ ]*(?P<year>\d{{4}}){_REST}",
)
_COMPACT = r"^(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})$"
# Years of two digits are 1969 to 2068, as POSIX has them.
_PIVOT = 69


class ParsedDates(NamedTuple):
    """Cells as dates. days: where the parts are known whatever the order; NaN elsewhere. first, middle, year: of the
    others, 0 elsewhere. time: the fraction of a day. short: the year has two digits. dots: between the parts. codes:
    these cells, part numbers and versions look alike."""

    missing: Mask
    days: Array
    first: NDArray[np.int64]
    middle: NDArray[np.int64]
    year: NDArray[np.int64]
    time: Array
    short: Mask
    dots: Mask
    codes: Mask

    def in_order(self, order: str) -> Array:
        """Return the days; NaN where a cell is no date in this order."""
        if order == "ymd":
            return self.days
        day, month = (self.first, self.middle) if order == "dmy" else (self.middle, self.first)
        return np.where(np.isnan(self.days), _days(self.year, month, day) + self.time, self.days)


def parse_dates(cells: ArrowArray) -> ParsedDates:
    """Read texts as dates of any form. Whole numbers such as 20240131 are dates too."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = cells.cast(pa.large_string())
    n = len(texts)
    first, middle, year = np.zeros((3, n), dtype=np.int64)
    short, dots, codes = np.zeros((3, n), dtype=bool)
    missing = _mask(texts.is_null())
    found = ParsedDates(missing, np.full(n, np.nan), first, middle, year, np.zeros(n), short, dots, codes)
    left = np.flatnonzero(~found.missing)
    for form in (_COMPACT, *_DATE_FORMS):
        if not len(left):
            break
        parts = pc.extract_regex(texts.take(pa.array(left)), form)
        fits = _mask(parts.is_valid())
        which, parts = left[fits], parts.filter(pa.array(fits))
        if len(which):
            _fill(found, which, {field.name: parts.field(k) for k, field in enumerate(parts.type)})
        left = left[~fits]
    if len(left):
        iso = as_days_each(texts.take(pa.array(left)))
        found.days[left] = iso
    return found


def _fill(found: ParsedDates, which: NDArray[np.int64], parts: dict[str, ArrowArray]) -> None:
    """Write the cells at these places. parts: by the names of the groups of a form."""
    time = _time(parts) if "hour" in parts else np.zeros(len(which))
    found.time[which] = time
    if "first" not in parts:
        year, month, day = _whole(parts["year"]), _month(parts["month"]), _whole(parts["day"])
        short = _lengths(parts["year"]) == 2
        found.days[which] = _days(_full(year, short), month, day) + time
        found.short[which] = short
        found.codes[which] = "hour" not in parts
        return
    first, middle, last = _whole(parts["first"]), _whole(parts["middle"]), _whole(parts["last"])
    long_first, long_last = _lengths(parts["first"]) == 4, _lengths(parts["last"])
    same = _texts(parts["mark"]) == _texts(parts["again"])
    leads = same & long_first & (long_last <= 2)
    found.days[which] = np.where(leads, _days(first, middle, last) + time, np.nan)
    short = long_last == 2
    ends = same & ~long_first & (_lengths(parts["first"]) <= 2) & ((long_last == 4) | short)
    mark = _texts(parts["mark"])
    found.first[which], found.middle[which] = np.where(ends, first, 0), np.where(ends, middle, 0)
    found.year[which] = np.where(ends, _full(last, short), 0)
    found.short[which], found.dots[which] = ends & short, mark == "."
    found.codes[which] = ends & short & (mark != "/")


def as_days_each(texts: ArrowArray) -> Array:
    """Return each text as `as_days` reads it, NaN where it is no date."""
    import pyarrow.compute as pc

    likely = _mask(pc.match_substring_regex(texts, r"^\d{4}-\d{2}-\d{2}[ T]"))
    days = np.full(len(texts), np.nan)
    which = np.flatnonzero(likely)
    while len(which):
        values = as_days(texts.take(which))
        if not isinstance(values, int):
            days[which] = values
            break
        days[which[:values]] = as_days(texts.take(which[:values])) if values else np.nan
        which = which[values + 1 :]
    return days


def parse_hours(cells: ArrowArray) -> Array:
    """Return times of day such as 14:30 or 2:30 PM in hours since midnight, NaN where a cell is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    parts = pc.extract_regex(cells.cast(pa.large_string()), f"^{_CLOCK}$")
    fits = _mask(parts.is_valid())
    values = np.full(len(cells), np.nan)
    known = parts.filter(pa.array(fits))
    values[fits] = 24.0 * _time({field.name: known.field(k) for k, field in enumerate(known.type)})
    return values


def _time(parts: dict[str, ArrowArray]) -> Array:
    """Return the time of day as a fraction of a day, in UTC; NaN where there is no such time."""
    import pyarrow as pa
    import pyarrow.compute as pc

    hour, minute = _whole(parts["hour"]), _whole(parts["minute"])
    second = _or_zero(parts["second"]).cast(pa.float64()).to_numpy(zero_copy_only=False)
    half = np.char.lower(_texts(pc.utf8_slice_codeunits(parts["half"], 0, 1)))
    on_a_dial = half != ""
    sound = (minute < 60) & (second < 60.0) & np.where(on_a_dial, (hour >= 1) & (hour <= 12), hour < 24)
    hour = np.where(on_a_dial, hour % 12 + 12 * (half == "p"), hour)
    zone = pc.replace_substring_regex(pc.replace_substring(parts["zone"], ":", ""), "^(Z|UTC|GMT|)$", "+0000")
    offset = _whole(pc.utf8_slice_codeunits(zone, 1, 3)) * 60 + _whole(pc.utf8_slice_codeunits(zone, 3, 5))
    offset = np.where(_texts(pc.utf8_slice_codeunits(zone, 0, 1)) == "-", -offset, offset)
    seconds = 3600.0 * hour + 60.0 * (minute - offset) + second
    return np.where(sound, seconds / 86400.0, np.nan)


def _days(year: NDArray[np.int64], month: NDArray[np.int64], day: NDArray[np.int64]) -> Array:
    """Return the days since 1970-01-01, NaN where there is no such date."""
    sound = (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1)
    months = (np.where(sound, year, 1970) - 1970) * 12 + np.where(sound, month, 1) - 1
    start = months.astype("datetime64[M]")
    length = ((start + np.timedelta64(1, "M")).astype("datetime64[D]") - start.astype("datetime64[D]")).astype(np.int64)
    days = start.astype("datetime64[D]").astype(np.int64) + day - 1
    return np.where(sound & (day <= length), days.astype(np.float64), np.nan)


def _full(year: NDArray[np.int64], short: Mask) -> NDArray[np.int64]:
    return np.where(short, year + np.where(year < _PIVOT, 2000, 1900), year)


def _month(parts: ArrowArray) -> NDArray[np.int64]:
    """Return the numbers of months that are written in letters or digits."""
    names = {name: k for k, name in enumerate(_MONTHS, start=1)}
    return np.array([names.get(text.lower()) or int(text) for text in parts.to_pylist()], dtype=np.int64)


def _whole(parts: ArrowArray) -> NDArray[np.int64]:
    """Return texts of digits as numbers, 0 where a part of a form is not there."""
    import pyarrow as pa

    return np.asarray(_or_zero(parts).cast(pa.int64()).to_numpy(zero_copy_only=False))


def _or_zero(parts: ArrowArray) -> ArrowArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(pc.equal(parts, ""), pa.scalar("0", parts.type), parts)


def _lengths(parts: ArrowArray) -> NDArray[np.int64]:
    import pyarrow.compute as pc

    return np.asarray(pc.utf8_length(parts).to_numpy(zero_copy_only=False), dtype=np.int64)


def _join(first: ArrowArray, second: ArrowArray) -> ArrowArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.binary_join_element_wise(first, second, pa.scalar("", first.type))


def _texts(parts: ArrowArray) -> NDArray[np.str_]:
    return np.array([text or "" for text in parts.to_pylist()], dtype=np.str_)


def _mask(found: ArrowArray) -> Mask:
    import pyarrow.compute as pc

    return np.asarray(pc.fill_null(found, False).to_numpy(zero_copy_only=False), dtype=bool)


def _values_or_first(values: Array, sound: Mask) -> Array | int:
    """Return the values, or the index of the first that is not sound."""
    return values if sound.all() else int(np.argmin(sound))
