"""The screen that results are printed on: with rich on a terminal, as plain text anywhere else.

Plain text, which goes to a file, a pipe or a log, has sentences wrapped at 100 characters, or at COLUMNS where that is
set; tables, paths and commands are never broken.
"""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TextIO

from newtron.engine.base.words import clean, strict

if TYPE_CHECKING:
    from rich.console import Console

# Characters in a line: the most on a terminal and the default elsewhere, which prose is still easy to read at; and the
# fewest, below which tables are no longer readable.
_WIDEST, _NARROWEST = 100, 40


def plain_width() -> int:
    """Characters in a line of plain text."""
    given = os.environ.get("COLUMNS", "")
    return max(_NARROWEST, int(given)) if given.isascii() and given.isdigit() and len(given) < 10 else _WIDEST


def print_json(facts: Mapping[str, object]) -> None:
    """Print one JSON object in one line, with null for numbers that JSON cannot write."""
    sys.stdout.write(json.dumps(strict(facts), ensure_ascii=False, allow_nan=False) + "\n")


class Sheet(Protocol):
    """What results are told on: a screen, or a page for a notebook."""

    def gap(self) -> None:
        """Leave a blank line."""

    def heading(self, text: str) -> None:
        """Write a heading."""

    def line(self, text: str, style: str = "", indent: int = 0) -> None:
        """Write one line, such as a path or a command."""

    def sentence(self, text: str, indent: int = 0) -> None:
        """Write prose."""

    def pairs(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Write labels and texts in two columns."""

    def notes(self, sentences: Sequence[str]) -> None:
        """Write sentences, each with a mark in front."""

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]], strong: int | None = None) -> None:
        """Write a table with the first column aligned left and the others right. strong: the row in bold."""


class Screen:
    """A sheet on a terminal or as plain text. All text passes through `clean`; none is markup."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = sys.stdout if stream is None else stream
        self._console: Console | None = None
        if self.stream.isatty():
            from rich.console import Console

            console = Console(file=self.stream, markup=False, highlight=False, emoji=False)
            console.width = max(_NARROWEST, min(console.width, _WIDEST))  # what is narrower breaks lines itself
            self._console = console

    @property
    def width(self) -> int:
        """Characters in a line."""
        return plain_width() if self._console is None else int(self._console.width)

    def gap(self) -> None:
        self._print("")

    def heading(self, text: str) -> None:
        self._print(text, "bold")

    def line(self, text: str, style: str = "", indent: int = 0) -> None:
        """Print one line, such as a path or a command, which plain text never breaks."""
        self._print(text, style, indent)

    def sentence(self, text: str, indent: int = 0) -> None:
        """Print prose, wrapped to the width of the screen."""
        if self._console is None:
            self.stream.write(self._wrapped(clean(text), " " * indent, " " * indent))
        else:
            self._print(text, indent=indent)

    def _wrapped(self, text: str, first: str, following: str) -> str:
        """Wrapped lines of plain text, each with its indent. Long words such as paths stay whole."""
        lines = textwrap.wrap(
            text,
            self.width,
            initial_indent=first,
            subsequent_indent=following,
            break_long_words=False,
            break_on_hyphens=False,
        )
        return "\n".join(lines or [first.rstrip()]) + "\n"

    def _print(self, text: str, style: str = "", indent: int = 0) -> None:
        if self._console is None:
            self.stream.write(" " * indent + clean(text) + "\n")
        elif not text:
            self._console.print()  # inside a Padding nothing at all would be printed
        else:
            from rich.padding import Padding
            from rich.text import Text

            self._console.print(Padding(Text(clean(text), style=style), (0, 0, 0, indent), expand=False))

    def pairs(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Print labels and texts in two columns."""
        pairs = [(clean(name), clean(text)) for name, text in pairs]
        if self._console is None:
            width = max((len(name) for name, _ in pairs), default=0)
            for name, text in pairs:
                self.stream.write(self._wrapped(text, f"  {name:<{width}}  ", " " * (width + 4)))
            return
        from rich.padding import Padding
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 2))
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        last = None
        for name, text in pairs:
            grid.add_row(Text(name if name != last else "", style="cyan"), Text(text))
            last = name
        self._console.print(Padding(grid, (0, 0, 0, 2)))

    def notes(self, sentences: Sequence[str]) -> None:
        """Print sentences, each with a mark in front."""
        from rich.text import Text

        for sentence in sentences:
            if self._console is None:
                self.stream.write(self._wrapped(clean(sentence), "  - ", "    "))
                continue
            text = textwrap.fill(
                clean(sentence),
                self._console.width - 2,
                initial_indent="  ! ",
                subsequent_indent="    ",
                break_on_hyphens=False,
            )
            self._console.print(Text(text, style="yellow"), soft_wrap=True)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]], strong: int | None = None) -> None:
        """Print a table with the first column aligned left and the others right. strong: the row in bold."""
        cells = [[clean(cell) for cell in row] for row in rows]
        if self._console is None:
            widths = [max(len(row[i]) for row in [list(header), *cells]) for i in range(len(header))]
            for row in [list(header), *cells]:
                first = f"{row[0]:<{widths[0]}}"
                rest = "".join(f"  {cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
                self.stream.write(f"  {first}{rest}".rstrip() + "\n")
            return
        from rich import box
        from rich.padding import Padding
        from rich.table import Table
        from rich.text import Text

        found = Table(box=box.SIMPLE_HEAD, padding=(0, 1), header_style="cyan", show_edge=False)
        for number, name in enumerate(header):
            found.add_column(Text(name), justify="left" if number == 0 else "right", overflow="fold")
        for number, row in enumerate(cells):
            style = "bold green" if number == strong else ""
            found.add_row(*(Text(cell) for cell in row), style=style)
        self._console.print(Padding(found, (0, 0, 0, 1)))
