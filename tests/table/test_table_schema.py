"""What columns are taken for, how they become numbers, and that a later table is encoded alike."""

from __future__ import annotations

import datetime
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newtron.engine.base.codec import from_json, to_json
from newtron.engine.base.errors import InputError
from newtron.table import Column, Schema, Table, encode, encode_target, learn_schema, read_table
from newtron.table.large.file_rows import FileRows

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"the data file shared/data/{name} is not beside this checkout")
    return path


def table_of(**columns: Any) -> Table:
    return Table("t.csv", pa.table(columns))


def learn_one(values: Any, n: int = 24, **settings: Any) -> Schema:
    """The schema of one column 'x' beside a numeric target and one feature more."""
    values = pa.array(values) if isinstance(values, list) else values
    n = len(values)
    other = [float(i * i) for i in range(n)]
    return learn_schema(table_of(x=values, z=other, y=[i + 0.5 for i in range(n)]), "y", **settings)


def column_x(values: Any) -> Column:
    return next(column for column in learn_one(values).columns if column.name == "x")


def reason_x(values: Any) -> str:
    return dict(learn_one(values).dropped)["x"]


# --- kinds of columns -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "kind", "encoded"),
    [
        ([1, 2, 3, 4] * 6, "number", ("x",)),
        ([1, 2, 1, 2] * 6, "number", ("x",)),
        ([0.5, None, 3.0, 4.0] * 6, "number", ("x", "x is missing")),
        (["no", "yes"] * 12, "yes/no", ("x=yes",)),
        (["F", "t"] * 12, "yes/no", ("x=t",)),
        (["N", None, "y", "Y"] * 6, "yes/no", ("x=y", "x is missing")),
        (["TRUE", "false"] * 12, "yes/no", ("x=true",)),
        ([True, False] * 12, "yes/no", ("x=true",)),
        (["yes", "false"] * 12, "category", ("x=yes",)),
        (["m", "f"] * 12, "category", ("x=m",)),
        (["b", "a", "c", "c"] * 6, "category", ("x=a", "x=b")),
        (["b", "a", None, "b"] * 6, "category", ("x=a", "x is missing")),
        (["ticked", None] * 12, "category", ("x is missing",)),
        ([1, None] * 12, "category", ("x is missing",)),
        (["2024-01-31", "2023-12-01"] * 12, "date", ("x",)),
        (
            ["2024-01-31", None, "2024-01-31 12:00", "2024-01-31T10:00:00.5+02:00"] * 6,
            "date",
            ("x", "x is missing"),
        ),
        ([datetime.date(2024, 1, 31), datetime.date(2024, 2, 1)] * 12, "date", ("x",)),
        (["2024-02-30", "2024-02-31"] * 12, "category", ("x=2024-02-31",)),
    ],
)
def test_kinds(values: list[Any], kind: str, encoded: tuple[str, ...]) -> None:
    column = column_x(values)
    assert column.kind == kind
    assert column.encoded == encoded


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([None] * 24, "every cell is missing"),
        ([7] * 24, "it is 7 in every row"),
        (["a"] * 24, "it is 'a' in every row"),
        ([f"name {i}" for i in range(24)], "24 different values in 24 rows"),
        ([f"name {i % 51}" for i in range(100)], "51 different values in 100 rows"),
        ([f"{i}.5" for i in range(30)] + ["12.5.3"], "row 32 holds '12.5.3', which is not a number"),
        (pa.array([[1], [2]] * 12), "list"),
        (pa.array([b"a", b"b"] * 12), "binary"),
    ],
)
def test_dropped_columns_say_why(values: Any, reason: str) -> None:
    assert reason in reason_x(values)
    assert any("'x'" in warning and reason in warning for warning in learn_one(values).warnings)


