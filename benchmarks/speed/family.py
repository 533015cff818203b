"""What a family of benchmarks is: its problems, who takes part, what one round of each is, and its part of the page.

A family is imported by the process that writes the page and by the processes that run the contenders, which may hold
another commit of newtron: so it imports newtron, and every peer, only inside the functions that use them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

NEWTRON, FLOOR = "newtron", "floor"
TIMES_OURS = 20.0  # a peer is waited for at least so many times as long as newtron took

# What one round gives back: "seconds", and "reached" where there is something to reach; None as seconds: not reached.
Measurement = dict[str, Any]
Round = Callable[[int, float], Measurement]  # (number of the round, most seconds it is worth) -> what was measured
Record = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """How much is run. share: rows relative to the full problems. rounds: at least so many; more until `budget`
    seconds of a problem are spent. patience: a peer is given so many seconds, or 20 times newtron's if that is more.
    """

    share: float = 1.0
    rounds: int = 5
    budget: float = 30.0
    patience: float = 60.0
    threads: int = 1

    def rows(self, n: int, least: int = 1000) -> int:
        return n if self.share == 1.0 else max(min(n, least), int(n * self.share))


@dataclass(frozen=True)
class Contender:
    """needs: packages (or programs) without which it is shown as not installed. why_not: why it does not take part.
    plays: as whom it is prepared, where that is not its name."""

    name: str
    needs: tuple[str, ...] = ()
    why_not: str = ""
    plays: str = ""


@dataclass(frozen=True)
class Problem:
    """limit: what "reached" may be at most to count as having got there; None where there is nothing to reach."""

    key: str
    words: str
    settings: dict[str, Any] = field(default_factory=dict)
    limit: float | None = None


class Family(ABC):
    """One row of the benchmarks (or several of the same kind)."""

    name: ClassVar[str]
    title: ClassVar[str]
    stops_itself: ClassVar[bool] = False  # its rounds end by themselves soon after the seconds they are given

    @abstractmethod
    def problems(self, size: Size) -> Sequence[Problem]:
        """In the order of the page."""

    def small(self) -> Sequence[Problem]:
        """Problems of a few tenths of a second: for a quick page, and to compare two commits; none by default."""
        return ()

    @abstractmethod
    def contenders(self, problem: Problem) -> Sequence[Contender]:
        """newtron first."""

    def limit(self, size: Size, ours: list[Measurement] | None) -> float:
        """Seconds that a round may take: of newtron (ours is None), or of a peer after newtron's rounds."""
        if not ours:
            return 10.0 * size.patience
        return max(size.patience, TIMES_OURS * max(float(found["spent"]) for found in ours))

    @abstractmethod
    def prepare(self, problem: Problem, contender: str, size: Size) -> Round:
        """Make the data and warm up, untimed; the function that is given back runs one timed round."""

    @abstractmethod
    def section(self, records: dict[str, Record]) -> str:
        """Its part of the page, from the records of the problems that were run."""
