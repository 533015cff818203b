"""The command line from outside: real processes, real files, what a user sees and what a program reads."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.command import command
from support.models import change_member, load_bundle, save
from support.present import present

import newtron
from newtron.cli import main
from newtron.engine.base.codec import to_json
from newtron.engine.base.words import plus_minus
from newtron.study.split import hold_out
from newtron.table import encode, encode_target, read_table

ROOT = Path(__file__).resolve().parents[2]
PENGUINS = ROOT / "examples" / "penguins.csv"
CONCRETE = ROOT / "examples" / "concrete.csv"


def environment(**more: str) -> dict[str, str]:
    names = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR")}
    return {**names, "PYTHONPATH": str(ROOT / "src"), "TERM": "xterm-256color", **more}


def newtron_run(*words: object, cwd: Path, code: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
    run = command(*words, cwd=cwd, env=environment(**more))
    assert run.returncode == code, run.stdout + run.stderr
    for trace in ("Traceback", "Warning:", "warnings.warn"):
        assert trace not in run.stdout + run.stderr
    return run


def started(*words: object, cwd: Path, **more: str) -> str:
    """What the command writes in a process that starts anew, and imports what it needs."""
    typed = [sys.executable, "-m", "newtron", *map(str, words)]
    run = subprocess.run(typed, capture_output=True, text=True, cwd=cwd, env=environment(**more), timeout=300)
    assert run.returncode == 0, run.stderr
    return run.stdout


def strict_json(text: str) -> Any:
    assert text.count("\n") == 1
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def rows_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of each kind and its --json: penguins and concrete, perceptron and network."""
    folder = tmp_path_factory.mktemp("models")
    for data, target, name in ((PENGUINS, "species", "penguins"), (CONCRETE, "strength_mpa", "concrete")):
        for model in ("perceptron", "network"):
            run = newtron_run(
                "fit",
                data,
                "--target",
                target,
                "--model",
                model,
                "--hidden",
                "4",
                "--hidden",
                "3,2",
                "--starts",
                "1",
                "--max-iter",
                "60",
                "--json",
                "--output",
                f"{name}-{model}.newtron",
                cwd=folder,
            )
            (folder / f"{name}-{model}.json").write_text(run.stdout, encoding="utf-8")
    return folder


# --- help and version ---


def test_version_and_help(tmp_path: Path) -> None:
    assert started("--version", cwd=tmp_path) == f"newtron {newtron.__version__}\n"
    assert started(cwd=tmp_path) == started("--help", cwd=tmp_path)
    shown = started("fit", "--help", cwd=tmp_path, COLUMNS="80")
    for option in (
        "--target",
        "--model",
        "--holdout",
        "--output",
        "--seed",
        "--ignore",
        "--json",
        "--no-refit",
    ):
        assert option in shown
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["train"], "invalid choice: 'train'"),
        (["fit", "d.csv"], "required: --target"),
        (["fit", "d.csv", "--target", "y", "--lr", "1"], "unrecognized arguments: --lr 1"),
        (["fit", "d.csv", "--target", "y", "--alpha", "-1"], "--alpha: '-1' must be a number, 0 or more"),
        (["fit", "d.csv", "--target", "y", "--alpha", "nan"], "--alpha: 'nan' must be"),
        (["fit", "d.csv", "--target", "y", "--holdout", "1"], "--holdout: '1' must be a share"),
        (["fit", "d.csv", "--target", "y", "--holdout", "20%"], "--holdout: '20%' must be a share"),
        (["fit", "d.csv", "--target", "y", "--hidden", "10,0"], "--hidden: '10,0' must be whole numbers"),
        (["fit", "d.csv", "--target", "y", "--hidden", ""], "--hidden: '' must be whole numbers"),
        (["fit", "d.csv", "--target", "y", "--starts", "0"], "--starts: '0' must be a whole number"),
        (["fit", "d.csv", "--target", "y", "--seed", "-1"], "--seed: '-1' must be a whole number"),
        (["fit", "d.csv", "--target", "y", "--seed", "4294967296"], "--seed: '4294967296' must be"),
        (["fit", "d.csv", "--target", "y", "--threads", "x"], "--threads: 'x' must be"),
        (["fit", "d.csv", "--target", "y", "--task", "ranking"], "--task: invalid choice"),
        (["predict", "m"], "required: DATA"),
        (["show"], "required: MODEL"),
    ],
)
def test_what_cannot_be_typed(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert err.startswith("newtron: ")
    assert sentence in err
    assert err.count("\n") == 1


# --- fit ---


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.01542, 0.00461, "0.0154 ± 0.0046"),
        (843.2, 702.0, "840 ± 700"),
        (77.31, 11.96, "77 ± 12"),
        (123456.0, 2345.0, "123,500 ± 2,300"),
        (1e-9, 1e-9, "1e-09 ± 1e-09"),
        (0.5, 0.0, "0.5 ± 0"),
    ],
)
def test_a_value_and_its_error(value: float, error: float, text: str) -> None:
    assert plus_minus(value, error) == text


