"""The command line: `newtron fit`, `newtron predict`, `newtron explain`, `newtron show`, `newtron play`.

Results go to standard output, everything else to standard error. What a user can mend is one sentence and
exit code 2. Heavy packages are imported by the commands, so that help and mistyped options answer at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

from newtron.cli.imports import spare_imports
from newtron.cli.parser import parse
from newtron.errors import InputError

BAD_INPUT, INTERRUPTED, BROKEN_PIPE = 2, 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; ends by SystemExit where only help was asked for."""
    if sys.stdout is None or sys.stderr is None:  # closed by the shell, as in `>&-`
        nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A terminal or file that cannot show ± gets an escape in its place, not a crash.
            stream.reconfigure(errors="backslashreplace")
    try:
        options = parse(sys.argv[1:] if arguments is None else list(arguments))
        if options.command is None:
            return 0
        if arguments is None:  # the command itself, not a program that calls it
            spare_imports()
        code = import_module(f"newtron.cli.{options.command}").run(options)
        sys.stdout.flush()
        return int(code)
    except InputError as error:
        return _stop(str(error), BAD_INPUT)
    except KeyboardInterrupt as interrupt:
        return _stop(str(interrupt) or "interrupted.", INTERRUPTED)
    except BrokenPipeError:
        _abandon_output()  # whoever read it has seen enough
        return BROKEN_PIPE
    except MemoryError:
        return _stop("there is not enough memory; use fewer rows, columns or units.", BAD_INPUT)
    except OSError as error:
        _abandon_output()
        place = f"{error.filename}: " if error.filename else ""
        return _stop(f"{place}{error.strerror or error}; free space or choose another place.", BAD_INPUT)


def _abandon_output() -> None:
    """What is left in the buffer cannot be written: without this, Python would complain when it closes the
    stream."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _stop(sentence: str, code: int) -> int:
    from newtron.words import clean

    print(f"newtron: {clean(sentence)}", file=sys.stderr)
    return code
