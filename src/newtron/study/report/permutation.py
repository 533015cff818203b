"""Permutation importance of columns: by how much a model's loss on held-out rows grows when a column is shuffled.

The permutation importance of Breiman, "Random Forests", Machine Learning 45 (2001), section 10, with an interval over
the rows. It asks the fitted model, whatever its shape, in the units of its loss; it is not about cause, and of columns
with the same information each can replace the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from newtron.engine.base.words import in_html, number
from newtron.model.columns_changed import ColumnsChanged
from newtron.model.predicting import predicted
from newtron.study.sample import Sample
from newtron.study.scores import QUANTITY, Scoring, kind_of, mean_and_error
from newtron.table.schema import Schema
from newtron.training.fitted import FittedModel

# Shuffles of each column, rows that are used at most, and columns that are listed.
_SHUFFLES, _ROWS, _SHOWN = 10, 2000, 40
# The 95 % interval of a mean over many rows is this many standard errors to both sides.
_SPREAD = 1.96
_WIDTH, _HEIGHT = 240, 16  # of a drawn interval, in units of the SVG
# With this many decimals or more, numbers are written as powers of ten.
_TINY = 9


@dataclass(frozen=True)
class Importance:
    """The mean growth of a row's loss when one column is shuffled, and the ends of its 95 % interval."""

    name: str
    growth: float
    low: float
    high: float


def importances(
    model: FittedModel,
    schema: Schema,
    held_out: Sample,
    progress: Callable[[int, int], None] | None = None,
) -> list[Importance]:
    """The greatest first. held_out: rows encoded by the schema. All columns of the matrix that come from one column of
    the file are shuffled together. progress: called with the columns done and the number of all."""
    rng = np.random.default_rng(0)
    n = len(held_out)
    kept = np.arange(n) if n <= _ROWS else rng.choice(n, _ROWS, replace=False)
    rows, scoring = held_out.take(kept), Scoring(kind_of(model))
    # A row whose columns are shuffled is none that was seen before, and is compared with none.
    before = scoring.losses(predicted(replace(model, seen_rows=None), rows.X), rows.y)
    changed, again = ColumnsChanged(model, rows.X), np.tile(rows.y, _SHUFFLES)
    found, start = [], 0
    for done, column in enumerate(schema.columns, start=1):
        own = slice(start, start + len(column.encoded))
        start = own.stop
        orders = np.stack([rng.permutation(len(rows)) for _ in range(_SHUFFLES)])
        losses = scoring.losses(changed.predicted(own, orders), again)
        mean, error = mean_and_error(losses.reshape(_SHUFFLES, -1).mean(axis=0) - before, rows.weight)
        found.append(Importance(column.name, mean, mean - _SPREAD * error, mean + _SPREAD * error))
        if progress is not None:
            progress(done, len(schema.columns))
    return sorted(found, key=lambda one: -one.growth)


def importance_table(found: list[Importance], kind: str) -> str:
    """HTML: a line for each column, its growth, its interval in numbers and drawn."""
    found = [one for one in found if np.isfinite([one.low, one.high]).all()]
    if not found:
        return ""
    more = len(found) - _SHOWN
    shown = found[:_SHOWN]
    low, high = min(0.0, *(one.low for one in shown)), max(one.high for one in shown)
    head = "".join(f"<th>{name}</th>" for name in ("column", "grows by", "95 % from", "to"))
    # As many decimals for all as show four digits of the largest, so that sizes can be compared at a glance.
    largest = max(abs(low), abs(high))
    decimals = int(np.clip(3 - np.floor(np.log10(largest)), 0, _TINY)) if largest > 0.0 else 0
    lines = "".join(_line(one, low, max(high, low + 1e-300), decimals) for one in shown)
    return (
        f"<p>The table says by how much the {QUANTITY[kind]} of a held-out row grows when the values of a column are "
        "shuffled among the rows. Where two columns carry the same information, each can replace the other, and both "
        "seem to matter little.</p>"
        '<div class="scroll" tabindex="0" role="group" aria-label="Which columns matter"><table>'
        f"<thead><tr>{head}<td></td></tr></thead><tbody>{lines}</tbody></table></div>"
        + (f"<p>… and {more:,} more, which matter less.</p>" if more > 0 else "")
    )


def _line(one: Importance, low: float, high: float, decimals: int) -> str:
    def at(value: float) -> str:
        return f"{4 + (_WIDTH - 8) * (value - low) / (high - low):.1f}"

    middle = _HEIGHT / 2
    drawn = (
        f'<svg class="interval" viewBox="0 0 {_WIDTH} {_HEIGHT}" aria-hidden="true">'
        f'<path class=g d="M{at(0.0)} 0V{_HEIGHT}"/><path class="l c0" d="M{at(one.low)} {middle}H{at(one.high)}"/>'
        f'<path class="p c0" d="M{at(one.growth)} {middle}h0"/></svg>'
    )
    shown = (number(v) if decimals == _TINY else f"{v:z,.{decimals}f}" for v in (one.growth, one.low, one.high))
    cells = [one.name, *shown]
    return f"<tr>{''.join(f'<td>{in_html(cell)}</td>' for cell in cells)}<td>{drawn}</td></tr>"
