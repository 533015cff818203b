"""Temporary folders and files of this process, and the removal of those that killed processes have left.

A folder is held by a lock that the system releases when its process ends, however it ends: a folder that nobody holds
is removed by the next process that needs one in the same place.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from contextlib import suppress

try:
    import fcntl
except ImportError:  # Windows has no such lock: there a process that is killed leaves its folder
    fcntl = None  # type: ignore[assignment]

# How the names of temporary folders begin, and of those that are being made.
_PREFIX, _NEW = ".newtron-scratch-", ".newtron-scratch-new-"
# How often `remove_all` goes through the files, since another thread may be writing.
_TRIES = 3
# Paths that exist at this moment, which a process that must end at once removes.
_present: set[str] = set()


class Folder:
    """A new folder that is removed with its content by `cleanup`, or when the object is no longer used.

    parent: the folder in which it is made; None is the system's place for temporary files. Raises OSError where that is
    not possible.
    """

    def __init__(self, parent: str | None = None) -> None:
        parent = tempfile.gettempdir() if parent is None else parent
        _clear(parent)
        # The folder gets the name by which other processes find it only when it is locked.
        new = tempfile.mkdtemp(prefix=_NEW, dir=parent)
        handle = None
        if fcntl is not None:
            handle = os.open(new, os.O_RDONLY)
            hold(handle)
        self.name = os.path.join(parent, _PREFIX + os.path.basename(new).removeprefix(_NEW))
        os.rename(new, self.name)
        _present.add(self.name)
        self.cleanup = weakref.finalize(self, _remove, self.name, handle, os.getpid())


def add_temporary(path: str) -> None:
    """Have `remove_all` remove a file that is being written under another name than its own."""
    _present.add(path)


def drop_temporary(path: str) -> None:
    """The file was removed or renamed, so `remove_all` need not remove it."""
    _present.discard(path)


def remove_all() -> None:
    """Remove all temporary folders and files, in a process that ends at once."""
    for _ in range(_TRIES):
        for path in list(_present):
            with suppress(OSError):
                os.unlink(path)
            shutil.rmtree(path, ignore_errors=True)


def hold(handle: int) -> bool:
    """Lock an open file or folder until it is closed or this process ends, so that other processes know that it is in
    use. Returns False where the system has no such locks, or another process holds it."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def is_abandoned(path: str) -> bool:
    """Does no process hold the file or folder? This is True where the system has no such locks."""
    if fcntl is None:
        return True
    handle = os.open(path, os.O_RDONLY)
    try:
        return hold(handle)
    finally:
        os.close(handle)


def _remove(folder: str, handle: int | None, process: int) -> None:
    if os.getpid() != process:  # a forked copy of the process that made the folder
        return
    shutil.rmtree(folder, ignore_errors=True)
    _present.discard(folder)
    if handle is not None:
        os.close(handle)


def _clear(parent: str) -> None:
    """Remove the folders of processes that have ended."""
    if fcntl is None:
        return
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            named = entry.name.startswith(_PREFIX) and not entry.name.startswith(_NEW)
            if named and entry.is_dir(follow_symlinks=False):
                with suppress(OSError):
                    ours = entry.stat(follow_symlinks=False).st_uid == os.getuid()
                    if ours and is_abandoned(entry.path):
                        shutil.rmtree(entry.path, ignore_errors=True)
