"""Snakemake started in a project as a user on a login node would, and what became of its jobs."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from tests.cluster.one_node_slurm import Slurm

# One node sees a file at once, and jobs of seconds should not wait for a status check made for jobs of hours.
FAST = ("--latency-wait", "10", "--slurm-init-seconds-before-status-checks", "6")
_SUBMITTED = re.compile(r"submitted with SLURM jobid (\d+) \(log: (.*)\)")


class ClusterRun:
    """One `snakemake --workflow-profile profiles/slurm` in a project; what it says goes to a file there."""

    def __init__(self, slurm: Slurm, project: Path, *arguments: str, config: str = "preset=smoke"):
        self.output = project / "snakemake.out"
        self.seen: dict[
            str, float
        ] = {}  # SLURM id -> when Snakemake saw that the job had succeeded, s since 1970
        environment = slurm.environment
        environment["PATH"] = f"{slurm.folder / 'bin'}:{Path(sys.executable).parent}:{environment['PATH']}"
        environment.pop("PYTHONPATH", None)
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "--workflow-profile",
            "profiles/slurm",
            "--config",
            *config.split(),
        ]
        with open(self.output, "w") as output:
            self.process = subprocess.Popen(
                [*command, *FAST, *arguments],
                cwd=project,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def said(self) -> str:
        return self.output.read_text()

    def wait_until(self, condition: Callable[[], bool], timeout_s: float = 600) -> None:
        """Wait for a condition that must come true before Snakemake ends."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert self.process.poll() is None and time.monotonic() < deadline, self.said
            time.sleep(0.1)

    def finish(self, timeout_s: float = 3600) -> int:
        """Wait for the end and return the exit code, noting for each job when Snakemake saw its success.

        That is when the executor deletes the job's SLURM log, which it does for no other reason.
        """
        deadline, logs = time.monotonic() + timeout_s, {}
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                self.process.kill()
                raise TimeoutError(f"Snakemake did not end in {timeout_s} s and said:\n{self.said}")
            for job, log in _SUBMITTED.findall(self.said):
                existed, exists = logs.get(job, False), Path(log).exists()
                if existed and not exists:
                    self.seen[job] = time.time()
                logs[job] = exists
            time.sleep(0.25)
        return self.process.returncode


def latency_table(jobs: list[dict[str, str]], seen: dict[str, float]) -> str:
    """One line per SLURM job: what it was, how long it waited and ran, and how long until Snakemake saw its end, in s."""
    lines = [f"{'job':>4} {'waited':>7} {'ran':>5} {'seen':>5}  state      what"]
    for job in jobs:
        submit, start, end = (_seconds(job[key]) for key in ("submit", "start", "end"))
        noticed = f"{seen[job['id']] - end:5.0f}" if job["id"] in seen else f"{'-':>5}"
        lines.append(
            f"{job['id']:>4} {start - submit:7.0f} {end - start:5.0f} {noticed}  {job['state']:<10} {job['comment']}"
        )
    return "\n".join(lines)


def overlapping(jobs: list[dict[str, str]]) -> list[tuple[str, str]]:
    """Pairs of jobs about the same outputs (equal comments) that ran at the same time, by SLURM's own times."""
    pairs = []
    for number, one in enumerate(jobs):
        for other in jobs[number + 1 :]:
            ran = all(
                job["start"] not in ("N/A", "Unknown") and job["start"] != job["end"] for job in (one, other)
            )
            if (
                ran
                and one["comment"] == other["comment"]
                and max(one["start"], other["start"]) < min(one["end"], other["end"])
            ):
                pairs.append((one["id"], other["id"]))
    return pairs


def _seconds(iso: str) -> float:
    return datetime.fromisoformat(iso).timestamp()
