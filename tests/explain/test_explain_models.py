"""`model.explain`, `newtron explain`, and what is drawn from a derivation: HTML, LaTeX, JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.derivations import check_html, check_latex, drawn, table_of, value_of
from support.models import load_bundle

from newtron import (
    GradientDescent,
    NetworkClassifier,
    NetworkRegressor,
    PerceptronClassifier,
    PerceptronRegressor,
)
from newtron.cli import main
from newtron.explain import Derivation
from newtron.table import encode, read_table

HOSTILE = '<script>alert("x")</script> ⟦∂L⟧ & {b}_\\frac$'
RNG = np.random.default_rng(7)
X = RNG.normal(size=(40, 3)) * [1.0, 30.0, 0.1] + [0.0, 500.0, 2.0]
Y_NUMBER = 3.0 + X @ [1.0, 0.02, -4.0] + np.sin(X[:, 0]) + 0.1 * RNG.normal(size=40)
Y_TWO = np.where(X[:, 0] + 0.02 * RNG.normal(size=40) * X[:, 1] > 0.0, "yes", "no")
Y_THREE = np.digitize(Y_NUMBER, np.quantile(Y_NUMBER, [0.3, 0.6]))

MODELS = [
    pytest.param(PerceptronRegressor(), Y_NUMBER, id="regression"),
    pytest.param(PerceptronRegressor(alpha=1.0, standardize=True), np.c_[Y_NUMBER, -X[:, 0]], id="two targets"),
    pytest.param(PerceptronClassifier(alpha=0.1), Y_TWO, id="two classes"),
    pytest.param(PerceptronClassifier(alpha=0.1, standardize=True), Y_THREE, id="three classes"),
    pytest.param(PerceptronClassifier(loss="squared_error", alpha=0.1, standardize=True), Y_TWO, id="squared error"),
    pytest.param(NetworkRegressor(hidden=(4,), n_starts=2), Y_NUMBER, id="network"),
    pytest.param(NetworkClassifier(hidden=(3, 2), n_starts=2, activation="sigmoid"), Y_TWO, id="deep classes"),
    pytest.param(NetworkClassifier(hidden=(4,), n_starts=1, fit_intercept=False), Y_THREE, id="no intercepts"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "y"), MODELS)
def test_every_model_explains_itself(model: Any, y: Any) -> None:
    model.fit(X, y)
    one = model.explain(X[5], y[5])
    assert isinstance(one, Derivation)
    best = one.sections[0]
    assert best.key == "scaling"
    Z = one["lab.mean"].value
    assert Z is not None
    answer = model.predict_proba(X[5:6])[0] if hasattr(model, "classes_") else np.atleast_1d(model.predict(X[5:6])[0])
    if len(model.members_) > 1 or getattr(model, "temperature_", 1.0) != 1.0:
        shown = np.atleast_1d(value_of(one, "answer.average"))
    if len(model.members_) > 1:
        assert f"averages {len(model.members_)} networks" in " ".join(one.summary)
    elif getattr(model, "temperature_", 1.0) == 1.0:
        shown = Z[0] * model.scaling_.y_scale + model.scaling_.y_center
    np.testing.assert_allclose(shown, answer[1:] if len(shown) < len(answer) else answer, rtol=1e-12)
    whole = model.explain(X, y)
    assert whole.title.endswith("40 rows")
    drawn(one)
    drawn(whole.in_notation("lab"))


@pytest.mark.parametrize("kind", ["frame", "row", "list"])
def test_rows_come_as_they_do_to_predict(kind: str) -> None:
    frame = pd.DataFrame(X, columns=["age", "income", "ratio"])
    model = PerceptronRegressor().fit(frame if kind != "list" else X, Y_NUMBER)
    given: Any = {"frame": frame.iloc[[3]], "row": frame.iloc[3], "list": X[3].tolist()}[kind]
    derivation = model.explain(given, Y_NUMBER[3])
    table = table_of(derivation, "forward.1.1")
    names = [name for _, name in table.lines]
    assert names == [*(["age", "income", "ratio"] if kind != "list" else ["", "", ""]), "intercept"]
    assert float(np.asarray(derivation["forward.1.1"].value)) == pytest.approx(
        model.predict(frame.iloc[[3]].to_numpy() if kind == "list" else frame.iloc[[3]])[0]
    )


def test_at_the_optimum_the_gradient_of_the_training_rows_is_zero() -> None:
    for model, y in ((PerceptronClassifier(alpha=2.0), Y_TWO), (PerceptronRegressor(alpha=5.0), Y_NUMBER)):
        model.fit(X, y)
        derivation = model.explain(X, y)
        scale = np.abs(table_of(derivation, "mean.gradient").values[:, :2]).max()
        assert np.abs(np.asarray(derivation["mean.gradient"].value)).max() < 1e-9 * max(1.0, scale)
        assert np.abs(derivation.gradient).max() > 1e-6  # without the penalty's pull it is not
        assert (
            "takes no step" in derivation["newton.step"].sentence
            or np.abs(value_of(derivation, "newton.step")).max() < 1e-6
        )


def test_the_best_member_is_explained_or_any_chosen() -> None:
    model = NetworkRegressor(hidden=(3,), n_starts=3).fit(X, Y_NUMBER)
    best = int(np.argmax([member.log_evidence for member in model.members_]))
    assert f"member {best + 1}," in " ".join(model.explain(X[0], Y_NUMBER[0]).summary)
    other = (best + 1) % 3
    weights = model.explain(X[0], Y_NUMBER[0], member=other + 1)["lab.z.1"].factors[1].value
    network = model.members_[other].network
    np.testing.assert_array_equal(weights, network.split(model.members_[other].params)[0].W)


def test_a_learning_rate_can_be_chosen() -> None:
    model = PerceptronRegressor(standardize=True).fit(X, Y_NUMBER)
    derivation = model.explain(X[0], Y_NUMBER[0], solver=GradientDescent(learning_rate=0.03))
    table = table_of(derivation, "update.step")
    np.testing.assert_allclose(table.values[:, 1], 0.03)
    # Without one, columns in large units get a rate with which the value falls.
    raw = PerceptronRegressor().fit(X, Y_NUMBER).explain(X[0], Y_NUMBER[0])
    assert "The value falls." in raw["update.value"].sentence


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((X[0], "maybe"), "none of the classes"),
        ((X[:2], ["yes"]), "1 class for 2 rows"),
        ((X[0][:2], "yes"), "features"),
        ((X[0], "yes", {"notation": "other"}), "notation='other'"),
        ((X[0], "yes", {"member": 2}), "member=2"),
        ((X[0], "yes", {"solver": "newton"}), "solver='newton'"),
    ],
)
def test_what_does_not_fit_is_said(arguments: tuple[Any, ...], words: str) -> None:
    model = PerceptronClassifier(alpha=1.0).fit(X, Y_TWO)
    x, y, *settings = arguments
    with pytest.raises(ValueError, match=words):
        model.explain(x, y, **(settings[0] if settings else {}))


@pytest.mark.parametrize("y", [[1.0, 2.0], "word", np.nan])
def test_a_target_must_be_a_number(y: Any) -> None:
    with pytest.raises(ValueError, match=r"^y has"):
        PerceptronRegressor().fit(X, Y_NUMBER).explain(X[0], y)


def test_names_from_the_data_are_never_markup() -> None:
    frame = pd.DataFrame(X, columns=[HOSTILE, "b\x1b[31m", "c"])
    model = NetworkClassifier(hidden=(2,), n_starts=1).fit(frame, np.where(Y_TWO == "yes", HOSTILE, "no"))
    derivation = model.explain(frame.iloc[[0]], [HOSTILE])
    page = check_html(derivation.to_html())
    assert "script" not in page.seen
    assert any("<script>" in word for word in page.words)
    check_latex(derivation.to_latex())
    assert "\x1b" not in derivation.to_text()


# --- the command ---


@pytest.fixture
def fitted(tmp_path: Path) -> tuple[Path, Path]:
    data, model = tmp_path / "data.csv", tmp_path / "m.newtron"
    lines = [f"{a:.4f},{b:.4f},{c:.4f},{y}" for (a, b, c), y in zip(X, Y_TWO, strict=True)]
    data.write_text("age,income,ratio,bought\n" + "\n".join(lines) + "\n,1,2,yes\n1,2,3,\n", encoding="utf-8")
    arguments = ["fit", str(data), "--target", "bought", "--output", str(model), "--quiet"]
    assert main([*arguments, "--model", "network", "--hidden", "3", "--starts", "2"]) == 0
    return model, data


def test_the_command_prints_the_whole_derivation(fitted: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    model, data = map(str, fitted)
    assert main(["explain", model, data, "--row", "2"]) == 0
    printed = capsys.readouterr().out
    for heading in ("Scaling", "Forward", "Loss", "Backward", "Check", "Update", "Newton's method"):
        assert f"── {heading}" in printed
    assert "row 2 of 42 rows" in printed
    assert "income" in printed
    assert main(["explain", model, data, "--row", "2", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    bundle = load_bundle(model)
    assert bundle.schema is not None
    encoded = encode(bundle.schema, read_table(data).take([1])).X
    derivation = bundle.estimator.explain(encoded, Y_TWO[[1]])
    np.testing.assert_allclose(facts["gradient"], derivation.gradient, rtol=1e-9)
    assert main(["explain", model, data, "--notation", "lab", "--member", "2"]) == 0
    assert "dZ^[2]" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--row", "43"], "has 42 rows"),
        (["--row", "0"], "must be a whole number"),
        (["--member", "7"], "--member 7: the model has 2 networks"),
        (["--notation", "other"], "invalid choice"),
    ],
)
def test_the_command_says_what_is_wrong(
    fitted: tuple[Path, Path], options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    model, data = map(str, fitted)
    code: Any
    try:
        code = main(["explain", model, data, *options])
    except SystemExit as end:
        code = end.code
    assert code == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_a_missing_column_is_named(fitted: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    model, data = fitted
    other = data.with_name("without_income.csv")
    pd.read_csv(data).drop(columns="income").to_csv(other, index=False)
    assert main(["explain", str(model), str(other)]) == 2
    assert "'income'" in capsys.readouterr().err
