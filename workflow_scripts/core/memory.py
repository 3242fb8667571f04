"""Memory of this process: its peak, and keeping freed memory for reuse."""

from __future__ import annotations

import contextlib
import ctypes
import re
import resource
from pathlib import Path

# From glibc's malloc.h (its manual, "Malloc Tunable Parameters").
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def peak_resident_bytes() -> int:
    """Peak resident set size of this process in bytes.

    Read from /proc where it exists: Linux's `ru_maxrss` starts at the size of the parent, so a small step of
    a large Snakemake would seem large.
    """
    with contextlib.suppress(OSError):
        status = Path("/proc/self/status").read_text()
        if found := re.search(r"^VmHWM:\s+(\d+) kB$", status, flags=re.MULTILINE):
            return 1024 * int(found[1])
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def oom_kills(vmstat: Path = Path("/proc/vmstat")) -> int:
    """How many processes here the kernel has killed for lack of memory; 0 where it does not say."""
    with contextlib.suppress(OSError):
        if found := re.search(r"^oom_kill (\d+)$", vmstat.read_text(), flags=re.MULTILINE):
            return int(found[1])
    return 0


def keep_freed_memory() -> bool:
    """Tell glibc's malloc to keep freed memory (docs/performance.md says why); False with another library."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # musl and macOS have none
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, -1))
