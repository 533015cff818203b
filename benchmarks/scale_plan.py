"""What a fit on a large cluster would take, on paper: python benchmarks/scale_plan.py [--measure]

Prints the plan for 1e10 rows of 200 columns on 100 workers of 16 threads, from costs that were measured on one core and
two processes and are written below; --measure measures them here and now (about two minutes) and prints the plan from
those. Costs of computing are the least of many short runs. What no small machine shows is assumed and said to be: the
network and the disks. Other sizes: --rows, --columns, --workers, --threads.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np


@dataclass(frozen=True)
class Costs:
    """Seconds. gradient, hessian, reading: of a row of 200 columns on one thread, reading from Parquet (float64, in the
    cache of the system) to an array. task: of one more task in a pass, for the client and the scheduler. trip: of a
    pass of one task over nothing. merging: of adding two matrices of 201 x 201, copied first as a worker does."""

    gradient: float
    hessian: float
    reading: float
    task: float
    trip: float
    merging: float


# On one core of a busy virtual machine (AVX-512), Python 3.11, NumPy 2.4, Dask 2026.8: the least of two runs.
MEASURED = Costs(gradient=1.1e-7, hessian=1.6e-6, reading=2.1e-6, task=1.2e-3, trip=9.5e-3, merging=3.2e-5)
_COLUMNS, _ROWS = 200, 32_768
# Bytes a second: of a worker's network, and of what feeds a worker from storage.
NETWORK, STORAGE = 1e9, 1e9
_FAN_IN = 8
# Passes of a fit: gradients of L-BFGS on the curvature of a sample, Hessians of Newton's method; two passes more find
# the columns' meaning and the certificate.
_PASSES = {"L-BFGS, gradients": 10, "Newton, summed Hessians": 6}


def least(work: Callable[[], object], seconds: float = 5.0) -> float:
    found, until = math.inf, perf_counter() + seconds
    while perf_counter() < until:
        started = perf_counter()
        work()
        found = min(found, perf_counter() - started)
    return found


def measured() -> Costs:
    from newtron import ClusterRows
    from newtron.cluster.sums import Sums, merged
    from newtron.engine.base.threads import one_blas_thread
    from newtron.engine.maths.losses import loss_for
    from newtron.engine.maths.network import Network
    from newtron.engine.objective import TrainingObjective
    from newtron.engine.rows import ArrayRows, Chunk

    rng = np.random.default_rng(0)
    X = np.asfortranarray(rng.normal(size=(_ROWS, _COLUMNS)))
    y = (X[:, :1] + rng.logistic(size=(_ROWS, 1)) > 0).astype(float)
    network = Network((_COLUMNS, 1))
    objective = TrainingObjective(network, loss_for("classification", None, 1), ArrayRows(X, y))
    params, chunk = np.full(network.n_params, 0.01), Chunk(X, y, None, slice(0, _ROWS))
    objective.evaluate(params, 1)
    with one_blas_thread():
        gradient, hessian = (least(partial(objective.of_chunk, params, chunk, order)) / _ROWS for order in (1, 2))

    def sums(number: int) -> Sums:
        found = Sums(2)
        found.put(0, number, np.ones((_COLUMNS + 1, _COLUMNS + 1)))
        return found

    merging = least(lambda: merged([sums(0), sums(1)]), 1.0)
    import pyarrow as pa
    import pyarrow.parquet as pq
    from distributed import Client, LocalCluster

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        table = pa.table([*map(pa.array, X.T), pa.array(y[:, 0])], names=[*(f"x{i}" for i in range(_COLUMNS)), "y"])
        pq.write_table(table, path, row_group_size=16_384)
        trips = {}
        for threads in (1, 64):  # on one thread all parts are one task, on many each is its own
            settings: dict[str, Any] = {"n_workers": 1, "threads_per_worker": threads, "dashboard_address": None}
            settings["scheduler_kwargs"] = {"dashboard_address": ":0"}
            with LocalCluster(**settings, local_directory=folder) as cluster, Client(cluster) as client:
                small = Path(folder) / f"small{threads}"
                small.mkdir(exist_ok=True)
                for number in range(64):
                    pq.write_table(table.select(["x0", "y"]).slice(number, 2), small / f"{number:02}.parquet")
                rows = ClusterRows(client, small, "y", task="regression")
                trips[threads] = least(partial(rows.sum, lambda chunk: 0.0), 10.0)
                if threads == 1:
                    source = rows_read(path)
                    reading = least(source) / _ROWS
    return Costs(gradient, hessian, reading, max(0.0, (trips[64] - trips[1]) / 63), trips[1], merging)


def rows_read(path: Path) -> Callable[[], None]:
    from newtron import FileRows

    source = FileRows(path, "y", n_jobs=1).source

    def work() -> None:
        for cut in source.read(range(len(source.sizes))):
            cut.X()

    return work


@dataclass(frozen=True)
class Size:
    rows: float = 1e10
    columns: int = 200
    workers: int = 100
    threads: int = 16


def amount(seconds: float) -> str:
    for unit, length in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.2g} s" if seconds >= 0.095 else f"{1e3 * seconds:.2g} ms"


class Part(NamedTuple):
    """One part of a pass, and the seconds that it takes for a gradient and for a Hessian."""

    name: str
    seconds: tuple[float, float]


def plan(costs: Costs, size: Size) -> str:
    tasks = size.workers * size.threads
    wide, parameters = size.columns / _COLUMNS, size.columns + 1
    share = size.rows / tasks
    cells = 8.0 * size.rows * (size.columns + 1)
    levels = math.ceil(math.log(tasks, _FAN_IN))
    lines = [
        f"{size.rows:.0e} rows x {size.columns} columns, {size.workers} workers of {size.threads} threads: "
        f"{cells / 1e12:.3g} TB of numbers, {cells / size.workers / 1e9:,.0f} GB for each worker,",
        f"{share:,.0f} rows for each thread; {tasks:,} tasks a pass, merged in {levels} levels of {_FAN_IN}.",
        f"Assumed: {NETWORK / 1e9:g} GB/s between workers, {STORAGE / 1e9:g} GB/s of storage for each worker.",
        "",
        f"{'one pass':42}{'gradient':>12}{'Hessian':>12}",
    ]

    def row(name: str, gradient: float, hessian: float) -> Part:
        lines.append(f"{name:42}{amount(gradient):>12}{amount(hessian):>12}")
        return Part(name, (gradient, hessian))

    computing = row("computing, each thread its share", share * costs.gradient * wide, share * costs.hessian * wide**2)
    decoding = row("reading: Parquet to numbers", share * costs.reading * wide, share * costs.reading * wide)
    fed = cells / size.workers / STORAGE
    storage = row("reading: from storage, beside that", fed, fed)
    sent = 8.0 * parameters * size.workers / NETWORK
    trips = row("client and scheduler, task by task", *(2 * [costs.trip + tasks * (1 + 1 / _FAN_IN) * costs.task]))
    returned = [levels * _FAN_IN * 8.0 * many / NETWORK for many in (parameters, parameters**2)]
    adding = costs.merging * levels * _FAN_IN * wide**2
    moved = row(
        "iterate out, sums back and merged", sent + returned[0] + adding / parameters, sent + returned[1] + adding
    )
    c, d, s, t, m = (part.seconds for part in (computing, decoding, storage, trips, moved))
    held = [c[i] + t[i] + m[i] for i in (0, 1)]
    read = [max(c[i] + d[i], s[i]) + t[i] + m[i] for i in (0, 1)]
    row("a pass, rows held in memory", held[0], held[1])
    row("a pass, rows read again", read[0], read[1])
    lines += ["", f"{'a fit, with two passes more to learn the columns':50}{'rows held':>12}{'read again':>12}"]
    for number, (name, passes) in enumerate(_PASSES.items()):
        reading = 2 * read[0]
        times = [reading + passes * held[number], reading + passes * read[number]]
        lines.append(f"{f'{name}, {passes} passes':50}{amount(times[0]):>12}{amount(times[1]):>12}")
    for title, terms in (
        ("rows held", [computing, trips, moved]),
        ("rows read again", [computing, decoding, storage, trips, moved]),
    ):
        worst = [max((part.seconds[i], part.name) for part in terms)[1] for i in (0, 1)]
        found = worst[0] if worst[0] == worst[1] else f"{worst[0]} (gradient); {worst[1]} (Hessian)"
        lines.append(f"Bottleneck, {title}: {found}.")
    grows = costs.task * tasks / (share * costs.gradient * wide)
    lines.append(
        f"Client and scheduler take {grows:.1f} times as long as computing a gradient, and as long with "
        f"{even(costs, size):,.0f} workers."
    )
    return "\n".join(lines)


def even(costs: Costs, size: Size) -> float:
    """Workers at which client and scheduler take as long as computing a gradient does."""
    wide = size.columns / _COLUMNS
    return math.sqrt(size.rows * costs.gradient * wide / costs.task) / size.threads


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for field in fields(Size):
        kind = float if field.name == "rows" else int
        parser.add_argument(f"--{field.name}", type=kind, default=field.default)
    parser.add_argument("--measure", action="store_true")
    options = vars(parser.parse_args())
    costs = MEASURED
    if options.pop("measure"):
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        costs = measured()
        print(costs, end="\n\n")
    print(plan(costs, Size(**options)))


if __name__ == "__main__":
    main()
