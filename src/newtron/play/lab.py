"""The chosen parameter's partial as a lab's program has it: entries of dW, dZ and dA in the place of ∂L/∂w.

Every number is the engine's own: layer values and deltas of `Linearization`, one row at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from newtron.engine.base.types import Array
from newtron.explain.show.symbols import to_latex
from newtron.play.problem import Problem
from newtron.play.runs import finite


def lab_chains(problem: Problem, params: Array, row: int) -> list[list[dict[str, Any]]]:
    """For each parameter, in the order of the flat vector, the lines of one row.

    Each {"result", "op", "factors": [{"tex", "value", "reused"}], "value"}: the entry of dW first, then where its dZ
    comes from.
    """
    found = _Row(problem, params, row)
    return [found.lines(*place) for place in _places(problem)]


def mean_partials(problem: Problem, params: Array) -> list[dict[str, Any]]:
    """For each parameter its partial of the whole objective: {"lecture", "lab", "parts", "value"}.

    The formulas in LaTeX; parts: the mean over the rows and, where the parameter has a penalty, the penalty's pull.
    """
    gradient = problem.objective.evaluate(params, 1).gradient
    pulls = problem.objective.alpha * params / problem.objective.rows.total_weight
    found = []
    for index, (layer, j, k) in enumerate(_places(problem)):
        value, pull = float(gradient[index]), float(pulls[index])
        w = to_latex(problem.symbols[index])
        held = problem.objective.alpha[index] > 0.0
        found.append(
            {
                "lecture": f"\\frac{{\\partial J}}{{\\partial {w}}} = \\frac{{1}}{{m}} \\sum_i "
                f"\\frac{{\\partial L^{{(i)}}}}{{\\partial {w}}}" + (f" + \\frac{{\\alpha}}{{m}} {w}" if held else ""),
                "lab": _mean(problem, layer, j, k, held),
                "parts": finite(np.array([value - pull, pull])) if held else [],
                "value": finite(np.array([value]))[0],
            }
        )
    return found


def _places(problem: Problem) -> list[tuple[int, int, int]]:
    """(layer, input or -1 for an intercept, unit) of each parameter."""
    found = []
    widths, intercept = problem.network.widths, problem.network.intercept
    for layer in range(1, len(widths)):
        found += [(layer, j, k) for j in range(widths[layer - 1]) for k in range(widths[layer])]
        found += [(layer, -1, k) for k in range(widths[layer])] if intercept else []
    return found


def _entry(letter: str, layer: int, *places: tuple[int, int], of: str = "") -> str:
    """A letter with its layer and row above, and those of its places (index, how many there are) that need a number."""
    below = "".join(str(index + 1) for index, many in places if many > 1)
    above = (f"[{layer}]" if layer else "") + of
    return letter + (f"_{{{below}}}" if below else "") + (f"^{{{above}}}" if above else "")


def _below(layer: int, j: int, many: int, of: str) -> str:
    return _entry("X", 0, (j, many), of=of) if layer == 1 else _entry("A", layer - 1, (j, many), of=of)


def _result(problem: Problem, layer: int, j: int, k: int) -> str:
    widths = problem.network.widths
    if j < 0:
        return _entry("db", layer, (k, widths[layer]))
    return _entry("dW", layer, (j, widths[layer - 1]), (k, widths[layer]))


def _mean(problem: Problem, layer: int, j: int, k: int, held: bool) -> str:
    widths, result = problem.network.widths, _result(problem, layer, j, k)
    dZ = _entry("dZ", layer, (k, widths[layer]), of="(i)")
    entry = dZ if j < 0 else f"{_below(layer, j, widths[layer - 1], '(i)')}\\, {dZ}"
    return f"{result} = \\frac{{1}}{{m}} \\sum_i {entry}" + (f" + \\frac{{\\alpha}}{{m}} {result[1:]}" if held else "")


class _Row:
    """One row seen from one point."""

    def __init__(self, problem: Problem, params: Array, row: int) -> None:
        self.problem, self.row = problem, row
        self.at = problem.network.linearize(params, problem.X[[row]])
        slope = problem.loss.pointwise(problem.Y[[row]], self.at.output, 1).gradient
        self.deltas = [delta[0] for delta in self.at.deltas(slope)]
        self.mean = problem.loss.inverse_link(self.at.output)[0]
        self.widths = problem.network.widths

    @property
    def of(self) -> str:
        return f"({self.row + 1})"

    def lines(self, layer: int, j: int, k: int) -> list[dict[str, Any]]:
        delta = float(self.deltas[layer - 1][k])
        dZ = self._factor("dZ", layer, k, delta, reused=True)
        value = 1.0 if j < 0 else float(self.at.inputs[layer - 1][0, j])
        tex = "1" if j < 0 else _below(layer, j, self.widths[layer - 1], self.of)
        first = _line(_result(self.problem, layer, j, k), "·", [dZ, _factor(tex, value)], delta * value)
        if layer == len(self.widths) - 1:
            return [first, *self._error(k)]
        return [first, *self._back(layer, k)]

    def _factor(self, letter: str, layer: int, k: int, value: float, *, reused: bool = False) -> dict[str, Any]:
        return _factor(_entry(letter, layer, (k, self.widths[layer]), of=self.of), value, reused=reused)

    def _back(self, layer: int, k: int) -> list[dict[str, Any]]:
        """dZ = dA · f′(Z), and dA = Σ dZ of the layer above times the weight on the way."""
        weights, above = self.at.weights[layer].W, self.deltas[layer]
        terms = [float(delta * weight) for delta, weight in zip(above, weights[k], strict=True)]
        slope, dA = float(self.at.layers[layer - 1].slope[0, k]), float(np.dot(above, weights[k]))
        many = len(terms)
        to = [_entry("W", layer + 1, (k, self.widths[layer]), (c, many)) for c in range(many)]
        dZ = [_entry("dZ", layer + 1, (c, many), of=self.of) for c in range(many)]
        if many == 1:
            parts = [_factor(dZ[0], float(above[0]), reused=True), _factor(to[0], float(weights[k, 0]))]
        else:
            parts = [_factor(f"{a}\\, {b}", term, reused=True) for a, b, term in zip(dZ, to, terms, strict=True)]
        Z = _entry("Z", layer, (k, self.widths[layer]), of=self.of)
        factors = [self._factor("dA", layer, k, dA), _factor(f"f'({Z})", slope)]
        name = [_entry(letter, layer, (k, self.widths[layer]), of=self.of) for letter in ("dZ", "dA")]
        return [
            _line(name[0], "·", factors, float(self.deltas[layer - 1][k])),
            _line(name[1], "·" if many == 1 else "+", parts, dA),
        ]

    def _error(self, k: int) -> list[dict[str, Any]]:
        """dZ of the last layer: Ŷ - Y, or that times the slope of the sigmoid; nothing where it is no product."""
        last, problem = len(self.widths) - 1, self.problem
        y, mean = float(problem.Y[self.row, k]), float(self.mean[k])
        hat, given = self._factor("\\hat{Y}", last, k, mean), self._factor("Y", last, k, y)
        for factor in (hat, given):
            factor["tex"] = factor["tex"].replace(f"[{last}]", "")
        name, delta = _entry("dZ", last, (k, self.widths[last]), of=self.of), float(self.deltas[last - 1][k])
        if problem.data.task == "regression" or problem.loss.name == "log_loss":
            return [_line(name, "−", [hat, given], delta)]
        if self.widths[last] > 1:
            return []
        up = f"d\\hat{{Y}}^{{{self.of}}}"
        slope = _factor(f"\\sigma'(Z^{{[{last}]{self.of}}})", mean * (1.0 - mean))
        return [
            _line(name, "·", [_factor(up, mean - y), slope], delta),
            _line(up, "−", [hat, given], mean - y),
        ]


def _factor(tex: str, value: float, *, reused: bool = False) -> dict[str, Any]:
    return {"tex": tex, "value": value, "reused": reused}


def _line(result: str, op: str, factors: list[dict[str, Any]], value: float) -> dict[str, Any]:
    return {"result": result, "op": op, "factors": factors, "value": value}
