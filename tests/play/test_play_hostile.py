"""The page and whatever is sent to it: every message is answered by a sentence, and nobody can hold the server up."""

from __future__ import annotations

import copy
import json
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from support.page import answer_of, file_answer

from newtron.engine.base.checks import check_count, check_number
from newtron.play import Session, server, session
from newtron.play.pictures import window
from newtron.play.server import HOST, MOST_CONNECTIONS, Server
from newtron.play.session import DEFECT, FIRST_SETUP, as_json

HUGE = 10**400


def asked(kind: str, **changes: Any) -> dict[str, Any]:
    setup = copy.deepcopy(FIRST_SETUP)
    message = {
        "kind": kind,
        "setup": setup,
        "params": [0.1, 0.2, 0.3],
        "index": 0,
        "pair": [0, 1],
        "window": [-1, 1],
        "windows": [[-1, 1], [-1, 1]],
        "row": 0,
        "notation": "lecture",
        "method": {"solver": "newton"},
        "state": {},
    }
    for where, value in changes.items():
        *way, last = where.split("__")
        inner: Any = message
        for step in way:
            inner = inner[int(step) if step.isdigit() else step]
        inner[int(last) if last.isdigit() else last] = value
    return message


# What a message holds, and the word that its answer names.
SENSELESS: list[tuple[dict[str, Any], str]] = [
    (asked("run", setup__model__alpha=HUGE), "alpha"),
    (asked("run", setup__model__alpha=-HUGE), "alpha"),
    (asked("run", setup__methods=[{"solver": "gradient-descent", "rate": HUGE}]), "rate"),
    (asked("run", setup__methods=[{"solver": "gradient-descent", "momentum": HUGE}]), "momentum"),
    (asked("run", setup__methods=[{"solver": "levenberg-marquardt", "damping": HUGE}]), "damping"),
    (asked("run", setup__methods=[{"solver": "newton", "steps": HUGE}]), "steps"),
    (asked("run", setup__model__hidden=[HUGE]), "hidden"),
    (asked("run", setup__start={"seed": HUGE}), "seed"),
    (asked("run", axes=[HUGE, 0]), "axes"),
    (asked("profile", window=[0, HUGE]), "window"),
    (asked("profile", window=[0, "1"]), "window"),
    (asked("profile", index=HUGE), "index"),
    (asked("surface", windows=[[-HUGE, 1], [-1, 1]]), "window"),
    (asked("bowl", windows=[[-1, 1], [1, HUGE]]), "window"),
    (asked("derivation", row=HUGE), "row"),
    (asked("derivation", params=[HUGE, 0, 0]), "params"),
    (asked("export", state={"x": float("nan")}), "state"),
    (asked("export", state={"x": "\ud800"}), "state"),
    (asked("export", state={"\ud800": 1}), "state"),
    (asked("\ud800"), "kind"),
    (asked("run", setup__data={"source": "\ud800"}), "data"),
    (asked("run", setup__data={"source": "file:\ud800"}), "no longer open"),
]


