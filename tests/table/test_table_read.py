"""Reading files: what comes out of good ones, and the sentence that bad ones give."""

from __future__ import annotations

import csv
import datetime
import gzip
import io
import itertools
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from newtron.engine.base.errors import InputError
from newtron.table import Table, read_table
from newtron.table.large.file_rows import opened

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"the data file shared/data/{name} is not beside this checkout")
    return path


def read(folder: Path, content: str | bytes, name: str = "t.csv", **settings: Any) -> Table:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(path, **settings)


def cells(table: Table) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = table.data.to_pydict()
    return found


def complaint(folder: Path, content: str | bytes, name: str = "t.csv", **settings: Any) -> str:
    with pytest.raises(InputError) as caught:
        read(folder, content, name, **settings)
    message = str(caught.value)
    assert message.startswith(str(folder / name))
    assert message.endswith(".")
    assert "\n" not in message
    assert "Arrow" not in message.removeprefix(str(folder)) or "Arrow file" in message
    return message


# --- good files, however they are written ---------------------------------------------------------


@pytest.mark.parametrize(
    ("separator", "decimal"),
    [*((separator, ".") for separator in ",;\t| "), *((separator, ",") for separator in ";\t| ")],
)
@pytest.mark.parametrize("quote", ['"', "'"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("packed", [False, True])
def test_every_way_to_write_the_same_table(
    tmp_path: Path, separator: str, quote: str, line_end: str, mark: bytes, decimal: str, packed: bool
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(
        out, delimiter=separator, quotechar=quote, lineterminator=line_end, quoting=csv.QUOTE_NONNUMERIC
    )
    writer.writerow(["name of it", "size", "count"])
    words = [f"a{separator}b", f"it{quote}s", "plain", "née Ω", "two words"]
    for row, word in enumerate(words):
        out.write(f"{quote}{word.replace(quote, quote * 2)}{quote}{separator}")
        out.write(f"{row}{decimal}5{separator}{row}{line_end}")
    raw = mark + out.getvalue().encode()
    table = read(tmp_path, gzip.compress(raw) if packed else raw, "t.csv.gz" if packed else "t.csv")
    assert cells(table) == {
        "name of it": words,
        "size": [0.5, 1.5, 2.5, 3.5, 4.5],
        "count": [0, 1, 2, 3, 4],
    }
    assert table.first_row == 2
    assert table.notes == ()


words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp", "Zs"]), min_size=1)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(separator=";", rows=[('"', "'", 0.0), ("'a'", "'b'", 1.0)])
@given(
    separator=st.sampled_from([",", ";", "\t", "|"]),
    rows=st.lists(st.tuples(words, words, st.floats(allow_nan=False, allow_infinity=False)), min_size=1, max_size=8),
)
def test_text_and_numbers_come_back_exactly(tmp_path: Path, separator: str, rows: list[tuple[str, str, float]]) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=separator, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(["first", "second", "third"])
    # A letter in front keeps the texts from being numbers, dates or missing markers.
    rows = [("t" + first, "t" + second, number) for first, second, number in rows]
    writer.writerows(rows)
    table = read(tmp_path, out.getvalue())
    assert list(zip(*cells(table).values(), strict=True)) == rows


def test_spector_has_single_quoted_names_and_blanks_between() -> None:
    table = read_table(shared("logistic/spector.csv"))
    assert table.names == ("OBS", "GPA", "TUCE", "PSI", "GRADE")
    assert table.n_rows == 32
    assert cells(table)["GPA"][:2] == [2.66, 2.89]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a b  c\n 1 2   3 \n4 5 6\n", {"a": [1, 4], "b": [2, 5], "c": [3, 6]}),
        ('a, "b"\n1, "x, y"\n', {"a": [1], "b": ["x, y"]}),
        ("sep=;\na;b\n1;2\n", {"a": [1], "b": [2]}),
        ("my target\n1\n2\n", {"my target": [1, 2]}),
        ("a,b\nO'Neil,5\n'tis,6\n", {"a": ["O'Neil", "'tis"], "b": [5, 6]}),
        ('a,b\n1,"x\ny"\n', {"a": [1], "b": ["x\ny"]}),
        ("a,b\n0x1F,+.5\n7,1e3\n", {"a": ["0x1F", "7"], "b": [0.5, 1000.0]}),
        ("a,b\n 1 , x y \n", {"a": [1], "b": ["x y"]}),
        ("a\tb\nx y\t1\nz, w\t2\n", {"a": ["x y", "z, w"], "b": [1, 2]}),
        ("a;b\n1,5;1\n-2;2\n,5e1;3\n", {"a": [1.5, -2.0, 5.0], "b": [1, 2, 3]}),
        ("a,b\n1,'n'\n2,'tis\n", {"a": [1, 2], "b": ["'n'", "'tis"]}),
        ("weight, kg;height, m\n1,5;2,5\n", {"weight, kg": [1.5], "height, m": [2.5]}),
        ("a,b\n1,2", {"a": [1], "b": [2]}),
        ("\n \na,b\n1,2\n", {"a": [1], "b": [2]}),
    ],
)
def test_small_oddities(tmp_path: Path, content: str, expected: dict[str, list[Any]]) -> None:
    assert cells(read(tmp_path, content)) == expected


@pytest.mark.parametrize("marker", ["", "  ", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?", ".", " NA "])
def test_missing_markers(tmp_path: Path, marker: str) -> None:
    table = read(tmp_path, f"x,y,z\n1,a,k\n{marker},{marker},k\n2.5,b,k\n")
    assert cells(table) == {"x": [1.0, None, 2.5], "y": ["a", None, "b"], "z": ["k"] * 3}


def test_markers_inside_words_are_words(tmp_path: Path) -> None:
    assert cells(read(tmp_path, "x,y\nNAN A,na\nNo,none\n")) == {"x": ["NAN A", "No"], "y": ["na", "none"]}


def test_blank_lines_are_left_out_and_row_numbers_stay(tmp_path: Path) -> None:
    table = read(tmp_path, "a,b\n1,2\n\n3,4\n,\n   \n5,6\n")
    assert cells(table) == {"a": [1, 3, None, 5], "b": [2, 4, None, 6]}
    assert [table.row_number(i) for i in range(4)] == [2, 4, 5, 7]
    assert "2 blank lines left out" in table.notes[0]
    with pytest.raises(InputError, match="row 5,"):
        read(tmp_path, "a,b\n1,2\n\n3,4\ninf,5\n")


@pytest.mark.slow
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", ["", "\n", "\n\n"])
def test_separators_alone_are_a_row_and_a_blank_line_is_none(tmp_path: Path, end: str, last: str) -> None:
    for lines in itertools.product(["1,2", "", ",", '"",2', "NA,"], repeat=3):
        text = "a,b\n" + "\n".join(lines) + last
        expected = [number for number, line in enumerate(lines, start=2) if line]
        if expected:
            table = read(tmp_path, text.replace("\n", end))
            assert [table.row_number(i) for i in range(table.n_rows)] == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("x\n1\n\n3\n", [1, None, 3]),
        ("x\n1\n\n3\n\n\n", [1, None, 3]),
        ('x\n\n""\n3\n""\n', [None, None, 3, None]),
        ('x\n"a ""quoted"" word"\n\nb\n\n', ['a "quoted" word', None, "b"]),
        ("x\n1\n  \nNA", [1, None, None]),
    ],
)
def test_in_one_column_an_empty_line_is_an_empty_cell(tmp_path: Path, content: str, expected: list[Any]) -> None:
    """As spreadsheets write it; those at the end of the file are no rows."""
    assert cells(read(tmp_path, content)) == {"x": expected}
    path = tmp_path / "one.csv"
    path.write_text(content)
    files = opened(path, 10**8, str(tmp_path))
    found = [table for _, table in files.tables(range(len(files.pieces)), ["x"], 100)]
    assert [cell for table in found for cell in table.data["x"].to_pylist()] == expected
    files.release()
    assert sorted(os.listdir(tmp_path)) == ["one.csv", "t.csv"]


def test_utf16_is_decoded_by_its_mark(tmp_path: Path) -> None:
    assert cells(read(tmp_path, "a,b\né,2\n".encode("utf-16"))) == {"a": ["é"], "b": [2]}


def test_unicode_labels_are_not_normalised(tmp_path: Path) -> None:
    labels = ["\u00e9", "e\u0301"]
    assert cells(read(tmp_path, f"x,y\n1,{labels[0]}\n2,{labels[1]}\n"))["y"] == labels
    table = read_table(shared("hostile/unicode_labels.csv"))
    assert set(cells(table)["y"]) == set(labels)


def test_a_column_without_name_gets_one(tmp_path: Path) -> None:
    table = read(tmp_path, ",a,\n1,5,\n2,6,\n")
    assert table.names == ("column 1", "a", "column 3")
    assert len(table.notes) == 2
    assert "'column 1'" in table.notes[0]


def test_names_that_count_are_names_with_a_note(tmp_path: Path) -> None:
    table = read(tmp_path, ",0,1,2\n1,4,5,6\n")
    assert table.names == ("column 1", "0", "1", "2")
    assert "first row" in table.notes[0]


@pytest.mark.parametrize(
    ("content", "a", "decimal"),
    [
        ('a,b\n"1,234",5\n', "1,234", "."),
        ("a;b\n1,234;5.5\n", "1,234", "."),
        ("a;b\n1.234;5,5\n", "1.234", ","),  # of thousands, as 5,5 shows
        ("a;b\n1.234;5\n", 1.234, "."),
        ("a;b\n1,234;5\n", 1.234, ","),
        ("a;b;c\n1.234;x;1.234,5\n", "1.234", ","),
        ("a;b\n1.234;5,678\n", 1.234, "."),
    ],
)
def test_the_decimal_mark_is_that_of_the_file(tmp_path: Path, content: str, a: object, decimal: str) -> None:
    table = read(tmp_path, content)
    assert cells(table)["a"] == [a]
    assert table.decimal == decimal
    assert table.notes == ()


@pytest.mark.slow
def test_rows_wider_than_a_block_and_many_rows(tmp_path: Path) -> None:
    wide = ";".join(f"name,{i}" for i in range(30_000))
    table = read(tmp_path, wide + "\n" + ";".join("7" for _ in range(30_000)) + "\n")
    assert len(table.names) == 30_000
    long = "a,b\n" + "".join(f"{i},x{i % 7}\n" for i in range(300_000)) + "oops,x\n"
    assert read(tmp_path, long).data.column("a")[300_000].as_py() == "oops"


def test_import_is_cheap() -> None:
    code = "import sys, newtron.table; sys.exit('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- bad files ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("", ["empty"]),
        ("\n\n", ["empty"]),
        ("x1,x2,y\n", ["no data rows"]),
        ("x1,x2,y", ["no data rows"]),
        ("x,x,y\n1,2,0\n", ["'x'", "two columns"]),
        ("a,b\n1,2\n3\n", ["row 3", "1 cell", "header has 2"]),
        ("a,b\n1,2\n3,4,5\n6,7\n", ["row 3", "3 cells", "header has 2", "comma"]),
        ("a;b\n1;2\n\n3;4;5\n6;7\n", ["row 4", "3 cells", "semicolon"]),
        ("\n\na,b\n1,2\n3\n", ["row 5", "1 cell"]),
        ("sep=;\na;b\n1;inf\n", ["row 3", "'b'"]),
        ('a,b\n1,"x\n2,3\n', ["row 2", "quotation mark", "never closes"]),
        ('a,b\n1,"x"y"\n', ["row 2", "quotation mark"]),
        ("a,b\n1,2\n3,\0\n", ["row 3", "NUL"]),
        ("1.5,2,3\n4,5,6\n", ["row 1", "'1.5'", "only numbers"]),
        ("a,b\n1,2\ninf,3\n", ["row 3", "'a'", "infinite"]),
        ("a,b\n1,2\n1,1e400\n-Infinity,3\n", ["row 4", "'a'"]),
        ("a,b\n1,2\n1," + "x" * 100_001 + "\n", ["row 3", "'b'", "100,001 characters"]),
        ('a, "b"\n1,2\n1,' + "x" * 200_000 + "\n", ["row 3", "100,000 characters"]),
        ("a,b\ncafé,1\n".encode("latin-1"), ["row 2", "Latin-1", "'café'", "encoding='latin-1'"]),
        (b"a,b\n1,1\n\x93x\x94,1\n", ["row 3", "Windows-1252", "encoding='cp1252'"]),
        (b"\x80\x05\x95\x01\x02,\xff\xfe", ["row 1", "binary"]),
        (b"PAR1 and then nothing", ["Parquet", "damaged"]),
        (b"ARROW1 and then nothing", ["Arrow", "damaged"]),
        (b"PK\x03\x04....", ["Excel"]),
        (b"\x1f\x8bxx", ["packed data", "damaged"]),
        (gzip.compress(b"a,b\n1,2\n", mtime=0)[:-9], ["packed data", "cut short"]),
        (b'{"a": [1]}', ["JSON"]),
    ],
)
def test_bad_files_give_one_sentence(tmp_path: Path, content: str | bytes, parts: list[str]) -> None:
    message = complaint(tmp_path, content)
    for part in parts:
        assert part in message


