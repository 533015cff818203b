"""A program as an ONNX graph in double precision.

Each column is an input of shape (rows, 1): numbers as double, NaN where missing, and text as strings; a model of plain
arrays has one input (rows, columns). Operators that runtimes have in single precision alone (Asinh, Softplus) are
composed of others.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Labels
from newtron.export.program import (
    Affine,
    Apply,
    Arithmetic,
    At,
    Cells,
    Constant,
    Each,
    Fold,
    Joined,
    Lookup,
    Program,
    ProgramStep,
    RadialBasis,
    RowVector,
    Sign,
    Source,
    Term,
    TextColumn,
)

# The versions of the operators and of the file: those of ONNX 1.12 (2022), which runtimes in use read.
_OPSET, _ML_OPSET, _IR_VERSION = 17, 3, 8
_SIGNS: dict[Sign, str] = {"+": "Add", "-": "Sub", "*": "Mul", "/": "Div", "^": "Pow"}
_OPERATORS = {"tanh": "Tanh", "sigmoid": "Sigmoid", "exp": "Exp", "sqrt": "Sqrt"}


def onnx_model(program: Program) -> bytes:
    """The program as the bytes of an ONNX file. Raises InputError where the package onnx is not installed, and
    UnicodeEncodeError where a name is no Unicode text."""
    try:
        from onnx import checker
    except ImportError:
        raise InputError('ONNX needs the package onnx, newtron\'s extra "export": pip install onnx.') from None
    data = _Writer(program).model()
    checker.check_model(data)
    return data


class _Writer:
    """The nodes and constants so far. Values of the graph have the names of the steps, behind a slash."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.names = {column.name for column in program.columns if not isinstance(column, RowVector)}
        self.nodes: list[object] = []
        self.initializers: list[object] = []
        self.numbers = itertools.count(1)
        self.values = {step: self._own(f"/{step.name}") for step in program.steps}

    def model(self) -> bytes:
        """The graph as the bytes of a model of onnx."""
        from onnx import helper

        inputs = [self._input(column) for column in self.program.columns]
        for step in self.program.steps:
            self._step(step)
        outputs = self._outputs()
        about = "\n\n".join(self.program.about)
        graph = helper.make_graph(self.nodes, "newtron", inputs, outputs, self.initializers, doc_string=about)
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", _ML_OPSET)]
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="newtron", doc_string=about
        )
        return bytes(model.SerializeToString())

    # --- values, nodes and constants ---

    def _own(self, name: str) -> str:
        """A name for a value that no column has."""
        while name in self.names:
            name += "_"
        self.names.add(name)
        return name

    def _node(self, operator: str, inputs: Sequence[str], name: str | None = None, **attributes: object) -> str:
        """Add a node of one output, and return the name of that."""
        from onnx import helper

        output = self._own(f"/{operator}{next(self.numbers)}") if name is None else name
        domain = "ai.onnx.ml" if operator == "LabelEncoder" else ""
        self.nodes.append(helper.make_node(operator, list(inputs), [output], domain=domain, **attributes))
        return output

    def _constant(self, values: Labels | Sequence[str] | float, name: str | None = None) -> str:
        from onnx import TensorProto, helper, numpy_helper

        own = self._own(f"/constant{next(self.numbers)}" if name is None else f"/{name}")
        if isinstance(values, np.ndarray) and values.dtype.kind in "fib":
            self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(values), own))
        elif isinstance(values, float):
            self.initializers.append(numpy_helper.from_array(np.array([values]), own))
        else:
            texts = [str(text).encode("utf-8") for text in values]
            self.initializers.append(helper.make_tensor(own, TensorProto.STRING, [len(texts)], texts))
        return own

    # --- columns ---

    def _input(self, column: Source) -> object:
        from onnx import TensorProto, helper

        if isinstance(column, RowVector):
            return helper.make_tensor_value_info("X", TensorProto.DOUBLE, ["rows", column.width])
        kind = TensorProto.STRING if isinstance(column, TextColumn) else TensorProto.DOUBLE
        if not column.name:
            raise InputError("a column has no name, and an input of ONNX needs one; give it a name and fit again.")
        return helper.make_tensor_value_info(column.name, kind, ["rows", 1], doc_string=_meaning(column))

    def _cells(self, step: ProgramStep, column: Source) -> None:
        if isinstance(column, RowVector):
            if column.fill is None:
                self._node("Identity", ["X"], self.values[step])
            else:
                fill = self._constant(column.fill.values, column.fill.name)
                self._node("Where", [self._node("IsNaN", ["X"]), fill, "X"], self.values[step])
        elif isinstance(column, TextColumn):
            self._words(step, column)
        elif column.fill is None:
            self._node("Identity", [column.name], self.values[step])
        else:
            missing = self._node("IsNaN", [column.name])
            fill = self._constant(column.fill)
            if not column.marked:
                self._node("Where", [missing, fill, column.name], self.values[step])
                return
            from onnx import TensorProto

            filled = self._node("Where", [missing, fill, column.name])
            mark = self._node("Cast", [missing], to=TensorProto.DOUBLE)
            self._node("Concat", [filled, mark], self.values[step], axis=1)

    def _words(self, step: ProgramStep, column: TextColumn) -> None:
        n = len(column.levels)
        levels = {
            text: k for k, texts in enumerate(column.spellings) for word in texts for text in _cases(word, column)
        }
        texts = {**dict.fromkeys(column.missing, n + 1), **levels}
        code = self._node(
            "LabelEncoder",
            [column.name],
            keys_strings=[text.encode("utf-8") for text in texts],
            values_int64s=list(texts.values()),
            default_int64=n,
        )
        flat = self._node("Reshape", [code, self._constant(np.array([-1]))])
        self._node(
            "Gather", [self._constant(column.patterns, f"{step.name}_patterns"), flat], self.values[step], axis=0
        )

    # --- steps ---

    def _step(self, step: ProgramStep) -> None:
        name = self.values[step]
        match step.operation:
            case Cells(column):
                self._cells(step, column)
            case Joined(parts):
                self._node("Concat", [self.values[part] for part in parts], name, axis=1)
            case Affine(of, W, b):
                product = self._node(
                    "MatMul", [self.values[of], self._constant(W.values, W.name)], name if b is None else None
                )
                if b is not None:
                    self._node("Add", [product, self._constant(b.values, b.name)], name)
            case RadialBasis(of, points, rate, W, b):
                s = self._node("Exp", [self._node("Neg", [self._distances(of, points, rate)])])
                product = self._node("MatMul", [s, self._constant(W.values, W.name)])
                self._node("Add", [product, self._constant(b.values, b.name)], name)
            case Each(term):
                self._node("Identity", [self._term(term)], name)
            case Lookup(of, position, keys, values):
                from onnx import TensorProto

                own = self._node("Gather", [self.values[of], self._constant(np.array([position]))], axis=1)
                equal = self._node("Equal", [own, self._constant(keys.values, keys.name)])
                found = self._node("Cast", [equal], to=TensorProto.DOUBLE)
                row = self._node("MatMul", [found, self._constant(values.values, values.name)])
                self._node("Add", [row, self._node("Mul", [own, self._constant(0.0)])], name)
            case Fold("largest", of):
                self._node("ReduceMax", [self.values[of]], name, axes=[1], keepdims=1)
            case Fold("sum", of):
                self._node("ReduceSum", [self.values[of], self._constant(np.array([1]))], name, keepdims=1)

    def _distances(self, of: ProgramStep, points: Constant, rate: Constant) -> str:
        """The distances (rows, m) from the points, by a Scan over the columns, which adds what each contributes: no
        array has rows, points and columns as three axes."""
        from onnx import TensorProto, helper

        m = len(points.values)
        names = ("before", "cells", "values", "unit", "upright", "apart", "size", "rated", "after")
        # A graph within another shares its names.
        before, cells, values, unit, upright, apart, size, rated, after = (self._own(f"/{name}") for name in names)
        nodes = [
            helper.make_node("Unsqueeze", [cells, self._constant(np.array([1]))], [upright]),
            helper.make_node("Sub", [upright, values], [apart]),
            helper.make_node("Abs", [apart], [size]),
            helper.make_node("Mul", [size, unit], [rated]),
            helper.make_node("Add", [before, rated], [after]),
        ]
        shapes: dict[str, list[int | None]] = {
            before: [None, m],
            cells: [None],
            values: [m],
            unit: [],
            after: [None, m],
        }
        *given, found = (helper.make_tensor_value_info(own, TensorProto.DOUBLE, of) for own, of in shapes.items())
        body = helper.make_graph(nodes, "column", given, [found])
        shape = self._node("Shape", [self.values[of]], end=1)
        shape = self._node("Concat", [shape, self._constant(np.array([m]))], axis=0)
        zeros = self._node("Expand", [self._constant(0.0), shape])
        columns = self._node("Transpose", [self.values[of]], perm=[1, 0])
        tables = [self._constant(points.values.T, points.name), self._constant(rate.values, rate.name)]
        return self._node("Scan", [zeros, columns, *tables], body=body, num_scan_inputs=3)

    def _term(self, term: Term) -> str:
        match term:
            case At(step, None):
                return self.values[step]
            case At(step, positions) if positions is not None:
                return self._node("Gather", [self.values[step], self._constant(positions.astype(np.int64))], axis=1)
            case Constant(name, values):
                return self._constant(values, name)
            case Apply(function, of):
                return self._function(function, self._term(of))
            case Arithmetic(sign, left, right):
                return self._node(_SIGNS[sign], [self._term(left), self._term(right)])
            case _:
                return self._constant(float(term))  # type: ignore[arg-type]

    def _function(self, function: str, z: str) -> str:
        if function in _OPERATORS:
            return self._node(_OPERATORS[function], [z])
        if function == "relu":  # unlike Relu and Max of some runtimes, it keeps NaN
            zero = self._constant(0.0)
            return self._node("Where", [self._node("Less", [z, zero]), zero, z])
        size, one = self._node("Abs", [z]), self._constant(1.0)
        if function == "softplus":  # max(z, 0) + log(1 + exp(-|z|))
            rest = self._node("Log", [self._node("Add", [one, self._node("Exp", [self._node("Neg", [size])])])])
            return self._node("Add", [self._node("Max", [z, self._constant(0.0)]), rest])
        assert function == "asinh"
        # sign(z) (log b + log(|z|/b + sqrt((z/b)² + 1/b²))) with b = max(|z|, 1), which does not overflow.
        b = self._node("Max", [size, one])
        part, inverse = self._node("Div", [size, b]), self._node("Div", [one, b])
        squares = [self._node("Mul", [each, each]) for each in (part, inverse)]
        root = self._node("Sqrt", [self._node("Add", squares)])
        logs = [self._node("Log", [each]) for each in (b, self._node("Add", [part, root]))]
        return self._node("Mul", [self._node("Sign", [z]), self._node("Add", logs)])

    # --- outputs ---

    def _outputs(self) -> list[object]:
        outputs = self.program.outputs
        if outputs.classes is None or outputs.decides is None:
            named = (("prediction", outputs.predicted), ("lower", outputs.lower), ("upper", outputs.upper))
            return [self._output(name, step, outputs.names) for name, step in named if step is not None]
        from onnx import helper

        place = self._node("ArgMax", [self.values[outputs.decides]], axis=1, keepdims=0)
        kind, classes = _classes(outputs.classes)
        label = self._node("Gather", [self._constant(classes, "classes"), place], self._own("label"), axis=0)
        about = "the most probable class"
        return [
            helper.make_tensor_value_info(label, kind, ["rows"], doc_string=about),
            self._output("probabilities", outputs.predicted, outputs.names),
        ]

    def _output(self, name: str, step: ProgramStep, columns: Iterable[str]) -> object:
        from onnx import TensorProto, helper

        own = self._node("Identity", [self.values[step]], self._own(name))
        about = ", ".join(columns)
        return helper.make_tensor_value_info(own, TensorProto.DOUBLE, ["rows", step.width], doc_string=about)


def _meaning(column: Source) -> str:
    if isinstance(column, TextColumn):
        return f"text; the empty text is missing; levels {', '.join(column.levels)}"
    if isinstance(column, RowVector) or not column.is_date:
        return "a number; NaN is missing"
    return "days since 1970-01-01; NaN is missing"


def _cases(word: str, column: TextColumn) -> Iterable[str]:
    """The word in all small and capital letters where these make no difference."""
    if not column.any_case:
        return [word]
    return map("".join, itertools.product(*({letter.lower(), letter.upper()} for letter in word)))


def _classes(classes: Labels) -> tuple[int, Labels | list[str]]:
    """The classes as a tensor, and its type."""
    from onnx import TensorProto

    known: list[object] = classes.tolist()
    if all(isinstance(label, bool) for label in known):
        return TensorProto.BOOL, np.array(known)
    if all(isinstance(label, int) for label in known):
        return TensorProto.INT64, np.array(known, dtype=np.int64)
    if all(isinstance(label, float) for label in known):
        return TensorProto.DOUBLE, np.array(known)
    return TensorProto.STRING, list(map(str, known))
