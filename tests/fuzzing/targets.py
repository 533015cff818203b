"""What is fuzzed, and what counts as a find: an exception that is no InputError, numbers that are not finite where a
model was taken, a prediction that is another one, more or fewer lines than records, a server that answers nothing."""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import sys
import threading
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fuzzing.mutations import Files, Mutator, packed, unpacked

_LONGEST_SENTENCE = 1500


class FindError(Exception):
    """Something that must not be, in words."""


class Target:
    """One kind of input. `prepare` makes what cases are changed from, `case` the bytes of one, `check` takes them."""

    name: ClassVar[str]
    number = 0  # of the case

    def prepare(self, folder: Path) -> None:
        self.folder = folder

    def case(self, change: Mutator) -> bytes:
        raise NotImplementedError

    def check(self, data: bytes) -> None:
        """Raises what is found. data: as `case` made it."""
        raise NotImplementedError


def rows(n: int = 60) -> tuple[Any, Any, Any, Any]:
    rng = np.random.default_rng(5)
    X = rng.normal(size=(n, 3))
    y = X @ [1.0, -2.0, 0.5] + np.sin(2.0 * X[:, 0]) + 0.3 * rng.normal(size=n)
    return X, y, (y > 0.0).astype(int), np.array(["aaa", "bbb", "né"])[np.digitize(y, [-1.0, 1.0])]


def sentence(error: Exception) -> None:
    text = str(error)
    if not text or len(text) > _LONGEST_SENTENCE or "\n" in text:
        raise FindError(f"no sentence but {text[:300]!r}")


def command(*words: str) -> tuple[int, str, str]:
    """Exit code, output and errors of the command line, in this process."""
    from newtron.cli import main

    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="") for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(list(words))
    texts = []
    for stream in (out, err):
        stream.seek(0)
        texts.append(stream.read())
    if code not in (0, 2) or "Traceback" in texts[1]:
        raise FindError(f"exit {code} of newtron {words[0]}: {texts[1][-2000:]}")
    return code, texts[0], texts[1]


# --- model files ---


class Models(Target):
    """Model files: manifest, arrays, archive and bytes. What is loaded is shown, and predicts as it must."""

    name = "model"

    def prepare(self, folder: Path) -> None:
        from newtron import NetworkClassifier, NetworkRegressor, PerceptronClassifier, PerceptronRegressor

        super().prepare(folder)
        X, y, two, three = rows()
        shape: dict[str, Any] = {"hidden": (2,), "n_starts": 2, "alpha": 0.1, "max_iter": 20}
        fits = [
            PerceptronRegressor(standardize=True).fit(X, y),
            PerceptronRegressor(alpha=0.5).fit(X, np.column_stack([y, X[:, 0] - y])),
            PerceptronClassifier(alpha=1.0, class_weight="balanced").fit(X, three),
            PerceptronClassifier(penalty="firth").fit(X, two),
            PerceptronClassifier().fit(X, X[:, 0] > 0.0),
            NetworkRegressor(**shape).fit(X, y),
            NetworkClassifier(**shape, combine="best").fit(X, three),
        ]
        self.bases: list[tuple[Files, Any]] = []
        for number, model in enumerate(fits):
            path = folder / f"base-{number}"
            model.save(path)
            self.bases.append((unpacked(path.read_bytes()), model.predict(X)))
        table = folder / "table.csv"
        cells = "".join(f"{a:.3f},{'pq'[b]},{c:.3f}\n" for (a, _, _), b, c in zip(X, two, y, strict=True))
        table.write_text(f"a,b,y\n{cells}")
        quick = ("--no-report", "--quiet", "--output")
        command("fit", str(table), "--target", "y", "--hidden", "2", "--starts", "1", *quick, str(folder / "base-cli"))
        self.bases.append((unpacked((folder / "base-cli").read_bytes()), None))

    def case(self, change: Mutator) -> bytes:
        number = change.below(len(self.bases))
        what, data = change.archive(self.bases[number][0])
        return f"{number} {what}\n".encode() + data

    def check(self, data: bytes) -> None:

        from newtron import InputError
        from newtron.estimators.stored import estimator_of
        from newtron.model_file import read_model

        head, _, data = data.partition(b"\n")
        number, what = head.decode().split()
        path = self.folder / "m.newtron"
        path.write_bytes(data)
        try:
            stored = read_model(path)
        except InputError as error:
            sentence(error)
            return
        model = estimator_of(stored.model)
        X = rows()[0]
        expected = self.bases[int(number)][1]
        if what == "bytes" and expected is not None and not np.array_equal(model.predict(X), expected):
            raise FindError("bytes were changed, the file was taken, and it predicts other numbers")
        self._use(model)
        command("show", str(path))
        code, out, _ = command("show", str(path), "--json")
        if code == 0:
            json.loads(out, parse_constant=_no_constant)
        if stored.model.data.schema is not None:
            table = self.folder / "table.csv"
            code, out, _ = command("predict", str(path), str(table))
            if code == 0 and out.count("\n") != table.read_text().count("\n"):
                raise FindError("predict gives other lines than there are records")

    def _use(self, model: Any) -> None:
        from newtron import InputError

        scaling = model.scaling_
        X = scaling.x_center + np.random.default_rng(0).uniform(-1.0, 1.0, (5, model.n_features_in_)) * scaling.x_scale
        classes = hasattr(model, "classes_")
        predicted = model.predict_proba(X) if classes else model.predict(X)
        if not np.isfinite(predicted).all() or (classes and not np.allclose(predicted.sum(axis=1), 1.0)):
            raise FindError("predictions that are not finite, or are no probabilities")
        asked: list[Callable[[], Any]] = [lambda: model.predict(X), lambda: str(model.certificate_)]
        asked += [lambda: model.predict_uncertainty(X)]
        asked += [] if classes else [lambda: model.predict_interval(X)]
        asked += [lambda: str(model.summary())] if hasattr(model, "summary") else []
        for ask in asked:
            try:
                ask()
            except InputError as error:
                sentence(error)


