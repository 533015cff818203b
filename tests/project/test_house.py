"""The house's own rules: sizes, names, what an import costs, and what a release must hold."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

import newtron

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
FILE_LINES, FUNCTION_LINES = 600, 60
ANY_LINES = 40  # lines of the sources that may say Any: where a package has no types
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
    ".yaml",
    ".cff",
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
    ".github",
    ".pre-commit-config.yaml",
    "web",
    "README.md",
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "SECURITY.md",
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
        if path.is_file() and path.suffix in TEXT and "node_modules" not in path.parts
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


def test_the_citation_names_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f"version: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_the_workflow_runs_what_ci_runs_on_every_python() -> None:
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["classifiers"]
    pythons = [found[1] for each in classifiers if (found := re.fullmatch(r".* :: Python :: (\d+\.\d+)", each))]
    assert f"python: {json.dumps(pythons)}" in workflow
    assert "run: .ci/run\n" in workflow


def test_the_licence_is_here() -> None:
    assert "BSD 3-Clause" in (ROOT / "LICENSE").read_text(encoding="utf-8")


# --- names, types and imports ---


@cache
def trees(folder: Path) -> list[tuple[str, ast.Module]]:
    """The name and the syntax tree of each module under a folder that is on the path, such as src."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found.append((name, ast.parse(path.read_text(encoding="utf-8"))))
    return found


def imports(folder: Path) -> dict[str, set[str]]:
    """The modules of this folder that each of them imports, at its head, in a function or for type checking alone."""
    parsed = dict(trees(folder))
    found: dict[str, set[str]] = {name: set() for name in parsed}
    for name, tree in parsed.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found[name] |= {alias.name for alias in node.names} & parsed.keys()
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{name} imports by dots: write the whole name of the module"
                submodules = {f"{node.module}.{alias.name}" for alias in node.names}
                named = {alias if alias in parsed else str(node.module) for alias in submodules}
                found[name] |= named & parsed.keys()
    return found


def circles(imported: dict[str, set[str]]) -> list[set[str]]:
    """The sets of modules that reach each other by imports."""

    def reach(start: str) -> set[str]:
        seen: set[str] = set()
        left = [start]
        while left:
            fresh = imported[left.pop()] - seen
            seen |= fresh
            left.extend(fresh)
        return seen

    reached = {name: reach(name) for name in imported}
    found: list[set[str]] = []
    for name in imported:
        circle = {other for other in reached[name] if name in reached[other]}
        if circle and circle not in found:
            found.append(circle)
    return found


def test_a_public_name_exists_once() -> None:
    places = defaultdict(list)
    for module, tree in trees(ROOT / "src"):
        for node in tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name[0] != "_":
                places[node.name].append(module)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_no_source_takes_part_in_a_circle_of_imports() -> None:
    assert circles(imports(ROOT / "src")) == []


def test_no_benchmark_takes_part_in_a_circle_of_imports() -> None:
    assert circles(imports(ROOT / "benchmarks")) == []


def test_a_circle_of_imports_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == [{"b", "c"}]


def test_few_lines_say_any() -> None:
    lines = {
        (module, node.lineno)
        for module, tree in trees(ROOT / "src")
        for node in ast.walk(tree)
        if (isinstance(node, ast.Name) and node.id == "Any") or (isinstance(node, ast.Attribute) and node.attr == "Any")
    }
    assert len(lines) <= ANY_LINES, sorted(lines)


def test_docstrings_are_sentences() -> None:
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    found = [
        f"{module}: {text}"
        for module, tree in trees(ROOT / "src")
        for node in ast.walk(tree)
        if isinstance(node, documented) and (text := ast.get_docstring(node) or "").startswith("Of ")
    ]
    assert found == []


def test_the_import_contract_has_no_exceptions() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    assert not settings.get("exclude_type_checking_imports", False)
    for contract in settings["contracts"]:
        assert not any(":" in layer for layer in contract.get("layers", ())), contract["name"]
        assert not contract.get("ignore_imports"), contract["name"]
