"""The page of evidence: what is measured on rows held out, what is kept, and that a table says worse where it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import results as kept
from contenders import CLASSIFIERS, PEER_CLASSIFIERS, PEER_REGRESSORS, REGRESSORS, Contender
from held_out import calibration_error, classified, ended, regressed
from promises import promises_section
from results import OutOfTimeError, Results
from scipy.stats import norm
from support.certified import needs_shared
from uci_classification import classification_section
from uci_regression import regression_section
from validation_runs import kept_runs, table_of_runs

X = np.zeros((4, 1))


class Middle:
    """Predicts 1."""

    def fit(self, X: Any, y: Any) -> None:
        pass

    def predict(self, X: Any) -> Any:
        return np.ones(len(X))


class Normal(Middle):
    """Predicts 1 with a standard deviation of 2."""

    def predict_normal(self, X: Any) -> Any:
        return np.ones(len(X)), np.full(len(X), 2.0)


class Sure(Middle):
    """Knows two classes, and believes in the second with 0.75."""

    classes_ = np.array([0, 1])  # the numbers of the classes that it is trained on

    def predict_proba(self, X: Any) -> Any:
        return np.tile([0.25, 0.75], (len(X), 1))


def test_the_measures_of_regression() -> None:
    y = np.array([1.0, 2.0, -3.0, 5.0])
    found = regressed(Normal, X, y, X, y)
    assert found["rmse"] == pytest.approx(np.sqrt((0 + 1 + 16 + 16) / 4))
    assert found["nll"] == pytest.approx(-norm.logpdf(y, 1.0, 2.0).mean())
    assert found["covered"] == 0.5  # 90 % reach from -2.29 to 4.29


def test_the_measures_of_classification() -> None:
    y = np.array([2, 2, 0, 1])  # 1 was never seen: p = 0, taken for 1e-6
    found = classified(Sure, X, np.array([0, 2, 2, 2]), X, y)
    assert found["accuracy"] == 0.5
    assert found["log_loss"] == pytest.approx(-(2 * np.log(0.75) + np.log(0.25) + np.log(1e-6)) / 4)
    assert calibration_error([found]) == pytest.approx(0.25)
    all_right = classified(Sure, X, np.array([0, 2, 2, 2]), X, np.full(4, 2))
    assert calibration_error([found, all_right]) == pytest.approx(0.0)  # 6 of 8 rows are right, as was promised
    assert ended([{"statuses": ["CONVERGED", "MAX_ITER"]}, {"statuses": ["PRECISION"]}]) == "2 of 3"


def test_a_peers_results_are_renewed_with_its_version_and_newtrons_on_demand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def add(value: int, made_by: str | None) -> int:
        results = Results("part", folder=tmp_path)
        results.add("key", lambda: {"value": value}, made_by=made_by)
        return int(Results("part", folder=tmp_path)["key"]["value"])

    assert [add(1, "peer 1.0"), add(2, "peer 1.0"), add(3, "peer 1.1")] == [1, 1, 3]
    assert [add(4, None), Results("part", folder=tmp_path).other_sources] == [3, 0]
    (tmp_path / "part.json").unlink()
    assert add(5, None) == 5
    monkeypatch.setattr(kept, "sources", lambda: "another")
    assert [add(6, None), Results("part", folder=tmp_path).other_sources] == [5, 1]


def test_libraries_that_are_not_installed_are_left_out() -> None:
    assert Contender("nobody", lambda columns: None, "no-such-library").made_by == ""
    assert PEER_CLASSIFIERS[0].made_by is not None
    assert PEER_CLASSIFIERS[0].made_by.startswith("scikit-learn ")
    assert all(who.made_by is None for who in (*REGRESSORS, *CLASSIFIERS))


def made_up(tmp_path: Path, part: str, keys: list[str], record: dict[str, Any]) -> Results:
    found = Results(part, folder=tmp_path)
    found.records = {key: record | {"cpu": 1.0, "statuses": ["CONVERGED"], "sources": ""} for key in keys}
    return found


def rows_of(section: str) -> list[list[str]]:
    tables = [block for block in section.split("\n\n") if block.startswith("|")]
    assert tables
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1
    return [[cell.strip() for cell in line.split("|")[1:-1]] for table in tables for line in table.splitlines()]


@needs_shared
@pytest.mark.parametrize(("rmse", "word"), [(0.5, "better"), (4.46, "worse"), (4.15, "as good")])
def test_the_regression_tables_say_what_is_worse(tmp_path: Path, rmse: float, word: str) -> None:
    record = {"rmse": rmse, "nll": 3.0, "covered": 0.9}
    keys = [f"concrete/NetworkRegressor/{number}" for number in range(3)]
    peers = made_up(tmp_path, "peers", [f"concrete/{PEER_REGRESSORS[0].name}/0"], {"rmse": 10.0})
    section = regression_section(made_up(tmp_path, "ours", keys, record), peers)
    rows = rows_of(section)
    assert ["concrete", "RMSE", f"{rmse:.3f}", "4.15", "WEvidential", word] in rows
    assert ["concrete", "NLL", "3.000", "2.83", "WEvidential", "worse"] in rows
    assert any(row[0] == "newtron NetworkRegressor" and row[2] == f"{rmse:.3f} ± 0.000 (3)" for row in rows)


@needs_shared
def test_the_classification_tables_say_who_is_best(tmp_path: Path) -> None:
    bins = [[0.0] * 9 + [10.0], [0.0] * 9 + [9.5], [0.0] * 9 + [9.0]]
    record = {"accuracy": 0.9, "log_loss": 0.3, "bins": bins}
    folds = range(4)
    ours = made_up(tmp_path, "a", [f"iris/{who.name}/{fold}" for who in CLASSIFIERS for fold in folds], record)
    names = [who.name for who in PEER_CLASSIFIERS]
    peers = made_up(tmp_path, "b", [f"iris/{name}/{fold}" for name in names for fold in folds], record)
    for fold in folds:
        peers.records[f"iris/random forest/{fold}"] |= {"accuracy": 0.95, "log_loss": 0.2}
    section = classification_section(ours, peers)
    rows = rows_of(section)
    mine = next(row for row in rows if row[0] == "newtron NetworkClassifier")
    forest = next(row for row in rows if row[0] == "random forest")
    assert mine == ["newtron NetworkClassifier", "90.00 (5.50)", "0.3000 (5.50)", "0.0500", "1"]
    assert forest[1:3] == ["95.00 (1.00)", "0.2000 (1.00)"]
    pair = next(row for row in rows if row[:2] == ["development", "random forest"])
    assert pair[2:] == ["1", "4", "90.00", "95.00", "0.3000", "0.2000", "0", "1", "1"]
    by_set = [row for row in rows if row[0] == "iris"]
    assert [sum(cell.startswith("**") for cell in row) for row in by_set] == [1, 1, 1, 0]
    assert by_set[0][-5:] == ["77.0", "**96.6**", "88.5", "96.1", "94.7"]
    assert re.search(r"Not run by all: abalone, .*, zoo\.", section)


@needs_shared
def test_both_halves_stand_side_by_side(tmp_path: Path) -> None:
    bins = [[0.0] * 9 + [10.0], [0.0] * 9 + [9.5], [0.0] * 9 + [9.0]]
    record = {"accuracy": 0.9, "log_loss": 0.3, "bins": bins}
    names = [who.name for who in (*CLASSIFIERS, *PEER_CLASSIFIERS)]
    # iris is a development set; titanic and teaching are validation sets, and teaching was reported of.
    found = made_up(
        tmp_path, "a", [f"{name}/{who}/0" for name in ("iris", "titanic", "teaching") for who in names], record
    )
    found.records["teaching/NetworkClassifier/0"] |= {"accuracy": 0.7}
    found.records["teaching/CatBoost/0"] = found["teaching/NetworkClassifier/0"] | {"log_loss": 0.5}
    rows = rows_of(classification_section(found, found))
    header = next(row for row in rows if row[0] == "method")
    assert [cell.split(":")[0] for cell in header if "accuracy" in cell] == [
        "development, 1 sets, 1 folds",
        "validation, 2 sets, 2 folds",
        "validation without †, 1 sets, 1 folds",
    ]
    mine = next(row for row in rows if row[0] == "newtron NetworkClassifier")
    assert [mine[1][:5], mine[5][:5], mine[9][:5]] == ["90.00", "80.00", "90.00"]
    pair = next(row for row in rows if row[:2] == ["validation", "CatBoost"])
    assert pair[2:9] == ["1", "1", "70.00", "70.00", "0.3000", "0.5000", "1"]
    assert any(row[0] == "teaching †" for row in rows)


def test_a_broken_promise_is_shown(tmp_path: Path) -> None:
    keys = ["iris/NetworkClassifier/0", "wine/NetworkClassifier/0"]
    ours = made_up(tmp_path, "a", keys, {"log_loss": 0.5, "promised": 0.4})
    ours.records["wine/NetworkClassifier/0"]["promised"] = 0.1
    section = promises_section(
        made_up(tmp_path, "b", ["kin8nm/NetworkRegressor/0"], {"nll": -1.0, "promised": -1.1}), ours
    )
    assert ["wine", "development", "1", "0.100", "0.500", "0.400"] in rows_of(section)
    assert ["kin8nm (regression)", "validation", "1", "-1.100", "-1.000", "0.100"] in rows_of(section)
    assert "Development half: mean gap 0.250 nat over 2 sets, worst 0.400 (wine)." in section


def test_runs_of_the_validation_half_are_kept_by_commit(tmp_path: Path) -> None:
    def run(commit: str, rmse: float) -> list[Any]:
        record = {"rmse": rmse, "nll": 1.0, "covered": 0.9, "commit": commit, "date": "2026-11-30"}
        regression = made_up(tmp_path, "b", ["kin8nm/NetworkRegressor/0"], record)
        return kept_runs(made_up(tmp_path, "a", [], {}), regression, tmp_path / "runs.json")

    run("first", 3.0)
    run("second", 2.0)
    runs = run("second", 1.0)
    assert [(each["commit"], each["kin8nm"]["rmse"]) for each in runs] == [("first", 3.0), ("second", 1.0)]
    assert ["2026-11-30", "second", "-", "-", "-", "-", "1 / 1.000 / 90.0 (1)", "-"] in rows_of(table_of_runs(runs))


def test_a_part_ends_when_its_minutes_are_over(tmp_path: Path) -> None:
    results = Results("part", folder=tmp_path, minutes=0.0, stamp={"commit": "c"})
    with pytest.raises(OutOfTimeError):
        results.add("key", lambda: {"value": 1})
    stamped = Results("part", folder=tmp_path, minutes=1.0, stamp={"commit": "c"})
    stamped.add("key", lambda: {"value": 1})
    assert stamped["key"]["commit"] == "c"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", stamped.dates)


def test_the_measure_of_intervals_punishes_what_lies_outside() -> None:
    class Ends(Middle):
        def predict_ends(self, X: Any) -> Any:
            return np.zeros(len(X)), np.full(len(X), 2.0)

    found = regressed(Ends, X, X[:, 0], X, np.array([1.0, 2.0, 2.5, -0.5]))
    assert found["covered"] == 0.5
    assert found["interval_score"] == pytest.approx(2.0 + 20.0 * (0.5 + 0.5) / 4)
