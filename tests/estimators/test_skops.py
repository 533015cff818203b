"""skops, which writes estimators without pickle, takes the four of newtron."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from skops import io as skops_io
from skops.io.exceptions import UntrustedTypesFoundException

import newtron
from newtron import NetworkClassifier, NetworkRegressor, PerceptronClassifier, PerceptronRegressor
from newtron.cli import main
from newtron.engine.base.types import Array

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
MODELS = (
    PerceptronRegressor(),
    PerceptronClassifier(),
    PerceptronClassifier(penalty="firth"),
    NetworkRegressor(hidden=[(2,), (2, 2)], n_starts=1, max_iter=20, solver=newtron.LBFGS()),
    NetworkClassifier(hidden=(2,), n_starts=1, max_iter=20),
)


@pytest.mark.parametrize("estimator", MODELS, ids=repr)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_skops_writes_and_reads_an_estimator(estimator: newtron.PerceptronRegressor) -> None:
    X = np.random.default_rng(0).normal(size=(40, 2))
    y: Array = X @ [1.0, -2.0] + np.random.default_rng(1).normal(size=40)
    estimator.fit(X, y > 0.0 if "Classifier" in repr(estimator) else y)
    back = written_and_read(estimator)
    assert np.array_equal(back.predict(X), estimator.predict(X))
    assert back.certificate_.sentences() == estimator.certificate_.sentences()


def test_skops_takes_a_model_of_the_command_with_its_schema(tmp_path: Path) -> None:
    path = tmp_path / "ships.newtron"
    command = ["fit", str(EXAMPLES / "ships.csv"), "--target", "incidents", "--model", "perceptron", "--no-report"]
    assert main([*command, "--quiet", "--output", str(path)]) == 0
    model = newtron.load(path)
    assert written_and_read(model).model_.data.schema == model.model_.data.schema


def written_and_read(estimator: newtron.PerceptronRegressor) -> newtron.PerceptronRegressor:
    """The estimator as skops has it again, with the types of newtron trusted and no other."""
    data = skops_io.dumps(estimator)
    types = skops_io.get_untrusted_types(data=data)
    assert all(name.startswith("newtron.") for name in types)
    with pytest.raises(UntrustedTypesFoundException):
        skops_io.loads(data, trusted=types[1:])
    back: newtron.PerceptronRegressor = skops_io.loads(data, trusted=types)
    return back
