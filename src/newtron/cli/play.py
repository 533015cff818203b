"""`newtron play`: the page."""

from __future__ import annotations

import argparse
import sys
import webbrowser
from pathlib import Path
from typing import Any

from newtron.errors import InputError


def run(options: argparse.Namespace) -> int:
    """Serves until Ctrl-C; returns the exit code."""
    from newtron.play.server import HOST, Server
    from newtron.play.session import Session

    session = Session()
    if options.data is not None:
        _open(session, options)
    elif options.target is not None:
        raise InputError("--target needs a file: newtron play DATA --target COLUMN.")
    try:
        server = Server(session, options.port)
    except OSError as error:
        raise InputError(f"--port {options.port} on {HOST} cannot be used: {error.strerror}; choose another.") from None
    print(f"newtron play: {server.url}", flush=True)
    print("The page is on this machine only. Ctrl-C ends it.", file=sys.stderr, flush=True)
    if not options.no_browser:
        webbrowser.open(server.url)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        print(file=sys.stderr)
    finally:
        server.closing.set()
        server.server_close()
    return 0


def _open(session: Any, options: argparse.Namespace) -> None:
    from newtron.play.datasets import from_table
    from newtron.table import read_table

    table = read_table(options.data, encoding=options.encoding)
    target = options.target or table.names[-1]
    from_table(table, target, None)  # says at once what is wrong with it
    session.add(Path(options.data).name, table, target, first=True)
