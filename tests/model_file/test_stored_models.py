"""Model files of every kind, as they were written once: each opens, and predicts what it predicted then."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from newtron import load
from newtron.model_file import read_model, write_model
from newtron.training.fitted import FittedModel

MODELS = Path(__file__).resolve().parents[1] / "data" / "models"
NAMES = sorted(path.stem for path in MODELS.glob("*.newtron"))


@pytest.mark.parametrize("name", NAMES)
def test_a_stored_model_predicts_what_it_predicted(name: str, tmp_path: Path) -> None:
    kept = json.loads((MODELS / f"{name}.json").read_text())
    model = load(MODELS / f"{name}.newtron")
    rows = np.array(kept.pop("rows"))
    predicted = {"predict": model.predict(rows)}
    if "std" in kept:
        predicted["std"] = model.predict(rows, return_std=True)[1]
    else:
        predicted["predict_proba"] = model.predict_proba(rows)
    assert predicted.keys() == kept.keys()
    for answer, expected in kept.items():
        found = predicted[answer]
        if isinstance(np.ravel(expected)[0], np.str_ | np.bool_ | np.integer):
            assert found.tolist() == expected
        else:
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max())
    assert str(model.certificate_)
    # Nothing is lost on the way: the file is written again as it is.
    stored = read_model(MODELS / f"{name}.newtron")
    write_model(stored.model, tmp_path / "again", report=stored.report)
    assert read_model(tmp_path / "again").report == stored.report
    assert np.array_equal(load(tmp_path / "again").predict(rows), model.predict(rows))


def test_every_kind_is_there() -> None:
    models = {name: read_model(MODELS / f"{name}.newtron").model for name in NAMES}
    kinds = {(model.settings.family, model.settings.task) for model in models.values()}
    assert kinds == set(product(("perceptron", "network"), ("regression", "classification")))

    def some(has: str) -> list[FittedModel]:
        return [model for name, model in models.items() if name.startswith(has)]

    assert all(model.data.schema is not None for model in some("table-"))
    assert all(model.separation is not None and model.separation.found for model in some("separation"))
    assert all(model.settings.is_firth for model in some("firth"))
    assert all(model.scaling.asinh is not None for model in some("network-mix"))
    assert all(
        member.posterior_factor is not None for model in some("network-") for member in model.sharing if member.hidden
    )
    assert all(not isinstance(model.noise_model, str | None) for model in some("network-regressor"))
    assert all(model.members[0].information is not None for model in some("perceptron-"))
