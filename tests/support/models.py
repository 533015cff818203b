"""Fitted estimators changed by hand, as tests need them: the fitted model is frozen, so it is replaced."""

from __future__ import annotations

from dataclasses import replace
from typing import Any


def change(estimator: Any, **fields: Any) -> None:
    """Replace fields of the fitted model."""
    estimator.model_ = replace(estimator.model_, **fields)


def change_member(estimator: Any, place: int, **fields: Any) -> None:
    """Replace fields of one member of the fitted model."""
    members = list(estimator.model_.members)
    members[place] = replace(members[place], **fields)
    change(estimator, members=tuple(members))
