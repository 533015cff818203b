"""Workbooks, packed text, folders and lists of text files: the same tables as from one CSV file."""

from __future__ import annotations

import bz2
import datetime
import gzip
import io
import lzma
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openpyxl
import pyarrow as pa
import pytest

from newtron.cli import main
from newtron.engine.base.errors import InputError
from newtron.table import learn_schema, read_table
from newtron.table.choices import ColumnChoices
from newtron.table.data_file import TooLargeError, data_file_of
from newtron.table.large.file_rows import FileRows

ROWS = [f"{i},{'abc'[i % 3]},{i * i % 17}.5" for i in range(300)]
TEXT = "n,g,y\n" + "\n".join(ROWS) + "\n"


def zstd(raw: bytes) -> bytes:
    packed: bytes = pa.compress(raw, "zstd", asbytes=True)
    return packed


PACKING: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstd,
}


@pytest.mark.slow
@pytest.mark.parametrize("ending", PACKING)
def test_packed_text_is_the_same_table(ending: str, tmp_path: Path) -> None:
    plain, path = tmp_path / "t.csv", tmp_path / f"t.csv.{ending}"
    plain.write_text(TEXT)
    packed = PACKING[ending](TEXT.encode())
    path.write_bytes(packed)
    assert read_table(path).data.equals(read_table(plain).data)
    assert FileRows(path, "y").schema == learn_schema(read_table(plain), "y")
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(InputError, match="is damaged or cut short; write it again"):
        read_table(path)
    path.write_bytes(PACKING[ending](b"a,b\n" + b"1,2\n" * 400_000))
    with pytest.raises(TooLargeError):
        read_table(path, limit=1e6)


# --- workbooks ---


def workbook(path: Path) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.title = "notes"
    sheet = book.create_sheet("data")
    sheet.append([])
    sheet.append([None, "when", "n", "price", "ok", "code", "at", "mixed", "empty", "y"])
    for i in range(30):
        price = "#DIV/0!" if i == 7 else None if i == 4 else 1.5 * i * i
        moment, clock = datetime.datetime(2024, 1, 1, 12) + datetime.timedelta(days=3 * i), datetime.time(i % 24, 30)
        mixed = "n/a" if i == 6 else i if i % 2 else f"{i}.5"
        sheet.append([None, moment, i, price, i % 3 == 0, f"0{i % 4}", clock, mixed, None, 2 * i + 0.5])
        if i == 5:
            sheet.append([])
    book.save(path)


def test_a_sheet_has_types(tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    workbook(path)
    table = read_table(path)
    assert table.names == ("when", "n", "price", "ok", "code", "at", "mixed", "empty", "y")
    types = ["timestamp[us]", "int64", "double", "bool", "string", "time64[us]", "double", "string", "double"]
    assert [str(kind) for kind in table.data.schema.types] == types
    assert table.data["price"].to_pylist()[3:8] == [13.5, None, 37.5, 54.0, None]
    assert table.data["code"].to_pylist()[:2] == ["00", "01"]
    assert [table.row_number(k) for k in (0, 5, 6)] == [3, 8, 10]
    assert table.notes == (f"{path}, sheet 'data': 1 blank row left out.",)
    kinds = {column.name: column.kind for column in learn_schema(table, "y").columns}
    assert kinds == {
        **{"when": "date", "n": "number", "price": "number", "ok": "yes/no", "code": "category"},
        **{"at": "number", "mixed": "number"},
    }


CONTENT = """<?xml version="1.0" encoding="UTF-8"?><office:document-content
xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"
xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"
xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" office:version="1.2"><office:body><office:spreadsheet>
<table:table table:name="one">{rows}</table:table></office:spreadsheet></office:body></office:document-content>"""


MANIFEST = """<?xml version="1.0" encoding="UTF-8"?><manifest:manifest
xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"><manifest:file-entry manifest:full-path="/"
manifest:media-type="application/vnd.oasis.opendocument.spreadsheet"/></manifest:manifest>"""


def open_document(path: Path) -> None:
    def cell(value: object) -> str:
        if isinstance(value, str):
            return f'<table:table-cell office:value-type="string"><text:p>{value}</text:p></table:table-cell>'
        return f'<table:table-cell office:value-type="float" office:value="{value}"/>'

    rows: list[list[object]] = [["a", "b", "y"], *([i, "uv"[i % 2], i + 0.5] for i in range(20))]
    text = "".join(f"<table:table-row>{''.join(map(cell, row))}</table:table-row>" for row in rows)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("content.xml", CONTENT.format(rows=text))
        archive.writestr("META-INF/manifest.xml", MANIFEST)


def test_a_sheet_of_open_document(tmp_path: Path) -> None:
    path = tmp_path / "t.ods"
    open_document(path)
    assert read_table(path).data.slice(0, 2).to_pylist() == [{"a": 0, "b": "u", "y": 0.5}, {"a": 1, "b": "v", "y": 1.5}]


def test_an_old_workbook() -> None:
    statsmodels = pytest.importorskip("statsmodels")
    path = Path(statsmodels.__file__).parent / "datasets/macrodata/src/macrodata.xls"
    path = path / "macrodata.xls" if path.is_dir() else path
    if not path.exists():
        pytest.skip("this statsmodels has no macrodata.xls")
    table = read_table(path, sheet="Monthly")
    assert table.names == ("DATE", "CPIAUCSL", "M1SL", "POP", "TB3MS")
    assert table.data.slice(0, 1).to_pylist()[0]["DATE"] == datetime.datetime(1934, 1, 1)
    assert table.data["TB3MS"][0].as_py() == 0.72


def test_what_is_wrong_with_a_workbook_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.xlsx"
    workbook(path)
    with pytest.raises(InputError, match=r"no sheet 'dat'; did you mean 'data'\? \(the sheets are 'notes', 'data'\)"):
        read_table(path, sheet="dat")
    with pytest.raises(InputError, match="sheet 'notes': the sheet is empty"):
        read_table(path, sheet="notes")
    with pytest.raises(TooLargeError):
        read_table(path, limit=1000)
    (tmp_path / "cut.xlsx").write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match="ZIP archive"):
        read_table(tmp_path / "cut.xlsx")
    with zipfile.ZipFile(tmp_path / "odd.xlsx", "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook")
    with pytest.raises(InputError, match="the workbook is damaged"):
        read_table(tmp_path / "odd.xlsx")
    (tmp_path / "odd.xls").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(range(256)) * 8)
    with pytest.raises(InputError, match="the workbook is damaged"):
        read_table(tmp_path / "odd.xls")
    (tmp_path / "t.csv").write_text(TEXT)
    with pytest.raises(InputError, match="this is no workbook, which has sheets; leave sheet out"):
        read_table(tmp_path / "t.csv", sheet="data")
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(InputError, match=r"needs the extra excel: pip install 'newtron\[excel\]'"):
        read_table(path)


