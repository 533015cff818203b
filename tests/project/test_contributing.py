"""The changes that CONTRIBUTING.md shows are true: each applies to the sources as they are and passes its tests."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


class Change(NamedTuple):
    """A diff of the page, and the arguments for pytest of the command that follows it."""

    title: str
    diff: str
    tests: list[str]


def changes() -> list[Change]:
    found = []
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE):
        diff = re.search(r"^```diff\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
        if diff is not None:
            command = re.search(r"^\$ scripts/test (.*)$", section[diff.end() :], re.MULTILINE)
            assert command is not None, "no tests are named"
            found.append(Change(section.partition("\n")[0], diff[1], command[1].split()))
    return found


CHANGES = changes()


def test_the_page_shows_how_to_add_each_part() -> None:
    assert [change.title for change in CHANGES] == [
        "Add an activation",
        "Add a loss",
        "Add a solver",
        "Add a place for rows",
    ]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.title)
def test_a_change_adds_few_lines_to_the_sources(change: Change) -> None:
    sources = "".join(re.findall(r"^\+\+\+ b/src.*\n((?:[-+@ ]?.*\n)*?)(?=--- |\Z)", change.diff, re.MULTILINE))
    assert 5 < len(re.findall(r"^\+.*\S", sources, re.MULTILINE)) <= 60


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("git") is None, reason="git, which applies the changes, is not installed")
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.title)
def test_a_change_applies_and_passes_its_tests(change: Change, tmp_path: Path) -> None:
    leave = shutil.ignore_patterns("__pycache__", "static", "data")
    for folder in ("src", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=leave)
    (tmp_path / "tests" / "data").symlink_to(ROOT / "tests" / "data")
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "NEWTRON", "COV"))
    }
    environment |= {"PYTHONPATH": str(tmp_path / "src"), "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}
    applied = subprocess.run(
        ["git", "apply", "-"], cwd=tmp_path, env=environment, input=change.diff, capture_output=True, text=True
    )
    assert applied.returncode == 0, f"{applied.stderr}\nmake the diff anew from the sources"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *change.tests]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout
    assert " passed" in run.stdout
