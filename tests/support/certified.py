"""Data with known answers: NIST's certified least squares problems and the shared benchmark sets.

NIST's Statistical Reference Datasets (public domain) lie in ``tests/data/nist``; the other sets lie
beside the repository, in ``../shared/data``, and a test that reads them is marked ``@needs_shared``.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property
from math import isfinite, log10
from operator import mul
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

Array = NDArray[np.floating]
Split = tuple[NDArray[np.intp], NDArray[np.intp]]  # the rows to train on, the rows to test on

NIST = Path(__file__).parents[1] / "data" / "nist"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the shared benchmark data (../shared/data beside the repository) is absent"
)


# Digits of agreement


def lre(estimate: Iterable[Any], certified: Iterable[Any], digits_cap: float = 15.0) -> float:
    """The correct digits of the worst parameter: -log10 of its relative error, between 0 and the cap.

    Where the certified value is zero the error is absolute. The certified values are decimal strings,
    floats or fractions; the subtraction is exact, so all of 40 digits count.
    """
    pairs = zip(estimate, (Fraction(value) for value in certified), strict=True)
    return min(_digits(float(found), value, digits_cap) for found, value in pairs)


def _digits(found: float, value: Fraction, cap: float) -> float:
    if not isfinite(found):
        return 0.0
    error = abs(Fraction(found) - value) / (abs(value) or 1)
    return cap if error == 0 else min(max(-log10(error), 0.0), cap)


# Linear least squares

LINEAR = ("Norris", "NoInt1", "Wampler1", "Wampler2", "Wampler3", "Filip")


def linear_set(name: str) -> tuple[Array, Array, list[str], bool]:
    """X, y, the exact coefficients to 40 digits (the intercept first), and whether there is an intercept.

    A polynomial's columns are x, x^2, ... each rounded once; there is no constant column. The exact
    coefficients belong to unrounded powers of the decimal data: on Filip the rounding alone leaves 7.6
    digits of them, so a solver's own error shows against ``exact_least_squares`` of the same doubles.
    """
    about = _certified("linear")[name]
    table = np.loadtxt(NIST / "linear" / f"{name}.csv", delimiter=",", skiprows=1)
    y, x = table[:, 0], table[:, 1]
    powers = range(1, (about["degree"] or 1) + 1)
    X = np.array([[float(Fraction(value) ** power) for power in powers] for value in x])
    return X, y, about["exact_rational_recomputation_40d"]["beta"], about["intercept"]


def exact_least_squares(X: Iterable[Iterable[Any]], y: Iterable[Any], intercept: bool) -> list[Fraction]:
    """The coefficients (the intercept first) of exactly these numbers, in rational arithmetic."""
    rows = [[Fraction(1)] * intercept + [Fraction(value) for value in row] for row in X]
    columns, targets = list(zip(*rows, strict=True)), [Fraction(value) for value in y]
    system = [[sum(map(mul, a, c), Fraction(0)) for c in (*columns, targets)] for a in columns]
    for i in range(len(system)):  # Gauss-Jordan: a Gram matrix of full rank needs no exchange of rows
        pivot = [value / system[i][i] for value in system[i]]
        system = [[a - row[i] * c for a, c in zip(row, pivot, strict=True)] for row in system]
        system[i] = pivot
    return [row[-1] for row in system]


# Nonlinear least squares. Each piece gives a model's value (n,), its Jacobian (n, p) and its second
# derivatives (n, p, p) at parameters b, derived by hand; a model is a piece or a sum of pieces.

Derivatives = tuple[Array, Array, Array]
Piece = Callable[[Array, Array], Derivatives]


def _stack(value: Array, first: Sequence[Array], second: dict[tuple[int, int], Array]) -> Derivatives:
    """Columns to arrays; ``second`` names one of each symmetric pair, what it leaves out is zero."""
    tensor = np.zeros((value.size, len(first), len(first)))
    for (i, j), column in second.items():
        tensor[:, i, j] = tensor[:, j, i] = column
    return value, np.column_stack(first), tensor


def _constant(b: Array, x: Array) -> Derivatives:
    """b0"""
    return _stack(np.full_like(x, b[0]), [np.ones_like(x)], {})


def _decay(b: Array, x: Array) -> Derivatives:
    """b0 exp(-b1 x)"""
    e = np.exp(-b[1] * x)
    f = b[0] * e
    return _stack(f, [e, -x * f], {(0, 1): -x * e, (1, 1): x**2 * f})


def _saturation(b: Array, x: Array) -> Derivatives:
    """b0 (1 - exp(-b1 x))"""
    e = np.exp(-b[1] * x)
    rise = -np.expm1(-b[1] * x)
    return _stack(b[0] * rise, [rise, b[0] * x * e], {(0, 1): x * e, (1, 1): -b[0] * x**2 * e})


def _bell(b: Array, x: Array) -> Derivatives:
    """b0 exp(-t^2) with t = (x - b1) / b2"""
    w = b[2]
    t = (x - b[1]) / w
    g = np.exp(-(t**2))
    f = b[0] * g
    first = [g, 2 * f * t / w, 2 * f * t**2 / w]
    second = {
        (0, 1): 2 * g * t / w,
        (0, 2): 2 * g * t**2 / w,
        (1, 1): 2 * f * (2 * t**2 - 1) / w**2,
        (1, 2): 4 * f * t * (t**2 - 1) / w**2,
        (2, 2): 2 * f * t**2 * (2 * t**2 - 3) / w**2,
    }
    return _stack(f, first, second)


def _normal_bell(b: Array, x: Array) -> Derivatives:
    """(b0 / b1) exp(-t^2 / 2) with t = (x - b2) / b1"""
    w = b[1]
    t = (x - b[2]) / w
    g = np.exp(-(t**2) / 2) / w
    f = b[0] * g
    first = [g, f * (t**2 - 1) / w, f * t / w]
    second = {
        (0, 1): g * (t**2 - 1) / w,
        (0, 2): g * t / w,
        (1, 1): f * (t**4 - 5 * t**2 + 2) / w**2,
        (1, 2): f * t * (t**2 - 3) / w**2,
        (2, 2): f * (t**2 - 1) / w**2,
    }
    return _stack(f, first, second)


def _decay_over_line(b: Array, x: Array) -> Derivatives:
    """exp(-b0 x) / d with d = b1 + b2 x"""
    d = b[1] + b[2] * x
    f = np.exp(-b[0] * x) / d
    second = {
        (0, 0): x**2 * f,
        (0, 1): x * f / d,
        (0, 2): x**2 * f / d,
        (1, 1): 2 * f / d**2,
        (1, 2): 2 * x * f / d**2,
        (2, 2): 2 * x**2 * f / d**2,
    }
    return _stack(f, [-x * f, -f / d, -x * f / d], second)


def _power(b: Array, x: Array) -> Derivatives:
    """b0 x^b1"""
    e = x ** b[1]
    slope = e * np.log(x)
    return _stack(b[0] * e, [e, b[0] * slope], {(0, 1): slope, (1, 1): b[0] * slope * np.log(x)})


def _rational(b: Array, x: Array) -> Derivatives:
    """P / Q of one degree m: P = b0 + b1 x + ... + bm x^m and Q = 1 + b(m+1) x + ... + b(2m) x^m"""
    m = b.size // 2
    Q = 1 + x * np.polynomial.polynomial.polyval(x, b[m + 1 :])
    f = np.polynomial.polynomial.polyval(x, b[: m + 1]) / Q
    first = [x**i / Q for i in range(m + 1)] + [-f * x**k / Q for k in range(1, m + 1)]
    second: dict[tuple[int, int], Array] = {}
    for k in range(1, m + 1):
        second |= {(i, m + k): -(x ** (i + k)) / Q**2 for i in range(m + 1)}
        second |= {(m + k, m + h): 2 * f * x ** (k + h) / Q**2 for h in range(k, m + 1)}
    return _stack(f, first, second)


def _line_over_quadratic(b: Array, x: Array) -> Derivatives:
    """b0 r with r = (x^2 + b1 x) / d and d = x^2 + b2 x + b3"""
    d = x**2 + b[2] * x + b[3]
    r = (x**2 + b[1] * x) / d
    f = b[0] * r
    second = {
        (0, 1): x / d,
        (0, 2): -r * x / d,
        (0, 3): -r / d,
        (1, 2): -b[0] * x**2 / d**2,
        (1, 3): -b[0] * x / d**2,
        (2, 2): 2 * f * x**2 / d**2,
        (2, 3): 2 * f * x / d**2,
        (3, 3): 2 * f / d**2,
    }
    return _stack(f, [r, b[0] * x / d, -f * x / d, -f / d], second)


def _inverse_exponential(b: Array, x: Array) -> Derivatives:
    """b0 exp(b1 / s) with s = x + b2"""
    s = x + b[2]
    e = np.exp(b[1] / s)
    f = b[0] * e
    second = {
        (0, 1): e / s,
        (0, 2): -e * b[1] / s**2,
        (1, 1): f / s**2,
        (1, 2): -f * (b[1] + s) / s**3,
        (2, 2): f * b[1] * (b[1] + 2 * s) / s**4,
    }
    return _stack(f, [e, f / s, -f * b[1] / s**2], second)


def _growth(b: Array, x: Array) -> Derivatives:
    """b0 s(b2 x - b1) with s the logistic function"""
    z = b[2] * x - b[1]
    s = expit(z)
    slope = s * expit(-z)
    bend = b[0] * slope * (expit(-z) - s)
    second = {(0, 1): -slope, (0, 2): x * slope, (1, 1): bend, (1, 2): -x * bend, (2, 2): x**2 * bend}
    return _stack(b[0] * s, [s, -b[0] * slope, b[0] * x * slope], second)


@dataclass(frozen=True)
class Nonlinear:
    """One of NIST's nonlinear sets: its data and its model, with two exact derivatives.

    Far from the data a model overflows; it then answers inf or nan, without a warning, as the objective of
    a rejected trial step does.
    """

    name: str
    pieces: tuple[tuple[Piece, tuple[int, ...]], ...]  # each with the parameters that it reads

    @cached_property
    def _data(self) -> Array:
        """The columns y and x, from the lines that the file's head names."""
        lines = (NIST / "nonlinear" / f"{self.name}.dat").read_text(encoding="ascii").splitlines()
        head = re.search(r"Data\s+\(lines\s+(\d+)\s+to\s+(\d+)\)", "\n".join(lines))
        assert head is not None
        first, last = map(int, head.groups())
        columns = lines[first - 2].split()[1:]
        table = np.loadtxt(lines[first - 1 : last])
        return table[:, [columns.index("y"), columns.index("x")]]

    @property
    def x(self) -> Array:
        return self._data[:, 1]

    @property
    def y(self) -> Array:
        return self._data[:, 0]

    def f(self, b: Array, x: Array) -> Array:
        """The model's value at every row: (n,)."""
        return self._derivatives(b, x)[0]

    def jacobian(self, b: Array, x: Array) -> Array:
        """The derivative of every row's value by every parameter: (n, p)."""
        return self._derivatives(b, x)[1]

    def hess(self, b: Array, x: Array, u: Array) -> Array:
        """The rows' second derivatives by the parameters, added with the weights u: (p, p)."""
        return np.tensordot(u, self._derivatives(b, x)[2], axes=1)

    def _derivatives(self, b: Array, x: Array) -> Derivatives:
        b, x = np.asarray(b, dtype=float), np.asarray(x, dtype=float)
        n, p = x.size, b.size
        value, first, second = np.zeros(n), np.zeros((n, p)), np.zeros((n, p, p))
        with np.errstate(all="ignore"):
            for piece, reads in self.pieces:
                f, J, H = piece(b[list(reads)], x)
                value += f
                first[:, reads] += J
                second[:, np.array(reads)[:, None], np.array(reads)] += H
        return value, first, second