def test_the_frequent_levels_of_many_are_kept_and_the_others_joined() -> None:
    column = column_x([f"level {i % 20:02}" for i in range(100)])
    assert (len(column.levels), column.pooled) == (19, ())
    column = column_x([f"level {i % 25:02}" for i in range(120)])
    assert len(column.levels) == 19
    assert column.pooled == tuple(f"level {i:02}" for i in range(20, 25))  # those that occur once less often
    assert column.encoded[-1] == "x=(other)"
    assert sum(column.shares) == pytest.approx(1.0 - 5 / 120)
    column = column_x([f"level {i % 300:03}" for i in range(6000)])
    assert (len(column.levels), len(column.pooled)) == (199, 100)


@pytest.mark.slow
def test_more_rows_never_keep_fewer_levels() -> None:
    kept = [len(column_x([f"level {i % 90:03}" for i in range(n)]).levels) for n in range(181, 3000, 97)]
    assert kept == sorted(kept)
    assert (kept[0], kept[-1]) == (19, 89)


@pytest.mark.parametrize(("name", "start"), [("column 1", 1), ("ID", 0), ("rownames", 1), ("Obs", 1)])
def test_row_numbers_are_dropped(name: str, start: int) -> None:
    columns: dict[str, list[float]] = {name: [*range(start, start + 5)], "z": [3, 1, 4, 1, 5], "y": [0.5, 1, 2, 3, 4]}
    schema = learn_schema(Table("t.csv", pa.table(columns)), "y")
    assert schema.feature_names == ("z",)
    assert schema.dropped == ((name, "it only counts the rows"),)
    columns[name][3] += 10
    schema = learn_schema(Table("t.csv", pa.table(columns)), "y")
    assert schema.feature_names == (name, "z")
    assert "looks like an identifier" in schema.warnings[0]
    columns["age"] = columns.pop(name)
    assert learn_schema(Table("t.csv", pa.table(columns)), "y").warnings == ()


def test_reference_is_the_most_frequent_and_the_first_of_equals() -> None:
    column = column_x(["b"] * 5 + ["c"] * 5 + ["a"] * 3)
    assert (column.reference, column.levels) == ("b", ("a", "c"))
    assert column.shares == (3 / 13, 5 / 13)


def test_rare_levels_are_pooled_if_there_are_two() -> None:
    column = column_x(["a"] * 10 + ["b"] * 8 + ["c", "d"])
    assert (column.reference, column.levels, column.pooled) == ("a", ("b",), ("c", "d"))
    assert column.encoded == ("x=b", "x=(other)")
    column = column_x(["a"] * 10 + ["b"] * 8 + ["c"])
    assert (column.levels, column.pooled) == (("b", "c"), ())
    # 0.05 % of 6,000 rows is 3: two are too few, three are enough.
    column = column_x(["a"] * 5993 + ["b", "b", "c", "c", "d", "d", "d"])
    assert (column.levels, column.pooled) == (("d",), ("b", "c"))


def test_equal_missing_patterns_are_marked_once() -> None:
    table = table_of(a=[1.0, None, 3.0, 4.0], b=[5.0, None, 7.0, 9.0], c=[None, 1.0, 2.0, 4.0], y=[0.5, 1.5, 2.5, 3.5])
    schema = learn_schema(table, "y")
    assert schema.feature_names == ("a", "a is missing", "b", "c", "c is missing")
    encoded = encode(schema, table)
    assert encoded.missing == {}
    np.testing.assert_array_equal(encoded.X[1], [8 / 3, 1, 7, 1, 0])


def test_a_category_whose_missing_cells_are_marked_elsewhere() -> None:
    table = table_of(a=[1.0, None, 3.0, 4.0, 9.0], b=["u", None, "u", "v", "v"], y=[0.5, 1.5, 2.5, 3.5, 4.5])
    schema = learn_schema(table, "y")
    assert schema.feature_names == ("a", "a is missing", "b=v")
    assert schema.columns[1].shares == (0.5,)
    np.testing.assert_array_equal(encode(schema, table).X[:, 2], [0, 0.5, 0, 1, 1])


