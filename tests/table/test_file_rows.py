"""Rows in files: the same schema, the same coefficients, bounded memory, and one sentence for whatever is wrong."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from support.frames import everything, written
from support.present import of_type, present

import newtron
from newtron import (
    FileRows,
    NetworkClassifier,
    NetworkRegressor,
    PerceptronClassifier,
    PerceptronRegressor,
)
from newtron.cli import main
from newtron.engine.base.codec import to_json
from newtron.engine.base.errors import InputError
from newtron.engine.solvers import SOLVERS
from newtron.study import progress
from newtron.table import encode, encode_target, learn_schema, read_table
from newtron.table.data_file import data_file_of
from newtron.table.large import files
from newtron.table.learn import learn_pieces
from newtron.table.text import convert
from newtron.training import scaling, task

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
ROOT = Path(__file__).resolve().parents[2]
MEMORY = 32e6


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_LEAST_ROWS", 100)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["y", "kind", "answer", "whole", "flag"])
@pytest.mark.parametrize("form", ["d.parquet", "d.arrow", "folder"])
def test_the_schema_is_that_of_the_whole_table(form: str, target: str, tmp_path: Path) -> None:
    frame = everything()
    rows = FileRows(written(frame, tmp_path / form), target, ignore=["y"] if target == "kind" else (), memory=MEMORY)
    whole = written(frame, tmp_path / "whole.parquet", 10**6)
    table = read_table(whole)
    expected = learn_schema(table, target, ignore=["y"] if target == "kind" else ())
    assert len(rows.source.sizes) > 5
    found, wanted = (of_type(dict, to_json(schema)) for schema in (rows.schema, expected))
    for one, other in zip(found["columns"], wanted["columns"], strict=True):
        mean, other_mean = one.pop("mean"), other.pop("mean")
        assert mean == (None if other_mean is None else pytest.approx(other_mean, rel=1e-14, abs=1e-14))
    assert found == wanted
    # and so are the numbers
    y, kept = encode_target(expected.target, table)
    X = encode(expected, table.take(np.flatnonzero(kept))).X
    cuts = list(rows.source.read(range(len(rows.source.sizes))))
    np.testing.assert_allclose(np.concatenate([cut.X() for cut in cuts]), X, rtol=1e-14, atol=1e-14)
    assert np.array_equal(np.concatenate([cut.y for cut in cuts]), y)
    assert [cut.first for cut in cuts] == np.cumsum([0, *(len(cut.y) for cut in cuts)])[:-1].tolist()
    assert rows.n_rows == len(y)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["penguins.csv", "concrete.csv"])
@pytest.mark.parametrize("rows", [7, 100])
def test_examples_are_learnt_alike(name: str, rows: int) -> None:
    table = read_table(ROOT / "examples" / name)
    for target in table.names:
        try:
            expected: Any = learn_schema(table, target)
        except InputError as error:
            expected = error
        cut = ((0, table.take(np.arange(i, min(i + rows, table.n_rows)))) for i in range(0, table.n_rows, rows))
        if isinstance(expected, InputError):
            with pytest.raises(InputError) as caught:
                learn_pieces(table.path, table.names, cut, 1, target)
            assert str(caught.value) == str(expected)
            continue
        found = learn_pieces(table.path, table.names, cut, 1, target).schema
        assert [(c.name, c.kind, c.encoded, c.reference) for c in found.columns] == [
            (c.name, c.kind, c.encoded, c.reference) for c in expected.columns
        ]
        assert (found.target, found.dropped) == (expected.target, expected.dropped)


PERCEPTRONS = [name for name in SOLVERS if name != "stochastic"]


def pair(kind: str, form: str, tmp_path: Path, **settings: Any) -> tuple[Any, Any, FileRows]:
    """The same estimator trained from the file and from memory."""
    return with_rows(kind, form, tmp_path, **settings)[:3]


def with_rows(kind: str, form: str, tmp_path: Path, **settings: Any) -> tuple[Any, Any, FileRows, Any, Any]:
    """As `pair`, with the rows in memory."""
    frame = everything(700)[["size", "small", "gap", "colour", "flag", "y", "kind", "answer"]]
    target = {"regressor": "y", "binary": "answer", "classes": "kind"}[kind.split()[-1]]
    frame = frame.drop(columns=[name for name in ("y", "kind", "answer") if name != target])
    path = written(frame, tmp_path / form)
    rows = FileRows(path, target, memory=MEMORY)
    network = kind.startswith("network")
    if network:
        make: Any = NetworkRegressor if target == "y" else NetworkClassifier
        settings = {"hidden": (2,), "n_starts": 1, "tol": 1e-13, "alpha": 1.0, **settings}
    else:
        make = PerceptronRegressor if target == "y" else PerceptronClassifier
        settings = {"standardize": True, "alpha": 0.5, **settings}
    table = read_table(written(frame, tmp_path / "whole.parquet", 10**6))
    y, kept = encode_target(rows.schema.target, table)
    X = encode(rows.schema, table.take(np.flatnonzero(kept))).X
    labels = np.array(rows.schema.target.classes)[y] if target != "y" else y
    return make(**settings).fit_rows(rows), make(**settings).fit(X, labels), rows, X, labels


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["perceptron regressor", "perceptron binary", "perceptron classes", "network regressor"]
)
@pytest.mark.parametrize("solver", PERCEPTRONS)
def test_the_same_coefficients_as_from_memory(solver: str, kind: str, tmp_path: Path) -> None:
    more = {"max_iter": 30} if solver == "gradient-descent" else {}  # it takes thousands: the way there is the same too
    found, expected, _ = pair(kind, "d.parquet", tmp_path, solver=solver, **more)
    assert found.solution_.converged or solver == "gradient-descent"
    assert found.solution_.status is expected.solution_.status
    for one, other in zip(found.members_, expected.members_, strict=True):
        np.testing.assert_allclose(one.params, other.params, rtol=1e-10, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["d.arrow", "folder"])
def test_every_form_gives_the_same(form: str, tmp_path: Path) -> None:
    found, expected, rows = pair("perceptron classes", form, tmp_path, class_weight="balanced")
    np.testing.assert_allclose(found.coef_, expected.coef_, rtol=1e-10, atol=1e-10)
    assert found.classes_.tolist() == expected.classes_.tolist()
    assert rows.n_features == found.n_features_in_


@pytest.mark.slow
def test_a_network_of_classes(tmp_path: Path) -> None:
    found, expected, _ = pair("network classes", "d.parquet", tmp_path, hidden=[(2,), ()], class_weight={"low": 2.0})
    for one, other in zip(found.members_, expected.members_, strict=True):
        assert one.solution.value == pytest.approx(other.solution.value, rel=1e-13)
        np.testing.assert_allclose(one.params, other.params, rtol=1e-7, atol=1e-7)


def test_columns_keep_their_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 2))
    table = pa.table({"x0": X[:, 0], "x1": X[:, 1], "y": 3.0 * X[:, 0] + rng.normal(size=400)})
    pq.write_table(table, tmp_path / "names.parquet")
    model = PerceptronRegressor().fit_rows(FileRows(tmp_path / "names.parquet", "y"))
    model.save(tmp_path / "model")
    loaded = newtron.load(tmp_path / "model")
    for each in (model, loaded):
        summary = each.summary()
        assert summary.terms == ("intercept", "x0", "x1")
        assert summary.estimates[summary.names.index("x0")] == pytest.approx(3.0, abs=0.2)
        assert "x0" in str(each.explain(X[:1], [1.0]))
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "model").read_bytes()
    assert main(["show", str(tmp_path / "model")]) == 0
    assert re.search(r"^ *x0 +(2\.[89]|3\.[01])", capsys.readouterr().out, re.M)
    # Of an array nothing is known, whatever was trained on before.
    assert model.fit(X, X[:, 0]).summary().terms == ("intercept", "x1", "x2")


def test_a_model_of_a_file_that_is_loaded_in_python_has_its_names(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 2))
    pq.write_table(
        pa.table({"x0": X[:, 0], "x1": X[:, 1], "y": X[:, 0] + rng.normal(size=100)}), tmp_path / "d.parquet"
    )
    model = str(tmp_path / "model")
    command = ["fit", str(tmp_path / "d.parquet"), "--target", "y", "--model", "perceptron", "--output", model]
    assert main([*command, "--no-report", "--quiet"]) == 0
    assert newtron.load(model).summary().terms == ("intercept", "x0", "x1")


@pytest.mark.slow
def test_a_long_pass_says_where_it_is_and_a_resumed_training_that_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_LONG_PASS", 0.0)
    path = written(everything(900)[["size", "small", "y"]], tmp_path / "folder")
    run, model = str(tmp_path / "run"), str(tmp_path / "model")
    command = ["fit", str(path), "--target", "y", "--model", "perceptron", "--output", model, "--checkpoint", run]
    model_of = PerceptronRegressor(callback=lambda step: True)
    rest = FileRows(path, "y").hold_out(0.2, 0)[0]
    model_of.fit_rows(rest, checkpoint=f"{run}.perceptron")
    assert main([*command, "--threads", "1"]) == 0
    said = capsys.readouterr().err
    assert f"perceptron: going on from where {run}.perceptron stands" in said
    assert re.search(r"^perceptron: a pass over the rows: \d+ of \d+, [\d.]+ s left$", said, re.M)
    # Passes after the last step, too: between it and the end of the stage.
    assert re.search(r"perceptron on all rows: a pass .*\n(.*\n)*perceptron on all rows: \d+ iteration", said)


@pytest.mark.slow
def test_the_warning_points_at_the_call(tmp_path: Path) -> None:
    rows = FileRows(written(everything(), tmp_path / "d.parquet"), "y", memory=MEMORY)
    with pytest.warns(ConvergenceWarning, match="raise max_iter") as told:
        NetworkRegressor(hidden=(2,), n_starts=1, max_iter=1).fit_rows(rows)
    assert told[0].filename == __file__


def test_columns_far_from_zero_without_standardize(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = 1e6 + rng.normal(size=900)
    frame = pd.DataFrame({"x": x, "y": np.where(x - 1e6 + rng.logistic(size=900) > 0, "a", "b")})
    rows = FileRows(written(frame, tmp_path / "d.parquet"), "y", memory=MEMORY)
    found = PerceptronClassifier().fit_rows(rows)
    expected = PerceptronClassifier().fit(frame[["x"]].to_numpy(), frame["y"].to_numpy())
    assert found.solution_.converged
    np.testing.assert_allclose(found.coef_, expected.coef_, rtol=1e-10)


@pytest.mark.slow
def test_sums_are_the_same_bits_on_any_threads(tmp_path: Path) -> None:
    path = written(everything(), tmp_path / "d.parquet")
    models = [
        NetworkRegressor(hidden=(2,), n_starts=1, max_iter=6, n_jobs=n).fit_rows(FileRows(path, "y", memory=MEMORY))
        for n in (1, 3)
    ]
    assert models[0].members_[0].params.tobytes() == models[1].members_[0].params.tobytes()


def test_batches_hold_every_row_once(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": np.arange(2000.0), "y": np.arange(2000) * 2.5})
    rows = FileRows(written(frame, tmp_path / "d.parquet"), "y", memory=MEMORY)
    rest, held = rows.split(0.1, 150, np.random.default_rng(0))
    assert (rest.n_rows, held.n_rows) == (1850, 150)
    epochs = [list(rest.batches(64, np.random.default_rng([1, n]))) for n in (1, 1, 2)]
    orders = [np.concatenate([chunk.X[:, 0] for chunk in epoch]) for epoch in epochs]
    in_order: list[np.ndarray] = []

    def look(chunk: Any) -> float:
        assert np.array_equal(chunk.y[:, 0], 2.5 * chunk.X[:, 0])
        in_order.append(chunk.X[:, 0])
        return 0.0

    rest.sum(look)
    held.sum(look)
    assert np.array_equal(np.sort(orders[0]), np.sort(np.concatenate(in_order[:-1])))  # threads look in any order
    assert np.array_equal(np.sort(np.concatenate(in_order)), np.arange(2000.0))
    assert np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], orders[2])
    assert np.corrcoef(orders[0], np.arange(len(orders[0])))[0, 1] < 0.2
    again, part = rest.split(0.5, 10**6, np.random.default_rng(0))  # of a part, a part
    assert again.n_rows + part.n_rows == 1850
    part.sum(look)
    assert not np.isin(in_order[-1], in_order[len(in_order) - 2]).any()
    assert rest.sample(100, np.random.default_rng(0)).n_rows == 100


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 3])
def test_a_slow_consumer_holds_the_reader_back(threads: int, tmp_path: Path) -> None:
    rows = FileRows(written(everything(4000), tmp_path / "d.parquet"), "y", memory=MEMORY, n_jobs=threads)
    read, used, ahead = [0], [0], [0]
    real = rows.source.read

    def counted(pieces: Any) -> Any:
        for cut in real(pieces):
            read[0] += 1
            ahead[0] = max(ahead[0], read[0] - used[0])
            yield cut

    def slow(chunk: Any) -> float:
        time.sleep(0.01)
        used[0] += 1
        return 0.0

    rows.source.read = counted  # type: ignore[method-assign]
    rows.sum(slow)
    assert read[0] == used[0] > 20
    assert ahead[0] <= 2 * threads + 5  # what is under way, what waits, and what the reader has in its hands


def test_an_error_ends_the_reader(tmp_path: Path) -> None:
    rows = FileRows(written(everything(), tmp_path / "d.parquet"), "y", memory=MEMORY)

    def fail(chunk: Any) -> float:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        rows.sum(fail)
    assert not any(thread.name == "newtron-reader" for thread in threading.enumerate())


@pytest.mark.slow
def test_stochastic_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    path = written(everything(), tmp_path / "d.parquet")

    def fit(seed: int) -> bytes:
        model = NetworkRegressor(hidden=(3,), n_starts=1, solver="stochastic", max_iter=4, random_state=seed)
        return model.fit_rows(FileRows(path, "y", memory=MEMORY)).members_[0].params.tobytes()

    assert fit(0) == fit(0)
    assert fit(0) != fit(1)


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["levenberg-marquardt", "stochastic"])
def test_a_checkpoint_of_files(solver: str, tmp_path: Path) -> None:
    rows = FileRows(written(everything(600), tmp_path / "d.parquet"), "y", memory=MEMORY)
    settings: Any = {"hidden": (2,), "n_starts": 2, "solver": solver}
    NetworkRegressor(**settings, max_iter=3).fit_rows(rows, checkpoint=tmp_path / "run")
    found = NetworkRegressor(**settings, max_iter=6).fit_rows(rows, checkpoint=tmp_path / "run")
    expected = NetworkRegressor(**settings, max_iter=6).fit_rows(rows)
    for one, other in zip(found.members_, expected.members_, strict=True):
        assert one.params.tobytes() == other.params.tobytes()
    other_rows = FileRows(written(everything(590), tmp_path / "e.parquet"), "y", memory=MEMORY)
    with pytest.raises(InputError, match="other data"):
        NetworkRegressor(**settings).fit_rows(other_rows, checkpoint=tmp_path / "run")


@pytest.mark.slow
def test_what_is_wrong_is_one_sentence(tmp_path: Path) -> None:
    frame = everything(600)
    good = written(frame, tmp_path / "good.parquet")
    cases: list[tuple[Any, str]] = []
    (tmp_path / "cut.parquet").write_bytes(good.read_bytes()[:-1000])
    (tmp_path / "empty.parquet").write_bytes(b"")
    (tmp_path / "zip.csv").write_bytes(b"PK\x03\x04 and more")
    (tmp_path / "nothing").mkdir()
    cases += [("cut.parquet", "damaged or cut short"), ("empty.parquet", "is empty"), ("no.parquet", "no such file")]
    cases += [("zip.csv", "neither a Parquet nor"), ("nothing", "holds no"), ("x*.parquet", "no file has a name")]
    other = tmp_path / "changing"
    other.mkdir()
    written(frame[["size", "y"]], other / "a.parquet")
    written(frame[["size", "y"]].astype({"size": "float32"}), other / "b.parquet")
    cases.append(("changing", "'size' is of type float here and of type double"))
    fewer = tmp_path / "fewer"
    fewer.mkdir()
    written(frame[["size", "y"]], fewer / "a.parquet")
    written(frame[["y"]], fewer / "b.parquet")
    cases.append(("fewer", "'size' of .*a.parquet is missing here"))
    infinite = frame[["size", "y"]].copy()
    infinite.loc[311, "size"] = np.inf
    written(infinite, tmp_path / "infinite.parquet")
    cases.append(("infinite.parquet", "row 312, column 'size': this cell is infinite"))
    none = frame[["size", "y"]].assign(y=np.nan)
    written(none, tmp_path / "none.parquet")
    cases.append(("none.parquet", "every cell is missing"))
    for name, sentence in cases:
        with pytest.raises(InputError, match=sentence) as caught:
            FileRows(tmp_path / name, "y", memory=MEMORY)
        assert str(caught.value).startswith(str(tmp_path))
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="did you mean 'y'"):
        FileRows(good, "Y", memory=MEMORY)
    with pytest.raises(InputError, match="memory=1000"):
        FileRows(good, "y", memory=1000)
    with pytest.raises(InputError, match="regression"):
        PerceptronClassifier().fit_rows(FileRows(good, "y", memory=MEMORY))
    with pytest.raises(InputError, match=r"give newtron\.FileRows"):
        PerceptronClassifier().fit_rows(np.zeros((3, 2)))  # type: ignore[arg-type]  # what is refused here


@pytest.mark.slow
@pytest.mark.parametrize("how", ["deleted", "replaced", "damaged"])
@pytest.mark.parametrize("solver", ["lbfgs", "stochastic"])
def test_a_file_that_is_lost_in_the_middle(how: str, solver: str, tmp_path: Path) -> None:
    path = written(everything(), tmp_path / "d.parquet")
    rows = FileRows(path, "y", memory=MEMORY)

    def spoil(progress: Any) -> None:
        if progress.row.iteration == 2:
            status = path.stat()
            if how == "deleted":
                path.unlink()
            elif how == "replaced":
                written(everything(900), path)
            else:
                path.write_bytes(b"PAR1" + bytes(status.st_size - 4))
                os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    sentence = {"deleted": "no longer", "replaced": "has changed while", "damaged": "has changed while"}[how]
    model = PerceptronRegressor(solver=solver, callback=spoil)
    with pytest.raises(InputError, match=sentence) as caught:
        model.fit_rows(rows)
    assert "\n" not in str(caught.value)
    assert not hasattr(model, "coef_")


LIMITED = """
import os, resource, sys, threading
import warnings
import numpy as np
warnings.simplefilter("ignore")
from newtron import FileRows, PerceptronRegressor, NetworkRegressor
def train(path, solver):
    rows = FileRows(path, "y", memory=32e6, n_jobs=2)
    model = PerceptronRegressor(solver=solver, max_iter=12).fit_rows(rows)
    assert np.allclose(model.coef_, np.arange(rows.n_features), atol=1e-6), model.coef_
    NetworkRegressor(hidden=(3,), n_starts=1, solver="stochastic", max_iter=1).fit_rows(rows)
    return rows.n_rows