def _whole(name: str, piece: Piece, n_parameters: int) -> Nonlinear:
    return Nonlinear(name, ((piece, tuple(range(n_parameters))),))


NONLINEAR: dict[str, Nonlinear] = {
    model.name: model
    for model in (
        _whole("Misra1a", _saturation, 2),
        _whole("Chwirut2", _decay_over_line, 3),
        _whole("DanWood", _power, 2),
        Nonlinear("Gauss1", ((_decay, (0, 1)), (_bell, (2, 3, 4)), (_bell, (5, 6, 7)))),
        Nonlinear("Lanczos3", ((_decay, (0, 1)), (_decay, (2, 3)), (_decay, (4, 5)))),
        Nonlinear("MGH17", ((_constant, (0,)), (_decay, (1, 3)), (_decay, (2, 4)))),
        _whole("Rat42", _growth, 3),
        _whole("Kirby2", _rational, 5),
        _whole("Hahn1", _rational, 7),
        _whole("MGH09", _line_over_quadratic, 4),
        _whole("MGH10", _inverse_exponential, 3),
        _whole("Eckerle4", _normal_bell, 3),
        _whole("BoxBOD", _saturation, 2),
    )
}


def starts(name: str) -> tuple[Array, Array]:
    """NIST's two starting points: the far one, then the near one."""
    return _floats(_certified("nonlinear")[name]["start1"]), _floats(_certified("nonlinear")[name]["start2"])