def test_a_dropped_column_marks_nothing() -> None:
    table = table_of(
        a=[None, *(f"name {i}" for i in range(9))],
        b=[None, *map(float, range(9))],
        y=[i + 0.5 for i in range(10)],
    )
    assert learn_schema(table, "y").feature_names == ("b", "b is missing")


def test_encoded_names_differ() -> None:
    table = table_of(**{"a": ["b", "c", "c", "b", "c"], "a=b": [1, 2, 3, 4, 9], "y": [0.5, 1.5, 2.5, 3.5, 4.5]})
    assert learn_schema(table, "y").feature_names == ("a=b", "a=b (2)")


# --- encoding -------------------------------------------------------------------------------------


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


def test_encode_by_hand() -> None:
    table = training()
    schema = learn_schema(table, "y")
    assert schema.feature_names == (
        *("number", "number is missing", "whole", "flag=yes", "flag is missing"),
        *("level=(other)", "gap=v", "gap is missing", "day", "day is missing"),
    )
    encoded = encode(schema, table)
    np.testing.assert_allclose(
        encoded.X,
        np.array(
            [
                [1, 0, 1, 1, 0, 0, 0, 0, 1, 0],
                [2, 0, 2, 0, 0, 0, 0, 1, 2.5, 0],
                [3, 1, 3, 1, 0, 1, 0, 0, 0, 0],
                [6, 0, 6, 0.4, 1, 1, 1, 0, -1, 0],
                [1, 0, 2, 0, 0, 0, 1, 0, 4, 0],
                [5, 0, 2, 0, 0, 0, 0, 0, 1.3, 1],
            ]
        ),
        rtol=1e-15,
    )
    assert encoded.X.flags.c_contiguous
    assert encoded.X.dtype == np.float64
    assert (encoded.unseen, encoded.missing) == ({}, {})


def test_column_order_is_free_and_more_columns_do_not_matter() -> None:
    table = training()
    schema = learn_schema(table, "y")
    turned = table.data.select(table.names[::-1]).append_column("more", pa.array(["?"] * 6))
    np.testing.assert_array_equal(encode(schema, Table("u.csv", turned)).X, encode(schema, table).X)


def test_rows_can_be_encoded_by_parts() -> None:
    table = training()
    schema = learn_schema(table, "y")
    np.testing.assert_array_equal(encode(schema, table.take([3, 1])).X, encode(schema, table).X[[3, 1]])


def test_unseen_and_missing_cells_are_the_average_row_and_counted() -> None:
    levels = ["a"] * 5 + ["b"] * 3 + ["c"] * 2
    table = table_of(
        level=levels,
        size=[float(i) for i in range(10)],
        flag=["y", "n"] * 5,
        day=["2024-01-01"] * 5 + ["2024-01-03"] * 5,
        y=[i + 0.5 for i in range(10)],
    )
    schema = learn_schema(table, "y")
    new = table_of(
        level=["z", None, "c", "zz"],
        size=[None, 1.0, None, 2.0],
        flag=["maybe", None, "Y", "n"],
        day=[None, "2024-01-02", "2024-01-01", "2024-01-01"],
    )
    encoded = encode(schema, new)
    assert schema.feature_names == ("level=b", "level=c", "size", "flag=y", "day")
    day = 19723.0
    np.testing.assert_allclose(
        encoded.X,
        [
            [0.3, 0.2, 4.5, 0.5, day + 1],
            [0.3, 0.2, 1, 0.5, day + 1],
            [0, 1, 4.5, 1, day],
            [0.3, 0.2, 2, 0, day],
        ],
    )
    assert encoded.unseen == {"level": 2, "flag": 1}
    assert encoded.missing == {"level": 1, "size": 2, "flag": 1, "day": 1}


