"""What a user says of columns: kinds, levels, references and missing cells, by every learner and by the command."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from newtron.cli import main
from newtron.engine.base.codec import from_json, to_json
from newtron.engine.base.errors import InputError
from newtron.table import Column, Schema, Table, encode, learn_schema, read_table
from newtron.table.choices import ColumnChoices, choices_of, column_choices
from newtron.table.large.file_rows import FileRows

N = 60
COLUMNS: dict[str, list[Any]] = {
    "zip": [(2139, 1220, 10001)[i % 3] for i in range(N)],
    "size": ["SML"[i % 3] for i in range(N)],
    "city": [f"town {i % 30}" for i in range(N)],
    "name": [f"person {i // 2 if i < 20 else i}" for i in range(N)],
    "day": [f"2024-01-{1 + i % 28:02}" for i in range(N)],
    "row": list(range(1, N + 1)),
    "gap": [None if i == 7 else 0.5 * i for i in range(N)],
    "y": [i * i % 17 + 0.5 for i in range(N)],
}


def table() -> Table:
    return Table("t.csv", pa.table(COLUMNS))


def learnt(choices: ColumnChoices, **settings: Any) -> Schema:
    return learn_schema(table(), "y", choices=choices, **settings)


def column(name: str, choices: ColumnChoices) -> Column:
    return next(column for column in learnt(choices).columns if column.name == name)


def test_numbers_can_be_levels() -> None:
    found = column("zip", ColumnChoices(kinds={"zip": "category"}))
    assert (found.kind, found.reference, found.levels) == ("category", "10001", ("1220", "2139"))
    X = encode(learnt(ColumnChoices(kinds={"zip": "category"})), table()).X
    np.testing.assert_array_equal(X[:3, :2], [[0, 1], [1, 0], [0, 0]])
    # They are levels in other types and as text too.
    later = pa.table({**COLUMNS, "zip": [str(value) for value in COLUMNS["zip"]]})
    np.testing.assert_array_equal(encode(learnt(ColumnChoices(kinds={"zip": "category"})), Table("u", later)).X, X)


def test_levels_keep_their_order_and_the_first_is_the_reference() -> None:
    found = column("size", ColumnChoices(levels={"size": ("M", "S", "L", "XL")}))
    assert (found.reference, found.levels, found.pooled) == ("M", ("S", "L"), ())
    warnings = learnt(ColumnChoices(levels={"size": ("M", "S", "L", "XL")})).warnings
    assert "no row of the column 'size' has the level 'XL', left out for that." in warnings
    with pytest.raises(InputError, match=r"t.csv, row 4, column 'size': 'L' is none of the levels of this column, 'S'"):
        learnt(ColumnChoices(levels={"size": ("S", "M")}))
    assert column_choices({"size": ["S", "M", "L"], "zip": [2139, 1220.0, 10001]}).levels == {
        "size": ("S", "M", "L"),
        "zip": ("2139", "1220", "10001"),
    }


def test_a_reference_can_be_chosen() -> None:
    found = column("size", ColumnChoices(references={"size": "L"}))
    assert (found.reference, found.levels) == ("L", ("M", "S"))
    with pytest.raises(InputError, match=r"no level 'XL' to be its reference; .*the levels are 'L', 'M', 'S'"):
        learnt(ColumnChoices(references={"size": "XL"}))


def test_the_number_of_levels_can_be_chosen() -> None:
    assert len(column("city", ColumnChoices()).levels) == 19
    assert len(column("city", ColumnChoices(max_levels=5)).levels) == 4
    assert len(column("city", ColumnChoices(kinds={"city": "category"})).levels) == 29
    assert len(column("city", ColumnChoices(kinds={"city": "category"}, max_levels=7)).levels) == 6


def test_columns_that_are_dropped_can_be_brought_back() -> None:
    assert {name for name, _ in learnt(ColumnChoices()).dropped} == {"name", "row"}
    assert column("row", ColumnChoices(kinds={"row": "number"})).kind == "number"
    found = column("name", ColumnChoices(kinds={"name": "text"}))
    assert (len(found.levels), len(found.pooled)) == (9, 40)  # ten names are there twice
    found = column("day", ColumnChoices(kinds={"day": "category"}))
    assert (found.kind, len(found.levels)) == ("category", 27)


@pytest.mark.parametrize(
    ("choices", "sentence"),
    [
        ({"kinds": {"size": "number"}}, "t.csv, row 2, column 'size': 'S' is not a number, as this column is asked"),
        ({"kinds": {"city": "date"}}, "t.csv, row 2, column 'city': 'town 0' is not a date such as 2024-01-31"),
        ({"kinds": {"zip": "date"}}, "t.csv, row 2, column 'zip': '2139' is not a date"),
        ({"kinds": {"Zip": "category"}}, "t.csv: there is no column 'Zip'; did you mean 'zip'"),
        ({"kinds": {"y": "number"}}, "the column 'y' is the target"),
        ({"missing": "error"}, "t.csv, row 9, column 'gap': this cell is empty, and missing='error' refuses"),
    ],
)
def test_what_cells_cannot_fulfil_names_the_cell(choices: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        learnt(ColumnChoices(**choices))
    assert sentence in str(caught.value)
    path = tmp_path / "t.arrow"
    data = table().data
    with pa.ipc.new_file(path, data.schema) as file:
        file.write_table(data, max_chunksize=7)
    with pytest.raises(InputError) as caught:
        FileRows(path, "y", choices=ColumnChoices(**choices))
    if "row" not in sentence:
        assert sentence.removeprefix("t.csv: ") in str(caught.value)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: ColumnChoices(kinds={"a": "numeric"}), "'a' cannot be 'numeric'; it is one of 'number'"),  # type: ignore[dict-item]
        (lambda: ColumnChoices(kinds={"a": "number"}, levels={"a": ("b",)}), "is said to be a number and a category"),
        (lambda: ColumnChoices(levels={"a": ("b", "b")}), "none may be there twice"),
        (lambda: ColumnChoices(levels={"a": ("b",)}, references={"a": "c"}), "'c' of the column 'a' is none of"),
        (lambda: ColumnChoices(max_levels=1), "levels=1 must be a whole number, 2 or more"),
        (lambda: ColumnChoices(missing="drop"), "missing='drop': give 'indicator' or 'error'"),  # type: ignore[arg-type]
        (lambda: choices_of(number=["a"], category=["b,a"]), "'a' is said to be a number and a category"),
        (lambda: choices_of(reference=["a"]), "give the column and its level"),
        (lambda: column_choices({"a": 3}), "columns={'a': 3}: give 'number'"),
    ],
)
def test_choices_that_are_none(make: Any, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        make()
    assert sentence in str(caught.value)


def test_what_is_typed() -> None:
    found = choices_of(category=["a,b", '"c, d"'], date=["when=dmy,e"], reference=["a=x=y"], levels=9, missing="error")
    assert found.kinds == {"a": "category", "b": "category", "c, d": "category", "when": "date", "e": "date"}
    assert (found.orders, found.references) == ({"when": "dmy"}, {"a": "x=y"})
    assert (found.max_levels, found.missing) == (9, "error")


@pytest.mark.parametrize(
    "choices",
    [
        ColumnChoices(kinds={"zip": "category", "name": "text", "row": "number"}, max_levels=6),
        ColumnChoices(levels={"size": ("M", "S", "L")}, references={"city": "town 3"}),
    ],
)
def test_pieces_are_learnt_like_the_whole(choices: ColumnChoices, tmp_path: Path) -> None:
    path = tmp_path / "t.arrow"
    data = table().data
    with pa.ipc.new_file(path, data.schema) as file:
        file.write_table(data, max_chunksize=7)
    streamed, whole = FileRows(path, "y", choices=choices).schema, learn_schema(read_table(path), "y", choices=choices)
    assert [column.encoded for column in streamed.columns] == [column.encoded for column in whole.columns]
    assert [column.shares for column in streamed.columns] == [column.shares for column in whole.columns]
    assert streamed.warnings == whole.warnings


def test_more_values_than_are_counted_share_one_level(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("newtron.table.gather.MANY", 10)
    monkeypatch.setattr("newtron.table.learn.MANY", 10)
    path = tmp_path / "t.arrow"
    data = table().data
    with pa.ipc.new_file(path, data.schema) as file:
        file.write_table(data, max_chunksize=7)
    assert "more than 10 different values" in dict(FileRows(path, "y").schema.dropped)["city"]
    assert "more than 10 different values" in dict(learn_schema(read_table(path), "y").dropped)["city"]
    schema = FileRows(path, "y", choices=ColumnChoices(kinds={"city": "text"})).schema
    found = next(column for column in schema.columns if column.name == "city")
    assert (len(found.levels), len(found.pooled)) == (8, 1)
    assert found.shares[-1] == pytest.approx(42 / 60)


def test_missing_cells_that_are_refused_are_refused_later_too() -> None:
    ignore = ["gap"]
    schema = learnt(ColumnChoices(missing="error"), ignore=ignore)
    assert from_json(to_json(schema), Schema, "schema") == schema
    later = pa.table({**COLUMNS, "size": [None, *COLUMNS["size"][1:]]})
    assert encode(schema, table()).X.shape[0] == N
    with pytest.raises(InputError, match=r"u.csv, row 2, column 'size': this cell is empty"):
        encode(schema, Table("u.csv", later))


def run(tmp_path: Path, *words: str, columns: Mapping[str, list[Any]] = COLUMNS) -> int:
    path = tmp_path / "t.csv"
    lines = [",".join(columns)]
    lines += [",".join("" if v is None else str(v) for v in row) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join(lines) + "\n")
    common = [
        "--target",
        "y",
        "--model",
        "perceptron",
        "--no-report",
        "--output",
        str(tmp_path / "m"),
        "--holdout",
        "0",
    ]
    return main(["fit", str(path), *common, *words])


def test_the_command_takes_choices(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--category", "zip,size", "--number", "row", "--text", "name", "--levels", "5", "--reference", "size=L"]
    assert run(tmp_path, *words) == 0
    screen = " ".join(capsys.readouterr().out.split())
    assert "zip (3 levels), size (3 levels), city (30 levels, 25 of them joined), name (50 levels" in screen
    assert main(["predict", str(tmp_path / "m"), str(tmp_path / "t.csv"), "--output", str(tmp_path / "p")]) == 0
    assert run(tmp_path, "--ignore", "gap", "--missing", "error") == 0
    assert run(tmp_path, "--missing", "error") == 2
    assert "row 9, column 'gap': this cell is empty, and --missing error refuses" in capsys.readouterr().err
    assert run(tmp_path, "--category", "zipp") == 2
    assert "no column 'zipp'; did you mean 'zip'" in capsys.readouterr().err
    assert run(tmp_path) == 0
    assert "--text name uses those that recur" in " ".join(capsys.readouterr().out.split())
