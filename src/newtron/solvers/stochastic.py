"""Mini-batches: Adam or SGD with momentum, with early stopping on rows held out from the training itself.

No learning rate need be guessed: the rate is kept while the held-out loss falls; when it stalls the rate drops
to 0.3 of itself and training goes on from the best point; after five stalls it ends there. What is scored is the
average of the parameters over the epoch (Polyak & Juditsky 1992), which is less noisy than the last of them.
Sources: Kingma & Ba 2015 (Adam); Polyak 1964 (momentum).

The end is not an optimum and is never called one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from newtron.errors import InputError
from newtron.objective import Objective, TrainingObjective
from newtron.settings import check_choice, check_count, check_number
from newtron.solvers.base import Solver, State, Status, scaled_length

Array = NDArray[np.floating]

_DECAY, _DECAY_SQUARED, _TINY = 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class StochasticState(State):
    """params is the best point on the held-out rows; iterate is where training stands. One iteration is an epoch."""

    training: TrainingObjective | None = None
    held_out: TrainingObjective | None = None
    iterate: Array | None = None
    moment: Array | None = None
    squared_moment: Array | None = None
    updates: int = 0
    rate: float = 0.0
    best: float = float("inf")
    since_best: int = 0
    stalls: int = 0


@dataclass(frozen=True)
class Stochastic(Solver):
    """One iteration is one epoch.

    method: "adam" or "momentum". learning_rate: the first rate; None is 0.01 for Adam, 0.1 for momentum.
    batch_size: None is a sixtieth of the rows, between 32 and 1,000.
    validation: share of the rows held out (at most 20,000 rows). patience: epochs without improvement that are a
    stall. max_stalls: stalls that end the training. seed: of the split and the batches.
    """

    method: Literal["adam", "momentum"] = "adam"
    learning_rate: float | None = None
    batch_size: int | None = None
    validation: float = 0.1
    patience: int = 3
    max_stalls: int = 5
    seed: int = 0

    name: ClassVar[str] = "stochastic"
    default_max_iter: ClassVar[int] = 1000

    def __post_init__(self) -> None:
        check_choice("method", self.method, ("adam", "momentum"))
        if self.learning_rate is not None:
            check_number("learning_rate", self.learning_rate, above=0.0)
        if self.batch_size is not None:
            check_count("batch_size", self.batch_size)
        check_number("validation", self.validation, above=0.0, below=1.0)
        check_count("patience", self.patience)
        check_count("max_stalls", self.max_stalls)
        check_count("seed", self.seed, least=0)

    def init(self, objective: Objective, params: Array) -> StochasticState:
        if not isinstance(objective, TrainingObjective) or objective.rows.n_rows < 2:
            raise InputError("solver 'stochastic' draws batches and holds rows out: it needs two rows or more.")
        training, held_out = objective.split(self.validation, 20_000, np.random.default_rng(self.seed))
        if not (training.rows.total_weight > 0.0 and held_out.rows.total_weight > 0.0):
            raise InputError(
                "sample_weight is zero for all rows of one part: solver 'stochastic' needs more weighted rows."
            )
        found = objective.evaluate(params, 1)
        assert found.gradient is not None
        return StochasticState(
            params,
            found.value,
            found.gradient,
            training=training,
            held_out=held_out,
            iterate=params.copy(),
            moment=np.zeros_like(params),
            squared_moment=np.zeros_like(params),
            rate=self.learning_rate or (0.01 if self.method == "adam" else 0.1),
            best=held_out.evaluate(params, 0).value,
        )

    def step(self, objective: Objective, state: StochasticState) -> State:
        assert state.held_out is not None
        trained, average = self._epoch(state)
        score = state.held_out.evaluate(average, 0).value
        if np.isfinite(score) and score < state.best:
            found = objective.evaluate(average, 1)
            assert found.gradient is not None
            return replace(
                trained,
                params=average,
                value=found.value,
                gradient=found.gradient,
                best=score,
                since_best=0,
                step_size=scaled_length(objective, average - state.params),
            )
        stalled = replace(trained, since_best=state.since_best + 1, step_size=0.0)
        if np.isfinite(score) and stalled.since_best < self.patience:
            return stalled
        if state.stalls + 1 >= self.max_stalls:
            return replace(stalled, status=Status.EARLY_STOPPED)
        return replace(
            stalled,
            iterate=state.params.copy(),
            moment=np.zeros_like(state.params),
            squared_moment=np.zeros_like(state.params),
            updates=0,
            rate=0.3 * state.rate,
            since_best=0,
            stalls=state.stalls + 1,
        )

    def _epoch(self, state: StochasticState) -> tuple[StochasticState, Array]:
        """One pass over the training rows; the state after it and the mean of the parameters on the way."""
        training = state.training
        assert training is not None
        assert state.iterate is not None
        assert state.moment is not None
        assert state.squared_moment is not None
        params, moment, squared = state.iterate.copy(), state.moment.copy(), state.squared_moment.copy()
        average = np.zeros_like(params)
        size = self.batch_size or int(np.clip(training.rows.n_rows // 60, 32, 1000))
        # The generator is made anew from seed and epoch, so that a resumed run draws the same batches.
        rng = np.random.default_rng([self.seed, state.iteration + 1])
        updates = state.updates
        for seen, batch in enumerate(training.rows.batches(size, rng), start=1):
            gradient = training.of_batch(params, batch).gradient
            assert gradient is not None
            updates += 1
            if self.method == "adam":
                moment += (1.0 - _DECAY) * (gradient - moment)
                squared += (1.0 - _DECAY_SQUARED) * (np.square(gradient) - squared)
                root = np.sqrt(squared / (1.0 - _DECAY_SQUARED**updates))
                params -= state.rate * (moment / (1.0 - _DECAY**updates)) / (root + _TINY)
            else:
                moment *= _DECAY
                moment -= state.rate * gradient
                params += moment
            average += (params - average) / seen
        following = replace(
            state,
            iteration=state.iteration + 1,
            iterate=params,
            moment=moment,
            squared_moment=squared,
            updates=updates,
        )
        return following, average
