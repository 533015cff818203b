"""Is this checkout slower than another commit? Both run newtron's small problems in turn, each in its own process."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tables import ROOT, aligned, significant

from speed.families import family_named
from speed.family import NEWTRON, Contender, Family, Problem, Size
from speed.racing import Workers, environment, race
from speed.report import ratios

Array = NDArray[Any]

NEW, OLD = "new", "old"
BOTH = (Contender(NEW, plays=NEWTRON), Contender(OLD, plays=NEWTRON))
CONFIDENCE = 0.95
MARGIN = 1.05
RULE = (
    f"new / old within each round. Slower: even the lower end of the median's {100 * CONFIDENCE:.0f} % interval (from "
    f"the order of the ratios alone) is above {MARGIN:g}, and again so when both run anew in fresh processes."
)


@dataclass(frozen=True)
class Change:
    """The median of new / old, and its interval; the interval is everything where there are too few rounds."""

    median: float
    low: float
    high: float
    rounds: int

    @property
    def slower(self) -> bool:
        return self.low > MARGIN

    @property
    def faster(self) -> bool:
        return self.high < 1.0 / MARGIN


def change(ratios: Array) -> Change:
    """The interval runs from the k-th smallest to the k-th largest ratio, k by the sign test: whatever the noise is,
    each round is as likely above the median as below."""
    n = len(ratios)
    ordered = np.sort(ratios)
    k = 0
    while n and _tail(n, k) <= (1.0 - CONFIDENCE) / 2.0:
        k += 1
    if k == 0:
        return Change(float(np.median(ratios)) if n else math.nan, 0.0, math.inf, n)
    return Change(float(np.median(ratios)), float(ordered[k - 1]), float(ordered[n - k]), n)


def _tail(n: int, k: int) -> float:
    """Probability of at most k heads in n throws."""
    return sum(math.comb(n, i) for i in range(k + 1)) / 2.0**n


def against(commit: str, names: Sequence[str], threads: int = 1) -> int:
    """Compare, print and write build/bench/against.md; 1 if something is slower, else 0."""
    size = Size(rounds=8, budget=2.5, patience=20.0, threads=threads)
    rows, slower = [], []
    with _checkout(commit) as source:
        homes = {NEW: environment(threads), OLD: environment(threads, source)}
        with Workers(homes, threads) as workers:
            for family in map(family_named, names):
                for problem in family.small():
                    found, trouble = _duel(family, problem, size, workers)
                    if found.slower:
                        workers.end()
                        again, trouble = _duel(family, problem, size, workers)
                        found = min(found, again, key=lambda one: one.low)
                    if found.slower:
                        slower.append(f"{family.name}: {problem.words}")
                    rows.append([family.name, problem.words, *_cells(found, trouble)])
                    print("  ".join(rows[-1]), flush=True)
    titles = ["row", "problem", "new / old", "interval", "rounds", "verdict"]
    table = aligned(titles, rows, 2)
    ended = f"Slower: {'; '.join(slower)}." if slower else "Nothing is slower."
    page = ROOT / "build" / "bench" / "against.md"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(f"# This checkout against {commit}\n\n{RULE}\n\n{table}\n\n{ended}\n", encoding="utf-8")
    print(f"{ended} {RULE} Written: {page}", file=sys.stderr)
    return 1 if slower else 0


def _duel(family: Family, problem: Problem, size: Size, workers: Workers) -> tuple[Change, str]:
    record = race(family, problem, size, workers, BOTH)
    trouble = "; ".join(f"{name} {one['status']}" for name, one in record["contenders"].items() if one["status"])
    return change(ratios(record, NEW, OLD)), trouble


def _cells(found: Change, trouble: str) -> list[str]:
    if trouble:
        return ["", "", str(found.rounds), trouble]
    verdict = "SLOWER" if found.slower else "faster" if found.faster else "level"
    interval = f"{significant(found.low, 3)} - {significant(found.high, 3)}"
    return [f"**{significant(found.median, 3)}**", interval, str(found.rounds), verdict]


@contextmanager
def _checkout(commit: str) -> Iterator[Path]:
    """The sources of a commit, in a worktree that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="newtron-bench-") as folder:
        tree = Path(folder) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", os.fspath(tree), commit], check=True)
        try:
            yield tree / "src"
        finally:
            subprocess.run([*git, "remove", "--force", os.fspath(tree)], check=True)
