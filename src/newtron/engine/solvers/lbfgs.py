"""L-BFGS: the curvature learnt from the last steps (Nocedal 1980), started from curvature of a sample of rows.

For a perceptron of moderate size the initial matrix is the Hessian on a sample of the rows, and the start is that
sample's own optimum: then a handful of passes over all rows is enough, whatever the condition of the columns, where
plain L-BFGS takes the more the worse it is. Where steps stay slow the matrix is renewed from a larger sample, so that
rows which a sample represents badly (heavy tails) end in the Hessian of all rows. For a network it is the curvature of
each layer (`maths.layer_curvature`), formed again after ever more steps. Elsewhere the initial matrix is the scaled
identity. Sources: Byrd, Chin, Neveitt & Nocedal 2011 (sub-sampled Hessians with exact gradients); Jiang, Byrd, Eskow &
Schnabel 2004 (a preconditioner that is renewed while pairs are kept).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, NamedTuple

import numpy as np

from newtron.engine.base.checks import check_count, check_number
from newtron.engine.base.errors import InputError
from newtron.engine.base.linalg import Factor, factorize
from newtron.engine.base.types import Array
from newtron.engine.maths.layer_curvature import LayerFactor
from newtron.engine.objective import Objective
from newtron.engine.solvers.ends import at_precision, below_rounding
from newtron.engine.solvers.line_search import seen_at, wolfe
from newtron.engine.solvers.quasi_newton import Pairs
from newtron.engine.solvers.state import DERIVED, Solver, State, after_step, relative_gradient, scaled_step, unset

# Where a step leaves more than this share of the decrement on average, the curvature is formed again from more rows.
_RATE = 0.4
# How many times more rows each new matrix of curvature is formed from.
_GROWTH = 4.0
# Steps with a matrix before it is replaced, at least. There are also at least as many as the passes over all rows that
# the new matrix costs, so that unnecessary matrices never cost more than the steps.
_RENEW = 4
# The curvature of the layers of a network, which costs as much as two to four gradients, is formed again after so many
# steps, and then each time the number of steps has doubled: every 20, 50 or 100 steps took as many, within a tenth.
_RENEW_LAYERS = 10
# A matrix of P parameters from all rows costs as much as P / 20 passes.
_PER_PASS = 20
# Relative gradient to which the optimum of a sample is sought: about the gradient of all rows there.
_WARM_TOL = 3e-3
# Steps on the sample at most.
_WARM_STEPS = 10
# With the Hessian of a sample each step leaves about 2 / sqrt(rows per parameter) of the gradient of all rows. Pairs
# alone, which cost nothing, are tried first where on the sample they left at most twice that: where columns are nearly
# independent they need fewer passes, and elsewhere a few steps show that they are slow.
_NOISE = 4.0
# Steps without a smaller gradient that end the run where the expected descent is below the rounding of the value.
_PATIENCE = 3
# Steps with neither a smaller gradient nor a smaller value that end the run in any case.
_FROZEN = 10


@dataclass(frozen=True)
class LBFGSState(State):
    """pairs: of the last steps. direction: (P,) of the next step. factor: of the initial matrix. share: of the rows
    that it was formed from; 0 where it is the scaled identity. seen_at: the parameters where it was formed. renewed_at:
    the decrement then. age: steps with it. best_gradient: the smallest relative gradient so far. since_best: steps
    since then. frozen: steps since the gradient was smaller or the value fell by more than its rounding."""

    pairs: Pairs = field(default_factory=lambda: Pairs.none(0))
    direction: Array = field(default_factory=unset, metadata=DERIVED)
    factor: Factor | LayerFactor | None = field(default=None, metadata=DERIVED)
    best_gradient: float = float("inf")
    since_best: int = 0
    frozen: int = 0
    age: int = 0
    share: float = 0.0
    seen_at: Array | None = None
    renewed_at: float = float("inf")


@dataclass(frozen=True)
class LBFGS(Solver):
    """Limited-memory quasi-Newton steps with a line search.

    Parameters
    ----------
    memory : int
        How many pairs of a step and its change of the gradient are kept.
    sample : float
        The share of the rows whose curvature is the initial matrix (at least 20 rows per parameter).
    sample_below : int
        A sample is used only for a perceptron with fewer parameters than this; 0 is plain L-BFGS, from the given start,
        for networks as well, whose initial matrix is else the curvature of their layers.

    Notes
    -----
    Method: Nocedal 1980.

    Examples
    --------
    >>> import numpy as np
    >>> from newtron import LBFGS, PerceptronRegressor
    >>> x, y = np.array([[1.0], [2.0], [3.0]]), np.array([2.0, 4.0, 5.0])
    >>> PerceptronRegressor(solver=LBFGS(memory=5)).fit(x, y).coef_.round(6)
    array([1.5])
    """

    memory: int = 80
    sample: float = 0.05
    sample_below: int = 1000

    name: ClassVar[str] = "lbfgs"
    state_type: ClassVar[type[State]] = LBFGSState
    default_max_iter: ClassVar[int] = 5000

    def __post_init__(self) -> None:
        check_count("memory", self.memory)
        if check_number("sample", self.sample, above=0.0) > 1.0:
            raise InputError(f"sample={self.sample!r} must be a share of the rows: at most 1.")
        check_count("sample_below", self.sample_below, least=0)

    def init(self, objective: Objective, params: Array) -> LBFGSState:
        pairs = Pairs.none(objective.n_params)
        factor, share = None, 0.0
        if self._samples(objective):
            sample = objective.sampled(self.sample)
            if sample is not objective and objective.is_convex:
                params, pairs, factor = self._warm(sample, params)
            if not pairs:
                factor, share = factor or _factor(sample, params), self.sample
        elif self.sample_below and not objective.is_linear:
            factor = objective.layer_curvature(params)
            share = 0.0 if factor is None else 1.0
        found = objective.evaluate(params, 1)
        seen_at = params if share else None
        state = LBFGSState(
            params, found.value, found.gradient, pairs=pairs, factor=factor, share=share, seen_at=seen_at
        )
        state = _directed(objective, state)
        if factor is None and not pairs:
            return state
        decrement = _decrement(state.direction, state.gradient)
        return replace(state, decrement=decrement, renewed_at=decrement)

    def _samples(self, objective: Objective) -> bool:
        return objective.is_linear and objective.n_params < self.sample_below and "curvature" in objective.offers

    def _warm(self, sample: Objective, params: Array) -> tuple[Array, Pairs, Factor | LayerFactor | None]:
        """The approximate optimum of the sample, and the curvature found on the way: the pairs, where they led there
        about as quickly as the sample's matrix would lead to the optimum of all rows, else the matrix if it is
        known."""
        plain = _follow(replace(self, sample_below=0), sample, params)
        if plain.rate < _NOISE * sample.rows_per_parameter**-0.5:
            return plain.state.params, plain.state.pairs, None
        state = _follow(replace(self, sample=1.0), sample, plain.state.params).state
        return state.params, Pairs.none(sample.n_params), state.factor if state.age == 0 else None

    def restored(self, objective: Objective, state: LBFGSState) -> LBFGSState:
        if state.seen_at is not None:
            state = replace(state, factor=_initial(objective, state.seen_at, state.share))
        return _directed(objective, state)

    def _due(self, objective: Objective, state: LBFGSState) -> float:
        """The share of the rows from which the initial matrix is formed again before the next step; 0 where it is
        kept."""
        if not objective.is_linear:
            return state.share if state.age >= max(_RENEW_LAYERS, state.iteration // 2) else 0.0
        slow = not state.decrement <= _RATE**state.age * state.renewed_at
        share = min(1.0, _GROWTH * state.share or self.sample)
        due = slow and self._samples(objective) and state.age >= max(_RENEW, share * objective.n_params / _PER_PASS)
        return share if due else 0.0

    def step(self, objective: Objective, state: LBFGSState) -> LBFGSState:
        if share := self._due(objective, state):
            factor = _initial(objective, state.params, share)
            state = replace(state, factor=factor, age=0, share=share, seen_at=state.params, renewed_at=state.decrement)
            state = _directed(objective, state)
        direction = state.direction
        slope = float(direction @ state.gradient)
        rounding_hides = state.since_best >= _PATIENCE and below_rounding(objective, state, -0.5 * slope)
        if rounding_hides or state.frozen >= _FROZEN:
            return at_precision(objective, state)
        if not slope < 0.0:
            if not state.pairs:
                return at_precision(objective, state)
            return self._without_pairs(objective, state)
        known = state.factor is not None or bool(state.pairs)
        first = 1.0 if known else 1.0 / max(1e-300, float(np.linalg.norm(scaled_step(objective, direction))))
        noise = 10.0 * objective.epsilon * abs(state.value)
        found = wolfe(objective.along(state.params, direction), state.value, slope, first, noise)
        if found is None:
            if not state.pairs:
                return at_precision(objective, state)
            return self._without_pairs(objective, state)
        t, point = found
        step = t * direction
        reached = after_step(objective, state, step, seen_at(objective, state.params + step, point))
        norm = relative_gradient(objective, reached.gradient)
        stays = norm >= state.best_gradient and state.value - reached.value <= noise
        pairs = state.pairs.with_pair(objective, step, reached.gradient - state.gradient, self.memory)
        direction = _direction(objective, pairs, state.factor, reached.gradient)
        return replace(
            reached,
            best_gradient=min(norm, state.best_gradient),
            since_best=0 if norm < state.best_gradient else state.since_best + 1,
            frozen=state.frozen + 1 if stays else 0,
            pairs=pairs,
            direction=direction,
            decrement=_decrement(direction, reached.gradient),
            age=state.age + 1,
        )

    def _without_pairs(self, objective: Objective, state: LBFGSState) -> LBFGSState:
        """A step that forgets the pairs."""
        return self.step(objective, _directed(objective, replace(state, pairs=Pairs.none(objective.n_params))))


def _directed(objective: Objective, state: LBFGSState) -> LBFGSState:
    """The state with the direction of its next step."""
    return replace(state, direction=_direction(objective, state.pairs, state.factor, state.gradient))


def _direction(objective: Objective, pairs: Pairs, factor: Factor | LayerFactor | None, gradient: Array) -> Array:
    """Minus the approximate inverse Hessian times the gradient.

    The size of an initial matrix that is not a Hessian is that which the last pair shows (Nocedal & Wright, eq. 7.20):
    without it the line searches along the curvature of layers need two trials where one is enough."""
    if isinstance(factor, Factor):
        return -pairs.times_inverse(gradient, factor.solve)
    squared = 1.0 if objective.scale is None else np.square(objective.scale)

    def inverse(q: Array) -> Array:
        return np.asarray(q / squared) if factor is None else factor.solve(q)

    if not pairs:
        return -inverse(gradient)
    change = pairs.changes[-1]
    size = float(pairs.products[-1, -1]) / float(change @ inverse(change))
    return -pairs.times_inverse(gradient, lambda q: size * inverse(q))


def _decrement(direction: Array, gradient: Array) -> float:
    return float(max(0.0, -float(direction @ gradient)) ** 0.5)


def _initial(objective: Objective, params: Array, share: float) -> Factor | LayerFactor | None:
    """The factor of the initial matrix, formed at params from a share of the rows."""
    return _factor(objective.sampled(share), params) if objective.is_linear else objective.layer_curvature(params)


def _factor(objective: Objective, params: Array) -> Factor | None:
    """The factor of the curvature at params. Directions without curvature in a sample get a little, in the units of
    each column: a share of the largest curvature would exceed that of columns with small numbers."""
    curvature = objective.evaluate(params, 2, gauss_newton=True).hessian
    squared = np.square(objective.scale) if objective.scale is not None else np.ones(objective.n_params)
    diagonal = np.diagonal(curvature)
    return factorize(curvature, 1e-8 * np.maximum(diagonal, 1e-8 * squared * (diagonal / squared).max(initial=0.0)))


class _Followed(NamedTuple):
    state: LBFGSState
    rate: float  # share of the gradient that a step left, on average


def _follow(solver: LBFGS, sample: Objective, params: Array) -> _Followed:
    """At most `_WARM_STEPS` steps on a sample."""
    state = solver.init(sample, params)
    first = last = relative_gradient(sample, state.gradient)
    while state.iteration < _WARM_STEPS and last > _WARM_TOL:
        following = solver.step(sample, state)
        if following.status is not None or not np.isfinite(following.value):
            break
        state, last = following, relative_gradient(sample, following.gradient)
    rate = (last / first) ** (1.0 / state.iteration) if state.iteration else 1.0
    return _Followed(state, rate)
