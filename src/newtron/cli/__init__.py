"""The command line: `newtron fit`, `newtron predict`, `newtron explain`, `newtron show`, `newtron play`,
`newtron export`.

Results go to standard output, everything else to standard error. An error that a user can mend is one sentence, and
the exit code is 2. Heavy packages are imported by the commands, so that help and mistyped options answer at once.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, TextIO

from newtron.cli.parser import parse
from newtron.engine.base.errors import InputError
from newtron.engine.base.words import clean, told_at

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

BAD_INPUT, INTERRUPTED, BROKEN_PIPE = 2, 130, 141
# The function that runs each command: its module and its name.
_COMMANDS = {
    "fit": ("newtron.cli.fit", "run_fit"),
    "predict": ("newtron.cli.predict", "run_predict"),
    "explain": ("newtron.cli.explain", "run_explain"),
    "show": ("newtron.cli.show", "run_show"),
    "play": ("newtron.cli.play", "run_play"),
    "export": ("newtron.cli.export", "run_export"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; ends by SystemExit where only help was asked for."""
    if sys.stdout is None or sys.stderr is None:  # closed by the shell, as in `>&-`
        nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
    if arguments is None:  # the command itself, not a program that calls it
        sys.stdout, sys.stderr = _complete(sys.stdout), _tolerant(sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A terminal or file that cannot show ± gets an escape in its place, not a crash.
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            typed = parse(sys.argv[1:] if arguments is None else list(arguments))
        finally:  # the help, if that was asked for
            _finish(sys.stdout)
        if typed is None:
            return 0
        if arguments is None:
            _prepare_process()
        command, given = typed
        module, function = _COMMANDS[command]
        with told_at("command"):
            code = getattr(import_module(module), function)(**given)
        _finish(sys.stdout)
        return int(code)
    except InputError as error:
        return _stop(str(error), BAD_INPUT)
    except KeyboardInterrupt as interrupt:
        return _stop(str(interrupt) or "interrupted.", INTERRUPTED)
    except BrokenPipeError:
        _abandon_output()  # the reader of the pipe, such as head, has ended
        return BROKEN_PIPE
    except MemoryError:
        return _stop("there is not enough memory; use fewer rows, columns or units.", BAD_INPUT)
    except OSError as error:
        _abandon_output()
        place = f"{error.filename}: " if error.filename else ""
        return _stop(f"{place}{error.strerror or error}; free space or choose another place.", BAD_INPUT)


def _prepare_process() -> None:
    """What is done only in a process of the command's own: signals end it at once, and packages that no command uses
    are not imported."""
    from newtron.cli.imports import spare_imports
    from newtron.cli.signals import end_on_signals

    spare_imports()
    end_on_signals()


def _complete(stream: TextIO) -> TextIO:
    """A stream that writes everything or raises OSError. A stream without a buffer (PYTHONUNBUFFERED) may write a part
    and say nothing where a disk is full."""
    raw = getattr(stream, "buffer", None)
    if not isinstance(raw, io.RawIOBase):
        return stream
    return io.TextIOWrapper(io.BufferedWriter(raw), stream.encoding, line_buffering=True)


class _Log(io.FileIO):
    """The file behind standard error. Where it cannot be written any more, lines are lost and the work goes on."""

    def write(self, data: ReadableBuffer) -> int:
        try:
            return super().write(data) or 0
        except OSError:
            return memoryview(data).nbytes


def _tolerant(stream: TextIO) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(_Log(stream.fileno(), "w", closefd=False)), stream.encoding, line_buffering=True
    )


def _finish(stream: TextIO) -> None:
    """Write what is in the buffers. A network disk may report only when a file is closed that it is full."""
    stream.flush()
    with suppress(io.UnsupportedOperation, AttributeError):
        os.close(os.dup(stream.fileno()))


def _abandon_output() -> None:
    """Where standard output is what failed, send what is left in its buffer to nowhere: Python would report an error
    when it closes the stream."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _stop(sentence: str, code: int) -> int:
    print(f"newtron: {clean(sentence)}", file=sys.stderr)
    return code
