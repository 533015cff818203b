"""A pass over rows in files beside the bare reader, and over rows on a cluster beside the same pass in one process."""

from __future__ import annotations

import atexit
import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from speed.family import FLOOR, NEWTRON, Contender, Family, Measurement, Problem, Record, Round, Size
from speed.timing import timed

WORDS = """\
A pass of a logistic perceptron for loss and gradient, or with the Hessian, over rows that are not in memory. File: one
of Parquet with float32 columns in row groups of 131,072, read by `newtron.FileRows` with the default settings; the
**floor** is the bare reader, `ParquetFile(pre_buffer=False)`, whose batches are dropped. Cluster: a Dask `LocalCluster`
of one worker for each core with one thread each, which holds 1,000,000 x 50 float64 (`newtron.ClusterRows`); the
**floor** is the same pass over the same rows in one process, on as many threads as there are workers.
`benchmarks/file_reading.py` and `benchmarks/cluster.py` tell more: processor time, memory, and fits beside dask-ml.
"""
GROUP = 131_072
COLUMNS = 50


class Benchmarks(Family):
    name, title = "beyond-memory", "Files and clusters"

    def problems(self, size: Size) -> list[Problem]:
        workers = len(os.sched_getaffinity(0))
        return [
            self._problem("file", size.rows(2_000_000), 1, 0),
            *(self._problem("cluster", size.rows(1_000_000), order, workers) for order in (1, 2)),
        ]

    def _problem(self, where: str, n: int, order: int, workers: int) -> Problem:
        what = "gradient" if order == 1 else "gradient and Hessian"
        of = f"{n:,} x {COLUMNS}" if where == "file" else f"{workers} workers of {n:,} x {COLUMNS}"
        settings = {"where": where, "n": n, "order": order, "workers": workers}
        return Problem(f"{where}-{n}-{order}-{workers}", f"{where}, {of}: {what}", settings)

    def contenders(self, problem: Problem) -> list[Contender]:
        needs = ("distributed",) if problem.settings["where"] == "cluster" else ()
        return [Contender(NEWTRON, needs), Contender(FLOOR)]

    def prepare(self, problem: Problem, contender: str, size: Size) -> Round:
        settings = problem.settings
        _open.close()
        make = of_files if settings["where"] == "file" else of_cluster
        work = make(settings, contender)
        work()

        def round(number: int, limit: float) -> Measurement:
            return {"seconds": timed(work)[0]}

        return round

    def section(self, records: dict[str, Record]) -> str:
        from speed.report import floor_claims, race_table, verdict

        found = list(records.values())
        files, clusters = ([r for r in found if r["settings"]["where"] == where] for where in ("file", "cluster"))
        return "\n\n".join(
            [
                WORDS,
                race_table(found),
                verdict(
                    "at least 80 % of the bare reader's throughput: 1.25 times its time", floor_claims(files, 1.25)
                ),
                verdict("at most 25 % above the pass in one process", floor_claims(clusters, 1.25)),
            ]
        )


def columns(n: int, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, COLUMNS), dtype=np.float32 if dtype == "float32" else np.float64)
    return X, (X[:, 0] + rng.logistic(size=n) > 0.0).astype(np.int8)


def write(path: Path, X: np.ndarray, y: np.ndarray, group: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    cells = [*(pa.array(np.ascontiguousarray(column)) for column in X.T), pa.array(y)]
    pq.write_table(pa.table(cells, names=[*(f"x{j}" for j in range(X.shape[1])), "y"]), path, row_group_size=group)


def passing(rows: Any, order: int) -> Callable[[], Any]:
    from newtron.engine.base.threads import one_blas_thread
    from newtron.engine.maths.losses import loss_for
    from newtron.engine.maths.network import Network
    from newtron.engine.objective import TrainingObjective

    objective = TrainingObjective(Network((COLUMNS, 1)), loss_for("classification", None, 1), rows)
    params = np.full(COLUMNS + 1, 0.01)

    def work() -> None:
        with one_blas_thread():
            objective.evaluate(params, order)

    return work


# What the contender of this process needs open; closed when another is made, and at the end.
_open = ExitStack()
atexit.register(_open.close)


def of_files(settings: dict[str, Any], contender: str) -> Callable[[], Any]:
    import pyarrow.parquet as pq

    from newtron import FileRows

    path = Path(_open.enter_context(tempfile.TemporaryDirectory())) / "big.parquet"
    write(path, *columns(settings["n"], "float32"), GROUP)
    rows = FileRows(path, "y")
    batch = rows.source.chunk_bytes // (8 * (COLUMNS + 1))
    if contender == NEWTRON:
        return passing(rows, settings["order"])

    def bare() -> None:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            for _ in file.iter_batches(batch_size=batch):
                pass

    return bare


def of_cluster(settings: dict[str, Any], contender: str) -> Callable[[], Any]:
    from newtron.engine.rows import ArrayRows

    workers = settings["workers"]
    X, y = columns(workers * settings["n"], "float64")
    if contender != NEWTRON:
        return passing(ArrayRows(X, y[:, None].astype(float), threads=workers), settings["order"])
    from distributed import Client, LocalCluster

    from newtron import ClusterRows

    folder = _open.enter_context(tempfile.TemporaryDirectory())
    path = Path(folder) / "rows.parquet"
    write(path, X, y, GROUP // 2)
    quiet = {"dashboard_address": None, "scheduler_kwargs": {"dashboard_address": ":0"}}
    cluster = LocalCluster(n_workers=workers, threads_per_worker=1, local_directory=folder, **quiet)
    client = _open.enter_context(Client(_open.enter_context(cluster)))
    return passing(ClusterRows(client, path, "y"), settings["order"])