def test_unseen_goes_to_other_where_there_is_one() -> None:
    table = table_of(level=["a"] * 10 + ["b"] * 8 + ["c", "d"], y=[i + 0.5 for i in range(20)])
    schema = learn_schema(table, "y")
    encoded = encode(schema, table_of(level=["c", "new", None, "a", "b"]))
    np.testing.assert_allclose(encoded.X, np.array([[0, 1], [0, 1], [0.4, 0.1], [0, 0], [1, 0]]))
    assert (encoded.unseen, encoded.missing) == ({"level": 1}, {"level": 1})


def test_missing_that_training_had_is_not_counted_and_unknown_words_are_not_missing() -> None:
    table = table_of(flag=["y", "n", "n", "n", None], gap=[1.0, 2.0, None, None, 3.0], y=[0.5, 1, 2, 3, 4])
    schema = learn_schema(table, "y")
    encoded = encode(schema, table_of(flag=[None, "maybe"], gap=[None, 5.0]))
    np.testing.assert_array_equal(encoded.X, [[0.25, 1, 2, 1], [0.25, 0, 5, 0]])
    assert (encoded.unseen, encoded.missing) == ({"flag": 1}, {})


def test_a_missing_column_is_named_with_near_names() -> None:
    schema = learn_schema(training(), "y")
    with pytest.raises(InputError, match=r"column 'whole'.*missing; did you mean 'Whole'"):
        encode(
            schema,
            Table(
                "u.csv",
                training().data.rename_columns(["number", "Whole", "flag", "level", "gap", "day", "y"]),
            ),
        )


@pytest.mark.parametrize(
    ("column", "values", "cell"),
    [
        ("whole", ["1", "2", "x", "6"], "'x' is not a number"),
        ("day", ["1970-01-02", None, "soon", "later"], "'soon' is not a date"),
        ("day", [None, None, 5, 6], "5 is not a date"),
        ("whole", [None, None, datetime.date(2024, 1, 1), None], "2024-01-01 is not a number"),
    ],
)
def test_a_cell_of_another_kind_is_named(column: str, values: list[Any], cell: str) -> None:
    schema = learn_schema(training(), "y")
    data = training().data
    changed = data.set_column(data.column_names.index(column), column, pa.array([*values, None, None]))
    with pytest.raises(InputError, match=rf"u.csv, row 4, column '{column}': {cell}"):
        encode(schema, Table("u.csv", changed))


