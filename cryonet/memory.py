"""How a process that runs networks for long keeps its memory."""

from __future__ import annotations

import ctypes
import sys

#: Parameters of glibc's mallopt, from its header, and what they are set to.
_KEPT = {-1: 2**31 - 1, -2: 64 * 2**20, -4: 0}


def keep_memory() -> bool:
    """Tell the C library to keep memory that is freed, for the whole process; True if it does.

    A network frees and asks for the same large arrays at each step. Given back to the system,
    each page of them is faulted in and cleared anew. Only glibc is known to listen.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(*pair) for pair in _KEPT.items())
