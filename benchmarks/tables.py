"""What both scripts share: where the data are, aligned Markdown tables, and the facts about this machine."""

from __future__ import annotations

import os
import platform
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy
import sklearn
import sklearn.linear_model  # loads the BLAS libraries that are looked at below
from threadpoolctl import threadpool_info

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

import certified  # noqa: E402  (the tests know where the certified and shared data are)
from problems import FormulaObjective  # noqa: E402

import newtron  # noqa: E402

__all__ = ["ROOT", "FormulaObjective", "aligned", "certified", "facts", "paragraph", "significant"]


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


def facts() -> str:
    """Versions, cores and BLAS threads, as a list."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    blas = {
        f"{library['internal_api']} {library['version']}: {library['num_threads']}"
        for library in threadpool_info()
        if library["user_api"] == "blas"
    }
    return "\n".join(
        [
            f"- Python {platform.python_version()}, newtron {newtron.__version__}, NumPy {np.__version__}, "
            f"SciPy {scipy.__version__},\n"
            f"  scikit-learn {sklearn.__version__}; {platform.system()} {platform.machine()}, {cores} cores.",
            f"- BLAS threads by default: {'; '.join(sorted(blas))}. newtron holds BLAS to one thread and\n"
            "  shares the rows among its own.",
        ]
    )
