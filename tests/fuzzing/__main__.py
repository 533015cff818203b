"""The fuzzer's command line, and the process that works: it may crash, hang or eat memory, and the one that watches it
writes down on which case, and starts another.

Each case is made from the seed, the kind and its number, so that a run is the same again. A find is saved as the bytes
of the case, and what came of it with the command that repeats it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from importlib import import_module
from pathlib import Path
from time import monotonic, time
from typing import Any

from fuzzing.targets import TARGETS, USUAL, FindError, Mutator, generator, quiet
from newtron.engine.base.threads import one_blas_thread

# Nothing that is read may have these done. Writing is allowed in the folder for temporary files alone.
_EXECUTES = {"os.system", "os.exec", "os.spawn", "os.posix_spawn", "subprocess.Popen", "os.fork", "os.forkpty"}
_EXECUTES |= {"pickle.find_class"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_OFTEN = 3  # finds of one place that are saved


def options(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description="Changes files, messages and requests by chance.")
    parser.add_argument("--seconds", type=float, default=60.0, help="for all kinds together (default: 60)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed makes the same cases (default: 0)")
    parser.add_argument("--kind", action="append", choices=sorted(TARGETS), help=f"default: {', '.join(USUAL)}")
    parser.add_argument("--finds", type=Path, default=Path("finds"), help="folder for what is found (default: finds)")
    parser.add_argument("--hang", type=float, default=60.0, help="seconds that a case may take (default: 60)")
    parser.add_argument("--memory", type=float, default=2.0, help="GB that a case may take (default: 2)")
    parser.add_argument("--cases", type=int, help="of each kind at most so many")
    parser.add_argument("--repeat", type=Path, metavar="FILE", help="the case of a find once more")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args(words)


# --- the process that works ---


class Watched:
    """What an audit hook has seen that must not happen."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.on = False
        self._allowed = (os.path.realpath(tempfile.gettempdir()), os.devnull)
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event in _EXECUTES:
            self.seen.append(f"{event} {arguments!r}"[:300])
        elif event == "open" and isinstance(arguments[0], str) and arguments[2] & _WRITES:
            path = os.path.realpath(arguments[0])
            if not path.startswith(self._allowed):
                self.seen.append(f"writes {path!r}")


def work(chosen: argparse.Namespace) -> int:
    """Checks one case after the other, and tells each find on standard output."""
    quiet()
    (kind,) = chosen.kind
    with one_blas_thread():
        import_module("numpy.testing")  # NumPy 2.1 starts lscpu here, and threadpoolctl 3.5 ldconfig above
    target, watched = TARGETS[kind](), Watched()
    target.prepare(chosen.worker)
    statm = Path("/proc/self/statm")
    if statm.exists():  # Linux
        size = int(statm.read_text().split()[0]) * resource.getpagesize()
        limit = size + int(chosen.memory * 2**30)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    until, number = monotonic() + chosen.seconds, chosen.first
    while monotonic() < until and (chosen.cases is None or number < chosen.cases):
        target.number = number
        data = target.case(Mutator(generator(kind, chosen.seed, number)))
        (chosen.worker / "case").write_bytes(data)
        (chosen.worker / "number").write_text(str(number))
        found = checked(target, watched, data)
        if found is not None:
            print(json.dumps({"number": number, **found, "case": data.hex()}), flush=True)
        number += 1
    (chosen.worker / "number").write_text(str(number))
    print(json.dumps({"done": number}), flush=True)
    return 0


def checked(target: Any, watched: Watched, data: bytes) -> dict[str, str] | None:
    """What is found of a case, None where it is as it must be."""
    watched.seen, watched.on = [], True
    try:
        target.check(data)
    except BaseException as error:  # whatever it is, it is a find
        if isinstance(error, KeyboardInterrupt):
            raise
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if f"{os.sep}src{os.sep}newtron{os.sep}" in frame.filename]
        place = (own or frames)[-1]
        where = "" if isinstance(error, FindError) else f" at {Path(place.filename).name}:{place.name}"
        what = str(error).split("\n")[0][:80] if isinstance(error, FindError) else ""
        return {"key": f"{type(error).__name__}{where} {what}".strip(), "text": traceback.format_exc()}
    finally:
        watched.on = False
    if watched.seen:
        return {"key": f"executed or written: {watched.seen[0]}", "text": "\n".join(watched.seen)}
    return None


# --- the process that watches ---


