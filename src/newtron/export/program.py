"""A model as a small program: the columns of a row become vectors, and vectors become predictions.

A `Program` is the list of its steps in an order in which each can be computed from those before it. Every step is one
vector of a row, of a fixed width. Eight operations make all steps: the cells of a column, vectors joined, a layer
z = a W + b, a layer of radial basis functions, one formula for each element, a fold of all elements, and what a table
has for one element or for the whole row. A writer that has these, `FUNCTIONS` and the five signs of arithmetic writes
every model; languages without arithmetic on the bits of numbers lack the last one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.types import Array, Labels
from newtron.table.cells import MISSING

Sign = Literal["+", "-", "*", "/", "^"]
FunctionName = Literal["tanh", "sigmoid", "relu", "softplus", "exp", "asinh", "sqrt"]
FUNCTIONS: tuple[FunctionName, ...] = ("tanh", "sigmoid", "relu", "softplus", "exp", "asinh", "sqrt")


@dataclass(frozen=True, eq=False)
class Constant:
    """Numbers that are the same for every row: (width,), or (inputs, units) of weights. name: what a writer calls them
    where it writes them apart."""

    name: str
    values: Array


@dataclass(frozen=True, eq=False)
class Words:
    """Whole numbers of 64 bits, (n,), and what a writer calls them."""

    name: str
    values: NDArray[np.uint64]


@dataclass(frozen=True)
class NumberColumn:
    """A column of numbers, or of dates, which are days since 1970-01-01.

    fill: the number that stands for a missing cell; None: a missing cell makes the prediction missing. marked: a second
    element is 1 where the cell is missing, and else 0.
    """

    name: str
    is_date: bool = False
    fill: float | None = None
    marked: bool = False

    @property
    def width(self) -> int:
        """How many elements a cell becomes."""
        return 1 + self.marked


@dataclass(frozen=True, eq=False)
class TextColumn:
    """A column of text, each of whose levels becomes a row of numbers.

    levels: the names of the levels. spellings: how the cells of each level are written; any_case: capital letters make
    no difference. patterns: (levels + 2, width) the elements of each level, then those of a text that training never
    saw, then those of a missing cell, nan where that makes the prediction missing.
    """

    name: str
    levels: tuple[str, ...]
    spellings: tuple[tuple[str, ...], ...]
    patterns: Array
    any_case: bool = False

    @property
    def width(self) -> int:
        """How many elements a cell becomes."""
        return int(self.patterns.shape[1])

    @property
    def missing(self) -> tuple[str, ...]:
        """The texts that mean a missing cell."""
        own = {text for texts in self.spellings for text in texts}
        return tuple(word for word in MISSING if word not in own)


@dataclass(frozen=True, eq=False)
class RowVector:
    """A row without names: so many numbers. fill: (width,) the numbers that stand for missing ones; None: a missing
    number makes the prediction missing."""

    width: int
    fill: Constant | None = None


Source: TypeAlias = NumberColumn | TextColumn | RowVector


@dataclass(frozen=True, eq=False)
class At:
    """The elements of an earlier step; positions: some of them, in this order; None: all."""

    step: ProgramStep
    positions: NDArray[np.intp] | None = None

    @property
    def width(self) -> int:
        return self.step.width if self.positions is None else len(self.positions)


@dataclass(frozen=True, eq=False)
class Apply:
    """A function of a term, element by element."""

    function: FunctionName
    of: Term


@dataclass(frozen=True, eq=False)
class Arithmetic:
    """Two terms and the sign between them, element by element; a term of width 1 goes with every element."""

    sign: Sign
    left: Term
    right: Term


Term: TypeAlias = At | Constant | Apply | Arithmetic | float


@dataclass(frozen=True, eq=False)
class Cells:
    """The elements of a column."""

    column: Source


@dataclass(frozen=True, eq=False)
class Joined:
    """Steps side by side."""

    parts: tuple[ProgramStep, ...]


@dataclass(frozen=True, eq=False)
class Affine:
    """a W + b of the step a."""

    of: ProgramStep
    W: Constant
    b: Constant | None


@dataclass(frozen=True, eq=False)
class RadialBasis:
    """s W + b, where s is how near the step x is to each of some points: s_i = exp(-Σ_j rate_j |x_j - c_ij|).

    points: (m, width of x) the points c; rate: (width of x,); W: (m, units); b: (units,).
    """

    of: ProgramStep
    points: Constant
    rate: Constant
    W: Constant
    b: Constant


@dataclass(frozen=True, eq=False)
class Each:
    """A formula for each element."""

    term: Term


@dataclass(frozen=True, eq=False)
class Fold:
    """The largest element of a step, or the sum of its elements: a step of width 1."""

    kind: Literal["largest", "sum"]
    of: ProgramStep


@dataclass(frozen=True, eq=False)
class Lookup:
    """The row of a table (L, width) for one element of a step: that of the key which it equals, and where it equals
    none, zero times the element, which is missing where that is. keys: (L,) ascending."""

    of: ProgramStep
    position: int
    keys: Constant
    values: Constant


@dataclass(frozen=True, eq=False)
class Remembered:
    """The row of a table (L, width) for all elements of a step: that of the key which their hash equals, and zeros
    where it equals none. The hash is that of `row_keys`. factors: one for each element; keys: (L,) ascending."""

    of: ProgramStep
    factors: Words
    keys: Words
    values: Constant


Operation: TypeAlias = Cells | Joined | Affine | RadialBasis | Each | Fold | Lookup | Remembered


@dataclass(frozen=True, eq=False)
class ProgramStep:
    """One vector of a row. name: a letter or an underscore, then letters, digits and underscores, unique in the
    program; note: what it is, in a few words."""

    name: str
    width: int
    operation: Operation
    note: str = ""

    @property
    def needs(self) -> tuple[ProgramStep, ...]:
        """The steps that it is computed from."""
        match self.operation:
            case Cells():
                return ()
            case Joined(parts):
                return parts
            case Affine(of=of) | RadialBasis(of=of) | Fold(of=of) | Lookup(of=of) | Remembered(of=of):
                return (of,)
            case Each(term):
                return tuple(dict.fromkeys(at.step for at in leaves(term) if isinstance(at, At)))


def leaves(term: Term) -> Iterator[At | Constant | float]:
    """The steps and numbers in a term, from left to right."""
    match term:
        case Apply(of=of):
            yield from leaves(of)
        case Arithmetic(left=left, right=right):
            yield from leaves(left)
            yield from leaves(right)
        case _:
            yield term


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a program predicts.

    regression: means (k wide), and the ends of an interval with the probability `coverage`, where it is asked for.
    classification: probabilities (one for each class), and the step whose largest element is that of the predicted
    class. names: of the means or classes.
    """

    names: tuple[str, ...]
    predicted: ProgramStep
    lower: ProgramStep | None = None
    upper: ProgramStep | None = None
    coverage: float | None = None
    classes: Labels | None = None
    decides: ProgramStep | None = None

    @property
    def steps(self) -> tuple[ProgramStep, ...]:
        """The steps that are given out."""
        return tuple(step for step in (self.predicted, self.lower, self.upper, self.decides) if step is not None)


