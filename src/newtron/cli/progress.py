"""What is seen while models train: a live table on a terminal, one line per stage anywhere else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from newtron.cli.interrupt import Interrupts
from newtron.words import clean, count, number, power, seconds

if TYPE_CHECKING:
    from newtron.solvers import Progress

_PER_SECOND = 8
_MEMBERS_SHOWN = 10


class Reporter:
    """Follows one fit after the other on standard error.

    Steps come from several threads and may come thousands of times a second: each only leaves its last row
    here, and the display looks at the rows when it is time.
    """

    def __init__(self, interrupts: Interrupts, *, quiet: bool) -> None:
        self._interrupts = interrupts
        self._quiet = quiet
        self._stage = ""
        self._rows: dict[int, Progress] = {}
        self._console: Any = None
        if not quiet and sys.stderr.isatty():
            from rich.console import Console

            console = Console(file=sys.stderr, markup=False, highlight=False, emoji=False)
            self._console = None if console.is_dumb_terminal else console
        interrupts.announce = self._console is None

    def say(self, line: str) -> None:
        if not self._quiet:
            print(clean(line), file=sys.stderr, flush=True)

    def warn(self, sentence: str) -> None:
        """Warnings are said even when all else is quiet."""
        print(f"newtron: {clean(sentence)}", file=sys.stderr, flush=True)

    def step(self, progress: Progress) -> bool:
        """The callback of an estimator."""
        self._rows[progress.member] = progress
        self._interrupts.check()
        return False

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """While this is open, the rows of this fit are shown."""
        self._stage, self._rows = name, {}
        if self._console is None:
            yield
            return
        from rich.live import Live

        with Live(
            get_renderable=self._table,
            console=self._console,
            refresh_per_second=_PER_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        ):
            yield

    def _table(self) -> Any:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        rows = dict(self._rows)
        members = max((row.members for row in rows.values()), default=1)
        title = f"{self._stage}: {count(members, 'member')}" if members > 1 else self._stage
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1), header_style="cyan")
        table.title, table.title_justify, table.title_style = Text(title), "left", "bold"
        table.add_column("member" if members > 1 else "", justify="left", no_wrap=True)
        penalised = any(row.penalty for row in rows.values())
        for head in (*(["penalty"] if penalised else []), "iteration", "objective", "gradient", "decrement", "time"):
            table.add_column(head, justify="right", no_wrap=True)
        latest = sorted(rows)[-_MEMBERS_SHOWN:]
        for member in latest:
            row = rows[member].row
            table.add_row(
                str(member + 1) if members > 1 else "",
                *([number(rows[member].penalty)] if penalised else []),
                f"{row.iteration:,}",
                f"{row.value:z.6g}",
                power(row.gradient_norm),
                power(row.decrement),
                seconds(row.seconds),
            )
        if self._interrupts.asked:
            table.caption = Text("stopping at the next step; Ctrl-C again ends at once", style="yellow")
        else:
            table.caption = Text("Ctrl-C stops and keeps the best so far", style="dim")
        table.caption_justify = "left"
        return table
