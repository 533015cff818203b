"""Checkpoints: what was stopped goes on to the same bits, what is not its own is refused, and no kill leaves harm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
import zipfile
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.problems import logistic, tanh_network

from newtron import NetworkClassifier, NetworkRegressor, PerceptronClassifier, PerceptronRegressor
from newtron.engine.base import whole_files
from newtron.engine.base.codec import FlatNumbers
from newtron.engine.base.errors import InputError
from newtron.engine.base.linalg import is_sparse
from newtron.engine.maths.losses import loss_for
from newtron.engine.maths.network import Network
from newtron.engine.objective import TrainingObjective, no_minimum
from newtron.engine.rows import ArrayRows
from newtron.engine.solvers import (
    LBFGS,
    SOLVERS,
    GradientDescent,
    LevenbergMarquardt,
    Newton,
    Progress,
    Run,
    Solution,
    Solver,
    Status,
    Stochastic,
    kfac,
    minimize,
)
from newtron.model_file import checkpoint
from newtron.model_file.archive import pack
from newtron.model_file.checkpoint import CODEC, NUMBERS, check_run

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def perceptron() -> tuple[TrainingObjective, np.ndarray]:
    objective = logistic(0.0)
    return objective, np.zeros(objective.n_params)


def network() -> tuple[TrainingObjective, np.ndarray]:
    return tanh_network(0.01)


def single() -> tuple[TrainingObjective, np.ndarray]:
    """float32, three classes, weights."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(300, 4)).astype(np.float32)
    Y = np.eye(3, dtype=np.float32)[rng.integers(0, 3, 300)]
    rows = ArrayRows(X, Y, rng.uniform(0.5, 2.0, 300).astype(np.float32))
    shape = Network((4, 5, 3), "tanh", True)
    return TrainingObjective(shape, loss_for("classification", None, 3), rows, 0.5), shape.start(rng, np.zeros(3))


def sampled() -> tuple[TrainingObjective, np.ndarray]:
    """So many rows that L-BFGS starts from the curvature of a sample, and so badly scaled that it renews it."""
    rng = np.random.default_rng(4)
    X = rng.standard_t(1.0, size=(6000, 5)) * [1.0, 3.0, 0.1, 1.0, 10.0]
    y = (X @ [1.0, -0.3, 2.0, 0.0, 0.1] + rng.logistic(size=6000) > 0).astype(float)
    shape = Network((5, 1), "identity", True)
    objective = TrainingObjective(shape, loss_for("classification", None, 1), ArrayRows(X, y[:, None]))
    return objective, np.zeros(6)


def quadratic() -> tuple[TrainingObjective, np.ndarray]:
    """The scale of its columns comes from the diagonal of a Hessian where a solver asks for that first."""
    X = np.random.default_rng(5).normal(size=(3000, 5)) * [1.0, 3.0, 0.1, 1.0, 10.0]
    y = X @ [1.0, -0.3, 2.0, 0.0, 0.1] + np.sin(X[:, 0])
    shape = Network((5, 1), "identity", True)
    objective = TrainingObjective(shape, loss_for("regression", None, 1), ArrayRows(X, y[:, None]), 0.1)
    return objective, np.zeros(6)


# What a damaged file may hold in place of a number, a text or a list.
HOSTILE: tuple[Any, ...] = (None, -1, 10**18, "x", [], {}, [[3, 3], "float32", "F"])

PROBLEMS = {
    "perceptron": perceptron,
    "network": network,
    "float32": single,
    "sampled": sampled,
    "quadratic": quadratic,
}
SETTINGS: dict[str, Solver] = {
    **{name: kind() for name, kind in SOLVERS.items()},
    "fixed rate with momentum": GradientDescent(learning_rate=0.2, momentum=0.9),
    "adam": Stochastic("adam", batch_size=20),
    "momentum": Stochastic("momentum", batch_size=20),
    "L-BFGS of memory 2": LBFGS(memory=2),
    "L-BFGS from few rows": LBFGS(sample=1e-3),
    "no exact end": LevenbergMarquardt(exact_after=None),
    "exact at once": LevenbergMarquardt(exact_after=0),
    "undamped": Newton(damped=False),
}


def through_json(run: Run, solver: Solver, n_params: int) -> Run:
    numbers = FlatNumbers()
    run = replace(run, trace=run.trace[: run.rows])
    text = json.dumps(CODEC.write(run, Run, numbers), allow_nan=False)
    found = CODEC.read(json.loads(text), Run, FlatNumbers(numbers.vector))
    check_run(found, "run", solver.state_type, n_params)
    return found


