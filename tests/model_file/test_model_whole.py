"""A model file of legal parts that make no model: refused by one sentence, with little time and memory."""

from __future__ import annotations

import io
import json
import re
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.problems import tanh_network

from newtron import InputError, NetworkClassifier, NetworkRegressor, PerceptronClassifier, PerceptronRegressor, load
from newtron.cli import main
from newtron.engine.base.codec import FlatNumbers
from newtron.engine.solvers import GradientDescent, Newton, Run, Solver, minimize
from newtron.model_file.archive import LARGEST_MANIFEST
from newtron.model_file.checkpoint import CODEC, check_run
from newtron.model_file.checks import MOST_MEMBERS

RNG = np.random.default_rng(5)
X = RNG.normal(size=(60, 3))
Y = X @ [1.0, -2.0, 0.5] + 3.0 + 0.3 * RNG.normal(size=60)
Files = dict[str, bytes]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Files]:
    """The archives of some models, as names and bytes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fits = {
            "regression": PerceptronRegressor(standardize=True).fit(X, Y),
            "classes": PerceptronClassifier(alpha=1.0).fit(X, np.digitize(Y, [2.0, 4.0])),
            "networks": NetworkRegressor(hidden=(2,), n_starts=2, alpha=0.1).fit(X, Y),
            "frame": PerceptronRegressor(columns={"c": ["2", "1"]}).fit(
                pd.DataFrame({"a": X[:, 0], "b": 1.0, "c": np.arange(60) % 2 + 1}), Y
            ),
            "best": NetworkClassifier(hidden=(2,), n_starts=2, alpha=0.1, combine="best").fit(X, Y > 3.0),
        }
    folder = tmp_path_factory.mktemp("models")
    found = {}
    for name, model in fits.items():
        model.save(folder / name)
        with zipfile.ZipFile(folder / name) as archive:
            found[name] = {part: archive.read(part) for part in archive.namelist()}
    return found


def write(path: Path, files: Files) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def with_manifest(files: Files, edit: Callable[[dict[str, Any]], None]) -> Files:
    manifest = json.loads(files["manifest.json"])
    edit(manifest["model"])
    return {**files, "manifest.json": json.dumps(manifest).encode()}


def with_array(files: Files, name: str, edit: Callable[[Any], Any]) -> Files:
    held = io.BytesIO()
    np.save(held, edit(np.load(io.BytesIO(files[name]))))
    return {**files, name: held.getvalue()}


def shares(*values: float) -> Callable[[dict[str, Any]], None]:
    def edit(model: dict[str, Any]) -> None:
        for member, value in zip(model["members"], values, strict=True):
            member["share"] = value

    return edit


SENSELESS: dict[str, tuple[str, Callable[[Files], Files], str]] = {
    "no share": ("networks", lambda f: with_manifest(f, shares(0.0, 0.0)), "shares of the members add up to 0"),
    "no share of one": ("classes", lambda f: with_manifest(f, shares(0.0)), "shares of the members add up to 0"),
    "too large shares": ("best", lambda f: with_manifest(f, shares(1.0, 1e308)), "shares of the members add up to 1e"),
    "root beyond squares": (
        "classes",
        lambda f: with_array(f, "members/0/information/root.npy", lambda a: np.where(a == 0.0, a, 1e308)),
        "root holds numbers too large",
    ),
    "columns without a schema": (
        "regression",
        lambda f: with_manifest(f, lambda model: model["data"].update(columns=["a", "b", "c"])),
        "data.columns must be null without a schema",
    ),
    "columns of other names": (
        "frame",
        lambda f: with_manifest(f, lambda model: model["data"].update(columns=["a", "b", "d"])),
        "data.schema has columns that data.columns does not name",
    ),
    "columns twice": (
        "frame",
        lambda f: with_manifest(f, lambda model: model["data"].update(columns=["a", "c", "c"])),
        "data.columns must be null without a schema, and else names of which none is there twice",
    ),
    "a kind that no column has": (
        "frame",
        lambda f: with_manifest(f, lambda model: model["settings"].update(columns={"c": "amount"})),
        "cannot be 'amount'",
    ),
    "means of other columns": (
        "regression",
        lambda f: with_array(f, "data/column_means.npy", lambda a: a[:2]),
        "column_means",
    ),
    "means that are not finite": (
        "regression",
        lambda f: with_array(f, "data/column_means.npy", lambda a: np.full_like(a, np.nan)),
        "data.column_means holds numbers that are not finite",
    ),
    "weights beyond all": (
        "networks",
        lambda f: with_array(f, "members/0/solution/params.npy", lambda a: np.full_like(a, 1e308)),
        "predicts no finite numbers",
    ),
    "scales of nothing": (
        "regression",
        lambda f: with_array(f, "scaling/x_scale.npy", lambda a: np.full_like(a, 5e-324)),
        "predicts no finite numbers",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", SENSELESS)
def test_what_is_no_model_as_a_whole_is_refused(
    case: str, models: dict[str, Files], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, edit, sentence = SENSELESS[case]
    path = write(tmp_path / "m", edit(models[name]))
    with pytest.raises(InputError, match=re.escape(sentence)) as caught:
        load(path)
    assert str(caught.value).count("\n") == 0
    assert main(["show", str(path)]) == 2
    assert sentence in capsys.readouterr().err


def test_an_intercept_that_no_row_sees_can_be_shown(models: dict[str, Files], tmp_path: Path) -> None:
    files = with_array(models["classes"], "members/0/information/root.npy", np.zeros_like)
    text = str(load(write(tmp_path / "m", files)).summary())
    assert "intercept" in text


def test_a_wrong_count_of_columns_is_called_so(models: dict[str, Files], tmp_path: Path) -> None:
    def edit(model: dict[str, Any]) -> None:
        model["data"]["n_features"] = 10**12

    with pytest.raises(InputError, match=r"scaling\.x_center must be 1000000000000 numbers, but it is \[3\]"):
        load(write(tmp_path / "m", with_manifest(models["regression"], edit)))


def within(seconds: float, path: Path, sentence: str) -> None:
    started = perf_counter()
    with pytest.raises(InputError, match=sentence):
        load(path)
    assert perf_counter() - started < seconds


def report_of(piece: str, count: int) -> Callable[[Files], Files]:
    def change(files: Files) -> Files:
        text = files["manifest.json"].decode()
        assert '"report": null' in text
        inner = ",".join([piece] * count)
        return {**files, "manifest.json": text.replace('"report": null', f'"report": {{"a": [{inner}]}}').encode()}

    return change


@pytest.mark.slow
@pytest.mark.parametrize("piece", ["{}", "[[]]", '{"a":1}'])
def test_a_manifest_of_countless_pieces_is_refused_unread(piece: str, models: dict[str, Files], tmp_path: Path) -> None:
    path = write(tmp_path / "m", report_of(piece, 1_100_000)(models["regression"]))
    within(5.0, path, "more than 1,048,576 lists and objects")


def test_a_manifest_that_is_too_large_is_refused_unread(models: dict[str, Files], tmp_path: Path) -> None:
    path = write(tmp_path / "m", report_of("1", LARGEST_MANIFEST // 2)(models["regression"]))
    within(2.0, path, "more than it can have")


def test_a_manifest_nested_deeply_is_refused(models: dict[str, Files], tmp_path: Path) -> None:
    for depth in (50, 900, 100_000):
        path = write(tmp_path / "m", report_of("[" * depth + "]" * depth, 1)(models["regression"]))
        within(2.0, path, "more than 40 in one another")


def test_brackets_in_texts_are_no_nesting(models: dict[str, Files], tmp_path: Path) -> None:
    text = json.dumps("[{" * 100 + '"\\')
    assert load(write(tmp_path / "m", report_of(text, 20)(models["regression"]))).n_features_in_ == 3


@pytest.mark.slow
def test_a_file_of_many_members_is_read_in_proportion(models: dict[str, Files], tmp_path: Path) -> None:
    """Members without what an interval needs, all with the same numbers."""

    def of(count: int) -> Path:
        files = {name: data for name, data in models["networks"].items() if not name.startswith("members/1")}
        manifest = json.loads(files["manifest.json"])
        model = manifest["model"]
        member = {**model["members"][0], "share": 1.0 / count, "posterior_factor": None}
        model |= {"members": [member] * count, "noise_model": "it was left out."}
        own = {n: data for n, data in files.items() if n.startswith("members/0/") and "triangle" not in n}
        files = {n: data for n, data in files.items() if not n.startswith(("members/", "noise_model/"))}
        for number in range(count):
            files |= {n.replace("/0/", f"/{number}/"): data for n, data in own.items()}
        return write(tmp_path / str(count), {**files, "manifest.json": json.dumps(manifest).encode()})

    times = {}
    for count in (50, 400):
        path = of(count)
        times[count] = min(_seconds(partial(load, path)) for _ in range(3))
    assert times[400] < 8 * 4 * times[50]
    within(5.0, of(MOST_MEMBERS + 1), "at most 10,000")


def _seconds(work: Callable[[], Any]) -> float:
    started = perf_counter()
    work()
    return perf_counter() - started


def test_a_radius_of_any_size_is_allowed() -> None:
    for radius in (1e200, 1e308):
        model = NetworkRegressor(hidden=(2,), n_starts=1, alpha=0.1, solver=Newton(radius=radius)).fit(X, Y)
        assert np.isfinite(model.predict(X)).all()


# --- checkpoints ---


def run_of(solver: Solver) -> tuple[dict[str, Any], np.ndarray, int]:
    """A run of three steps as a checkpoint holds it: its JSON, its numbers, and how many parameters it has."""
    objective, start = tanh_network(0.1)
    runs: list[Run] = []
    minimize(objective, start, solver, max_iter=3, keep=runs.append)
    numbers = FlatNumbers()
    text = json.dumps(CODEC.write(replace(runs[2], trace=runs[2].trace[: runs[2].rows]), Run, numbers))
    return json.loads(text), numbers.vector, objective.n_params


def read_run(run: dict[str, Any], numbers: np.ndarray, solver: Solver, n_params: int) -> Run:
    found = CODEC.read(run, Run, FlatNumbers(numbers), "run")
    check_run(found, "run", solver.state_type, n_params)
    return found


SENSELESS_RUNS: dict[str, tuple[Callable[[dict[str, Any], np.ndarray], Any], str]] = {
    "nan in the trace": (lambda run, numbers: numbers.__setitem__(-TRACE, np.nan), "whole numbers"),
    "inf in the trace": (lambda run, numbers: numbers.__setitem__(-TRACE, np.inf), "whole numbers"),
    "a jump in the trace": (lambda run, numbers: numbers.__setitem__(-TRACE, 7.0), "does not count its iterations"),
    "a value of nan in the trace": (lambda run, numbers: numbers.__setitem__(1 - TRACE, np.nan), "not finite"),
    "params": (lambda run, numbers: numbers.__setitem__(0, np.nan), "state.params holds numbers that are not finite"),
    "any array": (lambda run, numbers: numbers.__setitem__(slice(0, -4 * TRACE), np.inf), "not finite"),
    "value": (lambda run, numbers: next(iter(run["state"].values())).update(value="inf"), "values that are not finite"),
}
TRACE = 6  # numbers of a row of a trace


@pytest.mark.parametrize("case", SENSELESS_RUNS)
def test_a_run_that_could_not_go_on_is_refused(case: str) -> None:
    edit, sentence = SENSELESS_RUNS[case]
    for solver in (Newton(), GradientDescent(learning_rate=0.1, momentum=0.5)):
        run, numbers, n_params = run_of(solver)
        read_run(run, numbers, solver, n_params)
        edit(run, numbers)
        with pytest.raises(InputError, match=re.escape(sentence)):
            read_run(run, numbers, solver, n_params)


@pytest.mark.parametrize(
    ("name", "number"), [("decrement", 1e308), ("radius", 1e308), ("radius", 0.0), ("radius", -1.0), ("radius", "nan")]
)
def test_a_run_goes_on_from_numbers_of_any_size(name: str, number: float | str) -> None:
    """The squares of some are beyond the range of floating point, and of some there is no step."""
    solver = Newton()
    run, numbers, n_params = run_of(solver)
    run["state"][solver.name][name] = number
    resumed = read_run(run, numbers, solver, n_params)
    objective, start = tanh_network(0.1)
    assert np.isfinite(minimize(objective, start, solver, max_iter=30, resume=resumed).value)
