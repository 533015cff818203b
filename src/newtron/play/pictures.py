"""The pictures of the page: the prediction over the inputs, and the loss over one or two parameters."""

from __future__ import annotations

import base64

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.linalg import eigvalsh
from newtron.engine.base.types import Array
from newtron.engine.objective import TrainingObjective
from newtron.engine.objective.grid import values_on_grid
from newtron.engine.rows import ArrayRows
from newtron.play.messages import (
    DifferenceCheck,
    DifferenceLine,
    Frame,
    InputView,
    LossProfile,
    LossSurface,
    NewtonBowl,
    Window,
)
from newtron.play.numbers import json_matrix, json_vector
from newtron.play.problem import Problem

# Points along a curve, along each side of an area, along each side of a surface, and level lines of a surface: as many
# as fill a panel of about 400 pixels, and few enough to be computed while a slider moves.
CURVE, GRID, SURFACE, LEVELS = 121, 36, 33, 14


def window(values: Array, margin: float = 0.12) -> Window:
    """An interval from a little below the smallest number to a little above the largest; never empty."""
    low, high = np.clip([float(values.min()), float(values.max())], -1e100, 1e100).tolist()
    # Near large numbers, adding 0.5 could change nothing in floating point.
    space = margin * (high - low) or 0.5 * max(1.0, 1e-9 * abs(high))
    return low - space, high + space


class InputGrid:
    """The inputs that are drawn: the only one, or two of several while the others are held at their means."""

    def __init__(self, problem: Problem, axes: tuple[int, int] = (0, 1)) -> None:
        self.problem = problem
        X = problem.data.X
        self.axes = axes if X.shape[1] > 1 else (0,)
        self.windows = [window(X[:, j]) for j in self.axes]
        if len(self.axes) == 1:
            points = np.linspace(*self.windows[0], CURVE)[:, None]
        else:
            first, second = (np.linspace(low, high, GRID) for low, high in self.windows)
            points = np.stack(np.meshgrid(first, second), axis=-1).reshape(-1, 2)
        self.points = np.repeat(X.mean(axis=0)[None, :], len(points), axis=0)
        self.points[:, list(self.axes)] = points
        y = problem.data.y
        self.range = window(y[:, 0]) if problem.data.task == "regression" else (0.0, 1.0)

    def facts(self) -> InputView:
        held = len(self.axes) < self.problem.data.X.shape[1]
        return {
            "axes": list(self.axes),
            "windows": self.windows,
            "range": self.range,
            "curve": json_vector(self.points[:, 0]) if len(self.axes) == 1 else None,
            "grid": None if len(self.axes) == 1 else GRID,
            "held": "the other inputs held at their means" if held else "",
        }

    def frames(self, all_params: Array) -> list[Frame]:
        """The prediction at every step: a curve as numbers; an area as one byte a point, in base64.

        A byte is the share of the range (one output), or 32 times the most probable class plus its probability as a
        share of 31 (several). Of two classes two bytes a point follow, z as a share of its largest size: the line
        between the classes cannot be drawn from probabilities that are 0 and 1 on its two sides.
        """
        found = [self.problem.predict(params, self.points) for params in all_params]
        if len(self.axes) == 1:
            # A hundred-thousandth of the range is less than a pixel.
            digits = 5 - int(np.floor(np.log10(self.range[1] - self.range[0])))
            found = [np.round(mean, digits) for mean in found]
            return [json_matrix(mean) if mean.shape[1] > 1 else json_vector(mean[:, 0]) for mean in found]
        areas = [self._bytes(mean).tobytes() for mean in found]
        if len(self.problem.data.classes) == 2:
            areas = [area + self._sides(params) for area, params in zip(areas, all_params, strict=True)]
        return [base64.b64encode(area).decode("ascii") for area in areas]

    def _sides(self, params: Array) -> bytes:
        z = np.nan_to_num(self.problem.output(params, self.points)[:, 0])
        largest = float(np.abs(z).max()) or 1.0
        return np.asarray(np.rint(32767 * z / largest), dtype="<i2").tobytes()

    def _bytes(self, mean: Array) -> NDArray[np.uint8]:
        mean = np.nan_to_num(mean)
        if mean.shape[1] > 1:
            shares = np.rint(31 * np.clip(mean.max(axis=1), 0.0, 1.0))
            return np.asarray(32 * mean.argmax(axis=1) + shares, dtype=np.uint8)
        low, high = self.range
        return np.asarray(np.rint(255 * np.clip((mean[:, 0] - low) / (high - low), 0.0, 1.0)), dtype=np.uint8)


