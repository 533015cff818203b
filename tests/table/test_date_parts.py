"""Parts of dates: a sine and a cosine of the year, the week and the day."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import newtron
from newtron.cli import main
from newtron.engine.base.errors import InputError
from newtron.table import encode, learn_schema, read_table
from newtron.table.choices import ColumnChoices
from newtron.table.schema import PERIODS

N = 900
DAYS = np.arange(N) * 1.25
STAMPS = [dt.datetime(2021, 1, 1) + dt.timedelta(days=float(d)) for d in DAYS]
SINCE = np.array([(s - dt.datetime(1970, 1, 1)).total_seconds() / 86400 for s in STAMPS])


def frame() -> pd.DataFrame:
    season = 3.0 * np.sin(2 * np.pi * SINCE / 365.2425) + np.cos(2 * np.pi * SINCE / 7.0)
    noise = np.random.default_rng(0).normal(size=N)
    return pd.DataFrame({"when": STAMPS, "x": noise, "y": 0.5 * noise + season + 0.01 * np.roll(noise, 1)})


def test_each_part_is_a_sine_and_a_cosine(tmp_path: Path) -> None:
    data = frame().astype({"when": str})
    data.loc[3, "when"] = None
    data.to_csv(tmp_path / "d.csv", index=False)
    table = read_table(tmp_path / "d.csv")
    schema = learn_schema(table, "y", choices=ColumnChoices(date_parts=("year", "week", "day")))
    (column,) = (c for c in schema.columns if c.name == "when")
    assert column.encoded == (
        "when",
        *(f"when: {wave} of the {part}" for part in ("year", "week", "day") for wave in ("sine", "cosine")),
        "when is missing",
    )
    X = encode(schema, table).X
    known = np.arange(N) != 3
    for place, part in enumerate(("year", "week", "day")):
        angle = 2 * np.pi * SINCE / PERIODS[part]  # type: ignore[index]
        np.testing.assert_allclose(X[known, 1 + 2 * place], np.sin(angle)[known], atol=1e-9)
        np.testing.assert_allclose(X[known, 2 + 2 * place], np.cos(angle)[known], atol=1e-9)
    assert X[3, :8].tolist() == [column.mean, *[0.0] * 6, 1.0]
    assert (X[known, 7] == 0.0).all()


def test_parts_without_a_date_are_told(tmp_path: Path) -> None:
    frame().drop(columns="when").to_csv(tmp_path / "d.csv", index=False)
    schema = learn_schema(read_table(tmp_path / "d.csv"), "y", choices=ColumnChoices(date_parts=("year",)))
    assert schema.warnings == ("date_parts adds nothing: no column that is used holds dates.",)


def test_a_season_is_learnt_stored_and_explained_by_effects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = frame()
    plain = newtron.fit(data, "y", model="perceptron", verbose=0)
    study = newtron.fit(data, "y", model="perceptron", date_parts=["year", "week"], verbose=0)
    assert plain.comparison is not None
    assert study.comparison is not None
    assert study.comparison["rmse"].iloc[1] < 0.05 < 1.0 < plain.comparison["rmse"].iloc[1]
    assert "when (and where in the year and week it is)" in str(study)
    study.save(tmp_path / "m.newtron")
    again = newtron.load(tmp_path / "m.newtron")
    np.testing.assert_array_equal(again.predict(data), study.model.predict(data))
    data.to_csv(tmp_path / "d.csv", index=False)
    words = ["fit", str(tmp_path / "d.csv"), "--target", "y", "--model", "perceptron", "--date-parts", "year,week"]
    assert main([*words, "--output", str(tmp_path / "c.newtron"), "--no-report", "--quiet"]) == 0
    command = newtron.load(tmp_path / "c.newtron")
    np.testing.assert_allclose(command.predict(data), study.model.predict(data), rtol=1e-8)
    with pytest.raises(InputError, match="parts of dates"):
        study.model.export(tmp_path / "m.sql")
    capsys.readouterr()


def test_the_slope_of_a_date_goes_through_its_parts() -> None:
    data = frame().iloc[:200]
    model = newtron.fit(data, "y", model="perceptron", date_parts="year,week", verbose=0).model
    h = 1e-3
    shift = [data.assign(when=data["when"] + pd.Timedelta(days=move)) for move in (h, -h)]
    by_differences = (model.predict(shift[0]) - model.predict(shift[1])) / (2 * h)
    found = model.effects(data, columns="when").to_frame()
    assert found["estimate"].iloc[0] == pytest.approx(by_differences.mean(), rel=1e-4)


def test_a_part_that_is_none_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="date_parts='month': a date has the parts 'year', 'week' or 'day'"):
        newtron.fit(frame(), "y", date_parts="month", verbose=0)
    assert main(["fit", "d.csv", "--target", "y", "--date-parts", "hour"]) == 2
    assert "--date-parts hour" in capsys.readouterr().err
