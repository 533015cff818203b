"""Copies of rows: kept on one side of the split, and told; equal rows that are no copies are left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from newtron.cli import main
from newtron.engine.base.row_hashes import row_hashes
from newtron.study.split import hold_out
from newtron.table import Table, learn_schema
from newtron.table.equal_rows import are_copies, equal_groups
from newtron.table.large.file_rows import FileRows

Array = np.ndarray[Any, Any]


def thrice(n: int = 100, seed: int = 0) -> pd.DataFrame:
    """n rows of noise with classes by chance, each three times, in random order."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(n, 5)).round(3), columns=list("abcde"))
    frame["y"] = rng.choice(["a", "b"], n)
    return pd.concat([frame] * 3).sample(frac=1.0, random_state=seed).reset_index(drop=True)


def groups_of(frame: pd.DataFrame) -> Array | None:
    table = Table("t.csv", pa.Table.from_pandas(frame, preserve_index=False))
    groups, found = equal_groups(learn_schema(table, "y"), table)
    assert not found or groups is not None
    return groups if found else None


def test_hashes_tell_rows_apart() -> None:
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, size=(20_000, 24)).astype(float)  # 0 and 1 differ in few bits
    expected = len(np.unique(X, axis=0))
    assert len(np.unique(row_hashes(X))) == expected
    assert len(np.unique(row_hashes(np.asfortranarray(X)))) == expected
    assert np.array_equal(row_hashes(np.array([[0.0, 1.0]])), row_hashes(np.array([[-0.0, 1.0]])))
    assert row_hashes(np.array([[0.0, 1.0]])) != row_hashes(np.array([[1.0, 0.0]]))
    near = np.arange(1e5)[:, None] * 2.0**-40
    assert len(np.unique(row_hashes(1.0 + near))) == 10**5


def test_groups_are_those_of_pandas() -> None:
    frame = thrice()
    frame["word"] = np.where(frame.a > 0, "x", "y")
    frame.loc[frame.b > 1.0, "word"] = None
    found = groups_of(frame)
    expected = frame.groupby([*list("abcde"), "word"], dropna=False).ngroup().to_numpy()
    assert found is not None
    assert len(np.unique(np.stack([found, expected]), axis=1).T) == len(np.unique(expected)) == len(np.unique(found))


def test_rows_of_columns_with_few_values_are_no_copies() -> None:
    rng = np.random.default_rng(1)
    few = pd.DataFrame(
        {"sex": rng.choice(["f", "m"], 2000), "class": rng.integers(1, 4, 2000), "y": rng.normal(size=2000)}
    )
    assert groups_of(few) is None
    assert not are_copies(few[["class"]].to_numpy(float))
    assert groups_of(pd.DataFrame({"part": rng.choice(list("abcd"), 80), "y": rng.normal(size=80)})) is None
    assert groups_of(pd.DataFrame({"x": np.arange(50.0), "y": rng.normal(size=50)})) is None
    small = thrice(10)
    found = groups_of(small)
    assert found is not None
    assert np.bincount(found).tolist() == [3] * 10


@pytest.mark.parametrize("n", [7, 20, 100])
@pytest.mark.parametrize("times", [2, 3, 7])
@pytest.mark.parametrize("seed", range(3))
def test_equal_rows_are_on_the_same_side(n: int, times: int, seed: int) -> None:
    alike = np.random.default_rng(seed).permutation(np.repeat(np.arange(n), times))
    classes = alike % 3
    training, held_out = hold_out(n * times, classes, 0.2, seed, alike)
    assert sorted([*training, *held_out]) == list(range(n * times))
    assert not set(alike[training]) & set(alike[held_out])
    assert len(held_out) >= 2
    assert set(classes[training]) == {0, 1, 2}
    assert len(held_out) <= max(0.2 * n * times + 3, times)
    if n == 100:
        assert len(held_out) >= 0.18 * n * times


def test_without_copies_the_split_is_as_ever() -> None:
    classes = np.arange(90) % 4
    for alike in (None, np.random.default_rng(0).permutation(90)):
        training, held_out = hold_out(90, classes, 0.2, 3, alike)
        assert held_out.tolist()[:6] == hold_out(90, classes, 0.2, 3)[1].tolist()[:6]
        assert len(training) + len(held_out) == 90


@pytest.mark.parametrize("target", ["y", "z"])
def test_chance_is_not_praised_where_every_row_is_there_three_times(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = thrice()
    frame["z"] = (1e3 * np.sin(1e6 * frame.a)).round(3)  # noise, the same for equal rows
    frame.drop(columns="z" if target == "y" else "y").to_csv(tmp_path / "t.csv", index=False)
    words = ["--target", target, "--output", str(tmp_path / "m"), "--hidden", "4", "--starts", "1", "--no-report"]
    assert main(["fit", str(tmp_path / "t.csv"), *words]) == 0
    seen = " ".join(capsys.readouterr().out.split())
    assert "300 of 300 rows are equal to another in every column that is used; 200 are exact copies" in seen
    assert "does not clearly predict better" in seen or "no better than" in seen or "worse than" in seen


def test_copies_in_a_stream_are_in_neither_part(tmp_path: Path) -> None:
    frame = thrice(400)
    data = pa.Table.from_pandas(frame, preserve_index=False)
    with pa.ipc.new_file(tmp_path / "t.arrow", data.schema) as file:
        file.write_table(data, max_chunksize=130)
    rows = FileRows(tmp_path / "t.arrow", "y")
    rest, X, _ = rows.hold_out(0.2, 0)
    others, codes = rest.gathered(rest.chosen(rest.n_rows, np.random.default_rng(0)))
    assert len(others) == rest.n_rows
    assert not set(row_hashes(X)) & set(row_hashes(others))
    assert rest.n_rows + rest.copies_left_out + len(X) == 1200
    assert rest.copies_left_out > 200
    assert rest.class_counts == tuple(np.bincount(codes.astype(int)))
    with pa.ipc.new_file(tmp_path / "once.arrow", data.schema) as file:
        file.write_table(pa.Table.from_pandas(frame.drop_duplicates(), preserve_index=False))
    assert FileRows(tmp_path / "once.arrow", "y").hold_out(0.2, 0)[0].copies_left_out == 0
