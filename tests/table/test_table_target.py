"""The column to predict: which task it makes, its classes, and what it says when it cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from newtron.engine.base.errors import InputError
from newtron.table import Table, Target, encode_target, learn_schema, read_table

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"the data file shared/data/{name} is not beside this checkout")
    return path


def table_of(**columns: Any) -> Table:
    return Table("t.csv", pa.table(columns))


def training() -> Table:
    return table_of(
        number=[1.0, 2.0, None, 6.0, 1.0, 5.0],
        whole=[1, 2, 3, 6, 2, 2],
        flag=["yes", "no", "Yes", None, "no", "no"],
        level=["a", "a", "b", "c", "a", "a"],
        gap=["u", None, "u", "v", "v", "u"],
        day=["1970-01-02", "1970-01-03 12:00", "1970-01-01T02:00+02:00", "1969-12-31", "1970-01-05", None],
        y=[1.5, 2.5, 3.5, 4.5, 5.5, 6.5],
    )


def target_of(values: Any, **settings: Any) -> Target:
    values = pa.array(values)
    return learn_schema(table_of(x=[float(i * i) for i in range(len(values))], y=values), "y", **settings).target


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        (["b", "a"] * 5, "classification", ("a", "b")),
        ([True, False] * 5, "classification", (False, True)),
        (["no", "yes"] * 5, "classification", ("no", "yes")),
        ([-1, 1] * 5, "classification", (-1, 1)),
        ([0.0, 1.0, None] * 5, "classification", (0, 1)),
        ([0.5, 1.5] * 5, "regression", ()),
        ([1, 2, 3] * 20, "classification", (1, 2, 3)),
        ([1, 2, 3] * 19, "regression", ()),
        ([2, 3, 4] * 20, "regression", ()),
        ([0, 1, 3] * 20, "regression", ()),
        (list(range(10)) * 20, "classification", tuple(range(10))),
        (list(range(11)) * 20, "regression", ()),
        (list(range(24)), "regression", ()),
    ],
)
def test_the_task_is_found(values: list[Any], task: str, classes: tuple[Any, ...]) -> None:
    target = target_of(values)
    assert (target.task, target.classes) == (task, classes)
    assert [type(label) for label in target.classes] == [type(label) for label in classes]
    assert target.task in target.why
    assert "'y'" in target.why


def test_the_task_can_be_asked_for() -> None:
    assert target_of([0, 1] * 5, task="regression").task == "regression"
    assert target_of([2, 3, 4] * 5, task="classification").classes == (2, 3, 4)
    assert target_of([0.5, 1.5] * 5, task="classification").classes == (0.5, 1.5)
    assert "as asked" in target_of([0, 1] * 5, task="regression").why


@pytest.mark.parametrize(
    ("values", "settings", "parts"),
    [
        (["a", "b"] * 5, {"task": "regression"}, ["'a'", "text"]),
        ([*map(str, range(20)), "oops"], {"task": "regression"}, ["row 22", "'oops'"]),
        ([*(f"{i}.5" for i in range(20)), "oops"], {}, ["row 22", "'oops'"]),
        (["a"] * 5, {}, ["only class is 'a'"]),
        ([1.5] * 5, {}, ["1.5 in every row"]),
        ([3] * 5, {}, ["only class is 3"]),
        ([3] * 5, {"task": "regression"}, ["3 in every row"]),
        ([f"c{i % 101}" for i in range(1010)], {}, ["101 classes", "too many"]),
        (list(range(30)), {"task": "classification"}, ["30 classes in 30 rows", "regression"]),
        (["a", "b", "c", "a", "b"], {}, ["3 classes in 5 rows"]),
        ([None] * 5, {}, ["every cell is missing"]),
        (["2024-01-01", "2024-01-02"] * 3, {}, ["dates"]),
        ([[1], [2]], {}, ["list"]),
        ([0, 1], {"task": "guess"}, ["'guess'", "'regression' or 'classification'"]),
    ],
)
def test_targets_that_cannot_be(values: list[Any], settings: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        target_of(values, **settings)
    for part in parts:
        assert part in str(caught.value)
    assert str(caught.value).endswith(".")


def test_a_target_that_is_not_there() -> None:
    with pytest.raises(InputError, match=r"no column 'level_'; did you mean 'level'\? \(the columns are 'number'"):
        learn_schema(training(), "level_")
    with pytest.raises(InputError, match="no column 'nix' to ignore"):
        learn_schema(training(), "y", ignore=["nix"])
    with pytest.raises(InputError, match="no column is left"):
        learn_schema(table_of(c=[1, 1, 1], y=[0.5, 1, 2]), "y")


def test_ignored_columns() -> None:
    schema = learn_schema(training(), "y", ignore=["number", "gap", "day", "flag"])
    assert schema.feature_names == ("whole", "level=(other)")
    assert dict(schema.dropped)["gap"] == "ignored, as asked"
    assert schema.warnings == ()


def test_rows_without_a_target_are_left_out_of_the_learning() -> None:
    table = table_of(x=[1.0, 2.0, 100.0, 6.0], y=["a", "b", None, "a"])
    schema = learn_schema(table, "y")
    assert schema.columns[0].mean == 3.0
    assert "1 row without a value of the target 'y' left out" in schema.warnings[0]
    y, kept = encode_target(schema.target, table)
    assert y.tolist() == [0, 1, 0]
    assert y.dtype == np.int64
    assert kept.tolist() == [True, True, False, True]


def test_regression_targets() -> None:
    schema = learn_schema(training(), "y")
    y, kept = encode_target(schema.target, table_of(y=[3, None, 5]))
    assert y.dtype == np.float64
    assert y.tolist() == [3.0, 5.0]
    assert kept.tolist() == [True, False, True]
    with pytest.raises(InputError, match=r"row 3, column 'y': 'high' is not a number"):
        encode_target(schema.target, table_of(y=["3", "high"]))


def test_classes_at_scoring_time() -> None:
    schema = learn_schema(table_of(x=[1, 2, 4, 8], y=[1, 2, 2, 1]), "y")
    assert encode_target(schema.target, table_of(y=["2", "1.0", None]))[0].tolist() == [1, 0]
    with pytest.raises(InputError, match=r"row 3, column 'y'.*class 3; its classes are 1, 2"):
        encode_target(schema.target, table_of(y=[1, 3]))
    schema = learn_schema(table_of(x=[1, 2, 4, 8], y=[True, False, True, True]), "y")
    assert encode_target(schema.target, table_of(y=["False", "True"]))[0].tolist() == [0, 1]
    assert encode_target(schema.target, table_of(y=[0, 1]))[0].tolist() == [0, 1]


def test_classes_that_look_alike_are_kept_apart_with_a_warning() -> None:
    table = read_table(shared("hostile/unicode_labels.csv"))
    schema = learn_schema(table, "y")
    assert schema.target.classes == ("e\u0301", "\u00e9")
    assert "look alike" in schema.warnings[0]
    assert encode_target(schema.target, table)[0].tolist() == [1, 0, 1, 0]
