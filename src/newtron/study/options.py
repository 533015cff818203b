"""What is asked of a study. It needs the standard library alone, so that the command line can hand it over at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from newtron.table.choices import ColumnChoices


@dataclass(frozen=True)
class FitOptions:
    """Options of the main job. An option that was not given has the value None where its default depends on others.

    category, number, date, text, levels, reference, missing: what the user says of columns, as `choices_of` takes it.
    hidden: the shapes that were asked for; None for the measured mix. memory: bytes. cluster: the address of a
    scheduler, "" for a cluster that is started on this machine, None for no cluster. report: the path of a report that
    was asked for, which rows that are read in pieces cannot have. typed: the whole command, word by word.
    """

    data: str
    target: str
    output: str
    ignore: list[str]
    category: list[str]
    number: list[str]
    date: list[str]
    text: list[str]
    levels: int | None
    reference: list[str]
    missing: str
    task: str | None
    encoding: str
    model: str
    hidden: list[tuple[int, ...] | str] | None
    activation: str
    alpha: float | str | None
    penalty: str
    loss: str | None
    offset: str | None
    starts: int
    holdout: float
    no_refit: bool
    seed: int
    max_iter: int | None
    memory: int
    scratch: str | None
    checkpoint: str | None
    cluster: str | None
    threads: int | None
    report: str | None
    typed: list[str]

    @cached_property
    def choices(self) -> ColumnChoices:
        """What the user says of columns."""
        from newtron.table.choices import choices_of

        return choices_of(
            category=self.category,
            number=self.number,
            date=self.date,
            text=self.text,
            levels=self.levels,
            reference=self.reference,
            missing=self.missing,
        )
