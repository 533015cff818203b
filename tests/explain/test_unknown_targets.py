"""Rows whose target is not known: the answer is derived, with its derivatives with respect to the columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.derivations import check_exactly, check_table_as_shown, drawn, every_step, value_of

from newtron import NetworkClassifier, NetworkRegressor, PerceptronClassifier, PerceptronRegressor
from newtron.cli import main
from newtron.model.slopes import input_slopes

RNG = np.random.default_rng(5)
X = RNG.normal(size=(80, 3)) * [1.0, 30.0, 0.1] + [0.0, 500.0, 2.0]
X[:, 0] = np.sinh(2.0 * X[:, 0])  # a long tail, for asinh features
SCORE = np.arcsinh(X[:, 0]) + X[:, 1:] @ [0.05, -4.0] + np.sin(X[:, 0]) + 0.4 * RNG.normal(size=80)
Y_TWO = np.where(np.median(SCORE) < SCORE, "yes", "no")
Y_THREE = np.digitize(SCORE, np.quantile(SCORE, [0.3, 0.6]))
COUNTS = RNG.poisson(np.exp(0.2 * (SCORE - SCORE.mean())))
WITH_EXPOSURE = np.column_stack([X, RNG.normal(size=80)])

MODELS = [
    pytest.param(PerceptronRegressor(), X, SCORE, id="regression"),
    pytest.param(PerceptronRegressor(standardize=True, alpha=1.0), X, np.c_[SCORE, -X[:, 0]], id="two targets"),
    pytest.param(PerceptronRegressor(loss="poisson", alpha=0.1, standardize=True), X, COUNTS, id="counts"),
    pytest.param(
        PerceptronRegressor(loss="poisson", offset=3, alpha=0.1, standardize=True), WITH_EXPOSURE, COUNTS, id="exposure"
    ),
    pytest.param(PerceptronClassifier(alpha=0.1, standardize=True), X, Y_TWO, id="two classes"),
    pytest.param(PerceptronClassifier(alpha=0.1, standardize=True), X, Y_THREE, id="three classes"),
    pytest.param(NetworkRegressor(hidden=(4,), n_starts=2), X, SCORE, id="network"),
    pytest.param(NetworkRegressor(n_starts=1, max_iter=30), X, SCORE, id="mix with asinh features"),
    pytest.param(NetworkClassifier(hidden=(3, 2), n_starts=2), X, Y_TWO, id="deep"),
    pytest.param(NetworkClassifier(hidden=(3,), n_starts=2), X, Y_THREE, id="averaged classes"),
]


def answers(model: Any, rows: NDArray[np.floating]) -> NDArray[np.floating]:
    """(n, k) means, or probabilities of all classes."""
    return np.asarray(model.predict_proba(rows) if hasattr(model, "classes_") else model.predict(rows)).reshape(
        len(rows), -1
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("model", "rows", "y"), MODELS)
def test_the_slopes_are_those_of_the_prediction(model: Any, rows: NDArray[np.floating], y: Any) -> None:
    model.fit(rows, y)
    found, some = input_slopes(model.model_, rows[:5]), rows[:5]
    for j in range(rows.shape[1]):
        h = 1e-5 * rows[:, j].std()
        step = np.eye(rows.shape[1])[j] * h
        by_differences = (answers(model, some + step) - answers(model, some - step)) / (2.0 * h)
        scale = np.abs(found).max(axis=(0, 1))[j]
        np.testing.assert_allclose(found[:, :, j], by_differences, rtol=1e-6, atol=1e-6 * scale)

    derivation = model.explain(rows[3])
    assert [section.key for section in derivation.sections if section.steps][-1] == "inputs"
    assert not any(step.key.startswith(("loss", "backward", "newton", "check")) for step in every_step(derivation))
    assert np.isnan(derivation.loss)
    assert any("target is not known" in sentence for sentence in derivation.summary)
    for step in every_step(derivation):
        check_exactly(step)
        if step.table is not None:
            check_table_as_shown(step.table, step)
    drawn(derivation)
    drawn(model.explain(rows[:7]).in_notation("lab"))
    keys = [step.key for step in every_step(derivation)]
    exact = input_slopes(model.model_, rows[3:4])[0]
    last = [key for key in keys if key.startswith("inputs")][-1]
    if last == "inputs.answer":
        best = int(answers(model, rows[3:4]).argmax()) if len(exact) > 2 else len(exact) - 1
        np.testing.assert_allclose(value_of(derivation, last), exact[best], rtol=1e-10, atol=1e-14)
    elif "exposure" not in " ".join(derivation.summary):
        output = int(last.split(".")[1]) - 1 + (len(exact) == 2 and hasattr(model, "classes_"))
        np.testing.assert_allclose(value_of(derivation, last), exact[output], rtol=1e-10, atol=1e-14)


def test_the_slopes_of_a_perceptron_are_its_coefficients() -> None:
    model = PerceptronRegressor(standardize=True).fit(X, SCORE)
    np.testing.assert_allclose(value_of(model.explain(X[0]), "inputs.1.slope"), model.coef_, rtol=1e-12)
    np.testing.assert_allclose(input_slopes(model.model_, X), np.tile(model.coef_, (80, 1, 1)), rtol=1e-12)


def test_the_command_explains_a_row_without_its_target(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, unknown, path = tmp_path / "data.csv", tmp_path / "new.csv", tmp_path / "m.newtron"
    lines = [f"{a},{b},{c},{y}" for (a, b, c), y in zip(X.tolist(), Y_TWO, strict=True)]
    data.write_text("a,b,c,bought\n" + "\n".join(lines) + "\n1,2,3,\n", encoding="utf-8")
    unknown.write_text("a,b,c\n1,2,3\n", encoding="utf-8")
    fit = ["fit", str(data), "--target", "bought", "--output", str(path), "--model", "perceptron", "--quiet"]
    assert main([*fit, "--alpha", "1", "--no-report"]) == 0
    capsys.readouterr()
    assert main(["explain", str(path), str(unknown)]) == 0
    printed = capsys.readouterr().out
    assert "── Columns: how the answer changes" in printed
    assert "The target is not known" in printed
    assert "Loss: how wrong" not in printed
    facts = []
    for rows, number in ((unknown, 1), (data, 81)):  # no column of the target, and an empty cell in it
        assert main(["explain", str(path), str(rows), "--row", str(number), "--json"]) == 0
        facts.append(json.loads(capsys.readouterr().out))
    assert facts[0] == facts[1]
    assert facts[0]["loss"] is None
