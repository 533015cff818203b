"""How sure a model is, learnt at the end of its training: predictive distributions and temperatures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.threads import one_blas_thread
from newtron.engine.base.types import Array, Matrix
from newtron.engine.base.words import either, setting
from newtron.engine.maths.losses import Loss
from newtron.engine.rows import ArrayRows
from newtron.engine.solvers import Status
from newtron.inference.posterior import MOST_OF_A_LAYER, Posterior, posterior_of_perceptron, posterior_span
from newtron.inference.predictive.predictive import (
    ModelMoments,
    NoiseModel,
    RegressionPredictive,
    freedom,
    moments_of_average,
    network_predictive,
    perceptron_predictive,
)
from newtron.inference.predictive.promise import gain_of_density, promised_of_classes
from newtron.inference.predictive.temperature import every_class, learn_temperature, mean_loss, temperature_of
from newtron.training.fitted import Member
from newtron.training.members import RowsLeftOut, kind_of_member, train_members
from newtron.training.task import Task

# A share of the rows, of at most so many, is held out of one more training, where there are at least so many rows and
# the model spends more than this share of them on parameters: with fewer parameters residuals flatter no model.
_HELD_OUT, _MOST_HELD_OUT, _LEAST_ROWS, _SPENT = 0.2, 2000, 40, 0.02


def learn_noise(task: Task, members: Sequence[Member], left_out: RowsLeftOut | None) -> tuple[NoiseModel | str, float]:
    """The noise around an average of networks, or the sentence why there are no intervals; and the mean negative log
    density of the rows that were left out, in nats a row and the user's units, nan where there are none."""
    unknown = float("nan")
    if task.loss.no_distribution:
        return task.loss.no_distribution, unknown
    sharing = [member for member in members if member.share > 0.0]
    posteriors = posteriors_of(sharing, task.loss)
    if isinstance(posteriors, str):
        return posteriors, unknown
    given = task.looked_at
    all_rows = given.n_rows == task.given.n_rows
    X, Y, weight, _ = given.standardized(task.scaling).whole()
    if freedom(posteriors, weight, *Y.shape) <= 0.0:
        return _nothing_left(weight is not None), unknown
    share = np.array([member.share for member in sharing])
    try:
        with one_blas_thread(), np.errstate(all="ignore"):
            moments = None if left_out is None else _moments(left_out, members, len(Y))
            parts = None if moments is None or left_out is None else _parts_of(left_out, len(Y))
            predictive = network_predictive(posteriors, share, task.loss, X, Y, weight, moments, parts)
            found = predictive.noise
            if left_out is not None and moments is not None:
                out = left_out.rows
                own = ModelMoments(moments.mean[out], moments.variance[out], moments.noise[out])
                loss = _loss_of(predictive, X[out], own, Y[out], task.scaling.y_scale)
                promised = float(left_out.weight @ loss / left_out.weight.sum())
                if left_out.parts is not None:
                    promised -= gain_of_density(left_out.parts, _share_of_kinds(left_out, members))
                return found, promised
        # Whoever has ended the training waits for no more of it.
        ended = any(member.solution.status in (Status.INTERRUPTED, Status.STOPPED) for member in members)
        # What a few of many rows teach another network says nothing of one that has learnt from all.
        if all_rows and _flattered(given, posteriors) and not ended:
            found = replace(found, stretch=_stretch(task, given, sharing))
    except np.linalg.LinAlgError:
        return _not_finite(), unknown
    return found, unknown


def _moments(left_out: RowsLeftOut, members: Sequence[Member], n_rows: int) -> ModelMoments | None:
    """The moments of the average at all rows, by models that were trained without them and nan where there are none;
    None where these do not know their variance."""
    if left_out.variance is None or left_out.noise is None:
        return None
    of_rows = moments_of_average(_share_of_kinds(left_out, members), left_out.raw, left_out.variance, left_out.noise)
    whole = ModelMoments(*np.full((3, n_rows, left_out.Y.shape[1]), np.nan))
    for name, array in vars(whole).items():
        array[left_out.rows] = vars(of_rows)[name]
    return whole


def _parts_of(left_out: RowsLeftOut, n_rows: int) -> NDArray[np.intp] | None:
    """(n,) with which part each row was left out, -1 with none; None where there are no parts. Once intercepts are
    taken from the targets, the task would divide its rows in another way."""
    if left_out.parts is None:
        return None
    part = np.full(n_rows, -1, dtype=np.intp)
    part[left_out.rows] = left_out.parts.part
    return part


def _share_of_kinds(left_out: RowsLeftOut, members: Sequence[Member]) -> Array:
    return np.bincount(left_out.kind, [member.share for member in members]).astype(np.float64)


def _loss_of(predictive: RegressionPredictive, X: Matrix, moments: ModelMoments, Y: Array, y_scale: Array) -> Array:
    """(n,) the negative log densities in the user's units, summed over the targets. X, Y: in scaled units."""
    total = np.full(len(Y), np.log(y_scale).sum())
    for output in range(Y.shape[1]):
        total -= predictive.mixture(X, moments, output).log_density(Y[:, output].astype(np.float64))
    return total


