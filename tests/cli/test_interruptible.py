"""Ctrl-C while a library computes and hears no signal: real processes and a real SIGINT."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from newtron.engine.base.threads import interruptible, is_waiting

ROOT = Path(__file__).resolve().parents[2]

# Eight noisy classes of which one alone has a column of its own: HiGHS takes a minute for the first program.
DATA = """
import numpy as np
rng = np.random.default_rng(0)
X = rng.normal(size=(3_000, 60))
X[:, 0] = rng.random(3_000) < 0.05
y = (X @ rng.normal(size=(60, 8)) + 4.0 * rng.gumbel(size=(3_000, 8))).argmax(axis=1)
y[X[:, 0] == 1.0] = 0

from scipy import optimize
whole = optimize.linprog
def linprog(*args, **options):
    print("a linear program begins", flush=True)
    return whole(*args, **options)
optimize.linprog = linprog
"""
IN_PYTHON = """
import warnings
warnings.simplefilter("ignore")
from newtron import PerceptronClassifier
model = PerceptronClassifier().fit(X, y)
assert model.predict(X).shape == y.shape
print([model.solution_.status.name, model.separation_.kind, model.separation_.sentence, model.certificate_.converged])
"""
BY_COMMAND = """
import sys
from newtron.cli import main
lines = ["".join(f"{v:.5g}," for v in row) + f"c{c}" for row, c in zip(X, y)]
open("d.csv", "w").write(",".join([*(f"x{j}" for j in range(60)), "y"]) + "\\n" + "\\n".join(lines) + "\\n")
sys.exit(main(["fit", "d.csv", "--target", "y", "--model", "perceptron", "--json"]))
"""


def interrupted(script: str, cwd: Path) -> tuple[int, str, str, float]:
    """Exit code, output and errors of a process that is sent SIGINT in its first program, and its seconds of CPU time:
    those of the clock would be longer beside other work."""
    before = cpu_of_children()
    run = subprocess.Popen(
        [sys.executable, "-c", DATA + script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        # A shell may have had this process ignore Ctrl-C; a user's terminal does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert run.stdout is not None
    assert run.stdout.readline() == "a linear program begins\n"
    time.sleep(1.0)  # until HiGHS is in the midst of it
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=120)
    return run.returncode, out, err, cpu_of_children() - before


def cpu_of_children() -> float:
    """Seconds of all processes that were started here and have ended."""
    used = os.times()
    return used.children_user + used.children_system


@pytest.mark.slow
def test_ctrl_c_in_a_linear_program_ends_the_fit(tmp_path: Path) -> None:
    code, out, err, seconds = interrupted(IN_PYTHON, tmp_path)
    assert (code, err) == (0, "")
    sentence = "Whether the classes are separated was not decided: the search for a plane between them was interrupted."
    assert out.strip() == repr(["INTERRUPTED", "undecided", sentence, False])
    assert seconds < 10.0  # the program alone would take far longer


@pytest.mark.slow
def test_ctrl_c_in_a_linear_program_ends_the_command_with_what_there_is(tmp_path: Path) -> None:
    code, out, err, seconds = interrupted(BY_COMMAND, tmp_path)
    assert code == 130
    assert "stopping at the next step" in err
    assert "Traceback" not in err
    facts = json.loads(out)
    assert facts["interrupted"] is True
    assert facts["models"]["perceptron"]["members"][0]["status"] == "interrupted"
    assert (tmp_path / "model.newtron").exists()
    assert seconds < 20.0


def test_what_is_interruptible_is_as_it_was() -> None:
    seen: list[Any] = []
    setting = ContextVar("setting", default="none")

    def work() -> int:
        seen.append((is_waiting(), threading.current_thread() is threading.main_thread(), setting.get()))
        return 3

    setting.set("own")
    assert interruptible(work) == 3
    assert seen.pop() == (True, False, "own")
    # Another thread hears no signal anyway.
    other = threading.Thread(target=interruptible, args=(work,))
    other.start()
    other.join()
    assert seen.pop()[:2] == (False, False)
    assert not is_waiting()
    for error in (TimeoutError, ZeroDivisionError):

        def fail(error: Any = error) -> None:
            raise error("no")

        with pytest.raises(error, match="no"):
            interruptible(fail)
    assert not is_waiting()
