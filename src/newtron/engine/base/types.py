"""The types that signatures of all rooms name, and the reasons for those that a checker cannot see into.

`Any` stands for objects of packages that have no types, under one of these names and nowhere else. A value that comes
from outside and is checked before it is used is an `object`.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.floating]
# An array of anything: class labels, say.
Labels: TypeAlias = NDArray[np.generic]
# One class of a classification, or one level of a category.
ClassLabel: TypeAlias = str | bool | int | float
# Rows (n, p) as an array or as one of SciPy's sparse classes, which have no types; or what a user gives for them.
Matrix: TypeAlias = Any
# What JSON can say: an object of these has text as keys. It is built here, and read by `engine.base.codec` alone.
Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