def assert_same(found: Solution, expected: Solution) -> None:
    assert found.params.tobytes() == expected.params.tobytes()
    assert found.gradient.tobytes() == expected.gradient.tobytes()
    assert (found.value, found.status, found.n_iter) == (expected.value, expected.status, expected.n_iter)
    assert (found.counts, found.note) == (expected.counts, expected.note)
    assert str([replace(r, seconds=0.0) for r in found.trace]) == str([replace(r, seconds=0.0) for r in expected.trace])


@pytest.mark.slow
@pytest.mark.parametrize("problem", PROBLEMS)
@pytest.mark.parametrize("name", SETTINGS)
def test_a_resumed_run_has_the_same_bits(name: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kfac, "_SAMPLE_NUMBERS", 1500)  # K-FAC looks at a sample of these few rows too
    make, solver = PROBLEMS[problem], SETTINGS[name]
    runs: list[Run] = []
    objective, start = make()
    expected = minimize(objective, start, solver, tol=1e-6, max_iter=25, keep=runs.append)
    assert runs
    if expected.status.final:
        assert runs[-1].status is expected.status
    for run in [*runs[:6], *runs[6::11], runs[-1]]:
        objective, start = make()
        found = minimize(
            objective, np.zeros(0), solver, tol=1e-6, max_iter=25, resume=through_json(run, solver, objective.n_params)
        )
        assert_same(found, expected)
        assert found.seconds >= run.seconds


def regression(n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 3))
    return X, np.tanh(X[:, 0]) + 0.3 * X[:, 1] ** 2 + 0.1 * rng.normal(size=n)


def classes(n: int = 80) -> tuple[np.ndarray, np.ndarray]:
    X, y = regression(n)
    return X, np.array(["low", "middle", "high"])[np.digitize(y, [0.0, 0.7])]


ESTIMATORS: dict[str, tuple[Any, tuple[np.ndarray, np.ndarray]]] = {
    "regressor": (NetworkRegressor(hidden=[(4,), (), (2, 2)], n_starts=2), regression()),
    "classifier": (NetworkClassifier(hidden=(3,), max_iter=30), classes()),
    "perceptron": (PerceptronClassifier(class_weight="balanced", solver="gradient-descent", max_iter=50), classes()),
    "stochastic": (NetworkClassifier(hidden=(3,), solver="stochastic", max_iter=8), classes()),
    "mix": (NetworkRegressor(), regression(30)),
    "stacked": (NetworkClassifier(max_iter=20), classes(40)),
    "evidence": (PerceptronRegressor(alpha="evidence", standardize=True), regression()),
    "left out": (PerceptronClassifier(alpha="loo"), classes()),
    "squares": (PerceptronRegressor(), regression()),
    "firth": (PerceptronClassifier(penalty="firth"), classes()),
    "drawn": (NetworkRegressor(hidden=(3,), solver="lbfgs", random_state=None, n_starts=1), regression()),
}


def interrupted_at(step: int) -> Any:
    seen: list[Progress] = []

    def callback(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) == step:
            raise KeyboardInterrupt

    return callback


def assert_same_model(found: Any, expected: Any) -> None:
    assert len(found.members_) == len(expected.members_)
    for one, other in zip(found.members_, expected.members_, strict=True):
        assert_same(one.solution, other.solution)
        assert (one.network.widths, one.share) == (other.network.widths, other.share)
        for name in ("alpha", "noise", "log_evidence", "effective_parameters", "information", "posterior"):
            assert bits(getattr(one, name)) == bits(getattr(other, name)), name
        assert bits(one.end) == bits(other.end)
    for name in ("predictive_", "temperature_"):
        assert bits(getattr(found, name, None)) == bits(getattr(expected, name, None)), name


