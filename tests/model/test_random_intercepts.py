"""Random intercepts beside networks: where they are kept, what they change, and that they go with the model."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import newtron
from newtron import FileRows, InputError, NetworkClassifier, NetworkRegressor, load
from newtron.inference.predictive import predictive
from newtron.inference.predictive.noise import scale_shares
from newtron.model.groups import told_intercepts
from newtron.table.choices import ColumnChoices
from newtron.training import train
from newtron.training.members import RowsLeftOut
from newtron.training.predictive import learn_noise
from newtron.training.task import Task

Array = Any
SMALL: dict[str, Any] = {"hidden": (3,), "n_starts": 1, "alpha": 0.1}
N, TOWNS = 500, 50


@cache
def towns() -> tuple[pd.DataFrame, Array]:
    """A curve in x, and a level for each of 50 towns."""
    rng = np.random.default_rng(1)
    town, x = rng.integers(0, TOWNS, N), rng.normal(size=N)
    y = np.sin(2.0 * x) + rng.normal(0.0, 1.0, TOWNS)[town] + rng.normal(0.0, 0.3, N)
    return pd.DataFrame({"x": x, "town": [f"t{t:02d}" for t in town]}), y


@cache
def fitted() -> NetworkRegressor:
    X, y = towns()
    return NetworkRegressor(**SMALL).fit(X[:400], y[:400])


def test_text_with_many_levels_becomes_groups_of_a_network_by_itself() -> None:
    X, y = towns()
    model = fitted()
    assert [column.kind for column in model.schema_.columns] == ["number", "factor"]
    assert model.members_[0].network.widths == (1, 3, 1)  # the towns are no inputs
    found = model.model_.random_intercepts
    assert found is not None
    assert len(found.groups[0].keys) == TOWNS
    without = NetworkRegressor(intercepts=None, **SMALL)
    with pytest.warns(newtron.SchemaWarning, match="most frequent are levels"):
        without.fit(X[:400], y[:400])
    assert model.score(X[400:], y[400:]) > 0.85 > without.score(X[400:], y[400:])
    (told,) = told_intercepts(model.model_)
    assert told.startswith("town: 50 levels with a random intercept each explain 90")
    assert told in str(model.certificate_)
    assert "not seen in training" in told


def test_a_level_that_was_not_seen_has_no_intercept_and_a_wider_interval() -> None:
    X, y = towns()
    model = fitted()
    found = model.model_.random_intercepts
    assert found is not None
    new = X[400:].assign(town="elsewhere")
    with pytest.warns(newtron.SchemaWarning, match="taken as none of its groups"):
        ends, means = model.predict_interval(new, coverage=0.9), model.predict(new)
    own = model.predict_interval(X[400:], coverage=0.9)
    assert np.diff(ends).mean() > 2.0 * np.diff(own).mean()
    for each in (ends, own):
        assert 0.84 < np.mean((each[:, 0] <= y[400:]) & (y[400:] <= each[:, 1])) <= 1.0
    town = found.groups[0]
    places = [int(name[1:]) for name in X["town"][400:]]
    gained = town.intercepts[places, 0] * model.scaling_.y_scale
    np.testing.assert_allclose(model.predict(X[400:]), means + gained, rtol=1e-12)


def test_the_model_and_its_file_predict_and_explain_the_same(tmp_path: Path) -> None:
    X, y = towns()
    model = fitted()
    model.save(tmp_path / "towns.newtron")
    again = load(tmp_path / "towns.newtron")
    assert again.predict(X).tolist() == model.predict(X).tolist()
    assert again.predict_interval(X).tolist() == model.predict_interval(X).tolist()
    derivation = again.explain(X[:1], y[:1])
    answer = next(section for section in derivation.sections if section.key == "answer")
    steps = {step.key: step for step in answer.steps}
    table = steps["answer.intercepts"].table
    assert table is not None
    assert table.lines[0] == ("", f"town = {X['town'][0]}")
    np.testing.assert_allclose(float(np.asarray(steps["answer.average"].value)), model.predict(X[:1])[0], rtol=1e-12)
    np.testing.assert_allclose(derivation.loss, 0.5 * ((model.predict(X[:1]) - y[0]) / model.scaling_.y_scale) ** 2)


def test_numbers_that_repeat_have_intercepts_only_where_they_predict_rows_left_out() -> None:
    rng = np.random.default_rng(2)
    X = np.column_stack([rng.integers(0, 60, 900) / 7.0, rng.integers(0, 60, 900) / 3.0])
    jumps = rng.normal(0.0, 1.0, 60)[np.rint(X[:, 0] * 7.0).astype(int)]
    y = X[:, 1] / 10.0 + jumps + rng.normal(0.0, 0.5, 900)
    model = NetworkRegressor(**SMALL).fit(X, y)
    found = model.model_.random_intercepts
    assert found is not None
    assert [group.column for group in found.groups] == [0]
    np.testing.assert_allclose(found.groups[0].share, 1.0 / 1.25, atol=0.1)
    assert NetworkRegressor(**SMALL).fit(X, y - jumps).model_.random_intercepts is None
    # Whoever names columns gets them; a weight of 2 is the row twice.
    weight = rng.integers(1, 3, 900)
    once = NetworkRegressor(intercepts=[1, 0], **SMALL).fit(X, y, weight)
    twice = NetworkRegressor(intercepts=[1, 0], **SMALL).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    variances = [
        [float(group.variance[0]) for group in model.model_.random_intercepts.groups]  # type: ignore[union-attr]
        for model in (once, twice)
    ]
    np.testing.assert_allclose(variances[0], variances[1], rtol=0.1, atol=1e-3)


def test_models_of_the_noise_are_judged_by_the_parts_that_were_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Targets less their intercepts would be divided in another way than the targets were."""
    judged, learnt, judge, learn = [], [], scale_shares, learn_noise

    def judging(*given: Any, **more: Any) -> Array:
        judged.append(given[4])
        return judge(*given, **more)

    def learning(task: Task, members: Any, left_out: RowsLeftOut) -> Any:
        assert left_out.parts is not None
        learnt.append((left_out.parts.part, task.division.part[left_out.rows]))
        return learn(task, members, left_out)

    monkeypatch.setattr(predictive, "scale_shares", judging)
    monkeypatch.setattr(train, "learn_noise", learning)
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=120), rng.integers(0, 20, 120)])
    y = X[:, 0] + rng.normal(0.0, 3.0, 20)[X[:, 1].astype(int)] + rng.normal(0.0, 0.3, 120)
    NetworkRegressor(hidden=[(), (3,)], n_starts=1, random_state=0, intercepts=[1]).fit(X, y)
    ((parts, others),) = learnt
    assert np.any(parts != others)
    np.testing.assert_array_equal(judged[0], parts)


