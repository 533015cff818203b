"""What screens, reports and messages say: models that are worse than a guess, plurals, control characters, late
failures, and commands that can be copied."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import warnings
from contextlib import suppress
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.base import BaseEstimator

from newtron import (
    InputError,
    NetworkClassifier,
    NetworkRegressor,
    PerceptronClassifier,
    PerceptronRegressor,
    Stochastic,
)
from newtron.cli import main
from newtron.engine.base import words
from newtron.estimators.notebook import described
from newtron.study.compare import judge
from newtron.study.report.prediction_plots import _drawn, numbers
from newtron.study.sample import Sample
from newtron.study.scores import Scoring
from newtron.study.settings import setting_names
from newtron.training.settings import Settings


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    return tmp_path


def write(name: str, columns: dict[str, Any]) -> str:
    """A CSV file; text cells and names are quoted."""

    def cell(value: Any) -> str:
        return '"' + value.replace('"', '""') + '"' if isinstance(value, str) else f"{value:.5f}"

    lines = [",".join(map(cell, columns)), *(",".join(map(cell, row)) for row in zip(*columns.values(), strict=True))]
    Path(name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return name


def said(capsys: pytest.CaptureFixture[str], *typed: str, code: int = 0) -> tuple[str, str]:
    """Standard output and error of a command, each on one line."""
    assert main(list(typed)) == code
    out, err = capsys.readouterr()
    return " ".join(out.split()), " ".join(err.split())


def noise(n: int = 60, p: int = 2) -> dict[str, Any]:
    """p columns that say nothing about y."""
    rng = np.random.default_rng(3)
    columns: dict[str, Any] = {f"c{j}": rng.normal(size=n) for j in range(p)}
    return columns | {"y": rng.normal(size=n)}


# --- models that are worse than a guess ---


def test_every_model_that_is_worse_than_the_guess_is_named() -> None:
    rng = np.random.default_rng(1)
    y = rng.normal(size=200)
    rows, scoring = Sample(np.empty((200, 0)), y), Scoring("regression")
    guess, good = scoring.score(np.zeros(200), rows), scoring.score(0.5 * y, rows)
    bad, worst = scoring.score(rng.normal(size=200), rows), scoring.score(3.0 * rng.normal(size=200), rows)
    found = judge("regression", {"baseline": guess, "perceptron": good, "network": bad})
    assert (found.kept, found.worse) == ("perceptron", ["network"])
    assert "The network predicts worse than the mean alone: its squared error is higher by" in found.why[-1]
    assert found.warnings == found.why[-1:]
    both = judge("regression", {"baseline": guess, "perceptron": bad, "network": worst}, {"perceptron": "Do this."})
    assert both.worse == ["perceptron", "network"]
    assert both.warnings[0].endswith("Do this.")
    assert both.warnings[1].endswith("the rows are too few.")
    assert judge("regression", {"baseline": guess, "perceptron": good}).warnings == []
    overflown = scoring.score(np.full(200, 1e200), rows)
    assert "not numbers" in judge("regression", {"baseline": guess, "perceptron": overflown}).why[0]


def test_an_unpenalised_perceptron_that_is_worse_gets_the_hint(capsys: pytest.CaptureFixture[str]) -> None:
    fit = ("fit", write("d.csv", noise(p=45)), "--target", "y", "--model", "perceptron")
    hint = "fitted without a penalty, with 45 coefficients from 48 rows"
    out, _ = said(capsys, *fit)
    assert "The perceptron predicts worse than the mean alone" in out
    assert hint in out
    assert "--alpha evidence chooses a penalty from the data" in out
    assert hint in Path("report.html").read_text(encoding="utf-8")
    assert hint in said(capsys, "show", "model.newtron")[0]
    assert hint in said(capsys, *fit, "--quiet")[1]
    facts = json.loads(said(capsys, *fit, "--json")[0])
    assert facts["verdict"]["no_better_than_the_guess"] == ["perceptron"]
    assert any(hint in warning for warning in facts["warnings"])
    assert hint not in said(capsys, *fit, "--alpha", "evidence")[0]


def test_more_columns_than_rows_are_told_even_where_nothing_is_held_out(capsys: pytest.CaptureFixture[str]) -> None:
    fit = ("fit", write("d.csv", noise(n=30, p=40)), "--target", "y", "--model", "perceptron", "--holdout", "0")
    sentence = "The perceptron has 40 columns, no fewer than its 30 rows, and no penalty"
    assert sentence in said(capsys, *fit)[0]
    assert sentence not in said(capsys, *fit, "--alpha", "evidence")[0]


def test_a_penalty_is_advised_only_where_rows_are_few_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = said(capsys, "fit", write("d.csv", noise()), "--target", "y", "--model", "perceptron")
    assert "does not clearly predict better" in out or "predicts worse" in out
    assert "--alpha evidence" not in out


@pytest.mark.parametrize("n", [30, 60])
def test_the_report_names_no_section_that_it_has_not(n: int, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "fit", write("d.csv", noise(n)), "--target", "y", "--model", "perceptron")
    report = Path("report.html").read_text(encoding="utf-8")
    assert ("<h2>Which columns matter</h2>" in report) == ("see &quot;Which columns matter" in report) == (n == 60)


def test_separated_classes_are_told_of_the_rows_that_were_trained_on(capsys: pytest.CaptureFixture[str]) -> None:
    columns = {"x": np.arange(60.0), "z": np.arange(60) % 7 * 1.5, "y": np.repeat(["a", "b"], 30)}
    out, _ = said(capsys, "fit", write("d.csv", columns), "--target", "y", "--model", "perceptron")
    assert "the column x tells the class of each of 48 rows." in " ".join(out.split())
    assert "The perceptron was fitted with a penalty, --alpha 1, which keeps" in " ".join(out.split())


# --- what is too large, too narrow or too late ---


def test_a_target_at_the_edge_of_the_range_has_its_report(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    lines = ["x,y", *(f"{x:.4f},{s}1e308" for x, s in zip(rng.normal(size=40), ["", "-"] * 20, strict=True))]
    Path("d.csv").write_text("\n".join(lines) + "\n")
    out, err = said(capsys, "fit", "d.csv", "--target", "y", "--hidden", "2")
    assert "Nothing was compared: squared errors of this target are beyond the range" in out
    assert "Warning" not in err
    assert "How to repeat this fit" in Path("report.html").read_text(encoding="utf-8")


def test_the_model_stays_where_the_report_cannot_be_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import newtron.study.report.page

    def full(path: str, write: Any) -> None:
        raise InputError(f"{path}: the file cannot be written (No space left on device); free space.")

    monkeypatch.setattr(newtron.study.report.page, "write_whole", full)
    fit = ("fit", write("d.csv", noise()), "--target", "y", "--model", "perceptron")
    out, err = said(capsys, *fit, code=2)
    assert "The model was written to model.newtron; the report could not be written: report.html: the file" in err
    assert "Written: model.newtron" in out
    assert "Report:" not in out
    assert Path("model.newtron").exists()
    out, err = said(capsys, *fit, "--json", code=2)
    assert json.loads(out)["report"] is None
    assert err.count("newtron: ") == 1


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_result_that_cannot_be_printed_does_not_hide_the_model() -> None:
    fit = f"fit {write('d.csv', noise())} --target y --model perceptron --no-report"
    run = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m newtron {fit} > /dev/full"], capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 2
    assert "The model was written to model.newtron, but the result could not be printed: No space left" in run.stderr
    assert "Traceback" not in run.stderr
    assert Path("model.newtron").exists()


@pytest.mark.slow
def test_terminals_that_are_too_narrow() -> None:
    write("d.csv", noise(n=30, p=40) | {"text": ["a", "b"] * 15})
    fit = ["fit", "d.csv", "--target", "y", "--model", "perceptron", "--holdout", "0"]
    for width, typed, last in ((1, fit, "Written: model.newtron"), (2, ["show", "model.newtron"], "--alpha evidence")):
        code, text = on_a_terminal(width, *typed)
        assert code == 0, text
        assert "Traceback" not in text
        assert last in text


def on_a_terminal(width: int, *typed: str) -> tuple[int, str]:
    """Exit code and all that a terminal of this width is sent."""
    main_end, its_end = pty.openpty()
    fcntl.ioctl(its_end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "newtron", *typed], stdin=its_end, stdout=its_end, stderr=its_end, close_fds=True
    )
    os.close(its_end)
    found = b""
    with suppress(OSError):
        while data := os.read(main_end, 65536):
            found += data
    os.close(main_end)
    return process.wait(timeout=120), found.decode("utf-8", "replace")


# --- how it is said ---


def test_one_of_a_thing_is_singular_and_nothing_is_minus_zero(capsys: pytest.CaptureFixture[str]) -> None:
    assert words.number(-0.0) == words.number(-1e-300 * 1e-300) == "0"
    assert words.percent(-1e-9) == "0.0 %"
    assert words.plus_minus(-0.001, 1.0) == "0.0 ± 1.0"
    assert words.power(float("inf")) == words.power(float("nan")) == "-"
    assert words.count(6825, "more column") == "6,825 more columns"
    columns = noise(n=40) | {"one": [1.0] * 40, "two": [2.0] * 20 + [2.0] * 20, "uno": [1.0] * 40}
    out, _ = said(capsys, "fit", write("d.csv", columns), "--target", "y", "--model", "perceptron")
    assert "each of one, uno: it is 1.0 in every row" in out
    assert "not used two: it is 2.0 in every row" in out


def test_the_command_of_a_report_can_be_copied(capsys: pytest.CaptureFixture[str]) -> None:
    columns = noise() | {"it's a 'code'": noise()["y"], "a\x1b[31mb": noise()["c0"]}
    Path("my data").mkdir()
    typed = [
        "fit",
        write("my data/a b.csv", columns),
        "--target",
        "y",
        "--model",
        "perceptron",
        "--output",
        "m 1.newtron",
    ]
    typed += ["--ignore", "it's a 'code'", "a\x1b[31mb", "--max-iter", "77", "--holdout", "0.25"]
    said(capsys, *typed)
    text = Path("m 1.html").read_text(encoding="utf-8")
    (copied,) = re.findall("<code>(newtron fit .*?)</code>", text)
    shell = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {unescape(copied)}"], capture_output=True, text=True, check=True
    )
    assert shell.stdout.split("\0")[:-1] == ["newtron", *typed]


def test_extreme_rows_are_drawn_though_the_others_are_a_sample() -> None:
    rng = np.random.default_rng(0)
    y = rng.normal(size=20_000)
    predicted = y + 0.1 * rng.normal(size=20_000)
    y[[7, 11]], predicted[[13]] = [50.0, -40.0], 60.0
    shown = _drawn(predicted, y)
    assert {7, 11, 13} <= set(shown.tolist())
    assert len(shown) == len(set(shown.tolist())) == 1000
    assert "1,000 of 20,000 rows are drawn: the rows with the most extreme" in numbers(predicted, y, None)


# --- text of the data that a terminal, a page or a spreadsheet would obey ---

HOSTILE = "a\x1b[31m\x07\u202eb"


def shown_raw(text: str) -> set[str]:
    """Characters that act on what shows them."""
    return set(text) & set("\x1b\x07\u202e\x9b")


def test_control_characters_are_shown_as_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=80)
    data = write(
        "d.csv",
        {
            HOSTILE: x,
            "t": [["u", "v\x1b"][i % 2] for i in range(80)],
            "y": [["c", HOSTILE][int(v > 0)] for v in x + rng.normal(size=80)],
        },
    )
    for model in ("perceptron", "network"):
        said(capsys, "fit", data, "--target", "y", "--model", model, "--hidden", "2", "--starts", "1")
        assert shown_raw(Path("report.html").read_text(encoding="utf-8")) == set()
        for typed in (
            ["show", "model.newtron"],
            ["explain", "model.newtron", data],
            ["predict", "model.newtron", data],
        ):
            out, err = said(capsys, *typed)
            assert shown_raw(out + err) == set(), typed
            assert "\\x1b[31m\\x07\\u202e" in out, typed
    assert "written as escapes" in err


def test_control_characters_in_a_notebook() -> None:
    X = pd.DataFrame({HOSTILE: np.arange(20.0), "b": np.arange(20.0) % 3})
    y = np.where(np.arange(20) % 4 < 2, HOSTILE, "z")
    model = PerceptronClassifier(alpha=1.0).fit(X, y)
    told = [model.summary()._repr_html_(), str(model.summary()), described(model.model_)]
    derived = model.explain(X.iloc[0], y[0])
    told += [derived._repr_html_(), str(derived), derived.to_latex()]
    for text in told:
        assert shown_raw(text) == set()
        assert "x1b" in text
    separated = PerceptronClassifier(max_iter=5)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        separated.fit(X, np.arange(20) > 9)
    assert shown_raw(str(caught[0].message) + repr(separated.separation_)) == set()


def test_labels_that_only_look_strange_stay_as_they_are() -> None:
    for name in ("a\nb", "a\tb", "\u200fא", "👩\u200d🚀", "café"):
        assert words.without_controls(name) == name


def test_classes_that_a_spreadsheet_would_compute(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=80)
    formula = '=HYPERLINK("http://a.b","c")'
    classes = np.array([formula, "-1", "plain"])[np.clip(np.round(x + rng.normal(size=80)) + 1, 0, 2).astype(int)]
    data = write("d.csv", {"x": x, "y": classes.tolist()})
    said(capsys, "fit", data, "--target", "y", "--model", "perceptron", "--no-report")
    for more, written in ([], formula), (["--safe-for-spreadsheets"], "'" + formula):
        _, err = said(capsys, "predict", "model.newtron", data, "--output", "p.csv", *more)
        assert ("as a formula does" in err) == (not more)
        with open("p.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        assert len(rows) == 81
        assert {row[0] for row in rows[1:]} == {written, "-1", "plain"}
        assert rows[0] == ["prediction", "p(-1)", f"p({formula})", "p(plain)"]


@pytest.mark.parametrize("name", ["<1 km", "{a}", "<b>", "<", "{", "{}x"])
def test_a_first_column_may_begin_like_markup(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("d.csv").write_text(f"{name},y\n" + "".join(f"{i},{i % 5}.5\n" for i in range(30)))
    out, _ = said(capsys, "fit", "d.csv", "--target", "y", "--model", "perceptron", "--no-report")
    assert f"numbers {name}" in out


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}',
        '{\n  "a": [1]\n}',
        "<?xml version='1.0'?>\n<a/>",
        "<!DOCTYPE html>\n",
        "<table>\n<tr>",
        "<html lang='en'>x",
    ],
)
def test_markup_is_told(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("d.csv").write_text(text)
    _, err = said(capsys, "fit", "d.csv", "--target", "y", code=2)
    assert "this is JSON" in err or "this is HTML or XML" in err


# --- notes, notebooks and progress ---


def test_a_folder_is_not_called_large_and_a_memory_is_judged_as_typed(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    Path("visits").mkdir()
    for part in range(2):
        x = rng.normal(size=200)
        table = pa.table({"x": x, "y": 2.0 * x + rng.normal(size=200)})
        pq.write_table(table, f"visits/{part}.parquet")
    fit = ("fit", "visits", "--target", "y", "--model", "perceptron")
    out, _ = said(capsys, *fit, "--memory", "500MB")
    assert "The files of a folder or a pattern are read in pieces for every pass, however small they are" in out
    assert "take more than" not in out
    _, err = said(capsys, *fit, "--memory", "5MB", code=2)
    assert err == "newtron: --memory 5MB: reading files in pieces takes more; give at least 32MB."


def test_separation_reads_as_a_sentence_and_is_told_once_in_a_notebook() -> None:
    X = pd.DataFrame({"dose": np.arange(20.0), "total is missing": np.arange(20.0) % 3})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = PerceptronClassifier().fit(X, np.arange(20) > 9)
    found = repr(model.separation_)
    assert found.startswith("<Separation 'complete': The classes are completely separated: the column dose tells")
    assert "array(" not in found
    told = described(model.model_)
    assert told.count("completely separated") == 1
    assert "Without finite estimates there are no standard errors." in told


def test_verbose_says_which_penalty(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    y = X[:, 0] + rng.normal(size=40)
    PerceptronRegressor(alpha="evidence", standardize=True, verbose=1).fit(X, y)
    searched = capsys.readouterr().out.splitlines()
    assert all(re.match(r"penalty \S+  iteration +1  objective", line) for line in searched)
    assert len({line.split()[1] for line in searched}) > 1
    NetworkRegressor(hidden=(2,), n_starts=2, alpha=0.5, verbose=1).fit(X, y)
    assert re.match(r"member [12]/2  penalty 0.5  iteration", capsys.readouterr().out)


def test_an_early_stop_speaks_of_the_training_rows() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 2))
    model = PerceptronRegressor(solver=Stochastic(patience=1), max_iter=400).fit(X, rng.normal(size=400))
    assert "held-out" not in model.solution_.sentence
    assert "inner split of the training rows" in model.solution_.sentence


@pytest.mark.parametrize("kind", [PerceptronRegressor, PerceptronClassifier, NetworkRegressor, NetworkClassifier])
def test_the_settings_shown_are_those_of_the_estimator(kind: type[BaseEstimator]) -> None:
    family, task = re.findall("[A-Z][a-z]+", kind.__name__)
    settings = Settings.of(family.lower(), "regression" if task == "Regressor" else "classification", {})
    assert setting_names(settings) == sorted(set(kind().get_params()) - {"callback"})
