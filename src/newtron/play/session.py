"""The questions of the page and their answers: one JSON object in, one out.

A session remembers the files it was given and nothing else: every message carries the whole set-up (data, model, start,
methods). So the page can be reloaded, shared by its address and stepped back without any state here.
"""

from __future__ import annotations

import json
import sys
import threading
import traceback
from collections import OrderedDict
from collections.abc import Callable, Mapping

import numpy as np

from newtron.engine.base.checks import check_choice, check_count, check_number, shown
from newtron.engine.base.errors import InputError
from newtron.engine.base.threads import one_blas_thread
from newtron.engine.base.types import Array
from newtron.engine.base.words import strict
from newtron.engine.solvers import Solver
from newtron.explain import NOTATIONS
from newtron.explain.show.symbols import to_latex
from newtron.play import pictures
from newtron.play.datasets import EXAMPLES, Data, example, from_table
from newtron.play.derivation import derivation_facts, latex_of
from newtron.play.export import page, state_bytes
from newtron.play.keep import kept_derivations
from newtron.play.messages import (
    ErrorAnswer,
    FileEntry,
    FirstSetup,
    FittedStart,
    HelloAnswer,
    ModelChoice,
    OpenAnswer,
    PointFacts,
    ProblemFacts,
    RunAnswer,
    Setup,
    Window,
)
from newtron.play.numbers import json_matrix, json_vector
from newtron.play.point import point_facts
from newtron.play.problem import Problem, mapping, method_from, problem_from
from newtron.play.program import program
from newtron.play.runs import run_facts, run_method
from newtron.table import Table

# A message of the page, and an answer: one of `newtron.play.messages`, each a mapping of names.
Message = dict[str, object]
Answer = Mapping[str, object]
# The source of rows that were given to `begin`, and the largest file, in bytes.
ROWS, MOST_FILE = "rows", 50 * 2**20
# How many of the last choices are kept: choices of columns as numbers, files, and bytes of all files together.
_KEPT, _KEPT_FILES, _KEPT_BYTES = 8, 8, 2 * MOST_FILE
# The set-up that the page asks for first (DEFAULT_SETUP in web/src/app.js).
FIRST_SETUP: Setup = {
    "data": {"source": "clouds"},
    "model": {"hidden": [], "activation": "tanh", "loss": None, "intercept": True, "scale": False, "alpha": 0},
    "start": {"seed": 0},
    "methods": [
        {"solver": "gradient-descent", "rate": 0.5, "momentum": 0, "steps": 40},
        {"solver": "newton", "damped": True, "steps": 20},
    ],
}


