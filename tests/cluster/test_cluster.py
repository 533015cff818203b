"""Rows on a cluster: the coefficients of memory to ten digits, whoever sums them and whoever dies."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from distributed import Client, LocalCluster
from sklearn.base import clone
from support.arrays import moved
from support.command import command
from support.frames import everything, written
from support.models import change
from support.present import of_type, present

import newtron
from newtron import (
    ClusterRows,
    FileRows,
    NetworkClassifier,
    NetworkRegressor,
    PerceptronClassifier,
    PerceptronRegressor,
)
from newtron.cli import main
from newtron.cluster.sums import (
    ClusterLostError,
    DistributedRows,
    Engine,
    FarSource,
    HeldPart,
    Sums,
    merged,
    summed,
)
from newtron.engine.base.codec import to_json
from newtron.engine.base.errors import InputError
from newtron.engine.rows.streamed import Cut
from newtron.engine.solvers import LBFGS, SOLVERS, Stochastic, auto
from newtron.table import encode, encode_target, learn_schema, read_table
from newtron.table.large import files

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]
MEMORY = 32e6
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_LEAST_ROWS", 100)


class Hosts:
    """A scheduler, and workers that are processes of their own, each with a folder of its own, as on two machines."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.workers = folder, list[subprocess.Popen[bytes]]()
        self.cluster = LocalCluster(
            n_workers=0, dashboard_address=None, scheduler_kwargs={"dashboard_address": ":0"}, silence_logs=50
        )
        self.client = Client(self.cluster)

    def start(self, threads: int) -> subprocess.Popen[bytes]:
        """One more worker, without anybody who would start it again."""
        own = self.folder / f"host{len(self.workers)}"
        own.mkdir()
        command = [sys.executable, "-m", "distributed.cli.dask_worker", self.cluster.scheduler_address, "--no-nanny"]
        command += [
            "--nthreads",
            str(threads),
            "--local-directory",
            ".",
            "--no-dashboard",
            "--memory-limit",
            "2GB",
            "--death-timeout",
            "60",
        ]
        with (own / "log").open("wb") as log:
            worker = subprocess.Popen(command, cwd=own, stdout=log, stderr=log)
        self.workers.append(worker)
        return worker

    def alive(self) -> list[subprocess.Popen[bytes]]:
        return [worker for worker in self.workers if worker.poll() is None]

    def wait_for(self, count: int) -> None:
        until = time.monotonic() + 60.0
        while len(self.client.scheduler_info()["workers"]) != count:
            assert time.monotonic() < until, [path.read_text() for path in self.folder.glob("*/log")]
            time.sleep(0.02)

    def close(self) -> None:
        self.client.close()
        for worker in self.alive():
            worker.kill()
        self.cluster.close()
        for worker in self.workers:
            worker.wait(20)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    found = Hosts(tmp_path_factory.mktemp("hosts"))
    try:
        for threads in (1, 2):
            found.start(threads)
        found.wait_for(2)
        yield found
    finally:
        found.close()


@pytest.fixture
def client(hosts: Hosts) -> Client:
    while len(hosts.alive()) < 2:
        hosts.start(1)
    hosts.wait_for(2)
    return hosts.client


COLUMNS = ["size", "small", "gap", "colour", "flag"]
TARGETS = {"regressor": "y", "binary": "answer", "classes": "kind"}


def frame_of(kind: str, n: int = 700) -> tuple[pd.DataFrame, str]:
    target = TARGETS[kind.split()[-1]]
    return everything(n)[[*COLUMNS, target]], target


def estimator(kind: str, **settings: Any) -> Any:
    regression = kind.endswith("regressor")
    if kind.startswith("network"):
        make: Any = NetworkRegressor if regression else NetworkClassifier
        return make(**{"hidden": (2,), "n_starts": 1, "tol": 1e-13, "alpha": 1.0, **settings})
    make = PerceptronRegressor if regression else PerceptronClassifier
    return make(**{"standardize": True, "alpha": 0.5, **settings})


def arrays_of(frame: pd.DataFrame, target: str, tmp_path: Path) -> tuple[Any, Any]:
    table = read_table(written(frame, tmp_path / "whole.parquet", 10**6))
    schema = learn_schema(table, target)
    y, kept = encode_target(schema.target, table)
    X = encode(schema, table.take(np.flatnonzero(kept))).X
    return X, y if schema.target.task == "regression" else np.array(schema.target.classes)[y]


def from_memory(kind: str, frame: pd.DataFrame, target: str, tmp_path: Path, **settings: Any) -> Any:
    return estimator(kind, **settings).fit(*arrays_of(frame, target, tmp_path))


