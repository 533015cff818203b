"""Rows on a Dask cluster that exists, or on one that is started on this machine."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from newtron.cluster.dask import dask_needed
from newtron.cluster.rows import ClusterRows
from newtron.cluster.sums import ClusterLostError
from newtron.cluster.untyped import DaskObject
from newtron.engine.base.errors import InputError
from newtron.engine.base.scratch import Folder
from newtron.engine.base.threads import thread_count
from newtron.engine.base.words import count, setting
from newtron.study.data import StreamedData, check_piece_memory, streamed_data
from newtron.study.options import FitOptions
from newtron.study.progress import Reporter

# Seconds within which a scheduler must answer.
_ANSWER = 10.0


@contextmanager
def cluster_data(options: FitOptions, reporter: Reporter) -> Iterator[StreamedData]:
    """The rows on the cluster, for as long as the context is open. Where all workers are lost, the message says how to
    go on from `options.checkpoint`."""
    if options.report is not None:
        raise InputError(f"{setting('report')}: a report shows single rows, which are on the cluster: leave it out.")
    if options.more:
        raise InputError(f"{options.more[0]}: a cluster reads a folder or a pattern of Parquet files; give one.")
    check_piece_memory(options.memory)
    with connected(options.cluster or "", options.threads, options.scratch) as client:
        try:
            rows = ClusterRows(
                client,
                options.data,
                options.target,
                task=options.task,
                ignore=options.ignore,
                choices=options.choices,
                memory=options.memory,
            )
            workers = rows.workers()
            reporter.say(
                f"cluster: {count(len(workers), 'worker')}, {count(sum(workers.values()), 'thread')}, "
                f"{count(rows.n_rows, 'row')} in {count(len(rows.source.sizes), 'part')}"
            )
            how = f"The rows were summed on a cluster of {count(len(workers), 'worker')}"
            yield streamed_data(rows, how, reporter)
        except ClusterLostError as lost:
            then = f"start workers and give the same command again, which goes on from {options.checkpoint}.*"
            raise ClusterLostError(lost.why, then) from None


@contextmanager
def connected(address: str, threads: int | None, scratch: str | None) -> Iterator[DaskObject]:
    """A client of the scheduler at this address; without one, of workers with one thread each on this machine."""
    distributed = dask_needed()
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # an error of the cluster becomes one sentence
    with ExitStack() as stack:
        if address:
            from distributed.comm import get_address_host_port

            try:
                # A plain connection comes first: a client without an answer logs an error when it is deleted.
                socket.create_connection(get_address_host_port(address), timeout=_ANSWER).close()
                client = distributed.Client(address, timeout=_ANSWER, set_as_default=False)
            except (OSError, ValueError, TimeoutError):
                raise InputError(
                    f"{setting('cluster', repr(address))}: no Dask scheduler answers there; give the address that it "
                    "printed, such as tcp://host:8786."
                ) from None
        else:
            held = Folder(scratch)
            stack.callback(held.cleanup)
            with _interrupts_ignored():
                cluster = distributed.LocalCluster(
                    n_workers=thread_count(threads),
                    threads_per_worker=1,
                    dashboard_address=None,
                    scheduler_kwargs={
                        "dashboard_address": ":0"
                    },  # its default port may be taken, even without a dashboard
                    local_directory=held.name,
                    silence_logs=logging.CRITICAL,
                )
            client = distributed.Client(stack.enter_context(cluster), set_as_default=False)
        yield stack.enter_context(client)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Processes that are started here ignore Ctrl-C, which a terminal sends to all of its processes: the workers must
    go on until training has ended. A process that ignores a signal when it starts keeps ignoring it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
