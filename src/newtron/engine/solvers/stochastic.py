"""Mini-batches: K-FAC, Adam or SGD with momentum, with early stopping on rows held out from the training itself.

No learning rate need be guessed: the rate is kept while the held-out loss falls; when it stalls the rate drops
to 0.3 of itself and training goes on from the best point; after some stalls it ends there. Where the number of epochs
is given, the rate falls along half a cosine instead (Loshchilov & Hutter 2017), so that the time is known beforehand.
What is scored is an average of the parameters on the way that favours the later ones, which is less noisy than the last
of them (Polyak & Juditsky 1992; the weights are those of Shamir & Zhang 2013).
Sources: `kfac`; Kingma & Ba 2015 (Adam); Polyak 1964 (momentum).

An early stop is not an optimum and is never called one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from newtron.engine.base.checks import check_choice, check_count, check_number
from newtron.engine.base.errors import InputError
from newtron.engine.base.types import Array
from newtron.engine.objective import Objective, Offer, TrainingObjective
from newtron.engine.solvers.batch_pass import BatchPass
from newtron.engine.solvers.kfac import KFAC, EigenDecomposition, factor_shapes, input_decomposition
from newtron.engine.solvers.state import DERIVED, Solver, State, Status, relative_gradient, step_length, unset

# Decay of the averages of the gradient and of its square, and what is added to the root: the defaults of Kingma & Ba.
_DECAY, _DECAY_SQUARED, _TINY = 0.9, 0.999, 1e-8
# First learning rate of each method.
_RATES = {"kfac": 0.3, "adam": 0.01, "momentum": 0.1}
# Momentum of K-FAC, less than that of the others since its steps are larger.
_KFAC_DECAY = 0.8
# Steps between two estimates of K-FAC's factors, so that the estimates take less than a tenth of the time.
_RENEWED_EVERY = 20
# The average weighs the t-th step by about t to this power, so that mainly the last third of the steps counts.
_RECENT = 4
# Rows of a batch by default: at least, at most, and how many batches there should be between these limits.
_FEWEST, _MOST, _BATCHES = 32, 800, 60
# Epochs without a gain before the rate falls, at most, where an epoch has few batches.
_MOST_PATIENT = 5
# Where the epochs are given: the share of them without a gain that ends the training. On power, letter and friedman1 no
# later epoch gained anything once a quarter of them had not.
_WAITING = 0.25
# Factor of the rate after a stall, and share of the held-out loss that an epoch must gain not to count as stalled.
_SLOWER, _GAIN = 0.3, 1e-4
# A relative gradient on the held-out rows below this may be an end, so it is computed on all rows.
_SMALL = 1e-3
# Rows that are held out at most: with so many the error of their mean loss is small beside what training gains.
_MOST_HELD_OUT = 20_000


@dataclass(frozen=True)
class StochasticState(State):
    """params is the best point on the held-out rows; iterate is the current point of the training. One iteration is an
    epoch.

    value, gradient: of the held-out rows and the penalty, an estimate of the objective's that needs no further pass;
    `Stochastic.finish` replaces them by those of all rows. average: of the iterates of `averaged` steps since the last
    stall. factors, estimates, inputs: K-FAC's estimate of the curvature.
    """

    iterate: Array = field(default_factory=unset)
    average: Array = field(default_factory=unset)
    moment: Array = field(default_factory=unset)
    squared_moment: Array = field(default_factory=unset)
    inputs: EigenDecomposition | None = field(default=None, metadata=DERIVED)
    factors: tuple[Array, ...] = ()
    estimates: int = 0
    averaged: int = 0
    updates: int = 0
    rate: float = 0.0
    best: float = float("inf")
    since_best: int = 0
    stalls: int = 0


@dataclass(frozen=True)
class Stochastic(Solver):
    """Steps on random batches of rows, with early stopping on rows held out. One iteration is one epoch.

    Parameters
    ----------
    method : {"kfac", "adam", "momentum"}
    learning_rate : float or None
        The first rate; None is 0.3 for K-FAC, 0.01 for Adam, 0.1 for momentum.
    batch_size : int or None
        None is a sixtieth of the rows, between 32 and 800.
    validation : float
        The share of the rows held out (at most 20,000 rows).
    patience : int or None
        Epochs without improvement that are a stall; None is one epoch, or up to five where an epoch has few batches.
    max_stalls : int
        Stalls that end the training.
    epochs : int or None
        The rate falls to 0 along half a cosine over so many epochs, which end the training, or a quarter of them
        without improvement does; `patience` and `max_stalls` then have no meaning. None: the rate falls at stalls.
    seed : int
        The seed of the split and the batches.

    Notes
    -----
    Methods: Martens & Grosse 2015 (K-FAC); Kingma & Ba 2015 (Adam); Polyak 1964 (momentum); Loshchilov &
    Hutter 2017 (the cosine).

    Examples
    --------
    >>> import numpy as np
    >>> from newtron import NetworkRegressor, Stochastic
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(500, 1))
    >>> y = np.sin(x[:, 0]) + 0.3 * rng.normal(size=500)
    >>> network = NetworkRegressor(hidden=(5,), n_starts=1, alpha=0.01, solver=Stochastic(seed=1))
    >>> network.fit(x, y).solution_.status.name
    'EARLY_STOPPED'
    """

    method: Literal["kfac", "adam", "momentum"] = "kfac"
    learning_rate: float | None = None
    batch_size: int | None = None
    validation: float = 0.1
    patience: int | None = None
    max_stalls: int = 5
    epochs: int | None = None
    seed: int = 0

    name: ClassVar[str] = "stochastic"
    state_type: ClassVar[type[State]] = StochasticState
    default_max_iter: ClassVar[int] = 1000
    needs: ClassVar[tuple[Offer, ...]] = ("batches",)

    def __post_init__(self) -> None:
        check_choice("method", self.method, tuple(_RATES))
        if self.learning_rate is not None:
            check_number("learning_rate", self.learning_rate, above=0.0)
        if self.batch_size is not None:
            check_count("batch_size", self.batch_size)
        check_number("validation", self.validation, above=0.0, below=1.0)
        if self.patience is not None:
            check_count("patience", self.patience)
        check_count("max_stalls", self.max_stalls)
        if self.epochs is not None:
            check_count("epochs", self.epochs)
        check_count("seed", self.seed, least=0)

    def init(self, objective: Objective, params: Array) -> StochasticState:
        if not isinstance(objective, TrainingObjective) or objective.rows.n_rows < 2:
            raise InputError("solver 'stochastic' draws batches and holds rows out: it needs two rows or more.")
        training, held_out = self._parts(objective)
        if not (training.rows.total_weight > 0.0 and held_out.rows.total_weight > 0.0):
            raise InputError(
                "sample_weight is zero for all rows of one part: solver 'stochastic' needs more weighted rows."
            )
        seen = _scored(objective, held_out, params)
        state = StochasticState(params, seen.value, seen.gradient, best=seen.score, inputs=self._inputs(objective))
        return _restarted(training, replace(state, rate=self.learning_rate or _RATES[self.method]))

    def restored(self, objective: Objective, state: StochasticState) -> StochasticState:
        assert isinstance(objective, TrainingObjective)
        shapes = factor_shapes(objective.network)
        if state.factors and [factor.shape for factor in state.factors] != shapes:
            raise InputError("The curvature that was kept is not that of this network's layers.")
        return replace(state, inputs=self._inputs(objective))

    def _parts(self, objective: TrainingObjective) -> tuple[TrainingObjective, TrainingObjective]:
        """What is trained on, and what is held out."""
        return objective.split(self.validation, _MOST_HELD_OUT, self.seed)

    def _inputs(self, objective: TrainingObjective) -> EigenDecomposition | None:
        """K-FAC's factor of the first layer, which follows from the rows and the seed."""
        if self.method != "kfac":
            return None
        training, _ = self._parts(objective)
        return input_decomposition(objective, np.random.default_rng(self.seed)).astype(training.rows.dtype)

    def step(self, objective: Objective, state: StochasticState) -> State:
        assert isinstance(objective, TrainingObjective)
        trained = self._epoch(objective, state)
        average = trained.average.astype(np.float64)
        training, held_out = self._parts(objective)
        seen = _scored(objective, held_out, average)
        better = bool(np.isfinite(seen.score) and seen.score < state.best)
        gained = better and state.best - seen.score > _GAIN * abs(state.best)
        found = replace(trained, since_best=0 if gained else state.since_best + 1, step_size=0.0)
        if better:
            found = replace(
                found,
                params=average,
                value=seen.value,
                gradient=seen.gradient,
                best=seen.score,
                step_size=step_length(objective, average - state.params),
            )
        if self.epochs is not None:
            return self._on_schedule(training, found, bool(np.isfinite(seen.score)), self.epochs)
        if np.isfinite(seen.score) and found.since_best < self._patience(training.rows.n_rows):
            return found
        if state.stalls + 1 >= self.max_stalls:
            note = "The loss on an inner split of the training rows stopped improving."
            return replace(found, status=Status.EARLY_STOPPED, note=note)
        return _restarted(training, replace(found, rate=_SLOWER * state.rate, since_best=0, stalls=state.stalls + 1))

    def _on_schedule(
        self, training: TrainingObjective, found: StochasticState, finite: bool, epochs: int
    ) -> StochasticState:
        """The state after one of a given number of epochs. finite: of the held-out loss."""
        if not finite:
            found = _restarted(training, replace(found, rate=_SLOWER * found.rate))
        if found.since_best > _WAITING * epochs:
            note = "The loss on rows held out stopped improving."
            return replace(found, status=Status.EARLY_STOPPED, note=note)
        if found.iteration >= epochs:
            note = "The learning rate fell to 0 over a given number of passes."
            return replace(found, status=Status.EARLY_STOPPED, note=note)
        return found

    def _rate(self, state: StochasticState, done: float) -> float:
        """The rate where a share of an epoch is done."""
        if self.epochs is None:
            return state.rate
        return state.rate * 0.5 * (1.0 + math.cos(math.pi * min(1.0, (state.iteration + done) / self.epochs)))

    def _batch_size(self, n_rows: int) -> int:
        return self.batch_size or int(np.clip(n_rows // _BATCHES, _FEWEST, _MOST))

    def _patience(self, n_rows: int) -> int:
        # An epoch of few batches changes little, so several of them count as one.
        trial = math.ceil(_BATCHES * self._batch_size(n_rows) / n_rows)
        return self.patience or min(trial, _MOST_PATIENT)

    def finish(self, objective: Objective, state: State) -> State:
        found = objective.evaluate(state.params, 1)
        return replace(state, value=found.value, gradient=found.gradient)

    def _epoch(self, objective: TrainingObjective, state: StochasticState) -> StochasticState:
        """One pass over the training rows."""
        training, _ = self._parts(objective)
        params, average = state.iterate.copy(), state.average.copy()
        moment, squared = state.moment.copy(), state.squared_moment.copy()
        batch_pass, curvature = BatchPass(training), None
        if state.inputs is not None:
            unit = float((objective.gradient_scale / objective.scale)[0])
            curvature = KFAC(batch_pass, state.inputs, state.factors, state.estimates, unit)
        # The generator follows from seed and epoch, so that a resumed run draws the same batches.
        rng = np.random.default_rng([self.seed, state.iteration + 1])
        updates, averaged = state.updates, state.averaged
        size = self._batch_size(training.rows.n_rows)
        for number, batch in enumerate(training.rows.batches(size, rng)):
            rate = self._rate(state, number * size / training.rows.n_rows)
            gradient = batch_pass.gradient(params, batch)
            updates += 1
            if self.method == "adam":
                moment += (1.0 - _DECAY) * (gradient - moment)
                squared += (1.0 - _DECAY_SQUARED) * (np.square(gradient) - squared)
                root = np.sqrt(squared / (1.0 - _DECAY_SQUARED**updates))
                params -= rate * (moment / (1.0 - _DECAY**updates)) / (root + _TINY)
            elif curvature is not None:
                if number % _RENEWED_EVERY == 0:
                    curvature.estimate(params, batch)
                moment *= _KFAC_DECAY
                moment -= curvature.step(gradient, rate)
                params += moment
            else:
                moment *= _DECAY
                moment -= rate * gradient
                params += moment
            averaged += 1
            average += (params - average) * ((_RECENT + 1) / (_RECENT + averaged))
        return replace(
            state,
            iteration=state.iteration + 1,
            iterate=params,
            average=average,
            moment=moment,
            squared_moment=squared,
            factors=() if curvature is None else curvature.factors,
            estimates=0 if curvature is None else curvature.estimates,
            averaged=averaged,
            updates=updates,
        )


def _restarted(training: TrainingObjective, state: StochasticState) -> StochasticState:
    """The state with training restarted at the best point; only the estimate of the curvature is kept."""
    start = state.params.astype(training.rows.dtype)
    return replace(
        state,
        iterate=start,
        average=start,
        moment=np.zeros_like(start),
        squared_moment=np.zeros_like(start),
        averaged=0,
        updates=0,
    )


class _Score(NamedTuple):
    """score: the loss of the held-out rows. value, gradient: with the penalty, as estimates of the objective's."""

    score: float
    value: float
    gradient: Array


def _scored(objective: TrainingObjective, held_out: TrainingObjective, params: Array) -> _Score:
    """A point as the held-out rows see it."""
    found = held_out.evaluate(params, 1)
    penalty = objective.alpha * params / objective.rows.total_weight
    value, gradient = found.value + 0.5 * float(penalty @ params), found.gradient + penalty
    # Few rows may suggest an end where there is none: all rows are asked before one is declared.
    if relative_gradient(objective, gradient) < _SMALL or objective.unbounded_below(value) is not None:
        exact = objective.evaluate(params, 1)
        return _Score(found.value, exact.value, exact.gradient)
    return _Score(found.value, value, gradient)
