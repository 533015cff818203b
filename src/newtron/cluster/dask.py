"""The only file that knows Dask: parts of rows as futures on its workers, and sums over them.

Parts are never sent out from here but made by tasks, so that those of a worker that is lost are made again by another.
Each pass is one task for each thread of each worker, over the parts that this worker has, and tasks that merge their
sums until few are left; the function that they evaluate, the iterate within it, travels once to each.
"""

from __future__ import annotations

import ctypes
import logging
import math
import platform
import sys
from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache, partial
from time import monotonic
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from newtron.cluster.sums import ClusterLostError, Engine, Part, Remote, Sums, Work, merged, summed
from newtron.engine.base.errors import InputError
from newtron.engine.base.threads import one_blas_thread
from newtron.engine.base.version import __version__

# Sums that one task merges, or that are merged here; seconds between two looks at whether anybody is still there, and
# seconds that a result may take to travel.
_FAN_IN, _LOOK, _FETCH = 8, 0.5, 60.0
# Workers say every half second or so that they are there. Seconds of silence, at least, before one is given up.
_SILENT = 5.0
# What is sent with every task; anything larger is a task of its own, whose result workers pass to each other.
_SMALL_BYTES = 2**16
# Of the memory of the workers, so much may hold rows; of a worker that names no limit, of so many bytes.
_HELD_SHARE, _NO_LIMIT = 0.4, 8e9
# Memory below these sizes is kept by the allocator instead of being given back and asked for again at every pass: glibc
# takes no larger threshold for mmap.
_TRIM, _MMAP = 2**28, 2**25
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def dask_needed() -> Remote:
    """The module `distributed`."""
    try:
        import distributed
    except ImportError:
        raise InputError(
            'clusters need Dask, newtron\'s extra "dask": pip install "dask[array,dataframe]" distributed.'
        ) from None
    return distributed


@dataclass
class Placed:
    """Parts as futures. rows: of each. made, arguments: what makes a part anew on another worker, where newtron decides
    on which one it lies; None where Dask does."""

    futures: list[Remote]
    rows: NDArray[np.int64]
    homes: list[str]
    made: Callable[..., Part] | None = None
    arguments: list[tuple[Remote, ...]] = field(default_factory=list)
    workers: dict[str, int] = field(default_factory=dict)
    looked: float = -math.inf  # when it was last asked who is there


