"""The page in a real browser: Debian's Chromium, driven by Playwright.

Every test also fails on a request to anywhere but the server, on an error in the console and on a page error.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from sklearn.base import is_classifier
from support.page import answer_of, session_of
from support.present import present
from support.subjects import subject

from newtron import NetworkClassifier, NetworkRegressor, PerceptronClassifier, PerceptronRegressor
from newtron.cli import main
from newtron.engine.maths.activations import ACTIVATIONS
from newtron.engine.maths.losses import LOSSES, loss_for
from newtron.engine.maths.network import Network
from newtron.engine.objective import TrainingObjective
from newtron.engine.rows import ArrayRows
from newtron.engine.solvers import LBFGS, GradientDescent, LevenbergMarquardt, Newton, NewtonCG, Stochastic, minimize
from newtron.explain import NOTATIONS, derive
from newtron.play import Session
from newtron.play.datasets import example
from newtron.play.export import built
from newtron.play.notebook import reply
from newtron.play.session import FIRST_SETUP

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium"),
]
sync_api = pytest.importorskip("playwright.sync_api")

# What lets Chromium run in a container, without a GPU and without asking its maker for anything.
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TABS = ("Forward", "Loss", "Backward", "Hessian", "Update", "Check")


class Played(NamedTuple):
    process: subprocess.Popen[str]
    url: str


def play(*arguments: str) -> Played:
    process = subprocess.Popen(
        [sys.executable, "-m", "newtron", "play", "--no-browser", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return Played(process, process.stdout.readline().split()[-1])


def end(played: Played) -> None:
    played.process.send_signal(signal.SIGKILL)
    played.process.communicate()


@pytest.fixture(scope="module")
def served() -> Iterator[Played]:
    played = play()
    yield played
    end(played)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        yield opened
        opened.close()


class Watched:
    """A page, and what it should not do."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.faults: list[str] = []
        # A server that was killed, or a file refused by its size, is an error in the console too.
        self.server_may_go = False
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("request", lambda request: self._request(request.url))

    def _console(self, said: Any) -> None:
        if said.type in ("error", "warning"):
            self.faults.append(said.text)

    def _request(self, url: str) -> None:
        if not re.match(r"http://127\.0\.0\.1[:/]|file://|data:|blob:", url):
            self.faults.append(f"request to {url}")

    def check(self) -> None:
        network = re.compile("ERR_|Failed to load resource")
        assert [fault for fault in self.faults if not (self.server_may_go and network.search(fault))] == []


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    watched: list[Watched] = []
    contexts = []

    def go(url: str, ready: str = "[data-ready]", **options: Any) -> Any:
        context = browser.new_context(**({"viewport": {"width": 1340, "height": 1000}} | options))
        context.set_default_timeout(30_000)
        contexts.append(context)
        watched.append(Watched(context.new_page()))
        page = watched[-1].page
        page.watched = watched[-1]
        page.goto(url)
        page.wait_for_selector(ready)
        return page

    yield go
    for one in watched:
        one.check()
    for context in contexts:
        context.close()


def settle(page: Any) -> None:
    """Until every answer is here and drawn."""
    page.wait_for_timeout(30)
    until(
        page,
        "!newtron.busy && !newtron.frame && !document.querySelector('.nt-stale, .nt-waiting')"
        " && document.querySelector('.nt-derivation').childElementCount > 0",
    )


def until(page: Any, condition: str) -> None:
    # As a function: the page's own policy forbids it to evaluate text.
    page.wait_for_function(f"() => {condition}")


def view(page: Any, **patch: Any) -> None:
    page.evaluate("patch => newtron.show(patch)", patch)
    settle(page)


def to_the_end(page: Any) -> None:
    settle(page)
    page.evaluate("document.activeElement.blur()")  # while typing, keys take no step
    page.keyboard.press("End")
    settle(page)


def values(page: Any, selector: str) -> list[float]:
    found = page.eval_on_selector_all(selector, "nodes => nodes.map(node => node.dataset.v)")
    return [float(value) for value in found if value != ""]


def objective(source: str, hidden: tuple[int, ...], row: int | None = None) -> TrainingObjective:
    data = example(source)
    which = slice(None) if row is None else slice(row, row + 1)
    network = Network((data.X.shape[1], *hidden, data.y.shape[1]), "tanh")
    loss = loss_for(data.task, None, data.y.shape[1])
    return TrainingObjective(network, loss, ArrayRows(data.X[which], data.y[which]))


def path(of: TrainingObjective, solver: Any, steps: int, seed: int) -> list[Any]:
    start = of.network.start(np.random.default_rng(seed), np.zeros(of.network.n_outputs))
    points = [start]
    minimize(of, start, solver, tol=1e-10, max_iter=steps, callback=lambda p: points.append(p.state.params))
    return points


def choose(page: Any, source: str) -> None:
    page.select_option("select[aria-label=Data]", source)
    settle(page)


# --- numbers ---