train(sys.argv[4], sys.argv[3])  # what libraries and threads take once is in memory before the limit is set
# OpenBLAS keeps a buffer of 32 MB for each of the threads that call it at the same moment.
square, barrier = np.ones((600, 600)), threading.Barrier(4)
def multiply():
    barrier.wait()
    for _ in range(20):
        square @ square
threads = [threading.Thread(target=multiply) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
limit = used + int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    np.empty(os.path.getsize(sys.argv[1]), dtype=np.uint8)
    sys.exit("the whole file fits: the test is none")
except MemoryError:
    pass
print(train(sys.argv[1], sys.argv[3]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs RLIMIT_AS and /proc")
def test_an_address_space_several_times_smaller_than_the_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path, n, p = tmp_path / "big.parquet", 50_000, 12
    names = [f"x{i}" for i in range(p)]
    with pq.ParquetWriter(path, pa.schema([*((name, pa.float64()) for name in names), ("y", pa.float64())])) as file:
        for _ in range(36):
            X = rng.normal(size=(n, p))
            columns = dict(zip(names, X.T, strict=True), y=X @ np.arange(p) + 1.0)
            file.write_table(pa.table(columns))
    X, small = X[:30_000], tmp_path / "small.parquet"
    pq.write_table(pa.table(dict(zip(names, X.T, strict=True), y=X @ np.arange(p) + 1.0)), small)
    allowed = path.stat().st_size // 3
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path), str(allowed), "newton", str(small)],
        capture_output=True,
        text=True,
        # Allocators that reserve address space in advance would be counted for what they never use.
        env={**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) == 36 * n


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "rule"), [("regressor", "evidence"), ("binary", "loo"), ("classes", "evidence")])
def test_penalties_certificates_and_summaries_are_those_from_memory(kind: str, rule: str, tmp_path: Path) -> None:
    found, expected, _ = pair(f"perceptron {kind}", "folder", tmp_path, alpha=rule)
    one, other = found.members_[0], expected.members_[0]
    np.testing.assert_allclose(one.alpha, other.alpha, rtol=1e-8)
    np.testing.assert_allclose(found.effective_parameters_, expected.effective_parameters_, rtol=1e-8)
    assert found.certificate_.nature == expected.certificate_.nature
    assert found.certificate_.converged
    ours, theirs = (model.summary().standard_errors for model in (found, expected))
    np.testing.assert_allclose(ours, theirs, rtol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["regressor", "binary", "classes"])
