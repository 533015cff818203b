"""A derivation for the page: its formulas in LaTeX, and for each parameter the chain of factors of its partial."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np

from newtron.engine.base.types import Array
from newtron.engine.solvers import Solver
from newtron.explain import Derivation, Section, Step, StepTable, derive
from newtron.explain.show.numbers import equation
from newtron.explain.show.rounding import number_text
from newtron.explain.show.symbols import to_latex, to_text
from newtron.play.lab import lab_chains, mean_partials
from newtron.play.messages import (
    ChainFacts,
    DerivationFacts,
    MatrixFacts,
    Number,
    SectionFacts,
    SentencePart,
    StepFacts,
    TableFacts,
    UnitValues,
)
from newtron.play.numbers import json_matrix, json_number, json_vector
from newtron.play.problem import Problem

# Of a matrix at most this many rows and columns are shown; the page says how many there are.
MOST_LINES, MOST_COLUMNS = 12, 10


_latex = lru_cache(maxsize=4096)(to_latex)
_text = lru_cache(maxsize=4096)(to_text)
_INLINE = re.compile("⟦(.*?)⟧")


def derivation_facts(problem: Problem, params: Array, row: int | None, solver: Solver) -> DerivationFacts:
    """The derivation of one row, or of the mean over all, in both notations."""
    found = derive(problem.subject(params, None if row is None else [row], solver))
    return {
        "title": found.title,
        "loss": json_number(found.loss),
        "gradient": json_vector(found.gradient),
        "sections": [_section(section) for section in found.sections if section.steps],
        "chains": chains(problem, found) if row is not None else [],
        "lab": lab_chains(problem, found, row) if row is not None else [],
        "means": mean_partials(problem, params) if row is None else [],
        "units": None if row is None else _units(problem, found, row),
        "predicted": _predicted(problem, params, row),
    }


def _section(section: Section) -> SectionFacts:
    return {"key": section.key, "title": section.title, "steps": [_step(step) for step in section.steps]}


def _step(step: Step) -> StepFacts:
    matrix: MatrixFacts | None = None
    if step.value is not None and step.table is None and 1 <= np.ndim(step.value) <= 2:
        whole = np.atleast_2d(step.value)
        matrix = {
            "values": json_matrix(whole[:MOST_LINES, :MOST_COLUMNS]),
            "shape": list(np.shape(step.value)),
            "cut": whole.shape[0] > MOST_LINES or whole.shape[1] > MOST_COLUMNS,
        }
    return {
        "key": step.key,
        "tex": _equation(step.symbol, step.formula),
        "numbers": _latex(step.numbers) if step.numbers else "",
        "sentence": _sentence(step.sentence),
        "value": None if step.number is None else json_number(step.number),
        "matrix": matrix,
        "table": None if step.table is None else _table(step.table),
        "lines": [_latex(line) for line in step.lines],
        "notation": step.notation,
    }


def _equation(symbol: str, formula: str) -> str:
    if not formula:
        return _latex(symbol)
    return f"{_latex(symbol)} {_latex(formula)}" if formula.startswith("≈") else f"{_latex(symbol)} = {_latex(formula)}"


def _sentence(text: str) -> list[SentencePart]:
    """The words and formulas of a sentence, in order."""
    parts = _INLINE.split(text)
    return [{"tex": _latex(part)} if place % 2 else {"text": part} for place, part in enumerate(parts) if part]


def _table(table: StepTable) -> TableFacts:
    lines = min(len(table.lines), 60)
    return {
        "columns": [{"tex": _latex(column), "text": _text(column)} for column in table.columns],
        "lines": [
            {"tex": _latex(symbol), "plain": symbol, "text": _text(symbol), "name": name}
            for symbol, name in table.lines[:lines]
        ],
        "values": json_matrix(table.values[:lines]),
        "texts": [
            [number_text(value) if np.isfinite(value) else "" for value in line] for line in table.values[:lines]
        ],
        "reused": list(table.reused),
        "hidden": len(table.lines) - lines,
        "product": table.relation == "product" and not table.total,
    }


def chains(problem: Problem, found: Derivation) -> list[ChainFacts | None]:
    """For each parameter its partial derivative as a product of symbols and numbers, from the tables of the derivation;
    None for a parameter that its table does not list."""
    listed: dict[str, ChainFacts] = {}
    widths = problem.network.widths
    for layer in range(1, len(widths)):
        table = found[f"backward.{layer}"].table
        if table is None:
            continue
        for position, (symbol, name) in enumerate(table.lines):
            unit = position % widths[layer] + 1 if widths[layer] > 1 else 0
            listed[symbol] = _chain(table, position, symbol, name, unit)
    return [listed.get(symbol) for symbol in problem.symbols]


def _chain(table: StepTable, position: int, symbol: str, name: str, unit: int) -> ChainFacts:
    """One line of a table of partial derivatives, with the indices of this parameter in the place of the letters j, k
    and c."""
    generic = table.columns[-1].partition("/∂")[2]

    def own(formula: str) -> str:
        formula = formula.replace(generic, symbol)
        return re.sub(r"_\{[kc]\}", f"_{{{unit}}}", formula) if unit else formula

    *factors, result = (own(column) for column in table.columns)
    *parts, product = (float(value) for value in table.values[position])
    numbers = equation(" × ".join(f"<{i}>" for i in range(len(parts))), parts, product, "product")
    return {
        "symbol": _latex(symbol),
        "name": name,
        "factors": [_latex(factor) for factor in factors],
        "result": _latex(result),
        "numbers": _latex(numbers),
        "values": json_vector(table.values[position]),
        "reused": list(table.reused),
    }


def _units(problem: Problem, found: Derivation, row: int) -> UnitValues:
    """z, a and ∂L/∂z of every layer for one row, from its derivation, for the drawing of the network."""
    layers = range(1, len(problem.network.widths))
    outputs = [*(f"lab.a.{layer}" for layer in layers[:-1]), "lab.mean"]
    return {
        "inputs": json_vector(problem.X[row]),
        "z": [json_vector(_row_of(found[f"lab.z.{layer}"].value)) for layer in layers],
        "a": [json_vector(_row_of(found[key].value)) for key in outputs],
        "deltas": [json_vector(_row_of(found[f"lab.dw.{layer}"].factors[1].value)) for layer in layers],
    }


def _row_of(value: Array | None) -> Array:
    assert value is not None
    return np.asarray(value[0])


def _predicted(problem: Problem, params: Array, row: int | None) -> Number:
    """ŷ of a row in the units of the data, where there is one output."""
    if row is None or problem.network.n_outputs > 1:
        return None
    return json_number(problem.predict(params, problem.data.X[[row]])[0, 0])


def latex_of(problem: Problem, params: Array, row: int | None, solver: Solver, notation: str) -> str:
    """The derivation as LaTeX, for a document."""
    return derive(problem.subject(params, None if row is None else [row], solver), notation).to_latex()
