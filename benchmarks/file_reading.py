"""How fast a file larger than memory is read for training, beside the bare reader: python benchmarks/file_reading.py

Writes a Parquet file of random numbers once (--rows x --columns float32, row groups of 131,072), then times in turn, in
fresh rounds: the bare reader (ParquetFile(pre_buffer=False), batches dropped), the bare reader with its cells copied to
an array of float64, and one gradient pass of a logistic perceptron over `newtron.FileRows`, whose reading overlaps with
computing. Prints the best and the median of the rounds in MB of cells a second, the CPU time of a pass (the least of
all rounds, all threads together), and the peak memory of the process.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from newtron import FileRows
from newtron.engine.base.threads import one_blas_thread
from newtron.engine.maths.losses import loss_for
from newtron.engine.maths.network import Network
from newtron.engine.objective import TrainingObjective

_GROUP = 131_072


def write(path: Path, rows: int, columns: int) -> None:
    rng = np.random.default_rng(0)
    names = [f"x{number}" for number in range(columns)]
    schema = pa.schema([*((name, pa.float32()) for name in names), ("y", pa.int8())])
    with pq.ParquetWriter(path, schema) as file:
        for start in range(0, rows, _GROUP):
            X = rng.normal(size=(min(_GROUP, rows - start), columns)).astype(np.float32)
            y = (X[:, 0] + rng.logistic(size=len(X)) > 0).astype(np.int8)
            file.write_table(pa.table([*(pa.array(column) for column in X.T), pa.array(y)], schema=schema))


def bare(path: Path, batch: int, copied: bool) -> None:
    with pq.ParquetFile(path, pre_buffer=False) as file:
        for piece in file.iter_batches(batch_size=batch):
            if copied:
                out = np.empty((piece.num_rows, piece.num_columns), order="F")
                for number, column in enumerate(piece.columns):
                    out[:, number] = column.to_numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", type=float, default=1e9)
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "big.parquet"
        write(path, options.rows, options.columns)
        rows = FileRows(path, "y", memory=options.memory, n_jobs=options.threads)
        objective = TrainingObjective(Network((options.columns, 1)), loss_for("classification", None, 1), rows)
        params = np.full(options.columns + 1, 0.01)
        batch = rows.source.chunk_bytes // (8 * (options.columns + 1))

        def one_pass() -> None:
            with one_blas_thread():
                objective.evaluate(params, 1)

        contenders: dict[str, Callable[[], None]] = {
            "bare reader": lambda: bare(path, batch, False),
            "bare reader, copied to float64": lambda: bare(path, batch, True),
            "newtron, gradient pass": one_pass,
        }
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        busy: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(options.rounds):
            for name, work in contenders.items():
                started, before = perf_counter(), process_time()
                work()
                seconds[name].append(perf_counter() - started)
                busy[name].append(process_time() - before)
        size = options.rows * (4 * options.columns + 1) / 1e6
        print(f"{size:,.0f} MB of cells, {len(os.sched_getaffinity(0))} cores, batches of {batch:,} rows")
        for name, times in seconds.items():
            best, median = size / min(times), size / statistics.median(times)
            print(f"{name:32} best {best:6.0f} MB/s   median {median:6.0f} MB/s   CPU {min(busy[name]):.3f} s a pass")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"peak memory of the process {peak:.2f} GB, the setting {options.memory / 1e9:g} GB")


if __name__ == "__main__":
    main()