@pytest.mark.parametrize("alpha", [0.0, 2.0])
def test_every_formula_of_a_summary_is_that_from_memory(kind: str, alpha: float, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"alpha": alpha} if kind == "regressor" else {"alpha": alpha, "class_weight": "balanced"}
    found, expected, rows, X, labels = with_rows(f"perceptron {kind}", "folder", tmp_path, **settings)
    groups = np.random.default_rng(0).integers(0, 9, len(labels))
    for formula in ("classical" if alpha == 0.0 else "sandwich", "HC0", "HC1", "HC2", "HC3", "cluster"):
        more: dict[str, Any] = {"covariance": formula, "groups": groups if formula == "cluster" else None}
        ours, theirs = found.summary(rows, **more), expected.summary(X, labels, **more)
        np.testing.assert_allclose(ours.covariance_matrix, theirs.covariance_matrix, rtol=1e-7, atol=1e-12)
    with pytest.raises(InputError, match="a target of their own"):
        found.summary(rows, labels)
    if kind == "binary" and alpha == 0.0:
        with pytest.raises(InputError, match="intervals='profile' need the rows in memory"):
            PerceptronClassifier().fit_rows(rows).summary(rows, intervals="profile")
    with pytest.raises(InputError, match="not the rows the model was trained on"):
        found.summary(rows.without(np.array([3])))


