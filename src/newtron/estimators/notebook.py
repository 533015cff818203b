"""What a notebook shows below scikit-learn's own picture of a fitted estimator: certificate and coefficients."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from newtron.engine.base.words import in_html, unsaid

if TYPE_CHECKING:
    from newtron.estimators.base import NewtronEstimator

# A table of more coefficients is for `summary()`.
_MOST_TERMS = 60


def account(estimator: NewtronEstimator) -> str:
    """One HTML element, all text escaped; "" for an estimator that is not fitted, or of which nothing can be said.

    It never raises: an estimator must be shown whatever state it is in, one changed by hand included.
    """
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            if "members_" not in vars(estimator):
                return ""
            sentences = estimator.certificate_.sentences()
            told = "".join(f"<p>{in_html(sentence)}</p>" for sentence in sentences)
            return f'<div class="newtron-account">{told}{_coefficients(estimator, sentences)}</div>'
    except Exception:
        return ""


def _coefficients(estimator: NewtronEstimator, said: list[str]) -> str:
    """A perceptron's summary, where it has one, without the sentences that stand above it already."""
    summary = getattr(estimator, "summary", None)
    if summary is None or estimator.members_[0].network.n_params > _MOST_TERMS:
        return ""
    try:
        found = summary()
        return str(replace(found, trouble=" ".join(unsaid([found.trouble], said)))._repr_html_())
    except ValueError:  # a fit whose coefficients have no standard errors says why when it is asked
        return ""
