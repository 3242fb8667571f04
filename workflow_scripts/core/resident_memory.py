"""The most memory that this process held at once, its parent's not counted."""

from __future__ import annotations

import re
import resource
from pathlib import Path


def peak_resident_bytes() -> int:
    """Peak resident set size of this process in bytes.

    From /proc where there is one: Linux's `ru_maxrss` starts at what the parent held when it started this process, so that
    a small step of a large Snakemake, or test, would seem large.
    """
    status = Path("/proc/self/status")
    found = (
        re.search(r"^VmHWM:\s+(\d+) kB$", status.read_text(), flags=re.MULTILINE)
        if status.is_file()
        else None
    )
    return 1024 * (int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
