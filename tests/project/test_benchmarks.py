"""The benchmarks: what they call reached is reached, who stops short is shown so, and noise is not a regression."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import compare
import numpy as np
import pytest
from speed import beyond_memory, fitting, gradient_pass, growth, least_squares, levels, logistic, mini_batch, small_data
from speed.families import FAMILIES, family_named
from speed.family import FLOOR, NEWTRON, Family, Problem, Record, Size
from speed.fitting_report import expected
from speed.racing import Workers, environment, race
from speed.regression import MARGIN, change
from speed.report import Claim, arrives, best_claims, best_peer, race_table, ratios, verdict
from support.sleepers import Sleepers

ROOT = Path(__file__).resolve().parents[2]
TINY = Size(share=0.0, rounds=2, budget=0.0, patience=1.0)
# Installed with newtron itself, or with its tests.
ALWAYS = {NEWTRON, FLOOR, "LinearRegression", "numpy lstsq", "lbfgs", "newton-cg", "LogisticRegression", "Ridge"}
ALWAYS |= {"MLPRegressor lbfgs", "scikit-learn Adam"}


def tiny(family: Family) -> list[Problem]:
    """Its smallest problem of every kind that it has in small."""
    by_name = {
        "least-squares": lambda: [least_squares.Benchmarks()._problem(300, 5, "float64")],
        "logistic": lambda: [
            logistic.problem(300, 5, "float64", "normal"),
            logistic.problem(300, 60, "float64", "sparse"),
        ],
        "multinomial": lambda: [logistic.problem(300, 5, "float64", "normal", 3)],
        "fitting": lambda: fitting.Benchmarks().small()[1:],
        "growth": lambda: [growth.Benchmarks()._problem("regressor", "rows", n, n, 3, 2) for n in (1000, 4000)],
        "mini-batch": lambda: [mini_batch.Benchmarks()._problem("friedman", "tiny", (10, 4, 1), 3000, 1e3)],
        "beyond-memory": lambda: [
            beyond_memory.Benchmarks()._problem("file", 3000, 1, 0),
            beyond_memory.Benchmarks()._problem("cluster", 3000, 1, 1),
        ],
        "small": lambda: [p for p in small_data.Benchmarks().problems(TINY) if p.settings["data"] == "iris"],
        "pass": lambda: [gradient_pass.Benchmarks()._problem(500, (3, 4, k), "float64") for k in (1, 2)],
    }
    return list(by_name.get(family.name, lambda: family.small()[:1])())


def run(family: Family, problem: Problem, names: set[str]) -> Record:
    """A race in this process, without turns or limits."""
    contenders: dict[str, Any] = {}
    for contender in family.contenders(problem):
        if contender.name in names:
            round = family.prepare(problem, contender.name, TINY)
            rounds = {str(number): round(number, 1.0) for number in range(2)}
            contenders[contender.name] = {"rounds": rounds, "status": ""}
        else:
            contenders[contender.name] = {"rounds": {}, "status": "not installed"}
    record = {"words": problem.words, "limit": problem.limit, "settings": problem.settings, "contenders": contenders}
    return dict(json.loads(json.dumps(record)))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # as a worker does
@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "start"])
def test_every_family_runs_and_makes_its_part_of_the_page(name: str) -> None:
    family = family_named(name)
    problems = tiny(family)
    records = {problem.key: run(family, problem, ALWAYS) for problem in problems}
    for record in records.values():
        assert arrives(record, NEWTRON), record
        for found in record["contenders"].values():
            assert all(one["seconds"] > 0.0 for one in found["rounds"].values())
    section = family.section(records)
    tables = [block.strip() for block in section.split("\n\n") if block.strip().startswith("|")]
    assert tables
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1
    assert re.search(r"Target: .*\n?.*\*\*(Met|Not met)", section)


@pytest.mark.slow
def test_starting_up_is_told_beside_numpy() -> None:
    rounds = {"0": {"seconds": 0.1}, "1": {"seconds": 0.2}}
    family = family_named("start")
    (problem,) = family.problems(TINY)
    contenders = {c.name: {"rounds": rounds, "status": ""} for c in family.contenders(problem)}
    contenders["import torch"] = {"rounds": {}, "status": "not installed"}
    section = family.section({problem.key: {"words": "", "limit": None, "settings": {}, "contenders": contenders}})
    assert "not installed" in section
    assert section.count("**Met.**") == 2


def test_sections_whose_results_are_lost_stay_as_they_are(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(compare, "FOLDER", tmp_path)
    stands = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    made = compare.page(list(FAMILIES), compare.FULL, "- facts", stands)
    assert compare.sections_of(made) == compare.sections_of(stands)
    assert "Not run yet." in compare.page(list(FAMILIES), compare.FULL, "- facts")


def test_problems_have_keys_of_their_own_and_survive_json() -> None:
    for name in FAMILIES:
        family = family_named(name)
        for problems in (family.problems(Size()), family.small()):
            keys = [problem.key for problem in problems]
            assert len(set(keys)) == len(keys)
            for problem in problems:
                assert json.loads(json.dumps(problem.settings)) == problem.settings
                assert family.contenders(problem)[0].name in (NEWTRON,)


# --- what was reached ---


def numeric(f: Any, at: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """The gradient by central differences."""
    slopes = []
    for i in range(len(at)):
        move = np.zeros_like(at)
        move[i] = step
        slopes.append((f(at + move) - f(at - move)) / (2.0 * step))
    return np.array(slopes)


def test_the_least_squares_gradient_is_that_of_the_objective() -> None:
    rng = np.random.default_rng(0)
    X, y, w = rng.standard_normal((40, 3)), rng.standard_normal(40), rng.standard_normal(4)

    def objective(w: np.ndarray) -> float:
        return float(0.5 * np.mean((y - X @ w[:3] - w[3]) ** 2) + 0.7 / 80 * (w[:3] @ w[:3]))

    wanted = np.abs(numeric(objective, w)).max()
    assert least_squares.gradient(X, y, w[:3], float(w[3]), 0.7) == pytest.approx(wanted, rel=1e-7)
    best = np.linalg.lstsq(np.column_stack([X, np.ones(40)]), y, rcond=None)[0]
    assert least_squares.gradient(X, y, best[:3], float(best[3]), 0.0) < 1e-14


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("intercept", [True, False])
def test_the_logistic_gradient_is_that_of_the_objective(k: int, intercept: bool) -> None:
    rng = np.random.default_rng(k)
    X, y, w = rng.standard_normal((40, 3)), rng.integers(0, max(2, k), 40), rng.standard_normal(4 * k)

    def objective(w: np.ndarray) -> float:
        W, b = w[: 3 * k].reshape(3, k), w[3 * k :]
        z = X @ W + b
        z = np.hstack([np.zeros((40, 1)), z]) if k == 1 else z
        losses = np.log(np.exp(z).sum(axis=1)) - z[np.arange(40), y]
        return float(losses.mean() + 0.7 / 80 * np.sum(W * W))

    slopes = np.abs(numeric(objective, w))
    wanted = slopes.max() if intercept else slopes[: 3 * k].max()
    found = logistic.gradient(X, y, w[: 3 * k].reshape(3, k), w[3 * k :], 0.7, intercept)
    assert found == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("outputs", [1, 3])
def test_the_gradient_written_out_is_that_of_the_network(outputs: int) -> None:
    X, Y = gradient_pass.rows(20, (2, 3, outputs))
    weights = gradient_pass.start((2, 3, outputs), "float64")

    def objective(params: np.ndarray) -> float:
        W1, b1, rest = params[:6].reshape(2, 3), params[6:9], params[9:]
        z = np.tanh(X @ W1 + b1) @ rest[: 3 * outputs].reshape(3, outputs) + rest[3 * outputs :]
        if outputs == 1:
            return float(0.5 * np.mean((z - Y) ** 2))
        return float(np.mean(np.log(np.exp(z).sum(axis=1)) - (z * Y).sum(axis=1)))

    wanted = numeric(objective, gradient_pass.flat(weights))
    assert gradient_pass.written_out(X, Y, weights) == pytest.approx(wanted, abs=1e-8)


def test_a_watch_notes_when_each_level_was_reached_and_stops_after_the_last() -> None:
    watch = levels.Watch(2.0, 100.0)
    assert not watch.sees(1.0, at=1.0)
    assert not watch.sees(0.5e-4, at=2.0)
    assert watch.lacking == ["1e-6", "1e-8"]
    assert watch.sees(1e-9, at=4.0)
    found = watch.measurement()
    assert found["levels"] == {"1e-2": 2.0, "1e-4": 2.0, "1e-6": 4.0, "1e-8": 4.0}
    assert found["steps"]["1e-6"] == 3
    assert levels.Watch(2.0, 1.0).sees(1.0, at=1.5)  # its time is over


def test_expected_times_count_the_starts_that_fail() -> None:
    there = {"seconds": 9.0, "levels": {"1e-2": 2.0}}
    failed = {"seconds": 6.0, "levels": {"1e-2": None}}
    assert expected([there, failed, there], "1e-2") == (5.0, 2)
    assert expected([failed], "1e-2") == (float("inf"), 0)


@pytest.mark.parametrize("data", list(fitting.DATA))
def test_networks_start_where_newtron_starts(data: str) -> None:
    from newtron.engine.maths.network import Network

    X, y = fitting.DATA[data]()
    layers = fitting.start(X.shape[1], 5, 0)
    network = Network((X.shape[1], 5, 1), "tanh", True)
    z = network.output(gradient_pass.flat(layers), X)[:, 0]
    assert fitting.loss(X, y, layers) == pytest.approx(0.5 * np.mean((z - y) ** 2), rel=1e-12)


def test_exponents_are_slopes_of_logarithms() -> None:
    assert growth.exponent([10, 100, 1000], [0.2, 2.0, 20.0]) == pytest.approx(1.0)
    assert growth.exponent([10, 100], [1.0, 100.0]) == pytest.approx(2.0)


def test_a_peak_is_what_was_held_in_between() -> None:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("the peak can be counted anew on Linux only")
    # In a process of its own: in this one, allocators of other libraries give memory back whenever they like.
    code = "import numpy as np; from speed.growth import Peak; p = Peak(); np.ones(8 * 2**20).sum(); print(p.above())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "benchmarks", capture_output=True, text=True, check=True
    )
    assert 60.0 < float(done.stdout) < 90.0  # 64 MB were held, and are gone again


# --- who gets there, and who is shown how ---


def record(limit: float | None = 1.0, **contenders: list[tuple[float | None, float]]) -> Record:
    """(seconds, reached) of the rounds of each."""
    found = {}
    for name, rounds in contenders.items():
        measured = {str(i): {"seconds": seconds, "reached": reached} for i, (seconds, reached) in enumerate(rounds)}
        found[name] = {"rounds": measured, "status": "" if rounds else "not in 60 s"}
    return {"words": "a problem", "limit": limit, "settings": {}, "contenders": found}


def test_who_stops_short_is_shown_so_and_is_not_the_best_peer() -> None:
    told = record(
        newtron=[(2.0, 0.5), (2.0, 0.5)], quick=[(1.0, 0.5), (1.0, 3.0)], slow=[(8.0, 0.1), (9.0, 0.1)], late=[]
    )
    assert not arrives(told, "quick")
    assert best_peer(told) == "slow"
    (claim,) = best_claims([told], 3.0)
    assert claim.value == pytest.approx(4.25)
    assert claim.met
    table = race_table([told], "gradient")
    lines = {line.split("|")[2].strip(): line for line in table.splitlines()}
    assert lines["quick"].rstrip(" |").endswith("1 of 2")
    assert lines["slow"].rstrip(" |").endswith("yes")
    assert "not in 60 s" in lines["late"]
    assert "**0.24**" in lines["slow"]


def test_a_newtron_that_stops_short_meets_no_target() -> None:
    told = record(newtron=[(1.0, 2.0)], peer=[(10.0, 0.5)])
    (claim,) = best_claims([told], 3.0)
    assert not claim.met
    assert "**Not met in 1 of 1.**" in verdict("3 times", [claim])
    assert "newtron does not get there" in verdict("3 times", [claim])


def test_ratios_are_taken_within_rounds() -> None:
    told = record(newtron=[(1.0, 0.0), (4.0, 0.0), (3.0, 0.0)], peer=[(2.0, 0.0), (2.0, 0.0)])
    assert ratios(told, NEWTRON, "peer").tolist() == [0.5, 2.0]


def test_a_verdict_counts_what_is_missed() -> None:
    claims = [Claim("a", 1.0, 1.5), Claim("b", 2.0, 1.5)]
    assert "**Not met in 1 of 2.** a: 1.0; b: 2.0." in verdict("x", claims)
    assert "**Met.**" in verdict("x", claims[:1])
    assert "Not measured" in verdict("x", [])


# --- races ---


@pytest.mark.slow
def test_a_race_goes_on_without_those_who_are_late_or_fail(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    family = Sleepers()
    (tmp_path / "sitecustomize.py").write_text(
        "from importlib.abc import Loader\nimport sys\n"
        f"sys.path[:0] = [{str(ROOT / 'tests')!r}, {str(ROOT / 'benchmarks')!r}]\n"
        "import speed.families as families\n"
        "families.FAMILIES['sleepers'] = 'sleeping'\n"
    )
    (tmp_path / "sleeping.py").write_text("from support.sleepers import Sleepers as Benchmarks\n")
    env = environment(1)
    env["PYTHONPATH"] = f"{tmp_path}:{env['PYTHONPATH']}"
    size = Size(rounds=2, budget=0.0, patience=2.0)
    with Workers({name: env for name in (NEWTRON, "late", "failing", "dying")}) as workers:
        told = race(family, family.problems(size)[0], size, workers)
    status = {name: found["status"] for name, found in told["contenders"].items()}
    assert len(told["contenders"][NEWTRON]["rounds"]) == 2
    assert status[NEWTRON] == ""
    assert status["late"] == "not in 2 s"
    assert status["failing"] == "failed: ValueError: no such thing"
    assert status["dying"].startswith("failed: its process ended")
    assert status["absent"] == "not installed"
    assert status["other"] == "cannot"


# --- is a commit slower? ---


def test_noise_is_no_regression() -> None:
    rng = np.random.default_rng(0)
    flagged = [change(np.exp(0.2 * rng.standard_normal(12))).slower for _ in range(300)]
    assert np.mean(flagged) < 0.01


def test_a_regression_is_seen_through_noise() -> None:
    rng = np.random.default_rng(0)
    found = [change(1.3 * np.exp(0.1 * rng.standard_normal(12))) for _ in range(300)]
    assert np.mean([one.slower for one in found]) > 0.95
    assert not any(one.faster for one in found)


def test_the_interval_holds_the_median_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(1000):
        found = change(np.exp(rng.standard_normal(9)))
        inside += found.low <= 1.0 <= found.high
    assert inside / 1000 > 0.94


def test_few_rounds_and_small_changes_prove_nothing() -> None:
    assert not change(np.full(5, 9.0)).slower
    assert change(np.full(6, 9.0)).slower
    assert not change(np.full(20, MARGIN)).slower
    assert change(np.full(20, 0.5)).faster
    assert not change(np.empty(0)).slower
