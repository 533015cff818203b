"""The lessons by link: static pages whose numbers are the engine's, in a real browser and from a folder."""

from __future__ import annotations

import contextlib
import gzip
import importlib.machinery
import importlib.util
import io
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from newtron.cli.play import LESSONS
from newtron.play import Session

# The lessons are recorded once, not once in each process.
pytestmark = pytest.mark.xdist_group("lessons")
ROOT = Path(__file__).resolve().parents[2]
COURSE = ROOT / "web" / "src" / "course"
PLAN = json.loads((COURSE / "lessons.json").read_text(encoding="utf-8"))
TEXT = json.loads((COURSE / "en.json").read_text(encoding="utf-8"))
STEPS = [(lesson["id"], n) for lesson in PLAN["lessons"] for n in range(len(lesson["steps"]))]
CHROMIUM = shutil.which("chromium")
sync_api = pytest.importorskip("playwright.sync_api")

# --- the words ---


def test_every_step_has_all_its_words() -> None:
    assert len(PLAN["lessons"]) == LESSONS
    assert [lesson["id"] for lesson in PLAN["lessons"]] == list(TEXT["lessons"])
    for lesson in PLAN["lessons"]:
        words = TEXT["lessons"][lesson["id"]]
        assert words["title"]
        assert words["goal"]
        assert words["known"]
        assert len(words["steps"]) == len(lesson["steps"])
        for step, text in zip(lesson["steps"], words["steps"], strict=True):
            assert all(text[name] for name in ("title", "say", "ask", "hint", "tell"))
            assert ("lines" in text) == any(name == "lines" for name, _ in step["scenes"])
            # A question has options and the place of the right one, or a number that is to be found.
            if "options" in text:
                assert 0 <= step["answer"] < len(text["options"])
                assert len(set(text["options"])) == len(text["options"])
            else:
                assert set(step["answer"]) <= {"of", "value"}


@pytest.mark.parametrize("language", sorted(path.stem for path in COURSE.glob("??.json") if path.stem != "en"))
def test_every_language_says_the_same(language: str) -> None:
    other = json.loads((COURSE / f"{language}.json").read_text(encoding="utf-8"))

    def shape(text: Any) -> Any:
        """The same lists and names, and in each text the same numbers and parts of the picture."""
        if isinstance(text, dict):
            return {name: shape(part) for name, part in text.items()}
        if isinstance(text, list):
            return [shape(part) for part in text]
        told = re.sub(r"\$[^$]*\$", "", text)
        return sorted(re.findall(r"\{[a-zA-Z]\w*\}|\[\[\w+\|", told))

    assert shape(other) == shape(TEXT)
    for lesson in TEXT["lessons"]:
        for step, theirs in zip(TEXT["lessons"][lesson]["steps"], other["lessons"][lesson]["steps"], strict=True):
            # Formulas of derivations are those of the English text; hints and options hold no marks.
            assert [tex for tex, _ in step.get("lines", [])] == [tex for tex, _ in theirs.get("lines", [])]
            assert not re.search(r"[{}$]|\[\[", " ".join([theirs["hint"], step["hint"], *theirs.get("options", [])]))


@pytest.mark.parametrize("place", ["0", "11", "x", "6/", "6/0", "6/x", "-1", "١"])
def test_a_lesson_that_is_not_there_is_one_sentence(place: str, capsys: pytest.CaptureFixture[str]) -> None:
    from newtron.cli import main

    assert main(["play", "--no-browser", f"--lesson={place}"]) == 2
    assert capsys.readouterr().err.startswith("newtron: --lesson")


# --- the pages ---


