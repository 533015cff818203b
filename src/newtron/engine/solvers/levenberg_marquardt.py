"""Levenberg-Marquardt: Gauss-Newton curvature plus a damping that falls when the model predicts well.

(J'HJ + penalty + mu D) step = -g, D the squared scale of the parameters. The damping follows Nielsen (1999): it
falls smoothly with the ratio of actual to predicted decrease and grows faster with every failure in a row.
Sources: Levenberg 1944; Marquardt 1963; Moré 1978 (scaling by the largest curvature seen).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar, NamedTuple

import numpy as np

from newtron.engine.base.checks import check_count, check_number
from newtron.engine.base.linalg import factorize
from newtron.engine.base.types import Array
from newtron.engine.objective import FirstOrder, Objective, Offer, SecondOrder
from newtron.engine.objective.local_curvature import DampedCurvature, LocalCurvature, MatrixCurvature
from newtron.engine.objective.newton_system import NewtonSystem
from newtron.engine.solvers.by_rows import NEAR, local_model
from newtron.engine.solvers.corrections import corrected
from newtron.engine.solvers.ends import (
    at_parameter_rounding,
    at_precision,
    below_rounding,
    check_start,
    is_nearer,
    sufficient_decrease,
)
from newtron.engine.solvers.state import DERIVED, Solver, State, Status, relative_gradient, step_length, unset

# Trial steps from one point at most. The damping at least doubles after each failure, with a factor that doubles too,
# so 60 reach any damping.
_TRIES = 60
# Share of an entry of D that is kept from step to step at least, for an objective without a scale.
_FADING = 0.5
# No entry of D falls below this share of (1 + sqrt(curvature at the start))², for an objective without a scale.
_FLOOR = 1e-7
# Where a step lowers the value to this share of itself or less, remaining residuals do not slow Gauss-Newton down,
# which then takes fewer and cheaper steps than the exact Hessian (tuned on fits without residuals and on penalised
# ones).
_FALL = 0.9
# A step that is followed by corrections leads about as far as so many without.
_WORTH = 5
# After so many steps in a row that no correction could follow, they are tried at every so many steps.
_RARELY = 3
# The damping mu is never below this, from which it can still grow back within `_TRIES`.
_LEAST_DAMPING = 1e-15
# Where columns nearly depend on each other, what tells them apart has far less curvature than any damping: each step is
# first tried with this one, which is none.
_NO_DAMPING = 1e-60
# First damping for an objective with a scale of its own (a network).
_DAMPING_SCALED = 1e-2
# First damping for an objective without a scale, whose start may lie anywhere.
_DAMPING_UNKNOWN = 1e4


class Trial(NamedTuple):
    """A damped step (P,), by how much the model without damping decreases along it, and the factored curvature that it
    was solved with; None where it was solved by the rows."""

    step: Array
    predicted: float
    damped: DampedCurvature | None = None


@dataclass(frozen=True)
class LevenbergMarquardtState(State):
    """curvature: at params; the exact Hessian if `seen_exact`, else its Gauss-Newton part. exact: is the next curvature
    to be the exact Hessian?
    metric: (P,) the diagonal D. floor: (P,) its least entries.
    damping: mu. growth: the factor of mu after the next failure. trial: the step with that damping, None where the
    curvature with it is not positive definite.
    decrement: the lower bound sqrt(g'(H + mu D)^-1 g), which takes no factorisation of its own, while that is above
    what could end a run; else sqrt(g'H^-1 g).
    best_gradient: the relative gradient when it was last at most half the one recorded before. best_value: the value
    when it was last at most `_FALL` of the one recorded before. since: steps since either was recorded, or since the
    kind of curvature last changed; one with corrections counts as `_WORTH`.
    damped_step: (P,) the step that led to params, without its corrections, 0 at the start; corrections: how many of
    these there were.
    fruitless: steps in a row, the last ones, that no correction could follow.
    system, columns: the local model of `by_rows`, for a perceptron whose Hessian has lost digits.
    """

    curvature: LocalCurvature = field(default=MatrixCurvature(unset()), metadata=DERIVED)
    metric: Array = field(default_factory=unset)
    floor: Array = field(default_factory=unset)
    damping: float = 0.0
    growth: float = 2.0
    exact: bool = False
    best_gradient: float = float("inf")
    best_value: float = float("inf")
    since: int = 0
    seen_exact: bool = False
    trial: Trial | None = field(default=None, metadata=DERIVED)
    damped_step: Array = field(default_factory=unset)
    corrections: int = 0
    fruitless: int = 0
    system: NewtonSystem | None = field(default=None, metadata=DERIVED)
    columns: str = ""


@dataclass(frozen=True)
class LevenbergMarquardt(Solver):
    """Damped Gauss-Newton steps, and with the exact Hessian where these become slow; of a network each is followed by
    corrections, which need gradients alone.

    Parameters
    ----------
    damping : float or None
        The first mu, relative to the curvature. None: 0.01 for a network, whose parameters have a known scale; 10,000
        for any other objective, so that the first steps are short.
    exact_after : int or None
        Gauss-Newton converges only linearly where residuals remain. After this many steps (one with corrections counts
        as five) that neither halved the gradient nor lowered the value by a tenth the exact Hessian replaces its
        Gauss-Newton part, until the value falls as fast again. The damping is the same and grows until the sum is
        positive definite; the end is then as quick as Newton's. None: never.
    corrections : int
        After a step of a network at most so many more are taken by the same factor and new gradients, for as long as
        the value falls as they expect. 0: none.
    stop_after : int or None
        The run ends by rule after so many steps, for a network whose predictions no longer gain from the long rest of
        the way to an optimum; it is then not called converged. None: no rule.

    Notes
    -----
    Methods: Levenberg 1944; Marquardt 1963; Nielsen 1999 (damping); Fan 2012 and Nocedal 1980 (corrections).

    Examples
    --------
    >>> import numpy as np
    >>> from newtron import LevenbergMarquardt, NetworkRegressor
    >>> x = np.linspace(-1.0, 1.0, 20)[:, None]
    >>> network = NetworkRegressor(hidden=(3,), n_starts=1, alpha=0.01, solver=LevenbergMarquardt())
    >>> network.fit(x, np.sin(3.0 * x[:, 0])).solution_.converged
    True
    """

    damping: float | None = None
    exact_after: int | None = 10
    corrections: int = 20
    stop_after: int | None = None

    name: ClassVar[str] = "levenberg-marquardt"
    state_type: ClassVar[type[State]] = LevenbergMarquardtState
    default_max_iter: ClassVar[int] = 5000
    needs: ClassVar[tuple[Offer, ...]] = ("curvature",)
    exact_decrement: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.damping is not None:
            check_number("damping", self.damping, above=0.0)
        if self.exact_after is not None:
            check_count("exact_after", self.exact_after, least=0)
        check_count("corrections", self.corrections, least=0)
        if self.stop_after is not None:
            check_count("stop_after", self.stop_after)

    def init(self, objective: Objective, params: Array) -> LevenbergMarquardtState:
        if objective.extended_precision:
            objective.extended_precision = False
        found, curvature, columns, system = _seen(objective, params, False, "")
        if isinstance(found, SecondOrder):
            check_start(objective, found)
        damping = self.damping
        if damping is None:
            damping = _DAMPING_UNKNOWN if objective.scale is None else _DAMPING_SCALED
        if system is not None:
            damping = _NO_DAMPING
        first = np.maximum(curvature.diagonal, 0.0)
        floor = _FLOOR * np.square(1.0 + np.sqrt(first))
        metric = _metric(objective, curvature.diagonal, floor)
        trial = _trial(curvature, found.gradient, system, damping * metric)
        return LevenbergMarquardtState(
            params,
            found.value,
            found.gradient,
            decrement=_decrement_or_bound(curvature, found.gradient, trial, system),
            curvature=curvature,
            metric=metric,
            floor=floor,
            damping=damping,
            trial=trial,
            system=system,
            columns=columns,
            damped_step=np.zeros_like(params),
        )

    def restored(self, objective: Objective, state: LevenbergMarquardtState) -> LevenbergMarquardtState:
        if objective.extended_precision != (state.columns == NEAR):
            objective.extended_precision = state.columns == NEAR
        _, curvature, _, system = _seen(objective, state.params, state.seen_exact, state.columns)
        trial = _trial(curvature, state.gradient, system, state.damping * state.metric)
        return replace(state, curvature=curvature, trial=trial, system=system)

    def decrement(self, objective: Objective, state: LevenbergMarquardtState) -> float:
        del objective
        return state.decrement if state.system is not None else state.curvature.decrement(state.gradient)

    def step(self, objective: Objective, state: LevenbergMarquardtState) -> State:
        damping, growth = state.damping, state.growth
        may_see_exact = self._exact(objective) is not None and not (state.seen_exact or objective.is_convex)
        for attempt in range(_TRIES):
            tried = state.trial
            if attempt:
                tried = _trial(state.curvature, state.gradient, state.system, damping * state.metric)
            if tried is not None:
                step, predicted = tried.step, tried.predicted
                if not predicted > 0.0:
                    break
                trial = state.params + step
                last = state.system is not None and predicted <= state.system.rounding(trial)
                value = objective.evaluate(trial, 0).value
                worth = sufficient_decrease(objective, state, predicted, value)
                if worth is not False:
                    ratio = (state.value - value) / predicted if worth else 1.0
                    moved = self._moved(objective, state, tried, damping, ratio)
                    if worth or self._is_nearer(objective, moved, state):
                        return at_parameter_rounding(moved) if last else moved
                    if below_rounding(objective, state, predicted):
                        break
                if last:
                    return at_parameter_rounding(state)
            damping = max(damping, 1e-12 * _reach(state.curvature.diagonal, state.metric)) * growth
            growth = min(2.0 * growth, 1e6)
        if may_see_exact:
            # Where residuals remain, the Gauss-Newton matrix differs from the objective's curvature, the more so where
            # the columns of the Jacobian depend on each other.
            return self.step(objective, _with_exact(objective, state))
        if state.system is not None:
            return at_parameter_rounding(state)
        return at_precision(objective, self._with_decrement(objective, state), exact=True)

    def _is_nearer(self, objective: Objective, moved: LevenbergMarquardtState, before: LevenbergMarquardtState) -> bool:
        """Is a point nearer to the optimum, where values can no longer decide?"""
        if objective.scale is None:
            return is_nearer(objective, moved, before, before.metric)
        return is_nearer(objective, self._with_decrement(objective, moved), self._with_decrement(objective, before))

    def _with_decrement(self, objective: Objective, state: LevenbergMarquardtState) -> LevenbergMarquardtState:
        return replace(state, decrement=self.decrement(objective, state))

    def _moved(
        self,
        objective: Objective,
        state: LevenbergMarquardtState,
        tried: Trial,
        damping: float,
        ratio: float,
    ) -> LevenbergMarquardtState:
        params: Array = state.params + tried.step
        corrections = 0
        tries = self._corrects(objective, state)
        if tried.damped is not None and tries:
            params, corrections = corrected(objective, state, tried.step, tried.damped, self.corrections)
        norm = state.best_gradient
        exact_after = self._exact(objective)
        stuck = exact_after is not None and state.since >= exact_after
        exact = state.exact or stuck
        found, curvature, columns, system = _seen(objective, params, exact, state.columns)
        reached = relative_gradient(objective, found.gradient)
        halved = reached <= 0.5 * norm
        fell = found.value <= _FALL * state.best_value
        metric = _metric(objective, curvature.diagonal, state.floor, state.metric)
        least = _LEAST_DAMPING * _reach(curvature.diagonal, metric)
        damping = max(damping * max(1.0 / 3.0, 1.0 - (2.0 * min(ratio, 1.0) - 1.0) ** 3), least)
        if system is not None:
            damping = _NO_DAMPING
        trial = _trial(curvature, found.gradient, system, damping * metric)
        by_rule = self.stop_after is not None and state.iteration + 1 >= self.stop_after
        return replace(
            state,
            params=params,
            value=found.value,
            gradient=found.gradient,
            iteration=state.iteration + 1,
            step_size=step_length(objective, params - state.params),
            decrement=_decrement_or_bound(curvature, found.gradient, trial, system),
            curvature=curvature,
            metric=metric,
            damping=damping,
            growth=2.0,
            exact=exact and not fell,
            seen_exact=exact,
            best_gradient=reached if halved else norm,
            best_value=found.value if fell or stuck else state.best_value,
            since=0 if halved or fell or stuck else state.since + (_WORTH if corrections else 1),
            trial=trial,
            damped_step=tried.step,
            corrections=corrections,
            fruitless=0 if corrections else state.fruitless + tries,
            system=system,
            columns=columns,
            status=Status.EARLY_STOPPED if by_rule else state.status,
            note=f"It was to take {self.stop_after} steps." if by_rule else state.note,
        )

    def _corrects(self, objective: Objective, state: LevenbergMarquardtState) -> bool:
        """Are corrections of the step from a state tried? Where they failed, as they do on the damped steps of a fit
        without residuals, they are tried less often."""
        of_network = objective.scale is not None and not objective.is_linear
        return of_network and self.corrections > 0 and (state.fruitless < _RARELY or state.iteration % _RARELY == 0)

    def _exact(self, objective: Objective) -> int | None:
        """`exact_after`, for an objective that has an exact Hessian."""
        return self.exact_after if "hessian" in objective.offers else None


def _with_exact(objective: Objective, state: LevenbergMarquardtState) -> LevenbergMarquardtState:
    """The state at the same point with the exact Hessian."""
    found = objective.evaluate(state.params, 2)
    curvature = MatrixCurvature(found.hessian)
    trial = _trial(curvature, state.gradient, None, state.damping * state.metric)
    return replace(
        state,
        curvature=curvature,
        decrement=_decrement_or_bound(curvature, found.gradient, trial, None),
        trial=trial,
        exact=True,
        seen_exact=True,
    )


class Seen(NamedTuple):
    """What was evaluated at a point, with what is known of the columns and the model by the rows (`LocalModel`)."""

    found: FirstOrder
    curvature: LocalCurvature
    columns: str
    system: NewtonSystem | None


def _seen(objective: Objective, params: Array, exact: bool, columns: str) -> Seen:
    """The local model with the exact Hessian or its Gauss-Newton part; by the rows where the Hessian of a perceptron
    has lost digits."""
    if not objective.is_linear and not exact:
        return Seen(*objective.gauss_newton(params), columns, None)
    found = objective.evaluate(params, 2, gauss_newton=not exact)
    if not objective.is_linear:
        return Seen(found, MatrixCurvature(found.hessian), columns, None)
    factor = factorize(found.hessian)
    condition = np.inf if factor is None else factor.condition
    found, columns, system = local_model(objective, params, found, condition, columns)
    return Seen(found, MatrixCurvature(found.hessian), columns, system)


def _trial(curvature: LocalCurvature, gradient: Array, system: NewtonSystem | None, added: Array) -> Trial | None:
    """The step by the curvature with added (P,) on its diagonal; None where the sum is not positive definite."""
    if system is None:
        factored = curvature.damped(added)
        step = None if factored is None else factored.solve(-gradient)
        return None if step is None else Trial(step, 0.5 * float(step @ (added * step - gradient)), factored)
    damped = system.damped(added)
    step = damped.step()
    return Trial(step, damped.decrease(step) + 0.5 * float(step @ (added * step)))


def _decrement_or_bound(
    curvature: LocalCurvature, gradient: Array, trial: Trial | None, system: NewtonSystem | None
) -> float:
    """sqrt(g'H^-1 g), or its lower bound by the damped step, where there is one."""
    if system is not None:
        return system.decrement
    if trial is None:
        return curvature.decrement(gradient)
    return float(max(0.0, -float(gradient @ trial.step)) ** 0.5)


def _reach(diagonal: Array, metric: Array) -> float:
    """The largest ratio of a parameter's curvature to its entry of D, at most 1: less where all curvature has fallen
    below the floor that the curvature at the start set."""
    return min(1.0, float((np.abs(diagonal) / metric).max(initial=0.0)))


def _metric(objective: Objective, diagonal: Array, floor: Array, before: Array | None = None) -> Array:
    """D from the diagonal (P,) of the curvature: the squared scale times the mean curvature for a network; each
    parameter's own curvature elsewhere.

    Without a scale D decreases slowly where the curvature vanishes, and never below a floor, so that a parameter that
    has just lost its influence cannot move far at once. With this all of NIST's nonlinear sets converge from both
    starts (tests/project/test_certified_solvers.py), also from far ones such as MGH17's.
    """
    diagonal = np.maximum(diagonal, 0.0)
    if objective.scale is not None:
        squared = np.square(objective.scale)
        if objective.is_linear:
            return np.maximum(diagonal, 1e-7 * squared)
        return np.asarray(squared * (float((diagonal / squared).sum()) / squared.size or 1.0))
    diagonal = np.maximum(diagonal, floor)
    return diagonal if before is None else np.maximum(diagonal, _FADING * before)
