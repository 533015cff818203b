"""Rows in memory as the models of `newtron fit` take them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.types import Array

# Numbers in a regression, positions in the classes in a classification: only the task tells which type it is.
TargetValues: TypeAlias = NDArray[Any]
T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Sample:
    """X (n, p) as a schema encodes the rows, and their targets y (n,).

    weight: (n,) how much each row counts; None where all count alike. group: (n,) the number of the group of rows that
    each belongs to; None where rows are independent. exposure: (n,) the exposure of counts; None where there is none.
    """

    X: Array
    y: TargetValues
    weight: Array | None = None
    group: NDArray[np.int64] | None = None
    exposure: Array | None = None

    def __len__(self) -> int:
        return len(self.y)

    @staticmethod
    def joined(samples: Sequence[Sample]) -> Sample:
        """The rows of several samples without their X, which different schemas may have encoded."""
        y = np.concatenate([sample.y for sample in samples])
        weight, group = _together([s.weight for s in samples]), _together([s.group for s in samples])
        return Sample(np.empty((len(y), 0)), y, weight, group, _together([s.exposure for s in samples]))

    def take(self, rows: NDArray[np.int64]) -> Sample:
        """The rows at these positions."""
        weight, group = _chosen(self.weight, rows), _chosen(self.group, rows)
        return Sample(self.X[rows], self.y[rows], weight, group, _chosen(self.exposure, rows))


def _together(parts: Sequence[NDArray[T] | None]) -> NDArray[T] | None:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if known else None


def _chosen(part: NDArray[T] | None, rows: NDArray[np.int64]) -> NDArray[T] | None:
    return None if part is None else part[rows]