@pytest.fixture(scope="module")
def script() -> Any:
    loader = importlib.machinery.SourceFileLoader("site_script", str(ROOT / "scripts" / "site"))
    spec = importlib.util.spec_from_loader("site_script", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["site_script"] = module
    loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(script: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("site") / "below" / "a path"
    made.parent.mkdir()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()):
        patch.setattr(sys, "argv", ["site", str(made)])
        script.main()
    return made


def test_a_page_is_light_and_loads_nothing_from_elsewhere(folder: Path) -> None:
    shared = sum(len(gzip.compress((folder / name).read_bytes())) for name in ("page.js", "page.css", "fonts.css"))
    for lesson in PLAN["lessons"]:
        content = (folder / f"{lesson['id']}.html").read_bytes()
        assert shared + len(gzip.compress(content)) < 600_000
        text = content.decode("utf-8").split('<script id="newtron-record"')[0]
        assert re.findall(r'(?:src|href)="([^"#]*)', text) == ["data:,", "page.css", "page.js", "index.html"]
        # Without scripts: every step's words and numbers are there, and no mark-up of theirs.
        assert "<noscript>" in text
        assert len(re.findall(r'<section class="nt-task" id="\d">', text)) == len(lesson["steps"])
        assert not re.search(r"\\|\$|\[\[|\{", text.split("<main")[1])
    assert (folder / "index.html").read_text(encoding="utf-8").count(".html#1") == LESSONS + 1


class Visited:
    """One page for all tests, and what it complained of."""

    def __init__(self, page: Any, folder: Path) -> None:
        self.page, self.folder, self.faults = page, folder, list[str]()
        page.on("console", lambda said: self.faults.append(said.text))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", lambda request: self._request(request.url))

    def _request(self, url: str) -> None:
        if not re.match(r"file:|data:|blob:", url):
            self.faults.append(f"request to {url}")

    def open(self, lesson: str, step: int) -> Any:
        """The picture of a step, in which all numbers are newtron's."""
        address = f"{(self.folder / f'{lesson}.html').as_uri()}#{step + 1}"
        if self.page.url.partition("#")[0] == address.partition("#")[0]:
            self.page.click(f".nt-steps li:nth-child({step + 1}) a")
        else:
            self.page.goto(address)
        self.page.wait_for_function(
            "n => newtron.course.place.n === n && document.querySelector('.nt-course[data-ready]') && "
            "newtron.course.stages[0].picture()?.computed === (newtron.course.stages[0].step.look.z === undefined ? "
            "'newtron' : 'browser') && newtron.course.stages[0].points.size > 0 && !newtron.course.frame",
            arg=step,
        )
        return self.page


@pytest.fixture(scope="module")
def visited(folder: Path) -> Iterator[Visited]:
    if CHROMIUM is None:
        pytest.skip("no chromium: apt-get install chromium")
    with sync_api.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1340, "height": 900}, bypass_csp=True, reduced_motion="reduce")
        yield Visited(page, folder)
        browser.close()


# What the mirror says of the point of a step, and the programs in NumPy.
_COMPARED = """() => {
    const { mirror, numpyText, wayOf, course } = newtron;
    const stage = course.stages[0];
    const p = stage.picture();
    const own = mirror.pointAt(p.model, p.params);
    const ways = (start) => p.setup.methods.map((method) => wayOf(p.model, method, start));
    const start = p.ways[0][0].map((w) => w + 0.25);
    course.tell();
    const words = [...document.querySelectorAll("figure .nt-sr")].map((node) => node.textContent);
    const told = [...document.querySelectorAll(".nt-words .nt-num")].map((node) => Number(node.dataset.v));
    return { params: p.params, row: p.row, own, engine: { ...p.point, partials: undefined }, told,
             partials: p.point.partials, words, ways: ways(p.ways[0][0]), start, moved: ways(start),
             programs: [numpyText(p, false), numpyText(p, true)], rate: p.rate };
}"""


def flat(value: Any) -> list[float]:
    return [number for part in value for number in flat(part)] if isinstance(value, list) else [value]


def close(found: Any, wanted: Any, tolerance: float = 1e-12) -> None:
    ours, theirs = np.array(flat(found)), np.array(flat(wanted))
    assert np.max(np.abs(ours - theirs)) <= tolerance * max(1e-3, np.max(np.abs(theirs)))


