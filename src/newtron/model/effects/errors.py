"""Where the errors of effects come from: a perceptron's covariance, as its summary has it, or a network's posterior."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array
from newtron.inference.coefficients.covariance import FROM_THE_ROWS
from newtron.inference.coefficients.summary import IntervalKind, Summary
from newtron.inference.effects.quantity import DeltaMethod, OfCoefficients, OfPosterior
from newtron.inference.predictive.predictive import NoiseModel
from newtron.model.predicting import lacking
from newtron.model.rows_again import GivenRows
from newtron.model.summary import summary_of
from newtron.training.fitted import FittedModel
from newtron.training.predictive import posteriors_of

_BY_POSTERIOR = (
    "posterior: the Gaussian (Laplace) approximation around each network's parameters, with the penalty as a prior"
)
_LAYER_ALONE = (
    "The network is large, so its posterior is that of the output layer alone: the errors are those for hidden units "
    "that are taken as known, and are too small."
)


@dataclass(frozen=True)
class ErrorSource:
    """How the errors of effects are computed, and how that is said.

    delta: None where there are none, and `notes` has the sentence why. kind: the name of the covariance; formula: one
    line on it. degrees_of_freedom: of t; inf for z. tested: whether a test of zero has a meaning.
    """

    delta: DeltaMethod | None
    kind: str
    formula: str = ""
    degrees_of_freedom: float = float("inf")
    interval_kind: IntervalKind = "confidence"
    tested: bool = True
    trouble: str = ""
    notes: tuple[str, ...] = field(default=())


def errors_of(
    model: FittedModel, given: GivenRows | None, covariance: str | Summary | None, groups: object
) -> ErrorSource:
    """The errors of a model's effects.

    given: the rows of the fit, where they are known. covariance, groups: of a perceptron, as its summary takes them, or
    a summary whose covariance it is. Raises InputError for formulas that the model or the rows do not have.
    """
    if not model.is_perceptron:
        if covariance is not None or groups is not None:
            raise InputError(
                "The errors of a network's effects come from its posterior: leave out covariance and groups, which are "
                "for perceptrons."
            )
        return errors_of_networks(model)
    if isinstance(covariance, Summary):
        if groups is not None:
            raise InputError("The covariance of a summary is made already: leave out groups.")
        return errors_of_coefficients(model, covariance)
    if covariance not in FROM_THE_ROWS and groups is None:
        if model.members[0].information is None and given is None:
            return without_errors(" ".join(lacking(model)) or "the loss is no likelihood.")
        given = given if model.members[0].information is None else None
    elif given is None:
        raise InputError(
            f"covariance={covariance or 'cluster'!r} is made from the rows of the fit: give the X and y that the model "
            "was trained on, or for effects at other rows covariance=model.summary(X, y, ...)."
        )
    return errors_of_coefficients(model, summary_of(model, given, covariance=covariance, groups=groups))


def without_errors(why: str) -> ErrorSource:
    """Return that there are no errors, with the sentence why."""
    return ErrorSource(None, "none", tested=False, notes=(f"There are no standard errors: {why}",))


def errors_of_coefficients(model: FittedModel, summary: Summary) -> ErrorSource:
    """Return where the errors of a perceptron come from: its summary, which must compare with the first class."""
    network = model.members[0].network
    classes = model.data.classes
    expected = None if classes is None else tuple(str(label) for label in classes.tolist()[1:])
    if expected is not None and summary.outputs != expected:
        raise InputError("The summary is not of this model, or has another baseline: make it without baseline.")
    (p, k), b = model.coefficients[0].shape, network.intercept
    outputs = range(1, k) if k > 1 and not model.is_regression else range(k)
    order = np.array([at for c in outputs for at in [*([p * k + c] if b else []), *(j * k + c for j in range(p))]])
    if len(order) != len(summary.estimates):
        raise InputError("The summary is not of this model: it has another number of coefficients.")
    return ErrorSource(
        DeltaMethod((OfCoefficients(summary.combinations, order),), np.ones(1)),
        summary.covariance,
        summary.formula,
        summary.degrees_of_freedom,
        summary.interval_kind,
        tested=summary.interval_kind == "confidence",
        trouble=summary.trouble,
        notes=summary.notes,
    )


def errors_of_networks(model: FittedModel) -> ErrorSource:
    """Return where the errors of networks come from: the posterior of their parameters."""
    sharing = model.sharing
    posteriors = posteriors_of(sharing, model.loss)
    if isinstance(posteriors, str):
        return without_errors(posteriors)
    noise: Array = np.ones((len(sharing), model.n_outputs))
    if model.loss.quadratic:
        if not isinstance(model.noise_model, NoiseModel):
            return without_errors(model.noise_model or "the noise of the targets is not known.")
        noise = model.noise_model.variance
    covariances = tuple(OfPosterior(own, of_own) for own, of_own in zip(posteriors, noise, strict=True))
    partial = any(posterior.is_partial for posterior in posteriors)
    solution = model.solution
    return ErrorSource(
        DeltaMethod(covariances, np.array([member.share for member in sharing])),
        "posterior",
        _BY_POSTERIOR,
        interval_kind="credible",
        tested=False,
        trouble="" if solution.converged else solution.sentence,
        notes=(_LAYER_ALONE,) if partial else (),
    )
