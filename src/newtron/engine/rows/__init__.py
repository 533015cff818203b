"""Where the rows live. An evaluation is a sum over rows; only this package knows who adds."""

from newtron.engine.rows.arrays import ArrayRows
from newtron.engine.rows.rows import Chunk, Rows, drawn

__all__ = ["ArrayRows", "Chunk", "Rows", "drawn"]
