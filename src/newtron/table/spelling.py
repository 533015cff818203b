"""How cells of a text file are spelled, as far as that is lost when they become numbers or missing cells: codes in
quotation marks, leading zeros, words for "no value". What may not be meant is told in notes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from newtron.engine.base.words import count
from newtron.table.cells import clean_text
from newtron.table.text.dialect import Dialect

if TYPE_CHECKING:
    import pyarrow as pa

# Takes the place of the quotation marks of a code, so that the text has the same length and is cut at the same places.
_MARK = "\x02"
# Words for "no value" that are also values: Namibia's code, "None" as an answer.
_WORDS = ("NA", "None", "null", "NULL")


def with_marked_codes(text: bytes, dialect: Dialect) -> bytes:
    """Cells such as "00123", whose quotation marks say that they are no numbers, so that `Spelling` knows them. text:
    whole lines."""
    quote, separator = re.escape(dialect.quote.encode()), re.escape(dialect.separator.encode())
    if dialect.quote.encode() + b"0" not in text:
        return text
    ends = rb"[\r\n" + separator + b"]"
    code = rb"((?:\A|" + ends + rb") *)" + quote + rb"(0[0-9]+)" + quote + rb"(?= *(?:\Z|" + ends + rb"))"
    mark = _MARK.encode()
    return re.sub(code, rb"\g<1>" + mark + rb"\g<2>" + mark, text)


def without_marks(name: str) -> str:
    return name.replace(_MARK, "")


class Spelling:
    """How the cells of one column are written. coded: some are codes in quotation marks, so that it stays text."""

    def __init__(self) -> None:
        self.coded = False
        self.zeros = ""
        self.words: dict[str, int] = {}

    def cleaned(self, cells: pa.ChunkedArray) -> pa.ChunkedArray:
        """As `clean_text`, and what is lost by it is kept here."""
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

    def look_for_zeros(self, cells: pa.ChunkedArray) -> None:
        """Is a whole number written with a leading zero? cells: cleaned."""
        import pyarrow.compute as pc

        if self.zeros:
            return
        candidates = cells.filter(pc.starts_with(cells, "0"))
        longer = candidates.filter(pc.greater(pc.binary_length(candidates), 1))
        if len(longer):
            self.zeros = longer[0].as_py()


class Spelt(NamedTuple):
    """A column when all its cells are seen. number, whole: what it became."""

    name: str
    spelling: Spelling
    number: bool
    whole: bool


def notes_on(path: str, columns: Sequence[Spelt]) -> list[str]:
    """What may not be meant, a sentence each."""
    # What marks missing cells among numbers is what this file writes for them.
    usual = {word for column in columns if column.number for word in column.spelling.words}
    found = []
    for column in columns:
        where = f"{path}, column {column.name!r}"
        if column.whole and column.spelling.zeros:
            found.append(
                f"{where}: whole numbers with leading zeros such as {column.spelling.zeros} were read as numbers; if "
                "they are codes, put quotation marks around them."
            )
        for word in _WORDS:
            times = column.spelling.words.get(word, 0)
            if times and not column.number and word not in usual:
                found.append(
                    f"{where}: {count(times, 'cell')} with {word!r} {'was' if times == 1 else 'were'} read as missing; "
                    "if it is a value here, a code say, write it in another way."
                )
    return found