@pytest.mark.slow
def test_fit_compares_chooses_and_writes(tmp_path: Path) -> None:
    run = newtron_run("fit", CONCRETE, "--target", "strength_mpa", "--hidden", "8", "--starts", "1", cwd=tmp_path)
    out = run.stdout
    assert "1,030 rows, 9 columns" in out
    assert "Compared on 206 rows that were held out; trained on 824 (seed 0)" in out
    found = re.findall(r"^  (mean alone|perceptron|network) +([\d.]+) ", out, re.MULTILINE)[:3]
    rmse = {name: float(value) for name, value in found}
    assert rmse["mean alone"] > 14 > rmse["perceptron"] > 8 > rmse["network"]
    assert "The network is kept: its squared error is lower by" in out
    assert "Written: model.newtron, the network trained on 1,030 rows (again, all of them)" in out
    assert f"newtron predict model.newtron {CONCRETE}" in out
    # Where training is expected to take long, that is told before it.
    told = [line.split(":")[0] for line in run.stderr.splitlines() if ": about " not in line]
    assert told == ["perceptron", "network", "network on all rows"]
    assert "\x1b" not in out + run.stderr
    assert sorted(os.listdir(tmp_path)) == ["model.newtron", "report.html"]
    model = newtron.load(tmp_path / "model.newtron")
    assert model.n_features_in_ == 8
    assert model.get_params()["n_starts"] == 1


@pytest.mark.slow
def test_fit_as_json(place: Path) -> None:
    for name, task in (
        ("penguins-network", "classification"),
        ("concrete-perceptron", "regression"),
    ):
        facts = strict_json((place / f"{name}.json").read_text(encoding="utf-8"))
        assert facts["target"]["task"] == task
        assert facts["newtron"] == newtron.__version__
        assert len(facts["models"]) == 1
        kept = facts["verdict"]["kept"]
        assert kept == name.split("-")[1]
        assert set(facts["comparison"]["metrics"]) == {"baseline", kept}
        assert facts["output"] == f"{name}.newtron"
        assert facts["interrupted"] is False
        members = facts["refit"]["members"]
        assert len(members) == (2 if kept == "network" else 1)
        for member in members:
            assert member["status"] in ("converged", "precision", "max_iter")
            assert member["iterations"] >= 1
    penguins = strict_json((place / "penguins-network.json").read_text(encoding="utf-8"))
    assert penguins["data"]["rows"] == 344
    assert penguins["target"]["classes"] == ["Adelie", "Chinstrap", "Gentoo"]
    assert {c["name"]: c["missing"] for c in penguins["columns"]}["sex"] == 11
    metrics = penguins["comparison"]["metrics"]
    assert metrics["network"]["error_rate"] < 0.05 < metrics["baseline"]["error_rate"]
    assert metrics["network"]["accuracy"] == 1.0 - metrics["network"]["error_rate"]


@pytest.mark.slow
def test_the_comparison_is_that_of_the_held_out_rows(tmp_path: Path) -> None:
    """Done again by hand: the baseline from the target alone, the perceptron by least squares."""
    common = ("fit", CONCRETE, "--target", "strength_mpa", "--model", "perceptron", "--json", "--seed", "3")
    run = newtron_run(*common, "--no-refit", cwd=tmp_path)
    facts = strict_json(run.stdout)
    assert facts["refit"] is None
    assert facts["comparison"]["held_out_rows"] == 206
    bundle = load_bundle(tmp_path / "model.newtron")
    table = read_table(CONCRETE)
    y = encode_target(present(bundle.schema).target, table)[0]
    features = encode(present(bundle.schema), table).X
    training, held_out = hold_out(1030, None, 0.2, 3, np.unique(features, axis=0, return_inverse=True)[1].ravel())
    # Mixtures that were tested more than once are on one side.
    assert not set(map(bytes, features[training])) & set(map(bytes, features[held_out]))
    errors = y[held_out] - y[training].mean()
    metrics = facts["comparison"]["metrics"]
    np.testing.assert_allclose(metrics["baseline"]["rmse"], np.sqrt(np.mean(errors**2)), rtol=1e-12)
    np.testing.assert_allclose(metrics["baseline"]["mae"], np.mean(np.abs(errors)), rtol=1e-12)
    X = encode(present(bundle.schema), table.take(held_out)).X
    A = np.column_stack([np.ones(824), encode(present(bundle.schema), table.take(training)).X])
    w = np.linalg.lstsq(A, y[training], rcond=None)[0]
    own = y[held_out] - np.column_stack([np.ones(206), X]) @ w
    np.testing.assert_allclose(metrics["perceptron"]["rmse"], np.sqrt(np.mean(own**2)), rtol=1e-8)
    np.testing.assert_allclose(bundle.estimator.coef_, w[1:], rtol=1e-6)


@pytest.mark.slow
def test_held_out_rows_say_nothing_about_the_columns(tmp_path: Path) -> None:
    """A mean that fills in missing cells, and a category's levels, come from the training rows alone."""
    rng = np.random.default_rng(0)
    lines = [f"{'' if i % 7 == 0 else rng.normal():.5}" if i % 7 else "" for i in range(100)]
    text = "x,z,y\n" + "".join(f"{x},{i % 5},{i}.5\n" for i, x in enumerate(lines))
    (tmp_path / "d.csv").write_text(text)
    newtron_run(
        "fit",
        "d.csv",
        "--target",
        "y",
        "--model",
        "perceptron",
        "--no-refit",
        "--quiet",
        cwd=tmp_path,
    )
    table = read_table(tmp_path / "d.csv")
    held_out = np.random.default_rng(0).permutation(np.arange(100))[:20]
    training = np.setdiff1d(np.arange(100), held_out)
    x = table.take(training).column("x").to_numpy(zero_copy_only=False)
    column = present(load_bundle(tmp_path / "model.newtron").schema).columns[0]
    assert column.mean == pytest.approx(np.nanmean(x), rel=1e-12)


