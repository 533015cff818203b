"""L-BFGS: the curvature learnt from the last steps (Nocedal 1980), started from curvature of a sample of rows.

For a perceptron of moderate size the initial matrix is the Hessian on a sample of the rows, and the start is that
sample's own optimum: then a handful of passes over all rows is enough, whatever the condition of the columns, where
plain L-BFGS takes the more the worse it is. Where steps stay slow the matrix is renewed from a larger sample, so that
rows which a sample represents badly (heavy tails) end in the Hessian of all rows. Elsewhere the initial matrix is the
scaled identity. Source: Byrd, Chin, Neveitt & Nocedal 2011 (sub-sampled Hessians with exact gradients).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, NamedTuple

import numpy as np

from newtron.engine.base.checks import check_count, check_number
from newtron.engine.base.errors import InputError
from newtron.engine.base.linalg import Factor, factorize
from newtron.engine.base.types import Array
from newtron.engine.objective import Objective
from newtron.engine.solvers.ends import at_precision, below_rounding
from newtron.engine.solvers.line_search import wolfe
from newtron.engine.solvers.state import DERIVED, Solver, State, relative_gradient, scaled_step, step_length

Pairs = tuple[tuple[Array, Array], ...]

# Where steps shrink the decrement by less than this factor each, the curvature is made anew, from so many times more
# rows; but not before as many steps, and at the least so many, as the passes over all rows that this costs. What is
# spent on matrices that are not needed is then never more than what is spent on steps.
_RATE, _GROWTH, _RENEW = 0.4, 4.0, 4
# A matrix of P parameters from all rows costs P / 20 passes: it is arithmetic, a pass is reading.
_PER_PASS = 20
# To what gradient the optimum of a sample is sought, which is about the gradient of all rows there, and in how many
# steps.
_WARM_TOL, _WARM_STEPS = 3e-3, 10
# With the Hessian of a sample each step leaves about 2 / sqrt(rows per parameter) of the gradient of all rows, at some
# cost. Pairs alone are tried first where on the sample they, still learning, left up to twice that: where columns are
# as good as independent they need fewer passes, and where they are not a few steps show it.
_NOISE = 4.0
# Steps without a smaller gradient, once values no longer tell, that are the end; and so many without either, whatever
# the model of the curvature expects.
_PATIENCE, _FROZEN = 3, 10


@dataclass(frozen=True)
class LBFGSState(State):
    """pairs: the last (step, change of gradient), oldest first. factor: of the sampled curvature, share: of the rows
    that it was made from, seen_at: the parameters where it was made, renewed_at: the decrement then, age: its steps.
    best_gradient: the smallest yet, since_best: steps since. frozen: steps since the gradient was smaller or the value
    fell by more than its rounding."""

    pairs: Pairs = ()
    factor: Factor | None = field(default=None, metadata=DERIVED)
    best_gradient: float = float("inf")
    since_best: int = 0
    frozen: int = 0
    age: int = 0
    share: float = 0.0
    seen_at: Array | None = None
    renewed_at: float = float("inf")


@dataclass(frozen=True)
class LBFGS(Solver):
    """memory: how many pairs are kept. sample: share of the rows whose curvature starts the matrix (at least 20
    rows per parameter). sample_below: only with fewer parameters than this; 0 is plain L-BFGS, from the start given."""

    memory: int = 20
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
        pairs: Pairs = ()
        factor, share = None, 0.0
        if self._samples(objective):
            sample = objective.sampled(self.sample)
            if sample is not objective and objective.is_convex:
                params, pairs, factor = self._warm(sample, params)
            if not pairs:
                factor, share = factor or _factor(sample, params), self.sample
        found = objective.evaluate(params, 1)
        seen_at = params if share else None
        state = LBFGSState(
            params, found.value, found.gradient, pairs=pairs, factor=factor, share=share, seen_at=seen_at
        )
        if factor is None and not pairs:
            return state
        decrement = self._decrement(objective, state)
        return replace(state, decrement=decrement, renewed_at=decrement)

    def _samples(self, objective: Objective) -> bool:
        return objective.is_linear and objective.n_params < self.sample_below and "curvature" in objective.offers

    def _warm(self, sample: Objective, params: Array) -> tuple[Array, Pairs, Factor | None]:
        """About the optimum of the sample; and, where it was reached without a matrix and about as quickly as the
        sample's matrix would do it for all rows, the pairs that did it, else that matrix if it is known."""
        plain = _follow(replace(self, sample_below=0), sample, params)
        if plain.rate < _NOISE * sample.rows_per_parameter**-0.5:
            return plain.state.params, plain.state.pairs, None
        state = _follow(replace(self, sample=1.0), sample, plain.state.params).state
        return state.params, (), state.factor if state.age == 0 else None

    def restored(self, objective: Objective, state: LBFGSState) -> LBFGSState:
        if state.seen_at is None:
            return state
        return replace(state, factor=_factor(objective.sampled(state.share), state.seen_at))

    def step(self, objective: Objective, state: LBFGSState) -> LBFGSState:
        slow = not state.decrement <= _RATE**state.age * state.renewed_at
        share = min(1.0, _GROWTH * state.share or self.sample)
        if slow and self._samples(objective) and state.age >= max(_RENEW, share * objective.n_params / _PER_PASS):
            factor = _factor(objective.sampled(share), state.params)
            state = replace(state, factor=factor, age=0, share=share, seen_at=state.params, renewed_at=state.decrement)
        direction = -self._times_inverse(objective, state, state.gradient)
        slope = float(direction @ state.gradient)
        gone = state.since_best >= _PATIENCE and below_rounding(objective, state, -0.5 * slope)
        if gone or state.frozen >= _FROZEN:
            return at_precision(objective, state)
        if not slope < 0.0:
            if not state.pairs:
                return at_precision(objective, state)
            return self.step(objective, replace(state, pairs=()))
        known = state.factor is not None or bool(state.pairs)
        first = 1.0 if known else 1.0 / max(1e-300, float(np.linalg.norm(scaled_step(objective, direction))))
        noise = 10.0 * objective.epsilon * abs(state.value)
        found = wolfe(objective.along(state.params, direction), state.value, slope, first, noise)
        if found is None:
            if not state.pairs:
                return at_precision(objective, state)
            return self.step(objective, replace(state, pairs=()))
        t, point = found
        step = t * direction
        params = state.params + step
        value, gradient = point.value, point.gradient
        if gradient is None:
            there = objective.evaluate(params, 1)
            value, gradient = there.value, there.gradient
        change = gradient - state.gradient
        pairs = _with_pair(objective, state.pairs, step, change)[-self.memory :]
        norm = relative_gradient(objective, gradient)
        stays = norm >= state.best_gradient and state.value - value <= noise
        following = replace(
            state,
            best_gradient=min(norm, state.best_gradient),
            since_best=0 if norm < state.best_gradient else state.since_best + 1,
            frozen=state.frozen + 1 if stays else 0,
            params=params,
            value=value,
            gradient=gradient,
            pairs=pairs,
            age=state.age + 1,
            iteration=state.iteration + 1,
            step_size=step_length(objective, step),
        )
        return replace(following, decrement=self._decrement(objective, following))

    def _decrement(self, objective: Objective, state: LBFGSState) -> float:
        expected = float(state.gradient @ self._times_inverse(objective, state, state.gradient))
        return float(np.sqrt(max(0.0, expected)))

    @staticmethod
    def _times_inverse(objective: Objective, state: LBFGSState, gradient: Array) -> Array:
        """Approximate inverse Hessian times the gradient: the two-loop recursion."""
        q = gradient.copy()
        kept = []
        for step, change in reversed(state.pairs):
            rho = 1.0 / float(step @ change)
            alpha = rho * float(step @ q)
            q -= alpha * change
            kept.append((rho, alpha, step, change))
        if state.factor is not None:
            q = state.factor.solve(q)
        else:
            inverse = 1.0 if objective.scale is None else 1.0 / np.square(objective.scale)
            if state.pairs:
                step, change = state.pairs[-1]
                inverse = inverse * float(step @ change) / float(change @ (inverse * change))
            q *= inverse
        for rho, alpha, step, change in reversed(kept):
            q += (alpha - rho * float(change @ q)) * step
        return q


