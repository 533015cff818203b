"""Counts on the command line: `--loss poisson` and `--offset` in fit, show, predict, explain and the report."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from newtron import load
from newtron.cli import main

SHIPS = Path(__file__).parents[2] / "examples" / "ships.csv"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    ships = pd.read_csv(SHIPS)
    ships["log_service"] = np.log(ships.pop("service"))
    ships[["built", "period"]] = "in " + ships[["built", "period"]].astype(str)
    ships.to_csv("ships.csv", index=False)
    ships.loc[3, "log_service"] = np.nan
    ships.to_csv("missing.csv", index=False)
    return tmp_path


FIT = ["fit", "ships.csv", "--target", "incidents", "--loss", "poisson", "--offset", "log_service", "--quiet"]


def test_counts_are_fitted_shown_predicted_and_explained(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FIT, "--model", "perceptron"]) == 0
    assert "Poisson regression" in (place / "report.html").read_text(encoding="utf-8")
    capsys.readouterr()
    assert main(["show", "model.newtron", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["settings"]["loss"] == "poisson"
    assert shown["settings"]["offset"] == "log_service"
    assert shown["summary"]["deviance"] == pytest.approx(38.69505153, rel=1e-8)
    assert "log_service" not in shown["coefficients"]["estimates"]
    assert main(["show", "model.newtron"]) == 0
    assert "add to the logarithm of the mean" in capsys.readouterr().out
    assert main(["predict", "model.newtron", "ships.csv"]) == 0
    predicted = [float(row["prediction"]) for row in csv.DictReader(capsys.readouterr().out.splitlines())]
    ships = pd.read_csv("ships.csv")
    assert sum(predicted) == pytest.approx(ships["incidents"].sum(), rel=1e-9)
    assert load("model.newtron").model_.scaling.offset is not None
    assert main(["explain", "model.newtron", "ships.csv", "--row", "2"]) == 0
    explained = capsys.readouterr().out
    assert "exposure, which is 63" in explained
    assert "ŷ = e^z" in explained


@pytest.mark.parametrize("model", [["perceptron"], ["network", "--hidden", "2", "--starts", "1"]])
def test_the_interval_of_a_count_has_whole_ends(
    model: list[str], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*FIT, "--model", *model, "--no-report"]) == 0
    assert "no intervals" not in capsys.readouterr().out
    assert main(["predict", "model.newtron", "ships.csv", "--interval", "0.8"]) == 0
    for row in csv.DictReader(capsys.readouterr().out.splitlines()):
        low, mean, high = (float(row[name]) for name in ("lower", "prediction", "upper"))
        assert low.is_integer()
        assert high.is_integer()
        assert low <= mean
        assert mean <= high or mean < 0.2  # a count is then 0 in more than 80 of 100 cases


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["missing.csv", "--loss", "poisson", "--offset", "log_service"], "this column has missing cells"),
        (["ships.csv", "--loss", "poisson", "--offset", "type"], "is read as category and not as a number"),
        (["ships.csv", "--loss", "poisson", "--offset", "none"], "this is no column that a model can use"),
        (["ships.csv", "--offset", "log_service"], "give --loss poisson with it"),
    ],
)
def test_what_is_no_offset_gets_one_sentence(
    words: list[str], sentence: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", *words, "--target", "incidents"]) == 2
    assert sentence in capsys.readouterr().err


def test_negative_counts_and_losses_of_classes_are_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pd.read_csv("ships.csv").assign(incidents=lambda data: data["incidents"] - 1).to_csv("negative.csv", index=False)
    assert main(["fit", "negative.csv", "--target", "incidents", "--loss", "poisson", "--no-report"]) == 2
    assert "--loss poisson is for counts, 0 or more" in capsys.readouterr().err
    words = ["fit", "ships.csv", "--target", "type", "--task", "classification", "--loss", "poisson"]
    assert main(words) == 2
    assert "--loss is for a target that is a number" in capsys.readouterr().err
