"""The messages of the page and the answers of Python: the parts of each as types.

`web/types/messages.d.ts` is made from this table, so that both sides are checked against it. A `Number` is null in JSON
where it is not finite. A message is {"kind": ..., "setup": Setup, ...}, an answer {"kind": ...} with one of the answers
below, or an `ErrorAnswer`. Nothing that the page sends is trusted: `problem` and `session` check each field.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict

Number = float | None
Window = tuple[float, float]


class DataChoice(TypedDict):
    """source: the key of an example or of a file. target, inputs: columns of a file."""

    source: str
    target: NotRequired[str]
    inputs: NotRequired[list[str]]


class ModelChoice(TypedDict, total=False):
    """hidden: widths of the hidden layers. scale: inputs and regression targets are standardised. hidden_intercepts:
    the penalty alpha is on these too. column_penalties: by how many times alpha the weights from each input are
    penalised, for as long as there are so many inputs."""

    hidden: list[int]
    activation: str
    loss: str | None
    intercept: bool
    scale: bool
    alpha: float
    hidden_intercepts: bool
    column_penalties: list[float]


class StartChoice(TypedDict, total=False):
    """The start of both methods: params, or random parameters from a seed."""

    seed: int
    params: list[float] | None


class MethodChoice(TypedDict):
    """rate, momentum: of gradient descent, rate null for a line search. damped: of Newton. damping: of
    Levenberg-Marquardt, null for automatic."""

    solver: str
    steps: int
    rate: NotRequired[float | None]
    momentum: NotRequired[float]
    damped: NotRequired[bool]
    damping: NotRequired[float | None]


class Setup(TypedDict):
    """All that a run is made from."""

    data: DataChoice
    model: ModelChoice
    start: StartChoice
    methods: list[MethodChoice]


class FirstSetup(TypedDict):
    """The set-up that a session begins with; the rest are the defaults of the page."""

    data: DataChoice
    model: ModelChoice
    methods: NotRequired[list[MethodChoice]]


class FittedStart(TypedDict):
    """A fitted model, at whose parameters both methods can start."""

    data: DataChoice
    model: ModelChoice
    params: list[float]


class ExampleEntry(TypedDict):
    key: str
    title: str


class FileEntry(TypedDict):
    """A file that is open: rows counts them, target is the column that is predicted unless another is chosen."""

    key: str
    name: str
    columns: list[str]
    rows: int
    target: str


class HelloAnswer(TypedDict):
    """note: a sentence that the page shows as long as it is open."""

    examples: list[ExampleEntry]
    files: list[FileEntry]
    setup: FirstSetup | None
    fitted: FittedStart | None
    note: str


class OpenAnswer(TypedDict):
    kind: str
    file: FileEntry


class ErrorAnswer(TypedDict):
    error: str


class ParameterEntry(TypedDict):
    """tex, plain: its symbol in LaTeX and in the notation of explanations. layer: counted from 1."""

    tex: str
    plain: str
    weight: bool
    layer: int


class InputView(TypedDict):
    """axes: the inputs that are drawn. windows: their ranges; range: that of the prediction. curve: the places of one
    input; grid: points along each of two inputs. held: a remark on the other inputs."""

    axes: list[int]
    windows: list[Window]
    range: Window
    curve: list[Number] | None
    grid: int | None
    held: str


class ProblemFacts(TypedDict):
    """All about data and model that no step changes. labels: targets, or places in classes. rows: numbers of the rows
    in their source. columns: those of a file that are used. dates: which inputs count days since 1970-01-01."""

    task: str
    inputs: list[str]
    target: str
    classes: list[str]
    X: list[list[Number]]
    labels: list[Number]
    rows: list[int]
    notes: list[str]
    columns: list[str]
    dates: list[int]
    widths: list[int]
    activation: str
    intercept: bool
    loss: str
    linear: bool
    quadratic: bool
    convex: bool
    parameters: list[ParameterEntry]
    view: InputView


# The prediction at one step: a curve (for each class), or an area in base64.
Frame = list[Number] | list[list[Number]] | str


class RunFacts(TypedDict):
    """One method, step by step; the first entry is the start."""

    solver: str
    params: list[list[Number]]
    value: list[Number]
    gradient: list[list[Number]]
    gradient_norm: list[Number]
    eigenvalues: list[list[Number]] | None
    status: str
    converged: bool
    sentence: str
    frames: list[Frame]


class RunAnswer(TypedDict):
    """windows: for each parameter the range in which the loss is drawn."""

    problem: ProblemFacts
    start: list[Number]
    runs: list[RunFacts]
    windows: list[Window]


class SentencePart(TypedDict, total=False):
    """Words, or a formula in LaTeX."""

    text: str
    tex: str


class MatrixFacts(TypedDict):
    """cut: only the first rows and columns are in values; shape is that of the whole."""

    values: list[list[Number]]
    shape: list[int]
    cut: bool


class ColumnFacts(TypedDict):
    tex: str
    text: str


class LineFacts(TypedDict):
    tex: str
    plain: str
    text: str
    name: str


class TableFacts(TypedDict):
    """reused: positions of columns that an earlier step has computed. hidden: how many lines are left out. product:
    the last column is the product of the others."""

    columns: list[ColumnFacts]
    lines: list[LineFacts]
    values: list[list[Number]]
    texts: list[list[str]]
    reused: list[int]
    hidden: int
    product: bool


class StepFacts(TypedDict):
    """notation: "lecture", "lab", or "" for both."""

    key: str
    tex: str
    numbers: str
    sentence: list[SentencePart]
    value: Number
    matrix: MatrixFacts | None
    table: TableFacts | None
    lines: list[str]
    notation: str


class SectionFacts(TypedDict):
    key: str
    title: str
    steps: list[StepFacts]


class ChainFacts(TypedDict):
    """The partial of one parameter as a product: values are those of the factors and of the result."""

    symbol: str
    name: str
    factors: list[str]
    result: str
    numbers: str
    values: list[Number]
    reused: list[int]


class LabFactor(TypedDict):
    tex: str
    value: Number
    reused: bool


class LabLine(TypedDict):
    """result = its factors joined by op, which is "·", "+" or "−"."""

    result: str
    op: str
    factors: list[LabFactor]
    value: Number


class MeanPartial(TypedDict):
    """The partial of the whole objective in both notations; parts: the mean over the rows, and the penalty's part."""

    lecture: str
    lab: str
    parts: list[Number]
    value: Number