@dataclass(frozen=True, eq=False)
class Program:
    """A model to be written in another language.

    columns: what it reads. about: what a reader must know of the model, a paragraph each.
    """

    columns: tuple[Source, ...]
    steps: tuple[ProgramStep, ...]
    outputs: Outputs
    about: tuple[str, ...]

    @property
    def constants(self) -> tuple[Constant, ...]:
        """All constants, in the order of the steps."""
        found: list[Constant] = []
        for step in self.steps:
            match step.operation:
                case Cells(RowVector(fill=fill)) if fill is not None:
                    found.append(fill)
                case Affine(W=W, b=b):
                    found += [W] if b is None else [W, b]
                case RadialBasis(points=points, rate=rate, W=W, b=b):
                    found += [points, rate, W, b]
                case Lookup(keys=keys, values=values):
                    found += [keys, values]
                case Remembered(values=values):
                    found.append(values)
                case Each(term):
                    found += [leaf for leaf in leaves(term) if isinstance(leaf, Constant)]
        return tuple(dict.fromkeys(found))

    @property
    def words(self) -> tuple[Words, ...]:
        """All whole numbers, in the order of the steps."""
        operations = [step.operation for step in self.steps]
        return tuple(words for of in operations if isinstance(of, Remembered) for words in (of.factors, of.keys))

    @property
    def dates(self) -> tuple[str, ...]:
        """The names of the columns of dates."""
        return tuple(column.name for column in self.columns if isinstance(column, NumberColumn) and column.is_date)

    @property
    def size(self) -> int:
        """How many weights the layers hold."""
        layers = (step.operation for step in self.steps)
        return sum(layer.W.values.size for layer in layers if isinstance(layer, Affine | RadialBasis))
