"""Formulas are written once and shown in three ways: as plain text, as HTML that loads nothing, and as LaTeX.

The notation is Unicode with scripts in braces, `w_{12}^{[1]}`, and fractions as `{a}/{b}` or `∂L/∂w`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from newtron.engine.base.words import clean, in_html, in_latex

_SUBSCRIPT = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_SUPERSCRIPT = {"2": "²", "3": "³", "-1": "⁻¹", "T": "ᵀ"}
_FUNCTIONS = {"log", "exp", "tanh", "max", "min"}
_LATEX = {
    "∂": r"\partial ",
    "½": r"\tfrac{1}{2}",
    "ŷ": r"\hat{y}",
    "Ŷ": r"\hat{Y}",
    "Σ": r"\sum",
    "σ": r"\sigma",
    "η": r"\eta ",
    "λ": r"\lambda ",
    "μ": r"\mu ",
    "α": r"\alpha ",
    "·": r"\cdot ",
    "×": r"\times ",
    "⊙": r"\odot ",
    "←": r"\leftarrow ",
    "≈": r"\approx ",
    "∇": r"\nabla ",
    "‖": r"\|",
    "…": r"\dots ",
    "≤": r"\le ",
    "≥": r"\ge ",
    "′": "'",
    "″": "''",
    "−": "-",
    "²": "^{2}",
    "%": r"\%",
    "&": r"\&",
    "#": r"\#",
    "$": r"\$",
    "_": r"\_",
}


@dataclass(frozen=True)
class _Run:
    """Characters that stand for themselves."""

    text: str


@dataclass(frozen=True)
class _Name:
    """A variable or a function with its scripts."""

    text: str
    below: tuple[_Node, ...] | None = None
    above: tuple[_Node, ...] | None = None


@dataclass(frozen=True)
class _Fraction:
    over: tuple[_Node, ...]
    under: tuple[_Node, ...]


_Node = _Run | _Name | _Fraction


class _Reader:
    def __init__(self, formula: str) -> None:
        self._text, self._at = formula, 0

    def nodes(self, end: str = "") -> tuple[_Node, ...]:
        found: list[_Node] = []
        while self._at < len(self._text) and not (end and self._text[self._at] == end):
            found.extend(self._next())
        self._at += len(end)
        return tuple(found)

    def _starts(self, mark: str) -> bool:
        return self._text.startswith(mark, self._at)

    def _next(self) -> tuple[_Node, ...]:
        if self._starts("{"):
            return self._perhaps_over(self._braces(), "{")
        if self._starts("∂"):
            return self._perhaps_over(self._partial(), "∂")
        return (self._atom(),)

    def _perhaps_over(self, over: tuple[_Node, ...], same: str) -> tuple[_Node, ...]:
        if not self._starts("/" + same):
            return over
        self._at += 1
        return (_Fraction(over, self._braces() if same == "{" else self._partial()),)

    def _braces(self) -> tuple[_Node, ...]:
        self._at += 1
        return self.nodes("}")

    def _partial(self) -> tuple[_Node, ...]:
        self._at += 1
        return (_Run("∂"), self._atom())

    def _atom(self) -> _Node:
        start = self._at
        self._at += 1
        if self._text[start].isalpha():
            while self._at < len(self._text) and self._text[self._at].isalpha() and self._text[self._at] != "∂":
                self._at += 1
        text = self._text[start : self._at]
        below = above = None
        while self._at < len(self._text) and self._text[self._at] in "_^":
            mark = self._text[self._at]
            self._at += 1
            script = self._braces() if self._starts("{") else (self._single(),)
            below, above = (script, above) if mark == "_" else (below, script)
        named = text[0].isalpha() or below is not None or above is not None
        return _Name(text, below, above) if named else _Run(text)

    def _single(self) -> _Node:
        self._at += 1
        found = self._text[self._at - 1]
        return _Name(found) if found.isalpha() else _Run(found)


def to_text(formula: str) -> str:
    """One line for a terminal: w₁₂^[1], ∂L/∂w, e^(-z)."""
    return "".join(map(_text, _Reader(formula).nodes()))


def _text(node: _Node) -> str:
    if isinstance(node, _Run):
        return node.text
    if isinstance(node, _Fraction):
        over, under = ("".join(map(_text, part)) for part in (node.over, node.under))
        bar = " / " if " " in over + under else "/"
        return _grouped(over) + bar + _grouped(under)
    found = node.text
    if node.below is not None:
        below = "".join(map(_text, node.below))
        plain = below.replace(",", "").isdigit()
        found += below.translate(_SUBSCRIPT) if plain else f"_{below if below.isalnum() else f'({below})'}"
    if node.above is not None:
        above = "".join(map(_text, node.above))
        turned = above.endswith("]T")  # of a matrix that has its layer there
        above = above[:-1] if turned else above
        enclosed = above.isalnum() or above[0] in "[("
        found += _SUPERSCRIPT.get(above, f"^{above}" if enclosed else f"^({above})")
        found += "ᵀ" if turned else ""
    return found


def _grouped(text: str) -> str:
    """The text in parentheses, where a fraction's bar would otherwise apply to a part of it only."""
    depth = 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == " " and depth == 0:
            return f"({text})"
    return text