def check_same(found: Any, expected: Any) -> None:
    assert found.solution_.converged == expected.solution_.converged  # by gradient or by rounding is a matter of it
    for one, other in zip(found.members_, expected.members_, strict=True):
        np.testing.assert_allclose(one.params, other.params, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", ["perceptron regressor", "perceptron classes", "network regressor"])
@pytest.mark.parametrize("solver", [name for name in SOLVERS if name != "stochastic"])
def test_the_same_coefficients_as_from_memory(solver: str, kind: str, client: Client, tmp_path: Path) -> None:
    # Each pass takes some milliseconds here; in this process (below) networks are followed to their end.
    more = {"max_iter": 8} if solver == "gradient-descent" or kind.startswith("network") else {}
    frame, target = frame_of(kind)
    expected = from_memory(kind, frame, target, tmp_path, solver=solver, **more)
    path = written(frame, tmp_path / "d.parquet", 300)
    rows = ClusterRows(client, path, target, memory=MEMORY)
    assert len(rows.parts.futures) == 3
    check_same(estimator(kind, solver=solver, **more).fit_rows(rows), expected)


@pytest.mark.parametrize("form", ["files", "one part", "folder", "arrow", "dataframe", "array"])
def test_every_form_and_size_of_parts_gives_the_same(form: str, client: Client, tmp_path: Path) -> None:
    import dask.array as da
    import dask.dataframe as dd

    frame, target = frame_of("perceptron classes")
    expected = from_memory("perceptron classes", frame, target, tmp_path, class_weight="balanced")
    data: Any
    label: Any = target
    if form == "dataframe":
        data = dd.from_pandas(frame, npartitions=5)
    elif form == "array":
        table = read_table(tmp_path / "whole.parquet")
        schema = learn_schema(table, target)
        y, kept = encode_target(schema.target, table)
        data = da.from_array(encode(schema, table.take(np.flatnonzero(kept))).X, chunks=(150, 4))
        label = da.from_array(y, chunks=200)
        change(expected, data=replace(expected.model_.data, classes=np.arange(3)))
    else:
        name, size = {"files": ("d.parquet", 130), "one part": ("e.parquet", 9999), "arrow": ("d.arrow", 200)}.get(
            form, ("folder", 90)
        )
        data = written(frame, tmp_path / name, size)
    rows = ClusterRows(client, data, label, memory=MEMORY)
    found = estimator("perceptron classes", class_weight="balanced").fit_rows(rows)
    np.testing.assert_allclose(found.coef_, expected.coef_, rtol=1e-10, atol=1e-10)
    assert found.classes_.tolist() == expected.classes_.tolist()
    if form != "array":
        assert rows.column_names == tuple(frame.columns)
    assert rows.class_counts == tuple(frame[target].value_counts().sort_index().tolist())


def test_files_that_are_read_again_for_every_pass_give_the_same_bits(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame, target = frame_of("network regressor")
    path = written(frame, tmp_path / "d.parquet")
    held = ClusterRows(client, path, target, memory=MEMORY)
    monkeypatch.setattr("newtron.cluster.dask._HELD_SHARE", 0.0)
    read = ClusterRows(client, path, target, memory=MEMORY)
    kinds = [type(rows.parts.futures[0].result()).__name__ for rows in (held, read)]
    assert kinds == ["HeldPart", "ReadPart"]
    one, other = (estimator("network regressor", max_iter=5).fit_rows(rows).members_[0].params for rows in (held, read))
    assert one.tobytes() == other.tobytes()


def test_the_schema_is_that_of_files(client: Client, tmp_path: Path) -> None:
    import dask.dataframe as dd

    frame = everything(900)
    path = written(frame, tmp_path / "folder")
    expected = FileRows(path, "kind", ignore=["y"], memory=MEMORY)
    for data in (path, dd.from_pandas(frame, npartitions=4)):
        rows = ClusterRows(client, data, "kind", ignore=["y"], memory=MEMORY)
        found, wanted = (of_type(dict, to_json(schema)) for schema in (rows.schema, expected.schema))
        for one, other in zip(found["columns"], wanted["columns"], strict=True):
            mean, other_mean = one.pop("mean"), other.pop("mean")
            assert mean == (None if other_mean is None else pytest.approx(other_mean, rel=1e-14, abs=1e-14))
        assert found == wanted
        assert (rows.class_counts, rows.missing) == (expected.class_counts, expected.missing)
        assert (rows.n_rows, rows.total_rows) == (expected.n_rows, expected.total_rows)


def test_a_dead_worker_changes_no_bit(hosts: Hosts, client: Client, tmp_path: Path) -> None:
    frame, target = frame_of("network regressor", 1200)
    path = written(frame, tmp_path / "d.parquet", 100)
    expected = estimator("network regressor", max_iter=9).fit_rows(ClusterRows(client, path, target, memory=MEMORY))
    rows = ClusterRows(client, path, target, memory=MEMORY)
    homes = set(rows.parts.homes)
    assert len(homes) == 2

    def kill(progress: Any) -> None:
        if progress.row.iteration == 3:
            os.kill(hosts.alive()[0].pid, signal.SIGKILL)
        if progress.row.iteration == 5:
            hosts.start(1)
            hosts.wait_for(2)

    found = estimator("network regressor", max_iter=9, callback=kill).fit_rows(rows)
    assert found.members_[0].params.tobytes() == expected.members_[0].params.tobytes()
    assert set(rows.parts.homes) != homes
    assert len(set(rows.parts.homes)) == 2  # the newcomer got its share


def test_categories_that_the_collection_does_not_know(client: Client, tmp_path: Path) -> None:
    import dask.dataframe as dd

    rng = np.random.default_rng(0)
    cells = [rng.choice(kinds, 300) for kinds in (["a", "b"], ["c", "a"], ["b"])]  # each file has categories of its own
    for number, cities in enumerate(cells):
        table = {
            "x": rng.normal(size=300),
            "city": pa.array(cities).dictionary_encode(),
            "rooms": pa.array(rng.integers(1, 5, 300)).dictionary_encode(),
            "y": pa.array(rng.choice(["no", "yes"], 300)).dictionary_encode(),
        }
        pq.write_table(pa.table(table), tmp_path / f"{number}.parquet")
    frame = dd.read_parquet(tmp_path)
    assert str(frame.dtypes["city"]) == "category"
    rows, files = ClusterRows(client, frame, "y", memory=MEMORY), FileRows(tmp_path, "y", memory=MEMORY)
    assert rows.schema.feature_names == files.schema.feature_names == ("x", "city=a", "city=c", "rooms")
    found, expected = (PerceptronClassifier(alpha=1.0).fit_rows(each) for each in (rows, files))
    np.testing.assert_allclose(found.coef_, expected.coef_, rtol=1e-10)
    assert found.summary().terms == expected.summary().terms == ("intercept", *rows.schema.feature_names)

    def part(kind: type) -> pd.DataFrame:
        return pd.DataFrame({"city": pd.Categorical([kind(n) for n in range(50)]), "y": np.arange(50.0)})

    meta = pd.DataFrame({"city": pd.Categorical([], categories=["__UNKNOWN_CATEGORIES__"]), "y": np.zeros(0)})
    two = dd.from_map(part, [int, str], meta=meta)
    with pytest.raises(InputError, match=r"the categories of city are of several types, int64 and .*string; convert"):
        ClusterRows(client, two, "y", memory=MEMORY)


def test_classes_of_an_array_may_be_texts(client: Client) -> None:
    import dask.array as da

    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(300, 2))
    y = np.where(inputs[:, 0] + rng.normal(size=300) > 0.0, "né", "yes")
    expected = PerceptronClassifier().fit(inputs, y)
    kinds: list[Any] = [y.dtype, object, np.dtypes.StringDType()]
    for kind in kinds:
        labels = da.from_array(y.astype(kind), chunks=100)
        rows = ClusterRows(client, da.from_array(inputs, chunks=(100, 2)), labels, memory=MEMORY)
        found = PerceptronClassifier().fit_rows(rows)
        assert found.classes_.tolist() == ["né", "yes"]
        np.testing.assert_allclose(found.coef_, expected.coef_, rtol=1e-10)
    mixed = da.from_array(np.array([1, "a"] * 150, dtype=object), chunks=100)
    with pytest.raises(InputError, match="partition 0: its cells are not what the collection says of its columns"):
        ClusterRows(client, da.from_array(inputs, chunks=(100, 2)), mixed, memory=MEMORY)


def test_a_part_that_travelled_has_the_same_bits() -> None:
    rng = np.random.default_rng(0)
    X, y = np.asfortranarray(rng.normal(size=(200, 8))), rng.normal(size=200)
    buffers: list[Any] = []
    sent = pickle.dumps(HeldPart([Cut(0, lambda: X, y)], 0), protocol=5, buffer_callback=buffers.append)
    assert len(buffers) == 2
    for offset in range(64):
        (cut,) = pickle.loads(sent, buffers=[moved(np.frombuffer(each.raw()), offset) for each in buffers]).cuts()
        for received, original in ((cut.X(), X), (cut.y, y)):
            assert received.flags.aligned
            assert received.strides == original.strides
            assert received.tobytes() == original.tobytes()


@pytest.mark.parametrize("form", ["files", "dataframe"])
def test_workers_that_die_at_any_moment_change_no_bit(form: str, hosts: Hosts, client: Client, tmp_path: Path) -> None:
    import dask.dataframe as dd

    frame, target = frame_of("perceptron classes", 4000)
    data = written(frame, tmp_path / "d.parquet", 500) if form == "files" else dd.from_pandas(frame, npartitions=8)

    def fit(callback: Any = None) -> bytes:
        rows = ClusterRows(client, data, target, memory=MEMORY)
        model = estimator("perceptron classes", solver="lbfgs", callback=callback).fit_rows(rows)
        return bytes(model.coef_.tobytes() + np.array([row.value for row in model.solution_.trace]).tobytes())

    expected, moments = fit(), np.random.default_rng(0).uniform(0.0, 0.05, 4)
    for moment in moments.tolist():
        while len(hosts.alive()) < 3:
            hosts.start(1)
        hosts.wait_for(3)
        killed: list[threading.Timer] = []

        def kill(progress: Any, moment: float = moment, killed: list[threading.Timer] = killed) -> None:
            if progress.row.iteration == 2:
                killed.append(threading.Timer(moment, hosts.alive()[0].kill))
                killed[0].start()

        assert fit(kill) == expected
        killed[0].join()
    while len(hosts.alive()) > 2:
        hosts.alive()[0].kill()
    hosts.wait_for(2)


def test_a_worker_dies_in_the_middle_of_a_pass(hosts: Hosts, client: Client, tmp_path: Path) -> None:
    frame, target = frame_of("perceptron regressor", 1200)
    rows = ClusterRows(client, written(frame, tmp_path / "d.parquet", 100), target, memory=MEMORY)
    expected = rows.sum(lambda chunk: chunk.X[:, :1].sum(axis=0))
    victim = hosts.alive()[0].pid
    address = next(a for a, pid in client.run(os.getpid).items() if pid == victim)
    marker = tmp_path / "died"

    def work(chunk: Any) -> Any:
        if os.getpid() == victim:
            marker.touch()
            os.kill(victim, signal.SIGKILL)
        return chunk.X[:, :1].sum(axis=0)

    assert address in rows.parts.homes
    np.testing.assert_array_equal(rows.sum(work), expected)
    assert marker.exists()


def test_a_frozen_worker_is_given_up(hosts: Hosts, client: Client, tmp_path: Path, caplog: Any) -> None:
    frame, target = frame_of("network regressor", 1200)
    path = written(frame, tmp_path / "d.parquet", 100)
    expected = estimator("network regressor", max_iter=9).fit_rows(ClusterRows(client, path, target, memory=MEMORY))
    rows = ClusterRows(client, path, target, memory=MEMORY, patience=0.5)
    frozen: list[subprocess.Popen[bytes]] = []

    def freeze(progress: Any) -> None:
        if progress.row.iteration == 3:
            frozen.append(hosts.alive()[0])
            frozen[0].send_signal(signal.SIGSTOP)

    started = time.monotonic()
    try:
        found = estimator("network regressor", max_iter=9, callback=freeze).fit_rows(rows)
        assert found.members_[0].params.tobytes() == expected.members_[0].params.tobytes()
        assert time.monotonic() - started < 40.0
        assert any("has said nothing for 5 seconds" in record.getMessage() for record in caplog.records)
        # All of them: a sentence.
        frozen += hosts.alive()
        for worker in hosts.alive():
            worker.send_signal(signal.SIGSTOP)
        with pytest.raises(ClusterLostError, match="the cluster is lost"):
            estimator("network regressor", max_iter=9).fit_rows(rows)
    finally:
        for worker in frozen:
            worker.kill()
            worker.wait(20)


def test_a_partition_that_raises_is_named(client: Client) -> None:
    import dask.dataframe as dd

    def part(number: int) -> pd.DataFrame:
        if number == 2:
            raise RuntimeError("the tap\nis dry")
        return pd.DataFrame({"x": np.arange(50.0) + number, "y": np.arange(50.0)})

    meta = pd.DataFrame({"x": np.zeros(0), "y": np.zeros(0)})
    for count in (4, 20):  # 20: sums are merged by the workers
        with pytest.raises(
            InputError, match="partition 2 of the collection cannot be made: RuntimeError: the tap is dry"
        ):
            ClusterRows(client, dd.from_map(part, list(range(count)), meta=meta), "y", memory=MEMORY)


def test_without_workers_training_ends_in_a_sentence_and_goes_on_later(
    hosts: Hosts, client: Client, tmp_path: Path
) -> None:
    frame, target = frame_of("network regressor")
    path = written(frame, tmp_path / "d.parquet", 200)
    expected = estimator("network regressor", max_iter=6).fit_rows(ClusterRows(client, path, target, memory=MEMORY))

    def kill(progress: Any) -> None:
        if progress.row.iteration == 3:
            for worker in hosts.alive():
                os.kill(worker.pid, signal.SIGKILL)

    rows = ClusterRows(client, path, target, memory=MEMORY, patience=0.5)
    model = estimator("network regressor", max_iter=6, callback=kill)
    with pytest.raises(ClusterLostError, match=r"the cluster is lost: .* within 0.5 seconds; start workers") as caught:
        model.fit_rows(rows, checkpoint=tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, InputError)
    assert not hasattr(model, "members_")
    hosts.start(2)
    hosts.wait_for(1)
    again = ClusterRows(client, path, target, memory=MEMORY)
    iterations: list[int] = []
    model = estimator("network regressor", max_iter=6, callback=lambda step: iterations.append(step.row.iteration))
    model.fit_rows(again, checkpoint=tmp_path / "run")
    assert iterations[0] == 4
    assert model.members_[0].params.tobytes() == expected.members_[0].params.tobytes()


def test_without_its_scheduler_training_ends_in_a_sentence_at_once(tmp_path: Path) -> None:
    frame, target = frame_of("network regressor")
    path, told = written(frame, tmp_path / "d.parquet", 200), tmp_path / "scheduler.json"
    module = [sys.executable, "-m"]
    ends: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    alone = ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(told)]
    member = ["distributed.cli.dask_worker", "--scheduler-file", str(told), "--no-nanny", "--death-timeout", "60"]
    scheduler = subprocess.Popen([*module, *alone, "--no-dashboard", "--dashboard-address", ":0"], **ends)
    worker = subprocess.Popen([*module, *member, "--no-dashboard", "--nthreads", "1"], **ends)

    def kill(progress: Any) -> None:
        if progress.row.iteration == 3:
            scheduler.kill()

    try:
        # The scheduler makes the file first and writes it then.
        while not told.exists() or not told.read_text().rstrip().endswith("}"):
            assert scheduler.poll() is None
            time.sleep(0.05)
        client = Client(scheduler_file=str(told), timeout=15, set_as_default=False)
        try:
            rows = ClusterRows(client, path, target, memory=MEMORY, patience=60.0)
            with pytest.raises(ClusterLostError, match="the cluster is lost: its scheduler does not answer any more"):
                estimator("network regressor", callback=kill).fit_rows(rows, checkpoint=tmp_path / "run")
            assert (tmp_path / "run").stat().st_size > 0
        finally:
            client.close(timeout=1)  # or it would look for its scheduler
    finally:
        for process in (scheduler, worker):
            process.kill()
            process.wait(20)