@pytest.mark.slow
@pytest.mark.parametrize("class_weight", [None, {"low": 2.0}])
def test_the_mix_of_networks_is_weighed_as_in_memory(class_weight: Any, tmp_path: Path) -> None:
    settings = {"hidden": "auto", "alpha": "loo", "tol": 1e-8, "max_iter": 20, "solver": "levenberg-marquardt"}
    found, expected, _ = pair("network classes", "d.parquet", tmp_path, class_weight=class_weight, **settings)
    assert [member.hidden for member in found.members_] == [(), (), (10,)]
    np.testing.assert_allclose(
        [member.share for member in found.members_], [member.share for member in expected.members_], atol=1e-3
    )
    assert found.temperature_ == expected.temperature_


@pytest.mark.slow
@pytest.mark.parametrize("looked_at", [20_000, 150], ids=["all rows", "some"])
def test_how_sure_a_network_is_is_learnt_from_files_too(
    looked_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task, "_STANDING_FOR_ALL", looked_at)
    rng = np.random.default_rng(2)
    X = rng.normal(size=(300, 3))
    frame = pd.DataFrame(X, columns=list("abc"))
    frame["y"] = np.sin(2.0 * X[:, 0]) + 0.3 * rng.normal(size=300)
    path = written(frame, tmp_path / "d.parquet", 64)
    model = NetworkRegressor(hidden=(5,), n_starts=2)
    found, expected = model.fit_rows(FileRows(path, "y", memory=MEMORY)), clone(model).fit(X, frame.y)
    for what in ("noise_std", "model_std"):
        seen, known = (getattr(m.predict_uncertainty(X), what) for m in (found, expected))
        if looked_at > 300:
            np.testing.assert_allclose(seen, known, rtol=1e-5)
        else:  # half of the rows tell of the noise alone: how far the mean is known has been learnt from all
            np.testing.assert_allclose(np.median(seen / known), 1.0, atol=0.2)
    covered = found.predict_interval(X, 0.9)
    assert 0.85 < np.mean((covered[:, 0] < frame.y) & (frame.y < covered[:, 1])) < 0.97

    labels = np.where(frame.y + 0.5 * rng.normal(size=300) > 0.0, "yes", "no")
    path = written(frame.assign(y=labels), tmp_path / "c.parquet", 64)
    network = NetworkClassifier(hidden=(8,), alpha=0.01, n_starts=2)
    found, expected = network.fit_rows(FileRows(path, "y", memory=MEMORY)), clone(network).fit(X, labels)
    assert expected.temperature_ != 1.0
    assert found.temperature_ == pytest.approx(expected.temperature_, rel=1e-9 if looked_at > 300 else 0.3)


