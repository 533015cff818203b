"""A model that Python made works on the command line, and one that the command wrote works in Python."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import newtron
from newtron.cli import main

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def penguins() -> pd.DataFrame:
    return pd.read_csv(EXAMPLES / "penguins.csv")


def weighed() -> pd.DataFrame:
    return penguins().dropna(subset=["body_mass_g"])


def incomes(n: int = 300) -> pd.DataFrame:
    """Columns like those of a census: numbers with long tails, categories with many levels and missing cells, and the
    spaces and signs of such files."""
    rng = np.random.default_rng(4)
    work = np.array(["Private", "Self-emp-not-inc", "Local-gov", "State-gov", "?"])
    frame = pd.DataFrame(
        {
            "age": rng.integers(17, 90, n),
            "workclass": rng.choice(work, n, p=[0.6, 0.15, 0.1, 0.1, 0.05]),
            "education-num": rng.integers(1, 17, n),
            "native-country": rng.choice(["United-States", "Mexico", "Côte d'Ivoire", "Trinadad&Tobago"], n),
            "capital-gain": np.where(rng.random(n) < 0.1, rng.integers(100, 99_999, n), 0),
            "hours, a week": rng.integers(1, 99, n).astype(float),
        }
    )
    frame["workclass"] = frame["workclass"].where(frame["workclass"] != "?")
    frame.loc[::23, "hours, a week"] = np.nan
    score = 0.3 * frame["education-num"] + 0.03 * frame["age"] + (frame["capital-gain"] > 5_000) * 4.0
    frame["income"] = np.where(score + rng.logistic(size=n) > 4.5, ">50K", "<=50K")
    return frame


def stays(n: int = 200) -> pd.DataFrame:
    """Dates of two kinds, with missing ones, yes/no, and a target that is a number."""
    rng = np.random.default_rng(5)
    arrival = pd.Timestamp("2022-03-01") + pd.to_timedelta(rng.integers(0, 700, n), unit="D")
    frame = pd.DataFrame({"arrival": arrival, "booked": arrival - pd.to_timedelta(rng.integers(1, 90, n), unit="D")})
    frame["member"] = rng.choice(["yes", "no"], n)
    frame["price"] = (
        50.0 + 0.05 * (arrival - arrival.min()).days + 8.0 * (frame["member"] == "no") + rng.normal(scale=3.0, size=n)
    )
    frame.loc[::19, "booked"] = pd.NaT
    return frame


TABLES: list[Any] = [
    pytest.param(penguins, "species", {"model": "perceptron", "alpha": 0.5}, id="penguins"),
    pytest.param(weighed, "body_mass_g", {"model": "network", "hidden": (3,), "starts": 1, "alpha": 0.1}, id="mass"),
    pytest.param(incomes, "income", {"model": "perceptron"}, id="incomes"),
    pytest.param(stays, "price", {"model": "perceptron"}, id="stays"),
]


def predictions(path: str) -> tuple[list[str], np.ndarray[Any, Any]]:
    """The first column as text, and all that are numbers."""
    with open(path, encoding="utf-8", newline="") as file:
        _, *rows = csv.reader(file)
    is_number = all(cell.replace(".", "").replace("-", "").replace("e", "").isdigit() for cell in rows[0][:1])
    return [row[0] for row in rows], np.array([row[0 if is_number else 1 :] for row in rows], dtype=float)


@pytest.mark.slow
@pytest.mark.parametrize(("make", "target", "settings"), TABLES)
def test_a_model_goes_round_the_whole_circle(
    make: Any, target: str, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    frame = make()
    frame.to_csv("d.csv", index=False)
    words = [w for name, value in settings.items() for w in (f"--{name}", str(value).strip("(),"))]
    assert main(["fit", "d.csv", "--target", target, *words, "--no-report", "--quiet"]) == 0
    study = newtron.fit(frame, target, verbose=0, **settings)
    study.save("python.newtron")
    assert Path("python.newtron").read_bytes() == Path("model.newtron").read_bytes()
    # The command on a model from Python, and Python on a model from the command.
    assert main(["predict", "python.newtron", "d.csv", "--output", "p.csv"]) == 0
    first, values = predictions("p.csv")
    loaded = newtron.load("model.newtron")
    for given in (frame, pl.from_pandas(frame), pa.Table.from_pandas(frame), frame.drop(columns=target).iloc[:, ::-1]):
        if study.schema.target.task == "regression":
            assert loaded.predict(given).tolist() == values[:, 0].tolist()
        else:
            assert loaded.predict(given).tolist() == first
            assert np.array_equal(loaded.predict_proba(given), values)
        assert np.array_equal(study.model.predict(given), loaded.predict(given))
    for command in (["show", "python.newtron"], ["explain", "python.newtron", "d.csv", "--row", "2", "--json"]):
        assert main(command) == 0
    out = capfd.readouterr().out
    assert target in out
    # The derivation that the command prints is that of Python.
    of_command = json.loads(out.splitlines()[-1])
    of_python = study.model.explain(frame.iloc[[1]].drop(columns=target), frame[target].iloc[[1]]).to_dict()
    assert json.loads(json.dumps(of_python)) == of_command


def test_cells_that_training_never_saw_are_told_at_both_doors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    frame = penguins()
    study = newtron.fit(frame, "body_mass_g", model="perceptron", verbose=0)
    study.save("m.newtron")
    new = frame.iloc[:3].assign(island="Elsewhere")
    new.to_csv("new.csv", index=False)
    assert main(["predict", "m.newtron", "new.csv"]) == 0
    seen = capfd.readouterr()
    assert "3 cells with a value never seen in training" in seen.err
    with pytest.warns(UserWarning, match="3 cells"):
        found = newtron.load("m.newtron").predict(new)
    assert [repr(float(value)) for value in found] == seen.out.split()[1:]
