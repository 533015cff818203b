"""Whatever is wrong with a file, a setting or a place: one sentence, exit code 2, and nothing is lost.

Most cases call `main` in this process, which is what the command does; the others are real processes.
"""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.models import load_bundle, save
from support.present import present

from newtron import InputError, PerceptronClassifier
from newtron.cli import main

ROOT = Path(__file__).resolve().parents[2]
PENGUINS = ROOT / "examples" / "penguins.csv"


class Runs:
    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, ("the pickle ran",))


def npz(**arrays: object) -> bytes:
    held = io.BytesIO()
    np.savez_compressed(held, **arrays)  # type: ignore[arg-type]
    return held.getvalue()


def many(row: str, n: int = 30) -> str:
    return "".join(row.format(i=i, j=i % 3, odd=i % 2) + "\n" for i in range(n))


# Files that are hostile or merely unlucky, and a part of what `fit --target y` says about them; None where
# it fits.
HOSTILE: dict[str, tuple[bytes, str | None]] = {
    "dup_columns.csv": (b"x,x,y\n1,2,0\n2,1,1\n3,5,0\n4,4,1\n", "two columns are both named 'x'"),
    "huge_field.csv": (b'x,y\n"' + b"a" * 200_000 + b'",1\nb,0\n', "row 2, column 'x': the cell has 200,000"),
    "bom_crlf_semicolon.csv": (b"\xef\xbb\xbfx;y\r\n1,5;0\r\n2,5;1\r\n", None),
    "latin1.csv": ("name,y\ncafé,0\nthé,1\n".encode("latin-1"), "row 2: the text is not UTF-8"),
    "header_only.csv": (b"x1,x2,y\n", "there is a header but no data rows"),
    "nan_inf.csv": (b"x,y\n1,0\nnan,1\ninf,0\n-inf,1\n,1\n1e400,0\n", "rows 4, 5 and 7, column 'x'"),
    "constant_and_collinear.csv": (b"c,a,b,y\n" + many("7,{i},{i},{odd}").encode(), None),
    "quasi_separable.csv": (b"x1,x2,y\n" + many("{odd},{i},{odd}").encode(), None),
    "unicode_labels.csv": ("x,y\n1,é\n2,é\n3,é\n4,é\n".encode(), None),
    "model.pkl": (pickle.dumps(Runs()), "this is binary data"),
    "objects.npz": (npz(w=np.array([Runs()], dtype=object)), "ZIP archive"),
    "bomb.npz": (npz(w=np.zeros(3_000_000)), "ZIP archive"),
    "long.safetensors": (b"\0\0\0\0\0\0\0\x80{}", "this is binary data"),
    "weights.json": (b'{"format": "newtron", "coef": [NaN, Infinity]}', "this is JSON"),
    "empty.csv": (b"", "the file is empty"),
    "one_column.csv": (b"y\n1\n2\n3\n", "no column is left to predict 'y' from"),
    "ragged.csv": (b"x,y\n1,2\n1,2,3\n", "row 3: there are 3 cells here"),
    "no_target.csv": (b"x,z\n1,2\n3,4\n", "there is no column 'y'"),
    "all_missing.csv": (b"x,y\n1,\n2,\n", "every cell is missing"),
    "one_class.csv": (b"x,y\n1,a\n2,a\n3,a\n", "the only class is 'a'"),
    "constant_target.csv": (b"x,y\n" + many("{i},2.5").encode(), "it is 2.5 in every row"),
    "dates.csv": (b"x,y\n" + many("{i},2020-01-1{j}").encode(), "it holds dates"),
    "names.csv": (b"x,y\n" + many("{i},name{i}").encode(), "are too many to learn"),
    "binary.csv": (bytes(range(256)) * 20, "binary data"),
    "quote.csv": (b'x,y\n1,"2\n3,4\n', "a quotation mark"),
    "one_row.csv": (b"x,y\n1,2.5\n", "in every row"),
    "huge_numbers.csv": (b"x,y\n" + many("{i}e300,{odd}.5").encode(), None),
    "tiny_numbers.csv": (b"x,y\n" + many("{i}e-300,{i}e-300").encode(), None),
    "three_rows.csv": (b"x,y\n1,2.5\n2,3.5\n3,1.0\n", None),
}