class DaskEngine(Engine):
    """client: a `distributed.Client`. patience: seconds to wait for a worker while there is none, and for one that says
    nothing any more."""

    def __init__(self, client: Remote, patience: float) -> None:
        distributed = dask_needed()
        if not isinstance(client, distributed.Client) or client.asynchronous:
            raise InputError(f"client={client!r} is no synchronous distributed.Client: give one.")
        self.client, self.patience = client, patience
        self._listened = monotonic()
        with self._told():
            self._check_workers()

    # --- who is there ---

    def workers(self) -> dict[str, int]:
        """Threads of each worker, by its address; waits for one if there is none."""
        since = monotonic()
        while True:
            found = self._info()
            if found:
                return {address: info["nthreads"] for address, info in sorted(found.items())}
            if monotonic() - since > self.patience:
                self._lost(f"no worker came back within {self.patience:g} seconds")
            with suppress(TimeoutError):
                self.client.wait_for_workers(1, timeout=min(_LOOK, self.patience))

    def _info(self) -> dict[str, Remote]:
        if self.client.status != "running":
            self._lost("its scheduler does not answer any more")
        found: dict[str, Remote] = self.client.scheduler_info()["workers"]
        return found

    def holds(self, size: float) -> bool:
        """Is there room on the workers for rows of so many bytes?"""
        room = sum(info["memory_limit"] or _NO_LIMIT for info in self._info().values())
        return size <= _HELD_SHARE * room

    def _check_workers(self) -> None:
        here = _said(__version__, platform.python_version())
        self.workers()
        asked = self.client._get_versions
        try:
            versions = self.client.sync(asked, packages=["newtron"], callback_timeout=max(self.patience, _SILENT))
        except TimeoutError:
            self._lost(f"not all of its workers answered within {max(self.patience, _SILENT):g} seconds")
        for address, about in versions["workers"].items():
            there = _said(about["packages"]["newtron"], about["host"]["python"])
            if there != here:
                raise InputError(
                    f"the worker {address} runs {there}, and this is {here}: install the same on all machines."
                )

    def _lost(self, why: str) -> NoReturn:
        raise ClusterLostError(f"the cluster is lost: {why}")

    @contextmanager
    def _told(self) -> Remote:
        """What Dask raises, as one sentence."""
        distributed = dask_needed()
        from distributed.client import FutureCancelledError, FuturesCancelledError
        from distributed.comm import CommClosedError

        try:
            yield
        except InputError:
            raise
        except distributed.scheduler.KilledWorker as error:
            raise ClusterLostError(
                "the workers died one after the other on the same rows, as they do where memory is short (the last was "
                f"{error.last_worker.address})"
            ) from None
        except (FutureCancelledError, FuturesCancelledError, CommClosedError):
            self._lost("its scheduler does not answer any more")
        except OSError:
            if self.client.status == "running":
                raise
            self._lost("its scheduler does not answer any more")

    # --- parts ---

    def place(self, made: Callable[..., Part], arguments: list[tuple[Remote, ...]], rows: NDArray[np.int64]) -> Placed:
        """Parts made(*arguments), on workers by turns such that all have as many rows for a thread; neighbours
        together. Arguments may be futures."""
        workers = self.workers()
        share = np.cumsum([threads for threads in workers.values()]) / sum(workers.values())
        middle = (np.cumsum(rows) - 0.5 * rows) / max(1, rows.sum())
        addresses = list(workers)
        homes = [addresses[min(i, len(addresses) - 1)] for i in np.searchsorted(share, middle)]
        futures = [self._make(made, each, home) for each, home in zip(arguments, homes, strict=True)]
        return Placed(futures, rows, homes, made, arguments, workers)

    def placed_by_dask(self, lazy: Sequence[Remote], rows: NDArray[np.int64]) -> Placed:
        """Parts that are Dask's delayed objects, made where Dask makes them."""
        with self._told():
            futures = self.client.compute(list(lazy))
            with _named(futures):
                self._await(lambda: self._all_done(futures))
        return Placed(futures, rows, self._where(futures), workers=self.workers())

    def broadcast(self, value: Remote) -> Remote:
        """A future of a value that all workers need."""
        with _large_tasks():
            return self.client.submit(_itself, value, pure=False)

    def _make(self, made: Callable[..., Part], arguments: tuple[Remote, ...], home: str) -> Remote:
        return self.client.submit(made, *arguments, workers=[home], allow_other_workers=True, pure=False)

    def _where(self, futures: list[Remote]) -> list[str]:
        known = self.client.who_has(futures)
        return [next(iter(sorted(known.get(future.key, ()))), "") for future in futures]

    def _settle(self, parts: Placed) -> None:
        """After workers came or went: parts of those that are gone are made on the others, and newcomers get some."""
        if monotonic() - parts.looked < _LOOK:
            return  # until then Dask's own recovery does
        workers = self.workers()
        parts.looked = monotonic()
        if workers == parts.workers:
            return
        parts.workers = workers
        if parts.made is None:
            parts.homes = self._where(parts.futures)
            return
        load = dict.fromkeys(workers, 0.0)
        for home, rows in zip(parts.homes, parts.rows, strict=True):
            if home in load:
                load[home] += float(rows) / workers[home]
        fair = float(parts.rows.sum()) / sum(workers.values())
        for number, (home, rows) in enumerate(zip(parts.homes, parts.rows.tolist(), strict=True)):
            least = min(load, key=lambda address: load[address])
            if home in load:
                # It stays, unless its worker has too much by more than this part, and another too little.
                if load[home] - rows / workers[home] < fair or load[least] + rows / workers[least] > fair * 1.001:
                    continue
                load[home] -= rows / workers[home]
            load[least] += rows / workers[least]
            parts.homes[number] = least
            parts.futures[number] = self._make(parts.made, parts.arguments[number], least)

    # --- sums ---

    def total(self, work: Work, parts: Placed, shared: Remote = None) -> Remote:
        with self._told():
            self._settle(parts)
            payload = self._sent(work)
            tasks = []
            for address, groups in self._groups(parts).items():
                where: Remote = {"workers": [address], "allow_other_workers": True} if address else {}
                held = [[parts.futures[number] for number in numbers] for numbers in groups]
                alike = [[each] * len(groups) for each in (payload, shared, len(parts.futures))]
                tasks += self.client.map(_sum_parts, *alike, groups, held, pure=False, **where)
            return self._merged(tasks)

    def total_of(self, work: Work, lazy: Sequence[Remote]) -> Remote:
        """As `total`, over Dask's delayed objects, which are let go as soon as they were looked at."""
        from dask import delayed

        with self._told():
            payload = self._sent(work)
            looked = delayed(_sum_parts, pure=False)
            tasks = self.client.compute(
                [looked(payload, None, len(lazy), [number], [part]) for number, part in enumerate(lazy)]
            )
            with _named(tasks):
                return self._merged(tasks)

    def _sent(self, work: Work) -> Remote:
        import cloudpickle

        payload = cloudpickle.dumps(work)
        return payload if len(payload) <= _SMALL_BYTES else self.broadcast(payload)

    def _groups(self, parts: Placed) -> dict[str, list[list[int]]]:
        """For each thread of each worker the numbers of the parts that it sums, with about as many rows for each."""
        groups = {}
        for address in sorted(set(parts.homes)):
            numbers = [number for number, home in enumerate(parts.homes) if home == address]
            rows = parts.rows[numbers]
            middle = (np.cumsum(rows) - 0.5 * rows) / max(1, rows.sum())
            thread = (middle * parts.workers.get(address, 1)).astype(np.int64)
            groups[address] = [[numbers[i] for i in np.flatnonzero(thread == one)] for one in np.unique(thread)]
        return groups

    def _merged(self, tasks: list[Remote]) -> Remote:
        """The sum of what tasks come to: merged by workers until few are left, and those here."""
        while len(tasks) > _FAN_IN:
            some = [tasks[i : i + _FAN_IN] for i in range(0, len(tasks), _FAN_IN)]
            tasks = self.client.map(merged, some, pure=False)
        return merged(self._await(lambda: self._fetched(tasks))).total

    def _fetched(self, futures: list[Remote]) -> list[Remote]:
        """Results, once all are there; TimeoutError before, or if a worker takes them along when it dies."""
        self._all_done(futures)
        fetch = partial(self.client.gather, futures, asynchronous=True)
        found: list[Remote] = self.client.sync(fetch, callback_timeout=max(_FETCH, self.patience))
        return found

    def _all_done(self, futures: list[Remote]) -> None:
        with self.client.as_current():
            dask_needed().wait(futures, timeout=_LOOK)
        for future in futures:
            if future.status != "finished":
                future.result()  # raises what the task raised

    def _await(self, ask: Callable[[], Remote]) -> Remote:
        """What ask returns, asked again as long as it raises TimeoutError and there are workers to wait for."""
        alone = 0.0
        while True:
            started = monotonic()
            with suppress(TimeoutError):
                return ask()
            alone = 0.0 if self._info() else alone + monotonic() - started
            if alone > self.patience:
                self._lost(f"all workers are gone, and none came back within {self.patience:g} seconds")
            self._give_up_silent_workers()

    def _give_up_silent_workers(self) -> None:
        """A worker may be there and yet be frozen, or its machine cut off: its connection is open, and what it was
        given to do is never done. The scheduler then gives that to others."""
        longest = max(self.patience, _SILENT)
        if monotonic() - self._listened < min(longest, _SILENT) / 2.0:
            return
        self._listened = monotonic()

        # Within, so that it travels as it is: a scheduler need not have newtron.
        async def remove(dask_scheduler: Remote = None) -> list[str]:
            from distributed.metrics import time

            now = time()
            silent = [w.address for w in dask_scheduler.workers.values() if now - w.last_seen > longest]
            for address in silent:
                await dask_scheduler.remove_worker(address, stimulus_id=f"newtron-silent-worker-{now}")
            return silent

        ask = self.client._run_on_scheduler
        try:
            silent = self.client.sync(ask, remove, callback_timeout=longest)
        except TimeoutError:
            self._lost(f"its scheduler has not answered for {longest:g} seconds")
        except OSError:  # it is gone, and the client is about to see it
            return
        for address in silent:
            logging.getLogger("newtron").warning(
                "the worker %s has said nothing for %g seconds: its rows go to the others", address, longest
            )


