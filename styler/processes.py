"""What a process of our own is set to, so that others' stay as they are."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_MMAP_MAX = -4
"""Numbers of glibc's malloc.h."""
_NEVER = -1
_MMAP_MAX = 65536
_MMAP_THRESHOLD = 32 * 2**20
_TRIM_THRESHOLD = 2 * _MMAP_THRESHOLD
"""What it comes to by itself, once it has seen an array of 32 MB."""


def keep_freed_memory(keep: bool = True) -> bool:
    """Let the allocator keep what is freed for what is asked for next.

    glibc takes arrays above 32 MB from the system and gives them back, and the system clears each
    page of theirs anew: at 1024 pixels a quarter of the time of a gradient. The memory that a
    process holds at most grows by some 15%, and by far more where arrays of many sizes come and
    go, as in tiles. It is for programs that compute and end; a library has no business in
    changing it.

    Args:
        keep: whether to; False is what a program starts with.

    Returns:
        Whether there was such an allocator to set: glibc's, on Linux.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    arrays, trim = (0, _NEVER) if keep else (_MMAP_MAX, _TRIM_THRESHOLD)
    settings = ((_M_MMAP_THRESHOLD, _MMAP_THRESHOLD), (_M_MMAP_MAX, arrays))
    return all(mallopt(*setting) for setting in (*settings, (_M_TRIM_THRESHOLD, trim)))
