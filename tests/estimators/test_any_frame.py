"""Any frame: random types, missing cells and odd names go through fit, save, load and export, and every door predicts
alike."""

from __future__ import annotations

import datetime
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from support.consumers import CONSUMERS

from newtron import InputError, PerceptronRegressor, SchemaWarning, load
from newtron.cli import main
from newtron.table.frames import table_of

N = 24
DAY = datetime.date(2020, 1, 1)
# Letters of names: what CSV, regular expressions, Excel and HTML take for something else, and other alphabets. A first
# row that holds nothing but numbers is no row of names to the command, and a name in apostrophes is one in quotation
# marks.
NAMES = st.text("abx1=,;:\"'|<>&%$#@()[]{}\\/.-_ éßΩ日本", min_size=1, max_size=8).map(str.strip)
NAMES = NAMES.filter(lambda name: bool(name.strip("1,.- ")) and not (name[0] == name[-1] == "'"))
WORDS = ["red", "green", "deep blue", "naïve", "a,b", 'say "so"', "x=y"]
LEVELS = pd.CategoricalDtype(["low", "middle", "high"], ordered=True)
KINDS = (
    "float",
    "float32",
    "whole",
    "nullable",
    "bool",
    "nullable bool",
    "text",
    "category",
    "ordered",
    "day",
    "moment",
)


def column(kind: str, seed: int, gaps: bool) -> pd.Series[Any]:
    """A column of this kind, of which cells are missing where it can."""
    rng = np.random.default_rng(seed)
    made: dict[str, Any] = {
        "float": lambda: pd.Series(rng.normal(size=N) * 10.0 ** rng.integers(-5, 5)),
        "float32": lambda: pd.Series(rng.normal(size=N).astype(np.float32)),
        "whole": lambda: pd.Series(rng.integers(-9, 99, N)),
        "nullable": lambda: pd.Series(rng.integers(-9, 99, N)).astype("Int64"),
        "bool": lambda: pd.Series(rng.random(N) < 0.5),
        "nullable bool": lambda: pd.Series(rng.random(N) < 0.5).astype("boolean"),
        "text": lambda: pd.Series(rng.choice(WORDS, N)),
        "category": lambda: pd.Series(rng.choice(WORDS[:4], N)).astype("category"),
        "ordered": lambda: pd.Series(rng.choice(LEVELS.categories, N)).astype(LEVELS),
        "day": lambda: pd.Series([DAY + datetime.timedelta(int(k)) for k in rng.integers(0, 99, N)]),
        "moment": lambda: pd.Series(pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 9**6, N), unit="s")),
    }
    found: pd.Series[Any] = made[kind]()
    if gaps and kind not in ("whole", "bool"):
        found[rng.random(N) < 0.2] = None
    return found


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    names = draw(st.lists(NAMES, min_size=2, max_size=5, unique_by=str.casefold))
    seeds = st.integers(0, 2**31)
    columns = {name: column(draw(st.sampled_from(KINDS)), draw(seeds), draw(st.booleans())) for name in names}
    # A row without any value is predicted by an estimator, and left empty by the command.
    first = names[0]
    if columns[first].isna().any():
        columns[first] = column("whole", draw(seeds), False)
    return pd.DataFrame(columns)


@pytest.mark.slow
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(frame=frames(), seed=st.integers(0, 99))
def test_any_frame_is_predicted_alike_by_every_door(frame: pd.DataFrame, seed: int, tmp_path: Path) -> None:
    y = np.random.default_rng(seed).normal(size=N)
    before = frame.copy(deep=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SchemaWarning)
        try:
            model = PerceptronRegressor(alpha=1.0, standardize=True).fit(frame, y)
        except InputError as error:
            if "no column is left" not in str(error):
                raise
            assume(False)
        expected = model.predict(frame)
        assert expected.shape == (N,)
        assert np.isfinite(expected).all()
        model.save(tmp_path / "m.newtron")
        again = load(tmp_path / "m.newtron")
        np.testing.assert_array_equal(again.predict(frame), expected)
        # Where all columns are float32, a library that hands them over as float64 gives more digits.
        single = any(dtype == np.float32 for dtype in frame.dtypes)
        precision = 1e-5 if single and model.model_.data.schema is None else 1e-9
        doors = [pl.from_pandas(frame), pa.Table.from_pandas(frame, preserve_index=False), frame[frame.columns[::-1]]]
        for other in doors if model.model_.data.schema is not None else doors[:2]:
            np.testing.assert_allclose(again.predict(other), expected, rtol=precision, atol=1e-3 * precision)
        assert again.predict(frame[:1]).shape == (1,)
    pd.testing.assert_frame_equal(frame, before)
    if single:
        return  # a file has other digits of float32
    cells = {str(name): cells for name, cells in table_of(frame).data.to_pydict().items()}
    for consumer in ("python", "onnx", "sqlite") if model.model_.data.schema is not None else ():
        found = CONSUMERS[consumer](model.model_, cells, tmp_path)["prediction"]
        np.testing.assert_allclose(found[:, 0], expected, rtol=1e-9, atol=1e-12, err_msg=consumer)
    frame.to_csv(tmp_path / "d.csv", index=False)
    code = main(["predict", str(tmp_path / "m.newtron"), str(tmp_path / "d.csv"), "--output", str(tmp_path / "p.csv")])
    assert code == 0
    np.testing.assert_allclose(pd.read_csv(tmp_path / "p.csv")["prediction"], expected, rtol=1e-9, atol=1e-12)