@contextmanager
def _named(futures: list[Remote]) -> Remote:
    """What a partition of a collection raises, with its number. Futures: one for each partition, in order."""
    killed = dask_needed().scheduler.KilledWorker
    try:
        yield
    except (InputError, killed):
        raise
    except Exception as error:  # how its owner makes a partition may raise anything
        failed = next((number for number, future in enumerate(futures) if future.status == "error"), None)
        if failed is None:
            raise
        told = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"partition {failed} of the collection cannot be made: {told}") from error


@contextmanager
def _large_tasks() -> Remote:
    """Without Dask's advice to scatter what is large: what is scattered is not made again when a worker dies."""
    import dask

    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
        yield


def _said(version: str | None, python: str) -> str:
    """Functions that travel need the same newtron, and the same second number of Python."""
    return f"newtron {version or '(not installed)'} on Python {'.'.join(python.split('.')[:2])}"


# --- run by workers ---


def _itself(value: Remote) -> Remote:
    return value


def _sum_parts(payload: bytes, shared: Remote, n: int, numbers: list[int], parts: list[Part]) -> Sums:
    import pickle

    prepare_worker()
    work = pickle.loads(payload)
    with one_blas_thread():
        return summed(work, shared, zip(numbers, parts, strict=True), n)


@lru_cache(maxsize=1)
def prepare_worker() -> None:
    """Once in each process of a worker. Dask's default has glibc give freed memory back at once, which made passes over
    rows a quarter slower; the setting is the process's own and so needs no variable in its environment."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _TRIM)
        mallopt(_M_MMAP_THRESHOLD, _MMAP)
