"""A process's peak against what it holds; freed memory is reused without the kernel's page faults."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from workflow_scripts.core import memory
from workflow_scripts.core.memory import peak_resident_bytes

MIB = 2**20
PEAK = "from workflow_scripts.core.memory import peak_resident_bytes; print(peak_resident_bytes())"
CHURN = """
import resource, sys
import numpy as np
from workflow_scripts.core.memory import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
def churn():
    for size in (3, 60, 17, 100):  # MiB: below and above the 32 MiB to which malloc's own threshold rises
        np.ones(size * 2**20, np.uint8)
churn()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    churn()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def printed(script: str, *arguments: str) -> int:
    command = [sys.executable, "-c", script, *arguments]
    root = Path(__file__).parents[3]
    return int(subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout)


def test_the_peak_counts_freed_memory_but_not_that_of_a_large_parent():
    held = b"x" * (peak_resident_bytes() + 512 * MIB)
    during = len(held)
    assert printed(PEAK) < 128 * MIB < during
    del held
    assert peak_resident_bytes() >= during


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"), reason="needs glibc's malloc")
def test_freed_memory_is_used_again_without_the_kernel():
    # 900 MiB are written: 230,400 pages of 4 KiB, or fewer large ones
    assert printed(CHURN, "kept") < 100 < 1000 < printed(CHURN, "by default")


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    assert not memory.keep_freed_memory()


def test_the_kernels_kills_for_lack_of_memory_are_counted(tmp_path):
    (tmp_path / "vmstat").write_text("nr_free_pages 5\noom_kill 3\n")
    assert memory.oom_kills(tmp_path / "vmstat") == 3 and memory.oom_kills(tmp_path / "none") == 0
