"""Parts of rows as futures on the workers of a Dask cluster, and sums over them.

Parts are never sent from here. They are made by tasks, so that those of a worker that is lost are made again by
another. Each pass is one task for each thread of each worker, over the parts that this worker has, and tasks that merge
their sums until few are left. The function that they evaluate, with the current parameters in it, is sent once to each.
"""

from __future__ import annotations

import ctypes
import logging
import math
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache, partial
from time import monotonic
from typing import NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from newtron.cluster.sums import ClusterLostError, Engine, Part, Sums, Work, merged, summed
from newtron.cluster.untyped import DaskObject, Total
from newtron.engine.base.errors import InputError
from newtron.engine.base.threads import one_blas_thread
from newtron.engine.base.version import __version__

T = TypeVar("T")

# How many sums one task merges, and at most how many are merged in this process.
_FAN_IN = 8
# Seconds between two checks whether workers are there, and seconds that sending a result may take.
_CHECK, _FETCH = 0.5, 60.0
# Workers report about every half second. One that is silent for fewer seconds than this is never given up.
_SILENT = 5.0
# Functions with at most this number of bytes are sent with every task. A larger one is the result of a task of its own,
# which workers pass to each other.
_SMALL_BYTES = 2**16
# Rows may take this share of the memory of the workers, and a worker without a limit counts with this number of bytes.
_HELD_SHARE, _NO_LIMIT = 0.4, 8e9
# The allocator keeps free memory up to 256 MiB, and blocks up to 32 MiB, instead of returning them to the system and
# asking for them again at every pass. glibc accepts no larger threshold for mmap. The parameters' numbers are those of
# glibc's malloc.h.
_TRIM, _MMAP = 2**28, 2**25
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def dask_needed() -> DaskObject:
    """Return the module `distributed`. Raises InputError where Dask is not installed."""
    try:
        import distributed
    except ImportError:
        raise InputError(
            'clusters need Dask, newtron\'s extra "dask": pip install "dask[array,dataframe]" distributed.'
        ) from None
    return distributed


@dataclass
class Placed:
    """Parts as futures.

    rows: of each part. homes: the address of the worker of each. made, arguments: the function that makes a part again
    on another worker, and its arguments; made is None where Dask decides on which worker a part is. workers: the
    threads of each worker when they were last counted, at the time `counted`.
    """

    futures: list[DaskObject]
    rows: NDArray[np.int64]
    homes: list[str]
    made: Callable[..., Part] | None = None
    arguments: list[tuple[object, ...]] = field(default_factory=list)
    workers: dict[str, int] = field(default_factory=dict)
    counted: float = -math.inf


