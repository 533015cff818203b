"""The expressions of a formula: names, numbers, arithmetic, functions of one table, and curves; with derivatives.

An expression is kept as its text and read again by Python's own grammar, of which all that is not listed here is
refused; a tree is walked, and no code is made of it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np

from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array
from newtron.engine.base.words import joined
from newtron.table.formula.curves import CURVES, Curve

# Texts and trees larger than this are no formula that a person wrote.
_LONGEST, _DEEPEST = 1000, 50
_CATEGORY = "C"
_QUOTED = re.compile(r"`([^`]+)`")

# Each function with its derivative.
FUNCTIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "I": (lambda x: x, np.ones_like),
    "log": (np.log, lambda x: 1.0 / x),
    "log2": (np.log2, lambda x: 1.0 / (x * np.log(2.0))),
    "log10": (np.log10, lambda x: 1.0 / (x * np.log(10.0))),
    "log1p": (np.log1p, lambda x: 1.0 / (1.0 + x)),
    "exp": (np.exp, np.exp),
    "exp2": (np.exp2, lambda x: np.exp2(x) * np.log(2.0)),
    "expm1": (np.expm1, np.exp),
    "sqrt": (np.sqrt, lambda x: 0.5 / np.sqrt(x)),
    "square": (np.square, lambda x: 2.0 * x),
    "abs": (np.abs, np.sign),
    "sin": (np.sin, np.cos),
    "cos": (np.cos, lambda x: -np.sin(x)),
    "tanh": (np.tanh, lambda x: 1.0 - np.square(np.tanh(x))),
    "arcsinh": (np.arcsinh, lambda x: 1.0 / np.hypot(1.0, x)),
}
_COMPARED: dict[type[ast.cmpop], Callable[[Array, Array], Array]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}


class Moving(NamedTuple):
    """Numbers (n,), or (n, m) of a curve, and their derivative by one column; None where they do not depend on it."""

    value: Array
    slope: Array | None = None


class CurveSource(Protocol):
    """Gives the curve of a call, in the order of the walk: one that is kept, or one that is learnt from x (n,)."""

    def __call__(self, call: ast.Call, name: str, x: Array) -> Curve: ...


class Parsed(NamedTuple):
    """A tree, and the names of columns that Python's grammar does not know."""

    tree: ast.expr
    quoted: Mapping[str, str]

    def columns(self) -> tuple[str, ...]:
        """The columns that are read, each once."""
        functions = {id(node.func) for node in ast.walk(self.tree) if isinstance(node, ast.Call)}
        called = {id(inner) for node in ast.walk(self.tree) if id(node) in functions for inner in ast.walk(node)}
        found: dict[str, None] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name) and id(node) not in called:
                found[self.quoted.get(node.id, node.id)] = None
            elif isinstance(node, ast.Call) and function_name(node) == "Q":
                found[quoted_name(node)] = None
        return tuple(found)


@lru_cache(maxsize=512)
def parse_expression(text: str) -> Parsed:
    """Read an expression. Raises InputError where it is none, or too long."""
    quoted: dict[str, str] = {}

    def plain(match: re.Match[str]) -> str:
        name = f"_quoted_{len(quoted)}_"
        quoted[name] = match[1]
        return name

    trouble = InputError(f"the formula's {text[:60]!r} is no expression that can be read.")
    if len(text) > _LONGEST:
        raise trouble
    try:
        tree = ast.parse(_QUOTED.sub(plain, text).strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise trouble from None
    if _depth(tree) > _DEEPEST:
        raise trouble
    return Parsed(tree, quoted)


def _depth(tree: ast.AST) -> int:
    level, depth = [tree], 0
    while level and depth <= _DEEPEST:
        level, depth = [child for node in level for child in ast.iter_child_nodes(node)], depth + 1
    return depth


def function_name(call: ast.Call) -> str:
    """log of `log(x)` and of `np.log(x)`; "" of what is neither."""
    func = call.func
    if isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name) and func.value.id in ("np", "numpy"):
        return func.attr
    return func.id if isinstance(func, ast.Name) else ""


def quoted_name(call: ast.Call) -> str:
    """The column of `Q("a name")`."""
    if len(call.args) == 1 and isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str):
        return call.args[0].value
    raise InputError('the formula\'s Q() must hold the name of one column in quotes, as in Q("a name").')