def _with_pair(objective: Objective, pairs: Pairs, step: Array, change: Array) -> Pairs:
    """The pairs with one more, where rounding leaves its curvature a sign."""
    unit = np.ones_like(step) if objective.scale is None else objective.scale
    if step @ change > 1e-14 * float(np.linalg.norm(step * unit) * np.linalg.norm(change / unit)):
        return (*pairs, (step, change))
    return pairs


def _factor(objective: Objective, params: Array) -> Factor | None:
    """Of the curvature at params. Directions that a sample does not see get a little curvature instead of none, in the
    units of each column: a share of the largest of all would swamp those of small ones."""
    curvature = objective.evaluate(params, 2, gauss_newton=True).hessian
    squared = np.square(objective.scale) if objective.scale is not None else np.ones(objective.n_params)
    diagonal = np.diagonal(curvature)
    return factorize(curvature, 1e-8 * np.maximum(diagonal, 1e-8 * squared * (diagonal / squared).max(initial=0.0)))


class _Followed(NamedTuple):
    state: LBFGSState
    rate: float  # what a step left of the gradient, on average


def _follow(solver: LBFGS, sample: Objective, params: Array) -> _Followed:
    """A few steps on a sample."""
    state = solver.init(sample, params)
    first = last = relative_gradient(sample, state.gradient)
    while state.iteration < _WARM_STEPS and last > _WARM_TOL:
        following = solver.step(sample, state)
        if following.status is not None or not np.isfinite(following.value):
            break
        state, last = following, relative_gradient(sample, following.gradient)
    rate = (last / first) ** (1.0 / state.iteration) if state.iteration else 1.0
    return _Followed(state, rate)
