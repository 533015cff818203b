"""Changes of JSON, arrays, archives, text and bytes: one to four at a time, at places drawn by chance, to values that
programs stumble over."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

Files = dict[str, bytes]

NUMBERS: list[Any] = [0, -1, 1, 2**31, 2**53, 2**63, 2**64, -(2**63), 10**30, 10**400, 0.0, -0.0, 5e-324, 1e-300, 1e-17]
NUMBERS += [1e17, 1e150, 1e300, 1e308, -1e308, 0.5, -0.5, float("nan"), float("inf"), -float("inf")]
TEXTS = ["", " ", "nan", "inf", "null", "0", "-1", "\0", "\ud800", "\x1b[31m", "\u202e", "é" * 300, "x" * 5000]
TEXTS += ["<script>alert(1)</script>", "=HYPERLINK(1)", "{}", "[", "%s", "{0}", "__class__", "file:1", "../../x"]
TEXTS += ["newton", "tanh"]
OTHERS: list[Any] = [None, True, False, [], {}, [[]], [None], {"float": "nan"}, {"array": [[1], "float64", "C"]}]


class Mutator:
    """All choices come from one generator, so that the same one makes the same changes."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def below(self, limit: int) -> int:
        return int(self.rng.integers(limit))

    def one(self, choices: list[Any]) -> Any:
        return choices[self.below(len(choices))]

    def often(self, change: Callable[[Any], Any], value: Any) -> Any:
        for _ in range(1 + self.below(4)):
            value = change(value)
        return value

    # --- JSON ---

    def json(self, value: Any) -> Any:
        """A copy with one part changed, removed, doubled or put elsewhere."""
        value = json.loads(json.dumps(value))
        places = list(_places(value, ()))
        if not places:
            return self._leaf(value)
        *way, last = self.one(places)
        inner = value
        for step in way:
            inner = inner[step]
        choice = self.below(10)
        if choice == 0 and isinstance(inner, dict):
            del inner[last]
        elif choice == 0:
            inner.insert(last, inner[last]) if self.below(2) else inner.pop(last)
        elif choice == 1 and isinstance(inner, dict):
            inner[self.one(TEXTS)] = inner[last]
        elif choice == 2:
            *other, end = self.one(places)
            found = value
            for step in other:
                found = found[step]
            inner[last] = json.loads(json.dumps(found[end]))
        else:
            inner[last] = self._leaf(inner[last])
        return value

    def _leaf(self, value: Any) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**64 and self.below(3):
            factor = self.one([-1, 0, 2, 0.5, 1e-6, 1e6, 1e300])
            return self.one([self.one(NUMBERS), value + 1, value - 1, float(value) * factor])
        return self.one([*NUMBERS, *TEXTS, *OTHERS])

    # --- numbers ---

    def array(self, data: bytes) -> bytes:
        """A .npy file of float64 with some numbers changed, or one of another shape or kind."""
        try:
            values = np.load(io.BytesIO(data))
            plain = values.dtype == np.float64 and values.ndim == 1
        except Exception:  # NumPy reads a changed header by Python's own parser, which raises whatever it likes
            plain = False
        if not plain:
            return self.octets(data)
        if self.below(12) == 0:
            values = self.one([values[:-1], np.append(values, 1.0), values.astype(np.float32), values[None], -values])
        elif values.size:
            wanted = [float(number) for number in NUMBERS if number != 10**400]
            which = slice(None) if self.below(6) == 0 else self.below(values.size)
            values = values.copy()
            old = values[which]
            values[which] = self.one([self.one(wanted), -old, old * 1e6, old * (1.0 + 1e-6)])
        held = io.BytesIO()
        np.save(held, values)
        return held.getvalue()

    # --- archives ---

    def archive(self, files: Files) -> tuple[str, bytes]:
        """What was changed ("manifest", "arrays", "archive" or "bytes"), and the archive."""
        files = dict(files)
        what: str = self.one(["manifest", "manifest", "arrays", "arrays", "archive", "bytes"])
        names = [name for name in files if name.endswith(".npy")]
        if what == "manifest":
            text = self.often(self.json, json.loads(files["manifest.json"]))
            files["manifest.json"] = json.dumps(text).encode("utf-8", "surrogatepass")
        elif what == "arrays" and names:
            for _ in range(1 + self.below(3)):
                name = self.one(names)
                files[name] = self.array(files[name])
        elif what == "archive":
            files = self._names(files)
        data = packed(files, zipfile.ZIP_DEFLATED if what == "archive" and self.below(8) == 0 else zipfile.ZIP_STORED)
        return what, self.often(self.octets, data) if what == "bytes" else data

    def _names(self, files: Files) -> Files:
        name = self.one(list(files))
        other = self.one([*TEXTS[3:], "/etc/passwd", "members/0/params.npy", "manifest.json", name + "x"])
        other = other.encode("utf-8", "replace").decode("utf-8")[:200] or "x"
        choice = self.below(4)
        if choice == 0:
            del files[name]
        elif choice == 1:
            files[other] = files.get(other, files[name])
        elif choice == 2:
            files[other] = files.pop(name)
        else:
            files[name] = self.often(self.octets, files[name])
        return files

    # --- bytes and text ---

    def octets(self, data: bytes) -> bytes:
        """Bytes changed, cut out, doubled, or a length among them made large."""
        if not data:
            return bytes([self.below(256)])
        held, at, choice = bytearray(data), self.below(len(data)), self.below(7)
        if choice == 0:
            held[at] ^= 1 << self.below(8)
        elif choice == 1:
            held[at] = self.below(256)
        elif choice == 2:
            del held[at : at + 1 + self.below(32)]
        elif choice == 3:
            held[at:at] = held[at : at + 1 + self.below(64)]
        elif choice == 4:
            del held[at:]
        elif choice == 5:
            size = self.one([0, 1, 255, 2**15, 2**31 - 1, 2**32 - 1, 2**62])
            held[at : at + 8] = struct.pack("<Q", size)[: len(held[at : at + 8])]
        else:
            held[at:at] = bytes(self.rng.integers(0, 256, 1 + self.below(16), dtype=np.uint8))
        return bytes(held)

    def text(self, data: bytes) -> bytes:
        """A table of text with cells, separators, quotes and line ends changed."""
        lines = data.split(b"\n")
        at = self.below(len(lines))
        choice = self.below(8)
        if choice == 0:
            lines[at] = lines[at].replace(b",", self.one([b";", b"\t", b",,", b"", b"|"]))
        elif choice == 1:
            del lines[at]
        elif choice == 2:
            lines[at:at] = [self.one([b"", b",,", b'"', b"#", b" ", lines[at], lines[at] * 50])]
        elif choice == 3:
            lines[at] = lines[at] + self.one([b"\r", b'"', b"\0", b",1", b"\\", "é".encode("latin-1"), b"\xef\xbb\xbf"])
        elif choice in (4, 5):
            cells = lines[at].split(b",")
            others = ["1e5000", "1.2.3", "0x1F", "12 kg", "1,5", '"a""b"']
            cell = str(self.one([*NUMBERS, *TEXTS, *others]))
            cells[self.below(len(cells))] = cell.encode("utf-8", "surrogatepass")
            lines[at] = b",".join(cells)
        elif choice == 6:
            return b"\n".join(lines).replace(b"\n", self.one([b"\r\n", b"\r", b"\n\n"]))
        else:
            return self.octets(data)
        return b"\n".join(lines)


def _places(value: Any, way: tuple[Any, ...]) -> Any:
    """The way to every part of a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, part in inner:
        yield (*way, step)
        yield from _places(part, (*way, step))


def packed(files: Files, compression: int = zipfile.ZIP_STORED) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    return held.getvalue()


def unpacked(data: bytes) -> Files:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