def test_the_numbers_on_the_page_are_pythons_at_every_step_looked_at(served: Played, visit: Callable[..., Any]) -> None:
    page = visit(served.url)
    assert page.evaluate("newtron.setup") == FIRST_SETUP  # which the server makes ahead
    choose(page, "xor")
    for width in (3, 2):  # a second hidden layer of two units is what the button adds
        page.click("[aria-label='Add a hidden layer']")
        settle(page)
        assert width in page.evaluate("newtron.setup.model.hidden")
    whole, one = objective("xor", (3, 2)), objective("xor", (3, 2), row=4)
    ways = [path(whole, GradientDescent(0.5), 40, 0), path(whole, Newton(), 20, 0)]
    view(page, row=4, tab="backward", scope="row")
    for step, active, parameter in ((0, 0, 0), (3, 1, 7), (12, 0, 12), (12, 1, 19)):
        params = ways[active][min(step, len(ways[active]) - 1)]
        view(page, step=step, active=active, param=parameter)
        partials, gradient = one.evaluate(params, 1).gradient, whole.evaluate(params, 1).gradient
        assert partials is not None
        *factors, product = values(page, ".nt-chain [data-v]")
        assert product == pytest.approx(partials[parameter], rel=1e-12, abs=1e-15)
        assert np.prod(factors) == pytest.approx(product, rel=1e-12, abs=1e-15)
        shown = values(page, ".nt-method-value [data-v]")
        assert shown == [whole.evaluate(way[min(step, len(way) - 1)], 0).value for way in ways]
        assert values(page, ".nt-editor [data-v]") == [params[parameter], gradient[parameter]]


def test_the_check_button_agrees_with_the_chain_rule(served: Played, visit: Callable[..., Any]) -> None:
    page = visit(served.url)
    choose(page, "clouds")
    view(page, step=2, tab="check", param=1, scope="row", row=3)
    page.click("text=Check this partial by differences")
    page.wait_for_selector(".nt-hero table")
    exact = values(page, ".nt-hero strong [data-v]")[0]
    quotients = values(page, ".nt-hero tbody td:nth-of-type(3) [data-v]")
    assert min(abs(quotient - exact) for quotient in quotients) < 1e-9
    view(page, tab="backward")
    assert values(page, ".nt-chain [data-v]")[-1] == pytest.approx(exact, rel=1e-12)


def test_the_quiz_hides_the_result_and_judges_the_answer(served: Played, visit: Callable[..., Any]) -> None:
    page = visit(served.url)
    view(page, step=3, tab="backward", scope="row", row=0, param=0)
    value = values(page, ".nt-chain [data-v]")[-1]
    page.click("text=Predict first")
    until(page, "document.querySelector('.nt-hidden-number')")
    assert len(values(page, ".nt-chain [data-v]")) == 3  # the factors alone
    assert page.locator(".nt-step").count() == 0
    page.fill("[aria-label='Your result']", f"{-value:.4f}")
    page.keyboard.press("Enter")
    assert "signs" in page.inner_text(".nt-quiz [role=status]")
    page.fill("[aria-label='Your result']", f"{value:.4f}")
    page.keyboard.press("Enter")
    assert page.inner_text(".nt-quiz [role=status]").startswith("Right")


# --- formulas ---


def explained() -> Iterator[str]:
    """Derivations of every kind in LaTeX: losses, depths, activations, one row and several, both notations, solvers."""
    for loss in LOSSES:
        for hidden in ((), (3,), (2, 3), (2, 2, 2)):
            for activation in ACTIVATIONS if len(hidden) in (1, 2) else ("tanh",):
                for rows, notation in product((1, 4), NOTATIONS):
                    given = subject(loss, hidden, activation=activation, m=rows, alpha=0.3)
                    yield derive(given, notation).to_latex()
    # Many inputs, so that tables leave lines out; outputs of several columns; and every solver's step.
    yield derive(subject(LOSSES[0], (3,), m=4, k=2, p=15, alpha=0.3)).to_latex()
    rates = (GradientDescent(0.1), GradientDescent(0.1, 0.9), GradientDescent(None))
    for solver in (*rates, Newton(damped=False), LevenbergMarquardt(), NewtonCG(), LBFGS(), Stochastic()):
        for hidden in ((), (2,)):
            yield derive(subject(LOSSES[0], hidden, m=4, p=15, solver=solver)).to_latex()
    # Averages, bent inputs, temperatures and remarks, with names that LaTeX would take for its own.
    frame = pd.DataFrame(ROWS, columns=["50 % of $x_1^2$ & more", "\\frac{a}{b}#~"])
    models = NetworkClassifier(n_starts=1, max_iter=3), NetworkRegressor(n_starts=1, max_iter=3, alpha=0.1)
    for model, y in product((*models, PerceptronClassifier(penalty="firth")), (RINGS, ROWS[:, 0] ** 2)):
        if is_classifier(model) == (y is RINGS):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.fit(frame, y)
            for rows, notation in product((1, 3), NOTATIONS):
                yield model.explain(frame[:rows], y[:rows], notation=notation).to_latex()


def in_mathematics(document: str) -> set[str]:
    displayed = r"\\\[(.*?)\\\]"
    inline = re.findall(r"(?<!\\)\$(.+?)(?<!\\)\$", re.sub(displayed, "", document, flags=re.S), re.S)
    return {*re.findall(displayed, document, re.S), *inline}