def certified(name: str) -> tuple[Array, float]:
    """A nonlinear set's certified parameters and residual sum of squares (11 digits)."""
    about = _certified("nonlinear")[name]["certified"]
    return _floats(about["params"]), float(about["rss"])


def certified_errors(name: str) -> Array:
    """A nonlinear set's certified standard deviations of the parameters (Gauss-Newton, n - p degrees)."""
    return _floats(_certified("nonlinear")[name]["certified"]["sd"])


@cache
def _certified(kind: str) -> dict[str, Any]:
    return dict(json.loads((NIST / kind / "certified.json").read_text(encoding="utf-8")))


def _floats(words: Sequence[str]) -> Array:
    return np.array(words, dtype=float)


# The shared benchmark sets

LOGISTIC = ("spector", "stata_lbw_glm", "ucla_binary", "endometrial")


def logistic_set(name: str) -> tuple[Array, Array, list[str], dict[str, Any]]:
    """X without a constant column, y in {0, 1}, the names of X's columns, and the reference answers.

    In the reference, ``names`` is X's names with ``const`` last, ``coef`` and ``se`` are strings of 17 digits
    or more in that order, and ``method`` says what they are: "ml", or "firth" for endometrial, whose
    classes are separated (its published maximum likelihood answer, infinite in NV, is ``published_ml``).
    """
    separator, target, dummies = {
        "spector": (" ", "GRADE", {}),
        "stata_lbw_glm": (",", "low", {f"race_{race}": ("race", race) for race in ("black", "other")}),
        "ucla_binary": (",", "admit", {f"rank{rank}": ("rank", rank) for rank in "234"}),
        "endometrial": (",", "HG", {}),
    }[name]
    folder = SHARED / "logistic"
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        lines = (line.replace("'", '"') for line in file if line.strip())
        rows = list(csv.DictReader(lines, delimiter=separator))
    reference = _logistic_reference(folder, name)
    names = reference["names"][:-1]

    def column(name: str) -> list[float]:
        if name in dummies:
            source, level = dummies[name]
            return [float(row[source] == level) for row in rows]
        return [float(row[name]) for row in rows]

    return np.column_stack([column(name) for name in names]), np.array(column(target)), names, reference


