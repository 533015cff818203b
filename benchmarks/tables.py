"""Text: aligned Markdown tables, paragraphs and numbers. Nothing here imports newtron."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """A Markdown table, padded so that it reads well as text; the first `left` columns to the left, others right."""
    table = [list(header), *map(list, rows)]
    widths = [max(3, *(len(row[i]) for row in table)) for i in range(len(header))]
    lines = []
    for number, row in enumerate(table):
        cells = [c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        lines.append("| " + " | ".join(cells) + " |")
        if number == 0:
            rules = ["-" * w if i < left else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
            lines.append("| " + " | ".join(rules) + " |")
    return "\n".join(lines)


def paragraph(text: str, prefix: str = "") -> str:
    """Text in lines of the house's width."""
    return textwrap.fill(text, 118, initial_indent=prefix, subsequent_indent=prefix)


def significant(value: float, digits: int = 2) -> str:
    """A number in so many significant digits, without an exponent where it can be read without one."""
    if value == 0.0 or not np.isfinite(value):
        return f"{value:g}"
    if not 1e-3 <= abs(value) < 1e5:
        return f"{value:.{digits - 1}e}"
    decimals = max(0, digits - 1 - int(np.floor(np.log10(abs(value)))))
    return f"{value:.{decimals}f}"
