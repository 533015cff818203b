"""What a reader of a summary must know beside its numbers, in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.words import count
from newtron.inference.coefficients.covariance import Bread, Scores

if TYPE_CHECKING:
    from newtron.inference.coefficients.summary import Fitted

Array = NDArray[np.floating]

# A condition beyond this leaves fewer than six digits.
_BAD_CONDITION = 1e10
_FIRTH_WALD = (
    "Estimate and standard error say little of a coefficient whose likelihood is lopsided, as under separation{}."
)
_FIRTH_PROFILE = ': intervals="profile", with X and y, gives intervals and tests by the penalised likelihood itself'
_NOT_FOUND = (
    "A bound that is not there was not found: the likelihood never falls so far, or its arithmetic ends before, as "
    "where columns depend on each other."
)
# R's criterion in summary.lm is 1e-30; sums of many rows round more.
_PERFECT = 1e-28
_NO_NOISE = (
    "The fit is perfect but for rounding: there is no noise to be seen, so there are no tests, and the standard errors "
    "and the likelihood are those of rounding."
)
_NO_TESTS = (
    "No tests: the penalty pulls estimates towards zero on purpose, so an estimate over its standard error has no "
    "known distribution under the hypothesis of zero."
)


def perfect_targets(fitted: Fitted, spread: Array) -> NDArray[np.bool_]:
    """(k,) of which target the residual variance, of spread (k, k), is rounding beside the mean square of the
    predictions, as R asks."""
    k = fitted.y_scale.size
    if np.isnan(spread).any():
        return np.zeros(k, dtype=bool)
    information = fitted.information
    # Predictions have the squares of R B, with B in the units of training.
    B, p = fitted.coefficients.copy(), fitted.x_scale.size
    if fitted.intercept:
        B[-1] += fitted.x_center @ B[:p]
    B[:p] *= fitted.x_scale[:, None]
    squares = np.square(information.root @ B).sum(axis=0) / information.weight
    return np.asarray(np.diagonal(spread) * np.square(fitted.y_scale) <= _PERFECT * squares)


def notes_on(
    fitted: Fitted, found: Bread, sums: Scores | None, penalised: bool, aliased: bool, spread: Array | None
) -> Iterator[str]:
    """sums: of the rows, where the formula reads them. spread: covariance of a regression's residuals, or None."""
    if aliased:
        yield (
            "Some columns are combinations of others: a coefficient that can be traded for theirs without any "
            "prediction changing is not estimable, and the one shown is that of one solution among many."
        )
    if found.condition > _BAD_CONDITION:
        digits = max(0, round(15.5 - np.log10(found.condition)))
        yield (
            f"Some columns are nearly combinations of others (condition {found.condition:.0e} in columns of equal "
            f"norm): about {count(digits, 'digit')} of the standard errors can be relied on, if the data are "
            "that precise themselves."
        )
    counted = "" if fitted.information.weight == fitted.information.n_rows else ", each counted by its weight,"
    if spread is not None and np.isnan(spread).any():
        yield f"There are not more rows{counted} than parameters: no variance is left to be estimated."
    elif spread is not None and perfect_targets(fitted, spread).any():
        yield _NO_NOISE
    if spread is None and sums is not None and fitted.information.weight <= found.effective:
        yield (
            f"There are not more rows{counted} than parameters: HC1 and the clustered covariance have no small-sample "
            "factor then."
        )
    if sums is not None and sums.whole:
        yield (
            f"Rows with leverage 1 ({sums.whole:,} of them) are fitted exactly, whatever their target, and add nothing "
            "to the robust covariance."
        )
    if sums is not None and 0 < sums.n_groups <= found.effective:
        yield (
            f"The {count(sums.n_groups, 'group is', 'groups are')} no more than the parameters: clustered errors of so "
            "few groups are usually too small."
        )
    yield from fitted.remarks
    if fitted.firth and fitted.profile is None and fitted.determined:
        yield _FIRTH_WALD.format(_FIRTH_PROFILE if len(fitted.outputs) == 2 else "")
    if fitted.profile is not None and np.isnan(fitted.profile.intervals).any():
        yield _NOT_FOUND
    if penalised:
        yield _NO_TESTS