def parameter_windows(paths: list[Array], values: list[Array]) -> list[Window]:
    """For each parameter the range of the runs, as far as the loss stayed near its first value."""
    seen = []
    for path, value in zip(paths, values, strict=True):
        near = np.isfinite(value) & (value <= 20.0 * abs(value[0]) + 1e-12)
        near[0] = True
        seen.append(path[near])
    points = np.concatenate(seen)
    widest = max(1.0, float(np.ptp(points, axis=0).max()))
    found = []
    for column in points.T:
        low, high = window(column, 0.25)
        # A parameter that hardly moves is still drawn over an interval in which the loss changes visibly.
        short = max(0.0, 0.5 * (0.6 * widest - (high - low)))
        found.append((low - short, high + short))
    return found


def surface(
    problem: Problem, base: Array, pair: tuple[int, int], windows: list[Window], size: int = SURFACE
) -> LossSurface:
    """The objective over two parameters, the others as in `base`, and the levels to draw."""
    values = values_on_grid(problem.objective, base, pair, *(np.linspace(*w, size) for w in windows))
    shown = values[np.isfinite(values)]
    low, high = (float(shown.min()), float(shown.max())) if len(shown) else (0.0, 1.0)
    # Level lines lie closer to each other near the minimum, where the runs end.
    levels = low + (high - low) * np.linspace(0.0, 1.0, LEVELS + 2)[1:-1] ** 2
    return {
        "pair": list(pair),
        "windows": windows,
        "size": size,
        "values": json_vector(values.ravel()),
        "levels": levels.tolist(),
        "low": low,
        "high": high,
        "slice": problem.network.n_params > 2,
    }


def bowl(
    problem: Problem, base: Array, pair: tuple[int, int], windows: list[Window], size: int = SURFACE
) -> NewtonBowl:
    """Newton's quadratic at `base` over two parameters, the others held: the same value, gradient and Hessian as the
    objective. lowest: its minimum, None where it has none."""
    at = problem.objective.evaluate(base, 2)
    which = list(pair)
    slope, curvature = at.gradient[which], at.hessian[np.ix_(which, which)]
    first, second = (np.linspace(*w, size) for w in windows)
    moves = np.stack(np.meshgrid(first, second), axis=-1).reshape(-1, 2) - base[which]
    values = at.value + moves @ slope + 0.5 * np.einsum("ni,ij,nj->n", moves, curvature, moves)
    positive = bool(np.isfinite(curvature).all()) and bool(eigvalsh(curvature)[0] > 0.0)
    lowest = base[which] - np.linalg.solve(curvature, slope) if positive else None
    return {
        "pair": which,
        "windows": windows,
        "size": size,
        "values": json_vector(values),
        "lowest": None if lowest is None else json_vector(lowest),
    }


def profile(problem: Problem, base: Array, index: int, limits: Window) -> LossProfile:
    """The objective along one parameter, its tangent and its parabola at `base`, and where the parabola is lowest."""
    low, high = limits
    at = problem.objective.evaluate(base, 2)
    slope, curvature, here = float(at.gradient[index]), float(at.hessian[index, index]), float(base[index])
    lowest = here - slope / curvature if curvature > 0.0 else None
    if lowest is not None and abs(lowest - here) < 4.0 * (high - low):
        low, high = min(low, lowest - 0.1 * (high - low)), max(high, lowest + 0.1 * (high - low))
    w = np.linspace(low, high, CURVE)
    params, values = base.copy(), np.empty(CURVE)
    for position, number in enumerate(w):
        params[index] = number
        values[position] = problem.objective.evaluate(params, 0).value
    move = w - here
    return {
        "index": index,
        "w": w.tolist(),
        "value": json_vector(values),
        "tangent": json_vector(at.value + slope * move),
        "parabola": json_vector(at.value + slope * move + 0.5 * curvature * np.square(move)),
        "here": [here, at.value],
        "slope": slope,
        "curvature": curvature,
        "lowest": lowest,
    }


def differences(problem: Problem, base: Array, index: int, row: int | None) -> DifferenceCheck:
    """One partial derivative beside central differences for smaller and smaller h, of the loss of one row or of the
    objective. The error first falls with h², then rises, because rounding removes the digits of the difference."""
    objective = problem.objective
    if row is not None:
        rows = ArrayRows(problem.X[[row]], problem.Y[[row]])
        objective = TrainingObjective(problem.network, problem.loss, rows)
    gradient = objective.evaluate(base, 1).gradient
    exact = float(gradient[index])
    lines: list[DifferenceLine] = []
    for power in range(1, 11):
        h = 10.0**-power
        right, left = base.copy(), base.copy()
        right[index] += h
        left[index] -= h
        above, below = objective.evaluate(right, 0).value, objective.evaluate(left, 0).value
        # The difference of the rounded points, which is not exactly 2h.
        quotient = (above - below) / (right[index] - left[index])
        lines.append({"h": h, "above": above, "below": below, "quotient": quotient, "error": abs(quotient - exact)})
    best = min(line["error"] for line in lines)
    return {"index": index, "exact": exact, "lines": lines, "best": best}
