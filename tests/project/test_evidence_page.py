"""The page of evidence: what is measured on rows held out, what is kept, and that a table says worse where it is."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import results as kept
from contenders import CLASSIFIERS, PEER_CLASSIFIERS, PEER_REGRESSORS, REGRESSORS, Contender
from default_cost import ten_sets
from held_out import calibration_error, classified, ended, regressed
from in_short import in_short
from jobs import Job, in_order, work_on
from paired import half_width
from promises import promises_section
from results import Results
from scipy.stats import norm, ttest_1samp
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
        if results.lacks("key", made_by):
            results.keep("key", {"value": value}, made_by=made_by)
        return int(Results("part", folder=tmp_path)["key"]["value"])

    assert [add(1, "peer 1.0"), add(2, "peer 1.0"), add(3, "peer 1.1")] == [1, 1, 3]
    assert [add(4, None), Results("part", folder=tmp_path).other_sources] == [3, 0]
    (tmp_path / "part.json").unlink()
    assert add(5, None) == 5
    monkeypatch.setattr(kept, "sources", lambda: "another")
    assert [add(6, None), Results("part", folder=tmp_path).other_sources] == [5, 1]
    Results("part", folder=tmp_path).drop_other_sources()
    assert add(7, None) == 7


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
    assert ["concrete", "RMSE", f"{rmse:.3f} (3)", "4.15", "WEvidential", word] in rows
    assert ["concrete", "NLL", "3.000 (3)", "2.83", "WEvidential", "worse"] in rows
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
    assert pair[2:] == ["1", "4", "90.00", "95.00", "-5.00", "0.3000", "0.2000", "+0.1000", "0", "1", "1"]
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
    assert pair[2:10] == ["1", "1", "70.00", "70.00", "+0.00", "0.3000", "0.5000", "-0.2000"]
    assert any(row[0] == "teaching †" for row in rows)


def test_an_earlier_state_is_shown_only_where_there_is_one(tmp_path: Path) -> None:
    shape = {"rows": 60, "columns": 9, "classes": 6}
    cost = made_up(tmp_path, "cost", ["breast-tissue/now"], shape)
    assert "before" not in ten_sets(cost)
    cost.records["breast-tissue/before"] = shape | {"cpu": 4.0}
    rows = rows_of(ten_sets(cost))
    assert ["breast-tissue", "60", "9", "6", "1.0", "4.0", "0.25"] in rows
    assert rows[-1][0] == "**fewer than 2,000 rows**, before: median 4.0, worst 4.0"


def test_a_broken_promise_is_shown(tmp_path: Path) -> None:
    keys = ["iris/NetworkClassifier/0", "wine/NetworkClassifier/0"]
    ours = made_up(tmp_path, "a", keys, {"log_loss": 0.5, "promised": 0.4})
    ours.records["wine/NetworkClassifier/0"]["promised"] = 0.1
    section = promises_section(
        made_up(tmp_path, "b", ["kin8nm/NetworkRegressor/0"], {"nll": -1.0, "promised": -1.1}), ours
    )
    assert ["wine", "development", "1", "0.100", "0.500", "0.400"] in rows_of(section)
    assert ["kin8nm (regression)", "validation", "1", "-1.100", "-1.000", "0.100"] in rows_of(section)
    ours.records["wine/NetworkClassifier/0"]["promised"] = 0.8
    section = promises_section(made_up(tmp_path, "b", [], {}), ours)
    assert "mean gap -0.100 ± 2.541 nat" in section  # +.1 and -.3: t of one degree of freedom is 12.71
    assert "mean size 0.200, over 2 sets; most hopeful +0.100 (iris); most pessimistic -0.300 (wine)." in section


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


def test_jobs_of_importance_come_first_and_time_that_is_over_ends_them(tmp_path: Path) -> None:
    def jobs(*rounds: int) -> list[Job]:
        return [Job(f"{number}", partial(dict, value=number), number) for number in rounds]

    order = in_order({"a": [Job("late", dict, 0, may_wait=True), *jobs(0, 1)], "b": jobs(0, 2)})
    assert [(part, job.key) for part, job in order] == [("a", "0"), ("b", "0"), ("a", "late"), ("a", "1"), ("b", "2")]
    kept = {part: Results(part, folder=tmp_path) for part in "ab"}
    failing = [("b", Job("failing", partial(json.loads, "{"))), ("b", Job("peer", dict, made_by="peer 1.0"))]
    assert work_on(order, kept, minutes=0.0, commit="c") == (0, len(order))
    assert work_on([*order[1:3], *failing], kept, 2, commit="c") == (1, 0)
    kept = {part: Results(part, folder=tmp_path) for part in "ab"}
    assert (kept["b"]["0"]["value"], kept["b"]["0"]["commit"]) == (0, "c")
    assert "commit" not in kept["b"]["peer"]
    assert work_on(order[1:3], kept) == (0, 0)  # nothing is computed twice
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", kept["b"].dates)


def test_an_interval_of_differences_is_that_of_students_t() -> None:
    differences = [0.1, -0.2, 0.4, 0.3]
    interval = ttest_1samp(differences, 0.0).confidence_interval(0.95)
    assert half_width(differences) == pytest.approx((interval.high - interval.low) / 2)
    # Nadeau and Bengio's correction: the variance of n splits is multiplied by 1 + n test / train.
    assert half_width(differences, 1 / 9) == pytest.approx(half_width(differences) * np.sqrt(1 + 4 / 9))
    assert np.isnan(half_width([1.0]))


@needs_shared
def test_the_first_screen_names_what_was_run_and_where_newtron_loses(tmp_path: Path) -> None:
    bins = [[0.0] * 9 + [10.0], [0.0] * 9 + [9.5], [0.0] * 9 + [9.0]]
    record = {"accuracy": 0.9, "log_loss": 0.3, "bins": bins, "commit": "abc", "date": "2026-12-01"}
    sets = ("titanic", "teaching", "dermatology")
    keys = [f"{name}/{who}/0" for name in sets for who in ("NetworkClassifier", "XGBoost")]
    found = made_up(tmp_path, "a", keys, record)
    for name, loss in zip(sets, (0.1, 0.35, 0.4), strict=True):
        found.records[f"{name}/XGBoost/0"] |= {"log_loss": loss}
    mine = {"rmse": 4.0, "nll": 3.0, "covered": 0.8, "commit": "abc", "date": "2026-12-01"}
    regression = made_up(tmp_path, "b", ["concrete/NetworkRegressor/0", "concrete/XGBoost/0"], mine)
    regression.records["concrete/XGBoost/0"] |= {"rmse": 2.0}
    text = in_short(regression, regression, found, found)
    assert "commit abc, 2026-12-01: classification on 3 of 15 validation sets (3 folds)" in text
    assert "a lower log loss in 1 of 3 validation sets, by most in titanic (+0.20 beside XGBoost)." in text
    assert "lower RMSE on concrete (XGBoost)" in text
    assert "test rows of concrete (80.0 %)." in text
    assert "in log loss better than 0, worse than 0, and not told apart from 1;" in text
    rows = rows_of(text)
    assert next(row for row in rows if row[0] == "XGBoost")[:4] == ["XGBoost", "3", "+0.0 ± 0.0", "+0.017 ± 0.399"]
    assert ["concrete", "development", "4", "XGBoost", "2.000 (1)", "80.0 %"] in rows


def test_the_measure_of_intervals_punishes_what_lies_outside() -> None:
    class Ends(Middle):
        def predict_ends(self, X: Any) -> Any:
            return np.zeros(len(X)), np.full(len(X), 2.0)

    found = regressed(Ends, X, X[:, 0], X, np.array([1.0, 2.0, 2.5, -0.5]))
    assert found["covered"] == 0.5
    assert found["interval_score"] == pytest.approx(2.0 + 20.0 * (0.5 + 0.5) / 4)
