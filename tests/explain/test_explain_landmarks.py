"""A perceptron on landmarks is explained, and what else tells a model says that it is there."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.derivations import (
    check_exactly,
    check_numbers_as_shown,
    check_table_as_shown,
    drawn,
    every_step,
    table_of,
    value_of,
)
from support.present import present

from newtron import NetworkClassifier
from newtron.cli import main
from newtron.engine.maths.landmarks import LandmarkFeatures
from newtron.explain.show.symbols import to_text
from newtron.model.explanation import explained
from newtron.play.of_model import session_of
from newtron.study.report.page import _averaged, _relevance_of_inputs
from newtron.training.fitted import Member

COLUMNS = ["width", "height"]


@cache
def fitted() -> tuple[NetworkClassifier, pd.DataFrame, np.ndarray]:
    """One of three classes wherever the cell of a board has it, 60 rows."""
    rng = np.random.default_rng(0)
    X = rng.uniform(0.0, 3.0, size=(60, 2)) * [1.0, 100.0]
    cell = np.floor(X / [1.0, 100.0]).astype(int)
    y = np.array([["a", "b", "c"], ["c", "a", "b"], ["b", "c", "a"]])[cell[:, 0], cell[:, 1]]
    frame = pd.DataFrame(X, columns=COLUMNS)
    return NetworkClassifier(n_starts=1, alpha=0.1).fit(frame, y), frame, y


def on_landmarks(model: NetworkClassifier) -> tuple[int, Member, LandmarkFeatures]:
    """The number of the member, counted from 1, the member, and its landmarks."""
    ((place, member),) = [(n, m) for n, m in enumerate(model.members_, start=1) if m.first_input]
    return place, member, present(model.scaling_.landmarks)


@pytest.mark.parametrize("moved", [0.0, 0.07], ids=["a landmark", "another row"])
def test_every_number_follows_from_those_shown(moved: float) -> None:
    model, X, y = fitted()
    place, *_ = on_landmarks(model)
    rows = X + np.array([moved, 100.0 * moved])
    for derivation in (
        model.explain(rows.iloc[[3]], y[3:4], member=place),
        model.explain(rows.iloc[[3]], member=place),
        model.explain(rows.iloc[:6], y[:6], member=place),
    ):
        for step in every_step(derivation):
            check_exactly(step)
            if step.table is not None:
                check_table_as_shown(step.table, step)
            if step.numbers:
                check_numbers_as_shown(to_text(step.numbers))
        drawn(derivation)
        drawn(derivation.in_notation("lab"))


def test_similarities_inputs_and_sums_are_those_of_the_formulas() -> None:
    model, X, y = fitted()
    place, member, landmarks = on_landmarks(model)
    x = X.to_numpy()[3] + [0.07, 7.0]
    derivation = model.explain(pd.DataFrame([x], columns=COLUMNS), y[3:4], member=place)
    assert derivation.title.startswith("Classification with a perceptron on landmarks: ")
    d = np.array([np.sum(landmarks.rate * np.abs(x - point)) for point in landmarks.points])
    nearest = int(np.argmin(d))
    assert derivation["scaling.distance"].symbol == f"d_{{{nearest + 1}}}"
    assert value_of(derivation, "scaling.distance") == pytest.approx(d[nearest], rel=1e-12)
    by_column = table_of(derivation, "scaling.distance")
    assert by_column.lines == (("given_{1}", "width"), ("given_{2}", "height"))
    np.testing.assert_array_equal(by_column.values[:, 1], landmarks.points[nearest])
    s = np.exp(-d)
    np.testing.assert_allclose(value_of(derivation, "scaling.similarity"), s, rtol=1e-12)
    fed = s @ landmarks.factor - landmarks.mean
    np.testing.assert_allclose(value_of(derivation, "scaling.landmarks"), fed, rtol=0, atol=1e-12)
    assert value_of(derivation, "scaling.mixed") == pytest.approx((s @ landmarks.factor)[np.abs(fed).argmax()])
    W, b = member.network.split(member.params)[0]
    z = fed @ W + present(b)
    largest = int(np.argmax(z))
    said = table_of(derivation, "forward.landmarks")
    assert value_of(derivation, "forward.landmarks") == pytest.approx(z[largest], abs=1e-12)
    np.testing.assert_allclose(said.values[:-1, 1], landmarks.factor @ W[:, largest], rtol=1e-9)
    assert f", for {model.classes_[largest]}," in derivation["forward.landmarks"].sentence
    assert "scaling.x" not in [step.key for step in derivation.steps]


def test_slopes_go_back_to_the_columns() -> None:
    model, X, _ = fitted()
    place, member, _ = on_landmarks(model)
    x, units = X.to_numpy()[3] + [0.07, 7.0], np.array([1.0, 100.0])
    derivation = model.explain(pd.DataFrame([x], columns=COLUMNS), member=place)

    def probabilities(at: np.ndarray) -> np.ndarray:
        return np.asarray(model.loss_.inverse_link(member.output(model.scaling_.inputs(at[None])))[0])

    followed = int(np.argmax(probabilities(x)))
    moves = 1e-6 * np.diag(units)
    change = [(probabilities(x + move) - probabilities(x - move))[followed] / 2e-6 for move in moves] / units
    key = f"inputs.{followed + 1}"
    np.testing.assert_allclose(value_of(derivation, f"{key}.slope"), change, rtol=1e-6)
    most = int(np.argmax(np.abs(change) * model.scaling_.x_scale))
    assert COLUMNS[most] in derivation[f"{key}.column"].sentence
    assert value_of(derivation, f"{key}.column") == pytest.approx(change[most], rel=1e-6)
    answer = table_of(derivation, "inputs.answer")
    assert answer.lines == (("given_{1}", "width"), ("given_{2}", "height"))


def test_what_tells_the_model_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, X, _ = fitted()
    place, member, landmarks = on_landmarks(model)
    model.save(tmp_path / "m.newtron")
    assert main(["show", str(tmp_path / "m.newtron")]) == 0
    screen = " ".join(capsys.readouterr().out.split())
    shape = f"{member.network.widths[0]}-3 landmarks"
    assert f"{shape}, " in screen
    assert "how near a row is to 60 rows of the training, the landmarks. The model file holds their columns" in screen
    assert "(--hidden)" in screen
    assert main(["show", "--json", str(tmp_path / "m.newtron")]) == 0
    facts = json.loads(capsys.readouterr().out)
    np.testing.assert_array_equal(facts["landmarks"], landmarks.points)
    assert [one["inputs"] == "landmarks" for one in facts["members"]] == [bool(m.first_input) for m in model.members_]
    assert "60 rows of the training" in " ".join(_averaged(model.model_))
    lines = table_of(model.explain(X.iloc[[0]], member=place), "answer.members.1").lines
    assert f"{shape}, this one" in [name for _, name in lines]


def test_as_the_best_member_it_is_explained_and_the_page_shows_another() -> None:
    model, X, y = fitted()
    place, member, _ = on_landmarks(model)
    others = [replace(one, share=0.1) for one in model.members_]
    members = tuple(replace(member, share=0.8) if one.first_input else one for one in others)
    several = replace(model.model_, members=members)
    assert several.best != place - 1  # another is told and shown
    assert "on landmarks" not in explained(several, X.to_numpy()[:1], y[:1]).title
    hello = json.loads(json.dumps(session_of(several, X.to_numpy(), y).ask({"kind": "hello"})))
    assert "the best of those that take the columns themselves" in hello["note"]
    members = tuple(replace(one, share=float(bool(one.first_input))) for one in members)
    best = replace(model.model_, members=members)
    assert best.best == place - 1
    assert "on landmarks" in explained(best, X.to_numpy()[:1], y[:1]).title
    assert _relevance_of_inputs(best, member) is None
