"""A program as one file of Python that needs NumPy alone, and can be read beside the lecture: z = a W + b, a = f(z)."""

from __future__ import annotations

import keyword
import shlex
from collections.abc import Iterator

from newtron.engine.base.types import Array
from newtron.engine.base.words import clean, listed
from newtron.export.program import (
    Affine,
    At,
    Cells,
    Constant,
    Each,
    Fold,
    Joined,
    Lookup,
    Outputs,
    Program,
    ProgramStep,
    RadialBasis,
    Remembered,
    RowVector,
    Source,
    Term,
    TextColumn,
)
from newtron.export.text import bracketed, comment_lines, formula, literals, run_of
from newtron.table.cells import MISSING

# Functions of NumPy, and those that are written into the file where they are used.
_NUMPY = {"tanh": "np.tanh", "exp": "np.exp", "asinh": "np.arcsinh", "sqrt": "np.sqrt", "power": "np.power"}
_HELPERS = {
    "lookup": '''\
def lookup(x, keys, values):
    """The row of values for the key that each number equals, and zeros where it equals none; nan where it is nan."""
    places = np.minimum(np.searchsorted(keys, x), len(keys) - 1)
    return np.where((keys[places] == x)[:, None], values[places], 0.0 * x[:, None])
''',
    "remembered": '''\
def remembered(x, factors, keys, values):
    """The row of values for the row of training that each row equals, to the digits of single precision, and zeros
    where it equals none. Rows are compared by hashes of their bits, whose first 53 bits are the keys."""
    with np.errstate(over="ignore"):
        bits = (x.astype(np.float32).astype(float) + 0.0).view(np.uint64)  # + 0.0 makes -0 the same as 0
    bits ^= bits >> np.uint64(30)
    bits *= np.uint64(0xBF58476D1CE4E5B9)
    bits ^= bits >> np.uint64(27)
    bits *= factors
    bits ^= bits >> np.uint64(31)
    hashes = bits.sum(axis=1, dtype=np.uint64) >> np.uint64(11)
    places = np.minimum(np.searchsorted(keys, hashes), len(keys) - 1)
    return np.where((keys[places] == hashes)[:, None], values[places], 0.0)
''',
    "nearness": '''\
def nearness(x, points, rate):
    """exp(-d), where d is the sum of rate |x - c| over all columns, for each row of x and each point c: (n, points)."""
    d = np.zeros((len(x), len(points)))
    for j in range(x.shape[1]):
        d += rate[j] * np.abs(x[:, [j]] - points[:, j])
    return np.exp(-d)
''',
    "sigmoid": '''\
def sigmoid(z):
    """1 / (1 + exp(-z)), without overflow."""
    t = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, t) / (1.0 + t)
''',
    "relu": """\
def relu(z):
    return np.maximum(z, 0.0)
""",
    "softplus": '''\
def softplus(z):
    """log(1 + exp(z)), without overflow."""
    return np.maximum(z, 0.0) + np.log1p(np.exp(-np.abs(z)))
''',
    "column": '''\
# Cells that mean no value.
MISSING = {@}


def column(table, name):
    """The cells of a column."""
    return [row[name] for row in table] if isinstance(table, (list, tuple)) else list(table[name])


def is_missing(cell):
    return cell is None or str(cell).strip() in MISSING
''',
    "numbers": '''\
def number(cell):
    """A cell as a number: a duration in days, a time of day in hours."""
    if hasattr(cell, "total_seconds"):
        return cell.total_seconds() / 86400
    if isinstance(cell, np.timedelta64):
        return cell / np.timedelta64(1, "D")
    if hasattr(cell, "hour"):
        return cell.hour + cell.minute / 60 + (cell.second + cell.microsecond / 1e6) / 3600
    return float(cell)


def numbers(cells, fill=np.nan, marked=False):
    """The cells as numbers, (n, 1); with marked a second column, 1 where a cell is missing."""
    missing = np.array([is_missing(cell) for cell in cells], dtype=bool)
    x = np.array([fill if none else number(cell) for cell, none in zip(cells, missing)], dtype=float)
    return np.column_stack([x, missing]) if marked else x[:, None]
''',
    "days": '''\
def days(cells):
    """Dates and times, or texts such as 2024-01-31 10:30, as days since 1970-01-01."""
    start = datetime(1970, 1, 1, tzinfo=timezone.utc)

    def of(cell):
        if isinstance(cell, np.datetime64):
            return cell.astype("datetime64[us]").astype(np.int64) / 86400e6
        if isinstance(cell, str):
            cell = datetime.fromisoformat(cell.strip())
        elif not isinstance(cell, datetime):
            cell = datetime(cell.year, cell.month, cell.day)
        return ((cell if cell.tzinfo else cell.replace(tzinfo=timezone.utc)) - start) / timedelta(days=1)

    return [None if is_missing(cell) else of(cell) for cell in cells]
''',
    "levels": '''\
NUMBER = re.compile(r"[+-]?(\\d+\\.?\\d*|\\.\\d+)([eE][+-]?\\d+)?", re.ASCII)


def levels(cells, spellings, patterns, any_case=False):
    """The row of patterns for the level of each cell. The last row is for missing cells, that before it for texts which
    training never saw. Numbers are found among the spellings that are numbers."""
    by_number = {float(text): k for text, k in reversed(spellings.items()) if NUMBER.fullmatch(text)}

    def of(cell):
        text = str(cell).lower() if any_case or isinstance(cell, (bool, np.bool_)) else str(cell)
        for found in (text, text.strip()):
            if cell is not None and found in spellings:
                return spellings[found]
        if is_missing(cell):
            return -1
        return -2 if isinstance(cell, str) else by_number.get(float(cell), -2)

    return patterns[[of(cell) for cell in cells]]
''',
}


