"""The relevance of each column to a network's prediction, and its penalty, for `newtron show` and the report."""

from __future__ import annotations

import numpy as np

from newtron.engine.base.types import Array
from newtron.engine.base.words import count, percent
from newtron.inference.penalties.by_column import SWITCHED_OFF, factors_of_inputs
from newtron.training.fitted import FittedModel

_PENALTIES = (
    "The penalty says by how many times the common one the weights of the networks from a column are penalised: the "
    "more, the less the column says."
)
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
    rows, header = [[names[j], percent(float(shares[j]))] for j in order[:_SHOWN]], ["column", "relevance"]
    left, after = len(order) - len(rows), [EXPLANATION]
    factors = penalty_factors(model)
    if factors is not None:
        header.append("penalty")
        rows = [[*row, f"x {factors[j]:.2g}"] for row, j in zip(rows, order, strict=False)]
        after.append(_penalties_in_words(factors[order]))
    if left:
        after.append(f"… and {count(left, 'more column')}, which 'newtron show --json' lists.")
    return header, rows, after


def _penalties_in_words(factors: Array) -> str:
    """How many columns the penalties leave."""
    off = int((factors >= SWITCHED_OFF).sum())
    told = f"{len(factors) - off:,} of {count(len(factors), 'column')} get less than {SWITCHED_OFF:g} times the penalty"
    return f"{_PENALTIES} {told}{'; the others are all but switched off' if off else ''}."


def penalty_factors(model: FittedModel) -> Array | None:
    """(columns of X,) by how many times the common penalty the weights from each column are penalised, the geometric
    mean over the networks of the average by their shares; nan for columns that are no inputs, and None where all
    weights have the same penalty."""
    networks = [member for member in model.sharing if member.hidden]
    p = len(model.scaling.x_center)
    logs = [np.log(factors_of_inputs(member.network, member.alpha)[:p]) for member in networks]
    if not any(found.any() for found in logs):
        return None
    found = np.exp(np.average(logs, axis=0, weights=[member.share for member in networks]))
    return model.scaling.over_columns(found, np.nan)


def relevance_facts(model: FittedModel, names: list[str]) -> dict[str, float] | None:
    """By the names of the columns, for --json."""
    shares = model.relevance
    if shares is None or not np.isfinite(shares).all():
        return None
    return dict(zip(names, shares.tolist(), strict=True))


def penalty_facts(model: FittedModel, names: list[str]) -> dict[str, float] | None:
    """By how many times the common penalty each column is penalised, by the names of the columns, for --json."""
    factors = penalty_factors(model)
    if factors is None:
        return None
    return {name: float(factor) for name, factor in zip(names, factors, strict=True) if np.isfinite(factor)}