def test_the_command_reads_a_sheet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, model = tmp_path / "t.xlsx", tmp_path / "m"
    workbook(path)
    words = ["--target", "y", "--model", "perceptron", "--no-report", "--output", str(model)]
    assert main(["fit", str(path), *words, "--sheet", "data"]) == 0
    assert main(["predict", str(model), str(path), "--output", str(tmp_path / "p")]) == 0
    assert (tmp_path / "p").read_text().count("\n") == 31
    assert main(["fit", str(path), *words, "--sheet", "other"]) == 2
    assert "there is no sheet 'other'" in capsys.readouterr().err


# --- several files ---


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the rows in three files, of which one is packed and has its columns in another order."""
    found = tmp_path / "folder"
    found.mkdir()
    turned = [",".join([row.split(",")[2], *row.split(",")[:2]]) for row in ROWS[100:200]]
    (found / "a.csv").write_text("n,g,y\n" + "\n".join(ROWS[:100]) + "\n")
    (found / "b.csv.gz").write_bytes(gzip.compress(("y,n,g\n" + "\n".join(turned) + "\n").encode()))
    (found / "c.csv").write_text("n,g,y\n" + "\n".join(ROWS[200:]) + "\n")
    (tmp_path / "all.csv").write_text(TEXT)
    return found


def test_files_of_a_folder_or_pattern_or_list_follow_each_other(folder: Path) -> None:
    whole = FileRows(folder.parent / "all.csv", "y")
    listed = data_file_of(tuple(str(path) for path in sorted(folder.iterdir())))
    for several in (folder, f"{folder}/*.csv*", listed):
        rows = FileRows(several, "y")
        assert rows.schema == whole.schema
        assert rows.gathered(np.arange(300))[0].tobytes() == whole.gathered(np.arange(300))[0].tobytes()


def test_what_is_wrong_in_one_of_several_files_names_it(folder: Path) -> None:
    with (folder / "c.csv").open("a") as file:
        file.write("x,a,1\n")
    with pytest.raises(InputError, match=r"c\.csv, row 102, column 'n': 'x' is not a number"):
        FileRows(folder, "y", choices=ColumnChoices(kinds={"n": "number"}))
    (folder / "d.csv").write_text("n,g,z\n1,a,2\n")
    with pytest.raises(InputError, match=r"d\.csv: the column 'y' of .*a\.csv is missing here; write all files alike"):
        FileRows(folder, "y")
    (folder / "d.csv").unlink()
    (folder / "d.parquet").write_text("x")
    with pytest.raises(InputError, match=r"files of text \(a\.csv\) and others \(d\.parquet\); give a pattern"):
        FileRows(folder, "y")


def test_the_command_reads_several_files(folder: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    files = [str(path) for path in sorted(folder.iterdir())]
    model = folder.parent / "m"
    words = ["--target", "g", "--model", "perceptron", "--no-report", "--output", str(model), "--alpha", "1"]
    assert main(["fit", *files, *words]) == 0
    capsysbinary.readouterr()
    found = []
    for data in (files, [str(folder)], [f"{folder}/*"], [str(folder.parent / "all.csv")]):
        assert main(["predict", str(model), *data]) == 0
        found.append(capsysbinary.readouterr().out)
    assert found[0].count(b"\n") == 301
    assert len(set(found)) == 1


@pytest.mark.parametrize("ending", ["", *PACKING])
def test_the_command_reads_standard_input(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    class Input:
        buffer = io.BytesIO(PACKING[ending](TEXT.encode()) if ending else TEXT.encode())

    words = ["--target", "y", "--model", "perceptron", "--no-report", "--quiet", "--output"]
    (tmp_path / "t.csv").write_text(TEXT)
    assert main(["fit", str(tmp_path / "t.csv"), *words, str(tmp_path / "m")]) == 0
    monkeypatch.setattr(sys, "stdin", Input())
    assert main(["fit", "-", *words, str(tmp_path / "n")]) == 0
    assert (tmp_path / "m").read_bytes() == (tmp_path / "n").read_bytes()
