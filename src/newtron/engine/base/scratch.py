"""Folders and files that last no longer than the work of this process, and what processes that were killed have left.

A folder is held by a lock that the system takes away when its process ends, however it ends: a folder that nobody holds
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

_PREFIX, _NEW = ".newtron-scratch-", ".newtron-scratch-new-"
_TRIES = 3
# What is there at this moment, to be removed by a process that is asked to end at once.
_present: set[str] = set()


class Folder:
    """A folder of its own that is removed with all that is in it: by `cleanup`, or when nobody holds it any more.

    parent: where it is made; None is the system's place for temporary files. Raises OSError where that cannot be.
    """

    def __init__(self, parent: str | None = None) -> None:
        parent = tempfile.gettempdir() if parent is None else parent
        _clear(parent)
        # Under its name, by which others find it, it is never without its lock.
        new = tempfile.mkdtemp(prefix=_NEW, dir=parent)
        handle = None
        if fcntl is not None:
            handle = os.open(new, os.O_RDONLY)
            hold(handle)
        self.name = os.path.join(parent, _PREFIX + os.path.basename(new).removeprefix(_NEW))
        os.rename(new, self.name)
        _present.add(self.name)
        self.cleanup = weakref.finalize(self, _remove, self.name, handle, os.getpid())


def present(path: str) -> None:
    """A file that is being written under another name than its own: it goes with `remove_all`."""
    _present.add(path)


def gone(path: str) -> None:
    """It was removed or renamed."""
    _present.discard(path)


def remove_all() -> None:
    """Remove all that is there, in a process that ends at once."""
    for _ in range(_TRIES):  # another thread may be writing
        for path in list(_present):
            with suppress(OSError):
                os.unlink(path)
            shutil.rmtree(path, ignore_errors=True)


def hold(handle: int) -> bool:
    """Hold an open file or folder until it is closed or this process ends, so that others know that it is in use; False
    where the system cannot, or another holds it."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def is_abandoned(path: str) -> bool:
    """Does no process hold it? Where the system has no such locks, nobody can tell, and this is True."""
    if fcntl is None:
        return True
    handle = os.open(path, os.O_RDONLY)
    try:
        return hold(handle)
    finally:
        os.close(handle)


def _remove(folder: str, handle: int | None, process: int) -> None:
    if os.getpid() != process:  # a copy of the process that made it
        return
    shutil.rmtree(folder, ignore_errors=True)
    _present.discard(folder)
    if handle is not None:
        os.close(handle)


def _clear(parent: str) -> None:
    """Remove the folders of processes that are gone."""
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
