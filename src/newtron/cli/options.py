"""The options of the commands that have many, as the parser hands them over. It needs the standard library alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from newtron.study.options import FitOptions


@dataclass(frozen=True, kw_only=True)
class FitCommand(FitOptions):
    """Options of `newtron fit`: those of the job, and how it is told."""

    data: str
    output: str = "model.newtron"
    no_report: bool = False
    json: bool = False
    quiet: bool = False


@dataclass(frozen=True)
class PredictOptions:
    """Options of `newtron predict`. more: further files of text, whose rows follow; interval: the probability of the
    intervals, or None; keep: names of columns that are written beside the predictions, several in one text with commas
    between them; memory: bytes."""

    model: str
    data: str
    more: Sequence[str]
    interval: float | None
    keep: list[str]
    output: str | None
    safe_for_spreadsheets: bool
    memory: int
    scratch: str | None
    encoding: str
    sheet: str | None
