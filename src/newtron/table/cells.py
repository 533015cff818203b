"""Turn the cells of one column into numbers, dates or yes/no: a whole column at a time, never a single cell."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.types import Array, ClassLabel
from newtron.table.arrow import ArrowArray, ArrowColumn, ArrowScalar

# Cells of a text file that mean "no value", after blanks around them are removed.
MISSING = ("", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "null", "NULL", "None", "?", ".")

# Words for no and yes, in pairs: a column is yes/no only if both its words come from one pair.
FLAG_WORDS = (("no", "yes"), ("false", "true"), ("f", "t"), ("n", "y"))

_COMMA_NUMBER = r"^[+-]?(\d+(,\d*)?|,\d+)([eE][+-]?\d+)?$"
_DATE = r"^\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?$"
_SECONDS_PER_DAY, _SECONDS_PER_HOUR = 86400.0, 3600.0


def clean_text(cells: ArrowColumn) -> ArrowColumn:
    """Return text without blanks around it, null where the cell means missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim_whitespace(cells)
    absent = pc.is_in(trimmed, value_set=pa.array(MISSING))
    return pc.if_else(absent, pa.scalar(None, trimmed.type), trimmed)


def parse_numbers(cells: ArrowColumn) -> ArrowColumn | None:
    """Return text as int64 or float64, or None if any cell is not a number. '1e400' becomes infinite."""
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        numbers = cells.cast(pa.float64())
    except pa.ArrowInvalid:
        return None
    numbers = pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)
    try:
        # Only after the floats: as an integer, Arrow would take '0x1F' too.
        return cells.cast(pa.int64())
    except pa.ArrowInvalid:
        return numbers


def parse_comma_numbers(cells: ArrowColumn) -> ArrowColumn | None:
    """Return text with decimal commas as numbers, or None if any cell is not such a number."""
    import pyarrow.compute as pc

    if not pc.all(pc.match_substring_regex(cells, _COMMA_NUMBER)).as_py():
        return None
    return parse_numbers(pc.replace_substring(cells, ",", "."))


def is_text(array: ArrowArray) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(array.type) or pa.types.is_large_string(array.type))


def plain(array: ArrowArray) -> ArrowArray:
    """Return cells of the simplest type: dictionaries and views become their values, decimals become floats, durations
    become days, times of the day become hours, and NaN becomes null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_string_view(array.type):
        array = array.cast(pa.large_string())
    if pa.types.is_float16(array.type):
        array = array.cast(pa.float32())
    if pa.types.is_decimal(array.type):
        array = array.cast(pa.float64())
    if pa.types.is_duration(array.type):
        array = _in_units(array.cast(pa.duration("us"), safe=False), _SECONDS_PER_DAY)
    if pa.types.is_time(array.type):
        array = _in_units(array.cast(pa.time64("us"), safe=False), _SECONDS_PER_HOUR)
    if pa.types.is_floating(array.type):
        array = pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
    return array


def _in_units(microseconds: ArrowArray, seconds: float) -> ArrowArray:
    """Return durations or times of the day as floats, in units of so many seconds."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.divide(microseconds.cast(pa.int64()).cast(pa.float64(), safe=False), 1e6 * seconds)


def are_plain_numbers(cells: ArrowColumn) -> bool:
    """Return whether NumPy has the type of the cells as a type of numbers."""
    import pyarrow as pa

    return bool(pa.types.is_integer(cells.type)) or cells.type in (pa.float64(), pa.float32())


def copy_numbers(cells: ArrowColumn, out: Array) -> None:
    """Write plain numbers to `out`, NaN where one is missing."""
    start = 0
    for chunk in cells.chunks:
        # Whole numbers of which one is missing become floating-point numbers, with NaN for it.
        out[start : start + len(chunk)] = chunk.to_numpy(zero_copy_only=False)
        start += len(chunk)


def is_bool(array: ArrowArray) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_boolean(array.type))


def is_number(array: ArrowArray) -> bool:
    import pyarrow as pa

    kind = array.type
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def is_whole(array: ArrowArray) -> bool:
    """Return whether the cells are stored as whole numbers."""
    import pyarrow as pa

    return bool(pa.types.is_integer(array.type))


def is_date(array: ArrowArray) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_date(array.type) or pa.types.is_timestamp(array.type))


def as_numbers(array: ArrowArray) -> NDArray[np.float64] | int:
    """Return a plain column as float64, NaN where missing; or the index of the first cell that is no number. True and
    false are 1 and 0, in text too, because files write bools so."""
    import pyarrow as pa

    if is_text(array):
        numbers = parse_numbers(pa.chunked_array([array]))
        if numbers is None:
            numbers = _parse_bools(array)
        if numbers is None:
            return _first_bad(array, lambda part: parse_numbers(pa.chunked_array([part])) is not None)
        array = numbers
    elif not (is_number(array) or is_bool(array) or pa.types.is_null(array.type)):
        return _first_valid(array)
    values: NDArray[np.float64] = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return values


def _parse_bools(array: ArrowArray) -> ArrowArray | None:
    """Return text as bools, or None if any cell is neither true nor false."""
    import pyarrow as pa
    import pyarrow.compute as pc

    words = pc.utf8_lower(array)
    known = pc.is_in(words, pa.array(["true", "false"], words.type), skip_nulls=True)
    return pc.equal(words, "true") if pc.all(pc.or_(known, pc.is_null(words))).as_py() else None


