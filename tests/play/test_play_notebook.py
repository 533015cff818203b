"""The page in a notebook: the widget's messages are answered as the server answers, and it begins with the model."""

from __future__ import annotations

import builtins
import json
import threading
from collections.abc import Iterator
from queue import Queue
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.exceptions import NotFittedError
from support.page import NEWTON, request, session_of, setup

from newtron import NetworkClassifier, NetworkRegressor, PerceptronClassifier, PerceptronRegressor, load
from newtron.engine.base.errors import InputError
from newtron.play import Session
from newtron.play.datasets import MOST_INPUTS, MOST_ROWS
from newtron.play.notebook import reply
from newtron.play.server import Server
from newtron.play.session import ROWS

RNG = np.random.default_rng(11)
X = RNG.normal(size=(80, 2))
Y = 3.0 + X @ [1.0, -2.0] + np.sin(2.0 * X[:, 0]) + 0.3 * RNG.normal(size=80)
LABELS = np.where(Y + RNG.normal(size=80) > 3.0, "yes", "no")
THREE = np.digitize(Y + RNG.normal(size=80), [2.0, 4.0])

MODELS = {
    "line": (PerceptronRegressor(alpha=0.5), Y),
    "classes": (PerceptronClassifier(standardize=True), LABELS),
    "three": (PerceptronClassifier(alpha=1.0), THREE),
    "squared": (PerceptronClassifier(loss="squared_error", alpha=1.0), LABELS),
    "network": (NetworkRegressor(hidden=(3,), n_starts=2), Y),
    "deep": (NetworkClassifier(hidden=(3, 2), n_starts=1, activation="softplus", alpha=0.5), THREE),
    "no intercept": (NetworkRegressor(hidden=(2,), n_starts=1, fit_intercept=False, alpha=0.1), Y),
}