def bits(value: Any) -> Any:
    """All numbers of an array, a dataclass or a tuple of them, as bytes."""
    if is_dataclass(value):
        return [bits(getattr(value, field.name)) for field in fields(value)]
    if isinstance(value, tuple | list):
        return [bits(item) for item in value]
    if isinstance(value, Network):
        return value.widths
    return value if value is None or isinstance(value, str) else np.asarray(value).tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [1, 3])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_interrupted_fit_goes_on(name: str, n_jobs: int, tmp_path: Path) -> None:
    estimator, (X, y) = ESTIMATORS[name]
    estimator = type(estimator)(**{**estimator.get_params(), "n_jobs": n_jobs})
    path = tmp_path / "run"
    for step in (1, 4, 20):
        estimator.set_params(callback=interrupted_at(step)).fit(X, y, checkpoint=path)
    finished = estimator.set_params(callback=None).fit(X, y, checkpoint=path)
    if estimator.random_state is not None:
        assert_same_model(finished, type(estimator)(**estimator.get_params()).fit(X, y))
    first = finished.members_
    again = estimator.fit(X, y, checkpoint=path)  # nothing is left to do
    for one, other in zip(again.members_, first, strict=True):
        assert_same(one.solution, other.solution)
    assert os.listdir(tmp_path) == ["run"]


def test_a_training_that_was_given_up_and_taken_up_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Classes that overlap have a minimum, whatever the solver thought on the way: the second stage is kept too."""
    X, y = regression()
    y = y > np.median(y)
    monkeypatch.setattr(no_minimum, "unbounded_below", lambda objective, value: "Given up." if value < 0.68 else None)
    expected = PerceptronClassifier(tol=1e-14).fit(X, y)
    total = expected.n_iter_
    for step in range(1, total + 1):
        path = tmp_path / str(step)
        model = PerceptronClassifier(tol=1e-14, callback=interrupted_at(step)).fit(X, y, checkpoint=path)
        model = model.set_params(callback=None).fit(X, y, checkpoint=path)
        assert_same_model(model, expected)
        with zipfile.ZipFile(path) as archive:
            assert len(json.loads(archive.read("manifest.json"))["members"][0]) == 2


def test_sparse_inputs_and_weights(tmp_path: Path) -> None:
    from scipy.sparse import csr_array

    X, y = regression()
    S = csr_array(np.where(X > 0.3, X, 0.0))
    assert is_sparse(S)
    weight = np.linspace(0.5, 1.5, len(y))
    model = PerceptronRegressor(solver="lbfgs", alpha=1.0)
    expected = PerceptronRegressor(solver="lbfgs", alpha=1.0).fit(S, y, weight)
    model.set_params(callback=interrupted_at(2)).fit(S, y, weight, checkpoint=tmp_path / "run")
    assert_same_model(model.set_params(callback=None).fit(S, y, weight, checkpoint=tmp_path / "run"), expected)
    with pytest.raises(InputError, match="other data"):
        model.fit(S, y, weight[::-1], checkpoint=tmp_path / "run")


@pytest.mark.slow
def test_a_raised_limit_goes_on(tmp_path: Path) -> None:
    X, y = regression()
    model = NetworkRegressor(hidden=(4,), n_starts=2, max_iter=1).fit(X, y, checkpoint=tmp_path / "run")
    assert model.solution_.status is Status.MAX_ITER
    more = NetworkRegressor(hidden=(4,), n_starts=2, max_iter=40)
    assert_same_model(more.fit(X, y, checkpoint=tmp_path / "run"), NetworkRegressor(**more.get_params()).fit(X, y))


def test_a_limit_in_a_search_of_a_penalty_stays(tmp_path: Path) -> None:
    """Each stage of a perceptron's search starts at the end of the one before, so a raised limit would change it."""
    X, y = classes()
    model = PerceptronClassifier(alpha="evidence", max_iter=1).fit(X, y, checkpoint=tmp_path / "run")
    with pytest.raises(InputError, match="max_iter=1, and this training has max_iter=9"):
        model.set_params(max_iter=9).fit(X, y, checkpoint=tmp_path / "run")


def test_another_training_is_refused(tmp_path: Path) -> None:
    X, y = regression()
    path = tmp_path / "run"
    model = NetworkRegressor(hidden=(4,), alpha=0.1, max_iter=3).fit(X, y, checkpoint=path)
    before = path.read_bytes()
    other_X = X.copy()
    other_X[-1, -1] = np.nextafter(other_X[-1, -1], 9.0)
    for changed, data, sentence in (
        ({"alpha": 0.2}, (X, y), "alpha=0.1, and this training has alpha=0.2"),
        ({"hidden": (5,)}, (X, y), r"hidden=\(4,\), and this"),
        ({"solver": LevenbergMarquardt(damping=1.0)}, (X, y), "solver='auto', and"),
        ({"random_state": 1}, (X, y), "another random_state"),
        ({}, (other_X, y), "other data"),
        ({}, (X, -y), "other data"),
        ({}, (X.astype(np.float32), y), "other data"),
    ):
        with pytest.raises(InputError, match=sentence):
            NetworkRegressor(**{**model.get_params(), **changed}).fit(*data, checkpoint=path)
    with pytest.raises(InputError, match="estimator=NetworkRegressor"):
        NetworkClassifier(hidden=(4,), max_iter=3).fit(*classes(60), checkpoint=path)
    assert path.read_bytes() == before


