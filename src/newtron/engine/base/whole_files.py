"""Files that are whole or not there: written under another name in the same folder, then renamed."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from time import time
from typing import BinaryIO

from newtron.engine.base.errors import InputError
from newtron.engine.base.scratch import gone, hold, is_abandoned, present

_PART = ".part"


def check_writable(path: str | os.PathLike[str], *, devices: bool = False) -> str:
    """The real path of a file to be written; an InputError says why it could not be.

    Asked before long work, so that the work is not lost at its end. A link is followed: what it points to is
    replaced, not the link. `devices` allows pipes and devices such as /dev/stdout.
    """
    name = os.fspath(path)
    if not name:
        raise InputError("the name of the file to write is empty; give one.")
    try:
        real = os.path.realpath(name)
        if os.path.isdir(real):
            raise InputError(f"{name}: this is a folder; give the name of a file in it.")
        # Of /dev/stdout on a pipe there is no real path, but it is there.
        if os.path.exists(name) and not stat.S_ISREG(os.stat(name).st_mode):
            if devices:
                return name
            raise InputError(f"{name}: this is a device or a pipe; give the name of a file.")
        folder = os.path.dirname(real)
        if not os.path.isdir(folder):
            raise InputError(f"{name}: there is no folder {folder!r} to write in; make it or choose another.")
        # Named like a part, and so cleared away with them, should the process be killed just here.
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


def write_whole(path: str | os.PathLike[str], write: Callable[[BinaryIO], object], *, devices: bool = False) -> None:
    """Have `write` fill a file that takes the place of `path` only when it is complete and on the disk."""
    name = os.fspath(path)
    real = check_writable(name, devices=devices)
    if os.path.exists(real) and not os.path.isfile(real):
        with open(real, "wb") as device:
            write(device)
        return
    remove_parts(real)
    _replace(name, real, write)
    _settle(os.path.dirname(real))


# A part that nobody holds and that has not been touched for so many seconds was left by a process that is gone.
_STALE = 60.0


def rewrite(real: str, data: bytes) -> None:
    """Replace a file by its next version, at any moment whole: for a file that is written over and over. `real` is what
    `check_writable` returned. A process that is killed leaves the version before, and at most a part beside it."""
    _replace(real, real, lambda file: file.write(data))


def _replace(name: str, real: str, write: Callable[[BinaryIO], object]) -> None:
    """name: what messages call the file."""
    try:
        handle, temporary = tempfile.mkstemp(_PART, os.path.basename(real) + ".", os.path.dirname(real))
    except OSError as error:
        raise _cannot_write(name, error) from None
    present(temporary)
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
            os.unlink(temporary)  # gone already if all went well
        gone(temporary)


def remove_parts(real: str) -> None:
    """Delete what processes that were killed while they wrote this file have left."""
    name = os.path.basename(real) + "."
    with suppress(OSError), os.scandir(os.path.dirname(real)) as entries:
        for entry in entries:
            if entry.name.startswith(name) and entry.name.endswith(_PART):
                with suppress(OSError):
                    if entry.stat().st_mtime < time() - _STALE and is_abandoned(entry.path):
                        os.unlink(entry.path)


def _mode(path: str) -> int:
    """The access rights of the file that is replaced, or those of a new file."""
    if os.path.exists(path):
        return stat.S_IMODE(os.stat(path).st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _settle(folder: str) -> None:
    """Have the new name on the disk too, where the system can."""
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