def _logistic_reference(folder: Path, name: str) -> dict[str, Any]:
    method = "firth" if name == "endometrial" else "ml"
    file = folder / ("reference_firth.json" if method == "firth" else "reference_mle.json")
    key = "lbw" if name == "stata_lbw_glm" else name
    found = json.loads(file.read_text(encoding="utf-8"))[key] | {"method": method}
    order = sorted(range(len(found["names"])), key=lambda i: found["names"][i] == "const")
    for field in ("names", "coef", "se"):
        found[field] = [found[field][i] for i in order]
    if method == "firth":
        published = json.loads((folder / "published.json").read_text(encoding="utf-8"))
        found["published_ml"] = published["endometrial_ML"]
    return dict(found)


def regression_set(name: str) -> tuple[Array, Array, list[Split]]:
    """X, y and the published splits of a UCI regression set: 20, of protein 5."""
    return _with_splits(SHARED / "uci_regression" / f"{name}.npz", "_")


def classification_set(name: str) -> tuple[Array, NDArray[np.intp], list[Split]]:
    """X, y (class numbers) and the 4 published folds of one of the 121 UCI classification sets; of a set with a fixed
    test part that one split."""
    return _with_splits(SHARED / "uci121" / f"{name}.npz", "")


def _with_splits(file: Path, joint: str) -> tuple[Any, Any, list[Split]]:
    with np.load(file, allow_pickle=False) as stored:
        if "X_test" in stored.files:
            n, n_test = len(stored["y"]), len(stored["y_test"])
            X, y = (np.concatenate([stored[each], stored[f"{each}_test"]]) for each in "Xy")
            return X, y, [(np.arange(n), np.arange(n, n + n_test))]
        count = sum(key.startswith("train") for key in stored.files)
        splits = [(stored[f"train{joint}{i}"], stored[f"test{joint}{i}"]) for i in range(count)]
        return stored["X"], stored["y"], splits