def to_html(formula: str) -> str:
    """HTML elements for a line of text: <var>, <sub>, <sup>, and fractions as two spans. Everything is escaped."""
    return "".join(map(_html, _Reader(formula).nodes()))


def _html(node: _Node) -> str:
    if isinstance(node, _Run):
        return in_html(node.text)
    if isinstance(node, _Fraction):
        over, under = ("".join(map(_html, part)) for part in (node.over, node.under))
        return f'<span class="nd-f"><span>{over}</span><span>{under}</span></span>'
    text = in_html(node.text)
    upright = not node.text[0].isalpha() or node.text in _FUNCTIONS or len(node.text) > 2 or node.text[0] in "Σ"
    found = text if upright else f"<var>{text}</var>"
    below = "" if node.below is None else f"<sub>{''.join(map(_html, node.below))}</sub>"
    above = "" if node.above is None else f"<sup>{''.join(map(_html, node.above))}</sup>"
    if below and above:
        return f'{found}<span class="nd-s">{above}{below}</span>'
    return found + below + above


def to_latex(formula: str) -> str:
    """LaTeX for math mode."""
    return latex_number(_latex_line(_Reader(formula).nodes()))


def latex_number(text: str) -> str:
    """The numbers in a text, such as 1.5e-08, as numbers times a power of ten."""
    return re.sub(r"(\d)e([+-]?)0*(\d+)", _power, text)


def _power(match: re.Match[str]) -> str:
    return rf"{match[1]}\cdot 10^{{{'-' if match[2] == '-' else ''}{match[3]}}}"


def _latex_line(nodes: tuple[_Node, ...]) -> str:
    """The nodes in LaTeX. A base with a superscript is put in braces before a second superscript or a prime, and spaces
    beside words are kept inside \\text, because math mode drops its own."""
    found = []
    for place, node in enumerate(nodes):
        text = _latex(node)
        if isinstance(node, _Name):
            before, after = nodes[max(0, place - 2) : place], nodes[place + 1 : place + 3]
            if node.above is not None and after and after[0] in _ABOVE:
                text = f"{{{text}}}"
            elif _is_word(node):
                lead = " " if before[1:] == (_SPACE,) and (_is_operand(before[0]) or before[0] == _Run(",")) else ""
                trail = " " if after[:1] == (_SPACE,) and after[1:] and _is_operand(after[1]) else ""
                text = rf"\text{{{lead}{node.text}{trail}}}{text.removeprefix(_word(node))}"
        found.append(text)
    return "".join(found)


_SPACE, _ABOVE = _Run(" "), (_Run("²"), _Run("′"), _Run("″"))


def _is_operand(node: _Node) -> bool:
    return not isinstance(node, _Run) or node.text.isalnum()


def _is_word(node: _Name) -> bool:
    return len(node.text) > 2 and node.text not in _FUNCTIONS


def _word(node: _Name) -> str:
    return rf"\text{{{node.text}}}"


def _latex(node: _Node) -> str:
    if isinstance(node, _Run):
        return _LATEX.get(node.text, node.text)
    if isinstance(node, _Fraction):
        return rf"\frac{{{_latex_line(node.over)}}}{{{_latex_line(node.under)}}}"
    if node.text in _FUNCTIONS:
        found = rf"\{node.text} "
    elif _is_word(node):
        found = _word(node)
    else:
        found = "".join(_LATEX.get(c, c) for c in node.text)
    if node.below is not None:
        found = f"{found.rstrip()}_{{{_latex_line(node.below)}}}"
    if node.above is not None:
        found = f"{found.rstrip()}^{{{_latex_line(node.above)}}}"
    return found


def in_sentence(sentence: str, formula: Callable[[str], str], words: Callable[[str], str]) -> str:
    """A sentence in which formulas stand between ⟦ and ⟧: formulas are converted by `formula`, all other text by
    `words`."""
    parts = re.split("⟦(.*?)⟧", sentence)
    return "".join(formula(part) if number % 2 else words(part) for number, part in enumerate(parts))


def escape_latex(text: str) -> str:
    """Words for LaTeX's text mode; mathematical letters in them are set in math mode."""
    mathematical = {c: f"${found.strip()}$" for c, found in _LATEX.items() if not c.isascii()}
    return "".join(mathematical.get(c) or in_latex(c) for c in clean(text))
