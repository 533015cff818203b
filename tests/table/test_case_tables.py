"""Tables as people have them, each in its smallest form: what every column becomes, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from newtron.engine.base.errors import InputError
from newtron.table import encode, encode_target, learn_schema, read_table
from newtron.table.choices import ColumnChoices

N = 40


def lines(header: str, *forms: str, separator: str = ",") -> str:
    """Return a table: each form is written with i, and y is a number."""
    rows = [
        separator.join([*(form.format(i=i, j=i % 4 + 1, k=i * i % 19, d=1 + i % 28) for form in forms), f"{i}"])
        for i in range(N)
    ]
    return separator.join([*header.split(), "y"]) + "\n" + "\n".join(rows) + "\n"


BREEDS = "breed,y\n" + "".join(f"breed {i % 45 if i % 2 else i % 5},{i % 7}.5\n" for i in range(400))


@pytest.mark.parametrize(
    ("text", "kinds", "said"),
    [
        ("x,y\n1,2\n\n2,4\n\n4,7\n", {"x": "number"}, ["2 blank lines left out"]),
        (lines("x note", "{k}", ""), {"x": "number"}, ["'note' is not used: every cell is missing"]),
        (
            '"Retail Price","Area / m²",y\n1.5,2,3\n2.5,1,1\n4,4,9\n',
            {"Retail Price": "number", "Area / m²": "number"},
            [],
        ),
        ("country,y\n" + "NA,1\nFR,2\nBW,3\n" * 9, {"country": "category"}, ["9 cells with 'NA' were read as missing"]),
        (lines("customer_id x", "{k}7{i:02}3", "{k}"), {"customer_id": "number", "x": "number"}, ["looks like an id"]),
        (lines("eu", "{d:02}/0{j}/2021"), {"eu": "date"}, []),
        (lines("us", "0{j}/2{j}/21"), {"us": "date"}, ["years of two digits (row 2 holds '01/21/21')"]),
        (lines("mon", "1{j}-Sep-2021"), {"mon": "date"}, []),
        (lines("compact", "2021010{j}"), {"compact": "number"}, ["columns={'compact': 'date'} reads them as dates"]),
        (lines("long", '"September 1{j}, 2021"'), {"long": "date"}, []),
        (lines("preis flaeche", "{j}.445,5{j}", "8{j},3", separator=";"), {"preis": "number", "flaeche": "number"}, []),
        (lines("postcode", "0213{j}"), {"postcode": "number"}, ["train with columns={'postcode': 'category'}"]),
        (lines("code", '"00{j}"'), {"code": "category"}, []),
        (lines("note", '"line one\nline ""two"" {j}, comma"'), {"note": "category"}, []),
        (lines("part", "3-{j}-18"), {"part": "category"}, []),
        (lines("rate income", "1{j}.94%", '"${j}{k:02},806.00"'), {"rate": "number", "income": "number"}, []),
        (
            lines("temp", "{i}").replace("\n7,", "\n-999,").replace("\n8,", "\n-999,"),
            {"temp": "number"},
            ["holds -999"],
        ),
        (BREEDS, {"breed": "category"}, ["45 different values: the 20 most frequent are levels"]),
    ],
)
def test_a_table(text: str, kinds: dict[str, str], said: list[str], tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    table = read_table(path)
    schema = learn_schema(table, "y")
    assert {column.name: column.kind for column in schema.columns} == kinds
    X = encode(schema, table).X
    assert np.isfinite(X).all()
    assert np.isfinite(encode_target(schema.target, table)[0]).all()
    told = [*table.notes, *schema.warnings]
    for part in said:
        assert any(part in sentence for sentence in told), told
    if not said:
        assert told == []


def test_a_target_of_limits_is_refused_with_its_row(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{i},{i}.{i}\n" for i in range(1, 20)) + "3,<1.0\n")
    with pytest.raises(InputError, match=r"target 'y': row 21 holds '<1.0', a limit and not a number"):
        learn_schema(read_table(tmp_path / "t.csv"), "y")


def test_codes_that_are_said_to_be_categories_keep_their_zeros(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(lines("postcode", "0213{j}") + "10001,3\n")
    choices = ColumnChoices(kinds={"postcode": "category"})
    table = read_table(path, letters=choices.letters)
    assert table.notes == ()
    schema = learn_schema(table, "y", choices=choices)
    (column,) = schema.columns
    assert {*column.levels, column.reference} == {"02131", "02132", "02133", "02134", "10001"}
    assert schema.letters == {"postcode"}