def test_intercepts_of_classes_are_added_to_the_log_odds() -> None:
    X, _ = towns()
    rng = np.random.default_rng(3)
    odds = X["x"].to_numpy() + rng.normal(0.0, 1.5, TOWNS)[[int(name[1:]) for name in X["town"]]]
    y = np.where(rng.random(N) < 1.0 / (1.0 + np.exp(-odds)), "yes", "no")
    model = NetworkClassifier(hidden=(), alpha=1.0).fit(X, y)
    found = model.model_.random_intercepts
    assert found is not None
    assert 0.5 < float(found.groups[0].variance[0]) < 4.0
    with pytest.warns(newtron.SchemaWarning):
        none = model.predict_proba(X.assign(town="elsewhere"))
    T = model.temperature_
    own = model.predict_proba(X)
    gained = found.groups[0].intercepts[[int(name[1:]) for name in X["town"]], 0]
    np.testing.assert_allclose(np.log(own[:, 1] / own[:, 0]), np.log(none[:, 1] / none[:, 0]) + gained / T, rtol=1e-9)
    sure, unsure = (model.predict_uncertainty(rows).model_std for rows in (X, X))
    np.testing.assert_array_equal(sure, unsure)


def test_rows_of_files_have_the_same_groups(tmp_path: Path) -> None:
    X, y = towns()
    X[:400].assign(y=y[:400]).to_csv(tmp_path / "towns.csv", index=False)
    rows = FileRows(tmp_path / "towns.csv", target="y", choices=ColumnChoices(factors=("town",)))
    model = NetworkRegressor(**SMALL).fit_rows(rows)
    np.testing.assert_allclose(model.predict(X[400:]), fitted().predict(X[400:]), atol=0.02)


@pytest.mark.parametrize(
    ("intercepts", "message"),
    [
        ("all", "'auto', None, or a list of columns"),
        ([], "'auto', None, or a list of columns"),
        (["street"], "there is no column 'street'"),
        (["town", 1], "names a column twice"),
    ],
)
def test_columns_that_cannot_be_groups_are_named(intercepts: Any, message: str) -> None:
    X, y = towns()
    with pytest.raises(InputError, match=message):
        NetworkRegressor(intercepts=intercepts, **SMALL).fit(X, y)
    with pytest.raises(InputError, match="intercepts=7 is no position in 1 column"):
        NetworkRegressor(intercepts=[7], **SMALL).fit(X[["x"]], y)


def test_text_whose_groups_tell_nothing_is_not_used_and_text_alone_has_columns() -> None:
    X, y = towns()
    model = NetworkRegressor(**SMALL).fit(X, np.sin(2.0 * X["x"]) + np.random.default_rng(4).normal(size=N))
    assert model.model_.random_intercepts is None
    assert model.certificate_.beside == ("town: the model does not use it, because its groups tell nothing.",)
    with pytest.warns(newtron.SchemaWarning, match="most frequent are levels"):
        alone = NetworkRegressor(**SMALL).fit(X[["town"]], y)
    assert alone.schema_.columns[0].kind == "category"


def test_a_study_of_a_network_takes_text_for_groups() -> None:
    X, y = towns()
    study = newtron.fit(X.assign(y=y), "y", model="network", hidden=(3,), starts=1, alpha=0.1)
    assert "groups   town (50 levels)" in str(study)
    assert re.search(r"town: 50 levels with a random intercept each\s+explain 9\d(\.\d)? %", str(study))
    with pytest.raises(InputError, match="there is no column 'street'"):
        newtron.fit(X.assign(y=y), "y", model="network", intercepts=["street"])
