"""Snakemake started in a project as a user on a login node would, and what it and its jobs did."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

from tests.cluster.one_node_slurm import Slurm

# One node sees a file at once, and jobs of seconds should not wait for a status check made for jobs of hours.
FAST = ("--latency-wait", "10", "--slurm-init-seconds-before-status-checks", "6", "--slurm-keep-successful-logs")


def start(slurm: Slurm, project: Path, *arguments: str, config: str = "preset=smoke", log: str = "snakemake.out") -> subprocess.Popen:
    """Start the one command of docs/cluster.md in the project, as in the activated venv; it writes to `log` there."""
    environment = slurm.environment
    environment["PATH"] = f"{slurm.folder / 'bin'}:{Path(sys.executable).parent}:{environment['PATH']}"
    environment.pop("PYTHONPATH", None)
    command = [sys.executable, "-m", "snakemake", "--workflow-profile", "profiles/slurm", *FAST, *arguments, "--config", *config.split()]
    with open(project / log, "w") as output:
        return subprocess.Popen(command, cwd=project, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)


def finish(process: subprocess.Popen, project: Path, log: str = "snakemake.out", timeout_s: float = 600) -> str:
    """Wait for Snakemake to succeed, and return what it said; AssertionError with all of it when it does not."""
    try:
        code = process.wait(timeout=timeout_s)
    finally:
        process.kill()
    said = (project / log).read_text()
    assert code == 0, said
    return said
