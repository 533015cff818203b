"""The spelling of the cells of a text file, as far as it is lost when cells become numbers or missing cells.

Codes in quotation marks stay text. Leading zeros and words for "no value" are remembered, and notes tell the user where
the reading may not be what was meant.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from newtron.engine.base.words import column_setting, count
from newtron.table.arrow import ArrowColumn
from newtron.table.cells import clean_text
from newtron.table.text.dialect import Dialect

# Takes the place of the quotation marks of a code, so that the text has the same length and is cut at the same places.
_MARK = "\x02"
# Words for "no value" that are also values: Namibia's code, "None" as an answer.
_WORDS = ("NA", "None", "null", "NULL")


def with_marked_codes(text: bytes, dialect: Dialect) -> bytes:
    """Return the text with another mark in the place of the quotation marks of cells such as "00123", which are codes
    and no numbers, so that `Spelling` recognises them. text: whole lines."""
    quote, separator = re.escape(dialect.quote.encode()), re.escape(dialect.separator.encode())
    if dialect.quote.encode() + b"0" not in text:
        return text
    ends = rb"[\r\n" + separator + b"]"
    code = rb"((?:\A|" + ends + rb") *)" + quote + rb"(0[0-9]+)" + quote + rb"(?= *(?:\Z|" + ends + rb"))"
    mark = _MARK.encode()
    return re.sub(code, rb"\g<1>" + mark + rb"\g<2>" + mark, text)


def without_marks(name: str) -> str:
    return name.replace(_MARK, "")


def as_spelled(cells: ArrowColumn) -> ArrowColumn:
    """Return the cells of a column letter by letter, as the file has them between its separators."""
    import pyarrow.compute as pc

    return pc.replace_substring(pc.fill_null(cells, ""), _MARK, "")


class Spelling:
    """The spelling of one column. coded: it holds codes in quotation marks, and so it stays text. zeros: a whole number
    with a leading zero, "" where there is none. words: how often each word for "no value" occurs."""

    def __init__(self) -> None:
        self.coded = False
        self.zeros = ""
        self.words: dict[str, int] = {}

    def cleaned(self, cells: ArrowColumn) -> ArrowColumn:
        """Return what `clean_text` does, and remember here what is lost by it."""
        import pyarrow.compute as pc

        if pc.any(pc.starts_with(pc.utf8_ltrim_whitespace(cells), _MARK)).as_py():
            self.coded = True
            cells = pc.replace_substring(cells, _MARK, "")
        found = clean_text(cells)
        if found.null_count:
            absent = pc.utf8_trim_whitespace(cells.filter(found.is_null()))
            for word, times in zip(*pc.value_counts(absent.drop_null()).flatten(), strict=True):
                self.words[word.as_py()] = self.words.get(word.as_py(), 0) + times.as_py()
        return found

    def look_for_zeros(self, cells: ArrowColumn) -> None:
        """Remember a whole number that is written with a leading zero. cells: cleaned."""
        import pyarrow.compute as pc

        if self.zeros:
            return
        candidates = cells.filter(pc.starts_with(cells, "0"))
        longer = candidates.filter(pc.greater(pc.binary_length(candidates), 1))
        if len(longer):
            self.zeros = longer[0].as_py()


class SpelledColumn(NamedTuple):
    """A column of which all cells were seen. number: it became numbers; whole: it became whole numbers."""

    name: str
    spelling: Spelling
    number: bool
    whole: bool


def spelling_notes(path: str, columns: Sequence[SpelledColumn]) -> list[str]:
    """Return a sentence on each reading that may not be what was meant."""
    # What marks missing cells among numbers is what this file writes for them.
    usual = {word for column in columns if column.number for word in column.spelling.words}
    found = []
    for column in columns:
        where = f"{path}, column {column.name!r}"
        if column.whole and column.spelling.zeros:
            found.append(
                f"{where}: whole numbers with leading zeros such as {column.spelling.zeros} were read as numbers; if "
                f"they are codes, train with {column_setting(column.name, 'category')}."
            )
        for word in _WORDS:
            times = column.spelling.words.get(word, 0)
            if times and not column.number and word not in usual:
                found.append(
                    f"{where}: {count(times, 'cell')} with {word!r} {'was' if times == 1 else 'were'} read as missing; "
                    "if it is a value here, a code say, write it in another way."
                )
    return found
