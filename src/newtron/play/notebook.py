"""The page in a notebook: the same module as an anywidget, answered by the widget's messages.

A message is {"id", "message"}, answered by {"id", "answer"} with the text that the server would send; a file comes as
{"id", "name"} with its bytes beside it. The protocol of widgets keeps both inside the notebook's own connection.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextvars import copy_context
from typing import Any, TypeAlias

from newtron.play.export import FONTS, MODULE, STYLE, built
from newtron.play.session import Session, as_json

# An anywidget.AnyWidget, whose package has no types and may not be installed.
Widget: TypeAlias = Any
# What the front end sends beside a message.
Buffers = Sequence[bytes | memoryview] | None


def widget(session: Session) -> Widget:
    """An `anywidget.AnyWidget` that shows the page and asks this session.

    Raises ImportError, which names the extra, where anywidget is not installed.
    """
    try:
        from anywidget import AnyWidget
    except ImportError:
        raise ImportError(
            'The page in a notebook needs anywidget, newtron\'s extra "notebook": pip install anywidget.'
        ) from None
    page = type("NewtronPage", (AnyWidget,), {"_esm": built(MODULE), "_css": built(STYLE) + built(FONTS)})()
    page.on_msg(lambda sender, content, buffers: _answer_on_thread(session, sender, content, buffers))
    return page


def _answer_on_thread(session: Session, page: Widget, content: object, buffers: Buffers) -> None:
    """Answers on a thread of its own, so that a later message can cancel a run and the notebook stays responsive."""
    copied = [bytes(buffer) for buffer in buffers or ()]
    arguments = (lambda: page.send(reply(session, content, copied)),)
    threading.Thread(target=copy_context().run, args=arguments, name="newtron-page", daemon=True).start()


def reply(session: Session, content: object, buffers: list[bytes]) -> dict[str, object]:
    """The answer to one message of the widget's front end."""
    given = content if isinstance(content, dict) else {}
    if buffers:
        answer = session.open(str(given.get("name", "data.csv")), buffers[0])
    else:
        answer = session.ask(given.get("message"))
    return {"id": given.get("id"), "answer": as_json(answer)}