class DaskEngine(Engine):
    """Sums over parts that the workers of a Dask cluster hold.

    client: a `distributed.Client`. patience: seconds to wait for a worker while there is none, and for one that is
    silent.
    """

    def __init__(self, client: DaskObject, patience: float) -> None:
        distributed = dask_needed()
        if not isinstance(client, distributed.Client) or client.asynchronous:
            raise InputError(f"client={client!r} is no synchronous distributed.Client: give one.")
        self.client, self.patience = client, patience
        self._listened = monotonic()
        with self._dask_errors():
            self._check_workers()

    # --- workers ---

    def workers(self) -> dict[str, int]:
        """Return the threads of each worker, by its address. If there is none, wait for one."""
        since = monotonic()
        while True:
            found = self._info()
            if found:
                return {address: info["nthreads"] for address, info in sorted(found.items())}
            if monotonic() - since > self.patience:
                self._lost(f"no worker came back within {self.patience:g} seconds")
            with suppress(TimeoutError):
                self.client.wait_for_workers(1, timeout=min(_CHECK, self.patience))

    def _info(self) -> dict[str, DaskObject]:
        if self.client.status != "running":
            self._lost("its scheduler does not answer any more")
        found: dict[str, DaskObject] = self.client.scheduler_info()["workers"]
        return found

    def holds(self, size: float) -> bool:
        """Return whether the workers have room for rows of this number of bytes."""
        room = sum(info["memory_limit"] or _NO_LIMIT for info in self._info().values())
        return size <= _HELD_SHARE * room

    def _check_workers(self) -> None:
        here = _versions(__version__, platform.python_version())
        self.workers()
        asked = self.client._get_versions
        try:
            versions = self.client.sync(asked, packages=["newtron"], callback_timeout=max(self.patience, _SILENT))
        except TimeoutError:
            self._lost(f"not all of its workers answered within {max(self.patience, _SILENT):g} seconds")
        for address, about in versions["workers"].items():
            there = _versions(about["packages"]["newtron"], about["host"]["python"])
            if there != here:
                raise InputError(
                    f"the worker {address} runs {there}, and this is {here}: install the same on all machines."
                )

    def _lost(self, why: str) -> NoReturn:
        raise ClusterLostError(f"the cluster is lost: {why}")

    @contextmanager
    def _dask_errors(self) -> Iterator[None]:
        """Turn the errors of Dask into one sentence."""
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

    def place(self, made: Callable[..., Part], arguments: list[tuple[object, ...]], rows: NDArray[np.int64]) -> Placed:
        """Make the parts made(*arguments) on the workers, so that all have about equally many rows for each thread and
        neighbouring parts are on the same worker. Arguments may be futures."""
        workers = self.workers()
        share = np.cumsum([threads for threads in workers.values()]) / sum(workers.values())
        middle = (np.cumsum(rows) - 0.5 * rows) / max(1, rows.sum())
        addresses = list(workers)
        homes = [addresses[min(i, len(addresses) - 1)] for i in np.searchsorted(share, middle)]
        futures = [self._make(made, each, home) for each, home in zip(arguments, homes, strict=True)]
        return Placed(futures, rows, homes, made, arguments, workers)

    def placed_by_dask(self, lazy: Sequence[DaskObject], rows: NDArray[np.int64]) -> Placed:
        """Make parts that are Dask's delayed objects, on the workers that Dask chooses."""
        with self._dask_errors():
            futures = self.client.compute(list(lazy))
            with _partition_errors(futures):
                self._await(lambda: self._all_done(futures))
        return Placed(futures, rows, self._where(futures), workers=self.workers())

    def broadcast(self, value: object) -> DaskObject:
        """Return a future of a value that all workers need."""
        with _large_tasks():
            return self.client.submit(_itself, value, pure=False)

    def _make(self, made: Callable[..., Part], arguments: tuple[object, ...], home: str) -> DaskObject:
        return self.client.submit(made, *arguments, workers=[home], allow_other_workers=True, pure=False)

    def _where(self, futures: list[DaskObject]) -> list[str]:
        known = self.client.who_has(futures)
        return [next(iter(sorted(known.get(future.key, ()))), "") for future in futures]

    def _rebalance(self, parts: Placed) -> None:
        """After workers have come or gone, make the parts of those that are gone on the others, and give some parts to
        new ones."""
        if monotonic() - parts.counted < _CHECK:
            return  # meanwhile Dask's own recovery is enough
        workers = self.workers()
        parts.counted = monotonic()
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

    def total(self, work: Work, parts: Placed, shared: object = None) -> Total:
        with self._dask_errors():
            self._rebalance(parts)
            payload = self._sent(work)
            tasks = []
            for address, groups in self._groups(parts).items():
                where: dict[str, object] = {"workers": [address], "allow_other_workers": True} if address else {}
                held = [[parts.futures[number] for number in numbers] for numbers in groups]
                alike = [[each] * len(groups) for each in (payload, shared, len(parts.futures))]
                tasks += self.client.map(_sum_parts, *alike, groups, held, pure=False, **where)
            return self._merged(tasks)

    def total_of(self, work: Work, lazy: Sequence[DaskObject]) -> Total:
        """Return what `total` does over Dask's delayed objects, which are released as soon as they are summed."""
        from dask import delayed

        with self._dask_errors():
            payload = self._sent(work)
            looked = delayed(_sum_parts, pure=False)
            tasks = self.client.compute(
                [looked(payload, None, len(lazy), [number], [part]) for number, part in enumerate(lazy)]
            )
            with _partition_errors(tasks):
                return self._merged(tasks)

    def _sent(self, work: Work) -> bytes | DaskObject:
        import cloudpickle

        payload = cloudpickle.dumps(work)
        return payload if len(payload) <= _SMALL_BYTES else self.broadcast(payload)

    def _groups(self, parts: Placed) -> dict[str, list[list[int]]]:
        """Return, by the address of each worker, the numbers of the parts that each of its threads sums, with about
        equally many rows for each."""
        groups = {}
        for address in sorted(set(parts.homes)):
            numbers = [number for number, home in enumerate(parts.homes) if home == address]
            rows = parts.rows[numbers]
            middle = (np.cumsum(rows) - 0.5 * rows) / max(1, rows.sum())
            thread = (middle * parts.workers.get(address, 1)).astype(np.int64)
            groups[address] = [[numbers[i] for i in np.flatnonzero(thread == one)] for one in np.unique(thread)]
        return groups

    def _merged(self, tasks: list[DaskObject]) -> Total:
        """Return the sum of the results of tasks. Workers merge them until few are left, and those are merged here."""
        while len(tasks) > _FAN_IN:
            some = [tasks[i : i + _FAN_IN] for i in range(0, len(tasks), _FAN_IN)]
            tasks = self.client.map(merged, some, pure=False)
        return merged(self._await(lambda: self._fetched(tasks))).total

    def _fetched(self, futures: list[DaskObject]) -> list[Sums]:
        """Return the results once all are there. Raises TimeoutError before, or where they are lost with a worker."""
        self._all_done(futures)
        fetch = partial(self.client.gather, futures, asynchronous=True)
        found: list[Sums] = self.client.sync(fetch, callback_timeout=max(_FETCH, self.patience))
        return found

    def _all_done(self, futures: list[DaskObject]) -> None:
        with self.client.as_current():
            dask_needed().wait(futures, timeout=_CHECK)
        for future in futures:
            if future.status != "finished":
                future.result()  # raises what the task raised

    def _await(self, ask: Callable[[], T]) -> T:
        """Return what ask returns. It is called again as long as it raises TimeoutError and there are workers."""
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
        """Remove workers that no longer report. A worker can be frozen, or its machine without network, while its
        connection is still open. The scheduler then gives its tasks to others."""
        longest = max(self.patience, _SILENT)
        if monotonic() - self._listened < min(longest, _SILENT) / 2.0:
            return
        self._listened = monotonic()

        # Defined here, so that it is sent as a whole: newtron need not be installed with the scheduler.
        async def remove(dask_scheduler: DaskObject = None) -> list[str]:
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
def _partition_errors(futures: list[DaskObject]) -> Iterator[None]:
    """Turn an error of a partition of a collection into a sentence with its number. futures: one for each partition, in
    order."""
    killed = dask_needed().scheduler.KilledWorker
    try:
        yield
    except (InputError, killed):
        raise
    except Exception as error:  # how its owner makes a partition may raise anything
        failed = next((number for number, future in enumerate(futures) if future.status == "error"), None)
        if failed is None:
            raise
        words = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"partition {failed} of the collection cannot be made: {words}") from error


@contextmanager
def _large_tasks() -> Iterator[None]:
    """Switch off Dask's advice to scatter what is large: scattered values are not made again when a worker dies."""
    import dask

    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
        yield


def _versions(version: str | None, python: str) -> str:
    """Return the versions that must be equal on all machines, because functions are sent: that of newtron, and the
    first two numbers of Python's."""
    return f"newtron {version or '(not installed)'} on Python {'.'.join(python.split('.')[:2])}"


# --- run by workers ---


def _itself(value: T) -> T:
    return value


def _sum_parts(payload: bytes, shared: object, n: int, numbers: list[int], parts: list[Part]) -> Sums:
    import pickle

    prepare_worker()
    work = pickle.loads(payload)
    with one_blas_thread():
        return summed(work, shared, zip(numbers, parts, strict=True), n)


@lru_cache(maxsize=1)
def prepare_worker() -> None:
    """Set the memory allocator, once in each process of a worker. By Dask's default glibc returns freed memory at once,
    which made passes over rows a quarter slower. The setting is that of the process and needs no environment
    variable."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _TRIM)
        mallopt(_M_MMAP_THRESHOLD, _MMAP)
