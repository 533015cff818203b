"""The partial derivative of each parameter in the lab notation: entries of dW, dZ and dA in the place of ∂L/∂w.

Every number comes from the lab steps of a derivation.
"""

from __future__ import annotations

from newtron.engine.base.types import Array
from newtron.explain import Derivation
from newtron.explain.show.symbols import to_latex
from newtron.play.messages import LabFactor, LabLine, MeanPartial
from newtron.play.numbers import json_number
from newtron.play.problem import Problem


def lab_chains(problem: Problem, found: Derivation, row: int) -> list[list[LabLine]]:
    """For each parameter the lines of one row: its entry of dW first, then where the dZ in it comes from.

    found: the derivation of that row alone.
    """
    lab = _Lab(problem.network.widths, found, row)
    return [lab.lines(*place) for place in _places(problem)]


def mean_partials(problem: Problem, params: Array) -> list[MeanPartial]:
    """For each parameter its partial derivative of the whole objective. parts: the mean over the rows, and the part of
    the penalty where the parameter has one."""
    gradient = problem.objective.evaluate(params, 1).gradient
    pulls = problem.objective.alpha * params / problem.objective.rows.total_weight
    found: list[MeanPartial] = []
    for index, (layer, j, k) in enumerate(_places(problem)):
        value, pull = float(gradient[index]), float(pulls[index])
        w = to_latex(problem.symbols[index])
        penalised = problem.objective.alpha[index] > 0.0
        found.append(
            {
                "lecture": f"\\frac{{\\partial J}}{{\\partial {w}}} = \\frac{{1}}{{m}} \\sum_i "
                f"\\frac{{\\partial L^{{(i)}}}}{{\\partial {w}}}"
                + (f" + \\frac{{\\alpha}}{{m}} {w}" if penalised else ""),
                "lab": _mean(problem.network.widths, layer, j, k, penalised),
                "parts": [json_number(value - pull), json_number(pull)] if penalised else [],
                "value": json_number(value),
            }
        )
    return found


def _places(problem: Problem) -> list[tuple[int, int, int]]:
    """(layer, input or -1 for an intercept, unit) of each parameter, in the order of the flat vector."""
    found = []
    widths, intercept = problem.network.widths, problem.network.intercept
    for layer in range(1, len(widths)):
        found += [(layer, j, k) for j in range(widths[layer - 1]) for k in range(widths[layer])]
        found += [(layer, -1, k) for k in range(widths[layer])] if intercept else []
    return found


def _entry(letter: str, layer: int, *places: tuple[int, int], of: str = "") -> str:
    """A letter with its layer and row as superscripts, and with a subscript for each place (index, count) whose count
    is above 1."""
    below = "".join(str(index + 1) for index, many in places if many > 1)
    above = (f"[{layer}]" if layer else "") + of
    return letter + (f"_{{{below}}}" if below else "") + (f"^{{{above}}}" if above else "")


def _input(layer: int, j: int, many: int, of: str) -> str:
    return _entry("X", 0, (j, many), of=of) if layer == 1 else _entry("A", layer - 1, (j, many), of=of)


def _result(widths: tuple[int, ...], layer: int, j: int, k: int) -> str:
    if j < 0:
        return _entry("db", layer, (k, widths[layer]))
    return _entry("dW", layer, (j, widths[layer - 1]), (k, widths[layer]))


def _mean(widths: tuple[int, ...], layer: int, j: int, k: int, penalised: bool) -> str:
    result, dZ = _result(widths, layer, j, k), _entry("dZ", layer, (k, widths[layer]), of="(i)")
    entry = dZ if j < 0 else f"{_input(layer, j, widths[layer - 1], '(i)')}\\, {dZ}"
    penalty = f" + \\frac{{\\alpha}}{{m}} {result[1:]}" if penalised else ""
    return f"{result} = \\frac{{1}}{{m}} \\sum_i {entry}{penalty}"


class _Lab:
    """The lab steps of one row."""

    def __init__(self, widths: tuple[int, ...], found: Derivation, row: int) -> None:
        self._widths, self._found, self._of = widths, found, f"({row + 1})"

    def lines(self, layer: int, j: int, k: int) -> list[LabLine]:
        inputs, dZ = (factor.value[0] for factor in self._found[f"lab.dw.{layer}"].factors)
        name = "1" if j < 0 else _input(layer, j, self._widths[layer - 1], self._of)
        value = 1.0 if j < 0 else float(inputs[j])
        factors = [_factor(self._unit("dZ", layer, k), dZ[k], reused=True), _factor(name, value)]
        first = _line(_result(self._widths, layer, j, k), "·", factors, float(dZ[k]) * value)
        return [first, *(self._error(k) if layer == len(self._widths) - 1 else self._back(layer, k))]

    def _unit(self, letter: str, layer: int, k: int) -> str:
        return _entry(letter, layer, (k, self._widths[layer]), of=self._of)

    def _back(self, layer: int, k: int) -> list[LabLine]:
        """dZ = dA · f′(Z), and dA = Σ dZ of the layer above times the weight between."""
        step, many = self._found[f"lab.da.{layer}"], self._widths[layer + 1]
        above, weights = step.factors[0].value[0], step.factors[1].value[k]
        dA, slope = (factor.value[0, k] for factor in self._found[f"lab.dz.{layer}"].factors)
        W = [_entry("W", layer + 1, (k, self._widths[layer]), (c, many)) for c in range(many)]
        dZ = [self._unit("dZ", layer + 1, c) for c in range(many)]
        if many == 1:
            parts = [_factor(dZ[0], above[0], reused=True), _factor(W[0], weights[0])]
        else:
            parts = [_factor(f"{dZ[c]}\\, {W[c]}", above[c] * weights[c], reused=True) for c in range(many)]
        name, result = self._unit("dA", layer, k), self._found[f"lab.dz.{layer}"].value
        assert result is not None
        factors = [_factor(name, dA), _factor(f"f'({self._unit('Z', layer, k)})", slope)]
        return [
            _line(self._unit("dZ", layer, k), "·", factors, result[0, k]),
            _line(name, "·" if many == 1 else "+", parts, dA),
        ]

    def _error(self, k: int) -> list[LabLine]:
        """dZ of the last layer: Ŷ - Y, or that times the slope of the sigmoid; nothing where it is no product."""
        last, step = len(self._widths) - 1, self._found["lab.dz"]
        assert step.value is not None
        name, delta = self._unit("dZ", last, k), step.value[0, k]
        plain = step.operation == "difference"
        mean, y = (factor.value[0, k] for factor in (step if plain else self._found["lab.dy"]).factors)
        places = (k, self._widths[last])
        error = [
            _factor(_entry("\\hat{Y}", 0, places, of=self._of), mean),
            _factor(_entry("Y", 0, places, of=self._of), y),
        ]
        if plain:
            return [_line(name, "−", error, delta)]
        if self._widths[last] > 1:
            return []
        up = f"d\\hat{{Y}}^{{{self._of}}}"
        dY, slope = (factor.value[0, k] for factor in step.factors)
        factors = [_factor(up, dY), _factor(f"\\sigma'(Z^{{[{last}]{self._of}}})", slope)]
        return [_line(name, "·", factors, delta), _line(up, "−", error, dY)]


def _factor(tex: str, value: float, *, reused: bool = False) -> LabFactor:
    return {"tex": tex, "value": json_number(value), "reused": reused}


def _line(result: str, op: str, factors: list[LabFactor], value: float) -> LabLine:
    return {"result": result, "op": op, "factors": factors, "value": json_number(value)}