@pytest.mark.slow
def test_separated_classes_get_a_penalty_and_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("x,y\n" + "".join(f"{i / 7},{'ab'[i > 19]}\n" for i in range(40)))
    run = newtron_run("fit", "d.csv", "--target", "y", "--model", "perceptron", cwd=tmp_path)
    said = " ".join(run.stdout.split())
    assert "The perceptron was fitted with a penalty, --alpha 1" in said
    assert "the column x tells the class of each of" in said
    assert newtron.load(tmp_path / "model.newtron").alpha == 1.0
    run = newtron_run("fit", "d.csv", "--target", "y", "--model", "perceptron", "--alpha", "0", cwd=tmp_path)
    said = " ".join(run.stdout.split())
    assert "was fitted with a penalty" not in said
    assert "has no minimum" in said
    assert newtron.load(tmp_path / "model.newtron").alpha == 0.0


@pytest.mark.slow
def test_plain_text_is_wrapped_where_columns_says_or_at_100(tmp_path: Path) -> None:
    words = ("fit", CONCRETE, "--target", "strength_mpa", "--model", "perceptron")
    fitted = newtron_run(*words, cwd=tmp_path).stdout
    shown = newtron_run("show", "model.newtron", cwd=tmp_path).stdout
    sentence = max(newtron.load(tmp_path / "model.newtron").certificate_.sentences(), key=len)
    assert len(sentence) > 100
    for text in (fitted, shown):
        # What is copied from the screen stays whole: the file's name and the command that comes next.
        lines = [line for line in text.splitlines() if str(CONCRETE) not in line]
        assert max(map(len, lines)) <= 100
        assert sentence in " ".join(text.split())
    assert f"newtron predict model.newtron {CONCRETE}" in fitted
    narrow = newtron_run("show", "model.newtron", cwd=tmp_path, COLUMNS="60").stdout
    wide = newtron_run("show", "model.newtron", cwd=tmp_path, COLUMNS="1000").stdout
    assert sentence not in narrow
    assert f"  {sentence}\n" in wide
    assert narrow.split() == shown.split() == wide.split()
    for odd in ("", "0", "-5", "wide", "9" * 30):
        assert newtron_run("show", "model.newtron", cwd=tmp_path, COLUMNS=odd).stdout.split() == shown.split()


@pytest.mark.slow
def test_separation_is_told_by_name_and_firth_is_a_way_out(tmp_path: Path) -> None:
    rows = [f"{i % 7},{i // 20},{'ab'[i >= 20 or i % 3 == 0]}" for i in range(40)]
    (tmp_path / "d.csv").write_text("\n".join(["dose,treated,y", *rows]))
    words = ("fit", "d.csv", "--target", "y", "--model", "perceptron", "--holdout", "0")
    newtron_run(*words, "--alpha", "0", cwd=tmp_path)
    shown = newtron_run("show", "model.newtron", cwd=tmp_path).stdout
    assert "along the column treated, 20 of 40 rows" in " ".join(shown.split())
    facts = strict_json(newtron_run("show", "model.newtron", "--json", cwd=tmp_path).stdout)
    assert (facts["separation"]["kind"], facts["separation"]["names"]) == ("quasi-complete", ["treated"])
    run = newtron_run(*words, "--penalty", "firth", cwd=tmp_path)
    assert "converged" in run.stdout
    assert "separated" not in run.stdout
    assert newtron.load(tmp_path / "model.newtron").penalty == "firth"


@pytest.mark.slow
def test_the_simpler_model_is_kept_where_nothing_is_clear(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=200)
    y = 2.0 * x + rng.normal(size=200)
    (tmp_path / "d.csv").write_text("x,y\n" + "".join(f"{a:.6f},{b:.6f}\n" for a, b in zip(x, y, strict=True)))
    facts = strict_json(newtron_run("fit", "d.csv", "--target", "y", "--json", "--starts", "1", cwd=tmp_path).stdout)
    comparison = facts["comparison"]
    assert comparison["gain"] <= comparison["standard_error"]
    assert facts["verdict"]["kept"] == "perceptron"
    assert "perceptron is kept" in facts["verdict"]["why"][0]
    assert set(facts["models"]) == {"perceptron", "network"}