def on_the_page(part: Any) -> Iterator[str]:
    """Whatever an answer has that the page sets as a formula."""
    for key, value in part.items() if isinstance(part, dict) else enumerate(part):
        if isinstance(value, dict | list):
            yield from on_the_page(value)
        elif isinstance(value, str) and key in ("tex", "numbers", "symbol", "result"):
            yield value


def derivations() -> Iterator[Any]:
    data = {"source": "three"}, {"source": "wave"}, {"source": "clouds"}
    for source, hidden, row in product(data, ([], [2], [2, 2, 3]), (0, None)):
        method = {"solver": "levenberg-marquardt" if hidden else "newton", "steps": 3}
        setup = {"data": source, "model": {"hidden": hidden, "alpha": 0.1, "scale": True}, "methods": [method]}
        run = answer_of(Session(), {"kind": "run", "setup": setup})
        params = run["runs"][0]["params"][-1]
        yield run["problem"]
        yield answer_of(
            Session(), {"kind": "derivation", "setup": setup, "params": params, "row": row, "method": method}
        )


def test_every_formula_of_every_explanation_can_be_set(served: Played, visit: Callable[..., Any]) -> None:
    written = set().union(*map(in_mathematics, explained()))
    shown = {tex for derivation in derivations() for tex in on_the_page(derivation)}
    # One of those that differ in their digits alone.
    formulas = {re.sub(r"\d+", "0", tex): tex for tex in sorted(written | shown)}
    assert min(len(written), 4 * len(shown), 4 * len(formulas)) > 2000
    page = visit(served.url)
    refused = page.evaluate(
        """async (formulas) => {
            const { katex } = await import("/page.js");
            const refused = [];
            for (const tex of formulas) {
                try { katex.renderToString(tex, { throwOnError: true, strict: "error", output: "html" }); }
                catch (error) { refused.push([tex, error.message]); }
            }
            return refused;
        }""",
        [*formulas.values(), "a^{[1]}^{2}"],
    )
    assert [tex for tex, _ in refused] == ["a^{[1]}^{2}"], refused[:5]  # the one that nobody can set


def test_what_one_has_scrubbed_to_is_what_a_fresh_page_shows(served: Played, visit: Callable[..., Any]) -> None:
    page = visit(served.url)
    choose(page, "xor")
    page.click("[aria-label='Add a hidden layer']")
    until(page, "newtron.run.problem.widths.length === 3 && !newtron.busy")
    for tab, notation in (("backward", "lecture"), ("newton", "lab")):
        for step in (0, 1, 2, 7):
            view(page, tab=tab, notation=notation, scope="row", row=3, param=1, step=step)
            if (tab, step) == ("backward", 0):
                page.click(".nt-lines:not([open]) summary >> nth=0")
        opened = page.locator(".nt-lines[open] summary >> nth=0")
        if tab == "backward":
            opened.click()  # what was opened at step 0 is still open at step 7
        shown = "document.querySelector('.nt-derivation').innerHTML"
        scrubbed = page.evaluate(shown)
        page.wait_for_timeout(250)
        page.reload()
        page.wait_for_selector("[data-ready]")
        settle(page)
        assert page.evaluate(shown) == scrubbed


def test_the_labs_notation_has_a_chain_of_its_own(served: Played, visit: Callable[..., Any]) -> None:
    page = visit(served.url)
    choose(page, "xor")
    page.click("[aria-label='Add a hidden layer']")
    until(page, "newtron.run.problem.widths.length === 3 && !newtron.busy")
    view(page, step=3, tab="backward", scope="row", row=2, param=1, notation="lecture")
    partial = values(page, ".nt-chain [data-v]")[-1]
    view(page, notation="lab")
    assert page.locator(".nt-chain").count() == 3  # dW, dZ, dA
    delta, x, entry, up, slope, again, *_ = values(page, ".nt-chain [data-v]")
    assert entry == pytest.approx(partial, rel=1e-12)
    assert delta * x == pytest.approx(entry, rel=1e-12)
    assert up * slope == pytest.approx(again, rel=1e-12)
    assert again == delta
    view(page, scope="all")
    whole = objective("xor", (3,)).evaluate(np.array(page.evaluate("newtron.params")), 1).gradient
    assert whole is not None
    assert values(page, ".nt-hero strong [data-v]") == [whole[1]]


# --- steering ---


def test_the_keyboard_alone_is_enough(served: Played, visit: Callable[..., Any]) -> None:
    page = visit(served.url)
    shown = "newtron.view.step"
    for key, step in (("ArrowRight", 1), ("Shift+ArrowRight", 11), ("ArrowLeft", 10), ("Home", 0), ("End", 40)):
        page.keyboard.press(key)
        assert page.evaluate(shown) == step
    page.keyboard.press("m")
    assert page.evaluate("newtron.view.active") == 1
    for number, tab in enumerate(TABS, 1):
        page.keyboard.press(str(number))
        settle(page)
        assert page.inner_text("[role=tab][aria-selected=true]") == tab
    page.keyboard.press("Space")
    until(page, "newtron.view.step > 0 && newtron.playing")
    page.keyboard.press("Space")
    assert not page.evaluate("Boolean(newtron.playing)")
    # Every control is reached by Tab, and none while typing takes a step.
    page.focus("[aria-label='Learning rate of method A']")
    before = page.evaluate(shown)
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(shown) == before
    page.keyboard.type("7")
    page.keyboard.press("Tab")
    settle(page)
    assert page.evaluate("newtron.run.setup.methods[0].rate") != 0.5
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Momentum of method A"
    page.click("[aria-label=Keys]")
    assert page.locator("dialog[open]").count() == 1


