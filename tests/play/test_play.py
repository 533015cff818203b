"""The page's Python side: its numbers are the engine's own, its server answers nobody but its own page."""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.page import GD, NEWTON, answer_of, file_answer, request, setup

from newtron.cli import main
from newtron.engine.maths.losses import loss_for
from newtron.engine.maths.network import Network
from newtron.engine.objective import TrainingObjective
from newtron.engine.rows import ArrayRows
from newtron.engine.solvers import GradientDescent, LevenbergMarquardt, Newton, minimize
from newtron.play import Session
from newtron.play.datasets import EXAMPLES, MOST_ROWS, example
from newtron.play.export import built, page
from newtron.play.server import HOST, Server
from newtron.play.session import MOST_FILE, as_json
from newtron.table import read_table

PENGUINS = Path(__file__).resolve().parents[2] / "examples" / "penguins.csv"


def ask(kind: str, **fields: Any) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(as_json(answer_of(Session(), {"kind": kind, **fields})))
    assert "error" not in answer, answer
    return answer


def objective_of(
    source: str, hidden: tuple[int, ...] = (3,), alpha: float = 0.1, row: int | None = None
) -> TrainingObjective:
    data = example(source)
    which = slice(None) if row is None else slice(row, row + 1)
    network = Network((data.X.shape[1], *hidden, data.y.shape[1]), "tanh")
    return TrainingObjective(
        network, loss_for(data.task, None, data.y.shape[1]), ArrayRows(data.X[which], data.y[which]), alpha
    )


# --- numbers ---


@pytest.mark.parametrize("source", EXAMPLES)
@pytest.mark.parametrize(("given", "solver"), [(GD, GradientDescent(0.3, 0.5)), (NEWTON, Newton())])
def test_a_run_is_the_way_that_minimize_goes(source: str, given: dict[str, Any], solver: Any) -> None:
    objective = objective_of(source)
    found = ask("run", setup=setup(source, methods=[given]))
    start = np.array(found["start"])
    points = [start]
    solution = minimize(
        objective, start, solver, tol=1e-10, max_iter=given["steps"], callback=lambda p: points.append(p.state.params)
    )
    run = found["runs"][0]
    assert run["sentence"] == solution.sentence
    np.testing.assert_array_equal(run["params"], points[: len(solution.trace)])
    for step in (0, 1, len(run["params"]) - 1):
        at = objective.evaluate(points[step], 2)
        assert run["value"][step] == at.value
        np.testing.assert_array_equal(run["gradient"][step], at.gradient)
        np.testing.assert_allclose(run["eigenvalues"][step], np.linalg.eigvalsh(at.hessian)[::-1], rtol=1e-12)


def test_frames_are_the_predictions_over_the_inputs() -> None:
    found = ask("run", setup=setup("clouds"))
    view, params = found["problem"]["view"], np.array(found["runs"][0]["params"][5])
    first, second = (np.linspace(low, high, view["grid"]) for low, high in view["windows"])
    points = np.stack(np.meshgrid(first, second), axis=-1).reshape(-1, 2)
    network = Network((2, 3, 1), "tanh")
    p = loss_for("classification", None, 1).inverse_link(network.output(params, points))[:, 0]
    content = base64.b64decode(found["runs"][0]["frames"][5])
    shown, sides = np.frombuffer(content[: len(p)], dtype=np.uint8), np.frombuffer(content[len(p) :], dtype="<i2")
    np.testing.assert_allclose(shown / 255.0, p, atol=0.5 / 255.0 + 1e-9)
    np.testing.assert_array_equal(sides > 0, p > 0.5)
    curve = ask("run", setup=setup("wave"))
    params = np.array(curve["runs"][1]["params"][-1])
    x = np.array(curve["problem"]["view"]["curve"])[:, None]
    np.testing.assert_allclose(
        curve["runs"][1]["frames"][-1], Network((1, 3, 1), "tanh").output(params, x)[:, 0], atol=1e-4
    )


