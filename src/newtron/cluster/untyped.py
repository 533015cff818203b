"""Names for what a checker of types cannot see into, in the room of clusters."""

from __future__ import annotations

from typing import Any, TypeAlias

# The one place of this room that says `Any`.
_Untyped: TypeAlias = Any
# Dask has types in parts only: a module, a client, a future, a delayed object, a data frame or an array of it.
DaskObject: TypeAlias = _Untyped
# What a sum over rows comes to: None, or anything with `+=`. Which type it is only the function knows that is summed.
Total: TypeAlias = _Untyped
# Parts of rows as an engine placed them. Only that engine knows what they are.
Parts: TypeAlias = _Untyped