def test_a_click_on_the_map_or_a_typed_weight_sets_the_start(served: Played, visit: Callable[..., Any]) -> None:
    page = visit(served.url)
    choose(page, "line")
    view(page, landscape="contour", step=0)
    page.check('[aria-label="Newton\'s bowl"]')
    page.wait_for_selector(".nt-landscape .nt-lowest-point", state="attached")
    assert "lowest at the cross" in page.inner_text(".nt-landscape .nt-caption")
    box = page.locator(".nt-landscape svg").last.bounding_box()
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.4 * box["height"])
    until(page, "newtron.run.setup.start.params")
    settle(page)
    start = page.evaluate("newtron.run.start")
    assert start == page.evaluate("newtron.run.runs.map(run => run.params[0])[0]")
    assert page.evaluate("newtron.run.runs[1].params[0]") == start
    page.fill("[aria-label^='New value of the parameter']", "1.25")
    page.keyboard.press("Enter")
    until(page, "newtron.run.start[0] === 1.25")
    # The handle of the start, dragged and by the keys, on the map and on the curve of one parameter.
    grip = page.locator(".nt-landscape .nt-grip")
    for landscape in ("contour", "one"):
        view(page, landscape=landscape, step=0, param=0)
        settle(page)
        page.wait_for_selector(".nt-landscape .nt-grip:not(.nt-unseen)")
        before = page.evaluate("newtron.run.start")
        box = grip.locator(".nt-handle").bounding_box()
        x, y = box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"]
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x - 20, y + 15, steps=3)
        page.mouse.up()
        until(page, f"newtron.run.start[0] < {before[0]} && !newtron.busy")
        settle(page)
        dragged = page.evaluate("newtron.run.start")
        assert (dragged[1] == before[1]) == (landscape == "one")
        page.wait_for_selector(".nt-landscape .nt-grip:not(.nt-unseen)")
        grip.focus()
        page.keyboard.press("ArrowRight")
        until(page, f"newtron.run.start[0] > {dragged[0]} && !newtron.busy")
        assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Start of the methods"
        settle(page)
    page.click("text=Back to the seed")
    until(page, "newtron.run.start[0] === 0")


def test_the_loss_under_the_pointer_is_shown_and_a_click_goes_there(served: Played, visit: Callable[..., Any]) -> None:
    page = visit(served.url)
    settle(page)
    box = page.locator(".nt-loss .nt-stage svg").bounding_box()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.5 * box["height"])
    said = page.inner_html(".nt-readout")
    step = int(said.removeprefix("step ").partition(":")[0])
    page.mouse.click(box["x"] + 0.6 * box["width"], box["y"] + 0.5 * box["height"])
    settle(page)
    assert page.evaluate("newtron.view.step") == step
    assert f"{page.evaluate(f'newtron.run.runs[0].value[{step}]'):.3g}" in said


def test_one_selection_runs_through_all_panels(served: Played, visit: Callable[..., Any]) -> None:
    page = visit(served.url)
    view(page, step=2, tab="backward", scope="row")
    page.locator(".nt-network .nt-hit").nth(1).dispatch_event("click")
    settle(page)
    assert page.evaluate("newtron.view.param") == 1
    assert page.locator(".nt-derivation tr.nt-chosen").count() == 1
    assert page.get_attribute("[data-chain]", "data-chain") == "w_{2}"
    page.locator(".nt-derivation tbody tr").last.click()
    settle(page)
    assert page.evaluate("newtron.view.param") == 2
    page.locator(".nt-data .nt-point").nth(9).dispatch_event("click")
    settle(page)
    assert "example 10" in page.inner_text(".nt-data .nt-caption")
    assert "Example 10" in page.inner_text(".nt-panel.nt-maths .nt-bar")


def test_the_address_holds_the_state(served: Played, visit: Callable[..., Any]) -> None:
    page = visit(served.url)
    choose(page, "ring")
    view(page, step=7, tab="update", notation="lab")
    until(page, "location.hash.includes('&s=')")
    page.wait_for_timeout(250)
    page.reload()
    page.wait_for_selector("[data-ready]")
    settle(page)
    found = page.evaluate("({...newtron.view, source: newtron.setup.data.source})")
    assert (found["step"], found["tab"], found["notation"], found["source"]) == (7, "update", "lab", "ring")


# --- the user's own files ---

GOOD = "height,weight,sex\n" + "".join(f"{150 + i},{50 + 0.8 * i + i % 3},{'fm'[i % 2]}\n" for i in range(30))
SEPARATED = "x,y\n" + "".join(f"{i},{int(i > 14)}\n" for i in range(30))


def upload(page: Any, name: str, content: str) -> None:
    page.set_input_files(
        "[aria-label='Open your own file']", {"name": name, "mimeType": "text/csv", "buffer": content.encode()}
    )


