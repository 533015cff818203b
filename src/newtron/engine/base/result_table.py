"""A table of results as text, HTML and LaTeX: a title, facts, sections of rows under headings, lists, and notes."""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from newtron.engine.base.words import clean, in_html, in_latex

# Columns that a name may take in the table, so that its numbers stay on a screen, and columns of a line of prose.
_WIDEST_NAME, _WIDTH = 40, 80
# What stands before the name of a row that belongs to the row above it.
INDENT = "  "
_NUMBER = re.compile(r"(<?-?[\d.]+)(?:e([+-]\d+))?")


@dataclass(frozen=True)
class ResultTable:
    """What is shown. head: the titles of the columns, the first that of the names. sections: each a heading, or "", and
    its rows of cells; a name that begins with `INDENT` belongs to a row above. trouble: what stands above everything;
    more: what stands below the last row, where not all rows are shown. lists: titles with their lines, below the table.
    """

    title: str
    facts: Sequence[str]
    head: Sequence[str]
    sections: Sequence[tuple[str, Sequence[Sequence[str]]]]
    trouble: str = ""
    more: str = ""
    lists: Sequence[tuple[str, Sequence[str]]] = ()
    notes: Sequence[str] = ()

    def text(self) -> str:
        """The table for a screen of 80 columns, where its numbers allow it."""
        lines = textwrap.wrap(clean(self.title), _WIDTH, subsequent_indent="  ")
        lines += textwrap.wrap(clean(self.trouble), _WIDTH, initial_indent="! ", subsequent_indent="  ")
        for fact in self.facts:
            lines += textwrap.wrap(clean(fact), _WIDTH, subsequent_indent="  ")
        indent = INDENT if any(heading for heading, _ in self.sections) else ""
        body = [[indent + _short(clean(name)), *cells] for _, rows in self.sections for name, *cells in rows]
        widths = [max(_columns(row[i]) for row in [self.head, *body]) for i in range(len(self.head))]
        lines += ["", _line(self.head, widths), "-" * (sum(widths) + 2 * (len(widths) - 1))]
        left = iter(body)
        for heading, rows in self.sections:
            lines += [clean(heading)] if heading else []
            lines += [_line(next(left), widths) for _ in rows]
        lines += [self.more] if self.more else []
        for title, items in self.lists:
            lines += ["", title]
            for item in items:
                lines += textwrap.wrap(clean(item), _WIDTH, initial_indent="  ", subsequent_indent="    ")
        lines += [""] if self.notes else []
        for note in self.notes:
            lines += textwrap.wrap(clean(note), _WIDTH)
        return "\n".join(lines)

    def html(self) -> str:
        """The same as HTML for a notebook, with every name escaped."""

        def cells(tag: str, values: Sequence[str]) -> str:
            name, *rest = (in_html(value) for value in values)
            indent = ";padding-left:2em" if name.startswith(INDENT) else ""
            of_rest = "".join(f'<{tag} style="text-align:right">{value}</{tag}>' for value in rest)
            return f'<tr><th style="text-align:left{indent}">{name.strip()}</th>{of_rest}</tr>'

        parts = [f"<p><b>{in_html(self.title)}</b></p>"]
        parts += [f"<p><b>{in_html(self.trouble)}</b></p>"] if self.trouble else []
        parts += ["<p>", "<br>".join(map(in_html, self.facts)), "</p><table><thead>", cells("th", self.head)]
        parts.append("</thead><tbody>")
        for heading, rows in self.sections:
            if heading:
                span = f'<tr><th colspan="{len(self.head)}" style="text-align:left">'
                parts.append(f"{span}{in_html(heading)}</th></tr>")
            parts += [cells("td", row) for row in rows]
        parts.append("</tbody></table>")
        for title, items in self.lists:
            shown = "".join(f"<li>{in_html(item)}</li>" for item in items)
            parts.append(f"<p>{in_html(title)}</p><ul>{shown}</ul>")
        parts += [f"<p>{in_html(line)}</p>" for line in ([self.more] if self.more else []) + list(self.notes)]
        return "".join(parts)

    def latex(self) -> str:
        """The rows as a tabular environment for LaTeX with the package booktabs, with every name escaped."""
        lines = [rf"\begin{{tabular}}{{l{'r' * (len(self.head) - 1)}}}", r"\toprule"]
        lines += [" & ".join(map(in_latex, self.head)).strip() + r" \\", r"\midrule"]
        for heading, rows in self.sections:
            if heading:
                lines.append(rf"\multicolumn{{{len(self.head)}}}{{l}}{{\textit{{{in_latex(heading)}}}}} \\")
            lines += [_latex_row(row) for row in rows]
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def _latex_row(cells: Sequence[str]) -> str:
    name, *rest = cells
    indent = r"\quad " if name.startswith(INDENT) else ""
    return " & ".join([indent + in_latex(name.strip()), *map(_latex_cell, rest)]).rstrip() + r" \\"


def _latex_cell(cell: str) -> str:
    """A number in math mode, other words as they are."""
    found = _NUMBER.fullmatch(cell)
    if not found:
        return in_latex(cell)
    digits, power = found.groups()
    return f"${digits}$" if power is None else rf"${digits} \times 10^{{{int(power)}}}$"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = cells[0] + " " * (widths[0] - _columns(cells[0]))
    return "  ".join([first, *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))]).rstrip()


def _short(name: str) -> str:
    """A long name without its middle: the columns of one category have names that differ at the end."""
    if _columns(name) <= _WIDEST_NAME:
        return name
    kept, end = name, name[-(_WIDEST_NAME // 2) :]
    while _columns(end) > _WIDEST_NAME // 2:
        end = end[1:]
    while _columns(kept) + _columns(end) > _WIDEST_NAME - 3:
        kept = kept[:-1]
    return f"{kept}...{end}"


def _columns(text: str) -> int:
    """The columns that a text takes on a screen: East Asian wide letters take two, marks on a letter none."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else not unicodedata.combining(c) for c in text)