@pytest.mark.slow
def test_a_target_that_no_column_tells_is_said(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    rows = "".join(f"{a:.4f},{b:.4f}\n" for a, b in rng.normal(size=(60, 2)))
    (tmp_path / "d.csv").write_text("x,y\n" + rows)
    out = newtron_run("fit", "d.csv", "--target", "y", "--model", "perceptron", cwd=tmp_path).stdout
    assert "predicts worse than the mean alone" in out


@pytest.mark.slow
def test_few_rows_are_not_held_out(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("x,y\n" + "".join(f"{i},{i * i}.5\n" for i in range(12)))
    run = newtron_run("fit", "d.csv", "--target", "y", cwd=tmp_path)
    assert "Only 12 rows have a value of the target, fewer than 20" in run.stdout
    assert "the perceptron is fitted, as the simpler one" in " ".join(run.stdout.split())
    assert "Compared by leave-one-out: each of 12 rows" in run.stdout
    run = newtron_run("fit", "d.csv", "--target", "y", "--model", "network", "--starts", "1", cwd=tmp_path)
    assert "the network trained on 12 rows" in run.stdout


@pytest.mark.slow
def test_no_holdout(tmp_path: Path) -> None:
    run = newtron_run("fit", PENGUINS, "--target", "species", "--holdout", "0", "--json", cwd=tmp_path)
    facts = strict_json(run.stdout)
    assert facts["comparison"] is None
    assert facts["verdict"]["kept"] == "perceptron"
    assert present(load_bundle(tmp_path / "model.newtron").report)["trained_rows"] == 344
    sentence = newtron_run("fit", PENGUINS, "--target", "species", "--holdout", "0.001", cwd=tmp_path, code=2).stderr
    assert "--holdout 0.001 of 344 rows holds out 0" in sentence


@pytest.mark.slow
def test_ignored_columns_parquet_and_odd_names(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=50)
    flag = rng.random(50) < 0.5
    table = pa.table({"a\tb\x1b[31m": x, "skip": x, "skip too": x, "flag": flag, "y é": (x + flag > 0.5)})
    pq.write_table(table, tmp_path / "d.parquet")
    run = newtron_run(
        "fit",
        "d.parquet",
        "--target",
        "y é",
        "--ignore",
        "skip",
        "skip too",
        "--alpha",
        "0.5",
        "--model",
        "perceptron",
        "--output",
        "m",
        cwd=tmp_path,
    )
    assert "\x1b" not in run.stdout
    assert "2 classes, false, true" in run.stdout
    assert list(newtron.load(tmp_path / "m").classes_) == [False, True]
    run = newtron_run("predict", "m", "d.parquet", cwd=tmp_path)
    assert rows_of(run.stdout)[0] == ["prediction", "p(false)", "p(true)"]
    assert "\x1b" not in newtron_run("show", "m", cwd=tmp_path).stdout


@pytest.mark.slow
def test_quiet_says_only_warnings(tmp_path: Path) -> None:
    run = newtron_run(
        "fit",
        CONCRETE,
        "--target",
        "strength_mpa",
        "--model",
        "perceptron",
        "--quiet",
        cwd=tmp_path,
    )
    (warning,) = run.stderr.splitlines()
    assert warning.startswith("newtron: 57 of 1,030 rows are equal to another")
    assert run.stdout == ""


@pytest.mark.slow
def test_the_file_is_the_same_bytes_for_any_number_of_threads(tmp_path: Path) -> None:
    lines = CONCRETE.read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "concrete.csv").write_text("".join([lines[0], *lines[1::5]]), encoding="utf-8")
    common = ("--hidden", "4", "--no-report", "--quiet")
    for data, target, given in ((PENGUINS, "species", "12"), ("concrete.csv", "strength_mpa", "121")):
        written = []
        for threads in given:
            newtron_run("fit", data, "--target", target, "--threads", threads, "--starts", "2", *common, cwd=tmp_path)
            written.append((tmp_path / "model.newtron").read_bytes())
        assert len(set(written)) == 1
    words = ("--target", "strength_mpa", "--starts", "2", "--seed", "1")
    newtron_run("fit", "concrete.csv", *words, *common, cwd=tmp_path)
    assert (tmp_path / "model.newtron").read_bytes() != written[0]


@pytest.mark.slow
def test_a_terminal_that_knows_ascii_only(tmp_path: Path) -> None:
    words = ("fit", CONCRETE, "--target", "strength_mpa", "--model", "perceptron", "--no-report")
    assert "R\\xb2" in started(*words, cwd=tmp_path, PYTHONIOENCODING="ascii")


# --- predict ---


@pytest.mark.slow
@pytest.mark.parametrize("name", ["penguins-perceptron", "penguins-network"])
def test_predicted_classes(name: str, place: Path) -> None:
    run = newtron_run("predict", f"{name}.newtron", PENGUINS, cwd=place)
    header, *rows = rows_of(run.stdout)
    assert header == ["prediction", "p(Adelie)", "p(Chinstrap)", "p(Gentoo)"]
    bundle = load_bundle(place / f"{name}.newtron")
    table = read_table(PENGUINS)
    p = bundle.estimator.predict_proba(encode(present(bundle.schema), table).X)
    assert np.array_equal(np.array([row[1:] for row in rows], dtype=float), p)
    assert [row[0] for row in rows] == bundle.estimator.classes_[p.argmax(axis=1)].tolist()
    wrong = np.mean([row[0] != y for row, y in zip(rows, table.column("species").to_pylist(), strict=True)])
    assert f"error rate {100 * wrong:.1f} %" in run.stderr
    assert "on 344 rows with 'species'" in run.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["concrete-perceptron", "concrete-network"])
