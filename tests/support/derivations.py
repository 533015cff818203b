"""Checks of a derivation: each number follows from those beside it, and what is drawn of it is well formed."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.matrix_operations import OPERATIONS
from support.present import present

from newtron.explain import Derivation, Step, StepTable
from newtron.explain.show.rounding import ARITY, RELATIONS, number_text
from newtron.explain.show.tables import shown_table

# What a formula with numbers may call.
FUNCTIONS = {name: getattr(math, name) for name in ("log", "exp", "sinh", "cosh", "tanh")}


def every_step(derivation: Derivation) -> Iterator[Step]:
    for section in derivation.sections:
        yield from section.steps


def value_of(derivation: Derivation, key: str) -> NDArray[np.floating]:
    """The value of a step that has one."""
    return np.asarray(present(derivation[key].value))


def table_of(derivation: Derivation, key: str) -> StepTable:
    """The table of a step that has one."""
    return present(derivation[key].table)


def check_exactly(step: Step, tolerance: float = 1e-11) -> None:
    """The factors make the value, and a table's lines its last column and the total, but for rounding."""
    if step.operation:
        parts = [factor.value for factor in step.factors]
        if step.operation in RELATIONS and all(np.ndim(part) == 0 for part in parts):
            found: Any = RELATIONS[step.operation]([float(part) for part in parts])
        else:
            found = parts[0] if step.operation == "identity" else OPERATIONS[step.operation](parts)
        np.testing.assert_allclose(found, present(step.value), rtol=tolerance, atol=1e-14)
    if step.table is None:
        return
    values = step.table.values
    if step.table.relation:
        of = RELATIONS[step.table.relation]
        own = values.shape[1] - 1 - ARITY.get(step.table.relation, values.shape[1] - 1)
        found = [of(line[own:-1].tolist()) for line in values]
        np.testing.assert_allclose(found, values[:, -1], rtol=1e-10, atol=1e-14)
    if step.table.total:
        assert values[:, -1].sum() == pytest.approx(float(np.asarray(step.value)), rel=1e-12, abs=1e-14)


def check_table_as_shown(table: StepTable, step: Step) -> None:
    """Whoever computes with the cells gets the results and the sum that are shown, to their last digit."""
    found = shown_table(table, step.number)
    if table.relation:
        for *parts, result in found.cells:
            own = len(parts) - ARITY.get(table.relation, len(parts))
            computed = RELATIONS[table.relation]([float(part) for part in parts[own:]])
            assert same_as_shown(computed, result), (step.key, parts, result)
    if found.total and "but for rounding" not in found.total:
        terms = [float(cells[-1]) for cells in found.cells] + ([float(found.rest)] if found.rest else [])
        assert same_as_shown(sum(terms), found.total), (step.key, terms, found.total)


def same_as_shown(computed: float, text: str) -> bool:
    # As many digits as the text has, and at least five: zeros at its end are not shown.
    digits = max(5, len(re.sub(r"e.*|[-.]", "", text).lstrip("0")))
    return number_text(computed, digits) == text


def check_numbers_as_shown(line: str) -> None:
    """A line such as "½ (3 - 2.5)² = 0.125", computed as it stands."""
    left, _, right = line.rpartition(" = ")
    for old, new in (("½ ", "0.5 * "), ("²", "**2"), (" × ", " * "), ("e^", "exp")):
        left = left.replace(old, new)
    left = re.sub(r"log (\S+)", r"log(\1)", left)
    left = re.sub(r"(?<=[\d)]) (?=log|\()", " * ", left)
    computed = eval(left, {"__builtins__": {}, **FUNCTIONS})
    assert same_as_shown(computed, right), line


def drawn(derivation: Derivation) -> None:
    text = str(derivation)
    assert "nan" not in text
    json.dumps(derivation.to_dict(), allow_nan=False)
    check_html(derivation._repr_html_())
    check_latex(derivation._repr_latex_())
    assert not re.search("[⟦⟧]", derivation._repr_latex_() + derivation._repr_html_() + text)


class Balance(HTMLParser):
    """Tags that open and close, and what is in them."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)
        self.seen.add(tag)
        assert not {name for name, _ in attrs} & {"src", "href", "onclick", "onload", "style"}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def check_html(page: str) -> Balance:
    found = Balance()
    found.feed(page)
    found.close()
    assert found.open == []
    assert found.seen <= {
        *("div", "style", "h3", "p", "details", "summary", "span", "var", "sub", "sup"),
        *("table", "thead", "tbody", "tfoot", "tr", "th", "td"),
    }
    assert "http" not in page
    assert "url(" not in page
    assert "@import" not in page
    return found


def check_latex(source: str) -> None:
    bare = re.sub(r"\\[\\{}$%#&_]", "", source)
    assert bare.count("{") == bare.count("}")
    for name in ("aligned", "array", "bmatrix"):
        assert source.count(rf"\begin{{{name}}}") == source.count(rf"\end{{{name}}}")
    assert not re.search(r"[∂½ŷσΣ·×…²′]", source)
    # No second superscript without braces, no cells across columns (notebooks know none), and powers of ten as such.
    assert not re.search(r"\^\{(?:[^{}]|\{[^{}]*\})*\}(?:\^|')", source)
    assert r"\multicolumn" not in source
    assert not re.search(r"\de[+-]\d", source)
