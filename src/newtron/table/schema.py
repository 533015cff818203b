"""What every column means, learnt once from the training table and the same ever after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from newtron.table.table import Table

Kind = Literal["number", "date", "yes/no", "category"]
Task = Literal["regression", "classification"]
ClassLabel = str | bool | int | float


@dataclass(frozen=True)
class Column:
    """How one column of the file becomes columns of the matrix.

    A number is one column of the matrix; a date is the days since 1970-01-01; yes/no is 1 for yes and 0
    for no. A category is one 0/1 column for each level but the most frequent, the `reference`, with which
    the others are compared. If training had missing cells (`missing_seen`), a last column `... is missing`
    marks them (`indicator`), unless an earlier column was missing in exactly the same rows: its mark serves
    both, because two equal columns could not be told apart.

    `encoded` names the columns of the matrix. `mean` stands in for missing cells (number, date, yes/no).
    `levels` are the levels with a column of their own; for yes/no, the word for yes. `pooled` are rare
    levels that share the column `...=(other)`, which follows the levels. `shares` are the training means
    of a category's columns: what a cell gets about which nothing is known.
    """

    name: str
    kind: Kind
    encoded: tuple[str, ...]
    mean: float | None = None
    levels: tuple[str, ...] = ()
    reference: str | None = None
    pooled: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    missing_seen: bool = False
    indicator: bool = False


@dataclass(frozen=True)
class Target:
    """The column to predict. `classes` keep their type: whole numbers stay whole numbers, text stays text.

    `why` is the sentence that says how the task was chosen.
    """

    name: str
    task: Task
    classes: tuple[ClassLabel, ...]
    why: str


@dataclass(frozen=True)
class Encoded:
    """A table as numbers: `X` of shape (rows, features), and what in it had to be filled in.

    `unseen` counts, by column, cells whose category training never saw; `missing` counts missing cells in
    columns that had none in training. Columns without such cells are not listed.
    """

    X: NDArray[np.float64]
    unseen: dict[str, int]
    missing: dict[str, int]


@dataclass(frozen=True)
class Schema:
    """The features, the target, and what was left out and why: `dropped` pairs a name with a reason."""

    columns: tuple[Column, ...]
    target: Target
    dropped: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the columns of the matrix, in order."""
        return tuple(name for column in self.columns for name in column.encoded)

    def encode(self, table: Table) -> Encoded:
        """The features of a table, found by name; other columns are ignored.

        A category that training never saw goes to `(other)` where there is that level, and else becomes
        the average training row of its column; so does a missing cell that training never had.

        Raises
        ------
        InputError
            A column is missing, or a cell is not of the kind that its column was in training.
        """
        from newtron.table.encode import encode_features

        return encode_features(self, table)

    def encode_target(self, table: Table) -> tuple[NDArray[np.float64] | NDArray[np.int64], NDArray[np.bool_]]:
        """`(y, kept)`: the target of the rows that have one, and the mask over all rows that says which.

        `y` has one value for each True in `kept`: numbers for regression, positions in `target.classes`
        for classification.
        """
        from newtron.table.encode import encode_target

        return encode_target(self.target, table)

    def to_json(self) -> dict[str, Any]:
        """The schema in plain JSON types; `from_json` gives back an equal schema."""
        from newtron.table.schema_json import schema_to_json

        return schema_to_json(self)

    @staticmethod
    def from_json(value: Any) -> Schema:
        """The schema from `to_json`; an InputError names the field if anything is not as it must be."""
        from newtron.table.schema_json import schema_from_json

        return schema_from_json(value)