@pytest.mark.parametrize("scale", [False, True])
def test_the_chain_of_every_parameter_multiplies_to_the_engines_gradient(scale: bool) -> None:
    settings = setup("ring", model={"hidden": [3, 2], "scale": scale})
    params = ask("run", setup=settings)["runs"][0]["params"][4]
    derivation = ask("derivation", setup=settings, params=params, row=7, method=GD)["derivation"]
    assert len(derivation["chains"]) == len(params) == len(derivation["gradient"])
    for chain, partial in zip(derivation["chains"], derivation["gradient"], strict=True):
        *factors, product = chain["values"]
        assert np.prod(factors) == pytest.approx(product, rel=1e-12, abs=1e-300)
        assert product == pytest.approx(partial, rel=1e-12, abs=1e-15)
    # Each chain names its own parameter, not the letters of the general formula.
    assert r"\partial w_{21}^{[1]}" in derivation["chains"][3]["factors"][-1]
    data = example("ring")
    X = (data.X - data.X.mean(axis=0)) / data.X.std(axis=0) if scale else data.X
    rows = ArrayRows(X[[7]], data.y[[7]])
    one = TrainingObjective(Network((2, 3, 2, 1), "tanh"), loss_for("classification", None, 1), rows)
    np.testing.assert_allclose(
        derivation["gradient"], one.evaluate(np.array(params), 1).gradient, rtol=1e-12, atol=1e-15
    )


def test_a_power_of_ten_is_written_as_one() -> None:
    settings = setup("hours", model={"hidden": [], "loss": "squared_error", "alpha": 0.0})
    derivation = ask("derivation", setup=settings, params=[-9.0, 6.0], row=16, method=GD)["derivation"]
    texts = [step["numbers"] for section in derivation["sections"] for step in section["steps"]]
    assert any(r"\cdot 10^{-" in text for text in texts)
    assert not any(re.search(r"\de[+-]?\d", text) for text in texts)


def test_a_surface_and_a_profile_are_the_objective_on_a_slice() -> None:
    objective, settings = objective_of("xor"), setup("xor")
    base = ask("run", setup=settings)["runs"][0]["params"][6]
    surface = ask("surface", setup=settings, params=base, pair=[2, 10], windows=[[-1, 1], [0, 3]])["surface"]
    assert surface["slice"]
    values, size = np.array(surface["values"]), surface["size"]
    for row, column in ((0, 0), (4, 20), (size - 1, 3)):
        params = np.array(base)
        params[2], params[10] = np.linspace(-1, 1, size)[column], np.linspace(0, 3, size)[row]
        assert values[row * size + column] == objective.evaluate(params, 0).value
    found = ask("profile", setup=settings, params=base, index=1, window=[-2, 2])["profile"]
    at = objective.evaluate(np.array(base), 2)
    assert found["slope"] == at.gradient[1]
    assert found["curvature"] == at.hessian[1, 1]
    assert found["lowest"] is None or found["lowest"] == base[1] - found["slope"] / found["curvature"]


def test_newtons_bowl_is_the_loss_where_that_is_a_quadratic_and_touches_it_elsewhere() -> None:
    for source, hidden, pair in (("line", [], [0, 1]), ("xor", [2], [6, 0])):
        given = setup(data={"source": source}, model={"hidden": hidden, "alpha": 0.2}, start={"seed": 3})
        base = np.array(ask("run", setup=given)["runs"][0]["params"][2])
        windows = [[float(base[i]) - 1e-3, float(base[i]) + 1e-3] for i in pair]
        asked = {"setup": given, "params": base.tolist(), "pair": pair, "windows": windows}
        bowl, surface = ask("bowl", **asked)["bowl"], ask("surface", **asked)["surface"]
        np.testing.assert_allclose(bowl["values"], surface["values"], rtol=0, atol=1e-9)
        away = asked | {"windows": [[low - 1.0, high + 1.0] for low, high in windows]}
        bowl, surface = ask("bowl", **away)["bowl"], ask("surface", **away)["surface"]
        furthest = np.abs(np.array(bowl["values"]) - surface["values"]).max()
        assert furthest < 1e-12 if source == "line" else furthest > 1e-3
    given = setup(data={"source": "line"}, model={"hidden": [], "alpha": 0.2})
    lowest = ask("bowl", setup=given, params=[0.3, -1.0], pair=[0, 1], windows=[[-1, 1], [-2, 0]])["bowl"]["lowest"]
    gradient = objective_of("line", (), 0.2).evaluate(np.array(lowest), 1).gradient
    np.testing.assert_allclose(gradient, 0.0, atol=1e-12)