def test_separated_classes_in_files(tmp_path: Path) -> None:
    x = np.arange(400.0)
    apart = pd.DataFrame({"x": x, "y": np.where(x < 200, "a", "b")})
    model = PerceptronClassifier().fit_rows(FileRows(written(apart, tmp_path / "a.parquet"), "y", memory=MEMORY))
    assert not model.solution_.converged
    assert present(model.separation_).kind == "undecided"
    assert "a linear program needs the rows in memory" in present(model.separation_).sentence
    apart.loc[::7, "y"] = "a"
    model = PerceptronClassifier().fit_rows(FileRows(written(apart, tmp_path / "b.parquet"), "y", memory=MEMORY))
    assert (present(model.separation_).kind, present(model.separation_).rows) == ("none", 400)


def test_what_needs_all_rows_in_memory_is_refused(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": np.arange(550_000.0), "y": np.resize(["a", "b", "a"], 550_000)})
    rows = FileRows(written(frame, tmp_path / "d.parquet", 50_000), "y", memory=MEMORY)
    with pytest.raises(InputError, match="penalty='firth' needs all rows in memory"):
        PerceptronClassifier(penalty="firth").fit_rows(rows)
    with pytest.raises(InputError, match="alpha='loo' keeps some numbers of every row in memory, 35 MB here"):
        PerceptronClassifier(alpha="loo").fit_rows(rows)


TEXTS = {
    "plain": "a,b,y\n1,2.5,3\n4,5,6.5\n7,,9\n",
    "decimal commas": "a;b;y\n1,5;x;3\n2;y;6\n7,25;x;9,5\n",
    "blank rows and words": "a,b,y\n 1 ,NA,3\n\n,,\n4,?,6.5\n7,2,9\n",
    "quotes": 'a,b,y\n1,"x, and\nmore",3\n4,"say ""no""",6.5\n7,x,9\n',
    "late text": "a,b,y\n" + "".join(f"{i},{i}.5,{i % 7}\n" for i in range(3000)) + "x,1,2\n",
    "late point": "a,b,y\n" + "".join(f"{i},{i % 3},{i % 7}\n" for i in range(3000)) + "0.5,1,2\n",
    "preamble": "\nsep=;\na;b;y\n1;2;3\n4;5;6\n2;2;2\n",
    "mark": "\ufeffa,b,y\n1,2,3\n4,5,6\n2,2,2\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TEXTS)
def test_text_is_converted_to_the_same_table(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert, "_BLOCK", 4096)
    path = tmp_path / "d.csv"
    path.write_text(TEXTS[name], encoding="utf-8")
    told: list[tuple[int, int]] = []
    found = convert.convert(str(path), [data_file_of(path)], str(tmp_path), progress=lambda *done: told.append(done))
    with pa.OSFile(found.path) as file:
        table = pa.ipc.open_file(file).read_all()
    expected = read_table(path).data
    assert table.column_names == expected.column_names
    for column in table.column_names:
        assert table[column].to_pylist() == expected[column].to_pylist()
    assert told[-1] == (path.stat().st_size,) * 2
    found.folder.cleanup()
    assert os.listdir(tmp_path) == ["d.csv"]


@pytest.mark.slow
def test_a_csv_file_gives_the_same_model(tmp_path: Path) -> None:
    path = ROOT / "examples" / "penguins.csv"
    rows = FileRows(path, "species", memory=MEMORY, folder=str(tmp_path))
    assert len(os.listdir(tmp_path)) == 1
    table = read_table(path)
    schema = learn_schema(table, "species")
    assert rows.schema.feature_names == schema.feature_names
    y, kept = encode_target(schema.target, table)
    X = encode(schema, table.take(np.flatnonzero(kept))).X
    settings: Any = {"standardize": True, "alpha": 1.0}
    expected = PerceptronClassifier(**settings).fit(X, np.array(schema.target.classes)[y])
    np.testing.assert_allclose(PerceptronClassifier(**settings).fit_rows(rows).coef_, expected.coef_, rtol=1e-10)
    del rows
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,y\n1,2\n3\n", "row 3: there is 1 cell here but the header has 2"),
        ("a,y\n1,2\n3,4,5\n", "row 3: there are 3 cells here"),
        ("a,y\n", "no data rows"),
        ("a,a\n1,2\n", "two columns are both named"),
        ('a,y\n1,2\n3,"4\n', "one of them never closes"),
        ("a,y\n1,2\n3,1e999\n5,6\n4,4\n", "infinite"),
    ],
)
def test_text_that_is_no_table(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text(text)
    (tmp_path / "scratch").mkdir()
    with pytest.raises(InputError, match=sentence) as caught:
        FileRows(path, "y", memory=MEMORY, folder=str(tmp_path / "scratch"))
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path / "scratch") == []