def numpy_source(program: Program, module: str) -> str:
    """The program as a file of Python. module: the name of the file without its ending."""
    return _Writer(program, module).source()


class _Writer:
    def __init__(self, program: Program, module: str) -> None:
        self.program, self.module = program, module
        self.vector = isinstance(program.columns[0], RowVector)
        self.used: set[str] = set()

    def source(self) -> str:
        body = [self._body()]  # first, since it says which functions are needed
        missing = ", ".join(f'"{word}"' for word in (*MISSING, "NaT"))
        functions = [text.replace("@", missing) for name, text in _HELPERS.items() if name in self.used]
        parts = [*self._head(), self._constants(), *functions, *body, *self._answers()]
        return "\n\n".join(part.rstrip("\n") + "\n" for part in parts)

    def _head(self) -> Iterator[str]:
        lines = [
            *comment_lines([*self.program.about, *self._about_dates()]),
            "",
            "How to use it, with NumPy alone:",
            "",
            f"    {self._import()}",
            *(f"    {line}" for line in self._example()),
        ]
        if not self.vector:
            lines += [
                "",
                "or, for a CSV file with these columns:",
                "",
                f"    python {shlex.quote(self.module + '.py')} rows.csv",
            ]
        imports = ["import csv"] if not self.vector else []
        imports += ["import re"] if "levels" in self.used else []
        imports += ["import sys"] if not self.vector else []
        imports += ["from datetime import datetime, timedelta, timezone"] if "days" in self.used else []
        head = "\n".join(f"# {clean(line)}".rstrip() for line in lines)
        yield head + "\n\n" + "\n".join([*imports, *([""] if imports else []), "import numpy as np"])

    def _about_dates(self) -> list[str]:
        if not self.program.dates:
            return []
        text = "text such as 2024-01-31 10:30, in UTC where no zone is given"
        return [f"Dates ({listed(self.program.dates)}) are dates or times of Python, NumPy or pandas, or {text}."]

    def _import(self) -> str:
        if self.module.isidentifier() and not keyword.iskeyword(self.module):
            return f"from {self.module} import {', '.join(self._names())}"
        return f'predict = runpy.run_path({self.module + ".py"!r})["predict"]'

    def _names(self) -> list[str]:
        outputs = self.program.outputs
        ends = ["predict_interval"] if outputs.lower is not None else []
        return ["predict", *(["predict_proba"] if outputs.classes is not None else ends)]

    def _example(self) -> list[str]:
        first = self.program.columns[0]
        if isinstance(first, RowVector):
            return [f"predict(X)  # X of shape (n, {first.width})"]
        cell = ascii(first.levels[0]) if isinstance(first, TextColumn) else '"2024-01-31"' if first.is_date else "1.5"
        return [
            f"predict({{{first.name!a}: [{cell}, ...], ...}})  # columns, or a data frame",
            f"predict([{{{first.name!a}: {cell}, ...}}, ...])  # rows",
        ]

    def _constants(self) -> str:
        parts = []
        for step in self.program.steps:
            if isinstance(step.operation, Cells) and isinstance(step.operation.column, TextColumn):
                column = step.operation.column
                words = [f"{text!a}: {k}" for k, texts in enumerate(column.spellings) for text in texts]
                parts.append(f"# {clean(column.name)}: the row of its patterns for each level.")
                parts.append(f"{step.name}_levels = {bracketed(words, '{}')}")
                parts.append(f"{step.name}_patterns = {_array(column.patterns)}")
        classes = self.program.outputs.classes
        if classes is not None:
            parts.append(f"CLASSES = np.array({bracketed([ascii(c) for c in classes.tolist()])})")
        for whole in self.program.words:
            numbers = bracketed(list(map(hex, whole.values.tolist())))
            parts.append(f"{whole.name} = np.array({numbers}, dtype=np.uint64)")
        parts += [f"{constant.name} = {_array(constant.values)}" for constant in self.program.constants]
        return "\n".join(parts)

    def _body(self) -> str:
        lines = ["def evaluate(table):", '    """Everything that is asked of the model, for each row."""']
        for step in self.program.steps:
            note = f"  # {clean(step.note)}" if step.note else ""
            lines.append(f"    {step.name} = {self._value(step)}{note}")
        outputs = self.program.outputs
        named = [("predicted", outputs.predicted), ("lower", outputs.lower), ("upper", outputs.upper)]
        named.append(("decides", outputs.decides))
        pairs = ", ".join(f'"{name}": {step.name}' for name, step in named if step is not None)
        return "\n".join([*lines, f"    return {{{pairs}}}", ""])

    def _value(self, step: ProgramStep) -> str:
        match step.operation:
            case Cells(column):
                return self._cells(step, column)
            case Joined(parts):
                return f"np.hstack([{', '.join(part.name for part in parts)}])"
            case Affine(of, W, b):
                return f"{of.name} @ {W.name}" + (f" + {b.name}" if b is not None else "")
            case RadialBasis(of, points, rate, W, b):
                self.used.add("nearness")
                return f"nearness({of.name}, {points.name}, {rate.name}) @ {W.name} + {b.name}"
            case Each(term):
                return self._term(term)
            case Lookup(of, position, keys, values):
                self.used.add("lookup")
                return f"lookup({of.name}[:, {position}], {keys.name}, {values.name})"
            case Remembered(of, factors, keys, values):
                self.used.add("remembered")
                return f"remembered({of.name}, {factors.name}, {keys.name}, {values.name})"
            case Fold(kind, of):
                return f"{of.name}.{'max' if kind == 'largest' else 'sum'}(axis=1, keepdims=True)"

    def _cells(self, step: ProgramStep, column: Source) -> str:
        if isinstance(column, RowVector):
            rows = "np.asarray(table, dtype=float)"
            return rows if column.fill is None else f"np.where(np.isnan({rows}), {column.fill.name}, {rows})"
        self.used.add("column")
        cells = f"column(table, {column.name!a})"
        if isinstance(column, TextColumn):
            self.used.add("levels")
            case = ", any_case=True" if column.any_case else ""
            return f"levels({cells}, {step.name}_levels, {step.name}_patterns{case})"
        self.used.add("numbers")
        if column.is_date:
            self.used.add("days")
            cells = f"days({cells})"
        fill = "" if column.fill is None else f", {column.fill!r}"
        return f"numbers({cells}{fill}{', marked=True' if column.marked else ''})"

    def _term(self, term: Term) -> str:
        def leaf(of: At | Constant | float) -> str:
            match of:
                case At(step, None):
                    return step.name
                case At(step, positions) if positions is not None:
                    start = run_of(of)
                    which = positions.tolist() if start is None else f"{start}:{start + len(positions)}"
                    return f"{step.name}[:, {which}]"
                case Constant(name, _):
                    return name
                case _:
                    return repr(of)

        def call(function: str, arguments: list[str]) -> str:
            if function not in _NUMPY:
                self.used.add(function)
            return f"{_NUMPY.get(function, function)}({', '.join(arguments)})"

        return formula(term, leaf, call)

    def _answers(self) -> Iterator[str]:
        outputs = self.program.outputs
        if outputs.classes is not None:
            yield (
                'def predict_proba(table):\n    """The probability of each class, (n, classes), in the order of '
                'CLASSES."""\n    return evaluate(table)["predicted"]\n'
            )
            yield (
                'def predict(table):\n    """The most probable class of each row, (n,)."""\n'
                '    p = evaluate(table)["decides"]\n'
                "    if np.isnan(p).any():\n"
                '        raise ValueError("a row has a missing cell and so no probabilities")\n'
                "    return CLASSES[p.argmax(axis=1)]\n"
            )
        else:
            one = "[:, 0]" if outputs.predicted.width == 1 else ""
            shape = "(n,)" if one else f"(n, {outputs.predicted.width})"
            yield (
                f'def predict(table):\n    """The mean of each row, {shape}."""\n'
                f'    return evaluate(table)["predicted"]{one}\n'
            )
            if outputs.coverage is not None:
                yield (
                    "def predict_interval(table):\n"
                    f'    """The ends of an interval that holds the target with probability {outputs.coverage:g}: the '
                    f'lower and the upper,\n    {shape} each."""\n    found = evaluate(table)\n'
                    f'    return found["lower"]{one}, found["upper"]{one}\n'
                )
        if not self.vector:
            yield _main(outputs)