class Session:
    """Answers messages. Several threads may ask at the same time: questions are answered one by one, and `cancel`
    immediately."""

    def __init__(self) -> None:
        self._tables: dict[str, tuple[str, Table]] = {}
        self._targets: dict[str, str] = {}
        self._added = 0
        self._opened: dict[str, int] = {}  # bytes of the files that the page sent, the oldest first
        self._opening = threading.Lock()
        self._rows: Data | None = None
        self._first: FirstSetup | None = None
        self._fitted: FittedStart | None = None
        self._note = ""
        self._data: OrderedDict[str, Data] = OrderedDict()
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._prepared: tuple[str, Answer] = ("", {})
        self._answers: dict[str, Callable[[Message], Answer]] = {
            "hello": self._hello,
            "run": self._run,
            "derivation": lambda given: {"derivation": derivation_facts(*self._point(given), _solver(given))},
            "point": lambda given: {"point": self._facts_of_point(given)},
            "latex": self._latex,
            "python": lambda given: {"text": program(*self._point(given), _solver(given))},
            "surface": lambda given: {"surface": pictures.surface(*self._slice(given))},
            "bowl": lambda given: {"bowl": pictures.bowl(*self._slice(given))},
            "profile": self._profile,
            "check": self._check,
            "export": self._export,
        }

    def add(self, name: str, table: Table, target: str | None = None, *, first: bool = False) -> str:
        """Adds a table that the page may show, with its target (None: the last column), and returns its key. first:
        whether the page begins with it."""
        self._added += 1
        key = f"file:{self._added}"
        self._tables[key] = (name, table)
        self._targets[key] = target or table.names[-1]
        if first:
            self._first = {"data": {"source": key, "target": self._targets[key]}, "model": {"scale": True}}
        return key

    def begin(self, setup: FirstSetup, rows: Data | None = None, params: list[float] | None = None) -> None:
        """Sets what the page begins with. rows: data of the source "rows". params: those of a fitted model, where both
        methods can be started."""
        self._rows, self._first = rows, setup
        self._fitted = None if params is None else {"data": setup["data"], "model": setup["model"], "params": params}

    def say(self, note: str) -> None:
        """Sets a sentence that the page shows as long as it is open."""
        self._note = note

    def open(self, name: str, content: bytes) -> Answer:
        """Reads a file that the page sent, as the command line reads it, and returns its columns.

        One file is read at a time. Where many are open, those that were sent first are closed.
        """
        with self._opening:
            return _answered(lambda: self._open(name, content))

    def _open(self, name: str, content: bytes) -> OpenAnswer | ErrorAnswer:
        from newtron.table.data_file import DataFile
        from newtron.table.read import read_table

        if len(content) > MOST_FILE:
            return {"error": too_large("file", len(content), MOST_FILE)}
        if not content:
            return {"error": f"{name}: the file is empty; choose one with a header and rows."}
        try:
            # The limit holds for the unpacked file too.
            table = read_table(DataFile(name, name, content), limit=MOST_FILE)
        except InputError as error:
            return {"error": str(error)}
        key = self.add(name, table)
        self._opened[key] = max(len(content), table.data.nbytes)
        while len(self._opened) > 1 and (len(self._opened) > _KEPT_FILES or sum(self._opened.values()) > _KEPT_BYTES):
            oldest = next(iter(self._opened))
            del self._opened[oldest], self._tables[oldest], self._targets[oldest]
        return {"kind": "open", "file": self.columns(key)}

    def columns(self, key: str) -> FileEntry:
        """The columns of a table, from which the page lets the user choose."""
        name, table = self._tables[key]
        target = self._targets[key]
        return {"key": key, "name": name, "columns": list(table.names), "rows": table.n_rows, "target": target}

    def ask(self, message: object) -> Answer:
        """The answer to a message; {"error": sentence} where it cannot be answered."""
        return _answered(lambda: self._ask(message))

    def _ask(self, message: object) -> Answer:
        given = mapping("message", message)
        if given.get("kind") == "cancel":
            self._stop.set()
            return {"kind": "cancel"}
        kind = check_choice("kind", given.get("kind"), self._answers)
        asked, answer = self._prepared
        if asked and asked == _canonical(given):
            return answer
        with self._lock, one_blas_thread(), np.errstate(all="ignore"):
            self._stop.clear()
            return {"kind": kind, **self._answers[kind](given)}

    def prepare(self) -> None:
        """Answers the page's first question in advance, while the browser starts. Errors are not reported here: the
        page gets them when it asks."""
        setup, given = FIRST_SETUP, self._first
        if given is not None:
            model: ModelChoice = {**setup["model"], **given["model"]}
            methods = given.get("methods", setup["methods"])
            setup = {**setup, "data": given["data"], "model": model, "methods": methods}
        message = {"kind": "run", "setup": setup, "axes": None}
        self._prepared = (_canonical(message), self.ask(message))

    # --- the answers ---

    def _hello(self, given: Message) -> HelloAnswer:
        del given
        titles = [(key, title) for key, (title, _) in EXAMPLES.items()]
        if self._rows is not None:
            titles.insert(0, (ROWS, "Your rows"))
        return {
            "examples": [{"key": key, "title": title} for key, title in titles],
            "files": [self.columns(key) for key in list(self._tables)],
            "setup": self._first,
            "fitted": self._fitted,
            "note": self._note,
        }

    def _run(self, given: Message) -> RunAnswer:
        problem = self._problem(given)
        setup = mapping("setup", given.get("setup"))
        methods = setup.get("methods")
        if not isinstance(methods, list) or not 1 <= len(methods) <= 2:
            raise InputError("methods must be a list of one or two methods.")
        start = problem.start(setup.get("start", {}))
        if not np.isfinite(problem.objective.evaluate(start, 0).value):
            raise InputError("The loss is not finite at this start: choose smaller weights, or turn scaling on.")
        found = [run_method(problem, method_from(method), start, self._stop.is_set) for method in methods]
        grid = pictures.InputGrid(problem, _axes(given, problem))
        runs = [run_facts(problem, one, grid.frames(one.params)) for one in found]
        values = [np.array([np.nan if v is None else v for v in one["value"]]) for one in runs]
        return {
            "problem": _facts(problem, grid),
            "start": json_vector(start),
            "runs": runs,
            "windows": pictures.parameter_windows([one.params for one in found], values),
        }

    def _latex(self, given: Message) -> Answer:
        notation = check_choice("notation", given.get("notation"), NOTATIONS)
        return {"text": latex_of(*self._point(given), _solver(given), notation)}

    def _facts_of_point(self, given: Message) -> PointFacts:
        problem = self._problem(given)
        return point_facts(problem, problem.params_from("params", given.get("params")))

    def _slice(self, given: Message) -> tuple[Problem, Array, tuple[int, int], list[Window]]:
        problem = self._problem(given)
        pair = given.get("pair")
        if not isinstance(pair, list) or len(pair) != 2 or pair[0] == pair[1]:
            raise InputError("pair must name two different parameters.")
        i, j = (problem.parameter_from("pair", index) for index in pair)
        windows = given.get("windows")
        if not isinstance(windows, list) or len(windows) != 2:
            raise InputError("windows must be two pairs of numbers.")
        base = problem.params_from("params", given.get("params"))
        return problem, base, (i, j), [_window(w) for w in windows]

    def _profile(self, given: Message) -> Answer:
        problem = self._problem(given)
        base = problem.params_from("params", given.get("params"))
        index = problem.parameter_from("index", given.get("index"))
        return {"profile": pictures.profile(problem, base, index, _window(given.get("window")))}

    def _check(self, given: Message) -> Answer:
        problem, base, row = self._point(given)
        index = problem.parameter_from("index", given.get("index"))
        return {"check": pictures.differences(problem, base, index, row)}

    def _export(self, given: Message) -> Answer:
        state = mapping("state", given.get("state"))
        state_bytes(state)  # what is no JSON is refused before anything is computed
        problem = self._problem(given)
        return {"html": page({**state, "derivations": kept_derivations(problem, given, state)})}

    # --- what every message carries ---

    def _point(self, given: Message) -> tuple[Problem, Array, int | None]:
        """The problem, the parameters, and the row; None for all rows."""
        problem = self._problem(given)
        params = problem.params_from("params", given.get("params"))
        return problem, params, None if given.get("row") is None else problem.row_from(given["row"])

    def _problem(self, given: Message) -> Problem:
        setup = mapping("setup", given.get("setup"))
        return problem_from(self._find(mapping("data", setup.get("data"))), setup.get("model", {}))

    def _find(self, data: Message) -> Data:
        source = data.get("source")
        if source == ROWS and self._rows is not None:
            return self._rows
        if not isinstance(source, str) or not source.startswith("file:"):
            return example(source)
        if (table := self._tables.get(source, ("", None))[1]) is None:
            raise InputError("This file is no longer open: choose it again.")
        target = data.get("target", self._targets.get(source))
        inputs = data.get("inputs")
        named = inputs if isinstance(inputs, list) and all(isinstance(name, str) for name in inputs) else []
        if not isinstance(target, str) or not (inputs is None or inputs == named):
            raise InputError("target must be the name of a column, and inputs a list of names.")
        chosen = tuple(named) or None
        key = repr((source, target, chosen))
        if key not in self._data:
            self._data[key] = from_table(table, target, chosen)
            while len(self._data) > _KEPT:
                self._data.popitem(last=False)
        return self._data[key]