def test_data_that_cannot_be_used_has_its_sentence(client: Client, tmp_path: Path) -> None:
    import dask.array as da
    import dask.dataframe as dd

    good = written(everything(600), tmp_path / "good.parquet")
    (tmp_path / "d.csv").write_text("a,y\n1,2\n")
    frame = pd.DataFrame({"x": np.arange(50.0), "y": np.arange(50.0)})
    lazy = dd.from_pandas(frame, npartitions=2)
    infinite = frame.assign(x=np.where(frame["x"] == 30.0, np.inf, frame["x"]))
    X, y = da.ones((30, 2), chunks=10), da.arange(30, chunks=10)
    cases: list[tuple[Any, Any, str]] = [
        (tmp_path / "no.parquet", "y", "there is no such file"),
        (tmp_path / "d.csv", "y", "a text file cannot be read in parts by a cluster; write it as Parquet"),
        (good, "Y", "did you mean 'y'"),
        (lazy, "z", "no column 'z'"),
        (dd.from_pandas(infinite, npartitions=2), "y", "partition 1, row 6, column 'x': this cell is infinite"),
        (lazy.rename(columns={"x": 1}), "y", "names are no text"),
        (frame, "y", "data=DataFrame is nothing that a cluster can read"),
        (X, y[:20], "X has 30 rows and y has 20"),
        (X, "y", "its target a dask.array y"),
        (X.astype(str), y, "give numbers"),
        (da.where(X > 0.0, np.nan, X), y, "x1 has 30 cells that are not a number"),
    ]
    for data, target, sentence in cases:
        with pytest.raises(InputError, match=sentence) as caught:
            ClusterRows(client, data, target, memory=MEMORY)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"no synchronous distributed\.Client"):
        ClusterRows("tcp://127.0.0.1:8786", good, "y")
    with pytest.raises(InputError, match="patience=0"):
        ClusterRows(client, good, "y", patience=0)