@pytest.mark.parametrize(("message", "word"), SENSELESS, ids=[f"{m['kind']!r}-{w}" for m, w in SENSELESS])
def test_a_senseless_message_is_answered_by_a_sentence(
    message: dict[str, Any], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = answer_of(Session(), message)
    assert word in answer["error"]
    assert len(answer["error"]) < 300
    as_json(answer).encode("utf-8")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("kind", ["surface", "bowl", "profile", "check", "derivation"])
def test_windows_and_points_beyond_all_arithmetic_are_answered(kind: str) -> None:
    message = asked(kind, windows=[[-1e308, 1e308], [-2, 3]], window=[-1e308, 1e308], params=[1e300, -1e300, 1e308])
    answer = answer_of(Session(), message)
    json.loads(as_json(answer), parse_constant=pytest.fail)
    assert answer.get("error") != DEFECT


def test_a_message_that_is_nested_deeply_is_answered() -> None:
    state: Any = 1
    for _ in range(100_000):
        state = [state]
    asking = Session()
    asking.prepare()
    assert "nested" in answer_of(asking, asked("export", state=state))["error"]
    while isinstance(state, list):  # taken apart here: Python itself takes deep lists apart by recursion
        state = state[0]


def test_a_defect_is_told_and_the_next_question_answered(capsys: pytest.CaptureFixture[str]) -> None:
    asking = Session()

    def broken(given: dict[str, Any]) -> dict[str, Any]:
        raise ZeroDivisionError("on purpose")

    asking._answers["check"] = broken
    assert answer_of(asking, {"kind": "check"}) == {"error": DEFECT}
    assert "ZeroDivisionError: on purpose" in capsys.readouterr().err
    assert "examples" in answer_of(asking, {"kind": "hello"})


def test_text_that_utf8_cannot_hold_is_answered() -> None:
    assert json.loads(as_json({"a\ud800": ["b\udfff", float("inf")]})) == {"a?": ["b?", None]}


@pytest.mark.slow
@pytest.mark.parametrize("value", [HUGE, -HUGE, 10**5000, float("nan"), "x" * 5000], ids=lambda value: type(value))
def test_settings_of_any_size_are_refused_in_a_sentence(value: Any) -> None:
    with pytest.raises(ValueError, match=r"alpha=.* must be a finite number") as caught:
        check_number("alpha", value, least=0.0)
    assert len(str(caught.value)) < 200
    with pytest.raises(ValueError, match="must be a whole number"):
        check_count("steps", -value if isinstance(value, int) and value > 0 else value)


@pytest.mark.parametrize("value", [0.0, 5.0, -1e17, 1e100, 1e308])
def test_a_window_is_never_empty(value: float) -> None:
    low, high = window(np.array([value, value]))
    assert low < high


def test_opened_files_are_given_up_for_later_ones() -> None:
    asking = Session()
    first = file_answer(asking, "first.csv", b"a,y\n1,2\n3,4\n5,7\n")["file"]["key"]
    keys = [file_answer(asking, f"{i}.csv", b"a,y\n1,2\n3,4\n5,7\n")["file"]["key"] for i in range(session._KEPT_FILES)]
    assert len({first, *keys}) == len(keys) + 1
    assert [file["key"] for file in answer_of(asking, {"kind": "hello"})["files"]] == keys
    data = {"source": first, "target": "y"}
    assert "no longer open" in answer_of(asking, asked("run", setup__data=data))["error"]
    assert "error" not in answer_of(asking, asked("run", setup__data=data | {"source": keys[0]}))


@pytest.mark.parametrize("chosen", [{"target": "x" * 5000}, {"inputs": ["x" * 5000]}, {"inputs": ["\ud800"]}])
def test_columns_that_a_file_has_not_are_answered_by_a_sentence(chosen: dict[str, Any]) -> None:
    asking = Session()
    key = file_answer(asking, "t.csv", b"a,y\n1,2\n3,4\n5,7\n")["file"]["key"]
    answer = answer_of(asking, asked("run", setup__data={"source": key, **chosen}))
    assert "column" in answer["error"]
    assert len(answer["error"]) < 300
    as_json(answer).encode("utf-8")


def test_opened_files_are_given_up_by_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_KEPT_BYTES", 100)
    asking = Session()
    for name in ("a.csv", "b.csv", "c.csv"):
        assert file_answer(asking, name, b"a,y\n1,2\n3,4\n5,7\n")["file"]["name"] == name
    assert [file["name"] for file in answer_of(asking, {"kind": "hello"})["files"]] == ["b.csv", "c.csv"]


# --- the server ---


@pytest.fixture
def running() -> Iterator[Server]:
    found = Server(Session())
    thread = threading.Thread(target=found.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield found
    found.closing.set()
    found.shutdown()
    found.server_close()
    thread.join()


def sent(running: Server, data: bytes, *, ends: bool = False) -> bytes:
    """What comes back, until the server closes the connection."""
    with socket.create_connection((HOST, running.server_port), timeout=20) as connection:
        connection.sendall(data)
        if ends:
            connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def head(running: Server, line: str, *lines: str, token: bool = True, host: bool = True) -> bytes:
    lines = (f"Host: {HOST}:{running.server_port}",) * host + lines
    lines += (f"X-Newtron-Token: {running.token}",) * token + ("Connection: close",)
    return "\r\n".join([line, *lines, "", ""]).encode("latin-1")


ASK = "POST /api/ask HTTP/1.1"


@pytest.mark.parametrize("target", ["http://[bad/", "http://[::1/", "//[bad/", "*", "http://evil.example/", "/[", "a"])
def test_an_address_that_is_none_is_answered(running: Server, target: str, capsys: pytest.CaptureFixture[str]) -> None:
    for method in ("GET", "POST"):
        answer = sent(
            running, head(running, f"{method} {target} HTTP/1.1", "Content-Length: 0", token=method == "POST")
        )
        assert answer.startswith(b"HTTP/1.1 404")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("length", ["9" * 30, "9" * 400, "9" * 5000, "9" * 15])
def test_a_length_beyond_all_measure_is_too_large(running: Server, length: str) -> None:
    answer = sent(running, head(running, ASK, f"Content-Length: {length}"))
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"the page takes up to 8 MB" in answer


def test_a_length_may_begin_with_noughts(running: Server) -> None:
    answer = sent(running, head(running, ASK, f"Content-Length: {'0' * 30}16") + b'{"kind":"hello"}')
    assert answer.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("lines", [("Transfer-Encoding: chunked",), ("Content-Length: 5",), ("Host: evil.example",)])
def test_what_could_be_read_in_two_ways_is_refused(running: Server, lines: tuple[str, ...]) -> None:
    answer = sent(running, head(running, ASK, "Content-Length: 16", *lines) + b'{"kind":"hello"}')
    assert answer.startswith(b"HTTP/1.1 400")


def test_a_body_of_a_get_is_not_the_next_request(running: Server) -> None:
    first = head(running, "GET / HTTP/1.1", "Content-Length: 20").replace(b"Connection: close\r\n", b"")
    answer = sent(running, first + head(running, "GET /page.css HTTP/1.1"))
    assert len(re.findall(rb"HTTP/1.1 200", answer)) == 1


def test_a_body_that_breaks_off_is_not_taken_for_the_whole(running: Server) -> None:
    answer = sent(
        running, head(running, "POST /api/open?name=a.csv HTTP/1.1", "Content-Length: 99") + b"a,y\n1,2\n", ends=True
    )
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"broke off" in answer
    assert answer_of(running.session, {"kind": "hello"})["files"] == []


def test_numbers_that_are_no_json_are_refused(running: Server) -> None:
    body = b'{"kind":"hello","x":NaN}'
    answer = sent(running, head(running, ASK, f"Content-Length: {len(body)}") + body)
    assert b"not JSON" in answer


def test_a_defect_of_the_server_is_a_sentence(running: Server, capsys: pytest.CaptureFixture[str]) -> None:
    running._session = None  # as if it could not be made
    answer = sent(running, head(running, ASK, "Content-Length: 2") + b"{}")
    assert answer.startswith(b"HTTP/1.1 500")
    assert DEFECT.encode() in answer
    assert "the session could not be made" in capsys.readouterr().err


def test_connections_are_limited_and_free_again(running: Server) -> None:
    held = [socket.create_connection((HOST, running.server_port), timeout=20) for _ in range(MOST_CONNECTIONS)]
    held[-1].sendall(head(running, "GET / HTTP/1.1").replace(b"Connection: close\r\n", b""))
    assert held[-1].recv(65536).startswith(b"HTTP/1.1 200")  # all are taken in before the next one
    answer = sent(running, head(running, "GET / HTTP/1.1"))
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"close some of the page's tabs" in answer
    for connection in held:
        connection.close()
    for _ in range(100):
        if sent(running, head(running, "GET / HTTP/1.1")).startswith(b"HTTP/1.1 200"):
            break
    else:
        pytest.fail("closed connections are not free again")


@pytest.mark.slow
def test_who_sends_slowly_is_not_waited_for(running: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_HEAD_WITHIN", 0.3)
    with socket.create_connection((HOST, running.server_port), timeout=20) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        pause = threading.Event()
        for _ in range(200):
            if pause.wait(0.05):
                break
            try:
                connection.sendall(b"X")
            except ConnectionError:
                return  # closed, though every byte came in time
        pytest.fail("the connection is still open")
