"""How newtron's time grows with rows, columns and hidden units, and the memory it takes above the data."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tables import aligned, significant

from speed.data import columns, response
from speed.family import NEWTRON, Contender, Family, Measurement, Problem, Record, Round, Size
from speed.timing import timed

Array = NDArray[Any]

EXPONENT, MEGABYTES = 1.05, 200.0
LARGE = 100_000  # from here on fixed costs no longer hide the growth
STEPS = 10  # of the network, so that every size does the same work
ROWS = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)

WORDS = f"""\
10 columns, 10 hidden units where nothing else is said. `NetworkRegressor` takes {STEPS} iterations of
Levenberg-Marquardt from one start, so that every size does the same work. **exponent**: the slope of log time against
log size, over all sizes and from 100,000 rows on. **memory**: the process's peak while fitting, above what it held just
before, the data included.
"""


class Benchmarks(Family):
    name, title = "growth", "Growth"

    def problems(self, size: Size) -> list[Problem]:
        most = max(10_000, int(ROWS[-1] * size.share))
        grown = [
            self._problem(model, "rows", n, n, 10, 10)
            for model, largest in (("regressor", ROWS[-1]), ("classifier", ROWS[-1]), ("network", 1_000_000))
            for n in ROWS
            if n <= min(most, largest)
        ]
        n = size.rows(50_000)
        grown += [
            self._problem(model, "columns", p, n, p, 10)
            for model in ("regressor", "classifier")
            for p in (10, 30, 100, 300)
        ]
        return grown + [self._problem("network", "hidden units", h, size.rows(10_000), 10, h) for h in (5, 10, 20, 40)]

    def small(self) -> list[Problem]:
        return [self._problem(m, "rows", n, n, 10, 10) for m in ("regressor", "classifier") for n in (10_000, LARGE)]

    def _problem(self, model: str, what: str, size: int, n: int, p: int, hidden: int) -> Problem:
        settings = {"model": model, "what": what, "size": size, "n": n, "p": p, "hidden": hidden}
        return Problem(f"{model}-{what}-{size}-{n}", f"{model}, {size:,} {what}", settings)

    def contenders(self, problem: Problem) -> list[Contender]:
        return [Contender(NEWTRON)]

    def prepare(self, problem: Problem, contender: str, size: Size) -> Round:
        n, p, hidden, model = (problem.settings[name] for name in ("n", "p", "hidden", "model"))
        X = columns(n, p)
        y: Array = response(X)
        if model == "classifier":
            y = (y > 0.0).astype(np.intp)
        fit = estimator(model, hidden).fit
        fit(X[:500], y[:500])

        def round(number: int, limit: float) -> Measurement:
            peak = Peak()
            taken, _ = timed(lambda: fit(X, y))
            return {"seconds": taken, "megabytes": peak.above()}

        return round

    def section(self, records: dict[str, Record]) -> str:
        from speed.report import Claim, middle, seconds, spread, verdict

        found = list(records.values())
        series: dict[str, list[Record]] = {}
        for record in found:
            series.setdefault(f"{record['settings']['model']}, {record['settings']['what']}", []).append(record)
        rows, claims = [], []
        for name, members in series.items():
            sizes = [member["settings"]["size"] for member in members]
            times = [middle(seconds(member, NEWTRON)) for member in members]
            for member, size, time in zip(members, sizes, times, strict=True):
                memory = significant(middle(seconds(member, NEWTRON, "megabytes")))
                ms = spread(1e3 * seconds(member, NEWTRON))
                rows.append([name, f"{size:,}", significant(1e3 * time, 3), ms, memory, ""])
            rows[-1][-1] = f"**{significant(exponent(sizes, times))}**"
            large = [(s, t) for s, t in zip(sizes, times, strict=True) if s >= LARGE]
            if name.endswith("rows") and len(large) > 1:
                above = exponent(*zip(*large, strict=True))
                rows[-1][-1] += f", from {LARGE:,} on **{significant(above)}**"
                claims.append(Claim(name, above, EXPONENT))
        worst = [
            Claim(r["words"], float(np.max(seconds(r, NEWTRON, "megabytes"))), MEGABYTES)
            for r in found
            if len(seconds(r, NEWTRON))
        ]
        worst.sort(key=lambda claim: -claim.value)
        titles = ["model", "size", "ms", "least - most", "memory, MB", "exponent"]
        return "\n\n".join(
            [
                WORDS,
                aligned(titles, rows),
                verdict(f"exponent of at most {EXPONENT} in rows, from {LARGE:,} on", claims),
                verdict(f"at most {MEGABYTES:.0f} MB above the data at any size (the largest three)", worst[:3]),
            ]
        )


def estimator(model: str, hidden: int) -> Any:
    from newtron import NetworkRegressor, PerceptronClassifier, PerceptronRegressor

    if model == "regressor":
        return PerceptronRegressor()
    if model == "classifier":
        return PerceptronClassifier(alpha=1.0, tol=1e-8)
    return NetworkRegressor(hidden=(hidden,), alpha=0.1, n_starts=1, max_iter=STEPS, solver="levenberg-marquardt")


def exponent(sizes: Any, times: Any) -> float:
    """The slope of a line through log time against log size."""
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


class Peak:
    """The peak of this process's memory from now on."""

    _STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")

    def __init__(self) -> None:
        self._linux = self._CLEAR.exists()
        if self._linux:
            self._CLEAR.write_text("5")  # the peak is counted anew
        self._before = self._field("VmRSS") if self._linux else self._most()

    def above(self) -> float:
        """Megabytes beyond what was held at the start."""
        return ((self._field("VmHWM") if self._linux else self._most()) - self._before) / 2**20

    def _field(self, name: str) -> float:
        line = next(line for line in self._STATUS.read_text().splitlines() if line.startswith(name))
        return 1024.0 * float(line.split()[1])

    @staticmethod
    def _most() -> float:
        # In kilobytes, but on macOS in bytes.
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return float(most) if sys.platform == "darwin" else 1024.0 * most