DEFECT = "newtron cannot answer this, which is a fault of newtron's own: its traceback is on standard error."


def _answered(answer: Callable[[], Answer | OpenAnswer | ErrorAnswer]) -> Answer:
    """The answer, or {"error": sentence}: the page gets an answer in every case, and the next question is answered."""
    try:
        return answer()
    except InputError as error:
        return {"error": str(error)}
    except RecursionError:
        return {"error": "The message is nested too deeply."}
    except Exception:  # a defect of newtron: the page needs an answer, and the traceback shows its origin
        traceback.print_exc(file=sys.stderr)
        return {"error": DEFECT}


def _canonical(message: Answer) -> str:
    return json.dumps(message, sort_keys=True)


def too_large(what: str, size: int, most: int) -> str:
    """The sentence for a file or message with this many bytes."""
    return (
        f"This {what} has {size // 2**20:,} MB; the page takes up to {most // 2**20} MB. "
        "Train on the whole file with 'newtron fit', or open a part of its rows here."
    )


def as_json(answer: Answer) -> str:
    """An answer as text that UTF-8 can hold. Numbers that are not finite, as at the end of a run that diverges, become
    null; halves of surrogate pairs, which a message may contain, become question marks."""
    try:
        text = json.dumps(answer, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        text = json.dumps(strict(answer), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace").decode("utf-8")


def _solver(given: Message) -> Solver:
    return method_from(given.get("method")).solver


def _axes(given: Message, problem: Problem) -> tuple[int, int]:
    axes = given.get("axes")
    X = problem.data.X
    p = X.shape[1]
    if p == 1:
        return 0, 1
    if axes is None:
        # Columns with many different values come first: indicators of categories have two.
        finer = sorted(range(p), key=lambda j: min(10, len(np.unique(X[:, j]))), reverse=True)
        return finer[0], finer[1]
    if not isinstance(axes, list) or len(axes) != 2 or axes[0] == axes[1]:
        raise InputError("axes must name two different inputs.")
    if max(check_count("axes", axis, least=0) for axis in axes) >= p:
        raise InputError(f"axes={shown(axes)} is not there: the inputs are 0 to {p - 1}.")
    return axes[0], axes[1]


def _window(value: object) -> Window:
    if not isinstance(value, list) or len(value) != 2:
        raise InputError("A window must be two finite numbers, the smaller first.")
    low, high = (check_number("window", limit) for limit in value)
    if not low < high:
        raise InputError("A window must be two finite numbers, the smaller first.")
    return low, high


def _facts(problem: Problem, grid: pictures.InputGrid) -> ProblemFacts:
    """All about data and model that no step changes."""
    data, network = problem.data, problem.network
    layers = [layer for layer, span in enumerate(network.spans, 1) for _ in range(span.stop - span.start)]
    return {
        "task": data.task,
        "inputs": list(data.inputs),
        "target": data.target,
        "classes": list(data.classes),
        "X": json_matrix(data.X),
        "labels": json_vector(data.y[:, 0]) if data.y.shape[1] == 1 else data.y.argmax(axis=1).tolist(),
        "rows": list(data.rows),
        "notes": list(data.notes),
        "columns": list(data.columns),
        "dates": list(data.dates),
        "widths": list(network.widths),
        "activation": network.activation,
        "intercept": network.intercept,
        "loss": problem.loss.name,
        "linear": network.is_linear,
        "quadratic": problem.objective.is_quadratic,
        "convex": problem.objective.is_convex,
        "parameters": [
            {"tex": to_latex(name), "plain": name, "weight": bool(weight), "layer": layer}
            for name, weight, layer in zip(problem.symbols, network.is_weight, layers, strict=True)
        ],
        "view": grid.facts(),
    }
