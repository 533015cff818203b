"""What random intercepts of a perceptron cost from files and from memory: python benchmarks/mixed_rows.py

Writes a Parquet file of random numbers (--rows x 5 columns, 500 towns, 50 months), and fits
`PerceptronRegressor(intercepts=["town", "month"])` on one thread, in a process of its own each: by `newtron.FileRows`
under --memory bytes, and from a frame that is read at once. Prints the CPU seconds of each step and the peak memory of
the process at its end; a pass that only reads is the floor of the pass that adds up cells.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import process_time

import numpy as np
import pandas as pd

from newtron import FileRows, PerceptronRegressor
from newtron.table.choices import ColumnChoices
from newtron.training import mixed


def write(path: Path, rows: int) -> None:
    rng = np.random.default_rng(0)
    town, month, X = rng.integers(0, 500, rows), rng.integers(0, 50, rows), rng.normal(size=(rows, 5))
    y = X.sum(axis=1) + 2.0 * rng.normal(size=500)[town] + rng.normal(size=50)[month] + rng.normal(size=rows)
    frame = pd.DataFrame(X, columns=[f"x{number}" for number in range(5)])
    frame.assign(town=[f"town {t}" for t in town], month=month, y=y).to_parquet(path, row_group_size=100_000)


class Laps:
    """Tells the CPU time since the last step, from the start of the process on, and the peak memory so far."""

    def __init__(self) -> None:
        self.before = 0.0

    def tell(self, step: str) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
        print(f"  {step:32} {process_time() - self.before:6.2f} CPU s   peak {peak:5.0f} MB", flush=True)
        self.before = process_time()


def fitted(path: Path, memory: float | None) -> None:
    """Fit from the file under this memory; None: from memory."""
    added, laps = list[float](), Laps()
    laps.tell("Python and its libraries")
    plain = mixed.mixed_rows

    def timed(*given: object, **settings: object) -> mixed.MixedRows:
        before = process_time()
        found: mixed.MixedRows = plain(*given, **settings)  # type: ignore[arg-type]
        added.append(process_time() - before)
        return found

    vars(mixed)["mixed_rows"] = timed
    model = PerceptronRegressor(intercepts=["town", "month"], n_jobs=1)
    if memory is None:
        frame = pd.read_parquet(path)
        laps.tell("reading the frame")
        model.fit(frame.drop(columns="y"), frame["y"])
    else:
        rows = FileRows(path, "y", choices=ColumnChoices(factors=("town",)), memory=memory, n_jobs=1)
        laps.tell("learning the columns")
        rows.sum(lambda chunk: float(chunk.X[-1, 0]))
        laps.tell("a pass that only reads")
        model.fit_rows(rows)
    laps.tell("the fit")
    told = ", ".join(f"{part.name} {part.variance:.10g}" for part in model.summary().variance_components)
    print(f"  {'of it adding up cells':32} {added[0]:6.2f} CPU s   variances: {told}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--memory", type=float, default=100e6)
    parser.add_argument("--path", type=Path, help="the file of one step, which a process of its own does")
    parser.add_argument("--step", choices=("write", "file", "memory"), default="file", help="with --path: the step")
    options = parser.parse_args()
    if options.path is not None and options.step == "write":
        write(options.path, options.rows)
        return
    if options.path is not None:
        fitted(options.path, options.memory if options.step == "file" else None)
        return
    with tempfile.TemporaryDirectory() as folder:
        asked = ["--path", str(Path(folder) / "rows.parquet"), "--rows", str(options.rows)]
        for step in ("write", "file", "memory"):
            name = {"write": "written", "file": f"from the file, {options.memory / 1e6:g} MB", "memory": "from memory"}
            print(f"{options.rows:,} rows {name[step]}", flush=True)
            subprocess.run(
                [sys.executable, __file__, *asked, "--memory", str(options.memory), "--step", step], check=True
            )


if __name__ == "__main__":
    main()
