"""The page over HTTP, for this machine alone, with the server of the standard library.

A request from another web page is refused before anything is computed: the server listens on 127.0.0.1 only; the Host
must be this server (against DNS rebinding); an Origin, where the browser sends one, must be this server's own; and
every question needs the token of this run, which is compared in constant time. A Content-Security-Policy lets the page
load nothing from elsewhere.

No client can block the server: the number of open connections is limited, and each must send its request within a time.
Every failure is answered by a sentence.
"""

from __future__ import annotations

import io
import json
import secrets
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import parse_qs, unquote

from newtron.play.export import FONTS, MODULE, STYLE, built

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from newtron.play.session import Session

HOST = "127.0.0.1"
# The largest message in bytes. A run that is saved as a page is one: with a network of three hidden units its
# derivations (22 steps of two methods, of one row and of all rows) have 2.5 million.
MOST_MESSAGE = 8 * 2**20
# Seconds between the bytes that tell a page that the server is running.
_PULSE = 5.0
# A browser opens up to six connections to a server, so this is enough for ten tabs. In seconds: the time for the head
# of a request to arrive, and then for its body.
MOST_CONNECTIONS = 64
_HEAD_WITHIN, _BODY_WITHIN = 60.0, 120.0
_MOST_DIGITS = 15  # a Content-Length with more digits is larger than any limit

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src data:; img-src 'self' data: "
    "blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_INDEX = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>newtron play</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/page.css">
