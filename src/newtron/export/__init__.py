"""A fitted model in other languages, for systems that have no newtron: ONNX, C, SQL and plain NumPy.

`walk` makes a `Program` of a model, a list of small steps; one writer for each language writes it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from newtron.engine.base.errors import InputError
from newtron.engine.base.whole_files import check_writable, write_whole
from newtron.engine.base.words import count, listed, setting
from newtron.export.text import Identifiers
from newtron.export.walk import program_of
from newtron.export.write_c import c_source
from newtron.export.write_numpy import numpy_source
from newtron.export.write_onnx import onnx_model
from newtron.export.write_sql import sql_query
from newtron.model.groups import column_called
from newtron.training.fitted import FittedModel

__all__ = ["export_model"]

_ENDINGS = {".onnx": "ONNX", ".c": "C", ".sql": "SQL", ".py": "Python"}


def export_model(
    model: FittedModel,
    path: str | os.PathLike[str],
    *,
    interval: float | None = None,
    table: str | None = None,
    keep: Sequence[str] | None = None,
) -> None:
    """Write a model to a file of the language that the ending of its name tells: .onnx, .c, .sql or .py.

    An older file of that name stays until the new one is complete. `NewtronEstimator.export` says what the settings
    mean.

    Raises
    ------
    InputError
        The ending is none of these, a setting is not one of this language, the model cannot be written in it, or the
        file cannot be written.
    """
    ending = Path(path).suffix.lower()
    if ending not in _ENDINGS:
        raise InputError(
            f"{os.fspath(path)}: the ending says what is written: .onnx for ONNX, .c for C, .sql for SQL or .py for "
            "Python with NumPy; give a name with one of these."
        )
    for name, given in (("table", table), ("keep", keep)):
        if given is not None and ending != ".sql":
            raise InputError(f"{setting(name)} is for SQL, and {os.fspath(path)} is {_ENDINGS[ending]}; leave it out.")
    check_writable(path)
    data = _written(model, Path(path).stem, ending, interval, table or "data", keep)
    write_whole(path, lambda file: file.write(data))


def _written(
    model: FittedModel, stem: str, ending: str, interval: float | None, table: str, keep: Sequence[str] | None
) -> bytes:
    program = program_of(model, interval)
    if program.words and ending in (".onnx", ".sql"):
        own = model.random_intercepts
        named = listed([column_called(model, group) for group in own.groups] if own is not None else [])
        fit = (
            f"random intercepts of {named} alone (the setting {setting('intercepts')})"
            if named
            else setting("intercepts", "None")
        )
        raise InputError(
            f"The model remembers {count(len(program.words[-1].values), 'row')} of training by hashes of the bits of "
            f"their numbers, which {_ENDINGS[ending]} cannot compute: export it as .py or .c, or fit it again with "
            f"{fit}, which remembers no row."
        )
    try:
        if ending == ".onnx":
            return onnx_model(program)
        if ending == ".c":
            return c_source(program, Identifiers().new(stem, "model")).encode("utf-8")
        if ending == ".sql":
            return sql_query(program, table, keep).encode("utf-8")
        return numpy_source(program, stem).encode("utf-8")
    except UnicodeEncodeError:
        raise InputError("a name in the model is no Unicode text; rename the column or class and fit again.") from None