def test_predicted_numbers(name: str, place: Path, tmp_path: Path) -> None:
    run = newtron_run("predict", f"{name}.newtron", CONCRETE, cwd=place)
    header, *rows = rows_of(run.stdout)
    assert header == ["prediction"]
    bundle = load_bundle(place / f"{name}.newtron")
    expected = bundle.estimator.predict(encode(present(bundle.schema), read_table(CONCRETE)).X)
    assert np.array_equal(np.array(rows, dtype=float)[:, 0], expected)
    newtron_run("predict", place / f"{name}.newtron", CONCRETE, "--output", "p.csv", cwd=tmp_path)
    assert (tmp_path / "p.csv").read_text() == run.stdout
    assert os.listdir(tmp_path) == ["p.csv"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["concrete-perceptron", "concrete-network"])
def test_intervals_of_numbers(name: str, place: Path) -> None:
    run = newtron_run("predict", f"{name}.newtron", CONCRETE, "--interval", "0.8", cwd=place)
    header, *rows = rows_of(run.stdout)
    assert header == ["prediction", "lower", "upper"]
    bundle = load_bundle(place / f"{name}.newtron")
    Z = encode(present(bundle.schema), read_table(CONCRETE)).X
    found = np.array(rows, dtype=float)
    assert (found[:, 0] == bundle.estimator.predict(Z)).all()
    assert (found[:, 1:] == bundle.estimator.predict_interval(Z, 0.8)).all()
    plain = rows_of(newtron_run("predict", f"{name}.newtron", CONCRETE, cwd=place).stdout)
    assert [row[:1] for row in plain] == [row[:1] for row in (header, *rows)]


@pytest.mark.slow
def test_classes_have_no_interval(place: Path) -> None:
    run = newtron_run("predict", "penguins-network.newtron", PENGUINS, "--interval", "0.9", cwd=place, code=2)
    assert "this model predicts classes, and --interval is for numbers" in run.stderr
    assert run.stderr.count("\n") == 1
    for wrong in ("90", "0", "1", "nan", "high"):
        run = newtron_run("predict", "m", "d", "--interval", wrong, cwd=place, code=2)
        assert f"'{wrong}' must be a probability between 0 and 1, such as 0.9" in run.stderr


def records(form: str, path: Path, columns: dict[str, list[object]]) -> Path:
    """A file of this kind with these columns; missing cells are written as nothing."""
    table = pa.table(columns)
    path = path.with_name(f"{path.name}.{form}")
    if form == "parquet":
        pq.write_table(table, path, row_group_size=5)
    elif form in ("arrow", "feather"):
        with pa.ipc.new_file(path, table.schema) as file:
            file.write_table(table, max_chunksize=5)
    else:
        separator = {"tsv": "\t", "semicolon.csv": ";"}.get(form, ",")
        lines = [
            separator.join("" if cell is None else str(cell) for cell in row)
            for row in zip(*columns.values(), strict=True)
        ]
        text = "\n".join([separator.join(columns), *lines]) + "\n"
        path.write_bytes(gzip.compress(text.encode()) if form == "csv.gz" else text.encode())
    return path


