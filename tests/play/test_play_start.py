"""How the page begins: its server answers before the engine is there, and the first run is made meanwhile."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.page import answer_of

from newtron.play.server import HOST, Server
from newtron.play.session import DEFECT, FIRST_SETUP, Session
from newtron.table import read_table


def first(setup: Mapping[str, Any]) -> dict[str, Any]:
    return {"kind": "run", "setup": setup, "axes": None}


def refuse(given: dict[str, Any]) -> dict[str, Any]:
    raise AssertionError(f"computed although it was there: {given}")


@pytest.mark.slow
def test_the_server_is_there_before_the_engine() -> None:
    code = (
        "import sys, newtron.cli.play, newtron.play.server; print([m for m in ('numpy', 'scipy') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_first_run_is_made_before_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    session = Session()
    session.prepare()
    session._answers["run"] = refuse
    message = json.loads(json.dumps(first(FIRST_SETUP)))
    assert answer_of(session, message) == answer_of(Session(), message)
    other = first(FIRST_SETUP | {"start": {"seed": 1}})
    assert answer_of(session, other) == {"error": DEFECT}
    assert "computed although" in capsys.readouterr().err


def test_the_first_run_of_a_file_is_scaled_as_the_page_asks(tmp_path: Path) -> None:
    (tmp_path / "some.csv").write_text("a,b,y\n" + "".join(f"{i},{i * i % 7},{i % 3 + i}\n" for i in range(20)))
    session = Session()
    key = session.add("some.csv", read_table(tmp_path / "some.csv"), "b", first=True)
    session.prepare()
    session._answers["run"] = refuse
    setup = FIRST_SETUP | {
        "data": {"source": key, "target": "b"},
        "model": FIRST_SETUP["model"] | {"scale": True},
    }
    assert answer_of(session, first(setup))["problem"]["target"] == "b"


@pytest.mark.slow
def test_the_page_is_served_while_the_session_is_being_made() -> None:
    go_on = threading.Event()

    def late() -> Session:
        assert go_on.wait(30)
        return Session()

    server = Server(late)
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    try:
        connection = http.client.HTTPConnection(HOST, server.server_port, timeout=30)
        connection.request("GET", "/")
        assert b"page.js" in connection.getresponse().read()
        connection.request("POST", "/api/ask", b'{"kind": "hello"}', {"X-Newtron-Token": server.token})
        go_on.set()
        assert "examples" in json.loads(connection.getresponse().read())
        connection.close()
    finally:
        go_on.set()
        server.closing.set()
        server.shutdown()
        server.server_close()
        serving.join()
