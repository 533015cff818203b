"""The fuzzer sees what it is there to see, and a short run of it finds nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fuzzing.__main__ import main
from fuzzing.mutations import Mutator
from fuzzing.targets import TARGETS, USUAL, Defects, generator

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="limits of memory and signals are POSIX's")


def fuzz(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])}
    command = [sys.executable, "-m", "fuzzing", *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.mark.slow
def test_every_kind_of_defect_is_seen_and_can_be_repeated(tmp_path: Path) -> None:
    count = str(len(Defects.kinds))
    run = fuzz("--kind", "defects", "--cases", count, "--seconds", "300", "--hang", "6", "--finds", str(tmp_path))
    assert run.returncode == 1, run.stderr
    for word in ("ZeroDivisionError", "SIGABRT", "hang: more than 6 s", "MemoryError", "os.system", "nobody-asked-for"):
        assert word in run.stdout
    cases = sorted(tmp_path.glob("*.case"))
    assert sorted(path.read_text() for path in cases) == sorted(set(Defects.kinds) - {"fine"})
    (found,) = (path for path in cases if path.read_text() == "traceback")
    assert "ZeroDivisionError: on purpose" in found.with_suffix(".txt").read_text()
    again = fuzz("--repeat", str(found))
    assert again.returncode == 1
    assert "ZeroDivisionError: on purpose" in again.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", USUAL)
def test_a_short_run_finds_nothing(kind: str, tmp_path: Path) -> None:
    run = fuzz("--kind", kind, "--cases", "10", "--seed", "0", "--seconds", "300", "--finds", str(tmp_path))
    told = "\n".join(path.read_text() for path in tmp_path.glob("*.txt"))
    assert run.returncode == 0, run.stdout + told
    assert f"{kind:10s}      10 cases" in run.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "fit"])
def test_the_same_seed_makes_the_same_cases(kind: str, tmp_path: Path) -> None:
    def cases(seed: int) -> list[bytes]:
        target = TARGETS[kind]()
        target.prepare(tmp_path)
        return [target.case(Mutator(generator(kind, seed, number))) for number in range(20)]

    assert cases(1) == cases(1)
    assert cases(1) != cases(2)


def test_an_unknown_kind_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--kind", "dreams"])
    assert "invalid choice" in capsys.readouterr().err