<link rel="stylesheet" href="/fonts.css">
</head>
<body>
<main id="newtron"></main>
<noscript>This page needs JavaScript, which comes from this machine alone.</noscript>
<script type="module" src="/page.js"></script>
</body>
</html>
"""
_FILES: dict[str, tuple[str, Callable[[], str]]] = {
    "/": ("text/html", lambda: _INDEX),
    "/page.js": ("text/javascript", lambda: built(MODULE)),
    "/page.css": ("text/css", lambda: built(STYLE)),
    "/fonts.css": ("text/css", lambda: built(FONTS)),
}


# What the base class passes around: a connection here, and with UDP a packet too.
_Request = socket.socket | tuple[bytes, socket.socket]


class Server(ThreadingHTTPServer):
    """A running page. url: its address with the token; port 0 takes a free port.

    session: the session that answers, or a function that makes it. The function runs on a thread of its own while the
    browser starts and loads the page; questions wait for its result.
    """

    daemon_threads = True
    request_queue_size = MOST_CONNECTIONS

    def __init__(self, session: Session | Callable[[], Session], port: int = 0) -> None:
        super().__init__((HOST, port), _Handler)
        self.token, self.closing = secrets.token_urlsafe(24), threading.Event()
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)
        self._made, self._session = threading.Event(), None if callable(session) else session
        if callable(session):
            threading.Thread(target=self._make, args=(session,), daemon=True).start()
        else:
            self._made.set()

    def _make(self, session: Callable[[], Session]) -> None:
        try:
            self._session = session()
        finally:
            self._made.set()

    @property
    def session(self) -> Session:
        self._made.wait()
        if self._session is None:
            raise RuntimeError("the session could not be made; the reason stands on standard error")
        return self._session

    @property
    def origin(self) -> str:
        return f"http://{HOST}:{self.server_port}"

    @property
    def url(self) -> str:
        # The token stands in the fragment, which browsers send to no server and which no log contains.
        return f"{self.origin}/#token={self.token}"

    def process_request(self, request: _Request, client_address: object) -> None:
        """Starts a thread for a connection, or refuses the connection where too many are open."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
            return
        assert isinstance(request, socket.socket)
        with suppress(OSError):
            request.settimeout(0.1)
            request.recv(65536)  # unread bytes would make the system discard the answer when the connection is closed
            request.sendall(_BUSY)
        self.shutdown_request(request)

    def process_request_thread(self, request: _Request, client_address: object) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: _Request, client_address: object) -> None:
        """Ignores browsers that close a connection, and reports every other error."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def _error(sentence: str) -> bytes:
    return json.dumps({"error": sentence}).encode("utf-8")


_FULL = _error(f"More than {MOST_CONNECTIONS} connections are open: close some of the page's tabs.")
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json; charset=utf-8\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_FULL), _FULL)
)


class _Timed(io.RawIOBase):
    """The bytes of a connection, read until a deadline that can be moved; the timeout of a socket would start again
    with every byte."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self.until = connection, 0.0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        left = self.until - monotonic()
        if left <= 0.0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "newtron", ""
    timeout = 60

    def setup(self) -> None:
        super().setup()
        self._timed = _Timed(self.connection)
        self.rfile = io.BufferedReader(self._timed)

    def handle_one_request(self) -> None:
        self._timed.until, self._begun = monotonic() + _HEAD_WITHIN, False
        try:
            super().handle_one_request()
        except OSError:  # the browser has closed the connection, or is too slow
            raise
        except Exception:  # a defect of newtron: the browser waits for an answer in any case
            traceback.print_exc(file=sys.stderr)
            self.close_connection = True
            if not self._begun:
                from newtron.play.session import DEFECT

                self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, DEFECT)

    def log_message(self, format: str, *args: object) -> None:
        """Logs nothing, because the terminal belongs to the command."""

    # --- requests ---

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if self.headers.get("Content-Length", "0") != "0":
            self.close_connection = True  # nobody reads what follows
        if not self._is_ours():
            return
        if path == "/api/alive":
            if self._may_ask():
                self._pulse()
        elif path in _FILES:
            kind, text = _FILES[path]
            self._send(HTTPStatus.OK, text().encode("utf-8"), kind)
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "There is nothing here.")

    def do_POST(self) -> None:
        path, _, query = self.path.partition("?")
        if not (self._is_ours() and self._may_ask()):
            return
        if path == "/api/ask":
            content = self._body(MOST_MESSAGE, "message")
            if content is not None:
                self._answer(self._ask(content))
        elif path == "/api/open":
            from newtron.play.session import MOST_FILE

            content = self._body(MOST_FILE, "file")
            if content is not None:
                name = parse_qs(query).get("name", ["data.csv"])[0]
                self._answer(self._open(Path(unquote(name)).name or "data.csv", content))
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "There is nothing here.")

    def _is_ours(self) -> bool:
        """Whether the request names this server and comes from this server's own page."""
        if any(len(self.headers.get_all(name, ())) > 1 for name in ("Host", "Origin", "Content-Length")) or (
            "Transfer-Encoding" in self.headers
        ):
            self._refuse(HTTPStatus.BAD_REQUEST, "The request says something twice, or not how long it is.")
            return False
        origins = {self.server.origin, f"http://localhost:{self.server.server_port}"}
        hosts = {origin.removeprefix("http://") for origin in origins}
        origin = self.headers.get("Origin")
        if self.headers.get("Host") not in hosts:
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST, "This server answers to 127.0.0.1 only.")
            return False
        if origin is not None and origin not in origins:
            self._refuse(HTTPStatus.FORBIDDEN, "This server answers its own page only.")
            return False
        return True

    def _may_ask(self) -> bool:
        token = self.headers.get("X-Newtron-Token", "")
        if secrets.compare_digest(token.encode("utf-8", "replace"), self.server.token.encode()):
            return True
        self._refuse(HTTPStatus.FORBIDDEN, "The token of this run is missing: open the address that newtron printed.")
        return False

    def _body(self, most: int, what: str) -> bytes | None:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            self._refuse(HTTPStatus.LENGTH_REQUIRED, "The length of the request is missing.")
            return None
        size = int(length[-_MOST_DIGITS:]) if not length[:-_MOST_DIGITS].strip("0") else 10**_MOST_DIGITS
        if size > most:
            from newtron.play.session import too_large

            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_large(what, size, most))
            return None
        self._timed.until = monotonic() + _BODY_WITHIN
        content = self.rfile.read(size)
        if len(content) < size:
            self._refuse(HTTPStatus.BAD_REQUEST, f"The {what} broke off: send it again.")
            return None
        return content

    # --- answers ---

    def _ask(self, content: bytes) -> Mapping[str, object]:
        try:
            message = json.loads(content, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            return {"error": "The message is not JSON."}
        return self.server.session.ask(message)

    def _open(self, name: str, content: bytes) -> Mapping[str, object]:
        return self.server.session.open(name, content)

    def _answer(self, answer: Mapping[str, object]) -> None:
        from newtron.play.session import as_json

        self._send(HTTPStatus.OK, as_json(answer).encode("utf-8"), "application/json")

    def _refuse(self, status: HTTPStatus, sentence: str) -> None:
        # The unread rest of the request must not be read as the next request.
        self.close_connection = True
        self._send(status, _error(sentence), "application/json")

    def _send(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        self._head(status, kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _head(self, status: HTTPStatus, kind: str) -> None:
        self._begun = True
        self.connection.settimeout(self.timeout)
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Cache-Control", "no-store")
        if self.close_connection:
            self.send_header("Connection", "close")

    def _pulse(self) -> None:
        """An answer without end. When it breaks off, the page knows that the server has stopped."""
        self.close_connection = True
        self._head(HTTPStatus.OK, "text/plain")
        self.end_headers()
        while not self.server.closing.is_set():
            self.wfile.write(b".")
            self.wfile.flush()
            self.server.closing.wait(_PULSE)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
