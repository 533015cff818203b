"""A derivation as LaTeX: amsmath in a document, and what a notebook or KaTeX understands."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from newtron.explain.derivation import Derivation, Step, Table
from newtron.explain.rounding import shown
from newtron.explain.symbols import escape_latex, in_sentence, to_latex
from newtron.explain.tables import matrix, shown_table

Array = NDArray[np.floating]


def render(derivation: Derivation) -> str:
    """Paragraphs and displayed formulas, without a preamble; needs the package amsmath. Text from the data is
    escaped."""
    lines = [rf"\section*{{{escape_latex(derivation.title)}}}"]
    lines += [_sentence(sentence) + "\n" for sentence in (*derivation.summary, derivation.rounding)]
    for section in derivation.told:
        lines.append(rf"\subsection*{{{_sentence(section.title)}}}")
        for step in section.steps:
            if step.sentence:
                lines.append(_sentence(step.sentence))
            lines += _display(step)
    return "\n".join(lines) + "\n"


def _sentence(text: str) -> str:
    return in_sentence(text, lambda formula: f"${to_latex(formula)}$", escape_latex)


def _display(step: Step) -> list[str]:
    """The equations of a step, aligned at their equals signs, and its table."""
    symbol = to_latex(step.symbol)
    sign = r"\approx" if step.formula.startswith("≈") else "="
    formula = step.formula.removeprefix("≈ ")
    first = [f"{symbol} &{sign} {to_latex(formula)}"] if formula else []
    derived = [_aligned_line(line) for line in step.lines]
    goes_on = bool(step.lines) and step.lines[0].startswith("=")
    rows = first + derived if goes_on else derived + first
    numbers = to_latex(step.numbers) if step.numbers else ""
    if not numbers and step.number is not None and step.table is None:
        numbers = shown(step.number)
    start = "" if formula else symbol
    if numbers:
        rows.append(f"{start} &= {numbers}")
    elif step.table is None and step.value is not None and step.shape:
        rows.append(f"{start} &= {_matrix(step.value)}")
    found = []
    if rows:
        body = " \\\\\n".join(rows)
        found.append(f"\\[\\begin{{aligned}}\n{body}\n\\end{{aligned}}\\]")
    if step.table is not None:
        found.append(_array(step.table, step))
    return found


def _aligned_line(line: str) -> str:
    if line.startswith("= "):
        return f"&= {to_latex(line[2:])}"
    left, _, right = line.partition(" = ")
    return f"{to_latex(left)} &= {to_latex(right)}"


def _matrix(values: Array) -> str:
    rows = " \\\\ ".join(" & ".join(r"\dots" if cell == "…" else cell for cell in row) for row in matrix(values))
    return rf"\begin{{bmatrix}} {rows} \end{{bmatrix}}"


def _array(table: Table, step: Step) -> str:
    found = shown_table(table, step.number)
    named = any(name for _, name in found.lines)
    columns = ("l" if named else "") + "l" + "r" * len(table.columns)
    lead = 1 + named
    lines = [" & " * lead + " & ".join(map(to_latex, table.columns)) + r" \\ \hline"]
    for (symbol, name), cells in zip(found.lines, found.cells, strict=True):
        label = [to_latex(symbol)] + ([rf"\text{{{escape_latex(name)}}}"] if named else [])
        lines.append(" & ".join([*label, *cells]) + r" \\")
    span = lead + len(table.columns) - 1
    if found.more:
        text = in_sentence(found.more, lambda formula: f"${to_latex(formula)}$", escape_latex)
        text = text.replace("…", r"\dots")
        lines.append(rf"\multicolumn{{{span}}}{{l}}{{\text{{{text}}}}} & {found.rest} \\")
    if found.total:
        words = found.total if found.total[:1].isalpha() else ""
        total = rf"\text{{{words}}}" if words else found.total.replace(" but for rounding", r"\text{ but for rounding}")
        lines.append(rf"\hline \multicolumn{{{span}}}{{l}}{{{to_latex(step.symbol)}}} & {total} \\")
    body = "\n".join(lines)
    return f"\\[\\begin{{array}}{{{columns}}}\n{body}\n\\end{{array}}\\]"
