"""One iteration of Levenberg-Marquardt beside what its arithmetic must cost."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from speed.family import FLOOR, NEWTRON, Contender, Family, Measurement, Problem, Record, Round, Size
from speed.timing import clock, mean_seconds

Array = NDArray[Any]

SHAPES = ((1_000, 8, 20), (10_000, 8, 50), (10_000, 18, 100))  # rows, inputs, hidden units: 201, 501, 2001 parameters
STEPS = 6

WORDS = f"""\
A network with one output and squared error, on data of another such network: {STEPS} iterations from a random start,
and the mean time of one. An iteration is the curvature J'J, the factorisation and the trial point, and whatever else
newtron does. The **floor** is J'J by BLAS (`syrk` on a matrix of rows x parameters) and one Cholesky factorisation
(`potrf`).
"""


class Benchmarks(Family):
    name, title = "lm-step", "One iteration of Levenberg-Marquardt"

    def problems(self, size: Size) -> list[Problem]:
        return [self._problem(size.rows(n), p, hidden) for n, p, hidden in SHAPES]

    def small(self) -> list[Problem]:
        return [self._problem(1_000, 8, 20), self._problem(5_000, 8, 50)]

    def _problem(self, n: int, p: int, hidden: int) -> Problem:
        parameters = (p + 2) * hidden + 1
        settings = {"n": n, "p": p, "hidden": hidden, "parameters": parameters}
        return Problem(f"{n}-{p}-{hidden}", f"{n:,} rows, {p}-{hidden}-1: {parameters:,} parameters", settings)

    def contenders(self, problem: Problem) -> list[Contender]:
        return [Contender(NEWTRON), Contender(FLOOR)]

    def prepare(self, problem: Problem, contender: str, size: Size) -> Round:
        n, p, hidden, parameters = (problem.settings[name] for name in ("n", "p", "hidden", "parameters"))
        return syrk_and_cholesky(n, parameters) if contender == FLOOR else iterations(n, p, hidden)

    def section(self, records: dict[str, Record]) -> str:
        from speed.report import floor_claims, race_table, verdict

        found = list(records.values())
        return "\n\n".join([WORDS, race_table(found), verdict("1.5 times the floor at most", floor_claims(found, 1.5))])


def iterations(n: int, p: int, hidden: int) -> Round:
    from newtron import LevenbergMarquardt, minimize
    from newtron.engine.base.threads import thread_count
    from newtron.engine.maths.losses import SquaredError
    from newtron.engine.maths.network import Network
    from newtron.engine.objective import TrainingObjective
    from newtron.engine.rows import ArrayRows

    rng = np.random.default_rng(0)
    network = Network((p, hidden, 1), "tanh", True)
    X = rng.standard_normal((n, p))
    y = network.output(network.start(rng, np.zeros(1)), X) + 0.1 * rng.standard_normal((n, 1))
    start = network.start(rng, np.zeros(1))

    def round(number: int, limit: float) -> Measurement:
        # A new objective each time, so that nothing is remembered from the last round.
        objective = TrainingObjective(network, SquaredError(), ArrayRows(X, y, threads=thread_count()), 1e-3)
        ticks: list[float] = []

        def tick(progress: Any) -> None:
            ticks.append(clock())

        minimize(objective, start, LevenbergMarquardt(), tol=1e-14, max_iter=STEPS, callback=tick)
        return {"seconds": (ticks[-1] - ticks[0]) / (len(ticks) - 1), "iterations": len(ticks)}

    round(0, 0.0)
    return round


def syrk_and_cholesky(n: int, parameters: int) -> Round:
    from scipy.linalg.blas import dsyrk
    from scipy.linalg.lapack import dpotrf

    J = np.random.default_rng(0).standard_normal((n, parameters))
    damped = np.asfortranarray(J[: 2 * parameters].T @ J[: 2 * parameters]) + n * np.eye(parameters)

    def work() -> None:
        dsyrk(1.0, J.T)
        dpotrf(damped, overwrite_a=0)

    work()
    return lambda number, limit: {"seconds": mean_seconds(work)}