def test_a_file_of_ones_own_shows_the_same_panels(served: Played, visit: Callable[..., Any]) -> None:
    page = visit(served.url)
    upload(page, "people.csv", GOOD)
    until(page, "newtron.run?.problem.target === 'sex' && !newtron.busy")
    settle(page)
    assert page.locator(".nt-data .nt-point").count() == 30
    page.select_option("[aria-label='Column to predict']", "weight")
    until(page, "newtron.run?.problem.target === 'weight' && !newtron.busy")
    settle(page)
    assert page.evaluate("newtron.run?.problem.task") == "regression"
    assert "row" in page.inner_text(".nt-data .nt-caption")
    page.click("[aria-label='Add a hidden layer']")
    until(page, "newtron.run?.problem.widths.length === 3 && !newtron.busy")
    settle(page)
    assert "slice" in page.inner_text(".nt-landscape .nt-caption").lower()


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("", "empty"),
        ("a,b\n", "no data rows"),
        ("a,b\n1,2\n3,4,5\n", "row 3"),
        ("a,b\n1,nan\n2,nan\n", "'b'"),
        ("<html>", "HTML"),
    ],
)
def test_a_bad_file_gets_its_sentence_and_the_page_stays(
    served: Played, visit: Callable[..., Any], content: str, word: str
) -> None:
    page = visit(served.url)
    upload(page, "bad <b>.csv", content)
    page.wait_for_selector(".nt-error")
    said = page.inner_text(".nt-error")
    assert "bad <b>.csv" in said
    assert word in said
    if page.evaluate("Boolean(newtron.before)"):
        # The file is open, and its columns can be chosen; nothing of the run before is drawn beside its name.
        assert not page.is_visible(".nt-grid")
        page.click("text=Back to what was shown before")
        assert page.evaluate("newtron.setup.data") == page.evaluate("newtron.run.setup.data")
    settle(page)
    page.keyboard.press("End")
    assert page.evaluate("newtron.view.step") == 40


def test_an_answer_that_comes_late_is_kept_with_its_run(served: Played, visit: Callable[..., Any]) -> None:
    # The question is asked about the example, the answer comes while a file that cannot be shown has its place.
    page = visit(served.url)
    settle(page)
    held: list[Any] = []

    def held_back(route: Any) -> None:
        if not held and "derivation" in route.request.post_data:
            held.append(route)
        else:
            route.continue_()

    page.route("**/api/ask", held_back)
    page.keyboard.press("End")
    page.wait_for_selector(".nt-derivation.nt-stale")
    upload(page, "bad.csv", "a,b\n1,nan\n2,nan\n")
    page.wait_for_selector(".nt-error")
    held[0].continue_()
    until(page, "newtron.lanes.size === 0")
    page.click("text=Back to what was shown before")
    settle(page)
    assert page.evaluate("newtron.view.step") == 40


def test_a_huge_file_is_refused_at_once(served: Played, visit: Callable[..., Any], tmp_path: Path) -> None:
    huge = tmp_path / "huge.csv"
    with huge.open("wb") as file:
        file.truncate(200 * 2**20)
    page = visit(served.url)
    page.set_input_files("[aria-label='Open your own file']", str(huge))
    page.wait_for_selector(".nt-error")
    assert re.search("200 MB.*newtron fit", page.inner_text(".nt-error"))


def test_of_many_inputs_two_are_drawn_and_can_be_chosen(served: Played, visit: Callable[..., Any]) -> None:
    page = visit(served.url)
    rows = "".join(f"{i},{i % 7},{(i * i) % 11},{i % 5 + 0.1 * i}\n" for i in range(40))
    upload(page, "four.csv", "a,b,c,y\n" + rows)
    until(page, "newtron.run?.problem.inputs.length === 3 && !newtron.busy")
    page.select_option("[aria-label='Vertical input']", label="c")
    until(page, "newtron.run?.problem.view.axes[1] === 2 && !newtron.busy")
    settle(page)
    assert "held at their means" in page.inner_text(".nt-data .nt-caption")


def test_separated_classes_are_told(served: Played, visit: Callable[..., Any]) -> None:
    page = visit(served.url)
    upload(page, "separated.csv", SEPARATED)
    until(page, "newtron.run?.problem.target === 'y' && !newtron.busy")
    page.select_option("[aria-label='Solver of method A']", "newton")
    page.fill("[aria-label='Steps of method A']", "60")
    page.keyboard.press("Tab")
    to_the_end(page)
    page.wait_for_selector(".nt-ending")
    assert "completely separated" in page.inner_text(".nt-endings")