def test_differences_agree_with_the_partial_and_then_drown_in_rounding() -> None:
    settings = setup("xor")
    base = ask("run", setup=settings)["runs"][0]["params"][3]
    for row in (None, 5):
        found = ask("check", setup=settings, params=base, index=4, row=row)["check"]
        of = objective_of("xor") if row is None else objective_of("xor", alpha=0.0, row=row)
        gradient = of.evaluate(np.array(base), 1).gradient
        assert found["exact"] == gradient[4]
        errors = [line["error"] for line in found["lines"]]
        assert found["best"] == min(errors) < 1e-9
        assert errors[0] / errors[1] == pytest.approx(100.0, rel=0.2)  # h²
        assert errors[-1] > found["best"]


@pytest.mark.slow
def test_the_python_that_is_copied_gives_the_same_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    settings = setup("xor", methods=[{"solver": "levenberg-marquardt", "steps": 5}])
    run = ask("run", setup=settings)["runs"][0]
    text = ask("python", setup=settings, params=run["params"][2], row=None, method=settings["methods"][0])["text"]
    names: dict[str, Any] = {}
    exec(text, names)
    assert names["at"].value == run["value"][2]
    np.testing.assert_array_equal(names["at"].gradient, run["gradient"][2])
    assert names["solution"].solver == LevenbergMarquardt(corrections=0)
    assert "gradient" in capsys.readouterr().out


def test_the_latex_that_is_copied_is_the_explanation() -> None:
    settings = setup("line", model={"hidden": []})
    params = ask("run", setup=settings)["runs"][0]["params"][1]
    text = ask("latex", setup=settings, params=params, row=0, method=GD, notation="lecture")["text"]
    assert r"\partial L" in text


# --- what cannot be done is one sentence ---


@pytest.mark.parametrize(
    ("message", "word"),
    [
        ([], "message"),
        ({"kind": "boil"}, "boil"),
        ({"kind": "run"}, "setup"),
        ({"kind": "run", "setup": setup("nothing")}, "nothing"),
        ({"kind": "run", "setup": setup("file:9")}, "no longer open"),
        ({"kind": "run", "setup": setup(model={"hidden": [9]})}, "at most 8"),
        ({"kind": "run", "setup": setup(model={"hidden": [1, 1, 1, 1]})}, "at most 3"),
        ({"kind": "run", "setup": setup(model={"hidden": "tanh"})}, "hidden"),
        ({"kind": "run", "setup": setup(model={"activation": "cos"})}, "cos"),
        ({"kind": "run", "setup": setup(model={"loss": "hinge"})}, "hinge"),
        ({"kind": "run", "setup": setup(model={"alpha": -1})}, "alpha"),
        ({"kind": "run", "setup": setup(methods=[])}, "methods"),
        ({"kind": "run", "setup": setup(methods=[{"solver": "newton", "steps": 10**6}])}, "steps"),
        ({"kind": "run", "setup": setup(methods=[{"solver": "gradient-descent", "rate": "fast"}])}, "rate"),
        ({"kind": "run", "setup": setup(start={"params": [1.0]})}, "one for each parameter"),
        ({"kind": "run", "setup": setup(start={"params": [10**400] * 13})}, "finite"),
        ({"kind": "run", "setup": setup(start={"params": ["0"] * 13})}, "numbers"),
        ({"kind": "run", "setup": setup("line", start={"params": [1e200] * 10})}, "finite"),
        ({"kind": "run", "setup": setup(), "axes": [0, 5]}, "axes"),
        ({"kind": "derivation", "setup": setup(), "params": [0.0] * 13, "row": 99, "method": GD}, "row"),
        ({"kind": "surface", "setup": setup(), "params": [0.0] * 13, "pair": [1, 1]}, "pair"),
        (
            {"kind": "surface", "setup": setup(), "params": [0.0] * 13, "pair": [1, 2], "windows": [[0, 0], [0, 1]]},
            "window",
        ),
        ({"kind": "profile", "setup": setup(), "params": [0.0] * 13, "index": 13, "window": [0, 1]}, "index"),
    ],
)
def test_a_wrong_message_is_answered_by_a_sentence(message: Any, word: str) -> None:
    answer = answer_of(Session(), message)
    assert set(answer) == {"error"}
    assert word.lower() in answer["error"].lower()
    assert answer["error"].endswith(".")


