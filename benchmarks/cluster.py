"""What a cluster costs beside one process: python benchmarks/cluster.py

Workers of one thread each on this machine hold --rows x --columns each. Timed in turn, in fresh rounds: a pass over all
rows in this process, on as many threads as there are workers, and the same pass on the cluster, for the gradient and
for the gradient with the Hessian of a logistic perceptron; and a pass over almost no rows, which is what a pass costs
whatever it computes. The overhead is the median of the rounds' ratios, less 1: both were timed in the same seconds. CPU
is that of all processes together, which other work on the machine hardly changes: on a quiet one, with a core for each
worker, a pass cannot take less than its share of it.

Then the time to an optimum of the same rows, the penalty 1, beside dask-ml on the same cluster and Spark MLlib on
local[workers], where they are installed (python -m pip install dask-ml pyspark, and a JVM): the objective above the
lowest (sum of losses plus half the squares of the weights, and for dask-ml, which penalises it, of the intercept), and
the largest distance of a coefficient from the exact ones, which scikit-learn's newton-cholesky finds in this process
with tol=1e-12.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import statistics
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from newtron import ClusterRows, PerceptronClassifier
from newtron.engine.base.threads import one_blas_thread
from newtron.engine.maths.losses import loss_for
from newtron.engine.maths.network import Network
from newtron.engine.objective import TrainingObjective
from newtron.engine.rows import ArrayRows

_GROUP = 65_536


def write(path: Path, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, columns)) * np.geomspace(0.3, 3.0, columns)
    y = (X @ rng.normal(size=columns) / columns**0.5 + rng.logistic(size=rows) > 0).astype(np.int8)
    columns_ = [*(pa.array(np.ascontiguousarray(column)) for column in X.T), pa.array(y)]
    pq.write_table(pa.table(columns_, names=[*(f"x{i}" for i in range(columns)), "y"]), path, row_group_size=_GROUP)
    return X, y


class Times(NamedTuple):
    seconds: list[float]
    busy: list[float]  # of all cores


def in_turn(contenders: dict[str, Callable[[], Any]], rounds: int, busy: Callable[[], float]) -> dict[str, Times]:
    times = {name: Times([], []) for name in contenders}
    for number in range(rounds + 1):
        for name, work in contenders.items():
            before, started = busy(), perf_counter()
            work()
            if number:  # the first round warms up
                times[name].seconds.append(perf_counter() - started)
                times[name].busy.append(busy() - before)
    return times


def overhead(client: Any, path: Path, X: np.ndarray, y: np.ndarray, workers: int, rounds: int) -> None:
    p = X.shape[1]
    loss = loss_for("classification", None, 1)
    of_process = TrainingObjective(Network((p, 1)), loss, ArrayRows(X, y[:, None].astype(float), threads=workers))
    rows = ClusterRows(client, path, "y")
    of_cluster = TrainingObjective(Network((p, 1)), loss, rows)
    params = np.full(p + 1, 0.01)

    def passing(objective: TrainingObjective, order: int) -> Callable[[], None]:
        def work() -> None:
            with one_blas_thread():
                objective.evaluate(params, order)

        return work

    contenders = {
        "gradient, in process": passing(of_process, 1),
        "gradient, cluster": passing(of_cluster, 1),
        "Hessian, in process": passing(of_process, 2),
        "Hessian, cluster": passing(of_cluster, 2),
        "nothing, cluster": lambda: rows.sum(lambda chunk: 0.0),
    }
    times = in_turn(contenders, rounds, lambda: process_time() + sum(client.run(process_time).values()))
    for name, (seconds, busy) in times.items():
        median = statistics.median(seconds)
        print(
            f"{name:22} best {min(seconds) * 1e3:7.1f} ms   median {median * 1e3:7.1f} ms a pass   CPU "
            f"{min(busy) * 1e3:7.1f} ms"
        )
    for what in ("gradient", "Hessian"):
        there, here = times[f"{what}, cluster"], times[f"{what}, in process"]
        ratio = statistics.median(a / b for a, b in zip(there.seconds, here.seconds, strict=True))
        best, cpu = min(there.seconds) / min(here.seconds), min(there.busy) / min(here.busy)
        found = f"{ratio - 1.0:+.0%} in the median round, {best - 1.0:+.0%} at best, {cpu - 1.0:+.0%} in CPU"
        print(f"{what}: overhead {found}")


def value(X: np.ndarray, y: np.ndarray, w: np.ndarray, b: float, with_intercept: bool) -> float:
    z = X @ w + b
    losses = np.logaddexp(0.0, z) - y * z
    return float(losses.sum() + 0.5 * w @ w + (0.5 * b * b if with_intercept else 0.0))


def optima(client: Any, path: Path, X: np.ndarray, y: np.ndarray) -> None:
    from sklearn.linear_model import LogisticRegression

    started = perf_counter()
    exact = LogisticRegression(solver="newton-cholesky", tol=1e-12, max_iter=100).fit(X, y)
    lowest = value(X, y, exact.coef_[0], exact.intercept_[0], False)
    print(f"{'scikit-learn, newton-cholesky':34} {perf_counter() - started:7.2f} s, in this process")

    def told(name: str, seconds: float, w: np.ndarray, b: float, least: float, best: np.ndarray) -> None:
        above = value(X, y, w, b, least != lowest) - least
        print(f"{name:34} {seconds:7.2f} s   objective above {above:9.1e}   coefficients off {abs(w - best).max():.1e}")

    started = perf_counter()
    rows = ClusterRows(client, path, "y")
    print(f"{'newtron, columns learnt, rows held':34} {perf_counter() - started:7.2f} s")
    for solver in ("auto", "newton"):
        started = perf_counter()
        model = PerceptronClassifier(alpha=1.0, solver=solver).fit_rows(rows)
        taken = perf_counter() - started
        told(f"newtron, {solver}", taken, model.coef_[0], model.intercept_[0], lowest, exact.coef_[0])
    of_dask_ml(path, X, y, told)
    of_spark(path, told, lowest, exact.coef_[0])


def of_dask_ml(path: Path, X: np.ndarray, y: np.ndarray, told: Callable[..., None]) -> None:
    from sklearn.linear_model import LogisticRegression

    try:
        from dask_ml.linear_model import LogisticRegression as DaskLogistic
    except ImportError:
        print("dask-ml is not installed")
        return
    import dask.array as da
    import dask.dataframe as dd

    frame = dd.read_parquet(path)
    names = [name for name in frame.columns if name != "y"]
    dX = frame[names].to_dask_array(lengths=True).persist()
    dy = frame["y"].to_dask_array(lengths=True).persist()
    da.compute(dX.sum(), dy.sum())
    # Its penalty is on the intercept too: the exact optimum of that, where the intercept is one more column.
    ones = np.column_stack([X, np.ones(len(X))])
    best = LogisticRegression(solver="newton-cholesky", tol=1e-12, max_iter=100, fit_intercept=False).fit(ones, y)
    least = value(X, y, best.coef_[0, :-1], best.coef_[0, -1], True)
    for solver in ("lbfgs", "newton", "admm"):
        started = perf_counter()
        with warnings.catch_warnings(action="ignore"):
            model = DaskLogistic(solver=solver, C=1.0).fit(dX, dy)
        taken = perf_counter() - started
        told(f"dask-ml, {solver}", taken, np.ravel(model.coef_), float(model.intercept_), least, best.coef_[0, :-1])


def of_spark(path: Path, told: Callable[..., None], lowest: float, best: np.ndarray) -> None:
    if importlib.util.find_spec("pyspark") is None or shutil.which("java") is None:
        print("pyspark or a JVM is not installed")
        return
    from pyspark.ml.classification import LogisticRegression
    from pyspark.ml.feature import VectorAssembler
    from pyspark.sql import SparkSession

    cores = len(os.sched_getaffinity(0))
    session = SparkSession.builder.master(f"local[{cores}]").config("spark.driver.memory", "6g")
    spark = session.config("spark.ui.enabled", "false").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    frame = spark.read.parquet(str(path))
    names = [name for name in frame.columns if name != "y"]
    rows = VectorAssembler(inputCols=names, outputCol="features").transform(frame).select("features", "y").cache()
    n = rows.count()
    for tol in (1e-6, 1e-12):
        started = perf_counter()
        # Its objective is the mean loss plus regParam / 2 times the squares.
        model = LogisticRegression(labelCol="y", regParam=1.0 / n, standardization=False, tol=tol, maxIter=500).fit(
            rows
        )
        w, b = np.array(model.coefficients), float(model.intercept)
        told(f"Spark MLlib, tol={tol:g}", perf_counter() - started, w, b, lowest, best)
    spark.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of each worker")
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--no-optima", action="store_true")
    options = parser.parse_args()
    from distributed import Client, LocalCluster

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        X, y = write(path, options.workers * options.rows, options.columns)
        settings = {"dashboard_address": None, "scheduler_kwargs": {"dashboard_address": ":0"}}
        cluster = LocalCluster(n_workers=options.workers, threads_per_worker=1, local_directory=folder, **settings)
        with cluster, Client(cluster) as client:
            print(f"{options.workers} workers of {options.rows:,} rows x {options.columns} columns each")
            overhead(client, path, X, y, options.workers, options.rounds)
            if not options.no_optima:
                optima(client, path, X, y)


if __name__ == "__main__":
    main()
