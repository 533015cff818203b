"""What a command does not import, and that a module which is left out is there as soon as it is asked for."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from newtron.cli import main
from newtron.cli.imports import LazyModule, WithoutPandas

NOT_NEEDED = {"pandas", "scipy.stats._stats_py", "scipy.optimize"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "data.csv"
    path.write_text("x,y\n" + "".join(f"{i},{2 * i + i % 3}\n" for i in range(30)), encoding="utf-8")
    return path


def loaded_by(*arguments: str | Path) -> set[str]:
    """The modules that the process of a command has loaded at its end."""
    run = (
        "import sys; from newtron.cli import main; code = main(); print(*sys.modules, file=sys.stderr); sys.exit(code)"
    )
    answer = subprocess.run([sys.executable, "-c", run, *map(str, arguments)], capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    return set(answer.stderr.splitlines()[-1].split())


@pytest.mark.slow
def test_commands_leave_out_what_they_do_not_use(data: Path) -> None:
    model = data.with_suffix(".newtron")
    for command in (("fit", data, "--target", "y", "--output", model), ("predict", model, data), ("show", model)):
        loaded = loaded_by(*command)
        assert "numpy" in loaded
        assert loaded & NOT_NEEDED == set()
        # Only training makes estimators; a model is read and predicts without them.
        assert ("sklearn" in loaded) == (command[0] == "fit")


@pytest.mark.slow
def test_a_program_that_calls_main_keeps_its_imports(data: Path) -> None:
    finders = list(sys.meta_path)
    assert main(["fit", str(data), "--target", "y", "--output", str(data.with_suffix(".newtron")), "--quiet"]) == 0
    assert sys.meta_path == finders
    assert not isinstance(sys.modules["scipy.stats"], LazyModule)


@pytest.mark.parametrize("ask", ["import colorsys", "from colorsys import rgb_to_hsv", "from colorsys import *"])
def test_a_module_left_for_later_comes_when_it_is_asked_for(ask: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    later = LazyModule("colorsys")
    monkeypatch.setitem(sys.modules, "colorsys", later)
    assert not hasattr(later, "__file__")
    assert sys.modules["colorsys"] is later
    found: dict[str, object] = {}
    exec(f"{ask}\nfound = {'colorsys.' if ask == 'import colorsys' else ''}rgb_to_hsv(0.0, 1.0, 0.0)", found)
    assert found["found"] == (1 / 3, 1.0, 1.0)
    assert sys.modules["colorsys"] is not later
    assert import_module("colorsys").rgb_to_hsv is later.rgb_to_hsv
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = later.nothing


def test_what_lies_inside_a_package_left_for_later_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("wsgiref")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "wsgiref", LazyModule("wsgiref"))
    assert import_module("wsgiref.headers").Headers([("a", "b")])["a"] == "b"


def test_pandas_seems_not_to_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pandas", raising=False)
    monkeypatch.setattr(sys, "meta_path", [WithoutPandas(), *sys.meta_path])
    with pytest.raises(ModuleNotFoundError, match="No module named 'pandas'"):
        import_module("pandas")
    assert import_module("colorsys").rgb_to_hsv(0.0, 1.0, 0.0)
