"""A frame with a column of every kind, and the files that it is written to."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq


def everything(n: int = 1500) -> pd.DataFrame:
    """A column of every kind, cells missing, rows without a target."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "id": np.arange(n),
            "size": rng.normal(100.0, 3.0, n),
            "small": rng.normal(size=n).astype(np.float32),
            "whole": rng.integers(-5, 50, n),
            "gap": np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n)),
            "gap too": rng.normal(size=n),
            "colour": rng.choice(["red", "green", "blue", "rare", "odd"], n, p=[0.5, 0.3, 0.199, 0.0005, 0.0005]),
            "smokes": rng.choice(["yes", "no"], n),
            "flag": rng.random(n) < 0.3,
            "day": pd.Timestamp("2024-01-31") + pd.to_timedelta(rng.integers(0, 400, n), unit="D"),
            "text day": [
                f"2023-{m:02}-{d:02}" for m, d in zip(rng.integers(1, 13, n), rng.integers(1, 29, n), strict=True)
            ],
            "same": 7,
            "nothing": np.full(n, np.nan),
            "name": [f"person {i}" for i in range(n)],
            "almost": [str(i) if i != 40 else "forty" for i in range(n)],
        }
    )
    frame["gap too"] = np.where(frame["gap"].isna(), np.nan, frame["gap too"])
    frame.loc[frame.index % 97 == 0, "colour"] = None
    z = np.tanh(frame["small"]) + 0.1 * (frame["size"] - 100.0) + (frame["colour"] == "red")
    frame["y"] = z + 0.3 * rng.normal(size=n)
    frame["kind"] = np.array(["low", "middle", "high"])[np.digitize(frame["y"], [0.0, 1.0])]
    frame["answer"] = np.where(frame["y"] + rng.normal(size=n) > 0.5, "yes", "no")
    for name in ("y", "kind", "answer"):
        frame[name] = frame[name].where(frame.index % 50 != 13, None)
    return frame


def written(frame: pd.DataFrame, path: Path, rows: int = 130) -> Path:
    """As Parquet with small row groups, an Arrow file, or a folder of three files."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=rows)
    elif path.suffix == ".arrow":
        with pa.ipc.new_file(path, table.schema) as file:
            file.write_table(table, max_chunksize=rows)
    else:
        path.mkdir()
        edges = [0, len(frame) // 3, len(frame) // 2, len(frame)]
        for i, (a, b) in enumerate(pairwise(edges)):
            pq.write_table(table.slice(a, b - a), path / f"part-{i}.parquet", row_group_size=rows)
    return path
