"""The lab notation: the same steps as matrices with one line for each row (i): A, Z, W^[l], dZ, dW.

A leading d stands for ∂L/∂: dZ^[l] holds ∂L^(i)/∂z^[l] of every row, which the lecture notation finds one by one.
"""

from __future__ import annotations

import numpy as np

from newtron.engine.base.types import Array
from newtron.explain.point import Point
from newtron.explain.steps import LAB, Step, StepFactor


def _mark(layer: int) -> str:
    return f"^{{[{layer}]}}"


def _step(key: str, symbol: str, formula: str, sentence: str, value: Array, *factors: StepFactor, by: str = "") -> Step:
    return Step(key, symbol, formula, sentence, np.asarray(value), factors, by, notation=LAB)


def lab_forward(point: Point) -> list[Step]:
    """Z and A of every layer, all rows at once."""
    steps, f = [], point.network.f
    A = StepFactor("X", point.subject.X)
    for layer in range(1, point.depth + 1):
        W, b = point.at.weights[layer - 1]
        mark = _mark(layer)
        factors = [A, StepFactor(f"W{mark}", W), *([] if b is None else [StepFactor(f"b{mark}", b)])]
        formula = f"{A.symbol} W{mark}" + ("" if b is None else f" + b{mark}")
        sentence = (
            "One line for each row (i), one column for each unit."
            if layer > 1
            else "One line for each row (i), one column for each unit. With examples in columns it is the same, "
            "transposed: ⟦W^T X + b⟧."
        )
        values = point.layers[layer - 1]
        steps.append(_step(f"lab.z.{layer}", f"Z{mark}", formula, sentence, values.z, *factors, by="affine"))
        if layer < point.depth:
            Z = StepFactor(f"Z{mark}", values.z, True)
            sentence = "The activation, number by number."
            name = f"f(Z{mark}), f(z) = {f.formula}"
            steps.append(_step(f"lab.a.{layer}", f"A{mark}", name, sentence, values.a, Z, by=f.name))
            A = StepFactor(f"A{mark}", values.a, True)
    Z = StepFactor(f"Z{_mark(point.depth)}", point.at.output, True)
    link, letter = "softmax", "softmax"
    if point.loss.min_outputs == 1:
        link, letter = point.loss.chain_rule.one_output.relation, point.loss.chain_rule.one_output.letter
    formula = Z.symbol if point.identity else f"{letter}({Z.symbol})"
    sentence = f"The lecture's ŷ; labs call it ⟦A{_mark(point.depth)}⟧."
    steps.append(_step("lab.mean", "Ŷ", formula, sentence, point.mean, Z, by="identity" if point.identity else link))
    return steps


def lab_backward(point: Point) -> list[Step]:
    """dZ, dW and db of every layer, from the last to the first. dW and db are means over the rows."""
    steps = _head(point)
    f = point.network.f
    for layer in range(point.depth, 0, -1):
        mark, below = (
            _mark(layer),
            StepFactor("X" if layer == 1 else f"A{_mark(layer - 1)}", point.at.inputs[layer - 1], True),
        )
        dZ = StepFactor(f"dZ{mark}", point.deltas[layer - 1], True)
        dW, db = point.network.split(point.gradient)[layer - 1]
        above = below.symbol[:-1] + "T}" if below.symbol.endswith("}") else f"{below.symbol}^T"
        sentence = "Each weight's input times what is behind it, averaged over the rows."
        steps.append(
            _step(
                f"lab.dw.{layer}", f"dW{mark}", f"{{1}}/{{m}} {above} {dZ.symbol}", sentence, dW, below, dZ, by="gram"
            )
        )
        if db is not None:
            formula, sentence = f"{{1}}/{{m}} Σ_i {dZ.symbol[:-1]}(i)}}", "An intercept's input is 1."
            steps.append(_step(f"lab.db.{layer}", f"db{mark}", formula, sentence, db, dZ, by="mean"))
        if layer == 1:
            break
        W = StepFactor(f"W{mark}", point.at.weights[layer - 1].W, True)
        lower = _mark(layer - 1)
        dA, slope = dZ.value @ W.value.T, point.layers[layer - 2].slope
        formula, sentence = f"{dZ.symbol} {W.symbol[:-1]}T}}", "Back through the weights."
        steps.append(_step(f"lab.da.{layer - 1}", f"dA{lower}", formula, sentence, dA, dZ, W, by="pull back"))
        a = StepFactor(f"A{lower}", point.layers[layer - 2].a, True)
        formula = f.slope_formula.replace("a", a.symbol)
        sentence = f"The slope of {f.name} from its value."
        prime = f"f′(Z{lower})"
        steps.append(_step(f"lab.slope.{layer - 1}", prime, formula, sentence, slope, a, by=f"slope of {f.name}"))
        factors = StepFactor(f"dA{lower}", dA, True), StepFactor(prime, slope, True)
        formula, sentence = f"dA{lower} ⊙ {prime}", "Number by number (⊙)."
        value = point.deltas[layer - 2]
        steps.append(_step(f"lab.dz.{layer - 1}", f"dZ{lower}", formula, sentence, value, *factors, by="times"))
    return steps


def _head(point: Point) -> list[Step]:
    """dZ of the last layer."""
    mark = _mark(point.depth)
    bridge = (
        f"The bridge between the notations: ⟦dZ{mark}⟧ is short for ⟦∂L/∂Z{mark}⟧, which the lecture finds as the "
        "product ⟦∂L/∂ŷ · ∂ŷ/∂z⟧."
    )
    Y, mean = StepFactor("Y", point.subject.Y), StepFactor("Ŷ", point.mean, True)
    if point.loss.chain_rule.is_plain_error:
        return [_step("lab.dz", f"dZ{mark}", "Ŷ - Y", bridge, point.by_z, mean, Y, by="difference")]
    if point.identity:
        formula = point.loss.chain_rule.by_z.replace("y", "Y").replace("ŷ", "Ŷ")
        return [_step("lab.dz", f"dZ{mark}", formula, bridge, point.by_z)]
    dY = StepFactor("dŶ", point.by_mean, True)
    first = _step("lab.dy", "dŶ", "Ŷ - Y", "The derivative of ½ (y - ŷ)².", point.by_mean, mean, Y, by="difference")
    if point.loss.min_outputs == 1:
        slope = StepFactor("σ′(Z)", np.einsum("ijj->ij", point.mean_by_z), True)
        second = _step(
            "lab.slope", "σ′(Z)", "Ŷ ⊙ (1 - Ŷ)", "The slope of the sigmoid.", slope.value, mean, by="logistic slope"
        )
        return [first, second, _step("lab.dz", f"dZ{mark}", "dŶ ⊙ σ′(Z)", bridge, point.by_z, dY, slope, by="times")]
    formula = "Ŷ ⊙ (dŶ - Σ_c Ŷ_c ⊙ dŶ_c)"
    return [first, _step("lab.dz", f"dZ{mark}", formula, bridge, point.by_z, mean, dY, by="softmax back")]
