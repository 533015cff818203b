"""Explanations of networks by default: asinh features, penalties from the data, and members without a share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.derivations import check_exactly, check_numbers_as_shown, check_table_as_shown, drawn, every_step, table_of

from newtron import NetworkClassifier, NetworkRegressor, PerceptronClassifier, PerceptronRegressor
from newtron.cli import main
from newtron.engine.objective import TrainingObjective
from newtron.engine.rows import ArrayRows
from newtron.explain.show.symbols import to_text
from newtron.inference.penalties.by_column import common_penalty

RNG = np.random.default_rng(11)
FRAME = pd.DataFrame(
    {"cement": RNG.exponential(200.0, 60), "water": 180.0 + 9.0 * RNG.normal(size=60), "wet": np.arange(60.0) % 2.0}
)
NUMBER = np.sqrt(FRAME["cement"]) + 4.0 * np.cos(FRAME["water"] / 6.0 + FRAME["wet"]) + 0.3 * RNG.normal(size=60)
TWO = np.where(NUMBER.median() + RNG.normal(size=60) < NUMBER, "yes", "no")
THREE = np.digitize(NUMBER, np.quantile(NUMBER, [0.3, 0.6]))

MODELS = {
    "regression": (NetworkRegressor(), NUMBER),
    "two targets": (NetworkRegressor(n_starts=1), np.c_[NUMBER, -FRAME["water"]]),
    "two classes": (NetworkClassifier(), TWO),
    "three classes": (NetworkClassifier(n_starts=1), THREE),
    "the best alone": (NetworkClassifier(combine="best", n_starts=1), TWO),
    "evidence": (PerceptronRegressor(alpha="evidence", standardize=True), NUMBER),
    "left out": (PerceptronClassifier(alpha="loo"), TWO),
}


@pytest.fixture(scope="module", params=MODELS)
def fitted(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    model, y = MODELS[request.param]
    return model.fit(FRAME, y), np.asarray(y)


@pytest.mark.slow
def test_every_number_follows_from_those_shown(fitted: tuple[Any, Any]) -> None:
    model, y = fitted
    for derivation in (model.explain(FRAME.iloc[[3]], y[3:4]), model.explain(FRAME.iloc[:20], y[:20])):
        for step in every_step(derivation):
            check_exactly(step)
            if step.table is not None:
                check_table_as_shown(step.table, step)
            if step.numbers:
                check_numbers_as_shown(to_text(step.numbers))
        drawn(derivation)
        drawn(derivation.in_notation("lab"))


@pytest.mark.slow
def test_asinh_features_are_a_step_and_all_inputs_are_fed(fitted: tuple[Any, Any]) -> None:
    model, y = fitted
    scaling = model.scaling_
    derivation = model.explain(FRAME.iloc[[3]], y[3:4])
    best = model.members_[model.model_.best]
    fed, taken = best.taken(scaling.inputs(FRAME.iloc[[3]].to_numpy()))[0], best.network.widths[0]
    first = next(step.key for step in derivation.steps if step.key.startswith("forward.1."))
    names = [name for _, name in table_of(derivation, first).lines]
    np.testing.assert_array_equal(derivation["lab.z.1"].factors[0].value[0], fed)
    if best.first_input:
        assert names == [*(f"nearness component {number}" for number in range(1, taken + 1)), "intercept"]
        return
    if scaling.asinh is None:
        assert names == ["cement", "water", "wet", "intercept"]
        return
    pieces = scaling.pieces.names(tuple(FRAME.columns)) if taken > 5 else ()
    assert names == ["cement", "water", "wet", "asinh of cement", "asinh of water", *pieces, "intercept"]
    by_u, by_x = table_of(derivation, "scaling.asinh"), table_of(derivation, "scaling.asinh.x")
    given = FRAME.iloc[3].to_numpy()[:2]
    features = scaling.asinh
    u = np.arcsinh((given - features.center) / features.scale)
    np.testing.assert_allclose(by_u.values, np.column_stack([given, features.center, features.scale, u]), rtol=1e-14)
    np.testing.assert_allclose(by_x.values, np.column_stack([u, features.mean, features.spread, fed[3:5]]), rtol=1e-14)
    assert list(by_x.lines) == [("x_{4}", "asinh of cement"), ("x_{5}", "asinh of water")]
    assert "asinh of cement" in str(derivation)
    assert "asinh((given - median) / scale)" in str(derivation)
    assert r"\text{asinh}(\frac{\text{given} - \text{median}}{\text{scale}})" in derivation.to_latex()
    assert "asinh of cement" in derivation.to_latex()
    assert "asinh of cement" in derivation.to_html()


@pytest.mark.slow
def test_columns_without_names_have_asinh_features_with_numbers() -> None:
    model = NetworkRegressor(n_starts=1).fit(FRAME.to_numpy(), NUMBER)
    derivation = model.explain(FRAME.to_numpy()[0], NUMBER[0])
    assert [name for _, name in table_of(derivation, "scaling.asinh.x").lines] == ["asinh of x1", "asinh of x2"]
    assert [name for _, name in table_of(derivation, "scaling.x").lines] == ["", "", ""]


@pytest.mark.slow
def test_the_penalty_is_the_members_own(fitted: tuple[Any, Any]) -> None:
    model, y = fitted
    for place, member in enumerate(model.members_, start=1):
        derivation = model.explain(FRAME, y, member=place)
        rows = ArrayRows(derivation["lab.z.1"].factors[0].value, derivation["lab.dz"].factors[-1].value)
        bare = TrainingObjective(member.network, model.loss_, rows)
        with_it = bare.with_alpha(member.alpha).evaluate(member.params, 1).gradient
        without = bare.evaluate(member.params, 1).gradient
        assert with_it is not None
        assert without is not None
        pull, gradient = table_of(derivation, "mean.penalty"), table_of(derivation, "mean.gradient")
        under = np.flatnonzero(member.alpha)
        np.testing.assert_array_equal(pull.values[:, 0], member.alpha[under])
        np.testing.assert_allclose(pull.values[:, -1], (with_it - without)[under], rtol=1e-7, atol=1e-12)
        np.testing.assert_allclose(gradient.values[:, -1], with_it, rtol=1e-12, atol=1e-15)
        # The rows are those of training, where the penalty holds the data's own slope in balance.
        assert np.abs(derivation.gradient).max() > 1e-6
        assert np.abs(with_it).max() < 1e-6
        one = " ".join(model.explain(FRAME.iloc[[0]], y[:1], member=place).summary)
        rules = {"evidence": "evidence", "loo": "approximate leave-one-out loss", "cv": "loss of rows left out"}
        assert f"chosen from the data by the {rules[model.alpha]} (alpha='{model.alpha}')" in one
        plural = "s" if member.network.n_outputs > 1 else ""
        by_column = member.network.split(member.alpha)[0].W[:, 0]
        of = "other weights" if np.ptp(by_column) else "weights"
        said = f"{by_column.min():.6g} to {by_column.max():.6g} on the weights from the inputs, by column, "
        on = f"{of} and hidden intercepts, {said if np.ptp(by_column) else ''}none on the output's "
        on = on if member.hidden else "weights, none on the "
        common = common_penalty(member.network, member.alpha)
        assert f"α = {common:.6g} on the {on}intercept{plural};" in one


def test_a_penalty_says_how_it_came_about() -> None:
    def said(model: Any, rows: slice = slice(None)) -> str:
        model.fit(FRAME[rows], NUMBER[rows])
        return " ".join(model.explain(FRAME.iloc[[0]], NUMBER[:1]).summary)

    with pytest.warns(UserWarning, match="."):
        large = said(NetworkRegressor(hidden=(300,), n_starts=1, max_iter=2, alpha="evidence"))
    too_large = "since the network is too large for alpha='evidence'"
    assert f"chosen from the data by the loss of rows left out, {too_large}" in large
    few = said(NetworkRegressor(hidden=(2,), n_starts=1), slice(1))
    assert "a fixed one, since too few rows differ to leave any out" in few
    assert "chosen from the data" not in few
    assert "α = 2 on the weights, none on the intercept." in said(PerceptronRegressor(alpha=2.0))


@pytest.mark.slow
def test_the_answer_is_the_average_by_shares(fitted: tuple[Any, Any]) -> None:
    model, y = fitted
    row, members = FRAME.iloc[[5]], model.members_
    used = [place for place, member in enumerate(members, start=1) if member.share]
    regression = not hasattr(model, "classes_")
    answer = np.atleast_1d(model.predict(row)[0] if regression else model.predict_proba(row)[0])
    for place in range(1, len(members) + 1):
        derivation = model.explain(row, y[5:6], member=place)
        keys = [step.key for step in derivation.steps]
        words = " ".join(derivation.summary)
        if len(members) == 1:
            assert "average" not in words
            assert not any(key.startswith("answer.members") for key in keys)
            continue
        if used == [place] and getattr(model, "temperature_", 1.0) == 1.0:
            assert not any(key.startswith(("answer.members", "answer.average")) for key in keys)
            continue
        np.testing.assert_allclose(np.ravel(derivation["answer.average"].value), answer, rtol=1e-12)
        if len(used) == 1:
            assert f"member {used[0]} alone" in words
        else:
            averaged = f"averages {len(used)} of the {len(members)}" if len(used) < len(members) else "averages"
            assert averaged in words
            table = table_of(derivation, "answer.members.1")
            assert [line[0] for line in table.lines] == [f"({n})" for n in used]
            np.testing.assert_array_equal(table.values[:, 0], [members[n - 1].share for n in used])
            marked = [line[0] for line in table.lines if "this one" in line[1]]
            assert marked == ([f"({place})"] if place in used else [])
            if regression or model.temperature_ == 1.0:
                first = answer[0] if regression or len(answer) > 2 else answer[1]
                assert float(np.asarray(derivation["answer.members.1"].value)) == pytest.approx(first, rel=1e-12)
        assert ("no share in it" in words) == (place not in used)


@pytest.mark.slow
def test_a_perceptron_without_a_share_is_told_apart() -> None:
    model, y = NetworkRegressor(n_starts=1).fit(FRAME, NUMBER), NUMBER.to_numpy()
    line, *others = model.members_
    shared = [replace(member, share=1.0 / len(others)) for member in others]
    model.model_ = replace(model.model_, members=(replace(line, share=0.0), *shared))
    derivation = model.explain(FRAME.iloc[[0]], y[:1], member=1)
    assert derivation.title.startswith("Regression with a perceptron")
    assert "this is member 1, which has no share in it" in " ".join(derivation.summary)
    assert "The other one has a share of 0." in derivation["answer.members.1"].sentence


@pytest.mark.slow
def test_the_report_shows_asinh_features_shares_and_intervals(tmp_path: Path) -> None:
    data = tmp_path / "d.csv"
    FRAME.assign(strength=NUMBER).to_csv(data, index=False)
    model = tmp_path / "m.newtron"
    arguments = ["--target", "strength", "--model", "network", "--output", str(model), "--quiet"]
    assert main(["fit", str(data), *arguments]) == 0
    page = model.with_suffix(".html").read_text(encoding="utf-8")
    assert "asinh of cement</text>" in page
    assert "with 90 % intervals" in page
    assert "The 90 % intervals contain" in page
    assert "2 of them once more as asinh features" in page
    assert "effective parameters</th>" in page
