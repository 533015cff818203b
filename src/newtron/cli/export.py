"""`newtron export`: a model in another language."""

from __future__ import annotations

import os

from newtron.engine.base.errors import InputError
from newtron.export import export_model
from newtron.model_file import read_model


def run_export(model: str, file: str, interval: float | None, table: str | None, keep: list[str] | None) -> int:
    """Run `newtron export` and return its exit code. The arguments are those of `export_model`."""
    if os.path.isfile(file) and os.path.exists(model) and os.path.samefile(file, model):
        raise InputError(f"{file}: this is {model} itself; give another name.")
    export_model(read_model(model).model, file, interval=interval, table=table, keep=keep)
    return 0
