"""The page as files: module and style sheets as `web/` builds them, and a run as one HTML file without a server."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files

from newtron.engine.base.errors import InputError

MODULE, STYLE, FONTS = "page.js", "page.css", "fonts.css"
# The longest run that is written into one file, in characters of JSON: browsers still open it at once.
_MOST_BYTES = 16 * 2**20

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline';
 style-src 'unsafe-inline'; font-src data:; img-src data: blob:">
<title>newtron: a run</title>
<style>
{style}
</style>
</head>
<body>
<main id="newtron"></main>
<script id="newtron-state" type="text/plain">{state}</script>
<script type="module">
{module}
</script>
</body>
</html>
"""


@lru_cache(maxsize=3)
def built(name: str) -> str:
    """The text of a file that the build of `web/` has made."""
    return files("newtron.play").joinpath("static", name).read_text(encoding="utf-8")


def page(state: Mapping[str, object]) -> str:
    """One HTML file of a run: module, style, fonts and numbers inside, nothing loaded from anywhere.

    The state is compressed and written as base64, so nothing in it can end the element that it stands in.
    """
    packed = base64.b64encode(gzip.compress(state_bytes(state), mtime=0)).decode("ascii")
    return (
        _PAGE.replace("{style}", built(STYLE) + built(FONTS))
        .replace("{module}", built(MODULE))
        .replace("{state}", packed)
    )


def state_bytes(state: Mapping[str, object]) -> bytes:
    """The state as JSON in UTF-8. Raises InputError where it is no JSON or too long for one file."""
    try:
        text = json.dumps(state, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        content = text.encode("utf-8")  # half of a surrogate pair is in no text that a file could hold
    except (TypeError, ValueError, RecursionError):
        raise InputError("state must be JSON of finite numbers and Unicode text, not nested deeply.") from None
    if len(text) > _MOST_BYTES:
        raise InputError("This run is too long for one file: take fewer steps or rows.")
    return content
