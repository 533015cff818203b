"""The objective that estimators minimise: the mean loss of a network over rows with what makes its training quick.

A perceptron, whose raw predictions are linear in its parameters, has shortcuts for line searches, products with the
Hessian and least squares, and proofs that there is no minimum.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from newtron.engine.base.types import Array
from newtron.engine.objective import no_minimum, perceptron, whitened
from newtron.engine.objective.least_squares import solve_least_squares
from newtron.engine.objective.mean_loss import MeanLoss
from newtron.engine.objective.newton_system import NewtonSystem, lost_digits
from newtron.engine.objective.objective import LinePoint, Minimiser, Offer

# Least squares goes through QR and extended residuals where the condition of the (equilibrated) Gram matrix is above
# this: the normal equations would leave fewer than 10 digits.
_GRAM_CONDITION = 1e6
# Least squares with at most this many rows x parameters goes through QR in any case, since that takes no time.
_SMALL = 5_000
# A line search and Newton-CG keep numbers of each row, such as its raw predictions, for at most this many rows x
# outputs (80 MB of float64 for the two arrays), and read X again beyond.
_KEEP = 5_000_000


class TrainingObjective(MeanLoss):
    """Mean loss of a network over rows, plus the penalty, with the shortcuts of perceptrons.

    Parameters
    ----------
    network : Network
        The widths of the layers and their activation.
    loss : Loss
    rows : Rows
        Where the inputs, targets and weights lie.
    alpha : float or (P,), default 0.0
        The penalty on the parameters, in units of one row's loss.
    block_rows : int or None
        Rows that are computed at once; None: by the size of the network.

    Examples
    --------
    >>> import numpy as np
    >>> from newtron.engine import Newton, TrainingObjective, minimize
    >>> from newtron.engine.maths.losses import loss_for
    >>> from newtron.engine.maths.network import Network
    >>> from newtron.engine.rows import ArrayRows
    >>> rows = ArrayRows(np.array([[1.0], [2.0], [3.0]]), np.array([[2.0], [4.0], [5.0]]))
    >>> objective = TrainingObjective(Network((1, 1)), loss_for("regression", None, 1), rows)
    >>> minimize(objective, np.zeros(2), Newton()).params.round(6)
    array([1.5     , 0.666667])
    """

    @property
    def offers(self) -> frozenset[Offer]:
        return super().offers | {"batches"} if self.rows.in_process else super().offers

    def _hvp(self, params: Array, v: Array) -> Array:
        keeps = self.rows.in_process and self.rows.n_outputs == 1 and self.rows.n_rows <= _KEEP
        if self.is_quadratic or (self.is_linear and keeps):
            return perceptron.hessian_product(self, params, v)
        return super()._hvp(params, v)

    def along(self, params: Array, direction: Array) -> Callable[[float], LinePoint]:
        """For a perceptron z moves linearly with t: from the second trial on, each t costs only the losses."""
        at = super().along(params, direction)
        if not (self.is_linear and self.rows.in_process) or self.rows.n_rows * self.rows.n_outputs > _KEEP:
            return at
        line: Callable[[float], LinePoint] | None = None
        tried = False

        def on_line(t: float) -> LinePoint:
            nonlocal line, tried
            if not tried:
                # The first trial is nearly always taken: then its gradient, in the same pass over X, is what is needed.
                tried = True
                return at(t)
            if line is None:
                line = perceptron.line(self, params, direction)
            return line(t)

        return on_line

    def solve_quadratic(self, condition: float) -> Minimiser | None:
        if not self.is_quadratic:
            return None
        # The normal equations lose half the digits of their condition. Small data gets all digits in any case.
        if condition < _GRAM_CONDITION and self.rows.n_rows * self.n_params > _SMALL:
            return None
        q = self.n_params // self.network.n_outputs
        alpha = self.alpha.reshape(q, -1)
        if (alpha != alpha[:, :1]).any():
            return None  # one factorisation serves all outputs only where their penalties are the same
        B, rank, self.triangle, lost = solve_least_squares(self.rows, self.network.intercept, alpha[:, 0])
        counted = "columns, the intercept among them," if self.network.intercept else "columns"
        note = f"Only {rank} of {q} {counted} are independent: of the many solutions this is a short one."
        return Minimiser(B.ravel(), lost / self.rows.total_weight, "" if rank == q else note)

    @property
    def keeps_digits(self) -> bool:
        """A penalty on all weights bounds the condition of a perceptron's Hessian in equilibrated columns.

        Let e be the least share of the penalty in its diagonal: 1 / e is at most 1 + W s² / α for a column of size s,
        since the loss curves by at most 1. The quadratic form of a unit vector is at least e |u|², u its part of the
        weights; where |u| is below 1 / (2 sqrt P) the intercepts alone give more. So the least eigenvalue is at least
        e / (4 P), and the largest at most P. (Intercepts of groups of classes that all rows tell apart for certain give
        less, but along these the loss has nothing left to fall.)"""
        of_weights = self.network.is_weight
        if not (self.is_linear and self.loss.bounded_curvature and (self.alpha[of_weights] > 0.0).all()):
            return False
        ratio = self.rows.total_weight * np.square(self.scale[of_weights]) / self.alpha[of_weights]
        return not lost_digits(4.0 * self.n_params**2 * (1.0 + float(ratio.max(initial=0.0))), self.epsilon)

    def determined(self, hessian: Array) -> Array:
        return whitened.with_shifts_held(self, hessian) if self.is_linear and self.loss.convex else hessian

    def newton_system(self, params: Array, hessian: Array, condition: float) -> NewtonSystem | None:
        if not (self.is_linear and self.loss.convex):
            return None
        if lost_digits(condition, self.epsilon):
            condition = whitened.condition_seen(self, hessian, condition)
        return whitened.newton_system(self, params) if lost_digits(condition, self.epsilon) else None

    def unbounded_below(self, value: float) -> str | None:
        return no_minimum.unbounded_below(self, value)

    def escapes_to_infinity(self, params: Array, gradient: Array) -> str | None:
        return no_minimum.escapes_to_infinity(self, params, gradient)
