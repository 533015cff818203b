"""The table as it was read: columns of cells, and where in the file each row stood."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, time
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from newtron.engine.base.checks import shown
from newtron.engine.base.errors import InputError
from newtron.engine.base.words import joined
from newtron.table.arrow import ArrowArray, ArrowColumn, ArrowTable
from newtron.table.cells import value_of

# Messages list at most this number of column names and of rows, and show this number of characters of a cell.
_NAMES_SHOWN, _ROWS_SHOWN, _CELL_SHOWN = 20, 5, 60
# Before the name of a column: a column with the same cells as they are spelled in a file of text.
SPELLED = "\0"

# Which columns of those with these names also keep the spelling of their cells.
Keep: TypeAlias = Callable[[Sequence[str]], Sequence[str]]


@dataclass(frozen=True, eq=False)
class Table:
    """Cells by column, with missing cells as nulls.

    `first_row` is the row number of the first data row: 2 in a CSV file, whose header is row 1, and 1 in
    a Parquet or Arrow file. `rows` holds the row numbers where they do not simply count on from there,
    because blank lines were left out or rows were taken. `notes` are sentences for the user. `decimal` is the mark
    that numbers have in this file: it decides where a text such as 1,234 may be read in two ways.
    """

    path: str
    data: ArrowTable
    first_row: int = 2
    notes: tuple[str, ...] = ()
    rows: NDArray[np.int64] | None = None
    decimal: Literal[".", ","] = "."
    # Asked for once: Arrow makes the list of all names anew each time.
    names: tuple[str, ...] = field(init=False)
    _positions: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        names = self.data.column_names
        object.__setattr__(self, "names", tuple(name for name in names if not name.startswith(SPELLED)))
        object.__setattr__(self, "_positions", {name: position for position, name in enumerate(names)})

    def __contains__(self, name: str) -> bool:
        """Return whether there is a column of this name."""
        return name in self._positions

    @property
    def n_rows(self) -> int:
        return int(self.data.num_rows)

    def cells(self, name: str) -> ArrowColumn:
        """Return one column as it lies in memory. Raises an InputError that lists similar names if there is none of
        this name."""
        if name not in self._positions:
            raise InputError(f"{self.path}: there is no column {shown(name)}; {suggest(name, self.names)}.")
        return self.data.column(self._positions[name])

    def column(self, name: str) -> ArrowArray:
        """Return one column in one piece of memory. Raises as `cells` does."""
        import pyarrow as pa

        chunks = self.cells(name)
        if chunks.num_chunks == 1:
            return chunks.chunk(0)
        if chunks.type == pa.string() and chunks.nbytes > 2**31 - 1:
            # Offsets of 32 bits cannot reach over the joined pieces.
            chunks = chunks.cast(pa.large_string())
        joined = chunks.combine_chunks()
        return pa.concat_arrays(joined.chunks) if isinstance(joined, pa.ChunkedArray) else joined

    def texts(self, name: str) -> list[str]:
        """Return the cells of a column as they are spelled in the file, where it is text and was read so; otherwise as
        texts from which the same values can be read, with "" for missing cells. Raises as `cells` does."""
        cells = self.cells(SPELLED + name if SPELLED + name in self else name)
        return ["" if cell is None else cell_text(cell) for chunk in cells.chunks for cell in map(value_of, chunk)]

    def take(self, indices: ArrayLike) -> Table:
        """Return the rows at these positions (0 is the first data row), which keep their row numbers."""
        import pyarrow as pa

        chosen = np.asarray(indices, dtype=np.int64)
        if chosen.ndim != 1:
            raise ValueError("indices must be one-dimensional")
        return replace(self, data=self.data.take(pa.array(chosen)), rows=self.row_numbers(chosen))

    def row_number(self, index: int) -> int:
        """Return the number of a row as the user counts: the line in a plain CSV file."""
        return self.first_row + index if self.rows is None else int(self.rows[index])

    def row_numbers(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the numbers of many rows, as `row_number` does of one."""
        return self.first_row + indices if self.rows is None else self.rows[indices]

    def place(self, column: str, index: int | None = None) -> str:
        """Return how a message names a cell or a column."""
        row = "" if index is None else f", row {self.row_number(index)}"
        return f"{self.path}{row}, column {column!r}"

    def place_of_rows(self, column: str, indices: Sequence[int] | NDArray[np.int64]) -> str:
        """Return how a message names several rows of a column."""
        numbers = [str(self.row_number(int(index))) for index in indices[:_ROWS_SHOWN]]
        if len(indices) > _ROWS_SHOWN:
            listed = ", ".join(numbers) + f" and {len(indices) - _ROWS_SHOWN:,} more"
        else:
            listed = joined(numbers)
        return f"{self.path}, {'row' if len(indices) == 1 else 'rows'} {listed}, column {column!r}"


def show(value: object) -> str:
    """Return a cell as messages show it: quoted, and cut where it is long."""
    if isinstance(value, str):
        return repr(value if len(value) <= _CELL_SHOWN else value[:_CELL_SHOWN] + "...")
    return str(value)


def cell_text(value: object) -> str:
    """Return the value of a cell as text from which it can be read again."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date | time):
        return value.isoformat()
    return "" if value != value else str(value)


def suggest(name: str, names: Sequence[str]) -> str:
    """Return what follows 'there is no such column': similar names, and the names that there are."""
    folded = {known.casefold(): known for known in names}
    near = [folded[word] for word in difflib.get_close_matches(name.casefold(), folded, n=3)]
    shown = ", ".join(repr(known) for known in names[:_NAMES_SHOWN])
    rest = f" and {len(names) - _NAMES_SHOWN:,} more" if len(names) > _NAMES_SHOWN else ""
    columns = f"the columns are {shown}{rest}"
    return f"did you mean {' or '.join(map(repr, near))}? ({columns})" if near else columns


def check_names(path: str, names: Sequence[str]) -> None:
    """Raise an InputError where two columns have the same name, because columns are found by name from here on."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"{path}: two columns are both named {name!r}; give every column a name of its own.")
        seen.add(name)


def check_finite(table: Table) -> None:
    """Raise an InputError that names the rows where a cell is infinite, because a fit cannot use it."""
    import pyarrow as pa

    for name in table.names:
        if pa.types.is_floating(table.cells(name).type):
            check_finite_column(table, name)


def check_finite_column(table: Table, name: str) -> None:
    """Do what `check_finite` does, for one column of floating-point numbers."""
    import pyarrow.compute as pc

    infinite = pc.is_inf(table.cells(name))
    if not pc.any(infinite).as_py():
        return
    rows = np.flatnonzero(pc.fill_null(infinite, False).to_numpy())
    noun, them = ("this cell is", "it") if len(rows) == 1 else ("these cells are", "them")
    raise InputError(
        f"{table.place_of_rows(name, rows)}: {noun} infinite or too large for a number; "
        f"correct {them}, leave {them} empty, or delete the row{'s' if len(rows) > 1 else ''}."
    )
