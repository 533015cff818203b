"""Objectives of one's own: a function by its value, gradient and Hessian, or residuals and their Jacobian."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from newtron.engine.base.checks import shown
from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array
from newtron.engine.objective.objective import Evaluation, FirstOrder, Objective, Offer, SecondOrder


class Function(Objective):
    """A smooth function of n_params parameters by its `value`, its `gradient` and, for solvers that need it, its
    `hessian`.

    Where the value is not finite nothing else is asked for, and a solver does not go there.

    Examples
    --------
    >>> import numpy as np
    >>> from newtron.engine import Function, Newton, minimize
    >>> class Valley(Function):
    ...     n_params = 1
    ...     def value(self, params):
    ...         return float(np.cosh(params[0] - 1.0))
    ...     def gradient(self, params):
    ...         return np.sinh(params - 1.0)
    ...     def hessian(self, params):
    ...         return np.cosh(params - 1.0)[:, None]
    >>> minimize(Valley(), [3.0], Newton()).params.round(6)
    array([1.])
    """

    @abstractmethod
    def value(self, params: Array) -> float:
        """The function at params (P,)."""

    @abstractmethod
    def gradient(self, params: Array) -> Array:
        """Its first derivatives at params, (P,)."""

    def hessian(self, params: Array) -> Array:
        """Its second derivatives at params, (P, P); leave it out for solvers that need only gradients."""
        raise InputError(
            f"{type(self).__name__} has no Hessian: write its method hessian(params), or choose a solver that needs "
            "gradients alone, such as LBFGS()."
        )

    @property
    def offers(self) -> frozenset[Offer]:
        if type(self).hessian is not Function.hessian:
            return super().offers
        return frozenset(("products",) if type(self)._hvp is not Objective._hvp else ())

    def _evaluate(self, params: Array, order: int, gauss_newton: bool) -> Evaluation:
        del gauss_newton
        value = self.value(params)
        try:
            value = float(value)
        except (TypeError, ValueError):
            raise InputError(f"{type(self).__name__}.value returned {shown(value)}; return one number.") from None
        if not np.isfinite(value):
            return _nowhere(self.n_params)
        if order == 0:
            return Evaluation(value)
        gradient = self._numbers("gradient", self.gradient(params))
        if order == 1:
            return FirstOrder(value, gradient)
        return SecondOrder(value, gradient, self._numbers("hessian", self.hessian(params)))

    def _numbers(self, method: str, found: object) -> Array:
        return _as_numbers(f"{type(self).__name__}.{method}", found)


class Residuals(Objective):
    """½ Σ r_i² of the residuals r (m,) of a model, by `residuals` and their `jacobian` (m, P).

    The gradient is J'r and the Gauss-Newton matrix J'J, all that Levenberg-Marquardt needs. The exact Hessian has
    Σ r_i ∇²r_i besides: Newton's method needs `second_order`, and Levenberg-Marquardt ends in fewer steps with it where
    residuals remain. Weighted residuals are sqrt(w_i) r_i.

    Examples
    --------
    >>> import numpy as np
    >>> from newtron.engine import LevenbergMarquardt, Residuals, minimize
    >>> t, y = np.array([0.0, 1.0, 2.0]), np.array([2.0, 1.0, 0.5])
    >>> class Decay(Residuals):  # y = a exp(-b t)
    ...     n_params = 2
    ...     def residuals(self, params):
    ...         return params[0] * np.exp(-params[1] * t) - y
    ...     def jacobian(self, params):
    ...         left = np.exp(-params[1] * t)
    ...         return np.column_stack([left, -params[0] * t * left])
    >>> minimize(Decay(), [1.0, 1.0], LevenbergMarquardt()).params.round(6)
    array([2.      , 0.693147])
    """

    @abstractmethod
    def residuals(self, params: Array) -> Array:
        """r at params, (m,)."""

    @abstractmethod
    def jacobian(self, params: Array) -> Array:
        """∂r_i/∂params_j at params, (m, P)."""

    def second_order(self, params: Array, residuals: Array) -> Array:
        """Σ r_i ∇²r_i at params, (P, P), r the residuals there; leave it out where Gauss-Newton is enough."""
        raise InputError(
            f"{type(self).__name__} has no second derivatives: write its method second_order(params, residuals), or "
            "choose a solver that needs none, such as LevenbergMarquardt()."
        )

    @property
    def offers(self) -> frozenset[Offer]:
        if type(self).second_order is not Residuals.second_order:
            return super().offers
        return frozenset(("curvature", "products") if type(self)._hvp is not Objective._hvp else ("curvature",))

    def _evaluate(self, params: Array, order: int, gauss_newton: bool) -> Evaluation:
        name = type(self).__name__
        r = _as_numbers(f"{name}.residuals", self.residuals(params))
        if r.ndim != 1:
            raise InputError(f"{name}.residuals returned shape {r.shape}; return an array of shape (m,).")
        value = 0.5 * float(r @ r)
        if not np.isfinite(value):
            return _nowhere(self.n_params)
        if order == 0:
            return Evaluation(value)
        J = _as_numbers(f"{name}.jacobian", self.jacobian(params))
        self._check_shape("Jacobian", J, (len(r), self.n_params))
        if order == 1:
            return FirstOrder(value, J.T @ r)
        hessian = J.T @ J
        if not gauss_newton:
            rest = _as_numbers(f"{name}.second_order", self.second_order(params, r))
            self._check_shape("second_order", rest, hessian.shape)
            hessian = hessian + rest
        return SecondOrder(value, J.T @ r, hessian)


def _as_numbers(where: str, found: object) -> Array:
    """What a method returned, as an array of float64."""
    try:
        return np.asarray(found, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{where} returned {shown(found)}; return an array of numbers.") from None


def _nowhere(n_params: int) -> SecondOrder:
    """What is found at a point where a function has no finite value."""
    return SecondOrder(np.inf, np.full(n_params, np.nan), np.full((n_params, n_params), np.nan))
