"""The first Ctrl-C stops training and keeps the model so far, a second one ends at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Self

from newtron.engine.base.threads import is_waiting

_FIRST = b"newtron: stopping at the next step; Ctrl-C again ends at once and keeps nothing.\n"
_SECOND = b"\nnewtron: ended at once; nothing was written.\n"
_SHOW_CURSOR = b"\x1b[?25h"


class Interrupts:
    """While this context is open, Ctrl-C only sets a flag, which training reads between two steps.

    No exception is raised at an arbitrary place: `asked` becomes true, and the callback of a fit raises
    KeyboardInterrupt in its own thread, or `interruptible` does while it waits for a library. Before there is anything
    to keep (`keeping` is False), Ctrl-C is Python's own; while the model is written (`writing`), it waits for the
    milliseconds that this takes. A second Ctrl-C ends at once: the process, where it is the command's own
    (`own_process`), else the call, by KeyboardInterrupt.
    """

    def __init__(self, *, own_process: bool) -> None:
        self._own_process, self._abandoned = own_process, False
        self.asked = False
        self.keeping = False
        self.writing = False
        self.announce = True
        self._before: Callable[[int, FrameType | None], object] | int | None = None
        self._installed = False

    def __enter__(self) -> Self:
        self._before = signal.getsignal(signal.SIGINT)
        # Where somebody chose to ignore Ctrl-C (a job in the background), it stays ignored.
        main = threading.current_thread() is threading.main_thread()
        self._installed = main and self._before is not signal.SIG_IGN
        if self._installed:
            signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, self._before)
        if self._abandoned:  # training takes any interruption for one that keeps the best so far
            raise KeyboardInterrupt("interrupted twice; nothing was kept.") from None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self.writing:
            return
        if not self.keeping:
            raise KeyboardInterrupt("interrupted before there was a model; nothing was written.")
        if self.asked and not self._own_process:
            self._abandoned = True
            raise KeyboardInterrupt
        if self.asked:
            # Threads may be deep in a long step; nothing is open that could be left half-written.
            os.write(2, (_SHOW_CURSOR if sys.stderr.isatty() else b"") + _SECOND)
            os._exit(130)
        self.asked = True
        if self.announce:
            os.write(2, _FIRST)
        if is_waiting():  # a long computation without steps can only be given up
            raise KeyboardInterrupt

    def check(self) -> None:
        """Called by training after each step."""
        if self.asked:
            raise KeyboardInterrupt
