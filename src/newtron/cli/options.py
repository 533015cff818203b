"""The options of the commands that have many, as the parser hands them over. It needs the standard library alone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FitOptions:
    """Options of `newtron fit`. An option that was not given has the value None where its default depends on others.

    hidden: the shapes that were asked for; None for the measured mix. memory: bytes. cluster: the address of a
    scheduler, "" for a cluster that is started on this machine, None for no cluster. typed: the whole command, word by
    word.
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
    no_report: bool
    json: bool
    quiet: bool
    typed: list[str]


@dataclass(frozen=True)
class PredictOptions:
    """Options of `newtron predict`. interval: the probability of the intervals, or None; memory: bytes."""

    model: str
    data: str
    interval: float | None
    output: str | None
    safe_for_spreadsheets: bool
    memory: int
    scratch: str | None
    encoding: str
