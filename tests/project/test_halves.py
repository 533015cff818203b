"""The halves of the benchmark sets are fixed, and choosing defaults reads no row of the first published test part."""

from __future__ import annotations

import json

import numpy as np
import pytest
from development import every_set, inner_rows, tables
from halves import (
    DEVELOPMENT,
    DEVELOPMENT_REGRESSION,
    FURTHER,
    REPORTED_BEFORE,
    SEEN,
    VALIDATION,
    VALIDATION_REGRESSION,
    inner_division,
)
from support.certified import SHARED, classification_set, needs_shared, regression_set


def test_the_halves_are_disjoint_and_fixed() -> None:
    assert set(DEVELOPMENT) | set(VALIDATION) == set(SEEN) | set(FURTHER)
    assert (len(SEEN), len(FURTHER), len(DEVELOPMENT), len(VALIDATION)) == (20, 30, 35, 15)
    assert not set(DEVELOPMENT) & set(VALIDATION)
    assert not set(DEVELOPMENT_REGRESSION) & set(VALIDATION_REGRESSION)
    assert set(REPORTED_BEFORE) < set(FURTHER)
    assert sorted(VALIDATION) == [
        "audiology-std",
        "breast-cancer",
        "cardiotocography-3clases",
        "cylinder-bands",
        "dermatology",
        "energy-y1",
        "ilpd-indian-liver",
        "ionosphere",
        "low-res-spect",
        "lymphography",
        "primary-tumor",
        "statlog-image",
        "teaching",
        "titanic",
        "wine-quality-red",
    ]


@needs_shared
def test_the_halves_are_of_the_sets_that_are_there() -> None:
    listed = json.loads((SHARED / "uci121" / "index.json").read_text(encoding="utf-8"))
    assert set(listed) == set(DEVELOPMENT) | set(VALIDATION)


def test_an_inner_division_spreads_classes_and_trains_on_a_class_of_one_row() -> None:
    train = np.arange(3, 100)
    y = np.where(np.arange(200) % 8 == 0, 1, 0)
    y[50] = 2
    parts = [inner_division(train, y, number, classes=True) for number in range(4)]
    for fit, test in parts:
        assert sorted([*fit, *test]) == train.tolist()
        assert 50 in fit
        assert np.sum(y[test] == 1) == 3
    assert sorted(np.concatenate([test for _, test in parts])) == [row for row in train if row != 50]


@needs_shared
@pytest.mark.parametrize("name", ["flags", "optical", "regression/yacht"])
def test_an_inner_division_reads_no_published_test_row(name: str) -> None:
    suite, _, own = name.rpartition("/")
    X, y, splits = regression_set(own) if suite else classification_set(own)
    # Numbered rows: what comes back says which they are.
    train, test = splits[0]
    for number in range(4):
        fit, held_out = inner_division(train, y, number, classes=not suite)
        assert not set(fit) & set(held_out)
        assert not (set(fit) | set(held_out)) & set(test)
        assert set(fit) | set(held_out) == set(train)
    X_fit, y_fit, X_out, y_out = inner_rows(name, 0)
    assert len(X_fit) + len(X_out) == len(train)
    assert len(y_fit) + len(y_out) == len(train)
    assert X_fit.shape[1] == X.shape[1]
    assert len(inner_rows(name, 0, most_rows=50)[0]) == 50


def test_no_validation_set_is_on_offer() -> None:
    offered = every_set()
    assert not set(offered) & set(VALIDATION)
    assert not set(offered) & {f"regression/{name}" for name in VALIDATION_REGRESSION}


def test_the_table_compares_with_the_first_setting_and_with_what_was_promised() -> None:
    record = {"name": "iris", "accuracy": 0.9, "log_loss": 0.5, "promised": 0.4, "cpu": 1.0}
    better = record | {"log_loss": 0.3, "setting": "b=1"}
    text = tables([record | {"setting": "default"}, better, better | {"log_loss": 0.1}], ["default", "b=1"])
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    assert ["iris", "a", "90.0", "0.500", "0.400", "0.100", "1"] in rows
    assert ["iris", "b", "90.0", "0.200", "0.400", "-0.200", "1"] in rows
    assert rows[-1][-1] == "-0.3000 ± nan, 1 lower"


def test_a_setting_that_fails_is_named() -> None:
    assert "iris (a) failed: ValueError: no" in tables(
        [{"name": "iris", "setting": "x=1", "failed": "ValueError: no"}], ["x=1"]
    )