@pytest.mark.slow
@pytest.mark.browser
def test_every_step_shows_the_engines_numbers_and_the_mirror_agrees(visited: Visited) -> None:
    session, seen = Session(), set[str]()
    for lesson, n in STEPS:
        page = visited.open(lesson, n)
        found = page.evaluate(_COMPARED)
        step = next(one for one in PLAN["lessons"] if one["id"] == lesson)["steps"][n]
        setup = PLAN["setups"][step["setup"]]
        answer: Any = session.ask({"kind": "point", "setup": setup, "params": found["params"]})
        assert {key: found["engine"][key] for key in answer["point"]} == json.loads(json.dumps(answer["point"]))
        for key in ("value", "gradient", "z", "a", "deltas", "losses"):
            close(found["own"][key], found["engine"][key])
        close(found["own"]["partials"], found["partials"])
        close(found["own"]["hessian"], found["engine"]["hessian"])
        close(found["own"]["eigenvalues"], found["engine"]["eigenvalues"])
        check_ways(found["ways"], session.ask({"kind": "run", "setup": setup, "axes": None}))
        if step["setup"] not in seen:
            seen.add(step["setup"])
            moved: Any = {**setup, "start": {"params": found["start"]}}
            check_ways(found["moved"], session.ask({"kind": "run", "setup": moved, "axes": None}))
        assert np.isfinite(found["told"]).all()
        for words in found["words"]:  # a scene as a screen reader tells it
            assert len(words) > 60
            assert not re.search(r"[{}]| –|undefined|NaN", words), words
        check_programs(found)
    assert visited.faults == []


def check_ways(ways: list[list[list[float]]], answer: Any) -> None:
    """Every method's points, evaluated in the browser, are those of the engine."""
    for way, run in zip(ways, answer["runs"], strict=True):
        spectra = np.abs(np.array(run["eigenvalues"]))
        for k, (ours, theirs) in enumerate(zip(way, run["params"][:20], strict=False)):
            # The rounding of a step grows with the condition of its Hessian; after a singular one it is all there is.
            worst = max(spectra[: k + 1].max(axis=1) / np.maximum(spectra[: k + 1].min(axis=1), 1e-300))
            if worst > 1e12:
                break
            close(ours, theirs, max(1e-10, 1e-13 * worst))
        assert len(way) >= min(len(run["params"]), 20)


def check_programs(found: dict[str, Any]) -> None:
    """Both programs print the loss and the gradient of the page, without newtron."""
    for by_rows, program in enumerate(found["programs"]):
        assert "newtron" not in program
        said = io.StringIO()
        with contextlib.redirect_stdout(said), np.printoptions():
            exec(compile(program, "numpy", "exec"), {})
        printed = {
            name: np.array([float(text) for text in re.findall(r"-?[\d.]+(?:e[+-]?\d+)?", rest)])
            for name, rest in re.findall(r"^(\w+) ([^a-zA-Z]*(?:e[+-]\d+[^a-zA-Z]*)*)", said.getvalue(), re.MULTILINE)
        }
        assert printed["J"][0] == pytest.approx(found["engine"]["value"], rel=1e-9)
        layers = [printed[name] for name in printed if name.startswith("dW")]
        units = [len(layer[0]) for layer in found["engine"]["z"]]
        weights = found["engine"]["gradient"]
        at = 0
        for number, (layer, many) in enumerate(zip(layers, units, strict=True), 1):
            own = np.array(weights[at : at + len(layer)]).reshape(-1, many)
            shown = layer.reshape(own.shape) if by_rows else layer.reshape(own.shape[::-1]).T
            np.testing.assert_allclose(shown, own, rtol=1e-9, atol=1e-15)
            at += len(layer)
            mark = "" if len(units) == 1 else str(number)
            if f"db{mark}" in printed:
                np.testing.assert_allclose(printed[f"db{mark}"], weights[at : at + many], rtol=1e-9, atol=1e-15)
                at += many
        assert at == len(weights)


@pytest.mark.slow
@pytest.mark.browser
def test_a_question_comes_before_its_answer_and_is_remembered(visited: Visited) -> None:
    page = visited.open("line", 1)
    assert not page.is_visible(".nt-tell")
    page.fill(".nt-quiz input", "1")
    page.click(".nt-quiz button")
    assert "Hint" in page.inner_text(".nt-asked [role=status]")
    page.fill(".nt-quiz input", f"{0.5 * 2.44**2:.3f}")
    page.keyboard.press("Enter")
    assert page.is_visible(".nt-tell")
    visited.open("line", 0)
    visited.open("line", 1)
    assert page.is_visible(".nt-tell")
    page.goto((visited.folder / "index.html").as_uri())
    assert "1 of 5" in page.inner_text(".nt-card >> nth=0")
    page.click("text=All steps, one link each")
    assert page.locator(".nt-all-steps li li a").count() == len(STEPS)
    page.click("text=Clear what was done")
    assert "0 of 5" in page.inner_text(".nt-card >> nth=0")


