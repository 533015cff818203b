"""The parts that pages and notebooks are made of, as HTML. All text is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from newtron.engine.base.words import in_html


def html_paragraphs(sentences: Iterable[str]) -> str:
    """Return each sentence as a paragraph."""
    return "".join(f"<p>{in_html(sentence)}</p>" for sentence in sentences)


def html_notes(sentences: Sequence[str]) -> str:
    """Return sentences as a list."""
    return f"<ul>{''.join(f'<li>{in_html(sentence)}</li>' for sentence in sentences)}</ul>" if sentences else ""


def html_pairs(pairs: Iterable[tuple[str, str]]) -> str:
    """Return labels and texts as a list of terms; a label that was there before is not repeated."""
    rows, last = "", None
    for name, text in pairs:
        rows += f"<dt>{in_html(name) if name != last else ''}</dt><dd>{in_html(text)}</dd>"
        last = name
    return f"<dl>{rows}</dl>" if rows else ""


def html_table(header: Sequence[str], rows: Sequence[Sequence[str]], strong: int | None = None) -> str:
    """Return a table that scrolls where it is wide. In bold: the row `strong`, and rows whose first cell alone is not
    empty, which are headings."""
    head = "".join(f"<th>{in_html(cell)}</th>" if cell else "<td></td>" for cell in header)
    lines = []
    for position, row in enumerate(rows):
        stands_out = position == strong or (len(row) > 1 and not any(row[1:]))
        kept = ' class="kept"' if stands_out else ""
        lines.append(f"<tr{kept}>{''.join(f'<td>{in_html(cell)}</td>' for cell in row)}</tr>")
    scroll = '<div class="scroll" tabindex="0" role="group" aria-label="Table">'
    return f"{scroll}<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"


_STYLE = """
.newtron-study{line-height:1.45;max-width:60rem;font-variant-numeric:tabular-nums}
.newtron-study h4{margin:1em 0 .3em;font-size:1.05em;overflow-wrap:anywhere}
.newtron-study p{margin:.3em 0}
.newtron-study dl{display:grid;grid-template-columns:max-content 1fr;gap:.1em 1em;margin:.3em 0}
.newtron-study dt{font-weight:400;opacity:.7}
.newtron-study dd{margin:0;overflow-wrap:anywhere}
.newtron-study ul{margin:.3em 0;padding-left:1.4em}
.newtron-study .scroll{overflow-x:auto;margin:.5em 0}
.newtron-study table{border-collapse:collapse;margin:0;font-size:1em}
.newtron-study table th,.newtron-study table td{padding:.15em 1.2em .15em 0;text-align:right;white-space:nowrap}
.newtron-study table th:first-child,.newtron-study table td:first-child{text-align:left}
.newtron-study thead th,.newtron-study thead td{border-bottom:1px solid}
.newtron-study tr.kept td{font-weight:700}
"""


class HtmlSheet:
    """What a `Screen` prints, as one HTML element for a notebook."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    @property
    def html(self) -> str:
        """The element with its style."""
        return f'<div class="newtron-study"><style>{_STYLE}</style>{"".join(self._parts)}</div>'

    def gap(self) -> None:
        """Leave no gap: headings have space around them."""

    def heading(self, text: str) -> None:
        self._parts.append(f"<h4>{in_html(text)}</h4>")

    def line(self, text: str, style: str = "", indent: int = 0) -> None:
        del indent
        words = in_html(text)
        self._parts.append(
            f'<p style="margin-top:1em"><strong>{words}</strong></p>' if "bold" in style else f"<p>{words}</p>"
        )

    def sentence(self, text: str, indent: int = 0) -> None:
        del indent
        self._parts.append(html_paragraphs([text]))

    def pairs(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._parts.append(html_pairs(pairs))

    def notes(self, sentences: Sequence[str]) -> None:
        self._parts.append(html_notes(sentences))

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]], strong: int | None = None) -> None:
        self._parts.append(html_table(header, rows, strong))
