"""A derivation as one HTML element for a notebook or a report: plain elements and its own style, nothing loaded.

Formulas are elements with subscripts, superscripts and fractions, which every browser shows alike; MathML without a
font made for it loses hats and brackets.
"""

from __future__ import annotations

import numpy as np

from newtron.engine.base.types import Array
from newtron.engine.base.words import in_html
from newtron.explain.show.rounding import number_text, rounding_note
from newtron.explain.show.symbols import in_sentence, to_html
from newtron.explain.show.tables import matrix, padded, shape_text, shown_table
from newtron.explain.steps import LAB, Section, Step, StepTable

STYLE = """
.nd{max-width:60rem;line-height:1.5;font-size:15px}
.nd h3{margin:.6em 0 .2em;font-size:1.25em}
.nd details{border-top:1px solid color-mix(in srgb,currentColor 25%,transparent);padding:.35em 0}
.nd summary{cursor:pointer;font-weight:600;padding:.15em 0}
.nd p{margin:.55em 0 .3em;max-width:46rem}
.nd .nd-note{opacity:.75;font-size:.92em}
.nd .nd-e{display:grid;grid-template-columns:max-content 1fr;column-gap:.4em;margin:.25em 0 .25em 1.2em;
align-items:center;overflow-x:auto}
.nd .nd-e>span{padding:.12em 0}
.nd .nd-e>.nd-w{grid-column:1/-1}
.nd .nd-n{font-variant-numeric:tabular-nums}
.nd var,.nd sub,.nd sup,.nd .nd-e,.nd th{font-family:"STIX Two Math","Cambria Math","Latin Modern Math",Georgia,
"Times New Roman",serif}
.nd .nd-e,.nd th{font-size:1.06em}
.nd .nd-e .nd-n,.nd td{font-family:inherit}
.nd sub,.nd sup{font-size:.72em;line-height:1}
.nd .nd-f{display:inline-flex;flex-direction:column;vertical-align:middle;text-align:center;margin:0 .12em;
line-height:1.25}
.nd .nd-f>span:first-child{border-bottom:1px solid currentColor;padding:0 .2em}
.nd .nd-f>span:last-child{padding:0 .2em}
.nd p .nd-f{flex-direction:row}
.nd p .nd-f>span:first-child{border:0;padding:0}
.nd p .nd-f>span:last-child{padding:0}
.nd p .nd-f>span:last-child::before{content:"/"}
.nd .nd-s{display:inline-flex;flex-direction:column;align-items:flex-start;vertical-align:middle;line-height:1.15;
margin-left:.05em}
.nd .nd-s>sup,.nd .nd-s>sub{vertical-align:baseline}
.nd .nd-t{overflow-x:auto;margin:.3em 0 .5em 1.2em}
.nd table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:0}
.nd th,.nd td{padding:.18em .7em;text-align:right;white-space:nowrap;border:0;background:none}
.nd th{font-weight:400;border-bottom:1px solid currentColor;vertical-align:bottom}
.nd thead td{border-bottom:1px solid currentColor}
.nd td.nd-l,.nd th.nd-l{text-align:left}
.nd td:last-child{font-weight:600}
.nd th[scope=row]{border-bottom:0;vertical-align:middle}
.nd tfoot td,.nd tfoot th{border-top:1px solid color-mix(in srgb,currentColor 40%,transparent)}
.nd .nd-m{border-left:2px solid currentColor;border-right:2px solid currentColor;border-radius:.3em;
display:inline-block}
.nd .nd-e .nd-t{margin:.1em 0}
.nd .nd-m td:last-child{font-weight:400}
.nd .nd-o{opacity:.62}
""".strip()


def html_element(
    title: str, summary: tuple[str, ...], sections: tuple[Section, ...], notation: str, *, style: bool = True
) -> str:
    """The element <div class="nd">. style: whether it has its style sheet inside. All text from the data is escaped."""
    parts = [f"<style>{STYLE}</style>"] if style else []
    parts.append(f"<h3>{in_html(title)}</h3>")
    parts += [f'<p class="nd-note">{_sentence(text)}</p>' for text in (*summary, rounding_note(notation))]
    for section in sections:
        steps = "".join(map(_step, section.steps))
        parts.append(f"<details open><summary>{_sentence(section.title)}</summary>{steps}</details>")
    return f'<div class="nd">{"".join(parts)}</div>'


