"""The documentation is true: its Python and its commands run, and commands name options that exist."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support.command import as_program
from support.command import command as newtron

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = [pytest.param(path, id=path.relative_to(ROOT).as_posix()) for path in (README, *sorted(DOCS.rglob("*.md")))]
FENCED = re.compile(r"^(?P<indent> *)```(?P<language>\w*)[^\n]*\n(?P<body>.*?)^(?P=indent)``` *$", re.M | re.S)
SEPARATORS = {"|", "||", "&", "&&", ";", ">", ">>", "<"}


class Block(NamedTuple):
    text: str
    line: int  # of its first line in the page


def blocks(page: str, language: str) -> list[Block]:
    return [
        Block(textwrap.dedent(match["body"]), page[: match.start("body")].count("\n") + 1)
        for match in FENCED.finditer(page)
        if match["language"] == language
    ]


def commands(page: str) -> list[list[str]]:
    """The words after `newtron` of each command at a prompt, up to a pipe or a redirection."""
    found = []
    for block in blocks(page, "console"):
        for line in block.text.replace("\\\n", " ").splitlines():
            if line.startswith("$ newtron "):
                lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
                lexer.whitespace_split = True
                words = list(lexer)[2:]
                end = next((i for i, word in enumerate(words) if word in SEPARATORS), len(words))
                found.append(words[:end])
    return found


def options(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--?[A-Za-z][\w-]*", text))


@cache
def help_text(*command: str) -> str:
    # A wide terminal, so that no option is broken across two lines.
    run = newtron(*command, "--help", env={**os.environ, "COLUMNS": "200"})
    assert run.returncode == 0, f"newtron {' '.join(command)} --help: {run.stderr}"
    return run.stdout


@pytest.mark.slow
@pytest.mark.parametrize("path", PAGES)
def test_a_page_does_what_it_says(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its Python and its commands, in their order, in a folder with the examples: as a new user goes through it."""
    page = path.read_text(encoding="utf-8")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    every = [(block.line, language, block) for language in ("python", "console") for block in blocks(page, language)]
    with Shell(tmp_path) as shell:
        for line, language, block in sorted(every):
            if language == "console":
                for command in typed(block):
                    shell.run(command)
            elif "__main__" in block.text:  # a program of its own, as the page says
                (tmp_path / "program.py").write_text(block.text, encoding="utf-8")
                shell.run("python program.py")
            else:
                # Blank lines before the block, so that a traceback names the line of the page.
                exec(compile("\n" * (line - 1) + block.text, str(path), "exec"), namespace)


