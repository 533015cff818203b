"""Arrays at an address of choice."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np


def moved(A: Any, offset: int) -> Any:
    """The same array at an address that is so many bytes past a multiple of 64."""
    raw = bytearray(A.nbytes + 128)
    start = -np.frombuffer(raw, dtype=np.uint8).ctypes.data % 64 + offset
    order: Literal["C", "F"] = "F" if A.flags.f_contiguous and not A.flags.c_contiguous else "C"
    copy = np.ndarray(A.shape, A.dtype, buffer=raw, offset=start, order=order)
    copy[...] = A
    assert copy.ctypes.data % 64 == offset
    return copy
