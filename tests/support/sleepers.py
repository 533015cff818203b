"""A family of benchmarks whose contenders are late, fail and die."""

from __future__ import annotations

import os
import time

from speed.family import NEWTRON, Contender, Family, Measurement, Problem, Record, Round, Size


class Sleepers(Family):
    """Contenders that are late, that fail, and that die, in place of libraries."""

    name, title = "sleepers", "Sleepers"

    def problems(self, size: Size) -> list[Problem]:
        return [Problem("p", "p", {}, 1.0)]

    def contenders(self, problem: Problem) -> list[Contender]:
        names = [Contender(name) for name in (NEWTRON, "late", "failing", "dying")]
        return [*names, Contender("absent", ("no_such_package",)), Contender("other", why_not="cannot")]

    def prepare(self, problem: Problem, contender: str, size: Size) -> Round:
        def round(number: int, limit: float) -> Measurement:
            if contender == "failing":
                raise ValueError("no such thing")
            if contender == "dying":
                os._exit(3)
            time.sleep(30.0 if contender == "late" else 0.0)
            return {"seconds": 0.001, "reached": 0.5}

        return round

    def section(self, records: dict[str, Record]) -> str:
        return ""
