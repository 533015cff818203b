"""`newtron predict --keep`: columns of the input beside each prediction, cell by cell as they are spelled."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from newtron.cli import main

HEADER = ["id", "x", "note", "=1+1", "when"]
ROWS = [
    ["007", "1.50", " two words ", "-1", "2024-01-05"],
    ["010", "2,", 'say "no", or NA', "=A1", ""],
    ["011", "NA", "NA", "", "None"],
    ["012", "4e0", "line\nbreak", "+2", "2024-02-01"],
]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    known, path = tmp_path / "known.csv", tmp_path / "m.newtron"
    known.write_text("x,y\n" + "".join(f"{i if i % 4 else ''},{2.5 * i if i % 4 else 7.5}\n" for i in range(40)))
    fit = ["fit", str(known), "--target", "y", "--model", "perceptron", "--quiet", "--no-report", "--output", str(path)]
    assert main(fit) == 0
    return path


def written(path: Path, rows: list[list[str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    return path


def read(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("pieces", [False, True])
@pytest.mark.parametrize("form", ["csv", "csv.gz"])
def test_cells_are_written_as_they_are_spelled(model: Path, form: str, pieces: bool, monkeypatch: Any) -> None:
    rows = [[*row[:1], row[1].replace(",", ".5"), *row[2:]] for row in ROWS]
    data, out = written(model.with_name("new.csv"), [HEADER, *rows]), model.with_name("out.csv")
    if form == "csv.gz":
        packed = model.with_name("new.csv.gz")
        packed.write_bytes(gzip.compress(data.read_bytes()))
        data = packed
    if pieces:
        monkeypatch.setattr("newtron.table.in_memory._is_large", lambda *_: True)
    words = ["predict", str(model), str(data), "--output", str(out)]
    assert main(words) == 0
    plain = read(out)
    assert main([*words, "--keep", "all"]) == 0
    found = read(out)
    assert found[0] == [*HEADER, "prediction"]
    assert [row[:-1] for row in found[1:]] == rows
    assert [row[-1:] for row in found] == plain
    assert main([*words, "--keep", "note,id", "--keep", "=1+1", "--safe-for-spreadsheets"]) == 0
    found = read(out)
    assert found[0] == ["note", "id", "'=1+1", "prediction"]
    assert [row[2] for row in found[1:]] == ["-1", "'=A1", "", "+2"]  # numbers are no formulas
    assert [row[0] for row in found[1:]] == [row[2] for row in rows]


def test_a_row_without_a_prediction_keeps_its_cells(model: Path, tmp_path: Path) -> None:
    known, path, out = tmp_path / "k.csv", tmp_path / "two.newtron", tmp_path / "out.csv"
    known.write_text("x,y\n" + "".join(f"{i},{2.5 * i}\n" for i in range(40)))
    fit = ["fit", str(known), "--target", "y", "--model", "perceptron", "--quiet", "--no-report", "--output", str(path)]
    assert main(fit) == 0
    data = written(tmp_path / "new.csv", [["id", "x"], ["a", "1"], ["b", ""], ["c", "2"]])
    assert main(["predict", str(path), str(data), "--keep", "id", "--output", str(out)]) == 0
    found = read(out)
    assert [row[0] for row in found] == ["id", "a", "b", "c"]
    assert found[2] == ["b", ""]
    assert float(found[3][1]) == pytest.approx(5.0)


def test_typed_cells_are_written_so_that_they_can_be_read_again(model: Path, tmp_path: Path) -> None:
    table = pa.table(
        {
            "x": pa.array([0.1, None, float("nan")]),
            "n": pa.array([1, 2**60, None]),
            "flag": [True, False, None],
            "day": pa.array([dt.date(2024, 1, 5), None, dt.date(1999, 12, 31)]),
            "at": pa.array([dt.datetime(2024, 1, 5, 12, 30), None, None]),
            "word": pa.array(["a", "b,c", None]).dictionary_encode(),
        }
    )
    path, out = tmp_path / "new.parquet", tmp_path / "out.csv"
    pq.write_table(table, path)
    assert main(["predict", str(model), str(path), "--keep", "all", "--output", str(out)]) == 0
    assert [row[:-1] for row in read(out)[1:]] == [
        ["0.1", "1", "true", "2024-01-05", "2024-01-05T12:30:00", "a"],
        ["", str(2**60), "false", "", "", "b,c"],
        ["", "", "", "1999-12-31", "", ""],
    ]


def test_a_name_with_a_comma_and_one_called_all(model: Path, tmp_path: Path) -> None:
    data = written(tmp_path / "new.csv", [["all", "a,b", "x"], ["1", "2", "3"]])
    out = tmp_path / "out.csv"
    assert main(["predict", str(model), str(data), "--keep", "a,b", "--keep", "all", "--output", str(out)]) == 0
    assert read(out)[0] == ["a,b", "all", "prediction"]


@pytest.mark.parametrize("pieces", [False, True])
def test_what_cannot_be_kept_is_said(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], pieces: bool, monkeypatch: Any
) -> None:
    if pieces:
        monkeypatch.setattr("newtron.table.in_memory._is_large", lambda *_: True)
    data = written(tmp_path / "new.csv", [["ident", "prediction", "x"], ["1", "2", "3"]])
    for asked, words in (("idnt", "there is no column 'idnt' to keep; did you mean 'ident'?"), ("all", "'prediction'")):
        assert main(["predict", str(model), str(data), "--keep", asked]) == 2
        out, err = capsys.readouterr()
        assert words in err
        assert out == ""
        assert err.strip().count("\n") == 0


def test_keeping_changes_no_prediction(model: Path, tmp_path: Path) -> None:
    """A column that is read as numbers and also kept as text is still read as numbers."""
    x = np.random.default_rng(0).normal(size=300)
    data, out = written(tmp_path / "new.csv", [["x"], *[[f"{v:.10f}"] for v in x]]), tmp_path / "out.csv"
    assert main(["predict", str(model), str(data), "--output", str(out)]) == 0
    before = read(out)
    assert main(["predict", str(model), str(data), "--keep", "x", "--output", str(out)]) == 0
    assert [row[1:] for row in read(out)] == before
    assert [row[0] for row in read(out)[1:]] == [f"{v:.10f}" for v in x]
