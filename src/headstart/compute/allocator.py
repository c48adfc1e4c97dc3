"""Make glibc keep the memory that tensors give back.

By default glibc returns every large block to the kernel, and the next layer pays for it again in
page faults: on CPU convolutions that costs half of the speed.
"""

from __future__ import annotations

import ctypes
import platform
from functools import cache

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX, M_ARENA_MAX = -1, -2, -4, -8  # <malloc.h>


@cache
def keep_memory() -> bool:
    """Raise glibc's thresholds for this process; best before torch is imported.

    Returns whether it was applied: it is not where the C library is not glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = (
        (M_MMAP_MAX, 0),
        (M_TRIM_THRESHOLD, 2**31 - 1),
        (M_TOP_PAD, 2**28),
        (M_ARENA_MAX, 1),
    )  # fmt: skip  (arenas of other threads give memory back)
    done = [mallopt(option, value) == 1 for option, value in settings]  # all of them, always
    return all(done)