def test_a_cell_of_the_greatest_length_is_read(tmp_path: Path) -> None:
    assert len(cells(read(tmp_path, "a,b\n1," + "é" * 100_000 + "\n"))["b"][0]) == 100_000


def test_no_such_file_folder_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_table(tmp_path / "nothing.csv")
    with pytest.raises(InputError, match="folder"):
        read_table(tmp_path)
    with pytest.raises(InputError, match="not a file name"):
        read_table("a\0b")
    secret = tmp_path / "secret.csv"
    secret.write_text("a,b\n1,2\n")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", str(secret))

    monkeypatch.setattr("builtins.open", refuse)  # chmod would not stop an administrator
    with pytest.raises(InputError, match="permission"):
        read_table(secret)


@pytest.mark.parametrize("encoding", ["", "base64", "klingon"])
def test_encodings_that_are_none(tmp_path: Path, encoding: str) -> None:
    assert "text encoding" in complaint(tmp_path, "a,b\n1,2\n", encoding=encoding)


def test_encodings(tmp_path: Path) -> None:
    assert cells(read(tmp_path, "a,b\ncafé,1\n".encode("latin-1"), encoding="latin-1"))["a"] == ["café"]
    assert cells(read(tmp_path, "a,b\né,1\n".encode("utf-16-le"), encoding="utf-16-le"))["a"] == ["é"]
    assert "row 2" in complaint(tmp_path, "a,b\né,1\n", encoding="ascii")
    assert "shift_jis" in complaint(tmp_path, b"a,b\n\xff\xff,1\n", encoding="shift_jis")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("dup_columns.csv", ["'x'"]),
        ("header_only.csv", ["no data rows"]),
        ("huge_field.csv", ["row 2", "'x'", "200,000 characters"]),
        ("latin1.csv", ["row 2", "Latin-1", "'café'", "encoding='latin-1'"]),
        ("nan_inf.csv", ["rows 4, 5 and 7", "'x'"]),
        ("model_object_array.npz", ["ZIP"]),
        ("model_zip_bomb_200MB.npz", ["ZIP"]),
        ("model_pickle_executes_print.pkl", ["binary"]),
        ("model_safetensors_header_too_long.safetensors", ["binary"]),
        ("model_nan_weights.json", ["JSON"]),
        ("model_wrong_type.json", ["JSON"]),
    ],
)
def test_hostile_files_are_refused(name: str, parts: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    path = shared(f"hostile/{name}")
    with pytest.raises(InputError) as caught:
        read_table(path)
    for part in [name, *parts]:
        assert part in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_hostile_files_that_are_fine() -> None:
    assert cells(read_table(shared("hostile/bom_crlf_semicolon.csv"))) == {"x": [1.5, 2.5], "y": [0, 1]}
    assert cells(read_table(shared("hostile/latin1.csv"), encoding="latin-1"))["name"] == ["café", "thé"]
    assert read_table(shared("hostile/constant_and_collinear.csv")).names == ("c", "a", "b", "y")
    assert read_table(shared("hostile/quasi_separable.csv")).names == ("x1", "x2", "y")


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60) | st.text(alphabet="ab,;|\t \"'\n\r1.?é", max_size=60).map(str.encode))
def test_anything_else_is_a_table_or_a_sentence(tmp_path: Path, raw: bytes) -> None:
    try:
        table = read(tmp_path, raw)
    except InputError:
        complaint(tmp_path, raw)
    else:
        assert table.n_rows > 0