def _main(outputs: Outputs) -> str:
    """The command that predicts the rows of a CSV file, as `newtron predict` does."""
    if outputs.classes is not None:
        names = ["prediction", *(f"p({name})" for name in outputs.names)]
        rows = "zip(predict(rows).tolist(), *predict_proba(rows).T.tolist())"
    else:
        kinds = ["prediction", "lower", "upper"][: 1 if outputs.lower is None else 3]
        k = outputs.predicted.width
        names = [f"{kind} {i}" if k > 1 else kind for kind in kinds for i in range(1, k + 1)]
        ends = "" if outputs.lower is None else ", *predict_interval(rows)"
        rows = f"np.column_stack([predict(rows){ends}]).tolist()"
    return "\n".join(
        [
            'if __name__ == "__main__":',
            '    with open(sys.argv[1], encoding="utf-8", newline="") as file:',
            "        rows = list(csv.DictReader(file))",
            '    writer = csv.writer(sys.stdout, lineterminator="\\n")',
            f"    writer.writerow({bracketed(list(map(ascii, names)), indent='    ')})",
            f"    writer.writerows({rows})",
        ]
    )


def _array(values: Array) -> str:
    if values.ndim == 1:
        return f"np.array({bracketed(literals(values, 'np.nan'))})"
    rows = ",\n".join(f"    {bracketed(literals(row, 'np.nan'), indent='    ')}" for row in values)
    return f"np.array([\n{rows}\n])"
