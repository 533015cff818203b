"""Rows in memory as the models of `newtron fit` take them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

from numpy.typing import NDArray

from newtron.engine.base.types import Array

# Numbers in a regression, positions in the classes in a classification: only the task tells which type it is.
TargetValues: TypeAlias = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Sample:
    """X (n, p) as a schema encodes the rows, and their targets y (n,)."""

    X: Array
    y: TargetValues

    def __len__(self) -> int:
        return len(self.y)
