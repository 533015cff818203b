"""The levels of a loss at which a fit is timed, and the watch that notes when each of them is reached."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from speed.family import Measurement
from speed.timing import clock

Array = NDArray[Any]
Layers = list[tuple[Array, Array]]  # W (inputs, units) and b (units,) of each layer

LEVELS = ("1e-2", "1e-4", "1e-6", "1e-8")  # shares of the loss at the start
JUDGED = "1e-6"  # the level at which newtron is compared with its peers
COMPILED = "optimistix LM, compiling included"  # the name of the column that counts the time of compiling


class Watch:
    """Sees the losses of one training as they come, and notes when each level was reached."""

    def __init__(self, first: float, limit: float) -> None:
        self.first, self.limit = first, limit
        self._times: dict[str, float] = {}
        self._steps: dict[str, int] = {}
        self.lowest, self.steps, self.spent = first, 0, 0.0
        self._began = clock()

    def restart(self) -> None:
        """Set the clock back, where something had to be made first."""
        self._began = clock()

    def sees(self, loss: float, at: float | None = None) -> bool:
        """True: stop, since the last level or the limit is reached. at: seconds, where another clock ran."""
        elapsed = self.spent = clock() - self._began if at is None else at
        self.steps += 1
        self.lowest = min(self.lowest, loss)
        for level in LEVELS:
            if level not in self._times and loss <= float(level) * self.first:
                self._times[level], self._steps[level] = elapsed, self.steps
        return LEVELS[-1] in self._times or elapsed > self.limit

    @property
    def lacking(self) -> list[str]:
        return [level for level in LEVELS if level not in self._times]

    def measurement(self) -> Measurement:
        return {
            "seconds": self._times.get(LEVELS[-1], self.spent),
            "levels": {level: self._times.get(level) for level in LEVELS},
            "steps": {level: self._steps.get(level) for level in LEVELS},
            "lowest": self.lowest / self.first,
        }
