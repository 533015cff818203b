"""The page of `newtron play`: it shows a model's data, loss, steps and derivatives in the browser, and lets them be
changed.

The engine that trains computes all numbers here; the browser draws them. `Session` answers messages in JSON, in
whichever way they arrive; `server` brings them over HTTP from this machine alone; `export` writes a run as one HTML
file that needs no server.
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
