"""Memory of this process: its peak, and keeping freed memory for reuse."""

from __future__ import annotations

import ctypes
import re
import resource
from pathlib import Path

# From glibc's malloc.h (its manual, "Malloc Tunable Parameters").
M_TRIM_THRESHOLD, M_MMAP_MAX, M_MXFAST = -1, -4, 1
NEVER, NONE = -1, 0


def peak_resident_bytes() -> int:
    """Peak resident set size of this process in bytes.

    Read from /proc where it exists: Linux's `ru_maxrss` starts at the size of the parent, so a small step of
    a large Snakemake would seem large.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status.read_text(), flags=re.MULTILINE)
        if found:
            return 1024 * int(found[1])
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def keep_freed_memory() -> bool:
    """Tell glibc's malloc not to return freed memory to the kernel; False with another C library.

    By default every large array comes from the kernel, which clears it page by page, and goes back when it is
    freed: on a CPU a network's activations do so in every call. docs/performance.md has the measurements.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (
        AttributeError,
        OSError,
        TypeError,
    ):  # musl and macOS have no mallopt; Windows has no such library
        return False
    options = ((M_MMAP_MAX, NONE), (M_TRIM_THRESHOLD, NEVER), (M_MXFAST, NONE))
    return all(mallopt(name, value) for name, value in options)