FULL = """
import resource, sys
from newtron import FileRows, InputError
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
try:
    FileRows(sys.argv[1], "y", folder=sys.argv[2])
except InputError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
def test_a_full_folder_has_its_sentence(tmp_path: Path) -> None:
    path, scratch = tmp_path / "d.csv", tmp_path / "scratch"
    scratch.mkdir()
    path.write_text("a,y\n" + "".join(f"{i},{i % 10}\n" for i in range(400_000)))
    done = subprocess.run([sys.executable, "-c", FULL, str(path), str(scratch)], capture_output=True, text=True)
    assert done.stdout == f"{path}: the disk is full; free space in {scratch} or choose another folder.\n", done.stderr
    assert os.listdir(scratch) == []
    with pytest.raises(InputError, match="nothing can be written here"):
        FileRows(path, "y", folder=str(tmp_path / "nowhere"))


@pytest.mark.slow
def test_asinh_features_are_as_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where only some rows are looked at: they are the same ones."""
    monkeypatch.setattr(scaling, "_FEATURE_ROWS", 200)
    rng = np.random.default_rng(3)
    X = np.exp(rng.normal(size=(500, 2)))
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "y": np.log(X[:, 0]) * X[:, 1] + 0.1 * rng.normal(size=500)})
    rows = FileRows(written(frame, tmp_path / "d.parquet", 64), "y", memory=MEMORY)
    model = NetworkRegressor(n_starts=1, alpha=30.0)  # under which rounding leads to no other optimum
    found, expected = model.fit_rows(rows), clone(model).fit(X, frame.y)
    assert found.scaling_.asinh is not None
    for name in ("columns", "center", "scale", "mean", "spread"):
        assert np.array_equal(getattr(found.scaling_.asinh, name), getattr(expected.scaling_.asinh, name))
    whole = scaling.learn_asinh(X, None, expected.scaling_.x_scale)
    assert not np.array_equal(whole.center, found.scaling_.asinh.center)
    np.testing.assert_allclose(found.predict(X), expected.predict(X), rtol=1e-6, atol=1e-6)
