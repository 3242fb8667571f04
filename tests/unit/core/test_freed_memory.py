"""Memory that is freed and asked for again comes from the process and not from the kernel: page faults counted by the kernel."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from workflow_scripts.core import freed_memory

CHURN = """
import resource, sys
import numpy as np
from workflow_scripts.core.freed_memory import keep_freed_memory
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
has_glibc = hasattr(ctypes.CDLL(None), "gnu_get_libc_version")


def faults(how: str) -> int:
    command = [sys.executable, "-c", CHURN, how]
    return int(
        subprocess.run(
            command, cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True
        ).stdout
    )


@pytest.mark.skipif(not has_glibc, reason="the C library is not glibc, whose malloc takes these settings")
def test_what_is_freed_is_used_again_without_the_kernel():
    # 900 MiB are written: 230,400 pages of 4 KiB, less where the kernel gives large ones
    assert faults("kept") < 100 < 1000 < faults("by default")


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(freed_memory.ctypes, "CDLL", lambda name: object())
    assert not freed_memory.keep_freed_memory()
