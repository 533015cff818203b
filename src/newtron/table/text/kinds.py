"""What the cells of a column of text are, as far as a file shows it: whole numbers, numbers with a point, numbers with
a decimal comma, or text. Text is kept; how it is read as numbers or dates is decided with the schema."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from newtron.table.arrow import ArrowColumn
from newtron.table.cells import parse_comma_numbers, parse_numbers
from newtron.table.spelling import Spelling

# Numbers that show which mark is the decimal one. Three digits behind a single mark may be thousands.
_THOUSANDS = r"^[+-]?[1-9]\d{0,2}(%s\d{3})+$"
_GROUPED_COMMA = r"\d\.\d{3},\d"
_SOME = 100  # cells that are looked at first: as a rule they tell


class CellKind:
    """The kind of a column, and whether a cell shows its decimal mark.

    kind: "empty", "whole", "point", "comma" (with decimal commas) or "text". Later cells can turn each into one further
    on; numbers with commas can only become text. letters: it stays text. commas: the file has no decimal points unless
    it says so, since it does not separate its cells by commas. shows: a number has a mark that cannot be one of
    thousands; of text, that it is grouped by points and has a decimal comma.
    """

    def __init__(self, letters: bool, commas: bool) -> None:
        self.kind: Literal["empty", "whole", "point", "comma", "text"] = "text" if letters else "empty"
        self.commas = commas
        self.shows = False
        self.spelling = Spelling()

    def add(self, column: ArrowColumn) -> tuple[ArrowColumn, ArrowColumn | None]:
        """Add cells; return them as `clean_text` does, and as numbers where they are such without commas."""
        import pyarrow as pa

        cells = self.spelling.cleaned(column)
        if cells.null_count == len(cells):
            return cells, None
        if self.spelling.coded:
            self.kind = "text"
        numbers = parse_numbers(cells) if self.kind in ("empty", "whole", "point") else None
        if numbers is not None:
            whole = pa.types.is_integer(numbers.type)
            if whole:
                self.spelling.look_for_zeros(cells)
            self.kind = "whole" if whole and self.kind != "point" else "point"
        elif self.kind != "text":
            # Whole numbers are numbers with decimal commas too; numbers with points are not.
            self.kind = "text" if self.kind == "point" or parse_comma_numbers(cells) is None else "comma"
        if self.commas and not self.shows:
            self._look_for_mark(cells)
        return cells, numbers

    def _look_for_mark(self, cells: ArrowColumn) -> None:
        import pyarrow.compute as pc

        mark = {"point": r"\.", "comma": ","}.get(self.kind)
        for some in (cells.slice(0, _SOME), cells):
            if mark is not None:
                found = pc.and_not(
                    pc.match_substring_regex(some, mark), pc.match_substring_regex(some, _THOUSANDS % mark)
                )
            elif self.kind == "text":
                found = pc.match_substring_regex(some, _GROUPED_COMMA)
            else:
                return
            self.shows = pc.any(found).as_py() is True
            if self.shows:
                return


def decimal_mark(columns: Iterable[CellKind]) -> Literal[".", ","]:
    """Return the decimal mark of a file: a comma where numbers are written with it and none with a point."""
    found = [column for column in columns if column.commas]
    points = [column for column in found if column.kind == "point"]
    if any(column.shows for column in points):
        return "."
    commas = any(column.shows for column in found if column.kind in ("comma", "text"))
    return "," if commas or (not points and any(column.kind == "comma" for column in found)) else "."
