"""Measurements as jobs, which several processes work on, the most important first, until their time is over."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import TimeoutError as OutOfTimeError
from multiprocessing import get_context

from results import Record, Results


@dataclass(frozen=True)
class Job:
    """One measurement, kept under a key. compute: can be pickled. round: all jobs of a round come before those of the
    next. may_wait: comes last in its round. made_by: "package version" of another library."""

    key: str
    compute: Callable[[], Record]
    round: int = 0
    may_wait: bool = False
    made_by: str | None = None


# Of each part its jobs.
Parts = Mapping[str, Iterable[Job]]


def in_order(parts: Parts) -> list[tuple[str, Job]]:
    """The jobs with their parts: round by round, and in each round as the parts and their jobs are given."""
    jobs = [(part, job) for part, of_part in parts.items() for job in of_part]
    return sorted(jobs, key=lambda each: (each[1].round, each[1].may_wait))


def work_on(
    jobs: Sequence[tuple[str, Job]],
    kept: Mapping[str, Results],
    processes: int = 1,
    minutes: float | None = None,
    commit: str = "",
) -> tuple[int, int]:
    """Compute what is not kept yet and keep it; return how many jobs failed and how many were not reached.

    When the minutes are over, what is being computed is given up. commit: what newtron's own records say besides.
    """
    until = None if minutes is None else time.monotonic() + 60.0 * minutes
    missing = [(part, job) for part, job in jobs if kept[part].lacks(job.key, job.made_by)]
    failed = done = 0
    # Daemonic processes, which end with this one; each starts anew, for threads of BLAS do not survive a fork.
    with get_context("spawn").Pool(processes) as pool:
        answers = pool.imap_unordered(_computed, [(number, job) for number, (_, job) in enumerate(missing)])
        for _ in missing:
            try:
                number, record = answers.next(None if until is None else max(0.0, until - time.monotonic()))
            except OutOfTimeError:
                print(f"The {minutes:g} minutes are over; another run goes on from here.", file=sys.stderr)
                break
            done += 1
            part, job = missing[number]
            if record is None:
                failed += 1
            else:
                stamp = {} if job.made_by else {"commit": commit}
                kept[part].keep(job.key, record | stamp, made_by=job.made_by)
    return failed, len(missing) - done


def _computed(numbered: tuple[int, Job]) -> tuple[int, Record | None]:
    """The record, or None of a job that failed, which is no reason to end all others."""
    number, job = numbered
    try:
        return number, job.compute()
    except Exception:
        print(f"{job.key} failed:", file=sys.stderr)
        traceback.print_exc()
        return number, None
