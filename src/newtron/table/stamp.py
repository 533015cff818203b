"""By what a file is known again: has it changed since it was first looked at?"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import Any

# Bytes are looked at in so many places, the first and the last among them, so many each time.
_PLACES, _BLOCK = 33, 4096


@dataclass(frozen=True)
class Stamp:
    """Size, time of the last change, and a digest of bytes from all over the file; on the machine where it was taken
    also what the system alone sets when a file is written."""

    size: int
    time: int
    sample: str
    here: tuple[int, ...] | None

    @classmethod
    def of(cls, path: str) -> Stamp:
        status = os.stat(path)
        return cls(status.st_size, status.st_mtime_ns, _sample(path, status.st_size), _here(status))

    def fits(self, path: str) -> bool:
        """Is the file the one that was looked at? Raises OSError where it cannot be looked at."""
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

    def __reduce__(self) -> Any:
        # On another machine the system counts its own.
        return Stamp, (self.size, self.time, self.sample, None)


def _here(status: os.stat_result) -> tuple[int, ...]:
    """When the system last changed anything of the file, and what such a change can be about but its content."""
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