def typed(block: Block) -> list[str]:
    """What is typed at a prompt, command by command."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [command.strip() for line in lines if line.startswith("$ ") for command in line[2:].split("&&")]


class Shell:
    """A terminal in a folder, where `newtron`, `dask` and `python` are those of this interpreter."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.started, self.told = folder, list[subprocess.Popen[bytes]](), folder / "scheduler.json"
        tools = folder / "bin"
        tools.mkdir()
        as_program(tools / "newtron")
        for name, rest in (("dask", "-m dask"), ("python", "")):
            (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {rest} "$@"\n', encoding="utf-8")
            (tools / name).chmod(0o755)
        path = f"{tools}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}

    def __enter__(self) -> Shell:
        return self

    def __exit__(self, *_: object) -> None:
        for server in self.started:
            server.terminate()
        for server in self.started:
            server.wait(30)

    def run(self, command: str) -> None:
        words = shlex.split(command, comments=True)
        if words[0] == "cd":  # into the source, with tools that a user need not have
            assert (ROOT / words[1]).is_dir(), command
        elif words[0] == "npm":
            known = json.loads((ROOT / "web" / "package.json").read_text(encoding="utf-8"))["scripts"]
            assert words[1] == "ci" or words[2] in known, command
        elif "pip" in words:
            installed(words)
        elif words[0].startswith("scripts/"):  # takes an hour, and is of the repository
            assert os.access(ROOT / words[0], os.X_OK), command
            text = (ROOT / words[0]).read_text(encoding="utf-8")
            program = re.search(r"benchmarks/\w+[.]py|-m fuzzing", text)
            told = {"-m fuzzing": "tests/fuzzing/__main__.py"}
            known = text if program is None else (ROOT / told.get(program[0], program[0])).read_text(encoding="utf-8")
            assert all(f'"{word}"' in known for word in words if word.startswith("--")), command
        elif words[:2] == ["newtron", "play"]:
            self.play(words)
        elif words[0] == "dask":
            self.dask(words)
        else:
            words = [self.address() if word == "tcp://first:8786" else word for word in words]
            words = [word.removeprefix("/shared/") for word in words]
            done = subprocess.run(words, cwd=self.folder, env=self.environment, capture_output=True, text=True)
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"

    def start(self, words: list[str]) -> tuple[subprocess.Popen[bytes], Path]:
        """A server and what it says."""
        said = self.folder / f"server{len(self.started)}"
        with said.open("wb") as log:
            server = subprocess.Popen(words, cwd=self.folder, env=self.environment, stdout=log, stderr=log)
        self.started.append(server)
        return server, said

    def play(self, words: list[str]) -> None:
        """Until it says where it is, and Ctrl-C."""
        words = [sys.executable, "-m", *words]
        server, said = self.start(words if "--no-browser" in words else [*words, "--no-browser"])
        until = time.monotonic() + 60.0
        while "http://127.0.0.1" not in said.read_text():
            assert server.poll() is None, f"{words}: {said.read_text()}"
            assert time.monotonic() < until, f"{words}: {said.read_text()}"
            time.sleep(0.05)
        server.send_signal(signal.SIGINT)
        assert server.wait(30) in (0, 130), said.read_text()

    def dask(self, words: list[str]) -> None:
        """A scheduler and a worker of it, on this machine instead of two."""
        assert words[1] in ("scheduler", "worker"), words
        if words[1] == "scheduler":
            here = ["--host", "127.0.0.1", "--port", "0", "--dashboard-address", ":0"]
            self.start([*words, *here, "--scheduler-file", str(self.told)])
        else:
            alone = {"tcp://first:8786": self.address(), "/fast/disk": str(self.folder / "disk"), "16": "1"}
            self.start([alone.get(word, word) for word in words] + ["--dashboard-address", ":0"])

    def address(self) -> str:
        until = time.monotonic() + 60.0
        # The scheduler makes the file first and writes it then.
        while not self.told.exists() or not self.told.read_text(encoding="utf-8").rstrip().endswith("}"):
            assert time.monotonic() < until
            assert self.started[0].poll() is None, "the scheduler has ended"
            time.sleep(0.05)
        return str(json.loads(self.told.read_text(encoding="utf-8"))["address"])


def installed(words: list[str]) -> None:
    """From a checkout, with extras that there are."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    what = words[words.index("install") + 1 :]
    assert what
    for word in what:
        found = re.fullmatch(r"[.](\[([a-z,]+)\])?", word)
        assert found, f"{' '.join(words)}: newtron is installed from its checkout, '.[extra]'"
        assert {extra for extra in (found[2] or "").split(",") if extra} <= set(extras), words


@pytest.mark.slow
@pytest.mark.parametrize("path", PAGES)
def test_the_commands_of_a_page_name_options_that_exist(path: Path) -> None:
    for words in commands(path.read_text(encoding="utf-8")):
        command = [word for word in words[:1] if not word.startswith("-")]
        named = {word.partition("=")[0] for word in words if re.match(r"--?[A-Za-z]", word)}
        assert named <= options(help_text(*command)), f"newtron {' '.join(words)}"


def test_the_readme_shows_the_library_and_the_command_line() -> None:
    page = README.read_text(encoding="utf-8")
    assert blocks(page, "python")
    assert commands(page)


def test_the_documentation_has_a_page() -> None:
    assert list(DOCS.glob("*.md"))


def test_blocks_and_commands_are_found() -> None:
    page = textwrap.dedent(
        """\
        1. A list:

           ```python
           x = 1
           ```

        ```console
        $ pip install newtron
        $ newtron fit data.csv --target "a | b" \\
              --holdout=0.2 | tee --append log
        --seed 7
        $ newtron --help > help.txt
        ```
        """
    )
    assert blocks(page, "python") == [Block("x = 1\n", 4)]
    assert commands(page) == [["fit", "data.csv", "--target", "a | b", "--holdout=0.2"], ["--help"]]
    assert options("  -h, --help  show it; a two-part word\n  --holdout SHARE") == {
        "-h",
        "--help",
        "--holdout",
    }


@pytest.mark.slow
def test_the_tables_on_the_page_of_coefficients_are_what_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (DOCS / "coefficients.md").read_text(encoding="utf-8")
    monkeypatch.chdir(ROOT)
    namespace: dict[str, Any] = {}
    for block in blocks(page, "python"):
        exec(block.text, namespace)
    printed = capsys.readouterr().out
    tables = blocks(page, "text")
    assert len(tables) == 10
    for table in tables:
        assert table.text in printed, f"the table at line {table.line} is not printed"


@pytest.mark.slow
def test_the_screen_on_the_page_of_studies_is_what_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "study.md").read_text(encoding="utf-8")
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("COLUMNS", raising=False)
    exec(blocks(page, "python")[0].text, {})
    assert blocks(page, "text")[0].text in capsys.readouterr().out
