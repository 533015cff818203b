"""The documentation is true: its Python runs, and its commands name options that exist."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = [pytest.param(path, id=path.name) for path in (README, *sorted((ROOT / "docs").glob("*.md")))]
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
    run = subprocess.run(
        [sys.executable, "-m", "newtron", *command, "--help"],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert run.returncode == 0, f"newtron {' '.join(command)} --help: {run.stderr}"
    return run.stdout


@pytest.mark.parametrize("path", PAGES)
def test_the_python_of_a_page_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = path.read_text(encoding="utf-8")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page, "python"):
        # Blank lines before the block, so that a traceback names the line of the page.
        exec(compile("\n" * (block.line - 1) + block.text, str(path), "exec"), namespace)


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
    assert list((ROOT / "docs").glob("*.md"))


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


def test_the_tables_on_the_page_of_coefficients_are_what_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs" / "coefficients.md").read_text(encoding="utf-8")
    monkeypatch.chdir(ROOT)
    namespace: dict[str, Any] = {}
    for block in blocks(page, "python"):
        exec(block.text, namespace)
    printed = capsys.readouterr().out
    tables = blocks(page, "text")
    assert len(tables) == 6
    for table in tables:
        assert table.text in printed, f"the table at line {table.line} is not printed"
