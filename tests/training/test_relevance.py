"""Relevance of a network's columns: exact derivatives, a noise column last, and kept with the model."""

from __future__ import annotations

import copy
import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.models import change

from newtron import FileRows, InputError, NetworkClassifier, NetworkRegressor, PerceptronRegressor, load

ROOT = Path(__file__).resolve().parents[2]
RNG = np.random.default_rng(5)
X = np.column_stack(
    [RNG.normal(size=240), 100.0 * np.exp(RNG.normal(size=240)), RNG.normal(size=240), 1e-3 * RNG.normal(size=240)]
)
SIGNAL = 2.0 * np.sin(X[:, 0]) + np.log(X[:, 1]) + 300.0 * X[:, 3] * X[:, 0]
NUMBERS = SIGNAL + 0.3 * RNG.normal(size=240)
THREE = np.digitize(NUMBERS, [3.0, 5.5])
NOISE_COLUMN = 2

CASES: dict[str, tuple[Any, Any]] = {
    "the mix": (NetworkRegressor(n_starts=1), NUMBERS),
    "no scaling": (NetworkRegressor(hidden=(5,), n_starts=1, standardize=False, alpha=1e-3), NUMBERS),
    "two targets": (NetworkRegressor(hidden=(6,), n_starts=2), np.column_stack([NUMBERS, -5.0 * SIGNAL])),
    "two classes": (NetworkClassifier(hidden=(5,), n_starts=2), THREE > 0),
    "three classes": (NetworkClassifier(n_starts=1), THREE),
    "squared error": (NetworkClassifier(hidden=[(4,), ()], loss="squared_error", alpha=0.1, n_starts=1), THREE),
}


def by_differences(model: Any, X: Any, weight: Any) -> Any:
    """The definition, by central differences of what the model predicts."""

    def predict(Z: Any) -> Any:
        if hasattr(model, "classes_"):
            plain = copy.copy(model)
            change(plain, temperature=1.0)
            return plain.predict_proba(Z)
        return (model.predict(Z).reshape(len(Z), -1)) / model.scaling_.y_scale

    squares = np.zeros(X.shape[1])
    for j, column in enumerate(X.T):
        mean = np.average(column, weights=weight)
        sd = np.sqrt(np.average(np.square(column - mean), weights=weight))
        step = np.zeros(X.shape[1])
        step[j] = 1e-6 * sd
        slope = (predict(X + step) - predict(X - step)) / 2e-6
        squares[j] = weight @ np.square(slope).sum(axis=1)
    return squares / squares.sum()


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_relevance_is_the_mean_squared_derivative(name: str, weighted: bool) -> None:
    model, y = CASES[name]
    weight = RNG.integers(0, 3, 240).astype(float) if weighted else np.ones(240)
    fitted = model.fit(X, y, sample_weight=weight)
    assert fitted.relevance_.shape == (4,)
    assert fitted.relevance_.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(fitted.relevance_, by_differences(fitted, X, weight), rtol=1e-5, atol=1e-8)
    # A third of the rows has weight 0: too few are left to tell noise from the weakest column in every draw.
    if name != "no scaling" and not weighted:
        assert fitted.relevance_.argmin() == NOISE_COLUMN
        assert fitted.relevance_[NOISE_COLUMN] < 0.03


@pytest.mark.slow
def test_units_rows_and_constant_columns_change_nothing() -> None:
    settings: dict[str, Any] = {"hidden": (5,), "n_starts": 1, "alpha": 0.1}
    plain = NetworkRegressor(**settings).fit(X, NUMBERS).relevance_
    other = NetworkRegressor(**settings).fit(X * [1e6, 1.0, 1e-6, 3.0] + [1e3, 0.0, 0.0, 7.0], 50.0 * NUMBERS)
    np.testing.assert_allclose(other.relevance_, plain, rtol=1e-5)
    single = NetworkRegressor(**settings).fit(X.astype(np.float32), NUMBERS.astype(np.float32)).relevance_
    np.testing.assert_allclose(single, plain, rtol=0.02)
    with_constant = NetworkRegressor(**settings).fit(np.column_stack([X, np.full(240, 4.0)]), NUMBERS)
    assert with_constant.relevance_[-1] == 0.0
    flat = NetworkRegressor(hidden=(2,), n_starts=1, alpha=1e9).fit(X, NUMBERS)
    assert np.array_equal(flat.relevance_, np.zeros(4))  # nothing moves a constant


def test_of_many_rows_a_part_says_it() -> None:
    rng = np.random.default_rng(0)
    many = rng.normal(size=(20_000, 3))
    y = many[:, 0] ** 2 + many[:, 1]
    model = NetworkRegressor(hidden=(6,), n_starts=1, alpha=0.1, max_iter=100, tol=0.01).fit(many, y)
    assert model.relevance_.argmin() == 2
    np.testing.assert_allclose(model.relevance_, by_differences(model, many, np.ones(20_000)), rtol=0.05, atol=1e-6)


@pytest.mark.slow
def test_rows_of_files_give_the_same(tmp_path: Path) -> None:
    lines = [",".join(map(repr, [*row, t])) for row, t in zip(X.tolist(), NUMBERS.tolist(), strict=True)]
    (tmp_path / "d.csv").write_text("a,b,c,d,y\n" + "\n".join(lines) + "\n")
    settings: dict[str, Any] = {"hidden": (5,), "n_starts": 1, "alpha": 0.1}
    from_file = NetworkRegressor(**settings).fit_rows(FileRows(tmp_path / "d.csv", target="y"))
    np.testing.assert_allclose(from_file.relevance_, NetworkRegressor(**settings).fit(X, NUMBERS).relevance_, rtol=1e-5)


def test_it_is_kept_with_the_model(tmp_path: Path) -> None:
    model = NetworkClassifier(hidden=(3,), n_starts=1).fit(X, THREE)
    model.save(tmp_path / "m.newtron")
    for other in (load(tmp_path / "m.newtron"), pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(other.relevance_, model.relevance_)
    PerceptronRegressor().fit(X, NUMBERS).save(tmp_path / "p.newtron")
    assert not hasattr(load(tmp_path / "p.newtron"), "relevance_")
    hostile = {
        "a length that is not that of the columns": np.array([0.5, 0.5]),
        "a sum above 1": np.array([2.0, 0.0, 0.0, 0.0]),
        "below 0": np.array([-1.0, 1.0, 0.5, 0.5]),
    }
    with zipfile.ZipFile(tmp_path / "m.newtron") as archive:
        files = {entry: archive.read(entry) for entry in archive.namelist()}
    for value in hostile.values():
        array = io.BytesIO()
        np.save(array, value)
        manifest = json.loads(files["manifest.json"])
        manifest["model"]["relevance"]["shape"] = list(value.shape)
        with zipfile.ZipFile(tmp_path / "changed.newtron", "w") as archive:
            for entry, data in (files | {"relevance.npy": array.getvalue()}).items():
                archive.writestr(entry, json.dumps(manifest) if entry == "manifest.json" else data)
        with pytest.raises(InputError, match="relevance"):
            load(tmp_path / "changed.newtron")
    with zipfile.ZipFile(tmp_path / "p.newtron") as archive:
        files = {entry: archive.read(entry) for entry in archive.namelist()}
    manifest = json.loads(files["manifest.json"])
    manifest["model"]["relevance"] = "most"
    with zipfile.ZipFile(tmp_path / "changed.newtron", "w") as archive:
        for entry, data in files.items():
            archive.writestr(entry, json.dumps(manifest) if entry == "manifest.json" else data)
    with pytest.raises(InputError, match="relevance"):
        load(tmp_path / "changed.newtron")
