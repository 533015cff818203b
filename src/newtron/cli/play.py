"""`newtron play`: the server of the page, from its start to its end."""

from __future__ import annotations

import sys
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from newtron.engine.base.errors import InputError

if TYPE_CHECKING:
    from newtron.play.session import Session


# The lessons of the page (web/src/course/lessons.json), which --lesson counts.
LESSONS = 10


def run_play(
    data: str | None,
    target: str | None,
    port: int,
    lesson: str | None,
    no_browser: bool,
    encoding: str,
    sheet: str | None,
) -> int:
    """Run `newtron play` until Ctrl-C and return its exit code. data: a file, or None for the examples; target: None
    for the last column; lesson: the lesson that the page begins with, or its step as in "6/2"; None for the free
    mode."""
    from newtron.play.server import HOST, Server

    chosen = "" if lesson is None else f"&lesson={_place(lesson)}"
    if data is None and target is not None:
        raise InputError("--target needs a file: newtron play DATA --target COLUMN.")
    # The file is read before the server starts, so that an error in it is reported here.
    given = None if data is None else _opened_session(data, target, encoding, sheet)
    try:
        server = Server(lambda: _session(given), port)
    except OSError as error:
        raise InputError(f"--port {port} on {HOST} cannot be used: {error.strerror}; choose another.") from None
    url = server.url + chosen
    print(f"newtron play: {url}", flush=True)
    print("The page is on this machine only. Ctrl-C ends it.", file=sys.stderr, flush=True)
    if not no_browser:
        # On a thread: some browsers do not return before they are closed.
        threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print(file=sys.stderr)
    finally:
        server.closing.set()
        server.server_close()
    return 0


def _place(lesson: str) -> str:
    number, _, step = lesson.partition("/")
    if not (number.isascii() and number.isdigit() and 1 <= int(number) <= LESSONS):
        raise InputError(f"--lesson {lesson}: this must be a lesson from 1 to {LESSONS}, or its step as in 6/2.")
    if "/" in lesson and not (step.isascii() and step.isdigit() and 1 <= int(step) <= 99):
        raise InputError(f"--lesson {lesson}: a step is a number from 1, as in {number}/2.")
    return lesson


def _session(given: Session | None) -> Session:
    """The session of the page. Its imports and its first computation run while the browser starts."""
    from newtron.play.session import Session

    session = given or Session()
    session.prepare()
    return session


def _opened_session(data: str, target: str | None, encoding: str, sheet: str | None) -> Session:
    from newtron.play.datasets import from_table
    from newtron.play.session import Session
    from newtron.table import read_table

    session = Session()
    table = read_table(data, encoding=encoding, sheet=sheet)
    target = target or table.names[-1]
    from_table(table, target, None)  # raises the errors of this table and target now
    session.add(Path(table.path).name, table, target, first=True)
    return session
