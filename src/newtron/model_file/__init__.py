"""Trained models on the disk: one file that any newtron of this version or a newer one opens.

The file is a zip archive of a JSON text and plain NumPy arrays. Opening it executes nothing and believes
nothing: every name, field, size and number is checked, and memory is taken only for what the file really
holds.
"""

from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from newtron.engine.base.codec import from_json, to_json
from newtron.engine.base.errors import InputError
from newtron.engine.base.strict_json import DAMAGED, parse_json, wrong
from newtron.engine.base.whole_files import check_writable, write_whole
from newtron.model_file.archive import LARGEST_FILE, LARGEST_MANIFEST, MANIFEST, Archive, open_file, pack
from newtron.model_file.manifest import array_names, check_format, from_manifest, to_manifest
from newtron.model_file.separation import separation_to_json
from newtron.model_file.settings import settings_to_json
from newtron.model_file.whole import check_predictions
from newtron.table.schema import Schema

if TYPE_CHECKING:
    from newtron.estimators.base import NewtronEstimator

__all__ = [
    "Bundle",
    "check_writable",
    "load",
    "load_bundle",
    "save",
    "separation_to_json",
    "settings_to_json",
    "write_whole",
]


@dataclass(frozen=True)
class Bundle:
    """A model with what the command line needs: the meaning of the columns of a file, and the report of the
    fit. Both are None for a model that was saved from Python without them. version: the newtron that saved
    it."""

    estimator: Any
    schema: Schema | None = None
    report: dict[str, Any] | None = None
    version: str = ""


def save(
    estimator: NewtronEstimator,
    path: str | os.PathLike[str],
    *,
    schema: Schema | None = None,
    report: dict[str, Any] | None = None,
) -> None:
    """Write a fitted estimator to a file that `load` opens.

    The same estimator gives the same bytes. Everything comes back but three things: `callback`; a
    `random_state` that is neither a whole number nor None, which comes back as None; and how many seconds
    training took. schema: the meaning of a file's columns, for `newtron predict`. report: facts about the
    fit, in JSON types.

    An older file of that name stays until the new one is complete and on the disk.

    Raises
    ------
    InputError
        The estimator is not fitted, its parameters are not finite, a setting or the classes are of a type
        that has no place in the file, or the file cannot be written.
    """
    manifest, arrays = to_manifest(estimator)
    manifest["schema"] = None if schema is None else to_json(schema)
    manifest["report"] = report
    try:
        text = json.dumps(manifest, ensure_ascii=False, allow_nan=False, indent=1).encode("utf-8")
    except (TypeError, ValueError):
        raise InputError(
            "the report or a name in the model cannot be written as JSON in UTF-8; use text, finite "
            "numbers, lists and dicts."
        ) from None
    data = pack(text, arrays)
    if len(text) > LARGEST_MANIFEST or len(data) > LARGEST_FILE:
        raise InputError(f"the model takes {len(data):,} bytes, more than a model file can have; fit a smaller one.")
    try:
        _read(io.BytesIO(data))  # what could not be opened again must not take the place of an older file
    except InputError as error:
        raise InputError(f"the model cannot be saved, because its file could not be opened again: {error}") from None
    write_whole(path, lambda file: file.write(data))


def load(path: str | os.PathLike[str]) -> Any:
    """The estimator that was saved, fitted: it predicts the same numbers to the last bit.

    Raises
    ------
    InputError
        The file is not a newtron model, is damaged, or needs a newer newtron; the message says which field.
    """
    return load_bundle(path).estimator


def load_bundle(path: str | os.PathLike[str]) -> Bundle:
    """The estimator as `load` returns it, with the schema and the report that were saved beside it."""
    name = os.fspath(path)
    name = os.fsdecode(name) if isinstance(name, bytes) else name
    try:
        with open_file(name) as file:
            return _read(file)
    except InputError as error:
        raise InputError(f"{name if name.isprintable() else repr(name)}: {error}") from None


def _read(file: BinaryIO) -> Bundle:
    archive = Archive(file)
    manifest: Any = parse_json(archive.manifest())
    check_format(manifest)
    archive.expect((MANIFEST, *array_names(manifest)))
    estimator = from_manifest(manifest, archive.vector, archive.capacity)
    report = manifest["report"]
    if report is not None and not isinstance(report, dict):
        raise wrong("report", "an object or null", report)
    schema = None if manifest["schema"] is None else from_json(manifest["schema"], Schema, "schema")
    if schema is not None:
        _check_schema(schema, estimator)
    check_predictions(estimator)
    return Bundle(estimator, schema, report, manifest["newtron"])


def _check_schema(schema: Schema, estimator: Any) -> None:
    """The columns of the file must become the features of the estimator, and its target the same classes."""
    classes = estimator.classes_.tolist() if hasattr(estimator, "classes_") else []
    fits = (
        len(schema.feature_names) == estimator.n_features_in_
        and schema.target.task == estimator._task
        and list(schema.target.classes) == classes
    )
    if not fits:
        raise InputError(f"schema does not fit the model's features and classes; {DAMAGED}.")
