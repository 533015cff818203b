"""Decide whether a data file is read into memory at once or in pieces."""

from __future__ import annotations

import os
from collections.abc import Collection

from newtron.engine.base.errors import InputError
from newtron.engine.base.words import setting
from newtron.table.data_file import DataFile, TooLargeError, text_limit
from newtron.table.large.files import TableFiles, is_streamable, is_text_file
from newtron.table.read import read_table
from newtron.table.table import Keep, Table


def table_in_memory(
    source: DataFile,
    encoding: str,
    memory: int,
    keep: Keep | None = None,
    letters: Collection[str] = (),
    sheet: str | None = None,
) -> Table | None:
    """The table in memory, or None where it must be read in pieces: a folder, a pattern of names, or a file whose cells
    take more bytes than `memory`. Some files show how much they hold only when they are unpacked.
    keep, letters, sheet: as in `read_table`.

    Raises InputError where the file cannot be read, or is larger than the memory and of a kind that is not read in
    pieces."""
    text = is_text_file(source)
    in_pieces = text or is_streamable(source)
    limit = text_limit(source, memory) if text else memory
    if in_pieces and _is_large(source, limit):
        return None
    try:
        return read_table(source, encoding=encoding, limit=limit, keep=keep, letters=letters, sheet=sheet)
    except TooLargeError:
        if in_pieces:
            return None
        raise InputError(
            f"{source.name}: its content takes more than the memory, and only UTF-8 text, Parquet and Arrow files are "
            f"read in pieces; give more {setting('memory')}, or convert it."
        ) from None


def _is_large(source: DataFile, limit: float) -> bool:
    if not os.path.isfile(source.path):
        return True
    if not is_streamable(source):
        return os.path.getsize(source.path) > limit
    try:
        return TableFiles(source.path, int(limit)).cells_size > limit
    except InputError:
        return False  # reading it says what is wrong
