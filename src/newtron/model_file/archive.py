"""The container of a model file: a zip archive of one JSON text and plain NumPy arrays.

Everything is stored without compression, so that no small file can unfold into a large one, and without dates, so
that the same model is the same bytes. Nothing that is read is executed: there is no pickle, and the header of an array
is not interpreted but compared, byte by byte, with the header of an array of the length that the manifest gives.
"""

from __future__ import annotations

import io
import os
import re
import stat
import struct
import zipfile
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from newtron.engine.base.errors import InputError

MANIFEST = "manifest.json"
# Bytes that a file, its manifest and the archive's list of names may have. These limits bound the memory that reading
# takes; the largest array of one member that training keeps, the factor of its posterior, has 16 MB.
LARGEST_FILE = 1 << 30
LARGEST_MANIFEST = 1 << 25
_LARGEST_DIRECTORY = 1 << 22
# The first date that a zip archive can hold: every entry has it.
_DATE = (1980, 1, 1, 0, 0, 0)
# The record at the end of a zip archive (section 4.3.16 of PKWARE's APPNOTE.TXT).
_END = struct.Struct("<4s4H2LH")
_CUT = "it was cut short or damaged: save or copy it again"
_NOT_OURS = "this is not a newtron model"
_GIVE = "give a file that `newtron fit` or the `save` of an estimator wrote"

Vector = NDArray[np.float64]