def _sentence(text: str) -> str:
    return in_sentence(text, to_html, in_html)


def _step(step: Step) -> str:
    found = f"<p>{_sentence(step.sentence)}</p>" if step.sentence else ""
    found += _equations(step)
    if step.table is not None:
        return found + _table(step.table, step)
    if step.value is not None and step.shape:
        return found + _matrices(step)
    return found


def _equations(step: Step) -> str:
    """A grid of two columns: the symbol, and what it equals, one line below the other."""
    symbol = to_html(step.symbol)
    near = step.formula.startswith("≈")
    first = [(symbol, f"{'' if near else '= '}{to_html(step.formula)}")] if step.formula else []
    derived = [("", to_html(line)) if line.startswith("=") else (None, to_html(line)) for line in step.lines]
    rows: list[tuple[str | None, str]] = [*first, *derived] if step.goes_on else [*derived, *first]
    numbers = to_html(step.numbers) if step.numbers else ""
    if not numbers and step.number is not None and step.table is None:
        numbers = number_text(step.number)
    if numbers:
        rows.append(("" if step.formula else symbol, f'<span class="nd-n">= {numbers}</span>'))
    cells = "".join(
        f'<span class="nd-w">{right}</span>' if left is None else f"<span>{left}</span><span>{right}</span>"
        for left, right in rows
    )
    return f'<div class="nd-e">{cells}</div>' if cells else ""


# The keyboard can reach this element, because its content may have to be scrolled.
_SCROLL = '<div class="nd-t" tabindex="0" role="group" aria-label="Numbers">'


def _table(table: StepTable, step: Step) -> str:
    found = shown_table(table, step.number)
    named = any(name for _, name in found.lines)
    old = {i for i in table.reused}
    lead = '<td class="nd-l"></td>' + ('<td class="nd-l"></td>' if named else "")
    head = "".join(f"<th{_faded(i in old)} scope=col>{to_html(name)}</th>" for i, name in enumerate(table.columns))
    rows = []
    below = [text for text in (found.rest, found.total) if text]
    columns = [padded([row[i] for row in found.cells]) for i in range(len(table.columns) - 1)]
    last = padded([row[-1] for row in found.cells] + below)
    for number, (symbol, name) in enumerate(found.lines):
        cells = [*(column[number] for column in columns), last[number]]
        label = f'<th class="nd-l" scope=row>{to_html(symbol)}</th>'
        label += f'<td class="nd-l">{in_html(name)}</td>' if named else ""
        rows.append(label + "".join(f"<td{_faded(i in old)}>{cell}</td>" for i, cell in enumerate(cells)))
    span, foot = 1 + named + len(table.columns) - 1, []
    if found.more:
        rest = last[-len(below)] if found.rest else ""
        foot.append(f'<td class="nd-l" colspan={span}>{_sentence(found.more)}</td><td>{rest}</td>')
    if found.total:
        foot.append(f'<th class="nd-l" scope=row colspan={span}>{to_html(step.symbol)}</th><td>{last[-1]}</td>')
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    tail = "".join(f"<tr>{row}</tr>" for row in foot)
    return (
        f"{_SCROLL}<table><thead><tr>{lead}{head}</tr></thead><tbody>{body}</tbody>"
        f"{f'<tfoot>{tail}</tfoot>' if tail else ''}</table></div>"
    )


def _faded(reused: bool) -> str:
    return ' class="nd-o"' if reused else ""


def _matrices(step: Step) -> str:
    assert step.value is not None
    found = ""
    if step.notation == LAB:
        parts = [f"{to_html(factor.symbol)} {shape_text(np.shape(factor.value))}" for factor in step.factors]
        found += f'<p class="nd-note">{", ".join(parts)} → {to_html(step.symbol)} {shape_text(step.shape)}</p>'
        found += "".join(_matrix(factor.symbol, factor.value) for factor in step.factors if not factor.reused)
    return found + _matrix(step.symbol, step.value)


def _matrix(symbol: str, values: Array) -> str:
    columns = [padded(list(column)) for column in zip(*matrix(values), strict=True)]
    rows = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in zip(*columns, strict=True))
    table = f'<div class="nd-m"><table><tbody>{rows}</tbody></table></div>'
    return f'<div class="nd-e"><span>{to_html(symbol)} =</span>{_SCROLL}{table}</div></div>'
