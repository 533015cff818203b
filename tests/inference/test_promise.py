"""What rows left out promise for new rows, where the answer is known or can be simulated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from newtron.engine.maths.losses import loss_for
from newtron.inference.predictive.promise import LeftOutParts, gain_of_density, promised_of_classes
from newtron.inference.predictive.stacking import stacking_shares
from newtron.inference.predictive.temperature import mean_loss, temperature_of

Array = NDArray[Any]
LOG_LOSS = loss_for("classification", None, 1)
ONE = np.ones(1)


def test_all_rows_are_worth_what_is_promised() -> None:
    """Least squares with 12 normal inputs: on new rows the mean square is 1 + 12 / (n - 13), with n = 60 rows and with
    the 48 without a part."""
    rng, n, p = np.random.default_rng(0), 60, 12
    part = np.arange(n) % 5
    left_out, promised = [], []
    for _ in range(300):
        X, y = rng.normal(size=(n, p)), rng.normal(size=(n, 1))
        of_parts = np.stack([X @ np.linalg.lstsq(X[part != k], y[part != k])[0] for k in range(5)])
        raw = of_parts[part, np.arange(n)]
        gain = gain_of_density(LeftOutParts(y, np.ones(n), part, raw[None], of_parts[None]), ONE)
        left_out.append(np.mean(np.square(y - raw)))
        promised.append(left_out[-1] * np.exp(-2.0 * gain))
    new, error = 1.0 + p / (n - p - 1), np.std(promised) / np.sqrt(300)
    assert np.mean(left_out) == pytest.approx(1.0 + p / (0.8 * n - p - 1), abs=4.0 * error)
    assert abs(np.mean(promised) - new) < 0.5 * abs(np.mean(left_out) - new)


def test_rows_that_chose_the_shares_promise_nothing_by_them() -> None:
    """Six models that guess the side of a coin, whose shares the rows choose: new rows fall on both sides alike."""
    rng, n, M = np.random.default_rng(1), 40, 6
    weight, part = np.ones(n), np.arange(n) % 5
    chosen, promised, new = [], [], []
    for _ in range(20):
        Y, raw = rng.integers(0, 2, (n, 1)).astype(float), 3.0 * rng.normal(size=(M, n, 1))
        share = stacking_shares(LOG_LOSS, Y, raw, weight)
        right = np.tensordot(share, LOG_LOSS.inverse_link(raw), axes=1)
        p, own = np.hstack([1.0 - right, right]), np.hstack([1.0 - Y, Y])
        T = temperature_of(p, own, weight)
        chosen.append(mean_loss(p, own, weight, T))
        new.append(0.5 * (chosen[-1] + mean_loss(p, 1.0 - own, weight, T)))
        rows = LeftOutParts(Y, weight, part, raw, np.repeat(raw[:, None], 5, axis=1))
        promised.append(promised_of_classes(LOG_LOSS, rows, share, T, stacked=True))
    assert np.mean(chosen) < np.mean(new) - 0.02
    assert abs(np.mean(promised) - np.mean(new)) < 0.6 * abs(np.mean(chosen) - np.mean(new))


def test_half_of_what_is_forgotten_counts_by_the_share_left_out() -> None:
    """Two parts of different weight, and one model whose losses are known: 1 nat left out, 0.4 and 0.2 known."""

    def logit(loss: float) -> float:
        return -float(np.log(np.expm1(loss)))  # of a row whose class is 1

    Y, part, weight = np.ones((4, 1)), np.array([0, 0, 0, 1]), np.ones(4)
    raw = np.full((1, 4, 1), logit(1.0))
    of_parts = np.array([[logit(0.4)] * 4, [logit(0.2)] * 4]).reshape(1, 2, 4, 1)
    rows = LeftOutParts(Y, weight, part, raw, of_parts)
    expected = 1.0 - 0.5 * (0.75 * (1.0 - 0.4) + 0.25 * (1.0 - 0.2)) / 2.0
    assert promised_of_classes(LOG_LOSS, rows, ONE, 1.0, stacked=False) == pytest.approx(expected)
    twice = LeftOutParts(Y, 2.0 * weight, part, raw, of_parts)
    assert promised_of_classes(LOG_LOSS, twice, ONE, 1.0, stacked=False) == pytest.approx(expected)
