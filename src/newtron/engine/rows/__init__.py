"""Where rows are stored. An evaluation is a sum over rows; only this package knows how it is computed."""

from newtron.engine.rows.arrays import ArrayRows
from newtron.engine.rows.rows import Chunk, Rows, stratified_sample

__all__ = ["ArrayRows", "Chunk", "Rows", "stratified_sample"]
