"""Writing files so that a reader never sees a part: under another name in the same folder, and then renamed."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from time import time
from typing import BinaryIO

from newtron.engine.base.errors import InputError
from newtron.engine.base.scratch import add_temporary, drop_temporary, hold, is_abandoned

# How the names of incomplete files end.
_PART = ".part"


def check_writable(path: str | os.PathLike[str], *, devices: bool = False) -> str:
    """Return the real path of a file to be written. Raises InputError where it cannot be written, with the reason.

    It is called before long work, so that the result of the work is not lost. A link is followed: the file that it
    points to is replaced, not the link. devices: allow pipes and devices such as /dev/stdout.
    """
    name = os.fspath(path)
    if not name:
        raise InputError("the name of the file to write is empty; give one.")
    try:
        real = os.path.realpath(name)
        if os.path.isdir(real):
            raise InputError(f"{name}: this is a folder; give the name of a file in it.")
        # /dev/stdout exists when it is a pipe, but it has no real path.
        if os.path.exists(name) and not stat.S_ISREG(os.stat(name).st_mode):
            if devices:
                return name
            raise InputError(f"{name}: this is a device or a pipe; give the name of a file.")
        folder = os.path.dirname(real)
        if not os.path.isdir(folder):
            raise InputError(f"{name}: there is no folder {folder!r} to write in; make it or choose another.")
        # The probe is named like a part, so that `remove_parts` deletes it if the process is killed here.
        handle, probe = tempfile.mkstemp(_PART, os.path.basename(real) + ".", folder)
        os.close(handle)
        os.unlink(probe)
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name!r}: this is not a file name; give the name of a file.") from None
    except OSError as error:
        raise _cannot_write(name, error) from None
    return real


def same_file(path: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Return whether both are there and are one file."""
    return os.path.exists(path) and os.path.exists(other) and os.path.samefile(path, other)


def write_whole(path: str | os.PathLike[str], write: Callable[[BinaryIO], object], *, devices: bool = False) -> None:
    """Call `write` with a temporary file, which replaces `path` only when it is complete and on the disk."""
    name = os.fspath(path)
    real = check_writable(name, devices=devices)
    if os.path.exists(real) and not os.path.isfile(real):
        with open(real, "wb") as device:
            write(device)
        return
    remove_parts(real)
    _replace(name, real, write)
    _sync_folder(os.path.dirname(real))


# A part was left by a process that has ended if no process holds it and it was last changed this many seconds ago.
_STALE = 60.0


def rewrite(real: str, data: bytes) -> None:
    """Replace a file that is written repeatedly by its next version. real: the path that `check_writable` returned.
    A process that is killed leaves the previous version, and at most a part beside it."""
    _replace(real, real, lambda file: file.write(data))


def _replace(name: str, real: str, write: Callable[[BinaryIO], object]) -> None:
    """Write the file `real`. name: the name of the file in messages."""
    try:
        handle, temporary = tempfile.mkstemp(_PART, os.path.basename(real) + ".", os.path.dirname(real))
    except OSError as error:
        raise _cannot_write(name, error) from None
    add_temporary(temporary)
    try:
        with os.fdopen(handle, "wb") as file:
            hold(handle)
            write(file)
            file.flush()
            os.fsync(handle)
        os.chmod(temporary, _mode(real))
        os.replace(temporary, real)
    except OSError as error:
        raise _cannot_write(name, error) from None
    finally:
        with suppress(OSError):
            os.unlink(temporary)  # after a success it does not exist any more
        drop_temporary(temporary)


def remove_parts(real: str) -> None:
    """Delete the parts that were left by processes which were killed while they wrote this file."""
    name = os.path.basename(real) + "."
    with suppress(OSError), os.scandir(os.path.dirname(real)) as entries:
        for entry in entries:
            if entry.name.startswith(name) and entry.name.endswith(_PART):
                with suppress(OSError):
                    if entry.stat().st_mtime < time() - _STALE and is_abandoned(entry.path):
                        os.unlink(entry.path)


def _mode(path: str) -> int:
    """The access rights of the file that is replaced, or of a new file if there is none."""
    if os.path.exists(path):
        return stat.S_IMODE(os.stat(path).st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _sync_folder(folder: str) -> None:
    """Write the folder's entry to the disk, if the system supports it."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _cannot_write(path: str, error: OSError) -> InputError:
    if isinstance(error, PermissionError):
        return InputError(f"{path}: there is no permission to write in this folder; choose another place.")
    return InputError(f"{path}: the file cannot be written ({error.strerror}); free space or choose another place.")