@pytest.mark.slow
@pytest.mark.parametrize("source", EXAMPLES)
def test_every_example_runs_with_every_solver_and_hostile_numbers_stay_json(source: str) -> None:
    methods = [
        {"solver": "gradient-descent", "rate": 1e6, "steps": 30},
        {"solver": "newton", "damped": False, "steps": 30},
    ]
    found = ask("run", setup=setup(source, methods=methods))
    for run in found["runs"]:
        assert len(run["params"]) == len(run["value"]) == len(run["frames"])
    for solver in ("newton-cg", "lbfgs", "levenberg-marquardt"):
        ask("run", setup=setup(source, methods=[{"solver": solver, "steps": 5}]))


@pytest.mark.slow
@pytest.mark.parametrize("source", ["line", "hours", "xor", "three"])
@pytest.mark.parametrize("activation", ["relu", "softplus"])
def test_what_is_asked_of_a_run_that_diverged_is_answered_in_json(source: str, activation: str) -> None:
    far = {"solver": "gradient-descent", "rate": 30, "momentum": 0.99, "steps": 60}
    settings = setup(source, model={"activation": activation, "alpha": 0.0}, methods=[far])
    found = ask("run", setup=settings)
    params, windows = found["runs"][0]["params"][-1], found["windows"]
    for row in (0, None):
        ask("derivation", setup=settings, params=params, row=row, method=far)
        ask("check", setup=settings, params=params, row=row, index=0)
    ask("profile", setup=settings, params=params, index=0, window=windows[0])
    ask("surface", setup=settings, params=params, pair=[0, 1], windows=windows[:2])


def test_a_run_can_be_cancelled() -> None:
    session = Session()
    slow = setup("ring", model={"hidden": [8, 8, 8]}, methods=[{"solver": "newton", "steps": 400}])
    answers: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: answers.append(answer_of(session, {"kind": "run", "setup": slow})))
    thread.start()
    while thread.is_alive():
        answer_of(session, {"kind": "cancel"})
        thread.join(0.05)
    assert answers[0]["runs"][0]["status"] == "STOPPED"


# --- files ---


def test_a_file_is_trained_on_and_its_rows_keep_their_numbers() -> None:
    session = Session()
    key = session.add("penguins.csv", read_table(PENGUINS), "species")
    assert answer_of(session, {"kind": "hello"})["files"][0]["target"] == "species"
    data = {"source": key, "inputs": ["bill_length_mm", "bill_depth_mm"]}
    answer = answer_of(session, {"kind": "run", "setup": setup(data=data, model={"scale": True})})
    assert "error" not in answer, answer
    problem = answer["problem"]
    assert len(problem["classes"]) == 3
    whole = answer_of(session, {"kind": "run", "setup": setup(data={"source": key}, model={"scale": True})})["problem"]
    drawn = [whole["inputs"][j] for j in whole["view"]["axes"]]
    assert drawn == ["bill_length_mm", "bill_depth_mm"]  # not the marks of the islands, which come first
    assert len(problem["rows"]) == len(problem["X"])
    assert problem["view"]["grid"]


@pytest.mark.slow
def test_a_large_file_is_sampled_and_says_so(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "large.csv"
    np.savetxt(path, rng.normal(size=(3 * MOST_ROWS, 3)), delimiter=",", header="a,b,y", comments="")
    session = Session()
    key = session.add("large.csv", read_table(path))
    problem = answer_of(session, {"kind": "run", "setup": setup(data={"source": key})})["problem"]
    assert len(problem["X"]) == MOST_ROWS
    assert any("sample" in note for note in problem["notes"])


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b"a,b\n", "no data rows"),
        (b"a,b\n1,2,3\n4,5\n", "row 2"),
        (b"PK\x03\x04rest", "ZIP"),
        (b"\xff\xfea", "encoding"),
    ],
)
def test_a_bad_file_is_answered_by_its_own_name(content: bytes, word: str) -> None:
    answer = file_answer(Session(), "mine.csv", content)
    assert answer["error"].startswith("mine.csv")
    assert word in answer["error"]


