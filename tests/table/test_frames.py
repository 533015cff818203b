"""Data frames as tables: every type of cell, every library, and a sentence for what no table can hold."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp

from newtron import InputError
from newtron.table import encode, learn_schema
from newtron.table.cells import plain
from newtron.table.frames import is_frame, table_of


def test_what_a_frame_is() -> None:
    frame = pd.DataFrame({"a": [1]})
    frames = [
        frame,
        nw.from_native(frame),
        pl.DataFrame({"a": [1]}),
        pl.LazyFrame({"a": [1]}),
        pa.table({"a": [1]}),
        pa.record_batch({"a": [1]}),
    ]
    assert all(map(is_frame, frames))
    others = [np.zeros((2, 2)), [[1.0]], sp.csr_array((2, 2)), frame["a"], pl.Series([1]), None, {"a": [1]}, "a.csv"]
    assert not any(map(is_frame, others))
    for each in frames:
        table = table_of(each)
        assert (table.names, table.n_rows, table.path, table.row_number(0)) == (("a",), 1, "X", 1)


def test_every_column_of_pandas() -> None:
    frame = pd.DataFrame(
        {
            "float": [1.0, np.nan],
            "swapped": np.array([1, 2], ">f8"),
            "bool": [True, False],
            "text": ["x", None],
            7: [3, 4],
            "nullable": pd.array([1, None], "Int64"),
            "nullable bool": pd.array([True, None], "boolean"),
            "arrow": pd.array(["x", None], "string[pyarrow]"),
            "object": pd.Series([1, 2.5], dtype=object),
            "codes": pd.Categorical([5, 6]),
            "cut": pd.cut([1, 20], [0, 18, 65]),
            "period": pd.period_range("2020-01", periods=2, freq="M"),
            "interval": pd.interval_range(0, 2),
            "sparse": pd.Series([1, 0], dtype="Sparse[int]"),
            "zone": pd.to_datetime(pd.Series(["2020-01-01", None])).dt.tz_localize("Europe/Berlin"),
            "duration": pd.to_timedelta([36, None], unit="h"),
            "time": [datetime.time(13, 30), None],
            "decimal": [decimal.Decimal("1.5"), None],
            "labels": pd.Categorical(["x", 3]),
        }
    )
    frame.index = pd.Index(["row", "row"])
    before = frame.copy(deep=True)
    table = table_of(frame)
    pd.testing.assert_frame_equal(frame, before)
    cells = {name: plain(table.column(name)).to_pylist() for name in table.names}
    assert cells == {
        "float": [1.0, None],
        "swapped": [1.0, 2.0],
        "bool": [True, False],
        "text": ["x", None],
        "7": [3, 4],
        "nullable": [1, None],
        "nullable bool": [True, None],
        "arrow": ["x", None],
        "object": [1.0, 2.5],
        "codes": [5, 6],
        "cut": ["(0, 18]", "(18, 65]"],
        "period": [datetime.datetime(2020, 1, 1), datetime.datetime(2020, 2, 1)],
        "interval": ["(0, 1]", "(1, 2]"],
        "sparse": [1, 0],
        "zone": [pd.Timestamp("2020-01-01", tz="Europe/Berlin"), None],
        "duration": [1.5, None],
        "time": [13.5, None],
        "decimal": [1.5, None],
        "labels": ["x", "3"],
    }


def test_columns_of_numbers_are_not_copied() -> None:
    frame = pd.DataFrame({"a": np.arange(1000.0)})
    arrow = table_of(frame).column("a")
    assert arrow.buffers()[1].address == frame["a"].to_numpy().__array_interface__["data"][0]


def test_ordered_categories_keep_their_order() -> None:
    levels = ["low", "middle", "high"]
    values = ["high", "low", "high"]
    kind = pd.CategoricalDtype(levels, ordered=True)
    for frame in (
        pd.DataFrame({"size": pd.Series(values, dtype=kind)}),
        pl.DataFrame({"size": pl.Series(values, dtype=pl.Enum(levels))}),
    ):
        column = table_of(frame).column("size")
        assert column.type.ordered
        assert column.dictionary.to_pylist() == levels


def _mixed() -> pd.DataFrame:
    return pd.DataFrame({"a": [None, 1, "x"]})


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        (_mixed, "X, column 'a': row 2 holds 1 (int) and row 3 'x' (str); convert the column to one type"),
        (lambda: pd.DataFrame({"a": [True, 1]}), "row 1 holds True (bool) and row 2 1 (int)"),
        (lambda: pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns are both named 'a'"),
        (lambda: pa.table([[1], [2]], names=["a", "a"]), "two columns are both named 'a'"),
        (lambda: pd.DataFrame([[1, 2]], columns=[1, "1"]), "the columns 1 and '1' have the same name as text"),
        (lambda: pd.DataFrame([[1]], columns=pd.MultiIndex.from_tuples([(1, 2)])), "have 2 levels"),
        (lambda: pd.DataFrame({"a": [1j]}), "X, column 'a': its cells of type complex128 cannot be read"),
        (lambda: pd.DataFrame({"a": []}), "the frame has no rows"),
        (lambda: pl.DataFrame(), "the frame has no columns"),
    ],
)
def test_what_no_table_can_hold_is_a_sentence(frame: Callable[[], object], sentence: str) -> None:
    with pytest.raises(InputError) as error:
        table_of(frame())
    assert sentence in str(error.value)
    assert str(error.value).endswith(".")
    assert "\n" not in str(error.value)


def test_durations_and_times_are_numbers_of_the_model() -> None:
    frame = pl.DataFrame(
        {
            "waited": [datetime.timedelta(hours=12 * k) for k in range(6)],
            "at": [datetime.time(k, 30) for k in range(6)],
            "y": [0.0, 1.5, 2.0, 1.0, 3.0, 2.0],
        }
    )
    table = table_of(frame)
    schema = learn_schema(table, "y")
    assert [column.kind for column in schema.columns] == ["number", "number"]
    X = encode(schema, table).X
    np.testing.assert_array_equal(X, np.column_stack([np.arange(6) / 2.0, np.arange(6) + 0.5]))
