"""Large networks for many rows: how wide they are, how they are trained in batches, and how their penalty is chosen.

Above some thousands of rows a network profits from more units than a matrix of curvature can serve. It is trained by
K-FAC on batches in single precision, with a rate that falls along half a cosine over a number of epochs that follows
from the rows, and stopped by rows that are held out. All members hold out the same tenth of the rows. So the average of
the members is known on rows that none has seen, and penalties, shares, temperature and intervals are judged there.

Measured on inner parts of power, letter and friedman1 (20,000 rows), at equal CPU time: K-FAC has a lower held-out loss
than Adam with the same cosine (letter .086 against .095). Members that each hold out a tenth or a fifth of their own
have seen more rows together, and still predict worse than members with one common tenth (power 3.10 against 3.05,
letter .089 against .082).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.types import Array
from newtron.engine.maths.losses import Loss
from newtron.engine.maths.network import Network
from newtron.engine.objective import TrainingObjective
from newtron.engine.solvers import Solution, Status, Stochastic
from newtron.training.effort import LEAST_EPOCHS, Effort
from newtron.training.settings import Shape

# From so many rows on networks are trained in batches.
MANY_ROWS = 3000
# One in so many rows is held out, or more of them so that there are enough, up to one in five. Intervals that
# are learnt from 350 rows held 85 and 88 % instead of 90 % on friedman1, from 700 rows 88 and 89 %.
HELD_OUT, _MOST_HELD_OUT, _ENOUGH = 10, 5, 700
# Units of a layer: about so many times the root of the rows, in steps of eight, between these limits: 32 at 3,000 rows,
# 64 at 10,000, 128 at 45,000. On letter (12,000 rows) and power (7,000) twice as many gain nothing.
_UNITS, _STEP, _FEWEST, _MOST = 0.6, 8, 8, 256
# Parameters of one network at most.
_MOST_PARAMETERS = 100_000
# Pieces of a column, at most and at least, pieces of all columns together, and numbers that they are for all rows: 400
# MB. On power 48 pieces of each column are better than 16 (3.05 against 3.5) and level with 64.
_MOST_PIECES, _FEWEST_PIECES, _ALL_PIECES, _NUMBERS = 48, 8, 400, 5e7
# A regression also gets a network of two layers of so many units, at most and at least, with so many parameters at
# most, where rows x outputs x parameters² of a step of Levenberg-Marquardt are no more than this (about 50 ms). It
# takes so many steps. Where targets have next to no noise, batches cannot follow it: on 8,000 rows of a smooth function
# of 15 columns whose noise is .001 of its deviation, the error is .001 in 2 s, and .0026 after 4 s of K-FAC.
_UNITS_BESIDE, _FEWEST_BESIDE, _PARAMETERS_BESIDE, _WORK_BESIDE, STEPS_BESIDE = 10, 4, 400, 1e9, 40
# Squared errors are followed for so many times the epochs of other losses. On 7,000 rows of a smooth function of eight
# angles with a noise of .15 deviations the error is .0376, .0363 and .0359 after 30, 60 and 120 epochs.
_LONGER = 4
# A batch is this share of the rows, between these limits.
_BATCHES, _SMALLEST, _LARGEST = 30, 64, 800
# The first penalty that is tried and the factor to its neighbours, in units of one row's loss in standardised targets.
_FIRST, _FACTOR = 1.0, 10.0
# A kind of network takes part where its held-out loss is at most this factor above that of the best.
_WORTH_TRAINING = 1.1
# No further penalty is tried for a kind whose first held-out loss is above that of another kind by this factor.
_HOPELESS = 1.25


def large_shape(n_rows: int, n_inputs: int, n_outputs: int) -> Shape:
    """Two layers of equal width, which grows with the root of the rows, as long as the parameters stay few enough; more
    inputs or outputs never give more units."""
    units = int(np.clip(_STEP * round(_UNITS * n_rows**0.5 / _STEP), _FEWEST, _MOST))
    while units > _FEWEST and Network((n_inputs, units, units, n_outputs)).n_params > _MOST_PARAMETERS:
        units -= _STEP
    return units, units


def shape_beside(n_rows: int, n_inputs: int, n_outputs: int) -> Shape:
    """The shape of a network that Levenberg-Marquardt trains beside large ones of a regression: two layers of equal
    width, or () where a step of it takes too long."""
    units = _UNITS_BESIDE
    while units and Network((n_inputs, units, units, n_outputs)).n_params > _PARAMETERS_BESIDE:
        units -= 1
    P = Network((n_inputs, units, units, n_outputs)).n_params if units else 0
    return (units, units) if units >= _FEWEST_BESIDE and n_rows * n_outputs * P**2 <= _WORK_BESIDE else ()


def pieces_of_a_column(n_rows: int, n_columns: int) -> int:
    """How many pieces each of so many columns of numbers gets; 0 where they would be few."""
    if n_columns == 0:
        return 0
    found = int(min(_MOST_PIECES, _ALL_PIECES // n_columns, _NUMBERS // (n_rows * n_columns)))
    return found if found >= _FEWEST_PIECES else 0


def held_out_parts(n_rows: int) -> int:
    """In how many parts the rows are divided, one of which is held out."""
    return max(_MOST_HELD_OUT, min(HELD_OUT, n_rows // _ENOUGH))


def epochs_of(effort: Effort, n_rows: int, loss: Loss) -> int:
    """Passes over the rows of one training."""
    most = effort.epochs * (_LONGER if loss.quadratic else 1)
    return int(np.clip(effort.row_visits // n_rows, LEAST_EPOCHS, most))


def batch_solver(effort: Effort, n_rows: int, loss: Loss, seed: int) -> Stochastic:
    """The solver of a network that is trained in batches."""
    size = int(np.clip(n_rows // _BATCHES, _SMALLEST, _LARGEST))
    return Stochastic(epochs=epochs_of(effort, n_rows, loss), batch_size=size, seed=seed)


class Tried(NamedTuple):
    """A training under one penalty: its strength, how it ended, and the mean loss of the rows held out."""

    strength: float
    solution: Solution
    loss: float


@dataclass(frozen=True)
class HeldOut:
    """The rows that no member has seen, as they are looked at.

    X, Y, weight: their inputs, targets and weights. numbers: their numbers among all rows that are looked at, n_rows.
    """

    X: Array
    Y: Array
    weight: Array | None
    numbers: NDArray[np.intp]
    n_rows: int

    def loss(self, network: Network, loss: Loss, params: Array) -> float:
        """The mean loss of a network on them; inf where it is not finite."""
        with np.errstate(all="ignore"):
            rows = loss.pointwise(self.Y.astype(np.float64), self.output(network, params), 0).value
            found = float(np.average(rows, weights=self.weight))
        return found if np.isfinite(found) else np.inf

    def raw(self, network: Network, params: Array) -> Array:
        """(n_rows, k) raw predictions; nan for rows that are not held out."""
        found = np.full((self.n_rows, network.n_outputs), np.nan)
        found[self.numbers] = self.output(network, params)
        return found

    def output(self, network: Network, params: Array) -> Array:
        """(m, k) raw predictions of the rows held out."""
        return network.output(params, self.X.astype(np.float64, copy=False))


def penalty_in_batches(
    objective: TrainingObjective,
    held_out: HeldOut,
    fit: Callable[[float], Solution],
    most: int,
    beside: float = np.inf,
) -> tuple[Tried, int]:
    """The training under the penalty whose held-out loss is least, and how many were tried, at most `most`.

    From the first penalty on the search goes to weaker ones as long as the loss falls, and where the first of them is
    no better, to stronger ones; it ends with the first where another kind, of the loss `beside`, is clearly better. A
    training that was ended from outside ends the search with it.
    """
    tries = 0

    def tried(strength: float) -> Tried:
        nonlocal tries
        tries += 1
        solution = fit(strength)
        return Tried(strength, solution, held_out.loss(objective.network, objective.loss, solution.params))

    best = tried(_FIRST)
    if best.loss > _HOPELESS * beside:
        return best, tries
    for factor in (1.0 / _FACTOR, _FACTOR):
        while tries < most and not ended(best.solution):
            found = tried(best.strength * factor)
            if ended(found.solution) and tries > 1:
                return best._replace(solution=replace(best.solution, status=found.solution.status)), tries
            if not found.loss < best.loss:
                break
            best = found
        if best.strength < _FIRST:
            break
    return best, tries


def ended(solution: Solution) -> bool:
    """Was the training ended by Ctrl-C or by the callback?"""
    return solution.status in (Status.STOPPED, Status.INTERRUPTED)


def worth_training(losses: list[float]) -> list[bool]:
    """Which kinds take part in the average, by their held-out losses; nan is a kind that is not asked."""
    asked = [loss for loss in losses if not np.isnan(loss)]
    least = min(asked, default=0.0)
    allowed = least * _WORTH_TRAINING if least > 0.0 else least / _WORTH_TRAINING
    return [bool(np.isnan(loss) or loss <= allowed) for loss in losses]
