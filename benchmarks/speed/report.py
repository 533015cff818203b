"""From records of races to tables and verdicts. Every verdict is computed from the rounds; none is written by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tables import aligned, paragraph, significant

from speed.family import FLOOR, NEWTRON, Record

Array = NDArray[Any]


def seconds(record: Record, name: str, what: str = "seconds") -> Array:
    """(rounds,) of the rounds in which there was something to time."""
    rounds = record["contenders"][name]["rounds"].values()
    return np.array([found[what] for found in rounds if found.get(what) is not None], dtype=float)


def ratios(record: Record, above: str, below: str, what: str = "seconds") -> Array:
    """Time of one over that of another, within each round that both ran."""
    first, second = (record["contenders"][name]["rounds"] for name in (above, below))
    both = [n for n in first if n in second and None not in (first[n].get(what), second[n].get(what))]
    return np.array([first[n][what] / second[n][what] for n in both], dtype=float)


def middle(values: Array) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def reached(record: Record, name: str) -> float:
    """The worst of its rounds; nan where nothing is to be reached."""
    rounds = record["contenders"][name]["rounds"].values()
    values = [float("nan") if found.get("reached") is None else found["reached"] for found in rounds]
    return float(np.max(values)) if values else float("nan")


def arrives(record: Record, name: str) -> bool:
    """Ran, and came as far as the problem asks in every round."""
    if not len(seconds(record, name)):
        return False
    return record["limit"] is None or name == FLOOR or bool(reached(record, name) <= record["limit"])


def _there(record: Record, name: str) -> str:
    if arrives(record, name):
        return "yes"
    rounds = record["contenders"][name]["rounds"].values()
    there = sum(found.get("reached") is not None and found["reached"] <= record["limit"] for found in rounds)
    return f"{there} of {len(rounds)}" if there else "no"


def peers(record: Record) -> list[str]:
    return [name for name in record["contenders"] if name not in (NEWTRON, FLOOR)]


def best_peer(record: Record) -> str | None:
    """The fastest of those that arrive."""
    there = [name for name in peers(record) if arrives(record, name)]
    return min(there, key=lambda name: middle(seconds(record, name)), default=None)


def spread(values: Array) -> str:
    return f"{significant(values.min())} - {significant(values.max())}" if len(values) else ""


def summary(record: Record) -> str:
    """A line for the terminal: everybody's median, or why there is none."""
    parts = []
    for name, found in record["contenders"].items():
        taken = seconds(record, name)
        parts.append(
            f"{name} {significant(1e3 * middle(taken), 3)} ms"
            if len(taken)
            else f"{name}: {found['status'] or 'not there'}"
        )
    return "; ".join(parts)


def race_table(records: Iterable[Record], measure: str = "") -> str:
    """A line for each contender of each problem. measure: what "reached" is, where there is something to reach."""
    rows = []
    for record in records:
        for name, found in record["contenders"].items():
            taken, words = seconds(record, name), record["words"] if name == NEWTRON else ""
            if not len(taken):
                what = found["status"] or f"reaches {reached(record, name):.1e}"
                rows.append([words, name, *[""] * (4 + 2 * bool(measure)), what])
                continue
            to = ratios(record, NEWTRON, name) if name != NEWTRON else np.empty(0)
            row = [words, name, significant(1e3 * middle(taken), 3), spread(1e3 * taken), str(len(taken))]
            row += [f"**{significant(middle(to))}**" if len(to) else "", spread(to)]
            if measure:
                row += ["", ""] if name == FLOOR else [f"{reached(record, name):.1e}", _there(record, name)]
            if found["status"]:
                row[2] += f" ({found['status']} in a later round)"
            rows.append(row)
            compiling = [one["compiling"] for one in found["rounds"].values() if one.get("compiling")]
            if compiling:
                words = significant(1e3 * middle(taken + compiling[0]), 3)
                rows.append(["", f"{name}, compiling included", words, *[""] * (len(row) - 3)])
    titles = ["problem", "who", "ms", "least - most", "rounds", "newtron / it", "least - most"]
    return aligned(titles + ([measure, "there"] if measure else []), rows, 2)


class Claim(NamedTuple):
    """A target of one problem: `value` is to be at most (or, where `at_least`, at least) `bound`."""

    problem: str
    value: float
    bound: float
    at_least: bool = False
    note: str = ""

    @property
    def met(self) -> bool:
        return bool(self.value >= self.bound if self.at_least else self.value <= self.bound)


def verdict(target: str, claims: Iterable[Claim]) -> str:
    """The target, whether all problems meet it, and the number of each."""
    claims = list(claims)
    if not claims:
        return paragraph(f"Target: {target}. **Not measured.**")
    missed = sum(not claim.met for claim in claims)
    words = "**Met.**" if not missed else f"**Not met in {missed} of {len(claims)}.**"
    each = "; ".join(f"{c.problem}: {_number(c.value)}{f' ({c.note})' if c.note else ''}" for c in claims)
    return paragraph(f"Target: {target}. {words} {each}.")


def _number(value: float) -> str:
    return "not reached" if not np.isfinite(value) else significant(value)


def floor_claims(records: Iterable[Record], bound: float, floor: str = FLOOR) -> list[Claim]:
    """Newtron's time over the floor's, per problem."""
    return [Claim(r["words"], middle(ratios(r, NEWTRON, floor)), bound) for r in records if len(seconds(r, floor))]


def best_claims(
    records: Iterable[Record], bound: float, where: Callable[[Record], bool] = lambda record: True
) -> list[Claim]:
    """How many times faster newtron is than the best peer that arrives, per problem; 0 where newtron does not."""
    claims = []
    for record in records:
        peer = best_peer(record)
        if not where(record) or not len(seconds(record, NEWTRON)):
            continue
        if not arrives(record, NEWTRON):
            claims.append(Claim(record["words"], 0.0, bound, True, "newtron does not get there"))
        elif peer is None:
            claims.append(Claim(record["words"], float("inf"), bound, True, "no peer gets there"))
        else:
            claims.append(Claim(record["words"], middle(ratios(record, peer, NEWTRON)), bound, True, peer))
    return claims
