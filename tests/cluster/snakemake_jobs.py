"""Snakemake started in a project as a user on a login node would, and what became of its jobs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.cluster.one_node_slurm import Slurm
from tests.workflow.projects import wait_for

# One node sees a file at once, and jobs of seconds should not wait for a status check made for jobs of hours.
FAST = ("--latency-wait", "10", "--slurm-init-seconds-before-status-checks", "6")


class ClusterRun:
    """One `snakemake --workflow-profile profiles/slurm` in a project; its output goes to a file there."""

    def __init__(self, slurm: Slurm, project: Path, *arguments: str):
        self.slurm, self.project = slurm, project
        self.output = project / "snakemake.out"
        command = [sys.executable, "-m", "snakemake", "--workflow-profile", "profiles/slurm"]
        command += ["--config", "preset=smoke", *FAST, *arguments]
        with open(self.output, "w") as output:
            pipes = {"stdout": output, "stderr": subprocess.STDOUT}
            self.process = subprocess.Popen(command, cwd=project, env=slurm.environment, **pipes)

    @property
    def said(self) -> str:
        return self.output.read_text()

    def jobs(self, *states: str) -> list[dict[str, str]]:
        """The SLURM jobs of the project so far (in these states), oldest first, as `Slurm.jobs` has them."""
        jobs = [job for job in self.slurm.jobs() if job["workdir"] == str(self.project)]
        return [job for job in jobs if not states or job["state"] in states]

    def wait_until(self, condition: Callable[[], object], timeout_s: float = 600) -> None:
        """Wait for a condition that must come true before Snakemake ends."""
        wait_for(condition, self.process, timeout_s, lambda: self.said)

    def finish(self, timeout_s: float = 3600) -> None:
        """Wait for Snakemake to succeed."""
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        assert code == 0, self.said


def overlapping(jobs: list[dict[str, str]]) -> list[tuple[str, str]]:
    """Pairs of jobs about the same outputs (equal comments) that ran at the same time."""
    ran = [job for job in jobs if job["start"] not in ("N/A", "Unknown") and job["start"] != job["end"]]
    return [
        (one["id"], other["id"])
        for number, one in enumerate(ran)
        for other in ran[number + 1 :]
        if one["comment"] == other["comment"]
        and max(one["start"], other["start"]) < min(one["end"], other["end"])
    ]
