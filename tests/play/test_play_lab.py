"""The chain in the lab's notation, and partials of the whole objective: their numbers are the engine's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from support.page import answer_of

from newtron.engine.maths.losses import loss_for
from newtron.engine.maths.network import Network
from newtron.engine.objective import TrainingObjective
from newtron.engine.rows import ArrayRows
from newtron.play.datasets import example
from newtron.play.session import Session

MODELS = [
    ("line", [], None, True),
    ("hours", [], None, True),
    ("hours", [2], "squared_error", True),
    ("xor", [3, 2], None, False),
    ("three", [3], None, True),
    ("three", [], "squared_error", True),
    ("wave", [3, 2], None, True),
]


def derivation(of: Any, row: int | None) -> tuple[Any, Any, Any]:
    source, hidden, loss, intercept = of
    model = {"hidden": hidden, "activation": "tanh", "loss": loss, "intercept": intercept, "scale": False, "alpha": 0.3}
    setup = {"data": {"source": source}, "model": model, "methods": [{"solver": "newton", "steps": 3}]}
    data = example(source)
    network = Network((data.X.shape[1], *hidden, data.y.shape[1]), "tanh", intercept)
    which = slice(None) if row is None else slice(row, row + 1)
    of_loss = loss_for(data.task, None if data.task == "regression" else loss, data.y.shape[1])
    objective = TrainingObjective(
        network, of_loss, ArrayRows(data.X[which], data.y[which]), 0.3 if row is None else 0.0
    )
    params = np.random.default_rng(4).normal(0.0, 0.7, network.n_params)
    method = setup["methods"][0]  # type: ignore[index]
    message = {"kind": "derivation", "setup": setup, "params": params.tolist(), "row": row, "method": method}
    return answer_of(Session(), message)["derivation"], objective, params


def outcome(line: dict[str, Any]) -> float:
    values = [factor["value"] for factor in line["factors"]]
    return float({"·": math.prod(values), "+": sum(values), "−": values[0] - values[-1]}[line["op"]])


@pytest.mark.parametrize("model", MODELS)
def test_every_entry_of_dw_is_the_partial_of_that_row(model: Any) -> None:
    found, objective, params = derivation(model, 4)
    gradient = objective.evaluate(params, 1).gradient
    assert len(found["lab"]) == len(params)
    for lines, partial in zip(found["lab"], gradient, strict=True):
        assert lines[0]["value"] == pytest.approx(partial, rel=1e-12, abs=1e-15)
        assert lines[0]["result"].startswith(("dW", "db"))
        # Each line is the result of its own factors, and explains a factor of a line above.
        named = {factor["tex"] for line in lines for factor in line["factors"]}
        for line in lines:
            assert outcome(line) == pytest.approx(line["value"], rel=1e-12, abs=1e-15)
            assert line is lines[0] or line["result"] in named


@pytest.mark.parametrize("model", MODELS)
def test_partials_of_the_objective_have_the_penaltys_pull(model: Any) -> None:
    found, objective, params = derivation(model, None)
    gradient = objective.evaluate(params, 1).gradient
    for mean, partial, weight in zip(found["means"], gradient, objective.network.is_weight, strict=True):
        assert mean["value"] == partial
        assert len(mean["parts"]) == (2 if weight else 0)
        assert ("alpha" in mean["lecture"]) == ("alpha" in mean["lab"]) == bool(weight)
        if weight:
            assert sum(mean["parts"]) == pytest.approx(partial, rel=1e-12, abs=1e-15)
            assert abs(mean["parts"][1]) > 0.0
