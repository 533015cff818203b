"""Recognise a file that was read before, and find out whether it has changed since."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

# The digest reads bytes in this number of places, evenly from the beginning to the end of the file, and this number of
# bytes in each: 132 KiB of a file of any size.
_PLACES, _BLOCK = 33, 4096


@dataclass(frozen=True)
class Stamp:
    """What identifies the content of a file without reading it all.

    size: in bytes. time: of the last change, in ns. sample: a digest of bytes from all over the file. here: what only
    the operating system sets when a file is written; None on another machine than that where the stamp was made.
    """

    size: int
    time: int
    sample: str
    here: tuple[int, ...] | None

    @classmethod
    def of(cls, path: str) -> Stamp:
        status = os.stat(path)
        return cls(status.st_size, status.st_mtime_ns, _sample(path, status.st_size), _here(status))

    def fits(self, path: str) -> bool:
        """Return whether the file is the one that was stamped. Raises OSError where it cannot be read."""
        status = os.stat(path)
        if (status.st_size, status.st_mtime_ns) != (self.size, self.time):
            return False
        now = _here(status)
        if self.here == now:
            return True
        if self.here is not None and self.here[1:] == now[1:]:
            # The system saw a change that no new name, owner or access right explains: the time was set back.
            return False
        return _sample(path, self.size) == self.sample

    def __reduce__(self) -> tuple[type[Stamp], tuple[int, int, str, None]]:
        # On another machine these numbers of the system mean nothing.
        return Stamp, (self.size, self.time, self.sample, None)


def _here(status: os.stat_result) -> tuple[int, ...]:
    """Return when the system last changed anything of the file, and everything but the content that such a change can
    concern."""
    return (
        status.st_ctime_ns,
        status.st_dev,
        status.st_ino,
        status.st_mode,
        status.st_nlink,
        status.st_uid,
        status.st_gid,
    )


def _sample(path: str, size: int) -> str:
    total = hashlib.sha256()
    with open(path, "rb") as file:
        for place in range(_PLACES):
            file.seek(max(0, size - _BLOCK) * place // (_PLACES - 1))
            total.update(file.read(_BLOCK))
    return total.hexdigest()
