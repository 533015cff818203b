"""Messages to the page's Python side, and requests to its server."""

from __future__ import annotations

import http.client
from typing import Any
from unittest.mock import patch

from newtron.play import Session
from newtron.play.server import HOST, Server

GD: dict[str, Any] = {"solver": "gradient-descent", "rate": 0.3, "momentum": 0.5, "steps": 12}
NEWTON: dict[str, Any] = {"solver": "newton", "damped": True, "steps": 8}


def setup(source: str = "xor", **changes: Any) -> dict[str, Any]:
    model = {"hidden": [3], "activation": "tanh", "loss": None, "intercept": True, "scale": False, "alpha": 0.1}
    return {
        "data": {"source": source},
        "model": model | changes.pop("model", {}),
        "start": {"seed": 1},
        "methods": [GD, NEWTON],
    } | changes


def answer_of(session: Session, message: object) -> Any:
    """An answer whose parts a test reads without a type for each."""
    return session.ask(message)


def file_answer(session: Session, name: str, content: bytes) -> Any:
    return session.open(name, content)


def session_of(model: Any, X: Any, y: Any) -> Session:
    """The session that `model.play(X, y)` shows as a widget."""
    with patch("newtron.play.of_model.widget", lambda session: session):
        found = model.play(X, y)
    assert isinstance(found, Session)
    return found


def request(
    server: Server, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(HOST, server.server_port, timeout=20)
    sent = {"X-Newtron-Token": server.token} | {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, {name: value for name, value in sent.items() if value})
    answer = connection.getresponse()
    found = answer.status, dict(answer.headers), answer.read()
    connection.close()
    return found
