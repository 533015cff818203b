"""The report of `newtron fit`: its numbers, its plots, and that it loads nothing and believes no text of the data."""

from __future__ import annotations

import os
import re
import time
import warnings
from html import escape, unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import confusion_matrix, roc_auc_score
from support.models import load_bundle

from newtron.cli import main
from newtron.engine.maths.network import Layer
from newtron.estimators import NetworkClassifier, NetworkRegressor, PerceptronClassifier, PerceptronRegressor
from newtron.study.report.drawing import draw_network
from newtron.study.report.permutation import importances
from newtron.study.report.plots import Series, plot
from newtron.study.sample import Sample
from newtron.study.scores import score_model
from newtron.table import Table, encode, encode_target, learn_schema, read_table

HOSTILE = "<img src=x onerror=alert(1)>&\"'"
VOID = {"meta", "br"}


class Page(HTMLParser):
    """Tags in balance, and every address that something could be loaded from."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        for name, _ in attrs:
            assert name not in ("src", "href", "srcset", "action", "style")
            assert not name.startswith("on")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def write_csv(path: Path, n: int = 60, columns: int = 2, target: str = "number", first: str = "age") -> Path:
    rng = np.random.default_rng(3)
    X = rng.normal(size=(n, columns))
    z = 2.0 * X[:, 0] - X[:, 1] + 0.7 * rng.normal(size=n)
    y: dict[str, Any] = {
        "number": [f"{v:.5f}" for v in z],
        "two": np.where(z > 0.2, "yes", "no"),
        "three": np.digitize(z, [-1.0, 1.0]),
    }
    names = [first, *(f"c{j}" for j in range(1, columns)), "y"]
    lines = [",".join('"' + name.replace('"', '""') + '"' for name in names)]
    lines += [",".join([*(f"{v:.5f}" for v in row), str(label)]) for row, label in zip(X, y[target], strict=True)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def fit(data: Path, *options: str) -> int:
    quick = ["--quiet", "--hidden", "3", "--starts", "2", "--max-iter", "300"]
    return main(["fit", str(data), "--target", "y", *quick, *options])


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("model", ["perceptron", "network", "auto"])
@pytest.mark.parametrize("target", ["number", "two", "three"])
def test_every_task_and_model_has_its_report(target: str, model: str) -> None:
    assert fit(write_csv(Path("d.csv"), target=target), "--model", model) == 0
    text = Path("report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert {"svg", "table", "details"} <= page.tags
    assert not page.tags & {"script", "link", "img", "iframe", "object"}
    assert "http://" not in text
    assert "https://" not in text
    assert "default-src 'none'" in text
    assert "nan" not in re.sub(r"<[^>]*>", " ", text).split()
    kept = load_bundle("model.newtron").report
    assert kept is not None
    headings = re.findall("<h2>(.*?)</h2>", text)
    named = "Coefficients" if kept["kept"] == "perceptron" else "The network"
    assert headings == [
        "The data",
        "Comparison of the models",
        "Predictions on held-out rows",
        "Which columns matter",
        named,
        "How training ended",
        "How to repeat this fit",
        "The calculus of one row",
    ]
    first = load_bundle("model.newtron").estimator.certificate_.sentences()[0]
    assert first in unescape(text)
    assert [name for name in os.listdir() if name.startswith(".")] == []


def test_the_held_out_numbers_are_those_of_the_compared_model() -> None:
    data = write_csv(Path("d.csv"), n=200, target="two")
    assert fit(data, "--model", "perceptron", "--no-refit") == 0
    text = Path("report.html").read_text(encoding="utf-8")
    bundle = load_bundle("model.newtron")
    from newtron.study.split import hold_out

    table = read_table(data)
    assert bundle.schema is not None
    y, _ = encode_target(bundle.schema.target, table)
    _, held_out = hold_out(200, y.astype(np.int64), 0.2, 0)
    rows = table.take(held_out)
    p = bundle.estimator.predict_proba(encode(bundle.schema, rows).X)
    counts = confusion_matrix(y[held_out], p.argmax(axis=1))
    cells = re.search(r"each predicted class\.</p>.*?<tbody>(.*?)</tbody>", text, re.S)
    assert cells is not None
    assert re.findall(r"<td>(\d+)</td>", cells[1]) == [str(n) for n in counts.ravel()]
    assert f"ROC curve, area {roc_auc_score(y[held_out], p[:, 1]):.3f}" in text


def test_text_of_the_data_is_escaped() -> None:
    data = write_csv(Path(f"{HOSTILE.replace('/', '')}.csv"), first=HOSTILE, target="two")
    assert fit(data) == 0
    text = Path("report.html").read_text(encoding="utf-8")
    assert "img" not in Page(text).tags
    assert HOSTILE not in text
    assert HOSTILE in unescape(text)


@pytest.mark.slow
def test_thirty_columns_and_many_rows_stay_small() -> None:
    assert fit(write_csv(Path("d.csv"), n=3000, columns=30), "--model", "network") == 0
    text = Path("report.html").read_text(encoding="utf-8")
    assert len(text.encode()) < 1_000_000
    held_out = 600
    assert text.count("h0M") < 2 * held_out
    assert fit(write_csv(Path("d.csv"), n=6000), "--model", "perceptron") == 0
    assert "1,000 of 1,200 rows are drawn" in Path("report.html").read_text(encoding="utf-8")


def test_few_rows_are_left_out_one_by_one() -> None:
    assert fit(write_csv(Path("d.csv"), n=15)) == 0
    page = Path("report.html").read_text(encoding="utf-8")
    assert "compared by leave-one-out: each of 15 rows by models trained on the others" in page
    assert fit(write_csv(Path("d.csv"), n=15), "--holdout", "0") == 0
    assert "nothing says how well the model predicts new rows" in Path("report.html").read_text(encoding="utf-8")


def test_where_the_report_goes(capsys: pytest.CaptureFixture[str]) -> None:
    data = write_csv(Path("d.csv"))
    Path("sub").mkdir()
    assert fit(data, "--output", "sub/m.newtron", "--model", "perceptron") == 0
    assert sorted(os.listdir("sub")) == ["m.html", "m.newtron"]
    assert fit(data, "--report", "r.html", "--model", "perceptron") == 0
    assert fit(data, "--no-report", "--model", "perceptron") == 0
    assert sorted(os.listdir()) == ["d.csv", "model.newtron", "r.html", "sub"]
    assert main(["fit", "d.csv", "--target", "y", "--model", "perceptron"]) == 0
    assert "Report:  report.html" in capsys.readouterr().out
    assert fit(data, "--model", "perceptron") == 0  # its own report may be replaced


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--report", "d.csv"], "this is d.csv itself"),
        (["--report", "model.newtron"], "this is model.newtron itself"),
        (["--report", "none/r.html"], "there is no folder"),
        ([], "is no report of newtron"),
    ],
)
def test_a_report_takes_no_other_files_place(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_csv(Path("d.csv"))
    Path("report.html").write_text("my own notes", encoding="utf-8")
    before = data.read_bytes()
    assert fit(data, *options) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert data.read_bytes() == before
    assert Path("report.html").read_text(encoding="utf-8") == "my own notes"
    assert not Path("model.newtron").exists()


def test_a_plot_puts_numbers_where_they_belong() -> None:
    found = plot("t", "x", "y", [Series(np.array([0.0, 10.0, 5.0]), np.array([1.0, 100.0, 10.0]))], log_y=True)
    dots = np.array([[float(n) for n in dot.split()] for dot in re.findall(r"M([\d.]+ [\d.]+)h0", found)])
    assert dots[2] == pytest.approx((dots[0] + dots[1]) / 2.0, abs=0.11)  # 5 in the middle, 10 on a log axis
    assert dots[0][0] < dots[1][0]
    assert dots[0][1] > dots[1][1]  # up is less
    assert re.findall('text-anchor="end">([^<]+)<', found) == ["1", "10", "100"]
    assert plot("t", "x", "y", [Series(np.array([np.nan]), np.array([1.0]))]) == ""
    assert "<svg" in plot("t", "x", "y", [Series(np.zeros(3), np.full(3, 7.0))])
    assert "&lt;b&gt;" in plot("<b>", "x", "y", [Series(np.arange(3.0), np.arange(3.0))])


def test_a_network_is_drawn_with_every_weight_or_says_what_is_left_out() -> None:
    layers = (Layer(np.array([[1.0, -2.0], [0.5, 0.0], [3.0, 1.0]]), None), Layer(np.array([[4.0], [-1.0]]), None))
    found = draw_network(layers, ["a", "b", "<c>"], ["y"])
    assert found.count("<circle") == 6
    assert found.count('class="w ') == 8
    assert found.count("c1 n") == 2
    widths = [float(w) for w in re.findall('stroke-width="([0-9.]+)"', found)]
    assert max(widths[:6]) == widths[4] == 3.5  # 3.0 is the largest of the first layer
    assert "&lt;c&gt;" in found
    assert "not drawn" not in found
    wide = draw_network((Layer(np.ones((40, 20)), None), Layer(np.ones((20, 1)), None)), ["x"] * 40, ["y"])
    assert wide.count("<circle") == 25
    assert "36 of 61 units" in wide


def test_the_column_that_matters_stands_out_and_noise_does_not(tmp_path: Path) -> None:
    data = write_csv(Path("d.csv"), n=400, columns=4, first=HOSTILE)
    assert fit(data, "--model", "perceptron", "--no-refit") == 0
    bundle = load_bundle("model.newtron")
    assert bundle.schema is not None
    table = read_table(data)
    y, _ = encode_target(bundle.schema.target, table)
    X = encode(bundle.schema, table).X
    found = importances(bundle.estimator.model_, bundle.schema, Sample(X, y))
    # Shuffling x of y = 2 x - c + e adds (2 (x' - x))² to the squared error: 8 var(x) on average; of c, 2 var(c).
    spread = X.var(axis=0)
    assert [one.name for one in found[:2]] == [HOSTILE, "c1"]
    assert found[0].low < 8.0 * spread[0] < found[0].high
    assert found[1].low < 2.0 * spread[1] < found[1].high
    assert all(one.low < 0.05 and abs(one.growth) < 0.05 for one in found[2:])
    text = Path("report.html").read_text(encoding="utf-8")
    assert HOSTILE not in text
    assert escape(HOSTILE) in text.partition("Which columns matter")[2]


def test_one_point_is_drawn_as_one() -> None:
    drawn = plot("t", "x", "y", [Series(np.array([0.0]), np.array([3.0]), "line")], log_y=True)
    assert 'class="p c0"' in drawn


@pytest.mark.slow
@pytest.mark.parametrize("model", ["perceptron", "network"])
@pytest.mark.parametrize("task", ["regression", "classification"])
def test_shuffled_columns_cost_what_depends_on_them_and_give_the_same(model: str, task: str) -> None:
    """As predicting all again: with categories, marks of missing cells, bent copies, layers and temperatures."""
    rng = np.random.default_rng(0)
    n = 60
    frame = {
        "a": np.exp(rng.normal(size=n)),
        "b": np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n)),
        "c": rng.choice(["x", "y", "z"], n),
    }
    z = frame["a"] + (frame["c"] == "x") + rng.normal(size=n)
    y = z if task == "regression" else np.array(["l", "m", "h"])[np.digitize(z, [1.0, 2.0])]
    table = Table("t.csv", pa.table({**frame, "y": y}))
    schema = learn_schema(table, "y")
    X, (codes, _) = encode(schema, table).X, encode_target(schema.target, table)
    kinds: Any = {
        ("perceptron", "regression"): PerceptronRegressor(),
        ("perceptron", "classification"): PerceptronClassifier(alpha=0.1, standardize=True),
        ("network", "regression"): NetworkRegressor(hidden=[(3,), (3, 2)], n_starts=1, max_iter=20),
        ("network", "classification"): NetworkClassifier(hidden=(3,), n_starts=2, max_iter=20),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator = kinds[model, task].fit(X, y)
    told: list[tuple[int, int]] = []
    found = {
        one.name: one
        for one in importances(estimator.model_, schema, Sample(X, codes), lambda *done: told.append(done))
    }
    assert told == [(1, 3), (2, 3), (3, 3)]
    draws, start = np.random.default_rng(0), 0
    before = score_model(estimator.model_, Sample(X, codes)).losses
    for column in schema.columns:
        growth = np.zeros(n)
        for _ in range(10):
            shuffled = X.copy()
            own = slice(start, start + len(column.encoded))
            shuffled[:, own] = X[draws.permutation(n), own]
            growth += (score_model(estimator.model_, Sample(shuffled, codes)).losses - before) / 10
        start += len(column.encoded)
        one = found[column.name]
        assert one.growth == pytest.approx(growth.mean(), rel=1e-9, abs=1e-12)
        assert one.high - one.low == pytest.approx(2 * 1.96 * growth.std(ddof=1) / np.sqrt(n), rel=1e-9)


@pytest.mark.slow
def test_a_report_of_many_columns_takes_time_by_their_number() -> None:
    rng = np.random.default_rng(0)

    def seconds(p: int) -> float:
        X, names = rng.normal(size=(30, p)), [f"x{j}" for j in range(p)]
        table = Table("t.csv", pa.table({**dict(zip(names, X.T, strict=True)), "y": X[:, 0]}))
        schema = learn_schema(table, "y")
        estimator = PerceptronRegressor().fit(X, X[:, 0])
        started = time.process_time()
        importances(estimator.model_, schema, Sample(X, X[:, 0]))
        return time.process_time() - started

    seconds(50)
    assert seconds(1600) < 24.0 * min(seconds(200) for _ in range(2))  # of 8 times as many columns; 8² is 64
