"""How sure a fitted estimator is: what is learned for it at the end of a fit, and what is asked of it afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import InputError
from newtron.engine.base.threads import one_blas_thread
from newtron.engine.base.words import either, setting
from newtron.engine.maths.losses import Loss
from newtron.engine.solvers import Status
from newtron.inference.coefficients.information import MOST_PARAMETERS as MOST_OF_A_PERCEPTRON
from newtron.inference.posterior import MOST_OF_A_LAYER, Posterior, posterior_of_perceptron, posterior_span
from newtron.inference.predictive.mixture import Mixture
from newtron.inference.predictive.predictive import RegressionPredictive, freedom, of_networks, of_perceptron
from newtron.inference.predictive.temperature import class_variance, learn_temperature
from newtron.training.from_rows import in_memory
from newtron.training.members import Member, Task, train_members

Array = NDArray[np.floating]

# A share of the rows, of at most so many, is held out of one more training, where there are at least so many rows and
# the model spends more than this share of them on parameters: with fewer parameters residuals flatter no model.
_HELD_OUT, _MOST_HELD_OUT, _LEAST_ROWS, _SPENT = 0.2, 2000, 40, 0.02
_BLOCK = 8192


def learn_predictive(task: Task, members: list[Member]) -> RegressionPredictive | str:
    """The predictive distribution of an average of networks, or the sentence why there is none."""
    sharing = [member for member in members if member.share > 0.0]
    posteriors = posteriors_of(sharing, task.loss)
    if isinstance(posteriors, str):
        return posteriors
    all_rows = task.source is None
    if task.source is not None:
        n_rows, task = task.source.n_rows, in_memory(task)
        all_rows = len(task.Y) == n_rows
    if freedom(posteriors, task.weight, *task.Y.shape) <= 0.0:
        return _nothing_left(task.weight is not None)
    try:
        with one_blas_thread(), np.errstate(all="ignore"):
            share = np.array([member.share for member in sharing])
            found = of_networks(posteriors, share, task.loss, task.scaling.inputs(task.X), task.Y, task.weight)
        # Whoever has ended the training waits for no more of it.
        ended = any(member.solution.status in (Status.INTERRUPTED, Status.STOPPED) for member in members)
        # What a few of many rows teach another network says nothing of one that has learnt from all.
        if all_rows and _flattered(task, posteriors) and not ended:
            found = replace(found, noise=replace(found.noise, stretch=_stretch(task, sharing)))
    except np.linalg.LinAlgError:
        return _not_finite()
    return found


def predictive_of_perceptron(member: Member, loss: Loss) -> RegressionPredictive | str:
    """From what the fit keeps of its rows; or the sentence why there is none."""
    posteriors = posteriors_of([member], loss)
    if isinstance(posteriors, str):
        return posteriors
    kept = member.information
    assert kept is not None
    if kept.weight <= posteriors[0].effective / member.network.n_outputs * (1.0 + 1e-9):
        return _nothing_left(kept.weight != kept.n_rows)
    return of_perceptron(posteriors[0], kept)


def _not_finite() -> str:
    standardize = setting("standardize", "True")
    ways = either(f"give a larger {setting('alpha')}", standardize and f"set {standardize}")
    return (
        f"its curvature is not kept: the training ended where it is not finite ({ways}), or the file is of an older "
        "newtron (fit and save it again)."
    )


def _nothing_left(weighted: bool) -> str:
    counted = "rows, each counted by its sample_weight," if weighted else "rows"
    return (
        f"there are no more {counted} than parameters that they determine, so nothing is left to see the noise by: "
        f"give more rows or a larger {setting('alpha')}."
    )


def posteriors_of(members: list[Member], loss: Loss) -> tuple[Posterior, ...] | str:
    """Those of all members, or the sentence why there is none."""
    found = []
    for member in members:
        posterior = member.posterior
        if member.network.is_linear:
            if member.information is None:
                return (
                    "it kept nothing of its rows, because they and the parameters are too many, the loss is no "
                    "likelihood or the end is not finite: solver='newton' keeps more."
                )
            posterior = posterior_of_perceptron(member.network, member.params, member.information, loss)
        elif posterior_span(member.network) is None:
            layer = member.network.spans[-1]
            return (
                f"the output layer has {layer.stop - layer.start:,} parameters, and the factor of their curvature is "
                f"kept for at most {MOST_OF_A_LAYER:,}: choose fewer units in the last hidden layer."
            )
        if posterior is None:
            return _not_finite()
        found.append(posterior)
    return tuple(found)


def learn_class_temperature(task: Task, members: list[Member]) -> float:
    """That of an average of networks trained on the log loss; 1, no change, where a member has no posterior."""
    sharing = [member for member in members if member.share > 0.0]
    posteriors = posteriors_of(sharing, task.loss)
    if isinstance(posteriors, str) or task.loss.name != "log_loss":
        return 1.0
    share = np.array([member.share for member in sharing])
    if task.source is not None:
        task = in_memory(task)
    try:
        with one_blas_thread(), np.errstate(all="ignore"):
            return learn_temperature(posteriors, share, task.loss, task.scaling.inputs(task.X), task.Y, task.weight)
    except np.linalg.LinAlgError:
        return 1.0


def _flattered(task: Task, posteriors: tuple[Posterior, ...]) -> bool:
    n = len(task.Y) if task.weight is None else np.count_nonzero(task.weight)
    # What the layers before the output have spent is not in their posterior, so the most that they may have is counted.
    spent = max(p.network.n_params if p.is_partial else p.effective for p in posteriors) / task.Y.shape[1]
    return bool(n >= _LEAST_ROWS and spent > _SPENT * n)


def _stretch(task: Task, members: list[Member]) -> Array:
    """One more network is trained without some rows, and says how far off its own scale was for these.

    Leave-one-out residuals from one curvature are those of the network linearised; where it has many parameters for
    its rows, real ones are larger.
    """
    largest = max(members, key=lambda member: member.share)
    rows = np.arange(len(task.Y)) if task.weight is None else np.flatnonzero(task.weight)
    order = np.random.default_rng([task.seed, len(rows)]).permutation(rows)
    n = min(_MOST_HELD_OUT, round(_HELD_OUT * len(rows)))
    out, kept = np.sort(order[:n]), np.sort(order[n:])
    part = replace(
        _rows_of(task, kept),
        alpha=largest.alpha,
        shapes=(largest.hidden,),
        n_starts=1,
        weaker=False,
        stack=False,
        callback=None,
    )
    trained = [each.member for each in train_members(part)]
    posteriors = posteriors_of(trained, task.loss)
    unknown = np.ones(task.Y.shape[1])
    if isinstance(posteriors, str) or trained[0].solution.status is Status.INTERRUPTED:
        return unknown
    if freedom(posteriors, part.weight, *part.Y.shape) <= 0.0:
        return unknown
    with one_blas_thread(), np.errstate(all="ignore"):
        X = task.scaling.inputs(part.X)
        found = of_networks(posteriors, np.ones(1), task.loss, X, part.Y, part.weight)
        rest = _rows_of(task, out)
        return found.stretched(task.scaling.inputs(rest.X), rest.Y.astype(np.float64), rest.weight)


def _rows_of(task: Task, rows: NDArray[np.intp]) -> Task:
    weight = None if task.weight is None else task.weight[rows]
    return replace(task, X=task.X[rows], Y=task.Y[rows], weight=weight)


def known(found: Any, what: str) -> Any:
    """What was learned, or an InputError with the sentence why there is none."""
    if isinstance(found, str):
        raise InputError(f"This fit has no {what}: {found}")
    return found


def distributions(predictive: RegressionPredictive, scaling: Any, X: Any) -> tuple[list[Mixture], Array]:
    """Of each output its distribution over the rows X (n, p), in the user's units, and the model's variance (n, k)."""
    pieces = []
    with one_blas_thread(), np.errstate(all="ignore"):
        for start in range(0, X.shape[0], _BLOCK):
            block = scaling.inputs(X[start : start + _BLOCK])
            seen = predictive.seen(block)
            mixtures = [predictive.mixture(block, seen, c) for c in range(len(predictive.noise.scales))]
            pieces.append((mixtures, seen.variance))
    whole = []
    for output, (center, scale) in enumerate(zip(scaling.y_center, scaling.y_scale, strict=True)):
        parts = [mixtures[output] for mixtures, _ in pieces]
        location = np.concatenate([part.location for part in parts]) * scale + center
        whole.append(replace(parts[0], location=location, scale=np.concatenate([part.scale for part in parts]) * scale))
    variance = np.concatenate([v for _, v in pieces]) * np.square(predictive.noise.stretch * scaling.y_scale)
    return whole, variance


def variance_of_classes(estimator: Any, X: Any) -> Array:
    """(n, classes) variance of the probabilities of a classifier that the uncertainty of its parameters makes."""
    sharing = [member for member in estimator.members_ if member.share > 0.0]
    posteriors = known(posteriors_of(sharing, estimator.loss_), "uncertainty of its parameters")
    share = np.array([member.share for member in sharing])
    with one_blas_thread(), np.errstate(all="ignore"):
        return np.concatenate(
            [
                class_variance(
                    posteriors,
                    share,
                    estimator.loss_,
                    estimator.scaling_.inputs(X[start : start + _BLOCK]),
                    estimator.temperature_,
                )
                for start in range(0, X.shape[0], _BLOCK)
            ]
        )


def per_output(mixtures: list[Mixture], of: Callable[[Mixture, int], Array]) -> Array:
    """(n, k) or (n, k, ...): something of each output's distribution."""
    return np.stack([of(mixture, output) for output, mixture in enumerate(mixtures)], axis=1)


def lacking(estimator: Any) -> list[str]:
    """What this fit has not, because it is large or ended where nothing can be said, in sentences that say how to get
    it."""
    members = [member for member in estimator.members_ if member.share > 0.0]
    if all(member.network.is_linear for member in estimator.members_) and len(members) == 1:
        member = members[0]
        if member.information is not None or member.network.n_params <= MOST_OF_A_PERCEPTRON:
            return []
        return [
            f"Standard errors of {member.network.n_params:,} parameters are not kept with the model (up to "
            f"{MOST_OF_A_PERCEPTRON:,} are): in Python, summary(X, y) makes them from the rows."
        ]
    if estimator._task == "regression":
        found = estimator.predictive_
        return [f"This fit has no intervals: {found}"] if isinstance(found, str) else []
    found = posteriors_of(members, estimator.loss_)
    return [f"This fit does not tell how sure its probabilities are: {found}"] if isinstance(found, str) else []
