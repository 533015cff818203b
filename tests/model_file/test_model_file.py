"""Model files: what is saved comes back to the last bit, and what is not a model is refused without being "
"run."""

from __future__ import annotations

import copy
import dataclasses
import io
import json
import os
import pickle
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted
from support.models import load_bundle, save

from newtron import (
    LBFGS,
    GradientDescent,
    InputError,
    NetworkClassifier,
    NetworkRegressor,
    PerceptronClassifier,
    PerceptronRegressor,
    Stochastic,
    load,
)
from newtron.engine.solvers import Newton, Status
from newtron.table import Table, encode, encode_target, learn_schema, read_table

RNG = np.random.default_rng(7)
X = RNG.normal(size=(60, 3))
NUMBERS = X @ [1.0, -2.0, 0.5] + 3.0 + 0.1 * RNG.normal(size=60)
TWO = np.column_stack([NUMBERS, -2.0 * NUMBERS + X[:, 0]])
CODES = (X[:, 0] + RNG.normal(size=60) > 0).astype(int)
THREE = np.clip(np.round(X[:, 1] + 0.8 * RNG.normal(size=60)), -1, 1).astype(int)

FACTS = ("status", "value", "gradient_norm", "n_iter", "counts", "note", "chosen", "solver", "sentence")