def test_separated_classes_are_told() -> None:
    session = Session()
    answer = file_answer(session, "sep.csv", b"x,y\n" + b"".join(b"%d,%d\n" % (i, i > 10) for i in range(20)))
    data = {"source": answer["file"]["key"], "target": "y"}
    run = answer_of(
        session,
        {
            "kind": "run",
            "setup": setup(data=data, model={"hidden": [], "alpha": 0.0}, methods=[NEWTON | {"steps": 60}]),
        },
    )
    assert run["runs"][0]["status"] == "UNBOUNDED"
    assert "separated" in run["runs"][0]["sentence"]


# --- the server ---


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server(Session())
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield running
    running.closing.set()
    running.shutdown()
    running.server_close()
    thread.join()


HELLO = json.dumps({"kind": "hello"}).encode()


@pytest.mark.slow
def test_the_page_and_its_answers_are_served(server: Server) -> None:
    for path, kind in (
        ("/", "text/html"),
        ("/page.js", "text/javascript"),
        ("/page.css", "text/css"),
        ("/fonts.css", "text/css"),
    ):
        status, headers, content = request(server, "GET", path, X_Newtron_Token="")
        assert status == 200
        assert headers["Content-Type"].startswith(kind)
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert content
    status, _, content = request(server, "POST", "/api/ask", HELLO, Origin=server.origin)
    assert status == 200
    assert json.loads(content)["examples"]
    assert request(server, "GET", "/../cli/play.py")[0] == 404
    assert json.loads(request(server, "POST", "/api/ask", b"{")[2]) == {"error": "The message is not JSON."}


@pytest.mark.slow
def test_it_listens_to_this_machine_alone(server: Server) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert server.token in server.url.partition("#")[2]


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/", "/page.js", "/api/alive"])
def test_a_foreign_host_is_refused(server: Server, path: str) -> None:
    for host in ("evil.example", f"evil.example:{server.server_port}", "127.0.0.1:1", "127.0.0.1.evil.example"):
        assert request(server, "GET", path, Host=host)[0] == 421
        assert request(server, "POST", "/api/ask", HELLO, Host=host)[0] == 421


@pytest.mark.slow
@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://127.0.0.1:1", "null", "http://localhost.evil.example"]
)
def test_a_foreign_origin_is_refused(server: Server, origin: str) -> None:
    assert request(server, "POST", "/api/ask", HELLO, Origin=origin)[0] == 403
    assert request(server, "POST", "/api/open?name=a.csv", b"a,b\n1,2\n", Origin=origin)[0] == 403


@pytest.mark.slow
@pytest.mark.parametrize("token", ["", "wrong", "ä"])
def test_a_missing_or_wrong_token_is_refused(server: Server, token: str) -> None:
    for method, path, body in (
        ("POST", "/api/ask", HELLO),
        ("POST", "/api/open", b"a,b\n"),
        ("GET", "/api/alive", None),
    ):
        status, _, content = request(server, method, path, body, X_Newtron_Token=token)
        assert status == 403
        assert "token" in json.loads(content)["error"]


@pytest.mark.slow
def test_a_file_that_is_too_large_is_refused_unread(server: Server) -> None:
    connection = http.client.HTTPConnection(HOST, server.server_port, timeout=20)
    connection.putrequest("POST", "/api/open?name=big.csv")
    connection.putheader("X-Newtron-Token", server.token)
    connection.putheader("Content-Length", str(4 * MOST_FILE))
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413
    assert "200 MB" in json.loads(answer.read())["error"]
    connection.close()