@pytest.mark.slow
@pytest.mark.parametrize("memory", ["1GB", "32MB"])
@pytest.mark.parametrize("form", ["csv", "tsv", "semicolon.csv", "csv.gz", "parquet", "arrow", "feather"])
@pytest.mark.parametrize("width", [1, 3])
def test_as_many_lines_come_out_as_records_went_in(
    form: str, memory: str, width: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    """Those with nothing in them too, at the beginning, in the middle and at the end."""
    rng = np.random.default_rng(0)
    X, full = rng.normal(size=(40, width)).round(3), [f"x{j}" for j in range(width)]
    data = {name: X[:, j].tolist() for j, name in enumerate(full)}
    trained = records("csv", tmp_path / "training", {**data, "y": (X @ np.arange(1, width + 1)).round(3).tolist()})
    words = ["--target", "y", "--model", "perceptron", "--quiet", "--no-report", "--output", str(tmp_path / "m")]
    assert main(["fit", str(trained), *words]) == 0
    empty = {0, 5, 6, 14}
    asked = records(
        form, tmp_path / "new", {n: [None if i in empty else v[i] for i in range(15)] for n, v in data.items()}
    )
    if memory != "1GB":
        monkeypatch.setattr("newtron.table.in_memory._is_large", lambda *_: True)
    capsys.readouterr()
    out = tmp_path / "out.csv"
    assert main(["predict", str(tmp_path / "m"), str(asked), "--output", str(out), "--memory", memory]) == 0
    told = capsys.readouterr().err
    found = out.read_text().splitlines()[1:]
    text_of_one_column = width == 1 and "sv" in form
    expected = empty - {14} if text_of_one_column else empty  # at the end of a text, an empty line is no record
    assert {i for i, line in enumerate(found) if line == '""'} == expected
    assert len(found) == (14 if text_of_one_column else 15)
    assert f"{len(expected)} rows have no value in any column that the model reads" in told
    assert [float(line) for line in found if line != '""'] == pytest.approx(
        [X[i] @ np.arange(1, width + 1) for i in range(15) if i not in empty], abs=1e-2
    )


def test_blank_lines_are_told_and_a_row_that_training_knew_is_predicted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known, asked, out = tmp_path / "known.csv", tmp_path / "asked.csv", tmp_path / "out.csv"
    known.write_text("x,y\n" + "".join(f"{i if i % 4 else ''},{2.5 * i if i % 4 else 7.5}\n" for i in range(40)))
    words = ["--target", "y", "--model", "perceptron", "--quiet", "--no-report", "--output", str(tmp_path / "m")]
    assert main(["fit", str(known), *words]) == 0
    asked.write_text("x,z\n2,1\n\n,1\n,\n4,1\n\n")
    assert main(["predict", str(tmp_path / "m"), str(asked), "--output", str(out)]) == 0
    assert [float(line) for line in out.read_text().splitlines()[1:]] == pytest.approx([5.0, 7.5, 7.5, 10.0])
    assert "2 blank lines left out" in capsys.readouterr().err


@pytest.mark.slow
def test_what_predict_had_to_fill_in(place: Path, tmp_path: Path) -> None:
    lines = PENGUINS.read_text(encoding="utf-8").splitlines()[:3]
    changed = [lines[0], lines[1].replace("Torgersen", "Atlantis").replace("2007", ""), lines[2]]
    (tmp_path / "d.csv").write_text("\n".join(changed) + "\n")
    run = newtron_run("predict", place / "penguins-network.newtron", "d.csv", cwd=tmp_path)
    assert len(rows_of(run.stdout)) == 3
    assert "d.csv: column 'island': 1 cell with a value never seen in training" in run.stderr
    assert "d.csv: column 'year': 1 missing cell, though training had none" in run.stderr
    (tmp_path / "e.csv").write_text("\n".join(lines).replace("Adelie", "Emperor") + "\n")
    run = newtron_run("predict", place / "penguins-network.newtron", "e.csv", cwd=tmp_path)
    assert "does not know the class 'Emperor'" in run.stderr
    assert len(rows_of(run.stdout)) == 3


@pytest.mark.slow
def test_a_reader_that_stops_is_no_error(place: Path, tmp_path: Path) -> None:
    header, *rows = CONCRETE.read_text(encoding="utf-8").splitlines()
    (tmp_path / "long.csv").write_text("\n".join([header, *rows * 20]) + "\n")
    line = f"{sys.executable} -m newtron predict {place}/concrete-network.newtron long.csv | head -n 2"
    run = subprocess.run(
        ["sh", "-c", line], capture_output=True, text=True, cwd=tmp_path, env=environment(), timeout=120
    )
    assert run.stdout.count("\n") == 2
    assert run.stderr == ""


@pytest.mark.slow
def test_predict_into_a_device(place: Path) -> None:
    out = started("predict", "concrete-network.newtron", CONCRETE, "--output", "/dev/stdout", cwd=place)
    assert len(rows_of(out)) == 1031


# --- show ---


@pytest.mark.slow
def test_show_every_kind(place: Path) -> None:
    shown = {path.stem: newtron_run("show", path, cwd=place).stdout for path in sorted(place.glob("*.newtron"))}
    for name, text in shown.items():
        assert "How training ended" in text, name
        assert "Compared on" in text
        assert "trained on" in text
        assert "\x1b" not in text
    assert "a perceptron for classification" in shown["penguins-perceptron"]
    assert "island (reference Biscoe)" in shown["penguins-perceptron"]
    assert "an average of 2 networks for regression" in shown["concrete-network"]
    assert re.search(r"2 +8-3-2-1", shown["concrete-network"])
    bundle = load_bundle(place / "concrete-perceptron.newtron")
    found = bundle.estimator.summary()
    numbers = " +".join(f"{v:#.5g}".replace(".", r"\.") for v in (found.estimates[1], found.standard_errors[1]))
    assert re.search(rf"cement +{numbers} ", shown["concrete-perceptron"])
    assert re.search(r"  Gentoo\n    intercept +-?\d", shown["penguins-perceptron"])
    assert "log odds of each class against Adelie" in shown["penguins-perceptron"]


@pytest.mark.slow
def test_show_as_json(place: Path) -> None:
    for path in sorted(place.glob("*.newtron")):
        facts = strict_json(newtron_run("show", path, "--json", cwd=place).stdout)
        bundle = load_bundle(path)
        assert facts["schema"] == to_json(bundle.schema)
        assert facts["report"] == bundle.report
        assert len(facts["members"]) == len(bundle.estimator.members_)
        if "perceptron" in path.name:
            estimates = np.array(list(facts["coefficients"]["estimates"].values())).T
            assert np.array_equal(estimates, np.atleast_2d(bundle.estimator.coef_))
            found = bundle.estimator.summary()
            assert np.array_equal(facts["summary"]["standard_errors"], found.standard_errors)
            assert np.array_equal(facts["summary"]["intervals"], found.intervals)
            assert facts["summary"]["aic"] == found.aic
            assert len(facts["summary"]["names"]) == len(found.names)
        else:
            assert facts["summary"] is None


@pytest.mark.slow
def test_a_model_saved_from_python(tmp_path: Path) -> None:
    from newtron import PerceptronRegressor

    X = np.random.default_rng(0).normal(size=(30, 2))
    save(PerceptronRegressor().fit(X, np.column_stack([X[:, 0], X[:, 1]])), tmp_path / "m")
    shown = newtron_run("show", "m", cwd=tmp_path).stdout
    assert re.search(r"name +estimate +std. error .*\n +target 1\n(?:.*\n){3} +target 2\n", shown)
    model = PerceptronRegressor().fit(X, np.column_stack([X[:, 0], X[:, 1]]))
    change_member(model, 0, information=None)  # as of a very wide table
    save(model, tmp_path / "bare")
    assert re.search(r"name +target 1 +target 2\n", newtron_run("show", "bare", cwd=tmp_path).stdout)
    assert newtron_run("show", "m", "--json", cwd=tmp_path).stdout
    sentence = newtron_run("predict", "m", PENGUINS, cwd=tmp_path, code=2).stderr
    assert "the column 'x1', which the model needs, is missing" in sentence


# --- on a terminal, and Ctrl-C ---


def on_terminal(*words: object, cwd: Path, width: int = 80) -> tuple[int, str]:
    """Run on a pseudo-terminal; exit code and everything that came out."""
    import fcntl
    import struct
    import termios

    child, terminal = pty.fork()
    if child == 0:
        os.chdir(cwd)
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 30, width, 0, 0))
        os.execve(sys.executable, [sys.executable, "-m", "newtron", *map(str, words)], environment())
    seen = b""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                piece = os.read(terminal, 65536)
            except OSError:  # how Linux says that the other end is closed
                break
            if not piece:
                break
            seen += piece
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), seen.decode("utf-8")