def learn_class_temperature(
    task: Task, members: Sequence[Member], left_out: RowsLeftOut | None, gained: Array | None
) -> tuple[float, float]:
    """The temperature of an average of networks trained on the log loss, and the mean loss with it that rows which were
    left out promise for new ones, nan where there are none: then one training says what is left without each row, or T
    is 1 where a member has no posterior. gained: (all, k) what the raw predictions of the rows that are looked at gain
    by random intercepts."""
    if task.loss.name != "log_loss":
        return 1.0, float("nan")
    share = np.array([member.share for member in members])
    if left_out is not None:
        of_kind, beside = _share_of_kinds(left_out, members), 0.0 if gained is None else gained[left_out.rows]
        inverse_link = task.loss.inverse_link
        p = sum(s * every_class(inverse_link(z + beside)) for s, z in zip(of_kind, left_out.raw, strict=True))
        own, parts = every_class(left_out.Y), left_out.parts
        T = temperature_of(p, own, left_out.weight)
        if parts is None:
            return T, mean_loss(p, own, left_out.weight, T)
        stacked = task.combine == "stacking"
        return T, promised_of_classes(task.loss, parts, of_kind, T, stacked=stacked, gained=beside)
    sharing = [member for member in members if member.share > 0.0]
    posteriors = posteriors_of(sharing, task.loss)
    if isinstance(posteriors, str):
        return 1.0, float("nan")
    X, Y, weight, _ = task.looked_at.standardized(task.scaling).whole()
    try:
        with one_blas_thread(), np.errstate(all="ignore"):
            return learn_temperature(posteriors, share[share > 0.0], task.loss, X, Y, weight), float("nan")
    except np.linalg.LinAlgError:
        return 1.0, float("nan")


def predictive_of_perceptron(member: Member, loss: Loss) -> RegressionPredictive | str:
    """Make the distribution from what the fit keeps of its rows, or return the sentence why there is none."""
    if loss.no_distribution:
        return loss.no_distribution
    posteriors = posteriors_of([member], loss)
    if isinstance(posteriors, str):
        return posteriors
    kept = member.information
    assert kept is not None
    if kept.counted <= posteriors[0].effective / member.network.n_outputs * (1.0 + 1e-9):
        return _nothing_left(kept.counted != kept.n_rows)
    return perceptron_predictive(posteriors[0], kept)


def posteriors_of(members: Sequence[Member], loss: Loss) -> tuple[Posterior, ...] | str:
    """Return the posteriors of all members, or the sentence why there are none."""
    found = []
    for member in members:
        posterior = member.posterior
        if member.network.is_linear:
            if member.information is None:
                return (
                    "it kept nothing of its rows, because they and the parameters are too many, the loss is no "
                    "likelihood or the end is not finite: the solver 'newton' keeps more."
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
        found.append(replace(posterior, first=member.first_input))
    return tuple(found)


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


def _flattered(rows: ArrayRows, posteriors: tuple[Posterior, ...]) -> bool:
    """Are residuals smaller than errors on new rows, because the networks have many parameters for their rows?"""
    weight = rows.weights()
    n = rows.n_rows if weight is None else np.count_nonzero(weight)
    # What the layers before the output have spent is not in their posterior, so the most that they may have is counted.
    spent = max(p.network.n_params if p.is_partial else p.effective for p in posteriors) / rows.n_outputs
    return bool(n >= _LEAST_ROWS and spent > _SPENT * n)


def _stretch(task: Task, rows: ArrayRows, members: Sequence[Member]) -> Array:
    """One more network is trained without some rows, and says how far off its own scale was for these.

    Leave-one-out residuals from one curvature are those of the network linearised; where it has many parameters for
    its rows, real ones are larger.
    """
    largest = max(members, key=lambda member: member.share)
    weight = rows.weights()
    numbers = np.arange(rows.n_rows) if weight is None else np.flatnonzero(weight)
    order = np.random.default_rng([task.seed, len(numbers)]).permutation(numbers)
    n = min(_MOST_HELD_OUT, round(_HELD_OUT * len(numbers)))
    out, rest = (rows.part(np.sort(which), copied=True) for which in (order[:n], order[n:]))
    part = replace(
        task,
        given=rest,
        alpha=largest.alpha,
        kinds=(kind_of_member(largest),),
        n_starts=1,
        callback=None,
    )
    trained = [each.member for each in train_members(part)]
    posteriors = posteriors_of(trained, task.loss)
    unknown = np.ones(rows.n_outputs)
    if isinstance(posteriors, str) or trained[0].solution.status is Status.INTERRUPTED:
        return unknown
    X, Y, weight, _ = rest.standardized(task.scaling).whole()
    if freedom(posteriors, weight, *Y.shape) <= 0.0:
        return unknown
    with one_blas_thread(), np.errstate(all="ignore"):
        found = network_predictive(posteriors, np.ones(1), task.loss, X, Y, weight)
        X, Y, weight, _ = out.standardized(task.scaling).whole()
        return found.stretched(X, Y.astype(np.float64), weight)
