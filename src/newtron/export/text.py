"""What the writers of text share: identifiers, numbers that read back to the same bits, formulas, and lines."""

from __future__ import annotations

import math
import re
import textwrap
import unicodedata
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from newtron.engine.base.types import Array
from newtron.export.program import Apply, Arithmetic, At, Constant, Term

# Columns of a line of an exported file.
_LINE = 110


class Identifiers:
    """Identifiers that are given out once: ASCII letters, digits and underscores, a letter first."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = {name.casefold() for name in taken}

    def new(self, name: str, otherwise: str = "column") -> str:
        """An identifier that resembles a name. otherwise: of a name that has no ASCII letter or digit."""
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
        word = re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_") or otherwise
        word = f"x{word}" if word[0].isdigit() else word
        return self.unlike(word)

    def unlike(self, word: str) -> str:
        """The word itself, or with a number behind it where it was given out before, in small or capital letters."""
        found, number = word, 1
        while found.casefold() in self._taken:
            number += 1
            found = f"{word}_{number}"
        self._taken.add(found.casefold())
        return found


def literals(values: Array, nan: str) -> list[str]:
    """Each number with the digits that read back to the same double. nan: how the language writes that."""
    numbers = np.asarray(values, dtype=np.float64).ravel().tolist()
    return [nan if math.isnan(value) else repr(value) for value in numbers]


_BINDS = {"+": 1, "-": 1, "*": 2, "/": 2}


def formula(term: Term, leaf: Callable[[At | Constant | float], str], call: Callable[[str, list[str]], str]) -> str:
    """A term with signs between its operands, and brackets where they are needed.

    leaf: how a step or a number is written; call: how a function of some arguments is, "power" among them.
    """

    def operand(of: Term, least: int) -> str:
        text = formula(of, leaf, call)
        binds = _BINDS.get(of.sign, 3) if isinstance(of, Arithmetic) else 3
        return text if binds >= least else f"({text})"

    match term:
        case Apply(function, of):
            return call(function, [formula(of, leaf, call)])
        case Arithmetic("^", left, right):
            return call("power", [formula(left, leaf, call), formula(right, leaf, call)])
        case Arithmetic(sign, left, right):
            return f"{operand(left, _BINDS[sign])} {sign} {operand(right, _BINDS[sign] + 1)}"
        case _:
            return leaf(term)


def run_of(at: At) -> int | None:
    """The first position of a step's elements where the others follow it one by one; None where they do not."""
    if at.positions is None:
        return 0
    first = int(at.positions[0])
    return first if np.array_equal(at.positions, first + np.arange(len(at.positions))) else None


def lines_of(words: Sequence[str], indent: str = "    ") -> str:
    """Words, such as numbers, with commas between them, in lines."""
    lines: list[str] = []
    line = indent
    for word in words:
        if len(line) + len(word) >= _LINE and line.strip():
            lines.append(line.rstrip())
            line = indent
        line += f"{word}, "
    return "\n".join([*lines, line.rstrip(", ")])


def bracketed(words: Sequence[str], brackets: str = "[]", indent: str = "") -> str:
    """Words between brackets, in one line where they fit in it. indent: what stands before the first line."""
    whole = f"{brackets[0]}{', '.join(words)}{brackets[1]}"
    if len(indent) + len(whole) <= _LINE:
        return whole
    return f"{brackets[0]}\n{lines_of(words, indent + '    ')}\n{indent}{brackets[1]}"


def comment_lines(paragraphs: Iterable[str], width: int = _LINE - 10) -> list[str]:
    """Paragraphs in lines, with an empty line between any two."""
    found: list[str] = []
    for paragraph in paragraphs:
        found += [*([""] if found else []), *textwrap.wrap(paragraph, width, break_on_hyphens=False)]
    return found