class UnitValues(TypedDict):
    """For one row: the inputs, and z, a and ∂L/∂z of every layer."""

    inputs: list[Number]
    z: list[list[Number]]
    a: list[list[Number]]
    deltas: list[list[Number]]


class DerivationFacts(TypedDict):
    """A derivation; chains, lab and units are those of one row, means those of all rows."""

    title: str
    loss: Number
    gradient: list[Number]
    sections: list[SectionFacts]
    chains: list[ChainFacts | None]
    lab: list[list[LabLine]]
    means: list[MeanPartial]
    units: UnitValues | None
    predicted: Number


class PointFacts(TypedDict):
    """All numbers of one point. z, a, deltas (∂L/∂z): for each layer the rows, and of each row the units; the last a is
    ŷ. losses: of each row. value and what follows are of the whole objective; eigenvalues ascend, and eigenvectors
    stand in the same order. Hessian and eigenvalues are null where there are many parameters."""

    value: Number
    gradient: list[Number]
    hessian: list[list[Number]] | None
    eigenvalues: list[Number] | None
    eigenvectors: list[list[Number]] | None
    z: list[list[list[Number]]]
    a: list[list[list[Number]]]
    deltas: list[list[list[Number]]]
    losses: list[Number]


class LossSurface(TypedDict):
    """The objective on a grid over two parameters. slice: there are others, which are held."""

    pair: list[int]
    windows: list[Window]
    size: int
    values: list[Number]
    levels: list[float]
    low: float
    high: float
    slice: bool


class NewtonBowl(TypedDict):
    """Newton's quadratic on a grid over two parameters; lowest: its minimum, null where it has none."""

    pair: list[int]
    windows: list[Window]
    size: int
    values: list[Number]
    lowest: list[Number] | None


class LossProfile(TypedDict):
    """The objective along one parameter, with tangent and parabola; here: parameter and value."""

    index: int
    w: list[float]
    value: list[Number]
    tangent: list[Number]
    parabola: list[Number]
    here: list[float]
    slope: float
    curvature: float
    lowest: float | None


class DifferenceLine(TypedDict):
    h: float
    above: float
    below: float
    quotient: float
    error: float


class DifferenceCheck(TypedDict):
    """One partial derivative beside difference quotients; best: the smallest error."""

    index: int
    exact: float
    lines: list[DifferenceLine]
    best: float
