"""The command in a process of its own, without importing its packages each time.

A server that has imported them forks one process for each command; `as_program` makes that a program for shells. What
begins with the start of Python, such as its variables, limits of memory or closed streams, is tested by subprocess.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from functools import cache
from importlib import import_module
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROOMS = ("engine", "table", "inference", "explain", "training", "model", "model_file", "estimators", "study", "cli")
MOST = 1 << 18  # bytes of a request

# A program that has the server run the command with its own streams, folder and environment.
PROGRAM = """#!{python} -IS
import json, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
request = {{"cwd": os.getcwd(), "environment": dict(os.environ), "words": sys.argv[1:]}}
socket.send_fds(server, [json.dumps(request).encode()], [0, 1, 2])
sys.exit(int(server.recv(64)))
"""


def serve(address: str) -> None:
    """Until standard input ends."""
    for room in ROOMS:
        package = import_module(f"newtron.{room}")
        for each in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            import_module(each.name)
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        while True:
            ready, _, _ = select.select([listening, sys.stdin], [], [], 0.2)
            if sys.stdin in ready:
                return
            if listening in ready:
                asked, _ = listening.accept()
                if not os.fork():
                    listening.close()
                    answer(asked)
                asked.close()
            while ended():
                pass


def ended() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG) != (0, 0)
    except ChildProcessError:
        return False


def answer(asked: socket.socket) -> None:
    """In a process of its own: the command in one more, and its exit code."""
    text, files, _, _ = socket.recv_fds(asked, MOST, 3)
    child = os.fork()
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        asked.send(str(code).encode())
        os._exit(0)
    asked.close()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    # How a stream is written, such as to a pipe, is known from its opening.
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    request = json.loads(text)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["newtron", *request["words"]]
    runpy.run_module("newtron", run_name="__main__", alter_sys=True)
    raise SystemExit(0)


@cache
def _address() -> str:
    """Of the server of this process, which is started by the first command."""
    folder = tempfile.TemporaryDirectory()
    address = os.path.join(folder.name, "newtron")
    path = os.pathsep.join(filter(None, [str(TESTS.parent / "src"), str(TESTS), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "support.command", address]
    server = subprocess.Popen(words, stdin=subprocess.PIPE, env=environment, start_new_session=True)

    def end() -> None:
        server.communicate(timeout=10)
        folder.cleanup()

    atexit.register(end)
    while not os.path.exists(address):
        assert server.poll() is None, "the server of commands has ended"
        time.sleep(0.05)
    return address


def command(
    *words: object, cwd: Path | str | None = None, env: dict[str, str] | None = None, input: str = ""
) -> subprocess.CompletedProcess[str]:
    """`newtron` with these words: what it wrote and its exit code."""
    typed = list(map(str, words))
    request = {"cwd": str(cwd or os.getcwd()), "environment": dict(env or os.environ), "words": typed}
    with (
        socket.socket(socket.AF_UNIX) as server,
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as errors,
    ):
        given.write(input.encode())
        given.seek(0)
        server.settimeout(300)
        server.connect(_address())
        socket.send_fds(server, [json.dumps(request).encode()], [file.fileno() for file in (given, out, errors)])
        code = int(server.recv(64))
        said = []
        for file in (out, errors):
            file.seek(0)
            said.append(file.read().decode("utf-8"))
    return subprocess.CompletedProcess(["newtron", *typed], code, said[0], said[1])


def as_program(path: Path) -> Path:
    """`newtron` as a program at this path, for shells."""
    path.write_text(PROGRAM.format(python=sys.executable, address=_address()), encoding="utf-8")
    path.chmod(0o755)
    return path


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    serve(sys.argv[1])