def as_digits(array: ArrowArray) -> ArrowArray:
    """Return whole numbers as text, such as 20240131."""
    import pyarrow as pa

    return array.cast(pa.large_string())


def as_days(array: ArrowArray) -> NDArray[np.float64] | int:
    """Return a plain column as days since 1970-01-01, NaN where missing; or the index of the first cell that is no
    date."""
    import pyarrow as pa

    if is_text(array):
        moments = _parse_dates(array)
        if moments is None:
            return _first_bad(array, lambda part: _parse_dates(part) is not None)
        array = moments
    elif pa.types.is_null(array.type):
        return np.full(len(array), np.nan)
    elif not is_date(array):
        return _first_valid(array)
    zone = getattr(array.type, "tz", None)
    microseconds = array.cast(pa.timestamp("us", zone), safe=False).cast(pa.int64()).cast(pa.float64(), safe=False)
    days: NDArray[np.float64] = microseconds.to_numpy(zero_copy_only=False) / (1e6 * _SECONDS_PER_DAY)
    return days


def _parse_dates(array: ArrowArray) -> ArrowArray | None:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pc.all(pc.match_substring_regex(array, _DATE), min_count=0).as_py():
        return None
    # Every text gets a time and a zone (UTC where none is written), so that one cast reads them all.
    full = pc.replace_substring_regex(array, r"^(.{10})$", r"\1 00:00")
    full = pc.replace_substring_regex(full, r"(\.\d{6})\d+", r"\1")
    full = pc.replace_substring_regex(full, r"(:\d{2}(\.\d+)?)$", r"\1Z")
    full = pc.replace_substring_regex(full, r"([+-]\d{2}:\d{2})Z$", r"\1")
    try:
        return full.cast(pa.timestamp("us", "UTC"))
    except pa.ArrowInvalid:
        return None


def _first_valid(array: ArrowArray) -> int:
    import pyarrow.compute as pc

    return int(pc.index(pc.is_valid(array), True).as_py())


def _first_bad(array: ArrowArray, good: Callable[[ArrowArray], bool]) -> int:
    """Return the index of the first cell that is not `good`, found by halving."""
    low, high = 0, len(array)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if good(array.slice(low, middle - low)) else (low, middle)
    return low


def flag_words(texts: list[str]) -> tuple[str, str] | None:
    """Return the pair of words, no first, if these different texts are those of a yes/no column, else None."""
    words = {text.casefold() for text in texts}
    return next((pair for pair in FLAG_WORDS if words == set(pair)), None)


def as_flags(array: ArrowArray) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return a plain column as 0, 1 and NaN where missing, and a mask of the cells that are neither yes nor no."""
    known = {word: float(value) for pair in FLAG_WORDS for value, word in enumerate(pair)}
    known |= {"0": 0.0, "1": 1.0}

    def flag(value: ClassLabel) -> float:
        if isinstance(value, str):
            return known.get(value.casefold(), np.nan)
        return float(value) if value in (0, 1) else np.nan

    distinct, codes = distinct_cells(array)
    table = np.array([flag(value) for value in distinct] + [np.nan])
    unknown = np.isnan(table)
    unknown[-1] = False
    return table[codes], unknown[codes]


def coded_cells(array: ArrowArray) -> tuple[ArrowArray, NDArray[np.int64]]:
    """Return the different values of a plain column in the order in which they come, and for each cell the position of
    its value; that is len(values) for a missing cell."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_null(array.type):
        return pa.array([], array.type), np.zeros(len(array), dtype=np.int64)
    encoded = array.dictionary_encode()
    values, codes = encoded.dictionary, encoded.indices.cast(pa.int64())
    return values, pc.fill_null(codes, len(values)).to_numpy(zero_copy_only=False)


def distinct_cells(array: ArrowArray) -> tuple[list[ClassLabel], NDArray[np.int64]]:
    """Return what `coded_cells` does, with the values as Python's own."""
    values, codes = coded_cells(array)
    return values.to_pylist(), codes


def match_levels(values: Sequence[ClassLabel], levels: Sequence[ClassLabel]) -> list[int]:
    """Return the position of the level of each value, or -1 where there is none.

    Text matches letter by letter. Where a level is text and the value a number (or the reverse), because
    this file has no letters in that column and the other had, they match if they are the same number.
    """
    exact = {level: position for position, level in enumerate(levels)}
    by_key: dict[float | str, int] = {}
    for position, level in enumerate(levels):
        by_key.setdefault(_key(level), position)
    found = []
    for value in values:
        position = exact.get(value, -1)
        crosses = isinstance(value, str) != isinstance(levels[0], str) if levels else False
        found.append(by_key.get(_key(value), -1) if position < 0 and crosses else position)
    return found


def _key(value: ClassLabel) -> float | str:
    if not isinstance(value, str):
        return float(value) if isinstance(value, int | float) else str(value)
    if value.casefold() in ("true", "false"):
        return float(value.casefold() == "true")
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", value, re.ASCII):
        return float(value)
    return value


def value_of(cell: ArrowScalar) -> object:
    """Return a cell as a value of Python, or as text where Python has none for it: dates with nanoseconds, or in years
    that its dates do not reach."""
    import pyarrow as pa

    try:
        return cell.as_py()
    except (OverflowError, ValueError):
        pass
    try:
        return cell.cast(pa.string()).as_py()
    except ValueError:
        return str(cell.value)