# --- checkpoints ---


class Checkpoints(Target):
    """Checkpoints of interrupted fits: the training goes on, or the file is refused."""

    name = "checkpoint"

    def prepare(self, folder: Path) -> None:
        from newtron import NetworkClassifier, NetworkRegressor, PerceptronClassifier

        super().prepare(folder)
        solvers = ["auto", "newton", "lbfgs", "newton-cg", "levenberg-marquardt", "stochastic", "gradient-descent"]
        shape: dict[str, Any] = {"hidden": (2,), "n_starts": 2, "max_iter": 12, "alpha": 0.1}
        self.models: list[tuple[Any, bool]] = [(NetworkRegressor(**shape, solver=name), False) for name in solvers]
        self.models += [(NetworkClassifier(**{**shape, "alpha": "loo"}), True)]
        self.models += [(PerceptronClassifier(solver=name), True) for name in ("newton", "lbfgs", "stochastic")]
        self.bases = [self._interrupted(*model, folder / "base.ck") for model in self.models]

    def _interrupted(self, model: Any, classes: bool, path: Path) -> Files:
        seen: list[Any] = []

        def stop(progress: Any) -> None:
            seen.append(progress)
            if len(seen) == 4:
                raise KeyboardInterrupt

        path.unlink(missing_ok=True)
        with contextlib.suppress(KeyboardInterrupt):
            self._fit(model.set_params(callback=stop), classes, path)
        model.set_params(callback=None)
        return unpacked(path.read_bytes())

    def _fit(self, model: Any, classes: bool, path: Path) -> None:
        X, y, two, _ = rows(30)
        model.fit(X, two if classes else y, checkpoint=path)

    def case(self, change: Mutator) -> bytes:
        number = change.below(len(self.bases))
        what, data = change.archive(self.bases[number])
        return f"{number} {what}\n".encode() + data

    def check(self, data: bytes) -> None:
        from newtron import InputError

        head, _, data = data.partition(b"\n")
        model, classes = self.models[int(head.split()[0])]
        path = self.folder / "c.ck"
        path.write_bytes(data)
        try:
            self._fit(model, classes, path)
        except InputError as error:
            sentence(error)
            return
        predicted = model.predict_proba(rows()[0]) if classes else model.predict(rows()[0])
        if model.certificate_.converged and not np.isfinite(predicted).all():
            raise FindError("called converged, and its predictions are not finite")


# --- tables ---


