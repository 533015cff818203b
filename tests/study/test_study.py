"""newtron.fit and its Study: what the command does, in Python."""

from __future__ import annotations

import inspect
import json
import os
import pickle
import re
import signal
import threading
from dataclasses import fields
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from IPython.core import display_functions
from support.present import of_type, present

import newtron
from newtron.cli import main
from newtron.cli.options import FitCommand
from newtron.cli.parser import parse
from newtron.engine.base import words
from newtron.study import progress
from newtron.study.given import CHECKS
from newtron.study.options import FitOptions

QUICK: dict[str, Any] = {"hidden": (2,), "starts": 1, "alpha": 0.1, "verbose": 0}
TYPED = ["--hidden", "2", "--starts", "1", "--alpha", "0.1"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    return tmp_path


def people(n: int = 120) -> pd.DataFrame:
    """A number, a category with missing cells, yes/no, a date, and a target that follows from them with noise."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 80, n),
            "town": rng.choice(["north", "south", "west"], n),
            "member": rng.choice([True, False], n),
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, n), unit="D"),
        }
    )
    frame["paid"] = 3.0 * frame["age"] + 20.0 * (frame["town"] == "west") + rng.normal(scale=20.0, size=n)
    frame.loc[::17, "town"] = None
    frame["kind"] = np.where(frame["paid"] + rng.normal(scale=10.0, size=n) > 150.0, "high", "low")
    return frame


def written(frame: pd.DataFrame, name: str = "people.csv") -> str:
    frame.to_csv(name, index=False)
    return name


@pytest.fixture(scope="module")
def study() -> newtron.Study:
    """A study of classes, with both models."""
    return newtron.fit(people(), "kind", ignore="paid", **QUICK)


# --- one job by every door ---


@pytest.mark.slow
@pytest.mark.parametrize("target", ["paid", "kind"])
def test_the_command_a_path_and_frames_give_the_same_file(target: str) -> None:
    frame, path = people(), written(people())
    other = "kind" if target == "paid" else "paid"
    typed = ["--ignore", other, "--seed", "3", "--threads", "1", *TYPED]
    assert main(["fit", path, "--target", target, *typed, "--no-report", "--quiet"]) == 0
    given: list[object] = [path, Path(path), frame, pl.from_pandas(frame), pa.Table.from_pandas(frame)]
    for place, data in enumerate(given):
        newtron.fit(data, target, ignore=other, seed=3, threads=2, **QUICK).save("again.newtron")
        assert Path("again.newtron").read_bytes() == Path("model.newtron").read_bytes(), place


def test_rows_in_pieces_are_the_same_too() -> None:
    people(60).to_parquet("1.parquet", index=False)
    people(80).to_parquet("2.parquet", index=False)
    typed = ["--target", "paid", "--ignore", "kind", "--model", "perceptron", "--no-report", "--quiet"]
    assert main(["fit", "*.parquet", *typed]) == 0
    study = newtron.fit("*.parquet", "paid", ignore="kind", model="perceptron", verbose=0)
    study.save("again.newtron")
    assert Path("again.newtron").read_bytes() == Path("model.newtron").read_bytes()
    with pytest.raises(newtron.InputError, match="single rows, and these are not in memory; give more memory"):
        study.report("r.html")
    assert not Path("r.html").exists()


@pytest.mark.slow
def test_a_study_prints_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    path = written(people())
    assert main(["fit", path, "--target", "paid", "--no-report", *TYPED]) == 0
    of_command = capsys.readouterr().out
    study = newtron.fit(path, "paid", **QUICK)
    printed = str(study)

    def plain(text: str) -> list[str]:
        text = re.sub(r"\d+\.\d\d s", "T", text)
        text = text.replace("--", "").replace("that is written", "that is kept").replace("=", " ")
        return text.replace("ignore 'kind'", "ignore kind").splitlines()

    ours, theirs = plain(printed), plain(of_command)
    assert ours[:-2] == theirs[:-2]
    assert ours[-2] == theirs[-2].replace("Written: model.newtron, ", "Kept: ")
    assert "--" not in printed
    assert main(["fit", path, "--target", "paid", "--no-report", *TYPED, "--json"]) == 0
    facts, known = study.to_dict(), json.loads(capsys.readouterr().out)
    again = json.loads(json.dumps(facts))
    for each in (again, known):
        del each["output"], each["report"], each["warnings"]
        for model in [*each["models"].values(), each["refit"]]:
            del model["seconds"]
            for member in model["members"]:
                del member["seconds"]
    assert again == known


def test_nothing_is_written_unasked_and_no_frame_is_changed(here: Path) -> None:
    frame = people()
    study = newtron.fit(frame, "paid", ignore="kind", **QUICK)
    study.model.predict(frame)
    assert list(here.iterdir()) == []
    pd.testing.assert_frame_equal(frame, people())


# --- what a study has ---


def test_a_study_is_a_value(study: newtron.Study) -> None:
    assert study.kept in ("perceptron", "network")
    assert study.schema == study.model.model_.data.schema
    assert str(study.certificate) == str(study.model.certificate_)
    assert not study.interrupted
    assert isinstance(study.notes, tuple)
    assert repr(study) == f"<Study: the {study.kept} for the classes of kind, from 120 rows of data>"
    with pytest.raises(AttributeError):
        study._job = study._job  # type: ignore[misc]
    again = pickle.loads(pickle.dumps(study))
    assert str(again) == str(study)
    # What is shown does not depend on what is asked in between.
    assert study.model is study.model


def test_the_model_is_the_one_that_load_gives(study: newtron.Study) -> None:
    study.save("m.newtron")
    loaded = newtron.load("m.newtron")
    assert type(loaded) is type(study.model)
    assert loaded.get_params() == study.model.get_params()
    assert study.model.get_params()["callback"] is None


def test_the_comparison_is_a_frame_of_the_library_that_was_given() -> None:
    frame = people()
    for data, kind in [(frame, pd.DataFrame), (pl.from_pandas(frame), pl.DataFrame), (pa.table(frame), pa.Table)]:
        study = newtron.fit(data, "paid", ignore="kind", model="perceptron", verbose=0)
        found = study.comparison
        assert isinstance(found, kind)
        table = found.to_pandas() if kind is not pd.DataFrame else found
        assert table["model"].tolist() == ["baseline", "perceptron"]
        assert table["kept"].tolist() == [False, True]
        metrics = of_type(dict, of_type(dict, study.to_dict()["comparison"])["metrics"])
        for name, value in metrics["perceptron"].items():
            assert table[name][1] == value
    assert newtron.fit(frame, "paid", ignore="kind", model="perceptron", holdout=0, verbose=0).comparison is None


def test_a_report_is_written_on_demand(study: newtron.Study, here: Path) -> None:
    study.report(here / "r.html")
    page = (here / "r.html").read_text(encoding="utf-8")
    assert "newtron.fit(data, &#x27;kind&#x27;, ignore=&#x27;paid&#x27;" in page
    assert "None" not in page[page.index("How to repeat") : page.index("settings of the estimator")]
    with pytest.raises(newtron.InputError, match="no folder"):
        study.report(here / "none" / "r.html")


def test_the_data_is_not_overwritten() -> None:
    path = written(people())
    test = written(people(90), "test.csv")
    study = newtron.fit(path, "paid", test=test, ignore="kind", model="perceptron", verbose=0)
    for write in (study.save, study.report):
        for place in (path, test):
            with pytest.raises(newtron.InputError, match="this is the data itself"):
                write(place)
    typed = ["fit", path, "--target", "paid", "--test", test, "--model", "perceptron"]
    for option in ("--output", "--report"):
        assert main([*typed, option, test]) == 2
    assert Path(test).read_text() == people(90).to_csv(index=False)
    assert newtron.fit(path, "paid", ignore="kind", model="perceptron", verbose=0).schema == study.schema


class Elements(HTMLParser):
    """Counts elements, and remembers those that could run something."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_notebook_shows_the_same_as_html() -> None:
    frame = people().rename(columns={"age": "<script>alert(1)</script>", "town": "a & b"})
    study = newtron.fit(frame, "kind", ignore="paid", model="perceptron", verbose=0)
    html = study._repr_html_()
    found = Elements()
    found.feed(html)
    assert found.open == []
    assert "script" not in found.seen
    assert "&lt;script&gt;" in html
    assert {"dl", "table", "h4"} <= set(found.seen)
    for heading in ("How training ended", "Certificate of the model that is kept"):
        assert heading in html
        assert heading in str(study)


# --- settings ---


def test_every_option_of_the_command_is_a_setting() -> None:
    of_command = {field.name for field in fields(FitCommand)}
    of_call = {"data", "target", "verbose"}
    assert CHECKS.keys() | of_call == set(inspect.signature(newtron.fit).parameters)
    assert of_command - CHECKS.keys() - of_call == {"more", "output", "report", "no_report", "json", "quiet", "typed"}
    described = present(newtron.fit.__doc__)
    assert "typed" not in described
    for field in fields(FitOptions):
        if field.name in CHECKS:
            assert re.search(rf"^([a-z, ]+, )?{field.name}(,[a-z, ]+)? : .*default", described, re.MULTILINE), (
                field.name
            )
            assert inspect.signature(newtron.fit).parameters[field.name].default == field.default


def test_what_is_not_typed_has_the_default_of_python() -> None:
    _, given = present(parse(["fit", "d.csv", "--target", "y"]))
    options = of_type(FitCommand, given["options"])
    expected = FitOptions(data="d.csv", target="y", output="model.newtron", typed="newtron fit d.csv --target y")
    assert {field.name: getattr(options, field.name) for field in fields(FitOptions)} == vars(expected)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"sead": 1}, r"sead=1: newtron.fit has no setting of this name; did you mean seed"),
        ({"colour": 1}, r"colour=1: newtron.fit has no setting of this name; the settings are ignore, "),
        ({"n_jobs": 1}, r"n_jobs=1: newtron.fit calls this threads"),
        ({"random_state": 1}, r"random_state=1: newtron.fit calls this seed"),
        ({"seed": -1}, r"seed=-1 must be a whole number, 0 or more"),
        ({"seed": 2**32}, r"seed=4294967296 must be a whole number from 0 to 4294967295"),
        ({"holdout": 1}, r"holdout=1 must be a finite number at least 0 and below 1"),
        ({"holdout": 0.999}, r"holdout=0.999 of 120 rows holds out"),
        ({"model": "tree"}, r"model='tree' is not known: choose one of 'perceptron', 'network', 'auto'"),
        ({"alpha": "evidense"}, r"alpha='evidense' must be a number, 0 or more, or 'evidence' or 'loo'"),
        ({"hidden": "big"}, r"hidden='big' must be 'auto', a tuple of widths"),
        ({"hidden": np.array([3, 4])}, r"hidden=array\(\[3, 4\]\) must be 'auto', a tuple of widths"),
        ({"activation": "relo"}, r"activation='relo' is not known"),
        ({"starts": 0}, r"starts=0 must be a whole number, 1 or more"),
        ({"threads": 0}, r"threads=0 must be a whole number, 1 or more"),
        ({"memory": "much"}, r"memory='much' is no size: give one such as '500MB' or '4GB'"),
        ({"no_refit": "yes"}, r"no_refit='yes' must be True or False"),
        ({"ignore": 3}, r"ignore=3 must be the name of a column or a list of names"),
        ({"ignore": "aeg"}, r"there is no column 'aeg' to ignore; did you mean 'age'"),
        ({"offset": "age"}, r"offset is the logarithm of the exposure of counts: give loss='poisson' with it"),
        ({"penalty": "firth"}, r"penalty='firth' is for classes, and the target is a number"),
        ({"checkpoint": 3}, r"checkpoint=3 must be a path"),
        ({"verbose": -1}, r"verbose=-1 must be a whole number, 0 or more"),
        ({"cluster": ""}, r"cluster reads files: give the path of the data"),
        ({"levels": 1}, r"levels=1 must be a whole number, 2 or more"),
        ({"number": "town"}, r"town"),
        ({"missing": "error"}, r"missing"),
        ({"encoding": 8}, r"encoding=8 must be text"),
    ],
)
def test_a_wrong_setting_gets_one_sentence(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(newtron.InputError, match=sentence) as caught:
        newtron.fit(people(), "paid", **{"verbose": 0, **settings})  # type: ignore[arg-type]
    assert "--" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "target", "sentence"),
    [
        (np.eye(3), "y", r"data is of the type ndarray: give a path or a frame"),
        (None, "y", r"data is of the type NoneType"),
        ({"x": [1, 2]}, "x", r"data is of the type dict"),
        ("none.csv", "y", r"none.csv: there is no such file"),
        (pd.DataFrame({"x": [1.0, 2.0]}), "z", r"data: there is no column 'z'"),
        (pd.DataFrame({"x": [1.0, 2.0]}), 3, r"target=3 must be the name of the column to predict"),
        (pd.DataFrame({"x": [1.0]}), pd.Series([1.0]), r"target=0 +1.0 dtype: float64 must be the name"),
        (pd.DataFrame(np.eye(3), columns=["x", "x", "y"]), "y", r"data: two columns are both named 'x'"),
        (pa.table([[1], [2], [3]], names=["x", "x", "y"]), "y", r"data: two columns are both named 'x'"),
        (pd.DataFrame({"x": []}), "x", r"data: the frame has no rows"),
        (pd.DataFrame({"x": [1.0, np.inf] * 20, "y": range(40)}), "y", r"data, row.*'x'.*infinite"),
    ],
)
def test_wrong_data_gets_one_sentence(data: object, target: Any, sentence: str) -> None:
    with pytest.raises(newtron.InputError, match=sentence):
        newtron.fit(data, target, verbose=0)


