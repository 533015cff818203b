"""SIGTERM and SIGHUP end the command at once, and leave nothing half-written."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress

from newtron.engine.base.scratch import remove_all

# The signals by which a process is asked to end: by a system that shuts down or a queue of jobs, and by a terminal that
# is closed.
_ENDS = ("SIGTERM", "SIGHUP")


def end_on_signals() -> None:
    """From now on SIGTERM and SIGHUP end the process at once, whatever it computes, and leave nothing half-written.
    Where somebody chose to ignore one of them, it stays ignored."""
    ends = [getattr(signal, name) for name in _ENDS if hasattr(signal, name)]
    ends = [number for number in ends if signal.getsignal(number) is signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread() or not ends or sys.platform == "win32":
        return
    # A handler would wait for the end of a long computation; the system writes the number here at once.
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in ends:
        signal.signal(number, lambda *_: None)
    threading.Thread(target=_listen, args=(reading, ends), daemon=True).start()


def _listen(reading: int, ends: list[int]) -> None:
    while (number := os.read(reading, 1)[0]) not in ends:
        pass
    remove_all()
    name = signal.Signals(number).name
    with suppress(OSError):
        os.write(2, f"newtron: ended by {name} before it was done.\n".encode())
    os._exit(128 + number)
