"""The loss that an average of models promises for new rows, from rows that were left out while it was trained.

Two things make the loss of these rows another one than that of new rows. They chose the shares of the models and the
temperature, so it is too small: here each part of the rows is predicted by shares and a temperature that the other
parts choose. And models trained without a part of the rows are worse than those trained with all, so it is too large.
By how much follows from what the trainings forget from the rows that they know to those that they do not know, the
optimism (Efron 1986, JASA 81): for a regular model half of it is the price of estimating its parameters, in proportion
to 1 / rows (Akaike 1974). Without a share f of the rows this price is 1 / (1 - f) times as high, so all rows lower the
loss by f times it,

    promised = left out - f ½ (left out - known).

`left out` and `known` are mean losses of the same models on rows that they were not and were trained on. Burman's
correction (1989, Biometrika 76) takes the known loss of the final models as well, and is too large here: these are
nearer to their optima than the trainings of the parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.types import Array
from newtron.engine.maths.losses import Loss
from newtron.inference.predictive.stacking import stacking_shares
from newtron.inference.predictive.temperature import every_class, mean_loss, temperature_of


@dataclass(frozen=True)
class LeftOutParts:
    """Rows in parts, each of which was left out of the training of every model, in units of training.

    Y: (n, k) targets as the loss takes them; weight: (n,); part: (n,) number of the part of each row, from 0. raw: (M,
    n, k) raw predictions by the models without the row; of_parts: (M, parts, n, k) those of all rows by the models
    without each part.
    """

    Y: Array
    weight: Array
    part: NDArray[np.intp]
    raw: Array
    of_parts: Array

    def gain(self, left_out: Array, known: Sequence[Array]) -> Array:
        """By how much mean losses are lower where no part is left out. left_out, known: mean losses of rows that the
        models were not trained on, and those of the others by the models without each part."""
        share = np.bincount(self.part, self.weight) / self.weight.sum()
        return np.asarray(sum(0.5 * f * (left_out - own) for f, own in zip(share, known, strict=True)) / len(known))

    def others(self, part: int) -> Array:
        """(n,) the weights of the rows that the models without a part were trained on, 0 for those of the part."""
        return np.where(self.part == part, 0.0, self.weight)


def promised_of_classes(
    loss: Loss, rows: LeftOutParts, share: Array, temperature: float, *, stacked: bool, gained: Array | float = 0.0
) -> float:
    """The mean log loss that an average promises for new rows.

    share: (M,) of the models. stacked: whether all rows chose these. gained: (n, k) what the raw predictions of the
    rows left out gain by random intercepts.
    """

    def mixed(raw: Array, by: Array) -> Array:
        return np.asarray(sum(s * every_class(loss.inverse_link(z)) for s, z in zip(by, raw, strict=True)))

    own, raw, total = every_class(rows.Y), rows.raw + gained, 0.0
    for part in range(rows.of_parts.shape[1]):
        rest, out = rows.part != part, rows.part == part
        by_rest = stacking_shares(loss, rows.Y[rest], rows.raw[:, rest], rows.weight[rest]) if stacked else share
        T = temperature_of(mixed(raw[:, rest], by_rest), own[rest], rows.weight[rest])
        total += float(rows.weight[out].sum()) * mean_loss(mixed(raw[:, out], by_rest), own[out], rows.weight[out], T)
    left_out = mean_loss(mixed(rows.raw, share), own, rows.weight, temperature)
    known = [
        mean_loss(mixed(z, share), own, rows.others(part), temperature)
        for part, z in enumerate(rows.of_parts.swapaxes(0, 1))
    ]
    return total / float(rows.weight.sum()) - float(rows.gain(np.array(left_out), [np.array(each) for each in known]))


def gain_of_density(rows: LeftOutParts, share: Array) -> float:
    """By how much the mean negative log density of normal targets, under the variance that fits, is lower where no row
    is left out: half the logarithm of the ratio of the mean squares, summed over the targets. share: (M,)."""

    def squares(raw: Array, weight: Array) -> Array:
        return np.asarray(weight @ np.square(rows.Y - np.tensordot(share, raw, axes=1)) / weight.sum())

    left_out = squares(rows.raw, rows.weight)
    known = [squares(z, rows.others(part)) for part, z in enumerate(rows.of_parts.swapaxes(0, 1))]
    with np.errstate(invalid="ignore"):
        lower = np.nan_to_num(rows.gain(left_out, known) / left_out)
    return -0.5 * float(np.log1p(-np.maximum(lower, 0.0)).sum())
