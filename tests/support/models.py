"""Fitted estimators as tests need them: read from a file with its schema and report, or changed by hand."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

from newtron.estimators.stored import estimator_of
from newtron.model_file import read_model, write_model
from newtron.table import Schema


@dataclass(frozen=True)
class Bundle:
    """What a model file holds, with its model as an estimator."""

    estimator: Any
    schema: Schema | None
    report: dict[str, Any] | None


def load_bundle(path: str | os.PathLike[str]) -> Bundle:
    """The estimator of a model file, with the schema and the report that were saved with it."""
    stored = read_model(path)
    return Bundle(estimator_of(stored.model), stored.model.data.schema, stored.report)


def save(
    estimator: Any, path: str | os.PathLike[str], *, schema: Schema | None = None, report: dict[str, Any] | None = None
) -> None:
    """Save a fitted estimator; with a schema and a report, where they are given, as the command line does."""
    if schema is None and report is None:
        estimator.save(path)
        return
    model = estimator.model_
    write_model(replace(model, data=replace(model.data, schema=schema or model.data.schema)), path, report=report)


def change(estimator: Any, **fields: Any) -> None:
    """Replace fields of the fitted model, which is frozen."""
    estimator.model_ = replace(estimator.model_, **fields)


def change_member(estimator: Any, place: int, **fields: Any) -> None:
    """Replace fields of one member of the fitted model."""
    members = list(estimator.model_.members)
    members[place] = replace(members[place], **fields)
    change(estimator, members=tuple(members))
