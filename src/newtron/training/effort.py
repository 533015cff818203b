"""How much is spent on a network: what `effort` says of members, starts, folds and epochs, in one place."""

from __future__ import annotations

from dataclasses import dataclass

from newtron.engine.base.checks import check_choice


@dataclass(frozen=True)
class Effort:
    """What a level of effort buys.

    starts: of each shape that is taken to an optimum. members: of a kind that is trained in batches. epochs: passes
    over the rows of such a member at most, and row_visits: rows times passes at most, but at least `LEAST_EPOCHS`
    passes. penalties: how many are tried for a kind that is trained in batches.
    """

    starts: int
    members: int
    epochs: int
    row_visits: float
    penalties: int


LEAST_EPOCHS = 5
# On inner parts of letter 60 epochs gain nothing over 30 (log loss .0819, .0818), on power half a percent (3.03, 3.05).
EFFORTS = {
    "fast": Effort(1, 3, 12, 3e5, 1),
    "default": Effort(2, 5, 30, 1e6, 3),
    "best": Effort(5, 10, 60, 4e6, 5),
}


def effort_named(name: str) -> Effort:
    """The effort of this name. Raises InputError for another."""
    return EFFORTS[check_choice("effort", name, EFFORTS)]
