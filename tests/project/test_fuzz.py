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


@pytest.fixture(autouse=True)
def path_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")]))


@pytest.mark.slow
def test_every_kind_of_defect_is_seen_and_can_be_repeated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    count = str(len(Defects.kinds))
    words = ["--kind", "defects", "--cases", count, "--seconds", "300", "--hang", "6", "--finds", str(tmp_path)]
    assert main(words) == 1
    out = capsys.readouterr().out
    for word in ("ZeroDivisionError", "SIGABRT", "hang: more than 6 s", "MemoryError", "os.system", "nobody-asked-for"):
        assert word in out
    cases = sorted(tmp_path.glob("*.case"))
    assert sorted(path.read_text() for path in cases) == sorted(set(Defects.kinds) - {"fine"})
    (found,) = (path for path in cases if path.read_text() == "traceback")
    assert "ZeroDivisionError: on purpose" in found.with_suffix(".txt").read_text()
    # What is repeated is watched by a hook that stays, so this is a process of its own.
    again = subprocess.run([sys.executable, "-m", "fuzzing", "--repeat", found], capture_output=True, text=True)
    assert again.returncode == 1
    assert "ZeroDivisionError: on purpose" in again.stdout


@pytest.mark.slow
@pytest.mark.parametrize("kind", USUAL)
def test_a_short_run_finds_nothing(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--kind", kind, "--cases", "10", "--seed", "0", "--seconds", "300", "--finds", str(tmp_path)])
    out = capsys.readouterr().out
    told = "\n".join(path.read_text() for path in tmp_path.glob("*.txt"))
    assert code == 0, out + told
    assert f"{kind:10s}      10 cases" in out


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