def test_the_command_opens_a_file(visit: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(GOOD)
    played = play(str(tmp_path / "people.csv"), "--target", "weight")
    try:
        page = visit(played.url)
        settle(page)
        assert page.evaluate("newtron.run?.problem.target") == "weight"
        assert page.evaluate("newtron.setup.model.scale")
    finally:
        end(played)


# --- quick ---

MIXED = "a,b,class\n" + "".join(
    f"{(i * 37) % 100 / 50 - 1},{(i * 61) % 100 / 50 - 1},{'pq'[i % 7 % 2]}\n" for i in range(200)
)


def test_a_step_of_the_slider_is_drawn_within_50_ms(served: Played, visit: Callable[..., Any]) -> None:
    """2-4-1 on 200 rows. By the browser's own trace: the time that its main thread works from the input to the end of
    the frame that answers it, which does not count what else the machine does meanwhile."""
    page = visit(served.url)
    upload(page, "mixed.csv", MIXED)
    until(page, "newtron.run?.problem.X.length === 200 && !newtron.busy")
    page.evaluate("newtron.change(s => { s.model.hidden = [4]; })")
    until(page, "newtron.run.problem.widths.length === 3 && !newtron.busy")
    view(page, tab="backward", scope="row", step=0)
    tracer = page.context.new_cdp_session(page)
    events: list[dict[str, Any]] = []
    ended: list[Any] = []
    tracer.on("Tracing.dataCollected", lambda part: events.extend(part["value"]))
    tracer.on("Tracing.tracingComplete", lambda part: ended.append(part))
    wanted = ["devtools.timeline", "disabled-by-default-devtools.timeline", "blink.user_timing"]
    tracer.send("Tracing.start", {"transferMode": "ReportEvents", "traceConfig": {"includedCategories": wanted}})
    move = """step => {
      const slider = document.querySelector('.nt-slider');
      slider.value = step;
      performance.mark('moved');
      slider.dispatchEvent(new Event('input'));
    }"""
    for step in range(1, 16):
        page.evaluate(move, step)
        settle(page)
    tracer.send("Tracing.end")
    while not ended:
        page.wait_for_timeout(20)
    frames = [e for e in events if e["name"] == "FireAnimationFrame"]
    thread = frames[-1]["pid"], frames[-1]["tid"]
    tasks = [e for e in events if e["name"] == "RunTask" and "tdur" in e and (e["pid"], e["tid"]) == thread]
    spent = []
    for moved in (e["ts"] for e in events if e["name"] == "moved"):
        drawn = min(e["ts"] for e in frames if e["ts"] > moved)
        spent.append(sum(e["tdur"] for e in tasks if e["ts"] + e["dur"] > moved and e["ts"] <= drawn) / 1000)
    assert len(spent) == 15
    assert np.median(spent) < 50.0


# --- when things go wrong ---


def test_a_killed_server_leaves_a_banner_and_a_page_to_scrub(visit: Callable[..., Any]) -> None:
    played = play()
    page = visit(played.url)
    settle(page)
    page.watched.server_may_go = True
    end(played)
    page.wait_for_selector(".nt-banner[role=alert]")
    assert "server is gone" in page.inner_text(".nt-banner")
    page.keyboard.press("End")
    assert page.evaluate("newtron.view.step") == 40
    until(page, "!newtron.frame")
    shown = values(page, ".nt-method-value [data-v]")
    assert shown[0] == page.evaluate("newtron.run.runs[0].value.at(-1)")


def test_a_wrong_token_is_told(served: Played, visit: Callable[..., Any]) -> None:
    page = visit(served.url + "x")
    page.watched.server_may_go = True
    assert "token" in page.inner_text(".nt-error")


def test_divergence_keeps_the_last_finite_step_and_names_the_cure(served: Played, visit: Callable[..., Any]) -> None:
    page = visit(served.url)
    choose(page, "line")
    page.fill("[aria-label='Learning rate of method A']", "1e8")
    page.fill("[aria-label='Steps of method A']", "400")
    page.keyboard.press("Tab")
    to_the_end(page)
    assert "learning_rate below" in page.inner_text(".nt-endings")
    assert all(np.isfinite(value) for value in values(page, ".nt-method-value [data-v]"))


# --- for everybody ---


def widths(page: Any) -> tuple[int, int]:
    return tuple(page.evaluate("[document.documentElement.scrollWidth, innerWidth]"))


@pytest.mark.parametrize("width", [390, 768, 1340])
def test_no_width_scrolls_sideways(served: Played, visit: Callable[..., Any], width: int) -> None:
    page = visit(served.url, viewport={"width": width, "height": 900})
    for source in ("three", "wave"):
        page.evaluate("source => newtron.change(s => { s.data = { source }; s.model.hidden = [4, 3]; })", source)
        until(page, "!newtron.busy && newtron.run?.problem.widths.length === 4")
        for tab in ("forward", "loss", "backward", "newton", "update", "check"):
            for notation in ("lecture", "lab"):
                view(page, tab=tab, notation=notation, step=4)
                assert widths(page)[0] <= width
                # Formulas that are too wide scroll in their own line and are never cut.
                overflow = "[...document.querySelectorAll('.nt-line')].map(node => getComputedStyle(node).overflowX)"
                assert set(page.evaluate(overflow)) <= {"auto"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(served: Played, visit: Callable[..., Any], scheme: str) -> None:
    axe = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    page = visit(served.url, color_scheme=scheme, bypass_csp=True, reduced_motion="reduce")
    page.evaluate(axe)
    choose(page, "xor")
    page.click("[aria-label='Add a hidden layer']")
    settle(page)
    part = "html"
    for tab in ("forward", "loss", "backward", "newton", "update", "check"):
        for landscape in ("contour", "surface", "one"):
            if landscape == "contour" or tab == "backward":
                view(page, tab=tab, landscape=landscape, step=6)
                found = page.evaluate(f"async () => (await axe.run('{part}')).violations")
                part = ".nt-grid"  # the rest of the page stays as it is
                assert [(v["id"], [node["html"][:200] for node in v["nodes"]]) for v in found] == []


@pytest.mark.parametrize("options", [{"forced_colors": "active"}, {"reduced_motion": "reduce"}])
def test_forced_colours_and_reduced_motion(served: Played, visit: Callable[..., Any], options: dict[str, Any]) -> None:
    page = visit(served.url, **options)
    settle(page)
    assert page.locator(".nt-data .nt-point").first.is_visible()
    if "reduced_motion" in options:
        assert page.evaluate("getComputedStyle(document.querySelector('.nt-panel')).transitionDuration") == "0s"


# --- one file ---


def test_a_saved_page_scrubs_from_disk_without_any_request(
    served: Played, visit: Callable[..., Any], tmp_path: Path
) -> None:
    page = visit(served.url, accept_downloads=True)
    choose(page, "line")
    view(page, landscape="contour", tab="backward", scope="row")
    with page.expect_download() as waiting:
        page.click("text=Save page")
    saved = tmp_path / "run.html"
    waiting.value.save_as(saved)
    values_here = page.evaluate("newtron.run.runs.map(run => run.value)")
    offline = visit(saved.as_uri())
    requests: list[str] = []
    offline.on("request", lambda request: requests.append(request.url))
    assert offline.locator(".katex").count() > 0
    offline.keyboard.press("End")
    assert offline.evaluate("newtron.view.step") == 40
    until(offline, "!newtron.frame")
    assert values(offline, ".nt-method-value [data-v]") == [way[-1] for way in values_here]
    assert values(offline, ".nt-chain [data-v]")
    assert requests == []
    with page.expect_download() as waiting:
        page.click("text=Save JSON")
    run = json.loads(Path(waiting.value.path()).read_text())
    assert [one["value"] for one in run["runs"]] == values_here
    assert os.path.getsize(saved) < 3_000_000


# --- in a notebook ---

# What a notebook hands to a widget's front end, on messages that go to the widget's own handler.
_NOTEBOOK = """async ({ module, style, count }) => {
    const css = document.createElement("style");
    css.textContent = style;
    document.head.append(css);
    const url = URL.createObjectURL(new Blob([module], { type: "text/javascript" }));
    const front = (await import(url)).default;
    window.keysHeard = 0;
    document.addEventListener("keydown", () => { window.keysHeard += 1; });
    window.model = {
        heard: {}, silent: false,
        get: () => undefined,
        on(name, action) { (this.heard[name] ??= []).push(action); },
        off(name, action) { this.heard[name] = this.heard[name].filter((one) => one !== action); },
        async send(content, callbacks, buffers) {
            const bytes = buffers ? [...new Uint8Array(buffers[0])] : null;
            const answer = this.silent ? null : await toPython(content, bytes);
            if (answer) for (const action of [...this.heard["msg:custom"]]) action(answer, []);
        },
    };
    window.ends = [];
    for (let n = 0; n < count; n++) {
        const el = document.createElement("div");
        document.body.append(el);
        window.ends.push(front.render({ model: window.model, el }));
    }
}"""


@pytest.fixture
def notebook(browser: Any) -> Iterator[Callable[..., Any]]:
    watched: list[Watched] = []

    def show(session: Session, count: int = 1, **options: Any) -> Any:
        context = browser.new_context(**({"viewport": {"width": 1000, "height": 900}} | options))
        context.set_default_timeout(30_000)
        watched.append(Watched(context.new_page()))
        page = watched[-1].page
        page.expose_function("toPython", lambda content, buffer: reply(session, content, _buffers(buffer)))
        page.set_content("<!doctype html><html lang='en'><title>A notebook</title><body></body></html>")
        page.evaluate(
            _NOTEBOOK, {"module": built("page.js"), "style": built("page.css") + built("fonts.css"), "count": count}
        )
        until(page, f"document.querySelectorAll('[data-ready]').length === {count}")
        return page

    yield show
    for one in watched:
        one.check()
        one.page.context.close()


def _buffers(buffer: list[int] | None) -> list[bytes]:
    return [] if buffer is None else [bytes(buffer)]


RNG = np.random.default_rng(2)
ROWS = RNG.normal(size=(60, 2))
RINGS = np.where(np.hypot(*ROWS.T) > 1.1, "out", "in")


def test_a_notebook_shows_the_model_by_messages_alone(notebook: Callable[..., Any]) -> None:
    model = NetworkClassifier(hidden=(3,), n_starts=1).fit(ROWS, RINGS)
    page = notebook(session_of(model, ROWS, RINGS))
    assert page.input_value("select[aria-label=Data]") == "rows"
    page.click("text=Fitted model")
    until(page, "document.querySelector('.nt-setup-body').textContent.includes('the fitted model')")
    until(page, "document.querySelector('.nt-chain [data-v]')")
    until(page, "!document.querySelector('.nt-busy, .nt-stale, .nt-waiting')")
    for value in values(page, ".nt-method-value [data-v]"):
        assert value == pytest.approx(model.solution_.value, rel=1e-12)
    assert values(page, ".nt-editor [data-v]")[0] == model.solution_.params[0]
    # At the optimum the loss moves by rounding alone, which is drawn as a level line beside numbers.
    assert page.locator(".nt-loss .nt-axes text:not(.nt-axis-name)").count() > len("012")
    heights = page.eval_on_selector_all(
        ".nt-loss .nt-stage path[stroke-dasharray]", "ways => ways.map(way => way.getBBox().height)"
    )
    assert len(heights) == 2
    assert max(heights) < 0.5
    *factors, product = values(page, ".nt-chain [data-v]")
    assert np.prod(factors) == pytest.approx(product, rel=1e-12)
    given = model.explain(ROWS[0], RINGS[:1])
    assert product == pytest.approx(present(given["backward.1"].table).values[0, -1], rel=1e-12)
    # From other weights there are steps to take.
    page.click("text=Back to the seed")
    until(page, "!document.querySelector('.nt-step-shown').textContent.includes('of 0')")
    # Keys belong to whoever is inside, and the notebook around hears nothing of them.
    page.click(".nt-data .nt-caption")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    until(page, "document.querySelector('.nt-step-shown').textContent.includes('step 2 ')")
    assert page.evaluate("keysHeard") == 0
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("ArrowRight")
    assert "step 2" in page.inner_text(".nt-step-shown")
    assert page.evaluate("keysHeard") == 1
    upload(page, "people.csv", GOOD)
    until(page, "document.querySelector('.nt-data .nt-caption').textContent.includes('of the file')")
    upload(page, "empty.csv", "")
    page.wait_for_selector(".nt-error")
    assert "empty.csv: the file is empty" in page.inner_text(".nt-error")
    page.evaluate("ends[0]()")
    assert page.evaluate("Object.values(model.heard).flat().length") == 0


def test_several_widgets_of_one_model_stay_apart(notebook: Callable[..., Any]) -> None:
    model = PerceptronRegressor().fit(ROWS, ROWS @ [1.0, 2.0])
    page = notebook(session_of(model, ROWS, ROWS @ [1.0, 2.0]), count=2)
    ids = page.eval_on_selector_all("[id]", "nodes => nodes.map(node => node.id)")
    assert ids
    assert len(ids) == len(set(ids))
    page.locator("[aria-label='Last step']").nth(1).click()
    until(page, "!document.querySelectorAll('.nt-step-shown')[1].textContent.startsWith('step 0 ')")
    assert page.locator(".nt-step-shown").first.inner_text().startswith("step 0 ")


def test_a_note_stands_where_there_are_no_rows(notebook: Callable[..., Any]) -> None:
    page = notebook(session_of(PerceptronRegressor().fit(ROWS, ROWS[:, 0]), None, None))
    assert "A fit keeps no rows" in page.inner_text(".nt-notices")
    assert page.locator("text=Fitted model").count() == 0


def test_a_kernel_that_is_gone_leaves_a_banner_and_a_usable_page(notebook: Callable[..., Any]) -> None:
    page = notebook(Session())
    page.evaluate("model.heard['comm_live_update'].forEach(action => action())")
    page.wait_for_timeout(3500)
    assert page.locator(".nt-banner").count() == 0  # somebody answers
    page.evaluate("model.silent = true; model.heard['comm_live_update'].forEach(action => action())")
    page.wait_for_selector(".nt-banner")
    assert "model.play" in page.inner_text(".nt-banner")
    page.click("[aria-label='Last step']")
    until(page, "document.querySelector('.nt-step-shown').textContent === 'step 40 of 40'")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("theme", [None, "true", "false"])
def test_the_notebooks_theme_counts_more_than_the_systems(
    notebook: Callable[..., Any], scheme: str, theme: str | None
) -> None:
    page = notebook(Session(), color_scheme=scheme)
    if theme is not None:
        page.evaluate("theme => { document.body.dataset.jpThemeLight = theme; }", theme)
    light = scheme == "light" if theme is None else theme == "true"
    colour = page.evaluate("getComputedStyle(document.querySelector('.nt')).backgroundColor")
    assert colour == ("rgb(246, 247, 249)" if light else "rgb(15, 20, 27)")


# --- the report of a fit ---


def test_a_report_is_for_everybody(visit: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(GOOD)
    report, files_out = tmp_path / "report.html", ["--output", str(tmp_path / "m.newtron")]
    quick = ["--quiet", "--model", "network", "--hidden", "3", "--starts", "1", "--max-iter", "40"]
    assert (
        main(["fit", str(tmp_path / "people.csv"), "--target", "sex", *quick, *files_out, "--report", str(report)]) == 0
    )
    axe = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    for width, scheme in ((390, "dark"), (1340, "light")):
        page = visit(
            report.as_uri(), ready="h1", color_scheme=scheme, bypass_csp=True, viewport={"width": width, "height": 900}
        )
        assert widths(page)[0] <= width
        page.evaluate(axe)
        found = page.evaluate("async () => (await axe.run(document)).violations")
        assert [(v["id"], [node["html"][:200] for node in v["nodes"]]) for v in found] == []
