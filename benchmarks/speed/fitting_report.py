"""Expected times to a loss, from the records of many starts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from tables import aligned, significant

from speed.family import FLOOR, NEWTRON, Measurement, Record
from speed.levels import COMPILED, JUDGED, LEVELS
from speed.report import Claim, middle, verdict

Starts = dict[str, list[Measurement]]


def starts_of(record: Record) -> Starts:
    """The rounds of everybody but the floor; a compiled trainer stands there twice, with compiling and without."""
    found: Starts = {}
    for name, contender in record["contenders"].items():
        if name == FLOOR:
            continue
        rounds = list(contender["rounds"].values())
        found[name] = rounds
        if any(one["compiling"] for one in rounds):
            found[COMPILED] = [_with_compiling(one) for one in rounds]
    return found


def _with_compiling(one: Measurement) -> Measurement:
    extra = one["compiling"]
    levels = {level: None if at is None else at + extra for level, at in one["levels"].items()}
    return one | {"seconds": one["seconds"] + extra, "levels": levels}


def expected(rounds: list[Measurement], level: str) -> tuple[float, int]:
    """Expected seconds to a level (all time spent, over the starts that got there; inf if none) and their number."""
    times = [one["levels"][level] for one in rounds]
    there = sum(at is not None for at in times)
    spent = sum(one["seconds"] if at is None else at for one, at in zip(rounds, times, strict=True))
    return (spent / there if there else float("inf")), there


def tables(records: list[Record]) -> list[str]:
    parts = []
    for record in records:
        starts = starts_of(record)
        rows = [_row(name, rounds, starts[NEWTRON], record) for name, rounds in starts.items()]
        rows.append(_floor_row(record))
        titles = ["who", *(f"s to {level}" for level in LEVELS), "lowest", "newtron / it to 1e-6", "starts"]
        parts += [f"**{record['words']}**", aligned(titles, rows)]
    target = f"10 times faster than the best peer to {JUDGED} (compiling not included)"
    return [*parts, verdict(target, [claim for record in records if (claim := _claim(record)) is not None])]


def _row(name: str, rounds: list[Measurement], ours: list[Measurement], record: Record) -> list[str]:
    if not rounds:
        status = record["contenders"][name]["status"]
        return [name, *[""] * len(LEVELS), "", "", status]
    cells = []
    for level in LEVELS:
        seconds, there = expected(rounds, level)
        cells.append(f"{significant(seconds)} ({there} of {len(rounds)})" if there else "never")
    ratio = "" if name == NEWTRON else _ratio(expected(ours, JUDGED)[0], expected(rounds, JUDGED)[0])
    return [name, *cells, f"{middle(np.array([one['lowest'] for one in rounds])):.0e}", ratio, str(len(rounds))]


def _ratio(ours: float, theirs: float) -> str:
    if not np.isfinite(ours):
        return "newtron never"
    return f"**{significant(ours / theirs)}**" if np.isfinite(theirs) else "**0**"


def _floor_row(record: Record) -> list[str]:
    each = middle(np.array([one["seconds"] for one in record["contenders"][FLOOR]["rounds"].values()]))
    ours = list(record["contenders"][NEWTRON]["rounds"].values())

    def at(level: str) -> str:
        steps = [one["steps"][level] for one in ours if one["steps"][level] is not None]
        return f"{significant(each * float(np.median(steps)))} ({np.median(steps):.0f} steps)" if steps else ""

    seconds, there = expected(ours, JUDGED)
    steps = [one["steps"][JUDGED] for one in ours if one["steps"][JUDGED] is not None]
    ratio = f"**{significant(seconds / (each * float(np.median(steps))))}**" if there else ""
    return [FLOOR, *(at(level) for level in LEVELS), "", ratio, ""]


def _claim(record: Record) -> Claim | None:
    starts = starts_of(record)
    timed: Callable[[str], float] = lambda name: expected(starts[name], JUDGED)[0]  # noqa: E731
    names = [name for name, rounds in starts.items() if rounds and name not in (NEWTRON, COMPILED)]
    if not starts[NEWTRON] or not names:
        return None
    ours, best = timed(NEWTRON), min(names, key=timed)
    if not np.isfinite(ours):
        note = "newtron does not get there" + ("" if np.isfinite(timed(best)) else ", nor does any peer")
        return Claim(record["words"], 0.0, 10.0, True, note)
    return Claim(record["words"], timed(best) / ours, 10.0, True, best if np.isfinite(timed(best)) else "no peer")
