"""Keep the memory that arrays gave back, for the next ones: what is freed to the kernel has to be cleared by it again."""

from __future__ import annotations

import ctypes

# From glibc's malloc.h, described in its manual under "Malloc Tunable Parameters".
M_TRIM_THRESHOLD, M_MMAP_MAX, M_MXFAST = -1, -4, 1
NEVER, NONE = -1, 0


def keep_freed_memory() -> bool:
    """Tell glibc's malloc not to return freed memory before the process ends; False where it is another malloc.

    By default every array beyond a size comes from the kernel, which clears it page by page, and goes back when it is
    freed: on a CPU the activations of a network do so in every call. Small pieces it keeps apart at first (its fast bins) and
    merges whenever a large array is freed; here it does not. docs/performance.md says what both cost and give.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (
        AttributeError,
        OSError,
        TypeError,
    ):  # musl and macOS have no mallopt, Windows no library of that name
        return False
    return all(
        mallopt(name, value)
        for name, value in ((M_MMAP_MAX, NONE), (M_TRIM_THRESHOLD, NEVER), (M_MXFAST, NONE))
    )
