"""Threads over pieces of work, in an order that does not depend on how many threads there are.

A process may be forked while one of its threads computes here (multiprocessing forks, and so do servers of web pages):
in the child only the thread that forked goes on, and no lock, pool or count may wait for the others.

BLAS is held to one thread while newtron computes: newtron's own threads run over blocks of rows, and two layers of
threads on the same cores are many times slower than one.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, TypeVar

from newtron.engine.base.checks import is_count
from newtron.engine.base.errors import InputError

T = TypeVar("T")
R = TypeVar("R")

if TYPE_CHECKING:
    from functools import cached_property as cached_property  # (known to type checkers as a property)
else:

    class cached_property:  # noqa: N801  (used as a decorator, like that of functools)
        """functools.cached_property without a lock, which Python 3.11 has for all instances of a class together: a
        child that is forked while some thread holds the lock would wait for ever, and threads wait for each other."""

        def __init__(self, compute: Callable[[object], object]) -> None:
            self._compute = compute
            self.__doc__ = compute.__doc__

        def __set_name__(self, owner: type, name: str) -> None:
            self._name = name

        def __get__(self, instance: object, owner: type | None = None) -> object:
            if instance is None:
                return self
            # Two threads may compute it at once; both go on with what came first.
            return vars(instance).setdefault(self._name, self._compute(instance))


def thread_count(n_jobs: int | None = None) -> int:
    """How many threads to use: `n_jobs`, else the variable NEWTRON_NUM_THREADS, else the cores this process may use.

    As in scikit-learn, -1 means all cores and -2 all but one.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    name: str = "n_jobs"
    wanted: int | str | None = n_jobs
    if n_jobs is None:
        name, wanted = "NEWTRON_NUM_THREADS", os.environ.get("NEWTRON_NUM_THREADS", "").strip()
        if not wanted:
            return cores
        wanted = int(wanted) if wanted.removeprefix("-").isdecimal() else wanted
    if not is_count(wanted, -sys.maxsize) or wanted == 0:
        raise InputError(f"{name}={wanted!r} must be a number of threads, 1 or more, or -1 for all cores.")
    return int(wanted) if wanted > 0 else max(1, cores + 1 + int(wanted))


@lru_cache(maxsize=8)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="newtron")


def ordered_map(work: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """Yield work(item) in the order of the items. At most 2 * threads of them are under way or wait."""
    if threads == 1:
        yield from map(work, items)
        return
    pool = _pool(threads)
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def run_all(work: Callable[[T], R], items: list[T], threads: int, on_interrupt: Callable[[], None]) -> list[R]:
    """[work(item) for item in items] on threads. Ctrl-C calls on_interrupt, which must make every work end soon,
    and then waits for them: no result is lost."""
    if threads == 1 or len(items) == 1:
        found: list[R] = []
        for item in items:
            try:
                found.append(work(item))
            except KeyboardInterrupt:
                if not found:
                    raise
                on_interrupt()
                break
        return found
    with ThreadPoolExecutor(min(threads, len(items)), thread_name_prefix="newtron-member") as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            return [future.result() for future in futures]
        except KeyboardInterrupt:
            on_interrupt()
            return [future.result() for future in futures]


_waiting = False


def is_waiting() -> bool:
    """Is the main thread in `interruptible`, where a KeyboardInterrupt leaves nothing half done?"""
    return _waiting


def interruptible(work: Callable[[], R]) -> R:
    """work(), for library code that may take long and does not react to signals.

    So that Ctrl-C is obeyed at once, the main thread lets another thread do the work and waits. Work that is abandoned
    in this way ends by itself some time later, and its result is ignored."""
    if threading.current_thread() is not threading.main_thread():
        return work()
    global _waiting
    found: Future[R] = Future()
    settings = copy_context()  # NumPy's errstate among them

    def run() -> None:
        try:
            found.set_result(settings.run(work))
        except BaseException as error:
            found.set_exception(error)

    try:
        _waiting = True
        # A daemon thread: abandoned work does not keep the program from ending.
        threading.Thread(target=run, name="newtron-library", daemon=True).start()
        # Every 0.2 s, since some systems deliver no signal to a thread that waits without a limit.
        while not wait([found], timeout=0.2).done:
            pass
        return found.result()
    finally:
        _waiting = False


class _BlasThreads:
    """Counts the callers that need single-threaded BLAS, so that the last one to leave, on any thread, restores it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._inside = 0
        self._of_thread = threading.local()
        self._before: list[int] = []

    def enter(self) -> None:
        libraries = _blas_libraries()
        with self.lock:
            if self._inside == 0:
                self._before = [library.num_threads for library in libraries]
                for library in libraries:
                    _set_threads(library, 1)
            self._inside += 1
            self._of_thread.inside = self._mine + 1

    def leave(self) -> None:
        with self.lock:
            self._of_thread.inside = self._mine - 1
            self._left_with(self._inside - 1)

    def forked(self) -> None:
        """Count anew in the child of a fork, where no other thread is left to restore BLAS."""
        self.lock = threading.RLock()
        if self._inside:
            self._left_with(self._mine)

    @property
    def _mine(self) -> int:
        return int(getattr(self._of_thread, "inside", 0))

    def _left_with(self, inside: int) -> None:
        self._inside = inside
        if inside == 0:
            for library, threads in zip(_blas_libraries(), self._before, strict=True):
                _set_threads(library, threads)


class _BlasLibrary(Protocol):
    """What threadpoolctl says of a loaded BLAS library, and how it sets its threads."""

    num_threads: int

    def set_num_threads(self, num_threads: int) -> None: ...


@lru_cache(maxsize=1)
def _blas_libraries() -> list[_BlasLibrary]:
    import scipy.linalg  # noqa: F401  (only the libraries loaded by now are seen)
    from threadpoolctl import ThreadpoolController

    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


def _set_threads(library: _BlasLibrary, threads: int) -> None:
    # threadpoolctl obeys only the first thread that ever set a limit, and silently ignores all others while that one
    # lives: a fit on any other thread would run with all BLAS threads. The count above decides who may set the limit.
    getattr(library, "_real_set_num_threads", library.set_num_threads)(threads)


_blas_threads = _BlasThreads()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread; safe to nest and to enter from several threads at once."""
    _blas_threads.enter()
    try:
        yield
    finally:
        _blas_threads.leave()


def _in_child() -> None:
    global _waiting
    _waiting = False
    _pool.cache_clear()  # its threads do not exist in the child
    _blas_threads.forked()


if hasattr(os, "register_at_fork"):
    # The count is not changed while the process is forked, so that a child finds it and BLAS in agreement.
    os.register_at_fork(
        before=lambda: _blas_threads.lock.acquire(),
        after_in_parent=lambda: _blas_threads.lock.release(),
        after_in_child=_in_child,
    )
