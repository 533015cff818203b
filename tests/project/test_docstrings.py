"""Every public name has a docstring with an example, and the examples of docstrings print what they show."""

from __future__ import annotations

import doctest
import inspect
import shutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import newtron
import newtron.engine

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def listed() -> Iterator[str]:
    """The names in the index of the reference, with their modules."""
    module = ""
    for line in (ROOT / "docs" / "api" / "index.rst").read_text(encoding="utf-8").splitlines():
        if line.startswith(".. currentmodule::"):
            module = line.split()[-1]
        elif line.startswith("   ") and ":" not in line:
            yield f"{module}.{line.strip().removeprefix('~')}"


def named(name: str) -> object:
    module, _, last = name.rpartition(".")
    return getattr(import_module(module), last)


def test_the_reference_lists_every_public_name() -> None:
    names = {name.rpartition(".")[2] for name in listed()}
    assert set(newtron.__all__) | set(newtron.engine.__all__) <= names


@pytest.mark.parametrize("name", list(listed()))
def test_a_public_name_has_an_example(name: str) -> None:
    assert "Examples\n--------\n" in (inspect.getdoc(named(name)) or "")


@pytest.mark.slow
@pytest.mark.parametrize("name", list(listed()))
def test_examples_print_what_they_show(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of the name and of its methods, each in a folder with the examples."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("gallery"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    value = named(name)
    documented = [value]
    if isinstance(value, type):
        documented += [method for _, method in inspect.getmembers(value, inspect.isroutine)]
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    for each in documented:
        if str(getattr(each, "__module__", "")).startswith("newtron"):
            text = inspect.getdoc(each) or ""
            title = str(getattr(each, "__qualname__", name))
            runner.run(doctest.DocTestParser().get_doctest(text, {}, title, None, None))
    assert runner.failures == 0, capsys.readouterr().out