def category_column(parsed: Parsed) -> str | None:
    """The column of a bare name, or of C(name, ...); None of other expressions."""
    tree = parsed.tree
    if isinstance(tree, ast.Call) and function_name(tree) == _CATEGORY and tree.args:
        tree = tree.args[0]
    if isinstance(tree, ast.Call) and function_name(tree) == "Q":
        return quoted_name(tree)
    return parsed.quoted.get(tree.id, tree.id) if isinstance(tree, ast.Name) else None


def evaluate(parsed: Parsed, numbers: Mapping[str, Array], curves: CurveSource, along: str | None = None) -> Moving:
    """The value of an expression over rows, and its derivative by the column `along`.

    numbers: (n,) of each column. Raises InputError for what is not known.
    """
    return _Walk(parsed.quoted, numbers, curves, along).at(parsed.tree)


class _Walk:
    def __init__(
        self, quoted: Mapping[str, str], numbers: Mapping[str, Array], curves: CurveSource, along: str | None
    ) -> None:
        self._quoted, self._numbers, self._curves, self._along = quoted, numbers, curves, along

    def at(self, node: ast.expr) -> Moving:
        if isinstance(node, ast.Name):
            return self._column(self._quoted.get(node.id, node.id))
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
            return Moving(np.array(float(node.value)))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            found = self._single(node.operand)
            sign = -1.0 if isinstance(node.op, ast.USub) else 1.0
            return Moving(sign * found.value, None if found.slope is None else sign * found.slope)
        if isinstance(node, ast.BinOp):
            return _arithmetic(node.op, self._single(node.left), self._single(node.right))
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _COMPARED:
            left, right = self._single(node.left), self._single(node.comparators[0])
            return Moving(
                np.where(
                    np.isnan(left.value + right.value), np.nan, _COMPARED[type(node.ops[0])](left.value, right.value)
                )
            )
        if isinstance(node, ast.Call):
            return self._call(node)
        raise InputError(
            f"the formula's {ast.unparse(node)[:60]!r} is not supported: write names, numbers, + - * / **, comparisons "
            "and functions."
        )

    def _column(self, name: str) -> Moving:
        value = self._numbers[name]
        return Moving(value, np.ones_like(value) if name == self._along else None)

    def _single(self, node: ast.expr) -> Moving:
        found = self.at(node)
        if found.value.ndim > 1:
            raise InputError(f"the formula's {ast.unparse(node)[:60]!r} is several columns: it must stand alone.")
        return found

    def _call(self, call: ast.Call) -> Moving:
        name = function_name(call)
        if name == "Q":
            return self._column(quoted_name(call))
        if name not in FUNCTIONS and name not in CURVES:
            known = joined([*FUNCTIONS, *CURVES, _CATEGORY])
            raise InputError(f"the formula's {ast.unparse(call)[:60]!r} is not supported: the functions are {known}.")
        if not call.args or (name in FUNCTIONS and (len(call.args) > 1 or call.keywords)):
            raise InputError(f"the formula's {ast.unparse(call)[:60]!r} must have one column or expression in it.")
        inner = self._single(call.args[0])
        if name in FUNCTIONS:
            apply, derivative = FUNCTIONS[name]
            return Moving(apply(inner.value), None if inner.slope is None else derivative(inner.value) * inner.slope)
        curve = self._curves(call, name, inner.value)
        value, slope = curve.at(inner.value)
        moved = None if inner.slope is None else slope * inner.slope[:, None]
        if curve.single:
            return Moving(value[:, 0], None if moved is None else moved[:, 0])
        return Moving(value, moved)


def _arithmetic(op: ast.operator, left: Moving, right: Moving) -> Moving:
    a, b = left.value, right.value
    if isinstance(op, ast.Add):
        return Moving(a + b, _total(left, np.ones_like(a), right, np.ones_like(b)))
    if isinstance(op, ast.Sub):
        return Moving(a - b, _total(left, np.ones_like(a), right, -np.ones_like(b)))
    if isinstance(op, ast.Mult):
        return Moving(a * b, _total(left, b, right, a))
    if isinstance(op, ast.Div):
        return Moving(a / b, _total(left, 1.0 / b, right, -a / np.square(b)))
    if isinstance(op, ast.Pow):
        power = np.power(a, b)
        return Moving(power, _total(left, b * np.power(a, b - 1.0), right, power * np.log(a)))
    raise InputError("the formula's arithmetic has + - * / and ** alone.")


def _total(left: Moving, by_left: Array, right: Moving, by_right: Array) -> Array | None:
    """The total derivative: each part that moves, by its own derivative."""
    if right.slope is None:
        return None if left.slope is None else left.slope * by_left
    return right.slope * by_right if left.slope is None else left.slope * by_left + right.slope * by_right
