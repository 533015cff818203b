"""Where the rows live. An evaluation is a sum over rows; only this package knows who adds."""

from newtron.rows.arrays import ArrayRows
from newtron.rows.base import Chunk, Rows, drawn

__all__ = ["ArrayRows", "Chunk", "Rows", "drawn"]