class Tables(Target):
    """Tables of text: read and encoded with finite numbers, as many predictions as records, or a sentence."""

    name = "csv"
    suffix = "csv"

    def prepare(self, folder: Path) -> None:
        super().prepare(folder)
        X, y, two, three = rows(25)
        cells = zip(X, two, three, y, strict=True)
        lines = [f"{a[0]:.3f},{a[1]:.0e},{k},{'yes' if t else 'no'},{v:.4f}" for a, t, k, v in cells]
        self.text = ("a,b,kind,flag,y\n" + "\n".join(lines) + "\n").encode()
        (folder / "base.csv").write_bytes(self.text)
        self.model = str(folder / "table.newtron")
        words = ("--target", "y", "--model", "perceptron", "--no-report", "--quiet", "--output", self.model)
        command("fit", str(folder / "base.csv"), *words)

    def case(self, change: Mutator) -> bytes:
        return bytes(change.often(change.text, self.text))

    def check(self, data: bytes) -> None:
        from newtron import InputError
        from newtron.table import encode, encode_target, learn_schema, read_table

        path = self.folder / f"t.{self.suffix}"
        path.write_bytes(data)
        try:
            table = read_table(path)
            target = "y" if "y" in table.names else table.names[-1]
            schema = learn_schema(table, target)
            encode_target(schema.target, table)
            encoded = encode(schema, table)
        except InputError as error:
            sentence(error)
        else:
            if len(encoded.X) != table.n_rows or not np.isfinite(encoded.X).all():
                raise FindError("encoded rows that are not finite, or not as many as there are")
        code, out, err = command("predict", self.model, str(path))
        if code == 0 and out.count("\n") - 1 != read_table(path).n_rows:
            raise FindError("predict gives other lines than there are records")
        if code == 2 and not err.strip():
            raise FindError("exit 2 without a sentence")


