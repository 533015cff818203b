"""What is asked of a study. It needs the standard library alone, so that the command line can hand it over at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FitOptions:
    """Options of the main job. An option that was not given has the value None where its default depends on others.

    hidden: the shapes that were asked for; None for the measured mix. memory: bytes. cluster: the address of a
    scheduler, "" for a cluster that is started on this machine, None for no cluster. report: the path of a report that
    was asked for, which rows that are read in pieces cannot have. typed: the whole command, word by word.
    """

    data: str
    target: str
    output: str
    ignore: list[str]
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
