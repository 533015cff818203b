"""What a user sees while models train: a live table on a terminal or in a notebook, a line per stage anywhere else."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING

from newtron.engine.base.words import clean, count, number, power, seconds
from newtron.study.interrupt import Interrupts
from newtron.study.notebook import NotebookArea, in_notebook

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from newtron.engine.solvers import Progress

# How often the live table is drawn anew, per second.
_PER_SECOND = 8
_PER_SECOND_IN_NOTEBOOKS = 3
# Members in the live table, so that it fits on a small terminal.
_MEMBERS_SHOWN = 10
# Seconds that a pass over the rows of files must have taken before it is spoken of, and between two lines about it.
_LONG_PASS = 2.0
# Seconds between two lines of progress.
_LINE_EVERY = 2.0


class Reporter:
    """Follows one fit after the other, on standard error or below the cell of a notebook.

    quiet: nothing but warnings is told. warned: notes are told by warnings of Python in the end, and not here. Steps
    come from several threads and may come thousands of times a second: each only leaves its last row
    here, and the display looks at the rows when it is time.
    """

    def __init__(self, interrupts: Interrupts, *, quiet: bool, warned: bool = False) -> None:
        self._interrupts = interrupts
        self._quiet, self._warned = quiet, warned
        self._stage = ""
        self._rows: dict[int, Progress] = {}
        self._pass, self._done, self._began, self._last_line = "", 0, 0.0, 0.0
        self._console: Console | None = None
        if not quiet and sys.stderr.isatty():
            from rich.console import Console

            console = Console(file=sys.stderr, markup=False, highlight=False, emoji=False)
            self._console = None if console.is_dumb_terminal else console
        self._area = NotebookArea() if not quiet and self._console is None and in_notebook() else None
        self._said: list[str] = []
        interrupts.announce = self._console is None and self._area is None

    def say(self, line: str) -> None:
        if self._quiet:
            return
        if self._area is None:
            print(clean(line), file=sys.stderr, flush=True)
        else:
            self._said.append(clean(line))
            self._area.draw(*self._said)

    def note(self, sentence: str) -> None:
        """Tell what should be known before training goes on."""
        if not self._warned:
            self.say(f"note: {sentence}")

    def close(self) -> None:
        """Remove what a notebook shows: the result takes its place."""
        if self._area is not None:
            self._area.clear()

    def warn(self, sentence: str) -> None:
        """Print a warning, also where --quiet was given."""
        print(f"newtron: {clean(sentence)}", file=sys.stderr, flush=True)

    def step(self, progress: Progress) -> bool:
        """The callback of training: keeps the latest row of each member, and stops training after Ctrl-C."""
        self._rows[progress.member] = progress
        self._interrupts.check()
        return False

    def passing(self, done: int, total: int) -> None:
        """Tell how far a pass over the rows of files is; passes also follow after the last step."""
        now = perf_counter()
        if done <= self._done:
            self._began = self._last_line = now
        self._done = done
        if now - self._began < _LONG_PASS or done >= total:
            self._pass = ""
            return
        left = seconds((total - done) * (now - self._began) / done)
        self._pass = f"a pass over the rows: {done:,} of {total:,}, {left} left"
        if self._console is None and self._area is None and now - self._last_line >= _LONG_PASS:
            self._last_line = now
            self.say(f"{self._stage}: {self._pass}")

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Show the progress of one fit for as long as the context is open."""
        self._stage, self._rows, self._pass, self._done = name, {}, "", 0
        if self._area is not None:
            with self._drawn(self._area):
                yield
            return
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

    @contextmanager
    def _drawn(self, area: NotebookArea) -> Iterator[None]:
        """Draw the table anew again and again, for as long as the context is open."""
        ended = threading.Event()

        def draw() -> None:
            while not ended.wait(1.0 / _PER_SECOND_IN_NOTEBOOKS):
                area.draw(*self._said, self._table())

        thread = threading.Thread(target=draw, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _table(self) -> Table:
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
        how = "Ctrl-C" if self._area is None else "interrupting the kernel"
        if self._interrupts.asked:
            table.caption = Text(f"stopping at the next step; {how} again ends at once", style="yellow")
        else:
            where = f"{self._pass}; " if self._pass else ""
            table.caption = Text(f"{where}{how} stops and keeps the best so far", style="dim")
        table.caption_justify = "left"
        return table


class PassProgress:
    """Tells how far a pass is, its speed and the time left. long: nothing is told of a pass that ends soon."""

    def __init__(self, reporter: Reporter, what: str, unit: str, long: bool = False) -> None:
        self._reporter, self._what, self._unit, self._long = reporter, what, unit, long
        self._started, self._next = -1.0, -1.0

    def __call__(self, done: int, total: int) -> None:
        now = perf_counter()
        if self._started < 0.0:
            self._started, self._next = now, now + _LINE_EVERY
        if now < self._next and (done < total or (self._long and now - self._started < _LINE_EVERY)):
            return
        self._next = now + _LINE_EVERY
        speed = done / max(now - self._started, 1e-3)
        left = f", {seconds((total - done) / speed)} left" if done < total else f" in {seconds(now - self._started)}"
        self._reporter.say(f"{self._what}: {done:,} of {count(total, self._unit)}, {speed:,.0f} {self._unit}s/s{left}")
