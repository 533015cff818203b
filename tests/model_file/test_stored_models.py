"""Model files of every kind, as they were written once: each opens, and predicts what it predicted then."""

from __future__ import annotations

import io
import json
import re
import zipfile
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from newtron import InputError, load
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
    if "predict_proba" in kept:
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


@pytest.mark.parametrize(
    ("name", "field", "values", "sentence"),
    [
        ("network-mix", "scaling.asinh.columns", [1], "scaling.asinh.columns must be columns in order"),
        ("network-mix", "scaling.asinh.columns", [-1], "scaling.asinh.columns must be columns in order"),
        ("network-mix", "scaling/asinh/scale", [0.0], "scaling.asinh.scale holds numbers that are not above 0"),
        ("network-mix", "scaling/asinh/spread", [-1.0], "scaling.asinh.spread holds numbers that are not above 0"),
        ("network-mix", "scaling/asinh/center", [np.nan], "scaling.asinh.center holds numbers that are not finite"),
        ("network-mix", "scaling/asinh/mean", [0.0, 0.0], "mean.npy must be 1 numbers"),
        ("perceptron-two-targets", "members/0/information/residual_products", [-1.0, 0.0, 0.0, 1.0], "not 0 or more"),
        ("perceptron-two-targets", "members/0/information/target_squares", [-1.0, 1.0], "not 0 or more"),
        ("perceptron-two-targets", "scaling/y_scale", [1.0, 0.0], "scaling.y_scale holds numbers that are not above 0"),
        ("table-classes", "data.schema.target.classes", ["a", "b", "c"], "data.schema does not fit"),
        ("table-classes", "data.schema.columns", [], "data.schema: the columns of a schema must be one or more"),
        ("table-regression", "data.names", ["x"], "data.names must be"),
    ],
)
def test_damage_of_a_stored_model_is_named(
    name: str, field: str, values: list[object], sentence: str, tmp_path: Path
) -> None:
    with zipfile.ZipFile(MODELS / f"{name}.newtron") as archive:
        files = {entry: archive.read(entry) for entry in archive.namelist()}
    if "/" in field:
        held = io.BytesIO()
        np.save(held, np.array(values))
        files[f"{field}.npy"] = held.getvalue()
    else:
        manifest = json.loads(files["manifest.json"])
        *steps, last = field.split(".")
        inner = manifest["model"]
        for step in steps:
            inner = inner[step]
        inner[last] = {**inner[last], "values": values} if isinstance(inner[last], dict) else values
        files["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(tmp_path / "m", "w") as archive:
        for entry, data in files.items():
            archive.writestr(entry, data)
    with pytest.raises(InputError, match=re.escape(sentence)):
        read_model(tmp_path / "m")
