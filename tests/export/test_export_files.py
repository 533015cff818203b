"""What is said and refused when a model is exported, and how whole files are used."""

from __future__ import annotations

import csv
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.consumers import WARNINGS

import newtron
from newtron import InputError, NetworkRegressor, PerceptronClassifier, PerceptronRegressor
from newtron.cli import main
from newtron.export import write_sql
from newtron.export.walk import program_of

ROOT = Path(__file__).resolve().parents[2]
X = np.random.default_rng(0).normal(size=(50, 2))
LINE = PerceptronRegressor().fit(X, X @ [1.0, 2.0] + X[:, 0] ** 2)


@pytest.fixture(scope="module")
def mass(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file of the mass of penguins."""
    path = tmp_path_factory.mktemp("mass") / "mass.newtron"
    words = ["fit", str(ROOT / "examples" / "penguins.csv"), "--target", "body_mass_g", "--model", "perceptron"]
    assert main([*words, "--output", str(path), "--no-report", "--quiet"]) == 0
    return path


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("line.txt", {}, "the ending says what is written: .onnx for ONNX, .c for C, .sql for SQL or .py for Python"),
        ("line", {}, "the ending says what is written"),
        ("line.c", {"table": "zoo"}, "table is for SQL"),
        ("line.py", {"keep": ["id"]}, "keep is for SQL"),
        ("line.sql", {"table": "a..b"}, "no name of a table"),
        ("line.sql", {"keep": [""]}, "no name for a column"),
        ("line.c", {"interval": 1.5}, "interval"),
        ("nowhere/line.c", {}, "there is no folder"),
    ],
)
def test_what_cannot_be_written_is_said_in_a_sentence(
    name: str, settings: dict[str, object], words: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        LINE.export(tmp_path / name, **settings)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_intervals_without_a_formula_are_refused(tmp_path: Path) -> None:
    network = NetworkRegressor(hidden=(2,), max_iter=2, n_starts=1, alpha=1.0).fit(X, X[:, 0])
    counts = PerceptronRegressor(loss="poisson").fit(X, np.arange(50) % 4)
    for model in (network, counts):
        with pytest.raises(InputError, match="only the intervals of a perceptron with squared errors have a formula"):
            model.export(tmp_path / "model.c", interval=0.9)
    classes = PerceptronClassifier(alpha=1.0).fit(X, X[:, 0] > 0.0)
    with pytest.raises(InputError, match="this model predicts classes, and an interval is for numbers"):
        classes.export(tmp_path / "model.c", interval=0.9)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_query_of_many_weights_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = NetworkRegressor(hidden=(7,), max_iter=1, n_starts=1, alpha=1.0).fit(X, X[:, 0])
    monkeypatch.setattr(write_sql, "MOST_WEIGHTS", 20)
    with pytest.raises(InputError, match="this model has 21 weights, and a query holds at most 20,"):
        model.export(tmp_path / "model.sql")
    monkeypatch.setattr(write_sql, "MOST_WEIGHTS", 21)
    monkeypatch.setattr(write_sql, "MOST_COLUMNS", 8)
    with pytest.raises(InputError, match="this model needs a subquery of 9 columns, and databases have at most 8;"):
        model.export(tmp_path / "model.sql")
    model.export(tmp_path / "model.sql", keep=[])
    assert write_sql.sql_query(program_of(model.model_), "data", []).count("TANH(") == 7


def test_a_table_may_be_named_with_its_schema(tmp_path: Path) -> None:
    for name, written in (("zoo.birds", '"zoo"."birds"'), ('zoo."a.b"', '"zoo"."a.b"'), ("a b", '"a b"')):
        LINE.export(tmp_path / "line.sql", table=name)
        assert f"FROM {written}\n" in (tmp_path / "line.sql").read_text(encoding="utf-8")


def test_onnx_without_its_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match='newtron\'s extra "export"'):
        LINE.export(tmp_path / "line.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_head_says_what_the_model_is(mass: Path, tmp_path: Path) -> None:
    for ending in ("c", "sql", "py"):
        path = tmp_path / f"mass.{ending}"
        assert main(["export", str(mass), str(path)]) == 0
        text = " ".join(re.sub(r"^( \*|--|#)", "", path.read_text(encoding="utf-8"), flags=re.M).split())
        for said in (
            "A perceptron for regression of body_mass_g (linear regression)",
            f"newtron {newtron.__version__}",
            "It reads 7 columns: species, island,",
            newtron.load(mass).certificate_.sentences()[0],
            "How to ",
        ):
            assert said in text, (ending, said)


def test_the_head_says_what_dates_are(tmp_path: Path) -> None:
    days = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=20), "x": np.arange(20.0) ** 2})
    model = PerceptronRegressor().fit(days, days["x"] + 1.0)
    for ending, said in (
        ("c", "days since 1970-01-01 in UTC"),
        ("sql", "such as 2024-01-31"),
        ("py", "dates or times"),
    ):
        model.export(tmp_path / f"days.{ending}")
        assert re.search(rf"Dates \(day\) are [^.]*{said}", (tmp_path / f"days.{ending}").read_text(encoding="utf-8"))


def test_the_command_refuses_what_does_not_go(mass: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        (["mass.doc"], "the ending says"),
        (["m.c", "--table", "zoo"], "--table is for SQL"),
        (["m.c", "--interval", "0.9999999", "--keep", "id"], "--keep is for SQL"),
    ):
        assert main(["export", str(mass), *words]) == 2
        assert said in capsys.readouterr().err
    copy = mass.with_suffix(".c")
    copy.write_bytes(mass.read_bytes())
    assert main(["export", str(copy), str(copy)]) == 2
    assert "this is" in capsys.readouterr().err
    assert copy.read_bytes() == mass.read_bytes()


@pytest.mark.slow
def test_the_module_is_a_command_too(mass: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """In a process of its own, where newtron cannot be imported."""
    path, data = tmp_path / "mass.py", str(ROOT / "examples" / "penguins.csv")
    assert main(["export", str(mass), str(path), "--interval", "0.8"]) == 0
    (tmp_path / "newtron.py").write_text("raise ImportError('newtron is not installed here')\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, str(path), data], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    capfd.readouterr()
    assert main(["predict", str(mass), data, "--interval", "0.8"]) == 0
    header, *expected = list(csv.reader(io.StringIO(capfd.readouterr().out)))
    assert done.stdout.splitlines()[0] == ",".join(header)
    found = list(csv.reader(io.StringIO(done.stdout)))[1:]
    np.testing.assert_allclose(np.array(found, dtype=float), np.array(expected, dtype=float), rtol=1e-12)


@pytest.mark.slow
def test_the_c_program_of_the_documentation_runs(mass: Path, tmp_path: Path) -> None:
    """The file is compiled alone, and included for its declarations by another one."""
    page = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    block = re.search(r"```c\n(.*?)```", page, re.S)
    assert block is not None
    head, body = block[1].split("\n\n", 1)
    program = f"#include <math.h>\n#include <stdio.h>\n{head}\nint main(void)\n{{\n{body}"
    program += 'printf("%.17g\\n", grams);\nreturn 0;\n}\n'
    (tmp_path / "main.c").write_text(program, encoding="utf-8")
    assert main(["export", str(mass), str(tmp_path / "mass.c")]) == 0
    command = ["gcc", *WARNINGS, "main.c", "mass.c", "-o", "run", "-lm"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answer = subprocess.run([str(tmp_path / "run")], capture_output=True, text=True, check=True)
    row = (
        "species,island,bill_length_mm,bill_depth_mm,flipper_length_mm,sex,year\nGentoo,Biscoe,46.1,,211,female,2007\n"
    )
    (tmp_path / "row.csv").write_text(row, encoding="utf-8")
    assert main(["predict", str(mass), str(tmp_path / "row.csv"), "--output", str(tmp_path / "out.csv")]) == 0
    expected = float((tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()[1])
    assert float(answer.stdout) == pytest.approx(expected, rel=1e-12)