def test_settings_are_told_as_they_are_given_at_each_door() -> None:
    def said() -> list[str]:
        return [words.setting("n_jobs", "2"), words.setting("solver"), words.columns_setting("ignore", ["a", "b c"])]

    in_general = ["n_jobs=2", "solver", "ignore=['a', 'b c']"]
    assert said() == in_general
    one, other = words.told_at("study"), words.told_at("command")
    with one:
        assert said() == ["threads=2", "", "ignore=['a', 'b c']"]
    one = words.told_at("study")
    one.__enter__()
    with other:
        assert said() == ["--threads 2", "", "--ignore a 'b c'"]
        one.__exit__(None, None, None)  # as threads may end in any order
        assert said()[0] == "--threads 2"
    assert said() == in_general


# --- what is told ---


def test_what_makes_a_model_doubtful_is_a_warning() -> None:
    frame = people()
    with pytest.warns(UserWarning, match="double - 0.5 is paid.*leave it out .ignore='double'.") as caught:
        study = newtron.fit(
            frame.assign(double=2.0 * frame["paid"] + 1.0), "paid", ignore="kind", model="perceptron", verbose=0
        )
    assert Path(caught[0].filename) == Path(__file__)
    assert all(str(each.message) in study.notes for each in caught)
    noise = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 25)), columns=[f"x{j}" for j in range(25)])
    with pytest.warns(UserWarning, match="alpha='evidence' chooses a penalty from the data"):
        newtron.fit(noise, "x0", model="perceptron", verbose=0)
    with pytest.warns(UserWarning, match="raise max_iter"):
        newtron.fit(frame, "paid", ignore="kind", model="network", hidden=(3,), max_iter=2, verbose=0)


