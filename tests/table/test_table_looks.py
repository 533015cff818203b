"""Cells that look like something they are not taken for: what is said of them, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from newtron.cli import main
from newtron.engine.base.errors import InputError
from newtron.table import Schema, Table, learn_schema, read_table
from newtron.table.large.file_rows import FileRows
from newtron.table.looks import named_like_identifier

N = 60


def learnt(x: Any, target: Any = None, **settings: Any) -> Schema:
    n = len(x)
    y = [i + 0.5 for i in range(n)] if target is None else target
    return learn_schema(
        Table("t.csv", pa.table({"x": x, "z": [float(i * i) for i in range(n)], "y": y})), "y", **settings
    )


def said(x: Any) -> list[str]:
    return [warning for warning in learnt(x).warnings if "'x'" in warning]


NUMBERS = [f"{10 + 0.37 * i:.2f}" for i in range(N)]
DATES = [(1 + i % 28, 1 + i % 12, 1990 + i % 30) for i in range(N)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cells", "parts"),
    [
        (
            [*NUMBERS[:-9], *["<1.0"] * 9],
            ["row 53 holds '<1.0'", "limit", "as do 8 more of its 60 cells", "leave the cell empty"],
        ),
        ([*[f"{v} kg" for v in NUMBERS[:-1]], "3 lb"], ["row 2 holds '10.00 kg' and row 61 holds '3 lb'", "same unit"]),
        ([*[f"{v} %" for v in NUMBERS[:-1]], "0.3"], ["'10.00 %' and row 61 holds '0.3'", "same unit"]),
        ([*[f"${1000 + 37 * i:,}.00" for i in range(N - 1)], "free"], ["row 61 holds 'free', which is not a number"]),
        ([*[f"{1 + i},299.5" for i in range(N - 1)], "1 299.5"], ["'1,299.5'", "'1 299.5'", "mark between thousands"]),
        ([*[f"{1 + i},299.5" for i in range(N - 1)], "1.299,5"], ["not all written in one way"]),
        ([f"{m}-{d}-{y % 100:02}" for d, m, y in DATES], ["perhaps a date", "columns={'x': 'date'} if it is"]),
        ([f"{m}/{d}/{y}" if m % 2 else f"{d}/{m}/{y}" for d, m, y in DATES], ["written in one way"]),
        ([*(f"{y}-{m:02}-{d:02}" for d, m, y in DATES[1:]), "soon"], ["row 61 holds 'soon', which is not a date"]),
        (
            [*NUMBERS[:-3], "high", "x", "high"],
            ["row 59 holds 'high', which is not a number", "nor are 2 more of its 60 cells"],
        ),
        (NUMBERS, ["60 cells are numbers that are stored as text", "columns={'x': 'number'} reads them"]),
    ],
)
def test_what_keeps_text_from_being_numbers_or_dates_is_told(
    cells: list[str], parts: list[str], tmp_path: Path
) -> None:
    (sentence,) = said(cells)
    for part in ("is not used: it is text with", *parts):
        assert part in sentence
    # The same where few values are categories, and from parts of a file.
    few = [*cells[:15], cells[-1]] * 10
    if "perhaps a date" not in parts:  # part numbers look like that
        (sentence,) = said(few)
        assert "is used as categories; if it is meant otherwise: " in sentence
    path = tmp_path / "t.arrow"
    for values in (cells, few):
        data = pa.table({"x": values, "y": [i + 0.5 for i in range(len(values))], "z": range(len(values))})
        with pa.ipc.new_file(path, data.schema) as file:
            file.write_table(data, max_chunksize=17)
        assert FileRows(path, "y").schema.warnings == learn_schema(read_table(path), "y").warnings


@pytest.mark.parametrize(
    "cells",
    [
        ["3-4-18", "1-1-19", "1-1-20"] * 20,  # part numbers
        ["001", "010", "200"] * 20,
        ["Main Street", "High Street"] * 30,
        ["A1", "B2", "12A"] * 20,
        [f"word {i}" for i in range(N)],
    ],
)
def test_other_text_is_no_almost_number(cells: list[str]) -> None:
    assert not any("row" in sentence.split("rows")[-1] for sentence in said(cells))


@pytest.mark.parametrize("settings", [{}, {"task": "regression"}, {"task": "classification"}])
def test_a_target_that_is_almost_numbers_says_which_cell(settings: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"target 'y': row 53 holds '<1.0', a limit .* as do 8 more of its 60 cells"):
        learnt(list(range(N)), [*NUMBERS[:-9], *["<1.0"] * 9], **settings)


def test_a_target_of_few_texts_that_are_almost_numbers_is_noted() -> None:
    warnings = learnt(list(range(N)), [*["1 kg", "2 kg", "5 kg"] * 19, "2 kg", "2 kg", "few"]).warnings
    assert any("taken for classes, but row 61 holds 'few', which is not a number" in each for each in warnings)


# --- numbers that are no amounts ---


@pytest.mark.parametrize(
    ("cells", "parts"),
    [
        (
            [-999 if i % 7 == 3 else i % 30 for i in range(N)],
            ["holds -999 in 9 rows", "(0 to 29)", "leave the cell empty"],
        ),
        ([99999.0 if i in (4, 5) else 0.5 * i for i in range(N)], ["holds 99999 in 2 rows"]),
        ([9 if i % 20 == 1 else i % 4 for i in range(N)], ["holds 9 in 3 rows"]),
        ([20200101 + 100 * (i % 12) + i % 28 for i in range(N)], ["look like dates", "2020-01-01"]),
        ([4556737586899855 + 7919 * (i % 9) for i in range(N)], ["16 digits or more", "looks like an identifier"]),
    ],
)
def test_numbers_that_are_perhaps_no_amounts_are_asked_about(
    cells: list[float], parts: list[str], tmp_path: Path
) -> None:
    (sentence,) = said(cells)
    for part in parts:
        assert part in sentence
    path = tmp_path / "t.arrow"
    data = pa.table({"x": cells, "y": [i + 0.5 for i in range(N)]})
    with pa.ipc.new_file(path, data.schema) as file:
        file.write_table(data, max_chunksize=17)
    assert FileRows(path, "y").schema.warnings == tuple(said(cells))


@pytest.mark.parametrize(
    "cells",
    [
        [i % 10 for i in range(N)],
        [-99 + i for i in range(N)],
        [999 if i == 3 else i for i in range(N)],  # one far value may be true
        [20209999 + i for i in range(N)],
        np.random.default_rng(0).standard_cauchy(N).tolist(),
    ],
)
def test_ordinary_numbers_are_not(cells: list[float]) -> None:
    assert said(cells) == []


def test_names_of_identifiers() -> None:
    for name in ("Order", "PassengerId", "PID", "customer_id", "user id", "ID", "rownames", "column 1", "item.id"):
        assert named_like_identifier(name), name
    for name in ("paid", "humid", "acid", "area", "liquid", "orders", "order size"):
        assert not named_like_identifier(name), name


def test_an_order_of_rows_is_left_out_and_an_identifier_noted() -> None:
    rng = np.random.default_rng(0)
    table = pa.table(
        {"Order": range(1, N + 1), "PID": 526301100 + rng.permutation(N), "a": rng.normal(size=N), "y": range(N)}
    )
    schema = learn_schema(Table("t.csv", table), "y")
    assert schema.feature_names == ("PID", "a")
    assert dict(schema.dropped)["Order"] == "it only counts the rows"
    assert any("'PID' looks like an identifier" in warning for warning in schema.warnings)


def test_few_whole_numbers_as_target_say_what_they_were_taken_for() -> None:
    stars = [1 + i % 5 for i in range(200)]
    assert "taken for classes; task='regression'" in learnt(list(range(200)), stars).warnings[0]
    claims = [min(i % 13, 11) // 2 * 2 for i in range(200)]
    assert "is predicted as a number; task='classification'" in learnt(list(range(200)), claims).warnings[0]
    assert learnt(list(range(200)), stars, task="classification").warnings == ()
    assert learnt(list(range(60)), [15 * i % 17 for i in range(60)]).warnings == ()  # numbers that hardly recur


def test_values_that_recur_may_be_joined_and_names_may_not() -> None:
    streets = [f"street {'abcdefgh'[i % 8]}{'klmnopqr'[i // 8 % 8]}" for i in range(600)]
    (reason,) = dict(learnt([f"person {i}" for i in range(600)], list(range(600))).dropped).values()
    assert reason == ("it is text with 600 different values in 600 rows: columns={'x': 'text'} uses those that recur")
    schema = learnt(streets, list(range(600)))
    assert (len(schema.columns[0].levels), schema.columns[0].encoded[-1]) == (29, "x=(other)")
    assert (
        "the column 'x' has 64 different values: the 30 most frequent are levels, and the others share the level "
        "'(other)'; columns={'x': 'category'} keeps all that are not rare."
    ) in schema.warnings


# --- what is lost when text is read ---

CODES = 'code,x,y\n"00123",1,2\n00045,2,3.5\n"7",3,4\n'


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", " "])
@pytest.mark.parametrize("quote", ['"', "'"])
def test_codes_in_quotation_marks_stay_text(separator: str, quote: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(CODES.replace(",", separator).replace('"', quote))
    assert read_table(path).data.to_pydict() == {"code": ["00123", "00045", "7"], "x": [1, 2, 3], "y": [2.0, 3.5, 4.0]}


@pytest.mark.slow
def test_codes_in_a_stream_stay_text_wherever_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("newtron.table.text.convert._BLOCK", 64)
    path = tmp_path / "t.csv"
    rows = [f'{i % 5},{i},"0{i % 3}, ""07"", ",{i % 7}' for i in range(100)] + ['"007",1,"x",2', "12,3,y,4"]
    path.write_text("code,x,text,y\n" + "\n".join(rows) + "\n")
    streamed, whole = FileRows(path, "y"), read_table(path)
    assert whole.data["code"].to_pylist()[-3:] == ["4", "007", "12"]
    assert whole.data["text"].to_pylist()[:2] == ['00, "07",', '01, "07",']
    found = [table for _, table in streamed.files.tables(range(len(streamed.files.pieces)), list(whole.names), 1000)]
    for name in whole.names:
        assert [cell for table in found for cell in table.data[name].to_pylist()] == whole.data[name].to_pylist()
    assert streamed.schema.feature_names == learn_schema(whole, "y").feature_names


def test_leading_zeros_and_words_for_missing_cells_are_told(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = [f"{'0' if i % 3 else ''}{10 + i},{['NA', 'FR', 'DE'][i % 3]},{i % 4},{i % 7}" for i in range(30)]
    path.write_text("postcode,country,x,y\n" + "\n".join(rows) + "\n")
    notes = read_table(path).notes
    assert len(notes) == 2
    assert "column 'postcode': whole numbers with leading zeros such as 011 were read as numbers" in notes[0]
    assert "column 'country': 10 cells with 'NA' were read as missing" in notes[1]
    assert FileRows(path, "y").notes == notes
    # Where numbers have NA too, it is what this file writes for no value.
    path.write_text("postcode,country,x,y\n" + "\n".join([*rows, "10,FR,NA,3"]) + "\n")
    assert len(read_table(path).notes) == 1


def test_predict_tells_of_a_column_that_was_empty_in_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known, asked, model = tmp_path / "known.csv", tmp_path / "asked.csv", tmp_path / "m"
    known.write_text("x,note,y\n" + "".join(f"{i * i % 17},,{i}.5\n" for i in range(30)))
    asked.write_text("x,note\n1.0,call back\n0.5,\n")
    words = ["--target", "y", "--model", "perceptron", "--quiet", "--no-report", "--output", str(model)]
    assert main(["fit", str(known), *words]) == 0
    assert main(["predict", str(model), str(asked), "--output", str(tmp_path / "out.csv")]) == 0
    assert (
        "column 'note': it was empty in training and is not used, though 1 cell here has a value"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    "values", [[True, None] * 12, ["2024-01-31", None] * 12, [20240131, None] * 12, [10**16, None] * 12]
)
def test_a_column_of_one_value_with_gaps_is_not_said_to_be_something_else(values: list[Any]) -> None:
    columns = {"x": pa.array(values), "z": pa.array(range(24)), "y": pa.array([0.5 * i * i for i in range(24)])}
    schema = learn_schema(Table("t.csv", pa.table(columns)), "y")
    assert schema.columns[0].encoded == ("x is missing",)
    assert schema.warnings == ()
