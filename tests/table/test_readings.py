"""Text that is numbers, dates or times of day: by which rule it is read, that later cells are read alike, and what is
refused because it may be read in two ways."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newtron.cli import main
from newtron.engine.base.codec import from_json, to_json
from newtron.engine.base.errors import InputError
from newtron.table import Column, Schema, Table, encode, encode_target, learn_schema, read_table
from newtron.table.choices import ColumnChoices
from newtron.table.large.file_rows import FileRows
from newtron.table.readings import Reading, parse_dates

N = 24


def learnt(x: list[Any], **settings: Any) -> Schema:
    n = len(x)
    y = [i + 0.5 for i in range(n)]
    return learn_schema(
        Table("t.csv", pa.table({"x": x, "z": [float(i * i) for i in range(n)], "y": y})), "y", **settings
    )


def column_x(x: list[Any], **settings: Any) -> Column:
    return next(column for column in learnt(x, **settings).columns if column.name == "x")


def read(column: Column, cells: list[str | None]) -> list[float]:
    schema = Schema((column,), learnt(["a", "b"] * 12).target)
    return [float(value) for value in encode(schema, Table("u.csv", pa.table({"x": cells}))).X[:, 0]]


VALUES = [1234.5 + 1000.25 * i for i in range(N)]


def english(value: float) -> str:
    return f"{value:,.2f}"


def german(value: float) -> str:
    return f"{value:,.2f}".translate(str.maketrans(",.", ".,"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("write", "reading"),
    [
        (english, Reading("number", ".", ",")),
        (german, Reading("number", ",", ".")),
        (lambda v: english(v).replace(",", "'"), Reading("number", ".", "'")),
        (lambda v: german(v).replace(".", " "), Reading("number", ",", " ")),
        (lambda v: german(v).replace(".", "\u202f"), Reading("number", ",", " ")),
        (lambda v: f"{v:.2f}".replace(".", ","), Reading("number", ",")),
        (lambda v: f"${english(v)}", Reading("number", ".", ",", "$")),
        (lambda v: f"{german(v)} €", Reading("number", ",", ".", "€")),
        (lambda v: f"USD {english(v)}", Reading("number", ".", ",", "usd")),
        (lambda v: f"{v:.2f}%", Reading("number", unit="%")),
        (lambda v: f"{v:.2f} kg", Reading("number", unit="kg")),
        (lambda v: f"{v:.2f}KG" if v < 2000 else f"{v:.2f} kg", Reading("number", unit="kg")),
        (lambda v: f"{v:.2f} months", Reading("number", unit="month")),
        (lambda v: f"{v:.5e} m/s", Reading("number", unit="m/s")),
        (lambda v: f"({english(v)})", Reading("number", ".", ",")),
    ],
)
def test_numbers_with_more_than_digits(write: Callable[[float], str], reading: Reading, tmp_path: Path) -> None:
    cells = [write(value) for value in VALUES]
    sign = -1.0 if cells[0].startswith("(") else 1.0
    column = column_x(cells)
    assert (column.kind, column.reading) == ("number", reading)
    np.testing.assert_allclose(read(column, [*cells, None])[:-1], sign * np.array(VALUES), rtol=1e-3)
    assert column.mean == pytest.approx(sign * np.mean(VALUES), rel=1e-3)
    text, value = reading.example
    assert read(column, [text]) == [float(value)]
    # The same in pieces, from a file of text, and in the file of a model.
    assert from_json(to_json(column), Column, "column") == column
    data = pa.table({"x": cells, "y": [i + 0.5 for i in range(N)]})
    with pa.ipc.new_file(tmp_path / "t.arrow", data.schema) as file:
        file.write_table(data, max_chunksize=5)
    assert FileRows(tmp_path / "t.arrow", "y").schema.columns[0].reading == reading
    (tmp_path / "t.csv").write_text("x;y\n" + "".join(f"{cell};{i}\n" for i, cell in enumerate(cells)))
    table = read_table(tmp_path / "t.csv")
    X = encode(learn_schema(table, "y"), table).X
    np.testing.assert_allclose(X[:, 0], sign * np.array(VALUES), rtol=1e-3)
    rows = FileRows(tmp_path / "t.csv", "y")
    np.testing.assert_array_equal(rows.gathered(np.arange(N))[0][:, 0], X[:, 0])


def test_negative_numbers() -> None:
    column = column_x(["$5", "-$1,234.50", "($3)", "$-7", "+$2", "−$4"] * 4)
    assert read(column, ["$5", "-$1,234.50", "($3)", "$-7", "+$2", "−$4"]) == [5, -1234.5, -3, -7, 2, -4]


@pytest.mark.parametrize(
    "cells",
    [
        ["3-4-18", "1-1-19", "1-1-20"] * 8,  # part numbers
        ["1.2.3", "1.10.0", "2.0.1"] * 8,
        ["001", "010", "200"] * 8,
        ["12345", "23456", "34567"] * 8,  # text on purpose, of a file with types
        ["20240131", "20240201", "20240301"] * 8,
        ["1st", "2nd", "3rd"] * 8,
        ["192.168.1.1", "10.0.0.1"] * 12,
        ["5 kg", "3 lb", "2 kg"] * 8,
        ["5 kg", "3", "2 kg"] * 8,
        ["1,5", "1.5", "2,5"] * 8,
        ["007 kg", "012 kg"] * 12,
    ],
)
def test_codes_and_mixed_units_stay_text(cells: list[str]) -> None:
    assert column_x(cells).kind == "category"


DAYS = [datetime.date(1999, 12, 31) + datetime.timedelta(days=37 * i) for i in range(N)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "order"),
    [
        ("%d/%m/%Y", "dmy"),
        ("%m-%d-%Y", "mdy"),
        ("%d.%m.%Y", "dmy"),
        ("%m/%d/%y", "mdy"),
        ("%Y/%m/%d", "ymd"),
        ("%d %b %Y", "ymd"),
        ("%d-%b-%y", "ymd"),
        ("%B %d, %Y", "ymd"),
        ("%a, %d %b %Y", "ymd"),
    ],
)
@pytest.mark.parametrize("clock", ["", " %H:%M", " %I:%M:%S %p", " %H:%M:%S+02:00"])
def test_dates(form: str, order: str, clock: str) -> None:
    moments = [datetime.datetime.combine(day, datetime.time(k % 24, 30)) for k, day in enumerate(DAYS)]
    cells = [moment.strftime(form + clock) for moment in moments]
    column = column_x(cells)
    assert column.kind == "date"
    assert column.reading == Reading("date", order=order)  # type: ignore[arg-type]
    expected = pd.to_datetime(pd.Series(cells), format=form + clock.replace("+02:00", "%z"), utc=True)
    days = (expected - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)
    np.testing.assert_allclose(read(column, [*cells]), days, rtol=0, atol=1e-9)
    # Dates as 2024-01-31 are understood everywhere.
    assert read(column, ["2024-01-31", "2024-01-31 06:00"]) == [19753.0, 19753.25]


@given(st.dates(datetime.date(1600, 1, 1), datetime.date(2400, 12, 31)))
@settings(deadline=None, max_examples=50)
def test_days_are_those_of_the_calendar(day: datetime.date) -> None:
    found = parse_dates(pa.array([f"{day.day}/{day.month}/{day.year:04}"])).in_order("dmy")
    assert found.tolist() == [(day - datetime.date(1970, 1, 1)).days]


def test_dates_that_do_not_exist_are_none() -> None:
    texts = ["31/02/2023", "29/02/1900", "0/1/2000", "1/13/2000", "1/1-2000", "1/1/2000 24:10", "1/1/2000 13:00 PM"]
    assert np.isnan(parse_dates(pa.array(texts)).in_order("dmy")).all()


AMBIGUOUS = [f"0{1 + i % 9}/0{1 + i % 7}/2021" for i in range(N)]


def test_dates_that_may_have_the_day_or_the_month_first_are_refused() -> None:
    with pytest.raises(InputError) as caught:
        learnt(AMBIGUOUS)
    assert "t.csv, column 'x': row 9 holds '08/01/2021', which is a date with the day first or with" in str(
        caught.value
    )
    assert "columns={'x': 'dmy'} or columns={'x': 'mdy'}" in str(caught.value)
    for order, day in (("dmy", 18629), ("mdy", 18635)):
        column = column_x(AMBIGUOUS, choices=ColumnChoices(orders={"x": order}))  # type: ignore[dict-item]
        assert column.reading is not None
        assert column.reading.order == order
        assert read(column, ["02/01/2021"]) == [{"dmy": 18629.0, "mdy": 18659.0}[order]]
        del day
    assert column_x([cell.replace("/", ".") for cell in AMBIGUOUS]).reading == Reading("date", order="dmy")
    assert column_x(["01/01/2021", "02/02/2021", "03/03/2021"] * 8).kind == "date"
    assert learnt(AMBIGUOUS, ignore=["x"]).feature_names == ("z",)


def test_what_looks_like_a_code_is_a_date_where_that_is_said() -> None:
    assert column_x(["3-4-18", "13-1-19", "1-1-20"] * 8, choices=ColumnChoices(kinds={"x": "date"})).kind == "date"
    column = column_x([20240131, 20240201, 20240301] * 8, choices=ColumnChoices(kinds={"x": "date"}))
    assert read(column, ["20240131"]) == [19753.0]
    schema = Schema((column,), learnt(["a", "b"] * 12).target)
    assert encode(schema, Table("u", pa.table({"x": [20240131]}))).X.tolist() == [[19753.0]]


def test_years_of_two_digits_are_told() -> None:
    schema = learnt([day.strftime("%m/%d/%y") for day in DAYS])
    assert any("years of two digits (row 2 holds '12/31/99')" in warning for warning in schema.warnings)
    assert read(schema.columns[0], ["12/31/68", "12/31/69"]) == [36159.0, -1.0]


def test_times_of_day_are_hours() -> None:
    column = column_x([f"{i % 24}:{i:02}" for i in range(N)])
    assert (column.kind, column.reading) == ("number", Reading("time"))
    assert read(column, ["14:30", "2:30 PM", "12:15 am"]) == [14.5, 14.5, 0.25]


@pytest.mark.parametrize(
    ("trained", "cell", "sentence"),
    [
        ([german(value) for value in VALUES], "1234.5", "'1234.5' is not a number such as '1.234,5', as this"),
        ([f"{value} kg" for value in VALUES], "12 lb", "'12 lb' is not a number such as '12.5 kg'"),
        ([f"{value}%" for value in VALUES], "12", "'12' is not a number such as '12.5 %'"),
        ([day.strftime("%d/%m/%Y") for day in DAYS], "12/31/2021", "'12/31/2021' is not a date such as '31/01/2024'"),
        ([day.strftime("%d %b %Y") for day in DAYS], "01/02/2021", "'01/02/2021' is not a date such as '31 Jan 2024'"),
    ],
)
def test_a_cell_that_is_written_in_another_way_than_in_training_is_refused(
    trained: list[str], cell: str, sentence: str
) -> None:
    with pytest.raises(InputError) as caught:
        read(column_x(trained), [trained[0], cell])
    assert f"u.csv, row 3, column 'x': {sentence}" in str(caught.value)


def test_numbers_of_a_typed_file_are_what_they_are() -> None:
    column = column_x([german(value) for value in VALUES])
    schema = Schema((column,), learnt(["a", "b"] * 12).target)
    assert encode(schema, Table("u", pa.table({"x": [1234.5, 3.0]}))).X.tolist() == [[1234.5], [3.0]]


def test_a_part_of_the_rows_is_read_as_all_rows_are() -> None:
    cells = [f"{1 + i % 12}/{1 + i % 12}/2021" for i in range(N)] + ["13/1/2021"]
    whole = learnt(cells)
    n = len(cells) - 1
    part = Table("t.csv", pa.table({"x": cells[:n], "z": [float(i * i) for i in range(n)], "y": range(n)}))
    assert learn_schema(part, "y", like=whole).columns[0].reading == whole.columns[0].reading


def test_a_target_is_read_too() -> None:
    table = Table("t.csv", pa.table({"x": list(range(N)), "y": [f"$ {1000 + 37 * i:,}" for i in range(N)]}))
    schema = learn_schema(table, "y")
    assert (schema.target.task, schema.target.reading) == ("regression", Reading("number", ".", ",", "$"))
    assert encode_target(schema.target, table)[0].tolist() == [1000.0 + 37 * i for i in range(N)]
    with pytest.raises(InputError, match=r"row 2, column 'y': '12 €' is not a number such as '\$1,234.5'"):
        encode_target(schema.target, Table("u", pa.table({"y": ["12 €"]})))
    stars = Table("t.csv", pa.table({"x": list(range(120)), "y": [f"{1 + i % 3} stars" for i in range(120)]}))
    schema = learn_schema(stars, "y")
    assert schema.target.classes == (1, 2, 3)
    assert encode_target(schema.target, stars)[0][:4].tolist() == [0, 1, 2, 0]


def test_numbers_as_text_are_numbers_where_that_is_said() -> None:
    cells = [f"{i}.5" for i in range(N)]
    choices = ColumnChoices(kinds={"x": "number"})
    column = column_x(cells, choices=choices)
    assert (column.kind, column.reading, column.mean) == ("number", None, 12.0)
    with pytest.raises(InputError, match=r"row 2 holds '5 kg' and row 3 holds '3 lb', which have not the same unit"):
        learnt(["5 kg", "3 lb"] * 12, choices=choices)
    with pytest.raises(InputError, match=r"t.csv, row 4, column 'x': 'x' is not a number"):
        learnt(["5 kg", "3 kg", "x"] * 8, choices=choices)


@pytest.mark.slow
def test_the_command_reads_later_files_in_the_same_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, later, model = tmp_path / "t.csv", tmp_path / "u.csv", tmp_path / "m"
    rows = [f"{i}.{200 + 7 * i},50;{i},5;0{1 + i % 5};{1 + i % 12:02}/{1 + i}/2021;{3 * i},25" for i in range(1, N)]
    data.write_text("price;area;code;day;y\n" + "\n".join(rows) + "\n")
    words = ["--target", "y", "--model", "perceptron", "--no-report", "--output", str(model), "--category", "code"]
    assert main(["fit", str(data), *words]) == 0
    screen = " ".join(capsys.readouterr().out.split())
    assert "read as price: '1.234,5' is 1234.5 day: '01/31/2024' is 2024-01-31" in screen
    # A file in which nothing shows that a point is one of thousands.
    later.write_text("price;code;day;area\n4.207;03;2021-03-04;1\n4.207,00;03;03/04/2021;1\n")
    assert main(["predict", str(model), str(later), "--output", str(tmp_path / "p")]) == 0
    first, second = (tmp_path / "p").read_text().splitlines()[1:]
    assert float(first) == pytest.approx(float(second))
    assert capsys.readouterr().err == ""
    assert main(["predict", str(model), str(later), "--memory", "32MB", "--output", str(tmp_path / "q")]) == 0
    assert (tmp_path / "p").read_text() == (tmp_path / "q").read_text()
    data.write_text("d,y\n" + "".join(f"0{1 + i % 9}/0{1 + i % 7}/2021,{i}\n" for i in range(N)))
    assert main(["fit", str(data), *words[:-2]]) == 2
    assert "say it: --date d=dmy or --date d=mdy" in capsys.readouterr().err
    assert main(["fit", str(data), *words[:-2], "--date", "d=mdy"]) == 0
