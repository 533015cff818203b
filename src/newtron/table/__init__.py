"""Columns of a file <-> numbers: read a table, learn what its columns mean, turn rows into a matrix.

`read_table` reads CSV, Parquet and Arrow files. `learn_schema` looks at the training table once and
writes down how every column becomes numbers: the `Schema`, by which `encode` turns any later table into numbers alike.
"""

from newtron.table.encode import encode, encode_target
from newtron.table.learn import learn_schema
from newtron.table.read import read_table
from newtron.table.schema import Column, Encoded, Schema, Target
from newtron.table.table import Table

__all__ = ["Column", "Encoded", "Schema", "Table", "Target", "encode", "encode_target", "learn_schema", "read_table"]