@pytest.mark.slow
def test_the_live_display(tmp_path: Path) -> None:
    code, seen = on_terminal("fit", CONCRETE, "--target", "strength_mpa", "--hidden", "8", cwd=tmp_path)
    assert code == 0
    plain = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", seen)
    assert "Ctrl-C stops and keeps the best so far" in plain
    assert re.search(r"iteration +objective +gradient +decrement +time", plain)
    assert "network: 2 members" in plain
    assert "Traceback" not in plain
    assert seen.rindex("\x1b[?25h") > seen.rindex("\x1b[?25l")  # the cursor is back
    final = plain[plain.index("rows, 9 columns") - 400 :]
    assert max(len(line.rstrip()) for line in final[final.index("Compared") :].splitlines()) <= 80
    assert "\r\n\r\nCompared on" in plain
    code, seen = on_terminal("show", tmp_path / "model.newtron", cwd=tmp_path, width=60)
    assert code == 0
    plain = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", seen)
    assert max(len(line.rstrip()) for line in plain.splitlines()) <= 60


def start(*words: object, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "newtron", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=environment(),
        # A shell may have had this process ignore Ctrl-C; a user's terminal does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    """A fit whose network takes a minute or more, in many short steps."""
    path = tmp_path_factory.mktemp("slow") / "d.csv"
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3000, 6))
    y = np.sin(X @ rng.normal(size=6)) + rng.normal(size=3000)
    rows = "".join(",".join(f"{v:.4f}" for v in (*x, t)) + "\n" for x, t in zip(X, y, strict=True))
    path.write_text("a,b,c,d,e,f,y\n" + rows)
    return ("fit", path, "--target", "y", "--hidden", "30", "--starts", "40", "--alpha", "0.001")


@pytest.mark.slow
def test_ctrl_c_keeps_the_best_so_far(slow: tuple[object, ...], tmp_path: Path) -> None:
    run = start(*slow, "--json", cwd=tmp_path)
    assert run.stderr is not None
    assert run.stderr.readline().startswith("perceptron: ")
    time.sleep(1.5)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "stopping at the next step" in err
    assert "on all rows" not in err
    assert "Traceback" not in err
    facts = strict_json(out)
    assert facts["interrupted"] is True
    assert facts["refit"] is None
    assert "interrupted" in facts["models"]["network"]["ending"]
    assert set(facts["comparison"]["metrics"]) == {"baseline", "perceptron", "network"}
    assert any("Training was interrupted" in warning for warning in facts["warnings"])
    assert newtron.load(tmp_path / "model.newtron").n_features_in_ == 6
    assert sorted(os.listdir(tmp_path)) == ["model.newtron", "report.html"]


@pytest.mark.slow
def test_a_second_ctrl_c_writes_nothing(slow: tuple[object, ...], tmp_path: Path) -> None:
    (tmp_path / "model.newtron").write_text("an older model")
    run = start(*slow, "--hidden", "400,100", "--starts", "2", cwd=tmp_path)
    assert run.stderr is not None
    assert run.stderr.readline().startswith("perceptron: ")
    time.sleep(1.0)
    run.send_signal(signal.SIGINT)
    while "stopping at the next step" not in run.stderr.readline():
        pass
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "nothing was written" in err
    assert (tmp_path / "model.newtron").read_text() == "an older model"
    assert os.listdir(tmp_path) == ["model.newtron"]


@pytest.mark.slow
def test_ctrl_c_before_there_is_a_model(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "d.csv")  # reading waits here until the signal comes
    run = start("fit", "d.csv", "--target", "y", cwd=tmp_path)
    with open(tmp_path / "d.csv", "wb"):  # opens once the command reads
        time.sleep(0.3)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=60)
    assert run.returncode == 130
    assert (out, err) == ("", "newtron: interrupted before there was a model; nothing was written.\n")
    assert os.listdir(tmp_path) == ["d.csv"]


