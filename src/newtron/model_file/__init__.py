"""Fitted models on the disk: one file that this newtron and every newer one opens.

The file is a zip archive of a JSON text and plain NumPy arrays, written and read by the codec from the types of
`FittedModel`. Opening it executes nothing: every name, field, size and number is checked, and memory is taken only for
what the file really holds.
"""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import BinaryIO, cast

import numpy as np

from newtron.engine.base.codec import Codec, NoNumbers
from newtron.engine.base.errors import InputError
from newtron.engine.base.strict_json import an_object, parse_json, wrong
from newtron.engine.base.types import Json
from newtron.engine.base.version import __version__
from newtron.engine.base.whole_files import check_writable, write_whole
from newtron.engine.solvers import SOLVERS, Solver
from newtron.inference.certificate.endpoint import Endpoint
from newtron.model_file.archive import (
    LARGEST_FILE,
    LARGEST_MANIFEST,
    MANIFEST,
    Archive,
    ArchiveNumbers,
    open_file,
    pack,
)
from newtron.model_file.checks import MOST_MEMBERS, check_model
from newtron.training.fitted import FittedModel, Member
from newtron.training.settings import Settings

__all__ = ["StoredModel", "check_writable", "read_model", "settings_to_json", "write_model", "write_whole"]

FORMAT, VERSION = "newtron-model", 1
_FIELDS = ("format", "version", "newtron", "model", "report")
# An Endpoint is never stored: its Curvature takes its place.
CODEC = Codec({Solver: SOLVERS, Endpoint: {}})


@dataclass(frozen=True)
class StoredModel:
    """A model as its file holds it. report: facts about the fit, in JSON types, or None. version: the newtron that
    saved it."""

    model: FittedModel
    report: dict[str, object] | None
    version: str


def write_model(
    model: FittedModel, path: str | os.PathLike[str], *, report: Mapping[str, object] | None = None
) -> None:
    """Write a fitted model to a file that `read_model` opens.

    The same model gives the same bytes. Everything comes back but how many seconds training took, which says nothing
    about the model. report: facts about the fit, in JSON types. An older file of that name stays until the new one is
    complete and on the disk.

    Raises
    ------
    InputError
        Parameters are not finite, a setting or the classes are of a type that has no place in the file, or the file
        cannot be written.
    """
    _check_finite(model)
    numbers = ArchiveNumbers()
    kept = replace(model, members=tuple(map(_as_stored, model.members)))
    manifest: dict[str, object] = {
        "format": FORMAT,
        "version": VERSION,
        "newtron": __version__,
        "model": CODEC.write(kept, FittedModel, numbers),
        "report": report,
    }
    try:
        text = json.dumps(manifest, ensure_ascii=False, allow_nan=False, indent=1).encode("utf-8")
    except (TypeError, ValueError):
        raise InputError(
            "the report or a name in the model cannot be written as JSON in UTF-8; use text, finite "
            "numbers, lists and dicts."
        ) from None
    data = pack(text, numbers.arrays)
    if len(text) > LARGEST_MANIFEST or len(data) > LARGEST_FILE:
        raise InputError(f"the model takes {len(data):,} bytes, more than a model file can have; fit a smaller one.")
    try:
        _read(io.BytesIO(data))  # a file that cannot be opened must not replace an older one
    except InputError as error:
        raise InputError(f"the model cannot be saved, because its file could not be opened again: {error}") from None
    write_whole(path, lambda file: file.write(data))


def settings_to_json(settings: Settings) -> dict[str, Json]:
    """All settings as a model file holds them."""
    return cast("dict[str, Json]", CODEC.write(settings, Settings, NoNumbers(), "settings"))


def _check_finite(model: FittedModel) -> None:
    scaling = model.scaling
    if not all(np.isfinite(array).all() for array in (*vars(scaling).values(),) if isinstance(array, np.ndarray)):
        raise InputError(
            "the model is not saved, because the means or spreads of its columns are not finite: the data hold "
            "numbers that are too large to be squared; divide them by a constant and fit again."
        )
    for number, member in enumerate(model.members):
        if not np.isfinite(member.params).all():
            raise InputError(
                f"the model has parameters that are not finite (member {number + 1}), so it predicts "
                "nothing and is not saved; fit it with a penalty, standardize=True or another solver."
            )


def _as_stored(member: Member) -> Member:
    """The member as it is stored: with the curvature in place of the measured endpoint, and without times, so that the
    same fit gives the same file."""
    solution = member.solution
    trace = tuple(replace(row, seconds=math.nan) for row in solution.trace)
    return replace(member, end=member.curvature, solution=replace(solution, trace=trace, seconds=math.nan))


def read_model(path: str | os.PathLike[str]) -> StoredModel:
    """The model that was written: it predicts the same numbers to the last bit.

    Raises
    ------
    InputError
        The file is not a newtron model, is damaged, or needs a newer newtron; the message says which field.
    """
    name = os.fspath(path)
    name = os.fsdecode(name) if isinstance(name, bytes) else name
    try:
        with open_file(name) as file:
            return _read(file)
    except InputError as error:
        raise InputError(f"{name if name.isprintable() else repr(name)}: {error}") from None


def _read(file: BinaryIO) -> StoredModel:
    archive = Archive(file)
    manifest = _checked_manifest(parse_json(archive.manifest()))
    _check_count(manifest["model"])
    numbers = ArchiveNumbers(archive)
    model = CODEC.read(manifest["model"], FittedModel, numbers)
    archive.expect((MANIFEST, *numbers.arrays))
    check_model(model)
    report, version = manifest["report"], manifest["newtron"]
    if report is not None and not isinstance(report, dict):
        raise wrong("report", "an object or null", report)
    if not isinstance(version, str):
        raise wrong("newtron", "text", version)
    return StoredModel(model, report, version)


def _check_count(model: object) -> None:
    """Raise InputError for too many members before any of them is read."""
    members = model.get("members") if isinstance(model, dict) else None
    if isinstance(members, list) and len(members) > MOST_MEMBERS:
        raise wrong("members", f"a list of at most {MOST_MEMBERS:,}", len(members))


def _checked_manifest(manifest: object) -> dict[str, object]:
    """The manifest. Raises InputError if it has another format, a newer version, or other fields."""
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise wrong("format", repr(FORMAT), manifest.get("format") if isinstance(manifest, dict) else manifest)
    version = manifest.get("version")
    if type(version) is not int or version < 1:
        raise wrong("version", "a whole number, 1 or more", version)
    if version > VERSION:
        raise InputError(
            f"the model was written by a newer newtron (format version {version}, and this one reads up to "
            f"{VERSION}); upgrade newtron to open it."
        )
    return an_object(manifest, "", _FIELDS)
