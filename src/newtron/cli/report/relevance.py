"""How much each column moves a network's prediction, as `newtron show` and the report tell it."""

from __future__ import annotations

from typing import Any

import numpy as np

from newtron.engine.base.words import count, percent

_SHOWN = 30
EXPLANATION = (
    "How much each column moves the prediction: the mean square of its derivative by the column, for a move of one "
    "standard deviation, over the rows of training; as a share of all columns. Columns that say the same share what "
    "they are worth."
)


def relevance_table(estimator: Any, names: list[str]) -> tuple[list[str], list[list[str]], list[str]] | None:
    """Header, a row for each column from the most to the least, and sentences; None where it is not known."""
    shares = getattr(estimator, "relevance_", None)
    if shares is None or not np.isfinite(shares).all():
        return None
    order = np.argsort(-shares, kind="stable")
    rows = [[names[j], percent(float(shares[j]))] for j in order[:_SHOWN]]
    left = len(order) - len(rows)
    more = [f"… and {count(left, 'more column')}, which 'newtron show --json' lists."] if left else []
    return ["column", "relevance"], rows, [EXPLANATION, *more]


def relevance_facts(estimator: Any, names: list[str]) -> dict[str, float] | None:
    """By the names of the columns, for --json."""
    shares = getattr(estimator, "relevance_", None)
    if shares is None or not np.isfinite(shares).all():
        return None
    return dict(zip(names, shares.tolist(), strict=True))
