"""Default networks: what a fit takes as a user calls it, by the size of the table."""

from __future__ import annotations

from typing import Any

import numpy as np

from speed.family import NEWTRON, Contender, Family, Measurement, Problem, Record, Round, Size
from speed.timing import timed

FAST, MLP, TREES, FOREST = "newtron, fast", "MLPRegressor / MLPClassifier", "HistGradientBoosting", "RandomForest"
# Rows below which a default fit is to take little, and the seconds that the median and the worst of these are to take.
SMALL, MEDIAN, WORST = 2000, 1.0, 8.0
# Ten development sets by size, and a table whose target is a sum of two columns, which needs no network: rows, columns
# and classes, 0 for a regression.
SETS = {
    "breast-tissue": (60, 9, 6),
    "heart-cleveland": (170, 13, 5),
    "regression/yacht": (207, 6, 0),
    "breast-cancer-wisc-diag": (320, 30, 2),
    "statlog-vehicle": (476, 18, 4),
    "regression/concrete": (695, 8, 0),
    "regression/sum": (800, 6, 0),
    "steel-plates": (1092, 27, 7),
    "waveform": (2812, 21, 3),
    "page-blocks": (3078, 10, 5),
    "regression/power": (6458, 4, 0),
}

WORDS = """\
`NetworkRegressor().fit` and `NetworkClassifier().fit` as they come: penalties, shares, random intercepts, intervals or
temperature, and certificate included. **fast** is `effort="fast"`. Peers are scikit-learn's, as they come too: one
network for each point prediction, or trees. Rows are those of `benchmarks/development.py`, three quarters of the
training rows of a set's first split. What the fits are worth is on the [page of evidence](evidence.md).
"""


class Benchmarks(Family):
    name, title = "default-fits", "Default networks"

    def problems(self, size: Size) -> list[Problem]:
        return [self._problem(name) for name in SETS]

    def small(self) -> list[Problem]:
        return [self._problem("regression/sum")]

    def _problem(self, name: str) -> Problem:
        rows, columns, classes = SETS[name]
        task = f"{classes} classes" if classes else "regression"
        words = f"{name.rpartition('/')[2]}, {rows:,} x {columns}, {task}"
        return Problem(name.replace("/", "-"), words, {"set": name, "rows": rows})

    def contenders(self, problem: Problem) -> list[Contender]:
        return [Contender(name) for name in (NEWTRON, FAST, MLP, TREES, FOREST)]

    def prepare(self, problem: Problem, contender: str, size: Size) -> Round:
        from development import inner_rows

        name = problem.settings["set"]
        X, y = inner_rows(name, 0)[:2]
        assert len(X) == problem.settings["rows"]
        model = estimator(contender, classes="/" not in name)
        estimator(contender, classes="/" not in name).fit(np.arange(60.0).reshape(30, 2), np.arange(30) % 2)  # imports

        def round(number: int, limit: float) -> Measurement:
            return {"seconds": timed(lambda: model.fit(X, y))[0]}

        return round

    def section(self, records: dict[str, Record]) -> str:
        from speed.report import Claim, middle, race_table, seconds, verdict

        found = list(records.values())
        taken = {r["words"]: middle(seconds(r, NEWTRON)) for r in found if r["settings"]["rows"] < SMALL}
        blocks = [WORDS, race_table(found)]
        if taken:
            median, worst = float(np.median(list(taken.values()))), max(taken, key=taken.__getitem__)
            claims = [
                Claim(f"median of {len(taken)} sets, seconds", median, MEDIAN),
                Claim(f"worst, {worst}, seconds", taken[worst], WORST),
            ]
            blocks.append(verdict(f"below {SMALL:,} rows 1 s in the median, 8 s at worst", claims))
        return "\n\n".join(blocks)


def estimator(contender: str, classes: bool) -> Any:
    if contender in (NEWTRON, FAST):
        from newtron import NetworkClassifier, NetworkRegressor

        effort = "fast" if contender == FAST else "default"
        return (NetworkClassifier if classes else NetworkRegressor)(effort=effort, n_jobs=1)
    from sklearn import ensemble, neural_network

    module = neural_network if contender == MLP else ensemble
    kind = "MLP" if contender == MLP else contender
    return getattr(module, f"{kind}{'Classifier' if classes else 'Regressor'}")()