class Arrow(Tables):
    """Arrow files, streams and Parquet of numbers, texts, dictionaries, dates and gaps."""

    name = "arrow"
    suffix = "data"

    def prepare(self, folder: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        super().prepare(folder)
        X, y, two, three = rows(25)
        table = pa.table(
            {
                "a": pa.array([None if v > 2.0 else float(v) for v in X[:, 0]]),
                "b": X[:, 1].astype(np.float32),
                "kind": pa.array(three).dictionary_encode(),
                "flag": two.astype(bool),
                "y": y,
            }
        )
        self.files = []
        for make in (pa.ipc.new_file, pa.ipc.new_stream):
            held = io.BytesIO()
            with make(held, table.schema) as writer:
                writer.write_table(table, max_chunksize=10)
            self.files.append(held.getvalue())
        held = io.BytesIO()
        pq.write_table(table, held, row_group_size=10)
        self.files.append(held.getvalue())

    def case(self, change: Mutator) -> bytes:
        return bytes(change.often(change.octets, change.one(self.files)))


# --- the page ---


class Messages(Target):
    """Messages of the page: an answer that is JSON, or an error that is no defect."""

    name = "page"

    def prepare(self, folder: Path) -> None:
        from newtron.play.session import FIRST_SETUP, Session

        super().prepare(folder)
        self.session = Session()
        lines = b"".join(b"%d,%d,%d\n" % (i, i * i % 7, i % 3 + i) for i in range(20))
        key: Any = self.session.open("t.csv", b"a,b,y\n" + lines)
        sources: list[dict[str, Any]] = [{"source": name} for name in ("line", "clouds", "three", "wave")]
        sources.append({"source": key["file"]["key"], "target": "y", "inputs": ["a", "b"]})
        methods: list[dict[str, Any]] = [
            {"solver": "gradient-descent", "rate": 0.5, "momentum": 0, "steps": 5},
            {"solver": "newton", "damped": True, "steps": 5},
            {"solver": "levenberg-marquardt", "damping": 0.1, "steps": 5},
            {"solver": "lbfgs", "steps": 5},
        ]
        self.messages = []
        for kind in ("hello", "run", "derivation", "latex", "python", "surface", "bowl", "profile", "check", "export"):
            for number, data in enumerate(sources):
                for hidden in ([], [2]):
                    model = {**FIRST_SETUP["model"], "hidden": hidden, "scale": True, "alpha": 0.1}
                    setup = {"data": data, "model": model, "start": {"seed": 0}, "methods": methods[:2]}
                    run: Any = self.session.ask({"kind": "run", "setup": setup})
                    self.messages.append(
                        {
                            "kind": kind,
                            "setup": {**setup, "methods": [methods[(number + i) % 4] for i in range(2)]},
                            "params": run["start"],
                            "row": 0,
                            "method": methods[number % 4],
                            "notation": "lecture",
                            "pair": [0, 1],
                            "windows": [[-1, 1], [-2, 3]],
                            "index": 0,
                            "window": [-1, 1],
                            "axes": None,
                            "state": {"x": [1, "é"]},
                        }
                    )

    def case(self, change: Mutator) -> bytes:
        return json.dumps(change.often(change.json, change.one(self.messages))).encode("utf-8", "surrogatepass")

    def check(self, data: bytes) -> None:
        from newtron.play.session import DEFECT, as_json

        with contextlib.redirect_stderr(io.StringIO()) as told:
            answer: Any = self.session.ask(json.loads(data))
            text = as_json(answer)
        json.loads(text.encode("utf-8"), parse_constant=_no_constant)
        if answer.get("error") == DEFECT:
            raise FindError(told.getvalue()[-3000:])
        if "error" in answer:
            sentence(FindError(answer["error"]))


class Requests(Target):
    """Raw HTTP requests: the server answers on, tells of no defect, and answers nobody without the token."""

    name = "http"

    def prepare(self, folder: Path) -> None:
        from newtron.play import Session, server

        super().prepare(folder)
        server._HEAD_WITHIN = server._BODY_WITHIN = 3.0
        self.server = server.Server(Session())
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.hello = b'{"kind":"hello"}'

    def _request(self, method: str, path: str, *lines: str, body: bytes = b"") -> bytes:
        head = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.server.server_port}", *lines]
        head += [f"Content-Length: {len(body)}"] if body else []
        return "\r\n".join([*head, "Connection: close", "", ""]).encode("latin-1") + body

    def case(self, change: Mutator) -> bytes:
        # The port and the token are others in each run: they are filled in when the case is sent.
        token, origin = "X-Newtron-Token: TOKEN", "Origin: http://127.0.0.1:PORT"
        ask, opening = ("POST", "/api/ask"), ("POST", "/api/open?name=a.csv")
        table = b"a,y\n1,2\n3,4\n5,7\n"
        requests = [
            self._request(*ask, token, body=self.hello),
            self._request(*ask, token, origin, body=self.hello),
            self._request(*opening, token, body=table),
            self._request("GET", "/"),
            self._request("GET", "/page.css?x=1"),
            self._request(*ask, body=self.hello),
            self._request(*ask, "X-Newtron-Token: wrong", body=self.hello),
            self._request(*ask, token, "Origin: http://evil.example", body=self.hello),
            self._request(*ask, token, body=self.hello).replace(b"Host: 127.0.0.1", b"Host: evil.example"),
        ]
        number = change.below(len(requests))
        data = requests[number].replace(str(self.server.server_port).encode(), b"PORT")
        changed: bytes = change.often(self._line(change) if change.below(2) else change.octets, data)
        return f"{number}\n".encode() + changed

    def _line(self, change: Mutator) -> Callable[[bytes], bytes]:
        others = ["Transfer-Encoding: chunked", "Content-Length: " + "9" * 400, "Content-Length: -1"]
        others += ["Expect: 100-continue", "Host: evil.example", "Range: bytes=0-", "X: " + "y" * 70000]
        others += ["GET http://[bad/ HTTP/1.1", "GET //x HTTP/9.9", "POST /api/ask HTTP/1.0", "GET /"]

        def edit(data: bytes) -> bytes:
            lines = data.split(b"\r\n")
            lines[change.below(len(lines))] = change.one(others).encode()
            return b"\r\n".join(lines)

        return edit

    def check(self, data: bytes) -> None:
        number, _, data = data.partition(b"\n")
        port = str(self.server.server_port).encode()
        data = data.replace(b"PORT", port).replace(b"TOKEN", self.server.token.encode())
        with contextlib.redirect_stderr(io.StringIO()) as told:
            answer = self._sent(data)
            token = f"X-Newtron-Token: {self.server.token}"
            alive = self._sent(self._request("POST", "/api/ask", token, body=self.hello))
        if b'"examples"' not in alive:
            raise FindError(f"the server does not answer any more, but sends {alive[:200]!r}")
        if told.getvalue():
            raise FindError(told.getvalue()[-3000:])
        if b" 500 " in answer.split(b"\r\n", 1)[0]:
            raise FindError(f"a defect of the server: {answer[:300]!r}")
        if int(number) >= 5 and b'"examples"' in answer and not self._may(data):
            raise FindError(f"answered without its token, from elsewhere, or under another name: {answer[:300]!r}")

    def _may(self, data: bytes) -> bool:
        """Has chance made a request that may be answered? With the token, under the right name, from nowhere else."""
        own = f"127.0.0.1:{self.server.server_port}".encode()
        lines = data.lower().split(b"\r\n")
        elsewhere = any(line.startswith((b"origin:", b"host:")) and own not in line for line in lines)
        return self.server.token.encode() in data and own in data and not elsewhere

    def _sent(self, data: bytes) -> bytes:
        try:
            with socket.create_connection(("127.0.0.1", self.server.server_port), timeout=20) as connection:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                return b"".join(iter(lambda: connection.recv(65536), b""))
        except OSError:
            return b""  # what is refused unread may reset the connection


# --- fits ---