@pytest.mark.slow
@pytest.mark.browser
def test_what_is_dragged_is_said_to_be_the_browsers_and_is_right(visited: Visited) -> None:
    page = visited.open("line", 0)
    page.focus(".nt-grip >> nth=1")
    for _ in range(12):
        page.keyboard.press("Shift+ArrowUp")
    page.wait_for_function("document.querySelector('.nt-origin').dataset.computed === 'browser'")
    params, value = page.evaluate(
        "() => { const p = newtron.course.stages[0].picture(); return [p.params, p.point.value]; }"
    )
    assert params[0] > 0.5
    answer: Any = Session().ask({"kind": "point", "setup": PLAN["setups"]["line"], "params": params})
    assert value == pytest.approx(answer["point"]["value"], rel=1e-12)
    page.click("text=Back to the lesson's own")
    page.wait_for_function("document.querySelector('.nt-origin').dataset.computed === 'newtron'")
    assert visited.faults == []


class Quiet(SimpleHTTPRequestHandler):
    """Files of a folder, without a line for each in the terminal."""

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.slow
@pytest.mark.browser
def test_a_lesson_from_a_server_needs_no_network_once_it_is_here(visited: Visited) -> None:
    folder = visited.folder
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder.parent.parent))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        below = quote(folder.relative_to(folder.parent.parent).as_posix())
        page = visited.page.context.browser.new_page()
        faults = list[str]()
        page.on("console", lambda said: faults.append(said.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(f"http://127.0.0.1:{server.server_port}/{below}/line.html#1", wait_until="networkidle")
        server.shutdown()
    page.context.set_offline(True)
    for n in range(2, 6):
        page.click(f".nt-steps li:nth-child({n}) a")
        page.wait_for_function("newtron.course.stages[0].picture()?.computed === 'newtron'")
    page.click("text=Sheet to print")
    assert page.locator(".nt-task").count() == 5
    assert faults == []
    page.close()


@pytest.mark.slow
@pytest.mark.browser
def test_a_link_brings_rows_that_fit_and_says_why_others_do_not(visited: Visited) -> None:
    page = visited.page
    page.goto("about:blank")
    page.goto((visited.folder / "xor.html").as_uri() + "#1?x=-1,1,-1,1&x2=-1,-1,1,1&y=0,1,1,1")
    page.wait_for_selector(".nt-course[data-ready]")
    assert page.evaluate("newtron.course.stages[0].picture().model.X") == [[-1, -1], [1, -1], [-1, 1], [1, 1]]
    assert page.inner_text(".nt-stage-error") == ""
    page.wait_for_function("document.querySelector('figure .nt-sr').textContent.startsWith('4 points of two classes')")
    for rows, why in (("x=1,2&y=0,1", "x, x2, y needs"), ("x=1,2&x2=1,2&y=0,2", "0 or 1")):
        page.goto("about:blank")
        page.goto((visited.folder / "xor.html").as_uri() + f"#1?{rows}")
        page.wait_for_selector(".nt-course[data-ready]")
        assert why in page.inner_text(".nt-stage-error")
    assert visited.faults == []


# One step for each kind of scene, at the width of a phone and at that of a desk.
SCENES = [
    ("line", 2),
    ("logloss", 1),
    ("xor", 1),
    ("backprop", 2),
    ("backprop", 4),
    ("saddle", 0),
]


@pytest.mark.slow
@pytest.mark.browser
def test_axe_finds_nothing_and_no_width_scrolls_sideways(visited: Visited) -> None:
    axe = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    for n, (lesson, step) in enumerate(SCENES):
        width, scheme = (390, "dark") if n % 2 else (1340, "light")
        visited.page.set_viewport_size({"width": width, "height": 844})
        visited.page.emulate_media(color_scheme=scheme)
        page = visited.open(lesson, step)
        page.evaluate(f"window.axe || {axe}")
        found = page.evaluate("async () => (await axe.run({ preload: false })).violations")
        assert [(v["id"], [node["html"][:200] for node in v["nodes"]]) for v in found] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert visited.faults == []


def test_the_script_can_be_run_alone(tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, ROOT / "scripts" / "site", "--help"], capture_output=True, text=True)
    assert run.returncode == 0
    assert "--docs" in run.stdout
