"""The peak of a process against what it is known to hold, and against a large parent."""

from __future__ import annotations

import subprocess
import sys

from workflow_scripts.core.resident_memory import peak_resident_bytes

MIB = 2**20


def test_what_was_held_and_let_go_counts():
    before = peak_resident_bytes()
    held = b"x" * (before + 64 * MIB)
    during = len(held)
    del held
    assert peak_resident_bytes() >= during


def test_a_small_child_of_a_large_parent_is_small():
    held = b"x" * (512 * MIB)
    script = (
        "from workflow_scripts.core.resident_memory import peak_resident_bytes; print(peak_resident_bytes())"
    )
    child = int(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    )
    assert child < 128 * MIB < len(held)