class Fits(Target):
    """Small fits by chance: a certificate that nobody touched holds, whatever the order of the rows and the threads; a
    proven bound is true; the same fit has the same bits."""

    name = "fit"

    def case(self, change: Mutator) -> bytes:
        return str(change.below(2**31)).encode()

    def check(self, data: bytes) -> None:
        from newtron import InputError

        model, X, y = small_fit(int(data))
        try:
            model.fit(X, y)
        except InputError as error:
            sentence(error)
            return
        params = [member.params.tobytes() for member in model.members_]
        found = model.certificate_
        order = np.random.default_rng(int(data)).permutation(len(y))
        if not (found.verify(X, y) and found.verify(X[order], y[order])):
            raise FindError("verify() is False for a model that nobody touched")
        again = type(model)(**{**model.get_params(), "n_jobs": 2}).fit(X, y)
        if params != [member.params.tobytes() for member in again.members_]:
            raise FindError("two threads give other bits than one")
        if found.loss_gap_bound is not None:
            lower = type(model)(**{**model.get_params(), "solver": "newton", "tol": 1e-13, "max_iter": 500}).fit(X, y)
            value = lower.solution_.value
            # The bound is of the exact value; both values here are rounded, of classes to some units of a loss of 1.
            rounding = 1e-12 * abs(found.value) + (1e-15 if hasattr(model, "classes_") else 0.0)
            if value < found.value - found.loss_gap_bound * (1.0 + 1e-9) - rounding:
                raise FindError(f"{found.value} is not within {found.loss_gap_bound} of the lowest value: {value}")


def small_fit(seed: int) -> tuple[Any, Any, Any]:
    from newtron import NetworkClassifier, NetworkRegressor, PerceptronClassifier, PerceptronRegressor

    rng = np.random.default_rng(seed)
    n, p = int(rng.integers(8, 50)), int(rng.integers(1, 5))
    X = rng.normal(size=(n, p)) * 10.0 ** rng.uniform(-3, 3, size=p) + rng.choice([0.0, 0.0, 10.0])
    z = (X - X.mean(axis=0)) @ rng.normal(size=p) / X.std(axis=0).max() + rng.normal(size=n) * rng.choice([0.1, 1.0])
    two, three = (z > np.median(z)).astype(int), np.digitize(z, np.quantile(z, [0.33, 0.66]))
    alpha, solver = float(rng.choice([0.0, 0.01, 1.0])), str(rng.choice(["auto", "newton", "lbfgs", "newton-cg"]))
    shape: dict[str, Any] = {"hidden": (2,), "n_starts": 2, "alpha": 0.1, "max_iter": 30, "solver": solver}
    plain: dict[str, Any] = {"alpha": alpha, "solver": solver, "standardize": bool(rng.random() < 0.5)}
    kinds: list[tuple[Any, Any]] = [
        (PerceptronRegressor(**plain), z * 10.0 ** rng.uniform(-6, 6)),
        (PerceptronClassifier(**plain), two),
        (PerceptronClassifier(**plain), three),
        (NetworkRegressor(**shape), z),
        (NetworkClassifier(**shape), three),
    ]
    model, y = kinds[int(rng.integers(len(kinds)))]
    return model, X, y


class Defects(Target):
    """What the fuzzer itself must see: every kind of find, one after the other. Not fuzzed unless it is asked for."""

    name = "defects"
    kinds: ClassVar[list[str]] = ["fine", "traceback", "crash", "hang", "memory", "executed", "written"]

    def case(self, change: Mutator) -> bytes:
        return self.kinds[self.number % len(self.kinds)].encode()

    def check(self, data: bytes) -> None:
        kind = data.decode()
        if kind == "traceback":
            raise ZeroDivisionError("on purpose")
        if kind == "crash":
            os.abort()
        if kind == "hang":
            threading.Event().wait()
        if kind == "memory":
            bytearray(2**40)
        if kind == "executed":
            os.system("true")
        if kind == "written":
            with contextlib.suppress(OSError):
                Path("/a-file-that-nobody-asked-for").write_text("")


def _no_constant(name: str) -> Any:
    raise FindError(f"{name} in JSON")


TARGETS: dict[str, type[Target]] = {
    kind.name: kind for kind in (Models, Checkpoints, Tables, Arrow, Messages, Requests, Fits, Defects)
}
USUAL = tuple(name for name in TARGETS if name != Defects.name)


def generator(kind: str, seed: int, number: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(kind.encode()), number])


def quiet() -> None:
    warnings.simplefilter("ignore")
    sys.setrecursionlimit(1000)


__all__ = ["TARGETS", "USUAL", "FindError", "Mutator", "Target", "generator", "packed", "quiet"]
