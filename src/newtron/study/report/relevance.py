"""The relevance of each column to a network's prediction, for `newtron show` and the report."""

from __future__ import annotations

import numpy as np

from newtron.engine.base.words import count, percent
from newtron.training.fitted import FittedModel

_SHOWN = 30  # columns that are listed
EXPLANATION = (
    "The relevance of a column says how much it moves the prediction. It is the mean, over the training rows, of the "
    "squared derivative of the prediction by the column, per standard deviation of the column, as a share of the sum "
    "over all columns. Columns that carry the same information share their relevance."
)


def relevance_table(model: FittedModel, names: list[str]) -> tuple[list[str], list[list[str]], list[str]] | None:
    """Header, a row for each column from the most to the least, and sentences; None where it is not known."""
    shares = model.relevance
    if shares is None or not np.isfinite(shares).all():
        return None
    order = np.array([j for j in np.argsort(-shares, kind="stable").tolist() if j not in model.scaling.aside])
    rows = [[names[j], percent(float(shares[j]))] for j in order[:_SHOWN]]
    left = len(order) - len(rows)
    more = [f"… and {count(left, 'more column')}, which 'newtron show --json' lists."] if left else []
    return ["column", "relevance"], rows, [EXPLANATION, *more]


def relevance_facts(model: FittedModel, names: list[str]) -> dict[str, float] | None:
    """By the names of the columns, for --json."""
    shares = model.relevance
    if shares is None or not np.isfinite(shares).all():
        return None
    return dict(zip(names, shares.tolist(), strict=True))