@pytest.mark.slow
def test_a_killed_fit_goes_on_from_its_checkpoints(tmp_path: Path) -> None:
    words = (
        "fit",
        CONCRETE,
        "--target",
        "strength_mpa",
        "--hidden",
        "8",
        "--starts",
        "2",
        "--quiet",
        "--no-report",
        "--threads",
        "1",
    )
    newtron_run(*words, "--output", "whole.newtron", cwd=tmp_path)
    run = start(*words, "--output", "killed.newtron", "--checkpoint", "run", cwd=tmp_path)
    for _ in range(6000):
        if (tmp_path / "run.network").exists():
            break
        time.sleep(0.005)
    run.kill()
    run.communicate()
    assert (tmp_path / "run.perceptron").exists()
    assert not (tmp_path / "killed.newtron").exists()
    other = newtron_run(*words, "--alpha", "3", "--checkpoint", "run", cwd=tmp_path, code=2)
    assert "run.perceptron: this checkpoint is of a training with alpha=0.0, and this" in other.stderr
    newtron_run(*words, "--output", "killed.newtron", "--checkpoint", "run", cwd=tmp_path)
    assert (tmp_path / "killed.newtron").read_bytes() == (tmp_path / "whole.newtron").read_bytes()
    assert sorted(name for name in os.listdir(tmp_path) if not name.endswith(".part")) == [
        "killed.newtron",
        "whole.newtron",
    ]
    nowhere = newtron_run(*words, "--checkpoint", "no/such", cwd=tmp_path, code=2)
    assert "there is no folder" in nowhere.stderr


@pytest.mark.slow
def test_files_larger_than_memory(tmp_path: Path) -> None:
    """A folder is read in pieces: the same models as from one file in memory, and the same predictions."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq

    table = pa.csv.read_csv(CONCRETE)
    (tmp_path / "parts").mkdir()
    pq.write_table(table, tmp_path / "whole.parquet")
    for number, start in enumerate(range(0, table.num_rows, 400)):
        pq.write_table(table.slice(start, 400), tmp_path / "parts" / f"{number}.parquet", row_group_size=150)
    words = ("--target", "strength_mpa", "--model", "perceptron", "--holdout", "0")
    newtron_run("fit", "whole.parquet", *words, "--output", "memory.newtron", cwd=tmp_path)
    seen = newtron_run("fit", "parts", *words, "--output", "pieces.newtron", cwd=tmp_path)
    assert "learning the columns: 1,030 of 1,030 rows" in seen.stderr
    assert "parts: 1,030 rows, 9 columns" in seen.stdout
    assert "read in pieces" in re.sub(r"\s+", " ", seen.stdout)
    assert "No report was written" in re.sub(r"\s+", " ", seen.stdout)
    assert not (tmp_path / "pieces.html").exists()
    report = newtron_run("fit", "parts", *words, "--report", "r.html", cwd=tmp_path, code=2)
    assert "--report: these files are read in pieces" in report.stderr
    firth = newtron_run("fit", "parts", *words, "--penalty", "firth", cwd=tmp_path, code=2)
    assert "--penalty firth is for classes" in firth.stderr
    memory, pieces = (newtron.load(tmp_path / f"{name}.newtron") for name in ("memory", "pieces"))
    np.testing.assert_allclose(pieces.coef_, memory.coef_, rtol=1e-10)
    newtron_run("predict", "pieces.newtron", "parts", "--output", "pieces.csv", cwd=tmp_path)
    newtron_run("predict", "pieces.newtron", "whole.parquet", "--output", "whole.csv", cwd=tmp_path)
    found, expected = (np.loadtxt(tmp_path / f"{name}.csv", skiprows=1) for name in ("pieces", "whole"))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert len(found) == 1030
    compared = newtron_run(
        "fit", "parts/*.parquet", "--target", "strength_mpa", "--hidden", "4", "--starts", "1", "--json", cwd=tmp_path
    )
    facts = strict_json(compared.stdout)
    assert set(facts["comparison"]["metrics"]) == {"baseline", "perceptron", "network"}
    copies = 1030 - facts["comparison"]["training_rows"] - facts["comparison"]["held_out_rows"]
    assert 0 < copies < 38
    assert any(f"{copies} rows that are equal to held-out rows in every column" in note for note in facts["warnings"])
    assert facts["verdict"]["kept"] == "network"
    assert facts["refit"] is not None
    shown = newtron_run("show", "model.newtron", cwd=tmp_path)
    assert "1,030 rows" in shown.stdout
    big = newtron_run("fit", "whole.parquet", *words, "--memory", "32MB", "--json", cwd=tmp_path)
    assert "in pieces" not in big.stdout  # it fits
    for wrong, sentence in (("much", "this is no size"), ("1KB", "give at least 32MB")):
        assert sentence in newtron_run("fit", "parts", *words, "--memory", wrong, cwd=tmp_path, code=2).stderr
    (tmp_path / "parts" / "1.parquet").write_bytes(b"PAR1")
    assert "damaged" in newtron_run("fit", "parts", *words, cwd=tmp_path, code=2).stderr
    gone = newtron_run("predict", "pieces.newtron", "parts", "--output", "no.csv", cwd=tmp_path, code=2)
    assert "damaged" in gone.stderr
    assert not (tmp_path / "no.csv").exists()