def pack(manifest: bytes, arrays: dict[str, Vector]) -> bytes:
    """The bytes of an archive that holds the manifest and these arrays."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, MANIFEST, manifest)
        for name, array in arrays.items():
            held = io.BytesIO()
            plain = np.ascontiguousarray(array, dtype="<f8")
            np.lib.format.write_array(held, plain, version=(1, 0), allow_pickle=False)
            _add(archive, name, held.getvalue())
    return buffer.getvalue()


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, _DATE)
    entry.create_system, entry.external_attr = 3, 0o644 << 16
    archive.writestr(entry, data)


def open_file(path: str) -> BinaryIO:
    """Open a regular file for reading. Raises InputError for anything else, and where it cannot be read."""
    try:
        # Without O_NONBLOCK, opening a pipe without a writer would never return.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        raise InputError("there is no such file; check the name and the folder.") from None
    except PermissionError as error:
        if os.path.isdir(path):
            raise InputError(f"this is a folder; {_GIVE}.") from None
        raise InputError(f"the file cannot be read ({error.strerror}); change its access rights.") from None
    except OSError as error:
        raise InputError(f"the file cannot be read ({error.strerror}); check the path.") from None
    except ValueError:
        raise InputError("this is not a file name; give the path of a model file.") from None
    file = os.fdopen(handle, "rb") if not stat.S_ISDIR(os.fstat(handle).st_mode) else None
    if file is None:
        os.close(handle)
        raise InputError(f"this is a folder; {_GIVE}.")
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        file.close()
        raise InputError(f"this is a device or a pipe; {_GIVE}.")
    return file


class Archive:
    """An open model file. Its list of names has been read and checked; entries are read when they are asked for."""

    def __init__(self, file: BinaryIO) -> None:
        size = file.seek(0, os.SEEK_END)
        if size > LARGEST_FILE:
            raise InputError(f"the file has {size:,} bytes, and a model has at most {LARGEST_FILE:,}; {_GIVE}.")
        file.seek(0)
        _refuse_foreign(file.read(16), size)
        _check_end(file, size)
        try:
            self._zip = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, struct.error, NotImplementedError, ValueError, OverflowError, OSError):
            raise InputError(f"the archive cannot be read; {_CUT}.") from None
        self._size = size
        self._entries = self._zip.infolist()
        self.names = dict.fromkeys(entry.filename for entry in self._entries)
        if MANIFEST not in self.names:
            what = "a NumPy archive" if all(name.endswith(".npy") for name in self.names) else "a zip archive"
            raise InputError(f"{_NOT_OURS} but {what} of something else; {_GIVE}.")
        self._check_entries()

    def _check_entries(self) -> None:
        if len(self.names) != len(self._entries):
            raise InputError(f"the archive holds a name twice; {_GIVE}.")
        total = 0
        for entry in self._entries:
            total += entry.file_size
            packed = entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size
            if packed or entry.flag_bits:
                raise InputError(
                    f"{entry.filename[:60]!r} in the archive is compressed or encrypted, and in a model file "
                    f"nothing is; {_GIVE}."
                )
        if total > self._size:
            raise InputError(f"the archive claims to hold more than the file has; {_CUT}.")

    def expect(self, names: tuple[str, ...]) -> None:
        """Raise InputError unless the archive holds exactly these names."""
        known = set(names)
        for name in self.names:
            if name not in known:
                raise InputError(f"{name[:60]!r} in the archive does not belong in a model file; {_GIVE}.")
        for name in names:
            self._entry(name)

    def _entry(self, name: str) -> zipfile.ZipInfo:
        if name not in self.names:
            raise InputError(f"{name[:200]!r} is missing in the archive; {_CUT}.")
        return self._zip.getinfo(name)

    def manifest(self) -> bytes:
        return self._read(MANIFEST, LARGEST_MANIFEST)

    def vector(self, name: str, length: int | None = None) -> Vector:
        """The array of float64 with this name, in new memory. length: its length; None accepts any."""
        if length is None:
            length = max(0, self._entry(name).file_size - len(npy_header(0))) // 8
        expected = npy_header(length)
        raw = self._read(name, len(expected) + 8 * length + 1024)
        header = 10 + int.from_bytes(raw[8:10], "little")
        text = expected[10:].strip()
        if raw[:8] != expected[:8] or raw[10:header].strip() != text or len(raw) != header + 8 * length:
            raise InputError(f"{name} must be {length:,} numbers of type float64, and it is not; {_CUT}.")
        return np.frombuffer(raw, dtype="<f8", offset=header).astype(np.float64)

    def _read(self, name: str, limit: int) -> bytes:
        entry = self._entry(name)
        if entry.file_size > limit:
            raise InputError(f"{name} has {entry.file_size:,} bytes, more than it can have; {_CUT}.")
        try:
            with self._zip.open(entry) as member:
                # zipfile compares the checksum when the end is reached.
                raw = member.read(limit + 1)
        except (zipfile.BadZipFile, struct.error, NotImplementedError, ValueError, EOFError, OSError):
            raise InputError(f"{name} in the archive cannot be read; {_CUT}.") from None
        if len(raw) != entry.file_size:
            raise InputError(f"{name} in the archive is not as long as it should be; {_CUT}.")
        return raw


class ArchiveNumbers:
    """The numbers of a codec as arrays of an archive, each under the path of its field: "members/0/alpha.npy".

    arrays: those that were put, or got from the archive.
    """

    def __init__(self, archive: Archive | None = None) -> None:
        self.arrays: dict[str, Vector] = {}
        self._archive = archive

    def put(self, where: str, numbers: Vector) -> None:
        self.arrays[_entry_name(where)] = numbers

    def get(self, where: str, size: int) -> Vector:
        assert self._archive is not None
        name = _entry_name(where)
        self.arrays[name] = found = self._archive.vector(name, size)
        return found


def _entry_name(where: str) -> str:
    return re.sub(r"[\[\].]+", "/", where).strip("/") + ".npy"


def npy_header(length: int) -> bytes:
    """The header of an .npy file of this many float64 numbers."""
    held = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (length,)}
    np.lib.format.write_array_header_1_0(held, header)
    return held.getvalue()


def _check_end(file: BinaryIO, size: int) -> None:
    """Check the record at the end of the archive, which gives the size of the list of names, before that list is read
    into memory."""
    tail = min(size, 20 + _END.size)
    file.seek(size - tail)
    last = file.read(tail)
    if len(last) < _END.size:
        raise InputError(f"the archive has no end; {_CUT}.")
    mark, _, _, _, entries, directory, _, comment = _END.unpack(last[-_END.size :])
    large = last.startswith(b"PK\x06\x07")
    if mark != b"PK\x05\x06" or comment or large or directory > _LARGEST_DIRECTORY or not entries:
        raise InputError(f"the archive has no end, or not one of a model; {_CUT}.")


def _refuse_foreign(start: bytes, size: int) -> None:
    """Raise InputError for files of other formats, which are recognised by their first bytes."""
    if not size:
        raise InputError(f"the file is empty; {_GIVE}.")
    if start.startswith(b"PK\x03\x04"):
        return
    if start[:1] == b"\x80" and start[1:2] <= b"\x05":
        raise InputError(
            f"{_NOT_OURS} but a pickle, which can run any program when it is opened, so newtron never opens "
            f"one; {_GIVE}."
        )
    kinds = (
        (start.startswith(b"\x93NUMPY"), "a NumPy array"),
        (start[8:9] == b"{" and start[5:8] in (b"\0\0\0", b"\0\0\x80"), "a safetensors file"),
        (start.lstrip()[:1] in (b"{", b"["), "JSON"),
        (start.startswith(b"PAR1"), "a Parquet table"),
        (start.startswith(b"ARROW1"), "an Arrow table"),
    )
    what = next((f" but {name}" for found, name in kinds if found), "")
    raise InputError(f"{_NOT_OURS}{what}; {_GIVE}.")
