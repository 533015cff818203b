"""The page: a model's data, loss, steps and derivatives to look at and to steer, in the browser.

All numbers are made here by the engine that trains; the browser draws them. `Session` answers messages in JSON and
knows nothing of how they arrive; `server` brings them over HTTP from this machine alone; `export` writes a run as one
HTML file that needs no server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from newtron.play.session import Session

__all__ = ["Session"]


def __getattr__(name: str) -> type[Session]:
    # The server answers before the engine is imported, so importing it must not import the engine.
    if name == "Session":
        from newtron.play.session import Session

        return Session
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
