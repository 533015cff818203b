"""The clock of a round: the wall's, or, with BENCH_CLOCK=cpu, that of the process's own work.

The second counts the work of all threads together; where other work shares the machine it is the steadier one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

T = TypeVar("T")

clock: Callable[[], float] = time.process_time if os.environ.get("BENCH_CLOCK") == "cpu" else time.perf_counter


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Seconds and the result."""
    before = clock()
    found = work()
    return clock() - before, found


def mean_seconds(work: Callable[[], object], least: float = 0.02) -> float:
    """Seconds of one call; where one is too short to time, the mean of as many as take about `least` seconds."""
    calls, spent = 1, timed(work)[0]
    while spent < least:
        calls = max(calls + 1, min(1000 * calls, int(1.2 * calls * least / max(spent, 1e-9))))
        spent = timed(partial(repeat, work, calls))[0]
    return spent / calls


def repeat(work: Callable[[], object], calls: int) -> None:
    for _ in range(calls):
        work()
