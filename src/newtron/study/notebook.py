"""The place below a cell of a notebook where the progress of a study is shown."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

_WIDTH = 100  # characters in a line
_PRE = '<pre style="margin:0;line-height:1.25;white-space:pre-wrap">{code}</pre>'


def in_notebook() -> bool:
    """Return whether a notebook shows what is displayed."""
    if "IPython" not in sys.modules:
        return False
    from rich.console import Console

    return Console().is_jupyter


class NotebookArea:
    """An output of a cell that is drawn anew, and removed in the end."""

    def __init__(self) -> None:
        from IPython.display import display

        self._handle = display({"text/plain": ""}, raw=True, display_id=True)

    def draw(self, *shown: RenderableType) -> None:
        """Show this in place of what was shown before."""
        from rich.console import Console

        console = Console(
            file=io.StringIO(), record=True, width=_WIDTH, force_terminal=True, force_jupyter=False, markup=False
        )
        for each in shown:
            console.print(each, highlight=False)
        text = console.export_text(clear=False)
        html = console.export_html(inline_styles=True, code_format=_PRE)
        self._update({"text/plain": text, "text/html": html})

    def clear(self) -> None:
        """Show nothing."""
        self._update({"text/plain": "", "text/html": ""})

    def _update(self, data: dict[str, str]) -> None:
        self._handle.update(data, raw=True)
