"""Columns that are the target in another form are named, and no network is trained where a sum is exact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from newtron.cli import main
from newtron.engine.base.words import told_at
from newtron.study.leaks import revealing_columns
from newtron.study.sample import Sample
from newtron.table import Table, encode, encode_target, learn_schema

N = 400


def frame_of(**columns: Any) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {"a": rng.normal(size=N).round(3), "b": rng.integers(0, 50, N), "c": rng.integers(0, 90, N)} | columns
    )


def said(frame: pd.DataFrame, y: Any) -> list[str]:
    table = Table("t.csv", pa.Table.from_pandas(frame.assign(y=y), preserve_index=False))
    schema = learn_schema(table, "y")
    codes, kept = encode_target(schema.target, table)
    with told_at("command"):
        return revealing_columns(schema, Sample(encode(schema, table).X[kept], codes))


def fit(
    frame: pd.DataFrame, folder: Path, capsys: pytest.CaptureFixture[str], *more: str
) -> tuple[dict[str, Any], str]:
    frame.to_csv(folder / "t.csv", index=False)
    words = ["--target", "y", "--hidden", "3", "--starts", "1", "--max-iter", "20", "--no-report", "--json"]
    assert main(["fit", str(folder / "t.csv"), *words, "--output", str(folder / "m"), *more]) == 0
    captured = capsys.readouterr()
    return json.loads(captured.out), captured.err


@pytest.mark.parametrize("more", [[], ["--model", "perceptron"], ["--memory", "32MB"]])
def test_a_sum_that_is_the_target_is_named_and_no_network_trained(
    more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if more[:1] == ["--memory"]:
        monkeypatch.setattr("newtron.table.in_memory._is_large", lambda *_: True)
    frame = frame_of()
    facts, told = fit(frame.assign(y=frame.b + frame.c), tmp_path, capsys, *more)
    assert list(facts["models"]) == ["perceptron"]
    (note,) = [note for note in facts["warnings"] if "last digits" in note]
    assert note.startswith("b + c is y: ")
    assert "(--ignore b c)" in note
    assert ("no network is trained" in note) == ("perceptron" not in more)
    assert told.index("note: b + c is y") < told.index("perceptron on all rows")


def test_weights_signs_and_a_constant_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = frame_of()
    facts, _ = fit(frame.assign(y=2.5 * frame.a - frame.c + 7), tmp_path, capsys)
    assert any(note.startswith("2.5 × a - c + 7 is y: ") for note in facts["warnings"])


def test_one_column_that_is_the_target_has_one_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = frame_of()
    facts, _ = fit(frame.assign(y=frame.a), tmp_path, capsys)
    (note,) = [note for note in facts["warnings"] if "--ignore a" in note]
    assert note.startswith("a is y: ")


def test_a_perceptron_of_more_columns_than_rows_is_not_exact(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(1)
    wide = pd.DataFrame(rng.normal(size=(30, 40)).round(3), columns=[f"x{j}" for j in range(40)]).assign(
        y=rng.normal(size=30)
    )
    facts, _ = fit(wide, tmp_path, capsys)
    assert set(facts["models"]) == {"perceptron", "network"}
    assert not any("last digits" in note for note in facts["warnings"])


RNG = np.random.default_rng(3)
Y = RNG.normal(size=N)
CODES = RNG.integers(0, 3, N)


@pytest.mark.parametrize(
    ("x", "y", "part"),
    [
        (Y + 0.01 * RNG.normal(size=N), Y, "predicts the target (R² 0.999"),
        (np.where(RNG.random(N) < 0.2, np.nan, 3.0 - Y), Y, "predicts the target (R² 1)"),
        (np.array(["x", "y", "z"])[CODES], CODES * 10.0 + 0.01 * RNG.normal(size=N), "predicts the target"),
        (Y, np.where(Y > 0.3, "late", "early"), "tells the class of 100.0 % of 400 rows"),
        (np.array(["x", "y", "z"])[CODES], np.array(["p", "q", "r"])[CODES], "tells the class"),
        (CODES + 0.5, np.array(["p", "q", "r"])[CODES], "tells the class"),
    ],
)
def test_one_column_that_tells_the_target_is_named(x: Any, y: Any, part: str) -> None:
    (sentence,) = said(frame_of(x=x), y)
    assert sentence.startswith(f"'x' alone {part}")
    assert sentence.endswith("(--ignore x).")


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (Y + 0.1 * RNG.normal(size=N), Y),
        ([f"w{i % 90}" for i in range(N)], Y),
        (Y, np.where(Y + 0.2 * RNG.normal(size=N) > 0.3, "late", "early")),
        (Y, np.where(np.arange(N) == 7, "rare", "usual")),  # one row is told by anything
        (np.arange(N)[::-1] * 1.0, np.array(["p", "q", "r"])[CODES]),  # a value of its own for each row
    ],
)
def test_ordinary_columns_are_not(x: Any, y: Any) -> None:
    assert said(frame_of(x=x), y) == []
