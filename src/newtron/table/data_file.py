"""Open data files: find their bytes, unpack them, and turn every failure into one sentence."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import stat
import struct
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast

from newtron.engine.base.errors import InputError
from newtron.engine.base.scratch import Folder
from newtron.engine.base.words import setting
from newtron.table.arrow import ArrowFile

STANDARD_INPUT = "-"
# The first bytes of packed files.
GZIP, BZIP2, XZ, ZSTD = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"
_LONGEST = len(XZ)
KINDS = "CSV, Parquet, Arrow or Excel file"
# Bytes that are read or copied at a time.
_PIECE = 1 << 22
# A table may take this fraction, one sixth, of the memory: turning its text into numbers was seen to take up to five
# times as many bytes as the cells have in the end.
_SHARE = 6
# Bytes at the beginning of a file from which the size of its cells is estimated.
_START = 1 << 16


class TooLargeError(InputError):
    """A file that is larger, once it is unpacked, than what may be read into memory at once."""

    def __init__(self, name: str, limit: float) -> None:
        super().__init__(
            f"{name}: its content takes more than {limit / 1e6:,.0f} MB, too much to be read into memory at once; give "
            "a file with fewer rows."
        )


@dataclass(frozen=True)
class DataFile:
    """A file, a folder or a pattern of names.

    path: where the bytes are, unless they are `content`. name: what messages call it. folder: that of a copy, which is
    removed together with this object. parts: of a list of files, each of them.
    """

    path: str
    name: str
    content: bytes | None = None
    folder: Folder | None = None
    parts: tuple[DataFile, ...] = ()

    def open(self) -> BinaryIO:
        return open(self.path, "rb") if self.content is None else io.BytesIO(self.content)

    def open_arrow(self) -> ArrowFile:
        """Open the file for pyarrow. It is not mapped into memory, because another program may change it or cut it
        short."""
        import pyarrow as pa

        return pa.OSFile(self.path) if self.content is None else pa.BufferReader(self.content)

    def start(self, size: int) -> bytes:
        """Return the first bytes, unpacked, or none where they cannot be read."""
        try:
            with self.open() as file:
                return unpacked(file).read(size)
        except (OSError, ValueError, EOFError, lzma.LZMAError, zlib.error):
            return b""

    def read(self, limit: float) -> bytes:
        """Return all bytes, unpacked. Raises TooLargeError where they are more than `limit`."""
        with self.open() as file, unchanged(self):
            text = unpacked(file)
            if text is file:
                if _size(file) > limit:
                    raise TooLargeError(self.name, limit)
                return file.read()
            content = io.BytesIO()
            while piece := text.read(_PIECE):
                content.write(piece)
                if content.tell() > limit:
                    raise TooLargeError(self.name, limit)
            return content.getvalue()


def unpacked(file: BinaryIO) -> BinaryIO:
    """Return the file itself, or a reader of what gzip, bzip2, xz or zstd has packed in it."""
    start = file.read(_LONGEST)
    file.seek(0)
    if start.startswith(GZIP):
        return cast(BinaryIO, gzip.GzipFile(fileobj=file, mode="rb"))
    if start.startswith(BZIP2):
        return cast(BinaryIO, bz2.BZ2File(file))
    if start.startswith(XZ):
        return cast(BinaryIO, lzma.LZMAFile(file))
    if start.startswith(ZSTD):
        import pyarrow as pa

        return cast(BinaryIO, pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd"))
    return file


def data_file_of(path: str | os.PathLike[str] | DataFile | tuple[str, ...], folder: str | None = None) -> DataFile:
    """Return a file, or a list of files, that can be read more than once. What comes through a pipe, or by standard
    input (-), is copied to a folder of its own, which lasts as long as the result. folder: where that folder is made;
    None is the system's place for temporary files."""
    if isinstance(path, DataFile):
        return path
    if isinstance(path, tuple):
        parts = tuple(data_file_of(part, folder) for part in path)
        return parts[0] if len(parts) == 1 else DataFile("", f"{path[0]} and {len(path) - 1} more", parts=parts)
    name = os.fspath(path)
    if name == STANDARD_INPUT:
        if sys.stdin is None:
            raise InputError("standard input is closed; give a file, or send one through a pipe.")
        return _copied(sys.stdin.buffer, "standard input", folder)
    try:
        mode = os.stat(name).st_mode
    except OSError:
        return DataFile(name, name)  # reading it says what is wrong, and a pattern is no name of a file
    except ValueError:
        raise InputError(f"{name!r}: this is not a file name; give the path of a {KINDS}.") from None
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return DataFile(name, name)
    with reader_errors(name), open(name, "rb") as file:
        if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or file.isatty() or not file.read(1)):
            raise InputError(f"{name}: this is a device; give the path of a {KINDS}.")
        return _copied(file, name, folder)