def test_workers_of_another_version_are_refused(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = written(everything(300), tmp_path / "good.parquet")
    monkeypatch.setattr("newtron.cluster.dask.__version__", "9.9")
    with pytest.raises(InputError, match=r"the worker tcp://.* runs newtron .*, and this is newtron 9\.9 on Python"):
        ClusterRows(client, good, "y")


def test_files_that_a_worker_cannot_read_have_their_sentence(client: Client, tmp_path: Path) -> None:
    path = written(everything(600), tmp_path / "d.parquet")
    rows = ClusterRows(client, path, "y", memory=MEMORY)

    def lose(progress: Any) -> None:
        path.unlink(missing_ok=True)
        for number, part in enumerate(rows.parts.arguments):  # as if all had been lost with their workers
            rows.parts.futures[number] = client.submit(rows.parts.made, *part, pure=False)

    with pytest.raises(InputError, match="there is no such file, or no longer") as caught:
        PerceptronRegressor(solver="gradient-descent", callback=lose).fit_rows(rows)
    assert str(path) in str(caught.value)


def test_checkpoints_know_the_rows_of_collections(client: Client, tmp_path: Path) -> None:
    import dask.dataframe as dd

    frame, target = frame_of("perceptron regressor")

    def fit(data: pd.DataFrame, max_iter: int, partitions: int = 3) -> Any:
        rows = ClusterRows(client, dd.from_pandas(data, npartitions=partitions), target)
        model = estimator("perceptron regressor", solver="gradient-descent", max_iter=max_iter)
        return model.fit_rows(rows, checkpoint=tmp_path / "run")

    fit(frame, 3)
    assert fit(frame, 5).n_iter_ == 5
    with pytest.raises(InputError, match="other data"):
        fit(frame.assign(size=frame["size"] + 1.0), 5)


def test_the_command_on_a_cluster_that_is_there(client: Client, tmp_path: Path) -> None:
    frame, target = frame_of("perceptron binary", 900)
    path = written(frame, tmp_path / "folder")
    address = client.scheduler.address
    model = tmp_path / "m.newtron"
    asked = ("fit", path, "--target", target, "--output", model, "--model", "perceptron", "--cluster", address)
    done = command(*asked)
    assert done.returncode == 0, done.stderr
    assert "cluster: 2 workers," in done.stderr
    assert "The rows were summed on a cluster of 2 workers" in done.stdout
    assert sorted(os.listdir(tmp_path)) == ["folder", "m.newtron"]  # no checkpoint is left
    assert newtron.load(model).classes_.tolist() == ["no", "yes"]
    assert client.scheduler_info()["workers"]  # which stay
    test = written(frame.iloc[:50], tmp_path / "test.parquet")
    done = command(*asked, "--test", test)
    assert done.returncode == 0, done.stderr
    known, n = (int(part[target].notna().sum()) for part in (frame.iloc[:50], frame))
    assert f"Compared on the {known} rows of {test}; trained on the {n} of" in done.stdout
    assert f"{known} of its {known} rows are equal to a row of" in " ".join(done.stdout.split()), done.stdout
    done = command(*asked, "--cv", "3")
    assert (done.returncode, "--cv: " in done.stderr) == (2, True)


def test_the_command_without_workers_keeps_where_training_stands(
    hosts: Hosts, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frame, target = frame_of("network regressor")
    path, model = written(frame, tmp_path / "d.parquet", 200), tmp_path / "m.newtron"
    monkeypatch.setitem(present(ClusterRows.__init__.__kwdefaults__), "patience", 0.5)
    checkpoint = Path(f"{model}.checkpoint.network")

    ended = threading.Event()

    def kill() -> None:
        while not (checkpoint.exists() or ended.wait(0.001)):
            pass
        for worker in hosts.alive():
            worker.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    asked = ["fit", str(path), "--target", target, "--output", str(model), "--model", "network", "--hidden", "2"]
    code = main([*asked, "--starts", "1", "--max-iter", "500", "--cluster", client.scheduler.address])
    ended.set()
    killer.join()
    said = capsys.readouterr().err.splitlines()[-1]
    assert code == 2
    assert said.startswith("newtron: the cluster is lost: ")
    assert said.endswith(f"give the same command again, which goes on from {model}.checkpoint.*.")
    assert checkpoint.stat().st_size > 0
    assert not model.exists()


def test_the_command_on_a_cluster_of_its_own_and_ctrl_c(tmp_path: Path) -> None:
    frame, target = frame_of("network binary", 300)
    path, model = written(frame, tmp_path / "d.parquet"), tmp_path / "m.newtron"
    words = [
        "fit",
        path,
        "--target",
        target,
        "--output",
        model,
        "--model",
        "network",
        "--hidden",
        "3",
        "--threads",
        "1",
    ]
    running = subprocess.Popen(
        [sys.executable, "-m", "newtron", *map(str, words), "--cluster"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        while not Path(f"{model}.checkpoint.network").exists() and running.poll() is None:
            time.sleep(0.01)
        os.killpg(running.pid, signal.SIGINT)  # as a terminal does: the workers get it too
        said = running.communicate(timeout=120)[1].splitlines()
    finally:
        running.kill()
    assert (running.returncode, model.exists()) == (130, True), said
    assert said[0].startswith("cluster: 1 worker, 1 thread, ")
    said = [line for line in said if ": about " not in line]  # where training is expected to take long, that is told
    assert said[1].startswith("newtron: stopping at the next step")
    assert len(said) == 3  # and nothing of Dask's


def test_the_command_names_a_scheduler_that_does_not_answer(tmp_path: Path) -> None:
    path = written(everything(300), tmp_path / "d.parquet")
    done = command("fit", path, "--target", "y", "--output", tmp_path / "m.newtron", "--cluster", "nowhere")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "no Dask scheduler answers there" in done.stderr


WITHOUT = """
import sys
class Without:
    def find_spec(self, name, *_):
        if name in ("dask", "distributed"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Without())
from newtron.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_without_dask_a_sentence_names_the_extra(tmp_path: Path) -> None:
    path = written(everything(300), tmp_path / "d.parquet")
    words = [sys.executable, "-c", WITHOUT, "fit", str(path), "--target", "y", "--cluster"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 2
    needed = 'clusters need Dask, newtron\'s extra "dask": pip install "dask[array,dataframe]" distributed.'
    assert done.stderr == f"newtron: {needed}\n"


def test_the_plan_on_the_page_is_what_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import scale_plan

    printed = scale_plan.plan(scale_plan.MEASURED, scale_plan.Size())
    assert printed in (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    twice = scale_plan.Size(threads=32)
    assert scale_plan.plan(scale_plan.MEASURED, twice) != printed


# --- without a cluster ---


class InProcess(Engine):
    """What an engine does, in this process: functions travel, and parts are summed by turns."""

    def broadcast(self, value: Any) -> Any:
        return value

    def total(self, work: Any, parts: list[Any], shared: Any = None) -> Any:
        groups = [[number for number in range(len(parts)) if number % 3 == turn] for turn in range(3)]
        sums = []
        for numbers in filter(None, groups):
            work, shared = pickle.loads(cloudpickle.dumps((work, shared)))
            sums.append(summed(work, shared, [(number, parts[number]) for number in numbers], len(parts)))
        return merged(sums).total


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 13])
def test_sums_have_the_same_bits_whoever_adds(n: int) -> None:
    values = np.random.default_rng(n).normal(size=n) * 10.0 ** np.arange(n)
    whole = Sums(n)
    for number, value in enumerate(values):
        whole.put(0, number, np.array([value]))
    rng = np.random.default_rng(0)
    for _ in range(10):
        groups = np.array_split(rng.permutation(n), rng.integers(1, n + 1))
        parts = []
        for group in groups:
            sums = Sums(n)
            for number in group:
                sums.put(0, int(number), np.array([values[number]]))
            parts.append(sums)
        before = cloudpickle.dumps(parts)
        assert merged(parts).total.tobytes() == whole.total.tobytes()
        assert cloudpickle.dumps(parts) == before
    np.testing.assert_allclose(whole.total, values.sum())


def in_process(path: Path, target: str, pieces: int) -> ClusterRows:
    """Rows as on a cluster, without one."""
    rows = FileRows(path, target, memory=MEMORY)
    runs = [tuple(run.tolist()) for run in np.array_split(np.arange(len(rows.source.sizes)), pieces)]
    sizes = np.array([rows.source.sizes[list(run)].sum() for run in runs])
    first = np.cumsum(sizes) - sizes
    parts = [HeldPart(rows.source.read(run), int(at)) for run, at in zip(runs, first, strict=True)]
    found = ClusterRows.__new__(ClusterRows)
    found.schema, found.class_counts, found.missing = rows.schema, rows.class_counts, rows.missing
    source = FarSource(sizes, rows.n_features, rows.source.memory, rows.source.chunk_bytes, rows.source.digest)
    DistributedRows.__init__(found, InProcess(), parts, source, rows.transform.targets, rows.n_outputs)
    return found


@pytest.mark.parametrize("kind", ["perceptron binary", "network regressor", "network binary"])
@pytest.mark.parametrize("solver", [name for name in SOLVERS if name != "stochastic"])
def test_functions_that_travel_give_the_same(solver: str, kind: str, tmp_path: Path) -> None:
    more: dict[str, Any] = {"max_iter": 30} if solver == "gradient-descent" else {}
    if kind == "network binary":  # with less, Levenberg-Marquardt ends where values drown, 1e-7 from there
        more["alpha"] = 3.0
    frame, target = frame_of(kind)
    expected = from_memory(kind, frame, target, tmp_path, solver=solver, **more)
    found = estimator(kind, solver=solver, **more).fit_rows(
        in_process(written(frame, tmp_path / "d.parquet"), target, 5)
    )
    check_same(found, expected)


@pytest.mark.parametrize(("kind", "rule"), [("regressor", "evidence"), ("binary", "loo"), ("classes", "evidence")])
def test_penalties_certificates_and_summaries_are_those_from_memory(kind: str, rule: str, tmp_path: Path) -> None:
    """Whatever passes there are over rows, each is a function that travels and keeps nothing where it was made."""
    kind = f"perceptron {kind}"
    frame, target = frame_of(kind)
    expected = from_memory(kind, frame, target, tmp_path, alpha=rule)
    rows = in_process(written(frame, tmp_path / "d.parquet"), target, 4)
    found = estimator(kind, alpha=rule).fit_rows(rows)
    np.testing.assert_allclose(found.members_[0].alpha, expected.members_[0].alpha, rtol=1e-8)
    np.testing.assert_allclose(found.effective_parameters_, expected.effective_parameters_, rtol=1e-8)
    assert found.certificate_.nature == expected.certificate_.nature
    assert found.certificate_.converged
    ours, theirs = (model.summary().standard_errors for model in (found, expected))
    np.testing.assert_allclose(ours, theirs, rtol=1e-8)


@pytest.mark.parametrize("kind", ["regressor", "binary", "classes"])
@pytest.mark.parametrize("alpha", [0.0, 2.0])
def test_every_formula_of_a_summary_is_that_from_memory(kind: str, alpha: float, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"alpha": alpha} if kind == "regressor" else {"alpha": alpha, "class_weight": "balanced"}
    frame, target = frame_of(f"perceptron {kind}")
    X, labels = arrays_of(frame, target, tmp_path)
    expected = estimator(f"perceptron {kind}", **settings).fit(X, labels)
    rows = in_process(written(frame, tmp_path / "d.parquet"), target, 4)
    found = estimator(f"perceptron {kind}", **settings).fit_rows(rows)
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


def test_random_intercepts_are_those_from_memory(tmp_path: Path) -> None:
    frame = everything(700)[["size", "small", "whole", "y"]]
    path = written(frame, tmp_path / "d.parquet")
    known = frame[frame["y"].notna()]
    model = PerceptronRegressor(intercepts=["whole"])
    found = clone(model).fit_rows(in_process(path, "y", 4))
    expected = clone(model).fit(known.drop(columns="y"), known["y"].astype(float))
    ours, theirs = found.summary(), expected.summary()
    np.testing.assert_allclose(ours.estimates, theirs.estimates, rtol=1e-9)
    np.testing.assert_allclose(ours.standard_errors, theirs.standard_errors, rtol=1e-9)
    assert ours.log_likelihood == pytest.approx(theirs.log_likelihood, rel=1e-9)
    pd.testing.assert_frame_equal(found.random_intercepts_, expected.random_intercepts_, rtol=1e-9, atol=1e-12)
    assert found.certificate_.verify(in_process(path, "y", 2))


def test_columns_far_from_zero_and_classes_that_are_separated(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = 1e6 + rng.normal(size=900)
    frame = pd.DataFrame({"x": x, "y": np.where(x - 1e6 + rng.logistic(size=900) > 0, "a", "b")})
    model = PerceptronClassifier().fit_rows(in_process(written(frame, tmp_path / "d.parquet"), "y", 3))
    expected = PerceptronClassifier().fit(frame[["x"]].to_numpy(), frame["y"].to_numpy())
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-10)
    assert (present(model.separation_).kind, present(model.separation_).rows) == ("none", 900)
    apart = pd.DataFrame({"x": np.arange(400.0), "y": np.where(np.arange(400) < 200, "a", "b")})
    model = PerceptronClassifier().fit_rows(in_process(written(apart, tmp_path / "a.parquet"), "y", 3))
    assert not model.solution_.converged
    assert present(model.separation_).kind == "undecided"


def test_rows_that_are_held_out(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": np.arange(2000.0), "y": np.arange(2000) * 2.5})
    path = written(frame, tmp_path / "d.parquet")
    rows, same = in_process(path, "y", 7), FileRows(path, "y", memory=MEMORY)
    rest, X, y = rows.hold_out(0.1, 0)
    other_rest, other_X, other_y = same.hold_out(0.1, 0)
    assert np.array_equal(X, other_X)
    assert np.array_equal(y, other_y)
    seen = rest.sum(lambda chunk: [(chunk.rows.start, chunk.X[:, 0])])
    left = np.concatenate([values for _, values in seen])
    assert [start for start, _ in seen] == np.cumsum([0, *(len(v) for _, v in seen)])[:-1].tolist()
    assert np.array_equal(np.sort(np.concatenate([left, X[:, 0]])), np.arange(2000.0))
    assert rest.n_rows == other_rest.n_rows == len(left)
    again, held = rest.split(0.5, 10**6, np.random.default_rng(0))
    assert again.n_rows + held.n_rows == rest.n_rows
    assert rest.sample(100, np.random.default_rng(0)).n_rows == 100


def test_solvers_that_need_single_rows_are_refused(tmp_path: Path) -> None:
    frame, target = frame_of("network regressor")
    rows = in_process(written(frame, tmp_path / "d.parquet"), target, 3)
    for solver in ("stochastic", Stochastic()):
        with pytest.raises(InputError, match="rows on a cluster give only sums: choose one of 'gradient-descent'"):
            NetworkRegressor(solver=solver).fit_rows(rows)
    with pytest.raises(InputError, match="give sums and no batches"):
        rows.batches(10, np.random.default_rng(0))
    frame, target = frame_of("perceptron binary")
    rows = in_process(written(frame, tmp_path / "e.parquet"), target, 2)
    with pytest.raises(InputError, match="penalty='firth' needs all rows in memory"):
        PerceptronClassifier(penalty="firth").fit_rows(rows)


def test_auto_takes_a_solver_of_sums_for_large_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame, target = frame_of("network regressor")
    path = written(frame, tmp_path / "d.parquet")
    monkeypatch.setattr(auto, "_PASS_WORK", 10.0)
    monkeypatch.setattr(auto, "_GAUSS_NEWTON_WORK", 10.0)
    network = NetworkRegressor(hidden=(2,), n_starts=1, max_iter=3)
    assert "on a cluster" in network.fit_rows(in_process(path, target, 3)).solution_.chosen
    assert network.fit_rows(FileRows(path, target, memory=MEMORY)).solution_.solver.name == "stochastic"


def test_auto_counts_passes_where_each_reads_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto, "_MATRIX", 3)
    monkeypatch.setattr(auto, "_SUMMED", 6)
    frame, target = frame_of("perceptron binary")
    path = written(frame, tmp_path / "d.parquet")
    rows = FileRows(path, target, memory=MEMORY)
    for place in (rows, in_process(path, target, 3)):
        chosen = PerceptronClassifier(alpha=0.5).fit_rows(place).solution_
        assert chosen.solver == LBFGS(sample_below=rows.n_features + 2)
        assert "read again for every pass: L-BFGS, since on the curvature of a sample" in chosen.chosen
    frame, target = frame_of("perceptron regressor")
    path = written(frame, tmp_path / "e.parquet")
    chosen = PerceptronRegressor(alpha=0.5).fit_rows(FileRows(path, target, memory=MEMORY)).solution_
    assert chosen.solver == LBFGS(sample_below=rows.n_features + 2)