# --- Parquet and Arrow ----------------------------------------------------------------------------


def typed_table() -> pa.Table:
    return pa.table(
        {
            "whole": pa.array([1, None, 3], pa.int32()),
            "real": pa.array([1.5, float("nan"), 2.5], pa.float32()),
            "flag": [True, False, None],
            "level": pa.array(["a", "b", "a"]).dictionary_encode(),
            "text": [" NA ", "", "x"],
            "day": [datetime.date(2024, 1, 31), None, datetime.date(1969, 12, 31)],
        }
    )


@pytest.mark.parametrize("kind", ["parquet", "arrow file", "arrow stream", "arrow zstd"])
def test_binary_files_keep_their_types(tmp_path: Path, kind: str) -> None:
    data, path = typed_table(), tmp_path / "t"
    if kind == "parquet":
        pq.write_table(data, path)
    else:
        new = pa.ipc.new_stream if kind == "arrow stream" else pa.ipc.new_file
        options = pa.ipc.IpcWriteOptions(compression="zstd" if kind == "arrow zstd" else None)
        with pa.OSFile(str(path), "wb") as sink, new(sink, data.schema, options=options) as writer:
            writer.write_table(data)
    table = read_table(path)
    assert table.data.schema.types == data.schema.types
    assert table.data.drop_columns("real").equals(data.drop_columns("real"))
    assert table.first_row == 1


