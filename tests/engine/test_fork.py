"""A process that is forked while its threads fit: the child can go on, whatever they were doing just then."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

SOURCES = sorted((Path(__file__).resolve().parents[2] / "src").rglob("*.py"))

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

# Of every script: `in_child(work)` forks and says how the child ended, "done" or else; it has 20 seconds.
PRELUDE = """
import faulthandler, os, threading, time, warnings
warnings.simplefilter("ignore")  # Python 3.12 warns of forks beside threads

def in_child(work):
    child = os.fork()
    if child == 0:
        faulthandler.dump_traceback_later(20, exit=True)
        try:
            os._exit(0 if work() else 3)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(4)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0, f"the child ended with {status}"
"""


def run(script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(script)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_fits_go_on_in_children_that_were_forked_during_fits() -> None:
    run("""
        import numpy as np
        from newtron import NetworkRegressor, PerceptronClassifier
        rng = np.random.default_rng(0)
        X = rng.normal(size=(200, 3))
        y = np.sin(X[:, 0]) + 0.1 * rng.normal(size=200)

        def fit():
            network = NetworkRegressor(hidden=(2,), alpha=0.1, max_iter=3, n_jobs=2).fit(X, y)
            perceptron = PerceptronClassifier(alpha=0.1, n_jobs=2).fit(X, y > 0)
            return network.predict(X).tobytes() + perceptron.predict_proba(X).tobytes()

        expected, stop = fit(), threading.Event()

        def busy():
            while not stop.is_set():
                fit()

        threads = [threading.Thread(target=busy, daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            end, forks = time.monotonic() + 5, 0
            while forks < 30 and (time.monotonic() < end or forks < 5):
                time.sleep(0.001 * (forks % 7))
                in_child(lambda: fit() == expected)
                forks += 1
        finally:
            stop.set()
        for thread in threads:
            thread.join(30)
    """)


def test_a_property_that_is_being_computed_can_be_computed_in_a_child() -> None:
    run("""
        from newtron.engine.base.threads import cached_property

        class Slow:
            def __init__(self, wait):
                self.wait, self.calls = wait, 0

            @cached_property
            def answer(self):
                self.calls += 1
                begun.set()
                self.wait.wait(30)
                return [self.calls]

        begun, end, none = threading.Event(), threading.Event(), threading.Event()
        none.set()
        slow = Slow(end)
        thread = threading.Thread(target=lambda: slow.answer)
        thread.start()
        begun.wait(30)
        in_child(lambda: Slow(none).answer == [1])
        assert Slow(none).answer == [1]  # nor do threads wait for each other
        end.set()
        thread.join(30)
        assert slow.answer is slow.answer and slow.calls == 1
    """)


@pytest.mark.slow
def test_blas_has_its_threads_back_in_a_child() -> None:
    run("""
        from newtron.engine.base import threads as parallel
        from newtron.engine.base.threads import one_blas_thread

        def threads():
            return [library.num_threads for library in parallel._blas_libraries()]

        for library in parallel._blas_libraries():
            parallel._set_threads(library, 2)
        assert threads() and set(threads()) == {2}
        begun, end = threading.Event(), threading.Event()

        def hold():
            with one_blas_thread():
                begun.set()
                end.wait(30)

        thread = threading.Thread(target=hold)
        thread.start()
        begun.wait(30)
        assert set(threads()) == {1}

        def free():
            assert set(threads()) == {2}
            with one_blas_thread():
                assert set(threads()) == {1}
            return set(threads()) == {2}

        def still_held():  # by the thread that forked
            return set(threads()) == {1}

        in_child(free)
        with one_blas_thread():
            in_child(still_held)
        assert set(threads()) == {1}
        end.set()
        thread.join(30)
        assert set(threads()) == {2}
        in_child(free)

        # A thread that is just setting it: the fork waits for it.
        parallel._blas_threads.lock.acquire()
        told = []
        forked = threading.Thread(target=lambda: (in_child(free), told.append("as it should be")))
        forked.start()
        forked.join(0.2)
        assert forked.is_alive()
        parallel._blas_threads.lock.release()
        forked.join(30)
        assert told
    """)


def test_a_child_is_not_waiting_for_library_code() -> None:
    run("""
        from newtron.engine.base import threads as parallel

        begun, end = threading.Event(), threading.Event()

        def fork():
            try:
                begun.wait(30)
                in_child(lambda: not parallel.is_waiting())
                told.append("as it should be")
            finally:
                end.set()

        told = []
        threading.Thread(target=fork).start()
        parallel.interruptible(lambda: (begun.set(), end.wait(30)))
        assert told
    """)


@pytest.mark.slow
@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_property_has_the_lock_of_python_3_11(path: Path) -> None:
    if path.name == "threads.py":
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "functools":
            assert "cached_property" not in {alias.name for alias in node.names}, "take newtron.engine.base.threads's"
        assert not (isinstance(node, ast.Attribute) and node.attr == "cached_property")
