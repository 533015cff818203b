"""The data that the page can show: small examples, and the user's own file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from newtron.engine.base.checks import check_choice, shown
from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array
from newtron.engine.maths.scaling import Scaling
from newtron.engine.rows.targets import class_targets
from newtron.table import Table, encode, encode_target

# The page draws every row, and a sample where there are more than this many, with a note. At most this many inputs and
# classes are drawn: more could not be told apart.
MOST_ROWS, MOST_INPUTS, MOST_CLASSES = 1000, 8, 6


@dataclass(frozen=True, eq=False)
class Data:
    """Rows as numbers: X (n, p), and y (n, k) in the form that losses take, one column for two classes.

    inputs: names of the columns. target: name of the target. classes: their names, () for regression. rows: the number
    of each row in its source. notes: sentences on what was left out. scaling: that of the fitted model, or None for one
    that is learnt from these rows. columns: those of the source that the inputs are made of. dates: which inputs count
    days since 1970-01-01.
    """

    X: Array
    y: Array
    inputs: tuple[str, ...]
    target: str
    classes: tuple[str, ...] = ()
    rows: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    scaling: Scaling | None = None
    columns: tuple[str, ...] = ()
    dates: tuple[int, ...] = ()

    @property
    def task(self) -> str:
        return "classification" if self.classes else "regression"


def _line(rng: np.random.Generator) -> Data:
    x = np.round(np.linspace(0.0, 4.0, 12) + rng.normal(0.0, 0.08, 12), 2)
    y = np.round(0.8 * x + 0.6 + rng.normal(0.0, 0.25, 12), 2)
    return Data(x[:, None], y[:, None], ("x",), "y")


def _wave(rng: np.random.Generator) -> Data:
    x = np.round(np.linspace(-3.0, 3.0, 40), 2)
    y = np.round(np.sin(1.5 * x) + 0.3 * x + rng.normal(0.0, 0.1, 40), 2)
    return Data(x[:, None], y[:, None], ("x",), "y")


def _hours(rng: np.random.Generator) -> Data:
    x = np.round(rng.uniform(0.0, 6.0, 40), 2)
    passed = rng.uniform(size=40) < 1.0 / (1.0 + np.exp(-1.6 * (x - 3.0)))
    return Data(x[:, None], passed.astype(float)[:, None], ("hours",), "passed", ("no", "yes"))


def _clouds(rng: np.random.Generator) -> Data:
    y = np.arange(40) % 2
    X = np.round(rng.normal(0.0, 0.9, (40, 2)) + np.where(y[:, None] == 1, (0.7, 0.56), (-0.7, -0.56)), 2)
    return Data(X, y.astype(float)[:, None], ("x₁", "x₂"), "class", ("blue", "orange"))


def _xor(rng: np.random.Generator) -> Data:
    corners = np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)], dtype=float)
    X = np.round(np.tile(corners, (10, 1)) + rng.normal(0.0, 0.25, (40, 2)), 2)
    y = (np.tile(corners.prod(axis=1), 10) < 0.0).astype(float)
    return Data(X, y[:, None], ("x₁", "x₂"), "class", ("same", "different"))


def _ring(rng: np.random.Generator) -> Data:
    y = np.arange(60) % 2
    angle = rng.uniform(0.0, 2.0 * np.pi, 60)
    radius = np.where(y == 1, 2.0, 0.7) + rng.normal(0.0, 0.2, 60)
    X = np.round(np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]), 2)
    return Data(X, y.astype(float)[:, None], ("x₁", "x₂"), "class", ("inside", "outside"))


def _three(rng: np.random.Generator) -> Data:
    labels = np.arange(60) % 3
    centres = np.array([(-1.2, -0.7), (1.2, -0.7), (0.0, 1.3)])
    X = np.round(centres[labels] + rng.normal(0.0, 0.6, (60, 2)), 2)
    return Data(X, np.eye(3)[labels], ("x₁", "x₂"), "class", ("A", "B", "C"))


def _plane(rng: np.random.Generator) -> Data:
    X = np.round(rng.uniform(-2.0, 2.0, (40, 2)), 2)
    y = np.round(1.2 * X[:, 0] - 0.7 * X[:, 1] + 0.5 + rng.normal(0.0, 0.2, 40), 2)
    return Data(X, y[:, None], ("x₁", "x₂"), "y")


# The key of each example, its title on the page, and the function that makes it.
EXAMPLES: dict[str, tuple[str, Callable[[np.random.Generator], Data]]] = {
    "line": ("A line", _line),
    "plane": ("A plane, two inputs", _plane),
    "wave": ("A wave", _wave),
    "hours": ("Hours of study, passed or not", _hours),
    "clouds": ("Two clouds", _clouds),
    "xor": ("XOR: four corners", _xor),
    "ring": ("A ring around a disc", _ring),
    "three": ("Three classes", _three),
}


def example(name: object) -> Data:
    """One of EXAMPLES, with the same numbers every time."""
    return EXAMPLES[check_choice("data", name, EXAMPLES)][1](np.random.default_rng(7))


def from_table(table: Table, target: str, inputs: tuple[str, ...] | None, seed: int = 0) -> Data:
    """Columns of a file as Data: inputs by name, or the first that fit.

    Rows without a target are left out; more than `MOST_ROWS` rows are sampled; both are said in `notes`.
    """
    from newtron.table.learn import learn_schema

    if inputs is not None:
        unknown = [name for name in inputs if name not in table.names or name == target]
        if unknown:
            what = f"{shown(unknown[0])} is not a column to predict {shown(target)} from"
            raise InputError(f"{table.path}: {what}: choose others.")
    ignored = () if inputs is None else [n for n in table.names if n != target and n not in inputs]
    schema = learn_schema(table, target, ignore=ignored)
    notes = [f"Note: {warning}" for warning in schema.warnings]
    codes, kept = encode_target(schema.target, table)
    numbers = np.flatnonzero(kept)
    if len(numbers) < table.n_rows:
        notes.append(f"{table.n_rows - len(numbers):,} rows without {target!r} are left out.")
    X, names = encode(schema, table).X[kept], schema.feature_names
    made = [(column.name, column.kind) for column in schema.columns for _ in column.encoded]
    if len(names) > MOST_INPUTS:
        notes.append(
            f"The first {MOST_INPUTS} of {len(names)} inputs are used, which the ticked columns are encoded as; choose "
            "other columns if you like."
        )
        X, names, made = X[:, :MOST_INPUTS], names[:MOST_INPUTS], made[:MOST_INPUTS]
    columns = tuple(dict.fromkeys(name for name, _ in made))
    dates = tuple(j for j, (name, kind) in enumerate(made) if kind == "date" and names[j] == name)
    if len(numbers) > MOST_ROWS:
        notes.append(f"A random sample of {MOST_ROWS:,} of {len(numbers):,} rows is shown and trained on.")
        chosen = np.sort(np.random.default_rng(seed).choice(len(numbers), MOST_ROWS, replace=False))
        X, codes, numbers = X[chosen], codes[chosen], numbers[chosen]
    rows = tuple(table.row_number(int(i)) for i in numbers)
    classes = tuple(str(label) for label in schema.target.classes)
    if not classes:
        y = np.asarray(codes, dtype=float)[:, None]
        return Data(X, y, names, target, (), rows, tuple(notes), columns=columns, dates=dates)
    if len(classes) > MOST_CLASSES:
        raise InputError(
            f"{table.path}, column {target!r}: {len(classes)} classes are more than the page can draw; choose a target "
            f"with at most {MOST_CLASSES}, or use 'newtron fit'."
        )
    present = len(np.unique(codes))
    if present < 2:
        raise InputError(f"{table.path}, column {target!r}: only one class is left; choose another target.")
    y = class_targets(np.asarray(codes), len(classes))
    return Data(X, y, names, target, classes, rows, tuple(notes), columns=columns, dates=dates)