def test_a_file_in_which_texts_happen_to_be_numbers(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1.50,1.5\nA,2\n7,3\n1.50,4\nA,5\n7,6\nA,7\n")
    (tmp_path / "b.csv").write_text("x\n7\n1.5\n")
    schema = learn_schema(read_table(tmp_path / "a.csv"), "y")
    assert schema.feature_names == ("x=1.50", "x=7")
    encoded = encode(schema, read_table(tmp_path / "b.csv"))
    np.testing.assert_array_equal(encoded.X, [[0, 1], [1, 0]])
    assert encoded.unseen == {}


def test_types_of_another_file_format_encode_alike() -> None:
    table = table_of(flag=["true", "false", "true", "false"], n=[1, 2, 3, 5], y=[0.5, 1.5, 2.5, 3.5])
    schema = learn_schema(table, "y")
    other = table_of(n=pa.array(["1", "2", "3", "5"]).dictionary_encode(), flag=[True, False, True, False])
    np.testing.assert_array_equal(encode(schema, other).X, encode(schema, table).X)


@pytest.mark.slow
@given(st.lists(st.sampled_from(["a", "b", "c", "d", None]), min_size=6, max_size=60))
@settings(deadline=None, max_examples=60)
def test_categories_agree_with_pandas(values: list[str | None]) -> None:
    n = len(values)
    table = table_of(x=pa.array(values, pa.string()), z=[float(i) for i in range(n)], y=[i + 0.5 for i in range(n)])
    schema = learn_schema(table, "y")
    column = schema.columns[0]
    if column.kind != "category" or column.pooled:
        return
    dummies = pd.get_dummies(pd.Series(values, dtype=object), dtype=float)
    expected = [dummies[level].to_numpy() for level in column.levels]
    if column.indicator:
        expected.append(np.array([value is None for value in values], dtype=float))
    X = encode(schema, table).X[:, :-1]
    np.testing.assert_array_equal(X, np.column_stack(expected))
    np.testing.assert_allclose(X.mean(axis=0), column.shares)


# --- whole data sets ------------------------------------------------------------------------------


def test_penguins() -> None:
    table = read_table(ROOT / "examples" / "penguins.csv")
    schema = learn_schema(table, "species")
    assert schema.target.classes == ("Adelie", "Chinstrap", "Gentoo")
    assert schema.feature_names == (
        *("island=Dream", "island=Torgersen", "bill_length_mm", "bill_length_mm is missing", "bill_depth_mm"),
        *("flipper_length_mm", "body_mass_g", "sex=female", "sex is missing", "year"),
    )
    X = encode(schema, table).X
    frame = pd.read_csv(ROOT / "examples" / "penguins.csv")
    depth = frame["bill_depth_mm"]
    np.testing.assert_allclose(X[:, 4], depth.fillna(depth.mean()))
    np.testing.assert_array_equal(X[:, 8], frame["sex"].isna())
    assert np.linalg.matrix_rank(np.column_stack([np.ones(len(X)), X])) == X.shape[1] + 1


def test_concrete() -> None:
    table = read_table(ROOT / "examples" / "concrete.csv")
    schema = learn_schema(table, "strength_mpa")
    assert schema.target.why == "'strength_mpa' has 845 different numbers, not all whole: regression."
    frame = pd.read_csv(ROOT / "examples" / "concrete.csv")
    np.testing.assert_array_equal(encode(schema, table).X, frame.drop(columns="strength_mpa").to_numpy(float))
    np.testing.assert_array_equal(encode_target(schema.target, table)[0], frame["strength_mpa"])


@pytest.mark.slow
def test_adult() -> None:
    path = shared("adult/adult_train.csv")
    started = time.process_time()
    table = read_table(path)
    schema = learn_schema(table, "income")
    encoded = encode(schema, table)
    y, kept = encode_target(schema.target, table)
    seconds = time.process_time() - started
    assert seconds < 3, "reading and encoding 32,561 rows takes a fraction of a second"
    assert encoded.X.shape == (32561, len(schema.feature_names))
    assert schema.target.classes == ("<=50K", ">50K")
    assert int(y.sum()) == 7841
    assert kept.all()
    by_name = {column.name: column for column in schema.columns}
    assert by_name["sex"].reference == "Male"
    assert by_name["workclass"].missing_seen
    position = schema.feature_names.index("workclass is missing")
    assert encoded.X[:, position].sum() == 1836
    later = encode(schema, read_table(shared("adult/adult_test.csv")))
    assert later.X.shape == (16281, encoded.X.shape[1])
    assert (later.unseen, later.missing) == ({}, {})


# --- many columns ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_time_grows_with_the_columns_and_not_with_their_square(tmp_path: Path) -> None:
    def seconds(p: int) -> float:
        table = Table("t.csv", pa.table({f"c{j}": [0.5 * j, 1.0, j % 3] for j in range(p)}))
        pq.write_table(table.data, tmp_path / "wide.parquet")
        started = time.process_time()
        schema = learn_schema(table, "c0")
        learn_schema(table, "c0", like=schema, ignore=[f"c{j}" for j in range(1, p, 2)])
        encode(schema, table)
        from_json(to_json(schema), Schema, "schema")
        FileRows(tmp_path / "wide.parquet", "c0").hold_out(0.4, 0)
        return time.process_time() - started

    seconds(100)
    assert seconds(4000) < 24.0 * min(seconds(500) for _ in range(2))  # of 8 times as many columns; 8² is 64
