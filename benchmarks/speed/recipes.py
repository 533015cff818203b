"""How a network is trained on batches: the settings of the peers' Adam, and the watch that looks after each epoch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from speed.family import Measurement
from speed.gradient_pass import Layers
from speed.timing import clock


@dataclass(frozen=True)
class Recipe:
    """Units, and the peers' Adam: its batches, first rate, and the epochs over which the rate falls to nothing."""

    activation: str
    batch: int
    rate: float
    epochs: int


class EpochWatch:
    """Looks at the model after each epoch while the clock stands still."""

    def __init__(self, score: Callable[[Layers], float], enough: float, limit: float) -> None:
        self._score, self._enough, self._limit = score, enough, limit
        self._spent, self._epochs, self._lowest = 0.0, 0, float("inf")
        self._there: float | None = None
        self._since = clock()

    def restart(self) -> None:
        self._since = clock()

    def sees(self, layers: Layers) -> bool:
        """True: stop."""
        self._spent += clock() - self._since
        self._epochs += 1
        self._lowest = min(self._lowest, self._score(layers))
        if self._lowest <= self._enough and self._there is None:
            self._there = self._spent
        self._since = clock()
        return self._there is not None or self._spent > self._limit

    def measurement(self) -> Measurement:
        return {"seconds": self._there, "reached": self._lowest, "epochs": self._epochs}
