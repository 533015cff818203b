"""The options of each command, as the parser hands them to it. Only the standard library is needed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FitOptions:
    """Options of `newtron fit`. An option that was not given has the value None where its default depends on others.

    hidden: the shapes that were asked for; empty for the measured mix. memory: bytes. cluster: the address of a
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


@dataclass(frozen=True)
class ExplainOptions:
    """Options of `newtron explain`. row, member: counted from 1; member is None for the best network."""

    model: str
    data: str
    row: int
    notation: str
    member: int | None
    encoding: str
    json: bool


@dataclass(frozen=True)
class ShowOptions:
    """Options of `newtron show`."""

    model: str
    json: bool


@dataclass(frozen=True)
class PlayOptions:
    """Options of `newtron play`. data: a file, or None for the examples; target: None for the last column."""

    data: str | None
    target: str | None
    port: int
    no_browser: bool
    encoding: str


Options = FitOptions | PredictOptions | ExplainOptions | ShowOptions | PlayOptions