def text(codes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(np.array(["né", "da", "'q\",\n"])[codes])


CASES: dict[str, Callable[[], Any]] = {
    "perceptron": lambda: PerceptronRegressor().fit(X, NUMBERS),
    "named columns": lambda: PerceptronRegressor().fit(pd.DataFrame(X, columns=["a", "b=é", "c"]), NUMBERS),
    "two targets": lambda: PerceptronRegressor(alpha=0.5, standardize=True).fit(X, TWO),
    "one column of a matrix": lambda: PerceptronRegressor(fit_intercept=False).fit(X, TWO[:, :1]),
    "float32": lambda: PerceptronRegressor().fit(X.astype(np.float32), NUMBERS.astype(np.float32)),
    "ints": lambda: PerceptronClassifier(alpha=1.0).fit(X, CODES),
    "small ints": lambda: PerceptronClassifier(alpha=1.0).fit(X, THREE.astype(np.int8)),
    "floats": lambda: PerceptronClassifier(alpha=1.0).fit(X, CODES + 0.0),
    "bools": lambda: PerceptronClassifier(alpha=1.0).fit(X, CODES == 1),
    "text": lambda: PerceptronClassifier(alpha=1.0, class_weight="balanced").fit(X, text(THREE)),
    "text objects": lambda: PerceptronClassifier(alpha=1.0).fit(X, text(CODES).astype(object)),
    "class weights": lambda: PerceptronClassifier(alpha=1.0, class_weight={0: 1, 1: 2.5}).fit(X, CODES),
    "squared error": lambda: PerceptronClassifier(alpha=0.1, loss="squared_error").fit(X, CODES),
    "lbfgs": lambda: PerceptronClassifier(alpha=1.0, solver=LBFGS(memory=5)).fit(X, CODES),
    "solver object": lambda: PerceptronRegressor(
        alpha=1.0, solver=GradientDescent(learning_rate=0.1), tol=1e-3, max_iter=5000
    ).fit(X, NUMBERS),
    "infinite radius": lambda: PerceptronClassifier(alpha=1.0, solver=Newton(radius=float("inf"))).fit(X, CODES),
    "network": lambda: NetworkRegressor(hidden=(3,), n_starts=2).fit(X, NUMBERS),
    "two shapes": lambda: NetworkRegressor(hidden=[(2,), (3, 2)], n_starts=1, activation="softplus").fit(X, TWO),
    "width": lambda: NetworkClassifier(hidden=3, n_starts=1, random_state=np.int64(5)).fit(X, text(CODES)),
    "best member": lambda: NetworkClassifier(hidden=(2,), n_starts=2, combine="best").fit(X, THREE),
    "early stop": lambda: NetworkClassifier(hidden=(2,), n_starts=1, solver=Stochastic(patience=1)).fit(X, CODES),
    "verbose off, threads": lambda: NetworkRegressor(hidden=(2,), n_starts=1, n_jobs=2, verbose=0).fit(X, NUMBERS),
}


class Models(dict[str, Any]):
    """The models of `CASES`, each fitted when it is first asked for."""

    def __missing__(self, name: str) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # how well they are trained is no matter here
            self[name] = CASES[name]()
        return self[name]


@pytest.fixture(scope="module")
def models() -> Models:
    return Models()


def answers(model: Any) -> list[np.ndarray[Any, Any]]:
    new = np.random.default_rng(1).normal(size=(40, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of columns without the names they had
        found = [model.predict(new), model.predict(new.astype(np.float32))]
        if not hasattr(model, "coef_"):
            found.append(model.predict_uncertainty(new).model_std)
        return [*found, model.predict_proba(new)] if hasattr(model, "classes_") else found


def same_solution(a: Any, b: Any) -> None:
    for fact in FACTS:
        np.testing.assert_equal(getattr(a, fact), getattr(b, fact))
    for array in ("params", "gradient"):
        assert np.array_equal(getattr(a, array), getattr(b, array), equal_nan=True)
    rows = [[(r.iteration, r.value, r.gradient_norm, r.decrement, r.step_size) for r in s.trace] for s in (a, b)]
    np.testing.assert_equal(rows[0], rows[1])
    assert all(type(row.iteration) is int for row in b.trace)


def same_model(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    for one, other in zip(answers(a), answers(b), strict=True):
        assert one.dtype.kind == other.dtype.kind
        assert np.array_equal(one, other)
    assert {**a.get_params(), "callback": None} == b.get_params()
    same_solution(a.solution_, b.solution_)
    assert len(a.members_) == len(b.members_)
    for one, other in zip(a.members_, b.members_, strict=True):
        assert (one.network, one.share, one.hidden) == (other.network, other.share, other.hidden)
        same_solution(one.solution, other.solution)
        kept = [None if m.information is None else dataclasses.asdict(m.information) for m in (one, other)]
        np.testing.assert_equal(kept[0], kept[1])
    assert a.certificate_.to_json() == b.certificate_.to_json()
    assert str(a.certificate_) == str(b.certificate_)
    assert type(a.loss_) is type(b.loss_)
    assert a.n_iter_ == b.n_iter_
    for name in ("n_features_in_", "feature_names_in_", "classes_", "coef_", "intercept_"):
        assert hasattr(a, name) == hasattr(b, name), name
        np.testing.assert_array_equal(getattr(a, name, None), getattr(b, name, None))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_what_is_saved_comes_back(name: str, models: Models, tmp_path: Path) -> None:
    model = models[name]
    save(model, tmp_path / "m.newtron")
    again = load(tmp_path / "m.newtron")
    same_model(model, again)
    save(again, tmp_path / "n.newtron")
    assert (tmp_path / "n.newtron").read_bytes() == (tmp_path / "m.newtron").read_bytes()
    check_is_fitted(again)


def test_the_loaded_model_is_a_normal_estimator(models: Models, tmp_path: Path) -> None:
    save(models["named columns"], tmp_path / "m")
    again = load(tmp_path / "m")
    assert again.score(pd.DataFrame(X, columns=["a", "b=é", "c"]), NUMBERS) > 0.9
    with pytest.raises(ValueError, match="feature names"):
        again.predict(pd.DataFrame(X, columns=["a", "c", "b=é"]))
    assert not hasattr(clone(again), "members_")
    assert "PerceptronRegressor" in repr(again)
    same_model(again, pickle.loads(pickle.dumps(again)))
    again.set_params(alpha=1.0).fit(X, NUMBERS)


@pytest.mark.slow
def test_the_same_bits_in_a_new_process(models: Models, tmp_path: Path) -> None:
    for number, name in enumerate(CASES):
        save(models[name], tmp_path / f"{number}.newtron")
    new = np.random.default_rng(1).normal(size=(40, 3))
    np.save(tmp_path / "X.npy", new)
    program = (
        "import sys, numpy as np, newtron\n"
        "X = np.load(sys.argv[1] + '/X.npy')\n"
        "for i in range(int(sys.argv[2])):\n"
        "    m = newtron.load(f'{sys.argv[1]}/{i}.newtron')\n"
        "    p = m.predict_proba(X) if hasattr(m, 'classes_') else m.predict(X)\n"
        "    np.save(f'{sys.argv[1]}/{i}.npy', p)\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", program, str(tmp_path), str(len(CASES))]
    run = subprocess.run(command, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    for number, name in enumerate(CASES):
        model = models[name]
        expected = answers(model)[-1 if hasattr(model, "classes_") else 0]
        assert np.load(tmp_path / f"{number}.npy").tobytes() == expected.tobytes()


def test_an_older_solution_that_is_not_an_optimum_comes_back(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = PerceptronClassifier(max_iter=1).fit(X, X[:, 0] > 0)
    save(model, tmp_path / "m")
    assert load(tmp_path / "m").solution_.status is model.solution_.status
    assert not model.solution_.converged


def test_what_json_cannot_say_comes_back(models: Models, tmp_path: Path) -> None:
    model = copy.deepcopy(models["solver object"])
    assert np.isnan(model.solution_.trace[0].decrement)
    object.__setattr__(model.solution_, "value", float("inf"))
    object.__setattr__(model.solution_, "gradient_norm", float("nan"))
    save(model, tmp_path / "m")
    again = load(tmp_path / "m").solution_
    assert np.isnan(again.trace[0].decrement)
    assert np.isinf(again.value)
    assert np.isnan(again.gradient_norm)
    json.loads(read(tmp_path / "m")["manifest.json"], parse_constant=lambda name: pytest.fail(name))


def test_a_generator_comes_back_as_none_and_a_callback_not_at_all(tmp_path: Path) -> None:
    model = PerceptronRegressor(random_state=np.random.RandomState(0), callback=lambda progress: None)
    save(model.fit(X, NUMBERS), tmp_path / "m")
    assert load(tmp_path / "m").get_params()["random_state"] is None
    assert load(tmp_path / "m").callback is None


def test_the_file_is_a_plain_zip_of_json_and_arrays(models: Models, tmp_path: Path) -> None:
    save(models["network"], tmp_path / "m")
    with zipfile.ZipFile(tmp_path / "m") as archive:
        assert archive.testzip() is None
        assert archive.namelist()[0] == "manifest.json"
        assert json.loads(archive.read("manifest.json"))["format"] == "newtron-model"
        for name in archive.namelist()[1:]:
            array = np.load(io.BytesIO(archive.read(name)), allow_pickle=False)
            assert array.dtype == np.float64


def test_schema_and_report_come_back(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("a,b,y\n" + "".join(f"{i},{'pq'[i % 2]},{i * i}.5\n" for i in range(30)))
    table: Table = read_table(tmp_path / "d.csv")
    schema = learn_schema(table, "y")
    model = PerceptronRegressor().fit(encode(schema, table).X, encode_target(schema.target, table)[0])
    save(model, tmp_path / "m", schema=schema, report={"a": [1, None, "é"]})
    bundle = load_bundle(tmp_path / "m")
    assert bundle.schema == schema
    assert bundle.report == {"a": [1, None, "é"]}
    save(model, tmp_path / "m")
    assert load_bundle(tmp_path / "m").schema is None


# --- what is not saved ---


class Mine(Newton):
    """A solver that no other program knows."""


class Other(PerceptronRegressor):
    """A class that no other program knows."""


def broken(model: Any) -> Any:
    model = copy.deepcopy(model)
    model.members_[0].params[0] = np.nan
    return model


def endless_scale(model: Any) -> Any:
    changed = copy.deepcopy(model)
    changed.scaling_.x_scale[0] = np.inf
    return changed


REFUSED: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "scales not finite": (
        lambda models: endless_scale(models["perceptron"]),
        "too large to be squared",
    ),
    "a subclass": (lambda _: Other().fit(X, NUMBERS), "a Other cannot be saved"),
    "not finite": (lambda models: broken(models["perceptron"]), "parameters that are not finite"),
    "a solver of one's own": (
        lambda _: PerceptronRegressor(solver=Mine()).fit(X, NUMBERS),
        "Mine is none of them",
    ),
    "dates as classes": (
        lambda _: PerceptronClassifier(alpha=1.0).fit(X, np.array(["2020-01-01", "2021-01-01"], "M8[D]")[CODES]),
        r"data\.classes=.*cannot be stored",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_come_back_is_not_saved(case: str, models: Models, tmp_path: Path) -> None:
    make, sentence = REFUSED[case]
    path = tmp_path / "m"
    path.write_text("an older model")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make(models)
    with pytest.raises(InputError, match=sentence):
        save(model, path)
    assert path.read_text() == "an older model"
    assert os.listdir(tmp_path) == ["m"]


def test_an_estimator_that_is_not_fitted_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(NotFittedError, match="not fitted yet"):
        PerceptronRegressor().save(tmp_path / "m")
    assert os.listdir(tmp_path) == []


def test_a_report_that_is_not_json_is_not_saved(models: Models, tmp_path: Path) -> None:
    for report in ({"a": float("nan")}, {"a": object()}, {"a": "\ud800"}):
        with pytest.raises(InputError, match="cannot be written as JSON"):
            save(models["perceptron"], tmp_path / "m", report=report)
    assert os.listdir(tmp_path) == []


def test_where_nothing_can_be_written(models: Models, tmp_path: Path) -> None:
    model = models["perceptron"]
    with pytest.raises(InputError, match="this is a folder"):
        save(model, tmp_path)
    with pytest.raises(InputError, match="there is no folder"):
        save(model, tmp_path / "none" / "m")
    with pytest.raises(InputError, match="a device or a pipe"):
        save(model, os.devnull)
    (tmp_path / "f").write_text("")
    with pytest.raises(InputError, match="there is no folder"):
        save(model, tmp_path / "f" / "m")
    with pytest.raises(InputError, match="not a file name"):
        save(model, "a\0b")


def test_a_crash_while_writing_leaves_the_older_file(
    models: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m"
    path.write_text("an older model")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        save(models["perceptron"], path)
    assert path.read_text() == "an older model"
    assert os.listdir(tmp_path) == ["m"]


def test_access_rights_and_links_stay(models: Models, tmp_path: Path) -> None:
    path, link = tmp_path / "m", tmp_path / "link"
    path.write_text("")
    path.chmod(0o640)
    link.symlink_to(path)
    save(models["perceptron"], link)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    load(path)
    mask = os.umask(0o027)
    try:
        save(models["perceptron"], tmp_path / "new")
    finally:
        os.umask(mask)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640


# --- what is not opened ---


def read(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path: Path, files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)


class Runs:
    def __reduce__(self) -> Any:
        return (os.mkdir, ("the pickle ran",))


def npz(**arrays: Any) -> bytes:
    held = io.BytesIO()
    np.savez_compressed(held, **arrays)
    return held.getvalue()


FOREIGN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the file is empty"),
    "pickle": (pickle.dumps(Runs()), "a pickle, which can run any program"),
    "old pickle": (pickle.dumps(Runs(), protocol=0), "not a newtron model"),
    "npz": (npz(w=np.zeros(3)), "a NumPy archive"),
    "npz of objects": (npz(w=np.array([Runs()], dtype=object)), "a NumPy archive"),
    "zip bomb": (npz(w=np.zeros(10_000_000)), "a NumPy archive"),
    "npy": (b"\x93NUMPY\x01\x00v\x00{'descr'", "a NumPy array"),
    "json": (b'{"format": "newtron-model", "coef": [NaN, Infinity]}', "but JSON"),
    "safetensors": (b"\0\0\0\0\0\0\0\x80{}", "a safetensors file"),
    "text": (b"a,b\n1,2\n", "not a newtron model"),
    "binary": (bytes(range(256)), "not a newtron model"),
    "head of a zip": (b"PK\x03\x04", "cut short"),
    "zip of text": (b"", "a zip archive of something else"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_other_files_are_named_and_not_run(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "m.newtron"
    path.write_bytes(FOREIGN[kind][0])
    if kind == "zip of text":
        write(path, {"readme.txt": b"hello"})
    with pytest.raises(InputError, match=FOREIGN[kind][1]) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert os.listdir() == ["m.newtron"]


def test_places_that_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        load(tmp_path / "none")
    with pytest.raises(InputError, match="this is a folder"):
        load(tmp_path)
    with pytest.raises(InputError, match="a device or a pipe"):
        load(os.devnull)
    with pytest.raises(InputError, match="not a file name"):
        load("a\0b")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="a device or a pipe"):
        load(tmp_path / "pipe")


TOP = ("format", "version", "newtron", "model", "report", "surplus")


def change(where: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """A function that sets a field, named as an error names it, or removes it where the value is ..."""
    steps = [int(s) if s.isdigit() else s for s in where.replace("[", ".").replace("]", "").split(".")]

    def apply(manifest: dict[str, Any]) -> None:
        inner: Any = manifest if steps[0] in TOP else manifest["model"]
        for step in steps[:-1]:
            inner = inner[step]
        if value is ...:
            del inner[steps[-1]]
        else:
            inner[steps[-1]] = value

    return apply


HUGE = 10**400
SOLVER = "settings.solver"
WRONG: list[tuple[str, Any, str]] = [
    ("format", "other", "format"),
    ("version", 999, "upgrade newtron"),
    ("version", "1", "version"),
    ("version", 0, "version"),
    ("version", True, "version"),
    ("version", ..., "version"),
    ("newtron", None, "newtron"),
    ("surplus", 1, "surplus is not a known field"),
    ("model", ..., "model is missing"),
    ("model", [], "an object"),
    ("report", "all is well", "report"),
    ("settings", [], "settings"),
    ("settings.family", "tree", "settings.family must be one of perceptron, network"),
    ("settings.family", ..., "settings.family is missing"),
    ("settings.family", "perceptron", r"members\[0\].network.widths must be without hidden layers"),
    ("settings.task", "ranking", "settings.task"),
    ("settings.task", "regression", "data.classes must be null"),
    ("settings.more", 1, "settings.more is not a known field"),
    ("settings.alpha", None, "settings.alpha"),
    ("settings.alpha", ..., "settings.alpha is missing"),
    ("settings.alpha", {"float": "minus"}, "settings.alpha"),
    ("settings.alpha", HUGE, "settings.alpha"),
    ("settings.tol", "small", "settings.tol"),
    ("settings.hidden", None, "settings.hidden"),
    ("settings.hidden", {"tuple": 3}, "settings.hidden"),
    ("settings.activation", 3, "settings.activation"),
    ("settings.activation", "exec", "settings: activation='exec'"),
    ("settings.alpha", -1.0, "settings: alpha=-1.0"),
    ("settings.penalty", "l1", "settings: penalty='l1'"),
    ("settings.n_starts", 0, "settings: n_starts=0"),
    ("settings.hidden", "wide", "settings: hidden='wide'"),
    ("settings.loss", "log_loss_of_mine", "settings: loss='log_loss_of_mine'"),
    ("data.targets", ["a", "b"], "data.targets must be a name for each target"),
    (SOLVER, {"newton": {}}, "settings.solver.newton.radius is missing"),
    (SOLVER, {"newton": {"radius": "x", "damped": True}}, "settings.solver.newton.radius"),
    (SOLVER, {"newton": {"radius": -1.0, "damped": True}}, "settings.solver.newton: radius=-1.0 must be"),
    (SOLVER, {"os.system": {}}, "settings.solver must be text or one of gradient-descent"),
    (SOLVER, {"newton": {}, "lbfgs": {}}, "settings.solver must be text or one of gradient-descent"),
    ("settings.class_weight", [[1, 2, 3]], "settings.class_weight"),
    ("settings.class_weight", [[{"tuple": [[1]]}, 2]], "settings.class_weight"),
    ("settings.random_state", 0.5, "settings.random_state"),
    ("data.n_features", 0, "scaling.x_center must be 0 numbers"),
    ("data.n_features", 10**12, "scaling.x_center must be 1000000000000 numbers"),
    ("data.names", ["a"], "data.names"),
    ("data.names", ["a", "b", 3], r"data.names\[2\]"),
    ("data.from_frame", True, "data.from_frame must be false"),
    ("data.classes", None, "data.classes"),
    ("data.classes.array", "datetime64", "data.classes"),
    ("data.classes.values", [1, 0, -1], "data.classes"),
    ("data.classes.values", [0, 1, 1], "data.classes"),
    ("data.classes.values", [0, 1], "data.classes.shape"),
    ("data.classes", {"array": "int64", "shape": [2], "values": [0, 1]}, "data.classes must be classes for 3 outputs"),
    ("data.classes.values", [0, 1, 2**80], "data.classes.values"),
    ("data.classes.values", ["a", "b", "c"], "data.classes.values"),
    ("data.classes.values", [0, 1, [2]], "data.classes.values"),
    ("data.schema", {"columns": []}, "data.schema.target is missing"),
    ("data.schema", 3, "data.schema"),
    ("scaling.x_center.shape", [10**12], "x_center.npy must be 1,000,000,000,000 numbers"),
    ("scaling.x_center.shape", [3, 1], "scaling.x_center must be 3 numbers"),
    ("members", [], "members|does not belong"),
    ("members", {}, "members"),
    ("members[0]", 3, r"members\[0\]"),
    ("members[0].network.widths", [3], r"members\[0\].network.widths"),
    ("members[0].network.widths", [3, 10**9, 10**9, 3], r"members\[0\].network.widths"),
    ("members[0].network.widths", [3, 4, 3], r"members\[0\].network.widths must be a network of 17 parameters"),
    ("members[0].network.widths", [3, 2.0, 3], r"members\[0\].network.widths\[1\]"),
    ("members[0].network.widths", [3, -2, 3], r"members\[0\].network.widths"),
    ("members[1].network.activation", "exec", r"members\[1\].network"),
    ("members[1].network.intercept", 1, r"members\[1\].network.intercept"),
    ("members[1].share", -1.0, r"members\[1\].share"),
    ("members[1].share", HUGE, r"members\[1\].share"),
    ("members[1].noise", "nan", r"members\[1\].noise"),
    ("members[1].solution.status", "FINE", r"members\[1\].solution.status must be one of CONVERGED, PRECISION, MAX"),
    ("members[1].solution.value", "infinite", r"members\[1\].solution.value"),
    ("members[1].solution.n_iter", -1, r"members\[1\].solution.n_iter"),
    ("members[1].solution.counts", [], r"members\[1\].solution.counts"),
    ("members[1].solution.counts", {"value": 0.5}, r"members\[1\].solution.counts.value"),
    ("members[1].solution.counts", {"value": -1}, r"members\[1\].solution.counts.value"),
    ("members[1].solution.trace.shape", [10**12, 6], r"members/1/solution/trace.npy must be 6,000,000,000,000 numbers"),
    ("members[1].solution.trace.shape", [1, 6], r"members/1/solution/trace.npy (has .* bytes|must be 6 numbers)"),
    ("members[1].solution.solver", "newton", r"members\[1\].solution.solver"),
    ("members[1].solution.note", None, r"members\[1\].solution.note"),
    ("members[1].end", 1.0, r"members\[1\].end"),
    ("members[1].end.method", "guess", r"members\[1\].end.method"),
    ("members[1].end.sign", 2, r"members\[1\].end.sign"),
    ("members[1].end.sign", True, r"members\[1\].end.sign"),
    ("members[1].end.smallest", "small", r"members\[1\].end.smallest"),
    ("members[1].end.loss_gap_bound", -1.0, r"members\[1\].end.loss_gap_bound"),
    ("members[1].end.loss_gap_bound", 0.0, r"members\[1\].end.no_bound_reason"),
    ("members[1].end.no_bound_reason", "x" * 2000, r"members\[1\].end.no_bound_reason"),
    ("members[1].end.decrement", HUGE, r"members\[1\].end.decrement"),
    ("members[1].end.flat_directions", -1, r"members\[1\].end.flat_directions"),
    ("members[1].end.more", 1, r"members\[1\].end.more is not a known field"),
    ("members[1].end.fingerprint", "x" * 2000, r"members\[1\].end.fingerprint"),
    ("members[0].posterior_factor", "many", r"members\[0\].posterior_factor"),
    ("members[0].posterior_factor.effective", 1e9, r"members\[0\].posterior_factor.effective"),
    ("members[0].posterior_factor", None, r"posterior_factor/triangle.npy' in the archive does not belong"),
    ("separation", {"kind": "none"}, "separation.rows is missing"),
    ("noise_model", 3, "noise_model must be"),
    ("noise_model", "none", "noise_model must be .* null"),
    ("temperature", 0.0, "temperature must be a number above 0"),
    ("temperature", "hot", "temperature"),
    ("relevance", None, "'relevance.npy' in the archive does not belong"),
]


@pytest.fixture(scope="module")
def sample(models: Models, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A network of two members for three classes."""
    path = tmp_path_factory.mktemp("sample") / "m"
    save(models["best member"], path)
    return path.read_bytes()


SCALE = "noise_model.scales[0][1]"
WRONG_OF_REGRESSION: list[tuple[str, Any, str]] = [
    ("noise_model", 3, "noise_model must be"),
    ("noise_model", {"variance": 1.0}, "noise_model.scales is missing"),
    ("noise_model", None, "in the archive does not belong"),
    ("noise_model.variance.shape", [1], "noise_model/variance.npy has|variance.npy must be"),
    ("noise_model.variance.shape", [1, 2], "noise_model.variance must be 2 x 1 numbers"),
    ("noise_model.stretch", 3, "noise_model.stretch"),
    ("noise_model.scales", {}, "noise_model.scales"),
    (f"{SCALE}.dof", 0.0, r"noise_model.scales\[0\]\[1\].dof"),
    (f"{SCALE}.intercept", None, r"noise_model.scales\[0\]\[1\].intercept"),
    (f"{SCALE}.intercept", "inf", r"noise_model.scales\[0\]\[1\].intercept"),
    (f"{SCALE}.slopes.shape", [3, 1], r"noise_model.scales\[0\]\[1\].slopes must be 3 numbers"),
    ("data.one_column", 1, "data.one_column"),
    ("data.classes", {"array": "int64", "shape": [0], "values": []}, "data.classes must be null for a regression"),
    ("temperature", "nan", "temperature must be a number above 0"),
    ("members[1].posterior_factor", None, r"posterior_factor/triangle.npy' in the archive does not belong"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("where", "value", "named"), WRONG_OF_REGRESSION)
def test_an_error_names_the_field_of_a_regression(
    where: str, value: Any, named: str, models: Models, tmp_path: Path
) -> None:
    save(models["network"], tmp_path / "m")
    test_an_error_names_the_field(where, value, named, (tmp_path / "m").read_bytes(), tmp_path)


NUMBERS_OF_REGRESSION: list[tuple[str, Any, str]] = [
    ("noise_model/variance", [1.0, 0.0], "noise_model.variance holds numbers that are not above 0"),
    ("noise_model/stretch", [-1.0], "noise_model.stretch holds numbers that are not above 0"),
    (
        "noise_model/scales/0/1/spread",
        [1.0, 0.0, 1.0],
        r"noise_model.scales\[0\]\[1\].spread holds numbers that are not above 0",
    ),
    (
        "noise_model/scales/0/1/high",
        [1.0, np.inf, 1.0],
        r"noise_model.scales\[0\]\[1\].high holds numbers that are not finite",
    ),
    ("noise_model/scales/0/1/low", [1.0, 1.0], "low.npy must be 3 numbers"),
    ("noise_model/shares/0", [0.5, 0.25, 0.5], r"noise_model.shares\[0\] must be shares that add up to 1"),
    ("noise_model/shares/0", [0.5, 0.0, 0.5], r"noise_model.shares\[0\] holds numbers that are not above 0"),
    ("relevance", [-0.5, 0.5, 0.5], "relevance holds numbers that are not 0 or more"),
    ("relevance", [0.5, 0.5, 0.5], "relevance must be shares that add up to 1"),
    ("members/0/alpha", -np.ones(16), r"members\[0\].alpha holds numbers that are not 0 or more"),
    ("members/0/posterior_factor/triangle", 0.0, r"members\[0\].posterior_factor.triangle is no factor"),
    ("members/0/posterior_factor/triangle", np.nan, r"posterior_factor.triangle holds numbers that are not finite"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "values", "named"), NUMBERS_OF_REGRESSION)
def test_numbers_that_make_no_model_are_named(
    name: str, values: Any, named: str, models: Models, tmp_path: Path
) -> None:
    save(models["network"], tmp_path / "m")
    files = read(tmp_path / "m")
    numbers = np.load(io.BytesIO(files[f"{name}.npy"]))
    files[f"{name}.npy"] = array(np.r_[values, numbers[1:]] if np.ndim(values) == 0 else np.array(values))
    write(tmp_path / "n", files)
    with pytest.raises(InputError, match=named):
        load(tmp_path / "n")


@pytest.mark.slow
@pytest.mark.parametrize(("where", "value", "named"), WRONG, ids=[f"{w}={str(v)[:20]}" for w, v, _ in WRONG])
def test_an_error_names_the_field(where: str, value: Any, named: str, sample: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(sample)
    files = read(path)
    manifest = json.loads(files["manifest.json"])
    change(where, value)(manifest)
    files["manifest.json"] = json.dumps(manifest).encode()
    write(path, files)
    with pytest.raises(InputError, match=named) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert len(message) < 400


@pytest.mark.parametrize(
    "manifest",
    [b"", b"\xff\xfe", b"[]", b"null", b"[" * 100_000, b'{"format": NaN}', b'{"a": 1, "a": 2}', b'"\\ud800"'],
    ids=repr,
)
def test_a_manifest_must_be_strict_json(manifest: bytes, sample: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(sample)
    write(path, {**read(path), "manifest.json": manifest})
    with pytest.raises(InputError, match=r"manifest|format"):
        load(path)


def test_numbers_that_are_not_json_are_named(sample: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m"
    for literal in ("NaN", "Infinity", "-Infinity"):
        path.write_bytes(sample)
        files = read(path)
        manifest = files["manifest.json"].decode()
        files["manifest.json"] = manifest.replace('"report": null', f'"report": {{"a": {literal}}}').encode()
        assert files["manifest.json"] != manifest.encode()
        write(path, files)
        with pytest.raises(InputError, match=f"manifest.json holds {literal}"):
            load(path)


def array(values: Any) -> bytes:
    held = io.BytesIO()
    np.save(held, values)
    return held.getvalue()


PARAMS = "members/0/solution/params.npy"
TAMPERED: dict[str, tuple[Callable[[dict[str, bytes]], dict[str, bytes]], str]] = {
    "extra": (
        lambda files: {**files, "extra.npy": array(np.zeros(3))},
        "'extra.npy' in the archive does not",
    ),
    "path": (lambda files: {**files, "../../evil": b"x"}, "'../../evil' in the archive does not"),
    "missing": (
        lambda files: {n: d for n, d in files.items() if n != PARAMS},
        "'members/0/solution/params.npy' is missing",
    ),
    "float32": (
        lambda files: {**files, PARAMS: array(np.zeros(17, np.float32))},
        "params.npy must be 17 numbers",
    ),
    "objects": (
        lambda files: {**files, PARAMS: array(np.array([None] * 17))},
        "params.npy must be 17 numbers",
    ),
    "matrix": (lambda files: {**files, PARAMS: array(np.zeros((1, 17)))}, "params.npy must be 17 numbers"),
    "short": (lambda files: {**files, PARAMS: files[PARAMS][:-8]}, "params.npy must be 17 numbers"),
    "long": (lambda files: {**files, PARAMS: files[PARAMS] + bytes(10**6)}, "more than it can have"),
    "nan": (
        lambda files: {**files, PARAMS: array(np.full(17, np.nan))},
        "params holds numbers that are not finite",
    ),
    "nan scaling": (
        lambda files: {**files, "scaling/x_center.npy": array(np.full(3, np.nan))},
        "scaling.x_center holds numbers that are not finite",
    ),
    "zero scale": (lambda files: {**files, "scaling/x_scale.npy": array(np.zeros(3))}, "not above 0"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", TAMPERED)
def test_arrays_must_be_what_the_manifest_says(case: str, sample: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(sample)
    tamper, sentence = TAMPERED[case]
    write(path, tamper(read(path)))
    with pytest.raises(InputError, match=sentence):
        load(path)


def test_archives_of_other_makes_are_refused(sample: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(sample)
    files = read(path)
    write(path, files, zipfile.ZIP_DEFLATED)
    with pytest.raises(InputError, match="compressed or encrypted"):
        load(path)
    write(path, files)
    with zipfile.ZipFile(path, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr(PARAMS, files[PARAMS])
    with pytest.raises(InputError, match="a name twice"):
        load(path)
    path.write_bytes(pickle.dumps("a file that is two things") + sample)
    with pytest.raises(InputError, match="a pickle"):
        load(path)


def test_a_file_that_only_claims_to_be_large_takes_no_memory(sample: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m"
    with open(path, "wb") as file:
        file.write(sample)
        file.truncate((1 << 30) + 1)  # a file with a hole: it takes no room on the disk either
    with pytest.raises(InputError, match="a model has at most"):
        load(path)


@pytest.mark.slow
def test_damage_is_found_or_does_not_matter(sample: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m"
    path.write_bytes(sample)
    whole = load(path)
    rng = np.random.default_rng(0)
    refused = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for case in range(600):
            data = bytearray(sample)
            if case % 4 == 0:
                del data[int(rng.integers(len(data))) :]
            elif case % 4 == 1:  # near the ends, where the archive's own records are
                position = int(rng.integers(1, min(1500, len(data))))
                data[-position] ^= 1 << int(rng.integers(8))
            else:
                for _ in range(int(rng.integers(1, 4))):
                    data[int(rng.integers(len(data)))] = int(rng.integers(256))
            path.write_bytes(bytes(data))
            try:
                found = load(path)
            except InputError:
                refused += 1
                continue
            same_model(whole, found)
    assert 400 < refused < 600


def test_every_status_can_be_saved(models: Models, tmp_path: Path) -> None:
    for status in Status:
        model = copy.deepcopy(models["perceptron"])
        object.__setattr__(model.solution_, "status", status)
        save(model, tmp_path / "m")
        assert load(tmp_path / "m").solution_.status is status


# --- what a perceptron keeps for its summary ---

INFORMATION = "members/0/information"
ROOT, PENALTY = "members/0/information/root.npy", "members/0/information/penalty.npy"
UNKEPT: list[tuple[str, Any, str]] = [
    ("n_rows", 0, r"members\[0\].information.n_rows"),
    ("n_rows", 2.5, r"members\[0\].information.n_rows"),
    ("weight", 0.0, r"members\[0\].information.weight"),
    ("weight", HUGE, r"members\[0\].information.weight"),
    ("whole_weights", 1, r"members\[0\].information.whole_weights"),
    ("log_likelihood", "big", r"members\[0\].information.log_likelihood"),
    ("log_likelihood", ..., r"information.log_likelihood is missing"),
    ("residual_products.shape", [0, 10**9], r"members\[0\].information.residual_products must be 0 x 0 numbers"),
    ("more", 1, "information.more is not a known field"),
]


@pytest.fixture
def kept(models: Models, tmp_path: Path) -> Path:
    models["text"].save(tmp_path / "m")
    return tmp_path / "m"


@pytest.mark.parametrize(("field", "value", "named"), UNKEPT, ids=lambda part: str(part)[:30])
def test_what_is_kept_for_the_summary_is_checked(field: str, value: Any, named: str, kept: Path) -> None:
    files = read(kept)
    manifest = json.loads(files["manifest.json"])
    change(f"members[0].information.{field}", value)(manifest)
    write(kept, {**files, "manifest.json": json.dumps(manifest).encode()})
    with pytest.raises(InputError, match=named):
        load(kept)


@pytest.mark.parametrize(
    ("name", "values", "named"),
    [
        (ROOT, np.zeros(63), "root.npy must be 64 numbers"),
        (ROOT, np.full(64, np.inf), "information.root holds numbers that are not finite"),
        (ROOT, np.ones(64), "information.root holds numbers below the diagonal"),
        (PENALTY, np.full(12, np.nan), "information.penalty holds numbers that are not finite"),
        (PENALTY, np.full(12, -1.0), "information.penalty holds numbers that are not 0 or more"),
        (ROOT, None, "root.npy' is missing"),
    ],
)
def test_the_arrays_of_the_summary_are_checked(name: str, values: Any, named: str, kept: Path) -> None:
    files = read(kept)
    if values is None:
        del files[name]
    else:
        files[name] = array(values)
    write(kept, files)
    with pytest.raises(InputError, match=named):
        load(kept)


def test_a_network_keeps_nothing_for_a_summary(sample: bytes, kept: Path) -> None:
    path = kept.with_name("sample")
    path.write_bytes(sample)
    files, of_perceptron = read(path), read(kept)
    manifest, other = json.loads(files["manifest.json"]), json.loads(of_perceptron["manifest.json"])
    manifest["model"]["members"][0]["information"] = other["model"]["members"][0]["information"]
    files |= {name: data for name, data in of_perceptron.items() if name.startswith(INFORMATION)}
    write(path, {**files, "manifest.json": json.dumps(manifest).encode()})
    with pytest.raises(InputError, match="null for a network"):
        load(path)
