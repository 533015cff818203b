"""The house's own rules: sizes, names, what an import costs, and what a release must hold."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import newtron

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
FILE_LINES, FUNCTION_LINES = 600, 60
SLOW_TO_IMPORT = {"sklearn", "scipy.optimize", "pyarrow", "rich"}
PROMISED = {"PerceptronRegressor", "PerceptronClassifier", "NetworkRegressor", "NetworkClassifier", "load"}

# A folder of one machine: a home, or a place where somebody works.
MACHINE_PATH = re.compile(r"(?<![\w.-])/(?:work|root|tmp/w|home/\w+|Users/\w+)(?![\w-])")
TEXT = {
    ".py",
    ".md",
    ".toml",
    ".csv",
    ".json",
    ".dat",
    ".js",
    ".ts",
    ".css",
    ".html",
    ".svg",
    ".yml",
    ".sh",
    "",
}
PLACES = (
    "src",
    "docs",
    "tests",
    "examples",
    "benchmarks",
    "scripts",
    ".ci",
    "web",
    "README.md",
    "CHANGELOG.md",
)


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    run = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_a_module_is_documented_and_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "no docstring"
    assert len(text.splitlines()) <= FILE_LINES
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = {node.name: (node.end_lineno or node.lineno) - node.lineno + 1 for node in functions}
    assert {name: lines for name, lines in lengths.items() if lines > FUNCTION_LINES} == {}


def test_all_lists_the_public_names() -> None:
    def ours(name: str) -> bool:
        return str(getattr(getattr(newtron, name), "__module__", "")).startswith("newtron")

    public = {name for name in dir(newtron) if not name.startswith("_") and ours(name)}
    assert public == {name for name in newtron.__all__ if not name.startswith("_")}
    assert all(hasattr(newtron, name) for name in newtron.__all__)
    assert public >= PROMISED


def test_importing_newtron_leaves_the_slow_packages_alone() -> None:
    loaded = set(python("-c", "import sys, newtron; print(*sys.modules)").stdout.split())
    assert "newtron" in loaded
    assert loaded & SLOW_TO_IMPORT == set()


def test_help_answers_without_numpy() -> None:
    answer = python("-X", "importtime", "-m", "newtron", "--help")
    loaded = {line.rpartition("|")[2].strip() for line in answer.stderr.splitlines()}
    assert "newtron" in loaded
    assert "numpy" not in loaded
    for command in ("fit", "predict"):
        assert command in answer.stdout


def test_no_file_names_a_path_of_one_machine() -> None:
    files = [path for place in PLACES for path in (ROOT / place, *(ROOT / place).rglob("*"))]
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in files
        if path.is_file() and path.suffix in TEXT
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if MACHINE_PATH.search(line)
    ]
    assert found == []


def test_a_path_of_one_machine_is_recognised() -> None:
    for folder in ("work", "root", "tmp/w", "home/somebody", "Users/somebody"):
        assert MACHINE_PATH.search(f'open("/{folder}/data.csv")')
    for innocent in ("https://example.org/work/", "../work/data", "/workers", "src/newtron/root.py"):
        assert not MACHINE_PATH.search(innocent)


def test_the_changelog_has_an_entry_for_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[?{re.escape(version)}(?![\w.])", changelog, re.MULTILINE)


def test_the_licence_is_here() -> None:
    assert "BSD 3-Clause" in (ROOT / "LICENSE").read_text(encoding="utf-8")
