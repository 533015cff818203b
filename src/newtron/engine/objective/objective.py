"""What a solver knows of the function that it minimises.

A solver asks an `Objective` for a value and derivatives at a point and knows nothing else, so it can minimise any
smooth function.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self, TypeAlias, overload

import numpy as np

from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array
from newtron.engine.maths.layer_curvature import LayerFactor
from newtron.engine.objective.local_curvature import LocalCurvature, MatrixCurvature
from newtron.engine.objective.newton_system import NewtonSystem


@dataclass
class Evaluation:
    """The value of an objective at a point. Evaluations of the same order add up.

    Examples
    --------
    >>> from newtron.engine import Evaluation
    >>> total = Evaluation(1.0)
    >>> total += Evaluation(2.0)
    >>> total
    Evaluation(value=3.0)
    """

    value: float

    def __iadd__(self, other: Self) -> Self:
        for name, part in vars(other).items():
            vars(self)[name] += part
        return self


@dataclass
class FirstOrder(Evaluation):
    """The value and the gradient (P,).

    Examples
    --------
    >>> import numpy as np
    >>> from newtron.engine import FirstOrder
    >>> FirstOrder(1.0, np.zeros(2)).gradient
    array([0., 0.])
    """

    gradient: Array


@dataclass
class SecondOrder(FirstOrder):
    """The value, the gradient (P,) and the Hessian (P, P) or its Gauss-Newton part.

    Examples
    --------
    >>> import numpy as np
    >>> from newtron.engine import SecondOrder
    >>> SecondOrder(1.0, np.zeros(2), np.eye(2)).hessian.shape
    (2, 2)
    """

    hessian: Array


_OF_ORDER = (Evaluation, FirstOrder, SecondOrder)


class LinePoint(NamedTuple):
    """The function on a line: its value and slope at t, and the whole gradient where it was computed for them."""

    value: float
    slope: float
    gradient: Array | None = None


class Minimiser(NamedTuple):
    """The exact solution of a quadratic objective. params: (P,). lost: by how much rounding them to doubles raised the
    value. note: what else there is to say of them, or ""."""

    params: Array
    lost: float
    note: str


# What an objective gives to solvers beside its value and gradient. "hessian": the exact Hessian. "curvature": a matrix
# of curvature, the Hessian or its Gauss-Newton part. "products": products of the Hessian with a vector. "batches": the
# value and gradient of random samples of its rows.
Offer: TypeAlias = Literal["hessian", "curvature", "products", "batches"]


class Objective(ABC):
    """A smooth function of a flat vector of n_params parameters.

    Only `n_params` and `_evaluate` must be given; the rest follows from them, and a subclass that can do better does.
    `Function` and `Residuals` are more convenient to derive from. `counts` says how often each kind of evaluation was
    asked for.

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
    >>> valley = Valley()
    >>> valley.evaluate(np.array([1.0]), order=1)
    FirstOrder(value=1.0, gradient=array([0.]))
    """

    n_params: int = 0
    rows_per_parameter = 0.0  # how well a sum over rows determines the parameters
    is_linear = False  # the raw prediction is linear in the parameters
    is_convex = False  # whatever the start, there is one optimum
    is_quadratic = False  # the Hessian is the same everywhere
    epsilon = float(np.finfo(np.float64).eps)  # relative rounding of a value
    extended_precision = False  # evaluate with more digits than a pass over rows has
    counts: Counter[str]

    def __new__(cls, *args: object, **kwargs: object) -> Self:
        """A subclass need not call any `__init__`, and may be a frozen dataclass."""
        del args, kwargs
        self = super().__new__(cls)
        object.__setattr__(self, "counts", Counter())
        return self

    @property
    def offers(self) -> frozenset[Offer]:
        """What a solver may ask for beside value and gradient."""
        return frozenset(("hessian", "curvature", "products"))

    @abstractmethod
    def _evaluate(self, params: Array, order: int, gauss_newton: bool) -> Evaluation:
        """An `Evaluation` for order 0, a `FirstOrder` for order 1, a `SecondOrder` for order 2; more is welcome."""

    @overload
    def evaluate(self, params: Array, order: Literal[0], gauss_newton: bool = False) -> Evaluation: ...

    @overload
    def evaluate(self, params: Array, order: Literal[1], gauss_newton: bool = False) -> FirstOrder: ...

    @overload
    def evaluate(self, params: Array, order: Literal[2], gauss_newton: bool = False) -> SecondOrder: ...

    @overload
    def evaluate(self, params: Array, order: int, gauss_newton: bool = False) -> Evaluation: ...

    def evaluate(self, params: Array, order: int, gauss_newton: bool = False) -> Evaluation:
        """Value and derivatives up to `order` (0, 1, 2).

        gauss_newton: the Hessian without second derivatives of the model, which is positive semidefinite. A value that
        overflows is inf or nan, without a warning. Raises an InputError for arrays of wrong shape."""
        self.counts[("value", "gradient", "hessian")[order]] += 1
        with np.errstate(all="ignore"):
            found = self._evaluate(params, order, gauss_newton)
        if not isinstance(found, _OF_ORDER[order]):
            raise InputError(
                f"{type(self).__name__}._evaluate must return a {_OF_ORDER[order].__name__} for order {order}, "
                f"not a {type(found).__name__}."
            )
        if isinstance(found, FirstOrder):
            self._check_shape("gradient", found.gradient, (self.n_params,))
        if isinstance(found, SecondOrder):
            self._check_shape("Hessian", found.hessian, (self.n_params, self.n_params))
        return found

    def gauss_newton(self, params: Array) -> tuple[FirstOrder, LocalCurvature]:
        """Value and gradient at params, and the curvature without second derivatives of the model."""
        found = self.evaluate(params, 2, gauss_newton=True)
        return found, MatrixCurvature(found.hessian)

    def layer_curvature(self, params: Array) -> LayerFactor | None:
        """The curvature of the layers of a network at params, each for itself; None where there are no layers, or their
        curvature cannot be found."""
        del params
        return None

    def _check_shape(self, what: str, found: Array, expected: tuple[int, ...]) -> None:
        if not isinstance(found, np.ndarray) or found.shape != expected:
            given = f"shape {found.shape}" if isinstance(found, np.ndarray) else f"type {type(found).__name__}"
            raise InputError(
                f"The {what} of {type(self).__name__} has {given}; return an array of shape {expected}, since n_params "
                f"is {self.n_params}."
            )

    def hvp(self, params: Array, v: Array) -> Array:
        """The Hessian at params times v (P,)."""
        self.counts["hessian_product"] += 1
        return self._hvp(params, v)

    def _hvp(self, params: Array, v: Array) -> Array:
        found = self._evaluate(params, 2, False)
        assert isinstance(found, SecondOrder)
        return found.hessian @ v

    def along(self, params: Array, direction: Array) -> Callable[[float], LinePoint]:
        """t -> value and slope of the function on the line params + t * direction."""

        def on_line(t: float) -> LinePoint:
            found = self.evaluate(params + t * direction, 1)
            return LinePoint(found.value, float(found.gradient @ direction), found.gradient)

        return on_line

    @property
    def scale(self) -> Array | None:
        """(P,) by how much the model's raw prediction changes per unit of each parameter; None where it is not
        known."""
        return None

    @property
    def gradient_scale(self) -> Array:
        """(P,) the unit of each component of the gradient when convergence is judged."""
        return np.ones(self.n_params)

    def solve_quadratic(self, condition: float) -> Minimiser | None:
        """The minimiser to the last digits, where the objective is a linear least-squares problem and a Hessian of this
        condition would lose too many of them; else None."""
        del condition
        return None

    @property
    def keeps_digits(self) -> bool:
        """Is it known without looking that the Hessian is nowhere so badly conditioned that it loses digits which the
        rows may have?"""
        return False

    def determined(self, hessian: Array) -> Array:
        """The Hessian with curvature added along directions in which the function is known never to change, so that
        the Newton step does not move along them."""
        return hessian

    def newton_system(self, params: Array, hessian: Array, condition: float) -> NewtonSystem | None:
        """The Newton system at params by QR of the rows, where the Hessian there has lost digits that the rows may
        have; None where it has not, or where there are no rows. condition: of the Hessian in equilibrated columns."""
        del params, hessian, condition
        return None

    def unbounded_below(self, value: float) -> str | None:
        """A reason why the function has no minimum, if its value here proves it."""
        del value
        return None

    def escapes_to_infinity(self, params: Array, gradient: Array) -> str | None:
        """A reason why a point with a small gradient is nevertheless no minimum but a place on the way to
        infinity; None where it is at rest."""
        del params, gradient
        return None

    def sampled(self, fraction: float) -> Objective:
        """The same function on a sample of its rows, for cheap curvature; the function itself where it has no rows."""
        del fraction
        return self
