"""A derivation: all sections of steps, in two notations, and its forms as text, LaTeX, HTML and JSON."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from newtron.engine.base.checks import check_choice
from newtron.engine.base.types import Array
from newtron.explain.show.html import html_element
from newtron.explain.show.latex import latex_source
from newtron.explain.show.text import StyledLine, text_lines
from newtron.explain.steps import NOTATIONS, Described, Section, Step


class TextPrinter(Protocol):
    """The part of IPython's pretty printer that a derivation uses."""

    def text(self, text: str) -> None: ...


@dataclass(frozen=True, eq=False)
class Derivation(Described):
    """How a model computes its prediction for some rows, its loss, and every derivative of that loss.

    A derivation prints as text, and a notebook shows it as HTML. `sections` hold the steps of both notations, `steps`
    those of the chosen one: "lecture" (ŷ, one number at a time) or "lab" (matrices over the rows: A, Z, W^[l], dW^[l]).
    `gradient` (P,) and `loss` are the engine's gradient and value of the mean loss of the rows.

    Examples
    --------
    >>> import pandas as pd
    >>> from newtron import PerceptronClassifier
    >>> penguins = pd.read_csv("examples/penguins.csv").dropna()
    >>> X, y = penguins[["species", "bill_depth_mm", "body_mass_g"]], penguins["sex"]
    >>> model = PerceptronClassifier().fit(X, y)
    >>> derivation = model.explain(X[:1], y[:1])
    >>> round(derivation.loss, 4), derivation.gradient.shape
    (0.3062, (5,))
    """

    title: str
    summary: tuple[str, ...]
    sections: tuple[Section, ...]
    notation: str
    loss: float
    gradient: Array

    def in_notation(self, notation: str) -> Derivation:
        """The same derivation in "lecture" or "lab" notation; raises InputError for any other."""
        return replace(self, notation=check_choice("notation", notation, NOTATIONS))

    @property
    def shown_sections(self) -> tuple[Section, ...]:
        """The sections with the steps of the chosen notation, without empty ones."""
        chosen = []
        for section in self.sections:
            steps = tuple(step for step in section.steps if step.notation in ("", self.notation))
            if steps:
                chosen.append(replace(section, steps=steps))
        return tuple(chosen)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps of the chosen notation, in order."""
        return tuple(step for section in self.shown_sections for step in section.steps)

    def __getitem__(self, key: str) -> Step:
        """The step with this key, in either notation; raises KeyError where there is none."""
        for section in self.sections:
            for step in section.steps:
                if step.key == key:
                    return step
        raise KeyError(key)

    def to_text(self, width: int = 100) -> str:
        """Plain text of lines no longer than `width` where the numbers allow."""
        return "\n".join(text for text, _ in self.styled_lines(width))

    def styled_lines(self, width: int = 100) -> list[StyledLine]:
        """The lines of `to_text`, each with its style as rich names it."""
        return text_lines(self.title, self.summary, self.shown_sections, self.notation, width)

    def to_latex(self) -> str:
        """LaTeX with amsmath, to be pasted into a document."""
        return latex_source(self.title, self.summary, self.shown_sections, self.notation)

    def to_html(self, *, style: bool = True) -> str:
        """One HTML element, nothing loaded from anywhere, all text escaped. style: with its style sheet, for a page
        that does not have it yet."""
        return html_element(self.title, self.summary, self.shown_sections, self.notation, style=style)

    def __str__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        return self.to_html()

    def _repr_latex_(self) -> str:
        return self.to_latex()

    def _repr_pretty_(self, printer: TextPrinter, cycle: bool) -> None:
        printer.text(f"{type(self).__name__}(...)" if cycle else str(self))