def call(*words: object, capfd: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    capfd.readouterr()
    try:
        code = main([str(word) for word in words])
    except SystemExit as stop:
        code = int(stop.code or 0)
    out, err = capfd.readouterr()
    return code, out, err


def one_sentence(code: int, out: str, err: str) -> str:
    assert code == 2, (code, out, err)
    assert out == ""
    assert err.startswith("newtron: ")
    assert err.endswith(".\n")
    assert err.count("\n") == 1
    assert len(err) < 600
    return err


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "penguins.newtron"
    assert (
        main(
            [
                "fit",
                str(PENGUINS),
                "--target",
                "species",
                "--model",
                "perceptron",
                "--quiet",
                "--output",
                str(path),
            ]
        )
        == 0
    )
    return path


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["perceptron", "auto"])
@pytest.mark.parametrize("name", HOSTILE)
def test_fit_of_a_hostile_file(name: str, kind: str, here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data, sentence = HOSTILE[name]
    (here / name).write_bytes(data)
    (here / "model.newtron").write_text("an older model")
    words = ("fit", name, "--target", "y", "--model", kind, "--starts", "1", "--max-iter", "50")
    code, out, err = call(*words, capfd=capfd)
    if sentence is not None:
        assert sentence in one_sentence(code, out, err)
        assert err.startswith(f"newtron: {name}")
    if code == 0:
        assert sentence is None
        assert load_bundle("model.newtron").schema is not None
        assert call("predict", "model.newtron", name, capfd=capfd)[0] == 0
        assert call("show", "model.newtron", capfd=capfd)[0] == 0
    else:
        assert one_sentence(code, "", "newtron: " + err.rpartition("newtron: ")[2])
        assert (here / "model.newtron").read_text() == "an older model"
    assert "Traceback" not in err
    report = {"report.html"} if code == 0 else set()
    assert sorted(os.listdir(here)) == sorted({"model.newtron", name} | report)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_to_predict_and_as_models(
    name: str, model: Path, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (here / name).write_bytes(HOSTILE[name][0])
    (here / "out.csv").write_text("older")
    sentence = one_sentence(*call("predict", model, name, "--output", "out.csv", capfd=capfd))
    assert name in sentence
    for words in (("predict", name, PENGUINS), ("show", name), ("show", name, "--json")):
        sentence = one_sentence(*call(*words, capfd=capfd))
        assert "not a newtron model" in sentence or "the file is empty" in sentence
    assert (here / "out.csv").read_text() == "older"
    assert sorted(os.listdir(here)) == sorted([name, "out.csv"])


@pytest.mark.slow
def test_the_sentence_of_a_real_process(tmp_path: Path) -> None:
    for name, (data, sentence) in HOSTILE.items():
        if name not in ("header_only.csv", "model.pkl", "latin1.csv"):
            continue
        (tmp_path / name).write_bytes(data)
        run = subprocess.run(
            [sys.executable, "-m", "newtron", "fit", name, "--target", "y"],
            capture_output=True,
            text=True,
            encoding="utf-8",
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        )
        assert sentence is not None
        assert sentence in one_sentence(run.returncode, run.stdout, run.stderr)


def test_the_encoding_that_the_sentence_names_works(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"{name},{i}.5\n" for i, name in enumerate(["café", "thé"] * 15))
    (here / "d.csv").write_bytes(f"drink,y\n{rows}".encode("latin-1"))
    words = ("fit", "d.csv", "--target", "y", "--model", "perceptron")
    assert "--encoding latin-1" in one_sentence(*call(*words, capfd=capfd))
    code, out, _ = call(*words, "--encoding", "latin-1", capfd=capfd)
    assert code == 0
    assert "drink (2 levels)" in out
    one_sentence(*call(*words, "--encoding", "klingon", capfd=capfd))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--target", "specie"), "did you mean 'species'?"),
        (
            ("--target", "species", "--ignore", "yaer"),
            "there is no column 'yaer' to ignore; did you mean 'year'?",
        ),
        (("--target", "species", "--ignore", "year, sex"), "name them one by one: --ignore year sex"),
        (("--target", "species", "--task", "regression"), "regression needs numbers"),
        (("--target", "species", "--output", "."), ".: this is a folder"),
        (("--target", "species", "--output", "none/m.newtron"), "there is no folder"),
        (("--target", "species", "--output", ""), "name of the file to write is empty"),
        (("--target", "species", "--output", os.devnull), "a device or a pipe"),
        (("--target", "species", "--holdout", "0.99"), "leaves"),
        (("--target", "species", "--penalty", "firth", "--alpha", "1"), "leave out --alpha"),
        (("--target", "body_mass_g", "--penalty", "firth"), "--penalty firth is for classes"),
    ],
)
def test_settings_that_do_not_fit_the_file(
    words: tuple[str, ...], sentence: str, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    err = one_sentence(*call("fit", PENGUINS, *words, "--model", "perceptron", capfd=capfd))
    assert sentence in err
    assert os.listdir(here) == []


def test_the_place_of_the_model_is_checked_before_training(
    here: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from newtron.study.train import Trainer
    from newtron.table import in_memory

    monkeypatch.setattr(Trainer, "train", lambda *_: pytest.fail("trained for nothing"))
    monkeypatch.setattr(in_memory, "read_table", lambda *_, **__: pytest.fail("read for nothing"))
    one_sentence(*call("fit", PENGUINS, "--target", "species", "--output", "none/m", capfd=capfd))


def test_nothing_overwrites_what_it_reads(model: Path, here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = here / "d.csv"
    data.write_bytes(PENGUINS.read_bytes())
    sentence = one_sentence(*call("fit", "d.csv", "--target", "species", "--output", "./d.csv", capfd=capfd))
    assert "this is the data itself" in sentence
    before = model.read_bytes()
    for output in (data, model):
        sentence = one_sentence(*call("predict", model, data, "--output", output, capfd=capfd))
        assert "itself; give another name" in sentence
    assert (data.read_bytes(), model.read_bytes()) == (PENGUINS.read_bytes(), before)


def test_data_and_models_that_are_not_there(model: Path, here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "no such file" in one_sentence(*call("fit", "none.csv", "--target", "y", capfd=capfd))
    assert "no such file" in one_sentence(*call("predict", "none", PENGUINS, capfd=capfd))
    assert "no such file" in one_sentence(*call("predict", model, "none.csv", capfd=capfd))
    assert "no such file" in one_sentence(*call("show", "none", capfd=capfd))
    assert "a folder" in one_sentence(*call("fit", ".", "--target", "y", capfd=capfd))
    assert "a folder" in one_sentence(*call("show", ".", capfd=capfd))
    assert os.listdir(here) == []


def test_columns_that_are_missing_or_of_another_kind(
    model: Path, here: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    header, *rows = PENGUINS.read_text(encoding="utf-8").splitlines()
    (here / "a.csv").write_text("\n".join([header.replace("island", "isle"), *rows[:3]]) + "\n")
    sentence = one_sentence(*call("predict", model, "a.csv", capfd=capfd))
    assert "the column 'island', which the model needs, is missing" in sentence
    (here / "b.csv").write_text("\n".join([header, rows[0], rows[1].replace("186", "long")]) + "\n")
    sentence = one_sentence(*call("predict", model, "b.csv", capfd=capfd))
    assert "b.csv, row 3, column 'flipper_length_mm': 'long' is not a number" in sentence


def test_a_damaged_report_is_named(model: Path, here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bundle = load_bundle(model)
    for name, value in (("rows", "many"), ("why", [1]), ("kept", None), ("gain", "x"), ("refit", 1), ("metrics", [])):
        save(bundle.estimator, "m", schema=bundle.schema, report={**present(bundle.report), name: value})
        assert f"m: report.{name}" in one_sentence(*call("show", "m", capfd=capfd))
    metrics = {"perceptron": {"log_loss": "low", "error_rate": 0, "accuracy": 1}}
    save(bundle.estimator, "m", schema=bundle.schema, report={**present(bundle.report), "metrics": metrics})
    assert "report.metrics.perceptron.log_loss" in one_sentence(*call("show", "m", capfd=capfd))


def test_a_full_disk(here: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "model.newtron").write_text("an older model")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, out, err = call("fit", PENGUINS, "--target", "species", "--model", "perceptron", "--quiet", capfd=capfd)
    assert "model.newtron: the file cannot be written (No space left" in one_sentence(code, out, err)
    assert (here / "model.newtron").read_text() == "an older model"
    assert os.listdir(here) == ["model.newtron"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_device(model: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sentence = one_sentence(*call("predict", model, PENGUINS, "--output", "/dev/full", capfd=capfd))
    assert "No space left" in sentence


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_device_leaves_the_output_of_a_calling_program_as_it_is(model: Path) -> None:
    words = ["predict", str(model), str(PENGUINS), "--output", "/dev/full"]
    program = f"from newtron.cli import main\ncode = main({words!r})\nprint('ended with', code, flush=True)"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=60)
    assert (run.returncode, run.stdout) == (0, "ended with 2\n")


def test_a_setting_of_the_environment_that_is_wrong(
    here: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEWTRON_NUM_THREADS", "two")
    words = ("fit", PENGUINS, "--target", "species", "--model", "perceptron")
    assert "NEWTRON_NUM_THREADS='two'" in one_sentence(*call(*words, capfd=capfd))
    assert os.listdir(here) == []


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("redirection", [">/dev/full", ">&-", ">&- 2>&-"])
def test_an_output_that_takes_nothing(redirection: str, model: Path, tmp_path: Path) -> None:
    command = f"{sys.executable} -m newtron show {model} {redirection}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    run = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=60
    )
    if "full" in redirection:
        one_sentence(run.returncode, run.stdout, run.stderr)
        assert "No space left" in run.stderr
    else:
        assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_what_the_library_says_is_told_as_it_is_typed_here(here: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = [f"{(-1) ** i * (i + 1)}e200,{i % 7},{'ab'[i % 3 == 0]}" for i in range(40)]
    (here / "big.csv").write_text("\n".join(["mass,x,kind", *rows, ""]), encoding="utf-8")
    fit = ("fit", "big.csv", "--target", "kind", "--model", "perceptron", "--no-report")
    for more in ((), ("--memory", "33MB")):
        sentence = one_sentence(*call(*fit, *more, capfd=capfd))
        assert "big.csv: Column 'mass' has numbers whose squares are beyond the range of float64" in sentence
        assert "multiply it by a constant." in sentence
    rows = [f"{i},{2 * i},{'ab'[i % 3 == 0]}" for i in range(40)]
    (here / "twice.csv").write_text("\n".join(["x,double,kind", *rows, ""]), encoding="utf-8")
    fit = ("fit", "twice.csv", "--target", "kind", "--model", "perceptron", "--no-report")
    assert "--penalty firth needs columns" in one_sentence(*call(*fit, "--penalty", "firth", capfd=capfd))
    _, out, _ = call(*fit, "--alpha", "1", "--max-iter", "1", capfd=capfd)
    assert "limit on iterations was reached; raise --max-iter." in " ".join(out.split())
    with pytest.raises(InputError, match=r"^Column 0 of X .* constant or set standardize=True."):
        PerceptronClassifier().fit(np.array([[1e200], [-1e200]]), [0, 1])
    named = pd.DataFrame({"mass": [1e200, -1e200]})
    with pytest.raises(InputError, match=r"^Column 'mass' has numbers"):
        PerceptronClassifier().fit(named, [0, 1])