def test_a_line_per_stage_is_told_but_where_it_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    newtron.fit(people(), "paid", ignore="kind", model="perceptron")
    seen = capsys.readouterr()
    assert seen.out == ""
    assert [line.split(":")[0] for line in seen.err.splitlines()] == ["perceptron", "perceptron on all rows"]
    newtron.fit(people(), "paid", ignore="kind", model="perceptron", verbose=0)
    assert capsys.readouterr() == ("", "")


def test_a_notebook_shows_the_progress_and_removes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, str]] = []

    class Handle:
        def update(self, data: dict[str, str], raw: bool) -> None:
            assert raw
            shown.append(data)

    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    monkeypatch.setattr(display_functions, "display", lambda *_, **__: Handle())
    monkeypatch.setattr("IPython.display.display", lambda *_, **__: Handle())
    newtron.fit(people(), "paid", ignore="kind", **{**QUICK, "verbose": 1})
    assert shown[-1] == {"text/plain": "", "text/html": ""}
    texts = [each["text/plain"] for each in shown[:-1]]
    assert "perceptron on all rows" in texts[-1] or "network on all rows" in texts[-1]
    assert all(each["text/html"].startswith("<pre") for each in shown[:-1])


@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c_keeps_the_best_so_far_and_the_second_ends(presses: int, monkeypatch: pytest.MonkeyPatch) -> None:
    step, before = progress.Reporter.step, signal.getsignal(signal.SIGINT)
    told: list[int] = []

    def pressed(self: progress.Reporter, row: Any) -> bool:
        if threading.current_thread() is threading.main_thread() and len(told) < presses:
            for _ in range(presses):
                told.append(0)
                os.kill(os.getpid(), signal.SIGINT)
        return step(self, row)

    monkeypatch.setattr(progress.Reporter, "step", pressed)
    if presses == 1:
        with pytest.warns(UserWarning, match="interrupted: the model that is kept is the best so far"):
            study = newtron.fit(people(), "paid", ignore="kind", threads=1, **QUICK)
        assert study.interrupted
        assert "interrupted" in str(study)
        study.save("m.newtron")
    else:
        with pytest.raises(KeyboardInterrupt, match="nothing was kept"):
            newtron.fit(people(), "paid", ignore="kind", threads=1, **QUICK)
    assert told
    assert signal.getsignal(signal.SIGINT) is before
