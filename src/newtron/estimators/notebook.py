"""What a notebook shows below scikit-learn's own picture of a fitted estimator: certificate and coefficients."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np

from newtron.engine.base.words import in_html, without_repeats
from newtron.model.certified import certificate_of
from newtron.model.summary import summary_of
from newtron.training.fitted import FittedModel

# A table of more coefficients is for `summary()`.
_MOST_TERMS = 60


def described(model: FittedModel | None) -> str:
    """One HTML element, all text escaped; "" where nothing can be said, because nothing was fitted.

    It never raises: an estimator must be shown whatever state it is in, one changed by hand included.
    """
    if model is None:
        return ""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            sentences = certificate_of(model).sentences()
            told = "".join(f"<p>{in_html(sentence)}</p>" for sentence in sentences)
            return f'<div class="newtron-account">{told}{_coefficients(model, sentences)}</div>'
    except Exception:
        return ""


def _coefficients(model: FittedModel, said: list[str]) -> str:
    """A perceptron's summary, where it has one, without the sentences that stand above it already."""
    if not model.is_perceptron or model.members[0].network.n_params > _MOST_TERMS:
        return ""
    try:
        found = summary_of(model)
        return str(replace(found, trouble=" ".join(without_repeats([found.trouble], said)))._repr_html_())
    except ValueError:  # a fit whose coefficients have no standard errors says why when it is asked
        return ""
