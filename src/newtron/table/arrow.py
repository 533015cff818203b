"""pyarrow ships without types, and mypy sees `Any` wherever one of its objects is: these names say which one it is."""

from __future__ import annotations

from typing import Any, TypeAlias

# The one place of this room that says `Any`. It also spares signatures the import of pyarrow, which takes long.
_Untyped: TypeAlias = Any
ArrowTable: TypeAlias = _Untyped  # pyarrow.Table
ArrowBatch: TypeAlias = _Untyped  # pyarrow.RecordBatch
ArrowSchema: TypeAlias = _Untyped  # pyarrow.Schema, which names the columns of a table and their types
ArrowColumn: TypeAlias = _Untyped  # pyarrow.ChunkedArray: one column, in one piece of memory or more
ArrowArray: TypeAlias = _Untyped  # pyarrow.Array: cells in one piece of memory
ArrowScalar: TypeAlias = _Untyped  # pyarrow.Scalar: one cell
ArrowType: TypeAlias = _Untyped  # pyarrow.DataType
ArrowWriter: TypeAlias = _Untyped  # pyarrow.RecordBatchFileWriter
ArrowFile: TypeAlias = _Untyped  # pyarrow.NativeFile, or pyarrow.parquet.ParquetFile