def ask(session: Session, message: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(str(reply(session, {"id": "a/1", "message": message}, [])["answer"]))
    assert "error" not in answer, answer
    return answer


# --- one mechanism ---


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


@pytest.mark.slow
def test_messages_are_answered_as_by_the_server(server: Server) -> None:
    session, settings = Session(), setup("xor")
    params = ask(session, {"kind": "run", "setup": settings})["runs"][0]["params"][3]
    messages: list[Any] = [
        {"kind": "hello"},
        {"kind": "run", "setup": settings},
        {"kind": "derivation", "setup": settings, "params": params, "row": 2, "method": NEWTON},
        {"kind": "surface", "setup": settings, "params": params, "pair": [0, 1], "windows": [[-1, 1], [0, 2]]},
        {"kind": "check", "setup": settings, "params": params, "index": 1, "row": None},
        {"kind": "python", "setup": settings, "params": params, "row": None, "method": NEWTON},
        {"kind": "boil"},
        {"kind": "run", "setup": setup("file:1", model={"hidden": []})},
        None,
        [],
    ]
    for message in messages:
        _, _, served = request(server, "POST", "/api/ask", json.dumps(message).encode())
        assert reply(session, {"id": "a/7", "message": message}, []) == {"id": "a/7", "answer": served.decode()}
    for content in (b"a,y\n1,2\n3,4\n5,7\n", b"", b"a,b\n1,2,3\n"):
        _, _, served = request(server, "POST", "/api/open?name=m.csv", content or b"")
        assert reply(session, {"id": "b", "name": "m.csv"}, [content])["answer"] == served.decode()


@pytest.mark.parametrize("content", [None, "hello", {}, {"message": "hello"}, {"id": 3, "message": {"kind": 3}}])
def test_a_wrong_message_is_answered_by_a_sentence(content: Any) -> None:
    answer = json.loads(str(reply(Session(), content, [])["answer"]))
    assert set(answer) == {"error"}


def test_the_widget_answers_aside_and_a_run_can_be_cancelled() -> None:
    page = MODELS["line"][0].fit(X, Y).play(X, Y)
    sent: Queue[Any] = Queue()
    page.send = sent.put
    slow = setup("ring", model={"hidden": [8, 8, 8]}, methods=[{"solver": "newton", "steps": 400}])
    page._handle_custom_msg({"id": 1, "message": {"kind": "run", "setup": slow}}, [])
    page._handle_custom_msg({"id": 2, "message": {"kind": "hello"}}, [memoryview(b"a,y\n1,2\n3,4\n5,7\n")])
    answers: dict[int, Any] = {}
    while 1 not in answers:
        page._handle_custom_msg({"id": 3, "message": {"kind": "cancel"}}, [])
        answer = sent.get(timeout=60)
        answers[answer["id"]] = json.loads(answer["answer"])
    assert answers[1]["runs"][0]["status"] == "STOPPED"
    while 2 not in answers:
        answer = sent.get(timeout=60)
        answers[answer["id"]] = json.loads(answer["answer"])
    assert answers[2]["file"]["columns"] == ["a", "y"]
    assert "export" in page._esm
    assert ".nt" in page._css


def test_without_anywidget_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = builtins.__import__

    def refusing(name: str, *rest: Any) -> Any:
        if name == "anywidget":
            raise ImportError(name)
        return honest(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refusing)
    with pytest.raises(ImportError, match='extra "notebook": pip install anywidget'):
        PerceptronRegressor().fit(X, Y).play()


# --- what it begins with ---


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_the_fitted_model_is_on_the_page_with_all_its_digits(name: str, tmp_path: Any) -> None:
    model, y = MODELS[name]
    model.fit(X, y)
    model.save(tmp_path / "m.newtron")
    for one in (model, load(tmp_path / "m.newtron")):
        session = session_of(one, X, y)
        hello = ask(session, {"kind": "hello"})
        assert hello["examples"][0]["key"] == ROWS
        fitted = hello["fitted"]
        assert fitted["params"] == one.solution_.params.tolist()
        settings = hello["setup"] | {"start": {"params": fitted["params"]}}
        found = ask(session, {"kind": "run", "setup": settings})
        for run in found["runs"]:
            assert run["value"][0] == pytest.approx(one.solution_.value, rel=1e-12)
            assert np.abs(run["gradient"][0]).max() < 1e-6
        assert found["problem"]["rows"] == list(range(80))
        best = next(m for m in one.members_ if m.solution is one.solution_)
        method = settings["methods"][1]
        assert method["solver"] == best.solution.solver.name or best.solution.solver.name == "gradient-descent"
        derivation = ask(
            session, {"kind": "derivation", "setup": settings, "params": fitted["params"], "row": 7, "method": method}
        )["derivation"]
        np.testing.assert_allclose(derivation["units"]["a"][-1], member_says(one, best, X[[7]]), rtol=1e-12)
        anew = ask(session, {"kind": "run", "setup": hello["setup"]})["runs"][1]
        assert anew["value"][0] != found["runs"][1]["value"][0]
        copied = {"setup": settings, "params": fitted["params"], "row": None, "method": method}
        names: dict[str, Any] = {}
        exec(ask(session, {"kind": "python", **copied})["text"], names)
        assert names["at"].value == found["runs"][0]["value"][0]


@pytest.mark.parametrize("name", ["classes", "network"])
def test_other_rows_are_seen_by_the_model_as_it_was_fitted(name: str) -> None:
    model, y = MODELS[name]
    model.fit(X, y)
    session = session_of(model, 5.0 * X[:30] + 1.0, y[:30])
    hello = ask(session, {"kind": "hello"})
    about = {"setup": hello["setup"], "params": hello["fitted"]["params"], "method": hello["setup"]["methods"][1]}
    best = next(m for m in model.members_ if m.solution is model.solution_)
    for row in (0, 12, 29):
        derivation = ask(session, {"kind": "derivation", "row": row, **about})["derivation"]
        said = member_says(model, best, 5.0 * X[[row]] + 1.0)
        np.testing.assert_allclose(derivation["units"]["a"][-1], said, rtol=1e-12)


def member_says(model: Any, member: Any, row: Any) -> Any:
    """What one network says of a row, in units of training."""
    return model.loss_.inverse_link(member.network.output(member.params, model.scaling_.inputs(row)))[0]


def test_names_and_classes_are_the_datas() -> None:
    frame = pd.DataFrame(X, columns=["age", "income"])
    session = session_of(PerceptronClassifier().fit(frame, LABELS == "yes"), frame, pd.Series(LABELS == "yes"))
    problem = ask(session, {"kind": "run", "setup": ask(session, {"kind": "hello"})["setup"]})["problem"]
    assert problem["inputs"] == ["age", "income"]
    assert problem["classes"] == ["false", "true"]
    assert problem["task"] == "classification"


@pytest.mark.slow
def test_a_model_that_cannot_be_drawn_is_shown_simpler_and_the_page_says_so() -> None:
    wide = RNG.normal(size=(60, 12))
    target = wide @ np.arange(12.0) + RNG.normal(size=60)
    cases = {
        "hidden": (NetworkRegressor(hidden=(20,), n_starts=1, alpha=1.0), X, Y, [8], 2),
        "deep": (NetworkRegressor(hidden=(2, 2, 2, 2), n_starts=1, alpha=1.0), X, Y, [2, 2, 2], 2),
        "auto": (NetworkRegressor(n_starts=1, max_iter=5), X, Y, None, 2),
        "wide": (PerceptronRegressor(), wide, target, [], MOST_INPUTS),
    }
    for model, rows, y, hidden, inputs in cases.values():
        with pytest.warns() if model.get_params()["max_iter"] else no_warning():
            model.fit(rows, y)
        session = session_of(model, rows, y)
        hello = ask(session, {"kind": "hello"})
        assert hello["fitted"] is None
        assert "trained here anew" in hello["note"]
        assert hidden is None or hello["setup"]["model"]["hidden"] == hidden
        problem = ask(session, {"kind": "run", "setup": hello["setup"]})["problem"]
        assert len(problem["inputs"]) == inputs
    assert problem["inputs"] == [f"x{j}" for j in range(5, 13)]  # those with the largest weights
    assert "largest weights" in problem["notes"][0]


def no_warning() -> Any:
    import contextlib

    return contextlib.nullcontext()


@pytest.mark.slow
def test_of_many_rows_a_sample_is_shown() -> None:
    rows = RNG.normal(size=(MOST_ROWS + 200, 1))
    model = PerceptronRegressor().fit(rows, 2.0 * rows[:, 0])
    session = session_of(model, rows, 2.0 * rows[:, 0])
    problem = ask(session, {"kind": "run", "setup": ask(session, {"kind": "hello"})["setup"]})["problem"]
    assert len(problem["X"]) == MOST_ROWS
    assert "sample" in problem["notes"][0]
    assert [x[0] for x in problem["X"]] == rows[problem["rows"], 0].tolist()


def test_a_sparse_matrix_is_taken() -> None:
    model = PerceptronClassifier().fit(sparse.csr_array(X), LABELS)
    assert ask(session_of(model, sparse.csr_array(X), LABELS), {"kind": "hello"})["fitted"]


def test_without_rows_an_example_has_the_models_settings() -> None:
    for model, y, source in (
        (PerceptronRegressor(), Y, "line"),
        (NetworkRegressor(hidden=(3,), n_starts=1), Y, "wave"),
        (PerceptronClassifier(), LABELS, "clouds"),
        (NetworkClassifier(hidden=(3,), n_starts=1), LABELS, "ring"),
        (PerceptronClassifier(), THREE, "three"),
    ):
        session = session_of(model.fit(X, y), None, None)
        hello = ask(session, {"kind": "hello"})
        assert hello["setup"]["data"] == {"source": source}
        assert hello["setup"]["model"]["hidden"] == list(getattr(model, "hidden", ()))
        assert hello["fitted"] is None
        assert "model.play(X, y)" in hello["note"]
        ask(session, {"kind": "run", "setup": hello["setup"] | {"start": {"seed": 0}}})


def test_weights_of_classes_are_told_apart() -> None:
    model = PerceptronClassifier(class_weight="balanced").fit(X, LABELS)
    assert "counts every row 1" in ask(session_of(model, X, LABELS), {"kind": "hello"})["note"]
    plain = PerceptronClassifier().fit(X, LABELS)
    assert ask(session_of(plain, X, LABELS), {"kind": "hello"})["note"] == ""


def test_what_cannot_be_shown_is_a_sentence() -> None:
    model = PerceptronRegressor().fit(X, Y)
    with pytest.raises(NotFittedError):
        PerceptronRegressor().play(X, Y)
    for arguments, word in (
        ((X, None), "both X and y"),
        ((None, Y), "both X and y"),
        ((X[:, :1], Y), "features"),
        ((X, Y[:5]), "y has shape"),
        ((X + np.inf, Y), "infinity"),
    ):
        with pytest.raises(ValueError, match=word):
            model.play(*arguments)
    two = PerceptronRegressor().fit(X, np.column_stack([Y, Y]))
    with pytest.raises(InputError, match="one target"):
        two.play(X, np.column_stack([Y, Y]))
    many = np.arange(80) % 7
    with pytest.raises(InputError, match="6 classes"):
        PerceptronClassifier(alpha=1.0).fit(X, many).play(X, many)
    with pytest.raises(InputError, match="none of the classes"):
        PerceptronClassifier().fit(X, LABELS).play(X, np.where(Y > 0.0, "a", "b"))
