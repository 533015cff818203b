"""Races: every contender in a process of its own, the rounds in turn (A B C A B C ...).

Taking turns lets other work on the machine touch all of them alike, so that ratios within a round can be trusted;
a process each keeps one library's threads and memory from another and lets a contender that takes too long be ended.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from tables import ROOT

from speed.family import Contender, Family, Problem, Record, Size
from speed.peers import missing

SLOW, SLOW_ROUNDS = 10.0, 2  # a contender whose round takes so many seconds runs only so many
MOST_ROUNDS = 25
PREPARING = 300.0
GRACE = 2.0, 30.0  # rounds that end by themselves are ended after so many times their limit and so many seconds


def environment(threads: int, source: os.PathLike[str] | str = ROOT / "src") -> dict[str, str]:
    """Of a worker: every library held to so many threads (0: its own default), and newtron from `source`."""
    found = dict(os.environ)
    found["PYTHONPATH"] = os.pathsep.join([str(source), str(ROOT / "benchmarks")])
    found["PYTHONHASHSEED"] = "0"
    found["JAX_PLATFORMS"] = "cpu"
    if threads:
        names = ("OMP", "OPENBLAS", "MKL", "NEWTRON", "NUMEXPR", "VECLIB_MAXIMUM")
        found |= {f"{name}_NUM_THREADS": str(threads) for name in names}
        eigen = "true" if threads > 1 else "false"
        found["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={eigen} intra_op_parallelism_threads={threads}"
        found["NPROC"] = str(threads)  # what XLA's thread pool is sized by
    return found


class EndedError(Exception):
    """A worker ended, or was ended because it took too long."""


class Worker:
    """A child process that answers one line of JSON with another."""

    def __init__(self, env: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "speed.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if not env.get("BENCH_DEBUG") else None,
            env=env,
            text=True,
            start_new_session=True,  # its own children end with it
        )
        self._answers: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put("")

    def send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise EndedError("its process ended") from error

    def receive(self, seconds: float) -> dict[str, Any]:
        try:
            line = self._answers.get(timeout=seconds)
        except queue.Empty:
            self.end()
            raise TimeoutError from None
        if not line:
            code = self._process.wait()
            self.end()
            raise EndedError(f"its process ended ({code})")
        return dict(json.loads(line))

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        if self.alive:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):  # what was not yet sent has nobody to go to
                if pipe is not None:
                    pipe.close()


class Workers:
    """Workers by name, kept from problem to problem so that each library is imported once; all end with `with`."""

    def __init__(self, environments: dict[str, dict[str, str]] | None = None, threads: int = 1) -> None:
        self._environments, self._default = environments or {}, environment(threads)
        self._running: dict[str, Worker] = {}

    def __getitem__(self, name: str) -> Worker:
        if name not in self._running or not self._running[name].alive:
            self._running[name] = Worker(self._environments.get(name, self._default))
        return self._running[name]

    def end(self) -> None:
        for worker in self._running.values():
            worker.end()
        self._running.clear()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


@dataclass
class Runs:
    """How one contender fared: the measurements of its rounds by number, and why there are no more."""

    rounds: dict[int, dict[str, Any]] = field(default_factory=dict)
    status: str = ""

    @property
    def slow(self) -> bool:
        return len(self.rounds) >= SLOW_ROUNDS and max(self.spent) > SLOW

    @property
    def spent(self) -> list[float]:
        return [found["spent"] for found in self.rounds.values()]


def race(
    family: Family, problem: Problem, size: Size, workers: Workers, contenders: Sequence[Contender] = ()
) -> Record:
    """Run the problem's contenders (or others) in turn; the record of every round of each."""
    contenders = contenders or family.contenders(problem)
    runs = {contender.name: Runs(status=_absent(contender)) for contender in contenders}
    active = [contender.name for contender in contenders if not runs[contender.name].status]
    told = {"do": "prepare", "family": family.name, "problem": asdict(problem), "size": asdict(size)}
    for contender in contenders:
        if contender.name in active:
            workers[contender.name].send(told | {"contender": contender.plays or contender.name})
    for name in active:
        _turn(runs[name], partial(workers[name].receive, PREPARING), PREPARING, "preparing")
    active = [name for name in active if not runs[name].status]
    started, number = time.perf_counter(), 0
    while active and number < MOST_ROUNDS:
        if number >= size.rounds and time.perf_counter() - started > size.budget:
            break
        # Back and forth, so that nobody always comes after the same other.
        for name in list(active if number % 2 == 0 else reversed(active)):
            found = runs[name]
            if found.slow:
                continue
            first = contenders[0].name
            limit = family.limit(size, None if name == first else list(runs[first].rounds.values()))
            patience = GRACE[0] * limit + GRACE[1] if family.stops_itself else limit
            order = {"do": "round", "number": number, "limit": limit}
            reply = _turn(found, partial(_round, workers[name], order, patience), limit)
            if reply is None:
                active.remove(name)
            else:
                found.rounds[number] = reply
        number += 1
    return {
        "words": problem.words,
        "limit": problem.limit,
        "settings": problem.settings,
        "contenders": {name: asdict(found) for name, found in runs.items()},
    }


def _absent(contender: Contender) -> str:
    if contender.why_not:
        return contender.why_not
    return "not installed" if missing(contender.needs) else ""


def _round(worker: Worker, order: dict[str, Any], patience: float) -> dict[str, Any]:
    before = time.perf_counter()
    worker.send(order)
    reply = worker.receive(patience)
    return {"spent": time.perf_counter() - before} | reply


def _turn(runs: Runs, ask: Callable[[], dict[str, Any]], limit: float, doing: str = "") -> dict[str, Any] | None:
    """The answer, or None with the status set where there was none."""
    try:
        reply = ask()
    except TimeoutError:
        runs.status = f"not in {limit:.0f} s" + (f", {doing}" if doing else "")
        return None
    except EndedError as error:
        runs.status = f"failed: {error}"
        return None
    if "error" in reply:
        runs.status = f"failed: {reply['error']}"
        return None
    return reply