def _copied(file: BinaryIO, name: str, folder: str | None) -> DataFile:
    try:
        held = Folder(folder)
        path = os.path.join(held.name, "input")
        with open(path, "wb") as copy:
            shutil.copyfileobj(file, copy, _PIECE)
    except OSError as error:
        where = folder or "the system's folder for temporary files"
        raise InputError(
            f"{name}: what it sends cannot be kept in {where} ({error.strerror or error}); free space there, or name "
            f"another folder with {setting('scratch')}."
        ) from None
    return DataFile(path, name, folder=held)


@contextmanager
def unchanged(source: DataFile) -> Iterator[None]:
    """Raise an InputError where another program has written the file within the block."""
    if source.content is not None:
        yield
        return
    before = os.stat(source.path)
    yield
    after = os.stat(source.path)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise has_changed(source.name)


def has_changed(name: str) -> InputError:
    return InputError(f"{name}: the file has changed while it was read; begin again.")


@contextmanager
def reader_errors(name: str, what: str = "file") -> Iterator[None]:
    """Turn any error of a reader into an InputError of one sentence: which errors a damaged file causes in a reader
    cannot be foreseen."""
    import pyarrow as pa

    try:
        yield
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{name}: there is no such file, or no longer; check the name and the folder.") from None
    except IsADirectoryError:
        raise InputError(f"{name}: this is a folder; give the path of a {KINDS} in it.") from None
    except PermissionError:
        if os.path.isdir(name):  # as Windows says it
            raise InputError(f"{name}: this is a folder; give the path of a {KINDS} in it.") from None
        raise InputError(f"{name}: there is no permission to read this file; change its access rights.") from None
    except MemoryError:
        raise InputError(
            f"{name}: the {what} takes more memory than there is, or it is damaged; give one with fewer rows, or write "
            "it again."
        ) from None
    except (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile):
        raise _damaged(name, "packed data") from None
    except OSError as error:
        if error.errno is None:  # from pyarrow
            raise _damaged(name, what) from None
        raise InputError(f"{name}: the file cannot be read ({error.strerror}); check the path.") from None
    except (pa.ArrowException, ArithmeticError, LookupError, NotImplementedError, struct.error, TypeError, ValueError):
        raise _damaged(name, what) from None


def _damaged(name: str, what: str) -> InputError:
    return InputError(f"{name}: the {what} is damaged or cut short; write it again.")


def text_limit(source: DataFile, memory: float) -> float:
    """Return how many bytes of this text have cells that take `memory` bytes. It is estimated from the beginning of the
    file; a number takes 8 bytes, however short its text is."""
    start = source.start(_START)
    cells = start.count(b"\n") + max(start.count(separator) for separator in (b",", b";", b"\t", b"|", b" "))
    return memory / max(1.0, 8.0 * cells / max(1, len(start)))


def memory_limit() -> float:
    """Return how many bytes the cells of a table may take that is read at once, as a share of the machine's memory."""
    found = float(2**34)  # where the system does not say how much memory there is
    try:
        found = float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        found = min(found, limit) if limit != resource.RLIM_INFINITY else found
    except (AttributeError, ImportError, OSError, ValueError):
        pass  # a system that does not say it
    return found / _SHARE


def _size(file: BinaryIO) -> int:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size
