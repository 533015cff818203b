"""Turn the bytes of a text file into UTF-8, or raise an error that names the encoding and the row."""

from __future__ import annotations

import codecs
import re

from newtron.engine.base.errors import InputError
from newtron.engine.base.words import setting

_PIECE = 1 << 20  # bytes that are checked at a time
_BYTE_ORDER_MARKS = (  # the longer first: UTF-32's begins like UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def to_utf8(path: str, raw: bytes, encoding: str) -> bytes:
    """Return the text in UTF-8 without byte order mark. A mark in the file has precedence over `encoding`."""
    if what := markup(raw):
        raise InputError(f"{path}: this is {what}.")
    for mark, marked in _BYTE_ORDER_MARKS:
        if raw.startswith(mark):
            if marked == "utf-8":
                raw = raw[len(mark) :]
            encoding = marked
            break
    try:
        if codecs.lookup(encoding).name in ("utf-8", "utf-8-sig"):
            _check_utf8(path, raw)
            text = raw
        else:
            text = raw.decode(encoding).encode("utf-8")
    except UnicodeError as error:
        row = line_of(raw, getattr(error, "start", 0))
        raise InputError(
            f"{path}, row {row}: the text is not in the encoding {encoding!r}; name the one it is in."
        ) from None
    except LookupError:
        raise InputError(
            f"{path}: there is no text encoding {encoding!r}; use a name such as utf-8, latin-1 or cp1252."
        ) from None
    if (nul := text.find(b"\0")) >= 0:
        raise InputError(
            f"{path}, row {line_of(text, nul)}: there is a NUL byte, so this is binary data or UTF-16 text; "
            f"give a text file such as CSV, or name the encoding ({setting('encoding', repr('utf-16'))})."
        )
    return text


_JSON = re.compile(rb'\{\s*(?:"|\}\s*$|$)')
_PAGE = re.compile(rb"<(?:\?xml|!doctype|!--|html[\s>])", re.IGNORECASE)
_TAGS = re.compile(rb"</?[a-z][^<>]*>", re.IGNORECASE)


def markup(raw: bytes) -> str:
    """Return what a text is that holds JSON, HTML or XML in place of a table, and what to do; "" for other texts. The
    first lines decide; the first column of a table may have a name such as "<1 km" or "{a}"."""
    start = raw[:4096].removeprefix(codecs.BOM_UTF8).lstrip()
    if _JSON.match(start):
        return "JSON; write the table as CSV"
    lines = [line for line in map(bytes.strip, start.splitlines()) if line]
    tags = bool(lines) and _TAGS.match(lines[0]) and lines[0].endswith(b">") and all(x[:1] == b"<" for x in lines[1:2])
    return "HTML or XML; save the table as CSV" if tags or _PAGE.match(start) else ""


def line_of(text: bytes, position: int) -> int:
    """Return the number, from 1, of the line that holds this byte."""
    end_of_line = b"\n" if b"\n" in text else b"\r"
    return text.count(end_of_line, 0, position) + 1


def _check_utf8(path: str, raw: bytes) -> None:
    if raw.isascii():
        return
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        # In pieces, so that a large file is not held a second time as text.
        for start in range(0, len(raw), _PIECE):
            decoder.decode(raw[start : start + _PIECE])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise _not_utf8(path, raw) from None


def _not_utf8(path: str, raw: bytes) -> InputError:
    try:
        raw.decode("utf-8")
        position = 0
    except UnicodeDecodeError as error:
        position = error.start
    where = f"{path}, row {line_of(raw, position)}"
    around = raw[max(0, position - 2000) : position + 2000]
    if re.search(rb"[\x00-\x08\x0e-\x1f]", around):
        return InputError(f"{where}: this is binary data, not text; give a CSV, Parquet or Arrow file.")
    # Bytes 80 to 9f are letters and quotes in Windows-1252, and unused control characters in Latin-1.
    windows = re.search(rb"[\x80-\x9f]", raw) is not None
    name, option = ("Windows-1252", "cp1252") if windows else ("Latin-1 (or Windows-1252)", "latin-1")
    before = re.split(rb"[\s,;|\"']", raw[max(0, position - 30) : position])[-1]
    after = re.split(rb"[\s,;|\"']", raw[position : position + 30])[0]
    word = (before + after).decode(option, errors="replace")
    return InputError(
        f"{where}: the text is not UTF-8; it looks like {name}, in which this reads {word!r}: "
        f"read it with {setting('encoding', repr(option))}."
    )