def test_bad_binary_files(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"x": [1.0, float("inf")]}), path)
    with pytest.raises(InputError, match=r"row 2, column 'x'"):
        read_table(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="damaged"):
        read_table(path)
    pq.write_table(pa.table({"x": pa.array([], pa.int64())}), path)
    with pytest.raises(InputError, match="no rows"):
        read_table(path)
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"]), path)
    with pytest.raises(InputError, match="both named 'x'"):
        read_table(path)


# --- Table ----------------------------------------------------------------------------------------


def test_take_keeps_row_numbers(tmp_path: Path) -> None:
    table = read(tmp_path, "a,b\n10,x\n20,y\n30,z\n")
    taken = table.take([2, 0])
    assert cells(taken) == {"a": [30, 10], "b": ["z", "x"]}
    assert [taken.row_number(i) for i in range(2)] == [4, 2]
    assert taken.take(np.array([1])).row_number(0) == 2
    with pytest.raises(InputError, match="did you mean 'a'"):
        table.column("A")


def test_a_pipe_is_read_from_its_first_byte(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    text = "number,word\n" + "".join(f"{i},w{i % 3}\n" for i in range(50))
    writer = threading.Thread(target=pipe.write_text, args=(text,))
    writer.start()
    table = read_table(pipe)
    writer.join()
    assert table.names == ("number", "word")
    assert table.n_rows == 50


def test_lines_above_the_names_are_spoken_of(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("# a title\na,y\n1,2\n")
    with pytest.raises(InputError, match=r"row 2: there are 2 cells here .* delete lines above the names"):
        read_table(path)