@pytest.mark.slow
def test_a_file_comes_through_the_server(server: Server) -> None:
    status, _, content = request(server, "POST", "/api/open?name=m%C3%A4use.csv", b"a,y\n1,2\n3,4\n5,7\n")
    assert status == 200
    file = json.loads(content)["file"]
    assert file["name"] == "mäuse.csv"
    assert file["columns"] == ["a", "y"]


# --- one file ---


def test_the_committed_page_was_built_from_the_committed_sources() -> None:
    web = PENGUINS.parents[1] / "web"
    digest = hashlib.sha256()
    sources = sorted(path.relative_to(web).as_posix() for path in (web / "src").rglob("*") if path.is_file())
    for name in ("package-lock.json", "build.mjs", "fonts-license.txt", *sources):
        digest.update(name.encode())
        digest.update((web / name).read_bytes())
    assert built("sources.sha256").strip() == digest.hexdigest(), "run: cd web && npm ci && npm run build"
    assert sum(len(zlib.compress(built(name).encode())) for name in ("page.js", "page.css", "fonts.css")) < 350_000
    assert len(zlib.compress(built("page.css").encode())) < 20_000  # before this is here nothing is shown


def test_the_licence_of_the_fonts_is_beside_them() -> None:
    families = set(re.findall(r"@font-face\{font-family:(\w+)", built("fonts.css")))
    licences = built("LICENSES.txt")
    assert "SIL OPEN FONT LICENSE Version 1.1 - 26 February 2007" in licences
    assert "OTHER DEALINGS IN THE FONT SOFTWARE." in licences
    named = licences.split("Reserved Font Names")[1].split(".")[0]
    assert families == set(re.findall(r"KaTeX_\w+", named))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None, reason="no npm: apt-get install nodejs npm")
def test_the_committed_page_is_what_its_sources_are_built_into(tmp_path: Path) -> None:
    web = tmp_path / "web"
    shutil.copytree(PENGUINS.parents[1] / "web", web, ignore=shutil.ignore_patterns("node_modules"))
    # The lock file names version and digest of every package, of esbuild too; no package may run anything.
    options = ("--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
    installed = subprocess.run(["npm", "ci", *options], cwd=web, capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"npm ci cannot install what the page is built with: {installed.stderr.strip()[-300:]}")
    run = subprocess.run(["node", "build.mjs", str(tmp_path / "out")], cwd=web, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    committed = {path.name: path.read_bytes() for path in Path(str(files("newtron.play") / "static")).iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == committed


def test_a_saved_page_loads_nothing_and_holds_hostile_text_as_text() -> None:
    hostile = "</script><script>alert(1)</script>"
    text = page({"note": hostile})
    assert hostile not in text
    packed = text.split('type="text/plain">')[1].split("</script>")[0]
    assert json.loads(gzip.decompress(base64.b64decode(packed)))["note"] == hostile
    assert "default-src 'none'" in text
    for word in ('src="http', 'href="http', "url(http", "@import"):
        assert word not in text


# --- the command ---


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["missing.csv"], "missing.csv"),
        (["--target", "y"], "DATA"),
        ([str(PENGUINS), "--target", "beak"], "beak"),
        (["--port", "70000"], "65535"),
    ],
)
def test_a_command_that_cannot_be_followed_is_one_sentence(
    arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(["play", "--no-browser", *arguments])
    except SystemExit as stop:
        code = int(stop.code or 0)
    said = capsys.readouterr()
    assert code == 2
    assert said.out == ""
    assert word in said.err
    assert len(said.err.splitlines()) == 1


@pytest.mark.slow
def test_a_port_in_use_is_told(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["play", "--no-browser", "--port", str(server.server_port)]) == 2
    assert "choose another" in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_serves_until_it_is_interrupted() -> None:
    command = [sys.executable, "-m", "newtron", "play", str(PENGUINS), "--target", "species", "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = process.stdout.readline().split()[-1]
    host, _, token = url.removeprefix("http://").partition("/#token=")
    connection = http.client.HTTPConnection(host, timeout=20)
    connection.request("POST", "/api/ask", HELLO, {"X-Newtron-Token": token})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in said
    assert [file["name"] for file in answer["files"]] == ["penguins.csv"]
    assert answer["setup"]["data"] == {"source": answer["files"][0]["key"], "target": "species"}
