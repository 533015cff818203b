"""A derivation as LaTeX: amsmath for a document, in the subset that notebooks and KaTeX understand."""

from __future__ import annotations

import re

from newtron.engine.base.types import Array
from newtron.explain.show.rounding import number_text, rounding_note
from newtron.explain.show.symbols import escape_latex, in_sentence, latex_number, to_latex
from newtron.explain.show.tables import matrix, shown_table
from newtron.explain.steps import Section, Step, StepTable


def latex_source(title: str, summary: tuple[str, ...], sections: tuple[Section, ...], notation: str) -> str:
    """Paragraphs and displayed formulas, without a preamble; needs the package amsmath. Text from the data is
    escaped."""
    lines = [rf"\section*{{{escape_latex(title)}}}"]
    lines += [_sentence(sentence) + "\n" for sentence in (*summary, rounding_note(notation))]
    for section in sections:
        lines.append(rf"\subsection*{{{_sentence(section.title)}}}")
        for step in section.steps:
            if step.sentence:
                lines.append(_sentence(step.sentence))
            lines += _display(step)
    return "\n".join(lines) + "\n"


def _sentence(text: str) -> str:
    return in_sentence(text, lambda formula: f"${to_latex(formula)}$", _words)


def _words(text: str) -> str:
    return re.sub(r"\d[\d.]*e[+-]?\d+", lambda match: f"${latex_number(match[0])}$", escape_latex(text))


def _display(step: Step) -> list[str]:
    """The equations of a step, aligned at their equals signs, and its table."""
    symbol = to_latex(step.symbol)
    sign = r"\approx" if step.formula.startswith("≈") else "="
    formula = step.formula.removeprefix("≈ ")
    first = [f"{symbol} &{sign} {to_latex(formula)}"] if formula else []
    derived = [_aligned_line(line) for line in step.lines]
    rows = first + derived if step.goes_on else derived + first
    numbers = to_latex(step.numbers) if step.numbers else ""
    if not numbers and step.number is not None and step.table is None:
        numbers = latex_number(number_text(step.number))
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
        found += _array(step.table, step)
    return found


def _aligned_line(line: str) -> str:
    if line.startswith("= "):
        return f"&= {to_latex(line[2:])}"
    left, _, right = line.partition(" = ")
    return f"{to_latex(left)} &= {to_latex(right)}"


def _matrix(values: Array) -> str:
    lines = [[r"\dots" if cell == "…" else latex_number(cell) for cell in row] for row in matrix(values)]
    rows = " \\\\ ".join(" & ".join(line) for line in lines)
    return rf"\begin{{bmatrix}} {rows} \end{{bmatrix}}"


def _array(table: StepTable, step: Step) -> list[str]:
    """A table. The lines that are left out and the sum of the last column are written below it, because notebooks have
    no cell that spans columns."""
    found = shown_table(table, step.number)
    named = any(name for _, name in found.lines)
    columns = ("l" if named else "") + "l" + "r" * len(table.columns)
    lead = 1 + named
    lines = [" & " * lead + " & ".join(map(to_latex, table.columns)) + r" \\ \hline"]
    for (symbol, name), cells in zip(found.lines, found.cells, strict=True):
        label = [to_latex(symbol)] + ([rf"\text{{{escape_latex(name)}}}"] if named else [])
        lines.append(" & ".join([*label, *map(latex_number, cells)]) + r" \\")
    body = "\n".join(lines)
    shown_lines = [f"\\[\\begin{{array}}{{{columns}}}\n{body}\n\\end{{array}}\\]"]
    if found.more:
        rest = f" ${latex_number(found.rest)}$" if found.rest else ""
        shown_lines.append(f"{_sentence(found.more)}{rest}.")
    if found.total:
        number, _, words = found.total.partition(" ")
        words = rf"\text{{ {words}}}" if words else ""
        shown_lines.append(rf"\[{to_latex(step.symbol)} = \text{{the sum}} = {latex_number(number)}{words}\]")
    return shown_lines