def test_a_solver_of_ones_own_is_refused(tmp_path: Path) -> None:
    class Mine(GradientDescent):
        pass

    with pytest.raises(InputError, match="Mine is none of them"):
        PerceptronRegressor(solver=Mine()).fit(*regression(), checkpoint=tmp_path / "run")


@pytest.mark.parametrize("kind", ["text", "empty", "model", "cut", "folder", "zip", "no folder"])
def test_what_is_no_checkpoint_is_left_alone(kind: str, tmp_path: Path) -> None:
    X, y = regression()
    path = tmp_path / "run"
    model = PerceptronRegressor(solver="lbfgs").fit(X, y)
    if kind in ("text", "empty"):
        path.write_text("a,b\n1,2\n" if kind == "text" else "")
    elif kind == "model":
        model.save(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("anything", "else")
    elif kind == "no folder":
        path = tmp_path / "nowhere" / "run"
    else:
        model.fit(X, y, checkpoint=path)
        path.write_bytes(path.read_bytes()[:-100])
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(InputError) as caught:
        model.fit(X, y, checkpoint=path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert (path.read_bytes() if path.is_file() else None) == before


def _places(value: Any, at: tuple[Any, ...] = ()) -> Any:
    """Of a list its first two places and its last: the others are read alike."""
    yield at
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else sorted({0, 1, len(value) - 1} & set(range(len(value)))):
            yield from _places(value[key], (*at, key))


@pytest.mark.slow
def test_hostile_files_are_refused_in_one_sentence(tmp_path: Path) -> None:
    """Whatever stands in any place of the JSON: an InputError, or a training that still ends."""
    X, y = regression(30)
    path = tmp_path / "run"
    model = NetworkRegressor(hidden=(2,), n_starts=1, solver=Stochastic(batch_size=10), max_iter=3)
    model.fit(X, y, checkpoint=path)
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        numbers = np.frombuffer(archive.read(NUMBERS)[128:], dtype="<f8")
    sentences: list[str] = []
    for place in _places(manifest):
        for hostile in HOSTILE:
            damaged = json.loads(json.dumps(manifest))
            if not place:
                continue
            inside = damaged
            for key in place[:-1]:
                inside = inside[key]
            if inside[place[-1]] == hostile:
                continue
            inside[place[-1]] = hostile
            path.write_bytes(pack(json.dumps(damaged).encode(), {NUMBERS: numbers}))
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    model.fit(X, y, checkpoint=path)
            except InputError as error:
                sentences.append(str(error))
    assert len(sentences) > 300
    assert not any("\n" in sentence for sentence in sentences)


@pytest.mark.slow
def test_a_full_disk_stops_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = regression()
    real = whole_files.rewrite
    written: list[int] = []

    def rewrite(path: str, data: bytes) -> None:
        written.append(len(data))
        if len(written) > 1:
            raise InputError("run: the file cannot be written (No space left on device); free space.")
        real(path, data)

    monkeypatch.setattr(checkpoint, "rewrite", rewrite)
    monkeypatch.setattr(checkpoint, "_WAIT", 0.0)
    model = NetworkRegressor(hidden=(3,), n_starts=1, max_iter=10)
    with pytest.warns(UserWarning, match="training goes on") as caught:
        model.fit(X, y, checkpoint=tmp_path / "run")
    assert len([w for w in caught if w.category is UserWarning]) == 1
    assert_same_model(model, NetworkRegressor(**model.get_params()).fit(X, y))
    monkeypatch.setattr(checkpoint, "rewrite", real)
    assert_same_model(model.fit(X, y, checkpoint=tmp_path / "run"), NetworkRegressor(**model.get_params()).fit(X, y))
    written.clear()
    written.append(0)
    monkeypatch.setattr(checkpoint, "rewrite", rewrite)
    with pytest.raises(InputError, match="No space"):  # at the very beginning nothing is lost by saying so
        model.fit(X, y, checkpoint=tmp_path / "new")


def test_writing_takes_little_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of 0.1 s beside writes of 0.02 s, on a clock of their own: no more than 5 % goes into checkpoints."""
    clock, spent = [0.0], [0.0]

    def rewrite(path: str, data: bytes) -> None:
        clock[0] += 0.02
        spent[0] += 0.02

    monkeypatch.setattr(checkpoint, "rewrite", rewrite)
    monkeypatch.setattr(checkpoint, "perf_counter", lambda: clock[0])
    runs: list[Run] = []
    minimize(*perceptron(), GradientDescent(), max_iter=1, keep=runs.append)
    kept = checkpoint.Checkpoint(tmp_path / "run", {}, "", 1, 0)
    for _ in range(1000):
        clock[0] += 0.1
        kept.keep(0, 0, runs[0])
    assert 0.03 * clock[0] < spent[0] < 0.05 * clock[0]


@pytest.mark.slow
def test_a_checkpoint_is_small(tmp_path: Path) -> None:
    """No matrix of curvature is written: with 1,000 parameters it alone would take 8 MB."""
    X = np.random.default_rng(0).normal(size=(50, 47))
    for solver in ("levenberg-marquardt", "newton", "lbfgs"):
        path = tmp_path / solver
        model = NetworkRegressor(hidden=(20,), alpha=0.1, n_starts=1, solver=solver, max_iter=2)
        model.fit(X, X[:, 0], checkpoint=path)
        assert path.stat().st_size < 100_000


def test_parts_of_killed_writers_are_removed(tmp_path: Path) -> None:
    old, new, other = (tmp_path / name for name in ("run.aa.part", "run.bb.part", "walk.cc.part"))
    for path in (old, new, other):
        path.write_text("half")
    os.utime(old, (0, 0))
    os.utime(other, (0, 0))
    whole_files.remove_parts(str(tmp_path / "run"))
    assert sorted(os.listdir(tmp_path)) == ["run.bb.part", "walk.cc.part"]


KILLED = """
import os, random, signal, sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np
from newtron import NetworkRegressor
from newtron.model_file import checkpoint
folder, chance = sys.argv[1], random.Random(int(sys.argv[2]))
checkpoint._WAIT = 1.0  # half of the time is spent in writing: more kills strike there
X = np.random.default_rng(0).normal(size=(150, 3))
y = np.tanh(X[:, 0]) + 0.1 * X[:, 1]
def model():
    # Members of three kinds of length; a penalty chosen by rows left out is hundreds of short trainings more.
    shapes, alpha = [(3,), (2, 2), (4,)], "cv" if sys.argv[3] == "stochastic" else 0.01
    return NetworkRegressor(
        hidden=shapes, n_starts=1, solver=sys.argv[3], alpha=alpha, tol=1e-14, max_iter=60, n_jobs=1
    )
expected = model().fit(X, y)
# A fit takes about so long with its writing, however busy the machine is.
began = time.perf_counter()
model().fit(X, y, checkpoint=os.path.join(folder, "run.whole.part"))
taken = time.perf_counter() - began
os.unlink(os.path.join(folder, "run.whole.part"))
path = os.path.join(folder, "run")
killed = finished = resumed = 0
while killed < int(sys.argv[4]):
    child = os.fork()
    if not child:
        found = model().fit(X, y, checkpoint=path)
        same = all(a.params.tobytes() == b.params.tobytes() for a, b in zip(found.members_, expected.members_))
        os._exit(0 if same and len(found.members_) == 3 else 1)
    resumed += os.path.exists(path)
    time.sleep(chance.uniform(0.0, 0.8 * taken))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        killed += 1
    elif os.WEXITSTATUS(status):
        sys.exit("a resumed fit failed or gave another model")
    else:
        finished += 1
        os.unlink(path)
found = model().fit(X, y, checkpoint=path)
assert all(a.params.tobytes() == b.params.tobytes() for a, b in zip(found.members_, expected.members_))
print(killed, resumed, finished)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize(("solver", "kills"), [("levenberg-marquardt", 8), ("stochastic", 6), ("lbfgs", 4)])
def test_kills_leave_no_harm(solver: str, kills: int, tmp_path: Path) -> None:
    """18 real SIGKILLs at random moments, in the middle of writes too."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), "1", solver, str(kills)],
        capture_output=True,
        text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    killed, resumed, _ = map(int, done.stdout.split())
    assert killed == kills
    assert resumed >= kills // 2  # half of them or more had a checkpoint to go on from
    parts = [name for name in os.listdir(tmp_path) if name != "run"]
    assert all(name.startswith("run.") and name.endswith(".part") for name in parts)