class Watch:
    """Has cases of one kind checked by processes that may end in any way."""

    def __init__(self, chosen: argparse.Namespace, kind: str, folder: Path) -> None:
        self.chosen, self.kind, self.folder = chosen, kind, folder
        self.finds: Counter[str] = Counter()
        self.cases = 0

    def run(self, seconds: float) -> None:
        until = monotonic() + seconds
        while (left := until - monotonic()) > 0.0:
            before = self.cases
            if self._once(left) or (self.cases == before and left < seconds / 2):
                return

    def _once(self, seconds: float) -> bool:
        """One process; has it come to its own end?"""
        words = ["--kind", self.kind, "--seed", self.chosen.seed, "--seconds", seconds, "--worker", self.folder]
        words += ["--first", self.cases, "--memory", self.chosen.memory]
        words += [] if self.chosen.cases is None else ["--cases", self.chosen.cases]
        for name in ("case", "number"):
            (self.folder / name).unlink(missing_ok=True)
        told = self.folder / "told"
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "NEWTRON_NUM_THREADS": "1"}
        with told.open("wb") as out, (self.folder / "errors").open("wb") as err:
            command = [sys.executable, "-m", "fuzzing", *map(str, words)]
            process = subprocess.Popen(command, stdout=out, stderr=err, env=environment)
            ended = self._watched(process, seconds)
        done = False
        for line in told.read_text().splitlines():
            found = json.loads(line)
            done |= "done" in found
            if "key" in found:
                self._save(found["key"], found["text"], int(found["number"]), bytes.fromhex(found["case"]))
        number = self.folder / "number"
        reached = int(number.read_text() or self.cases) if number.exists() else self.cases
        if not done:
            errors = (self.folder / "errors").read_text(errors="replace")[-3000:]
            case = self.folder / "case"
            self._save(ended, f"{ended}\n{errors}", reached, case.read_bytes() if case.exists() else b"")
            reached += 1
        self.cases = reached
        return done

    def _watched(self, process: subprocess.Popen[bytes], seconds: float) -> str:
        """Waits for the end of a process, and says how it ended. One that hangs is killed."""
        case, started = self.folder / "case", time()
        while process.poll() is None:
            with_case = case.stat().st_mtime if case.exists() else started
            if time() - max(with_case, started) > self.chosen.hang + (0 if case.exists() else 60):
                process.kill()
                process.wait()
                return f"hang: more than {self.chosen.hang:g} s"
            try:
                process.wait(0.2)
            except subprocess.TimeoutExpired:
                continue
        code = process.returncode
        return f"crash: {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def _save(self, key: str, text: str, number: int, data: bytes) -> None:
        self.finds[key] += 1
        if self.finds[key] > _OFTEN:
            return
        self.chosen.finds.mkdir(parents=True, exist_ok=True)
        path = self.chosen.finds / f"{self.kind}-{self.chosen.seed}-{number}"
        path.with_suffix(".case").write_bytes(data)
        again = f"scripts/fuzz --repeat {path.with_suffix('.case')}"
        path.with_suffix(".txt").write_text(f"{key}\n\nTo repeat: {again}\n\n{text}\n", errors="replace")


def repeat(path: Path) -> int:
    quiet()
    target, watched = TARGETS[path.name.split("-")[0]](), Watched()
    with tempfile.TemporaryDirectory() as folder:
        target.prepare(Path(folder))
        found = checked(target, watched, path.read_bytes())
    print("as it must be" if found is None else f"{found['key']}\n{found['text']}")
    return 0 if found is None else 1


def main(words: list[str] | None = None) -> int:
    chosen = options(words)
    if chosen.repeat is not None:
        return repeat(chosen.repeat)
    if chosen.worker is not None:
        return work(chosen)
    kinds = chosen.kind or list(USUAL)
    total = 0
    for kind in kinds:
        with tempfile.TemporaryDirectory() as folder:
            started = monotonic()
            watch = Watch(chosen, kind, Path(folder))
            watch.run(chosen.seconds / len(kinds))
            taken = monotonic() - started
            print(f"{kind:10s} {watch.cases:7,d} cases in {taken:5.0f} s, {watch.finds.total()} finds", flush=True)
            for key, count in watch.finds.most_common():
                print(f"  {count:5d}  {key}", flush=True)
            total += watch.finds.total()
    if total:
        print(f"What was found, and how to repeat it, is in {chosen.finds}.")
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
